package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// transports are the two ways in which kubectl speaks to a container, and the verb
// that the audit log has for each: a WebSocket begins with a GET.
var transports = []struct{ name, env, verb string }{
	{"WebSocket", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true", "get"},
	{"SPDY", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false", "create"},
}

func execArgs(argv ...string) []string {
	return append([]string{"kubectl", "-n", "foo", "exec", "-i", "deploy/outside", "--"}, argv...)
}

func TestExecHasExitCodesAndAllThreeStreams(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 5<<16) // 5 MiB
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			mark, err := rig.AuditMark()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				argv  []string
				stdin string
				want  harness.Result
			}{
				{argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, want: harness.Result{Stdout: "out\n", Stderr: "err\n", Code: 3}},
				{argv: []string{"sh", "-c", "kill -9 $$"}, want: harness.Result{Code: 137}},
				{argv: []string{"cat"}, stdin: "to the end", want: harness.Result{Stdout: "to the end"}},
				{argv: []string{"cat"}, stdin: large, want: harness.Result{Stdout: large}},
				{argv: []string{"true"}, stdin: "nobody reads it", want: harness.Result{}},
			} {
				got := run(t, harness.Command{Args: execArgs(c.argv...), Stdin: c.stdin, Env: []string{tr.env}})
				if c.want.Code != 0 {
					c.want.Stderr += fmt.Sprintf("command terminated with exit code %d\n", c.want.Code)
				}
				if got != c.want {
					t.Errorf("%q: got %.300q %.300q %d, want %.300q %.300q %d", c.argv, got.Stdout, got.Stderr, got.Code, c.want.Stdout, c.want.Stderr, c.want.Code)
				}
			}
			got := run(t, harness.Command{Args: execArgs("no-such-program"), Env: []string{tr.env}})
			if got.Code == 0 || !strings.Contains(got.Stderr, "executable file not found in $PATH") {
				t.Errorf("a program that is not there: %+v", got)
			}
			if !audited(t, mark, "pods", "exec", tr.verb) {
				t.Errorf("no exec with verb %q in the audit log, so this was not %s", tr.verb, tr.name)
			}
		})
	}
}

// audited says whether the audit log has such a request after mark; it waits for it.
func audited(t *testing.T, mark int64, resource, subresource, verb string) bool {
	t.Helper()
	return harness.Eventually(t.Context(), soon, func() error {
		events, _, err := rig.AuditSince(mark)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Object.Resource == resource && e.Object.Subresource == subresource && e.Verb == verb {
				return nil
			}
		}
		return fmt.Errorf("not yet")
	}) == nil
}

// forward starts kubectl port-forward and returns the local address.
func forward(t *testing.T, env, namespace, target, port string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(rig.Bin, "kubectl"), "-n", namespace, "port-forward", "--address", "127.0.0.1", target, ":"+port)
	cmd.Env = []string{"KUBECONFIG=" + rig.Kubeconfig, "HOME=" + rig.Dir, env}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("port-forward %s: %v", target, err)
	}
	_, rest, ok := strings.Cut(line, "Forwarding from ")
	address, _, ok2 := strings.Cut(rest, " ->")
	if !ok || !ok2 {
		t.Fatalf("port-forward %s said %q", target, line)
	}
	return address
}

func TestPortForwardTakesConnectionsSideBySide(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			env := strings.Replace(tr.env, "REMOTE_COMMAND", "PORT_FORWARD", 1)
			mark, err := rig.AuditMark()
			if err != nil {
				t.Fatal(err)
			}
			address := forward(t, env, "foo", "deploy/httpbin", "8080")
			const size = 100_000 // what go-httpbin gives at most
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: soon}
					res, err := client.Get(fmt.Sprintf("http://%s/bytes/%d", address, size))
					if err != nil {
						t.Error(err)
						return
					}
					defer res.Body.Close()
					body, err := io.ReadAll(res.Body)
					if err != nil || len(body) != size {
						t.Errorf("%d bytes, %v", len(body), err)
					}
				})
			}
			wg.Wait()
			if !audited(t, mark, "pods", "portforward", tr.verb) {
				t.Errorf("no port-forward with verb %q in the audit log", tr.verb)
			}
		})
	}
}

