package run

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// authority is a certificate authority with the certificates that it has issued.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string

	mu     sync.Mutex
	serial int64
	issued map[string]*leaf
}

// leaf is a certificate with its key.
type leaf struct {
	tls             tls.Certificate
	certPEM, keyPEM string
	hash            string
}

// subject is who a certificate speaks of.
type subject struct {
	uris, dns []string
	name      string
}

// newAuthority mints a root.
func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: pemBlock("CERTIFICATE", der), serial: 1, issued: map[string]*leaf{}}, nil
}

// issue gives the certificate of the subject, the same for every call.
func (a *authority) issue(who subject) (*leaf, error) {
	key := fmt.Sprintf("%q", []any{who.uris, who.dns, who.name})
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.issued[key]; l != nil {
		return l, nil
	}
	a.serial++
	l, err := a.mint(who, a.serial)
	if err != nil {
		return nil, err
	}
	a.issued[key] = l
	return l, nil
}

// mint writes the alternative names by hand, so that they go out as they are
// given, in whatever form.
func (a *authority) mint(who subject, serial int64) (*leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: who.name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if template.ExtraExtensions, err = alternativeNames(who); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &leaf{
		tls:     tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		certPEM: pemBlock("CERTIFICATE", der), keyPEM: pemBlock("PRIVATE KEY", keyDER),
		hash: hex.EncodeToString(sum[:]),
	}, nil
}

// alternativeNames is the extension of RFC 5280, 4.2.1.6.
func alternativeNames(who subject) ([]pkix.Extension, error) {
	const dnsName, uniformResourceIdentifier = 2, 6
	var names []asn1.RawValue
	for _, u := range who.uris {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: uniformResourceIdentifier, Bytes: []byte(u)})
	}
	for _, d := range who.dns {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: dnsName, Bytes: []byte(d)})
	}
	if len(names) == 0 {
		return nil, nil
	}
	value, err := asn1.Marshal(names)
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}, err
}

func pemBlock(kind string, der []byte) string {
	var out bytes.Buffer
	if err := pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}); err != nil {
		return ""
	}
	return out.String()
}

// pki is the mesh's authority and a stranger.
type pki struct{ mesh, stranger *authority }

func newPKI() (*pki, error) {
	m, err := newAuthority("mesh root")
	if err != nil {
		return nil, err
	}
	s, err := newAuthority("stranger root")
	return &pki{mesh: m, stranger: s}, err
}

// client gives the certificate of a Client, nil if it has none.
func (p *pki) client(c judge.Client) (*leaf, error) {
	if len(c.URISANs)+len(c.DNSSANs) == 0 && c.CommonName == "" {
		return nil, nil
	}
	from := p.mesh
	if c.Untrusted {
		from = p.stranger
	}
	return from.issue(subject{uris: c.URISANs, dns: c.DNSSANs, name: c.CommonName})
}

// server gives the certificate of a proxy with that identity.
func (p *pki) server(identity string) (*leaf, error) {
	return p.mesh.issue(subject{uris: []string{identity}})
}
