package diagnose_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// pieces are the forms of a secret that must not be in any output: the whole, its
// signature, what is encoded once more, and every 32 bytes of it.
func pieces(secret string) []string {
	out := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret)}
	parts := strings.Split(secret, ".")
	for _, text := range []string{secret, parts[len(parts)-1]} {
		const piece = 32
		for i := 0; i+piece <= len(text); i += piece {
			out = append(out, text[i:i+piece])
		}
	}
	return out
}

// leaks lists where a secret is in the JSON of a diagnosis, by what is before it.
func leaks(t *testing.T, d *diagnose.Diagnosis, secret string) []string {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, p := range pieces(secret) {
		if at := strings.Index(string(text), p); at >= 0 {
			out = append(out, fmt.Sprintf("piece %d after %q", i, text[max(0, at-40):at]))
		}
	}
	return out
}

func TestNoSecretIsInAnyFieldOfADiagnosis(t *testing.T) {
	const at = `, fromHeaders: [{name: x-jwt, prefix: "V "}], fromParams: [t], fromCookies: [c]`
	good, expired := token(`"iss":"iss","sub":"alice"`), token(`"iss":"iss","exp":1`)
	const password = "correct-horse-battery-staple-0123456789"
	reads := policy(`{rules: [{when: [{key: "request.headers[x-jwt]", values: [a]}, {key: "request.headers[cookie]", values: [b]}]},
  {when: [{key: "request.headers[authorization]", values: [a]}]}, {to: [{operation: {paths: [/x]}}]}, {when: [{key: "request.headers[:path]", values: [z]}]}]}`)
	h := func(name, value string) func(*diagnose.Intent) {
		return headers(envoy.Header{Name: name, Value: value})
	}
	for _, c := range []struct {
		name   string
		rule   string
		change func(*diagnose.Intent)
		secret string
	}{
		{"in Authorization", "", h("Authorization", "Bearer "+good), good},
		{"in Authorization, expired", "", h("Authorization", "Bearer "+expired), expired},
		{"in Authorization, in lower case", "", h("authorization", "bearer "+good), good},
		{"in a header of its own", at, h("X-JWT", "V "+good), good},
		{"in a header, without its prefix", at, h("x-jwt", good), good},
		{"in a header that nobody knows", "", h("x-other", good), good},
		{"in a parameter", at, path("/?t=" + good), good},
		{"in the default parameter", "", path("/a?b=c&access_token=" + expired), expired},
		{"in a parameter that nobody knows", "", path("/?q=" + good), good},
		{"in the path itself", "", path("/x/" + good), good},
		{"in a cookie", at, h("Cookie", "a=b; c="+good), good},
		{"in a cookie that nobody knows", "", h("Cookie", "session="+good), good},
		{"a password in Authorization", "", h("Authorization", "Basic "+password), password},
		{"a password for a proxy", "", h("Proxy-Authorization", "Basic "+password), password},
		{"a cookie that is no token", "", h("Cookie", "session="+password), password},
		{"forwarded", ", forwardOriginalToken: true", h("Authorization", "Bearer "+good), good},
		{"quoted", at, h("Cookie", `c="`+good+`"`), good},
		{"as its payload in a header", ", outputPayloadToHeader: x-p", h("Authorization", "Bearer "+good), good},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, docs := range [][]string{{authn(c.rule), reads}, {authn(c.rule)}, {reads}, nil} {
				d := asked(t, question(t, plaintext, c.change), httpbin(docs...)...)
				for _, where := range leaks(t, d, c.secret) {
					t.Errorf("with %d policies: %s", len(docs), where)
				}
			}
		})
	}
}

func TestWhatIsNoSecretIsShown(t *testing.T) {
	d := asked(t, question(t, plaintext, path("/api/v1?x=1"), headers(envoy.Header{Name: "x-role", Value: "administrator"}, bearer(`"iss":"iss","sub":"alice"`))),
		httpbin(authn(""), policy(`{rules: [{when: [{key: "request.headers[x-role]", values: [operator]}]}]}`))...)
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/api/v1?x=1", "administrator", "operator", "alice", "iss"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in it", want)
		}
	}
	if len(d.Tokens) != 1 || !d.Tokens[0].WellForm || d.Tokens[0].Subject != "alice" || d.Tokens[0].Alg != "ES256" {
		t.Errorf("the token is %+v", d.Tokens)
	}
	broken := asked(t, question(t, plaintext, headers(envoy.Header{Name: "Authorization", Value: "Bearer a.b"})), httpbin(authn(""))...)
	if len(broken.Tokens) != 1 || broken.Tokens[0].WellForm || broken.Tokens[0].Problem == "" {
		t.Errorf("a token that is none is %+v", broken.Tokens)
	}
}
