package istio

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// jwtRule is one entry of jwtRules that reaches the proxy.
type jwtRule struct {
	*securityapi.JWTRule
	origin   origin.Origin
	required bool // presence: REQUIRED, which istio.io/api does not know yet
	dropped  []envoy.Dropped
}

// jwtRules collects the rules of all RequestAuthentications that reach the proxy,
// sorted by issuer as istiod sorts them
// (Istio pilot/pkg/security/authn/policy_applier.go:NewMtlsPolicy..., policyApplier.JwtFilter).
func (t *translation) jwtRules() []jwtRule {
	var rules []jwtRule
	for _, ns := range t.namespaces(t.in.Workload.Namespace, t.mesh.rootNamespace) {
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupSecurity, "RequestAuthentication", ns) {
			spec := &securityapi.RequestAuthentication{}
			if !t.decode(o, spec) {
				continue
			}
			ok, why := t.attached(o, spec)
			t.consider(o, ok, why)
			if !ok {
				t.placed(o, spec, may401)
				continue
			}
			required := requiredRules(o)
			for i, r := range spec.GetJwtRules() {
				rules = append(rules, t.known(jwtRule{
					JWTRule:  r,
					origin:   origin.Origin{Ref: o.Ref(), Field: "spec.jwtRules[" + strconv.Itoa(i) + "]"},
					required: required[i],
					dropped:  t.droppedRefs(o.Ref(), spec),
				}))
			}
			t.newerRequestAuthentication(o)
		}
	}
	t.elsewhere("RequestAuthentication")
	slices.SortFunc(rules, func(a, b jwtRule) int { return strings.Compare(a.GetIssuer(), b.GetIssuer()) })
	return rules
}

// requiredRules finds the rules with presence: REQUIRED
// (istio/api#3737; in no release of the API up to 1.31.4).
func requiredRules(o *mesh.Object) map[int]bool {
	spec, err := o.RawSpec()
	if err != nil {
		return nil
	}
	rules, _ := spec["jwtRules"].([]any)
	out := map[int]bool{}
	for i, r := range rules {
		if m, ok := r.(map[string]any); ok && m["presence"] == "REQUIRED" {
			out[i] = true
		}
	}
	return out
}

// jwtFilter makes the JWT filter; nil where no rule reaches the proxy
// (policy_applier.go:convertToEnvoyJwtConfig).
func (t *translation) jwtFilter() *envoy.JWTAuthn {
	rules := t.jwtRules()
	if len(rules) == 0 {
		return nil
	}
	f := &envoy.JWTAuthn{BypassCORSPreflight: true, Requirement: requirement(rules)}
	if t.planes.lacks(version.CORSPreflightBypass) {
		f.BypassCORSPreflight = false
		f.WithoutBypass = "istiod " + t.in.IstiodVersion.String() + " does not let CORS preflights pass without a look at tokens, as " +
			version.CORSPreflightBypass.SinceWords() + " and newer do"
	}
	for i, r := range rules {
		f.Providers = append(f.Providers, t.provider(i, r))
	}
	return f
}

// requirement is the tree for the rules: for one rule, the rule or no token; for
// several, any of them, or all of them each of which may miss its token. As soon
// as one rule is REQUIRED there is no such outer choice.
func requirement(rules []jwtRule) envoy.Requirement {
	one := func(i int) envoy.Requirement {
		return envoy.Requirement{Kind: envoy.RequireProvider, Provider: i}
	}
	var outer, inner []envoy.Requirement
	anyRequired := false
	for i, r := range rules {
		anyRequired = anyRequired || r.required
		outer = append(outer, one(i))
		if r.required {
			inner = append(inner, one(i))
			continue
		}
		inner = append(inner, envoy.Requirement{Kind: envoy.RequireAny, Children: []envoy.Requirement{one(i), {Kind: envoy.AllowMissing}}})
	}
	if anyRequired {
		return envoy.Requirement{Kind: envoy.RequireAll, Children: inner}
	}
	if len(rules) == 1 {
		return inner[0]
	}
	outer = append(outer, envoy.Requirement{Kind: envoy.RequireAll, Children: inner})
	return envoy.Requirement{Kind: envoy.RequireAny, Children: outer}
}

func (t *translation) provider(i int, r jwtRule) envoy.Provider {
	p := envoy.Provider{
		Name: fmt.Sprintf("origins-%d", i), Issuer: r.GetIssuer(), Audiences: r.GetAudiences(), Forward: r.GetForwardOriginalToken(),
		PayloadHeader: r.GetOutputPayloadToHeader(), Origin: r.origin, Keys: t.keySource(r), Dropped: r.dropped,
	}
	if refused := refusedRule(r, p.Keys.Fetcher); refused != nil && t.proxy.Refused == nil {
		t.proxy.Refused = refused
	}
	for _, c := range r.GetOutputClaimToHeaders() {
		p.ClaimHeaders = append(p.ClaimHeaders, envoy.ClaimHeader{Header: c.GetHeader(), Claim: c.GetClaim()})
	}
	for j, h := range r.GetFromHeaders() {
		p.Locations = append(p.Locations, envoy.Location{
			Kind: envoy.InHeader, Name: h.GetName(), Prefix: h.GetPrefix(), Origin: r.origin.At("fromHeaders[" + strconv.Itoa(j) + "]"),
		})
	}
	for j, n := range r.GetFromParams() {
		p.Locations = append(p.Locations, envoy.Location{Kind: envoy.InParam, Name: n, Origin: r.origin.At("fromParams[" + strconv.Itoa(j) + "]")})
	}
	for j, n := range r.GetFromCookies() {
		p.Locations = append(p.Locations, envoy.Location{Kind: envoy.InCookie, Name: n, Origin: r.origin.At("fromCookies[" + strconv.Itoa(j) + "]")})
	}
	p.SpaceDelimited = append([]string{"permission", "scope"}, r.GetSpaceDelimitedClaims()...)
	slices.Sort(p.SpaceDelimited)
	p.SpaceDelimited = slices.Compact(p.SpaceDelimited)
	return p
}

