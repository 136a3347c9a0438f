package istio

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"
	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// extAuthz is the external authorizer of a name as istiod takes it: nil where it
// is not configured, or configured with a mistake. Of two providers with one name the
// last counts (Istio pkg/config/mesh/mesh.go:ApplyMeshConfig,
// pilot/pkg/security/authz/builder/extauthz.go:processExtensionProvider).
func (t *translation) extAuthz(name string) *meshapi.MeshConfig_ExtensionProvider {
	var found *meshapi.MeshConfig_ExtensionProvider
	for _, p := range t.mesh.config.GetExtensionProviders() {
		if p.GetName() == name {
			found = p
		}
	}
	if found.GetEnvoyExtAuthzHttp() == nil && found.GetEnvoyExtAuthzGrpc() == nil || !validProviderName(name) || !t.validAuthorizer(found) {
		return nil
	}
	return found
}

// unusable notes why istiod cannot use the authorizer of CUSTOM policies.
func (t *translation) unusable(name string, policies []authzPolicy, several bool) {
	why := "the authorizer " + strconv.Quote(name) + " is not in meshConfig.extensionProviders"
	if t.mesh.source.IsZero() {
		why += " (no mesh configuration was read, in which it may be: ConfigMap istio of " + defaultRootNamespace + ")"
	}
	found := 0
	for _, p := range t.mesh.config.GetExtensionProviders() {
		if p.GetName() != name {
			continue
		}
		if found++; p.GetEnvoyExtAuthzHttp() == nil && p.GetEnvoyExtAuthzGrpc() == nil {
			why = "the extension provider " + strconv.Quote(name) + " is no external authorizer"
			continue
		}
		why = "the configuration of the authorizer " + strconv.Quote(name) + " has a mistake, or its service is not in the mesh"
	}
	switch {
	case several:
		why = "CUSTOM policies of several authorizers reach the workload, and istiod takes only one"
	case found > 1:
		why = "the authorizer " + strconv.Quote(name) + " is in meshConfig.extensionProviders more than once"
	case name == "":
		why = "the policy names no authorizer"
	}
	for _, p := range policies {
		d := envoy.Dropped{Origin: origin.Origin{Ref: p.object.Ref(), Field: "spec.provider.name"}, Reason: why}
		if !slices.Contains(t.result.Unusable, d) {
			t.result.Unusable = append(t.result.Unusable, d)
		}
	}
}

// validProviderName is extauthz.go:validateProviderName: a DNS label.
func validProviderName(name string) bool {
	const longest = 63
	if name == "" || len(name) > longest || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) < 0
}

// validAuthorizer is extauthz.go:buildExtAuthzHTTP and buildExtAuthzGRPC, as far as
// they find mistakes: the service must be in the mesh, the port a port.
func (t *translation) validAuthorizer(p *meshapi.MeshConfig_ExtensionProvider) bool {
	const ports = 1 << 16
	if g := p.GetEnvoyExtAuthzGrpc(); g != nil {
		return g.GetPort() > 0 && g.GetPort() < ports && t.hostKnown(g.GetService())
	}
	h := p.GetEnvoyExtAuthzHttp()
	if h.GetPort() == 0 || h.GetPort() >= ports || !t.hostKnown(h.GetService()) {
		return false
	}
	if h.GetPathPrefix() != "" && !strings.HasPrefix(h.GetPathPrefix(), "/") {
		return false
	}
	for _, names := range [][]string{
		h.GetIncludeRequestHeadersInCheck(), h.GetHeadersToDownstreamOnDeny(), h.GetHeadersToDownstreamOnAllow(), h.GetHeadersToUpstreamOnAllow(),
	} {
		if slices.Contains(names, "*") {
			return false
		}
	}
	return true
}

// clusterListens reports whether a service of the mesh has the host and the port
// of a URI, so that the proxy gets a cluster for it.
func (t *translation) clusterListens(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		if port = "80"; u.Scheme == "https" {
			port = "443"
		}
	}
	for _, o := range t.in.Snapshot.Kind(mesh.GroupNetworking, "ServiceEntry") {
		se := &netapi.ServiceEntry{}
		if o.DecodeSpec(se) != nil || !slices.Contains(se.GetHosts(), host) {
			continue
		}
		for _, p := range se.GetPorts() {
			if strconv.Itoa(int(p.GetNumber())) == port {
				return true
			}
		}
	}
	for _, o := range t.in.Snapshot.Kind(mesh.GroupCore, "Service") {
		var svc struct {
			Ports []struct {
				Port int `json:"port"`
			} `json:"ports"`
		}
		if host != o.Name+"."+o.Namespace+".svc.cluster.local" || o.DecodeSpec(&svc) != nil {
			continue
		}
		for _, p := range svc.Ports {
			if strconv.Itoa(p.Port) == port {
				return true
			}
		}
	}
	return false
}

// hostKnown reports whether a service of the mesh has that host, which may be
// written with its namespace: NAMESPACE/HOST. Without, it must be the only one
// (Istio pilot/pkg/model/telemetry_logging.go:LookupCluster).
func (t *translation) hostKnown(service string) bool {
	namespace, host, given := strings.Cut(service, "/")
	if !given {
		host = service
	}
	if host == "" {
		return false
	}
	found := map[string]bool{}
	for _, o := range t.in.Snapshot.Kind(mesh.GroupCore, "Service") {
		if host == o.Name+"."+o.Namespace+".svc.cluster.local" {
			found[o.Namespace] = true
		}
	}
	for _, o := range t.in.Snapshot.Kind(mesh.GroupNetworking, "ServiceEntry") {
		se := &netapi.ServiceEntry{}
		if o.DecodeSpec(se) == nil && slices.Contains(se.GetHosts(), host) {
			found[o.Namespace] = true
		}
	}
	if given {
		return found[namespace]
	}
	return len(found) == 1
}
