package kube

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// mergePods makes one list of the lists of pods of one namespace, where that gives few
// others: a caller of the target's namespace costs no request more.
func mergePods(in []query) []query {
	var out []query
	for _, r := range in {
		i := slices.IndexFunc(out, func(o query) bool {
			return o.kind == "Pod" && r.kind == "Pod" && o.name == "" && r.name == "" && o.namespace == r.namespace && o.fields == r.fields && o.plane == r.plane
		})
		if i >= 0 {
			if both, ok := eitherOf(out[i].labels, r.labels); ok {
				out[i].labels = both
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// eitherOf is a selector that takes what one of two takes, and little else: they must be
// about the same labels, each with values that are listed.
func eitherOf(a, b string) (string, bool) {
	if a == b {
		return a, true
	}
	if a == "" || b == "" {
		return "", true
	}
	one, other := valuesOf(a), valuesOf(b)
	if one == nil || len(one) != len(other) {
		return "", false
	}
	var parts []string
	for key, values := range one {
		more, ok := other[key]
		if !ok {
			return "", false
		}
		for _, v := range more {
			if !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		slices.Sort(values)
		parts = append(parts, key+" in ("+strings.Join(values, ",")+")")
	}
	slices.Sort(parts)
	return strings.Join(parts, ","), true
}

// valuesOf are the values that a selector takes, by label; nil where it is not of that
// kind.
func valuesOf(selector string) map[string][]string {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return nil
	}
	requirements, _ := parsed.Requirements()
	out := map[string][]string{}
	for _, r := range requirements {
		switch r.Operator() {
		case selection.In, selection.Equals, selection.DoubleEquals:
		default:
			return nil
		}
		if out[r.Key()] != nil {
			return nil
		}
		out[r.Key()] = r.ValuesUnsorted()
	}
	return out
}
