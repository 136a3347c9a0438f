// Package fix proposes changes, of the objects or of the request, that turn a verdict
// into the one that was wanted. It walks the trace, takes each condition that failed
// (or, of a DENY rule, that held) and the smallest change of its field that flips it,
// and evaluates again; only what was seen to change the verdict is offered. Each
// change of objects is then held to some hundred requests like the one that was asked
// about: one that lets others in is marked, and comes last.
//
// It is part of the core: no clock, no network, no writer. It imports pkg/diagnose,
// pkg/istio, pkg/envoy, pkg/mesh, pkg/jwt and pkg/origin; pkg/cmd imports it.
package fix

import (
	"cmp"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Goal is the verdict that was wanted.
type Goal struct {
	// Pass says that the request is to get through; else it is to be refused by the
	// policies.
	Pass bool
	// Met reports whether a verdict is the one that was wanted.
	Met func(diagnose.Verdict) bool
}

// Through is the goal of who asks why a request is denied.
func Through() Goal {
	return Goal{Pass: true, Met: func(v diagnose.Verdict) bool { return v.Decision == envoy.Allowed }}
}

// What is offered at most, and how much is tried for it.
const (
	mostObjectFixes  = 5
	mostRequestFixes = 3
	// mostAsked bounds how many changed meshes are evaluated, mostCompared how many of
	// those that reach the goal are held to neighbours.
	mostAsked    = 80
	mostCompared = 16
	// mostFurther is how many are evaluated at most once something has reached it.
	mostFurther = 32
	// mostSteps is how many fields one fix may change.
	mostSteps = 4
)

// Find proposes fixes for a diagnosis whose verdict is not the one that was wanted, the
// best first. Nothing is proposed for a verdict that is undetermined. Errors are those
// of diagnose.Run.
func Find(in diagnose.Intent, snap *mesh.Snapshot, d *diagnose.Diagnosis, goal Goal) ([]diagnose.Fix, error) {
	if d.Verdict.Decision == envoy.Undetermined || goal.Met(d.Verdict) {
		return nil, nil
	}
	if in.Held != nil {
		// What a proxy holds does not change with the objects. Where the two agree, a
		// change of the objects says what will come of it once it is pushed.
		in.Held = nil
		same, err := diagnose.Run(in, snap)
		if err != nil || same.Verdict.Decision != d.Verdict.Decision || same.Verdict.Status != d.Verdict.Status || same.Verdict.Body != d.Verdict.Body {
			return nil, err
		}
	}
	settings, err := diagnose.Settings(in, snap)
	if err != nil || len(settings) == 0 {
		return nil, err
	}
	f := &finder{in: in, snap: snap, goal: goal, settings: settings}
	if f.base = f.firstUnmet(settings); f.base == nil {
		return nil, nil
	}
	f.first = f.base.Evaluate()
	f.hide = diagnose.Hider(f.base.Request, f.base.Providers())
	var found []*result
	// Behind another hop the request is what that one leaves: a change of what the client
	// sends is not tried there.
	if goal.Pass && len(d.Hops) < 2 {
		found = f.requestFixes()
	}
	changes, err := f.objectFixes(&state{snap: snap})
	if err != nil {
		return nil, err
	}
	forwards, err := f.forwardFixes(d)
	if err != nil {
		return nil, err
	}
	return f.ranked(append(append(found, forwards...), changes...))
}

// finder is one search.
type finder struct {
	in       diagnose.Intent
	snap     *mesh.Snapshot
	goal     Goal
	settings []*diagnose.Setting
	// start is where the search for changes of objects begins.
	start *state
	// base is the proxy that decided, first what it did.
	base  *diagnose.Setting
	first envoy.Trace
	// hide takes the request's secrets out of a text.
	hide  func(string) string
	asked int
	asks  *bool // whether tokens are looked at; nil: not found out yet
	near  *neighbours
}

// result is a change that reaches the goal.
type result struct {
	diagnose.Fix
	snap     *mesh.Snapshot // with the change; nil for one of the request
	state    *state         // the steps that led there; nil for one of the request
	place    int            // in the order of the search
	steps    int
	foremost bool // plainly what is wrong
}

// firstUnmet is the first proxy whose verdict is not the one that was wanted.
func (f *finder) firstUnmet(settings []*diagnose.Setting) *diagnose.Setting {
	for _, s := range settings {
		if !f.goal.Met(diagnose.VerdictOf(s.Evaluate().Verdict)) {
			return s
		}
	}
	return nil
}

// ranked puts the best first, keeps some of each kind, and holds what is left to Run
// itself.
func (f *finder) ranked(all []*result) ([]diagnose.Fix, error) {
	slices.SortStableFunc(all, func(a, b *result) int {
		return cmp.Or(
			later(a.Widens, b.Widens),
			later(!a.foremost, !b.foremost),
			later(!a.Proved, !b.Proved),
			cmp.Compare(changed(a), changed(b)),
			cmp.Compare(a.steps, b.steps),
			cmp.Compare(a.place, b.place),
		)
	})
	var out []diagnose.Fix
	objects, requests := 0, 0
	for _, r := range all {
		count, most := &requests, mostRequestFixes
		if r.snap != nil {
			count, most = &objects, mostObjectFixes
		}
		if *count == most || slices.ContainsFunc(out, func(have diagnose.Fix) bool { return have.Summary == r.Summary }) {
			continue
		}
		if r.snap != nil && r.Proved {
			again, err := diagnose.Run(f.in, r.snap)
			if err != nil {
				return nil, err
			}
			if !f.goal.Met(again.Verdict) {
				continue
			}
			r.StatusAfter = again.Verdict.Status
		}
		*count++
		out = append(out, r.Fix)
	}
	return out, nil
}

func later(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func changed(r *result) int {
	if r.Neighbours == nil {
		return 0
	}
	return r.Neighbours.Opened + r.Neighbours.Closed
}

// sentence joins what the steps of a fix say.
func sentence(parts []string) string { return strings.Join(parts, "; and ") }
