package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// livePolicies let /headers through, and nothing else without a token.
const livePolicies = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: live, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  jwtRules: [{issuer: "` + harness.DemoIssuer + `", jwksUri: "http://nginx-proxy.foo.svc.cluster.local/get_jwks"}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: live, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  action: DENY
  rules: [{from: [{source: {notRequestPrincipals: ["*"]}}], to: [{operation: {notPaths: [/headers]}}]}]
`

func httpbin(path string) harness.Ask {
	return harness.Ask{From: "sleep", Namespace: "foo", URL: "http://httpbin.foo:8000" + path}
}

var denied = `403 "RBAC: access denied"`

func TestWhyReadsTheMeshThatAnswers(t *testing.T) {
	apply(t, livePolicies)
	wantSoon(t, httpbin("/get"), denied)
	for _, target := range []string{"deploy/httpbin", "svc/httpbin"} {
		for _, path := range []string{"/get", "/headers"} {
			answer, err := rig.Ask(t.Context(), httpbin(path))
			if err != nil {
				t.Fatal(err)
			}
			v, err := rig.Why(t.Context(), "", target, "-n", "foo", "--path", path, "--from", "deploy/sleep")
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Agrees(answer); err != nil {
				t.Errorf("%s %s: %v\n%s", target, path, err, v.Text)
			}
		}
	}
}

// grantOf turns "list authorizationpolicies.security.istio.io in foo" into a right.
func grantOf(t *testing.T, permission string) harness.Grant {
	t.Helper()
	verb, rest, _ := strings.Cut(permission, " ")
	what, namespace, _ := strings.Cut(rest, " in ")
	what, name, named := strings.Cut(what, "/")
	resource, group, _ := strings.Cut(what, ".")
	if verb == "" || resource == "" {
		t.Fatalf("no right: %q", permission)
	}
	g := harness.Grant{Namespace: namespace, Verbs: []string{verb}, Group: group, Resources: []string{resource}}
	if namespace == "all namespaces" {
		g.Namespace = ""
	}
	if named {
		g.Names = []string{name}
	}
	return g
}

// A user who has no rights asks, is told which right is lacking, gets just that, and asks
// again, until there is a verdict: the one that the administrator gets.
func TestALadderOfRightsLeadsToTheVerdict(t *testing.T) {
	apply(t, livePolicies)
	wantSoon(t, httpbin("/get"), denied)
	for _, ladder := range []struct {
		user string
		args []string
	}{
		{"sidecar", []string{"deploy/httpbin", "-n", "foo", "--path", "/headers", "--from", "deploy/sleep"}},
		{"gateway", []string{"deploy/istio-ingressgateway", "-n", "istio-system", "--path", "/headers"}},
	} {
		t.Run(ladder.user, func(t *testing.T) {
			admin, err := rig.Why(t.Context(), "", ladder.args...)
			if err != nil || admin.Decision == "Undetermined" {
				t.Fatalf("%v\n%s", err, admin.Text)
			}
			var grants []harness.Grant
			var asked []string
			const most = 40
			for len(grants) < most {
				kubeconfig, err := rig.User(t.Context(), ladder.user, grants...)
				if err != nil {
					t.Fatal(err)
				}
				args := append([]string{rig.Plugin, "why", "-o", "json"}, ladder.args...)
				res := run(t, harness.Command{Args: args, Kubeconfig: kubeconfig})
				var d struct {
					Verdict   harness.Verdict
					DependsOn []struct{ Hint string }
				}
				if err := json.Unmarshal([]byte(res.Stdout), &d); err != nil {
					t.Fatalf("rung %d: exit %d: %s", len(grants), res.Code, res.Stderr)
				}
				if d.Verdict.Decision != "Undetermined" {
					if d.Verdict.Status != admin.Status || res.Code == 3 {
						t.Errorf("exit %d, %d, and the administrator gets %d", res.Code, d.Verdict.Status, admin.Status)
					}
					t.Logf("%d rights: %s", len(asked), strings.Join(asked, "; "))
					return
				}
				at := slices.IndexFunc(d.DependsOn, func(on struct{ Hint string }) bool { return strings.HasPrefix(on.Hint, "ask for: ") })
				if at < 0 || res.Code != 3 {
					t.Fatalf("rung %d: exit %d, and no right is named\n%s", len(grants), res.Code, res.Stdout)
				}
				permission := strings.TrimPrefix(d.DependsOn[at].Hint, "ask for: ")
				if slices.Contains(asked, permission) {
					t.Fatalf("rung %d: %s was granted, and is asked for again", len(grants), permission)
				}
				asked = append(asked, permission)
				grants = append(grants, grantOf(t, permission))
			}
			t.Fatalf("no verdict after %d rights: %v", most, asked)
		})
	}
}

func TestATokenIsNowhereToBeSeen(t *testing.T) {
	apply(t, livePolicies)
	wantSoon(t, httpbin("/get"), denied)
	secret := token(harness.DemoKey(), unexpired)
	kubeconfig, err := rig.User(t.Context(), "quiet", harness.Grant{Verbs: []string{"get", "list"}, Group: "*", Resources: []string{"*"}}, harness.Grant{Verbs: []string{"get", "list"}, Resources: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	mark, err := rig.AuditMark()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	seen := make(chan string, 1)
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				if at := inProcessList(signature(secret)); at != "" {
					select {
					case seen <- at:
					default:
					}
				}
			}
		}
	}()
	res := run(t, harness.Command{
		Args:  []string{rig.Plugin, "why", "deploy/httpbin", "-n", "foo", "--path", "/get", "--from", "deploy/sleep", "--evidence", "objects", "--jwt-file", "-", "-v=9", "--jwks", "http://nginx-proxy.foo.svc.cluster.local/get_jwks=" + keysFile(t)},
		Stdin: secret, Kubeconfig: kubeconfig,
	})
	close(done)
	if res.Code != 0 || !strings.Contains(res.Stderr, "curl -v -XGET") {
		t.Fatalf("exit %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	select {
	case at := <-seen:
		t.Errorf("the token is in the command line of %s", at)
	default:
	}
	config, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(config), `"token":"`)
	own, _, _ := strings.Cut(rest, `"`)
	payload := strings.Split(secret, ".")[1]
	events, log, err := rig.AuditSince(mark)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"stdout": res.Stdout, "the log of -v=9": res.Stderr, "the audit log": string(log)} {
		for what, piece := range map[string]string{"signature": signature(secret), "payload": payload, "credential": own} {
			if piece == "" || strings.Contains(text, piece) {
				t.Errorf("the %s is in %s", what, name)
			}
		}
	}
	requests := 0
	var asked []string
	for _, e := range events {
		if e.UserAgent != "kubectl-asmjwt" {
			continue
		}
		requests++
		asked = append(asked, e.RequestURI)
		if e.Object.Resource == "secrets" {
			t.Errorf("a Secret is read: %s", e.RequestURI)
		}
		if e.Verb != "get" && e.Verb != "list" {
			t.Errorf("%s %s", e.Verb, e.RequestURI)
		}
	}
	t.Logf("%d requests", requests)
	const most = 24
	if requests == 0 || requests > most {
		t.Errorf("%d requests:\n%s", requests, strings.Join(asked, "\n"))
	}
}

