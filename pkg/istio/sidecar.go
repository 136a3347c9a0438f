package istio

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// What a chain matches on (Istio pilot/pkg/networking/core/filterchain_options.go,
// pilot/pkg/xds/filters/filters.go).
const (
	transportTLS = "tls"
	transportRaw = "raw_buffer"
)

var (
	istioHTTPALPN = []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	istioTCPALPN  = []string{"istio-peer-exchange", "istio"}
	allIstioALPN  = []string{"istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"}
	plainHTTPALPN = []string{"http/1.0", "http/1.1", "h2c"}
)

// chainKind is one of the chains that a port gets.
type chainKind struct {
	transport string
	alpn      []string
	http, tls bool
}

// chainKinds are the chains for a protocol and an mTLS mode, in istiod's order
// (filterchain_options.go:getFilterChainMatchOptions).
func chainKinds(p Protocol, mode mtlsMode) []chainKind {
	switch p {
	case ProtocolHTTP:
		switch mode {
		case mtlsStrict:
			return []chainKind{{transportTLS, nil, true, true}}
		case mtlsDisable:
			return []chainKind{{transportRaw, nil, true, false}}
		default:
			return []chainKind{{transportTLS, allIstioALPN, true, true}, {transportRaw, nil, true, false}}
		}
	case ProtocolTCP:
		switch mode {
		case mtlsStrict:
			return []chainKind{{transportTLS, nil, false, true}}
		case mtlsDisable:
			return []chainKind{{transportRaw, nil, false, false}}
		default:
			return []chainKind{{transportTLS, allIstioALPN, false, true}, {transportTLS, nil, false, false}, {transportRaw, nil, false, false}}
		}
	default:
		switch mode {
		case mtlsStrict:
			return []chainKind{{transportTLS, istioHTTPALPN, true, true}, {transportTLS, nil, false, true}}
		case mtlsDisable:
			return []chainKind{{transportRaw, plainHTTPALPN, true, false}, {transportRaw, nil, false, false}}
		default:
			return []chainKind{
				{transportTLS, istioHTTPALPN, true, true}, {transportRaw, plainHTTPALPN, true, false},
				{transportTLS, istioTCPALPN, false, true}, {transportRaw, nil, false, false}, {transportTLS, nil, false, false},
			}
		}
	}
}

// sidecar makes the inbound chains of the port. A port that nobody names is served
// by the pass-through chains, whose protocol is sniffed.
func (t *translation) sidecar() error {
	port, err := t.inbound(t.in.Port)
	if err != nil {
		return err
	}
	if by, ok := t.bypassed(); ok && (port == nil || !port.bound) {
		t.result.Protocol, t.result.Bypassed = ProtocolTCP, by
		t.proxy.Changed = nil
		t.proxy.Chains = []envoy.Chain{{}}
		return nil
	}
	if port == nil && t.in.Port == t.mesh.inboundPort() {
		t.result.Protocol = ProtocolTCP
		return nil // the proxy would talk to itself (listener_inbound.go:buildInboundBlackhole)
	}
	protocol := ProtocolAuto
	if port != nil {
		protocol = port.protocol
	}
	mode := t.peerAuthentication(t.in.Port)
	t.result.Protocol, t.result.Mode, t.result.ModeOrigin = protocol, mode.mode.String(), mode.origin
	if port == nil || !port.bound {
		t.unnamed()
		if err := t.twice(mode); err != nil {
			return err
		}
	}
	// Where mTLS is off, the TLS inspector is switched off for the port, unless its
	// protocol is sniffed (pilot/pkg/networking/core/listener_inbound.go:populateListenerFilters).
	t.proxy.TLSInspector = mode.mode != mtlsDisable
	cm := t.manager()
	policies := t.authzPolicies()
	cm.Filters = t.httpFilters(policies)
	tcp := t.tcpFilters(policies)
	kinds := chainKinds(protocol, mode.mode)
	own := port != nil && port.tls != nil && mode.mode == mtlsDisable
	if own {
		kinds, mode.origin, t.proxy.TLSInspector = []chainKind{{transportTLS, nil, protocol == ProtocolHTTP, true}}, port.origin, true
	}
	for _, k := range kinds {
		c := envoy.Chain{Match: envoy.ChainMatch{Transport: k.transport, ALPN: k.alpn}, Origin: mode.origin}
		if k.http {
			c.HTTP = cm
		} else {
			c.TCP = tcp
		}
		if k.tls {
			c.TLS = &envoy.DownstreamTLS{RequestClientCertificate: true, RequireClientCertificate: true, TrustPrefixes: t.trustPrefixes()}
		}
		if own {
			c.TLS = serverTLS(port.tls)
		}
		t.proxy.Chains = append(t.proxy.Chains, c)
	}
	t.beside(cm.Filters)
	return nil
}

// beside notes the JWT filters of chains that the listener has besides those of the
// port: for other ports, or for other Services.
func (t *translation) beside(filters []envoy.Filter) {
	for _, f := range filters {
		if jwt, ok := f.(*envoy.JWTAuthn); ok {
			t.proxy.Beside = append(t.proxy.Beside, jwt)
		}
	}
}
