package istio

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"

	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// gatewayObject is a Gateway that selects the workload.
type gatewayObject struct {
	object *mesh.Object
	spec   *netapi.Gateway
	// name is what istiod calls it; empty: like the object.
	name string
	// field and first say where the servers stand in the object; spec.servers and 0.
	field string
	first int
	// Of a Gateway of the Gateway API: itself, its listener, and the Services that
	// carry its traffic.
	api      *apiGateway
	listener *apiListener
	behind   []mesh.Service
}

// listener is the proxy's port for a server's; none where a Gateway of the Gateway
// API names a port that its Service does not have
// (Istio pilot/pkg/model/gateway.go:resolvePorts).
func (g gatewayObject) listeners(number int, targets []workloadPort) []int {
	if g.api == nil {
		return []int{resolvePort(number, targets)}
	}
	if len(g.behind) == 0 {
		return []int{number}
	}
	var out []int
	for _, s := range g.behind {
		for _, p := range s.Ports {
			if p.Port == number && p.TargetPort != 0 && !slices.Contains(out, p.TargetPort) {
				out = append(out, p.TargetPort)
			}
		}
	}
	return out
}

// gatewaysOf are the Gateways that select the workload, in istiod's order
// (Istio pilot/pkg/model/push_context.go:mergeGateways; a selector reaches the
// workloads of every namespace).
func gatewaysOf(s *mesh.Snapshot, w mesh.Workload) []gatewayObject {
	var out []gatewayObject
	scoped := sync.OnceValue(func() bool { return istiodSwitch(s, w, envScopeGateway, false) })
	for _, o := range s.Kind(mesh.GroupNetworking, "Gateway") {
		spec := &netapi.Gateway{}
		if o.DecodeSpec(spec) != nil || !mesh.SelectorMatches(spec.GetSelector(), w.Labels) || o.Namespace != w.Namespace && scoped() {
			continue
		}
		out = append(out, gatewayObject{object: o, spec: spec})
	}
	return out
}

// allGateways are the classic Gateways that select the workload and the listeners of
// those of the Gateway API, in istiod's order.
func allGateways(s *mesh.Snapshot, w mesh.Workload, services []mesh.Service) []gatewayObject {
	all := withoutStrangers(s, w, gatewaysOf(s, w), apiGatewaysOf(s, w, services))
	name := func(g gatewayObject) string {
		if g.name != "" {
			return g.name
		}
		return g.object.Name
	}
	slices.SortStableFunc(all, func(a, b gatewayObject) int {
		return cmp.Or(cmp.Compare(a.object.Age(), b.object.Age()), strings.Compare(name(a), name(b)),
			strings.Compare(a.object.Namespace, b.object.Namespace))
	})
	return all
}

// withoutStrangers puts Gateways of both kinds together. Beside one that istiod has made
// the workload of, classic ones of other namespaces do not count
// (Istio pilot/pkg/model/push_context.go:filterStrictGatewayMerging).
func withoutStrangers(s *mesh.Snapshot, w mesh.Workload, classic, api []gatewayObject) []gatewayObject {
	var managed []string
	for _, g := range api {
		if g.api.managed(s, w) {
			managed = append(managed, g.object.Namespace)
		}
	}
	if managed != nil && istiodSwitch(s, w, envStrictMerging, true) {
		classic = slices.DeleteFunc(classic, func(g gatewayObject) bool { return !slices.Contains(managed, g.object.Namespace) })
	}
	return append(classic, api...)
}

func resolvePort(number int, targets []workloadPort) int {
	for _, t := range targets {
		if _, off := t.service.Labels[labelNoTranslation]; t.port.Port == number && !off {
			return t.number
		}
	}
	return number
}

func isTLSProtocol(p string) bool {
	return strings.EqualFold(p, "HTTPS") || strings.EqualFold(p, "TLS")
}

