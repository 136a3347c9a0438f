package fix

import (
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// forwardFixes let a hop pass on the token that it verifies, where the next one misses
// it. They are evaluated over all hops.
func (f *finder) forwardFixes(d *diagnose.Diagnosis) ([]*result, error) {
	var out []*result
	for _, found := range d.Findings {
		if found.Code != diag.TokenTaken || found.Object == nil || !f.goal.Pass {
			continue
		}
		ref, field := origin.Ref{Kind: found.Object.Kind, Namespace: found.Object.Namespace, Name: found.Object.Name}, found.Field
		s := (&state{snap: f.snap}).take(step{
			ref: ref, repair: true,
			says: fmt.Sprintf("let the next hop have the token: set %s of %s to true", short(field), ref),
			edit: func(e *mesh.Editor) error { return e.Set(field, true) },
		})
		if s == nil {
			continue
		}
		after, err := diagnose.Run(f.in, s.snap)
		if err != nil {
			return nil, err
		}
		if !f.goal.Met(after.Verdict) {
			further, err := f.behind(s)
			if err != nil {
				return nil, err
			}
			out = append(out, further...)
			continue
		}
		r := &result{snap: s.snap, state: s, steps: 1, foremost: true}
		r.Summary, r.Manifest, r.Proved, r.StatusAfter, r.Note = s.says(true), s.manifest(), true, after.Verdict.Status, f.note(s)
		if err := f.holdForward(r, s); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// behind goes on from where the next hop has the token, and something else stops it.
func (f *finder) behind(s *state) ([]*result, error) {
	settings, err := diagnose.Settings(f.in, s.snap)
	if err != nil || len(settings) == 0 {
		return nil, err
	}
	base := f.firstUnmet(settings)
	if base == nil {
		return nil, nil
	}
	return f.at(s, settings, base).objectFixes(s)
}

// at is a search at the proxies of a changed mesh.
func (f *finder) at(s *state, settings []*diagnose.Setting, base *diagnose.Setting) *finder {
	return &finder{in: f.in, snap: s.snap, goal: f.goal, settings: settings, base: base, first: base.Evaluate(), hide: f.hide}
}

// holdForward compares what the last hop says of the neighbours with their token and
// without: that is what passing it on changes. Requests without one are the same.
func (f *finder) holdForward(r *result, s *state) error {
	settings, err := diagnose.Settings(f.in, s.snap)
	if err != nil || len(settings) == 0 {
		return err
	}
	behind := f.at(s, settings, settings[0])
	counts := diagnose.Neighbours{}
	for _, nb := range behind.around().list {
		without := newDraft(nb.req)
		without.strip(behind.base.Providers())
		before, now := opennessOf(behind.base.Decide(&without.req, false)), nb.before
		counts.Checked++
		switch {
		case now > before:
			counts.Opened++
		case now < before:
			counts.Closed++
		}
	}
	r.Neighbours = &counts
	return nil
}
