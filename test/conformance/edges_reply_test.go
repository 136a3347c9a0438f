package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// replyEdges are what a client is told: to gRPC in its own way, and with a realm that is
// made of what it sent.
func replyEdges() []edge {
	var out []edge
	good := token("")
	meshes := []struct{ name, mesh string }{
		{"JWT", web(verified("r", "i", ""))}, {"RBAC", web(denyPath("*"))}, {"a name that cannot be sent", web(verified("r", "i", ", outputPayloadToHeader: 'x é'"))}, {"a value that cannot be sent", web(verified("r", "i", ", outputClaimToHeaders: [{header: x-out, claim: nl}]"))},
		{"no method", web(verified("r", "i", ", outputPayloadToHeader: ':method'"))}, {"no content type", web(verified("r", "i", ", outputPayloadToHeader: content-type"))},
		{"audience", web(verified("r", "i", ", audiences: [b]"))}, {"required", web(verified("r", "i", ", presence: REQUIRED"))},
	}
	for _, m := range meshes {
		for _, contentType := range []string{"application/grpc", "application/grpc+proto", "application/grpc;x=1", "application/grpc; x", "application/grpcx", "application/grpc-web", "application/grpc-web+proto", "APPLICATION/GRPC", " application/grpc", "application/grpc ", "application/json", "application/connect+proto", "", "application/grpc,application/json"} {
			for _, method := range []string{"POST", "GET", "HEAD"} {
				for _, authorization := range []string{"Bearer {token:0}", "Bearer x", "Bearer é", ""} {
					req := withToken(token(`,"nl":"a\nb"`), "", "content-type", contentType, "te", "trailers", "Authorization", authorization)
					req.Method = method
					out = append(out, edge{name: fmt.Sprintf("%s, %s of %q, %q", m.name, method, contentType, authorization), mesh: m.mesh, req: req},
						edge{name: fmt.Sprintf("%s, %s of %q, %q over HTTP/2", m.name, method, contentType, authorization), mesh: m.mesh, req: h2(req)})
				}
			}
		}
	}
	long := strings.Repeat("x", 300)
	edgeMesh := web(verified("r", "i", ""), configured("pathNormalization: {normalization: NONE}"))
	for name, lines := range map[string][]string{
		"plain": nil, "another scheme": {"x-forwarded-proto", "https"}, "a scheme in upper case": {"x-forwarded-proto", "HTTPS"}, "no scheme": {"x-forwarded-proto", ""}, "an odd scheme": {"x-forwarded-proto", "wss"}, "two schemes": {"x-forwarded-proto", "http", "x-forwarded-proto", "https"}, "a list of schemes": {"x-forwarded-proto", "https, http"},
		"an original path": {"x-envoy-original-path", "/a\"b"}, "an empty original path": {"x-envoy-original-path", ""}, "two original paths": {"x-envoy-original-path", "/a", "x-envoy-original-path", "/b"}, "a long original path": {"x-envoy-original-path", "/" + long}, "an original host": {"x-envoy-original-host", "h"}, "a forwarded host": {"x-forwarded-host", "h"},
		"an original path with bytes": {"x-envoy-original-path", "/é" + long}, "an original path with a token": {"x-envoy-original-path", "/?access_token={token:0}"},
	} {
		for _, p := range []string{"/get", "/get?a=\"b\"", "/" + long, "/get?" + long, "/get\"x", "/get?é=%41", "/a/../get", "/get?access_token=x", "http://h/get", "/get?access_token={token:0}&access_token=y", "/get,x"} {
			for _, host := range []string{"httpbin.foo", "HTTPBIN:8000", "[::1]:80", long + ".example"} {
				for _, version := range []func(judge.Request) judge.Request{func(r judge.Request) judge.Request { return r }, h2} {
					req := withToken(good, p, append([]string{"Authorization", "Bearer x"}, lines...)...)
					req.Host = host
					req = version(req)
					out = append(out, edge{name: fmt.Sprintf("realm, %s, path %.20q, host %.20q, HTTP/2 %v", name, p, host, req.HTTP2), mesh: edgeMesh, req: req})
				}
			}
		}
	}
	for _, p := range []string{"/get", "/\"", "/" + long, "/get?x=\\"} {
		req := mtls(withToken(good, p, "Authorization", "Bearer x"))
		out = append(out, edge{name: fmt.Sprintf("realm, mTLS, path %.20q", p), mesh: edgeMesh, req: req}, edge{name: fmt.Sprintf("realm, mTLS, path %.20q over HTTP/2", p), mesh: edgeMesh, req: h2(req)})
	}
	return out
}

