package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster is a real kube-apiserver with Istio's CRDs: the rig of the end-to-end tests,
// without its controllers.
type cluster struct {
	kubeconfig string
	cmd        *exec.Cmd
	client     *http.Client
	host       string
}

// startCluster starts one with its state in dir.
func startCluster(ctx context.Context, peers, dir string) (*cluster, error) {
	c := &cluster{kubeconfig: filepath.Join(dir, "rig", "kubeconfig")}
	c.cmd = exec.Command(filepath.Join(peers, "rig"), "up", "-dir", filepath.Join(dir, "rig"), "-controllers=false")
	said := &bytes.Buffer{}
	c.cmd.Stderr = said
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the rig: %w", err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready ") {
		return nil, errors.Join(fmt.Errorf("start the rig: %w\n%s", err, said), c.stop())
	}
	if err := c.connect(); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	crds := filepath.Join(peers, "..", "istio", "manifests", "charts", "base", "files", "crd-all.gen.yaml")
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", crds}, {"wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"},
	} {
		cmd := exec.CommandContext(ctx, filepath.Join(peers, "kubectl"), append(args, "--kubeconfig", c.kubeconfig, "--cache-dir", filepath.Join(dir, "cache"))...)
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("kubectl %s: %w: %s", args[0], err, text), c.stop())
		}
	}
	return c, nil
}

func (c *cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return err
	}
	c.host = config.Host
	c.client, err = rest.HTTPClientFor(config)
	return err
}

// stop ends the rig, and with it all that it has started.
func (c *cluster) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// create posts an object to a path.
func (c *cluster) create(ctx context.Context, path string, object map[string]any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.host+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 1000
	text, _ := io.ReadAll(io.LimitReader(resp.Body, most)) // for the error below
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("create %s: %s: %s", path, resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return err
}

func named(apiVersion, kind, name string, more map[string]any) map[string]any {
	out := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "labels": map[string]string{"app": name}}}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// namespace makes a namespace with a pod behind a sidecar, its Service, and policies for
// other pods.
func (c *cluster) namespace(ctx context.Context, name string, policies int) error {
	core := "/api/v1/namespaces/" + name
	pod := map[string]any{"spec": map[string]any{"automountServiceAccountToken": false, "containers": []map[string]any{
		{"name": "httpbin", "image": "example.com/httpbin", "ports": []map[string]any{{"containerPort": 8080}}},
		{"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.31.2"},
	}}}
	service := map[string]any{"spec": map[string]any{"selector": map[string]string{"app": "httpbin"}, "ports": []map[string]any{{"name": "http", "port": 8000, "targetPort": 8080}}}}
	if err := c.create(ctx, "/api/v1/namespaces", named("v1", "Namespace", name, nil)); err != nil {
		return err
	}
	if err := c.create(ctx, core+"/serviceaccounts", named("v1", "ServiceAccount", "default", nil)); err != nil {
		return err
	}
	if err := c.create(ctx, core+"/pods", named("v1", "Pod", "httpbin", pod)); err != nil {
		return err
	}
	if err := c.create(ctx, core+"/services", named("v1", "Service", "httpbin", service)); err != nil {
		return err
	}
	const atOnce = 16
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range policies {
		group.Go(func() error {
			spec := map[string]any{
				"selector": map[string]any{"matchLabels": map[string]string{"app": fmt.Sprintf("app-%d", i)}}, "action": "DENY",
				"rules": []map[string]any{{"to": []map[string]any{{"operation": map[string]any{"paths": []string{"/admin", "/internal/*"}, "methods": []string{"GET", "POST"}}}}}},
			}
			return c.create(ctx, "/apis/security.istio.io/v1/namespaces/"+name+"/authorizationpolicies",
				named("security.istio.io/v1", "AuthorizationPolicy", fmt.Sprintf("p-%d", i), map[string]any{"spec": spec}))
		})
	}
	return group.Wait()
}

// manyPolicies is how many AuthorizationPolicies the server has.
const manyPolicies = 10_000

// benchCluster measures a question to a live mesh against one kubectl get pod: with the
// policies spread over many namespaces, and with as many in the target's own.
func benchCluster(ctx context.Context, out io.Writer, plugin, peers string, runs int) (missed int, err error) {
	dir, err := os.MkdirTemp("", "asmjwt-bench")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c, err := startCluster(ctx, peers, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.create(ctx, "/api/v1/namespaces", named("v1", "Namespace", "istio-system", nil)); err != nil {
		return 0, err
	}
	if err := c.create(ctx, "/api/v1/namespaces/istio-system/configmaps", named("v1", "ConfigMap", "istio", map[string]any{"data": map[string]string{"mesh": "trustDomain: cluster.local"}})); err != nil {
		return 0, err
	}
	const spread = 100
	for i := range spread {
		if err := c.namespace(ctx, fmt.Sprintf("ns-%d", i), manyPolicies/spread); err != nil {
			return 0, err
		}
	}
	flags := []string{"--kubeconfig", c.kubeconfig, "-n"}
	why := append([]string{plugin, "why", "pod/httpbin", "--path", "/healthz", "--plaintext", "--evidence", "objects"}, flags...)
	get := append([]string{filepath.Join(peers, "kubectl"), "get", "pod", "httpbin", "--cache-dir", filepath.Join(dir, "cache")}, flags...)
	in := func(argv []string, namespace string) []string { return append(argv[:len(argv):len(argv)], namespace) }
	const most = 3
	ok, err := compare(ctx, out, comparison{"why on a server with 10,000 AuthorizationPolicies, against kubectl get pod", in(why, "ns-7"), in(get, "ns-7"), most, 0}, runs)
	if err != nil {
		return 0, err
	}
	if !ok {
		missed++
	}
	if err := c.namespace(ctx, "full", manyPolicies); err != nil {
		return missed, err
	}
	// How much longer 10,000 objects take that have to be sent and looked at is not bounded.
	list := append([]string{filepath.Join(peers, "kubectl"), "get", "authorizationpolicies", "-o", "name", "--cache-dir", filepath.Join(dir, "cache")}, flags...)
	for _, c := range []comparison{
		{"why with 10,000 AuthorizationPolicies in the target's namespace, against kubectl get pod", in(why, "full"), in(get, "full"), unbounded, 0},
		{"the same, against kubectl get authorizationpolicies", in(why, "full"), in(list, "full"), unbounded, 0},
	} {
		if _, err := compare(ctx, out, c, runs); err != nil {
			return missed, err
		}
	}
	return missed, nil
}
