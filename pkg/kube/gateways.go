package kube

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// gateways are the reads for what is a gateway or a waypoint, or stands behind one.
func (c *collector) gateways(snap *mesh.Snapshot, q Place) []query {
	var out []query
	if o := snap.Find(mesh.GroupGateway, "Gateway", q.Namespace, q.Target.Name); o != nil && q.Target.Type == mesh.TypeGateway {
		out = append(out, apiGateway(snap, o)...)
	}
	workloads, err := snap.Resolve(q.Target, q.Namespace)
	if err != nil {
		workloads = nil // said by whoever answers
	}
	for _, w := range workloads {
		name := w.Labels[labelGatewayName]
		switch {
		case name != "":
			out = append(out, query{group: mesh.GroupGateway, kind: "Gateway", namespace: w.Namespace}, istiods(istioRoot(snap)))
			out = append(out, query{group: mesh.GroupNetworking, kind: "Gateway"})
			if o := snap.Find(mesh.GroupGateway, "Gateway", w.Namespace, name); o != nil {
				out = append(out, apiGateway(snap, o)...)
			}
		case istio.MayBeGateway(w):
			out = append(out, query{group: mesh.GroupNetworking, kind: "Gateway"})
			out = append(out, query{group: mesh.GroupGateway, kind: "Gateway", namespace: w.Namespace})
			if istio.NeedsVirtualServices(snap, w) {
				out = append(out, query{group: mesh.GroupNetworking, kind: "VirtualService"})
			}
			for _, o := range snap.InNamespace(mesh.GroupGateway, "Gateway", w.Namespace) {
				out = append(out, apiGateway(snap, o)...)
			}
		}
		for _, front := range istio.WaypointLabels(snap, w) {
			out = append(out, query{group: mesh.GroupGateway, kind: "Gateway", namespace: front.Namespace, name: front.Name})
		}
	}
	if q.Target.Type == mesh.TypeService {
		out = append(out, c.waypointOf(snap, q)...)
	}
	return out
}

func istioRoot(snap *mesh.Snapshot) string {
	root, err := istio.RootNamespace(snap)
	if err != nil {
		return installNamespace
	}
	return root
}

// istiods are the Deployments of the control plane, where the cluster has them: their
// variables switch how policies are attached to gateways.
func istiods(root string) query {
	return query{group: mesh.GroupApps, kind: "Deployment", namespace: root, labels: "app=istiod", optional: true}
}

// waypointOf is the waypoint in front of a Service, with its pods and policies.
func (c *collector) waypointOf(snap *mesh.Snapshot, q Place) []query {
	o := snap.Find(mesh.GroupCore, "Service", q.Namespace, q.Target.Name)
	if o == nil {
		return nil
	}
	front, ok := istio.WaypointLabel(snap, o)
	if !ok {
		return nil
	}
	selector := labelGatewayName + "=" + front.Name
	out := []query{
		{group: mesh.GroupGateway, kind: "Gateway", namespace: front.Namespace, name: front.Name},
		{group: mesh.GroupGateway, kind: "GatewayClass", name: "istio-waypoint"},
		pods(front.Namespace, selector),
		{group: mesh.GroupApps, kind: "Deployment", namespace: front.Namespace, labels: selector, optional: true},
		{group: mesh.GroupNetworking, kind: "ServiceEntry", namespace: q.Namespace},
		istiods(istioRoot(snap)),
	}
	if front.Namespace != q.Namespace {
		out = append(out, c.policies(front.Namespace)...)
	}
	if gateway := snap.Find(mesh.GroupGateway, "Gateway", front.Namespace, front.Name); gateway != nil {
		out = append(out, apiGateway(snap, gateway)...)
	}
	return out
}

