package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

// probeEdge has a gateway whose Service leads to this machine, where a real server
// answers as the gateway's proxy would.
const probeEdge = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: istio-system, uid: g}
spec:
  selector: {matchLabels: {app: gw}}
  template:
    metadata: {labels: {app: gw, istio: ingressgateway}}
    spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, router]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gw-1, namespace: istio-system, labels: {app: gw, istio: ingressgateway}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: gw, uid: g}]}
spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, router]}]}
status: {phase: Running, podIP: 10.0.0.9}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec: {clusterIP: 10.96.0.9, externalIPs: [127.0.0.1], selector: {app: gw}, ports: [{name: http2, port: PORT, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: PORT, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: foo}
spec: {hosts: ["*"], gateways: [istio-system/gw], http: [{route: [{destination: {host: httpbin.foo.svc.cluster.local, port: {number: 8000}}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {matchLabels: {app: gw}}
  jwtRules: [{issuer: idp, jwks: 'KEYS'}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {matchLabels: {app: gw}}
  action: DENY
  rules: [{from: [{source: {notRequestPrincipals: ["*"]}}], to: [{operation: {notPaths: [/health]}}]}]
`

// edge is the server behind the gateway's address. It answers as told, by path.
type edge struct {
	mu     sync.Mutex // a request that nobody waits for any more may still be on its way
	answer http.HandlerFunc
	count  atomic.Int32
}

// then makes it answer otherwise from now on.
func (e *edge) then(answer http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.count.Add(1)
	w.Header().Set("Date", time.Unix(1_800_000_000, 0).UTC().Format(http.TimeFormat))
	w.Header().Set("Server", "istio-envoy")
	e.mu.Lock()
	answer := e.answer
	e.mu.Unlock()
	answer(w, r)
}

// asPolicied answers as the gateway and the application behind it do.
func asPolicied(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("Authorization")
	switch {
	case strings.HasPrefix(token, "Bearer ") && strings.HasSuffix(token, "x"):
		http.Error(w, "no such token here", http.StatusTeapot)
	case token != "" && !strings.Contains(token, goodSignature):
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://h/", error="invalid_token"`)
		say(w, http.StatusUnauthorized, "Jwt verification fails")
	case token == "" && r.URL.Path != "/health":
		say(w, http.StatusForbidden, "RBAC: access denied")
	default:
		w.Header().Set("X-Envoy-Upstream-Service-Time", "1")
		say(w, http.StatusOK, "hello "+r.Host)
	}
}

func say(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

var (
	gatewayKey    = mint.RSA()
	gatewayToken  = mint.Token(gatewayKey, `{"alg":"RS256"}`, `{"iss":"idp","sub":"me","exp":1800000600}`)
	goodSignature = gatewayToken[strings.LastIndexByte(gatewayToken, '.')+1:]
)

// edgeMesh starts the server and a mesh that leads to it, and returns the arguments of a
// probe of /x.
func edgeMesh(t *testing.T, e *edge) (server *apiserver.Server, args []string) {
	t.Helper()
	front := httptest.NewServer(e)
	t.Cleanup(front.Close)
	_, port, _ := net.SplitHostPort(front.Listener.Addr().String())
	yaml := strings.NewReplacer("PORT", port, "KEYS", string(mint.JWKS(gatewayKey))).Replace(probeEdge)
	s, flag := live(t, liveMesh+yaml)
	file := filepath.Join(t.TempDir(), "token.jwt")
	if err := os.WriteFile(file, []byte(gatewayToken), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, []string{
		"probe", flag, "--from", "local", "--to-gateway", "deploy/gw.istio-system", "--evidence", "objects", "--rate", "1000",
		"http://api.example.com:" + port + "/data", "--jwt-file", file,
	}
}

func probeJSON(t *testing.T, args []string, more ...string) (int, probe.Report, string) {
	t.Helper()
	code, stdout, stderr := captured(t, "", map[string]string{"HOME": t.TempDir()}, append(append([]string(nil), args...), append(more, "-o", "json")...)...)
	var r probe.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil && stdout != "" {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, stdout, stderr)
	}
	return code, r, stderr
}

func TestProbeAsksTheGatewayAndHoldsTheAnswersAgainstThePrediction(t *testing.T) {
	e := &edge{answer: asPolicied}
	_, args := edgeMesh(t, e)
	code, r, stderr := probeJSON(t, args, "--path", "/data", "--path", "/health", "--expect", "none@/data=403", "--expect", "given=200", "--expect", "broken=401")
	if code != exitYes || r.Summary.Rows != 6 || r.Summary.Agree != 6 || e.count.Load() != 6 || stderr != "" {
		t.Fatalf("exit code %d, %d requests, %+v\n%s", code, e.count.Load(), r, stderr)
	}
	for _, row := range r.Rows {
		want := map[bool]string{true: "gw", false: "httpbin"}[row.Observed.Status != 200]
		if row.AnsweredBy.Name != want {
			t.Errorf("%s %s: answered by %+v", row.Path, row.Name, row.AnsweredBy)
		}
	}
	if r.To.Target.Name != "gw" && r.To.Target.Name != "httpbin" || !strings.HasPrefix(r.To.Address, "127.0.0.1:") || !r.From.Local {
		t.Errorf("to %+v, from %+v", r.To, r.From)
	}
	code, r, _ = probeJSON(t, args, "--expect", "none=401")
	if code != exitNo || r.Summary.Unexpected != 1 || r.Summary.Differ != 0 {
		t.Errorf("not as expected: exit code %d, %+v", code, r.Summary)
	}
}

func TestADifferenceIsLookedAtTwice(t *testing.T) {
	var calls atomic.Int32
	open := func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", goodSignature)
		asPolicied(w, r)
	}
	e := &edge{answer: func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= 3 && r.Header.Get("Authorization") == "" { // the policy has not arrived yet
			open(w, r)
			return
		}
		asPolicied(w, r)
	}}
	_, args := edgeMesh(t, e)
	code, r, stderr := probeJSON(t, args)
	if code != exitYes || r.Summary.Agree != 3 || e.count.Load() != 4 || !strings.Contains(stderr, "1 answer is not as predicted") || len(r.Findings) == 0 || r.Findings[0].Code != "AJ0508" {
		t.Errorf("a change on its way: exit code %d, %d requests, %+v\n%s", code, e.count.Load(), r, stderr)
	}
	e.then(open)
	e.count.Store(0)
	code, r, _ = probeJSON(t, args)
	if code != exitNo || r.Summary.Differ != 2 || e.count.Load() != 5 {
		t.Errorf("a policy that is not in force: exit code %d, %d requests, %+v", code, e.count.Load(), r.Summary)
	}
}

func TestAProbeThatCannotSeeSaysSo(t *testing.T) {
	e := &edge{answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
	s, args := edgeMesh(t, e)
	code, r, _ := probeJSON(t, args, "--max-time", "200ms")
	if code != exitUnknown || r.Summary.NotSeen != 3 || r.Rows[0].Note != "no answer in time" {
		t.Errorf("a server that hangs: exit code %d, %+v", code, r)
	}
	code, r, _ = probeJSON(t, args, "--max-time", "5s", "--timeout", "300ms")
	if code != exitUnknown || r.Summary.NotSeen != 3 || !strings.Contains(r.Rows[2].Note, "--timeout") {
		t.Errorf("no time: exit code %d, %+v", code, r)
	}
	e.then(asPolicied)
	s.Fail("authorizationpolicies.security.istio.io in foo", apiserver.Forbidden)
	code, r, _ = probeJSON(t, args)
	if code != exitUnknown || r.Summary.Undetermined == 0 || len(r.Gaps) == 0 {
		t.Errorf("policies that may not be read: exit code %d, %+v", code, r)
	}
}

func TestAProbeEndsWithItsInterrupt(t *testing.T) {
	begun := make(chan struct{}, 10)
	e := &edge{answer: func(_ http.ResponseWriter, r *http.Request) { begun <- struct{}{}; <-r.Context().Done() }}
	_, args := edgeMesh(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	var out, errOut bytes.Buffer
	code := Main(ctx, Process{
		Name: "kubectl-asmjwt", Args: args, In: strings.NewReader(""), Out: &out, Err: &errOut,
		LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now,
	})
	if code != exitInterrupted || out.Len() > 0 || e.count.Load() != 1 {
		t.Errorf("exit code %d, %d requests: %s%s", code, e.count.Load(), out.String(), errOut.String())
	}
}

// What a server sends back may be the token itself.
func TestNoTokenComesOutOfAProbe(t *testing.T) {
	e := &edge{answer: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", r.Header.Get("Authorization"))
		w.Header().Set("WWW-Authenticate", r.Header.Get("Authorization"))
		say(w, http.StatusForbidden, "you sent "+r.Header.Get("Authorization"))
	}}
	_, args := edgeMesh(t, e)
	broken, _ := probe.Break(gatewayToken)
	for _, form := range []string{"text", "json", "yaml", "junit"} {
		_, stdout, stderr := captured(t, "", map[string]string{"HOME": t.TempDir()}, append(append([]string(nil), args...), "-o", form, "-v=9")...)
		silent(t, gatewayToken, stdout, stderr)
		silent(t, broken, stdout, stderr)
		if stdout == "" {
			t.Errorf("%s: nothing came out at all: %s", form, stderr)
		}
	}
}

func TestWhatThereIsNotIsToldWithWhatThereIs(t *testing.T) {
	_, args := edgeMesh(t, &edge{answer: asPolicied})
	kubeconfig := args[1]
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such caller":       {[]string{"--from", "deploy/nobody", "http://httpbin:8000"}, exitUsage, "nobody"},
		"no such Service":      {[]string{"--from", "pod/sleep", "http://nobody:8000"}, exitUsage, "nobody"},
		"no such port":         {[]string{"--from", "pod/sleep", "http://httpbin:1"}, exitUsage, "port"},
		"no such container":    {[]string{"--from", "pod/sleep", "-c", "nobody", "http://httpbin:8000"}, exitUsage, "the containers are sleep, istio-proxy"},
		"not a Service's name": {[]string{"--from", "pod/sleep", "http://api.example.com/"}, exitUsage, "--to-gateway"},
		"no gateway":           {[]string{"--from", "pod/sleep", "--to-gateway", "deploy/httpbin.foo", "http://api.example.com/"}, exitUsage, "is no gateway"},
		"no such gateway":      {[]string{"--from", "pod/sleep", "--to-gateway", "deploy/nobody.istio-system", "http://api.example.com/"}, exitUsage, "nobody"},
		"no such gateway port": {[]string{"--from", "pod/sleep", "--to-gateway", "deploy/gw.istio-system", "http://api.example.com:4711/"}, exitUsage, "write a port into the URL"},
		"no certificate":       {[]string{"--from", "local", "--to-gateway", "deploy/gw.istio-system:PORT", "https://api.example.com/", "--ca", kubeconfig[len("--kubeconfig="):]}, exitUsage, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			for i, a := range c.args {
				_, port, _ := strings.Cut(strings.TrimPrefix(args[10], "http://api.example.com"), ":")
				c.args[i] = strings.ReplaceAll(a, "PORT", strings.TrimSuffix(port, "/data"))
			}
			code, stdout, stderr := captured(t, "", map[string]string{"HOME": t.TempDir()}, append([]string{"probe", kubeconfig, "--evidence", "objects"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" || !strings.Contains(stderr, "hint: ") {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}
