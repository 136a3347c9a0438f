package fix

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// mostDrafts bounds how many changed requests are evaluated.
const mostDrafts = 60

// attempt is a draft with what was changed on the way to it.
type attempt struct {
	*draft
	what     []change
	rule     string // the ALLOW rule that it is after
	foremost bool
	real     bool // the token is the user's own, not made up
}

// change is one thing that is to be different in the request.
type change struct{ about, says, hint string }

// with is the attempt with one change more; a change about the same thing replaces it.
func (a *attempt) with(d *draft, c change) *attempt {
	out := &attempt{draft: d, rule: a.rule, foremost: a.foremost, real: a.real}
	for _, have := range a.what {
		if have.about != c.about {
			out.what = append(out.what, have)
		}
	}
	out.what = append(out.what, c)
	return out
}

// requestFixes are the changes of the request that get it through: another token, a
// fresh one, the right place for it, an identity, a header, a method.
func (f *finder) requestFixes() []*result {
	first := &attempt{draft: newDraft(f.base.Request)}
	queue := append(f.firstAttempts(first), first)
	var out, mended []*result
	seen := map[string]bool{}
	for asked := 0; len(queue) > 0 && asked < mostDrafts && len(out) < mostRequestFixes; asked++ {
		a := queue[0]
		queue = queue[1:]
		trace := f.tryOut(a)
		v := diagnose.VerdictOf(trace.Verdict)
		if f.goal.Met(v) && len(a.what) > 0 {
			r := f.requestResult(a, v, len(out))
			if same := strings.Replace(r.Summary, "another token", "a token", 1); !seen[same] {
				seen[same] = true
				out = append(out, r)
			}
			continue
		}
		if r := f.mendedRequest(a, trace); r != nil {
			mended = append(mended, r)
		}
		if len(a.what) >= mostSteps || trace.Verdict.Decision != envoy.Denied || len(trace.Steps) == 0 {
			continue
		}
		queue = append(queue, f.further(a, trace)...)
	}
	for _, r := range mended {
		if !slices.ContainsFunc(out, func(o *result) bool { return strings.HasPrefix(o.Summary, r.Summary) }) {
			out = append(out, r)
		}
	}
	return out
}

// mendedRequest is the user's own token in the place where a rule looks, where that is
// not all that it takes, or only the keys can tell.
func (f *finder) mendedRequest(a *attempt, t envoy.Trace) *result {
	if !a.real || len(a.what) != 1 {
		return nil
	}
	r := f.requestResult(a, diagnose.VerdictOf(t.Verdict), 0)
	r.Proved = false
	if hint, status, ok := keysAlone(t); ok {
		r.StatusAfter, r.Note = status, notProved(hint)
		return r
	}
	if next := f.obstacle(t); next != "" && hasPayload(t) {
		r.Partial, r.Note = true, notEnough(next)
		return r
	}
	return nil
}

// tryOut evaluates a draft: with the proxy's own keys if nothing in it is made up.
func (f *finder) tryOut(a *attempt) envoy.Trace {
	s := *f.base
	s.Request = a.request(f.base.Providers())
	if a.claims != nil {
		s.Keys = f.base.Vouched()
	}
	return s.Evaluate()
}

func (f *finder) requestResult(a *attempt, v diagnose.Verdict, place int) *result {
	var says, hints []string
	for _, c := range a.what {
		says = append(says, c.says)
		if c.hint != "" {
			hints = append(hints, c.hint)
		}
	}
	r := &result{place: place, steps: len(a.what), foremost: a.foremost}
	r.Summary, r.Hint = sentence(says), strings.Join(hints, " ")
	r.Proved, r.StatusAfter = true, v.Status
	return r
}

// firstAttempts are those that do not follow from a condition: the user's own token in
// a place where a rule looks, and no token at all.
func (f *finder) firstAttempts(first *attempt) []*attempt {
	var out []*attempt
	providers := f.base.Providers()
	if f.first.Seen != nil && !f.first.Seen.HasPayload {
		for _, s := range f.strays(f.base) {
			p := providerOf(providers, s.token.Issuer)
			if p == nil {
				continue
			}
			place := p.EffectiveLocations()[0]
			d := first.clone()
			d.take(s)
			d.put(s.text, place)
			a := first.with(d, change{"token", "send the token in " + words(place) + ", not in " + s.description, flagOf(place, false)})
			a.real, a.foremost = true, true
			out = append(out, a)
		}
	}
	return out
}

