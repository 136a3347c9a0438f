package probe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// Trial is one row with all that is known of it.
type Trial struct {
	Shot   Shot
	Result Result
	// Diagnosis is what was predicted, and Question what was asked for it.
	Diagnosis *diagnose.Diagnosis
	Question  observe.Question
	// Again is the same after a second look, where the first one differed: nil, there
	// was none.
	Again *Trial
}

// Hold holds what was seen against what was predicted. Fixed says that the time of the
// predictions was given, and is not the one of this machine.
func Hold(trials []Trial, expectations []Expectation, fixed bool) *Report {
	r := &Report{APIVersion: APIVersion, Kind: ReportKind, Rows: []Row{}, Findings: []diagnose.Finding{}, Fixes: []diagnose.Fix{}, Gaps: []diagnose.Gap{}, To: To{Hops: []string{}}}
	pushed := 0
	for _, t := range trials {
		row := t.row(expectations)
		if row.Outcome == Differs && t.Again != nil {
			again := t.Again.row(expectations)
			if again.Outcome == Agrees {
				pushed++
				again.Note = "at the second look: at the first it was " + row.SeenWords()
			}
			row, t = again, *t.Again
		}
		r.Rows = append(r.Rows, row)
		r.adopt(t.Diagnosis)
		if len(r.To.Hops) == 0 {
			r.To.Hops = append(r.To.Hops, t.Question.Way.Hops...)
		}
	}
	r.Clock = clockOf(trials, fixed)
	r.blame(pushed)
	r.summarize()
	return r
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// row holds one answer against its prediction.
func (t Trial) row(expectations []Expectation) Row {
	d, s := t.Diagnosis, t.Shot
	row := Row{
		Name: s.Name, Token: s.Kind, Method: s.Request.Method, Path: s.Path,
		Predicted: d.Verdict, Because: d.Because, Code: d.Code, Summary: d.Summary,
	}
	e := expected(expectations, s)
	if e != nil {
		row.Expected = e.String()
	}
	a, why := t.Result.answer()
	if why != "" {
		row.Outcome, row.Note = NotSeen, why
		row.AnsweredBy = observe.By{Kind: observe.ByNobody, Name: "nobody", Evidence: why}
		return row
	}
	way := t.Question.Way
	seen := observe.Compare(a, d, t.Question)
	row.Observed = t.Result.seen(seen)
	row.AnsweredBy = a.By(way, decider(d, way, seen.Agrees && d.Verdict.Decision != envoy.Undetermined))
	row.Note = seen.Note
	switch {
	case a.Routed(way) && len(way.Hops) > 0 && row.AnsweredBy.Name != way.Hops[len(way.Hops)-1]:
		row.Outcome, row.Note = NotSeen, fmt.Sprintf("%s found no way on, so that %s was not asked", row.AnsweredBy.Name, way.Hops[len(way.Hops)-1])
	case d.Verdict.Decision == envoy.Undetermined && (seen.Agrees || len(d.Possibilities) == 0):
		row.Outcome, row.Note = Undetermined, dependsOn(d)
	case !seen.Agrees:
		row.Outcome, row.Reasons = Differs, seen.Reasons
	default:
		row.Outcome = Agrees
	}
	if e != nil {
		met := e.met(a, way)
		row.Met = &met
	}
	return row
}

// dependsOn is what an undetermined prediction needs to be known.
func dependsOn(d *diagnose.Diagnosis) string {
	if len(d.DependsOn) == 0 {
		return ""
	}
	on := d.DependsOn[0]
	text := "the prediction depends on " + on.What
	if on.Why != "" {
		text += ": " + on.Why
	}
	if strings.HasPrefix(on.Hint, "ask for: ") { // others name flags of why
		text += "; " + on.Hint
	}
	return text
}

// Differs reports whether something else was seen than was predicted.
func (t Trial) Differs() bool { return t.row(nil).Outcome == Differs }

// decider is the hop that was predicted to decide, where what was seen is that.
func decider(d *diagnose.Diagnosis, w observe.Way, agrees bool) string {
	if !agrees || len(w.Hops) == 0 {
		return ""
	}
	for i, h := range d.Hops {
		if h.Verdict.Decision == envoy.Denied && i < len(w.Hops) {
			return w.Hops[i]
		}
	}
	return w.Hops[len(w.Hops)-1]
}

// answer is the reply as observe reads it; why says that there is none to read.
func (r Result) answer() (a observe.Answer, why string) {
	if r.Reply == nil {
		return a, cmp.Or(r.Unsent, "it was not sent")
	}
	if f := r.Reply.Failure; f != nil && r.Reply.Status == 0 {
		switch f.Kind {
		case wire.Closed, wire.Cut, wire.Protocol, wire.TLSHandshake:
			return observe.Answer{}, ""
		default:
			return a, f.Error()
		}
	}
	return observe.FromReply(r.Reply.Status, r.Reply.Headers, r.Reply.Body, r.Reply.BodyKnown), ""
}

// seen is the answer as the report has it.
func (r Result) seen(o *diagnose.Observed) *Seen {
	const most = 1024
	out := &Seen{Status: o.Status, GRPCStatus: o.GRPCStatus, Body: o.Body, Words: o.Words, Millis: r.Reply.Took.Milliseconds()}
	out.Body = strings.ToValidUTF8(out.Body[:min(len(out.Body), most)], "")
	out.WWWAuthenticate, _ = r.Reply.Header("www-authenticate")
	out.Server, _ = r.Reply.Header("server")
	return out
}

// leeway is how far a clock may be off before it is worth a word: what Envoy allows
// (jwt_verify_lib/verify.h:kClockSkewInSecond).
const leeway = 60

// timeOfAt is the reference where the time was given, and no clock was read.
const timeOfAt = "--at"

// clockOf is the clock of who answered, by the Date headers: a proxy's own where it
// answered itself, else that of the application, which has the proxy's (Envoy
// source/common/http/conn_manager_impl.cc:encodeHeaders keeps what is there). The median
// counts, so that an answer out of a cache does not.
func clockOf(trials []Trial, fixed bool) *Clock {
	var ahead []int64
	of := "who answers"
	for _, t := range trials {
		if t.Result.Reply == nil {
			continue
		}
		text, ok := t.Result.Reply.Header("date")
		at, err := time.Parse(time.RFC1123, text)
		if !ok || err != nil {
			continue
		}
		reference := t.Result.At
		if fixed {
			reference = t.Question.Intent.Time
		}
		ahead = append(ahead, at.Unix()-reference)
		if hops := t.Question.Way.Hops; len(hops) > 0 {
			of = hops[len(hops)-1]
		}
	}
	if len(ahead) == 0 {
		return nil
	}
	slices.Sort(ahead)
	c := &Clock{Of: of, AheadSeconds: ahead[len(ahead)/2], Reference: "this machine's clock"}
	if fixed {
		c.Reference = timeOfAt
	}
	return c
}

// String says which clock is how far off.
func (c Clock) String() string {
	n, word := c.AheadSeconds, "ahead of"
	if n < 0 {
		n, word = -n, "behind"
	}
	return fmt.Sprintf("the clock of %s is %s %s %s", c.Of, span(n), word, map[bool]string{true: "the time of --at", false: "this machine's"}[c.Reference == timeOfAt])
}

// span is a time in the two largest units that it has.
func span(seconds int64) string {
	units := []struct {
		n    int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}
	var out []string
	for _, u := range units {
		if n := seconds / u.n; n > 0 && len(out) < 2 {
			out = append(out, fmt.Sprintf("%d %s", n, u.name))
			seconds %= u.n
		} else if len(out) > 0 {
			break
		}
	}
	if len(out) == 0 {
		return "0 s"
	}
	return strings.Join(out, " ")
}
