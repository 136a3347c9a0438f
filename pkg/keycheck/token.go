package keycheck

import (
	"fmt"
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// token tries the token that was given on what the proxies hold and on what is at the
// URI. A token of another issuer is for another rule.
func (r *rule) token() {
	t := r.ev.Token
	if t == nil || r.out.Issuer != "" && t.Issuer != r.out.Issuer {
		return
	}
	check := &TokenCheck{Kid: t.Kid, Alg: t.Alg}
	r.out.Token = check
	if set := r.expected(); set != nil && r.out.Fetcher != ByNobody {
		check.AtURI = statusText(set.set.Verify(t))
	}
	var worst jwt.Status
	tried, nameless := false, false
	for _, p := range r.ev.Proxies {
		held := r.heldBy(p)
		if held == nil || held.Keys.Inline == "" {
			continue
		}
		set, status := jwks.Parse([]byte(held.Keys.Inline))
		if status != jwt.OK {
			continue
		}
		if s := set.Verify(t); !tried || s != jwt.OK {
			worst = s
		}
		tried = true
		nameless = nameless || slices.ContainsFunc(set.Keys, func(k jwks.Key) bool { return k.Kid == "" })
	}
	if !tried && r.out.Fetcher == ByNobody {
		if set, status := jwks.Parse([]byte(r.spec.GetJwks())); status == jwt.OK {
			worst, tried = set.Verify(t), true
		}
	}
	if tried {
		check.InProxies = statusText(worst)
	}
	r.tokenFindings(check, nameless && t.Kid != "")
}

func statusText(s jwt.Status) *string {
	text := ""
	if s != jwt.OK {
		text = s.String()
	}
	return &text
}

// tokenFindings say why the token does not fit: the keys that are held are older than
// those at the URI, or it is of somebody else.
func (r *rule) tokenFindings(c *TokenCheck, nameless bool) {
	held, live := c.InProxies, c.AtURI
	bad := func(s *string) bool { return s != nil && *s != "" }
	good := func(s *string) bool { return s != nil && *s == "" }
	code := func(s *string) diag.Code {
		if *s == jwt.VerificationFails.String() {
			return diag.TokenSignature
		}
		return diag.TokenNoKey
	}
	about := fmt.Sprintf("the token (kid %q, %s)", c.Kid, c.Alg)
	if c.Kid == "" {
		about = fmt.Sprintf("the token (without kid, %s)", c.Alg)
	}
	because := ""
	if held != nil && *held == jwt.VerificationFails.String() && nameless {
		because = "; there is a key without kid, which is tried for every token, so that this does not speak of the kid"
	}
	switch {
	case bad(held) && good(live):
		r.find(code(held), diag.Error, r.keysField(), about+" fits the keys at the URI, and not those in the proxies, which are older or others: "+*held+because)
	case bad(held) && bad(live):
		r.find(code(held), diag.Error, r.keysField(), about+" fits neither the keys in the proxies nor those at the URI: it is signed by somebody else, or the address is that of another realm ("+*held+because+")")
	case bad(held) && r.out.Fetcher == ByNobody && r.given != nil && r.given.set.Verify(r.ev.Token) == jwt.OK:
		r.find(code(held), diag.Error, r.keysField(), about+" fits the keys that were given, and not those of the rule: "+*held+because)
	case bad(held):
		r.find(code(held), diag.Error, r.keysField(), about+" does not fit the keys in the proxies: "+*held+because)
	case held == nil && bad(live):
		r.find(code(live), diag.Error, r.keysField(), about+" does not fit the keys at the URI: "+*live)
	}
}
