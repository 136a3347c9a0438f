package envoy

import (
	"maps"
	"slices"
	"testing"
)

var (
	always  = rule("always", nil, nil)
	onAdmin = rule("admin", []Condition{condition("paths", false, onPath("/admin"))}, nil)
)

func named(id string, p Policy) Policy {
	p.ID = id
	return p
}

func TestAPolicyNeedsOneEntryOfToAndOneOfFrom(t *testing.T) {
	yes, no := condition("m", false, &PortMatch{8080}), condition("m", false, &PortMatch{1})
	cl := func(cs ...Condition) Clause { return Clause{Conditions: cs} }
	for _, c := range []struct {
		name     string
		to, from []Clause
		want     bool
	}{
		{"entries without conditions match", []Clause{cl()}, []Clause{cl()}, true},
		{"no entry never does", nil, []Clause{cl()}, false},
		{"one of two of to", []Clause{cl(no), cl(yes)}, []Clause{cl()}, true},
		{"one of two of from", []Clause{cl()}, []Clause{cl(no), cl(yes)}, true},
		{"to but not from", []Clause{cl(yes)}, []Clause{cl(no)}, false},
		{"from but not to", []Clause{cl(no)}, []Clause{cl(yes)}, false},
		{"all conditions of an entry", []Clause{cl(yes, no)}, []Clause{cl()}, false},
		{"both of them", []Clause{cl(yes, yes)}, []Clause{cl(yes)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Policy{Permissions: c.to, Principals: c.from}
			if got := p.match(prepared(t, plain(), sidecar())); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
		})
	}
	never := Policy{Never: true, Permissions: []Clause{cl()}, Principals: []Clause{cl()}}
	if never.match(prepared(t, plain(), sidecar())).T != False {
		t.Error("a policy without rules matches")
	}
}

func TestValuesAreAlternativesAlsoWhereTheyAreNegated(t *testing.T) {
	a, b := onHeader("x", "a"), onHeader("x", "b")
	for _, c := range []struct {
		name    string
		negated bool
		lines   []string
		want    bool
	}{
		{"one of two values", false, []string{"b"}, true},
		{"none of them", false, []string{"c"}, false},
		{"absent", false, nil, false},
		{"not one of two", true, []string{"b"}, false},
		{"not any of them", true, []string{"c"}, true},
		{"absent, negated, holds", true, nil, true},
		{"a bad line beside a good one", true, []string{"c", "a"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var change []func(*Request)
			for _, l := range c.lines {
				change = append(change, header("x", l))
			}
			s := prepared(t, with(change...), sidecar())
			cond := condition("headers", c.negated, a, b)
			if got := cond.match(s); got.T != truth(c.want).T {
				t.Errorf("got %v", got.T)
			}
			if absent := c.negated && c.lines == nil; s.br.Has(BranchNegated) != absent {
				t.Errorf("the branch of an absent attribute: %v", !absent)
			}
		})
	}
}

func TestWhatAnRBACFilterDecides(t *testing.T) {
	const none = "rbac_access_denied_matched_policy[none]"
	for _, c := range []struct {
		name    string
		f       *RBAC
		request *Request
		details string // "" lets pass
	}{
		{"DENY matches", deny(onAdmin), with(path("/admin")), "rbac_access_denied_matched_policy[admin]"},
		{"DENY does not", deny(onAdmin), plain(), ""},
		{"DENY without rules", deny(), plain(), ""},
		{"DENY of a policy without rules", deny(Policy{ID: "x", Never: true}), plain(), ""},
		{"ALLOW matches", allow(onAdmin), with(path("/admin")), ""},
		{"ALLOW does not", allow(onAdmin), plain(), none},
		{"ALLOW without rules", allow(), plain(), none},
		{"ALLOW of a policy without rules", allow(Policy{ID: "x", Never: true}), plain(), none},
		{"one ALLOW of two", allow(onAdmin, named("z", always)), plain(), ""},
		{"AUDIT never denies", &RBAC{Action: Log, Rules: &RuleSet{Policies: []Policy{always}}}, plain(), ""},
		{"shadow rules of DENY never deny", &RBAC{Action: Deny, Shadow: &RuleSet{Policies: []Policy{always}}}, plain(), ""},
		{"shadow rules of ALLOW do not make a default", &RBAC{Action: Allow, Shadow: &RuleSet{Policies: []Policy{onAdmin}}}, plain(), ""},
		{"of several that match the first is named", deny(named("rule[10]", always), named("rule[2]", always)), plain(), "rbac_access_denied_matched_policy[rule[10]]"},
		{"white space in a name becomes _", deny(named("a b\tc", always)), plain(), "rbac_access_denied_matched_policy[a_b_c]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, on, _ := prepared(t, c.request, sidecar()).rbac(c.f)
			if len(on) != 0 {
				t.Errorf("it depends on %v", names(on))
			}
			if v == nil {
				if c.details != "" {
					t.Errorf("it passes, want %s", c.details)
				}
				return
			}
			if v.Details != c.details || v.Status != 403 || v.Body != rbacBody || (v.DecidedBy == nil) != (c.details == none) {
				t.Errorf("got %d %q %s, decided by %v; want %s", v.Status, v.Body, v.Details, v.DecidedBy, c.details)
			}
		})
	}
}