// refusedRule finds what admission refuses in a rule and the proxy refuses too, whose
// rules for texts are laxer (Envoy api/envoy/extensions/filters/http/jwt_authn/v3/config.proto).
func refusedRule(r jwtRule, fetcher envoy.Fetcher) *envoy.Refusal {
	refusal := func(reason, field string, at ...any) *envoy.Refusal {
		return &envoy.Refusal{Origin: r.origin.At(fmt.Sprintf(field, at...)), Reason: reason}
	}
	for i, h := range r.GetFromHeaders() {
		switch {
		case h.GetName() == "":
			return refusal("a token is to be taken from a header without a name", "fromHeaders[%d].name", i)
		case breaksHeader(h.GetName()):
			return refusal("the name of a header has a line break", "fromHeaders[%d].name", i)
		case breaksHeader(h.GetPrefix()):
			return refusal("what stands before a token has a line break", "fromHeaders[%d].prefix", i)
		}
	}
	for i, c := range r.GetOutputClaimToHeaders() {
		switch {
		case c.GetClaim() == "":
			return refusal("a claim without a name is to be written into a header", "outputClaimToHeaders[%d].claim", i)
		case c.GetHeader() == "":
			return refusal("a claim is to be written into a header without a name", "outputClaimToHeaders[%d].header", i)
		case breaksHeader(c.GetHeader()):
			return refusal("the name of a header has a line break", "outputClaimToHeaders[%d].header", i)
		}
	}
	if breaksHeader(r.GetOutputPayloadToHeader()) {
		return refusal("the name of a header has a line break", "outputPayloadToHeader")
	}
	const limit = 1 << 32 // seconds, of the timeout of an HttpUri
	if fetcher == envoy.ProxyFetch && !envoy.ValidURL(r.GetJwksUri()) {
		return refusal("the proxy is to fetch keys from what is no URL to it", "jwksUri")
	}
	if s := r.GetTimeout().AsDuration().Seconds(); fetcher == envoy.ProxyFetch && (s < 0 || r.GetTimeout().GetSeconds() >= limit) {
		return refusal("the timeout is out of range", "timeout")
	}
	return nil
}

// breaksHeader says that a text cannot stand in a header
// (protoc-gen-validate's HTTP_HEADER_NAME and HTTP_HEADER_VALUE that are not strict).
func breaksHeader(text string) bool { return strings.ContainsAny(text, "\x00\r\n") }

// keySource says who fetches the keys of a rule, by the mode of
// PILOT_JWT_ENABLE_REMOTE_JWKS (policy_applier.go, pilot/pkg/features/pilot.go:JwksFetchMode).
func (t *translation) keySource(r jwtRule) envoy.KeySource {
	k := envoy.KeySource{URI: r.GetJwksUri(), Issuer: r.GetIssuer()}
	if k.URI != "" && r.GetJwks() == "" && t.planes.asmWithoutURI() {
		k.Fetcher = envoy.NotDocumented
		return k
	}
	if mode := t.jwksMode(k.URI); mode != JWKSByIstiod {
		if mode == JWKSByEnvoy || t.clusterExists(k.URI) {
			k.Fetcher, k.NoCluster = envoy.ProxyFetch, !t.clusterListens(k.URI)
			return k
		}
		return t.byControlPlane(k, r)
	}
	if r.GetJwks() != "" {
		return envoy.KeySource{Fetcher: envoy.Inline, Inline: r.GetJwks()}
	}
	return t.byControlPlane(k, r)
}

// byControlPlane is a source that istiod fetches. It resolves names as its own pod does:
// a name without a dot is a Service of its own namespace, and of no other.
func (t *translation) byControlPlane(k envoy.KeySource, r jwtRule) envoy.KeySource {
	k.Fetcher = envoy.ControlPlane
	k.NoTime = r.GetTimeout() != nil && r.GetTimeout().AsDuration() <= 0
	u, err := url.Parse(k.URI)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Hostname(), ".:") {
		return k
	}
	has := func(namespace string) bool {
		return t.in.Snapshot.Find(mesh.GroupCore, "Service", namespace, u.Hostname()) != nil
	}
	meant := has(r.origin.Namespace) || has(t.in.Workload.Namespace)
	k.ShortName = meant && !has(t.mesh.rootNamespace) && !has(defaultRootNamespace)
	return k
}

// jwksMode is who fetches from a URI, as the input says or istiod's Deployment.
func (t *translation) jwksMode(uri string) JWKSMode {
	switch {
	case uri == "" || t.planes.lacks(version.RemoteJWKS):
		return JWKSByIstiod
	case t.in.RemoteJWKS != JWKSByIstiod:
		return t.in.RemoteJWKS
	case !t.in.Complete:
		t.assume(Assumption{EnvRemoteJWKS, "istiod", "default"})
		return JWKSByIstiod
	}
	plane := t.controlPlane()
	value, set := plane.Env[EnvRemoteJWKS]
	if !set {
		t.assume(Assumption{EnvRemoteJWKS, "istiod", "default"})
		return JWKSByIstiod
	}
	t.assume(Assumption{EnvRemoteJWKS, value, plane.Object.String()})
	return plane.JWKSMode()
}
