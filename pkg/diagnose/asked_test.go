package diagnose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// askedOf is a request to the workload foo/httpbin of a mesh, in short. Without
// more, a plaintext client asks for / with GET.
type askedOf struct {
	docs        []string
	annotations string // of the pods, in braces
	image       string // of the proxy; none: the template is not yet injected
	gateway     bool   // the workload is a classic gateway
	method      string
	path        string
	headers     []envoy.Header
	http2       bool
	port        int
	proxy       string
	istiod      string
	remote      istio.JWKSMode
	keys        []diagnose.KeyFile
	caller      *diagnose.Caller
	noHost      bool
}

func (q askedOf) mesh() string {
	annotations, proxy, args := q.annotations, "", ""
	if annotations == "" {
		annotations = "{}"
	}
	if q.gateway {
		args = ", args: [proxy, router]"
		q.image = orElse(q.image, "auto")
	}
	if q.image != "" {
		proxy = fmt.Sprintf("\n      - {name: istio-proxy, image: %q%s}", q.image, args)
	}
	return strings.Join(append([]string{fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}, annotations: %s}
    spec:
      serviceAccountName: httpbin
      containers:%s
      - {name: httpbin, image: httpbin, ports: [{containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 8080}, {name: tcp, port: 9000, targetPort: 9090}]`, annotations, proxy)}, q.docs...), "\n---\n")
}

func orElse(v, other string) string {
	if v == "" {
		return other
	}
	return v
}

// ask answers the question.
func (q askedOf) ask(t *testing.T) *diagnose.Diagnosis {
	t.Helper()
	snap, err := judge.ParseMesh(q.mesh())
	if err != nil {
		t.Fatal(err)
	}
	in := diagnose.Intent{
		Target: mesh.Target{Type: "deployment", Name: "httpbin"}, Namespace: "foo", Port: diagnose.Port{Number: q.port},
		Method: orElse(q.method, "GET"), Host: "httpbin.foo", HostGiven: true, Path: orElse(q.path, "/"), Headers: q.headers, Time: fixedNow,
		Keys: q.keys, RemoteJWKS: q.remote, ProxyVersion: q.proxy, IstiodVersion: q.istiod,
		Caller: diagnose.Caller{Plaintext: true, IP: netip.MustParseAddr("10.1.2.3"), LocalIP: netip.MustParseAddr("10.9.9.9")},
	}
	if target, err := mesh.ParseTarget("deploy/httpbin"); err == nil {
		in.Target = target
	}
	if in.Port.Number == 0 {
		in.Port.Number = 8080
	}
	if q.http2 {
		in.Protocol = envoy.HTTP2
	}
	if q.caller != nil {
		in.Caller = *q.caller
	}
	if q.noHost {
		in.Host, in.HostGiven = "", false
	}
	d, err := diagnose.Run(in, snap)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// doc is an Istio object with its spec as YAML.
func doc(kind, namespace, name, spec string) string {
	return docWith(kind, namespace, name, "", spec)
}

// served is an object as a server gives it, with whatever fields it has.
func served(kind, namespace, name, spec string) string {
	return docWith(kind, namespace, name, ", uid: 11111111-1111-1111-1111-111111111111", spec)
}

func docWith(kind, namespace, name, meta, spec string) string {
	group := map[string]string{
		"EnvoyFilter": "networking.istio.io/v1alpha3", "ProxyConfig": "networking.istio.io/v1beta1", "Gateway": "networking.istio.io/v1",
		"WasmPlugin": "extensions.istio.io/v1alpha1", "TrafficExtension": "extensions.istio.io/v1alpha1",
	}[kind]
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s%s}\nspec: %s", orElse(group, "security.istio.io/v1"), kind, name, namespace, meta, spec)
}

func allowPolicy(rule string) string {
	return doc("AuthorizationPolicy", "foo", "p", "{rules: ["+rule+"]}")
}
func denyPolicy(rule string) string {
	return doc("AuthorizationPolicy", "foo", "p", "{action: DENY, rules: ["+rule+"]}")
}

// issuerA is a RequestAuthentication for iss-a with its keys inline; more are
// further fields of the rule.
func issuerA(more ...string) string {
	return doc("RequestAuthentication", "foo", "a", "{jwtRules: [{"+strings.Join(append([]string{"issuer: iss-a", inlineKeys()}, more...), ", ")+"}]}")
}

func inlineKeys() string { return fmt.Sprintf("jwks: %q", string(mint.JWKS(mint.RSA().WithKid("a")))) }

// tokenA is a good token of iss-a with further claims.
func tokenA(claims string) string {
	if claims != "" {
		claims = "," + claims
	}
	return mint.Token(mint.RSA(), `{"alg":"RS256","kid":"a"}`, fmt.Sprintf(`{"iss":"iss-a","exp":%d%s}`, fixedNow+3600, claims))
}

func bearerLine(token string) []envoy.Header {
	return []envoy.Header{{Name: "Authorization", Value: "Bearer " + token}}
}

func lines(nameValues ...string) []envoy.Header {
	var out []envoy.Header
	for i := 0; i+1 < len(nameValues); i += 2 {
		out = append(out, envoy.Header{Name: nameValues[i], Value: nameValues[i+1]})
	}
	return out
}

// answer is the verdict in short: the status, or the possible ones.
func answer(d *diagnose.Diagnosis) []int {
	if d.Verdict.Decision == envoy.Undetermined {
		return append([]int{-1}, d.Verdict.Possible...)
	}
	return []int{d.Verdict.Status}
}

// undetermined is the answer that leaves these statuses.
func undetermined(possible ...int) []int { return append([]int{-1}, possible...) }

func check(t *testing.T, d *diagnose.Diagnosis, want []int) {
	t.Helper()
	if got := answer(d); !slices.Equal(got, want) {
		t.Errorf("got %v (%s) on %v, want %v", got, d.Verdict.ResponseCodeDetails, d.DependsOn, want)
	}
}

// walkNotes are all notes of the walk in one text.
func walkNotes(d *diagnose.Diagnosis) string {
	var b strings.Builder
	var walk func([]diagnose.Step)
	walk = func(ss []diagnose.Step) {
		for _, s := range ss {
			b.WriteString(s.Note + "\n")
			walk(s.Steps)
		}
	}
	walk(d.Trace)
	return b.String()
}
