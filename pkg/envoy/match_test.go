package envoy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

func TestStringsMatchByTheirKind(t *testing.T) {
	regex := func(expr string) StringMatch {
		m, err := NewRegex(expr)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	suffix := func(v string) StringMatch { return StringMatch{Kind: StringSuffix, Value: v} }
	fold := func(m StringMatch) StringMatch { m.IgnoreCase = true; return m }
	anything := StringMatch{Kind: StringNonEmpty}
	for _, c := range []struct {
		name  string
		m     StringMatch
		value string
		want  bool
	}{
		{"equality", exact("admin"), "admin", true},
		{"equality has case", exact("admin"), "Admin", false},
		{"the empty text equals itself", exact(""), "", true},
		{"a prefix", prefix("adm"), "admin", true},
		{"a prefix of itself", prefix("admin"), "admin", true},
		{"no prefix", prefix("dmin"), "admin", false},
		{"a suffix", suffix("min"), "admin", true},
		{"no suffix", suffix("mi"), "admin", false},
		{"a star inside is a star", suffix("a*"), "xa*", true},
		{"and nothing else", suffix("a*"), "xab", false},
		{"anything is something", anything, "x", true},
		{"anything is not nothing", anything, "", false},
		{"a newline is not anything", anything, "a\nb", false},
		{"bytes that are no UTF-8 are", anything, "\xff", true},
		{"equality without case", fold(exact("Example.com")), "eXAMPLE.COM", true},
		{"a prefix without case", fold(prefix("EX")), "example", true},
		{"a suffix without case", fold(suffix("COM")), "example.com", true},
		{"case of other letters stays", fold(exact("É")), "é", false},
		{"a regular expression matches the whole", regex("a.c"), "abc", true},
		{"not a part", regex("a.c"), "xabc", false},
		{"nor the beginning", regex("a|ab"), "abx", false},
		{"an alternative in it is whole, too", regex("a|b"), "b", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			br := new(BranchSet)
			if got := c.m.matches(c.value, &state{b: CurrentBehavior(), br: br}); got != c.want {
				t.Errorf("got %v", got)
			}
			if *br == (BranchSet{}) {
				t.Error("no branch is noted")
			}
		})
	}
}

func TestOlderProxiesDecodeUTF8BeforeRegularExpressions(t *testing.T) {
	old := CurrentBehavior()
	old.RegexLatin1 = false
	s := &state{b: old, br: new(BranchSet)}
	any := &StringMatch{Kind: StringNonEmpty}
	if any.matches("a\xff", s) || !any.matches("é", s) {
		t.Error("bytes that are no UTF-8 match, or UTF-8 does not")
	}
	if _, err := NewRegex("("); err == nil {
		t.Error("a regular expression that is none compiles")
	}
}

func TestHeaderLinesAreMatchedOneByOne(t *testing.T) {
	old := CurrentBehavior()
	old.MatchHeadersIndividually = false
	for _, c := range []struct {
		name  string
		b     Behavior
		lines []string
		m     HeaderMatch
		want  bool
	}{
		{"one of two lines matches", CurrentBehavior(), []string{"user", "admin"}, *onHeader("x-role", "admin"), true},
		{"older proxies join the lines", old, []string{"user", "admin"}, *onHeader("x-role", "admin"), false},
		{"and match what is joined", old, []string{"user", "admin"}, *onHeader("x-role", "user,admin"), true},
		{"a line with a comma is one", CurrentBehavior(), []string{"user,admin"}, *onHeader("x-role", "admin"), false},
		{"no line matches nothing", CurrentBehavior(), nil, *onHeader("x-role", "admin"), false},
		{"nor the empty text", CurrentBehavior(), nil, *onHeader("x-role", ""), false},
		{"an empty line is the empty text", CurrentBehavior(), []string{""}, *onHeader("x-role", ""), true},
		{"an empty line is there", CurrentBehavior(), []string{""}, HeaderMatch{Name: "x-role", Present: true}, true},
		{"none is not there", CurrentBehavior(), nil, HeaderMatch{Name: "x-role", Present: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var change []func(*Request)
			for _, l := range c.lines {
				change = append(change, header("X-Role", l))
			}
			s := prepared(t, with(change...), sidecar())
			s.b = c.b
			if got := c.m.match(s); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
		})
	}
}