func TestRBACFiltersWriteMetadata(t *testing.T) {
	shadow := &RuleSet{Policies: []Policy{named("s", onAdmin)}}
	for _, c := range []struct {
		name    string
		f       *RBAC
		request *Request
		want    map[string]string
	}{
		{"a shadow DENY that matches", &RBAC{Action: Deny, Shadow: shadow, ShadowPrefix: "istio_dry_run_deny_"}, with(path("/admin")),
			map[string]string{"istio_dry_run_deny_shadow_effective_policy_id": "s", "istio_dry_run_deny_shadow_engine_result": "denied"}},
		{"one that does not", &RBAC{Action: Deny, Shadow: shadow, ShadowPrefix: "istio_dry_run_deny_"}, plain(),
			map[string]string{"istio_dry_run_deny_shadow_engine_result": "allowed"}},
		{"a shadow ALLOW that matches", &RBAC{Action: Allow, Shadow: shadow, ShadowPrefix: "p_"}, with(path("/admin")),
			map[string]string{"p_shadow_effective_policy_id": "s", "p_shadow_engine_result": "allowed"}},
		{"one that does not, ALLOW", &RBAC{Action: Allow, Shadow: shadow, ShadowPrefix: "p_"}, plain(), map[string]string{"p_shadow_engine_result": "denied"}},
		{"enforced rules", allow(named("e", always)), plain(), map[string]string{"enforced_effective_policy_id": "e", "enforced_engine_result": "allowed"}},
		{"enforced rules that deny", deny(named("e", always)), plain(), map[string]string{"enforced_effective_policy_id": "e", "enforced_engine_result": "denied"}},
		{"AUDIT allows whatever matches", &RBAC{Action: Log, Rules: &RuleSet{Policies: []Policy{onAdmin}}}, plain(), map[string]string{"enforced_engine_result": "allowed"}},
		{"nothing writes nothing", &RBAC{Action: Deny}, plain(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := prepared(t, c.request, sidecar())
			s.rbac(c.f)
			if !maps.Equal(s.rbacMetadata, c.want) {
				t.Errorf("got %v, want %v", s.rbacMetadata, c.want)
			}
		})
	}
}

func TestALaterFilterReadsWhatAnEarlierOneWrote(t *testing.T) {
	f := &RBAC{Action: Deny, Shadow: &RuleSet{Policies: []Policy{onAdmin}}, ShadowPrefix: "d_"}
	reads := condition("when", false, &MetadataMatch{Filter: rbacFilter, Key: "d_shadow_engine_result", String: exact("allowed")})
	p := permissive(f, allow(rule("a", []Condition{reads}, nil)))
	if v := Evaluate(p, plain(), nil).Verdict; v.Decision != Allowed {
		t.Errorf("got %+v", v)
	}
	if v := Evaluate(p, with(path("/admin")), nil).Verdict; v.Decision != Denied {
		t.Errorf("got %+v", v)
	}
}

func TestTheWalkNamesTheFirstConditionOfEachEntryThatFails(t *testing.T) {
	port := func(field string, n uint16) Condition { return condition(field, false, &PortMatch{n}) }
	p := Policy{
		ID: "p", Origin: place("spec.rules[0]"),
		Permissions: []Clause{{Conditions: []Condition{port("to0a", 8080), port("to0b", 1), port("to0c", 2)}}, {Conditions: []Condition{port("to1", 3)}}},
		Principals:  []Clause{{Conditions: []Condition{port("from0", 8080)}}},
		Dropped:     []Dropped{{Origin: place("dropped"), Reason: "why"}},
	}
	tr := Evaluate(permissive(allow(p)), plain(), nil)
	last := tr.Steps[len(tr.Steps)-1]
	if last.Stage != StageAllow || last.Outcome != Matched || tr.Verdict.DecidedBy != nil {
		t.Fatalf("the last step is %s %s", last.Stage, last.Outcome)
	}
	var got []string
	for _, s := range last.Steps[0].Steps {
		got = append(got, s.Origin.Field+" "+string(s.Outcome))
	}
	if want := []string{"dropped Skipped", "to0b NotMatched", "to1 NotMatched"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if s := last.Steps[0].Steps[1]; s.Want != `"to0b"` || s.Got != "8080" {
		t.Errorf("wanted %s, got %s", s.Want, s.Got)
	}
}

func TestTheWalkOfAMatchHasAllConditionsOfTheEntryThatMatched(t *testing.T) {
	p := rule("p", []Condition{condition("paths", false, onPath("/")), condition("notMethods", true, onHeader(":method", "POST"))}, nil)
	tr := Evaluate(permissive(deny(p)), plain(), nil)
	last := tr.Steps[len(tr.Steps)-1]
	if last.Stage != StageDeny || last.Origin != p.Origin || tr.Verdict.DecidedBy == nil {
		t.Fatalf("the last step is %s of %s", last.Stage, last.Origin)
	}
	steps := last.Steps[0].Steps
	if len(steps) != 2 || steps[0].Got != `"/"` || steps[1].Want != `not "notMethods"` || steps[1].Got != `"GET"` || steps[1].Outcome != Matched {
		t.Errorf("the steps are %+v", steps)
	}
}

func TestTheWalkMarksWhatIsNotEnforced(t *testing.T) {
	f := &RBAC{Action: Deny, Shadow: &RuleSet{Policies: []Policy{always}}, Rules: &RuleSet{Policies: []Policy{{ID: "n", Never: true}}}}
	tr := Evaluate(permissive(f), plain(), nil)
	steps := tr.Steps[1].Steps
	if len(steps) != 2 || !steps[0].Shadow || steps[0].Outcome != Matched || steps[1].Shadow || steps[1].Note == "" {
		t.Errorf("the steps are %+v", steps)
	}
	if tr.Verdict.Decision != Allowed {
		t.Errorf("the verdict is %+v", tr.Verdict)
	}
}

func TestActionsAndTransportsAreNamed(t *testing.T) {
	for want, got := range map[string]string{"ALLOW": Allow.String(), "DENY": Deny.String(), "AUDIT": Log.String(), "mTLS": MutualTLS.String(), "TLS": TLS.String(), "plaintext": Plaintext.String()} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
