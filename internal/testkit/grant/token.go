package grant

import (
	"crypto/rsa"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// signer signs for one key set.
type signer struct {
	key      mint.Key
	kid, alg string
}

// signerFor finds the private key of one of a provider's keys; nil if nobody has
// one.
func (w *work) signerFor(p *envoy.Provider) *signer {
	set := w.keys[p.Keys].Set
	if set == nil {
		return nil
	}
	id := any(set)
	if p.Keys.Fetcher == envoy.Inline {
		id = p.Keys
	}
	s, known := w.granter.signers[id]
	if !known {
		s = findSigner(set)
		w.granter.signers[id] = s
	}
	return s
}

func findSigner(set *jwks.Set) *signer {
	for _, k := range set.Keys {
		for _, name := range mint.Names() {
			private, _ := mint.Lookup(name)
			if private.JWK()["kty"] != k.Kty {
				continue
			}
			s := &signer{private, k.Kid, k.Alg}
			if s.alg == "" {
				s.alg = private.Algorithms()[0]
			}
			if public, ok := private.Public().(*rsa.PublicKey); ok && (public.N.BitLen() != k.Bits() || k.Bits() <= 1024 && s.alg == "PS512") {
				continue // another key, or one that is too short for two hashes of that length
			}
			if t, status := jwt.Parse(s.sign(map[string]any{})); status == jwt.OK && set.Verify(t) == jwt.OK {
				return s
			}
		}
	}
	return nil
}

func (s *signer) sign(payload map[string]any) string {
	header := map[string]any{"alg": s.alg}
	if s.kid != "" {
		header["kid"] = s.kid
	}
	return mint.TokenAlg(s.key, s.alg, text(header), text(payload))
}

func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // made of JSON
	}
	return string(out)
}

// claims are the claims of the request's first token that parses and that a rule
// could take, without those that limit it in time.
func (w *work) claims() map[string]any {
	out := map[string]any{}
	for _, f := range envoy.FindTokens(w.req, jwtFilter(w.p).Providers) {
		t, status := jwt.Parse(f.Text)
		if status != jwt.OK {
			continue
		}
		if json.Unmarshal([]byte(t.Payload.String()), &out) != nil {
			out = map[string]any{}
		}
		break
	}
	for _, name := range []string{"exp", "nbf", "iat", "jti"} {
		delete(out, name)
	}
	return out
}

// principal makes iss and sub match.
func (w *work) principal(m *envoy.PrincipalMatch) Impossible {
	jf := jwtFilter(w.p)
	if jf == nil {
		return NobodyVerifies
	}
	why := NoSuchValue
	for _, sub := range samples(m.Subject) {
		for _, iss := range samples(m.Issuer) {
			payload := w.claims()
			payload["sub"], payload["iss"] = sub, iss
			if !accepts(m.Subject, sub) {
				continue
			}
			if splits(jf, "sub") || splits(jf, "iss") {
				return ClaimIsList
			}
			if why = w.tokenFrom(payload, m.Issuer); why == "" {
				return ""
			}
		}
	}
	return why
}

// splits says whether a rule makes a list of a claim that is a text.
func splits(jf *envoy.JWTAuthn, claim string) bool {
	return slices.ContainsFunc(jf.Providers, func(p envoy.Provider) bool { return slices.Contains(p.SpaceDelimited, claim) })
}

var anyText = envoy.StringMatch{Kind: envoy.StringNonEmpty}

// claim makes a claim match.
func (w *work) claim(path []string, m envoy.StringMatch) Impossible {
	jf := jwtFilter(w.p)
	if jf == nil {
		return NobodyVerifies
	}
	if len(path) == 0 {
		return NoClaimName
	}
	switch path[0] {
	case "exp", "nbf", "iat":
		return ClaimType
	case "iss", "sub", "aud", "jti":
		if len(path) > 1 {
			return ClaimType
		}
	}
	why := NoSuchValue
	for _, v := range samples(m) {
		if !accepts(m, v) {
			continue
		}
		payload, issuer := w.claims(), anyText
		switch {
		case path[0] == "iss" || path[0] == "sub" || path[0] == "jti":
			payload[path[0]] = v
			if splits(jf, path[0]) && (v == "" || strings.Contains(v, " ")) {
				return ClaimIsList
			}
			if path[0] == "iss" {
				issuer = m
			}
		case path[0] == "aud" || len(path) == 1 && splits(jf, path[0]):
			payload[path[0]] = []any{v}
		default:
			setClaim(payload, path, v)
		}
		if why = w.tokenFrom(payload, issuer); why == "" {
			return ""
		}
	}
	return why
}

