package run

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	sfsvalue "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protojson"

	"istio.io/istio/pilot/pkg/networking/core"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// tunnelPort is HBONE's (Istio pilot/pkg/model:HBoneInboundListenPort).
const tunnelPort = 15008

// tunnel is what a waypoint has besides the listener that takes HBONE: the internal
// listener with the chains of what it fronts, and the cluster that leads there.
type tunnel struct {
	// to is the address and port that the CONNECT names.
	to       netip.AddrPort
	listener *listenerv3.Listener
	cluster  map[string]any
}

// pickTunnel finds the two listeners of a waypoint.
func pickTunnel(all []*listenerv3.Listener, to netip.AddrPort) (*listenerv3.Listener, *tunnel) {
	t := &tunnel{to: to}
	var terminate *listenerv3.Listener
	for _, l := range all {
		switch l.Name {
		case core.ConnectTerminate:
			terminate = l
		case core.MainInternalName:
			t.listener = l
		}
	}
	if t.listener == nil {
		return nil, nil
	}
	return terminate, t
}

// tunnelLog is what the CONNECTs to a listener are logged under.
func tunnelLog(listener string) string { return listener + "-connect" }

func (k logKey) tunnel() logKey { return logKey{tunnelLog(k.listener), k.peer} }

// adapt changes the internal listener, which takes the mesh's name in the access log,
// and prepares the adaptation of the one in front of it.
func (t *tunnel) adapt(a *adaptation, dir string) error {
	inner := *a
	inner.name = a.name + "-main"
	a.internal = inner.name
	var err error
	if inner.log, err = accessLog(dir, a.name, tunnelledFor); err != nil {
		return err
	}
	if err := inner.listener(t.listener); err != nil {
		return err
	}
	a.fetched, a.innerChanges = inner.fetched, inner.changes
	if a.log, err = accessLog(dir, tunnelLog(a.name), directPeer); err != nil {
		return err
	}
	t.cluster, err = internalCluster(a.internal)
	return err
}

// internalCluster is istiod's cluster main_internal under another name.
func internalCluster(name string) (map[string]any, error) {
	c := core.GetMainInternalCluster()
	c.Name, c.AltStatName = name, name
	c.LoadAssignment.ClusterName = name
	for _, locality := range c.LoadAssignment.Endpoints {
		for _, e := range locality.LbEndpoints {
			e.GetEndpoint().GetAddress().GetEnvoyInternalAddress().AddressNameSpecifier = internalAddress(name)
		}
	}
	text, err := protojson.Marshal(c)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	return out, json.Unmarshal(text, &out)
}

func internalAddress(name string) *corev3.EnvoyInternalAddress_ServerListenerName {
	return &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: name}
}

// filterState names Envoy's own kind of string where istiod names that of Istio's.
func (a *adaptation) filterState(values []*sfsvalue.FilterStateValue, path string) {
	for i, v := range values {
		if v.GetFactoryKey() == "istio.hashable_string" {
			v.FactoryKey = "envoy.hashable_string"
			a.note(whyObject, "%s[%d].factory_key", path, i)
		}
	}
}

// dial reaches what a job's request is for: the listener, or the Service behind it
// through HBONE.
func (b *batch) dial(ctx context.Context, j *job, req *judge.Request) (*connection, error) {
	if j.mesh.tunnel == nil || req.Client.Transport != "mtls" {
		return dial(ctx, j.to, req, b.certs)
	}
	return dialTunnel(ctx, j.to, j.mesh.tunnel.to, req, b.certs)
}

// dialTunnel speaks HBONE as ztunnel does: mTLS, then an HTTP/2 CONNECT whose stream
// is the connection. A CONNECT that is refused is a closedError: to the application
// behind ztunnel it is a connection that ends.
func dialTunnel(ctx context.Context, listener, to netip.AddrPort, req *judge.Request, certs *pki) (*connection, error) {
	hbone := judge.Request{Client: req.Client, HTTP2: true}
	conn, err := dialWith(ctx, listener, &hbone, certs, func(c *tls.Config) {
		c.NextProtos, c.MinVersion = []string{"h2"}, tls.VersionTLS13
	})
	if err != nil {
		return conn, err
	}
	client, err := (&http2.Transport{}).NewClientConn(conn)
	if err != nil {
		return conn, closedError{err}
	}
	body, in := io.Pipe()
	stream := &tunnelConn{Conn: conn.Conn, in: in}
	out := &connection{Conn: stream, hash: conn.hash}
	connect := (&http.Request{Method: http.MethodConnect, URL: &url.URL{Host: to.String()}, Host: to.String(), Header: http.Header{}, Body: body}).WithContext(ctx)
	resp, err := client.RoundTrip(connect) //nolint:bodyclose // the body is the connection
	if err != nil {
		return out, closedError{err}
	}
	stream.out = resp.Body
	if resp.StatusCode != http.StatusOK {
		return out, closedError{fmt.Errorf("CONNECT: %s", resp.Status)}
	}
	return out, nil
}

// tunnelConn is the stream of a CONNECT.
type tunnelConn struct {
	net.Conn
	in  *io.PipeWriter
	out io.ReadCloser
}

func (c *tunnelConn) Read(p []byte) (int, error)  { return c.out.Read(p) }
func (c *tunnelConn) Write(p []byte) (int, error) { return c.in.Write(p) }

// Close ends the stream and the connection that carries it.
func (c *tunnelConn) Close() error {
	_ = c.in.Close()
	if c.out != nil {
		_ = c.out.Close()
	}
	return c.Conn.Close()
}
