package probe

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// keysOfEachKind are private keys as files have them, with the public half as a JWKS.
func keysOfEachKind(t *testing.T) map[string]struct{ file, jwks, alg string } {
	t.Helper()
	out := map[string]struct{ file, jwks, alg string }{}
	pkcs8 := func(key crypto.PrivateKey) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	const bits = 2048
	r, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	n, e := b64(r.N.Bytes()), b64(big.NewInt(int64(r.E)).Bytes())
	public := fmt.Sprintf(`{"keys":[{"kty":"RSA","n":%q,"e":%q}]}`, n, e)
	private := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q,"d":%q,"p":%q,"q":%q}`, n, e, b64(r.D.Bytes()), b64(r.Primes[0].Bytes()), b64(r.Primes[1].Bytes()))
	out["RSA, PKCS #8"] = struct{ file, jwks, alg string }{pkcs8(r), public, "RS256"}
	out["RSA, PKCS #1"] = struct{ file, jwks, alg string }{string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)})), public, "PS384"}
	out["RSA, JWK"] = struct{ file, jwks, alg string }{private, public, "RS512"}
	for _, c := range []struct {
		curve elliptic.Curve
		alg   string
	}{{elliptic.P256(), "ES256"}, {elliptic.P384(), "ES384"}, {elliptic.P521(), "ES512"}} {
		k, err := ecdsa.GenerateKey(c.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		d, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		size := (len(point) - 1) / 2
		name := c.curve.Params().Name
		public := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":%q,"x":%q,"y":%q}]}`, name, b64(point[1:1+size]), b64(point[1+size:]))
		sec1, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		out[name+", SEC 1"] = struct{ file, jwks, alg string }{string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})), public, c.alg}
		out[name+", JWK"] = struct{ file, jwks, alg string }{fmt.Sprintf(`{"kty":"EC","crv":%q,"d":%q}`, name, b64(d)), public, c.alg}
	}
	pub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, b64(pub))
	out["Ed25519, PKCS #8"] = struct{ file, jwks, alg string }{pkcs8(ed), edPublic, "EdDSA"}
	out["Ed25519, JWK"] = struct{ file, jwks, alg string }{fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","d":%q}`, b64(ed.Seed())), edPublic, "EdDSA"}
	secret := b64([]byte("0123456789abcdef0123456789abcdef"))
	out["a secret"] = struct{ file, jwks, alg string }{fmt.Sprintf(`{"kty":"oct","k":%q}`, secret), fmt.Sprintf(`{"keys":[{"kty":"oct","k":%q}]}`, secret), "HS256"}
	return out
}

// The proxy's own reading says whether a token that was made is what it is meant to be.
func TestAnExpiredTokenIsGoodInEverythingButItsTime(t *testing.T) {
	const now = 1_800_000_000
	for name, k := range keysOfEachKind(t) {
		t.Run(name, func(t *testing.T) {
			key, err := ParseSigningKey([]byte(k.file))
			if err != nil {
				t.Fatal(err)
			}
			token := b64([]byte(`{"alg":"`+k.alg+`"}`)) + "." + b64([]byte(`{"iss":"i","sub":"s","exp":1900000000,"iat":1799999999,"nbf":1799999999,"aud":["a"]}`)) + "." + b64([]byte("x"))
			expired, err := key.Expire(token, now, 3600)
			if err != nil {
				t.Fatal(err)
			}
			parsed, status := jwt.Parse(expired)
			if status != jwt.OK || parsed.Issuer != "i" || parsed.Expires != now-3600 || parsed.VerifyTime(now) != jwt.Expired || parsed.VerifyTime(now-3600-30) != jwt.OK {
				t.Fatalf("%v %v", status, parsed)
			}
			set, status := jwks.Parse([]byte(k.jwks))
			if status != jwt.OK {
				t.Fatal(status)
			}
			if got := set.Verify(parsed); got != jwt.OK {
				t.Errorf("its signature: %v", got)
			}
			if text := fmt.Sprintf("%v %+v %#v", key, *key, key); strings.Contains(text, k.file) || len(text) > 200 {
				t.Errorf("a key prints as %s", text)
			}
		})
	}
}

func TestWhatIsNoPrivateKeyIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, text := range []string{"", "secret", "{", `{"kty":"RSA","n":"AQ","e":"AQAB"}`, `{"kty":"EC","crv":"P-224","d":"AQ"}`, `{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ","p":"AQ","q":"AQ"}`, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ParseSigningKey([]byte(text)); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	keys := keysOfEachKind(t)
	rsaKey, err := ParseSigningKey([]byte(keys["RSA, JWK"].file))
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(map[string]string{"iss": "secret-issuer"})
	for _, token := range []string{"opaque", "a.b.c", b64([]byte(`{"alg":"ES256"}`)) + "." + b64(payload) + ".x", b64([]byte(`{}`)) + "." + b64(payload) + ".x", b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(`null`)) + ".x"} {
		if out, err := rsaKey.Expire(token, 1, 1); err == nil || out != "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", token, err)
		}
	}
}
