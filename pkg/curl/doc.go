// Package curl reads a curl command line as people paste it, and says which request
// curl would send: method, host, path and header lines in the order of the wire. It
// knows the quoting of bash, of Windows' cmd and of PowerShell, and what is around
// the command: kubectl exec, variables, pipes. Nothing is ever run, opened or
// resolved, and what has to be run to be known is refused.
//
// Where curl has rules of its own they are followed: /../ is squeezed out of a path,
// userinfo becomes a header, data makes a POST. They are those of curl 7.88 to 8.22,
// seen in its documentation and on the wire; a test asks a real curl.
//
// It is part of the core: no clock, no environment, no files. It imports pkg/envoy,
// for header lines; pkg/cmd imports it.
package curl

import (
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Command is a curl command that was understood.
type Command struct {
	Request Request
	// Exec is where kubectl runs the command; nil: not in a pod.
	Exec *Exec
	// Notes are worth telling to who pasted the command: what curl or the shell makes
	// of it that one may not expect. They hold no header values.
	Notes []string
}

// Request is what curl sends. Header lines may hold credentials.
type Request struct {
	Scheme string // http or https
	Method string
	// Hostname is the host that curl connects to, by the URL, without brackets.
	Hostname string
	// Port is that of the URL; the scheme's where it has none.
	Port int
	// PortGiven says that the URL has a port.
	PortGiven bool
	// Authority is the Host header; NoHost says that there is none.
	Authority string
	NoHost    bool
	// Path is the request target, query included.
	Path string
	// Headers are the lines after Host, in order. A boundary of a multipart body is
	// random, and only stands for one. Expect is left out: a proxy answers it itself
	// and takes it off (Envoy source/common/http/conn_manager_impl.cc:decodeHeaders).
	Headers  []envoy.Header
	Protocol envoy.Protocol
	// BodyUnknown says that the size of the body is not known: it is in a file.
	BodyUnknown bool
}

// Exec is the place of a kubectl exec.
type Exec struct {
	// Target is TYPE/NAME, "pod/NAME" where only a name was given; empty where it is
	// not plain, such as "$(kubectl get pod …)".
	Target    string
	Namespace string // empty: not given
	Container string // empty: not given
}

// Options say what is known beside the text.
type Options struct {
	// Expand gives the value of a variable of the shell. The zero value knows none.
	Expand func(name string) (value string, known bool)
	// PathGiven says that the path is given elsewhere, and need not be known.
	PathGiven bool
}

// Error is a command that cannot be followed, with what to do instead.
type Error struct {
	Problem string
	Hint    string
	// Variable is the name of the shell variable whose value is not known, if that is it.
	Variable string
	// Secret says that it stands where tokens do.
	Secret bool
}

// Error is the problem, one line.
func (e *Error) Error() string { return "--curl: " + e.Problem }

// HintLine is what to do next.
func (e *Error) HintLine() string { return e.Hint }

func refuse(hint, format string, args ...any) error {
	return &Error{Problem: fmt.Sprintf(format, args...), Hint: hint}
}

// Parse reads a text with one curl command in it. Errors are *Error.
func Parse(text string, opts Options) (*Command, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	found, err := find(text, opts)
	if err != nil {
		return nil, err
	}
	c := &config{opts: opts, notes: found.notes}
	if err := c.read(found.args); err != nil {
		return nil, err
	}
	request, err := c.request()
	if err != nil {
		return nil, err
	}
	return &Command{Request: *request, Exec: found.exec, Notes: c.notes}, nil
}
