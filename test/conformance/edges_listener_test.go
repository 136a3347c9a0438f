package conformance

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// gatewayOf is a Gateway of the Gateway API in the namespace foo, with what else its
// metadata and its spec say.
func gatewayOf(name, class, metadata, spec, listeners string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: " + name + ", namespace: foo" + metadata +
		"}\nspec: {gatewayClassName: " + class + spec + ", listeners: [" + listeners + "]}"
}

// manual is a workload of the Gateway edge that somebody made, and its Service.
func manual(labels string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: manual, namespace: foo}
spec:
  selector: {matchLabels: {app: manual}}
  template:
    metadata: {labels: {app: manual, gateway.networking.k8s.io/gateway-name: edge` + labels + `}}
    spec:
      serviceAccountName: manual
      containers: [{name: istio-proxy, image: auto, args: [proxy, router]}]
---
` + object("v1", "Service", "manual", "{selector: {app: manual}, ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 443, targetPort: 8443}]}")
}

// listenerEdges are about Gateways of the Gateway API: their classes, Services, listeners
// and certificates, and others that share their workload.
func listenerEdges() []edge {
	const (
		class   = "istio"
		http    = "{name: a, port: 8080, protocol: HTTP}"
		toHere  = ", addresses: [{type: Hostname, value: manual}]"
		at80    = "{name: a, port: 80, protocol: HTTP}"
		cert    = "certificateRefs: [{name: c}]"
		backend = "rules: [{backendRefs: [{name: httpbin, port: 8000}]}]"
	)
	https := func(tls string) string { return "{name: a, port: 8080, protocol: HTTPS, tls: {" + tls + "}}" }
	frontend := func(spec string) string { return ", tls: {frontend: {" + spec + "}}" }
	gatewayClass := func(name, controller string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: " + name + "}\nspec: {controllerName: " + controller + "}"
	}
	route := func(kind, spec string) string {
		return object("gateway.networking.k8s.io/v1", kind, "r", "{parentRefs: [{name: edge}], "+spec+"}")
	}
	const http9 = "{name: a, port: 9090, protocol: HTTP}"
	set := func(namespace, name, listeners string) string {
		return in(namespace, object("gateway.networking.k8s.io/v1", "ListenerSet", name, "{parentRef: {name: edge, namespace: foo}, listeners: ["+listeners+"]}"))
	}
	classic := func(selector, server string) string {
		return object("networking.istio.io/v1", "Gateway", "g", "{selector: {"+selector+"}, servers: ["+server+"]}")
	}
	plaintext := []judge.Request{with(), tls(with())}
	secure := []judge.Request{tls(with()), certified(with()), with()}
	cluster := mtls(with())
	cluster.Client.SNI = "outbound_.8000_._.httpbin.foo.svc.cluster.local"
	httpbin := service("httpbin", httpPort)
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
		target  string
		port    int
		reqs    []judge.Request
	}{
		{"OPTIONAL_MUTUAL", []string{gatewayOf("edge", class, "", "", https("options: {gateway.istio.io/tls-terminate-mode: OPTIONAL_MUTUAL}, "+cert))}, "", 0, secure},
		{"ISTIO_SIMPLE", []string{gatewayOf("edge", class, "", "", https("options: {gateway.istio.io/tls-terminate-mode: ISTIO_SIMPLE}"))}, "", 0, secure},
		{"an option of nobody", []string{gatewayOf("edge", class, "", "", https("options: {gateway.istio.io/tls-terminate-mode: FOO}, "+cert))}, "", 0, secure},
		{"without a certificate", []string{gatewayOf("edge", class, "", "", https("mode: Terminate"))}, "", 0, secure},
		{"with two certificates", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{name: c}, {name: d}]"))}, "", 0, secure},
		{"with three certificates", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{name: c}, {name: d}, {name: e}]"))}, "", 0, secure},
		{"with a certificate that is no Secret", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{kind: ConfigMap, name: c}]"))}, "", 0, secure},
		{"with a certificate of another group", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{group: example.com, name: c}]"))}, "", 0, secure},
		{"with a certificate that is no Secret, and one", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{kind: ConfigMap, name: c}, {name: d}]"))}, "", 0, secure},
		{"with a certificate of another namespace", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{name: c, namespace: bar}]"))}, "", 0, secure},
		{"with a certificate of another namespace that may", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{name: c, namespace: bar}]")), in("bar", object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "r", "{from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: foo}], to: [{group: '', kind: Secret}]}"))}, "", 0, secure},
		{"with a certificate of another namespace that may by name", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{name: c, namespace: bar}]")), in("bar", object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "r", "{from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: foo}], to: [{group: '', kind: Secret, name: d}]}"))}, "", 0, secure},
		{"with a certificate of another namespace, granted elsewhere", []string{gatewayOf("edge", class, "", "", https("certificateRefs: [{name: c, namespace: bar}]")), object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "r", "{from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: foo}], to: [{group: '', kind: Secret}]}")}, "", 0, secure},
		{"HTTPS that passes", []string{gatewayOf("edge", class, "", "", https("mode: Passthrough"))}, "", 0, secure},
		{"TLS without tls", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TLS}")}, "", 0, secure},
		{"HTTP with tls", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: HTTP, tls: {"+cert+"}}")}, "", 0, plaintext},
		{"small letters", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: http}")}, "", 0, plaintext},
		{"UDP", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: UDP}, {name: b, port: 8080, protocol: HTTP}")}, "", 0, plaintext},
		{"HBONE", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: HBONE}, {name: b, port: 8080, protocol: HTTP}")}, "", 0, plaintext},
		{"clients are validated", []string{gatewayOf("edge", class, "", frontend("default: {validation: {caCertificateRefs: [{kind: Secret, group: '', name: c}]}}"), https(cert))}, "", 0, secure},
		{"clients are validated, or not", []string{gatewayOf("edge", class, "", frontend("default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{kind: Secret, group: '', name: c}]}}"), https(cert))}, "", 0, secure},
		{"clients are validated on another port", []string{gatewayOf("edge", class, "", frontend("default: {}, perPort: [{port: 9999, tls: {validation: {caCertificateRefs: [{kind: Secret, group: '', name: c}]}}}]"), https(cert))}, "", 0, secure},
		{"clients are validated on the port", []string{gatewayOf("edge", class, "", frontend("default: {}, perPort: [{port: 8080, tls: {validation: {caCertificateRefs: [{kind: Secret, group: '', name: c}]}}}]"), https(cert))}, "", 0, secure},
		{"clients are validated but on the port", []string{gatewayOf("edge", class, "", frontend("default: {validation: {caCertificateRefs: [{kind: Secret, group: '', name: c}]}}, perPort: [{port: 8080, tls: {}}]"), https(cert))}, "", 0, secure},
		{"clients are validated by two", []string{gatewayOf("edge", class, "", frontend("default: {validation: {caCertificateRefs: [{kind: Secret, group: '', name: c}, {kind: Secret, group: '', name: d}]}}"), https(cert))}, "", 0, secure},
		{"clients are validated by a ConfigMap", []string{gatewayOf("edge", class, "", frontend("default: {validation: {caCertificateRefs: [{kind: ConfigMap, group: '', name: ca}]}}"), https(cert))}, "", 0, secure},
		{"clients are validated and an option", []string{gatewayOf("edge", class, "", frontend("default: {validation: {caCertificateRefs: [{kind: Secret, group: '', name: c}]}}"), https("options: {gateway.istio.io/tls-terminate-mode: OPTIONAL_MUTUAL}, "+cert))}, "", 0, secure},
		{"the port of other networks", []string{httpbin, gatewayOf("edge", class, ", labels: {topology.istio.io/network: net}", "", "{name: a, port: 15443, protocol: TLS, tls: {mode: Passthrough}}")}, "", 15443, []judge.Request{cluster, tls(with())}},
		{"the port of other networks without a network", []string{httpbin, gatewayOf("edge", class, "", "", "{name: a, port: 15443, protocol: TLS, tls: {mode: Passthrough}}")}, "", 15443, []judge.Request{cluster}},
		{"another port of other networks", []string{httpbin, gatewayOf("edge", class, ", labels: {topology.istio.io/network: net, networking.istio.io/gatewayPort: '8080'}", "", "{name: a, port: 8080, protocol: TLS, tls: {mode: Passthrough}}")}, "", 0, []judge.Request{cluster, tls(with())}},
		{"other networks by an option", []string{httpbin, gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TLS, tls: {mode: Passthrough, options: {gateway.istio.io/listener-protocol: auto-passthrough}}}")}, "", 0, []judge.Request{cluster, tls(with())}},
		{"other networks by an option, for one host", []string{httpbin, gatewayOf("edge", class, "", "", "{name: a, port: 8080, hostname: '*.local', protocol: TLS, tls: {mode: Passthrough, options: {gateway.istio.io/listener-protocol: auto-passthrough}}}")}, "", 0, []judge.Request{cluster, tls(with())}},
		{"a class of one's own", []string{gatewayClass("mine", "istio.io/gateway-controller"), gatewayOf("edge", "mine", "", "", http)}, "", 0, plaintext},
		{"a class of somebody else", []string{gatewayClass("nginx", "example.com/nginx"), gatewayOf("edge", "nginx", "", toHere, at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"the class istio of somebody else", []string{gatewayClass("istio", "example.com/nginx"), gatewayOf("edge", class, "", toHere, at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"the class of remote gateways", []string{gatewayOf("edge", "istio-remote", "", toHere, at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"a Service of its own", []string{gatewayOf("edge", class, "", toHere, at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"a Service by its long name", []string{gatewayOf("edge", class, "", ", addresses: [{type: Hostname, value: manual.foo.svc.cluster.local}]", at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"a Service by half of its name", []string{gatewayOf("edge", class, "", ", addresses: [{type: Hostname, value: manual.foo}]", at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"a Service of another namespace", []string{gatewayOf("edge", class, "", ", addresses: [{type: Hostname, value: manual.bar.svc.cluster.local}]", at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"an address and a Service", []string{gatewayOf("edge", class, "", ", addresses: [{type: IPAddress, value: 1.2.3.4}, {type: Hostname, value: manual}]", at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"a Service whose switch is off", []string{istiod("ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT", "false"), gatewayOf("edge", class, "", toHere, at80), manual("")}, "deploy/manual", 8080, plaintext},
		{"a port that the Service does not have", []string{gatewayOf("edge", class, "", toHere, "{name: a, port: 8080, protocol: HTTP}"), manual("")}, "deploy/manual", 8080, plaintext},
		{"two Gateways on one Service", []string{gatewayOf("edge", class, "", toHere, at80), gatewayOf("other", class, "", toHere, "{name: a, port: 80, protocol: HTTP, hostname: a.b}"), manual("")}, "deploy/manual", 8080, plaintext},
		{"two Gateways with one host", []string{gatewayOf("edge", class, "", toHere, "{name: a, port: 443, hostname: a.b, protocol: HTTPS, tls: {"+cert+"}}"), gatewayOf("other", class, "", toHere, "{name: a, port: 443, hostname: a.b, protocol: HTTPS, tls: {"+cert+"}}"), manual("")}, "deploy/manual", 8443, secure},
		{"two Gateways with one host, one of them for all", []string{gatewayOf("edge", class, "", toHere, "{name: a, port: 443, hostname: a.b, protocol: HTTPS, tls: {"+cert+"}}"), gatewayOf("other", class, "", toHere, "{name: a, port: 443, hostname: a.b, protocol: HTTPS, tls: {"+cert+"}, allowedRoutes: {namespaces: {from: All}}}"), manual("")}, "deploy/manual", 8443, secure},
		{"a Gateway for somebody else's policies", []string{gatewayOf("edge", class, "", toHere, at80), gatewayOf("other", class, "", toHere, "{name: a, port: 80, protocol: HTTP, hostname: a.b}"), manual(""), strings.Replace(policy("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: other}], action: DENY, rules: [{}]}"), "name: p,", "name: q,", 1)}, "deploy/manual", 8080, plaintext},
		{"a classic Gateway beside", []string{gatewayOf("edge", class, "", "", http), classic("gateway.networking.k8s.io/gateway-name: edge", "{port: {number: 9090, name: h, protocol: HTTP}, hosts: ['*']}")}, "", 9090, plaintext},
		{"a classic Gateway of another namespace beside", []string{gatewayOf("edge", class, "", "", http), in("bar", classic("gateway.networking.k8s.io/gateway-name: edge", "{port: {number: 9090, name: h, protocol: HTTP}, hosts: ['*']}"))}, "", 9090, plaintext},
		{"a classic Gateway of another namespace beside, with the switch off", []string{istiod("PILOT_ENABLE_STRICT_GATEWAY_MERGING", "false"), gatewayOf("edge", class, "", "", http), in("bar", classic("gateway.networking.k8s.io/gateway-name: edge", "{port: {number: 9090, name: h, protocol: HTTP}, hosts: ['*']}"))}, "", 9090, plaintext},
		{"a classic Gateway of another namespace beside a Service of its own", []string{gatewayOf("edge", class, "", toHere, at80), manual(""), in("bar", classic("app: manual", "{port: {number: 9090, name: h, protocol: HTTP}, hosts: ['*']}"))}, "deploy/manual", 9090, plaintext},
		{"a classic Gateway of another namespace before", []string{created(2, gatewayOf("edge", class, "", toHere, at80)), manual(""), in("bar", classic("app: manual", "{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}"))}, "deploy/manual", 8080, plaintext},
		{"another name", []string{gatewayOf("edge", class, ", annotations: {gateway.istio.io/name-override: own}", "", http)}, "", 0, plaintext},
		{"labels of its infrastructure", []string{gatewayOf("edge", class, ", labels: {app: x}", ", infrastructure: {labels: {app: httpbin}}", http), strings.Replace(policy("{selector: {matchLabels: {app: httpbin}}, action: DENY, rules: [{}]}"), "name: p,", "name: q,", 1)}, "", 0, plaintext},
		{"labels of its own", []string{gatewayOf("edge", class, ", labels: {app: x}", "", http), strings.Replace(policy("{selector: {matchLabels: {app: x}}, action: DENY, rules: [{}]}"), "name: p,", "name: q,", 1)}, "", 0, plaintext},
		{"labels that the controller makes", []string{gatewayOf("edge", class, "", "", http), strings.Replace(policy("{selector: {matchLabels: {service.istio.io/canonical-name: edge-istio, gateway.istio.io/managed: istio.io-gateway-controller}}, action: DENY, rules: [{}]}"), "name: p,", "name: q,", 1)}, "", 0, plaintext},
		{"a class's label in a policy", []string{gatewayOf("edge", class, "", "", http), strings.Replace(policy("{selector: {matchLabels: {gateway.networking.k8s.io/gateway-class-name: istio}}, action: DENY, rules: [{}]}"), "name: p,", "name: q,", 1)}, "", 0, plaintext},
		{"settings in its annotations", []string{gatewayOf("edge", class, `, annotations: {proxy.istio.io/config: "connectionSettings: {profile: EDGE}"}`, "", http)}, "", 0, []judge.Request{with("a_b", "1"), path("/x%2fy")}},
		{"TLS that is ended, with a TLS route", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TLS, tls: {"+cert+"}}"), route("TLSRoute", "hostnames: [a.b], "+backend), httpbin}, "", 0, secure},
		{"TLS that is ended, with a TLS route of another name", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, hostname: a.b, protocol: TLS, tls: {"+cert+"}}"), route("TLSRoute", "hostnames: [c.d], "+backend), httpbin}, "", 0, secure},
		{"TLS that passes, with a TLS route of a star", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, hostname: a.b, protocol: TLS, tls: {mode: Passthrough}}"), route("TLSRoute", "hostnames: ['*.b'], "+backend), httpbin}, "", 0, secure},
		{"TLS that passes, with a TLS route without backend", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, hostname: a.b, protocol: TLS, tls: {mode: Passthrough}}"), route("TLSRoute", "hostnames: [a.b], rules: [{backendRefs: [{name: nobody, port: 1}]}]")}, "", 0, secure},
		{"TCP with a route of no weight", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TCP}"), route("TCPRoute", "rules: [{backendRefs: [{name: httpbin, port: 8000, weight: 0}]}]"), httpbin}, "", 0, plaintext},
		{"TCP with a route of another namespace's backend", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TCP}"), route("TCPRoute", "rules: [{backendRefs: [{name: httpbin, namespace: bar, port: 8000}]}]"), in("bar", httpbin)}, "", 0, plaintext},
		{"TCP that takes HTTP routes alone", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TCP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}"), route("TCPRoute", backend), httpbin}, "", 0, plaintext},
		{"a namespace by its label", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TCP, allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [red]}]}}}}"),
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: bar, labels: {team: blue}}", in("bar", object("gateway.networking.k8s.io/v1", "TCPRoute", "r", "{parentRefs: [{name: edge, namespace: foo}], "+backend+"}")), in("bar", httpbin)}, "", 0, plaintext},
		{"a set of listeners", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Same}}", http), set("foo", "s", http9)}, "", 9090, plaintext},
		{"a set of listeners that may not", []string{gatewayOf("edge", class, "", "", http), set("foo", "s", http9)}, "", 9090, plaintext},
		{"a set of listeners of another namespace", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Same}}", http), set("bar", "s", http9)}, "", 9090, plaintext},
		{"a set of listeners of any namespace", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: All}}", http), set("bar", "s", http9)}, "", 9090, plaintext},
		{"a set of listeners of a namespace by its label", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Selector, selector: {matchLabels: {team: red}}}}", http),
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: bar, labels: {team: red}}", set("bar", "s", http9)}, "", 9090, plaintext},
		{"a set of listeners of a namespace that is not there", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Selector, selector: {}}}", http), set("bar", "s", http9)}, "", 9090, plaintext},
		{"a set whose listener the Gateway has", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Same}}", https(cert)), set("foo", "s", http)}, "", 0, secure},
		{"two sets with one listener", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Same}}", http), set("foo", "b", http9), created(1, strings.Replace(set("foo", "a", "{name: a, port: 9090, protocol: HTTPS, tls: {"+cert+"}}"), "9090, protocol: HTTPS", "9090, protocol: HTTPS", 1))}, "", 9090, secure},
		{"a set with bytes and a route", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Same}}", http), set("foo", "s", "{name: a, port: 9090, protocol: TCP}"), strings.Replace(route("TCPRoute", backend), "{name: edge}", "{kind: ListenerSet, name: s}", 1), httpbin}, "", 9090, plaintext},
		{"a set with bytes and a route of the Gateway", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: Same}}", http), set("foo", "s", "{name: a, port: 9090, protocol: TCP}"), route("TCPRoute", backend), httpbin}, "", 9090, plaintext},
		{"a set and a classic Gateway of its namespace", []string{gatewayOf("edge", class, "", ", allowedListeners: {namespaces: {from: All}}", http), set("bar", "s", "{name: a, port: 9091, protocol: HTTP}"), in("bar", classic("gateway.networking.k8s.io/gateway-name: edge", "{port: {number: 9090, name: h, protocol: HTTP}, hosts: ['*']}"))}, "", 9090, plaintext},
		{"a VirtualService for it", []string{gatewayOf("edge", class, "", "", "{name: a, port: 8080, protocol: TCP}"), virtualService("v", "{hosts: ['*'], gateways: [edge], tcp: [{route: [{destination: {host: httpbin}}]}]}"), httpbin}, "", 0, plaintext},
	} {
		for i, r := range m.reqs {
			for _, p := range []struct{ name, policy string }{{"no policy", ""}, {"ALLOW of a name", policy("{rules: [{from: [{source: {principals: ['cluster.local/ns/foo/sa/bar']}}]}]}")}, {"DENY", denyPath("/get")}} {
				objects := m.objects
				if p.policy != "" {
					objects = append(objects[:len(objects):len(objects)], p.policy)
				}
				e := edge{name: "listener: " + m.name + ", request " + string(rune('a'+i)) + ", " + p.name, mesh: strings.Join(objects, "\n---\n") + "\n", req: r, target: "gateway/edge", port: m.port}
				if m.target != "" {
					e.target = m.target
				}
				out = append(out, e)
			}
		}
	}
	return out
}

// frontedEdges are about what leads to a waypoint, and what does not.
func frontedEdges() []edge {
	const (
		front = "labels: {istio.io/use-waypoint: wp}"
		http  = "{name: http, port: 8080, targetPort: 8080}"
		hbone = "{name: mesh, port: 15008, protocol: HBONE}"
	)
	wp := gatewayOf("wp", "istio-waypoint", "", "", hbone)
	svc := func(name, labels, address, ports string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: foo, " + labels + "}\nspec: {clusterIP: " + address + ", selector: {app: httpbin}, ports: [" + ports + "]}"
	}
	ours := svc("httpbin", front, "10.96.1.2", http)
	entry := func(spec string) string {
		return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: httpbin, namespace: foo, " + front + "}\nspec: {" + spec + "}"
	}
	meant := func(kind, name string) string {
		group := map[string]string{"Service": "''", "ServiceEntry": "networking.istio.io"}[kind]
		return policy("{targetRefs: [{kind: " + kind + ", group: " + group + ", name: " + name + "}], action: DENY, rules: [{}]}")
	}
	ns := func(labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo, labels: {" + labels + "}}"
	}
	behind := func(objects []string) string {
		out := pod(objects...)
		if first := ns("istio-injection: enabled") + "\n---\n"; strings.Count(out, "kind: Namespace\nmetadata: {name: foo,") > 1 {
			out = strings.Replace(out, first, "", 1)
		}
		return out
	}
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
		port    int
	}{
		{"for all", []string{gatewayOf("wp", "istio-waypoint", ", labels: {istio.io/waypoint-for: all}", "", hbone), ours}, 0},
		{"by the namespace", []string{wp, ns("istio.io/use-waypoint: wp"), svc("httpbin", "labels: {a: b}", "10.96.1.2", http)}, 0},
		{"by the namespace and another by the Service", []string{wp, gatewayOf("wp2", "istio-waypoint", "", "", hbone), ns("istio.io/use-waypoint: wp2"), ours, policy("{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: wp2}], action: DENY, rules: [{}]}")}, 0},
		{"another ServiceEntry of the same name", []string{wp, ours, entry("hosts: [z.example], addresses: [10.96.1.9], resolution: STATIC, ports: [{number: 8080, name: a, protocol: HTTP}]"), meant("ServiceEntry", "httpbin")}, 0},
		{"another Service with bytes on the port", []string{wp, ours, svc("other", front, "10.96.1.3", "{name: tcp, port: 8080}"), meant("Service", "other")}, 0},
		{"another Service that is sniffed on the port", []string{wp, ours, svc("other", front, "10.96.1.3", "{name: foo, port: 8080}"), meant("Service", "httpbin")}, 0},
		{"bytes beside HTTP on the port", []string{wp, svc("httpbin", front, "10.96.1.2", "{name: tcp, port: 8080}"), svc("other", front, "10.96.1.3", http), meant("Service", "other")}, 0},
		{"TLS", []string{wp, svc("httpbin", front, "10.96.1.2", "{name: tls, port: 8080}")}, 0},
		{"HTTPS by appProtocol", []string{wp, svc("httpbin", front, "10.96.1.2", "{name: http, appProtocol: https, port: 8080}")}, 0},
		{"gRPC-Web", []string{wp, svc("httpbin", front, "10.96.1.2", "{name: grpc-web, port: 8080}")}, 0},
		{"UDP beside", []string{wp, svc("httpbin", front, "10.96.1.2", "{name: dns, port: 8080, protocol: UDP}, {name: http, port: 8080}")}, 0},
		{"the pods' port", []string{wp, svc("httpbin", front, "10.96.1.2", "{name: http, port: 80, targetPort: 8080}")}, 80},
		{"several targets", []string{wp, ours, policy("{targetRefs: [{kind: Service, group: '', name: other}, {kind: Service, group: '', name: httpbin}], action: DENY, rules: [{}]}")}, 0},
		{"a target with a namespace", []string{wp, ours, policy("{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: wp, namespace: foo}], action: DENY, rules: [{}]}")}, 0},
		{"a policy of the root namespace for the Gateway", []string{wp, ours, in("istio-system", policy("{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: wp}], action: DENY, rules: [{}]}"))}, 0},
		{"a policy of the root namespace for the Service", []string{wp, ours, in("istio-system", meant("Service", "httpbin"))}, 0},
		{"a policy of the root namespace for all", []string{wp, ours, in("istio-system", policy("{action: DENY, rules: [{}]}"))}, 0},
		{"another class", []string{wp, ours, in("istio-system", policy("{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio}], action: DENY, rules: [{}]}"))}, 0},
		{"layers", []string{istiod("ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES", "true"), wp, ours, policy("{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: wp}}, action: DENY, rules: [{from: [{source: {principals: ['cluster.local/ns/foo/sa/bar']}}]}]}")}, 0},
		{"connectionSettings", []string{wp, ours, configured("defaultConfig: {connectionSettings: {profile: EDGE, httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_REJECT_REQUEST, httpPathWithEscapedSlashesAction: UNESCAPE_AND_REDIRECT}}")}, 0},
		{"settings of headers", []string{wp, ours, configured("defaultConfig: {proxyHeaders: {requestId: {disabled: true}, xForwardedPort: {enabled: true}, forwardedClientCert: ALWAYS_FORWARD_ONLY}, gatewayTopology: {numTrustedProxies: 1}}"), denyHeader("x-request-id", "*")}, 0},
		{"another trust domain", []string{wp, ours, configured("trustDomain: td\ntrustDomainAliases: [cluster.local]"), policy("{targetRefs: [{kind: Service, group: '', name: httpbin}], rules: [{from: [{source: {principals: [td/ns/foo/sa/bar]}}]}]}")}, 0},
	} {
		for _, c := range []struct {
			name string
			req  judge.Request
		}{
			{"plain", mtls(with())}, {"another caller", func() judge.Request {
				r := mtls(with("x-forwarded-client-cert", "a", "x-forwarded-port", "1", "x-forwarded-for", "1.2.3.4"))
				r.Client.URISANs = []string{"spiffe://cluster.local/ns/other/sa/x"}
				return r
			}()}, {"underscores", mtls(with("a_b", "1"))}, {"escaped slashes", mtls(path("/x%2fy"))},
		} {
			out = append(out, edge{name: "fronted: " + m.name + ", " + c.name, mesh: behind(m.objects), req: c.req, target: "svc/httpbin", port: m.port})
		}
	}
	return out
}
