package jwks

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// The answers in this file are those of Envoy 1.40.0 to the same documents.

// edit is a JWK with members replaced, or removed where the value is nil.
func edit(k mint.Key, changes ...any) map[string]any {
	jwk := k.JWK()
	for i := 0; i < len(changes); i += 2 {
		name := changes[i].(string)
		if jwk[name] = changes[i+1]; changes[i+1] == nil {
			delete(jwk, name)
		}
	}
	return jwk
}

type null struct{}

// MarshalJSON writes null, since edit takes nil as a removal.
func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func TestADocumentIsASetOrHasAReason(t *testing.T) {
	good := string(mint.JWKS(mint.RSA()))
	for _, c := range []struct {
		name, doc string
		want      jwt.Status
	}{
		{"one good key", good, jwt.OK},
		{"the dialect counts", "{keys:" + good[len(`{"keys":`):len(good)-1] + ",}", jwt.OK},
		{"other members do not matter", `{"x":1,` + good[1:], jwt.OK},
		{"nothing", "", jwt.JwksParse},
		{"a page", "<html></html>", jwt.JwksParse},
		{"a list", "[]", jwt.JwksParse},
		{"a repeated member", `{"keys":[],` + good[1:], jwt.JwksParse},
		{"a repeated member in a key", `{"keys":[{"kty":"oct","kty":"oct","k":"AA"}]}`, jwt.JwksParse},
		{"text after the document", good + "x", jwt.JwksParse},
		{"a PEM public key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", jwt.JwksParse},
		{"null has no keys", "null", jwt.JwksNoKeys},
		{"no keys member", `{}`, jwt.JwksNoKeys},
		{"the name's case counts", `{"Keys":[]}`, jwt.JwksNoKeys},
		{"keys is an object", `{"keys":{}}`, jwt.JwksBadKeys},
		{"keys is null", `{"keys":null}`, jwt.JwksBadKeys},
		{"keys is a string", `{"keys":"x"}`, jwt.JwksBadKeys},
		{"no key", `{"keys":[]}`, jwt.JwksNoValidKeys},
		{"no entry is an object", `{"keys":[1,null,"x",[]]}`, jwt.JwksNoValidKeys},
		{"the first bad key gives the reason", `{"keys":[{"kty":"X"},{"kty":1}]}`, jwt.JwksKtyNotImplemented},
		{"a bad key before a good one", `{"keys":[{"kty":"X"},` + good[len(`{"keys":[`):], jwt.OK},
		{"a bad key after a good one", good[:len(good)-2] + `,{"kty":"X"}]}`, jwt.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, got := Parse([]byte(c.doc))
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if set == nil || (len(set.Keys) > 0) != (got == jwt.OK) {
				t.Errorf("set %+v with %v", set, got)
			}
		})
	}
}

