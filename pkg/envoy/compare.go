package envoy

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Same reports whether two policies match the same requests, as far as their form
// tells: the order of conditions and values does not count, nor does where they were
// written.
func (p *Policy) Same(o *Policy) bool { return p.form() == o.form() }

func (p *Policy) form() string {
	if p.Never {
		return "never"
	}
	if p.Doubt != nil {
		return "doubt " + p.Doubt.What
	}
	return "permissions " + clauseForms(p.Permissions) + " principals " + clauseForms(p.Principals)
}

func clauseForms(cs []Clause) string {
	return sorted(cs, func(c Clause) string {
		return sorted(c.Conditions, func(c Condition) string {
			return fmt.Sprintf("%v %s", c.Negated, sorted(c.Matchers, matcherForm))
		})
	})
}

func sorted[T any](in []T, form func(T) string) string {
	out := make([]string, len(in))
	for i, e := range in {
		out[i] = form(e)
	}
	sort.Strings(out)
	return "[" + strings.Join(slices.Compact(out), "; ") + "]"
}

func matcherForm(m Matcher) string {
	switch m := m.(type) {
	case AllMatch:
		return "all" + sorted(m, matcherForm)
	case AnyMatch:
		return "any" + sorted(m, matcherForm)
	case NotMatch:
		return "not " + matcherForm(m.Matcher)
	case *HeaderMatch:
		if m.Present {
			return fmt.Sprintf("header %q", m.Name)
		}
		return fmt.Sprintf("header %q %s", m.Name, m.String.form())
	case *TemplateMatch:
		return fmt.Sprintf("template %q", templateReplacer.Replace(m.Template))
	case *PathMatch:
		return "path " + m.String.form()
	case *IPMatch:
		return fmt.Sprintf("ip %d %s", m.Side, m.Block)
	case *PortMatch:
		return fmt.Sprintf("port %d", m.Port)
	case *SNIMatch:
		return "sni " + m.String.form()
	case *IdentityMatch:
		return "identity " + m.String.form()
	case *TunnelPeerMatch:
		return "peer " + m.String.form()
	case *PrincipalMatch:
		return "principal " + m.Issuer.form() + " " + m.Subject.form()
	case *ClaimMatch:
		return fmt.Sprintf("claim %q %s", m.Path, m.String.form())
	case *ClaimShapeMatch:
		return fmt.Sprintf("claim %d %q %s", m.Shape, m.Path, m.String.form())
	case *MetadataMatch:
		return fmt.Sprintf("metadata %q %q %v %s", m.Filter, m.Key, m.List, m.String.form())
	default:
		return fmt.Sprintf("%T %p", m, m)
	}
}

func (m StringMatch) form() string { return fmt.Sprintf("%d %q %v", m.Kind, m.Value, m.IgnoreCase) }

// Same reports whether two providers treat tokens alike; where their keys come from
// does not count.
func (p *Provider) Same(o *Provider) bool { return p.form() == o.form() }

func (p *Provider) form() string {
	locations := make([]string, len(p.Locations))
	for i, l := range p.Locations {
		locations[i] = fmt.Sprintf("%d %q %q", l.Kind, l.Name, l.Prefix)
	}
	return fmt.Sprintf("%q %q %v %q %v %q %v", p.Issuer, sorted(p.Audiences, func(s string) string { return s }), p.Forward,
		strings.ToLower(p.PayloadHeader), p.ClaimHeaders, p.SpaceDelimited, locations)
}
