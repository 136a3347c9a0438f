package mesh

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit returns a copy of the object with changes, whose text is a manifest that can be
// applied: as the object was written, with its comments, its order and its own fields,
// but without what only a server writes. A namespace that was implied is written out,
// since whoever applies it may be elsewhere. The copy keeps the time of creation and
// the uid, as the server does. An error of change is returned as it is.
func (o *Object) Edit(change func(*Editor) error) (*Object, error) {
	e, err := newEditor(o)
	if err != nil {
		return nil, err
	}
	if err := change(e); err != nil {
		return nil, err
	}
	text, err := e.text()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.Ref(), err)
	}
	objects, err := Parse(text, ParseOptions{File: o.Position.File, Namespace: o.Namespace})
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%s was not one object after the change", o.Ref())
	}
	return objects[0].inPlaceOf(o), nil
}

// Manifest is the object as it was written.
func (o *Object) Manifest() string { return string(o.text()) }

// Editor changes the tree of one object. Fields are written as in
// spec.rules[0].to[0].operation.paths.
type Editor struct {
	root    *yaml.Node
	compact bool // items of lists stand in the column of their key
}

// Entry is a key with its value, for mappings that keep their order.
type Entry struct {
	Key   string
	Value any // string, bool, int, []string, []any or []Entry
}

// serverFields are what only a server writes into metadata.
var serverFields = []string{
	"managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds",
}

func newEditor(o *Object) (*Editor, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(o.text(), &doc); err != nil || len(doc.Content) == 0 {
		return nil, fmt.Errorf("read %s: it cannot be edited", o.Ref())
	}
	e := &Editor{root: doc.Content[0]}
	e.root.HeadComment = firstOf(e.root.HeadComment, doc.HeadComment)
	if unfold(e.root, 0) != nil || e.root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("read %s: it cannot be edited", o.Ref())
	}
	e.compact = o.isJSON || compactLists(e.root)
	if o.isJSON {
		blockStyle(e.root)
	}
	e.drop(e.root, "status")
	if meta := e.value(e.root, "metadata"); meta != nil {
		for _, name := range serverFields {
			e.drop(meta, name)
		}
		if notes := e.value(meta, "annotations"); notes != nil {
			if e.drop(notes, lastApplied); len(notes.Content) == 0 {
				e.drop(meta, "annotations")
			}
		}
		if o.Namespace != "" && e.value(meta, "namespace") == nil {
			meta.Content = append(meta.Content, scalar("namespace", nil), scalar(o.Namespace, nil))
		}
	}
	return e, nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// maxUnfold is how deep a document may nest.
const maxUnfold = 200

