package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// programs are the ways in which the README calls this program.
var programs = []string{"$ go run ./cmd/kubectl-asmjwt ", "$ kubectl asmjwt "}

func TestTheScreensOfTheREADMEAreReal(t *testing.T) {
	t.Chdir("../..") // the README's commands are run at the root of the repository
	screensAreReal(t, "README.md", 2)
}

// screensAreReal runs the commands of a document, and compares what it shows of them.
func screensAreReal(t *testing.T, file string, least int) {
	t.Helper()
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	screens, inside := 0, false
	for _, line := range strings.SplitAfter(string(old), "\n") {
		switch command := strings.TrimSuffix(line, "\n"); {
		case command == "```console":
			inside = true
		case strings.HasPrefix(command, "```"):
			inside = false
		case inside && strings.HasPrefix(command, "$ "):
			out.WriteString(line)
			out.WriteString(screen(t, command))
			screens++
			continue
		case inside:
			continue // the old screen
		}
		out.WriteString(line)
	}
	if screens < least {
		t.Fatalf("%s shows %d screens", file, screens)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if out.String() != string(old) {
		t.Errorf("%s shows something else than the program does (run: make generate). It should be:\n%s", file, out.String())
	}
}

// What a document links to in this repository is there.
func TestTheLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	t.Chdir("../..")
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	links := 0
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(text), -1) {
				links++
				if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
					t.Errorf("%s links to %s: %v", file, m[1], err)
				}
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found", links)
	}
}

// screen runs a command of the README.
func screen(t *testing.T, command string) string {
	t.Helper()
	for _, program := range programs {
		if args, ok := strings.CutPrefix(command, program); ok {
			args, intoFile := strings.CutSuffix(args, " > policies.yaml")
			_, stdout, stderr := captured(t, "", nil, strings.Fields(args)...)
			if intoFile {
				return stderr
			}
			return stderr + stdout
		}
	}
	t.Fatalf("the README runs something else: %s", command)
	return ""
}
