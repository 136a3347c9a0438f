package version

import (
	"strconv"
	"strings"
)

// Answer says whether a version has something.
type Answer uint8

// The answers. Unsure is the answer for a build of which nobody outside knows what
// was taken back into it.
const (
	No Answer = iota
	Yes
	Unsure
)

// Feature is something that versions of Istio have since a release of each branch.
type Feature struct {
	// Name says what it is, as a sentence of the trace would.
	Name string
	// Since are the first releases that have it, oldest branch first. What the last
	// of them has, every later minor release has too.
	Since []string
	// Fix is set for a correction, which a vendor may have taken back into an older
	// build; a new field or kind is nothing of the sort.
	Fix bool
}

// Has reports whether a version has a feature. The zero version has them all.
func (f *Feature) Has(v Version) Answer {
	if v.IsZero() {
		return Yes
	}
	answer := f.listed(v)
	if answer == No && f.Fix && v.IsASM() {
		return Unsure
	}
	return answer
}

// listed looks the version up in the table alone.
func (f *Feature) listed(v Version) Answer {
	for i, text := range f.Since {
		major, minor, patch := numbers(text)
		switch {
		case v.Major < major || v.Major == major && v.Minor < minor:
			return No
		case v.Major == major && v.Minor == minor:
			switch {
			case v.floating && patch > 0, v.pre && v.Patch <= patch && (v.floating || v.Patch == patch):
				return Unsure
			case v.Patch >= patch:
				return Yes
			default:
				return No
			}
		case i == len(f.Since)-1:
			return Yes
		}
	}
	return Yes
}

func numbers(text string) (major, minor, patch int) {
	parts := strings.Split(text, ".")
	out := [3]int{}
	for i := range min(len(parts), 3) {
		out[i], _ = strconv.Atoi(parts[i])
	}
	return out[0], out[1], out[2]
}

// SinceWords are the releases in words: "Istio 1.27.8, 1.28.5, 1.29.1 and 1.30.0".
func (f *Feature) SinceWords() string {
	n := len(f.Since)
	if n == 1 {
		return "Istio " + f.Since[0]
	}
	return "Istio " + strings.Join(f.Since[:n-1], ", ") + " and " + f.Since[n-1]
}

func since(name string, releases ...string) *Feature { return &Feature{Name: name, Since: releases} }

func fix(name string, releases ...string) *Feature {
	return &Feature{Name: name, Since: releases, Fix: true}
}

// What istiod makes of objects (release tags of istio/istio). Nobody changes them.
var (
	HostsIgnoreCase       = fix("hosts are compared without case (CVE-2021-39155)", "1.9.8", "1.10.4", "1.11.1")
	DryRun                = since("the annotation istio.io/dry-run", "1.10.0")
	CORSPreflightBypass   = since("CORS preflights pass without a look at tokens", "1.14.0")
	OutputClaimToHeaders  = since("outputClaimToHeaders", "1.17.0")
	TargetRef             = since("targetRef", "1.20.0")
	FromCookies           = since("fromCookies", "1.21.0")
	ExtendedJWT           = since("claims are read from the JWT filter's own metadata", "1.21.0")
	AudienceKinds         = fix("request.auth.audiences takes a string and a list alike", "1.21.1")
	LegacyJWTRemoved      = since("the istio_authn filter is gone", "1.24.0")
	PathTemplates         = since("path templates", "1.22.0")
	TargetRefs            = since("targetRefs", "1.22.0")
	ServiceEntryTargetRef = since("targetRefs to a ServiceEntry", "1.24.0")
	GatewayClassTargetRef = since("targetRefs to a GatewayClass", "1.25.0")
	LayeredWaypoints      = since("policies with a selector are enforced by waypoints as L4 rules", "1.25.0")
	ServiceAccounts       = since("serviceAccounts", "1.25.0")
	OptionalIssuer        = since("a rule without issuer", "1.27.0")
	SpaceDelimitedClaims  = since("spaceDelimitedClaims", "1.28.0")
	Presence              = since("presence", "1.32.0")
	ConnectionSettings    = since("connectionSettings", "1.31.0")
	CustomProviderInID    = since("the provider in the ids of CUSTOM policies", "1.30.0")
	TrustDomains          = since("trustDomains", "1.30.2")
	ServiceAccountEscape  = fix("special characters in serviceAccounts are literal (CVE-2026-39350)", "1.27.9", "1.28.6", "1.29.2", "1.30.0")
	NamespaceEscape       = fix("special characters in namespaces and in principals with a leading * are literal", "1.28.7", "1.29.3", "1.30.0")
	RemoteJWKS            = since("keys that the proxy fetches", "1.10.0")
	// RefreshStarved: later releases of 1.20 to 1.22 have it too; which is not known.
	RefreshStarved        = fix("a fetch of keys that fails does not hold up the others (istio/istio#51636)", "1.23.0")
	RemoteJWKSModes       = since("the modes hybrid and envoy of PILOT_JWT_ENABLE_REMOTE_JWKS", "1.15.6", "1.18.0")
	RequestAuthentication = since("RequestAuthentication", "1.5.0")
	// SecurityV1 is of RequestAuthentication and AuthorizationPolicy: the oldest release
	// of istio.io/api in which it was seen.
	SecurityV1   = since("security.istio.io/v1", "1.19.0")
	NetworkingV1 = since("networking.istio.io/v1", "1.22.0")
	// VerifyServers: before it, a DestinationRule without CA certificates believed any server.
	VerifyServers         = since("proxies verify servers without being told with which certificates", "1.22.0")
	SidecarCredentials    = since("a Secret with certificates for sidecars that a DestinationRule selects", "1.19.0")
	PlaceholderEncoded    = since("the placeholder's modulus is base64url", "1.15.0")
	PlaceholderForgeable  = since("a placeholder key without kid", "1.21.0")
	PlaceholderPublicOnly = fix("a placeholder key of which nobody has the private half", "1.27.8", "1.28.5", "1.29.1", "1.30.0")
)

// How the proxy decides (Envoy's release notes; Istio 1.N has Envoy 1.(N+8)).
var (
	WholeTokenLine       = since("all that follows the prefix of a header is the token", "1.20.0")
	TokenPerLine         = fix("each line of a header is a token of its own", "1.20.5", "1.21.1", "1.22.0")
	RemoveQueryToken     = since("a verified token is removed from the query", "1.23.0")
	TemplateStar         = fix("path templates match segments with a star (CVE-2025-46821)", "1.24.6", "1.25.3", "1.26.1", "1.27.0")
	HeadersIndividually  = fix("each line of a header is compared by itself (CVE-2026-26308)", "1.27.8", "1.28.5", "1.29.1", "1.30.0")
	DotSegmentParameters = fix("..;x is a dot segment (CVE-2026-73551)", "1.29.7", "1.30.4", "1.31.0")
	RegexLatin1          = fix("regular expressions see bytes that are no UTF-8 (CVE-2026-73552)", "1.29.7", "1.30.4", "1.31.0")
	SanitizeAllProviders = fix("the output headers of all rules are removed first", "1.32.0")
	StrictJSON           = fix("a JSON member that stands twice spoils a token", "1.30.0")
	QueryMethod          = since("the method QUERY needs a content-type", "1.32.0")
	ExtendedJWTProxy     = since("the proxy keeps claims as they are", "1.21.0")
)

// Of ASM alone, by its documentation rather than by source.
var (
	ASMAlgorithms = since("ECDSA, HMAC, PSS and EdDSA, and keys at a jwksUri", "1.13.0")
)
