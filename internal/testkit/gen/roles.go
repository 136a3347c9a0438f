package gen

import "fmt"

// Role is what the workload of a mesh is, where New's own choice between sidecars
// and classic gateways is not what is wanted.
type Role string

// The roles. RoleBytes is a sidecar with a port that is not, or not only, HTTP's.
const (
	RoleGatewayAPI Role = "gateway-api"
	RoleWaypoint   Role = "waypoint"
	RoleBytes      Role = "bytes"
)

// Roles are all of them.
func Roles() []Role { return []Role{RoleGatewayAPI, RoleWaypoint, RoleBytes} }

// MeshOf makes the next mesh of a role. It has the same policies as one of Mesh,
// attached as the role has it.
func (g *Gen) MeshOf(role Role) MeshCase {
	g.next++
	b := &builder{dice: g.dice(g.next, 0), role: role}
	b.m = MeshCase{Name: fmt.Sprintf("seed-%d/%s-%d", g.seed, role, g.next), number: g.next, JWKS: map[string]string{}}
	b.build()
	g.count(b.dice.tags)
	return b.m
}

// Names of what the roles are made of.
const (
	gatewayGroup = "gateway.networking.k8s.io"
	edgeName     = "edge"
	waypointName = "wp"
	entryName    = "api"
	entryHost    = "api.example.com"
)

// startRole sets what the role is, before anything is put into the mesh.
func (b *builder) startRole() {
	d, p := b.dice, &b.m.play
	switch b.role {
	case RoleGatewayAPI:
		b.roleGateway(pick(d, "HTTP", "HTTP", "HTTP", "SIMPLE", "MUTUAL"))
		if b.managed = d.percent(60); !b.managed {
			b.m.Target = "deploy/" + edgeName + "-istio"
		}
		if p.bytes = d.percent(20); p.bytes {
			p.server = pick(d, "HTTP", "HTTP", "SIMPLE", "PASSTHROUGH")
			b.serverPort()
		}
	case RoleWaypoint:
		p.waypoint = true
		b.waypointIn = pick(d, "foo", "foo", "foo", "infra")
		b.layered = d.percent(20)
		b.m.Target, b.m.Port = "svc/httpbin", pick(d, 8080, 8080, 80, 8000)
		if b.waypointIn == "foo" && d.percent(20) {
			b.m.Target, p.host = "gateway/"+waypointName, "httpbin.foo.svc.cluster.local"
			if b.entry = d.percent(60); b.entry {
				p.host = entryHost
			}
		}
		b.protocol()
	case RoleBytes:
		b.protocol()
	}
}

// protocol picks what the port is named after.
func (b *builder) protocol() {
	d, p := b.dice, &b.m.play
	http := 70
	if b.role == RoleBytes {
		http = 0
	}
	switch {
	case d.percent(http):
		b.port = pick(d, "http", "http", "http-api", "http2", "grpc", "grpc-api")
	case d.percent(45):
		b.port, p.auto = pick(d, "", "web", "main-http", "x-tcp"), true
	default:
		b.port, p.bytes = pick(d, "tcp", "tcp-db", "tls", "https", "mongo", "redis", "mysql"), true
	}
	name := b.port
	if p.auto {
		name = "auto"
	}
	d.tag("port/" + name)
}

// roleGateway is what gateway is for the classic ones.
func (b *builder) roleGateway(server string) {
	p := &b.m.play
	p.gateway, p.server = true, server
	b.m.Target, b.m.Namespace = "gateway/"+edgeName, "foo"
	b.serverPort()
	b.dice.tag("role/gateway-api-" + server)
}

func (b *builder) serverPort() {
	b.m.Port = 8080
	if b.m.play.server != "HTTP" {
		b.m.Port = 8443
	}
}

// reference is an entry of targetRefs.
func reference(group, kind, name string) map[string]any {
	return map[string]any{"group": group, "kind": kind, "name": name}
}

// roleSelector makes what attaches a policy of the namespace to the workload, or
// something that does not.
func (b *builder) roleSelector(match bool) (spec map[string]any, matches bool, form string) {
	d := b.dice
	if b.role == RoleGatewayAPI && d.percent(50) {
		return b.labelSelector(match)
	}
	if b.role == RoleWaypoint && (!match || b.layered) && d.percent(50) {
		spec, matches, form = b.labelSelector(d.percent(70))
		return spec, matches && b.layered, form
	}
	wanted, other := b.references()
	refs := []any{pick(d, other...)}
	if match {
		refs = []any{pick(d, wanted...)}
		if d.percent(25) {
			refs = append(refs, pick(d, other...))
		}
		if d.percent(25) {
			refs = append([]any{pick(d, other...)}, refs...)
		}
	}
	if len(refs) == 1 && d.percent(25) {
		return map[string]any{"targetRef": refs[0]}, match, "targetRef"
	}
	return map[string]any{"targetRefs": refs}, match, "targetRefs"
}

// references are those that mean the workload, or what it is asked for, and others.
func (b *builder) references() (wanted, other []map[string]any) {
	class := reference(gatewayGroup, "GatewayClass", "istio-waypoint")
	service, entry := reference("", "Service", "httpbin"), reference("networking.istio.io", "ServiceEntry", entryName)
	other = []map[string]any{
		reference(gatewayGroup, "Gateway", "x"), reference("", "Service", "other"), reference(gatewayGroup, "GatewayClass", "istio"),
		reference("", "Gateway", waypointName), reference("networking.istio.io", "Service", "httpbin"), reference("apps", "Deployment", "httpbin"),
	}
	if b.role == RoleGatewayAPI {
		return []map[string]any{reference(gatewayGroup, "Gateway", edgeName)}, append(other, service, class)
	}
	if b.entry {
		wanted, other = []map[string]any{entry}, append(other, service)
	} else {
		wanted, other = []map[string]any{service, reference("core", "Service", "httpbin")}, append(other, entry)
	}
	wanted = append(wanted, reference(gatewayGroup, "Gateway", waypointName))
	return append(wanted, class), other
}

// attach is what a policy needs that is to reach the workload from a namespace, and
// that says nothing of it elsewhere.
func (b *builder) attach(namespace string) map[string]any {
	if b.role != RoleWaypoint {
		return nil
	}
	if namespace == "istio-system" {
		return map[string]any{"targetRefs": []any{reference(gatewayGroup, "GatewayClass", "istio-waypoint")}}
	}
	wanted, _ := b.references()
	return map[string]any{"targetRefs": []any{wanted[0]}}
}

// layer is where the filters of the port are, in the names of their metadata.
func (b *builder) layer() string {
	if b.role != "" && (b.m.play.bytes || b.m.play.auto) {
		return pick(b.dice, "network", "network", "http")
	}
	return "http"
}
