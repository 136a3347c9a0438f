package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// jwk is a key of package mint as an entry of a set, with members changed; nil takes
// one away.
func jwk(name string, members ...any) map[string]any {
	key, ok := mint.Lookup(name)
	if !ok {
		panic("no key " + name)
	}
	out := maps.Clone(key.JWK())
	for i := 0; i+1 < len(members); i += 2 {
		if out[members[i].(string)] = members[i+1]; members[i+1] == nil {
			delete(out, members[i].(string))
		}
	}
	return out
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings
	}
	return string(text)
}

func keySetOf(names ...string) string {
	var keys []any
	for _, n := range names {
		keys = append(keys, jwk(n))
	}
	return asJSON(map[string]any{"keys": keys})
}

// inlined is a RequestAuthentication with that document.
func inlined(doc string) string {
	return object("security.istio.io/v1", "RequestAuthentication", "r", asJSON(map[string]any{"jwtRules": []any{map[string]any{"issuer": "i", "jwks": doc}}}))
}

// signed is a token of a key.
func signed(key, alg, header string) judge.Token {
	return judge.Token{Key: key, Alg: alg, Header: `{"alg":"` + alg + `"` + header + `}`, Payload: `{"iss":"i","sub":"s"}`}
}

// jwksEdges are key sets, as documents and as keys.
func jwksEdges() []edge {
	var out []edge
	add := func(name, doc string, tokens ...judge.Token) {
		mesh := web(inlined(doc), policy("{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}"))
		for i, t := range tokens {
			out = append(out, edge{name: fmt.Sprintf("key set %s, token %d", name, i), mesh: mesh, req: withToken(t, "", "Authorization", "Bearer {token:0}")})
		}
	}
	one := func(name string, key any, tokens ...judge.Token) {
		add(name, asJSON(map[string]any{"keys": []any{key}}), tokens...)
	}
	rsa := signed("rsa-a", "RS256", "")
	a, whole := asJSON(jwk("rsa-a")), keySetOf("rsa-a")
	for _, doc := range []string{
		whole, " " + whole + "\n", "\xef\xbb\xbf" + whole, whole + ",", whole + whole, "[" + a + "]", a, `{"keys":` + a + `}`, `{"Keys":[` + a + `]}`, `{"keys":[` + a + `],}`, `{"keys":[` + a + `,]}`, `{keys:[` + a + `]}`, `{'keys':[` + a + `]}`,
		`{"keys":[],"x":[` + a + `]}`, `{"keys":null}`, `{"keys":[null,` + a + `]}`, `{"keys":["x",1,[],` + a + `]}`, `{"keys":[[` + a + `]]}`, `{"keys":[` + a + `],"keys":[]}`, `{"keys":[` + a + `,` + a + `]}`, `{"keys":[{"kty":"RSA","kty":"RSA"},` + a + `]}`,
		`{"keys":[` + a + `],"a":{"b":1,"b":2}}`, `{"k\u0065ys":[` + a + `]}`, `{"keys":[{"kty":"RSA"}],"a":1e999}`, `/*x*/` + whole, "null", "true", `""`, "x", " ", "\n", `{"keys":[{}]}`, `{"keys":[{},` + a + `]}`, `{"a":"b"}`, `{"":"x"}`,
		`{"keys":[` + strings.Repeat("[", 98) + strings.Repeat("]", 98) + `,` + a + `]}`, `{"keys":[` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `,` + a + `]}`, `{"keys":[` + strings.Repeat(a+",", 60) + a + `]}`,
	} {
		add(fmt.Sprintf("%.60q of %d bytes", strings.ReplaceAll(doc, a, "KEY"), len(doc)), doc, rsa, signed("rsa-b", "RS256", ""))
	}
	// Members of an RSA key.
	n := jwk("rsa-a")["n"].(string)
	raw, err := base64.RawURLEncoding.DecodeString(n)
	if err != nil {
		panic(err) // a fixed key
	}
	all := func(key string, algs ...string) (tokens []judge.Token) {
		for _, alg := range algs {
			tokens = append(tokens, signed(key, alg, ""), signed(key, alg, `,"kid":"a"`))
		}
		return tokens
	}
	algs := []string{"RS256", "PS256", "RS512", "HS256", "ES256", "EdDSA"}
	certificate, _ := mint.Lookup("rsa-a")
	x5c := strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "", "\n", "").Replace(certificate.Certificate())
	for name, key := range map[string]any{
		"with leading zeros in n": jwk("rsa-a", "n", base64.RawURLEncoding.EncodeToString(append([]byte{0, 0}, raw...))), "with leading zeros in e": jwk("rsa-a", "e", "AAAAAQAB"), "with padded e": jwk("rsa-a", "e", "AQAB===="),
		"with padded n": jwk("rsa-a", "n", n+"=="), "with half padded n": jwk("rsa-a", "n", n+"="), "with blanks in n": jwk("rsa-a", "n", n[:9]+" \n"+n[9:]), "with plain base64": jwk("rsa-a", "n", base64.RawStdEncoding.EncodeToString(raw)),
		"with a number as e": jwk("rsa-a", "e", 65537), "with e of 3": jwk("rsa-a", "e", "Aw"), "with e of 1": jwk("rsa-a", "e", "AQ"), "with e of 5": jwk("rsa-a", "e", "BQ"), "with an empty n": jwk("rsa-a", "n", ""), "with an empty e": jwk("rsa-a", "e", ""),
		"with an even n": jwk("rsa-a", "n", base64.RawURLEncoding.EncodeToString(append(raw[:len(raw)-1:len(raw)-1], 2))), "with x5c alone": jwk("rsa-a", "n", nil, "e", nil, "x5c", []string{x5c}), "with x5c of another": jwk("rsa-a", "x5c", []string{"AAAA"}),
		"with use enc": jwk("rsa-a", "use", "enc"), "with key_ops": jwk("rsa-a", "key_ops", []string{"encrypt"}), "with an alg of RS": jwk("rsa-a", "alg", "RS"), "with an alg of R": jwk("rsa-a", "alg", "R"), "with an alg of RSA-OAEP": jwk("rsa-a", "alg", "RSA-OAEP"), "with an alg of RSxyz": jwk("rsa-a", "alg", "RSxyz"),
		"with alg PS256": jwk("rsa-a", "alg", "PS256"), "with an alg in lower case": jwk("rsa-a", "alg", "rs256"), "with an empty alg": jwk("rsa-a", "alg", ""), "with kty in lower case": jwk("rsa-a", "kty", "rsa"), "with an empty kid": jwk("rsa-a", "kid", ""), "with a kid of blanks": jwk("rsa-a", "kid", " "),
		"with a number as kid": jwk("rsa-a", "kid", 1), "with another kid": jwk("rsa-a", "kid", "b"), "with the kid in upper case": jwk("rsa-a", "kid", "A"), "with the private half": jwk("rsa-a", "d", "AQAB"), "of 512 bits": jwk("rsa-512"), "of 16384 bits": jwk("rsa-a", "n", odd(2048)), "of 16392 bits": jwk("rsa-a", "n", odd(2049)), "of 8200 bits": jwk("rsa-a", "n", odd(1025)),
		"of 504 bits": jwk("rsa-a", "n", odd(63)),
	} {
		one("RSA "+name, key, all("rsa-a", algs...)...)
	}
	for name, key := range map[string]any{
		"with another alg": jwk("p256-a", "alg", "ES384"), "with alg and no crv": jwk("p256-a", "alg", "ES256", "crv", nil), "without alg and crv": jwk("p256-a", "crv", nil), "with an empty crv": jwk("p256-a", "crv", ""), "with a crv in lower case": jwk("p256-a", "crv", "p-256"), "with a number as crv": jwk("p256-a", "crv", 256),
		"with leading zeros": jwk("p256-a", "x", "AAA"+jwk("p256-a")["x"].(string)), "off the curve": jwk("p256-a", "y", jwk("p256-b")["y"]), "with x and y swapped": jwk("p256-a", "x", jwk("p256-a")["y"], "y", jwk("p256-a")["x"]), "with zero x": jwk("p256-a", "x", "AA"), "without y": jwk("p256-a", "y", nil), "with an empty y": jwk("p256-a", "y", ""),
		"with an alg of ES256K": jwk("p256-a", "alg", "ES256K"), "with an alg of ES": jwk("p256-a", "alg", "ES", "crv", nil), "with alg ES256K and no crv": jwk("p256-a", "alg", "ES256K", "crv", nil), "of secp256k1": jwk("p256-a", "crv", "secp256k1"), "with crv P-384": jwk("p256-a", "crv", "P-384"), "plain": jwk("p256-a"),
	} {
		one("EC "+name, key, all("p256-a", "ES256", "ES384", "ES512", "HS256", "EdDSA")...)
	}
	one("EC P-384", jwk("p384-a"), all("p384-a", "ES256", "ES384", "ES512")...)
	one("EC P-521", jwk("p521-a"), all("p521-a", "ES256", "ES384", "ES512")...)
	one("EC P-521 with alg", jwk("p521-a", "alg", "ES512"), all("p521-a", "ES256", "ES512")...)
	for name, key := range map[string]any{
		"plain": jwk("ed25519-a"), "with alg": jwk("ed25519-a", "alg", "EdDSA"), "with alg Ed25519": jwk("ed25519-a", "alg", "Ed25519"), "with a crv in lower case": jwk("ed25519-a", "crv", "ed25519"), "with a padded x": jwk("ed25519-a", "x", jwk("ed25519-a")["x"].(string)+"="), "with a longer x": jwk("ed25519-a", "x", jwk("ed25519-a")["x"].(string)+"AAAA"),
		"of zeros": jwk("ed25519-a", "x", strings.Repeat("A", 43)), "with kty EC": jwk("ed25519-a", "kty", "EC"),
	} {
		one("OKP "+name, key, append(all("ed25519-a", "EdDSA", "RS256", "HS256"), judge.Token{Key: "ed25519-a", Alg: "EdDSA", Header: `{"alg":"EdDSA"}`, Payload: `{"iss":"i","sub":"s"}`, Form: "{h}.{p}.{s}AAAA"})...)
	}
	for name, key := range map[string]any{
		"plain": jwk("oct-a"), "with alg HS512": jwk("oct-a", "alg", "HS512"), "with padding": jwk("oct-a", "k", jwk("oct-a")["k"].(string)+"="), "with an alg of A256KW": jwk("oct-a", "alg", "A256KW"), "with an empty alg": jwk("oct-a", "alg", ""), "with a secret of blanks": jwk("oct-a", "k", "  "), "with kty OCT": jwk("oct-a", "kty", "OCT"),
	} {
		one("oct "+name, key, all("oct-a", "HS256", "HS384", "HS512", "RS256", "ES256")...)
	}
	// The order of keys, and what a kid chooses.
	for name, keys := range map[string][]any{
		"Ed25519 first": {jwk("ed25519-a"), jwk("rsa-a")}, "Ed25519 last": {jwk("rsa-a"), jwk("ed25519-a")}, "two kids": {jwk("rsa-b", "kid", "b"), jwk("rsa-a", "kid", "a")}, "the same kid": {jwk("rsa-b", "kid", "a"), jwk("rsa-a", "kid", "a")}, "a dropped one first": {jwk("rsa-a", "e", "AQ", "kid", "a"), jwk("rsa-a", "kid", "b")},
		"algs": {jwk("rsa-a", "alg", "RS512"), jwk("rsa-b", "alg", "RS256"), jwk("oct-a")}, "Ed25519 with alg first": {jwk("ed25519-a", "alg", "EdDSA"), jwk("rsa-a")}, "Ed25519 with another kid": {jwk("ed25519-a", "kid", "z"), jwk("rsa-a")}, "a secret first": {jwk("oct-a"), jwk("p256-a"), jwk("rsa-a")},
	} {
		add(name, asJSON(map[string]any{"keys": keys}), append(append(all("rsa-a", "RS256", "RS512", "PS384"), all("ed25519-a", "EdDSA")...), all("rsa-b", "RS256")...)...)
	}
	return out
}

// odd is an odd number of so many bytes, the highest bit of which is set.
func odd(size int) string {
	n := make([]byte, size)
	n[0], n[size-1] = 0x80, 1
	return base64.RawURLEncoding.EncodeToString(n)
}
