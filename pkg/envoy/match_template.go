package envoy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// TemplateMatch is a path template: * is one segment, ** any number of them.
type TemplateMatch struct {
	Template string
	// Without and with '*' among the characters of a segment; nil where the template
	// makes an expression that RE2 refuses. The proxy takes such a template all the
	// same, and no path matches it (uri_template_match.h:UriTemplateMatcher).
	re, star *regexp.Regexp
}

const templateChars = `a-zA-Z0-9-._~%!$&'()+,;:@=`

var (
	templatePrintable = lazyregexp.New(`^/[[:graph:]]*$`)
	templateLiteral   = lazyregexp.New(`^[` + templateChars + `*]+$`)
	templateVariable  = lazyregexp.New(`^[a-zA-Z][a-zA-Z0-9_]*$`)
	templateReplacer  = strings.NewReplacer("{*}", "*", "{**}", "**")
)

// The limits of variables (uri_template_internal.cc:kPatternMatchingMaxVariablesPerPath,
// kPatternMatchingMaxVariableNameLen).
const (
	maxVariables    = 5
	maxVariableName = 16
)

// templatePart is a literal, or one of the operators * and **.
type templatePart struct {
	text     string
	operator bool
}

func (p templatePart) isText() bool { return p.operator && p.text == "**" }

// templateSegment is a part, or a variable, which may have literals around it. Istio
// makes no use of variables and admission refuses them, but istiod passes them on.
type templateSegment struct {
	variable       string // its name; "" if the segment is a part
	prefix, suffix string
	parts          []templatePart
}

// NewTemplate compiles a template as Istio writes it, with {*} and {**}. It fails
// where Envoy would refuse the configuration
// (Envoy source/extensions/path/uri_template_lib/uri_template_internal.cc:parsePathPatternSyntax,
// Istio pilot/pkg/security/authz/matcher/template.go).
func NewTemplate(template string) (*TemplateMatch, error) {
	segments, suffix, err := parseTemplate(templateReplacer.Replace(template))
	if err == nil {
		err = checkTemplate(segments)
	}
	if err != nil {
		return nil, fmt.Errorf("path template %q %w", template, err)
	}
	m := &TemplateMatch{Template: template}
	m.re, _ = regexp.Compile("^(?:" + templateRegex(segments, suffix, templateChars) + ")$")
	m.star, _ = regexp.Compile("^(?:" + templateRegex(segments, suffix, templateChars+"*") + ")$")
	return m, nil
}

func parseTemplate(text string) (segments []templateSegment, suffix string, err error) {
	switch {
	case !strings.HasPrefix(text, "/"):
		return nil, "", errors.New("does not begin with a slash")
	case !templatePrintable.MatchString(text):
		return nil, "", errors.New("has a character that is not printable")
	}
	for text = text[1:]; text != ""; {
		var s templateSegment
		if s, text, err = parseSegment(text); err != nil {
			return nil, "", err
		}
		segments = append(segments, s)
		switch {
		case text == "/":
			return append(segments, templateSegment{parts: []templatePart{{}}}), "", nil
		case strings.HasPrefix(text, "/"):
			text = text[1:]
		case text != "":
			if suffix, text, err = parseLiteral(text); err == nil && text != "" {
				err = errors.New("has an operator that is not a whole segment")
			}
			return segments, suffix, err
		}
	}
	return segments, "", nil
}

// parseSegment reads a segment and gives what follows it.
func parseSegment(text string) (templateSegment, string, error) {
	segment, _, _ := strings.Cut(text, "/")
	switch {
	case text[0] == '*':
		p, rest := parseOperator(text)
		return templateSegment{parts: []templatePart{p}}, rest, nil
	case text[0] == '{', strings.Contains(segment, "{") && strings.Contains(segment, "}"):
		return parseVariable(text)
	}
	literal, rest, err := parseLiteral(text)
	return templateSegment{parts: []templatePart{{text: literal}}}, rest, err
}

func parseOperator(text string) (templatePart, string) {
	if rest, ok := strings.CutPrefix(text, "**"); ok {
		return templatePart{"**", true}, rest
	}
	return templatePart{"*", true}, text[1:]
}

func parseLiteral(text string) (literal, rest string, err error) {
	literal = text
	if i := strings.IndexByte(text, '/'); i >= 0 {
		literal, rest = text[:i], text[i:]
	}
	return literal, rest, checkLiteral(literal)
}

func checkLiteral(literal string) error {
	if !templateLiteral.MatchString(literal) {
		return fmt.Errorf("has the segment %q, which is no valid literal", literal)
	}
	return nil
}

