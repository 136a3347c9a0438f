package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
)

// closed is the reason for a connection that ends before any request.
func (s *story) closed(last envoy.Step) reason {
	t := s.req.Connection.Transport
	by := last.Origin
	switch {
	case s.res.Mode == "STRICT" && t.IsKnown() && t.Value == envoy.Plaintext && by.Kind == "PeerAuthentication":
		return reason{
			summary: "STRICT mTLS, and the client speaks plaintext",
			because: by.Ref.String() + " is STRICT, and the client speaks plaintext: it has no sidecar, or a DestinationRule turns mTLS off; it sees a reset connection",
			code:    diag.ConnectionRefused,
		}
	case s.res.Mode == "STRICT" && t.IsKnown() && t.Value == envoy.TLS:
		return reason{
			summary: "STRICT mTLS, and the client's TLS is not the mesh's",
			because: by.Ref.String() + " is STRICT, and the client brings TLS of its own, without a certificate of the mesh",
			code:    diag.ConnectionRefused,
		}
	case s.res.Proxy.Role == envoy.RoleGateway && t.IsKnown() && t.Value == envoy.Plaintext:
		return reason{summary: "the gateway's port wants TLS", because: "the port of the gateway wants TLS, and the client speaks plaintext", code: diag.ConnectionRefused}
	}
	if s.res.Proxy.Role == envoy.RoleGateway && t.IsKnown() {
		if r, ok := s.noServer(last); ok {
			return r
		}
	}
	return reason{summary: last.Note, because: last.Note, code: diag.ConnectionRefused}
}

