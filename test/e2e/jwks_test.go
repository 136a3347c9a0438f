package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// keyReport is the part of the answer that is looked at.
type keyReport struct {
	Verdict string
	Rules   []struct {
		FetchedBy string
		Verdict   string
		Summary   string
		Findings  []struct{ Code, Severity, Message string }
		Proxies   []struct{ Pod, State string }
		Fetches   []struct {
			Way, From, Result, Problem string
			Keys                       *struct {
				Usable  int
				Problem string
			}
		}
		Token *struct{ InProxies, AtURI *string }
	}
	Fixes []keyFixText
	Gaps  []struct{ What, Why, Permission string }
	code  int
	text  string
}

type keyFixText struct{ Code, Summary, Manifest, Command string }

// errors are the codes of the errors of the first rule.
func (r keyReport) errors() []string {
	var out []string
	for _, f := range r.Rules[0].Findings {
		if f.Severity == "error" && !slices.Contains(out, f.Code) {
			out = append(out, f.Code)
		}
	}
	return out
}

func (r keyReport) has(code string) bool { return slices.Contains(r.errors(), code) }

// jwks asks about the keys with a kubeconfig, "" for the admin's.
func jwksAs(t *testing.T, kubeconfig, stdin string, args ...string) keyReport {
	t.Helper()
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "jwks", "-o", "json"}, args...), Stdin: stdin, Kubeconfig: kubeconfig})
	r := keyReport{code: res.Code, text: res.Stdout + res.Stderr}
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		t.Fatalf("jwks %v: exit code %d\n%s", args, res.Code, res.Stderr)
	}
	return r
}

// service is a Service whose pods can be chosen later.
func service(namespace, name, app string, ports string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {selector: {app: %s}, ports: [%s]}}\n", name, namespace, app, ports)
}

const httpPort = "{name: http, port: 80, targetPort: 80}"

// at is the address of a path at the key server of namespace foo.
func at(path string) string {
	return strings.TrimSuffix(harness.DemoKeys, keyserver.PathKeys) + path
}

func ra(namespace, uri string) string {
	return requestAuthentication(namespace, "httpbin", "jwksUri: '"+uri+"'")
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	if err := harness.Eventually(t.Context(), soon, f); err != nil {
		t.Fatal(err)
	}
}

// deployKeyServers adds a key server behind a sidecar, and one with other keys.
func deployKeyServers(t *testing.T) error {
	t.Helper()
	old, err := rig.WriteKeys("guarded.json", mint.JWKS(harness.DemoKey()))
	if err != nil {
		return err
	}
	changed, err := rig.WriteKeys("newkeys.json", mint.JWKS(harness.DemoKey(), mint.OtherRSA().WithKid("new")))
	if err != nil {
		return err
	}
	guarded, other := rig.Keys("elsewhere", "guarded", old), rig.Keys("foo", "newkeys", changed)
	guarded.Sidecar = true
	return rig.Deploy(t.Context(), guarded, other)
}

// rotating makes a Service whose pods can be changed for others with other keys, and
// waits until it answers: the control plane asks it once.
func rotating(t *testing.T) {
	apply(t, service("foo", "rotating", "nginx-proxy", httpPort))
	eventually(t, func() error {
		a, err := rig.Ask(t.Context(), harness.Ask{URL: "http://rotating.foo.svc.cluster.local/keys"})
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("got %s", a)
		}
		return err
	})
}

