package keycheck

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// putInline needs no fetch at all: the keys that were given, or seen at the URI.
func (r *rule) putInline() {
	if r.tokenRefused() && !r.out.Has(diag.KeysStale) && !r.out.Has(diag.KeysNotFetched) {
		return // other keys are wanted, not another way for these
	}
	keys := r.given
	if keys == nil {
		keys = r.live
	}
	if keys == nil || keys.unchecked { // what anybody may have put in is no key to trust
		r.offer(Fix{Code: diag.KeysNotFetched, Summary: "or fetch nothing: give the keys, and a fix here puts them into the rule", KeysOf: r.keyName()}, nil)
		return
	}
	text, err := scaffold.PublicKeys(keys.doc)
	if err != nil {
		return // a private half, or what is no set of keys
	}
	r.editRule(diag.KeysNotFetched, "put the keys into the rule, as seen from "+keys.from+", and fetch nothing: new keys are then yours to bring", func(e *mesh.Editor, at string) error {
		if r.out.URI != "" {
			if err := e.Remove(at + ".jwksUri"); err != nil {
				return err
			}
		}
		return e.Set(at+".jwks", text)
	})
}

// replaceKeys brings other keys into a rule that has them in itself, where no proxy can use
// those or the token fits none of them. Which are right only their issuer knows: they
// have to be given.
func (r *rule) replaceKeys() {
	code := diag.KeysUnusable
	if !r.out.Has(code) {
		if code = r.tokenTrouble(); code == "" {
			return
		}
	}
	switch {
	case r.given == nil && r.out.Issuer != "":
		r.offer(Fix{Code: code, Summary: "give the keys that the issuer has published, and a fix here puts them into the rule", KeysOf: r.out.Issuer}, nil)
		return
	case r.given == nil, r.out.Token != nil && r.given.set.Verify(r.ev.Token) != jwt.OK: // they help no more
		return
	}
	text, err := scaffold.PublicKeys(r.given.doc)
	if err != nil {
		return
	}
	r.editRule(code, "put the keys that were given into the rule, in the place of those there: tokens that only those fit are refused then", func(e *mesh.Editor, at string) error {
		return e.Set(at+".jwks", text)
	})
}
