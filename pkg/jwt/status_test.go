package jwt

import "testing"

// TestStatusCodesAreEnvoys pins codes and texts at both ends of each group, since
// the code is what Envoy writes into metadata (source/common/jwt/status.h).
func TestStatusCodesAreEnvoys(t *testing.T) {
	for _, c := range []struct {
		status Status
		code   int
		text   string
	}{
		{OK, 0, "OK"},
		{Missed, 1, "Jwt is missing"},
		{BadFormat, 4, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
		{PayloadParseJSON, 11, "Jwt payload is an invalid JSON"},
		{ExpOutOfRange, 19, "Jwt payload [exp] field is not a positive 64 bit integer"},
		{Ed25519WrongLength, 23, "Jwt ED25519 signature is wrong length"},
		{MultipleTokens, 27, "Found multiple Jwt tokens"},
		{JwksParse, 28, "Jwks is an invalid JSON"},
		{JwksNoMatchingKey, 32, "Jwks doesn't have key to match kid or alg from Jwt"},
		{JwksFetchFailed, 40, "Jwks remote fetch is failed"},
		{JwksRSAMissingN, 45, "[n] field is missing for a RSA key"},
		{JwksOctBadAlg, 57, "[alg] does not start with [HS] for an HMAC key"},
		{JwksOKPBadX, 65, "[x] field is not string for an OKP key"},
		{JwksX509PublicKey, 68, "X509 parse pubkey internal fails: get pubkey"},
		{BIOMemory, 72, "Failed to create BIO due to memory allocation failure"},
	} {
		if int(c.status) != c.code || c.status.String() != c.text {
			t.Errorf("status %d is %q, want %d %q", c.status, c.status, c.code, c.text)
		}
	}
}

func TestEveryStatusHasItsOwnText(t *testing.T) {
	seen := map[string]Status{}
	for i, s := range Statuses() {
		if int(s) != i {
			t.Errorf("status %d is at place %d", s, i)
		}
		if s.String() == "" {
			t.Errorf("status %d has no text", s)
		}
		if other, ok := seen[s.String()]; ok {
			t.Errorf("statuses %d and %d are both %q", other, s, s)
		}
		seen[s.String()] = s
	}
	if got := Status(len(Statuses())).String(); got != "" {
		t.Errorf("what is no status has the text %q", got)
	}
}
