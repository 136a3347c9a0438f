package mint

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"math/big"
	"sync"
	"time"
)

//go:embed testdata/*.pem
var files embed.FS

// load reads a key file once per process, when it is first asked for.
func load(name string) func() Key {
	return sync.OnceValue(func() Key {
		text, err := files.ReadFile("testdata/" + name + ".pem")
		if err != nil {
			panic(err) // embedded
		}
		block, _ := pem.Decode(text)
		private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			panic(err)
		}
		return Key{private: private}
	})
}

var (
	rsaA, rsaB         = load("rsa2048-a"), load("rsa2048-b")
	rsa1024, rsa768    = load("rsa1024"), load("rsa768")
	rsa512             = load("rsa512")
	p256A, p256B       = load("p256-a"), load("p256-b")
	p384, p521         = load("p384"), load("p521")
	ed25519A, ed25519B = load("ed25519-a"), load("ed25519-b")
)

// RSA is an RSA key of 2048 bits.
func RSA() Key { return rsaA() }

// OtherRSA is another RSA key of 2048 bits.
func OtherRSA() Key { return rsaB() }

// RSA1024 is an RSA key of 1024 bits.
func RSA1024() Key { return rsa1024() }

// RSA768 is an RSA key of 768 bits, which crypto/rsa refuses and the proxy takes.
func RSA768() Key { return rsa768() }

// RSA512 is an RSA key of 512 bits, the shortest that the proxy takes.
func RSA512() Key { return rsa512() }

// P256 is an EC key on P-256.
func P256() Key { return p256A() }

// OtherP256 is another EC key on P-256.
func OtherP256() Key { return p256B() }

// P384 is an EC key on P-384.
func P384() Key { return p384() }

// P521 is an EC key on P-521.
func P521() Key { return p521() }

// Ed25519 is an Ed25519 key.
func Ed25519() Key { return ed25519A() }

// OtherEd25519 is another Ed25519 key.
func OtherEd25519() Key { return ed25519B() }

// Oct is a secret for HMAC.
func Oct(secret string) Key { return Key{private: []byte(secret)} }

// Public is the public key, nil for a secret.
func (k Key) Public() crypto.PublicKey {
	if signer, ok := k.private.(crypto.Signer); ok {
		return signer.Public()
	}
	return nil
}

// Signer is the private key, nil for a secret.
func (k Key) Signer() crypto.Signer {
	signer, _ := k.private.(crypto.Signer)
	return signer
}

// Certificate is a certificate of the key in PEM, signed by itself, for the form
// of a key set that has certificates by kid. It is out of date on purpose.
func (k Key) Certificate() string {
	signer := k.private.(crypto.Signer)
	begin := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		panic(err) // a fixed key
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
