package istio

import (
	"slices"
	"sort"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Crossing is a request that has passed the filters of a gateway's listener.
type Crossing struct {
	Workload mesh.Workload
	Listener int
	// SNI is the server name of the client's connection; it chooses among servers with TLS.
	SNI envoy.Fact[string]
	// TLS says that the client's connection has TLS.
	TLS bool
	// Upstream is the request; HostMissing is set where its host is not known.
	Upstream    *envoy.Upstream
	HostMissing *envoy.Missing
}

// Route is what a gateway does with a request. Exactly one of Backends, Status and
// Missing is set, or none, where no route was read that the gateway could take.
type Route struct {
	// Origin is the rule that counts; zero where there is none.
	Origin origin.Origin
	// Backends are where the request goes, each once.
	Backends []Backend
	// Status is the gateway's own answer: a redirect, a response of the route's, or 404
	// where no route takes the request. Details are Envoy's words for it.
	Status          int
	Details, Reason string
	// Missing is set where it is not known what becomes of the request.
	Missing *envoy.Missing
}

// Backend is a destination of a route.
type Backend struct {
	// Service and Namespace name the Service; External is the host of what is none.
	Service, Namespace, External string
	Port                         int
	Subset                       string
	Weight                       int
	change                       change
}

// Host is the name of the destination.
func (b Backend) Host() string {
	if b.External != "" {
		return b.External
	}
	return b.Service + "." + b.Namespace + clusterSuffix
}

// Rewrites reports whether the route sets the host of the request.
func (b Backend) Rewrites() bool { return b.change.host != "" }

// vhost is a virtual host of Envoy's: the rules for a name.
type vhost struct {
	domain string
	rules  []routeRule
	// redirect is the server that sends clients without TLS away.
	redirect origin.Origin
}

// RouteOf finds what a gateway does with a request
// (Istio pilot/pkg/networking/core/gateway.go:buildGatewayHTTPRouteConfig).
func RouteOf(s *mesh.Snapshot, c Crossing) (Route, error) {
	services, err := s.ServicesOf(c.Workload)
	if err != nil {
		return Route{}, err
	}
	for _, p := range gatewayPorts(s, c.Workload, services) {
		if p.listener == c.Listener {
			return routeAt(s, c, p), nil
		}
	}
	return Route{}, nil
}

func routeAt(s *mesh.Snapshot, c Crossing, p gatewayPort) Route {
	servers := p.of
	if p.tls && c.TLS {
		if !c.SNI.IsKnown() {
			return Route{Missing: c.SNI.Missing}
		}
		servers = bySNI(servers, c.SNI.Value)
	} else if p.tls {
		servers = slices.DeleteFunc(slices.Clone(servers), func(g gatewayServer) bool { return g.GetTls() != nil && !g.GetTls().GetHttpsRedirect() })
	}
	hosts, bound, unread := vhostsOf(s, c, servers)
	switch {
	case unread != nil:
		return Route{Missing: unread}
	case !bound:
		return Route{}
	case c.HostMissing != nil && len(hosts) == 1:
		return firstRule(hosts[0], c) // whatever the host is, it is for this one that is asked
	case c.HostMissing != nil:
		return Route{Missing: c.HostMissing}
	}
	v := byHost(hosts, hostWithoutPort(c.Upstream.Authority))
	if v == nil {
		return notFound("no route of the gateway takes the host " + quoted(c.Upstream.Authority))
	}
	if !v.redirect.IsZero() && !c.TLS {
		return Route{Origin: v.redirect, Status: 301, Details: "direct_response", Reason: "the server sends clients without TLS to https"}
	}
	return firstRule(v, c)
}

func notFound(reason string) Route {
	return Route{Status: 404, Details: "route_not_found", Reason: reason}
}

// firstRule takes the first rule that fits; catch-all rules come last
// (pilot/pkg/networking/core/route/route.go:SortVHostRoutes).
func firstRule(v *vhost, c Crossing) Route {
	rules := slices.Clone(v.rules)
	sort.SliceStable(rules, func(i, j int) bool { return !rules[i].catchAll() && rules[j].catchAll() })
	for _, r := range rules {
		fits := r.fits(c)
		if fits.T == envoy.False {
			continue
		}
		if fits.T == envoy.Unknown {
			return Route{Missing: fits.On[0]}
		}
		return r.route(c)
	}
	return notFound("no route of the gateway takes the path " + quoted(pathOnly(c.Upstream.Path)))
}

// bySNI keeps the server whose hosts fit the server name best.
func bySNI(servers []gatewayServer, sni string) []gatewayServer {
	best, longest := []gatewayServer(nil), -1
	for _, g := range servers {
		hosts := sniHosts(g.GetHosts())
		fit := -1
		if len(hosts) == 0 {
			fit = 0
		}
		for _, h := range hosts {
			fit = max(fit, hostFit(strings.ToLower(h), strings.ToLower(sni)))
		}
		if fit > longest {
			best, longest = []gatewayServer{g}, fit
		}
	}
	return best
}

// vhostsOf collects the rules that servers give to each host. bound reports whether
// any object that was read is a route of theirs.
func vhostsOf(s *mesh.Snapshot, c Crossing, servers []gatewayServer) (out []*vhost, bound bool, unread *envoy.Missing) {
	at := func(domain string) *vhost {
		domain = strings.ToLower(domain)
		for _, v := range out {
			if v.domain == domain {
				return v
			}
		}
		out = append(out, &vhost{domain: domain})
		return out[len(out)-1]
	}
	for _, server := range servers {
		for _, r := range routesFor(s, c, server) {
			bound = true
			if r.unread != nil && unread == nil {
				unread = r.unread
			}
			for _, h := range r.hosts {
				if name, ok := meet(h, server.hostsFor(r.namespace)); ok {
					v := at(name)
					v.rules = append(v.rules, r.rules...)
				}
			}
		}
		if server.GetTls().GetHttpsRedirect() {
			bound = true
			for _, h := range server.GetHosts() {
				if _, name, ok := strings.Cut(h, "/"); ok {
					h = name
				}
				at(h).redirect = server.origin
			}
			for _, v := range out {
				if slices.ContainsFunc(server.GetHosts(), func(h string) bool { return hostFit(bareHost(h), v.domain) >= 0 }) {
					v.redirect = server.origin
				}
			}
		}
	}
	return out, bound, unread
}

// routeSet is the rules of one object for some hosts.
type routeSet struct {
	namespace string
	hosts     []string
	rules     []routeRule
	unread    *envoy.Missing
}

func routesFor(s *mesh.Snapshot, c Crossing, server gatewayServer) []routeSet {
	group, kind := mesh.GroupNetworking, "VirtualService"
	if server.of.api != nil {
		group, kind = mesh.GroupGateway, "HTTPRoute"
	}
	if g := s.Unread(group, kind, "", ""); g != nil {
		return []routeSet{{unread: Unread(g)}}
	}
	if server.of.api != nil {
		return httpRoutes(s, server)
	}
	return virtualServices(s, c, server)
}

// hostsFor are the server's hosts for objects of a namespace
// (pkg/config/host/names.go:NamesForNamespace).
func (g gatewayServer) hostsFor(namespace string) []string {
	var out []string
	for _, h := range g.GetHosts() {
		ns, name, ok := strings.Cut(h, "/")
		switch {
		case !ok:
			out = append(out, h)
		case ns == "*", ns == namespace, ns == "." && g.of.object.Namespace == namespace, g.of.api != nil:
			out = append(out, name)
		}
	}
	return out
}

func bareHost(h string) string {
	if _, name, ok := strings.Cut(h, "/"); ok {
		return strings.ToLower(name)
	}
	return strings.ToLower(h)
}

// meet is the narrower one of a host and those of a server that it meets.
func meet(host string, servers []string) (string, bool) {
	host = strings.ToLower(host)
	for _, s := range servers {
		s = strings.ToLower(s)
		if covers(s, host) {
			return host, true
		}
		if covers(host, s) {
			return s, true
		}
	}
	return "", false
}

// covers reports whether a pattern takes all that another one does
// (pkg/config/host/name.go:SubsetOf).
func covers(pattern, other string) bool {
	suffix, wild := strings.CutPrefix(pattern, "*")
	return pattern == other || wild && strings.HasSuffix(strings.TrimPrefix(other, "*"), suffix)
}

// byHost is Envoy's choice of a virtual host: the exact name, the longest wildcard, "*"
// (Envoy source/common/router/config_impl.cc:RouteMatcher::findVirtualHost).
func byHost(all []*vhost, host string) *vhost {
	var best *vhost
	longest := -1
	for _, v := range all {
		fit := hostFit(v.domain, strings.ToLower(host))
		if v.domain != "*" && len(host) < len(v.domain) && fit > 0 && strings.HasPrefix(v.domain, "*") {
			continue
		}
		if fit > longest {
			best, longest = v, fit
		}
	}
	return best
}

// hostWithoutPort is the host before its last colon, unless that is inside an IPv6
// address; what is behind it need be no number, and may be nothing
// (Envoy source/common/http/header_utility.cc:HeaderUtility::getPortStart).
func hostWithoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.LastIndexByte(host, ']') > i {
		return host
	}
	return host[:i]
}

// GatewayHost is what a listener of a gateway is for: a host with the port of the
// server, whatever routes there are.
type GatewayHost struct {
	Host string
	Port int // the server's
	TLS  bool
}

// HostsOf lists the hosts of a gateway's servers and of the routes bound to them.
func HostsOf(s *mesh.Snapshot, w mesh.Workload) ([]GatewayHost, error) {
	services, err := s.ServicesOf(w)
	if err != nil {
		return nil, err
	}
	var out []GatewayHost
	for _, p := range gatewayPorts(s, w, services) {
		for _, server := range p.of {
			if serverProtocol(server.Server) != ProtocolHTTP {
				continue
			}
			c := Crossing{Workload: w, Listener: p.listener}
			hosts, _, _ := vhostsOf(s, c, []gatewayServer{server})
			for _, v := range hosts {
				out = append(out, GatewayHost{Host: v.domain, Port: int(server.GetPort().GetNumber()), TLS: server.GetTls() != nil && !server.GetTls().GetHttpsRedirect()})
			}
		}
	}
	return out, nil
}
