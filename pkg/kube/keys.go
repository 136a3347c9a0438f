package kube

import (
	"context"
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// KeyQuestion is whose keys are asked about.
type KeyQuestion struct {
	// Target is a workload; the zero Place: all of Namespace, or with All of every one.
	Target    Place
	Namespace string
	All       bool
}

// ExtraAuthorities begins the names of the ConfigMaps with the authorities that istiod
// believes besides the system's, in extra.pem; the revision follows.
const ExtraAuthorities = "pilot-jwks-extra-cacerts"

// groupDiscovery is the API group of EndpointSlices.
const groupDiscovery = "discovery.k8s.io"

// CollectKeys reads what decides about the keys of the workloads: their policies, the
// control plane's settings, and what of the mesh is between a key server and those who
// fetch from it. It is like Collect in everything else.
func CollectKeys(ctx context.Context, planes *Planes, q KeyQuestion) (*Collection, error) {
	place := q.Target
	if place.isZero() {
		place = Place{Namespace: q.Namespace}
	}
	c := &collector{planes: planes, q: Question{Hops: []Place{place}}, answers: map[query]*answer{}, seen: map[[4]string]bool{}}
	err := c.inWaves(ctx,
		func() ([]query, error) { return c.keysFirst(q), nil },
		func() ([]query, error) { return c.keysSecond(q) },
		func() ([]query, error) { return c.keyServers(q) },
		func() ([]query, error) { return c.behindKeyServers(q) },
	)
	if err != nil {
		return nil, err
	}
	if !q.All {
		if err := c.noNamespace(); err != nil {
			return nil, err
		}
	}
	return c.finish()
}

// keysFirst is what the question names, and what is the same for every question.
func (c *collector) keysFirst(q KeyQuestion) []query {
	ns := q.Namespace
	if q.All {
		ns = ""
	}
	out := append(policies(ns), query{kind: "Service", namespace: ns})
	if !q.All {
		out = append(out, policies(installNamespace)...)
		out = append(out, query{kind: "Namespace", name: ns, plane: dataPlane})
	} else {
		out = append(out, query{kind: "Namespace", plane: dataPlane})
	}
	if q.Target.isZero() {
		out = append(out, pods(ns, ""))
		for _, kind := range []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"} {
			out = append(out, query{group: mesh.GroupApps, kind: kind, namespace: ns, optional: true})
		}
	} else {
		out = append(out, naming(q.Target.Target, q.Target.Namespace)...)
	}
	if c.planes.Split() && !q.All {
		out = append(out, query{kind: "Namespace", name: ns, plane: meshPlane, optional: true})
	}
	if c.planes.Split() {
		out = append(out, query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: meshPlane})
	}
	return append(out,
		query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: dataPlane},
		query{kind: "ConfigMap", namespace: installNamespace, name: ExtraAuthorities, plane: dataPlane, optional: true},
		query{group: mesh.GroupASM, kind: "ASMMeshConfig", name: "default"},
		query{group: mesh.GroupNetworking, kind: "ServiceEntry"}, query{group: mesh.GroupNetworking, kind: "DestinationRule"},
		query{group: mesh.GroupNetworking, kind: "Gateway"}, query{group: mesh.GroupGateway, kind: "Gateway", namespace: ns},
		istiods(installNamespace),
	)
}

// keysSecond is what the target leads to, and the mesh's own places.
func (c *collector) keysSecond(q KeyQuestion) ([]query, error) {
	snap, err := c.snapshot()
	if err != nil {
		return nil, err
	}
	var out []query
	if !q.Target.isZero() {
		out = append(out, c.behind(snap, q.Target)...)
		out = append(out, c.gateways(snap, q.Target)...)
		out = append(out, c.neighbours(snap, q.Target)...)
	}
	out = append(out, c.meshWide(snap)...)
	for _, revision := range istio.Revisions(snap, q.Namespace) {
		out = append(out, query{kind: "ConfigMap", namespace: installNamespace, name: ExtraAuthorities + "-" + revision, plane: dataPlane, optional: true})
	}
	if root := istioRoot(snap); root != installNamespace {
		out = append(out, istiods(root))
	}
	// Who may not list them everywhere may still see those of the place.
	for _, kind := range []string{"ServiceEntry", "DestinationRule"} {
		if a := c.answers[query{group: mesh.GroupNetworking, kind: kind}]; a != nil && a.err != nil {
			for _, ns := range []string{q.Namespace, istioRoot(snap)} {
				out = append(out, query{group: mesh.GroupNetworking, kind: kind, namespace: ns})
			}
		}
	}
	return out, nil
}

// places are the Services that the rules of the namespaces that count fetch from.
func (c *collector) places(q KeyQuestion) ([]Place, *mesh.Snapshot, error) {
	snap, err := c.snapshot()
	if err != nil {
		return nil, nil, err
	}
	namespaces := []string{q.Namespace, istioRoot(snap)}
	if q.All {
		namespaces = nil
	}
	var out []Place
	for _, a := range keycheck.Addresses(snap, namespaces) {
		p := Place{Target: mesh.Target{Type: mesh.TypeService, Name: a.Service}, Namespace: a.Namespace}
		if a.Service != "" && validName(a.Service) && validName(a.Namespace) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, snap, nil
}

// validName keeps everything out of a path that is no name of an object.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) < 64
}

// keyServers are the Services that keys are fetched from, with their endpoints, and the
// policies that guard them.
func (c *collector) keyServers(q KeyQuestion) ([]query, error) {
	found, _, err := c.places(q)
	if err != nil {
		return nil, err
	}
	var out []query
	for _, p := range found {
		if !q.All {
			out = append(out, query{kind: "Service", namespace: p.Namespace, name: p.Target.Name})
			out = append(out, query{kind: "Namespace", name: p.Namespace, plane: dataPlane})
			for _, kind := range []string{"PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication"} {
				out = append(out, query{group: mesh.GroupSecurity, kind: kind, namespace: p.Namespace})
			}
		}
		out = append(out, query{
			group: groupDiscovery, kind: "EndpointSlice", namespace: p.Namespace, labels: "kubernetes.io/service-name=" + p.Target.Name, plane: dataPlane,
		})
	}
	return out, nil
}

// behindKeyServers are the pods behind them.
func (c *collector) behindKeyServers(q KeyQuestion) ([]query, error) {
	found, snap, err := c.places(q)
	if err != nil || q.All {
		return nil, err
	}
	var out []query
	for _, p := range found {
		o := snap.Find(mesh.GroupCore, "Service", p.Namespace, p.Target.Name)
		if o == nil {
			continue
		}
		out = append(out, pods(p.Namespace, ""))
		out = append(out, c.behind(snap, p)...)
	}
	return out, nil
}
