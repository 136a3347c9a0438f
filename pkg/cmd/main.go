// Package cmd is the shell around the core: one file a command, each with options
// that are completed, validated and run. It turns strings into typed values, reads
// the clock and the environment once, and is the only place that knows exit codes.
//
// It may import everything of this module but test kits; only cmd/kubectl-asmjwt imports it.
package cmd

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Process is what a program gets from the system.
type Process struct {
	Name string   // as it was called: argv[0]
	Args []string // without the name
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
	// LookupEnv finds a variable of the environment.
	LookupEnv func(string) (string, bool)
	// Environ lists the environment, as os.Environ does. It is for completion, and may be nil.
	Environ func() []string
	// Now is the clock. It is read once.
	Now func() time.Time
	// OutIsTerminal says that a person reads Out.
	OutIsTerminal bool
	// ErrIsTerminal says that a person watches Err.
	ErrIsTerminal bool
	// OutColumns is how wide the terminal behind Out is; 0, or nil, where that is not
	// known.
	OutColumns func() int
}

// The exit codes, the same for every command and every form of output.
const (
	exitYes         = 0   // the answer is yes: allowed, as expected
	exitNo          = 1   // the answer is no: denied, not as expected
	exitUsage       = 2   // usage, or input that cannot be read
	exitUnknown     = 3   // could not find out
	exitInterrupted = 130 // SIGINT or SIGTERM
)

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, p Process) int {
	secrets := &secrets{}
	for _, arg := range p.Args {
		secrets.addShapes(arg)
	}
	p.In = &contextReader{ctx: ctx, r: p.In}
	p.Err = &redactingWriter{w: p.Err, secrets: secrets}

	a := &app{Process: p, secrets: secrets}
	root := newRootCommand(a)
	root.SetArgs(p.Args)
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	var err error
	select {
	case err = <-done:
	case err = <-interrupted(ctx, done):
	}
	if err != nil {
		return reportError(ctx, p.Err, err)
	}
	return a.code
}

// patience is how long a command has to end after an interrupt. It ends by itself,
// unless it waits for what cannot be waited for with a context: a pipe that nobody
// writes to, or a disk that is gone.
const patience = 500 * time.Millisecond

// interrupted gives how a command ended after an interrupt, or that it did not.
func interrupted(ctx context.Context, done <-chan error) <-chan error {
	out := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		select {
		case err := <-done:
			out <- err
		case <-time.After(patience):
			out <- ctx.Err()
		}
	})
	return out
}

// app is what the commands share.
type app struct {
	Process
	secrets  *secrets
	clusters *clusters
	// kubectl is how kubectl is called for the mesh's own API server; empty: there is none.
	kubectl string
	// code is the exit code of the answer; errors have their own.
	code int
}

// steps are what a command does one after the other. The first two touch no network, no
// file and no clock.
type steps interface {
	// Complete turns the strings of the command line into types.
	Complete(args []string) error
	// Validate refuses what does not go together.
	Validate() error
	Run(ctx context.Context) error
}

func inSteps(s steps) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := s.Complete(args); err != nil {
			return err
		}
		if err := s.Validate(); err != nil {
			return err
		}
		return s.Run(cmd.Context())
	}
}

// displayName is how users call the program: kubectl starts a plugin by its
// absolute path, a shell by what was typed.
func displayName(argv0 string) string {
	base := strings.TrimSuffix(filepath.Base(argv0), ".exe")
	plugin, ok := strings.CutPrefix(base, "kubectl-")
	if ok && filepath.IsAbs(argv0) {
		return "kubectl " + strings.ReplaceAll(plugin, "_", "-")
	}
	if ok {
		return base
	}
	return "kubectl-asmjwt"
}

// contextReader ends a read when the context ends, so that an interrupt is obeyed
// while standard input has nothing to say.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads as the reader below does, or fails with the context's error.
func (c *contextReader) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	// The read below may outlive this call, so it gets a buffer of its own.
	buf := make([]byte, len(p))
	done := make(chan result, 1)
	go func() {
		n, err := c.r.Read(buf)
		done <- result{n, err}
	}()
	select {
	case <-c.ctx.Done():
		return 0, c.ctx.Err()
	case r := <-done:
		copy(p, buf[:r.n])
		return r.n, r.err
	}
}
