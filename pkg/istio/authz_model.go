package istio

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// attribute turns one value of a field into what the proxy compares. A new `when`
// key or field is one more entry of whenAttributes or of the calls in rule.go.
type attribute struct {
	// compile makes the matcher of one value (Istio pilot/pkg/security/authz/model/generator.go).
	compile func(key, value string) (envoy.Matcher, error)
	// permission says that the condition belongs to `to` rather than to `from`.
	permission bool
	// httpOnly fields have no meaning on a TCP chain.
	httpOnly bool
	// trustDomains says how aliases of the trust domain apply.
	trustDomains func(bundle []string, values []string) []string
	// whole says that an error in one value spoils the field as a whole.
	whole bool
	// unescaped is compile as it was before special characters were made literal.
	unescaped func(key, value string) (envoy.Matcher, error)
}

// whenAttributes are the keys of `when`. Keys that end in "[" or "." stand for all
// keys that begin so (Istio pilot/pkg/security/authz/model/model.go:New).
var whenAttributes = []struct {
	key    string
	prefix bool
	attribute
}{
	{key: "destination.ip", attribute: destinationIP},
	{key: "destination.port", attribute: destinationPort},
	{key: "connection.sni", attribute: connectionSNI},
	{key: "experimental.envoy.filters.", prefix: true, attribute: filterMetadata},
	{key: "source.ip", attribute: sourceIP},
	{key: "remote.ip", attribute: remoteIP},
	{key: "source.namespace", attribute: sourceNamespace},
	{key: "source.trustDomain", attribute: sourceTrustDomain},
	{key: "source.serviceAccount", attribute: attribute{}}, // needs the policy's namespace: see serviceAccount
	{key: "source.principal", attribute: sourcePrincipal},
	{key: "request.auth.principal", attribute: requestPrincipal},
	{key: "request.auth.audiences", attribute: requestAudiences},
	{key: "request.auth.presenter", attribute: requestPresenter},
	{key: "request.headers", prefix: true, attribute: requestHeader},
	{key: "request.auth.claims", prefix: true, attribute: requestClaim},
}

// KeyLike is the key of `when` that one which istiod does not know is meant to be, most
// likely: with at most two letters wrong. Empty where none is like it, or several are.
func KeyLike(key string) string {
	name, below, _ := strings.Cut(key, "[")
	like := ""
	for _, a := range whenAttributes {
		if brackets := a.prefix && !strings.HasSuffix(a.key, "."); brackets != (below != "") || !mesh.Mistyped(name, a.key) {
			continue
		}
		if like != "" {
			return ""
		}
		like = a.key + strings.TrimPrefix(key, name)
	}
	return like
}

// whenAttribute finds the attribute of a key of `when`.
func whenAttribute(key, namespace string) (attribute, bool) {
	for _, a := range whenAttributes {
		if key == a.key || a.prefix && strings.HasPrefix(key, a.key) {
			if a.key == "source.serviceAccount" {
				return serviceAccount(namespace), true
			}
			return a.attribute, true
		}
	}
	return attribute{}, false
}

var (
	destinationIP   = attribute{permission: true, compile: ipMatcher(envoy.DestinationIP)}
	sourceIP        = attribute{compile: ipMatcher(envoy.DirectRemoteIP)}
	remoteIP        = attribute{compile: ipMatcher(envoy.RemoteIP)}
	destinationPort = attribute{permission: true, compile: func(_, v string) (envoy.Matcher, error) {
		p, err := strconv.ParseUint(v, 10, 32)
		if err != nil || p > 65535 {
			return nil, fmt.Errorf("%q is not a port", v)
		}
		return &envoy.PortMatch{Port: uint16(p)}, nil
	}}
	connectionSNI = attribute{permission: true, compile: func(_, v string) (envoy.Matcher, error) {
		return &envoy.SNIMatch{String: stringMatch(v)}, nil
	}}
	sourceNamespace   = attribute{compile: func(_, v string) (envoy.Matcher, error) { return identityRegex(namespaceRegex(v)) }}
	sourceTrustDomain = attribute{trustDomains: expandTrustDomains, compile: trustDomainMatcher}
	sourcePrincipal   = attribute{trustDomains: replaceTrustDomains, compile: principalMatcher}
	requestPrincipal  = attribute{httpOnly: true, compile: requestPrincipalMatcher}
	requestAudiences  = attribute{httpOnly: true, compile: claimMatcher("aud")}
	requestPresenter  = attribute{httpOnly: true, compile: claimMatcher("azp")}
	requestClaim      = attribute{httpOnly: true, whole: true, compile: func(key, v string) (envoy.Matcher, error) {
		path, err := claimPath(strings.TrimPrefix(key, "request.auth.claims"))
		if err != nil {
			return nil, err
		}
		if slices.Contains(path, "") {
			return nil, &refusedValue{fmt.Sprintf("%q has a claim without a name", key)}
		}
		return &envoy.ClaimMatch{Path: path, String: stringMatch(v)}, nil
	}}
	requestHeader = attribute{httpOnly: true, compile: func(key, v string) (envoy.Matcher, error) {
		name, err := inBrackets(strings.TrimPrefix(key, "request.headers"))
		if err != nil {
			return nil, err
		}
		if name == "" {
			return nil, &refusedValue{fmt.Sprintf("%q names no header", key)}
		}
		if breaksHeader(name) {
			return nil, &refusedValue{fmt.Sprintf("%q names a header with a line break", key)}
		}
		return headerMatcher(name, v, false), nil
	}}
	operationHost = attribute{permission: true, httpOnly: true, compile: func(_, v string) (envoy.Matcher, error) {
		return headerMatcher(":authority", v, true), nil
	}}
	operationMethod = attribute{permission: true, httpOnly: true, compile: func(_, v string) (envoy.Matcher, error) {
		return headerMatcher(":method", v, false), nil
	}}
	operationPath = attribute{permission: true, httpOnly: true, compile: func(_, v string) (envoy.Matcher, error) {
		if isTemplate(v) {
			m, err := envoy.NewTemplate(v)
			if err != nil {
				return nil, &refusedValue{err.Error()}
			}
			return m, nil
		}
		return &envoy.PathMatch{String: stringMatch(v)}, nil
	}}
	filterMetadata = attribute{permission: true, whole: true, compile: metadataMatcher}
)

