package fix

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// draft is a request that nobody has sent: the one that was asked about, changed. Its
// token, if it has one, is made up: what a token with such claims would get, if it
// verified.
type draft struct {
	req    envoy.Request
	claims map[string]any // of the made-up token; nil: there is none
	issuer string         // of the rule that the token is for
}

// newDraft is the request itself.
func newDraft(r *envoy.Request) *draft {
	d := &draft{req: *r}
	d.req.Headers = slices.Clone(r.Headers)
	return d
}

func (d *draft) clone() *draft {
	out := newDraft(&d.req)
	out.issuer = d.issuer
	if d.claims != nil {
		out.claims = deepCopy(d.claims).(map[string]any)
	}
	return out
}

func deepCopy(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, below := range v {
			out[k] = deepCopy(below)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = deepCopy(v[i])
		}
		return out
	}
	return v
}

// strip takes away whatever a rule, or the default, takes for a token.
func (d *draft) strip(providers []envoy.Provider) {
	places := []envoy.Location{{Kind: envoy.InHeader, Name: "authorization"}, {Kind: envoy.InParam, Name: "access_token"}}
	for i := range providers {
		places = append(places, providers[i].EffectiveLocations()...)
	}
	for _, place := range places {
		switch place.Kind {
		case envoy.InHeader:
			d.dropHeader(place.Name)
		case envoy.InParam:
			d.dropParam(place.Name)
		case envoy.InCookie:
			d.dropCookie(place.Name)
		}
	}
	d.claims = nil
}

func (d *draft) dropHeader(name string) {
	d.req.Headers = slices.DeleteFunc(d.req.Headers, func(h envoy.Header) bool { return strings.EqualFold(h.Name, name) })
}

func (d *draft) setHeader(name, value string) {
	d.dropHeader(name)
	d.req.Headers = append(d.req.Headers, envoy.Header{Name: name, Value: value})
}

func (d *draft) dropParam(name string) {
	base, query, ok := strings.Cut(d.req.Path, "?")
	if !ok {
		return
	}
	var keep []string
	for _, pair := range strings.Split(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if plain, err := url.PathUnescape(key); err != nil || plain != name {
			keep = append(keep, pair)
		}
	}
	if d.req.Path = base; len(keep) > 0 {
		d.req.Path += "?" + strings.Join(keep, "&")
	}
}

func (d *draft) dropCookie(name string) {
	for i, h := range d.req.Headers {
		if !strings.EqualFold(h.Name, "cookie") {
			continue
		}
		var keep []string
		for _, c := range strings.Split(h.Value, ";") {
			if key, _, _ := strings.Cut(strings.TrimLeft(c, " "), "="); key != name {
				keep = append(keep, c)
			}
		}
		d.req.Headers[i].Value = strings.Join(keep, ";")
	}
	d.req.Headers = slices.DeleteFunc(d.req.Headers, func(h envoy.Header) bool {
		return strings.EqualFold(h.Name, "cookie") && strings.TrimSpace(h.Value) == ""
	})
}

// put puts a token where a rule looks for one.
func (d *draft) put(token string, place envoy.Location) {
	switch place.Kind {
	case envoy.InParam:
		sep := "?"
		if strings.Contains(d.req.Path, "?") {
			sep = "&"
		}
		d.req.Path += sep + url.QueryEscape(place.Name) + "=" + token
	case envoy.InCookie:
		d.req.Headers = append(d.req.Headers, envoy.Header{Name: "cookie", Value: place.Name + "=" + token})
	default:
		d.req.Headers = append(d.req.Headers, envoy.Header{Name: place.Name, Value: place.Prefix + token})
	}
}

// providerOf is the rule that a token of an issuer is for.
func providerOf(providers []envoy.Provider, issuer string) *envoy.Provider {
	for i := range providers {
		if providers[i].Issuer == issuer {
			return &providers[i]
		}
	}
	for i := range providers {
		if providers[i].Issuer == "" {
			return &providers[i]
		}
	}
	return nil
}

// tokenFor gives the draft a made-up token that the rule takes, in the place of all
// others: its issuer and audience, and a subject.
func (d *draft) tokenFor(p *envoy.Provider, providers []envoy.Provider) {
	d.strip(providers)
	d.issuer = p.Issuer
	d.claims = map[string]any{"sub": "somebody"}
	if p.Issuer != "" {
		d.claims["iss"] = p.Issuer
	} else {
		d.claims["iss"] = "https://idp.example.com"
	}
	if len(p.Audiences) > 0 {
		d.claims["aud"] = p.Audiences[0]
	}
}

