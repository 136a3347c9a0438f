package istio

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// httpRoute is an HTTPRoute of the Gateway API, as far as it decides.
type httpRoute struct {
	Hostnames []string `json:"hostnames"`
	Rules     []struct {
		Matches     []httpRouteMatch  `json:"matches"`
		Filters     []httpRouteFilter `json:"filters"`
		BackendRefs []struct {
			Group     *string           `json:"group"`
			Kind      *string           `json:"kind"`
			Name      string            `json:"name"`
			Namespace string            `json:"namespace"`
			Port      int               `json:"port"`
			Weight    *int              `json:"weight"`
			Filters   []httpRouteFilter `json:"filters"`
		} `json:"backendRefs"`
		Timeouts *struct {
			Request string `json:"request"`
		} `json:"timeouts"`
	} `json:"rules"`
}

type routeField struct {
	Type, Name, Value string
}

type httpRouteMatch struct {
	Path *struct {
		Type  string  `json:"type"`
		Value *string `json:"value"`
	} `json:"path"`
	Headers     []routeField `json:"headers"`
	QueryParams []routeField `json:"queryParams"`
	Method      string       `json:"method"`
}

type httpRouteFilter struct {
	Type                  string `json:"type"`
	RequestHeaderModifier *struct {
		Set    []routeField `json:"set"`
		Add    []routeField `json:"add"`
		Remove []string     `json:"remove"`
	} `json:"requestHeaderModifier"`
	URLRewrite *struct {
		Hostname string `json:"hostname"`
		Path     *struct {
			Type               string `json:"type"`
			ReplaceFullPath    string `json:"replaceFullPath"`
			ReplacePrefixMatch string `json:"replacePrefixMatch"`
		} `json:"path"`
	} `json:"urlRewrite"`
	RequestRedirect *struct {
		StatusCode int `json:"statusCode"`
	} `json:"requestRedirect"`
}

// httpRoutes are the rules of the HTTPRoutes attached to a listener, in the order of
// precedence (Istio pilot/pkg/config/kube/gateway/conversion.go). A GRPCRoute of the
// listener is not followed.
func httpRoutes(s *mesh.Snapshot, server gatewayServer) []routeSet {
	var out []routeSet
	g, l := server.of.api, server.of.listener
	byHost := map[string]int{}
	for _, kind := range []string{"HTTPRoute", "GRPCRoute"} {
		for _, o := range s.Kind(mesh.GroupGateway, kind) {
			var refs apiRoute
			var r httpRoute
			if o.DecodeSpec(&refs) != nil || o.DecodeSpec(&r) != nil {
				out = append(out, routeSet{unread: &envoy.Missing{What: "where " + o.Ref().String() + " leads", Why: "it cannot be read"}})
				continue
			}
			if !g.names(s, o, &refs, l) {
				continue
			}
			if kind == "GRPCRoute" {
				out = append(out, routeSet{unread: &envoy.Missing{What: "where " + o.Ref().String() + " leads", Why: "GRPCRoutes are not followed"}})
				continue
			}
			hosts := r.Hostnames
			if len(hosts) == 0 {
				hosts = []string{"*"}
			}
			rules := r.rules(s, o, server)
			for _, h := range hosts {
				at, ok := byHost[h]
				if !ok {
					at = len(out)
					byHost[h] = at
					out = append(out, routeSet{namespace: o.Namespace, hosts: []string{h}})
				}
				out[at].rules = append(out[at].rules, rules...)
			}
		}
	}
	for i := range out {
		sortByPrecedence(out[i].rules)
	}
	return out
}

// sortByPrecedence is conversion.go:sortHTTPRoutes.
func sortByPrecedence(rules []routeRule) {
	rank := map[matchKind]int{matchExact: 3, matchPrefix: 2, matchRegex: 1, matchAny: 0}
	method := func(r routeRule) int {
		for _, h := range r.headers {
			if h.name == ":method" {
				return 1
			}
		}
		return 0
	}
	sort.SliceStable(rules, func(i, j int) bool {
		a, b := rules[i], rules[j]
		return cmp.Or(
			cmp.Compare(rank[b.path.kind], rank[a.path.kind]), cmp.Compare(len(b.path.value), len(a.path.value)), cmp.Compare(method(b), method(a)),
			cmp.Compare(len(b.headers)-method(b), len(a.headers)-method(a)), cmp.Compare(len(b.query), len(a.query)),
		) < 0
	})
}

