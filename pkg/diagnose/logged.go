package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// LogLine is what a line of the proxy's own log says of a request, whoever read it.
type LogLine struct {
	// From says where the line stood: "the log of pod foo/httpbin-1".
	From   string
	Time   string // RFC 3339, empty where the line has none
	Status int    // 0: it has none
	// Details are RESPONSE_CODE_DETAILS, or for bytes why the connection ended; empty
	// where the line has none.
	Details string
	// Rule is the rule that the details name, NoneAllowed that they say no ALLOW policy
	// matched, and BadToken that a token was refused.
	Rule                  origin.Origin
	NoneAllowed, BadToken bool
	// DryRun says that the rule was only recorded.
	DryRun bool
	GRPC   bool
}

// Logged is the line as a part of the answer, with what becomes of the rule that it
// names.
type Logged struct {
	From    string `json:"from"`
	Time    string `json:"time,omitempty"`
	Status  int    `json:"status"`
	Details string `json:"responseCodeDetails,omitempty"`
	// Rule is what the line names, and Outcome what becomes of it for this request by
	// the objects as they are now; empty where it is not among what the proxy looks at.
	Rule    *Place        `json:"rule,omitempty"`
	Outcome envoy.Outcome `json:"outcome,omitempty"`
	Steps   []Step        `json:"steps,omitempty"`
	// Gone says that the rule does not exist any more.
	Gone bool `json:"gone,omitempty"`
	// Decides says that the verdict is the line's, since the request was seen in part only.
	Decides bool `json:"decides,omitempty"`
	// Note is what there is to say of the rule besides.
	Note string `json:"note,omitempty"`
}

// What a line of a log does not tell, each with the flag that does.
var (
	loggedHeaders = &envoy.Missing{
		What: "the request's headers and token", Why: "the log does not tell them", Hint: "-H 'NAME: VALUE', and --jwt-file FILE, or -H 'authorization:' for none",
	}
	loggedMethod = &envoy.Missing{What: "the request's method", Why: "the log does not tell it", Hint: "--method METHOD"}
	loggedHost   = &envoy.Missing{What: "the host that is asked for", Why: "the log does not tell it", Hint: "--host NAME"}
	loggedPath   = &envoy.Missing{What: "the request's path", Why: "the log does not tell it", Hint: "--path PATH"}
)

// UnseenIn says what is not known of a request that a log tells of.
func UnseenIn(method, path bool) *envoy.Unseen {
	u := &envoy.Unseen{Headers: loggedHeaders}
	if !method {
		u.Method = loggedMethod
	}
	if !path {
		u.Path = loggedPath
	}
	return u
}

// BeforeRewrite is for a path of a log that may not be the one that policies saw: a proxy
// in front that rewrites paths leaves the original one in x-envoy-original-path, and that
// is what a sidecar logs (Istio pilot/pkg/model/telemetry_logging.go:EnvoyTextLogFormat,
// Envoy source/common/router/config_impl.cc:finalizePathHeader).
func BeforeRewrite(u envoy.Unseen) *envoy.Unseen {
	u.Path = &envoy.Missing{
		What: "the request's path", Why: "the log shows it as it was before a proxy in front rewrote it", Hint: "--path PATH, as this proxy gets it",
	}
	return &u
}

// TakeLog holds the answer against a line of the proxy's log: it looks for the rule that
// the line names, and lets the line decide where the answer hangs on what the line does
// not tell.
func (d *Diagnosis) TakeLog(l LogLine, snap *mesh.Snapshot) {
	out := &Logged{From: l.From, Time: l.Time, Status: l.Status, Details: l.Details}
	d.Log = out
	if !l.Rule.IsZero() {
		d.findLogged(l, snap, out)
	}
	if d.Verdict.Decision != envoy.Undetermined || l.DryRun || !d.mayDecide(l, out) {
		return
	}
	out.Decides = true
	d.Verdict = Verdict{Decision: envoy.Denied, Status: l.Status, ResponseCodeDetails: l.Details, DecidedBy: out.Rule}
	d.Possibilities, d.DependsOn = nil, nil
	d.Summary, d.Code = "by the proxy's log", diag.PolicyDenied
	switch {
	case l.NoneAllowed:
		d.Verdict.Body, d.Code = rbacBody, diag.NoPolicyAllowed
		d.Because = "the proxy's log says that no ALLOW policy matched; what the request had besides was not seen"
	case l.BadToken:
		d.Verdict.Body, d.Verdict.DecidedBy = tokenBody(l.Details), d.onlyIssuer()
		d.Code = codeOf(envoy.Step{Stage: envoy.StageJWT, Status: d.Verdict.Body})
		d.Because = "the proxy's log says what was wrong with the token; the token was not seen"
	case !l.Rule.IsZero():
		d.Verdict.Body = rbacBody
		d.tellMatched(out)
	default:
		d.Verdict.Decision, d.Verdict.Status, d.Code = envoy.Allowed, 200, ""
		d.Because = "the proxy's log says that the request was handed on, and that the answer is not that of a policy"
	}
	if l.GRPC && d.Verdict.Decision == envoy.Denied {
		code := 16
		if !l.BadToken {
			code = 7
		}
		d.Verdict.GRPCStatus = &code
	}
	if d.Verdict.Status == 0 {
		d.Verdict.Body = ""
	}
}

// onlyIssuer is the rule for tokens, where only one reaches the workload.
func (d *Diagnosis) onlyIssuer() *Place {
	for _, s := range d.Trace {
		if s.Stage == envoy.StageJWT && s.Object != nil {
			p := *s.Object
			p.Field = s.Field
			return &p
		}
	}
	return nil
}