func TestJWKS_ATokenIsHeldAgainstTheKeysAndIsNowhereElse(t *testing.T) {
	apply(t, ra("foo", harness.DemoKeys))
	eventually(t, func() error {
		if r := jwksAs(t, "", "", "deploy/httpbin", "-n", "foo"); r.code != 0 {
			return errors.New(r.text)
		}
		return nil
	})
	good := token(harness.DemoKey(), unexpired)
	r := jwksAs(t, "", good, "deploy/httpbin", "-n", "foo", "--jwt-file", "-")
	if tok := r.Rules[0].Token; r.code != 0 || tok == nil || tok.InProxies == nil || *tok.InProxies != "" || tok.AtURI == nil || *tok.AtURI != "" {
		t.Errorf("a good token (19): exit code %d: %s", r.code, r.text)
	}
	mark, err := rig.AuditMark()
	if err != nil {
		t.Fatal(err)
	}
	unknown := token(mint.OtherRSA().WithKid("nobody's"), unexpired)
	res := run(t, harness.Command{Args: []string{rig.Plugin, "jwks", "deploy/httpbin", "-n", "foo", "--from", "deploy/sleep", "-c", "sleep", "--jwt-file", "-", "-v=9"}, Stdin: unknown})
	if res.Code != 1 || !strings.Contains(res.Stdout, "AJ0306") || !strings.Contains(flat(res.Stdout), "fits neither") || !strings.Contains(flat(res.Stdout), "without kid, which is tried for every token") {
		t.Errorf("a token of an unknown key: exit code %d\n%s", res.Code, res.Stdout)
	}
	var log []byte
	eventually(t, func() error {
		events, text, err := rig.AuditSince(mark)
		for _, e := range events {
			if e.Object.Subresource == "proxy" && strings.HasPrefix(e.UserAgent, "kubectl-asmjwt") {
				log = text
				return err
			}
		}
		return fmt.Errorf("no fetch through the API server among %d requests", len(events))
	})
	if !strings.Contains(string(log), `"subresource":"exec"`) || !strings.Contains(res.Stderr, "curl -v -XGET") {
		t.Error("neither exec nor -v=9 was seen, so a look at them proves nothing")
	}
	for where, text := range map[string]string{"output": res.Stdout + res.Stderr, "audit log": string(log), "process list": commandLines(t)} {
		for _, part := range []string{signature(unknown), unknown[:40]} {
			if strings.Contains(text, part) {
				t.Errorf("the token is in the %s", where)
			}
		}
	}
}

func TestJWKS_WithoutARightTheAnswerIsNeverOK(t *testing.T) {
	apply(t, ra("foo", harness.DemoKeys))
	eventually(t, func() error {
		if r := jwksAs(t, "", "", "deploy/httpbin", "-n", "foo", "--from", "deploy/sleep"); r.code != 0 {
			return errors.New(r.text)
		}
		return nil
	})
	everywhere := func(verbs []string, group string, resources ...string) harness.Grant {
		return harness.Grant{Verbs: verbs, Group: group, Resources: resources}
	}
	read := []string{"get", "list"}
	base := []harness.Grant{
		everywhere(read, "", "pods", "services", "namespaces", "configmaps"), everywhere(read, "apps", "deployments", "replicasets", "statefulsets", "daemonsets"),
		everywhere(read, "discovery.k8s.io", "endpointslices"), everywhere(read, "security.istio.io", "*"), everywhere(read, "networking.istio.io", "*"),
		everywhere(read, "extensions.istio.io", "*"),
	}
	exec := harness.Grant{Namespace: "foo", Verbs: []string{"get", "create"}, Resources: []string{"pods/exec"}}
	proxy := harness.Grant{Namespace: "foo", Verbs: []string{"get"}, Resources: []string{"services/proxy"}}
	for name, c := range map[string]struct {
		more    []harness.Grant
		lacking []string
		code    int
	}{
		"neither":         {nil, []string{"create pods/exec in foo", "get services/proxy in foo"}, 3},
		"no exec":         {[]harness.Grant{proxy}, []string{"create pods/exec in foo"}, 3},
		"no proxy":        {[]harness.Grant{exec}, []string{"get services/proxy in foo"}, 0}, // what the proxies hold is enough
		"all that counts": {[]harness.Grant{exec, proxy}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			kubeconfig, err := rig.User(t.Context(), "keys", append(slices.Clone(base), c.more...)...)
			if err != nil {
				t.Fatal(err)
			}
			r := jwksAs(t, kubeconfig, "", "deploy/httpbin", "-n", "foo", "--from", "deploy/sleep")
			if r.code != c.code || (r.Verdict == "ok") != (c.code == 0) {
				t.Errorf("exit code %d, verdict %s, want %d: %s", r.code, r.Verdict, c.code, r.text)
			}
			var lacking []string
			for _, g := range r.Gaps {
				if g.Permission != "" && !slices.Contains(lacking, g.Permission) {
					lacking = append(lacking, g.Permission)
				}
			}
			for _, want := range c.lacking {
				if !slices.Contains(lacking, want) {
					t.Errorf("%q is not named: %v", want, lacking)
				}
			}
			if c.lacking == nil && lacking != nil {
				t.Errorf("lacking: %v", lacking)
			}
		})
	}
}

