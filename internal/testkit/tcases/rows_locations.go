package tcases

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// anyIdentity lets pass who has a request principal, which shows whether a token
// gave one.
func anyIdentity() string { return allow(from("requestPrincipals", "*")) }

// seen adds a case twice: as the row has it, and behind a policy that shows
// whether the request has an identity.
func (s *set) seen(name string, docs []string, req judge.Request, identity bool) {
	s.add(name+sep(name)+"status", mesh(docs...), req, passed())
	want := passed()
	if !identity {
		want = rbac403(noMatch)
	}
	s.add(name+sep(name)+"identity", mesh(append(docs, anyIdentity())...), req, want)
}

func sep(name string) string {
	if strings.Contains(name, "/") {
		return "-"
	}
	return "/"
}

// authorization is a request whose Authorization lines have these values, with Ga
// as the token.
func authorization(values ...string) judge.Request {
	r := judge.Request{Tokens: []judge.Token{ga()}}
	for _, v := range values {
		r.Headers = append(r.Headers, judge.Header{Name: "Authorization", Value: v})
	}
	return r
}

// locations are T045 to T052: the two places where a token is looked for by default.
func locations(s *set) {
	docs := []string{raA()}
	m := mesh(docs...)
	s.seen("T045", docs, authorization("bearer {token:0}"), false)
	s.seen("T046", docs, authorization("Basic eHg="), false)
	s.seen("T047", docs, authorization("Bearer"), false)
	s.seen("T047/trailing-blank", docs, authorization("Bearer "), false)
	blank := authorization("Bearer ")
	blank.HTTP2 = true
	s.add("T047/http2-trailing-blank", m, blank, j401(badForm))
	s.seen("T048", docs, authorization("Basic x,Bearer {token:0}"), true)
	s.add("T049/twice", m, authorization("Bearer {token:0}", "Bearer {token:0}"), j401(badForm))
	s.add("T049/bearer-basic", m, authorization("Bearer {token:0}", "Basic zz"), j401("Jwt signature is an invalid Base64url encoded"))
	s.seen("T049/basic-bearer", docs, authorization("Basic zz", "Bearer {token:0}"), true)

	query := func(path string) judge.Request { return judge.Request{Path: path, Tokens: []judge.Token{ga()}} }
	s.add("T050/good", m, query("/get?access_token={token:0}"), passed())
	s.add("T050/empty", m, query("/get?access_token="), j401(badForm))
	s.add("T050/bare", m, query("/get?access_token"), j401(badForm))
	s.add("T051", m, query("/get?access_token={token:0}&access_token=junk"), passed())
	both := authorization("Bearer {token:0}")
	both.Path = "/get?access_token=junk"
	s.add("T052", m, both, j401(badForm))
}

// headerLocations are T053 to T060: places of one's own, and preflights.
func headerLocations(s *set) {
	value := []string{raA(`fromHeaders: [{name: x-jwt-token, prefix: "Value "}]`)}
	s.seen("T053/own-header", value, sent([]judge.Token{ga()}, judge.Header{Name: "X-Jwt-Token", Value: "Value {token:0}"}), true)
	s.seen("T053/authorization", value, bearer(ga()), false)

	// Bearer and the header part are decoded as one text: whether that is base64
	// hangs on the length of the part.
	noPrefix := mesh(raA("fromHeaders: [{name: authorization}]"))
	for _, c := range []struct{ name, header, want string }{
		{"T054/json", `{"alg":"RS256","kid":"a"}`, "Jwt header is an invalid JSON"},
		{"T054/json-whole", `{"alg":"RS256","kid":"a"}  `, "Jwt header is an invalid JSON"},
		{"T054/base64", `{"alg":"RS256","kid":"a"} `, "Jwt header is an invalid Base64url encoded"},
	} {
		s.add(c.name, noPrefix, bearer(signed("rsa-a", "RS256", c.header)), j401(c.want))
	}

	xJWT := mesh(raA("fromHeaders: [{name: x-jwt}]"))
	late := gaOf(`"sub":"u1"`, `"exp":{now-3600}`)
	lines := func(values ...string) judge.Request {
		r := judge.Request{Tokens: []judge.Token{ga(), late}}
		for _, v := range values {
			r.Headers = append(r.Headers, judge.Header{Name: "x-jwt", Value: v})
		}
		return r
	}
	s.add("T055", xJWT, lines(""), j401(badForm))
	s.add("T056/good-expired", xJWT, lines("{token:0}", "{token:1}"), j401(expired))
	s.add("T056/expired-good", xJWT, lines("{token:1}", "{token:0}"), j401(expired))

	params := mesh(raA("fromParams: [token, secondary_token]"))
	for name, path := range map[string]string{
		"T057/good-expired": "/get?token={token:0}&secondary_token={token:1}",
		"T057/expired-good": "/get?token={token:1}&secondary_token={token:0}",
	} {
		s.add(name, params, judge.Request{Path: path, Tokens: []judge.Token{ga(), late}}, j401(expired))
	}

	cookie := sent([]judge.Token{ga()}, judge.Header{Name: "Cookie", Value: `a=1; tok="{token:0}"`})
	s.add("T058/status", mesh(raA("fromCookies: [tok]")), cookie, passed(kept("cookie")))
	s.add("T058/identity", mesh(raA("fromCookies: [tok]"), anyIdentity()), cookie, passed(kept("cookie")))

	s.add("T059", mesh(raA()), preflight(late), passed())
	noOrigin := preflight(late)
	noOrigin.Headers = noOrigin.Headers[:2]
	s.add("T060", mesh(raA()), noOrigin, j401(expired))
}

// preflight is a CORS preflight with a token; Origin is its last header.
func preflight(t judge.Token) judge.Request {
	r := bearer(t, judge.Header{Name: "Access-Control-Request-Method", Value: "GET"}, judge.Header{Name: "Origin", Value: "https://example.com"})
	r.Method = "OPTIONS"
	return r
}
