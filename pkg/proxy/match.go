package proxy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// stringMatch reads an envoy.type.matcher.v3.StringMatcher. The expression .+ gets its
// own kind, as pkg/istio gives it.
func stringMatch(o object) (envoy.StringMatch, error) {
	var m envoy.StringMatch
	var err error
	switch {
	case o.has("exact"):
		m = envoy.StringMatch{Kind: envoy.StringExact, Value: o.text("exact")}
	case o.has("prefix"):
		m = envoy.StringMatch{Kind: envoy.StringPrefix, Value: o.text("prefix")}
	case o.has("suffix"):
		m = envoy.StringMatch{Kind: envoy.StringSuffix, Value: o.text("suffix")}
	case o.has("contains"):
		// The API has it, Istio does not use it.
		m, err = envoy.NewRegex(".*" + regexp.QuoteMeta(o.text("contains")) + ".*")
	case o.sub("safe_regex").has("regex"):
		expr := o.sub("safe_regex").text("regex")
		if expr == ".+" {
			return envoy.StringMatch{Kind: envoy.StringNonEmpty}, nil
		}
		return envoy.NewRegex(expr)
	case len(o) == 0 || len(o) == 1 && o.has("ignore_case"):
		// An exact match with nothing: JSON leaves out what is empty.
		m = envoy.StringMatch{Kind: envoy.StringExact}
	default:
		return m, fmt.Errorf("a string matcher of a kind that is not known: %s", keys(o))
	}
	m.IgnoreCase = o.flag("ignore_case")
	return m, err
}

// headerMatch reads an envoy.config.route.v3.HeaderMatcher, in its newer and its
// older forms.
func headerMatch(o object) (envoy.Matcher, error) {
	m := &envoy.HeaderMatch{Name: strings.ToLower(o.text("name"))}
	var err error
	switch {
	case o.has("present_match"):
		if m.Present = o.flag("present_match"); !m.Present {
			m.Present = true
			return negated(m, !o.flag("invert_match")), nil
		}
	case o.has("string_match"):
		m.String, err = stringMatch(o.sub("string_match"))
	case o.has("exact_match"):
		m.String = envoy.StringMatch{Kind: envoy.StringExact, Value: o.text("exact_match")}
	case o.has("prefix_match"):
		m.String = envoy.StringMatch{Kind: envoy.StringPrefix, Value: o.text("prefix_match")}
	case o.has("suffix_match"):
		m.String = envoy.StringMatch{Kind: envoy.StringSuffix, Value: o.text("suffix_match")}
	case o.has("safe_regex_match"):
		m.String, err = stringMatch(object{"safe_regex": o.raw("safe_regex_match")})
	case !o.has("range_match") && !o.has("contains_match"):
		m.Present = true // without a specifier, presence is what counts
	default:
		return nil, fmt.Errorf("a header matcher of a kind that is not known: %s", keys(o))
	}
	if err != nil {
		return nil, err
	}
	if o.flag("treat_missing_header_as_empty") {
		return nil, fmt.Errorf("treat_missing_header_as_empty")
	}
	return negated(m, o.flag("invert_match")), nil
}

func negated(m envoy.Matcher, not bool) envoy.Matcher {
	if not {
		return envoy.NotMatch{Matcher: m}
	}
	return m
}

// block reads an envoy.config.core.v3.CidrRange.
func block(side envoy.IPSide, o object) (envoy.Matcher, error) {
	a, err := netip.ParseAddr(o.text("address_prefix"))
	if err != nil {
		return nil, fmt.Errorf("an address that cannot be read: %q", o.text("address_prefix"))
	}
	bits := int(o.number("prefix_len"))
	if bits > a.BitLen() {
		return nil, fmt.Errorf("a prefix of %d bits", bits)
	}
	return &envoy.IPMatch{Side: side, Block: netip.PrefixFrom(a, bits).Masked()}, nil
}

// The metadata that policies look at.
const (
	jwtNamespace = "envoy.filters.http.jwt_authn"
	jwtPayload   = "payload"
	// legacyNamespace is where proxies before 1.21 had the token's claims.
	legacyNamespace = "istio_authn"
)

