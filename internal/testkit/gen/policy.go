package gen

import (
	"strconv"
	"strings"
)

// Names of policies. Their order as text is not that of their age or number.
var policyNames = []string{"p", "p-1", "p-10", "p-2", "a", "z", "p.a", "p0", "deny-all", "allow"}

// actionWeights is what policies do.
var actionWeights = []weighted[string]{{46, "ALLOW"}, {42, "DENY"}, {4, "AUDIT"}, {6, "CUSTOM"}, {2, ""}}

// dryRunValues are values of the annotation, in the forms of strconv.ParseBool and
// in others, which count as false.
var dryRunValues = []string{"true", "true", "true", "True", "TRUE", "t", "T", "1", "false", "0", "yes", "tRue", "", "true "}

// policy is what an AuthorizationPolicy is made of.
type policy struct {
	name, namespace string
	action          string
	rules           []any // nil: none written
	conds           []ruleCond
	selector        map[string]any // of the spec: selector, targetRefs
	annotations     map[string]string
	attached        bool
}

// add puts the policy into the mesh.
func (b *builder) add(p policy) {
	spec := map[string]any{}
	for k, v := range p.selector {
		spec[k] = v
	}
	if p.action != "" {
		spec["action"] = p.action
	}
	if p.action == "CUSTOM" {
		spec["provider"] = map[string]any{"name": pick(b.dice, "nobody", "ext-a", "no body")}
	}
	if p.rules != nil {
		spec["rules"] = p.rules
	}
	b.dice.tag("action/" + p.action)
	b.object("security.istio.io/v1", "AuthorizationPolicy", p.namespace, p.name, p.annotations, spec)
	if p.attached {
		b.m.play.rules = append(b.m.play.rules, p.conds...)
	}
}

// policyName is a name that the namespace does not have yet.
func (b *builder) policyName(namespace string) string {
	for i := 0; ; i++ {
		name := pick(b.dice, policyNames...)
		if i > 3 {
			name += "-" + strconv.Itoa(i)
		}
		if !b.named[namespace+"/"+name] {
			b.named[namespace+"/"+name] = true
			return name
		}
	}
}

// single puts one policy with one condition into the mesh.
func (b *builder) singlePolicy(w written) {
	p := b.localPolicy()
	p.action = pickWeighted(b.dice, actionWeights)
	rule, conds := b.assemble([]written{w}, p.namespace)
	p.rules, p.conds = []any{rule}, []ruleCond{conds}
	b.about(p.action, w)
	b.add(p)
}

// localPolicy is a policy of the workload's namespace for all of its workloads.
func (b *builder) localPolicy() policy {
	return policy{name: b.policyName(b.m.Namespace), namespace: b.m.Namespace, attached: true, selector: b.attach(b.m.Namespace)}
}

// richPolicy puts a policy with anything into the mesh.
func (b *builder) richPolicy() {
	d := b.dice
	p := b.localPolicy()
	b.scope(&p)
	p.action = pickWeighted(d, actionWeights)
	switch d.IntN(20) {
	case 0:
		d.tag("rules/none")
		if d.percent(50) {
			p.rules = []any{}
		}
	case 1:
		d.tag("rules/empty")
		p.rules = []any{map[string]any{}}
	default:
		n := pick(d, 1, 1, 2, 2, 3)
		if d.oneIn(14) {
			d.tag("rules/over-10")
			n = 11 + d.IntN(3)
		}
		for range n {
			rule, conds := b.richRuleOf(p)
			p.rules, p.conds = append(p.rules, rule), append(p.conds, conds)
		}
	}
	if d.oneIn(80) {
		d.tag("rules/null")
		p.rules = append(p.rules, nil)
	}
	b.dryRun(&p, 12)
	b.add(p)
	if d.oneIn(12) {
		d.tag("policy/duplicate")
		p.name = b.policyName(p.namespace)
		b.add(p)
	}
}

func (b *builder) dryRun(p *policy, percent int) {
	if b.dice.percent(percent) {
		value := pick(b.dice, dryRunValues...)
		b.dice.tag("dry-run/" + strings.TrimSpace(value))
		p.annotations = map[string]string{"istio.io/dry-run": value}
	}
}

// scope moves the policy to another namespace and selects workloads.
func (b *builder) scope(p *policy) {
	d := b.dice
	switch d.IntN(12) {
	case 0, 1, 2:
		p.namespace = "istio-system"
	case 3:
		p.namespace = "bar"
		p.attached = b.m.Namespace == "bar"
	}
	p.name = b.policyName(p.namespace)
	where := "namespace"
	if p.namespace == "istio-system" {
		where = "root"
	} else if !p.attached {
		where = "other"
	}
	selector, matches, form := b.selector(d.percent(80))
	d.tag("scope/" + where)
	d.tag("selector/" + form)
	p.selector, p.attached = selector, p.attached && matches
}

