package fix

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// repairSteps mend what is plainly a mistake and has to do with where the request was
// stopped: a key of `when` that is mistyped, a selector that misses the pods by a letter,
// tokens that are asked for and that nothing verifies.
func (f *finder) repairSteps(at *diagnose.Setting, last envoy.Step, seen *envoy.Seen) []step {
	var out []step
	if last.Stage == envoy.StageAllow {
		out = f.keySteps(at)
	}
	if seen.HasPayload || seen.TCP || !asksToken(last) {
		return out
	}
	for _, s := range f.strays(at) {
		if selectors := f.selectorSteps(at, s); len(selectors) > 0 {
			out = append(out, selectors...)
		} else {
			out = append(out, f.newAuthentication(at, s)...)
		}
	}
	return out
}

// asksToken reports whether a rule at a stage looks at the token.
func asksToken(stage envoy.Step) bool {
	return slices.ContainsFunc(stage.Steps, func(p envoy.Step) bool {
		return !p.Shadow && slices.ContainsFunc(p.Steps, func(c envoy.Step) bool { return ofToken(c.Attribute) })
	})
}

// keySteps write the key of `when` that is meant where istiod knows none that is so
// written, and leaves out the whole rule.
func (f *finder) keySteps(at *diagnose.Setting) []step {
	var out []step
	for _, d := range at.Result.Dropped {
		o := f.snap.Find(mesh.GroupSecurity, d.Origin.Kind, d.Origin.Namespace, d.Origin.Name)
		if o == nil || d.Origin.Kind != "AuthorizationPolicy" || !strings.HasSuffix(d.Origin.Field, ".key") {
			continue
		}
		key := ""
		if _, err := o.Edit(func(e *mesh.Editor) error { key = e.Text(d.Origin.Field); return nil }); err != nil {
			continue
		}
		like := istio.KeyLike(key)
		if like == "" || f.hide(key) != key {
			continue
		}
		out = append(out, step{
			ref: d.Origin.Ref, repair: true,
			says: fmt.Sprintf("write %q for %q: %s of %s", like, key, short(d.Origin.Field), d.Origin.Ref),
			edit: func(e *mesh.Editor) error {
				if e.Text(d.Origin.Field) != key {
					return errNotHere
				}
				return e.Set(d.Origin.Field, like)
			},
		})
	}
	return out
}

// selectorSteps have a RequestAuthentication for a token's issuer select the workload
// that it misses by a letter. One that selects other pods is left to them.
func (f *finder) selectorSteps(at *diagnose.Setting, s stray) []step {
	var out []step
	for _, c := range at.Result.Considered {
		o := f.snap.Find(mesh.GroupSecurity, c.Kind, c.Namespace, c.Name)
		if c.Attached || c.Kind != "RequestAuthentication" || o == nil || c.Namespace != at.Workload.Namespace || f.ruleFor(o, s.token.Issuer) == nil {
			continue
		}
		labels := selectorLabels(o)
		if labels == nil || f.selectsSomething(c.Namespace, labels) {
			continue
		}
		mended, says := nearLabels(labels, at.Workload.Labels)
		if mended == nil {
			continue
		}
		out = append(out, step{
			ref: c.Ref, repair: true, keys: true,
			says: fmt.Sprintf("have %s select the pods: %s", c.Ref, says),
			edit: func(e *mesh.Editor) error {
				if !e.Has("spec.selector.matchLabels") {
					return errNotHere
				}
				return e.Set("spec.selector.matchLabels", mended)
			},
		})
	}
	return out
}

// selectorLabels are the labels that a policy selects pods by; nil where it has none, or
// selects by something else.
func selectorLabels(o *mesh.Object) map[string]string {
	spec := &securityapi.RequestAuthentication{}
	if o.DecodeSpec(spec) != nil || spec.GetTargetRef() != nil || len(spec.GetTargetRefs()) > 0 {
		return nil
	}
	return spec.GetSelector().GetMatchLabels()
}

