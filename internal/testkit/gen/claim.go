package gen

import (
	"encoding/json"
	"slices"
	"strings"
)

// claimSet is the members of a payload, in order, each name once.
type claimSet struct {
	names  []string
	values map[string]string // JSON text
}

func (c *claimSet) set(name, text string) {
	if c.values == nil {
		c.values = map[string]string{}
	}
	if _, known := c.values[name]; !known {
		c.names = append(c.names, name)
	}
	c.values[name] = text
}

func (c *claimSet) drop(name string) {
	delete(c.values, name)
	c.names = slices.DeleteFunc(c.names, func(n string) bool { return n == name })
}

func (c *claimSet) clone() claimSet {
	out := claimSet{}
	for _, n := range c.names {
		out.set(n, c.values[n])
	}
	return out
}

// text is the members without the braces around them.
func (c *claimSet) text() string {
	members := make([]string, len(c.names))
	for i, n := range c.names {
		members[i] = quote(n) + ":" + c.values[n]
	}
	return strings.Join(members, ",")
}

// quote is a text in JSON.
func quote(s string) string {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string
	}
	return strings.TrimSpace(out.String())
}

// claim sets a claim by a pattern. Objects have one member, since the order of
// several, where the proxy writes them into a header, is not defined.
func (r *draft) claim(path []string, pattern string, inside bool) {
	r.token = true
	form, text := r.claimJSON(path, pattern, inside)
	r.tag("claim/" + form)
	if text == missing {
		r.claims.set(path[0], missing)
		return
	}
	if path[0] == "iss" && r.percent(80) {
		return // what a rule takes
	}
	if len(path) == 1 {
		r.claims.set(path[0], text)
		return
	}
	r.tag("claim/nested")
	switch r.IntN(12) {
	case 0:
		r.claims.set(strings.Join(path, "."), text)
		return
	case 1:
		r.claims.set(path[0], `[{"`+path[1]+`":`+text+`}]`)
		return
	case 2:
		r.claims.set(path[0], text)
		return
	}
	for i := len(path) - 1; i > 0; i-- {
		text = "{" + quote(path[i]) + ":" + text + "}"
	}
	r.claims.set(path[0], text)
}

// claimJSON is a value for a claim that a pattern takes, or one that it does not,
// which may be missing.
func (r *draft) claimJSON(path []string, pattern string, inside bool) (form, text string) {
	value := quote(r.side(pattern, inside))
	words := len(path) == 1 && (r.splits(path[0]) || r.oneIn(12))
	if path[0] == "sub" && r.percent(90) {
		return "string", value
	}
	if inside {
		switch r.IntN(6) {
		case 0:
			return "list", "[" + quote("other") + "," + value + "]"
		case 1:
			return "list-mixed", "[1,null," + value + ",{}]"
		case 2:
			return "list", "[" + value + "]"
		}
		if words {
			inner := strings.Trim(value, `"`)
			return "words", pick(r.dice, `"other `+inner+`"`, `"`+inner+` other"`, `"  `+inner+`  "`, `"`+inner+`"`, `"a\t`+inner+`"`)
		}
		return "string", value
	}
	if words && r.percent(50) {
		inner := strings.Trim(value, `"`)
		return "words", pick(r.dice, `"x`+inner+` other"`, `"other,`+inner+`"`, `"   "`, `"`+inner+`"`)
	}
	literal := quote(pattern)
	type choice = weighted[[2]string]
	got := pickWeighted(r.dice, []choice{
		{8, [2]string{"string", value}}, {3, [2]string{"list", "[" + value + "]"}}, {3, [2]string{"number", r.number(pattern)}},
		{2, [2]string{"bool", pick(r.dice, "true", "false")}}, {1, [2]string{"null", "null"}}, {2, [2]string{"empty-string", `""`}},
		{2, [2]string{"empty-list", "[]"}}, {2, [2]string{"list-of-lists", "[[" + literal + "]]"}}, {1, [2]string{"object", `{"v":` + literal + `}`}},
		{1, [2]string{"list-of-numbers", "[" + r.number(pattern) + "]"}}, {2, [2]string{"blanks", pick(r.dice, `" "`, `" `+strings.Trim(literal, `"`)+`"`)}},
		{2, [2]string{"absent", missing}}, {1, [2]string{"empty-object", "{}"}}, {1, [2]string{"unicode", `"\u0061dmin\u00e9"`}},
	})
	return got[0], got[1]
}

// number is the pattern as a number, where it is one.
func (r *draft) number(pattern string) string {
	if pattern != "" && strings.Trim(pattern, "123456789") == "" {
		return pattern
	}
	return pick(r.dice, "5", "0", "-3", "1.5", "1e20", "1E2", "-0", "18446744073709551615")
}

// splits says that some rule splits the claim at blanks.
func (r *draft) splits(name string) bool {
	if name == "scope" || name == "permission" {
		return true
	}
	return slices.ContainsFunc(r.p.jwt, func(j jwtRule) bool { return slices.Contains(j.space, name) })
}

// requestPrincipal chooses issuer and subject by a pattern of requestPrincipals.
func (r *draft) requestPrincipal(pattern string, inside bool) {
	r.token = true
	slash := strings.LastIndex(pattern, "/")
	iss, sub := pattern, ""
	if slash >= 0 {
		iss, sub = pattern[:slash], pattern[slash+1:]
	}
	switch {
	case slash < 0 && strings.HasPrefix(pattern, "*"):
		iss, sub = "*", pattern
	case slash < 0 && strings.HasSuffix(pattern, "*"):
		sub = "*"
	}
	wantIss, wantSub := inside, inside
	if !inside && r.percent(75) { // one of the two is enough
		wantSub = r.percent(40)
		wantIss = !wantSub
	}
	for i, rule := range r.p.jwt {
		if rule.issuer != "" && matches(iss, rule.issuer) == wantIss && r.percent(70) {
			r.rule = i
			break
		}
		if rule.issuer == "" && r.percent(50) {
			r.rule, r.iss = i, r.side(iss, wantIss)
			break
		}
	}
	switch {
	case wantSub && r.oneIn(6) && strings.Contains(pattern, "/"):
		r.claims.set("sub", quote(r.fit(pattern[strings.Index(pattern, "/")+1:])))
	case wantSub:
		r.claims.set("sub", quote(r.fit(sub)))
	default:
		r.setSub(sub)
	}
}

// setSub sets a subject beside the pattern, or none.
func (r *draft) setSub(pattern string) {
	switch r.IntN(6) {
	case 0:
		r.claims.set("sub", missing)
	case 1:
		r.claims.set("sub", `""`)
	default:
		r.claims.set("sub", quote(r.near(pattern)))
	}
}
