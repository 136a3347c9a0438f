package diagnose_test

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

func TestTheReasonSaysWhatWasWantedAndWhatCame(t *testing.T) {
	needs := policy(`{rules: [{from: [{source: {requestPrincipals: ["iss/admin"]}}]}]}`)
	for _, c := range []struct {
		name   string
		change func(*diagnose.Intent)
		docs   []string
		parts  []string // of the sentence; none: no sentence
	}{
		{"allowed", plaintext, nil, []string{"no AuthorizationPolicy and no RequestAuthentication reaches the workload"}},
		{"a DENY with a path", path("/admin"), []string{policy(`{action: DENY, rules: [{to: [{operation: {paths: ["/adm*"]}}]}]}`)}, []string{"path", `"/admin"`}},
		{"a DENY with a negation", plaintext, []string{policy(`{action: DENY, rules: [{to: [{operation: {notMethods: [POST]}}]}]}`)}, []string{"method", `"GET"`, `"POST"`}},
		{"a DENY for all", plaintext, []string{policy(`{action: DENY, rules: [{}]}`)}, []string{"every request"}},
		{"the only ALLOW rule", path("/b"), []string{policy(`{rules: [{to: [{operation: {paths: [/a]}}]}]}`)}, []string{"only", "path", `"/a"`, `"/b"`}},
		{"an ALLOW rule without a token", plaintext, []string{needs, authn("")}, []string{"only", "token"}},
		{"an ALLOW rule with another one", headers(bearer(`"iss":"iss","sub":"user"`)), []string{needs, authn("")}, []string{"only", `"iss/admin"`, `"iss/user"`}},
		{"several ALLOW rules", plaintext, []string{policy(`{rules: [{to: [{operation: {paths: [/a]}}]}, {to: [{operation: {paths: [/b]}}]}]}`)}, []string{"none of the 2 rules of 1 ALLOW policy"}},
		{"an ALLOW policy without rules", plaintext, []string{policy(`{}`)}, []string{"no rules"}},
		{"an ALLOW policy whose rules were left out", plaintext, []string{policy(`{rules: [{when: [{key: nonsense, values: [a]}]}]}`)}, []string{"none of its rules"}},
		{"an expired token", headers(bearer(`"iss":"iss","exp":1`)), []string{authn("")}, []string{"token", "authorization", "expired"}},
		{"another issuer", headers(bearer(`"iss":"other"`)), []string{authn("")}, []string{`wants "iss"`, `"other"`}},
		{"another audience", headers(bearer(`"iss":"iss","aud":"b"`)), []string{authn(", audiences: [a]")}, []string{`wants "a"`, `"b"`, "RequestAuthentication"}},
		{"a connection that is closed", plaintext, []string{object("PeerAuthentication", "pa", "{mtls: {mode: STRICT}}")}, []string{"plaintext"}},
		{"a request that is refused", path("/%00"), nil, []string{"normalized"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := asked(t, question(t, plaintext, c.change), httpbin(c.docs...)...)
			if (d.Because == "") != (c.parts == nil) {
				t.Fatalf("the reason is %q", d.Because)
			}
			for _, p := range c.parts {
				if !strings.Contains(d.Because, p) {
					t.Errorf("the reason is %q, without %q", d.Because, p)
				}
			}
		})
	}
}

func TestTheVerdictNamesWhatDecided(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*diagnose.Intent)
		docs   []string
		want   diagnose.Place // the zero Place: nothing
		code   diag.Code      // of the last step
	}{
		{"a DENY rule", plaintext, []string{policy(`{action: DENY, rules: [{}]}`)}, diagnose.Place{Kind: "AuthorizationPolicy", Namespace: "foo", Name: "p", Field: "spec.rules[0]"}, diag.PolicyDenied},
		{"no ALLOW rule", plaintext, []string{policy(`{}`)}, diagnose.Place{}, diag.NoPolicyAllowed},
		{"a token", headers(bearer(`"iss":"iss","exp":1`)), []string{authn("")}, diagnose.Place{Kind: "RequestAuthentication", Namespace: "foo", Name: "r", Field: "spec.jwtRules[0]"}, diag.TokenExpired},
		{"mTLS", plaintext, []string{object("PeerAuthentication", "pa", "{mtls: {mode: STRICT}}")}, diagnose.Place{Kind: "PeerAuthentication", Namespace: "foo", Name: "pa", Field: "spec.mtls.mode"}, diag.ConnectionRefused},
		{"the codec", path("bad"), nil, diagnose.Place{}, diag.RequestRejected},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := asked(t, question(t, plaintext, c.change), httpbin(c.docs...)...)
			var got diagnose.Place
			if d.Verdict.DecidedBy != nil {
				got = *d.Verdict.DecidedBy
			}
			if got != c.want || d.Trace[len(d.Trace)-1].Code != c.code {
				t.Errorf("got %+v, code %s", got, d.Trace[len(d.Trace)-1].Code)
			}
		})
	}
}

