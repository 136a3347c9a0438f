package envoy

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// maxRuns bounds how many combinations of unanswerable questions are tried.
const maxRuns = 64

var tooMany = &Missing{What: "what comes of all that is not known together", Why: "there are too many possibilities to try"}

// Evaluate walks the proxy with one request and says what the client gets, with
// every step that led there. It is deterministic and changes none of its
// arguments. Where facts are missing it follows every possibility: the verdict is
// Undetermined only if they differ.
func Evaluate(p *Proxy, r *Request, keys Keys) Trace { return evaluate(p, r, keys, false) }

// EvaluateAll is Evaluate with all conditions of all rules in the walk, where
// Evaluate has those that decide about a rule.
func EvaluateAll(p *Proxy, r *Request, keys Keys) Trace { return evaluate(p, r, keys, true) }

func evaluate(p *Proxy, r *Request, keys Keys, everything bool) Trace {
	if t, refused := refusedListener(p, keys); refused {
		return t
	}
	var out outcomes
	for _, transport := range r.transports() {
		choices := []bool(nil)
		for run := 0; ; run++ {
			e := newEvaluation(p, r, keys, transport, choices)
			e.s.everything = everything
			e.run()
			if run == maxRuns {
				e.verdict, e.also = Verdict{Decision: Undetermined, On: Deps{tooMany}}, nil
			}
			out.add(e)
			if choices = nextChoices(e.s.asked); choices == nil || run == maxRuns {
				break
			}
		}
	}
	return out.trace()
}

// nextChoices gives the answers for the next run, nil when all have been tried.
func nextChoices(asked []choice) []bool {
	for i := len(asked) - 1; i >= 0; i-- {
		if asked[i].answer {
			next := make([]bool, i+1)
			for j := range i {
				next[j] = asked[j].answer
			}
			return next
		}
	}
	return nil
}

// evaluation is one run: one transport, one set of answers.
type evaluation struct {
	p         *Proxy
	r         *Request
	keys      Keys
	transport Transport
	s         *state
	steps     []Step
	verdict   Verdict
	// also are replies that might have come instead, each with what it depends on.
	also []Verdict
	on   Deps
	// unsure is set where something that is not modelled may have changed the request.
	unsure *Missing
	// entered is the request before the filters, where they may change it without a token.
	entered *Upstream
	// http says that the bytes are taken for HTTP, so that denials are replies.
	http bool
	// quiet says that nobody reads the walk: see Decider.
	quiet bool
}

func newEvaluation(p *Proxy, r *Request, keys Keys, t Transport, choices []bool) *evaluation {
	return &evaluation{p: p, r: r, keys: keys, transport: t, s: &state{
		req: r, b: p.Behavior, br: new(BranchSet), choices: choices, peer: r.Connection.Peer,
	}}
}

func (e *evaluation) run() {
	if e.p.Tunnel != nil && !e.s.tunnelled {
		e.throughTunnel()
		return
	}
	if e.transport != Plaintext && !e.p.TLSInspector {
		r := *e.r
		r.Connection.SNI = Known("") // nobody looks for it
		e.r, e.s.req = &r, &r
	}
	for _, o := range e.p.Changed {
		e.opaque(o)
	}
	chain := e.connect()
	if chain == nil {
		return
	}
	if chain.HTTP == nil {
		e.bytes(chain)
		return
	}
	s := e.s
	e.http = true
	s.tls = e.transport != Plaintext
	if s.req.Connection.Transport.IsKnown() && !s.tls {
		s.peer = Known(Peer{})
	}
	rej := s.decode(chain.HTTP)
	s.grpcRequest = s.grpc()
	if rej != nil {
		e.reject(StageCodec, rej)
		return
	}
	if rej := s.prepare(chain.HTTP); rej != nil {
		e.reject(StagePath, rej)
		return
	}
	e.entered = e.enters(chain.HTTP)
	for _, f := range chain.HTTP.Filters {
		ended := e.filter(f)
		if s.lost != nil {
			e.verdict, ended = Verdict{Decision: Undetermined, On: Deps{s.lost}}, true
		}
		if ended {
			return
		}
	}
	if !s.hasPath && s.hasPayload && e.p.Role != RoleSidecar {
		// A good token has the route looked up anew (jwt_authn clear_route_cache).
		e.verdict = Verdict{Decision: Denied, Status: 404, Details: "route_not_found"}
		e.reply(&e.verdict)
		e.step(Step{Stage: StageRouter, Outcome: Matched, Note: "a rule of a RequestAuthentication has removed :path, and no route is for a request without it"})
		return
	}
	if reason, note := s.unsendable(); reason != "" {
		e.verdict = Verdict{Decision: Denied, Status: 503, Body: reason, Details: "filter_removed_required_request_headers{" + underscored(reason) + "}"}
		e.reply(&e.verdict)
		e.step(Step{Stage: StageRouter, Outcome: Matched, Note: note})
		return
	}
	if s.method == methodConnect {
		s.br.add(BranchManagerConnect)
		e.verdict = Verdict{Decision: Denied, Status: 404, Details: "route_not_found"}
		e.reply(&e.verdict)
		e.step(Step{Stage: StageRouter, Outcome: Matched, Note: "istiod makes no route for CONNECT"})
		return
	}
	e.verdict = Verdict{Decision: Allowed, Status: 200, Details: "via_upstream"}
	e.step(Step{Stage: StageRouter, Outcome: Matched})
}

