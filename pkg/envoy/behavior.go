package envoy

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Behavior says how a version of Envoy behaves where versions differ. What Unsure
// names is not known of this one: both ways are tried, and a verdict that they
// change is Undetermined.
type Behavior struct {
	// MatchHeadersIndividually: RBAC tests every header line on its own (Envoy
	// 1.38 and the fixes of CVE-2026-26308), not the lines joined by commas.
	MatchHeadersIndividually bool
	// TemplateMatchesStar: '*' may stand in a path segment that a template matches.
	TemplateMatchesStar bool
	// DotSegmentParameters: "..;x" is a dot segment (CVE-2026-73551).
	DotSegmentParameters bool
	// RegexLatin1: regular expressions see bytes, so that invalid UTF-8 does not
	// keep "." from matching (CVE-2026-73552).
	RegexLatin1 bool
	// RemoveQueryToken: a verified token in a query parameter is removed when it is
	// not forwarded (Envoy 1.31).
	RemoveQueryToken bool
	// SanitizeAllProviders: the output headers of all providers are removed before
	// anything else (Envoy 1.40).
	SanitizeAllProviders bool
	// WholeTokenLine: all that follows a header's prefix is the token (Envoy 1.28),
	// not only the part up to the first character that no token has.
	WholeTokenLine bool
	// TokenPerLine: every header line is a token of its own (Envoy 1.28.2, 1.29.2),
	// not one part of a value that is joined by commas.
	TokenPerLine bool
	// StrictJSON: a token's JSON is read as Envoy 1.40 reads it. How older parsers
	// read what is not plain JSON is not known.
	StrictJSON bool
	// AllAlgorithms: more than RSA with PKCS #1 v1.5 (ASM before 1.13 documents no more).
	AllAlgorithms bool
	// QueryMethod: the HTTP/1 parser knows the method QUERY, and QUERY without a
	// content-type is refused (Envoy 1.40).
	QueryMethod bool
	// Unsure are the traits of which it is not known whether this proxy has them.
	Unsure Traits
	// Version names the proxy, so that the trace can say which rule of which version
	// it used; empty for the newest.
	Version string
}

// CurrentBehavior is that of Envoy 1.40, the version that is run as the judge.
func CurrentBehavior() Behavior {
	return Behavior{
		MatchHeadersIndividually: true,
		TemplateMatchesStar:      true,
		DotSegmentParameters:     true,
		RegexLatin1:              true,
		RemoveQueryToken:         true,
		SanitizeAllProviders:     true,
		WholeTokenLine:           true,
		TokenPerLine:             true,
		StrictJSON:               true,
		AllAlgorithms:            true,
		QueryMethod:              true,
	}
}

// Trait is one way in which versions of the proxy differ.
type Trait uint8

// The traits, one for each switch of Behavior.
const (
	TraitHeadersIndividually Trait = iota
	TraitTemplateStar
	TraitDotSegmentParameters
	TraitRegexLatin1
	TraitRemoveQueryToken
	TraitSanitizeAllProviders
	TraitWholeTokenLine
	TraitTokenPerLine
	TraitStrictJSON
	TraitAllAlgorithms
	TraitQueryMethod
	traitsInAll
)

// Traits is a set of traits.
type Traits uint16

// With is the set with one more trait.
func (ts Traits) With(t Trait) Traits { return ts | 1<<t }

// Has reports whether a trait is in the set.
func (ts Traits) Has(t Trait) bool { return ts&(1<<t) != 0 }

// traits says of each trait since when proxies have it, and what they do with and
// without it. Without is empty where nobody knows what they did before.
var traits = [traitsInAll]struct {
	feature       *version.Feature
	with, without string
}{
	TraitHeadersIndividually: {version.HeadersIndividually,
		"each line of a header is compared by itself", "the lines of a header are joined with commas before they are compared"},
	TraitTemplateStar: {version.TemplateStar,
		"a path template matches segments that contain a star", "a path template matches no segment that contains a star"},
	TraitDotSegmentParameters: {version.DotSegmentParameters,
		"a segment such as ..;x counts as .. when the path is normalized", "a segment such as ..;x is kept when the path is normalized"},
	TraitRegexLatin1: {version.RegexLatin1,
		"a pattern with a star matches bytes that are no UTF-8", "a pattern with a star does not match bytes that are no UTF-8"},
	TraitRemoveQueryToken: {version.RemoveQueryToken,
		"a verified token that is not forwarded is removed from the query", "a verified token stays in the query, where the next rule finds it"},
	TraitSanitizeAllProviders: {version.SanitizeAllProviders,
		"headers that the rules write are removed from every request", ""},
	TraitWholeTokenLine: {version.WholeTokenLine,
		"all that follows the prefix is the token", "the token ends at the first character that no token has"},
	TraitTokenPerLine: {version.TokenPerLine,
		"each line of a header is a token of its own", "the lines of a header are joined with commas before a token is looked for"},
	TraitStrictJSON: {version.StrictJSON,
		"a token's JSON is read by the parser of Envoy 1.40", ""},
	TraitAllAlgorithms: {version.ASMAlgorithms,
		"tokens may be signed with ECDSA, HMAC, PSS and EdDSA", "only RS256, RS384 and RS512 are documented to work"},
	TraitQueryMethod: {version.QueryMethod,
		"the method QUERY is one of HTTP/1 and needs a content-type", "the method QUERY is not known to HTTP/1, and needs nothing over HTTP/2"},
}

