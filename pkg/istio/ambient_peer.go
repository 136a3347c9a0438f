package istio

import (
	"slices"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/ztunnel"
)

// The names of the policies that istiod makes of PeerAuthentications
// (Istio pilot/pkg/serviceregistry/ambient/authorization.go,
// pilot/pkg/model/authentication.go:GetAmbientPolicyConfigName).
const (
	strictPolicyName    = "istio_converted_static_strict"
	convertedPeerPrefix = "converted_peer_authentication_"
)

const whyStrict = "a client without identity is refused: mTLS is STRICT"

// peerPolicy is a PeerAuthentication.
type peerPolicy struct {
	object *mesh.Object
	spec   *securityapi.PeerAuthentication
}

// mode is UNSET for a policy that is not there.
func (p *peerPolicy) mode() mtlsMode {
	if p == nil {
		return mtlsUnset
	}
	return p.spec.GetMtls().GetMode()
}

func (p *peerPolicy) at(field string) origin.Origin {
	return origin.Origin{Ref: p.object.Ref(), Field: field}
}

func (p *peerPolicy) port(port uint32) origin.Origin {
	return p.at("spec.portLevelMtls." + itoa(int(port)) + ".mode")
}

// hasPort reports whether some port has one of the modes.
func (p *peerPolicy) hasPort(modes ...mtlsMode) bool {
	for _, m := range p.spec.GetPortLevelMtls() {
		if slices.Contains(modes, m.GetMode()) {
			return true
		}
	}
	return false
}

// ambientPeers makes DENY policies of what PeerAuthentication asks for: istiod tells
// ztunnel nothing else of it. Which policies a workload gets, and what is in them,
// istiod decides in two places that do not always agree; where the first names one
// that the second does not make, nothing is enforced
// (authorization.go:convertedSelectorPeerAuthentications and convertPeerAuthentication).
func (t *translation) ambientPeers() []ztunnel.Policy {
	meshWide, namespaced, workload := t.ambientPeerScopes()
	var strict *peerPolicy
	for _, p := range []*peerPolicy{meshWide, namespaced, workload} {
		switch {
		case p.mode() == mtlsStrict:
			strict = p
		case p.mode() != mtlsUnset:
			strict = nil
		}
	}
	byPort := false
	if workload != nil {
		switch {
		case workload.mode() == mtlsStrict:
			byPort = workload.hasPort(mtlsPermissive, mtlsDisable)
		case strict != nil: // inherited: ports with DISABLE do not count here
			byPort = workload.hasPort(mtlsPermissive)
		default:
			byPort = workload.hasPort(mtlsStrict)
		}
	}
	var out []ztunnel.Policy
	if strict != nil && !byPort {
		at := strict.at("spec.mtls.mode")
		out = append(out, ztunnel.Policy{
			ID: t.mesh.rootNamespace + "/" + strictPolicyName, Scope: ztunnel.ScopeWorkload, Action: ztunnel.Deny, Origin: at,
			Rules: []ztunnel.Rule{{Origin: at, Reason: whyStrict, Clauses: []ztunnel.Clause{withoutIdentity(at)}}},
		})
	}
	if byPort {
		rules := workload.convert(t.unselective(t.in.Workload.Namespace), t.unselective(t.mesh.rootNamespace))
		if len(rules) == 0 {
			t.result.Dropped = append(t.result.Dropped, envoy.Dropped{
				Origin: workload.at("spec.portLevelMtls"),
				Reason: "istiod names a policy for these ports to ztunnel and does not make it, so that mTLS is asked for on no port of the workload",
			})
			return out
		}
		out = append(out, ztunnel.Policy{
			ID: workload.object.Namespace + "/" + convertedPeerPrefix + workload.object.Name, Scope: ztunnel.ScopeWorkload,
			Action: ztunnel.Deny, Rules: rules, Origin: workload.at("spec.portLevelMtls"),
		})
	}
	return out
}

// ambientPeerScopes finds the oldest PeerAuthentication of each scope that reaches
// the workload (workloads.go:fetchPeerAuthentications). From the root namespace, only
// one without any selector does.
func (t *translation) ambientPeerScopes() (meshWide, namespaced, workload *peerPolicy) {
	for _, ns := range t.namespaces(t.in.Workload.Namespace, t.mesh.rootNamespace) {
		for _, p := range t.peerPolicies(ns) {
			selector := p.spec.GetSelector()
			ok, why := t.selected(selector)
			root := ns == t.mesh.rootNamespace
			switch {
			case !ok:
			case root && ns != t.in.Workload.Namespace && selector != nil:
				ok, why = false, "it has a selector, and those of the root namespace count there only"
			case root && len(selector.GetMatchLabels()) > 0:
				ok, why = false, "a selector has no effect in the root namespace"
			case root:
				meshWide = first(meshWide, p)
			case len(selector.GetMatchLabels()) == 0:
				namespaced = first(namespaced, p)
			default:
				workload = first(workload, p)
			}
			t.consider(p.object, ok, why)
			if ok {
				t.newerPeerAuthentication(p.object)
			}
		}
	}
	return meshWide, namespaced, workload
}

