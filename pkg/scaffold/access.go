package scaffold

import (
	"slices"
	"strconv"
	"strings"
)

// checkAccess refuses what contradicts itself about who needs a token.
func (in *Intent) checkAccess() error {
	paths := len(in.SkipPaths)+len(in.AllowPaths) > 0
	switch {
	case in.Open && (paths || len(in.Claims) > 0 || in.Preflight || in.Probes || in.NoSub):
		return refuse("leave it out, or let --require be all",
			"--require none says that nobody needs a token; --skip-path, --allow-path, --claim, --allow-preflight, --allow-probes and --no-sub are about who does")
	case len(in.SkipPaths) > 0 && len(in.AllowPaths) > 0:
		return refuse("use --skip-path for all of them (a DENY policy, which no other policy opens again), or --allow-path for all (an ALLOW policy)",
			"--skip-path and --allow-path are two ways for one thing")
	}
	for _, path := range in.SkipPaths {
		if err := checkPath("--skip-path", path, in.Insecure); err != nil {
			return err
		}
	}
	for _, path := range in.AllowPaths {
		if err := checkPath("--allow-path", path, in.Insecure); err != nil {
			return err
		}
	}
	for _, c := range in.Claims {
		if err := checkClaim(c); err != nil {
			return err
		}
		for _, d := range in.Claims {
			if len(c.Path) < len(d.Path) && slices.Equal(c.Path, d.Path[:len(c.Path)]) {
				return refuse("leave one of the two out", "--claim: %s cannot be a text and hold %s", strings.Join(c.Path, "."), strings.Join(d.Path, "."))
			}
		}
		if in.NoSub && len(c.Path) == 1 && c.Path[0] == "sub" {
			return refuse("leave one of the two out", "--no-sub, and --claim sub")
		}
	}
	return nil
}

// checkClaim refuses claims that no policy can name, and values that never match
// (Istio pilot/pkg/security/authz/model/generator.go:requestClaimGenerator).
func checkClaim(c Claim) error {
	const hint = "write --claim groups=admin, or --claim '[realm_access][roles]=admin' for what is inside of another claim"
	if len(c.Path) == 0 || slices.Contains(c.Path, "") {
		return refuse(hint, "--claim has no name of a claim")
	}
	for _, name := range c.Path {
		if strings.ContainsAny(name, "[]") {
			return refuse(hint, "--claim %q has a bracket in its name, which no policy can name", name)
		}
	}
	if len(c.Path) == 1 {
		switch c.Path[0] {
		case "iss":
			return refuse("--issuer says whose tokens pass", "--claim iss: a token's issuer is what its rule is for")
		case "aud":
			return refuse("--audience says for whom tokens must be", "--claim aud: it has a flag of its own")
		case "exp", "nbf", "iat":
			return refuse("the proxy checks times anyway", "--claim %s: it is a number, and policies compare texts", c.Path[0])
		}
	}
	if len(c.Values) == 0 || slices.Contains(c.Values, "") {
		return refuse("write the value; * is any", "--claim %s has an empty value", strings.Join(c.Path, "."))
	}
	for _, v := range c.Values {
		inner := strings.TrimSuffix(strings.TrimPrefix(v, "*"), "*")
		switch {
		case strings.Contains(inner, "*") || v != "*" && strings.HasPrefix(v, "*") && strings.HasSuffix(v, "*"):
			return refuse("a star counts at the beginning or at the end only", "--claim %s: %q has a star that is a star and nothing else", strings.Join(c.Path, "."), v)
		case len(c.Path) == 1 && (c.Path[0] == "scope" || c.Path[0] == "permission") && strings.Contains(v, " "):
			return refuse("give each word with a --claim of its own: they are split at blanks", "--claim %s: %q never matches", c.Path[0], v)
		}
	}
	return nil
}

// claims are the claims by name: values of one name are alternatives, names are not.
func (in *Intent) claims() []Claim {
	var out []Claim
	for _, c := range in.Claims {
		at := slices.IndexFunc(out, func(have Claim) bool { return have.Key() == c.Key() })
		if at < 0 {
			out = append(out, Claim{Path: c.Path})
			at = len(out) - 1
		}
		for _, v := range c.Values {
			if !slices.Contains(out[at].Values, v) {
				out[at].Values = append(out[at].Values, v)
			}
		}
	}
	return out
}