// selector makes a selector of a policy, and says whether it takes the workload.
func (b *builder) selector(match bool) (spec map[string]any, matches bool, form string) {
	if b.role == RoleGatewayAPI || b.role == RoleWaypoint {
		return b.roleSelector(match)
	}
	return b.labelSelector(match)
}

// labelSelector is a selector by labels.
func (b *builder) labelSelector(match bool) (spec map[string]any, matches bool, form string) {
	d := b.dice
	labels := func(l map[string]any) map[string]any {
		return map[string]any{"selector": map[string]any{"matchLabels": l}}
	}
	own := map[string]any{"app": b.app()}
	if !match {
		switch d.IntN(4) {
		case 0:
			return map[string]any{"targetRefs": []any{map[string]any{
				"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "x",
			}}}, false, "targetRefs"
		case 1:
			return map[string]any{"targetRef": map[string]any{"kind": "Service", "name": "httpbin"}}, false, "targetRef"
		case 2:
			return labels(map[string]any{"app": b.app(), "version": "v2"}), false, "half"
		}
		return labels(map[string]any{"app": "other"}), false, "other"
	}
	switch d.IntN(8) {
	case 0:
		return labels(own), true, "own"
	case 1:
		own["version"] = "v1"
		return labels(own), true, "two-labels"
	case 2:
		return labels(map[string]any{}), true, "no-labels"
	}
	return nil, true, "absent"
}

// richRuleOf makes a rule of one to four conditions.
func (b *builder) richRuleOf(p policy) (map[string]any, ruleCond) {
	d := b.dice
	list := times(pick(d, 1, 1, 2, 2, 3, 4), func() written {
		return b.condition(pickWeighted(d, attrWeights), false)
	})
	for _, w := range list {
		b.about(p.action, w)
	}
	rule, conds := b.assemble(list, p.namespace)
	if d.oneIn(20) {
		d.tag("rules/odd-entry")
		switch d.IntN(7) {
		case 6:
			rule["when"] = append(entries(rule["when"]), map[string]any{})
		case 0:
			rule["from"] = []any{}
		case 1:
			rule["from"] = append(entries(rule["from"]), map[string]any{})
		case 2:
			rule["from"] = append(entries(rule["from"]), map[string]any{"source": map[string]any{}})
		case 3:
			rule["to"] = append(entries(rule["to"]), map[string]any{"operation": map[string]any{}})
		case 4:
			rule["to"] = append(entries(rule["to"]), map[string]any{})
		case 5:
			rule["when"] = []any{}
		}
	}
	return rule, conds
}

func entries(v any) []any {
	list, _ := v.([]any)
	return list
}

// assemble writes conditions into one rule. Conditions of from and of to share an
// entry or have one of their own.
func (b *builder) assemble(list []written, namespace string) (map[string]any, ruleCond) {
	rule, conds := map[string]any{}, ruleCond{namespace: namespace}
	source := &block{inner: "source"}
	operation := &block{inner: "operation"}
	var when []any
	for _, w := range list {
		switch w.place {
		case inFrom:
			source.put(b.dice, w)
		case inTo:
			operation.put(b.dice, w)
		default:
			entry := map[string]any{"key": w.key}
			if w.values != nil {
				entry["values"] = w.values
			}
			if w.not != nil {
				entry["notValues"] = w.not
			}
			when, conds.when = append(when, entry), append(conds.when, w.cond)
		}
	}
	if len(source.entries) > 0 {
		rule["from"], conds.from = source.entries, source.conds
	}
	if len(operation.entries) > 0 {
		rule["to"], conds.to = operation.entries, operation.conds
	}
	if len(when) > 0 {
		rule["when"] = when
	}
	return rule, conds
}

// block is the from or the to of a rule while it is made.
type block struct {
	inner   string // source or operation
	entries []any
	conds   [][]cond
}

func (k *block) put(d *dice, w written) {
	field := string(w.attr)
	negated := "not" + strings.ToUpper(field[:1]) + field[1:]
	last := len(k.entries) - 1
	if last >= 0 && d.percent(60) {
		fields := k.entries[last].(map[string]any)[k.inner].(map[string]any)
		if fields[field] == nil && fields[negated] == nil {
			k.fill(fields, field, negated, w)
			k.conds[last] = append(k.conds[last], w.cond)
			return
		}
	}
	fields := map[string]any{}
	k.fill(fields, field, negated, w)
	k.entries = append(k.entries, map[string]any{k.inner: fields})
	k.conds = append(k.conds, []cond{w.cond})
}

func (k *block) fill(fields map[string]any, field, negated string, w written) {
	if w.values != nil {
		fields[field] = w.values
	}
	if w.not != nil {
		fields[negated] = w.not
	}
}
