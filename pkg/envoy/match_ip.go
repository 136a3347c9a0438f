package envoy

import (
	"net/netip"
	"strconv"
)

// IPSide is whose address an IPMatch looks at.
type IPSide uint8

// The addresses of a connection.
const (
	DirectRemoteIP IPSide = iota // the peer of the connection
	RemoteIP                     // the client, after forwarding headers
	DestinationIP                // where the client connected to
)

// IPMatch is a CIDR block (Envoy source/extensions/filters/common/rbac/matchers.cc:IPMatcher).
type IPMatch struct {
	Side  IPSide
	Block netip.Prefix
}

func (m *IPMatch) addr(s *state) Fact[netip.Addr] {
	switch m.Side {
	case DirectRemoteIP:
		if s.tunnelled {
			// The peer of the connection is the end of the tunnel, in the same Envoy: it
			// has no IP address.
			return Known(netip.Addr{})
		}
		return s.direct
	case RemoteIP:
		return s.remote
	default:
		return s.req.Connection.LocalIP
	}
}

func (m *IPMatch) match(s *state) Tri {
	a := m.addr(s)
	if !a.IsKnown() {
		return unknown(a.Missing)
	}
	return truth(a.Value.IsValid() && m.Block.Contains(a.Value.WithZone(""))) // a zone does not count
}

func (m *IPMatch) got(s *state) string {
	a := m.addr(s)
	if !a.IsKnown() || !a.Value.IsValid() {
		return gotNone
	}
	return a.Value.String()
}

// PortMatch is the port that the client reached.
type PortMatch struct{ Port uint16 }

func (m *PortMatch) match(s *state) Tri { return truth(s.req.Connection.LocalPort == m.Port) }

func (m *PortMatch) got(s *state) string {
	return strconv.Itoa(int(s.req.Connection.LocalPort))
}
