package diagnose

import "reflect"

// CompareWith puts the answer with other objects beside this one.
func (d *Diagnosis) CompareWith(after *Diagnosis) {
	d.WhatIf = &WhatIf{Verdict: after.Verdict, Because: after.Because, Differs: difference(walkOf(d), walkOf(after))}
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

// difference finds the first step in which two walks differ.
func difference(before, after []Step) *Difference {
	for i := range max(len(before), len(after)) {
		switch {
		case i >= len(before):
			return &Difference{After: &after[i]}
		case i >= len(after):
			return &Difference{Before: &before[i]}
		case !reflect.DeepEqual(before[i], after[i]):
			return &Difference{Before: &before[i], After: &after[i]}
		}
	}
	return nil
}
