package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// probed runs probe, with a token in a file, and returns what it found. The first line of
// its text is logged: it is what a person acts on.
func probed(t *testing.T, args ...string) (probe.Report, int) {
	t.Helper()
	args = append([]string{rig.Plugin, "probe"}, args...)
	res := run(t, harness.Command{Args: append(slices.Clone(args), "-o", "json")})
	var r probe.Report
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		t.Fatalf("%q: exit code %d: %s%s", args[1:], res.Code, res.Stdout, res.Stderr)
	}
	return r, res.Code
}

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token.jwt")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tells reports whether a report tells a code: of a finding, or of why a row is refused.
func tells(r probe.Report, code diag.Code) bool {
	return slices.ContainsFunc(r.Findings, func(f diagnose.Finding) bool { return f.Code == code }) ||
		slices.ContainsFunc(r.Rows, func(row probe.Row) bool { return row.Code == code })
}

// told is a report in a few lines, for failures.
func told(r probe.Report) string {
	var out strings.Builder
	for _, row := range r.Rows {
		status := -1
		if row.Observed != nil {
			status = row.Observed.Status
		}
		fmt.Fprintf(&out, "%s %s: %s, predicted %s %d %q (%s), observed %d, by %s, %s\n", row.Path, row.Name, row.Outcome, row.Predicted.Decision, row.Predicted.Status, row.Predicted.Body,
			row.Code, status, row.AnsweredBy.Name, row.Note)
		for _, reason := range row.Reasons {
			fmt.Fprintf(&out, "   %s: %s (%s)\n", reason.Cause, reason.Message, reason.Evidence)
		}
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&out, "%s %s\n", f.Code, f.Message)
	}
	return out.String() + strings.Join(r.Next, "\n")
}

// fromSleep are the arguments of a probe from sleep to httpbin.
func fromSleep(args ...string) []string {
	return append([]string{"--from", "deploy/sleep", "-n", "foo", "http://httpbin:8000/headers"}, args...)
}

// mesh of the recipe, with keys in the policy, so that nothing has to be fetched.
func inlineKeys() string { return "jwks: '" + string(mint.JWKS(harness.DemoKey())) + "'" }

func authentication(rule string) string { return requestAuthentication("foo", "httpbin", rule) }

func policy(name, spec string) string {
	return "---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: " + name + ", namespace: foo}, spec: {selector: {matchLabels: {app: httpbin}}, " + spec + "}}\n"
}

const anyPrincipal = `rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]`

// broken is a scenario of the list: what is applied, what probe is to find, and how it is
// mended.
type broken struct {
	name   string
	number int // of the scenario
	yaml   string
	token  string
	args   []string
	// expect is what a user wants; it fails until the mesh is mended.
	expect []string
	// code is the cause that probe names, body what the wrong answer has in it.
	code diag.Code
	body string
	// mend is what to apply, or the token to send, where no fix of why's does it.
	mend, mendToken string
}

