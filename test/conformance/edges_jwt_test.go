package conformance

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// verified is a RequestAuthentication whose key the tokens of withToken are signed with.
func verified(name, issuer, fields string) string {
	set, err := json.Marshal(map[string]any{"keys": []any{mint.RSA().WithKid("a").JWK()}})
	if err != nil {
		panic(err) // a map of strings always has a JSON form
	}
	return object("security.istio.io/v1", "RequestAuthentication", name, "{jwtRules: [{issuer: '"+issuer+"', jwks: '"+string(set)+"'"+fields+"}]}")
}

// token is a good one, with more members.
func token(members string) judge.Token {
	return judge.Token{Key: "rsa-a", Alg: "RS256", Header: `{"alg":"RS256","kid":"a"}`, Payload: `{"iss":"i","sub":"s","exp":{now+600}` + members + `}`}
}

// withToken is a request with that token in a header value that says {token:0}, or in
// the path.
func withToken(t judge.Token, path string, pairs ...string) judge.Request {
	r := with(pairs...)
	if path != "" {
		r.Path = path
	}
	r.Tokens = []judge.Token{t}
	return r
}

// locationEdges are about odd places for tokens, and odd headers for what they say.
func locationEdges() []edge {
	var out []edge
	rules := []string{"", ", forwardOriginalToken: true"}
	for _, name := range []string{"authorization", "Authorization", "X-Jwt", "cookie", "host", ":authority", ":path", ":method", "user-agent", "content-type", "x-forwarded-for", "x-envoy-original-path"} {
		for _, prefix := range []string{"", ", prefix: 'Bearer '", ", prefix: Bearer", ", prefix: 'bearer '", ", prefix: ' '", ", prefix: 'x='"} {
			rules = append(rules, ", fromHeaders: [{name: '"+name+"'"+prefix+"}]")
		}
	}
	for _, name := range []string{"access_token", "a b", "a%20b", "", "A", "ä"} {
		rules = append(rules, ", fromParams: ['"+name+"']", ", fromCookies: ['"+name+"']", ", fromParams: ['"+name+"'], forwardOriginalToken: true")
	}
	for _, header := range []string{"x-out", "X-Out", "host", "authorization", "content-type", "x-forwarded-for", "x-forwarded-proto", "connection", "cookie", "x-request-id", "te", "transfer-encoding", "content-length"} {
		rules = append(rules, ", outputPayloadToHeader: '"+header+"'", ", outputClaimToHeaders: [{header: '"+header+"', claim: sub}]")
	}
	for _, claim := range []string{"sub", "iss", "exp", "a.b", "a", "list", "list.0", "", ".", "a.", ".a", "t", "f", "n", "frac", "neg", "big", "text", "nl"} {
		rules = append(rules, ", outputClaimToHeaders: [{header: x-out, claim: '"+claim+"'}]")
	}
	good := token(`,"a":{"b":"c"},"list":["x","y"],"t":true,"f":false,"n":null,"frac":1.5,"neg":-3,"big":12345678901,"text":"a b","nl":""`)
	requests := []struct {
		name string
		req  judge.Request
	}{
		{"none", with("x-out", "spoofed")},
		{"Bearer", withToken(good, "", "Authorization", "Bearer {token:0}", "x-out", "spoofed")},
		{"a bare header", withToken(good, "", "X-Jwt", "{token:0}", "User-Agent", "x={token:0}")},
		{"a parameter", withToken(good, "/get?access_token={token:0}&b=%41+c")},
		{"a parameter with a blank", withToken(good, "/get?a%20b={token:0}&A={token:0}")},
		{"a cookie", withToken(good, "", "Cookie", "x=1; access_token={token:0}; A=\"{token:0}\"")},
		{"others", withToken(good, "", "Content-Type", "Bearer {token:0}", "x-request-id", "{token:0}", "x-envoy-original-path", "Bearer {token:0}")},
	}
	for _, fields := range rules {
		for _, mesh := range []struct{ name, objects string }{
			{"ALLOW a principal", policy("{rules: [{from: [{source: {requestPrincipals: ['i/s']}}]}]}")},
			{"DENY what is written", denyHeader("x-out", "*")},
		} {
			for _, r := range requests {
				out = append(out, edge{
					name: fmt.Sprintf("rule%s, %s, %s", fields, mesh.name, r.name), mesh: web(verified("r", "i", fields), mesh.objects), req: r.req,
				})
			}
		}
	}
	return out
}

