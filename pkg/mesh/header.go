package mesh

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// lastApplied is kubectl's copy of the whole object. It is not kept in
// Object.Annotations: nothing here reads it, and it is as long as the object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// headerScan collects the header of an object from the entries of a scanner, whose
// blocks the object begins at a depth of: 0 for a document, 2 for an item of a List.
type headerScan struct {
	parser *parser
	base   int

	object   *Object
	line     int  // of the first entry
	list     bool // there is a key items
	odd      bool // a real parser has to read this header
	top      string
	meta     string
	seenTop  []string
	seenMeta []string
}

func newHeaderScan(p *parser, base int) *headerScan {
	return &headerScan{parser: p, base: base, object: &Object{}, seenTop: make([]string, 0, 6), seenMeta: make([]string, 0, 6)}
}

// take looks at an entry. The mapping of the object is at depth base+1.
func (h *headerScan) take(e *entry) {
	if h.line == 0 {
		h.line = e.line
	}
	if h.odd {
		return
	}
	switch depth := e.depth - h.base; {
	case depth == 1 && e.key != nil:
		h.topKey(e)
	case h.top != "metadata":
	case depth == 2 && e.key != nil:
		h.metaKey(e)
	case h.meta == "labels" || h.meta == "annotations":
		h.odd = depth != 3 || e.key == nil || e.item || !h.pair(e)
	case depth < 2 || h.meta == "":
		h.odd = true
	}
}

func (h *headerScan) topKey(e *entry) {
	h.top, h.meta = h.parser.intern(e.key), ""
	if slices.Contains(h.seenTop, h.top) {
		h.odd = true
		return
	}
	h.seenTop = append(h.seenTop, h.top)
	switch h.top {
	case "apiVersion":
		h.object.APIVersion = h.text(e)
	case "kind":
		h.object.Kind = h.text(e)
	case "metadata":
		h.odd = e.style != styleNone
	case "items":
		h.list = true
	}
}

func (h *headerScan) metaKey(e *entry) {
	h.meta = h.parser.intern(e.key)
	if slices.Contains(h.seenMeta, h.meta) || e.item {
		h.odd = true
		return
	}
	h.seenMeta = append(h.seenMeta, h.meta)
	switch h.meta {
	case "name":
		h.object.Name = h.text(e)
	case "namespace":
		h.object.Namespace = h.text(e)
	case "uid":
		h.object.UID = h.text(e)
	case "creationTimestamp":
		h.created(e)
	case "labels", "annotations":
		h.odd = e.style != styleNone && !(e.style == styleFlow && string(e.value) == "{}")
	}
}

// pair takes a label or an annotation; false where a real parser has to.
func (h *headerScan) pair(e *entry) bool {
	if h.meta == "annotations" && string(e.key) == lastApplied {
		return e.style == styleOpaque || e.style == styleQuoted
	}
	value := h.text(e)
	pairs := &h.object.Labels
	if h.meta == "annotations" {
		pairs = &h.object.Annotations
	}
	if *pairs == nil {
		*pairs = map[string]string{}
	}
	key := h.parser.intern(e.key)
	if _, twice := (*pairs)[key]; twice || !surelyString(e.key) {
		return false
	}
	(*pairs)[key] = value
	return !h.odd
}

// text is the value of an entry that is a string for sure.
func (h *headerScan) text(e *entry) string {
	if e.style == styleQuoted || e.style == stylePlain && surelyString(e.value) {
		return h.parser.intern(e.value)
	}
	h.odd = true
	return ""
}

func (h *headerScan) created(e *entry) {
	if e.style == stylePlain && string(e.value) == "null" {
		return
	}
	t, err := time.Parse(time.RFC3339, string(e.value))
	if err != nil || e.style != stylePlain && e.style != styleQuoted {
		h.odd = true
		return
	}
	h.object.Created = t.Unix()
}

// isListKind reports whether a kind holds objects of another one.
func isListKind(kind string) bool { return strings.HasSuffix(kind, "List") }

// intern returns the text as a string that is shared with its other occurrences.
func (p *parser) intern(b []byte) string {
	if len(b) > 64 {
		return string(b)
	}
	if s, found := p.interned[string(b)]; found {
		return s
	}
	s := string(bytes.Clone(b))
	p.interned[s] = s
	return s
}
