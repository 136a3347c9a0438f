package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"math/big"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// parseKey reads one entry of a keys list (Envoy source/common/jwt/jwks.cc:extractJwk).
// The key has its kid even where the status is not OK.
func parseKey(entry jwt.Value) (Key, jwt.Status) {
	key := Key{Kid: optional(entry, "kid"), Alg: optional(entry, "alg")}
	var s jwt.Status
	if key.Kty, s = required(entry, "kty", jwt.JwksMissingKty, jwt.JwksBadKty); s != jwt.OK {
		return key, s
	}
	switch key.Kty {
	case "EC":
		return key, key.readEC(entry)
	case "RSA":
		return key, key.readRSA(entry)
	case "oct":
		return key, key.readOct(entry)
	case "OKP":
		return key, key.readOKP(entry)
	}
	return key, jwt.JwksKtyNotImplemented
}

func (k *Key) hold(m material) { k.material = func() material { return m } }

// held is empty for a Key that Parse did not make; it verifies nothing.
func (k *Key) held() material {
	if k.material == nil {
		return material{}
	}
	return k.material()
}

// optional is a string member, or "" for anything else.
func optional(entry jwt.Value, name string) string {
	v, _ := entry.Field(name)
	return v.Text()
}

// required is a string member, or a status for none or another type.
func required(entry jwt.Value, name string, missing, wrongType jwt.Status) (string, jwt.Status) {
	v, found := entry.Field(name)
	if !found {
		return "", missing
	}
	if v.Kind() != jwt.String {
		return "", wrongType
	}
	return v.Text(), jwt.OK
}

func (k *Key) readRSA(entry jwt.Value) jwt.Status {
	if k.Alg != "" && !strings.HasPrefix(k.Alg, "RS") && !strings.HasPrefix(k.Alg, "PS") {
		return jwt.JwksRSABadAlg
	}
	n, s := required(entry, "n", jwt.JwksRSAMissingN, jwt.JwksRSABadN)
	if s != jwt.OK {
		return s
	}
	e, s := required(entry, "e", jwt.JwksRSAMissingE, jwt.JwksRSABadE)
	if s != jwt.OK {
		return s
	}
	modulus, okN := bigInt(n)
	exponent, okE := bigInt(e)
	if !okN || !okE || !exponent.IsUint64() || exponent.Uint64() != 3 && exponent.Uint64() != 65537 {
		return jwt.JwksRSAParse
	}
	key, ok := newRSAKey(modulus, exponent)
	if !ok {
		return jwt.JwksRSAParse
	}
	k.hold(material{rsa: key})
	return jwt.OK
}

// ecCurve is an algorithm of EC keys with its curve.
type ecCurve struct {
	alg, crv string
	curve    elliptic.Curve
}

func curves() []ecCurve {
	return []ecCurve{
		{"ES256", "P-256", elliptic.P256()},
		{"ES384", "P-384", elliptic.P384()},
		{"ES512", "P-521", elliptic.P521()},
	}
}

func (k *Key) readEC(entry jwt.Value) jwt.Status {
	if k.Alg != "" && !strings.HasPrefix(k.Alg, "ES") {
		return jwt.JwksECBadAlg
	}
	crv, found := entry.Field("crv")
	if found && crv.Kind() != jwt.String {
		return jwt.JwksECBadCrv
	}
	curve, s := k.chooseCurve(crv.Text())
	if s != jwt.OK {
		return s
	}
	x, s := required(entry, "x", jwt.JwksECMissingX, jwt.JwksECBadX)
	if s != jwt.OK {
		return s
	}
	y, s := required(entry, "y", jwt.JwksECMissingY, jwt.JwksECBadY)
	if s != jwt.OK {
		return s
	}
	return k.setPoint(curve, x, y)
}

// chooseCurve sets Crv from the document's crv and the key's alg, which must
// agree where both are given. Neither means P-256.
func (k *Key) chooseCurve(crv string) (elliptic.Curve, jwt.Status) {
	k.Crv = crv
	if k.Alg == "" && crv == "" {
		k.Crv = "P-256"
	}
	for _, c := range curves() {
		if k.Alg != "" && crv != "" && c.alg == k.Alg && c.crv == crv ||
			(k.Alg == "" || crv == "") && (c.alg == k.Alg || c.crv == k.Crv) {
			k.Crv = c.crv
			return c.curve, jwt.OK
		}
	}
	if k.Alg != "" && crv != "" {
		return nil, jwt.JwksECAlgCrvMismatch
	}
	return nil, jwt.JwksECUnsupported
}

// setPoint wants both coordinates below the field's prime and the point on the
// curve (BoringSSL EC_KEY_set_public_key_affine_coordinates). Leading zeros, or
// their absence, do not matter.
func (k *Key) setPoint(curve elliptic.Curve, x, y string) jwt.Status {
	bx, okX := bigInt(x)
	by, okY := bigInt(y)
	if !okX || !okY {
		return jwt.JwksECBadBase64
	}
	size := (curve.Params().BitSize + 7) / 8
	if bx.BitLen() > size*8 || by.BitLen() > size*8 {
		return jwt.JwksECParse
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	bx.FillBytes(point[1 : 1+size])
	by.FillBytes(point[1+size:])
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return jwt.JwksECParse
	}
	k.hold(material{ec: key})
	return jwt.OK
}

func (k *Key) readOct(entry jwt.Value) jwt.Status {
	switch k.Alg {
	case "", "HS256", "HS384", "HS512":
	default:
		return jwt.JwksOctBadAlg
	}
	text, s := required(entry, "k", jwt.JwksOctMissingK, jwt.JwksOctBadK)
	if s != jwt.OK {
		return s
	}
	secret, ok := jwt.DecodeBase64URL(text)
	if !ok || len(secret) == 0 {
		return jwt.JwksOctBadBase64
	}
	k.hold(material{hmac: secret})
	return jwt.OK
}

func (k *Key) readOKP(entry jwt.Value) jwt.Status {
	if k.Alg != "" && k.Alg != "EdDSA" {
		return jwt.JwksOKPBadAlg
	}
	crv, s := required(entry, "crv", jwt.JwksOKPMissingCrv, jwt.JwksOKPBadCrv)
	if s != jwt.OK {
		return s
	}
	if k.Crv = crv; crv != "Ed25519" {
		return jwt.JwksOKPUnsupported
	}
	text, s := required(entry, "x", jwt.JwksOKPMissingX, jwt.JwksOKPBadX)
	if s != jwt.OK {
		return s
	}
	raw, ok := jwt.DecodeBase64URL(text)
	if !ok {
		return jwt.JwksOKPBadBase64
	}
	if len(raw) != ed25519.PublicKeySize {
		return jwt.JwksOKPWrongLength
	}
	k.hold(material{okp: raw})
	return jwt.OK
}

// bigInt is a number in base64url, big endian, of any length.
func bigInt(text string) (*big.Int, bool) {
	raw, ok := jwt.DecodeBase64URL(text)
	if !ok {
		return nil, false
	}
	return new(big.Int).SetBytes(raw), true
}
