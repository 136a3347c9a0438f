package envoy

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// keyQuestion identifies one question about keys that are not at hand.
type keyQuestion struct {
	source KeySource
	token  string
}

// jwtRun is one request in one JWT filter.
type jwtRun struct {
	*state
	f    *JWTAuthn
	keys Keys
	// last holds each provider's last status, for the explanation.
	steps []Step
}

// jwtAuthn runs the JWT filter (Envoy source/extensions/filters/http/jwt_authn/filter.cc:
// Filter::decodeHeaders). The reply is nil when the request goes on.
func (s *state) jwtAuthn(f *JWTAuthn, keys Keys) (reply *Verdict, step Step) {
	step = Step{Stage: StageJWT, Outcome: NotMatched}
	if s.sanitizesAll(f) {
		for i := range f.Providers {
			s.sanitize(&f.Providers[i])
		}
	}
	if f.BypassCORSPreflight && s.preflight() {
		s.br.add(BranchJWTPreflight)
		step.Outcome, step.Note = Skipped, "a CORS preflight: no token is looked at"
		return nil, step
	}
	if !f.BypassCORSPreflight && f.WithoutBypass != "" && s.preflight() {
		step.Note = f.WithoutBypass
	}
	if !s.hasPath {
		step.Outcome, step.Note = Skipped, "a request without path is not looked at"
		return nil, step
	}
	if !s.quiet && s.mayRefuse(f, keys) {
		return nil, step
	}
	uri := originalURI{s.scheme, s.authority, s.originalPath()} // before a token is taken out of it
	run := jwtRun{state: s, f: f, keys: keys}
	status, by := run.require(&f.Requirement)
	step.Steps = run.steps
	if status == jwt.OK {
		if s.hasPayload {
			s.br.add(BranchJWTVerified)
			step.Outcome = Matched
		} else {
			s.br.add(BranchJWTNoToken)
		}
		return nil, step
	}
	s.br.add(BranchJWTDenied)
	step.Outcome, step.Status = Matched, status.String()
	v := &Verdict{Decision: Denied, Status: 401, Body: status.String(), WWWAuthenticate: `Bearer realm="` + uri.String() + `"`}
	if status == jwt.AudienceNotAllowed {
		v.Status = 403
	}
	if status != jwt.Missed {
		v.WWWAuthenticate += `, error="invalid_token"`
	}
	v.Details = "jwt_authn_access_denied{" + underscored(v.Body) + "}"
	if by >= 0 {
		o := f.Providers[by].Origin
		v.DecidedBy = &o
		step.Origin = o
	}
	return v, step
}

// underscored replaces white space as Envoy does in details
// (StringUtil::replaceAllEmptySpace).
func underscored(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\n', '\v', '\f', '\r':
			return '_'
		}
		return r
	}, s)
}

func (s *state) preflight() bool {
	origin, _ := s.headers.first("origin")
	method, _ := s.headers.first("access-control-request-method")
	return s.method == "OPTIONS" && origin != "" && method != ""
}

// originalURI is what www-authenticate names.
type originalURI struct{ scheme, authority, path string }

func (u originalURI) String() string { return u.scheme + "://" + u.authority + u.path }

// originalPath is the client's x-envoy-original-path where a proxy believes it
// (Envoy source/common/http/utility.cc:Utility::buildOriginalUri).
func (s *state) originalPath() string {
	const maxPath = 256
	path := s.path
	if v, ok := s.headers.first("x-envoy-original-path"); ok {
		path = v
	}
	if len(path) > maxPath {
		path = path[:maxPath]
	}
	return path
}

// sanitizesAll settles whether the headers of all rules are removed first, where
// the request has one of them.
func (s *state) sanitizesAll(f *JWTAuthn) bool {
	if !s.b.versioned() {
		return s.b.SanitizeAllProviders
	}
	for i := range f.Providers {
		p := &f.Providers[i]
		if p.PayloadHeader != "" && s.headers.has(lower(p.PayloadHeader)) {
			return s.trait(TraitSanitizeAllProviders)
		}
		for _, c := range p.ClaimHeaders {
			if s.headers.has(lower(c.Header)) {
				return s.trait(TraitSanitizeAllProviders)
			}
		}
	}
	return false
}

