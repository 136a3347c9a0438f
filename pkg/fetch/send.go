package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// Send sends a request from this machine, byte by byte as it is described, over a
// connection of its own, and reads the answer. keep bounds how much of the body is kept.
// It speaks HTTP/1.1. roots are the authorities that may sign the server's certificate;
// nil: those of the system. What fails is told in the reply.
func Send(ctx context.Context, r wire.Request, roots *x509.CertPool, keep int) wire.Reply {
	start := time.Now() //nolint:forbidigo // how long the exchange took; no time of the answer depends on it
	ctx, cancel := context.WithTimeout(ctx, r.MaxTime)
	defer cancel()
	reply := send(ctx, r, roots, keep)
	reply.Took = time.Since(start) //nolint:forbidigo // see above
	return reply
}

func send(ctx context.Context, r wire.Request, roots *x509.CertPool, keep int) wire.Reply {
	text, err := r.Raw()
	if err != nil {
		return wire.Reply{Failure: &wire.Failure{Kind: wire.Unsent, Message: err.Error()}}
	}
	conn, err := dial(ctx, r, roots)
	if err != nil {
		return wire.Reply{Failure: failureOf(ctx, err)}
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	ip, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	reply := wire.Reply{IP: ip}
	if _, err := io.WriteString(conn, text); err != nil {
		reply.Failure = failureOf(ctx, err)
		return reply
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	const head = 96 << 10
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, head), &http.Request{Method: method})
	if err == nil && response.StatusCode < http.StatusOK && response.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New("an interim answer, and no final one") // Envoy sends none that was not asked for
	}
	if err != nil {
		reply.Failure = failureOf(ctx, err)
		return reply
	}
	defer func() { _ = response.Body.Close() }()
	reply.Status, reply.Version, reply.HeadersKnown = response.StatusCode, fmt.Sprintf("%d.%d", response.ProtoMajor, response.ProtoMinor), true
	for name, values := range response.Header {
		for _, v := range values {
			reply.Headers = append(reply.Headers, envoy.Header{Name: name, Value: v})
		}
	}
	kept, err := io.ReadAll(io.LimitReader(response.Body, int64(keep)))
	more, restErr := io.Copy(io.Discard, response.Body)
	reply.Body, reply.BodyKnown, reply.Size = string(kept), true, int64(len(kept))+more
	if err = errors.Join(err, restErr); err != nil {
		reply.Failure = failureOf(ctx, err)
		if reply.Failure.Kind == wire.Closed {
			reply.Failure.Kind = wire.Cut
		}
	}
	return reply
}

func dial(ctx context.Context, r wire.Request, roots *x509.CertPool) (net.Conn, error) {
	address := r.ConnectTo
	if address == "" {
		address = r.Address
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil || !r.TLS {
		return conn, err
	}
	host, _, _ := net.SplitHostPort(r.Address)
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &handshakeError{err}
	}
	return secure, nil
}

// handshakeError says that TLS did not come about.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// failureOf is why there is no answer.
func failureOf(ctx context.Context, err error) *wire.Failure {
	f := &wire.Failure{Kind: wire.Closed, Message: strings.Join(strings.Fields(err.Error()), " ")}
	var dns *net.DNSError
	var op *net.OpError
	var shaken *handshakeError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		f.Kind, f.Message = wire.TimedOut, ""
	case errors.As(err, &dns):
		f.Kind = wire.NoSuchHost
	case errors.As(err, &untrusted):
		f.Kind = wire.Untrusted
	case errors.As(err, &shaken):
		f.Kind = wire.TLSHandshake
	case errors.As(err, &op) && op.Op == "dial":
		f.Kind = wire.Refused
	case strings.Contains(err.Error(), "malformed HTTP"):
		f.Kind = wire.Protocol
	}
	return f
}
