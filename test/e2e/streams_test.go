package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// connect makes a client of a kubeconfig.
func connect(t *testing.T, kubeconfig string) *kube.Cluster {
	t.Helper()
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	c, err := kube.Connect(clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil), kube.DefaultTimeout, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withoutWebSockets is a way to the API server that refuses WebSocket, as some proxies
// do, and counts how often it did.
func withoutWebSockets(t *testing.T) (kubeconfig string, refused *atomic.Int32) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", rig.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	refused = new(atomic.Int32)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the rig's own certificate, on loopback
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			refused.Add(1)
			http.Error(w, "no WebSocket here", http.StatusBadRequest)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]\nusers: [{name: u, user: {token: %q}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n", server.URL, config.BearerToken)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, refused
}

func podOf(t *testing.T, app string) string {
	t.Helper()
	return strings.TrimSpace(kubectl(t, "-n", "foo", "get", "pod", "-l", "app="+app, "-o", "jsonpath={.items[0].metadata.name}"))
}

func TestThePluginsExecHasExitCodesAndAllThreeStreams(t *testing.T) {
	pod := podOf(t, "outside")
	proxied, refused := withoutWebSockets(t)
	for _, way := range []struct{ name, kubeconfig string }{{"WebSocket", rig.Kubeconfig}, {"SPDY as fallback", proxied}} {
		t.Run(way.name, func(t *testing.T) {
			c := connect(t, way.kubeconfig)
			large := strings.Repeat("0123456789abcdef", 1<<16)
			for _, tc := range []struct {
				argv             []string
				in, out, errText string
				code             int
			}{
				{argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, out: "out\n", errText: "err\n", code: 3},
				{argv: []string{"cat"}, in: large, out: large},
				{argv: []string{"true"}, in: "nobody reads it"},
			} {
				var out, errOut bytes.Buffer
				err := c.Exec(t.Context(), "foo", pod, "outside", tc.argv, strings.NewReader(tc.in), &out, &errOut)
				code := 0
				var exit *kube.ExitError
				if errors.As(err, &exit) {
					code, err = exit.ExitCode(), nil
				}
				if err != nil || code != tc.code || out.String() != tc.out || errOut.String() != tc.errText {
					t.Errorf("%v: %v, code %d, %.100q %.100q", tc.argv, err, code, out.String(), errOut.String())
				}
			}
		})
	}
	if refused.Load() == 0 {
		t.Error("WebSocket was never tried")
	}
}

func TestThePluginsPortForwardReachesTheProxy(t *testing.T) {
	pod := podOf(t, "httpbin")
	proxied, refused := withoutWebSockets(t)
	for _, way := range []struct{ name, kubeconfig string }{{"WebSocket", rig.Kubeconfig}, {"SPDY as fallback", proxied}} {
		t.Run(way.name, func(t *testing.T) {
			c := connect(t, way.kubeconfig)
			conn, err := c.DialPod(t.Context(), "foo", pod, 15000)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET /config_dump HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			dump, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(dump), `"virtualInbound"`) {
				t.Errorf("%d bytes, %v: %.200q", len(dump), err, dump)
			}
			none, err := c.DialPod(t.Context(), "foo", pod, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer none.Close()
			if _, err := io.ReadAll(none); err == nil || !strings.Contains(err.Error(), "port-forward to port 1: ") {
				t.Errorf("a port that nobody listens at: %v", err)
			}
		})
	}
	if refused.Load() == 0 {
		t.Error("WebSocket was never tried")
	}
}

func TestARefusedExecNamesTheRight(t *testing.T) {
	pod := podOf(t, "outside")
	kubeconfig, err := rig.User(t.Context(), "no-exec", harness.Grant{Namespace: "foo", Verbs: []string{"get", "list"}, Resources: []string{"pods"}})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, kubeconfig)
	var refused *kube.RefusedError
	err = c.Exec(t.Context(), "foo", pod, "outside", []string{"true"}, nil, io.Discard, io.Discard)
	if !errors.As(err, &refused) || refused.Permission != "create pods/exec in foo" {
		t.Errorf("exec: %v", err)
	}
	_, err = c.DialPod(t.Context(), "foo", pod, 15000)
	if !errors.As(err, &refused) || refused.Permission != "create pods/portforward in foo" {
		t.Errorf("port-forward: %v", err)
	}
	admin := connect(t, rig.Kubeconfig)
	if err := admin.Exec(t.Context(), "foo", "gone", "x", []string{"true"}, nil, io.Discard, io.Discard); err == nil || err.Error() != "exec: pod foo/gone is gone" {
		t.Errorf("a pod that is not there: %v", err)
	}
}

func TestAnExecEndsWithItsContext(t *testing.T) {
	c := connect(t, rig.Kubeconfig)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	err := c.Exec(ctx, "foo", podOf(t, "outside"), "outside", []string{"sleep", "600"}, nil, io.Discard, io.Discard)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
