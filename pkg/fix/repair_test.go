package fix_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fix"
)

// asksForGroup lets in who has a token with the group.
const asksForGroup = `{rules: [{when: [{key: "request.auth.claims[groups]", values: ["admin"]}]}]}`

// What is plainly a mistake is mended first; what lets requests past a check is said to
// do so in its first words, and comes last.
func TestAMistakeIsMendedBeforeAnythingOpens(t *testing.T) {
	member := bearer(`"iss":"iss","sub":"me","groups":["admin"]`)
	anyToken := policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`)
	for _, c := range []struct {
		name, mesh string
		headers    []envoy.Header
		summary    []string // of the first
		manifest   string
		proved     bool
	}{
		{"a key of when that istiod does not know", authn("") + policy(`{rules: [{when: [{key: "request.auth.claim[groups]", values: ["admin"]}]}]}`), []envoy.Header{member},
			[]string{`write "request.auth.claims[groups]" for "request.auth.claim[groups]"`}, `key: "request.auth.claims[groups]"`, true},
		{"a selector that misses by a letter", strings.Replace(authn(""), "{app: httpbin}", "{app: httpbins}", 1) + anyToken, []envoy.Header{member},
			[]string{"have RequestAuthentication foo/jwt select the pods: app=httpbin, not app=httpbins"}, "app: httpbin", true},
		{"a label that misses by a letter", strings.Replace(authn(""), "{app: httpbin}", "{apps: httpbin}", 1) + anyToken, []envoy.Header{member},
			[]string{"have RequestAuthentication foo/jwt select the pods: app=httpbin, not apps=httpbin"}, "app: httpbin", true},
		{"nothing that verifies tokens", strings.Replace(authn(""), "app: httpbin", "app: another", 1) + anyToken, []envoy.Header{member},
			[]string{"have Deployment foo/httpbin verify tokens of \"iss\"", "the keys that RequestAuthentication foo/jwt has"}, "kind: RequestAuthentication", true},
		{"both at once", strings.Replace(authn(""), "{app: httpbin}", "{app: httpbins}", 1) + policy(`{rules: [{when: [{key: "request.auth.claim[groups]", values: ["admin"]}]}]}`),
			[]envoy.Header{member}, []string{"write ", "; and have RequestAuthentication foo/jwt select the pods"}, "---\n", true},
		{"a slash, and a claim that is not there", authn(`issuer: "https://idp/"`) + policy(asksForGroup), []envoy.Header{bearer(`"iss":"https://idp","sub":"me"`)},
			[]string{"they differ in the slash at the end"}, `issuer: https://idp`, false},
		{"a key, and no token", authn("") + policy(`{rules: [{when: [{key: "request.auth.claim[groups]", values: ["admin"]}]}]}`), nil,
			[]string{`write "request.auth.claims[groups]"`}, `key: "request.auth.claims[groups]"`, false},
	} {
		fixes := found(t, question(c.headers...), base+c.mesh, fix.Through())
		if len(fixes) == 0 {
			t.Errorf("%s: nothing was found", c.name)
			continue
		}
		first := fixes[0]
		for _, words := range c.summary {
			if !strings.Contains(first.Summary, words) {
				t.Errorf("%s: %q has no %q; all:\n%s", c.name, first.Summary, words, summaries(fixes))
			}
		}
		if first.Widens || first.Proved != c.proved || first.Partial == c.proved || !strings.Contains(strings.ReplaceAll(first.Manifest, `"https`, "https"), c.manifest) || first.Neighbours == nil {
			t.Errorf("%s: %+v", c.name, first)
		}
		if first.Partial && (!strings.Contains(first.Note, "not enough alone: after it, no ALLOW rule matches: in AuthorizationPolicy foo/p, rules[0].when[0].values wants") || first.StatusAfter == 200) {
			t.Errorf("%s: %+v", c.name, first)
		}
		if last := slices.IndexFunc(fixes, func(f diagnose.Fix) bool { return f.Widens }); last >= 0 && slices.ContainsFunc(fixes[last:], func(f diagnose.Fix) bool { return !f.Widens }) {
			t.Errorf("%s: what widens is not last:\n%s", c.name, summaries(fixes))
		}
	}
}

