package mesh

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// pieces are what random documents are made of: ordinary lines, and those that trip a
// reader of lines.
var pieces = []string{
	"a:", "b: c", "- a", "- b: c", "- c:", "- - d", "-", "key: |", "key: >-", "- |", "x: \"y", "z\"", "x: 'y", "z'",
	"q: \"a b\"", "q: 'a''b'", "'k k': v", "\"k\": v", "# comment", "", "   ", "\t", "a: b # c", "a: b# c", "plain more", "more",
	"f: {}", "f: []", "f: [a, 'b', \"c\"]", "f: [a, {b: c}]", "f: {a: b}", "f: [a", "]", "n: 1", "n: null", "n:", "n: ~", "t: true", "t: yes",
	"d: 2026-01-02T03:04:05Z", "a: - b", "a: ? b", "? a", ": b", "a: &x b", "a: *x", "a: !!str b", "a: @b", "a: b: c", "a: b:", "a:b", "http://x: y",
	"k:{\"a\":1}: {}", ".: {}", "-a: b", "- -a", "- # c", "a:  b", "-  a: b", "-   - c", "% x", "a: %x", "<<: {}", "é: ü", "a: \\", "a: \"\\\"\"", "a: |2", "a: b\t", "a:\tb", "a: b\tc",
	"metadata:", "labels:", "annotations:", "name: web", "namespace: ns", "uid: 12345678-1c4b-4e0e-9b0a-0123456789ab", "creationTimestamp: \"2026-01-02T03:04:05Z\"",
	"creationTimestamp: null", "app: web", "spec:", "selector:", "matchLabels:", "action: DENY", "action: deny", "rules:", "- from:", "- source:", "principals:", "principals: [\"*\"]",
	"- to:", "- operation:", "paths:", "- /a*", "- 1", "ports: [\"80\"]", "ports: [80]", "when:", "- key: a", "values: [a]", "rulez:", "items:", "- apiVersion: v1", "kind: List", "kind: X",
}

// writer writes random documents: well-formed block style, with a disturbance now and then.
type writer struct {
	*rand.Rand
	lines []string
}

var (
	keys = []string{
		"name", "app", "labels", "a/b", "'k k'", "\"q\"", "spec", "selector", "matchLabels", "action", "rules", "from", "to", "when",
		"source", "operation", "principals", "paths", "key", "values", "items", "kind", "metadata", "rulez", "x",
	}
	scalars = []string{
		"v", "web", "/a*", "1", "true", "null", "yes", "1a", "\"*\"", "'a'", "\"a\\tb\"", "'it''s'", "[]", "{}", "[a, \"b\"]", "[1, a]",
		"DENY", "ALLOW", "v # c", "a#b", "http://x", "|", ">-", "2026-01-02T03:04:05Z", "(x)", "-a", "a b",
	}
	oddScalars  = []string{"12e3", "0x1f", "[a,b]", "v: w", "- v", "*x", "\"open", "~", ".5", "-1", "", "|+", "> # c", "a\tb", "[a", "{a: b}", "@a", "é", "?", "? a", ":a", "a:", "a\\"}
	schemaLines = []string{
		"selector:\n  matchLabels:\n    app: web", "action: DENY", "action: deny", "rules:\n- to:\n  - operation:\n      paths: [\"/a\"]",
		"rules:\n  - from:\n      - source:\n          principals:\n            - a\n          principals:\n            - b", "rules:\n- when:\n  - key: k\n    values:\n    - 1",
		"rules:\n- when:\n  - key: k\n    values: [a, 'b']\n  - key: l\n    notValues:\n    - a\n", "rules:\n- {}", "rules: []", "rulez: []",
		"rules:\n- to:\n  - operation:\n      ports: [80]", "targetRefs:\n- kind: Service\n  name: x\n  group: \"\"", "provider:\n  name: |\n    x", "rules:\n  to: a",
	}
)

func (w *writer) pick(from []string) string { return from[w.IntN(len(from))] }

func (w *writer) line(indent int, text string) {
	w.lines = append(w.lines, strings.Repeat(" ", indent)+text)
}

// block writes a mapping or a sequence at a column.
func (w *writer) block(column, depth int) {
	seq := w.IntN(3) == 0
	for range 1 + w.IntN(3) {
		switch {
		case seq && w.IntN(3) == 0 && depth > 0:
			at := len(w.lines)
			w.block(column+2, depth-1)
			w.lines[at] = w.lines[at][:column] + "-" + w.lines[at][column+1:]
		case seq:
			w.value(column, "- ", depth)
		default:
			w.value(column, w.pick(keys)+": ", depth)
		}
	}
}

