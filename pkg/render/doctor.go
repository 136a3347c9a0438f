package render

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/doctor"
)

// Doctor writes what the command doctor found out, for a person.
func Doctor(w io.Writer, r *doctor.Report, style *Style) error {
	p := &page{style: style}
	p.health(r)
	p.line("")
	for i, plane := range r.Planes {
		p.plane(i, plane)
	}
	p.versions(r.Versions)
	p.rights("may read", r.Rights)
	p.rights("the proxy", r.Proxy)
	p.line("")
	hints := 0
	for _, problem := range r.Problems {
		if problem.Hint != "" {
			p.labelled("next", clean(problem.Hint))
			hints++
		}
	}
	if hints == 0 {
		p.labelled("next", "ask about a request: why TYPE/NAME -n "+clean(r.Namespace)+" --path /…")
	}
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// health is the first line: what is wrong, if anything.
func (p *page) health(r *doctor.Report) {
	if len(r.Problems) == 0 {
		p.line(p.style.good.Sprint("ok") + ": everything that a verdict needs can be read in " + clean(r.Namespace))
		return
	}
	for _, problem := range r.Problems {
		mark := p.style.bad.Sprint("problem")
		if problem.Unsure {
			mark = p.style.doubt.Sprint("not known")
		}
		p.hanging(0, 0, mark+": "+clean(problem.Message))
	}
}

func (p *page) plane(i int, plane doctor.Plane) {
	label := ""
	if i == 0 {
		label = "servers"
	}
	about := clean(plane.Role) + ": " + clean(plane.Server)
	if plane.Context != "" {
		about += ", context " + clean(plane.Context)
	}
	if plane.Kubernetes != "" {
		about += ", Kubernetes " + clean(plane.Kubernetes)
	}
	if plane.From != "" {
		about += ", from " + clean(plane.From)
	}
	p.labelled(label, about)
	var groups []string
	for _, g := range plane.Serves {
		versions := make([]string, len(g.Versions))
		for j, v := range g.Versions {
			versions[j] = clean(v)
		}
		groups = append(groups, clean(g.Name)+" "+strings.Join(versions, " "))
	}
	if len(groups) == 0 {
		groups = append(groups, "nothing of a mesh")
	}
	p.labelled("", "serves "+strings.Join(groups, ", "))
}

func (p *page) versions(versions []doctor.Version) {
	for i, v := range versions {
		label := ""
		if i == 0 {
			label = "versions"
		}
		number := v.Version
		if number == "" {
			number = "?"
		}
		text := clean(v.What) + " " + clean(number)
		if v.Count > 0 {
			text += " × " + strconv.Itoa(v.Count)
		}
		p.labelled(label, text+" ("+clean(v.From)+")")
	}
}

// rights are told by what they are for: one line where all are there, else what is lacking.
func (p *page) rights(label string, rights []doctor.Right) {
	const width = 33
	type purpose struct {
		name           string
		lacking, doubt []string
	}
	var order []*purpose
	by := map[string]*purpose{}
	for _, r := range rights {
		g := by[r.For]
		if g == nil {
			g = &purpose{name: r.For}
			by[r.For], order = g, append(order, g)
		}
		switch r.Allowed {
		case doctor.No:
			g.lacking = append(g.lacking, clean(r.What))
		case doctor.Unknown:
			g.doubt = append(g.doubt, clean(r.What))
		case doctor.Yes:
		}
	}
	for _, g := range order {
		name := clean(g.name)
		line := name + strings.Repeat(" ", max(1, width-runeLen(name)))
		switch {
		case len(g.lacking) > 0:
			p.labelled(label, line+p.style.bad.Sprint("no"))
		case len(g.doubt) > 0:
			p.labelled(label, line+p.style.doubt.Sprint("not known"))
		default:
			p.labelled(label, line+p.style.good.Sprint("yes"))
		}
		label = ""
		for _, what := range g.lacking {
			p.indented(14, "lacking: "+what)
		}
		for _, what := range g.doubt {
			p.indented(14, "not told: "+what)
		}
	}
}
