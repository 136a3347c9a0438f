package diagnose

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const inCluster = ".svc.cluster.local"

// Locate fills in the target of a question that names none, by the host that the
// request is for: a Service of the mesh, or a gateway with that host or address and,
// behind it, the Service that its routes lead to. The text says what was found. Errors
// are *mesh.TargetError: nothing fits, or several do.
func Locate(in Intent, snap *mesh.Snapshot) (Intent, string, error) {
	if service, ok := serviceOfSNI(in); ok && snap.Find(mesh.GroupCore, "Service", service.Namespace, service.Target.Name) != nil {
		return in.behindSNI(service), fmt.Sprintf("%s in namespace %s", service.Target, service.Namespace), nil
	}
	host := HostOf(in)
	if host == "" {
		return in, "", &mesh.TargetError{Given: "", Problem: "is no target, and no host is given that could tell it", Hint: "write TYPE/NAME, such as deploy/productpage, or give --url"}
	}
	if service, ok := ServiceNamed(host, fromNamespace(in)); ok {
		if o := snap.Find(mesh.GroupCore, "Service", service.Namespace, service.Target.Name); o != nil {
			return in.forService(service), fmt.Sprintf("%s in namespace %s", service.Target, service.Namespace), nil
		}
	}
	if o := serviceAt(snap, host); o != nil {
		at := Via{Target: mesh.Target{Type: mesh.TypeService, Name: o.Name}, Namespace: o.Namespace}
		return in.forService(at), fmt.Sprintf("%s in namespace %s", at.Target, at.Namespace), nil
	}
	gateways, err := gatewaysFor(in, snap, host)
	if err != nil {
		return in, "", err
	}
	var found []located
	for _, g := range gateways {
		l, err := g.behind(in, snap, false)
		if err != nil {
			return in, "", err
		}
		found = append(found, l...)
	}
	switch len(found) {
	case 0:
		return in, "", nothingAt(snap, in, host)
	case 1:
		return found[0].in, found[0].text, nil
	default:
		return in, "", severalAt(host, found)
	}
}

// located is one place to which a request may be meant to go.
type located struct {
	in   Intent
	text string
	flag string
}

func (in Intent) forService(v Via) Intent {
	in.Target, in.Namespace = v.Target, v.Namespace
	if in.Port.IsZero() && in.URLPort != 0 {
		in.Port.Number = in.URLPort
	}
	return in
}

