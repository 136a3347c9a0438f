package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Question is what a snapshot is collected for.
type Question struct {
	// Hops are the workloads that a request passes, one after the other; the last one is
	// the target.
	Hops []Place
	// From is the workload that calls; the zero Place stands for nobody in particular.
	From Place
	// Around asks for what else is in the target's namespace, too: its other pods, and its
	// ServiceEntries and DestinationRules.
	Around bool
	// Fragment says that the path has a fragment, or may have one: ProxyConfigs decide
	// about those, and about nothing else.
	Fragment bool
	// Changes are objects that will be laid on top of what is read, for a second answer:
	// what that hangs on is read too.
	Changes []*mesh.Object
}

// Place is a target in a namespace.
type Place struct {
	Target    mesh.Target
	Namespace string
}

func (p Place) isZero() bool { return p == Place{} }

// target is the last hop.
func (q Question) target() Place { return q.Hops[len(q.Hops)-1] }

// installNamespace is where Istio is installed and, unless its configuration says
// otherwise, where the objects for the whole mesh are.
const installNamespace = "istio-system"

// Collect reads what the answer to one question needs, and nothing else: no Secrets, and
// of the policies only those of namespaces that count. It asks in two waves, each at
// once; a third one is only for waypoints and meshes that keep things elsewhere. What
// cannot be read is a gap of the snapshot that names the right that is lacking. Errors
// are for a server that cannot be asked at all, and for an interrupt.
func Collect(ctx context.Context, planes *Planes, q Question) (*Collection, error) {
	c := &collector{planes: planes, q: q, answers: map[query]*answer{}, seen: map[[4]string]bool{}}
	return c.collect(ctx)
}

func (c *collector) collect(ctx context.Context) (*Collection, error) {
	if err := c.inWaves(ctx, c.first, c.second, c.third); err != nil {
		return nil, err
	}
	if err := c.noNamespace(); err != nil {
		return nil, err
	}
	return c.finish()
}

// inWaves reads what each wave wants; a later one may build on what was read. Errors are
// for a server that is not the one that was meant, or gave no answer at all.
func (c *collector) inWaves(ctx context.Context, waves ...func() ([]query, error)) error {
	for _, next := range waves {
		reads, err := next()
		if err != nil {
			return err
		}
		if err := c.wave(ctx, reads); err != nil {
			return err
		}
	}
	if err := c.wrongServer(ctx); err != nil {
		return err
	}
	return c.unreachable()
}

// Collection is what was read for one question.
type Collection struct {
	Snapshot *mesh.Snapshot
	// NamespaceMissing says that the mesh's own API server does not have the target's
	// namespace, so that it can have no policies for it.
	NamespaceMissing bool
	// Waves is how many times requests were sent, all at once each time, without that
	// for discovery.
	Waves int
}

// noNamespace is the error where the target's namespace does not exist.
func (c *collector) noNamespace() error {
	for _, h := range c.q.Hops {
		if a := c.answers[query{kind: "Namespace", name: h.Namespace, plane: dataPlane}]; a != nil && a.absent {
			return &InputError{
				Problem: fmt.Sprintf("there is no namespace %q in the cluster of %s", h.Namespace, c.planes.Data.flags()),
				Hint:    "kubectl get namespaces lists them: choose one with -n, or another cluster with --context",
			}
		}
	}
	return nil
}

// unreachable is the error where not a single answer came.
func (c *collector) unreachable() error {
	var first error
	for _, a := range c.answers {
		var status *statusError
		switch {
		case a.err == nil && !a.absent, errors.As(a.err, &status):
			return nil
		case a.err != nil && first == nil:
			first = a.err
		}
	}
	if first == nil {
		return nil
	}
	return c.planes.Data.unreachable(first)
}

// collector reads for one question.
type collector struct {
	planes  *Planes
	q       Question
	answers map[query]*answer
	seen    map[[4]string]bool
	objects []*mesh.Object
	gaps    []mesh.Gap
	waves   int
}

