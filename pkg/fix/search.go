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
	// about are the sides of a request that the change speaks of.
	about []dim
	// rule is the rule whose other conditions may need a change too.
	rule origin.Origin
	// extra is how much more the change writes than one value of a list.
	extra int
	// keys says that the change stands or falls with keys that are not at hand.
	keys bool
}

// errNotHere says that a change does not apply to what the object has.
var errNotHere = errors.New("the change does not apply")

// state is a mesh with some steps taken.
type state struct {
	snap    *mesh.Snapshot
	changed []origin.Ref // in the order of the first change
	steps   []step
}

func (s *state) says() string {
	parts := make([]string, len(s.steps))
	for i, st := range s.steps {
		parts[i] = st.says
		if through, rest, ok := strings.Cut(st.says, " through without a token: "); ok && i > 0 && strings.HasPrefix(parts[0], through) {
			parts[i] = rest
		}
	}
	return sentence(parts)
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

// objectFixes are the changes of objects that reach the goal. It goes breadth first:
// what takes fewer steps comes first, and a way that has reached the goal goes no further.
func (f *finder) objectFixes() ([]*result, error) {
	var out []*result
	queue := []*state{{snap: f.snap}}
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
		if r := f.unproved(s, trace); r != nil {
			out = append(out, r)
			continue
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
	if len(out) == 0 && f.goal.Pass {
		for _, st := range f.lastResort() {
			if s := (&state{snap: f.snap}).take(st); s != nil {
				if settings, _, at, err := f.ask(s); err == nil && at == nil {
					out = append(out, f.compared(s, settings, len(out)))
				}
			}
		}
	}
	return out, nil
}

// ask evaluates the question in a changed mesh: the proxies, and of the first whose
// verdict is not wanted what it did; at is nil where there is none.
func (f *finder) ask(s *state) (settings []*diagnose.Setting, trace envoy.Trace, at *diagnose.Setting, err error) {
	if len(s.steps) == 0 {
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
		return append(f.denySteps(s, at, last, seen), f.locationSteps(at, seen)...)
	case envoy.StageAllow:
		return append(f.allowSteps(s, at, last, seen), f.locationSteps(at, seen)...)
	}
	return nil
}

// compared holds a change that reaches the goal to the neighbours of the request.
func (f *finder) compared(s *state, settings []*diagnose.Setting, place int) *result {
	r := &result{snap: s.snap, place: place, steps: len(s.steps)}
	for _, st := range s.steps {
		r.steps += st.extra
	}
	r.Summary, r.Manifest, r.Proved = s.says(), s.manifest(), true
	r.Note = f.note(s)
	for i, before := range f.settings {
		if before == f.base {
			r.StatusAfter = settings[i].Evaluate().Verdict.Status
			f.hold(r, s, settings[i])
		}
	}
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