// plainHost is a host without its port.
func plainHost(host string) string {
	if a, err := netip.ParseAddrPort(host); err == nil {
		return a.Addr().String()
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.Count(host, ":") == 1 {
		host = host[:i]
	}
	return strings.Trim(strings.TrimSuffix(host, "."), "[]")
}

// ServiceNamed reads a host as the name of a Service, as a client in a namespace may
// write it: NAME, NAME.NAMESPACE, with .svc, or in full. Whether there is such a Service
// is another question.
func ServiceNamed(host, namespace string) (Via, bool) {
	name := strings.TrimSuffix(strings.TrimSuffix(host, inCluster), ".svc")
	service, rest, dotted := strings.Cut(name, ".")
	if dotted {
		namespace = rest
	}
	if service == "" || namespace == "" || strings.Contains(namespace, ".") || !dotted && name != host {
		return Via{}, false
	}
	return Via{Target: mesh.Target{Type: mesh.TypeService, Name: service}, Namespace: namespace}, true
}

// LocateService fills in the target where the host is the name of a Service, for those
// who have to know it before they read anything. NAME.NAMESPACE may be the host of a
// gateway as well: it is where absent says that there is no such Service.
func LocateService(in *Intent, absent func(Via) bool) bool {
	if service, ok := serviceOfSNI(*in); ok && !absent(service) {
		*in = in.behindSNI(service)
		return true
	}
	host := HostOf(*in)
	service, ok := ServiceNamed(host, fromNamespace(*in))
	doubt := strings.Contains(host, ".") && !strings.HasSuffix(host, ".svc") && !strings.HasSuffix(host, inCluster)
	if !ok || doubt && absent(service) {
		return false
	}
	*in = in.forService(service)
	return true
}

// HostOf is the host that the question is for, in lower case and without its port.
func HostOf(in Intent) string { return strings.ToLower(plainHost(in.Host)) }

// serviceAt is the Service with a cluster address.
func serviceAt(snap *mesh.Snapshot, host string) *mesh.Object {
	if _, err := netip.ParseAddr(host); err != nil {
		return nil
	}
	for _, o := range snap.Kind(mesh.GroupCore, "Service") {
		var spec struct {
			ClusterIP  string   `json:"clusterIP"`
			ClusterIPs []string `json:"clusterIPs"`
		}
		if o.DecodeSpec(&spec) == nil && (spec.ClusterIP == host || slices.Contains(spec.ClusterIPs, host)) {
			return o
		}
	}
	return nil
}

// gatewayAt is a gateway that takes the request.
type gatewayAt struct {
	target    mesh.Target
	namespace string
	w         mesh.Workload
	port      int // the server's
	fit       int
}

func (g gatewayAt) flag() string { return fmt.Sprintf("%s.%s:%d", g.target, g.namespace, g.port) }

// gatewaysFor finds the gateways that take a host, those with the most specific hosts. A
// name or address of a load balancer counts like a host.
func gatewaysFor(in Intent, snap *mesh.Snapshot, host string) ([]gatewayAt, error) {
	var all []gatewayAt
	best := -1
	for _, t := range gatewayTargets(snap) {
		groups, err := snap.Resolve(t.Target, t.Namespace)
		if err != nil || istio.RoleOf(snap, groups[0]) != envoy.RoleGateway {
			continue // what cannot be resolved is said where somebody asks for it
		}
		w := groups[0]
		hosts, err := istio.HostsOf(snap, w)
		if err != nil {
			return nil, err
		}
		own, err := hasAddress(snap, w, host)
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			fit := istio.HostFit(h.Host, host)
			if own {
				fit = 1 << 20 // whatever hosts its routes are for
			}
			if fit < 0 || in.URLPort != 0 && h.Port != in.URLPort || in.URLPort == 0 && in.Caller.TLS != h.TLS {
				continue
			}
			g := gatewayAt{target: t.Target, namespace: t.Namespace, w: w, port: h.Port, fit: fit}
			if !slices.ContainsFunc(all, func(o gatewayAt) bool { return o.flag() == g.flag() && o.fit >= g.fit }) {
				all = append(slices.DeleteFunc(all, func(o gatewayAt) bool { return o.flag() == g.flag() }), g)
			}
			best = max(best, fit)
		}
	}
	all = slices.DeleteFunc(all, func(g gatewayAt) bool { return g.fit < best })
	slices.SortFunc(all, func(a, b gatewayAt) int { return cmp.Compare(a.flag(), b.flag()) })
	return all, nil
}

// gatewayTargets are what may be a gateway: Gateways of the Gateway API, and workloads
// that classic Gateways select.
func gatewayTargets(snap *mesh.Snapshot) []Via {
	var out []Via
	for _, o := range snap.Kind(mesh.GroupGateway, "Gateway") {
		out = append(out, Via{Target: mesh.Target{Type: mesh.TypeGateway, Name: o.Name}, Namespace: o.Namespace})
	}
	var selectors []map[string]string
	for _, o := range snap.Kind(mesh.GroupNetworking, "Gateway") {
		var spec struct {
			Selector map[string]string `json:"selector"`
		}
		if o.DecodeSpec(&spec) == nil && len(spec.Selector) > 0 {
			selectors = append(selectors, spec.Selector)
		}
	}
	for _, k := range []struct{ group, kind, typ string }{
		{mesh.GroupApps, "Deployment", mesh.TypeDeployment}, {mesh.GroupApps, "DaemonSet", mesh.TypeDaemonSet}, {mesh.GroupApps, "StatefulSet", mesh.TypeStatefulSet},
	} {
		for _, o := range snap.Kind(k.group, k.kind) {
			var spec struct {
				Template struct {
					Metadata struct {
						Labels map[string]string `json:"labels"`
					} `json:"metadata"`
				} `json:"template"`
			}
			if len(selectors) == 0 || o.DecodeSpec(&spec) != nil {
				continue
			}
			if slices.ContainsFunc(selectors, func(s map[string]string) bool { return mesh.SelectorMatches(s, spec.Template.Metadata.Labels) }) {
				out = append(out, Via{Target: mesh.Target{Type: k.typ, Name: o.Name}, Namespace: o.Namespace})
			}
		}
	}
	return out
}

