package envoy

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// PathMatch compares the path without query and fragment
// (Envoy source/common/common/matchers.cc:PathMatcher::match).
type PathMatch struct{ String StringMatch }

func (m *PathMatch) match(s *state) Tri {
	if !s.hasPath {
		return no
	}
	if gap := s.unseenPath(); gap != nil {
		return unknown(gap)
	}
	return truth(m.String.matches(s.pathAlone(), s))
}

func (m *PathMatch) got(s *state) string { return gotPath(s) }

func gotPath(s *state) string {
	switch {
	case !s.hasPath:
		return gotNone
	case s.unseenPath() != nil:
		return gotUnseen
	}
	return quote(cutQuery(s.path))
}

// TemplateMatch is a path template: * is one segment, ** any number of them.
type TemplateMatch struct {
	Template string
	re, star *regexp.Regexp // without and with '*' among the characters of a segment
}

const templateChars = `a-zA-Z0-9-._~%!$&'()+,;:@=`

var (
	templateLiteral  = lazyregexp.New(`^[` + templateChars + `*]+$`)
	templateReplacer = strings.NewReplacer("{*}", "*", "{**}", "**")
)

// NewTemplate compiles a template as Istio writes it, with {*} and {**}. It fails
// where Envoy would refuse the configuration
// (Envoy source/extensions/path/uri_template_lib/uri_template_internal.cc:parsePathPatternSyntax,
// Istio pilot/pkg/security/authz/matcher/template.go).
func NewTemplate(template string) (*TemplateMatch, error) {
	m := &TemplateMatch{Template: template}
	rest := templateReplacer.Replace(template)
	if !strings.HasPrefix(rest, "/") {
		return nil, fmt.Errorf("path template %q does not begin with a slash", template)
	}
	var plain, star strings.Builder
	text, afterText := rest[1:], false
	write := func(p, s string) { plain.WriteString(p); star.WriteString(s) }
	write("/", "/")
	for text != "" {
		var isText bool
		switch {
		case strings.HasPrefix(text, "**"):
			text, isText = text[2:], true
			write(`[`+templateChars+`/]*`, `[`+templateChars+`*/]*`)
		case text[0] == '*':
			text = text[1:]
			write(`[`+templateChars+`]+`, `[`+templateChars+`*]+`)
			if afterText {
				return nil, fmt.Errorf("path template %q has an operator after {**}", template)
			}
		default:
			lit, err := literal(text, template)
			if err != nil {
				return nil, err
			}
			text = text[len(lit):]
			write(templateEscape(lit), templateEscape(lit))
		}
		if isText && afterText {
			return nil, fmt.Errorf("path template %q has an operator after {**}", template)
		}
		afterText = afterText || isText
		if text == "" {
			break
		}
		if text[0] == '/' {
			text = text[1:]
			write("/", "/")
			continue
		}
		suffix, err := literal(text, template)
		if err != nil {
			return nil, err
		}
		if suffix != text {
			return nil, fmt.Errorf("path template %q has an operator that is not a whole segment", template)
		}
		write(templateEscape(suffix), templateEscape(suffix))
		text = ""
	}
	var err error
	if m.re, err = regexp.Compile("^(?:" + plain.String() + ")$"); err != nil {
		return nil, fmt.Errorf("path template %q: %w", template, err)
	}
	if m.star, err = regexp.Compile("^(?:" + star.String() + ")$"); err != nil {
		return nil, fmt.Errorf("path template %q: %w", template, err)
	}
	return m, nil
}

func literal(text, template string) (string, error) {
	lit := text
	if i := strings.IndexByte(text, '/'); i >= 0 {
		lit = text[:i]
	}
	if !templateLiteral.MatchString(lit) {
		return "", fmt.Errorf("path template %q has the segment %q, which is no valid literal", template, lit)
	}
	return lit, nil
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
	if s.b.versioned() {
		return truth(differs(s, TraitTemplateStar, m.star.MatchString(path), m.re.MatchString(path)))
	}
	re := m.re
	if s.b.TemplateMatchesStar {
		re = m.star
	}
	return truth(re.MatchString(path))
}

func (m *TemplateMatch) got(s *state) string { return gotPath(s) }
