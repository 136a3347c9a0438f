package render

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// logged says what the line of the proxy's log names, and what becomes of that now.
func (p *page) logged(d *diagnose.Diagnosis) {
	l := d.Log
	if l == nil {
		return
	}
	text := clean(l.From)
	if l.Time != "" {
		text += ", of " + clean(l.Time)
	}
	if l.Details == "" {
		text += "; it gives no details"
	}
	p.labelled("log", text)
	if l.Rule == nil {
		return
	}
	text = "names " + object(l.Rule) + " " + clean(strings.TrimPrefix(l.Rule.Field, "spec."))
	switch {
	case l.Note != "":
		text += ": " + clean(l.Note)
	case l.Outcome == envoy.Matched:
		text += ", which matches now too"
	case l.Outcome == envoy.NotMatched && d.Observed != nil && d.Observed.Lead != "":
		text += ", which does not match the request as it was asked"
	case l.Outcome == envoy.NotMatched:
		text += ", which does not match now: it was changed since, or another request was logged"
	default:
		text += ", which may match: the log does not tell " + unseenBy(l.Steps)
	}
	p.labelled("", text)
}

// unseenBy are the attributes that conditions hang on.
func unseenBy(steps []diagnose.Step) string {
	var out []string
	for _, s := range steps {
		if s.Outcome == envoy.Undecided && s.Attribute != "" && !slices.Contains(out, s.Attribute) {
			out = append(out, clean(s.Attribute))
		}
	}
	if len(out) == 0 {
		return "all that it looks at"
	}
	return strings.Join(out, ", ")
}

// requestLine is the request as far as it was seen.
func requestLine(d *diagnose.Diagnosis) string {
	r := d.Request
	method, path := r.Method, r.Path
	if slices.Contains(r.Unseen, "method") {
		method = "a method that was not seen,"
	}
	if slices.Contains(r.Unseen, "path") {
		path = "a path that was not seen"
	}
	text := solid(method) + " " + solid(path)
	if r.Host != "" {
		text += " at " + solid(r.Host)
	}
	switch {
	case len(d.Tokens) == 0 && len(r.Unseen) > 0:
		text += ", headers and token not seen"
	case len(d.Tokens) == 0 && len(r.StrayTokens) > 0:
		text += ", " + strayWords(r.StrayTokens)
	default:
		text += ", " + tokenCount(len(d.Tokens))
	}
	if r.Protocol != "HTTP/1.1" {
		text += ", " + clean(r.Protocol)
	}
	return text
}
