package envoy

import "net/netip"

// Protocol is the HTTP version that the client speaks.
type Protocol uint8

// The protocols. HTTP/1.0 and HTTP/3 are not modelled.
const (
	HTTP11 Protocol = iota
	HTTP2
)

// Header is one header line as it is on the wire. Names are compared without case.
type Header struct {
	Name, Value string
}

// UnknownHeader is a header line of which the value is not known.
type UnknownHeader struct {
	Name    string
	Missing *Missing
}

// Request is one request with all that a proxy can know of it. Header lines keep
// their order, and nothing is merged or trimmed: what the codec does is part of
// the evaluation. Tokens are in the headers and the path, where the client put
// them; nothing here prints them.
type Request struct {
	Protocol  Protocol
	Method    string
	Authority string // the Host header or :authority, port included
	// AuthorityMissing is set where nobody said which host is asked for; Authority
	// is then only a stand-in.
	AuthorityMissing *Missing
	Path             string // as sent: raw, with the query and any fragment
	Headers          []Header
	// Unknown are header lines besides those, of which the values are not known.
	Unknown []UnknownHeader
	// Unseen is set where only a part of the request was seen.
	Unseen *Unseen
	// Scheme is what :scheme says over HTTP/2; empty: what the connection is.
	Scheme string
	// Time is when the proxy sees the request, in seconds since the epoch.
	Time       int64
	Connection Connection
}

// Transport is how the bytes of a connection arrive.
type Transport uint8

// The transports. MutualTLS is Istio's own: TLS with a client certificate and
// one of Istio's ALPN names. TLS is any other.
const (
	Plaintext Transport = iota
	MutualTLS
	TLS
)

// String names the transport.
func (t Transport) String() string {
	return [...]string{"plaintext", "mTLS", "TLS"}[t]
}

// Peer is the client's certificate as far as Envoy reads it. The zero Peer is a
// client without one.
type Peer struct {
	Presented bool
	// Trusted says that the certificate chains to the roots that the chain wants.
	Trusted bool
	URISANs []string
	DNSSANs []string
	Subject string // RFC 2253 form, as X509_NAME_print_ex writes it
	// Hash is the SHA-256 digest of the certificate in lower-case hex; empty
	// where it is not known.
	Hash string
}

// Connection is what is known of the connection that carries the request.
type Connection struct {
	Transport Fact[Transport]
	Peer      Fact[Peer]
	// Source is the address of the direct peer, before any forwarding header.
	Source Fact[netip.Addr]
	// Local is the address and port that the client reached, after redirection.
	LocalIP   Fact[netip.Addr]
	LocalPort uint16
	SNI       Fact[string]
	ALPN      []string
	// ProxyIP is the proxy's own address, which it writes into x-forwarded-for in the
	// place of a loopback address; invalid: not known.
	ProxyIP netip.Addr
	// RemoteIP overrides what the forwarding headers say about the client.
	RemoteIP *netip.Addr
}
