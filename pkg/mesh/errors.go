package mesh

import (
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Position is a line of a file. The line counts from 1; 0 means that no line is
// known, an empty file that the object was not read from one.
type Position struct {
	File string
	Line int
}

// String renders the position as "file:line".
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// InputError says what is wrong with something that was given to read. Error is
// one line; the hint is kept apart, so that the shell prints it on its own line.
type InputError struct {
	File    string
	Line    int    // from 1; 0: the file as a whole
	Object  string // "Kind namespace/name", as far as it is known
	Field   string // as in spec.rules[0].to[0]
	Problem string
	Hint    string
	Err     error // what it comes from, if anything

	unknown bool // a field that the API does not have
}

// Error renders "file:line: object: field: problem".
func (e *InputError) Error() string {
	var parts []string
	if e.File != "" || e.Line != 0 {
		parts = append(parts, Position{File: e.File, Line: e.Line}.String())
	}
	for _, s := range []string{e.Object, e.Field, e.Problem} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the error that this one comes from.
func (e *InputError) Unwrap() error { return e.Err }

// HintLine is what to do next, without a full stop; it may be empty.
func (e *InputError) HintLine() string { return e.Hint }

// TargetError says that a target could not be understood.
type TargetError struct {
	Given   string
	Problem string
	Hint    string
}

// Error renders the problem with what was given.
func (e *TargetError) Error() string { return "target " + strconv.Quote(e.Given) + ": " + e.Problem }

// HintLine is what to do next.
func (e *TargetError) HintLine() string { return e.Hint }

// NotFoundError says that a target does not exist among the objects read.
type NotFoundError struct {
	Target    Target
	Kind      string // as in Deployment
	Namespace string
	// NoneOfKind is true where no object of the kind was read at all.
	NoneOfKind bool
	// Nearest are the names in the namespace that look most like the one asked for.
	Nearest []string
	// Present are some names of the kind in the namespace, where none is near.
	Present []string
	// Elsewhere are the namespaces in which the name does exist.
	Elsewhere []string
	// Flag is how a namespace is given for it, up to the namespace itself; empty: "-n ".
	Flag string
	// Populated are some namespaces that have objects of the kind, where this one has none.
	Populated []string
}

// Error renders what was not found, and where.
func (e *NotFoundError) Error() string {
	if e.NoneOfKind {
		return "find " + e.Target.String() + ": there is no " + e.Kind + " at all among what was read"
	}
	return "find " + e.Target.String() + ": no such " + e.Kind + " in namespace " + e.Namespace
}

// HintLine names where else the name exists, the nearest names, or what there is.
func (e *NotFoundError) HintLine() string {
	flag, add := e.Flag, "add "
	switch {
	case flag == "":
		flag = "-n "
	case strings.HasSuffix(flag, "."):
		add = "write "
	}
	switch {
	case len(e.Elsewhere) == 1:
		return "it exists in namespace " + e.Elsewhere[0] + ": " + add + flag + e.Elsewhere[0]
	case len(e.Elsewhere) > 1:
		return "it exists in namespaces " + strings.Join(e.Elsewhere, ", ") + ": " + add + flag + "NAMESPACE"
	case len(e.Nearest) > 0:
		return "did you mean " + strings.Join(e.Nearest, " or ") + "?"
	case e.NoneOfKind:
		return "add its manifest, or name one of another type"
	case len(e.Present) > 0:
		return "in that namespace there are: " + strings.Join(e.Present, ", ")
	}
	return "there is none of that kind in it; namespaces that have some: " + strings.Join(e.Populated, ", ")
}

// Gap is something that could not be read or is not understood, and so may not be
// taken for absent.
type Gap struct {
	What       string     // what is missing
	Why        string     // why it could not be read
	Permission string     // the right that would have helped; empty where none would
	Hint       string     // what else would help, if anything
	Object     origin.Ref // the object that it is about, if it is about one
	Unread     Unread     // the objects that were not read, if it is about reading
}

// Unread are objects that may exist and were not read: those of a kind, in one
// namespace or, where that is empty, anywhere, and of one name or of any.
type Unread struct{ Group, Kind, Namespace, Name string }

// NextStep is what would close the gap; it may be empty.
func (g Gap) NextStep() string {
	if g.Permission != "" {
		return "ask for: " + g.Permission
	}
	return g.Hint
}

// Unread returns the gap over objects of a kind: in a namespace and of a name, each of
// which may be empty for any. It is nil where all of them were read.
func (s *Snapshot) Unread(group, kind, namespace, name string) *Gap {
	fits := func(a, b string) bool { return a == "" || b == "" || a == b }
	for i := range s.gaps {
		u := s.gaps[i].Unread
		if u.Kind == kind && u.Group == group && fits(u.Namespace, namespace) && fits(u.Name, name) {
			return &s.gaps[i]
		}
	}
	return nil
}
