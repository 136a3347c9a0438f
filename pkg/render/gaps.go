package render

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// gaps are what could not be read. Rights of one kind that are lacking in one place are
// asked for together: whoever has none of them would read two pages of it otherwise.
func (p *page) gaps(gaps []diagnose.Gap) {
	type ask struct{ verb, where string }
	asks := map[ask][]string{}
	for _, g := range gaps {
		if verb, what, where := permission(g); what != "" {
			asks[ask{verb, where}] = append(asks[ask{verb, where}], what)
		}
	}
	for _, g := range gaps {
		verb, what, where := permission(g)
		all := asks[ask{verb, where}]
		switch {
		case what == "":
			p.labelled("not known", clean(g.What)+": "+clean(g.Why))
			if g.Permission != "" {
				p.labelled("", "ask for: "+clean(g.Permission))
			}
		case len(all) == 1:
			p.labelled("not known", clean(g.What)+": "+clean(g.Why))
			p.labelled("", "ask for: "+clean(g.Permission))
		case all[0] == what:
			for i := range all {
				all[i] = clean(all[i]) // each by itself: together they are longer than what a stranger may say
			}
			p.labelled("not known", clean("forbidden"+where+": "+verb)+" "+strings.Join(all, ", "))
		}
	}
}

// permission takes a right apart: "list", "services" and " in foo". A gap that is for
// another reason than a right has none.
func permission(g diagnose.Gap) (verb, what, where string) {
	const in = " in "
	if g.Why != "forbidden" {
		return "", "", ""
	}
	verb, rest, _ := strings.Cut(g.Permission, " ")
	if what, where, found := strings.Cut(rest, in); found {
		return verb, what, in + where
	}
	return verb, rest, ""
}
