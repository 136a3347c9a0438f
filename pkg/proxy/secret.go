package proxy

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
)

// secret takes the names of the proxy's own certificate, and nothing else of a secret.
func (r *reading) secret(o object) error {
	chain := o.sub("secret", "tls_certificate", "certificate_chain")
	text := []byte(chain.text("inline_string"))
	if b := chain.text("inline_bytes"); b != "" {
		text, _ = base64.StdEncoding.DecodeString(b)
	}
	p, _ := pem.Decode(text)
	if p == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(p.Bytes)
	if err != nil {
		return nil // the names are for x-forwarded-client-cert only
	}
	for _, u := range cert.URIs {
		if !slices.Contains(r.dump.Identities, u.String()) {
			r.dump.Identities = append(r.dump.Identities, u.String())
		}
	}
	return nil
}
