package istio

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
)

// withJWT is a mesh that verifies tokens of any issuer, signed with one key.
func withJWT(t *testing.T, docs ...string) (*Result, envoy.Keys) {
	t.Helper()
	jwksText := string(mint.JWKS(mint.P256()))
	res := translated(t, append(docs, requestAuthn("ra", "{jwks: '"+jwksText+"'}"))...)
	set, _ := jwks.Parse([]byte(jwksText))
	return res, envoy.Keys{jwtAuthn(res.Proxy).Providers[0].Keys: {Set: set}}
}

func token(claims string) func(*envoy.Request) {
	return header("Authorization", "Bearer "+mint.Token(mint.P256(), `{"alg":"ES256"}`, "{"+claims+"}"))
}

// fieldCases are rules, and requests that they do or do not match.
var fieldCases = []struct {
	name, rule string
	matches    []func(*envoy.Request)
	not        []func(*envoy.Request)
}{
	{"paths", `to: [{operation: {paths: [/admin, "/api/*", "*.html"]}}]`,
		[]func(*envoy.Request){path("/admin?x"), path("/api/"), path("/x.html")}, []func(*envoy.Request){path("/admin/"), path("/api"), path("/Admin"), path("/x.html/")}},
	{"a star of paths", `to: [{operation: {paths: ["*"]}}]`, []func(*envoy.Request){path("/")}, nil},
	{"a star inside is a star", `to: [{operation: {paths: ["/a*b"]}}]`, []func(*envoy.Request){path("/a*b")}, []func(*envoy.Request){path("/axb")}},
	{"templates", `to: [{operation: {paths: ["/u/{*}/p", "/f/{**}"]}}]`, []func(*envoy.Request){path("/u/1/p"), path("/f/"), path("/f/a/b")},
		[]func(*envoy.Request){path("/u//p"), path("/u/1/2/p"), path("/f"), path("/f/[x]")}},
	{"notPaths", `to: [{operation: {notPaths: [/admin, "/api/*"]}}]`, []func(*envoy.Request){path("/")}, []func(*envoy.Request){path("/admin"), path("/api/x")}},
	{"methods", `to: [{operation: {methods: [GET, "P*"]}}]`, []func(*envoy.Request){method("GET"), method("POST"), method("PATCH")}, []func(*envoy.Request){method("HEAD")}},
	{"notMethods", `to: [{operation: {notMethods: [GET]}}]`, []func(*envoy.Request){method("POST")}, []func(*envoy.Request){method("GET")}},
	{"hosts ignore case", `to: [{operation: {hosts: [Example.com, "*.b.test", "c.test:*"]}}]`,
		[]func(*envoy.Request){authority("example.COM"), authority("x.B.test"), authority("c.test:80")},
		[]func(*envoy.Request){authority("example.com:80"), authority("b.test"), authority("c.test")}},
	{"notHosts", `to: [{operation: {notHosts: [a.test]}}]`, []func(*envoy.Request){authority("b.test")}, []func(*envoy.Request){authority("A.test")}},
	{"ports are the container's", `to: [{operation: {ports: ["8080"]}}]`, []func(*envoy.Request){path("/")}, nil},
	{"and not the Service's", `to: [{operation: {ports: ["8000"]}}]`, nil, []func(*envoy.Request){path("/")}},
	{"notPorts", `to: [{operation: {notPorts: ["8000"]}}]`, []func(*envoy.Request){path("/")}, nil},
	{"principals", `from: [{source: {principals: [cluster.local/ns/a/sa/b, "*/sa/c", "cluster.local/ns/d/*"]}}]`,
		[]func(*envoy.Request){as("cluster.local/ns/a/sa/b"), as("cluster.local/ns/x/sa/c"), as("cluster.local/ns/d/sa/x")},
		[]func(*envoy.Request){path("/"), as("cluster.local/ns/a/sa/bb"), as("cluster.local/ns/dd/sa/x")}},
	{"a star of principals is anybody", `from: [{source: {principals: ["*"]}}]`, []func(*envoy.Request){as("cluster.local/x")}, []func(*envoy.Request){path("/")}},
	{"principals have no scheme", `from: [{source: {principals: ["spiffe://cluster.local/ns/a/sa/b"]}}]`, nil, []func(*envoy.Request){as("cluster.local/ns/a/sa/b")}},
	{"notPrincipals are nobody, too", `from: [{source: {notPrincipals: [cluster.local/ns/a/sa/b]}}]`, []func(*envoy.Request){path("/"), as("cluster.local/x")},
		[]func(*envoy.Request){as("cluster.local/ns/a/sa/b")}},
	{"namespaces", `from: [{source: {namespaces: [foo, "b*r", "*-x"]}}]`,
		[]func(*envoy.Request){as("cluster.local/ns/foo/sa/b"), as("cluster.local/ns/b-a-r/sa/b"), as("cluster.local/ns/a-x/sa/b")},
		[]func(*envoy.Request){path("/"), as("cluster.local/ns/foo-2/sa/b"), as("cluster.local/ns/xfoo/sa/b")}},
	{"a dot in a namespace is a dot", `from: [{source: {namespaces: [f.o]}}]`, nil, []func(*envoy.Request){as("cluster.local/ns/foo/sa/b")}},
	{"notNamespaces", `from: [{source: {notNamespaces: [foo]}}]`, []func(*envoy.Request){path("/")}, []func(*envoy.Request){as("cluster.local/ns/foo/sa/b")}},
	{"serviceAccounts are of the policy's namespace", `from: [{source: {serviceAccounts: [b, x/c]}}]`,
		[]func(*envoy.Request){as("cluster.local/ns/foo/sa/b"), as("cluster.local/ns/x/sa/c"), as("cluster.local/ns/foo/y/sa/b"), as("cluster.local/ns/foo/sa/b/z")},
		[]func(*envoy.Request){path("/"), as("cluster.local/ns/x/sa/b"), as("cluster.local/ns/foo/sa/bb")}},
	{"trustDomains", `from: [{source: {trustDomains: [cluster.local, "t*1"]}}]`, []func(*envoy.Request){as("cluster.local/ns/a/sa/b")}, []func(*envoy.Request){path("/")}},
	{"ipBlocks are of the peer", `from: [{source: {ipBlocks: [10.0.0.0/24, "2001:db8::/32"]}}]`, []func(*envoy.Request){path("/"), from("2001:db8::1")},
		[]func(*envoy.Request){from("10.0.1.1")}},
	{"bits behind the mask do not count", `from: [{source: {ipBlocks: [10.0.0.99/24]}}]`, []func(*envoy.Request){path("/")}, nil},
	{"notIpBlocks", `from: [{source: {notIpBlocks: [10.0.0.1]}}]`, []func(*envoy.Request){from("10.0.0.2")}, []func(*envoy.Request){path("/")}},
	{"remoteIpBlocks are of the client", `from: [{source: {remoteIpBlocks: [1.2.3.4]}}]`, []func(*envoy.Request){header("x-forwarded-for", "9.9.9.9, 1.2.3.4")},
		[]func(*envoy.Request){path("/"), header("x-forwarded-for", "1.2.3.4, 9.9.9.9")}},
	{"when source.ip", `when: [{key: source.ip, values: [10.0.0.1]}]`, []func(*envoy.Request){path("/")}, []func(*envoy.Request){from("10.0.0.2")}},
	{"when remote.ip", `when: [{key: remote.ip, notValues: [10.0.0.1]}]`, []func(*envoy.Request){from("10.0.0.2")}, []func(*envoy.Request){path("/")}},
	{"when source.namespace", `when: [{key: source.namespace, values: [foo]}]`, []func(*envoy.Request){as("cluster.local/ns/foo/sa/b")}, []func(*envoy.Request){path("/")}},
	{"when source.principal", `when: [{key: source.principal, values: ["*"]}]`, []func(*envoy.Request){as("cluster.local/x")}, []func(*envoy.Request){path("/")}},
	{"when source.serviceAccount", `when: [{key: source.serviceAccount, values: [b]}]`, []func(*envoy.Request){as("cluster.local/ns/foo/sa/b")}, []func(*envoy.Request){as("cluster.local/ns/x/sa/b")}},
	{"when source.trustDomain", `when: [{key: source.trustDomain, values: ["*"]}]`, []func(*envoy.Request){as("cluster.local/x")}, []func(*envoy.Request){path("/")}},
	{"when destination.ip", `when: [{key: destination.ip, values: [10.0.0.9/32]}]`, []func(*envoy.Request){path("/")}, nil},
	{"when destination.port", `when: [{key: destination.port, values: ["8080"]}]`, []func(*envoy.Request){path("/")}, nil},
	{"when connection.sni", `when: [{key: connection.sni, values: ["*.test"]}]`, []func(*envoy.Request){sni("a.test"), sni("A.TEST")}, []func(*envoy.Request){path("/"), sni("b")}},
	{"when request.headers", `when: [{key: "request.headers[X-Role]", values: [admin, "dev*"]}]`,
		[]func(*envoy.Request){header("x-role", "admin"), header("X-ROLE", "developer")}, []func(*envoy.Request){path("/"), header("x-role", "Admin")}},
	{"a star of request.headers is presence", `when: [{key: "request.headers[x]", values: ["*"]}]`, []func(*envoy.Request){header("x", "")}, []func(*envoy.Request){path("/")}},
	{"request.headers has the host", `when: [{key: "request.headers[:authority]", values: [a.test]}]`, []func(*envoy.Request){authority("a.test")}, []func(*envoy.Request){authority("A.test")}},
	{"when experimental, which nobody writes", `when: [{key: "experimental.envoy.filters.a.b[c]", values: ["[v]"]}]`, nil, []func(*envoy.Request){path("/")}},
	{"requestPrincipals", `from: [{source: {requestPrincipals: [i/s, "j/*", "*/t"]}}]`,
		[]func(*envoy.Request){token(`"iss":"i","sub":"s"`), token(`"iss":"j","sub":"x"`), token(`"iss":"k","sub":"t"`)},
		[]func(*envoy.Request){path("/"), token(`"iss":"i","sub":"x"`), token(`"iss":"j"`)}},
	{"notRequestPrincipals are nobody, too", `from: [{source: {notRequestPrincipals: ["*"]}}]`, []func(*envoy.Request){path("/"), token(`"iss":"i"`)},
		[]func(*envoy.Request){token(`"iss":"i","sub":"s"`)}},
	{"when request.auth.principal", `when: [{key: request.auth.principal, values: [i/s]}]`, []func(*envoy.Request){token(`"iss":"i","sub":"s"`)}, []func(*envoy.Request){path("/")}},
	{"when request.auth.audiences", `when: [{key: request.auth.audiences, values: [a]}]`,
		[]func(*envoy.Request){token(`"aud":"a"`), token(`"aud":["b","a"]`)}, []func(*envoy.Request){path("/"), token(`"aud":"b"`)}},
	{"when request.auth.presenter", `when: [{key: request.auth.presenter, values: [a]}]`, []func(*envoy.Request){token(`"azp":"a"`)}, []func(*envoy.Request){token(`"client_id":"a"`)}},
	{"when request.auth.claims", `when: [{key: "request.auth.claims[g]", values: [admin]}]`,
		[]func(*envoy.Request){token(`"g":"admin"`), token(`"g":["dev","admin"]`)}, []func(*envoy.Request){path("/"), token(`"g":5`), token(`"g":"dev admin"`)}},
	{"words of scope", `when: [{key: "request.auth.claims[scope]", values: [write]}]`, []func(*envoy.Request){token(`"scope":"read write"`)}, []func(*envoy.Request){token(`"scope":"writes"`)}},
	{"claims below claims", `when: [{key: "request.auth.claims[a][b]", values: [v]}]`, []func(*envoy.Request){token(`"a":{"b":["v"]}`)}, []func(*envoy.Request){token(`"a.b":"v"`)}},
	{"dots are letters", `when: [{key: "request.auth.claims[a.b]", values: [v]}]`, []func(*envoy.Request){token(`"a.b":"v"`)}, []func(*envoy.Request){token(`"a":{"b":"v"}`)}},
	{"notValues of a claim that is absent", `when: [{key: "request.auth.claims[g]", notValues: [x]}]`, []func(*envoy.Request){path("/"), token(`"g":5`)}, []func(*envoy.Request){token(`"g":["x"]`)}},
	{"values and notValues", `when: [{key: "request.headers[x]", values: ["a*"], notValues: [ab]}]`, []func(*envoy.Request){header("x", "a")}, []func(*envoy.Request){header("x", "ab"), path("/")}},
	{"a when without values matches", `when: [{key: source.ip}]`, []func(*envoy.Request){path("/")}, nil},
	{"every when", `when: [{key: source.ip, values: [10.0.0.1]}, {key: "request.headers[x]", values: [a]}]`, []func(*envoy.Request){header("x", "a")}, []func(*envoy.Request){path("/")}},
	{"one of from, one of to", `{from: [{source: {ipBlocks: [1.1.1.1]}}, {source: {ipBlocks: [10.0.0.1]}}], to: [{operation: {paths: [/a]}}, {operation: {paths: [/b]}}]}`,
		[]func(*envoy.Request){path("/a"), path("/b")}, []func(*envoy.Request){path("/c")}},
	{"all fields of an entry", `to: [{operation: {paths: [/a], methods: [POST]}}]`, nil, []func(*envoy.Request){path("/a"), method("POST")}},
	{"an empty source matches", `{from: [{source: {}}]}`, []func(*envoy.Request){path("/")}, nil},
	{"an empty operation matches", `{to: [{operation: {}}]}`, []func(*envoy.Request){path("/")}, nil},
}

