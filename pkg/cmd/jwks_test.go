package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
)

// askKeys runs jwks against a server that has objects, and no proxy and no key server
// behind them.
func askKeys(t *testing.T, args ...string) (int, keycheck.Report, string) {
	t.Helper()
	code, stdout, stderr := captured(t, "", map[string]string{"HOME": t.TempDir()}, append([]string{"jwks", "-o", "json"}, args...)...)
	var r keycheck.Report
	if stdout != "" {
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%v in %s", err, stdout)
		}
	}
	return code, r, stderr
}

func TestWithoutProxiesThatTellNoRuleIsOK(t *testing.T) {
	_, config := live(t, liveMesh)
	for _, args := range [][]string{{"deploy/httpbin"}, {"svc/httpbin"}, {}, {"-A"}, {"-n", "foo"}, {"--from-local", "--fetch-timeout", "50ms"}} {
		code, r, stderr := askKeys(t, append(args, config)...)
		if code != exitUnknown || r.Verdict != keycheck.Unknown || len(r.Rules) != 1 || !r.Live || r.Context != "here" {
			t.Errorf("%v: exit %d, %s, %d rules, context %q\n%s", args, code, r.Verdict, len(r.Rules), r.Context, stderr)
			continue
		}
		for _, h := range r.Rules[0].Proxies {
			if h.State != keycheck.NotAsked {
				t.Errorf("%v: %+v", args, h)
			}
		}
		if len(r.Gaps) == 0 {
			t.Errorf("%v: nothing is said to be missing", args)
		}
	}
}

func TestEachReadThatFailsIsAGapAndNeverAPass(t *testing.T) {
	s, config := live(t, liveMesh)
	for what, permission := range map[string]string{
		"requestauthentications.security.istio.io in foo": "list requestauthentications.security.istio.io in foo",
		"peerauthentications.security.istio.io in foo":    "list peerauthentications.security.istio.io in foo",
		"services in foo":                      "list services in foo",
		"serviceentries.networking.istio.io":   "list serviceentries.networking.istio.io in all namespaces",
		"destinationrules.networking.istio.io": "list destinationrules.networking.istio.io in all namespaces",
	} {
		s.Fail(what, apiserver.Forbidden)
		code, r, _ := askKeys(t, "deploy/httpbin", config)
		if all, _, _ := askKeys(t, config); all == exitYes {
			t.Errorf("%s: the whole namespace passes", what)
		}
		named := false
		for _, g := range r.Gaps {
			named = named || g.Permission == permission
		}
		if !named || code == exitYes {
			t.Errorf("%s: exit %d, gaps %+v", what, code, r.Gaps)
		}
		s.Heal()
	}
}

func TestTheMeshsOwnServerIsAskedForItsObjects(t *testing.T) {
	_, _, config, own := twoPlanes(t)
	code, r, stderr := askKeys(t, "deploy/httpbin", config, "--mesh-kubeconfig", own)
	if code != exitUnknown || len(r.Rules) != 1 || r.Rules[0].Issuer != "idp" {
		t.Errorf("exit %d: %+v\n%s", code, r.Rules, stderr)
	}
	// The mesh's own server has no pods: the question is asked at the wrong place.
	code, _, stderr = askKeys(t, "deploy/httpbin", "--kubeconfig", own, "-n", "foo")
	if code != exitUsage || !strings.Contains(stderr, "is the mesh's own API server") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// 67: the namespaces of the two servers have drifted apart.
func TestANamespaceThatTheMeshsServerLacksHasNoKeysToo(t *testing.T) {
	_, own, config, ownFile := twoPlanes(t)
	missing := func() bool {
		_, r, _ := askKeys(t, "deploy/httpbin", config, "--mesh-kubeconfig", ownFile)
		return slices.ContainsFunc(r.Gaps, func(g diagnose.Gap) bool {
			return g.What == "policies for namespace foo" && strings.Contains(g.Why, "has no such namespace, so it can have none: create it there too")
		})
	}
	own.Fail("namespaces/foo", apiserver.NotFound)
	if !missing() {
		t.Error("it is not said")
	}
	own.Heal() // which is to say: it was created
	if missing() {
		t.Error("it is said of one that is there")
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	_, config := live(t, liveMesh)
	for want, args := range map[string][]string{
		`find deploy/nobody`:              {"deploy/nobody"},
		`there is no namespace "nowhere"`: {"-n", "nowhere"},
		`--from`:                          {"--from", "deploy/nobody"},
		`has no container "other"`:        {"--from", "pod/sleep", "-c", "other"},
		"cannot be read":                  {"--kubeconfig", filepath.Join(t.TempDir(), "none")},
	} {
		args = append([]string{config}, args...)
		code, _, stderr := askKeys(t, args...)
		if code != exitUsage || want != "cannot be read" && !strings.Contains(stderr, strings.TrimPrefix(want, "--from")) {
			t.Errorf("%v: exit %d: %s", args[1:], code, stderr)
		}
		if !strings.Contains(stderr, "hint: ") {
			t.Errorf("%v: no hint: %s", args[1:], stderr)
		}
	}
}

func TestSoManyProxiesAreAskedAndTheOthersAreSaid(t *testing.T) {
	second := strings.NewReplacer("httpbin-1-a", "httpbin-1-b", "10.0.0.1", "10.0.0.7").Replace(liveMesh[strings.Index(liveMesh, "apiVersion: v1\nkind: Pod"):strings.Index(liveMesh, "apiVersion: v1\nkind: Pod\nmetadata: {name: sleep")])
	_, config := live(t, liveMesh+"---\n"+strings.TrimSuffix(second, "---\n"))
	_, r, stderr := askKeys(t, "deploy/httpbin", config, "--pods", "1")
	if len(r.Rules) != 1 || len(r.Rules[0].Proxies) != 2 {
		t.Fatalf("%+v\n%s", r.Rules, stderr)
	}
	if !slices.ContainsFunc(r.Gaps, func(g diagnose.Gap) bool { return strings.Contains(g.What, "1 more proxies") }) {
		t.Errorf("gaps %+v", r.Gaps)
	}
}

// A token is tried on keys, and nothing of it but its kid and alg comes out.
func TestNoTokenComesOutOfJwks(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mesh := file("mesh.yaml", canaryMesh)
	secret := mint.Token(mint.OtherRSA(), `{"alg":"RS256","kid":"k"}`, `{"iss":"canary-issuer","sub":"secret-subject-of-the-token"}`)
	keys := "https://idp.example.com/keys=" + file("keys.json", string(mint.JWKS(mint.RSA())))
	for name, args := range map[string][]string{
		"a file": {"--jwt-file", file("token", secret+"\n")}, "the environment": {"--jwt-env", "APP_JWT"}, "standard input": {"--jwt-file", "-"},
	} {
		for _, form := range []string{"text", "wide", "json", "yaml"} {
			all := append([]string{"jwks", "-n", "foo", "-f", mesh, "--jwks", keys, "-o", form, "-v=9"}, args...)
			code, stdout, stderr := captured(t, secret, map[string]string{"APP_JWT": secret}, all...)
			if code != exitNo || !strings.Contains(stdout, "RS256") {
				t.Errorf("%s, %s: exit %d\n%s%s", name, form, code, stdout, stderr)
			}
			silent(t, secret, stdout, stderr)
			if strings.Contains(stdout+stderr, "secret-subject") {
				t.Errorf("%s, %s: a claim comes out", name, form)
			}
		}
	}
}