func TestJWKS_WatchEndsWhenEveryProxyHasTheKeysOfTheURI(t *testing.T) {
	if err := deployKeyServers(t); err != nil {
		t.Fatal(err)
	}
	rotating(t)
	apply(t, ra("foo", "http://rotating.foo.svc.cluster.local/keys"))
	question := []string{"deploy/httpbin", "-n", "foo"}
	eventually(t, func() error {
		if r := jwksAs(t, "", "", question...); r.code != 0 {
			return errors.New(r.text)
		}
		return nil
	})
	apply(t, service("foo", "rotating", "newkeys", httpPort))
	eventually(t, func() error {
		if r := jwksAs(t, "", "", question...); !r.has("AJ0120") {
			return errors.New(r.text)
		}
		return nil
	})
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "jwks", "--watch", "--timeout", "1s"}, question...)})
	if res.Code != 1 || !strings.Contains(res.Stderr, "0 of 1 proxies") || !strings.Contains(res.Stderr, "not within 1s") {
		t.Errorf("before: exit code %d\n%s%s", res.Code, res.Stderr, res.Stdout)
	}
	done := make(chan harness.Result, 1)
	go func() {
		res, _ := rig.Run(t.Context(), harness.Command{Args: append([]string{rig.Plugin, "jwks", "--watch", "--timeout", "60s"}, question...)})
		done <- res
	}()
	interrupted := exec.Command(rig.Plugin, append([]string{"jwks", "--watch"}, question...)...)
	interrupted.Env = []string{"KUBECONFIG=" + rig.Kubeconfig, "HOME=" + rig.Dir, "PATH=" + os.Getenv("PATH")}
	progress, err := interrupted.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := interrupted.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(progress).ReadString('\n'); err != nil || !strings.Contains(line, "0 of 1 proxies") {
		t.Errorf("it says %q, %v", line, err)
	}
	_ = interrupted.Process.Signal(os.Interrupt)
	_, _ = io.Copy(io.Discard, progress)
	if err := interrupted.Wait(); interrupted.ProcessState.ExitCode() != 130 {
		t.Errorf("interrupted: %v", err)
	}
	fix := run(t, harness.Command{Args: append([]string{rig.Plugin, "jwks", "-o", "fix=1"}, question...)})
	apply(t, fix.Stdout)
	if res := <-done; res.Code != 0 || !strings.HasPrefix(res.Stdout, "ok") {
		t.Errorf("after: exit code %d\n%s%s", res.Code, res.Stderr, res.Stdout)
	}
}

// A server with faults behind the API server's proxy, and as a pod sees it: each ends
// within its time with a message of its own.
func TestJWKS_EveryFaultOfAKeyServerHasItsOwnWords(t *testing.T) {
	for path, want := range map[string][2]string{ // by the API server, by curl in a pod
		keyserver.PathKeys:               {"1 key", "1 key"},
		keyserver.PathSlow + "?after=1h": {"no whole answer within 2s", "no whole answer in time"},
		keyserver.PathHang:               {"no whole answer within 2s", "no whole answer in time"},
		keyserver.PathRedirect:           {`302, a redirect to "http://nginx-proxy.foo.svc.cluster.local/keys"`, "302, a redirect to"},
		keyserver.PathHTML:               {"it is a page (HTML or XML)", "it is a page (HTML or XML)"},
		keyserver.PathEmpty:              {"it is empty", "it is empty"},
		keyserver.PathEmptySet:           {"a set without any key", "a set without any key"},
		keyserver.PathEmptyObject:        {`JSON without "keys"`, `JSON without "keys"`},
		keyserver.PathUnusable:           {"any of its 2 keys", "any of its 2 keys"},
		keyserver.PathWrongType:          {"1 key", "1 key"},
		keyserver.PathGzip:               {"compressed (gzip)", "compressed (gzip)"},
		keyserver.PathBig:                {"larger than 1024 KiB", "larger than 1024 KiB"},
		keyserver.PathTruncated:          {"no JSON, or is cut off", "no JSON, or is cut off"},
		keyserver.PathReset:              {"cut without an answer", "cut without an answer"},
		keyserver.PathStatus + "503":     {`it answers 503 "Service Unavailable"`, "it answers 503"},
	} {
		t.Run(strings.ReplaceAll(path, "/", "_"), func(t *testing.T) {
			uri := strings.Replace(at(path), ":80", "", 1)
			apply(t, ra("foo", uri))
			r := jwksAs(t, "", "", "-n", "foo", "--from", "deploy/outside", "--fetch-timeout", "2s")
			for i, way := range []string{"service-proxy", "exec"} {
				found := ""
				for _, f := range r.Rules[0].Fetches {
					if f.Way != way {
						continue
					}
					if found = f.Problem; f.Keys != nil {
						found = fmt.Sprintf("%d key: %s", f.Keys.Usable, f.Keys.Problem)
					}
				}
				if !strings.Contains(found, want[i]) {
					t.Errorf("%s says %q, not %q", way, found, want[i])
				}
			}
		})
	}
}
