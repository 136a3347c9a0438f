package jwks

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
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
	der, ok := readPEM(text)
	if !ok {
		return nil, jwt.JwksX509Parse
	}
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(der, &whole)
	if err != nil {
		return nil, jwt.JwksX509Parse
	}
	public, err := publicKey(der[:len(der)-len(rest)]) // bytes after it do not count
	if err != nil {
		return nil, jwt.JwksX509Parse
	}
	pub, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, jwt.JwksX509PublicKey
	}
	key, ok := newRSAKey(pub.N, big.NewInt(int64(pub.E)))
	if !ok {
		return nil, jwt.JwksX509PublicKey
	}
	return key, jwt.OK
}

// publicKey is a certificate's key. BoringSSL reads extensions only when somebody asks
// for them, so that broken ones, which crypto/x509 refuses, do not count.
func publicKey(der []byte) (any, error) {
	if cert, err := x509.ParseCertificate(der); err == nil {
		return cert.PublicKey, nil
	}
	var cert struct {
		TBS struct {
			Version                                       int `asn1:"optional,explicit,default:0,tag:0"`
			Serial                                        *big.Int
			Algorithm, Issuer, Validity, Subject, KeyInfo asn1.RawValue
		}
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		return nil, err
	}
	return x509.ParsePKIXPublicKey(cert.TBS.KeyInfo.FullBytes)
}

// readPEM decodes the first block of a text as BoringSSL does, which is not what
// encoding/pem does: the block that begins must be the one that ends, an empty line
// ends a header, of which a certificate has none, and all that is not white space
// must be base64 with its padding (BoringSSL crypto/pem/pem_lib.cc:PEM_read_bio_inner,
// crypto/base64/base64.cc:EVP_DecodeUpdate).
func readPEM(text string) ([]byte, bool) {
	const begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
	var body strings.Builder
	header := true // until an empty line or the end of the block
	for i, line := range pemLines(text) {
		line = strings.TrimRightFunc(line, func(r rune) bool { return r <= ' ' })
		switch {
		case i == 0:
			if line != begin {
				return nil, false
			}
		case header && line == "":
			if body.Len() > 0 {
				return nil, false
			}
			header = false
		case strings.HasPrefix(line, "-----END "):
			der, err := base64.StdEncoding.DecodeString(body.String())
			return der, line == end && err == nil && len(der) > 0
		default:
			body.WriteString(strings.NewReplacer(" ", "", "\t", "", "\r", "").Replace(line))
		}
	}
	return nil, false
}

// pemLines are the lines of a text as BIO_gets gives them to BoringSSL, which has room
// for 253 characters: what is longer comes in pieces, and of a line of just that length
// the line feed comes alone.
func pemLines(text string) []string {
	const room = 253
	var lines []string
	for text != "" {
		end := min(len(text), room)
		if i := strings.IndexByte(text[:end], '\n'); i >= 0 {
			end = i + 1
		}
		lines, text = append(lines, text[:end]), text[end:]
	}
	return lines
}
