package probe

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	_ "crypto/sha256" // crypto.SHA256
	_ "crypto/sha512" // crypto.SHA384 and crypto.SHA512
)

// SigningKey signs tokens for tests. Printing it shows nothing of it.
type SigningKey struct{ private func() any }

// errNoKey is what is said of everything that is no private key: of what it is instead
// nothing is repeated.
var errNoKey = errors.New("it holds no private key in PEM, and no private JWK")

// ParseSigningKey reads a private key: PEM (PKCS #8, PKCS #1 or SEC 1) or a JWK (RFC
// 7517), of which oct is a shared secret.
func ParseSigningKey(text []byte) (*SigningKey, error) {
	if block, _ := pem.Decode(text); block != nil {
		return parsePEM(block)
	}
	return parseJWK(text)
}

func newSigningKey(private any) *SigningKey {
	return &SigningKey{func() any { return private }}
}

func parsePEM(block *pem.Block) (*SigningKey, error) {
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return newSigningKey(key), nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return newSigningKey(key), nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return newSigningKey(key), nil
	}
	return nil, errNoKey
}

func parseJWK(text []byte) (*SigningKey, error) {
	var k struct{ Kty, Crv, N, E, D, P, Q, X, Y, K string }
	if json.Unmarshal(text, &k) != nil {
		return nil, errNoKey
	}
	number := func(s string) *big.Int { return new(big.Int).SetBytes(decoded(s)) }
	switch {
	case k.Kty == "oct" && k.K != "":
		return newSigningKey(decoded(k.K)), nil
	case k.Kty == "RSA" && k.D != "" && k.P != "" && k.Q != "":
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}, D: number(k.D), Primes: []*big.Int{number(k.P), number(k.Q)}}
		if key.Validate() != nil {
			return nil, errNoKey
		}
		key.Precompute()
		return newSigningKey(key), nil
	case k.Kty == "EC" && k.D != "":
		curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Crv]
		if !ok {
			return nil, fmt.Errorf("its curve is not one of P-256, P-384 and P-521")
		}
		key, err := ecdsa.ParseRawPrivateKey(curve, decoded(k.D))
		if err != nil {
			return nil, errNoKey
		}
		return newSigningKey(key), nil
	case k.Kty == "OKP" && k.Crv == "Ed25519" && len(decoded(k.D)) == ed25519.SeedSize:
		return newSigningKey(ed25519.NewKeyFromSeed(decoded(k.D))), nil
	}
	return nil, errNoKey
}

func decoded(s string) []byte {
	out, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil
	}
	return out
}

// Expire is the token as it would be if it had expired some time ago: the same header and
// claims, but exp, iat and nbf, signed by the key with the algorithm of its header. Errors
// repeat nothing of the token.
func (k *SigningKey) Expire(token string, now, ago int64) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the token has not three parts")
	}
	var header struct {
		Alg string `json:"alg"`
	}
	var claims map[string]json.RawMessage
	if json.Unmarshal(decoded(parts[0]), &header) != nil || json.Unmarshal(decoded(parts[1]), &claims) != nil || claims == nil {
		return "", errors.New("the token's header or payload is no JSON object")
	}
	const hour = 3600
	set := func(name string, at int64) { claims[name] = json.RawMessage(fmt.Sprint(at)) }
	set("exp", now-ago)
	if _, has := claims["iat"]; has {
		set("iat", now-ago-hour)
	}
	if _, has := claims["nbf"]; has {
		set("nbf", now-ago-hour)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", errors.New("the token's payload cannot be written again")
	}
	input := parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := k.sign(header.Alg, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// sign signs as RFC 7518, section 3, and RFC 8037 say.
func (k *SigningKey) sign(alg string, input []byte) ([]byte, error) {
	hash, ok := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[min(2, len(alg)):]]
	digest := func() []byte { h := hash.New(); h.Write(input); return h.Sum(nil) }
	switch key := k.private().(type) {
	case *rsa.PrivateKey:
		switch {
		case ok && strings.HasPrefix(alg, "RS"):
			return rsa.SignPKCS1v15(nil, key, hash, digest())
		case ok && strings.HasPrefix(alg, "PS"):
			return rsa.SignPSS(rand.Reader, key, hash, digest(), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		if ok && strings.HasPrefix(alg, "ES") {
			r, s, err := ecdsa.Sign(rand.Reader, key, digest())
			if err != nil {
				return nil, fmt.Errorf("sign: %w", err)
			}
			const bitsPerByte = 8
			size := (key.Params().BitSize + bitsPerByte - 1) / bitsPerByte
			return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
		}
	case ed25519.PrivateKey:
		if alg == "EdDSA" {
			return ed25519.Sign(key, input), nil
		}
	case []byte:
		if ok && strings.HasPrefix(alg, "HS") {
			mac := hmac.New(hash.New, key)
			mac.Write(input)
			return mac.Sum(nil), nil
		}
	}
	return nil, errors.New("the key is not one for the algorithm of the token's header")
}
