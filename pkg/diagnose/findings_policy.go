package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// denyWins notices that an ALLOW rule matches a request that a DENY rule refuses.
func (s *story) denyWins() []Finding {
	if !s.deniedAt(envoy.StageDeny) {
		return nil
	}
	t := s.evaluateWithout(func(r *envoy.RBAC) bool { return r.Action == envoy.Deny && !r.Custom })
	if t.Verdict.Decision != envoy.Allowed {
		return nil
	}
	for _, stage := range t.Steps {
		for _, p := range stage.Steps {
			if stage.Stage == envoy.StageAllow && p.Outcome == envoy.Matched && !p.Shadow {
				return []Finding{found(diag.DenyWins, diag.Info, p.Origin, "this ALLOW rule matches the request, and does not help: DENY is asked first, and decides")}
			}
		}
	}
	return nil
}

// dryRuns notices policies on dry run that would have refused the request.
func (s *story) dryRuns() []Finding {
	var out []Finding
	for _, stage := range s.trace.Steps {
		var allows []envoy.Step
		matched := false
		for _, p := range stage.Steps {
			switch {
			case !p.Shadow || stage.Stage != envoy.StageDeny && stage.Stage != envoy.StageAllow:
			case stage.Stage == envoy.StageDeny && p.Outcome == envoy.Matched:
				out = append(out, found(diag.DryRunDenies, diag.Warning, p.Origin, "a DENY rule on dry run matches: enforced, it would refuse this request with 403"))
			case stage.Stage == envoy.StageAllow:
				allows = append(allows, p)
				matched = matched || p.Outcome != envoy.NotMatched
			}
		}
		if len(allows) > 0 && !matched {
			out = append(out, found(diag.DryRunDenies, diag.Warning, allows[0].Origin, "an ALLOW policy on dry run does not match: enforced, it would refuse this request with 403"))
		}
	}
	return out
}

// justMissed notices DENY rules that a request gets past by a little.
func (s *story) justMissed() []Finding {
	if s.trace.Verdict.Decision != envoy.Allowed {
		return nil
	}
	telling := []diag.Code{diag.PathNearMiss, diag.HostNearMiss, diag.ClaimNotText, diag.CaseDiffers, diag.MethodNotHTTP, diag.PrincipalFormat}
	var out []Finding
	for _, stage := range s.trace.Steps {
		for _, p := range stage.Steps {
			if stage.Stage != envoy.StageDeny || p.Shadow || p.Outcome != envoy.NotMatched {
				continue
			}
			for _, c := range conditions(p) {
				if c.Outcome != envoy.NotMatched || c.Negated {
					continue
				}
				if phrase, _, code := s.miss(c); slices.Contains(telling, code) {
					out = append(out, found(code, diag.Warning, c.Origin, "DENY rule "+rule(p)+" just misses the request: it "+phrase))
					break
				}
			}
		}
	}
	return out
}

// badValues notices values of rules that can never match, whatever the request.
func (s *story) badValues() []Finding {
	var out []Finding
	for _, p := range s.policies() {
		for _, cl := range append(slices.Clone(p.Principals), p.Permissions...) {
			for _, c := range cl.Conditions {
				for _, v := range c.Values {
					switch {
					case isPrincipal(c.Attribute) && !strings.ContainsAny(v, "/*"):
						out = append(out, found(diag.PrincipalFormat, diag.Warning, c.Origin, quote(v)+" can never match: a request principal is ISSUER/SUBJECT"))
					case c.Attribute == "methods" && v != strings.ToUpper(v):
						out = append(out, found(diag.MethodNotHTTP, diag.Warning, c.Origin, quote(v)+" can never match: it is no method of HTTP"))
					}
				}
			}
		}
	}
	return slices.DeleteFunc(out, func(f Finding) bool { return f.Code == s.why.code })
}

// split notices two rules that look as if they were meant to be one, where one of them
// has let the request in.
func (s *story) split() []Finding {
	ps := s.policies()
	bare := func(cs []envoy.Clause) bool {
		return !slices.ContainsFunc(cs, func(c envoy.Clause) bool { return len(c.Conditions) > 0 })
	}
	for i := 0; i+1 < len(ps); i++ {
		a, b := &ps[i], &ps[i+1]
		if a.action != envoy.Allow || b.action != envoy.Allow || a.shadow || b.shadow || a.Origin.Ref != b.Origin.Ref ||
			bare(a.Principals) || !bare(a.Permissions) || !bare(b.Principals) || bare(b.Permissions) {
			continue
		}
		if s.letInBy(a.Origin) || s.letInBy(b.Origin) {
			return []Finding{found(diag.RuleSplit, diag.Warning, a.Origin,
				"rules that have only from and only to, one behind the other, are alternatives: these clients may go everywhere, and everybody there; one dash too many, perhaps")}
		}
	}
	return nil
}

// letInBy reports whether a rule has let the request in.
func (s *story) letInBy(o origin.Origin) bool {
	if s.trace.Verdict.Decision != envoy.Allowed {
		return false
	}
	for _, stage := range s.trace.Steps {
		if stage.Stage == envoy.StageAllow && slices.ContainsFunc(stage.Steps, func(p envoy.Step) bool {
			return p.Origin == o && p.Outcome == envoy.Matched && !p.Shadow
		}) {
			return true
		}
	}
	return false
}

// empty notices ALLOW policies without rules among others that have some.
func (s *story) empty() []Finding {
	if !s.deniedAt(envoy.StageAllow) || s.why.code == diag.AllowsNothing {
		return nil
	}
	var out []Finding
	for _, p := range s.policies() {
		if p.action == envoy.Allow && p.Never && !p.shadow {
			out = append(out, found(diag.AllowsNothing, diag.Info, p.Origin, "an ALLOW policy without rules closes everything that no other ALLOW rule opens"))
		}
	}
	return out
}

// meshWide notices policies of the root namespace that reach every workload, where they
// have to do with the verdict.
func (s *story) meshWide() []Finding {
	var out []Finding
	for _, c := range s.res.Considered {
		if !c.Attached || c.Namespace != s.res.RootNamespace || c.Kind == "PeerAuthentication" || !s.bears(c.Ref) {
			continue
		}
		o := s.snap.Find("security.istio.io", c.Kind, c.Namespace, c.Name)
		if o == nil {
			continue
		}
		if t, ok := targetOf(o); !ok || len(t.GetSelector().GetMatchLabels()) > 0 || t.GetTargetRef() != nil || len(t.GetTargetRefs()) > 0 {
			continue
		}
		out = append(out, found(diag.MeshWide, diag.Info, origin.Origin{Ref: c.Ref},
			fmt.Sprintf("it stands in the root namespace %s and has no selector: it reaches every workload of the mesh", s.res.RootNamespace)))
	}
	return out
}

// bears reports whether an object has had a part in the verdict: it has decided, or a
// rule of it was looked at where no rule matched.
func (s *story) bears(ref origin.Ref) bool {
	if by := s.trace.Verdict.DecidedBy; by != nil {
		return by.Ref == ref
	}
	if len(s.trace.Steps) == 0 {
		return false
	}
	for _, p := range s.trace.Steps[len(s.trace.Steps)-1].Steps {
		if p.Origin.Ref == ref {
			return true
		}
	}
	return false
}
