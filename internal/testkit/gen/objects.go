package gen

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// builder makes one mesh.
type builder struct {
	dice *dice
	m    MeshCase

	docs         []string
	named        map[string]bool     // namespace/name of policies
	behind       map[string][]useKey // keys of the documents in MeshCase.JWKS
	unfetched    map[string]bool     // URIs that cannot be fetched
	claimHeaders []string            // headers that jwtRules write
	config       map[string]any      // the mesh configuration; empty: none
	annotations  map[string]string   // of the gateway's pods

	// Of the roles of MeshOf: whether a Gateway's Deployment is left to istiod, the
	// namespace of a waypoint, whether it heeds selectors, whether a ServiceEntry is
	// what it is asked for, and the name of the port.
	role       Role
	managed    bool
	waypointIn string
	layered    bool
	entry      bool
	port       string
}

// document puts an object into the mesh.
func (b *builder) document(o map[string]any) {
	text, err := yaml.Marshal(o)
	if err != nil {
		panic(err) // made of strings, numbers and lists
	}
	b.docs = append(b.docs, string(text))
}

// object puts an object with a spec into the mesh, half the time with the time of
// its creation.
func (b *builder) object(api, kind, namespace, name string, annotations map[string]string, spec map[string]any) {
	meta := map[string]any{"name": name, "namespace": namespace}
	if annotations != nil {
		meta["annotations"] = annotations
	}
	if b.dice.percent(50) {
		meta["creationTimestamp"] = fmt.Sprintf("2024-01-0%dT00:00:00Z", 1+b.dice.IntN(3))
	}
	b.document(map[string]any{"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec})
}

// about notes a condition for people.
func (b *builder) about(action string, w written) {
	b.m.About = append(b.m.About, fmt.Sprintf("%s %s %s values=%q notValues=%q", action, w.attr, w.key, w.values, w.not))
}

// app is the label by which the workload is selected.
func (b *builder) app() string {
	switch {
	case b.role == RoleGatewayAPI:
		return edgeName
	case b.role == RoleWaypoint:
		return waypointName
	case b.m.play.gateway:
		return "istio-ingressgateway"
	case b.role == roleFront:
		return "frontend"
	}
	return "httpbin"
}

// finish writes the mesh down.
func (b *builder) finish() {
	b.configDocument()
	if b.role != "" {
		b.roleWorkload()
	} else if b.m.play.gateway {
		b.gatewayWorkload()
	} else {
		b.sidecarWorkload()
	}
	b.m.YAML = strings.Join(b.docs, "---\n")
}

// configDocument puts the mesh configuration into the mesh, where there is one.
func (b *builder) configDocument() {
	if len(b.config) > 0 {
		text, err := yaml.Marshal(b.config)
		if err != nil {
			panic(err) // made of strings, numbers and lists
		}
		b.document(map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "istio", "namespace": "istio-system"},
			"data": map[string]any{"mesh": string(text)},
		})
	}
}

// deployment puts a workload into the mesh.
func (b *builder) deployment(name string, labels, annotations map[string]string, container map[string]any) {
	meta := map[string]any{"labels": labels}
	if len(annotations) > 0 {
		meta["annotations"] = annotations
	}
	b.document(map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name, "namespace": b.m.Namespace},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]string{"app": labels["app"]}},
			"template": map[string]any{"metadata": meta, "spec": map[string]any{"serviceAccountName": name, "containers": []any{container}}},
		},
	})
}

func (b *builder) service(name, selector string, ports ...any) {
	b.document(map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": b.m.Namespace},
		"spec": map[string]any{"selector": map[string]string{"app": selector}, "ports": ports},
	})
}

func (b *builder) namespace(name string, injected bool) {
	meta := map[string]any{"name": name}
	if injected {
		meta["labels"] = map[string]string{"istio-injection": "enabled"}
	}
	b.document(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
}

// sidecarWorkload is httpbin in the namespace foo.
func (b *builder) sidecarWorkload() {
	d := b.dice
	b.namespace("foo", true)
	b.deployment("httpbin", map[string]string{"app": "httpbin", "version": "v1"}, nil, map[string]any{
		"name": "httpbin", "image": "httpbin", "ports": []any{map[string]any{"containerPort": 8080, "name": "web"}},
	})
	protocol := pick(d, "http", "http", "http", "http-api", "http2", "grpc", "grpc-api")
	if b.m.play.bytes {
		protocol = pick(d, "tcp", "tcp", "tcp-db")
	}
	d.tag("port/" + protocol)
	target := pick[any](d, 8080, 8080, 8080, "web")
	b.service("httpbin", "httpbin", map[string]any{"name": protocol, "port": pick(d, 8000, 80, 8080), "targetPort": target})
}

// gatewayWorkload is a classic gateway with its Service and Gateway objects.
func (b *builder) gatewayWorkload() {
	b.namespace(b.m.Namespace, false)
	annotations := map[string]string{"inject.istio.io/templates": "gateway"}
	for k, v := range b.annotations {
		annotations[k] = v
	}
	port := b.m.Port
	b.deployment("istio-ingressgateway", map[string]string{"app": "istio-ingressgateway", "istio": "ingressgateway", "version": "v1"}, annotations,
		map[string]any{"name": "istio-proxy", "image": "auto", "args": []string{"proxy", "router"}, "ports": []any{map[string]any{"containerPort": port}}})
	number := 80
	if b.m.play.server != "HTTP" {
		number = 443
	}
	if b.dice.oneIn(3) {
		number = port
	}
	b.service("istio-ingressgateway", "istio-ingressgateway", map[string]any{"name": "main", "port": number, "targetPort": port})
	b.gatewayServers(number)
}

// gatewayServers puts one to three Gateway objects for one port into the mesh.
func (b *builder) gatewayServers(number int) {
	d := b.dice
	hosts := []string{"*"}
	if b.m.play.server != "HTTP" && d.percent(60) {
		hosts = pick(d, []string{"example.com"}, []string{"*.example.com"}, []string{"example.com", "*.example.com"}, []string{"a.example.com", "b.test"})
	}
	n := pick(d, 1, 1, 2, 3)
	for i := range n {
		port := map[string]any{"number": number, "name": fmt.Sprintf("port-%d", i), "protocol": "HTTP"}
		server := map[string]any{"port": port, "hosts": []string{"*"}}
		switch {
		case b.m.play.server != "HTTP":
			mine := hosts[i%len(hosts)]
			if i >= len(hosts) {
				mine = fmt.Sprintf("other-%d.test", i)
			}
			port["protocol"] = "HTTPS"
			server["hosts"] = []string{mine}
			server["tls"] = map[string]any{"mode": b.m.play.server, "credentialName": "cert"}
			b.m.play.hosts = append(b.m.play.hosts, mine)
		case d.oneIn(5):
			port["protocol"] = pick(d, "HTTP2", "GRPC")
		case i > 0:
			server["hosts"] = []string{fmt.Sprintf("other-%d.test", i)}
		}
		d.tag("gateway/" + port["protocol"].(string))
		b.object("networking.istio.io/v1", "Gateway", b.m.Namespace, fmt.Sprintf("gw-%d", i), nil, map[string]any{
			"selector": map[string]any{"istio": "ingressgateway"}, "servers": []any{server},
		})
	}
	if n > 1 {
		d.tag("gateway/several")
	}
}
