package istio

import (
	"fmt"
	"slices"

	securityapi "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// gatewayNameLabel marks the proxies of Gateway API gateways
// (label.IoK8sNetworkingGatewayGatewayName of istio.io/api/label).
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// targetable is what AuthorizationPolicy and RequestAuthentication have in common.
type targetable interface {
	GetSelector() *typeapi.WorkloadSelector
	GetTargetRef() *typeapi.PolicyTargetReference
	GetTargetRefs() []*typeapi.PolicyTargetReference
}

func (t *translation) selected(s *typeapi.WorkloadSelector) (bool, string) {
	if s == nil {
		return true, ""
	}
	for _, k := range sortedKeys(s.GetMatchLabels()) {
		want := s.GetMatchLabels()[k]
		got, ok := t.in.Workload.Labels[k]
		if !ok {
			return false, fmt.Sprintf("its selector wants the label %s=%s, which the pods do not have", k, want)
		}
		if got != want {
			return false, fmt.Sprintf("its selector wants the label %s=%s, the pods have %s=%s", k, want, k, got)
		}
	}
	return true, ""
}

// placeLabels are those that istiod gives a proxy besides its pod's: where it runs
// (Istio pilot/pkg/serviceregistry/util/label/label.go:AugmentLabels). Nobody writes them.
var placeLabels = map[string]bool{
	"topology.kubernetes.io/region": true, "topology.kubernetes.io/zone": true, "topology.istio.io/subzone": true,
	"topology.istio.io/cluster": true, "topology.istio.io/network": true, "kubernetes.io/hostname": true,
}

// byPlace notes an object whose selector wants labels of where the pods run, which are
// not known, and nothing else that they do not have.
func (t *translation) byPlace(o *mesh.Object, s *typeapi.WorkloadSelector, may []envoy.Verdict) {
	key := ""
	for _, k := range sortedKeys(s.GetMatchLabels()) {
		got, has := t.in.Workload.Labels[k]
		switch {
		case !has && placeLabels[k]:
			key = k
		case got != s.GetMatchLabels()[k] || !has:
			return
		}
	}
	if key != "" {
		t.changed(origin.Origin{Ref: o.Ref(), Field: "spec.selector"}, &envoy.Missing{
			What: "whether the proxy has the label " + key + " that " + o.Ref().String() + " selects by", Why: "istiod adds it by where the pods run",
			Hint: "look at the proxy's config_dump",
		}, may)
	}
}

// namespaces are those whose policies can reach the workload, each once: those that
// are given, and that of the Service that a waypoint is asked for.
func (t *translation) namespaces(first, second string) []string {
	all := []string{first, second}
	if t.in.Service != nil && !t.atTunnel {
		all = append(all, t.in.Service.Namespace)
	}
	var out []string
	for _, ns := range all {
		if !slices.Contains(out, ns) {
			out = append(out, ns)
		}
	}
	return out
}

// authzPolicies lists the AuthorizationPolicies that reach the proxy
// (Istio pilot/pkg/model/authorization.go:ListAuthorizationPolicies).
func (t *translation) authzPolicies() []authzPolicy {
	var out []authzPolicy
	for _, ns := range t.namespaces(t.mesh.rootNamespace, t.in.Workload.Namespace) {
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupSecurity, "AuthorizationPolicy", ns) {
			if why := t.forOthers(o); why != "" {
				if labels, ok := o.PlainSelector(); ok {
					t.byPlace(o, &typeapi.WorkloadSelector{MatchLabels: labels}, mayDeny)
				}
				t.consider(o, false, why)
				continue
			}
			shared, err := o.SharedSpec(func() any { return &securityapi.AuthorizationPolicy{} })
			spec, readable := shared.(*securityapi.AuthorizationPolicy)
			if !t.readable(o, err) || !readable {
				continue
			}
			ok, why := t.attached(o, spec)
			t.consider(o, ok, why)
			if !ok {
				t.placed(o, spec, mayDeny)
			}
			if ok {
				out = append(out, authzPolicy{
					object: o, spec: spec, dryRun: isDryRun(o) && !t.planes.lacks(version.DryRun),
					dropped: t.droppedRefs(o.Ref(), spec), newer: t.newerFields(o),
				})
			}
		}
	}
	if !t.atTunnel {
		t.elsewhere("AuthorizationPolicy")
	}
	return out
}

// placed is byPlace for what heeds its selector at this proxy.
func (t *translation) placed(o *mesh.Object, p targetable, may []envoy.Verdict) {
	_, isGateway := t.in.Workload.Labels[gatewayNameLabel]
	refs, _ := t.refs(p)
	if len(refs) > 0 || isGateway && t.proxy.Role == envoy.RoleWaypoint && !t.atTunnel {
		return
	}
	t.byPlace(o, p.GetSelector(), may)
}

// forOthers says of a policy why it is for other pods, as far as its selector alone
// tells; empty where it does not.
func (t *translation) forOthers(o *mesh.Object) string {
	if _, isGateway := t.in.Workload.Labels[gatewayNameLabel]; isGateway {
		return ""
	}
	labels, ok := o.PlainSelector()
	if !ok {
		return ""
	}
	_, why := t.selected(&typeapi.WorkloadSelector{MatchLabels: labels})
	return why
}

// decode reads an object's spec; what cannot be read is a gap.
func (t *translation) decode(o *mesh.Object, spec any) bool { return t.readable(o, o.DecodeSpec(spec)) }

// readable notes an object that could not be read.
func (t *translation) readable(o *mesh.Object, err error) bool {
	if err == nil {
		return true
	}
	t.result.Gaps = append(t.result.Gaps, mesh.Gap{What: o.Ref().String(), Why: err.Error(), Object: o.Ref()})
	t.unreadable(o, err)
	return false
}

// consider notes a policy that was looked at. A waypoint has two places for policies:
// one of them is enough.
func (t *translation) consider(o *mesh.Object, attached bool, why string) {
	ref := o.Ref()
	if i, had := t.result.consideredAt[ref]; had {
		if attached {
			t.result.Considered[i].Attached, t.result.Considered[i].Why = true, ""
		}
		return
	}
	if t.result.consideredAt == nil {
		t.result.consideredAt = map[origin.Ref]int{}
	}
	t.result.consideredAt[ref] = len(t.result.Considered)
	t.result.Considered = append(t.result.Considered, Considered{Ref: ref, Attached: attached, Why: why})
}

// elsewhere counts the policies of a kind in namespaces that cannot reach the workload.
func (t *translation) elsewhere(kind string) {
	n := len(t.in.Snapshot.Kind(mesh.GroupSecurity, kind))
	for _, ns := range t.namespaces(t.in.Workload.Namespace, t.mesh.rootNamespace) {
		n -= len(t.in.Snapshot.InNamespace(mesh.GroupSecurity, kind, ns))
	}
	if n > 0 {
		t.result.Elsewhere = append(t.result.Elsewhere, Elsewhere{Kind: kind, Count: n})
	}
}

// Considered is a policy that was looked at, and whether it reaches the proxy.
type Considered struct {
	origin.Ref
	Attached bool
	Why      string // why it does not
}

// Elsewhere counts policies in other namespaces.
type Elsewhere struct {
	Kind  string
	Count int
}