// field is the switch of a trait.
func (b *Behavior) field(t Trait) *bool {
	return [traitsInAll]*bool{
		&b.MatchHeadersIndividually, &b.TemplateMatchesStar, &b.DotSegmentParameters, &b.RegexLatin1, &b.RemoveQueryToken,
		&b.SanitizeAllProviders, &b.WholeTokenLine, &b.TokenPerLine, &b.StrictJSON, &b.AllAlgorithms, &b.QueryMethod,
	}[t]
}

// BehaviorOf is how the proxy of a version of Istio or ASM behaves; the zero
// version is the newest.
func BehaviorOf(v version.Version) Behavior {
	b := CurrentBehavior()
	if v.IsZero() {
		return b
	}
	b.Version = v.String()
	for t := range traitsInAll {
		b.Set(t, traits[t].feature.Has(v))
	}
	if !v.IsASM() {
		b.Set(TraitAllAlgorithms, version.Yes)
	}
	return b
}

// Set says whether this proxy has a trait.
func (b *Behavior) Set(t Trait, has version.Answer) {
	*b.field(t) = has == version.Yes
	b.Unsure &^= 1 << t
	if has == version.Unsure || has == version.No && traits[t].without == "" {
		b.Unsure = b.Unsure.With(t)
	}
}

// versioned reports whether the proxy may differ from the newest, or has a name.
func (b *Behavior) versioned() bool { return b.Version != "" || b.Unsure != 0 }

// traitQuestion identifies the question whether the proxy has a trait.
type traitQuestion Trait

// trait answers whether the proxy has a trait, where that makes a difference to
// this request, and notes which rule of which version was used.
func (s *state) trait(t Trait) bool {
	has := *s.b.field(t)
	if s.b.Unsure.Has(t) {
		has = s.choose(traitQuestion(t), s.b.doubt(t))
	}
	s.noteTrait(t, has)
	return has
}

// doubt is the fact that is missing where nobody knows whether a proxy has a trait.
func (b *Behavior) doubt(t Trait) *Missing {
	m := &Missing{
		What: "whether in this proxy " + traits[t].with,
		Why:  traits[t].feature.SinceWords() + " have it; the proxy is " + b.name() + ", into which it may have been taken back",
		Hint: "ask the vendor of the proxy, or try it with a request",
	}
	if traits[t].without == "" {
		m.Why = "it is known of " + traits[t].feature.SinceWords() + " and newer; the proxy is " + b.name()
	}
	return m
}

func (b *Behavior) name() string {
	if b.Version == "" {
		return "of a version that is not known"
	}
	return b.Version
}

// noteTrait says which rule of which version was used, once a request.
func (s *state) noteTrait(t Trait, has bool) {
	if s.b.Version == "" || s.noted.Has(t) {
		return
	}
	s.noted = s.noted.With(t)
	text := traits[t].with + ", since " + traits[t].feature.SinceWords()
	if !has {
		text = traits[t].without + "; that changed with " + traits[t].feature.SinceWords()
		if traits[t].without == "" {
			text = "not so that " + traits[t].with + ", which is known of " + traits[t].feature.SinceWords()
		}
	}
	s.notes = append(s.notes, "in the proxy "+s.b.Version+", "+text)
}

// differs settles a trait that may make a difference to a value: with and without
// are what the value is with the trait and without it.
func differs[T comparable](s *state, t Trait, with, without T) T {
	switch {
	case with == without:
		return with
	case s.trait(t):
		return with
	default:
		return without
	}
}
