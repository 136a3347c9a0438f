package render

import (
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

// probeColumns are the widths of the table's columns, but the last.
type probeColumns struct{ name, predicted, observed int }

// gapOfColumns is between two columns.
const gapOfColumns = 2

// The least that a column has, and the most that each asks for.
const (
	leastColumn = 10
	mostName    = 18
	mostSeen    = 26
	mostBy      = 22
)

// columnsOf fits the columns to the rows and the screen: what does not fit is cut in the
// middle, and told in full by -o json.
func (p *page) columnsOf(rows []probe.Row) probeColumns {
	c := probeColumns{leastColumn, leastColumn, leastColumn}
	by := leastColumn
	for i := range rows {
		r := &rows[i]
		c.name = min(max(c.name, runeLen(clean(r.Name))), mostName)
		c.predicted = max(c.predicted, runeLen(predictedOf(r)))
		c.observed = max(c.observed, runeLen(clean(r.SeenWords())))
		by = max(by, runeLen(clean(r.AnsweredBy.Name)))
	}
	if p.style.Wide {
		return c
	}
	left := p.columns() - 3*gapOfColumns - c.name - min(by, mostBy)
	c.observed = min(c.observed, max(leastColumn, min(mostSeen, left-min(c.predicted, left/2))))
	c.predicted = min(c.predicted, max(leastColumn, left-c.observed))
	return c
}

func (p *page) probeCell(text string, width int) string {
	text = middle(text, width)
	return text + strings.Repeat(" ", width-runeLen(text)+gapOfColumns)
}

// probeRows writes the rows, those of one path together.
func (p *page) probeRows(r *probe.Report) {
	c := p.columnsOf(r.Rows)
	path := ""
	several := severalPaths(r)
	told := map[string]string{}
	for i := range r.Rows {
		row := &r.Rows[i]
		if i == 0 || row.Path != path {
			path = row.Path
			p.line("")
			title := ""
			if several || row.Method != "GET" {
				title = clean(row.Method + " " + row.Path)
				p.line(p.style.strong.Sprint(middle(title, p.columns())))
			}
			if i == 0 {
				p.line(p.style.faint.Sprint(strings.TrimRight(p.probeCell("", c.name)+p.probeCell("predicted", c.predicted)+p.probeCell("observed", c.observed)+"answered by", " ")))
			}
		}
		p.probeRow(row, c, told)
	}
}

// probeRow writes a row. told are the likeliest reasons that stand above, with the names of
// their rows.
func (p *page) probeRow(row *probe.Row, c probeColumns, told map[string]string) {
	line := p.probeCell(clean(row.Name), c.name) + p.probeCell(predictedOf(row), c.predicted) + p.probeCell(clean(row.SeenWords()), c.observed)
	p.line(line + middle(clean(row.AnsweredBy.Name), max(leastColumn, p.columns()-runeLen(line))))
	switch row.Outcome {
	case probe.Differs:
		p.probeReasons(row, told)
	case probe.NotSeen:
		p.below(p.style.doubt.Sprint("?"), 1, clean(row.Note))
	case probe.Undetermined:
		text := "the prediction is undetermined; what was seen is one of its possibilities"
		if row.Note != "" {
			text = clean(row.Note)
		}
		p.below(p.style.doubt.Sprint("?"), 1, text)
	case probe.Agrees:
		if row.Note != "" {
			p.below("note", 4, clean(row.Note))
		}
	}
	if row.Unexpected() {
		p.below(p.style.bad.Sprint("UNEXPECTED"), 10, "--expect says "+row.Expected)
	}
}

// below writes a word and a text below a row. A colour has no width.
func (p *page) below(word string, width int, text string) {
	const indent = 2
	p.WriteString("  " + word + " ")
	p.hanging(indent+width+1, indent+width+1, text)
}

// probeReasons are what may be behind a difference.
func (p *page) probeReasons(row *probe.Row, told map[string]string) {
	const indent = 6
	if len(row.Reasons) > 0 {
		first := row.Reasons[0].Message
		if above, ok := told[first]; ok {
			p.below(p.style.bad.Sprint("DIFFERS"), 7, "likely for the same reason as "+above)
			return
		}
		told[first] = clean(row.Name)
	}
	p.below(p.style.bad.Sprint("DIFFERS"), 7, "answered by "+clean(row.AnsweredBy.Name)+": "+clean(row.AnsweredBy.Evidence))
	for i, r := range row.Reasons {
		p.WriteString("   " + strconv.Itoa(i+1) + "  ")
		p.hanging(indent, indent, clean(r.Message))
		if r.Evidence != "" {
			text := clean(r.Evidence)
			if r.Fits {
				text += " (evaluated again: it fits)"
			}
			p.indented(indent, text)
		}
		if r.Try != "" {
			p.indented(indent, "try: "+clean(r.Try))
		}
	}
}
