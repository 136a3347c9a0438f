package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// ingress is a mesh with a classic gateway in the namespace foo, whose Service has the
// ports 80, 443 and 9000, with a variable of its proxy.
func ingress(env string, extra ...string) string {
	docs := []string{`apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: foo}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  template:
    metadata: {labels: {istio: ingressgateway}}
    spec:
      serviceAccountName: ingress
      containers: [{name: istio-proxy, image: auto, args: [proxy, router], env: [` + env + `]}]`,
		object("v1", "Service", "ingress", "{selector: {istio: ingressgateway}, ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 443, targetPort: 8443}, {name: c, port: 9000}]}"),
	}
	return strings.Join(append(docs, extra...), "\n---\n") + "\n"
}

func gateway(name string, servers ...string) string {
	return object("networking.istio.io/v1", "Gateway", name, "{selector: {istio: ingressgateway}, servers: ["+strings.Join(servers, ", ")+"]}")
}

// server is one of a Gateway, more what stands behind its hosts.
func server(port, name, protocol, hosts, more string) string {
	return fmt.Sprintf("{port: {number: %s, name: %s, protocol: %s}, hosts: [%s]%s}", port, name, protocol, hosts, more)
}

func virtualService(name, spec string) string {
	return object("networking.istio.io/v1", "VirtualService", name, spec)
}

