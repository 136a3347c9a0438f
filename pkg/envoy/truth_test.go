package envoy

import (
	"slices"
	"testing"
)

// all are the three truth values, Unknown with a fact of its own each time.
func all() []Tri {
	return []Tri{no, yes, unknown(&Missing{What: "a"}), unknown(&Missing{What: "b"})}
}

// rank orders the values as Kleene does, so that "and" is the lower of two.
func rank(t Tri) int {
	return map[Truth]int{False: 0, Unknown: 1, True: 2}[t.T]
}

func TestAndIsTheLowerAndOrTheHigherOfTwoValues(t *testing.T) {
	for _, a := range all() {
		for _, b := range all() {
			if got, want := rank(a.and(b)), min(rank(a), rank(b)); got != want {
				t.Errorf("%v and %v: rank %d, want %d", a.T, b.T, got, want)
			}
			if got, want := rank(a.or(b)), max(rank(a), rank(b)); got != want {
				t.Errorf("%v or %v: rank %d, want %d", a.T, b.T, got, want)
			}
			if got, want := rank(a.not()), 2-rank(a); got != want {
				t.Errorf("not %v: rank %d, want %d", a.T, got, want)
			}
		}
	}
}

func TestTheLawsOfKleeneHoldForValuesAndDependencies(t *testing.T) {
	same := func(a, b Tri) bool { return a.T == b.T && slices.Equal(names(a.On), names(b.On)) }
	for _, a := range all() {
		if !same(a.not().not(), a) {
			t.Errorf("two negations of %v change it", a)
		}
		for _, b := range all() {
			if !same(a.and(b), b.and(a)) || !same(a.or(b), b.or(a)) {
				t.Errorf("%v and %v do not commute", a.T, b.T)
			}
			if !same(a.and(b).not(), a.not().or(b.not())) {
				t.Errorf("De Morgan fails for %v, %v", a.T, b.T)
			}
			for _, c := range all() {
				if !same(a.and(b).and(c), a.and(b.and(c))) || !same(a.or(b).or(c), a.or(b.or(c))) {
					t.Errorf("%v, %v, %v do not associate", a.T, b.T, c.T)
				}
			}
		}
	}
}

func names(d Deps) []string {
	var out []string
	for _, m := range d {
		out = append(out, m.What)
	}
	return out
}

func TestAKnownAnswerDependsOnNothing(t *testing.T) {
	u := unknown(&Missing{What: "x"})
	for name, got := range map[string]Tri{"false and unknown": no.and(u), "true or unknown": yes.or(u), "unknown and false": u.and(no), "unknown or true": u.or(yes)} {
		if got.T == Unknown || len(got.On) != 0 {
			t.Errorf("%s: %v depends on %v", name, got.T, names(got.On))
		}
	}
}

func TestAnUnknownAnswerNamesEachFactOnceAndInOrder(t *testing.T) {
	a, b := &Missing{What: "a", Why: "first"}, &Missing{What: "b"}
	again := &Missing{What: "a", Why: "another reason for the same fact"}
	got := unknown(b).and(unknown(a)).or(unknown(again)).and(yes).or(no)
	if want := []string{"a", "b"}; !slices.Equal(names(got.On), want) {
		t.Errorf("depends on %v, want %v", names(got.On), want)
	}
	if Deps(nil).union(nil) != nil {
		t.Error("the union of nothing is something")
	}
}

func TestUnionLeavesItsOperandsAsTheyAre(t *testing.T) {
	d := append(make(Deps, 0, 4), &Missing{What: "m"})
	_ = d.union(Deps{{What: "a"}})
	if d[0].What != "m" || len(d) != 1 {
		t.Errorf("the operand became %v", names(d))
	}
}

func TestTruthValuesAreNamed(t *testing.T) {
	for want, v := range map[string]Truth{"false": False, "true": True, "unknown": Unknown} {
		if v.String() != want {
			t.Errorf("%d is named %q, want %q", v, v, want)
		}
	}
}

func TestAFactIsKnownUnlessSomethingIsMissing(t *testing.T) {
	if !Known(0).IsKnown() || NotKnown[int](&Missing{}).IsKnown() {
		t.Error("Known and NotKnown are not what they say")
	}
}
