package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// portEdges are about which chains a port of a sidecar has, and by whom.
func portEdges() []edge {
	peer := func(spec string) string { return object("security.istio.io/v1", "PeerAuthentication", "peer", spec) }
	off := peer("{mtls: {mode: DISABLE}}")
	sidecar := func(name, more, listeners string) string {
		return object("networking.istio.io/v1", "Sidecar", name, "{"+more+" ingress: ["+listeners+"]}")
	}
	listener := func(port, protocol, more string) string {
		return "{port: {number: " + port + ", protocol: " + protocol + ", name: a}, defaultEndpoint: '127.0.0.1:80'" + more + "}"
	}
	const mine = "workloadSelector: {labels: {app: httpbin}},"
	merge := istiod("PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE", "true")
	ownTLS := istiod("ENABLE_TLS_ON_SIDECAR_INGRESS", "true")
	const files = "serverCertificate: /a, privateKey: /b"
	entry := func(name, spec string) string {
		return object("networking.istio.io/v1", "ServiceEntry", name, "{resolution: STATIC, workloadSelector: {labels: {app: httpbin}}, "+spec+"}")
	}
	pods := func(containers string, more ...string) []string {
		return append([]string{`apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec:
      serviceAccountName: httpbin
      ` + containers}, more...)
	}
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo, labels: {istio-injection: enabled}}"
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
	}{
		{"a port of both with its own mTLS", []string{service("httpbin", httpPort), merge, sidecar("s", mine, listener("9090", "HTTP", "")), peer("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8080: {mode: STRICT}}}")}},
		{"a Sidecar's port with its own mTLS beside a Service", []string{service("httpbin", httpPort), merge, sidecar("s", mine, listener("9090", "HTTP", "")), peer("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {9090: {mode: STRICT}}}")}},
		{"a port of both", []string{service("httpbin", httpPort), merge, sidecar("s", mine, listener("8080", "TCP", ""))}},
		{"a Service beside a Sidecar", []string{service("httpbin", "{name: tcp, port: 8000, targetPort: 8080}"), merge, sidecar("s", mine, listener("9090", "HTTP", ""))}},
		{"a Service's port with its own mTLS that a Sidecar leaves out", []string{service("httpbin", httpPort), sidecar("s", mine, listener("9090", "HTTP", "")), peer("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8080: {mode: DISABLE}}}")}},
		{"an empty selector of a Sidecar", []string{sidecar("a", "", listener("8080", "TCP", "")), sidecar("b", "workloadSelector: {},", listener("8080", "HTTP", ""))}},
		{"the older of two Sidecars", []string{created(2, sidecar("a", "", listener("8080", "TCP", ""))), created(1, sidecar("b", "", listener("8080", "HTTP", "")))}},
		{"a Sidecar of the root namespace", []string{service("httpbin", httpPort), in("istio-system", sidecar("s", "", listener("8080", "TCP", "")))}},
		{"a Sidecar of the root namespace with a selector", []string{service("httpbin", httpPort), in("istio-system", sidecar("s", mine, listener("8080", "TCP", "")))}},
		{"a Sidecar of another root namespace", []string{service("httpbin", httpPort), configured("rootNamespace: bar"), in("bar", sidecar("s", "", listener("8080", "TCP", "")))}},
		{"a Sidecar's port twice", []string{sidecar("s", mine, listener("8080", "TCP", ", bind: 127.0.0.1")+", "+listener("8080", "HTTP", ""))}},
		{"a Sidecar that captures", []string{service("httpbin", "{name: tcp, port: 8000, targetPort: 8080}"), sidecar("s", mine, listener("8080", "HTTP", ", captureMode: IPTABLES"))}},
		{"gRPC-Web on a Sidecar", []string{sidecar("s", mine, listener("8080", "GRPC-WEB", ""))}},
		{"small letters on a Sidecar", []string{sidecar("s", mine, listener("8080", "http2", ""))}},
		{"a proxy's protocol on a Sidecar", []string{sidecar("s", mine, listener("8080", "HTTP_PROXY", ""))}},
		{"TLS on a Sidecar", []string{sidecar("s", mine, listener("8080", "TLS", ""))}},
		{"a protocol of nobody on a Sidecar", []string{sidecar("s", mine, listener("8080", "FOO", ""))}},
		{"a bound TCP port", []string{sidecar("s", mine, listener("8080", "TCP", ", captureMode: NONE"))}},
		{"own TLS, SIMPLE", []string{ownTLS, off, sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: SIMPLE, "+files+"}"))}},
		{"own TLS, SIMPLE, of HTTP", []string{ownTLS, off, sidecar("s", mine, listener("8080", "HTTP", ", tls: {mode: SIMPLE, "+files+"}"))}},
		{"own TLS, SIMPLE, of bytes", []string{ownTLS, off, sidecar("s", mine, listener("8080", "TCP", ", tls: {mode: SIMPLE, "+files+"}"))}},
		{"own TLS, SIMPLE, of TLS", []string{ownTLS, off, sidecar("s", mine, listener("8080", "TLS", ", tls: {mode: SIMPLE, "+files+"}"))}},
		{"own TLS, MUTUAL", []string{ownTLS, off, sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: MUTUAL, caCertificates: /c, "+files+"}"))}},
		{"own TLS, MUTUAL with names", []string{ownTLS, off, sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: MUTUAL, caCertificates: /c, subjectAltNames: [x], "+files+"}"))}},
		{"own TLS, OPTIONAL_MUTUAL", []string{ownTLS, off, sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: OPTIONAL_MUTUAL, caCertificates: /c, "+files+"}"))}},
		{"own TLS, ISTIO_MUTUAL", []string{ownTLS, off, sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: ISTIO_MUTUAL}"))}},
		{"own TLS beside PERMISSIVE", []string{ownTLS, sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: SIMPLE, "+files+"}"))}},
		{"own TLS beside STRICT", []string{ownTLS, peer("{mtls: {mode: STRICT}}"), sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: SIMPLE, "+files+"}"))}},
		{"own TLS of a port alone", []string{ownTLS, peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}"), sidecar("s", mine, listener("8080", "HTTPS", ", tls: {mode: SIMPLE, "+files+"}"))}},
		{"appProtocol h2c", []string{service("httpbin", "{name: tcp, appProtocol: kubernetes.io/h2c, port: 8000, targetPort: 8080}")}},
		{"appProtocol ws", []string{service("httpbin", "{name: tcp, appProtocol: kubernetes.io/ws, port: 8000, targetPort: 8080}")}},
		{"appProtocol wss", []string{service("httpbin", "{name: http, appProtocol: kubernetes.io/wss, port: 8000, targetPort: 8080}")}},
		{"appProtocol of nobody", []string{service("httpbin", "{name: http, appProtocol: example.com/foo, port: 8000, targetPort: 8080}")}},
		{"appProtocol in capitals", []string{service("httpbin", "{name: tcp, appProtocol: HTTP, port: 8000, targetPort: 8080}")}},
		{"appProtocol grpc-web", []string{service("httpbin", "{name: tcp, appProtocol: grpc-web, port: 8000, targetPort: 8080}")}},
		{"appProtocol with more", []string{service("httpbin", "{name: tcp, appProtocol: http-foo, port: 8000, targetPort: 8080}")}},
		{"the name grpc-webfoo", []string{service("httpbin", "{name: grpc-webfoo, port: 8000, targetPort: 8080}")}},
		{"the name httpfoo", []string{service("httpbin", "{name: httpfoo, port: 8000, targetPort: 8080}")}},
		{"the name http2", []string{service("httpbin", "{name: http2, port: 8000, targetPort: 8080}")}},
		{"the name udp", []string{service("httpbin", "{name: udp, port: 8000, targetPort: 8080}")}},
		{"the port of a database", []string{service("httpbin", "{name: main, port: 3306, targetPort: 8080}")}},
		{"the port of a database, for HTTP", []string{service("httpbin", "{name: http, port: 27017, targetPort: 8080}")}},
		{"the target port of a database", []string{service("httpbin", "{name: main, port: 80, targetPort: 3306}, {name: other, port: 8080}")}},
		{"two ports with one target", []string{service("httpbin", "{name: tcp, port: 8000, targetPort: 8080}, {name: http, port: 8001, targetPort: 8080}")}},
		{"a UDP port and then a TCP port", []string{service("httpbin", "{name: dns, port: 8000, targetPort: 8080, protocol: UDP}, {name: http, port: 8000, targetPort: 8080}")}},
		{"the older of two Services", []string{created(2, service("a", httpPort)), created(1, service("b", "{name: tcp, port: 1, targetPort: 8080}"))}},
		{"the older of a Service and a ServiceEntry", []string{created(2, service("a", httpPort)), created(1, entry("e", "hosts: [z.example], ports: [{number: 8080, name: a, protocol: TCP}]"))}},
		{"a Service of another namespace", []string{in("bar", service("httpbin", "{name: tcp, port: 8000, targetPort: 8080}"))}},
		{"a ServiceEntry of another namespace", []string{in("bar", entry("e", "hosts: [z.example], ports: [{number: 8080, name: a, protocol: TCP}]"))}},
		{"a Service that is exported to nobody", []string{strings.Replace(service("httpbin", httpPort), "namespace: foo}", "namespace: foo, annotations: {networking.istio.io/exportTo: '~'}}", 1)}},
		{"a ServiceEntry that is exported to nobody", []string{entry("e", "hosts: [z.example], exportTo: ['~'], ports: [{number: 8080, name: a, protocol: TCP}]")}},
		{"a ServiceEntry outside of the mesh", []string{entry("e", "hosts: [z.example], location: MESH_EXTERNAL, ports: [{number: 8080, name: a, protocol: TCP}]")}},
		{"a ServiceEntry with a star", []string{entry("e", "hosts: ['*.example'], ports: [{number: 8080, name: a, protocol: HTTP}]")}},
		{"a ServiceEntry with two hosts", []string{entry("e", "hosts: [b.example, a.example], ports: [{number: 8080, name: a, protocol: HTTP}]")}},
		{"a ServiceEntry for HTTPS", []string{entry("e", "hosts: [z.example], ports: [{number: 8080, name: a, protocol: HTTPS}]")}},
		{"a ServiceEntry without a protocol", []string{entry("e", "hosts: [z.example], ports: [{number: 8080, name: http}]")}},
		{"a DestinationRule that turns TLS off", []string{service("httpbin", httpPort), object("networking.istio.io/v1", "DestinationRule", "d", "{host: httpbin.foo.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}")}},
		{"a limit of inbound connections", []string{service("httpbin", httpPort), object("networking.istio.io/v1", "Sidecar", "s", "{"+mine+" inboundConnectionPool: {http: {maxRequestsPerConnection: 1}}}")}},
		{"a VirtualService in front", []string{service("httpbin", httpPort), virtualService("v", "{hosts: [httpbin], http: [{fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {host: httpbin}}]}]}")}},
		{"a port by name in the second container", pods("containers: [{name: a, image: a, ports: [{containerPort: 1, name: other}]}, {name: b, image: b, ports: [{containerPort: 8080, name: web}]}]", namespace, service("httpbin", "{name: tcp, port: 80, targetPort: web}"))},
		{"a port by name twice", pods("containers: [{name: a, image: a, ports: [{containerPort: 9090, name: web}]}, {name: b, image: b, ports: [{containerPort: 8080, name: web}]}]", namespace, service("httpbin", "{name: tcp, port: 80, targetPort: web}"))},
		{"a port by name of a native sidecar", pods("initContainers: [{name: a, image: a, restartPolicy: Always, ports: [{containerPort: 8080, name: web}]}]\n      containers: [{name: b, image: b}]", namespace, service("httpbin", "{name: tcp, port: 80, targetPort: web}"))},
		{"a port by name of an init container", pods("initContainers: [{name: a, image: a, ports: [{containerPort: 8080, name: web}]}]\n      containers: [{name: b, image: b}]", namespace, service("httpbin", "{name: tcp, port: 80, targetPort: web}"))},
		{"a port by name of a native sidecar and another", pods("initContainers: [{name: a, image: a, restartPolicy: Always, ports: [{containerPort: 9090, name: web}]}]\n      containers: [{name: b, image: b, ports: [{containerPort: 8080, name: web}]}]", namespace, service("httpbin", "{name: tcp, port: 80, targetPort: web}"))},
		{"a port by name and protocol", pods("containers: [{name: a, image: a, ports: [{containerPort: 9090, name: web, protocol: UDP}, {containerPort: 8080, name: web}]}]", namespace, service("httpbin", "{name: tcp, port: 80, targetPort: web}"))},
	} {
		for _, c := range []struct {
			name string
			req  judge.Request
		}{
			{"plaintext", with()}, {"mTLS", mtls(with())}, {"TLS of one's own", tls(with())}, {"a certificate", certified(with())},
		} {
			for _, p := range []struct{ name, policy string }{{"DENY", denyPath("/get")}, {"ALLOW", policy("{rules: [{from: [{source: {principals: ['cluster.local/ns/foo/sa/bar']}}]}, {to: [{operation: {paths: ['/get']}}]}]}")}} {
				objects := append(m.objects[:len(m.objects):len(m.objects)], p.policy)
				out = append(out, edge{name: fmt.Sprintf("port: %s, %s, %s", m.name, p.name, c.name), mesh: behindWorkload(objects), req: c.req})
			}
		}
	}
	return out
}
