package mint

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

func TestEveryAlgorithmSignsWhatTheStandardLibraryVerifies(t *testing.T) {
	input := []byte("what is signed")
	for _, k := range []Key{RSA(), OtherRSA(), RSA1024(), P256(), OtherP256(), P384(), P521(), Ed25519(), OtherEd25519(), Oct("secret")} {
		for _, alg := range k.Algorithms() {
			if alg == "PS512" && k == RSA1024() {
				continue // 1024 bits have no room for two SHA-512
			}
			signature := k.Sign(alg, input)
			if !verifies(k, alg, input, signature) {
				t.Errorf("%s: the signature does not verify", alg)
			}
			if !bytes.Equal(signature, k.Sign(alg, input)) {
				t.Errorf("%s: signing again gives another signature", alg)
			}
			if verifies(k, alg, []byte("something else"), signature) {
				t.Errorf("%s: the signature verifies for another input", alg)
			}
		}
	}
}

func verifies(k Key, alg string, input, signature []byte) bool {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512, "DSA": crypto.SHA256}[alg[2:]]
	sum := digest(hash, input)
	switch pub := k.Public().(type) {
	case *rsa.PublicKey:
		if alg[0] == 'P' {
			return rsa.VerifyPSS(pub, hash, sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(pub, hash, sum, signature) == nil
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(pub, sum, r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(pub, input, signature)
	}
	mac := hmac.New(hash.New, []byte("secret"))
	mac.Write(input)
	return hmac.Equal(mac.Sum(nil), signature)
}

func TestASignatureOfAShortRSAKeyOpensToItsEncoding(t *testing.T) {
	for _, k := range []Key{RSA512(), RSA768()} {
		pub := k.Public().(*rsa.PublicKey)
		signature := k.Sign("RS256", []byte("input"))
		opened := new(big.Int).Exp(new(big.Int).SetBytes(signature), big.NewInt(int64(pub.E)), pub.N)
		encoded := opened.FillBytes(make([]byte, pub.Size()))
		if !bytes.HasPrefix(encoded, []byte{0, 1, 0xff}) || !bytes.HasSuffix(encoded, digest(crypto.SHA256, []byte("input"))) {
			t.Errorf("%d bits: the signature opens to %x", pub.N.BitLen(), encoded)
		}
	}
}

func TestASaltOfAnyLengthVerifiesWithThatLength(t *testing.T) {
	k, input := RSA(), []byte("input")
	for _, length := range []int{0, 20, 32, 222} {
		signature := k.SignPSS(crypto.SHA256, salt(input, length), input)
		options := &rsa.PSSOptions{SaltLength: length}
		if length == 0 {
			options.SaltLength = rsa.PSSSaltLengthAuto // 0 means auto for the standard library
		}
		sum := digest(crypto.SHA256, input)
		if err := rsa.VerifyPSS(k.Public().(*rsa.PublicKey), crypto.SHA256, sum, signature, options); err != nil {
			t.Errorf("salt of %d bytes: %v", length, err)
		}
	}
}

func TestTheJWKHasThePublicKeyAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		key     Key
		members string
	}{
		{RSA(), "e kty n"},
		{P256().WithKid("a"), "crv kid kty x y"},
		{P521().WithKid("a").WithAlg("ES512"), "alg crv kid kty x y"},
		{Ed25519(), "crv kty x"},
		{Oct("s"), "k kty"},
	} {
		jwk := c.key.JWK()
		var names []string
		for _, name := range strings.Fields("alg crv d e k kid kty n p q x y") {
			if _, ok := jwk[name]; ok {
				names = append(names, name)
			}
		}
		if got := strings.Join(names, " "); got != c.members || len(names) != len(jwk) {
			t.Errorf("%v: members %q of %d, want %q", jwk["kty"], got, len(jwk), c.members)
		}
	}
}

func TestTheDocumentHasItsKeysInOrder(t *testing.T) {
	var doc struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(JWKS(RSA().WithKid("b"), P256().WithKid("a")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Keys) != 2 || doc.Keys[0].Kid != "b" || doc.Keys[1].Kid != "a" {
		t.Errorf("keys %v", doc.Keys)
	}
	if got := string(JWKS()); got != `{"keys":[]}` {
		t.Errorf("no keys: %s", got)
	}
}

func TestATokenCarriesTheTextsAsTheyAre(t *testing.T) {
	header, payload := `{'alg':'HS384',}`, `not JSON`
	parts := strings.Split(Token(Oct("secret"), header, payload), ".")
	for i, want := range []string{header, payload} {
		if got, err := base64.RawURLEncoding.DecodeString(parts[i]); err != nil || string(got) != want {
			t.Errorf("part %d is %q, %v; want %q", i, got, err, want)
		}
	}
	if want := Encode(string(Oct("secret").Sign("HS384", []byte(parts[0]+"."+parts[1])))); parts[2] != want {
		t.Error("the signature is not the one of the header's algorithm")
	}
}

func TestTheCertificateIsOfTheKey(t *testing.T) {
	for _, k := range []Key{RSA(), P256()} {
		block, rest := pem.Decode([]byte(k.Certificate()))
		if block == nil || len(rest) > 0 {
			t.Fatal("not one PEM block")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Public()) {
			t.Error("the certificate has another key")
		}
	}
}
