package istio

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Labels that put a waypoint in front of something
// (Istio pilot/pkg/serviceregistry/ambient/waypoints.go:GetUseWaypoint).
const (
	labelUseWaypoint          = "istio.io/use-waypoint"
	labelUseWaypointNamespace = "istio.io/use-waypoint-namespace"
	labelWaypointFor          = "istio.io/waypoint-for"
)

// WaypointInFront is a waypoint that requests are sent through before they come to
// the workload's own proxy.
type WaypointInFront struct {
	Namespace, Name string
	// Service is the Service whose requests it takes; empty for those to the pods'
	// own addresses.
	Service string
	// Label is where the label stands that says so.
	Label origin.Origin
}

// waypoints finds the waypoints in front of a workload and its Services. A label on
// the thing itself wins over its namespace's
// (waypoints.go:fetchWaypointForService and fetchWaypointForWorkload).
func (t *translation) waypoints(services []mesh.Service) []WaypointInFront {
	var namespace map[string]string
	at := origin.Ref{Kind: "Namespace", Name: t.in.Workload.Namespace}
	if ns := t.in.Snapshot.Find(mesh.GroupCore, "Namespace", "", t.in.Workload.Namespace); ns != nil {
		namespace = ns.Labels
	}
	var out []WaypointInFront
	add := func(own map[string]string, of origin.Ref, service, traffic string) {
		labels, where := own, of
		if _, has := own[labelUseWaypoint]; !has {
			labels, where = namespace, at
		}
		name := labels[labelUseWaypoint]
		if name == "" || name == modeNone {
			return
		}
		w := WaypointInFront{Namespace: t.in.Workload.Namespace, Name: name, Service: service}
		w.Label = origin.Origin{Ref: where, Field: `metadata.labels["` + labelUseWaypoint + `"]`}
		if over := labels[labelUseWaypointNamespace]; over != "" {
			w.Namespace = over
		}
		if t.takes(w, traffic) {
			out = append(out, w)
		}
	}
	for _, s := range services {
		add(s.Labels, s.Ref, s.Name, "service")
	}
	add(t.in.Workload.Labels, t.in.Workload.Ref, "", "workload")
	return out
}

// takes reports whether a waypoint is for such traffic: by default only that to
// Services. One whose Gateway was not read is taken at the label's word.
func (t *translation) takes(w WaypointInFront, traffic string) bool {
	g := t.in.Snapshot.Find(mesh.GroupGateway, "Gateway", w.Namespace, w.Name)
	if g == nil {
		return traffic == "service" || w.Label.Kind != "Namespace"
	}
	switch got := g.Labels[labelWaypointFor]; got {
	case "":
		return traffic == "service"
	default:
		return got == "all" || got == traffic
	}
}
