package istio

import (
	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

type mtlsMode = securityapi.PeerAuthentication_MutualTLS_Mode

const (
	mtlsUnset      = securityapi.PeerAuthentication_MutualTLS_UNSET
	mtlsDisable    = securityapi.PeerAuthentication_MutualTLS_DISABLE
	mtlsPermissive = securityapi.PeerAuthentication_MutualTLS_PERMISSIVE
	mtlsStrict     = securityapi.PeerAuthentication_MutualTLS_STRICT
)

// peerMode is the effective mode of a port, and what decided on it.
type peerMode struct {
	mode   mtlsMode
	origin origin.Origin
	// workload is the policy of the workload itself, levels are its ports.
	workload *mesh.Object
	levels   map[uint32]*securityapi.PeerAuthentication_MutualTLS
}

// peerAuthentication finds the mode of a container port: the workload's policy
// wins over the namespace's, that over the mesh's; of several at one scope the
// oldest counts (Istio pilot/pkg/security/authn/policy_applier.go:ComposePeerAuthentication).
func (t *translation) peerAuthentication(port int) peerMode {
	var meshWide, namespaced, workload *mesh.Object
	specs := map[*mesh.Object]*securityapi.PeerAuthentication{}
	first := func(slot **mesh.Object, o *mesh.Object) {
		if *slot == nil || o.Age() < (*slot).Age() {
			*slot = o
		}
	}
	for _, ns := range t.namespaces(t.in.Workload.Namespace, t.mesh.rootNamespace) {
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupSecurity, "PeerAuthentication", ns) {
			spec := &securityapi.PeerAuthentication{}
			if !t.decode(o, spec) {
				continue
			}
			ok, why := t.selected(spec.GetSelector())
			t.consider(o, ok, why)
			if !ok {
				t.byPlace(o, spec.GetSelector(), mayClose)
				continue
			}
			t.newerPeerAuthentication(o)
			specs[o] = spec
			switch {
			case len(spec.GetSelector().GetMatchLabels()) == 0 && ns == t.mesh.rootNamespace:
				first(&meshWide, o)
			case len(spec.GetSelector().GetMatchLabels()) == 0:
				first(&namespaced, o)
			case ns != t.mesh.rootNamespace:
				first(&workload, o)
			}
		}
	}
	out := peerMode{mode: mtlsPermissive}
	for _, o := range []*mesh.Object{meshWide, namespaced, workload} {
		if o != nil && specs[o].GetMtls().GetMode() != mtlsUnset {
			out.mode, out.origin = specs[o].GetMtls().GetMode(), origin.Origin{Ref: o.Ref(), Field: "spec.mtls.mode"}
		}
	}
	if workload != nil {
		out.workload, out.levels = workload, specs[workload].GetPortLevelMtls()
		if m, ok := specs[workload].GetPortLevelMtls()[uint32(port)]; ok && m.GetMode() != mtlsUnset {
			out.mode, out.origin = m.GetMode(), levelOrigin(workload, port)
		}
	}
	return out
}

func levelOrigin(o *mesh.Object, port int) origin.Origin {
	return origin.Origin{Ref: o.Ref(), Field: "spec.portLevelMtls." + itoa(port) + ".mode"}
}

// namespaceDisables reports whether the PeerAuthentication of a namespace, else that of the
// mesh, turns mTLS off. Clients then use none by themselves, whatever a workload's own policy
// wants (Istio pilot/pkg/model/push_context.go:BestEffortInferServiceMTLSMode,
// pilot/pkg/networking/core/cluster_tls.go:buildUpstreamTLSSettings).
func namespaceDisables(s *mesh.Snapshot, root, namespace string) bool {
	for _, ns := range []string{namespace, root} {
		if m := plainMode(s, ns); m != mtlsUnset {
			return m == mtlsDisable
		}
	}
	return false
}

// plainMode is the mode of the oldest policy of a namespace that selects no workload.
func plainMode(s *mesh.Snapshot, namespace string) mtlsMode {
	for _, o := range s.InNamespace(mesh.GroupSecurity, "PeerAuthentication", namespace) { // the oldest first
		spec := &securityapi.PeerAuthentication{}
		if o.DecodeSpec(spec) == nil && len(spec.GetSelector().GetMatchLabels()) == 0 {
			return spec.GetMtls().GetMode()
		}
	}
	return mtlsUnset
}
