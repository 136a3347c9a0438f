package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
