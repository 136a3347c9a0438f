package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/cmd"
)

var update = flag.Bool("update", false, "write the committed files anew")

// What is committed of what is generated is what the commands say now.
func TestTheReferenceAndTheCompletionsAreUpToDate(t *testing.T) {
	fresh := t.TempDir()
	if err := write(fresh); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ fresh, committed string }{{"reference", "../../docs/reference"}, {"completions", "../../completions"}} {
		want, err := filepath.Glob(filepath.Join(fresh, c.fresh, "*"))
		if err != nil || len(want) == 0 {
			t.Fatal(want, err)
		}
		have, err := filepath.Glob(filepath.Join(c.committed, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			for _, name := range have {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(c.committed, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if len(have) != len(want) {
			t.Errorf("%s has %d files, want %d: run make generate", c.committed, len(have), len(want))
		}
		for _, name := range want {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(c.committed, filepath.Base(name))
			if *update {
				mode := os.FileMode(0o644)
				if strings.HasPrefix(filepath.Base(name), "kubectl_complete") {
					mode = 0o755
				}
				if err := os.WriteFile(to, text, mode); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if have, err := os.ReadFile(to); err != nil || string(have) != string(text) {
				t.Errorf("%s is out of date: run make generate (%v)", to, err)
			}
		}
	}
}

func TestTheManPagesAreThoseOfTheCommands(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range cmd.Command("kubectl asmjwt").Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "man", "kubectl-asmjwt-"+c.Name()+".1"))
		if err != nil || !strings.Contains(string(text), c.Short) {
			t.Errorf("%s: %v", c.Name(), err)
		}
		if home, _ := os.UserHomeDir(); home != "" && home != "/" && strings.Contains(string(text), home+"/") {
			t.Errorf("the page of %s names a folder of this machine", c.Name())
		}
	}
}
