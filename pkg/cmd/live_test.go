package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// liveMesh has pods and policies, of which a request to /x is denied and one to /health allowed.
const liveMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: cluster.local"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo, uid: d}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: httpbin-1, namespace: foo, uid: r, labels: {app: httpbin}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: httpbin, uid: d}]}
spec: {selector: {matchLabels: {app: httpbin}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: httpbin-1-a
  namespace: foo
  labels: {app: httpbin, pod-template-hash: "1"}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: httpbin-1, uid: r}]
spec:
  containers:
  - {name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}
  - {name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: sleep, namespace: foo, labels: {app: sleep}}
spec:
  containers:
  - {name: sleep, image: example.com/sleep}
  - {name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec:
  jwtRules: [{issuer: idp, jwksUri: "https://idp.example.com/keys"}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: foo}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: b, namespace: foo}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/y]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: c, namespace: foo}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/z]}}]}]}
`

// live starts a server, and gives the flag that leads to it.
func live(t *testing.T, manifests string, resources ...[]apiserver.Resource) (*apiserver.Server, string) {
	t.Helper()
	if len(resources) == 0 {
		resources = [][]apiserver.Resource{apiserver.Core, apiserver.Istio}
	}
	s, err := apiserver.Start(manifests, resources...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	file, err := s.Kubeconfig(t.TempDir(), "here", "foo")
	if err != nil {
		t.Fatal(err)
	}
	return s, "--kubeconfig=" + file
}

// ask runs why and reads its JSON.
func ask(t *testing.T, args ...string) (int, diagnose.Diagnosis, string) {
	t.Helper()
	code, stdout, stderr := captured(t, "", map[string]string{"HOME": t.TempDir()}, append([]string{"why", "-o", "json", "--evidence", "objects"}, args...)...)
	var d diagnose.Diagnosis
	if stdout != "" {
		if err := json.Unmarshal([]byte(stdout), &d); err != nil {
			t.Fatalf("%v in %s", err, stdout)
		}
	}
	return code, d, stderr
}

func TestALiveMeshGetsTheVerdictOfItsManifests(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(file, []byte(liveMesh), 0o600); err != nil {
		t.Fatal(err)
	}
	_, config := live(t, liveMesh)
	for _, target := range []string{"deploy/httpbin", "svc/httpbin", "pod/httpbin-1-a", "rs/httpbin-1"} {
		for path, want := range map[string]int{"/x": 1, "/health": 0} {
			code, got, stderr := ask(t, target, config, "--path", path, "--from", "pod/sleep")
			fileCode, fromFile, _ := ask(t, target, "-n", "foo", "-f", file, "--path", path, "--from", "pod/sleep")
			if code != want || fileCode != want || got.Target.Context != "here" {
				t.Fatalf("%s %s: exit %d live, %d from files, want %d; context %q\n%s", target, path, code, fileCode, want, got.Target.Context, stderr)
			}
			got.Target.Context = ""
			for _, d := range []*diagnose.Diagnosis{&got, &fromFile} {
				for i := range d.Fixes { // as they were written: the server has its own order of keys
					d.Fixes[i].Manifest = inOneForm(t, d.Fixes[i].Manifest)
				}
			}
			a, b := mustJSON(t, got), mustJSON(t, fromFile)
			if a != b {
				t.Errorf("%s %s: live\n%s\nfrom files\n%s", target, path, a, b)
			}
		}
	}
}

// inOneForm is a manifest without its comments and its order of keys.
func inOneForm(t *testing.T, manifest string) string {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// reads is everything that a question about the mesh reads, each with the right that it
// takes, and whether a verdict for a request that is allowed hangs on it.
var reads = []struct {
	what, permission string
	matters          bool
}{
	{"deployments.apps/httpbin in foo", "get deployments.apps/httpbin in foo", true},
	{"pods in foo", "list pods in foo", true},
	{"services in foo", "list services in foo", true},
	{"authorizationpolicies.security.istio.io in foo", "list authorizationpolicies.security.istio.io in foo", true},
	{"authorizationpolicies.security.istio.io in istio-system", "list authorizationpolicies.security.istio.io in istio-system", true},
	{"requestauthentications.security.istio.io in foo", "list requestauthentications.security.istio.io in foo", true},
	{"requestauthentications.security.istio.io in istio-system", "list requestauthentications.security.istio.io in istio-system", true},
	{"peerauthentications.security.istio.io in foo", "list peerauthentications.security.istio.io in foo", true},
	{"peerauthentications.security.istio.io in istio-system", "list peerauthentications.security.istio.io in istio-system", true},
	{"envoyfilters.networking.istio.io in foo", "list envoyfilters.networking.istio.io in foo", true},
	{"envoyfilters.networking.istio.io in istio-system", "list envoyfilters.networking.istio.io in istio-system", true},
	{"sidecars.networking.istio.io in foo", "list sidecars.networking.istio.io in foo", true},
	{"sidecars.networking.istio.io in istio-system", "list sidecars.networking.istio.io in istio-system", true},
	{"trafficextensions.extensions.istio.io in foo", "list trafficextensions.extensions.istio.io in foo", true},
	{"trafficextensions.extensions.istio.io in istio-system", "list trafficextensions.extensions.istio.io in istio-system", true},
	{"wasmplugins.extensions.istio.io in foo", "list wasmplugins.extensions.istio.io in foo", true},
	{"wasmplugins.extensions.istio.io in istio-system", "list wasmplugins.extensions.istio.io in istio-system", true},
	{"configmaps/istio in istio-system", "get configmaps/istio in istio-system", false},
	{"namespaces/foo", "get namespaces/foo", false},
	{"replicasets.apps in foo", "", false},
}

func TestWhatCannotBeReadMakesOnlyVerdictsThatNeedItUndetermined(t *testing.T) {
	s, config := live(t, liveMesh)
	args := []string{"deploy/httpbin", config, "--path", "/health", "--plaintext", "--from-ip", "10.1.1.1"}
	whole, d, stderr := ask(t, args...)
	if whole != 0 || len(d.Gaps) > 0 {
		t.Fatalf("exit %d, gaps %v\n%s", whole, d.Gaps, stderr)
	}
	faults := map[string]apiserver.Fault{
		"403": apiserver.Forbidden, "429": apiserver.TooMany, "500": apiserver.Internal, "hanging": apiserver.Hang, "cut": apiserver.Cut, "no API at all": apiserver.Garbage,
	}
	for _, r := range reads {
		for name, fault := range faults {
			t.Run(name+" on "+r.what, func(t *testing.T) {
				s.Heal()
				s.Fail(r.what, fault)
				timeout := "--request-timeout=30s"
				if fault == apiserver.Hang {
					timeout = "--request-timeout=500ms"
				}
				code, d, stderr := ask(t, append(args, timeout)...)
				want := 0
				if r.matters {
					want = 3
				}
				if code != want {
					t.Fatalf("exit %d, want %d: %v %v\n%s", code, want, d.Verdict, d.DependsOn, stderr)
				}
				if r.permission == "" {
					if len(d.Gaps) > 0 {
						t.Errorf("a gap for what nothing hangs on: %v", d.Gaps)
					}
					return
				}
				if len(d.Gaps) != 1 || !strings.Contains(d.Gaps[0].What, strings.Split(r.permission, " ")[1][:4]) || d.Gaps[0].Why == "" {
					t.Fatalf("gaps %v", d.Gaps)
				}
				if fault == apiserver.Forbidden && (d.Gaps[0].Permission != r.permission || r.matters && (len(d.DependsOn) == 0 || d.DependsOn[0].Hint != "ask for: "+r.permission)) {
					t.Errorf("permission %q, hints %v, want %q", d.Gaps[0].Permission, d.DependsOn, r.permission)
				}
				s.Heal()
				if code, d, _ := ask(t, args...); code != 0 || len(d.Gaps) > 0 {
					t.Errorf("with the right granted: exit %d, gaps %v", code, d.Gaps)
				}
			})
		}
	}
}

func TestOnlyAFragmentHangsOnProxyConfigs(t *testing.T) {
	s, config := live(t, liveMesh)
	s.Fail("proxyconfigs.networking.istio.io in foo", apiserver.Forbidden)
	code, d, stderr := ask(t, "deploy/httpbin", config, "--path", "/health", "--plaintext")
	if code != 0 || len(d.Gaps) > 0 || strings.Contains(strings.Join(s.Requests(), " "), "proxyconfigs") {
		t.Errorf("without one: exit %d, gaps %v\n%s", code, d.Gaps, stderr)
	}
	code, d, stderr = ask(t, "deploy/httpbin", config, "--path", "/health#x", "--plaintext", "--http", "2")
	if code != 3 || len(d.DependsOn) == 0 || d.DependsOn[0].Hint != "ask for: list proxyconfigs.networking.istio.io in foo" {
		t.Errorf("with one: exit %d, %v\n%s", code, d.DependsOn, stderr)
	}
}

func TestADenialThatHoldsWhateverIsMissingIsGiven(t *testing.T) {
	s, config := live(t, liveMesh)
	s.Fail("authorizationpolicies.security.istio.io in istio-system", apiserver.Forbidden)
	code, d, stderr := ask(t, "deploy/httpbin", config, "--path", "/x", "--plaintext")
	if code != 1 || d.Verdict.Status != 403 || len(d.Gaps) != 1 {
		t.Errorf("exit %d, %v, gaps %v\n%s", code, d.Verdict, d.Gaps, stderr)
	}
}

func TestPagesAreReadToTheEndOrSaidToBeCutOff(t *testing.T) {
	const policies = "authorizationpolicies.security.istio.io in foo"
	s, config := live(t, liveMesh)
	s.PageSize = 1
	for name, tt := range map[string]struct {
		fault apiserver.Fault
		code  int
		why   string
	}{
		"whole":                      {apiserver.None, 1, ""},
		"forgotten once":             {apiserver.ExpiredAt, 1, ""},
		"forgotten always":           {apiserver.Expired, 3, "only the first 1 came: the list changed faster than it could be read (410 Gone)"},
		"cut in the middle":          {apiserver.CutPage, 3, "only the first 1 came: the answer breaks off"},
		"the kind is gone meanwhile": {apiserver.NotFound, 3, "the server no longer serves the kind (404 Not Found)"},
	} {
		t.Run(name, func(t *testing.T) {
			s.Heal()
			s.Fail(policies, tt.fault)
			code, d, stderr := ask(t, "deploy/httpbin", config, "--path", "/z", "--plaintext")
			if code != tt.code || tt.why != "" && (len(d.Gaps) != 1 || !strings.HasPrefix(d.Gaps[0].Why, tt.why)) {
				t.Errorf("exit %d, want %d, gaps %v\n%s", code, tt.code, d.Gaps, stderr)
			}
		})
	}
}

func TestFewRequestsAreEnoughForManyPolicies(t *testing.T) {
	var many strings.Builder
	many.WriteString(liveMesh)
	many.WriteString(`---
