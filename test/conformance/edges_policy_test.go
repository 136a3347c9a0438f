package conformance

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"

// policyEdges are about values that istiod passes on without a look.
func policyEdges() []edge {
	return []edge{
		{name: "an empty header name match", mesh: web(denyHeader("", "*")), req: with()},
		{name: "a header name that is none", mesh: web(denyHeader("a b", "*")), req: with()},
		{name: "a pseudo header in a policy", mesh: web(denyHeader(":path", "/get")), req: with()},
		{name: "the scheme in a policy", mesh: web(denyHeader(":scheme", "http")), req: with()},
		{name: "host in a policy", mesh: web(denyHeader("host", "httpbin.foo")), req: with()},
		{name: "a template with a literal star", mesh: web(denyPath("/g*et/{*}")), req: path("/ggget/x")},
		{name: "a template with an operator inside", mesh: web(denyPath("/a{*}b")), req: path("/aaab")},
		{
			name: "an output header that is none", req: with(),
			mesh: web(requestAuthentication("outputClaimToHeaders: [{header: 'a b', claim: sub}]")),
		},
		{
			name: "a header location that is none", req: with(),
			mesh: web(requestAuthentication("fromHeaders: [{name: 'a b'}]")),
		},
		{
			name: "an external authorizer whose Service is missing", req: with(),
			mesh: web(policy("{action: CUSTOM, provider: {name: ext}, rules: [{}]}"),
				configured("extensionProviders:\n- name: ext\n  envoyExtAuthzHttp: {service: nobody.foo.svc.cluster.local, port: 80}")),
		},
	}
}

// sidecarEdges are about ports, their protocols and who names them.
func sidecarEdges() []edge {
	return []edge{
		{name: "a port that no Service names", mesh: pod(denyPath("/get")), req: with()},
		{name: "a port that no Service names, over HTTP/2", mesh: pod(denyPath("/get")), req: h2(with())},
		{name: "a port that no Service names, mTLS", mesh: pod(denyPath("/get")), req: mtls(with())},
		{name: "a port without a protocol", mesh: sniffed(denyPath("/get")), req: with()},
		{
			name: "a port without a protocol, another method", req: method("BREW"),
			mesh: sniffed(policy("{rules: [{to: [{operation: {paths: [/get]}}]}]}")),
		},
		{
			name: "a port without a protocol, TLS of one's own", req: tls(with()),
			mesh: sniffed(denyPath("/get")),
		},
		{
			name: "a TCP port", req: with(),
			mesh: pod(service("httpbin", "{name: tcp-x, port: 8000, targetPort: 8080}"),
				policy("{action: DENY, rules: [{to: [{operation: {paths: [/other], ports: ['8080']}}]}]}")),
		},
		{
			name: "two Services with other protocols", req: with(),
			mesh: pod(service("b", httpPort), service("a", "{name: tcp, port: 8000, targetPort: 8080}"), denyPath("/get")),
		},
		{
			name: "appProtocol wins over the name", req: with(),
			mesh: pod(service("httpbin", "{name: tcp-x, appProtocol: http, port: 8000, targetPort: 8080}"), denyPath("/get")),
		},
		{
			name: "a mongo port", req: with(),
			mesh: pod(service("httpbin", "{name: mongo, port: 8000, targetPort: 8080}"), policy("{rules: [{to: [{operation: {paths: [/get]}}]}]}")),
		},
	}
}