// enters keeps the request where a filter removes headers from it without a token.
func (e *evaluation) enters(cm *ConnectionManager) *Upstream {
	if e.p.Role != RoleGateway {
		return nil
	}
	for _, f := range cm.Filters {
		j, ok := f.(*JWTAuthn)
		if !ok {
			continue
		}
		for i := range j.Providers {
			if p := &j.Providers[i]; p.PayloadHeader != "" || len(p.ClaimHeaders) > 0 {
				return e.s.upstream()
			}
		}
	}
	return nil
}

// bytes runs the filters of a chain that does not take the bytes for HTTP. They
// decide when the first bytes come; a denial closes the connection
// (Envoy source/extensions/filters/network/rbac/rbac_filter.cc).
func (e *evaluation) bytes(chain *Chain) {
	s := e.s
	s.br.add(BranchTCP)
	s.bytes = true
	s.tls = e.transport != Plaintext && chain.TLS != nil
	if !s.tls {
		s.peer = Known(Peer{})
	}
	s.direct = s.req.Connection.Source
	s.remote = s.direct
	for _, f := range chain.TCP {
		if e.filter(f) {
			return
		}
	}
	e.verdict = Verdict{Decision: Allowed, Status: 200}
	note := "the bytes go to the application as they are: the port is not taken for HTTP, so that no token and no path is looked at"
	if e.transport != Plaintext && chain.TLS == nil {
		e.verdict.Status = 0
		note = "the TLS bytes go to the application as they are: the proxy does not see what is in them"
	}
	e.step(Step{Stage: StageRouter, Outcome: Matched, Note: note})
}

// connect picks the chain and runs the handshake; nil when the connection ends.
func (e *evaluation) connect() *Chain {
	closed := func(c *Chain, why string) *Chain {
		st := Step{Stage: StageConnection, Outcome: Matched, Note: why}
		v := Verdict{Decision: Denied, Details: why}
		if c != nil && !c.Origin.IsZero() {
			st.Origin = c.Origin
			o := c.Origin
			v.DecidedBy = &o
		}
		e.verdict = v
		e.step(st)
		return nil
	}
	c := e.pick(e.p.offer(e.r, e.transport))
	if c == nil {
		e.s.br.add(BranchClosedNoChain)
		return closed(e.p.anyOrigin(), NoChain(e.transport))
	}
	peer, why := c.admit(e.transport, e.r.Connection.Peer)
	if why != "" {
		e.s.br.add(BranchClosedHandshake)
		return closed(c, why)
	}
	e.s.peer = peer
	e.step(Step{Stage: StageConnection, Origin: c.Origin, Outcome: NotMatched, Got: e.transport.String()})
	return c
}

// NoChain says that no filter chain of a listener is for a connection.
func NoChain(t Transport) string { return "no filter chain takes " + t.String() }

// anyOrigin is the chain that says why no other chain exists.
func (p *Proxy) anyOrigin() *Chain {
	for i := range p.Chains {
		if p.Chains[i].Origin.Kind != "" {
			return &p.Chains[i]
		}
	}
	return nil
}

// step adds a step to the walk, after what there is to say of the proxy's version.
func (e *evaluation) step(s Step) {
	if e.quiet {
		return
	}
	for _, n := range e.s.notes {
		e.steps = append(e.steps, Step{Stage: s.Stage, Outcome: Skipped, Note: n})
	}
	e.s.notes = nil
	e.steps = append(e.steps, s)
}

func (e *evaluation) reject(stage Stage, r *rejection) {
	e.step(Step{Stage: stage, Outcome: Matched, Note: r.note, Status: r.details})
	if r.reset {
		e.verdict = Verdict{Decision: Denied, Details: r.details}
		return
	}
	e.verdict = Verdict{Decision: Denied, Status: r.status, Body: r.body, Details: r.details}
	switch {
	case stage != StageCodec:
		e.reply(&e.verdict)
	case e.r.Method == "HEAD":
		e.verdict.Body = ""
	}
}

// reply gives a local reply the form that the client can read
// (Envoy source/common/http/utility.cc:Utility::prepareLocalReply).
func (e *evaluation) reply(v *Verdict) {
	if e.s.grpcRequest {
		e.s.br.add(BranchGRPCReply)
		code := grpcStatus(v.Status)
		v.GRPCStatus, v.Status = &code, 200
		if e.r.Method == "HEAD" {
			v.Body = ""
		}
		return
	}
	if e.r.Method == "HEAD" {
		e.s.br.add(BranchHeadReply)
		v.Body = ""
	}
}

// grpcStatus is Envoy source/common/grpc/status.cc:Utility::httpToGrpcStatus.
func grpcStatus(http int) int {
	switch http {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	default:
		return 2
	}
}

