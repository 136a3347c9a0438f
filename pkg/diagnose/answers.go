package diagnose

import (
	"slices"
	"strings"

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
		diag.TokenTaken, diag.CustomProviderBad, diag.PreflightRefused, diag.IdentityNeedsMTLS, diag.AnotherHop, diag.ApplicationAnswered,
	},
	"404": {diag.RequestRejected, diag.ApplicationAnswered},
	"431": {diag.RequestRejected},
	"503": {diag.ConnectionRefused},
}

// shortestWords is the least of a body that says anything.
const shortestWords = 3

// CodesOf are the codes of what may be behind an answer as a client sees it: a status, a
// body, or both ("401 Jwt is expired"); none where it is no answer of a proxy's.
func CodesOf(answer string) []diag.Code {
	answer = strings.TrimSpace(answer)
	status, body, _ := strings.Cut(answer, " ")
	if statusCodes[status] == nil {
		status, body = "", answer
	}
	body = strings.ToLower(strings.Trim(body, ` "'`))
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
		case code != "" && (said(s.String()) || body == "" && status == "401"):
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
		out = append(out, statusCodes["403"]...)
	}
	var once []diag.Code
	for _, c := range out {
		if !slices.Contains(once, c) {
			once = append(once, c)
		}
	}
	return once
}
