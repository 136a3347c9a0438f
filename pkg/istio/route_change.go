package istio

import (
	"regexp"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// change is what a route does to the request that it sends on.
type change struct {
	remove        []string
	set, add      []envoy.Header
	host          string
	path          textMatch // what the route has matched, which prefix replaces
	prefix        string
	pattern       string // of a regular expression, with what takes its place
	substitution  string
	removesPrefix bool
	timeout       bool
}

// Apply makes of the request what the backend gets; forwarded says that the proxy
// tells x-forwarded-host. What it cannot make is Missing.
func (b Backend) Apply(u *envoy.Upstream, forwarded bool) (*envoy.Upstream, *envoy.Missing) {
	c := b.change
	out := *u
	out.Headers, out.Unknown, out.Missing = slices.Clone(u.Headers), slices.Clone(u.Unknown), slices.Clone(u.Missing)
	for _, name := range c.remove {
		out.Remove(strings.ToLower(name))
	}
	for _, h := range c.set {
		if h.Value == "" {
			continue // Envoy adds no empty values
		}
		if strings.Contains(h.Value, "%") {
			out.SetUnknown(strings.ToLower(h.Name), formatted(h.Name))
			continue
		}
		out.Set(strings.ToLower(h.Name), h.Value)
	}
	for _, h := range c.add {
		if h.Value == "" {
			continue
		}
		if strings.Contains(h.Value, "%") || slices.Contains(out.Unknown, strings.ToLower(h.Name)) {
			out.SetUnknown(strings.ToLower(h.Name), formatted(h.Name))
			continue
		}
		out.Add(strings.ToLower(h.Name), h.Value)
	}
	if c.timeout {
		out.SetUnknown("x-envoy-expected-rq-timeout-ms", &envoy.Missing{What: "x-envoy-expected-rq-timeout-ms", Why: "it is what is left of the route's timeout"})
	}
	if c.host != "" {
		out.Set("x-envoy-original-host", out.Authority)
		if forwarded {
			out.Add("x-forwarded-host", out.Authority)
		}
		out.Authority = c.host
	}
	path, missing := c.rewrite(out.Path)
	if missing != nil {
		return nil, missing
	}
	if path != "" {
		out.Set("x-envoy-original-path", out.Path)
		out.Path = path
	}
	return &out, nil
}

func formatted(name string) *envoy.Missing {
	return &envoy.Missing{What: "the header " + quoted(name) + " that the route sets", Why: "its value is a format with variables"}
}

// rewrite is the path that the next hop gets; empty: the same
// (Envoy source/common/router/config_impl.cc:rewritePathByPrefixOrRegex).
func (c change) rewrite(path string) (string, *envoy.Missing) {
	only := pathOnly(path)
	rest := path[len(only):]
	switch {
	case c.removesPrefix:
		// A Gateway of the Gateway API that replaces a prefix by "/" (route.go).
		return "/" + strings.TrimPrefix(only[min(len(c.path.value), len(only)):], "/") + rest, nil
	case c.pattern != "":
		re, err := regexp.Compile(c.pattern)
		if err != nil || re.MatchString("") {
			return "", &envoy.Missing{What: "the path that the route makes", Why: "its pattern " + quoted(c.pattern) + " is not followed here"}
		}
		made := re.ReplaceAllString(only, goSubstitution(c.substitution))
		if made == "" {
			return "", nil
		}
		return made + rest, nil
	case c.prefix == "":
		return "", nil
	case c.path.kind == matchPrefix:
		return c.prefix + path[len(c.path.value):], nil
	case c.path.kind == matchAny: // the prefix "/"
		return c.prefix + path[1:], nil
	default:
		return c.prefix + rest, nil
	}
}

var groupReference = lazyregexp.New(`\\([0-9\\])`)

// goSubstitution writes RE2's \1 as Go does.
func goSubstitution(s string) string {
	s = strings.ReplaceAll(s, "$", "$$")
	return groupReference.ReplaceAllStringFunc(s, func(m string) string {
		if m == `\\` {
			return `\`
		}
		return "${" + m[1:] + "}"
	})
}
