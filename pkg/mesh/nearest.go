package mesh

import (
	"cmp"
	"slices"
	"strings"
)

// typesHint lists the types of targets.
func typesHint() string { return "known types: " + strings.Join(TargetTypes(), ", ") }

// maxShown is how many names an error shows.
const maxShown = 5

// notFound says what there is in the place of a target.
func (s *Snapshot) notFound(t Target, kind *targetKind, namespace string) error {
	err := &NotFoundError{Target: t, Kind: kind.kind, Namespace: namespace}
	all := s.Kind(kind.group, kind.kind)
	err.NoneOfKind = len(all) == 0
	var names []string
	for _, o := range all {
		switch {
		case o.Namespace == namespace:
			names = append(names, o.Name)
		case o.Name == t.Name:
			err.Elsewhere = append(err.Elsewhere, o.Namespace)
		}
	}
	slices.Sort(err.Elsewhere)
	slices.Sort(names)
	err.Nearest = nearest(t.Name, names, 3)
	err.Present = names[:min(maxShown, len(names))]
	for _, o := range all {
		if !slices.Contains(err.Populated, o.Namespace) && len(err.Populated) < maxShown {
			err.Populated = append(err.Populated, o.Namespace)
		}
	}
	slices.Sort(err.Populated)
	return err
}

// Nearest returns up to n of the names that look like the one that is wanted, the
// likest first.
func Nearest(want string, names []string, n int) []string { return nearest(want, names, n) }

// nearest returns up to n of the names that look like the one that is wanted, the
// likest first.
func nearest(want string, names []string, n int) []string {
	type scored struct {
		name     string
		distance int
	}
	var found []scored
	for _, name := range names {
		distance := editDistance(strings.ToLower(want), strings.ToLower(name))
		if strings.HasPrefix(name, want) || strings.HasPrefix(want, name) {
			distance = min(distance, 2)
		}
		if distance <= max(2, len(want)/3) {
			found = append(found, scored{name, distance})
		}
	}
	slices.SortFunc(found, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	out := make([]string, 0, n)
	for _, f := range found[:min(n, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// Mistyped reports whether one name is another with at most two letters wrong.
func Mistyped(a, b string) bool {
	const most = 2
	return a != b && min(len(a), len(b)) > most && editDistance(strings.ToLower(a), strings.ToLower(b)) <= most
}

// editDistance counts the insertions, deletions, changes and swaps of neighbours that
// make one text of the other.
func editDistance(a, b string) int {
	before, prev := []int(nil), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := prev[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(prev[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
