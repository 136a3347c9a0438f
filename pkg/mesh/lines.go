package mesh

import (
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Line is the line of a field such as spec.rules[0].to[0].operation.paths[1], or where
// there is none that of its nearest ancestor; 0 for what an API server sent.
func (o *Object) Line(field string) int {
	if o.Position == (Position{}) {
		return 0 // it was not read from a file
	}
	line := o.Position.Line
	node := o.root()
	for _, step := range splitField(field) {
		next, at := child(node, step)
		if next == nil {
			break
		}
		node, line = next, o.first+at-1
	}
	return line
}

// root is the parsed object, nil where it cannot be parsed.
func (o *Object) root() *yaml.Node {
	if tree := o.tree.Load(); tree != nil {
		return tree
	}
	tree, err := parseTree(o.text())
	if err != nil || tree == nil {
		return nil
	}
	o.tree.Store(tree)
	return tree
}

// child is the value below a node at one step of a path, and the line of its key.
func child(node *yaml.Node, step string) (*yaml.Node, int) {
	if node = target(node); node == nil {
		return nil, 0
	}
	switch node.Kind {
	case yaml.MappingNode:
		var value *yaml.Node
		line := 0
		for k, v := range fields(node) {
			if k.Value == step {
				value, line = v, k.Line
			}
		}
		return value, line
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	}
	return nil, 0
}

// splitField cuts a path into keys and indexes: a key with dots or brackets in it is
// written in quotes within brackets, metadata.labels["istio.io/rev"].
func splitField(field string) []string {
	var out []string
	for field != "" {
		switch {
		case field[0] == '.':
			field = field[1:]
		case strings.HasPrefix(field, `["`):
			end := strings.Index(field, `"]`)
			if end < 0 {
				return append(out, field[2:])
			}
			out = append(out, field[2:end])
			field = field[end+2:]
		case field[0] == '[':
			end := strings.IndexByte(field, ']')
			if end < 0 {
				return append(out, field[1:])
			}
			out = append(out, field[1:end])
			field = field[end+1:]
		default:
			end := strings.IndexAny(field, ".[")
			if end < 0 {
				return append(out, field)
			}
			out = append(out, field[:end])
			field = field[end:]
		}
	}
	return out
}
