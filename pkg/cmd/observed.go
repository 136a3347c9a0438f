package cmd

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
)

// readObserved reads --observed.
func (o *whyOptions) readObserved() error {
	if !o.given("observed") {
		return nil
	}
	text, err := o.app.readPasted("--observed", o.flags.observed)
	if err != nil {
		return err
	}
	o.app.secrets.addShapes(text)
	answer, err := observe.Parse(text)
	if err != nil {
		return err
	}
	if answer.Request != nil {
		o.app.secrets.addPath(answer.Request.Path)
		for _, h := range answer.Request.Headers {
			o.app.secrets.addHeader(h.Name, h.Value)
		}
	}
	o.observed = &answer
	return nil
}

// compare holds what was seen against the diagnosis. snapshot is nil where the
// question cannot be asked again.
func (o *whyOptions) compare(in diagnose.Intent, snapshot *mesh.Snapshot, d *diagnose.Diagnosis, line *aboutLine) {
	seen := o.observed
	if line != nil {
		seen = &line.observed
		d.TakeLog(line.line, snapshot)
	}
	if seen == nil {
		return
	}
	q := observe.Question{Intent: in}
	if snapshot != nil {
		q.Ask = func(in diagnose.Intent) (*diagnose.Diagnosis, error) { return diagnose.Run(in, snapshot) }
	}
	d.Observed = observe.Compare(*seen, d, q)
}

// exitCodeOf is the exit code of an answer: the verdict's, or whether it is what was
// seen, where that is what was expected.
func (o *whyOptions) exitCodeOf(d *diagnose.Diagnosis) int {
	switch {
	case o.expect == nil || !o.expect.observed || d.Observed == nil:
		return exitCodeFor(o.counts(d), o.expect)
	case !d.Observed.Agrees:
		return exitNo
	case d.Verdict.Decision == envoy.Undetermined:
		return exitUnknown
	default:
		return exitYes
	}
}
