package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

// edge is a corner that the random meshes leave alone. Where no target is given it
// is the Deployment httpbin in the namespace foo and its port 8080.
type edge struct {
	name, mesh string
	req        judge.Request
	target     string
	port       int
	// jwks are the documents behind jwksUris, remote is who fetches them, as in a judge.Case.
	jwks   map[string]string
	remote string
}

// The evaluator agrees with Envoy on each corner, all of which share one run.
func TestEdges(t *testing.T) {
	t.Parallel() // with the other corners: each alone keeps one processor busy
	edges := slices.Concat(httpEdges(), methodEdges(), limitEdges(), pathEdges(), addressEdges(), policyEdges(), sidecarEdges(), inboundEdges(), gatewayEdges(), kubeGatewayEdges(), waypointEdges(), configEdges(),
		locationEdges(), claimEdges(), principalEdges(), settingsEdges(), gatewaySettingEdges(), meshEdges(), portEdges(), sharedGatewayEdges(), listenerEdges(), frontedEdges(), workloadEdges())
	agree(t, edges)
}

// The evaluator agrees with Envoy on what admission would refuse, and on what only
// somebody with bad intentions sends.
func TestEdgesOfKeysTokensAndRules(t *testing.T) {
	t.Parallel()
	agree(t, slices.Concat(templateEdges(), keyEdges(), textEdges(), ruleFieldEdges(), jwksEdges(), certificateEdges(), placeEdges(), severalEdges(), tokenEdges(), hostEdges(), identityEdges(),
		replyEdges(), fetchEdges(), gatewayRuleEdges(), spellingEdges()))
}

const edgesPerListener = 80

// agree sends all edges through one run, and compares the answers.
func agree(t *testing.T, edges []edge) {
	t.Helper()
	cases := make([]judge.Case, len(edges))
	seen, sharing := map[string]bool{}, map[string]int{}
	for i, e := range edges {
		if seen[e.name] {
			t.Errorf("two edges are called %q", e.name)
		}
		seen[e.name] = true
		cases[i] = judge.Case{Name: e.name, Mesh: e.mesh, Target: "deploy/httpbin", Namespace: "foo", Port: 8080, Request: e.req, JWKS: e.jwks, RemoteJWKS: e.remote}
		if sharing[e.mesh]++; sharing[e.mesh] > edgesPerListener {
			// Another listener: the access log tells exchanges by the client's port, and
			// of very many to one listener two have the same.
			cases[i].Mesh += fmt.Sprintf("# part %d\n", sharing[e.mesh]/edgesPerListener)
		}
		if e.target != "" {
			cases[i].Target = e.target
		}
		if e.port != 0 {
			cases[i].Port = e.port
		}
	}
	answers, minted, err := run.Run(context.Background(), cases, run.Options{Sign: mint.Sign})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			p, err := judge.Predict(c, minted[i])
			if err != nil && strings.Contains(err.Error(), "has no port") && answers[i].Closed && answers[i].Details == "" {
				return // who asks about such a port is told those that there are
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Request.HTTP2 && answers[i].Closed && !strings.HasPrefix(answers[i].Details, "rbac_") && p.Status == 200 && p.Diagnosis.Branches.Has(envoy.BranchTCP) {
				return // the application gets the bytes, and does not speak HTTP/2
			}
			for _, d := range judge.Compare(p, answers[i]) {
				t.Error(d)
			}
			a := answers[i]
			t.Logf("Envoy: closed %v refused %.200q status %d body %q details %q", a.Closed, a.Refused, a.Status, a.Body, a.Details)
		})
	}
}

// annotated is a mesh with the Deployment httpbin, annotations of its pods, and more objects.
func annotated(annotations string, extra ...string) string {
	docs := []string{`apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}, annotations: {` + annotations + `}}
    spec:
      serviceAccountName: httpbin
      containers: [{name: httpbin, image: httpbin, ports: [{containerPort: 8080, name: web}]}]`,
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: foo, labels: {istio-injection: enabled}}"}
	return strings.Join(append(docs, extra...), "\n---\n") + "\n"
}

// pod is a mesh without a Service, web one whose Service takes port 8080 for HTTP.
func pod(extra ...string) string { return annotated("", extra...) }

func web(extra ...string) string {
	return pod(append([]string{service("httpbin", httpPort)}, extra...)...)
}

// sniffed is a mesh whose Service does not say what its port carries.
func sniffed(extra ...string) string {
	return pod(append([]string{service("httpbin", "{port: 8000, targetPort: 8080}")}, extra...)...)
}

const httpPort = "{name: http, port: 8000, targetPort: 8080}"

// object is one of Istio's in the namespace foo.
func object(api, kind, name, spec string) string {
	return "apiVersion: " + api + "\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: foo}\nspec: " + spec
}

func service(name, ports string) string {
	return object("v1", "Service", name, "{selector: {app: httpbin}, ports: ["+ports+"]}")
}

func policy(spec string) string {
	return object("security.istio.io/v1", "AuthorizationPolicy", "p", spec)
}

func requestAuthentication(rule string) string {
	return object("security.istio.io/v1", "RequestAuthentication", "r", "{jwtRules: [{issuer: i, jwks: '"+`{"keys":[{"kty":"oct","k":"YQ"}]}`+"', "+rule+"}]}")
}

// configured is the mesh configuration.
func configured(mesh string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    " + strings.ReplaceAll(mesh, "\n", "\n    ")
}

// Policies that deny one thing.
func denyPath(path string) string {
	return policy("{action: DENY, rules: [{to: [{operation: {paths: ['" + path + "']}}]}]}")
}

func denyHeader(name, value string) string {
	return policy(fmt.Sprintf(`{action: DENY, rules: [{when: [{key: "request.headers[%s]", values: [%q]}]}]}`, name, value))
}

func get(mutate func(*judge.Request)) judge.Request {
	r := judge.Request{Method: "GET", Host: "httpbin.foo", Path: "/get"}
	mutate(&r)
	return r
}

// with is a request with header lines, given as names and values.
func with(pairs ...string) judge.Request {
	return get(func(r *judge.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Headers = append(r.Headers, judge.Header{Name: pairs[i], Value: pairs[i+1]})
		}
	})
}

// withLines is a request with so many header lines besides Host.
func withLines(n int) judge.Request {
	return get(func(r *judge.Request) {
		for i := range n {
			r.Headers = append(r.Headers, judge.Header{Name: fmt.Sprintf("x-%d", i), Value: "v"})
		}
	})
}

func method(m string) judge.Request { return get(func(r *judge.Request) { r.Method = m }) }

func path(p string) judge.Request { return get(func(r *judge.Request) { r.Path = p }) }

func h2(r judge.Request) judge.Request { r.HTTP2 = true; return r }

// mtls is the request of a client of the mesh, tls that of a stranger with TLS of its own.
func mtls(r judge.Request) judge.Request {
	r.Client = judge.Client{Transport: "mtls", URISANs: []string{"spiffe://cluster.local/ns/foo/sa/bar"}}
	return r
}

func tls(r judge.Request) judge.Request {
	r.Client = judge.Client{Transport: "tls", SNI: "a.b"}
	return r
}