// rule wraps what is not a flow mapping yet.
func rule(text string) string {
	if text[0] == '{' {
		return text
	}
	return "{" + text + "}"
}

func TestEveryFieldAndKeyMatchesWhatItSays(t *testing.T) {
	for _, c := range fieldCases {
		t.Run(c.name, func(t *testing.T) {
			allow, keys := withJWT(t, policy("{rules: ["+rule(c.rule)+"]}"))
			deny, denyKeys := withJWT(t, policy("{action: DENY, rules: ["+rule(c.rule)+"]}"))
			check := func(r *envoy.Request, matches bool) {
				wantAllow, wantDeny := none, "allowed"
				if matches {
					wantAllow, wantDeny = "allowed", "[ns[foo]-policy[p]-rule[0]]"
				}
				if got := answer(allow.Proxy, r, keys); got != wantAllow {
					t.Errorf("ALLOW, %s %s: %s, want %s", r.Method, r.Path, got, wantAllow)
				}
				if got := answer(deny.Proxy, r, denyKeys); got != wantDeny {
					t.Errorf("DENY, %s %s: %s, want %s", r.Method, r.Path, got, wantDeny)
				}
			}
			for _, f := range c.matches {
				check(get(f), true)
			}
			for _, f := range c.not {
				check(get(f), false)
			}
		})
	}
}

