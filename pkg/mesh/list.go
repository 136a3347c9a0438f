package mesh

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"gopkg.in/yaml.v3"
)

// maxNested is how many Lists may be in one another. kubectl writes one; a few may
// come of lists that were put together.
const maxNested = 16

// within goes into a List, and fails where there are too many around it. Each has to
// be read as often as there are Lists around it.
func (p *parser) within(pos Position) error {
	if p.depth++; p.depth <= maxNested {
		return nil
	}
	return &InputError{
		File: pos.File, Line: pos.Line, Problem: "has more than " + strconv.Itoa(maxNested) + " Lists in one another",
		Hint: "give the objects as one List, or as documents",
	}
}

// isPlainList reports whether an object is the List that kubectl writes, rather than
// an object of a kind whose name happens to end so.
func isPlainList(apiVersion, kind string) bool { return kind == "List" && apiVersion == "v1" }

// checkList refuses a List whose items cannot be read: they would be lost without a word.
func (p *parser) checkList(root *yaml.Node, first int) error {
	kind, version, items := target(valueOf(root, "kind")), target(valueOf(root, "apiVersion")), valueOf(root, "items")
	if kind == nil || !isListKind(kind.Value) {
		return nil
	}
	e := &InputError{File: p.opts.File, Line: first + root.Line - 1, Object: kind.Value, Field: "items"}
	switch {
	case items != nil:
		e.Line = first + items.Line - 1
		e.Problem, e.Hint = "is "+string(kindOf(items))+" where a list is wanted", "put a dash in front of each item"
	case version != nil && isPlainList(version.Value, kind.Value):
		e.Problem, e.Hint = "is missing", "a List has its objects below items"
		for k := range fields(root) {
			if near := nearest(k.Value, []string{"items"}, 1); len(near) > 0 {
				e.Line, e.Field, e.Problem, e.Hint = first+k.Line-1, k.Value, "is no field of a List", "did you mean items?"
			}
		}
	default:
		return nil
	}
	return e
}

// unusualBreaks are characters that a YAML reader takes for line breaks, and nobody
// else does: a marker behind one begins a document that is not cut off as one.
var unusualBreaks = [][]byte{[]byte("\u0085"), []byte("\u2028"), []byte("\u2029")}

// checkAlone refuses a text in which a second document hides.
func checkAlone(raw []byte, pos Position) error {
	unusual := false
	for _, b := range unusualBreaks {
		unusual = unusual || bytes.Contains(raw, b)
	}
	if !unusual {
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	for n := 0; ; n++ {
		var doc yaml.Node
		err := dec.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF) && n < 2:
			return nil
		case err != nil && n == 0:
			return nil // the caller has parsed it
		case n > 0:
			return &InputError{
				File: pos.File, Line: pos.Line, Problem: "has a second document behind an unusual line break, such as U+2028",
				Hint: "save it with the usual line breaks",
			}
		}
	}
}

// withoutLoneCR makes the line breaks of old Macs, a CR without LF, those of today.
// Nothing else is a CR in YAML, and in JSON it is a blank.
func withoutLoneCR(data []byte) []byte {
	lone := func(i int) bool { return data[i] == '\r' && (i+1 == len(data) || data[i+1] != '\n') }
	at := bytes.IndexByte(data, '\r')
	for at >= 0 && !lone(at) {
		next := bytes.IndexByte(data[at+1:], '\r')
		if next < 0 {
			return data
		}
		at += 1 + next
	}
	if at < 0 {
		return data
	}
	out := bytes.Clone(data)
	for i := at; i < len(out); i++ {
		if lone(i) {
			out[i] = '\n'
		}
	}
	return out
}

// isUTF16 reports whether a text without a byte order mark is in UTF-16: every other
// byte of what is plain English is zero.
func isUTF16(data []byte) bool {
	const enough = 64
	head := data[:min(len(data), enough)]
	zeros := [2]int{}
	for i, b := range head {
		if b == 0 {
			zeros[i%2]++
		}
	}
	half := len(head) / 2
	return half > 1 && (zeros[0] == 0 && zeros[1] == half || zeros[1] == 0 && zeros[0] >= half)
}
