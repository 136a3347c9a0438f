package diagnose

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// What nobody said of a caller, each with the flag that says it.
var (
	identityMissing = &envoy.Missing{
		What: "the client's identity", Why: "it was not said who calls, nor whether with mTLS",
		Hint: "--from TYPE/NAME, --from-principal or --plaintext",
	}
	addressMissing = &envoy.Missing{What: "the client's address", Why: "it was not given", Hint: "--from-ip ADDRESS or --from TYPE/NAME"}
	localMissing   = &envoy.Missing{What: "the address of the pod", Why: "no pod with an address is among the objects"}
	noServerName   = &envoy.Missing{What: sniMissing.What, Why: "no host was given", Hint: "--host NAME"}
	sniMissing     = &envoy.Missing{What: "the server name of the TLS connection", Why: "it was not given", Hint: "--sni NAME"}
	hostMissing    = &envoy.Missing{What: "the host that is asked for", Why: "it was not given", Hint: "--host NAME"}
)

// buildRequest puts the facts of the question together for one port.
func buildRequest(in Intent, snap *mesh.Snapshot, w mesh.Workload, port istio.PortInfo, res *istio.Result) (*envoy.Request, error) {
	r := &envoy.Request{
		Protocol: in.Protocol, Method: in.Method, Authority: in.Host, Path: in.Path, Headers: in.Headers, Time: in.Time, Unseen: in.Unseen,
	}
	missing := hostMissing
	switch {
	case r.Authority != "" || in.HostGiven:
	case in.Unseen != nil:
		missing = loggedHost
	default:
		r.Authority = defaultHost(in, port)
	}
	if r.Authority == "" && !in.HostGiven {
		r.Authority, r.AuthorityMissing = "host-not-given", missing
	}
	c := &r.Connection
	c.LocalPort = uint16(port.Number)
	c.LocalIP = localIP(in, w)
	if port.Fronted != nil && !in.Caller.LocalIP.IsValid() {
		c.LocalIP = frontedIP(port.Fronted)
	}
	if t := res.Proxy.Tunnel; t != nil && in.Caller.TunnelIP.IsValid() {
		t.LocalIP = envoy.Known(in.Caller.TunnelIP)
	}
	c.ProxyIP = in.Caller.ProxyIP
	if in.Caller.RemoteIP.IsValid() {
		c.RemoteIP = &in.Caller.RemoteIP
	}
	if err := caller(in, snap, res, c); err != nil {
		return nil, err
	}
	c.SNI = serverName(in, c, port, w)
	return r, nil
}

// defaultHost is the full name of the Service that is the target, or of the
// workload's only Service. A gateway has no host of its own.
func defaultHost(in Intent, port istio.PortInfo) string {
	if port.Fronted != nil {
		return port.Fronted.Host
	}
	names := map[string]bool{}
	for _, s := range port.Services {
		name := s.Service + "." + s.Namespace + ".svc.cluster.local"
		if in.Target.Type == mesh.TypeService && s.Service == in.Target.Name {
			return name
		}
		names[name] = true
	}
	if len(names) != 1 {
		return ""
	}
	for n := range names {
		return n
	}
	return ""
}

func localIP(in Intent, w mesh.Workload) envoy.Fact[netip.Addr] {
	if in.Caller.LocalIP.IsValid() {
		return envoy.Known(in.Caller.LocalIP)
	}
	if len(w.PodIPs) == 1 {
		if a, err := netip.ParseAddr(w.PodIPs[0]); err == nil {
			return envoy.Known(a)
		}
	}
	return envoy.NotKnown[netip.Addr](localMissing)
}

