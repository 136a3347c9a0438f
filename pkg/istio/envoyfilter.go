package istio

import (
	"fmt"
	"regexp"
	"strings"

	netapi "istio.io/api/networking/v1alpha3"
	typeapi "istio.io/api/type/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// envoyFilterTarget lets an EnvoyFilter be attached as policies are
// (Istio pilot/pkg/model/envoyfilter.go:EnvoyFilterWrapper).
type envoyFilterTarget struct{ spec *netapi.EnvoyFilter }

func (e envoyFilterTarget) GetSelector() *typeapi.WorkloadSelector {
	if e.spec.GetWorkloadSelector() == nil {
		return nil
	}
	return &typeapi.WorkloadSelector{MatchLabels: e.spec.GetWorkloadSelector().GetLabels()}
}

func (e envoyFilterTarget) GetTargetRef() *typeapi.PolicyTargetReference { return nil }

func (e envoyFilterTarget) GetTargetRefs() []*typeapi.PolicyTargetReference {
	return e.spec.GetTargetRefs()
}

// envoyFilter puts an EnvoyFilter that may matter before everything that it can
// change. One that cannot matter is noted with the reason.
func (t *translation) envoyFilter(o *mesh.Object) {
	spec := &netapi.EnvoyFilter{}
	if !t.decode(o, spec) {
		return
	}
	if ok, why := t.attached(o, envoyFilterTarget{spec}); !ok {
		t.skip(o, why)
		return
	}
	var reasons []string
	filters, listener := -1, -1
	for i, p := range spec.GetConfigPatches() {
		why := t.patchSkipped(p)
		switch {
		case why != "":
			reasons = append(reasons, why)
		case p.GetApplyTo() == netapi.EnvoyFilter_HTTP_FILTER || isRoute(p.GetApplyTo()):
			filters = i
		default:
			listener = i
		}
	}
	at := func(i int) origin.Origin {
		return origin.Origin{Ref: o.Ref(), Field: fmt.Sprintf("spec.configPatches[%d]", i)}
	}
	switch {
	case listener >= 0:
		t.counts(o)
		t.changed(at(listener), doing(o, "it changes the listener"), append([]envoy.Verdict{{Decision: envoy.Denied}}, mayDeny...))
	case filters >= 0:
		t.counts(o)
		t.first = append(t.first, &envoy.Opaque{Origin: at(filters), Missing: doing(o, "it changes the HTTP filters"), May: mayDeny})
	case len(reasons) == 0:
		t.skip(o, "it has no patches")
	default:
		t.skip(o, strings.Join(unique(reasons), "; "))
	}
}

func unique(vs []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, v := range vs {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

func isRoute(a netapi.EnvoyFilter_ApplyTo) bool {
	return a == netapi.EnvoyFilter_ROUTE_CONFIGURATION || a == netapi.EnvoyFilter_VIRTUAL_HOST || a == netapi.EnvoyFilter_HTTP_ROUTE
}

// patchSkipped says why a patch cannot matter for what comes in at the port; empty
// where it may (pilot/pkg/networking/core/envoyfilter/{listener_patch,util}.go).
func (t *translation) patchSkipped(p *netapi.EnvoyFilter_EnvoyConfigObjectPatch) string {
	switch a := p.GetApplyTo(); {
	case p.GetPatch() == nil:
		return "a patch without a patch is left out by istiod"
	case a == netapi.EnvoyFilter_CLUSTER:
		return "it changes clusters, behind the decision"
	case a == netapi.EnvoyFilter_EXTENSION_CONFIG:
		return "it adds a configuration that only another filter could use"
	case a == netapi.EnvoyFilter_LISTENER && p.GetPatch().GetOperation() == netapi.EnvoyFilter_Patch_ADD:
		return "it adds another listener"
	case isRoute(a) && !perFilter(p):
		return "it changes routes, behind the decision"
	}
	if why := t.contextSkipped(p.GetMatch().GetContext()); why != "" {
		return why
	}
	if re := p.GetMatch().GetProxy().GetProxyVersion(); re != "" && t.versionExcluded(re) {
		return fmt.Sprintf("its proxyVersion %q does not match %s", re, t.in.ProxyVersion)
	}
	return t.listenerSkipped(p)
}

// perFilter reports whether a patch of a route sets options of filters, which can
// switch JWT or RBAC off for it.
func perFilter(p *netapi.EnvoyFilter_EnvoyConfigObjectPatch) bool {
	text := p.GetPatch().GetValue().String()
	return strings.Contains(text, "typed_per_filter_config") || strings.Contains(text, "typedPerFilterConfig")
}

func (t *translation) contextSkipped(c netapi.EnvoyFilter_PatchContext) string {
	own := netapi.EnvoyFilter_SIDECAR_INBOUND
	switch t.proxy.Role {
	case envoy.RoleGateway:
		own = netapi.EnvoyFilter_GATEWAY
	case envoy.RoleWaypoint:
		own = netapi.EnvoyFilter_WAYPOINT
	}
	if c == netapi.EnvoyFilter_ANY || c == own {
		return ""
	}
	return "its context is " + c.String() + ", and the request comes in at a " + string(t.proxy.Role)
}

// versionExcluded reports whether the proxy's version surely does not match.
func (t *translation) versionExcluded(expr string) bool {
	v := t.in.ProxyVersion
	const longest = 1024
	if len(expr) > longest {
		return true
	}
	re, err := regexp.Compile(expr)
	if err != nil || v.IsZero() {
		return false
	}
	numbers := fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
	return !re.MatchString(v.String()) && !re.MatchString(strings.TrimPrefix(v.String(), "v")) && !re.MatchString(numbers)
}

// listenerSkipped compares the patch's listener with the one of the request.
func (t *translation) listenerSkipped(p *netapi.EnvoyFilter_EnvoyConfigObjectPatch) string {
	l := p.GetMatch().GetListener()
	if l == nil || p.GetApplyTo() == netapi.EnvoyFilter_BOOTSTRAP {
		return ""
	}
	const inbound = "virtualInbound"
	own, port := inbound, t.in.Port
	if t.proxy.Role == envoy.RoleGateway {
		own = fmt.Sprintf("0.0.0.0_%d", port)
	}
	if l.GetName() != "" && l.GetName() != own {
		return fmt.Sprintf("its listener is %q, the request's is %q", l.GetName(), own)
	}
	if p.GetApplyTo() == netapi.EnvoyFilter_LISTENER_FILTER && own == inbound {
		return ""
	}
	if p.GetApplyTo() == netapi.EnvoyFilter_LISTENER && own == inbound {
		port = 15006
	}
	if n := int(l.GetPortNumber()); n != 0 && n != port {
		return fmt.Sprintf("its port is %d, the request's is %d", n, port)
	}
	return ""
}
