package jwks

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

func TestAPlaceholderIsRecognised(t *testing.T) {
	const uri = "http:///host.docker.internal:8000/.well-known/jwks.json"
	for kind, want := range map[string]string{
		PlaceholderPlain: uri, PlaceholderEncoded: uri, PlaceholderForgeable: "", PlaceholderPublicOnly: "",
	} {
		set, _ := Parse(PlaceholderDocument(kind, uri))
		got, gotURI, ok := Placeholder(set)
		if !ok || got != kind || gotURI != want {
			t.Errorf("%s is %s with %q, %v", kind, got, gotURI, ok)
		}
	}
}

// The text is pasted in envoyproxy/envoy issue 24785.
func TestThePlaceholderOfAnIssueTellsTheURI(t *testing.T) {
	const n = "RXJyb3ItSXN0aW9kRmFpbGVkVG9GZXRjaEp3a3NVcmktaHR0cDovLy9ob3N0LmRvY2tlci5pbnRlcm5hbDo4MDAwLy53ZWxsLWtub3duL2p3a3MuanNvbg"
	set, _ := Parse([]byte(`{"keys":[ {"e":"AQAB","kid":"abc","kty":"RSA","n":"` + n + `"}]}`))
	if kind, uri, ok := Placeholder(set); !ok || kind != PlaceholderEncoded || uri != "http:///host.docker.internal:8000/.well-known/jwks.json" {
		t.Errorf("%s with %q, %v", kind, uri, ok)
	}
}

func TestAnOrdinarySetIsNoPlaceholder(t *testing.T) {
	public := string(PublicOnlyPlaceholder())
	key := public[len(`{"keys":[`) : len(public)-2]
	for name, doc := range map[string]string{
		"a good key":                                 string(mint.JWKS(mint.RSA())),
		"a good key under the kid":                   string(mint.JWKS(mint.RSA().WithKid("abc"))),
		"the text under another kid":                 `{"keys":[{"kty":"RSA","e":"AQAB","kid":"x","n":"Error-IstiodFailedToFetchJwksUri-"}]}`,
		"the public key under a kid":                 `{"keys":[{"kid":"abc",` + key[1:] + `]}`,
		"the public key and another":                 `{"keys":[` + key + `,` + key + `]}`,
		"something under the kid that is not base64": `{"keys":[{"kty":"RSA","e":"AQAB","kid":"abc","n":"A"}]}`,
		"no key":   `{"keys":[]}`,
		"no set":   `x`,
		"an entry": `{"keys":[1]}`,
	} {
		set, _ := Parse([]byte(doc))
		if kind, uri, ok := Placeholder(set); ok || kind != "" || uri != "" {
			t.Errorf("%s is %s with %q", name, kind, uri)
		}
	}
	if got := PlaceholderDocument("x", ""); got != nil {
		t.Errorf("an unknown kind has the document %s", got)
	}
}

func TestEveryTokenFailsWithAPlaceholder(t *testing.T) {
	good := token(t, mint.RSA(), `{"alg":"RS256","kid":"a"}`)
	other := token(t, mint.P256(), `{"alg":"ES256"}`)
	for _, c := range []struct {
		kind, uri string
		usable    jwt.Status
		answers   [2]jwt.Status
	}{
		{PlaceholderPublicOnly, "", jwt.OK, [2]jwt.Status{jwt.VerificationFails, jwt.VerificationFails}},
		{PlaceholderForgeable, "", jwt.OK, [2]jwt.Status{jwt.VerificationFails, jwt.VerificationFails}},
		// The proxy takes the old ones or not by the length and the last bits of the URI.
		{PlaceholderEncoded, "", jwt.JwksRSAParse, [2]jwt.Status{}},
		{PlaceholderEncoded, "https://login.example.com/realms/r/protocol/openid-connect/certs", jwt.OK, [2]jwt.Status{jwt.JwksNoMatchingKey, jwt.VerificationFails}},
		{PlaceholderEncoded, "https://login.example.com/realms/r/jwks.json", jwt.JwksRSAParse, [2]jwt.Status{}},
	} {
		set, status := Parse(PlaceholderDocument(c.kind, c.uri))
		if status != c.usable {
			t.Errorf("%s of %q: %v, want %v", c.kind, c.uri, status, c.usable)
		}
		if status != jwt.OK {
			continue
		}
		if got := [2]jwt.Status{set.Verify(good), set.Verify(other)}; got != c.answers {
			t.Errorf("%s of %q: %v, want %v", c.kind, c.uri, got, c.answers)
		}
	}
}
