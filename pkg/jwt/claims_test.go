package jwt

import (
	"encoding/base64"
	"strings"
	"testing"
)

func parsed(t *testing.T, text string) Value {
	t.Helper()
	v, err := ParseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The answers are Envoy 1.40.0's.
func TestAClaimIsRenderedForAHeader(t *testing.T) {
	for claim, want := range map[string]string{
		`"s"`: "s", `" "`: " ", `"é"`: "é", `true`: "true", `false`: "false",
		`0`: "0", `-0`: "0", `1`: "1", `1700000000`: "1700000000", `9007199254740993`: "9007199254740992",
		`18446744073709549568`: "18446744073709549568", `18446744073709551615`: "18446744073709551616.000000",
		`1.5`: "1.500000", `-3`: "-3.000000", `1e20`: "100000000000000000000.000000", `0.1`: "0.100000",
		`1e-7`: "0.000000", `-1e-7`: "-0.000000", `0.0000005`: "0.000000",
	} {
		for _, payload := range []string{`{"c":` + claim + `}`, `{"o":{"c":` + claim + `}}`} {
			v, path := parsed(t, payload), "c"
			if strings.HasPrefix(payload, `{"o"`) {
				path = "o.c"
			}
			if got, ok := ClaimHeader(v, path); !ok || got != want {
				t.Errorf("%s of %s is %q %v, want %q", path, payload, got, ok, want)
			}
			if !ClaimHeaderExact(v, path) {
				t.Errorf("%s of %s is said to have several forms", path, payload)
			}
		}
	}
}

func TestObjectsAndListsAreBase64OfTheirJSON(t *testing.T) {
	for claim, want := range map[string]string{
		`{}`: `{}`, `[]`: `[]`, `{"a":{"b":[]}}`: `{"a":{"b":[]}}`, `["a",null,true]`: `["a",null,true]`,
		`[1,1.5,-3,1e20,0.1,1e15,1e14,123456789012345678,1e-5,0.0001,-0,3.141592653589793,5e-324]`://
		`[1,1.5,-3,1e+20,0.1,1e+15,100000000000000,1.2345678901234568e+17,1e-05,0.0001,-0,3.1415926535897931,4.94065645841247e-324]`,
		`["\u0000\u001f\u007f\u0080\u00ad<>&'/\\\"\b\f\n\r\t é"]`: `["\u0000\u001f\u007f\u0080\u00ad\u003c\u003e&'/\\\"\b\f\n\r\t é"]`,
		`["\u0603\u0604\u06dd\u2028\u202f\ufeff\ufffd"]`:          "[\"\\u0603\u0604\\u06dd\\u2028\u202f\\ufeff\ufffd\"]",
		`["\ud834\udd73\ud83d\ude00\udb40\udc7f\udb40\udc80"]`:    "[\"\\ud834\\udd73\U0001f600\\udb40\\udc7f\U000e0080\"]",
		`{"<\n":1}`: `{"\u003c\n":1}`,
	} {
		got, ok := ClaimHeader(parsed(t, `{"c":`+claim+`}`), "c")
		text, err := base64.StdEncoding.DecodeString(got)
		if !ok || err != nil || string(text) != want {
			t.Errorf("%s is %s, %v; want %s", claim, text, err, want)
		}
	}
}

func TestTheOrderOfMembersIsTheProxysOwn(t *testing.T) {
	for claim, exact := range map[string]bool{
		`{"a":1}`: true, `{"a":1,"b":2}`: false, `[{"a":1},{"b":2}]`: true, `[{"a":1,"b":2}]`: false, `{"a":{"b":1,"c":2}}`: false,
	} {
		if got := ClaimHeaderExact(parsed(t, `{"c":`+claim+`}`), "c"); got != exact {
			t.Errorf("%s: exact is %v", claim, got)
		}
	}
	got, _ := ClaimHeader(parsed(t, `{"c":{"b":2,"a":1}}`), "c")
	if want := base64.StdEncoding.EncodeToString([]byte(`{"a":1,"b":2}`)); got != want {
		t.Errorf("the members are not by name: %s", got)
	}
}

func TestSomeClaimsGiveNoHeader(t *testing.T) {
	payload := parsed(t, `{"null":null,"empty":"","a.b":"x","https://x/y":"x","s":"x","o":{"n":{}},"":{"c":"x"},"l":[{"c":"x"}]}`)
	for _, claim := range []string{"null", "empty", "a.b", "https://x.y", "none", "s.x", "o.x", "o.", "o.n.x", "l.c", "l.0"} {
		if got, ok := ClaimHeader(payload, claim); ok {
			t.Errorf("%q gives %q", claim, got)
		}
	}
	for claim, want := range map[string]string{".c": "x", "https://x/y": "x", "o.n": "e30="} {
		if got, ok := ClaimHeader(payload, claim); !ok || got != want {
			t.Errorf("%q gives %q %v, want %q", claim, got, ok, want)
		}
	}
}

func TestClaimsOfWordsBecomeLists(t *testing.T) {
	for _, c := range []struct{ name, payload, claims, want string }{
		{"words", `{"scope":"a b"}`, "scope", `{"scope":["a","b"]}`},
		{"one word", `{"scope":"a"}`, "scope", `{"scope":["a"]}`},
		{"several blanks", `{"scope":"  a  b "}`, "scope", `{"scope":["a","b"]}`},
		{"only blanks stay", `{"scope":"  "}`, "scope", `{"scope":"  "}`},
		{"an empty string stays", `{"scope":""}`, "scope", `{"scope":""}`},
		{"a tab does not separate", `{"scope":"a\tb"}`, "scope", `{"scope":["a\tb"]}`},
		{"a list stays", `{"scope":["a b"]}`, "scope", `{"scope":["a b"]}`},
		{"a number stays", `{"scope":1}`, "scope", `{"scope":1}`},
		{"a claim that is not there", `{"x":"a b"}`, "scope", `{"x":"a b"}`},
		{"the name is literal", `{"a":{"b":"x y"},"a.b":"x y"}`, "a.b", `{"a":{"b":"x y"},"a.b":["x","y"]}`},
		{"several claims", `{"b":"1 2","a":"x y","c":"z"}`, "a,b", `{"a":["x","y"],"b":["1","2"],"c":"z"}`},
		{"a claim named twice has its words twice", `{"a":"x y"}`, "a,a", `{"a":["x","y","x","y"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := parsed(t, c.payload)
			got := NormalizeSpaceDelimited(payload, strings.Split(c.claims, ","))
			if got.String() != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
			if !payload.Equal(parsed(t, c.payload)) {
				t.Error("the payload itself has changed")
			}
		})
	}
}

func TestAudiencesAreComparedWithoutSchemeAndSlash(t *testing.T) {
	for _, c := range []struct {
		name              string
		configured, token string
		want              bool
	}{
		{"nothing configured", "", "x", true},
		{"nothing configured and nothing brought", "", "", true},
		{"the same", "foo", "foo", true},
		{"another", "foo", "bar", false},
		{"one of several", "x,foo", "y,foo", true},
		{"nothing brought", "foo", "", false},
		{"scheme and slash configured", "https://foo/", "http://foo", true},
		{"scheme and slash brought", "foo", "https://foo/", true},
		{"one slash alone goes", "foo", "foo//", false},
		{"two slashes on both sides", "foo//", "foo//", true},
		{"two slashes against one", "foo//", "foo/", false},
		{"one scheme alone goes", "http://https://foo", "https://foo", false},
		{"case counts", "foo", "Foo", false},
		{"case of the scheme counts", "foo", "HTTP://foo", false},
		{"no wildcard", "*", "foo", false},
		{"a scheme alone is nothing", "http://", "/", true},
		{"a scheme alone is another scheme alone", "https:///", "http://", true},
		{"a scheme with one slash is text", "http:/", "http:", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := func(s string) []string {
				if s == "" {
					return nil
				}
				return strings.Split(s, ",")
			}
			if got := AudienceAllowed(list(c.configured), list(c.token)); got != c.want {
				t.Errorf("%q allows %q: %v", c.configured, c.token, got)
			}
		})
	}
}
