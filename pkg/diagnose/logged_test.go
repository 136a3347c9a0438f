package diagnose_test

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// lineNaming is a denial by a rule of foo/p.
func lineNaming(field string) diagnose.LogLine {
	at := origin.Origin{Ref: origin.Ref{Kind: "AuthorizationPolicy", Namespace: "foo", Name: "p"}, Field: field}
	return diagnose.LogLine{Status: 403, Details: "rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[" + strings.Trim(field, "spec.rul[]") + "]]", Rule: at}
}

func TestALineDecidesOnlyWhatItDoesNotContradict(t *testing.T) {
	const tenant = "{action: DENY, rules: [{when: [{key: 'request.headers[x-tenant]', notValues: [blue]}]}]}"
	none := diagnose.LogLine{Status: 403, Details: "rbac_access_denied_matched_policy[none]", NoneAllowed: true}
	bad := diagnose.LogLine{Status: 401, Details: "jwt_authn_access_denied{Jwt_is_expired}", BadToken: true}
	passed := diagnose.LogLine{Status: 404, Details: "via_upstream"}
	dryRun := lineNaming("spec.rules[0]")
	dryRun.DryRun = true
	grpc := lineNaming("spec.rules[0]")
	grpc.GRPC, grpc.Status = true, 200
	tests := []struct {
		name    string
		docs    []string
		line    diagnose.LogLine
		want    envoy.Decision
		body    string
		decides bool
		outcome envoy.Outcome
		gone    bool
		note    string
	}{
		{"a rule that hangs on a header", []string{policy(tenant)}, lineNaming("spec.rules[0]"), envoy.Denied, "RBAC: access denied", true, envoy.Undecided, false, ""},
		{"a rule that matches anyhow", []string{policy("{action: DENY, rules: [{}]}")}, lineNaming("spec.rules[0]"), envoy.Denied, "RBAC: access denied", false, envoy.Matched, false, ""},
		{"a rule that does not match any more, beside one that may", []string{policy("{action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}, {when: [{key: 'request.headers[x-tenant]', values: [blue]}]}]}")},
			lineNaming("spec.rules[0]"), envoy.Undetermined, "", false, envoy.NotMatched, false, ""},
		{"a policy that is gone", []string{object("AuthorizationPolicy", "other", tenant)}, lineNaming("spec.rules[0]"), envoy.Undetermined, "", false, "", true, "there is no AuthorizationPolicy foo/p any more"},
		{"a rule that is gone", []string{policy(tenant)}, lineNaming("spec.rules[3]"), envoy.Undetermined, "", false, "", true, "has no spec.rules[3] any more, but 1 rule"},
		{"a policy for other pods", []string{policy("{selector: {matchLabels: {app: other}}, action: DENY, rules: [{}]}")}, lineNaming("spec.rules[0]"), envoy.Allowed, "", false, "", false, "it does not reach the workload"},
		{"no ALLOW policy matched", []string{policy("{rules: [{when: [{key: 'request.headers[x-tenant]', values: [blue]}]}]}")}, none, envoy.Denied, "RBAC: access denied", true, "", false, ""},
		{"no ALLOW policy matched, and there is none now", []string{policy(tenant)}, none, envoy.Undetermined, "", false, "", false, ""},
		{"a token that was refused", []string{authn("")}, bad, envoy.Denied, "Jwt is expired", true, "", false, ""},
		{"the application answered", []string{authn("")}, passed, envoy.Allowed, "", true, "", false, ""},
		{"no details", []string{policy(tenant)}, diagnose.LogLine{Status: 403}, envoy.Undetermined, "", false, "", false, ""},
		{"a dry run", []string{policy(tenant)}, dryRun, envoy.Undetermined, "", false, envoy.Undecided, false, ""},
		{"gRPC", []string{policy(tenant)}, grpc, envoy.Denied, "RBAC: access denied", true, envoy.Undecided, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := snapshot(t, httpbin(tt.docs...)...)
			d, err := diagnose.Run(question(t, func(in *diagnose.Intent) { in.Unseen, in.Caller.Plaintext = diagnose.UnseenIn(true, true), true }), snap)
			if err != nil {
				t.Fatal(err)
			}
			d.TakeLog(tt.line, snap)
			if d.Verdict.Decision != tt.want || d.Verdict.Body != tt.body && tt.want == envoy.Denied || d.Log.Decides != tt.decides {
				t.Errorf("got %+v, decides %t", d.Verdict, d.Log.Decides)
			}
			if tt.decides && d.Verdict.ResponseCodeDetails != tt.line.Details {
				t.Errorf("got the details %s", d.Verdict.ResponseCodeDetails)
			}
			if d.Log.Outcome != tt.outcome || d.Log.Gone != tt.gone || !strings.Contains(d.Log.Note, tt.note) || tt.note == "" && d.Log.Note != "" {
				t.Errorf("got %+v", d.Log)
			}
			found := false
			for _, f := range d.Findings {
				found = found || f.Code == diag.LoggedRuleGone
			}
			if found != tt.gone {
				t.Errorf("got findings %v", d.Findings)
			}
			if (d.Verdict.GRPCStatus != nil) != tt.line.GRPC {
				t.Errorf("got grpc-status %v", d.Verdict.GRPCStatus)
			}
		})
	}
}