// fetchEdges are key sets that are fetched, by whom they may be.
func fetchEdges() []edge {
	var out []edge
	const uri = "https://keys.example/a.json"
	entry := object("networking.istio.io/v1", "ServiceEntry", "keys", "{hosts: [keys.example], resolution: DNS, ports: [{number: 443, name: https, protocol: TLS}]}")
	whole := keySetOf("rsa-a")
	a := asJSON(jwk("rsa-a"))
	certificates := asJSON(map[string]any{"a": wrapped(certificateOf("rsa-a", nothing), 64, "\n")})
	for _, doc := range []string{
		whole, " " + whole + "\n", "\xef\xbb\xbf" + whole, whole + "x", "[" + a + "]", `{"keys":[]}`, `{"keys":[{}]}`, `{"keys":[{},` + a + `]}`, `{"keys":null}`, `{}`, "null", "<html></html>", " ", "", `{"keys":[` + a + `],"keys":[]}`, `{'keys':[` + a + `,],}`, certificates, keySetOf("rsa-b"), keySetOf("rsa-b", "rsa-a"), keySetOf("ed25519-a"), strings.Repeat(" ", 100<<10) + whole,
	} {
		for _, remote := range []string{"", "hybrid", "envoy"} {
			for _, more := range []string{"", ", jwks: '" + keySetOf("rsa-b") + "'", ", audiences: [x]", ", timeout: 2s"} {
				mesh := web(entry, object("security.istio.io/v1", "RequestAuthentication", "r", "{jwtRules: [{issuer: i, jwksUri: '"+uri+"'"+more+"}]}"), policy("{rules: [{from: [{source: {requestPrincipals: ['*']}}]}, {to: [{operation: {methods: [HEAD]}}]}]}"))
				for n, t := range []judge.Token{signed("rsa-a", "RS256", ""), signed("rsa-b", "RS256", `,"kid":"a"`), signed("rsa-a", "RS256", `,"kid":"zzz"`)} {
					out = append(out, edge{name: fmt.Sprintf("fetched by %q%.20s, %.40q of %d bytes, token %d", remote, more, doc, len(doc), n), remote: remote, jwks: map[string]string{uri: doc}, mesh: mesh,
						req: withToken(t, "", "Authorization", "Bearer {token:0}")})
				}
				out = append(out, edge{name: fmt.Sprintf("fetched by %q%.20s, %.40q of %d bytes, no token", remote, more, doc, len(doc)), remote: remote, jwks: map[string]string{uri: doc}, mesh: mesh, req: method("HEAD")})
			}
		}
	}
	return out
}