// setClaim sets a claim below objects, which it makes where there are none.
func setClaim(payload map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		inner, ok := payload[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			payload[name] = inner
		}
		payload = inner
	}
	payload[path[len(path)-1]] = v
}

// withoutClaim takes the tokens away; where one is required, the claim.
func (w *work) withoutClaim(ms []envoy.Matcher, name string) Impossible {
	jf := jwtFilter(w.p)
	if jf == nil || jf.Requirement.Kind != envoy.RequireAll {
		return w.dropTokens()
	}
	payload := w.claims()
	delete(payload, name)
	issuer := anyText
	_, principal := ms[0].(*envoy.PrincipalMatch)
	if !principal && (name == "iss" || name == "aud") {
		return ClaimIsRequired
	}
	return w.tokenFrom(payload, issuer)
}

// writtenBy finds the provider that copies a claim into the header, and the claim;
// -1 if none writes it. The claim is empty for a header with the whole payload.
func (w *work) writtenBy(header string) (provider int, claim string) {
	jf := jwtFilter(w.p)
	if jf == nil {
		return -1, ""
	}
	provider = -1
	for i := range jf.Providers {
		for _, c := range jf.Providers[i].ClaimHeaders {
			if strings.EqualFold(c.Header, header) {
				return i, c.Claim
			}
		}
		if strings.EqualFold(jf.Providers[i].PayloadHeader, header) {
			provider = i
		}
	}
	return provider, ""
}

// claimHeader makes the JWT filter write the header that is wanted.
func (w *work) claimHeader(name string, provider int, claim string, m envoy.StringMatch) Impossible {
	jf := jwtFilter(w.p)
	if claim == "" || jf.Requirement.Kind == envoy.RequireAll {
		return ClaimHeaderText
	}
	path := strings.Split(claim, ".")
	switch path[0] {
	case "iss", "sub", "aud", "exp", "nbf", "iat":
		return ClaimHeaderText
	}
	before := w.req
	for _, v := range samples(m) {
		payload := w.claims()
		setClaim(payload, path, v)
		if w.tokenOf(provider, payload, anyText) != "" || v == "" {
			continue
		}
		up := w.arrives(true)
		if up == nil || !slices.ContainsFunc(up.Headers, func(h envoy.Header) bool { return strings.EqualFold(h.Name, name) && accepts(m, h.Value) }) {
			w.req = clone(before)
			continue // another rule takes the token first, or writes the same header
		}
		return ""
	}
	return ClaimHeaderText
}

// tokenFrom puts a token with the claims into the request, of the first rule that
// takes it and whose issuer is one that is wanted. It is the only token then.
func (w *work) tokenFrom(payload map[string]any, issuer envoy.StringMatch) Impossible {
	jf := jwtFilter(w.p)
	if jf.Requirement.Kind == envoy.RequireAll && len(jf.Providers) > 1 {
		return SeveralRequired
	}
	why := NoSuchIssuer
	for i := range jf.Providers {
		switch got := w.tokenOf(i, payload, issuer); got {
		case "":
			return ""
		case NoSuchIssuer:
		default:
			why = got
		}
	}
	return why
}

func (w *work) tokenOf(i int, payload map[string]any, issuer envoy.StringMatch) Impossible {
	p := &jwtFilter(w.p).Providers[i]
	out := map[string]any{}
	for k, v := range payload {
		out[k] = v
	}
	switch {
	case p.Issuer == "":
		if s, ok := out["iss"].(string); !ok || !accepts(issuer, s) {
			out["iss"] = samples(issuer)[0]
		}
	case !accepts(issuer, p.Issuer):
		return NoSuchIssuer
	default:
		out["iss"] = p.Issuer
	}
	if len(p.Audiences) > 0 {
		switch aud := out["aud"].(type) {
		case []any:
			out["aud"] = append(slices.Clone(aud), p.Audiences[0])
		case string:
			out["aud"] = []any{aud, p.Audiences[0]}
		default:
			out["aud"] = p.Audiences[0]
		}
	}
	s := w.signerFor(p)
	if s == nil {
		return NoPrivateKey
	}
	return w.place(p, s.sign(out))
}

