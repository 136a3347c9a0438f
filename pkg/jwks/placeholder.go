package jwks

import (
	"encoding/base64"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// The kinds of set that istiod pushes when it could not fetch the real one
// (Istio pilot/pkg/model/jwks_resolver.go:BuildLocalJwks, by release).
const (
	// PlaceholderPlain is of Istio 1.14 and older: kid abc, and a modulus that is
	// a text, not base64url.
	PlaceholderPlain = "fetch-failed-text"
	// PlaceholderEncoded is of Istio 1.15 to 1.20: the same text in base64url.
	PlaceholderEncoded = "fetch-failed-encoded"
	// PlaceholderForgeable is of Istio 1.21.0 to 1.27.7, 1.28.0 to 1.28.4 and
	// 1.29.0: one key whose private half was published with the source.
	PlaceholderForgeable = "forgeable"
	// PlaceholderPublicOnly is of Istio 1.27.8, 1.28.5, 1.29.1, 1.30 and newer: one
	// key whose private half nobody has.
	PlaceholderPublicOnly = "public-only"
)

// failedText begins the modulus of the oldest placeholders; the URI that istiod
// tried follows.
const failedText = "Error-IstiodFailedToFetchJwksUri-"

// The moduli of Istio's FakeJwks and PublicOnlyJwks (pilot/pkg/model/jwks_resolver.go).
const (
	forgeableModulus = "vqS7RN4b34i3_5YyhygtBe33gI6GK_0ldW8WMZaunS28T-WAzJOAoZ7E9Y0mHS8vcDES0eZIUpp6Ft9sRPhOlzQfo_7l-3DnaD9LxJVKdXjE" +
		"1jugxfI9YX1qJpD9S9wRZxQIhPky9UzZDkpFh_KpL6pZUt4cbPtW0VCctjqvpI11yHNk4CEbzw-RRFLMJkLFJqgPa2JPzGZ-TqJdkSDQ7UtRiKzjRcWGnA" +
		"dLsTq6WabDA1Fn1JVI9TWu-YDbLufDUDco46qyPgpxAqcRQG39cWZAQzMwNEZ-Yec_WiqDYqGTU6K8BBWeEIuMhiWfxGmtqX35rb9Qk_qeYDsqqT95Pw"
	publicOnlyModulus = "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet-EzQB4dgFdvSdMgrLnSncQGRjpEYz3F3viIbH-3EN3TxSlPNviHxeOdy" +
		"iBVfumN8dMxbLvVJUpfNOnvmMxJcl-8NNjAwcOjk4otSALaYgYYyOPyvKtgVdrQr-FoubWX4yrjxW-MJ2-7OBeepUUNOsVwGV23YX03sVkkyvY3otRflkB" +
		"cY3_HKpBxJl9wk2GyOShN4_PNUF9-vwfnvOXMbCDX-w4PTef4geeb_GiT40YCKHTKMSPVanGRn5GExIWmki-mmqh94-mPTJyBR74ShspL3BxPZitDL574T1w"
)

// PlaceholderDocument is the key set of the given kind. The uri is what istiod
// tried; only the two oldest kinds hold it. An unknown kind has no document.
func PlaceholderDocument(kind, uri string) []byte {
	kid, n := `"kid":"abc",`, ""
	switch kind {
	case PlaceholderPlain:
		n = failedText + base64.RawURLEncoding.EncodeToString([]byte(uri))
	case PlaceholderEncoded:
		n = base64.RawURLEncoding.EncodeToString([]byte(failedText + uri))
	case PlaceholderForgeable:
		kid, n = "", forgeableModulus
	case PlaceholderPublicOnly:
		kid, n = "", publicOnlyModulus
	default:
		return nil
	}
	return []byte(`{"keys":[{"e":"AQAB",` + kid + `"kty":"RSA","n":"` + n + `"}]}`)
}

// PublicOnlyPlaceholder is the document that istiod pushes since 1.30 (and in the
// releases that PlaceholderPublicOnly names) when a fetch failed: a public key,
// without kid or alg, of which nobody has the private half (Istio
// pilot/pkg/model/jwks_resolver.go:PublicOnlyJwks).
func PublicOnlyPlaceholder() []byte { return PlaceholderDocument(PlaceholderPublicOnly, "") }

// Placeholder tells whether the set is one that istiod pushed since it could not
// fetch the real one, which kind, and the URI that it tried, where the set says
// so. It works for sets that the proxy refuses too.
func Placeholder(set *Set) (kind, uri string, ok bool) {
	return set.placeholderKind, set.placeholderURI, set.placeholderKind != ""
}

// recognise fills in what Placeholder tells.
func (s *Set) recognise(keys []jwt.Value) {
	if len(keys) != 1 {
		return
	}
	kid, n := optional(keys[0], "kid"), optional(keys[0], "n")
	switch {
	case kid == "" && n == publicOnlyModulus:
		s.placeholderKind = PlaceholderPublicOnly
	case kid == "" && n == forgeableModulus:
		s.placeholderKind = PlaceholderForgeable
	case kid == "abc" && strings.HasPrefix(n, failedText):
		s.placeholderKind = PlaceholderPlain
		s.placeholderURI = decodedURI(n[len(failedText):])
	case kid == "abc":
		if text, ok := jwt.DecodeBase64URL(n); ok && strings.HasPrefix(string(text), failedText) {
			s.placeholderKind = PlaceholderEncoded
			s.placeholderURI = string(text[len(failedText):])
		}
	}
}

// decodedURI undoes base64, with either alphabet and with or without padding.
func decodedURI(text string) string {
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	uri, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(uri)
}
