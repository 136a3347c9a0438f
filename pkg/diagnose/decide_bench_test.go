package diagnose_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// tenPolicies is a workload with a RequestAuthentication and ten AuthorizationPolicies:
// three that deny, seven of which the last allows the request.
func tenPolicies() string {
	docs := []string{`apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: foo}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      serviceAccountName: app
      containers: [{name: app, image: app, ports: [{containerPort: 8080}]}, {name: istio-proxy, image: proxyv2}]`,
		`{apiVersion: v1, kind: Service, metadata: {name: app, namespace: foo}, spec: {selector: {app: app}, ports: [{name: http, port: 80, targetPort: 8080}]}}`,
		`apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {jwtRules: [{issuer: "https://issuer.example", jwks: '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'}]}`}
	policy := func(i int, spec string) {
		docs = append(docs, fmt.Sprintf("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p%d, namespace: foo}\nspec: %s", i, spec))
	}
	for i := range 3 {
		policy(i, fmt.Sprintf(`{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}], to: [{operation: {notPaths: ["/public/*", "/healthz%d"]}}]}]}`, i))
	}
	for i := 3; i < 10; i++ {
		policy(i, fmt.Sprintf(`{rules: [{from: [{source: {namespaces: ["team-%d"]}}], to: [{operation: {methods: [GET], paths: ["/api/v%d/*"]}}]}, {to: [{operation: {paths: ["/public/%d/*"]}}]}]}`, i, i, i))
	}
	return strings.Join(docs, "\n---\n")
}

func tenPoliciesQuestion(tb testing.TB) diagnose.Question {
	snap, err := judge.ParseMesh(tenPolicies())
	if err != nil {
		tb.Fatal(err)
	}
	target, err := mesh.ParseTarget("deploy/app")
	if err != nil {
		tb.Fatal(err)
	}
	qs, err := diagnose.Questions(diagnose.Intent{
		Target: target, Namespace: "foo", Method: "GET", Path: "/public/9/index.html?a=b", Time: 1774000000, Caller: diagnose.Caller{Plaintext: true},
		Headers: []envoy.Header{{Name: "User-Agent", Value: "curl/8.0"}, {Name: "Accept", Value: "*/*"}, {Name: "X-Request-Id", Value: "1"}},
	}, snap)
	if err != nil || len(qs) != 1 {
		tb.Fatal(qs, err)
	}
	if v := qs[0].Verdict; v.Decision != envoy.Allowed {
		tb.Fatalf("the request gets %+v", v)
	}
	// Names as clients of HTTP/2 send them, and proxies.
	for i := range qs[0].Request.Headers {
		qs[0].Request.Headers[i].Name = strings.ToLower(qs[0].Request.Headers[i].Name)
	}
	return qs[0]
}

func TestADecisionToAllowAllocatesNothing(t *testing.T) {
	q := tenPoliciesQuestion(t)
	d := envoy.NewDecider(q.Proxy, q.Keys)
	if n := testing.AllocsPerRun(100, func() { d.Decide(q.Request) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	q := tenPoliciesQuestion(b)
	d := envoy.NewDecider(q.Proxy, q.Keys)
	b.ReportAllocs()
	for b.Loop() {
		d.Decide(q.Request)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

func BenchmarkEvaluate(b *testing.B) {
	q := tenPoliciesQuestion(b)
	b.ReportAllocs()
	for b.Loop() {
		envoy.Evaluate(q.Proxy, q.Request, q.Keys)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
