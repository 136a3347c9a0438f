package fix

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// narrow is a rule for one request and no other, as far as a policy can tell.
type narrow struct {
	entries []mesh.Entry
	about   []dim
	who     string // empty: anybody
	what    string
}

// narrowRule is the rule that takes the request and the fewest others; false where
// nothing of it can be written into a policy.
func (f *finder) narrowRule(at *diagnose.Setting, seen *envoy.Seen) (narrow, bool) {
	var n narrow
	var when []any
	iss, _, hasPrincipal := principal(seen)
	switch {
	case hasPrincipal && len(f.values("requestPrincipals", seen, at)) > 0:
		n.from("requestPrincipals", f.values("requestPrincipals", seen, at)[0])
	case iss != "" && f.hide(iss) == iss:
		n.who, n.about = strconv.Quote(iss), []dim{dimIssuer, dimSubject}
		when = f.whenToken(iss, seen)
	default:
		if ids := f.values("principals", seen, at); len(ids) > 0 {
			n.from("principals", ids[0])
		}
	}
	if !n.to(f, at, seen) {
		return n, false
	}
	if when != nil {
		n.entries = append(n.entries, mesh.Entry{Key: "when", Value: when})
	}
	return n, true
}

func (n *narrow) from(field, value string) {
	n.who, n.about = strconv.Quote(value), append(n.about, aboutOf(field)...)
	n.entries = append(n.entries, mesh.Entry{Key: "from", Value: []any{[]mesh.Entry{
		{Key: "source", Value: []mesh.Entry{{Key: field, Value: []string{value}}}},
	}}})
}

// to is what is asked for: path and method, and at a gateway the host, which serves many.
func (n *narrow) to(f *finder, at *diagnose.Setting, seen *envoy.Seen) bool {
	var op []mesh.Entry
	add := func(field string) bool {
		vs := f.values(field, seen, at)
		if len(vs) == 0 {
			return false
		}
		op = append(op, mesh.Entry{Key: field, Value: vs[:1]})
		n.about = append(n.about, dimOf(field))
		return true
	}
	if seen.TCP {
		add("ports")
		n.what = "connect to port " + strconv.Itoa(int(at.Request.Connection.LocalPort))
	} else {
		if at.Result.Proxy.Role == envoy.RoleGateway && at.Request.AuthorityMissing == nil {
			add("hosts")
		}
		if !add("methods") || !add("paths") {
			return false
		}
		n.what = seen.Method + " " + strconv.Quote(seen.Path)
	}
	n.entries = append(n.entries, mesh.Entry{Key: "to", Value: []any{[]mesh.Entry{{Key: "operation", Value: op}}}})
	return true
}

// lets is what a rule lets through that asks for nobody, or for a client where tokens
// are asked for; empty where it asks for the token, or nobody does.
func (f *finder) lets(n narrow, seen *envoy.Seen) string {
	switch {
	case seen.TCP && n.who == "":
		return "let anybody " + n.what
	case !seen.TCP && !seen.HasPayload && f.asksTokens():
		return "let " + n.what + tokenless
	case n.who == "":
		return "let " + n.what + " through from anybody"
	}
	return ""
}

