package cmd

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// readGateway reads what a request to a gateway needs: the gateway and its routes, and
// then what they lead to.
func (s *scene) readGateway(ctx context.Context) error {
	o := s.o
	g := *o.gateway
	if g.Namespace == "" {
		g.Namespace = o.namespace
	}
	place := kube.Place{Target: g.Target, Namespace: g.Namespace}
	s.in.Target, s.in.Namespace = g.Target, g.Namespace
	q := questionOf(s.in)
	q.Hops = []kube.Place{place, place} // with a hop behind it the routes are read, too
	if err := s.collect(ctx, q); err != nil {
		return err
	}
	groups, err := s.snap.Resolve(g.Target, g.Namespace)
	if err != nil {
		return notThere(fmt.Errorf("--to-gateway: %w", err), s.planes)
	}
	if !diagnose.IsGateway(groups[0], s.snap) {
		return usage("leave --to-gateway out for a workload of the mesh, and write its Service into the URL", "--to-gateway: %s in namespace %s is no gateway", g.Target, g.Namespace)
	}
	port := s.port
	if g.Port.Number != 0 {
		port = g.Port.Number
	}
	entry, err := diagnose.EntryOf(groups[0], g.Target, port, s.snap)
	if err != nil {
		return portMeant(err)
	}
	if s.address, err = s.addressOf(groups[0], entry); err != nil {
		return err
	}
	if err := s.pinGateway(ctx, groups[0], entry); err != nil {
		return err
	}
	g.Port = diagnose.Port{Number: entry.Server}
	return s.readBehind(ctx, g, q)
}

// portMeant gives the question which port was meant its answer.
func portMeant(err error) error {
	var ports *diagnose.PortsError
	if !errors.As(err, &ports) {
		return err
	}
	var list []string
	for _, p := range ports.Candidates {
		for _, n := range append(p.ServerPorts, p.Number) {
			if text := strconv.Itoa(n); !slices.Contains(list, text) {
				list = append(list, text)
			}
		}
	}
	return usage("write a port into the URL, or behind --to-gateway TYPE/NAME.NAMESPACE:PORT: "+strings.Join(list, ", "), "--to-gateway: %s", ports.Error())
}

// readBehind finds and reads what the gateway's routes lead to, for each path.
func (s *scene) readBehind(ctx context.Context, g diagnose.Via, q kube.Question) error {
	s.paths = map[string]diagnose.Intent{}
	base := s.in
	base.Host = s.o.base.Authority
	if s.o.base.https {
		base.Caller = diagnose.Caller{TLS: true, SNI: s.host, SNIGiven: true}
	} else {
		base.Caller = diagnose.Caller{Plaintext: true}
	}
	q.Hops = q.Hops[:1]
	for _, path := range s.o.paths {
		in := base
		in.Path = path
		through, why, err := diagnose.Through(in, g, s.snap)
		if err != nil {
			return portMeant(err)
		}
		through.Caller = s.in.Caller
		s.paths[path] = through
		if why != "" {
			s.gaps = append(s.gaps, diagnose.Gap{What: "what is behind the gateway for " + path, Why: why})
		}
		if behind := (kube.Place{Target: through.Target, Namespace: through.Namespace}); !slices.Contains(q.Hops, behind) {
			q.Hops = append(q.Hops, behind)
		}
	}
	if len(q.Hops) > 1 {
		if err := s.collect(ctx, q); err != nil {
			return err
		}
	}
	s.held(ctx)
	return nil
}

// addressOf is where the gateway is to be reached from where requests come from.
func (s *scene) addressOf(w mesh.Workload, e diagnose.Entry) (string, error) {
	var host string
	port := e.ServicePort
	if v := e.Service; v != nil {
		for _, all := range [][]string{v.LoadBalancerIPs, v.LoadBalancerHosts, v.ExternalIPs} {
			if s.o.local && host == "" && len(all) > 0 {
				host = all[0]
			}
		}
		if !s.o.local && v.ClusterIP != "None" {
			host = v.ClusterIP
		}
	}
	if host == "" && !s.o.local && len(w.PodIPs) > 0 {
		host, port = w.PodIPs[0], e.Listener
	}
	if host == "" {
		return "", &unavailableError{
			problem: fmt.Sprintf("--to-gateway: %s has no address outside the cluster: no Service with a load balancer or an external IP leads to it", w.Ref.Name),
			hint:    "send from a pod: --from TYPE/NAME",
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// pinTime bounds the look at the gateway's certificate.
const pinTime = 20 * time.Second

// pinGateway checks the gateway's certificate by --ca where a pod is to send: the pod has
// not that file, so its curl is told which public key to take. The gateway is asked
// through a port-forward.
func (s *scene) pinGateway(ctx context.Context, w mesh.Workload, e diagnose.Entry) error {
	if s.o.ca == nil || s.o.local || s.pin != "" {
		return nil
	}
	roots, err := s.o.roots()
	if err != nil {
		return err
	}
	if len(w.Pods) == 0 {
		return &unavailableError{problem: "--ca: the gateway has no pod whose certificate could be looked at"}
	}
	ctx, cancel := context.WithTimeout(ctx, pinTime)
	defer cancel()
	stream, err := s.planes.Data.DialPod(ctx, w.Namespace, w.Pods[0], e.Listener)
	if err != nil {
		return fmt.Errorf("--ca: look at the gateway's certificate: %w", err)
	}
	defer func() { _ = stream.Close() }()
	conn := tls.Client(streamConn{stream}, &tls.Config{ServerName: s.host, RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err := conn.HandshakeContext(ctx); err != nil {
		return &unavailableError{
			problem: fmt.Sprintf("--ca: the gateway shows no certificate for %q that it signs: %v", s.host, err),
			hint:    "is it the authority of this host's certificate?",
		}
	}
	digest := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	s.pin = base64.StdEncoding.EncodeToString(digest[:])
	return nil
}

// roots are the authorities of --ca; nil without it.
func (o *probeOptions) roots() (*x509.CertPool, error) {
	if o.ca == nil {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(o.ca) {
		return nil, usage("give a file with -----BEGIN CERTIFICATE----- in it", "--ca: there is no certificate in the file")
	}
	return pool, nil
}

// streamConn is a stream as a connection for TLS, whose deadlines are the context's.
type streamConn struct{ io.ReadWriteCloser }

// LocalAddr and RemoteAddr are not known.
func (streamConn) LocalAddr() net.Addr  { return &net.UnixAddr{} }
func (streamConn) RemoteAddr() net.Addr { return &net.UnixAddr{} }

// SetDeadline, SetReadDeadline and SetWriteDeadline leave it to the context.
func (streamConn) SetDeadline(time.Time) error      { return nil }
func (streamConn) SetReadDeadline(time.Time) error  { return nil }
func (streamConn) SetWriteDeadline(time.Time) error { return nil }
