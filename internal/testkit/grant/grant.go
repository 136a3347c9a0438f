// Package grant gives a condition of a policy what it wants: it changes a request
// so that one condition, which failed, holds. It reads what the policy says, not
// what the evaluator makes of it, so that a trace which names the wrong condition,
// or the wrong reason, is found out by trying.
//
// It imports pkg/envoy, pkg/jwt, pkg/jwks, pkg/origin and internal/testkit/mint.
// Only tests may import it.
package grant

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Impossible says why no request can satisfy a condition. The texts are few, so
// that they can be counted; empty means that it was possible.
type Impossible string

// The reasons.
const (
	NoSuchCondition Impossible = "the proxy has no such condition"
	FixedPort       Impossible = "the port is the workload's, no client can change it"
	FilterMetadata  Impossible = "the metadata of another filter is not the client's"
	AlwaysPresent   Impossible = "the attribute is there in every request, and the condition wants it absent"
	EveryValue      Impossible = "the condition excludes every value"
	NoSuchValue     Impossible = "no request can have such a value"
	PathChanged     Impossible = "the proxy never leaves such a path as it is"
	HeaderChanged   Impossible = "the proxy removes or rewrites such a header before policies see it"
	HeaderIsToken   Impossible = "the JWT filter takes such a header for a token"
	NoClientCert    Impossible = "no chain of the proxy reads a client's certificate"
	NoPlaintext     Impossible = "every client has an identity: no chain takes plaintext"
	NoServerName    Impossible = "no server of the gateway takes such a server name"
	NobodyVerifies  Impossible = "no rule verifies tokens, so that there are no claims"
	NoSuchIssuer    Impossible = "no rule takes tokens of such an issuer"
	NoPrivateKey    Impossible = "nobody has the private key of the rule that could verify the token"
	NoPlaceForToken Impossible = "the rule looks for tokens in no place that a token can be put into alone"
	NoClaimName     Impossible = "a claim without a name is the whole payload, which is no text"
	ClaimType       Impossible = "the claim has to be of another type, or the token is refused"
	ClaimIsList     Impossible = "the rule splits the claim into words, which never are that text"
	SeveralRequired Impossible = "several rules, one of which requires a token: one token is not enough"
	ClaimIsRequired Impossible = "every token that the rule takes has what the condition excludes"
	ClaimHeaderText Impossible = "the JWT filter writes the header, and no claim gives such a text"
)

// Granter grants; it remembers which private key belongs to which key set.
type Granter struct {
	signers map[any]*signer
}

// New returns a Granter.
func New() *Granter { return &Granter{signers: map[any]*signer{}} }

// Grant returns a request in which the condition whose field is failed holds, and
// which is else as much like r as that allows. r stays as it is.
func (g *Granter) Grant(p *envoy.Proxy, keys envoy.Keys, r *envoy.Request, failed origin.Origin) (*envoy.Request, Impossible) {
	c := Find(p, failed)
	if c == nil {
		return nil, NoSuchCondition
	}
	w := &work{granter: g, p: p, keys: keys, req: clone(r)}
	if c.Negated {
		if why := w.avoid(c.Matchers); why != "" {
			return nil, why
		}
		return w.req, ""
	}
	why := NoSuchValue
	for _, m := range c.Matchers {
		w.req = clone(r)
		if why = w.satisfy(m); why == "" {
			return w.req, ""
		}
	}
	return nil, why
}

// Find returns the condition of an ALLOW filter whose field is at; nil if there is
// none. A condition of `when` stands in several clauses, always the same.
func Find(p *envoy.Proxy, at origin.Origin) *envoy.Condition {
	for _, f := range rbacFilters(p, envoy.Allow) {
		if f.Rules == nil {
			continue
		}
		for _, policy := range f.Rules.Policies {
			for _, clauses := range [][]envoy.Clause{policy.Permissions, policy.Principals} {
				for i := range clauses {
					for j := range clauses[i].Conditions {
						if clauses[i].Conditions[j].Origin == at {
							return &clauses[i].Conditions[j]
						}
					}
				}
			}
		}
	}
	return nil
}

// work is one request on its way to what a condition wants.
type work struct {
	granter *Granter
	p       *envoy.Proxy
	keys    envoy.Keys
	req     *envoy.Request
}

// satisfy makes one value of a condition match.
func (w *work) satisfy(m envoy.Matcher) Impossible {
	switch m := m.(type) {
	case *envoy.HeaderMatch:
		return w.header(m)
	case *envoy.PathMatch:
		return w.anyPath(samples(m.String))
	case *envoy.TemplateMatch:
		return w.anyPath([]string{fillTemplate(m.Template)})
	case *envoy.IPMatch:
		return w.address(m.Side, m.Block.Addr())
	case *envoy.SNIMatch:
		return w.anyServerName(samples(m.String))
	case *envoy.IdentityMatch:
		return w.connect(samples(m.String)[0])
	case *envoy.PrincipalMatch:
		return w.principal(m)
	case *envoy.ClaimMatch:
		return w.claim(m.Path, m.String)
	case *envoy.PortMatch:
		return FixedPort
	default:
		return FilterMetadata
	}
}

