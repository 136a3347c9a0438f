package istio

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// routeRule is one match of a route with what comes of it.
type routeRule struct {
	origin  origin.Origin
	path    textMatch
	segment bool // of a prefix: it ends at a slash
	headers []fieldMatch
	query   []fieldMatch
	// missing is set where it is not known whether the rule fits, lost where it is not
	// known what it does.
	missing, lost *envoy.Missing
	backends      []Backend
	status        int
	reason        string
	// onPreflight is set where the route answers preflights of CORS itself.
	onPreflight *envoy.Missing
}

// matchKind is how a text is compared.
type matchKind uint8

const (
	matchAny matchKind = iota
	matchExact
	matchPrefix
	matchRegex
)

// textMatch compares a text.
type textMatch struct {
	kind       matchKind
	value      string
	ignoreCase bool
}

// fieldMatch compares a header or a parameter. Matches of pseudo headers have their names.
type fieldMatch struct {
	name    string
	text    textMatch // matchAny: it must be there
	inverse bool
}

func (m textMatch) matches(v string) envoy.Tri {
	want := m.value
	if m.ignoreCase && m.kind != matchRegex { // which Envoy compares as it stands (router/config_impl.cc:RegexRouteEntryImpl)
		v, want = strings.ToLower(v), strings.ToLower(want)
	}
	switch m.kind {
	case matchExact:
		return known(v == want)
	case matchPrefix:
		return known(strings.HasPrefix(v, want))
	case matchRegex:
		re, err := regexp.Compile(`^(?s:` + m.value + `)$`)
		if err != nil {
			return notKnown(&envoy.Missing{What: "what the pattern " + quoted(m.value) + " of a route matches", Why: "it cannot be read as a regular expression"})
		}
		return known(re.MatchString(v))
	default:
		return known(true)
	}
}

func known(b bool) envoy.Tri {
	if b {
		return envoy.Tri{T: envoy.True}
	}
	return envoy.Tri{T: envoy.False}
}

func notKnown(m *envoy.Missing) envoy.Tri {
	return envoy.Tri{T: envoy.Unknown, On: envoy.Deps{m}}
}

// catchAll reports whether the rule takes every request (route.go:IsCatchAllRoute).
func (r routeRule) catchAll() bool {
	all := r.path.kind == matchAny || r.path.kind == matchPrefix && r.path.value == "/" || r.path.kind == matchRegex && r.path.value == ".*"
	return all && len(r.headers)+len(r.query) == 0 && r.missing == nil
}

// fits reports whether the rule takes the request.
func (r routeRule) fits(c Crossing) envoy.Tri {
	u := c.Upstream
	path := pathOnly(u.Path)
	tries := []envoy.Tri{r.path.matches(path)}
	if r.segment && tries[0].T == envoy.True && len(path) > len(r.path.value) && path[len(r.path.value)] != '/' {
		return known(false)
	}
	for _, h := range r.headers {
		tries = append(tries, h.header(c))
	}
	for _, q := range r.query {
		tries = append(tries, q.parameter(u.Path))
	}
	if r.missing != nil {
		tries = append(tries, notKnown(r.missing))
	}
	out := known(true)
	for _, t := range tries {
		if t.T == envoy.False {
			return t
		}
		if t.T == envoy.Unknown {
			out = t
		}
	}
	return out
}

func pathOnly(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i]
	}
	return path
}

// header compares a header: several lines count as one, joined by commas
// (Envoy source/common/http/header_utility.cc:HeaderUtility::getAllOfHeaderAsString).
func (m fieldMatch) header(c Crossing) envoy.Tri {
	u := c.Upstream
	var values []string
	name := strings.ToLower(m.name)
	switch name {
	case ":method":
		values = []string{u.Method}
	case ":scheme":
		values = []string{u.Scheme}
	case ":authority", "host":
		if c.HostMissing != nil {
			return notKnown(c.HostMissing)
		}
		values = []string{u.Authority}
	default:
		for i, n := range u.Unknown {
			if n == name && m.text.kind != matchAny {
				return notKnown(u.Missing[i])
			}
			if n == name {
				values = append(values, "")
			}
		}
		for _, h := range u.Headers {
			if h.Name == name {
				values = append(values, h.Value)
			}
		}
	}
	return m.result(values, ",")
}

func (m fieldMatch) result(values []string, separator string) envoy.Tri {
	if len(values) == 0 && (!m.inverse || m.text.kind == matchAny) {
		return known(m.inverse)
	}
	t := m.text.matches(strings.Join(values, separator))
	if m.inverse && t.T != envoy.Unknown {
		return known(t.T == envoy.False)
	}
	return t
}

// parameter compares the first value of a parameter, as it stands.
func (m fieldMatch) parameter(path string) envoy.Tri {
	_, query, _ := strings.Cut(path, "?")
	for _, kv := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(kv, "=")
		plain, err := url.QueryUnescape(kv)
		if err != nil || plain != kv && strings.Contains(kv, m.name) {
			return notKnown(&envoy.Missing{What: "what the route makes of the parameter " + quoted(m.name), Why: "it is written with escapes"})
		}
		if name == m.name && kv != "" {
			return m.result([]string{value}, ",")
		}
	}
	return m.result(nil, ",")
}

// route is what comes of the rule.
func (r routeRule) route(c Crossing) Route {
	out := Route{Origin: r.origin}
	switch {
	case r.lost != nil:
		out.Missing = r.lost
	case r.onPreflight != nil && preflight(c.Upstream):
		out.Missing = r.onPreflight
	case r.status != 0:
		out.Status, out.Details, out.Reason = r.status, "direct_response", r.reason
	case len(r.backends) == 0:
		out.Missing = &envoy.Missing{What: "where " + r.origin.String() + " leads", Why: "it has no destination"}
	default:
		out.Backends = r.backends
	}
	return out
}

func preflight(u *envoy.Upstream) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(u.Headers, func(h envoy.Header) bool { return h.Name == name })
	}
	return u.Method == "OPTIONS" && has("origin") && has("access-control-request-method")
}

// quoted renders what a stranger wrote.
func quoted(s string) string { return strconv.Quote(s) }