func TestPseudoHeadersMatchByTheirNames(t *testing.T) {
	s := prepared(t, with(authority("a.test:8000"), method("POST"), path("/x?y")), sidecar())
	for name, value := range map[string]string{":authority": "a.test:8000", "host": "a.test:8000", ":method": "POST", ":path": "/x?y", ":scheme": "http"} {
		m := onHeader(name, value)
		if m.match(s).T != True || m.got(s) != quote(value) {
			t.Errorf("%s: got %s", name, m.got(s))
		}
		if (&HeaderMatch{Name: name, Present: true}).match(s).T != True {
			t.Errorf("%s is not there", name)
		}
	}
	if m := onHeader("x-none", "x"); m.got(s) != gotNone {
		t.Errorf("what is not there is %s", m.got(s))
	}
}

func TestAHostThatIsNotGivenIsUnknown(t *testing.T) {
	m := &Missing{What: "the host"}
	s := prepared(t, with(func(r *Request) { r.AuthorityMissing = m }), sidecar())
	for _, name := range []string{":authority", "host"} {
		h := onHeader(name, "a.test")
		if got := h.match(s); got.T != Unknown || got.On[0] != m {
			t.Errorf("%s: got %v", name, got)
		}
		if strings.Contains(h.got(s), "a.test") {
			t.Errorf("%s: the stand-in is shown: %s", name, h.got(s))
		}
	}
	if (&HeaderMatch{Name: ":authority", Present: true}).match(s).T != True {
		t.Error("there always is a host")
	}
}

func TestAKnownLineDecidesBeforeAnUnknownOne(t *testing.T) {
	s := prepared(t, with(header("x-a", "v")), sidecar())
	s.headers = append(s.headers, headerLine{name: "x-a", missing: ownAddress})
	if got := onHeader("x-a", "v").match(s); got.T != True {
		t.Errorf("got %v", got.T)
	}
	if got := onHeader("x-a", "w").match(s); got.T != Unknown {
		t.Errorf("got %v", got.T)
	}
	if got := onHeader("x-a", "w").got(s); got != `"v", a value that is not known` {
		t.Errorf("got %s", got)
	}
}

func TestPathsMatchWithoutTheirQuery(t *testing.T) {
	s := prepared(t, with(path("/admin?x=/b")), sidecar())
	if onPath("/admin").match(s).T != True || onPath("/admin?x=/b").match(s).T != False {
		t.Error("the query counts")
	}
	if got := onPath("").got(s); got != `"/admin"` {
		t.Errorf("got %s", got)
	}
	s.hasPath = false
	if (&PathMatch{String: prefix("")}).match(s).T != False || onPath("").got(s) != gotNone {
		t.Error("a request without path has one")
	}
}

func TestTemplatesMatchAsEnvoysDo(t *testing.T) {
	for _, c := range []struct {
		template, path string
		want           bool
	}{
		{"/u/{*}/p", "/u/1/p", true},
		{"/u/{*}/p", "/u//p", false},
		{"/u/{*}/p", "/u/1/2/p", false},
		{"/u/{*}/p", "/u/1/p/", false},
		{"/u/{*}/p", "/u/1/p?q", true},
		{"/f/{**}", "/f/", true},
		{"/f/{**}", "/f/a/b", true},
		{"/f/{**}", "/f", false},
		{"/{**}", "/", true},
		{"/{**}", "/a[b]", false},
		{"/{*}", "/a!$&'()+,;:@=~._-%41", true},
		{"/{*}", "/[", false},
		{"/{*}", "/a*b", true},
		{"/{*}/", "/a/", true},
		{"/f/{**}/end", "/f/a/end", true},
		{"/f/{**}/end", "/f//end", true},
		{"/f/{**}/end", "/f/end", false},
		{"/a/*/{*}", "/a/b/c", true},
		{"/a.b/{*}", "/aXb/c", false},
		{"/a.b/{*}", "/a.b/c", true},
		{"/a/{*}/{**}", "/a/b/", true},
		{"/A/{*}", "/a/b", false},
		{"/{*}.html", "/x.html", true},
		{"/{*}.html", "/xhtml", false},
		{"/{foo}/{*}", "/a/b", true},
		{"/{foo=a/*}/{*}", "/a/b/c", true},
		{"/{foo=a/*}/{*}", "/b/b/c", false},
		{"/v{x}/{*}", "/v1/b", true},
		{"/v{x}/{*}", "/w1/b", false},
		{"/{x}.json/{*}", "/a.json/b", true},
		// RE2 refuses what these make, so that no path matches.
		{"/a{**}b", "/aab", false},
		{"/{**}{*}", "/a", false},
	} {
		t.Run(c.template+" and "+c.path, func(t *testing.T) {
			m, err := NewTemplate(c.template)
			if err != nil {
				t.Fatal(err)
			}
			s := &state{b: CurrentBehavior(), br: new(BranchSet), path: c.path, hasPath: true}
			if got := m.match(s); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
			if m.got(s) == gotNone {
				t.Error("there is a path")
			}
		})
	}
}

