package kube

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Find collects for a question that names no target but a host, in lower case and
// without a port: it reads what could take it, in two waves, or in three where only pods
// tell which ones a Gateway selects; asks locate what that is, and reads what the
// question that locate returns needs besides, which mostly is nothing. Where locate finds
// nothing, and not everything could be read, the error says so.
func Find(ctx context.Context, planes *Planes, host string, fragment bool, locate func(*mesh.Snapshot) (Question, error)) (*Collection, error) {
	c := &collector{planes: planes, q: Question{Fragment: fragment}, answers: map[query]*answer{}, seen: map[[4]string]bool{}}
	if err := c.wave(ctx, c.searched()); err != nil {
		return nil, err
	}
	if err := c.unreachable(); err != nil {
		return nil, err
	}
	for _, next := range []func(*mesh.Snapshot, string) []query{c.taking, c.byPods} {
		snap, err := c.snapshot()
		if err != nil {
			return nil, err
		}
		if err := c.wave(ctx, next(snap, host)); err != nil {
			return nil, err
		}
	}
	snap, err := mesh.NewSnapshot(c.objects, c.gaps)
	if err != nil {
		return nil, err
	}
	q, err := locate(snap)
	if err != nil {
		return nil, c.notFound(ctx, err)
	}
	c.q = q
	return c.collect(ctx)
}

// searched is what may have a host of its own.
func (c *collector) searched() []query {
	out := append(c.policies(installNamespace), routes()...)
	out = append(out, query{kind: "Service"}, query{group: mesh.GroupNetworking, kind: "Gateway"}, query{group: mesh.GroupGateway, kind: "Gateway"},
		destinationRules(installNamespace), query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: dataPlane},
		query{group: mesh.GroupASM, kind: "ASMMeshConfig", name: "default"})
	if c.planes.Split() {
		out = append(out, query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: meshPlane})
	}
	return out
}

// mostNamespaces bounds what is read before it is known which of them count.
const mostNamespaces = 8

// taking is what is around the gateways that take a host, and the Services behind them.
func (c *collector) taking(snap *mesh.Snapshot, host string) []query {
	namespaces := map[string]bool{}
	var out []query
	for _, selector := range gatewaySelectors(snap, host) {
		found := false
		for _, o := range snap.Kind(mesh.GroupCore, "Service") {
			if s := serviceSelector(o); len(s) > 0 && mesh.SelectorMatches(selector, s) {
				namespaces[o.Namespace], found = true, true
			}
		}
		if !found { // which only its pods can tell
			out = append(out, pods("", labelSelector(selector)))
		}
	}
	for _, o := range snap.Kind(mesh.GroupGateway, "Gateway") {
		if listens(o, host) {
			namespaces[o.Namespace] = true
			out = append(out, naming(mesh.Target{Type: mesh.TypeGateway, Name: o.Name}, o.Namespace)...)
			out = append(out, apiGateway(snap, o)...)
			out = append(out, istiods(istioRoot(snap)))
		}
	}
	for _, o := range snap.Kind(mesh.GroupCore, "Service") {
		if slices.Contains(addressesOf(o), host) {
			namespaces[o.Namespace] = true
		}
	}
	for ns := range backendNamespaces(snap, host) {
		namespaces[ns] = true
	}
	for _, ns := range slices.Sorted(maps.Keys(namespaces))[:min(len(namespaces), mostNamespaces)] {
		out = append(out, c.around(ns)...)
	}
	return append(out, c.meshWide(snap)...)
}

// byPods is what is around the gateways that only their pods tell.
func (c *collector) byPods(snap *mesh.Snapshot, host string) []query {
	namespaces := map[string]bool{}
	for _, selector := range gatewaySelectors(snap, host) {
		for _, o := range snap.Kind(mesh.GroupCore, "Pod") {
			if mesh.SelectorMatches(selector, o.Labels) {
				namespaces[o.Namespace] = true
			}
		}
	}
	var out []query
	for _, ns := range slices.Sorted(maps.Keys(namespaces))[:min(len(namespaces), mostNamespaces)] {
		out = append(out, c.around(ns)...)
	}
	return out
}

// around is all that a workload of a namespace may hang on, whichever it is.
func (c *collector) around(namespace string) []query {
	out := append(c.policies(namespace), query{kind: "Namespace", name: namespace, plane: dataPlane}, pods(namespace, ""), destinationRules(namespace),
		query{group: mesh.GroupNetworking, kind: "ServiceEntry", namespace: namespace},
		query{group: mesh.GroupApps, kind: "Deployment", namespace: namespace},
		query{group: mesh.GroupApps, kind: "ReplicaSet", namespace: namespace, optional: true},
		query{group: mesh.GroupApps, kind: "StatefulSet", namespace: namespace, optional: true},
		query{group: mesh.GroupApps, kind: "DaemonSet", namespace: namespace, optional: true})
	if c.planes.Split() {
		out = append(out, query{kind: "Namespace", name: namespace, plane: meshPlane, optional: true})
	}
	return out
}

// gatewaySelectors are those of the classic Gateways that take a host, or any host where
// it is an address.
func gatewaySelectors(snap *mesh.Snapshot, host string) []map[string]string {
	var out []map[string]string
	for _, o := range snap.Kind(mesh.GroupNetworking, "Gateway") {
		var spec struct {
			Selector map[string]string `json:"selector"`
			Servers  []struct {
				Hosts []string `json:"hosts"`
			} `json:"servers"`
		}
		if o.DecodeSpec(&spec) != nil || len(spec.Selector) == 0 {
			continue
		}
		fits := false
		for _, s := range spec.Servers {
			for _, h := range s.Hosts {
				_, name, scoped := strings.Cut(h, "/")
				if !scoped {
					name = h
				}
				fits = fits || istio.HostFit(strings.ToLower(name), host) >= 0
			}
		}
		if fits {
			out = append(out, spec.Selector)
		}
	}
	return out
}

