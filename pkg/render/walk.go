package render

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

const (
	// wordColumn and textColumn are where a step's word and its text begin.
	wordColumn = 3
	textColumn = 11
)

// walk is each policy and rule that the request met, in order, with a number.
func (p *page) walk(d *diagnose.Diagnosis) {
	n := 0
	for _, stage := range d.Trace {
		for _, s := range entries(stage) {
			n++
			p.entry(n, stage, s, d.Verdict)
		}
	}
	for i, s := range d.Skipped {
		if i == mostSkipped && len(d.Skipped) > mostSkipped+1 && !p.style.Wide {
			p.marked("-", "skip", p.style.faint.Sprint("skip"), fmt.Sprintf("%d more policies that do not reach the workload: -o wide has them", len(d.Skipped)-i))
			break
		}
		p.marked("-", "skip", p.style.faint.Sprint("skip"), object(&s.Object)+": "+clean(s.Why))
	}
}

// mostSkipped is how many policies are named that have nothing to do with the request.
const mostSkipped = 6

// entries are the steps of a stage that are worth a number: its policies and
// rules, or the stage itself where it has something to say.
func entries(stage diagnose.Step) []diagnose.Step {
	switch stage.Stage {
	case envoy.StageRouter:
		return nil
	case envoy.StageConnection:
		if stage.Outcome == envoy.NotMatched && stage.Object == nil {
			return nil
		}
	case envoy.StageJWT, envoy.StageCustom, envoy.StageAudit, envoy.StageDeny, envoy.StageAllow:
		if len(stage.Steps) > 0 {
			return once(stage.Steps)
		}
	default:
	}
	return []diagnose.Step{stage}
}

// once leaves out what is there already: the proxy asks some rules twice.
func once(steps []diagnose.Step) []diagnose.Step {
	var out []diagnose.Step
	for _, s := range steps {
		if !slices.ContainsFunc(out, func(o diagnose.Step) bool { return reflect.DeepEqual(o, s) }) {
			out = append(out, s)
		}
	}
	return out
}

func (p *page) entry(n int, stage, s diagnose.Step, v diagnose.Verdict) {
	word, paint := p.word(stage, s, v)
	p.marked(fmt.Sprint(n), word, paint(word), entryName(stage, s, word))
	switch {
	case s.Stage == envoy.StageJWT:
		p.jwtDetail(s, refuses(stage, s))
	case s.Note != "":
		p.indented(textColumn, clean(s.Note))
	case s.Stage == envoy.StageConnection && s.Got != "":
		p.indented(textColumn, clean(s.Got)+" is taken")
	}
	if s.Stage == envoy.StageAllow && s.Object == nil && s.Note == "" {
		p.indented(textColumn, "none of their rules reached the proxy")
	}
	if s.Stage != envoy.StageJWT {
		p.conditions(s)
	}
	if len(s.DependsOn) > 0 && len(s.Steps) == 0 && !slices.Equal(s.DependsOn, []string{s.Note}) {
		p.indented(textColumn, "depends on "+clean(strings.Join(s.DependsOn, ", ")))
	}
}

// marked writes the first line of an entry: number, word, name.
func (p *page) marked(mark, word, painted, name string) {
	p.WriteString(fmt.Sprintf("%2s ", mark) + painted + strings.Repeat(" ", max(1, textColumn-wordColumn-runeLen(word))))
	p.hanging(textColumn, textColumn, name)
}

func entryName(stage, s diagnose.Step, word string) string {
	if s.Object == nil {
		return stageNames[stage.Stage]
	}
	name := object(s.Object)
	if a := actions[stage.Stage]; a != "" && a != word {
		name += " (" + a + ")"
	}
	if s.Field != "" {
		name += "  " + clean(s.Field)
	}
	return name
}

var stageNames = map[envoy.Stage]string{
	envoy.StageConnection: "the connection", envoy.StageCodec: "HTTP itself", envoy.StagePath: "the path",
	envoy.StageCustom: "CUSTOM policies", envoy.StageJWT: "RequestAuthentication", envoy.StageAudit: "AUDIT policies",
	envoy.StageDeny: "DENY policies", envoy.StageAllow: "ALLOW policies", envoy.StageUnmodelled: "something that is not modelled",
}