// serverProtocol says whether a server speaks HTTP to its clients, after TLS.
func serverProtocol(s *netapi.Server) Protocol {
	p := s.GetPort().GetProtocol()
	if strings.EqualFold(p, "HTTPS") {
		if s.GetTls() == nil {
			return ProtocolTCP
		}
		if m := s.GetTls().GetMode(); m == netapi.ServerTLSSettings_PASSTHROUGH || m == netapi.ServerTLSSettings_AUTO_PASSTHROUGH {
			return ProtocolTCP
		}
		return ProtocolHTTP
	}
	if namedProtocol(p, 0) == ProtocolHTTP {
		return ProtocolHTTP
	}
	return ProtocolTCP
}

// gateway makes the chains of one listener of a gateway, classic or of the Gateway API.
func (t *translation) gateway() error {
	services, err := t.in.Snapshot.ServicesOf(t.in.Workload)
	if err != nil {
		return err
	}
	t.doubtClasses(services)
	var port *gatewayPort
	for _, p := range gatewayPorts(t.in.Snapshot, t.in.Workload, services) {
		if p.listener == t.in.Port {
			port = &p
		}
	}
	if port == nil {
		t.result.Protocol = ProtocolTCP
		return nil
	}
	t.result.Protocol = port.protocol
	t.proxy.TLSInspector = port.tls
	cm := t.manager()
	cm.UseRemoteAddress = true
	cm.TrustedHops = t.config.GetGatewayTopology().GetNumTrustedProxies()
	cm.ForwardClientCert = xfccMode(t.config.GetGatewayTopology().GetForwardClientCertDetails())
	cm.XFCCSubject, cm.XFCCURI, cm.XFCCDNS, cm.XFCCCert, cm.XFCCChain = true, true, true, true, false
	policies := t.authzPolicies()
	cm.Filters = t.httpFilters(policies)
	tcp := t.tcpFilters(policies)
	taken, plain := map[string]bool{}, false
	for _, s := range port.answering() {
		if s.plain && plain {
			continue // all plain servers of a port share one chain
		}
		plain = plain || s.plain
		if pins := s.GetTls(); len(pins.GetVerifyCertificateSpki())+len(pins.GetVerifyCertificateHash()) > 0 {
			t.changed(s.origin.At("tls"), pinned, mayClose)
		}
		chains, open := t.serverChains(s, taken)
		for _, c := range chains {
			c.Name = fmt.Sprintf("0.0.0.0_%d", port.listener)
			if s.GetBind() != "" {
				c.Name = fmt.Sprintf("%s_%d", s.GetBind(), port.listener)
			}
			switch {
			case serverProtocol(s.Server) == ProtocolHTTP:
				c.HTTP = cm
			case !open:
				c.TCP = tcp
			}
			if why := t.refused(s, c); why != "" && t.proxy.Refused == nil {
				t.proxy.Refused = &envoy.Refusal{Origin: s.origin, Reason: why}
			}
			t.proxy.Chains = append(t.proxy.Chains, c)
		}
	}
	return nil
}

var pinned = &envoy.Missing{
	What: "whether the client's certificate is one that the server asks for", Why: "verifyCertificateSpki or verifyCertificateHash names it by its digest",
	Hint: "send a request with that certificate",
}

// refused says why Envoy refuses the listener with one more chain; empty if it does not.
func (t *translation) refused(s gatewayServer, c envoy.Chain) string {
	switch names := c.Match.ServerNames; {
	case (s.of.api == nil || c.TLS != nil) && slices.ContainsFunc(t.proxy.Chains, func(had envoy.Chain) bool { return overlap(had.Match, c.Match) }):
		return "two servers of the listener take the same connections"
	case len(slices.Compact(slices.Sorted(slices.Values(names)))) < len(names):
		return "one match names the same server twice"
	case s.GetTls().GetMode() == netapi.ServerTLSSettings_SIMPLE && len(s.GetTls().GetSubjectAltNames()) > 0 &&
		(s.GetTls().GetCredentialName() != "" || len(s.GetTls().GetCredentialNames()) > 0) && c.TLS != nil:
		return "subjectAltNames are compared, and mode SIMPLE brings nothing to verify certificates with"
	}
	return ""
}

