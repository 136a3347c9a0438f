package judge

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// routerHeaders are what the router and the client codec put on a request after
// the last filter; they are no part of the decision.
var routerHeaders = []string{
	"x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms", "x-envoy-decorator-operation", "x-envoy-original-host",
	"content-length", "transfer-encoding", "x-envoy-peer-metadata", "x-envoy-peer-metadata-id", "x-request-id",
}

// Compare lists how a prediction differs from what Envoy did; none is agreement.
// Tokens do not appear in the texts.
func Compare(p Prediction, a Answer) []string {
	var out []string
	differ := func(what string, predicted, seen any) {
		out = append(out, fmt.Sprintf("%s: predicted %v, Envoy %v", what, predicted, seen))
	}
	if (a.Refused != "") != (p.Refused != "") {
		differ("listener refused", quoted(p.Refused), quoted(a.Refused))
		return out
	}
	if a.Refused != "" {
		return nil
	}
	if len(p.Undetermined) > 0 {
		return []string{"undetermined: " + strings.Join(p.Undetermined, ", ")}
	}
	if a.Closed && opaque(p) && !strings.HasPrefix(a.Details, rbacDetails) {
		return nil // the application, which got the TLS bytes as they are, does not speak it
	}
	if p.Closed != a.Closed {
		differ("connection", connectionWord(p.Answer), connectionWord(a))
		return out
	}
	if a.Closed {
		if p.Details != a.Details && strings.HasPrefix(p.Details+a.Details, rbacDetails) {
			differ("details", quoted(p.Details), quoted(a.Details))
		}
		return append(out, decidedBy(p.Diagnosis, a)...)
	}
	if len(p.Diagnosis.Hops) > 1 && opaque(p) && strings.HasPrefix(a.Details, upstreamReset) {
		return nil // as above: the application does not speak TLS
	}
	if closedBehind(&p, &a) {
		p.Details, a.Details, p.Body, p.GRPCMessage = "", "", a.Body, a.GRPCMessage
	}
	if p.Status != a.Status {
		differ("status", p.Status, a.Status)
	}
	if p.Body != a.Body && p.Status != 200 {
		differ("body", quoted(p.Body), quoted(a.Body))
	}
	if p.Details != a.Details && !p.Diagnosis.Branches.Has(envoy.BranchTCP) && !noHandshake(p, a) {
		differ("details", quoted(p.Details), quoted(a.Details))
	}
	if intOf(p.GRPCStatus) != intOf(a.GRPCStatus) || p.GRPCMessage != a.GRPCMessage {
		differ("grpc", fmt.Sprint(intOf(p.GRPCStatus), quoted(p.GRPCMessage)), fmt.Sprint(intOf(a.GRPCStatus), quoted(a.GRPCMessage)))
	}
	if p.WWWAuthenticate != a.WWWAuthenticate {
		differ("www-authenticate", "one value", "another")
	}
	out = append(out, decidedBy(p.Diagnosis, a)...)
	return append(out, compareUpstream(p, a)...)
}

// noHandshake says that the request got through, and that the application does not
// upgrade the connection.
func noHandshake(p Prediction, a Answer) bool {
	return p.Details == "via_upstream" && a.Details == "websocket_handshake_unsuccessful"
}

// upstreamReset begins the details of a request whose upstream connection ends.
const upstreamReset = "upstream_reset_before_response_started{"

// closedBehind says that the second of two hops closes the connection, as predicted: the
// first one answers, and says more about it than can be known.
func closedBehind(p *Prediction, a *Answer) bool {
	hops := p.Diagnosis.Hops
	return len(hops) > 1 && hops[len(hops)-1].Verdict.Decision == envoy.Denied && hops[len(hops)-1].Verdict.Status == 0 &&
		strings.HasPrefix(a.Details, upstreamReset) && strings.HasPrefix(a.Body+a.GRPCMessage, p.Body+p.GRPCMessage)
}

