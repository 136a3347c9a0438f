package conformance

import (
	"fmt"
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// ruleFieldEdges are fields of a jwtRule with texts that admission refuses, and that
// istiod passes on all the same.
func ruleFieldEdges() []edge {
	var out []edge
	var rules []string
	field := func(format string, texts ...string) {
		for _, t := range texts {
			rules = append(rules, fmt.Sprintf(format, strconv.Quote(t)))
		}
	}
	field("fromHeaders: [{name: %s}]", "", "a\nb", "a\x00", "a b", "é", "X-\u212aey", "x-key", ":", ":foo", ":path", ":method", ":scheme", ":authority", ":status", "x_y", "x\ty")
	field("fromHeaders: [{name: x-key, prefix: %s}]", "a\nb", "\x00", "é ", "Bearer\t", "\r", "  ", ".", "=", "e", "eyJ")
	field("fromHeaders: [{name: ':path', prefix: %s}]", "/get?access_token=", "=", "?", "/")
	field("outputPayloadToHeader: %s", "a\nb", "a\x00", "é", "X-\u212aey", ":", ":foo", ":path", ":method", ":scheme", ":authority", ":status", "x-envoy-original-path", "x-envoy-internal", "grpc-timeout", "upgrade", "expect", "x-envoy-upstream-rq-timeout-ms", "x-envoy-retry-on", "authorization ")
	field("outputClaimToHeaders: [{header: %s, claim: sub}]", "", "a\nb", "é", "X-\u212aey", ":path", ":method", ":authority", ":scheme", ":foo", "x-sub ", "range", "content-type", "x-envoy-decorator-operation", "origin")
	field("outputClaimToHeaders: [{header: x-out, claim: %s}]", "sub", "a\nb", "é", " sub", "a..b", "SUB", "a.b.c", "deep.x.y", "deep.x", "list.x", "tab", "cr", "nl", "nul", "lead", "high", "text.x", "emptyobj", "nest", "\u212a")
	field("audiences: [%s]", "", "a", "http://", "https://", "/", "http:///", "https://http://a", "HTTP://a", "é", " a", "a\n")
	field("audiences: [b, %s]", "a", "")
	field("spaceDelimitedClaims: [%s]", "", "scope", "sub", "iss", "aud", "words", "é", "deep.x", "a\nb")
	rules = append(rules,
		"timeout: 0s", "timeout: -1s", "timeout: 1h", "timeout: 9000000000s", "timeout: 0.000000001s", "spaceDelimitedClaims: []", "audiences: []", "fromHeaders: []", "fromParams: []", "fromCookies: []", "outputClaimToHeaders: []",
		"fromHeaders: [{name: x-key}, {name: X-Key}]", "fromHeaders: [{name: x-key, prefix: 'Bearer '}, {name: x-key}]", "fromHeaders: [{name: x-key, prefix: ey}, {name: x-keyey}]", "fromHeaders: [{name: x, prefix: -key}, {name: x-key}]",
		"fromHeaders: [{name: x-key}], forwardOriginalToken: true", "fromHeaders: [{name: authorization}]", "fromHeaders: [{name: x-key}], outputPayloadToHeader: x-key", "fromHeaders: [{name: authorization, prefix: 'Bearer '}], outputPayloadToHeader: authorization",
		"outputPayloadToHeader: x-out, outputClaimToHeaders: [{header: x-out, claim: sub}]", "outputClaimToHeaders: [{header: x-out, claim: sub}, {header: X-OUT, claim: iss}, {header: x-out, claim: sub}]",
		"outputClaimToHeaders: [{header: authorization, claim: sub}]", "outputClaimToHeaders: [{header: x-forwarded-for, claim: ip}]", "outputClaimToHeaders: [{header: ':authority', claim: sub}], forwardOriginalToken: true",
		"fromParams: [access_token, access_token]", "fromCookies: [tok, tok]", "fromParams: [access_token], fromCookies: [tok], fromHeaders: [{name: x-key}]", "fromCookies: ['tok', ' tok']", "fromCookies: ['a=b']", "fromCookies: ['tok;x']", "fromCookies: ['\"tok\"']")
	good := token(`,"aud":["a"],"scope":"v w","words":"v  w","é":"v","a\nb":"v","":"v"," sub":"v","deep":{"x":{"y":"v"}},"list":[{"x":"v"}],"tab":"v\tw","cr":"v\rw","nl":"v\nw","nul":"v\u0000w","lead":" v ","high":"é\u00ff\u0100","text":"v","emptyobj":{},"nest":{"a":[{"b":[]}]},"ip":"9.9.9.9"`)
	requests := []struct {
		name string
		req  judge.Request
	}{
		{"none", with("x-out", "spoofed", "x-key", "")},
		{"Bearer", withToken(good, "", "Authorization", "Bearer {token:0}")},
		{"x-key", withToken(good, "", "x-key", "{token:0}")},
		{"x-key twice", withToken(good, "", "x-key", "{token:0}", "x-key", "Bearer {token:0}")},
		{"a parameter", withToken(good, "/get?access_token={token:0}", "x-keyey", "{token:0}")},
		{"a cookie", withToken(good, "", "Cookie", `tok={token:0}; "tok"={token:0}; a=b={token:0}`)},
		{"HTTP/2", h2(withToken(good, "/get?access_token={token:0}", "authorization", "Bearer {token:0}"))},
	}
	for _, fields := range rules {
		for _, p := range []struct{ name, policy string }{
			{"ALLOW", policy("{rules: [{from: [{source: {requestPrincipals: ['i/s']}}]}]}")},
			{"words", whenPolicy("ALLOW", "request.auth.claims[words]", "values", "w")},
			{"path", policy("{rules: [{to: [{operation: {paths: ['/get'], hosts: ['httpbin.foo'], methods: [GET]}}]}]}")},
		} {
			for _, r := range requests {
				out = append(out, edge{name: "field " + fields + ", " + p.name + ", " + r.name, mesh: web(verified("r", "i", ", "+fields), p.policy), req: r.req})
			}
		}
	}
	// Who fetches the keys: a timeout counts only where the proxy does.
	for _, remote := range []string{"", "hybrid", "envoy"} {
		for _, timeout := range []string{"", "timeout: 0s", "timeout: -1s", "timeout: 1s", "timeout: 4294967296s", "timeout: 9000000000s"} {
			for _, uri := range []string{"https://keys.example/a.json", "http://keys.foo.svc.cluster.local:8000/k", "keys", "", "http://", "ftp://keys.example/", "http://é/", "http://keys.example:99999/"} {
				spec := "{jwtRules: [{issuer: i, jwksUri: " + strconv.Quote(uri) + ", " + timeout + "}]}"
				out = append(out, edge{
					name: fmt.Sprintf("keys by %q from %q %s", remote, uri, timeout), remote: remote,
					jwks: map[string]string{"https://keys.example/a.json": keySetOf("rsa-a")},
					mesh: web(object("security.istio.io/v1", "RequestAuthentication", "r", spec)),
					req:  withToken(good, "", "Authorization", "Bearer {token:0}"),
				})
			}
		}
	}
	return out
}
