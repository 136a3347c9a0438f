package diagnose

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// tokenCodes are the codes of what can be wrong with a token, by Envoy's words.
var tokenCodes = map[string]diag.Code{
	jwt.Expired.String():            diag.TokenExpired,
	jwt.NotYetValid.String():        diag.TokenNotYetValid,
	jwt.UnknownIssuer.String():      diag.TokenIssuer,
	jwt.AudienceNotAllowed.String(): diag.TokenAudience,
	jwt.JwksNoMatchingKey.String():  diag.TokenNoKey,
	jwt.VerificationFails.String():  diag.TokenSignature,
	jwt.Ed25519WrongLength.String(): diag.TokenSignature,
	jwt.AlgNotImplemented.String():  diag.TokenAlgorithm,
	jwt.Missed.String():             diag.TokenMissing,
	jwt.JwksFetchFailed.String():    diag.KeysNotFetched,
	jwt.BadFormat.String():          diag.TokenMalformed,
	jwt.HeaderParseBase64.String():  diag.TokenMalformed,
	jwt.HeaderParseJSON.String():    diag.TokenMalformed,
	jwt.PayloadParseBase64.String(): diag.TokenMalformed,
	jwt.PayloadParseJSON.String():   diag.TokenMalformed,
	jwt.SignatureBase64.String():    diag.TokenMalformed,
}

func codeOf(s envoy.Step) diag.Code {
	switch s.Stage {
	case envoy.StageJWT:
		if c, ok := tokenCodes[s.Status]; ok {
			return c
		}
		if strings.HasPrefix(s.Status, "Jwt ") {
			return diag.TokenClaimType
		}
	case envoy.StageDeny:
		if s.Outcome == envoy.Matched && s.Origin.Kind != "" && !s.Shadow {
			return diag.PolicyDenied
		}
	case envoy.StageAllow:
		if s.Outcome == envoy.Matched && s.Origin.Kind == "" {
			return diag.NoPolicyAllowed
		}
	case envoy.StageConnection:
		if s.Outcome == envoy.Matched {
			return diag.ConnectionRefused
		}
	case envoy.StageCodec, envoy.StagePath:
		return diag.RequestRejected
	}
	return ""
}

// tokensOf describes the tokens that the providers find, unverified.
func tokensOf(r *envoy.Request, p *envoy.Proxy) []Token {
	var out []Token
	for _, f := range envoy.FindTokens(r, providerValues(p)) {
		t, status := jwt.Parse(f.Text)
		tok := Token{Location: f.Location, WellForm: status == jwt.OK}
		if status != jwt.OK {
			tok.Problem = status.String()
		} else {
			tok.Issuer, tok.Subject, tok.Audiences = t.Issuer, t.Subject, t.Audiences
			tok.Kid, tok.Alg, tok.Expires, tok.NotBefore = t.Kid, t.Alg, t.Expires, t.NotBefore
		}
		out = append(out, tok)
	}
	return out
}