func (s *state) sanitize(p *Provider) {
	if p.PayloadHeader != "" {
		s.drop(lower(p.PayloadHeader))
	}
	for _, c := range p.ClaimHeaders {
		s.drop(lower(c.Header))
	}
}

// require evaluates a node of the tree. It returns the status and the provider
// whose status it is, -1 for none (verifier.cc:{Any,All,Provider}VerifierImpl).
func (r *jwtRun) require(n *Requirement) (jwt.Status, int) {
	switch n.Kind {
	case RequireAll:
		r.br.add(BranchRequireAll)
		for i := range n.Children {
			if st, by := r.require(&n.Children[i]); st != jwt.OK {
				return st, by
			}
		}
		return jwt.OK, -1
	case RequireAny:
		return r.requireAny(n)
	default:
		return r.provider(n.Provider), n.Provider
	}
}

// requireAny stops at the first child that is satisfied. Else the last error that
// is neither a missing token nor an unknown issuer wins over those two, and an
// unknown issuer over a missing token (AnyVerifierImpl::onComplete).
func (r *jwtRun) requireAny(n *Requirement) (jwt.Status, int) {
	final, by, allowMissing := jwt.Missed, -1, false
	for i := range n.Children {
		c := &n.Children[i]
		if c.Kind == AllowMissing {
			allowMissing = true
			continue
		}
		st, p := r.require(c)
		if st == jwt.OK {
			return jwt.OK, p
		}
		if st != jwt.Missed && st != jwt.UnknownIssuer || final == jwt.Missed {
			if final == jwt.UnknownIssuer {
				r.br.add(BranchErrorKept)
			}
			final, by = st, p
		}
	}
	if allowMissing && final == jwt.Missed {
		return jwt.OK, -1
	}
	return final, by
}

// provider verifies all the tokens that one provider finds, from the last to the
// first; all of them must be good (authenticator.cc:AuthenticatorImpl::doneWithStatus).
func (r *jwtRun) provider(i int) jwt.Status {
	p := &r.f.Providers[i]
	r.sanitize(p)
	tokens := r.extract(p)
	if len(tokens) == 0 && r.quiet {
		r.br.addStatus(jwt.Missed)
		return jwt.Missed
	}
	step := Step{Stage: StageJWT, Origin: p.Origin, Outcome: NotMatched}
	for _, d := range p.Dropped {
		step.Steps = append(step.Steps, Step{Stage: StageJWT, Origin: d.Origin, Outcome: Skipped, Note: d.Reason})
	}
	status := jwt.Missed
	for len(tokens) > 0 {
		t := tokens[len(tokens)-1]
		tokens = tokens[:len(tokens)-1]
		var sub Step
		status, sub = r.verify(p, t)
		step.Steps = append(step.Steps, sub)
		if status != jwt.OK {
			break
		}
	}
	r.br.addStatus(status)
	if status == jwt.OK {
		step.Outcome = Matched
	}
	step.Status = status.String()
	r.steps = append(r.steps, step)
	return status
}

