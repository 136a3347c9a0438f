package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// running is a program that was started and is watched.
type running struct {
	cmd      *exec.Cmd
	out, err strings.Builder
}

func start(t *testing.T, stdin string, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(rig.Plugin, args...)}
	r.cmd.Env = []string{"KUBECONFIG=" + rig.Kubeconfig, "HOME=" + rig.Dir, "PATH=" + os.Getenv("PATH")}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = strings.NewReader(stdin), &r.out, &r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) wait() int {
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode()
}

// curls are the processes that are probe's curl, by their number.
func curls(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		text, _ := os.ReadFile(f) // it may have ended
		if argv := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00"); len(argv) == 4 && filepath.Base(argv[0]) == "curl" && argv[1] == "-q" {
			out = append(out, filepath.Base(filepath.Dir(f)))
		}
	}
	return out
}

// signer is a key whose private half is in a file.
func signer(t *testing.T) (file, jwks, token, body string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	file = filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwks = fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:]))
	minter, err := probe.ParseSigningKey(block)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := b64([]byte(`{"alg":"ES256"}`)) + "." + b64([]byte(`{"iss":"`+harness.DemoIssuer+`","sub":"canary-subject"}`)) + ".x"
	if token, err = minter.Expire(unsigned, 4685989700, 0); err != nil { // which is to say: good until then
		t.Fatal(err)
	}
	return file, jwks, token, strings.Split(string(block), "\n")[1]
}