func TestRequestPrincipalsAreSplitAtTheLastSlash(t *testing.T) {
	for _, c := range []struct {
		value, iss, sub string
		want            bool
	}{
		{"*", "i", "s", true},
		{"i/s", "i", "s", true},
		{"i/s", "i", "t", false},
		{"i/*", "i", "anything/at all", true},
		{"i*", "i-and-more", "s", true},
		{"*/s", "anything", "s", true},
		{"*s", "anything", "as", true},
		{"*x/s", "ax", "s", true},
		{"*x/s", "xa", "s", false},
		{"i/s*", "i", "st", true},
		{"*/*", "i", "s", false},
		{"*/*", "i", "*", true},
		{"https://idp.example*", "https://idp.example", "u", false},
		{"https://idp.example*", "https:/", "idp.example-1", true},
		{"https://idp/s", "https://idp/", "s", false},
		{"https://idp//s", "https://idp/", "s", true},
		{"i/a/b", "i", "a/b", false},
		{"i/a/b", "i/a", "b", true},
		{"i", "i", "s", false},
		{"i/", "i", "", true},
		{"**", "i", "a*", true},
		{"**", "i", "a", false},
	} {
		t.Run(c.value+" and "+c.iss+" "+c.sub, func(t *testing.T) {
			res, keys := withJWT(t, policy(`{rules: [{from: [{source: {requestPrincipals: ["`+c.value+`"]}}]}]}`))
			want := none
			if c.want {
				want = "allowed"
			}
			if got := answer(res.Proxy, get(token(`"iss":"`+c.iss+`","sub":"`+c.sub+`"`)), keys); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestClaimNamesStandInBrackets(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // nil: an error
	}{
		{"[a]", []string{"a"}},
		{"[a][b]", []string{"a", "b"}},
		{"[a.b]", []string{"a.b"}},
		{"[a][b][c]", []string{"a", "b", "c"}},
		{"[]", []string{""}},
		{"[[a]]", []string{"[a]"}},
		{"[a[b]]", []string{"a[b]"}},
		{"[a] [b]", []string{"a] [b"}},
		{"[a]]", []string{"a]"}},
		{"", []string{}},
		{"a", nil},
		{"[a", nil},
		{"a]", nil},
		{"[a]b", nil},
		{".a", nil},
	} {
		got, err := claimPath(c.in)
		if (err != nil) != (c.want == nil) || len(got) != len(c.want) {
			t.Errorf("%q: got %q, %v; want %q", c.in, got, err, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: got %q, want %q", c.in, got, c.want)
			}
		}
	}
}
