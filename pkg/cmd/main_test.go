package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

func TestTheNameShownIsTheOneThatWasCalled(t *testing.T) {
	for argv0, want := range map[string]string{
		"/home/me/.krew/bin/kubectl-asmjwt": "kubectl asmjwt",
		"kubectl-asmjwt":                    "kubectl-asmjwt",
		"./bin/kubectl-asmjwt":              "kubectl-asmjwt",
		"./bin/asmjwt":                      "kubectl-asmjwt",
		"":                                  "kubectl-asmjwt",
	} {
		if got := displayName(argv0); got != want {
			t.Errorf("%q: got %q, want %q", argv0, got, want)
		}
	}
}

func TestEveryErrorHasItsExitCode(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	live := t.Context()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"usage", live, usage("h", "p"), 2},
		{"usage, wrapped", live, fmt.Errorf("--from: %w", usage("h", "p")), 2},
		{"input", live, &mesh.InputError{Problem: "p", Err: fs.ErrNotExist}, 2},
		{"several inputs", live, newErrorList([]*mesh.InputError{{Problem: "p"}, {Problem: "q"}}), 2},
		{"target", live, &mesh.NotFoundError{}, 2},
		{"not in this version", live, &unavailableError{problem: "p"}, 3},
		{"network", live, &mesh.InputError{Problem: "p", Err: &url.Error{Op: "Get", Err: errors.New("refused")}}, 3},
		{"anything else", live, errors.New("x"), 3},
		{"interrupted", cancelled, fmt.Errorf("read: %w", context.Canceled), 130},
		{"an error that has nothing to do with the interrupt", cancelled, usage("h", "p"), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCodeOf(tt.ctx, tt.err); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestErrorsAreLinesWithTheirHintsBelow(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"with a hint", usage("do this", "it is wrong"), "error: it is wrong\nhint: do this\n"},
		{"without a hint", errors.New("it broke"), "error: it broke\n"},
		{"control characters are escaped", errors.New("a\x1b[31mb\u202ec\rd"), "error: a\\x1b[31mb\\u202ec\\rd\n"},
		{"more lines are indented", errors.New("a\nb"), "error: a\n       b\n"},
		{"several", newErrorList([]error{usage("x", "a"), usage("y", "b")}), "error: a\nhint: x\nerror: b\nhint: y\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			reportError(t.Context(), &out, tt.err)
			if out.String() != tt.want {
				t.Errorf("got  %q\nwant %q", out.String(), tt.want)
			}
		})
	}
	many := make([]error, 30)
	for i := range many {
		many[i] = errors.New("x")
	}
	var out bytes.Buffer
	reportError(t.Context(), &out, newErrorList(many))
	if got := strings.Count(out.String(), "\n"); got != mostErrors+1 || !strings.HasSuffix(out.String(), "error: there are 20 more\n") {
		t.Errorf("thirty errors take %d lines: %q", got, out.String())
	}
}

func TestHelpGoesToStandardOutputAndVersionSaysWhoJudges(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"why", "--help"}, {"help", "why"}, {}} {
		code, stdout, stderr := captured(t, "", nil, args...)
		if code != exitYes || !strings.Contains(stdout, "kubectl asmjwt") || stderr != "" {
			t.Errorf("%v: exit code %d, standard error %q", args, code, stderr)
		}
		if strings.Contains(stdout, "--token ") {
			t.Errorf("%v: the help offers kubectl's --token", args)
		}
	}
	code, stdout, _ := captured(t, "", nil, "version")
	if code != exitYes || !strings.Contains(stdout, "Envoy 1.40.0") {
		t.Errorf("version: exit code %d, %q", code, stdout)
	}
	if code, _, _ := captured(t, "", nil, "version", "x"); code != exitUsage {
		t.Errorf("version with an argument: exit code %d", code)
	}
}

func TestEnumsHaveOneListForValueValidationUsageAndCompletion(t *testing.T) {
	cmd := &cobra.Command{Use: "x"}
	e := enumFlag(cmd, "shape", "s", "round", "the shape", "round", "square")
	if e.value != "round" || e.Type() != "round|square" {
		t.Errorf("default %q, type %q", e.value, e.Type())
	}
	if err := cmd.ParseFlags([]string{"-s", "square"}); err != nil || e.value != "square" {
		t.Errorf("got %q, %v", e.value, err)
	}
	var invalid *pflag.InvalidValueError
	if err := cmd.ParseFlags([]string{"--shape", "flat"}); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "round, square") {
		t.Errorf("got %v", err)
	}
	complete, ok := cmd.GetFlagCompletionFunc("shape")
	if !ok {
		t.Fatal("there is no completion")
	}
	if got, _ := complete(cmd, nil, ""); len(got) != 2 {
		t.Errorf("completes to %v", got)
	}
}

func TestTargetsCompleteToTheirTypes(t *testing.T) {
	c := completer{}
	got, _ := c.targets(nil, nil, "")
	if len(got) == 0 || !strings.HasSuffix(got[0], "/") {
		t.Errorf("got %v", got)
	}
	if got, _ := c.targets(nil, []string{"deploy/x"}, ""); got != nil {
		t.Errorf("a second word completes to %v", got)
	}
}
