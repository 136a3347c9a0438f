package observe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Headers by which an answer shows who had it in hand.
const (
	serviceTime = "x-envoy-upstream-service-time"
	serverName  = "server"
)

// others looks for somebody else who may have answered, or for other objects.
func (s *search) others() {
	a, v := s.a, s.d.Verdict
	byPolicy := denied(a)
	behind, through := a.header(serviceTime)
	server, _ := a.header(serverName)
	switch {
	case s.ownLog():
		// No other proxy writes into this one's log.
	case byPolicy && s.q.Way.Client != "" && len(s.q.Way.Hops) == 1:
		// There is no other proxy that it could be: the client's own asks no policy.
	case byPolicy && through && s.q.Way.Client == "":
		s.add(52, diagnose.Reason{
			Cause: "hop", Message: behindWords(s.d.Target), Evidence: "the answer passed through a proxy: " + serviceTime + ": " + strconv.Quote(short(behind)),
			Try: "ask about the workload behind, with --via for the hops in front of it",
		})
	case byPolicy:
		weight := 31
		if a.HeadersKnown {
			weight = 20 // nothing in the answer shows a second proxy
		}
		s.add(weight, diagnose.Reason{
			Cause: "hop", Message: "another proxy on the way answered: all of them say it in the same words",
			Try: "ask about each hop: the gateway, a waypoint, the sidecar",
		})
	case author(a.Body) == byRouter || routing(a) || a.Status == 404 && a.HeadersKnown && a.Body == "":
		s.add(51, diagnose.Reason{
			Cause: "hop", Message: "a proxy in front found no way on, so that this one was never asked", Evidence: "the answer is that of a router",
			Try: "see to the routes of the gateway first",
		})
	case v.Decision != envoy.Allowed && a.Status != 0 && a.HeadersKnown && !through && !strings.Contains(strings.ToLower(server), "envoy"):
		r := diagnose.Reason{
			Cause: "bypass", Message: "the request went past the proxy: a pod without one, an excluded port, or another server altogether",
			Evidence: "no header of Envoy's is in the answer", Try: "kubectl get pod -o yaml: is there an istio-proxy, and is the port taken in?",
		}
		if server != "" {
			r.Evidence += ", and its server is " + strconv.Quote(short(server))
		}
		s.add(52, r)
	}
	if (a.Status == 401 || a.Status == 403) && !byPolicy {
		s.application(server)
	}
	if a.Status == 0 && v.Status != 0 {
		s.add(46, diagnose.Reason{
			Cause: "identity", Message: "the connection ended before HTTP: a client without mTLS where it is STRICT, or a port that is not HTTP",
			Evidence: "there was no HTTP answer", Try: "--plaintext, and the port with --port",
		})
	}
	if a.Status != 0 && v.Decision == envoy.Denied && v.Status == 0 {
		s.add(46, diagnose.Reason{
			Cause: "identity", Message: "the client did connect in a way that the proxy takes: with mTLS, or to another port",
			Evidence: "there was an HTTP answer", Try: "--from TYPE/NAME, and the port with --port",
		})
	}
	s.push()
	if s.ownLog() && len(s.d.Groups) == 0 {
		return // it is that of a pod that has such a proxy
	}
	if n := len(s.d.Target.Pods); n > 1 || len(s.d.Groups) > 0 {
		s.add(26, diagnose.Reason{
			Cause: "pod", Message: "another pod answered, with another version or without a sidecar", Evidence: fmt.Sprintf("there are %d pods", max(n, 2)),
			Try: "ask about each: pod/NAME",
		})
	} else {
		s.add(5, diagnose.Reason{Cause: "pod", Message: "another pod answered, with another version or without a sidecar", Try: "ask about each: pod/NAME"})
	}
}

// push asks whether the proxy has what the question was answered from, where nothing has
// told yet what it is that it has besides.
func (s *search) push() {
	if slices.ContainsFunc(s.found, func(w weighed) bool { return w.Cause == "push" && w.lead != "" }) {
		return
	}
	if e := s.d.Evidence; e != nil && e.From != "" {
		s.add(30, diagnose.Reason{
			Cause: "push", Message: "the proxy's configuration has changed since it was read, or it does what is not modelled", Evidence: "the prediction rests on what it holds: " + e.From,
			Try: "run it again in a moment; if it stays so, it is a bug: file one with the output of -o json",
		})
		return
	}
	s.add(30, diagnose.Reason{
		Cause: "push", Message: "the proxy does not have what these objects say: not pushed yet, refused by it, or not the objects of the cluster",
		Try: "ask again in a minute, or " + askProxy,
	})
}

func behindWords(t diagnose.Target) string {
	if t.Role == string(envoy.RoleGateway) {
		return "a proxy behind the gateway answered: all of them say it in the same words"
	}
	return "more than one proxy was on the way, and another one may have answered"
}

// application adds the ways in which a 401 or 403 is not the proxy's.
func (s *search) application(server string) {
	r := diagnose.Reason{
		Cause: "application", Message: "the application answered so itself, or an authorizer or a filter in front of it",
		Try: "look at the body: that of a denial by policy is " + strconv.Quote(rbacBody),
	}
	if s.a.Status == 401 { // which no policy gives
		r.Try = "look at the body: that of a refused token speaks of Jwt or Jwks"
	}
	weight := 38
	switch kind, _ := s.a.header("content-type"); {
	case s.a.BodyKnown && s.a.Body != "":
		weight, r.Evidence, r.Try = 55, "its body is none of Envoy's", "look into the application's own log"
	case kind != "" && !strings.HasPrefix(kind, "text/plain"):
		weight, r.Evidence = 53, "its content type is "+strconv.Quote(short(kind))+", that of a denial by policy text/plain"
	case server != "" && !strings.Contains(strings.ToLower(server), "envoy"):
		weight, r.Evidence = 50, "its server is "+strconv.Quote(short(server))
	}
	s.add(weight, r)
}
