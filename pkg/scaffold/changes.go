package scaffold

import (
	"fmt"
	"slices"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// changes says what is different for one port, also on the paths that other policies
// name, and which of these other policies open what the new ones were to close.
func (q *question) changes(out *Outcome, s subject, t Table) error {
	say := func(list *[]string, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, r := range t.Rows {
		for i, c := range r.Cells {
			if c.Was != c.Is {
				say(&out.Changes, "%s, %s: %s -> %s", t.Columns[i], r.Label, c.Was, c.Is)
			}
		}
	}
	others, err := q.others(s)
	if err != nil {
		return err
	}
	tokens := q.j.Plan.tokens()
	for _, o := range others {
		for _, path := range o.paths {
			for _, c := range tokens[:2] {
				probe := Probe{Method: "GET", Path: path, Token: c.token}
				was, err := q.answer(q.before, s, probe, t.Caller)
				if err != nil {
					return err
				}
				is, err := q.answer(q.after, s, probe, t.Caller)
				if err != nil {
					return err
				}
				if was != is {
					say(&out.Changes, "%s, %s (in %s): %s -> %s", c.name, path, o.name, was, is)
				}
				if c.token.None && is == "200" && !q.j.Plan.intent.Open && !q.j.Plan.covers(path) {
					out.warn("%s passes without a token at %s, by %s, which is there already", path, s.name, o.name)
				}
			}
		}
		if o.issuer != "" {
			out.warn("%s has a rule for the issuer %q too: with two rules for one issuer a token passes if either takes it", o.name, o.issuer)
		}
	}
	return nil
}

func (o *Outcome) warn(format string, args ...any) {
	if n := (Note{true, fmt.Sprintf(format, args...)}); !slices.Contains(o.Notes, n) {
		o.Notes = append(o.Notes, n)
	}
}

// covers reports whether a path is one of those that need no token.
func (p *Plan) covers(path string) bool {
	return slices.ContainsFunc(p.exempt, func(pattern string) bool { return takes(pattern, path) })
}

// other is an object that reaches the same port.
type other struct {
	name   string
	paths  []string
	issuer string // that the new rules have too
}

// others are the policies that reach the port already.
func (q *question) others(s subject) ([]other, error) {
	groups, err := q.before.Resolve(s.Target, s.Namespace)
	if err != nil {
		return nil, err
	}
	res, err := istio.Translate(istio.Input{Snapshot: q.before, Workload: groups[0], Port: s.Port})
	if err != nil || res == nil {
		return nil, nil // what is not modelled is said by the table
	}
	var out []other
	for _, c := range res.Considered {
		if !c.Attached || q.ours(c.Kind, c.Namespace, c.Name) {
			continue
		}
		o := q.before.Find(mesh.GroupSecurity, c.Kind, c.Namespace, c.Name)
		if o == nil {
			continue
		}
		switch c.Kind {
		case "AuthorizationPolicy":
			spec := &securityapi.AuthorizationPolicy{}
			if o.DecodeSpec(spec) != nil {
				continue
			}
			out = append(out, other{name: c.Ref.String(), paths: pathsOf(spec)})
		case "RequestAuthentication":
			spec := &securityapi.RequestAuthentication{}
			if o.DecodeSpec(spec) != nil {
				continue
			}
			for _, r := range spec.GetJwtRules() {
				if slices.ContainsFunc(q.j.Plan.intent.Issuers, func(i Issuer) bool { return i.Issuer == r.GetIssuer() }) {
					out = append(out, other{name: c.Ref.String(), issuer: r.GetIssuer()})
				}
			}
		}
	}
	return out, nil
}

func (q *question) ours(kind, namespace, name string) bool {
	return slices.ContainsFunc(q.j.Plan.Objects, func(o *Object) bool { return o.Kind == kind && o.Namespace == namespace && o.Name == name })
}

// pathsOf are paths that the policy names, and one that it most likely does not.
func pathsOf(spec *securityapi.AuthorizationPolicy) []string {
	out := []string{"/any-other-path"}
	for _, r := range spec.GetRules() {
		for _, to := range r.GetTo() {
			for _, p := range append(slices.Clone(to.GetOperation().GetPaths()), to.GetOperation().GetNotPaths()...) {
				if path := sample(p); strings.HasPrefix(path, "/") && len(out) < 20 && !slices.Contains(out, path) {
					out = append(out, path)
				}
			}
		}
	}
	return out
}

// reached warns where what was meant to be closed, or open, is not.
func (p *Plan) reached(out *Outcome) error {
	for _, t := range out.Tables {
		where := strings.Join(t.Of, ", ")
		if where == "" {
			where = "any workload"
		}
		var refused []string
		for n, r := range t.Rows {
			for i, c := range r.Cells {
				switch {
				case n < len(p.exempt) && i == 0 && c.Is == "403" && c.Was != "403":
					return refuse("write it as the proxy sees it: normalized, and percent-encoded where need be", "no request ever has the path %q", p.exempt[n])
				case t.Columns[i] == "bad token" && c.Is == "200" && r.Label != "CORS preflight":
					out.warn("a bad token passes at %s: nothing there looks at tokens", where)
				case strings.HasPrefix(t.Columns[i], "good token") && c.Is != "200" && !strings.HasPrefix(c.Is, "?"):
					if what := r.Label + " (" + c.Is + ")"; !slices.Contains(refused, what) {
						refused = append(refused, what)
					}
				}
			}
		}
		if len(refused) > 0 {
			out.warn("a good token is refused at %s, by what is there already: %s", where, strings.Join(refused, ", "))
		}
	}
	return nil
}
