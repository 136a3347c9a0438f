package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// mutant is a mistake that somebody could make in the evaluator: in File, Old
// becomes New.
type mutant struct{ Name, File, Old, New string }

// mutants are planted one at a time. Each must be caught by the pairs of a run of
// the default size.
var mutants = []mutant{
	{"an expired token is good for 59 s more", "pkg/jwt/token.go", "clockSkew = 60", "clockSkew = 59"},
	{"a star matches the empty string", "pkg/envoy/match_string.go", `return v != "" && strings.IndexByte`, `return strings.IndexByte`},
	{"principals are split at the first slash", "pkg/istio/authz_model.go", "strings.LastIndexByte(v, '/'); i >= 0 {\n\t\tiss", "strings.IndexByte(v, '/'); i >= 0 {\n\t\tiss"},
	{"hosts are compared with case", "pkg/istio/authz_model.go", `return headerMatcher(":authority", v, true), nil`, `return headerMatcher(":authority", v, false), nil`},
	{"paths are compared without case", "pkg/istio/authz_model.go", "return &envoy.PathMatch{String: stringMatch(v)}, nil", "m := stringMatch(v)\n\t\tm.IgnoreCase = true\n\t\treturn &envoy.PathMatch{String: m}, nil"},
	{"RBAC runs before JWT", "pkg/istio/translate.go", "\tif jwt != nil {\n\t\tout = append(out, jwt)\n\t}\n\tout = append(opaqueFilters(out, t.beforeRBAC), authz...)", "\tout = append(opaqueFilters(out, t.beforeRBAC), authz...)\n\tif jwt != nil {\n\t\tout = append(out, jwt)\n\t}"},
	{"ALLOW runs before DENY", "pkg/istio/authz.go", "\t\t{securityapi.AuthorizationPolicy_DENY, envoy.Deny, \"istio_dry_run_deny_\"},\n\t\t{securityapi.AuthorizationPolicy_ALLOW, envoy.Allow, \"istio_dry_run_allow_\"},", "\t\t{securityapi.AuthorizationPolicy_ALLOW, envoy.Allow, \"istio_dry_run_allow_\"},\n\t\t{securityapi.AuthorizationPolicy_DENY, envoy.Deny, \"istio_dry_run_deny_\"},"},
	{"all values of a field must match", "pkg/envoy/rbac.go", "\t\tif t = t.or(hit); t.T == True {\n\t\t\tbreak\n\t\t}", "\t\tif t = hit; t.T == False {\n\t\t\tbreak\n\t\t}"},
	{"a negated condition needs the attribute", "pkg/envoy/rbac.go", "\t\treturn t.not()\n\t}\n\treturn t\n}\n\nfunc (c *Clause)", "\t\treturn truth(t.T == False && (len(c.Matchers) == 0 || c.Matchers[0].got(s) != gotNone))\n\t}\n\treturn t\n}\n\nfunc (c *Clause)"},
	{"policies are reported in the order of their rules", "pkg/istio/authz.go", "return s.Policies[i].ID < s.Policies[j].ID", "return len(s.Policies[i].ID) < len(s.Policies[j].ID)"},
	{"a dry-run policy is enforced", "pkg/istio/attach.go", "dryRun: isDryRun(o)", "dryRun: false"},
	{"a policy without rules allows", "pkg/envoy/rbac.go", "\t\ts.br.add(BranchRBACNever)\n\t\treturn no", "\t\ts.br.add(BranchRBACNever)\n\t\treturn yes"},
	{"a bad value drops a DENY rule", "pkg/istio/authz_rule.go", "if c.action == securityapi.AuthorizationPolicy_ALLOW {", "if true {"},
	{"the query belongs to the path", "pkg/envoy/match_path.go", "return truth(m.String.matches(s.pathAlone(), s))", "return truth(m.String.matches(s.path, s))"},
	{"escaped dots are not dots", "pkg/envoy/path.go", "case p[i] == '%' && i+2 < len(p)", "case false && p[i] == '%' && i+2 < len(p)"},
	{"slashes are merged before dots are resolved", "pkg/envoy/path.go", "\t\tcanonical, valid := canonicalizePath(p)", "\t\tcanonical, valid := canonicalizePath(mergeSlashes(p))"},
	{"one good token is enough", "pkg/envoy/jwt_filter.go", "\t\tif status != jwt.OK {\n\t\t\tbreak\n\t\t}", "\t\tif status == jwt.OK {\n\t\t\tbreak\n\t\t}"},
	{"the first error wins", "pkg/envoy/jwt_filter.go", "if st != jwt.Missed && st != jwt.UnknownIssuer || final == jwt.Missed {", "if final == jwt.Missed {"},
	{"several rules are each optional", "pkg/istio/authn.go", "\treturn envoy.Requirement{Kind: envoy.RequireAny, Children: outer}", "\treturn outer[len(outer)-1]"},
	{"a prefix must stand at the beginning", "pkg/envoy/jwt_extract.go", "\t\t\tif at < 0 {", "\t\t\tif at != 0 {"},
	{"the last of several parameters counts", "pkg/envoy/jwt_extract.go", "func firstParam(path, name string) (string, bool) {\n\tfor p := range eachParam(path) {\n\t\tif p.name == name {\n\t\t\treturn p.value, true\n\t\t}\n\t}\n\treturn \"\", false", "func firstParam(path, name string) (v string, ok bool) {\n\tfor p := range eachParam(path) {\n\t\tif p.name == name {\n\t\t\tv, ok = p.value, true\n\t\t}\n\t}\n\treturn v, ok"},
	{"a forwarded token is removed all the same", "pkg/envoy/jwt_filter.go", "if !p.Forward {", "if true {"},
	{"claims are split for every name", "pkg/istio/authn.go", `[]string{"permission", "scope"}, r.GetSpaceDelimitedClaims()...`, `[]string{"permission", "scope", "groups", "roles", "aud", "g", "x"}, r.GetSpaceDelimitedClaims()...`},
	{"numbers match like strings", "pkg/envoy/match_jwt.go", "\tcase jwt.String:\n\t\treturn m.matches(v.Text(), s)\n\tcase jwt.List:", "\tcase jwt.Number:\n\t\treturn m.matches(v.String(), s)\n\tcase jwt.String:\n\t\treturn m.matches(v.Text(), s)\n\tcase jwt.List:"},
	{"a wrong audience is a 401", "pkg/envoy/jwt_filter.go", "\t\tv.Status = 403", "\t\tv.Status = 401"},
	{"a gateway takes the client's address from the peer", "pkg/envoy/manager.go", "} else if cm.TrustedHops > 0 {", "} else if false {"},
	{"x-forwarded-for counts from the left", "pkg/envoy/manager.go", "if i := strings.LastIndexByte(xff, ','); i >= 0 && i+1 < len(xff) {\n\t\txff = xff[i+1:]", "if i := strings.IndexByte(xff, ','); i >= 0 {\n\t\txff = xff[:i]"},
	{"the newest PeerAuthentication wins", "pkg/istio/peer.go", "o.Age() < (*slot).Age()", "o.Age() >= (*slot).Age()"},
	{"trust domain aliases are ignored", "pkg/istio/authz_rule.go", "values = f.trustDomains(c.bundle, values)", "values = f.trustDomains(c.bundle[:1], values)"},
	{"gRPC denials are HTTP errors", "pkg/envoy/manager.go", `return ct == "application/grpc" || strings`, `return ct == "application/grpc+none" || strings`},
}

