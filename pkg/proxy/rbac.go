package proxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

func keys(o object) string {
	var out []string
	for k := range o {
		out = append(out, k)
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

// rbacFilter reads envoy.filters.http.rbac, or the network filter of the same name.
func rbacFilter(config object) (envoy.Filter, error) {
	if config.has("matcher") || config.has("shadow_matcher") {
		return nil, fmt.Errorf("an RBAC filter with a matcher tree")
	}
	f := &envoy.RBAC{ShadowPrefix: config.text("shadow_rules_stat_prefix")}
	f.Custom = strings.HasPrefix(f.ShadowPrefix, "istio_ext_authz_")
	for _, part := range []struct {
		name string
		set  **envoy.RuleSet
	}{{"rules", &f.Rules}, {"shadow_rules", &f.Shadow}} {
		if !config.has(part.name) {
			continue
		}
		rules := config.sub(part.name)
		action, err := rbacAction(rules)
		if err != nil {
			return nil, err
		}
		f.Action = action
		set, err := ruleSet(rules.raw("policies"))
		if err != nil {
			return nil, err
		}
		*part.set = set
		f.Custom = f.Custom || slices.ContainsFunc(set.Policies, func(p envoy.Policy) bool { return isCustom(p.ID) })
	}
	if f.Rules == nil && f.Shadow == nil {
		return nil, nil // nothing is enforced, and nothing recorded
	}
	return f, nil
}

func isCustom(id string) bool { return strings.HasPrefix(id, "istio-ext-authz-") }

func rbacAction(rules object) (envoy.Action, error) {
	switch a := strings.Trim(string(rules.raw("action")), `"`); a {
	case "", "ALLOW", "0":
		return envoy.Allow, nil
	case "DENY", "1":
		return envoy.Deny, nil
	case "LOG", "2":
		return envoy.Log, nil
	default:
		return 0, fmt.Errorf("the RBAC action %s", a)
	}
}

func ruleSet(raw json.RawMessage) (*envoy.RuleSet, error) {
	set := &envoy.RuleSet{}
	if len(raw) == 0 {
		return set, nil
	}
	var policies map[string]json.RawMessage
	if err := json.Unmarshal(raw, &policies); err != nil {
		return nil, fmt.Errorf("the policies: %w", err)
	}
	for id, p := range policies {
		set.Policies = append(set.Policies, policy(id, p))
	}
	sort.Slice(set.Policies, func(i, j int) bool { return set.Policies[i].ID < set.Policies[j].ID })
	return set, nil
}

// policy reads one policy. What cannot be read leaves it in doubt.
func policy(id string, raw json.RawMessage) envoy.Policy {
	at := policyOrigin(id)
	p := envoy.Policy{ID: id, Origin: at}
	doubt := func(why string) envoy.Policy {
		p.Doubt, p.DoubtAll = &envoy.Missing{
			What: "what the policy " + strconv.Quote(id) + " of the proxy matches", Why: "it has " + why + ", which is not modelled",
		}, true
		return p
	}
	o, err := parseObject(raw)
	if err != nil {
		return doubt("a form that cannot be read")
	}
	if o.has("condition") || o.has("checked_condition") || o.has("cel_config") {
		return doubt("a condition in CEL")
	}
	if isNever(o) {
		p.Never = true
		return p
	}
	if p.Permissions, err = clauses(o.list("permissions"), permission, at, "to"); err != nil {
		return doubt(err.Error())
	}
	if p.Principals, err = clauses(o.list("principals"), principal, at, "from"); err != nil {
		return doubt(err.Error())
	}
	return p
}

// isNever recognises what istiod makes of a policy without rules: not anything
// (Istio pilot/pkg/security/authz/builder/builder.go:rbacPolicyMatchNever).
func isNever(o object) bool {
	permissions, principals := o.objects("permissions"), o.objects("principals")
	return len(permissions) == 1 && permissions[0].sub("not_rule").flag("any") && len(principals) == 1 && principals[0].sub("not_id").flag("any")
}

var policyID = lazyregexp.New(`^(?:istio-ext-authz-(?:.*-)?)?ns\[(.*?)\]-policy\[(.*?)\]-rule\[(\d+)\](?:-deny-due-to-bad-CUSTOM-action)?$`)

// policyOrigin is the rule that istiod made a policy of
// (Istio pilot/pkg/security/authz/builder/builder.go:policyName).
func policyOrigin(id string) origin.Origin {
	m := policyID.FindStringSubmatch(id)
	if m == nil {
		return origin.Origin{Ref: origin.Ref{Kind: "RBAC policy", Name: id}}
	}
	return origin.Origin{Ref: origin.Ref{Kind: "AuthorizationPolicy", Namespace: m[1], Name: m[2]}, Field: "spec.rules[" + m[3] + "]"}
}

// reader reads one permission or principal.
type reader func(object) (envoy.Matcher, error)

// clauses reads the entries one of which must hold.
func clauses(entries []json.RawMessage, read reader, at origin.Origin, name string) ([]envoy.Clause, error) {
	out := make([]envoy.Clause, 0, len(entries))
	for i, raw := range entries {
		o, err := parseObject(raw)
		if err != nil {
			return nil, err
		}
		m, err := read(o)
		if err != nil {
			return nil, err
		}
		cl := envoy.Clause{Origin: at.At(name + "[" + strconv.Itoa(i) + "]")}
		parts, ok := m.(envoy.AllMatch)
		if !ok {
			parts = envoy.AllMatch{m}
		}
		if pm, ok := principalMatch(parts); ok {
			parts = envoy.AllMatch{pm}
		}
		for _, part := range parts {
			if _, ok := part.(envoy.AlwaysMatch); ok {
				continue
			}
			cl.Conditions = append(cl.Conditions, condition(part, cl.Origin))
		}
		out = append(out, cl)
	}
	return out, nil
}

// condition takes a part for one field of a rule: some values, or none of them.
func condition(m envoy.Matcher, at origin.Origin) envoy.Condition {
	c := envoy.Condition{Origin: at}
	if n, ok := m.(envoy.NotMatch); ok {
		c.Negated, m = true, n.Matcher
	}
	c.Matchers = []envoy.Matcher{m}
	if many, ok := m.(envoy.AnyMatch); ok {
		c.Matchers = many
	}
	for _, v := range c.Matchers {
		a, text := inWords(v)
		c.Attribute = a
		c.Values = append(c.Values, text)
	}
	return c
}

// all and either read lists of parts.
func all(parts []object, read reader) (envoy.Matcher, error) {
	var out envoy.AllMatch
	for _, p := range parts {
		m, err := read(p)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if pm, ok := principalMatch(out); ok {
		return pm, nil
	}
	return out, nil
}

func either(parts []object, read reader) (envoy.Matcher, error) {
	var out envoy.AnyMatch
	for _, p := range parts {
		m, err := read(p)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// principalMatch recognises a value of requestPrincipals: the claims iss and sub,
// each as a string (Istio generator.go:requestPrincipalGenerator.extendedPrincipal).
func principalMatch(parts envoy.AllMatch) (envoy.Matcher, bool) {
	if len(parts) != 2 {
		return nil, false
	}
	iss, ok1 := parts[0].(*envoy.ClaimShapeMatch)
	sub, ok2 := parts[1].(*envoy.ClaimShapeMatch)
	if !ok1 || !ok2 || iss.Shape != envoy.ClaimString || sub.Shape != envoy.ClaimString ||
		!slices.Equal(iss.Path, []string{"iss"}) || !slices.Equal(sub.Path, []string{"sub"}) {
		return nil, false
	}
	return &envoy.PrincipalMatch{Issuer: iss.String, Subject: sub.String}, true
}

// permission reads an envoy.config.rbac.v3.Permission.
func permission(o object) (envoy.Matcher, error) {
	name, err := o.only()
	if err != nil {
		return nil, err
	}
	v := o.sub(name)
	switch name {
	case "and_rules":
		return all(v.objects("rules"), permission)
	case "or_rules":
		return either(v.objects("rules"), permission)
	case "not_rule":
		m, err := permission(v)
		return envoy.NotMatch{Matcher: m}, err
	case "any":
		return anything(o)
	case "header":
		return headerMatch(v)
	case "url_path":
		s, err := stringMatch(v.sub("path"))
		return &envoy.PathMatch{String: s}, err
	case "uri_template":
		return envoy.NewTemplate(v.sub("typed_config").text("path_template"))
	case "destination_ip":
		return block(envoy.DestinationIP, v)
	case "destination_port":
		return &envoy.PortMatch{Port: uint16(o.number(name))}, nil
	case "metadata":
		return metadataMatch(v)
	case "requested_server_name":
		s, err := stringMatch(v)
		return &envoy.SNIMatch{String: s}, err
	}
	return nil, fmt.Errorf("the permission %s", name)
}

func anything(o object) (envoy.Matcher, error) {
	if !o.flag("any") {
		return nil, fmt.Errorf("any: false")
	}
	return envoy.AlwaysMatch{}, nil
}

// peerPrincipal is the filter state that a waypoint's tunnel ends in.
const peerPrincipal = "io.istio.peer_principal"

// principal reads an envoy.config.rbac.v3.Principal.
func principal(o object) (envoy.Matcher, error) {
	name, err := o.only()
	if err != nil {
		return nil, err
	}
	v := o.sub(name)
	switch name {
	case "and_ids":
		return all(v.objects("ids"), principal)
	case "or_ids":
		return either(v.objects("ids"), principal)
	case "not_id":
		m, err := principal(v)
		return envoy.NotMatch{Matcher: m}, err
	case "any":
		return anything(o)
	case "authenticated":
		if !v.has("principal_name") {
			return nil, fmt.Errorf("authenticated without a name")
		}
		s, err := stringMatch(v.sub("principal_name"))
		return &envoy.IdentityMatch{String: s}, err
	case "filter_state":
		if v.text("key") == peerPrincipal && v.has("string_match") {
			s, err := stringMatch(v.sub("string_match"))
			return &envoy.TunnelPeerMatch{String: s}, err
		}
	case "source_ip", "direct_remote_ip":
		return block(envoy.DirectRemoteIP, v)
	case "remote_ip":
		return block(envoy.RemoteIP, v)
	case "header":
		return headerMatch(v)
	case "url_path":
		s, err := stringMatch(v.sub("path"))
		return &envoy.PathMatch{String: s}, err
	case "metadata":
		return metadataMatch(v)
	}
	return nil, fmt.Errorf("the principal %s", name)
}
