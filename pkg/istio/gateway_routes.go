package istio

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// A classic server that carries bytes has chains only where a VirtualService has a
// route for it (Istio pilot/pkg/networking/core/gateway.go:createGatewayTCPFilterChainOpts).

// byteChains are the chains of such a server, without their filters.
func (t *translation) byteChains(s gatewayServer, c envoy.Chain, taken map[string]bool) []envoy.Chain {
	var chains []envoy.Chain
	switch {
	case s.GetTls() == nil || c.TLS != nil:
		for _, vs := range t.virtualServices(s) {
			for _, tcp := range vs.GetTcp() {
				if len(tcp.GetRoute()) > 0 && matchesAny(tcp.GetMatch(), vs.namespace, s) {
					return []envoy.Chain{c}
				}
			}
		}
	default:
		for _, vs := range t.virtualServices(s) {
			chains = append(chains, tlsChains(vs, s, c, taken)...)
		}
	}
	if len(chains) == 0 {
		t.assume(Assumption{"routes of port " + strconv.Itoa(int(s.GetPort().GetNumber())) + " of " + s.origin.Ref.String(), "none",
			"no VirtualService among what was read has a route for its bytes"})
	}
	return chains
}

// tlsChains are a chain for each match of the TLS routes; one with a name that another
// has is left out.
func tlsChains(vs boundService, s gatewayServer, c envoy.Chain, taken map[string]bool) []envoy.Chain {
	var out []envoy.Chain
	for _, r := range vs.GetTls() {
		if len(r.GetRoute()) == 0 {
			continue
		}
		for _, m := range r.GetMatch() {
			l4 := &netapi.L4MatchAttributes{Port: m.GetPort(), Gateways: m.GetGateways()}
			if !matchesServer(l4, vs.namespace, s) || slices.ContainsFunc(m.GetSniHosts(), func(h string) bool { return taken[h] }) {
				continue
			}
			for _, h := range m.GetSniHosts() {
				taken[h] = true
			}
			c.Match.ServerNames = m.GetSniHosts()
			if slices.Contains(m.GetSniHosts(), "*") {
				c.Match.ServerNames = nil
			}
			out = append(out, c)
		}
	}
	return out
}

// matchesAny reports whether one of the matches means the server; none means all
// (gateway.go:l4MultiMatch).
func matchesAny(ms []*netapi.L4MatchAttributes, namespace string, s gatewayServer) bool {
	return len(ms) == 0 || slices.ContainsFunc(ms, func(m *netapi.L4MatchAttributes) bool { return matchesServer(m, namespace, s) })
}

func matchesServer(m *netapi.L4MatchAttributes, namespace string, s gatewayServer) bool {
	return (m.GetPort() == 0 || m.GetPort() == s.GetPort().GetNumber()) &&
		(len(m.GetGateways()) == 0 || slices.ContainsFunc(m.GetGateways(), func(g string) bool { return gatewayName(g, namespace) == s.name() }))
}

// boundService is a VirtualService with its namespace, in which its names are meant.
type boundService struct {
	*netapi.VirtualService
	namespace string
}

// virtualServices are those that are bound to the server's Gateway and have a host of
// the server's (gateway.go:pickMatchingGatewayHosts).
func (t *translation) virtualServices(s gatewayServer) []boundService {
	var out []boundService
	for _, o := range byAge(t.in.Snapshot.Kind(mesh.GroupNetworking, "VirtualService")) {
		vs := &netapi.VirtualService{}
		if o.DecodeSpec(vs) != nil || !visibleTo(vs.GetExportTo(), t.mesh.config.GetDefaultVirtualServiceExportTo(), o.Namespace, t.in.Workload.Namespace) {
			continue
		}
		bound := slices.ContainsFunc(vs.GetGateways(), func(g string) bool { return gatewayName(g, o.Namespace) == s.name() })
		if bound && slices.ContainsFunc(vs.GetHosts(), func(h string) bool { return serves(s, o.Namespace, h) }) {
			out = append(out, boundService{vs, o.Namespace})
		}
	}
	return out
}

