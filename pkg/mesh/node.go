package mesh

import (
	"iter"
	"strconv"

	"gopkg.in/yaml.v3"
)

// valueOf is the value of a key in a mapping, nil where there is none. A key that
// stands twice counts as kubectl's reader has it: the last one.
func valueOf(m *yaml.Node, key string) *yaml.Node {
	var out *yaml.Node
	if m == nil {
		return nil
	}
	for k, v := range fields(m) {
		if k.Value == key {
			out = v
		}
	}
	return out
}

// fields walks over the keys and values of a mapping. What is merged with << comes
// first, so that the mapping's own keys win.
func fields(m *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) { walkFields(m, yield, 0) }
}

// maxMerge is how deep mappings may be merged into each other.
const maxMerge = 16

func walkFields(m *yaml.Node, yield func(k, v *yaml.Node) bool, depth int) bool {
	if m = target(m); m == nil || m.Kind != yaml.MappingNode || depth > maxMerge {
		return true
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if !isMerge(m.Content[i]) {
			continue
		}
		merged := []*yaml.Node{m.Content[i+1]}
		if t := target(m.Content[i+1]); t.Kind == yaml.SequenceNode {
			merged = t.Content
		}
		for j := len(merged) - 1; j >= 0; j-- { // the first of several wins
			if !walkFields(merged[j], yield, depth+1) {
				return false
			}
		}
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if !isMerge(m.Content[i]) && !yield(target(m.Content[i]), m.Content[i+1]) {
			return false
		}
	}
	return true
}

func isMerge(k *yaml.Node) bool { return k.ShortTag() == "!!merge" }

// duplicateKey finds a key that a mapping has twice: the second and the first of them.
func duplicateKey(m *yaml.Node) (again, first *yaml.Node) {
	m = target(m)
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, nil
	}
	seen := make(map[string]*yaml.Node, len(m.Content)/2)
	for i := 0; i+1 < len(m.Content); i += 2 {
		k := m.Content[i]
		if before, twice := seen[k.Value]; twice && k.Kind == yaml.ScalarNode {
			return k, before
		}
		seen[k.Value] = k
	}
	return nil, nil
}

const duplicateHint = "keep one of the two: only the last would count"

func duplicateProblem(line int) string { return "is given twice, first on line " + strconv.Itoa(line) }

func joinIndex(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// maxExpansion is the size in bytes up to which aliases may blow a document up.
const maxExpansion = 64 << 20

// checkExpansion refuses a document whose aliases, put in full, make it huge, or never end.
func checkExpansion(root *yaml.Node, pos Position, size int) error {
	x := &expansion{size: map[*yaml.Node]int{}}
	if total := x.of(root); total > maxExpansion && total > 4*size {
		return &InputError{
			File: pos.File, Line: pos.Line, Problem: "has aliases (*name) that blow it up to more than " + strconv.Itoa(maxExpansion>>20) + " MiB",
			Hint: "write the values out instead of repeating them by alias",
		}
	}
	return nil
}

// expansion adds up the size of nodes with aliases put in full.
type expansion struct{ size map[*yaml.Node]int }

const tooBig = 1 << 40

func (x *expansion) of(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode {
		if n.Alias == nil {
			return 0
		}
		if known, found := x.size[n.Alias]; found {
			return known
		}
		x.size[n.Alias] = tooBig // should it come by itself again
		total := x.sum(n.Alias)
		x.size[n.Alias] = total
		return total
	}
	if n.Anchor == "" {
		return x.sum(n)
	}
	if known, found := x.size[n]; found {
		return known
	}
	x.size[n] = tooBig
	total := x.sum(n)
	x.size[n] = total
	return total
}

func (x *expansion) sum(n *yaml.Node) int {
	total := len(n.Value) + 1
	for _, c := range n.Content {
		total = min(tooBig, total+x.of(c))
	}
	return total
}
