package istio

import (
	"slices"
	"strings"

	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// virtualServices are the rules of those that are bound to the Gateway of a server
// (pilot/pkg/model/push_context.go:VirtualServicesForGateway).
func virtualServices(s *mesh.Snapshot, c Crossing, server gatewayServer) []routeSet {
	gateway := server.of.object.Namespace + "/" + server.of.object.Name
	var out []routeSet
	for _, o := range s.Kind(mesh.GroupNetworking, "VirtualService") {
		spec := &netapi.VirtualService{}
		if o.DecodeSpec(spec) != nil {
			out = append(out, routeSet{unread: &envoy.Missing{What: "where " + o.Ref().String() + " leads", Why: "it cannot be read"}})
			continue
		}
		if !slices.ContainsFunc(spec.GetGateways(), func(g string) bool { return gatewayName(g, o.Namespace) == gateway }) ||
			!givenTo(spec.GetExportTo(), o.Namespace, c.Workload.Namespace) {
			continue
		}
		set := routeSet{namespace: o.Namespace}
		for _, h := range spec.GetHosts() {
			set.hosts = append(set.hosts, fullHost(h, o.Namespace))
		}
		for i, r := range spec.GetHttp() {
			rules := httpRules(s, o, i, r, c, server, gateway)
			set.rules = append(set.rules, rules...)
			if slices.ContainsFunc(rules, routeRule.catchAll) {
				break
			}
		}
		out = append(out, set)
	}
	return out
}

// gatewayName is the name of a Gateway with its namespace
// (pilot/pkg/model/config.go:resolveGatewayName).
func gatewayName(name, namespace string) string {
	if strings.Contains(name, "/") {
		if own, ok := strings.CutPrefix(name, "./"); ok {
			return namespace + "/" + own
		}
		return name
	}
	if n, rest, ok := strings.Cut(name, "."); ok {
		ns, _, _ := strings.Cut(rest, ".")
		return ns + "/" + n
	}
	return namespace + "/" + name
}

// httpRules are the rules of one entry of spec.http, one for each match that may count
// at the gateway (pilot/pkg/networking/core/route/route.go:TranslateRoute).
func httpRules(s *mesh.Snapshot, o *mesh.Object, i int, r *netapi.HTTPRoute, c Crossing, server gatewayServer, gateway string) []routeRule {
	base := routeRule{origin: origin.Origin{Ref: o.Ref(), Field: "spec.http[" + itoa(i) + "]"}}
	base.effects(r)
	matches := r.GetMatch()
	if len(matches) == 0 {
		matches = []*netapi.HTTPMatchRequest{nil}
	}
	var out []routeRule
	for _, m := range matches {
		if !atGateway(m, o.Namespace, c, server, gateway) {
			continue
		}
		rule := base
		rule.match(m)
		rule.backends = destinations(s, o, r, rule.path, int(server.GetPort().GetNumber()))
		out = append(out, rule)
		if rule.catchAll() {
			break
		}
	}
	return out
}

// atGateway reports whether a match is one for the gateway's port and labels.
func atGateway(m *netapi.HTTPMatchRequest, namespace string, c Crossing, server gatewayServer, gateway string) bool {
	switch {
	case m == nil:
		return true
	case m.GetPort() != 0 && m.GetPort() != server.GetPort().GetNumber():
		return false
	case len(m.GetGateways()) > 0:
		return slices.ContainsFunc(m.GetGateways(), func(g string) bool { return gatewayName(g, namespace) == gateway })
	}
	return mesh.SelectorMatches(m.GetSourceLabels(), c.Workload.Labels) && (m.GetSourceNamespace() == "" || m.GetSourceNamespace() == c.Workload.Namespace)
}

// effects are what an entry does besides sending the request on.
func (r *routeRule) effects(h *netapi.HTTPRoute) {
	lose := func(what, why string) {
		r.lost = &envoy.Missing{What: what + " " + r.origin.String(), Why: why}
	}
	switch d := h.GetRedirect(); {
	case h.GetDelegate() != nil:
		lose("where the delegate leads of", "delegates are not followed")
	case d != nil:
		if r.status = int(d.GetRedirectCode()); r.status == 0 {
			r.status = 301
		}
		r.reason = "the route redirects the client"
	case h.GetDirectResponse() != nil:
		if r.status = int(h.GetDirectResponse().GetStatus()); r.status < 300 {
			r.status = 0
			lose("what the client gets by", "the route answers itself, so that nothing behind it is asked")
		}
		r.reason = "the route answers itself"
	case h.GetFault().GetAbort() != nil:
		lose("whether a fault is injected by", "that is a matter of chance")
	}
	if h.GetCorsPolicy() != nil {
		r.onPreflight = &envoy.Missing{What: "what a preflight gets by " + r.origin.String(), Why: "the corsPolicy of the route may answer it"}
	}
}

// match is TranslateRouteMatch.
func (r *routeRule) match(m *netapi.HTTPMatchRequest) {
	if m == nil {
		return
	}
	if m.GetUri() != nil {
		r.path = textOf(m.GetUri())
		r.path.ignoreCase = m.GetIgnoreUriCase()
	}
	field := func(name string, t *netapi.StringMatch, inverse bool) {
		if strings.HasPrefix(name, "@request.auth.claims") {
			r.missing = &envoy.Missing{What: "whether " + r.origin.String() + " takes the request", Why: "it looks at claims of a token"}
			return
		}
		r.headers = append(r.headers, fieldMatch{name: name, text: textOf(t), inverse: inverse})
	}
	for _, name := range sortedKeys(m.GetHeaders()) {
		field(name, m.GetHeaders()[name], false)
	}
	for _, name := range sortedKeys(m.GetWithoutHeaders()) {
		field(name, m.GetWithoutHeaders()[name], true)
	}
	for _, p := range []struct {
		name string
		text *netapi.StringMatch
	}{{":method", m.GetMethod()}, {":authority", m.GetAuthority()}, {":scheme", m.GetScheme()}} {
		if p.text != nil {
			field(p.name, p.text, false)
		}
	}
	for _, name := range sortedKeys(m.GetQueryParams()) {
		r.query = append(r.query, fieldMatch{name: name, text: textOf(m.GetQueryParams()[name])})
	}
}

func textOf(m *netapi.StringMatch) textMatch {
	switch t := m.GetMatchType().(type) {
	case *netapi.StringMatch_Exact:
		return textMatch{kind: matchExact, value: t.Exact}
	case *netapi.StringMatch_Prefix:
		return textMatch{kind: matchPrefix, value: t.Prefix}
	case *netapi.StringMatch_Regex:
		if t.Regex != "*" {
			return textMatch{kind: matchRegex, value: t.Regex}
		}
	}
	return textMatch{}
}

// destinations are where an entry sends the request, each with what it changes.
func destinations(s *mesh.Snapshot, o *mesh.Object, r *netapi.HTTPRoute, path textMatch, listener int) []Backend {
	var out []Backend
	for _, d := range r.GetRoute() {
		if len(r.GetRoute()) > 1 && d.GetWeight() == 0 {
			continue
		}
		to := d.GetDestination()
		b := backendOf(s, fullHost(to.GetHost(), o.Namespace), int(to.GetPort().GetNumber()), listener)
		b.Subset, b.Weight = to.GetSubset(), int(d.GetWeight())
		b.change = change{path: path, timeout: r.GetTimeout().AsDuration() > 0}
		b.change.operations(r.GetHeaders())
		before := b.change.host
		b.change.operations(d.GetHeaders())
		if before != "" {
			b.change.host = before
		}
		if w := r.GetRewrite(); w != nil {
			b.change.prefix = w.GetUri()
			b.change.pattern, b.change.substitution = w.GetUriRegexRewrite().GetMatch(), w.GetUriRegexRewrite().GetRewrite()
			if w.GetAuthority() != "" {
				b.change.host = w.GetAuthority()
			}
		}
		out = append(out, b)
	}
	return out
}

// operations are route.go:TranslateHeadersOperations.
func (c *change) operations(h *netapi.Headers) {
	req := h.GetRequest()
	take := func(in map[string]string, out *[]envoy.Header) {
		for _, name := range sortedKeys(in) {
			switch {
			case strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority"):
				c.host = in[name]
			case !strings.HasPrefix(name, ":"):
				*out = append(*out, envoy.Header{Name: name, Value: in[name]})
			}
		}
	}
	take(req.GetAdd(), &c.add)
	take(req.GetSet(), &c.set)
	for _, name := range req.GetRemove() {
		if !strings.HasPrefix(name, ":") && !strings.EqualFold(name, "host") {
			c.remove = append(c.remove, name)
		}
	}
}

// backendOf finds the Service of a destination (route.go:GetDestinationCluster).
func backendOf(s *mesh.Snapshot, host string, port, listener int) Backend {
	name, cluster := strings.CutSuffix(host, clusterSuffix)
	service, namespace, dotted := strings.Cut(name, ".")
	var object *mesh.Object
	if cluster && dotted {
		object = s.Find(mesh.GroupCore, "Service", namespace, service)
	}
	if object == nil {
		if port == 0 {
			port = listener
		}
		b := Backend{External: host, Port: port}
		if cluster && dotted {
			b = Backend{Service: service, Namespace: namespace, Port: port}
		}
		return b
	}
	var spec struct {
		Ports []struct {
			Port int `json:"port"`
		} `json:"ports"`
	}
	if port == 0 && object.DecodeSpec(&spec) == nil && len(spec.Ports) == 1 {
		port = spec.Ports[0].Port
	}
	if port == 0 {
		port = listener
	}
	return Backend{Service: service, Namespace: namespace, Port: port}
}
