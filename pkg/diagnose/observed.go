package diagnose

// Observed is what somebody saw of the answer, held against the verdict.
type Observed struct {
	Status              int    `json:"status"` // 0: closed without an answer
	GRPCStatus          *int   `json:"grpcStatus,omitempty"`
	Body                string `json:"body,omitempty"`
	ResponseCodeDetails string `json:"responseCodeDetails,omitempty"`
	// Agrees says that what was seen is what the verdict says, or one of the things
	// that an Undetermined one leaves.
	Agrees bool `json:"agrees"`
	// Note says how they agree, where that is not plain.
	Note string `json:"note,omitempty"`
	// Reasons are what may be behind a difference, the likeliest first. None is certain.
	Reasons []Reason `json:"reasons"`
	// Lead is the first reason in a few words, where the answer itself tells it.
	Lead string `json:"-"`
	// Words are the answer in a few words, for people.
	Words string `json:"-"`
}

// Reason is something that may be behind a difference.
type Reason struct {
	// Cause is one of request, token, clock, keys, identity, hop, application, bypass,
	// push and pod.
	Cause   string `json:"cause"`
	Message string `json:"message"`
	// Evidence is what speaks for it; empty where nothing does but that it happens.
	Evidence string `json:"evidence,omitempty"`
	// Fits says that the question was asked again with this changed, and the verdict
	// was what was seen.
	Fits bool `json:"fits"`
	// Try is what to do to find out.
	Try string `json:"try,omitempty"`
}
