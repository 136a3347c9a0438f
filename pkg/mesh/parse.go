package mesh

import (
	"bytes"
	"errors"
	"strings"
)

// ParseOptions say how the text of manifests is read.
type ParseOptions struct {
	// File is the name that positions carry.
	File string
	// Namespace is that of objects which name none though their kind lives in one;
	// empty stands for "default".
	Namespace string
	// Server says that the text is the answer of an API server: its objects have no
	// positions.
	Server bool
}

// Parse reads manifests: YAML documents, JSON, and Lists of either. The objects keep
// slices of data, which must not be changed afterwards. Errors are *InputError.
func Parse(data []byte, opts ParseOptions) ([]*Object, error) {
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	p := &parser{opts: opts, interned: map[string]string{}}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := checkText(data, opts.File); err != nil {
		return nil, err
	}
	data = withoutLoneCR(data)
	p.plain = plainText(data)
	for d := range documents(data) {
		if err := p.document(d); err != nil {
			return nil, err
		}
	}
	return p.objects, nil
}

// parser reads one file.
type parser struct {
	opts     ParseOptions
	interned map[string]string
	objects  []*Object
	depth    int  // the Lists around what is read
	plain    bool // the text has no characters that YAML treats in a special way
}

// errOdd says that a text has to be read by a real parser.
var errOdd = errors.New("unusual YAML")

// document reads the text between two markers.
func (p *parser) document(d document) error {
	if first := firstByte(d.raw); first == '{' || first == '[' {
		if err := p.json(d); !errors.Is(err, errOdd) {
			return err
		}
	}
	if p.plain {
		if err := p.block(d); !errors.Is(err, errOdd) {
			return err
		}
	}
	return p.tree(d)
}

func firstByte(raw []byte) byte {
	if raw = bytes.TrimLeft(raw, " \t\r\n"); len(raw) > 0 {
		return raw[0]
	}
	return 0
}

// block reads a document in the plain block style, or returns errOdd.
func (p *parser) block(d document) error {
	head := newHeaderScan(p, 0)
	var items []listItem
	inItems := false
	s := newScanner(d.raw)
	var e entry
	for s.next(&e) {
		switch {
		case e.depth == 1:
			if inItems {
				items[len(items)-1].end = e.start
			}
			head.take(&e)
			inItems = false
			if head.top == "items" && e.style != styleNone {
				return errOdd
			}
		case head.top != "items":
			head.take(&e)
		default:
			if e.dash == 2 && e.item {
				if inItems {
					items[len(items)-1].end = e.start
				}
				items = append(items, listItem{headerScan: newHeaderScan(p, 2), start: e.start, line: e.line})
				inItems = true
			}
			if !inItems || e.depth < 3 {
				return errOdd
			}
			items[len(items)-1].take(&e)
		}
	}
	switch {
	case s.odd || head.odd:
		return errOdd
	case head.line == 0:
		return nil // nothing but comments
	case !head.list && isListKind(head.object.Kind):
		return errOdd // a List that may have lost its items
	case !head.list:
		return p.keepBlock(head, d.raw, d.line, false)
	case !isListKind(head.object.Kind):
		return errOdd
	}
	if inItems {
		items[len(items)-1].end = len(d.raw)
	}
	for _, item := range items {
		if item.list || isListKind(item.object.Kind) {
			return errOdd // a List in a List, or one that may have lost its items
		}
	}
	for _, item := range items {
		if err := p.keepBlock(item.headerScan, d.raw[item.start:item.end], d.line+item.line-1, true); err != nil {
			return err
		}
	}
	return nil
}

// listItem is an item of a List and the text that it is written in.
type listItem struct {
	*headerScan
	start, end int
	line       int
}

// keepBlock keeps an object whose header was scanned; first is the file's line of its
// text, dashed tells that the text begins with the dash of a List's item.
func (p *parser) keepBlock(h *headerScan, raw []byte, first int, dashed bool) error {
	o := h.object
	o.raw, o.first, o.dashed = raw, first, dashed
	o.Position = Position{p.opts.File, first + h.line - 1}
	if dashed {
		o.Position.Line = first
	}
	if h.odd || o.Kind == "" || o.APIVersion == "" || o.Name == "" {
		if !dashed {
			return errOdd
		}
		tree, err := parseTree(o.text())
		if err != nil {
			return yamlError(Position{p.opts.File, first}, "", o.text(), err)
		}
		if err := p.treeHeader(o, tree, nil); err != nil {
			return err
		}
	}
	return p.keep(o)
}

// keep finishes an object.
func (p *parser) keep(o *Object) error {
	switch {
	case o.Name == "" && isKnown(o.Group(), o.Kind):
		return &InputError{
			File: o.Position.File, Line: o.Position.Line, Object: o.Kind, Field: "metadata.name",
			Problem: "is missing", Hint: "give the object a name",
		}
	case strings.Contains(o.Name+o.Namespace+o.Kind, "{{"):
		return &InputError{
			File: o.Position.File, Line: o.Position.Line, Object: o.Kind + " " + o.Name,
			Problem: "is a template, not a manifest", Hint: templateHint,
		}
	}
	if !isNamespaced(o.Group(), o.Kind) {
		o.Namespace = ""
	} else if o.Namespace == "" {
		o.Namespace = p.opts.Namespace
	}
	if p.opts.Server {
		o.Position = Position{}
	}
	p.objects = append(p.objects, o)
	return nil
}

const templateHint = "render it first, with helm template or the tool that it belongs to, and give the result with -f"

// checkText refuses what is no text in UTF-8.
func checkText(data []byte, file string) error {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || isUTF16(data):
		return &InputError{File: file, Problem: "is text in UTF-16", Hint: "save it as UTF-8"}
	case bytes.IndexByte(data, 0) >= 0:
		line := 1 + bytes.Count(data[:bytes.IndexByte(data, 0)], []byte("\n"))
		return &InputError{
			File: file, Line: line, Problem: "is a binary file, not YAML or JSON",
			Hint: "give manifests as text; an archive has to be unpacked first",
		}
	}
	return nil
}
