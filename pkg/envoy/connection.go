package envoy

import (
	"slices"
	"sort"
	"strings"
)

// istioALPN are the application protocols that an Istio client offers for HTTP
// (Istio pkg/alpn and pilot/pkg/networking/util: the alpn filter's override).
func istioALPN(p Protocol) []string {
	if p == HTTP2 {
		return istioH2ALPN
	}
	return istioHTTPALPN
}

var (
	istioH2ALPN   = []string{"istio-h2", "istio", "h2"}
	istioHTTPALPN = []string{"istio-http/1.1", "istio", "http/1.1"}
	// What the HTTP inspector finds in plaintext.
	sniffedH2, sniffedHTTP = []string{"h2c"}, []string{"http/1.1"}
)

// offer is what the listener sees of a connection before it picks a chain.
type offer struct {
	transport string // tls or raw_buffer
	alpn      []string
	sni       string
}

func (p *Proxy) offer(r *Request, t Transport) offer {
	var sniffed []string
	switch {
	case t != Plaintext || !p.sniffs(): // TLS bytes are no HTTP to the inspector
	case r.Protocol == HTTP2:
		sniffed = sniffedH2
	case r.parses():
		sniffed = sniffedHTTP
	}
	o := offer{transport: "raw_buffer", alpn: sniffed}
	if t == Plaintext || !p.TLSInspector {
		return o
	}
	o.transport, o.alpn, o.sni = "tls", r.Connection.ALPN, r.Connection.SNI.Value
	if o.alpn == nil && t == MutualTLS {
		o.alpn = istioALPN(r.Protocol)
	}
	return o
}

// sniffs reports whether some chain for plaintext is chosen by what the HTTP inspector
// finds.
func (p *Proxy) sniffs() bool {
	for i := range p.Chains {
		if m := &p.Chains[i].Match; len(m.ALPN) > 0 && m.Transport != "tls" {
			return true
		}
	}
	return false
}

// parses reports whether the HTTP inspector takes the bytes for HTTP/1: what its
// parser refuses is no HTTP to it
// (Envoy source/extensions/filters/listener/http_inspector/http_inspector.cc).
func (r *Request) parses() bool {
	// All characters up to the blank count as blanks around the target
	// (quiche/balsa/balsa_frame.cc:ParseHTTPFirstLine); what is inside, the check refuses.
	path := strings.TrimFunc(r.Path, func(c rune) bool { return c <= ' ' })
	if !validHeaderName(r.Method) || hasControl(path) || strings.ContainsAny(path, " \t") || !validTargetHTTP1(path, r.Method == "CONNECT") {
		return false
	}
	for _, h := range r.Headers {
		if !validHeaderName(h.Name) || hasControl(h.Value) {
			return false
		}
	}
	return true
}

// pick finds the chain that Envoy takes: by the most specific server name, then
// by transport protocol, then by application protocol, without going back
// (Envoy source/common/listener_manager/filter_chain_manager_impl.cc:findFilterChain).
func (p *Proxy) pick(o offer) *Chain {
	sni := lower(o.sni)
	name := -1
	for i := range p.Chains {
		name = max(name, p.Chains[i].Match.nameScore(sni))
	}
	if name < 0 {
		return nil
	}
	specific := false
	for i := range p.Chains {
		m := &p.Chains[i].Match
		specific = specific || m.nameScore(sni) == name && m.Transport == o.transport
	}
	for j := 0; j <= len(o.alpn); j++ {
		offered := "" // at last: a chain that does not ask for any
		if j < len(o.alpn) {
			offered = o.alpn[j]
		}
		for i := range p.Chains {
			m := &p.Chains[i].Match
			if m.nameScore(sni) != name || specific && m.Transport != o.transport || !specific && m.Transport != "" {
				continue
			}
			if offered == "" && len(m.ALPN) == 0 || offered != "" && slices.Contains(m.ALPN, offered) {
				return &p.Chains[i]
			}
		}
	}
	return nil
}