// apiGateway are what a Gateway of the Gateway API is decided by: the routes of its
// listeners that carry bytes, and for a waypoint what it stands in front of.
func apiGateway(snap *mesh.Snapshot, o *mesh.Object) []query {
	var spec struct {
		GatewayClassName string `json:"gatewayClassName"`
		AllowedListeners *struct {
			Namespaces *struct {
				From string `json:"from"`
			} `json:"namespaces"`
		} `json:"allowedListeners"`
		Listeners []struct {
			Protocol string `json:"protocol"`
			TLS      struct {
				CertificateRefs []struct {
					Namespace string `json:"namespace"`
				} `json:"certificateRefs"`
			} `json:"tls"`
			AllowedRoutes struct {
				Namespaces struct {
					From string `json:"from"`
				} `json:"namespaces"`
			} `json:"allowedRoutes"`
		} `json:"listeners"`
	}
	if o.DecodeSpec(&spec) != nil {
		return nil
	}
	bytes, others := false, false
	for _, l := range spec.Listeners {
		bytes = bytes || l.Protocol == "TCP" || l.Protocol == "TLS"
		from := l.AllowedRoutes.Namespaces.From
		others = others || from != "" && from != "Same"
	}
	scope := o.Namespace
	var out []query
	if class := spec.GatewayClassName; class != "istio" && class != "istio-waypoint" {
		out = append(out, query{group: mesh.GroupGateway, kind: "GatewayClass", name: class})
	}
	if a := spec.AllowedListeners; a != nil && a.Namespaces != nil && a.Namespaces.From != "None" {
		q := query{group: mesh.GroupGateway, kind: "ListenerSet", optional: true}
		if a.Namespaces.From == "Same" {
			q.namespace = o.Namespace
		}
		out = append(out, q, query{kind: "Namespace"})
	}
	for _, l := range spec.Listeners {
		for _, ref := range l.TLS.CertificateRefs {
			if ref.Namespace != "" && ref.Namespace != o.Namespace {
				out = append(out, query{group: mesh.GroupGateway, kind: "ReferenceGrant", namespace: ref.Namespace})
			}
		}
	}
	if others {
		scope = "" // of every namespace
		out = append(out, query{kind: "Namespace"})
	}
	if spec.GatewayClassName == "istio-waypoint" {
		out = append(out, query{group: mesh.GroupGateway, kind: "GatewayClass", name: "istio-waypoint"},
			query{kind: "Service", namespace: scope}, query{group: mesh.GroupNetworking, kind: "ServiceEntry", namespace: scope})
		if others {
			out = append(out, query{group: mesh.GroupSecurity, kind: "AuthorizationPolicy"}, query{group: mesh.GroupSecurity, kind: "RequestAuthentication"})
		}
		return out
	}
	if bytes {
		out = append(out, query{group: mesh.GroupGateway, kind: "TCPRoute", namespace: scope}, query{group: mesh.GroupGateway, kind: "TLSRoute", namespace: scope})
	}
	return out
}

// authorizers are the Services of external authorizers, if a policy asks one: istiod
// looks whether they exist.
func (c *collector) authorizers(snap *mesh.Snapshot) []query {
	custom := slices.ContainsFunc(snap.Kind(mesh.GroupSecurity, "AuthorizationPolicy"), func(o *mesh.Object) bool {
		if !o.Mentions("CUSTOM") {
			return false
		}
		spec, err := o.RawSpec()
		return err == nil && spec["action"] == "CUSTOM"
	})
	if !custom {
		return nil
	}
	out := []query{{group: mesh.GroupNetworking, kind: "ServiceEntry"}}
	for _, service := range istio.AuthorizerServices(snap) {
		if _, host, given := strings.Cut(service, "/"); given {
			service = host
		}
		name, rest, _ := strings.Cut(service, ".")
		if namespace, ok := strings.CutSuffix(rest, ".svc.cluster.local"); ok && name != "" && namespace != "" {
			out = append(out, query{kind: "Service", namespace: namespace, name: name})
		}
	}
	return out
}
