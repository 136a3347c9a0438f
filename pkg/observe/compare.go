package observe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Question is what was asked, and a way to ask it again with something changed.
type Question struct {
	Intent diagnose.Intent
	// Ask answers it from the same objects; nil: it cannot be asked again.
	Ask func(diagnose.Intent) (*diagnose.Diagnosis, error)
	// Way is what the request passed, where that is known.
	Way Way
}

// Compare holds what was seen against a diagnosis.
func Compare(a Answer, d *diagnose.Diagnosis, q Question) *diagnose.Observed {
	out := &diagnose.Observed{
		Status: a.Status, GRPCStatus: a.GRPCStatus, Body: capped(a.Body), ResponseCodeDetails: capped(a.Details),
		Words: a.String(), Reasons: []diagnose.Reason{},
	}
	out.Agrees, out.Note = agrees(a, d)
	if note, ok := closedBehind(a, d.Verdict, q.Way); ok {
		out.Agrees, out.Note = true, note
	}
	if !out.Agrees {
		out.Reasons, out.Lead = reasons(a, d, q)
	}
	return out
}

// capped keeps the beginning of a long text.
func capped(s string) string {
	const most = 1024
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// agrees reports whether an answer is what a diagnosis says, and how.
func agrees(a Answer, d *diagnose.Diagnosis) (bool, string) {
	v := d.Verdict
	switch {
	case a.Unreachable:
		return false, ""
	case v.Decision != envoy.Undetermined:
		return fits(a, v)
	}
	for _, p := range d.Possibilities {
		one := diagnose.Verdict{Decision: p.Decision, Status: p.Status, Body: p.Body, ResponseCodeDetails: p.Details}
		if ok, _ := fits(a, one); ok {
			note := "it is one of the answers that are left"
			if len(p.DependsOn) > 0 {
				note += ", and so says something of " + strings.Join(p.DependsOn, ", ")
			}
			return true, note
		}
	}
	return false, ""
}

// fits reports whether an answer is what a verdict says. Allowed stands for
// whatever the application answers.
func fits(a Answer, v diagnose.Verdict) (bool, string) {
	switch {
	case a.Unreachable:
		return false, ""
	case v.Decision == envoy.Denied && v.Status == 0:
		return a.Status == 0 && a.GRPCStatus == nil, ""
	case a.Status == 0:
		return false, ""
	case v.Decision == envoy.Denied:
		return denies(a, v), ""
	}
	if a.GRPCStatus != nil {
		return author(a.Body) == byOthers && (a.BodyKnown || *a.GRPCStatus != 7 && *a.GRPCStatus != 16), ""
	}
	switch {
	case denied(a):
		return false, ""
	case a.Status/100 == 2:
		return true, ""
	case author(a.Body) == byRouter, routing(a):
		return true, "the policies let it pass; the proxy then found no way to the application"
	case a.Status != 401 && a.Status != 403:
		return true, "the policies let it pass; the status is not one of theirs"
	case a.BodyKnown && a.Body != "" || a.Details == "via_upstream":
		return true, "the policies let it pass; the answer looks like the application's own"
	default:
		return false, ""
	}
}

// denies reports whether an answer is a certain denial, as far as it was seen.
func denies(a Answer, v diagnose.Verdict) bool {
	status, body := a.Status, strings.TrimSpace(a.Body)
	switch {
	case v.GRPCStatus != nil:
		return a.GRPCStatus != nil && *a.GRPCStatus == *v.GRPCStatus && (!a.BodyKnown || body == v.Body)
	case a.GRPCStatus != nil, status != v.Status:
		return false
	case a.Details != "" && a.Details != "-" && v.ResponseCodeDetails != "":
		return a.Details == v.ResponseCodeDetails
	case a.BodyKnown:
		return body == v.Body
	}
	if length, ok := a.header("content-length"); ok && a.HeadersKnown {
		return length == fmt.Sprint(len(v.Body)) // of HEAD, which has no body
	}
	return true
}

// denied reports whether an answer is for sure a denial by a policy of some proxy.
func denied(a Answer) bool {
	if strings.HasPrefix(a.Details, "rbac_access_denied") || strings.HasPrefix(a.Details, "jwt_authn_access_denied") {
		return true
	}
	if who := author(a.Body); who == byRBAC || who == byJWT {
		return true
	}
	length, ok := a.header("content-length")
	return ok && !a.BodyKnown && a.Status == 403 && length == fmt.Sprint(len(rbacBody))
}

// routing reports whether an access log says that a proxy found no way on.
func routing(a Answer) bool {
	if strings.HasPrefix(a.Details, "route_not_found") || strings.HasPrefix(a.Details, "cluster_not_found") {
		return true
	}
	return slices.ContainsFunc(strings.Split(a.Flags, ","), func(f string) bool {
		return slices.Contains([]string{"NR", "UH", "UF", "NC", "UO", "URX"}, f)
	})
}

// search collects reasons.
type search struct {
	a     Answer
	d     *diagnose.Diagnosis
	q     Question
	found []weighed
}

// weighed is a reason with its rank: those that fit are above all others.
type weighed struct {
	diagnose.Reason
	weight int
	// lead is the reason in a few words, for one that is as good as certain.
	lead string
}

// mostReasons is how many reasons anybody reads.
const mostReasons = 5

// reasons are what may be behind a difference, the likeliest first, and that one in a few
// words where the answer itself tells.
func reasons(a Answer, d *diagnose.Diagnosis, q Question) (out []diagnose.Reason, lead string) {
	s := &search{a: a, d: d, q: q}
	if a.Unreachable {
		return []diagnose.Reason{{
			Cause: "hop", Message: "no connection came about: no proxy was asked", Evidence: "curl got no connection",
			Try: "see to the name, the port and the network first",
		}}, ""
	}
	s.request()
	s.token()
	s.clock()
	s.keys()
	s.identity()
	s.policy()
	s.log()
	s.others()
	slices.SortStableFunc(s.found, func(x, y weighed) int { return cmp.Compare(y.weight, x.weight) })
	for _, w := range s.found[:min(mostReasons, len(s.found))] {
		out = append(out, w.Reason)
	}
	return out, s.found[0].lead
}

func (s *search) add(weight int, r diagnose.Reason) {
	s.found = append(s.found, weighed{Reason: r, weight: weight})
}

// lead gives the reason that was added last its few words.
func (s *search) lead(text string) {
	if len(s.found) > 0 {
		s.found[len(s.found)-1].lead = text
	}
}

// again asks the question with a change, and reports whether the answer would be
// what was seen. An answer that is not determined fits nothing.
func (s *search) again(change func(*diagnose.Intent)) bool {
	if s.q.Ask == nil {
		return false
	}
	in := s.q.Intent
	in.Headers = slices.Clone(in.Headers)
	change(&in)
	d, err := s.q.Ask(in)
	if err != nil || d.Verdict.Decision == envoy.Undetermined {
		return false
	}
	ok, _ := fits(s.a, d.Verdict)
	return ok
}

// fitting adds a reason that was asked again, if the answer would be what was seen.
func (s *search) fitting(weight int, r diagnose.Reason, change func(*diagnose.Intent)) bool {
	if !s.again(change) {
		return false
	}
	const above = 100
	r.Fits = true
	s.add(above+weight, r)
	return true
}