func TestEveryWayInWhichATokenCanFailHasACode(t *testing.T) {
	keys := string(mint.JWKS(mint.P256().WithKid("k")))
	rule := object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss, jwks: '"+keys+"', audiences: [a]}]}")
	for want, text := range map[diag.Code]string{
		diag.TokenMalformed:   "a.b",
		diag.TokenClaimType:   token(`"iss":7`),
		diag.TokenIssuer:      token(`"iss":"other"`),
		diag.TokenExpired:     token(`"iss":"iss","exp":1`),
		diag.TokenNotYetValid: token(`"iss":"iss","nbf":4000000000`),
		diag.TokenAudience:    token(`"iss":"iss","aud":"b"`),
		diag.TokenNoKey:       mint.Token(mint.P256(), `{"alg":"ES256","kid":"z"}`, `{"iss":"iss","aud":"a"}`),
		diag.TokenSignature:   mint.Token(mint.OtherP256(), `{"alg":"ES256"}`, `{"iss":"iss","aud":"a"}`),
		diag.TokenAlgorithm:   mint.TokenAlg(mint.P256(), "ES256", `{"alg":"none"}`, `{"iss":"iss"}`),
	} {
		d := asked(t, question(t, plaintext, headers(envoy.Header{Name: "Authorization", Value: "Bearer " + text})), httpbin(rule)...)
		if got := d.Trace[len(d.Trace)-1].Code; got != want {
			t.Errorf("%s (%s): got %s", want, want.Title(), got)
		}
	}
	required := object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss, jwks: '"+keys+"', presence: REQUIRED}]}")
	if d := asked(t, question(t, plaintext), httpbin(required)...); d.Trace[len(d.Trace)-1].Code != diag.TokenMissing || d.Verdict.Body != jwt.Missed.String() {
		t.Errorf("a missing token: %s %s", d.Trace[len(d.Trace)-1].Code, d.Verdict.Body)
	}
}

