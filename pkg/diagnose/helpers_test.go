package diagnose_test

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const namespaceFoo = "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo, labels: {istio-injection: enabled}}\n"

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec:
      serviceAccountName: httpbin
      containers:
      - {name: httpbin, image: httpbin, ports: [{containerPort: 8080}]}
`

func service(name, ports string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: foo}\nspec:\n  selector: {app: httpbin}\n  ports: [" + ports + "]\n"
}

const httpPort = "{name: http, port: 8000, targetPort: 8080}"

// httpbin is the workload with its Service.
func httpbin(docs ...string) []string {
	return append([]string{namespaceFoo, deployment, service("httpbin", httpPort)}, docs...)
}

func object(kind, name, spec string) string {
	return "apiVersion: security.istio.io/v1\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: foo}\nspec: " + spec + "\n"
}

func policy(spec string) string { return object("AuthorizationPolicy", "p", spec) }

// authn verifies tokens of iss with the P-256 key.
func authn(more string) string {
	return object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss, jwks: '"+string(mint.JWKS(mint.P256()))+"'"+more+"}]}")
}

func token(claims string) string { return mint.Token(mint.P256(), `{"alg":"ES256"}`, "{"+claims+"}") }

func bearer(claims string) envoy.Header {
	return envoy.Header{Name: "Authorization", Value: "Bearer " + token(claims)}
}

func snapshot(t *testing.T, docs ...string) *mesh.Snapshot {
	t.Helper()
	s, err := judge.ParseMesh(strings.Join(docs, "\n---\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func target(t *testing.T, text string) mesh.Target {
	t.Helper()
	got, err := mesh.ParseTarget(text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// question is a GET of / to deploy/httpbin.
func question(t *testing.T, change ...func(*diagnose.Intent)) diagnose.Intent {
	t.Helper()
	in := diagnose.Intent{Target: target(t, "deploy/httpbin"), Namespace: "foo", Method: "GET", Path: "/", Time: fixedNow}
	for _, f := range change {
		f(&in)
	}
	return in
}

func asked(t *testing.T, in diagnose.Intent, docs ...string) *diagnose.Diagnosis {
	t.Helper()
	d, err := diagnose.Run(in, snapshot(t, docs...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func plaintext(in *diagnose.Intent) { in.Caller.Plaintext = true }
func headers(hs ...envoy.Header) func(*diagnose.Intent) {
	return func(in *diagnose.Intent) { in.Headers = append(in.Headers, hs...) }
}
func path(p string) func(*diagnose.Intent) { return func(in *diagnose.Intent) { in.Path = p } }
func port(n int) func(*diagnose.Intent)    { return func(in *diagnose.Intent) { in.Port.Number = n } }
func host(h string) func(*diagnose.Intent) { return func(in *diagnose.Intent) { in.Host = h } }

// code finds a finding.
func code(d *diagnose.Diagnosis, c string) *diagnose.Finding {
	for i := range d.Findings {
		if string(d.Findings[i].Code) == c {
			return &d.Findings[i]
		}
	}
	return nil
}

func jwksMode(text string) istio.JWKSMode { return istio.JWKSMode(text) }
