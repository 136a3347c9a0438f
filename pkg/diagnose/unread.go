package diagnose

import (
	"errors"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// What could not be read of a cluster. The policies and settings are the business of
// pkg/istio; here is what the question itself needs: the target, its ports, the caller.

// wholeTarget are the possibilities where nothing is known of the target.
var wholeTarget = []envoy.Verdict{
	{Decision: envoy.Denied, Status: 403}, {Decision: envoy.Denied, Status: 401}, {Decision: envoy.Denied}, {Decision: envoy.Allowed, Status: 200},
}

// targetUnread is the answer where the target was not found because it could not be
// read; nil where that is not why.
func targetUnread(in Intent, snap *mesh.Snapshot, err error) *Diagnosis {
	if err == nil {
		return nil
	}
	group, kind := in.Target.GroupKind()
	var missing envoy.Deps
	var absent *mesh.NotFoundError
	if errors.As(err, &absent) {
		missing = unreadOf(snap, mesh.Unread{Group: group, Kind: kind, Namespace: in.Namespace, Name: in.Target.Name})
	} else {
		missing = unreadOf(snap, append([]mesh.Unread{{Group: mesh.GroupCore, Kind: "Pod", Namespace: in.Namespace}}, ownersIn(in.Namespace)...)...)
	}
	if len(missing) == 0 {
		return nil
	}
	w := mesh.Workload{Ref: origin.Ref{Kind: kind, Namespace: in.Namespace, Name: in.Target.Name}, Namespace: in.Namespace}
	return unanswered(in, snap, w, missing)
}

// orUnread puts an answer in the place of an error where a hop was not found because it
// could not be read.
func orUnread(in Intent, snap *mesh.Snapshot, d *Diagnosis, err error) (*Diagnosis, error) {
	for i := range len(in.Via) + 1 {
		if u := targetUnread(hopIntent(in, i), snap, err); u != nil {
			return u, nil
		}
	}
	return d, err
}

// ownersIn are the kinds that make pods, in a namespace.
func ownersIn(namespace string) []mesh.Unread {
	return []mesh.Unread{
		{Group: mesh.GroupApps, Kind: "Deployment", Namespace: namespace},
		{Group: mesh.GroupApps, Kind: "StatefulSet", Namespace: namespace},
		{Group: mesh.GroupApps, Kind: "DaemonSet", Namespace: namespace},
	}
}

// portsUnread is the answer where the port was not found because what names the ports
// could not be read; nil where that is not why.
func portsUnread(in Intent, snap *mesh.Snapshot, w mesh.Workload, err error) *Diagnosis {
	var ports *PortsError
	if !errors.As(err, &ports) || len(ports.Verdicts) > 0 {
		return nil
	}
	wanted := []mesh.Unread{{Group: mesh.GroupCore, Kind: "Service", Namespace: w.Namespace}}
	switch istio.RoleOf(snap, w) {
	case envoy.RoleGateway:
		wanted = append(wanted, mesh.Unread{Group: mesh.GroupNetworking, Kind: "Gateway"}, mesh.Unread{Group: mesh.GroupGateway, Kind: "Gateway", Namespace: w.Namespace})
	case envoy.RoleWaypoint:
		wanted = append(wanted, mesh.Unread{Group: mesh.GroupGateway, Kind: "Gateway"}, mesh.Unread{Group: mesh.GroupCore, Kind: "Service"},
			mesh.Unread{Group: mesh.GroupNetworking, Kind: "ServiceEntry"}, mesh.Unread{Group: mesh.GroupCore, Kind: "Namespace"})
	default:
	}
	missing := unreadOf(snap, wanted...)
	if len(missing) == 0 {
		return nil
	}
	return unanswered(in, snap, w, missing)
}

// captureUnread makes the answer for a workload without a proxy undetermined where its
// namespace could not be read: that may have ztunnel stand in front.
func captureUnread(d *Diagnosis, snap *mesh.Snapshot, w mesh.Workload) (envoy.Verdict, bool) {
	missing := unreadOf(snap, mesh.Unread{Group: mesh.GroupCore, Kind: "Namespace", Name: w.Namespace})
	_, known, _ := snap.InjectionEnabled(w)
	if len(missing) == 0 || known && w.HostNetwork || w.Labels["istio.io/dataplane-mode"] == "none" {
		return envoy.Verdict{}, false
	}
	v := envoy.Verdict{Decision: envoy.Undetermined, On: missing, Possible: []envoy.Verdict{
		{Decision: envoy.Denied, On: missing}, {Decision: envoy.Allowed, Status: 200, On: missing},
	}}
	d.setVerdict(v)
	addGaps(d, snap.Gaps())
	return v, true
}

// callerUnread leaves open who calls where the caller could not be read.
func callerUnread(in Intent, snap *mesh.Snapshot, groups []mesh.Workload, c *envoy.Connection) bool {
	who, namespace := in.Caller.From, fromNamespace(in)
	group, kind := who.GroupKind()
	var missing envoy.Deps
	switch {
	case len(groups) == 0:
		missing = unreadOf(snap, mesh.Unread{Group: group, Kind: kind, Namespace: namespace, Name: who.Name}, mesh.Unread{Group: mesh.GroupCore, Kind: "Pod", Namespace: namespace})
	case groups[0].FromTemplate && !groups[0].HasSidecar():
		missing = unreadOf(snap, mesh.Unread{Group: mesh.GroupCore, Kind: "Pod", Namespace: namespace}, mesh.Unread{Group: mesh.GroupCore, Kind: "Namespace", Name: namespace})
	case istio.RoleOf(snap, groups[0]) == envoy.RoleNone:
		missing = unreadOf(snap, mesh.Unread{Group: mesh.GroupCore, Kind: "Namespace", Name: namespace})
	}
	if len(missing) == 0 {
		return false
	}
	m := missing[0]
	c.Transport, c.Peer = envoy.NotKnown[envoy.Transport](m), envoy.NotKnown[envoy.Peer](m)
	return true
}

// unreadOf are the facts that are missing for want of some objects.
func unreadOf(snap *mesh.Snapshot, wanted ...mesh.Unread) envoy.Deps {
	var out envoy.Deps
	for _, u := range wanted {
		if g := snap.Unread(u.Group, u.Kind, u.Namespace, u.Name); g != nil {
			out = append(out, istio.Unread(g))
		}
	}
	return out
}

// unanswered is the answer where nothing can be said of the request.
func unanswered(in Intent, snap *mesh.Snapshot, w mesh.Workload, missing envoy.Deps) *Diagnosis {
	req := &envoy.Request{Method: in.Method, Authority: in.Host, Path: in.Path, Headers: in.Headers, Time: in.Time, Protocol: in.Protocol}
	if in.Host == "" {
		req.AuthorityMissing = hostMissing
	}
	req.Connection = envoy.Connection{Transport: envoy.NotKnown[envoy.Transport](identityMissing), Peer: envoy.NotKnown[envoy.Peer](identityMissing)}
	d := newDiagnosis(in, w, nil, req)
	d.Target.Role = "" // it may have a proxy or none
	possible := make([]envoy.Verdict, 0, len(wholeTarget))
	for _, v := range wholeTarget {
		v.On = missing
		possible = append(possible, v)
	}
	d.setVerdict(envoy.Verdict{Decision: envoy.Undetermined, On: missing, Possible: possible})
	addGaps(d, snap.Gaps())
	redact(d, envoy.Secrets(req, nil))
	return d
}

func addGaps(d *Diagnosis, gaps []mesh.Gap) {
	for _, g := range gaps {
		d.Gaps = append(d.Gaps, Gap{What: g.What, Why: g.Why, Permission: g.Permission})
	}
}
