// Package istio is the control plane's half of the core: what istiod makes of the
// objects in a snapshot for one workload, as a model of its proxy in which each
// part knows the object and the field that it comes from.
//
// It imports istio.io/api, pkg/mesh, pkg/envoy, pkg/ztunnel, pkg/version and
// pkg/origin; no client, no clock, no environment. A new field of AuthorizationPolicy is one more call in
// authz_rule.go, a new `when` key one more entry in authz_model.go.
package istio

import (
	"fmt"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
	"github.com/asmjwt/kubectl-asmjwt/pkg/ztunnel"
)

// JWKSMode is PILOT_JWT_ENABLE_REMOTE_JWKS of istiod: who fetches a jwksUri.
type JWKSMode string

// The modes (Istio pilot/pkg/features/pilot.go:JwksFetchMode).
const (
	JWKSByIstiod JWKSMode = ""
	JWKSHybrid   JWKSMode = "hybrid"
	JWKSByEnvoy  JWKSMode = "envoy"
)

// Input is what a translation works on.
type Input struct {
	Snapshot *mesh.Snapshot
	Workload mesh.Workload
	// Port is the workload's own port, or the listener's of a gateway.
	Port int
	// Service is what a waypoint is asked for; Port is then its port.
	Service *Fronted
	// RemoteJWKS is istiod's mode for jwksUris. Where it is zero and the snapshot is
	// Complete, istiod's Deployment in it tells.
	RemoteJWKS JWKSMode
	// Complete says that the snapshot is the whole mesh, as files are: what is not in it
	// does not exist.
	Complete bool
	// IstiodVersion and ProxyVersion are those of the control plane and of the proxy;
	// the zero value is the newest.
	IstiodVersion, ProxyVersion version.Version
}

// Result is the proxy with what was decided on the way to it.
type Result struct {
	Proxy *envoy.Proxy
	// Considered are the policies of the namespaces that count; consideredAt is where
	// each of them is.
	Considered   []Considered
	consideredAt map[origin.Ref]int
	Elsewhere    []Elsewhere
	// Dropped are rules that istiod leaves out as a whole on HTTP chains, DroppedTCP
	// those on chains that carry bytes.
	Dropped, DroppedTCP []envoy.Dropped
	Assumed             []Assumption
	Gaps                []mesh.Gap
	// Mode is the effective mTLS mode of a sidecar's port.
	Mode       string
	ModeOrigin origin.Origin
	// Protocol is what the port's traffic is taken for.
	Protocol Protocol
	// Ztunnel is set where ztunnel is the proxy; Proxy then has no chains.
	Ztunnel *ztunnel.Proxy
	// TakesHBONE says that a captured client reaches the workload with its identity.
	TakesHBONE bool
	// Waypoints are those in front of a workload that ztunnel captures.
	Waypoints []WaypointInFront
	// Unenforced are policies that are meant for the workload and that nothing
	// enforces, each with the reason.
	Unenforced []envoy.Dropped
	// Unusable are CUSTOM policies whose authorizer cannot be used, each with the reason.
	Unusable []envoy.Dropped
	// TrustDomain and RootNamespace are those of the mesh.
	TrustDomain, RootNamespace string
	// Unmodelled are objects that could change the proxy and that were looked at, with
	// the reason where they do not.
	Unmodelled []Considered
	// CountsAttempts says that the proxy tells the next hop x-envoy-attempt-count,
	// ForwardsHost that it tells x-forwarded-host where it rewrites the host.
	CountsAttempts, ForwardsHost bool
	// Bypassed is the annotation, or BypassedBySetting, for which connections do not
	// pass the proxy.
	Bypassed string
}

// UnsupportedError says that a proxy of this kind is not modelled.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return e.What + " is not modelled" }

type translation struct {
	in     Input
	mesh   meshSettings
	config *meshapi.ProxyConfig
	proxy  *envoy.Proxy
	result *Result
	planes planes
	istiod *ControlPlane // see controlPlane
	// What is not modelled, by its place among the HTTP filters: before everything,
	// before tokens are verified, between that and the policies, behind them.
	first, beforeJWT, beforeRBAC, last []*envoy.Opaque
	// fragments is set where it is not known what the proxy does with a fragment.
	fragments *envoy.Missing
	// unreadPolicies stand for the AuthorizationPolicies that could not be read.
	unreadPolicies []*envoy.Opaque
	// atTunnel is set while the policies at the end of a waypoint's tunnel are made.
	atTunnel bool
}

