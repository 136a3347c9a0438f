package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// DialPod opens a connection to a port of a pod, in the pod's own network, as kubectl
// port-forward does, and without a local port. It speaks WebSocket, and SPDY where that
// is refused. The context ends the connection too.
func (c *Cluster) DialPod(ctx context.Context, namespace, pod string, port int) (io.ReadWriteCloser, error) {
	u := c.podURL(namespace, pod, "portforward", nil)
	config := c.streamConfig()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, err)
	}
	websocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, config)
	if err != nil {
		return nil, fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, err)
	}
	dialer := portforward.NewFallbackDialerForStreaming(websocket, spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, u), worthAnotherProtocol)
	type dialled struct {
		conn httpstream.Connection
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		conn, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		done <- dialled{conn, err}
	}()
	select {
	case <-ctx.Done():
		go func() { // the dialers know no context
			if d := <-done; d.err == nil {
				_ = d.conn.Close()
			}
		}()
		return nil, fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, ctx.Err())
	case d := <-done:
		if d.err != nil {
			return nil, streamError("portforward", namespace, pod, d.err)
		}
		return newPodConn(ctx, d.conn, port)
	}
}

// podConn is one connection through the tunnel.
type podConn struct {
	httpstream.Stream
	conn   httpstream.Connection
	stop   func() bool
	failed chan error
	once   sync.Once
}

func newPodConn(ctx context.Context, conn httpstream.Connection, port int) (*podConn, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	errors, err := conn.CreateStream(headers)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("port-forward to port %d: %w", port, err)
	}
	_ = errors.Close() // it is read only
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("port-forward to port %d: %w", port, err)
	}
	p := &podConn{Stream: data, conn: conn, failed: make(chan error, 1)}
	p.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	go func() {
		const most = 4096
		message, err := io.ReadAll(io.LimitReader(errors, most))
		if err == nil && len(message) > 0 {
			p.failed <- fmt.Errorf("port-forward to port %d: %s", port, strings.Join(strings.Fields(string(message)), " "))
		}
		close(p.failed)
	}()
	return p, nil
}

// Read reads from the pod. That nothing listens there is told at the first read.
func (p *podConn) Read(b []byte) (int, error) {
	n, err := p.Stream.Read(b)
	if n > 0 || err == nil {
		return n, err
	}
	if failed, told := <-p.failed; told && failed != nil {
		return 0, failed
	}
	return 0, err
}

// Close ends the connection.
func (p *podConn) Close() error {
	var err error
	p.once.Do(func() {
		p.stop()
		_ = p.Reset()
		err = p.conn.Close()
	})
	return err
}
