package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// An issuer on loopback is asked in earnest. The address of its keys is then refused,
// since loopback is another machine for whoever fetches them; all that comes before
// that is what a real issuer gets.
func TestDiscoverAsksTheIssuerAndSaysSo(t *testing.T) {
	keys := string(mint.JWKS(mint.RSA().WithKid("a"), mint.P256().WithKid("b")))
	dropped := strings.Replace(keys, `"keys":[`, `"keys":[{"kty":"RSA","kid":"enc","alg":"RSA-OAEP","n":"AQAB","e":"AQAB"},`, 1)
	for _, c := range []struct {
		name, document, keys, flags string
		code                        int
		says                        []string
	}{
		{"sound", "", keys, "--insecure", exitUsage, []string{"Asking     ", "/realm/.well-known/openid-configuration, from this machine", "its keys are at ", "2 keys that proxies can use", "on the machine of whoever fetches it"}},
		{"a key that proxies drop", "", dropped, "--insecure", exitUsage, []string{`key 0 (kid "enc") is dropped by proxies`}},
		{"keys that are a page", "", "<html>", "--insecure", exitUsage, []string{"it is HTML or XML, not JSON"}},
		{"keys that nobody can use", "", `{"keys":[]}`, "--insecure", exitUsage, []string{"no proxy can use it"}},
		{"without TLS", "", keys, "", exitUnknown, []string{"without TLS anybody on the way could put in other keys"}},
		{"a page", "<html>canary</html>", keys, "--insecure", exitUnknown, []string{"it is HTML or XML, not JSON"}},
		{"another issuer", `{"issuer":"https://other.example","jwks_uri":"https://other.example/keys"}`, keys, "--insecure", exitUnknown, []string{`the document is of the issuer "https://other.example"`, "hint: tokens have that issuer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var base string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				document := c.document
				if document == "" {
					text, err := json.Marshal(map[string]string{"issuer": base + "/realm", "jwks_uri": base + "/realm/keys"})
					if err != nil {
						t.Error(err)
					}
					document = string(text)
				}
				if strings.HasSuffix(r.URL.Path, "/keys") {
					document = c.keys
				}
				_, _ = fmt.Fprint(w, document)
			}))
			t.Cleanup(server.Close)
			base = server.URL
			args := append([]string{"scaffold", "-l", "app=x", "-n", "foo", "--issuer", base + "/realm", "--discover"}, strings.Fields(c.flags)...)
			code, stdout, stderr := captured(t, "", nil, args...)
			if code != c.code || stdout != "" {
				t.Errorf("exit code %d, standard output %q", code, stdout)
			}
			for _, want := range c.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("it does not say %q:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, "canary") {
				t.Errorf("what the server wrote comes out: %s", stderr)
			}
		})
	}
}
