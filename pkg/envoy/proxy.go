// Package envoy is the proxy's half of the core: a model of one Envoy as far as
// it decides about requests (filter chains, connection manager, JWT providers and
// requirement tree, RBAC), and Evaluate, which walks it as Envoy does and says
// what decided. It knows no Istio object: where a part came from is an
// origin.Origin that it carries along.
//
// It imports pkg/origin, pkg/jwt and pkg/jwks, and nothing of Istio or
// Kubernetes; it has no clock, no writer and no state. One file a matcher family.
package envoy

import (
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Role is what a proxy is for.
type Role string

// The roles. RoleNone is a workload without any proxy.
const (
	RoleSidecar  Role = "sidecar"
	RoleGateway  Role = "gateway"
	RoleWaypoint Role = "waypoint"
	RoleZtunnel  Role = "ztunnel"
	RoleNone     Role = "none"
)

// Proxy is one listener of one Envoy: what stands between a client and a port.
type Proxy struct {
	Role Role
	// Behavior is how this Envoy version behaves where versions differ.
	Behavior Behavior
	// TLSInspector says that the listener looks for TLS before it picks a chain.
	// Without it, TLS bytes reach a chain as they are.
	TLSInspector bool
	// Port is the port that clients of the listener reach (the container port of
	// a sidecar, after redirection; the listener's own port of a gateway).
	Port uint16
	// Tunnel is set where clients reach the chains through HBONE alone.
	Tunnel *Tunnel
	// Chains are tried by the rules of Envoy's filter chain match.
	Chains []Chain
	// Beside are JWT filters of other chains of the same listener, for other ports or
	// Services: what the proxy refuses in one, it refuses with the whole listener.
	Beside []*JWTAuthn
	// Changed are changes of the listener that are not modelled: what they make of a
	// connection or a request is not known, whatever follows.
	Changed []*Opaque
	// Refused is set where the proxy refuses this listener, so that it goes on
	// with an older one that nobody knows.
	Refused *Refusal
}

// JWTFilters are the JWT filters of the listener, each once.
func (p *Proxy) JWTFilters() []*JWTAuthn {
	var out []*JWTAuthn
	add := func(f *JWTAuthn) {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	for i := range p.Chains {
		if p.Chains[i].HTTP == nil {
			continue
		}
		for _, f := range p.Chains[i].HTTP.Filters {
			if jf, ok := f.(*JWTAuthn); ok {
				add(jf)
			}
		}
	}
	for _, f := range p.Beside {
		add(f)
	}
	return out
}

// Refusal says why a proxy refuses a listener.
type Refusal struct {
	Origin origin.Origin
	Reason string
}

// Chain is one filter chain of the listener.
type Chain struct {
	Name  string
	Match ChainMatch
	// TLS is set where the chain terminates TLS.
	TLS *DownstreamTLS
	// HTTP is set on HTTP chains; nil means that the chain carries bytes.
	HTTP *ConnectionManager
	// TCP are the network filters of a chain that carries bytes: *RBAC or *ExtAuthz.
	TCP []Filter
	// Origin is the object that made the chain what it is (a PeerAuthentication,
	// a Gateway server); zero where it is the default.
	Origin origin.Origin
}

// ChainMatch is when a chain is taken. Envoy prefers, in this order, the most
// specific server name, transport protocol and application protocols.
type ChainMatch struct {
	// Transport is "tls", "raw_buffer" or empty for any.
	Transport string
	// ALPN are application protocols of which one must be offered; empty for any.
	ALPN []string
	// ServerNames are SNI patterns ("*.example.com"); empty for any.
	ServerNames []string
}

// DownstreamTLS is how a chain terminates TLS.
type DownstreamTLS struct {
	// RequestClientCertificate says that a client's certificate is asked for and,
	// if it comes, verified; Require, that there must be one.
	RequestClientCertificate bool
	RequireClientCertificate bool
	// TrustPrefixes are the prefixes one of which a client's URI SAN must have;
	// empty: any certificate of a trusted root will do.
	TrustPrefixes []string
	// Names are the SANs one of which a client's certificate must have; empty: any.
	Names []string
	// URIOnly says that only a URI SAN counts for that, and no DNS SAN.
	URIOnly bool
}

// EscapedSlashes is what happens to %2F and %5C in a path.
type EscapedSlashes uint8

// The actions of path_with_escaped_slashes_action that Istio uses.
const (
	KeepEscapedSlashes EscapedSlashes = iota
	UnescapeAndForward
	UnescapeAndRedirect
	RejectEscapedSlashes
)

// Underscores is what happens to a header with an underscore in its name.
type Underscores uint8

// The actions of headers_with_underscores_action.
const (
	AllowUnderscores Underscores = iota
	RejectUnderscores
	DropUnderscores
)

// ForwardClientCert is what happens to x-forwarded-client-cert.
type ForwardClientCert uint8

// The modes of forward_client_cert_details.
const (
	SanitizeXFCC ForwardClientCert = iota
	ForwardOnlyXFCC
	AppendForwardXFCC
	SanitizeSetXFCC
	AlwaysForwardOnlyXFCC
)

// ConnectionManager is Envoy's HTTP connection manager with its filters.
type ConnectionManager struct {
	NormalizePath     bool
	MergeSlashes      bool
	EscapedSlashes    EscapedSlashes
	Underscores       Underscores
	UseRemoteAddress  bool
	TrustedHops       uint32
	SkipXFFAppend     bool
	GenerateRequestID bool
	// AppendForwardedPort sets x-forwarded-port where a client may not or does not.
	AppendForwardedPort bool
	PreserveRequestID   bool
	ForwardClientCert   ForwardClientCert
	// XFCCSubject, XFCCURI and XFCCDNS are the parts of set_current_client_cert_details.
	XFCCSubject, XFCCURI, XFCCDNS bool
	// XFCCCert and XFCCChain put whole certificates into the header.
	XFCCCert, XFCCChain bool
	// LocalURISANs are the URI SANs of the proxy's own certificate (By= of XFCC).
	LocalURISANs []string
	// Filters run in this order.
	Filters []Filter
	// FragmentDoubt is set where it is not known whether a path with a fragment is
	// refused, or the fragment cut off.
	FragmentDoubt *Missing
	// PathOrigin is the setting that decided on path normalization.
	PathOrigin origin.Origin
}

// Filter is one HTTP filter that can decide: *JWTAuthn, *RBAC, *ExtAuthz, *TunnelIdentity or *Opaque.
type Filter interface{ filter() }

// Opaque is a filter or change that is not modelled (an EnvoyFilter, a Wasm
// plugin): whatever follows may be different from what is predicted.
type Opaque struct {
	Origin  origin.Origin
	Missing *Missing
	// May are the verdicts that it may lead to, besides the one that comes if it
	// does nothing; none: a denial with 403, and a request that passes.
	May []Verdict
}

// ExtAuthz asks an external authorizer if the shadow engine of the RBAC filter
// before it matched a policy whose id starts with Prefix.
type ExtAuthz struct {
	Provider string
	Prefix   string
	Origin   origin.Origin
}

// RBAC is envoy.filters.http.rbac.
type RBAC struct {
	Action Action
	// Rules is nil where nothing is enforced.
	Rules *RuleSet
	// Shadow rules are evaluated for the record only.
	Shadow *RuleSet
	// Custom says that the filter stands for CUSTOM policies.
	Custom bool
	// ShadowPrefix is before shadow_effective_policy_id in the metadata.
	ShadowPrefix string
}

// Action is what a match of an RBAC filter means.
type Action uint8

// The actions.
const (
	Allow Action = iota
	Deny
	Log
)

// String names the action as AuthorizationPolicy does.
func (a Action) String() string { return [...]string{"ALLOW", "DENY", "AUDIT"}[a] }

// RuleSet is the policies of one RBAC engine, sorted by ID in byte order: the
// first that matches is the one that is reported
// (Envoy source/extensions/filters/common/rbac/engine_impl.h, a std::map).
type RuleSet struct {
	Policies []Policy
	// gates are those of the policies, where a Decider has made them.
	gates []gate
}

// Policy is one entry of an RBAC engine: it matches when one of the permissions
// and one of the principals match.
type Policy struct {
	ID          string
	Origin      origin.Origin
	Permissions []Clause
	Principals  []Clause
	// Never is set for the entry that istiod makes of a policy without rules.
	Never bool
	// Dropped are parts of the rule that istiod left out, each with the reason.
	Dropped []Dropped
	// Doubt is set where the entry has something that cannot be read, so that it
	// matches at most when the rest does; with DoubtAll, nothing of it is sure.
	Doubt    *Missing
	DoubtAll bool
}

// Dropped is a part of a rule that did not reach the proxy.
type Dropped struct {
	Origin origin.Origin
	Reason string
}

// Clause is one entry of `to` or `from`: all its conditions must hold. Without
// conditions it always matches.
type Clause struct {
	Origin     origin.Origin
	Conditions []Condition
}

// Condition is one field of an entry: it holds when one of the matchers matches,
// or, negated, when none does.
type Condition struct {
	Origin origin.Origin
	// Attribute is what is compared, in the policy's words: "paths", or the key of
	// a `when` such as "request.auth.claims[groups]".
	Attribute string
	Negated   bool
	// Values are what the policy says, in its own words.
	Values   []string
	Matchers []Matcher
}

// JWTAuthn is envoy.filters.http.jwt_authn with the one rule that Istio writes.
type JWTAuthn struct {
	// Providers are in the order of their names, origins-0 first.
	Providers []Provider
	// Requirement is the tree that a request has to satisfy.
	Requirement Requirement
	// BypassCORSPreflight lets preflights pass without a look at tokens.
	BypassCORSPreflight bool
	// WithoutBypass says why preflights are not let through, where they are not.
	WithoutBypass string
}

// Requirement is a node of the requirement tree.
type Requirement struct {
	// Kind says which of the other fields counts.
	Kind     RequirementKind
	Provider int // index into Providers, for RequireProvider
	Children []Requirement
}

// RequirementKind is the kind of a requirement node.
type RequirementKind uint8

// The kinds of nodes that Istio uses.
const (
	RequireProvider RequirementKind = iota
	RequireAny
	RequireAll
	AllowMissing // only as a child of RequireAny
)

// Provider is one JWT provider: one entry of jwtRules.
type Provider struct {
	Name      string
	Issuer    string // empty accepts any
	Audiences []string
	Keys      KeySource
	Locations []Location
	Forward   bool
	// PayloadHeader receives the payload; empty for none.
	PayloadHeader string
	// ClaimHeaders are headers that receive a claim each.
	ClaimHeaders []ClaimHeader
	// SpaceDelimited are the claims that become lists of words.
	SpaceDelimited []string
	Origin         origin.Origin
	// Dropped are fields of the rule that did not reach the proxy.
	Dropped []Dropped
}

// ClaimHeader copies a claim into a header.
type ClaimHeader struct{ Header, Claim string }

// LocationKind is where in a request a token may be.
type LocationKind uint8

// The kinds of locations.
const (
	InHeader LocationKind = iota
	InParam
	InCookie
)

// Location is one place where a provider looks for tokens.
type Location struct {
	Kind   LocationKind
	Name   string
	Prefix string // of a header's value
	Origin origin.Origin
}

// Fetcher is who obtains the keys of a provider.
type Fetcher uint8

// The fetchers.
const (
	Inline        Fetcher = iota // jwks in the object
	ControlPlane                 // istiod fetches and pushes
	ProxyFetch                   // the proxy fetches
	NotDocumented                // it is not documented that anybody fetches (ASM before 1.13)
)

// KeySource says where a provider's keys come from.
type KeySource struct {
	Fetcher Fetcher
	// Inline is the document itself, for Inline.
	Inline string
	// URI is fetched; empty with ControlPlane means discovery at the issuer.
	URI    string
	Issuer string
	// NoCluster says that the proxy is to fetch through a cluster that it does not
	// have: every fetch fails.
	NoCluster bool
	// ShortName says that the control plane is to fetch from a host that is the short
	// name of a Service of another namespace: it cannot resolve it.
	ShortName bool
	// NoTime says that the rule's timeout leaves the control plane no time: every
	// fetch fails.
	NoTime bool
}

func (*JWTAuthn) filter() {}
func (*RBAC) filter()     {}
func (*ExtAuthz) filter() {}
func (*Opaque) filter()   {}

// Matcher is one value of a condition, compiled. The implementations are one file
// a family: match_string.go, match_path.go, match_ip.go, match_identity.go, match_jwt.go.
type Matcher interface {
	// match tests the value against the request.
	match(s *state) Tri
	// got is what the request brought for it, for a person to read; none where
	// the attribute is absent.
	got(s *state) string
	// kind numbers the family, for branches.
	kind() Branch
}
