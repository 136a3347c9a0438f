package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// fixes are the changes that were evaluated again, each with its number, what it opens
// besides, and how it is asked or applied.
func (p *page) fixes(fixes []diagnose.Fix) {
	if len(fixes) == 0 {
		return
	}
	head, proved := fixesHead(fixes), !slices.ContainsFunc(fixes, func(f diagnose.Fix) bool { return !f.Proved })
	p.WriteString(p.style.strong.Sprint(head))
	switch {
	case len(fixes) > 1 && proved:
		p.hanging(4, runeLen(head), ", one of these (each was evaluated again):")
	case len(fixes) > 1:
		p.hanging(4, runeLen(head), ", one of these (each was evaluated again, if nothing else is said):")
	default:
		p.WriteByte(' ')
		p.hanging(4, runeLen(head)+1, "(evaluated again):")
	}
	const number, below = 4, 6
	for i, f := range fixes {
		p.WriteString(strings.Repeat(" ", max(0, 2-len(strconv.Itoa(i+1)))) + strconv.Itoa(i+1) + "  ")
		p.hanging(number, number, clean(f.Summary))
		if f.Widens {
			p.indented(below, widensWords(f.Opens))
		}
		if n := f.Neighbours; n != nil {
			p.indented(below, neighbourWords(*n))
		}
		if f.Note != "" {
			p.indented(below, "note: "+clean(f.Note))
		}
		if f.Hint != "" {
			p.whole = true
			p.indented(below, clean(f.Hint))
			p.whole = false
		}
		if f.Manifest != "" {
			p.indented(below, "kubectl asmjwt why … -o fix="+strconv.Itoa(i+1)+" | "+p.style.kubectl()+" apply -f -")
		}
	}
}

// fixesHead is what the fixes are for.
func fixesHead(fixes []diagnose.Fix) string {
	for _, f := range fixes {
		switch {
		case f.Partial:
			continue
		case f.StatusAfter == 0:
			return "To get a closed connection"
		}
		return "To get " + strconv.Itoa(f.StatusAfter)
	}
	return "To get further"
}

// widensWords say what a change opens besides.
func widensWords(opens []string) string {
	const tokenless, itself = ", without a token", "this request, without a token"
	if len(opens) == 0 {
		return "widens: lets in more than this request"
	}
	if opens[0] != itself {
		return "widens: lets in too: " + clean(strings.Join(opens, "; "))
	}
	out := "widens: lets this request in without a token"
	var also []string
	for _, o := range opens[1:] {
		also = append(also, strings.TrimSuffix(o, tokenless))
	}
	if len(also) > 0 {
		out += ", and the same with " + clean(strings.Join(also, "; with "))
	}
	return out
}

// neighbourWords say what a change does to other requests.
func neighbourWords(n diagnose.Neighbours) string {
	switch {
	case n.Opened+n.Closed == 0:
		return fmt.Sprintf("changes no other answer of %d that were tried", n.Checked)
	case n.Closed == 0:
		return fmt.Sprintf("of %d requests like it, %d more get through", n.Checked, n.Opened)
	case n.Opened == 0:
		return fmt.Sprintf("of %d requests like it, %d no longer get through", n.Checked, n.Closed)
	}
	return fmt.Sprintf("of %d requests like it, %d more get through and %d no longer", n.Checked, n.Opened, n.Closed)
}

// whatIfLine is the answer with the change, after what it was in a word.
func whatIfLine(d *diagnose.Diagnosis) (head, text string) {
	after := Answer(&diagnose.Diagnosis{Verdict: d.WhatIf.Verdict, Summary: d.WhatIf.Summary})
	if !d.WhatIf.Changes(d.Verdict) {
		return "What if", ": no change: still " + after
	}
	before, _, _ := strings.Cut(Headline(d.Verdict), " ")
	if d.Verdict.Decision == envoy.Undetermined || d.Verdict.GRPCStatus != nil || d.Verdict.Status == d.WhatIf.Verdict.Status {
		before = Headline(d.Verdict)
	}
	return "What if", ": " + strings.TrimSuffix(before, ",") + " → " + after
}

// whatIf is the answer with a change, which is what was asked, why, and where the two
// walks part.
func (p *page) whatIf(d *diagnose.Diagnosis) {
	after := d.WhatIf
	head, text := whatIfLine(d)
	p.WriteString(p.style.strong.Sprint(head))
	p.hanging(4, len(head), text)
	if after.Because != "" {
		p.labelled("because", clean(after.Because))
	}
	switch {
	case after.Differs == nil:
		p.labelled("differs", "in nothing: the change does not touch what this request meets")
	case after.Differs.SameOutcomes():
		p.labelled("still", stepWords(after.Differs.After))
	default:
		p.labelled("differs", "first here:")
		p.labelled("  before", stepWords(after.Differs.Before))
		p.labelled("  after", stepWords(after.Differs.After))
	}
	p.line("")
	p.line(p.style.strong.Sprint("Without the change:"))
}

// stepWords are a step of the walk in a sentence.
func stepWords(s *diagnose.Step) string {
	if s == nil {
		return "no such step"
	}
	name := stageNames[s.Stage]
	if s.Stage == envoy.StageRouter {
		name = "the application"
	}
	if s.Object != nil {
		name = object(s.Object)
		if a := actions[s.Stage]; a != "" {
			name += " (" + a + ")"
		}
		if s.Field != "" {
			name += "  " + clean(s.Field)
		}
	}
	out := name + ": " + outcomeWords(*s)
	if s.Want != "" {
		out += ", wanted " + clean(s.Want) + ", got " + clean(s.Got)
	}
	if s.Note != "" {
		out += ", " + clean(s.Note)
	}
	return out
}

func outcomeWords(s diagnose.Step) string {
	switch {
	case s.Status != "" && s.Stage == envoy.StageJWT:
		return clean(s.Status)
	case s.Stage == envoy.StageRouter:
		return "reached"
	case s.Object == nil && (s.Stage == envoy.StageAllow || s.Stage == envoy.StageDeny):
		// Of the stage of ALLOW policies, that it matches means that it refuses.
		if (s.Outcome == envoy.Matched) == (s.Stage == envoy.StageAllow) {
			return "none of them matches"
		}
		return "one of them matches"
	case s.Outcome == envoy.Matched:
		return "matches"
	case s.Outcome == envoy.NotMatched:
		return "does not match"
	case s.Outcome == envoy.Undecided:
		return "not known"
	}
	return "left out"
}