func (w *writer) value(column int, head string, depth int) {
	if depth > 0 && head != "- " && w.IntN(2) == 0 {
		w.line(column, strings.TrimSuffix(head, " "))
		deeper := column + 1 + w.IntN(3)
		if w.IntN(3) == 0 {
			deeper = column // a sequence may stand in the column of its key
		}
		w.block(deeper, depth-1)
		return
	}
	text := w.pick(scalars)
	if w.IntN(20) == 0 {
		text = w.pick(oddScalars)
	}
	w.line(column, head+text)
	if text == "|" || text == ">-" || w.IntN(30) == 0 {
		for range w.IntN(3) {
			w.line(column+w.IntN(4), w.pick([]string{"text", "- text", "# text", "more: text", "", "a text\""}))
		}
	}
}

// document is a random document.
func (w *writer) document() string {
	w.lines = nil
	switch w.IntN(5) {
	case 0, 1:
		w.lines = strings.Split("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: web\nspec:", "\n")
		for range 1 + w.IntN(3) {
			for _, line := range strings.Split(w.pick(schemaLines), "\n") {
				w.line(2, line)
			}
		}
	case 2:
		w.lines = strings.Split("apiVersion: v1\nkind: List\nitems:", "\n")
		for i := range 1 + w.IntN(3) {
			w.lines = append(w.lines, strings.Split("- apiVersion: v1\n  kind: X\n  metadata:\n    name: web"+strconv.Itoa(i), "\n")...)
			w.block(2, 2)
		}
	default:
		w.lines = strings.Split("apiVersion: v1\nkind: X\nmetadata:\n  name: web", "\n")
		if w.IntN(2) == 0 {
			w.line(2, w.pick([]string{"labels:", "annotations:", "other:"}))
			w.block(2+w.IntN(4), w.IntN(2))
		}
		w.block(0, 3)
	}
	w.disturb()
	return strings.Join(w.lines, "\n") + w.pick([]string{"", "\n", "\n\n"})
}

// disturb changes a line of every third document.
func (w *writer) disturb() {
	if w.IntN(3) != 0 {
		return
	}
	at := w.IntN(len(w.lines))
	switch w.IntN(4) {
	case 0:
		w.lines[at] = " " + w.lines[at]
	case 1:
		w.lines[at] = strings.TrimPrefix(w.lines[at], " ")
	case 2:
		w.lines[at] = strings.Repeat(" ", indentOf([]byte(w.lines[at]))) + w.pick(pieces)
	default:
		w.lines = append(w.lines[:at], w.lines[at+1:]...)
	}
}

func TestScanner_NeverReadsARandomDocumentOtherwiseThanTheParser(t *testing.T) {
	documents, seed := 20_000, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("MESH_DOCUMENTS")); err == nil {
		documents, seed = n, rand.Uint64()
		t.Logf("seed %d", seed)
	}
	w := &writer{Rand: rand.New(rand.NewPCG(seed, 0))}
	taken, fit, unfit := 0, 0, 0
	for range documents {
		text := w.document()
		objects, err := fast(text)
		if err != nil || len(objects) == 0 {
			continue
		}
		taken++
		sameAsParser(t, text, objects)
		for _, o := range objects {
			switch fits, known := quickAndThorough(t, text, o); {
			case fits:
				fit++
			case known:
				unfit++
			}
		}
	}
	t.Logf("of %d documents the scanner took %d; %d fitted the API, %d did not", documents, taken, fit, unfit)
	if taken < documents/10 || fit == 0 || unfit == 0 {
		t.Fatalf("of %d documents the scanner took %d; %d fitted the API and %d did not: nothing was compared", documents, taken, fit, unfit)
	}
}

// quickAndThorough fails where the quick field check takes what the thorough one does
// not; known tells whether there is a schema.
func quickAndThorough(t *testing.T, text string, o *Object) (fits, known bool) {
	t.Helper()
	c := newChecker()
	s := c.schemas.object(o.Group(), o.Kind)
	if s == nil {
		return false, false
	}
	fits = c.surelyFits(o, s)
	c.o = o
	c.value("", o.root(), s, 1)
	if fits && len(c.found) > 0 {
		t.Fatalf("the quick check takes what the thorough one refuses: %v in\n%s", c.found[0], text)
	}
	return fits, true
}
