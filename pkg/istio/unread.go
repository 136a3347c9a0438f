package istio

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// What an object that was not read may do, besides nothing. A policy that was not read
// refuses as the ones that were read do, so that a refusal stays one; what an external
// authorizer would say instead of it is not looked into.
var (
	mayRefuse = []envoy.Verdict{{Decision: envoy.Denied, Status: 403, Body: "RBAC: access denied"}}
	mayDecide = []envoy.Verdict{{Decision: envoy.Denied, Status: 403, Body: "RBAC: access denied"}, {Decision: envoy.Allowed, Status: 200}}
	mayAll    = []envoy.Verdict{{Decision: envoy.Denied}, {Decision: envoy.Denied, Status: 403}, {Decision: envoy.Allowed, Status: 200}}
	mayPass   = []envoy.Verdict{{Decision: envoy.Allowed, Status: 200}}
)

// unread notes the objects that could not be read and that may reach the proxy: what
// they would change is not known. Objects of which none can reach it are no matter.
func (t *translation) unread() {
	for _, ns := range t.namespaces(t.mesh.rootNamespace, t.in.Workload.Namespace) {
		if o, m := t.notRead(mesh.GroupSecurity, "AuthorizationPolicy", ns); m != nil {
			t.unreadPolicies = append(t.unreadPolicies, &envoy.Opaque{Origin: o, Missing: m})
		}
		if o, m := t.notRead(mesh.GroupSecurity, "RequestAuthentication", ns); m != nil {
			t.doubtJWT(o, m)
		}
		if o, m := t.notRead(mesh.GroupNetworking, "EnvoyFilter", ns); m != nil {
			t.changed(o, m, mayAll)
		}
		if o, m := t.notRead(mesh.GroupExtensions, "WasmPlugin", ns); m != nil {
			t.changed(o, m, mayAll)
		}
		if o, m := t.notRead(mesh.GroupExtensions, "TrafficExtension", ns); m != nil {
			t.changed(o, m, mayAll)
		}
		if _, m := t.notRead(mesh.GroupNetworking, "ProxyConfig", ns); m != nil {
			t.fragments = m
		}
		if o, m := t.notRead(mesh.GroupSecurity, "PeerAuthentication", ns); m != nil && t.proxy.Role == envoy.RoleSidecar {
			t.changed(o, m, mayClose)
		}
		if o, m := t.notRead(mesh.GroupNetworking, "Sidecar", ns); m != nil && t.proxy.Role == envoy.RoleSidecar {
			t.changed(o, m, mayAll)
		}
	}
	t.unreadWorkload()
}

// unreadWorkload notes what is not known of the workload itself: its pods, its Services,
// and of a gateway its Gateways and their routes.
func (t *translation) unreadWorkload() {
	w := t.in.Workload
	if o, m := t.notRead(mesh.GroupCore, "Service", w.Namespace); m != nil && t.proxy.Role != envoy.RoleWaypoint {
		t.changed(o, m, mayAll)
	}
	if o, m := t.notRead(mesh.GroupCore, "Pod", w.Namespace); m != nil && w.FromTemplate {
		t.changed(o, m, mayAll)
	}
	_, known, _ := t.in.Snapshot.InjectionEnabled(w)
	if m := t.notReadName(mesh.GroupCore, "Namespace", "", w.Namespace); m != nil && w.FromTemplate && !w.HasSidecar() && !known {
		t.changed(origin.Origin{Ref: origin.Ref{Kind: "Namespace", Name: w.Namespace}}, m, mayPass)
	}
	switch t.proxy.Role {
	case envoy.RoleSidecar:
		if o, m := t.notRead(mesh.GroupNetworking, "ServiceEntry", w.Namespace); m != nil && !t.named() {
			t.changed(o, m, mayAll)
		}
	case envoy.RoleGateway:
		if o, m := t.notRead(mesh.GroupNetworking, "Gateway", ""); m != nil {
			t.changed(o, m, mayAll)
		}
		if o, m := t.notRead(mesh.GroupNetworking, "VirtualService", ""); m != nil && NeedsVirtualServices(t.in.Snapshot, w) {
			t.changed(o, m, mayClose)
		}
		for _, kind := range []string{"Gateway", "TCPRoute", "TLSRoute"} {
			if o, m := t.notRead(mesh.GroupGateway, kind, w.Namespace); m != nil {
				t.changed(o, m, mayAll)
			}
		}
	case envoy.RoleWaypoint:
		for _, k := range []struct{ group, kind string }{
			{mesh.GroupGateway, "Gateway"}, {mesh.GroupCore, "Service"}, {mesh.GroupNetworking, "ServiceEntry"}, {mesh.GroupCore, "Namespace"},
		} {
			if o, m := t.notRead(k.group, k.kind, ""); m != nil {
				t.changed(o, m, mayAll)
			}
		}
	default:
	}
}

