package envoy

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