// opaque says that TLS bytes are predicted to reach the application as they are.
func opaque(p Prediction) bool {
	return !p.Closed && p.Status == 0 && p.Diagnosis.Branches.Has(envoy.BranchTCP)
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func connectionWord(a Answer) string {
	if a.Closed {
		return "closed"
	}
	return fmt.Sprintf("status %d %s", a.Status, a.Details)
}

func intOf(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

var policyID = regexp.MustCompile(`ns\[(.*?)\]-policy\[(.*?)\]-rule\[(\d+)\]`)

// decidedBy holds the field that is said to have decided against Envoy's details.
func decidedBy(d *diagnose.Diagnosis, a Answer) []string {
	by := d.Verdict.DecidedBy
	if m := policyID.FindStringSubmatch(a.Details); m != nil {
		want := diagnose.Place{Kind: "AuthorizationPolicy", Namespace: m[1], Name: m[2]}
		if by == nil || by.Kind != want.Kind || by.Namespace != want.Namespace || by.Name != want.Name ||
			by.Field != "" && by.Field != "spec.rules["+m[3]+"]" {
			return []string{fmt.Sprintf("decidedBy: predicted %+v, Envoy names %s", by, m[0])}
		}
		return nil
	}
	switch {
	case strings.HasPrefix(a.Details, "jwt_authn_access_denied") && (by == nil || by.Kind != "RequestAuthentication"):
		return []string{fmt.Sprintf("decidedBy: predicted %+v, Envoy denied by JWT", by)}
	case strings.Contains(a.Details, "matched_policy[none]") && by != nil:
		return []string{fmt.Sprintf("decidedBy: predicted %+v, Envoy names no policy", by)}
	}
	return nil
}

func compareUpstream(p Prediction, a Answer) []string {
	if a.Upstream == nil {
		if p.Upstream != nil && p.Status == 200 && p.GRPCStatus == nil {
			return []string{"upstream: predicted that the request gets through, Envoy did not send it"}
		}
		return nil
	}
	if p.Diagnosis.Branches.Has(envoy.BranchTCP) {
		return nil // the bytes get through as they are
	}
	if p.Upstream == nil {
		return []string{"upstream: Envoy sent the request, no prediction of it"}
	}
	var out []string
	if p.Upstream.Method != a.Upstream.Method {
		out = append(out, fmt.Sprintf("upstream method: predicted %q, Envoy %q", p.Upstream.Method, a.Upstream.Method))
	}
	if p.Upstream.Host != a.Upstream.Host {
		out = append(out, fmt.Sprintf("upstream host: predicted %q, Envoy %q", p.Upstream.Host, a.Upstream.Host))
	}
	if p.Upstream.Path != a.Upstream.Path {
		out = append(out, fmt.Sprintf("upstream path: predicted %d bytes, Envoy %d bytes, and they differ", len(p.Upstream.Path), len(a.Upstream.Path)))
	}
	want, got := byName(p.Upstream.Headers), byName(a.Upstream.Headers)
	for name, vs := range want {
		if !slices.Contains(routerHeaders, name) && !slices.Equal(vs, got[name]) {
			out = append(out, fmt.Sprintf("upstream header %s: predicted %d lines, Envoy %d, and they differ", name, len(vs), len(got[name])))
		}
	}
	unknown := map[string]bool{}
	for _, n := range p.Diagnosis.Upstream.Unknown {
		unknown[n] = true
	}
	for name := range got {
		if _, ok := want[name]; !ok && !unknown[name] && !slices.Contains(routerHeaders, name) {
			out = append(out, fmt.Sprintf("upstream header %s: Envoy sent it, the prediction has none", name))
		}
	}
	slices.Sort(out)
	return out
}

func byName(hs []Header) map[string][]string {
	m := map[string][]string{}
	for _, h := range hs {
		// Towards the application blanks around a value do not count (RFC 9110, 5.5).
		m[h.Name] = append(m[h.Name], strings.Trim(h.Value, " \t"))
	}
	return m
}
