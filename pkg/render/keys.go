package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fatih/color"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
)

// Keys writes what became of keys, for a person: what to act on first.
func Keys(w io.Writer, r *keycheck.Report, style *Style) error {
	p := &page{style: style}
	p.keysHeadline(r)
	p.keyFixes(r)
	p.keyTable(r)
	for i := range r.Rules {
		if rule := &r.Rules[i]; style.Wide || rule.Verdict != keycheck.OK && rule.Verdict != keycheck.Unused {
			p.keyRule(rule, r.Live, i == 0)
		}
	}
	p.keyWarnings(r)
	p.keyNotes(r)
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// keysHeadline is what to know if nothing else is read.
func (p *page) keysHeadline(r *keycheck.Report) {
	if r.Unread != "" {
		p.lead("? not known", p.style.doubt, "which rules there are, or whom they reach, could not be read: "+clean(r.Unread))
		return
	}
	if len(r.Rules) == 0 {
		p.lead("NONE", p.style.doubt, "no RequestAuthentication reaches what was asked about: tokens are not checked there")
		if len(r.Elsewhere) > 0 {
			p.labelled("rules", "there are some in namespace "+clean(strings.Join(r.Elsewhere, ", "))+": ask with -n NAMESPACE, or -A")
		}
		return
	}
	top := &r.Rules[0]
	same := 0
	for _, rule := range r.Rules {
		if rule.Verdict == top.Verdict {
			same++
		}
	}
	switch top.Verdict {
	case keycheck.Unused, keycheck.OK:
		if top.Verdict == keycheck.Unused && r.Verdict == keycheck.Unknown && r.Unread == "" {
			p.lead("? not known", p.style.doubt, "whether good tokens pass: no workload that the rules reach is among what was read")
			break
		}
		p.lead("ok", p.style.good, "good tokens pass: "+countOf(len(r.Rules), "rule", "rules")+" looked at")
		return
	case keycheck.Unknown:
		p.lead("? not known", p.style.doubt, "whether good tokens pass: "+clean(top.Summary))
	default:
		p.lead("NOT OK", p.style.bad, clean(top.Summary))
	}
	p.labelled("rule", object(&top.Object)+"  "+clean(top.Object.Field))
	label := "because"
	for _, f := range top.Findings {
		if f.Severity != diag.Error {
			continue
		}
		p.labelled(label, findingText(f, top))
		label = ""
	}
	if same > 1 {
		p.labelled("and", countOf(same-1, "other rule", "other rules")+" likewise: see below")
	}
}

// lead writes a word in a colour, and a text behind it.
func (p *page) lead(word string, colour *color.Color, text string) {
	const gap = 2
	p.WriteString(colour.Sprint(word) + strings.Repeat(" ", gap))
	p.hanging(0, runeLen(word)+gap, text)
}

// findingText is a finding with where it is, if it is somewhere else than the rule.
func findingText(f diagnose.Finding, rule *keycheck.Rule) string {
	text := clean(f.Message)
	if at := f.Object; at != nil && (at.Kind != rule.Object.Kind || at.Name != rule.Object.Name || at.Namespace != rule.Object.Namespace) && !strings.Contains(f.Message, at.Name) {
		text = object(at) + " " + clean(at.Field) + ": " + text
	}
	return text + "  " + string(f.Code)
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// keyFixes are what to do, each with its number.
func (p *page) keyFixes(r *keycheck.Report) {
	const number, below = 12, 15
	several := slices.ContainsFunc(r.Fixes, func(f keycheck.Fix) bool { return f.Rule != r.Fixes[0].Rule })
	for i, f := range r.Fixes {
		if several {
			f.Summary = f.Rule.Namespace + "/" + f.Rule.Name + " " + strings.TrimPrefix(f.Rule.Field, "spec.jwtRules") + ": " + f.Summary
		}
		label := ""
		switch {
		case i == 0 && len(r.Fixes) == 1:
			label = "fix"
		case i == 0:
			label = "fixes"
		}
		p.WriteString(p.style.strong.Sprint(label) + strings.Repeat(" ", number-runeLen(label)))
		n := fmt.Sprintf("%-3d", i+1)
		p.WriteString(n)
		p.hanging(below, below, clean(f.Summary))
		switch {
		case f.Manifest != "":
			p.whole = true
			p.indented(below, fmt.Sprintf("kubectl asmjwt jwks … -o fix=%d | %s apply -f -", i+1, p.style.kubectl()))
			p.whole = false
		case f.Command != "":
			p.WriteString(strings.Repeat(" ", below))
			p.shell(below, clean(f.Command))
		}
	}
}

// keyWarnings are those of rules of which nothing else is shown.
func (p *page) keyWarnings(r *keycheck.Report) {
	if p.style.Wide {
		return
	}
	gap := false
	for i := range r.Rules {
		rule := &r.Rules[i]
		if rule.Verdict != keycheck.OK && rule.Verdict != keycheck.Unused {
			continue
		}
		for _, f := range rule.Findings {
			if f.Severity != diag.Warning {
				continue
			}
			if !gap {
				p.line("")
				gap = true
			}
			p.labelled("warning", clean(shortRule(rule))+": "+findingText(f, rule))
		}
	}
}

// keyRule is all that is known of one rule; said is set where its errors stand in the
// first lines.
func (p *page) keyRule(rule *keycheck.Rule, live, said bool) {
	p.line("")
	name := clean(shortRule(rule))
	if said {
		p.line(p.style.strong.Sprint(name))
	} else {
		p.lead(name, p.style.strong, string(rule.Verdict)+": "+clean(rule.Summary))
	}
	if p.style.Wide && rule.Issuer != "" {
		p.labelled("issuer", quote(rule.Issuer))
	}
	if rule.URI != "" {
		p.labelled("jwksUri", clean(rule.URI))
	}
	fetcher := clean(string(rule.Fetcher))
	if rule.FetcherBy != "" {
		fetcher += " (" + clean(rule.FetcherBy) + ")"
	}
	p.labelled("fetched by", fetcher)
	if s := rule.Server; s != nil {
		p.labelled("server", serverText(s))
	}
	label := "seen"
	for _, f := range rule.Fetches {
		p.labelled(label, p.fetchText(f))
		label = ""
	}
	p.proxiesText(rule, live)
	if t := rule.Token; t != nil {
		p.labelled("token", tokenCheckText(t))
	}
	for _, f := range rule.Findings {
		if f.Severity == diag.Warning || f.Severity == diag.Error && !said || f.Severity == diag.Info && p.style.Wide {
			p.labelled(string(f.Severity), findingText(f, rule))
		}
	}
}

func serverText(s *keycheck.Server) string {
	out := fmt.Sprintf("%s port %d, %s", clean(s.Host), s.Port, clean(s.Place))
	if s.Service != "" {
		out += ", Service " + clean(s.Service)
	}
	if s.Ready != nil {
		out += ", " + countOf(*s.Ready, "ready endpoint", "ready endpoints")
	}
	if s.ServiceEntry != "" {
		out += ", ServiceEntry " + clean(s.ServiceEntry)
	}
	if s.DestinationRule != "" {
		out += ", DestinationRule " + clean(s.DestinationRule)
	}
	if s.TLS != "" {
		out += ", TLS " + clean(s.TLS)
		if s.SNI != "" {
			out += " as " + clean(s.SNI)
		}
	}
	if s.MTLS != "" {
		out += ", mTLS " + clean(s.MTLS)
	}
	return out
}

func (p *page) fetchText(f keycheck.Fetch) string {
	out := "from " + clean(f.From) + ": "
	switch {
	case f.Keys != nil && f.Keys.Problem != "":
		out += clean(f.Keys.Problem)
	case f.Keys != nil:
		out += keysWord(f.Keys) + p.kidWords(f.Keys)
	case f.Kind == keycheck.Fetched:
		out += "the issuer says " + clean(f.Location)
	default:
		out += clean(f.Problem)
	}
	switch {
	case f.Way == keycheck.ByMachine:
		out += "; that says nothing of who fetches"
	case f.TLSUnchecked && f.Kind == keycheck.Fetched:
		out += "; it looks at no certificate"
	}
	if f.CertificateEnds != nil {
		out += "; the certificate ends on " + f.CertificateEnds.Format("2006-01-02")
	}
	return out
}

// kidWords are the names of keys.
func (p *page) kidWords(k *keycheck.Keys) string {
	const most = 4
	var out []string
	for i, kid := range k.Names {
		switch {
		case i == most && !p.style.Wide:
			return " (" + strings.Join(out, ", ") + ", …)"
		case kid == "":
			out = append(out, "no kid")
		default:
			out = append(out, "kid "+quote(kid))
		}
	}
	return " (" + strings.Join(out, ", ") + ")"
}

// proxiesText are the pods by what their proxies hold.
func (p *page) proxiesText(rule *keycheck.Rule, live bool) {
	label := "proxies"
	if len(rule.Proxies) == 0 {
		words := clean(strings.Join(rule.Workloads, ", "))
		switch {
		case len(rule.Workloads) > 0 && live:
			p.labelled(label, words+": not asked")
		case len(rule.Workloads) > 0:
			p.labelled("reaches", words)
		}
		return
	}
	const most = 5
	for _, s := range states {
		var pods []string
		note := ""
		var keys *keycheck.Keys
		for _, h := range rule.Proxies {
			if h.State != s {
				continue
			}
			if keys, note = h.Keys, h.Note; len(pods) == most && !p.style.Wide {
				pods = append(pods, "…")
			}
			if len(pods) < most || p.style.Wide {
				pods = append(pods, solid(h.Pod))
			}
		}
		if len(pods) == 0 {
			continue
		}
		word := stateWords[s]
		if (s == keycheck.Holds || s == keycheck.Same || s == keycheck.Old) && keys != nil {
			word += keysWord(keys) + p.kidWords(keys)
		}
		if note != "" && s != keycheck.Broken && s != keycheck.NotAsked {
			word += ", " + clean(note)
		}
		p.labelled(label, strings.Join(pods, ", ")+": "+word)
		label = ""
	}
}

// stateWords are what proxies hold, behind their names.
var stateWords = map[keycheck.State]string{
	keycheck.Holds: "", keycheck.Same: "the keys at the URI, ", keycheck.Old: "the keys from before, ",
	keycheck.Placeholder: "a placeholder key", keycheck.Forgeable: "a placeholder key that anybody can sign for", keycheck.Fetches: "fetches the keys itself",
	keycheck.NoCluster: "no cluster to fetch through", keycheck.Absent: "without this rule", keycheck.Broken: "refuses its newest configuration", keycheck.NotAsked: "could not be asked",
}

func tokenCheckText(t *keycheck.TokenCheck) string {
	kid := "without kid"
	if t.Kid != "" {
		kid = "kid " + quote(t.Kid)
	}
	out := kid + ", " + clean(t.Alg)
	for _, side := range []struct {
		where string
		is    *string
	}{{"in the proxies", t.InProxies}, {"at the URI", t.AtURI}} {
		switch {
		case side.is == nil:
			out += "; " + side.where + ": no keys to try"
		case *side.is == "":
			out += "; " + side.where + ": its signature is good"
		default:
			out += "; " + side.where + ": " + clean(*side.is)
		}
	}
	return out
}

// keyNotes are what could not be seen, and where to read on.
func (p *page) keyNotes(r *keycheck.Report) {
	if len(r.Gaps) > 0 {
		p.line("")
		p.gaps(r.Gaps)
	}
	p.line("")
	if r.Unread != "" {
		p.labelled("next", "ask for the rights above")
		return
	}
	if len(r.Rules) > 0 {
		for _, f := range r.Rules[0].Findings {
			if f.Severity == diag.Error {
				p.labelled("more", "kubectl asmjwt explain "+string(f.Code))
				return
			}
		}
		switch {
		case r.Rules[0].Verdict == keycheck.Unknown && !r.Live:
			p.labelled("next", "give the keys, as they are at the address: --jwks URI=FILE")
			return
		case r.Rules[0].Verdict == keycheck.Unknown && len(r.Gaps) > 0:
			p.labelled("next", "ask for the rights above; or fetch as a pod with a sidecar does: --from TYPE/NAME")
			return
		case r.Rules[0].Verdict == keycheck.Unknown:
			p.labelled("next", "fetch as a pod with a sidecar does: --from TYPE/NAME")
			return
		}
	}
	p.labelled("next", "what requests get: kubectl asmjwt why TYPE/NAME --jwt-file FILE")
}