func (f *finder) selectsSomething(namespace string, labels map[string]string) bool {
	all, err := f.snap.Workloads(namespace)
	return err != nil || slices.ContainsFunc(all, func(w mesh.Workload) bool { return mesh.SelectorMatches(labels, w.Labels) })
}

// nearLabels are the labels of a selector with the one set right that is mistyped, in
// its value or in its key; nil where it is not one alone.
func nearLabels(want, have map[string]string) ([]mesh.Entry, string) {
	var out []mesh.Entry
	says := ""
	for _, key := range slices.Sorted(maps.Keys(want)) {
		value := want[key]
		got, has := have[key]
		switch {
		case has && got == value:
		case says != "":
			return nil, ""
		case has && mesh.Mistyped(got, value):
			says, value = fmt.Sprintf("%s=%s, not %s=%s", key, got, key, value), got
		case !has:
			like := ""
			for _, k := range slices.Sorted(maps.Keys(have)) {
				if have[k] == value && mesh.Mistyped(k, key) {
					like = k
				}
			}
			if like == "" {
				return nil, ""
			}
			says, key = fmt.Sprintf("%s=%s, not %s=%s", like, value, key, value), like
		default:
			return nil, ""
		}
		out = append(out, mesh.Entry{Key: key, Value: value})
	}
	if says == "" {
		return nil, ""
	}
	return out, says
}

// ruleFor is the rule of a RequestAuthentication for an issuer, as it was written.
func (f *finder) ruleFor(o *mesh.Object, issuer string) map[string]any {
	if issuer == "" || !o.Mentions(issuer) {
		return nil
	}
	spec, err := o.RawSpec()
	if err != nil {
		return nil
	}
	rules, _ := spec["jwtRules"].([]any)
	for _, r := range rules {
		if rule, ok := r.(map[string]any); ok && rule["issuer"] == issuer {
			return rule
		}
	}
	return nil
}

// newAuthentication verifies the request's token where nothing does: with the keys that
// another RequestAuthentication has for the issuer, else with those that the issuer
// publishes, which istiod finds by itself (Istio pilot/pkg/model/jwks_resolver.go).
// The token goes on to whoever comes next, as it does now.
func (f *finder) newAuthentication(at *diagnose.Setting, s stray) []step {
	iss, w := s.token.Issuer, at.Workload
	if len(at.Providers()) > 0 || at.Result.Proxy.Role == envoy.RoleWaypoint || len(f.literal(iss, false)) == 0 {
		return nil
	}
	rule := []mesh.Entry{{Key: "issuer", Value: iss}}
	from := "the keys that the issuer publishes"
	for _, o := range f.snap.Kind(mesh.GroupSecurity, "RequestAuthentication") {
		if keys, ok := keysIn(f.ruleFor(o, iss)); ok {
			rule, from = append(rule, keys), "the keys that "+o.Ref().String()+" has"
			break
		}
	}
	if len(rule) == 1 && !strings.HasPrefix(iss, "https://") {
		return nil
	}
	if s.kind == envoy.InHeader && !(strings.EqualFold(s.name, "authorization") && s.prefix == "Bearer ") {
		return nil // where tokens are to be sent is not for a guess
	}
	rule = append(rule, mesh.Entry{Key: "forwardOriginalToken", Value: true})
	name := f.freeName("RequestAuthentication", w.Namespace, w.Ref.Name+"-jwt")
	spec := append(selectorOf(w), mesh.Entry{Key: "jwtRules", Value: []any{rule}})
	return []step{{
		create: manifestText("RequestAuthentication", w.Namespace, name, spec), repair: true, keys: true, extra: 2,
		says: fmt.Sprintf("have %s verify tokens of %s, with %s: add the RequestAuthentication %s/%s", w.Ref, strconv.Quote(iss), from, w.Namespace, name),
	}}
}

