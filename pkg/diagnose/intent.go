package diagnose

import (
	"net/netip"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Intent is the question: what is asked of which workload, by whom and when.
type Intent struct {
	Target    mesh.Target
	Namespace string
	// Port names the port; the zero Port means that it is not given.
	Port Port
	// Method, Path, Headers, Protocol and Time are the request's, as in envoy.Request.
	Method string
	Host   string
	// HostGiven says that Host counts even if it is empty.
	HostGiven bool
	Path      string
	Headers   []envoy.Header
	Protocol  envoy.Protocol
	Time      int64
	// Clock says in words whose time that is: "--at", "this machine's clock".
	Clock string
	// Unseen is set where only a part of the request was seen.
	Unseen *envoy.Unseen
	// Everything asks for all conditions of all rules in the trace, where it else has
	// those that decide about a rule.
	Everything bool
	Caller     Caller
	// Keys are the key sets that the user gives.
	Keys []KeyFile
	// Verifies, where it is not nil, stands in for the keys of every rule: whether they
	// verify a token. It is for tables of what policies do, with tokens made for them.
	Verifies *bool
	// RemoteJWKS and Complete are those of istio.Input.
	RemoteJWKS istio.JWKSMode
	Complete   bool
	// ProxyVersion is Istio's version of the proxy where no pod tells it.
	ProxyVersion string
	// IstiodVersion is the control plane's; empty: that of the proxy.
	IstiodVersion string
	// Via are the hops in front of the target, the first one first.
	Via []Via
	// URLPort is the port that the client connects to at the first hop, where a URL
	// tells it; 0: not given.
	URLPort int
	// Subset is the one of the target's Service that a route names; empty: none.
	Subset string
	// Held gives what the proxies of a workload hold for a port, where they can be
	// asked; nil: the answer comes from the objects alone. It may return nil, or an error
	// that says why they cannot be asked, which becomes a Gap.
	Held func(w mesh.Workload, port int) (*Held, error)
	// ProxyOnly says that only what the proxy holds counts.
	ProxyOnly bool
}

// Via is a hop in front of the target.
type Via struct {
	Target mesh.Target
	// Namespace is the hop's; empty: that of the target.
	Namespace string
	// Port is the hop's, as Intent.Port is the target's.
	Port Port
	// Link is what is known of the connection to the next hop besides what follows
	// from the objects.
	Link Link
}

// String renders the hop as TYPE/NAME.NAMESPACE.
func (v Via) String() string {
	if v.Namespace == "" {
		return v.Target.String()
	}
	return v.Target.String() + "." + v.Namespace
}

// Link is a connection between two hops.
type Link struct {
	// IP is the address from which the connection comes, LocalIP the one to which it
	// goes; invalid: not known.
	IP, LocalIP netip.Addr
	// Certificate is the SHA-256 digest of the client's certificate, in lower-case hex;
	// empty: not known.
	Certificate string
}

// Port is a port as the user names it.
type Port struct {
	Number int
	Name   string // of a Service's port
}

// IsZero reports whether no port is given.
func (p Port) IsZero() bool { return p == Port{} }

// Caller is what is known of who calls.
type Caller struct {
	// From is the workload that calls, in FromNamespace; the zero Target means that
	// it is not given.
	From          mesh.Target
	FromNamespace string
	// Principal is the SPIFFE identity, with or without the scheme.
	Principal string
	// Peer overrides everything that is known of the client's certificate.
	Peer *envoy.Peer
	// IP is the address of the direct peer; invalid: not given.
	IP netip.Addr
	// RemoteIP overrides the address that follows from x-forwarded-for.
	RemoteIP netip.Addr
	// Forwarded is x-forwarded-for as the proxy has logged it, its own entry included.
	Forwarded string
	// Plaintext says that the client uses no TLS; TLS that it uses TLS that is not
	// Istio's.
	Plaintext bool
	TLS       bool
	SNI       string
	SNIGiven  bool
	// LocalIP is the address that the client reaches; invalid: not given.
	LocalIP netip.Addr
	// ProxyIP is the address by which the first proxy writes a client on a loopback
	// address into x-forwarded-for; invalid: not given.
	ProxyIP netip.Addr
	// TunnelIP is the address of the waypoint that the client reaches; invalid: not given.
	TunnelIP netip.Addr
}

// PortsError says that a port must be chosen: the verdicts differ.
type PortsError struct {
	Target     string
	Candidates []istio.PortInfo
	Verdicts   []Verdict
	Given      string // a port that is not one of them; empty if none was given
	// Via says that the port is one of a hop in front of the target.
	Via bool
}

// Error renders the problem in a line.
func (e *PortsError) Error() string {
	switch {
	case len(e.Candidates) == 0 && e.Given == "":
		return e.Target + " has no port that a request could be sent to"
	case e.Given != "":
		return e.Target + " has no port " + e.Given
	default:
		return e.Target + " has several ports with different answers"
	}
}
