package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// rig is the mesh of the FAQ, whose control plane fetches keys itself, and namespace
// ext of the same mesh, whose control plane leaves it to the proxies (hybrid).
var rig *harness.Rig

const hybrid = "hybrid"

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, &rig, func(ctx context.Context, r *harness.Rig) error {
		if err := r.StartDemo(ctx); err != nil {
			return err
		}
		if err := r.StartIstiod(ctx, harness.Istiod{Revision: hybrid, Env: map[string]string{"PILOT_JWT_ENABLE_REMOTE_JWKS": "hybrid"}}); err != nil {
			return err
		}
		namespaces := "apiVersion: v1\nkind: Namespace\nmetadata: {name: ext}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: elsewhere}\n"
		if err := r.Apply(ctx, namespaces); err != nil {
			return err
		}
		httpbin, sleep := r.Httpbin("ext"), r.Sleep("ext")
		httpbin.Revision, sleep.Revision = hybrid, hybrid
		file, err := r.WriteKeys("idp.json", mint.JWKS(harness.DemoKey()))
		if err != nil {
			return err
		}
		return r.Deploy(ctx, httpbin, sleep, r.Keys("elsewhere", "idp", file))
	}))
}

// soon is how long a change may take to be in force on a busy machine. It takes
// about 0.1 s on an idle one.
const soon = 30 * time.Second

// apply applies manifests for the time of the test.
func apply(t *testing.T, yaml string) {
	t.Helper()
	if err := rig.Apply(t.Context(), yaml); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := rig.Kubectl(context.Background(), yaml, "delete", "--ignore-not-found", "-f", "-"); err != nil {
			t.Error(err)
		}
	})
}

// wantSoon waits until the answer to q is want, such as "403 \"RBAC: access denied\"".
func wantSoon(t *testing.T, q harness.Ask, want string) {
	t.Helper()
	err := harness.Eventually(t.Context(), soon, func() error { return expect(t.Context(), q, want) })
	if err != nil {
		t.Fatal(err)
	}
}

// wantConfig waits until the proxy's config_dump has a text.
func wantConfig(t *testing.T, namespace, app, text string) {
	t.Helper()
	err := harness.Eventually(t.Context(), soon, func() error {
		config, err := rig.ConfigDump(t.Context(), namespace, app)
		if err == nil && !strings.Contains(config, text) {
			err = fmt.Errorf("the config_dump of %s/%s has no %s", namespace, app, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

type unexpected struct{ got, want string }

func (u unexpected) Error() string { return "got " + u.got + ", want " + u.want }

func expect(ctx context.Context, q harness.Ask, want string) error {
	a, err := rig.Ask(ctx, q)
	if err != nil {
		return err
	}
	if a.String() != want {
		return unexpected{a.String(), want}
	}
	return nil
}

const fromApp = "200 from the application"

// token mints a token of the demo's issuer; claims are added to it as they stand.
func token(k mint.Key, claims string) string {
	return mint.Token(k, `{"alg":"RS256","kid":"`+k.Kid+`","typ":"JWT"}`, `{"iss":"`+harness.DemoIssuer+`","sub":"`+harness.DemoIssuer+`"`+claims+`}`)
}

const (
	unexpired = `,"exp":4685989700`
	expired   = `,"exp":1600000000`
)

// signature is the part of a token that must never be seen.
func signature(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }

// kubectl runs kubectl as the admin and wants it to succeed.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := rig.Kubectl(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run runs a command and returns its result, whatever its exit code is.
func run(t *testing.T, c harness.Command) harness.Result {
	t.Helper()
	res, err := rig.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return res
}
