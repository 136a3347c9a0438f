package istio

import (
	"cmp"
	"slices"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"
	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Settings of istiod and of pods that say which ports a sidecar has.
const (
	envIngressTLS         = "ENABLE_TLS_ON_SIDECAR_INGRESS"
	envIngressMerge       = "PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE"
	annotationInterceptor = "sidecar.istio.io/interceptionMode"
)

// inboundPort is a port of a sidecar that has chains of its own.
type inboundPort struct {
	protocol Protocol
	// bound says that the proxy listens on the port itself, so that no redirection
	// is needed to get there.
	bound bool
	// tls is that of a Sidecar, where istiod heeds it.
	tls    *netapi.ServerTLSSettings
	origin origin.Origin
}

// sidecarOf is the Sidecar object of a workload: the oldest of its namespace that
// selects it, else the oldest one there without a selector, else that of the root
// namespace (Istio pilot/pkg/model/push_context.go:initSidecarScopes and doGetSidecarScope).
func sidecarOf(s *mesh.Snapshot, w mesh.Workload, rootNamespace string) (*mesh.Object, *netapi.Sidecar) {
	var found *mesh.Object
	var spec *netapi.Sidecar
	for _, selecting := range []bool{true, false} {
		for _, o := range byAge(s.InNamespace(mesh.GroupNetworking, "Sidecar", w.Namespace)) {
			sc := &netapi.Sidecar{}
			if o.DecodeSpec(sc) != nil || (sc.GetWorkloadSelector() != nil) != selecting {
				continue
			}
			if mesh.SelectorMatches(sc.GetWorkloadSelector().GetLabels(), w.Labels) {
				return o, sc
			}
		}
	}
	for _, o := range byAge(s.InNamespace(mesh.GroupNetworking, "Sidecar", rootNamespace)) {
		sc := &netapi.Sidecar{}
		if found == nil && o.DecodeSpec(sc) == nil && sc.GetWorkloadSelector() == nil {
			found, spec = o, sc
		}
	}
	return found, spec
}

// byAge are objects of one namespace in istiod's order.
func byAge(objects []*mesh.Object) []*mesh.Object {
	out := slices.Clone(objects)
	slices.SortStableFunc(out, func(a, b *mesh.Object) int {
		return cmp.Or(cmp.Compare(a.Age(), b.Age()), strings.Compare(a.Name, b.Name))
	})
	return out
}

// inbound finds what the sidecar has for a port; nil where the chains that take
// everything answer (Istio pilot/pkg/networking/core/listener_inbound.go:buildInboundChainConfigs).
func (t *translation) inbound(port int) (*inboundPort, error) {
	none := t.interceptionMode() == meshapi.ProxyConfig_NONE
	o, sc := sidecarOf(t.in.Snapshot, t.in.Workload, t.mesh.rootNamespace)
	for i, in := range sc.GetIngress() {
		if int(in.GetPort().GetNumber()) != port {
			continue
		}
		bound := in.GetCaptureMode() == netapi.CaptureMode_NONE || in.GetCaptureMode() == netapi.CaptureMode_DEFAULT && none
		if bound && port < firstUnprivileged && unprivileged(t.in.Workload) {
			continue
		}
		p := &inboundPort{
			protocol: listenerProtocol(in.GetPort().GetProtocol()),
			bound:    bound,
			origin:   origin.Origin{Ref: o.Ref(), Field: "spec.ingress[" + itoa(i) + "]"},
		}
		if in.GetTls() != nil && t.istiodFlag(envIngressTLS, false) {
			p.tls = in.GetTls()
			if strings.EqualFold(in.GetPort().GetProtocol(), "HTTPS") {
				p.protocol = ProtocolHTTP
			}
		}
		return p, nil
	}
	if none && len(sc.GetIngress()) == 0 || len(sc.GetIngress()) > 0 && !t.istiodFlag(envIngressMerge, false) {
		return nil, nil
	}
	ports, err := targetPorts(t.in.Snapshot, t.in.Workload)
	if err != nil {
		return nil, err
	}
	if t.reserved(port) {
		return nil, nil
	}
	for _, p := range ports {
		if p.number == port {
			return &inboundPort{protocol: p.protocol, bound: none}, nil
		}
	}
	return nil, nil
}

// reserved reports whether a port is one that the proxy listens on itself: what a Service
// says of it is passed over (pilot/pkg/model/context.go:conflictWithReservedListener).
func (t *translation) reserved(port int) bool {
	outbound := int(t.mesh.config.GetProxyListenPort())
	if outbound == 0 {
		outbound = 15001
	}
	return port == t.mesh.inboundPort() || port == outbound
}

// interceptionMode is how connections get to the proxy: the pod's annotation, else the
// proxy's configuration.
func (t *translation) interceptionMode() meshapi.ProxyConfig_InboundInterceptionMode {
	if m, ok := meshapi.ProxyConfig_InboundInterceptionMode_value[t.in.Workload.Annotations[annotationInterceptor]]; ok {
		return meshapi.ProxyConfig_InboundInterceptionMode(m)
	}
	return t.config.GetInterceptionMode()
}

// listenerProtocol is what istiod makes of a protocol that a Sidecar or a ServiceEntry
// names (Istio pkg/config/protocol/instance.go:Parse).
func listenerProtocol(name string) Protocol { return namedProtocol(name, 0) }

// targetPorts are the ports of a workload that Services and ServiceEntries lead to; of
// two on one port the older one counts.
func targetPorts(s *mesh.Snapshot, w mesh.Workload) ([]workloadPort, error) {
	services, err := s.ServicesOf(w)
	if err != nil {
		return nil, err
	}
	var out []workloadPort
	for _, p := range targetsOf(s, w, services) {
		if !slices.ContainsFunc(out, func(had workloadPort) bool { return had.number == p.number }) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b workloadPort) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// targetsOf are all ports that Services and ServiceEntries lead to, those of the oldest
// first (pilot/pkg/model/context.go:SetServiceTargets).
func targetsOf(s *mesh.Snapshot, w mesh.Workload, services []mesh.Service) []workloadPort {
	type target struct {
		host  string
		age   int64
		ports []workloadPort
	}
	var all []target
	for _, sv := range services {
		t := target{host: sv.Name + "." + sv.Namespace + clusterSuffix, age: sv.Age()}
		for _, p := range sv.Ports {
			if p.TargetPort != 0 { // istiod makes chains for bytes even of UDP ports
				t.ports = append(t.ports, workloadPort{p.TargetPort, portProtocol(p), sv, p})
			}
		}
		all = append(all, t)
	}
	for _, o := range s.InNamespace(mesh.GroupNetworking, "ServiceEntry", w.Namespace) {
		se := &netapi.ServiceEntry{}
		if o.DecodeSpec(se) != nil || !leadsTo(s, se, w) {
			continue
		}
		for _, host := range se.GetHosts() {
			all = append(all, target{host, o.Age(), entryPorts(o, se, w)})
		}
	}
	slices.SortStableFunc(all, func(a, b target) int { return cmp.Or(cmp.Compare(a.age, b.age), strings.Compare(a.host, b.host)) })
	var out []workloadPort
	for _, t := range all {
		out = append(out, t.ports...)
	}
	return out
}

// leadsTo reports whether a ServiceEntry of the workload's namespace leads to it: by
// its selector, or because an endpoint has the address of the pods.
func leadsTo(_ *mesh.Snapshot, se *netapi.ServiceEntry, w mesh.Workload) bool {
	if sel := se.GetWorkloadSelector(); sel != nil {
		return len(sel.GetLabels()) > 0 && mesh.SelectorMatches(sel.GetLabels(), w.Labels)
	}
	return slices.ContainsFunc(se.GetEndpoints(), func(e *netapi.WorkloadEntry) bool {
		return e.GetAddress() != "" && slices.Contains(w.PodIPs, e.GetAddress())
	})
}

// entryPorts are the ports of a ServiceEntry as the workload has them
// (Istio pilot/pkg/serviceregistry/serviceentry/conversion.go:convertWorkloadInstanceToServiceInstance).
func entryPorts(o *mesh.Object, se *netapi.ServiceEntry, w mesh.Workload) []workloadPort {
	var out []workloadPort
	for _, p := range se.GetPorts() {
		port := mesh.ServicePort{Name: p.GetName(), Port: int(p.GetNumber()), TargetPort: int(p.GetNumber()), Protocol: "TCP"}
		if p.GetTargetPort() > 0 {
			port.TargetPort = int(p.GetTargetPort())
		}
		if n, ok := w.PortByName(p.GetName(), "TCP"); ok && se.GetWorkloadSelector() != nil {
			port.TargetPort = n
		}
		for _, e := range se.GetEndpoints() {
			if n := e.GetPorts()[p.GetName()]; n > 0 && slices.Contains(w.PodIPs, e.GetAddress()) {
				port.TargetPort = int(n)
			}
		}
		service := mesh.Service{Ref: o.Ref(), Namespace: o.Namespace, Name: o.Name}
		out = append(out, workloadPort{port.TargetPort, listenerProtocol(p.GetProtocol()), service, port})
	}
	return out
}

// sidecarPorts are the ports that clients can be meant to ask: those that Services
// lead to and those of the Sidecar.
func sidecarPorts(s *mesh.Snapshot, w mesh.Workload) ([]PortInfo, error) {
	targets, err := targetPorts(s, w)
	if err != nil {
		return nil, err
	}
	settings, _, err := readMeshConfig(s, revisionOf(s, w))
	if err != nil {
		return nil, err
	}
	_, sc := sidecarOf(s, w, settings.rootNamespace)
	protocols := map[int]Protocol{}
	for _, in := range sc.GetIngress() {
		protocols[int(in.GetPort().GetNumber())] = listenerProtocol(in.GetPort().GetProtocol())
	}
	services, err := s.ServicesOf(w)
	if err != nil {
		return nil, err
	}
	var out []PortInfo
	for _, p := range targets {
		info := PortInfo{Number: p.number, Protocol: p.protocol, Services: servicesOn(services, p.number)}
		if p.service.Ref.Kind != "ServiceEntry" && len(info.Services) == 0 {
			continue // it is there for UDP alone
		}
		if own, ok := protocols[p.number]; ok {
			info.Protocol = own
		} else if len(protocols) > 0 {
			info.Protocol = ProtocolAuto
		}
		if p.service.Ref.Kind == "ServiceEntry" {
			info.Services = append(info.Services, servicePort(p.service, p.port))
		}
		out = append(out, info)
	}
	for _, n := range sortedNumbers(protocols) {
		if !slices.ContainsFunc(out, func(p PortInfo) bool { return p.Number == n }) {
			out = append(out, PortInfo{Number: n, Protocol: protocols[n]})
		}
	}
	slices.SortStableFunc(out, func(a, b PortInfo) int { return cmp.Compare(a.Number, b.Number) })
	return out, nil
}

func servicesOn(services []mesh.Service, number int) []ServicePort {
	var out []ServicePort
	for _, sv := range services {
		for _, sp := range sv.Ports {
			if sp.TargetPort == number && sp.Protocol != "UDP" {
				out = append(out, servicePort(sv, sp))
			}
		}
	}
	return out
}

func sortedNumbers[V any](m map[int]V) []int {
	out := make([]int, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// unnamed finds that the chains which take everything have no name for their statistics, so
// that Envoy refuses the listener (pilot/pkg/networking/telemetry/telemetry.go:BuildInboundStatPrefix:
// what it says of Services is empty there).
func (t *translation) unnamed() {
	name := t.mesh.config.GetInboundClusterStatName()
	if name == "" || strings.NewReplacer("%SERVICE%", "", "%SERVICE_NAME%", "", "%SERVICE_FQDN%", "", "%SUBSET_NAME%", "").Replace(name) != "" {
		return
	}
	t.proxy.Refused = &envoy.Refusal{
		Origin: origin.Origin{Ref: t.mesh.source, Field: "data.mesh: inboundClusterStatName"}, Reason: "the chains that no Service stands for have no name for their statistics",
	}
}

// twice finds a port that gets its chains twice, so that Envoy refuses the listener: one
// of a Service beside a Sidecar's, with an mTLS mode of its own
// (pilot/pkg/networking/plugin/authn/authn.go:needPerPortPassthroughFilterChain looks at the
// Sidecar alone, whose ports the Services' are added to).
func (t *translation) twice(mode peerMode) error {
	_, sc := sidecarOf(t.in.Snapshot, t.in.Workload, t.mesh.rootNamespace)
	if len(sc.GetIngress()) == 0 || len(mode.levels) == 0 || !t.istiodFlag(envIngressMerge, false) {
		return nil
	}
	ports, err := targetPorts(t.in.Snapshot, t.in.Workload)
	if err != nil {
		return err
	}
	for _, p := range ports {
		_, level := mode.levels[uint32(p.number)]
		if level && !slices.ContainsFunc(sc.GetIngress(), func(in *netapi.IstioIngressListener) bool { return int(in.GetPort().GetNumber()) == p.number }) {
			t.proxy.Refused = &envoy.Refusal{
				Origin: levelOrigin(mode.workload, p.number), Reason: "the port gets its chains twice: for the Service, and for the port's own mTLS beside a Sidecar",
			}
		}
	}
	return nil
}