// parseVariable reads {name} or {name=pattern} with the literals before and after it
// (uri_template_internal.cc:parseMixedVariableLiteral and parseVariable).
func parseVariable(text string) (s templateSegment, rest string, err error) {
	before, inside, _ := strings.Cut(text, "{")
	inside, after, closed := strings.Cut(inside, "}")
	if !closed {
		return s, "", errors.New("has a brace that is not closed")
	}
	s.prefix, s.suffix = before, after
	if i := strings.IndexByte(after, '/'); i >= 0 {
		s.suffix, rest = after[:i], after[i:]
	}
	for _, literal := range []string{s.prefix, s.suffix} {
		if literal != "" {
			err = errors.Join(err, checkLiteral(literal))
		}
	}
	name, pattern, hasPattern := strings.Cut(inside, "=")
	if s.variable = name; !templateVariable.MatchString(name) {
		err = errors.Join(err, fmt.Errorf("has the variable %q, which is no valid name", name))
	}
	switch {
	case err != nil:
	case hasPattern:
		s.parts, err = parseParts(pattern)
	default:
		s.parts = []templatePart{{"*", true}}
	}
	return s, rest, err
}

// parseParts reads the pattern of a variable.
func parseParts(pattern string) (parts []templatePart, err error) {
	for {
		if pattern == "" {
			return nil, errors.New("has a variable whose pattern ends too early")
		}
		var p templatePart
		if pattern[0] == '*' {
			p, pattern = parseOperator(pattern)
		} else if p.text, pattern, err = parseLiteral(pattern); err != nil {
			return nil, err
		}
		parts = append(parts, p)
		if pattern == "" {
			return parts, nil
		}
		if pattern[0] != '/' {
			return nil, errors.New("has a variable with an operator that is not a whole segment")
		}
		pattern = pattern[1:]
	}
}

// checkTemplate counts variables, and looks for operators behind a **
// (uri_template_internal.cc:gatherCaptureNames and validateNoOperatorAfterTextGlob).
func checkTemplate(segments []templateSegment) error {
	names, afterText := map[string]bool{}, false
	for _, s := range segments {
		if s.variable != "" {
			switch {
			case len(names) == maxVariables:
				return fmt.Errorf("has more than %d variables", maxVariables)
			case len(s.variable) > maxVariableName:
				return fmt.Errorf("has the variable %q, whose name is too long", s.variable)
			case names[s.variable]:
				return fmt.Errorf("has the variable %q twice", s.variable)
			}
			names[s.variable] = true
		}
		for _, p := range s.parts {
			if p.operator && afterText {
				return errors.New("has an operator after {**}")
			}
			afterText = afterText || p.isText()
		}
	}
	return nil
}

// templateRegex is the expression of a template with those characters in a segment
// (uri_template_internal.cc:toRegexPattern).
func templateRegex(segments []templateSegment, suffix, chars string) string {
	all := make([]string, len(segments))
	for i, s := range segments {
		parts := make([]string, len(s.parts))
		for j, p := range s.parts {
			switch {
			case p.isText():
				parts[j] = "[" + chars + "/]*"
			case p.operator:
				parts[j] = "[" + chars + "]+"
			default:
				parts[j] = templateEscape(p.text)
			}
		}
		if all[i] = strings.Join(parts, "/"); s.variable != "" {
			all[i] = templateEscape(s.prefix) + "(" + all[i] + ")" + templateEscape(s.suffix)
		}
	}
	return "/" + strings.Join(all, "/") + templateEscape(suffix)
}

var templateEscapes = strings.NewReplacer("$", `\$`, "(", `\(`, ")", `\)`, "+", `\+`, ".", `\.`)

// templateEscape quotes what Envoy quotes, and no more: a '*' inside a literal
// stays an operator of the regular expression (toRegexPattern).
func templateEscape(s string) string { return templateEscapes.Replace(s) }

func (m *TemplateMatch) match(s *state) Tri {
	if gap := s.unseenPath(); gap != nil {
		return unknown(gap)
	}
	path := s.pathAlone()
	fits := func(re *regexp.Regexp) bool { return re != nil && re.MatchString(path) }
	if s.b.versioned() {
		return truth(differs(s, TraitTemplateStar, fits(m.star), fits(m.re)))
	}
	if s.b.TemplateMatchesStar {
		return truth(fits(m.star))
	}
	return truth(fits(m.re))
}

func (m *TemplateMatch) got(s *state) string { return gotPath(s) }
