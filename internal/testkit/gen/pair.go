package gen

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// Parts of a mesh with two proxies in a row, each with policies of its own.
const (
	roleFront Role = "front"
	roleBack  Role = "back"
)

// Pair makes the next mesh with two hops: a gateway or a sidecar, and behind it the
// sidecar of httpbin. Its cases have the first one as judge.Case.Via.
func (g *Gen) Pair() MeshCase {
	g.next++
	d := g.dice(g.next, 0)
	front := &builder{dice: d, role: roleFront}
	front.m = MeshCase{Name: fmt.Sprintf("seed-%d/pair-%d", g.seed, g.next), number: g.next, JWKS: map[string]string{}}
	front.start()
	back := &builder{dice: d, role: roleBack}
	back.m = MeshCase{JWKS: front.m.JWKS}
	back.start()
	back.named, back.behind, back.unfetched, back.config = front.named, front.behind, front.unfetched, front.config
	front.front()
	front.hop()
	back.hop()
	service := front.route()
	front.frontWorkload()
	back.backWorkload(service, !front.m.play.gateway)
	back.docs = slices.Concat(front.docs, back.docs)
	back.configDocument()
	out := front.m
	out.YAML = strings.Join(back.docs, "---\n")
	out.Via = judge.Hop{Target: front.m.Target, Namespace: front.m.Namespace, Port: front.m.Port}
	out.Target, out.Namespace, out.Port, out.RemoteJWKS = back.m.Target, back.m.Namespace, back.m.Port, ""
	out.Single = front.m.Single && back.m.Single
	out.About = append(front.m.About, back.m.About...)
	out.play = both(d, front.m.play, back.m.play)
	g.count(d.tags)
	return out
}

// front makes the first hop a gateway, or a sidecar now and then.
func (b *builder) front() {
	d, p := b.dice, &b.m.play
	if d.oneIn(6) {
		b.m.Target, b.m.Port = "deploy/frontend", 8080
		d.tag("pair/sidecar")
		return
	}
	p.gateway, p.server = true, pick(d, "HTTP", "HTTP", "HTTP", "HTTP", "SIMPLE", "MUTUAL")
	b.m.Target, b.m.Namespace = "deploy/istio-ingressgateway", pick(d, "istio-system", "istio-system", "edge")
	b.serverPort()
	d.tag("pair/gateway-" + p.server)
}

// topicsOfHops is what a hop may be about: all that does not change what it is.
var topicsOfHops = []weighted[func(*builder)]{
	{50, (*builder).topicCondition}, {30, (*builder).topicProperty}, {6, (*builder).topicIssuers}, {3, (*builder).topicPeers},
	{6, (*builder).topicNormalization}, {3, (*builder).topicScope}, {3, (*builder).topicDryRun}, {2, (*builder).topicRules},
	{4, (*builder).topicAliases}, {5, (*builder).topicHops},
}

// hop gives the hop its policies. One in five has none, so that the other decides.
func (b *builder) hop() {
	d := b.dice
	b.m.Single = d.percent(60)
	switch {
	case d.oneIn(5), b.role == roleFront && d.percent(35):
		if d.percent(60) {
			b.requestAuthentication(b.m.Namespace, nil, b.plainRule)
		}
	case b.m.Single:
		pickWeighted(d, topicsOfHops)(b)
	default:
		b.requestAuthentications()
		if d.percent(20) {
			b.peerAuthentications(1)
		}
		for range pick(d, 0, 1, 1, 2) {
			b.richPolicy()
		}
	}
	b.m.RemoteJWKS = ""
}

// both is what requests to either hop are derived from.
func both(d *dice, front, back play) play {
	out := front
	out.rules = append(slices.Clone(front.rules), back.rules...)
	out.jwt = append(slices.Clone(front.jwt), back.jwt...)
	if len(back.jwt) > 0 && d.percent(30) {
		out.jwt = slices.Clone(back.jwt)
	}
	for _, td := range back.trustDomains {
		if !slices.Contains(out.trustDomains, td) {
			out.trustDomains = append(out.trustDomains, td)
		}
	}
	if front.focus == "" || back.focus == "" {
		out.focus = pick(d, "", back.focus, front.focus)
	}
	out.hops = max(front.hops, back.hops)
	return out
}

// pairService is the Service between the hops.
type pairService struct {
	port   map[string]any
	number int
}

