package istio

import (
	"slices"
	"strings"
)

// replaceTrustDomains writes a principal of the form td/ns/x/sa/y once for each
// known trust domain where td is one of them or cluster.local
// (Istio pilot/pkg/security/trustdomain/bundle.go:ReplaceTrustDomainAliases).
func replaceTrustDomains(bundle, principals []string) []string {
	var out []string
	for _, p := range principals {
		td, rest, _ := strings.Cut(p, "/")
		if strings.Count(p, "/") != 4 || td == "*" || !knownTrustDomain(bundle, td) {
			out = append(out, p)
			continue
		}
		var variants []string
		for _, known := range bundle {
			v := known + "/" + rest
			if suffixMatch(known, td) {
				v = p
			}
			if !slices.Contains(variants, v) {
				variants = append(variants, v)
			}
		}
		out = append(out, variants...)
	}
	return out
}

func knownTrustDomain(bundle []string, td string) bool {
	if td == defaultTrustDomain {
		return true
	}
	for _, known := range bundle {
		if td == known || known == "*" || prefixMatch(td, known) || prefixMatch(known, td) ||
			suffixMatch(td, known) || suffixMatch(known, td) {
			return true
		}
	}
	return false
}

// prefixMatch reports whether pattern is "x*" and a begins with x.
func prefixMatch(a, pattern string) bool {
	return strings.HasSuffix(pattern, "*") && strings.HasPrefix(a, strings.TrimSuffix(pattern, "*"))
}

// suffixMatch reports whether pattern is "*x" and a ends with x.
func suffixMatch(a, pattern string) bool {
	return strings.HasPrefix(pattern, "*") && strings.HasSuffix(a, strings.TrimPrefix(pattern, "*"))
}

// expandTrustDomains replaces each value that is a known trust domain by all of
// them (bundle.go:ExpandTrustDomainAliases).
func expandTrustDomains(bundle, values []string) []string {
	var out []string
	add := func(v string) {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	for _, v := range values {
		if !slices.Contains(bundle, v) {
			add(v)
			continue
		}
		for _, td := range bundle {
			add(td)
		}
	}
	return out
}
