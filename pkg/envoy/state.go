package envoy

import (
	"net/netip"
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// KeySet is what a key source came to.
type KeySet struct {
	// Set is nil where there are no keys.
	Set *jwks.Set
	// Failure is the status that a token gets that needs these keys and does not
	// find any: jwt.JwksFetchFailed where the proxy fetches.
	Failure jwt.Status
	// Refused is set where the set cannot be used and the proxy therefore refuses
	// the whole listener (a local set; Envoy filter_factory.cc): the reason.
	Refused jwt.Status
	// Placeholder is set where the set is one RSA key with this kid that verifies
	// nothing, MayRefuse where it is not known whether the proxy can use the set at
	// all, or refuses the listener for it.
	Placeholder string
	MayRefuse   *Missing
	// OrSet is the other set that it may be, and OrMissing why that is not known.
	OrSet     *jwks.Set
	OrMissing *Missing
	// Vouched says that every signature counts as good: what a token would get that
	// somebody could have.
	Vouched bool
	// Missing is set where nobody knows the keys; Set and Failure mean nothing then.
	Missing *Missing
}

// Keys gives the keys of each source. A source that is not in the map has keys
// that are not known.
type Keys map[KeySource]KeySet

// state is one request on its way through the proxy.
type state struct {
	req     *Request
	b       Behavior
	br      *BranchSet
	headers headerMap
	// The pseudo headers; hasPath is false for a CONNECT without path.
	method, authority, path, scheme string
	// hostless and methodless say that the JWT filter has removed the host, or the method.
	hostless, methodless bool
	hasPath              bool
	// grpcRequest says that it came as one of gRPC, whatever a rule makes of its
	// content-type.
	grpcRequest bool
	// cutFrom is the path that cut is without query and fragment: see pathAlone.
	cutFrom, cut string
	tls          bool
	peer         Fact[Peer]
	// tunnelled says that the tunnel in front of the chains was passed; tunnelPeer is
	// who is at its other end.
	tunnelled      bool
	tunnelPeer     Fact[string]
	direct, remote Fact[netip.Addr]
	// payload is the metadata of the JWT filter.
	payload    jwt.Value
	hasPayload bool
	// unseenPayload is why it is not known which token was verified, if any was.
	unseenPayload *Missing
	// bytes says that the filters are those of a chain that carries bytes.
	bytes bool
	// rbacMetadata is what RBAC filters have written, by key.
	rbacMetadata map[string]string
	// shadowPolicy is the policy that the last RBAC filter's shadow engine matched.
	shadowPolicy string
	// choices are the answers to questions that nobody can answer, in the order in
	// which they come up; asked are those that came up.
	choices []bool
	asked   []choice
	// noted are the traits of the proxy that have made a difference, notes what there
	// is to say of them; see behavior.go.
	noted Traits
	notes []string
	// quiet says that nobody reads the walk, nor what RBAC filters write.
	quiet bool
	// everything says that all conditions of all rules go into the walk.
	everything bool
	// wrote says that a header has got what the client did not send.
	wrote bool
	// lost is set where the walk cannot go on, since nobody knows what the proxy does.
	lost *Missing
}

// choice is a question with two possible outcomes of which neither is known.
type choice struct {
	id      any
	missing *Missing
	answer  bool
}

// choose answers a question that nobody can answer, the same way each time it
// comes up during one run; Evaluate runs again with the other answer.
func (s *state) choose(id any, m *Missing) bool {
	for _, c := range s.asked {
		if c.id == id {
			return c.answer
		}
	}
	answer := true
	if n := len(s.asked); n < len(s.choices) {
		answer = s.choices[n]
	}
	s.asked = append(s.asked, choice{id: id, missing: m, answer: answer})
	return answer
}

// pathAlone is the path without query and fragment, which policies ask for often.
func (s *state) pathAlone() string {
	if s.cutFrom != s.path {
		s.cutFrom, s.cut = s.path, cutQuery(s.path)
	}
	return s.cut
}

// pseudo gives the pseudo headers by their names; "host" is another name for
// ":authority" (Envoy source/common/http/headers.h and HeaderMapImpl's static lookup).
func (s *state) pseudo(name string) (string, bool) {
	switch name {
	case ":authority", "host":
		return s.authority, !s.hostless
	case ":method":
		return s.method, !s.methodless
	case ":path":
		return s.path, s.hasPath
	case ":scheme":
		return s.scheme, true
	default:
		return "", false
	}
}

// drop removes a header and write adds one, which may be a pseudo header, or the host
// by its old name. Rules may name them all: admission looks at no name but those in
// outputClaimToHeaders.
func (s *state) drop(name string) {
	switch name {
	case "host", ":authority":
		s.authority, s.hostless = "", true
	case ":method":
		s.method, s.methodless = "", true
	case ":path":
		s.path, s.hasPath = "", false
	case ":scheme":
		s.scheme = ""
	default:
		s.headers.remove(name)
	}
}

func (s *state) write(name, value string) {
	s.wrote = true
	join := func(to *string) {
		if *to != "" {
			value = *to + "," + value
		}
		*to = value
	}
	switch name {
	case "host", ":authority":
		join(&s.authority)
		s.hostless = false
	case ":method":
		join(&s.method)
		s.methodless = false
	case ":path":
		join(&s.path)
		s.hasPath = true
	case ":scheme":
		join(&s.scheme)
	default:
		s.headers.add(name, value)
	}
}

// quote renders what a stranger wrote, so that it cannot pass for anything else.
func quote(s string) string { return strconv.Quote(s) }
