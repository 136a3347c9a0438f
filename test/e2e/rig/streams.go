package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	streamIdle   = time.Hour
	streamCreate = 30 * time.Second
)

func (n *node) serveExec(w http.ResponseWriter, r *http.Request) {
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, n, r.PathValue("ns")+"/"+r.PathValue("pod"), r.PathValue("uid"), r.PathValue("container"),
		r.URL.Query()["command"], opts, streamIdle, streamCreate, remotecommand.SupportedStreamingProtocols)
}

// ExecInContainer implements remotecommand.Executor. A terminal is not given:
// tty has pipes like any other.
func (n *node) ExecInContainer(ctx context.Context, name, _, container string, argv []string, in io.Reader, out, errOut io.WriteCloser, tty bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	namespace, podName, _ := strings.Cut(name, "/")
	pod, s, err := n.find(namespace, podName)
	if err != nil {
		return err
	}
	cmd, err := n.command(ctx, pod, s, container, argv)
	if err != nil {
		return err
	}
	// An interface with a nil pointer in it is not nil to os/exec, so only what
	// is there is set. Stdin must be a pipe that Wait does not wait for.
	if out != nil {
		cmd.Stdout = out
	}
	if errOut != nil {
		cmd.Stderr = errOut
	} else if tty {
		cmd.Stderr = out
	}
	if in != nil {
		pipe, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(pipe, in)
			_ = pipe.Close()
		}()
	}
	runtime.LockOSThread() // see start
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: exitCode(exit)}
	}
	return err
}

func (n *node) servePortForward(w http.ResponseWriter, r *http.Request) {
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, n, r.PathValue("ns")+"/"+r.PathValue("pod"), r.PathValue("uid"), opts, streamIdle, streamCreate, portforward.SupportedProtocols)
}

// PortForward implements portforward.PortForwarder.
func (n *node) PortForward(ctx context.Context, name, _ string, port int32, stream io.ReadWriteCloser) error {
	defer func() { _ = stream.Close() }()
	namespace, podName, _ := strings.Cut(name, "/")
	pod, s, err := n.find(namespace, podName)
	if err != nil {
		return err
	}
	to := strconv.Itoa(int(port))
	for _, p := range strings.Split(pod.Annotations[annPorts], ",") {
		if from, other, ok := strings.Cut(p, "="); ok && from == to {
			to = other
		}
	}
	conn, err := dialIn(ctx, s.netns, "127.0.0.1:"+to)
	if err != nil {
		return fmt.Errorf("failed to connect to localhost:%d inside namespace %q: %w", port, pod.UID, err)
	}
	defer func() { _ = conn.Close() }()
	go func() { // ends when the other direction closes the stream
		_, _ = io.Copy(conn, stream)
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
	}()
	_, _ = io.Copy(stream, conn)
	return nil
}

func (n *node) logFile(namespace, pod, container string) (*os.File, error) {
	dir := filepath.Join(n.dir, "logs", namespace, pod)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, container+".log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
}

func (n *node) serveLogs(w http.ResponseWriter, r *http.Request) {
	ns, pod := r.PathValue("ns"), r.PathValue("pod")
	if _, _, err := n.find(ns, pod); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	f, err := n.logFile(ns, pod, r.PathValue("container"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, tail(string(data), r.FormValue("tailLines")))
	flusher, ok := w.(http.Flusher)
	for ok && r.FormValue("follow") == "true" {
		flusher.Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
			_, _ = io.Copy(w, f)
		}
	}
}

// tail is the last lines of text; all of it unless lines is a number.
func tail(text, lines string) string {
	count, err := strconv.Atoi(lines)
	if err != nil {
		return text
	}
	all := strings.SplitAfter(text, "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return strings.Join(all[max(0, len(all)-count):], "")
}
