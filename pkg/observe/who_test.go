package observe

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func TestWhoAnsweredIsToldByTheBodyAndTheMarksOfRouters(t *testing.T) {
	alone := Way{Hops: []string{"httpbin's proxy"}, App: "httpbin"}
	meshed := Way{Client: "sleep's own proxy", Hops: alone.Hops, App: "httpbin"}
	gateway := Way{Hops: []string{"ingress", "httpbin's proxy"}, App: "httpbin"}
	meshedGateway := Way{Client: "sleep's own proxy", Hops: gateway.Hops, App: "httpbin"}
	through := envoy.Header{Name: "X-Envoy-Upstream-Service-Time", Value: "3"}
	server := envoy.Header{Name: "server", Value: "istio-envoy"}
	const denial = "RBAC: access denied"
	for _, c := range []struct {
		name       string
		a          Answer
		w          Way
		decider    string
		kind, want string
	}{
		{"a denial of the only proxy", FromReply(403, []envoy.Header{server}, denial, true), alone, "", ByProxy, "httpbin's proxy"},
		{"the same behind the client's own", FromReply(403, []envoy.Header{server, through}, denial, true), meshed, "", ByProxy, "httpbin's proxy"},
		{"a denial that came through the only proxy", FromReply(403, []envoy.Header{server, through}, denial, true), alone, "", ByProxy, "a proxy behind httpbin's proxy"},
		{"the gateway's own", FromReply(401, []envoy.Header{server}, "Jwt is expired", true), gateway, "", ByProxy, "ingress"},
		{"one from behind the gateway", FromReply(403, []envoy.Header{server, through}, denial, true), gateway, "", ByProxy, "httpbin's proxy"},
		{"one of two that nothing tells apart", FromReply(403, []envoy.Header{server, through}, denial, true), meshedGateway, "", ByProxy, "ingress or httpbin's proxy"},
		{"the same, where one was to be expected", FromReply(403, []envoy.Header{server, through}, denial, true), meshedGateway, "ingress", ByProxy, "ingress"},
		{"nothing known of the way", FromReply(403, []envoy.Header{server}, denial, true), Way{}, "", ByProxy, "a proxy"},
		{"the application", FromReply(200, []envoy.Header{server, through}, "hi", true), meshed, "", ByApplication, "httpbin"},
		{"the application's own 401", FromReply(401, []envoy.Header{server, through}, `{"error": "login"}`, true), meshed, "", ByApplication, "httpbin"},
		{"an application that no proxy stands before", FromReply(200, []envoy.Header{{Name: "server", Value: "gunicorn"}}, "hi", true), alone, "", ByApplication, "httpbin, past every proxy"},
		{"a router without a way", FromReply(503, []envoy.Header{server}, "no healthy upstream", true), gateway, "", ByProxy, "ingress"},
		{"a router behind the client's", FromReply(503, []envoy.Header{server, through}, "no healthy upstream", true), meshed, "", ByProxy, "a proxy behind sleep's own proxy"},
		{"a route that is missing", FromReply(404, []envoy.Header{server}, "", true), gateway, "", ByProxy, "ingress"},
		{"the client's own, without a route", FromReply(404, []envoy.Header{server}, "", true), meshed, "", ByProxy, "sleep's own proxy"},
		{"headers that were not seen", FromReply(200, nil, "", false), alone, "", ByUnknown, "not known"},
		{"a closed connection", Answer{}, alone, "", ByNobody, "nobody"},
		{"no connection", Answer{Unreachable: true}, alone, "", ByNobody, "nobody"},
	} {
		by := c.a.By(c.w, c.decider)
		if by.Kind != c.kind || by.Name != c.want || by.Evidence == "" {
			t.Errorf("%s: got %+v, want %s %q", c.name, by, c.kind, c.want)
		}
		if c.decider != "" && !strings.Contains(by.Evidence, "would say the same") {
			t.Errorf("%s: a guess is not called one: %s", c.name, by.Evidence)
		}
	}
}

func TestAClosedConnectionIsKnownByWhatAProxyInFrontSaysOfIt(t *testing.T) {
	closed := diagnose.Verdict{Decision: envoy.Denied}
	reset := FromReply(503, []envoy.Header{{Name: "server", Value: "envoy"}}, "upstream connect error or disconnect/reset before headers. reset reason: connection termination", true)
	meshed := Way{Client: "sleep's own proxy", Hops: []string{"httpbin's proxy"}}
	for name, c := range map[string]struct {
		a    Answer
		v    diagnose.Verdict
		w    Way
		want bool
	}{
		"through the client's own":  {reset, closed, meshed, true},
		"through a gateway":         {reset, closed, Way{Hops: []string{"ingress", "httpbin's proxy"}}, true},
		"nobody in front":           {reset, closed, Way{Hops: meshed.Hops}, false},
		"it was not to be expected": {reset, diagnose.Verdict{Decision: envoy.Allowed, Status: 200}, meshed, true}, // the policies let it pass
		"another 503":               {FromReply(503, nil, "no healthy upstream", true), closed, meshed, false},
	} {
		d := &diagnose.Diagnosis{Verdict: c.v}
		o := Compare(c.a, d, Question{Way: c.w})
		if o.Agrees != c.want || o.Agrees && o.Note == "" {
			t.Errorf("%s: agrees %v, %q", name, o.Agrees, o.Note)
		}
	}
}
