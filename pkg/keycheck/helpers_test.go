package keycheck

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// base is a mesh with an application behind a sidecar, and a key server that may have one.
const base = `
apiVersion: v1
kind: Namespace
metadata: {name: foo}
---
apiVersion: v1
kind: Pod
metadata: {name: httpbin-1, namespace: foo, labels: {app: httpbin}}
spec: {containers: [{name: httpbin, image: x, ports: [{containerPort: 8080}]}, {name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: httpbin-2, namespace: foo, labels: {app: httpbin}}
spec: {containers: [{name: httpbin, image: x, ports: [{containerPort: 8080}]}, {name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Service
metadata: {name: idp, namespace: foo}
spec: {selector: {app: idp}, ports: [{name: http, port: 80, targetPort: 8000}, {name: https, port: 443, targetPort: 8443}]}
`

const plainServer = `
---
apiVersion: v1
kind: Pod
metadata: {name: idp-1, namespace: foo, labels: {app: idp}}
spec: {containers: [{name: idp, image: x}]}
status: {phase: Running, podIP: 10.0.0.3}
`

const meshServer = `
---
apiVersion: v1
kind: Pod
metadata: {name: idp-1, namespace: foo, labels: {app: idp}}
spec: {containers: [{name: idp, image: x}, {name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}]}
status: {phase: Running, podIP: 10.0.0.3}
`

func istiod(env string) string {
	return `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec: {selector: {matchLabels: {app: istiod}}, template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: discovery, image: "istio/pilot:1.31.2", env: [` + env + `]}]}}}
`
}

const hybridEnv = `{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: hybrid}`

const theIssuer = "https://idp.example"

// ruleFor is a RequestAuthentication with one rule.
func ruleFor(keys string) string {
	return `
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {selector: {matchLabels: {app: httpbin}}, jwtRules: [{issuer: "` + theIssuer + `"` + keys + `}]}
`
}

const goodURI = "http://idp.foo.svc.cluster.local/keys"

func uri(u string) string { return ruleFor(`, jwksUri: "` + u + `"`) }

func snapshotOf(t *testing.T, text string) *mesh.Snapshot {
	t.Helper()
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{File: "mesh.yaml", Namespace: "foo"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// evidenceOf is what is known of a mesh whose proxies were asked for nothing yet.
func evidenceOf(t *testing.T, text string) Evidence {
	t.Helper()
	ev := Evidence{Snapshot: snapshotOf(t, text), Namespaces: []string{"foo"}, Live: true, Now: time.Unix(1_800_000_000, 0)}
	var err error
	if ev.Workloads, err = ev.Snapshot.Workloads("foo"); err != nil {
		t.Fatal(err)
	}
	return ev
}

// holding are proxies of both pods that hold a set.
func holding(docs ...[]byte) []Proxy {
	var out []Proxy
	for i, doc := range docs {
		out = append(out, Proxy{Namespace: "foo", Pod: []string{"httpbin-1", "httpbin-2"}[i], Providers: []envoy.Provider{{
			Name: "origins-0", Issuer: theIssuer, Keys: envoy.KeySource{Fetcher: envoy.Inline, Inline: string(doc)},
		}}})
	}
	return out
}

// fetching are proxies that fetch a URI through a cluster.
func fetching(uri string, c Cluster) []Proxy {
	var out []Proxy
	for _, pod := range []string{"httpbin-1", "httpbin-2"} {
		out = append(out, Proxy{
			Namespace: "foo", Pod: pod, Clusters: map[string]Cluster{uri: c},
			Providers: []envoy.Provider{{Name: "origins-0", Issuer: theIssuer, Keys: envoy.KeySource{Fetcher: envoy.ProxyFetch, URI: uri, NoCluster: !c.Exists}}},
		})
	}
	return out
}

func seen(uri string, way Way, body []byte) Fetch {
	f := Fetch{URI: uri, Way: way, From: "the API server"}
	if way == ByExec {
		f.From, f.Sidecar = "pod foo/sleep-1, through its sidecar", true
	}
	return FromAnswer(f, Answer{Status: 200, ContentType: "application/json", Body: body, Whole: true})
}

func failedFetch(uri string, way Way, kind Kind, problem string) Fetch {
	return Fetch{URI: uri, Way: way, From: "there", Kind: kind, Problem: problem, Sidecar: way == ByExec}
}

func oldKeys() []byte { return mint.JWKS(mint.RSA().WithKid("old")) }
func newKeys() []byte { return mint.JWKS(mint.RSA().WithKid("old"), mint.OtherRSA().WithKid("new")) }

// errorsOf are the codes of the errors of a rule, in order.
func errorsOf(r Rule) []diag.Code {
	var out []diag.Code
	for _, f := range r.Findings {
		if f.Severity == diag.Error && !slices.Contains(out, f.Code) {
			out = append(out, f.Code)
		}
	}
	return out
}

func check(t *testing.T, ev Evidence) *Report {
	t.Helper()
	r, err := Check(ev)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// manifestOf is the text of a fix, "" for one without.
func manifestOf(t *testing.T, f Fix) string {
	t.Helper()
	out := []string{f.Manifest}
	for _, o := range f.Objects {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return strings.Trim(strings.Join(out, "\n---\n"), "-\n")
}

// applied is the evidence with the objects of a fix on top of the others.
func applied(t *testing.T, ev Evidence, f Fix) Evidence {
	t.Helper()
	objects, err := mesh.Parse([]byte(manifestOf(t, f)), mesh.ParseOptions{File: "fix.yaml", Namespace: "elsewhere"})
	if err != nil {
		t.Fatalf("the fix cannot be applied: %v\n%s", err, manifestOf(t, f))
	}
	if ev.Snapshot, err = ev.Snapshot.With(objects); err != nil {
		t.Fatal(err)
	}
	if wrong := ev.Snapshot.Check(); len(wrong) > 0 {
		t.Fatalf("the fix is no valid object: %v\n%s", wrong[0], manifestOf(t, f))
	}
	if ev.Workloads, err = ev.Snapshot.Workloads("foo"); err != nil {
		t.Fatal(err)
	}
	return ev
}
