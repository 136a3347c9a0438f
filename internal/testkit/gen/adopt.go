package gen

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// ErrNoPolicy says that there is nothing to adopt.
var ErrNoPolicy = errors.New("there is no AuthorizationPolicy but CUSTOM ones among the documents")

// Adopt makes meshes around AuthorizationPolicies that somebody else wrote, as YAML
// documents: one with all of them, and for each field of each rule one in which that
// field decides alone. Their selectors go, so that all of them reach the workload; a
// RequestAuthentication comes to it, for an issuer that their patterns take. CUSTOM
// policies are left out: what an authorizer answers is not Envoy's matter.
func (g *Gen) Adopt(text string) ([]MeshCase, error) {
	policies, err := readPolicies(text)
	if err != nil {
		return nil, err
	}
	out := []MeshCase{g.adopted(policies)}
	for _, p := range policies {
		for _, rule := range p.rules {
			for _, part := range p.apart(rule) {
				out = append(out, g.adopted([]foreign{part}))
			}
		}
	}
	return out, nil
}

// foreign is a policy of somebody else's.
type foreign struct {
	name        string
	annotations map[string]string
	action      string
	rules       []any // nil: none written
	none        bool  // rules is written, and empty
}

func readPolicies(text string) ([]foreign, error) {
	var out []foreign
	for i, doc := range strings.Split(text, "\n---") {
		var o struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name        string            `json:"name"`
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
			Spec map[string]any `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		if o.Kind != "AuthorizationPolicy" || o.Spec["action"] == "CUSTOM" {
			continue
		}
		p := foreign{name: o.Metadata.Name, annotations: o.Metadata.Annotations}
		p.action, _ = o.Spec["action"].(string)
		p.rules, p.none = o.Spec["rules"].([]any)
		p.none = p.none && len(p.rules) == 0
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, ErrNoPolicy
	}
	return out, nil
}

// innerName is what the entries of from and of to are called inside.
var innerName = map[string]string{inFrom: "source", inTo: "operation"}

func innerOf(rule map[string]any, place string) []map[string]any {
	var out []map[string]any
	for _, e := range entries(rule[place]) {
		fields, _ := e.(map[string]any)
		inner, _ := fields[innerName[place]].(map[string]any)
		out = append(out, inner)
	}
	return out
}

// apart is the policy with one field of the rule at a time.
func (p foreign) apart(rule any) []foreign {
	var out []foreign
	only := func(rule map[string]any) {
		part := p
		part.rules = []any{rule}
		out = append(out, part)
	}
	r, _ := rule.(map[string]any)
	for _, place := range []string{inFrom, inTo} {
		for _, inner := range innerOf(r, place) {
			for _, name := range slices.Sorted(maps.Keys(inner)) {
				only(map[string]any{place: []any{map[string]any{innerName[place]: map[string]any{name: inner[name]}}}})
			}
		}
	}
	for _, e := range entries(r[inWhen]) {
		w, _ := e.(map[string]any)
		for _, field := range []string{"values", "notValues"} {
			if w[field] != nil {
				only(map[string]any{inWhen: []any{map[string]any{"key": w["key"], field: w[field]}}})
			}
		}
	}
	return out
}

// adopted is a mesh with the policies, and with what its requests are derived from.
func (g *Gen) adopted(policies []foreign) MeshCase {
	g.next++
	b := &builder{dice: g.dice(g.next, 0)}
	b.m = MeshCase{Name: fmt.Sprintf("seed-%d/adopted-%d", g.seed, g.next), number: g.next, JWKS: map[string]string{}}
	b.start()
	var conds []ruleCond
	for _, p := range policies {
		for _, rule := range p.rules {
			conds = append(conds, condsOf(rule, b.m.Namespace))
		}
	}
	b.requestAuthentication(b.m.Namespace, nil, func() (map[string]any, jwtRule) {
		spec, rule := b.plainRule()
		if issuer := issuerIn(conds); issuer != "" {
			spec["issuer"], rule.issuer = issuer, issuer
		}
		return spec, rule
	})
	for i, p := range policies {
		spec := map[string]any{}
		if p.action != "" {
			spec["action"] = p.action
		}
		if p.rules != nil || p.none {
			spec["rules"] = p.rules
		}
		b.object("security.istio.io/v1", "AuthorizationPolicy", b.m.Namespace, fmt.Sprintf("%s-%d", p.name, i), p.annotations, spec)
	}
	b.m.play.rules = conds
	b.finish()
	g.count(b.dice.tags)
	return b.m
}

// issuerIn is an issuer that some pattern of requestPrincipals takes; empty: any will do.
func issuerIn(rules []ruleCond) string {
	for _, r := range rules {
		for _, list := range append(slices.Clone(r.from), r.when) {
			for _, c := range list {
				for _, v := range c.values {
					if at := strings.LastIndexByte(v, '/'); c.attr == attrRequestPrincipal && at > 0 && !strings.Contains(v[:at], "*") {
						return v[:at]
					}
				}
			}
		}
	}
	return ""
}

// condsOf are the conditions of a rule.
func condsOf(rule any, namespace string) ruleCond {
	out := ruleCond{namespace: namespace}
	r, _ := rule.(map[string]any)
	for _, inner := range innerOf(r, inFrom) {
		out.from = append(out.from, condsIn(inner))
	}
	for _, inner := range innerOf(r, inTo) {
		out.to = append(out.to, condsIn(inner))
	}
	for _, e := range entries(r[inWhen]) {
		w, _ := e.(map[string]any)
		key, _ := w["key"].(string)
		c := condOfKey(key)
		c.values, c.not = textsOf(w["values"]), textsOf(w["notValues"])
		out.when = append(out.when, c)
	}
	return out
}

// condsIn are the conditions of a source or an operation.
func condsIn(fields map[string]any) []cond {
	var out []cond
	for _, name := range slices.Sorted(maps.Keys(whereOf)) {
		if whereOf[name].place == "" {
			continue
		}
		field := string(name)
		not := "not" + strings.ToUpper(field[:1]) + field[1:]
		c := cond{attr: name, values: textsOf(fields[field]), not: textsOf(fields[not])}
		if len(c.values)+len(c.not) > 0 {
			out = append(out, c)
		}
	}
	return out
}

func condOfKey(key string) cond {
	for name, where := range whereOf {
		if where.key == key && key != "" && key != "-" {
			return cond{attr: name}
		}
	}
	inside := strings.TrimSuffix(key[strings.IndexByte(key, '[')+1:], "]")
	switch {
	case strings.HasPrefix(key, "request.headers["):
		return cond{attr: attrHeader, name: strings.ToLower(inside)}
	case strings.HasPrefix(key, "request.auth.claims["):
		return cond{attr: attrClaim, claim: strings.Split(inside, "][")}
	}
	return cond{attr: attrUnknown}
}

func textsOf(list any) []string {
	var out []string
	for _, e := range entries(list) {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