// claimEdges are about every form of a value in a policy against every kind of claim.
func claimEdges() []edge {
	var out []edge
	claims := []string{`"v"`, `""`, `"v w"`, `" v"`, `["v"]`, `["w","v"]`, `[]`, `[["v"]]`, `[1,"v"]`, `{"a":"v"}`, `{"a":["v"]}`, `{"a":{"b":"v"}}`, `1`, `1.5`, `true`, `null`, `"*"`, `"v*"`, `"V"`, `"vé"`, `"a/b"`}
	for _, key := range []string{"request.auth.claims[c]", "request.auth.claims[c][a]", "request.auth.claims[c][a][b]", "request.auth.claims[C]", "request.auth.claims[scope]", "request.auth.claims", "request.auth.claims[]", "request.auth.claims[c", "request.auth.claims[[c]]"} {
		for _, value := range []string{"v", "*", "v*", "*v", "", "v w", "*v*", "1", "true", "**"} {
			for _, field := range []string{"values", "notValues"} {
				mesh := web(verified("r", "i", ""), policy(fmt.Sprintf("{rules: [{when: [{key: '%s', %s: ['%s']}]}]}", key, field, value)))
				for _, claim := range claims {
					name := "c"
					if strings.Contains(key, "scope") {
						name = "scope"
					}
					out = append(out, edge{
						name: fmt.Sprintf("%s %s %q, claim %s", key, field, value, claim), mesh: mesh,
						req: withToken(token(`,"`+name+`":`+claim), "", "Authorization", "Bearer {token:0}"),
					})
				}
			}
		}
	}
	return out
}

// principalEdges are about every form of requestPrincipals against issuers and subjects
// with the characters that matter.
func principalEdges() []edge {
	var out []edge
	issuers := []string{"i", "https://idp.test", "https://idp.test/", "i*", ""}
	for _, issuer := range issuers {
		for _, value := range []string{
			"i/s", "i/*", "*/s", "*", "i*", "*s", "*/*", "i/s*", "*i/s", "https://idp.test/s", "https://idp.test/*", "https://idp.test//s", "https://idp*", "*idp.test/s", "/s", "/", "i", "", "i/", "i/a/b", "https://idp.test/a/b", "i*/s", "**",
		} {
			for _, action := range []string{"ALLOW", "DENY"} {
				for _, field := range []string{"requestPrincipals", "notRequestPrincipals"} {
					mesh := web(verified("r", issuer, ""), policy(fmt.Sprintf("{action: %s, rules: [{from: [{source: {%s: ['%s']}}]}]}", action, field, value)))
					for _, sub := range []string{`"s"`, `"a/b"`, `"*"`, `""`, `"s*"`, ``} {
						t := judge.Token{Key: "rsa-a", Alg: "RS256", Header: `{"alg":"RS256","kid":"a"}`, Payload: `{"iss":"` + issuer + `","sub":` + sub + `}`}
						if sub == "" {
							t.Payload = `{"iss":"` + issuer + `"}`
						}
						out = append(out, edge{
							name: fmt.Sprintf("%s %s %q, issuer %q, sub %s", action, field, value, issuer, sub), mesh: mesh,
							req: withToken(t, "", "Authorization", "Bearer {token:0}"),
						})
					}
				}
			}
		}
	}
	return out
}