// gatewayRuleEdges are rules of a gateway, which looks for its route anew after them.
func gatewayRuleEdges() []edge {
	var out []edge
	good := token(`,"role":"admin","path":"/x","nl":"a\nb"`)
	match := func(m, to string) string {
		return "{match: [" + m + "], " + to + "}"
	}
	const route = "route: [{destination: {host: httpbin.foo.svc.cluster.local, port: {number: 8000}}}]"
	for _, v := range []struct{ name, http string }{
		{"all", "{" + route + "}"}, {"a header", match("{headers: {x-role: {exact: admin}}}", route)}, {"a header that is missing", match("{withoutHeaders: {authorization: {}}}", route)}, {"a parameter", match("{queryParams: {access_token: {regex: '.+'}}}", route)}, {"no such parameter", match("{queryParams: {a: {exact: '1'}}}", route)}, {"a path", match("{uri: {exact: /get}}", route)},
		{"a direct answer", match("{headers: {x-role: {exact: admin}}}", "directResponse: {status: 418}") + ", {" + route + "}"}, {"a redirect", match("{headers: {x-role: {exact: admin}}}", "redirect: {uri: /elsewhere}") + ", {" + route + "}"},
	} {
		for _, fields := range []string{"", ", forwardOriginalToken: true", ", outputClaimToHeaders: [{header: x-role, claim: role}]", ", outputPayloadToHeader: x-role", ", outputPayloadToHeader: ':path'", ", outputPayloadToHeader: ':authority'", ", outputPayloadToHeader: ':method'", ", outputPayloadToHeader: 'x role'", ", outputClaimToHeaders: [{header: ':path', claim: path}]", ", outputClaimToHeaders: [{header: x-role, claim: nl}]", ", fromHeaders: [{name: ':path', prefix: 'access_token='}]"} {
			objects := []string{service("httpbin", httpPort), gateway("g", server("80", "h", "HTTP", "'*'", "")), virtualService("v", "{hosts: ['*'], gateways: [g], http: ["+v.http+"]}"), verified("r", "i", fields)}
			for _, p := range []struct{ name, policy string }{{"no policy", ""}, {"ALLOW", policy("{rules: [{from: [{source: {requestPrincipals: ['*']}}]}, {to: [{operation: {paths: ['/open']}}]}]}")}} {
				all := objects
				if p.policy != "" {
					all = append(objects[:len(objects):len(objects)], p.policy)
				}
				for _, r := range []struct {
					name string
					req  judge.Request
				}{
					{"none", with()}, {"spoofed", with("x-role", "admin")}, {"open", path("/open?a=1")}, {"Bearer", withToken(good, "", "Authorization", "Bearer {token:0}", "x-role", "user")}, {"a parameter", withToken(good, "/get?a=1&access_token={token:0}")}, {"both", h2(withToken(good, "/get?access_token={token:0}&a=%31", "Authorization", "Bearer {token:0}"))}, {"a bad one", with("Authorization", "Bearer x")}, {"a preflight", with("Origin", "a", "Access-Control-Request-Method", "GET")},
				} {
					req := r.req
					if r.name == "a preflight" {
						req.Method = "OPTIONS"
					}
					out = append(out, edge{name: "gateway, " + v.name + fields + ", " + p.name + ", " + r.name, mesh: ingress("", all...), req: req, target: "deploy/ingress"})
				}
			}
		}
	}
	return out
}