func TestTheProxyTellsItsConfigBothWays(t *testing.T) {
	byExec, err := rig.ConfigDump(t.Context(), "foo", "httpbin")
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + forward(t, "", "foo", "deploy/httpbin", "15000") + "/config_dump")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	byForward, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, dump := range []string{byExec, string(byForward)} {
		for _, want := range []string{"type.googleapis.com/envoy.admin.v3.ListenersConfigDump", `"virtualInbound"`, "sidecar~10.88."} {
			if !strings.Contains(dump, want) {
				t.Errorf("no %s in %.200q", want, dump)
			}
		}
	}
}

func TestLogsAreTheContainersOwn(t *testing.T) {
	text := `apiVersion: v1
kind: Pod
metadata: {name: counter, namespace: foo, annotations: {rig.test/run: counter}}
spec:
  containers: [{name: counter, image: busybox, command: [sh, -c, 'i=0; while true; do i=$((i+1)); echo line $i; [ $i -lt 20 ] || sleep 0.1; done']}]
`
	apply(t, text)
	kubectl(t, "-n", "foo", "wait", "--for=condition=Ready", "pod/counter", "--timeout=30s")
	if err := harness.Eventually(t.Context(), soon, func() error {
		if out := kubectl(t, "-n", "foo", "logs", "counter"); !strings.HasPrefix(out, "line 1\nline 2\n") || strings.Count(out, "\n") < 20 {
			return fmt.Errorf("log: %.200q", out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if out := kubectl(t, "-n", "foo", "logs", "counter", "--tail=2"); strings.Count(out, "\n") != 2 {
		t.Errorf("--tail=2: %q", out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(rig.Bin, "kubectl"), "-n", "foo", "logs", "-f", "--tail=1", "counter")
	cmd.Env = []string{"KUBECONFIG=" + rig.Kubeconfig, "HOME=" + rig.Dir}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 5 {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "line ") {
			t.Fatalf("logs -f ended: %q", lines.Text())
		}
	}
	cancel()
	_ = cmd.Wait()
}

func TestAnEphemeralContainerCanBeAddedAndUsed(t *testing.T) {
	pod := strings.TrimSpace(kubectl(t, "-n", "foo", "get", "pod", "-l", "app=outside", "-o", "jsonpath={.items[0].metadata.name}"))
	kubectl(t, "-n", "foo", "debug", "pod/"+pod, "--image=curl", "--container=probe", "--target=outside", "--", "sleep", "infinity")
	if err := harness.Eventually(t.Context(), soon, func() error {
		if s := kubectl(t, "-n", "foo", "get", "pod", pod, "-o", "jsonpath={.status.ephemeralContainerStatuses[?(@.name=='probe')].state}"); !strings.Contains(s, "running") {
			return fmt.Errorf("state: %q", s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if out := kubectl(t, "-n", "foo", "exec", pod, "-c", "probe", "--", "sh", "-c", "echo $RIG_CONTAINER"); out != "probe\n" {
		t.Errorf("exec in it: %q", out)
	}
}

func TestTheAPIServerGivesWhatWasGrantedAndNoMore(t *testing.T) {
	ctx := t.Context()
	pods := harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Resources: []string{"pods"}}
	kubeconfig, err := rig.User(ctx, "ann", pods)
	if err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) harness.Result {
		return run(t, harness.Command{Args: append([]string{"kubectl"}, args...), Kubeconfig: kubeconfig})
	}
	if res := as("-n", "foo", "get", "pods"); res.Code != 0 || !strings.Contains(res.Stdout, "httpbin-") {
		t.Errorf("what was granted: %+v", res)
	}
	pod := strings.TrimSpace(as("-n", "foo", "get", "pod", "-l", "app=outside", "-o", "jsonpath={.items[0].metadata.name}").Stdout)
	for _, args := range [][]string{
		{"-n", "ext", "get", "pods"}, {"get", "pods", "-A"}, {"-n", "foo", "get", "authorizationpolicies"},
		{"-n", "foo", "exec", "deploy/outside", "--", "true"}, {"-n", "foo", "exec", pod, "--", "true"},
	} {
		if res := as(args...); res.Code != 1 || !strings.Contains(res.Stderr, "forbidden") && !strings.Contains(res.Stderr, "Forbidden") {
			t.Errorf("%q: %+v", args, res)
		}
	}
	mark, err := rig.AuditMark()
	if err != nil {
		t.Fatal(err)
	}
	policies := harness.Grant{Verbs: []string{"list"}, Group: "security.istio.io", Resources: []string{"authorizationpolicies"}}
	if _, err := rig.User(ctx, "ann", pods, policies); err != nil {
		t.Fatal(err)
	}
	if res := as("get", "authorizationpolicies", "-A"); res.Code != 0 {
		t.Errorf("after the grant: %+v", res)
	}
	if res := as("auth", "can-i", "list", "requestauthentications.security.istio.io", "-A"); res.Code != 1 || !strings.HasPrefix(res.Stdout, "no") {
		t.Errorf("can-i: %+v", res)
	}
	if err := harness.Eventually(ctx, soon, func() error {
		events, _, err := rig.AuditSince(mark)
		for _, e := range events {
			if e.User.Username == "system:serviceaccount:users:ann" && e.Object.Resource == "authorizationpolicies" && e.Response.Code == 200 {
				return err
			}
		}
		return fmt.Errorf("no such request in %d events, %v", len(events), err)
	}); err != nil {
		t.Error(err)
	}
}

func TestTheAPIServerRefusesWhatTheCRDsForbid(t *testing.T) {
	const selector = "selector: {matchLabels: {app: httpbin}}"
	for _, c := range []struct{ kind, spec, want string }{
		{"AuthorizationPolicy", "{action: NOPE}", `Unsupported value: "NOPE"`},
		{"AuthorizationPolicy", "{" + selector + ", targetRefs: [{kind: Service, name: httpbin}]}", "only one of targetRefs or selector can be set"},
		{"AuthorizationPolicy", "{selector: {matchLabels: {app: 'http*'}}}", "wildcard not allowed in label value match"},
		{"RequestAuthentication", "{jwtRules: [{issuer: a, jwksUri: ftp://keys.example/}]}", "url must have scheme http:// or https://"},
		{"RequestAuthentication", "{jwtRules: [{issuer: ''}]}", "issuer"},
	} {
		res := run(t, harness.Command{Args: []string{"kubectl", "apply", "-f", "-"}, Stdin: fmt.Sprintf("{apiVersion: security.istio.io/v1, kind: %s, metadata: {name: refused, namespace: foo}, spec: %s}", c.kind, c.spec)})
		if res.Code != 1 || !strings.Contains(res.Stderr, c.want) {
			t.Errorf("%s %s: %+v, want %q", c.kind, c.spec, res, c.want)
		}
	}
}

func TestATokenOnStdinIsNotInTheAuditLogAndOneInArgvIs(t *testing.T) {
	mark, err := rig.AuditMark()
	if err != nil {
		t.Fatal(err)
	}
	hidden, shown := token(harness.DemoKey(), unexpired+`,"jti":"hidden"`), token(harness.DemoKey(), unexpired+`,"jti":"shown"`)
	wantSoon(t, harness.Ask{From: "outside", Namespace: "foo", URL: "http://httpbin:8000/headers", Token: hidden}, fromApp)
	run(t, harness.Command{Args: execArgs("curl", "-s", "-o", "/dev/null", "-H", "Authorization: Bearer "+shown, "http://httpbin:8000/headers")})
	if err := harness.Eventually(t.Context(), soon, func() error {
		_, text, err := rig.AuditSince(mark)
		if err == nil && !strings.Contains(string(text), signature(shown)) {
			err = fmt.Errorf("the token in argv is not in the audit log, so a look at it proves nothing")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	events, text, err := rig.AuditSince(mark)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), signature(hidden)) {
		t.Error("the token on stdin is in the audit log")
	}
	found := false
	for _, e := range events {
		found = found || strings.Contains(e.RequestURI, "exec?command=curl&command=--config&command=-&container=outside")
	}
	if !found {
		t.Error("the audit log has no command line of the exec")
	}
}

func TestIstioctlWorksUnchanged(t *testing.T) {
	res := run(t, harness.Command{Args: []string{"istioctl", "proxy-status"}})
	for _, want := range []string{"httpbin-", "istio-ingressgateway-", "sleep-"} {
		if !strings.Contains(res.Stdout, want) {
			t.Errorf("no %q in %q %q", want, res.Stdout, res.Stderr)
		}
	}
}

func TestStrictMTLSCutsPlaintext(t *testing.T) {
	apply(t, "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: foo}, spec: {mtls: {mode: STRICT}}}")
	wantSoon(t, harness.Ask{From: "outside", Namespace: "foo", URL: "http://httpbin:8000/headers"}, "no answer (curl: 56)")
	wantSoon(t, harness.Ask{From: "sleep", Namespace: "foo", URL: "http://httpbin:8000/headers"}, fromApp)
}
