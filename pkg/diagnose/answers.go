package diagnose

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// statusCodes are the codes of what may be behind a status, the likeliest first; 401 has
// those of tokens besides.
var statusCodes = map[string][]diag.Code{
	"200": {
		diag.NoProxy, diag.TokenNotRequired, diag.NothingVerifies, diag.NotEnforced, diag.AllowOpens, diag.PortNotHTTP, diag.ProxyBypassed,
		diag.ListenerRefused, diag.KeysForgeable,
	},
	"307": {diag.RequestRejected},
	"400": {diag.RequestRejected},
	"401": {diag.KeysNotFetched, diag.OpenPathBadToken, diag.SeveralTokens, diag.ClockDiffers, diag.AnotherHop, diag.ApplicationAnswered},
	"403": {
		diag.PolicyDenied, diag.NoPolicyAllowed, diag.ForbiddenNoToken, diag.AllowsNothing, diag.PrincipalWithoutID, diag.TokenNotFound,
		diag.TokenAudience, diag.TokenTaken, diag.CustomProviderBad, diag.PreflightRefused, diag.IdentityNeedsMTLS, diag.AnotherHop, diag.ApplicationAnswered,
	},
	"404": {diag.RequestRejected, diag.ApplicationAnswered},
	"431": {diag.RequestRejected},
	"503": {diag.ConnectionRefused, diag.AnotherHop, diag.ApplicationAnswered},
}

// otherWords are what clients and logs say of answers that are no denial by a body.
var otherWords = []struct {
	words string
	codes []diag.Code
}{
	{"rbac_access_denied_matched_policy[none]", []diag.Code{diag.NoPolicyAllowed, diag.AllowsNothing, diag.ForbiddenNoToken, diag.PathNearMiss, diag.PrincipalWithoutID, diag.IdentityNeedsMTLS}},
	{"rbac_access_denied_matched_policy[", []diag.Code{diag.PolicyDenied, diag.ForbiddenNoToken, diag.AbsentNegative, diag.CustomProviderBad}},
	{"upstream connect error", statusCodes["503"]},
	{"connection reset", []diag.Code{diag.ConnectionRefused}},
	{"empty reply from server", []diag.Code{diag.ConnectionRefused}},
	{"invalid_token", nil}, // see CodesOf
}

// statusBefore is a status as curl and people write it, with what stands behind.
var statusBefore = lazyregexp.New(`^(?i:HTTP/[0-9.]+ |HTTP )?([1-5]\d\d)(?:[\s:,-]+(.*))?$`)

// phrases are what a status line has behind a status, which is no body.
var phrases = map[string]string{
	"200": "OK", "307": "Temporary Redirect", "400": "Bad Request", "401": "Unauthorized", "403": "Forbidden", "404": "Not Found",
	"431": "Request Header Fields Too Large", "503": "Service Unavailable",
}

// shortestWords is the least of a body that says anything.
const shortestWords = 3

// CodesOf are the codes of what may be behind an answer as a client or a log has it: a
// status, a body, both ("401 Jwt is expired"), or the details of an access log; none where
// it is no answer of a proxy's.
func CodesOf(answer string) []diag.Code {
	status, body := "", strings.TrimSpace(answer)
	if m := statusBefore.FindStringSubmatch(body); m != nil && statusCodes[m[1]] != nil {
		status, body = m[1], m[2]
		if strings.EqualFold(strings.TrimSpace(body), phrases[status]) {
			body = ""
		}
	}
	body = strings.ToLower(strings.Trim(body, ` "'`))
	if strings.HasPrefix(body, "jwt_authn_access_denied{") {
		body = tokenBody(body)
	}
	for _, o := range otherWords {
		switch {
		case !strings.Contains(body, o.words):
		case o.words == "invalid_token": // Envoy's www-authenticate has it for any bad token, not for none
			return slices.DeleteFunc(CodesOf("401"), func(c diag.Code) bool { return c == diag.TokenMissing })
		default:
			return o.codes
		}
	}
	var out []diag.Code
	said := func(text string) bool {
		text = strings.ToLower(text)
		return len(body) >= shortestWords && (strings.Contains(text, body) || strings.Contains(body, text))
	}
	for _, s := range jwt.Statuses()[1:] {
		code := codeOf(envoy.Step{Stage: envoy.StageJWT, Status: s.String()})
		switch {
		case code == "" && said(s.String()): // of a key set, for which the proxy refuses its configuration
			out = append(out, diag.KeysUnusable)
		case code != "" && (said(s.String()) || body == "" && status == "401" && s != jwt.AudienceNotAllowed): // which is a 403
			out = append(out, code)
		}
	}
	switch {
	case body == "":
		out = append(out, statusCodes[status]...)
		if status == "401" {
			slices.Sort(out)
		}
	case said("RBAC: access denied"):
		out = append(out, slices.DeleteFunc(slices.Clone(statusCodes["403"]), func(c diag.Code) bool { return c == diag.TokenAudience })...)
	}
	var once []diag.Code
	for _, c := range out {
		if !slices.Contains(once, c) {
			once = append(once, c)
		}
	}
	return once
}
