package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"math/big"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"

	_ "crypto/sha256" // crypto.SHA256
	_ "crypto/sha512" // crypto.SHA384 and crypto.SHA512
)

// Outcome is what became of one key for one token.
type Outcome uint8

// The outcomes. Only Verified lets the token pass, and WrongLength ends the
// search. WrongFamily is an RSA key for a token whose alg is neither RS nor PS;
// keys of the other types are tried with any alg.
const (
	NotTried Outcome = iota // the search had ended
	KidDiffers
	AlgDiffers
	WrongFamily
	SignatureDiffers
	WrongLength
	Verified
)

// String describes the outcome.
func (o Outcome) String() string {
	return [...]string{
		"not tried", "kid differs", "alg differs", "key type does not fit alg",
		"signature differs", "signature has the wrong length", "verified",
	}[o]
}

// KeyResult is one key of a set with its outcome.
type KeyResult struct {
	Key     Key
	Outcome Outcome
}

// Verify checks the token's signature with the set's keys in their order; the
// first that fits ends the search (Envoy
// source/common/jwt/verify.cc:verifyJwtWithoutTimeChecking). The time is not
// checked.
func (s *Set) Verify(t *jwt.Token) jwt.Status {
	matched := false
	for _, r := range s.VerifyReport(t) {
		switch r.Outcome {
		case Verified:
			return jwt.OK
		case WrongLength:
			return jwt.Ed25519WrongLength
		case WrongFamily, SignatureDiffers:
			matched = true
		}
	}
	if matched {
		return jwt.VerificationFails
	}
	return jwt.JwksNoMatchingKey
}

// VerifyReport is Verify key by key.
func (s *Set) VerifyReport(t *jwt.Token) []KeyResult {
	results := make([]KeyResult, len(s.Keys))
	input, ended := t.SigningInput(), false
	for i := range s.Keys {
		results[i].Key = s.Keys[i]
		if ended {
			continue
		}
		o := s.Keys[i].try(t, input)
		results[i].Outcome = o
		ended = o == Verified || o == WrongLength
	}
	return results
}

// try applies the rules for skipping a key, then verifies with it.
func (k *Key) try(t *jwt.Token, input []byte) Outcome {
	if t.Kid != "" && k.Kid != "" && t.Kid != k.Kid {
		return KidDiffers
	}
	if k.Alg != "" && k.Alg != t.Alg {
		return AlgDiffers
	}
	good := false
	switch m := k.held(); {
	case m.ec != nil:
		good = verifyEC(m.ec, digest(hashOf(t.Alg, "ES"), input), t.Signature())
	case m.rsa != nil:
		if !k.Fits(t.Alg) {
			return WrongFamily
		}
		pss := strings.HasPrefix(t.Alg, "PS")
		hash := hashOf(t.Alg, "RS", "PS")
		good = m.rsa.verify(hash, digest(hash, input), t.Signature(), pss)
	case m.hmac != nil:
		mac := hmac.New(hashOf(t.Alg, "HS").New, m.hmac)
		mac.Write(input)
		good = hmac.Equal(mac.Sum(nil), t.Signature())
	case m.okp != nil:
		if len(t.Signature()) != ed25519.SignatureSize {
			return WrongLength
		}
		good = ed25519.Verify(m.okp, input, t.Signature())
	}
	if good {
		return Verified
	}
	return SignatureDiffers
}

// hashOf is the hash of the key's own algorithms, by the token's alg. An alg of
// another family means SHA-256, whatever its number.
func hashOf(alg string, families ...string) crypto.Hash {
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

// verifyEC takes the first half of the signature as r and as many bytes after it
// as s, whatever the curve's size: leading zeros are fine, and of an odd number of
// bytes the last does not count (verify.cc:verifySignatureEC).
func verifyEC(key *ecdsa.PublicKey, digest, signature []byte) bool {
	half := len(signature) / 2
	r := new(big.Int).SetBytes(signature[:half])
	s := new(big.Int).SetBytes(signature[half : 2*half])
	return ecdsa.Verify(key, digest, r, s)
}