func TestAKeyIsUsableOrHasAReason(t *testing.T) {
	rsa, ec, oct, okp := mint.RSA(), mint.P256(), mint.Oct("secret"), mint.Ed25519()
	n := rsa.JWK()["n"].(string)
	x := ec.JWK()["x"].(string)
	for _, c := range []struct {
		name string
		jwk  map[string]any
		want jwt.Status
	}{
		{"kty is missing", edit(rsa, "kty", nil), jwt.JwksMissingKty},
		{"kty is no string", edit(rsa, "kty", 1), jwt.JwksBadKty},
		{"kty is null", edit(rsa, "kty", null{}), jwt.JwksBadKty},
		{"kty in the wrong case", edit(rsa, "kty", "rsa"), jwt.JwksKtyNotImplemented},
		{"use, key_ops, x5c and x5t do not count", edit(rsa, "use", "enc", "key_ops", []string{}, "x5c", 1, "x5t", 2), jwt.OK},
		{"kid and alg of another type are absent", edit(rsa, "kid", 1, "alg", []int{}), jwt.OK},

		{"RSA for PSS", edit(rsa, "alg", "PS512"), jwt.OK},
		{"RSA with an alg that only begins right", edit(rsa, "alg", "RSX"), jwt.OK},
		{"RSA with another alg", edit(rsa, "alg", "ES256"), jwt.JwksRSABadAlg},
		{"RSA with an alg of one letter", edit(rsa, "alg", "R"), jwt.JwksRSABadAlg},
		{"RSA without n", edit(rsa, "n", nil), jwt.JwksRSAMissingN},
		{"RSA with just x5c", edit(rsa, "n", nil, "e", nil, "x5c", []string{"x"}), jwt.JwksRSAMissingN},
		{"RSA with n a number", edit(rsa, "n", 1), jwt.JwksRSABadN},
		{"RSA without e", edit(rsa, "e", nil), jwt.JwksRSAMissingE},
		{"RSA with e a number", edit(rsa, "e", 65537), jwt.JwksRSABadE},
		{"RSA with e 3", edit(rsa, "e", "Aw"), jwt.OK},
		{"RSA with e 17", edit(rsa, "e", "EQ"), jwt.JwksRSAParse},
		{"RSA with e 1", edit(rsa, "e", "AQ"), jwt.JwksRSAParse},
		{"RSA with an empty e", edit(rsa, "e", ""), jwt.JwksRSAParse},
		{"RSA with an e of two words and a low word of 65537", edit(rsa, "e", "AQAAAAAAAQAB"), jwt.JwksRSAParse},
		{"RSA with zeros before e", edit(rsa, "e", "AAEAAQ"), jwt.OK},
		{"RSA with padding after n", edit(rsa, "n", n+"=="), jwt.OK},
		{"RSA with dots after n", edit(rsa, "n", n+".."), jwt.OK},
		{"RSA with too much padding after n", edit(rsa, "n", n+"==="), jwt.JwksRSAParse},
		{"RSA with n in the other alphabet", edit(rsa, "n", strings.NewReplacer("-", "+", "_", "/").Replace(n)), jwt.JwksRSAParse},
		{"RSA with an empty n", edit(rsa, "n", ""), jwt.JwksRSAParse},

		{"EC without alg or crv is P-256", edit(ec, "crv", nil), jwt.OK},
		{"EC with an empty crv", edit(ec, "crv", ""), jwt.OK},
		{"EC with alg alone", edit(ec, "crv", nil, "alg", "ES256"), jwt.OK},
		{"EC with both", edit(ec, "alg", "ES256"), jwt.OK},
		{"EC with alg and crv that differ", edit(ec, "alg", "ES384"), jwt.JwksECAlgCrvMismatch},
		{"EC with an unknown alg and a crv", edit(ec, "alg", "ES"), jwt.JwksECAlgCrvMismatch},
		{"EC with an unknown alg alone", edit(ec, "crv", nil, "alg", "ES256K"), jwt.JwksECUnsupported},
		{"EC with an unknown crv", edit(ec, "crv", "secp256k1"), jwt.JwksECUnsupported},
		{"EC with another family's alg", edit(ec, "alg", "RS256"), jwt.JwksECBadAlg},
		{"EC with crv a number", edit(ec, "crv", 1), jwt.JwksECBadCrv},
		{"EC with crv null", edit(ec, "crv", null{}), jwt.JwksECBadCrv},
		{"EC without x", edit(ec, "x", nil), jwt.JwksECMissingX},
		{"EC with x a number", edit(ec, "x", 1), jwt.JwksECBadX},
		{"EC without y", edit(ec, "y", nil), jwt.JwksECMissingY},
		{"EC with y a number", edit(ec, "y", 1), jwt.JwksECBadY},
		{"EC with x that is no base64", edit(ec, "x", "A"), jwt.JwksECBadBase64},
		{"EC with y that is no base64", edit(ec, "y", "!!"), jwt.JwksECBadBase64},
		{"EC with a point beside the curve", edit(ec, "y", x), jwt.JwksECParse},
		{"EC with the point zero", edit(ec, "x", "AA", "y", "AA"), jwt.JwksECParse},
		{"EC with empty coordinates", edit(ec, "x", "", "y", ""), jwt.JwksECParse},
		{"EC with zeros before x", edit(ec, "x", prefixed(x, 0, 0)), jwt.OK},
		{"EC with an x that is too long", edit(ec, "x", prefixed(x, 1)), jwt.JwksECParse},
		{"EC with an x beyond the field", edit(ec, "x", shifted(x)), jwt.JwksECParse},
		{"EC on P-384 that says so", edit(mint.P384()), jwt.OK},
		{"EC on P-384 by its alg", edit(mint.P384(), "crv", nil, "alg", "ES384"), jwt.OK},
		{"EC on P-384 that says nothing", edit(mint.P384(), "crv", nil), jwt.JwksECParse},
		{"EC on P-521 by its alg", edit(mint.P521(), "crv", nil, "alg", "ES512"), jwt.OK},

		{"oct with its alg", edit(oct, "alg", "HS384"), jwt.OK},
		{"oct with an alg that only begins right", edit(oct, "alg", "HS1"), jwt.JwksOctBadAlg},
		{"oct without k", edit(oct, "k", nil), jwt.JwksOctMissingK},
		{"oct with k a number", edit(oct, "k", 1), jwt.JwksOctBadK},
		{"oct with an empty k", edit(oct, "k", ""), jwt.JwksOctBadBase64},
		{"oct with a k of blanks", edit(oct, "k", " "), jwt.JwksOctBadBase64},
		{"oct with k in the other alphabet", edit(oct, "k", "+/"), jwt.JwksOctBadBase64},

		{"OKP with its alg", edit(okp, "alg", "EdDSA"), jwt.OK},
		{"OKP with another alg", edit(okp, "alg", "ES256"), jwt.JwksOKPBadAlg},
		{"OKP without crv", edit(okp, "crv", nil), jwt.JwksOKPMissingCrv},
		{"OKP with crv a number", edit(okp, "crv", 1), jwt.JwksOKPBadCrv},
		{"OKP for key agreement", edit(okp, "crv", "X25519"), jwt.JwksOKPUnsupported},
		{"OKP of the longer curve", edit(okp, "crv", "Ed448"), jwt.JwksOKPUnsupported},
		{"OKP without x", edit(okp, "x", nil), jwt.JwksOKPMissingX},
		{"OKP with x a number", edit(okp, "x", 1), jwt.JwksOKPBadX},
		{"OKP with x that is no base64", edit(okp, "x", "A"), jwt.JwksOKPBadBase64},
		{"OKP with a short x", edit(okp, "x", "AA"), jwt.JwksOKPWrongLength},
		{"OKP with any 32 bytes", edit(okp, "x", x), jwt.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, got := Parse(mint.Document(c.jwk))
			if got != c.want {
				t.Fatalf("%v, want %v", got, c.want)
			}
			if got != jwt.OK && !slices.Equal(set.Dropped, []Dropped{{Reason: got}}) {
				t.Errorf("dropped %v", set.Dropped)
			}
		})
	}
}

