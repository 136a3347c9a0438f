package envoy

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// oldParser settles what a proxy that is older than the judge makes of a token
// that was parsed as the judge parses it.
func (r *jwtRun) oldParser(text string, tok *jwt.Token, st jwt.Status) jwt.Status {
	if !r.b.versioned() {
		return st
	}
	if r.b.Unsure.Has(TraitStrictJSON) && !isPlain(text, st) && !r.trait(TraitStrictJSON) {
		r.lost = r.b.doubt(TraitStrictJSON)
	}
	if st == jwt.OK && !r.b.AllAlgorithms && !strings.HasPrefix(tok.Alg, "RS") {
		r.noteTrait(TraitAllAlgorithms, false)
		return jwt.AlgNotImplemented
	}
	return st
}

// isPlain reports whether every JSON parser reads the token's parts alike: they
// are standard JSON without repeated members. A token that fails before its JSON
// is read counts as plain.
func isPlain(text string, st jwt.Status) bool {
	switch st {
	case jwt.BadFormat, jwt.HeaderParseBase64:
		return true
	case jwt.HeaderParseJSON, jwt.PayloadParseJSON:
		return false
	}
	n := 0
	for _, part := range strings.Split(text, ".") {
		if part == "" {
			continue
		}
		if n++; n > 2 {
			break
		}
		if decoded, ok := jwt.DecodeBase64URL(part); ok && !plainJSON(decoded) {
			return false
		}
	}
	return true
}

func plainJSON(text []byte) bool {
	if !utf8.Valid(text) || !json.Valid(text) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return uniqueMembers(d)
}

// uniqueMembers reads one value and reports whether no object in it has two
// members of one name.
func uniqueMembers(d *json.Decoder) bool {
	t, err := d.Token()
	if err != nil {
		return false
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return true
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			key, isText := name.(string)
			if err != nil || !isText || seen[key] {
				return false
			}
			seen[key] = true
		}
		if !uniqueMembers(d) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil
}

// listenerQuestion identifies the question whether the proxy takes a key set.
type listenerQuestion KeySource

// mayRefuse reports whether the walk ends here, since the proxy may have refused
// the listener for a key set of which it is not known whether it can be used.
func (s *state) mayRefuse(f *JWTAuthn, keys Keys) bool {
	for i := range f.Providers {
		k, ok := keys[f.Providers[i].Keys]
		if ok && k.MayRefuse != nil && !s.choose(listenerQuestion(f.Providers[i].Keys), k.MayRefuse) {
			s.lost = k.MayRefuse
			return true
		}
	}
	return false
}

// stranger is the status of a token with a set of one RSA key that has this kid
// and verifies nothing (Envoy source/common/jwt/verify.cc: a key whose kid differs
// is left out, and without any the error is another).
func stranger(kid string, tok *jwt.Token) jwt.Status {
	if kid != "" && tok.Kid != "" && tok.Kid != kid {
		return jwt.JwksNoMatchingKey
	}
	return jwt.VerificationFails
}
