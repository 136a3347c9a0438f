package envoy

import (
	"net/netip"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// Seen is what the conditions of a policy are compared with: the request after the
// proxy has normalized it and verified its tokens. It may hold tokens: nothing of it
// may be printed that Secrets names.
type Seen struct {
	Method, Authority string
	// Path is without query; HasPath is false for a CONNECT.
	Path    string
	HasPath bool
	// Headers have lower-case names; those with values that are not known are left out.
	Headers []Header
	// Payload is that of the token that was verified last, if one was.
	Payload    jwt.Value
	HasPayload bool
	// Identities are the URI SANs of the client's certificate; empty without mTLS and
	// where it is not known.
	Identities []string
	// Source is the peer's address and Remote the client's; invalid where not known.
	Source, Remote netip.Addr
	// TCP says that the bytes were not taken for HTTP.
	TCP bool
}

func (e *evaluation) seen() *Seen {
	s := e.s
	out := &Seen{
		Method: s.method, Authority: s.authority, Path: cutQuery(s.path), HasPath: s.hasPath,
		Payload: s.payload, HasPayload: s.hasPayload, TCP: s.bytes,
	}
	for _, h := range s.headers {
		if h.missing == nil {
			out.Headers = append(out.Headers, Header{Name: h.name, Value: h.value})
		}
	}
	if s.peer.IsKnown() && s.tls {
		out.Identities = s.peer.Value.URISANs
	}
	if s.direct.IsKnown() {
		out.Source = s.direct.Value
	}
	if s.remote.IsKnown() {
		out.Remote = s.remote.Value
	}
	return out
}
