package diagnose

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// badKey is the reason where no key verified a token: there are none, there is a
// placeholder in their place, none fits, or none of those that fit has signed it.
func (s *story) badKey(what string, tok *jwt.Token, prov *envoy.Provider, status string) reason {
	k := s.keys[prov.Keys]
	where := keysAt(prov.Keys)
	if k.Set == nil && k.Placeholder == "" {
		if prov.Keys.NoCluster {
			return reason{
				summary: "the proxy has no cluster for the key server",
				because: fmt.Sprintf("the proxy fetches %s itself and has no cluster for that host and port: a Service or ServiceEntry is missing", where),
				code:    diag.KeysNotFetched,
			}
		}
		return reason{
			summary: "the proxy has no keys of this issuer",
			because: fmt.Sprintf("the proxy fetches %s itself, and what it gets is no key set that it can use: every token of this issuer is refused", where),
			code:    diag.KeysNotFetched,
		}
	}
	if k.Placeholder != "" || isPlaceholder(k.Set) {
		if prov.Keys.Fetcher == envoy.Inline {
			where = "the keys of the issuer " + quote(prov.Issuer)
		}
		r := reason{
			summary: "the proxy holds a placeholder, not the issuer's keys",
			because: fmt.Sprintf("the control plane could not fetch %s and pushed a placeholder key, so that every token of this issuer is refused, this one too; its issuer, time and audience are fine", where),
			code:    diag.KeysNotFetched,
		}
		if k.Set != nil {
			if kind, uri, _ := jwks.Placeholder(k.Set); kind == jwks.PlaceholderForgeable {
				r.summary = "the proxy holds a placeholder key that anybody can sign for"
				r.because += "; the private half of that placeholder is public, so that anybody can make tokens that pass"
			} else if uri != "" && uri != where {
				r.because += "; the placeholder names " + quote(uri)
			}
		}
		return r
	}
	if status == jwt.JwksNoMatchingKey.String() {
		return noKey(what, tok, k.Set, where)
	}
	return wrongKey(what, tok, k.Set, where)
}

func isPlaceholder(set *jwks.Set) bool {
	_, _, ok := jwks.Placeholder(set)
	return ok
}

// keysAt names where the keys of a rule come from.
func keysAt(src envoy.KeySource) string {
	switch {
	case src.Fetcher == envoy.Inline:
		return "the key set in the rule (jwks)"
	case src.URI != "":
		return src.URI
	default:
		return "the key set that " + quote(src.Issuer) + " publishes"
	}
}

// noKey says which keys there are, where none has the token's kid and alg.
func noKey(what string, tok *jwt.Token, set *jwks.Set, where string) reason {
	names := "no kid"
	if tok.Kid != "" {
		names = "kid " + quote(tok.Kid)
	}
	head := fmt.Sprintf("%s has %s and alg %s", what, names, tok.Alg)
	for _, d := range set.Dropped {
		if tok.Kid != "" && d.Kid == tok.Kid {
			return reason{
				summary: "the key with its kid is one that the proxy cannot use",
				because: fmt.Sprintf("%s, and the proxy drops the key of that kid in %s: %s", head, where, d.Reason),
				code:    diag.KeyDropped,
			}
		}
	}
	for _, k := range set.Keys {
		if k.Kid == tok.Kid && tok.Kid != "" {
			return reason{
				summary: fmt.Sprintf("the key with its kid is for %s, and the token has %s", k.Alg, tok.Alg),
				because: fmt.Sprintf("%s, and the key of that kid in %s has alg %s", head, where, quote(k.Alg)),
			}
		}
	}
	return reason{
		summary: missingKey(tok),
		because: fmt.Sprintf("%s, and %s has %s: the issuer has rotated its keys, or the token is of another realm", head, where, keyNames(set)),
	}
}

func missingKey(tok *jwt.Token) string {
	if tok.Kid == "" {
		return "no key is for alg " + tok.Alg
	}
	return "no key has kid " + quote(tok.Kid)
}

// keyNames lists the keys of a set by kid, type and alg.
func keyNames(set *jwks.Set) string {
	const most = 4
	var out []string
	for i, k := range set.Keys {
		if i == most-1 && len(set.Keys) > most {
			out = append(out, fmt.Sprintf("%d more", len(set.Keys)-i))
			break
		}
		name := "a key without kid"
		if k.Kid != "" {
			name = "kid " + quote(k.Kid)
		}
		kind := k.Kty
		if k.Crv != "" {
			kind = k.Crv
		}
		if k.Alg != "" {
			kind += " for " + k.Alg
		}
		out = append(out, name+" ("+kind+")")
	}
	return join(out, "and")
}

// wrongKey says which keys were tried, where none of them has signed the token.
func wrongKey(what string, tok *jwt.Token, set *jwks.Set, where string) reason {
	var tried, family []string
	nameless := false
	for _, r := range set.VerifyReport(tok) {
		name := "kid " + quote(r.Key.Kid)
		if r.Key.Kid == "" {
			name = "the key without kid"
		}
		switch r.Outcome {
		case jwks.SignatureDiffers, jwks.WrongLength:
			tried, nameless = append(tried, name), nameless || r.Key.Kid == ""
		case jwks.WrongFamily:
			family = append(family, name+" ("+r.Key.Kty+")")
		}
	}
	if len(tried) == 0 {
		return reason{
			summary: "its alg is not one of the key",
			because: fmt.Sprintf("%s has alg %s, and %s of %s is of another kind", what, tok.Alg, join(family, "and"), where),
		}
	}
	const most = 4
	if len(tried) > most {
		tried = append(tried[:most-1], fmt.Sprintf("%d more", len(tried)-most+1))
	}
	r := reason{summary: "it was changed, or signed with another key"}
	r.because = fmt.Sprintf("the signature of %s is not of %s in %s: the token was changed, or signed with another key", what, join(tried, "or of"), where)
	if nameless && tok.Kid != "" {
		r.because += "; a key without kid is tried for every token, so that a rotated key shows like this"
	}
	if strings.TrimSpace(tok.Kid) == "" && len(set.Keys) > 1 {
		r.because += "; the token has no kid, so that every key was tried"
	}
	return r
}
