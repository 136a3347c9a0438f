package grant

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// mutual is a chain that reads a client's certificate and speaks HTTP; nil if
// there is none.
func (w *work) mutual() *envoy.Chain {
	for i := range w.p.Chains {
		c := &w.p.Chains[i]
		if c.HTTP != nil && c.TLS != nil && c.TLS.RequestClientCertificate && takesName(c, w.req.Connection.SNI.Value) {
			return c
		}
	}
	return nil
}

// plain is whether a client without TLS gets to an HTTP chain.
func (w *work) plain() bool {
	return slices.ContainsFunc(w.p.Chains, func(c envoy.Chain) bool { return c.HTTP != nil && c.TLS == nil })
}

// takesName says whether a chain is for connections with this server name.
func takesName(c *envoy.Chain, sni string) bool {
	sni = strings.ToLower(sni)
	return len(c.Match.ServerNames) == 0 || slices.ContainsFunc(c.Match.ServerNames, func(n string) bool {
		n = strings.ToLower(n)
		return n == "*" || n == sni || strings.HasPrefix(n, "*.") && strings.HasSuffix(sni, n[1:]) && sni != n[1:]
	})
}

// connect gives the client a certificate with the names. One of them is of a trust
// domain that the proxy wants: another one is added where none is.
func (w *work) connect(names ...string) Impossible {
	chain := w.mutual()
	if chain == nil {
		return NoClientCert
	}
	trusted := len(chain.TLS.TrustPrefixes) == 0
	for _, n := range names {
		trusted = trusted || slices.ContainsFunc(chain.TLS.TrustPrefixes, func(p string) bool { return strings.HasPrefix(n, p) })
	}
	if !trusted {
		names = append(names, chain.TLS.TrustPrefixes[0]+"ns/other/sa/other")
	}
	c := &w.req.Connection
	c.Peer = envoy.Known(envoy.Peer{Presented: true, Trusted: true, URISANs: names, Hash: strings.Repeat("0", 64)})
	c.Transport = envoy.Known(envoy.MutualTLS)
	if w.p.Role == envoy.RoleGateway {
		c.Transport = envoy.Known(envoy.TLS)
	}
	return ""
}

// otherIdentity takes the identity away, or gives another one where there must be
// one.
func (w *work) otherIdentity(ms []envoy.Matcher) Impossible {
	c := &w.req.Connection
	if w.plain() {
		c.Transport, c.Peer, c.SNI = envoy.Known(envoy.Plaintext), envoy.Known(envoy.Peer{}), envoy.Known("")
		return ""
	}
	chain := w.mutual()
	if chain == nil || !chain.TLS.RequireClientCertificate {
		c.Peer = envoy.Known(envoy.Peer{})
		return ""
	}
	prefixes := chain.TLS.TrustPrefixes
	if len(prefixes) == 0 {
		prefixes = []string{"spiffe://other.test/"}
	}
	for _, prefix := range prefixes {
		for _, rest := range []string{"ns/other/sa/other", "ns/o/sa/p", "other"} {
			if !slices.ContainsFunc(ms, func(m envoy.Matcher) bool { return accepts(m.(*envoy.IdentityMatch).String, prefix+rest) }) {
				return w.connect(prefix + rest)
			}
		}
	}
	return NoPlaintext
}

func (w *work) anyServerName(wanted []string) Impossible {
	why := NoServerName
	for _, name := range wanted {
		if why = w.serverName(name); why == "" {
			return ""
		}
	}
	return why
}

// serverName makes the client ask for this name; without TLS nobody asks for any.
// The proxy keeps server names in lower case.
func (w *work) serverName(name string) Impossible {
	c := &w.req.Connection
	if name == "" && c.Transport.Value == envoy.Plaintext {
		return ""
	}
	if name != strings.ToLower(name) {
		return NoSuchValue
	}
	if c.Transport.Value == envoy.Plaintext {
		c.SNI = envoy.Known(name)
		return w.connect()
	}
	if !slices.ContainsFunc(w.p.Chains, func(c envoy.Chain) bool { return c.HTTP != nil && takesName(&c, name) }) {
		return NoServerName
	}
	c.SNI = envoy.Known(name)
	return ""
}

func (w *work) otherServerName(ms []envoy.Matcher) Impossible {
	candidates := []string{"", "other.test", "o"}
	for _, c := range w.p.Chains {
		for _, n := range c.Match.ServerNames {
			candidates = append(candidates, strings.Replace(n, "*", "other", 1), strings.Replace(n, "*", "o.p", 1))
		}
	}
	why := EveryValue
	for _, name := range candidates {
		if slices.ContainsFunc(ms, func(m envoy.Matcher) bool { return accepts(m.(*envoy.SNIMatch).String, name) }) {
			continue
		}
		if why = w.serverName(name); why == "" {
			return ""
		}
	}
	return why
}
