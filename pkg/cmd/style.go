package cmd

import (
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// style is how Out wants its text. Colours are for people: on a terminal, unless
// somebody has said no.
func (a *app) style(noColor bool) *render.Style {
	no, _ := a.LookupEnv("NO_COLOR")
	term, _ := a.LookupEnv("TERM")
	style := render.NewStyle(a.OutIsTerminal && !noColor && no == "" && term != "dumb")
	style.Columns, style.Kubectl = a.columns(), a.kubectl
	return style
}

// columns is how wide a line of Out may be: as COLUMNS says, else as the terminal
// does, else what every terminal has.
func (a *app) columns() int {
	text, _ := a.LookupEnv("COLUMNS")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return n
	}
	if a.OutIsTerminal && a.OutColumns != nil {
		if n := a.OutColumns(); n > 0 {
			return n
		}
	}
	return render.Columns
}
