// Package observe reads what somebody saw of an answer (a few words, the output of
// curl -i or -v, a line of an access log) and holds it against a diagnosis: whether
// they agree, and if not what may be the reason, the likeliest first. A reason is
// ranked by evidence, or by asking the question again with one thing changed; none
// is given as certain.
//
// It is part of the core: no clock, no network, no files. It imports pkg/diagnose,
// pkg/envoy and pkg/jwt; pkg/cmd imports it.
package observe

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// Answer is what was seen.
type Answer struct {
	// Status is that of HTTP; 0 where the connection was closed without an answer.
	Status int
	// GRPCStatus is that of gRPC, where one was seen.
	GRPCStatus *int
	// Body is what the client read; BodyKnown says that it was seen.
	Body      string
	BodyKnown bool
	// Details and Flags are those of an access log: RESPONSE_CODE_DETAILS and
	// RESPONSE_FLAGS, empty where there was none.
	Details, Flags string
	// Headers are the lines of the answer; HeadersKnown says that they were seen.
	Headers      []envoy.Header
	HeadersKnown bool
	// Request is what was sent, where that was seen too. Its lines may hold tokens.
	Request *Sent
	// Unreachable says that no connection came about.
	Unreachable bool
}

// Sent is the head of the request that was seen.
type Sent struct {
	Method, Path, Host string
	Headers            []envoy.Header
}

// Error is a text in which no answer was found.
type Error struct{ Problem, Hint string }

// Error is the problem, one line.
func (e *Error) Error() string { return "--observed: " + e.Problem }

// HintLine is what to do next.
func (e *Error) HintLine() string { return e.Hint }

// String is the answer in a few words, the body quoted unless it is a proxy's.
func (a Answer) String() string {
	words := "closed, no HTTP answer"
	switch {
	case a.Unreachable:
		words = "no connection"
	case a.GRPCStatus != nil:
		words = fmt.Sprintf("grpc-status %d", *a.GRPCStatus)
	case a.Status != 0:
		words = strconv.Itoa(a.Status)
	}
	switch {
	case author(a.Body) == byRBAC || author(a.Body) == byJWT:
		words += " " + strings.TrimSpace(a.Body)
	case a.Body != "":
		words += " " + strconv.Quote(short(a.Body))
	case a.Details != "" && a.Details != "-":
		words += " " + capped(a.Details) // which is the proxy's own, and to be searched for
	}
	return words
}

// short cuts a long text.
func short(s string) string {
	const most = 60
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// header is the first value of a header of the answer.
func (a Answer) header(name string) (string, bool) {
	for _, h := range a.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value, true
		}
	}
	return "", false
}

// writer is who writes a body.
type writer int

const (
	byOthers writer = iota // an application, an authorizer, a firewall
	byRBAC
	byJWT
	byRouter // a proxy that found no way to the application
)

// rbacBody is the body of a denial by policy (Envoy
// source/extensions/filters/http/rbac/rbac_filter.cc:decodeHeaders).
const rbacBody = "RBAC: access denied"

// author tells who writes such a body.
func author(body string) writer {
	body = strings.TrimSpace(body)
	if body == rbacBody {
		return byRBAC
	}
	if _, ok := jwtBody(body); ok {
		return byJWT
	}
	for _, begin := range []string{"no healthy upstream", "upstream connect error or disconnect/reset", "upstream request timeout", "no_healthy_upstream"} {
		if strings.HasPrefix(body, begin) {
			return byRouter
		}
	}
	return byOthers
}

// jwtBody is the status of a denial by JWT, by its body.
func jwtBody(body string) (jwt.Status, bool) {
	for s := jwt.OK + 1; s <= jwt.PEMParse; s++ {
		if s.String() == body {
			return s, true
		}
	}
	return 0, false
}

// statusOf is the HTTP status that a proxy sends with a body; 0: not known.
func statusOf(body string) int {
	switch author(body) {
	case byRBAC:
		return 403
	case byJWT:
		if s, _ := jwtBody(strings.TrimSpace(body)); s == jwt.AudienceNotAllowed {
			return 403
		}
		return 401
	case byRouter:
		return 503
	case byOthers:
	}
	return 0
}
