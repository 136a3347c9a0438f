// Package scaffold turns an intent into the objects that belong together:
// RequestAuthentication and AuthorizationPolicy as a pair, with the ServiceEntry and
// the DestinationRule that keys outside the mesh need. It refuses what would not do
// what it seems to do, and computes with the evaluator what the objects come to.
//
// It is part of the core: no clock, no files, no network, no writer. It imports
// pkg/mesh, pkg/istio, pkg/envoy, pkg/jwks, pkg/diagnose and pkg/version; pkg/cmd and
// pkg/render import it.
package scaffold

import (
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Intent is what a user wants.
type Intent struct {
	// Name is that of the objects; empty: made from what they apply to.
	Name string
	// Namespace is that of the command line.
	Namespace string
	Where     Where
	Issuers   []Issuer
	// Open is set where nobody needs a token: then bad tokens alone are refused.
	Open bool
	// SkipPaths need no token, by a DENY policy with a double negation; AllowPaths
	// need none by an ALLOW policy, which refuses everything else.
	SkipPaths, AllowPaths []string
	// Claims are what a token must have: each of them.
	Claims []Claim
	// Preflight lets browsers ask with OPTIONS, without a token.
	Preflight bool
	// Probes lets the health checks of the pods pass without a token.
	Probes bool
	// NoSub is for issuers whose tokens have no subject.
	NoSub   bool
	Fetcher Fetcher
	// Insecure takes what is known to be dangerous and has no other word.
	Insecure bool
	// Version is the control plane's; the zero value is what the objects tell, or the
	// newest. ASM says that it is one of Alibaba Cloud Service Mesh.
	Version version.Version
	ASM     bool
	// Partial says that of other namespaces nothing was read.
	Partial bool
}

// Where says what the policies apply to; one field is set.
type Where struct {
	Target mesh.Target
	// Selector are labels of pods.
	Selector map[string]string
	// Gateway is a classic gateway, by the name of its Deployment, Service,
	// IstioGateway or Gateway.
	Gateway    string
	TargetRefs []TargetRef
	// WholeNamespace is every workload of the namespace, WholeMesh of the mesh.
	WholeNamespace, WholeMesh bool
}

// TargetRef names what a waypoint or a gateway of the Gateway API serves.
type TargetRef struct{ Kind, Name string }

// Issuer is one who signs tokens, and where tokens are.
type Issuer struct {
	Issuer string
	// JWKSURI is where the keys are; JWKS are the keys themselves, as a document.
	JWKSURI string
	JWKS    []byte
	// JWKSName is what errors call the document.
	JWKSName string
	// Discovered says that JWKSURI is what the issuer says of itself.
	Discovered  bool
	Audiences   []string
	FromHeaders []FromHeader
	FromParams  []string
	FromCookies []string
	// Forward leaves the token in the request.
	Forward      bool
	OutputClaims []OutputClaim
	// Addresses are those of the server at JWKSURI, where its name is not in DNS.
	Addresses []string
	// CA is who signs the server's certificate, where the proxy does not know it: the
	// path of a file in the proxy, or secret:NAME.
	CA string
}

// FromHeader is a header that carries a token behind a prefix.
type FromHeader struct{ Name, Prefix string }

// OutputClaim is a header that gets the value of a claim.
type OutputClaim struct{ Header, Claim string }

// Claim is what a token must have: one of the values.
type Claim struct {
	// Path are the names on the way to the claim; a plain claim has one.
	Path   []string
	Values []string
}

// Key is how a policy names the claim.
func (c Claim) Key() string {
	key := "request.auth.claims"
	for _, name := range c.Path {
		key += "[" + name + "]"
	}
	return key
}

// Fetcher is who fetches keys from a jwksUri.
type Fetcher string

// The fetchers. Auto is what the objects tell; where they tell nothing, what is made
// works with either.
const (
	Auto     Fetcher = "auto"
	ByIstiod Fetcher = "istiod"
	ByEnvoy  Fetcher = "envoy"
)

// Refusal says why something is not made, and what to do instead.
type Refusal struct {
	Problem string
	Hint    string
}

// Error is the problem, one line.
func (e *Refusal) Error() string { return e.Problem }

// HintLine is what to do instead.
func (e *Refusal) HintLine() string { return e.Hint }

func refuse(hint, format string, args ...any) error {
	return &Refusal{Problem: fmt.Sprintf(format, args...), Hint: hint}
}
