package keyserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"
)

// Certificates are a server's certificates, good and bad, of one authority.
type Certificates struct {
	// Authority is the PEM of the authority that signed all but UnknownAuthority.
	Authority []byte

	Good             tls.Certificate
	Expired          tls.Certificate // since a day before
	WrongName        tls.Certificate // of other.example
	UnknownAuthority tls.Certificate // for the right names
}

// NewCertificates makes certificates for the hosts, which are names or addresses,
// valid around now.
func NewCertificates(now time.Time, hosts ...string) (Certificates, error) {
	var out Certificates
	known, err := newAuthority("keyserver authority", now)
	if err != nil {
		return out, err
	}
	stranger, err := newAuthority("nobody's authority", now)
	if err != nil {
		return out, err
	}
	out.Authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: known.cert.Raw})
	for _, c := range []struct {
		to    *tls.Certificate
		by    authority
		ends  time.Time
		hosts []string
	}{
		{&out.Good, known, now.AddDate(1, 0, 0), hosts},
		{&out.Expired, known, now.AddDate(0, 0, -1), hosts},
		{&out.WrongName, known, now.AddDate(1, 0, 0), []string{"other.example"}},
		{&out.UnknownAuthority, stranger, now.AddDate(1, 0, 0), hosts},
	} {
		if *c.to, err = c.by.issue(now, c.ends, c.hosts); err != nil {
			return out, err
		}
	}
	return out, nil
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name string, now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("make a key: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return authority{}, fmt.Errorf("make an authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert, key}, err
}

func (a authority) issue(now, ends time.Time, hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "keyserver"},
		NotBefore: now.AddDate(0, 0, -7), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Serve answers on l until l is closed, with TLS where a certificate is given. It
// says nothing of failed handshakes, which are what the bad certificates are for.
func Serve(l net.Listener, h http.Handler, certificate *tls.Certificate) error {
	s := &http.Server{Handler: h, ErrorLog: discard, ReadHeaderTimeout: time.Minute}
	if certificate == nil {
		return s.Serve(l)
	}
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	return s.ServeTLS(l, "", "")
}
