package mint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"

	_ "crypto/sha512" // crypto.SHA384 and crypto.SHA512
)

// Key is a key with its private half. Kid and Alg are what its JWK says; "" says
// nothing.
type Key struct {
	Kid, Alg string

	private any // *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey or []byte
}

// WithKid is the key under another kid.
func (k Key) WithKid(kid string) Key {
	k.Kid = kid
	return k
}

// WithAlg is the key with another alg in its JWK.
func (k Key) WithAlg(alg string) Key {
	k.Alg = alg
	return k
}

// Algorithms are those that the key is made for; the first is its own.
func (k Key) Algorithms() []string {
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PrivateKey:
		return []string{map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[private.Params().BitSize]}
	case ed25519.PrivateKey:
		return []string{"EdDSA"}
	}
	return []string{"HS256", "HS384", "HS512"}
}

// JWK is the public key as a JSON Web Key; of a secret, the secret.
func (k Key) JWK() map[string]any {
	jwk := map[string]any{}
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		jwk["kty"] = "RSA"
		jwk["n"] = encodeInt(private.N, 0)
		jwk["e"] = encodeInt(big.NewInt(int64(private.E)), 0)
	case *ecdsa.PrivateKey:
		size := (private.Params().BitSize + 7) / 8
		point, err := private.PublicKey.Bytes()
		if err != nil {
			panic(err) // a fixed key
		}
		jwk["kty"], jwk["crv"] = "EC", private.Params().Name
		jwk["x"] = Encode(string(point[1 : 1+size]))
		jwk["y"] = Encode(string(point[1+size:]))
	case ed25519.PrivateKey:
		jwk["kty"], jwk["crv"] = "OKP", "Ed25519"
		jwk["x"] = Encode(string(private[ed25519.SeedSize:]))
	case []byte:
		jwk["kty"], jwk["k"] = "oct", Encode(string(private))
	}
	if k.Kid != "" {
		jwk["kid"] = k.Kid
	}
	if k.Alg != "" {
		jwk["alg"] = k.Alg
	}
	return jwk
}

// encodeInt is a number in base64url, of at least size bytes.
func encodeInt(n *big.Int, size int) string {
	size = max(size, (n.BitLen()+7)/8)
	return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, size)))
}

// Sign signs the input. The key's type decides how, and the algorithm which hash:
// the one it names, so ES384 on a P-256 key works, and SHA-256 for an algorithm of
// another family, as the proxy verifies it. Equal input gives equal signatures.
func (k Key) Sign(alg string, input []byte) []byte {
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		hash := hashFor(alg, "RS", "PS")
		if alg != "" && alg[:1] == "P" {
			return k.SignPSS(hash, salt(input, hash.Size()), input)
		}
		return signPKCS1(private, hash, digest(hash, input))
	case *ecdsa.PrivateKey:
		return signEC(private, hashFor(alg, "ES"), input)
	case ed25519.PrivateKey:
		return ed25519.Sign(private, input)
	}
	mac := hmac.New(hashFor(alg, "HS").New, k.private.([]byte))
	mac.Write(input)
	return mac.Sum(nil)
}

func hashFor(alg string, families ...string) crypto.Hash {
	for _, family := range families {
		switch alg {
		case family + "384":
			return crypto.SHA384
		case family + "512":
			return crypto.SHA512
		}
	}
	return crypto.SHA256
}

func digest(hash crypto.Hash, input []byte) []byte {
	h := hash.New()
	h.Write(input)
	return h.Sum(nil)
}

// salt is length bytes that depend on the input alone.
func salt(input []byte, length int) []byte {
	var out []byte
	for block := sha256.Sum256(input); len(out) < length; block = sha256.Sum256(block[:]) {
		out = append(out, block[:]...)
	}
	return out[:length]
}

// signEC returns r and s, each as long as the curve's field. Without a source of
// randomness the standard library signs as RFC 6979 says.
func signEC(private *ecdsa.PrivateKey, hash crypto.Hash, input []byte) []byte {
	der, err := private.Sign(nil, digest(hash, input), hash)
	if err != nil {
		panic(err) // a fixed key
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		panic(err)
	}
	size := (private.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	rs.R.FillBytes(out[:size])
	rs.S.FillBytes(out[size:])
	return out
}
