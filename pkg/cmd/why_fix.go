package cmd

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fix"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// fixOutput begins the form of output that is one fix's manifest.
const fixOutput = "fix="

// addFixOutput lets -o take fix=N.
func addFixOutput(output *enum) {
	output.also, output.takes = "fix=N", func(s string) bool {
		n, ok := strings.CutPrefix(s, fixOutput)
		i, err := strconv.Atoi(n)
		return ok && err == nil && i > 0
	}
}

// fixWanted is the N of -o fix=N; 0 for every other form.
func (f *whyFlags) fixWanted() int { return fixWanted(f.output) }

func fixWanted(output *enum) int {
	n, ok := strings.CutPrefix(output.value, fixOutput)
	if !ok {
		return 0
	}
	i, err := strconv.Atoi(n)
	if err != nil {
		return 0 // Set has seen to it
	}
	return i
}

// addFixes looks for changes that give the verdict that was wanted: what is expected, or
// else that the request gets through.
func (o *whyOptions) addFixes(in diagnose.Intent, d *diagnose.Diagnosis, snapshot *mesh.Snapshot) error {
	if o.flags.quiet {
		return nil
	}
	goal := fix.Through()
	if o.expect != nil && !o.expect.observed {
		goal = o.expect.goal()
	}
	return o.app.proposals(in, d, snapshot, goal)
}

// goal is an expectation as a goal for fixes.
func (e *expectation) goal() fix.Goal { return fix.Goal{Met: e.met, Pass: e.status == 200} }

// proposals adds the fixes of a diagnosis, those that may be shown.
func (a *app) proposals(in diagnose.Intent, d *diagnose.Diagnosis, snapshot *mesh.Snapshot, goal fix.Goal) error {
	in.Everything = false // nobody reads the walks of candidates
	if goal.Met(d.Verdict) || d.Verdict.Decision == envoy.Undetermined {
		return nil
	}
	found, err := fix.Find(in, snapshot, d, goal)
	if err != nil {
		return err
	}
	for _, f := range found {
		if len(in.Via) > 0 && f.Manifest == "" {
			continue // another request was asked of the last hop alone
		}
		// A manifest is right or it is not given: what would have to be hidden in it
		// cannot be applied.
		if a.secrets.redact(f.Manifest) == f.Manifest && a.secrets.redact(f.Summary) == f.Summary {
			d.Fixes = append(d.Fixes, f)
		}
	}
	return nil
}

// printFix prints the manifest of a fix alone, for kubectl apply. The exit code says
// whether there is one, not what the verdict is: a shell that heeds each part of a pipe
// must not take a fix for a failure.
func (o *whyOptions) printFix(all []*diagnose.Diagnosis) error {
	n, d := o.flags.fixWanted(), all[0]
	switch {
	case len(all) > 1:
		return usage("name one --context", "a fix is for one cluster, and %d were asked", len(all))
	case d.Verdict.Decision == envoy.Undetermined:
		return &unavailableError{
			problem: "the verdict is undetermined, so that no fix can be proved",
			hint:    "the same without -o says what is missing",
		}
	case len(d.Fixes) == 0 && o.wanted(d):
		return usage("the same without -o shows the answer", "there is nothing to fix: the verdict is the one that was wanted")
	case len(d.Fixes) == 0:
		return usage("the same without -o shows the walk", "no fix was found that could be proved")
	case n > len(d.Fixes):
		return usage("the same without -o shows them", "there is no fix %d, only %s", n, countOf(len(d.Fixes)))
	}
	f := d.Fixes[n-1]
	if f.Manifest == "" {
		return usage(strings.TrimSuffix("ask with: "+f.Hint, "ask with: "), "fix %d is a change of the request and has no manifest: %s", n, f.Summary)
	}
	o.app.code = exitYes
	if _, err := io.WriteString(o.app.Out, f.Manifest); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

func countOf(n int) string {
	if n == 1 {
		return "1: fix=1"
	}
	return fmt.Sprintf("%d: fix=1 to fix=%d", n, n)
}

// wanted reports whether the verdict is the one that was wanted.
func (o *whyOptions) wanted(d *diagnose.Diagnosis) bool {
	return exitCodeFor(d.Verdict, o.expect) == exitYes
}
