package keycheck

import (
	"slices"
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// APIVersion and ReportKind are those of the JSON form.
const (
	APIVersion = diagnose.APIVersion
	ReportKind = "KeyReport"
)

// Verdict says what becomes of good tokens.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Refused Verdict = "refused" // some or all good tokens are refused, or bad ones pass
	Unknown Verdict = "unknown"
	Unused  Verdict = "unused" // the rule reaches no workload that was asked about
)

// Report is the whole answer.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Context    string `json:"context,omitempty"`
	// Live says that a cluster was asked.
	Live bool `json:"live"`
	// Verdict is that of the worst rule; unknown where there is none, or where there may be
	// others that could not be read, which Unread names.
	Verdict Verdict `json:"verdict"`
	Unread  string  `json:"unread,omitempty"`
	// Elsewhere are the namespaces that have rules where none reaches what was asked about.
	Elsewhere []string       `json:"rulesIn,omitempty"`
	Rules     []Rule         `json:"rules"`
	Fixes     []Fix          `json:"fixes"`
	Gaps      []diagnose.Gap `json:"gaps"`
}

// Rule is what was found out about one jwtRule. Where a listener is refused for a reason
// that names no rule, all rules of the proxy have the finding.
type Rule struct {
	Object    diagnose.Place `json:"object"`
	Issuer    string         `json:"issuer,omitempty"`
	URI       string         `json:"jwksUri,omitempty"`
	Fetcher   Fetcher        `json:"fetchedBy"`
	FetcherBy string         `json:"fetchedBySource,omitempty"`
	Server    *Server        `json:"server,omitempty"`
	Fetches   []Fetch        `json:"fetches"`
	// Keys are those of the rule itself, or of a file that was given for it.
	Keys      *Keys    `json:"keys,omitempty"`
	Workloads []string `json:"workloads"`
	Proxies   []Holder `json:"proxies"`
	// Token is what became of the token that was given; nil: it is not for this rule.
	Token    *TokenCheck        `json:"token,omitempty"`
	Verdict  Verdict            `json:"verdict"`
	Summary  string             `json:"summary"`
	Findings []diagnose.Finding `json:"findings"`
}

// Fetcher is who gets the keys of a rule.
type Fetcher string

// The fetchers.
const (
	ByControlPlane Fetcher = "control plane"
	ByProxy        Fetcher = "proxy"
	ByDiscovery    Fetcher = "discovery" // the control plane asks the issuer where the keys are
	ByNobody       Fetcher = "inline"
	Undocumented   Fetcher = "unknown"
)

// Server is what the objects say of the host of a jwksUri.
type Server struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	// Place is "in the cluster", "in the mesh" (by a ServiceEntry) or "outside".
	Place string `json:"place"`
	// Service and ServiceEntry are NAMESPACE/NAME.
	Service         string `json:"service,omitempty"`
	ServiceEntry    string `json:"serviceEntry,omitempty"`
	Ready           *int   `json:"readyEndpoints,omitempty"`
	DestinationRule string `json:"destinationRule,omitempty"`
	// TLS is the mode with which proxies of the workload connect; empty: plaintext, or
	// Istio's own mTLS where the server takes it.
	TLS string `json:"tls,omitempty"`
	SNI string `json:"sni,omitempty"`
	// MTLS is the effective mode of the server's own port, where a proxy guards it.
	MTLS string `json:"mtls,omitempty"`
}

// Holder is what the proxy of one pod holds for a rule.
type Holder struct {
	Pod   string `json:"pod"` // NAMESPACE/NAME
	State State  `json:"state"`
	Keys  *Keys  `json:"keys,omitempty"`
	// Hidden is the URI that a placeholder hides.
	Hidden string `json:"placeholderUri,omitempty"`
	Note   string `json:"note,omitempty"`
}

// State is what keys a proxy holds.
type State string

