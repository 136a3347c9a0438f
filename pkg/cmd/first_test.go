package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
)

// plainCluster has pods, and nothing of a mesh.
const plainCluster = `
apiVersion: v1
kind: Namespace
metadata: {name: foo}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo, uid: d}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}]}
`

// What somebody sees who has just installed this: each screen is in testdata/first, both
// streams of it, as it is under either name.
func TestTheFirstMinutesAreAsTheyShouldBe(t *testing.T) {
	const bookinfo = "why deploy/istio-ingressgateway -n istio-system -f ../../examples/bookinfo --path /api/v1/products/0"
	_, without := live(t, plainCluster, apiserver.Core)
	for _, c := range []struct {
		name, args string
		exit       int
		terminal   int // its columns; 0: a pipe
		env        map[string]string
	}{
		{"no-arguments", "", 0, 80, nil},
		{"help", "-h", 0, 80, nil},
		{"help-narrow", "doctor -h", 0, 40, nil},
		{"help-of-why", "why -h", 0, 80, nil},
		{"help-of-scaffold", "help scaffold", 0, 80, nil},
		{"help-of-nothing", "help wy", 2, 80, nil},
		{"options", "options", 0, 80, nil},
		{"unknown-command", "wy", 2, 80, nil},
		{"unknown-flag", "why deploy/x --jwt-fil token.jwt", 2, 80, nil},
		{"unknown-flag-of-the-root", "--frob", 2, 80, nil},
		{"token", "why deploy/x --token abc", 2, 80, nil},
		{"no-target", "why", 2, 80, nil},
		{"no-kubeconfig", "why deploy/httpbin", 2, 80, nil},
		{"no-kubeconfig-doctor", "doctor", 2, 80, nil},
		{"scaffold-without-where", "scaffold", 2, 80, nil},
		{"explain-nothing", "explain AJ9999", 2, 80, nil},
		{"cluster-without-istio-why", "why deploy/httpbin " + without, 0, 80, nil},
		{"cluster-without-istio-doctor", "doctor " + without, 1, 80, nil},
		{"cluster-without-istio-other-namespace", "why deploy/httpbin -n bar " + without, 2, 80, nil},
		{"terminal", bookinfo, 1, 80, nil},
		{"terminal-no-color", bookinfo, 1, 80, map[string]string{"NO_COLOR": "1"}},
		{"terminal-dumb", bookinfo, 1, 80, map[string]string{"TERM": "dumb"}},
		{"piped", bookinfo, 1, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home) // client-go looks there by itself
			t.Setenv("KUBECONFIG", "")
			var archive txtar.Archive
			for _, argv0 := range []string{"/krew/bin/kubectl-asmjwt", "kubectl-asmjwt"} {
				var out, err bytes.Buffer
				code := Main(t.Context(), Process{
					Name: argv0, Args: strings.Fields(c.args), In: strings.NewReader(""), Out: &out, Err: &err,
					LookupEnv:     func(name string) (string, bool) { v, ok := c.env[name]; return v, ok },
					Now:           func() time.Time { return time.Unix(1_800_000_000, 0) },
					OutIsTerminal: c.terminal > 0, OutColumns: func() int { return c.terminal },
				})
				if code != c.exit {
					t.Errorf("as %s: exit code %d, want %d", argv0, code, c.exit)
				}
				if c.terminal > 0 {
					fitsIn(t, out.String(), c.terminal)
				}
				shown := displayName(argv0)
				archive.Files = append(archive.Files,
					txtar.File{Name: shown + ": stdout", Data: firstScreen(out.Bytes())}, txtar.File{Name: shown + ": stderr", Data: firstScreen(err.Bytes())})
			}
			archive.Comment = fmt.Appendf(nil, "$ kubectl asmjwt %s\nexit %d\n", ofThisRun.ReplaceAllString(c.args, "…"), c.exit)
			golden(t, filepath.Join("testdata/first", c.name+".txtar"), txtar.Format(&archive))
		})
	}
}

// ofThisRun is what a screen has of the machine and the moment.
var ofThisRun = regexp.MustCompile(`https://127\.0\.0\.1:\d+|/\S*\.kubeconfig`)

// firstScreen is a screen as its golden has it: escape characters are visible.
func firstScreen(text []byte) []byte {
	text = ofThisRun.ReplaceAll(text, []byte("…"))
	return bytes.ReplaceAll(text, []byte("\x1b"), []byte("^["))
}

// fitsIn fails if a line is wider than the terminal, but for the examples, which are there
// to be copied.
func fitsIn(t *testing.T, text string, columns int) {
	t.Helper()
	example := false
	for line := range strings.Lines(colourCodes.ReplaceAllString(text, "")) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' {
			example = line == "Examples:"
		}
		if n := utf8.RuneCountInString(line); n > columns && !example {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, got, 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != string(got) {
		t.Errorf("%s shows something else (run: make generate): %v\n%s", file, err, got)
	}
}

func TestEveryScreenOfTheFirstMinutesIsOfATestCase(t *testing.T) {
	files, err := filepath.Glob("testdata/first/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	source, err := os.ReadFile("first_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".txtar"); !strings.Contains(string(source), `{"`+name+`", `) {
			t.Errorf("%s is of no case", f)
		}
	}
}

func TestTheHelpOfEveryCommandFitsATerminal(t *testing.T) {
	root := Command("kubectl asmjwt")
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, columns := range []int{80, 120} {
			fitsIn(t, help(cmd, columns), columns)
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

func TestParagraphsAreFilledAndWhatIsIndentedStays(t *testing.T) {
	const text = "one two three four\nfive six\n\n  as   it stands, however long it is\nseven"
	const want = "one two three\nfour five six\n\n  as   it stands, however long it is\nseven\n"
	if got := filled(text, 14); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := filled("a-word-that-is-too-long b", 5); got != "a-word-that-is-too-long\nb\n" {
		t.Errorf("got\n%s", got)
	}
}
