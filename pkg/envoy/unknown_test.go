package envoy

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

var (
	noAddress  = &Missing{What: "the client's address", Hint: "--from-ip"}
	noIdentity = &Missing{What: "the client's identity", Hint: "--from"}
	noKeys     = &Missing{What: "the keys"}
)

func unknownSource(r *Request) { r.Connection.Source = NotKnown[netip.Addr](noAddress) }
func unknownCaller(r *Request) {
	r.Connection.Transport, r.Connection.Peer = NotKnown[Transport](noIdentity), NotKnown[Peer](noIdentity)
}

func fromBlock(negated bool, block string) Condition {
	return condition("ipBlocks", negated, &IPMatch{DirectRemoteIP, netip.MustParsePrefix(block)})
}

func isMember(negated bool) Condition {
	return condition("principals", negated, &IdentityMatch{prefix("spiffe://td/")})
}

// statuses are the possible verdicts of an undetermined one.
func statuses(v Verdict) []int {
	var out []int
	for _, p := range v.Possible {
		out = append(out, p.Status)
	}
	return out
}

func TestAVerdictIsUndeterminedOnlyIfWhatIsMissingChangesIt(t *testing.T) {
	onIP := func(neg bool) Policy { return rule("ip", nil, []Condition{fromBlock(neg, "10.0.0.0/8")}) }
	onPathAndIP := rule("both", []Condition{condition("paths", false, onPath("/admin"))}, []Condition{fromBlock(false, "10.0.0.0/8")})
	for _, c := range []struct {
		name    string
		filters []Filter
		request *Request
		want    Decision
		status  []int // the one, or the possible ones
		on      []string
	}{
		{"nobody reads it", []Filter{allow(always)}, with(unknownSource), Allowed, []int{200}, nil},
		{"a DENY reads it", []Filter{deny(onIP(false))}, with(unknownSource), Undetermined, []int{403, 200}, []string{noAddress.What}},
		{"negated, too", []Filter{deny(onIP(true))}, with(unknownSource), Undetermined, []int{403, 200}, []string{noAddress.What}},
		{"an ALLOW reads it", []Filter{allow(onIP(false))}, with(unknownSource), Undetermined, []int{403, 200}, []string{noAddress.What}},
		{"a DENY that fails elsewhere does not", []Filter{deny(onPathAndIP)}, with(unknownSource), Allowed, []int{200}, nil},
		{"an ALLOW that fails elsewhere does not", []Filter{allow(onPathAndIP)}, with(unknownSource), Denied, []int{403}, nil},
		{"another ALLOW allows", []Filter{allow(onIP(false), named("z", always))}, with(unknownSource), Allowed, []int{200}, nil},
		{"another DENY denies", []Filter{deny(onIP(false), named("z", always))}, with(unknownSource), Denied, []int{403}, nil},
		{"DENY may, and ALLOW denies anyway", []Filter{deny(onIP(false)), allow()}, with(unknownSource), Denied, []int{403}, nil},
		{"AUDIT reads it", []Filter{&RBAC{Action: Log, Rules: &RuleSet{Policies: []Policy{onIP(false)}}}}, with(unknownSource), Allowed, []int{200}, nil},
		{"a dry run reads it", []Filter{&RBAC{Action: Deny, Shadow: &RuleSet{Policies: []Policy{onIP(false)}}}}, with(unknownSource), Allowed, []int{200}, nil},
		{"two facts", []Filter{deny(onIP(false), rule("z", nil, []Condition{isMember(false)}))}, with(unknownSource, unknownCaller),
			Undetermined, []int{403, 200}, []string{noAddress.What, noIdentity.What}},
		{"an identity that nobody reads", []Filter{allow(always)}, with(unknownCaller), Allowed, []int{200}, nil},
		{"an identity that an ALLOW reads", []Filter{allow(rule("a", nil, []Condition{isMember(false)}))}, with(unknownCaller), Undetermined, []int{403, 200}, []string{noIdentity.What}},
		{"the host", []Filter{allow(rule("a", []Condition{condition("hosts", false, onHeader(":authority", "b"))}, nil))},
			with(func(r *Request) { r.AuthorityMissing = noKeys }), Undetermined, []int{403, 200}, []string{noKeys.What}},
		{"JWT denies whatever comes behind", []Filter{jwtAuthn(provider("i")), deny(onIP(false))}, with(unknownSource, header("Authorization", "Bearer junk")), Denied, []int{401}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Evaluate(permissive(c.filters...), c.request, testKeys(t)).Verdict
			got := statuses(v)
			if v.Decision != Undetermined {
				got = []int{v.Status}
			}
			if v.Decision != c.want || !slices.Equal(got, c.status) || !slices.Equal(names(v.On), c.on) {
				t.Errorf("got %s %v on %v", v.Decision, got, names(v.On))
			}
		})
	}
}

