package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// deniedBy is the reason for a denial by a DENY rule: why each of its conditions holds.
func (s *story) deniedBy(last envoy.Step) reason {
	name := "DENY policy " + last.Origin.Namespace + "/" + last.Origin.Name
	for _, p := range last.Steps {
		if p.Outcome != envoy.Matched || p.Shadow || p.Origin != last.Origin {
			continue
		}
		if p.Origin.Kind == "PeerAuthentication" { // ztunnel's own policy for STRICT
			return reason{summary: p.Note, because: p.Note, code: diag.ConnectionRefused}
		}
		phrases, short, code := s.holding(p)
		if len(phrases) == 0 {
			return s.deniesAll(name, p)
		}
		r := reason{summary: name, because: strings.Join(phrases, ", and "), code: either(code, diag.PolicyDenied)}
		if short != "" {
			r.summary = short + " (" + name + ")"
		}
		return r
	}
	return reason{summary: name, code: diag.PolicyDenied}
}

// deniesAll is the reason where a DENY rule has no condition, or none left.
func (s *story) deniesAll(name string, p envoy.Step) reason {
	for _, d := range p.Steps {
		if d.Outcome == envoy.Skipped && d.Note != "" {
			what := "request"
			if s.trace.Branches.Has(envoy.BranchTCP) {
				what = "connection"
			}
			return reason{
				summary: name + ", which lost its conditions",
				because: fmt.Sprintf("%s: what is left of the rule matches every %s", d.Note, what), code: diag.ValueDropped,
			}
		}
	}
	return reason{summary: name, because: "the rule matches every request", code: diag.PolicyDenied}
}

// holding says why the conditions of a rule that matches hold.
func (s *story) holding(p envoy.Step) (phrases []string, short string, code diag.Code) {
	for _, c := range p.Steps {
		if c.Want == "" || c.Outcome != envoy.Matched {
			continue
		}
		phrase, about, why := s.holds(c)
		phrases = append(phrases, phrase)
		if why != "" && code == "" {
			short, code = about, why
		}
		if short == "" && about != "" {
			short = about
		}
	}
	return phrases, short, code
}

// holds says why one condition holds.
func (s *story) holds(c envoy.Step) (phrase, short string, code diag.Code) {
	what := attributeWord(c.Attribute)
	want := list(values(c), "or")
	switch {
	case c.Negated && isPrincipal(c.Attribute) && c.Got == gotNothing:
		absent, short, code := s.absence()
		if code == "" {
			return "the request has no verified token", "no token", diag.ForbiddenNoToken
		}
		return "the request has no verified token: " + absent, "no token, " + short, code
	case c.Negated && isPrincipal(c.Attribute) && strings.HasSuffix(c.Got, "without a sub"):
		return "the token has no sub, so that it has no principal that could be " + want, "the token has no sub", diag.PrincipalWithoutID
	case c.Negated && c.Got == gotNothing && isIdentity(c.Attribute):
		return "the client has no identity that could be " + want + s.plaintextNote(), "the client has no identity", diag.IdentityNeedsMTLS
	case c.Negated && c.Got == gotNothing && strings.HasPrefix(c.Attribute, "request.auth"):
		where, _ := s.claim(c)
		return where + ", so that it is not " + want, "no " + bare(what), diag.AbsentNegative
	case c.Negated && c.Got == gotNothing:
		return "there is no " + strings.TrimPrefix(what, "the ") + " that could be " + want, "", diag.AbsentNegative
	case c.Negated:
		return what + " is " + c.Got + ", not " + want, "", ""
	default:
		return what + " is " + c.Got, "", ""
	}
}

// badAuthorizer is the reason for a denial that istiod puts in the place of an external
// authorizer that it cannot use.
func (s *story) badAuthorizer(last envoy.Step) reason {
	why := "istiod cannot use its authorizer"
	for _, u := range s.res.Unusable {
		if u.Origin.Ref == last.Origin.Ref {
			why = u.Reason
		}
	}
	r := reason{
		summary: "CUSTOM policy " + last.Origin.Namespace + "/" + last.Origin.Name + ", whose authorizer is not usable",
		because: why + ": istiod then denies what the policy matches", code: diag.CustomProviderBad,
	}
	for _, p := range last.Steps {
		if p.Outcome == envoy.Matched && p.Origin == last.Origin && !p.Shadow {
			if phrases, _, _ := s.holding(p); len(phrases) > 0 {
				r.because += "; " + strings.Join(phrases, ", and ")
			}
		}
	}
	return r
}

