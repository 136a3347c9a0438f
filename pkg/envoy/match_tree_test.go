package envoy

import "testing"

func TestTreesOfMatchersFollowKleene(t *testing.T) {
	gap := &Missing{What: "x"}
	perhaps := &UnknownMatch{Missing: gap}
	never := NotMatch{AlwaysMatch{}}
	for name, c := range map[string]struct {
		m    Matcher
		want Truth
	}{
		"all of nothing":              {AllMatch{}, True},
		"any of nothing":              {AnyMatch{}, False},
		"all, one false, one unknown": {AllMatch{perhaps, never}, False},
		"all, one true, one unknown":  {AllMatch{AlwaysMatch{}, perhaps}, Unknown},
		"any, one true, one unknown":  {AnyMatch{perhaps, AlwaysMatch{}}, True},
		"any, one false, one unknown": {AnyMatch{never, perhaps}, Unknown},
		"not, of what is not known":   {NotMatch{perhaps}, Unknown},
		"not, of what is never so":    {NotMatch{never}, True},
		"a tree in a tree":            {AllMatch{AnyMatch{never, AlwaysMatch{}}, NotMatch{AllMatch{never, perhaps}}}, True},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.m.match(&state{b: CurrentBehavior(), br: new(BranchSet), req: &Request{}})
			if got.T != c.want || (got.T == Unknown) != (len(got.On) == 1) {
				t.Errorf("got %s on %v", got.T, got.On)
			}
		})
	}
}

func TestAClaimOfOneShapeIsNotTheOther(t *testing.T) {
	s := payload(t, `{"a": "x", "b": ["x", "y"], "c": 1}`)
	one := StringMatch{Kind: StringExact, Value: "x"}
	for _, c := range []struct {
		claim string
		shape ClaimShape
		want  Truth
	}{
		{"a", ClaimString, True}, {"a", ClaimList, False}, {"b", ClaimString, False}, {"b", ClaimList, True}, {"c", ClaimString, False}, {"d", ClaimList, False},
	} {
		if got := (&ClaimShapeMatch{ClaimMatch{Path: []string{c.claim}, String: one}, c.shape}).match(s); got.T != c.want {
			t.Errorf("%s as shape %d: got %s", c.claim, c.shape, got.T)
		}
	}
}

func TestPoliciesAreTheSameWhateverTheirOrderAndPlaces(t *testing.T) {
	path := func(v string) Matcher { return &PathMatch{String: StringMatch{Kind: StringExact, Value: v}} }
	host := &HeaderMatch{Name: ":authority", Present: true}
	a := &Policy{ID: "a", Permissions: []Clause{{Conditions: []Condition{{Matchers: []Matcher{path("/a"), path("/b")}}, {Negated: true, Matchers: []Matcher{host}}}}}}
	b := &Policy{ID: "b", Permissions: []Clause{{Conditions: []Condition{{Attribute: "hosts", Negated: true, Matchers: []Matcher{host}}, {Matchers: []Matcher{path("/b"), path("/a")}}}}}}
	if !a.Same(b) {
		t.Error("they differ")
	}
	for name, other := range map[string]Policy{
		"another value":  {Permissions: []Clause{{Conditions: []Condition{{Matchers: []Matcher{path("/a"), path("/c")}}, {Negated: true, Matchers: []Matcher{host}}}}}},
		"not negated":    {Permissions: []Clause{{Conditions: []Condition{{Matchers: []Matcher{path("/a"), path("/b")}}, {Matchers: []Matcher{host}}}}}},
		"one entry more": {Permissions: append([]Clause{{}}, a.Permissions...)},
		"as principals":  {Principals: a.Permissions},
		"never":          {Never: true},
	} {
		if a.Same(&other) {
			t.Errorf("%s: they are the same", name)
		}
	}
}
