package ztunnel

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// named makes a condition with an origin and words.
func named(c Condition, field string, values ...string) Condition {
	c.Origin, c.Attribute, c.Values = at("p", field), "principals", values
	return c
}

func TestTheWalkNamesTheFirstConditionOfEachEntryThatFails(t *testing.T) {
	r := Rule{Origin: at("p", "spec.rules[0]"), Clauses: []Clause{{Matches: []Match{
		{Conditions: []Condition{
			named(is(DestinationPort{8080}), "spec.rules[0].from[0].source.a", "8080"),
			named(is(Principal{str(Exact, "x")}), "spec.rules[0].from[0].source.principals", "x"),
			named(is(DestinationPort{1}), "spec.rules[0].from[0].source.c", "1"),
		}},
		{Origin: at("p", "spec.rules[0].from[1].source")},
	}}}, Dropped: []envoy.Dropped{{Origin: at("p", "spec.rules[0].to[0]"), Reason: "cut"}}}
	trace := evaluate(hbone(sleep), policy(Allow, r))
	if len(trace.Steps) != 2 || trace.Steps[1].Stage != envoy.StageAllow || trace.Steps[1].Outcome != envoy.Matched {
		t.Fatalf("%+v", trace.Steps)
	}
	got := trace.Steps[1].Steps[0].Steps
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	if got[0].Outcome != envoy.Skipped || got[0].Note != "cut" {
		t.Errorf("the part that was cut: %+v", got[0])
	}
	if got[1].Want != `"x"` || got[1].Got != `"cluster.local/ns/foo/sa/sleep"` || got[1].Outcome != envoy.NotMatched {
		t.Errorf("the condition: %+v", got[1])
	}
	if got[2].Origin.Field != "spec.rules[0].from[1].source" || got[2].Note == "" {
		t.Errorf("the empty entry: %+v", got[2])
	}
}

func TestTheWalkOfADenyNamesTheConditionsThatHold(t *testing.T) {
	r := rule(named(not(Principal{str(Presence, "")}), "spec.rules[0].from[0].source.notPrincipals", "*"))
	trace := evaluate(plaintext(), policy(Deny, r), policy(Allow))
	if len(trace.Steps) != 2 || trace.Steps[1].Stage != envoy.StageDeny || trace.Steps[1].Origin != r.Origin {
		t.Fatalf("the walk goes on after the denial: %+v", trace.Steps)
	}
	c := trace.Steps[1].Steps[0].Steps
	if len(c) != 1 || c[0].Want != `not "*"` || c[0].Got != "none" || c[0].Outcome != envoy.Matched {
		t.Errorf("%+v", c)
	}
}

func TestAPolicyWithoutRulesSaysWhy(t *testing.T) {
	gone := policy(Allow)
	gone.Dropped = []envoy.Dropped{{Origin: at("p", "spec.rules[0]"), Reason: "paths"}}
	for note, p := range map[string]Policy{
		"a policy without rules matches nothing":        policy(Allow),
		"none of its rules is left: it matches nothing": gone,
	} {
		st := evaluate(plaintext(), p).Steps[1].Steps
		if len(st) != 1 || st[0].Note != note || len(st[0].Steps) != len(p.Dropped) {
			t.Errorf("%+v", st)
		}
	}
}

func TestARuleThatIsLeftOutStandsBesideThoseThatAreNot(t *testing.T) {
	p := policy(Allow, rule())
	p.Dropped = []envoy.Dropped{{Origin: at("p", "spec.rules[1]"), Reason: "paths"}}
	st := evaluate(plaintext(), p).Steps[1].Steps
	if len(st) != 2 || st[0].Outcome != envoy.Matched || st[1].Outcome != envoy.Skipped || st[1].Note != "paths" {
		t.Errorf("%+v", st)
	}
}

func TestWhatIsNotKnownIsNotShownAsKnown(t *testing.T) {
	r := rule(named(is(Principal{str(Presence, "")}), "f", "*"))
	trace := evaluate(stranger(), policy(Allow, r))
	st := trace.Steps[1].Steps[0]
	if st.Outcome != envoy.Undecided || len(st.On) != 1 || len(st.Steps) != 1 || st.Steps[0].Got != gotUnknown {
		t.Errorf("%+v", st)
	}
	if trace.Upstream != nil {
		t.Error("the application gets a request that may not reach it")
	}
}

func TestTheApplicationGetsTheRequestUntouched(t *testing.T) {
	r := &envoy.Request{Method: "GET", Authority: "a", Path: "/x//y#z", Headers: []envoy.Header{{Name: "X-A", Value: " 1"}}, Connection: plaintext()}
	u := Evaluate(&Proxy{TrustDomain: "cluster.local"}, r).Upstream
	if u == nil || u.Path != "/x//y#z" || len(u.Headers) != 1 || u.Headers[0] != (envoy.Header{Name: "x-a", Value: " 1"}) {
		t.Errorf("%+v", u)
	}
}
