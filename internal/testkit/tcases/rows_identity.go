package tcases

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"

// principals are T073 to T079: requestPrincipals and their wildcards.
func principals(s *set) {
	with := func(policy string) string { return mesh(raA(), policy) }
	noSub := gaOf(`"exp":{now+3600}`)
	u2 := gaOf(`"sub":"u2"`, `"exp":{now+3600}`)
	need := with(anyIdentity())
	s.add("T073", need, judge.Request{}, rbac403(noMatch))
	s.add("T074", need, bearer(gaOf(`"sub":"u1"`, `"exp":{now-3600}`)), j401(expired))
	s.add("T075", need, bearer(noSub), rbac403(noMatch))
	reject := with(deny(from("notRequestPrincipals", "*")))
	s.add("T076/no-token", reject, judge.Request{}, rbac403(policyP(0)))
	s.add("T076/good", reject, bearer(ga()), passed())
	s.add("T076/no-sub", reject, bearer(noSub), rbac403(policyP(0)))
	s.add("T077/u1", with(onlyPrincipal("iss-a/u1")), bearer(ga()), passed())
	s.add("T077/u2", with(onlyPrincipal("iss-a/u1")), bearer(u2), rbac403(noMatch))
	s.add("T078/any-sub", with(onlyPrincipal("iss-a/*")), bearer(ga()), passed())
	s.add("T078/any-issuer", with(onlyPrincipal("*/u1")), bearer(ga()), passed())
	s.add("T078/issuer-prefix", with(onlyPrincipal("iss-*")), bearer(ga()), passed())
	s.add("T078/sub-suffix", with(onlyPrincipal("*u1")), bearer(ga()), passed())
	s.add("T079", with(onlyPrincipal("*/*")), bearer(ga()), rbac403(noMatch))
}

// principalForms are T080 to T083: slashes in issuers and subjects.
func principalForms(s *set) {
	of := func(issuer, sub string) judge.Request {
		return bearer(payloadA(`"iss":"`+issuer+`"`, `"sub":"`+sub+`"`, `"exp":{now+3600}`))
	}
	with := func(issuer, policy string) string { return mesh(ra("a", rule(issuer, setKA())), policy) }
	idp := with("https://idp.example", onlyPrincipal("https://idp.example*"))
	s.add("T080", idp, of("https://idp.example", "u1"), rbac403(noMatch))
	s.add("T080/sub-like-host", idp, of("https://idp.example", "idp.example-1"), rbac403(noMatch))
	s.add("T081/one-slash", with("https://idp/", onlyPrincipal("https://idp/s")), of("https://idp/", "s"), rbac403(noMatch))
	s.add("T081/two-slashes", with("https://idp/", onlyPrincipal("https://idp//s")), of("https://idp/", "s"), passed())
	s.add("T082/principal", with("iss-a", onlyPrincipal("iss-a/auth0|x/y")), of("iss-a", "auth0|x/y"), rbac403(noMatch))
	s.add("T082/claim", with("iss-a", allow(when("request.auth.claims[sub]", "auth0|x/y"))), of("iss-a", "auth0|x/y"), passed())
	s.add("T083", with("iss-a", allow(from("notRequestPrincipals", "iss-a/u1"))), judge.Request{}, passed())
	s.add("T083/u1", with("iss-a", allow(from("notRequestPrincipals", "iss-a/u1"))), bearer(ga()), rbac403(noMatch))
}

// claimValues are T084 to T091: conditions on claims.
func claimValues(s *set) {
	none := rbac403(noMatch)
	claim := func(name string, values ...string) string { return when("request.auth.claims["+name+"]", values...) }
	for _, c := range []struct {
		name, rule, member string
		want               Expect
	}{
		{"T084/list", claim("groups", "admin"), `"groups":["dev","admin"]`, passed()},
		{"T084/string", claim("groups", "admin"), `"groups":"admin"`, passed()},
		{"T084/words", claim("groups", "admin"), `"groups":"dev admin"`, none},
		{"T085/word", claim("scope", "write"), `"scope":"read write"`, passed()},
		{"T085/whole", claim("scope", "read write"), `"scope":"read write"`, none},
		{"T086/number", claim("level", "5"), `"level":5`, none},
		{"T086/star", claim("level", "*"), `"level":5`, none},
		{"T086/not", whenNot("request.auth.claims[level]", "5"), `"level":5`, passed()},
		{"T087/empty", claim("x", "*"), `"x":""`, none},
		{"T087/empty-list", claim("x", "*"), `"x":[]`, none},
		{"T087/list", claim("x", "*"), `"x":["a"]`, passed()},
		{"T087/bool", claim("x", "*"), `"x":true`, none},
		{"T088/nested", claim("a][b", "v"), `"a":{"b":["v"]}`, passed()},
		{"T088/nested-dot", claim("a][b", "v"), `"a.b":"v"`, none},
		{"T088/dot", claim("a.b", "v"), `"a.b":"v"`, passed()},
		{"T090/string", when("request.auth.audiences", "foo"), `"aud":"foo"`, passed()},
		{"T090/list", when("request.auth.audiences", "foo"), `"aud":["foo","bar"]`, passed()},
		{"T091/azp", when("request.auth.presenter", "bar"), `"azp":"bar"`, passed()},
		{"T091/client-id", when("request.auth.presenter", "bar"), `"client_id":"bar"`, none},
	} {
		s.add(c.name, mesh(raA(), allow(c.rule)), bearer(ga(c.member)), c.want)
	}
	s.add("T089", mesh(raA(), allow(whenNot("request.auth.claims[g]", "blocked"))), judge.Request{}, passed())
}

// identityOrder are T092 to T095: what the JWT filter leaves to the policies.
func identityOrder(s *set) {
	s.add("T092", mesh(anyIdentity()), bearer(ga()), rbac403(noMatch))
	s.add("T093", mesh(raA(), anyIdentity()), preflight(gaOf(`"exp":{now-3600}`)), rbac403(noMatch))
	claimHeader := raA("outputClaimToHeaders: [{header: x-sub, claim: sub}]")
	m := mesh(claimHeader, allow(when("request.headers[x-sub]", "admin")))
	s.add("T094", m, plain("x-sub", "admin"), rbac403(noMatch))
	s.add("T094/from-token", m, bearer(gaOf(`"sub":"admin"`, `"exp":{now+3600}`)), passed(kept("x-sub")))
	noAuthorization := deny(when("request.headers[authorization]", "*"))
	s.add("T095/removed", mesh(raA(), noAuthorization), bearer(ga()), passed())
	s.add("T095/forwarded", mesh(raA(forward), noAuthorization), bearer(ga()), rbac403(policyP(0)))
}
