package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// commandLines are those of all processes of the mesh, and what their environment is.
func commandLines(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, name := range []string{f, filepath.Join(filepath.Dir(f), "environ")} {
			text, _ := os.ReadFile(name) // it may have ended
			out.Write(text)
		}
	}
	return out.String()
}

func TestATokenGivenToWhyIsNowhereElse(t *testing.T) {
	apply(t, requestAuthentication("foo", "httpbin", "jwksUri: '"+harness.DemoKeys+"'"))
	mark, err := rig.AuditMark()
	if err != nil {
		t.Fatal(err)
	}
	secret := token(harness.DemoKey(), unexpired+`,"jti":"secret"`)
	args := []string{"why", "deploy/httpbin", "-n", "foo", "--path", "/headers", "--from", "deploy/sleep", "--jwks", harness.DemoKeys + "=" + keysFile(t), "--jwt-file", "-", "-v=9", "--evidence", "objects"}
	cmd := exec.Command(rig.Plugin, args...)
	cmd.Env = []string{"KUBECONFIG=" + rig.Kubeconfig, "HOME=" + rig.Dir, "PATH=" + os.Getenv("PATH")}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := commandLines(t) // it waits for its standard input
	if !strings.Contains(running, "--jwt-file") {
		t.Fatal("why is not in the process list, so a look at it proves nothing")
	}
	_, _ = stdin.Write([]byte(secret))
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "curl -v -XGET") {
		t.Errorf("-v=9 logs no request, so a look at it proves nothing:\n%s", out.String())
	}
	var log []byte
	if err := harness.Eventually(t.Context(), soon, func() error {
		events, text, err := rig.AuditSince(mark)
		for _, e := range events {
			if e.Object.Resource == "requestauthentications" && strings.HasPrefix(e.UserAgent, "kubectl-asmjwt") {
				log = text
				return err
			}
		}
		return fmt.Errorf("no request of why among %d in the audit log, %v", len(events), err)
	}); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"output": out.String(), "audit log": string(log), "process list": running} {
		if strings.Contains(text, signature(secret)) {
			t.Errorf("the token's signature is in the %s", where)
		}
	}
}
