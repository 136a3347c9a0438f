package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// absence says why the proxy has verified no token: "the request has no token", or
// where a token is that nobody looks for.
func (s *story) absence() (phrase, short string, code diag.Code) {
	provs := s.providers()
	switch {
	case s.req.Unseen != nil && len(provs) > 0:
		return "whether the request has a token was not seen", "it was not seen whether there is one", ""
	case s.preflight():
		return "the tokens of a CORS preflight are not looked at", "a CORS preflight has none", diag.PreflightRefused
	case len(provs) == 0:
		return "no RequestAuthentication reaches the workload, so that no token is ever verified", "nothing verifies tokens here", diag.NothingVerifies
	}
	if phrase, short = s.lost(provs); phrase != "" {
		return phrase, short, diag.TokenNotFound
	}
	return "the request has no token", "there is none", ""
}

// lost says that there is something like a token where no rule looks.
func (s *story) lost(provs []*envoy.Provider) (phrase, short string) {
	for _, h := range s.req.Headers {
		name := strings.ToLower(h.Name)
		if !carries(name, h.Value) {
			continue
		}
		if prefixes := prefixesAt(provs, name); len(prefixes) > 0 {
			return wrongPrefix(name, h.Value, prefixes)
		}
		return fmt.Sprintf("there is %s in header %s, and no rule looks there: %s", tokenLike(h.Value), name, looks(provs)), "no rule looks in header " + name
	}
	if names := strayParams(s.req.Path, provs); len(names) > 0 {
		return fmt.Sprintf("there is a token in the parameter %s, and no rule looks there: %s", quote(names[0]), looks(provs)), "no rule looks in parameter " + names[0]
	}
	return "", ""
}

// strayParams are the parameters of a path that have a token and that no rule looks at.
func strayParams(path string, provs []*envoy.Provider) []string {
	var out []string
	for _, p := range queryOf(path) {
		if isToken(p.value) && !slices.ContainsFunc(provs, func(pr *envoy.Provider) bool { return looksAt(pr, envoy.InParam, p.name) }) {
			out = append(out, p.name)
		}
	}
	return out
}

// strayTokens are the places of a request where a token is that no rule takes: one that
// is no JWT is not told from any other text.
func strayTokens(r *envoy.Request, provs []*envoy.Provider) []string {
	var out []string
	for _, h := range r.Headers {
		name := strings.ToLower(h.Name)
		taken := slices.ContainsFunc(provs, func(p *envoy.Provider) bool {
			return slices.ContainsFunc(p.EffectiveLocations(), func(l envoy.Location) bool {
				return l.Kind == envoy.InHeader && strings.EqualFold(l.Name, name) && strings.HasPrefix(h.Value, l.Prefix) || l.Kind == envoy.InCookie && name == "cookie"
			})
		})
		if !taken && isToken(h.Value) {
			out = append(out, "header "+name)
		}
	}
	for _, name := range strayParams(r.Path, provs) {
		out = append(out, "parameter "+name)
	}
	return out
}

// carries reports whether a header holds something that its sender takes for a token.
func carries(name, value string) bool {
	return name == "authorization" || isToken(value) || name != "cookie" && strings.HasPrefix(strings.ToLower(value), "bearer ")
}

// isToken reports whether a text has a JWT in it.
func isToken(v string) bool { return looksLikeToken.MatchString(v) }

func tokenLike(v string) string {
	if isToken(v) {
		return "a token"
	}
	return "something"
}

// schemes are words before credentials that may be shown.
var schemes = lazyregexp.New(`(?i)^(bearer|basic|token|jwt|digest|negotiate|apikey|api-key|dpop|hmac|aws4-hmac-sha256)([ :=]|$)`)

// wrongPrefix says how a header that a rule looks at begins, and how it should. Of the
// header nothing is shown but the name of a known scheme.
func wrongPrefix(name, value string, prefixes []string) (phrase, short string) {
	want := list(prefixes, "or")
	for _, p := range prefixes {
		if strings.EqualFold(strings.TrimSpace(p), strings.TrimSpace(value)) {
			return fmt.Sprintf("the header %s has %s with nothing behind it", name, want), "nothing stands behind " + quote(p)
		}
		if len(value) >= len(p) && strings.EqualFold(value[:len(p)], p) {
			return fmt.Sprintf("the header %s begins with %s, and the rule looks for %s: upper and lower case count", name, quote(value[:len(p)]), want),
				fmt.Sprintf("%s is not %s", quote(value[:len(p)]), quote(p))
		}
	}
	if m := schemes.FindStringSubmatch(value); m != nil {
		return fmt.Sprintf("the header %s begins with %s, and the rule looks for %s", name, quote(m[1]+m[2]), want),
			fmt.Sprintf("%s is not %s", quote(m[1]+m[2]), quote(prefixes[0]))
	}
	return fmt.Sprintf("the header %s has %s without %s before it", name, tokenLike(value), want), "it lacks " + quote(prefixes[0]) + " before it"
}

// prefixesAt are the prefixes that rules want in a header: none where no rule looks at it.
func prefixesAt(provs []*envoy.Provider, header string) []string {
	var out []string
	for _, p := range provs {
		for _, l := range p.EffectiveLocations() {
			if l.Kind == envoy.InHeader && strings.EqualFold(l.Name, header) && l.Prefix != "" && !slices.Contains(out, l.Prefix) {
				out = append(out, l.Prefix)
			}
		}
	}
	return out
}

func looksAt(p *envoy.Provider, kind envoy.LocationKind, name string) bool {
	return slices.ContainsFunc(p.EffectiveLocations(), func(l envoy.Location) bool { return l.Kind == kind && l.Name == name })
}

// looks says where rules look for tokens.
func looks(provs []*envoy.Provider) string {
	var out []string
	own := true
	for _, p := range provs {
		own = own && len(p.Locations) > 0
		for _, l := range p.EffectiveLocations() {
			name := placeName(l)
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	who := "the rule looks"
	if len(provs) > 1 {
		who = "the rules look"
	}
	text := who + " in " + join(out, "and")
	if own {
		text += ", since its own places take that of Authorization and access_token"
	}
	return text
}

func placeName(l envoy.Location) string {
	switch l.Kind {
	case envoy.InParam:
		return "the parameter " + quote(l.Name)
	case envoy.InCookie:
		return "the cookie " + quote(l.Name)
	}
	if l.Prefix == "" {
		return "header " + strings.ToLower(l.Name)
	}
	return "header " + strings.ToLower(l.Name) + " behind " + quote(l.Prefix)
}

type param struct{ name, value string }

// queryOf are the parameters of a path, as they stand.
func queryOf(path string) []param {
	_, query, _ := strings.Cut(path, "?")
	var out []param
	for _, kv := range strings.Split(query, "&") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			out = append(out, param{k, v})
		}
	}
	return out
}
