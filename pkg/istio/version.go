package istio

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	securityapi "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// planes are the versions of the control plane and of the proxy; zero values are
// the newest.
type planes struct{ istiod, proxy version.Version }

// lacks reports whether istiod surely does not have a feature.
func (p planes) lacks(f *version.Feature) bool { return f.Has(p.istiod) == version.No }

// reason says that a part is left out because of istiod's version.
func (p planes) reason(f *version.Feature, what string) string {
	return what + " is known since " + f.SinceWords() + "; istiod " + p.istiod.String() + " leaves it out"
}

// doubt is what is missing where nobody knows whether istiod has a feature.
func (p planes) doubt(f *version.Feature) *envoy.Missing {
	what := "whether istiod " + p.istiod.String() + " knows " + f.Name
	if f.Fix {
		what = "whether in istiod " + p.istiod.String() + " " + f.Name
	}
	return &envoy.Missing{
		What: what,
		Why:  f.SinceWords() + " have it, and it may have been taken back into this build",
		Hint: "ask the vendor of the control plane, or look at the proxy's own configuration",
	}
}

// legacyJWT reports whether conditions on tokens read the metadata of the filter
// istio_authn (Istio before 1.21; up to 1.23 istiod still writes it for proxies
// before 1.21).
func (p planes) legacyJWT() bool {
	return p.lacks(version.ExtendedJWT) || p.lacks(version.LegacyJWTRemoved) && version.ExtendedJWTProxy.Has(p.proxy) == version.No
}

// fieldSince are the fields of rules, and the keys of `when`, that older istiods do
// not know.
var fieldSince = map[string]*version.Feature{
	"serviceAccounts":       version.ServiceAccounts,
	"source.serviceAccount": version.ServiceAccounts,
	"trustDomains":          version.TrustDomains,
	"source.trustDomain":    version.TrustDomains,
}

// unknownKey says why istiod does not know a key of `when`; empty where it does.
func (p planes) unknownKey(key string) string {
	f := fieldSince[key]
	if f == nil || !p.lacks(f) {
		return ""
	}
	return fmt.Sprintf("the attribute %q is known since %s: istiod %s leaves out the whole rule", key, f.SinceWords(), p.istiod)
}

// unknownField says why istiod does not know a field; empty where it does.
func (p planes) unknownField(key string) string {
	f := fieldSince[key]
	if f == nil || !p.lacks(f) {
		return ""
	}
	return p.reason(f, key)
}

// adapt makes the matcher of a value what istiod's version makes of it. The note
// says so where it is not what the newest does.
func (p planes) adapt(f field, v string, negated bool, m envoy.Matcher) (adapted envoy.Matcher, note string, err error) {
	if p.istiod.IsZero() && p.proxy.IsZero() {
		return m, "", nil
	}
	switch f.key {
	case "hosts":
		return p.either(version.HostsIgnoreCase, m, func() (envoy.Matcher, error) { return headerMatcher(":authority", v, false), nil },
			"the host is compared with regard to case")
	case "paths":
		if isTemplate(v) {
			return p.either(version.PathTemplates, m, func() (envoy.Matcher, error) { return &envoy.PathMatch{String: stringMatch(v)}, nil },
				"path templates are an ordinary text")
		}
	case "serviceAccounts", "source.serviceAccount":
		return p.identity(f, v, negated, m)
	case "trustDomains", "source.trustDomain":
		if version.TrustDomains.Has(p.istiod) == version.Unsure {
			return p.absent(version.TrustDomains, negated, m), "", nil
		}
	case "namespaces", "source.namespace":
		return p.either(version.NamespaceEscape, m, func() (envoy.Matcher, error) {
			return identityRegex(".*/ns/" + strings.ReplaceAll(v, "*", ".*") + "/.*")
		}, "special characters keep their meaning in a regular expression")
	case "principals", "source.principal":
		if v != "*" && strings.HasPrefix(v, "*") {
			return p.either(version.NamespaceEscape, m, func() (envoy.Matcher, error) { return identityRegex("spiffe://.*" + v[1:]) },
				"special characters keep their meaning in a regular expression")
		}
	default:
		return p.token(f, v, m), "", nil
	}
	return m, "", nil
}

