package fix

import (
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// sides are the sides of the request, with values from the patterns in play.
func (f *finder) sides() []side {
	wanted := map[string][]string{} // by attribute
	var order []string
	eachPolicy(f.base.Result.Proxy, func(_ *envoy.RBAC, p *envoy.Policy) {
		for _, clauses := range [][]envoy.Clause{p.Permissions, p.Principals} {
			for _, cl := range clauses {
				for _, c := range cl.Conditions {
					if _, known := wanted[c.Attribute]; !known {
						order = append(order, c.Attribute)
					}
					for _, v := range c.Values {
						if len(wanted[c.Attribute]) < mostVariants && !slices.Contains(wanted[c.Attribute], v) {
							wanted[c.Attribute] = append(wanted[c.Attribute], v)
						}
					}
				}
			}
		}
	})
	out := []side{f.tokenSide(wanted, order), f.pathSide(wanted["paths"]), f.methodSide(wanted["methods"])}
	for _, s := range append([]side{f.hostSide(wanted["hosts"]), f.identitySide(wanted, order)}, f.otherSides(wanted, order)...) {
		if len(s.variants) > 1 {
			out = append(out, s)
		}
	}
	return out
}

var itself = variant{own: true}

// satisfied makes variants of the values that conditions want.
func (f *finder) satisfied(d dim, attribute string, values []string, own string) side {
	s := side{dim: d, variants: []variant{itself}}
	for _, v := range values {
		probe := newDraft(f.base.Request)
		got, ok := probe.satisfy(attribute, v, f.base)
		if ok && got != own && len(s.variants) < mostVariants {
			s.variants = append(s.variants, variant{says: string(d) + " " + strconv.Quote(got), apply: func(d *draft) { d.satisfy(attribute, v, f.base) }})
		}
	}
	return s
}

func (f *finder) pathSide(patterns []string) side {
	own, _, _ := strings.Cut(f.base.Request.Path, "?")
	s := f.satisfied(dimPath, "paths", patterns, own)
	parent := own[:strings.LastIndexByte(own, '/')+1]
	for _, p := range []string{own + "x", strings.TrimSuffix(own, "/") + "/x", parent, "/", "/some-other-path", parent + "sibling", strings.ToUpper(own)} {
		if p != own && strings.HasPrefix(p, "/") {
			s.variants = append(s.variants, variant{says: "path " + strconv.Quote(p), apply: func(d *draft) { d.req.Path = p }})
		}
	}
	return s
}

func (f *finder) methodSide(patterns []string) side {
	// The JWT filter lets preflights pass without a look at tokens
	// (Envoy source/extensions/filters/http/jwt_authn/filter.cc:isCorsPreflightRequest).
	s := side{dim: dimMethod, variants: []variant{itself, {says: "a CORS preflight", preflight: true, apply: func(d *draft) {
		d.req.Method = "OPTIONS"
		d.setHeader("origin", "https://other.example.com")
		d.setHeader("access-control-request-method", "GET")
	}}}}
	for _, m := range append([]string{"GET", "POST", "PUT", "DELETE", "OPTIONS"}, patterns...) {
		if m = strings.ToUpper(sample(m)); m != f.base.Request.Method && len(s.variants) < mostVariants {
			s.variants = append(s.variants, variant{says: "method " + m, apply: func(d *draft) { d.req.Method = m }})
		}
	}
	return s
}

func (f *finder) hostSide(patterns []string) side {
	own := f.base.Request.Authority
	s := f.satisfied(dimHost, "hosts", patterns, own)
	bare, _, _ := strings.Cut(own, ":")
	for _, h := range []string{bare, bare + ":12345", "other." + bare, "unrelated.example.org"} {
		if h != own && h != "" {
			s.variants = append(s.variants, variant{says: "host " + strconv.Quote(h), apply: func(d *draft) { d.req.Authority, d.req.AuthorityMissing = h, nil }})
		}
	}
	return s
}

func (f *finder) identitySide(wanted map[string][]string, order []string) side {
	s := side{dim: dimIdentity, variants: []variant{itself}}
	if f.base.Result.Proxy.Role == envoy.RoleGateway {
		return s
	}
	for _, a := range order {
		if dimOf(a) == dimIdentity {
			s.variants = append(s.variants, f.satisfied(dimIdentity, a, wanted[a], "").variants[1:]...)
		}
	}
	td := f.base.Result.TrustDomain
	for _, id := range []string{td + "/ns/" + f.base.Workload.Namespace + "/sa/default", td + "/ns/elsewhere/sa/stranger"} {
		s.variants = append(s.variants, variant{says: "identity " + strconv.Quote(id), apply: func(d *draft) { d.as(id) }})
	}
	s.variants = append(s.variants, variant{says: "a client without identity", apply: func(d *draft) {
		d.req.Connection.Transport, d.req.Connection.Peer = envoy.Known(envoy.Plaintext), envoy.Known(envoy.Peer{})
	}})
	return s
}

// otherSides are headers and addresses that conditions look at.
func (f *finder) otherSides(wanted map[string][]string, order []string) []side {
	const most = 6
	var out []side
	for _, a := range order {
		d := dimOf(a)
		name, isHeader := headerName(a)
		if len(out) == most || d != dimSource && d != dimRemote && !isHeader || secretHeader(name) {
			continue
		}
		s := f.satisfied(d, a, wanted[a], "")
		switch {
		case isHeader:
			s.variants = append(s.variants,
				variant{says: "header " + name + " \"other\"", apply: func(d *draft) { d.setHeader(name, "other") }},
				variant{says: "no header " + name, apply: func(d *draft) { d.dropHeader(name) }})
		default:
			s.variants = append(s.variants, variant{says: string(d) + " 198.51.100.7", apply: func(d *draft) { d.satisfy(a, "198.51.100.7", f.base) }})
		}
		out = append(out, s)
	}
	return out
}

// tokenSide are tokens: none, a broken one, good ones of each issuer, others of the
// request's own issuer, and one for each claim that a condition asks for.
func (f *finder) tokenSide(wanted map[string][]string, order []string) side {
	providers := f.base.Providers()
	s := side{dim: dimToken, variants: []variant{itself}}
	add := func(says string, apply func(*draft)) {
		s.variants = append(s.variants, variant{says: says, apply: apply})
	}
	strays := f.strays(f.base)
	none := func(d *draft) {
		d.strip(providers)
		for _, s := range strays {
			d.take(s)
		}
	}
	s.variants = append(s.variants,
		variant{says: "no token", tokenless: true, apply: none},
		variant{says: "a token that is none", tokenless: true, apply: func(d *draft) {
			none(d)
			d.setHeader("authorization", "Bearer not-a-token")
		}})
	if len(providers) == 0 {
		return s
	}
	for i := range providers {
		if i == mostIssuers {
			break
		}
		p := &providers[i]
		add("a token of issuer "+strconv.Quote(p.Issuer), func(d *draft) { d.tokenFor(p, providers) })
	}
	if f.hasPayload() {
		payload := f.first.Seen.Payload
		add("a token of the same issuer with another sub", func(d *draft) {
			d.withClaims(payload, providers)
			d.claims["sub"] = "somebody else"
		})
		add("a token without sub", func(d *draft) {
			d.withClaims(payload, providers)
			delete(d.claims, "sub")
		})
	}
	add("a token of an issuer that no rule has", func(d *draft) {
		d.tokenFor(&providers[0], providers)
		d.claims["iss"] = "https://stranger.example.org"
	})
	for _, a := range order {
		if !ofToken(a) {
			continue
		}
		for _, v := range wanted[a] {
			if probe := newDraft(f.base.Request); len(s.variants) < 2*mostVariants {
				if got, ok := probe.satisfy(a, v, f.base); ok {
					add("a token with "+strings.TrimPrefix(a, "request.auth.")+" "+strconv.Quote(got), func(d *draft) { d.satisfy(a, v, f.base) })
				}
			}
		}
	}
	return s
}