func (r *httpRoute) rules(s *mesh.Snapshot, o *mesh.Object, server gatewayServer) []routeRule {
	var out []routeRule
	for i, rule := range r.Rules {
		base := routeRule{origin: origin.Origin{Ref: o.Ref(), Field: "spec.rules[" + itoa(i) + "]"}}
		ch := change{timeout: rule.Timeouts != nil && rule.Timeouts.Request != ""}
		for _, f := range rule.Filters {
			base.filter(&ch, f)
		}
		matches := rule.Matches
		if len(matches) == 0 {
			matches = []httpRouteMatch{{}}
		}
		for _, m := range matches {
			one := base
			one.apiMatch(m)
			for _, ref := range rule.BackendRefs {
				if ref.Weight != nil && *ref.Weight == 0 {
					continue
				}
				namespace := ref.Namespace
				if namespace == "" {
					namespace = o.Namespace
				}
				if ref.Kind != nil && *ref.Kind != "Service" || ref.Group != nil && *ref.Group != "" && *ref.Group != "core" {
					one.lost = &envoy.Missing{What: "where " + base.origin.String() + " leads", Why: "a backend is no Service"}
					continue
				}
				b := backendOf(s, ref.Name+"."+namespace+clusterSuffix, ref.Port, int(server.GetPort().GetNumber()))
				if b.Weight = 1; ref.Weight != nil {
					b.Weight = *ref.Weight
				}
				b.change = ch
				b.change.set, b.change.add, b.change.remove = slices.Clone(ch.set), slices.Clone(ch.add), slices.Clone(ch.remove)
				for _, f := range ref.Filters {
					one.filter(&b.change, f)
				}
				b.change.path = one.path
				one.backends = append(one.backends, b)
			}
			out = append(out, one)
		}
	}
	return out
}

func (r *routeRule) filter(c *change, f httpRouteFilter) {
	switch {
	case f.RequestHeaderModifier != nil:
		m := f.RequestHeaderModifier
		for _, list := range []struct {
			in  []routeField
			out *[]envoy.Header
		}{{m.Set, &c.set}, {m.Add, &c.add}} {
			for _, h := range list.in {
				if strings.EqualFold(h.Name, "host") {
					c.host = h.Value
					continue
				}
				*list.out = append(*list.out, envoy.Header{Name: h.Name, Value: h.Value})
			}
		}
		c.remove = append(c.remove, m.Remove...)
	case f.URLRewrite != nil:
		if c.host == "" || f.URLRewrite.Hostname != "" {
			c.host = f.URLRewrite.Hostname
		}
		if p := f.URLRewrite.Path; p != nil && p.Type == "ReplaceFullPath" {
			c.pattern, c.substitution = "/.*", p.ReplaceFullPath
		} else if p != nil {
			c.prefix = strings.TrimSuffix(p.ReplacePrefixMatch, "/")
			c.removesPrefix = c.prefix == ""
		}
	case f.RequestRedirect != nil:
		if r.status = f.RequestRedirect.StatusCode; r.status == 0 {
			r.status = 302
		}
		r.reason = "the route redirects the client"
	case f.Type == "ResponseHeaderModifier", f.Type == "RequestMirror":
	case f.Type == "CORS":
		r.onPreflight = &envoy.Missing{What: "what a preflight gets by " + r.origin.String(), Why: "the CORS filter of the route may answer it"}
	default:
		r.lost = &envoy.Missing{What: "what " + r.origin.String() + " does", Why: "its filter " + quoted(f.Type) + " is not followed"}
	}
}

func (r *routeRule) apiMatch(m httpRouteMatch) {
	kinds := map[string]matchKind{"Exact": matchExact, "PathPrefix": matchPrefix, "RegularExpression": matchRegex, "": matchPrefix}
	r.path, r.segment = textMatch{kind: matchPrefix, value: "/"}, false
	if m.Path != nil {
		r.path.kind = kinds[m.Path.Type]
		if m.Path.Value != nil {
			r.path.value = *m.Path.Value
		}
		if r.path.kind == matchPrefix && r.path.value != "/" {
			r.path.value, r.segment = strings.TrimSuffix(r.path.value, "/"), true
		}
	}
	text := func(f routeField) textMatch {
		if f.Type == "RegularExpression" {
			return textMatch{kind: matchRegex, value: f.Value}
		}
		return textMatch{kind: matchExact, value: f.Value}
	}
	r.headers, r.query = nil, nil
	for _, h := range m.Headers {
		r.headers = append(r.headers, fieldMatch{name: h.Name, text: text(h)})
	}
	if m.Method != "" {
		r.headers = append(r.headers, fieldMatch{name: ":method", text: textMatch{kind: matchExact, value: m.Method}})
	}
	for _, q := range m.QueryParams {
		r.query = append(r.query, fieldMatch{name: q.Name, text: text(q)})
	}
}
