package jwt

// Status is the result of reading or verifying a token or a key set. Except for
// OK its text is the body of the reply that the proxy sends, or the reason with
// which it refuses a key set.
type Status uint8

// The statuses of Envoy (source/common/jwt/status.h), in its order, so that the
// value is the code that Envoy writes into failed_status_in_metadata.
const (
	OK Status = iota

	Missed
	NotYetValid
	Expired
	BadFormat
	HeaderParseBase64
	HeaderParseJSON
	HeaderBadAlg
	AlgNotImplemented
	HeaderBadKid
	PayloadParseBase64
	PayloadParseJSON
	IssNotString
	SubNotString
	IatNotInteger
	IatOutOfRange
	NbfNotInteger
	NbfOutOfRange
	ExpNotInteger
	ExpOutOfRange
	JtiNotString
	AudNotString
	SignatureBase64
	Ed25519WrongLength
	UnknownIssuer
	AudienceNotAllowed
	VerificationFails
	MultipleTokens

	JwksParse
	JwksNoKeys
	JwksBadKeys
	JwksNoValidKeys
	JwksNoMatchingKey
	JwksRSAParse
	JwksECCreateKey
	JwksECBadBase64
	JwksECParse
	JwksOctBadBase64
	JwksOKPBadBase64
	JwksOKPWrongLength
	JwksFetchFailed

	JwksMissingKty
	JwksBadKty
	JwksKtyNotImplemented

	JwksRSABadAlg
	JwksRSAMissingN
	JwksRSABadN
	JwksRSAMissingE
	JwksRSABadE

	JwksECBadAlg
	JwksECBadCrv
	JwksECUnsupported
	JwksECAlgCrvMismatch
	JwksECMissingX
	JwksECBadX
	JwksECMissingY
	JwksECBadY

	JwksOctBadAlg
	JwksOctMissingK
	JwksOctBadK

	JwksOKPBadAlg
	JwksOKPMissingCrv
	JwksOKPBadCrv
	JwksOKPUnsupported
	JwksOKPMissingX
	JwksOKPBadX

	JwksX509Memory
	JwksX509Parse
	JwksX509PublicKey

	PEMNotImplemented
	PEMParse
	PEMEd25519

	BIOMemory

	statusCount
)

