package envoy

import "strings"

// IdentityMatch compares the names of the client's certificate: each URI SAN,
// then each DNS SAN, then the subject; any hit will do
// (Envoy source/extensions/filters/common/rbac/matchers.cc:AuthenticatedMatcher).
type IdentityMatch struct{ String StringMatch }

func (m *IdentityMatch) match(s *state) Tri {
	if !s.peer.IsKnown() {
		return unknown(s.peer.Missing)
	}
	if !s.tls {
		return no
	}
	p := &s.peer.Value
	for _, n := range p.URISANs {
		if m.String.matches(n, s) {
			return yes
		}
	}
	for _, n := range p.DNSSANs {
		if m.String.matches(n, s) {
			s.br.add(BranchMatchDNSSAN)
			return yes
		}
	}
	if m.String.matches(p.Subject, s) {
		s.br.add(BranchMatchSubject)
		return yes
	}
	return no
}

func (m *IdentityMatch) got(s *state) string {
	if !s.peer.IsKnown() || !s.tls || !s.peer.Value.Presented {
		return gotNone
	}
	var names []string
	for _, n := range append(append([]string(nil), s.peer.Value.URISANs...), s.peer.Value.DNSSANs...) {
		names = append(names, quote(strings.TrimPrefix(n, "spiffe://")))
	}
	if len(names) == 0 {
		return quote(s.peer.Value.Subject)
	}
	return strings.Join(names, ", ")
}
