package cmd

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// print prints the answers of all contexts in the form that was asked for.
func (o *whyOptions) print(all []*diagnose.Diagnosis) error {
	if o.flags.fixWanted() > 0 {
		return o.printFix(all)
	}
	var answer any = all[0]
	if len(all) > 1 {
		answer = diagnose.NewList(all)
	}
	if done, err := render.ForPrograms(o.app.Out, o.flags.output.value, answer); done {
		return err
	}
	for i, d := range all {
		if len(all) > 1 {
			if _, err := fmt.Fprintf(o.app.Out, "%s%s\n", strings.Repeat("\n", min(i, 1)), o.heading(i, len(all), d)); err != nil {
				return err
			}
		}
		if err := o.printText(d); err != nil {
			return err
		}
	}
	return nil
}

// heading tells one answer of several from the others.
func (o *whyOptions) heading(i, n int, d *diagnose.Diagnosis) string {
	var parts []string
	if len(o.contexts()) > 1 {
		parts = append(parts, "context "+render.Printable(d.Target.Context))
	}
	if o.flags.logs.value == logsEach && d.Log != nil {
		parts = append(parts, fmt.Sprintf("line %d of %d", i+1, n))
	}
	return strings.Join(parts, ", ")
}

// printText prints an answer for a person.
func (o *whyOptions) printText(d *diagnose.Diagnosis) error {
	style := o.app.style(o.flags.noColor)
	if o.flags.quiet {
		return render.Line(o.app.Out, d, style)
	}
	style.Wide = o.flags.output.value == "wide"
	return render.Text(o.app.Out, d, style)
}

// exitCodeFor is the only map from verdicts to exit codes.
func exitCodeFor(v diagnose.Verdict, expect *expectation) int {
	yes := v.Decision == envoy.Allowed
	if expect != nil {
		yes = expect.met(v)
	}
	switch {
	case v.Decision == envoy.Undetermined:
		return exitUnknown
	case yes:
		return exitYes
	default:
		return exitNo
	}
}

// worse is the exit code for two answers: what could not be found out outweighs a no,
// and that a yes.
func worse(a, b int) int { return max(a, b) }

// met reports whether a verdict is what was expected.
func (e *expectation) met(v diagnose.Verdict) bool {
	switch {
	case e.closed:
		return v.Decision == envoy.Denied && v.Status == 0
	case e.grpc != nil:
		return v.GRPCStatus != nil && *v.GRPCStatus == *e.grpc
	default:
		return v.GRPCStatus == nil && v.Status == e.status
	}
}
