package istio

import (
	"slices"
	"strconv"
	"strings"

	securityapi "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/ztunnel"
)

// Labels and annotations of ambient (Istio pkg/config/constants/constants.go and
// istio.io/api/label, istio.io/api/annotation).
const (
	labelDataplaneMode    = "istio.io/dataplane-mode"
	annotationRedirection = "ambient.istio.io/redirection"
	labelTunnel           = "networking.istio.io/tunnel"
	modeAmbient           = "ambient"
	modeNone              = "none"
)

// Captured reports whether ztunnel stands in front of a workload: Istio's CNI plugin
// takes pods by their own label or their namespace's, and writes an annotation where
// it has done so (Istio manifests/charts/istio-cni/values.yaml:enablementSelectors,
// cni/pkg/util/enablement_selector.go:Matches). A pod with a sidecar is left alone.
func Captured(s *mesh.Snapshot, w mesh.Workload) bool {
	mode, labelled := w.Labels[labelDataplaneMode]
	switch {
	case w.HasSidecar() || w.HostNetwork || labelled && mode == modeNone:
		return false
	case w.Annotations[annotationRedirection] == "enabled" || mode == modeAmbient:
		return true
	}
	ns := s.Find(mesh.GroupCore, "Namespace", "", w.Namespace)
	return ns != nil && ns.Labels[labelDataplaneMode] == modeAmbient
}

// TakesHBONE reports whether other proxies reach a workload through ambient's
// tunnel: ztunnel in front of it does, and a sidecar that was told to
// (Istio pilot/pkg/serviceregistry/ambient/workloads.go:setTunnelProtocol).
func TakesHBONE(s *mesh.Snapshot, w mesh.Workload) bool {
	for _, t := range strings.Split(w.Labels[labelTunnel], ",") {
		if t == "http" {
			return true
		}
	}
	return Captured(s, w)
}

const whyL7 = "ztunnel reads no HTTP"

// ambient makes the policies of ztunnel for the workload. What only proxies that
// read HTTP heed is noted, with the reason.
func (t *translation) ambient() error {
	services, err := t.in.Snapshot.ServicesOf(t.in.Workload)
	if err != nil {
		return err
	}
	t.result.Protocol = ProtocolTCP
	z := &ztunnel.Proxy{TrustDomain: t.mesh.trustDomain}
	t.result.Ztunnel = z
	t.result.Waypoints = t.waypoints(services)
	t.unreadAmbient()
	policies, peers := t.ambientDoubts(t.ambientPolicies(services), t.ambientPeers())
	t.result.Mode, t.result.ModeOrigin = t.ambientMode(peers)
	z.Policies = append(policies, peers...)
	t.ambientAuthentications(services)
	t.result.Assumed = slices.DeleteFunc(t.result.Assumed, func(a Assumption) bool { return a.Setting == "pathNormalization" })
	return nil
}

// ambientPolicies are the AuthorizationPolicies that reach ztunnel for the workload
// (Istio pilot/pkg/serviceregistry/ambient/authorization.go:convertAuthorizationPolicy,
// workloads.go:buildWorkloadPolicies).
func (t *translation) ambientPolicies(services []mesh.Service) []ztunnel.Policy {
	var out []ztunnel.Policy
	for _, ns := range t.namespaces(t.in.Workload.Namespace, t.mesh.rootNamespace) {
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupSecurity, "AuthorizationPolicy", ns) {
			spec := &securityapi.AuthorizationPolicy{}
			if !t.decode(o, spec) {
				continue
			}
			scope, note, why := t.ambientScope(spec.GetSelector(), ns)
			switch {
			case hasTargetRefs(spec):
				why = "it has targetRefs, which ztunnel does not heed"
				t.unenforcedRefs(o, spec, services)
			case why != "": // it would not reach the workload anyhow
			case isDryRun(o):
				why = "it is a dry run, which istiod does not send to ztunnel"
				t.result.Assumed = append(t.result.Assumed, Assumption{"AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY", "false", "default"})
			case spec.GetAction() != securityapi.AuthorizationPolicy_ALLOW && spec.GetAction() != securityapi.AuthorizationPolicy_DENY:
				why = "ztunnel knows no action " + spec.GetAction().String() + ": the whole policy is left out"
				if spec.GetAction() == securityapi.AuthorizationPolicy_CUSTOM {
					t.unenforced(o, why)
				}
			}
			t.consider(o, why == "", why)
			if why != "" {
				continue
			}
			p := t.ambientPolicy(o, spec)
			p.Scope, p.Note = scope, note
			if m := newerMissing(o.Ref(), t.newerFields(o)); m != nil {
				p.Rules = undecidable(p.Origin, m)
			}
			out = append(out, p)
		}
	}
	t.elsewhere("AuthorizationPolicy")
	return out
}

// ambientScope says how a policy gets to the workload, or why it does not. A
// selector without any matchLabels is neither: istiod makes it one for workloads,
// and then finds none.
func (t *translation) ambientScope(selector *typeapi.WorkloadSelector, namespace string) (scope ztunnel.Scope, note, why string) {
	switch {
	case selector == nil && namespace == t.mesh.rootNamespace:
		return ztunnel.ScopeGlobal, "", ""
	case selector == nil:
		return ztunnel.ScopeNamespace, "", ""
	case selector.GetMatchLabels() == nil:
		return ztunnel.ScopeWorkload, "", "its selector is empty, for which istiod finds no workload in ambient mode"
	case len(t.in.Workload.Labels) == 0 && len(selector.GetMatchLabels()) > 0:
		// Istio pkg/kube/krt/filter.go: labels that are nil switch the filter off.
		return ztunnel.ScopeWorkload, "the pod has no labels, and istiod then hands it every policy with a selector", ""
	default:
		_, why = t.selected(selector)
		return ztunnel.ScopeWorkload, "", why
	}
}

