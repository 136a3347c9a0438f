package render

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

// Probe writes what real requests got, for a person: the answer in a line, the rows, and
// below each that is not as it should be why.
func Probe(w io.Writer, r *probe.Report, style *Style) error {
	p := &page{style: style}
	p.probeAnswer(r)
	p.line("")
	p.probeScene(r)
	p.probeRows(r)
	if len(r.Fixes) > 0 {
		p.line("")
		p.fixes(r.Fixes)
	}
	p.probeNotes(r)
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// probeAnswer is the first line: what to act on.
func (p *page) probeAnswer(r *probe.Report) {
	paint, text := p.style.good.Sprint, "ok: "+ProbeLine(r)
	switch s := r.Summary; {
	case s.Unexpected > 0 || s.Differ > 0:
		paint, text = p.style.bad.Sprint, ProbeLine(r)
	case unknownRow(r) != nil:
		paint, text = p.style.doubt.Sprint, "? "+ProbeLine(r)
	case refusedRow(r) != nil:
		paint, text = p.style.bad.Sprint, ProbeLine(r)
	case forgedRow(r) != nil:
		paint, text = p.style.bad.Sprint, ProbeLine(r)
	case opened(r) != nil:
		paint, text = p.style.doubt.Sprint, ProbeLine(r)
	}
	first, rest, _ := strings.Cut(text, " ")
	p.WriteString(paint(first) + " ")
	p.hanging(4, runeLen(first)+1, rest)
}

// ProbeLine is a report in a line.
func ProbeLine(r *probe.Report) string {
	s := r.Summary
	switch {
	case s.Differ > 0:
		row := firstRow(r, func(row probe.Row) bool { return row.Outcome == probe.Differs })
		text := fmt.Sprintf("differs: %s; %s gets %s, predicted %s", ofRows(s.Differ, s.Rows), rowName(r, row), clean(row.SeenWords()), verdictOf(row))
		if len(row.Reasons) > 0 {
			text += ": " + clean(row.Reasons[0].Message)
		}
		if code := blamed(r); code != "" {
			text += " (" + string(code) + ")"
		}
		return text
	case s.Unexpected > 0:
		row := firstRow(r, probe.Row.Unexpected)
		text := fmt.Sprintf("unexpected: %s; %s gets %s, and not %s", ofRows(s.Unexpected, s.Rows), rowName(r, row), clean(row.SeenWords()), row.Expected)
		return text + becauseOf(row)
	case unknownRow(r) != nil:
		row := unknownRow(r)
		n := 0
		for _, other := range r.Rows {
			if other.Unknown() {
				n++
			}
		}
		text := fmt.Sprintf("could not find out %s; %s: ", ofRows(n, s.Rows), rowName(r, row))
		if row.Outcome == probe.NotSeen {
			return text + clean(row.Note)
		}
		return text + "it gets " + clean(row.SeenWords()) + ", and " + clean(cmp.Or(row.Note, "the prediction is undetermined"))
	}
	text := "as predicted, all " + strconv.Itoa(s.Rows)
	if s.Rows == 1 {
		text = "as predicted"
	}
	if row := refusedRow(r); row != nil {
		return fmt.Sprintf("refused: %s gets %s%s; %s", rowName(r, row), clean(row.SeenWords()), becauseOf(row), text)
	}
	if row := forgedRow(r); row != nil {
		return "open: even a token with a broken signature gets through" + becauseOf(row) + "; " + text
	}
	if opened(r) != nil {
		return "open: requests without a token get through; " + text
	}
	return text
}

// becauseOf is why a row was to be expected to get what it gets.
func becauseOf(row *probe.Row) string {
	text := ""
	if row.Summary != "" {
		text = ": " + clean(row.Summary)
	}
	if row.Code != "" {
		text += " (" + string(row.Code) + ")"
	}
	return text
}

// forgedRow is a token that nobody has signed and that gets through.
func forgedRow(r *probe.Report) *probe.Row {
	return firstRow(r, func(row probe.Row) bool {
		return row.Token == probe.Broken && row.Outcome == probe.Agrees && row.Predicted.Decision == envoy.Allowed && row.Expected == ""
	})
}

// opened is a row without a token, where all of those get through and nobody has said that
// they are to; nil: there is none.
func opened(r *probe.Report) *probe.Row {
	shut := firstRow(r, func(row probe.Row) bool {
		return row.Token == probe.None && (row.Predicted.Decision != envoy.Allowed || row.Expected != "" || row.Name != "no token")
	})
	given := firstRow(r, func(row probe.Row) bool { return row.Token == probe.Given })
	if shut != nil || given == nil {
		return nil
	}
	return firstRow(r, func(row probe.Row) bool { return row.Token == probe.None })
}

func unknownRow(r *probe.Report) *probe.Row { return firstRow(r, probe.Row.Unknown) }

// refusedRow is a token that was given and gets nowhere.
func refusedRow(r *probe.Report) *probe.Row {
	return firstRow(r, func(row probe.Row) bool {
		return row.Token == probe.Given && row.Outcome == probe.Agrees && row.Predicted.Decision == envoy.Denied && row.Expected == ""
	})
}

func firstRow(r *probe.Report, is func(probe.Row) bool) *probe.Row {
	for i, row := range r.Rows {
		if is(row) {
			return &r.Rows[i]
		}
	}
	return nil
}

// blamed is the code of the likeliest cause of a difference.
func blamed(r *probe.Report) diag.Code {
	if len(r.Findings) == 0 {
		return ""
	}
	return r.Findings[0].Code
}

func ofRows(n, all int) string {
	if n == all && n == 1 {
		return "the only request"
	}
	return fmt.Sprintf("%d of %d", n, all)
}

// rowName is a row's name, with its path where there are several.
func rowName(r *probe.Report, row *probe.Row) string {
	if severalPaths(r) {
		return clean(row.Name) + " at " + solid(row.Path)
	}
	return clean(row.Name)
}

func severalPaths(r *probe.Report) bool {
	return firstRow(r, func(row probe.Row) bool { return row.Path != r.Rows[0].Path }) != nil
}

// verdictOf is what was predicted, in a few words.
func verdictOf(row *probe.Row) string {
	v := row.Predicted
	switch {
	case v.Decision == envoy.Undetermined:
		return strings.TrimSpace("? " + possible(v.Possible))
	case v.Decision == envoy.Allowed:
		return "200"
	case v.GRPCStatus != nil:
		return fmt.Sprintf("grpc-status %d", *v.GRPCStatus)
	case v.Status == 0:
		return "closed"
	}
	return strconv.Itoa(v.Status)
}

// predictedOf is the prediction with who decides: "403 test-exclude[0]", "401 Jwt is expired".
func predictedOf(row *probe.Row) string {
	text := verdictOf(row)
	by := row.Predicted.DecidedBy
	if by == nil || row.Predicted.Decision != envoy.Denied {
		if row.Predicted.Decision == envoy.Denied && row.Predicted.Status == 403 {
			return text + " no policy allows"
		}
		return text
	}
	text += " " + by.Name
	if rule, rest, ok := strings.Cut(strings.TrimPrefix(by.Field, "spec.rules"), "]"); ok && strings.HasPrefix(rule, "[") && rest == "" {
		text += rule + "]"
	}
	return clean(text)
}

// probeScene says who sent what to where.
func (p *page) probeScene(r *probe.Report) {
	to := clean(r.To.URL)
	if r.To.Address != "" {
		to += " at " + clean(r.To.Address)
	}
	p.labelled("to", to+wayWords(r))
	f := r.From
	if f.Local {
		p.labelled("from", "this machine")
		return
	}
	text := clean(f.Namespace+"/"+f.Name) + " (pod " + solid(f.Pod) + ", container " + solid(f.Container)
	if f.Client != "" {
		text += ", " + clean(f.Client)
	}
	text += ")"
	if !f.Proxy {
		text += ", without a proxy of its own"
	}
	p.labelled("from", text)
}

func wayWords(r *probe.Report) string {
	t := r.To.Target
	if t.Name == "" {
		return ""
	}
	role := t.Role
	switch {
	case role == "none" && t.ProxyVersion == "":
		role = "no proxy"
	case role == "none": // it was not judged
		role = "proxy"
	}
	text := ": " + clean(t.Namespace+"/"+t.Name) + ", " + clean(role)
	if len(r.To.Hops) > 1 {
		text = ": " + clean(r.To.Hops[0]) + ", then" + strings.TrimPrefix(text, ":")
	}
	if t.ProxyVersion != "" {
		text += " " + clean(t.ProxyVersion)
	}
	return text
}

// probeNotes are the clock, what the prediction found, gaps and the next step.
func (p *page) probeNotes(r *probe.Report) {
	p.line("")
	for _, f := range r.Findings {
		if f.Severity == diag.Info || reasonOfARow(r, f) {
			continue
		}
		p.labelled(string(f.Severity), clean(f.Message)+" ("+string(f.Code)+")")
	}
	for _, g := range r.Gaps {
		text := clean(g.What) + ": " + clean(g.Why)
		if g.Permission != "" {
			text += "; ask for: " + clean(g.Permission)
		}
		p.labelled("not known", text)
	}
	for _, next := range r.Next {
		p.WriteString(p.style.strong.Sprint("next") + strings.Repeat(" ", 8))
		p.shell(12, clean(next))
		what := "the whole walk and the fixes"
		if strings.Contains(next, " jwks ") {
			what = "what is in the way of the keys, and the fixes"
		}
		p.labelled("", "it tells "+what+"; -o fix=N prints one of them")
	}
	if code := blamed(r); r.Summary.Differ > 0 && code != "" {
		p.command("more", "kubectl asmjwt explain "+string(code))
	} else if row := cmp.Or(firstRow(r, probe.Row.Unexpected), refusedRow(r)); row != nil && row.Code != "" {
		p.command("more", "kubectl asmjwt explain "+string(row.Code))
	}
}

// reasonOfARow reports whether a finding stands below its row already.
func reasonOfARow(r *probe.Report, f diagnose.Finding) bool {
	return firstRow(r, func(row probe.Row) bool {
		return row.Outcome == probe.Differs && len(row.Reasons) > 0 && strings.HasPrefix(f.Message, row.Reasons[0].Message)
	}) != nil
}