func TestProbe_ATokenIsNowhereToBeSeen(t *testing.T) {
	key, jwks, secret, private := signer(t)
	apply(t, authentication("jwks: '"+jwks+"'")+policy("p", anyPrincipal))
	wantSoon(t, httpbinOf("foo")("/get"), denied)
	mark, err := rig.AuditMark()
	if err != nil {
		t.Fatal(err)
	}
	common := []string{"probe", "--from", "deploy/sleep", "-n", "foo", "http://httpbin:8000/delay/2", "--jwt-file", "-", "--signing-key", key, "-v=9", "--expect", "given=200", "--expect", "expired=401", "-o"}
	// What must not be seen: the parts of the token that are signed, and all signatures. A
	// broken one differs in its first character, so its tail is the good one's.
	pieces := map[string]string{"signature": signature(secret)[2:], "payload": strings.Split(secret, ".")[1], "private key": private}
	seen := 0
	for _, form := range []string{"text", "json", "yaml", "junit"} {
		p := start(t, secret, append(common, form)...)
		done := make(chan int, 1)
		go func() { done <- p.wait() }()
		code := -1
		for code < 0 {
			select {
			case code = <-done:
			case <-time.After(20 * time.Millisecond):
				list := commandLines(t)
				seen += len(curls(t))
				for what, piece := range pieces {
					if strings.Contains(list, piece) {
						t.Errorf("%s: the %s is in the process list", form, what)
					}
				}
			}
		}
		if code != 0 {
			t.Errorf("%s: exit code %d\n%s\n%.2000s", form, code, p.out.String(), p.err.String())
		}
		for what, piece := range pieces {
			if strings.Contains(p.out.String()+p.err.String(), piece) {
				t.Errorf("%s: the %s is in the output", form, what)
			}
		}
		if !strings.Contains(p.err.String(), "curl -v -XGET") {
			t.Errorf("-v=9 logs no request, so a look at it proves nothing")
		}
	}
	if seen == 0 {
		t.Error("no curl of probe's was in the process list, so a look at it proves nothing")
	}
	if err := harness.Eventually(t.Context(), soon, func() error {
		events, text, err := rig.AuditSince(mark)
		execs := 0
		for _, e := range events {
			if e.Object.Subresource == "exec" && strings.Contains(e.RequestURI, "command=curl") {
				execs++
			}
		}
		for what, piece := range pieces {
			if strings.Contains(string(text), piece) {
				t.Errorf("the %s is in the audit log", what)
			}
		}
		if execs < 4 {
			return fmt.Errorf("%d execs of curl in the audit log, %v", execs, err)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

const hanging = "http://nginx-proxy.foo.svc.cluster.local:80" + keyserver.PathHang

func TestProbe_AnInterruptLeavesNothingBehindInThePodEither(t *testing.T) {
	p := start(t, "", "probe", "--from", "deploy/sleep", "-n", "foo", hanging, "--max-time", "5s", "--path", keyserver.PathHang, "--path", keyserver.PathHang+"?2", "--path", keyserver.PathHang+"?3")
	if err := harness.Eventually(t.Context(), soon, func() error {
		if len(curls(t)) == 0 {
			return fmt.Errorf("no curl runs yet: %s", p.err.String())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 130 || !strings.Contains(p.err.String(), "interrupted") || p.out.Len() > 0 {
		t.Errorf("exit code %d: %s%s", code, p.out.String(), p.err.String())
	}
	if err := harness.Eventually(t.Context(), soon, func() error {
		if left := curls(t); len(left) > 0 {
			return fmt.Errorf("still there: %v", left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestProbe_AServerThatHangsIsNotWaitedForAndNotTakenForAnAnswer(t *testing.T) {
	r, code := probed(t, "--from", "deploy/sleep", "-n", "foo", hanging, "--max-time", "1s", "--path", keyserver.PathHang, "--path", keyserver.PathKeys)
	if code != 3 || r.Rows[0].Outcome != probe.NotSeen || !strings.Contains(r.Rows[0].Note, "no answer in time") || r.Rows[1].Observed == nil || r.Rows[1].Observed.Status != 200 {
		t.Errorf("exit code %d:\n%s", code, told(r))
	}
	r, code = probed(t, "--from", "deploy/sleep", "-n", "foo", hanging, "--max-time", "20s", "--timeout", "2s")
	if code != 3 || r.Rows[0].Outcome != probe.NotSeen || !strings.Contains(r.Rows[0].Note, "--timeout") {
		t.Errorf("exit code %d:\n%s", code, told(r))
	}
}

// imageOf deploys a client whose image has these programs and no others.
func imageOf(t *testing.T, name string, programs map[string]string) (path string) {
	t.Helper()
	path = t.TempDir()
	for _, own := range []string{"sh", "mount", "unshare", "nsenter"} { // the rig's own way in
		programs[own] = own
	}
	for name, program := range programs {
		full, err := exec.LookPath(program)
		if err != nil {
			t.Skipf("there is no %s here", program)
		}
		if err := os.Symlink(full, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	w := rig.Sleep("foo")
	w.Name, w.Sidecar = name, false
	text, err := rig.YAML(w)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, `rig.test/path: "`)
	old, _, _ := strings.Cut(rest, `"`)
	apply(t, strings.Replace(text, `rig.test/path: "`+old, `rig.test/path: "`+path, 1))
	if err := rig.Rollout(t.Context(), "foo", name); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProbe_APodWithWgetAloneSendsWhatItCan(t *testing.T) {
	apply(t, authentication(inlineKeys())+policy("p", anyPrincipal))
	wantSoon(t, httpbinOf("foo")("/headers"), denied)
	wgets := map[string]string{"GNU wget": "wget"}
	if busybox := os.Getenv("ASMJWT_BUSYBOX"); busybox != "" {
		wgets["BusyBox wget"] = busybox
	} else if _, err := exec.LookPath("busybox"); err == nil {
		wgets["BusyBox wget"] = "busybox"
	}
	for name, program := range wgets {
		t.Run(name, func(t *testing.T) {
			timeout := "timeout"
			if program != "wget" {
				timeout = program
			}
			imageOf(t, "wget-only", map[string]string{"wget": program, "timeout": timeout})
			args := []string{"--from", "deploy/wget-only", "-n", "foo", "http://httpbin:8000/headers", "--jwt-file", tokenFile(t, token(harness.DemoKey(), unexpired))}
			r, code := probed(t, args...)
			if code != 3 || r.From.Client != name || r.Rows[0].Outcome != probe.Agrees || r.Rows[0].Observed.Status != 403 || r.Rows[1].Outcome != probe.NotSeen || !strings.Contains(r.Rows[1].Note, "argv") {
				t.Errorf("exit code %d, %+v:\n%s", code, r.From, told(r))
			}
			res := run(t, harness.Command{Args: append([]string{rig.Plugin, "probe"}, args...)})
			for _, want := range []string{"curl is not in the container; trying wget", "sending with " + name} {
				if !strings.Contains(res.Stderr, want) {
					t.Errorf("it does not say %q:\n%s", want, res.Stderr)
				}
			}
		})
	}
}

func TestProbe_AnEphemeralContainerIsAddedOnlyWhereItIsAskedFor(t *testing.T) {
	apply(t, authentication(inlineKeys())+policy("p", anyPrincipal))
	wantSoon(t, httpbinOf("foo")("/headers"), denied)
	path := imageOf(t, "bare", map[string]string{"true": "true"})
	args := []string{"probe", "--from", "deploy/bare", "-n", "foo", "http://httpbin:8000/headers", "--jwt-file", tokenFile(t, token(harness.DemoKey(), unexpired)), "-o", "json"}
	containers := func() string {
		return kubectl(t, "-n", "foo", "get", "pod", "-l", "app=bare", "-o", "jsonpath={.items[0].spec.ephemeralContainers[*].name} {.items[0].status.ephemeralContainerStatuses[*].state}")
	}
	res := run(t, harness.Command{Args: append([]string{rig.Plugin}, args...)})
	if res.Code != 3 || !strings.Contains(res.Stderr, "hint: ") || !strings.Contains(res.Stderr, "--image IMAGE") || strings.TrimSpace(containers()) != "" {
		t.Errorf("without --image: exit code %d: %s; containers %q", res.Code, res.Stderr, containers())
	}
	// The rig has no images: curl is there as soon as the container runs.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = harness.Eventually(ctx, soon, func() error {
			out, err := rig.Kubectl(ctx, "", "-n", "foo", "get", "pod", "-l", "app=bare", "-o", "jsonpath={.items[0].spec.ephemeralContainers[*].name}")
			if err == nil && out != "" {
				return os.Symlink(curl, filepath.Join(path, "curl"))
			}
			return fmt.Errorf("not yet: %v", err)
		})
	}()
	res = run(t, harness.Command{Args: append([]string{rig.Plugin}, append(args, "--image", "docker.io/curlimages/curl:8.16.0")...)})
	var r probe.Report
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		t.Fatalf("exit code %d: %s", res.Code, res.Stderr)
	}
	if res.Code != 0 || r.Summary.Agree != 3 || r.From.Image == "" || !strings.HasPrefix(r.From.Container, "asmjwt-probe-") || !strings.Contains(containers(), r.From.Container) {
		t.Errorf("exit code %d, %+v: %s\n%s", res.Code, r.From, res.Stderr, told(r))
	}
	if !strings.Contains(res.Stderr, "adding the ephemeral container "+r.From.Container) || !strings.Contains(res.Stderr, "stays listed there") {
		t.Errorf("it does not say so: %s", res.Stderr)
	}
	kubeconfig, err := rig.User(t.Context(), "no-ephemeral",
		harness.Grant{Verbs: []string{"get", "list"}, Group: "*", Resources: []string{"*"}}, harness.Grant{Verbs: []string{"get", "list"}, Resources: []string{"*"}},
		harness.Grant{Verbs: []string{"get", "create"}, Resources: []string{"pods/exec"}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := os.Remove(filepath.Join(path, "curl")); err != nil {
		t.Fatal(err)
	}
	res = run(t, harness.Command{Args: append([]string{rig.Plugin}, append(args, "--image", "x")...), Kubeconfig: kubeconfig})
	if res.Code != 3 || !strings.Contains(res.Stderr, "ask for: patch pods/ephemeralcontainers in foo") {
		t.Errorf("without the right: exit code %d: %s", res.Code, res.Stderr)
	}
}

func TestProbe_ThisMachineSendsToo(t *testing.T) {
	apply(t, authentication(inlineKeys())+policy("p", anyPrincipal))
	wantSoon(t, httpbinOf("foo")("/headers"), denied)
	r, code := probed(t, "--from", "local", "-n", "foo", "http://httpbin.foo:8000/headers", "--jwt-file", tokenFile(t, token(harness.DemoKey(), unexpired)),
		"--expect", "none=403", "--expect", "given=200", "--expect", "broken=401")
	if code != 0 || !r.From.Local || r.Rows[0].AnsweredBy.Name != "httpbin's proxy" || r.Rows[1].AnsweredBy.Name != "httpbin" {
		t.Errorf("exit code %d, %+v:\n%s", code, r.Rows, told(r))
	}
}

// The gateway, over TLS, with the right server name and the authority of --ca: from a pod,
// whose curl is told the public key, and from this machine by the load balancer's address.
func TestProbe_AGatewayIsReachedAtItsAddressWithHostAndServerName(t *testing.T) {
	authority, certificate, key := certificates(t, "api.example.com")
	apply(t, tlsGateway(certificate, key)+requestAuthentication("istio-system", "istio-ingressgateway", inlineKeys()))
	args := []string{
		"-n", "foo", "--to-gateway", "deploy/istio-ingressgateway.istio-system", "https://api.example.com/orders", "--ca", authority,
		"--jwt-file", tokenFile(t, token(harness.DemoKey(), unexpired)), "--expect", "none=200", "--expect", "given=200", "--expect", "broken=401",
	}
	ip := strings.TrimSpace(kubectl(t, "-n", "istio-system", "get", "service", "gateway-tls", "-o", "jsonpath={.spec.clusterIP}"))
	kubectl(t, "-n", "istio-system", "patch", "service", "gateway-tls", "--subresource=status", "--type=merge", "-p", `{"status":{"loadBalancer":{"ingress":[{"ip":"`+ip+`"}]}}}`)
	for _, from := range []string{"deploy/outside", "deploy/sleep", "local"} {
		t.Run(from, func(t *testing.T) {
			if err := harness.Eventually(t.Context(), soon, func() error {
				res := run(t, harness.Command{Args: append([]string{rig.Plugin, "probe", "-o", "json", "--from", from}, args...)})
				var r probe.Report
				if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
					return fmt.Errorf("exit code %d: %s", res.Code, res.Stderr)
				}
				if res.Code != 0 || r.To.Address != ip+":443" {
					return fmt.Errorf("exit code %d, to %s:\n%s", res.Code, r.To.Address, told(r))
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	stranger, _, _ := certificates(t, "api.example.com")
	args[slices.Index(args, authority)] = stranger
	for _, from := range []string{"deploy/outside", "local"} {
		res := run(t, harness.Command{Args: append([]string{rig.Plugin, "probe", "--from", from}, args...)})
		if res.Code != 3 || !strings.Contains(res.Stdout+res.Stderr, "certificate") {
			t.Errorf("%s, another authority: exit code %d: %s%s", from, res.Code, res.Stdout, res.Stderr)
		}
	}
}