// spellingEdges are fields and values as people misspell them, and as other tools
// write them.
func spellingEdges() []edge {
	var out []edge
	good := token(`,"aud":"x"`)
	keys := ", jwks: '" + keySetOf("rsa-a") + "'"
	for _, spec := range []string{
		"{jwtRules: [{issuer: i" + keys + ", forward_original_token: true}]}", "{jwt_rules: [{issuer: i" + keys + "}]}", "{jwtRules: [{issuer: i" + keys + ", from_headers: [{name: x-key}]}]}", "{jwtRules: [{issuer: i" + keys + ", output_payload_to_header: x-out}]}", "{jwtRules: [{issuer: i" + keys + ", unknown: true}]}", "{jwtRules: [{Issuer: i" + keys + "}]}", "{jwtRules: [{issuer: i" + keys + ", fromHeaders: [{name: x-key, value_prefix: a}]}]}",
		"{jwtRules: [{issuer: i" + keys + ", audiences: null}]}", "{jwtRules: [{issuer: null" + keys + "}]}", "{jwtRules: null}", "{jwtRules: [{issuer: i" + keys + ", forwardOriginalToken: null}]}", "{jwtRules: [{issuer: i" + keys + ", timeout: null}]}", "{selector: null, jwtRules: [{issuer: i" + keys + "}]}", "{selector: {match_labels: {app: other}}, jwtRules: [{issuer: i" + keys + "}]}", "{selector: {matchLabels: null}, jwtRules: [{issuer: i" + keys + "}]}",
		"{targetRef: null, jwtRules: [{issuer: i" + keys + "}]}", "{targetRefs: null, jwtRules: [{issuer: i" + keys + "}]}", "{jwtRules: [{issuer: i" + keys + ", presence: OPTIONAL}]}", "{jwtRules: [{issuer: i" + keys + ", presence: REQUIRED}]}", "{jwtRules: [{issuer: i" + keys + ", presence: required}]}", "{jwtRules: [{issuer: i" + keys + ", presence: null}]}", "{selector: {matchExpressions: [{key: app, operator: Exists}]}, jwtRules: [{issuer: i" + keys + "}]}",
	} {
		mesh := web(object("security.istio.io/v1", "RequestAuthentication", "r", spec), policy("{rules: [{from: [{source: {notRequestPrincipals: ['none']}}]}]}"))
		for name, req := range map[string]judge.Request{"none": with(), "Bearer": withToken(good, "", "Authorization", "Bearer {token:0}", "x-key", "bad"), "bad": with("Authorization", "Bearer x")} {
			out = append(out, edge{name: fmt.Sprintf("spelling %s, %s", strings.ReplaceAll(spec, keys, ""), name), mesh: mesh, req: req})
		}
	}
	for _, spec := range []string{
		"{action: 1, rules: [{to: [{operation: {paths: ['/get']}}]}]}", "{action: 0, rules: [{to: [{operation: {paths: ['/x']}}]}]}", "{action: 3, rules: [{}]}", "{rules: [{to: [{operation: {not_paths: ['/get']}}]}]}", "{rules: [{from: [{source: {request_principals: ['x']}}]}]}", "{rules: [{from: [{source: {ip_blocks: ['1.2.3.4']}}]}]}", "{action: DENY, rules: [{to: [{operation: {path: ['/get']}}]}]}", "{action: DENY, rules: [{to: [{operation: {paths: null}}]}]}", "{action: DENY, rules: [{from: null, to: null, when: null}]}",
		"{action: DENY, rules: [{from: [{source: null}]}]}", "{action: DENY, rules: [{to: [{operation: null}]}]}", "{action: DENY, rules: [{when: [{key: 'request.headers[x]', not_values: [a]}]}]}", "{action: DENY, rules: [{when: [{Key: 'request.headers[x]', values: [a]}]}]}", "{rule: [{}]}", "{rules: [{paths: ['/get']}]}", "{action: ALLOW, provider: {name: x}, rules: [{}]}", "{action: DENY, provider: {name: x}, rules: [{}]}", "{action: CUSTOM, rules: [{}]}", "{action: CUSTOM, provider: null, rules: [{}]}", "{action: CUSTOM, provider: {name: ''}, rules: [{}]}",
		"{selector: {matchLabels: {app: HTTPBIN}}, rules: []}", "{selector: {matchLabels: {App: httpbin}}, rules: []}", "{targetRefs: [{kind: Service, group: '', name: httpbin}], action: DENY, rules: [{}]}", "{targetRef: {kind: Service, group: '', name: httpbin}, selector: {matchLabels: {app: httpbin}}, action: DENY, rules: [{}]}", "{target_refs: [{kind: Service, group: '', name: httpbin}], action: DENY, rules: [{}]}", "{targetRefs: [{}], action: DENY, rules: [{}]}",
	} {
		mesh := web(policy(spec))
		for name, req := range map[string]judge.Request{"plain": with(), "a header": with("x", "a")} {
			out = append(out, edge{name: fmt.Sprintf("spelling %s, %s", spec, name), mesh: mesh, req: req})
		}
	}
	return out
}
