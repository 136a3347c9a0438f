package conformance

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"

// configEdges are about the mesh configuration and what pods put over it.
func configEdges() []edge {
	var out []edge
	port := denyHeader("x-forwarded-port", "8080")
	const annotation = "proxy.istio.io/config: "
	for _, m := range []struct{ name, annotations, mesh, policy string }{
		{"headers are replaced by the annotation", annotation + `"proxyHeaders: {requestId: {disabled: true}}"`, "defaultConfig: {proxyHeaders: {xForwardedPort: {enabled: true}}}", port},
		{"headers are kept beside other settings", annotation + `"concurrency: 2"`, "defaultConfig: {proxyHeaders: {xForwardedPort: {enabled: true}}}", port},
		{"one header is kept beside another", annotation + `"proxyHeaders: {xForwardedPort: {enabled: true}}"`, "defaultConfig: {proxyHeaders: {requestId: {disabled: true}}}", denyHeader("x-request-id", "*")},
		{"a setting that nobody knows", "", "defaultConfig: {whatIsThis: 1}\nthis: {neither: true}", denyPath("/get")},
		{"an annotation that nobody knows", annotation + `"whatIsThis: 1"`, "", denyPath("/get")},
		{"trust domain", "", "trustDomain: td\ntrustDomainAliases: [cluster.local]", policy("{rules: [{from: [{source: {principals: [td/ns/foo/sa/bar]}}]}]}")},
		{"trust domain of somebody else", "", "trustDomain: td", policy("{rules: [{from: [{source: {principals: ['*']}}]}]}")},
		{"CA certificates of another trust domain", "", "trustDomain: td\ncaCertificates: [{pem: x, trustDomains: [cluster.local]}]", policy("{rules: [{from: [{source: {principals: ['*']}}]}]}")},
		{"another root namespace", "", "rootNamespace: foo", denyPath("/get")},
		{"a merged default", "", "pathNormalization: {}", denyPath("/get")},
		{"DEFAULT", "", "pathNormalization: {normalization: DEFAULT}", denyPath("/get")},
		{"two providers of one name", "", "extensionProviders:\n- name: ext\n  envoyExtAuthzHttp: {service: nobody.foo.svc.cluster.local, port: 80}\n- name: ext\n  envoyOtelAls: {service: a.b, port: 1}",
			policy("{action: CUSTOM, provider: {name: ext}, rules: [{to: [{operation: {paths: [/get]}}]}]}")},
		{"a provider that authorizes nothing", "", "extensionProviders:\n- name: ext\n  zipkin: {service: a.b, port: 1}",
			policy("{action: CUSTOM, provider: {name: ext}, rules: [{to: [{operation: {paths: [/get]}}]}]}")},
		{"mTLS mode of the mesh", "", "meshMTLS: {minProtocolVersion: TLSV1_3}", denyPath("/get")},
		{"client certificates with all parts", "", "defaultConfig: {proxyHeaders: {forwardedClientCert: SANITIZE_SET, setCurrentClientCertDetails: {uri: false, dns: false, subject: true}}}", denyHeader("x-forwarded-client-cert", "*URI*")},
		{"forwarded client certificates", "", "defaultConfig: {proxyHeaders: {forwardedClientCert: FORWARD_ONLY}}", denyHeader("x-forwarded-client-cert", "a")},
		{"trusted proxies at a sidecar", "", "defaultConfig: {gatewayTopology: {numTrustedProxies: 2}}", policy("{action: DENY, rules: [{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}]}")},
		{"HTTP/1.0", "", "defaultConfig: {proxyMetadata: {ISTIO_META_HTTP10: '1'}}", denyPath("/get")},
	} {
		for _, c := range []struct {
			name string
			req  judge.Request
		}{
			{"plaintext", with()}, {"mTLS", mtls(with())}, {"with headers", mtls(with("x-forwarded-client-cert", "a", "x-forwarded-for", "1.2.3.4, 5.6.7.8", "x-forwarded-port", "1", "x-request-id", "mine"))},
			{"forwarded", with("x-forwarded-client-cert", "a", "x-forwarded-for", "5.6.7.8,1.2.3.4", "x-forwarded-proto", "https")}, {"odd forwarding", with("x-forwarded-proto", "ftp", "x-forwarded-host", "a", "x-envoy-internal", "true")},
		} {
			objects := []string{service("httpbin", httpPort), m.policy}
			if m.mesh != "" {
				objects = append(objects, configured(m.mesh))
			}
			out = append(out, edge{name: m.name + ", " + c.name, req: c.req, mesh: annotated(m.annotations, objects...)})
		}
	}
	return out
}