// named reports whether a Service or a Sidecar says what the port carries.
func (t *translation) named() bool {
	port, err := t.inbound(t.in.Port)
	return err == nil && port != nil
}

// unreadAmbient is unread for ztunnel, which heeds little.
func (t *translation) unreadAmbient() {
	for _, ns := range t.namespaces(t.mesh.rootNamespace, t.in.Workload.Namespace) {
		for _, kind := range []string{"AuthorizationPolicy", "PeerAuthentication"} {
			if o, m := t.notRead(mesh.GroupSecurity, kind, ns); m != nil {
				t.changed(o, m, mayClose)
			}
		}
	}
}

// notRead is the fact that is missing where the objects of a kind in a namespace were
// not all read; nil where they were.
func (t *translation) notRead(group, kind, namespace string) (origin.Origin, *envoy.Missing) {
	g := t.in.Snapshot.Unread(group, kind, namespace, "")
	if g == nil {
		return origin.Origin{}, nil
	}
	return origin.Origin{Ref: origin.Ref{Kind: kind, Namespace: namespace, Name: "*"}}, Unread(g)
}

func (t *translation) notReadName(group, kind, namespace, name string) *envoy.Missing {
	if g := t.in.Snapshot.Unread(group, kind, namespace, name); g != nil {
		return Unread(g)
	}
	return nil
}

// Unread is the fact that is missing for a gap.
func Unread(g *mesh.Gap) *envoy.Missing {
	return &envoy.Missing{What: g.What, Why: "could not be read: " + g.Why, Hint: g.NextStep()}
}

// withUnreadPolicies puts the AuthorizationPolicies that were not read where they could
// act: one that asks an external authorizer before tokens are verified, one that denies
// before those that allow, one that allows among those.
// A chain that carries bytes has no 403: it is closed.
func (t *translation) withUnreadPolicies(before []envoy.Filter, authz []*envoy.RBAC, forTCP bool) (first, last []envoy.Filter) {
	refuse, either := mayRefuse, mayDecide
	if forTCP {
		refuse, either = mayClose[:1], mayClose
	}
	for _, u := range t.unreadPolicies {
		first = append(first, &envoy.Opaque{Origin: u.Origin, Missing: u.Missing, May: refuse})
	}
	first = append(first, before...)
	allow := false
	doubt := func() {
		for _, u := range t.unreadPolicies {
			last = append(last, &envoy.Opaque{Origin: u.Origin, Missing: u.Missing, May: either})
		}
	}
	for _, f := range authz {
		if f.Action == envoy.Allow {
			allow = true
			doubt()
		}
		last = append(last, f)
	}
	if !allow {
		doubt()
	}
	return first, last
}

// authorizerUnread is the fact that is missing where it is not known whether the service
// of an external authorizer exists.
func (t *translation) authorizerUnread() *envoy.Missing {
	if len(AuthorizerServices(t.in.Snapshot)) == 0 {
		return nil
	}
	if _, m := t.notRead(mesh.GroupNetworking, "ServiceEntry", ""); m != nil {
		return m
	}
	_, m := t.notRead(mesh.GroupCore, "Service", "")
	return m
}
