package keycheck

import (
	"fmt"
	"net/netip"
	"strings"

	netapi "istio.io/api/networking/v1alpha3"
	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// The places of a server.
const (
	InCluster = "in the cluster"
	InMesh    = "in the mesh"
	Outside   = "outside"
)

// fetcher says who gets the keys, by what the proxies hold, else by the objects.
func (r *rule) fetcher() {
	plane := "the default of istiod"
	if v, set := r.plane.Env[istio.EnvRemoteJWKS]; set {
		plane = istio.EnvRemoteJWKS + "=" + v + " of " + r.plane.Object.String()
	} else if r.plane.Object.IsZero() {
		plane = "assumed: the control plane's Deployment was not read"
	}
	switch r.source.Fetcher {
	case envoy.Inline:
		r.out.Fetcher = ByNobody
		return
	case envoy.ProxyFetch:
		r.out.Fetcher = ByProxy
	case envoy.NotDocumented:
		r.out.Fetcher, plane = Undocumented, "ASM documents jwksUri since 1.13"
	default:
		r.out.Fetcher = ByControlPlane
		if r.spec.GetJwksUri() == "" {
			r.out.Fetcher, plane = ByDiscovery, "a rule without jwksUri and jwks"
		}
	}
	r.out.FetcherBy = plane
	for _, p := range r.ev.Proxies {
		held := r.heldBy(p)
		if held == nil || r.out.Fetcher == ByDiscovery {
			continue
		}
		r.out.FetcherBy = "what the proxy of pod " + p.Namespace + "/" + p.Pod + " holds"
		if r.out.Fetcher = ByControlPlane; held.Keys.Fetcher == envoy.ProxyFetch {
			r.out.Fetcher = ByProxy
		}
		return
	}
}

// server finds out what the objects say of the host, and what is in the way.
func (r *rule) server() {
	if r.addr.URI == "" {
		return
	}
	a := &r.addr
	if a.Problem != "" {
		r.find(diag.KeyAddress, diag.Error, r.uriField(), fmt.Sprintf("nobody can fetch %q: %s", a.URI, a.Problem))
		return
	}
	s := &Server{Host: a.Host, Port: a.Port, Place: Outside}
	r.out.Server = s
	r.known = istio.HostsNamed(r.ev.Snapshot, a.Full())
	if a.Full() != a.Host {
		r.known = append(r.known, istio.HostsNamed(r.ev.Snapshot, a.Host)...)
	}
	for _, k := range r.known {
		at := k.Object.Namespace + "/" + k.Object.Name
		if k.IsService() {
			s.Place, s.Service = InCluster, at
			continue
		}
		if s.ServiceEntry = at; s.Place != InCluster {
			s.Place = InMesh
		}
	}
	if a.Service != "" && !a.Guessed && s.Place == Outside {
		s.Place = InCluster
	}
	r.shortName()
	r.blocked()
	r.service()
	if r.out.Fetcher == ByProxy {
		r.cluster()
		return
	}
	r.entryWithoutEffect()
	r.httpProxy()
	if s.Place == Outside && !r.addr.IP.IsValid() {
		r.throughGateway()
	}
}

// uriField is where the address of a rule is written.
func (r *rule) uriField() string {
	if r.spec.GetJwksUri() == "" {
		return "issuer"
	}
	return "jwksUri"
}

// shortName is the FAQ's own mistake: the control plane lives in another namespace.
func (r *rule) shortName() {
	if !r.addr.Short {
		return
	}
	who := "the control plane, which lives in another namespace, cannot resolve it"
	if r.out.Fetcher == ByProxy {
		who = "proxies look it up in the mesh's registry, which has full names only"
	}
	r.find(diag.KeyHostShort, diag.Error, r.uriField(), fmt.Sprintf("%q is a short name: %s", r.addr.Host, who))
}

// metadataIPs are the addresses that no istiod fetches from, in releases that refuse
// them (Istio pilot/pkg/model/jwks_resolver.go:isBlockedIP).
func metadataIP(ip netip.Addr) bool {
	return ip.IsLinkLocalUnicast() || ip == netip.MustParseAddr("100.100.100.200") || ip == netip.MustParseAddr("fd00:ec2::254")
}

// blocked compares an address with those that the control plane fetches nothing from.
func (r *rule) blocked() {
	ip := r.addr.IP
	if !ip.IsValid() || r.out.Fetcher == ByProxy {
		return
	}
	for _, text := range strings.Split(r.plane.Env[istio.EnvBlockedCIDRs], ",") {
		if block, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil && block.Contains(ip) {
			r.find(diag.KeyAddressBlocked, diag.Error, r.uriField(), fmt.Sprintf("%s is in %s, from which %s fetches no keys (%s)", ip, block, r.plane.Object, istio.EnvBlockedCIDRs))
			return
		}
	}
	if metadataIP(ip) {
		r.find(diag.KeyAddressBlocked, diag.Error, r.uriField(), fmt.Sprintf("%s is an address of the cloud's own metadata, or of the link: newer control planes fetch nothing from there", ip))
	}
}

// service looks at the Service that the host names.
func (r *rule) service() {
	a, s := &r.addr, r.out.Server
	if a.Service == "" || a.Guessed && s.Place == Outside {
		return
	}
	snap := r.ev.Snapshot
	o := snap.Find(mesh.GroupCore, "Service", a.Namespace, a.Service)
	if o == nil {
		if gap := snap.Unread(mesh.GroupCore, "Service", a.Namespace, a.Service); gap != nil || s.ServiceEntry != "" {
			return
		}
		r.find(diag.KeyServiceMissing, diag.Error, r.uriField(), fmt.Sprintf("there is no Service %s in namespace %s", a.Service, a.Namespace))
		return
	}
	s.Service = a.Namespace + "/" + a.Service
	for _, k := range r.known {
		if _, has := k.Ports[a.Port]; k.IsService() && !has {
			r.find(diag.KeyServiceMissing, diag.Error, r.uriField(), fmt.Sprintf("Service %s has no port %d, but %s", s.Service, a.Port, portList(k.Ports)))
			return
		}
	}
	if ready, notReady, known := endpoints(snap, o, a.Port); known {
		s.Ready = &ready
		if ready == 0 {
			state := "no pod is behind it"
			if notReady > 0 {
				state = fmt.Sprintf("none of its %d endpoints is ready", notReady)
			}
			r.find(diag.KeyServerNotReady, diag.Error, r.uriField(), fmt.Sprintf("nothing answers at Service %s port %d: %s", s.Service, a.Port, state))
		}
	}
	r.guarded(o)
}

// endpoints counts those of a port of a Service. Where there is no EndpointSlice at all,
// they were not read: every Service with a selector has one, if an empty one.
func endpoints(s *mesh.Snapshot, service *mesh.Object, port int) (ready, notReady int, known bool) {
	name := ""
	var svc struct {
		Ports []struct {
			Name string `json:"name"`
			Port int    `json:"port"`
		} `json:"ports"`
	}
	if service.DecodeSpec(&svc) != nil {
		return 0, 0, false
	}
	for _, p := range svc.Ports {
		if p.Port == port {
			name = p.Name
		}
	}
	for _, o := range s.InNamespace("discovery.k8s.io", "EndpointSlice", service.Namespace) {
		var slice struct {
			Ports []struct {
				Name string `json:"name"`
			} `json:"ports"`
			Endpoints []struct {
				Conditions struct {
					Ready *bool `json:"ready"`
				} `json:"conditions"`
			} `json:"endpoints"`
		}
		if o.Labels["kubernetes.io/service-name"] != service.Name || o.Decode(&slice) != nil {
			continue
		}
		known = true
		for _, p := range slice.Ports {
			if p.Name != name {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready { // unknown counts as ready, by the API's own words
					ready++
				} else {
					notReady++
				}
			}
		}
	}
	return ready, notReady, known
}

func portList(ports map[int]string) string {
	var out []string
	for _, n := range sortedInts(ports) {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

func sortedInts[V any](m map[int]V) []int {
	var out []int
	for n := range m {
		at := len(out)
		for at > 0 && out[at-1] > n {
			at--
		}
		out = append(out[:at], append([]int{n}, out[at:]...)...)
	}
	return out
}

// guarded looks at the proxy in front of the key server: the control plane comes to it
// without a certificate.
func (r *rule) guarded(o *mesh.Object) {
	a, s, snap := &r.addr, r.out.Server, r.ev.Snapshot
	found, err := snap.Resolve(mesh.Target{Type: mesh.TypeService, Name: o.Name}, o.Namespace)
	if err != nil {
		return // it selects nothing that was read
	}
	for _, w := range found {
		role := istio.RoleOf(snap, w)
		if role != envoy.RoleSidecar && role != envoy.RoleZtunnel {
			continue
		}
		port := TargetPort(snap, w, o.Name, a.Port)
		if port == 0 {
			continue
		}
		mode, at, err := istio.PeerMode(snap, w, port)
		if err != nil {
			continue
		}
		s.MTLS = mode
		if r.out.Fetcher == ByProxy {
			continue
		}
		if mode == "STRICT" {
			r.findAt(diag.KeyServerStrict, diag.Error, at, fmt.Sprintf(
				"%s takes mTLS only (STRICT) on port %d, and the control plane has no certificate of the mesh: it is cut off", nameOf(w), port))
			continue
		}
		r.denied(w, o)
	}
}

// TargetPort is the port of the workload that a port of a Service leads to; 0: none.
func TargetPort(s *mesh.Snapshot, w mesh.Workload, service string, port int) int {
	services, err := s.ServicesOf(w)
	if err != nil {
		return 0
	}
	for _, sv := range services {
		for _, p := range sv.Ports {
			if sv.Name == service && p.Port == port {
				return p.TargetPort
			}
		}
	}
	return 0
}

// entryWithoutEffect says of a ServiceEntry what it does not do.
func (r *rule) entryWithoutEffect() {
	s := r.out.Server
	if s.Place != Outside || len(r.reached) == 0 {
		return
	}
	if only, err := istio.RegistryOnly(r.ev.Snapshot, r.reached[0].workload); err == nil && only {
		r.find(diag.KeyEgressNote, diag.Info, r.uriField(), "REGISTRY_ONLY does not stop the control plane from fetching: it is about what proxies send for applications")
	}
}

// cluster looks at how proxies get to the host: whether they have a cluster for it, and
// whether that speaks TLS.
func (r *rule) cluster() {
	a, s := &r.addr, r.out.Server
	if len(r.reached) == 0 {
		return
	}
	w := r.reached[0].workload
	entry := r.exactly()
	r.behindWaypoint()
	switch {
	case entry == nil && (r.ev.Snapshot.Unread(mesh.GroupNetworking, "ServiceEntry", "", "") != nil || r.ev.Snapshot.Unread(mesh.GroupCore, "Service", a.Namespace, a.Service) != nil):
		return
	case entry == nil:
		r.find(diag.KeyNoCluster, diag.Error, r.uriField(), fmt.Sprintf(
			"proxies fetch the keys, and the mesh does not know %s: there is no Service and no ServiceEntry of that name, so that every fetch fails", a.Host))
		return
	case !hasPort(*entry, a.Port):
		r.findAt(diag.KeyNoCluster, diag.Error, origin.Origin{Ref: entry.Object.Ref(), Field: "spec.ports"}, fmt.Sprintf(
			"proxies fetch the keys, and %s has no port %d, but %s: every fetch fails", entry.Object.Ref(), a.Port, portList(entry.Ports)))
		return
	}
	for _, reached := range r.reached {
		hidden, err := entry.Hidden(r.ev.Snapshot, reached.workload, a.Host)
		if err == nil && !hidden.IsZero() {
			r.findAt(diag.KeyNoCluster, diag.Error, hidden, fmt.Sprintf(
				"the proxy of %s fetches the keys and cannot see %s: %s hides it, so that every fetch fails", nameOf(reached.workload), a.Host, hidden.Ref))
		}
	}
	out, err := istio.OutboundTo(r.ev.Snapshot, w, istio.PortOf(a.Host, entry.Object.Namespace, a.Port), "")
	if err != nil || out.Missing != nil {
		return
	}
	if !out.Origin.IsZero() {
		s.DestinationRule = out.Origin.Namespace + "/" + out.Origin.Name
	}
	if s.TLS = out.Mode; originates(out.Mode) {
		s.SNI = out.SNI
	}
	held, seen := r.heldCluster()
	tls, sni := originates(out.Mode), out.SNI
	if seen {
		tls, sni = held.TLS && (originates(out.Mode) || out.Mode == "" && !entry.IsService()), held.SNI
		if held.TLS && out.Mode == "" && entry.IsService() {
			tls = false // Istio's own mTLS, which is no TLS to the server
		}
	}
	r.transport(tls, sni, *entry, out)
}

// behindWaypoint is of policies that are attached to a Service: istiod gives the waypoint
// no cluster for their keys (istio/istio#61245).
func (r *rule) behindWaypoint() {
	if c, seen := r.heldCluster(); seen && c.Exists {
		return
	}
	spec := &securityapi.RequestAuthentication{}
	if r.object.DecodeSpec(spec) != nil {
		return
	}
	for _, ref := range append(spec.GetTargetRefs(), spec.GetTargetRef()) {
		if kind := ref.GetKind(); kind != "Service" && kind != "ServiceEntry" {
			continue
		}
		for _, w := range r.reached {
			if w.role == envoy.RoleWaypoint {
				r.find(diag.KeyNoCluster, diag.Error, "", fmt.Sprintf(
					"%s is attached to a %s: a waypoint gets no cluster for the keys of such a policy, so that every fetch fails; attach it to the waypoint's Gateway", r.object.Ref(), ref.GetKind()))
				return
			}
		}
	}
}

// originates reports whether a mode makes proxies speak TLS to the server itself.
func originates(mode string) bool { return mode == "SIMPLE" || mode == "MUTUAL" }

func hasPort(k istio.KnownHost, port int) bool {
	_, has := k.Ports[port]
	return has
}

// exactly is the object that makes the host known under just that name.
func (r *rule) exactly() *istio.KnownHost {
	for i, k := range r.known {
		if k.IsService() && r.addr.Host != r.addr.Full() {
			continue
		}
		if k.IsService() {
			return &r.known[i]
		}
		se := &netapi.ServiceEntry{}
		if k.Object.DecodeSpec(se) == nil && contains(lower(se.GetHosts()), r.addr.Host) {
			return &r.known[i]
		}
	}
	return nil
}

func lower(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = strings.ToLower(s)
	}
	return out
}

// transport compares TLS with the scheme.
func (r *rule) transport(tls bool, sni string, entry istio.KnownHost, out istio.Outbound) {
	a := &r.addr
	at := origin.Origin{Ref: entry.Object.Ref(), Field: "spec.ports"}
	if !out.Origin.IsZero() {
		at = out.Origin
	}
	switch {
	case out.Mode == istio.TLSIstioMutual && entry.IsService() && !r.serverTakesMTLS():
		r.findAt(diag.KeyTransport, diag.Error, at, fmt.Sprintf("proxies speak mTLS of the mesh to %s, whose pods have no proxy: every fetch fails", a.Host))
	case out.Mode == istio.TLSDisable && r.out.Server.MTLS == "STRICT":
		r.findAt(diag.KeyTransport, diag.Error, at, fmt.Sprintf("proxies speak plain HTTP to %s, since a DestinationRule says so, and it takes mTLS only (STRICT): every fetch fails", a.Host))
	case a.Scheme == "https" && !tls:
		why := "no DestinationRule asks for TLS"
		if out.Mode != "" {
			why = "its DestinationRule asks for " + out.Mode
		}
		r.findAt(diag.KeyTransport, diag.Error, at, fmt.Sprintf("proxies speak plain HTTP to the TLS port %d of %s: %s, so that every fetch fails", a.Port, a.Host, why))
	case a.Scheme == "http" && tls:
		r.findAt(diag.KeyTransport, diag.Warning, at, fmt.Sprintf("the jwksUri says http, and proxies speak TLS to port %d of %s: that works where the port speaks TLS alone", a.Port, a.Host))
	case tls && sni == "":
		r.findAt(diag.KeyTransport, diag.Warning, at, fmt.Sprintf("proxies name no server (SNI) to %s: one that has several certificates may show another one", a.Host))
	}
}

// serverTakesMTLS reports whether the key server's pods have a proxy that takes mTLS of
// the mesh; where they are not known, they may.
func (r *rule) serverTakesMTLS() bool {
	found, err := r.ev.Snapshot.Resolve(mesh.Target{Type: mesh.TypeService, Name: r.addr.Service}, r.addr.Namespace)
	if err != nil {
		return true
	}
	for _, w := range found {
		if istio.TakesIstioMTLS(r.ev.Snapshot, w) {
			return true
		}
	}
	return false
}

// remarks are what is worth knowing of the rule itself.
func (r *rule) remarks(all []*rule) {
	if r.out.Fetcher == ByDiscovery {
		r.find(diag.KeysDiscovered, diag.Warning, "", fmt.Sprintf(
			"the rule has no jwksUri: the control plane asks %q where the keys are, and refuses every token of the issuer while it does not answer", r.out.Issuer))
	}
	for _, other := range all {
		if other == r || other.out.Issuer != r.out.Issuer || r.out.Issuer == "" || !together(r, other) || sameKeys(r, other) {
			continue
		}
		r.find(diag.IssuerTwice, diag.Info, "issuer", fmt.Sprintf(
			"%s is for the same issuer with other keys: a token that fits either passes, and of one that fits neither the client reads what one of the two says", other.origin))
	}
	if m, managed := mesh.ManagedBy(r.object); managed {
		r.findAt(diag.ObjectManaged, diag.Info, origin.Origin{Ref: r.object.Ref()}, r.object.Ref().String()+" is kept by "+m.String()+": change that, since edits of the object itself may be reverted")
	}
	if scope, err := istio.ScopeOf(r.ev.Snapshot); err == nil && r.object.Namespace == scope.RootNamespace {
		if spec, err := r.object.RawSpec(); err == nil && spec["selector"] == nil && spec["targetRef"] == nil && spec["targetRefs"] == nil {
			r.findAt(diag.MeshWide, diag.Info, origin.Origin{Ref: r.object.Ref()}, r.object.Ref().String()+" has no selector, and is in the root namespace: it counts for the whole mesh")
		}
	}
}

// together reports whether two rules reach one workload.
func together(a, b *rule) bool {
	for _, x := range a.reached {
		for _, y := range b.reached {
			if x.workload.Ref == y.workload.Ref {
				return true
			}
		}
	}
	return false
}

func sameKeys(a, b *rule) bool {
	return a.spec.GetJwksUri() == b.spec.GetJwksUri() && a.spec.GetJwks() == b.spec.GetJwks()
}
