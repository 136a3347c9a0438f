package envoy

import "github.com/asmjwt/kubectl-asmjwt/pkg/origin"

// Decision is the answer in a word.
type Decision string

// The decisions.
const (
	Allowed      Decision = "Allowed"
	Denied       Decision = "Denied"
	Undetermined Decision = "Undetermined"
)

// Verdict is what the client gets.
type Verdict struct {
	Decision Decision
	// Status is what the client's HTTP stack reads: 200 when the request is handed
	// to the router, 0 when there is no HTTP answer (the connection is closed) or
	// when it is not known.
	Status int
	// GRPCStatus is set for a gRPC reply, whose Status is 200.
	GRPCStatus *int
	// Body is what the client reads; for a gRPC reply it is the message.
	Body string
	// Details is RESPONSE_CODE_DETAILS of the access log; for a closed connection
	// the reason in our words.
	Details string
	// WWWAuthenticate is the header of a 401 or 403 by JWT.
	WWWAuthenticate string
	// DecidedBy is the field that decided; nil where nothing can be named.
	DecidedBy *origin.Origin
	// Possible are the verdicts that are left when it is Undetermined, the most
	// severe first, without repetition.
	Possible []Verdict
	// On are the facts that an Undetermined verdict depends on.
	On Deps
}

// Outcome is what a step of the walk came to.
type Outcome string

// The outcomes.
const (
	Matched    Outcome = "Matched"
	NotMatched Outcome = "NotMatched"
	Skipped    Outcome = "Skipped"
	Undecided  Outcome = "Unknown"
)

// Stage is the part of the proxy that a step belongs to.
type Stage string

// The stages in the order in which a request meets them.
const (
	StageConnection Stage = "connection"
	StageCodec      Stage = "codec"
	StagePath       Stage = "path"
	StageCustom     Stage = "custom"
	StageJWT        Stage = "jwt"
	StageAudit      Stage = "audit"
	StageDeny       Stage = "deny"
	StageAllow      Stage = "allow"
	StageUnmodelled Stage = "unmodelled"
	StageRouter     Stage = "router"
)

// Step is one step of the walk, with the smaller steps that it is made of.
type Step struct {
	Stage   Stage
	Origin  origin.Origin
	Outcome Outcome
	// Attribute is what a condition compares: "paths", "request.headers[x-role]".
	Attribute string
	// Want is what the field asks for, Got what the request brought, Note what
	// there is to say; all are safe to print, with strangers' words still unquoted.
	Want, Got, Note string
	// Values are what a condition of a policy lists, in its own words, and Negated says
	// that it holds where none of them matches.
	Values  []string
	Negated bool
	// Status is Envoy's own word for a failure ("Jwt is expired").
	Status string
	// Shadow is set for policies that are evaluated but not enforced.
	Shadow bool
	Steps  []Step
	On     Deps
}

// Trace is the answer with all that led to it.
type Trace struct {
	Verdict Verdict
	Steps   []Step
	// Upstream is the request as the application gets it; set when it is Allowed
	// and nothing unknown has touched it.
	Upstream *Upstream
	// Passages are all ways in which the request may get through, each with what
	// leaves the proxy; none where it is denied whatever is not known.
	Passages []Passage
	// Seen is the request as the proxy had it when the walk ended; nil where the
	// proxy refused its configuration.
	Seen *Seen
	// Branches are the branches of the evaluation that this request reached.
	Branches BranchSet
}

// Upstream is the request as it leaves the proxy, as far as this package knows it.
type Upstream struct {
	Method, Authority, Path string
	Headers                 []Header // lower-case names, in order
	// Unknown are headers that exist with values that are not known, Missing the
	// reasons in the same order.
	Unknown []string
	Missing []*Missing
	// Scheme is the scheme of the request, as the proxy has it.
	Scheme string
	// Entered is the request as routes see it, where that is not what leaves: a route is
	// chosen before the filters, and again only where a token was verified
	// (Envoy source/extensions/filters/http/jwt_authn/authenticator.cc:clear_route_cache).
	Entered *Upstream
	// Bytes says that the bytes went through as they are: nothing else counts then.
	Bytes bool
}

// Passage is one way in which a request gets through a proxy.
type Passage struct {
	Upstream *Upstream
	// On are the facts that this way depends on.
	On Deps
	// Unsure is set where something that is not modelled may have changed the request
	// on this way: Upstream is what leaves if it does not.
	Unsure *Missing
}

// Remove takes all lines of a header off. Names are lower-case here and below.
func (u *Upstream) Remove(name string) {
	var headers []Header
	for _, h := range u.Headers {
		if h.Name != name {
			headers = append(headers, h)
		}
	}
	u.Headers = headers
	for i := len(u.Unknown) - 1; i >= 0; i-- {
		if u.Unknown[i] == name {
			u.Unknown = append(u.Unknown[:i:i], u.Unknown[i+1:]...)
			u.Missing = append(u.Missing[:i:i], u.Missing[i+1:]...)
		}
	}
}

// Set makes a header have one line with this value.
func (u *Upstream) Set(name, value string) {
	u.Remove(name)
	u.Headers = append(u.Headers, Header{Name: name, Value: value})
}

// SetUnknown makes a header have one line of which the value is not known.
func (u *Upstream) SetUnknown(name string, m *Missing) {
	u.Remove(name)
	u.Unknown, u.Missing = append(u.Unknown, name), append(u.Missing, m)
}

// Add appends a line, as a proxy does: some headers have one line for all values.
func (u *Upstream) Add(name, value string) {
	var all headerMap
	for _, h := range u.Headers {
		all = append(all, headerLine{name: h.Name, value: h.Value})
	}
	all.add(name, value)
	u.Headers = nil
	for _, l := range all {
		u.Headers = append(u.Headers, Header{Name: l.name, Value: l.value})
	}
}
