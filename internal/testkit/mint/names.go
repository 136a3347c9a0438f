package mint

import (
	"crypto/rsa"
	"fmt"
	"sort"
	"strings"
)

// named are the keys by the names that cases use.
var named = map[string]func() Key{
	"rsa-a": RSA, "rsa-b": OtherRSA, "rsa-1024": RSA1024, "rsa-768": RSA768, "rsa-512": RSA512,
	"p256-a": P256, "p256-b": OtherP256, "p384-a": P384, "p521-a": P521,
	"ed25519-a": Ed25519, "ed25519-b": OtherEd25519,
	"oct-a": func() Key { return Oct("a secret of thirty-two characters") },
	"oct-b": func() Key { return Oct("another secret, which is a little longer than that") },
}

// Lookup is the key of that name; false if there is none.
func Lookup(name string) (Key, bool) {
	k, ok := named[name]
	if !ok {
		return Key{}, false
	}
	return k(), true
}

// Names lists the names of keys.
func Names() []string {
	out := make([]string, 0, len(named))
	for n := range named {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Sign signs with the key of a name; it has the form of judge.Sign.
func Sign(key, alg string, input []byte) ([]byte, error) {
	k, ok := Lookup(key)
	if !ok {
		return nil, fmt.Errorf("there is no key %q", key)
	}
	if r, ok := k.Public().(*rsa.PublicKey); ok && r.Size() < smallest(alg) {
		// No such signature exists; what stands in its place verifies nowhere.
		return make([]byte, r.Size()), nil
	}
	return k.Sign(alg, input), nil
}

// smallest is how many bytes a modulus must have for a signature: the hash, and
// for PSS a salt of the same size, with what surrounds them.
func smallest(alg string) int {
	const pkcs1, pss = 19 + 11, 2
	hash := map[string]int{"384": 48, "512": 64}[strings.TrimLeft(alg, "RSPEH")]
	if hash == 0 {
		hash = 32
	}
	if strings.HasPrefix(alg, "PS") {
		return 2*hash + pss
	}
	return hash + pkcs1
}
