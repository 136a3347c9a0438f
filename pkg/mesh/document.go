package mesh

import (
	"bytes"
	"iter"
)

// document is the text of one YAML document and the file's line that it begins at.
type document struct {
	raw  []byte
	line int
}

// documents cuts a stream at its markers: lines of "---" and "...", alone or followed by
// a blank. Nothing within a document can begin so, in whatever style it is written.
func documents(data []byte) iter.Seq[document] {
	return func(yield func(document) bool) {
		start, line := 0, 1
		for {
			at, end := nextMarker(data, start)
			raw := data[start:at]
			if !onlyDirectives(raw) && !yield(document{raw, line}) {
				return
			}
			if at == len(data) {
				return
			}
			line += bytes.Count(data[start:end], []byte("\n"))
			start = end
		}
	}
}

// nextMarker finds the next marker: where its line begins, and where the document that
// follows does.
func nextMarker(data []byte, from int) (at, end int) {
	for from < len(data) {
		rest := data[from:]
		if (from == 0 || data[from-1] == '\n') && isMarker(rest) {
			end := from + 3
			line, _, _ := bytes.Cut(data[end:], []byte("\n"))
			if text := bytes.TrimLeft(line, " \t\r"); len(text) == 0 || text[0] == '#' {
				end = min(end+len(line)+1, len(data))
			}
			return from, end
		}
		next := bytes.Index(rest, []byte("\n---"))
		if next >= 0 {
			rest = rest[:next]
		}
		if dots := bytes.Index(rest, []byte("\n...")); dots >= 0 {
			next = dots
		}
		if next < 0 {
			break
		}
		from += next + 1
	}
	return len(data), len(data)
}

func isMarker(text []byte) bool {
	if !bytes.HasPrefix(text, []byte("---")) && !bytes.HasPrefix(text, []byte("...")) {
		return false
	}
	return len(text) == 3 || bytes.IndexByte([]byte(" \t\r\n"), text[3]) >= 0
}

// onlyDirectives reports whether there is nothing but blank lines, comments and
// directives such as %YAML.
func onlyDirectives(raw []byte) bool {
	for line := range bytes.Lines(raw) {
		line = bytes.TrimLeft(line, " \t\r\n")
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}