// verify checks one token in Envoy's order: form, issuer, time, audience, keys,
// signature (authenticator.cc:AuthenticatorImpl::startVerify).
func (r *jwtRun) verify(p *Provider, t found) (jwt.Status, Step) {
	step := Step{Stage: StageJWT, Origin: t.location.Origin, Outcome: NotMatched, Got: describeLocation(t.location)}
	fail := func(st jwt.Status, want, got string) (jwt.Status, Step) {
		step.Status, step.Want, step.Note = st.String(), want, got
		return st, step
	}
	tok, st := jwt.Parse(t.text)
	if st = r.oldParser(t.text, tok, st); st != jwt.OK {
		return fail(st, "", "")
	}
	if p.Issuer != "" && tok.Issuer != p.Issuer {
		return fail(jwt.UnknownIssuer, "issuer "+quote(p.Issuer), "iss "+quote(tok.Issuer))
	}
	if st := tok.VerifyTime(r.req.Time); st != jwt.OK {
		return fail(st, "", "")
	}
	if len(p.Audiences) > 0 && !jwt.AudienceAllowed(p.Audiences, tok.Audiences) {
		return fail(jwt.AudienceNotAllowed, "audience "+quoteList(p.Audiences), "aud "+quoteList(tok.Audiences))
	}
	if st := r.signature(p, t, tok, &step); st != jwt.OK {
		return fail(st, "", step.Note)
	}
	r.accept(p, t, tok)
	step.Outcome = Matched
	step.Status = jwt.OK.String()
	return jwt.OK, step
}

func (r *jwtRun) signature(p *Provider, t found, tok *jwt.Token, step *Step) jwt.Status {
	k, ok := r.keys[p.Keys]
	switch {
	case k.Vouched:
		return jwt.OK
	case !ok || k.Missing != nil:
		m := k.Missing
		if m == nil {
			m = keysMissing
		}
		step.On = Deps{m}
		if r.choose(keyQuestion{p.Keys, t.text}, m) {
			return jwt.OK
		}
		return jwt.VerificationFails
	case k.Placeholder != "":
		return stranger(k.Placeholder, tok)
	case k.Set == nil:
		return k.Failure
	case k.OrSet != nil:
		one, other := k.Set.Verify(tok), k.OrSet.Verify(tok)
		if one == other || r.choose(keyQuestion{p.Keys, t.text}, k.OrMissing) {
			return one
		}
		return other
	default:
		return k.Set.Verify(tok)
	}
}

var keysMissing = &Missing{
	What: "the keys of the issuer",
	Why:  "they are not in the objects",
	Hint: "--jwks URI=FILE gives them",
}

// accept does what follows a good token: claims into headers, the token out of
// the request, the payload into metadata (authenticator.cc:AuthenticatorImpl::handleGoodJwt).
func (r *jwtRun) accept(p *Provider, t found, tok *jwt.Token) {
	if p.PayloadHeader != "" {
		r.write(lower(p.PayloadHeader), tok.RawPayload())
	}
	for _, c := range p.ClaimHeaders {
		text, ok := jwt.ClaimHeader(tok.Payload, c.Claim)
		if !ok || text == "" {
			continue
		}
		r.br.add(BranchJWTClaimHeader)
		name := lower(c.Header)
		r.write(name, text)
		if !jwt.ClaimHeaderExact(tok.Payload, c.Claim) {
			r.headers.setUnknown(name, claimOrder)
		}
	}
	if !p.Forward {
		switch t.location.Kind {
		case InHeader:
			r.drop(lower(t.location.Name))
		case InParam:
			if r.b.RemoveQueryToken && !r.b.versioned() || r.b.versioned() && r.trait(TraitRemoveQueryToken) {
				r.br.add(BranchJWTParamRemoved)
				r.path = removeParam(r.path, t.location.Name)
			}
		}
	}
	r.payload, r.hasPayload = jwt.NormalizeSpaceDelimited(tok.Payload, p.SpaceDelimited), true
}

var claimOrder = &Missing{
	What: "the order of members in a claim that is copied into a header",
	Why:  "the proxy writes an object's members in no defined order",
}

func describeLocation(l *Location) string {
	switch l.Kind {
	case InParam:
		return "query " + l.Name
	case InCookie:
		return "cookie " + l.Name
	default:
		if l.Prefix == "" {
			return "header " + lower(l.Name)
		}
		return "header " + lower(l.Name) + " " + quote(l.Prefix)
	}
}

func quoteList(vs []string) string {
	if len(vs) == 0 {
		return gotNone
	}
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = quote(v)
	}
	return strings.Join(out, ", ")
}