func TestAnUnknownCallerAtAStrictPortMayBeRefused(t *testing.T) {
	v := Evaluate(listeners()["HTTP STRICT"], with(unknownCaller), nil).Verdict
	if v.Decision != Undetermined || !slices.Equal(statuses(v), []int{0, 200}) || !slices.Equal(names(v.On), []string{noIdentity.What}) {
		t.Errorf("got %s %v on %v", v.Decision, statuses(v), names(v.On))
	}
}

func TestKeysThatAreNotAtHandForkTheAnswer(t *testing.T) {
	unknownKey := provider("i", keysFrom(KeySource{Fetcher: ControlPlane, URI: "u"}))
	gap := Keys{{Fetcher: ControlPlane, URI: "u"}: {Missing: noKeys}}
	identified := allow(rule("a", nil, []Condition{condition("requestPrincipals", false, &PrincipalMatch{exact("i"), exact("s")})}))
	good := bearer(`"iss":"i","sub":"s"`)
	for _, c := range []struct {
		name    string
		filters []Filter
		request *Request
		keys    Keys
		want    Decision
		status  []int
		on      []string
	}{
		{"a good-looking token may be good", []Filter{jwtAuthn(unknownKey)}, with(good), gap, Undetermined, []int{401, 200}, []string{noKeys.What}},
		{"a source that nobody knows is the same", []Filter{jwtAuthn(unknownKey)}, with(good), nil, Undetermined, []int{401, 200}, []string{keysMissing.What}},
		{"without a token no key is needed", []Filter{jwtAuthn(unknownKey)}, plain(), gap, Allowed, []int{200}, nil},
		{"an expired token needs none", []Filter{jwtAuthn(unknownKey)}, with(bearer(`"iss":"i","exp":1`)), gap, Denied, []int{401}, nil},
		{"nor one of another issuer", []Filter{jwtAuthn(unknownKey)}, with(bearer(`"iss":"j"`)), gap, Denied, []int{401}, nil},
		{"what it says counts if it is good", []Filter{jwtAuthn(unknownKey), identified}, with(good), gap, Undetermined, []int{401, 200}, []string{noKeys.What}},
		{"and denies if it is not enough", []Filter{jwtAuthn(unknownKey), identified}, with(bearer(`"iss":"i","sub":"t"`)), gap, Undetermined, []int{403, 401}, []string{noKeys.What}},
		{"two tokens are two questions", []Filter{jwtAuthn(provider("i", keysFrom(KeySource{Fetcher: ControlPlane, URI: "u"}), locations(inHeader("x", ""))))},
			with(header("x", token(`"iss":"i","a":1`)), header("x", token(`"iss":"i","a":2`))), gap, Undetermined, []int{401, 200}, []string{noKeys.What}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Evaluate(permissive(c.filters...), c.request, c.keys).Verdict
			got := statuses(v)
			if v.Decision != Undetermined {
				got = []int{v.Status}
			}
			if v.Decision != c.want || !slices.Equal(got, c.status) || !slices.Equal(names(v.On), c.on) {
				t.Errorf("got %s %v on %v", v.Decision, got, names(v.On))
			}
		})
	}
}