// route leads from the first hop to the second: a VirtualService for a gateway, and
// DestinationRules that change how it connects.
func (b *builder) route() pairService {
	d := b.dice
	s := pairService{number: pick(d, 8000, 80, 8080)}
	name := pick(d, "http", "http", "http", "http-api", "http2", "grpc", "grpc-api", "", "web")
	if !b.m.play.gateway && (name == "" || name == "web") {
		name = "http" // what a sidecar sniffs it speaks on, which takes a filter of Istio's Envoy
	}
	s.port = named(name, s.number, 8080)
	if name == "web" && d.percent(50) {
		s.port["appProtocol"] = pick(d, "http", "kubernetes.io/h2c", "grpc")
	}
	d.tag("pair/port-" + name)
	if b.m.play.gateway {
		b.virtualService(s.number)
	}
	switch {
	case d.oneIn(25):
		b.closed()
	case d.percent(35):
		b.destinationRule(s.number)
	}
	return s
}

// closed has the second hop close the connections of the first.
func (b *builder) closed() {
	b.dice.tag("pair/closed")
	b.document(map[string]any{
		"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": map[string]any{"name": "strict-for-pair", "namespace": "foo", "creationTimestamp": "2020-01-01T00:00:00Z"},
		"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "httpbin"}}, "mtls": map[string]any{"mode": "STRICT"}},
	})
	b.document(map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": map[string]any{"name": "rule", "namespace": "foo"},
		"spec": map[string]any{"host": "httpbin", "trafficPolicy": map[string]any{"tls": map[string]any{"mode": "DISABLE"}}},
	})
}

// virtualService leads all requests to the Service, half the time with entries in front
// that change some of them.
func (b *builder) virtualService(number int) {
	d := b.dice
	to := func() map[string]any {
		destination := map[string]any{"host": pick(d, "httpbin.foo.svc.cluster.local", "httpbin.foo.svc.cluster.local", "HTTPBIN.foo.svc.cluster.local")}
		if !d.oneIn(4) {
			destination["port"] = map[string]any{"number": number}
		}
		return map[string]any{"route": []any{map[string]any{"destination": destination}}}
	}
	var entries []any
	if d.percent(50) {
		for range pick(d, 1, 1, 2) {
			entry := to()
			entry["match"] = times(pick(d, 1, 1, 2), b.routeMatch)
			b.routeChange(entry)
			entries = append(entries, entry)
		}
	}
	last := to()
	if d.percent(25) {
		b.routeChange(last)
	}
	spec := map[string]any{"hosts": pick(d, []string{"*"}, []string{"*"}, []string{"httpbin.foo", "example.com", "*"}), "gateways": []string{"gw-0", "gw-1", "gw-2"}, "http": append(entries, last)}
	b.document(map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": map[string]any{"name": "all", "namespace": b.m.Namespace}, "spec": spec,
	})
}

// routeMatch is a match of a VirtualService.
func (b *builder) routeMatch() any {
	d := b.dice
	text := func(exact, prefix, regex string) map[string]any {
		switch d.IntN(3) {
		case 0:
			return map[string]any{"exact": exact}
		case 1:
			return map[string]any{"prefix": prefix}
		default:
			return map[string]any{"regex": regex}
		}
	}
	m := map[string]any{"uri": text(pick(d, "/get", "/admin", "/"), pick(d, "/", "/ge", "/admin", "/get/"), pick(d, "/g.*", "/(get|admin)", "/.+", ".*"))}
	switch d.IntN(6) {
	case 0:
		m["method"] = text("GET", "P", "GET|POST")
	case 1:
		m["headers"] = map[string]any{pick(d, "x-role", "content-type", "x-forwarded-proto"): text("http", "app", ".*")}
	case 2:
		m["authority"] = text("example.com", "httpbin", "httpbin.foo:[0-9]+")
	case 3:
		m["withoutHeaders"] = map[string]any{"authorization": map[string]any{}}
	}
	if d.oneIn(5) {
		m["ignoreUriCase"] = true
	}
	if d.oneIn(8) {
		delete(m, "uri")
	}
	d.tag("pair/match")
	return m
}

