package probe

import (
	"errors"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
)

func bearer(r *envoy.Request, token string) {
	r.Headers = append(r.Headers, envoy.Header{Name: "Authorization", Value: "Bearer " + token})
}

func matrix(most int, paths ...string) Matrix {
	return Matrix{
		Base: envoy.Request{Method: "GET", Headers: []envoy.Header{{Name: "a", Value: "b"}}}, Paths: paths, Place: bearer, Most: most,
		Tokens: []Token{{Kind: None, Name: "no token"}, {Kind: Given, Name: "token.jwt", Value: "x.y.z"}},
	}
}

func TestEveryTokenIsTriedAtEveryPathOnce(t *testing.T) {
	shots, err := Plan(matrix(4, "/a", "/b", "/a"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range shots {
		got = append(got, s.Request.Path+" "+s.Name)
		if want := map[Kind]int{None: 1, Given: 2}[s.Kind]; len(s.Request.Headers) != want {
			t.Errorf("%s has headers %v", s.Name, s.Request.Headers)
		}
	}
	if text := strings.Join(got, ", "); text != "/a no token, /a token.jwt, /b no token, /b token.jwt" {
		t.Errorf("got %s", text)
	}
}

func TestMoreRowsThanAllowedAreAnErrorThatSaysHowMany(t *testing.T) {
	_, err := Plan(matrix(3, "/a", "/b"))
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Rows != 4 || !strings.Contains(limit.HintLine(), "--max-requests 4") || !strings.Contains(err.Error(), "4 requests") {
		t.Errorf("got %v", err)
	}
}

func TestABrokenTokenDiffersInItsSignatureAlone(t *testing.T) {
	key := mint.RSA()
	token := mint.Token(key, `{"alg":"RS256","kid":"`+key.Kid+`"}`, `{"iss":"i","sub":"s"}`)
	broken, ok := Break(token)
	if !ok || len(broken) != len(token) || broken == token || broken[:strings.LastIndexByte(broken, '.')+1] != token[:strings.LastIndexByte(token, '.')+1] {
		t.Fatalf("%v", ok)
	}
	set, status := jwks.Parse(mint.JWKS(key))
	if status != jwt.OK {
		t.Fatal(status)
	}
	for raw, want := range map[string]jwt.Status{token: jwt.OK, broken: jwt.VerificationFails} {
		parsed, status := jwt.Parse(raw)
		if status != jwt.OK || set.Verify(parsed) != want {
			t.Errorf("%v, want %v", status, want)
		}
	}
	if again, _ := Break("a.b.A"); again != "a.b.B" {
		t.Errorf("got %q", again)
	}
	for _, none := range []string{"opaque", "a.b.", "a.b", "a.b.c.d.e"} {
		if _, ok := Break(none); ok {
			t.Errorf("%q has no signature to break", none)
		}
	}
}

func TestExpectationsAreReadAndTheNearestOneCounts(t *testing.T) {
	for text, want := range map[string]string{
		"none=403": "403", "given@/a=b=200": "200", "broken=closed": "closed", "expired=grpc:16": "grpc:16",
	} {
		e, err := ParseExpectation(text)
		if err != nil || e.String() != want {
			t.Errorf("%s: %v %v", text, e, err)
		}
	}
	for _, wrong := range []string{"none", "nobody=200", "none=20", "none=600", "none=grpc:17", "none@x=200", "=200", "none=", "none=ok"} {
		if _, err := ParseExpectation(wrong); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
	all := []Expectation{{Kind: None, Path: "/a", Status: 200}, {Kind: None, Status: 403}, {Kind: None, Status: 401}}
	if e := expected(all, Shot{Kind: None, Path: "/a"}); e.Status != 200 {
		t.Errorf("got %v", e)
	}
	if e := expected(all, Shot{Kind: None, Path: "/b"}); e.Status != 401 {
		t.Errorf("the last one counts: %v", e)
	}
	if e := expected(all, Shot{Kind: Given, Path: "/a"}); e != nil {
		t.Errorf("got %v", e)
	}
	shots := []Shot{{Kind: None, Path: "/a"}}
	if unused := Unused(append(all, Expectation{Kind: Given}, Expectation{Kind: None, Path: "/c"}), shots); len(unused) != 2 {
		t.Errorf("got %v", unused)
	}
}

func TestAnExpectationIsAboutWhatIsSeen(t *testing.T) {
	seven := 7
	front := observe.Way{Client: "sleep's own proxy", Hops: []string{"httpbin's proxy"}}
	reset := observe.Answer{Status: 503, Body: "upstream connect error or disconnect/reset before headers. reset reason: connection termination", BodyKnown: true}
	for name, c := range map[string]struct {
		e    Expectation
		a    observe.Answer
		w    observe.Way
		want bool
	}{
		"the status":                 {Expectation{Status: 403}, observe.Answer{Status: 403}, front, true},
		"another status":             {Expectation{Status: 403}, observe.Answer{Status: 401}, front, false},
		"closed":                     {Expectation{Closed: true}, observe.Answer{}, observe.Way{}, true},
		"closed behind a proxy":      {Expectation{Closed: true}, reset, front, true},
		"503 without one in between": {Expectation{Closed: true}, reset, observe.Way{Hops: []string{"httpbin's proxy"}}, false},
		"no connection":              {Expectation{Closed: true}, observe.Answer{Unreachable: true}, front, false},
		"gRPC":                       {Expectation{Status: 7, GRPC: true}, observe.Answer{Status: 200, GRPCStatus: &seven}, front, true},
		"gRPC, and there is none":    {Expectation{Status: 7, GRPC: true}, observe.Answer{Status: 200}, front, false},
	} {
		if got := c.e.met(c.a, c.w); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
