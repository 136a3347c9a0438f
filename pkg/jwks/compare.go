package jwks

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// Same reports whether two keys verify the same tokens: they have the same name, the
// same alg and the same material. Where they stand in a document does not matter.
func (k Key) Same(other Key) bool {
	if k.Kid != other.Kid || k.Alg != other.Alg || k.Kty != other.Kty {
		return false
	}
	a, b := k.held(), other.held()
	switch {
	case a.rsa != nil && b.rsa != nil:
		return a.rsa.n.Cmp(b.rsa.n) == 0 && a.rsa.e.Cmp(b.rsa.e) == 0
	case a.ec != nil && b.ec != nil:
		return a.ec.Equal(b.ec)
	case a.okp != nil && b.okp != nil:
		return a.okp.Equal(b.okp)
	}
	return a.hmac != nil && bytes.Equal(a.hmac, b.hmac)
}

// Missing are the usable keys of a set that another one does not have: tokens that
// are signed with them are refused by who holds the other.
func (s *Set) Missing(in *Set) []Key {
	var out []Key
	for _, k := range s.Keys {
		found := false
		for _, other := range in.Keys {
			found = found || k.Same(other)
		}
		if !found {
			out = append(out, k)
		}
	}
	return out
}

// Certificate is a certificate that stands in a key set. Proxies look at neither its
// dates nor who signed it: people do, and issuers change their keys before it ends.
type Certificate struct {
	Index int // of the key
	Kid   string
	Ends  time.Time
}

// Certificates are those of a document: the first one of each key's x5c, or those of
// the PEM form. What cannot be read is left out.
func Certificates(doc []byte) []Certificate {
	top, err := jwt.ParseJSON(doc)
	if err != nil {
		return nil
	}
	var out []Certificate
	add := func(i int, kid string, der []byte) {
		if cert, err := x509.ParseCertificate(der); err == nil {
			out = append(out, Certificate{Index: i, Kid: kid, Ends: cert.NotAfter})
		}
	}
	keys, found := top.Field("keys")
	if !found {
		for i, m := range top.Members() {
			if block, _ := pem.Decode([]byte(m.Value.Text())); block != nil {
				add(i, m.Name, block.Bytes)
			}
		}
		return out
	}
	for i, entry := range keys.Elements() {
		chain, _ := entry.Field("x5c")
		if len(chain.Elements()) == 0 {
			continue
		}
		if der, err := base64.StdEncoding.DecodeString(chain.Elements()[0].Text()); err == nil {
			add(i, optional(entry, "kid"), der)
		}
	}
	return out
}