// routeChange is what an entry of a VirtualService does to a request.
func (b *builder) routeChange(entry map[string]any) {
	d := b.dice
	form := pick(d, "prefix", "prefix", "authority", "pattern", "headers", "headers", "destination", "answer", "both")
	d.tag("pair/change-" + form)
	request := map[string]any{
		"set": map[string]string{pick(d, "x-role", "x-env", "host", "x-forwarded-proto"): pick(d, "admin", "a", "1")},
		"add": map[string]string{pick(d, "x-role", "x-group", "x-forwarded-for", "accept"): pick(d, "b", "10.1.2.3")}, "remove": []string{pick(d, "x-role", "authorization", "x-request-id", "X-Env")},
	}
	switch form {
	case "prefix":
		entry["rewrite"] = map[string]any{"uri": pick(d, "/", "/admin", "/get", "/x/")}
	case "authority":
		entry["rewrite"] = map[string]any{"authority": pick(d, "a.example.com", "httpbin.foo")}
	case "pattern":
		entry["rewrite"] = map[string]any{"uriRegexRewrite": map[string]any{"match": pick(d, "^/(g.*)$", "/admin", "t"), "rewrite": pick(d, `/v1/\1`, "/get", "")}}
	case "headers":
		entry["headers"] = map[string]any{"request": request}
	case "destination":
		entry["route"].([]any)[0].(map[string]any)["headers"] = map[string]any{"request": request}
	case "both":
		entry["rewrite"] = map[string]any{"uri": "/admin", "authority": "both.test"}
		entry["headers"] = map[string]any{"request": request}
	case "answer":
		delete(entry, "route")
		if d.oneIn(2) {
			entry["redirect"] = map[string]any{"uri": "/elsewhere"}
		} else {
			entry["directResponse"] = map[string]any{"status": 403}
		}
	}
	if pattern, ok := entry["rewrite"].(map[string]any); ok && form == "pattern" && pattern["uriRegexRewrite"].(map[string]any)["match"] != "^/(g.*)$" {
		pattern["uriRegexRewrite"].(map[string]any)["rewrite"] = "/get"
	}
}

// destinationRule changes mTLS or the version of HTTP for the Service, or for another one.
func (b *builder) destinationRule(number int) {
	d := b.dice
	policy := map[string]any{}
	if mode := pick(d, "", "DISABLE", "DISABLE", "ISTIO_MUTUAL"); mode != "" {
		policy["tls"] = map[string]any{"mode": mode}
		d.tag("pair/tls-" + mode)
	}
	if up := pick(d, "", "", "UPGRADE", "DO_NOT_UPGRADE"); up != "" {
		policy["connectionPool"] = map[string]any{"http": map[string]any{"h2UpgradePolicy": up}}
		d.tag("pair/" + up)
	}
	if d.percent(20) {
		own := maps.Clone(policy)
		own["port"] = map[string]any{"number": pick(d, number, number, 81)}
		policy = map[string]any{"portLevelSettings": []any{own}}
	}
	namespace := pick(d, "foo", "foo", b.m.Namespace, "istio-system", "other")
	host := pick(d, "httpbin.foo.svc.cluster.local", "httpbin.foo.svc.cluster.local", "*.foo.svc.cluster.local", "other.foo.svc.cluster.local")
	if namespace == "foo" && d.percent(50) {
		host = "httpbin"
	}
	spec := map[string]any{"host": host, "trafficPolicy": policy}
	if d.oneIn(6) {
		spec["exportTo"] = []string{pick(d, ".", "*", "edge")}
	}
	b.document(map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": map[string]any{"name": "rule", "namespace": namespace}, "spec": spec,
	})
}

// frontWorkload writes the first hop's workload.
func (b *builder) frontWorkload() {
	if b.m.play.gateway {
		b.gatewayWorkload()
		return
	}
	b.namespace("foo", true)
	b.deployment("frontend", map[string]string{"app": "frontend", "version": "v1"}, b.annotations, map[string]any{
		"name": "frontend", "image": "nginx", "ports": []any{map[string]any{"containerPort": 8080, "name": "web"}},
	})
	b.service("frontend", "frontend", named(pick(b.dice, "http", "http", "http2", ""), 80, 8080))
}

// backWorkload writes the second hop's.
func (b *builder) backWorkload(s pairService, frontIsSidecar bool) {
	if !frontIsSidecar {
		b.namespace("foo", true)
	}
	b.deployment("httpbin", map[string]string{"app": "httpbin", "version": "v1"}, nil, map[string]any{
		"name": "httpbin", "image": "httpbin", "ports": []any{map[string]any{"containerPort": 8080, "name": "web"}},
	})
	b.service("httpbin", "httpbin", s.port)
}

// withinLimits keeps a request for two hops far from the limits of size: what the first
// one adds would decide about the second, and the answer tells all of it twice.
func withinLimits(r *judge.Request) {
	const most, lines = 4 << 10, 60
	r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h judge.Header) bool { return len(h.Name)+len(h.Value) > most })
	r.Headers = r.Headers[:min(len(r.Headers), lines)]
	if len(r.Path) > most {
		r.Path = "/get"
	}
	if len(r.Host) > most {
		r.Host = "example.com"
	}
}
