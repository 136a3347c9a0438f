package observe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// world is a sidecar and a gateway with policies, and a client with an identity.
const world = `
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleep, namespace: foo}
spec:
  selector: {matchLabels: {app: sleep}}
  template:
    metadata: {labels: {app: sleep}}
    spec: {serviceAccountName: sleep, containers: [{name: sleep, image: example.com/curl}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: idp, namespace: foo}
spec:
  jwtRules: [{issuer: idp, jwks: 'KEYS'}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: rules, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  rules:
  - to: [{operation: {paths: [/open]}}]
  - to: [{operation: {paths: [/token]}}]
    from: [{source: {requestPrincipals: ["*"]}}]
  - to: [{operation: {paths: [/sleep]}}]
    from: [{source: {principals: ["cluster.local/ns/foo/sa/sleep"]}}]
`

const now = 1_800_000_000

func TestADifferenceIsExplainedByTheEvidence(t *testing.T) {
	key := mint.RSA()
	snap := load(t, strings.Replace(world, "KEYS", string(mint.JWKS(key)), 1))
	token := func(exp int64) envoy.Header {
		return envoy.Header{Name: "Authorization", Value: "Bearer " + mint.Token(key, `{"alg":"RS256"}`, fmt.Sprintf(`{"iss":"idp","sub":"me","exp":%d}`, exp))}
	}
	ask := func(path string, change func(*diagnose.Intent)) diagnose.Intent {
		in := diagnose.Intent{
			Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, Namespace: "foo", Method: "GET", Path: path, Host: "httpbin.foo", Time: now,
			Caller: diagnose.Caller{Plaintext: true, IP: netip.MustParseAddr("10.0.0.9")},
		}
		if change != nil {
			change(&in)
		}
		return in
	}
	withToken := func(exp int64) func(*diagnose.Intent) {
		return func(in *diagnose.Intent) { in.Headers = append(in.Headers, token(exp)) }
	}
	const envoyHeaders = "HTTP/1.1 403 Forbidden\ncontent-length: 19\ncontent-type: text/plain\nserver: istio-envoy\n"
	tests := []struct {
		name string
		in   diagnose.Intent
		seen string
		// first is the likeliest cause; empty: they agree. fits says that it was asked again.
		first string
		fits  bool
		also  []string
	}{
		{"the same denial agrees", ask("/x", nil), "403 RBAC: access denied", "", false, nil},
		{"a status alone agrees", ask("/x", nil), "403", "", false, nil},
		{"the log of the same denial agrees", ask("/x", nil), `{"response_code":403,"response_code_details":"rbac_access_denied_matched_policy[none]"}`, "", false, nil},
		{"HEAD has no body, but its length", ask("/x", nil), envoyHeaders, "", false, nil},
		{"allowed is whatever the application answers", ask("/open", nil), "404 page not found", "", false, nil},
		{"an application's own 403 agrees with allowed", ask("/open", nil), `403 {"error": "not yours"}`, "", false, nil},
		{"no way to the application agrees with allowed", ask("/open", nil), "503 no healthy upstream", "", false, nil},
		{"a 403 of nobody knows who does not", ask("/open", nil), "403", "application", false, []string{"push"}},
		{"one that is HTML is the application's", ask("/open", nil), "HTTP/1.1 403 Forbidden\ncontent-type: text/html\nserver: nginx\n", "application", false, nil},
		{"a denial by policy where none is due", ask("/open", nil), "403 RBAC: access denied", "hop", false, []string{"push", "pod"}},
		{"one that came through a proxy", ask("/open", nil), envoyHeaders + "x-envoy-upstream-service-time: 3\n\nRBAC: access denied", "hop", false, nil},
		{"one that did not", ask("/open", nil), envoyHeaders + "\nRBAC: access denied", "push", false, []string{"hop"}},
		{"an answer past the proxy", ask("/x", nil), "HTTP/1.1 200 OK\nserver: gunicorn\n\nhi", "bypass", false, []string{"push"}},
		{"an answer of Envoy's that should not be", ask("/x", nil), "HTTP/1.1 200 OK\nserver: istio-envoy\nx-envoy-upstream-service-time: 1\n\nhi", "push", false, nil},
		{"another body than the proxy's", ask("/x", nil), `403 {"error": "no"}`, "application", false, nil},
		{"a route that is missing", ask("/x", nil), `[2026-01-01T10:00:00.000Z] "GET /x HTTP/1.1" 404 NR route_not_found - "-"`, "hop", false, nil},
		{"another rule decided", ask("/open", nil), `{"response_code":403,"response_code_details":"rbac_access_denied_matched_policy[ns[bar]-policy[deny]-rule[2]]"}`, "push", false, nil},
		{"another request", ask("/x", nil), "> GET /open HTTP/1.1\n> Host: httpbin.foo\n>\n< HTTP/1.1 200 OK\n< server: istio-envoy\n<\n", "request", true, nil},
		{"a token that the question does not have", ask("/open", nil), "401 Jwt is expired", "token", false, nil},
		{"a token that is missing, where nothing requires one", ask("/open", nil), "401 Jwt is missing", "push", false, []string{"hop"}},
		{"a token that is missing although there was one", ask("/token", withToken(now+3600)), "401 Jwt is missing", "push", false, []string{"hop"}},
		{"a 401 of nobody knows who", ask("/open", nil), "401", "application", false, nil},
		{"a log that says no ALLOW policy matched", ask("/open", nil), `{"response_code":403,"response_code_details":"rbac_access_denied_matched_policy[none]"}`, "hop", false, nil},
		{"a token that was not sent", ask("/token", withToken(now+3600)), "> GET /token HTTP/1.1\n> Host: httpbin.foo\n>\n< HTTP/1.1 403 Forbidden\n<\nRBAC: access denied", "token", true, nil},
		{"a token that did not arrive", ask("/token", withToken(now+3600)), "403 RBAC: access denied", "token", true, []string{"hop"}},
		{"a clock that is ahead", ask("/token", withToken(now+300)), "401 Jwt is expired", "clock", true, []string{"token"}},
		{"a clock that would be wrong by a year is less likely than another token", ask("/token", withToken(now+365*86400)), "401 Jwt is expired", "token", false, []string{"clock"}},
		{"an answer of another time", ask("/token", withToken(now-3600)), "HTTP/1.1 200 OK\ndate: Fri, 15 Jan 2027 06:00:00 GMT\nserver: istio-envoy\nx-envoy-upstream-service-time: 1\n", "clock", true, nil},
		{"a token that was valid then", ask("/token", withToken(now-3600)), "200", "clock", true, nil},
		{"other keys", ask("/token", withToken(now+3600)), "401 Jwt verification fails", "keys", false, []string{"token"}},
		{"a client without a sidecar", ask("/sleep", func(in *diagnose.Intent) {
			in.Caller = diagnose.Caller{From: mesh.Target{Type: mesh.TypeDeployment, Name: "sleep"}, FromNamespace: "foo"}
		}), "403 RBAC: access denied", "identity", true, nil},
		{"no HTTP at all", ask("/open", nil), "closed", "identity", false, nil},
		{"no connection", ask("/open", nil), "curl: (7) Failed to connect", "hop", false, nil},
		{"one of several answers that are left", ask("/sleep", func(in *diagnose.Intent) { in.Caller = diagnose.Caller{} }), "403 RBAC: access denied", "", false, nil},
		{"none of several answers that are left", ask("/sleep", func(in *diagnose.Intent) { in.Caller = diagnose.Caller{} }), "401 Jwt is expired", "token", false, nil},
	}
	run := func(in diagnose.Intent) (*diagnose.Diagnosis, error) { return diagnose.Run(in, snap) }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := run(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			a, err := Parse(tt.seen)
			if err != nil {
				t.Fatal(err)
			}
			before := len(tt.in.Headers)
			got := Compare(a, d, Question{Intent: tt.in, Ask: run})
			if got.Agrees != (tt.first == "") {
				t.Fatalf("agrees: %v (%s), the verdict is %d %s", got.Agrees, got.Note, d.Verdict.Status, d.Verdict.Body)
			}
			if len(tt.in.Headers) != before {
				t.Error("the question was changed")
			}
			if tt.first == "" {
				return
			}
			if len(got.Reasons) == 0 || got.Reasons[0].Cause != tt.first || got.Reasons[0].Fits != tt.fits {
				t.Fatalf("the reasons are %+v, want %s (fits: %v) first", got.Reasons, tt.first, tt.fits)
			}
			for _, cause := range tt.also {
				if !slices.ContainsFunc(got.Reasons, func(r diagnose.Reason) bool { return r.Cause == cause }) {
					t.Errorf("%s is not among the reasons: %+v", cause, got.Reasons)
				}
			}
			for _, r := range got.Reasons {
				if r.Message == "" || r.Fits && r.Evidence == "" {
					t.Errorf("a reason without words: %+v", r)
				}
			}
		})
	}
}