// gatewayEdges are about how servers of Gateways share ports, and what answers on them.
func gatewayEdges() []edge {
	const (
		simple  = ", tls: {mode: SIMPLE, credentialName: c}"
		mutual  = ", tls: {mode: MUTUAL, credentialName: c}"
		through = ", tls: {mode: PASSTHROUGH}"
		auto    = ", tls: {mode: AUTO_PASSTHROUGH}"
		own     = ", tls: {mode: ISTIO_MUTUAL}"
		route   = "route: [{destination: {host: httpbin.foo.svc.cluster.local, port: {number: 8000}}}]"
	)
	all := "'*'"
	tcpRoute := virtualService("v", "{hosts: ['*'], gateways: [g], tcp: [{"+route+"}]}")
	tlsRoute := func(sni string) string {
		return virtualService("v", "{hosts: ['*'], gateways: [g], tls: [{match: [{sniHosts: ["+sni+"]}], "+route+"}]}")
	}
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
	}{
		{"HTTP", []string{gateway("g", server("80", "h", "HTTP", all, ""))}},
		{"HTTP by the listener's own port", []string{gateway("g", server("8080", "h", "HTTP", all, ""))}},
		{"a redirect", []string{gateway("g", server("80", "h", "HTTP", all, ", tls: {httpsRedirect: true}"))}},
		{"HTTP2", []string{gateway("g", server("80", "h", "HTTP2", all, ""))}},
		{"GRPC", []string{gateway("g", server("80", "h", "GRPC", all, ""))}},
		{"two HTTP servers", []string{gateway("g", server("80", "h", "HTTP", "a.b", ""), server("80", "i", "HTTP2", "c.d", ""))}},
		{"HTTP and then TCP", []string{gateway("g", server("80", "h", "HTTP", all, ""), server("80", "i", "TCP", all, "")), tcpRoute}},
		{"TCP and then HTTP", []string{gateway("g", server("80", "i", "TCP", all, ""), server("80", "h", "HTTP", all, "")), tcpRoute}},
		{"TCP without a route", []string{gateway("g", server("80", "i", "TCP", all, ""))}},
		{"TCP with a route", []string{gateway("g", server("80", "i", "TCP", all, "")), tcpRoute}},
		{"TCP with a route of another host", []string{gateway("g", server("80", "i", "TCP", "x.y", "")), virtualService("v", "{hosts: [a.b], gateways: [g], tcp: [{"+route+"}]}")}},
		{"TCP with a route of another port", []string{gateway("g", server("80", "i", "TCP", all, "")), virtualService("v", "{hosts: ['*'], gateways: [g], tcp: [{match: [{port: 81}], "+route+"}]}")}},
		{"TCP with a route for the mesh", []string{gateway("g", server("80", "i", "TCP", all, "")), virtualService("v", "{hosts: ['*'], tcp: [{"+route+"}]}")}},
		{"TCP with a route that names the namespace", []string{gateway("g", server("80", "i", "TCP", "foo/*", "")), virtualService("v", "{hosts: ['*'], gateways: [foo/g], tcp: [{"+route+"}]}")}},
		{"TCP with a route of another namespace", []string{gateway("g", server("80", "i", "TCP", "bar/*", "")), tcpRoute}},
		{"TCP with an HTTP route", []string{gateway("g", server("80", "i", "TCP", all, "")), virtualService("v", "{hosts: ['*'], gateways: [g], http: [{"+route+"}]}")}},
		{"MONGO with a route", []string{gateway("g", server("80", "i", "MONGO", all, "")), tcpRoute}},
		{"a server without a protocol that is known", []string{gateway("g", server("80", "i", "FOO", all, "")), tcpRoute}},
		{"HTTPS without tls", []string{gateway("g", server("80", "i", "HTTPS", all, ""))}},
		{"HTTPS without tls, with a route", []string{gateway("g", server("80", "i", "HTTPS", all, "")), tcpRoute}},
		{"SIMPLE", []string{gateway("g", server("443", "s", "HTTPS", all, simple))}},
		{"SIMPLE for one host", []string{gateway("g", server("443", "s", "HTTPS", "a.b", simple))}},
		{"SIMPLE for another host", []string{gateway("g", server("443", "s", "HTTPS", "c.d", simple))}},
		{"SIMPLE for a wildcard", []string{gateway("g", server("443", "s", "HTTPS", "'*.b'", simple))}},
		{"SIMPLE and MUTUAL, one name of the port", []string{gateway("g", server("443", "s", "HTTPS", "c.d", simple), server("443", "s", "HTTPS", "a.b", mutual))}},
		{"SIMPLE and MUTUAL", []string{gateway("g", server("443", "s", "HTTPS", "c.d", simple), server("443", "t", "HTTPS", "a.b", mutual))}},
		{"SIMPLE and then the same host", []string{gateway("g", server("443", "s", "HTTPS", "a.b", simple), server("443", "t", "HTTPS", "a.b, c.d", mutual))}},
		{"two Gateways with the same host", []string{gateway("h", server("443", "s", "HTTPS", "a.b", mutual)), gateway("g", server("443", "s", "HTTPS", "a.b", simple))}},
		{"two Gateways with other hosts", []string{gateway("h", server("443", "s", "HTTPS", "c.d", mutual)), gateway("g", server("443", "s", "HTTPS", "a.b", simple))}},
		{"SIMPLE and then HTTP", []string{gateway("g", server("443", "s", "HTTPS", "a.b", simple), server("443", "h", "HTTP", all, ""))}},
		{"HTTP and then SIMPLE", []string{gateway("g", server("443", "h", "HTTP", all, ""), server("443", "s", "HTTPS", "a.b", simple))}},
		{"SIMPLE for all and then HTTP", []string{gateway("g", server("443", "s", "HTTPS", all, simple), server("443", "h", "HTTP", all, ""))}},
		{"SIMPLE and then TCP", []string{gateway("g", server("443", "s", "HTTPS", "a.b", simple), server("443", "h", "TCP", all, "")), tcpRoute}},
		{"MUTUAL", []string{gateway("g", server("443", "s", "HTTPS", all, mutual))}},
		{"MUTUAL with names", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: MUTUAL, credentialName: c, subjectAltNames: ['spiffe://cluster.local/ns/foo/sa/bar']}"))}},
		{"MUTUAL with other names", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: MUTUAL, credentialName: c, subjectAltNames: [x]}"))}},
		{"ISTIO_MUTUAL", []string{gateway("g", server("443", "s", "HTTPS", all, own))}},
		{"TLS that is ended", []string{gateway("g", server("443", "s", "TLS", all, simple))}},
		{"TLS that is ended, with a route", []string{gateway("g", server("443", "s", "TLS", all, simple)), tcpRoute}},
		{"TLS that is ended, ISTIO_MUTUAL, with a route", []string{gateway("g", server("443", "s", "TLS", all, own)), tcpRoute}},
		{"TLS that is ended, with a TLS route", []string{gateway("g", server("443", "s", "TLS", all, simple)), tlsRoute("a.b")}},
		{"TLS without tls, with a route", []string{gateway("g", server("443", "s", "TLS", all, "")), tcpRoute}},
		{"PASSTHROUGH without a route", []string{gateway("g", server("443", "s", "TLS", all, through))}},
		{"PASSTHROUGH with a route", []string{gateway("g", server("443", "s", "TLS", all, through)), tlsRoute("a.b")}},
		{"PASSTHROUGH with a route of another name", []string{gateway("g", server("443", "s", "TLS", all, through)), tlsRoute("c.d")}},
		{"PASSTHROUGH with a TCP route", []string{gateway("g", server("443", "s", "TLS", all, through)), tcpRoute}},
		{"PASSTHROUGH of HTTPS", []string{gateway("g", server("443", "s", "HTTPS", "a.b", through)), tlsRoute("a.b")}},
		{"PASSTHROUGH beside SIMPLE", []string{gateway("g", server("443", "s", "HTTPS", "c.d", simple), server("443", "t", "TLS", "a.b", through)), tlsRoute("a.b")}},
		{"AUTO_PASSTHROUGH", []string{gateway("g", server("443", "s", "TLS", "'*.local'", auto))}},
		{"a bind address", []string{gateway("g", server("80", "h", "HTTP", all, ", bind: 127.0.0.1"))}},
		{"a Gateway that selects somebody else", []string{object("networking.istio.io/v1", "Gateway", "g", "{selector: {istio: other}, servers: ["+server("80", "h", "HTTP", all, "")+"]}")}},
		{"a Gateway without a selector", []string{object("networking.istio.io/v1", "Gateway", "g", "{servers: ["+server("80", "h", "HTTP", all, "")+"]}")}},
		{"a Gateway of another namespace", []string{strings.Replace(gateway("g", server("80", "h", "HTTP", all, "")), "namespace: foo", "namespace: bar", 1)}},
		{"a port that no Service has", []string{gateway("g", server("8443", "h", "HTTP", all, ""), server("9000", "i", "HTTP", all, ""))}},
	} {
		for _, c := range []struct {
			name string
			port int
			req  judge.Request
		}{
			{"8080", 8080, with()}, {"8080 over HTTP/2", 8080, h2(with())}, {"8080 with TLS", 8080, tls(with())},
			{"8443", 8443, with()}, {"8443 with TLS", 8443, tls(with())}, {"8443 with TLS over HTTP/2", 8443, h2(tls(with()))}, {"8443 with a certificate", 8443, certified(with())},
			{"9000", 9000, with()},
		} {
			for _, p := range []struct{ name, policy string }{
				{"no policy", ""}, {"DENY", denyPath("/get")}, {"ALLOW of a name", policy("{rules: [{from: [{source: {principals: ['cluster.local/ns/foo/sa/bar']}}]}]}")},
			} {
				objects := m.objects
				if p.policy != "" {
					objects = append(objects[:len(objects):len(objects)], p.policy)
				}
				out = append(out, edge{name: m.name + ", " + c.name + ", " + p.name, mesh: ingress("", objects...), req: c.req, target: "deploy/ingress", port: c.port})
			}
		}
	}
	low := ingress("{name: ISTIO_META_UNPRIVILEGED_POD, value: 'true'}", gateway("g", server("81", "h", "HTTP", all, "")))
	return append(out, edge{name: "a low port of a pod without privileges", mesh: low, req: with(), target: "deploy/ingress", port: 8080})
}

// certified is the request of a stranger with a certificate.
func certified(r judge.Request) judge.Request {
	r = tls(r)
	r.Client.URISANs = []string{"spiffe://cluster.local/ns/foo/sa/bar"}
	return r
}
