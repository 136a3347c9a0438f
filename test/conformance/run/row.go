package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/xds/endpoints"
	"istio.io/istio/pkg/config/labels"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// next is how the first of two hops gets to the second: istiod's own routes and the
// cluster that they lead to, with the endpoint that istiod has for it.
type next struct {
	routes  map[string]*routev3.RouteConfiguration
	cluster *clusterv3.Cluster
	changes []change
}

// The options of HTTP in a cluster, and the reasons for changes that clusters need.
const (
	httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	whyALPN     = "protocols that a filter of Istio's Envoy would choose"
	whyOnce     = "one request a connection, to find it in the log"
	whyPatience = "a shorter wait for an application that does not speak TLS"
)

// makeNext asks istiod how a proxy gets to the Case's target.
func makeNext(gen *core.ConfigGenTest, node *model.Proxy, m *manifest, behind *judge.Case) (*next, error) {
	name, err := m.clusterOf(behind)
	if err != nil {
		return nil, err
	}
	n := &next{routes: map[string]*routev3.RouteConfiguration{}}
	for _, rc := range gen.Routes(node) {
		n.routes[rc.GetName()] = rc
	}
	for _, c := range gen.Clusters(node) {
		if c.GetName() == name {
			n.cluster = c
		}
	}
	if n.cluster == nil {
		return nil, fmt.Errorf("istiod has no cluster %s for the first hop", name)
	}
	builder := endpoints.NewEndpointBuilder(name, node, gen.PushContext())
	n.cluster.LoadAssignment = builder.BuildClusterLoadAssignment(gen.Env().EndpointIndex)
	if len(n.cluster.GetLoadAssignment().GetEndpoints()) == 0 {
		return nil, fmt.Errorf("istiod has no endpoint for %s", name)
	}
	return n, nil
}

// clusterOf is the name of the cluster of the Service in front of a Case's target.
func (m *manifest) clusterOf(c *judge.Case) (string, error) {
	w, err := m.target(c)
	if err != nil {
		return "", err
	}
	for _, svc := range m.services {
		if svc.Namespace != w.namespace || len(svc.Spec.Selector) == 0 || !labels.Instance(svc.Spec.Selector).SubsetOf(w.pod.Labels) {
			continue
		}
		for _, p := range svc.Spec.Ports {
			if number, ok := targetPort(p, w.pod.Spec); ok && int(number) == c.Port {
				return fmt.Sprintf("outbound|%d||%s.%s.svc.%s", p.Port, svc.Name, svc.Namespace, domainSuffix), nil
			}
		}
	}
	return "", fmt.Errorf("no Service leads to port %d of %s", c.Port, c.Target)
}

// instancesOf are the instances of a further workload, of the Services that there are.
func (m *manifest) instancesOf(w *workload, cfg *meshconfig.MeshConfig, services []*model.Service) []*model.ServiceInstance {
	_, all := m.registry(w, cfg)
	for _, i := range all {
		for _, s := range services {
			if s.Hostname == i.Service.Hostname {
				i.Service = s
			}
		}
		i.Endpoint.Addresses = []string{"10.10.0.2"}
		if !w.gateway {
			i.Endpoint.TLSMode = model.IstioMutualTLSModeLabel // the injector's label
		}
	}
	return all
}

// adapt changes istiod's cluster so that it leads to the second hop's listener.
func (n *next) adapt(a *adaptation, name string, to netip.AddrPort) (map[string]any, error) {
	c := n.cluster
	inner := *a
	inner.changes = nil
	c.Name = name
	inner.note(whyName, "name")
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	inner.note(whyAddress, "type")
	c.ConnectTimeout = durationpb.New(time.Second)
	inner.note(whyPatience, "connect_timeout")
	c.EdsClusterConfig = nil
	inner.note(whyAddress, "eds_cluster_config")
	c.LoadAssignment.ClusterName = name
	inner.note(whyName, "load_assignment.cluster_name")
	for i, locality := range c.LoadAssignment.Endpoints {
		for j, e := range locality.LbEndpoints {
			e.GetEndpoint().Address = socketAddress(to)
			inner.note(whyAddress, "load_assignment.endpoints[%d].lb_endpoints[%d].endpoint.address", i, j)
		}
	}
	two, err := inner.oneRequest(c)
	if err != nil {
		return nil, err
	}
	alpn := istioHTTP1
	if two {
		alpn = istioHTTP2
	}
	if err := inner.upstreamTLS(c.GetTransportSocket(), "transport_socket", alpn); err != nil {
		return nil, err
	}
	for i, m := range c.GetTransportSocketMatches() {
		if err := inner.upstreamTLS(m.GetTransportSocket(), fmt.Sprintf("transport_socket_matches[%d].transport_socket", i), alpn); err != nil {
			return nil, err
		}
	}
	n.changes = inner.changes
	text, err := protojson.Marshal(c)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	return out, json.Unmarshal(text, &out)
}

func socketAddress(to netip.AddrPort) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: to.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(to.Port())}}}}
}

// oneRequest lets each request have a connection of its own, and reports whether the
// cluster speaks HTTP/2.
func (a *adaptation) oneRequest(c *clusterv3.Cluster) (bool, error) {
	options := &httpv3.HttpProtocolOptions{}
	packed := c.GetTypedExtensionProtocolOptions()[httpOptions]
	if packed == nil {
		// What Envoy does without any options is HTTP/1.1.
		options.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{},
		}}
		packed = &anypb.Any{}
		c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: packed}
		a.note(whyOnce, "typed_extension_protocol_options")
	} else if err := packed.UnmarshalTo(options); err != nil {
		return false, err
	}
	if options.CommonHttpProtocolOptions == nil {
		options.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{}
	}
	options.CommonHttpProtocolOptions.MaxRequestsPerConnection = wrapperspb.UInt32(1)
	if len(a.changes) == 0 || a.changes[len(a.changes)-1].why != whyOnce {
		a.note(whyOnce, "typed_extension_protocol_options[%s]", httpOptions)
	}
	return options.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil, packed.MarshalFrom(options)
}