// word is what came of an entry, and how it is painted.
func (p *page) word(stage, s diagnose.Step, v diagnose.Verdict) (string, func(...any) string) {
	st := p.style
	hit := s.Outcome == envoy.Matched
	switch {
	case s.DryRun && hit && stage.Stage == envoy.StageCustom:
		return "ask", st.doubt.Sprint // the engine that finds out whom to ask
	case s.DryRun && hit:
		return "dry-run", st.faint.Sprint
	case s.Outcome == envoy.Undecided:
		return "?", st.doubt.Sprint
	case s.Outcome == envoy.Skipped && s.Object == nil:
		return "note", st.faint.Sprint
	case s.Outcome == envoy.Skipped:
		return "skip", st.faint.Sprint
	}
	switch stage.Stage {
	case envoy.StageJWT:
		if refuses(stage, s) {
			return deniedWord(v), st.bad.Sprint
		}
		if s.Status != "" && s.Status != "OK" && s.Status != missed {
			return "no", st.strong.Sprint
		}
	case envoy.StageDeny:
		if hit {
			return "DENY", st.bad.Sprint
		}
	case envoy.StageAllow:
		if hit && s.Object != nil {
			return "ALLOW", st.good.Sprint
		}
		return "no", st.strong.Sprint
	case envoy.StageCustom:
		if hit && stage.Outcome == envoy.Matched {
			return deniedWord(v), st.bad.Sprint
		}
		if hit {
			return "ask", st.doubt.Sprint
		}
	case envoy.StageAudit:
		if hit {
			return "audit", st.faint.Sprint
		}
	default:
		if hit {
			return deniedWord(v), st.bad.Sprint
		}
	}
	return "pass", st.good.Sprint
}

// missed is the status of a rule that found no token (pkg/jwt).
const missed = "Jwt is missing"

// refuses reports whether this provider's status is the one that the filter gave.
func refuses(stage, s diagnose.Step) bool {
	return stage.Outcome == envoy.Matched && stage.Status != "" && stage.Object != nil && s.Object != nil &&
		s.Status == stage.Status && s.Field == stage.Field && *s.Object == *stage.Object
}

func deniedWord(v diagnose.Verdict) string {
	switch {
	case v.Decision != envoy.Denied:
		return "stop"
	case v.GRPCStatus != nil:
		return fmt.Sprintf("grpc %d", *v.GRPCStatus)
	case v.Status == 0:
		return "closed"
	default:
		return fmt.Sprint(v.Status)
	}
}

// jwtDetail is what one provider did with the tokens that it found.
func (p *page) jwtDetail(s diagnose.Step, refused bool) {
	if s.Note != "" {
		p.indented(textColumn, clean(s.Note))
	}
	switch {
	case len(s.Steps) > 0 || s.Note != "":
	case refused:
		p.indented(textColumn, "no token where it looks")
	default:
		p.indented(textColumn, "no token where it looks: goes on without identity")
	}
	for _, t := range s.Steps {
		text := "token in " + clean(t.Got) + ": "
		switch {
		case t.Outcome == envoy.Skipped:
			text = "left out: " + clean(t.Note)
		case len(t.DependsOn) > 0:
			text += "good, unless its signature is not: " + clean(strings.Join(t.DependsOn, ", ")) + " are not at hand"
		case t.Outcome == envoy.Matched:
			text += "verified"
		case t.Want != "":
			text += clean(t.Status) + ": wanted " + clean(t.Want) + ", got " + clean(t.Note)
		case t.Note != "":
			text += clean(t.Status) + ": " + clean(t.Note)
		default:
			text += clean(t.Status)
		}
		p.indented(textColumn, text)
	}
}

// row is one condition.
type row struct{ field, want, got, verdict string }

// conditions are the conditions of a rule that were looked at: all of a rule that
// matches, of one that does not the first in each entry that fails.
func (p *page) conditions(s diagnose.Step) {
	var rows []row
	for _, c := range s.Steps {
		r := row{field: clean(below(s.Field, c.Field)), want: "wanted " + clean(c.Want), got: "got " + clean(c.Got)}
		switch c.Outcome {
		case envoy.Matched:
			r.verdict = "matches"
		case envoy.NotMatched:
			r.verdict = "fails"
		case envoy.Undecided:
			r.got, r.verdict = "not known", clean(strings.Join(c.DependsOn, ", "))
		default:
			r.verdict = "left out: " + clean(c.Note)
		}
		if c.Want == "" {
			r.want, r.got = "", ""
		}
		rows = append(rows, r)
	}
	if len(s.Steps) == 0 && s.Outcome == envoy.Matched && s.Object != nil && s.Object.Kind == "AuthorizationPolicy" {
		p.indented(textColumn, "the rule matches every request")
	}
	p.table(rows)
}

// table writes rows in columns if all of them fit, else each on lines of its own.
func (p *page) table(rows []row) {
	var field, want, got, last int
	for _, r := range rows {
		field, want, got = max(field, runeLen(r.field)), max(want, runeLen(r.want)), max(got, runeLen(r.got))
		last = max(last, runeLen(r.verdict))
	}
	fits := textColumn+field+want+got+last+6 <= p.columns()
	for _, r := range rows {
		if fits {
			p.line(strings.Repeat(" ", textColumn) + pad(r.field, field+2) + pad(r.want, want+2) + pad(r.got, got+2) + r.verdict)
			continue
		}
		p.indented(textColumn, r.field)
		if r.want == "" {
			p.indented(textColumn+2, r.verdict)
			continue
		}
		p.indented(textColumn+2, r.want+", "+r.got+": "+r.verdict)
	}
}

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-runeLen(s))) }

// below is a field's path from its parent's on.
func below(parent, field string) string {
	if rest, ok := strings.CutPrefix(field, parent+"."); ok && parent != "" {
		return rest
	}
	return field
}
