package mesh

import (
	"bytes"
	"encoding/json"
	"time"

	"gopkg.in/yaml.v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// parseTree parses a document; nil where there is nothing in it.
func parseTree(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// tree reads a document with a real YAML parser.
func (p *parser) tree(d document) error {
	pos := Position{p.opts.File, d.line}
	root, err := parseTree(d.raw)
	if err != nil {
		return yamlError(pos, "", d.raw, err)
	}
	if root == nil || kindOf(root) == isNull {
		return nil
	}
	pos.Line += root.Line - 1
	if kindOf(root) != isMap {
		e := &InputError{
			File: pos.File, Line: pos.Line, Problem: "is " + string(kindOf(root)) + ", not a Kubernetes object",
			Hint: "a manifest begins with apiVersion and kind",
		}
		if bytes.Contains(d.raw, []byte("{{")) {
			e.Hint = templateHint
		}
		return e
	}
	if err := checkExpansion(root, pos, len(d.raw)); err != nil {
		return err
	}
	if err := checkAlone(d.raw, pos); err != nil {
		return err
	}
	o := &Object{Position: pos, raw: d.raw, first: d.line}
	if items := listItems(root); items != nil {
		return p.treeList(o, root, items)
	}
	if err := p.checkList(root, d.line); err != nil {
		return err
	}
	if err := p.treeHeader(o, root, nil); err != nil {
		return err
	}
	return p.keep(o)
}

// listItems returns the items of a List, nil where it is none.
func listItems(root *yaml.Node) *yaml.Node {
	kind, items := target(valueOf(root, "kind")), valueOf(root, "items")
	if kind == nil || items == nil || !isListKind(kind.Value) || kindOf(items) != isList && kindOf(items) != isNull {
		return nil
	}
	return target(items)
}

// treeList reads the items of a List, each as JSON, with its part of the tree for the lines.
func (p *parser) treeList(list *Object, root, items *yaml.Node) error {
	data, err := sigsyaml.YAMLToJSON(list.raw)
	if err != nil {
		return yamlError(Position{p.opts.File, list.first}, "", list.raw, err)
	}
	return p.treeItems(data, list.first, root, items)
}

func (p *parser) treeItems(data []byte, first int, root, items *yaml.Node) error {
	var l struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return yamlError(Position{p.opts.File, first}, "", nil, err)
	}
	if err := p.within(Position{p.opts.File, first + root.Line - 1}); err != nil {
		return err
	}
	defer func() { p.depth-- }()
	for i, raw := range l.Items {
		node := target(items.Content[i])
		o := &Object{
			Position: Position{p.opts.File, first + items.Content[i].Line - 1},
			raw:      raw, isJSON: true, first: first,
		}
		if kindOf(node) != isMap {
			return &InputError{
				File: o.Position.File, Line: o.Position.Line, Field: joinIndex("items", i),
				Problem: "is " + string(kindOf(node)) + ", not a Kubernetes object",
				Hint:    "every item of a List is a whole object, with apiVersion and kind",
			}
		}
		if inner := listItems(node); inner != nil {
			if err := p.treeItems(raw, first, node, inner); err != nil {
				return err
			}
			continue
		}
		if err := p.checkList(node, first); err != nil {
			return err
		}
		o.tree.Store(node)
		if err := p.treeHeader(o, node, root); err != nil {
			return err
		}
		if err := p.keep(o); err != nil {
			return err
		}
	}
	return nil
}

// treeHeader takes the header of an object from its tree. An item of a list of one kind
// may leave apiVersion and kind to the list, as the API server does.
func (p *parser) treeHeader(o *Object, root, list *yaml.Node) error {
	h := &treeReader{parser: p, object: o}
	o.APIVersion, o.Kind = h.text(root, "apiVersion"), h.text(root, "kind")
	if o.Kind == "" && o.APIVersion == "" && list != nil {
		if kind := h.text(list, "kind"); kind != "List" {
			o.APIVersion, o.Kind = h.text(list, "apiVersion"), kind[:len(kind)-len("List")]
		}
	}
	if h.err == nil && (o.Kind == "" || o.APIVersion == "") {
		return h.notAnObject(root)
	}
	if meta := target(valueOf(root, "metadata")); meta != nil && kindOf(meta) != isNull {
		h.metadata(meta)
	}
	h.duplicates(root, "")
	return h.err
}

func (h *treeReader) metadata(meta *yaml.Node) {
	if kindOf(meta) != isMap {
		h.fail(meta, "metadata", "is "+string(kindOf(meta))+" where a mapping is wanted", "write name and namespace below metadata, further in")
		return
	}
	h.duplicates(meta, "metadata")
	h.prefix = "metadata."
	o := h.object
	o.Name, o.Namespace, o.UID = h.text(meta, "name"), h.text(meta, "namespace"), h.text(meta, "uid")
	if o.Name == "" {
		o.Name = h.text(meta, "generateName")
	}
	if t, err := time.Parse(time.RFC3339, h.text(meta, "creationTimestamp")); err == nil {
		o.Created = t.Unix()
	}
	o.Labels, o.Annotations = h.pairs(meta, "labels"), h.pairs(meta, "annotations")
	delete(o.Annotations, lastApplied)
}

// treeReader reads a header; the first error stays.
type treeReader struct {
	parser *parser
	object *Object
	prefix string
	err    error
}

func (h *treeReader) fail(n *yaml.Node, field, problem, hint string) {
	if h.err != nil {
		return
	}
	if bytes.Contains(h.object.raw, []byte("{{")) && !h.object.isJSON {
		hint = templateHint
	}
	object := h.object.Kind
	if h.object.Name != "" {
		ref := h.object.Ref()
		if ref.Namespace == "" && isNamespaced(h.object.Group(), ref.Kind) {
			ref.Namespace = h.parser.opts.Namespace
		}
		object = ref.String()
	}
	h.err = &InputError{
		File: h.object.Position.File, Line: h.object.first + n.Line - 1, Object: object, Field: field, Problem: problem, Hint: hint,
	}
}

// text is a string of a mapping; empty where there is none.
func (h *treeReader) text(m *yaml.Node, key string) string {
	n := valueOf(m, key)
	if n == nil || kindOf(n) == isNull {
		return ""
	}
	if kind := kindOf(n); kind != isString {
		h.wantsText(n, h.prefix+key, kind)
		return ""
	}
	return h.parser.intern([]byte(target(n).Value))
}

func (h *treeReader) wantsText(n *yaml.Node, field string, kind valueKind) {
	hint := "write one value there"
	if kind == isBool || kind == isNumber {
		hint = "put it in quotes: " + quoted(target(n).Value)
	}
	h.fail(n, field, "is "+string(kind)+" where text is wanted", hint)
}

// pairs is a mapping of strings.
func (h *treeReader) pairs(m *yaml.Node, key string) map[string]string {
	n := target(valueOf(m, key))
	if n == nil || kindOf(n) == isNull {
		return nil
	}
	if kindOf(n) != isMap {
		h.fail(n, h.prefix+key, "is "+string(kindOf(n))+" where a mapping is wanted", "write it as name: value")
		return nil
	}
	h.duplicates(n, h.prefix+key)
	out := map[string]string{}
	for k, v := range fields(n) {
		if kind := kindOf(v); kind != isString && kind != isNull {
			h.wantsText(v, joinField(h.prefix+key, k.Value), kind)
			return nil
		}
		out[h.parser.intern([]byte(keyText(k)))] = h.parser.intern([]byte(nullOr(v)))
	}
	return out
}

func nullOr(n *yaml.Node) string {
	if kindOf(n) == isNull {
		return ""
	}
	return target(n).Value
}

// duplicates finds a key that is given twice.
func (h *treeReader) duplicates(m *yaml.Node, field string) {
	if again, first := duplicateKey(m); again != nil {
		h.fail(again, joinField(field, again.Value), duplicateProblem(h.object.first+first.Line-1), duplicateHint)
	}
}

// notAnObject says what a document is that has no apiVersion or no kind.
func (h *treeReader) notAnObject(root *yaml.Node) error {
	missing := "apiVersion and kind"
	switch {
	case h.object.Kind != "":
		missing = "apiVersion"
	case h.object.APIVersion != "":
		missing = "kind"
	}
	e := &InputError{
		File: h.object.Position.File, Line: h.object.Position.Line, Problem: "is no Kubernetes object: it has no " + missing,
		Hint: "leave the file out if it is no manifest (a values file of a chart, say)",
	}
	if valueOf(root, "keys") != nil {
		e.Hint = "it looks like a key set: give it with --jwks URI=FILE, or to scaffold with --jwks-file"
	}
	for k := range fields(root) {
		for _, want := range []string{"apiVersion", "kind"} {
			if near := nearest(k.Value, []string{want}, 1); valueOf(root, want) == nil && len(near) > 0 {
				e.Line, e.Field = h.object.first+k.Line-1, k.Value
				e.Hint = "did you mean " + want + "?"
			}
		}
	}
	return e
}
