package diagnose_test

import (
	"slices"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// Whatever the JWT filter answers leads to a page.
func TestEachAnswerAboutATokenHasACode(t *testing.T) {
	for _, s := range jwt.Statuses() {
		if s == jwt.OK {
			continue
		}
		for _, seen := range []string{s.String(), "401 " + s.String(), `401 "` + s.String() + `"`} {
			if got := diagnose.CodesOf(seen); len(got) == 0 || got[0].Page() == "" {
				t.Errorf("%q leads to %v", seen, got)
			}
		}
	}
}

func TestAStatusAloneLeadsToAllThatMayBeBehindIt(t *testing.T) {
	for seen, want := range map[string][]diag.Code{
		"401":                     {diag.TokenExpired, diag.TokenIssuer, diag.KeysNotFetched, diag.ApplicationAnswered},
		"403":                     {diag.PolicyDenied, diag.NoPolicyAllowed, diag.ForbiddenNoToken},
		"403 RBAC: access denied": {diag.PolicyDenied, diag.NoPolicyAllowed},
		"Provider 'origins-0' in jwt_authn config has invalid local jwks: Jwks doesn't have any valid public key": {diag.KeysUnusable},
		"200":                                  {diag.NoProxy, diag.TokenNotRequired, diag.ListenerRefused},
		" 400 ":                                {diag.RequestRejected},
		"503":                                  {diag.ConnectionRefused, diag.ApplicationAnswered},
		"403 Audiences in Jwt are not allowed": {diag.TokenAudience},
		"HTTP/1.1 401 Unauthorized":            {diag.TokenExpired, diag.TokenMissing},
		"HTTP/2 403 ":                          {diag.PolicyDenied, diag.TokenAudience},
		"rbac_access_denied_matched_policy[none]":                           {diag.NoPolicyAllowed},
		"rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]":        {diag.PolicyDenied},
		"jwt_authn_access_denied{Jwt_is_expired}":                           {diag.TokenExpired},
		"upstream connect error or disconnect/reset before headers":         {diag.ConnectionRefused},
		"curl: (56) Recv failure: Connection reset by peer":                 {diag.ConnectionRefused},
		"curl: (52) Empty reply from server":                                {diag.ConnectionRefused},
		`www-authenticate: Bearer realm="http://h/", error="invalid_token"`: {diag.TokenExpired, diag.TokenIssuer},
	} {
		got := diagnose.CodesOf(seen)
		for _, c := range want {
			if !slices.Contains(got, c) {
				t.Errorf("%q leads to %v, and not to %s", seen, got, c)
			}
		}
		for i, c := range got {
			if slices.Contains(got[:i], c) {
				t.Errorf("%q leads to %s twice", seen, c)
			}
		}
	}
}

func TestWhatIsNoAnswerLeadsToNothing(t *testing.T) {
	for _, seen := range []string{"", " ", "a", "999", "hello world", "403 hello"} {
		if got := diagnose.CodesOf(seen); len(got) > 0 {
			t.Errorf("%q leads to %v", seen, got)
		}
	}
}

func TestAnAnswerLeadsToNothingThatItCannotBe(t *testing.T) {
	for seen, not := range map[string]diag.Code{
		"401":                 diag.TokenAudience, // which is a 403
		"RBAC: access denied": diag.TokenAudience, // which says so
		"invalid_token":       diag.TokenMissing,  // for which Envoy writes no error
		"rbac_access_denied_matched_policy[none]": diag.PolicyDenied,
	} {
		if got := diagnose.CodesOf(seen); len(got) == 0 || slices.Contains(got, not) {
			t.Errorf("%q leads to %v", seen, got)
		}
	}
}
