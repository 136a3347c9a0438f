package envoy

import "strings"

const rbacBody = "RBAC: access denied"

// match evaluates one condition: some matcher matches, or, negated, none does.
func (c *Condition) match(s *state) Tri {
	t := no
	for _, m := range c.Matchers {
		hit := m.match(s)
		s.br.add(answered(BranchMatchers, m.kind(), hit.T == True))
		if t = t.or(hit); t.T == True {
			break
		}
	}
	if c.Negated {
		if t.T == False && !s.quiet && len(c.Matchers) > 0 && c.Matchers[0].got(s) == gotNone {
			s.br.add(BranchNegated)
		}
		return t.not()
	}
	return t
}

func (c *Clause) match(s *state) Tri {
	t := yes
	for i := range c.Conditions {
		if t = t.and(c.Conditions[i].match(s)); t.T == False {
			break
		}
	}
	return t
}

func matchAny(cs []Clause, s *state) Tri {
	t := no
	for i := range cs {
		if t = t.or(cs[i].match(s)); t.T == True {
			break
		}
	}
	return t
}

// match evaluates a policy (Envoy source/extensions/filters/common/rbac/matchers.cc:PolicyMatcher).
func (p *Policy) match(s *state) Tri {
	if p.Doubt != nil && p.DoubtAll {
		return unknown(p.Doubt)
	}
	if p.Never {
		s.br.add(BranchRBACNever)
		return no
	}
	t := matchAny(p.Permissions, s)
	if t.T != False || !s.quiet { // who explains wants to know of both
		t = t.and(matchAny(p.Principals, s))
	}
	if p.Doubt != nil {
		t = t.and(unknown(p.Doubt))
	}
	return t
}

// engineResult is what an RBAC engine came to: whether a policy matches, the
// first that does, and those that may.
type engineResult struct {
	matched Tri
	first   *Policy
	maybe   []*Policy
}

// run looks for the first policy that matches (engine_impl.cc:checkPolicyMatch).
func (rs *RuleSet) run(s *state) engineResult {
	r := engineResult{matched: no}
	path, gates := "", []gate(nil)
	if s.quiet && s.hasPath {
		path, gates = s.pathAlone(), rs.gates
	}
	for i := range rs.Policies {
		p := &rs.Policies[i]
		if s.quiet {
			if gates != nil && gates[i].shut(path, s) {
				continue
			}
			switch hit, known := p.quick(s); {
			case known && !hit:
				continue
			case known:
				r.matched, r.first = yes, p
				return r
			}
		}
		t := p.match(s)
		if t.T == False {
			continue
		}
		r.matched = r.matched.or(t)
		if t.T == True {
			r.first = p
			break
		}
		r.maybe = append(r.maybe, p)
	}
	return r
}

// rbac runs an RBAC filter: the shadow engine first, for the record, then the
// enforced one (rbac_filter.cc:RoleBasedAccessControlFilter::decodeHeaders).
// The reply is nil when the request goes on; with unknown set, it is only one of
// the possibilities.
func (s *state) rbac(f *RBAC) (reply *Verdict, on Deps, shadowID string) {
	var metadata map[string]string
	if !s.quiet {
		metadata = map[string]string{}
	}
	if f.Shadow != nil {
		r := f.Shadow.run(s)
		s.br.add(BranchRBACShadow)
		if r.first != nil {
			shadowID = r.first.ID
			s.note(metadata, f.ShadowPrefix, "shadow_effective_policy_id", shadowID)
		}
		s.note(metadata, f.ShadowPrefix, "shadow_engine_result", engineWord(f.Action, r.matched.T == True))
	}
	if s.bytes {
		s.record(metadata) // the network's filter writes each engine's at once
	}
	if f.Rules != nil {
		reply, on = s.enforce(f, metadata)
	}
	s.record(metadata)
	return reply, on, shadowID
}

// note keeps what an engine writes, where anybody reads it.
func (s *state) note(metadata map[string]string, prefix, key, value string) {
	if !s.quiet {
		metadata[prefix+key] = value
	}
}

// record writes an RBAC filter's metadata.
func (s *state) record(metadata map[string]string) {
	if s.rbacMetadata == nil && len(metadata) > 0 {
		s.rbacMetadata = map[string]string{}
	}
	for k, v := range metadata {
		s.rbacMetadata[k] = v
	}
}