// pick is the chain for an offer. Where it is not known for which server the client asks,
// it is each of those that the listener has, and none.
func (e *evaluation) pick(o offer) *Chain {
	sni := e.r.Connection.SNI
	chain := e.p.pick(o)
	if o.transport != "tls" || sni.IsKnown() {
		return chain
	}
	tried := []*Chain{chain}
	for i := range e.p.Chains {
		for _, name := range e.p.Chains[i].Match.ServerNames {
			o.sni = strings.Replace(name, "*", "any", 1)
			other := e.p.pick(o)
			if slices.Contains(tried, other) {
				continue
			}
			tried = append(tried, other)
			if e.s.choose(serverQuestion{other}, sni.Missing) {
				return other
			}
		}
	}
	return chain
}

// serverQuestion is whether the client asks for a server of a chain.
type serverQuestion struct{ chain *Chain }

// nameScore is how well the server names fit: higher is more specific, below zero is
// not at all.
func (m *ChainMatch) nameScore(sni string) int {
	if len(m.ServerNames) == 0 {
		return 0
	}
	score := -1
	for _, n := range m.ServerNames {
		n = lower(n)
		switch {
		case n == "" || n == "*":
			score = max(score, 0)
		case n == sni:
			score = max(score, 1<<20)
		case strings.HasPrefix(n, "*.") && strings.HasSuffix(sni, n[1:]) && len(sni) > len(n)-1:
			score = max(score, len(n))
		}
	}
	return score
}

// admit checks a client against the chain's TLS settings. The peer is what the
// proxy knows of the client afterwards; a non-empty reason means that the
// handshake fails.
func (c *Chain) admit(t Transport, peer Fact[Peer]) (Fact[Peer], string) {
	if c.TLS == nil {
		if t != Plaintext && c.HTTP != nil {
			return peer, "the port does not terminate TLS"
		}
		return Known(Peer{}), ""
	}
	if t == Plaintext {
		return peer, "the port wants TLS"
	}
	if !c.TLS.RequestClientCertificate && !c.TLS.RequireClientCertificate {
		return Known(Peer{}), ""
	}
	if !peer.IsKnown() {
		return peer, ""
	}
	p := peer.Value
	switch {
	case !p.Presented && c.TLS.RequireClientCertificate:
		return peer, "the client presents no certificate"
	case !p.Presented:
		return peer, ""
	case !p.Trusted:
		return peer, "the client's certificate is not of a trusted root"
	case len(c.TLS.Names) > 0 && !shares(c.TLS.Names, p.URISANs) && !shares(c.TLS.Names, p.DNSSANs):
		return peer, "the client's certificate has none of the names that the server wants"
	case !hasTrustedName(p.URISANs, c.TLS.TrustPrefixes) && (c.TLS.URIOnly || !hasTrustedName(p.DNSSANs, c.TLS.TrustPrefixes)):
		return peer, "the client's identity is not of a trust domain of this mesh"
	}
	return peer, ""
}

func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(n string) bool { return slices.Contains(b, n) })
}

func hasTrustedName(names, prefixes []string) bool {
	if len(prefixes) == 0 {
		return true
	}
	for _, n := range names {
		for _, p := range prefixes {
			if strings.HasPrefix(n, p) {
				return true
			}
		}
	}
	return false
}

// transports are those that the client may use: one when it is known.
func (r *Request) transports() []Transport {
	t := r.Connection.Transport
	if t.IsKnown() {
		return []Transport{t.Value}
	}
	return []Transport{MutualTLS, Plaintext}
}

// sortSeverity orders verdicts from the one that users fear most.
func sortSeverity(vs []Verdict) {
	rank := func(v Verdict) int {
		switch {
		case v.Decision == Denied && v.Status == 0:
			return 0
		case v.Decision == Denied:
			return 1
		default:
			return 2
		}
	}
	sort.SliceStable(vs, func(i, j int) bool { return rank(vs[i]) < rank(vs[j]) })
}
