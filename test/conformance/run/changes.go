package run

import (
	"fmt"
	"net/netip"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	jwtauthn "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	setfilterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	setfilterstatenet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/networking/util"
)

const (
	// echoCluster is where every request that gets through ends.
	echoCluster = "echo"
	// authorizerCluster is the external authorizer.
	authorizerCluster = "ext-authz"
)

// change is one thing in which the listener that runs differs from istiod's.
type change struct {
	// path leads to it from the listener that runs, with the fields' names as in
	// the proto and typed_config read through. Of a filter that was taken out it is
	// the place where it stood.
	path string
	why  string
}

// The reasons for changes; there are no others.
const (
	whyName     = "name"
	whyAddress  = "address"
	whyRoute    = "route"
	whyCluster  = "cluster"
	whySecret   = "secret"
	whyLog      = "access log"
	whyIstio    = "filter of Istio's Envoy"
	whyPresence = "presence"
	whyTunnel   = "name of the internal listener"
	whyObject   = "object of Istio's Envoy"
)

// adaptation is what a listener is changed to.
type adaptation struct {
	name        string
	bind        netip.AddrPort
	log         *accesslogv3.AccessLog
	certificate *leaf
	root        string
	// clusters are those that istiod sends; jwks is the one that stands for all of
	// those with key sets.
	clusters map[string]bool
	jwks     string
	// internal is what a waypoint's internal listener is called: each needs a name of
	// its own.
	internal string
	// next is the cluster of the second hop, where this is the first; nextRoutes are
	// istiod's routes that lead there.
	next       string
	nextRoutes map[string]*routev3.RouteConfiguration
	// used by the adaptation
	changes []change
	fetched bool
	// innerChanges are those of a waypoint's internal listener.
	innerChanges []change
}

func (a *adaptation) note(why, path string, args ...any) {
	a.changes = append(a.changes, change{path: fmt.Sprintf(path, args...), why: why})
}

// listener changes a listener of istiod's in place.
func (a *adaptation) listener(l *listenerv3.Listener) error {
	l.Name = a.name
	a.note(whyName, "name")
	if l.GetInternalListener() != nil {
		return a.chains(l)
	}
	l.Address = &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.bind.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.bind.Port())}}}}
	a.note(whyAddress, "address")
	if len(l.AdditionalAddresses) > 0 {
		l.AdditionalAddresses = nil
		a.note(whyAddress, "additional_addresses")
	}
	return a.chains(l)
}

func (a *adaptation) chains(l *listenerv3.Listener) error {
	if len(l.AccessLog) > 0 {
		l.AccessLog = nil
		a.note(whyLog, "access_log")
	}
	for i, chain := range l.FilterChains {
		if err := a.chain(chain, fmt.Sprintf("filter_chains[%d]", i)); err != nil {
			return err
		}
	}
	if l.DefaultFilterChain != nil {
		return a.chain(l.DefaultFilterChain, "default_filter_chain")
	}
	return nil
}

func (a *adaptation) chain(chain *listenerv3.FilterChain, path string) error {
	kept := chain.Filters[:0:0]
	for _, f := range chain.Filters {
		at := fmt.Sprintf("%s.filters[%d]", path, len(kept))
		if istioOnly(f.GetTypedConfig()) {
			a.note(whyIstio, "%s", at)
			continue
		}
		kept = append(kept, f)
		err := a.inside(f.GetTypedConfig(), func(m proto.Message) error {
			switch m := m.(type) {
			case *hcm.HttpConnectionManager:
				return a.httpManager(m, at+".typed_config")
			case *tcpproxy.TcpProxy:
				a.tcp(m, at+".typed_config")
			case *setfilterstatenet.Config:
				a.filterState(m.OnNewConnection, at+".typed_config.on_new_connection")
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	chain.Filters = kept
	return a.inside(chain.GetTransportSocket().GetTypedConfig(), func(m proto.Message) error {
		if m, ok := m.(*tlsv3.DownstreamTlsContext); ok {
			a.secrets(m.GetCommonTlsContext(), path+".transport_socket.typed_config.common_tls_context")
		}
		return nil
	})
}

// inside opens a typed_config, lets f change what is in it and closes it again.
func (a *adaptation) inside(config *anypb.Any, f func(proto.Message) error) error {
	if config == nil {
		return nil
	}
	m, err := config.UnmarshalNew()
	if err != nil {
		return err
	}
	before := len(a.changes)
	if err := f(m); err != nil || len(a.changes) == before {
		return err
	}
	return anypb.MarshalFrom(config, m, proto.MarshalOptions{Deterministic: true})
}

func (a *adaptation) httpManager(m *hcm.HttpConnectionManager, path string) error {
	m.AccessLog = []*accesslogv3.AccessLog{a.log}
	a.note(whyLog, "%s.access_log", path)
	switch r := m.RouteSpecifier.(type) {
	case *hcm.HttpConnectionManager_Rds:
		rc := a.nextRoutes[r.Rds.GetRouteConfigName()]
		if rc == nil {
			rc = echoRoutes(r.Rds.GetRouteConfigName())
		}
		m.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: rc}
		a.note(whyRoute, "%s.rds", path)
		a.note(whyRoute, "%s.route_config", path)
		if a.next != "" {
			aside := *a // istiod's listener does not have them, so that they are all new
			aside.routes(rc, path+".route_config")
		}
	case *hcm.HttpConnectionManager_RouteConfig:
		a.routes(r.RouteConfig, path+".route_config")
	}
	kept := m.HttpFilters[:0:0]
	for _, f := range m.HttpFilters {
		at := fmt.Sprintf("%s.http_filters[%d]", path, len(kept))
		if istioOnly(f.GetTypedConfig()) {
			a.note(whyIstio, "%s", at)
			continue
		}
		kept = append(kept, f)
		if err := a.inside(f.GetTypedConfig(), func(c proto.Message) error { return a.httpFilter(c, at+".typed_config") }); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	m.HttpFilters = kept
	return nil
}

// routes leads the inline routes of a sidecar to the application.
func (a *adaptation) routes(rc *routev3.RouteConfiguration, path string) {
	for i, vh := range rc.GetVirtualHosts() {
		for j, r := range vh.GetRoutes() {
			if action := r.GetRoute(); action != nil {
				to, why := echoCluster, whyCluster
				if a.next != "" {
					to = a.next
				}
				if action.GetCluster() == core.MainInternalName {
					to, why = a.internal, whyTunnel
				}
				action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: to}
				a.note(why, "%s.virtual_hosts[%d].routes[%d].route.cluster", path, i, j)
			}
		}
	}
}

// echoRoutes stands for the routes that a gateway asks for by RDS.
func echoRoutes(name string) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{{
		Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: echoCluster}, Timeout: durationpb.New(0)}},
		}},
	}}}
}

