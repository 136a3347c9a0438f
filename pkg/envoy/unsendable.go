package envoy

import "strings"

// unsendable is why the request cannot be sent to the application: a header that every
// request has was removed, or one has a name or a value that no request may have, which
// happens where a claim or a decoded parameter got into it
// (Envoy source/common/http/header_utility.cc:checkRequiredRequestHeaders and
// checkValidRequestHeaders).
func (s *state) unsendable() (reason, note string) {
	missing := func(name string) (string, string) {
		return "missing required header: " + name, "a rule of a RequestAuthentication has removed " + name
	}
	invalid := func(name string) (string, string) {
		return "invalid header value for: " + name, "a claim or parameter has left a control character in " + name
	}
	switch {
	case s.methodless:
		return missing(":method")
	case !s.hasPath && s.method != methodConnect:
		return missing(":path")
	case hasControl(s.path):
		return invalid(":path")
	case !s.wrote:
		return "", "" // the codec has looked at what the client sent
	}
	for _, h := range s.headers {
		if !validName(h.name) {
			return "invalid header name: " + h.name, "a rule of a RequestAuthentication writes a header that cannot be sent: " + quote(h.name)
		}
		if hasControl(h.value) {
			return invalid(h.name)
		}
	}
	return "", ""
}

// validName is header_utility.cc:headerNameIsValid: a token, behind a colon or not.
func validName(name string) bool {
	rest, pseudo := strings.CutPrefix(name, ":")
	return rest == "" && !pseudo || validHeaderName(rest)
}

// routerReads are headers that say how the router is to send, which takes them off the
// request (Envoy source/common/router/router.cc:FilterUtility::finalTimeout,
// retry_state_impl.cc:RetryStateImpl::create). What a client sends of them does not get
// so far: see internalHeaders.
var routerReads = map[string]bool{
	"x-envoy-upstream-rq-timeout-ms": true, "x-envoy-upstream-rq-per-try-timeout-ms": true, "x-envoy-hedge-on-per-try-timeout": true,
	"x-envoy-max-retries": true, "x-envoy-retry-on": true, "x-envoy-retry-grpc-on": true, "x-envoy-retriable-status-codes": true,
	"x-envoy-retriable-header-names": true,
}