func TestOlderTemplatesDoNotTakeAStar(t *testing.T) {
	m, err := NewTemplate("/{*}")
	if err != nil {
		t.Fatal(err)
	}
	old := CurrentBehavior()
	old.TemplateMatchesStar = false
	if m.match(&state{b: old, br: new(BranchSet), path: "/a*b", hasPath: true}).T != False {
		t.Error("it matches")
	}
}

func TestTemplatesThatEnvoyRefusesAreRefused(t *testing.T) {
	for _, template := range []string{
		"u/{*}", "/a{b/{*}", "/{*}x/y", "/a b/{*}", "/{*}[", "/{*}x/{*}", "/{*}/{**}/{*}", "/{**}/{**}", "/{**}x/y", "/{foo=**}/b/{*}",
		"/{**}/{foo}", "/{x}y{z}/{*}", "/{*}{x}", "/{1x}/{*}", "/{x}/{x}/{*}", "/{a}/{b}/{c}/{d}/{e}/{f}/{*}",
		"/{averyveryverylongname}/{*}", "/{}/{*}", "/{x=}/{*}", "/{x=/}/{*}", "/{x=a/}/{*}", "/{x=a{b}}/{*}", "/x}/{*}", "/{x/{*}",
		"/{x-y}/{*}", "/{é}/{*}", "//{*}", "/a//{*}", "{*}", "{**}", "a/{*}", "*/{*}", "/**/{*}", "/{*", "/{***}", "/{****}", "/{{*}}",
		"/{*}?x=1", "/{*}#x", "/{*} ", "/ {*}", "/é/{*}", "/[a]/{*}", "/a|b/{*}", `/a\b/{*}`, "/(?i)A/{*}", "/a^/{*}",
	} {
		if _, err := NewTemplate(template); err == nil {
			t.Errorf("%s is taken", template)
		}
	}
}

func TestAddressesMatchByTheSideThatIsMeant(t *testing.T) {
	s := prepared(t, with(source("10.0.0.1"), header("x-forwarded-for", "2001:db8::1")), sidecar())
	block := netip.MustParsePrefix
	for _, c := range []struct {
		name string
		m    IPMatch
		want bool
		got  string
	}{
		{"the peer", IPMatch{DirectRemoteIP, block("10.0.0.0/24")}, true, "10.0.0.1"},
		{"not the forwarded address", IPMatch{DirectRemoteIP, block("2001:db8::/32")}, false, "10.0.0.1"},
		{"the forwarded address", IPMatch{RemoteIP, block("2001:db8::/32")}, true, "2001:db8::1"},
		{"the address that was reached", IPMatch{DestinationIP, block("10.0.0.9/32")}, true, "10.0.0.9"},
		{"one beside it", IPMatch{DestinationIP, block("10.0.0.8/32")}, false, "10.0.0.9"},
		{"a block of another family", IPMatch{DirectRemoteIP, block("::/0")}, false, "10.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.m.match(s); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
			if got := c.m.got(s); got != c.got {
				t.Errorf("got %s, want %s", got, c.got)
			}
		})
	}
	s.direct = NotKnown[netip.Addr](ownAddress)
	if got := (&IPMatch{DirectRemoteIP, block("0.0.0.0/0")}); got.match(s).T != Unknown || got.got(s) != gotNone {
		t.Error("an unknown address is known")
	}
}

func TestPortsAndServerNamesMatch(t *testing.T) {
	s := prepared(t, with(mtls("spiffe://td/x"), func(r *Request) { r.Connection.SNI = Known("B.test") }), sidecar())
	if (&PortMatch{8080}).match(s).T != True || (&PortMatch{80}).match(s).T != False || (&PortMatch{}).got(s) != "8080" {
		t.Error("the port")
	}
	m := &SNIMatch{String: exact("b.test")}
	if m.match(s).T != True || !strings.EqualFold(m.got(s), `"b.test"`) {
		t.Errorf("the server name, in lower case: %s", m.got(s))
	}
	s.req.Connection.SNI = Known("")
	if m.match(s).T != False || m.got(s) != gotNone || (&SNIMatch{String: exact("")}).match(s).T != True {
		t.Error("no server name is the empty one")
	}
	s.req.Connection.SNI = NotKnown[string](ownAddress)
	if m.match(s).T != Unknown || m.got(s) != gotNone {
		t.Error("an unknown server name is known")
	}
}

