package scaffold_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// text makes objects as YAML, with the notes below.
func text(t *testing.T, in scaffold.Intent, before *mesh.Snapshot) string {
	t.Helper()
	plan, err := scaffold.Make(in, before)
	if err != nil {
		t.Fatal(err)
	}
	out, err := render.ManifestYAML(plan.Objects...)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := mesh.Parse(out, mesh.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := scaffold.Judge(scaffold.Judgement{Plan: plan, Objects: objects, Before: before, Time: faqTime})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.Write(out)
	if err := render.ScaffoldReport(&all, plan, outcome, render.NewStyle(false)); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// says fails where a text lacks something, whatever its line breaks are.
func says(t *testing.T, got string, want ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(got), " ")
	for _, w := range want {
		if no, absent := strings.CutPrefix(w, "not: "); absent == strings.Contains(flat, strings.TrimPrefix(no, "not: ")) {
			t.Errorf("want %q:\n%s", w, got)
		}
	}
}

func inline() scaffold.Issuer {
	return scaffold.Issuer{Issuer: "me", JWKS: mint.JWKS(mint.RSA()), JWKSName: "keys.json", Forward: true}
}

func selected(issuers ...scaffold.Issuer) scaffold.Intent {
	return scaffold.Intent{Namespace: "foo", Where: scaffold.Where{Selector: map[string]string{"app": "httpbin"}}, Issuers: issuers, Fetcher: scaffold.Auto}
}

func TestTheAPIVersionIsTheNewestThatIsServed(t *testing.T) {
	outside := scaffold.Issuer{Issuer: "me", JWKSURI: "https://idp.example.com/keys"}
	for v, want := range map[string][]string{
		"":       {"security.istio.io/v1 ", "networking.istio.io/v1 ", "not: ca-certificates.crt"},
		"1.22.0": {"security.istio.io/v1 ", "networking.istio.io/v1 ", "not: ca-certificates.crt"},
		"1.21.0": {"security.istio.io/v1 ", "networking.istio.io/v1beta1 ", "ca-certificates.crt"},
		"1.18.2": {"security.istio.io/v1beta1 ", "networking.istio.io/v1beta1 ", "ca-certificates.crt"},
	} {
		in := selected(outside)
		if v != "" {
			in.Version, _ = version.Parse(v)
		}
		says(t, text(t, in, nil), want...)
	}
}

func TestAGatewayOfTheGatewayAPIHasTheOlderFormOfReferenceInOlderVersions(t *testing.T) {
	in := scaffold.Intent{Namespace: "foo", Where: scaffold.Where{TargetRefs: []scaffold.TargetRef{{Kind: "Gateway", Name: "public"}}}, Issuers: []scaffold.Issuer{inline()}}
	in.Version, _ = version.Parse("1.21.0")
	says(t, text(t, in, nil), "targetRef: group: gateway.networking.k8s.io kind: Gateway name: public", "not: targetRefs")
	in.Version, _ = version.Parse("1.22.0")
	says(t, text(t, in, nil), "targetRefs: - group: gateway.networking.k8s.io")
}

func TestWhoFetchesDecidesWhetherThereIsAServiceEntry(t *testing.T) {
	outside := scaffold.Issuer{Issuer: "me", JWKSURI: "https://IDP.example.com/keys"}
	in := selected(outside)
	says(t, text(t, in, nil), "kind: ServiceEntry", "kind: DestinationRule", `jwksUri: "https://idp.example.com/keys"`)
	in.Fetcher = scaffold.ByIstiod
	says(t, text(t, in, nil), "not: kind: ServiceEntry", "the control plane fetches the keys")
	in.Fetcher = scaffold.Auto
	istiod := faqHTTPBin + `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec: {containers: [{name: discovery, image: "istio/pilot:1.31.0", env: [{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: "%s"}]}]}
`
	says(t, text(t, in, snapshot(t, fmt.Sprintf(istiod, "false"))), "not: kind: ServiceEntry")
	says(t, text(t, in, snapshot(t, fmt.Sprintf(istiod, "hybrid"))), "kind: ServiceEntry")
	in.ASM = true
	says(t, text(t, in, snapshot(t, faqHTTPBin)), "kind: ServiceEntry")
	// What somebody else has made is not made twice.
	in.ASM, in.Fetcher = false, scaffold.ByEnvoy
	theirs := strings.NewReplacer("jwks.example.com", "idp.example.com").Replace(faqEntry)
	says(t, text(t, in, snapshot(t, faqHTTPBin+theirs)), "not: kind: ServiceEntry", "not: kind: DestinationRule",
		"ServiceEntry foo/external-svc-https has the host idp.example.com already", "DestinationRule foo/external-svc-https has TLS for idp.example.com already")
}

func TestPortsWithoutHTTPStayAsTheyAre(t *testing.T) {
	before := faqHTTPBin + `
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: tcp-db, port: 5432}]}
`
	in := selected(inline())
	says(t, text(t, in, snapshot(t, before)), `notPorts: ["5432"]`, "it stays as it is")
	in.AllowPaths = []string{"/x"}
	says(t, text(t, in, snapshot(t, before)), `ports: ["5432"]`)
	// Where an ALLOW policy closes the port already, ours does not open it.
	closed := before + `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: theirs, namespace: foo}
spec: {rules: [{from: [{source: {principals: ["cluster.local/ns/foo/sa/db"]}}]}]}
`
	says(t, text(t, in, snapshot(t, closed)), `not: ports: ["5432"]`)
}

func TestWhatOtherPoliciesOpenOrCloseIsSaid(t *testing.T) {
	metrics := faqHTTPBin + `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: metrics, namespace: foo}
spec: {rules: [{to: [{operation: {paths: ["/metrics"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: old, namespace: foo}
spec: {jwtRules: [{issuer: me, jwksUri: "https://old.example.com/keys"}]}
`
	in := selected(inline())
	in.AllowPaths = []string{"/health"}
	says(t, text(t, in, snapshot(t, metrics)), "no token, /health: 403 -> 200", "/metrics passes without a token at deploy/httpbin in foo, port 80, by AuthorizationPolicy foo/metrics",
		`RequestAuthentication foo/old has a rule for the issuer "me" too`)
	in.AllowPaths, in.SkipPaths = nil, []string{"/health"}
	says(t, text(t, in, snapshot(t, metrics)), "a good token is refused at deploy/httpbin in foo, port 80, by what is there already: /health (403), any other path (403)",
		"no token, /metrics (in AuthorizationPolicy foo/metrics): 200 -> 403")
}

func TestASelectorIsTheShortestThatTakesNothingElse(t *testing.T) {
	two := faqHTTPBin + `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: canary, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin, track: canary}}
  template:
    metadata: {labels: {app: httpbin, track: canary}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin}]}
`
	in := scaffold.Intent{Namespace: "foo", Where: scaffold.Where{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}}, Issuers: []scaffold.Issuer{inline()}}
	says(t, text(t, in, snapshot(t, faqHTTPBin)), "matchLabels: app: httpbin jwtRules", "and nothing else")
	says(t, text(t, in, snapshot(t, two)), "the labels also select deploy/canary in foo: there is no label that tells them apart", "not: and nothing else")
	in.Where.Target.Name = "canary"
	says(t, text(t, in, snapshot(t, two)), "matchLabels: track: canary jwtRules", "and nothing else")
}

func TestStrictMTLSIsAskedAsAClientOfTheMesh(t *testing.T) {
	strict := faqHTTPBin + `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: foo}
spec: {mtls: {mode: STRICT}}
`
	says(t, text(t, selected(inline()), snapshot(t, strict)), "asked with mTLS, as cluster.local/ns/foo/sa/default", "any path 403 200 401")
}

func TestAWorkloadWithoutAProxyIsNotProtected(t *testing.T) {
	bare := strings.Replace(faqHTTPBin, "labels: {istio-injection: enabled}", "labels: {istio-injection: disabled}", 1)
	says(t, text(t, selected(inline()), snapshot(t, bare)), "a bad token passes at deploy/httpbin in foo, port 80: nothing there looks at tokens")
}
