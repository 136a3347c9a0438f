package envoy

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// jwtFilter is the metadata namespace of the JWT filter; payload is its one key
// (Istio pilot/pkg/xds/filters/filters.go:EnvoyJwtFilterName, EnvoyJwtFilterPayload).
const (
	jwtFilter  = "envoy.filters.http.jwt_authn"
	jwtPayload = "payload"
	rbacFilter = "envoy.filters.http.rbac"
	// networkRBACFilter is where RBAC filters of chains that carry bytes write theirs.
	networkRBACFilter = "envoy.filters.network.rbac"
)

// PrincipalMatch is a value of requestPrincipals: both claims must be strings
// that match.
type PrincipalMatch struct{ Issuer, Subject StringMatch }

func (m *PrincipalMatch) match(s *state) Tri {
	if s.unseenPayload != nil {
		return unknown(s.unseenPayload)
	}
	return truth(s.claimMatches("iss", m.Issuer) && s.claimMatches("sub", m.Subject))
}

func (m *PrincipalMatch) got(s *state) string {
	switch {
	case s.unseenPayload != nil:
		return gotUnseen
	case !s.hasPayload:
		return gotNone
	}
	iss, _ := s.payload.Field("iss")
	sub, ok := s.payload.Field("sub")
	switch {
	case !ok:
		return describe(iss) + " without a sub"
	default:
		return "iss " + describe(iss) + " sub " + describe(sub)
	}
}

func (s *state) claimMatches(name string, m StringMatch) bool {
	if !s.hasPayload {
		return false
	}
	v, ok := s.payload.Field(name)
	return ok && v.Kind() == jwt.String && m.matches(v.Text(), s)
}

// ClaimMatch is a claim, reached by object keys: a string that matches, or a list
// with a string that does.
type ClaimMatch struct {
	Path   []string
	String StringMatch
}

func (m *ClaimMatch) match(s *state) Tri {
	if s.unseenPayload != nil {
		return unknown(s.unseenPayload)
	}
	v, ok := s.claim(m.Path)
	if !ok {
		return no
	}
	return truth(stringOrList(v, m.String, s))
}

func stringOrList(v jwt.Value, m StringMatch, s *state) bool {
	switch v.Kind() {
	case jwt.String:
		return m.matches(v.Text(), s)
	case jwt.List:
		for _, e := range v.Elements() {
			if e.Kind() == jwt.String && m.matches(e.Text(), s) {
				return true
			}
		}
	}
	return false
}

func (m *ClaimMatch) got(s *state) string {
	if s.unseenPayload != nil {
		return gotUnseen
	}
	v, ok := s.claim(m.Path)
	if !ok {
		return gotNone
	}
	return describe(v)
}

// claim walks object keys; whatever is missing on the way, or is no object, ends
// the walk (Envoy source/common/config/metadata.cc:Metadata::metadataValue).
func (s *state) claim(path []string) (jwt.Value, bool) {
	if !s.hasPayload {
		return jwt.Value{}, false
	}
	v := s.payload
	for _, k := range path {
		if v.Kind() != jwt.Object {
			return jwt.Value{}, false
		}
		next, ok := v.Field(k)
		if !ok {
			return jwt.Value{}, false
		}
		v = next
	}
	return v, true
}

// MetadataMatch is one key of a filter's dynamic metadata: a string, or with List
// a list that contains one.
type MetadataMatch struct {
	Filter, Key string
	List        bool
	String      StringMatch
}

// rbacNamespace is where the RBAC filters of the chain write their metadata.
func (s *state) rbacNamespace() string {
	if s.bytes {
		return networkRBACFilter
	}
	return rbacFilter
}

func (m *MetadataMatch) match(s *state) Tri {
	if m.Filter == s.rbacNamespace() && !m.List {
		if v, ok := s.rbacMetadata[m.Key]; ok {
			s.br.add(BranchMatchMetadata)
			return truth(m.String.matches(v, s))
		}
	}
	return no
}

func (m *MetadataMatch) got(s *state) string {
	if m.Filter == s.rbacNamespace() {
		if v, ok := s.rbacMetadata[m.Key]; ok {
			return quote(v)
		}
	}
	return gotNone
}

// describe renders a claim for a person: strings quoted, other kinds named, so
// that a number is not taken for the string that a policy wants.
func describe(v jwt.Value) string {
	switch v.Kind() {
	case jwt.String:
		return quote(v.Text())
	case jwt.List:
		var parts []string
		for _, e := range v.Elements() {
			parts = append(parts, describe(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case jwt.Number:
		return "the number " + v.String()
	case jwt.Bool:
		return "the boolean " + v.String()
	case jwt.Null:
		return "null"
	default:
		return "an object"
	}
}