// take takes a token out of where it was found.
func (d *draft) take(s stray) {
	switch s.kind {
	case envoy.InParam:
		d.dropParam(s.name)
	case envoy.InCookie:
		d.dropCookie(s.name)
	default:
		d.dropHeader(s.name)
	}
}

// words are a place for tokens in words.
func words(l envoy.Location) string {
	switch l.Kind {
	case envoy.InParam:
		return "query " + l.Name
	case envoy.InCookie:
		return "cookie " + l.Name
	}
	return strings.TrimSpace("header " + strings.ToLower(l.Name) + " " + quoted(l.Prefix))
}

// flagOf is how a token is given for a place.
func flagOf(l envoy.Location, file bool) string {
	out := ""
	if file {
		out = "--jwt-file FILE"
	}
	in := ""
	switch l.Kind {
	case envoy.InParam:
		in = "param:" + l.Name
	case envoy.InCookie:
		in = "cookie:" + l.Name
	default:
		if strings.EqualFold(l.Name, "authorization") && l.Prefix == "Bearer " {
			if !file {
				return "--jwt-file FILE"
			}
			return out
		}
		if in = "header:" + l.Name; l.Prefix != "" {
			in += ":" + l.Prefix
		}
	}
	if !file {
		out = "--jwt-file FILE"
	}
	return out + " --jwt-in " + shellQuoted(in)
}