// noServer is the reason where no server of a gateway is for the name in the TLS
// handshake, which is the request's host unless something else is said.
func (s *story) noServer(last envoy.Step) (reason, bool) {
	var names []string
	for i := range s.res.Proxy.Chains {
		for _, n := range s.res.Proxy.Chains[i].Match.ServerNames {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	sni := s.req.Connection.SNI
	if len(names) == 0 || !sni.IsKnown() || last.Note != envoy.NoChain(s.req.Connection.Transport.Value) {
		return reason{}, false
	}
	const most = 4
	list := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		list += fmt.Sprintf(" and %d more", len(names)-most)
	}
	asks := "the client names no server"
	if sni.Value != "" {
		asks = fmt.Sprintf("the client asks for %q", sni.Value)
	}
	return reason{
		summary: asks + ", and the gateway has " + list + " there",
		because: asks + " in the TLS handshake (SNI), and the servers of this port are for " + list + ": Envoy closes the connection",
		code:    diag.ConnectionRefused,
	}, true
}

// rejected is the reason for a request that HTTP itself, or its path, disqualifies.
func (s *story) rejected(last envoy.Step) reason {
	r := reason{summary: last.Note, because: last.Note + ": no policy was asked", code: diag.RequestRejected}
	if last.Note == "" {
		r.because = "the proxy refuses the request before any policy sees it"
	}
	return r
}

// allowed is the reason why nothing stops a request: what lets it in, or why nothing
// limits it.
func (s *story) allowed() reason {
	if s.trace.Branches.Has(envoy.BranchTCP) {
		return s.openBytes()
	}
	var denies, allows []envoy.Step
	for _, stage := range s.trace.Steps {
		for _, p := range stage.Steps {
			switch {
			case p.Shadow || p.Outcome == envoy.Skipped:
			case stage.Stage == envoy.StageDeny:
				denies = append(denies, p)
			case stage.Stage == envoy.StageAllow:
				allows = append(allows, p)
			}
		}
	}
	for _, p := range allows {
		if p.Outcome == envoy.Matched {
			return s.letIn(p)
		}
	}
	_, token := s.payload()
	if dry := s.dryRuns(); len(dry) > 0 {
		return reason{
			summary: fmt.Sprintf("AuthorizationPolicy %s/%s would refuse it, and is on dry run", dry[0].Object.Namespace, dry[0].Object.Name),
			because: fmt.Sprintf("nothing that is enforced stops the request; AuthorizationPolicy %s/%s, which is on dry run (annotation istio.io/dry-run), would refuse it with 403", dry[0].Object.Namespace, dry[0].Object.Name),
			code:    diag.DryRunDenies,
		}
	}
	switch {
	case len(allows) > 0:
		return reason{because: "some ALLOW rule matches, whatever is not known"}
	case len(denies) > 0:
		return s.notDenied(denies, token)
	case len(s.providers()) > 0 && token:
		return reason{
			summary: "the token is good, and no AuthorizationPolicy asks for more",
			because: "the token is verified, and no AuthorizationPolicy that reaches the workload limits who may pass: a request without a token passes too",
			code:    diag.TokenNotRequired,
		}
	case len(s.providers()) > 0:
		absent, _, code := s.absence()
		return reason{
			summary: "nothing asks for a token",
			because: fmt.Sprintf("%s, and RequestAuthentication refuses bad tokens only: no AuthorizationPolicy that reaches the workload asks for one", absent),
			code:    either(code, diag.TokenNotRequired),
		}
	}
	return s.unlimited()
}

// openBytes is the reason where a port is not taken for HTTP.
func (s *story) openBytes() reason {
	why := ""
	for _, sp := range s.port.Services {
		if s.port.Protocol == istio.ProtocolTCP {
			why = fmt.Sprintf(": in Service %s/%s it is named %s", sp.Namespace, sp.Service, quote(sp.Name))
			break
		}
	}
	return reason{
		summary: "the port is not taken for HTTP: no token and no path is looked at",
		because: fmt.Sprintf("port %d is not taken for HTTP%s: the bytes go to the application as they are, RequestAuthentication does not run, and no policy sees a path", s.res.Proxy.Port, why),
		code:    diag.PortNotHTTP,
	}
}

// letIn is the reason where an ALLOW rule lets the request in.
func (s *story) letIn(p envoy.Step) reason {
	r := reason{summary: "ALLOW policy " + rule(p)}
	phrases, _, _ := s.holding(p)
	if len(phrases) == 0 {
		r.because = "the rule " + rule(p) + " matches every request"
	} else {
		r.because = rule(p) + " matches: " + strings.Join(phrases, ", and ")
	}
	if _, token := s.payload(); !token && s.asksElsewhere(p) {
		r.summary += ", which asks for no token"
		r.because += "; another ALLOW rule asks for a token, but one that matches is enough"
		r.code = diag.AllowOpens
	} else if negative := s.letInByNothing(p); negative {
		r.code = diag.AbsentNegative
	}
	return r
}

// letInByNothing reports whether a condition of a rule holds because the request has
// nothing to compare.
func (s *story) letInByNothing(p envoy.Step) bool {
	return slices.ContainsFunc(conditions(p), func(c envoy.Step) bool { return c.Negated && c.Got == gotNothing && c.Outcome == envoy.Matched })
}

// notDenied is the reason where there are DENY policies alone, and none matches.
func (s *story) notDenied(denies []envoy.Step, token bool) reason {
	if near := s.justMissed(); len(near) > 0 {
		return reason{
			summary: fmt.Sprintf("DENY policy %s/%s just misses it", near[0].Object.Namespace, near[0].Object.Name),
			because: near[0].Message + "; no ALLOW policy limits who may pass", code: near[0].Code,
		}
	}
	r := reason{summary: "no DENY rule matches, and no ALLOW policy limits it"}
	r.because = "no DENY rule matches, and no ALLOW policy limits who may pass"
	for _, p := range denies {
		for _, c := range conditions(p) {
			if c.Outcome == envoy.NotMatched && c.Negated && !isPrincipal(c.Attribute) && s.asks(p.Origin.Field, p.Origin.Ref.String()) && !token {
				r.summary = fmt.Sprintf("DENY policy %s leaves out %s", rule(p), attributeWord(c.Attribute))
				r.because = fmt.Sprintf("DENY policy %s asks for a token, and leaves out %s %s; no ALLOW policy limits who may pass", rule(p), attributeWord(c.Attribute), c.Got)
				return r
			}
		}
	}
	if token {
		r.summary = "the token is good, and no DENY rule matches"
		r.because = "the token is verified, no DENY rule matches, and no ALLOW policy limits who may pass"
	}
	return r
}

// unlimited is the reason where neither tokens nor policies reach the workload.
func (s *story) unlimited() reason {
	r := reason{summary: "no policy reaches the workload", because: "no AuthorizationPolicy and no RequestAuthentication reaches the workload: every request passes"}
	for _, f := range s.misses() {
		r.because += "; " + f.Object.Kind + " " + f.Object.Namespace + "/" + f.Object.Name + " looks as if it was meant to: " + f.Message
		r.summary = "no policy reaches the workload; " + f.Object.Namespace + "/" + f.Object.Name + " just misses it"
		r.code = f.Code
		break
	}
	return r
}

// asks reports whether a rule of the proxy looks at tokens.
func (s *story) asks(field, ref string) bool {
	return slices.ContainsFunc(s.policies(), func(p policyOf) bool {
		return p.Origin.Field == field && p.Origin.Ref.String() == ref && asksForToken(&p.Policy)
	})
}

// asksElsewhere reports whether another ALLOW rule than this one looks at tokens, and
// this one does not.
func (s *story) asksElsewhere(st envoy.Step) bool {
	other := false
	for _, p := range s.policies() {
		if p.action != envoy.Allow || p.shadow {
			continue
		}
		asks := asksForToken(&p.Policy)
		if p.Origin == st.Origin {
			if asks {
				return false
			}
			continue
		}
		other = other || asks
	}
	return other
}

// policyOf is an entry of an RBAC filter of the port's HTTP chains.
type policyOf struct {
	envoy.Policy
	action envoy.Action
	shadow bool
	custom bool
}

// policies are the entries of all RBAC filters of the proxy, each once.
func (s *story) policies() []policyOf {
	var out []policyOf
	seen := map[*envoy.RBAC]bool{}
	for i := range s.res.Proxy.Chains {
		cm := s.res.Proxy.Chains[i].HTTP
		if cm == nil {
			continue
		}
		for _, f := range cm.Filters {
			r, ok := f.(*envoy.RBAC)
			if !ok || seen[r] {
				continue
			}
			seen[r] = true
			if r.Rules != nil {
				for _, p := range r.Rules.Policies {
					out = append(out, policyOf{p, r.Action, false, r.Custom})
				}
			}
			if r.Shadow != nil {
				for _, p := range r.Shadow.Policies {
					out = append(out, policyOf{p, r.Action, true, r.Custom})
				}
			}
		}
	}
	return out
}

// asksForToken reports whether a rule looks at what a verified token says.
func asksForToken(p *envoy.Policy) bool {
	for _, cl := range p.Principals {
		for _, c := range cl.Conditions {
			if isPrincipal(c.Attribute) || strings.HasPrefix(c.Attribute, "request.auth") {
				return true
			}
		}
	}
	return false
}

// undetermined says in a few words what is not known; what it depends on is listed
// beside it.
func (s *story) undetermined() reason {
	v := s.trace.Verdict
	if len(v.On) == 0 {
		return reason{}
	}
	if strings.HasPrefix(v.On[0].What, "the configuration that the proxy still has") {
		return reason{
			summary: "the proxy refuses the configuration and keeps the one it had",
			because: v.On[0].Why + "; what it enforces is what it enforced before, if anything: even forged tokens may pass, and later changes are without effect", code: diag.ListenerRefused,
		}
	}
	r := reason{summary: "it depends on " + v.On[0].What}
	if len(v.On) > 1 {
		r.summary += fmt.Sprintf(" and %s", counted(len(v.On)-1, "other fact", "other facts"))
	}
	if h := v.On[0].Hint; strings.HasPrefix(h, "--") && len(v.On) == 1 {
		r.summary += " (" + h + ")"
	}
	for _, m := range v.On {
		switch {
		case strings.HasPrefix(m.What, "the keys "):
			r.code = diag.KeysUnknown
		case strings.HasPrefix(m.Hint, "correct the object"):
			r.code = diag.ObjectUnreadable
		case strings.HasSuffix(m.Why, "which is not modelled"):
			r.code = diag.NotModelled
		}
	}
	return r
}