func TestIdentitiesAreURISANsThenDNSSANsThenTheSubject(t *testing.T) {
	peer := func(p Peer) func(*Request) {
		p.Presented, p.Trusted = true, true
		return func(r *Request) { r.Connection.Transport, r.Connection.Peer = Known(MutualTLS), Known(p) }
	}
	const id = "spiffe://td/ns/a/sa/b"
	for _, c := range []struct {
		name    string
		request *Request
		m       StringMatch
		want    bool
		got     string
	}{
		{"the URI SAN", with(mtls(id)), exact(id), true, `"td/ns/a/sa/b"`},
		{"any of two", with(mtls("spiffe://td/x", id)), exact(id), true, `"td/x", "td/ns/a/sa/b"`},
		{"another one", with(mtls(id)), exact("spiffe://td/ns/a/sa/c"), false, `"td/ns/a/sa/b"`},
		{"a DNS SAN", with(peer(Peer{DNSSANs: []string{"x.test"}})), exact("x.test"), true, `"x.test"`},
		{"the subject", with(peer(Peer{Subject: "CN=c"})), exact("CN=c"), true, `"CN=c"`},
		{"nobody over plaintext", plain(), StringMatch{Kind: StringNonEmpty}, false, gotNone},
		{"nobody over TLS without certificate", with(func(r *Request) { r.Connection.Transport = Known(TLS) }), StringMatch{Kind: StringNonEmpty}, false, gotNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := prepared(t, c.request, sidecar())
			m := &IdentityMatch{c.m}
			if got := m.match(s); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
			if got := m.got(s); got != c.got {
				t.Errorf("got %s, want %s", got, c.got)
			}
		})
	}
	s := prepared(t, with(func(r *Request) { r.Connection.Peer = NotKnown[Peer](ownAddress) }), sidecar())
	if m := (&IdentityMatch{exact(id)}); m.match(s).T != Unknown || m.got(s) != gotNone {
		t.Error("an unknown identity is known")
	}
}

func payload(t *testing.T, text string) *state {
	t.Helper()
	v, err := jwt.ParseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &state{req: plain(), b: CurrentBehavior(), br: new(BranchSet), payload: v, hasPayload: true}
}

func TestClaimsMatchStringsAndListsOfStrings(t *testing.T) {
	anything := StringMatch{Kind: StringNonEmpty}
	for _, c := range []struct {
		name, payload string
		path          []string
		m             StringMatch
		want          bool
		got           string
	}{
		{"a string", `{"g":"admin"}`, []string{"g"}, exact("admin"), true, `"admin"`},
		{"an element of a list", `{"g":["dev","admin"]}`, []string{"g"}, exact("admin"), true, `["dev", "admin"]`},
		{"a string with a blank is one", `{"g":"dev admin"}`, []string{"g"}, exact("admin"), false, `"dev admin"`},
		{"a number never", `{"g":5}`, []string{"g"}, anything, false, "the number 5"},
		{"a boolean never", `{"g":true}`, []string{"g"}, anything, false, "the boolean true"},
		{"null never", `{"g":null}`, []string{"g"}, anything, false, "null"},
		{"an object never", `{"g":{}}`, []string{"g"}, anything, false, "an object"},
		{"a list of lists never", `{"g":[["a"]]}`, []string{"g"}, anything, false, `[["a"]]`},
		{"an empty list never", `{"g":[]}`, []string{"g"}, anything, false, `[]`},
		{"the empty string is not anything", `{"g":""}`, []string{"g"}, anything, false, `""`},
		{"numbers beside a string", `{"g":[5,"a"]}`, []string{"g"}, exact("a"), true, `[the number 5, "a"]`},
		{"below an object", `{"a":{"b":["v"]}}`, []string{"a", "b"}, exact("v"), true, `["v"]`},
		{"a dot is no path", `{"a.b":"v"}`, []string{"a", "b"}, exact("v"), false, gotNone},
		{"a dot is a name", `{"a.b":"v"}`, []string{"a.b"}, exact("v"), true, `"v"`},
		{"a string on the way", `{"a":"v"}`, []string{"a", "b"}, exact("v"), false, gotNone},
		{"absent", `{}`, []string{"g"}, exact(""), false, gotNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := payload(t, c.payload)
			m := &ClaimMatch{Path: c.path, String: c.m}
			if got := m.match(s); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
			if got := m.got(s); got != c.got {
				t.Errorf("got %s, want %s", got, c.got)
			}
		})
	}
	if m := (&ClaimMatch{Path: []string{"g"}}); m.match(&state{br: new(BranchSet)}).T != False || m.got(&state{}) != gotNone {
		t.Error("without a payload there is a claim")
	}
}

