package ztunnel

import (
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// steps is the walk: the connection, the DENY policies, the ALLOW policies unless
// one of the former is sure to match, and the application if it is reached.
func (e *evaluation) steps(v envoy.Verdict) []envoy.Step {
	c := &e.r.Connection
	if len(e.clients) == 1 && e.clients[0].refused != "" {
		return []envoy.Step{{Stage: envoy.StageConnection, Outcome: envoy.Matched, Note: e.clients[0].refused}}
	}
	first := envoy.Step{Stage: envoy.StageConnection, Outcome: envoy.NotMatched, Got: gotUnknown}
	if c.Transport.IsKnown() {
		first.Got = c.Transport.Value.String()
	} else {
		first.On = envoy.Deps{c.Transport.Missing}
	}
	out := []envoy.Step{first}
	if len(e.deny) > 0 {
		st := e.stage(envoy.StageDeny, e.deny)
		out = append(out, st)
		if st.Outcome == envoy.Matched {
			return out
		}
	}
	if len(e.allow) > 0 {
		out = append(out, e.stage(envoy.StageAllow, e.allow))
	}
	if v.Decision == envoy.Allowed {
		note := "the bytes go to the application as they are: ztunnel reads no HTTP, so that no token and no path is looked at"
		if e.opaqueTLS() {
			note = "the TLS bytes go to the application as they are: ztunnel does not see what is in them"
		}
		out = append(out, envoy.Step{Stage: envoy.StageRouter, Outcome: envoy.Matched, Note: note})
	}
	return out
}

// merge is the answer for all possible clients: unknown where they differ.
func (e *evaluation) merge(f func(identity) envoy.Tri) envoy.Tri {
	var out envoy.Tri
	seen := false
	for _, cl := range e.clients {
		if cl.refused != "" {
			continue
		}
		t := f(cl.id)
		switch {
		case !seen:
			out, seen = t, true
		case out.T != t.T:
			out = envoy.Tri{T: envoy.Unknown, On: out.On.Union(t.On).Union(envoy.Deps{e.r.Connection.Transport.Missing})}
		default:
			out.On = out.On.Union(t.On)
		}
	}
	return out
}

// got is what the connection brought; not known where the possible clients differ.
func (e *evaluation) got(t Test) string {
	out := ""
	for _, cl := range e.clients {
		switch v := t.got(e.conn, cl.id); {
		case cl.refused != "":
		case out == "":
			out = v
		case out != v:
			return gotUnknown
		}
	}
	return out
}

// stage is all policies of an action. As for the other proxy, an ALLOW stage has
// matched when it refuses, that is when no policy matches.
func (e *evaluation) stage(stage envoy.Stage, policies []*Policy) envoy.Step {
	st := envoy.Step{Stage: stage, Outcome: envoy.NotMatched}
	for _, p := range policies {
		st.Steps = append(st.Steps, e.policy(stage, p)...)
	}
	t := e.merge(func(id identity) envoy.Tri { return find(policies, e.conn, id).matched })
	if stage == envoy.StageAllow {
		t = t.Not()
	}
	st.Outcome, st.On = outcome(t), t.On
	if stage == envoy.StageDeny && t.T == envoy.True {
		for _, p := range st.Steps {
			if p.Outcome == envoy.Matched {
				st.Origin = p.Origin
				break
			}
		}
	}
	return st
}

// policy lists what became of the rules of a policy.
func (e *evaluation) policy(stage envoy.Stage, p *Policy) []envoy.Step {
	if len(p.Rules) == 0 {
		note := "a policy without rules matches nothing"
		if len(p.Dropped) > 0 {
			note = "none of its rules is left: it matches nothing"
		}
		return []envoy.Step{{Stage: stage, Origin: p.Origin, Outcome: envoy.NotMatched, Note: join(p.Note, note), Steps: dropped(stage, p.Dropped)}}
	}
	var out []envoy.Step
	for i := range p.Rules {
		out = append(out, e.rule(stage, p, &p.Rules[i]))
	}
	for _, d := range p.Dropped {
		out = append(out, envoy.Step{Stage: stage, Origin: d.Origin, Outcome: envoy.Skipped, Note: d.Reason})
	}
	return out
}

func (e *evaluation) rule(stage envoy.Stage, p *Policy, r *Rule) envoy.Step {
	t := e.merge(func(id identity) envoy.Tri { return r.match(e.conn, id) })
	st := envoy.Step{Stage: stage, Origin: r.Origin, Outcome: outcome(t), On: t.On, Note: join(p.Note, r.Reason), Steps: dropped(stage, r.Dropped)}
	for i := range r.Clauses {
		st.Steps = append(st.Steps, e.clause(stage, &r.Clauses[i], t.T == envoy.True)...)
	}
	return st
}

// clause gives, of a rule that matches, the conditions of the first match that
// holds; of one that does not, the first condition of each match that fails.
func (e *evaluation) clause(stage envoy.Stage, cl *Clause, ruleMatches bool) []envoy.Step {
	whole := e.merge(func(id identity) envoy.Tri { return cl.match(e.conn, id) })
	var out []envoy.Step
	for i := range cl.Matches {
		m := &cl.Matches[i]
		t := e.merge(func(id identity) envoy.Tri { return m.match(e.conn, id) })
		if ruleMatches && t.T == envoy.True {
			for j := range m.Conditions {
				out = append(out, e.condition(stage, &m.Conditions[j]))
			}
			return out
		}
		if ruleMatches || whole.T == envoy.True {
			continue
		}
		if len(m.Conditions) == 0 {
			out = append(out, envoy.Step{Stage: stage, Origin: m.Origin, Outcome: envoy.NotMatched, Note: "nothing is left of it, so that it never matches"})
			continue
		}
		for j := range m.Conditions {
			if st := e.condition(stage, &m.Conditions[j]); st.Outcome != envoy.Matched {
				out = append(out, st)
				break
			}
		}
	}
	return out
}

func (e *evaluation) condition(stage envoy.Stage, c *Condition) envoy.Step {
	t := e.merge(func(id identity) envoy.Tri { return c.match(e.conn, id) })
	quoted := make([]string, len(c.Values))
	for i, v := range c.Values {
		quoted[i] = strconv.Quote(v)
	}
	st := envoy.Step{Stage: stage, Origin: c.Origin, Attribute: c.Attribute, Outcome: outcome(t), On: t.On, Want: strings.Join(quoted, " or ")}
	if c.Negated {
		st.Want = "not " + st.Want
	}
	if len(c.Tests) > 0 {
		st.Got = e.got(c.Tests[0])
	}
	return st
}

func dropped(stage envoy.Stage, ds []envoy.Dropped) []envoy.Step {
	var out []envoy.Step
	for _, d := range ds {
		out = append(out, envoy.Step{Stage: stage, Origin: d.Origin, Outcome: envoy.Skipped, Note: d.Reason})
	}
	return out
}

func join(notes ...string) string {
	var out []string
	for _, n := range notes {
		if n != "" {
			out = append(out, n)
		}
	}
	return strings.Join(out, "; ")
}

func outcome(t envoy.Tri) envoy.Outcome {
	switch t.T {
	case envoy.True:
		return envoy.Matched
	case envoy.False:
		return envoy.NotMatched
	default:
		return envoy.Undecided
	}
}
