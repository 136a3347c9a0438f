package render

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Text writes the diagnosis for a person: the answer, what was asked, the walk,
// what else there is to know, and the next thing to do.
func Text(w io.Writer, d *diagnose.Diagnosis, style *Style) error {
	p := &page{style: style}
	if d.WhatIf != nil {
		p.whatIf(d)
	}
	p.differs(d)
	p.answer(d)
	p.seen(d)
	p.logged(d)
	p.line("")
	p.question(d)
	walk := &page{style: style}
	walk.walk(d)
	if walk.Len() > 0 {
		p.line("")
		p.WriteString(walk.String())
		p.cut = p.cut || walk.cut
	}
	p.notes(d)
	if d.WhatIf == nil || d.Code != "" || p.cut {
		p.line("")
	}
	p.next(d)
	if len(d.Fixes) > 0 && d.WhatIf == nil {
		p.line("")
	}
	if d.Code != "" {
		p.command("more", "kubectl asmjwt explain "+clean(string(d.Code)))
	}
	if p.cut {
		p.labelled("cut", "-o wide shows what … stands for")
	}
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// Line writes the first line of the text, on one line whatever its length.
func Line(w io.Writer, d *diagnose.Diagnosis, style *Style) error {
	p := &page{style: style}
	paint := p.painter(d.Verdict)
	text := Answer(d)
	if o := d.Observed; o != nil && !o.Agrees {
		paint, text = p.style.bad.Sprint, differs(d)
	}
	if d.WhatIf != nil {
		head, rest := whatIfLine(d)
		if _, err := io.WriteString(w, p.style.strong.Sprint(head)+rest+"\n"); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		return nil
	}
	first, rest, _ := strings.Cut(text, " ")
	if _, err := io.WriteString(w, paint(first)+" "+rest+"\n"); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// Answer is the verdict in a line that somebody can act on.
func Answer(d *diagnose.Diagnosis) string {
	v := d.Verdict
	head := Headline(v)
	if v.Decision == envoy.Denied && v.Status == 0 {
		head = "closed, no HTTP answer"
	}
	if d.Summary == "" {
		return head
	}
	return head + ": " + clean(d.Summary)
}

// painter is the colour of a verdict.
func (p *page) painter(v diagnose.Verdict) func(...any) string {
	switch v.Decision {
	case envoy.Allowed:
		return p.style.good.Sprint
	case envoy.Denied:
		return p.style.bad.Sprint
	default:
		return p.style.doubt.Sprint
	}
}

// answer is the verdict in a line, who decided, and why.
func (p *page) answer(d *diagnose.Diagnosis) {
	v := d.Verdict
	first, rest, _ := strings.Cut(Answer(d), " ")
	p.WriteString(p.painter(v)(first) + " ")
	p.hanging(4, runeLen(first)+1, rest)
	if by := v.DecidedBy; by != nil {
		p.labelled("decided by", strings.TrimSpace(object(by)+action(d, by)+"  "+clean(by.Field)))
	} else if v.Decision == envoy.Denied {
		p.labelled("decided by", undecided(d))
	}
	if d.Because != "" {
		p.labelled("because", clean(d.Because))
	}
	for i, dep := range d.DependsOn {
		label := ""
		if i == 0 {
			label = "depends on"
		}
		text := clean(dep.What)
		if dep.Why != "" {
			text += ": " + clean(dep.Why)
		}
		p.labelled(label, text)
	}
	p.possibilities(d)
	for _, g := range d.Groups {
		p.labelled("pods", fmt.Sprintf("%s: %s", pods(g.Pods), Answer(&diagnose.Diagnosis{Verdict: g.Verdict, Summary: g.Summary})))
	}
}

// possibilities are the verdicts that are left, where each depends on something else.
func (p *page) possibilities(d *diagnose.Diagnosis) {
	same := !slices.ContainsFunc(d.Possibilities, func(o diagnose.Possibility) bool {
		return !slices.Equal(o.DependsOn, d.Possibilities[0].DependsOn)
	})
	if same && !p.style.Wide {
		return
	}
	for i, o := range d.Possibilities {
		label := ""
		if i == 0 {
			label = "possible"
		}
		text := Headline(diagnose.Verdict{Decision: o.Decision, Status: o.Status, Body: o.Body, ResponseCodeDetails: o.Details})
		if len(o.DependsOn) > 0 {
			text += ", by " + clean(strings.Join(o.DependsOn, "; "))
		}
		p.labelled(label, text)
	}
}

// Headline is a verdict in a few words.
func Headline(v diagnose.Verdict) string {
	switch {
	case v.Decision == envoy.Undetermined:
		return strings.TrimSpace("? undetermined " + possible(v.Possible))
	case v.Decision == envoy.Allowed:
		return "200 allowed"
	case v.GRPCStatus != nil:
		return strings.TrimSpace(fmt.Sprintf("grpc-status %d %s", *v.GRPCStatus, clean(v.Body)))
	case v.Status == 0:
		return strings.TrimSuffix("closed, no HTTP answer: "+clean(v.ResponseCodeDetails), ": ")
	case v.Body == "":
		return fmt.Sprintf("%d %s", v.Status, http.StatusText(v.Status))
	default:
		return fmt.Sprintf("%d %s", v.Status, clean(v.Body))
	}
}

func possible(statuses []int) string {
	if len(statuses) == 0 {
		return ""
	}
	out := make([]string, len(statuses))
	for i, s := range statuses {
		if out[i] = strconv.Itoa(s); s == 0 {
			out[i] = "closed"
		}
	}
	return "(" + strings.Join(out, " or ") + ")"
}

// undecided says why there is no object to name.
func undecided(d *diagnose.Diagnosis) string {
	if l := d.Log; l != nil && l.Decides && strings.HasPrefix(l.Details, "jwt_authn_access_denied") {
		return "a RequestAuthentication: the log does not tell which"
	}
	last := diagnose.Step{}
	if len(d.Trace) > 0 {
		last = d.Trace[len(d.Trace)-1]
	}
	switch last.Stage {
	case envoy.StageAllow:
		return "no policy: there are ALLOW policies, and none of them matches"
	case envoy.StageCodec, envoy.StagePath:
		return "the proxy itself, before any policy sees the request"
	default:
		return "nothing that can be named"
	}
}

// action is what the policy that decided is for, in brackets.
func action(d *diagnose.Diagnosis, by *diagnose.Place) string {
	if by.Kind != "AuthorizationPolicy" {
		return ""
	}
	for _, stage := range d.Trace {
		for _, s := range stage.Steps {
			if s.Object != nil && s.Object.Kind == by.Kind && s.Object.Namespace == by.Namespace && s.Object.Name == by.Name {
				return " (" + actions[stage.Stage] + ")"
			}
		}
	}
	return ""
}

// actions are the actions of AuthorizationPolicy, by the filter that runs them.
var actions = map[envoy.Stage]string{
	envoy.StageCustom: "CUSTOM", envoy.StageAudit: "AUDIT", envoy.StageDeny: "DENY", envoy.StageAllow: "ALLOW",
}

// question is the request and the target as they were understood.
func (p *page) question(d *diagnose.Diagnosis) {
	r := d.Request
	p.labelled("request", requestLine(d))
	p.labelled("from", caller(r))
	p.hops(d)
	p.labelled("to", target(d.Target))
	p.labelled("", about(d.Target))
	p.held(d)
	for _, t := range d.Tokens {
		p.labelled("token", tokenText(t, d))
	}
}

// held says where the answer was read, if a proxy was asked, and whether the objects
// say the same.
func (p *page) held(d *diagnose.Diagnosis) {
	e := d.Evidence
	switch {
	case e == nil || e.From == "":
	case e.Objects == nil:
		p.labelled("held", clean(e.From)+"; no policy was read")
	case e.Objects.Decision == d.Verdict.Decision && e.Objects.Status == d.Verdict.Status:
		p.labelled("held", clean(e.From)+"; the objects say the same")
	default:
		p.labelled("held", clean(e.From)+"; the objects say "+Headline(*e.Objects))
	}
}

func tokenCount(n int) string {
	switch n {
	case 0:
		return "no token"
	case 1:
		return "1 token"
	default:
		return strconv.Itoa(n) + " tokens"
	}
}

// strayWords say that there are tokens, and that nothing looks at them.
func strayWords(places []string) string {
	return tokenCount(len(places)) + " in " + clean(strings.Join(places, " and in ")) + ", which nothing here verifies"
}

func caller(r diagnose.Request) string {
	var who string
	switch {
	case r.Identity == "unknown" && r.Transport == "unknown":
		who = "a client that nothing is known of"
	case r.Identity == "none" || r.Identity == "":
		who = "a client without identity, " + clean(r.Transport)
	default:
		who = solid(r.Identity) + ", " + clean(r.Transport)
	}
	if r.SourceIP != "" {
		who += ", address " + clean(r.SourceIP)
	}
	return who
}

func target(t diagnose.Target) string {
	out := fmt.Sprintf("%s %s/%s", clean(t.Kind), clean(t.Namespace), clean(t.Name))
	if t.Port != 0 {
		out += " port " + strconv.Itoa(t.Port)
	}
	return out
}

// about is what is known of the target's proxy and pods.
func about(t diagnose.Target) string {
	out := []string{clean(t.Role)}
	switch t.Role {
	case string(envoy.RoleNone):
		out[0] = "no proxy"
	case "":
		out[0] = "not known whether it has a proxy"
	}
	if t.ProxyVersion != "" {
		out = append(out, "proxy "+clean(t.ProxyVersion))
	}
	if t.MTLS != "" {
		out = append(out, "mTLS "+clean(t.MTLS))
	}
	switch {
	case t.FromTemplate:
		out = append(out, "judged by its pod template")
	case len(t.Pods) > 0:
		out = append(out, pods(t.Pods))
	}
	return strings.Join(out, ", ")
}

func pods(names []string) string {
	switch len(names) {
	case 0:
		return "pods of the template"
	case 1:
		return "pod " + clean(names[0])
	default:
		return fmt.Sprintf("%d pods, %s …", len(names), clean(names[0]))
	}
}

func (p *page) undeterminedNext(d *diagnose.Diagnosis) {
	seen := []string{}
	for _, dep := range d.DependsOn {
		if dep.Hint != "" && !slices.Contains(seen, dep.Hint) {
			seen = append(seen, dep.Hint)
			p.command("to know", clean(dep.Hint))
		}
	}
	if len(seen) == 0 {
		p.command("next", "every policy, rule and condition: -o wide")
	}
}

func object(o *diagnose.Place) string {
	if o.Namespace == "" {
		return clean(o.Kind) + " " + clean(o.Name)
	}
	return clean(o.Kind) + " " + clean(o.Namespace) + "/" + clean(o.Name)
}
