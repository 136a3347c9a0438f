package diagnose

import (
	"reflect"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
)

// arrival is a form in which the request reaches a hop.
type arrival struct {
	in      Intent
	unknown []envoy.UnknownHeader
	scheme  string
	noHost  *envoy.Missing
	// before is the hop that it comes from; nil at the first one.
	before *examined
	link   Link
	// to is where a route of the hop before sends it; nil: not told by a route.
	to *istio.Backend
}

// diagnose judges the hops in turn and puts the answer together.
func (c *chain) diagnose() (*Diagnosis, error) {
	ends, err := c.judge(0, &arrival{in: c.intent(0)})
	if err != nil {
		return nil, err
	}
	v := envoy.Combine(ends)
	decides := c.deciding()
	d := *c.runs[decides][0].d
	shown := d.Verdict
	d.Possibilities, d.DependsOn = nil, nil
	d.setVerdict(v)
	if !sameVerdict(shown, d.Verdict) {
		d.retell(v)
		if why := c.because[decides]; why != "" && v.Decision == envoy.Denied {
			d.Summary, d.Because, d.Code = why, why, ""
		}
	}
	d.Request = c.runs[0][0].d.Request
	d.Upstream = nil
	if v.Decision == envoy.Allowed && decides == len(c.hops)-1 {
		d.Upstream = c.runs[decides][0].d.Upstream
	}
	c.gather(&d)
	d.atHop()
	redact(&d, c.secrets())
	return &d, nil
}

// judge evaluates hop i and, where the request gets through, those behind it. It
// gives the verdicts that may come of it, each with what it depends on.
func (c *chain) judge(i int, a *arrival) (verdictList, error) {
	e, err := c.examine(i, a)
	if err != nil {
		return nil, err
	}
	c.runs[i] = append(c.runs[i], e)
	last := i == len(c.hops)-1
	var out verdictList
	var base envoy.Deps
	for _, v := range endsOf(e.trace.Verdict) {
		if m := needsRoute(v); m != nil && c.noRouteFor(e) {
			v = envoy.Verdict{Decision: envoy.Undetermined, On: envoy.Deps{m}}
		}
		if v.Decision == envoy.Allowed && !last {
			base = base.And(v.On)
			continue
		}
		out = append(out, v)
	}
	c.ended[i] = append(c.ended[i], out...)
	if last {
		return clientSees(i, e, a, out), nil
	}
	var behind []verdictList
	var ways []envoy.Passage
	for _, p := range passagesOf(e) {
		for _, l := range c.leave(i, e, p) {
			ends := verdictList{l.ends}
			if l.arrival == nil {
				c.ended[i], c.because[i] = append(c.ended[i], l.ends), l.because
			} else {
				if ends, err = c.judge(i+1, l.arrival); err != nil {
					return nil, err
				}
			}
			p.On = p.On.And(l.on)
			behind, ways = append(behind, withUnsure(ends, p.Unsure)), append(ways, p)
		}
	}
	differ := slices.ContainsFunc(behind, func(b verdictList) bool { return !sameEnds(b, behind[0]) })
	for k, b := range behind {
		for _, v := range b {
			v.On = v.On.And(base)
			if differ {
				v.On = v.On.And(ways[k].On)
			}
			out = append(out, v)
		}
	}
	return clientSees(i, e, a, out), nil
}

// endsOf are the verdicts that one stands for, with an Undetermined one where some of
// them are not known.
func endsOf(v envoy.Verdict) verdictList {
	if v.Decision != envoy.Undetermined {
		return verdictList{v}
	}
	out := verdictList(slices.Clone(v.Possible))
	if len(out) < 2 {
		out = append(out, envoy.Verdict{Decision: envoy.Undetermined, On: v.On})
	}
	return out
}

// withUnsure adds what may come where something that is not modelled has changed the
// request on the way.
func withUnsure(ends verdictList, m *envoy.Missing) verdictList {
	if m == nil {
		return ends
	}
	on := envoy.Deps{m}
	return append(slices.Clone(ends), envoy.Verdict{Decision: envoy.Denied, Status: 403, On: on, Details: "depends on " + m.What},
		envoy.Verdict{Decision: envoy.Allowed, Status: 200, On: on})
}

func sameEnds(a, b verdictList) bool {
	within := func(x, y verdictList) bool {
		for _, v := range x {
			if !slices.ContainsFunc(y, func(o envoy.Verdict) bool { return v.Same(o) }) {
				return false
			}
		}
		return true
	}
	return within(a, b) && within(b, a)
}

// passagesOf are the ways through a hop.
func passagesOf(e *examined) []envoy.Passage {
	t := e.trace
	switch {
	case len(t.Passages) > 0 || t.Verdict.Decision == envoy.Denied:
		return t.Passages
	case e.res == nil || e.res.Ztunnel != nil:
		// Nothing looks into the bytes, whatever is not known of the connection.
		u := &envoy.Upstream{Method: e.req.Method, Authority: e.req.Authority, Path: e.req.Path, Headers: e.req.Headers}
		for _, h := range e.req.Unknown {
			u.Unknown, u.Missing = append(u.Unknown, h.Name), append(u.Missing, h.Missing)
		}
		return []envoy.Passage{{Upstream: u, On: t.Verdict.On}}
	default:
		return nil
	}
}

// What a client reads where the hop behind its proxy closes the connection
// (Envoy source/common/router/router.cc:Filter::onUpstreamReset).
const (
	upstreamClosed = "upstream connect error or disconnect/reset before headers"
	unavailable    = 14 // of gRPC
)