// shellQuoted is a word as a shell takes it.
func shellQuoted(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// further are the attempts that go on from where a draft was stopped.
func (f *finder) further(a *attempt, t envoy.Trace) []*attempt {
	last := t.Steps[len(t.Steps)-1]
	switch last.Stage {
	case envoy.StageConnection:
		return f.inMesh(a)
	case envoy.StageJWT:
		return f.otherToken(a, last)
	case envoy.StageDeny:
		var out []*attempt
		for _, p := range last.Steps {
			if p.Outcome == envoy.Matched && !p.Shadow && p.Origin == last.Origin {
				for _, c := range p.Steps {
					out = append(out, f.escaping(a, c)...)
				}
			}
		}
		return out
	case envoy.StageAllow:
		return f.admitted(a, last)
	}
	return nil
}

// inMesh is the request from a client in the mesh.
func (f *finder) inMesh(a *attempt) []*attempt {
	c := a.req.Connection
	if !c.Transport.IsKnown() || c.Transport.Value == envoy.MutualTLS || f.base.Result.Proxy.Role == envoy.RoleGateway {
		return nil
	}
	d := a.clone()
	d.as(f.base.Result.TrustDomain + "/ns/" + f.base.Workload.Namespace + "/sa/default")
	out := a.with(d, change{"identity", "call from a client in the mesh, with mTLS", "--from TYPE/NAME"})
	out.foremost = true
	return []*attempt{out}
}

// otherToken is the request with a token that a rule takes: the same one, but fresh or
// with the right audience, one of another issuer, or none at all.
func (f *finder) otherToken(a *attempt, last envoy.Step) []*attempt {
	var out []*attempt
	providers := f.base.Providers()
	wrong := last.Status != jwt.UnknownIssuer.String() && last.Status != jwt.AudienceNotAllowed.String()
	add := func(d *draft, says, hint string) {
		n := a.with(d, change{"token", says, hint})
		n.foremost = a.foremost || wrong
		out = append(out, n)
	}
	if a.claims != nil {
		return nil // what was made up is good
	}
	none := a.clone()
	none.strip(providers)
	if last.Status == jwt.Expired.String() || last.Status == jwt.NotYetValid.String() || last.Status == jwt.AudienceNotAllowed.String() {
		for _, found := range envoy.FindTokens(&a.req, providers) {
			t, status := jwt.Parse(found.Text)
			if status != jwt.OK {
				continue
			}
			d := a.clone()
			d.withClaims(t.Payload, providers)
			p := providerOf(providers, t.Issuer)
			switch {
			case last.Status == jwt.AudienceNotAllowed.String() && p != nil && len(p.Audiences) > 0:
				d.claims["aud"] = p.Audiences[0]
				add(d, "send a token for the audience "+strconv.Quote(p.Audiences[0]), flagOf(p.EffectiveLocations()[0], true))
			case p != nil && last.Status != jwt.AudienceNotAllowed.String():
				delete(d.claims, "exp")
				delete(d.claims, "nbf")
				add(d, freshWords(t, a.req.Time), flagOf(p.EffectiveLocations()[0], true))
			}
		}
	}
	if len(out) == 0 {
		for i := range providers {
			if i == mostIssuers {
				break
			}
			p := &providers[i]
			d := a.clone()
			d.tokenFor(p, providers)
			add(d, issuerWords(p, wrong && len(envoy.FindTokens(&a.req, providers)) > 0), flagOf(p.EffectiveLocations()[0], true))
		}
	}
	if last.Status != jwt.Missed.String() {
		add(none, "send no token: none is needed there", "")
	}
	return out
}

func issuerWords(p *envoy.Provider, another bool) string {
	one := "a token"
	if another {
		one = "another token"
	}
	if p.Issuer == "" {
		return "send " + one + " that " + p.Origin.Ref.String() + " takes"
	}
	return "send " + one + " of issuer " + strconv.Quote(p.Issuer)
}

// freshWords say when a token was good.
func freshWords(t *jwt.Token, now int64) string {
	const latest = 253402300799 // the last second of the year 9999
	at := func(seconds uint64) string {
		if seconds > latest {
			return "a time out of all reckoning"
		}
		return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
	}
	if t.NotBefore > uint64(max(now, 0)) {
		return "wait, or send another token: this one is valid from " + at(t.NotBefore)
	}
	return "send a fresh token: this one expired at " + at(t.Expires)
}

// escaping are the requests that a condition of a DENY rule does not take, where it is
// one that asks for something to be there.
func (f *finder) escaping(a *attempt, c envoy.Step) []*attempt {
	if c.Outcome != envoy.Matched || !isNegative(c.Origin.Field) {
		return nil
	}
	return f.satisfying(a, c)
}

// admitted are the requests of which one condition more holds of some ALLOW rule.
func (f *finder) admitted(a *attempt, last envoy.Step) []*attempt {
	var out []*attempt
	rules := 0
	for _, p := range last.Steps {
		if p.Outcome != envoy.NotMatched || p.Shadow || a.rule != "" && a.rule != p.Origin.String() {
			continue
		}
		if rules++; rules > mostRules {
			break
		}
		for _, c := range p.Steps {
			if c.Outcome != envoy.NotMatched || isNegative(c.Origin.Field) {
				continue
			}
			for _, next := range f.satisfying(a, c) {
				next.rule = p.Origin.String()
				out = append(out, next)
			}
		}
	}
	return out
}

// satisfying are the requests that a condition takes, one for each of its values that
// is worth saying.
func (f *finder) satisfying(a *attempt, c envoy.Step) []*attempt {
	d := dimOf(c.Attribute)
	header, isHeader := headerName(c.Attribute)
	if d == dimPath || d == dimHost || d == dimSource || d == dimRemote || d == dimOther || isHeader && secretHeader(header) {
		return nil // that is what is asked for, not how
	}
	const most = 3
	var out []*attempt
	for _, value := range wantedValues(f.base, c.Origin) {
		if len(out) == most {
			break
		}
		next := a.clone()
		got, ok := next.satisfy(c.Attribute, value, f.base)
		if !ok || got == "" || a.real && ofToken(c.Attribute) {
			continue
		}
		out = append(out, a.with(next, f.worded(next, d, c.Attribute, value, got)))
	}
	return out
}

func secretHeader(name string) bool {
	return slices.Contains([]string{"authorization", "proxy-authorization", "cookie"}, strings.ToLower(name))
}
