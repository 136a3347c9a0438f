package mint

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"math/big"
)

// stdlibMinBits is the smallest modulus with which crypto/rsa signs.
const stdlibMinBits = 1024

// signPKCS1 signs with PKCS #1 v1.5.
func signPKCS1(private *rsa.PrivateKey, hash crypto.Hash, digest []byte) []byte {
	if private.N.BitLen() >= stdlibMinBits {
		out, err := rsa.SignPKCS1v15(nil, private, hash, digest)
		if err != nil {
			panic(err) // a fixed key
		}
		return out
	}
	id := map[crypto.Hash]byte{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[hash]
	size := byte(len(digest))
	tail := append([]byte{
		0, 0x30, 17 + size, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, id, 5, 0, 4, size,
	}, digest...)
	encoded := []byte{0, 1}
	encoded = append(encoded, bytes.Repeat([]byte{0xff}, modulusSize(private)-len(tail)-2)...)
	return power(private, append(encoded, tail...))
}

// SignPSS signs with an RSA key and the given salt, which may have any length
// that fits.
func (k Key) SignPSS(hash crypto.Hash, salt, input []byte) []byte {
	private := k.private.(*rsa.PrivateKey)
	bits := private.N.BitLen() - 1
	size := (bits + 7) / 8

	h := hash.New()
	h.Write(make([]byte, 8))
	h.Write(digest(hash, input))
	h.Write(salt)
	inner := h.Sum(nil)

	db := make([]byte, size-len(inner)-1)
	copy(db[len(db)-len(salt):], salt)
	db[len(db)-len(salt)-1] = 1
	for i, m := range mask(hash, inner, len(db)) {
		db[i] ^= m
	}
	db[0] &= 0xff >> (size*8 - bits)
	return power(private, append(append(db, inner...), 0xbc))
}

// mask is MGF1.
func mask(hash crypto.Hash, seed []byte, length int) []byte {
	var out []byte
	for counter := byte(0); len(out) < length; counter++ {
		h := hash.New()
		h.Write(seed)
		h.Write([]byte{0, 0, 0, counter})
		out = h.Sum(out)
	}
	return out[:length]
}

// power is the private operation, by the Chinese remainder theorem.
func power(private *rsa.PrivateKey, encoded []byte) []byte {
	m := new(big.Int).SetBytes(encoded)
	p, q := private.Primes[0], private.Primes[1]
	a := new(big.Int).Exp(m, private.Precomputed.Dp, p)
	b := new(big.Int).Exp(m, private.Precomputed.Dq, q)
	a.Sub(a, b).Mul(a, private.Precomputed.Qinv).Mod(a, p)
	return a.Mul(a, q).Add(a, b).FillBytes(make([]byte, modulusSize(private)))
}

func modulusSize(private *rsa.PrivateKey) int { return (private.N.BitLen() + 7) / 8 }