// The states.
const (
	Holds       State = "keys"        // keys, which are not compared with any others
	Same        State = "current"     // the keys at the URI
	Old         State = "old"         // others than at the URI
	Placeholder State = "placeholder" // keys that fit no token
	Forgeable   State = "forgeable"   // a placeholder whose private half is public
	Fetches     State = "fetches"     // it fetches them itself
	NoCluster   State = "no cluster"  // it is to fetch them, and cannot
	Absent      State = "absent"      // it does not have the rule
	Broken      State = "refused"     // it refuses its newest configuration
	NotAsked    State = "not asked"
)

// TokenCheck is what a rule's keys make of the token that was given. It never holds a
// part of the token but its kid and alg.
type TokenCheck struct {
	Kid string `json:"kid,omitempty"`
	Alg string `json:"alg,omitempty"`
	// InProxies and AtURI are the statuses of a proxy, "" for a token that verifies;
	// nil: there are no such keys to try.
	InProxies *string `json:"inProxies,omitempty"`
	AtURI     *string `json:"atUri,omitempty"`
}

// Fix is what to do about a finding. Its number, from 1, is its place in the list.
type Fix struct {
	Code    diag.Code      `json:"code"`
	Rule    diagnose.Place `json:"rule"`
	Summary string         `json:"summary"`
	// Manifest is what to apply; Command what to run.
	Manifest string `json:"manifest,omitempty"`
	Command  string `json:"command,omitempty"`
	// KeysOf is whose keys have to be given first, in the form of --jwks KeysOf=FILE, and Why
	// what why is to be asked: who knows the command line makes the Command of them.
	KeysOf string   `json:"-"`
	Why    []string `json:"-"`
	// Objects are what Manifest is to be made of, by who can write them.
	Objects []*scaffold.Object `json:"-"`
}

// worst is the verdict of several rules; of none, nothing is known. On a cluster, rules
// that reach nothing refuse nothing; in files, what they reach may not be among them.
func worst(rules []Rule, live bool) Verdict {
	if len(rules) == 0 {
		return Unknown
	}
	order := []Verdict{Unused, OK, Unknown, Refused}
	at := 0
	for _, r := range rules {
		at = max(at, slices.Index(order, r.Verdict))
	}
	if order[at] == Unused && live {
		return OK // there is nothing that could refuse a token
	}
	if order[at] == Unused {
		return Unknown
	}
	return order[at]
}

// Has reports whether a rule has a finding of a code.
func (r *Rule) Has(code diag.Code) bool {
	return slices.ContainsFunc(r.Findings, func(f diagnose.Finding) bool { return f.Code == code })
}

// severityOrder puts what to act on first.
func severityOrder(s diag.Severity) int {
	return slices.Index([]diag.Severity{diag.Error, diag.Warning, diag.Info}, s)
}

// Unseen is the URI of a rule whose proxies hold keys that nobody could compare with
// what is there; empty: there is none.
func (r *Report) Unseen() string {
	for _, rule := range r.Rules {
		for _, h := range rule.Proxies {
			if h.State == Holds && rule.Fetcher == ByControlPlane {
				return rule.URI
			}
		}
	}
	return ""
}

// Settled reports whether every proxy has the keys that are at its rule's URI, as far as
// proxies hold keys at all, and good tokens pass.
func (r *Report) Settled() bool {
	return r.Unseen() == "" && !slices.ContainsFunc(r.Rules, func(rule Rule) bool { return rule.Verdict != OK && rule.Verdict != Unused })
}

// Progress says in a line how far the proxies are.
func (r *Report) Progress() string {
	have, all := 0, 0
	for _, rule := range r.Rules {
		for _, h := range rule.Proxies {
			all++
			if h.State == Same || rule.Verdict == OK && h.State != Holds {
				have++
			}
		}
	}
	return strconv.Itoa(have) + " of " + strconv.Itoa(all) + " proxies have the keys that are at the URI"
}