// visibleTo reports whether an object of a namespace is visible in another; "~" is nobody,
// whatever stands beside it but "*" (pilot/pkg/model/push_context.go:initVirtualServices).
func visibleTo(to, otherwise []string, own, namespace string) bool {
	if len(to) == 0 {
		to = otherwise
	}
	switch {
	case len(to) == 0 || slices.Contains(to, "*"):
		return true
	case slices.Contains(to, "~"):
		return false
	}
	return slices.Contains(to, namespace) || slices.Contains(to, ".") && own == namespace
}

// serves reports whether a server has a host of a VirtualService of a namespace.
func serves(s gatewayServer, namespace, host string) bool {
	if _, err := netip.ParseAddr(host); err != nil && !strings.Contains(host, ".") && host != "*" {
		host += "." + namespace + ".svc.cluster.local"
	}
	return slices.ContainsFunc(s.GetHosts(), func(h string) bool {
		if ns, name, qualified := strings.Cut(h, "/"); qualified {
			if ns == "." {
				ns = s.of.object.Namespace
			}
			if ns != "*" && ns != namespace {
				return false
			}
			h = name
		}
		return hostsMeet(h, host)
	})
}

// hostsMeet is Istio pkg/config/host/name.go:Name.Matches.
func hostsMeet(a, b string) bool {
	wildA, wildB := strings.HasPrefix(a, "*"), strings.HasPrefix(b, "*")
	switch {
	case wildA && wildB && len(a) < len(b):
		return strings.HasSuffix(b[1:], a[1:])
	case wildA && wildB:
		return strings.HasSuffix(a[1:], b[1:])
	case wildA:
		return strings.HasSuffix(b, a[1:])
	case wildB:
		return strings.HasSuffix(a, b[1:])
	}
	return a == b
}

// passedThrough are the chains for what other proxies of the mesh send on by the name
// of the cluster that they mean (gateway.go:builtAutoPassthroughFilterChains).
func (t *translation) passedThrough(s gatewayServer, c envoy.Chain) []envoy.Chain {
	var names []string
	add := func(host, namespace string, ports ...int) {
		if !slices.ContainsFunc(sniHosts(s.GetHosts()), func(h string) bool { return covers(h, host) }) && sniHosts(s.GetHosts()) != nil {
			return
		}
		subsets := append([]string{""}, subsetsOf(t.in.Snapshot, t.mesh, t.in.Workload, host, namespace)...)
		for _, port := range ports {
			for _, subset := range subsets {
				if name := "outbound_." + strconv.Itoa(port) + "_." + subset + "_." + host; !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	for _, o := range t.in.Snapshot.Kind(mesh.GroupCore, "Service") {
		var svc struct {
			ExternalName string `json:"externalName"`
			Type         string `json:"type"`
			Ports        []struct {
				Port     int    `json:"port"`
				Protocol string `json:"protocol"`
			} `json:"ports"`
		}
		if o.DecodeSpec(&svc) != nil || svc.Type == "ExternalName" && svc.ExternalName != "" ||
			!visibleTo(knownService(o).exportTo, t.mesh.config.GetDefaultServiceExportTo(), o.Namespace, t.in.Workload.Namespace) {
			continue
		}
		for _, p := range svc.Ports {
			if p.Protocol != "UDP" {
				add(o.Name+"."+o.Namespace+clusterSuffix, o.Namespace, p.Port)
			}
		}
	}
	for _, o := range t.in.Snapshot.Kind(mesh.GroupNetworking, "ServiceEntry") {
		se := &netapi.ServiceEntry{}
		if o.DecodeSpec(se) != nil || se.GetLocation() == netapi.ServiceEntry_MESH_EXTERNAL ||
			!visibleTo(se.GetExportTo(), t.mesh.config.GetDefaultServiceExportTo(), o.Namespace, t.in.Workload.Namespace) {
			continue
		}
		for _, h := range se.GetHosts() {
			for _, p := range se.GetPorts() {
				if !strings.EqualFold(p.GetProtocol(), "UDP") {
					add(h, o.Namespace, int(p.GetNumber()))
				}
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	c.Match.ServerNames, c.Match.ALPN = names, allIstioALPN
	return []envoy.Chain{c}
}
