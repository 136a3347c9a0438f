package run

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

func TestClientCertificate_ThatNamesAreTheCasesAndTheRootIsTheMeshs(t *testing.T) {
	certs, err := newPKI()
	if err != nil {
		t.Fatal(err)
	}
	client := judge.Client{URISANs: []string{"spiffe://td/ns/a/sa/b", "spiffe://x/%41"}, DNSSANs: []string{"d.example"}, CommonName: "cn"}
	roots := x509.NewCertPool()
	roots.AddCert(certs.mesh.cert)
	for _, untrusted := range []bool{false, true} {
		client.Untrusted = untrusted
		leaf, err := certs.client(client)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(leaf.tls.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		var uris []string
		for _, u := range cert.URIs {
			uris = append(uris, u.String())
		}
		if !slices.Equal(uris, client.URISANs) || !slices.Equal(cert.DNSNames, client.DNSSANs) || cert.Subject.CommonName != "cn" {
			t.Errorf("got %v, %v, %s", uris, cert.DNSNames, cert.Subject)
		}
		_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if (err != nil) != untrusted {
			t.Errorf("untrusted is %t: %v", untrusted, err)
		}
		if sum := sha256.Sum256(cert.Raw); leaf.hash != hex.EncodeToString(sum[:]) {
			t.Errorf("hash %s", leaf.hash)
		}
		again, err := certs.client(client)
		if err != nil || again != leaf {
			t.Errorf("another certificate for the same client (%v)", err)
		}
	}
}

func TestClientCertificate_ThatANameThatIsNoURLGoesOut(t *testing.T) {
	ca, err := newAuthority("a")
	if err != nil {
		t.Fatal(err)
	}
	const odd = "spiffe://td/ns/a b/sa/%zz\xff"
	leaf, err := ca.issue(subject{uris: []string{odd}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(leaf.tls.Certificate[0]), odd) {
		t.Error("the name is not in the certificate as it was given")
	}
}

func TestClientCertificate_ThatAClientWithoutNamesHasNone(t *testing.T) {
	leaf, err := (&pki{}).client(judge.Client{Transport: "mtls"})
	if leaf != nil || err != nil {
		t.Errorf("got %v, %v", leaf, err)
	}
}
