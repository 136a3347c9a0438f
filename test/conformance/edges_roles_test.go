package conformance

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// kubeGateway is a Gateway of the Gateway API in the namespace foo.
func kubeGateway(class, listeners string) string {
	return object("gateway.networking.k8s.io/v1", "Gateway", "edge", "{gatewayClassName: "+class+", listeners: ["+listeners+"]}")
}

// kubeGatewayEdges are about listeners of the Gateway API.
func kubeGatewayEdges() []edge {
	const (
		certificate = "certificateRefs: [{name: c}]"
		backend     = "rules: [{backendRefs: [{name: httpbin, port: 8000}]}]"
	)
	namespaces := func(names string) string { return ", allowedRoutes: {namespaces: {from: " + names + "}}" }
	route := func(kind, namespace, spec string) string {
		version := "v1alpha2"
		if kind == "HTTPRoute" {
			version = "v1"
		}
		return strings.Replace(object("gateway.networking.k8s.io/"+version, kind, "r", spec), "namespace: foo", "namespace: "+namespace, 1)
	}
	tcp := route("TCPRoute", "foo", "{parentRefs: [{name: edge}], "+backend+"}")
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
	}{
		{"HTTP", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTP}")}},
		{"HTTP with a hostname", []string{kubeGateway("istio", "{name: a, hostname: a.b, port: 8080, protocol: HTTP}")}},
		{"two HTTP listeners", []string{kubeGateway("istio", "{name: a, hostname: a.b, port: 8080, protocol: HTTP}, {name: b, hostname: '*.b', port: 8080, protocol: HTTP}")}},
		{"two of one hostname", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTP}, {name: b, port: 8080, protocol: HTTPS, tls: {"+certificate+"}}")}},
		{"HTTPS", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTPS, tls: {"+certificate+"}}")}},
		{"HTTPS for one name", []string{kubeGateway("istio", "{name: a, hostname: a.b, port: 8080, protocol: HTTPS, tls: {mode: Terminate, "+certificate+"}}")}},
		{"HTTPS for another name", []string{kubeGateway("istio", "{name: a, hostname: c.d, port: 8080, protocol: HTTPS, tls: {"+certificate+"}}")}},
		{"HTTPS for a wildcard", []string{kubeGateway("istio", "{name: a, hostname: '*.b', port: 8080, protocol: HTTPS, tls: {"+certificate+"}}")}},
		{"HTTPS and HTTPS", []string{kubeGateway("istio", "{name: a, hostname: c.d, port: 8080, protocol: HTTPS, tls: {"+certificate+"}}, {name: b, hostname: a.b, port: 8080, protocol: HTTPS, tls: {"+certificate+"}}")}},
		{"HTTPS by an option, MUTUAL", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTPS, tls: {options: {gateway.istio.io/tls-terminate-mode: MUTUAL}, "+certificate+"}}")}},
		{"HTTPS by an option, ISTIO_MUTUAL", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTPS, tls: {options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}}")}},
		{"TCP without a route", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: TCP}")}},
		{"TCP with a route", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: TCP}"), tcp}},
		{"TCP with a route of another section", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: TCP}"), route("TCPRoute", "foo", "{parentRefs: [{name: edge, sectionName: b}], "+backend+"}")}},
		{"TCP with a route of another port", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: TCP}"), route("TCPRoute", "foo", "{parentRefs: [{name: edge, port: 1}], "+backend+"}")}},
		{"TCP with a route of another namespace", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: TCP}"), route("TCPRoute", "bar", "{parentRefs: [{name: edge, namespace: foo}], "+backend+"}")}},
		{"TCP with a route of another namespace that may", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: TCP"+namespaces("All")+"}"), route("TCPRoute", "bar", "{parentRefs: [{name: edge, namespace: foo}], rules: [{backendRefs: [{name: x, port: 1}]}]}")}},
		{"TLS that passes without a route", []string{kubeGateway("istio", "{name: a, hostname: '*.b', port: 8080, protocol: TLS, tls: {mode: Passthrough}}")}},
		{"TLS that passes", []string{kubeGateway("istio", "{name: a, hostname: '*.b', port: 8080, protocol: TLS, tls: {mode: Passthrough}}"), route("TLSRoute", "foo", "{parentRefs: [{name: edge}], hostnames: [a.b], "+backend+"}")}},
		{"TLS that passes to another name", []string{kubeGateway("istio", "{name: a, hostname: '*.b', port: 8080, protocol: TLS, tls: {mode: Passthrough}}"), route("TLSRoute", "foo", "{parentRefs: [{name: edge}], hostnames: [c.d], "+backend+"}")}},
		{"TLS that is ended", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: TLS, tls: {mode: Terminate, "+certificate+"}}"), tcp}},
		{"a policy by its label", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTP}"), strings.Replace(denyPath("/get"), "spec: {", "spec: {selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: edge}}, ", 1)}},
		{"a policy for it", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTP}"), policy("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}], action: DENY, rules: [{}]}")}},
		{"a policy for another", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTP}"), policy("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x}], action: DENY, rules: [{}]}")}},
		{"a policy for it and others", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTP}"), policy("{targetRefs: [{kind: Service, name: edge, group: ''}, {group: gateway.networking.k8s.io, kind: Gateway, name: edge}], action: DENY, rules: [{}]}")}},
		{"an HTTPRoute", []string{kubeGateway("istio", "{name: a, port: 8080, protocol: HTTP}"), route("HTTPRoute", "foo", "{parentRefs: [{name: edge}], "+backend+"}")}},
	} {
		for _, c := range []struct {
			name string
			req  judge.Request
		}{{"plaintext", with()}, {"TLS", tls(with())}, {"a certificate", certified(with())}, {"forwarded", with("x-forwarded-for", "1.2.3.4", "x-forwarded-proto", "https")}} {
			for _, p := range []struct{ name, policy string }{
				{"no policy", ""}, {"DENY", strings.Replace(denyPath("/get"), "name: p", "name: q", 1)}, {"ALLOW of an address", strings.Replace(policy("{rules: [{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}]}"), "name: p", "name: q", 1)},
			} {
				objects := append(m.objects[:len(m.objects):len(m.objects)], service("httpbin", httpPort))
				if p.policy != "" {
					objects = append(objects, p.policy)
				}
				out = append(out, edge{name: "Gateway API: " + m.name + ", " + c.name + ", " + p.name, mesh: pod(objects...), req: c.req, target: "gateway/edge"})
			}
		}
	}
	return out
}

