package render

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

// The elements of JUnit's XML that CI servers read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr,omitempty"`
		Failure *junitProblem `xml:"failure,omitempty"`
		Error   *junitProblem `xml:"error,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// ProbeJUnit writes a report as JUnit's XML: a test case for each request. One that
// differs, or is not as expected, is a failure; one that could not be found out an error.
func ProbeJUnit(w io.Writer, r *probe.Report) error {
	suite := junitSuite{Name: xmlText("probe " + r.To.URL), Tests: len(r.Rows)}
	for i := range r.Rows {
		row := &r.Rows[i]
		c := junitCase{Name: xmlText(row.Method + " " + row.Path + " " + row.Name), Class: "asmjwt.probe"}
		if row.Observed != nil && row.Observed.Millis > 0 {
			const perSecond = 1000
			c.Time = fmt.Sprintf("%.3f", float64(row.Observed.Millis)/perSecond)
		}
		problem := &junitProblem{Message: xmlText(junitMessage(row)), Text: xmlText(junitText(row))}
		switch {
		case row.Unexpected() || row.Outcome == probe.Differs:
			c.Failure = problem
			suite.Failures++
		case row.Unknown():
			c.Error = problem
			suite.Errors++
		}
		suite.Cases = append(suite.Cases, c)
	}
	text, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return fmt.Errorf("write JUnit's XML: %w", err)
	}
	if _, err := io.WriteString(w, xml.Header+string(text)+"\n"); err != nil {
		return fmt.Errorf("write JUnit's XML: %w", err)
	}
	return nil
}

func junitMessage(row *probe.Row) string {
	text := "predicted " + predictedOf(row) + ", observed " + row.SeenWords()
	if row.Unexpected() {
		text = "expected " + row.Expected + ", " + text
	}
	return text
}

func junitText(row *probe.Row) string {
	var out []string
	if row.Note != "" {
		out = append(out, row.Note)
	}
	if row.Because != "" {
		out = append(out, "predicted because "+row.Because)
	}
	out = append(out, "answered by "+row.AnsweredBy.Name+": "+row.AnsweredBy.Evidence)
	for i, r := range row.Reasons {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d. %s (%s)", i+1, r.Message, r.Evidence)))
	}
	return strings.Join(out, "\n")
}

// xmlText is a stranger's text as XML takes it; line breaks of ours stay.
func xmlText(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if !utf8.ValidString(line) {
			line = strings.ToValidUTF8(line, "?")
		}
		lines[i] = clean(line)
	}
	return strings.Join(lines, "\n")
}
