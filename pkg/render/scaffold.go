package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// ManifestYAML is objects as a person would write them: one document each, with the
// words on what they are there for.
func ManifestYAML(objects ...*scaffold.Object) ([]byte, error) {
	var out bytes.Buffer
	for i, o := range objects {
		if i > 0 {
			out.WriteString("---\n")
		}
		for _, line := range o.Why {
			p := &page{style: NewStyle(false)}
			p.hanging(0, 0, Printable(line))
			for _, l := range strings.Split(strings.TrimRight(p.String(), "\n"), "\n") {
				out.WriteString("# " + l + "\n")
			}
		}
		enc := yaml.NewEncoder(&out)
		enc.SetIndent(2)
		if err := errors.Join(enc.Encode(tree(o.Tree())), enc.Close()); err != nil {
			return nil, fmt.Errorf("write YAML: %w", err)
		}
	}
	return out.Bytes(), nil
}

// ManifestJSON is objects as a List, which kubectl applies as it is.
func ManifestJSON(w io.Writer, objects ...*scaffold.Object) error {
	items := make([]any, len(objects))
	for i, o := range objects {
		items[i] = o
	}
	out, err := marshal(scaffold.Map{{Key: "apiVersion", Value: "v1"}, {Key: "kind", Value: "List"}, {Key: "items", Value: items}})
	if err != nil {
		return err
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// tree is a value as YAML that keeps its order and its words.
func tree(v any) *yaml.Node {
	switch v := v.(type) {
	case scaffold.Map:
		out := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range v {
			key, value := scalar(m.Key), tree(m.Value)
			if value.Kind == yaml.ScalarNode && value.Style != yaml.LiteralStyle && len(key.Value)+len(value.Value)+len(m.Why) < Columns-20 {
				value.LineComment = comment(m.Why)
			} else {
				key.HeadComment = comment(m.Why)
			}
			out.Content = append(out.Content, key, value)
		}
		return out
	case []any:
		out := &yaml.Node{Kind: yaml.SequenceNode}
		width := 0
		for _, item := range v {
			text, ok := item.(string)
			if width += len(text) + 4; !ok {
				width = Columns
			}
			out.Content = append(out.Content, tree(item))
		}
		if width < Columns/2 { // a few words fit on the line
			out.Style = yaml.FlowStyle
		}
		return out
	case scaffold.Item:
		out := tree(v.Value)
		out.HeadComment = comment(v.Why)
		return out
	case scaffold.Block:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(v), Style: yaml.LiteralStyle}
	case string:
		return scalar(v)
	case bool:
		return scalar(v)
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(v)}
	}
}

// comment is a comment, on as many lines as it needs beside the indentation.
func comment(why string) string {
	if why == "" {
		return ""
	}
	var lines []string
	line := "#"
	for _, word := range strings.Fields(Printable(why)) {
		if runeLen(line)+1+runeLen(word) > Columns-14 {
			lines, line = append(lines, line), "#"
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}

// ScaffoldReport says what objects apply to, what requests get with them, and what
// they change for what is there.
func ScaffoldReport(w io.Writer, plan *scaffold.Plan, outcome *scaffold.Outcome, style *Style) error {
	p := &page{style: style}
	p.labelled("Applies to", reachWords(plan.Place))
	if v := plan.Version; !v.IsZero() {
		p.labelled("Version", clean(versionWords(plan)))
	}
	for _, t := range outcome.Tables {
		p.line("")
		p.truthTable(t)
	}
	if outcome.More > 0 {
		p.line("")
		p.indented(0, fmt.Sprintf("and %d more ports of workloads, which were not asked", outcome.More))
	}
	p.remarks(plan, outcome)
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func versionWords(plan *scaffold.Plan) string {
	words := scaffold.VersionWords(plan.Version, plan.ASM)
	if plan.VersionFrom != "flag" {
		words += " (" + plan.VersionFrom + ")"
	}
	return words
}

func reachWords(place scaffold.Place) string {
	words := clean(place.What) + " ("
	if len(place.Selector) > 0 && !strings.Contains(place.What, "pods with ") && !strings.Contains(place.What, " selects, ") {
		var pairs []string
		for k, v := range place.Selector {
			pairs = append(pairs, k+"="+v)
		}
		words += "selector " + clean(strings.Join(sorted(pairs), ",")) + "; "
	}
	return words + clean(place.Reach) + ")"
}

// truthTable writes one table, its Columns as wide as their heads.
func (p *page) truthTable(t scaffold.Table) {
	if len(t.Of) > 0 && t.Of[0] != "" {
		p.indented(0, clean(someOf(t.Of)))
	}
	if t.Caller != "" {
		p.indented(0, "asked with mTLS, as "+clean(t.Caller))
	}
	first := 0
	for _, r := range t.Rows {
		first = max(first, runeLen(clean(r.Label)))
	}
	line := strings.Repeat(" ", first)
	for _, c := range t.Columns {
		line += "   " + clean(c)
	}
	p.line(p.style.strong.Sprint(strings.TrimRight(line, " ")))
	for _, r := range t.Rows {
		label := clean(r.Label)
		line := label + strings.Repeat(" ", first-runeLen(label))
		for i, c := range r.Cells {
			width := runeLen(clean(t.Columns[i]))
			text := c.Is
			left := max(0, (width-len(text))/2)
			padded := strings.Repeat(" ", left) + text + strings.Repeat(" ", max(0, width-left-len(text)))
			line += "   " + strings.Replace(padded, text, p.cell(text), 1)
		}
		p.line(line)
	}
}

// cell colours an answer, which is already padded.
func (p *page) cell(text string) string {
	switch {
	case text == "200":
		return p.style.good.Sprint(text)
	case strings.HasPrefix(text, "?"):
		return p.style.doubt.Sprint(text)
	default:
		return p.style.bad.Sprint(text)
	}
}

// someOf are names, the first few of them.
func someOf(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(names[:most], "; "), len(names)-most)
}

// remarks are the changes, the warnings and the notes, in this order.
func (p *page) remarks(plan *scaffold.Plan, outcome *scaffold.Outcome) {
	if len(outcome.Changes) > 0 {
		p.line("")
		for i, c := range outcome.Changes {
			label := ""
			if i == 0 {
				label = "Changes"
			}
			p.labelled(label, clean(c))
		}
	}
	all := append(append([]scaffold.Note(nil), outcome.Notes...), plan.Notes...)
	for _, warning := range []bool{true, false} {
		first := true
		for _, n := range all {
			if n.Warning != warning {
				continue
			}
			if first {
				p.line("")
				first = false
			}
			label := "Note"
			if warning {
				label = "Warning"
			}
			p.labelled(label, clean(n.Text))
		}
	}
}

func sorted(in []string) []string {
	slices.Sort(in)
	return in
}
