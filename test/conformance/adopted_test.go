package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

// requestsPerAdopted is how many requests a mesh around somebody else's policies gets.
const requestsPerAdopted = 8

// istiosOwn are the policies that Istio tests its own translation with.
var istiosOwn = []string{
	"pilot/pkg/security/authz/builder/testdata/*/*-in.yaml", "pilot/pkg/serviceregistry/ambient/testdata/*-in.yaml",
	"pkg/config/analysis/analyzers/testdata/authorizationpolicies.yaml",
}

// Policies that others wrote are answered as predicted: Istio's own, or the files that
// ASMJWT_POLICIES names, as globs with blanks between them.
func TestPoliciesOfOthersAgreeWithEnvoy(t *testing.T) {
	t.Parallel()
	given, patterns := os.Getenv("ASMJWT_POLICIES"), []string(nil)
	if given != "" {
		patterns = strings.Fields(given)
	} else {
		dir := moduleOf(t, "istio.io/istio")
		for _, p := range istiosOwn {
			patterns = append(patterns, filepath.Join(dir, p))
		}
	}
	seed := setting(t, "ASMJWT_SEED", newSeed())
	g := gen.New(seed)
	var cases []judge.Case
	files := 0
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no files, %v", p, err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			meshes, err := g.Adopt(string(text))
			if errors.Is(err, gen.ErrNoPolicy) && given == "" {
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			files++
			for _, m := range meshes {
				more := g.Requests(m, requestsPerAdopted)
				for i := range more {
					more[i].Name = filepath.Base(file) + " " + more[i].Name
				}
				cases = append(cases, more...)
			}
		}
	}
	answers, minted, err := run.Run(context.Background(), cases, run.Options{Sign: mint.Sign})
	if err != nil {
		t.Fatal(err)
	}
	tally := newTally()
	tally.batch(t, cases, answers, minted)
	t.Logf("seed %d: %d pairs, policies of %d files, %d differ", seed, tally.compared, files, len(tally.failures))
	if tally.compared == 0 || given == "" && files < len(istiosOwn) {
		t.Fatal("nothing was compared")
	}
	for i, f := range tally.failures {
		dir := filepath.Join("failures", fmt.Sprintf("adopted-%d-%d", seed, i))
		t.Errorf("%s: %s %q\n  differs: %v\n  shrunk to the folder test/conformance/%s", f.c.Name, f.c.Request.Method, f.c.Request.Path, f.diff, dir)
		writeFailure(context.Background(), t, dir, f, run.Run)
	}
}

// moduleOf is where the source of a module lies that this test is linked with.
func moduleOf(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
