package tcases

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"

// onlyPrincipal lets pass one request principal, which shows whose payload is
// there in the end.
func onlyPrincipal(p string) string { return allow(from("requestPrincipals", p)) }

// issuers are T061 to T067: two rules, and tokens in several places.
func issuers(s *set) {
	inBoth := func(header, query judge.Token) judge.Request {
		r := sent([]judge.Token{header, query}, judge.Header{Name: "Authorization", Value: "Bearer {token:0}"})
		r.Path = "/get?access_token={token:1}"
		return r
	}
	two := []string{raA(), raB()}
	s.final("T061", two, inBoth(ga(), gb()), "iss-a/u1", "iss-b/u1")
	s.add("T062", mesh(raA(forward), raB(forward)), inBoth(ga(), gb()), j401(badIssuer))
	s.final("T063", two, inBoth(gb(), ga()), "iss-b/u1", "iss-a/u1")

	m := mesh(two...)
	s.add("T064/issuer-b", m, bearer(gb()), passed())
	s.add("T064/issuer-z", m, bearer(payloadA(`"iss":"iss-z"`, `"sub":"u1"`)), j401(badIssuer))
	s.add("T064/expired-b", m, bearer(gbOf(`"exp":{now-3600}`)), j401(expired))

	apart := []string{raA("fromHeaders: [{name: x-a}]"), raB("fromHeaders: [{name: x-b}]")}
	headers := func(a, b string) judge.Request {
		r := judge.Request{Tokens: []judge.Token{ga(), gb(), gbOf(`"exp":{now-3600}`)}}
		for _, h := range []judge.Header{{Name: "x-a", Value: a}, {Name: "x-b", Value: b}} {
			if h.Value != "" {
				r.Headers = append(r.Headers, h)
			}
		}
		return r
	}
	s.final("T065", apart, headers("{token:0}", "garbage"), "iss-a/u1", "iss-b/u1")
	s.final("T066", apart, headers("garbage", "{token:1}"), "iss-b/u1", "iss-a/u1")
	s.add("T067", mesh(apart...), headers("", "{token:2}"), j401(expired))
}

// final adds a case as it is, behind a policy that takes the principal whose
// payload is there in the end, and behind one that takes another.
func (s *set) final(name string, docs []string, req judge.Request, is, isNot string) {
	s.add(name+"/status", mesh(docs...), req, passed())
	s.add(name+"/payload", mesh(append(docs, onlyPrincipal(is))...), req, passed())
	s.add(name+"/other-payload", mesh(append(docs, onlyPrincipal(isNot))...), req, rbac403(noMatch))
}

// issuerErrors are T068 to T072: which error is told.
func issuerErrors(s *set) {
	b := func(field string) string {
		if field == "" {
			return rule("iss-b", setKB())
		}
		return rule("iss-b", setKB(), field)
	}
	audFoo := gb(`"aud":"foo"`)
	s.add("T068", mesh(ra("b", b("audiences: [bar]"), b(""))), bearer(audFoo), passed())
	s.add("T069", mesh(ra("b", b("audiences: [x]"), b(`audiences: ["y"]`))), bearer(audFoo), j403())
	s.add("T070", mesh(raA("audiences: [x]"), raB()), bearer(ga(`"aud":"foo"`)), j403())
	s.add("T071", mesh(raA(), raB()), judge.Request{}, passed())
	s.add("T072", mesh(raA()), grpc(bearer(gaOf(`"exp":{now-3600}`))), inGRPC(j401(expired), 16))
}

// grpc is the request as a gRPC client sends it.
func grpc(r judge.Request) judge.Request {
	r.HTTP2, r.Method = true, "POST"
	r.Headers = append(r.Headers, judge.Header{Name: "content-type", Value: "application/grpc"}, judge.Header{Name: "te", Value: "trailers"})
	return r
}
