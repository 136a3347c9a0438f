package gen

import (
	"slices"
	"strings"
)

// jwtRule is a jwtRule as requests need to know it.
type jwtRule struct {
	issuer    string
	audiences []string
	places    []place
	keys      []useKey // that verify; none if no key could be fetched
	space     []string // space-delimited claims
	outputs   []string // headers that it writes
	required  bool
}

// place is where a token is looked for.
type place struct {
	kind   string // header, param or cookie
	name   string
	prefix string
}

// defaultPlaces are those of a rule that names none.
var defaultPlaces = []place{{"header", "Authorization", "Bearer "}, {"param", "access_token", ""}}

var (
	issuerNames = []string{"iss-a", "iss-a", "iss-b", "iss-ab", "https://idp.example", "https://idp/", "iss", "a/b"}
	headerKinds = []string{"authorization", "Authorization", "x-jwt", "x-jwt-token", "X-Token", "x-a", "x-role", "cookie"}
	prefixes    = []string{"", "Bearer ", "Bearer", "Value ", "bearer ", "JWT:", "e", "Bearer  ", " "}
	paramNames  = []string{"token", "access_token", "t", "secondary_token", "a b", "Token"}
	cookieNames = []string{"tok", "session", "Tok", "a"}
)

// issuers are those of the mesh, or those that it might have.
func (b *builder) issuers() []string {
	var out []string
	for _, r := range b.m.play.jwt {
		out = append(out, r.issuer)
	}
	if len(out) == 0 {
		return issuerNames
	}
	return out
}

// property is what a jwtRule of a single mesh is about.
type property string

const (
	propNone      property = "none"
	propIssuer    property = "issuer"
	propAudiences property = "audiences"
	propHeaders   property = "fromHeaders"
	propParams    property = "fromParams"
	propCookies   property = "fromCookies"
	propForward   property = "forwardOriginalToken"
	propPayload   property = "outputPayloadToHeader"
	propClaims    property = "outputClaimToHeaders"
	propSpace     property = "spaceDelimitedClaims"
	propKeys      property = "jwks"
	propURI       property = "jwksUri"
	propRequired  property = "presence"
)

var properties = []property{
	propNone, propNone, propNone, propNone, propNone, propIssuer, propAudiences, propHeaders, propParams, propCookies, propForward, propPayload, propClaims, propSpace,
	propKeys, propKeys, propURI, propRequired,
}

// plainRule is a jwtRule with nothing but an issuer and keys.
func (b *builder) plainRule() (map[string]any, jwtRule) {
	return b.jwtRule(func(property) bool { return false })
}

// richRule is a jwtRule with anything.
func (b *builder) richRule() (map[string]any, jwtRule) {
	chance := map[property]int{
		propIssuer: 10, propAudiences: 25, propHeaders: 25, propParams: 15, propCookies: 12, propForward: 30, propPayload: 15, propClaims: 20,
		propSpace: 12, propKeys: 60, propURI: 8, propRequired: 2,
	}
	if b.m.RemoteJWKS != "" {
		chance[propURI] = 60
	}
	return b.jwtRule(func(p property) bool { return b.dice.percent(chance[p]) })
}

// jwtRule makes a jwtRule with the properties that has says.
func (b *builder) jwtRule(has func(property) bool) (map[string]any, jwtRule) {
	d := b.dice
	r := jwtRule{issuer: pick(d, issuerNames...)}
	spec := map[string]any{"issuer": r.issuer}
	on := func(p property, f func()) {
		if has(p) {
			d.tag("jwtRule/" + string(p))
			f()
		}
	}
	on(propIssuer, func() { b.oddIssuer(spec, &r) })
	odd := has(propKeys)
	if odd {
		d.tag("jwtRule/" + string(propKeys))
	}
	text, usable := b.keySet(!odd)
	r.keys = usable
	spec["jwks"] = text
	on(propURI, func() { b.fetchedKeys(spec, &r, text) })
	on(propAudiences, func() {
		r.audiences = times(pick(d, 1, 1, 2, 3), func() string { return pick(d, audienceTexts...) })
		spec["audiences"] = r.audiences
	})
	b.places(spec, &r, on)
	on(propForward, func() { spec["forwardOriginalToken"] = true })
	b.outputs(spec, &r, on)
	on(propSpace, func() {
		r.space = times(pick(d, 1, 2), func() string { return pick(d, "roles", "groups", "a.b", "a", "sub", "iss", "aud", "x") })
		spec["spaceDelimitedClaims"] = r.space
	})
	on(propRequired, func() { spec["presence"], r.required = "REQUIRED", true })
	return spec, r
}

