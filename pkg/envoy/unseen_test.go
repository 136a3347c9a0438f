package envoy

import (
	"net/netip"
	"strings"
	"testing"
)

var (
	unseenHeaders = &Missing{What: "the headers"}
	unseenMethod  = &Missing{What: "the method"}
	unseenPath    = &Missing{What: "the path"}
)

// partOf is a plain request of which all but what change sets was not seen.
func partOf(change func(*Request)) *Request {
	r := &Request{Method: "GET", Path: "/x", Authority: "h", Unseen: &Unseen{Headers: unseenHeaders}}
	r.Connection = Connection{
		Transport: Known(Plaintext), Peer: Known(Peer{}), Source: Known(netip.MustParseAddr("10.0.0.9")), LocalIP: Known(netip.MustParseAddr("10.0.0.1")), SNI: Known(""),
	}
	if change != nil {
		change(r)
	}
	return r
}

func denyIf(ms ...Matcher) *RBAC {
	cl := Clause{}
	for _, m := range ms {
		cl.Conditions = append(cl.Conditions, Condition{Matchers: []Matcher{m}})
	}
	return &RBAC{Action: Deny, Rules: &RuleSet{Policies: []Policy{{ID: "p", Permissions: []Clause{cl}, Principals: []Clause{{}}}}}}
}

func exactly(v string) StringMatch { return StringMatch{Value: v} }

func TestAPartOfTheRequestThatWasNotSeenIsNeverGuessed(t *testing.T) {
	header := func(name string) *HeaderMatch { return &HeaderMatch{Name: name, String: exactly("v")} }
	tests := []struct {
		name   string
		match  Matcher
		change func(*Request)
		on     string // what the verdict depends on; empty: it is certain
		denied bool
	}{
		{"a header", header("x-a"), nil, "the headers", false},
		{"that a header is there", &HeaderMatch{Name: "x-a", Present: true}, nil, "the headers", false},
		{"a header that is listed", header("x-a"), func(r *Request) { r.Headers = []Header{{"X-A", "v"}} }, "", true},
		{"a header that is listed with another value", header("x-a"), func(r *Request) { r.Headers = []Header{{"x-a", "w"}} }, "", false},
		{"a header that the proxy sets", &HeaderMatch{Name: "x-forwarded-proto", Present: true}, nil, "", true},
		{"the value of a header that the proxy sets only where there is none", &HeaderMatch{Name: "x-forwarded-proto", String: exactly("http")}, nil, "the headers", false},
		{"the client's address, which x-forwarded-for tells", &IPMatch{Side: RemoteIP, Block: netip.MustParsePrefix("10.0.0.0/8")}, nil, "the headers", false},
		{"the client's address, where the log tells it", &IPMatch{Side: RemoteIP, Block: netip.MustParsePrefix("10.0.0.0/8")}, func(r *Request) {
			a := netip.MustParseAddr("10.0.0.7")
			r.Connection.RemoteIP = &a
		}, "", true},
		{"that there is x-forwarded-for", &HeaderMatch{Name: "x-forwarded-for", Present: true}, nil, "the headers", false},
		{"the path, where it was seen", &PathMatch{String: exactly("/x")}, nil, "", true},
		{"the path", &PathMatch{String: exactly("/x")}, func(r *Request) { r.Unseen.Path = unseenPath }, "the path", false},
		{"the path by :path", &HeaderMatch{Name: ":path", String: exactly("/x")}, func(r *Request) { r.Unseen.Path = unseenPath }, "the path", false},
		{"the method", &HeaderMatch{Name: ":method", String: exactly("GET")}, func(r *Request) { r.Unseen.Method = unseenMethod }, "the method", false},
		{"that there is a method", &HeaderMatch{Name: ":method", Present: true}, func(r *Request) { r.Unseen.Method = unseenMethod }, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &Proxy{Chains: []Chain{{HTTP: &ConnectionManager{Filters: []Filter{denyIf(tt.match)}}}}}
			v := Evaluate(p, partOf(tt.change), nil).Verdict
			var on []string
			for _, m := range v.On {
				on = append(on, m.What)
			}
			if got := strings.Join(on, ", "); got != tt.on {
				t.Fatalf("depends on %q, want %q: %+v", got, tt.on, v)
			}
			if want := map[bool]Decision{true: Denied, false: Allowed}[tt.denied]; tt.on == "" && v.Decision != want {
				t.Errorf("got %s, want %s", v.Decision, want)
			}
			if d := NewDecider(p, nil).Decide(partOf(tt.change)); d.Decision != v.Decision {
				t.Errorf("the decider says %s", d.Decision)
			}
		})
	}
}

func TestATokenThatWasNotSeenMayBeGoodBadOrAbsent(t *testing.T) {
	jwtFilter := &JWTAuthn{Providers: []Provider{{Issuer: "i", Audiences: []string{"a"}}}, Requirement: Requirement{
		Kind: RequireAny, Children: []Requirement{{Kind: RequireProvider}, {Kind: AllowMissing}},
	}}
	anybody := &PrincipalMatch{Issuer: StringMatch{Kind: StringNonEmpty}, Subject: StringMatch{Kind: StringNonEmpty}}
	claim := &ClaimMatch{Path: []string{"role"}, String: exactly("admin")}
	proxy := func(m Matcher) *Proxy {
		return &Proxy{Chains: []Chain{{HTTP: &ConnectionManager{Filters: []Filter{jwtFilter, denyIf(m)}}}}}
	}
	for name, m := range map[string]Matcher{"any identity": anybody, "a claim": claim} {
		v := Evaluate(proxy(m), partOf(nil), nil).Verdict
		var got []string
		for _, p := range v.Possible {
			got = append(got, p.Details)
		}
		const want = "rbac_access_denied_matched_policy[p] jwt_authn_access_denied jwt_authn_access_denied via_upstream"
		if v.Decision != Undetermined || len(got) != 4 || strings.Count(strings.Join(got, " "), "jwt_authn") != 2 {
			t.Errorf("%s: got %v, want %s", name, got, want)
		}
	}
	// What is denied whatever the token is may still be refused for the token first: both are denials.
	v := Evaluate(proxy(&PathMatch{String: exactly("/x")}), partOf(nil), nil).Verdict
	for _, p := range v.Possible {
		if p.Decision != Denied {
			t.Errorf("got %+v", v)
		}
	}
	// An Authorization header that is listed, and empty, is no token.
	v = Evaluate(proxy(anybody), partOf(func(r *Request) { r.Headers = []Header{{"authorization", ""}} }), nil).Verdict
	if v.Decision != Allowed {
		t.Errorf("without a token: %+v", v)
	}
	// Where the path was not seen, its parameters were not either.
	v = Evaluate(proxy(anybody), partOf(func(r *Request) {
		r.Headers, r.Unseen.Path = []Header{{"authorization", ""}}, unseenPath
	}), nil).Verdict
	if v.Decision != Undetermined {
		t.Errorf("with a path that was not seen: %+v", v)
	}
}