// inboundEdges are about Sidecars, ServiceEntries and annotations that say which ports
// a sidecar has.
func inboundEdges() []edge {
	var out []edge
	ingress := func(name, selector, listeners string) string {
		return object("networking.istio.io/v1", "Sidecar", name, "{"+selector+" ingress: ["+listeners+"]}")
	}
	peer := func(spec string) string { return object("security.istio.io/v1", "PeerAuthentication", "peer", spec) }
	off, strict := peer("{mtls: {mode: DISABLE}}"), peer("{mtls: {mode: STRICT}}")
	const mine, other = "workloadSelector: {labels: {app: httpbin}},", "workloadSelector: {labels: {app: other}},"
	listener := func(port, protocol, more string) string {
		return "{port: {number: " + port + ", protocol: " + protocol + ", name: a}, defaultEndpoint: '127.0.0.1:80'" + more + "}"
	}
	entry := func(spec string) string {
		return object("networking.istio.io/v1", "ServiceEntry", "e", "{hosts: [e.example], resolution: STATIC, "+spec+"}")
	}
	const selects = "workloadSelector: {labels: {app: httpbin}}, "
	clients := []struct {
		name string
		req  judge.Request
	}{
		{"plaintext", with()}, {"HTTP/2", h2(with())}, {"mTLS", mtls(with())}, {"TLS of one's own", tls(with())},
	}
	for _, m := range []struct {
		name, annotations string
		objects           []string
	}{
		{"an HTTP listener of a Sidecar", "", []string{ingress("s", mine, listener("8080", "HTTP", ""))}},
		{"a TCP listener of a Sidecar", "", []string{service("httpbin", httpPort), ingress("s", mine, listener("8080", "TCP", ""))}},
		{"an HTTPS listener of a Sidecar", "", []string{ingress("s", mine, listener("8080", "HTTPS", ""))}},
		{"a Sidecar that names another port", "", []string{service("httpbin", httpPort), ingress("s", mine, listener("9090", "HTTP", ""))}},
		{"a Sidecar that names another TCP port", "", []string{service("httpbin", "{name: tcp, port: 8000, targetPort: 8080}"), ingress("s", mine, listener("9090", "HTTP", ""))}},
		{"a Sidecar without listeners", "", []string{service("httpbin", httpPort), object("networking.istio.io/v1", "Sidecar", "s", "{egress: [{hosts: ['./*']}]}")}},
		{"a Sidecar of somebody else", "", []string{service("httpbin", httpPort), ingress("s", other, listener("8080", "TCP", ""))}},
		{"a Sidecar of the namespace", "", []string{service("httpbin", httpPort), ingress("s", "", listener("8080", "TCP", ""))}},
		{"a selector wins over the namespace", "", []string{ingress("a", "", listener("8080", "TCP", "")), ingress("b", mine, listener("8080", "HTTP", ""))}},
		{"a listener that binds", "", []string{ingress("s", mine, listener("8080", "HTTP", ", captureMode: NONE"))}},
		{"a listener that binds, mTLS off", "", []string{ingress("s", mine, listener("8080", "HTTP", ", captureMode: NONE, bind: 127.0.0.1")), off}},
		{"interception NONE with a Sidecar", "sidecar.istio.io/interceptionMode: NONE", []string{ingress("s", mine, listener("8080", "HTTP", ", bind: 127.0.0.1")), off}},
		{"interception NONE with a TCP listener", "sidecar.istio.io/interceptionMode: NONE", []string{ingress("s", mine, listener("8080", "TCP", ""))}},
		{"TLS of a Sidecar is not heeded", "", []string{ingress("s", mine, listener("8080", "HTTPS", ", tls: {mode: SIMPLE, serverCertificate: a, privateKey: b}")), off}},
		{"mTLS off on a Sidecar's port", "", []string{ingress("s", mine, listener("8080", "HTTP", "")), off}},
		{"STRICT on a Sidecar's port", "", []string{ingress("s", mine, listener("8080", "HTTP", "")), strict}},
		{"a ServiceEntry that selects", "", []string{entry(selects + "ports: [{number: 8080, name: http, protocol: HTTP}]")}},
		{"a TCP ServiceEntry that selects", "", []string{entry(selects + "ports: [{number: 8080, name: a, protocol: TCP}]")}},
		{"a ServiceEntry with a target port", "", []string{entry(selects + "ports: [{number: 80, targetPort: 8080, name: a, protocol: GRPC}]")}},
		{"a ServiceEntry with the name of a port", "", []string{entry(selects + "ports: [{number: 80, targetPort: 9999, name: web, protocol: HTTP}]")}},
		{"a ServiceEntry that does not select", "", []string{entry("workloadSelector: {labels: {app: other}}, ports: [{number: 8080, name: a, protocol: TCP}]")}},
		{"a ServiceEntry before a Service", "", []string{service("httpbin", httpPort), entry(selects + "ports: [{number: 8080, name: a, protocol: TCP}]")}},
		{"a Service before a ServiceEntry", "", []string{service("a", httpPort), entry(selects + "ports: [{number: 8080, name: a, protocol: TCP}]")}},
		{"a named target port that the pods do not have", "", []string{service("httpbin", "{name: http, port: 8080, targetPort: none}")}},
		{"a named target port", "", []string{service("httpbin", "{name: grpc, port: 80, targetPort: web}")}},
		{"a headless Service", "", []string{object("v1", "Service", "httpbin", "{clusterIP: None, selector: {app: httpbin}, ports: ["+httpPort+"]}")}},
		{"a Service without selector", "", []string{object("v1", "Service", "httpbin", "{ports: ["+httpPort+"]}")}},
		{"a Service for another port", "", []string{service("httpbin", "{name: http, port: 8080, targetPort: 9090}")}},
		{"a UDP port", "", []string{service("httpbin", "{name: http, port: 8000, targetPort: 8080, protocol: UDP}")}},
		{"UDP and TCP ports", "", []string{service("httpbin", "{name: a, port: 8000, targetPort: 8080, protocol: UDP}, "+httpPort)}},
		{"a port level of STRICT", "", []string{service("httpbin", httpPort), peer("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8080: {mode: STRICT}}}")}},
		{"a port level for the Service's port", "", []string{service("httpbin", httpPort), peer("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8000: {mode: STRICT}}}")}},
		{"a port level of a port that nobody names", "", []string{peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}}")}},
		{"a port level of DISABLE that nobody names", "", []string{peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}")}},
		{"another port level of one that nobody names", "", []string{peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {9090: {mode: DISABLE}}}")}},
		{"port levels without a selector", "", []string{service("httpbin", httpPort), peer("{mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}")}},
		{"a port level that inherits", "", []string{service("httpbin", httpPort), peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: UNSET}}}")}},
	} {
		for _, c := range clients {
			for _, p := range []struct{ name, policy string }{{"DENY", denyPath("/get")}, {"ALLOW", policy("{rules: [{to: [{operation: {paths: ['/get']}}]}]}")}} {
				out = append(out, edge{
					name: m.name + ", " + p.name + ", " + c.name, req: c.req,
					mesh: annotated(m.annotations, append(m.objects[:len(m.objects):len(m.objects)], p.policy)...),
				})
			}
		}
	}
	return out
}
