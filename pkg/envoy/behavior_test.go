package envoy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

func versionOf(t *testing.T, text string) version.Version {
	t.Helper()
	v, ok := version.Parse(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

func TestTheNewestBehaviorHasEveryTrait(t *testing.T) {
	b := BehaviorOf(version.Version{})
	if b != CurrentBehavior() || b.versioned() {
		t.Errorf("got %+v", b)
	}
	for trait := range traitsInAll {
		if !*b.field(trait) {
			t.Errorf("trait %d is not there", trait)
		}
	}
}

func TestABehaviorFollowsFromTheVersion(t *testing.T) {
	for _, c := range []struct {
		text   string
		has    []Trait
		unsure []Trait
	}{
		{"1.32.0", []Trait{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, TraitQueryMethod}, nil},
		{"1.31.2-distroless", []Trait{0, 1, 2, 3, 4, 6, 7, 8, 9}, []Trait{TraitSanitizeAllProviders}},
		{"1.28.5", []Trait{0, 1, 4, 6, 7, 9}, []Trait{TraitSanitizeAllProviders, TraitStrictJSON}},
		{"1.19.0", []Trait{9}, []Trait{TraitSanitizeAllProviders, TraitStrictJSON}},
		{"1.12.4.1", nil, []Trait{0, 1, 2, 3, 5, 7, 8}},
		{"1.27.3.1", []Trait{1, 4, 6, 7, 9}, []Trait{0, 2, 3, 5, 8}},
	} {
		t.Run(c.text, func(t *testing.T) {
			b := BehaviorOf(versionOf(t, c.text))
			for trait := range traitsInAll {
				if got, want := *b.field(trait), slices.Contains(c.has, trait); got != want {
					t.Errorf("trait %d (%s) is %v", trait, traits[trait].with, got)
				}
				if got, want := b.Unsure.Has(trait), slices.Contains(c.unsure, trait); got != want {
					t.Errorf("trait %d (%s) unsure is %v", trait, traits[trait].with, got)
				}
			}
		})
	}
}

func TestATraitIsAskedForOnlyWhereItMatters(t *testing.T) {
	b := CurrentBehavior()
	b.Unsure = b.Unsure.With(TraitHeadersIndividually).With(TraitDotSegmentParameters).With(TraitTemplateStar)
	admin := deny(rule("a", nil, []Condition{condition("request.headers[x]", false, onHeader("x", "admin"))}))
	for _, c := range []struct {
		name    string
		request *Request
		want    Decision
	}{
		{"one line", with(header("x", "admin")), Denied},
		{"two lines of which one matches", with(header("x", "user"), header("x", "admin")), Undetermined},
		{"two lines that match neither way", with(header("x", "user"), header("x", "guest")), Allowed},
		{"a dot segment that nobody reads", with(func(r *Request) { r.Path = "/a/..;x/b" }), Allowed},
	} {
		p := permissive(admin)
		p.Behavior = b
		if v := Evaluate(p, c.request, nil).Verdict; v.Decision != c.want {
			t.Errorf("%s: %s on %v", c.name, v.Decision, names(v.On))
		}
	}
}

func TestTheWalkNamesTheVersionOfTheRuleThatItUsed(t *testing.T) {
	p := permissive(deny(rule("a", nil, []Condition{condition("request.headers[x]", false, onHeader("x", "admin"))})))
	p.Behavior = BehaviorOf(versionOf(t, "1.29.0"))
	tr := Evaluate(p, with(header("x", "user"), header("x", "admin")), nil)
	count := 0
	for _, s := range tr.Steps {
		if strings.Contains(s.Note, "in the proxy 1.29.0") && strings.Contains(s.Note, "1.29.1") && s.Outcome == Skipped && s.Stage == StageDeny {
			count++
		}
	}
	if tr.Verdict.Decision != Allowed || count != 1 {
		t.Errorf("%s, and %d notes in %+v", tr.Verdict.Decision, count, tr.Steps)
	}
}

func TestTooManyQuestionsMakeTheVerdictUndetermined(t *testing.T) {
	var headers []func(*Request)
	for i := range 8 {
		headers = append(headers, header("x", token(fmt.Sprintf(`"iss":"i","n":%d`, i))))
	}
	unknownKey := provider("i", keysFrom(KeySource{Fetcher: ControlPlane, URI: "u"}), locations(inHeader("x", "")))
	v := Evaluate(permissive(jwtAuthn(unknownKey)), with(headers...), nil).Verdict
	if v.Decision != Undetermined {
		t.Errorf("got %s", v.Decision)
	}
}

func TestAMatcherOfTwoReadingsIsSureWhereTheyAgree(t *testing.T) {
	m := &Missing{What: "which"}
	one, other := onHeader("x", "a"), onHeader("x", "b")
	for _, c := range []struct {
		name  string
		m     Matcher
		value string
		want  Decision
	}{
		{"neither", &EitherMatch{With: one, Without: other, Missing: m}, "c", Allowed},
		{"one of them", &EitherMatch{With: one, Without: other, Missing: m}, "a", Undetermined},
		{"there or not there, and it holds", &EitherMatch{With: one, WithoutAnswer: true, Missing: m}, "a", Denied},
		{"there or not there, and it does not hold", &EitherMatch{With: one, WithoutAnswer: true, Missing: m}, "c", Undetermined},
		{"something that cannot be read", &UnknownMatch{m}, "a", Undetermined},
	} {
		p := permissive(deny(rule("r", nil, []Condition{condition("x", false, c.m)})))
		if v := Evaluate(p, with(header("x", c.value)), nil).Verdict; v.Decision != c.want {
			t.Errorf("%s: %s", c.name, v.Decision)
		}
		if c.m.got(&state{}) == "" {
			t.Errorf("%s: brings nothing", c.name)
		}
	}
}

func TestTheLegacyMetadataIsKnownWhereAllReadingsAgree(t *testing.T) {
	missing := &Missing{What: "istio_authn"}
	prefixed := func(v string) StringMatch { return StringMatch{Kind: StringPrefix, Value: v} }
	principal := func(iss, sub, whole StringMatch) *LegacyMatch {
		return &LegacyMatch{Now: &PrincipalMatch{iss, sub}, String: whole, Missing: missing}
	}
	claim := func(value StringMatch, path ...string) *LegacyMatch {
		return &LegacyMatch{Now: &ClaimMatch{Path: path, String: value}, Path: path, String: value, Missing: missing}
	}
	for _, c := range []struct {
		name, payload string
		m             *LegacyMatch
		want          Truth
	}{
		{"no token", "", principal(exact("i"), exact("s"), exact("i/s")), False},
		{"issuer and subject", `{"iss":"i","sub":"s"}`, principal(exact("i"), exact("s"), exact("i/s")), True},
		{"another subject", `{"iss":"i","sub":"t"}`, principal(exact("i"), exact("s"), exact("i/s")), False},
		{"a prefix that only the text has", `{"iss":"i","sub":"s/t"}`, principal(exact("i/s"), exact("t"), exact("i/s/t")), Unknown},
		{"no subject, and a prefix", `{"iss":"i"}`, principal(exact("i"), exact(""), prefixed("i")), Unknown},
		{"no subject, and another issuer", `{"iss":"i"}`, principal(exact("j"), exact("s"), exact("j/s")), False},
		{"a word", `{"g":"a"}`, claim(exact("a"), "g"), True},
		{"words, and one of them is wanted", `{"g":"a b"}`, claim(exact("a"), "g"), Unknown},
		{"words, and the text is wanted", `{"g":"a b"}`, claim(exact("a b"), "g"), Unknown},
		{"a list", `{"g":["a","b"]}`, claim(exact("b"), "g"), True},
		{"a list with a number", `{"g":["a",1]}`, claim(exact("a"), "g"), Unknown},
		{"a list with a number, and another value", `{"g":["a",1]}`, claim(exact("c"), "g"), False},
		{"a number", `{"g":1}`, claim(exact("1"), "g"), False},
		{"nothing", `{}`, claim(exact("1"), "g"), False},
		{"an object below", `{"g":{"h":"a"}}`, claim(exact("a"), "g", "h"), Unknown},
		{"an object below with another value", `{"g":{"h":"a"}}`, claim(exact("b"), "g", "h"), False},
	} {
		s := &state{b: CurrentBehavior(), br: new(BranchSet)}
		if c.payload != "" {
			v, err := jwt.ParseJSON([]byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			s.payload, s.hasPayload = v, true
		}
		if got := c.m.match(s); got.T != c.want {
			t.Errorf("%s: %s", c.name, got.T)
		}
	}
}

func TestPlainJSONIsWhatEveryParserReadsAlike(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":1,"b":[{"a":"x"},null]}`: true, `{"a":{"a":1}}`: true, `"x"`: true,
		`{"a":1,"a":2}`: false, `{"b":{"a":1,"a":2}}`: false, `{a:1}`: false, `{"a":1,}`: false, "{\"a\":\"\xff\"}": false, ``: false, `[{"a":1,"a":1}]`: false,
	} {
		if got := plainJSON([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, c := range []struct {
		text string
		st   jwt.Status
		want bool
	}{{"x", jwt.BadFormat, true}, {"x", jwt.PayloadParseJSON, false}, {"e30.e30.x", jwt.OK, true}, {"e30..e2E6MX0.x", jwt.OK, false}} {
		if got := isPlain(c.text, c.st); got != c.want {
			t.Errorf("%q with %s: %v", c.text, c.st, got)
		}
	}
}

func TestAPlaceholderKeyRefusesByItsKid(t *testing.T) {
	for kid, want := range map[string]jwt.Status{"abc": jwt.VerificationFails, "": jwt.VerificationFails, "other": jwt.JwksNoMatchingKey} {
		if got := stranger("abc", &jwt.Token{Kid: kid}); got != want {
			t.Errorf("kid %q: %s", kid, got)
		}
	}
}

func TestAChangedListenerMayCloseWhatWouldBeAnswered(t *testing.T) {
	p := permissive(deny(always))
	p.Changed = []*Opaque{{Missing: &Missing{What: "a filter"}, May: []Verdict{{Decision: Denied}}}}
	v := Evaluate(p, plain(), nil).Verdict
	if v.Decision != Undetermined || !slices.Equal(statuses(v), []int{0, 403}) {
		t.Errorf("got %s %v", v.Decision, statuses(v))
	}
	for _, d := range v.Possible {
		if !slices.Equal(names(d.On), []string{"a filter"}) {
			t.Errorf("%d depends on %v", d.Status, names(d.On))
		}
	}
}
