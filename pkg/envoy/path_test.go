package envoy

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// The normalizations of MeshConfig, as istiod configures them.
var normalizations = map[string]*ConnectionManager{
	"None":                  {},
	"Base":                  {NormalizePath: true},
	"MergeSlashes":          {NormalizePath: true, MergeSlashes: true},
	"DecodeAndMergeSlashes": {NormalizePath: true, MergeSlashes: true, EscapedSlashes: UnescapeAndForward},
}

// oracle are the paths that Istio's own test sends and receives
// (tests/integration/security/normalization_test.go), by normalization; "400" is a
// refusal.
var oracle = map[string][][2]string{
	"None": {
		{"/", "/"}, {"/app#foo", "/app"}, {"/app/", "/app/"}, {"/app/../admin", "/app/../admin"}, {"/app", "/app"}, {"/app//", "/app//"},
		{"/app/%2f", "/app/%2f"}, {"/app%2f/", "/app%2f/"}, {"/xyz%30..//abc", "/xyz%30..//abc"}, {"/app/%2E./admin", "/app/%2E./admin"},
		{`/app\admin`, `/app\admin`}, {`/app/\/\/\admin`, `/app/\/\/\admin`}, {`/%2Fapp%5cadmin%5Cabc`, `/%2Fapp%5cadmin%5Cabc`},
		{`/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc`, `/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc`}, {`/app//../admin`, `/app//../admin`},
		{`/app//../../admin`, `/app//../../admin`},
	},
	"Base": {
		{"/", "/"}, {"/app#foo", "/app"}, {"/app/", "/app/"}, {"/app/../admin", "/admin"}, {"/app", "/app"}, {"/app//", "/app//"},
		{"/app/%2f", "/app/%2f"}, {"/app%2f/", "/app%2f/"}, {"/xyz%30..//abc", "/xyz0..//abc"}, {"/app/%2E./admin", "/admin"},
		{`/app\admin`, `/app/admin`}, {`/app/\/\/\admin`, `/app//////admin`}, {`/%2Fapp%5cadmin%5Cabc`, `/%2Fapp%5cadmin%5Cabc`},
		{`/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc`, `/%5Capp%2f%5c%2F..%2fadmin%5c/abc`}, {`/app//../admin`, `/app/admin`},
		{`/app//../../admin`, `/admin`},
	},
	"MergeSlashes": {
		{"/", "/"}, {"/app#foo", "/app"}, {"/app/", "/app/"}, {"/app/../admin", "/admin"}, {"/app", "/app"}, {"/app//", "/app/"},
		{"/app/%2f", "/app/%2f"}, {"/app%2f/", "/app%2f/"}, {"/xyz%30..//abc", "/xyz0../abc"}, {"/app/%2E./admin", "/admin"},
		{`/app\admin`, `/app/admin`}, {`/app/\/\/\admin`, `/app/admin`}, {`/%2Fapp%5cadmin%5Cabc`, `/%2Fapp%5cadmin%5Cabc`},
		{`/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc`, `/%5Capp%2f%5c%2F..%2fadmin%5c/abc`}, {`/app//../admin`, `/app/admin`},
		{`/app//../../admin`, `/admin`},
	},
	"DecodeAndMergeSlashes": {
		{"/", "/"}, {"/app#foo", "/app"}, {"/app/", "/app/"}, {"/app/../admin", "/admin"}, {"/app", "/app"}, {"/app//", "/app/"},
		{"/app/%2f", "/app/"}, {"/app%2f/", "/app/"}, {"/xyz%30..//abc", "/xyz0../abc"}, {"/app/%2E./admin", "/admin"},
		{`/app\admin`, `/app/admin`}, {`/app/\/\/\admin`, `/app/admin`}, {`/%2Fapp%5cadmin%5Cabc`, `/app/admin/abc`},
		{`/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc`, `/app/admin/abc`}, {`/app//../admin`, `/app/admin`}, {`/app//../../admin`, `/admin`},
		{`/%c0%2e%c0%2e/admin`, `/%c0.%c0./admin`}, {`/%c0%2fadmin`, `/%c0/admin`},
		// Not normalized.
		{`/0x2e0x2e/admin`, `/0x2e0x2e/admin`}, {`/0x2e0x2e0x2fadmin`, `/0x2e0x2e0x2fadmin`}, {`/0x2e0x2e0x5cadmin`, `/0x2e0x2e0x5cadmin`},
		{`/0x2f0x2fadmin`, `/0x2f0x2fadmin`}, {`/0x5c0x5cadmin`, `/0x5c0x5cadmin`}, {`/%25c0%25ae%25c1%259cadmin`, `/%25c0%25ae%25c1%259cadmin`},
		{`/%25c0%25ae%25c0%25ae/admin`, `/%25c0%25ae%25c0%25ae/admin`}, {`/%25c0%25afadmin`, `/%25c0%25afadmin`},
		{`/%25c1%259cadmin`, `/%25c1%259cadmin`}, {`/%252e%252e/admin`, `/%252e%252e/admin`}, {`/%252e%252e%252fadmin`, `/%252e%252e%252fadmin`},
		{`/%c1%9cadmin`, `/%c1%9cadmin`}, {`/%c0%ae%c0%ae/admin`, `/%c0%ae%c0%ae/admin`}, {`/%c0%afadmin`, `/%c0%afadmin`},
		{`/.../admin`, `/.../admin`}, {`/..../admin`, `/..../admin`}, {`/..;/admin`, `/admin`}, {`/;/admin`, `/;/admin`},
		{`/admin;a=b`, `/admin;a=b`}, {`/admin;a=b/xyz`, `/admin;a=b/xyz`}, {`/admin,a=b/xyz`, `/admin,a=b/xyz`}, {`/Admin`, `/Admin`},
		{`/ADMIN`, `/ADMIN`}, {`/admin%00`, `400`},
	},
}

