// Package keycheck answers whether the keys of each jwtRule get to the proxies that need
// them, and whether they fit the tokens: who fetches them, what is in the way, what is
// at the jwksUri, and what the proxies hold.
//
// What was seen comes in as Evidence, whoever saw it; Check decides, and that is all it
// does: no clock, no network, no files, no writer. A rule is "ok" where what was seen
// shows that good tokens pass, "refused" where it shows that they do not, and else
// "unknown". What this machine can reach shows neither.
//
// It is part of the core. It imports pkg/mesh, pkg/istio, pkg/envoy, pkg/jwks, pkg/jwt,
// pkg/diagnose, pkg/scaffold and pkg/diag; pkg/kube (for what has to be read),
// pkg/render and pkg/cmd import it.
package keycheck

import (
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Evidence is what was seen.
type Evidence struct {
	Snapshot *mesh.Snapshot
	// Workloads are those that the question is about.
	Workloads []mesh.Workload
	// Namespaces are those whose rules are listed even where they reach none of the
	// workloads; nil: only rules that reach one.
	Namespaces []string
	// Live says that a cluster was asked. Then only what proxies hold makes a rule ok.
	Live    bool
	Proxies []Proxy
	Fetches []Fetch
	Files   []diagnose.KeyFile
	// Token is one that should pass; nil: none was given.
	Token *jwt.Token
	Now   time.Time
	// CA is the authority of key servers, for the DestinationRules that are offered: a
	// file in the proxy's container, or secret:NAME.
	CA   string
	Gaps []diagnose.Gap
	// ProxyVersion and IstiodVersion are as in diagnose.Intent.
	ProxyVersion, IstiodVersion string
}

// Proxy is what one pod's proxy holds.
type Proxy struct {
	Namespace, Pod string
	// Providers are its JWT providers; those of one rule may come more than once.
	Providers []envoy.Provider
	// Clusters are those through which it fetches keys, by URI.
	Clusters map[string]Cluster
	// Refused are listeners whose newest configuration it does not take.
	Refused []diagnose.RefusedListener
	// Unasked is why it could not be asked; empty: it was.
	Unasked string
}

// Cluster is where a proxy fetches keys.
type Cluster struct {
	// Exists is false where the proxy has no cluster of that name.
	Exists bool
	// TLS says that the proxy speaks TLS to it, with SNI as the server name.
	TLS bool
	SNI string
	// Traffic is what the proxy has seen of it; nil: it did not tell.
	Traffic *Traffic
}

// Traffic is what went through a cluster, whoever sent it.
type Traffic struct {
	Hosts             int
	Answers, Failures uint64
}

// Way is how a fetch was made.
type Way string

// The ways. ByMachine never shows that a rule is ok.
const (
	ByServiceProxy Way = "service-proxy" // the API server asks the Service
	ByPortForward  Way = "port-forward"  // this program, on the loopback address of the server's pod
	ByExec         Way = "exec"          // curl or wget in a pod
	ByMachine      Way = "this-machine"
)

// Kind says what became of a fetch.
type Kind string

// The kinds; those of failures are the words of pkg/fetch.
const (
	Fetched     Kind = "fetched" // status 200 and a body, whatever is in it
	BadURL      Kind = "url"
	Name        Kind = "name"      // the host does not resolve
	Connect     Kind = "connect"   // refused, reset, no route
	Certificate Kind = "cert"      // the certificate was not accepted
	Timeout     Kind = "timeout"   // no whole answer in time
	Redirect    Kind = "redirect"  // an answer that names another place
	Status      Kind = "status"    // any other status than 200
	TooLarge    Kind = "too-large" // a body above the limit
	Unable      Kind = "unable"    // it could not be tried at all
)

// Fetch is one attempt to read a jwksUri.
type Fetch struct {
	URI string `json:"-"`
	Way Way    `json:"way"`
	// From is the vantage, in words.
	From string `json:"from"`
	// Sidecar says that it went through a sidecar.
	Sidecar bool `json:"sidecar,omitempty"`
	Kind    Kind `json:"result"`
	Status  int  `json:"status,omitempty"`
	// Problem and Hint are for a person.
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Location is where a redirect leads.
	Location    string `json:"location,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	Body        []byte `json:"-"`
	// TLSUnchecked says that the server's certificate was not looked at.
	TLSUnchecked    bool       `json:"tlsUnchecked,omitempty"`
	CertificateEnds *time.Time `json:"certificateEnds,omitempty"`
	// Keys is what a proxy makes of the body.
	Keys *Keys `json:"keys,omitempty"`
}

// Keys is a document as a proxy reads it.
type Keys struct {
	Usable  int       `json:"usable"`
	Dropped []Dropped `json:"dropped,omitempty"`
	// Names are the kids of the usable keys, "" where one has none.
	Names []string `json:"kids,omitempty"`
	// Problem is why a proxy can use none of it.
	Problem string `json:"problem,omitempty"`
	// Ends is when the first of the certificates in it ends.
	Ends *time.Time `json:"certificateEnds,omitempty"`
}

// Dropped is a key that proxies leave out.
type Dropped struct {
	Kid    string `json:"kid,omitempty"`
	Reason string `json:"reason"`
}
