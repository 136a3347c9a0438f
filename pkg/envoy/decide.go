package envoy

import "slices"

// Decider decides about many requests on one proxy, without the walk that Evaluate
// gives: the verdict is the same, and where everything is known nothing is allocated
// for a request that passes. It is not for use by several goroutines at once.
type Decider struct {
	p     *Proxy
	keys  Keys
	plain bool
	e     evaluation
	s     state
	br    BranchSet
}

// NewDecider prepares the proxy. It keeps both arguments, which must not change.
func NewDecider(p *Proxy, keys Keys) *Decider {
	d := &Decider{p: p.gated(), keys: keys}
	_, refused := refusedListener(p, keys)
	d.plain = !refused && p.Tunnel == nil && len(p.Changed) == 0
	for i := range p.Chains {
		filters := p.Chains[i].TCP
		if cm := p.Chains[i].HTTP; cm != nil {
			filters = cm.Filters
		}
		d.plain = d.plain && !slices.ContainsFunc(filters, func(f Filter) bool { return !isIndependent(f, keys) })
	}
	return d
}

// isIndependent reports whether a filter neither writes nor reads what another one writes,
// besides the JWT filter's payload, and is modelled.
func isIndependent(f Filter, keys Keys) bool {
	switch f := f.(type) {
	case *JWTAuthn:
		for i := range f.Providers {
			if keys[f.Providers[i].Keys].MayRefuse != nil {
				return false
			}
		}
		return true
	case *RBAC:
		return f.Rules.plain() && f.Shadow.plain()
	default:
		return false
	}
}

func (rs *RuleSet) plain() bool {
	if rs == nil {
		return true
	}
	for i := range rs.Policies {
		for _, cs := range [][]Clause{rs.Policies[i].Permissions, rs.Policies[i].Principals} {
			for j := range cs {
				for k := range cs[j].Conditions {
					if slices.ContainsFunc(cs[j].Conditions[k].Matchers, readsMetadata) {
						return false
					}
				}
			}
		}
	}
	return true
}

// readsMetadata reports whether a matcher may look at what RBAC filters write.
func readsMetadata(m Matcher) bool {
	switch m.(type) {
	case *HeaderMatch, *PathMatch, *TemplateMatch, *IPMatch, *PortMatch, *SNIMatch, *IdentityMatch, *PrincipalMatch, *ClaimMatch:
		return false
	default:
		return true
	}
}

// Decide gives the verdict of Evaluate.
func (d *Decider) Decide(r *Request) Verdict {
	if !d.plain || r.Unseen != nil || !r.Connection.Transport.IsKnown() {
		return Evaluate(d.p, r, d.keys).Verdict
	}
	d.br = BranchSet{}
	d.s = state{req: r, b: d.p.Behavior, br: &d.br, headers: d.s.headers[:0], peer: r.Connection.Peer, quiet: true}
	d.e = evaluation{p: d.p, r: r, keys: d.keys, transport: r.Connection.Transport.Value, s: &d.s, quiet: true}
	d.e.run()
	if len(d.s.asked) > 0 || len(d.e.also) > 0 || len(d.e.on) > 0 || d.e.verdict.Decision == Undetermined {
		return Evaluate(d.p, r, d.keys).Verdict
	}
	return d.e.verdict
}
