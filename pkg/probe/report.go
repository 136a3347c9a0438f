package probe

import (
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
)

// APIVersion and ReportKind are those of the JSON form.
const (
	APIVersion = "asmjwt.dev/v1alpha1"
	ReportKind = "Probe"
)

// Report is the whole answer. Nothing in it holds a token.
type Report struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Summary    Summary `json:"summary"`
	// From is who sent the requests, and To where they went.
	From From `json:"from"`
	To   To   `json:"to"`
	// Clock is the clock of who answered, held against the time that was predicted for.
	Clock    *Clock             `json:"clock,omitempty"`
	Rows     []Row              `json:"rows"`
	Findings []diagnose.Finding `json:"findings"`
	Gaps     []diagnose.Gap     `json:"gaps"`
	// Fixes are what why offers for the row that Next is about, where the mesh does as
	// predicted and that is not what was wanted. Their numbers are those of why's -o fix=N.
	Fixes []diagnose.Fix `json:"fixes"`
	// Next are commands to go on with: of jwks where the reason lies in keys, and of why.
	Next []string `json:"next,omitempty"`
}

// Summary counts rows.
type Summary struct {
	Rows         int `json:"rows"`
	Agree        int `json:"agree"`
	Differ       int `json:"differ"`
	Undetermined int `json:"undetermined"`
	NotSeen      int `json:"notSeen"`
	// Unexpected are those that are not as --expect says, whatever was predicted.
	Unexpected int `json:"unexpected"`
}

// From is who sent the requests.
type From struct {
	// Local says that it was this machine; the rest is then empty.
	Local     bool   `json:"local,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`
	// Image is that of the ephemeral container, where one was asked for.
	Image string `json:"image,omitempty"`
	// Proxy says that the pod has a proxy of the mesh.
	Proxy bool `json:"proxy"`
	// Client is what sent them: "curl", "GNU wget".
	Client string `json:"client,omitempty"`
}

// To is where the requests went.
type To struct {
	URL string `json:"url"`
	// Address is where they were sent in the place of the URL's host.
	Address string `json:"address,omitempty"`
	// Hops are the proxies on the way, and Target what they lead to.
	Hops   []string        `json:"hops"`
	Target diagnose.Target `json:"target"`
}

// Clock is what the Date header of the answers says of a clock.
type Clock struct {
	// Of is whose clock it is.
	Of string `json:"of"`
	// AheadSeconds is how far it is ahead of the time that was predicted for, which
	// Reference names; negative: behind.
	AheadSeconds int64  `json:"aheadSeconds"`
	Reference    string `json:"reference"`
}

// Outcome is what came of a row.
type Outcome string

// The outcomes.
const (
	Agrees       Outcome = "Agrees"
	Differs      Outcome = "Differs"
	Undetermined Outcome = "Undetermined" // the prediction was; what was seen is one of its possibilities
	NotSeen      Outcome = "NotSeen"      // there is nothing to hold against the prediction
)

// Row is one request.
type Row struct {
	Name  string `json:"name"`
	Token Kind   `json:"token"`
	// Method and Path are the request's.
	Method    string           `json:"method"`
	Path      string           `json:"path"`
	Predicted diagnose.Verdict `json:"predicted"`
	// Because is why that was predicted, and Code leads to the page about it.
	Because string    `json:"because,omitempty"`
	Code    diag.Code `json:"code,omitempty"`
	// Observed is what was seen; nil: nothing.
	Observed *Seen `json:"observed"`
	// AnsweredBy is who answered.
	AnsweredBy observe.By `json:"answeredBy"`
	Outcome    Outcome    `json:"outcome"`
	// Note says how they agree, or why nothing was seen.
	Note string `json:"note,omitempty"`
	// Expected is what --expect says of the row; empty: nothing. Met says whether it is so;
	// nil: not known.
	Expected string `json:"expected,omitempty"`
	Met      *bool  `json:"met,omitempty"`
	// Reasons are what may be behind a difference, the likeliest first.
	Reasons []diagnose.Reason `json:"reasons,omitempty"`
	// Summary is the prediction in a few words, for people.
	Summary string `json:"-"`
}

// Seen is an answer.
type Seen struct {
	// Status is that of HTTP; 0: closed without an answer.
	Status     int    `json:"status"`
	GRPCStatus *int   `json:"grpcStatus,omitempty"`
	Body       string `json:"body,omitempty"`
	// WWWAuthenticate is the header of a denial by JWT.
	WWWAuthenticate string `json:"wwwAuthenticate,omitempty"`
	Server          string `json:"server,omitempty"`
	// Millis is how long the exchange took, in milliseconds; 0: not known.
	Millis int64 `json:"millis,omitempty"`
	// Words are the answer in a few words, for people.
	Words string `json:"-"`
}

// SeenWords are what was seen in a few words, for people. What an application says where
// all is well is its own affair.
func (r Row) SeenWords() string {
	switch o := r.Observed; {
	case o == nil:
		return "nothing"
	case r.AnsweredBy.Kind == observe.ByApplication && o.Status/100 == 2 && o.GRPCStatus == nil:
		return strconv.Itoa(o.Status)
	default:
		return o.Words
	}
}

// Unexpected reports whether a row is not as it was to be.
func (r Row) Unexpected() bool { return r.Met != nil && !*r.Met }

// Unknown reports whether it could not be found out whether a row is as it should be.
func (r Row) Unknown() bool {
	if r.Expected != "" {
		return r.Met == nil
	}
	return r.Outcome == NotSeen || r.Outcome == Undetermined
}

// summarize counts the rows.
func (r *Report) summarize() {
	s := Summary{Rows: len(r.Rows)}
	for _, row := range r.Rows {
		switch row.Outcome {
		case Agrees:
			s.Agree++
		case Differs:
			s.Differ++
		case Undetermined:
			s.Undetermined++
		case NotSeen:
			s.NotSeen++
		}
		if row.Unexpected() {
			s.Unexpected++
		}
	}
	r.Summary = s
}