func TestFindingsSayWhatIsWorthKnowing(t *testing.T) {
	const uri = "https://idp.test/keys"
	byURI := object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss, jwksUri: '"+uri+"'}]}")
	keys := func(f string, doc []byte) func(*diagnose.Intent) {
		return func(in *diagnose.Intent) {
			in.Keys = append(in.Keys, diagnose.KeyFile{For: f, Document: doc})
		}
	}
	good := mint.JWKS(mint.P256())
	needsToken := policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`)
	none := func(*diagnose.Intent) {}
	for _, c := range []struct {
		name   string
		change func(*diagnose.Intent)
		docs   []string
		code   diag.Code
		object string
		there  bool
	}{
		{"a rule that is left out", none, []string{policy(`{rules: [{when: [{key: nonsense, values: [a]}]}]}`)}, diag.RuleDropped, "p", true},
		{"a value that is left out", none, []string{policy(`{action: DENY, rules: [{from: [{source: {ipBlocks: [nonsense]}}]}]}`)}, diag.ValueDropped, "p", true},
		{"tokens that nobody asks for", none, []string{authn("")}, diag.TokenNotRequired, "r", true},
		{"tokens that somebody asks for", none, []string{authn(""), needsToken}, diag.TokenNotRequired, "", false},
		{"keys that could not be fetched", keys(uri, nil), []string{byURI}, diag.KeysNotFetched, "r", true},
		{"keys that are none", keys(uri, []byte("<html>")), []string{byURI}, diag.KeysUnusable, "r", true},
		{"keys that are good", keys(uri, good), []string{byURI}, diag.KeysNotFetched, "", false},
		{"keys that nobody uses", keys("https://other.test", good), []string{byURI}, diag.KeysNotUsed, "", true},
		{"keys of an issuer", keys("iss", good), []string{object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss}]}")}, diag.KeysNotUsed, "", false},
		{"inline keys that are none", none, []string{object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss, jwks: '{}'}]}")}, diag.KeysUnusable, "r", true},
		{"a key of several that is none", none, []string{object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss, jwks: '"+string(mint.Document(map[string]any{"kty": "EC"}, mint.P256().JWK()))+"'}]}")}, diag.KeyDropped, "r", true},
		{"a template that Envoy refuses", none, []string{policy(`{rules: [{to: [{operation: {paths: ["/{**}/{*}"]}}]}]}`)}, diag.ListenerRefused, "p", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := asked(t, question(t, plaintext, c.change), httpbin(c.docs...)...)
			f := code(d, string(c.code))
			if (f != nil) != c.there {
				t.Fatalf("findings are %+v", d.Findings)
			}
			if f != nil && (f.Message == "" || c.object != "" && (f.Object == nil || f.Object.Name != c.object)) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestKeysDecideAsTheirFetcherHasThem(t *testing.T) {
	const uri, refused = "https://idp.test/keys", "the configuration that the proxy still has"
	byURI := object("RequestAuthentication", "r", "{jwtRules: [{issuer: iss, jwksUri: '"+uri+"'}]}")
	for _, c := range []struct {
		name string
		keys []diagnose.KeyFile
		mode string
		body string // "" is allowed, "?" undetermined for want of the keys, refused for the listener's sake
	}{
		{"good ones", []diagnose.KeyFile{{For: uri, Document: mint.JWKS(mint.P256())}}, "", ""},
		{"other ones", []diagnose.KeyFile{{For: uri, Document: mint.JWKS(mint.OtherP256())}}, "", jwt.VerificationFails.String()},
		{"none at hand", nil, "", "?"},
		{"istiod could not fetch", []diagnose.KeyFile{{For: uri}}, "", jwt.VerificationFails.String()},
		{"the proxy could not fetch", []diagnose.KeyFile{{For: uri}}, "envoy", jwt.JwksFetchFailed.String()},
		{"istiod got HTML", []diagnose.KeyFile{{For: uri, Document: []byte("<html>")}}, "", refused},
		{"the proxy got HTML", []diagnose.KeyFile{{For: uri, Document: []byte("<html>")}}, "envoy", jwt.JwksFetchFailed.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := question(t, plaintext, headers(bearer(`"iss":"iss"`)))
			in.Keys, in.RemoteJWKS = c.keys, jwksMode(c.mode)
			d := asked(t, in, httpbin(byURI)...)
			got := d.Verdict.Body
			if d.Verdict.Decision == envoy.Undetermined {
				got = "?"
				if len(d.DependsOn) == 1 && strings.HasPrefix(d.DependsOn[0].What, refused) {
					got = refused
				} else if len(d.DependsOn) != 1 || !strings.Contains(d.DependsOn[0].Hint, "--jwks "+uri+"=") {
					t.Errorf("depends on %+v", d.DependsOn)
				}
			}
			if got != c.body {
				t.Errorf("got %q, want %q", got, c.body)
			}
		})
	}
}

func TestSkippedPoliciesAssumptionsAndGapsAreSaid(t *testing.T) {
	d := asked(t, question(t, plaintext), httpbin(policy("{selector: {matchLabels: {app: other}}, rules: []}"))...)
	if len(d.Skipped) != 1 || d.Skipped[0].Object.Name != "p" || d.Skipped[0].Why == "" || len(d.Assumed) == 0 {
		t.Errorf("skipped %+v, assumed %+v", d.Skipped, d.Assumed)
	}
	if d.Findings == nil || d.Gaps == nil || d.Fixes == nil || d.Trace == nil || d.APIVersion != diagnose.APIVersion || d.Kind != diagnose.Kind {
		t.Error("a list is null, or the kind is not said")
	}
	if d.Request.Time != "2027-01-15T08:00:00Z" || d.Request.Protocol != "HTTP/1.1" {
		t.Errorf("the request is %+v", d.Request)
	}
}
