// Command kubectl-asmjwt is a kubectl plugin that explains why a request through
// an Istio or Alibaba Cloud Service Mesh gets the answer that it gets. This file
// hands the process over to pkg/cmd, and does nothing else.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"

	"github.com/asmjwt/kubectl-asmjwt/pkg/cmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cmd.Main(ctx, cmd.Process{
		Name: os.Args[0], Args: os.Args[1:],
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		LookupEnv:     os.LookupEnv,
		Environ:       os.Environ,
		Now:           time.Now,
		OutIsTerminal: isTerminal(os.Stdout),
		ErrIsTerminal: isTerminal(os.Stderr),
		OutColumns:    outColumns,
	}))
}

func isTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()) }

// outColumns is how wide the terminal is that standard output goes to; 0 where it
// goes elsewhere, or does not say.
func outColumns() int {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return 0
	}
	return width
}
