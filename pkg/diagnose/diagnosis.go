// Package diagnose answers the question: a request and a snapshot of a mesh go in,
// a Diagnosis comes out, with the verdict, the walk that led to it and what was
// found on the way. It is part of the core: no clock, no network, no writer.
//
// It imports pkg/mesh, pkg/istio, pkg/envoy, pkg/jwt, pkg/jwks, pkg/diag and
// pkg/origin; pkg/cmd and pkg/render import it.
package diagnose

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// APIVersion and Kind are those of the JSON form, which is stable within v1alpha1.
const (
	APIVersion = "asmjwt.dev/v1alpha1"
	Kind       = "Diagnosis"
)

// Diagnosis is the whole answer. Nothing in it holds a token or a signature.
type Diagnosis struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Verdict    Verdict `json:"verdict"`
	Request    Request `json:"request"`
	Target     Target  `json:"target"`
	Trace      []Step  `json:"trace"`
	Hops       []Hop   `json:"hops,omitempty"`
	// NotReached are the hops behind the one that decides, where the request does not
	// get there.
	NotReached []Target  `json:"notReached,omitempty"`
	Groups     []Group   `json:"groups,omitempty"`
	Findings   []Finding `json:"findings"`
	Fixes      []Fix     `json:"fixes"`
	// WhatIf is the answer with other objects; everything else is without them.
	WhatIf  *WhatIf      `json:"whatIf,omitempty"`
	Assumed []Assumption `json:"assumed"`
	Gaps    []Gap        `json:"gaps"`
	// Tokens are what is known of the tokens in the request.
	Tokens []Token `json:"tokens,omitempty"`
	// Summary is the reason in a few words, Because in a sentence or two, and Code
	// leads to the page about it.
	Summary string    `json:"summary,omitempty"`
	Because string    `json:"because,omitempty"`
	Code    diag.Code `json:"code,omitempty"`
	// Possibilities are the verdicts that an Undetermined one may turn out to be, the
	// most severe first, each with the facts that it depends on.
	Possibilities []Possibility `json:"possibilities,omitempty"`
	// DependsOn are the facts that an Undetermined verdict needs.
	DependsOn []Dependency `json:"dependsOn,omitempty"`
	// Skipped are the policies that were looked at and do not reach the proxy.
	Skipped []Skipped `json:"skipped,omitempty"`
	// Evidence says what the answer rests on, where a proxy could be asked.
	Evidence *Evidence `json:"evidence,omitempty"`
	// Log is the line of the proxy's log that the question is about, if it is about one.
	Log *Logged `json:"log,omitempty"`
	// Observed is what was seen of the answer, if that was given.
	Observed *Observed `json:"observed,omitempty"`
	// Branches are the branches of the evaluation that were reached, for tests.
	Branches envoy.BranchSet `json:"-"`
	// Upstream is the request as the application gets it, for tests and later hops.
	// It and WWWAuthenticate may hold tokens: they are in no output form.
	Upstream *envoy.Upstream `json:"-"`
	// WWWAuthenticate is the header of a denial by JWT.
	WWWAuthenticate string `json:"-"`
}

// List holds the answers where several clusters were asked.
type List struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Items      []*Diagnosis `json:"items"`
}

// NewList puts answers together.
func NewList(items []*Diagnosis) *List {
	return &List{APIVersion: APIVersion, Kind: Kind + "List", Items: items}
}

// WhatIf is the answer with objects laid on top of those that were read.
type WhatIf struct {
	Verdict Verdict `json:"verdict"`
	Summary string  `json:"summary,omitempty"`
	Because string  `json:"because,omitempty"`
	// Differs is the first step that comes out otherwise, else the first that differs in
	// what it compares; nil where none does.
	Differs *Difference `json:"differs,omitempty"`
}

// Difference is a step of the walk before and after a change; nil where it is not there.
type Difference struct {
	Before *Step `json:"before,omitempty"`
	After  *Step `json:"after,omitempty"`
}

// Verdict is what the client gets.
type Verdict struct {
	Decision            envoy.Decision `json:"decision"`
	Status              int            `json:"status"`
	GRPCStatus          *int           `json:"grpcStatus,omitempty"`
	Body                string         `json:"body,omitempty"`
	ResponseCodeDetails string         `json:"responseCodeDetails,omitempty"`
	Possible            []int          `json:"possible,omitempty"`
	DecidedBy           *Place         `json:"decidedBy"`
}

// Possibility is one of the verdicts that are left.
type Possibility struct {
	Decision  envoy.Decision `json:"decision"`
	Status    int            `json:"status"`
	Body      string         `json:"body,omitempty"`
	Details   string         `json:"responseCodeDetails,omitempty"`
	DependsOn []string       `json:"dependsOn,omitempty"`
}

// Place is a field of an object.
type Place struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Field     string `json:"field,omitempty"`
}

// Request is the request as it was understood; tokens are redacted.
type Request struct {
	Method    string   `json:"method"`
	Host      string   `json:"host,omitempty"`
	Path      string   `json:"path"`
	Port      int      `json:"port,omitempty"`
	Protocol  string   `json:"protocol"`
	Headers   []Header `json:"headers,omitempty"`
	Transport string   `json:"transport"`
	Identity  string   `json:"identity"`
	SourceIP  string   `json:"sourceIP,omitempty"`
	Time      string   `json:"time"` // RFC 3339
	// Unseen are the parts of the request that were not seen: headers, method, path.
	Unseen []string `json:"unseen,omitempty"`
	// StrayTokens are the places of tokens that no rule of the proxy looks for.
	StrayTokens []string `json:"strayTokens,omitempty"`
}