// metadataMatch reads an envoy.type.matcher.v3.MetadataMatcher.
func metadataMatch(o object) (envoy.Matcher, error) {
	var path []string
	for _, seg := range o.objects("path") {
		path = append(path, seg.text("key"))
	}
	m, err := metadataValue(o.text("filter"), path, o.sub("value"))
	if err != nil {
		return nil, err
	}
	return negated(m, o.flag("invert")), nil
}

func metadataValue(filter string, path []string, v object) (envoy.Matcher, error) {
	leaf := func(list bool, s envoy.StringMatch) (envoy.Matcher, error) {
		switch {
		case filter == jwtNamespace && len(path) > 1 && path[0] == jwtPayload:
			shape := envoy.ClaimString
			if list {
				shape = envoy.ClaimList
			}
			return &envoy.ClaimShapeMatch{ClaimMatch: envoy.ClaimMatch{Path: path[1:], String: s}, Shape: shape}, nil
		case filter == legacyNamespace:
			return nil, fmt.Errorf("metadata of the filter %s, which proxies before 1.21 have", filter)
		case len(path) == 1:
			return &envoy.MetadataMatch{Filter: filter, Key: path[0], List: list, String: s}, nil
		}
		return nil, fmt.Errorf("metadata of %s at %s", filter, strings.Join(path, "."))
	}
	switch {
	case v.has("string_match"):
		s, err := stringMatch(v.sub("string_match"))
		if err != nil {
			return nil, err
		}
		return leaf(false, s)
	case v.sub("list_match").has("one_of"):
		return listValue(v.sub("list_match", "one_of"), leaf)
	case v.has("or_match"):
		var parts envoy.AnyMatch
		for _, e := range v.sub("or_match").objects("value_matchers") {
			m, err := metadataValue(filter, path, e)
			if err != nil {
				return nil, err
			}
			parts = append(parts, m)
		}
		return claimOfAnyShape(parts), nil
	}
	return nil, fmt.Errorf("a metadata matcher of a kind that is not known: %s", keys(v))
}

// listValue is a list that must have an element which one of the strings takes.
func listValue(v object, leaf func(bool, envoy.StringMatch) (envoy.Matcher, error)) (envoy.Matcher, error) {
	elements := []object{v}
	if v.has("or_match") {
		elements = v.sub("or_match").objects("value_matchers")
	}
	var parts envoy.AnyMatch
	for _, e := range elements {
		if !e.has("string_match") {
			return nil, fmt.Errorf("a list matcher of a kind that is not known: %s", keys(e))
		}
		s, err := stringMatch(e.sub("string_match"))
		if err != nil {
			return nil, err
		}
		m, err := leaf(true, s)
		if err != nil {
			return nil, err
		}
		parts = append(parts, m)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

// claimOfAnyShape takes the two halves that Istio writes for a claim, "a list with
// the string, or the string", for what they are together: one ClaimMatch a value.
func claimOfAnyShape(parts envoy.AnyMatch) envoy.Matcher {
	flat := flatten(parts)
	byShape := map[envoy.ClaimShape][]envoy.ClaimMatch{}
	for _, p := range flat {
		c, ok := p.(*envoy.ClaimShapeMatch)
		if !ok {
			return parts
		}
		byShape[c.Shape] = append(byShape[c.Shape], c.ClaimMatch)
	}
	strs, lists := byShape[envoy.ClaimString], byShape[envoy.ClaimList]
	if len(strs) != len(lists) {
		return parts
	}
	var out envoy.AnyMatch
	for i := range strs {
		if !sameString(strs[i].String, lists[i].String) {
			return parts
		}
		out = append(out, &strs[i])
	}
	if len(out) == 1 {
		return out[0]
	}
	return out
}

func flatten(parts []envoy.Matcher) []envoy.Matcher {
	var out []envoy.Matcher
	for _, p := range parts {
		if more, ok := p.(envoy.AnyMatch); ok {
			out = append(out, flatten(more)...)
			continue
		}
		out = append(out, p)
	}
	return out
}

func sameString(a, b envoy.StringMatch) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.IgnoreCase == b.IgnoreCase
}