// prefixed is the number with bytes put before it.
func prefixed(number string, before ...byte) string {
	raw, _ := base64.RawURLEncoding.DecodeString(number)
	return base64.RawURLEncoding.EncodeToString(append(before, raw...))
}

// shifted is the coordinate plus the field's prime of P-256.
func shifted(number string) string {
	raw, _ := base64.RawURLEncoding.DecodeString(number)
	p, _ := new(big.Int).SetString("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
	return base64.RawURLEncoding.EncodeToString(p.Add(p, new(big.Int).SetBytes(raw)).Bytes())
}

func TestTheModulusHasLimits(t *testing.T) {
	for bits, want := range map[int]jwt.Status{
		256: jwt.JwksRSAParse, 511: jwt.JwksRSAParse, 512: jwt.OK, 1023: jwt.OK, 1024: jwt.OK, 8193: jwt.OK, 16384: jwt.OK, 16385: jwt.JwksRSAParse,
	} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		odd := base64.RawURLEncoding.EncodeToString(new(big.Int).Add(n, big.NewInt(1)).Bytes())
		set, got := Parse(mint.Document(edit(mint.RSA(), "n", odd)))
		if got != want {
			t.Errorf("%d bits: %v, want %v", bits, got, want)
		}
		if got == jwt.OK && set.Keys[0].Bits() != bits {
			t.Errorf("%d bits: %d", bits, set.Keys[0].Bits())
		}
		even := base64.RawURLEncoding.EncodeToString(n.Bytes())
		if _, got := Parse(mint.Document(edit(mint.RSA(), "n", even))); got != jwt.JwksRSAParse {
			t.Errorf("%d bits and even: %v", bits, got)
		}
	}
}