// rbacBody is the body of a denial by policy (Envoy
// source/extensions/filters/http/rbac/rbac_filter.cc:decodeHeaders).
const rbacBody = "RBAC: access denied"

// tokenBody is the body of a denial by JWT, of which the details have the blanks
// replaced (Envoy source/extensions/filters/http/jwt_authn/filter.cc:onComplete).
func tokenBody(details string) string {
	_, reason, _ := strings.Cut(strings.TrimSuffix(details, "}"), "{")
	return strings.ReplaceAll(reason, "_", " ")
}

// mayDecide reports whether the line is one of the answers that are left.
func (d *Diagnosis) mayDecide(l LogLine, found *Logged) bool {
	left := func(fits func(Possibility) bool) bool {
		return len(d.Gaps) > 0 || slices.ContainsFunc(d.Possibilities, fits)
	}
	switch {
	case l.Details == "":
		return false
	case !l.Rule.IsZero():
		return !found.Gone && found.Outcome != envoy.NotMatched && (found.Outcome != "" || len(d.Gaps) > 0)
	case l.NoneAllowed:
		return left(func(p Possibility) bool { return p.Details == l.Details })
	case l.BadToken:
		return left(func(p Possibility) bool { return strings.HasPrefix(p.Details, "jwt_authn_access_denied") })
	default:
		return l.Details == "via_upstream" && left(func(p Possibility) bool { return p.Decision == envoy.Allowed })
	}
}

// findLogged looks what becomes of the rule that a line names.
func (d *Diagnosis) findLogged(l LogLine, snap *mesh.Snapshot, out *Logged) {
	out.Rule = place(l.Rule)
	if st := stepOf(d.Trace, *out.Rule); st != nil {
		out.Outcome, out.Steps = st.Outcome, st.Steps
		return
	}
	if snap == nil {
		out.Gone, out.Note = true, "the proxy does not hold it any more"
		d.ruleGone(l, out.Note)
		return
	}
	name := l.Rule.Ref.String()
	o := snap.Find(mesh.GroupSecurity, l.Rule.Kind, l.Rule.Namespace, l.Rule.Name)
	switch unread := snap.Unread(mesh.GroupSecurity, l.Rule.Kind, l.Rule.Namespace, l.Rule.Name); {
	case l.Rule.Kind != "AuthorizationPolicy":
		out.Note = "it is not the work of an AuthorizationPolicy"
	case o == nil && unread != nil:
		out.Note = "whether it is still there is not known: " + unread.Why
	case o == nil:
		out.Gone = true
		out.Note = "there is no " + name + " any more"
	case ruleCount(o) <= ruleIndex(l.Rule.Field):
		out.Gone = true
		out.Note = fmt.Sprintf("%s has no %s any more, but %s", name, l.Rule.Field, counted(ruleCount(o), "rule", "rules"))
	default:
		out.Note = d.whyNotLooked(l.Rule)
	}
	if out.Gone {
		d.ruleGone(l, out.Note)
	}
}

func (d *Diagnosis) ruleGone(l LogLine, note string) {
	d.Findings = append(d.Findings, Finding{
		Code: diag.LoggedRuleGone, Severity: diag.Warning, Object: &Place{Kind: l.Rule.Kind, Namespace: l.Rule.Namespace, Name: l.Rule.Name}, Field: l.Rule.Field,
		Message: "the log names " + l.Rule.String() + ", and " + note + ": the request was refused by what was in force then",
	})
}

// whyNotLooked says of a rule that exists why the proxy does not come to it.
func (d *Diagnosis) whyNotLooked(rule origin.Origin) string {
	for _, s := range d.Skipped {
		if s.Object.Kind == rule.Kind && s.Object.Namespace == rule.Namespace && s.Object.Name == rule.Name {
			return "it does not reach the workload: " + s.Why
		}
	}
	return "the request does not get as far as that"
}

// stepOf is the step of the walk for a rule.
func stepOf(steps []Step, rule Place) *Step {
	for i := range steps {
		s := &steps[i]
		if found := stepOf(s.Steps, rule); found != nil { // a stage has the place of the rule that decides
			return found
		}
		if o := s.Object; o != nil && !s.DryRun && o.Kind == rule.Kind && o.Namespace == rule.Namespace && o.Name == rule.Name && s.Field == rule.Field {
			return s
		}
	}
	return nil
}

func ruleIndex(field string) int {
	n, err := strconv.Atoi(strings.Trim(strings.TrimPrefix(field, "spec.rules"), "[]"))
	if err != nil {
		return 0
	}
	return n
}

func ruleCount(o *mesh.Object) int {
	spec, err := o.RawSpec()
	if err != nil {
		return 0
	}
	rules, _ := spec["rules"].([]any)
	return len(rules)
}

// lastForwarded is the address that a gateway has appended to x-forwarded-for: that of
// its peer (Envoy source/common/http/conn_manager_utility.cc:mutateRequestHeaders).
func lastForwarded(list string) netip.Addr {
	parts := strings.Split(list, ",")
	a, err := netip.ParseAddr(strings.TrimSpace(parts[len(parts)-1]))
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// RunUnlogged is the answer where the log of the target's proxy is what was asked about,
// and could not be read: nothing is known of the request.
func RunUnlogged(in Intent, snap *mesh.Snapshot, w mesh.Workload, gap Gap) *Diagnosis {
	m := &envoy.Missing{What: gap.What, Why: gap.Why, Hint: "run it again; --request-timeout says how long to wait"}
	if gap.Permission != "" {
		m.Hint = "ask for: " + gap.Permission
	}
	d := unanswered(in, snap, w, envoy.Deps{m})
	d.Gaps = append(d.Gaps, gap)
	return d
}
