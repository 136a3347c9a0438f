package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/combos"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
	makes "github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// scaffolded runs scaffold and wants it to end so.
func scaffolded(t *testing.T, code int, args ...string) harness.Result {
	t.Helper()
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "scaffold"}, args...)})
	if res.Code != code {
		t.Fatalf("scaffold %v: exit code %d\n%s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return res
}

// flat is a text with its line breaks taken out.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestScaffold_AppliesWhatTheMeshThenDoes(t *testing.T) {
	t.Cleanup(func() {
		if _, err := rig.Kubectl(context.Background(), "", "-n", "foo", "delete", "--ignore-not-found", "requestauthentication/httpbin-jwt", "authorizationpolicy/httpbin-jwt"); err != nil {
			t.Error(err)
		}
	})
	args := []string{"deploy/httpbin", "-n", "foo", "--issuer", harness.DemoIssuer, "--jwks-file", keysFile(t), "--skip-path", "/get"}
	first := scaffolded(t, 0, args...)
	for _, want := range []string{"1 workload, 1 pod, and nothing else", "no token, any other path: 200 -> 403"} {
		if !strings.Contains(flat(first.Stderr), want) {
			t.Errorf("the report of the live mesh does not say %q:\n%s", want, first.Stderr)
		}
	}
	for _, form := range []struct{ flag, says string }{
		{"--dry-run=client", "requestauthentications.security.istio.io/httpbin-jwt would be applied (dry run)"},
		{"--dry-run=server", "authorizationpolicies.security.istio.io/httpbin-jwt serverside-applied (server dry run)"},
	} {
		if res := scaffolded(t, 0, append(args, "--apply", form.flag)...); !strings.Contains(res.Stdout, form.says) {
			t.Errorf("%s says %s", form.flag, res.Stdout)
		}
	}
	if out := kubectl(t, "-n", "foo", "get", "requestauthentication,authorizationpolicy", "-o", "name"); strings.Contains(out, "httpbin-jwt") {
		t.Fatalf("a dry run left something behind: %s", out)
	}
	if res := scaffolded(t, 0, append(args, "--apply")...); !strings.Contains(res.Stdout, "authorizationpolicies.security.istio.io/httpbin-jwt serverside-applied\n") {
		t.Errorf("--apply says %s", res.Stdout)
	}
	ask := httpbinOf("foo")
	wantSoon(t, ask("/headers"), `403 "RBAC: access denied"`)
	wantSoon(t, ask("/get"), fromApp)
	q := ask("/headers")
	q.Token = token(harness.DemoKey(), unexpired)
	wantSoon(t, q, fromApp)
	q.Token = forged
	wantSoon(t, q, badSignature)
	q = ask("/get")
	q.Token = forged
	wantSoon(t, q, badSignature)

	// Once more: nothing new. With other content, the name is taken.
	again := scaffolded(t, 0, args...)
	if again.Stdout != first.Stdout || strings.Count(flat(again.Stderr), "exists already, as it would be made") != 2 {
		t.Errorf("made again:\n%s", again.Stderr)
	}
	if res := scaffolded(t, 2, append(args, "--audience", "x")...); !strings.Contains(res.Stderr, "exists already, with other content") {
		t.Errorf("with other content: %s", res.Stderr)
	}
	var object struct {
		Metadata struct {
			ManagedFields []struct{ Manager, Operation string } `json:"managedFields"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(kubectl(t, "-n", "foo", "get", "authorizationpolicy", "httpbin-jwt", "-o", "json", "--show-managed-fields")), &object); err != nil {
		t.Fatal(err)
	}
	if m := object.Metadata.ManagedFields; len(m) == 0 || m[0].Manager != "kubectl" || m[0].Operation != "Apply" {
		t.Errorf("the fields are owned by %v", m)
	}
}

func TestScaffold_SaysWhichRightIsLacking(t *testing.T) {
	kubeconfig, err := rig.User(t.Context(), "no-writer",
		harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Resources: []string{"pods", "services"}},
		harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Group: "apps", Resources: []string{"deployments", "replicasets"}})
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, harness.Command{Kubeconfig: kubeconfig, Args: []string{
		rig.Plugin, "scaffold", "deploy/httpbin", "-n", "foo", "--issuer", harness.DemoIssuer, "--jwks-file", keysFile(t), "--apply", "--dry-run=server",
	}})
	if res.Code != 3 || !strings.Contains(res.Stderr, "hint: ask for: patch requestauthentications.security.istio.io in foo") {
		t.Errorf("exit code %d: %s", res.Code, res.Stderr)
	}
	if !strings.Contains(flat(res.Stderr), "could not read") {
		t.Errorf("it is not said what could not be read: %s", res.Stderr)
	}
}

// Whatever the flags: a real API server with Istio's CRDs takes the objects.
func TestScaffold_EveryCombinationIsTakenByTheAPIServer(t *testing.T) {
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: amb}\n")
	n := 0
	for _, seed := range []uint64{1, 2, 3} {
		var all strings.Builder
		for _, c := range combos.All(seed) {
			var before *mesh.Snapshot
			if c.Mesh != "" {
				objects, err := mesh.Parse([]byte(c.Mesh), mesh.ParseOptions{Namespace: c.Intent.Namespace})
				if err != nil {
					t.Fatal(err)
				}
				if before, err = mesh.NewSnapshot(objects, nil); err != nil {
					t.Fatal(err)
				}
			}
			plan, err := makes.Make(c.Intent, before)
			if err != nil {
				t.Fatalf("%v: %v", c.Args, err)
			}
			text, err := render.ManifestYAML(plan.Objects...)
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString("---\n" + string(text))
			n += len(plan.Objects)
		}
		out, err := rig.Kubectl(t.Context(), all.String(), "create", "--dry-run=server", "--validate=strict", "-f", "-", "-o", "name")
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		n -= strings.Count(out, "\n")
	}
	if n != 0 {
		t.Errorf("%d objects were not taken", n)
	}
}
