package gen

import (
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// missing marks a claim that the token must not have.
const missing = "\x00missing"

// tokens puts none, one or several tokens into the request.
func (r *draft) tokens() {
	about := strings.HasPrefix(r.p.focus, "jwt-")
	if len(r.p.jwt) == 0 {
		if r.token && r.percent(50) { // nobody will look at it
			r.put(r.mint(jwtRule{issuer: "iss-a"}), defaultPlaces[0], true)
		}
		return
	}
	rule := r.rule
	if rule < 0 {
		rule = r.IntN(len(r.p.jwt))
	}
	none := 22
	if r.token {
		none = 8
	}
	if about {
		none = 5
	}
	if r.percent(none) {
		r.tag("tokens/none")
		if first := r.p.jwt[rule].places[0]; first.prefix != "" && r.oneIn(6) {
			r.tag("header-form/prefix-alone")
			r.header(first.name, first.prefix)
		}
		return
	}
	tidy := !about && !r.oneIn(12)
	if r.p.focus == "" {
		tidy = r.percent(55)
	}
	r.place(rule, tidy)
	if len(r.p.jwt) > 1 && r.percent(30) {
		r.tag("tokens/two")
		r.place(r.IntN(len(r.p.jwt)), tidy)
	} else if r.oneIn(14) {
		r.tag("tokens/two")
		r.place(rule, tidy)
	}
	if about && r.oneIn(20) {
		r.preflight()
	}
	if r.p.focus == "jwt-"+string(propPayload) || r.p.focus == "jwt-"+string(propClaims) || r.oneIn(30) {
		r.spoof(r.p.jwt[rule])
	}
}

// place puts a token of the rule where it is looked for. A tidy one is mostly good.
func (r *draft) place(rule int, tidy bool) {
	j := r.p.jwt[rule]
	t := r.mint(j)
	defect := 34
	switch {
	case tidy && r.p.focus != "":
		defect = 4
	case r.p.focus != "" && r.p.focus != "jwt-"+string(propNone):
		defect = 30
	case r.p.focus != "":
		defect = 75
	}
	if r.percent(defect) {
		r.spoil(&t, j)
	} else {
		r.tag("defect/none")
	}
	where := pick(r.dice, j.places...)
	if !tidy && r.oneIn(15) {
		where = pick(r.dice, defaultPlaces...)
	}
	r.put(t, where, tidy)
}

// spoof sends a header that the rule writes.
func (r *draft) spoof(j jwtRule) {
	if len(j.outputs) > 0 && r.percent(60) {
		r.header(pick(r.dice, j.outputs...), pick(r.dice, headerValues...))
		r.tag("request/spoofed")
	}
}

// mint is a good token for the rule, with the claims that conditions asked for.
func (r *draft) mint(j jwtRule) judge.Token {
	k := useKey{key: "rsa-a", kid: "a"}
	if len(j.keys) > 0 {
		k = pick(r.dice, j.keys...)
	}
	alg := k.alg
	if alg == "" {
		alg = pick(r.dice, algorithms[family(k.key)]...)
		if fam := family(k.key); strings.HasPrefix(fam, "p") && r.oneIn(8) {
			alg = pick(r.dice, "ES256", "ES384", "ES512") // the curve is the key's, the hash the token's
		}
	}
	r.tag("alg/" + alg)
	kid := k.kid
	switch {
	case r.oneIn(6):
		kid = ""
	case k.kid == "" && r.percent(50):
		kid = pick(r.dice, "a", "zzz")
	}
	header := `{"alg":"` + alg + `"`
	if kid != "" {
		header += `,"kid":"` + kid + `"`
	}
	return judge.Token{Key: k.key, Alg: alg, Header: header + pick(r.dice, "}", `,"typ":"JWT"}`), Payload: "{" + r.payload(j) + "}"}
}

// payload is the members of a good payload.
func (r *draft) payload(j jwtRule) string {
	var c claimSet
	iss := j.issuer
	if iss == "" {
		if iss = r.iss; iss == "" {
			iss = pick(r.dice, "iss-a", "any", "", "any")
		}
	}
	if j.issuer != "" || iss != "" {
		c.set("iss", quote(iss))
	}
	if !r.oneIn(15) {
		c.set("sub", quote(pick(r.dice, subjects...)))
	}
	switch r.IntN(8) {
	case 0:
	case 1:
		c.set("exp", "{now-55}")
	default:
		c.set("exp", "{now+3600}")
	}
	if len(j.audiences) > 0 {
		aud := r.audience(pick(r.dice, j.audiences...))
		c.set("aud", aud)
	}
	if r.p.focus == "" && r.oneIn(3) {
		c.set(pick(r.dice, "groups", "scope", "level", "x"), pick(r.dice, `"admin"`, `["admin","dev"]`, `"read write"`, `5`, `true`, `"dev admin"`))
	}
	if len(j.outputs) > 0 {
		r.outputClaim(&c)
	}
	wanted := r.claims.clone()
	for _, name := range wanted.names {
		switch text := wanted.values[name]; {
		case text == missing:
			c.drop(name)
		case name == "aud" && len(j.audiences) > 0 && r.percent(75):
			c.set(name, `[`+quote(pick(r.dice, j.audiences...))+`,`+text+`]`)
			if !strings.HasPrefix(text, `"`) {
				c.set(name, quote(j.audiences[0]))
			}
		default:
			c.set(name, text)
		}
	}
	return c.text()
}

// outputClaim is a claim that may be written to a header, of any type.
func (r *draft) outputClaim(c *claimSet) {
	name := pick(r.dice, "groups", "scope", "level", "x", "a", "email_verified", "a.b", "https://e.example/c")
	c.set(name, pick(r.dice, `"admin"`, `""`, `"a b"`, `5`, `1.5`, `-3`, `1e20`, `0`, `18446744073709551615`, `1e-7`, `123456789012345680`, `true`, `false`, `null`,
		`["a","b"]`, `[]`, `{}`, `{"b":"v"}`, `{"b":["v",1,null]}`, `{"b":{"c":true}}`, `[1,2.5,-3]`, `[1e100]`, `[true,null]`, `{"b":5}`, `{"b":1.25}`, `"\u00e9"`, `"a\nb"`))
}

// audience is a value of aud that fits the configured one, or almost.
func (r *draft) audience(configured string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(configured, "https://"), "http://"), "/")
	switch r.IntN(12) {
	case 0:
		return quote("http://" + bare)
	case 1:
		return quote(bare + "/")
	case 2:
		return quote("https://" + bare + "/")
	case 3:
		return `["other",` + quote(bare) + `]`
	case 4:
		if r.p.focus == "" {
			return quote(configured)
		}
		r.tag("audience/edge")
		return pick(r.dice, quote(bare+"//"), quote("HTTP://"+bare), quote("http://http://"+bare), quote(swapCase(bare)), quote(bare+"x"), `[]`, `""`, `["x"]`, quote("http:/"+bare))
	}
	return quote(configured)
}

// put puts the token into a place of the request.
func (r *draft) put(t judge.Token, where place, tidy bool) {
	n := len(r.req.Tokens)
	r.req.Tokens = append(r.req.Tokens, t)
	text := "{token:" + strconv.Itoa(n) + "}"
	r.tag("place/" + where.kind)
	odd := 22
	if tidy {
		odd = 2
	} else if r.p.focus == "" {
		odd = 12
	}
	if where.kind != "header" {
		odd *= 2 // there are fewer of them
	}
	if r.percent(odd) {
		r.oddPlace(text, where)
		return
	}
	switch where.kind {
	case "header":
		r.header(where.name, where.prefix+text)
	case "param":
		r.query = append(r.query, escapeQuery(where.name)+"="+text)
	default:
		r.header("Cookie", where.name+"="+text)
	}
}

// escapeQuery is a name of a parameter as it stands in a URL.
func escapeQuery(name string) string { return strings.ReplaceAll(name, " ", "%20") }