// filter runs one filter and reports whether the request ends there.
func (e *evaluation) filter(f Filter) bool {
	switch f := f.(type) {
	case *JWTAuthn:
		if m := e.s.unseenTokens(f); m != nil {
			e.jwtUnseen(f, m)
			return false
		}
		v, st := e.s.jwtAuthn(f, e.keys)
		e.step(st)
		return e.ends(v, nil)
	case *RBAC:
		return e.rbacFilter(f)
	case *ExtAuthz:
		return e.extAuthz(f)
	case *TunnelIdentity:
		f.run(e.s)
	case *Opaque:
		e.opaque(f)
	}
	return false
}

// opaque notes what may come of something that is not modelled: it may answer the
// request itself, or change what decides behind it. The walk goes on as if it did
// nothing, which is one of the possibilities.
func (e *evaluation) opaque(f *Opaque) {
	on := Deps{f.Missing}
	e.unsure = f.Missing
	e.step(Step{Stage: StageUnmodelled, Origin: f.Origin, Outcome: Undecided, Note: f.Missing.What, On: on})
	e.on = e.on.union(on)
	may := f.May
	if len(may) == 0 {
		may = []Verdict{{Decision: Denied, Status: 403}, {Decision: Allowed, Status: 200}}
	}
	for _, v := range may {
		v.On = on
		if v.Details == "" {
			v.Details = "depends on " + f.Missing.What
		}
		e.also = append(e.also, v)
	}
}

func (e *evaluation) rbacFilter(f *RBAC) bool {
	stage := stageOf(f.Action)
	if f.ShadowPrefix == extAuthzPrefix || f.Custom {
		stage = StageCustom
	}
	var steps []Step
	if f.Shadow != nil && !e.quiet {
		steps = f.Shadow.explain(e.s, stage, true)
	}
	if f.Rules != nil && !e.quiet {
		steps = append(steps, f.Rules.explain(e.s, stage, false)...)
	}
	v, on, shadow := e.s.rbac(f)
	e.s.shadowPolicy = shadow
	st := Step{Stage: stage, Outcome: NotMatched, Steps: steps, On: on}
	switch {
	case v != nil && len(on) > 0:
		st.Outcome = Undecided
	case v != nil:
		st.Outcome = Matched
	}
	if v != nil && v.DecidedBy != nil {
		st.Origin = *v.DecidedBy
	}
	e.step(st)
	return e.ends(v, on)
}

func stageOf(a Action) Stage {
	switch a {
	case Deny:
		return StageDeny
	case Log:
		return StageAudit
	default:
		return StageAllow
	}
}

const extAuthzPrefix = "istio_ext_authz_"

// extAuthz runs when a CUSTOM policy matched; what the authorizer says is not known.
func (e *evaluation) extAuthz(f *ExtAuthz) bool {
	matched := len(f.Prefix) <= len(e.s.shadowPolicy) && e.s.shadowPolicy != "" && e.s.shadowPolicy[:len(f.Prefix)] == f.Prefix
	if !matched {
		e.step(Step{Stage: StageCustom, Origin: f.Origin, Outcome: Skipped, Note: "no CUSTOM policy matches: the authorizer is not asked"})
		return false
	}
	m := &Missing{What: "the answer of the external authorizer " + quote(f.Provider), Why: "it is not part of the mesh's configuration"}
	e.step(Step{Stage: StageCustom, Origin: f.Origin, Outcome: Undecided, Note: m.What, On: Deps{m}})
	e.also = append(e.also, Verdict{Decision: Denied, Status: 403, Details: "ext_authz_denied", On: Deps{m}})
	e.on = e.on.union(Deps{m})
	e.unsure = m
	return false
}

// ends takes a reply that comes for sure, or notes one that may come.
func (e *evaluation) ends(v *Verdict, on Deps) bool {
	if v == nil {
		return false
	}
	if e.http {
		e.reply(v)
	} else {
		v.Status, v.Body = 0, ""
	}
	if len(on) > 0 {
		maybe := *v
		maybe.On = on
		e.also = append(e.also, maybe)
		e.on = e.on.union(on)
		return false
	}
	e.verdict = *v
	return true
}

// refusedListener is the answer where the proxy does not take the configuration.
func refusedListener(p *Proxy, keys Keys) (Trace, bool) {
	refusal := p.Refused
	for _, jf := range p.JWTFilters() {
		for j := range jf.Providers {
			if k, ok := keys[jf.Providers[j].Keys]; ok && k.Refused != jwt.OK && refusal == nil {
				refusal = &Refusal{Origin: jf.Providers[j].Origin, Reason: "Provider '" + jf.Providers[j].Name +
					"' in jwt_authn config has invalid local jwks: " + k.Refused.String()}
			}
		}
	}
	if refusal == nil {
		return Trace{}, false
	}
	m := &Missing{What: "the configuration that the proxy still has", Why: "it refuses this one: " + refusal.Reason}
	return Trace{
		Verdict: Verdict{Decision: Undetermined, On: Deps{m}},
		Steps:   []Step{{Stage: StageConnection, Origin: refusal.Origin, Outcome: Undecided, Note: refusal.Reason, On: Deps{m}}},
	}, true
}