// waypointEdges are about what a waypoint stands in front of.
func waypointEdges() []edge {
	const front = "labels: {istio.io/use-waypoint: wp}"
	waypoint := object("gateway.networking.k8s.io/v1", "Gateway", "wp", "{gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}")
	svc := func(labels, ports string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: httpbin, namespace: foo, " + labels + "}\nspec: {clusterIP: 10.96.1.2, selector: {app: httpbin}, ports: [" + ports + "]}"
	}
	const http = "{name: http, port: 8080, targetPort: 8080}"
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
	}{
		{"a Service", []string{svc(front, http)}},
		{"a TCP Service", []string{svc(front, "{name: tcp, port: 8080}")}},
		{"a sniffed Service", []string{svc(front, "{port: 8080}")}},
		{"several ports", []string{svc(front, "{name: a, port: 80, targetPort: 8080}, {name: http, port: 8080, targetPort: 80}")}},
		{"a gRPC Service", []string{svc(front, "{name: grpc, port: 8080}")}},
		{"for the Service", []string{svc(front, http), policy("{targetRefs: [{kind: Service, group: '', name: httpbin}], action: DENY, rules: [{to: [{operation: {ports: ['8080']}}]}]}")}},
		{"for the core Service", []string{svc(front, http), policy("{targetRefs: [{kind: Service, group: core, name: httpbin}], action: DENY, rules: [{}]}")}},
		{"for the Gateway", []string{svc(front, http), policy("{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: wp}], action: DENY, rules: [{from: [{source: {principals: ['cluster.local/ns/foo/sa/bar']}}]}]}")}},
		{"for the class", []string{svc(front, http), strings.Replace(policy("{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}], action: DENY, rules: [{}]}"), "namespace: foo", "namespace: istio-system", 1)}},
		{"for the class in another namespace", []string{svc(front, http), policy("{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}], action: DENY, rules: [{}]}")}},
		{"by a selector", []string{svc(front, http), policy("{selector: {matchLabels: {app: httpbin}}, action: DENY, rules: [{}]}")}},
		{"for everything", []string{svc(front, http), policy("{action: DENY, rules: [{}]}")}},
		{"ALLOW nothing for the Service", []string{svc(front, http), policy("{targetRefs: [{kind: Service, group: '', name: httpbin}]}")}},
		{"a namespace of the client", []string{svc(front, http), policy("{targetRefs: [{kind: Service, group: '', name: httpbin}], action: ALLOW, rules: [{from: [{source: {namespaces: [foo]}}]}]}")}},
		{"an address of the client", []string{svc(front, http), policy("{targetRefs: [{kind: Service, group: '', name: httpbin}], action: DENY, rules: [{from: [{source: {ipBlocks: [127.0.0.0/8]}}]}]}")}},
		{"a forwarded address", []string{svc(front, http), policy("{targetRefs: [{kind: Service, group: '', name: httpbin}], action: DENY, rules: [{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}]}")}},
		{"an authentication for the Service", []string{svc(front, http), strings.Replace(requestAuthentication("forwardOriginalToken: true"), "spec: {", "spec: {targetRefs: [{kind: Service, group: '', name: httpbin}], ", 1)}},
	} {
		for _, c := range []struct {
			name string
			req  judge.Request
		}{
			{"plain", mtls(with())}, {"forwarded", mtls(with("x-forwarded-for", "1.2.3.4"))}, {"HTTP/2", mtls(h2(with()))}, {"a bad token", mtls(with("authorization", "Bearer x"))},
			{"another host", mtls(get(func(r *judge.Request) { r.Host = "other.example" }))},
		} {
			out = append(out, edge{name: "waypoint: " + m.name + ", " + c.name, mesh: pod(append([]string{waypoint}, m.objects...)...), req: c.req, target: "svc/httpbin"})
		}
	}
	return out
}