func load(t *testing.T, text string) *mesh.Snapshot {
	t.Helper()
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{File: "world.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := snap.Check(); len(wrong) > 0 {
		t.Fatal(wrong[0])
	}
	return snap
}

func TestWhatAnAnswerItselfTellsComesFirst(t *testing.T) {
	key := mint.RSA()
	keys := string(mint.JWKS(key))
	snap := load(t, strings.Replace(world, "KEYS", keys, 1))
	required := load(t, strings.Replace(world, "jwks: 'KEYS'", "presence: REQUIRED, jwks: '"+keys+"'", 1))
	noAllow := load(t, strings.Replace(strings.Replace(world, "KEYS", keys, 1), "spec:\n  selector: {matchLabels: {app: httpbin}}\n  rules:", "spec:\n  selector: {matchLabels: {app: httpbin}}\n  action: DENY\n  rules:", 1))
	token := envoy.Header{Name: "Authorization", Value: "Bearer " + mint.Token(key, `{"alg":"RS256"}`, fmt.Sprintf(`{"iss":"idp","sub":"me","exp":%d}`, now+3600))}
	for _, tt := range []struct {
		name    string
		snap    *mesh.Snapshot
		headers []envoy.Header
		dump    bool
		seen    string
		cause   string
		lead    string
	}{
		{"nothing requires a token", snap, nil, false, "401 Jwt is missing", "push", "the proxy requires one"},
		{"nothing requires a token, and one was sent", snap, []envoy.Header{token}, false, "401 Jwt is missing", "push", "the proxy requires one"},
		{"a token is required, and did not arrive", required, []envoy.Header{token}, false, "401 Jwt is missing", "token", ""},
		{"it cannot be asked again", required, []envoy.Header{token}, true, "401 Jwt is missing", "token", ""},
		{"no ALLOW policy matched, and there is none", noAllow, nil, false, `{"response_code":403,"response_code_details":"rbac_access_denied_matched_policy[none]"}`, "push", "the proxy has an ALLOW policy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := diagnose.Intent{
				Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, Namespace: "foo", Method: "GET", Path: "/x", Host: "httpbin.foo", Time: now,
				Caller: diagnose.Caller{Plaintext: true, IP: netip.MustParseAddr("10.0.0.9")}, Headers: tt.headers,
			}
			if len(tt.headers) > 0 {
				in.Path = "/token"
			}
			run := func(in diagnose.Intent) (*diagnose.Diagnosis, error) { return diagnose.Run(in, tt.snap) }
			d, err := run(in)
			if err != nil {
				t.Fatal(err)
			}
			a, err := Parse(tt.seen)
			if err != nil {
				t.Fatal(err)
			}
			q := Question{Intent: in, Ask: run}
			if tt.dump {
				q.Ask = nil
			}
			got := Compare(a, d, q)
			if got.Agrees || got.Reasons[0].Cause != tt.cause || !strings.Contains(got.Lead, tt.lead) || tt.lead == "" && got.Lead != "" {
				t.Errorf("got %q: %+v", got.Lead, got.Reasons)
			}
			for _, r := range got.Reasons {
				if strings.Contains(r.Message, "another token was sent") || strings.Contains(r.Message, "the request had a token") {
					t.Errorf("%s", r.Message)
				}
			}
		})
	}
}
