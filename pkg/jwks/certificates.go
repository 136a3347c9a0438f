package jwks

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// isCertificates reports whether the document is the other form of a key set:
// names, each with a PEM certificate (Envoy source/common/jwt/jwks.cc:shouldCheckX509).
func isCertificates(top jwt.Value) bool {
	for _, m := range top.Members() {
		text := m.Value.Text()
		if m.Name == "" || m.Value.Kind() != jwt.String ||
			!strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----\n") ||
			!strings.HasSuffix(text, "\n-----END CERTIFICATE-----\n") {
			return false
		}
	}
	return top.Len() > 0
}

// addCertificates reads the certificates as RSA keys. One that cannot be read
// spoils the set; where several cannot, which one the proxy names is not defined,
// and here it is the first by name (jwks.cc:createFromX509).
func (s *Set) addCertificates(top jwt.Value) jwt.Status {
	status := jwt.OK
	for i, m := range top.Members() {
		key := Key{Index: i, Kid: m.Name, Kty: "RSA"}
		public, reason := certificateKey(m.Value.Text())
		if reason != jwt.OK {
			s.Dropped = append(s.Dropped, Dropped{Index: i, Kid: m.Name, Reason: reason})
			if status == jwt.OK {
				status = reason
			}
			continue
		}
		key.hold(material{rsa: public})
		s.Keys = append(s.Keys, key)
	}
	return status
}

// certificateKey is the RSA key of a PEM certificate. Nothing else of the
// certificate counts, neither its dates nor who signed it. The exponent may be
// any that BoringSSL takes.
func certificateKey(text string) (*rsaKey, jwt.Status) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || !beginsWithBlock(text) {
		return nil, jwt.JwksX509Parse
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, jwt.JwksX509Parse
	}
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, jwt.JwksX509PublicKey
	}
	key, ok := newRSAKey(pub.N, big.NewInt(int64(pub.E)))
	if !ok {
		return nil, jwt.JwksX509PublicKey
	}
	return key, jwt.OK
}

// beginsWithBlock reports whether the first block that begins also ends.
// encoding/pem looks for a later one if it does not; BoringSSL gives up.
func beginsWithBlock(text string) bool {
	first, _, _ := strings.Cut(text, "-----END ")
	return strings.Count(first, "-----BEGIN ") == 1
}