// policy makes the AuthorizationPolicy; nil where nobody needs a token.
func (p *planner) policy() *Object {
	if p.in.Open {
		p.note("a request without a token passes: only bad tokens are refused")
		return nil
	}
	o := &Object{APIVersion: p.securityVersion(), Kind: "AuthorizationPolicy", Namespace: p.place.Namespace, Name: p.name}
	action, rules := "DENY", []any(nil)
	if len(p.in.AllowPaths) > 0 {
		action, rules = "ALLOW", p.allowRules()
		o.Why = []string{"Asks for a token: what none of the rules allows is refused, with 403."}
		p.note("an ALLOW policy: any other ALLOW policy that reaches the same pods can open more")
	} else {
		rules = p.denyRules()
		o.Why = []string{"Asks for a token: RequestAuthentication alone lets requests without one pass."}
	}
	o.Spec = append(p.attachment(), Member{Key: "action", Value: action}, Member{Key: "rules", Value: rules})
	return o
}

// denyRules say who is refused: whoever has no token, and whoever lacks a claim.
// The operation names what is left out (the double negation of the FAQ).
func (p *planner) denyRules() []any {
	rule := func(why string, from *Member, when []any) Item {
		var m Map
		if from != nil {
			m = append(m, *from)
		}
		if to := p.denyOperation(); to != nil {
			m = append(m, Member{Key: "to", Value: []any{Map{{Key: "operation", Value: to}}}})
		}
		if when != nil {
			m = append(m, Member{Key: "when", Value: when})
		}
		return Item{Value: m, Why: why}
	}
	why := "refuse a request that has no valid token"
	if len(p.exempt())+b2i(p.in.Preflight) > 0 {
		why += ", unless it asks for what follows"
	}
	var rules []any
	if p.in.NoSub {
		rules = append(rules, rule(why+" (by its issuer: these tokens have no subject)", nil,
			[]any{Map{{Key: "key", Value: "request.auth.claims[iss]"}, {Key: "notValues", Value: []any{"*"}}}}))
	} else {
		rules = append(rules, rule(why, &Member{Key: "from", Value: []any{Map{{Key: "source", Value: Map{{Key: "notRequestPrincipals", Value: []any{"*"}}}}}}}, nil))
	}
	for _, c := range p.in.claims() {
		rules = append(rules, rule("refuse a token without this claim, or with other values", nil,
			[]any{Map{{Key: "key", Value: c.Key()}, {Key: "notValues", Value: texts(c.Values)}}}))
	}
	return rules
}

// denyOperation is what the DENY rules leave out; nil for nothing.
func (p *planner) denyOperation() Map {
	var op Map
	if paths := p.exempt(); len(paths) > 0 {
		op = append(op, Member{Key: "notPaths", Value: texts(paths)})
	}
	if p.in.Preflight {
		op = append(op, Member{Key: "notMethods", Value: []any{"OPTIONS"}, Why: "browsers ask without a token first (CORS)"})
	}
	if len(p.tcpPorts) > 0 {
		op = append(op, Member{Key: "notPorts", Value: texts(p.tcpPorts), Why: "no HTTP there: without this, every connection would be closed"})
	}
	return op
}

// allowRules say who passes: whoever has a token with the claims, and the exceptions.
func (p *planner) allowRules() []any {
	var m Map
	var when []any
	if p.in.NoSub {
		when = append(when, Map{{Key: "key", Value: "request.auth.claims[iss]"}, {Key: "values", Value: []any{"*"}}})
	} else {
		m = append(m, Member{Key: "from", Value: []any{Map{{Key: "source", Value: Map{{Key: "requestPrincipals", Value: []any{"*"}}}}}}})
	}
	for _, c := range p.in.claims() {
		when = append(when, Map{{Key: "key", Value: c.Key()}, {Key: "values", Value: texts(c.Values)}})
	}
	if when != nil {
		m = append(m, Member{Key: "when", Value: when})
	}
	operation := func(why, key string, values []string) Item {
		return Item{Why: why, Value: Map{{Key: "to", Value: []any{Map{{Key: "operation", Value: Map{{Key: key, Value: texts(values)}}}}}}}}
	}
	rules := []any{Item{Value: m, Why: "whoever has a valid token"}, operation("these paths, without a token", "paths", p.exempt())}
	if p.in.Preflight {
		rules = append(rules, operation("browsers ask without a token first (CORS)", "methods", []string{"OPTIONS"}))
	}
	if len(p.tcpPorts) > 0 && !p.allowed {
		rules = append(rules, operation("no HTTP there: without this, every connection would be closed", "ports", p.tcpPorts))
	}
	return rules
}

// exempt are the paths that need no token, each once.
func (p *planner) exempt() []string {
	var out []string
	for _, list := range [][]string{p.in.SkipPaths, p.in.AllowPaths, p.probes} {
		for _, path := range list {
			if !slices.Contains(out, path) {
				out = append(out, path)
			}
		}
	}
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func itoa(n int) string { return strconv.Itoa(n) }