func scenarios() []broken {
	k := harness.DemoKey()
	good := token(k, unexpired)
	withKeys := authentication(inlineKeys())
	old, next := "jwks: '"+string(mint.JWKS(k.WithKid("old")))+"'", mint.OtherRSA().WithKid("next")
	nextKeys := "jwks: '" + string(mint.JWKS(next)) + "'"
	return []broken{
		{
			name: "a RequestAuthentication alone asks for no token", number: 2, yaml: withKeys, token: good,
			expect: []string{"none=403", "given=200", "broken=401"}, code: diag.TokenNotRequired,
		},
		{
			name: "the issuer has a slash too many", number: 3, yaml: strings.Replace(withKeys, harness.DemoIssuer, harness.DemoIssuer+"/", 1) + policy("p", anyPrincipal), token: good,
			expect: []string{"given=200"}, code: diag.TokenIssuer, body: "Jwt issuer is not configured",
		},
		{
			name: "the audience is another", number: 4, yaml: authentication(inlineKeys()+", audiences: [api]") + policy("p", anyPrincipal), token: token(k, unexpired+`,"aud":"web"`),
			expect: []string{"given=200"}, code: diag.TokenAudience, body: "Audiences in Jwt are not allowed",
		},
		{
			name: "no rule matches", number: 5, yaml: withKeys + policy("p", `rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {paths: [/header]}}]}]`), token: good,
			expect: []string{"given=200"}, code: diag.PathNearMiss, body: "RBAC: access denied",
		},
		{
			name: "a token without sub has no principal", number: 6, yaml: withKeys + policy("p", anyPrincipal),
			token:  mint.Token(k, `{"alg":"RS256","kid":"`+k.Kid+`"}`, `{"iss":"`+harness.DemoIssuer+`"`+unexpired+`}`),
			expect: []string{"given=200"}, code: diag.PrincipalWithoutID, body: "RBAC: access denied",
		},
		{
			name: "a principal is written without the issuer", number: 7, yaml: withKeys + policy("p", `rules: [{from: [{source: {requestPrincipals: ["alice"]}}]}]`),
			token:  mint.Token(k, `{"alg":"RS256","kid":"`+k.Kid+`"}`, `{"iss":"`+harness.DemoIssuer+`","sub":"alice"`+unexpired+`}`),
			expect: []string{"given=200"}, code: diag.PrincipalFormat, body: "RBAC: access denied",
		},
		{
			name: "the key has been rotated", number: 14, yaml: authentication(old) + policy("p", anyPrincipal), token: token(next, unexpired),
			expect: []string{"given=200"}, code: diag.TokenNoKey, body: "Jwks doesn't have key to match kid or alg from Jwt", mend: authentication(nextKeys),
		},
		{
			name: "a key without kid takes a token of another key", number: 19, yaml: authentication("jwks: '"+string(mint.JWKS(mint.OtherRSA().WithKid("")))+"'") + policy("p", anyPrincipal), token: good,
			expect: []string{"given=200"}, code: diag.TokenSignature, body: "Jwt verification fails", mend: withKeys,
		},
		{
			name: "the token is looked for in another header", number: 20, yaml: authentication(inlineKeys()+", fromHeaders: [{name: x-jwt}]") + policy("p", anyPrincipal), token: good,
			expect: []string{"given=200"}, code: diag.TokenNotFound, body: "RBAC: access denied",
		},
		{
			name: "the preflight of a browser has no token", number: 24, yaml: withKeys + policy("p", anyPrincipal),
			args:   []string{"--method", "OPTIONS", "-H", "Origin: https://shop.example.com", "-H", "Access-Control-Request-Method: GET"},
			expect: []string{"none=200"}, code: diag.PreflightRefused, body: "RBAC: access denied",
			mend: policy("preflight", `rules: [{to: [{operation: {methods: [OPTIONS]}}]}]`),
		},
		{
			name: "the selector has a typing error", number: 28, yaml: withKeys + strings.Replace(policy("p", `action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}]}]`), "app: httpbin", "app: httpbinn", 1), token: good,
			expect: []string{"none=403", "given=200"}, code: diag.SelectorMisses,
		},
		{
			name: "a DENY beats the ALLOW", number: 32, yaml: withKeys + policy("deny", `action: DENY, rules: [{to: [{operation: {paths: [/headers]}}]}]`) + policy("p", anyPrincipal), token: good,
			expect: []string{"given=200"}, code: diag.DenyWins, body: "RBAC: access denied",
		},
		{
			name: "the token has expired", number: 49, yaml: withKeys + policy("p", anyPrincipal), token: token(k, expired),
			expect: []string{"given=200"}, code: diag.TokenExpired, body: "Jwt is expired", mendToken: good,
		},
		{
			name: "the token is masked, as documents print it", number: 50, yaml: withKeys + policy("p", anyPrincipal), token: good[:len(good)-4] + "****",
			expect: []string{"given=200"}, code: diag.TokenMalformed, body: "Jwt signature is an invalid Base64url encoded", mendToken: good,
		},
		{
			name: "the control plane cannot resolve a short name", number: 1, yaml: authentication("jwksUri: 'http://nginx-proxy"+keyserver.PathKeys+"'") + policy("p", anyPrincipal), token: good,
			expect: []string{"given=200"}, code: diag.KeysNotFetched, body: "Jwt verification fails", mend: authentication("jwksUri: '" + harness.DemoKeys + "'"),
		},
	}
}

// What the rig cannot show, each with the reason; the reports of probe for them are tested
// from recorded evidence (pkg/cmd, TestWhatWasSeenIsHeldAgainstThePredictionAndExplained,
// and the tests of why for what is predicted).
//
//   - 40, ambient: there is no ztunnel here, and no waypoint.
//   - an application that is reached past its proxy (43): every pod's traffic is captured.
//   - an application that answers 401 with an empty body, as some do.

