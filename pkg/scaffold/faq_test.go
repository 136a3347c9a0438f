package scaffold_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// The workloads of the vendor's FAQ.
const (
	faqGateway = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {matchLabels: {app: istio-ingressgateway}}
  template:
    metadata: {labels: {app: istio-ingressgateway, istio: ingressgateway}}
    spec: {containers: [{name: istio-proxy, image: auto, args: [proxy, router]}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {selector: {app: istio-ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`
	faqHTTPBin = `
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin, version: v1}}
  template:
    metadata: {labels: {app: httpbin, version: v1}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: nginx-proxy, namespace: foo}
spec: {selector: {app: nginx-proxy}, ports: [{name: http, port: 80}]}
`
	faqIssuer = "testing@secure.istio.io"
)

// faqSkipped is the FAQ's recipe for paths without a token, with a key of our own.
func faqSkipped() string {
	return `
apiVersion: security.istio.io/v1beta1
kind: RequestAuthentication
metadata: {name: jwt-example, namespace: istio-system}
spec:
  jwtRules:
  - issuer: testing@secure.istio.io
    jwks: '` + string(mint.JWKS(mint.RSA())) + `'
  selector: {matchLabels: {app: istio-ingressgateway}}
---
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: test-exclude, namespace: istio-system}
spec:
  action: DENY
  rules:
  - from: [{source: {notRequestPrincipals: ['*']}}]
    to: [{operation: {notPaths: [/productpage]}}]
  selector: {matchLabels: {app: istio-ingressgateway}}
`
}

// faqInside and faqOutside are its recipes for a jwksUri, but for the short name, which
// no control plane can resolve, and the address for a host, which admission refuses.
func faqURI(uri string) string {
	return `
apiVersion: security.istio.io/v1beta1
kind: RequestAuthentication
metadata: {name: jwt-example, namespace: foo}
spec:
  jwtRules: [{issuer: testing@secure.istio.io, jwksUri: '` + uri + `'}]
  selector: {matchLabels: {app: httpbin}}
`
}

const faqEntry = `
---
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: external-svc-https, namespace: foo}
spec:
  addresses: [203.0.113.7]
  endpoints: [{address: 203.0.113.7}]
  hosts: [jwks.example.com]
  location: MESH_EXTERNAL
  ports: [{name: http, number: 80, protocol: HTTP}, {name: https, number: 443, protocol: HTTPS}]
  resolution: STATIC
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: external-svc-https, namespace: foo}
spec:
  host: jwks.example.com
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]
`

func TestTheFAQsObjectsAndOursMeanTheSame(t *testing.T) {
	inline := scaffold.Issuer{Issuer: faqIssuer, JWKS: mint.JWKS(mint.RSA()), JWKSName: "keys.json"}
	uri := func(u string, addresses ...string) scaffold.Issuer {
		return scaffold.Issuer{Issuer: faqIssuer, JWKSURI: u, Addresses: addresses}
	}
	for _, c := range []struct {
		name, mesh, theirs string
		intent             scaffold.Intent
		target             mesh.Target
		keys               string // their jwksUri
		ours               string // our jwksUri
		mode               string
	}{
		{"skipped paths", faqGateway, faqSkipped(), scaffold.Intent{
			Namespace: "istio-system", Where: scaffold.Where{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "istio-ingressgateway"}},
			Issuers: []scaffold.Issuer{inline}, SkipPaths: []string{"/productpage"},
		}, mesh.Target{Type: mesh.TypeDeployment, Name: "istio-ingressgateway"}, "", "", ""},
		{"keys inside", faqHTTPBin, faqURI("http://nginx-proxy.foo.svc.cluster.local/get_jwks"), scaffold.Intent{
			Namespace: "foo", Where: scaffold.Where{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}},
			Issuers: []scaffold.Issuer{uri("http://nginx-proxy/get_jwks")}, Open: true,
		}, mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, "http://nginx-proxy.foo.svc.cluster.local/get_jwks", "http://nginx-proxy.foo.svc.cluster.local/get_jwks", ""},
		{"keys outside", faqHTTPBin, faqURI("https://jwks.example.com/keys") + faqEntry, scaffold.Intent{
			Namespace: "foo", Where: scaffold.Where{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}}, Fetcher: scaffold.ByEnvoy,
			Issuers: []scaffold.Issuer{uri("https://jwks.example.com/keys", "203.0.113.7")}, Open: true,
		}, mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, "https://jwks.example.com/keys", "https://jwks.example.com/keys", "hybrid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := snapshot(t, c.mesh)
			plan, err := scaffold.Make(c.intent, before)
			if err != nil {
				t.Fatal(err)
			}
			text, err := render.ManifestYAML(plan.Objects...)
			if err != nil {
				t.Fatal(err)
			}
			ours, theirs := snapshot(t, c.mesh+"\n---\n"+string(text)), snapshot(t, c.mesh+"\n---\n"+c.theirs)
			statuses := map[int]int{}
			n := 0
			for _, r := range faqRequests() {
				ask := func(snap *mesh.Snapshot, uri string) diagnose.Verdict {
					in := diagnose.Intent{
						Target: c.target, Namespace: c.intent.Namespace, Method: r.method, Path: r.path, Host: "h", HostGiven: true, Headers: r.headers,
						Time: faqTime, Caller: diagnose.Caller{Plaintext: true}, RemoteJWKS: istio.JWKSMode(c.mode),
					}
					if uri != "" {
						in.Keys = []diagnose.KeyFile{{For: uri, Document: mint.JWKS(mint.RSA())}}
					}
					d, err := diagnose.Run(in, snap)
					if err != nil {
						t.Fatal(err)
					}
					return d.Verdict
				}
				a, b := ask(theirs, c.keys), ask(ours, c.ours)
				n++
				statuses[a.Status]++
				if a.Decision != b.Decision || a.Status != b.Status || a.Body != b.Body {
					t.Errorf("%s %s (%s): theirs %s %d %q, ours %s %d %q", r.method, r.path, r.token, a.Decision, a.Status, a.Body, b.Decision, b.Status, b.Body)
				}
			}
			t.Logf("%d requests: %v", n, statuses)
			if statuses[200] == 0 || statuses[401] == 0 || c.name == "skipped paths" && statuses[403] == 0 {
				t.Errorf("the requests are too much alike: %v", statuses)
			}
		})
	}
}

const faqTime = 1_800_000_000

type faqRequest struct {
	method, path, token string
	headers             []envoy.Header
}

// faqRequests are one of each class that the FAQ's patterns tell apart, and those that
// people mistake for one another.
func faqRequests() []faqRequest {
	sign := func(key mint.Key, claims string) string {
		return mint.Token(key, `{"alg":"RS256"}`, fmt.Sprintf(claims, faqTime+3600))
	}
	tokens := map[string]string{
		"none":          "",
		"good":          sign(mint.RSA(), `{"iss":"testing@secure.istio.io","sub":"x","exp":%d}`),
		"no subject":    sign(mint.RSA(), `{"iss":"testing@secure.istio.io","exp":%d}`),
		"expired":       mint.Token(mint.RSA(), `{"alg":"RS256"}`, `{"iss":"testing@secure.istio.io","sub":"x","exp":1}`),
		"other key":     sign(mint.OtherRSA(), `{"iss":"testing@secure.istio.io","sub":"x","exp":%d}`),
		"other issuer":  sign(mint.RSA(), `{"iss":"somebody","sub":"x","exp":%d}`),
		"no issuer":     sign(mint.RSA(), `{"sub":"x","exp":%d}`),
		"not a token":   "abc",
		"empty subject": sign(mint.RSA(), `{"iss":"testing@secure.istio.io","sub":"","exp":%d}`),
	}
	var out []faqRequest
	for _, path := range []string{
		"/productpage", "/productpage?u=normal", "/productpage/", "/productpage/x", "/productpagex", "/Productpage", "//productpage", "/x/../productpage", "/product%70age",
		"/productpage%2f", "/productpage;x", "/product", "/", "/api/v1/products/0", "/headers", "*",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "HEAD"} {
			if (method == "POST" || method == "HEAD") && path != "/" && path != "/productpage" {
				continue
			}
			for name, token := range tokens {
				r := faqRequest{method: method, path: path, token: name}
				if path == "*" {
					r.path = "/a*"
				}
				if token != "" {
					r.headers = []envoy.Header{{Name: "Authorization", Value: "Bearer " + token}}
				}
				out = append(out, r)
				if token != "" && method == "GET" && !strings.Contains(r.path, "?") {
					out = append(out, faqRequest{method: method, path: r.path + "?access_token=" + token, token: name + ", in the query"})
				}
				if method == "OPTIONS" {
					r.token += ", preflight"
					r.headers = append([]envoy.Header{{Name: "Origin", Value: "https://a"}, {Name: "Access-Control-Request-Method", Value: "GET"}}, r.headers...)
					out = append(out, r)
				}
			}
		}
	}
	return out
}

func snapshot(t *testing.T, text string) *mesh.Snapshot {
	t.Helper()
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := snap.Check(); len(wrong) > 0 {
		t.Fatal(wrong[0])
	}
	return snap
}
