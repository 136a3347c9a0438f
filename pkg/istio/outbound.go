package istio

import (
	"slices"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"
	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Outbound is how a proxy of the mesh connects to a port of a Service.
type Outbound struct {
	// Mode is what a DestinationRule asks for, as in spec.trafficPolicy.tls.mode; empty:
	// nothing, so that Istio's own mTLS is used where the other end takes it.
	Mode string
	// Auto says that Istio's mTLS is used by itself where the other end takes it.
	Auto bool
	// SNI is the server name that a client of this mode sends; empty: none that is known.
	SNI string
	// HTTP2 says that the proxy speaks HTTP/2 to the port, AsClient that it speaks what
	// its own client does.
	HTTP2, AsClient bool
	// Origin is the DestinationRule that counts, with the field that sets Mode.
	Origin origin.Origin
	// Labels are those of the subset; nil where there is none.
	Labels map[string]string
	// Missing is set where the rule that counts cannot be read.
	Missing *envoy.Missing
}

// Modes of DestinationRules.
const (
	TLSDisable     = "DISABLE"
	TLSIstioMutual = "ISTIO_MUTUAL"
)

// OutboundTo finds out how the proxy of a workload connects to a port of a Service, by
// its DestinationRules (Istio pilot/pkg/networking/core/cluster_traffic_policy.go and
// pilot/pkg/xds/endpoints/mtls_checker.go).
func OutboundTo(s *mesh.Snapshot, from mesh.Workload, to ServicePort, subset string) (Outbound, error) {
	settings, _, err := readMeshConfig(s, revisionOf(s, from))
	if err != nil {
		return Outbound{}, err
	}
	auto := settings.config.GetEnableAutoMtls()
	out := Outbound{Auto: (auto == nil || auto.GetValue()) && !namespaceDisables(s, settings.rootNamespace, to.Namespace), HTTP2: to.HTTP2}
	host := to.Host()
	out.SNI = "outbound_." + itoa(to.Port) + "_." + subset + "_." + host
	kept := upgrade{protocol: to.protocol, mesh: settings.config.GetH2UpgradePolicy()}
	for _, ns := range []string{from.Namespace, to.Namespace, settings.rootNamespace} {
		if g := s.Unread(mesh.GroupNetworking, "DestinationRule", ns, ""); g != nil {
			out.Missing = Unread(g)
			return out, nil
		}
	}
	rule, unread := destinationRule(s, settings, from, host, to.Namespace)
	if unread != nil {
		out.Missing = &envoy.Missing{What: "what " + unread.Ref().String() + " asks for", Why: "it cannot be read"}
		return out, nil
	}
	if rule == nil {
		kept.apply(&out, nil)
		return out, nil
	}
	out.Origin = origin.Origin{Ref: rule.object.Ref()}
	top, field := rule.spec.GetTrafficPolicy(), "spec.trafficPolicy"
	cluster := portPolicy(top, to.Port)
	endpoint := tlsFor(top, to.Port)
	for i, ss := range rule.spec.GetSubsets() {
		if subset == "" || ss.GetName() != subset {
			continue
		}
		out.Labels = ss.GetLabels()
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		own := portPolicy(ss.GetTrafficPolicy(), to.Port)
		if own.tls != nil {
			cluster.tls, field = own.tls, "spec.subsets["+itoa(i)+"].trafficPolicy"
		}
		if own.pool != nil {
			cluster.pool = own.pool
		}
		if t := tlsFor(ss.GetTrafficPolicy(), to.Port); t != nil {
			endpoint = t
		}
	}
	kept.apply(&out, cluster.pool)
	switch {
	case cluster.tls != nil:
		out.Mode = cluster.tls.GetMode().String()
		if sni := cluster.tls.GetSni(); sni != "" || out.Mode != TLSIstioMutual {
			out.SNI = sni
		}
	case endpoint != nil && endpoint.GetMode() == netapi.ClientTLSSettings_ISTIO_MUTUAL:
		out.Mode = TLSIstioMutual
	case endpoint != nil:
		out.Mode = TLSDisable
	}
	if out.Mode != "" {
		out.Origin.Field = field + ".tls.mode"
	}
	return out, nil
}

// upgrade says whether HTTP/1.1 becomes HTTP/2 between two proxies
// (pilot/pkg/networking/core/cluster_traffic_policy.go:shouldH2Upgrade).
type upgrade struct {
	protocol Protocol
	mesh     meshapi.MeshConfig_H2UpgradePolicy
}

func (u upgrade) apply(out *Outbound, pool *netapi.ConnectionPoolSettings) {
	http := pool.GetHttp()
	out.AsClient = http.GetUseClientProtocol()
	if u.protocol == ProtocolTCP {
		return
	}
	switch http.GetH2UpgradePolicy() {
	case netapi.ConnectionPoolSettings_HTTPSettings_UPGRADE:
		out.HTTP2 = true
	case netapi.ConnectionPoolSettings_HTTPSettings_DEFAULT:
		out.HTTP2 = out.HTTP2 || u.mesh == meshapi.MeshConfig_UPGRADE
	default:
	}
}

type policyOf struct {
	tls  *netapi.ClientTLSSettings
	pool *netapi.ConnectionPoolSettings
}

// portPolicy is a policy for one port: settings of the port do not inherit
// (pilot/pkg/networking/util/util.go:MergeTrafficPolicy).
func portPolicy(p *netapi.TrafficPolicy, port int) policyOf {
	for _, own := range p.GetPortLevelSettings() {
		if int(own.GetPort().GetNumber()) == port {
			return policyOf{own.GetTls(), own.GetConnectionPool()}
		}
	}
	return policyOf{p.GetTls(), p.GetConnectionPool()}
}

// tlsFor is what counts for endpoints: settings of the port inherit there.
func tlsFor(p *netapi.TrafficPolicy, port int) *netapi.ClientTLSSettings {
	if own := portPolicy(p, port); own.tls != nil {
		return own.tls
	}
	return p.GetTls()
}

type ruleFor struct {
	object *mesh.Object
	spec   *netapi.DestinationRule
}

// destinationRule is the rule that counts for a host: one of the client's namespace
// (in the root namespace only one that is for it alone), else one that the Service's
// namespace or the root namespace gives to others; of several in one namespace the one
// with the most specific host, then the oldest
// (pilot/pkg/model/push_context.go:destinationRule and setDestinationRules).
func destinationRule(s *mesh.Snapshot, settings meshSettings, from mesh.Workload, host, serviceNamespace string) (*ruleFor, *mesh.Object) {
	root, byDefault := settings.rootNamespace, settings.config.GetDefaultDestinationRuleExportTo()
	private := func(o *mesh.Object, d *netapi.DestinationRule) bool {
		e := d.GetExportTo()
		return d.GetWorkloadSelector() != nil || len(e) == 0 && slices.Contains(byDefault, ".") || len(e) == 1 && (e[0] == "." || e[0] == o.Namespace)
	}
	local := func(o *mesh.Object, d *netapi.DestinationRule) bool {
		e := d.GetExportTo()
		return private(o, d) || len(e) == 0 || slices.Contains(e, "*") || slices.Contains(e, ".") || slices.Contains(e, o.Namespace)
	}
	exported := func(o *mesh.Object, d *netapi.DestinationRule) bool { return !private(o, d) }
	first := local
	if from.Namespace == root {
		first = private
	}
	for i, p := range []struct {
		namespace string
		kept      func(*mesh.Object, *netapi.DestinationRule) bool
	}{{from.Namespace, first}, {serviceNamespace, exported}, {root, exported}} {
		best, unread := mostSpecific(s, p.namespace, from, host, p.kept)
		if unread != nil {
			return nil, unread
		}
		if best == nil {
			continue
		}
		if e := best.spec.GetExportTo(); i == 0 || len(e) == 0 || slices.Contains(e, "*") || slices.Contains(e, from.Namespace) {
			return best, nil
		}
	}
	return nil, nil
}

// subsetsOf are the names of the subsets of a host, those of all rules of the namespace
// that counts, which istiod puts together (pilot/pkg/model/destination_rule.go:mergeDestinationRule).
func subsetsOf(s *mesh.Snapshot, settings meshSettings, from mesh.Workload, host, serviceNamespace string) []string {
	rule, _ := destinationRule(s, settings, from, host, serviceNamespace)
	if rule == nil {
		return nil
	}
	var out []string
	for _, o := range s.InNamespace(mesh.GroupNetworking, "DestinationRule", rule.object.Namespace) {
		spec := &netapi.DestinationRule{}
		if o.DecodeSpec(spec) != nil || fullHost(spec.GetHost(), o.Namespace) != fullHost(rule.spec.GetHost(), o.Namespace) || o != rule.object && spec.GetWorkloadSelector() != nil {
			continue
		}
		for _, ss := range spec.GetSubsets() {
			if !slices.Contains(out, ss.GetName()) {
				out = append(out, ss.GetName())
			}
		}
	}
	return out
}

// mostSpecific is the rule of a namespace with the host that fits best.
func mostSpecific(s *mesh.Snapshot, namespace string, from mesh.Workload, host string, kept func(*mesh.Object, *netapi.DestinationRule) bool) (*ruleFor, *mesh.Object) {
	var best *ruleFor
	longest := -1
	for _, o := range s.InNamespace(mesh.GroupNetworking, "DestinationRule", namespace) {
		spec := &netapi.DestinationRule{}
		if o.DecodeSpec(spec) != nil {
			return nil, o
		}
		fit := hostFit(fullHost(spec.GetHost(), o.Namespace), host)
		selector := spec.GetWorkloadSelector().GetMatchLabels()
		if fit <= longest || !kept(o, spec) || len(selector) > 0 && (o.Namespace != from.Namespace || !mesh.SelectorMatches(selector, from.Labels)) {
			continue
		}
		longest, best = fit, &ruleFor{o, spec}
	}
	return best, nil
}

// givenTo reports whether exportTo lets a namespace see an object.
func givenTo(exportTo []string, own, namespace string) bool {
	return len(exportTo) == 0 || own == namespace || slices.Contains(exportTo, "*") || slices.Contains(exportTo, namespace)
}

// fullHost completes a short name with the namespace of the object that has it
// (pkg/config/model.go:ResolveShortnameToFQDN).
func fullHost(host, namespace string) string {
	if host == "" || strings.ContainsAny(host, ".*") {
		return strings.ToLower(host)
	}
	return strings.ToLower(host) + "." + namespace + clusterSuffix
}

const clusterSuffix = ".svc.cluster.local"

// HostFit says how well a host or a wildcard ("*.example.com", "*") fits a host; -1: not
// at all, and more the better.
func HostFit(pattern, host string) int { return hostFit(pattern, host) }

// hostFit says how well a host or a wildcard fits a host; -1: not at all.
func hostFit(pattern, host string) int {
	const exact = 1 << 16
	suffix, wild := strings.CutPrefix(pattern, "*")
	switch {
	case wild && strings.HasSuffix(host, suffix):
		return len(pattern)
	case !wild && pattern == host:
		return exact
	default:
		return -1
	}
}

// TakesIstioMTLS reports whether clients of the mesh use Istio's mTLS by themselves
// with a workload: by the label that the injector gives to pods with a sidecar
// (pilot/pkg/model/endpointshards.go, label security.istio.io/tlsMode).
func TakesIstioMTLS(s *mesh.Snapshot, w mesh.Workload) bool {
	const label = "security.istio.io/tlsMode"
	if v, ok := w.Labels[label]; ok {
		return v == "istio"
	}
	return RoleOf(s, w) == envoy.RoleSidecar
}
