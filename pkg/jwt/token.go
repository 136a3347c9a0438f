package jwt

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// clockSkew is how many seconds a token is accepted before nbf and after exp
// (Envoy source/common/jwt/jwt.h:kClockSkewInSecond). Istio sets no other.
const clockSkew = 60

// Token is a token that parsed. Nothing about its signature or its key has been
// checked. Printing it in any way shows neither the signature nor the text that
// it came from.
type Token struct {
	Alg string
	// Kid is "" where the header has none.
	Kid string

	Header, Payload Value

	// Issuer, Subject and JTI are "" where the payload has none; the proxy makes
	// no difference, except in what it forwards, which Has... tell.
	Issuer, Subject, JTI          string
	HasIssuer, HasSubject, HasJTI bool
	// Audiences has one element where aud is a string.
	Audiences []string
	// IssuedAt, NotBefore and Expires are seconds since the epoch, 0 where the
	// payload has none.
	IssuedAt, NotBefore, Expires uint64

	secret func() parts
}

// parts is what must not be printed. It is behind a function, the one kind of
// value that fmt never looks into: even a Token in an unexported field, whose
// methods fmt cannot call, prints as an address, whatever the verb.
type parts struct {
	header, payload string
	signature       []byte
}

// Parse reads a token in the compact form. The Token is nil unless the status
// is OK. The order of the checks decides which of several defects is reported
// (Envoy source/common/jwt/jwt.cc:Jwt::parseFromString).
func Parse(raw string) (*Token, Status) {
	header, payload, signature, ok := split(raw)
	if !ok {
		return nil, BadFormat
	}
	t := &Token{}
	if s := t.parseHeader(header); s != OK {
		return nil, s
	}
	if s := t.parsePayload(payload); s != OK {
		return nil, s
	}
	decoded, ok := DecodeBase64URL(signature)
	if !ok {
		return nil, SignatureBase64
	}
	secret := parts{header, payload, decoded}
	t.secret = func() parts { return secret }
	return t, OK
}

// split cuts at the dots and drops empty parts, of which three must be left.
func split(raw string) (header, payload, signature string, ok bool) {
	var found [3]string
	n := 0
	for part := range strings.SplitSeq(raw, ".") {
		if part == "" {
			continue
		}
		if n == len(found) {
			return "", "", "", false
		}
		found[n] = part
		n++
	}
	return found[0], found[1], found[2], n == len(found)
}

func (t *Token) parseHeader(part string) Status {
	text, ok := DecodeBase64URL(part)
	if !ok {
		return HeaderParseBase64
	}
	var err error
	if t.Header, err = ParseJSON(text); err != nil {
		return HeaderParseJSON
	}
	alg, ok := t.Header.Field("alg")
	if !ok || alg.Kind() != String {
		return HeaderBadAlg
	}
	t.Alg = alg.Text()
	if !Implemented(t.Alg) {
		return AlgNotImplemented
	}
	if t.Kid, _, ok = stringField(t.Header, "kid"); !ok {
		return HeaderBadKid
	}
	return OK
}

func (t *Token) parsePayload(part string) Status {
	text, ok := DecodeBase64URL(part)
	if !ok {
		return PayloadParseBase64
	}
	var err error
	if t.Payload, err = ParseJSON(text); err != nil {
		return PayloadParseJSON
	}
	if t.Issuer, t.HasIssuer, ok = stringField(t.Payload, "iss"); !ok {
		return IssNotString
	}
	if t.Subject, t.HasSubject, ok = stringField(t.Payload, "sub"); !ok {
		return SubNotString
	}
	for _, claim := range []struct {
		name                   string
		into                   *uint64
		notInteger, outOfRange Status
	}{
		{"iat", &t.IssuedAt, IatNotInteger, IatOutOfRange},
		{"nbf", &t.NotBefore, NbfNotInteger, NbfOutOfRange},
		{"exp", &t.Expires, ExpNotInteger, ExpOutOfRange},
	} {
		v, found := t.Payload.Field(claim.name)
		if !found {
			continue
		}
		if v.Kind() != Number {
			return claim.notInteger
		}
		if *claim.into, ok = toUint64(v.Number()); !ok {
			return claim.outOfRange
		}
	}
	if t.JTI, t.HasJTI, ok = stringField(t.Payload, "jti"); !ok {
		return JtiNotString
	}
	if t.Audiences, ok = stringList(t.Payload, "aud"); !ok {
		return AudNotString
	}
	return OK
}

// Implemented reports whether the proxy knows the algorithm. Case counts.
func Implemented(alg string) bool {
	switch alg {
	case "ES256", "ES384", "ES512", "HS256", "HS384", "HS512",
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA":
		return true
	}
	return false
}

// stringField reads a string that may be absent; ok is false for another type.
func stringField(object Value, name string) (s string, found, ok bool) {
	v, found := object.Field(name)
	return v.text, found, !found || v.kind == String
}

// stringList reads a string or a list of strings (struct_utils.cc:GetStringList).
func stringList(object Value, name string) (all []string, ok bool) {
	v, found := object.Field(name)
	if !found {
		return nil, true
	}
	switch v.kind {
	case String:
		return []string{v.text}, true
	case List:
		for _, e := range v.list {
			if e.kind != String {
				return nil, false
			}
			all = append(all, e.text)
		}
		return all, true
	}
	return nil, false
}

// toUint64 cuts off the fraction (struct_utils.cc:GetUInt64). A negative number
// is out of range even where only its fraction is not zero.
func toUint64(f float64) (uint64, bool) {
	if f < 0 || f >= 1<<64 {
		return 0, false
	}
	return uint64(f), true
}

// VerifyTime checks nbf, then exp, at now, in whole seconds since the epoch
// (Envoy source/common/jwt/jwt.cc:Jwt::verifyTimeConstraint).
func (t *Token) VerifyTime(now int64) Status {
	at := uint64(max(now, 0))
	if at+clockSkew < t.NotBefore {
		return NotYetValid
	}
	if t.Expires != 0 && at > t.Expires+clockSkew {
		return Expired
	}
	return OK
}

// Signature is the decoded signature.
func (t *Token) Signature() []byte { return t.parts().signature }

// SigningInput is what was signed: the header and the payload as they were sent,
// joined by one dot whatever stood between them (Envoy
// source/common/jwt/verify.cc:verifyJwtWithoutTimeChecking).
func (t *Token) SigningInput() []byte {
	p := t.parts()
	return []byte(p.header + "." + p.payload)
}

// RawPayload is the payload as it was sent, which is what outputPayloadToHeader
// forwards.
func (t *Token) RawPayload() string { return t.parts().payload }

// parts is empty for a Token that Parse did not make.
func (t *Token) parts() parts {
	if t.secret == nil {
		return parts{}
	}
	return t.secret()
}

// String describes the token by its header and its issuer and subject.
func (t Token) String() string {
	return fmt.Sprintf("jwt(alg %q, kid %q, iss %q, sub %q)", t.Alg, t.Kid, t.Issuer, t.Subject)
}

// GoString is String, so that %#v shows no more.
func (t Token) GoString() string { return t.String() }

// Format writes String for every verb.
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.String())
}

// MarshalJSON writes the header and the payload, never the signature.
func (t Token) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Header  Value `json:"header"`
		Payload Value `json:"payload"`
	}{t.Header, t.Payload})
}