// withClaims gives the draft a made-up token with the claims of a payload, in the place
// of all others.
func (d *draft) withClaims(payload jwt.Value, providers []envoy.Provider) {
	d.strip(providers)
	d.claims, _ = plain(payload).(map[string]any)
	d.issuer, _ = d.claims["iss"].(string)
}

func plain(v jwt.Value) any {
	switch v.Kind() {
	case jwt.Object:
		out := map[string]any{}
		for _, m := range v.Members() {
			out[m.Name] = plain(m.Value)
		}
		return out
	case jwt.List:
		out := []any{}
		for _, e := range v.Elements() {
			out = append(out, plain(e))
		}
		return out
	case jwt.String:
		return v.Text()
	case jwt.Number:
		return v.Number()
	case jwt.Bool:
		return v.Bool()
	}
	return nil
}

// request is the draft as a request, with its token in its place.
func (d *draft) request(providers []envoy.Provider) *envoy.Request {
	if d.claims == nil {
		return &d.req
	}
	place := envoy.Location{Kind: envoy.InHeader, Name: "authorization", Prefix: "Bearer "}
	if p := providerOf(providers, d.issuer); p != nil {
		place = p.EffectiveLocations()[0]
	}
	out := d.clone()
	out.put(madeUp(d.claims), place)
	return &out.req
}

// madeUp is a token that no key has signed.
func madeUp(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		payload = []byte("{}") // claims are texts, numbers, lists and objects
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(payload) + "." + encode([]byte("not signed"))
}

// satisfy changes the draft so that a value of a policy takes it. It reports whether it
// knows how, and what it has put there.
func (d *draft) satisfy(attribute, value string, at *diagnose.Setting) (string, bool) {
	v := sample(value)
	switch attribute {
	case "paths":
		if strings.Contains(value, "{") {
			v = strings.NewReplacer("{**}", "x/y", "{*}", "x").Replace(value)
		}
		if !strings.HasPrefix(v, "/") {
			v = "/" + v
		}
		d.req.Path = v
	case "methods":
		d.req.Method = strings.ToUpper(v)
	case "hosts":
		d.req.Authority, d.req.AuthorityMissing = strings.TrimPrefix(v, "."), nil
		if strings.HasPrefix(value, "*.") {
			d.req.Authority = "x" + value[1:]
		}
	case "ipBlocks", "source.ip":
		addr, ok := address(value)
		if !ok {
			return "", false
		}
		d.req.Connection.Source = envoy.Known(addr)
		return addr.String(), true
	case "remoteIpBlocks", "remote.ip":
		addr, ok := address(value)
		if !ok {
			return "", false
		}
		d.req.Connection.RemoteIP = &addr
		return addr.String(), true
	case "requestPrincipals", "request.auth.principal":
		return d.satisfyPrincipal(value, at)
	default:
		if dimOf(attribute) == dimIdentity {
			return d.satisfyIdentity(attribute, value, at)
		}
		if name, ok := headerName(attribute); ok && name != "" {
			if slices.Contains([]string{":authority", ":path", ":method", "host"}, strings.ToLower(name)) {
				return "", false
			}
			d.setHeader(name, v)
			return v, true
		}
		if path := claimPath(attribute); path != nil {
			return v, d.claim(path, v, at)
		}
		return "", false
	}
	return v, true
}

// sample is a text that a value with a star takes.
func sample(value string) string {
	const anything = "x"
	switch {
	case value == "*":
		return anything
	case strings.HasPrefix(value, "*"):
		return anything + value[1:]
	case strings.HasSuffix(value, "*"):
		return value[:len(value)-1] + anything
	}
	return value
}

func address(block string) (netip.Addr, bool) {
	if p, err := netip.ParsePrefix(block); err == nil {
		return p.Masked().Addr(), true
	}
	a, err := netip.ParseAddr(block)
	return a, err == nil
}

