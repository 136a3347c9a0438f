package fix

import (
	"errors"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// step is one change of one object.
type step struct {
	ref  origin.Ref
	edit func(*mesh.Editor) error
	// create is the text of an object that is not there yet, in the place of edit.
	create string
	says   string
	// lets is what the change lets past a check that it leaves as it is: it is said
	// before anything else. bypass says who else gets past.
	lets, bypass string
	// what is the value that the change writes, in words.
	what string
	// repair says that it mends what is plainly a mistake, and is worth doing even if
	// more stands in the way.
	repair bool
	// about are the sides of a request that the change speaks of.
	about []dim
	// rule is the rule whose other conditions may need a change too.
	rule origin.Origin
	// extra is how much more the change writes than one value of a list.
	extra int
	// keys says that the change stands or falls with keys that are not at hand.
	keys bool
}

// tokenless ends what a step says that lets through a request without a token.
const tokenless = " through without a token"

// errNotHere says that a change does not apply to what the object has.
var errNotHere = errors.New("the change does not apply")

// state is a mesh with some steps taken.
type state struct {
	snap    *mesh.Snapshot
	changed []origin.Ref // in the order of the first change
	steps   []step
}

// says are the steps in words, behind what they let past a check. What was to get
// through without a token when a step was thought of may have one that verifies in the
// end.
func (s *state) says(verified bool) string {
	parts := make([]string, len(s.steps))
	var lets []string
	for i, st := range s.steps {
		parts[i] = st.says
		if st.lets != "" && !(verified && strings.HasSuffix(st.lets, tokenless)) && !slices.Contains(lets, st.lets) {
			lets = append(lets, st.lets)
		}
	}
	if len(lets) > 0 {
		parts[0] = strings.Join(lets, ", and ") + ": " + parts[0]
	}
	return sentence(parts)
}

// rule is the ALLOW rule that the last step was after; none where it was after none.
func (s *state) rule() origin.Origin {
	for i := len(s.steps) - 1; i >= 0; i-- {
		if s.steps[i].rule != (origin.Origin{}) {
			return s.steps[i].rule
		}
	}
	return origin.Origin{}
}

// repairs reports whether every step mends a mistake.
func (s *state) repairs() bool {
	return len(s.steps) > 0 && !slices.ContainsFunc(s.steps, func(st step) bool { return !st.repair })
}

// within reports whether another state has taken all of these steps too.
func (s *state) within(other *state) bool {
	return !slices.ContainsFunc(s.steps, func(a step) bool {
		return !slices.ContainsFunc(other.steps, func(b step) bool { return a.says == b.says })
	})
}

// key is the same for the same steps in whatever order.
func (s *state) key() string {
	parts := make([]string, len(s.steps))
	for i, st := range s.steps {
		parts[i] = st.says
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}

func (s *state) about(d dim) bool {
	return slices.ContainsFunc(s.steps, func(st step) bool { return slices.Contains(st.about, d) })
}

// take is the state with one step more; nil where the step does not apply.
func (s *state) take(st step) *state {
	var object *mesh.Object
	if st.create != "" {
		objects, err := mesh.Parse([]byte(st.create), mesh.ParseOptions{})
		if err != nil || len(objects) != 1 || s.find(objects[0].Ref()) != nil {
			return nil
		}
		object = objects[0]
	} else {
		old := s.find(st.ref)
		if old == nil {
			return nil
		}
		var err error
		if object, err = old.Edit(st.edit); err != nil {
			return nil
		}
	}
	snap, err := s.snap.With([]*mesh.Object{object})
	if err != nil {
		return nil
	}
	out := &state{snap: snap, changed: s.changed, steps: append(slices.Clip(s.steps), st)}
	if !slices.Contains(s.changed, object.Ref()) {
		out.changed = append(slices.Clip(s.changed), object.Ref())
	}
	return out
}

func (s *state) find(ref origin.Ref) *mesh.Object {
	return s.snap.Find(mesh.GroupSecurity, ref.Kind, ref.Namespace, ref.Name)
}

// manifest is what to apply: each object that was changed.
func (s *state) manifest() string {
	parts := make([]string, len(s.changed))
	for i, ref := range s.changed {
		parts[i] = strings.TrimSuffix(s.find(ref).Manifest(), "\n") + "\n"
	}
	return strings.Join(parts, "---\n")
}

// objectFixes are the changes of objects that reach the goal, from a state on that some
// steps may have led to. It goes breadth first: what takes fewer steps comes first, and
// a way that has reached the goal goes no further.
func (f *finder) objectFixes(start *state) ([]*result, error) {
	f.start = start
	var out []*result
	var mended []unfinished
	queue := []*state{start}
	tried := map[string]bool{}
	for len(queue) > 0 && f.asked < mostAsked && len(out) < mostCompared && (len(out) == 0 || f.asked < mostFurther) {
		s := queue[0]
		queue = queue[1:]
		settings, trace, at, err := f.ask(s)
		if err != nil {
			continue // a change that makes nonsense of the mesh is none
		}
		if at == nil {
			out = append(out, f.compared(s, settings, len(out)))
			continue
		}
		if r := f.unproved(s, at, trace); r != nil {
			out = append(out, r)
			continue
		}
		if f.goal.Pass && s.repairs() {
			mended = append(mended, unfinished{s, at, trace})
		}
		if len(s.steps) == mostSteps {
			continue
		}
		for _, st := range f.next(s, at, trace) {
			if next := s.take(st); next != nil && !tried[next.key()] {
				tried[next.key()] = true
				queue = append(queue, next)
			}
		}
	}
	partial := f.partial(mended, out)
	if len(out) == 0 && f.goal.Pass && len(start.steps) == 0 {
		// Where a rule was left out because of a mistake, nobody wants to allow nothing, and
		// what opens is not the answer.
		mistaken := len(partial) > 0 || len(f.base.Result.Dropped) > 0
		for _, st := range f.lastResort() {
			if s := start.take(st); s != nil {
				if settings, _, at, err := f.ask(s); err == nil && at == nil {
					if r := f.compared(s, settings, len(out)); !r.Widens || !mistaken {
						out = append(out, r)
					}
				}
			}
		}
	}
	return append(partial, out...), nil
}

// ask evaluates the question in a changed mesh: the proxies, and of the first whose
// verdict is not wanted what it did; at is nil where there is none.
func (f *finder) ask(s *state) (settings []*diagnose.Setting, trace envoy.Trace, at *diagnose.Setting, err error) {
	if s == f.start {
		return f.settings, f.first, f.base, nil
	}
	f.asked++
	for _, before := range f.settings {
		now, err := before.With(s.snap)
		if err != nil || now == nil {
			return nil, trace, nil, errors.Join(err, errNotHere)
		}
		settings = append(settings, now)
		if t := now.Evaluate(); !f.goal.Met(diagnose.VerdictOf(t.Verdict)) {
			return nil, t, now, nil
		}
	}
	return settings, trace, nil, nil
}

// next are the steps that go on from where a proxy has stopped.
func (f *finder) next(s *state, at *diagnose.Setting, t envoy.Trace) []step {
	if len(t.Steps) == 0 || t.Verdict.Decision == envoy.Undetermined {
		return nil
	}
	seen := seenOf(t, at.Request)
	if !f.goal.Pass {
		return f.refusals(s, at, t, seen)
	}
	last := t.Steps[len(t.Steps)-1]
	switch last.Stage {
	case envoy.StageJWT:
		return f.jwtSteps(at, last)
	case envoy.StageDeny:
		return slices.Concat(f.repairSteps(at, last, seen), f.denySteps(s, at, last, seen), f.locationSteps(at, seen))
	case envoy.StageAllow:
		return slices.Concat(f.repairSteps(at, last, seen), f.allowSteps(s, at, last, seen), f.locationSteps(at, seen))
	}
	return nil
}

// compared holds a change that reaches the goal to the neighbours of the request.
func (f *finder) compared(s *state, settings []*diagnose.Setting, place int) *result {
	r := &result{snap: s.snap, state: s, place: place, steps: len(s.steps)}
	for _, st := range s.steps {
		r.steps += st.extra
	}
	r.Manifest, r.Proved = s.manifest(), true
	r.Note = f.note(s)
	verified := false
	for i, before := range f.settings {
		if before == f.base {
			t := settings[i].Evaluate()
			r.StatusAfter, verified = t.Verdict.Status, hasPayload(t)
			f.hold(r, s, settings[i])
		}
	}
	r.Summary = s.says(verified)
	return r
}

// note is what to know before a change is applied: whose the object is.
func (f *finder) note(s *state) string {
	var out []string
	for _, ref := range s.changed {
		if o := f.snap.Find(mesh.GroupSecurity, ref.Kind, ref.Namespace, ref.Name); o != nil {
			if owner := ownerOf(o); owner != "" {
				out = append(out, ref.String()+" belongs to "+owner+", which may undo the change: change that instead")
			}
		}
	}
	return strings.Join(out, "; ")
}

// ownerOf names the controller's object that an object was made from: an owner of ASM's
// groups, or what a label of theirs says.
func ownerOf(o *mesh.Object) string {
	var head struct {
		Metadata struct {
			OwnerReferences []struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
				Name       string `json:"name"`
				Controller bool   `json:"controller"`
			} `json:"ownerReferences"`
		} `json:"metadata"`
	}
	if o.Decode(&head) != nil {
		return ""
	}
	for _, owner := range head.Metadata.OwnerReferences {
		if owner.Controller || isASM(owner.APIVersion) {
			return owner.Kind + " " + owner.Name
		}
	}
	for _, set := range []map[string]string{o.Labels, o.Annotations} {
		var keys []string
		for key := range set {
			if domain, _, found := strings.Cut(key, "/"); found && isASM(domain) {
				keys = append(keys, key)
			}
		}
		if len(keys) > 0 {
			key := slices.Min(keys)
			return strings.TrimSuffix("something of ASM's ("+key+": "+set[key], ": ") + ")"
		}
	}
	return ""
}

func isASM(domain string) bool {
	group, _, _ := strings.Cut(domain, "/")
	return group == "alibabacloud.com" || strings.HasSuffix(group, ".alibabacloud.com")
}