// overlap reports whether Envoy refuses two chains in one listener
// (source/common/listener_manager/filter_chain_manager_impl.cc:addFilterChains).
func overlap(a, b envoy.ChainMatch) bool {
	if a.Transport != b.Transport || !slices.Equal(a.ALPN, b.ALPN) {
		return false
	}
	return len(a.ServerNames)+len(b.ServerNames) == 0 ||
		slices.ContainsFunc(a.ServerNames, func(n string) bool { return slices.Contains(b.ServerNames, n) })
}

// serverChains are the chains of a server, without their filters. One that carries
// bytes has none without a route. open says that no policy is enforced on them.
func (t *translation) serverChains(s gatewayServer, taken map[string]bool) (chains []envoy.Chain, open bool) {
	c := envoy.Chain{Origin: s.origin}
	if isTLSServer(s.Server) {
		c.Match.ServerNames, c.TLS = sniHosts(s.GetHosts()), serverTLS(s.GetTls())
	} else {
		c.Origin = origin.Origin{}
	}
	switch {
	case serverProtocol(s.Server) == ProtocolHTTP:
		return []envoy.Chain{c}, false
	case s.GetTls().GetMode() == netapi.ServerTLSSettings_AUTO_PASSTHROUGH:
		return t.passedThrough(s, c), true
	case s.of.api == nil:
		return t.byteChains(s, c, taken), false
	}
	return t.routedChains(s, c), false
}

// routedChains are the chains of a listener of the Gateway API that carries bytes.
func (t *translation) routedChains(s gatewayServer, c envoy.Chain) []envoy.Chain {
	tcp, tls := s.of.api.routed(t.in.Snapshot, "TCPRoute", s.of.listener), s.of.api.routed(t.in.Snapshot, "TLSRoute", s.of.listener)
	switch {
	case s.GetTls() == nil && len(tcp) == 0, s.GetTls() != nil && len(tcp)+len(tls) == 0:
		t.assume(Assumption{"routes of the listener " + s.of.listener.Name, "none", "no TCPRoute or TLSRoute among what was read is attached to it"})
		return nil
	case s.GetTls() == nil || c.TLS != nil:
		return []envoy.Chain{c}
	}
	var out []envoy.Chain
	for _, name := range tls {
		c.Match.ServerNames = nil
		if name != "" {
			c.Match.ServerNames = []string{name}
		}
		out = append(out, c)
	}
	return out
}

// serverTLS is Istio pilot/pkg/networking/core/listener.go:BuildListenerTLSContext,
// as far as client certificates go; nil where the gateway does not terminate TLS.
func serverTLS(s *netapi.ServerTLSSettings) *envoy.DownstreamTLS {
	d := &envoy.DownstreamTLS{Names: s.GetSubjectAltNames()}
	switch s.GetMode() {
	case netapi.ServerTLSSettings_PASSTHROUGH, netapi.ServerTLSSettings_AUTO_PASSTHROUGH:
		return nil
	case netapi.ServerTLSSettings_MUTUAL, netapi.ServerTLSSettings_ISTIO_MUTUAL:
		d.RequestClientCertificate, d.RequireClientCertificate = true, true
	case netapi.ServerTLSSettings_OPTIONAL_MUTUAL:
		// Envoy insists on a certificate whose names it is to compare
		// (source/common/tls/cert_validator/default_validator.cc:initializeSslContexts).
		d.RequestClientCertificate, d.RequireClientCertificate = true, len(d.Names) > 0
	}
	return d
}

func sniHosts(hosts []string) []string {
	var out []string
	for _, h := range hosts {
		if _, after, ok := strings.Cut(h, "/"); ok {
			h = after
		}
		if h == "*" {
			return nil
		}
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	sort.Strings(out)
	return out
}

// clusterExists reports whether the host of a jwksUri is one of the mesh.
func (t *translation) clusterExists(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && t.hostKnown(u.Hostname())
}
