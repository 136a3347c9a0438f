package diagnose

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// mostAlike is how many findings of one code an answer has.
const mostAlike = 3

// findings are what is worth knowing about the objects that have to do with the
// request, the worst first. The reason itself is not said again.
func (s *story) findings() []Finding {
	var out []Finding
	for _, check := range []func() []Finding{
		s.left, s.refused, s.tokenNotRequired, s.misses,
		s.otherTokens, s.withoutToken, s.discovered,
		s.denyWins, s.dryRuns, s.justMissed, s.badValues, s.split, s.empty, s.meshWide, s.custom, s.nothingVerifies, s.notModelled,
	} {
		out = append(out, check()...)
	}
	seen := map[diag.Code]int{}
	out = slices.DeleteFunc(out, func(f Finding) bool {
		seen[f.Code]++
		return seen[f.Code] > mostAlike && f.Code != diag.RuleDropped && f.Code != diag.ValueDropped
	})
	rank := map[diag.Severity]int{diag.Error: 0, diag.Warning: 1, diag.Info: 2}
	slices.SortStableFunc(out, func(a, b Finding) int { return rank[a.Severity] - rank[b.Severity] })
	return out
}

func found(code diag.Code, severity diag.Severity, o origin.Origin, message string) Finding {
	return Finding{Code: code, Severity: severity, Object: place(o), Field: o.Field, Message: message}
}

// left are rules and values that istiod leaves out.
func (s *story) left() []Finding {
	var out []Finding
	dropped := s.res.Dropped
	if s.trace.Branches.Has(envoy.BranchTCP) {
		dropped = s.res.DroppedTCP
	}
	for _, d := range dropped {
		out = append(out, found(diag.RuleDropped, diag.Warning, d.Origin, d.Reason))
	}
	var walk func([]envoy.Step)
	walk = func(ss []envoy.Step) {
		for _, st := range ss {
			if st.Outcome == envoy.Skipped && (st.Origin.Kind == "AuthorizationPolicy" || st.Origin.Kind == "RequestAuthentication") && st.Note != "" {
				out = append(out, found(diag.ValueDropped, diag.Warning, st.Origin, st.Note))
			}
			walk(st.Steps)
		}
	}
	walk(s.trace.Steps)
	return out
}

// refused is a configuration that the proxy does not take.
func (s *story) refused() []Finding {
	r := s.res.Proxy.Refused
	if r == nil {
		return nil
	}
	return []Finding{found(diag.ListenerRefused, diag.Error, r.Origin, "the proxy refuses the whole listener: "+r.Reason)}
}

// tokenNotRequired notices that tokens are verified and none is asked for.
func (s *story) tokenNotRequired() []Finding {
	ps := s.providers()
	if len(ps) == 0 || s.tokenRequired() || s.trace.Branches.Has(envoy.BranchTCP) || s.deniedAt(envoy.StagePath) || s.deniedAt(envoy.StageCodec) {
		return nil
	}
	if slices.ContainsFunc(s.policies(), func(p policyOf) bool { return !p.shadow && asksForToken(&p.Policy) }) {
		return nil
	}
	f := found(diag.TokenNotRequired, diag.Info, ps[0].Origin, "a request without a token passes: no AuthorizationPolicy that reaches the workload asks for one")
	f.Field = ""
	return []Finding{f}
}

// tokenRequired reports whether a rule says presence: REQUIRED, which refuses a request
// without a token by itself.
func (s *story) tokenRequired() bool {
	return slices.ContainsFunc(s.res.Proxy.JWTFilters(), func(f *envoy.JWTAuthn) bool {
		return f.Requirement.Kind == envoy.RequireAll || f.Requirement.Kind == envoy.RequireProvider
	})
}

// otherTokens notices several tokens in one request, where that is why it is refused.
func (s *story) otherTokens() []Finding {
	texts := map[string]bool{}
	var places []string
	for _, t := range s.tokens {
		if !texts[t.Text] {
			texts[t.Text] = true
			places = append(places, t.Location)
		}
	}
	if len(places) < 2 || s.why.code == diag.SeveralTokens || !s.deniedAt(envoy.StageJWT) {
		return nil
	}
	return []Finding{{Code: diag.SeveralTokens, Severity: diag.Warning, Message: "the request has several tokens, in " + join(places, "and") +
		": each rule verifies all that it finds, and all of them must be good"}}
}

func (s *story) deniedAt(stage envoy.Stage) bool {
	return s.trace.Verdict.Decision == envoy.Denied && len(s.trace.Steps) > 0 && s.trace.Steps[len(s.trace.Steps)-1].Stage == stage
}

