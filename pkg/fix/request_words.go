package fix

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// worded says what was changed, and with which flag it is asked.
func (f *finder) worded(d *draft, side dim, attribute, value, got string) change {
	switch side {
	case dimMethod:
		return change{"method", "use " + got, "--method " + shellQuoted(got)}
	case dimIdentity:
		says := "call as " + strconv.Quote(got)
		if strings.Contains(value, "*") || attribute != "principals" && attribute != "source.principal" {
			says = fmt.Sprintf("call from a workload of %s %s", strings.TrimPrefix(attribute, "source."), strconv.Quote(value))
		}
		return change{"identity", says, "--from-principal " + shellQuoted(got)}
	}
	if ofToken(attribute) {
		hint := "--jwt-file FILE"
		if p := providerOf(f.base.Providers(), d.issuer); p != nil {
			hint = flagOf(p.EffectiveLocations()[0], true)
		}
		return change{"token", f.tokenWords(d), hint}
	}
	name, _ := headerName(attribute)
	return change{string(side), fmt.Sprintf("send the header %s: %s", name, strconv.Quote(got)), "-H " + shellQuoted(name+": "+got)}
}

// tokenWords describe a made-up token by what the policies ask of it.
func (f *finder) tokenWords(d *draft) string {
	iss, _ := d.claims["iss"].(string)
	out := "send a token of issuer " + strconv.Quote(iss)
	for _, name := range sortedKeys(d.claims) {
		v := d.claims[name]
		switch {
		case name == "iss", name == "exp", name == "nbf", name == "iat":
			continue
		case name == "sub" && v == "somebody":
			continue
		case f.isOwn(name, v):
			continue
		}
		out += " with " + name + " " + claimWords(v)
	}
	return out
}

// isOwn reports whether a claim is as it is in the token that was sent.
func (f *finder) isOwn(name string, v any) bool {
	for _, t := range tokensOf(f.base) {
		if own, ok := t.Payload.Field(name); ok && fmt.Sprint(plain(own)) == fmt.Sprint(v) {
			return true
		}
	}
	return false
}

func claimWords(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = claimWords(v[i])
		}
		return strings.Join(parts, " and ")
	case map[string]any:
		var parts []string
		for _, key := range sortedKeys(v) {
			parts = append(parts, key+" "+claimWords(v[key]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func sortedKeys(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
