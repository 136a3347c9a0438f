package diagnose

import "reflect"

// CompareWith puts the answer with other objects beside this one.
func (d *Diagnosis) CompareWith(after *Diagnosis) {
	d.WhatIf = &WhatIf{Verdict: after.Verdict, Summary: after.Summary, Because: after.Because, Differs: difference(walkOf(d), walkOf(after))}
}

// walkOf is the whole walk, over all hops, in one list: each rule with what became of
// it, then the stage that it belongs to.
func walkOf(d *Diagnosis) []Step {
	traces := [][]Step{d.Trace}
	if len(d.Hops) > 0 {
		traces = nil
		for _, h := range d.Hops {
			traces = append(traces, h.Trace)
		}
	}
	var out []Step
	for _, trace := range traces {
		for _, stage := range trace {
			for _, s := range stage.Steps {
				out = append(out, s.Steps...)
				s.Steps = nil
				out = append(out, s)
			}
			stage.Steps = nil
			out = append(out, stage)
		}
	}
	return out
}

// difference finds the first step that comes out otherwise in two walks, or if none
// does, the first that is not the same.
func difference(before, after []Step) *Difference {
	if d := firstOf(before, after, sameOutcome); d != nil {
		return d
	}
	return firstOf(before, after, func(a, b Step) bool { return reflect.DeepEqual(a, b) })
}

func firstOf(before, after []Step, same func(a, b Step) bool) *Difference {
	for i := range max(len(before), len(after)) {
		switch {
		case i >= len(before):
			return &Difference{After: &after[i]}
		case i >= len(after):
			return &Difference{Before: &before[i]}
		case !same(before[i], after[i]):
			return &Difference{Before: &before[i], After: &after[i]}
		}
	}
	return nil
}

// sameOutcome reports whether the same is done in two steps, with the same result,
// whatever it is that they compare.
func sameOutcome(a, b Step) bool {
	return a.Outcome == b.Outcome && a.Status == b.Status && sameStep(a, b)
}

// sameStep reports whether two steps are the same place of the walk.
func sameStep(a, b Step) bool {
	return a.Stage == b.Stage && a.Field == b.Field && reflect.DeepEqual(a.Object, b.Object) && a.DryRun == b.DryRun
}

// Changes reports whether the answer is another one with the change.
func (w *WhatIf) Changes(before Verdict) bool {
	before.DecidedBy = w.Verdict.DecidedBy
	return !reflect.DeepEqual(before, w.Verdict)
}

// SameOutcomes reports whether every step of the two walks comes out the same.
func (d *Difference) SameOutcomes() bool {
	return d.Before != nil && d.After != nil && sameOutcome(*d.Before, *d.After)
}