// oddIssuer takes the issuer away, which takes any.
func (b *builder) oddIssuer(spec map[string]any, r *jwtRule) {
	r.issuer = ""
	if b.dice.percent(50) {
		delete(spec, "issuer")
	} else {
		spec["issuer"] = ""
	}
}

// fetchedKeys puts the key set behind a URI, where it can be fetched or cannot.
func (b *builder) fetchedKeys(spec map[string]any, r *jwtRule, text string) {
	d := b.dice
	uri := pick(d, "https://keys.example.com/a.json", "https://keys.example.com/b.json", "http://jwks.foo.svc.cluster.local:8080/jwks", "https://idp.example/keys?x=1")
	delete(spec, "jwks")
	spec["jwksUri"] = uri
	if keys, known := b.behind[uri]; known {
		d.tag("jwksUri/shared")
		r.keys = keys
		return
	}
	if len(r.keys) == 0 || d.percent(30) || b.m.RemoteJWKS == "envoy" || b.unfetched[uri] {
		d.tag("jwksUri/unfetchable")
		b.unfetched[uri] = true
		r.keys = nil
		return
	}
	d.tag("jwksUri/document")
	b.m.JWKS[uri], b.behind[uri] = text, r.keys
}

// places makes the places where the rule looks for tokens.
func (b *builder) places(spec map[string]any, r *jwtRule, on func(property, func())) {
	d := b.dice
	on(propHeaders, func() {
		var list []any
		for range pick(d, 1, 1, 2) {
			p := place{kind: "header", name: pick(d, headerKinds...)}
			entry := map[string]any{"name": p.name}
			if d.percent(55) {
				p.prefix = pick(d, prefixes...)
				entry["prefix"] = p.prefix
			}
			list, r.places = append(list, entry), append(r.places, p)
		}
		spec["fromHeaders"] = list
	})
	named := func(kind string, names []string) []string {
		chosen := times(pick(d, 1, 1, 2), func() string { return pick(d, names...) })
		for _, n := range chosen {
			r.places = append(r.places, place{kind: kind, name: n})
		}
		return chosen
	}
	on(propParams, func() { spec["fromParams"] = named("param", paramNames) })
	on(propCookies, func() { spec["fromCookies"] = named("cookie", cookieNames) })
	if len(r.places) == 0 {
		r.places = defaultPlaces
	}
}

// outputs makes the headers that the rule writes.
func (b *builder) outputs(spec map[string]any, r *jwtRule, on func(property, func())) {
	d := b.dice
	on(propPayload, func() {
		name := pick(d, "x-payload", "X-Payload", "x-jwt", "x-role", "authorization")
		spec["outputPayloadToHeader"] = name
		r.outputs = append(r.outputs, name)
	})
	on(propClaims, func() {
		var list []any
		for range pick(d, 1, 1, 2, 3) {
			header := pick(d, "x-sub", "x-sub", "x-claim", "X-Role", "x-jwt")
			claim := strings.Join(pick(d, claimPaths...), ".")
			if d.oneIn(4) {
				claim = pick(d, "sub", "a", "a.b.c", "missing", "nbf", "level")
			}
			list = append(list, map[string]any{"header": header, "claim": claim})
			r.outputs = append(r.outputs, header)
		}
		spec["outputClaimToHeaders"] = list
	})
	for _, h := range r.outputs {
		if h = strings.ToLower(h); !slices.Contains(b.claimHeaders, h) && h != "authorization" {
			b.claimHeaders = append(b.claimHeaders, h)
		}
	}
}
