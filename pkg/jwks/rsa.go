package jwks

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"math"
	"math/big"
)

// The sizes of modulus that BoringSSL takes, in bits (crypto/fipsmodule/rsa:
// rsa_check_public_key).
const (
	minModulusBits = 512
	maxModulusBits = 16384
	// stdlibMinBits is the smallest modulus that crypto/rsa verifies with,
	// whatever GODEBUG says.
	stdlibMinBits = 1024
)

// rsaKey is an RSA public key of any size and exponent that BoringSSL takes.
type rsaKey struct{ n, e *big.Int }

// newRSAKey makes BoringSSL's checks of a public key.
func newRSAKey(n, e *big.Int) (*rsaKey, bool) {
	if n.BitLen() < minModulusBits || n.BitLen() > maxModulusBits || n.Bit(0) == 0 {
		return nil, false
	}
	const maxExponentBits = 33
	if e.Sign() < 0 || e.BitLen() < 2 || e.BitLen() > maxExponentBits || e.Bit(0) == 0 {
		return nil, false
	}
	return &rsaKey{n, e}, true
}

// verify checks a PKCS #1 v1.5 signature, or a PSS signature whose salt is as
// long as the hash.
func (k *rsaKey) verify(hash crypto.Hash, digest, signature []byte, pss bool) bool {
	if k.n.BitLen() < stdlibMinBits || k.e.Cmp(big.NewInt(math.MaxInt32)) > 0 {
		return k.verifyPlain(hash, digest, signature, pss)
	}
	pub := &rsa.PublicKey{N: k.n, E: int(k.e.Int64())}
	if pss {
		options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return rsa.VerifyPSS(pub, hash, digest, signature, options) == nil
	}
	return rsa.VerifyPKCS1v15(pub, hash, digest, signature) == nil
}

// verifyPlain is verify for the keys that crypto/rsa refuses and BoringSSL takes:
// moduli below 1024 bits and exponents above 31 bits. Nothing here is secret, so
// the time that it takes may depend on the values.
func (k *rsaKey) verifyPlain(hash crypto.Hash, digest, signature []byte, pss bool) bool {
	size := (k.n.BitLen() + 7) / 8
	s := new(big.Int).SetBytes(signature)
	if len(signature) != size || s.Cmp(k.n) >= 0 {
		return false
	}
	encoded := s.Exp(s, k.e, k.n).FillBytes(make([]byte, size))
	if pss {
		return pssMatches(hash, digest, encoded, k.n.BitLen()-1)
	}
	return pkcs1Matches(hash, digest, encoded)
}

// digestInfo is the DER in front of a digest (RFC 8017, section 9.2, note 1).
func digestInfo(hash crypto.Hash) []byte {
	id, size := byte(1), byte(hash.Size())
	switch hash {
	case crypto.SHA384:
		id = 2
	case crypto.SHA512:
		id = 3
	}
	return []byte{
		0x30, 17 + size, 0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, id,
		0x05, 0x00, 0x04, size,
	}
}

// pkcs1Matches builds the one encoding that is right (RFC 8017, section 9.2).
func pkcs1Matches(hash crypto.Hash, digest, encoded []byte) bool {
	tail := append(digestInfo(hash), digest...)
	padding := len(encoded) - len(tail) - 3
	if padding < 8 {
		return false
	}
	want := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, padding)...)
	want = append(append(want, 0), tail...)
	return bytes.Equal(want, encoded)
}

// pssMatches undoes EMSA-PSS with a salt as long as the hash and MGF1 with the
// same hash (RFC 8017, section 9.1.2).
func pssMatches(hash crypto.Hash, digest, encoded []byte, bits int) bool {
	size := hash.Size()
	if drop := len(encoded) - (bits+7)/8; drop > 0 {
		if encoded[0] != 0 {
			return false
		}
		encoded = encoded[drop:]
	}
	if len(encoded) < 2*size+2 || encoded[len(encoded)-1] != 0xbc {
		return false
	}
	unused := byte(0xff) << (8 - (len(encoded)*8 - bits))
	if len(encoded)*8 == bits {
		unused = 0
	}
	masked := encoded[:len(encoded)-size-1]
	want := encoded[len(masked) : len(masked)+size]
	if masked[0]&unused != 0 {
		return false
	}
	block := mgf1(hash, want, len(masked))
	for i := range block {
		block[i] ^= masked[i]
	}
	block[0] &^= unused
	salt := block[len(block)-size:]
	padding := block[:len(block)-size]
	if padding[len(padding)-1] != 1 || len(bytes.TrimLeft(padding[:len(padding)-1], "\x00")) != 0 {
		return false
	}
	h := hash.New()
	h.Write(make([]byte, 8))
	h.Write(digest)
	h.Write(salt)
	return bytes.Equal(h.Sum(nil), want)
}

// mgf1 is the mask generation function of RFC 8017, appendix B.2.1.
func mgf1(hash crypto.Hash, seed []byte, length int) []byte {
	var out []byte
	for counter := byte(0); len(out) < length; counter++ {
		h := hash.New()
		h.Write(seed)
		h.Write([]byte{0, 0, 0, counter})
		out = h.Sum(out)
	}
	return out[:length]
}
