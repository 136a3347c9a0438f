package ztunnel

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// match evaluates a list of values (ztunnel src/rbac.rs:Authorization.matches_internal).
func (cond *Condition) match(c *connection, id identity) envoy.Tri {
	t := envoy.TriOf(false)
	for _, test := range cond.Tests {
		t = t.Or(test.test(c, id))
	}
	if cond.Negated {
		return t.Not()
	}
	return t
}

func (m *Match) match(c *connection, id identity) envoy.Tri {
	t := envoy.TriOf(len(m.Conditions) > 0)
	for i := range m.Conditions {
		t = t.And(m.Conditions[i].match(c, id))
	}
	return t
}

func (cl *Clause) match(c *connection, id identity) envoy.Tri {
	t := envoy.TriOf(len(cl.Matches) == 0)
	for i := range cl.Matches {
		t = t.Or(cl.Matches[i].match(c, id))
	}
	return t
}

func (r *Rule) match(c *connection, id identity) envoy.Tri {
	t := envoy.TriOf(true)
	for i := range r.Clauses {
		t = t.And(r.Clauses[i].match(c, id))
	}
	return t
}

// found is what became of the policies of one action: whether a rule matches, and
// the first that does for sure.
type found struct {
	matched envoy.Tri
	policy  *Policy
	rule    *Rule
}

func find(policies []*Policy, c *connection, id identity) found {
	f := found{matched: envoy.TriOf(false)}
	for _, p := range policies {
		for i := range p.Rules {
			t := p.Rules[i].match(c, id)
			f.matched = f.matched.Or(t)
			if t.T == envoy.True && f.rule == nil {
				f.policy, f.rule = p, &p.Rules[i]
			}
		}
	}
	return f
}
