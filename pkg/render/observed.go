package render

import (
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// differs says first of all that something else was seen than the verdict says, and
// what may be behind it.
func (p *page) differs(d *diagnose.Diagnosis) {
	o := d.Observed
	if o == nil || o.Agrees {
		return
	}
	first, rest, _ := strings.Cut(differs(d), " ")
	p.WriteString(p.style.bad.Sprint(first) + " ")
	p.hanging(4, runeLen(first)+1, rest)
	p.labelled("likely", "none of this is certain; the likeliest comes first")
	for i, r := range o.Reasons {
		p.labelled("  "+strconv.Itoa(i+1), clean(r.Message))
		if r.Evidence != "" {
			evidence := clean(r.Evidence)
			if r.Fits {
				evidence += " (evaluated again: it fits)"
			}
			p.labelled("", evidence)
		}
		if r.Try != "" {
			p.labelled("", "try: "+clean(r.Try))
		}
	}
	p.line("")
}

// seen says that what was seen is what the verdict says.
func (p *page) seen(d *diagnose.Diagnosis) {
	o := d.Observed
	if o == nil || !o.Agrees {
		return
	}
	text := "agrees: " + clean(o.Words)
	if o.Note != "" {
		text += "; " + clean(o.Note)
	}
	p.labelled("seen", text)
}

// differs is the first line where something else was seen than is computed.
func differs(d *diagnose.Diagnosis) string {
	return "differs: seen " + clean(d.Observed.Words) + ", computed " + Headline(d.Verdict)
}