// hasAddress reports whether a name or address is one of the workload's Services outside
// the cluster.
func hasAddress(snap *mesh.Snapshot, w mesh.Workload, host string) (bool, error) {
	services, err := snap.ServicesOf(w)
	if err != nil {
		return false, err
	}
	for _, s := range services {
		if slices.Contains(s.ExternalIPs, host) || slices.Contains(s.LoadBalancerIPs, host) || slices.Contains(s.LoadBalancerHosts, host) {
			return true, nil
		}
	}
	return false, nil
}

// behind are the places to which the gateway's routes lead the request: Services that
// were read, or with unread all, each with the gateway as the hop in front.
func (g gatewayAt) behind(in Intent, snap *mesh.Snapshot, unread bool) ([]located, error) {
	alone := in
	alone.Target, alone.Namespace, alone.Port = g.target, g.namespace, Port{Number: g.port}
	only := []located{{in: alone, text: g.target.String() + " in namespace " + g.namespace, flag: g.target.String() + " -n " + g.namespace + fmt.Sprintf(" --port %d", g.port)}}
	ports, err := choosePorts(alone, snap, g.w)
	if err != nil || len(ports) != 1 {
		return only, nil //nolint:nilerr // said where the gateway is judged
	}
	e, err := examine(alone, snap, g.w, ports[0], nil)
	if err != nil {
		return nil, err
	}
	u := &envoy.Upstream{Method: in.Method, Authority: in.Host, Path: in.Path, Headers: lowered(in.Headers)}
	if passages := passagesOf(e); len(passages) > 0 {
		if u = passages[0].Upstream; u.Entered != nil {
			u = u.Entered
		}
	}
	conn := e.req.Connection
	r, err := istio.RouteOf(snap, istio.Crossing{Workload: g.w, Listener: ports[0].Number, SNI: conn.SNI, TLS: conn.Transport.Value != envoy.Plaintext, Upstream: u})
	if err != nil {
		return nil, err
	}
	if r.Status != 0 {
		return nil, &mesh.TargetError{
			Given: in.Host, Problem: fmt.Sprintf("reaches %s.%s, which answers %d itself: %s", g.target, g.namespace, r.Status, r.Reason), Hint: g.hint(snap, r),
		}
	}
	var out []located
	for _, b := range r.Backends {
		if b.External != "" || !unread && snap.Find(mesh.GroupCore, "Service", b.Namespace, b.Service) == nil {
			continue
		}
		l := located{in: in}
		l.in.Target, l.in.Namespace = mesh.Target{Type: mesh.TypeService, Name: b.Service}, b.Namespace
		l.in.Port, l.in.Subset = Port{Number: b.Port}, b.Subset
		l.in.Via = append([]Via{{Target: g.target, Namespace: g.namespace, Port: Port{Number: g.port}}}, in.Via...)
		l.text = fmt.Sprintf("%s.%s port %d behind %s.%s", l.in.Target, b.Namespace, b.Port, g.target, g.namespace)
		l.flag = fmt.Sprintf("%s -n %s --port %d --via %s", l.in.Target, b.Namespace, b.Port, g.flag())
		if !slices.ContainsFunc(out, func(o located) bool { return o.flag == l.flag }) {
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		return only, nil
	}
	return out, nil
}

func lowered(in []envoy.Header) []envoy.Header {
	var out []envoy.Header
	for _, h := range in {
		out = append(out, envoy.Header{Name: strings.ToLower(h.Name), Value: h.Value})
	}
	return out
}

// hint is what to do where a gateway answers itself.
func (g gatewayAt) hint(snap *mesh.Snapshot, r istio.Route) string {
	if !r.Origin.IsZero() {
		return "see " + r.Origin.String()
	}
	hosts, err := istio.HostsOf(snap, g.w)
	if err != nil {
		return ""
	}
	var names []string
	for _, h := range hosts {
		if !slices.Contains(names, h.Host) {
			names = append(names, h.Host)
		}
	}
	return "its routes are for " + strings.Join(names[:min(len(names), 5)], ", ")
}

func severalAt(host string, found []located) error {
	var flags []string
	for _, l := range found {
		flags = append(flags, l.flag)
	}
	return &mesh.TargetError{Given: host, Problem: fmt.Sprintf("fits %d targets", len(found)), Hint: "choose one: " + strings.Join(flags, "; or ")}
}
