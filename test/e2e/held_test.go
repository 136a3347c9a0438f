package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// answered is the part of a diagnosis that says what it rests on.
type answered struct {
	Verdict  harness.Verdict
	Evidence *struct {
		From    string
		Refused string
		Objects *harness.Verdict
		Drift   []struct{ Kind, Message string }
	}
	Gaps []struct{ What, Why, Permission string }
}

// whyAs asks with a kubeconfig, "" for the admin's.
func whyAs(t *testing.T, kubeconfig string, args ...string) answered {
	t.Helper()
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "why", "-o", "json"}, args...), Kubeconfig: kubeconfig})
	var a answered
	if err := json.Unmarshal([]byte(res.Stdout), &a); err != nil {
		t.Fatalf("%v: exit code %d\n%s", args, res.Code, res.Stderr)
	}
	return a
}

const denyHeaders = `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: held, namespace: foo}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/headers]}}]}]}}`

func TestWhatTheProxyHoldsIsAskedAndHeldAgainstTheObjects(t *testing.T) {
	apply(t, denyHeaders)
	wantSoon(t, httpbinOf("foo")("/headers"), `403 "RBAC: access denied"`)
	question := []string{"deploy/httpbin", "-n", "foo", "--path", "/headers", "--from", "deploy/sleep"}
	var a answered
	err := harness.Eventually(t.Context(), soon, func() error { // the policies of another test may be on their way out
		a = whyAs(t, "", question...)
		if e := a.Evidence; e == nil || !strings.HasPrefix(e.From, "config_dump of pod foo/httpbin-") || e.Objects == nil || len(e.Drift) != 0 {
			return fmt.Errorf("got evidence %+v", e)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if by := a.Verdict.DecidedBy; a.Verdict.Status != 403 || by == nil || by.Name != "held" || by.Field != "spec.rules[0]" {
		t.Errorf("got %+v", a.Verdict)
	}
	if a := whyAs(t, "", append(question, "--evidence", "proxy")...); a.Verdict.Status != 403 || a.Evidence == nil || a.Evidence.Objects != nil {
		t.Errorf("from the proxy alone: %+v", a)
	}
	if a := whyAs(t, "", append(question, "--evidence", "objects")...); a.Verdict.Status != 403 || a.Evidence != nil {
		t.Errorf("from the objects alone: %+v", a)
	}
}

func TestWithoutARightToReadPoliciesTheProxyTells(t *testing.T) {
	apply(t, denyHeaders)
	wantSoon(t, httpbinOf("foo")("/headers"), `403 "RBAC: access denied"`)
	pods := harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Resources: []string{"pods", "services"}}
	question := []string{"deploy/httpbin", "-n", "foo", "--path", "/headers", "--from", "deploy/sleep"}
	owners := harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Group: "apps", Resources: []string{"deployments", "replicasets"}}
	for name, right := range map[string]harness.Grant{
		"exec":         {Namespace: "foo", Verbs: []string{"get", "create"}, Resources: []string{"pods/exec"}},
		"port-forward": {Namespace: "foo", Verbs: []string{"get", "create"}, Resources: []string{"pods/portforward"}},
	} {
		t.Run(name, func(t *testing.T) {
			kubeconfig, err := rig.User(t.Context(), "oncall", pods, owners, right)
			if err != nil {
				t.Fatal(err)
			}
			a := whyAs(t, kubeconfig, question...)
			if a.Verdict.Status != 403 || a.Verdict.DecidedBy == nil || a.Verdict.DecidedBy.Name != "held" {
				t.Errorf("got %+v\n%s", a, run(t, harness.Command{Args: append([]string{rig.Plugin, "why"}, question...), Kubeconfig: kubeconfig}).Stdout)
			}
		})
	}
	kubeconfig, err := rig.User(t.Context(), "oncall", pods, owners)
	if err != nil {
		t.Fatal(err)
	}
	a := whyAs(t, kubeconfig, question...)
	if a.Verdict.Decision != "Undetermined" || a.Evidence != nil {
		t.Errorf("without either: got %+v", a.Verdict)
	}
	found := false
	for _, g := range a.Gaps {
		found = found || g.Permission == "create pods/exec in foo"
	}
	if !found {
		t.Errorf("the right that would do is not named: %+v", a.Gaps)
	}
}