// place puts a token where one provider looks, alone.
func (w *work) place(p *envoy.Provider, token string) Impossible {
	before := w.req
	for _, l := range p.EffectiveLocations() {
		w.req = clone(before)
		w.clear()
		if w.put(p, l, token) {
			return ""
		}
	}
	w.req = before
	return NoPlaceForToken
}

// dropTokens removes every token, if the proxy does not ask for one.
func (w *work) dropTokens() Impossible {
	jf := jwtFilter(w.p)
	switch {
	case jf == nil:
	case jf.Requirement.Kind == envoy.RequireAll:
		return ClaimIsRequired
	default:
		w.clear()
	}
	return ""
}

// clear empties every place where a rule looks for tokens. A request that is no
// preflight afterwards has its tokens looked at.
func (w *work) clear() {
	dropConnection(w.req)
	dropHeaders(w.req, "access-control-request-method")
	for _, p := range jwtFilter(w.p).Providers {
		for _, l := range p.EffectiveLocations() {
			switch l.Kind {
			case envoy.InHeader:
				dropHeaders(w.req, l.Name)
			case envoy.InCookie:
				dropHeaders(w.req, "cookie")
			case envoy.InParam:
				w.req.Path = withoutParam(w.req.Path, l.Name)
			}
		}
	}
}

func withoutParam(target, name string) string {
	path, _, _ := strings.Cut(target, "#")
	path, query, ok := strings.Cut(path, "?")
	if !ok {
		return path
	}
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		decoded, err := url.PathUnescape(k)
		return k == name || err == nil && decoded == name
	})
	if len(pairs) == 0 {
		return path
	}
	return path + "?" + strings.Join(pairs, "&")
}

// put puts the token into one place; false where the provider would find something
// else there, or in another of its places, too.
func (w *work) put(p *envoy.Provider, l envoy.Location, token string) bool {
	switch l.Kind {
	case envoy.InParam:
		sep := "?"
		if strings.Contains(w.req.Path, "?") {
			sep = "&"
		}
		w.req.Path = strings.Trim(w.req.Path, " \t") // the proxy does so, too, and takes no blank inside
		w.req.Path += sep + url.PathEscape(l.Name) + "=" + token
		return true
	case envoy.InCookie:
		value := l.Name + "=" + token
		setHeader(w.req, "cookie", value)
		return w.readsOnly(p, "cookie", value, token)
	}
	name := strings.ToLower(l.Name)
	if strings.HasPrefix(name, ":") || name == "host" || w.written(name) {
		return false
	}
	value := l.Prefix + token
	if strings.HasPrefix(value, " ") {
		value = "x" + value // HTTP/1 cuts blanks off
	}
	setHeader(w.req, name, value)
	return w.readsOnly(p, name, value, token)
}

// written says whether any rule writes, and therefore first removes, the header.
func (w *work) written(name string) bool {
	return slices.ContainsFunc(jwtFilter(w.p).Providers, func(p envoy.Provider) bool {
		return strings.EqualFold(p.PayloadHeader, name) ||
			slices.ContainsFunc(p.ClaimHeaders, func(c envoy.ClaimHeader) bool { return strings.EqualFold(c.Header, name) })
	})
}

const tokenChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// readsOnly says whether each place of the provider in this header yields the
// token, or nothing.
func (w *work) readsOnly(p *envoy.Provider, name, value, token string) bool {
	for _, l := range p.EffectiveLocations() {
		if l.Kind != envoy.InHeader || !strings.EqualFold(l.Name, name) {
			continue
		}
		i := strings.Index(value, l.Prefix)
		if i < 0 {
			continue
		}
		rest := value[i+len(l.Prefix):]
		if l.Prefix != "" {
			rest = rest[max(0, strings.IndexAny(rest, tokenChars)):]
		}
		if rest != token {
			return false
		}
	}
	return true
}
