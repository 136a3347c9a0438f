package run

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// exchangeTimeout is how long an exchange may take before the run fails.
const exchangeTimeout = 20 * time.Second

// The protocols that Istio's sidecar offers for HTTP (Istio
// pilot/pkg/networking/core/cluster_tls.go and its ALPN filter).
var (
	istioHTTP1 = []string{"istio-http/1.1", "istio", "http/1.1"}
	istioHTTP2 = []string{"istio-h2", "istio", "h2"}
)

// connection is a client's connection before anything of HTTP was sent.
type connection struct {
	net.Conn
	hash string
}

// closedError says that the connection or the handshake ended without an answer.
type closedError struct{ error }

// dial connects to the listener as the request's Client says. A handshake that the
// proxy ends is a closedError; that nobody listens is not.
func dial(ctx context.Context, to netip.AddrPort, req *judge.Request, certs *pki) (*connection, error) {
	return dialWith(ctx, to, req, certs, func(*tls.Config) {})
}

// dialWith is dial with a change of the TLS configuration.
func dialWith(ctx context.Context, to netip.AddrPort, req *judge.Request, certs *pki, change func(*tls.Config)) (*connection, error) {
	source := req.Client.Source
	if source == "" {
		source = "127.0.0.1"
	}
	from := net.ParseIP(source)
	if from == nil {
		return nil, fmt.Errorf("source %q is no address", source)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Control: lateBind, Timeout: exchangeTimeout}
	raw, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return nil, err
	}
	if req.Client.Transport == "" {
		return &connection{Conn: raw}, nil
	}
	config, hash, err := clientTLS(req, certs)
	if err != nil {
		return nil, err
	}
	change(config)
	under := &inOnePiece{Conn: raw}
	conn := tls.Client(under, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return &connection{Conn: raw, hash: hash}, closedError{err}
	}
	return &connection{Conn: wholeWrites{conn, under}, hash: hash}, nil
}

// wholeWrites sends all TLS records of one Write together. Which complaint about a bad
// request comes first depends on what Envoy reads at a time, and a busy machine would
// make that a matter of luck.
type wholeWrites struct {
	*tls.Conn
	under *inOnePiece
}

func (c wholeWrites) Write(p []byte) (int, error) {
	c.under.holding = true
	n, err := c.Conn.Write(p)
	c.under.holding = false
	_, failed := c.under.Write(nil)
	return n, errors.Join(err, failed)
}

// inOnePiece keeps what is written while it is holding, and writes it with what follows.
type inOnePiece struct {
	net.Conn
	holding bool
	held    []byte
}

func (c *inOnePiece) Write(p []byte) (int, error) {
	c.held = append(c.held, p...)
	if c.holding {
		return len(p), nil
	}
	all := c.held
	c.held = nil
	if _, err := c.Conn.Write(all); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lateBind lets connections from one address share its ports as long as they lead
// to different places.
func lateBind(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err != nil {
		return err
	}
	return failed
}

// clientTLS is the configuration of the client's side, and its certificate's hash.
func clientTLS(req *judge.Request, certs *pki) (*tls.Config, string, error) {
	// The proxy's name is not what is tested.
	config := &tls.Config{InsecureSkipVerify: true, ServerName: req.Client.SNI, MinVersion: tls.VersionTLS12}
	switch {
	case req.Client.Transport == "mtls" && req.HTTP2:
		config.NextProtos = istioHTTP2
	case req.Client.Transport == "mtls":
		config.NextProtos = istioHTTP1
	case req.Client.Transport == "tls" && req.HTTP2:
		config.NextProtos = []string{"h2"}
	case req.Client.Transport == "tls":
		config.NextProtos = []string{"http/1.1"}
	default:
		return nil, "", fmt.Errorf("no transport %q", req.Client.Transport)
	}
	cert, err := certs.client(req.Client)
	if err != nil || cert == nil {
		return config, "", err
	}
	// Sent whatever authorities the proxy names.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert.tls, nil }
	return config, cert.hash, nil
}