func TestARuleThatALineNamesTellsWhatTheRequestWasLike(t *testing.T) {
	for _, tt := range []struct {
		name, rules, summary, because string
		code                          diag.Code
	}{
		{
			"no token", `[{from: [{source: {notRequestPrincipals: ["*"]}}], when: [{key: 'request.headers[x-tenant]', notValues: [blue]}]}]`,
			"no valid token, by the proxy's log (DENY policy foo/p)", "names the rule, so the request had no token that was verified, or one without a sub", diag.ForbiddenNoToken,
		},
		{
			"one condition", `[{when: [{key: 'request.headers[x-tenant]', notValues: [blue]}]}]`,
			`the header x-tenant was not "blue", by the proxy's log (DENY policy foo/p)`, "so the header", diag.PolicyDenied,
		},
		{
			"client and operation", `[{when: [{key: 'request.headers[x-tenant]', values: ["b*"]}], to: [{operation: {hosts: [a.test]}}]}]`,
			"DENY policy foo/p, by the proxy's log", `the header x-tenant was like "b*", and the host was "a.test"`, diag.PolicyDenied,
		},
		{
			"one of two sources", `[{from: [{source: {notRequestPrincipals: ["*"]}}, {source: {requestPrincipals: ["x/y"]}}]}]`,
			"DENY policy foo/p, by the proxy's log", "what the request had besides was not seen", diag.PolicyDenied,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			snap := snapshot(t, httpbin(authn(""), policy("{action: DENY, rules: "+tt.rules+"}"))...)
			d, err := diagnose.Run(question(t, func(in *diagnose.Intent) { in.Unseen, in.Caller.Plaintext = diagnose.UnseenIn(true, true), true }), snap)
			if err != nil {
				t.Fatal(err)
			}
			d.TakeLog(lineNaming("spec.rules[0]"), snap)
			if d.Summary != tt.summary || !strings.Contains(d.Because, tt.because) || d.Code != tt.code {
				t.Errorf("got %q because %q, %s", d.Summary, d.Because, d.Code)
			}
		})
	}
}

func TestALineDecidesWherePoliciesCannotBeRead(t *testing.T) {
	whole := snapshot(t, httpbin()...)
	snap, err := mesh.NewSnapshot(whole.Objects(), []mesh.Gap{{
		What: "authorizationpolicies in namespace foo", Why: "forbidden", Unread: mesh.Unread{Group: mesh.GroupSecurity, Kind: "AuthorizationPolicy", Namespace: "foo"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := diagnose.Run(question(t, func(in *diagnose.Intent) { in.Unseen = diagnose.UnseenIn(true, true) }), snap)
	if err != nil {
		t.Fatal(err)
	}
	d.TakeLog(lineNaming("spec.rules[0]"), snap)
	if d.Verdict.Decision != envoy.Denied || d.Verdict.DecidedBy == nil || d.Verdict.DecidedBy.Name != "p" || d.Log.Gone || !strings.Contains(d.Log.Note, "forbidden") {
		t.Errorf("got %+v, %+v", d.Verdict, d.Log)
	}
}

func TestAGatewayTellsItsPeerInWhatItHasForwarded(t *testing.T) {
	const gateway = `apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: foo}
spec:
  selector: {matchLabels: {app: gw}}
  template: {metadata: {labels: {app: gw}}, spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, router]}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: foo}
spec: {selector: {app: gw}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}`
	snap := snapshot(t, namespaceFoo, gateway, policy("{action: DENY, rules: [{from: [{source: {ipBlocks: [10.1.0.0/16]}}]}]}"))
	for list, want := range map[string]envoy.Decision{"1.2.3.4,10.1.0.9": envoy.Denied, "10.1.0.9, 1.2.3.4": envoy.Allowed, "": envoy.Undetermined} {
		d, err := diagnose.Run(question(t, func(in *diagnose.Intent) {
			in.Target, in.Unseen, in.Caller.Forwarded = target(t, "deploy/gw"), diagnose.UnseenIn(true, true), list
		}), snap)
		if err != nil || d.Verdict.Decision != want {
			t.Errorf("%q: got %v, %v, want %s", list, d, err, want)
		}
	}
}
