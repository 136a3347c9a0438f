package fix

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// mostRules is how many rules of one kind of policy are looked at for a change.
const mostRules = 40

// denySteps keep a request out of the DENY rule that took it: of each of its
// conditions the smallest change with which it no longer holds.
func (f *finder) denySteps(s *state, at *diagnose.Setting, last envoy.Step, seen *envoy.Seen) []step {
	var out []step
	for _, p := range last.Steps {
		if p.Outcome != envoy.Matched || p.Shadow || p.Origin != last.Origin || p.Origin.Kind != "AuthorizationPolicy" {
			continue
		}
		for _, c := range p.Steps {
			out = append(out, f.past(p, c.Attribute, f.exclude(at, p, c, seen), seen)...)
		}
		for _, attribute := range []string{"paths", "requestPrincipals", "principals"} {
			out = append(out, f.past(p, attribute, f.excludeBy(at, p, attribute, seen), seen)...)
		}
	}
	if slices.ContainsFunc(s.steps, func(st step) bool { return len(st.about) > 0 }) { // another rule takes it too: leave the same side out there
		out = slices.DeleteFunc(out, func(st step) bool { return !slices.ContainsFunc(st.about, s.about) })
	}
	return out
}

// past marks the steps that leave a request out of a rule by one attribute while the
// rule asks something of the token in another, which the request does not have: they do
// not mend the check, they let the request past it.
func (f *finder) past(p envoy.Step, attribute string, steps []step, seen *envoy.Seen) []step {
	check := slices.IndexFunc(p.Steps, func(c envoy.Step) bool {
		return c.Outcome == envoy.Matched && ofToken(c.Attribute) && isNegative(c.Origin.Field) && c.Attribute != attribute
	})
	if check < 0 {
		return steps
	}
	c := p.Steps[check]
	for i := range steps {
		st := &steps[i]
		switch {
		case !seen.HasPayload:
			st.lets = "let " + st.what + tokenless
		default:
			st.lets = fmt.Sprintf("let %s past the check of %s", st.what, checkWords(c.Attribute))
			st.bypass = "tokens that fail the check of " + checkWords(c.Attribute)
		}
	}
	return steps
}

// checkWords name what a condition asks of the token.
func checkWords(attribute string) string {
	if path := claimPath(attribute); path != nil {
		return "claim " + strings.Join(path, ".")
	}
	return "the token's principal"
}

// exclude makes a condition that holds fail: the request's value goes into the field's
// negative form.
func (f *finder) exclude(at *diagnose.Setting, p, c envoy.Step, seen *envoy.Seen) []step {
	if c.Outcome != envoy.Matched || c.Attribute == "" {
		return nil
	}
	field := negative(c.Origin.Field)
	var out []step
	for _, v := range f.values(c.Attribute, seen, at) {
		out = append(out, f.added(p, field, c.Attribute, v, seen))
	}
	return out
}

// added puts a value into a list of a rule.
func (f *finder) added(p envoy.Step, field, attribute, value string, seen *envoy.Seen) step {
	st := step{ref: p.Origin.Ref, rule: p.Origin, about: aboutOf(attribute)}
	st.edit = func(e *mesh.Editor) error {
		if slices.Contains(e.Texts(field), value) {
			return errNotHere
		}
		return e.Append(field, value)
	}
	st.says = fmt.Sprintf("add %s to %s of %s", strconv.Quote(value), short(field), p.Origin.Ref)
	switch d := dimOf(attribute); d {
	case dimPath, dimIdentity, dimToken:
		st.what = strconv.Quote(value)
	default:
		st.what = string(d) + " " + strconv.Quote(value)
	}
	if attribute == "paths" && !seen.HasPayload && f.asksTokens() {
		st.lets = "let " + st.what + tokenless
	}
	return st
}