func TestASetRemembersPlacesAndNames(t *testing.T) {
	set, status := Parse(mint.Document(
		edit(mint.RSA(), "kid", "a", "alg", "RS256"), edit(mint.RSA(), "kid", "bad", "e", "EQ"), edit(mint.P384(), "kid", "c"),
		edit(mint.P521(), "crv", nil, "alg", "ES512"), edit(mint.Ed25519()), edit(mint.Oct("secret"), "kid", "o"),
	))
	if status != jwt.OK {
		t.Fatal(status)
	}
	var got []string
	for _, k := range set.Keys {
		got = append(got, fmt.Sprintf("%d %q %q %s %s %d", k.Index, k.Kid, k.Alg, k.Kty, k.Crv, k.Bits()))
	}
	want := []string{
		`0 "a" "RS256" RSA  2048`, `2 "c" "" EC P-384 384`, `3 "" "ES512" EC P-521 521`, `4 "" "" OKP Ed25519 256`, `5 "o" "" oct  48`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
	if !slices.Equal(set.Dropped, []Dropped{{1, "bad", jwt.JwksRSAParse}}) {
		t.Errorf("dropped %v", set.Dropped)
	}

	set, _ = Parse([]byte(`{"keys":[1,` + string(mint.JWKS(mint.RSA()))[len(`{"keys":[`):]))
	if !slices.Equal(set.Ignored, []int{0}) || set.Keys[0].Index != 1 {
		t.Errorf("ignored %v, keys %v", set.Ignored, set.Keys)
	}
}

func TestAKeyNeverPrintsItsSecret(t *testing.T) {
	set, status := Parse(mint.JWKS(mint.Oct("canary-canary")))
	if status != jwt.OK {
		t.Fatal(status)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out := fmt.Sprintf(verb, set) + fmt.Sprintf(verb, *set) + fmt.Sprintf(verb, set.Keys[0])
		for _, secret := range []string{"canary", fmt.Sprintf("%x", "canary"), strings.Trim(fmt.Sprintf("%d", []byte("canary")), "[]")} {
			if strings.Contains(out, secret) {
				t.Errorf("%s shows the secret", verb)
			}
		}
	}
}

func TestAnAlgorithmFitsAKeyOrNot(t *testing.T) {
	for _, k := range []mint.Key{mint.RSA(), mint.P256(), mint.P384(), mint.P521(), mint.Ed25519(), mint.Oct("secret")} {
		set, _ := Parse(mint.JWKS(k))
		for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "EdDSA"} {
			if got, want := set.Keys[0].Fits(alg), slices.Contains(k.Algorithms(), alg); got != want {
				t.Errorf("%s fits %s %s: %v", alg, set.Keys[0].Kty, set.Keys[0].Crv, got)
			}
		}
	}
	if (Key{}).Fits("RS256") || (Key{}).Bits() != 0 {
		t.Error("no key at all fits")
	}
}