// The code that a mutant changes is there, which takes no Envoy to see.
func TestEveryMutantCanBePlanted(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, m := range mutants {
		if _, err := plant(root, t.TempDir(), m); err != nil {
			t.Errorf("mutant %q: %v", m.Name, err)
		}
	}
}

// Mistakes that are planted into the evaluator are caught by the pairs of the run
// before: they are replayed with each mutant, against what Envoy answered.
func TestEveryMutantIsCaught(t *testing.T) {
	if _, err := os.Stat(corpusFile()); errors.Is(err, os.ErrNotExist) {
		t.Fatal("there is no corpus: run TestRandomPairsAgreeWithEnvoy first")
	}
	if out, code := replayWith(t, mutant{}); code != 0 {
		t.Fatalf("without a mutant the corpus does not agree: %s", out)
	}
	var wg sync.WaitGroup
	work := make(chan mutant)
	for range runtime.NumCPU() {
		wg.Go(func() {
			for m := range work {
				if out, code := replayWith(t, m); code != 1 {
					t.Errorf("mutant %q survives: %s", m.Name, out)
				} else {
					t.Logf("%s: caught, %s", m.Name, strings.SplitN(out, ":", 2)[0])
				}
			}
		})
	}
	for _, m := range mutants {
		work <- m
	}
	close(work)
	wg.Wait()
	if !t.Failed() {
		report, err := os.OpenFile(reportFile(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer report.Close()
		fmt.Fprintf(report, "%d of %d mutants of the evaluator are caught by these pairs\n", len(mutants), len(mutants))
	}
}

// replayWith builds the replay with one mutant and runs it over the corpus.
func replayWith(t *testing.T, m mutant) (out string, code int) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Error(err)
		return "", -1
	}
	dir := t.TempDir()
	args := []string{"build", "-o", filepath.Join(dir, "replay")}
	if m.File != "" {
		overlay, err := plant(root, dir, m)
		if err != nil {
			t.Errorf("mutant %q: %v", m.Name, err)
			return "", -1
		}
		args = append(args, "-overlay", overlay)
	}
	build := exec.Command("go", append(args, "./internal/testkit/replay")...)
	build.Dir = root
	if text, err := build.CombinedOutput(); err != nil {
		t.Errorf("build mutant %q: %v\n%s", m.Name, err, text)
		return "", -1
	}
	in, err := os.Open(corpusFile())
	if err != nil {
		t.Error(err)
		return "", -1
	}
	defer in.Close()
	cmd := exec.Command(filepath.Join(dir, "replay"))
	cmd.Stdin = in
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Error(err)
		return "", -1
	}
	return strings.TrimSpace(string(text)), cmd.ProcessState.ExitCode()
}

// plant writes the mutated file and the overlay that puts it in the place of the
// real one.
func plant(root, dir string, m mutant) (overlay string, err error) {
	original := filepath.Join(root, m.File)
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		return "", errors.New("the text to change is there " + map[bool]string{true: "not", false: "more than once"}[n == 0] + " in " + m.File)
	}
	mutated := filepath.Join(dir, "mutated.go")
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(text), m.Old, m.New, 1)), 0o600); err != nil {
		return "", err
	}
	js, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutated}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, js, 0o600)
}