// excludeBy leaves the request out of a DENY rule that says nothing of an attribute so
// far: of the path, of the token's principal, of the client's identity.
func (f *finder) excludeBy(at *diagnose.Setting, p envoy.Step, attribute string, seen *envoy.Seen) []step {
	list, inner := "from", "source"
	if attribute == "paths" {
		list, inner = "to", "operation"
	}
	if seen.TCP && attribute != "principals" {
		return nil
	}
	entry := p.Origin.Field + "." + list + "[0]"
	for _, c := range p.Steps {
		if c.Attribute == attribute {
			return nil // exclude does it
		}
		if rest, ok := strings.CutPrefix(c.Origin.Field, p.Origin.Field+"."+list+"["); ok {
			n, _, _ := strings.Cut(rest, "]")
			entry = p.Origin.Field + "." + list + "[" + n + "]"
		}
	}
	field := entry + "." + inner
	var out []step
	for _, v := range f.values(attribute, seen, at) {
		st := f.added(p, negative(field+"."+attribute), attribute, v, seen)
		st.extra = 1
		st.edit = func(e *mesh.Editor) error {
			not := negative(field + "." + attribute)
			switch {
			case !e.Has(p.Origin.Field + "." + list):
				_, name, _ := cutLast(not)
				return e.Append(p.Origin.Field+"."+list, []mesh.Entry{{Key: inner, Value: []mesh.Entry{{Key: name, Value: []string{v}}}}})
			case !e.Has(entry) || e.Has(field+"."+attribute) || e.Has(not):
				return errNotHere
			}
			return e.Append(not, v)
		}
		out = append(out, st)
	}
	return out
}

func operation(field string, values ...string) []mesh.Entry {
	return []mesh.Entry{{Key: "operation", Value: []mesh.Entry{{Key: field, Value: values}}}}
}

// allowSteps let a request into an ALLOW rule: of each rule, the condition that failed
// in each entry, and the smallest change with which it holds.
func (f *finder) allowSteps(s *state, at *diagnose.Setting, last envoy.Step, seen *envoy.Seen) []step {
	var out []step
	rules := 0
	for _, p := range last.Steps {
		if p.Outcome != envoy.NotMatched || p.Shadow || p.Origin.Kind != "AuthorizationPolicy" || !strings.Contains(p.Origin.Field, "rules[") {
			continue
		}
		if rule := s.rule(); rule != (origin.Origin{}) && rule != p.Origin {
			continue
		}
		if rules++; rules > mostRules {
			break
		}
		for _, c := range p.Steps {
			out = append(out, f.include(at, p, c, seen)...)
		}
	}
	if s == f.start {
		out = append(out, f.newRule(at, last, seen)...)
	}
	return out
}

// include makes a condition hold that failed.
func (f *finder) include(at *diagnose.Setting, p, c envoy.Step, seen *envoy.Seen) []step {
	if c.Outcome != envoy.NotMatched || c.Attribute == "" {
		return nil
	}
	if isNegative(c.Origin.Field) {
		return f.takenOut(at, p, c, seen)
	}
	var out []step
	if ofToken(c.Attribute) {
		if !seen.HasPayload {
			return nil // no value helps: see newRule and locationSteps
		}
		out = append(f.principalSteps(p, c, seen), f.claimSteps(at, p, c, seen)...)
	}
	for _, v := range f.values(c.Attribute, seen, at) {
		out = append(out, f.added(p, c.Origin.Field, c.Attribute, v, seen))
	}
	return out
}

// takenOut takes the value that shuts a request out of a negative list.
func (f *finder) takenOut(at *diagnose.Setting, p, c envoy.Step, seen *envoy.Seen) []step {
	var out []step
	field := c.Origin.Field
	for _, v := range f.values(c.Attribute, seen, at) {
		out = append(out, step{
			ref: p.Origin.Ref, rule: p.Origin, about: aboutOf(c.Attribute),
			says: fmt.Sprintf("take what shuts out %s from %s of %s", strconv.Quote(v), short(field), p.Origin.Ref),
			edit: func(e *mesh.Editor) error {
				values, left := e.Texts(field), 0
				for i := len(values) - 1; i >= 0; i-- {
					if !fits(values[i], v) && !strings.EqualFold(values[i], v) {
						left++
						continue
					}
					if err := e.Remove(field + "[" + strconv.Itoa(i) + "]"); err != nil {
						return err
					}
				}
				parent, _, _ := cutLast(field)
				switch {
				case left == len(values) || left == 0 && e.Len(parent) == 1:
					return errNotHere // nothing to take, or an entry without any condition would be left
				case left == 0:
					return e.Remove(field)
				}
				return nil
			},
		})
	}
	return out
}

