package tcases

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"

// claims are T001 to T015, T023 and T024: times and the types of claims.
func claims(s *set) {
	m := mesh(raA())
	s.add("T001", m, judge.Request{}, passed())
	s.add("T002", m, bearer(ga()), passed(gone("authorization")))
	s.add("T003", mesh(raA(forward)), bearer(ga()), passed(kept("authorization")))

	sub := `"sub":"u1"`
	exp := `"exp":{now+3600}`
	notInteger := func(name string) Expect { return j401("Jwt payload [" + name + "] field is not an integer") }
	notString := func(name string) Expect { return j401("Jwt payload [" + name + "] field is not a string") }
	for _, c := range []struct {
		name  string
		token judge.Token
		want  Expect
	}{
		{"T004/exp-60", gaOf(sub, `"exp":{now-60}`), passed()},
		{"T004/exp-61", gaOf(sub, `"exp":{now-61}`), j401(expired)},
		{"T005/nbf+60", ga(`"nbf":{now+60}`), passed()},
		{"T005/nbf+61", ga(`"nbf":{now+61}`), j401("Jwt not yet valid")},
		{"T006/no-exp", gaOf(sub), passed()},
		{"T006/exp-0", gaOf(sub, `"exp":0`), passed()},
		{"T007/exp-string", gaOf(sub, `"exp":"1999999999"`), notInteger("exp")},
		{"T007/exp-null", gaOf(sub, `"exp":null`), notInteger("exp")},
		{"T008", gaOf(sub, `"exp":-5`), j401("Jwt payload [exp] field is not a positive 64 bit integer")},
		{"T009", gaOf(sub, `"exp":{now+100}.7`), passed()},
		{"T010", ga(`"iat":"x"`), notInteger("iat")},
		{"T011", payloadA(`"iss":"iss-z"`, sub, exp), j401(badIssuer)},
		{"T012", payloadA(sub, exp), j401(badIssuer)},
		{"T013", payloadA(`"iss":7`, sub, exp), notString("iss")},
		{"T015/sub-number", gaOf(`"sub":7`, exp), notString("sub")},
		{"T015/no-sub", gaOf(exp), passed()},
		{"T023", payloadA(`"iss":"iss-z"`, sub, `"exp":{now-3600}`), j401(badIssuer)},
		{"T024", gaOf(`"sub":"a"`, `"sub":"b"`, exp), j401("Jwt payload is an invalid JSON")},
	} {
		s.add(c.name, m, bearer(c.token), c.want)
	}
	s.add("T014", mesh(ra("a", "{jwks: '"+setKA()+"'}")), bearer(payloadA(sub, exp)), passed())
}

// audiences are T016 to T022.
func audiences(s *set) {
	foo := mesh(raA("audiences: [foo]"))
	past := `"exp":{now-3600}`
	flipped := ga(`"aud":"bar"`)
	flipped.FlipSignature = true
	for _, c := range []struct {
		name  string
		mesh  string
		token judge.Token
		want  Expect
	}{
		{"T016", foo, ga(`"aud":"bar"`), j403()},
		{"T017/no-aud", foo, ga(), j403()},
		{"T017/aud-empty", foo, ga(`"aud":[]`), j403()},
		{"T018/aud-list", foo, ga(`"aud":["x","foo"]`), passed()},
		{"T018/aud-mixed", foo, ga(`"aud":["foo",1]`), j401("Jwt payload [aud] field is not a string or string list")},
		{"T019", mesh(raA(`audiences: ["https://foo/"]`)), ga(`"aud":"http://foo"`), passed()},
		{"T020", foo, ga(`"aud":"foo//"`), j403()},
		{"T021", foo, gaOf(past, `"aud":"bar"`), j401(expired)},
		{"T022", foo, flipped, j403()},
	} {
		s.add(c.name, c.mesh, bearer(c.token), c.want)
	}
}