// notAllowed is the reason for a denial because no ALLOW rule matches: what the only
// rule misses, or the one that comes nearest.
func (s *story) notAllowed(last envoy.Step) reason {
	var rules, empty []envoy.Step
	policies := map[string]bool{}
	for _, p := range last.Steps {
		switch {
		case p.Shadow || p.Outcome == envoy.Skipped:
			continue
		case p.Note != "" && len(conditions(p)) == 0:
			empty = append(empty, p)
		default:
			rules = append(rules, p)
		}
		policies[p.Origin.Ref.String()] = true
	}
	switch {
	case len(rules) == 0 && len(empty) == 0:
		return s.nothingLeft()
	case len(rules) == 0:
		return s.allowsNothing(empty)
	}
	near := nearest(rules)
	phrase, short, code := s.missing(near)
	r := reason{code: either(code, diag.NoPolicyAllowed)}
	if len(rules) == 1 {
		r.summary = "ALLOW policy " + near.Origin.Namespace + "/" + near.Origin.Name + " " + short
		r.because = "the only ALLOW rule, " + rule(near) + ", " + phrase
		return r
	}
	r.summary = fmt.Sprintf("none of %d ALLOW rules matches; the nearest, %s, %s", len(rules), rule(near), short)
	r.because = fmt.Sprintf("none of the %d rules of %s matches; the nearest, %s, %s", len(rules), counted(len(policies), "ALLOW policy", "ALLOW policies"), rule(near), phrase)
	if allAsk(rules) {
		absent, short, code := s.absence()
		r.code = either(code, diag.ForbiddenNoToken)
		r.summary = fmt.Sprintf("no token, and each of the %d ALLOW rules asks for one", len(rules))
		if code != "" {
			r.summary = fmt.Sprintf("no token, %s; each of the %d ALLOW rules asks for one", short, len(rules))
		}
		r.because = fmt.Sprintf("each of the %d ALLOW rules asks for a token that was verified, and %s", len(rules), absent)
	}
	return r
}

// nothingLeft is the reason where there are ALLOW policies, and istiod has left out all
// of their rules.
func (s *story) nothingLeft() reason {
	r := reason{"no ALLOW rule is left", "there is an ALLOW policy, and none of its rules reached the proxy", diag.RuleDropped}
	dropped := s.res.Dropped
	if s.trace.Branches.Has(envoy.BranchTCP) {
		dropped = s.res.DroppedTCP
	}
	if len(dropped) > 0 {
		d := dropped[0]
		r.summary = "ALLOW policy " + d.Origin.Namespace + "/" + d.Origin.Name + " has no rule left"
		r.because += ": " + d.Reason
		if s.trace.Branches.Has(envoy.BranchTCP) {
			r.summary += " on a port that is not HTTP"
			r.because += ", since the port is not taken for HTTP"
		}
	}
	return r
}

// allAsk reports whether every rule misses a verified token.
func allAsk(rules []envoy.Step) bool {
	return !slices.ContainsFunc(rules, func(p envoy.Step) bool {
		return !slices.ContainsFunc(conditions(p), func(c envoy.Step) bool {
			return !c.Negated && c.Got == gotNothing && c.Outcome == envoy.NotMatched && (isPrincipal(c.Attribute) || strings.HasPrefix(c.Attribute, "request.auth"))
		})
	})
}

// allowsNothing is the reason where all that allows has no rules.
func (s *story) allowsNothing(empty []envoy.Step) reason {
	name := empty[0].Origin.Namespace + "/" + empty[0].Origin.Name
	if len(empty[0].Steps) > 0 && empty[0].Steps[0].Outcome == envoy.Skipped {
		return reason{
			summary: "ALLOW policy " + name + " has no rule left",
			because: "the only ALLOW policy has no rule left: " + empty[0].Steps[0].Note, code: diag.RuleDropped,
		}
	}
	r := reason{code: diag.AllowsNothing}
	r.summary = "ALLOW policy " + name + " has no rules"
	r.because = "the only ALLOW policy, " + name + ", has no rules, so that it allows nothing: as soon as there is one, everything else is refused"
	if len(empty) > 1 {
		r.because = fmt.Sprintf("%d ALLOW policies reach the workload, and none of them has rules, so that they allow nothing", len(empty))
	}
	if empty[0].Origin.Namespace == s.res.RootNamespace && s.w.Namespace != s.res.RootNamespace {
		r.because += "; it is for the whole mesh, from the root namespace"
	}
	return r
}

// conditions are the steps of a rule that compare something.
func conditions(p envoy.Step) []envoy.Step {
	var out []envoy.Step
	for _, c := range p.Steps {
		if c.Want != "" {
			out = append(out, c)
		}
	}
	return out
}

// nearest is the rule that was meant, most likely: one whose operations match and whose
// clients do not, then one that misses least; the first of those.
func nearest(rules []envoy.Step) envoy.Step {
	score := func(p envoy.Step) int {
		to, from := 0, 0
		for _, c := range conditions(p) {
			if c.Outcome == envoy.Matched {
				continue
			}
			if inOperation(c) {
				to++
			} else {
				from++
			}
		}
		switch {
		case to > 0 && from > 0:
			return 3
		case to > 0 && likely(p):
			return 1
		case to > 0:
			return 2
		default:
			return 0
		}
	}
	best := rules[0]
	for _, p := range rules[1:] {
		if score(p) < score(best) {
			best = p
		}
	}
	return best
}

// likely reports whether a rule misses the path or the host by a little.
func likely(p envoy.Step) bool {
	for _, c := range conditions(p) {
		for _, v := range values(c) {
			if c.Attribute == "paths" && pathNear(v, unquoted(c.Got)) != "" || c.Attribute == "hosts" && hostNear(v, unquoted(c.Got)) != "" {
				return true
			}
		}
	}
	return false
}

func inOperation(c envoy.Step) bool {
	return strings.Contains(c.Origin.Field, ".to[") || slices.Contains([]string{"destination.ip", "destination.port", "connection.sni"}, c.Attribute)
}