func TestOneQuestionHasOneAnswerInARun(t *testing.T) {
	s := &state{choices: []bool{false}}
	for range 2 {
		if s.choose("a", noKeys) {
			t.Error("the answer is not the one that was chosen")
		}
	}
	if !s.choose("b", noKeys) || len(s.asked) != 2 {
		t.Errorf("asked %d questions", len(s.asked))
	}
	var runs [][]bool
	for choices := []bool(nil); ; {
		s := &state{choices: choices}
		runs = append(runs, []bool{s.choose("a", noKeys), s.choose("b", noKeys)})
		if choices = nextChoices(s.asked); choices == nil {
			break
		}
	}
	if want := [][]bool{{true, true}, {true, false}, {false, true}, {false, false}}; !slices.EqualFunc(runs, want, slices.Equal[[]bool]) {
		t.Errorf("the runs are %v", runs)
	}
}

func TestWhatIsNotModelledMakesTheVerdictUndetermined(t *testing.T) {
	gap := &Missing{What: "an EnvoyFilter"}
	opaque := &Opaque{Missing: gap, Origin: place("spec")}
	for _, f := range [][]Filter{{opaque}, {opaque, deny(always)}} {
		v := Evaluate(permissive(f...), plain(), nil).Verdict
		if v.Decision != Undetermined || !slices.Equal(names(v.On), []string{gap.What}) {
			t.Errorf("got %s on %v", v.Decision, names(v.On))
		}
	}
	if v := Evaluate(permissive(deny(always), opaque), plain(), nil).Verdict; v.Decision != Denied {
		t.Errorf("behind a denial it does not count, got %s", v.Decision)
	}
}

func TestAnAuthorizerIsAskedIfACustomPolicyMatches(t *testing.T) {
	custom := func(p Policy) []Filter {
		return []Filter{&RBAC{Action: Deny, Custom: true, Shadow: &RuleSet{Policies: []Policy{p}}, ShadowPrefix: extAuthzPrefix},
			&ExtAuthz{Provider: "ext", Prefix: "istio-ext-authz-ext"}}
	}
	asked := named("istio-ext-authz-ext-ns[foo]", always)
	v := Evaluate(permissive(custom(asked)...), plain(), nil).Verdict
	if v.Decision != Undetermined || !slices.Equal(statuses(v), []int{403, 200}) || len(v.On) != 1 {
		t.Errorf("got %s %v on %v", v.Decision, statuses(v), names(v.On))
	}
	if v := Evaluate(permissive(custom(named("istio-ext-authz-ext-x", onAdmin))...), plain(), nil).Verdict; v.Decision != Allowed {
		t.Errorf("a policy that does not match: got %s", v.Decision)
	}
	if v := Evaluate(permissive(append(custom(asked), deny(always))...), plain(), nil).Verdict; v.Decision != Denied && v.Decision != Undetermined {
		t.Errorf("got %s", v.Decision)
	}
}

func TestARefusedListenerHasNoVerdict(t *testing.T) {
	bad := permissive(jwtAuthn(provider("i")))
	keys := Keys{{Fetcher: Inline, Inline: "p256"}: {Refused: jwt.JwksNoKeys}}
	tr := Evaluate(bad, plain(), keys)
	want := "Provider 'origins-0' in jwt_authn config has invalid local jwks: " + jwt.JwksNoKeys.String()
	if tr.Verdict.Decision != Undetermined || len(tr.Verdict.On) != 1 || tr.Steps[0].Note != want || tr.Steps[0].Origin.Kind != "RequestAuthentication" {
		t.Errorf("got %+v", tr)
	}
	bad.Refused = &Refusal{Origin: place("paths"), Reason: "a template"}
	if tr := Evaluate(bad, plain(), keys); tr.Steps[0].Note != "a template" {
		t.Errorf("the first reason is not the one of the translation: %s", tr.Steps[0].Note)
	}
	if tr := Evaluate(permissive(jwtAuthn(provider("i"))), plain(), testKeys(t)); tr.Verdict.Decision != Allowed {
		t.Errorf("a listener that is fine: %+v", tr.Verdict)
	}
}
