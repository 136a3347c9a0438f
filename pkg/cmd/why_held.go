package cmd

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

// The kinds of --evidence.
const (
	evidenceObjects = "objects"
	evidenceProxy   = "proxy"
	evidenceBoth    = "both"
)

// adminPort is where a proxy's own pages are, on its loopback address.
const adminPort = 15000

// proxyTime bounds how long a proxy may take to say what it holds.
const proxyTime = 20 * time.Second

// askProxies lets the proxies of the target's pods speak, if that is wanted.
func (o *whyOptions) askProxies(ctx context.Context, in *diagnose.Intent, data *kube.Cluster) {
	if o.flags.evidence.value != evidenceObjects {
		in.Held = heldByProxies(ctx, data)
	}
}

// heldByProxies asks the proxy of a workload's first pod, each once.
func heldByProxies(ctx context.Context, data *kube.Cluster) func(mesh.Workload, int) (*diagnose.Held, error) {
	type answer struct {
		dump *proxy.Dump
		err  error
	}
	asked := map[string]answer{}
	return func(w mesh.Workload, port int) (*diagnose.Held, error) {
		if len(w.Pods) == 0 {
			return nil, nil
		}
		pod := w.Pods[0]
		a, ok := asked[w.Namespace+"/"+pod]
		if !ok {
			limited, cancel := context.WithTimeout(ctx, proxyTime)
			a.dump, a.err = configDump(limited, data, w.Namespace, pod)
			cancel()
			asked[w.Namespace+"/"+pod] = a
		}
		if a.err != nil {
			return nil, a.err
		}
		if role := a.dump.Role(); role != envoy.RoleSidecar && role != envoy.RoleGateway {
			return nil, nil // a waypoint's listeners are judged from the objects
		}
		held, err := heldIn(a.dump, uint16(port), "config_dump of pod "+w.Namespace+"/"+pod)
		if err != nil {
			return nil, err
		}
		held.Workload = w
		return held, nil
	}
}

// configDump asks the proxy of a pod: by exec, as istioctl does, and where that is not
// allowed through a port-forward.
func configDump(ctx context.Context, c *kube.Cluster, namespace, pod string) (*proxy.Dump, error) {
	dump, err := dumpByExec(ctx, c, namespace, pod)
	if err == nil || ctx.Err() != nil {
		return dump, err
	}
	dump, forwardErr := dumpByPortForward(ctx, c, namespace, pod)
	if forwardErr == nil {
		return dump, nil
	}
	return nil, &proxyNotAskedError{namespace: namespace, pod: pod, exec: err, forward: forwardErr}
}

// proxyNotAskedError says why neither way leads to what a proxy holds.
type proxyNotAskedError struct {
	namespace, pod string
	exec, forward  error
}

// Error says both reasons.
func (e *proxyNotAskedError) Error() string {
	return fmt.Sprintf("%v; %v", e.exec, e.forward)
}

// Permission is the right that would do.
func (e *proxyNotAskedError) Permission() string {
	return "create pods/exec in " + e.namespace
}

func dumpByExec(ctx context.Context, c *kube.Cluster, namespace, pod string) (dump *proxy.Dump, err error) {
	err = adminByExec(ctx, c, namespace, pod, "config_dump", func(r io.Reader) (err error) {
		dump, err = readProxy(r)
		return err
	})
	return dump, err
}

// adminByExec reads a page of a proxy's own.
func adminByExec(ctx context.Context, c *kube.Cluster, namespace, pod, page string, read func(io.Reader) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	in, out := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan error, 1)
	go func() {
		// pilot-agent logs on stderr, which is not part of the answer.
		err := c.Exec(ctx, namespace, pod, mesh.ProxyContainerName, []string{"pilot-agent", "request", "GET", page}, nil, out, &stderr)
		_ = out.CloseWithError(cmp.Or(err, io.EOF))
		done <- err
	}()
	err := read(in)
	stop() // whoever did not want the rest
	_ = in.Close()
	execErr := <-done
	if err == nil {
		return nil
	}
	if execErr != nil && !errors.Is(execErr, context.Canceled) {
		return execErr
	}
	return fmt.Errorf("exec in pod %s/%s: %w", namespace, pod, err)
}

func dumpByPortForward(ctx context.Context, c *kube.Cluster, namespace, pod string) (dump *proxy.Dump, err error) {
	err = adminByPortForward(ctx, c, namespace, pod, "config_dump", func(r io.Reader) (err error) {
		dump, err = readProxy(r)
		return err
	})
	return dump, err
}

func adminByPortForward(ctx context.Context, c *kube.Cluster, namespace, pod, page string, read func(io.Reader) error) error {
	conn, err := c.DialPod(ctx, namespace, pod, adminPort)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /"+page+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the admin page of pod %s/%s answers %s", namespace, pod, resp.Status)
	}
	return read(resp.Body)
}

func readProxy(r io.Reader) (*proxy.Dump, error) {
	const buffer = 1 << 16
	return proxy.Read(bufio.NewReaderSize(r, buffer))
}