// snapshot is what was read so far.
func (c *collector) snapshot() (*mesh.Snapshot, error) { return mesh.NewSnapshot(c.objects, nil) }

// policyKinds are the kinds that a namespace's policies and the mesh's may be of.
// PeerAuthentication is first: it is the shortest list. It is never written to.
var policyKinds = []struct{ group, kind string }{
	{mesh.GroupSecurity, "PeerAuthentication"},
	{mesh.GroupSecurity, "RequestAuthentication"},
	{mesh.GroupSecurity, "AuthorizationPolicy"},
	{mesh.GroupNetworking, "Sidecar"},
	{mesh.GroupNetworking, "EnvoyFilter"},
	{mesh.GroupNetworking, "ProxyConfig"},
	{mesh.GroupExtensions, "WasmPlugin"},
	{mesh.GroupExtensions, "TrafficExtension"},
}

// policies are the lists of what can change a proxy in a namespace; of all of them where
// it is empty.
func policies(namespace string) []query {
	var out []query
	for _, k := range policyKinds {
		out = append(out, query{group: k.group, kind: k.kind, namespace: namespace})
	}
	return out
}

// policies are those that the question can hang on.
func (c *collector) policies(namespace string) []query {
	return slices.DeleteFunc(policies(namespace), func(r query) bool { return r.kind == "ProxyConfig" && !c.q.Fragment })
}

// policiesOf are those of a hop's namespace. No Sidecar is for what is named as a gateway.
func (c *collector) policiesOf(h Place) []query {
	out := c.policies(h.Namespace)
	if h.Target.Type == mesh.TypeGateway || h.Target.Type == mesh.TypeIstioGateway {
		return withoutSidecars(out)
	}
	return out
}

func withoutSidecars(in []query) []query {
	return slices.DeleteFunc(in, func(r query) bool { return r.kind == "Sidecar" })
}

// onlyGateways reports whether all hops are gateways, as far as is known by now.
func (c *collector) onlyGateways(snap *mesh.Snapshot) bool {
	asked := c.answers[query{group: mesh.GroupNetworking, kind: "Gateway"}] != nil
	for _, h := range c.q.Hops {
		workloads, err := snap.Resolve(h.Target, h.Namespace)
		if err != nil {
			return false
		}
		for _, w := range workloads {
			if istio.RoleOf(snap, w) != envoy.RoleGateway && (asked || !istio.MayBeGateway(w)) {
				return false
			}
		}
	}
	return true
}

// first is what the question names.
func (c *collector) first() ([]query, error) {
	var out []query
	for _, h := range c.q.Hops {
		out = append(out, c.policiesOf(h)...)
		out = append(out, query{kind: "Namespace", name: h.Namespace, plane: dataPlane}, query{kind: "Service", namespace: h.Namespace},
			query{group: mesh.GroupNetworking, kind: "ServiceEntry", namespace: h.Namespace})
		out = append(out, naming(h.Target, h.Namespace)...)
		if len(c.q.Hops) > 1 {
			out = append(out, destinationRules(h.Namespace), destinationRules(installNamespace))
		}
	}
	if last := c.q.target(); len(c.q.Hops) == 1 {
		out = append(out, c.policiesOf(Place{Target: last.Target, Namespace: installNamespace})...)
	} else {
		out = append(out, c.policies(installNamespace)...)
	}
	if len(c.q.Hops) > 1 {
		out = append(out, routes()...)
	}
	if c.planes.Split() {
		out = append(out, query{kind: "Namespace", name: c.q.target().Namespace, plane: meshPlane, optional: true},
			query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: meshPlane})
	}
	out = append(out, query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: dataPlane},
		query{group: mesh.GroupASM, kind: "ASMMeshConfig", name: "default"})
	if ns := c.q.target().Namespace; c.q.Around {
		out = append(out, pods(ns, ""), query{group: mesh.GroupNetworking, kind: "ServiceEntry", namespace: ns}, destinationRules(ns))
	}
	if from := c.q.From; !from.isZero() {
		out = append(out, naming(from.Target, from.Namespace)...)
		out = append(out, query{kind: "Namespace", name: from.Namespace, plane: dataPlane})
	}
	return out, nil
}

