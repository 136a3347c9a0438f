package grant

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// samples are texts that a pattern takes, the most likely one first.
func samples(m envoy.StringMatch) []string {
	switch m.Kind {
	case envoy.StringExact:
		return []string{m.Value}
	case envoy.StringPrefix:
		return []string{m.Value + "x", m.Value}
	case envoy.StringSuffix:
		return []string{"x" + m.Value, m.Value, "/x" + m.Value, "/x/" + m.Value}
	case envoy.StringNonEmpty:
		return []string{"x", "/x"}
	default:
		return []string{sampleRegex(m.Value)}
	}
}

// accepts says whether a pattern takes a text, by its definition.
func accepts(m envoy.StringMatch, text string) bool {
	value := m.Value
	if m.IgnoreCase {
		value, text = strings.ToLower(value), strings.ToLower(text)
	}
	switch m.Kind {
	case envoy.StringExact:
		return text == value
	case envoy.StringPrefix:
		return strings.HasPrefix(text, value)
	case envoy.StringSuffix:
		return strings.HasSuffix(text, value)
	case envoy.StringNonEmpty:
		return text != ""
	default:
		return regexp.MustCompile(`\A(?:` + value + `)\z`).MatchString(text)
	}
}

// sampleRegex is a text that matches a regular expression as a whole.
func sampleRegex(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return ""
	}
	var b strings.Builder
	writeSample(&b, re)
	return b.String()
}

func writeSample(b *strings.Builder, re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpCharClass:
		writeClass(b, re.Rune)
	case syntax.OpPlus, syntax.OpCapture, syntax.OpAlternate:
		writeSample(b, re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			writeSample(b, sub)
		}
	}
	// What may be missing (*, ?) is missing.
}

// writeClass writes an x if the class has it, else its first character.
func writeClass(b *strings.Builder, ranges []rune) {
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i] <= 'x' && 'x' <= ranges[i+1] {
			b.WriteByte('x')
			return
		}
	}
	b.WriteRune(ranges[0])
}

// fillTemplate is a path that a template takes.
func fillTemplate(template string) string {
	return strings.NewReplacer("{**}", "x/y", "{*}", "x").Replace(template)
}

// templateTakes says whether a template takes a path, by its definition.
func templateTakes(template, path string) bool {
	const segment = `[a-zA-Z0-9\-._~%!$&'()+,;:@=*]`
	expr := regexp.QuoteMeta(template)
	expr = strings.ReplaceAll(expr, regexp.QuoteMeta("{**}"), `(?:`+segment+`|/)*`)
	expr = strings.ReplaceAll(expr, regexp.QuoteMeta("{*}"), segment+`+`)
	return regexp.MustCompile(`\A` + expr + `\z`).MatchString(path)
}