// avoid makes none of the values match.
func (w *work) avoid(ms []envoy.Matcher) Impossible {
	switch m := ms[0].(type) {
	case *envoy.HeaderMatch:
		return w.withoutHeader(m.Name, ms)
	case *envoy.PathMatch, *envoy.TemplateMatch:
		return w.otherPath(ms)
	case *envoy.IPMatch:
		return w.otherAddress(ms)
	case *envoy.SNIMatch:
		return w.otherServerName(ms)
	case *envoy.IdentityMatch:
		return w.otherIdentity(ms)
	case *envoy.PrincipalMatch:
		return w.withoutClaim(ms, "sub")
	case *envoy.ClaimMatch:
		if len(m.Path) == 0 {
			return NoClaimName
		}
		return w.withoutClaim(ms, m.Path[0])
	case *envoy.PortMatch:
		return FixedPort
	default:
		return FilterMetadata
	}
}

func clone(r *envoy.Request) *envoy.Request {
	out := *r
	out.Headers = slices.Clone(r.Headers)
	return &out
}

// manager is the connection manager that every HTTP chain of the proxy has.
func manager(p *envoy.Proxy) *envoy.ConnectionManager {
	for i := range p.Chains {
		if p.Chains[i].HTTP != nil {
			return p.Chains[i].HTTP
		}
	}
	return &envoy.ConnectionManager{}
}

func rbacFilters(p *envoy.Proxy, a envoy.Action) []*envoy.RBAC {
	var out []*envoy.RBAC
	for _, f := range manager(p).Filters {
		if r, ok := f.(*envoy.RBAC); ok && r.Action == a && !r.Custom {
			out = append(out, r)
		}
	}
	return out
}

// jwtFilter is the JWT filter of the proxy, nil if it has none.
func jwtFilter(p *envoy.Proxy) *envoy.JWTAuthn {
	for _, f := range manager(p).Filters {
		if j, ok := f.(*envoy.JWTAuthn); ok {
			return j
		}
	}
	return nil
}

// With is the proxy with other filters: those of its own that keep says, and more
// behind them. The proxy itself stays as it is.
func With(p *envoy.Proxy, keep func(envoy.Filter) bool, more ...envoy.Filter) *envoy.Proxy {
	cm := *manager(p)
	cm.Filters = nil
	for _, f := range manager(p).Filters {
		if keep(f) {
			cm.Filters = append(cm.Filters, f)
		}
	}
	cm.Filters = append(cm.Filters, more...)
	out := *p
	out.Chains = slices.Clone(p.Chains)
	for i := range out.Chains {
		if out.Chains[i].HTTP != nil {
			out.Chains[i].HTTP = &cm
		}
	}
	return &out
}

// arrives is the request as policies see it: after the connection manager, and
// after the JWT filter if withJWT says so. It is nil where the request does not get
// that far.
func (w *work) arrives(withJWT bool) *envoy.Upstream {
	p := With(w.p, func(f envoy.Filter) bool {
		_, ok := f.(*envoy.JWTAuthn)
		return ok && withJWT
	})
	return envoy.Evaluate(p, w.req, w.keys).Upstream
}

// dropHeaders removes all lines of these headers.
func dropHeaders(r *envoy.Request, names ...string) {
	r.Headers = slices.DeleteFunc(r.Headers, func(h envoy.Header) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, h.Name) })
	})
}

// setHeader makes the header have one line.
func setHeader(r *envoy.Request, name, value string) {
	dropConnection(r)
	dropHeaders(r, name)
	r.Headers = append(r.Headers, envoy.Header{Name: name, Value: value})
}

// dropConnection removes the Connection header, which could name the header that is
// granted, together with those that it names: the proxy would have dropped them.
func dropConnection(r *envoy.Request) {
	var named []string
	upgrade := false
	for _, h := range r.Headers {
		if !strings.EqualFold(h.Name, "connection") {
			continue
		}
		for name := range strings.SplitSeq(h.Value, ",") {
			switch name = strings.ToLower(strings.TrimSpace(name)); name {
			case "upgrade":
				upgrade = true
			case "", "close", "keep-alive", "http2-settings":
			default:
				named = append(named, name)
			}
		}
	}
	if upgrade {
		named = []string{"upgrade"} // an upgrade keeps what it names
	}
	dropHeaders(r, append(named, "connection")...)
}