// keysIn is where a rule has its keys.
func keysIn(rule map[string]any) (mesh.Entry, bool) {
	for _, name := range []string{"jwksUri", "jwks"} {
		if v, ok := rule[name].(string); ok && v != "" {
			return mesh.Entry{Key: name, Value: v}, true
		}
	}
	return mesh.Entry{}, false
}

// unfinished is a mesh in which mistakes are mended, and the request is stopped still.
type unfinished struct {
	state *state
	at    *diagnose.Setting
	trace envoy.Trace
}

// partial offers what mends mistakes and does not reach the goal alone, where nothing
// that was found includes it: with a note that says what stands in the way then. What
// lets requests in without a token is not offered so.
func (f *finder) partial(mended []unfinished, found []*result) []*result {
	var out []*result
	for i, u := range mended {
		included := slices.ContainsFunc(found, func(r *result) bool { return !r.Widens && u.state.within(r.state) }) ||
			slices.ContainsFunc(mended[i+1:], func(o unfinished) bool { return u.state.within(o.state) })
		next := f.obstacle(u.trace)
		if included || next == "" || next == f.obstacle(f.first) && len(f.start.steps) == 0 {
			continue
		}
		r := &result{snap: u.state.snap, state: u.state, steps: len(u.state.steps), place: len(found) + len(out), foremost: true}
		r.Summary, r.Manifest, r.Partial = u.state.says(hasPayload(u.trace)), u.state.manifest(), true
		r.StatusAfter = diagnose.VerdictOf(u.trace.Verdict).Status
		r.Note = strings.TrimPrefix(f.note(u.state)+"; "+notEnough(next), "; ")
		if f.heldTo(r, u.at); !r.Widens {
			out = append(out, r)
		}
	}
	return out
}

// heldTo holds a change that has not been seen to reach the goal to the neighbours, where
// the proxy that stops the request then is the one that does so now.
func (f *finder) heldTo(r *result, at *diagnose.Setting) {
	if at.Workload.Ref == f.base.Workload.Ref && at.Port.Number == f.base.Port.Number {
		f.hold(r, r.state, at)
	}
}

func notEnough(next string) string { return "not enough alone: after it, " + next }

// obstacle says what stops a request, in a few words.
func (f *finder) obstacle(t envoy.Trace) string {
	if len(t.Steps) == 0 {
		return ""
	}
	last := t.Steps[len(t.Steps)-1]
	if t.Verdict.Decision == envoy.Undetermined {
		var on []string
		for _, m := range t.Verdict.On {
			on = append(on, m.What)
		}
		return "it depends on " + strings.Join(on, " and ")
	}
	switch last.Stage {
	case envoy.StageJWT:
		return fmt.Sprintf("%s answers %q", last.Origin.Ref, last.Status)
	case envoy.StageDeny:
		for _, p := range last.Steps {
			if p.Origin == last.Origin && p.Outcome == envoy.Matched && !p.Shadow {
				return "a DENY rule matches: " + f.conditionWords(p, envoy.Matched)
			}
		}
	case envoy.StageAllow:
		for _, p := range last.Steps {
			if words := f.conditionWords(p, envoy.NotMatched); p.Outcome == envoy.NotMatched && !p.Shadow && words != "" {
				return "no ALLOW rule matches: " + words
			}
		}
		return "no ALLOW rule is left"
	}
	return ""
}

// conditionWords are the conditions of a rule that came out in one way, two at most.
func (f *finder) conditionWords(p envoy.Step, outcome envoy.Outcome) string {
	const most = 2
	var out []string
	for _, c := range p.Steps {
		if c.Outcome == outcome && c.Want != "" && len(out) < most {
			out = append(out, fmt.Sprintf("%s wants %s, and gets %s", short(c.Origin.Field), c.Want, c.Got))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return f.hide(fmt.Sprintf("in %s, %s", p.Origin.Ref, strings.Join(out, "; ")))
}
