package render

import (
	"slices"
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

// differs is the first line where something else was seen than is computed: the reason
// first, where what was seen tells it.
func differs(d *diagnose.Diagnosis) string {
	o := d.Observed
	seen := clean(o.Words)
	if o.Lead == "" {
		return "differs: seen " + seen + ", computed " + Headline(d.Verdict)
	}
	if l := d.Log; l != nil && l.Rule != nil && l.Status != 0 {
		seen = strconv.Itoa(l.Status) // the rule stands below
	}
	return "differs: " + clean(o.Lead) + "; seen " + seen + ", computed " + Headline(d.Verdict)
}

// differsNext is what to do where something else was seen: what is computed is not what
// happens, so a next step of it would lead astray. Where something speaks for another
// request than the one asked about, that one comes first; else the proxy is asked.
func differsNext(d *diagnose.Diagnosis) string {
	const ask = "ask the proxy what it holds: --dump FILE, its config_dump"
	if len(d.Observed.Reasons) == 0 || d.Observed.Reasons[0].Try == "" {
		return ask
	}
	r := d.Observed.Reasons[0]
	asked := d.Evidence != nil && d.Evidence.From != ""
	another := r.Evidence != "" && slices.Contains([]string{"request", "token", "clock", "identity"}, r.Cause)
	switch {
	case !asked && !r.Fits && !another && (d.Log == nil || !d.Log.Gone):
		return ask
	case strings.HasPrefix(r.Try, "--"):
		return "ask again: " + clean(r.Try)
	}
	return clean(r.Try)
}