func serviceAccount(namespace string) attribute {
	return attribute{
		compile:   serviceAccountMatcher(namespace, regexp.QuoteMeta),
		unescaped: serviceAccountMatcher(namespace, func(s string) string { return s }),
	}
}

func serviceAccountMatcher(namespace string, escape func(string) string) func(key, v string) (envoy.Matcher, error) {
	return func(_, v string) (envoy.Matcher, error) {
		ns, sa, ok := strings.Cut(v, "/")
		if !ok {
			ns, sa = namespace, v
		}
		return identityRegex(fmt.Sprintf("spiffe://.+/ns/%s/(.+/|)sa/%s(/.+)?", escape(ns), escape(sa)))
	}
}

func isTemplate(v string) bool {
	return strings.Contains(v, "{*}") || strings.Contains(v, "{**}")
}

// stringMatch is Istio pilot/pkg/security/authz/matcher/string.go:StringMatcher.
func stringMatch(v string) envoy.StringMatch {
	switch {
	case v == "*":
		return envoy.StringMatch{Kind: envoy.StringNonEmpty}
	case strings.HasPrefix(v, "*"):
		return envoy.StringMatch{Kind: envoy.StringSuffix, Value: v[1:]}
	case strings.HasSuffix(v, "*"):
		return envoy.StringMatch{Kind: envoy.StringPrefix, Value: v[:len(v)-1]}
	default:
		return envoy.StringMatch{Kind: envoy.StringExact, Value: v}
	}
}

// headerMatcher is Istio pilot/pkg/security/authz/matcher/header.go: a star alone
// asks for the header's presence.
func headerMatcher(name, v string, ignoreCase bool) envoy.Matcher {
	m := &envoy.HeaderMatch{Name: envoy.LowerName(name), Present: v == "*", String: stringMatch(v)}
	m.String.IgnoreCase = ignoreCase
	return m
}

func ipMatcher(side envoy.IPSide) func(key, v string) (envoy.Matcher, error) {
	return func(_, v string) (envoy.Matcher, error) {
		block, err := parseBlock(v)
		if err != nil {
			return nil, err
		}
		return &envoy.IPMatch{Side: side, Block: block}, nil
	}
}

