package envoy

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// AllMatch holds when all of its parts do. Istio's generator needs it, AnyMatch and
// NotMatch only in the shapes that Clause and Condition have; the configuration of a
// running proxy may have any.
type AllMatch []Matcher

// AnyMatch holds when one of its parts does.
type AnyMatch []Matcher

// NotMatch holds when its part does not.
type NotMatch struct{ Matcher }

func (m AllMatch) match(s *state) Tri {
	out := yes
	for _, p := range m {
		out = out.and(p.match(s))
	}
	return out
}

func (m AnyMatch) match(s *state) Tri {
	out := no
	for _, p := range m {
		out = out.or(p.match(s))
	}
	return out
}

func (m NotMatch) match(s *state) Tri { return m.Matcher.match(s).not() }

func (m AllMatch) got(s *state) string { return gotEach(m, s) }
func (m AnyMatch) got(s *state) string { return gotEach(m, s) }

func gotEach(ms []Matcher, s *state) string {
	var out []string
	for _, m := range ms {
		if g := m.got(s); len(out) == 0 || out[len(out)-1] != g {
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		return gotNone
	}
	return strings.Join(out, ", ")
}

func (m AllMatch) kind() Branch { return firstKind(m) }
func (m AnyMatch) kind() Branch { return firstKind(m) }

func firstKind(ms []Matcher) Branch {
	if len(ms) == 0 {
		return kindClaim
	}
	return ms[0].kind()
}

// AlwaysMatch is a part that says "any".
type AlwaysMatch struct{}

func (AlwaysMatch) match(*state) Tri  { return yes }
func (AlwaysMatch) got(*state) string { return "anything" }
func (AlwaysMatch) kind() Branch      { return kindClaim }

// ClaimShape says which shapes of a claim a ClaimShapeMatch takes.
type ClaimShape uint8

// The shapes: a string only, or a list with a string only.
const (
	ClaimString ClaimShape = iota
	ClaimList
)

// ClaimShapeMatch is a claim that must have one shape; ClaimMatch takes both.
type ClaimShapeMatch struct {
	ClaimMatch
	Shape ClaimShape
}

func (m *ClaimShapeMatch) match(s *state) Tri {
	v, ok := s.claim(m.Path)
	if !ok || (v.Kind() == jwt.String) != (m.Shape == ClaimString) {
		return no
	}
	return m.ClaimMatch.match(s)
}