// either is the matcher with a feature, without it, or both where that is not known.
func (p planes) either(f *version.Feature, with envoy.Matcher, without func() (envoy.Matcher, error), words string) (envoy.Matcher, string, error) {
	has := f.Has(p.istiod)
	if has == version.Yes {
		return with, "", nil
	}
	old, err := without()
	if err != nil {
		return nil, "", err
	}
	if has == version.No {
		return old, fmt.Sprintf("in istiod %s %s: %s since %s", p.istiod, words, f.Name, f.SinceWords()), nil
	}
	return &envoy.EitherMatch{With: with, Without: old, Missing: p.doubt(f)}, "", nil
}

// absent is a condition that is perhaps not there.
func (p planes) absent(f *version.Feature, negated bool, m envoy.Matcher) envoy.Matcher {
	return &envoy.EitherMatch{With: m, WithoutAnswer: !negated, Missing: p.doubt(f)}
}

// identity is a value of serviceAccounts: not always known, and before the fix of
// CVE-2026-39350 not escaped.
func (p planes) identity(f field, v string, negated bool, m envoy.Matcher) (envoy.Matcher, string, error) {
	m, note, err := p.either(version.ServiceAccountEscape, m, func() (envoy.Matcher, error) { return f.unescaped(f.key, v) },
		"special characters keep their meaning in a regular expression")
	if err == nil && version.ServiceAccounts.Has(p.istiod) == version.Unsure {
		m = p.absent(version.ServiceAccounts, negated, m)
	}
	return m, note, err
}

// token is a condition on a token's claims, which versions before 1.21 read from
// the metadata of another filter.
func (p planes) token(f field, v string, m envoy.Matcher) envoy.Matcher {
	legacy := &envoy.LegacyMatch{Now: m, String: stringMatch(v), Missing: &envoy.Missing{
		What: "what the filter istio_authn makes of the token",
		Why:  "before Istio 1.21 conditions on tokens read its metadata, of which only the outlines are documented; istiod is " + wordFor(p.istiod) + ", the proxy " + wordFor(p.proxy),
		Hint: "try it with a request, or upgrade",
	}}
	if claim, ok := m.(*envoy.ClaimMatch); ok {
		legacy.Path = claim.Path
		if !p.legacyJWT() && len(claim.Path) == 1 && claim.Path[0] == "aud" && version.AudienceKinds.Has(p.istiod) != version.Yes {
			// 1.21.0: one of the two forms of aud is not looked at.
			return &envoy.EitherMatch{With: m, Missing: p.doubt(version.AudienceKinds)}
		}
	} else if _, ok := m.(*envoy.PrincipalMatch); !ok {
		return m
	}
	if !p.legacyJWT() {
		return m
	}
	return legacy
}

func wordFor(v version.Version) string {
	if v.IsZero() {
		return "the newest"
	}
	return v.String()
}

// refs are the references of a policy that istiod knows, and those that it does not.
func (t *translation) refs(p targetable) (refs []*typeapi.PolicyTargetReference, dropped []envoy.Dropped) {
	refs = p.GetTargetRefs()
	if len(refs) > 0 && t.planes.lacks(version.TargetRefs) {
		dropped = append(dropped, envoy.Dropped{Origin: origin.Origin{Field: "spec.targetRefs"}, Reason: t.planes.reason(version.TargetRefs, "targetRefs") +
			", so that the policy applies as if it had none"})
		refs = nil
	}
	if len(refs) == 0 && p.GetTargetRef() != nil {
		if t.planes.lacks(version.TargetRef) {
			return nil, append(dropped, envoy.Dropped{Origin: origin.Origin{Field: "spec.targetRef"}, Reason: t.planes.reason(version.TargetRef, "targetRef") +
				", so that the policy applies as if it had none"})
		}
		refs = []*typeapi.PolicyTargetReference{p.GetTargetRef()}
	}
	return refs, dropped
}

// droppedRefs are the references that istiod does not know, as parts of one object.
func (t *translation) droppedRefs(ref origin.Ref, p targetable) []envoy.Dropped {
	_, dropped := t.refs(p)
	for i := range dropped {
		dropped[i].Origin.Ref = ref
	}
	return dropped
}

