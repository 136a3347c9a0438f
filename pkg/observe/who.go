package observe

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Way is what a request passes. The zero value says that nothing is known of it.
type Way struct {
	// Client is the client's own proxy; empty: it has none, or that is not known.
	Client string
	// Hops are the proxies behind it, the first one first, and App what they lead to.
	Hops []string
	App  string
	// Tunnel says that the last proxy is ztunnel, which leaves no mark on HTTP.
	Tunnel bool
}

// The kinds of what may answer.
const (
	ByProxy       = "proxy"
	ByApplication = "application"
	ByNobody      = "nobody"
	ByUnknown     = "unknown"
)

// By is who answered, and what shows it.
type By struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Evidence string `json:"evidence"`
}

// FromReply is an answer of which the head and the beginning of the body were seen.
func FromReply(status int, headers []envoy.Header, body string, bodyKnown bool) Answer {
	a := Answer{Status: status, Headers: headers, HeadersKnown: len(headers) > 0}
	a.setBody(body)
	a.BodyKnown = a.BodyKnown || bodyKnown && body == ""
	return a
}

// By tells who wrote the answer: by its body, and by whether a router has put its mark
// on it (x-envoy-upstream-service-time, which Envoy sets on what comes from behind it,
// never on what it says itself: source/common/router/router.cc:onUpstreamHeaders). decider
// is the hop that was expected to answer; it is named where nothing tells the hops apart.
func (a Answer) By(w Way, decider string) By {
	took, through := a.header(serviceTime)
	server, _ := a.header(serverName)
	mark := "no " + serviceTime
	if through {
		mark = serviceTime + ": " + short(took)
	}
	switch {
	case a.Unreachable:
		return By{ByNobody, "nobody", "no connection came about"}
	case a.Status == 0:
		return By{ByNobody, "nobody", "the connection was closed without an answer"}
	case author(a.Body) == byRouter:
		return By{ByProxy, a.routerOf(w, through), "the body is a router's; " + mark}
	case denied(a):
		evidence := "the body is that of a denial by policy; "
		if author(a.Body) == byJWT {
			evidence = "the body is that of a refused token; "
		}
		return a.hopOf(w, through, decider, evidence+mark)
	case !a.HeadersKnown:
		return By{ByUnknown, "not known", "the client shows no headers"}
	case through:
		return By{ByApplication, appName(w), "the body is no proxy's; " + mark}
	case strings.Contains(strings.ToLower(server), "envoy") && w.Client == "" && len(w.Hops) > 0:
		return By{ByProxy, w.Hops[0], "its server is " + strconv.Quote(short(server)) + ", and nothing behind it answered: " + mark}
	case strings.Contains(strings.ToLower(server), "envoy"):
		return By{ByProxy, firstOf(w), "its server is " + strconv.Quote(short(server)) + ", and nothing behind it answered: " + mark}
	}
	if w.Tunnel {
		return By{ByApplication, appName(w), "no header of Envoy's is in the answer, and ztunnel sets none"}
	}
	return By{ByApplication, appName(w) + ", past every proxy", "no header of Envoy's is in the answer"}
}

func appName(w Way) string {
	if w.App == "" {
		return "the application"
	}
	return w.App
}

// firstOf is the first proxy on the way.
func firstOf(w Way) string {
	switch {
	case w.Client != "":
		return w.Client
	case len(w.Hops) > 0:
		return w.Hops[0]
	}
	return "a proxy"
}

// routerOf is whose router found no way on.
func (a Answer) routerOf(w Way, through bool) string {
	if !through {
		return firstOf(w)
	}
	return "a proxy behind " + firstOf(w)
}

// hopOf is the proxy whose policies denied the request. The client's own asks none.
func (a Answer) hopOf(w Way, through bool, decider, evidence string) By {
	by := By{Kind: ByProxy, Evidence: evidence}
	hops := w.Hops
	switch {
	case len(hops) == 0:
		by.Name = "a proxy"
	case w.Client == "" && !through:
		by.Name = hops[0]
	case w.Client == "" && len(hops) == 1:
		by.Name = "a proxy behind " + hops[0]
	case w.Client == "" && len(hops) == 2:
		by.Name = hops[1]
	case len(hops) == 1:
		by.Name = hops[0]
	case decider != "":
		by.Name = decider
		by.Evidence += fmt.Sprintf("; %s would say the same", others(hops, decider))
	default:
		by.Name = strings.Join(hops, " or ")
	}
	return by
}

func others(hops []string, decider string) string {
	var out []string
	for _, h := range hops {
		if h != decider {
			out = append(out, h)
		}
	}
	return strings.Join(out, " and ")
}

// Routed reports whether a proxy answered since it found no way on: what is behind it was
// not asked.
func (a Answer) Routed(w Way) bool {
	noWay := author(a.Body) == byRouter || a.Status == 404 && a.HeadersKnown && a.Body == ""
	_, through := a.header(serviceTime)
	return noWay && !through && !a.Closed(w)
}

// Closed reports whether the connection ended without an answer: at the client, or at a
// proxy in front, which then says so (Envoy source/common/router/router.cc:onUpstreamReset).
func (a Answer) Closed(w Way) bool {
	if a.Unreachable {
		return false
	}
	front := w.Client != "" || len(w.Hops) > 1
	return a.Status == 0 && a.GRPCStatus == nil || front && a.Status == 503 && strings.HasPrefix(strings.TrimSpace(a.Body), "upstream connect error or disconnect/reset")
}

// closedBehind reports whether a proxy in front tells of a closed connection that was to
// be expected.
func closedBehind(a Answer, v diagnose.Verdict, w Way) (note string, ok bool) {
	if v.Decision != envoy.Denied || v.Status != 0 || a.Status == 0 || !a.Closed(w) {
		return "", false
	}
	return firstOf(w) + " says so of the connection that was closed", true
}
