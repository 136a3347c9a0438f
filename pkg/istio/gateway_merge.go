package istio

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// labelNoTranslation on a Service keeps Gateways from meaning its ports.
const labelNoTranslation = "experimental.istio.io/disable-gateway-port-translation"

// gatewayServer is a server of a Gateway on one of the proxy's listeners.
type gatewayServer struct {
	*netapi.Server
	origin origin.Origin
	of     gatewayObject
	// plain says that the server is one of plain HTTP: all of those share a chain.
	plain bool
}

// name is what istiod calls the server's Gateway.
func (s gatewayServer) name() string { return s.of.object.Namespace + "/" + s.of.object.Name }

// gatewayPort is one listener of a gateway.
type gatewayPort struct {
	listener int
	protocol Protocol
	tls      bool
	servers  []int
	of       []gatewayServer
}

// merger puts the servers of all Gateways together, as istiod does
// (Istio pilot/pkg/model/gateway.go:mergeGateways).
type merger struct {
	ports map[int]*mergedPort
}

// mergedPort is what is known of a listener's port so far.
type mergedPort struct {
	gatewayPort
	// plain is the first server without TLS; nil where the port began with TLS.
	plain *gatewayServer
	// hosts are those of the servers with TLS, by bind address; binds are the addresses
	// of the servers behind a first one with TLS; routes the names of routes.
	hosts  map[string]string
	binds  map[string]bool
	routes map[string]bool
}

// add takes a server on, or leaves it out where it conflicts with an older one.
func (m *merger) add(port, number int, s gatewayServer) {
	p := m.ports[port]
	if p == nil {
		p = &mergedPort{hosts: map[string]string{}, binds: map[string]bool{}, routes: map[string]bool{}}
		p.listener, p.protocol = port, serverProtocol(s.Server)
		m.ports[port] = p
	}
	if s.GetTls() != nil && !p.takeHosts(s.GetHosts(), s.GetBind()) || !p.takes(s) {
		return
	}
	if len(p.of) == 0 {
		p.protocol = serverProtocol(s.Server)
	}
	p.tls = p.tls || isTLSServer(s.Server) || isTLSProtocol(s.GetPort().GetProtocol())
	if !slices.Contains(p.servers, number) {
		p.servers = append(p.servers, number)
	}
	p.of = append(p.of, s)
}

// takeHosts takes the hosts of a server, unless one is taken for that address.
func (p *mergedPort) takeHosts(hosts []string, bind string) bool {
	for _, h := range hosts {
		if had, ok := p.hosts[h]; ok && had == bind {
			return false
		}
	}
	for _, h := range hosts {
		p.hosts[h] = bind
	}
	return true
}

// takes decides about a server beside those that the port has.
func (p *mergedPort) takes(s gatewayServer) bool {
	route := routeName(s)
	secure := isTLSServer(s.Server)
	switch {
	case len(p.of) == 0:
		if !secure {
			p.plain = &s
		}
		p.routes[route] = true
		return true
	case p.plain != nil && p.plain.GetBind() != s.GetBind():
		if !secure {
			p.plain = &s
		}
		return true
	case p.plain != nil:
		return isPlainHTTP(p.plain.Server) && isPlainHTTP(s.Server)
	case !secure:
		p.plain = &s
		return true
	}
	if serverProtocol(s.Server) == ProtocolHTTP {
		if p.routes[route] {
			return false
		}
		p.routes[route] = true
	}
	p.binds[s.GetBind()] = true
	return true
}

// routeName tells servers of HTTPS apart (gateway.go:gatewayRDSRouteName).
func routeName(s gatewayServer) string {
	if serverProtocol(s.Server) != ProtocolHTTP || isPlainHTTP(s.Server) {
		return ""
	}
	name := s.of.name
	if name == "" {
		name = s.of.object.Name
	}
	return strings.Join([]string{strconv.Itoa(int(s.GetPort().GetNumber())), s.GetPort().GetName(), name, s.of.object.Namespace, s.GetBind()}, ".")
}

// isPlainHTTP reports whether a server speaks HTTP without TLS; a redirect to HTTPS does.
func isPlainHTTP(s *netapi.Server) bool {
	return namedProtocol(s.GetPort().GetProtocol(), 0) == ProtocolHTTP
}

// isTLSServer is Istio pkg/config/gateway/gateway.go:IsTLSServer.
func isTLSServer(s *netapi.Server) bool { return s.GetTls() != nil && !isPlainHTTP(s) }

// gatewayPorts merges the servers of all Gateways by listener: a server's port is
// a Service's port, which leads to the listener behind it.
func gatewayPorts(s *mesh.Snapshot, w mesh.Workload, services []mesh.Service) []gatewayPort {
	m := &merger{ports: map[int]*mergedPort{}}
	targets := targetsOf(s, w, services)
	for _, g := range allGateways(s, w, services) {
		for i, sv := range g.spec.GetServers() {
			if sv.GetPort() == nil {
				continue
			}
			number := int(sv.GetPort().GetNumber())
			sv := withNamespaces(sv, g.object.Namespace)
			for _, listener := range g.listeners(number, targets) {
				m.add(listener, number, gatewayServer{sv, g.place(i), g, isPlainHTTP(sv)})
			}
		}
	}
	var out []gatewayPort
	for _, n := range sortedNumbers(m.ports) {
		if !unprivileged(w) || n >= firstUnprivileged {
			out = append(out, m.ports[n].gatewayPort)
		}
	}
	return out
}

// withNamespaces writes out the namespaces of a server's hosts: "./" is the Gateway's own,
// and "*/" says nothing (Istio pilot/pkg/model/gateway.go:sanitizeServerHostNamespace).
func withNamespaces(s *netapi.Server, own string) *netapi.Server {
	if !slices.ContainsFunc(s.GetHosts(), func(h string) bool { return strings.Contains(h, "/") }) {
		return s
	}
	out := proto.Clone(s).(*netapi.Server)
	for i, h := range s.GetHosts() {
		switch namespace, host, given := strings.Cut(h, "/"); {
		case h == "*/*":
			out.Hosts = []string{"*"}
			return out
		case given && namespace == ".":
			out.Hosts[i] = own + "/" + host
		case given && namespace == "*":
			out.Hosts[i] = host
		}
	}
	return out
}

// firstUnprivileged is the first port that a process without privileges may listen on.
const firstUnprivileged = 1024

// unprivileged reports whether the proxy says that it may not listen on low ports, in
// which case istiod leaves them out (pilot/pkg/networking/core/gateway.go:buildGatewayListeners).
func unprivileged(w mesh.Workload) bool {
	c, ok := w.ProxyContainer()
	if !ok {
		return false
	}
	b, err := strconv.ParseBool(c.Env["ISTIO_META_UNPRIVILEGED_POD"])
	return err == nil && b
}

// answering are the servers of a listener's port that take a connection: of several
// addresses, those on all of them, else those on the first.
func (p *gatewayPort) answering() []gatewayServer {
	bind := p.of[0].GetBind()
	for _, s := range p.of {
		if wildcard(s.GetBind()) {
			bind = ""
		}
	}
	return slices.DeleteFunc(slices.Clone(p.of), func(s gatewayServer) bool {
		return s.GetBind() != bind && (bind != "" || !wildcard(s.GetBind()))
	})
}

func wildcard(bind string) bool { return bind == "" || bind == "0.0.0.0" || bind == "::" }