func first(a, b *peerPolicy) *peerPolicy {
	if a == nil || b.object.Age() < a.object.Age() {
		return b
	}
	return a
}

// unselective is the oldest PeerAuthentication of a namespace that has no selector at all.
func (t *translation) unselective(namespace string) *peerPolicy {
	var out *peerPolicy
	for _, p := range t.readPeers(namespace, false) {
		if p.spec.GetSelector() == nil {
			out = first(out, p)
		}
	}
	return out
}

func (t *translation) peerPolicies(namespace string) []*peerPolicy {
	return t.readPeers(namespace, true)
}

func (t *translation) readPeers(namespace string, noteGaps bool) []*peerPolicy {
	var out []*peerPolicy
	for _, o := range t.in.Snapshot.InNamespace(mesh.GroupSecurity, "PeerAuthentication", namespace) {
		p := &peerPolicy{object: o, spec: &securityapi.PeerAuthentication{}}
		if noteGaps && t.decode(o, p.spec) || !noteGaps && o.DecodeSpec(p.spec) == nil {
			out = append(out, p)
		}
	}
	return out
}

// convert makes the rules for a workload's policy with modes by port; none where
// istiod makes no policy of it. Each strict port is a rule of its own; all that must
// hold for the other ports, their exceptions and the mode itself, is one more.
func (p *peerPolicy) convert(namespace, root *peerPolicy) []ztunnel.Rule {
	inherited := root.mode() == mtlsStrict && namespace.mode() == mtlsUnset
	var rules []ztunnel.Rule
	var rest []ztunnel.Clause
	by := p.at("spec.mtls.mode")
	exceptions := 0
	if p.mode() == mtlsStrict {
		rest = append(rest, withoutIdentity(by))
	}
	ports := make([]uint32, 0, len(p.spec.GetPortLevelMtls()))
	for port := range p.spec.GetPortLevelMtls() {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	for _, port := range ports {
		switch p.spec.GetPortLevelMtls()[port].GetMode() {
		case mtlsStrict:
			// The mesh's STRICT makes istiod skip the port even where this policy is PERMISSIVE.
			if p.mode() == mtlsStrict || p.mode() == mtlsUnset && namespace.mode() == mtlsStrict || inherited {
				continue
			}
			at := p.port(port)
			cl := withoutIdentity(at)
			cl.Matches[0].Conditions = append(cl.Matches[0].Conditions, portCondition(at, port, false))
			rules = append(rules, ztunnel.Rule{Origin: at, Reason: whyStrict, Clauses: []ztunnel.Clause{cl}})
		case mtlsPermissive, mtlsDisable:
			if p.mode() == mtlsPermissive || p.mode() == mtlsDisable || p.mode() == mtlsUnset && !parentStrict(namespace, root) {
				continue
			}
			exceptions++
			rest = append(rest, ztunnel.Clause{Matches: []ztunnel.Match{{
				Origin: p.port(port), Conditions: []ztunnel.Condition{portCondition(p.port(port), port, true)},
			}}})
		default:
		}
	}
	if p.mode() == mtlsStrict && exceptions == 0 {
		return nil
	}
	if exceptions > 0 && (inherited || namespace.mode() == mtlsStrict) {
		parent := namespace
		if inherited {
			parent = root
		}
		if p.mode() != mtlsStrict {
			by = parent.at("spec.mtls.mode")
		}
		rest = append(rest, withoutIdentity(parent.at("spec.mtls.mode")))
	}
	if len(rest) > 0 {
		rules = append(rules, ztunnel.Rule{Origin: by, Reason: whyStrict, Clauses: rest})
	}
	return rules
}

// parentStrict is what istiod takes for the mode that a port's exception is from. It
// does not look at the mesh's mode where the namespace has a policy of any kind.
func parentStrict(namespace, root *peerPolicy) bool {
	if namespace != nil {
		return namespace.mode() == mtlsStrict
	}
	return root.mode() == mtlsStrict
}

// withoutIdentity matches clients that have no principal.
func withoutIdentity(at origin.Origin) ztunnel.Clause {
	return ztunnel.Clause{Matches: []ztunnel.Match{{Origin: at, Conditions: []ztunnel.Condition{{
		Origin: at, Attribute: "principals", Negated: true, Values: []string{"*"}, Tests: []ztunnel.Test{ztunnel.Principal{String: ztunnel.StringMatch{Kind: ztunnel.Presence}}},
	}}}}}
}

func portCondition(at origin.Origin, port uint32, negated bool) ztunnel.Condition {
	return ztunnel.Condition{
		Origin: at, Attribute: "ports", Negated: negated, Values: []string{itoa(int(port))}, Tests: []ztunnel.Test{ztunnel.DestinationPort{Port: uint16(port)}},
	}
}
