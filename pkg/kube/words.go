package kube

import (
	"fmt"
	"slices"
	"strings"
)

// oneLine is an error's text as one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// shortList names a few, and how many more there are.
func shortList(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
