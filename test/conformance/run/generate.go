package run

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/jwt"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// The generator's feature flags and its fetches are the process's: a mesh that
// wants another way to fetch keys has the generator alone, and one whose keys
// istiod fetches has the documents alone.
var (
	featureLock sync.RWMutex
	fetchLock   sync.Mutex
	quiet       sync.Once
)

// prepareIstiod switches off what only Istio's own Envoy has (semantics of a
// request do not depend on it) and istiod's logging.
func prepareIstiod() {
	quiet.Do(func() {
		features.MetadataExchange = false
		features.ALPNFilter = false
		features.JwksResolverInsecureSkipVerify = true
		// It would keep each mesh for good.
		krt.GlobalDebugHandler = nil
		prepareRoles()
		for _, scope := range log.Scopes() {
			scope.SetOutputLevel(log.NoneLevel)
		}
	})
}

// generated is what istiod would send to the target's proxy.
type generated struct {
	// listener is istiod's own, nil where there is none on the Case's port.
	listener *listenerv3.Listener
	// clusters are the names of the clusters that istiod sends; they are asked for
	// only where something but the routes may name one.
	clusters map[string]bool
	// identity is the URI SAN of the proxy's certificate.
	identity string
	// none says that a gateway has no listener on the port, so that nobody answers there.
	none bool
	// tunnel is set for waypoints.
	tunnel *tunnel
	// next is set for the first of two hops.
	next *next
}

// generate has istiod's generator build the listener on the Case's port.
func generate(c *judge.Case, docs *jwksServer) (*generated, error) {
	if c.Port < 1 || c.Port > 65535 {
		return nil, fmt.Errorf("%d is no port", c.Port)
	}
	m, err := parseManifest(c.Mesh)
	if err != nil {
		return nil, fmt.Errorf("read the mesh: %w", err)
	}
	w, err := m.target(c)
	if err != nil {
		return nil, err
	}
	cfg, err := mesh.ApplyMeshConfig(m.meshYAML, mesh.DefaultMeshConfig())
	if err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	defer lockFor(c, m)()
	if m.fetches {
		defer docs.serve(c.JWKS)()
	}
	out := &generated{identity: w.identity(cfg)}
	if failed := test.Wrap(func(t test.Failer) { err = out.build(t, c, m, w, cfg) }); failed != nil {
		return nil, fmt.Errorf("istiod's generator: %w", failed)
	}
	return out, err
}

// lockFor takes the locks that the mesh needs and gives what lets them go.
func lockFor(c *judge.Case, m *manifest) func() {
	if c.RemoteJWKS != "" || len(m.flags) > 0 {
		featureLock.Lock()
		before, back := features.JwksFetchMode, setFlags(m.flags)
		features.JwksFetchMode = jwt.ConvertToJwksFetchMode(c.RemoteJWKS)
		return func() {
			features.JwksFetchMode = before
			back()
			featureLock.Unlock()
		}
	}
	featureLock.RLock()
	if !m.fetches {
		return featureLock.RUnlock
	}
	fetchLock.Lock()
	return func() {
		fetchLock.Unlock()
		featureLock.RUnlock()
	}
}

// build runs the generator; it must be called under test.Wrap, which ends what it starts.
func (g *generated) build(t test.Failer, c *judge.Case, m *manifest, w *workload, cfg *meshconfig.MeshConfig) error {
	gen, err := configGen(t, c, m, w, cfg)
	if err != nil {
		return err
	}
	resolver := model.NewJwksResolver(time.Hour, time.Hour, time.Hour, time.Millisecond)
	t.Cleanup(resolver.Close)
	gen.PushContext().JwtKeyResolver = resolver
	node, err := w.proxy(cfg)
	if err != nil {
		return err
	}
	node = gen.SetupProxy(node)
	if c.Via.Target != "" {
		if g.next, err = makeNext(gen, node, m, behindOf(c)); err != nil {
			return err
		}
	}
	if all := gen.Listeners(node); w.waypoint {
		g.listener, g.tunnel = pickTunnel(all, netip.AddrPortFrom(w.address, uint16(c.Port)))
	} else {
		g.listener = pick(all, w.gateway, c.Port)
		g.none = g.listener == nil && w.gateway
	}
	g.clusters = map[string]bool{}
	if c.RemoteJWKS != "" || hasAuthorizer(cfg) {
		for _, cl := range gen.Clusters(node) {
			g.clusters[cl.Name] = true
		}
	}
	return nil
}

// configGen is istiod's generator on the mesh.
func configGen(t test.Failer, c *judge.Case, m *manifest, w *workload, cfg *meshconfig.MeshConfig) (*core.ConfigGenTest, error) {
	if w.gatewayName != "" {
		return newConfigGen(t, m, w, cfg)
	}
	services, instances := m.registry(w, cfg)
	if c.Via.Target != "" {
		back, err := m.target(behindOf(c))
		if err != nil {
			return nil, err
		}
		instances = append(instances, m.instancesOf(back, cfg, services)...)
	}
	return core.NewConfigGenTest(t, core.TestOptions{
		Configs: append(slices.Clone(m.configs), m.asEntry(w)...), Services: services, Instances: instances, MeshConfig: cfg, ClusterID: clusterID,
	}), nil
}

// pick finds the listener that a connection to the port reaches: a gateway's own,
// a sidecar's own (captureMode NONE), or the one that gets all that is redirected.
func pick(all []*listenerv3.Listener, gateway bool, port int) *listenerv3.Listener {
	var virtual *listenerv3.Listener
	for _, l := range all {
		if !gateway && l.GetTrafficDirection() != corev3.TrafficDirection_INBOUND {
			continue
		}
		if l.Name == model.VirtualInboundListenerName {
			virtual = l
			continue
		}
		if int(l.GetAddress().GetSocketAddress().GetPortValue()) == port {
			return l
		}
	}
	return virtual
}

// hasAuthorizer says whether the mesh has an external authorizer that speaks HTTP.
func hasAuthorizer(cfg *meshconfig.MeshConfig) bool {
	for _, p := range cfg.GetExtensionProviders() {
		if p.GetEnvoyExtAuthzHttp() != nil {
			return true
		}
	}
	return false
}
