package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// Key is one key that the proxy can use.
type Key struct {
	// Index is the key's place in the document's keys list, or among the names of
	// the certificate form, sorted.
	Index int
	// Kid and Alg are "" where the document has none, or something else than a
	// string in their place.
	Kid, Alg string
	// Kty is RSA, EC, oct or OKP.
	Kty string
	// Crv is the curve of an EC or OKP key, also where only alg implied it.
	Crv string

	material func() material
}

// material is what verifies; one field is set. It is behind a function, which fmt
// never looks into, so that printing a Key does not show an HMAC secret.
type material struct {
	rsa  *rsaKey
	ec   *ecdsa.PublicKey
	okp  ed25519.PublicKey
	hmac []byte
}

// Bits is the size of an RSA modulus, of a curve's field or of a secret, in bits.
func (k Key) Bits() int {
	switch m := k.held(); {
	case m.rsa != nil:
		return m.rsa.n.BitLen()
	case m.ec != nil:
		return m.ec.Params().BitSize
	case m.okp != nil:
		return len(m.okp) * 8
	default:
		return len(m.hmac) * 8
	}
}

// Fits reports whether the algorithm is one that was made for such a key. The
// proxy asks this of RSA keys alone: it tries the others with any algorithm.
func (k Key) Fits(alg string) bool {
	switch k.Kty {
	case "RSA":
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case "EC":
		for _, c := range curves() {
			if c.crv == k.Crv {
				return c.alg == alg
			}
		}
	case "oct":
		return strings.HasPrefix(alg, "HS")
	case "OKP":
		return alg == "EdDSA"
	}
	return false
}

// Dropped is one key that the proxy cannot use, and drops.
type Dropped struct {
	Index  int
	Kid    string
	Reason jwt.Status
}

// Set is a key set as the proxy holds it. The keys are in the order of the
// document; Dropped keys and the places of Ignored entries, which are no objects,
// are not part of it.
type Set struct {
	Keys    []Key
	Dropped []Dropped
	Ignored []int

	placeholderKind, placeholderURI string
}

// Parse reads a document. The status is OK if the proxy can use the set, which
// one usable key is enough for, else the reason with which it refuses it; the Set
// is never nil (Envoy source/common/jwt/jwks.cc:Jwks::createFromJwksCore).
//
// An empty inline document is a case that the proxy does not parse at all: it takes
// the configuration and answers every token with the text of jwt.JwksNoValidKeys
// (jwt_authn/jwks_cache.cc:JwksDataImpl, authenticator.cc:startVerify). Here it is
// JSON that does not parse.
func Parse(doc []byte) (*Set, jwt.Status) {
	set := &Set{}
	top, err := jwt.ParseJSON(doc)
	if err != nil {
		return set, jwt.JwksParse
	}
	keys, found := top.Field("keys")
	if !found {
		if isCertificates(top) {
			return set, set.addCertificates(top)
		}
		return set, jwt.JwksNoKeys
	}
	if keys.Kind() != jwt.List {
		return set, jwt.JwksBadKeys
	}
	set.recognise(keys.Elements())
	for i, entry := range keys.Elements() {
		set.add(i, entry)
	}
	if len(set.Keys) > 0 {
		return set, jwt.OK
	}
	if len(set.Dropped) > 0 {
		return set, set.Dropped[0].Reason
	}
	return set, jwt.JwksNoValidKeys
}

func (s *Set) add(index int, entry jwt.Value) {
	if entry.Kind() != jwt.Object {
		s.Ignored = append(s.Ignored, index)
		return
	}
	key, status := parseKey(entry)
	key.Index = index
	if status != jwt.OK {
		s.Dropped = append(s.Dropped, Dropped{Index: index, Kid: key.Kid, Reason: status})
		return
	}
	s.Keys = append(s.Keys, key)
}