// Header is one header line.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Target is the workload that was asked about.
type Target struct {
	Kind         string   `json:"kind"`
	Namespace    string   `json:"namespace"`
	Name         string   `json:"name"`
	Role         string   `json:"role"`
	Pods         []string `json:"pods,omitempty"`
	FromTemplate bool     `json:"fromTemplate,omitempty"`
	// Context is that of the kubeconfig, where a cluster was read.
	Context      string `json:"context,omitempty"`
	Port         int    `json:"port,omitempty"`
	Protocol     string `json:"protocol,omitempty"`
	MTLS         string `json:"mtls,omitempty"`
	ProxyVersion string `json:"proxyVersion,omitempty"`
	VersionFrom  string `json:"versionFrom,omitempty"`
	// IstiodVersion is the control plane's, and where it comes from.
	IstiodVersion     string `json:"istiodVersion,omitempty"`
	IstiodVersionFrom string `json:"istiodVersionFrom,omitempty"`
}

// Step is one step of the walk.
type Step struct {
	Stage     envoy.Stage   `json:"stage"`
	Object    *Place        `json:"object,omitempty"`
	Field     string        `json:"field,omitempty"`
	Attribute string        `json:"attribute,omitempty"`
	Outcome   envoy.Outcome `json:"outcome"`
	Want      string        `json:"want,omitempty"`
	Got       string        `json:"got,omitempty"`
	Note      string        `json:"note,omitempty"`
	Status    string        `json:"status,omitempty"`
	Code      diag.Code     `json:"code,omitempty"`
	DryRun    bool          `json:"dryRun,omitempty"`
	DependsOn []string      `json:"dependsOn,omitempty"`
	Steps     []Step        `json:"steps,omitempty"`
}

// Hop is one proxy on the way, where there are several.
type Hop struct {
	Target  Target  `json:"target"`
	Verdict Verdict `json:"verdict"`
	Trace   []Step  `json:"trace"`
	// Request is the request as it reaches the hop, where it does.
	Request *Request `json:"request,omitempty"`
	// Because is the reason for the hop's verdict in a sentence.
	Because string `json:"because,omitempty"`
}

// Group is the verdict for some of the target's pods, or for one of its ports.
type Group struct {
	Pods    []string `json:"pods"`
	Summary string   `json:"summary,omitempty"`
	Port    int      `json:"port,omitempty"`
	Verdict Verdict  `json:"verdict"`
}

// Finding is something worth knowing, whether or not it decided.
type Finding struct {
	Code     diag.Code     `json:"code"`
	Severity diag.Severity `json:"severity"`
	Message  string        `json:"message"`
	Object   *Place        `json:"object,omitempty"`
	Field    string        `json:"field,omitempty"`
}

// Fix is a change that was evaluated again: of objects where it has a manifest, else of
// the request. Its number, from 1, is its place in the list.
type Fix struct {
	Summary string `json:"summary"`
	// Manifest is what to apply: the objects whole, several as documents.
	Manifest string `json:"manifest,omitempty"`
	// Proved says that the verdict was seen to change; else Note names what it hangs on.
	Proved bool `json:"proved"`
	// Partial says that it mends a mistake, and something else stands in the way then,
	// which Note names: StatusAfter is not what was wanted yet.
	Partial bool `json:"partial,omitempty"`
	// Widens says that requests without a token get in, or others than the one that was
	// asked about; Opens has examples.
	Widens      bool `json:"widens"`
	StatusAfter int  `json:"statusAfter"`
	// Hint is how the request is to be asked, in flags, for a change of the request.
	Hint  string   `json:"hint,omitempty"`
	Opens []string `json:"opens,omitempty"`
	// Note is what to know before it is applied.
	Note string `json:"note,omitempty"`
	// Neighbours are the requests that were asked before and after a change of objects.
	Neighbours *Neighbours `json:"neighbours,omitempty"`
}

// Neighbours counts requests like the one that was asked about, and those whose answer
// a fix changes: Opened get through that did not, Closed no longer do.
type Neighbours struct {
	Checked int `json:"checked"`
	Opened  int `json:"opened"`
	Closed  int `json:"closed"`
}

// Assumption is a setting that nobody said.
type Assumption struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
	Source  string `json:"source"`
}

// Gap is something that could not be read.
type Gap struct {
	What       string `json:"what"`
	Why        string `json:"why"`
	Permission string `json:"permission,omitempty"`
}

// Dependency is a fact that is missing.
type Dependency struct {
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
	Hint string `json:"hint,omitempty"`
}

// Skipped is a policy that does not reach the proxy.
type Skipped struct {
	Object Place  `json:"object"`
	Why    string `json:"why"`
}

// Token is what a token says of itself, not verified.
type Token struct {
	Location  string   `json:"location"`
	WellForm  bool     `json:"wellFormed"`
	Problem   string   `json:"problem,omitempty"`
	Issuer    string   `json:"issuer,omitempty"`
	Subject   string   `json:"subject,omitempty"`
	Audiences []string `json:"audiences,omitempty"`
	Kid       string   `json:"kid,omitempty"`
	Alg       string   `json:"alg,omitempty"`
	Expires   uint64   `json:"expires,omitempty"` // seconds since the epoch; 0: never
	NotBefore uint64   `json:"notBefore,omitempty"`
}

func place(o origin.Origin) *Place {
	if o.IsZero() {
		return nil
	}
	return &Place{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Field: o.Field}
}