// listens reports whether a Gateway of the Gateway API has a listener for a host, or has
// it for an address.
func listens(o *mesh.Object, host string) bool {
	var d struct {
		Spec struct {
			Listeners []struct {
				Hostname string `json:"hostname"`
			} `json:"listeners"`
		} `json:"spec"`
		Status struct {
			Addresses []struct {
				Value string `json:"value"`
			} `json:"addresses"`
		} `json:"status"`
	}
	if o.Decode(&d) != nil {
		return false
	}
	for _, a := range d.Status.Addresses {
		if a.Value == host {
			return true
		}
	}
	for _, l := range d.Spec.Listeners {
		if l.Hostname == "" || istio.HostFit(strings.ToLower(l.Hostname), host) >= 0 {
			return true
		}
	}
	return false
}

// addressesOf are the names and addresses by which a Service is reached from outside,
// and its own.
func addressesOf(o *mesh.Object) []string {
	var d struct {
		Spec struct {
			ClusterIP   string   `json:"clusterIP"`
			ClusterIPs  []string `json:"clusterIPs"`
			ExternalIPs []string `json:"externalIPs"`
		} `json:"spec"`
		Status struct {
			LoadBalancer struct {
				Ingress []struct {
					IP       string `json:"ip"`
					Hostname string `json:"hostname"`
				} `json:"ingress"`
			} `json:"loadBalancer"`
		} `json:"status"`
	}
	if o.Decode(&d) != nil {
		return nil
	}
	out := append(append(d.Spec.ClusterIPs, d.Spec.ExternalIPs...), d.Spec.ClusterIP)
	for _, i := range d.Status.LoadBalancer.Ingress {
		out = append(out, i.IP, i.Hostname)
	}
	return slices.DeleteFunc(out, func(a string) bool { return a == "" })
}

// backendNamespaces are those of the Services to which routes may send requests for a
// host.
func backendNamespaces(snap *mesh.Snapshot, host string) map[string]bool {
	out := map[string]bool{}
	for _, kind := range []struct{ group, kind, hosts string }{
		{mesh.GroupNetworking, "VirtualService", "hosts"}, {mesh.GroupGateway, "HTTPRoute", "hostnames"}, {mesh.GroupGateway, "GRPCRoute", "hostnames"},
	} {
		for _, o := range snap.Kind(kind.group, kind.kind) {
			spec, err := o.RawSpec()
			if err != nil || !takesHost(spec[kind.hosts], host) {
				continue
			}
			backends(spec, func(name, namespace string) {
				out[backendNamespace(o, name, namespace)] = true
			})
		}
	}
	return out
}

// backendNamespace is that of a Service as a route names it.
func backendNamespace(route *mesh.Object, name, namespace string) string {
	if service, rest, dotted := strings.Cut(name, "."); dotted && service != "" {
		namespace, _, _ = strings.Cut(rest, ".")
	}
	if namespace == "" {
		return route.Namespace
	}
	return namespace
}

// takesHost reports whether a route's list of hosts has one that fits; none at all fits
// each.
func takesHost(list any, host string) bool {
	hosts, _ := list.([]any)
	return len(hosts) == 0 || slices.ContainsFunc(hosts, func(h any) bool {
		name, _ := h.(string)
		return istio.HostFit(strings.ToLower(name), host) >= 0
	})
}

// backends calls f for each destination of a VirtualService and each backend of a route.
func backends(value any, f func(name, namespace string)) {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			backends(e, f)
		}
	case map[string]any:
		for key, e := range v {
			part, isMap := e.(map[string]any)
			if name, ok := part["host"].(string); key == "destination" && isMap && ok {
				f(name, "")
				continue
			}
			if refs, isList := e.([]any); key == "backendRefs" && isList {
				for _, ref := range refs {
					r, _ := ref.(map[string]any)
					name, _ := r["name"].(string)
					namespace, _ := r["namespace"].(string)
					f(name, namespace)
				}
				continue
			}
			backends(e, f)
		}
	}
}

// labelSelector is a selector as a query.
func labelSelector(want map[string]string) string {
	var parts []string
	for k, v := range want {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// notFound is why nothing was located: because there is nothing, or because not all
// could be read.
func (c *collector) notFound(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	for _, kind := range []string{"Service", "Gateway", "VirtualService", "HTTPRoute", "Pod", "Deployment"} {
		for r, a := range c.answers {
			if r.kind != kind || a.gap == nil || r.optional || isStatus(a.err, http.StatusNotFound) {
				continue
			}
			e := &UnavailableError{Problem: err.Error() + "; " + a.gap.What + " could not be read: " + a.gap.Why, Err: errors.Join(err, a.err)}
			if e.Hint = "ask for: " + a.gap.Permission; a.gap.Permission == "" {
				e.Hint = a.gap.Hint
			}
			return e
		}
	}
	return err
}

// LacksService reports whether it is certain that there is no such Service.
func (p *Planes) LacksService(ctx context.Context, namespace, name string) bool {
	cluster, res, ok := p.find(query{kind: "Service"})
	if !ok {
		return false
	}
	_, _, err := cluster.get(ctx, res.path(namespace, name), nil, "application/json")
	return isStatus(err, http.StatusNotFound)
}