// statusText has Envoy's words (source/common/jwt/status.cc:getStatusString).
var statusText = [statusCount]string{
	OK: "OK",

	Missed:             "Jwt is missing",
	NotYetValid:        "Jwt not yet valid",
	Expired:            "Jwt is expired",
	BadFormat:          "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
	HeaderParseBase64:  "Jwt header is an invalid Base64url encoded",
	HeaderParseJSON:    "Jwt header is an invalid JSON",
	HeaderBadAlg:       "Jwt header [alg] field is required and must be a string",
	AlgNotImplemented:  "Jwt header [alg] is not supported",
	HeaderBadKid:       "Jwt header [kid] field is not a string",
	PayloadParseBase64: "Jwt payload is an invalid Base64url encoded",
	PayloadParseJSON:   "Jwt payload is an invalid JSON",
	IssNotString:       "Jwt payload [iss] field is not a string",
	SubNotString:       "Jwt payload [sub] field is not a string",
	IatNotInteger:      "Jwt payload [iat] field is not an integer",
	IatOutOfRange:      "Jwt payload [iat] field is not a positive 64 bit integer",
	NbfNotInteger:      "Jwt payload [nbf] field is not an integer",
	NbfOutOfRange:      "Jwt payload [nbf] field is not a positive 64 bit integer",
	ExpNotInteger:      "Jwt payload [exp] field is not an integer",
	ExpOutOfRange:      "Jwt payload [exp] field is not a positive 64 bit integer",
	JtiNotString:       "Jwt payload [jti] field is not a string",
	AudNotString:       "Jwt payload [aud] field is not a string or string list",
	SignatureBase64:    "Jwt signature is an invalid Base64url encoded",
	Ed25519WrongLength: "Jwt ED25519 signature is wrong length",
	UnknownIssuer:      "Jwt issuer is not configured",
	AudienceNotAllowed: "Audiences in Jwt are not allowed",
	VerificationFails:  "Jwt verification fails",
	MultipleTokens:     "Found multiple Jwt tokens",

	JwksParse:          "Jwks is an invalid JSON",
	JwksNoKeys:         "Jwks does not have [keys] field",
	JwksBadKeys:        "[keys] in Jwks is not an array",
	JwksNoValidKeys:    "Jwks doesn't have any valid public key",
	JwksNoMatchingKey:  "Jwks doesn't have key to match kid or alg from Jwt",
	JwksRSAParse:       "Jwks RSA [n] or [e] field is missing or has a parse error",
	JwksECCreateKey:    "Jwks EC create key fail",
	JwksECBadBase64:    "Jwks EC [x] or [y] field is an invalid Base64.",
	JwksECParse:        "Jwks EC [x] and [y] fields have a parse error.",
	JwksOctBadBase64:   "Jwks Oct key is an invalid Base64",
	JwksOKPBadBase64:   "Jwks OKP [x] field is an invalid Base64.",
	JwksOKPWrongLength: "Jwks OKP [x] field is wrong length.",
	JwksFetchFailed:    "Jwks remote fetch is failed",

	JwksMissingKty:        "[kty] is missing in [keys]",
	JwksBadKty:            "[kty] is bad in [keys]",
	JwksKtyNotImplemented: "[kty] is not supported in [keys]",

	JwksRSABadAlg:   "[alg] is not started with [RS] or [PS] for an RSA key",
	JwksRSAMissingN: "[n] field is missing for a RSA key",
	JwksRSABadN:     "[n] field is not string for a RSA key",
	JwksRSAMissingE: "[e] field is missing for a RSA key",
	JwksRSABadE:     "[e] field is not string for a RSA key",

	JwksECBadAlg:         "[alg] is not started with [ES] for an EC key",
	JwksECBadCrv:         "[crv] field is not string for an EC key",
	JwksECUnsupported:    "[crv] or [alg] field is not supported for an EC key",
	JwksECAlgCrvMismatch: "[crv] field specified is not compatible with [alg] for an EC key",
	JwksECMissingX:       "[x] field is missing for an EC key",
	JwksECBadX:           "[x] field is not string for an EC key",
	JwksECMissingY:       "[y] field is missing for an EC key",
	JwksECBadY:           "[y] field is not string for an EC key",

	JwksOctBadAlg:   "[alg] does not start with [HS] for an HMAC key",
	JwksOctMissingK: "[k] field is missing for an HMAC key",
	JwksOctBadK:     "[k] field is not string for an HMAC key",

	JwksOKPBadAlg:      "[alg] is not [EdDSA] for an OKP key",
	JwksOKPMissingCrv:  "[crv] field is missing for an OKP key",
	JwksOKPBadCrv:      "[crv] field is not string for an OKP key",
	JwksOKPUnsupported: "[crv] field is not supported for an OKP key",
	JwksOKPMissingX:    "[x] field is missing for an OKP key",
	JwksOKPBadX:        "[x] field is not string for an OKP key",

	JwksX509Memory:    "X509 parse pubkey internal fails: memory allocation",
	JwksX509Parse:     "X509 parse pubkey fails",
	JwksX509PublicKey: "X509 parse pubkey internal fails: get pubkey",

	PEMNotImplemented: "PEM Key type is not supported",
	PEMParse:          "PEM pubkey parse fails",
	PEMEd25519:        "PEM failed to get raw ED25519 key",

	BIOMemory: "Failed to create BIO due to memory allocation failure",
}

// String is Envoy's text for the status, byte for byte. A value that is no
// status has no text.
func (s Status) String() string {
	if s >= statusCount {
		return ""
	}
	return statusText[s]
}

// Statuses lists every status in Envoy's order, OK first.
func Statuses() []Status {
	all := make([]Status, statusCount)
	for i := range all {
		all[i] = Status(i)
	}
	return all
}
