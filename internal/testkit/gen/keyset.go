package gen

import (
	"encoding/json"
	"strings"
	"sync"
)

// useKey is a key of a set as tokens may use it.
type useKey struct {
	key      string // of package mint
	kid, alg string // as the set has them; "" if not, or not as a string
}

// algorithms are those that each key can do.
var algorithms = map[string][]string{
	"rsa": {"RS256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, "p256": {"ES256"}, "p384": {"ES384"}, "p521": {"ES512"},
	"ed25519": {"EdDSA"}, "oct": {"HS256", "HS384", "HS512"},
}

// family is the name of a key without its letter.
func family(key string) string {
	name, _, _ := strings.Cut(key, "-")
	return name
}

var (
	commonKeys = []string{"rsa-a", "rsa-a", "rsa-a", "rsa-b"}
	allKeys    = []string{"rsa-a", "rsa-b", "rsa-1024", "p256-a", "p256-b", "p384-a", "p521-a", "ed25519-a", "ed25519-b", "oct-a", "oct-b"}
	kids       = []string{"a", "a", "b", "k1"}
)

// keySet makes a key set and says which of its keys a proxy can use. A plain one
// is what most providers publish.
func (b *builder) keySet(plain bool) (text string, usable []useKey) {
	d := b.dice
	if plain {
		k := useKey{key: pick(d, commonKeys...), kid: pick(d, "a", "b", "")}
		return setText([]any{k.jwk()}), []useKey{k}
	}
	switch n := d.IntN(120); {
	case n == 0:
		d.tag("jwks/unusable")
		return pick(d, `{"keys":[]}`, `{}`, `not JSON`, `{"keys":{}}`, `{"keys":[{"kty":"RSA","kid":"a"}]}`, `{"keys":[],"keys":[]}`), nil
	case n < 8:
		d.tag("jwks/certificates")
		return certificates(), []useKey{{key: "rsa-a", kid: "a"}, {key: "rsa-b", kid: "b"}}
	}
	var entries []any
	for range pick(d, 1, 1, 1, 2, 2, 3, 4) {
		if len(usable) > 0 && d.percent(30) {
			entries = append(entries, b.droppedKey())
			continue
		}
		entry, k := b.goodKey()
		entries, usable = append(entries, entry), append(usable, k)
	}
	if d.percent(15) { // the first of a set may be one that is dropped
		entries = append([]any{b.droppedKey()}, entries...)
	}
	return setText(entries), usable
}

func setText(entries []any) string {
	text, err := json.Marshal(map[string]any{"keys": entries})
	if err != nil {
		panic(err) // made of strings, numbers and lists
	}
	return string(text)
}

// certificates is the form of a key set that has certificates by kid. Signing one
// costs a millisecond, so it is made once.
var certificates = sync.OnceValue(func() string {
	text, err := json.Marshal(map[string]string{"a": lookup("rsa-a").Certificate(), "b": lookup("rsa-b").Certificate()})
	if err != nil {
		panic(err) // two strings
	}
	return string(text)
})

// jwk is the key as an entry of a set.
func (k useKey) jwk() map[string]any {
	out := lookup(k.key).JWK()
	delete(out, "kid")
	delete(out, "alg")
	if k.kid != "" {
		out["kid"] = k.kid
	}
	if k.alg != "" {
		out["alg"] = k.alg
	}
	return out
}

// goodKey is an entry that the proxy takes.
func (b *builder) goodKey() (map[string]any, useKey) {
	d := b.dice
	k := useKey{key: pick(d, allKeys...)}
	fam := family(k.key)
	if d.percent(70) {
		k.kid = pick(d, kids...)
	}
	if d.percent(45) {
		k.alg = pick(d, algorithms[fam]...)
		d.tag("jwks/alg")
	}
	d.tag("jwks/" + fam)
	out := k.jwk()
	switch d.IntN(12) {
	case 0:
		out["use"] = pick(d, "enc", "sig")
	case 1:
		out["key_ops"] = []string{}
	case 2:
		if k.kid == "" {
			out["kid"] = pick[any](d, 7, nil, []string{"a"}, "")
			d.tag("jwks/odd-kid")
		}
	case 3:
		if k.alg == "" && fam == "rsa" {
			out["alg"] = pick[any](d, 7, nil, false)
			d.tag("jwks/odd-alg")
		}
	case 4:
		if fam == "rsa" {
			out["n"] = pad(out["n"].(string))
		}
	case 5:
		if k.alg != "" && strings.HasPrefix(fam, "p") {
			delete(out, "crv")
			d.tag("jwks/no-crv")
		}
	case 6:
		if fam == "p256" {
			delete(out, "crv")
			d.tag("jwks/no-crv")
		}
	}
	return out, k
}

// pad is base64 with the padding that it ought to have.
func pad(text string) string { return text + strings.Repeat("=", (4-len(text)%4)%4) }

// droppedKey is an entry that the proxy cannot use.
func (b *builder) droppedKey() any {
	b.dice.tag("jwks/dropped")
	with := func(key string, members ...any) any {
		out := useKey{key: key, kid: "a"}.jwk()
		for i := 0; i+1 < len(members); i += 2 {
			if out[members[i].(string)] = members[i+1]; members[i+1] == nil {
				delete(out, members[i].(string))
			}
		}
		return out
	}
	return pick(b.dice,
		with("rsa-a", "e", "EQ"), with("rsa-a", "n", "AA"), with("rsa-a", "n", nil), with("rsa-a", "alg", "ES256"), with("rsa-a", "kty", nil),
		with("rsa-a", "kty", "rsa"), with("rsa-a", "alg", "none"), with("rsa-b", "n", "+/+/"),
		with("p256-a", "x", "AAAA"), with("p256-a", "crv", "secp256k1"), with("p256-a", "alg", "ES384"), with("p384-a", "crv", nil),
		with("p384-a", "crv", "P-256"), with("p256-a", "alg", "RS256"), with("p521-a", "y", nil),
		with("ed25519-a", "crv", "Ed448"), with("ed25519-a", "crv", "X25519"), with("ed25519-a", "alg", "ES256"), with("ed25519-a", "x", "AAAA"),
		with("oct-a", "k", ""), with("oct-a", "alg", "RS256"), with("oct-a", "k", nil),
		any("text"), any(nil), any(7), any([]any{}), any(map[string]any{}), any(map[string]any{"kty": "AKP"}))
}
