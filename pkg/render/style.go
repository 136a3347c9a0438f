package render

import (
	"cmp"

	"github.com/fatih/color"
)

// Columns is how wide a screen is where nobody says how wide it is, and narrowest
// the least that a text is laid out for.
const (
	Columns   = 80
	narrowest = 40
)

// Style is how one writer wants its text. Colour is never the only signal.
type Style struct {
	good, bad, doubt, strong, faint *color.Color

	// Columns is how many characters a line may have. Less than 40 counts as 40.
	Columns int
	// Wide shows every policy and every skipped one, and cuts no value.
	Wide bool
	// Kubectl is how kubectl is called for the server that has the policies; empty: by its
	// name alone.
	Kubectl string
}

func (s *Style) kubectl() string { return cmp.Or(s.Kubectl, "kubectl") }

// NewStyle makes a style with or without colours, 80 columns wide. The colours know
// by themselves whether they are on: the library's own answer is about standard
// output at the start of the process, and is not asked.
func NewStyle(colours bool) *Style {
	c := func(attrs ...color.Attribute) *color.Color {
		out := color.New(attrs...)
		if colours {
			out.EnableColor()
		} else {
			out.DisableColor()
		}
		return out
	}
	return &Style{
		good: c(color.FgGreen, color.Bold), bad: c(color.FgRed, color.Bold), doubt: c(color.FgYellow, color.Bold),
		strong: c(color.Bold), faint: c(color.Faint), Columns: Columns,
	}
}
