package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
)

// ExitError says that a command in a container ended with a code other than 0.
type ExitError struct{ Code int }

// Error names the code.
func (e *ExitError) Error() string { return fmt.Sprintf("the command ended with exit code %d", e.Code) }

// ExitCode is the code, for callers that know only this method.
func (e *ExitError) ExitCode() int { return e.Code }

// Exec runs a command in a container and returns when it has ended; a command that
// fails is an *ExitError. The command line ends up in audit logs: what is secret goes
// in on stdin. The streams may be nil. It speaks WebSocket, and SPDY where that is
// refused.
func (c *Cluster) Exec(ctx context.Context, namespace, pod, container string, command []string, stdin io.Reader, stdout, stderr io.Writer) error {
	query := url.Values{"container": {container}, "command": command}
	for name, wanted := range map[string]bool{"stdin": stdin != nil, "stdout": stdout != nil, "stderr": stderr != nil} {
		if wanted {
			query.Set(name, "true")
		}
	}
	u := c.podURL(namespace, pod, "exec", query)
	config := c.streamConfig()
	executor, err := fallbackExecutor(config, u)
	if err != nil {
		return fmt.Errorf("exec in pod %s/%s: %w", namespace, pod, err)
	}
	// What client-go would log of streams that end with their context is no news.
	quiet := klog.NewContext(ctx, logr.Discard())
	err = executor.StreamWithContext(quiet, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: stderr})
	var exit utilexec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("exec in pod %s/%s: %w", namespace, pod, ctx.Err())
	case errors.As(err, &exit) && exit.Exited():
		return &ExitError{Code: exit.ExitStatus()}
	}
	return streamError("exec", namespace, pod, err)
}

func fallbackExecutor(config *rest.Config, u *url.URL) (remotecommand.Executor, error) {
	spdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, u)
	if err != nil {
		return nil, err
	}
	websocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, u.String())
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(websocket, spdy, worthAnotherProtocol)
}

// worthAnotherProtocol reports whether SPDY may get through where WebSocket was refused.
// A refusal for lack of a right is worth it too: which right is asked for depends on the
// method, and WebSocket's is GET.
func worthAnotherProtocol(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

// streamConfig is the configuration for what may take long.
func (c *Cluster) streamConfig() *rest.Config {
	config := rest.CopyConfig(c.config)
	config.Timeout = 0
	return config
}

func (c *Cluster) podURL(namespace, pod, subresource string, query url.Values) *url.URL {
	u := c.base.JoinPath("api", "v1", "namespaces", namespace, "pods", pod, subresource)
	u.RawQuery = query.Encode()
	return u
}

// RefusedError says that a right is lacking.
type RefusedError struct {
	Permission string // as in "create pods/exec in foo"
	Err        error
}

// Error names what is lacking.
func (e *RefusedError) Error() string { return "forbidden: " + e.Permission }

// Unwrap returns the server's answer.
func (e *RefusedError) Unwrap() error { return e.Err }

// HintLine is what to do next.
func (e *RefusedError) HintLine() string { return "ask for: " + e.Permission }

// Unavailable tells this error from those about what a user gave.
func (e *RefusedError) Unavailable() bool { return true }

// streamError puts the failure of exec and port-forward into words. Their protocols hand
// some refusals through as text only.
func streamError(what, namespace, pod string, err error) error {
	switch {
	case apierrors.IsForbidden(err) || strings.Contains(err.Error(), "is forbidden: "):
		return &RefusedError{Permission: "create pods/" + what + " in " + namespace, Err: err}
	case apierrors.IsNotFound(err) || strings.Contains(err.Error(), "pods \""+pod+"\" not found"):
		return &UnavailableError{Problem: fmt.Sprintf("%s: pod %s/%s is gone", what, namespace, pod), Hint: "run it again: another pod may have taken its place", Err: err}
	}
	return &UnavailableError{Problem: fmt.Sprintf("%s in pod %s/%s: %s", what, namespace, pod, oneLine(err)), Err: err}
}
