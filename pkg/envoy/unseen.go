package envoy

import "github.com/asmjwt/kubectl-asmjwt/pkg/origin"

// Unseen says what is not known of a request of which only a part was seen, such as a
// line of an access log. Each is nil where that part is known.
type Unseen struct {
	// Headers: the request may have other header lines than those that are listed, and
	// so tokens. A name that is listed is known in full.
	Headers *Missing
	// Method and Path: what stands there is only a stand-in.
	Method, Path *Missing
}

// unseenHeader is why lines of this name are not known; nil where they are.
func (r *Request) unseenHeader(name string) *Missing {
	if r == nil || r.Unseen == nil || r.Unseen.Headers == nil {
		return nil
	}
	for i := range r.Headers {
		if lower(r.Headers[i].Name) == name {
			return nil
		}
	}
	return r.Unseen.Headers
}

// unseenPseudo is why the value of a pseudo header is not known; nil where it is.
func (r *Request) unseenPseudo(name string) *Missing {
	switch {
	case r == nil:
		return nil
	case name == ":authority" || name == "host":
		return r.AuthorityMissing
	case r.Unseen == nil:
		return nil
	case name == ":method":
		return r.Unseen.Method
	case name == ":path":
		return r.Unseen.Path
	}
	return nil
}

// unseenPath is why the path is not known; nil where it is.
func (s *state) unseenPath() *Missing { return s.req.unseenPseudo(":path") }

// hasOwn reports whether the proxy itself sees to it that there is such a header.
func (s *state) hasOwn(name string) bool {
	for i := range s.headers {
		if l := &s.headers[i]; l.name == name && l.missing != s.req.Unseen.Headers {
			return true
		}
	}
	return false
}

// unseenTokens is why it is not known which tokens a JWT filter finds; nil where it is.
func (s *state) unseenTokens(f *JWTAuthn) *Missing {
	u := s.req.Unseen
	if u == nil {
		return nil
	}
	if f.BypassCORSPreflight && (u.Method != nil || s.method == "OPTIONS") {
		if m := s.req.unseenHeader("origin"); m != nil {
			return m
		}
	}
	for i := range f.Providers {
		for _, l := range f.Providers[i].EffectiveLocations() {
			var m *Missing
			switch l.Kind {
			case InHeader:
				m = s.req.unseenHeader(lower(l.Name))
			case InCookie:
				m = s.req.unseenHeader("cookie")
			default:
				m = u.Path
			}
			if m != nil {
				return m
			}
		}
	}
	return nil
}

// mayChange leaves open what a provider does to the headers that are known.
func (s *state) mayChange(p *Provider, m *Missing) {
	var names []string
	if p.PayloadHeader != "" {
		names = append(names, lower(p.PayloadHeader))
	}
	for _, c := range p.ClaimHeaders {
		names = append(names, lower(c.Header))
	}
	for _, l := range p.EffectiveLocations() {
		if name := lower(l.Name); l.Kind == InHeader && !p.Forward && s.headers.has(name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		s.headers.setUnknown(name, m)
	}
}

// jwtUnseen is what a JWT filter does where its tokens are not known: it may refuse one,
// or verify it, or find none. The walk goes on with claims that are not known.
func (e *evaluation) jwtUnseen(f *JWTAuthn, m *Missing) {
	on := Deps{m}
	e.s.unseenPayload = m
	e.unsure = m
	e.step(Step{Stage: StageJWT, Outcome: Undecided, Note: m.What, On: on, Origin: originOf(f.Providers)})
	e.on = e.on.union(on)
	statuses := []int{401}
	for i := range f.Providers {
		p := &f.Providers[i]
		e.s.mayChange(p, m)
		if len(p.Audiences) > 0 {
			statuses = []int{401, 403}
		}
	}
	for _, status := range statuses {
		v := Verdict{Decision: Denied, Status: status, Details: "jwt_authn_access_denied", On: on}
		e.reply(&v)
		e.also = append(e.also, v)
	}
}

// originOf is where providers come from, as far as they all come from there: a rule, an
// object of several rules, or nothing that can be named.
func originOf(providers []Provider) origin.Origin {
	if len(providers) == 0 {
		return origin.Origin{}
	}
	out := providers[0].Origin
	for i := range providers[1:] {
		if providers[i+1].Origin.Ref != out.Ref {
			return origin.Origin{}
		}
		out.Field = ""
	}
	return out
}
