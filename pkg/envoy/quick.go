package envoy

import "slices"

// gate are the paths without one of which a policy cannot match; nil where there is more
// to it.
type gate []StringMatch

// shut reports whether none of the paths is this one.
func (g gate) shut(path string, s *state) bool {
	for i := range g {
		if g[i].quick(path, s) {
			return false
		}
	}
	return len(g) > 0
}

// gateOf takes the paths of a policy each of whose permissions wants one of some.
func gateOf(p *Policy) gate {
	if p.Doubt != nil || p.Never {
		return nil
	}
	var g gate
	for i := range p.Permissions {
		paths := pathsWanted(&p.Permissions[i])
		if paths == nil {
			return nil
		}
		g = append(g, paths...)
	}
	return g
}

func pathsWanted(c *Clause) gate {
	for i := range c.Conditions {
		var g gate
		for _, m := range c.Conditions[i].Matchers {
			if path, ok := m.(*PathMatch); ok && !c.Conditions[i].Negated {
				g = append(g, path.String)
			}
		}
		if len(g) > 0 && len(g) == len(c.Conditions[i].Matchers) {
			return g
		}
	}
	return nil
}

// gated is the proxy with the gates of its policies.
func (p *Proxy) gated() *Proxy {
	out := *p
	out.Chains = slices.Clone(p.Chains)
	for i := range out.Chains {
		if out.Chains[i].HTTP == nil {
			continue
		}
		cm := *out.Chains[i].HTTP
		cm.Filters = slices.Clone(cm.Filters)
		for j, f := range cm.Filters {
			if rbac, ok := f.(*RBAC); ok && rbac.Rules != nil {
				with, rules := *rbac, *rbac.Rules
				for k := range rules.Policies {
					rules.gates = append(rules.gates, gateOf(&rules.Policies[k]))
				}
				with.Rules = &rules
				cm.Filters[j] = &with
			}
		}
		out.Chains[i].HTTP = &cm
	}
	return &out
}

// quick is match for who wants no more than the answer, where all is known.
func (c *Condition) quick(s *state) (hit, known bool) {
	for _, m := range c.Matchers {
		if path, ok := m.(*PathMatch); ok {
			hit = s.hasPath && path.String.quick(s.pathAlone(), s)
		} else {
			t := m.match(s)
			if t.T == Unknown {
				return false, false
			}
			hit = t.T == True
		}
		if hit {
			break
		}
	}
	return hit != c.Negated, true
}

// quickAny is matchAny likewise.
func quickAny(cs []Clause, s *state) (hit, known bool) {
	for i := range cs {
		all := true
		for j := range cs[i].Conditions {
			hit, known := cs[i].Conditions[j].quick(s)
			if !known {
				return false, false
			}
			if !hit {
				all = false
				break
			}
		}
		if all {
			return true, true
		}
	}
	return false, true
}

// quick is match likewise.
func (p *Policy) quick(s *state) (hit, known bool) {
	if p.Doubt != nil {
		return false, false
	}
	if p.Never {
		return false, true
	}
	if hit, known = quickAny(p.Permissions, s); hit && known {
		hit, known = quickAny(p.Principals, s)
	}
	return hit, known
}
