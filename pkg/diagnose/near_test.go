package diagnose

import (
	"strings"
	"testing"
)

func TestIssuersThatATiredPersonTakesForTheSameAreToldApart(t *testing.T) {
	for _, c := range []struct{ got, want, says string }{
		{"https://a.test/", "https://a.test", "the token has a slash at the end"},
		{"https://a.test", "https://a.test/", "the token has no slash at the end"},
		{"http://a.test/r", "https://a.test/r", "the token has http, and the rule https"},
		{"a.test", "https://a.test", "the token has no https://"},
		{"https://a.test", "a.test", "the token has https://"},
		{"https://A.test", "https://a.test", "upper and lower case"},
		{"https://A.test/", "https://a.test", "a slash at the end and by upper and lower case"},
		{"https://a.test ", "https://a.test", "blanks"},
		{"https://a.test:8443/r", "https://a.test/r", "the port"},
		{"http://keycloak:8080/realms/x", "https://sso.test/realms/x", "the path is the same"},
		{"https://a.test/realms/x/y", "https://a.test/realms/x", "the token goes on where the rule ends"},
		{"https://a.test/realms/x", "https://a.test/realms/x/y", "the rule goes on where the token ends"},
		{"https://a.test/realms/x", "https://a.test/realms/z", "the host is the same"},
		{"tseting@a.test", "testing@a.test", "a typing error"},
		{"https://a.test", "https://a.test", ""},
		{"https://a.test/x", "https://b.test/y", ""},
		{"", "https://b.test/y", ""},
		{"a", "", ""},
	} {
		if got := differ(c.got, c.want, "the token", "the rule"); c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%q against %q: %q, want %q", c.got, c.want, got, c.says)
		}
	}
}

func TestPathsThatJustMissAPatternAreExplained(t *testing.T) {
	for _, c := range []struct{ pattern, path, says string }{
		{"/api", "/api/", "the path has a slash at the end"},
		{"/api/", "/api", "the path has no slash at the end"},
		{"/api/*", "/api", "what is below"},
		{"/api", "/api/x", `"/api/*" is what is below it`},
		{"/Api", "/api", "upper and lower case"},
		{"/API/*", "/api/x", "upper and lower case"},
		{"/a/*/c", "/a/b/c", "{*} is one part"},
		{"/a?x=1", "/a", "without the query"},
		{"^/a$", "/a", "no regular expression"},
		{"/a/.*", "/a/b", "no regular expression"},
		{"/a b", "/a%20b", "they are not decoded"},
		{"/a/b", "/a//b", "MERGE_SLASHES"},
		{"/a", "/a;v=1", "semicolon"},
		{"/orders", "/ordres", "typing error"},
		{"/a", "/b", ""},
		{"/a*", "/b", ""},
		{"", "/b", ""},
		{"/{*}/c", "/a/b", ""},
	} {
		if got := pathNear(c.pattern, c.path); c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%q against %q: %q, want %q", c.path, c.pattern, got, c.says)
		}
	}
}

// Whatever is said of a path that misses: it does miss.
func TestNothingIsSaidOfAPathThatMatches(t *testing.T) {
	for _, c := range []struct{ pattern, path string }{{"/a", "/a"}, {"/a*", "/a"}, {"/a*", "/ab"}, {"*/a", "/b/a"}} {
		if !matchesPlain(c.pattern, c.path) {
			t.Fatalf("%q does not match %q", c.path, c.pattern)
		}
	}
}

func TestHostsMethodsValuesAndIdentitiesThatJustMissAreExplained(t *testing.T) {
	for _, c := range []struct {
		near            func(want, got string) string
		want, got, says string
	}{
		{hostNear, "a.test", "a.test:443", `"a.test:*" takes it`},
		{hostNear, "a.test:443", "a.test", "the pattern has a port"},
		{hostNear, "*.a.test", "a.test", "for names below"},
		{hostNear, "a.test", "b.test", ""},
		{methodNear, "get", "GET", "upper and lower case"},
		{methodNear, "GetBook", "POST", "no method of HTTP"},
		{methodNear, "PUT", "GET", ""},
		{caseNear, "gold", "Gold", "upper and lower case"},
		{caseNear, "gold ", "gold", "blanks"},
		{caseNear, "gold", "silver", ""},
		{identityNear, "spiffe://cluster.local/ns/a/sa/b", "cluster.local/ns/a/sa/b", "without spiffe://"},
		{identityNear, "td/ns/a/sa/b", "cluster.local/ns/a/sa/b", "trust domain"},
		{identityNear, "cluster.local/ns/a/sa/B", "cluster.local/ns/a/sa/b", "upper and lower case"},
		{identityNear, "cluster.local/ns/a/sa/c", "cluster.local/ns/a/sa/b", ""},
	} {
		if got := c.near(c.want, c.got); c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%q against %q: %q, want %q", c.got, c.want, got, c.says)
		}
	}
}

