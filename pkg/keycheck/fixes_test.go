package keycheck

import (
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// inlineRule is a rule with its keys in itself.
func inlineRule(document []byte) string { return ruleFor(", jwks: '" + string(document) + "'") }

func tokenOf(t *testing.T, k mint.Key, header string) *jwt.Token {
	t.Helper()
	token, status := jwt.Parse(mint.Token(k, header, `{"iss":"`+theIssuer+`"}`))
	if status != jwt.OK {
		t.Fatal(status)
	}
	return token
}

// Nobody fetches the keys of such a rule, so that only its owner can bring others.
func TestKeysOfTheRuleItselfAreReplacedByThoseThatAreGiven(t *testing.T) {
	const kid = `{"alg":"RS256","kid":"new"}`
	published := []diagnose.KeyFile{{For: theIssuer, Document: newKeys()}}
	for name, c := range map[string]struct {
		inline []byte
		token  *jwt.Token
		files  []diagnose.KeyFile
		code   diag.Code // of the only fix; "": there is none
		asks   bool      // for the keys
		says   string    // the first error
	}{
		"a key that was rotated":                {oldKeys(), tokenOf(t, mint.OtherRSA(), kid), nil, diag.TokenNoKey, true, "does not fit the keys in the proxies"},
		"a key that was rotated, and the keys":  {oldKeys(), tokenOf(t, mint.OtherRSA(), kid), published, diag.TokenNoKey, false, "fits the keys that were given, and not those of the rule"},
		"a key without kid, and the keys":       {mint.JWKS(mint.RSA1024()), tokenOf(t, mint.OtherRSA(), kid), published, diag.TokenSignature, false, "fits the keys that were given"},
		"keys that do not help":                 {oldKeys(), tokenOf(t, mint.RSA1024(), kid), published, "", false, "does not fit the keys in the proxies"},
		"keys of another issuer":                {oldKeys(), tokenOf(t, mint.OtherRSA(), kid), []diagnose.KeyFile{{For: "other", Document: newKeys()}}, diag.TokenNoKey, true, "does not fit"},
		"masked keys":                           {[]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"****"}]}`), nil, nil, diag.KeysUnusable, true, "no proxy can use"},
		"masked keys, and the keys":             {[]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"****"}]}`), nil, published, diag.KeysUnusable, false, "no proxy can use"},
		"masked keys, and keys that are no use": {[]byte(`{}`), nil, []diagnose.KeyFile{{For: theIssuer, Document: []byte(`{}`)}}, diag.KeysUnusable, true, "no proxy can use"},
		"nothing that is wrong":                 {oldKeys(), nil, published, "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ev := evidenceOf(t, base+inlineRule(c.inline))
			ev.Files, ev.Token = c.files, c.token
			if keys, _ := keysOf(c.inline); keys.Problem == "" {
				ev.Proxies = holding(c.inline, c.inline)
			}
			r := check(t, ev)
			if c.says != "" && !strings.Contains(r.Rules[0].Findings[0].Message, c.says) {
				t.Errorf("%q does not say %q", r.Rules[0].Findings[0].Message, c.says)
			}
			if c.code == "" {
				if len(r.Fixes) > 0 {
					t.Errorf("fixes %+v", r.Fixes)
				}
				return
			}
			if len(r.Fixes) != 1 || r.Fixes[0].Code != c.code || (r.Fixes[0].KeysOf == theIssuer) != c.asks {
				t.Fatalf("fixes %+v", r.Fixes)
			}
			if c.asks {
				return
			}
			after := applied(t, ev, r.Fixes[0])
			after.Proxies, after.Files = holding(newKeys(), newKeys()), nil
			if rule := check(t, after).Rules[0]; rule.Verdict != OK || rule.Fetcher != ByNobody {
				t.Errorf("after the fix: %s: %+v\n%s", rule.Verdict, rule.Findings, r.Fixes[0].Manifest)
			}
		})
	}
}

// 68: on ASM the control plane is not in the cluster. It cannot reach an issuer that pods
// can, and nothing shows it but its placeholder.
func TestAnIssuerThatOnlyTheClusterCanReachIsSaidAndItsKeysPutIntoTheRule(t *testing.T) {
	const private = "http://idp.corp.internal/keys"
	ev := evidenceOf(t, base+uri(private))
	ev.Proxies = holding(publicOnly(), publicOnly())
	ev.Fetches = []Fetch{seen(private, ByExec, oldKeys())}
	r := check(t, ev)
	rule := r.Rules[0]
	if rule.Verdict != Refused || !slices.Equal(errorsOf(rule), []diag.Code{diag.KeysPending, diag.KeysNotFetched}) || !strings.Contains(rule.Findings[0].Message, "or it runs elsewhere, and cannot reach them") {
		t.Fatalf("%s: %+v", rule.Verdict, rule.Findings)
	}
	last := r.Fixes[len(r.Fixes)-1]
	if last.Code != diag.KeysNotFetched || !strings.Contains(last.Summary, "as seen from pod foo/sleep-1, through its sidecar") {
		t.Fatalf("fixes %+v", r.Fixes)
	}
	after := applied(t, ev, last)
	after.Proxies, after.Fetches = holding(oldKeys(), oldKeys()), nil
	if rule := check(t, after).Rules[0]; rule.Verdict != OK || rule.Fetcher != ByNobody {
		t.Errorf("with the keys in the rule: %s %+v\n%s", rule.Verdict, rule.Findings, last.Manifest)
	}
}
