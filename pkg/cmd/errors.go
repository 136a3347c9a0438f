package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// usageError is a command line that cannot be obeyed, with what to do instead.
type usageError struct {
	problem string
	hint    string
}

// Error is the problem, one line.
func (e *usageError) Error() string { return e.problem }

// HintLine is what to do next.
func (e *usageError) HintLine() string { return e.hint }

func usage(hint, format string, args ...any) error {
	return &usageError{problem: fmt.Sprintf(format, args...), hint: hint}
}

// unavailableError says that the answer cannot be found out.
type unavailableError struct {
	problem string
	hint    string
}

// Error is the problem, one line.
func (e *unavailableError) Error() string { return e.problem }

// HintLine is what to do next.
func (e *unavailableError) HintLine() string { return e.hint }

// hinter is an error that knows the next step. The packages below have such errors
// for what a user gave them: input that cannot be read, targets that do not exist.
type hinter interface {
	error
	HintLine() string
}

// errorList is several errors of which each deserves its own line: who mends a file
// wants to mend all of it.
type errorList struct{ all []error }

// mostErrors is how many errors are told at once.
const mostErrors = 10

func newErrorList[E error](errs []E) error {
	list := &errorList{}
	for _, err := range errs {
		list.all = append(list.all, err)
	}
	return list
}

// Error is the first error, and how many there are.
func (l *errorList) Error() string {
	if len(l.all) == 1 {
		return l.all[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", l.all[0], len(l.all)-1)
}

// Unwrap gives the errors to errors.As and errors.Is.
func (l *errorList) Unwrap() []error { return l.all }

// reportError prints an error as a person needs it and returns its exit code.
func reportError(ctx context.Context, w io.Writer, err error) int {
	code := exitCodeOf(ctx, err)
	_, _ = io.WriteString(w, errorText(code, err)) // there is nobody else to tell
	return code
}

func errorText(code int, err error) string {
	if code == exitInterrupted {
		return "error: interrupted\n"
	}
	var list *errorList
	if !errors.As(err, &list) {
		list = &errorList{all: []error{err}}
	}
	var out strings.Builder
	for i, err := range list.all {
		if i == mostErrors && len(list.all) > mostErrors+1 {
			fmt.Fprintf(&out, "error: there are %d more\n", len(list.all)-i)
			break
		}
		fmt.Fprintf(&out, "error: %s\n", printable(err))
		var h hinter
		if errors.As(err, &h) && h.HintLine() != "" {
			fmt.Fprintf(&out, "hint: %s\n", render.Printable(h.HintLine()))
		}
	}
	return out.String()
}

// exitCodeOf is the only map from errors to exit codes.
func exitCodeOf(ctx context.Context, err error) int {
	var (
		unavailable *unavailableError
		network     *url.Error
		offline     interface{ Unavailable() bool }
		withHint    hinter
	)
	switch {
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ctx.Err())):
		return exitInterrupted
	case errors.As(err, &unavailable), errors.As(err, &offline), errors.As(err, &network):
		return exitUnknown
	case errors.As(err, &withHint):
		return exitUsage
	default:
		return exitUnknown
	}
}

// printable is an error's text without control characters; some libraries write
// several lines.
func printable(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = render.Printable(line)
	}
	return strings.Join(lines, "\n       ")
}

// dashes counts what is to be read from standard input.
func dashes(names ...[]string) int {
	n := 0
	for _, name := range slices.Concat(names...) {
		if name == "-" {
			n++
		}
	}
	return n
}

func stdinOnce() error {
	return usage("give one of them as a file", "standard input can be read once only")
}