func TestSelectorsThatMissByOneLabelAreExplained(t *testing.T) {
	pods := map[string]string{"app": "httpbin", "version": "v1", "app.kubernetes.io/name": "shop"}
	for _, c := range []struct {
		want map[string]string
		says string
	}{
		{map[string]string{"app": "htpbin"}, "the pods have app=httpbin"},
		{map[string]string{"app": "httpbin-v1"}, "the pods have app=httpbin"},
		{map[string]string{"App": "httpbin"}, "the pods have app=httpbin"},
		{map[string]string{"name": "shop"}, "app.kubernetes.io/name=shop"},
		{map[string]string{"app": "httpbin", "version": "v1"}, ""},
		{map[string]string{"app": "orders"}, ""},
		{map[string]string{"app": "htpbin", "version": "v2"}, ""},
		{nil, ""},
	} {
		if got := nearLabels(c.want, pods); c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%v: %q, want %q", c.want, got, c.says)
		}
	}
}

func TestTextsThatAreNoTokenAreExplainedWithoutShowingThem(t *testing.T) {
	const form = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	for _, c := range []struct{ text, status, says string }{
		{"5f2c9d1e-secret", form, "1 part where a JWT has 3: it is an opaque token"},
		{"a.b.c.d.secret", form, "encrypted"},
		{"eyJsecret.eyJsecret", form, "the signature is missing"},
		{`"secret`, form, "quotes or blanks"},
		{"", form, "is empty"},
		{"ey***.secret.x", "Jwt header is an invalid Base64url encoded", "masked"},
		{"ey.secret+.x", "Jwt payload is an invalid Base64url encoded", "plain base64"},
		{"ey.secret.x=", "Jwt signature is an invalid Base64url encoded", "padding"},
		{"ey.secret.x y", "Jwt signature is an invalid Base64url encoded", "quotes or blanks"},
		{"ey.secret.", "Jwt signature is an invalid Base64url encoded", "it is empty"},
		{"ey.secret.x", "Jwt signature is an invalid Base64url encoded", "cut or changed"},
		{"ey.secret.ä", "Jwt signature is an invalid Base64url encoded", "a character that base64url has not"},
		{"e30.secret.x", "Jwt header [alg] field is required and must be a string", "the alg of the token is missing, and the proxy wants a text"},
		{"eyJhbGciOiJub25lIn0.secret.x", "Jwt header [alg] is not supported", `is "none"`},
		{"e30.eyJleHAiOiI3In0.secret", "Jwt payload [exp] field is not an integer", `the text "7", and the proxy wants a whole number`},
		{"e30.eyJhdWQiOnsiYSI6MX19.secret", "Jwt payload [aud] field is not a string or string list", "an object, and the proxy wants a text or a list of texts"},
		{"e30.eyJpc3MiOm51bGx9.secret", "Jwt payload [iss] field is not a string", "null, and the proxy wants a text"},
	} {
		r := malformed("the token", c.text, c.status)
		if !strings.Contains(r.because, c.says) || r.summary == "" {
			t.Errorf("%s: %q (%q), want %q", c.status, r.because, r.summary, c.says)
		}
		if strings.Contains(r.because+r.summary, "secret") {
			t.Errorf("%s: the text is shown", c.status)
		}
	}
}

func TestCountsAndListsReadAsPeopleSayThem(t *testing.T) {
	for want, got := range map[string]string{
		`"a"`: list([]string{"a"}, "or"), `"a" or "b"`: list([]string{"a", "b"}, "or"), "": list(nil, "or"),
		`"a", "b", "c" or 2 more`: list([]string{"a", "b", "c", "d", "e"}, "or"),
		"1 key":                   counted(1, "key", "keys"), "3 keys": counted(3, "key", "keys"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
