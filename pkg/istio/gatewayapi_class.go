package istio

import (
	"cmp"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Classes that need no GatewayClass (pilot/pkg/config/kube/gatewaycommon/classinfo.go).
const (
	classGateway = "istio"
	classRemote  = "istio-remote"
	kindGateway  = "Gateway"
)

// classed says what a Gateway's class makes of it: one of Istio's, one that Istio makes
// nothing of, or one of which that is not known, since its GatewayClass was not read.
func (g *apiGateway) classed(s *mesh.Snapshot) sight {
	switch controller, read, err := s.GatewayController(g.Spec.GatewayClassName); {
	case !read:
	case err != nil:
		return unsure
	case controller == mesh.ControllerGateway:
		return seen
	case g.Spec.GatewayClassName != classGateway:
		return unseen
	}
	switch g.Spec.GatewayClassName {
	case classGateway: // whatever its GatewayClass says, if that is not a controller of Istio's
		return seen
	case waypointClass, classRemote:
		return unseen
	}
	return unsure
}

// sets are the ListenerSets that add listeners to the Gateway, in the order in which they
// win over each other, each as the Gateway with its listeners alone
// (pilot/pkg/config/kube/gateway/gateway_collection.go:ListenerSetCollection).
func (g *apiGateway) sets(s *mesh.Snapshot) []*apiGateway {
	var out []*apiGateway
	for _, o := range s.Kind(mesh.GroupGateway, "ListenerSet") {
		var spec struct {
			ParentRef struct {
				Group     *string `json:"group"`
				Kind      *string `json:"kind"`
				Namespace string  `json:"namespace"`
				Name      string  `json:"name"`
			} `json:"parentRef"`
			Listeners []apiListener `json:"listeners"`
		}
		if o.DecodeSpec(&spec) != nil {
			continue
		}
		p, namespace := spec.ParentRef, o.Namespace
		if p.Namespace != "" {
			namespace = p.Namespace
		}
		if (p.Group == nil || *p.Group == mesh.GroupGateway) && (p.Kind == nil || *p.Kind == kindGateway) &&
			p.Name == g.object.Name && namespace == g.object.Namespace && g.letsIn(s, o.Namespace) {
			set := &apiGateway{object: o, Spec: g.Spec}
			set.Spec.Listeners = spec.Listeners
			out = append(out, set)
		}
	}
	slices.SortStableFunc(out, func(a, b *apiGateway) int {
		return cmp.Or(cmp.Compare(a.object.Age(), b.object.Age()), strings.Compare(a.object.Namespace+"/"+a.object.Name, b.object.Namespace+"/"+b.object.Name))
	})
	return out
}

// letsIn reports whether ListenerSets of a namespace may add listeners; without a word,
// none may (gatewaycommon: NamespaceAcceptedByAllowListeners).
func (g *apiGateway) letsIn(s *mesh.Snapshot, namespace string) bool {
	if g.Spec.AllowedListeners == nil || g.Spec.AllowedListeners.Namespaces == nil {
		return false
	}
	switch n := g.Spec.AllowedListeners.Namespaces; n.From {
	case "All":
		return true
	case "Same":
		return namespace == g.object.Namespace
	case "", "Selector":
		return n.Selector != nil && s.Find(mesh.GroupCore, "Namespace", "", namespace) != nil && mesh.LabelSelectorMatches(n.Selector, labelsOf(s, namespace))
	}
	return false
}

// doubtClasses notes the Gateways of the workload of which it is not known whether their
// class is one of Istio's.
func (t *translation) doubtClasses(services []mesh.Service) {
	for _, o := range t.in.Snapshot.InNamespace(mesh.GroupGateway, "Gateway", t.in.Workload.Namespace) {
		g := readAPIGateway(o)
		if g == nil || g.classed(t.in.Snapshot) != unsure {
			continue
		}
		if _, ok := g.servedBy(t.in.Snapshot, t.in.Workload, services); ok {
			t.changed(origin.Origin{Ref: o.Ref(), Field: "spec.gatewayClassName"}, &envoy.Missing{
				What: "whether the GatewayClass " + g.Spec.GatewayClassName + " is one of Istio's", Why: "it is not among what was read",
				Hint: "give the GatewayClass too: kubectl get gatewayclass " + g.Spec.GatewayClassName + " -o yaml",
			}, mayClose)
		}
	}
}

// managed reports whether istiod makes the Gateway's Deployment and Service, unless its
// addresses name a Service that somebody else made (gatewaycommon: IsManaged).
func (g *apiGateway) managed(s *mesh.Snapshot, w mesh.Workload) bool {
	a := g.Spec.Addresses
	return len(a) == 0 || len(a) == 1 && (a[0].Type == nil || *a[0].Type == "IPAddress") || !istiodSwitch(s, w, envManual, true)
}

// objectRef is a reference to a Secret or a ConfigMap.
type objectRef struct {
	Group     *string `json:"group"`
	Kind      *string `json:"kind"`
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
}

// is reports whether the reference is to one of the core kinds; without a kind it is to
// a Secret.
func (r *objectRef) is(kinds ...string) bool {
	kind := "Secret"
	if r.Kind != nil && *r.Kind != "" {
		kind = *r.Kind
	}
	return (r.Group == nil || *r.Group == "" || *r.Group == "core") && slices.Contains(kinds, kind)
}

// certified reports whether istiod takes the certificates that a listener names; a
// listener of which it does not is left out. That they exist and are in order is taken
// for granted (conversion.go:buildTLS).
func (g *apiGateway) certified(s *mesh.Snapshot, l apiListener) bool {
	if l.TLS == nil || l.TLS.Mode == "Passthrough" {
		return true
	}
	switch l.TLS.Options[terminateMode] {
	case "ISTIO_SIMPLE", "ISTIO_MUTUAL":
		return true
	}
	const most = 2
	refs := l.TLS.CertificateRefs
	if len(refs) > most || len(refs) > 0 && !slices.ContainsFunc(refs, func(r objectRef) bool { return r.is("Secret") && g.mayRead(s, r) }) {
		return false
	}
	v := g.frontend(l.Port).Validation
	if v == nil || len(v.CACertificateRefs) == 0 || len(refs) == 0 {
		return true
	}
	return len(v.CACertificateRefs) == 1 && v.CACertificateRefs[0].is("Secret", "ConfigMap") && g.mayRead(s, v.CACertificateRefs[0])
}

// mayRead reports whether the Gateway may name an object: one of its namespace, or one
// that a ReferenceGrant of that object's namespace lets it name
// (gatewaycommon: ReferenceGrants.SecretAllowed).
func (g *apiGateway) mayRead(s *mesh.Snapshot, r objectRef) bool {
	if r.Namespace == "" || r.Namespace == g.object.Namespace {
		return true
	}
	return slices.ContainsFunc(s.InNamespace(mesh.GroupGateway, "ReferenceGrant", r.Namespace), func(o *mesh.Object) bool {
		var spec struct {
			From []struct {
				Group     string `json:"group"`
				Kind      string `json:"kind"`
				Namespace string `json:"namespace"`
			} `json:"from"`
			To []struct {
				Group string `json:"group"`
				Kind  string `json:"kind"`
				Name  string `json:"name"`
			} `json:"to"`
		}
		if o.DecodeSpec(&spec) != nil {
			return false
		}
		from, to := false, false
		for _, f := range spec.From {
			from = from || f.Group == mesh.GroupGateway && f.Kind == g.object.Kind && f.Namespace == g.object.Namespace
		}
		for _, t := range spec.To {
			to = to || (t.Group == "" || t.Group == "core") && (r.is(t.Kind)) && (t.Name == "" || t.Name == r.Name)
		}
		return from && to
	})
}

// passesOn reports whether a listener that passes TLS on does so by the names of clusters,
// as the gateways between networks do (pilot/pkg/serviceregistry/kube/conversion.go:IsAutoPassthrough).
func (g *apiGateway) passesOn(l apiListener) bool {
	if l.TLS.Options["gateway.istio.io/listener-protocol"] == "auto-passthrough" {
		return true
	}
	if _, network := g.object.Labels["topology.istio.io/network"]; !network {
		return false
	}
	port := "15443"
	if own, ok := g.object.Labels["networking.istio.io/gatewayPort"]; ok {
		port = own
	}
	return itoa(l.Port) == port
}

// takes reports whether routes of a kind may attach to a listener, as far as the listener
// says so (gatewaycommon: GenerateGatewaySupportedKinds).
func (l *apiListener) takes(kind string) bool {
	if l.AllowedRoutes == nil || len(l.AllowedRoutes.Kinds) == 0 {
		return true
	}
	for _, k := range l.AllowedRoutes.Kinds {
		if k.Kind == kind && (k.Group == nil || *k.Group == mesh.GroupGateway) {
			return true
		}
	}
	return false
}

// hosts are the hosts of a listener, each with a namespace whose routes may attach;
// "~" stands for none (conversion.go:buildHostnameMatch).
func (l *apiListener) hosts(s *mesh.Snapshot, own string) []string {
	host := l.Hostname
	if host == "" {
		host = "*"
	}
	if l.AllowedRoutes == nil || l.AllowedRoutes.Namespaces == nil {
		return []string{own + "/" + host}
	}
	switch n := l.AllowedRoutes.Namespaces; n.From {
	case "", "Same":
		return []string{own + "/" + host}
	case "Selector":
		if n.Selector == nil {
			break
		}
		var out []string
		for _, o := range s.Kind(mesh.GroupCore, "Namespace") {
			if l.allows(s, own, o.Name) {
				out = append(out, o.Name+"/"+host)
			}
		}
		if out == nil {
			return []string{"~/" + host}
		}
		slices.Sort(out)
		return out
	}
	return []string{"*/" + host}
}