// known is a rule of a RequestAuthentication without the fields that istiod does
// not know.
func (t *translation) known(r jwtRule) jwtRule {
	if t.in.IstiodVersion.IsZero() {
		return r
	}
	r.JWTRule = proto.Clone(r.JWTRule).(*securityapi.JWTRule)
	for _, f := range []struct {
		since *version.Feature
		name  string
		set   bool
		clear func()
	}{
		{version.OutputClaimToHeaders, "outputClaimToHeaders", len(r.GetOutputClaimToHeaders()) > 0, func() { r.OutputClaimToHeaders = nil }},
		{version.FromCookies, "fromCookies", len(r.GetFromCookies()) > 0, func() { r.FromCookies = nil }},
		{version.SpaceDelimitedClaims, "spaceDelimitedClaims", len(r.GetSpaceDelimitedClaims()) > 0, func() { r.SpaceDelimitedClaims = nil }},
		{version.Presence, "presence", r.required, func() { r.required = false }},
	} {
		if !f.set {
			continue
		}
		switch f.since.Has(t.in.IstiodVersion) {
		case version.No:
			f.clear()
			r.dropped = append(r.dropped, envoy.Dropped{Origin: r.origin.At(f.name), Reason: t.planes.reason(f.since, f.name)})
		case version.Unsure:
			t.doubtJWT(r.origin.At(f.name), t.planes.doubt(f.since))
		}
	}
	if r.GetIssuer() == "" && version.OptionalIssuer.Has(t.in.IstiodVersion) != version.Yes {
		t.doubtJWT(r.origin.At("issuer"), &envoy.Missing{
			What: "what istiod " + t.in.IstiodVersion.String() + " does with a rule without issuer",
			Why:  "a rule may be without issuer since " + version.OptionalIssuer.SinceWords() + "; before, the API server refuses the object",
			Hint: "give the rule an issuer",
		})
	}
	return r
}

// doubtJWT puts something that is not known before the verification of tokens.
func (t *translation) doubtJWT(o origin.Origin, m *envoy.Missing) {
	t.beforeJWT = append(t.beforeJWT, &envoy.Opaque{Origin: o, Missing: m, May: []envoy.Verdict{
		{Decision: envoy.Denied, Status: 401}, {Decision: envoy.Allowed, Status: 200},
	}})
}

// Placeholder is the kind of key set that istiod of a version pushes when it could
// not fetch one. With or it is not known which of the two it is; unusable says that
// it is not known whether proxies can use it.
func Placeholder(v version.Version) (kind, or string, unusable bool) {
	switch {
	case version.PlaceholderEncoded.Has(v) == version.No:
		return jwks.PlaceholderPlain, "", true
	case version.PlaceholderForgeable.Has(v) == version.No:
		return jwks.PlaceholderEncoded, "", true
	}
	switch version.PlaceholderPublicOnly.Has(v) {
	case version.Yes:
		return jwks.PlaceholderPublicOnly, "", false
	case version.No:
		return jwks.PlaceholderForgeable, "", false
	default:
		return jwks.PlaceholderPublicOnly, jwks.PlaceholderForgeable, false
	}
}

// asmWithoutURI reports whether the control plane documents no jwksUri.
func (p planes) asmWithoutURI() bool { return p.istiod.IsASM() && p.lacks(version.ASMAlgorithms) }

// ruleGaps finds the fields of a policy that are newer than the API: those within
// one rule, by its index, and those outside of rules.
func ruleGaps(fields []string) (within map[int][]string, outside []string) {
	within = map[int][]string{}
	for _, f := range fields {
		m := ruleField.FindStringSubmatch(f)
		if m == nil {
			outside = append(outside, f)
			continue
		}
		i := 0
		for _, c := range m[1] {
			i = i*10 + int(c-'0')
		}
		within[i] = append(within[i], f)
	}
	slices.Sort(outside)
	return within, outside
}

var ruleField = lazyregexp.New(`^spec\.rules\[(\d{1,6})\]\.`)