func (a *adaptation) httpFilter(config proto.Message, path string) error {
	switch m := config.(type) {
	case *jwtauthn.JwtAuthentication:
		changed, err := requirePresence(m)
		if err != nil {
			return err
		}
		if changed {
			a.note(whyPresence, "%s.rules[0].requires", path)
		}
		for name, p := range m.Providers {
			uri := p.GetRemoteJwks().GetHttpUri()
			if uri != nil && a.clusters[uri.GetCluster()] {
				uri.HttpUpstreamType = &corev3.HttpUri_Cluster{Cluster: a.jwks}
				a.fetched = true
				a.note(whyCluster, "%s.providers[%s].remote_jwks.http_uri.cluster", path, name)
			}
		}
	case *setfilterstate.Config:
		a.filterState(m.OnRequestHeaders, path+".on_request_headers")
	case *extauthz.ExtAuthz:
		uri := m.GetHttpService().GetServerUri()
		if isAuthorizer(uri.GetCluster()) && a.clusters[uri.GetCluster()] {
			uri.HttpUpstreamType = &corev3.HttpUri_Cluster{Cluster: authorizerCluster}
			a.note(whyCluster, "%s.http_service.server_uri.cluster", path)
		}
	}
	return nil
}

// isAuthorizer says whether a cluster such as outbound|8000||ext-authz.foo.svc.cluster.local
// is that of the external authorizer.
func isAuthorizer(cluster string) bool {
	return strings.HasPrefix(cluster[strings.LastIndexByte(cluster, '|')+1:], "ext-authz.")
}

func (a *adaptation) tcp(m *tcpproxy.TcpProxy, path string) {
	m.AccessLog = []*accesslogv3.AccessLog{a.log}
	a.note(whyLog, "%s.access_log", path)
	if m.GetCluster() == util.BlackHoleCluster {
		return // the Envoy has no such cluster either, and closes the connection
	}
	if m.GetWeightedClusters() != nil {
		a.note(whyCluster, "%s.weighted_clusters", path)
	}
	m.ClusterSpecifier = &tcpproxy.TcpProxy_Cluster{Cluster: echoCluster}
	a.note(whyCluster, "%s.cluster", path)
}

// secrets puts minted certificates where the proxy would ask its agent for them.
func (a *adaptation) secrets(c *tlsv3.CommonTlsContext, path string) {
	inline := func(text string) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}
	}
	if len(c.GetTlsCertificateSdsSecretConfigs()) > 0 {
		c.TlsCertificateSdsSecretConfigs = nil
		c.TlsCertificates = []*tlsv3.TlsCertificate{{
			CertificateChain: inline(a.certificate.certPEM), PrivateKey: inline(a.certificate.keyPEM)}}
		a.note(whySecret, "%s.tls_certificate_sds_secret_configs", path)
		a.note(whySecret, "%s.tls_certificates", path)
	}
	validation := &tlsv3.CertificateValidationContext{}
	switch v := c.GetValidationContextType().(type) {
	case *tlsv3.CommonTlsContext_CombinedValidationContext:
		// What is said about names and trust besides the secret stays.
		if d := v.CombinedValidationContext.GetDefaultValidationContext(); d != nil {
			validation = d
		}
		a.note(whySecret, "%s.combined_validation_context", path)
	case *tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig:
		a.note(whySecret, "%s.validation_context_sds_secret_config", path)
	default:
		return
	}
	validation.TrustedCa = inline(a.root)
	c.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation}
	a.note(whySecret, "%s.validation_context", path)
}

// istioOnly says whether a filter is one that only Istio's Envoy has.
func istioOnly(config *anypb.Any) bool {
	for _, part := range []string{"stats.PluginConfig", "io.istio.", "istio.envoy.config", "metadataexchange"} {
		if strings.Contains(config.GetTypeUrl(), part) {
			return true
		}
	}
	if !strings.HasSuffix(config.GetTypeUrl(), ".TypedStruct") {
		return false
	}
	m, err := config.UnmarshalNew()
	if err != nil {
		return false
	}
	inner, ok := m.(interface{ GetTypeUrl() string })
	return ok && istioOnly(&anypb.Any{TypeUrl: inner.GetTypeUrl()})
}