// inProcessList is the process whose command line has a text.
func inProcessList(text string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && strings.Contains(string(line), text) {
			return f
		}
	}
	return ""
}

func TestDoctorKnowsTheMesh(t *testing.T) {
	res := run(t, harness.Command{Args: []string{rig.Plugin, "doctor", "-n", "foo", "-o", "json"}})
	var r struct {
		Versions []struct{ What, Version string }
		Rights   []struct{ What, Allowed string }
		Proxy    []struct{ What, Allowed string }
	}
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil || res.Code != 0 {
		t.Fatalf("exit %d: %v\n%s", res.Code, err, res.Stderr)
	}
	if len(r.Rights) < 10 || len(r.Proxy) != 3 || !slices.ContainsFunc(r.Versions, func(v struct{ What, Version string }) bool {
		return strings.HasPrefix(v.What, "proxies in foo") && v.Version != ""
	}) {
		t.Errorf("%+v", r)
	}
	kubeconfig, err := rig.User(t.Context(), "reader", harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Resources: []string{"pods", "services"}})
	if err != nil {
		t.Fatal(err)
	}
	res = run(t, harness.Command{Args: []string{rig.Plugin, "doctor", "-n", "foo"}, Kubeconfig: kubeconfig})
	for _, want := range []string{"lacking: list authorizationpolicies.security.istio.io in foo", "lacking: create pods/exec in foo", "lacking: get deployments.apps in foo"} {
		if res.Code != 1 || !strings.Contains(res.Stdout, want) || strings.Contains(res.Stdout, "lacking: list pods in foo") {
			t.Errorf("exit %d, want %q\n%s", res.Code, want, fmt.Sprint(res.Stdout, res.Stderr))
		}
	}
}

// Without a target the host finds the gateway, and the Service behind it.
func TestTheHostFindsTheGatewayOfTheMesh(t *testing.T) {
	const route = `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: searched, namespace: foo}, spec: {hosts: [api.example.com], gateways: [ingress], http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]}}`
	apply(t, livePolicies+"---\n"+route)
	q := harness.Ask{From: "outside", Namespace: "foo", URL: "http://istio-ingressgateway.istio-system/get", Headers: []string{"Host: api.example.com"}}
	for range 5 { // a proxy's workers take a new configuration one after the other
		wantSoon(t, q, denied)
	}
	var answer harness.Answer
	if err := harness.Eventually(t.Context(), soon, func() (err error) {
		if answer, err = rig.Ask(t.Context(), q); err == nil && answer.String() != denied {
			err = unexpected{answer.String(), denied}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	v, err := rig.Why(t.Context(), "", "--url", "http://api.example.com/get", "--plaintext", "--evidence", "objects")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Agrees(answer); err != nil || v.DecidedBy == nil || v.DecidedBy.Name != "live" || !strings.Contains(v.Text, "svc/httpbin.foo port 8000 behind deploy/istio-ingressgateway.istio-system") {
		t.Errorf("%v\n%s", err, v.Text)
	}
	kubeconfig, err := rig.User(t.Context(), "searcher", harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Resources: []string{"pods", "services"}})
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, harness.Command{Args: []string{rig.Plugin, "why", "--url", "http://api.example.com/get"}, Kubeconfig: kubeconfig})
	if res.Code != 3 || !strings.Contains(res.Stderr, "hint: ask for: list services in all namespaces") {
		t.Errorf("without a right to look: exit %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
}
