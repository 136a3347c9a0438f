package envoy

import (
	"net/netip"
	"strings"
)

// TunnelPort is the port on which proxies of an ambient mesh take HBONE
// (Istio pilot/pkg/model/context.go:HBoneInboundListenPort).
const TunnelPort = 15008

// Tunnel is the listener in front of the chains of a waypoint: it takes HBONE, which
// is an HTTP/2 CONNECT over mTLS, and hands on what comes through the tunnel. The
// chains see bytes without TLS; who sent them is in filter state
// (Istio pilot/pkg/networking/core/listener_waypoint.go:buildWaypointInboundConnectTerminate).
type Tunnel struct {
	// TLS is how the client's certificate is checked.
	TLS DownstreamTLS
	// LocalIP is the address of the waypoint itself. What is behind the tunnel has the
	// address and port that the CONNECT names.
	LocalIP Fact[netip.Addr]
	// Filters decide about the CONNECT: a denial ends the connection before there is
	// a request.
	Filters []*RBAC
}

// throughTunnel runs what decides about the CONNECT, and then the rest with the
// connection as it looks behind the tunnel.
func (e *evaluation) throughTunnel() {
	t := e.p.Tunnel
	inner, outer := *e.r, *e.r
	outer.Connection.LocalPort, outer.Connection.LocalIP = TunnelPort, t.LocalIP
	outer.Connection.SNI = Known("") // no inspector looks for it
	gate := &Chain{Name: "connect_terminate", TLS: &t.TLS}
	why := "the waypoint takes nothing but HBONE, which wants mTLS"
	peer := e.r.Connection.Peer
	if e.transport == MutualTLS {
		peer, why = gate.admit(e.transport, peer)
	}
	if why != "" {
		e.s.br.add(BranchClosedHandshake)
		e.verdict = Verdict{Decision: Denied, Details: why}
		e.step(Step{Stage: StageConnection, Outcome: Matched, Note: why})
		return
	}
	e.s.req, e.s.peer, e.s.tls = &outer, peer, true
	e.s.direct, e.s.remote = outer.Connection.Source, outer.Connection.Source
	e.step(Step{Stage: StageConnection, Outcome: NotMatched, Got: e.transport.String(), Note: "HBONE"})
	for _, f := range t.Filters {
		if e.rbacFilter(f) {
			return
		}
	}
	inner.Connection.Transport, inner.Connection.Peer = Known(Plaintext), Known(Peer{})
	inner.Connection.SNI = Known("")
	e.s.tunnelPeer = tunnelPeer(peer)
	e.s.req, e.s.peer, e.s.tls = &inner, Known(Peer{}), false
	e.s.rbacMetadata, e.s.shadowPolicy = nil, "" // the CONNECT's own
	behind := *e
	behind.r, behind.transport, behind.s.tunnelled = &inner, Plaintext, true
	behind.run()
	behind.transport = e.transport
	*e = behind
}

// tunnelPeer is %DOWNSTREAM_PEER_URI_SAN% of the client's certificate: all of them,
// with commas in between (Envoy source/common/formatter/substitution_formatter.cc).
func tunnelPeer(p Fact[Peer]) Fact[string] {
	if !p.IsKnown() {
		return NotKnown[string](p.Missing)
	}
	return Known(strings.Join(p.Value.URISANs, ","))
}

// TunnelPeerMatch compares the name of who sent what came through the tunnel, which
// the tunnel's end has put into filter state as io.istio.peer_principal
// (Istio pilot/pkg/security/authz/model/principal.go:principalAuthenticated).
type TunnelPeerMatch struct{ String StringMatch }

func (m *TunnelPeerMatch) match(s *state) Tri {
	if !s.tunnelPeer.IsKnown() {
		return unknown(s.tunnelPeer.Missing)
	}
	return truth(m.String.matches(s.tunnelPeer.Value, s))
}

func (m *TunnelPeerMatch) got(s *state) string {
	if !s.tunnelPeer.IsKnown() || s.tunnelPeer.Value == "" {
		return gotNone
	}
	return quote(strings.ReplaceAll(s.tunnelPeer.Value, "spiffe://", ""))
}

func (*TunnelPeerMatch) kind() Branch { return kindIdentity }

// TunnelIdentity puts who is at the other end of the tunnel into
// x-forwarded-client-cert, whatever the client wrote there
// (Istio pilot/pkg/xds/filters/filters.go:WaypointXFCCClientIdentityFilter).
type TunnelIdentity struct{ Local string }

func (*TunnelIdentity) filter() {}

func (f *TunnelIdentity) run(s *state) {
	const xfcc = "x-forwarded-client-cert"
	if !s.tunnelPeer.IsKnown() {
		s.headers.setUnknown(xfcc, s.tunnelPeer.Missing)
		return
	}
	s.wrote = true
	s.headers.set(xfcc, "By="+f.Local+";URI="+s.tunnelPeer.Value)
}