// Translate makes the proxy of a workload. Errors are for input that istiod would
// not take at all.
func Translate(in Input) (*Result, error) {
	settings, assumed, err := readMeshConfig(in.Snapshot, revisionOf(in.Snapshot, in.Workload))
	if err != nil {
		return nil, err
	}
	t := &translation{in: in, mesh: settings, planes: planes{istiod: in.IstiodVersion, proxy: in.ProxyVersion}, result: &Result{
		Assumed: assumed, TrustDomain: settings.trustDomain, RootNamespace: settings.rootNamespace,
	}}
	if t.config, err = settings.proxyConfig(in.Workload.Annotations); err != nil {
		return nil, err
	}
	hidden, doubts, err := t.visible()
	if err != nil {
		return nil, err
	}
	t.result.Unmodelled = hidden
	in.Snapshot = t.in.Snapshot
	headers := t.config.GetProxyHeaders()
	t.result.CountsAttempts = !headers.GetAttemptCount().GetDisabled().GetValue()
	t.result.ForwardsHost = headers.GetXForwardedHost().GetEnabled().GetValue()
	role := RoleOf(in.Snapshot, in.Workload)
	t.proxy = &envoy.Proxy{Role: role, Behavior: envoy.BehaviorOf(in.ProxyVersion), Port: uint16(in.Port)}
	t.result.Proxy, t.result.TakesHBONE = t.proxy, TakesHBONE(in.Snapshot, in.Workload)
	t.doubt(doubts)
	if role != envoy.RoleNone && role != envoy.RoleZtunnel {
		t.unmodelled()
		t.unread()
	}
	switch role {
	case envoy.RoleSidecar:
		err = t.sidecar()
	case envoy.RoleGateway:
		err = t.gateway()
	case envoy.RoleWaypoint:
		err = t.waypoint()
	case envoy.RoleZtunnel:
		err = t.ambient()
	default:
		err = &UnsupportedError{"a " + string(role)}
	}
	return t.result, err
}

// RoleOf says what the workload's proxy is for.
func RoleOf(s *mesh.Snapshot, w mesh.Workload) envoy.Role {
	if name, ok := w.Labels[gatewayNameLabel]; ok {
		if isWaypoint(s, w, name) {
			return envoy.RoleWaypoint
		}
		return envoy.RoleGateway
	}
	if isClassicGateway(s, w) {
		return envoy.RoleGateway
	}
	if w.HasSidecar() {
		return envoy.RoleSidecar
	}
	enabled, known, _ := s.InjectionEnabled(w)
	injectable := w.FromTemplate && !w.HostNetwork
	switch {
	case injectable && enabled:
		return envoy.RoleSidecar
	case Captured(s, w):
		return envoy.RoleZtunnel
	case injectable && !known:
		return envoy.RoleSidecar
	default:
		return envoy.RoleNone
	}
}

// isClassicGateway recognises the proxies of istio-ingressgateway and its like:
// by how the proxy is started, by the injection template, or by a Gateway that
// selects a pod in which nothing runs but the proxy.
func isClassicGateway(s *mesh.Snapshot, w mesh.Workload) bool {
	started, only := gatewaySigns(w)
	return started || only && len(gatewaysOf(s, w)) > 0
}

// gatewaySigns tells whether a workload is started as a gateway, and whether nothing
// but the proxy runs in it.
func gatewaySigns(w mesh.Workload) (started, only bool) {
	only = len(w.Containers) > 0
	for _, c := range w.Containers {
		if c.Name != mesh.ProxyContainerName && !c.Init {
			only = false
		}
		for _, a := range c.Args {
			if a == "router" {
				return true, only
			}
		}
	}
	if strings.Contains(w.Annotations["inject.istio.io/templates"], "gateway") {
		return true, only
	}
	switch w.Labels["istio"] {
	case "ingressgateway", "egressgateway", "eastwestgateway":
		return true, only
	}
	return false, only
}

// httpFilters makes the HTTP filters in istiod's order: CUSTOM, JWT, then RBAC for
// AUDIT, DENY and ALLOW (Istio pilot/pkg/networking/core/listener_builder.go:buildHTTPConnectionManager).
func (t *translation) httpFilters(policies []authzPolicy) []envoy.Filter {
	jwt := t.jwtFilter()
	custom, authz := t.withUnreadPolicies(t.customFilters(policies, false), t.authzFilters(policies, false), false)
	out := append(opaqueFilters(nil, t.first), custom...)
	out = opaqueFilters(out, t.beforeJWT)
	if jwt != nil {
		out = append(out, jwt)
	}
	out = append(opaqueFilters(out, t.beforeRBAC), authz...)
	return opaqueFilters(out, t.last)
}

// tcpFilters makes the network filters of a chain that carries bytes: no JWT there
// (Istio pilot/pkg/networking/core/networkfilter.go:buildCompleteNetworkFilters).
func (t *translation) tcpFilters(policies []authzPolicy) []envoy.Filter {
	custom, authz := t.withUnreadPolicies(t.customFilters(policies, true), t.authzFilters(policies, true), true)
	return append(custom, authz...)
}