func TestARequestPrincipalNeedsBothClaimsAsStrings(t *testing.T) {
	both := &PrincipalMatch{exact("i"), StringMatch{Kind: StringNonEmpty}}
	for _, c := range []struct {
		payload string
		want    bool
		got     string
	}{
		{`{"iss":"i","sub":"s"}`, true, `iss "i" sub "s"`},
		{`{"iss":"j","sub":"s"}`, false, `iss "j" sub "s"`},
		{`{"iss":"i"}`, false, `"i" without a sub`},
		{`{"iss":"i","sub":""}`, false, `iss "i" sub ""`},
		{`{"iss":"i","sub":["s"]}`, false, `iss "i" sub ["s"]`},
	} {
		s := payload(t, c.payload)
		if got := both.match(s); got.T != truth(c.want).T {
			t.Errorf("%s: got %v", c.payload, got.T)
		}
		if got := both.got(s); got != c.got {
			t.Errorf("%s: got %s, want %s", c.payload, got, c.got)
		}
	}
	if none := (&state{br: new(BranchSet)}); both.match(none).T != False || both.got(none) != gotNone {
		t.Error("without a payload there is a principal")
	}
}

func TestMetadataIsWhatRBACFiltersHaveWritten(t *testing.T) {
	s := &state{b: CurrentBehavior(), br: new(BranchSet), rbacMetadata: map[string]string{"k": "denied"}}
	for _, c := range []struct {
		name string
		m    MetadataMatch
		want bool
		got  string
	}{
		{"its own key", MetadataMatch{Filter: rbacFilter, Key: "k", String: exact("denied")}, true, `"denied"`},
		{"another value", MetadataMatch{Filter: rbacFilter, Key: "k", String: exact("allowed")}, false, `"denied"`},
		{"as a list", MetadataMatch{Filter: rbacFilter, Key: "k", List: true, String: exact("denied")}, false, `"denied"`},
		{"another key", MetadataMatch{Filter: rbacFilter, Key: "l", String: exact("denied")}, false, gotNone},
		{"another filter", MetadataMatch{Filter: jwtFilter, Key: jwtPayload, String: exact("denied")}, false, gotNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.m.match(s); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
			if got := c.m.got(s); got != c.got {
				t.Errorf("got %s, want %s", got, c.got)
			}
		})
	}
}

func TestEveryKindOfMatcherHasABranchOfItsOwn(t *testing.T) {
	seen := map[Branch]Matcher{}
	for _, m := range []Matcher{
		&HeaderMatch{}, &HeaderMatch{Present: true}, &PathMatch{}, &TemplateMatch{}, &IPMatch{Side: DirectRemoteIP}, &IPMatch{Side: RemoteIP},
		&IPMatch{Side: DestinationIP}, &PortMatch{}, &SNIMatch{}, &IdentityMatch{}, &PrincipalMatch{}, &ClaimMatch{},
	} {
		if other, ok := seen[m.kind()]; ok || m.kind() >= matcherKinds {
			t.Errorf("%T has the kind of %T: %d", m, other, m.kind())
		}
		seen[m.kind()] = m
	}
	if len(seen) != matcherKinds || (&MetadataMatch{}).kind() != kindClaim {
		t.Errorf("%d kinds", len(seen))
	}
}

func TestEveryBranchHasANameOfItsOwn(t *testing.T) {
	seen := map[string]Branch{}
	for _, b := range Branches() {
		name := b.String()
		if other, ok := seen[name]; ok && b < BranchStatus || name == "" {
			t.Errorf("branches %d and %d are both %q", other, b, name)
		}
		seen[name] = b
	}
	var a, b BranchSet
	a.add(BranchHeadReply)
	b.addStatus(jwt.Expired)
	a.Union(&b)
	if !a.Has(BranchHeadReply) || !a.Has(BranchStatus+Branch(jwt.Expired)) || a.Has(BranchTCP) || b.Has(BranchHeadReply) {
		t.Error("the union is not that of both")
	}
}
