package conformance

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// sharedGatewayEdges are about Gateways, VirtualServices and Services that stand in each
// other's way, and about who may speak for a gateway.
func sharedGatewayEdges() []edge {
	const (
		simple  = ", tls: {mode: SIMPLE, credentialName: c}"
		through = ", tls: {mode: PASSTHROUGH}"
		auto    = ", tls: {mode: AUTO_PASSTHROUGH}"
		route   = "route: [{destination: {host: httpbin.foo.svc.cluster.local, port: {number: 8000}}}]"
	)
	all := "'*'"
	tcpServer := gateway("g", server("80", "i", "TCP", all, ""))
	tcp := func(spec string) string { return virtualService("v", "{hosts: ['*'], "+spec+"}") }
	tlsRoute := func(gateways, match string) string {
		return virtualService("v", "{hosts: ['*'], gateways: ["+gateways+"], tls: [{match: ["+match+"], "+route+"}]}")
	}
	passing := gateway("g", server("443", "s", "TLS", all, through))
	exported := func(to string) string {
		return in("bar", virtualService("v", "{hosts: ['*'], gateways: [foo/g], exportTo: ["+to+"], tcp: [{"+route+"}]}"))
	}
	plain := func(namespace, hosts string) string {
		return in(namespace, gateway("g", server("80", "h", "HTTP", hosts, "")))
	}
	entry := object("networking.istio.io/v1", "ServiceEntry", "e", "{hosts: [z.example], resolution: STATIC, workloadSelector: {labels: {istio: ingressgateway}}, ports: [{number: 81, targetPort: 8080, name: a, protocol: HTTP}]}")
	dual := func(subsets string) string {
		return object("networking.istio.io/v1", "DestinationRule", "d", "{host: httpbin.foo.svc.cluster.local, subsets: ["+subsets+"]}")
	}
	httpbin := service("httpbin", httpPort)
	cluster := func(sni string, req judge.Request) judge.Request {
		r := mtls(req)
		r.Client.SNI = sni
		return r
	}
	plaintext, secure := []judge.Request{with(), h2(with())}, []judge.Request{tls(with()), certified(with())}
	toCluster := []judge.Request{cluster("outbound_.8000_._.httpbin.foo.svc.cluster.local", with()), cluster("outbound_.8000_.v1_._.httpbin.foo.svc.cluster.local", with()), cluster("outbound_.8000_.v2_._.httpbin.foo.svc.cluster.local", with()), tls(with())}
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
		port    int
		reqs    []judge.Request
	}{
		{"a star for the namespace and the same host", []string{gateway("g", server("443", "s", "HTTPS", "'*/a.b'", simple), server("443", "t", "HTTPS", "a.b", simple))}, 8443, secure},
		{"a dot for the namespace and the same host", []string{gateway("g", server("443", "s", "HTTPS", "./a.b", simple), server("443", "t", "HTTPS", "foo/a.b", simple))}, 8443, secure},
		{"a namespace and the same host without one", []string{gateway("g", server("443", "s", "HTTPS", "foo/a.b", simple), server("443", "t", "HTTPS", "a.b", simple))}, 8443, secure},
		{"two namespaces of one host", []string{gateway("g", server("443", "s", "HTTPS", "foo/a.b", simple), server("443", "t", "HTTPS", "bar/a.b", simple))}, 8443, secure},
		{"two namespaces of one host in one server", []string{gateway("g", server("443", "s", "HTTPS", "foo/a.b, bar/a.b", simple))}, 8443, secure},
		{"stars for all", []string{gateway("g", server("443", "s", "HTTPS", "'*/*'", simple), server("443", "t", "HTTPS", all, simple))}, 8443, secure},
		{"a star among hosts", []string{gateway("g", server("443", "s", "HTTPS", "c.d, '*'", simple))}, 8443, secure},
		{"a star that holds a host", []string{gateway("g", server("443", "s", "HTTPS", "'*.b'", simple), server("443", "t", "HTTPS", "a.b", ", tls: {mode: MUTUAL, credentialName: c}"))}, 8443, secure},
		{"OPTIONAL_MUTUAL", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: OPTIONAL_MUTUAL, credentialName: c}"))}, 8443, secure},
		{"OPTIONAL_MUTUAL with other names", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: OPTIONAL_MUTUAL, credentialName: c, subjectAltNames: [x]}"))}, 8443, secure},
		{"SIMPLE with names", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: SIMPLE, credentialName: c, subjectAltNames: [x]}"))}, 8443, secure},
		{"MUTUAL of files", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: MUTUAL, serverCertificate: /a, privateKey: /b, caCertificates: /c}"))}, 8443, secure},
		{"ISTIO_MUTUAL with other names", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: ISTIO_MUTUAL, subjectAltNames: [x]}"))}, 8443, append(secure[:2:2], mtls(with()))},
		{"ISTIO_MUTUAL of another trust domain", []string{configured("trustDomain: td"), gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: ISTIO_MUTUAL}"))}, 8443, append(secure[:2:2], mtls(with()))},
		{"two certificates", []string{gateway("g", server("443", "s", "HTTPS", all, ", tls: {mode: SIMPLE, credentialNames: [c, d]}"))}, 8443, secure},
		{"HTTP with tls", []string{gateway("g", server("80", "h", "HTTP", all, simple))}, 8080, append(plaintext[:2:2], tls(with()))},
		{"HTTP with tls twice", []string{gateway("g", server("80", "h", "HTTP", all, simple), server("80", "i", "HTTP", all, simple), server("80", "j", "HTTP", "a.b", ""))}, 8080, plaintext},
		{"TCP with tls, no route", []string{gateway("g", server("443", "s", "TCP", all, simple))}, 8443, secure},
		{"TCP with tls and a route", []string{gateway("g", server("443", "s", "TCP", all, simple)), tcp("gateways: [g], tcp: [{" + route + "}]")}, 8443, secure},
		{"gRPC-Web", []string{gateway("g", server("80", "h", "GRPC-WEB", all, ""))}, 8080, plaintext},
		{"a redirect beside another server", []string{gateway("g", server("80", "h", "HTTP", "a.b", ", tls: {httpsRedirect: true}"), server("80", "i", "HTTP", all, ""))}, 8080, plaintext},
		{"a gateway by its old long name", []string{tcpServer, tcp("gateways: [g.foo.svc.cluster.local], tcp: [{" + route + "}]")}, 8080, plaintext},
		{"a gateway by name and namespace, dotted", []string{tcpServer, tcp("gateways: [g.foo], tcp: [{" + route + "}]")}, 8080, plaintext},
		{"a gateway of one's own namespace", []string{tcpServer, tcp("gateways: [./g], tcp: [{" + route + "}]")}, 8080, plaintext},
		{"a gateway of another namespace", []string{tcpServer, tcp("gateways: [bar/g], tcp: [{" + route + "}]")}, 8080, plaintext},
		{"a match by name from another namespace", []string{tcpServer, in("bar", virtualService("v", "{hosts: ['*'], gateways: [foo/g], tcp: [{match: [{gateways: [g]}], "+route+"}]}"))}, 8080, plaintext},
		{"a match by the whole name", []string{tcpServer, tcp("gateways: [g], tcp: [{match: [{gateways: [foo/g]}], " + route + "}]")}, 8080, plaintext},
		{"a match by the old long name", []string{tcpServer, tcp("gateways: [g], tcp: [{match: [{gateways: [g.foo.svc.cluster.local]}], " + route + "}]")}, 8080, plaintext},
		{"a match for the mesh", []string{tcpServer, tcp("gateways: [g, mesh], tcp: [{match: [{gateways: [mesh]}], " + route + "}]")}, 8080, plaintext},
		{"a match by source", []string{tcpServer, tcp("gateways: [g], tcp: [{match: [{sourceLabels: {app: x}, sourceNamespace: x, destinationSubnets: [1.2.3.4/32]}], " + route + "}]")}, 8080, plaintext},
		{"the second match", []string{tcpServer, tcp("gateways: [g], tcp: [{match: [{port: 81}, {port: 80}], " + route + "}]")}, 8080, plaintext},
		{"the listener's port in a match", []string{tcpServer, tcp("gateways: [g], tcp: [{match: [{port: 8080}], " + route + "}]")}, 8080, plaintext},
		{"exported here", []string{tcpServer, exported("foo")}, 8080, plaintext},
		{"exported to its own namespace", []string{tcpServer, exported("'.'")}, 8080, plaintext},
		{"exported to nobody", []string{tcpServer, exported("'~'")}, 8080, plaintext},
		{"exported to nobody and here", []string{tcpServer, exported("'~', foo")}, 8080, plaintext},
		{"exported to nobody and all", []string{tcpServer, exported("'~', '*'")}, 8080, plaintext},
		{"exported by default to its own namespace", []string{tcpServer, exported(""), configured("defaultVirtualServiceExportTo: ['.']")}, 8080, plaintext},
		{"exported by default to nobody", []string{tcpServer, exported(""), configured("defaultVirtualServiceExportTo: ['~']")}, 8080, plaintext},
		{"a short host", []string{gateway("g", server("80", "i", "TCP", "httpbin.foo.svc.cluster.local", "")), virtualService("v", "{hosts: [httpbin], gateways: [g], tcp: [{"+route+"}]}")}, 8080, plaintext},
		{"an address for a host", []string{gateway("g", server("80", "i", "TCP", "'1.2.3.4'", "")), virtualService("v", "{hosts: ['1.2.3.4'], gateways: [g], tcp: [{"+route+"}]}")}, 8080, plaintext},
		{"a host of the gateway's namespace", []string{gateway("g", server("80", "i", "TCP", "./*", "")), in("bar", virtualService("v", "{hosts: ['*'], gateways: [foo/g], tcp: [{"+route+"}]}"))}, 8080, plaintext},
		{"a host of any namespace", []string{gateway("g", server("80", "i", "TCP", "'*/*'", "")), in("bar", virtualService("v", "{hosts: ['*'], gateways: [foo/g], tcp: [{"+route+"}]}"))}, 8080, plaintext},
		{"a TLS route twice", []string{passing, tlsRoute("g", "{sniHosts: [a.b]}, {sniHosts: [a.b]}")}, 8443, secure},
		{"a TLS route with a name twice", []string{passing, tlsRoute("g", "{sniHosts: [a.b, a.b]}")}, 8443, secure},
		{"a TLS route with a star", []string{passing, tlsRoute("g", "{sniHosts: ['*.b']}")}, 8443, secure},
		{"a TLS route for all", []string{passing, tlsRoute("g", "{sniHosts: ['*']}")}, 8443, append(secure[:2:2], with())},
		{"a TLS route of another port", []string{passing, tlsRoute("g", "{port: 444, sniHosts: [a.b]}")}, 8443, secure},
		{"a TLS route by the old long name", []string{passing, tlsRoute("g", "{gateways: [g.foo.svc.cluster.local], sniHosts: [a.b]}")}, 8443, secure},
		{"a cluster", []string{gateway("g", server("443", "s", "TLS", "'*.local'", auto)), httpbin, dual("{name: v1, labels: {version: v1}}")}, 8443, toCluster},
		{"a cluster of another host", []string{gateway("g", server("443", "s", "TLS", "'*.bar.svc.cluster.local'", auto)), httpbin}, 8443, toCluster},
		{"a cluster by its own host", []string{gateway("g", server("443", "s", "TLS", "foo/httpbin.foo.svc.cluster.local", auto)), httpbin}, 8443, toCluster},
		{"a cluster outside", []string{gateway("g", server("443", "s", "TLS", all, auto)), object("v1", "Service", "httpbin", "{type: ExternalName, externalName: a.b, ports: ["+httpPort+"]}")}, 8443, toCluster},
		{"a cluster that is not exported", []string{gateway("g", server("443", "s", "TLS", all, auto)), in("bar", strings.Replace(httpbin, "namespace: foo}", "namespace: foo, annotations: {networking.istio.io/exportTo: '.'}}", 1))}, 8443,
			[]judge.Request{cluster("outbound_.8000_._.httpbin.bar.svc.cluster.local", with())}},
		{"a cluster of a ServiceEntry", []string{gateway("g", server("443", "s", "TLS", "'*.example'", auto)), object("networking.istio.io/v1", "ServiceEntry", "e", "{hosts: [z.example], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 8000, name: a, protocol: HTTP}]}")}, 8443,
			[]judge.Request{cluster("outbound_.8000_._.z.example", with())}},
		{"a cluster of a ServiceEntry with a star", []string{gateway("g", server("443", "s", "TLS", "z.example", auto)), object("networking.istio.io/v1", "ServiceEntry", "e", "{hosts: ['*.example'], location: MESH_INTERNAL, resolution: NONE, ports: [{number: 8000, name: a, protocol: HTTP}]}")}, 8443,
			[]judge.Request{cluster("outbound_.8000_._.*.example", with()), cluster("outbound_.8000_._.z.example", with())}},
		{"a cluster with a subset of another host's rule", []string{gateway("g", server("443", "s", "TLS", all, auto)), httpbin, strings.Replace(dual("{name: v1}"), "httpbin.foo.svc", "other.foo.svc", 1)}, 8443, toCluster},
		{"a cluster with a subset by a short name", []string{gateway("g", server("443", "s", "TLS", all, auto)), httpbin, strings.Replace(dual("{name: v2}"), "httpbin.foo.svc.cluster.local", "httpbin", 1)}, 8443, toCluster},
		{"a cluster with a subset of two rules", []string{gateway("g", server("443", "s", "TLS", all, auto)), httpbin, dual("{name: v1}"), strings.Replace(dual("{name: v2}"), "name: d,", "name: e,", 1)}, 8443, toCluster},
		{"a cluster with a subset by a star", []string{gateway("g", server("443", "s", "TLS", all, auto)), httpbin, strings.Replace(dual("{name: v1}"), "httpbin.foo.svc.cluster.local", "'*.foo.svc.cluster.local'", 1)}, 8443, toCluster},
		{"a cluster with a subset of another namespace", []string{gateway("g", server("443", "s", "TLS", all, auto)), httpbin, in("bar", dual("{name: v1}"))}, 8443, toCluster},
		{"a Gateway of another namespace alone", []string{plain("bar", all), istiod("PILOT_SCOPE_GATEWAY_TO_NAMESPACE", "true")}, 8080, plaintext},
		{"a Gateway of one's own namespace alone", []string{plain("foo", all), istiod("PILOT_SCOPE_GATEWAY_TO_NAMESPACE", "true")}, 8080, plaintext},
		{"a ServiceEntry's port", []string{gateway("g", server("81", "h", "HTTP", all, "")), entry}, 8080, plaintext},
		{"a Service without translation", []string{strings.Replace(service("other", "{name: x, port: 82, targetPort: 8080}"), "namespace: foo}\nspec: {selector: {app: httpbin}", "namespace: foo, labels: {experimental.istio.io/disable-gateway-port-translation: 'true'}}\nspec: {selector: {istio: ingressgateway}", 1), gateway("g", server("82", "h", "HTTP", all, ""))}, 82, plaintext},
		{"an older Service with another target", []string{created(1, strings.Replace(service("z", "{name: x, port: 80, targetPort: 9000}"), "app: httpbin", "istio: ingressgateway", 1)), plain("foo", all)}, 9000, plaintext},
		{"a UDP port of an older Service", []string{created(1, strings.Replace(service("z", "{name: x, port: 80, targetPort: 9000, protocol: UDP}"), "app: httpbin", "istio: ingressgateway", 1)), plain("foo", all)}, 9000, plaintext},
	} {
		for i, r := range m.reqs {
			for _, p := range []struct{ name, policy string }{{"no policy", ""}, {"DENY", denyPath("/get")}, {"ALLOW of a name", policy("{rules: [{from: [{source: {principals: ['cluster.local/ns/foo/sa/bar']}}]}]}")}} {
				objects := m.objects
				if p.policy != "" {
					objects = append(objects[:len(objects):len(objects)], p.policy)
				}
				out = append(out, edge{name: "shared: " + m.name + ", request " + string(rune('a'+i)) + ", " + p.name, mesh: ingress("", objects...), req: r, target: "deploy/ingress", port: m.port})
			}
		}
	}
	return out
}