apiVersion: v1
kind: Namespace
metadata: {name: bar, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: caller, namespace: bar, uid: c}
spec:
  selector: {matchLabels: {app: caller}}
  template: {metadata: {labels: {app: caller}}, spec: {containers: [{name: caller, image: example.com/caller}]}}
`)
	for i := range 9_997 { // and the three of liveMesh
		fmt.Fprintf(&many, "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p%d, namespace: foo}\nspec: {selector: {matchLabels: {app: other%d}}, action: DENY, rules: [{}]}\n", i, i)
	}
	s, config := live(t, many.String())
	for _, tt := range []struct {
		most int
		args []string
	}{
		{24, []string{"deploy/httpbin", "--from", "deploy/httpbin"}}, {24, []string{"svc/httpbin", "--from", "pod/sleep"}},
		{25, []string{"deploy/httpbin", "--from", "deploy/caller", "--from-namespace", "bar"}}, // whose pods are one list more
	} {
		args, most := tt.args, tt.most
		s.Heal()
		code, d, stderr := ask(t, append(args, config, "--path", "/x", "--port", map[bool]string{true: "8000", false: "8080"}[strings.HasPrefix(args[0], "svc")])...)
		if requests := s.Requests(); len(requests) > most || code != 1 || d.Verdict.Status != 403 {
			t.Errorf("%v: %d requests, exit %d, %v\n%s\n%s", args, len(requests), code, d.Verdict, stderr, strings.Join(requests, "\n"))
		}
		for _, r := range s.Requests() {
			if strings.Contains(r, "secrets") {
				t.Errorf("a Secret is read: %s", r)
			}
		}
	}
}

func TestOlderDiscoveryIsUnderstood(t *testing.T) {
	s, config := live(t, liveMesh)
	s.OldDiscovery = true
	if code, d, stderr := ask(t, "deploy/httpbin", config, "--path", "/x", "--plaintext"); code != 1 || len(d.Gaps) > 0 {
		t.Errorf("exit %d, gaps %v\n%s", code, d.Gaps, stderr)
	}
}

func TestAServerThatDoesNotSayWhatItServesIsNoAnswer(t *testing.T) {
	s, config := live(t, liveMesh)
	for fault, want := range map[apiserver.Fault]string{
		apiserver.Forbidden: "does not say what it serves: the server answers 403 Forbidden",
		apiserver.Internal:  "the server answers 500 Internal Server Error",
		apiserver.TooMany:   "the server answers 429 Too Many Requests",
		apiserver.Hang:      "cannot be reached: it did not answer in time",
		apiserver.Garbage:   "is no Kubernetes API server",
		apiserver.Cut:       "cannot be reached: ",
	} {
		s.Heal()
		s.Fail("apis", fault)
		code, stdout, stderr := captured(t, "", nil, "why", "deploy/httpbin", config, "--request-timeout", "300ms")
		if code != 3 || stdout != "" || !strings.Contains(stderr, want) || !strings.Contains(stderr, "\nhint: ") {
			t.Errorf("fault %d: exit %d, stdout %q\n%s", fault, code, stdout, stderr)
		}
	}
	s.Heal()
	s.Token = "another"
	if code, _, stderr := captured(t, "", nil, "why", "deploy/httpbin", config); code != 3 || !strings.Contains(stderr, "does not accept the credentials") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

func TestAnInterruptIsObeyedWhereverTheServerHangs(t *testing.T) {
	s, config := live(t, liveMesh)
	for _, what := range []string{"apis", "services in foo", "pods in foo"} {
		s.Heal()
		s.Fail(what, apiserver.Hang)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(200*time.Millisecond, cancel)
		var out, errOut bytes.Buffer
		code := Main(ctx, Process{
			Name: "kubectl-asmjwt", Args: []string{"why", "deploy/httpbin", config}, In: strings.NewReader(""), Out: &out, Err: &errOut,
			LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now,
		})
		if code != 130 || out.Len() > 0 || errOut.String() != "error: interrupted\n" {
			t.Errorf("%s: exit %d, stdout %q, stderr %.300q", what, code, out.String(), errOut.String())
		}
	}
}

func TestNeitherTokenNorCredentialIsSentAnywhereOrLogged(t *testing.T) {
	s, config := live(t, liveMesh)
	dir := t.TempDir()
	file := filepath.Join(dir, "jwt")
	const secret = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpZHAiLCJzdWIiOiJjYW5hcnktaW4tcGF5bG9hZCJ9.Y2FuYXJ5LXNpZ25hdHVyZS1vZi10aGUtdXNlcg"
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []apiserver.Fault{apiserver.None, apiserver.Forbidden, apiserver.Internal} {
		s.Heal()
		s.Fail("authorizationpolicies.security.istio.io in foo", fault)
		for _, command := range [][]string{{"why", "deploy/httpbin", "--path", "/x", "--jwt-file", file, "--from", "pod/sleep"}, {"doctor"}} {
			_, stdout, stderr := captured(t, "", nil, append(command, config, "-v=9")...)
			if !strings.Contains(stderr, "curl -v -XGET") {
				t.Fatalf("nothing is logged: %.200q", stderr)
			}
			silent(t, secret, stdout, stderr)
			silent(t, s.Token, stdout, stderr)
		}
		for _, r := range s.Requests() {
			if leaked := leaks(r, secret); len(leaked) > 0 {
				t.Errorf("a request has %d pieces of the token", len(leaked))
			}
		}
	}
}