// principalSteps mend values of requestPrincipals that no token can ever fit, and give
// tokens without sub, which have no principal, a rule of their own.
func (f *finder) principalSteps(p, c envoy.Step, seen *envoy.Seen) []step {
	if c.Attribute != "requestPrincipals" && c.Attribute != "request.auth.principal" {
		return nil
	}
	iss, sub, ok := principal(seen)
	field := c.Origin.Field
	if !ok {
		if iss == "" || f.hide(iss) != iss || c.Attribute != "requestPrincipals" {
			return nil
		}
		return []step{f.byIssuer(p, field, iss, seen)}
	}
	if f.hide(iss+sub) != iss+sub {
		return nil
	}
	mended := func(to string) step {
		return step{
			ref: p.Origin.Ref, rule: p.Origin, about: []dim{dimIssuer, dimSubject},
			says: fmt.Sprintf("write %s as ISSUER/SUBJECT: %s in %s", strconv.Quote(to), short(field), p.Origin.Ref),
			edit: func(e *mesh.Editor) error {
				for i, v := range e.Texts(field) {
					if v == iss || v == sub || v == iss+"/" || v == strings.TrimSuffix(iss, "/")+"/"+sub && v != to ||
						v == strings.TrimSuffix(iss, "/")+"/*" && v != to {
						return e.Set(field+"["+strconv.Itoa(i)+"]", to)
					}
				}
				return errNotHere
			},
		}
	}
	return []step{mended(iss + "/" + sub), mended(iss + "/*")}
}

// byIssuer adds a copy of a rule that asks for the issuer with `when` instead of for a
// principal, which a token without sub does not have.
func (f *finder) byIssuer(p envoy.Step, field, iss string, seen *envoy.Seen) step {
	rule := p.Origin.Field
	st := step{ref: p.Origin.Ref, rule: p.Origin, about: []dim{dimIssuer, dimSubject}, extra: 2,
		says: fmt.Sprintf("add a rule to %s that asks for claim iss %s, since a token without sub has no principal", p.Origin.Ref, strconv.Quote(iss))}
	st.edit = func(e *mesh.Editor) error {
		copied, err := e.Copy(rule)
		if err != nil {
			return err
		}
		source, _, _ := cutLast(strings.Replace(field, rule, copied, 1))
		entry, _, _ := cutLast(source)
		for i := e.Len(copied+".from") - 1; i >= 0; i-- { // the other entries have a rule already
			if other := fmt.Sprintf("%s.from[%d]", copied, i); other != entry {
				if err := e.Remove(other); err != nil {
					return err
				}
			}
		}
		source = copied + ".from[0].source"
		if err := e.Remove(source + ".requestPrincipals"); err != nil {
			return err
		}
		if e.Len(source) == 0 {
			if err := e.Remove(copied + ".from"); err != nil {
				return err
			}
		}
		for _, c := range f.whenToken(iss, seen) {
			if err := e.Append(copied+".when", c); err != nil {
				return err
			}
		}
		return nil
	}
	return st
}

// whenToken are the conditions that take tokens of the issuer with the same subject, or
// with none where the token has none.
func (f *finder) whenToken(iss string, seen *envoy.Seen) []any {
	out := []any{condition("request.auth.claims[iss]", "values", iss)}
	sub, ok := seen.Payload.Field("sub")
	if !ok || len(texts(sub)) == 0 || texts(sub)[0] == "" {
		return append(out, condition("request.auth.claims[sub]", "notValues", "*"))
	}
	for _, text := range texts(sub) {
		for _, v := range f.literal(text, false) {
			return append(out, condition("request.auth.claims[sub]", "values", v))
		}
	}
	return out
}

func condition(key, field string, values ...string) []mesh.Entry {
	return []mesh.Entry{{Key: "key", Value: key}, {Key: field, Value: values}}
}