// withoutToken notices that a request is refused for its token alone: without any it
// would pass.
func (s *story) withoutToken() []Finding {
	if len(s.tokenNotRequired()) > 0 || !s.deniedAt(envoy.StageJWT) || s.trace.Steps[len(s.trace.Steps)-1].Status == "Jwt is missing" {
		return nil
	}
	v := envoy.Evaluate(s.res.Proxy, stripped(s.req, s.providers()), s.keys).Verdict
	if v.Decision != envoy.Allowed {
		return nil
	}
	return []Finding{{Code: diag.OpenPathBadToken, Severity: diag.Info, Message: "without a token this request passes: " +
		"RequestAuthentication knows no paths, so that a bad token is refused even where none is asked for"}}
}

// stripped is a request without anything at the places where tokens are looked for.
func stripped(r *envoy.Request, provs []*envoy.Provider) *envoy.Request {
	out := *r
	names, params := map[string]bool{}, map[string]bool{}
	for _, p := range provs {
		for _, l := range p.EffectiveLocations() {
			switch l.Kind {
			case envoy.InHeader:
				names[strings.ToLower(l.Name)] = true
			case envoy.InCookie:
				names["cookie"] = true
			default:
				params[l.Name] = true
			}
		}
	}
	out.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h envoy.Header) bool { return names[strings.ToLower(h.Name)] })
	base, query, ok := strings.Cut(r.Path, "?")
	if !ok {
		return &out
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return params[name]
	})
	out.Path = base
	if len(kept) > 0 {
		out.Path += "?" + strings.Join(kept, "&")
	}
	return &out
}

// discovered notices keys that are found by discovery, where a token was looked at.
func (s *story) discovered() []Finding {
	var out []Finding
	for _, p := range s.providers() {
		if p.Keys.Fetcher == envoy.ControlPlane && p.Keys.URI == "" && len(s.tokens) > 0 {
			out = append(out, found(diag.KeysDiscovered, diag.Warning, p.Origin,
				"the rule has no jwksUri: istiod asks "+quote(p.Issuer)+" for it, and refuses every token while the issuer is away"))
		}
	}
	return out
}

// custom notices external authorizers: that they run before JWT, and those that cannot
// be used.
func (s *story) custom() []Finding {
	var out []Finding
	decided := s.deniedAt(envoy.StageCustom)
	for _, u := range s.res.Unusable {
		if !decided {
			out = append(out, found(diag.CustomProviderBad, diag.Error, u.Origin, u.Reason+": istiod denies what the policy matches"))
		}
	}
	for _, st := range s.trace.Steps {
		if st.Stage == envoy.StageCustom && st.Outcome == envoy.Undecided && st.Origin.Field == "spec.provider.name" && len(s.providers()) > 0 {
			out = append(out, found(diag.CustomFirst, diag.Info, st.Origin,
				"the authorizer is asked before any token is verified: it gets the token as it came, and may answer before a 401 would"))
		}
	}
	return out
}

// nothingVerifies notices rules about tokens where no RequestAuthentication is.
func (s *story) nothingVerifies() []Finding {
	if len(s.providers()) > 0 || s.why.code == diag.NothingVerifies || s.trace.Branches.Has(envoy.BranchTCP) {
		return nil
	}
	for _, p := range s.policies() {
		if !p.shadow && asksForToken(&p.Policy) {
			return []Finding{found(diag.NothingVerifies, diag.Warning, p.Origin,
				"the rule looks at verified tokens, and no RequestAuthentication reaches the workload, so that there never is one")}
		}
	}
	return nil
}

// notModelled notices what changes the proxy and does not change this verdict.
func (s *story) notModelled() []Finding {
	if s.trace.Verdict.Decision == envoy.Undetermined {
		return nil
	}
	var out []Finding
	for _, c := range s.res.Unmodelled {
		if c.Attached {
			out = append(out, found(diag.NotModelled, diag.Info, origin.Origin{Ref: c.Ref}, "it changes the proxy in a way that is not modelled; the verdict is the same whatever it does"))
		}
	}
	return out
}

// evaluateWithout is the verdict with the same request if some filters were not there.
func (s *story) evaluateWithout(drop func(*envoy.RBAC) bool) envoy.Trace {
	p := *s.res.Proxy
	p.Chains = slices.Clone(p.Chains)
	for i := range p.Chains {
		if p.Chains[i].HTTP == nil {
			continue
		}
		cm := *p.Chains[i].HTTP
		cm.Filters = slices.DeleteFunc(slices.Clone(cm.Filters), func(f envoy.Filter) bool {
			r, ok := f.(*envoy.RBAC)
			return ok && drop(r)
		})
		p.Chains[i].HTTP = &cm
	}
	return envoy.Evaluate(&p, s.req, s.keys)
}

// requiresIdentity reports whether a rule of the proxy looks at what a verified token says.
func requiresIdentity(p *envoy.Proxy) bool {
	s := &story{res: &istio.Result{Proxy: p}}
	return slices.ContainsFunc(s.policies(), func(p policyOf) bool { return !p.shadow && asksForToken(&p.Policy) })
}
