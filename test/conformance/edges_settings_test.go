package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// istiod is the Deployment of the control plane with variables of its environment.
func istiod(env ...string) string {
	vars := make([]string, 0, len(env)/2)
	for i := 0; i < len(env); i += 2 {
		vars = append(vars, fmt.Sprintf("{name: %s, value: %q}", env[i], env[i+1]))
	}
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec: {containers: [{name: discovery, image: pilot, env: [` + strings.Join(vars, ", ") + `]}]}`
}

// in puts an object of the namespace foo into another one.
func in(namespace, object string) string {
	return strings.Replace(object, "namespace: foo", "namespace: "+namespace, 1)
}

// created gives an object the time of its creation, a second of the year 2024.
func created(second int, object string) string {
	return strings.Replace(object, "namespace: foo", fmt.Sprintf("namespace: foo, creationTimestamp: '2024-01-01T00:00:%02dZ'", second), 1)
}

// settingsEdges are about connectionSettings, which say more of paths than the rest of
// the mesh configuration, and of gateways alone if their profile is EDGE.
func settingsEdges() []edge {
	var out []edge
	edgeGateway := gateway("g", server("80", "h", "HTTP", "'*'", ""))
	paths := []judge.Request{
		path("/x//admin"), path("/x%2fadmin"), path("/x%5Cadmin"), path("/x/..%2Fadmin?a"), h2(path("/x%2f%2fadmin")), path("//admin"),
		with("a_b", "1"), h2(with("a_b", "1")), with("_", ""), with("x", "\x01", "a_b", "1"), with("a_b", "\x01"), h2(with("a-b", "1", "c_d", "2")), with("Connection", "a_b", "a_b", "1"),
		get(func(r *judge.Request) {
			r.Method, r.Path, r.Headers = "POST", "/x%2fadmin", with("content-type", "application/grpc").Headers
		}),
		get(func(r *judge.Request) { r.Headers = append(withLines(99).Headers, with("a_b", "1").Headers...) }),
		get(func(r *judge.Request) { r.Headers = append(with("a_b", "1").Headers, withLines(99).Headers...) }),
		get(func(r *judge.Request) { r.Headers = append(with("a_b", "1").Headers, withLines(97).Headers...) }),
	}
	for _, m := range []struct{ name, annotation, mesh string }{
		{"slashes are merged", "", "httpMergeSlashes: true"},
		{"slashes are kept", "", "httpMergeSlashes: false\npathNormalization: {normalization: MERGE_SLASHES}"},
		{"escaped slashes are refused", "", "httpPathWithEscapedSlashesAction: REJECT_REQUEST"},
		{"escaped slashes are kept", "", "httpPathWithEscapedSlashesAction: KEEP_UNCHANGED\npathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}"},
		{"escaped slashes are decoded", "", "httpPathWithEscapedSlashesAction: UNESCAPE_AND_FORWARD\npathNormalization: {normalization: NONE}"},
		{"escaped slashes lead elsewhere", "", "httpPathWithEscapedSlashesAction: UNESCAPE_AND_REDIRECT"},
		{"underscores are refused", "", "httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_REJECT_REQUEST"},
		{"underscores are dropped", "", "httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_DROP_HEADER"},
		{"EDGE", "", "profile: EDGE"},
		{"EDGE with other settings", "", "profile: EDGE, httpMergeSlashes: false, httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_ALLOW, httpPathWithEscapedSlashesAction: KEEP_UNCHANGED"},
		{"EDGE in the annotation", `proxy.istio.io/config: "connectionSettings: {profile: EDGE}"`, "httpMergeSlashes: false, httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_DROP_HEADER"},
		{"an annotation without any", `proxy.istio.io/config: "concurrency: 2"`, "profile: EDGE"},
		{"SIDECAR in the annotation", `proxy.istio.io/config: "connectionSettings: {profile: SIDECAR}"`, "profile: EDGE"},
		{"other limits", "", "httpMaxConcurrentStreams: 1, httpRequestHeadersTimeout: 60s, listenerPerConnectionBufferLimitBytes: 32768"},
	} {
		settings, rest, _ := strings.Cut(m.mesh, "\n")
		config := configured("defaultConfig: {connectionSettings: {" + settings + "}}\n" + rest)
		gw := strings.Replace(ingress("", edgeGateway, config, denyPath("/x/admin")), "labels: {istio: ingressgateway}}", "labels: {istio: ingressgateway}, annotations: {"+m.annotation+"}}", 1)
		for i, r := range paths {
			out = append(out,
				edge{name: fmt.Sprintf("connectionSettings: %s, request %d", m.name, i), mesh: annotated(m.annotation, service("httpbin", httpPort), config, denyPath("/x/admin")), req: r},
				edge{name: fmt.Sprintf("connectionSettings of a gateway: %s, request %d", m.name, i), mesh: gw, req: r, target: "deploy/ingress", port: 8080})
		}
	}
	return out
}

// gatewaySettingEdges are about what a gateway does with headers.
func gatewaySettingEdges() []edge {
	var out []edge
	xfcc := denyHeader("x-forwarded-client-cert", "*")
	for _, m := range []struct{ name, setting, policy string }{
		{"certificates sanitized", "gatewayTopology: {forwardClientCertDetails: SANITIZE}", xfcc},
		{"certificates forwarded", "gatewayTopology: {forwardClientCertDetails: FORWARD_ONLY}", denyHeader("x-forwarded-client-cert", "a")},
		{"certificates appended", "gatewayTopology: {forwardClientCertDetails: APPEND_FORWARD}", xfcc},
		{"certificates set", "gatewayTopology: {forwardClientCertDetails: SANITIZE_SET, numTrustedProxies: 1}", xfcc},
		{"certificates always forwarded", "gatewayTopology: {forwardClientCertDetails: ALWAYS_FORWARD_ONLY}", xfcc},
		{"certificates not said", "gatewayTopology: {forwardClientCertDetails: UNDEFINED}", xfcc},
		{"proxyHeaders mean sidecars", "proxyHeaders: {forwardedClientCert: ALWAYS_FORWARD_ONLY, setCurrentClientCertDetails: {uri: false}}", xfcc},
		{"x-request-id", "proxyHeaders: {requestId: {disabled: true}}", denyHeader("x-request-id", "*")},
		{"x-forwarded-port", "proxyHeaders: {xForwardedPort: {enabled: true}}", denyHeader("x-forwarded-port", "8080")},
		{"x-forwarded-port behind a proxy", "proxyHeaders: {xForwardedPort: {enabled: true}}, gatewayTopology: {numTrustedProxies: 1}", denyHeader("x-forwarded-port", "1")},
		{"the case of headers", "proxyHeaders: {preserveHttp1HeaderCase: true}", denyHeader("X-Forwarded-Port", "1")},
	} {
		for _, c := range []struct {
			name, server string
			port         int
			req          judge.Request
		}{
			{"plaintext", server("80", "h", "HTTP", "'*'", ""), 8080, with("x-forwarded-client-cert", "a", "x-forwarded-port", "1", "x-request-id", "mine", "x-forwarded-for", "1.2.3.4")},
			{"a certificate", server("443", "s", "HTTPS", "'*'", ", tls: {mode: MUTUAL, credentialName: c}"), 8443, certified(with("x-forwarded-client-cert", "a"))},
			{"no certificate", server("443", "s", "HTTPS", "'*'", ", tls: {mode: OPTIONAL_MUTUAL, credentialName: c}"), 8443, tls(with("x-forwarded-client-cert", "a", "x-forwarded-port", "1"))},
			{"no header", server("443", "s", "HTTPS", "'*'", ", tls: {mode: OPTIONAL_MUTUAL, credentialName: c}"), 8443, certified(with())},
		} {
			out = append(out, edge{
				name: "a gateway's settings: " + m.name + ", " + c.name, req: c.req, target: "deploy/ingress", port: c.port,
				mesh: ingress("", gateway("g", c.server), configured("defaultConfig: {"+m.setting+"}"), m.policy),
			})
		}
	}
	return out
}

// meshEdges are about the mesh configuration and the control plane's own switches.
func meshEdges() []edge {
	peer := func(spec string) string { return object("security.istio.io/v1", "PeerAuthentication", "peer", spec) }
	stranger := func(uri string) judge.Request {
		r := mtls(with())
		r.Client.URISANs = []string{uri}
		return r
	}
	allowAll := policy("{rules: [{from: [{source: {principals: ['*']}}]}]}")
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
		target  string
		port    int
		reqs    []judge.Request
	}{
		{"certificates of any trust domain", []string{service("httpbin", httpPort), istiod("PILOT_SKIP_VALIDATE_TRUST_DOMAIN", "true"), peer("{mtls: {mode: STRICT}}"), allowAll}, "", 0,
			[]judge.Request{stranger("spiffe://other/ns/foo/sa/bar"), stranger("x"), mtls(with()), with()}},
		{"certificates of another trust domain", []string{service("httpbin", httpPort), peer("{mtls: {mode: STRICT}}"), allowAll}, "", 0,
			[]judge.Request{stranger("spiffe://other/ns/foo/sa/bar"), stranger("spiffe://cluster.local"), stranger("spiffe://cluster.localx/ns/foo/sa/bar"), stranger("spiffe://cluster.local/")}},
		{"the proxy's own port", []string{denyPath("/other")}, "", 15006, []judge.Request{with(), mtls(with()), tls(with()), h2(with())}},
		{"the port as the proxy's own", []string{service("httpbin", httpPort), configured("proxyInboundListenPort: 8080")}, "", 8080, []judge.Request{with(), mtls(with())}},
		{"another port of the proxy", []string{configured("proxyInboundListenPort: 25006")}, "", 15006, []judge.Request{with(), mtls(with())}},
		{"a root namespace with a selector for mTLS", []string{service("httpbin", httpPort), configured("rootNamespace: foo"), peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: STRICT}}}")}, "", 0,
			[]judge.Request{with(), mtls(with())}},
		{"a root namespace without a selector for mTLS", []string{service("httpbin", httpPort), configured("rootNamespace: foo"), peer("{mtls: {mode: STRICT}}")}, "", 0, []judge.Request{with(), mtls(with())}},
		{"nothing said at all levels", []string{service("httpbin", httpPort), in("istio-system", peer("{}")), strings.Replace(peer("{mtls: {}}"), "name: peer", "name: ns", 1), strings.Replace(peer("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8080: {}}}"), "name: peer", "name: own", 1)}, "", 0,
			[]judge.Request{with(), mtls(with())}},
		{"the mesh's mode comes through", []string{service("httpbin", httpPort), in("istio-system", peer("{mtls: {mode: STRICT}}")), strings.Replace(peer("{mtls: {mode: UNSET}}"), "name: peer", "name: ns", 1), strings.Replace(peer("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8080: {}}}"), "name: peer", "name: own", 1)}, "", 0,
			[]judge.Request{with(), mtls(with())}},
		{"an empty selector for mTLS", []string{service("httpbin", httpPort), created(2, strings.Replace(peer("{selector: {}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}"), "name: peer", "name: a", 1)), created(1, peer("{mtls: {mode: PERMISSIVE}}"))}, "", 0,
			[]judge.Request{with(), mtls(with())}},
		{"the oldest of a workload's", []string{service("httpbin", httpPort), created(2, strings.Replace(peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}}"), "name: peer", "name: a", 1)), created(1, peer("{selector: {matchLabels: {app: httpbin}}, mtls: {mode: UNSET}}"))}, "", 0,
			[]judge.Request{with(), mtls(with())}},
		{"statistics of another name", []string{service("httpbin", "{port: 8000, targetPort: 8080}"), configured("inboundClusterStatName: '%SERVICE%'\nprotocolDetectionTimeout: 1s\ninboundTrafficPolicy: {mode: LOCALHOST}"), denyPath("/get")}, "", 0, []judge.Request{with(), mtls(with())}},
	} {
		for i, r := range m.reqs {
			out = append(out, edge{name: fmt.Sprintf("%s, request %d", m.name, i), mesh: behindWorkload(m.objects), target: m.target, port: m.port, req: r})
		}
	}
	return out
}

// behindWorkload puts the workload before objects, unless they begin with one.
func behindWorkload(objects []string) string {
	if strings.HasPrefix(objects[0], "apiVersion: apps/v1\nkind: Deployment") && !strings.Contains(objects[0], "name: istiod") {
		return strings.Join(objects, "\n---\n") + "\n"
	}
	return pod(objects...)
}
