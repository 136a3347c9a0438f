package diagnose

import (
	"fmt"
	"slices"
	"strings"

	securityapi "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// mostElsewhere is how many policies of other namespaces are looked at.
const mostElsewhere = 2000

// targeted is what policies that have a target have in common.
type targeted interface {
	GetSelector() *typeapi.WorkloadSelector
	GetTargetRef() *typeapi.PolicyTargetReference
	GetTargetRefs() []*typeapi.PolicyTargetReference
}

// targetOf reads what a policy is for.
func targetOf(o *mesh.Object) (targeted, bool) {
	switch o.Kind {
	case "AuthorizationPolicy":
		shared, err := o.SharedSpec(func() any { return &securityapi.AuthorizationPolicy{} })
		spec, ok := shared.(*securityapi.AuthorizationPolicy)
		return spec, ok && err == nil
	case "RequestAuthentication":
		spec := &securityapi.RequestAuthentication{}
		return spec, o.DecodeSpec(spec) == nil
	}
	return nil, false
}

// misses notices policies that do not reach the workload and look as if they were
// meant to: by a label, by targetRefs, or by their namespace.
func (s *story) misses() []Finding {
	var out []Finding
	reached := false
	for _, c := range s.res.Considered {
		if c.Attached {
			reached = reached || c.Kind != "PeerAuthentication"
			continue
		}
		o := s.snap.Find(mesh.GroupSecurity, c.Kind, c.Namespace, c.Name)
		if o == nil {
			continue
		}
		at := origin.Origin{Ref: c.Ref}
		if labels, plain := o.PlainSelector(); plain && s.res.Proxy.Role != envoy.RoleWaypoint {
			if why := nearLabels(labels, s.w.Labels); why != "" {
				out = append(out, found(diag.SelectorMisses, diag.Warning, at.At("spec.selector.matchLabels"), why))
			}
			continue
		}
		t, ok := targetOf(o)
		if !ok {
			continue
		}
		refs := t.GetTargetRefs()
		if t.GetTargetRef() != nil {
			refs = append(slices.Clone(refs), t.GetTargetRef())
		}
		switch {
		case len(refs) > 0:
			if why := s.refMeans(refs, c.Why); why != "" {
				out = append(out, found(diag.TargetRefIgnored, diag.Warning, at.At("spec.targetRefs"), why))
			}
		case s.res.Proxy.Role == envoy.RoleWaypoint:
			out = append(out, found(diag.TargetRefIgnored, diag.Warning, at, "it does not reach the workload: "+c.Why))
		default:
			if why := nearLabels(t.GetSelector().GetMatchLabels(), s.w.Labels); why != "" {
				out = append(out, found(diag.SelectorMisses, diag.Warning, at.At("spec.selector.matchLabels"), why))
			}
		}
	}
	if !reached && s.trace.Verdict.Decision == envoy.Allowed {
		out = append(out, s.otherNamespaces()...)
	}
	return out
}

// refMeans says why targetRefs that mean this workload, most likely, are not heeded.
func (s *story) refMeans(refs []*typeapi.PolicyTargetReference, why string) string {
	role := s.res.Proxy.Role
	for _, r := range refs {
		service := r.GetKind() == "Service" && slices.ContainsFunc(s.port.Services, func(sp istio.ServicePort) bool { return sp.Service == r.GetName() })
		switch {
		case role == envoy.RoleGateway && r.GetKind() == "Gateway" && r.GetGroup() == mesh.GroupNetworking:
			return "its targetRef means the classic Gateway " + r.GetName() + " (" + mesh.GroupNetworking + "), which is never heeded: a classic gateway is selected by labels"
		case role == envoy.RoleGateway && r.GetKind() == "Gateway", service:
			return why
		}
	}
	return ""
}

// nearLabels says how a selector misses the labels of pods by a little: one label that
// is spelt otherwise, or whose value is, while all others fit.
func nearLabels(want, have map[string]string) string {
	var off []string
	for k, v := range want {
		if have[k] != v {
			off = append(off, k)
		}
	}
	if len(off) != 1 {
		return ""
	}
	k := off[0]
	label := k + "=" + want[k]
	if got, ok := have[k]; ok {
		if alike(got, want[k]) {
			return fmt.Sprintf("its selector has %s, and the pods have %s=%s", label, k, got)
		}
		return ""
	}
	keys := make([]string, 0, len(have))
	for h := range have {
		keys = append(keys, h)
	}
	slices.Sort(keys)
	for _, h := range keys {
		if have[h] == want[k] || alike(h, k) && alike(have[h], want[k]) {
			return fmt.Sprintf("its selector has %s, and the pods have %s=%s", label, h, have[h])
		}
	}
	return ""
}

// alike reports whether two names look like the same, mistyped.
func alike(a, b string) bool {
	const typos = 2
	if a == b || strings.EqualFold(a, b) {
		return true
	}
	return len(a) > 3 && len(b) > 3 && edits(a, b, typos) <= typos ||
		len(a) > 2 && len(b) > 2 && (strings.HasPrefix(a, b+"-") || strings.HasPrefix(b, a+"-"))
}

// otherNamespaces notices policies that would select the workload and stand in a
// namespace from which they do not reach it.
func (s *story) otherNamespaces() []Finding {
	var out []Finding
	looked := 0
	for _, kind := range []string{"RequestAuthentication", "AuthorizationPolicy"} {
		for _, o := range s.snap.Kind(mesh.GroupSecurity, kind) {
			if o.Namespace == s.w.Namespace || o.Namespace == s.res.RootNamespace {
				continue
			}
			if looked++; looked > mostElsewhere || len(out) == mostAlike {
				return out
			}
			t, ok := targetOf(o)
			if !ok || !selects(t.GetSelector().GetMatchLabels(), s.w.Labels) {
				continue
			}
			out = append(out, found(diag.OtherNamespace, diag.Warning, origin.Origin{Ref: o.Ref(), Field: "metadata.namespace"},
				fmt.Sprintf("its selector fits the pods, and it stands in %s: it reaches workloads of that namespace alone, and this one is in %s", o.Namespace, s.w.Namespace)))
		}
	}
	return out
}

// selects reports whether labels that are wanted, at least one, are all there.
func selects(want, have map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return len(want) > 0
}
