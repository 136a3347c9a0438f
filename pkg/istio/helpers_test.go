package istio

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const httpbin = `apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin, version: v1}}
    spec:
      serviceAccountName: httpbin
      containers:
      - {name: httpbin, image: httpbin, ports: [{containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 8080}]
`

const ingress = `apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  template:
    metadata: {labels: {istio: ingressgateway}}
    spec:
      serviceAccountName: ingress
      containers:
      - {name: istio-proxy, image: auto, args: [proxy, router]}
---
apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
`

func snapshot(t *testing.T, docs ...string) *mesh.Snapshot {
	t.Helper()
	s, err := trySnapshot(docs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trySnapshot(docs ...string) (*mesh.Snapshot, error) {
	objects, err := mesh.Parse([]byte(strings.Join(docs, "\n---\n")), mesh.ParseOptions{File: "mesh.yaml"})
	if err != nil {
		return nil, err
	}
	return mesh.NewSnapshot(objects, nil)
}

func workload(t *testing.T, s *mesh.Snapshot, target, namespace string) mesh.Workload {
	t.Helper()
	parsed, err := mesh.ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := s.Resolve(parsed, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return ws[0]
}

// translated is httpbin's proxy in a mesh with these objects, too.
func translated(t *testing.T, docs ...string) *Result {
	t.Helper()
	s := snapshot(t, append([]string{httpbin}, docs...)...)
	return translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080})
}

// gatewayed is the proxy of a listener of the classic gateway.
func gatewayed(t *testing.T, port int, docs ...string) *Result {
	t.Helper()
	s := snapshot(t, append([]string{ingress}, docs...)...)
	return translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/ingress", "istio-system"), Port: port})
}

func translate(t *testing.T, in Input) *Result {
	t.Helper()
	res, err := Translate(in)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// policy is an AuthorizationPolicy foo/p with this spec, in flow style.
func policy(spec string) string {
	return object("security.istio.io/v1", "AuthorizationPolicy", "foo", "p", spec)
}

func object(apiVersion, kind, namespace, name, spec string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: " + spec + "\n"
}

func requestAuthn(name, rules string) string {
	return object("security.istio.io/v1", "RequestAuthentication", "foo", name, "{jwtRules: ["+rules+"]}")
}

// meshConfig is the ConfigMap with the mesh's configuration.
func meshConfig(lines ...string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    " + strings.Join(lines, "\n    ") + "\n"
}

// get is a GET over plaintext from 10.0.0.1.
func get(change ...func(*envoy.Request)) *envoy.Request {
	r := &envoy.Request{Method: "GET", Authority: "httpbin.foo:8000", Path: "/", Time: 1_800_000_000, Connection: envoy.Connection{
		Transport: envoy.Known(envoy.Plaintext), Peer: envoy.Known(envoy.Peer{}), Source: envoy.Known(netip.MustParseAddr("10.0.0.1")),
		LocalIP: envoy.Known(netip.MustParseAddr("10.0.0.9")), LocalPort: 8080, SNI: envoy.Known(""),
	}}
	for _, f := range change {
		f(r)
	}
	return r
}

func header(name, value string) func(*envoy.Request) {
	return func(r *envoy.Request) { r.Headers = append(r.Headers, envoy.Header{Name: name, Value: value}) }
}
func path(p string) func(*envoy.Request)      { return func(r *envoy.Request) { r.Path = p } }
func method(m string) func(*envoy.Request)    { return func(r *envoy.Request) { r.Method = m } }
func authority(h string) func(*envoy.Request) { return func(r *envoy.Request) { r.Authority = h } }
func from(ip string) func(*envoy.Request) {
	return func(r *envoy.Request) { r.Connection.Source = envoy.Known(netip.MustParseAddr(ip)) }
}

// as makes the client that identity, without the scheme.
func as(id string) func(*envoy.Request) {
	return func(r *envoy.Request) {
		r.Connection.Transport = envoy.Known(envoy.MutualTLS)
		r.Connection.Peer = envoy.Known(envoy.Peer{Presented: true, Trusted: true, URISANs: []string{"spiffe://" + id}})
	}
}

func sni(name string) func(*envoy.Request) {
	return func(r *envoy.Request) { as("cluster.local/ns/a/sa/b")(r); r.Connection.SNI = envoy.Known(name) }
}

// answer is the status and, of a denial, the details, in short.
func answer(p *envoy.Proxy, r *envoy.Request, keys envoy.Keys) string {
	v := envoy.Evaluate(p, r, keys).Verdict
	details := strings.TrimPrefix(v.Details, "rbac_access_denied_matched_policy")
	switch v.Decision {
	case envoy.Allowed:
		return "allowed"
	case envoy.Denied:
		return details
	default:
		return "undetermined"
	}
}

const none = "[none]"

func rbacs(p *envoy.Proxy) []*envoy.RBAC {
	var out []*envoy.RBAC
	for _, f := range p.Chains[0].HTTP.Filters {
		if r, ok := f.(*envoy.RBAC); ok {
			out = append(out, r)
		}
	}
	return out
}

func jwtAuthn(p *envoy.Proxy) *envoy.JWTAuthn {
	for _, f := range p.Chains[0].HTTP.Filters {
		if j, ok := f.(*envoy.JWTAuthn); ok {
			return j
		}
	}
	return nil
}