// ensureToken gives the draft a made-up token if it has none: the claims of the one
// that it has, where that can be read.
func (d *draft) ensureToken(at *diagnose.Setting) bool {
	providers := at.Providers()
	if d.claims != nil || len(providers) == 0 {
		return d.claims != nil
	}
	for _, found := range envoy.FindTokens(&d.req, providers) {
		if t, status := jwt.Parse(found.Text); status == jwt.OK && providerOf(providers, t.Issuer) != nil {
			d.withClaims(t.Payload, providers)
			return true
		}
	}
	d.tokenFor(&providers[0], providers)
	return true
}

func (d *draft) satisfyPrincipal(value string, at *diagnose.Setting) (string, bool) {
	if !d.ensureToken(at) {
		return "", false
	}
	iss, _ := d.claims["iss"].(string)
	sub, _ := d.claims["sub"].(string)
	if sub == "" {
		sub = "somebody"
	}
	i := strings.LastIndexByte(value, '/')
	switch {
	case value == "*":
	case i >= 0 && strings.HasPrefix(value, "*"):
		if !strings.HasSuffix(iss, value[1:i]) {
			iss = suffixed(at.Providers(), value[1:i])
		}
		sub = value[i+1:]
	case i >= 0:
		iss = value[:i]
		if s := value[i+1:]; !fits(s, sub) {
			sub = sample(s)
		}
	case strings.HasPrefix(value, "*"):
		sub = sample(value)
	default:
		return "", false // no token ever fits
	}
	providers := at.Providers()
	if p := providerOf(providers, iss); p != nil {
		if d.issuer != p.Issuer {
			d.tokenFor(p, providers)
		}
		d.claims["iss"], d.claims["sub"] = iss, sub
		return iss + "/" + sub, true
	}
	return "", false
}

func suffixed(providers []envoy.Provider, end string) string {
	for _, p := range providers {
		if strings.HasSuffix(p.Issuer, end) {
			return p.Issuer
		}
	}
	return "x" + end
}

func (d *draft) satisfyIdentity(attribute, value string, at *diagnose.Setting) (string, bool) {
	if at.Result.Proxy.Role == envoy.RoleGateway {
		return "", false // whoever comes there has no identity of the mesh
	}
	td, ns, sa := at.Result.TrustDomain, at.Workload.Namespace, "default"
	id := ""
	switch attribute {
	case "principals", "source.principal":
		if id = value; strings.Contains(value, "*") {
			id = strings.TrimPrefix(sample(value), "x/")
			switch {
			case value == "*":
				id = td + "/ns/" + ns + "/sa/" + sa
			case strings.HasPrefix(value, "*"):
				id = td + "/ns/" + ns + "/sa/" + sample(value)
				if strings.HasPrefix(value, "*/") {
					id = td + value[1:]
				}
			}
		}
	case "namespaces", "source.namespace":
		ns = strings.ReplaceAll(value, "*", "x")
	case "serviceAccounts", "source.serviceAccount":
		if one, other, ok := strings.Cut(value, "/"); ok {
			ns, sa = one, other
		} else {
			sa = value
		}
	default:
		td = strings.ReplaceAll(value, "*", "x")
	}
	if id == "" {
		id = td + "/ns/" + ns + "/sa/" + sa
	}
	d.as(id)
	return id, true
}

// as makes a client in the mesh of who asks.
func (d *draft) as(id string) {
	d.req.Connection.Transport = envoy.Known(envoy.MutualTLS)
	d.req.Connection.Peer = envoy.Known(envoy.Peer{Presented: true, Trusted: true, URISANs: []string{"spiffe://" + id}})
}

// claim gives the made-up token a claim.
func (d *draft) claim(path []string, value string, at *diagnose.Setting) bool {
	if !d.ensureToken(at) {
		return false
	}
	m := d.claims
	for _, name := range path[:len(path)-1] {
		below, ok := m[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			m[name] = below
		}
		m = below
	}
	name := path[len(path)-1]
	switch {
	case len(path) == 1 && name == "aud":
		m[name] = []any{value}
		if p := providerOf(at.Providers(), d.issuer); p != nil && len(p.Audiences) > 0 && !slices.Contains(p.Audiences, value) {
			m[name] = []any{p.Audiences[0], value}
		}
	case len(path) == 1 && name == "iss":
		p := providerOf(at.Providers(), value)
		if p == nil {
			return false
		}
		d.issuer, m[name] = p.Issuer, value
	default:
		m[name] = value
	}
	return true
}
