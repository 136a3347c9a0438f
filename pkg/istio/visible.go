package istio

import (
	"slices"

	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// What istiod does not see: objects of another revision of the control plane, and
// namespaces that its discoverySelectors leave out (Istio
// pilot/pkg/config/kube/crdclient/client.go:inRevision, pkg/kube/namespace/filter.go).

// sight is what istiod sees of an object.
type sight uint8

const (
	seen sight = iota
	unseen
	unsure
)

// doubtful is an object of which it is not known whether istiod sees it.
type doubtful struct {
	object *mesh.Object
	why    string
}

// visible takes out of the snapshot what the workload's istiod does not see. What may
// or may not be seen is taken out too, and returned.
func (t *translation) visible() (hidden []Considered, doubts []doubtful, err error) {
	selectors := t.mesh.config.GetDiscoverySelectors()
	labelled := func(o *mesh.Object) bool { _, set := o.Labels[labelRevision]; return set && ofIstio(o) }
	all := t.in.Snapshot.Objects()
	if len(selectors) == 0 && !slices.ContainsFunc(all, labelled) {
		return nil, nil, nil
	}
	var kept []*mesh.Object
	for _, o := range all {
		at, why := seen, ""
		if ofIstio(o) {
			if at, why = t.ofRevision(o); at == seen {
				at, why = t.discovered(o.Namespace)
			}
		}
		switch at {
		case seen:
			kept = append(kept, o)
		case unseen:
			hidden = append(hidden, Considered{Ref: o.Ref(), Why: why})
		case unsure:
			doubts = append(doubts, doubtful{o, why})
		}
	}
	t.in.Snapshot, err = mesh.NewSnapshot(kept, t.in.Snapshot.Gaps())
	return hidden, doubts, err
}

// ofIstio reports whether istiod's own store has objects of such a kind.
func ofIstio(o *mesh.Object) bool {
	switch o.Group() {
	case mesh.GroupSecurity, mesh.GroupNetworking, mesh.GroupExtensions, mesh.GroupGateway:
		return true
	}
	return false
}

// ofRevision compares the revision that an object asks for with the workload's. The
// label of a pod is the revision itself; that of a namespace may be a tag.
func (t *translation) ofRevision(o *mesh.Object) (sight, string) {
	wanted, set := o.Labels[labelRevision]
	own := revisionOf(t.in.Snapshot, t.in.Workload)
	if own == "" {
		own = "default"
	}
	switch {
	case !set || wanted == own:
		return seen, ""
	case wanted == "":
		return unseen, "its label " + labelRevision + " is empty, and no control plane is called that"
	case o.Group() == mesh.GroupGateway && o.Kind == "Gateway":
		// The newest istiod takes those of all revisions, so that none goes away while its
		// label changes (pilot/pkg/config/kube/gateway/controller.go:buildClient).
		if t.in.IstiodVersion.IsZero() {
			return seen, ""
		}
		return unsure, "older control planes leave out Gateways of another revision than their own, and it asks for " + wanted
	case t.in.Workload.Labels[labelRevision] != "" && !t.in.Workload.FromTemplate:
		return unseen, "it is for the revision " + wanted + " of the control plane, the pods are of " + own
	}
	return unsure, "its label " + labelRevision + " asks for the revision " + wanted + ", and " + own + " may be a tag of that or of another"
}

// discovered compares the labels of a namespace with istiod's discoverySelectors.
func (t *translation) discovered(namespace string) (sight, string) {
	selectors := t.mesh.config.GetDiscoverySelectors()
	if len(selectors) == 0 || namespace == "" {
		return seen, ""
	}
	ns := t.in.Snapshot.Find(mesh.GroupCore, "Namespace", "", namespace)
	if ns == nil {
		return unsure, "discoverySelectors choose namespaces by their labels, and the Namespace " + namespace + " was not read"
	}
	labels := map[string]string{"kubernetes.io/metadata.name": namespace}
	for k, v := range ns.Labels {
		labels[k] = v
	}
	found := false
	for _, s := range selectors {
		yes, valid := discovers(s, labels)
		if !valid {
			return seen, "" // istiod then has no selectors at all
		}
		found = found || yes
	}
	if found {
		return seen, ""
	}
	return unseen, "istiod's discoverySelectors leave out the namespace " + namespace
}

// discovers reports whether a selector takes a namespace, and whether it can be read
// (Istio pkg/kube/namespace/filter.go:selectorsChanged).
func discovers(s *meshapi.LabelSelector, labels map[string]string) (yes, valid bool) {
	selector := mesh.LabelSelector{MatchLabels: s.GetMatchLabels()}
	for _, e := range s.GetMatchExpressions() {
		selector.MatchExpressions = append(selector.MatchExpressions, mesh.LabelRequirement(e.GetKey(), e.GetOperator(), e.GetValues()))
	}
	return mesh.LabelSelectorMatches(&selector, labels), mesh.ValidLabelSelector(&selector)
}

// doubt notes the objects of which it is not known whether istiod sees them, where they
// may reach the workload, and a workload that istiod does not see.
func (t *translation) doubt(doubts []doubtful) {
	for _, d := range doubts {
		reaches := slices.Contains(t.namespaces(t.mesh.rootNamespace, t.in.Workload.Namespace), d.object.Namespace) && t.rawSelected(d.object)
		may := mayAll
		switch d.object.Kind {
		case "AuthorizationPolicy":
			may = mayDeny
		case "RequestAuthentication":
			may = may401
		case "Gateway":
			reaches = t.proxy.Role == envoy.RoleGateway || t.proxy.Role == envoy.RoleWaypoint
		case "PeerAuthentication", "Sidecar", "ServiceEntry", "EnvoyFilter", "WasmPlugin", "TrafficExtension":
		default:
			reaches = false
		}
		if reaches {
			t.changed(origin.Origin{Ref: d.object.Ref()}, &envoy.Missing{
				What: "whether istiod sees " + d.object.Ref().String(), Why: d.why, Hint: "look at the proxy's config_dump",
			}, may)
		}
	}
	if at, why := t.discovered(t.in.Workload.Namespace); at != seen {
		t.changed(origin.Origin{Ref: origin.Ref{Kind: "Namespace", Name: t.in.Workload.Namespace}}, &envoy.Missing{
			What: "whether istiod configures the workload's proxy", Why: why, Hint: "look at the proxy's config_dump",
		}, mayAll)
	}
}
