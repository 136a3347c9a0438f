package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// leg is one way of a request from one hop to the next: how it arrives there, or how
// it ends in between.
type leg struct {
	arrival *arrival
	ends    envoy.Verdict
	because string
	on      envoy.Deps
}

// undetermined is a leg of which nobody knows where it leads.
func undetermined(m *envoy.Missing) leg {
	return leg{ends: envoy.Verdict{Decision: envoy.Undetermined, On: envoy.Deps{m}}}
}

// leave is what becomes of a request between hop i and the next one.
func (c *chain) leave(i int, e *examined, p envoy.Passage) []leg {
	u := p.Upstream
	switch {
	case u.Method == "CONNECT":
		return []leg{undetermined(&envoy.Missing{What: "what becomes of CONNECT behind " + c.hops[i].name(), Why: "that is for its routes to say, which are not judged"})}
	case u.Bytes:
		return []leg{undetermined(&envoy.Missing{
			What: "what the next hop gets from " + c.hops[i].name(), Why: "bytes that are not taken for HTTP are not followed behind it",
		})}
	}
	if e.res == nil || e.res.Proxy.Role != envoy.RoleGateway {
		return []leg{c.arrive(i, e, u, nil)}
	}
	return c.routed(i, e, u)
}

// routed are the ways that the routes of a gateway give a request.
func (c *chain) routed(i int, e *examined, u *envoy.Upstream) []leg {
	conn := e.req.Connection
	seen := u
	if u.Entered != nil {
		seen = u.Entered
	}
	route, err := istio.RouteOf(c.snap, istio.Crossing{
		Workload: e.w, Listener: e.port.Number, SNI: conn.SNI, TLS: conn.Transport.Value != envoy.Plaintext, Upstream: seen, HostMissing: e.req.AuthorityMissing,
	})
	switch {
	case err != nil:
		return []leg{undetermined(&envoy.Missing{What: "the routes of " + c.hops[i].name(), Why: err.Error()})}
	case route.Missing != nil:
		return []leg{undetermined(route.Missing)}
	case route.Status != 0:
		v := envoy.Verdict{Decision: envoy.Denied, Status: route.Status, Details: route.Details}
		if !route.Origin.IsZero() {
			v.DecidedBy = &route.Origin
		}
		return []leg{{ends: v.Replied(u.Method, grpc(e.req)), because: route.Reason}}
	case len(route.Backends) == 0:
		c.noRoute(i)
		return []leg{c.arrive(i, e, u, nil)}
	}
	var out []leg
	several := &envoy.Missing{What: "which destination the request gets", Why: route.Origin.String() + " has several, by weight"}
	for k := range route.Backends {
		b := &route.Backends[k]
		if c.elsewhere(i+1, *b) {
			continue
		}
		changed, missing := b.Apply(u, e.res.ForwardsHost)
		l := undetermined(missing)
		if missing == nil {
			l = c.arrive(i, e, changed, b)
		}
		if len(route.Backends) > 1 {
			l.on = envoy.Deps{several}
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return []leg{undetermined(c.otherPlace(i, route))}
	}
	return out
}

// afterRoute are answers that a gateway gives to requests that it has a route for, by how
// their details begin, each with what is not known where none is seen: an upgrade that is
// not allowed (without a route the filters run all the same, Envoy
// source/common/http/conn_manager_impl.cc, upgrade_failed), and what the router cannot send
// as the filters have left it (source/common/router/router.cc:Filter::decodeHeaders).
var afterRoute = map[string]*envoy.Missing{
	"upgrade_failed": {What: "what an upgrade gets that is not allowed", Why: "no route of the gateway is seen to take the request"},
	"filter_removed_required_request_headers": {What: "what a request gets that cannot be sent on", Why: "no route of the gateway is seen to take it"},
}

// needsRoute is what is not known of an answer where there is no route; nil where it does
// not hang on one.
func needsRoute(v envoy.Verdict) *envoy.Missing {
	details, _, _ := strings.Cut(v.Details, "{")
	return afterRoute[details]
}

// noRouteFor reports whether a gateway is not seen to have a route for a request as the
// client sent it.
func (c *chain) noRouteFor(e *examined) bool {
	if e.res == nil || e.res.Proxy.Role != envoy.RoleGateway {
		return false
	}
	u := &envoy.Upstream{Method: e.req.Method, Authority: e.req.Authority, Path: e.req.Path, Headers: lowered(e.req.Headers)}
	conn := e.req.Connection
	r, err := istio.RouteOf(c.snap, istio.Crossing{
		Workload: e.w, Listener: e.port.Number, SNI: conn.SNI, TLS: conn.Transport.Value != envoy.Plaintext, Upstream: u, HostMissing: e.req.AuthorityMissing,
	})
	return err != nil || r.Missing != nil || r.Status == 404
}

// elsewhere reports whether a backend is not what the hop is asked for.
func (c *chain) elsewhere(i int, b istio.Backend) bool {
	for _, s := range addressed(hopIntent(c.in, i), c.hops[i].port) {
		if s.Service == b.Service && s.Namespace == b.Namespace && s.Port == b.Port {
			return c.in.Subset != "" && b.Subset != "" && c.in.Subset != b.Subset
		}
	}
	return true
}

// otherPlace says that the routes lead to something else than the next hop.
func (c *chain) otherPlace(i int, r istio.Route) *envoy.Missing {
	var names []string
	for _, b := range r.Backends {
		names = append(names, fmt.Sprintf("%s:%d", b.Host(), b.Port))
	}
	return &envoy.Missing{
		What: "what the request gets at " + c.hops[i+1].name() + fmt.Sprintf(" port %d", c.hops[i+1].port.Number),
		Why:  r.Origin.String() + " sends it to " + strings.Join(names, ", ") + " instead", Hint: "leave TYPE/NAME and --via out, and give --url: the routes then say where it goes",
	}
}

// noRoute notes that no route of the gateway was read.
func (c *chain) noRoute(i int) {
	c.assumed = addOnce(c.assumed, Assumption{
		Setting: "route of " + c.hops[i].name(), Value: "to " + c.hops[i+1].name() + ", as it is", Source: "no VirtualService or HTTPRoute of the gateway was read",
	})
}

// arrive is how a request arrives at the next hop.
func (c *chain) arrive(i int, e *examined, u *envoy.Upstream, to *istio.Backend) leg {
	a := &arrival{in: c.intent(i + 1), before: e, link: c.hops[i].via.Link, scheme: u.Scheme, to: to}
	if to != nil && to.Subset != "" {
		a.in.Subset = to.Subset
	}
	in := &a.in
	in.Method, in.Host, in.HostGiven, in.Path = u.Method, u.Authority, true, u.Path
	in.Caller = Caller{SNIGiven: false}
	in.Protocol = e.req.Protocol // until the port is known
	if a.noHost = e.req.AuthorityMissing; to != nil && to.Rewrites() {
		a.noHost = nil
	}
	in.Headers = nil
	for _, h := range u.Headers {
		if e.res != nil && e.res.CountsAttempts && h.Name == attemptCount {
			continue
		}
		in.Headers = append(in.Headers, h)
	}
	for k, name := range u.Unknown {
		a.unknown = append(a.unknown, envoy.UnknownHeader{Name: name, Missing: u.Missing[k]})
	}
	if e.res != nil && e.res.CountsAttempts {
		in.Headers = append(in.Headers, envoy.Header{Name: attemptCount, Value: "1"})
	}
	return leg{arrival: a}
}

const attemptCount = "x-envoy-attempt-count"

func (h hop) name() string { return h.w.Ref.String() }

// outbound is how the hop before connects to hop i.
func (c *chain) outbound(i int, a *arrival) (istio.Outbound, *envoy.Missing, error) {
	before, port := a.before.w, c.hops[i].port
	none := istio.Outbound{Auto: true}
	if a.before.res == nil {
		return none, nil, nil // no proxy: plaintext
	}
	services := addressed(a.in, port)
	if a.to != nil {
		services = slices.DeleteFunc(services, func(s istio.ServicePort) bool {
			return s.Service != a.to.Service || s.Namespace != a.to.Namespace || s.Port != a.to.Port
		})
	}
	if len(services) == 0 {
		return none, nil, nil
	}
	first, err := istio.OutboundTo(c.snap, before, services[0], a.in.Subset)
	if err != nil {
		return none, nil, err
	}
	for _, s := range services[1:] {
		o, err := istio.OutboundTo(c.snap, before, s, a.in.Subset)
		if err != nil {
			return none, nil, err
		}
		if o.Mode != first.Mode || o.HTTP2 != first.HTTP2 || o.AsClient != first.AsClient {
			return none, &envoy.Missing{
				What: "which Service the request goes to behind " + before.Ref.String(), Why: "several have the port, and their DestinationRules differ",
				Hint: "ask for svc/NAME instead of the workload",
			}, nil
		}
		first.SNI = ""
	}
	if !first.HTTP2 && (first.AsClient || services[0].Auto() && a.before.res.Proxy.Role != envoy.RoleGateway) {
		first.HTTP2 = a.in.Protocol == envoy.HTTP2
	}
	return first, first.Missing, nil
}

// addressed are the Services that the request may go to at a port: the target's own,
// or all that have the port.
func addressed(in Intent, port istio.PortInfo) []istio.ServicePort {
	var out []istio.ServicePort
	for _, s := range port.Services {
		if in.Target.Type != mesh.TypeService {
			out = append(out, s)
			continue
		}
		if s.Service == in.Target.Name && (in.Port.IsZero() || in.Port.Number == s.Port || in.Port.Name == s.Name && s.Name != "") {
			out = append(out, s)
		}
	}
	return out
}

// Facts about a connection between two hops that no object tells.
var (
	gatewayAddress = &envoy.Missing{What: "the address of the hop before", Why: "none of its pods is among the objects, or it has several"}
	ownCertificate = &envoy.Missing{What: "the client certificate of the DestinationRule", Why: "it is not part of the mesh's objects"}
)

// connect fills in how the hop before connects: with Istio's mTLS and its own
// identity, unless the objects turn that off.
func connect(s *mesh.Snapshot, a *arrival, e *examined, to istio.Outbound) {
	r, before := e.req, a.before.w
	conn := &r.Connection
	if to.HTTP2 {
		r.Protocol = envoy.HTTP2
	} else {
		r.Protocol = envoy.HTTP11
	}
	conn.Transport, conn.Peer, conn.SNI = envoy.Known(envoy.Plaintext), envoy.Known(envoy.Peer{}), envoy.Known("")
	switch mode := to.Mode; {
	case a.before.res == nil || mode == istio.TLSDisable:
	case mode == istio.TLSIstioMutual, mode == "" && e.takesMTLS(s, to):
		id := fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", e.res.TrustDomain, before.Namespace, before.ServiceAccount)
		conn.Transport = envoy.Known(envoy.MutualTLS)
		conn.Peer = envoy.Known(envoy.Peer{Presented: true, Trusted: true, URISANs: []string{id}, Hash: a.link.Certificate})
		conn.SNI = sniOf(to)
	case mode == "":
	default: // SIMPLE and MUTUAL: TLS that is not Istio's
		conn.Transport, conn.SNI = envoy.Known(envoy.TLS), sniOf(to)
		if mode == "MUTUAL" {
			conn.Peer = envoy.NotKnown[envoy.Peer](ownCertificate)
		}
		if conn.SNI.IsKnown() && conn.SNI.Value == "" {
			host, _, _ := strings.Cut(r.Authority, ":")
			conn.SNI = envoy.Known(host) // auto_sni
		}
		if to.HTTP2 {
			conn.ALPN = []string{"h2"}
		}
	}
	conn.Source = envoy.NotKnown[netip.Addr](gatewayAddress)
	if len(before.PodIPs) == 1 {
		if ip, err := netip.ParseAddr(before.PodIPs[0]); err == nil {
			conn.Source = envoy.Known(ip)
		}
	}
	if a.link.IP.IsValid() {
		conn.Source = envoy.Known(a.link.IP)
	}
	if a.link.LocalIP.IsValid() {
		conn.LocalIP = envoy.Known(a.link.LocalIP)
	}
}

func sniOf(to istio.Outbound) envoy.Fact[string] {
	if to.SNI == "" && to.Mode != "SIMPLE" && to.Mode != "MUTUAL" {
		return envoy.NotKnown[string](sniMissing)
	}
	return envoy.Known(to.SNI)
}

// takesMTLS reports whether a proxy of the mesh uses Istio's mTLS with this hop by itself.
func (e *examined) takesMTLS(s *mesh.Snapshot, to istio.Outbound) bool {
	switch e.res.Proxy.Role {
	case envoy.RoleWaypoint, envoy.RoleZtunnel:
		return true // nothing else gets there; with ztunnel it is HBONE
	default:
		return to.Auto && e.res.Mode != "DISABLE" && istio.TakesIstioMTLS(s, e.w)
	}
}

// tokensTaken notices tokens that one hop has taken off the request and that the next
// one looks for.
func (c *chain) tokensTaken() []Finding {
	var out []Finding
	for i := 1; i < len(c.hops); i++ {
		if len(c.runs[i]) == 0 {
			break
		}
		front, e := c.runs[i-1][0], c.runs[i][0]
		if front.res == nil || e.res == nil || e.res.Ztunnel != nil {
			continue
		}
		taker, where, ok := takenBy(front)
		if !ok || !(requiresIdentity(e.res.Proxy) || looksThere(e, where)) {
			continue
		}
		severity := diag.Warning
		if e.d.Verdict.Decision != envoy.Allowed {
			severity = diag.Error
		}
		out = append(out, Finding{
			Code: diag.TokenTaken, Severity: severity, Object: place(taker.Origin), Field: taker.Origin.Field + ".forwardOriginalToken",
			Message: fmt.Sprintf("%s verifies the token in %s and takes it off, since forwardOriginalToken is not true: %s does not get it",
				front.w.Ref, where, e.w.Ref),
		})
	}
	return out
}

// takenBy is the rule that verified a token and took it off, and where the token was.
func takenBy(e *examined) (*envoy.Provider, string, bool) {
	for _, stage := range e.trace.Steps {
		if stage.Stage != envoy.StageJWT {
			continue
		}
		for _, rule := range stage.Steps {
			for _, t := range rule.Steps {
				if t.Outcome != envoy.Matched || strings.HasPrefix(t.Got, "cookie ") {
					continue
				}
				for _, p := range providers(e.res.Proxy) {
					if p.Origin == rule.Origin && !p.Forward {
						return p, t.Got, true
					}
				}
			}
		}
	}
	return nil, "", false
}

// looksThere reports whether a rule of the hop looks for tokens at a place.
func looksThere(e *examined, where string) bool {
	for _, p := range providers(e.res.Proxy) {
		for _, l := range p.EffectiveLocations() {
			if l.String() == where {
				return true
			}
		}
	}
	return false
}
