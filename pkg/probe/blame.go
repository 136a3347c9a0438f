package probe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// adopt takes over what a prediction has found on the way, each thing once. What is about
// one request alone stays with its row.
func (r *Report) adopt(d *diagnose.Diagnosis) {
	for _, f := range d.Findings {
		if !slices.ContainsFunc(r.Findings, func(o diagnose.Finding) bool { return o.Code == f.Code && o.Message == f.Message }) {
			r.Findings = append(r.Findings, f)
		}
	}
	for _, g := range d.Gaps {
		if !slices.Contains(r.Gaps, g) {
			r.Gaps = append(r.Gaps, g)
		}
	}
	if r.To.Target.Name == "" {
		r.To.Target = lastOf(d)
	}
}

// lastOf is the workload at the end of the way, whoever decides.
func lastOf(d *diagnose.Diagnosis) diagnose.Target {
	switch {
	case len(d.NotReached) > 0:
		return d.NotReached[len(d.NotReached)-1]
	case len(d.Hops) > 0:
		return d.Hops[len(d.Hops)-1].Target
	}
	return d.Target
}

// causes are the codes of what may be behind a difference.
var causes = map[string]diag.Code{
	"clock": diag.ClockDiffers, "hop": diag.AnotherHop, "application": diag.ApplicationAnswered, "bypass": diag.ProxyBypassed,
}

// blame makes a finding of each cause of a difference, the likeliest of each row, and one
// of the rows that differed at the first look alone. They come first of all.
func (r *Report) blame(pushed int) {
	var found []diagnose.Finding
	told := map[string]bool{}
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Outcome != Differs {
			continue
		}
		f := diagnose.Finding{Code: diag.AnswerDiffers, Severity: diag.Error, Message: fmt.Sprintf("%s at %s: the answer is another than predicted", row.Name, row.Path)}
		if len(row.Reasons) > 0 {
			first := &row.Reasons[0]
			if first.Cause == "clock" && r.Clock != nil && (r.Clock.AheadSeconds > leeway || r.Clock.AheadSeconds < -leeway) {
				first.Message, first.Try = r.Clock.String(), r.clockWords(first.Try)
			}
			if code, ok := causes[first.Cause]; ok {
				f.Code = code
			}
			f.Message = first.Message
			if first.Evidence != "" {
				f.Message += " (" + first.Evidence + ")"
			}
		}
		if !told[f.Message] {
			told[f.Message] = true
			found = append(found, f)
		}
	}
	if pushed > 0 {
		found = append(found, diagnose.Finding{Code: diag.PushUnderWay, Severity: diag.Warning, Message: fmt.Sprintf(
			"%s answered otherwise at first: a change was on its way to the proxies", countOf(pushed, "request"))})
	}
	if c := r.Clock; c != nil && (c.AheadSeconds > leeway || c.AheadSeconds < -leeway) && !slices.ContainsFunc(found, func(f diagnose.Finding) bool { return f.Code == diag.ClockDiffers }) {
		r.Findings = append(r.Findings, diagnose.Finding{Code: diag.ClockDiffers, Severity: diag.Warning, Message: c.String()})
	}
	r.Findings = append(found, r.Findings...)
}

// clockWords are what to do about a clock, which of the two it is that is wrong; at are
// the flags that make predictions for the other one.
func (r *Report) clockWords(at string) string {
	if r.Clock.Reference == timeOfAt {
		return at // what it is compared with is no clock
	}
	out := "let NTP set the one that is wrong"
	if t := r.To.Target; len(t.Pods) > 0 {
		out += ": kubectl get pods -n " + t.Namespace + " " + t.Pods[0] + " -o wide names the node"
	}
	if strings.HasPrefix(at, "--at ") {
		out += "; until then " + at + " predicts what it does"
	}
	return out
}