// destinationRules say how one hop connects to the next.
func destinationRules(namespace string) query {
	return query{group: mesh.GroupNetworking, kind: "DestinationRule", namespace: namespace}
}

// routes say where a gateway sends a request, and what it makes of it. They may be in
// any namespace.
func routes() []query {
	return []query{
		{group: mesh.GroupNetworking, kind: "VirtualService"}, {group: mesh.GroupGateway, kind: "HTTPRoute"},
		{group: mesh.GroupGateway, kind: "GRPCRoute"},
	}
}

// naming is what a target's name alone leads to.
func naming(t mesh.Target, namespace string) []query {
	group, kind := t.GroupKind()
	get := query{group: group, kind: kind, namespace: namespace, name: t.Name}
	switch t.Type {
	case mesh.TypeService:
		// Which pods it selects is known only when it was read, and what makes them
		// only after that.
		return []query{{kind: "Service", namespace: namespace}, pods(namespace, "")}
	case mesh.TypeGateway:
		selector := labelGatewayName + "=" + t.Name
		return []query{get, pods(namespace, selector), {group: mesh.GroupApps, kind: "Deployment", namespace: namespace, labels: selector, optional: true}}
	case mesh.TypeIstioGateway:
		return []query{
			get,
			{group: mesh.GroupApps, kind: "Deployment", namespace: namespace, name: t.Name},
			{group: mesh.GroupApps, kind: "Deployment", namespace: namespace, name: "istio-" + t.Name},
		}
	}
	return []query{get}
}

func pods(namespace, selector string) query {
	return query{kind: "Pod", namespace: namespace, labels: selector, fields: livePods}
}

// labelGatewayName is on the pods of a Gateway of the Gateway API.
const labelGatewayName = "gateway.networking.k8s.io/gateway-name"

// second is what the objects of the first wave lead to.
func (c *collector) second() ([]query, error) {
	var out []query
	err := c.eachSnapshot(func(snap *mesh.Snapshot) {
		for _, h := range c.q.Hops {
			out = append(out, c.behind(snap, h)...)
			out = append(out, c.gateways(snap, h)...)
			out = append(out, c.neighbours(snap, h)...)
		}
		if !c.q.From.isZero() {
			out = append(out, c.neighbours(snap, c.q.From)...)
			// Of a caller, the name of a pod's ReplicaSet tells enough.
			out = append(out, slices.DeleteFunc(c.behind(snap, c.q.From), func(r query) bool { return r.kind == "ReplicaSet" && r.name == "" })...)
		}
		out = append(out, c.meshWide(snap)...)
		out = append(out, c.authorizers(snap)...)
	})
	return mergePods(append(out, c.namedByChanges()...)), err
}

// third is for what the second wave turned out to need: the policies of a waypoint's
// other namespaces, and what makes the pods of a Service.
func (c *collector) third() ([]query, error) {
	var out []query
	err := c.eachSnapshot(func(snap *mesh.Snapshot) {
		for _, h := range c.q.Hops {
			out = append(out, c.gateways(snap, h)...)
		}
		out = append(out, c.meshWide(snap)...)
		out = append(out, c.authorizers(snap)...)
	})
	return out, err
}

// eachSnapshot calls f with what was read so far, and with the changes on top of it.
func (c *collector) eachSnapshot(f func(*mesh.Snapshot)) error {
	snap, err := c.snapshot()
	if err != nil {
		return err
	}
	f(snap)
	if len(c.q.Changes) == 0 {
		return nil
	}
	if changed, err := snap.With(c.q.Changes); err == nil { // else that is said where they are used
		f(changed)
	}
	return nil
}

