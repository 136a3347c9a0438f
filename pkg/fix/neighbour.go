package fix

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// How many neighbours of a request are asked: at least leastNeighbours, whatever the
// policies speak of, and at most mostNeighbours beside those that a change brings.
const (
	leastNeighbours = 240
	mostNeighbours  = 400
	// mostVariants is how many values of one side of a request are tried.
	mostVariants = 14
)

// neighbour is a request like the one that was asked about.
type neighbour struct {
	req *envoy.Request
	// vouched says that its token is made up and counts as good; tokenless that it has
	// none that could verify.
	vouched, tokenless bool
	// preflight says that its token is not looked at, whatever it is.
	preflight bool
	differs   []dim
	says      string
	before    openness
}

// openness is how far a request gets.
type openness uint8

const (
	shut openness = iota
	perhaps
	open
)

func opennessOf(v envoy.Verdict) openness {
	switch v.Decision {
	case envoy.Allowed:
		return open
	case envoy.Undetermined:
		return perhaps
	}
	return shut
}

// variant is another value of one side of a request; own is the request's own.
type variant struct {
	says  string
	own   bool
	apply func(*draft)
	// tokenless, for a token, says that it is none, or none that verifies.
	tokenless bool
	// preflight says that tokens are not looked at.
	preflight bool
}

// side is a side of the request with its values, its own first.
type side struct {
	dim      dim
	variants []variant
}

// neighbours are the neighbours of the request, with what became of them.
type neighbours struct {
	list []*neighbour
}

// around makes the neighbours of the request from the patterns in play.
func (f *finder) around() *neighbours {
	if f.near != nil {
		return f.near
	}
	n := &neighbours{}
	f.near = n
	sides := f.sides()
	seen := map[string]bool{}
	add := func(pick []int) {
		key := fingerprint(pick)
		if seen[key] || len(n.list) >= mostNeighbours {
			return
		}
		seen[key] = true
		nb := f.neighbour(sides, pick)
		nb.before = opennessOf(f.base.Decide(nb.req, nb.vouched))
		n.list = append(n.list, nb)
	}
	own := make([]int, len(sides))
	add(own)
	for i := range sides { // one side differs
		for v := 1; v < len(sides[i].variants); v++ {
			pick := slices.Clone(own)
			pick[i] = v
			add(pick)
		}
	}
	for i := 1; i < len(sides); i++ { // the token and another side differ
		for v := 1; v < len(sides[i].variants); v++ {
			for t := 1; t < min(len(sides[0].variants), 4); t++ {
				pick := slices.Clone(own)
				pick[0], pick[i] = t, v
				add(pick)
			}
		}
	}
	// The rest is mixed, the same each time.
	for state, tries := uint64(1), 0; len(n.list) < leastNeighbours && tries < 20*leastNeighbours; tries++ {
		pick := slices.Clone(own)
		for i := range sides {
			state = state*6364136223846793005 + 1442695040888963407
			pick[i] = int((state >> 33) % uint64(len(sides[i].variants)))
		}
		add(pick)
	}
	return n
}

func fingerprint(pick []int) string {
	var b strings.Builder
	for _, p := range pick {
		b.WriteString(strconv.Itoa(p))
		b.WriteByte(' ')
	}
	return b.String()
}

// neighbour is the request with the picked value of each side.
func (f *finder) neighbour(sides []side, pick []int) *neighbour {
	d := newDraft(f.base.Request)
	nb := &neighbour{tokenless: !f.hasPayload()}
	var says []string
	for i := len(sides) - 1; i >= 0; i-- { // the token last: it may go into the path
		v := sides[i].variants[pick[i]]
		if pick[i] == 0 {
			continue
		}
		v.apply(d)
		if sides[i].dim == dimToken {
			nb.differs = append(nb.differs, f.tokenDiffers(d)...)
		}
		nb.differs = append(nb.differs, sides[i].dim)
		if !v.tokenless {
			says = append([]string{v.says}, says...)
		}
		if sides[i].dim == dimToken {
			nb.tokenless = v.tokenless
		}
		nb.preflight = nb.preflight || v.preflight
	}
	nb.tokenless = nb.tokenless || nb.preflight
	nb.vouched = d.claims != nil
	nb.req = d.request(f.base.Providers())
	nb.says = strings.Join(says, ", ")
	return nb
}

// tokenDiffers are the sides in which a made-up token differs from the request's own.
func (f *finder) tokenDiffers(d *draft) []dim {
	own := map[string]any{}
	if f.hasPayload() {
		own, _ = plain(f.first.Seen.Payload).(map[string]any)
	} else if t := tokensOf(f.base); len(t) > 0 {
		own, _ = plain(t[0].Payload).(map[string]any)
	}
	var out []dim
	for name, v := range d.claims {
		if fmt.Sprint(own[name]) != fmt.Sprint(v) {
			out = append(out, dimClaim(name))
		}
	}
	for name := range own {
		if _, has := d.claims[name]; !has {
			out = append(out, dimClaim(name))
		}
	}
	return out
}

// hasPayload reports whether the request has a token that verifies.
func (f *finder) hasPayload() bool { return hasPayload(f.first) }

func hasPayload(t envoy.Trace) bool { return t.Seen != nil && t.Seen.HasPayload }

