package ztunnel

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// connection is what ztunnel decides on.
type connection struct {
	source, dest envoy.Fact[netip.Addr]
	port         uint16
}

// StringKind is how a StringMatch compares.
type StringKind uint8

// The kinds of string matches.
const (
	Exact StringKind = iota
	Prefix
	Suffix
	Presence // any value but the empty one
)

// StringMatch compares case-sensitively (ztunnel src/rbac.rs:StringMatch.matches).
type StringMatch struct {
	Kind  StringKind
	Value string
}

func (m StringMatch) matches(v string) bool {
	switch m.Kind {
	case Prefix:
		return strings.HasPrefix(v, m.Value)
	case Suffix:
		return strings.HasSuffix(v, m.Value)
	case Presence:
		return v != ""
	default:
		return v == m.Value
	}
}

// ofUnknown compares with a value of which only the beginning is known; sure says
// that the rest does not matter. The whole is longer than the beginning.
func (m StringMatch) ofUnknown(beginning string) (matches, sure bool) {
	switch m.Kind {
	case Presence:
		return true, true
	case Prefix:
		return strings.HasPrefix(beginning, m.Value), strings.HasPrefix(beginning, m.Value) || !strings.HasPrefix(m.Value, beginning)
	case Exact:
		return false, !strings.HasPrefix(m.Value, beginning)
	default:
		return false, false
	}
}

// Principal is the client's name without the scheme. A client without identity has
// none, which is not the same as an empty one (src/rbac.rs:StringMatch.matches_principal).
type Principal struct{ String StringMatch }

func (t Principal) test(_ *connection, id identity) envoy.Tri {
	switch {
	case !id.present:
		return envoy.TriOf(false)
	case id.missing == nil:
		return envoy.TriOf(t.String.matches(id.principal()))
	}
	if t.String.Kind == Exact {
		name, ok := parseIdentity(scheme + t.String.Value)
		if !ok || name.trustDomain != id.trustDomain {
			return envoy.TriOf(false)
		}
	}
	if hit, sure := t.String.ofUnknown(id.trustDomain + "/ns/"); sure {
		return envoy.TriOf(hit)
	}
	return envoy.TriUnknown(id.missing)
}

func (Principal) got(_ *connection, id identity) string { return id.describe(id.principal()) }

// Namespace is the client's namespace; a client without identity has the empty one.
type Namespace struct{ String StringMatch }

func (t Namespace) test(_ *connection, id identity) envoy.Tri {
	if id.missing == nil {
		return envoy.TriOf(t.String.matches(id.namespace))
	}
	if hit, sure := t.String.ofUnknown(""); sure {
		return envoy.TriOf(hit)
	}
	return envoy.TriUnknown(id.missing)
}

func (Namespace) got(_ *connection, id identity) string { return id.describe(id.namespace) }

// ServiceAccount is the client's service account, whatever its trust domain
// (src/rbac.rs:ServiceAccountMatch.matches).
type ServiceAccount struct{ Namespace, Name string }

func (t ServiceAccount) test(_ *connection, id identity) envoy.Tri {
	switch {
	case !id.present:
		return envoy.TriOf(false)
	case id.missing != nil:
		return envoy.TriUnknown(id.missing)
	default:
		return envoy.TriOf(id.namespace == t.Namespace && id.serviceAccount == t.Name)
	}
}

func (ServiceAccount) got(_ *connection, id identity) string {
	return id.describe(id.namespace + "/" + id.serviceAccount)
}

func (id identity) describe(value string) string {
	switch {
	case !id.present:
		return gotNone
	case id.missing != nil:
		return gotUnknown
	default:
		return strconv.Quote(value)
	}
}

// SourceIP is the address of the client's end of the connection.
type SourceIP struct{ Block netip.Prefix }

func (t SourceIP) test(c *connection, _ identity) envoy.Tri { return inBlock(t.Block, c.source) }

func (SourceIP) got(c *connection, _ identity) string { return describeAddr(c.source) }

// DestinationIP is the address of the workload.
type DestinationIP struct{ Block netip.Prefix }

func (t DestinationIP) test(c *connection, _ identity) envoy.Tri { return inBlock(t.Block, c.dest) }

func (DestinationIP) got(c *connection, _ identity) string { return describeAddr(c.dest) }

// DestinationPort is the workload's own port, not the one of the tunnel
// (ztunnel src/proxy/inbound.rs:build_inbound_request).
type DestinationPort struct{ Port uint16 }

func (t DestinationPort) test(c *connection, _ identity) envoy.Tri {
	return envoy.TriOf(c.port == t.Port)
}

func (DestinationPort) got(c *connection, _ identity) string { return strconv.Itoa(int(c.port)) }

// Undecidable is for what nobody can tell, such as a policy that cannot be read.
type Undecidable struct{ Missing *envoy.Missing }

func (t Undecidable) test(*connection, identity) envoy.Tri { return envoy.TriUnknown(t.Missing) }

func (Undecidable) got(*connection, identity) string { return gotUnknown }

// inBlock tests an address. IPv4 addresses in IPv6's clothes count as IPv4
// (ztunnel src/socket.rs:to_canonical); blocks in such clothes therefore hold none.
func inBlock(b netip.Prefix, a envoy.Fact[netip.Addr]) envoy.Tri {
	if !a.IsKnown() {
		return envoy.TriUnknown(a.Missing)
	}
	return envoy.TriOf(a.Value.IsValid() && b.Contains(a.Value.Unmap().WithZone("")))
}

func describeAddr(a envoy.Fact[netip.Addr]) string {
	switch {
	case !a.IsKnown():
		return gotUnknown
	case !a.Value.IsValid():
		return gotNone
	default:
		return a.Value.Unmap().String()
	}
}

const (
	gotNone    = "none"
	gotUnknown = "not known"
)
