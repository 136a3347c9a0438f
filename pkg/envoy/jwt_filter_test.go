package envoy

import (
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// provider is one that takes the issuer's tokens, signed with the P-256 key.
func provider(issuer string, change ...func(*Provider)) Provider {
	p := Provider{
		Name: "origins-0", Issuer: issuer, Keys: KeySource{Fetcher: Inline, Inline: "p256"}, SpaceDelimited: []string{"permission", "scope"},
		Origin: origin.Origin{Ref: origin.Ref{Kind: "RequestAuthentication", Namespace: "foo", Name: issuer}, Field: "spec.jwtRules[0]"},
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

func forward(p *Provider)                        { p.Forward = true }
func audiences(as ...string) func(*Provider)     { return func(p *Provider) { p.Audiences = as } }
func locations(ls ...Location) func(*Provider)   { return func(p *Provider) { p.Locations = ls } }
func outputs(hs ...ClaimHeader) func(*Provider)  { return func(p *Provider) { p.ClaimHeaders = hs } }
func keysFrom(s KeySource) func(p *Provider)     { return func(p *Provider) { p.Keys = s } }
func payloadHeader(h string) func(p *Provider)   { return func(p *Provider) { p.PayloadHeader = h } }
func spaceDelimited(c ...string) func(*Provider) { return func(p *Provider) { p.SpaceDelimited = c } }

// testKeys are the keys of the sources that providers of these tests name.
func testKeys(t *testing.T) Keys {
	t.Helper()
	set := func(k mint.Key) KeySet {
		s, status := jwks.Parse(mint.JWKS(k))
		if status != jwt.OK {
			t.Fatal(status)
		}
		return KeySet{Set: s}
	}
	return Keys{
		{Fetcher: Inline, Inline: "p256"}:  set(mint.P256()),
		{Fetcher: Inline, Inline: "other"}: set(mint.OtherP256()),
		{Fetcher: Inline, Inline: "kid"}:   set(mint.P256().WithKid("k")),
		{Fetcher: ProxyFetch, URI: "down"}: {Failure: jwt.JwksFetchFailed},
	}
}

var otherKeys, fetchedKeys = KeySource{Fetcher: Inline, Inline: "other"}, KeySource{Fetcher: ProxyFetch, URI: "down"}

// token signs claims, given as the members of an object.
func token(claims string) string {
	return mint.Token(mint.P256(), `{"alg":"ES256"}`, "{"+claims+"}")
}

func bearer(claims string) func(*Request) { return header("Authorization", "Bearer "+token(claims)) }

// tree is the requirement that istiod writes for n optional rules.
func tree(n int) Requirement {
	one := func(i int) Requirement { return Requirement{Kind: RequireProvider, Provider: i} }
	optional := func(i int) Requirement {
		return Requirement{Kind: RequireAny, Children: []Requirement{one(i), {Kind: AllowMissing}}}
	}
	if n == 1 {
		return optional(0)
	}
	outer, inner := Requirement{Kind: RequireAny}, Requirement{Kind: RequireAll}
	for i := range n {
		outer.Children, inner.Children = append(outer.Children, one(i)), append(inner.Children, optional(i))
	}
	outer.Children = append(outer.Children, inner)
	return outer
}

func jwtAuthn(ps ...Provider) *JWTAuthn {
	return &JWTAuthn{Providers: ps, Requirement: tree(len(ps)), BypassCORSPreflight: true}
}

// verified runs the filter alone.
func verified(t *testing.T, f *JWTAuthn, r *Request) (*state, *Verdict) {
	t.Helper()
	s := prepared(t, r, sidecar())
	v, _ := s.jwtAuthn(f, testKeys(t))
	return s, v
}

// refusal is the status of a denial, and the provider's name, "" if there is none.
func refusal(v *Verdict) (status, by string) {
	if v == nil {
		return "", ""
	}
	if v.DecidedBy != nil {
		by = v.DecidedBy.Name
	}
	return v.Body, by
}

func TestATokenIsCheckedInEnvoysOrder(t *testing.T) {
	long := strings.Repeat("x", 10)
	for _, c := range []struct {
		name    string
		p       Provider
		request *Request
		want    jwt.Status
	}{
		{"a good one passes", provider("i"), with(bearer(`"iss":"i"`)), jwt.OK},
		{"none passes", provider("i"), plain(), jwt.OK},
		{"form before issuer", provider("i"), with(header("Authorization", "Bearer a.b")), jwt.BadFormat},
		{"issuer before time", provider("i"), with(bearer(`"iss":"j","exp":1`)), jwt.UnknownIssuer},
		{"no issuer is the empty one", provider("i"), with(bearer(`"sub":"s"`)), jwt.UnknownIssuer},
		{"a provider without issuer takes any", provider(""), with(bearer(`"iss":"j"`)), jwt.OK},
		{"and none", provider(""), with(bearer(`"sub":"s"`)), jwt.OK},
		{"time before audience", provider("i", audiences("a")), with(bearer(`"iss":"i","exp":1`)), jwt.Expired},
		{"not before comes before expiry", provider("i"), with(bearer(`"iss":"i","exp":1,"nbf":1900000000`)), jwt.NotYetValid},
		{"a minute is granted", provider("i"), with(bearer(`"iss":"i","exp":1799999940,"nbf":1800000060`)), jwt.OK},
		{"a second more is not", provider("i"), with(bearer(`"iss":"i","exp":1799999939`)), jwt.Expired},
		{"nor a second less", provider("i"), with(bearer(`"iss":"i","nbf":1800000061`)), jwt.NotYetValid},
		{"audience before keys", provider("i", audiences("a"), keysFrom(fetchedKeys)), with(bearer(`"iss":"i","aud":"b"`)), jwt.AudienceNotAllowed},
		{"audience before signature", provider("i", audiences("a"), keysFrom(otherKeys)), with(bearer(`"iss":"i"`)), jwt.AudienceNotAllowed},
		{"one audience of several will do", provider("i", audiences("x", "https://a/")), with(bearer(`"iss":"i","aud":["b","a"]`)), jwt.OK},
		{"keys that could not be fetched", provider("i", keysFrom(fetchedKeys)), with(bearer(`"iss":"i"`)), jwt.JwksFetchFailed},
		{"another key", provider("i", keysFrom(otherKeys)), with(bearer(`"iss":"i"`)), jwt.VerificationFails},
		{"another kid", provider("i", keysFrom(KeySource{Fetcher: Inline, Inline: "kid"})),
			with(header("Authorization", "Bearer "+mint.Token(mint.P256(), `{"alg":"ES256","kid":"z"}`, `{"iss":"i"}`))), jwt.JwksNoMatchingKey},
		{"text is none", provider("i"), with(header("Authorization", "Bearer "+long)), jwt.BadFormat},
		{"an empty parameter is none", provider("i"), with(path("/?access_token=")), jwt.BadFormat},
		{"all tokens must be good", provider("i"), with(bearer(`"iss":"i"`), path("/?access_token=junk")), jwt.BadFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, v := verified(t, jwtAuthn(c.p), c.request)
			got, by := refusal(v)
			want := c.want.String()
			if c.want == jwt.OK {
				want = ""
			}
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			if v == nil {
				return
			}
			status := 401
			if c.want == jwt.AudienceNotAllowed {
				status = 403
			}
			if v.Status != status || v.Decision != Denied || by != c.p.Issuer {
				t.Errorf("status %d by %q", v.Status, by)
			}
			if want := "jwt_authn_access_denied{" + strings.ReplaceAll(want, " ", "_") + "}"; v.Details != want {
				t.Errorf("details %s", v.Details)
			}
		})
	}
}

func TestTheLastTokenIsVerifiedFirst(t *testing.T) {
	p := provider("i", locations(inHeader("x-a", ""), inParam("t"), inCookie("c")))
	expired, unknown := token(`"iss":"i","exp":1`), token(`"iss":"j"`)
	for _, c := range []struct {
		name    string
		request *Request
		want    jwt.Status
	}{
		{"the cookie before the parameter", with(header("cookie", "c="+expired), path("/?t="+unknown)), jwt.Expired},
		{"the parameter before the header", with(header("x-a", expired), path("/?t="+unknown)), jwt.UnknownIssuer},
		{"the second line before the first", with(header("x-a", expired), header("x-a", unknown)), jwt.UnknownIssuer},
		{"in the other order, too", with(header("x-a", unknown), header("x-a", expired)), jwt.Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, v := verified(t, jwtAuthn(p), c.request)
			if got, _ := refusal(v); got != c.want.String() {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPreflightsAndRequestsWithoutPathAreNotLookedAt(t *testing.T) {
	junk := header("Authorization", "Bearer junk")
	origin, asks := header("Origin", "http://x"), header("Access-Control-Request-Method", "GET")
	for _, c := range []struct {
		name    string
		request *Request
		passes  bool
	}{
		{"a preflight passes", with(method("OPTIONS"), origin, asks, junk), true},
		{"without origin it is none", with(method("OPTIONS"), asks, junk), false},
		{"with an empty one, too", with(method("OPTIONS"), header("Origin", ""), asks, junk), false},
		{"without the method that it asks for", with(method("OPTIONS"), origin, junk), false},
		{"another method is none", with(method("POST"), origin, asks, junk), false},
		{"CONNECT has no path", with(method("CONNECT"), path("a.test:80"), junk), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, v := verified(t, jwtAuthn(provider("i")), c.request)
			if (v == nil) != c.passes || s.hasPayload {
				t.Errorf("verdict %v, payload %v", v != nil, s.hasPayload)
			}
		})
	}
	f := jwtAuthn(provider("i"))
	f.BypassCORSPreflight = false
	if _, v := verified(t, f, with(method("OPTIONS"), origin, asks, junk)); v == nil {
		t.Error("a preflight passes where it is not let through")
	}
}

func TestTheReplyNamesTheRequest(t *testing.T) {
	junk := header("Authorization", "Bearer junk")
	long := "/" + strings.Repeat("a", 300)
	for _, c := range []struct {
		name    string
		request *Request
		want    string
	}{
		{"scheme, host, path and query", with(junk, path("/x?y=1")), `Bearer realm="http://a.test/x?y=1", error="invalid_token"`},
		{"the path that the client claims", with(junk, header("x-envoy-original-path", "/o")), `Bearer realm="http://a.test/o", error="invalid_token"`},
		{"at most 256 bytes of it", with(junk, path(long)), `Bearer realm="http://a.test` + long[:256] + `", error="invalid_token"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, v := verified(t, jwtAuthn(provider("i")), c.request)
			if v == nil || v.WWWAuthenticate != c.want {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestAMissingRequiredTokenIsNotAnInvalidOne(t *testing.T) {
	f := jwtAuthn(provider("i"))
	f.Requirement = Requirement{Kind: RequireAll, Children: []Requirement{{Kind: RequireProvider}}}
	_, v := verified(t, f, plain())
	if v == nil || v.Body != jwt.Missed.String() || v.WWWAuthenticate != `Bearer realm="http://a.test/"` {
		t.Errorf("got %+v", v)
	}
	if _, v := verified(t, f, with(bearer(`"iss":"i"`))); v != nil {
		t.Errorf("a token is refused: %s", v.Body)
	}
}

func TestWhatFollowsAGoodToken(t *testing.T) {
	good := token(`"iss":"i","sub":"s","scope":"read write","n":1.5,"o":{"a":1,"b":2}`)
	for _, c := range []struct {
		name    string
		p       Provider
		request *Request
		check   func(s *state) bool
	}{
		{"its header goes", provider("i"), with(header("Authorization", "Bearer "+good)), func(s *state) bool { return !s.headers.has("authorization") }},
		{"unless it is forwarded", provider("i", forward), with(header("Authorization", "Bearer "+good)), func(s *state) bool { return s.headers.has("authorization") }},
		{"its parameter goes", provider("i"), with(path("/?b=2&access_token=" + good + "&a=1")), func(s *state) bool { return s.path == "/?a=1&b=2" }},
		{"its cookie stays", provider("i", locations(inCookie("c"))), with(header("cookie", "c="+good)), func(s *state) bool { return s.headers.has("cookie") }},
		{"the payload goes into a header", provider("i", payloadHeader("X-P")), with(header("Authorization", "Bearer "+good)),
			func(s *state) bool { return s.headers.values("x-p")[0] == strings.Split(good, ".")[1] }},
		{"a claim goes into a header", provider("i", outputs(ClaimHeader{"X-Sub", "sub"})), with(header("Authorization", "Bearer "+good)),
			func(s *state) bool { return slices.Equal(s.headers.values("x-sub"), []string{"s"}) }},
		{"a number has six decimals", provider("i", outputs(ClaimHeader{"x-n", "n"})), with(header("Authorization", "Bearer "+good)),
			func(s *state) bool { return slices.Equal(s.headers.values("x-n"), []string{"1.500000"}) }},
		{"a claim that is not there writes nothing", provider("i", outputs(ClaimHeader{"x-z", "z"})), with(header("Authorization", "Bearer "+good)),
			func(s *state) bool { return !s.headers.has("x-z") }},
		{"two claims in one header are two lines", provider("i", outputs(ClaimHeader{"x-c", "sub"}, ClaimHeader{"x-c", "iss"})), with(header("Authorization", "Bearer "+good)),
			func(s *state) bool { return slices.Equal(s.headers.values("x-c"), []string{"s", "i"}) }},
		{"members of an object have no order", provider("i", outputs(ClaimHeader{"x-o", "o"})), with(header("Authorization", "Bearer "+good)),
			func(s *state) bool { return s.headers[len(s.headers)-1].missing == claimOrder }},
		{"words become a list", provider("i"), with(header("Authorization", "Bearer "+good)), func(s *state) bool {
			v, _ := s.payload.Field("scope")
			return v.Kind() == jwt.List && v.Len() == 2
		}},
		{"other claims may do so, too", provider("i", spaceDelimited("sub")), with(header("Authorization", "Bearer "+good)), func(s *state) bool {
			sub, _ := s.payload.Field("sub")
			scope, _ := s.payload.Field("scope")
			return sub.Kind() == jwt.List && scope.Kind() == jwt.String
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, v := verified(t, jwtAuthn(c.p), c.request)
			if v != nil {
				t.Fatal(v.Body)
			}
			if !s.hasPayload || !c.check(s) {
				t.Error("it does not")
			}
		})
	}
}

func TestHeadersThatRulesWriteAreRemovedFirst(t *testing.T) {
	p, q := provider("i", outputs(ClaimHeader{"X-Sub", "sub"})), provider("j", payloadHeader("X-P"))
	spoofed := []func(*Request){header("x-sub", "admin"), header("x-p", "admin"), header("x-keep", "1")}
	for name, r := range map[string]*Request{
		"without a token":     with(spoofed...),
		"of other rules, too": with(append(spoofed, bearer(`"iss":"i"`))...),
		"from a preflight":    with(append(spoofed, method("OPTIONS"), header("origin", "x"), header("access-control-request-method", "GET"))...),
	} {
		s, v := verified(t, jwtAuthn(p, q), r)
		if v != nil || s.headers.has("x-sub") || s.headers.has("x-p") || !s.headers.has("x-keep") {
			t.Errorf("%s: they are there, or the request is refused", name)
		}
	}
	old := prepared(t, with(append(spoofed, bearer(`"iss":"i"`))...), sidecar())
	old.b.SanitizeAllProviders = false
	if v, _ := old.jwtAuthn(jwtAuthn(p, q), testKeys(t)); v != nil || old.headers.has("x-sub") || !old.headers.has("x-p") {
		t.Error("older proxies remove those of the rules that they reach")
	}
}

func TestOlderProxiesKeepTheParameter(t *testing.T) {
	s := prepared(t, with(path("/?access_token="+token(`"iss":"i"`))), sidecar())
	s.b.RemoveQueryToken = false
	if v, _ := s.jwtAuthn(jwtAuthn(provider("i")), testKeys(t)); v != nil || !strings.Contains(s.path, "access_token") {
		t.Error("it is removed")
	}
}

func TestSeveralProvidersAreOneTree(t *testing.T) {
	a, b := token(`"iss":"a"`), token(`"iss":"b"`)
	at := func(h string) func(*Provider) { return locations(inHeader(h, "")) }
	for _, c := range []struct {
		name    string
		ps      []Provider
		request *Request
		want    jwt.Status
		by      string
		payload string // the issuer whose payload is left
	}{
		{"no token passes", []Provider{provider("a"), provider("b")}, plain(), jwt.OK, "", ""},
		{"one of the second", []Provider{provider("a"), provider("b")}, with(header("Authorization", "Bearer "+b)), jwt.OK, "", "b"},
		{"of neither", []Provider{provider("a"), provider("b")}, with(bearer(`"iss":"z"`)), jwt.UnknownIssuer, "a", ""},
		{"what the second says of its own", []Provider{provider("a"), provider("b")}, with(bearer(`"iss":"b","exp":1`)), jwt.Expired, "b", ""},
		{"two tokens, in header and parameter", []Provider{provider("a"), provider("b")}, with(header("Authorization", "Bearer "+a), path("/?access_token="+b)), jwt.OK, "", "a"},
		{"the other way round", []Provider{provider("a"), provider("b")}, with(header("Authorization", "Bearer "+b), path("/?access_token="+a)), jwt.OK, "", "b"},
		{"forwarded, they are in each other's way", []Provider{provider("a", forward), provider("b", forward)},
			with(header("Authorization", "Bearer "+a), path("/?access_token="+b)), jwt.UnknownIssuer, "a", ""},
		{"a good one first hides a bad one", []Provider{provider("a", at("x-a")), provider("b", at("x-b"))}, with(header("x-a", a), header("x-b", "junk")), jwt.OK, "", "a"},
		{"a good one second saves a bad one", []Provider{provider("a", at("x-a")), provider("b", at("x-b"))}, with(header("x-a", "junk"), header("x-b", b)), jwt.OK, "", "b"},
		{"a bad one alone is refused", []Provider{provider("a", at("x-a")), provider("b", at("x-b"))}, with(header("x-b", "junk")), jwt.BadFormat, "b", ""},
		{"two rules of one issuer, one of which fits", []Provider{provider("b", audiences("x")), provider("b")}, with(bearer(`"iss":"b","aud":"y"`)), jwt.OK, "", "b"},
		{"none of which fits", []Provider{provider("b", audiences("x")), provider("b", audiences("z"))}, with(bearer(`"iss":"b","aud":"y"`)), jwt.AudienceNotAllowed, "b", ""},
		{"an unknown issuer never hides an error", []Provider{provider("a", audiences("x")), provider("b")}, with(bearer(`"iss":"a","aud":"y"`)), jwt.AudienceNotAllowed, "a", ""},
		{"the first error of two rules of one issuer", []Provider{provider("b", keysFrom(otherKeys)), provider("b", audiences("x"))}, with(bearer(`"iss":"b","aud":"y"`)), jwt.VerificationFails, "b", ""},
		{"in the other order", []Provider{provider("b", audiences("x")), provider("b", keysFrom(otherKeys))}, with(bearer(`"iss":"b","aud":"y"`)), jwt.AudienceNotAllowed, "b", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, v := verified(t, jwtAuthn(c.ps...), c.request)
			got, by := refusal(v)
			want := c.want.String()
			if c.want == jwt.OK {
				want = ""
			}
			if got != want || by != c.by {
				t.Fatalf("got %q by %q, want %q by %q", got, by, want, c.by)
			}
			iss, _ := s.payload.Field("iss")
			if v == nil && iss.Text() != c.payload {
				t.Errorf("the payload is of %q, want %q", iss.Text(), c.payload)
			}
		})
	}
}

func TestTheWalkSaysWhatBecameOfEachToken(t *testing.T) {
	s := prepared(t, with(bearer(`"iss":"z"`)), sidecar())
	_, step := s.jwtAuthn(jwtAuthn(provider("a"), provider("b")), testKeys(t))
	if step.Outcome != Matched || step.Status != jwt.UnknownIssuer.String() || len(step.Steps) != 3 {
		t.Fatalf("the walk is %d steps, %s", len(step.Steps), step.Status)
	}
	tok := step.Steps[0].Steps[0]
	if tok.Want != `issuer "a"` || tok.Note != `iss "z"` || tok.Got != `header authorization "Bearer "` {
		t.Errorf("wanted %s, got %s in %s", tok.Want, tok.Note, tok.Got)
	}
	s = prepared(t, plain(), sidecar())
	if _, step = s.jwtAuthn(jwtAuthn(provider("a")), testKeys(t)); step.Outcome != NotMatched || step.Steps[0].Status != jwt.Missed.String() {
		t.Errorf("without a token: %s, %s", step.Outcome, step.Steps[0].Status)
	}
}
