package gen

import (
	"fmt"
	"maps"
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// roleWorkload writes the workload of the role and what leads to it.
func (b *builder) roleWorkload() {
	switch b.role {
	case RoleGatewayAPI:
		b.edge()
	case RoleWaypoint:
		b.waypoint()
	case RoleBytes:
		b.bytesWorkload()
	}
}

// bytesWorkload is the sidecar of httpbin with another kind of port.
func (b *builder) bytesWorkload() {
	b.namespace("foo", true)
	b.deployment("httpbin", map[string]string{"app": "httpbin", "version": "v1"}, nil, map[string]any{
		"name": "httpbin", "image": "httpbin", "ports": []any{map[string]any{"containerPort": 8080, "name": "web"}},
	})
	b.service("httpbin", "httpbin", named(b.port, pick(b.dice, 8000, 80, 8080), 8080))
}

// named is a port of a Service, with a name if it has one.
func named(name string, number, target int) map[string]any {
	port := map[string]any{"port": number, "targetPort": target}
	if name != "" {
		port["name"] = name
	}
	return port
}

// gatewayObject puts a Gateway of the Gateway API into the mesh.
func (b *builder) gatewayObject(name, namespace, class string, meta map[string]any, listeners []any) {
	m := map[string]any{"name": name, "namespace": namespace}
	maps.Copy(m, meta)
	b.document(map[string]any{
		"apiVersion": gatewayGroup + "/v1", "kind": "Gateway", "metadata": m,
		"spec": map[string]any{"gatewayClassName": class, "listeners": listeners},
	})
}

// edge is a gateway of the Gateway API: one to four listeners, of which some share
// the port that is asked.
func (b *builder) edge() {
	d := b.dice
	b.namespace(b.m.Namespace, false)
	labels := map[string]string{"app": edgeName, "version": "v1"}
	meta := map[string]any{"labels": labels}
	if len(b.annotations) > 0 {
		meta["annotations"] = b.annotations
	}
	b.gatewayObject(edgeName, b.m.Namespace, "istio", meta, b.listeners())
	if !b.managed {
		pods := map[string]string{gatewayGroup + "/gateway-name": edgeName, gatewayGroup + "/gateway-class-name": "istio", "gateway.istio.io/managed": "istio.io-gateway-controller"}
		maps.Copy(pods, labels)
		b.deployment(edgeName+"-istio", pods, b.annotations, map[string]any{"name": "istio-proxy", "image": "auto", "args": []string{"proxy", "router"}})
		b.document(map[string]any{
			"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": edgeName + "-istio", "namespace": b.m.Namespace},
			"spec": map[string]any{"selector": map[string]string{gatewayGroup + "/gateway-name": edgeName}, "ports": []any{
				map[string]any{"name": "main", "port": b.m.Port}, map[string]any{"name": "other", "port": 9999},
			}},
		})
	}
	d.tag(fmt.Sprintf("gateway-api/managed-%t", b.managed))
}

