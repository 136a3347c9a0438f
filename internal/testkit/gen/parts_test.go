package gen

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

func testDice() *dice {
	return &dice{Rand: rand.New(rand.NewPCG(1, 2)), tags: map[string]int{}}
}

func TestFit_ThatWhatFitsIsMatchedByThePattern(t *testing.T) {
	d := testDice()
	for _, pattern := range []string{"abc", "abc*", "*abc", "*", "a*b", "**", "*a*", "", "/x/*"} {
		for range 50 {
			if text := d.fit(pattern); !matches(pattern, text) {
				t.Fatalf("%q is to fit %q", text, pattern)
			}
		}
	}
}

func TestNear_ThatBothSidesOfAnEdgeAreHit(t *testing.T) {
	d := testDice()
	for _, pattern := range []string{"abc", "abc*", "*abc", "/x/*"} {
		in, out := 0, 0
		for range 300 {
			if matches(pattern, d.near(pattern)) {
				in++
			} else {
				out++
			}
		}
		if out < 100 || in < 10 {
			t.Errorf("%q: %d texts inside and %d outside", pattern, in, out)
		}
	}
}

func TestPattern_ThatAFormIsWhatItSays(t *testing.T) {
	d := testDice()
	for range 500 {
		value, form := d.pattern(pick(d, "a", "abc", "/x/y"))
		ok := map[string]bool{
			formExact: !strings.HasPrefix(value, "*") && !strings.HasSuffix(value, "*"), formPrefix: strings.HasSuffix(value, "*"),
			formSuffix: strings.HasPrefix(value, "*"), formAny: value == "*", formEmpty: value == "",
			formInner: strings.Contains(value, "*"), formDouble: strings.Count(value, "*") >= 2,
		}[form]
		if !ok {
			t.Fatalf("%q is said to be of the form %s", value, form)
		}
	}
}

func TestEdges_ThatTheyAreInsideAndJustOutside(t *testing.T) {
	for block, want := range map[string]struct{ first, last, before, after string }{
		"10.1.2.0/24":   {"10.1.2.0", "10.1.2.255", "10.1.1.255", "10.1.3.0"},
		"10.1.2.3":      {"10.1.2.3", "10.1.2.3", "10.1.2.2", "10.1.2.4"},
		"10.1.2.77/30":  {"10.1.2.76", "10.1.2.79", "10.1.2.75", "10.1.2.80"},
		"2001:db8::/32": {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
		"2001:db8::1":   {"2001:db8::1", "2001:db8::1", "2001:db8::", "2001:db8::2"},
	} {
		inside, outside := edges(block)
		for _, text := range []string{want.first, want.last} {
			if !slices.Contains(inside, netip.MustParseAddr(text)) {
				t.Errorf("%s: %s is not among %v", block, text, inside)
			}
		}
		for _, text := range []string{want.before, want.after} {
			if !slices.Contains(outside, netip.MustParseAddr(text)) {
				t.Errorf("%s: %s is not among %v", block, text, outside)
			}
		}
	}
	for _, block := range badBlocks {
		if inside, outside := edges(block); len(inside)+len(outside) > 0 {
			t.Errorf("%q has edges", block)
		}
	}
	if _, outside := edges("0.0.0.0/0"); len(outside) != 0 {
		t.Errorf("there is something outside of everything: %v", outside)
	}
}

func TestMembers_ThatAnObjectIsTakenApart(t *testing.T) {
	object := `{"a":"x,{y}\"","b":{"c":1,"d":[1,2]},"e":[{"f":1},2],"g":{now+60}}`
	want := []string{`"a":"x,{y}\""`, `"b":{"c":1,"d":[1,2]}`, `"e":[{"f":1},2]`, `"g":{now+60}`}
	if got := members(object); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := members("{}"); len(got) != 0 {
		t.Errorf("an empty object has the members %q", got)
	}
	for _, c := range []struct{ name, value, want string }{
		{"b", "7", `{"a":1,"b":7}`}, {"a", "2", `{"b":{},"a":2}`}, {"a", "", `{"b":{}}`}, {"z", "null", `{"a":1,"b":{},"z":null}`},
	} {
		if got := withMember(`{"a":1,"b":{}}`, c.name, c.value); got != c.want {
			t.Errorf("%s=%s: got %s, want %s", c.name, c.value, got, c.want)
		}
	}
}

func TestClaimSet_ThatANameIsThereOnceAndInOrder(t *testing.T) {
	var c claimSet
	c.set("b", "1")
	c.set("a", "2")
	c.set("b", "3")
	clone := c.clone()
	clone.set("z", "9")
	clone.drop("b")
	if got := c.text(); got != `"b":3,"a":2` {
		t.Errorf("got %s", got)
	}
	if got := clone.text(); got != `"a":2,"z":9` {
		t.Errorf("the copy is %s", got)
	}
}

func TestExpand_ThatATemplateIsFilled(t *testing.T) {
	r := &draft{dice: testDice()}
	for _, template := range pathTemplates {
		for range 40 {
			path := r.expand(template, true)
			if strings.Contains(path, "{*}") || strings.Contains(path, "{**}") {
				t.Fatalf("%s became %s", template, path)
			}
			if !strings.HasPrefix(path, "/") {
				t.Fatalf("%s became %s, which is no path", template, path)
			}
		}
	}
}

func TestDisguises_ThatPathsStayPaths(t *testing.T) {
	d := testDice()
	for _, c := range disguises {
		differ := false
		for _, path := range []string{"/admin", "/a/b/c", "/"} {
			for range 20 {
				got := c.do(d, path)
				if got == "" || strings.ContainsAny(got, " \r\n") {
					t.Errorf("%s makes %q of %q", c.name, got, path)
				}
				differ = differ || got != path
			}
		}
		if !differ {
			t.Errorf("%s changes nothing", c.name)
		}
	}
}

func TestDefects_ThatEachChangesTheToken(t *testing.T) {
	d := testDice()
	j := jwtRule{issuer: "iss-a", audiences: []string{"foo"}, keys: []useKey{{key: "rsa-a", kid: "a"}}, places: defaultPlaces}
	for _, c := range defects {
		changed := 0
		for range 60 {
			r := &draft{dice: d, rule: -1}
			good := r.mint(j)
			bad := good
			c.do(r, &bad, j)
			if bad != good {
				changed++
			}
		}
		if changed < 5 {
			t.Errorf("%s changed %d of 60 tokens", c.name, changed)
		}
	}
}

func TestDefects_ThatNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range defects {
		if seen[d.name] {
			t.Errorf("two defects are named %s", d.name)
		}
		seen[d.name] = true
	}
}