func (t *translation) manager() *envoy.ConnectionManager {
	cm := &envoy.ConnectionManager{
		NormalizePath: true, GenerateRequestID: true, ForwardClientCert: envoy.AppendForwardXFCC,
		XFCCSubject: true, XFCCURI: true, XFCCDNS: true,
		LocalURISANs: []string{fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", t.mesh.trustDomain, t.in.Workload.Namespace, t.in.Workload.ServiceAccount)},
		PathOrigin:   t.mesh.normalizationOrigin, FragmentDoubt: t.fragments,
	}
	switch t.mesh.normalization {
	case meshapi.MeshConfig_ProxyPathNormalization_NONE:
		cm.NormalizePath = false
	case meshapi.MeshConfig_ProxyPathNormalization_MERGE_SLASHES:
		cm.MergeSlashes = true
	case meshapi.MeshConfig_ProxyPathNormalization_DECODE_AND_MERGE_SLASHES:
		cm.MergeSlashes, cm.EscapedSlashes = true, envoy.UnescapeAndForward
	}
	t.connectionSettings(cm)
	if ph := t.config.GetProxyHeaders(); ph != nil {
		if ph.GetRequestId().GetDisabled().GetValue() {
			cm.GenerateRequestID = false
		}
		cm.AppendForwardedPort = ph.GetXForwardedPort().GetEnabled().GetValue()
		if ph.GetForwardedClientCert() != meshapi.ForwardClientCertDetails_UNDEFINED {
			cm.ForwardClientCert = xfccMode(ph.GetForwardedClientCert())
		}
		if d := ph.GetSetCurrentClientCertDetails(); d != nil {
			cm.XFCCSubject = d.GetSubject() == nil || d.GetSubject().GetValue()
			cm.XFCCURI = d.GetUri() == nil || d.GetUri().GetValue()
			cm.XFCCDNS = d.GetDns() == nil || d.GetDns().GetValue()
			cm.XFCCCert, cm.XFCCChain = d.GetCert().GetValue(), d.GetChain().GetValue()
		}
	}
	return cm
}

func xfccMode(d meshapi.ForwardClientCertDetails) envoy.ForwardClientCert {
	switch d {
	case meshapi.ForwardClientCertDetails_SANITIZE:
		return envoy.SanitizeXFCC
	case meshapi.ForwardClientCertDetails_FORWARD_ONLY:
		return envoy.ForwardOnlyXFCC
	case meshapi.ForwardClientCertDetails_APPEND_FORWARD:
		return envoy.AppendForwardXFCC
	case meshapi.ForwardClientCertDetails_ALWAYS_FORWARD_ONLY:
		return envoy.AlwaysForwardOnlyXFCC
	default:
		return envoy.SanitizeSetXFCC
	}
}

// trustPrefixes are what a client's URI SAN must begin with
// (Istio pilot/pkg/networking/plugin/authn/util.go:TrustDomainsForValidation).
func (t *translation) trustPrefixes() []string {
	if skip, _ := t.controlPlane().Switch(envAnyDomain); skip && t.istiodFlag(envAnyDomain, false) { // noted only where it is set
		return nil
	}
	var out []string
	seen := map[string]bool{}
	add := func(td string) {
		if td != "" && !seen[td] {
			seen[td] = true
			out = append(out, "spiffe://"+td+"/")
		}
	}
	for _, td := range t.mesh.trustDomains() {
		add(td)
	}
	for _, ca := range t.mesh.config.GetCaCertificates() {
		for _, td := range ca.GetTrustDomains() {
			add(td)
		}
	}
	return out
}

// Ports lists the ports of a workload that a request can be sent to: those that
// Services name, or those of a gateway's listeners.
func Ports(s *mesh.Snapshot, w mesh.Workload) ([]PortInfo, error) {
	services, err := s.ServicesOf(w)
	if err != nil {
		return nil, err
	}
	var out []PortInfo
	if RoleOf(s, w) == envoy.RoleWaypoint {
		return waypointPorts(s, w), nil
	}
	if RoleOf(s, w) == envoy.RoleGateway {
		for _, p := range gatewayPorts(s, w, services) {
			out = append(out, PortInfo{Number: p.listener, Protocol: p.protocol, ServerPorts: p.servers, TLS: p.tls})
		}
		return out, nil
	}
	return sidecarPorts(s, w)
}

func servicePort(s mesh.Service, p mesh.ServicePort) ServicePort {
	return ServicePort{Service: s.Name, Namespace: s.Namespace, Name: p.Name, Port: p.Port, HTTP2: speaksHTTP2(p), protocol: portProtocol(p)}
}

// PortInfo is a port that requests can be sent to.
type PortInfo struct {
	Number   int // the workload's own port, or the gateway listener's
	Protocol Protocol
	Services []ServicePort
	// ServerPorts are the ports that Gateway servers name for this listener.
	ServerPorts []int
	TLS         bool // of a gateway: the listener terminates TLS
	// Fronted is the Service of a waypoint that Number is a port of.
	Fronted *Fronted
}

// ServicePort is a Service's name for a port.
type ServicePort struct {
	Service, Namespace, Name string
	Port                     int
	// HTTP2 says that proxies of the mesh speak HTTP/2 to it.
	HTTP2    bool
	protocol Protocol
	host     string // of a ServiceEntry
}

// Auto reports whether what the port carries is sniffed.
func (p ServicePort) Auto() bool { return p.protocol == ProtocolAuto }

// Host is the full name of the Service.
func (p ServicePort) Host() string {
	if p.host != "" {
		return p.host
	}
	return p.Service + "." + p.Namespace + clusterSuffix
}

// PortOf is a port of a host of the mesh, which an object of that namespace makes known.
func PortOf(host, namespace string, port int) ServicePort {
	return ServicePort{Namespace: namespace, Port: port, host: host}
}