func (t *translation) ambientPolicy(o *mesh.Object, spec *securityapi.AuthorizationPolicy) ztunnel.Policy {
	at := origin.Origin{Ref: o.Ref()}
	p := ztunnel.Policy{ID: o.Namespace + "/" + o.Name, Origin: at}
	if spec.GetAction() == securityapi.AuthorizationPolicy_DENY {
		p.Action = ztunnel.Deny
	}
	for i, r := range spec.GetRules() {
		ruleAt := at.At("spec.rules[" + strconv.Itoa(i) + "]")
		if r == nil {
			p.Dropped = append(p.Dropped, envoy.Dropped{Origin: ruleAt, Reason: "an empty entry of rules: it is left out"})
			continue
		}
		c := ambientCompiler{namespace: o.Namespace}
		rule := c.rule(r, ruleAt)
		if p.Action == ztunnel.Allow && len(c.http) > 0 {
			p.Dropped = append(p.Dropped, envoy.Dropped{
				Origin: rule.Origin, Reason: whyL7 + ": istiod leaves out the whole rule, for its " + strings.Join(c.http, ", "),
			})
			continue
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

// ambientAuthentications notes the RequestAuthentications that would reach the
// workload's proxy if it read HTTP.
func (t *translation) ambientAuthentications(services []mesh.Service) {
	for _, ns := range t.namespaces(t.in.Workload.Namespace, t.mesh.rootNamespace) {
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupSecurity, "RequestAuthentication", ns) {
			spec := &securityapi.RequestAuthentication{}
			if !t.decode(o, spec) {
				continue
			}
			if hasTargetRefs(spec) {
				t.consider(o, false, "it has targetRefs, which ztunnel does not heed")
				t.unenforcedRefs(o, spec, services)
				continue
			}
			ok, why := t.selected(spec.GetSelector())
			if ok {
				why = whyL7 + ": a RequestAuthentication has no effect there, only a waypoint could verify tokens"
				t.unenforced(o, why)
			}
			t.consider(o, false, why)
		}
	}
	t.elsewhere("RequestAuthentication")
}

func hasTargetRefs(p targetable) bool { return len(p.GetTargetRefs()) > 0 || p.GetTargetRef() != nil }

// unenforcedRefs notes a policy for a Service of the workload that no waypoint serves.
func (t *translation) unenforcedRefs(o *mesh.Object, p targetable, services []mesh.Service) {
	refs := p.GetTargetRefs()
	if len(refs) == 0 {
		refs = append(refs, p.GetTargetRef())
	}
	for _, ref := range refs {
		for _, s := range services {
			if ref.GetKind() == "Service" && ref.GetName() == s.Name && o.Namespace == s.Namespace && !t.servedByWaypoint(s) {
				t.unenforced(o, "it is for the Service "+s.Name+", which has no waypoint, and nothing else heeds targetRefs")
				return
			}
		}
	}
}

func (t *translation) servedByWaypoint(s mesh.Service) bool {
	for _, w := range t.result.Waypoints {
		if w.Service == s.Name {
			return true
		}
	}
	return false
}

func (t *translation) unenforced(o *mesh.Object, why string) {
	t.result.Unenforced = append(t.result.Unenforced, envoy.Dropped{Origin: origin.Origin{Ref: o.Ref()}, Reason: why})
}

// ambientDoubts puts policies in the place of objects that cannot be read: an
// AuthorizationPolicy may refuse or allow anything, a PeerAuthentication may change
// for whom an identity is asked.
func (t *translation) ambientDoubts(policies, peers []ztunnel.Policy) (withPolicies, withPeers []ztunnel.Policy) {
	for _, c := range t.proxy.Changed {
		p := ztunnel.Policy{
			ID: c.Origin.Namespace + "/" + c.Origin.Name, Scope: ztunnel.ScopeWorkload, Action: ztunnel.Deny,
			Origin: c.Origin, Rules: undecidable(c.Origin, c.Missing),
		}
		switch c.Origin.Kind {
		case "AuthorizationPolicy":
			policies = append(policies, p)
			p.Action = ztunnel.Allow
			policies = append(policies, p)
		case "PeerAuthentication":
			p.Rules[0].Clauses = append(p.Rules[0].Clauses, withoutIdentity(c.Origin))
			peers = []ztunnel.Policy{p}
		}
	}
	return policies, peers
}

func undecidable(at origin.Origin, m *envoy.Missing) []ztunnel.Rule {
	c := ztunnel.Condition{Origin: at, Tests: []ztunnel.Test{ztunnel.Undecidable{Missing: m}}}
	return []ztunnel.Rule{{Origin: at, Reason: m.Why, Clauses: []ztunnel.Clause{{Matches: []ztunnel.Match{{Origin: at, Conditions: []ztunnel.Condition{c}}}}}}}
}

// ambientMode is what PeerAuthentication comes to for the port: ztunnel knows only
// whether a client without identity is refused.
func (t *translation) ambientMode(peers []ztunnel.Policy) (string, origin.Origin) {
	trace := ztunnel.Evaluate(&ztunnel.Proxy{TrustDomain: t.mesh.trustDomain, Policies: peers}, &envoy.Request{
		Connection: envoy.Connection{Transport: envoy.Known(envoy.Plaintext), LocalPort: uint16(t.in.Port)},
	})
	if by := trace.Verdict.DecidedBy; by != nil {
		return mtlsStrict.String(), *by
	}
	if trace.Verdict.Decision == envoy.Undetermined {
		return "", origin.Origin{}
	}
	return mtlsPermissive.String(), origin.Origin{}
}
