package cmd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// probeMesh has httpbin with a sidecar, and sleep, which calls it.
const probeMesh = `
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
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleep, namespace: foo}
spec:
  selector: {matchLabels: {app: sleep}}
  template:
    metadata: {labels: {app: sleep}}
    spec: {serviceAccountName: sleep, containers: [{name: sleep, image: example.com/curl}]}
`

const probeAuthentication = `
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt-example, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  jwtRules: [{issuer: idp, jwks: 'KEYS'}]
`

const probeAuthorization = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: test-exclude, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  action: DENY
  rules: [{from: [{source: {notRequestPrincipals: ["*"]}}], to: [{operation: {notPaths: [/healthz]}}]}]
`

// ambientProbeMesh is the same in ambient mode: ztunnel is the only proxy.
var ambientProbeMesh = strings.Replace(probeMesh, "labels: {istio-injection: enabled}", "labels: {istio.io/dataplane-mode: ambient}", 1)

const probeNow = 1_800_000_000

const (
	rbacDenied = "RBAC: access denied"
	jwtExpired = "Jwt is expired"
	notVerify  = "Jwt verification fails"
	fromHttpbn = `{"headers": {}}`
)

// probed is a case: what was read, what came back for each token, and what is to be said.
type probed struct {
	name, policies string
	mesh           string // "": probeMesh
	path           string
	replies        map[probe.Kind]*wire.Reply
	failures       map[probe.Kind]string
	change         func(*diagnose.Intent)
	expect         []string
	fixed          bool
	again          map[probe.Kind]*wire.Reply
	noClientProxy  bool
	next           string

	outcome map[probe.Kind]probe.Outcome
	code    diag.Code // of the first finding
	by      string    // who answered the given token
	exit    int
}

func (c probed) trials(t *testing.T) ([]probe.Trial, *mesh.Snapshot) {
	t.Helper()
	key := mint.RSA()
	objects, err := mesh.Parse([]byte(cmp.Or(c.mesh, probeMesh)+strings.ReplaceAll(c.policies, "KEYS", string(mint.JWKS(key)))), mesh.ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	token := mint.Token(key, `{"alg":"RS256"}`, fmt.Sprintf(`{"iss":"idp","sub":"me","exp":%d}`, probeNow+600))
	broken, _ := probe.Break(token)
	path := c.path
	if path == "" {
		path = "/headers"
	}
	shots, err := probe.Plan(probe.Matrix{
		Base: envoy.Request{Method: "GET", Authority: "httpbin:8000"}, Paths: []string{path}, Most: 10, Place: place{"header", "Authorization", "Bearer "}.putInto,
		Tokens: []probe.Token{{Kind: probe.None, Name: "no token"}, {Kind: probe.Given, Name: "token.jwt", Value: token}, {Kind: probe.Broken, Name: "broken signature", Value: broken}},
	})
	if err != nil {
		t.Fatal(err)
	}
	one := func(s probe.Shot, reply *wire.Reply) probe.Trial {
		in := diagnose.Intent{
			Target: mesh.Target{Type: mesh.TypeService, Name: "httpbin"}, Namespace: "foo", Port: diagnose.Port{Number: 8000}, Host: "httpbin:8000", HostGiven: true,
			Method: "GET", Path: s.Request.Path, Headers: s.Request.Headers, Time: probeNow,
			Caller: diagnose.Caller{From: mesh.Target{Type: mesh.TypeDeployment, Name: "sleep"}, FromNamespace: "foo", IP: netip.MustParseAddr("10.0.0.9")},
		}
		if c.change != nil {
			c.change(&in)
		}
		d, err := diagnose.Run(in, snap)
		if err != nil {
			t.Fatal(err)
		}
		sc := &scene{o: &probeOptions{}}
		sc.sender.hasProxy, sc.sender.workload.Ref.Name = !c.noClientProxy, "sleep"
		return probe.Trial{Shot: s, Result: probe.Result{Reply: reply, At: probeNow, Unsent: c.failures[s.Kind]}, Diagnosis: d, Question: observe.Question{
			Intent: in, Way: sc.wayOf(d), Ask: func(in diagnose.Intent) (*diagnose.Diagnosis, error) { return diagnose.Run(in, snap) },
		}}
	}
	var out []probe.Trial
	for _, s := range shots {
		trial := one(s, c.replies[s.Kind])
		if reply, ok := c.again[s.Kind]; ok {
			again := one(s, reply)
			trial.Again = &again
		}
		out = append(out, trial)
	}
	return out, snap
}

func (c probed) report(t *testing.T) *probe.Report {
	t.Helper()
	var expect []probe.Expectation
	for _, text := range c.expect {
		e, err := probe.ParseExpectation(text)
		if err != nil {
			t.Fatal(err)
		}
		expect = append(expect, e)
	}
	trials, snap := c.trials(t)
	r := probe.Hold(trials, expect, c.fixed)
	if err := (&probeOptions{app: &app{secrets: &secrets{}}}).propose(r, trials, snap); err != nil {
		t.Fatal(err)
	}
	r.From = probe.From{Kind: "Deployment", Namespace: "foo", Name: "sleep", Pod: "sleep-7d9f8c6b5-x2x4z", Container: "sleep", Proxy: !c.noClientProxy, Client: "curl"}
	r.To.URL = "http://httpbin:8000/headers"
	if c.next != "" {
		r.Next = []string{c.next}
	}
	return r
}

func all(o probe.Outcome) map[probe.Kind]probe.Outcome {
	return map[probe.Kind]probe.Outcome{probe.None: o, probe.Given: o, probe.Broken: o}
}

func but(o probe.Outcome, k probe.Kind, other probe.Outcome) map[probe.Kind]probe.Outcome {
	m := all(o)
	m[k] = other
	return m
}

func three(none, given, broken *wire.Reply) map[probe.Kind]*wire.Reply {
	return map[probe.Kind]*wire.Reply{probe.None: none, probe.Given: given, probe.Broken: broken}
}

// probedCases are the scenarios by recorded evidence; those that no rig can show are here
// and nowhere else.
func probedCases(t *testing.T) []probed {
	t.Helper()
	both := probeAuthentication + probeAuthorization
	denied, ok, bad := recorded(403, rbacDenied, 0), recorded(200, fromHttpbn, 0), recorded(401, notVerify, 0)
	return []probed{
		{name: "as-predicted", policies: both, replies: three(denied, ok, bad), outcome: all(probe.Agrees), by: "httpbin"},
		{name: "no-token-required", policies: probeAuthentication, replies: three(ok, ok, bad), outcome: all(probe.Agrees), by: "httpbin"},
		{name: "nothing-checks", replies: three(ok, ok, ok), outcome: all(probe.Agrees), by: "httpbin"},
		{
			name: "refused", policies: strings.Replace(both, "issuer: idp", "issuer: idp/", 1), by: "httpbin's proxy", outcome: all(probe.Agrees),
			replies: three(denied, recorded(401, "Jwt issuer is not configured", 0), recorded(401, "Jwt issuer is not configured", 0)),
			next:    "kubectl asmjwt why svc/httpbin -n foo --port 8000 --from deploy/sleep --host httpbin:8000 --path /headers --jwt-file token.jwt",
		},
		{
			name: "client-without-a-way", policies: both, replies: three(noWay(), noWay(), noWay()),
			outcome: all(probe.NotSeen), by: "sleep's own proxy", exit: exitUnknown,
		},
		{
			name: "clock", policies: both, replies: three(recorded(403, rbacDenied, 7200), recorded(401, jwtExpired, 7200), recorded(401, jwtExpired, 7200)),
			outcome: map[probe.Kind]probe.Outcome{probe.None: probe.Agrees, probe.Given: probe.Differs, probe.Broken: probe.Differs},
			code:    diag.ClockDiffers, by: "httpbin's proxy", exit: exitNo,
		},
		{
			name: "application", policies: both, replies: three(denied, recorded(403, `{"error": "not yours"}`, 0), bad),
			outcome: all(probe.Agrees), by: "httpbin",
		},
		{
			name: "application-silent", policies: both, replies: three(denied, recorded(401, "", 0, "server: gunicorn"), bad),
			outcome: but(probe.Agrees, probe.Given, probe.Differs), code: diag.ApplicationAnswered, by: "httpbin", exit: exitNo,
		},
		{
			name: "push-under-way", policies: both, replies: three(ok, ok, bad), again: map[probe.Kind]*wire.Reply{probe.None: denied},
			outcome: all(probe.Agrees), code: diag.PushUnderWay, by: "httpbin",
		},
		{
			name: "proxy-bypassed", policies: both, noClientProxy: true,
			change:  func(in *diagnose.Intent) { in.Caller.Plaintext = true },
			replies: three(past(200), past(200), past(200)),
			outcome: map[probe.Kind]probe.Outcome{probe.None: probe.Differs, probe.Given: probe.Agrees, probe.Broken: probe.Differs},
			code:    diag.ProxyBypassed, by: "httpbin, past every proxy", exit: exitNo,
		},
		{
			name: "another-hop", policies: probeAuthentication, noClientProxy: true,
			change:  func(in *diagnose.Intent) { in.Caller.Plaintext = true },
			replies: three(recorded(403, rbacDenied, 0, "server: istio-envoy"), ok, bad),
			outcome: but(probe.Agrees, probe.None, probe.Differs), code: diag.AnotherHop, by: "httpbin", exit: exitNo,
		},
		{
			name: "stale-policy", policies: both, replies: three(ok, ok, bad),
			outcome: but(probe.Agrees, probe.None, probe.Differs), code: diag.AnswerDiffers, by: "httpbin", exit: exitNo,
		},
		{
			name: "not-as-expected", policies: both, replies: three(denied, ok, bad), expect: []string{"none=401", "given=200", "broken=401"},
			outcome: all(probe.Agrees), by: "httpbin", exit: exitNo,
		},
		{
			name: "as-expected", policies: both, replies: three(denied, ok, bad), expect: []string{"none=403", "given=200", "broken=401"},
			outcome: all(probe.Agrees), by: "httpbin",
		},
		{
			name: "no-answer-in-time", policies: both, replies: three(denied, &wire.Reply{Failure: &wire.Failure{Kind: wire.TimedOut, Code: 28, Message: "Operation timed out after 10001 milliseconds with 0 bytes received"}}, bad),
			outcome: but(probe.Agrees, probe.Given, probe.NotSeen), by: "nobody", exit: exitUnknown,
		},
		{
			name: "wget", policies: both, replies: map[probe.Kind]*wire.Reply{probe.None: denied},
			failures: map[probe.Kind]string{
				probe.Given:  "GNU wget cannot send it: it takes header lines in its argv only, where others can read them",
				probe.Broken: "GNU wget cannot send it: it takes header lines in its argv only, where others can read them",
			},
			outcome: map[probe.Kind]probe.Outcome{probe.None: probe.Agrees, probe.Given: probe.NotSeen, probe.Broken: probe.NotSeen}, by: "nobody", exit: exitUnknown,
		},
		{
			name: "strict-and-plaintext", noClientProxy: true,
			policies: both + "\n---\n{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: strict, namespace: foo}, spec: {mtls: {mode: STRICT}}}\n",
			change:   func(in *diagnose.Intent) { in.Caller.Plaintext = true },
			replies:  three(reset(), reset(), reset()), outcome: all(probe.Agrees), by: "nobody",
		},
		{ // 40: the policies have selectors, and there is no waypoint, so that no token is looked at
			name: "ambient-lets-all-through", mesh: ambientProbeMesh, policies: probeAuthentication, noClientProxy: true,
			replies: three(recording(t, "ztunnel-lets-through"), recording(t, "ztunnel-lets-through"), recording(t, "ztunnel-lets-through")),
			expect:  []string{"none=403", "given=200", "broken=401"}, outcome: all(probe.Agrees), code: diag.NotEnforced, by: "httpbin", exit: exitNo,
		},
		{ // 40 again: a rule that asks for a principal is left out, and nothing else allows anything
			name: "ambient-refuses-all", mesh: ambientProbeMesh, policies: probeAuthentication + strings.Replace(probeAuthorization, "action: DENY\n  rules: [{from: [{source: {notRequestPrincipals", "rules: [{from: [{source: {requestPrincipals", 1), noClientProxy: true,
			replies: three(recording(t, "ztunnel-refuses"), recording(t, "ztunnel-refuses"), recording(t, "ztunnel-refuses")),
			expect:  []string{"given=200"}, outcome: all(probe.Agrees), code: diag.RuleDropped, by: "nobody", exit: exitNo,
		},
		{
			name: "undetermined", policies: both + "\n---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: from-office, namespace: foo}, spec: {action: DENY, rules: [{from: [{source: {remoteIpBlocks: [10.9.0.0/16]}}]}]}}\n",
			change:  func(in *diagnose.Intent) { in.Caller.IP = netip.Addr{} },
			replies: three(denied, ok, bad), outcome: but(probe.Agrees, probe.Given, probe.Undetermined), by: "httpbin", exit: exitUnknown,
		},
	}
}

func TestWhatWasSeenIsHeldAgainstThePredictionAndExplained(t *testing.T) {
	for _, c := range probedCases(t) {
		t.Run(c.name, func(t *testing.T) {
			r := c.report(t)
			for _, row := range r.Rows {
				if want := c.outcome[row.Token]; row.Outcome != want {
					t.Errorf("%s: %s (%s), want %s; predicted %+v, reasons %+v", row.Name, row.Outcome, row.Note, want, row.Predicted, row.Reasons)
				}
				if row.Token == probe.Given && row.AnsweredBy.Name != c.by {
					t.Errorf("the given token was answered by %q (%s), want %q", row.AnsweredBy.Name, row.AnsweredBy.Evidence, c.by)
				}
			}
			if c.code != "" && (len(r.Findings) == 0 || r.Findings[0].Code != c.code) {
				t.Errorf("findings %+v, want %s first", r.Findings, c.code)
			}
			if code := exitCodeOfProbe(r); code != c.exit {
				t.Errorf("exit code %d, want %d", code, c.exit)
			}
			probeGolden(t, c.name, r)
		})
	}
}

// probeGolden holds the screens against their files; each fits 80 columns.
func probeGolden(t *testing.T, name string, r *probe.Report) {
	t.Helper()
	var text bytes.Buffer
	if err := render.Probe(&text, r, render.NewStyle(false)); err != nil {
		t.Fatal(err)
	}
	fits(t, text.String(), render.Columns)
	file := filepath.Join("testdata", "probe", name+".golden")
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || text.String() != string(want) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, text.String(), want)
	}
}

func TestTheFormsOfAReportAreTheSameReport(t *testing.T) {
	for _, c := range probedCases(t) {
		r := c.report(t)
		var text bytes.Buffer
		if err := render.JSON(&text, r); err != nil {
			t.Fatal(err)
		}
		var back probe.Report
		if err := json.Unmarshal(text.Bytes(), &back); err != nil || back.Summary != r.Summary || len(back.Rows) != len(r.Rows) || back.Kind != "Probe" {
			t.Errorf("%s: %v, %+v", c.name, err, back.Summary)
		}
		text.Reset()
		if err := render.ProbeJUnit(&text, r); err != nil {
			t.Fatal(err)
		}
		var suites struct {
			Suites []struct {
				Tests    int        `xml:"tests,attr"`
				Failures int        `xml:"failures,attr"`
				Errors   int        `xml:"errors,attr"`
				Cases    []struct{} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal(text.Bytes(), &suites); err != nil || len(suites.Suites) != 1 {
			t.Fatalf("%s: %v\n%s", c.name, err, text.String())
		}
		s := suites.Suites[0]
		if want := map[int][2]bool{exitYes: {false, false}, exitNo: {true, false}, exitUnknown: {false, true}}[c.exit]; (s.Failures > 0) != want[0] || (s.Errors > 0) != want[1] || s.Tests != 3 || len(s.Cases) != 3 {
			t.Errorf("%s: exit %d, %d tests, %d failures, %d errors", c.name, c.exit, s.Tests, s.Failures, s.Errors)
		}
	}
}

func TestTheREADMEShowsAScreenOfProbeAsItIs(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "probe", "as-predicted.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "\n"+string(golden)+"```\n") {
		t.Errorf("the README does not show\n%s", golden)
	}
}