// clientSees turns a connection that a hop closes into the answer of the proxy in
// front of it.
func clientSees(i int, e *examined, a *arrival, ends verdictList) verdictList {
	if i == 0 || a.before == nil || a.before.res == nil || a.before.res.Ztunnel != nil {
		return ends
	}
	for k, v := range ends {
		if v.Decision != envoy.Denied || v.Status != 0 || a.before.trace.Branches.Has(envoy.BranchTCP) {
			continue
		}
		v.Status, v.Body = 503, upstreamClosed
		if grpc(e.req) {
			code := unavailable
			v.Status, v.GRPCStatus = 200, &code
		}
		if e.req.Method == "HEAD" {
			v.Body = ""
		}
		ends[k] = v
	}
	return ends
}

// examine judges the request at hop i.
func (c *chain) examine(i int, a *arrival) (*examined, error) {
	h := c.hops[i]
	if istio.RoleOf(c.snap, h.w) == envoy.RoleNone {
		return examineWithoutProxy(a.in, c.snap, h.w), nil
	}
	if a.before == nil {
		return examine(a.in, c.snap, h.w, h.port, nil)
	}
	to, missing, err := c.outbound(i, a)
	if err != nil {
		return nil, err
	}
	in := a.in
	if to.HTTP2 {
		in.Protocol = envoy.HTTP2
	}
	return examine(in, c.snap, h.w, h.port, func(e *examined) error {
		r := e.req
		r.Unknown, r.Scheme = a.unknown, a.scheme
		if a.noHost != nil {
			r.AuthorityMissing = a.noHost
		}
		connect(c.snap, a, e, to)
		if missing != nil {
			t := envoy.NotKnown[envoy.Transport](missing)
			r.Connection.Transport, r.Connection.Peer = t, envoy.NotKnown[envoy.Peer](missing)
		}
		return nil
	})
}

// deciding is the hop that decides: the first that may do anything but pass the
// request on, else the last.
func (c *chain) deciding() int {
	for i := range c.hops {
		if len(c.ended[i]) > 0 || i == len(c.hops)-1 || len(c.runs[i+1]) == 0 {
			return i
		}
	}
	return len(c.hops) - 1
}

// gather collects from all hops what the answer is made of besides the verdict.
func (c *chain) gather(d *Diagnosis) {
	d.Hops, d.NotReached = nil, nil
	d.Findings, d.Assumed, d.Gaps, d.Tokens = []Finding{}, []Assumption{}, []Gap{}, nil
	for i, runs := range c.runs {
		if len(runs) == 0 {
			t := newDiagnosis(c.intent(i), c.hops[i].w, nil, nil).Target
			t.Port = c.hops[i].port.Number
			d.NotReached = append(d.NotReached, t)
			continue
		}
		e := runs[0]
		req := e.d.Request
		h := Hop{Target: e.d.Target, Verdict: e.d.Verdict, Trace: e.d.Trace, Because: e.d.Because}
		if i > 0 {
			h.Request = &req
		}
		d.Hops = append(d.Hops, h)
		for _, f := range e.d.Findings {
			d.Findings = addOnce(d.Findings, f)
		}
		for _, a := range e.d.Assumed {
			if slices.ContainsFunc(d.Assumed, func(o Assumption) bool { return o.Setting == a.Setting && o != a }) {
				a.Setting += " of " + e.w.Ref.String()
			}
			d.Assumed = addOnce(d.Assumed, a)
		}
		for _, g := range e.d.Gaps {
			d.Gaps = addOnce(d.Gaps, g)
		}
		if e.res != nil {
			for _, t := range tokensOf(c.runs[0][0].req, e.res.Proxy) {
				if !slices.ContainsFunc(d.Tokens, func(o Token) bool { return o.Location == t.Location && o.Kid == t.Kid && o.Problem == t.Problem }) {
					d.Tokens = append(d.Tokens, t)
				}
			}
		}
	}
	for _, a := range c.assumed {
		d.Assumed = addOnce(d.Assumed, a)
	}
	d.Findings = slices.DeleteFunc(d.Findings, func(f Finding) bool { return f.Code == diag.KeysNotUsed && c.usedSomewhere(f) })
	if c.someRequireIdentity() {
		d.Findings = slices.DeleteFunc(d.Findings, func(f Finding) bool { return f.Code == diag.TokenNotRequired })
	}
	d.Findings = append(d.Findings, c.tokensTaken()...)
}

// someRequireIdentity reports whether any hop's policies ask who the token names.
func (c *chain) someRequireIdentity() bool {
	for _, runs := range c.runs {
		if len(runs) > 0 && runs[0].res != nil && runs[0].res.Ztunnel == nil && requiresIdentity(runs[0].res.Proxy) {
			return true
		}
	}
	return false
}

// usedSomewhere reports whether keys that one hop has no use for are another's.
func (c *chain) usedSomewhere(f Finding) bool {
	for _, runs := range c.runs {
		if len(runs) > 0 && runs[0].res != nil && !slices.ContainsFunc(runs[0].d.Findings, func(o Finding) bool { return o.Message == f.Message && o.Code == f.Code }) {
			return true
		}
	}
	return false
}

func addOnce[T any](list []T, v T) []T {
	if slices.ContainsFunc(list, func(o T) bool { return reflect.DeepEqual(o, v) }) {
		return list
	}
	return append(list, v)
}

func (c *chain) secrets() []string {
	var out []string
	for _, runs := range c.runs {
		for _, e := range runs {
			out = append(out, e.secrets()...)
			if e.res != nil && e.res.Ztunnel == nil {
				out = append(out, envoy.Secrets(c.runs[0][0].req, providerValues(e.res.Proxy))...)
			}
		}
	}
	return out
}

// grpc reports whether the proxy in front answers a request in gRPC's form.
func grpc(r *envoy.Request) bool {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, "content-type") {
			return h.Value == "application/grpc" || strings.HasPrefix(h.Value, "application/grpc+")
		}
	}
	return false
}