// A selector that misses this workload by a letter may be another's.
func TestASelectorThatSelectsOtherPodsIsLeftAlone(t *testing.T) {
	other := strings.NewReplacer("name: httpbin,", "name: httpbins,", "app: httpbin", "app: httpbins").Replace(base)
	text := base + "---\n" + strings.Split(other, "---")[0] + strings.Replace(authn(""), "{app: httpbin}", "{app: httpbins}", 1) +
		policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`)
	for _, f := range found(t, question(bearer(`"iss":"iss","sub":"me"`)), text, fix.Through()) {
		if strings.Contains(f.Summary, "select the pods") {
			t.Errorf("%s", f.Summary)
		}
	}
}

// A DENY rule asks for a claim: who exempts the user, or the path, does not mend the
// claim, and lets tokens past the check.
func TestWhatExemptsFromTheCheckOfAClaimWidensAndSaysSoFirst(t *testing.T) {
	deny := policy(`{action: DENY, rules: [{to: [{operation: {notPaths: ["/open"]}}], when: [{key: "request.auth.claims[groups]", notValues: ["admin"]}]}]}`)
	exempts := 0
	for _, issuer := range []string{"issuer: iss", `issuer: "iss/"`} {
		for _, f := range found(t, question(bearer(`"iss":"iss","sub":"me","groups":["user"]`)), base+authn(issuer)+deny, fix.Through()) {
			past := strings.Contains(f.Manifest, "notRequestPrincipals") || strings.Contains(f.Manifest, "/x")
			if !past {
				continue
			}
			exempts++
			if !f.Widens || !strings.HasPrefix(f.Summary, "let ") || !strings.Contains(f.Summary, " past the check of claim groups: ") ||
				!slices.Contains(f.Opens, "tokens that fail the check of claim groups") {
				t.Errorf("%+v", f)
			}
		}
	}
	if exempts < 2 {
		t.Errorf("%d fixes exempt from the check", exempts)
	}
}

// A token that the change has verified for the first time is varied too: a rule for one
// issuer as a whole lets in its other subjects.
func TestOtherSubjectsOfAnIssuerAreNeighboursOfATokenThatOnlyTheChangeVerifies(t *testing.T) {
	text := base + authn(`issuer: "https://idp"`) + policy(`{rules: [{from: [{source: {requestPrincipals: ["https://idp/*"]}}]}]}`)
	wide := 0
	for _, f := range found(t, question(bearer(`"iss":"https://idp/","sub":"me"`)), text, fix.Through()) {
		others := strings.Contains(f.Manifest, `"https://idp//*"`)
		if f.Manifest != "" && others != f.Widens {
			t.Errorf("%+v", f)
		}
		if others {
			wide++
		}
	}
	if wide == 0 {
		t.Error("no fix lets in the whole issuer")
	}
}

// The token goes astray in front of what stops it then: both are mended, and the fix
// has both objects.
func TestATokenThatTheHopInFrontTakesAndAnotherMistakeAreMendedTogether(t *testing.T) {
	in, text := throughGateway(policy(`{rules: [{from: [{source: {requestPrincipals: ["iss/you"]}}]}]}`))
	fixes := found(t, in, text, fix.Through())
	if len(fixes) == 0 || fixes[0].Widens || !fixes[0].Proved || !strings.HasPrefix(fixes[0].Summary, "let the next hop have the token: ") ||
		!strings.Contains(fixes[0].Summary, "; and add ") || strings.Count(fixes[0].Manifest, "\n---\n") != 1 || fixes[0].StatusAfter != 200 {
		t.Fatalf("%+v", fixes)
	}
	for _, f := range fixes {
		if tokenless := strings.Contains(f.Summary, "sa/gw"); tokenless && (!f.Widens || !strings.HasPrefix(f.Summary, `let GET "/x" through without a token: `)) {
			t.Errorf("%+v", f)
		}
	}
}

// The user's own token in the wrong header, and more in the way.
func TestATokenInTheWrongHeaderIsMovedFirstWhateverElseIsInTheWay(t *testing.T) {
	text := base + authn(", fromHeaders: [{name: X-Access-Token}]") + policy(`{rules: [{to: [{operation: {paths: ["/api/*"]}}], when: [{key: "request.auth.claims[groups]", values: ["Admin"]}]}]}`)
	in := question(bearer(`"iss":"iss","sub":"me","groups":["admin"]`))
	in.Path = "/api"
	fixes := found(t, in, text, fix.Through())
	if len(fixes) == 0 || !fixes[0].Partial || fixes[0].Proved || fixes[0].Manifest != "" || !strings.Contains(fixes[0].Summary, "send the token in header x-access-token") ||
		!strings.Contains(fixes[0].Note, `wants "/api/*", and gets "/api"; rules[0].when[0].values wants "Admin", and gets ["admin"]`) {
		t.Fatalf("%+v", fixes)
	}
	for _, f := range fixes[1:] {
		if strings.Contains(f.Summary, "through without a token") != strings.Contains(strings.Join(f.Opens, ""), "this request") {
			t.Errorf("%+v", f)
		}
	}
}

// Where no RequestAuthentication is, and a rule asks for a token, getting in without one
// is said as what it is.
func TestARequestThatGetsPastARuleThatAsksForATokenIsSaidToHaveNone(t *testing.T) {
	for _, f := range found(t, question(), base+policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`), fix.Through()) {
		if !f.Widens || !strings.Contains(f.Summary, "through without a token") || len(f.Opens) == 0 || f.Opens[0] != "this request, without a token" {
			t.Errorf("%+v", f)
		}
	}
}

// A rule that istiod leaves out, and nobody can tell what was meant: to open the path for
// everybody is not the answer.
func TestNothingThatOpensIsOfferedWhereARuleWasLeftOut(t *testing.T) {
	for _, f := range found(t, question(), base+policy(`{rules: [{when: [{key: "no.such.key", values: ["admin"]}]}]}`), fix.Through()) {
		if f.Widens || f.Partial {
			t.Errorf("%+v", f)
		}
	}
}