// unfold puts aliases and merged mappings in full, so that a change stays where it was
// made. Anchors go with them.
func unfold(n *yaml.Node, depth int) error {
	if depth > maxUnfold {
		return fmt.Errorf("nested too deeply")
	}
	n.Anchor = ""
	for i := 0; i < len(n.Content); i++ {
		c := n.Content[i]
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.ShortTag() == "!!merge" {
			return fmt.Errorf("merged mappings")
		}
		if c.Kind == yaml.AliasNode {
			c = clone(c.Alias)
			n.Content[i] = c
		}
		if err := unfold(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func clone(n *yaml.Node) *yaml.Node {
	out := *n
	out.Anchor = ""
	out.Content = make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		out.Content[i] = clone(c)
	}
	return &out
}

// compactLists reports whether the first list of the document stands in the column of
// its key, as kubectl writes it.
func compactLists(n *yaml.Node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if n.Kind != yaml.MappingNode {
			break
		}
		if v.Kind == yaml.SequenceNode && v.Style&yaml.FlowStyle == 0 && len(v.Content) > 0 {
			return v.Column <= k.Column
		}
		if v.Kind == yaml.MappingNode && compactLists(v) {
			return true
		}
	}
	return false
}

// blockStyle writes what was JSON as people write YAML.
func blockStyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!str" && surelyString([]byte(n.Value)) {
		n.Style = 0
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

func (e *Editor) text() ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if e.compact {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(e.root); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// value is the value of a key; of a key that stands twice the last.
func (e *Editor) value(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := len(m.Content) - 2; i >= 0; i -= 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func (e *Editor) drop(m *yaml.Node, key string) {
	for i := 0; i+1 < len(m.Content); {
		if m.Content[i].Value == key {
			m.Content = slices.Delete(m.Content, i, i+2)
			continue
		}
		i += 2
	}
}

// at is the node of a field, nil where there is none.
func (e *Editor) at(field string) *yaml.Node {
	n := e.root
	for _, step := range splitField(field) {
		if n == nil {
			return nil
		}
		switch n.Kind {
		case yaml.MappingNode:
			n = e.value(n, step)
		case yaml.SequenceNode:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(n.Content) {
				return nil
			}
			n = n.Content[i]
		default:
			return nil
		}
	}
	return n
}

// Has reports whether the object has the field.
func (e *Editor) Has(field string) bool { return e.at(field) != nil }

// Len is the number of items of a list, or of keys of a mapping.
func (e *Editor) Len(field string) int {
	n := e.at(field)
	switch {
	case n == nil:
		return 0
	case n.Kind == yaml.MappingNode:
		return len(n.Content) / 2
	}
	return len(n.Content)
}

// Text is a field's text, empty where there is none.
func (e *Editor) Text(field string) string {
	if n := e.at(field); n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// Texts are the items of a list of texts.
func (e *Editor) Texts(field string) []string {
	n := e.at(field)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]string, len(n.Content))
	for i, c := range n.Content {
		out[i] = c.Value
	}
	return out
}

// Set gives a field a value. Mappings on the way are made where they are missing.
func (e *Editor) Set(field string, value any) error {
	parent, key, err := e.parent(field)
	if err != nil {
		return err
	}
	if parent.Kind == yaml.SequenceNode {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(parent.Content) {
			return fmt.Errorf("there is no %s", field)
		}
		parent.Content[i] = e.node(value, parent.Content[i])
		return nil
	}
	if old := e.value(parent, key); old != nil {
		n := e.node(value, old)
		n.LineComment = old.LineComment
		*old = *n
		return nil
	}
	opened(parent)
	parent.Content = append(parent.Content, scalar(key, nil), e.node(value, nil))
	return nil
}

// opened makes room in an empty mapping or list that was written as {} or [].
func opened(n *yaml.Node) {
	if len(n.Content) == 0 {
		n.Style &^= yaml.FlowStyle
	}
}

// parent is the mapping or list that a field is in, and the last step to it.
func (e *Editor) parent(field string) (*yaml.Node, string, error) {
	steps := splitField(field)
	n := e.root
	for _, step := range steps[:len(steps)-1] {
		if n.Kind == yaml.SequenceNode {
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(n.Content) {
				return nil, "", fmt.Errorf("there is no %s", field)
			}
			n = n.Content[i]
			continue
		}
		if n.Kind != yaml.MappingNode {
			return nil, "", fmt.Errorf("there is no place for %s", field)
		}
		next := e.value(n, step)
		if next == nil {
			next = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			opened(n)
			n.Content = append(n.Content, scalar(step, nil), next)
		}
		if next.Kind == yaml.ScalarNode && next.ShortTag() == "!!null" {
			*next = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		n = next
	}
	if n.Kind == yaml.ScalarNode {
		return nil, "", fmt.Errorf("there is no place for %s", field)
	}
	return n, steps[len(steps)-1], nil
}

// Append adds an item to a list, which is made where it is missing.
func (e *Editor) Append(list string, item any) error {
	n := e.at(list)
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return e.Set(list, []any{item})
	}
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("%s is no list", list)
	}
	opened(n)
	var like *yaml.Node
	if len(n.Content) > 0 {
		like = n.Content[len(n.Content)-1]
	}
	n.Content = append(n.Content, e.node(item, like))
	return nil
}

// Copy adds a copy of an item of a list to the list and returns the copy's field.
func (e *Editor) Copy(item string) (string, error) {
	n := e.at(item)
	end := strings.LastIndexByte(item, '[')
	if n == nil || end < 0 {
		return "", fmt.Errorf("there is no %s", item)
	}
	list := e.at(item[:end])
	c := clone(n)
	uncommented(c)
	list.Content = append(list.Content, c)
	return joinIndex(item[:end], len(list.Content)-1), nil
}

// uncommented takes the comments off a copy: they were written about the original.
func uncommented(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		uncommented(c)
	}
}

// Remove takes away a key or an item.
func (e *Editor) Remove(field string) error {
	parent, key, err := e.parent(field)
	if err != nil {
		return err
	}
	if parent.Kind == yaml.MappingNode {
		e.drop(parent, key)
		return nil
	}
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || i >= len(parent.Content) {
		return fmt.Errorf("there is no %s", field)
	}
	parent.Content = slices.Delete(parent.Content, i, i+1)
	return nil
}

// node makes the tree of a value, with texts quoted as in a neighbour.
func (e *Editor) node(value any, like *yaml.Node) *yaml.Node {
	switch v := value.(type) {
	case string:
		return scalar(v, like)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}
	case []string:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, s := range v {
			n.Content = append(n.Content, scalar(s, nil))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range v {
			n.Content = append(n.Content, e.node(item, nil))
		}
		return n
	case []Entry:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, entry := range v {
			n.Content = append(n.Content, scalar(entry.Key, nil), e.node(entry.Value, nil))
		}
		return n
	default:
		return scalar(fmt.Sprint(v), like)
	}
}

// scalar is a text, in quotes where its neighbour is in quotes or it would not be
// read back as text by every reader.
func scalar(text string, like *yaml.Node) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	const quotes = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle
	switch {
	case like != nil && like.Kind == yaml.ScalarNode && like.Style&quotes != 0 && !strings.ContainsAny(text, "\n'\\"):
		n.Style = like.Style & quotes
	case !surelyString([]byte(text)):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// NewManifest is the text of an object that was not there yet.
func NewManifest(object []Entry) string {
	e := &Editor{compact: true}
	e.root = e.node(object, nil)
	text, err := e.text()
	if err != nil {
		return "" // what is made of plain texts can be written
	}
	return string(text)
}