func (s *state) enforce(f *RBAC, metadata map[string]string) (*Verdict, Deps) {
	r := f.Rules.run(s)
	if r.first != nil {
		s.note(metadata, "", "enforced_effective_policy_id", r.first.ID)
	}
	s.note(metadata, "", "enforced_engine_result", engineWord(f.Action, r.matched.T == True))
	var v *Verdict
	switch f.Action {
	case Log:
		s.br.add(BranchRBACLog)
		return nil, nil
	case Deny:
		if r.matched.T == False {
			s.br.add(BranchRBACDenyPassed)
			return nil, nil
		}
		s.br.add(BranchRBACDenied)
		p := r.first
		if p == nil {
			p = r.maybe[0]
		}
		v = denied(p)
	default:
		if r.matched.T == True {
			s.br.add(BranchRBACAllowed)
			return nil, nil
		}
		s.br.add(BranchRBACNotAllowed)
		v = denied(nil)
	}
	if r.matched.T == Unknown {
		return v, r.matched.On
	}
	return v, nil
}

func engineWord(a Action, matched bool) string {
	if a == Log || (a == Allow) == matched {
		return "allowed"
	}
	return "denied"
}

// denied is the reply of an RBAC filter; p is nil when no policy allowed.
func denied(p *Policy) *Verdict {
	v := &Verdict{Decision: Denied, Status: 403, Body: rbacBody, Details: "rbac_access_denied_matched_policy[none]"}
	if p != nil {
		v.Details = "rbac_access_denied_matched_policy[" + underscored(p.ID) + "]"
		o := p.Origin
		v.DecidedBy = &o
	}
	return v
}

// explain lists what became of each policy of an engine, with the first condition
// of each that does not hold.
func (rs *RuleSet) explain(s *state, stage Stage, shadow bool) []Step {
	var steps []Step
	for i := range rs.Policies {
		p := &rs.Policies[i]
		st := Step{Stage: stage, Origin: p.Origin, Shadow: shadow}
		t := p.match(s)
		st.Outcome, st.On = outcome(t), t.On
		for _, d := range p.Dropped {
			st.Steps = append(st.Steps, Step{Stage: stage, Origin: d.Origin, Outcome: Skipped, Note: d.Reason})
		}
		switch {
		case p.Never:
			st.Note = "a policy without rules matches nothing"
		case s.everything:
			st.Steps = append(st.Steps, explainAll(p.Principals, s, stage)...)
			st.Steps = append(st.Steps, explainAll(p.Permissions, s, stage)...)
		case t.T == True:
			st.Steps = append(st.Steps, explainMatch(p.Principals, s, stage)...)
			st.Steps = append(st.Steps, explainMatch(p.Permissions, s, stage)...)
		default:
			if matchAny(p.Permissions, s).T != True {
				st.Steps = append(st.Steps, explainMiss(p.Permissions, s, stage)...)
			}
			if matchAny(p.Principals, s).T != True {
				st.Steps = append(st.Steps, explainMiss(p.Principals, s, stage)...)
			}
		}
		steps = append(steps, st)
	}
	return steps
}

// explainMatch gives the conditions of the first entry that matches.
func explainMatch(cs []Clause, s *state, stage Stage) []Step {
	for i := range cs {
		if cs[i].match(s).T != True {
			continue
		}
		var steps []Step
		for j := range cs[i].Conditions {
			steps = append(steps, cs[i].Conditions[j].step(s, stage))
		}
		return steps
	}
	return nil
}

// explainAll gives all conditions of all entries.
func explainAll(cs []Clause, s *state, stage Stage) []Step {
	var steps []Step
	for i := range cs {
		for j := range cs[i].Conditions {
			steps = append(steps, cs[i].Conditions[j].step(s, stage))
		}
	}
	return steps
}

// explainMiss gives, for each entry, the first condition that does not hold.
func explainMiss(cs []Clause, s *state, stage Stage) []Step {
	var steps []Step
	for i := range cs {
		for j := range cs[i].Conditions {
			c := &cs[i].Conditions[j]
			if c.match(s).T != True {
				steps = append(steps, c.step(s, stage))
				break
			}
		}
	}
	return steps
}

func (c *Condition) step(s *state, stage Stage) Step {
	t := c.match(s)
	st := Step{
		Stage: stage, Origin: c.Origin, Attribute: c.Attribute, Outcome: outcome(t), On: t.On, Got: gotNone, Want: quoteList(c.Values),
		Values: c.Values, Negated: c.Negated,
	}
	if c.Negated {
		st.Want = "not " + strings.ReplaceAll(st.Want, ", ", " or ")
	} else {
		st.Want = strings.ReplaceAll(st.Want, ", ", " or ")
	}
	if len(c.Matchers) > 0 {
		st.Got = c.Matchers[0].got(s)
	}
	return st
}

func outcome(t Tri) Outcome {
	switch t.T {
	case True:
		return Matched
	case False:
		return NotMatched
	default:
		return Undecided
	}
}