// hold asks the neighbours before and after a change and writes down what differs.
func (f *finder) hold(r *result, s *state, after *diagnose.Setting) {
	n := f.around()
	t := after.Evaluate()
	list := slices.Concat(n.list, f.aimed(s, after), f.sameIssuer(after, t))
	counts := diagnose.Neighbours{Checked: len(list)}
	// What was asked about was to get in; without a token, that is what widens says.
	bare := !hasPayload(t)
	if f.goal.Pass && bare && f.goal.Met(diagnose.VerdictOf(t.Verdict)) {
		r.Widens = true
		if f.asksTokens() {
			r.Opens = append(r.Opens, "this request, without a token")
		}
	}
	bypass := slices.IndexFunc(s.steps, func(st step) bool { return st.bypass != "" })
	if bypass >= 0 {
		r.Widens = true
		r.Opens = append(r.Opens, s.steps[bypass].bypass)
	}
	for _, nb := range list {
		now := opennessOf(after.Decide(nb.req, nb.vouched))
		switch {
		case now < nb.before:
			counts.Closed++
		case now > nb.before:
			counts.Opened++
			if len(nb.differs) == 0 {
				continue // the request itself
			}
			// A token that is the request's own is as good as the request says.
			if nb.tokenless && !nb.preflight && !slices.Contains(nb.differs, dimToken) && !bare {
				nb = &neighbour{req: nb.req, differs: nb.differs, says: nb.says}
			}
			if nb.tokenless || bypass >= 0 || slices.ContainsFunc(nb.differs, s.about) {
				r.Widens = true
				f.opens(r, nb)
			}
		}
	}
	r.Neighbours = &counts
}

// sameIssuer are tokens like the request's own, of which one thing differs, where it is
// the change that has the request's token verified: until then there was none to vary.
func (f *finder) sameIssuer(after *diagnose.Setting, t envoy.Trace) []*neighbour {
	if !hasPayload(t) || f.hasPayload() {
		return nil
	}
	providers := after.Providers()
	var out []*neighbour
	add := func(says string, side dim, vary func(claims map[string]any)) {
		d := newDraft(f.base.Request)
		d.withClaims(t.Seen.Payload, providers)
		vary(d.claims)
		nb := &neighbour{req: d.request(providers), vouched: true, differs: []dim{dimToken, side}, says: says}
		nb.before = opennessOf(f.base.Decide(nb.req, true))
		out = append(out, nb)
	}
	add("a token of the same issuer with another sub", dimSubject, func(claims map[string]any) { claims["sub"] = "somebody else" })
	for _, m := range t.Seen.Payload.Members() {
		if m.Name != "iss" && m.Name != "aud" && len(out) < mostVariants {
			add("a token without "+m.Name, dimClaim(m.Name), func(claims map[string]any) { delete(claims, m.Name) })
		}
	}
	return out
}

// asksTokens reports whether tokens are looked at where the request was stopped: a
// RequestAuthentication verifies them, or a rule asks for them, in vain perhaps.
func (f *finder) asksTokens() bool {
	if f.asks == nil {
		asks := len(f.base.Providers()) > 0
		eachPolicy(f.base.Result.Proxy, func(_ *envoy.RBAC, p *envoy.Policy) {
			for _, clauses := range [][]envoy.Clause{p.Permissions, p.Principals} {
				for _, cl := range clauses {
					asks = asks || slices.ContainsFunc(cl.Conditions, func(c envoy.Condition) bool { return ofToken(c.Attribute) })
				}
			}
		})
		f.asks = &asks
	}
	return *f.asks
}

// opens keeps an example of what a change opens besides.
func (f *finder) opens(r *result, nb *neighbour) {
	const most = 3
	if len(nb.differs) == 1 && nb.differs[0] == dimToken && nb.tokenless && len(r.Opens) > 0 {
		return // the same as the request itself
	}
	says := f.hide(nb.says)
	if nb.tokenless && f.asksTokens() {
		if says == "" {
			says = "this request"
		}
		says += ", without a token"
	}
	for _, have := range r.Opens { // what differs in more than an example already does
		if one, _, _ := strings.Cut(have, ", without a token"); slices.Contains(strings.Split(nb.says, ", "), one) {
			return
		}
	}
	if says != "" && len(r.Opens) < most && !slices.Contains(r.Opens, says) {
		r.Opens = append(r.Opens, says)
	}
}

// aimed are requests for each way into the rules that a change has touched: the
// narrowest that the rule takes, without a token where it asks for none.
func (f *finder) aimed(s *state, after *diagnose.Setting) []*neighbour {
	const most = 64
	var out []*neighbour
	eachPolicy(after.Result.Proxy, func(_ *envoy.RBAC, p *envoy.Policy) {
		if !s.touched(p.Origin.Ref) {
			return
		}
		for i := range p.Permissions {
			for j := range p.Principals {
				if len(out) == most {
					return
				}
				out = append(out, f.aimedAt(after, &p.Permissions[i], &p.Principals[j]))
			}
		}
	})
	for _, nb := range out {
		nb.before = opennessOf(f.base.Decide(nb.req, nb.vouched))
	}
	return out
}

func (s *state) touched(ref origin.Ref) bool { return slices.Contains(s.changed, ref) }

func (f *finder) aimedAt(at *diagnose.Setting, to, from *envoy.Clause) *neighbour {
	d := newDraft(f.base.Request)
	d.strip(at.Providers())
	nb := &neighbour{tokenless: true, differs: []dim{dimOther}}
	for _, c := range append(slices.Clip(to.Conditions), from.Conditions...) {
		if c.Negated || len(c.Values) == 0 {
			continue
		}
		value := c.Values[len(c.Values)-1] // where a change puts what it adds
		if ofToken(c.Attribute) {
			nb.tokenless = false
		}
		d.satisfy(c.Attribute, value, at)
	}
	nb.vouched = d.claims != nil
	nb.req = d.request(at.Providers())
	nb.says = "others that the rule takes"
	return nb
}