func normalized(path string, cm *ConnectionManager) string {
	out, _, ok := normalizePath(path, cm, CurrentBehavior(), new(BranchSet))
	if !ok {
		return "400"
	}
	return out
}

func TestPathsAreNormalizedAsIstiosOwnTestHasThem(t *testing.T) {
	for name, cases := range oracle {
		t.Run(name, func(t *testing.T) {
			for _, c := range cases {
				if got := normalized(c[0], normalizations[name]); got != c[1] {
					t.Errorf("%s: got %s, want %s", c[0], got, c[1])
				}
			}
		})
	}
}

// supportedEscape says which escapes Istio's test expects to be decoded.
func supportedEscape(c int) bool {
	return strings.ContainsRune(`-./\_~`, rune(c)) && c < 0x80 || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func TestEscapesFrom01ToFFAreDecodedAsIstiosOwnTestHasThem(t *testing.T) {
	for c := 1; c <= 0xff; c++ {
		in := fmt.Sprintf("/admin%%%.2x", c)
		want := in
		if supportedEscape(c) {
			decoded, err := url.PathUnescape(in)
			if err != nil {
				t.Fatal(err)
			}
			want = strings.ReplaceAll(decoded, `\`, `/`)
		}
		if got := normalized(in, normalizations["DecodeAndMergeSlashes"]); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestOddPathsAreNormalizedAsEnvoyDoes(t *testing.T) {
	for _, c := range []struct{ name, normalization, in, want string }{
		{"the query is left alone", "DecodeAndMergeSlashes", "/a//b?x=%2F//../%00", "/a/b?x=%2F//../%00"},
		{"a fragment after the query goes", "Base", "/a?x=1#y?z", "/a?x=1"},
		{"a fragment before a question mark takes it along", "Base", "/a#y?z", "/a"},
		{"slashes alone become two", "MergeSlashes", "///", "//"},
		{"two slashes stay two", "MergeSlashes", "//", "//"},
		{"one slash stays one", "MergeSlashes", "/", "/"},
		{"runs inside are merged", "MergeSlashes", "//a///b//", "/a/b/"},
		{"parent of the root is the root", "Base", "/../../a", "/a"},
		{"a dot at the end goes", "Base", "/a/.", "/a/"},
		{"two dots at the end go", "Base", "/a/b/..", "/a/"},
		{"dots in a name stay", "Base", "/a../b", "/a../b"},
		{"three dots are a name", "Base", "/a/.../b", "/a/.../b"},
		{"dots before a name stay", "Base", "/a/..b", "/a/..b"},
		{"escaped dots are dots", "Base", "/a/%2e%2E/b", "/b"},
		{"a dot and an escaped dot", "Base", "/a/.%2e", "/"},
		{"a backslash ends a dot segment", "Base", `/x\..\admin`, "/admin"},
		{"raw characters are escaped", "Base", "/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"},
		{"bytes above 0x7f are escaped", "Base", "/\xc3\xa9", "/%C3%A9"},
		{"brackets stay", "Base", "/a[b]", "/a[b]"},
		{"a lone percent sign stays", "Base", "/100%", "/100%"},
		{"an escape that is none stays", "Base", "/%zz%4", "/%zz%4"},
		{"escapes keep their case", "Base", "/%3a%3A", "/%3a%3A"},
		{"decoded letters keep theirs", "Base", "/%41%61", "/Aa"},
		{"a decoded digit completes no escape", "Base", "/%%32%65", "/%252e"},
		{"NUL is refused", "Base", "/%00", "400"},
		{"NUL passes where nothing is normalized", "None", "/%00", "/%00"},
		{"parameters of a parent segment go", "Base", "/x/..;y=1/admin", "/admin"},
		{"at the end, too", "Base", "/..;", "/"},
		{"parameters of a current segment go", "Base", "/x/.;y/admin", "/x/admin"},
		{"escaped dots with parameters stay", "Base", "/x/%2e%2e;a/b", "/x/..;a/b"},
		{"an escaped semicolon is none", "Base", "/x/..%3b/b", "/x/..%3b/b"},
		{"parameters stay where nothing is normalized", "None", "/x/..;y/a", "/x/..;y/a"},
		{"a decoded backslash comes too late for parameters", "DecodeAndMergeSlashes", "/x%5c..;a/b", "/x/..;a/b"},
		{"escapes are decoded once", "DecodeAndMergeSlashes", "/a%252Fb", "/a%252Fb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := normalized(c.in, normalizations[c.normalization]); got != c.want {
				t.Errorf("%q: got %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestEscapedSlashesCanBeRefusedOrLeadToARedirect(t *testing.T) {
	for _, c := range []struct {
		name, in  string
		action    EscapedSlashes
		want      string
		redirects bool
	}{
		{"refused", "/a%2fb", RejectEscapedSlashes, "400", false},
		{"nothing to refuse", "/a/b", RejectEscapedSlashes, "/a/b", false},
		{"redirected", "/a%5Cb", UnescapeAndRedirect, "/a/b", true},
		{"nothing to redirect for", "/a/b", UnescapeAndRedirect, "/a/b", false},
		{"kept", "/a%2fb", KeepEscapedSlashes, "/a%2fb", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, redirects, ok := normalizePath(c.in, &ConnectionManager{NormalizePath: true, EscapedSlashes: c.action}, CurrentBehavior(), new(BranchSet))
			if !ok {
				got = "400"
			}
			if got != c.want || redirects != c.redirects {
				t.Errorf("got %s, redirect %v; want %s, %v", got, redirects, c.want, c.redirects)
			}
		})
	}
}

func TestBeforeTheFixDotSegmentsKeepTheirParameters(t *testing.T) {
	old := CurrentBehavior()
	old.DotSegmentParameters = false
	if got, _, _ := normalizePath("/x/..;y=1/admin", normalizations["Base"], old, new(BranchSet)); got != "/x/..;y=1/admin" {
		t.Errorf("got %s", got)
	}
}

func TestPercentDecodingKeepsWhatIsNoEscape(t *testing.T) {
	for in, want := range map[string]string{"a+b": "a+b", "%41%2f": "A/", "%4": "%4", "%": "%", "%zz%41": "%zzA", "%00": "\x00", "%2541": "%41"} {
		if got := percentDecode(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestThePathForMatchingEndsAtQueryOrFragment(t *testing.T) {
	for in, want := range map[string]string{"/a?b#c": "/a", "/a#b?c": "/a", "/a": "/a", "?": "", "": ""} {
		if got := cutQuery(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
