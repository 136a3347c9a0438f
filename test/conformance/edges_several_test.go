package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// jwtRule is a rule of a RequestAuthentication with the keys of that name.
func jwtRule(issuer, key, fields string) string {
	return "{issuer: '" + issuer + "', jwks: '" + keySetOf(key) + "'" + fields + "}"
}

func requestAuthenticationIn(namespace, name, selector string, rules ...string) string {
	return "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: {" + selector + "jwtRules: [" + strings.Join(rules, ", ") + "]}"
}

// issued is a token of an issuer.
func issued(issuer, key, members string) judge.Token {
	alg := map[byte]string{'r': "RS256", 'o': "HS256", 'p': "ES256", 'e': "EdDSA"}[key[0]]
	return judge.Token{Key: key, Alg: alg, Header: `{"alg":"` + alg + `"}`, Payload: `{"iss":"` + issuer + `","sub":"s"` + members + `}`}
}

// severalEdges are several rules for one workload.
func severalEdges() []edge {
	var out []edge
	const own, other = "selector: {matchLabels: {app: httpbin}}, ", "selector: {matchLabels: {app: other}}, "
	many := make([]string, 20)
	for i := range many {
		many[i] = jwtRule([]string{"i", "j", "k"}[i%3], []string{"rsa-a", "rsa-b", "oct-a", "p256-a"}[i%4], fmt.Sprintf(", outputPayloadToHeader: x-%d", i))
	}
	meshes := []struct {
		name    string
		objects []string
	}{
		{"two issuers", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ""), jwtRule("j", "rsa-b", ""))}},
		{"two issuers, forwarded", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", forwardOriginalToken: true"), jwtRule("j", "rsa-b", ", forwardOriginalToken: true"))}},
		{"two issuers, one forwarded", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", forwardOriginalToken: true"), jwtRule("j", "rsa-b", ""))}},
		{"two issuers, the other forwarded", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ""), jwtRule("j", "rsa-b", ", forwardOriginalToken: true"))}},
		{"one issuer twice", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ""), jwtRule("i", "rsa-b", ""))}},
		{"one issuer twice, audiences", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", audiences: [x]"), jwtRule("i", "rsa-b", ", audiences: ['y']"))}},
		{"one issuer twice, other places", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", fromHeaders: [{name: x-jwt}]"), jwtRule("i", "rsa-b", ""))}},
		{"two objects", []string{requestAuthenticationIn("foo", "b", "", jwtRule("i", "rsa-a", "")), requestAuthenticationIn("foo", "a", "", jwtRule("i", "rsa-b", ", outputPayloadToHeader: x-out"))}},
		{"an object and one of the root", []string{requestAuthenticationIn("istio-system", "a", "", jwtRule("i", "rsa-b", ", outputPayloadToHeader: x-out")), requestAuthenticationIn("foo", "b", own, jwtRule("i", "rsa-a", ""))}},
		{"an object of another namespace", []string{requestAuthenticationIn("bar", "a", "", jwtRule("i", "rsa-b", "")), requestAuthenticationIn("foo", "b", own, jwtRule("i", "rsa-a", ""))}},
		{"an object of somebody else", []string{requestAuthenticationIn("foo", "a", other, jwtRule("j", "rsa-b", "")), requestAuthenticationIn("istio-system", "b", own, jwtRule("i", "rsa-a", ""))}},
		{"an empty issuer first", []string{requestAuthenticationIn("foo", "r", "", jwtRule("", "rsa-b", ", outputPayloadToHeader: x-any"), jwtRule("i", "rsa-a", ", outputPayloadToHeader: x-i"))}},
		{"an empty issuer twice", []string{requestAuthenticationIn("foo", "r", "", jwtRule("", "rsa-b", ""), jwtRule("", "rsa-a", ""))}},
		{"one header for both", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", outputPayloadToHeader: x-out, fromHeaders: [{name: x-jwt}]"), jwtRule("j", "rsa-b", ", outputPayloadToHeader: x-out"))}},
		{"the second reads what the first writes", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", outputClaimToHeaders: [{header: x-inner, claim: inner}]"), jwtRule("j", "rsa-b", ", fromHeaders: [{name: x-inner}]"))}},
		{"the first reads what the second writes", []string{requestAuthenticationIn("foo", "r", "", jwtRule("j", "rsa-a", ", outputClaimToHeaders: [{header: x-inner, claim: inner}]"), jwtRule("i", "rsa-b", ", fromHeaders: [{name: x-inner}]"))}},
		{"a claim into authorization", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", outputClaimToHeaders: [{header: authorization, claim: bearer}], fromHeaders: [{name: x-jwt}]"), jwtRule("j", "rsa-b", ""))}},
		{"twenty rules", []string{requestAuthenticationIn("foo", "r", "", many...)}},
		{"twenty rules in two objects", []string{requestAuthenticationIn("foo", "r", "", many[:10]...), requestAuthenticationIn("istio-system", "r", "", many[10:]...)}},
		{"one required", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", presence: REQUIRED"), jwtRule("j", "rsa-b", ""))}},
		{"both required", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", presence: REQUIRED, fromHeaders: [{name: x-jwt}]"), jwtRule("j", "rsa-b", ", presence: REQUIRED"))}},
		{"other words", []string{requestAuthenticationIn("foo", "r", "", jwtRule("i", "rsa-a", ", spaceDelimitedClaims: [c]"), jwtRule("j", "rsa-b", ""))}},
		{"no rules", []string{requestAuthenticationIn("foo", "r", "")}},
		{"no rules and some", []string{requestAuthenticationIn("foo", "a", ""), requestAuthenticationIn("foo", "b", "", jwtRule("i", "rsa-a", ""))}},
		{"a target and a selector", []string{requestAuthenticationIn("foo", "a", "targetRefs: [{kind: Service, name: httpbin, group: ''}], ", jwtRule("i", "rsa-a", ""))}},
		{"an empty list of targets", []string{requestAuthenticationIn("foo", "a", "targetRefs: [], "+own, jwtRule("i", "rsa-a", ""))}},
		{"an empty selector", []string{requestAuthenticationIn("foo", "a", "selector: {}, ", jwtRule("i", "rsa-a", ""))}},
		{"a label that is empty", []string{requestAuthenticationIn("foo", "a", "selector: {matchLabels: {none: ''}}, ", jwtRule("i", "rsa-a", ""))}},
		{"a label with a star", []string{requestAuthenticationIn("foo", "a", "selector: {matchLabels: {app: '*'}}, ", jwtRule("i", "rsa-a", ""))}},
	}
	inner := issued("j", "rsa-b", "")
	text, err := inner.Mint(0, mint.Sign)
	if err != nil {
		panic(err) // fixed keys
	}
	i, j := issued("i", "rsa-a", `,"c":"v w","aud":["x","y"],"inner":"`+text+`","bearer":"Bearer `+text+`"`), issued("j", "rsa-b", `,"c":"v w"`)
	tokens := []judge.Token{i, j, issued("i", "rsa-b", `,"aud":"x"`), issued("i", "rsa-b", `,"aud":"y"`), issued("j", "rsa-a", ""), issued("k", "rsa-a", ""), issued("k", "oct-a", ""), issued("j", "p256-a", ""), issued("i", "rsa-a", `,"exp":1`), issued("j", "rsa-b", `,"exp":1`)}
	for _, m := range meshes {
		for _, p := range []struct{ name, policy string }{
			{"any", policy("{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}")}, {"i", policy("{rules: [{from: [{source: {requestPrincipals: ['i/*']}}]}]}")}, {"words", whenPolicy("ALLOW", "request.auth.claims[c]", "values", "v")},
		} {
			mesh := web(append(m.objects[:len(m.objects):len(m.objects)], p.policy)...)
			add := func(name string, pairs ...string) {
				req := with(pairs...)
				req.Tokens = tokens
				if strings.Contains(name, "a parameter") {
					req.Path = "/get?access_token={token:1}"
				}
				out = append(out, edge{name: m.name + ", policy " + p.name + ", " + name, mesh: mesh, req: req})
			}
			add("none")
			add("nothing but headers", "x-out", "a", "x-inner", "b", "x-1", "c")
			for n := range tokens {
				add(fmt.Sprintf("token %d", n), "Authorization", fmt.Sprintf("Bearer {token:%d}", n))
				add(fmt.Sprintf("token %d in another place", n), "x-jwt", fmt.Sprintf("{token:%d}", n))
				add(fmt.Sprintf("token %d and a parameter", n), "Authorization", fmt.Sprintf("Bearer {token:%d}", n))
			}
			add("both", "Authorization", "Bearer {token:1}", "x-jwt", "{token:0}")
			add("both the other way round", "Authorization", "Bearer {token:0}", "x-jwt", "{token:1}")
			add("one of them bad", "Authorization", "Bearer {token:0}", "x-jwt", "bad")
			add("the other one bad", "Authorization", "Bearer bad", "x-jwt", "{token:0}")
			add("a parameter and one that is written", "Authorization", "Bearer {token:0}", "x-inner", "{token:1}")
		}
	}
	return out
}
