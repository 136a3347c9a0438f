package run

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/jwt"
	"istio.io/istio/pkg/test"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// Clusters are the clusters that istiod sends to the proxy of a Case's target, by name,
// as they are.
func Clusters(c judge.Case) (map[string]*clusterv3.Cluster, error) {
	prepareIstiod()
	m, err := parseManifest(c.Mesh)
	if err != nil {
		return nil, fmt.Errorf("read the mesh: %w", err)
	}
	w, err := m.target(&c)
	if err != nil {
		return nil, err
	}
	cfg, err := mesh.ApplyMeshConfig(m.meshYAML, mesh.DefaultMeshConfig())
	if err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	featureLock.Lock()
	defer featureLock.Unlock()
	before := features.JwksFetchMode
	features.JwksFetchMode = jwt.ConvertToJwksFetchMode(c.RemoteJWKS)
	defer func() { features.JwksFetchMode = before }()
	out := map[string]*clusterv3.Cluster{}
	if failed := test.Wrap(func(t test.Failer) {
		gen, genErr := configGen(t, &c, m, w, cfg)
		if err = genErr; err != nil {
			return
		}
		node, proxyErr := w.proxy(cfg)
		if err = proxyErr; err != nil {
			return
		}
		for _, cl := range gen.Clusters(gen.SetupProxy(node)) {
			out[cl.Name] = cl
		}
	}); failed != nil {
		return nil, fmt.Errorf("istiod's generator: %w", failed)
	}
	return out, err
}
