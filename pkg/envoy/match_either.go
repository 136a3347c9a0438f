package envoy

import "github.com/asmjwt/kubectl-asmjwt/pkg/jwt"

// EitherMatch is a value of which it is not known how the control plane has
// translated it: both ways are tried.
type EitherMatch struct {
	With Matcher
	// Without is the other way; nil for the plain answer WithoutAnswer, which stands
	// for a condition that is not there.
	Without       Matcher
	WithoutAnswer bool
	Missing       *Missing
}

// eitherQuestion identifies the question; the same fact has the same answer for
// all conditions of a request.
type eitherQuestion string

func (m *EitherMatch) match(s *state) Tri {
	with, without := m.With.match(s), truth(m.WithoutAnswer)
	if m.Without != nil {
		without = m.Without.match(s)
	}
	if with.T == without.T || s.choose(eitherQuestion(m.Missing.What), m.Missing) {
		return with
	}
	return without
}

func (m *EitherMatch) got(s *state) string { return m.With.got(s) }

func (m *EitherMatch) kind() Branch { return m.With.kind() }

// UnknownMatch is a condition that nobody here can read: a field that is newer
// than the API that this tool knows.
type UnknownMatch struct{ Missing *Missing }

func (m *UnknownMatch) match(*state) Tri { return unknown(m.Missing) }

func (m *UnknownMatch) got(*state) string { return "something that is not known here" }

func (m *UnknownMatch) kind() Branch { return kindClaim }

// LegacyMatch is a condition on a token in Istio before 1.21, which read what a
// filter of its own (istio_authn) had made of the token. That filter is documented
// roughly: a principal is one text issuer/subject, and claims are lists. Where all
// that it can mean comes to the same, that is the answer; else it is not known.
type LegacyMatch struct {
	// Now is the condition as newer versions read it.
	Now Matcher
	// Path leads to the claim; nil for the principal, which is compared with String
	// as one text.
	Path    []string
	String  StringMatch
	Missing *Missing
}

func (m *LegacyMatch) match(s *state) Tri {
	if s.unseenPayload != nil {
		return unknown(s.unseenPayload)
	}
	if !s.hasPayload {
		return no
	}
	now := m.Now.match(s)
	for _, answer := range m.readings(s) {
		if answer != (now.T == True) {
			return unknown(m.Missing)
		}
	}
	return now
}

// readings are the answers of all that the legacy metadata can have been.
func (m *LegacyMatch) readings(s *state) []bool {
	if m.Path == nil {
		return m.principals(s)
	}
	v, ok := s.claim(m.Path)
	switch {
	case !ok:
		return nil
	case len(m.Path) > 1:
		return []bool{false}
	case v.Kind() == jwt.String:
		// The text as a whole, or its words.
		whole, words := m.String.matches(v.Text(), s), false
		for _, w := range splitBlanks(v.Text()) {
			words = words || m.String.matches(w, s)
		}
		return []bool{whole, words}
	case v.Kind() == jwt.List:
		for _, e := range v.Elements() {
			if e.Kind() != jwt.String {
				return []bool{false}
			}
		}
	}
	return nil
}

// principals are the texts that iss and sub can have been made into.
func (m *LegacyMatch) principals(s *state) []bool {
	text := func(name string) (string, bool) {
		v, ok := s.payload.Field(name)
		if !ok || v.Kind() != jwt.String || v.Text() == "" {
			return "", false
		}
		return v.Text(), true
	}
	iss, hasIss := text("iss")
	sub, hasSub := text("sub")
	whole := m.String.matches(iss+"/"+sub, s)
	if hasIss && hasSub {
		return []bool{whole}
	}
	return []bool{whole, false, hasIss && m.String.matches(iss, s)}
}

func splitBlanks(v string) []string {
	var out []string
	start := -1
	for i := 0; i <= len(v); i++ {
		blank := i == len(v) || v[i] == ' '
		switch {
		case blank && start >= 0:
			out = append(out, v[start:i])
			start = -1
		case !blank && start < 0:
			start = i
		}
	}
	return out
}

func (m *LegacyMatch) got(s *state) string { return m.Now.got(s) }

func (m *LegacyMatch) kind() Branch { return m.Now.kind() }