// parseBlock is Istio pilot/pkg/networking/util/util.go:AddrStrToPrefix; the bits
// behind the mask do not count.
func parseBlock(v string) (netip.Prefix, error) {
	if strings.Contains(v, "/") {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			return p, fmt.Errorf("%q is not an address block", v)
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(v)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an IP address", v)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func identityRegex(expr string) (envoy.Matcher, error) {
	m, err := envoy.NewRegex(expr)
	if err != nil {
		return nil, err
	}
	return &envoy.IdentityMatch{String: m}, nil
}

func namespaceRegex(v string) string {
	parts := strings.Split(v, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return ".*/ns/" + strings.Join(parts, ".*") + "/.*"
}

func trustDomainMatcher(_, v string) (envoy.Matcher, error) {
	prefix := func(p string) (envoy.Matcher, error) {
		return &envoy.IdentityMatch{String: envoy.StringMatch{Kind: envoy.StringPrefix, Value: p}}, nil
	}
	before, after, ok := strings.Cut(v, "*")
	switch {
	case v == "*":
		return prefix("spiffe://")
	case !ok:
		return prefix("spiffe://" + v + "/")
	default:
		return identityRegex("spiffe://" + regexp.QuoteMeta(before) + "[^/]*" + regexp.QuoteMeta(after) + "/.*")
	}
}

// principalMatcher puts the scheme in front of the value: a star as prefix comes
// after it (Istio matcher/string.go:StringMatcherWithPrefix).
func principalMatcher(_, v string) (envoy.Matcher, error) {
	const scheme = "spiffe://"
	if v != "*" && strings.HasPrefix(v, "*") {
		return identityRegex(scheme + ".*" + regexp.QuoteMeta(v[1:]))
	}
	m := stringMatch(v)
	if m.Kind != envoy.StringNonEmpty {
		m.Value = scheme + m.Value
	}
	return &envoy.IdentityMatch{String: m}, nil
}

// requestPrincipalMatcher splits the value at its last slash
// (Istio generator.go:requestPrincipalGenerator.extendedPrincipal).
func requestPrincipalMatcher(_, v string) (envoy.Matcher, error) {
	anything := envoy.StringMatch{Kind: envoy.StringNonEmpty}
	exact := func(s string) envoy.StringMatch { return envoy.StringMatch{Kind: envoy.StringExact, Value: s} }
	suffix := func(s string) envoy.StringMatch {
		return envoy.StringMatch{Kind: envoy.StringSuffix, Value: strings.TrimPrefix(s, "*")}
	}
	prefix := func(s string) envoy.StringMatch {
		return envoy.StringMatch{Kind: envoy.StringPrefix, Value: strings.TrimSuffix(s, "*")}
	}
	iss, sub, slash := v, "", false
	if i := strings.LastIndexByte(v, '/'); i >= 0 {
		iss, sub, slash = v[:i], v[i+1:], true
	}
	m := &envoy.PrincipalMatch{Issuer: exact(iss), Subject: exact(sub)}
	switch {
	case v == "*":
		m.Issuer, m.Subject = anything, anything
	case strings.HasPrefix(v, "*") && slash:
		if m.Issuer = suffix(iss); iss == "*" {
			m.Issuer = anything
		}
	case strings.HasPrefix(v, "*"):
		m.Issuer, m.Subject = anything, suffix(v)
	case strings.HasSuffix(v, "*") && slash:
		if m.Subject = prefix(sub); sub == "*" {
			m.Subject = anything
		}
	case strings.HasSuffix(v, "*"):
		m.Issuer, m.Subject = prefix(v), anything
	}
	return m, nil
}

func claimMatcher(claim string) func(key, v string) (envoy.Matcher, error) {
	return func(_, v string) (envoy.Matcher, error) {
		return &envoy.ClaimMatch{Path: []string{claim}, String: stringMatch(v)}, nil
	}
}

// metadataMatcher is Istio generator.go:envoyFilterGenerator.extendedPermission.
func metadataMatcher(key, v string) (envoy.Matcher, error) {
	filter, name, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(key, "experimental."), "]"), "[")
	if !ok {
		return nil, fmt.Errorf("the key %q names no metadata key in brackets", key)
	}
	if name == "" {
		return nil, &refusedValue{fmt.Sprintf("%q has an empty metadata key", key)}
	}
	m := &envoy.MetadataMatch{Filter: filter, Key: name, String: stringMatch(v)}
	if strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]") {
		m.List, m.String = true, stringMatch(strings.Trim(v, "[]"))
	}
	return m, nil
}

// inBrackets is Istio pilot/pkg/security/authz/model/util.go:extractNameInBrackets.
func inBrackets(s string) (string, error) {
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") {
		return "", fmt.Errorf("a name in brackets is missing in %q", s)
	}
	return strings.TrimPrefix(strings.TrimSuffix(s, "]"), "["), nil
}

// claimPath reads [a][b]; where the brackets are irregular, all that is between
// the first and the last is one name (util.go:extractNameInNestedBrackets).
func claimPath(s string) ([]string, error) {
	var path []string
	for rest := s; rest != ""; {
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 || strings.IndexByte(rest[1:end], '[') >= 0 {
			name, err := inBrackets(s)
			if err != nil {
				return nil, err
			}
			return []string{name}, nil
		}
		path = append(path, rest[1:end])
		rest = rest[end+1:]
	}
	return path, nil
}

// refusedValue says that istiod does not look at a value, and that the proxy then
// refuses the listener because of it.
type refusedValue struct{ reason string }

func (r *refusedValue) Error() string { return r.reason }

// field is one field of a rule, or one condition of `when`, before it is compiled.
type field struct {
	attribute
	key       string
	values    []string
	notValues []string
	origin    origin.Origin // of the values
	notOrigin origin.Origin
}
