package istio

import "github.com/asmjwt/kubectl-asmjwt/pkg/mesh"

// Scope is what the mesh's own configuration says about where policies count.
type Scope struct {
	// RootNamespace is where policies count for the whole mesh.
	RootNamespace, TrustDomain string
}

// ScopeOf reads the mesh configuration, or gives its defaults.
func ScopeOf(s *mesh.Snapshot) (Scope, error) {
	m, _, err := readMeshConfig(s, "")
	return Scope{RootNamespace: m.rootNamespace, TrustDomain: m.trustDomain}, err
}
