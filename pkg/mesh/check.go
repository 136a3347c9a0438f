package mesh

import (
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Unknown reports whether the error is about a field that the API does not have.
func (e *InputError) Unknown() bool { return e.unknown }

// CheckFields holds the fields of an object of Istio's against the API: fields that it
// does not have, values of the wrong type, keys given twice. It finds nothing in
// objects of other kinds.
func CheckFields(o *Object) []*InputError {
	return newChecker().object(o)
}

// Check checks the fields of all objects of Istio's that a person wrote. The first
// error in the order of the files is its first.
func (s *Snapshot) Check() []*InputError {
	c := newChecker()
	var out []*InputError
	for _, list := range s.byKind {
		for _, o := range list {
			if !o.FromServer() {
				out = append(out, c.object(o)...)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *InputError) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	return out
}

// FieldGaps are the fields of an object from a server that the API does not have: a
// newer mesh has newer fields, and what they mean is not known here.
func FieldGaps(o *Object) []Gap {
	if !o.FromServer() {
		return nil
	}
	var out []Gap
	for _, e := range CheckFields(o) {
		if e.unknown {
			out = append(out, Gap{
				What: e.Field + " of " + e.Object, Why: "the field is newer than the API that this tool knows", Object: o.Ref(),
			})
		}
	}
	return out
}

// maxFieldErrors is how many errors of one object are told.
const maxFieldErrors = 20

// checker checks the fields of many objects.
type checker struct {
	*schemas
	o     *Object
	found []*InputError
	steps int
}

func newChecker() *checker { return &checker{schemas: newSchemas()} }

func (c *checker) object(o *Object) []*InputError {
	s := c.schemas.object(o.Group(), o.Kind)
	if s == nil || c.surelyFits(o, s) {
		return nil
	}
	tree := o.tree.Load()
	if tree == nil {
		var err error
		text := o.text()
		if tree, err = parseTree(text); err != nil {
			return []*InputError{yamlError(Position{o.Position.File, o.first}, o.Ref().String(), text, err)}
		}
	}
	c.o, c.found, c.steps = o, nil, 0
	if tree != nil {
		c.value("", tree, s, tree.Line)
	}
	slices.SortStableFunc(c.found, func(a, b *InputError) int { return a.Line - b.Line })
	return c.found
}

// fail keeps an error; line counts within the text.
func (c *checker) fail(line int, field, problem, hint string) {
	c.keep(&InputError{
		File: c.o.Position.File, Line: c.o.first + line - 1, Object: c.o.Ref().String(),
		Field: field, Problem: problem, Hint: hint,
	})
}

// keep keeps an error, up to as many as are told.
func (c *checker) keep(e *InputError) {
	if len(c.found) < maxFieldErrors {
		c.found = append(c.found, e)
	}
}

// maxSteps bounds the walk where aliases repeat a large value.
const maxSteps = 1 << 20

// value holds a value against its schema; line is that of its key or its dash.
func (c *checker) value(path string, n *yaml.Node, s *schema, line int) {
	if c.steps++; c.steps > maxSteps || s.kind == "" {
		return
	}
	got := kindOf(n)
	if got == isNull {
		return // as if it were not there
	}
	if got != s.kind && !(len(s.values) > 0 && got == isNumber) {
		c.wrongKind(path, n, s, line)
		return
	}
	n = target(n)
	switch {
	case len(s.values) > 0:
		c.enum(path, n, s, line)
	case got == isList:
		for i, item := range n.Content {
			c.value(joinIndex(path, i), item, s.elem, item.Line)
		}
	case got == isMap:
		c.mapping(path, n, s)
	}
}

func (c *checker) wrongKind(path string, n *yaml.Node, s *schema, line int) {
	got, want := kindOf(n), string(s.kind)
	hint := ""
	value := target(n).Value
	switch {
	case s.kind == isString && (got == isNumber || got == isBool):
		hint = "put it in quotes: " + quoted(value)
	case s.kind == isNumber && got == isString, s.kind == isBool && got == isString:
		hint = "write " + want + ", without quotes"
	case s.kind == isList && got == isString:
		hint = "write it as a list: [" + quoted(value) + "]"
	case s.kind == isList:
		hint = "put a dash in front of it: every item of a list begins with one"
	case s.kind == isMap && got == isList:
		hint = "leave out the dash: there is only one"
	case s.kind == isMap && s.fields != nil:
		hint = "it has the fields " + strings.Join(s.names, ", ")
	}
	c.fail(line, path, "is "+string(got)+" where "+want+" is wanted", hint)
}

func (c *checker) enum(path string, n *yaml.Node, s *schema, line int) {
	if slices.Contains(s.values, n.Value) {
		return
	}
	if kindOf(n) == isNumber {
		if i, err := strconv.Atoi(n.Value); err == nil && i >= 0 {
			return // the number of a value; an unknown one means nothing to anybody
		}
	}
	hint := "known values: " + strings.Join(s.values, ", ")
	if near := nearest(n.Value, s.values, 1); len(near) > 0 {
		hint = "did you mean " + near[0] + "? " + hint
	}
	c.fail(line, path, "has the unknown value "+quoted(n.Value), hint)
}

func (c *checker) mapping(path string, n *yaml.Node, s *schema) {
	if s.free {
		return
	}
	if again, first := duplicateKey(n); again != nil {
		c.fail(again.Line, joinField(path, again.Value), duplicateProblem(c.o.first+first.Line-1), duplicateHint)
	}
	seen := map[int]*yaml.Node{}
	for k, v := range fields(n) {
		below := joinField(path, k.Value)
		if s.fields == nil {
			if s.elem != nil {
				c.value(below, v, s.elem, k.Line)
			}
			continue
		}
		f, known := s.fields[k.Value]
		if !known {
			c.keep(&InputError{
				File: c.o.Position.File, Line: c.o.first + k.Line - 1, Object: c.o.Ref().String(),
				Field: below, Problem: "is no field of the API", Hint: c.hintFor(path, k.Value, s), unknown: true,
			})
			continue
		}
		if before := seen[f.index]; before != nil && before.Value != k.Value {
			c.fail(k.Line, below, "is given twice, first as "+before.Value+" on line "+strconv.Itoa(c.o.first+before.Line-1), duplicateHint)
		}
		seen[f.index] = k
		c.value(below, v, f.of, k.Line)
	}
}

// hintFor names the field that was most likely meant: one spelt nearly so, or one of
// that very name somewhere else.
func (c *checker) hintFor(path, name string, s *schema) string {
	if name == "matchExpressions" {
		return "a selector of Istio takes matchLabels alone, and the API server drops the rest: kubectl asmjwt explain AJ0209"
	}
	if near := nearest(name, s.names, 1); len(near) > 0 {
		return "did you mean " + near[0] + "?"
	}
	if root := c.schemas.object(c.o.Group(), c.o.Kind); root != nil {
		if place := findField(root, name); place != "" && place != path {
			return "there is such a field at " + place + ": look at the indentation"
		}
	}
	return "known fields here: " + strings.Join(s.names, ", ")
}

// maxPlaces bounds the search for a field of some name.
const maxPlaces = 2000

// findField finds the path of the nearest field of a name, breadth first.
func findField(root *schema, name string) string {
	type place struct {
		path string
		of   *schema
	}
	queue := []place{{"spec", root.fields["spec"].of}}
	seen := map[*schema]bool{}
	for at := 0; at < len(queue) && at < maxPlaces; at++ {
		p := queue[at]
		for p.of.kind == isList && p.of.elem != nil {
			p = place{p.path + "[]", p.of.elem}
		}
		if seen[p.of] || p.of.fields == nil {
			continue
		}
		seen[p.of] = true
		if _, found := p.of.fields[name]; found {
			return joinField(p.path, name)
		}
		for _, below := range p.of.names {
			queue = append(queue, place{joinField(p.path, below), p.of.fields[below].of})
		}
	}
	return ""
}