func TestProbe_EachBrokenMeshIsFoundWithItsCauseAndMended(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(fmt.Sprintf("%d %s", s.number, s.name), func(t *testing.T) {
			apply(t, s.yaml)
			args := slices.Concat(fromSleep(), s.args)
			if s.token != "" {
				args = append(args, "--jwt-file", tokenFile(t, s.token))
			}
			for _, e := range s.expect {
				args = append(args, "--expect", e)
			}
			var r probe.Report
			var code int
			if err := harness.Eventually(t.Context(), soon, func() error {
				// Nothing but its own push is on the way: another row is the answer before it.
				if r, code = probed(t, args...); code != 1 || r.Summary.Differ > 0 || r.Summary.Unexpected == 0 || !tells(r, s.code) {
					return fmt.Errorf("exit code %d, want 1, with %s:\n%s", code, s.code, told(r))
				}
				if s.body != "" && !slices.ContainsFunc(r.Rows, func(row probe.Row) bool { return row.Unexpected() && row.Observed.Body == s.body }) {
					return fmt.Errorf("no row has %q:\n%s", s.body, told(r))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			s.mendIt(t, r, args)
			if err := harness.Eventually(t.Context(), soon, func() error {
				if r, code = probed(t, s.mendedArgs(t, args)...); code != 0 {
					return fmt.Errorf("exit code %d after it was mended:\n%s", code, told(r))
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// mendIt applies what the scenario names, or the first fix of the command that probe
// leads to.
func (s broken) mendIt(t *testing.T, r probe.Report, _ []string) {
	t.Helper()
	switch {
	case s.mendToken != "":
		return
	case s.mend != "":
		apply(t, s.mend)
		return
	case len(r.Next) != 1:
		t.Fatalf("no next step:\n%s", told(r))
	}
	// The first fixes may be changes of the request, such as another token.
	const most = 5
	for n := 1; n <= most; n++ {
		fixed := run(t, harness.Command{Args: []string{"sh", "-c", fmt.Sprintf("%s -o fix=%d", r.Next[0], n)}})
		if fixed.Code == 0 && strings.Contains(fixed.Stdout, "kind:") {
			apply(t, fixed.Stdout)
			return
		}
		t.Logf("fix %d: %s", n, strings.TrimSpace(fixed.Stderr))
	}
	t.Fatalf("none of the first %d fixes is one of objects: %s", most, r.Next[0])
}

func (s broken) mendedArgs(t *testing.T, args []string) []string {
	t.Helper()
	if s.mendToken == "" {
		return args
	}
	args = slices.Clone(args)
	args[slices.Index(args, "--jwt-file")+1] = tokenFile(t, s.mendToken)
	return args
}

// The 23rd: the gateway takes the token off, and the workload behind asks for it.
func TestProbe_AGatewayThatTakesTheTokenIsFoundAndMended(t *testing.T) {
	keys := inlineKeys()
	gatewayRule := requestAuthentication("istio-system", "istio-ingressgateway", keys)
	apply(t, plainRoute+gatewayRule+"---\n"+authentication(keys)+policy("p", anyPrincipal))
	args := []string{
		"--from", "deploy/outside", "-n", "foo", "--to-gateway", "deploy/istio-ingressgateway.istio-system", "http://api.example.com/anything/orders",
		"--jwt-file", tokenFile(t, token(harness.DemoKey(), unexpired)), "--expect", "given=200",
	}
	var r probe.Report
	var code int
	if err := harness.Eventually(t.Context(), soon, func() error {
		if r, code = probed(t, args...); code != 1 || r.Summary.Differ > 0 || !tells(r, diag.TokenTaken) {
			return fmt.Errorf("exit code %d:\n%s", code, told(r))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if by := r.Rows[1].AnsweredBy; by.Name != "httpbin's proxy" {
		t.Errorf("answered by %+v", by)
	}
	apply(t, strings.Replace(gatewayRule, keys, keys+", forwardOriginalToken: true", 1))
	if err := harness.Eventually(t.Context(), soon, func() error {
		if r, code = probed(t, args...); code != 0 {
			return fmt.Errorf("exit code %d:\n%s", code, told(r))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// 0.4: a key set that the proxy cannot use leaves the door open, and probe shouts it.
func TestProbe_ADoorThatAnUnusableKeySetLeavesOpenIsFound(t *testing.T) {
	uri := strings.TrimSuffix(harness.DemoKeys, keyserver.PathKeys) + keyserver.PathHTML
	q := httpbinOf("foo")("/headers")
	q.Token = forged
	wantSoon(t, q, fromApp) // what is in force is no policy at all
	apply(t, authentication("jwksUri: '"+uri+"'"))
	wantConfig(t, "foo", "httpbin", `"error_state"`)
	r, code := probed(t, fromSleep("--jwt-file", tokenFile(t, token(harness.DemoKey(), unexpired)), "--expect", "broken=401")...)
	if code != 1 || !tells(r, diag.ListenerRefused) || r.Summary.Differ > 0 || r.Summary.Unexpected != 1 {
		t.Errorf("exit code %d:\n%s", code, told(r))
	}
}
