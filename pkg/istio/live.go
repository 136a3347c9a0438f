package istio

import (
	"slices"

	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// What this file says is for whoever collects a snapshot: what else has to be read.

const labelRevision = "istio.io/rev"

// RootNamespace is the namespace whose objects count for the whole mesh.
func RootNamespace(s *mesh.Snapshot) (string, error) {
	m, _, err := readMeshConfig(s, "")
	return m.rootNamespace, err
}

// Revisions are the revisions of the control plane that the pods and the labels of a
// namespace name, without the default one. Each has a mesh configuration of its own.
func Revisions(s *mesh.Snapshot, namespace string) []string {
	var out []string
	add := func(labels map[string]string) {
		if rev := labels[labelRevision]; rev != "" && rev != "default" && !slices.Contains(out, rev) {
			out = append(out, rev)
		}
	}
	if ns := s.Find(mesh.GroupCore, "Namespace", "", namespace); ns != nil {
		add(ns.Labels)
	}
	for _, o := range s.InNamespace(mesh.GroupCore, "Pod", namespace) {
		add(o.Labels)
	}
	slices.Sort(out)
	return out
}

// revisionOf is the revision of the control plane that a workload is of.
func revisionOf(s *mesh.Snapshot, w mesh.Workload) string {
	if rev := w.Labels[labelRevision]; rev != "" {
		return rev
	}
	if ns := s.Find(mesh.GroupCore, "Namespace", "", w.Namespace); ns != nil {
		return ns.Labels[labelRevision]
	}
	return ""
}

// MayBeGateway reports whether a workload may be a gateway: because it is started as
// one, or because nothing runs in it but the proxy, so that a Gateway that selects it
// makes it one.
func MayBeGateway(w mesh.Workload) bool {
	started, only := gatewaySigns(w)
	return started || only
}

// NeedsVirtualServices reports whether a Gateway that selects the workload has a server
// that carries bytes, which answers only where a VirtualService has a route for it.
func NeedsVirtualServices(s *mesh.Snapshot, w mesh.Workload) bool {
	for _, g := range gatewaysOf(s, w) {
		if slices.ContainsFunc(g.spec.GetServers(), func(sv *netapi.Server) bool { return serverProtocol(sv) != ProtocolHTTP }) {
			return true
		}
	}
	return false
}

// WaypointName is a waypoint as labels name it; it need not exist.
type WaypointName struct{ Namespace, Name string }

// WaypointLabel is the waypoint that the labels of a Service, or of its namespace, name.
func WaypointLabel(s *mesh.Snapshot, o *mesh.Object) (WaypointName, bool) {
	labels := o.Labels
	if _, own := labels[labelUseWaypoint]; !own {
		if ns := s.Find(mesh.GroupCore, "Namespace", "", o.Namespace); ns != nil {
			labels = ns.Labels
		}
	}
	name := labels[labelUseWaypoint]
	if name == "" || name == modeNone {
		return WaypointName{}, false
	}
	w := WaypointName{o.Namespace, name}
	if over := labels[labelUseWaypointNamespace]; over != "" {
		w.Namespace = over
	}
	return w, true
}

// WaypointLabels are the waypoints that labels name for a workload that ztunnel
// captures, and for its Services.
func WaypointLabels(s *mesh.Snapshot, w mesh.Workload) []WaypointName {
	if RoleOf(s, w) != envoy.RoleZtunnel {
		return nil
	}
	services, err := s.ServicesOf(w)
	if err != nil {
		return nil
	}
	var out []WaypointName
	for _, sv := range services {
		if o := s.Find(mesh.GroupCore, "Service", sv.Namespace, sv.Name); o != nil {
			if name, ok := WaypointLabel(s, o); ok {
				out = append(out, name)
			}
		}
	}
	if name, ok := WaypointLabel(s, &mesh.Object{Namespace: w.Namespace, Labels: w.Labels}); ok {
		out = append(out, name)
	}
	return out
}

// AuthorizerServices are the services of the external authorizers that the mesh
// configuration has, as it writes them.
func AuthorizerServices(s *mesh.Snapshot) []string {
	m, _, err := readMeshConfig(s, "")
	if err != nil {
		return nil
	}
	var out []string
	for _, p := range m.config.GetExtensionProviders() {
		for _, service := range []string{p.GetEnvoyExtAuthzGrpc().GetService(), p.GetEnvoyExtAuthzHttp().GetService()} {
			if service != "" && !slices.Contains(out, service) {
				out = append(out, service)
			}
		}
	}
	return out
}