// caller fills in identity, transport and address of the client.
func caller(in Intent, snap *mesh.Snapshot, res *istio.Result, c *envoy.Connection) error {
	who := in.Caller
	c.Transport = envoy.NotKnown[envoy.Transport](identityMissing)
	c.Peer = envoy.NotKnown[envoy.Peer](identityMissing)
	c.Source = envoy.NotKnown[netip.Addr](addressMissing)
	if res.Proxy.Role == envoy.RoleGateway {
		// A client outside the mesh, without identity.
		c.Transport, c.Peer = envoy.Known(outsideTransport(res.Proxy)), envoy.Known(envoy.Peer{})
	}
	if res.Proxy.Role == envoy.RoleWaypoint {
		// Nothing else gets there.
		c.Transport = envoy.Known(envoy.MutualTLS)
	}
	if who.From != (mesh.Target{}) {
		if err := callerWorkload(in, snap, res, c); err != nil {
			return err
		}
	}
	if who.Principal != "" {
		c.Transport = envoy.Known(envoy.MutualTLS)
		c.Peer = envoy.Known(envoy.Peer{Presented: true, Trusted: true, URISANs: []string{"spiffe://" + strings.TrimPrefix(who.Principal, "spiffe://")}})
	}
	if who.Peer != nil {
		c.Peer = envoy.Known(*who.Peer)
		c.Transport = envoy.Known(envoy.MutualTLS)
	}
	if who.TLS {
		c.Transport = envoy.Known(envoy.TLS)
		if who.Peer == nil && who.Principal == "" {
			c.Peer = envoy.Known(envoy.Peer{})
		}
	}
	if who.Plaintext {
		c.Transport, c.Peer = envoy.Known(envoy.Plaintext), envoy.Known(envoy.Peer{})
	}
	if last := lastForwarded(who.Forwarded); res.Proxy.Role == envoy.RoleGateway && last.IsValid() {
		c.Source = envoy.Known(last)
	}
	if who.IP.IsValid() {
		c.Source = envoy.Known(who.IP)
	}
	return nil
}

// outsideTransport is what a client outside the mesh uses at a gateway's listener.
func outsideTransport(p *envoy.Proxy) envoy.Transport {
	for _, c := range p.Chains {
		if c.TLS != nil {
			return envoy.TLS
		}
	}
	return envoy.Plaintext
}

// givenBy says of a workload that was not found how its namespace is given.
func givenBy(err error, flag string) error {
	if missing := (*mesh.NotFoundError)(nil); errors.As(err, &missing) {
		with := *missing
		with.Flag = flag
		return &with
	}
	return err
}

// callerWorkload takes identity and address from the workload that calls.
func callerWorkload(in Intent, snap *mesh.Snapshot, res *istio.Result, c *envoy.Connection) error {
	groups, err := snap.Resolve(in.Caller.From, fromNamespace(in))
	if callerUnread(in, snap, groups, c) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the caller: %w", givenBy(err, "--from-namespace "))
	}
	w := groups[0]
	role := istio.RoleOf(snap, w)
	if role == envoy.RoleNone || role == envoy.RoleZtunnel && !res.TakesHBONE {
		// No proxy, or ztunnel, which has no mTLS for those who do not take its tunnel.
		c.Transport, c.Peer = envoy.Known(envoy.Plaintext), envoy.Known(envoy.Peer{})
	} else {
		id := fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", res.TrustDomain, w.Namespace, w.ServiceAccount)
		c.Transport = envoy.Known(envoy.MutualTLS)
		c.Peer = envoy.Known(envoy.Peer{Presented: true, Trusted: true, URISANs: []string{id}})
	}
	if res.Mode == "DISABLE" {
		// istiod tells clients in the mesh not to use mTLS (auto mTLS).
		c.Transport, c.Peer = envoy.Known(envoy.Plaintext), envoy.Known(envoy.Peer{})
	}
	if len(w.PodIPs) == 1 && len(groups) == 1 {
		if a, err := netip.ParseAddr(w.PodIPs[0]); err == nil {
			c.Source = envoy.Known(a)
		}
	}
	return nil
}

// serverName is the SNI: none without TLS; Istio's own with mTLS, where the
// Service is known.
func serverName(in Intent, c *envoy.Connection, port istio.PortInfo, _ mesh.Workload) envoy.Fact[string] {
	switch {
	case in.Caller.SNIGiven:
		return envoy.Known(in.Caller.SNI)
	case c.Transport.IsKnown() && c.Transport.Value == envoy.Plaintext:
		return envoy.Known("")
	case c.Transport.IsKnown() && c.Transport.Value == envoy.TLS && in.Host != "":
		host, _, _ := strings.Cut(in.Host, ":")
		return envoy.Known(host)
	case c.Transport.IsKnown() && c.Transport.Value == envoy.TLS:
		return envoy.NotKnown[string](noServerName)
	case c.Transport.IsKnown() && c.Transport.Value == envoy.MutualTLS && len(port.Services) == 1 && port.Fronted == nil:
		s := port.Services[0]
		return envoy.Known(fmt.Sprintf("outbound_.%d_._.%s.%s.svc.cluster.local", s.Port, s.Service, s.Namespace))
	default:
		return envoy.NotKnown[string](sniMissing)
	}
}