func TestKeySet_ThatTheUsableKeysAreInTheSet(t *testing.T) {
	b := &builder{dice: testDice(), m: MeshCase{JWKS: map[string]string{}}}
	for range 200 {
		text, usable := b.keySet(false)
		for _, k := range usable {
			member := map[string]string{"rsa": "n", "oct": "k"}[family(k.key)]
			if member == "" {
				member = "x"
			}
			value, _ := k.jwk()[member].(string)
			if !strings.Contains(text, value) && !strings.Contains(text, "CERTIFICATE") {
				t.Fatalf("the key %s is not in %s", k.key, text)
			}
		}
	}
}

func TestSetURI_ThatOnlyWhatACertificateCanCarryIsTaken(t *testing.T) {
	for uri, taken := range map[string]bool{
		"spiffe://td/ns/a/sa/b": true, "spiffe://a.b/x": true, "spiffe:///ns/a": false, "spiffe://.local/x": false, "spiffe://a..b/": false,
		"spiffe://spiffe://td/ns": false, "spiffe://td/a b": false, "spiffe://td/%zz": false,
	} {
		r := &draft{dice: testDice()}
		r.setURI(uri)
		if (r.id.uri == uri) != taken {
			t.Errorf("%s: taken is %t", uri, !taken)
		}
	}
}

func TestWithDomain_ThatAnIdentityBeginsWithADomainOfTheMesh(t *testing.T) {
	r := &draft{dice: testDice(), p: play{trustDomains: []string{"cluster.local"}}}
	for rest, want := range map[string]string{
		"/ns/a/sa/b": "cluster.local/ns/a/sa/b", "local/ns/a/sa/b": "cluster.local/ns/a/sa/b", "/sa/b": "cluster.local/ns/q/sa/b", "zz": "cluster.local/ns/q/zz",
	} {
		if got := r.withDomain(rest); got != want {
			t.Errorf("%s: got %s, want %s", rest, got, want)
		}
	}
}

func TestFinish_ThatTheQueryComesBeforeTheFragment(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/a", "/a?t=1&u=2"}, {"/a?x", "/a?x&t=1&u=2"}, {"/a#f", "/a?t=1&u=2#f"}, {"/a?x#f?g", "/a?x&t=1&u=2#f?g"},
	} {
		r := &draft{dice: testDice(), path: c.path, query: []string{"t=1", "u=2"}}
		r.req.HTTP2 = true
		r.req.Headers = []judge.Header{{Name: "X-A", Value: "V"}}
		r.finish()
		if r.req.Path != c.want || r.req.Headers[0].Name != "x-a" {
			t.Errorf("%s: got %s and header %s", c.path, r.req.Path, r.req.Headers[0].Name)
		}
	}
}