// listeners of the port that is asked, and one of another.
func (b *builder) listeners() []any {
	d, p := b.dice, &b.m.play
	names := []string{"main", "a", "z", "m-1", "listener"}
	hosts := []string{""}
	if p.server != "HTTP" {
		hosts = pick(d, []string{""}, []string{"example.com"}, []string{"*.example.com"}, []string{"a.example.com", "b.test"}, []string{"*.example.com", "example.com", "x.example.com"})
	} else if !p.bytes && d.percent(30) {
		hosts = []string{"example.com", "other.test"}
	}
	var out []any
	for i, host := range hosts {
		l := map[string]any{"name": names[i], "port": b.m.Port, "protocol": "HTTP"}
		if host != "" {
			l["hostname"] = host
		}
		b.serve(l)
		p.hosts = append(p.hosts, host)
		out = append(out, l)
	}
	if p.bytes {
		b.routes(names[:len(hosts)])
	}
	if !b.managed || d.percent(50) {
		out = append(out, map[string]any{"name": "z-other", "port": 9999, "protocol": "HTTP"})
	}
	for i, h := range p.hosts {
		if h == "" {
			p.hosts[i] = "example.com"
		}
	}
	d.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// serve says how a listener is served.
func (b *builder) serve(l map[string]any) {
	p := &b.m.play
	tls := map[string]any{"mode": "Terminate", "certificateRefs": []any{map[string]any{"name": "cert"}}}
	switch p.server {
	case "HTTP":
		if p.bytes {
			l["protocol"] = "TCP"
		}
		return
	case "PASSTHROUGH":
		tls = map[string]any{"mode": "Passthrough"}
	case "MUTUAL":
		tls["options"] = map[string]any{"gateway.istio.io/tls-terminate-mode": "MUTUAL"}
	}
	l["protocol"], l["tls"] = "HTTPS", tls
	if p.bytes {
		l["protocol"] = "TLS"
	}
	b.dice.tag("gateway-api/" + l["protocol"].(string) + "-" + p.server)
}

// routes attach to the listeners that carry bytes, or to all but one.
func (b *builder) routes(listeners []string) {
	d := b.dice
	kind := "TCPRoute"
	if b.m.play.server != "HTTP" {
		kind = "TLSRoute"
	}
	for i, l := range listeners {
		if d.oneIn(12) {
			continue
		}
		spec := map[string]any{
			"parentRefs": []any{map[string]any{"name": edgeName, "sectionName": l}},
			"rules":      []any{map[string]any{"backendRefs": []any{map[string]any{"name": "httpbin", "port": 8000}}}},
		}
		if kind == "TLSRoute" {
			spec["hostnames"] = []string{pick(d, "example.com", "a.example.com", "b.test", "*.example.com", "x.example.com")}
		}
		b.document(map[string]any{
			"apiVersion": gatewayGroup + "/" + pick(d, "v1", "v1alpha2"), "kind": kind,
			"metadata": map[string]any{"name": fmt.Sprintf("route-%d", i), "namespace": b.m.Namespace}, "spec": spec,
		})
	}
	b.service("httpbin", "httpbin", map[string]any{"name": "tcp", "port": 8000})
}

// waypoint is one of the namespace of the Service, or of another.
func (b *builder) waypoint() {
	d := b.dice
	use := map[string]string{"istio.io/use-waypoint": waypointName}
	if b.waypointIn != "foo" {
		use["istio.io/use-waypoint-namespace"] = b.waypointIn
		b.namespace(b.waypointIn, false)
	}
	ns, own := map[string]any{"name": "foo"}, map[string]string(nil)
	if d.percent(50) {
		ns["labels"] = use
	} else {
		own = use
	}
	b.document(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": ns})
	listener := map[string]any{"name": "mesh", "port": 15008, "protocol": "HBONE"}
	if b.waypointIn != "foo" {
		listener["allowedRoutes"] = map[string]any{"namespaces": map[string]any{"from": "All"}}
	}
	labels := map[string]string{"app": waypointName, "version": "v1"}
	if d.percent(30) {
		labels["istio.io/waypoint-for"] = pick(d, "service", "all")
	}
	meta := map[string]any{"labels": labels}
	if d.oneIn(6) {
		meta["annotations"] = map[string]string{"ambient.istio.io/xfcc-include-client-identity": pick(d, "true", "true", "True", "false")}
	}
	b.gatewayObject(waypointName, b.waypointIn, "istio-waypoint", meta, []any{listener})
	if b.layered {
		b.istiod()
	}
	address := pick(d, "127.64.0.9", "127.80.1.2", "10.96.7.1", "127.100.3.4")
	port := named(b.port, b.m.Port, 8080)
	if b.entry {
		b.serviceEntry(address, use)
		return
	}
	m := map[string]any{"name": "httpbin", "namespace": "foo"}
	if own != nil {
		m["labels"] = own
	}
	b.document(map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": m,
		"spec": map[string]any{"clusterIP": address, "selector": map[string]string{"app": "httpbin"}, "ports": []any{port}},
	})
}

// serviceEntry stands for a service outside.
func (b *builder) serviceEntry(address string, use map[string]string) {
	protocol := "HTTP"
	switch {
	case b.m.play.bytes:
		protocol = pick(b.dice, "TCP", "MONGO")
	case b.m.play.auto:
		protocol = ""
	}
	port := map[string]any{"number": b.m.Port, "name": "main"}
	if protocol != "" {
		port["protocol"] = protocol
	}
	b.document(map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
		"metadata": map[string]any{"name": entryName, "namespace": "foo", "labels": use},
		"spec": map[string]any{
			"hosts": []string{entryHost}, "addresses": []string{address}, "resolution": "STATIC", "location": "MESH_EXTERNAL",
			"ports": []any{port}, "endpoints": []any{map[string]any{"address": "10.1.1.1"}},
		},
	})
}

// istiod is one that has waypoints heed policies with a selector.
func (b *builder) istiod() {
	b.dice.tag("waypoint/layered")
	env := map[string]any{"name": "ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES", "value": "true"}
	b.document(map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "istiod", "namespace": "istio-system", "labels": map[string]string{"app": "istiod"}},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]string{"app": "istiod"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]string{"app": "istiod"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "discovery", "image": "pilot", "env": []any{env}}}},
			},
		},
	})
}

// knownMethods are those that the HTTP inspector knows.
var knownMethods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"}

// sniffable keeps the request within what is HTTP beyond doubt, most of the time:
// what is not goes to the application as bytes.
func (r *draft) sniffable() {
	if !slices.Contains(knownMethods, r.req.Method) {
		r.req.Method = "GET"
	}
}

// atWaypoint connects through HBONE, as clients in the mesh do.
func (r *draft) atWaypoint(c *judge.Client) {
	if r.p.host != "" && r.oneIn(40) {
		return
	}
	c.Transport, c.SNI = "mtls", r.sni
	r.certificate(c)
}
