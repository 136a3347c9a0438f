package istio

import (
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// apiGateway is a Gateway of the Gateway API, as far as it decides.
type apiGateway struct {
	object *mesh.Object
	Spec   struct {
		GatewayClassName string        `json:"gatewayClassName"`
		Listeners        []apiListener `json:"listeners"`
		// AllowedListeners says which namespaces may add listeners.
		AllowedListeners *allowedRoutes `json:"allowedListeners"`
		Addresses        []struct {
			Type  *string `json:"type"`
			Value string  `json:"value"`
		} `json:"addresses"`
		TLS *struct {
			Frontend *struct {
				Default apiFrontend `json:"default"`
				PerPort []struct {
					Port int         `json:"port"`
					TLS  apiFrontend `json:"tls"`
				} `json:"perPort"`
			} `json:"frontend"`
		} `json:"tls"`
	}
}

// apiListener is one of its listeners.
type apiListener struct {
	Name     string `json:"name"`
	Hostname string `json:"hostname"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	TLS      *struct {
		Mode            string            `json:"mode"`
		Options         map[string]string `json:"options"`
		CertificateRefs []objectRef       `json:"certificateRefs"`
	} `json:"tls"`
	AllowedRoutes *allowedRoutes `json:"allowedRoutes"`
}

// allowedRoutes are the namespaces and the kinds of what may attach.
type allowedRoutes struct {
	Namespaces *struct {
		From     string              `json:"from"`
		Selector *mesh.LabelSelector `json:"selector"`
	} `json:"namespaces"`
	Kinds []struct {
		Group *string `json:"group"`
		Kind  string  `json:"kind"`
	} `json:"kinds"`
}

// apiFrontend is how clients are validated.
type apiFrontend struct {
	Validation *struct {
		Mode              string      `json:"mode"`
		CACertificateRefs []objectRef `json:"caCertificateRefs"`
	} `json:"validation"`
}

// terminateMode is the option of a listener that says more of how TLS is ended.
const terminateMode = "gateway.istio.io/tls-terminate-mode"

func readAPIGateway(o *mesh.Object) *apiGateway {
	if o == nil {
		return nil
	}
	g := &apiGateway{object: o}
	if o.DecodeSpec(&g.Spec) != nil {
		return nil
	}
	return g
}

// services are the names of the Services that carry the gateway's traffic: the one
// that istiod makes, or those that the Gateway's addresses name
// (Istio pilot/pkg/config/kube/gateway/conversion.go:extractGatewayServices).
func (g *apiGateway) services(s *mesh.Snapshot, w mesh.Workload) (names []string, managed bool) {
	if g.managed(s, w) {
		if over := g.object.Annotations["gateway.istio.io/name-override"]; over != "" {
			return []string{over}, true
		}
		return []string{g.object.Name + "-" + g.Spec.GatewayClassName}, true
	}
	for _, addr := range g.Spec.Addresses {
		name, rest, qualified := strings.Cut(addr.Value, ".")
		inNamespace := !qualified || rest == g.object.Namespace+".svc.cluster.local"
		if (addr.Type == nil || *addr.Type == "Hostname") && inNamespace {
			names = append(names, name)
		}
	}
	return names, false
}

// allows reports whether objects of a namespace may attach to the listener of a
// Gateway in another (conversion.go:namespacesFromSelector).
func (l *apiListener) allows(s *mesh.Snapshot, own, namespace string) bool {
	if l.AllowedRoutes == nil || l.AllowedRoutes.Namespaces == nil {
		return own == namespace
	}
	switch n := l.AllowedRoutes.Namespaces; n.From {
	case "All":
		return true
	case "Selector":
		return n.Selector == nil || mesh.LabelSelectorMatches(n.Selector, labelsOf(s, namespace))
	default:
		return own == namespace
	}
}

// labelsOf are the labels of a namespace, with that which every one has.
func labelsOf(s *mesh.Snapshot, namespace string) map[string]string {
	out := map[string]string{}
	if ns := s.Find(mesh.GroupCore, "Namespace", "", namespace); ns != nil {
		maps.Copy(out, ns.Labels)
	}
	out["kubernetes.io/metadata.name"] = namespace
	return out
}

// apiGatewaysOf are the listeners of Gateway API gateways whose Service leads to the
// workload, each as a classic Gateway with one server, which is what istiod makes of
// it (pilot/pkg/config/kube/gateway/gateway_collection.go:GatewayCollection). One
// that loses against another one of the same Gateway is left out.
func apiGatewaysOf(s *mesh.Snapshot, w mesh.Workload, services []mesh.Service) []gatewayObject {
	var out []gatewayObject
	for _, o := range s.InNamespace(mesh.GroupGateway, "Gateway", w.Namespace) {
		g := readAPIGateway(o)
		if g == nil || g.classed(s) == unseen {
			continue
		}
		behind, ok := g.servedBy(s, w, services)
		if !ok {
			continue
		}
		var accepted []apiListener
		for _, owner := range append([]*apiGateway{g}, g.sets(s)...) {
			for i, l := range owner.Spec.Listeners {
				if slices.ContainsFunc(accepted, func(prior apiListener) bool { return !distinct(l, prior) }) {
					continue
				}
				accepted = append(accepted, l)
				server := owner.server(s, l)
				if server == nil || l.Port == 0 || !owner.certified(s, l) {
					continue
				}
				out = append(out, gatewayObject{
					object: owner.object, spec: &netapi.Gateway{Servers: []*netapi.Server{server}},
					name: owner.object.Name + "~istio-autogenerated-k8s-gateway~" + l.Name, field: "spec.listeners", first: i,
					api: owner, listener: &l, behind: behind,
				})
			}
		}
	}
	return out
}

// servedBy finds those of the workload's Services that the Gateway is about. For one
// whose Service is not there, though istiod makes it, it is as istiod makes it: nil.
func (g *apiGateway) servedBy(s *mesh.Snapshot, w mesh.Workload, services []mesh.Service) ([]mesh.Service, bool) {
	names, managed := g.services(s, w)
	var out []mesh.Service
	for _, service := range services {
		if slices.Contains(names, service.Name) {
			out = append(out, service)
		}
	}
	return out, len(out) > 0 || managed && w.Labels[gatewayNameLabel] == g.object.Name
}

// distinct reports whether two listeners can live side by side
// (pilot/pkg/config/kube/gatewaycommon/listener_conflict.go:listenersDistinct).
func distinct(a, b apiListener) bool {
	if a.Port != b.Port {
		return true
	}
	http := func(l apiListener) bool { return l.Protocol == "HTTP" || l.Protocol == "HTTPS" || l.Protocol == "TLS" }
	bytes := func(l apiListener) bool { return l.Protocol == "TCP" || l.Protocol == "UDP" }
	host := func(l apiListener) string {
		if l.Hostname == "" {
			return "*"
		}
		return l.Hostname
	}
	switch {
	case http(a) && http(b):
		return host(a) != host(b)
	case (http(a) || bytes(a)) && (http(b) || bytes(b)):
		return false
	default:
		return a.Protocol != b.Protocol
	}
}

// server is the classic server that istiod makes of a listener; nil where it makes
// none (conversion.go:buildListener).
func (g *apiGateway) server(s *mesh.Snapshot, l apiListener) *netapi.Server {
	switch l.Protocol {
	case "HTTP", "TCP":
	case "HTTPS", "TLS":
		if l.TLS == nil {
			return nil
		}
	default:
		return nil
	}
	out := &netapi.Server{
		Port:  &netapi.Port{Name: "default", Number: uint32(l.Port), Protocol: l.Protocol},
		Hosts: l.hosts(s, g.object.Namespace),
	}
	if l.TLS != nil {
		out.Tls = &netapi.ServerTLSSettings{Mode: g.tlsMode(l)}
	}
	return out
}

// tlsMode is conversion.go:buildTLS, as far as client certificates go.
func (g *apiGateway) tlsMode(l apiListener) netapi.ServerTLSSettings_TLSmode {
	if l.TLS.Mode == "Passthrough" {
		if g.passesOn(l) {
			return netapi.ServerTLSSettings_AUTO_PASSTHROUGH
		}
		return netapi.ServerTLSSettings_PASSTHROUGH
	}
	switch l.TLS.Options[terminateMode] {
	case "MUTUAL":
		return netapi.ServerTLSSettings_MUTUAL
	case "OPTIONAL_MUTUAL":
		return netapi.ServerTLSSettings_OPTIONAL_MUTUAL
	case "ISTIO_MUTUAL":
		return netapi.ServerTLSSettings_ISTIO_MUTUAL
	case "ISTIO_SIMPLE":
		return netapi.ServerTLSSettings_SIMPLE
	}
	if v := g.frontend(l.Port).Validation; v != nil && len(v.CACertificateRefs) > 0 && len(l.TLS.CertificateRefs) > 0 {
		if v.Mode == "AllowInsecureFallback" {
			return netapi.ServerTLSSettings_OPTIONAL_MUTUAL
		}
		return netapi.ServerTLSSettings_MUTUAL
	}
	return netapi.ServerTLSSettings_SIMPLE
}

func (g *apiGateway) frontend(port int) apiFrontend {
	if g.Spec.TLS == nil || g.Spec.TLS.Frontend == nil {
		return apiFrontend{}
	}
	for _, p := range g.Spec.TLS.Frontend.PerPort {
		if p.Port == port {
			return p.TLS
		}
	}
	return g.Spec.TLS.Frontend.Default
}

// apiRoute is a TCPRoute or TLSRoute.
type apiRoute struct {
	ParentRefs []struct {
		Group       *string `json:"group"`
		Kind        *string `json:"kind"`
		Namespace   string  `json:"namespace"`
		Name        string  `json:"name"`
		SectionName string  `json:"sectionName"`
		Port        int     `json:"port"`
	} `json:"parentRefs"`
	Hostnames []string `json:"hostnames"`
	Rules     []struct {
		BackendRefs []any `json:"backendRefs"`
	} `json:"rules"`
}

// routed lists the server names that routes of a kind take at a listener; nil where
// no route is attached, and an empty name where any will do. Without a route, istiod
// makes no chain for bytes (pilot/pkg/networking/core/gateway.go:createGatewayTCPFilterChainOpts).
func (g *apiGateway) routed(s *mesh.Snapshot, kind string, l *apiListener) []string {
	var out []string
	for _, o := range s.Kind(mesh.GroupGateway, kind) {
		var r apiRoute
		if o.DecodeSpec(&r) != nil || !g.parentOf(s, o, &r, l) {
			continue
		}
		hosts := r.Hostnames
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for _, h := range hosts {
			if name, ok := intersect(h, l.Hostname); ok && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	sort.Strings(out)
	return out
}

func (g *apiGateway) parentOf(s *mesh.Snapshot, o *mesh.Object, r *apiRoute, l *apiListener) bool {
	backends := 0
	for _, rule := range r.Rules {
		backends += len(rule.BackendRefs)
	}
	return backends > 0 && g.names(s, o, r, l)
}

// names reports whether a route has the listener for a parent, and may have.
func (g *apiGateway) names(s *mesh.Snapshot, o *mesh.Object, r *apiRoute, l *apiListener) bool {
	if !l.allows(s, g.object.Namespace, o.Namespace) || !l.takes(o.Kind) {
		return false
	}
	for _, p := range r.ParentRefs {
		namespace := p.Namespace
		if namespace == "" {
			namespace = o.Namespace
		}
		kind := kindGateway
		if p.Kind != nil {
			kind = *p.Kind
		}
		if (p.Group == nil || *p.Group == mesh.GroupGateway) && kind == g.object.Kind &&
			namespace == g.object.Namespace && p.Name == g.object.Name &&
			(p.SectionName == "" || p.SectionName == l.Name) && (p.Port == 0 || p.Port == l.Port) {
			return true
		}
	}
	return false
}

// intersect is the narrower one of two names of which either may be empty or begin
// with a star.
func intersect(a, b string) (string, bool) {
	within := func(name, pattern string) bool {
		return pattern == "" || name == pattern || strings.HasPrefix(pattern, "*.") && strings.HasSuffix(name, pattern[1:])
	}
	switch {
	case within(a, b) && a != "":
		return a, true
	case within(b, a):
		return b, true
	default:
		return "", false
	}
}

// place is where a server of a Gateway stands.
func (g gatewayObject) place(i int) origin.Origin {
	field := g.field
	if field == "" {
		field = "spec.servers"
	}
	return origin.Origin{Ref: g.object.Ref(), Field: field + "[" + strconv.Itoa(g.first+i) + "]"}
}
