package envoy

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// StringKind is how a StringMatch compares.
type StringKind uint8

// The kinds of string matches that Istio's generator writes.
const (
	StringExact StringKind = iota
	StringPrefix
	StringSuffix
	StringNonEmpty // the regular expression .+
	StringRegex
)

// StringMatch is Envoy's StringMatcher: exact, prefix, suffix or a regular
// expression that must match the whole (Envoy source/common/common/matchers.cc).
type StringMatch struct {
	Kind       StringKind
	Value      string
	IgnoreCase bool
	re         *regexp.Regexp
}

// NewRegex compiles a regular expression in RE2's syntax that must match the
// whole value.
func NewRegex(expr string) (StringMatch, error) {
	re, err := regexp.Compile(`^(?:` + expr + `)$`)
	if err != nil {
		return StringMatch{}, err
	}
	return StringMatch{Kind: StringRegex, Value: expr, re: re}, nil
}

// matches compares v, case-sensitively unless told otherwise. A dot of a regular
// expression matches every character but the newline; in versions that decode
// UTF-8 first, it matches no invalid sequence.
func (m *StringMatch) matches(v string, s *state) bool {
	ok := m.compare(v, s.b)
	if s.quiet && !s.b.versioned() {
		return ok
	}
	if s.b.versioned() && m.Kind >= StringNonEmpty && !utf8.ValidString(v) {
		with, without := s.b, s.b
		with.RegexLatin1, without.RegexLatin1 = true, false
		ok = differs(s, TraitRegexLatin1, m.compare(v, with), m.compare(v, without))
	}
	kind := Branch(m.Kind)
	if m.IgnoreCase {
		kind = stringKinds - 1
	}
	s.br.add(answered(BranchStrings, kind, ok))
	return ok
}

// quick is matches for the comparisons that policies have most, without what tests count.
func (m *StringMatch) quick(v string, s *state) bool {
	if !m.IgnoreCase {
		switch m.Kind {
		case StringExact:
			return v == m.Value
		case StringPrefix:
			return strings.HasPrefix(v, m.Value)
		case StringSuffix:
			return strings.HasSuffix(v, m.Value)
		}
	}
	return m.matches(v, s)
}

func (m *StringMatch) compare(v string, b Behavior) bool {
	switch m.Kind {
	case StringExact:
		if m.IgnoreCase {
			return lower(v) == lower(m.Value)
		}
		return v == m.Value
	case StringPrefix:
		if m.IgnoreCase {
			return strings.HasPrefix(lower(v), lower(m.Value))
		}
		return strings.HasPrefix(v, m.Value)
	case StringSuffix:
		if m.IgnoreCase {
			return strings.HasSuffix(lower(v), lower(m.Value))
		}
		return strings.HasSuffix(v, m.Value)
	case StringNonEmpty:
		return v != "" && strings.IndexByte(v, '\n') < 0 && (b.RegexLatin1 || utf8.ValidString(v))
	default:
		return (b.RegexLatin1 || utf8.ValidString(v)) && m.re.MatchString(v)
	}
}

// HeaderMatch is a header's value, or with Present its existence. Name is
// lower-case; ":authority", ":method" and ":path" are the pseudo headers.
type HeaderMatch struct {
	Name    string
	Present bool
	String  StringMatch
}

func (m *HeaderMatch) match(s *state) Tri {
	if v, ok := s.pseudo(m.Name); ok {
		s.br.add(BranchMatchPseudo)
		if gap := s.req.unseenPseudo(m.Name); gap != nil && !m.Present {
			return unknown(gap)
		}
		return truth(m.Present || m.String.matches(v, s))
	}
	if gap := s.req.unseenHeader(m.Name); gap != nil && !(m.Present && s.hasOwn(m.Name)) {
		return unknown(gap)
	}
	found, joined := false, ""
	individually := s.b.MatchHeadersIndividually
	if s.b.versioned() && !m.Present {
		individually = m.individually(s)
	}
	var gap *Missing
	for _, l := range s.headers {
		if l.name != m.Name {
			continue
		}
		if m.Present {
			if l.missing != nil && l.missing == s.unseenPayload {
				return unknown(l.missing)
			}
			s.br.add(BranchMatchHeaderPresent)
			return yes
		}
		if l.missing != nil {
			if l.missing != generatedRequestID || m.String.couldBeUUID() {
				gap = l.missing
			}
			continue
		}
		if individually {
			if m.String.matches(l.value, s) {
				s.br.add(BranchMatchHeaderLine)
				return yes
			}
			continue
		}
		if found {
			joined += ","
		}
		joined += l.value
		found = true
	}
	if gap != nil {
		return unknown(gap)
	}
	return truth(found && m.String.matches(joined, s))
}

// individually settles how several lines of the header are compared, where that
// makes a difference.
func (m *HeaderMatch) individually(s *state) bool {
	var values []string
	for _, l := range s.headers {
		if l.name == m.Name && l.missing == nil {
			values = append(values, l.value)
		}
	}
	has := s.b.MatchHeadersIndividually
	if len(values) < 2 {
		return has
	}
	any := false
	for _, v := range values {
		any = any || m.String.matches(v, s)
	}
	if any == m.String.matches(strings.Join(values, ","), s) {
		return has
	}
	return s.trait(TraitHeadersIndividually)
}

func (m *HeaderMatch) got(s *state) string {
	if v, ok := s.pseudo(m.Name); ok {
		switch gap := s.req.unseenPseudo(m.Name); {
		case gap != nil && gap == s.req.AuthorityMissing:
			return "a host that is not given"
		case gap != nil:
			return gotUnseen
		}
		return quote(v)
	}
	if s.req.unseenHeader(m.Name) != nil {
		return gotUnseen
	}
	var vs []string
	for _, l := range s.headers {
		switch {
		case l.name != m.Name:
		case l.missing != nil:
			vs = append(vs, "a value that is not known")
		default:
			vs = append(vs, quote(l.value))
		}
	}
	if len(vs) == 0 {
		return gotNone
	}
	return strings.Join(vs, ", ")
}

// couldBeUUID reports whether a random UUID in lower-case hex could match.
func (m StringMatch) couldBeUUID() bool {
	const length = 36
	fits := func(v string, at int) bool {
		for i := 0; i < len(v); i++ {
			switch p := at + i; {
			case p >= length:
				return false
			case p == 8 || p == 13 || p == 18 || p == 23:
				if v[i] != '-' {
					return false
				}
			case !('0' <= v[i] && v[i] <= '9' || 'a' <= v[i] && v[i] <= 'f'):
				return false
			}
		}
		return true
	}
	switch m.Kind {
	case StringExact:
		return len(m.Value) == length && fits(m.Value, 0)
	case StringPrefix:
		return fits(m.Value, 0)
	case StringSuffix:
		return len(m.Value) <= length && fits(m.Value, length-len(m.Value))
	default:
		return true
	}
}

// SNIMatch is the server name of the TLS connection; without TLS it is empty.
type SNIMatch struct{ String StringMatch }

func (m *SNIMatch) match(s *state) Tri {
	sni := s.req.Connection.SNI
	if !sni.IsKnown() {
		return unknown(sni.Missing)
	}
	// The TLS inspector keeps the name in lower case.
	return truth(m.String.matches(lower(sni.Value), s))
}

func (m *SNIMatch) got(s *state) string {
	sni := s.req.Connection.SNI
	if !sni.IsKnown() || sni.Value == "" {
		return gotNone
	}
	return quote(sni.Value)
}

// gotUnseen stands for a part of the request that was not seen.
const gotUnseen = "something that was not seen"

const gotNone = "none"
