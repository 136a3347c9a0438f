package istio

import (
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// xfccAnnotation makes a waypoint tell applications who calls.
const xfccAnnotation = "ambient.istio.io/xfcc-include-client-identity"

// Fronted is a Service or ServiceEntry whose requests a waypoint takes.
type Fronted struct {
	Ref             origin.Ref
	Namespace, Name string
	// Host is the name that clients use; of a ServiceEntry with several, one of them.
	Host string
	// Addresses are those that clients connect to.
	Addresses []netip.Addr
	Ports     []FrontedPort
	// Label is where the label stands that puts the waypoint in front.
	Label origin.Origin
}

// FrontedPort is a port of a Service.
type FrontedPort struct {
	Name     string
	Number   int
	Protocol Protocol
}

// WaypointOf finds the Gateway of the waypoint in front of a Service or ServiceEntry:
// by the label on the object, else by that on its namespace
// (Istio pilot/pkg/serviceregistry/ambient/waypoints.go:fetchWaypointForService).
// The Gateway is nil where there is none, or none that takes such traffic.
func WaypointOf(s *mesh.Snapshot, o *mesh.Object) (gateway *mesh.Object, label origin.Origin) {
	if m := o.Labels[managedLabel]; m == managedMesh || m == managedEastWest {
		return nil, label
	}
	labels, at := o.Labels, o.Ref()
	if _, own := labels[labelUseWaypoint]; !own {
		ns := s.Find(mesh.GroupCore, "Namespace", "", o.Namespace)
		if ns == nil {
			return nil, label
		}
		labels, at = ns.Labels, ns.Ref()
	}
	name, namespace := labels[labelUseWaypoint], o.Namespace
	if name == "" || name == modeNone {
		return nil, label
	}
	if over, ok := labels[labelUseWaypointNamespace]; ok {
		namespace = over
	}
	gw := readAPIGateway(s.Find(mesh.GroupGateway, "Gateway", namespace, name))
	if gw == nil || gw.Spec.GatewayClassName != waypointClass || !gw.takesServices(s) || !gw.admits(s, o.Namespace) {
		return nil, label
	}
	return gw.object, origin.Origin{Ref: at, Field: `metadata.labels["` + labelUseWaypoint + `"]`}
}

// takesServices reports whether the waypoint is for requests to Services, which it
// is unless its label, or its class's, says otherwise.
func (g *apiGateway) takesServices(s *mesh.Snapshot) bool {
	traffic := "service"
	if class := s.Find(mesh.GroupGateway, "GatewayClass", "", g.Spec.GatewayClassName); class != nil && class.Labels[labelWaypointFor] != "" {
		traffic = class.Labels[labelWaypointFor]
	}
	if own, ok := g.object.Labels[labelWaypointFor]; ok {
		traffic = own
	}
	return traffic == "service" || traffic == "all"
}

// admits reports whether the waypoint lets a namespace use it: its own, unless its
// listener says more (waypoints.go:makeAllowedRoutes).
func (g *apiGateway) admits(s *mesh.Snapshot, namespace string) bool {
	for _, l := range g.Spec.Listeners {
		if l.Protocol == "HBONE" && l.Port == envoy.TunnelPort {
			return l.allows(s, g.object.Namespace, namespace)
		}
	}
	return namespace == g.object.Namespace
}

// FrontedBy lists what a waypoint takes the requests of: Services, then
// ServiceEntries, each sorted by namespace and name.
func FrontedBy(s *mesh.Snapshot, namespace, gateway string) []Fronted {
	var out []Fronted
	for _, kind := range []struct{ group, kind string }{{mesh.GroupCore, "Service"}, {mesh.GroupNetworking, "ServiceEntry"}} {
		from := len(out)
		for _, o := range s.Kind(kind.group, kind.kind) {
			gw, label := WaypointOf(s, o)
			if gw == nil || gw.Namespace != namespace || gw.Name != gateway {
				continue
			}
			for _, f := range frontedOf(o) {
				f.Label = label
				out = append(out, f)
			}
		}
		part := out[from:]
		sort.SliceStable(part, func(i, j int) bool {
			return part[i].Namespace+"/"+part[i].Name < part[j].Namespace+"/"+part[j].Name
		})
	}
	return out
}

// frontedOf reads a Service, or the hosts of a ServiceEntry. What has no address of
// its own is reached through those of its pods, which a waypoint for Services does
// not get to see.
func frontedOf(o *mesh.Object) []Fronted {
	if o.Kind == "ServiceEntry" {
		return frontedEntries(o)
	}
	var spec struct {
		ClusterIP  string   `json:"clusterIP"`
		ClusterIPs []string `json:"clusterIPs"`
		Type       string   `json:"type"`
		Ports      []struct {
			Name        string `json:"name"`
			Port        int    `json:"port"`
			Protocol    string `json:"protocol"`
			AppProtocol string `json:"appProtocol"`
		} `json:"ports"`
	}
	if o.DecodeSpec(&spec) != nil || spec.ClusterIP == "None" || spec.Type == "ExternalName" {
		return nil
	}
	f := Fronted{
		Ref: o.Ref(), Namespace: o.Namespace, Name: o.Name, Host: o.Name + "." + o.Namespace + ".svc.cluster.local",
		Addresses: addresses(append([]string{spec.ClusterIP}, spec.ClusterIPs...)),
	}
	for _, p := range spec.Ports {
		if p.Protocol == "UDP" {
			continue
		}
		f.Ports = append(f.Ports, FrontedPort{p.Name, p.Port, portProtocol(mesh.ServicePort{
			Name: p.Name, Port: p.Port, AppProtocol: p.AppProtocol, Protocol: p.Protocol,
		})})
	}
	return []Fronted{f}
}

func frontedEntries(o *mesh.Object) []Fronted {
	se := &netapi.ServiceEntry{}
	if o.DecodeSpec(se) != nil {
		return nil
	}
	var ports []FrontedPort
	for _, p := range se.GetPorts() {
		if p.GetProtocol() != "UDP" {
			ports = append(ports, FrontedPort{p.GetName(), int(p.GetNumber()), namedProtocol(p.GetProtocol(), 0)})
		}
	}
	var out []Fronted
	for _, h := range se.GetHosts() {
		out = append(out, Fronted{
			Ref: o.Ref(), Namespace: o.Namespace, Name: o.Name, Host: h, Addresses: addresses(se.GetAddresses()), Ports: ports,
		})
	}
	return out
}

func addresses(texts []string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// waypoint makes the proxy for the Service that is asked for: the tunnel's end, and
// the chains of the Service's port behind it
// (pilot/pkg/networking/core/listener_waypoint.go:buildWaypointInbound).
func (t *translation) waypoint() error {
	if t.in.Workload.Labels[managedLabel] == managedEastWest {
		return &UnsupportedError{"an east-west gateway"}
	}
	f := t.in.Service
	if f == nil {
		return &UnsupportedError{"a waypoint without a Service that is asked for"}
	}
	t.result.TakesHBONE = true
	t.canary(f)
	port := slices.IndexFunc(f.Ports, func(p FrontedPort) bool { return p.Number == t.in.Port })
	t.proxy.Tunnel = t.tunnel()
	if port < 0 {
		t.result.Protocol = ProtocolTCP
		return nil
	}
	t.result.Protocol = f.Ports[port].Protocol
	cm := t.manager()
	cm.ForwardClientCert = envoy.SanitizeXFCC
	policies := t.authzPolicies()
	cm.Filters = t.httpFilters(policies)
	byTunnelPeer(cm.Filters)
	if strings.EqualFold(t.in.Workload.Annotations[xfccAnnotation], "true") {
		cm.ForwardClientCert = envoy.AlwaysForwardOnlyXFCC
		cm.Filters = append([]envoy.Filter{&envoy.TunnelIdentity{Local: cm.LocalURISANs[0]}}, cm.Filters...)
	}
	tcp := t.tcpFilters(policies)
	byTunnelPeer(tcp)
	http, bytes := envoy.Chain{Name: "http", HTTP: cm}, envoy.Chain{Name: "tcp", TCP: tcp}
	switch t.result.Protocol {
	case ProtocolHTTP:
		t.proxy.Chains = []envoy.Chain{http}
	case ProtocolTCP:
		t.proxy.Chains = []envoy.Chain{bytes}
	default:
		http.Match.ALPN = plainHTTPALPN
		t.proxy.Chains = []envoy.Chain{http, bytes}
	}
	t.besideService()
	return nil
}

// Labels and the annotation that send a part of a Service's requests through another
// waypoint (Istio pilot/pkg/serviceregistry/ambient/waypoints.go:buildWeightedWaypoints).
const (
	labelCanary          = "istio.io/use-waypoint-canary"
	labelCanaryNamespace = "istio.io/use-waypoint-canary-namespace"
	annotationWeight     = "istio.io/use-waypoint-canary-weight"
)

// canary notes that a part of the requests takes another waypoint, whose policies may be
// others. Where the namespace names the waypoint, it may name the other one too.
func (t *translation) canary(f *Fronted) {
	group := mesh.GroupCore
	if f.Ref.Kind == "ServiceEntry" {
		group = mesh.GroupNetworking
	}
	o := t.in.Snapshot.Find(group, f.Ref.Kind, f.Namespace, f.Name)
	if o == nil {
		return
	}
	by, weight := o, o.Annotations[annotationWeight]
	if _, own := o.Labels[labelUseWaypoint]; !own {
		if ns := t.in.Snapshot.Find(mesh.GroupCore, "Namespace", "", f.Namespace); ns != nil {
			if _, set := o.Labels[labelCanary]; !set {
				by = ns
			}
			if _, set := o.Annotations[annotationWeight]; !set {
				weight = ns.Annotations[annotationWeight]
			}
		}
	}
	name, namespace := by.Labels[labelCanary], f.Namespace
	if over, ok := by.Labels[labelCanaryNamespace]; ok {
		namespace = over
	}
	n, err := strconv.Atoi(weight)
	if name == "" || name == modeNone || err != nil || n <= 0 || n > 100 || name == t.in.Workload.Labels[gatewayNameLabel] && namespace == t.in.Workload.Namespace {
		return
	}
	g := readAPIGateway(t.in.Snapshot.Find(mesh.GroupGateway, "Gateway", namespace, name))
	if g == nil || g.Spec.GatewayClassName != waypointClass || !g.takesServices(t.in.Snapshot) || !g.admits(t.in.Snapshot, f.Namespace) {
		return
	}
	t.changed(origin.Origin{Ref: by.Ref(), Field: `metadata.labels["` + labelCanary + `"]`}, &envoy.Missing{
		What: "which of two waypoints the request takes", Why: weight + " in 100 take " + namespace + "/" + name,
		Hint: "ask about each waypoint: gateway/" + name,
	}, mayDeny)
}

// besideService adds the chains that the waypoint has for whatever else it fronts, and
// for the pods' own addresses.
func (t *translation) besideService() {
	asked, result := t.in.Service, t.result
	t.result = new(Result) // what is said of other Services is nothing to this one
	others := FrontedBy(t.in.Snapshot, t.in.Workload.Namespace, t.in.Workload.Labels[gatewayNameLabel])
	for i := range others {
		if slices.ContainsFunc(others[i].Ports, func(p FrontedPort) bool { return p.Protocol != ProtocolTCP }) {
			t.in.Service = &others[i]
			t.beside(t.httpFilters(t.authzPolicies()))
		}
	}
	t.in.Service = nil
	t.beside(t.httpFilters(t.authzPolicies()))
	t.in.Service, t.result = asked, result
}

// tunnel is the end of HBONE. Policies for the waypoint as a workload decide there if
// istiod is told so: what they say of HTTP does not count
// (listener_waypoint.go:buildHCMConnectTerminateChain,
// pilot/pkg/networking/plugin/authz/authorization.go:NewWaypointTerminationBuilder).
func (t *translation) tunnel() *envoy.Tunnel {
	out := &envoy.Tunnel{
		TLS: envoy.DownstreamTLS{
			RequestClientCertificate: true, RequireClientCertificate: true, TrustPrefixes: t.trustPrefixes(), URIOnly: true,
		},
		LocalIP: envoy.NotKnown[netip.Addr](waypointAddress),
	}
	if len(t.in.Workload.PodIPs) == 1 {
		if a, err := netip.ParseAddr(t.in.Workload.PodIPs[0]); err == nil {
			out.LocalIP = envoy.Known(a)
		}
	}
	if t.planes.lacks(version.LayeredWaypoints) || !t.istiodFlag(envLayered, false) {
		return out
	}
	t.atTunnel = true
	out.Filters = t.authzFilters(t.authzPolicies(), true)
	t.atTunnel = false
	return out
}

var waypointAddress = &envoy.Missing{
	What: "the address of the waypoint's pod", Why: "no pod with an address is among the objects",
}

// byTunnelPeer makes filters compare who is at the other end of the tunnel, where
// elsewhere they would compare the certificate of the connection.
func byTunnelPeer(filters []envoy.Filter) {
	for _, f := range filters {
		rbac, ok := f.(*envoy.RBAC)
		if !ok {
			continue
		}
		for _, set := range []*envoy.RuleSet{rbac.Rules, rbac.Shadow} {
			if set == nil {
				continue
			}
			for _, p := range set.Policies {
				clausesByTunnelPeer(p.Permissions)
				clausesByTunnelPeer(p.Principals)
			}
		}
	}
}

func clausesByTunnelPeer(clauses []envoy.Clause) {
	for _, cl := range clauses {
		for _, cond := range cl.Conditions {
			for i, m := range cond.Matchers {
				if id, ok := m.(*envoy.IdentityMatch); ok {
					cond.Matchers[i] = &envoy.TunnelPeerMatch{String: id.String}
				}
			}
		}
	}
}

// isWaypoint tells the proxies of waypoints from those of gateways: by the label that
// istiod puts on them, else by the class of their Gateway.
func isWaypoint(s *mesh.Snapshot, w mesh.Workload, gateway string) bool {
	switch w.Labels[managedLabel] {
	case managedMesh, managedEastWest:
		return true
	case "":
		if class, ok := w.Labels[classLabel]; ok {
			return class == waypointClass
		}
		g := readAPIGateway(s.Find(mesh.GroupGateway, "Gateway", w.Namespace, gateway))
		return g != nil && g.Spec.GatewayClassName == waypointClass
	default:
		return false
	}
}

// waypointPorts are the ports of what the waypoint fronts.
func waypointPorts(s *mesh.Snapshot, w mesh.Workload) []PortInfo {
	var out []PortInfo
	for _, f := range FrontedBy(s, w.Namespace, w.Labels[gatewayNameLabel]) {
		for _, p := range f.Ports {
			out = append(out, PortInfo{Number: p.Number, Protocol: p.Protocol, Fronted: &f, Services: []ServicePort{
				{Service: f.Name, Namespace: f.Namespace, Name: p.Name, Port: p.Number},
			}})
		}
	}
	return out
}