// newRule adds a rule for the request to the ALLOW policy that reaches the fewest
// workloads. One that allows nothing is left alone: somebody wants that.
func (f *finder) newRule(at *diagnose.Setting, last envoy.Step, seen *envoy.Seen) []step {
	n, ok := f.narrowRule(at, seen)
	if !ok {
		return nil
	}
	var refs []origin.Ref
	for _, p := range last.Steps {
		if !p.Shadow && p.Origin.Kind == "AuthorizationPolicy" && p.Origin.Field != "" && !slices.Contains(refs, p.Origin.Ref) {
			refs = append(refs, p.Origin.Ref)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	ref := slices.MinFunc(refs, func(a, b origin.Ref) int { return cmp.Compare(f.reach(at, a), f.reach(at, b)) })
	says, lets := fmt.Sprintf("add a rule to %s: %s may %s", ref, n.who, n.what), f.lets(n, seen)
	if n.who == "" {
		says = fmt.Sprintf("add a rule to %s", ref)
	}
	return []step{{
		ref: ref, about: n.about, says: says, lets: lets, extra: 1,
		edit: func(e *mesh.Editor) error { return e.Append("spec.rules", n.entries) },
	}}
}

// reach orders policies by how many workloads they reach: those with a selector, those
// of a namespace, those of the mesh.
func (f *finder) reach(at *diagnose.Setting, ref origin.Ref) int {
	o := f.snap.Find(mesh.GroupSecurity, ref.Kind, ref.Namespace, ref.Name)
	switch {
	case o != nil && len(reachOf(o)) > 0:
		return 0
	case ref.Namespace == at.Workload.Namespace:
		return 1
	}
	return 2
}

// reachOf is what says which workloads a policy reaches: selector, targetRef or targetRefs.
func reachOf(o *mesh.Object) []mesh.Entry {
	spec, err := o.RawSpec()
	if err != nil {
		return nil
	}
	for _, key := range []string{"selector", "targetRef", "targetRefs"} {
		if v, ok := spec[key]; ok {
			return []mesh.Entry{{Key: key, Value: entries(v)}}
		}
	}
	return nil
}

// entries puts plain values into the form that keeps an order.
func entries(v any) any {
	switch v := v.(type) {
	case map[string]any:
		var out []mesh.Entry
		for key, below := range v {
			out = append(out, mesh.Entry{Key: key, Value: entries(below)})
		}
		slices.SortFunc(out, func(a, b mesh.Entry) int { return strings.Compare(a.Key, b.Key) })
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = entries(v[i])
		}
		return out
	}
	return v
}

// lastResort is a policy of its own for the request, where every ALLOW policy allows
// nothing by intent.
func (f *finder) lastResort() []step {
	if len(f.first.Steps) == 0 || f.first.Steps[len(f.first.Steps)-1].Stage != envoy.StageAllow || f.base.Result.Proxy.Role == envoy.RoleWaypoint {
		return nil
	}
	seen := seenOf(f.first, f.base.Request)
	n, ok := f.narrowRule(f.base, seen)
	if !ok {
		return nil
	}
	w := f.base.Workload
	name := f.freeName("AuthorizationPolicy", w.Namespace, w.Ref.Name+"-allow")
	spec := append(selectorOf(w), mesh.Entry{Key: "action", Value: "ALLOW"}, mesh.Entry{Key: "rules", Value: []any{n.entries}})
	says := fmt.Sprintf("add the AuthorizationPolicy %s/%s: %s may %s", w.Namespace, name, n.who, n.what)
	if n.who == "" {
		says = fmt.Sprintf("add the AuthorizationPolicy %s/%s", w.Namespace, name)
	}
	return []step{{create: manifestText("AuthorizationPolicy", w.Namespace, name, spec), about: n.about, says: says, lets: f.lets(n, seen), extra: 2}}
}

// selectorOf selects a workload by the label that names it, or by all of its labels.
func selectorOf(w mesh.Workload) []mesh.Entry {
	var labels []mesh.Entry
	for _, key := range []string{"app", "app.kubernetes.io/name", "k8s-app"} {
		if v, ok := w.Labels[key]; ok {
			labels = []mesh.Entry{{Key: key, Value: v}}
			break
		}
	}
	if labels == nil {
		for key, v := range w.Labels {
			labels = append(labels, mesh.Entry{Key: key, Value: v})
		}
		slices.SortFunc(labels, func(a, b mesh.Entry) int { return strings.Compare(a.Key, b.Key) })
	}
	if labels == nil {
		return nil
	}
	return []mesh.Entry{{Key: "selector", Value: []mesh.Entry{{Key: "matchLabels", Value: labels}}}}
}

// freeName is a name that no object of the kind has yet.
func (f *finder) freeName(kind, namespace, name string) string {
	const longest = 250
	name = name[:min(len(name), longest)]
	for i, try := 2, name; ; i, try = i+1, fmt.Sprintf("%s-%d", name, i) {
		if f.snap.Find(mesh.GroupSecurity, kind, namespace, try) == nil {
			return try
		}
	}
}

// manifestText is the text of a new object of Istio's security API.
func manifestText(kind, namespace, name string, spec []mesh.Entry) string {
	return mesh.NewManifest([]mesh.Entry{
		{Key: "apiVersion", Value: "security.istio.io/v1"}, {Key: "kind", Value: kind},
		{Key: "metadata", Value: []mesh.Entry{{Key: "name", Value: name}, {Key: "namespace", Value: namespace}}},
		{Key: "spec", Value: spec},
	})
}

// refusals are the changes with which a request is refused that gets through.
func (f *finder) refusals(s *state, at *diagnose.Setting, t envoy.Trace, seen *envoy.Seen) []step {
	if t.Verdict.Decision != envoy.Allowed {
		return nil
	}
	var out []step
	for _, stage := range t.Steps {
		if stage.Stage != envoy.StageAllow {
			continue
		}
		for _, p := range stage.Steps {
			if p.Outcome != envoy.Matched || p.Shadow || p.Origin.Kind != "AuthorizationPolicy" {
				continue
			}
			if !seen.HasPayload && !seen.TCP {
				out = append(out, requireToken(p))
			}
			for _, c := range p.Steps {
				out = append(out, f.exclude(at, p, c, seen)...)
			}
		}
	}
	if len(s.steps) > 0 {
		return out
	}
	if !seen.HasPayload {
		return append(out, f.denyTokenless(at, seen)...)
	}
	return append(out, f.denyThis(at, seen)...)
}

// requireToken makes the entry of `from` that took a request ask for a token too.
func requireToken(p envoy.Step) step {
	rule := p.Origin.Field
	entry := ""
	for _, c := range p.Steps {
		if rest, ok := strings.CutPrefix(c.Origin.Field, rule+".from["); ok {
			n, _, _ := strings.Cut(rest, "]")
			entry = rule + ".from[" + n + "].source"
		}
	}
	return step{
		ref: p.Origin.Ref, rule: p.Origin, about: []dim{dimToken},
		says: fmt.Sprintf("ask for a token in %s of %s", short(rule), p.Origin.Ref),
		edit: func(e *mesh.Editor) error {
			const field = "requestPrincipals"
			switch {
			case entry != "" && e.Has(entry):
				return e.Append(entry+"."+field, "*")
			case e.Has(rule + ".from"):
				return errNotHere
			}
			return e.Append(rule+".from", []mesh.Entry{{Key: "source", Value: []mesh.Entry{{Key: field, Value: []string{"*"}}}}})
		},
	}
}

// denyTokenless are policies that refuse requests without a token, on the path alone or
// everywhere, for the workloads that a RequestAuthentication reaches.
func (f *finder) denyTokenless(at *diagnose.Setting, seen *envoy.Seen) []step {
	var out []step
	for _, p := range at.Providers() {
		ra := f.snap.Find(mesh.GroupSecurity, p.Origin.Kind, p.Origin.Namespace, p.Origin.Name)
		if ra == nil {
			continue
		}
		from := mesh.Entry{Key: "from", Value: []any{[]mesh.Entry{
			{Key: "source", Value: []mesh.Entry{{Key: "notRequestPrincipals", Value: []string{"*"}}}},
		}}}
		add := func(rule []mesh.Entry, where string) {
			name := f.freeName("AuthorizationPolicy", ra.Namespace, ra.Name+"-require-token")
			spec := append(reachOf(ra), mesh.Entry{Key: "action", Value: "DENY"}, mesh.Entry{Key: "rules", Value: []any{rule}})
			out = append(out, step{
				create: manifestText("AuthorizationPolicy", ra.Namespace, name, spec), about: []dim{dimToken}, extra: 1,
				says: fmt.Sprintf("require a token %s: add the AuthorizationPolicy %s/%s", where, ra.Namespace, name),
			})
		}
		for _, path := range f.values("paths", seen, at) {
			add([]mesh.Entry{from, {Key: "to", Value: []any{operation("paths", path)}}}, "on "+strconv.Quote(path))
		}
		add([]mesh.Entry{from}, "wherever "+ra.Ref().String()+" looks for one")
		break
	}
	return out
}

// denyThis is a policy that refuses the request and no other, as far as it can tell.
func (f *finder) denyThis(at *diagnose.Setting, seen *envoy.Seen) []step {
	n, ok := f.narrowRule(at, seen)
	w := at.Workload
	reach := selectorOf(w)
	if !ok || at.Result.Proxy.Role == envoy.RoleWaypoint || reach == nil {
		return nil
	}
	name := f.freeName("AuthorizationPolicy", w.Namespace, w.Ref.Name+"-deny")
	spec := append(reach, mesh.Entry{Key: "action", Value: "DENY"}, mesh.Entry{Key: "rules", Value: []any{n.entries}})
	return []step{{
		create: manifestText("AuthorizationPolicy", w.Namespace, name, spec), about: n.about, extra: 2,
		says: fmt.Sprintf("add the AuthorizationPolicy %s/%s: %s may not %s", w.Namespace, name, n.who, n.what),
	}}
}