// upstreamTLS puts minted certificates where the proxy would ask its agent for them,
// and the protocols that Istio's ALPN filter would offer.
func (a *adaptation) upstreamTLS(socket *corev3.TransportSocket, path string, alpn []string) error {
	if socket.GetTypedConfig() == nil || !strings.HasSuffix(socket.GetTypedConfig().GetTypeUrl(), ".UpstreamTlsContext") {
		return nil
	}
	return a.inside(socket.GetTypedConfig(), func(m proto.Message) error {
		c := m.(*tlsv3.UpstreamTlsContext).GetCommonTlsContext()
		at := path + ".typed_config.common_tls_context"
		a.secrets(c, at)
		c.AlpnProtocols = alpn
		a.note(whyALPN, "%s.alpn_protocols", at)
		return nil
	})
}

// RunInARow gives the answers to cases whose requests go through two Envoys: that of
// the Case's Via, and behind it that of its target. Details are those of the Envoy
// that answers.
func RunInARow(ctx context.Context, cases []judge.Case, opts Options) ([]judge.Answer, []judge.Minted, error) {
	r, err := newRunner(cases, opts)
	if err != nil {
		return nil, nil, err
	}
	meshes := group(r.cases)
	for len(meshes) > 0 && ctx.Err() == nil {
		n := min(len(meshes), r.opts.MeshesPerEnvoy)
		r.fail(r.inARow(ctx, meshes[:n]))
		meshes = meshes[n:]
	}
	r.fail(ctx.Err())
	r.fail(errors.Join(r.echo.stop(), r.authorizer.Close()))
	return r.answers, r.minted, errors.Join(r.errs...)
}

// inARow does the meshes of one pair of Envoys.
func (r *runner) inARow(ctx context.Context, meshes []*Mesh) (err error) {
	fronts, backs := make([]*Mesh, len(meshes)), make([]*Mesh, len(meshes))
	for i, m := range meshes {
		front := frontOf(m.first)
		fronts[i], backs[i] = &Mesh{name: m.name, first: front, cases: m.cases}, &Mesh{name: m.name, first: behindOf(front), cases: m.cases}
	}
	back, err := r.prepare(backs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back.close()) }()
	front, err := r.prepare(fronts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.close()) }()
	if len(front.meshes) != len(meshes) || len(back.meshes) != len(meshes) {
		return errors.New("some meshes have no listeners") // said before
	}
	front.behind = back
	for _, b := range []*batch{back, front} {
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	if err := front.sendAll(ctx); err != nil {
		return err
	}
	return errors.Join(front.envoy.alive(), back.envoy.alive())
}

// next leads a mesh of the first hop to the second.
func (b *batch) next(i int, m *prepared, a *adaptation) error {
	a.next, a.nextRoutes = "next-"+m.name, m.next.routes
	cluster, err := m.next.adapt(a, a.next, b.behind.address(i))
	if err != nil {
		return err
	}
	b.upstreams = append(b.upstreams[:len(b.upstreams):len(b.upstreams)], upstream{name: a.next, cluster: cluster})
	return nil
}

// readBehind joins the answers with the access log of the second Envoy, and says how
// each request got there.
func (b *batch) readBehind(ctx context.Context, jobs []*job, lines map[logKey]logLine) error {
	var must []logKey
	keys := map[*job]logKey{}
	for i, m := range b.meshes {
		cert, err := b.certs.server(m.identity)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.mesh != m {
				continue
			}
			minted := &b.minted[j.at]
			minted.ProxyIP = ownAddress()
			minted.Link = judge.Link{Source: "127.0.0.1:1", Destination: b.behind.address(i).String(), Certificate: cert.hash}
			line := lines[j.key]
			if !j.sent || line.Upstream == "" || line.Upstream == "-" {
				continue
			}
			minted.Link.Source = line.Upstream
			if line.Details == "via_upstream" {
				keys[j] = logKey{m.name, line.Upstream}
				must = append(must, keys[j])
			}
		}
	}
	if len(must) == 0 {
		return nil
	}
	behind, err := readLog(ctx, b.behind.envoy.log, must, nil)
	if err != nil {
		return fmt.Errorf("the second Envoy: %w", err)
	}
	for j, key := range keys {
		b.answers[j.at].Details = behind[key].text()
	}
	return nil
}

// ownAddress is what an Envoy takes for its own address: the first of an interface
// that is not the loopback (Envoy source/common/network/utility.cc:Utility::getLocalAddress).
func ownAddress() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// resetBehind reports whether the first of two hops says that the second one has closed
// the connection. Like a connection that ends without an answer, that may take a while.
func resetBehind(a *judge.Answer) bool {
	return strings.HasPrefix(a.Body+a.GRPCMessage, "upstream connect error")
}

// frontOf is the case that asks for the listener of the first hop: its Via names the
// second one.
func frontOf(c *judge.Case) *judge.Case {
	out := *c
	out.Target, out.Namespace, out.Port = c.Via.Target, c.Via.Namespace, c.Via.Port
	out.Via = judge.Hop{Target: c.Target, Namespace: c.Namespace, Port: c.Port}
	return &out
}

// behindOf is the case that asks for the listener of the second hop, made of that for
// the first.
func behindOf(front *judge.Case) *judge.Case {
	out := *front
	out.Target, out.Namespace, out.Port = front.Via.Target, front.Via.Namespace, front.Via.Port
	out.Via = judge.Hop{}
	return &out
}
