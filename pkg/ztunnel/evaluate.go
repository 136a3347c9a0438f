package ztunnel

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// refusedBy begins the reason of a connection that a policy closes. What the client
// sees of it depends on its own proxy, and is no HTTP answer.
const refusedBy = "connection refused by L4 policy"

// NotAllowed is the reason where ALLOW policies exist and none matches.
const NotAllowed = "connection refused: no ALLOW policy matches"

// Evaluate decides about the connection that carries a request, as ztunnel does
// (ztunnel src/state.rs:DemandProxyState.assert_rbac): a DENY that matches, then
// whether there is any ALLOW, then whether one matches. It is deterministic and
// changes none of its arguments. Where facts are missing it follows every
// possibility: the verdict is Undetermined only if they differ.
func Evaluate(p *Proxy, r *envoy.Request) envoy.Trace {
	e := newEvaluation(p, r)
	var t envoy.Trace
	t.Verdict = e.verdict()
	t.Steps = e.steps(t.Verdict)
	if t.Verdict.Decision == envoy.Allowed {
		t.Upstream = upstream(r)
	}
	return t
}

// client is one of the clients that it may be.
type client struct {
	id      identity
	refused string // why the handshake fails
}

type evaluation struct {
	r           *envoy.Request
	conn        *connection
	clients     []client
	deny, allow []*Policy
}

func newEvaluation(p *Proxy, r *envoy.Request) *evaluation {
	c := &r.Connection
	e := &evaluation{r: r, conn: &connection{source: c.Source, dest: c.LocalIP, port: c.LocalPort}}
	e.clients = clients(c, p.TrustDomain)
	for s := ScopeNamespace; s <= ScopeWorkload; s++ {
		for i := range p.Policies {
			switch pol := &p.Policies[i]; {
			case pol.Scope != s:
			case pol.Action == Deny:
				e.deny = append(e.deny, pol)
			default:
				e.allow = append(e.allow, pol)
			}
		}
	}
	return e
}

// clients are the possible clients: one without identity, unless it is known to use
// HBONE, and the one with the certificate, unless it is known not to. Bytes of TLS
// that is not HBONE's pass like any others (ztunnel src/proxy/inbound_passthrough.rs).
func clients(c *envoy.Connection, trustDomain string) []client {
	nobody := client{}
	if c.Transport.IsKnown() && c.Transport.Value != envoy.MutualTLS {
		return []client{nobody}
	}
	var with client
	if c.Peer.IsKnown() {
		with.id, with.refused = admit(&c.Peer.Value, trustDomain)
	} else {
		with.id = identity{present: true, trustDomain: trustDomain, missing: c.Peer.Missing}
	}
	switch {
	case c.Transport.IsKnown():
		return []client{with}
	case c.Peer.IsKnown() && !c.Peer.Value.Presented:
		return []client{nobody}
	default:
		return []client{nobody, with}
	}
}

// verdict folds what becomes of the possible clients: one answer if none could
// tell the difference.
func (e *evaluation) verdict() envoy.Verdict {
	var all, distinct []envoy.Verdict
	var on envoy.Deps
	for _, cl := range e.clients {
		vs, deps := e.decide(cl)
		all, on = append(all, vs...), on.Union(deps)
	}
	for _, v := range all {
		same := func(o envoy.Verdict) bool { return o.Decision == v.Decision && o.Status == v.Status }
		if !slices.ContainsFunc(distinct, same) {
			distinct = append(distinct, v)
		}
	}
	if len(distinct) > 1 {
		if len(e.clients) > 1 {
			on = on.Union(envoy.Deps{e.r.Connection.Transport.Missing})
		}
		slices.SortStableFunc(distinct, func(a, b envoy.Verdict) int { return severity(a) - severity(b) })
		return envoy.Verdict{Decision: envoy.Undetermined, Possible: distinct, On: on}
	}
	return agreed(all)
}

// severity puts the worst first.
func severity(v envoy.Verdict) int {
	if v.Decision == envoy.Denied {
		return 0
	}
	return 1
}

// agreed is the one answer of several ways to it; what decided is named where all
// name the same.
func agreed(all []envoy.Verdict) envoy.Verdict {
	v := all[0]
	for _, o := range all[1:] {
		if v.Decision != envoy.Denied || o.Details == v.Details && sameOrigin(o.DecidedBy, v.DecidedBy) {
			continue
		}
		v.DecidedBy, v.Details = nil, "connection refused, whatever is not known"
	}
	return v
}

func sameOrigin(a, b *origin.Origin) bool { return a == b || a != nil && b != nil && *a == *b }

// decide gives the answers that one client may get, with the facts that they
// depend on where there are several.
func (e *evaluation) decide(cl client) ([]envoy.Verdict, envoy.Deps) {
	if cl.refused != "" {
		return []envoy.Verdict{closed(cl.refused, nil)}, nil
	}
	deny := find(e.deny, e.conn, cl.id)
	if deny.rule != nil {
		return []envoy.Verdict{closed(refusedBy+" "+deny.policy.ID, &deny.rule.Origin)}, nil
	}
	var out []envoy.Verdict
	on := deny.matched.On
	if deny.matched.T == envoy.Unknown {
		out = append(out, closed(refusedBy, nil))
	}
	allow := find(e.allow, e.conn, cl.id)
	if len(e.allow) == 0 || allow.matched.T != envoy.False {
		out = append(out, e.passed())
	}
	if len(e.allow) > 0 && allow.matched.T != envoy.True {
		out = append(out, closed(NotAllowed, nil))
		on = on.Union(allow.matched.On)
	}
	return out, on
}

func closed(details string, by *origin.Origin) envoy.Verdict {
	v := envoy.Verdict{Decision: envoy.Denied, Details: details}
	if by != nil {
		o := *by
		v.DecidedBy = &o
	}
	return v
}

// passed is a connection that reaches the application. What it answers to TLS that
// ztunnel does not terminate is not known.
func (e *evaluation) passed() envoy.Verdict {
	v := envoy.Verdict{Decision: envoy.Allowed, Status: 200}
	if e.opaqueTLS() {
		v.Status = 0
	}
	return v
}

func (e *evaluation) opaqueTLS() bool {
	t := e.r.Connection.Transport
	return t.IsKnown() && t.Value == envoy.TLS
}

// upstream is the request as the application gets it: untouched.
func upstream(r *envoy.Request) *envoy.Upstream {
	u := &envoy.Upstream{Method: r.Method, Authority: r.Authority, Path: r.Path}
	for _, h := range r.Headers {
		u.Headers = append(u.Headers, envoy.Header{Name: strings.ToLower(h.Name), Value: h.Value})
	}
	return u
}
