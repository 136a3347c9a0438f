package probe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
)

// Expectation is what rows are to get.
type Expectation struct {
	Kind Kind
	// Path is the one that it is about; empty: every path.
	Path string
	// Status is that of HTTP, or of gRPC where GRPC is true; Closed says that there is to
	// be no answer.
	Status int
	GRPC   bool
	Closed bool
}

// ExpectForm is how an expectation is written.
const ExpectForm = "none|given|broken|expired[@PATH]=STATUS|closed|grpc:N"

// ParseExpectation reads ROW[@PATH]=STATUS, split at the last =.
func ParseExpectation(text string) (Expectation, error) {
	at := strings.LastIndexByte(text, '=')
	if at < 0 {
		return Expectation{}, fmt.Errorf("it has no = in it")
	}
	row, want := text[:at], text[at+1:]
	kind, path, hasPath := strings.Cut(row, "@")
	e := Expectation{Kind: Kind(kind), Path: path}
	if !slices.Contains(Kinds(), e.Kind) {
		return Expectation{}, fmt.Errorf("there is no row %q: the rows are none, given, broken and expired", kind)
	}
	if hasPath && !strings.HasPrefix(path, "/") {
		return Expectation{}, fmt.Errorf("what follows @ is a path, and begins with /")
	}
	if want == "closed" {
		e.Closed = true
		return e, nil
	}
	code, grpc := strings.CutPrefix(want, "grpc:")
	n, err := strconv.Atoi(code)
	const mostGRPC = 16
	if err != nil || grpc && (n < 0 || n > mostGRPC) || !grpc && (n < 100 || n > 599) {
		return Expectation{}, fmt.Errorf("%q is no status", want)
	}
	e.Status, e.GRPC = n, grpc
	return e, nil
}

// String is what is expected: "403", "closed", "grpc:7".
func (e Expectation) String() string {
	switch {
	case e.Closed:
		return "closed"
	case e.GRPC:
		return "grpc:" + strconv.Itoa(e.Status)
	}
	return strconv.Itoa(e.Status)
}

// met reports whether an answer is what is expected.
func (e Expectation) met(a observe.Answer, w observe.Way) bool {
	switch {
	case e.Closed:
		return a.Closed(w)
	case e.GRPC:
		return a.GRPCStatus != nil && *a.GRPCStatus == e.Status
	}
	return a.Status == e.Status
}

// expected is the expectation for a row: one for its path before one for every path, and
// a later one before an earlier; nil: none.
func expected(all []Expectation, s Shot) *Expectation {
	var found *Expectation
	for i, e := range all {
		if e.Kind == s.Kind && (e.Path == s.Path || e.Path == "" && (found == nil || found.Path == "")) {
			found = &all[i]
		}
	}
	return found
}

// Unused are the expectations that no row is for.
func Unused(all []Expectation, shots []Shot) []Expectation {
	var out []Expectation
	for _, e := range all {
		if !slices.ContainsFunc(shots, func(s Shot) bool { return s.Kind == e.Kind && (e.Path == "" || e.Path == s.Path) }) {
			out = append(out, e)
		}
	}
	return out
}