// claimSteps look for the wanted value in another claim: nested, or under a name with
// dots that was taken for a path.
func (f *finder) claimSteps(at *diagnose.Setting, p, c envoy.Step, seen *envoy.Seen) []step {
	path := claimPath(c.Attribute)
	field, ok := strings.CutSuffix(c.Origin.Field, ".values")
	if path == nil || !ok {
		return nil
	}
	out := f.spacedSteps(at, p, path, seen)
	wanted := wantedValues(at, c.Origin)
	var walk func(v jwt.Value, at []string)
	walk = func(v jwt.Value, at []string) {
		const deepest, most = 5, 3
		if len(at) > deepest || len(out) >= most {
			return
		}
		hit := slices.ContainsFunc(texts(v), func(text string) bool {
			return slices.ContainsFunc(wanted, func(w string) bool { return fits(w, text) })
		})
		if key, ok := claimKey(at); hit && ok && len(at) > 0 && !slices.Equal(at, path) && similar(at, path) && f.hide(key) == key {
			out = append(out, step{
				ref: p.Origin.Ref, rule: p.Origin, about: []dim{dimClaim(at[0])},
				says: fmt.Sprintf("set %s of %s to %q, where the token has it", short(field+".key"), p.Origin.Ref, key),
				edit: func(e *mesh.Editor) error { return e.Set(field+".key", key) },
			})
		}
		for _, m := range v.Members() {
			walk(m.Value, append(slices.Clip(at), m.Name))
		}
	}
	walk(seen.Payload, nil)
	return out
}

// similar reports whether two ways to a claim speak of the same: they end alike, or
// are the same but for where a name is cut.
func similar(a, b []string) bool {
	return a[len(a)-1] == b[len(b)-1] || strings.Join(a, ".") == strings.Join(b, ".") ||
		strings.HasSuffix(b[len(b)-1], "."+a[len(a)-1])
}

// wantedValues are the values of the condition that was written at a place.
func wantedValues(at *diagnose.Setting, place origin.Origin) []string {
	var out []string
	eachPolicy(at.Result.Proxy, func(_ *envoy.RBAC, p *envoy.Policy) {
		for _, clauses := range [][]envoy.Clause{p.Permissions, p.Principals} {
			for _, cl := range clauses {
				for _, c := range cl.Conditions {
					if c.Origin == place {
						out = c.Values
					}
				}
			}
		}
	})
	return out
}

// eachPolicy goes over the policies of the RBAC filters, those that are enforced.
func eachPolicy(p *envoy.Proxy, visit func(*envoy.RBAC, *envoy.Policy)) {
	for i := range p.Chains {
		filters := p.Chains[i].TCP
		if p.Chains[i].HTTP != nil {
			filters = p.Chains[i].HTTP.Filters
		}
		for _, filter := range filters {
			if r, ok := filter.(*envoy.RBAC); ok && r.Rules != nil {
				for j := range r.Rules.Policies {
					visit(r, &r.Rules.Policies[j])
				}
			}
		}
	}
}

// spacedSteps have a claim with words in one text read as a list.
func (f *finder) spacedSteps(at *diagnose.Setting, p envoy.Step, path []string, seen *envoy.Seen) []step {
	v, ok := seen.Payload.Field(path[0])
	if !ok || len(path) > 1 || v.Kind() != jwt.String || !strings.Contains(v.Text(), " ") {
		return nil
	}
	iss, _ := seen.Payload.Field("iss")
	var out []step
	for _, prov := range at.Providers() {
		if prov.Issuer != "" && prov.Issuer != iss.Text() {
			continue
		}
		field := prov.Origin.Field + ".spaceDelimitedClaims"
		out = append(out, step{
			ref: prov.Origin.Ref, rule: p.Origin, about: []dim{dimClaim(path[0])},
			says: fmt.Sprintf("add %q to %s of %s: its words count as values then", path[0], short(field), prov.Origin.Ref),
			edit: func(e *mesh.Editor) error { return e.Append(field, path[0]) },
		})
	}
	return out
}

// negative is the field that a condition's values go into to shut them out.
func negative(field string) string {
	parent, name, ok := cutLast(field)
	if !ok || isNegative(field) {
		return field
	}
	return parent + ".not" + strings.ToUpper(name[:1]) + name[1:]
}

func isNegative(field string) bool {
	_, name, _ := cutLast(field)
	return strings.HasPrefix(name, "not")
}

// cutLast cuts the last name off a field.
func cutLast(field string) (parent, name string, ok bool) {
	at := strings.LastIndexByte(field, '.')
	if at < 0 {
		return "", field, false
	}
	return field[:at], field[at+1:], true
}

// short is a field without the spec that every field begins with.
func short(field string) string { return strings.TrimPrefix(field, "spec.") }
