package istio

import (
	"strconv"
	"strings"

	typeapi "istio.io/api/type/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Names of the Gateway API's objects in Istio (pkg/config/constants/constants.go).
const (
	waypointClass    = "istio-waypoint"
	managedLabel     = "gateway.istio.io/managed"
	managedMesh      = "istio.io-mesh-controller"
	managedEastWest  = "istio.io-eastwest-controller"
	classLabel       = "gateway.networking.k8s.io/gateway-class-name"
	envSelectorBased = "ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY"
	envLayered       = "ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES"
	envScopeGateway  = "PILOT_SCOPE_GATEWAY_TO_NAMESPACE"
	envStrictMerging = "PILOT_ENABLE_STRICT_GATEWAY_MERGING"
	envManual        = "ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT"
	envAnyDomain     = "PILOT_SKIP_VALIDATE_TRUST_DOMAIN"
)

// attached reports whether a policy reaches the proxy, and if not, why
// (policyattachment.go:WorkloadPolicyMatcher.ShouldAttachPolicy).
func (t *translation) attached(o *mesh.Object, p targetable) (bool, string) {
	gateway, isGateway := t.in.Workload.Labels[gatewayNameLabel]
	waypoint := t.proxy.Role == envoy.RoleWaypoint && !t.atTunnel
	refs, _ := t.refs(p)
	switch {
	case !isGateway && len(refs) > 0:
		return false, "it has targetRefs, which only Gateway API gateways and waypoints heed"
	case !isGateway:
		return t.selected(p.GetSelector())
	case len(refs) == 0 && waypoint:
		return false, "it has no targetRefs, and a waypoint heeds no selector"
	case len(refs) == 0 && !t.istiodFlag(envSelectorBased, true):
		return false, "it has no targetRefs, and istiod's " + envSelectorBased + " is false"
	case len(refs) == 0:
		return t.selected(p.GetSelector())
	}
	var whys []string
	for _, ref := range refs {
		ok, why := t.refersHere(o.Namespace, gateway, ref, waypoint)
		if ok {
			return true, ""
		}
		whys = append(whys, why)
	}
	return false, strings.Join(whys, "; ")
}

// refersHere reports whether one reference of a policy means this proxy, or the
// Service that it is asked for.
func (t *translation) refersHere(namespace, gateway string, ref *typeapi.PolicyTargetReference, waypoint bool) (bool, string) {
	group, kind, name := ref.GetGroup(), ref.GetKind(), ref.GetName()
	is := func(wantGroup, wantKind string) bool {
		return kind == wantKind && (group == wantGroup || wantGroup == mesh.GroupCore && group == "core")
	}
	for _, want := range []struct{ group, kind string }{{mesh.GroupCore, "Service"}, {mesh.GroupNetworking, "ServiceEntry"}} {
		if !is(want.group, want.kind) {
			continue
		}
		f := t.in.Service
		switch {
		case !waypoint:
			return false, "only a waypoint heeds a targetRef to a " + kind
		case kind == "ServiceEntry" && t.planes.lacks(version.ServiceEntryTargetRef):
			return false, t.planes.reason(version.ServiceEntryTargetRef, "targetRefs to a ServiceEntry")
		case f != nil && f.Ref.Kind == kind && f.Name == name && f.Namespace == namespace:
			return true, ""
		}
		return false, "it is for the " + kind + " " + name + " of its namespace"
	}
	switch {
	case is(mesh.GroupGateway, "GatewayClass"):
		switch {
		case !waypoint:
			return false, "only a waypoint heeds a targetRef to a GatewayClass"
		case t.planes.lacks(version.GatewayClassTargetRef):
			return false, t.planes.reason(version.GatewayClassTargetRef, "targetRefs to a GatewayClass")
		case name != waypointClass:
			return false, "it is for the GatewayClass " + name
		case namespace != t.mesh.rootNamespace:
			return false, "a targetRef to a GatewayClass counts in the root namespace " + t.mesh.rootNamespace + " alone"
		}
		return true, ""
	case !is(mesh.GroupGateway, "Gateway"):
		return false, "a targetRef to a " + strings.TrimPrefix(group+"/"+kind, "/") + " reaches nothing"
	case namespace != t.in.Workload.Namespace:
		return false, "a targetRef to a Gateway means one of the policy's own namespace"
	case ref.GetNamespace() != "" && ref.GetNamespace() != t.in.Workload.Namespace:
		return false, "its targetRef names another namespace, which is never heeded"
	case name != gateway:
		return false, "it is for the Gateway " + name
	}
	return true, ""
}

// istiodFlag is a switch of istiod's, as its Deployment sets it, if that is among
// what was read; else its default (Istio pilot/pkg/features).
func (t *translation) istiodFlag(name string, otherwise bool) bool {
	plane := t.controlPlane()
	if b, set := plane.Switch(name); set {
		t.assume(Assumption{name, strconv.FormatBool(b), plane.Object.String()})
		return b
	}
	t.assume(Assumption{name, strconv.FormatBool(otherwise), "default"})
	return otherwise
}

// istiodSwitch is istiodFlag for what is asked before there is a translation.
func istiodSwitch(s *mesh.Snapshot, w mesh.Workload, name string, otherwise bool) bool {
	plane, err := ControlPlaneOf(s, w)
	if b, set := plane.Switch(name); err == nil && set {
		return b
	}
	return otherwise
}

// controlPlane is the istiod of the workload, looked for once: many policies ask for it.
// The mesh configuration was read before, so that there is no error.
func (t *translation) controlPlane() ControlPlane {
	if t.istiod == nil {
		plane, _ := ControlPlaneOf(t.in.Snapshot, t.in.Workload)
		t.istiod = &plane
	}
	return *t.istiod
}

// assume notes a setting once.
func (t *translation) assume(a Assumption) {
	for _, had := range t.result.Assumed {
		if had.Setting == a.Setting {
			return
		}
	}
	t.result.Assumed = append(t.result.Assumed, a)
}