// namedByChanges are the Services to which routes among the changes lead.
func (c *collector) namedByChanges() []query {
	var out []query
	for _, o := range c.q.Changes {
		spec, err := o.RawSpec()
		if err != nil || o.Group() != mesh.GroupNetworking && o.Group() != mesh.GroupGateway {
			continue
		}
		backends(spec, func(name, namespace string) {
			ns := backendNamespace(o, name, namespace)
			out = append(out, query{kind: "Service", namespace: ns}, destinationRules(ns))
		})
	}
	return out
}

// meshWide is what the mesh keeps in another place than istio-system: the configuration
// of the revision that the workload is of, and the policies of another root namespace.
func (c *collector) meshWide(snap *mesh.Snapshot) []query {
	var out []query
	for _, h := range c.q.Hops {
		for _, revision := range istio.Revisions(snap, h.Namespace) {
			out = append(out, query{kind: "ConfigMap", namespace: installNamespace, name: "istio-" + revision, plane: dataPlane})
		}
	}
	if root, err := istio.RootNamespace(snap); err == nil && root != installNamespace {
		of := c.policies(root)
		if c.onlyGateways(snap) {
			of = withoutSidecars(of)
		}
		if out = append(out, of...); len(c.q.Hops) > 1 {
			out = append(out, destinationRules(root))
		}
	}
	return out
}

// finish makes the snapshot. A gap over one object that another server had is none.
func (c *collector) finish() (*Collection, error) {
	gaps := slices.DeleteFunc(c.gaps, func(g mesh.Gap) bool {
		return g.Unread.Name != "" && c.seen[[4]string{g.Unread.Group, g.Unread.Kind, g.Unread.Namespace, g.Unread.Name}]
	})
	snap, err := mesh.NewSnapshot(c.objects, gaps)
	if err != nil {
		return nil, err
	}
	out := &Collection{Snapshot: snap, Waves: c.waves}
	if c.planes.Split() {
		own := c.answers[query{kind: "Namespace", name: c.q.target().Namespace, plane: meshPlane, optional: true}]
		out.NamespaceMissing = own != nil && own.absent
	}
	return out, nil
}

// wrongServer tells that the context is one of the mesh's own API server, which has no
// pods: the question was asked at the wrong place.
func (c *collector) wrongServer(ctx context.Context) error {
	if c.planes.Split() || !c.planes.data.Serves(mesh.GroupSecurity) || c.anyWorkload() {
		return nil
	}
	cluster := c.planes.Data
	empty, err := cluster.hasNoPods(ctx)
	if err != nil || !empty {
		return err
	}
	return &InputError{
		Problem: cluster.flags() + " is the mesh's own API server: it has Istio's objects and no pods",
		Hint:    "choose the cluster that has the workloads with --context or --kubeconfig, and name this one with --mesh-context or --mesh-kubeconfig",
	}
}

// anyWorkload reports whether something was read that is a workload, or might have been.
func (c *collector) anyWorkload() bool {
	for _, o := range c.objects {
		if o.Kind == "Pod" || o.Group() == mesh.GroupApps || o.Group() == mesh.GroupBatch {
			return true
		}
	}
	for r, a := range c.answers {
		if a.err != nil && !isStatus(a.err, http.StatusNotFound) && (r.kind == "Pod" || r.group == mesh.GroupApps || r.group == mesh.GroupBatch) {
			return true
		}
	}
	return false
}

// hasNoPods reports whether there is no pod in any namespace, as far as one may look.
func (c *Cluster) hasNoPods(ctx context.Context) (bool, error) {
	data, _, err := c.get(ctx, []string{"api", "v1", "pods"}, url.Values{"limit": {"1"}}, "application/json")
	switch {
	case ctx.Err() != nil:
		return false, fmt.Errorf("look for pods: %w", ctx.Err())
	case isStatus(err, http.StatusNotFound):
		return true, nil
	case err != nil:
		return false, nil
	}
	objects, err := mesh.Parse(data, mesh.ParseOptions{Server: true})
	return err == nil && len(objects) == 0, nil
}
