package proxy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// LogLine is one line of a proxy's access log, or one that its RBAC filter writes at
// debug level. What the line does not say is zero.
type LogLine struct {
	Time                    time.Time
	Method, Path, Host      string
	Protocol                string // HTTP/1.1, HTTP/2
	Status                  int
	Flags                   string
	Details                 string // %RESPONSE_CODE_DETAILS%
	Termination             string // %CONNECTION_TERMINATION_DETAILS%
	ForwardedFor, UserAgent string
	// NotForwarded says that the line tells that there was no x-forwarded-for.
	NotForwarded bool
	RequestID    string
	// Upstream is the address that the request was sent on to; empty where it was not.
	Upstream      string
	ServerName    string
	Local, Remote netip.AddrPort
	// Policy is the policy that an RBAC filter names, Shadow that it was only recorded.
	Policy string
	Shadow bool
}

// Decided is what the line itself says of who decided.
type Decided struct {
	// By is the rule of an AuthorizationPolicy, where one is named.
	By origin.Origin
	// NoneAllowed says that no ALLOW policy matched.
	NoneAllowed bool
	// Token is what the JWT filter says of the token.
	Token string
}

// NotALogLineError says that the text is no line of a proxy.
type NotALogLineError struct{ Reason string }

// Error says why.
func (e *NotALogLineError) Error() string { return "not a line of a proxy's access log: " + e.Reason }

// HintLine says what is taken.
func (e *NotALogLineError) HintLine() string {
	return "give one line of kubectl logs POD -c istio-proxy, in Istio's text format or as JSON"
}

// ParseLogLine reads a line in Istio's default text format, with or without the details
// of older versions, as JSON with Istio's names, or as the debug line of an RBAC filter.
func ParseLogLine(line string) (*LogLine, error) {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return nil, &NotALogLineError{"it is empty"}
	case strings.Contains(line, "enforced ") || strings.Contains(line, "shadow "):
		if m := rbacDebug.FindStringSubmatch(line); m != nil {
			first, _, _ := strings.Cut(line, "\t")
			at, _ := time.Parse(time.RFC3339, first) // zero where the line begins otherwise
			return &LogLine{
				Time: at, Policy: m[3], Shadow: m[1] == "shadow", Status: map[string]int{"denied": 403}[m[2]], Details: detailsOf(m[2], m[3]),
			}, nil
		}
	}
	if i := strings.IndexByte(line, '{'); i >= 0 && strings.HasSuffix(line, "}") {
		if l, err := jsonLine(line[i:]); err == nil {
			return l, nil
		}
	}
	if i := strings.IndexByte(line, '['); i >= 0 {
		return textLine(line[i:])
	}
	return nil, &NotALogLineError{"it has neither a time in brackets nor JSON"}
}

// rbacDebug is what Envoy's RBAC filters log
// (Envoy source/extensions/filters/http/rbac/rbac_filter.cc).
var rbacDebug = lazyregexp.New(`(enforced|shadow) (denied|allowed)(?:, matched policy (\S+?))?[.,]?(?:\s|$)`)

func detailsOf(word, policy string) string {
	if word != "denied" {
		return ""
	}
	if policy == "" {
		policy = "none"
	}
	return "rbac_access_denied_matched_policy[" + policy + "]"
}

// textLine reads Istio's text format
// (Istio pilot/pkg/model/telemetry_logging.go:EnvoyTextLogFormat).
func textLine(line string) (*LogLine, error) {
	fs := fields(line)
	const least = 4
	if len(fs) < least || !strings.HasPrefix(fs[0], "[") {
		return nil, &NotALogLineError{"it ends too early"}
	}
	l := &LogLine{}
	at, err := time.Parse(time.RFC3339, strings.Trim(fs[0], "[]"))
	if err != nil {
		return nil, &NotALogLineError{"the time in brackets cannot be read"}
	}
	l.Time = at
	request := strings.SplitN(fs[1], " ", 2)
	if len(request) == 2 {
		l.Method, l.Path = request[0], request[1]
		if i := strings.LastIndexByte(l.Path, ' '); i >= 0 {
			l.Path, l.Protocol = l.Path[:i], l.Path[i+1:]
		}
	}
	if l.Status, err = strconv.Atoi(fs[2]); err != nil {
		return nil, &NotALogLineError{fmt.Sprintf("%q stands where the status is", fs[2])}
	}
	l.Flags = known(fs[3])
	rest := fs[least:]
	// Since 1.8 the details follow the flags, since 1.9 those of the connection too; before,
	// the mixer's status stood there.
	if len(rest) > 1 && !isNumber(rest[0]) && !strings.HasPrefix(rest[0], `"`) {
		l.Details, rest = known(rest[0]), rest[1:]
		if len(rest) > 0 && !isNumber(rest[0]) {
			l.Termination, rest = known(rest[0]), rest[1:]
		}
	}
	// The reason of the transport, bytes received and sent, duration, upstream time, then
	// x-forwarded-for, user agent, request ID, host and upstream.
	numbers := 0
	for len(rest) > 0 && numbers < 4 {
		if isNumber(rest[0]) || rest[0] == "-" && numbers > 0 {
			numbers++
		}
		rest = rest[1:]
	}
	take := func() string {
		if len(rest) == 0 {
			return ""
		}
		v := known(rest[0])
		rest = rest[1:]
		return v
	}
	l.NotForwarded = len(rest) > 0 && rest[0] == "-"
	l.ForwardedFor, l.UserAgent, l.RequestID, l.Host = take(), take(), take(), take()
	l.Upstream = take()
	take() // the cluster
	take() // the upstream's local address
	l.Local, l.Remote = addrPort(take()), addrPort(take())
	l.ServerName = take()
	return l, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// known is a field's value; "-" stands for none.
func known(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func addrPort(s string) netip.AddrPort {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return a
}

// fields splits at blanks outside of quotes and of the brackets of details.
func fields(line string) []string {
	var out []string
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] == '"' {
			if end := closingQuote(line); end > 0 {
				out = append(out, strings.ReplaceAll(line[1:end], `\"`, `"`))
				line = line[end+1:]
				continue
			}
		}
		end := strings.IndexByte(line, ' ')
		if end < 0 {
			end = len(line)
		}
		out = append(out, line[:end])
		line = line[end:]
	}
	return out
}

func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// jsonLine reads Istio's JSON format (telemetry_logging.go:EnvoyJSONLogFormatIstio); ASM's
// has the same names for what it has.
func jsonLine(text string) (*LogLine, error) {
	o, err := parseObject(json.RawMessage(text))
	if err != nil {
		return nil, err
	}
	first := func(names ...string) string {
		for _, n := range names {
			if v := o.raw(n); v != nil && string(v) != "null" {
				return known(strings.Trim(string(v), `"`))
			}
		}
		return ""
	}
	text = o.text("path")
	l := &LogLine{
		Method: first("method"), Path: text, Host: first("authority", "authority_for"), Protocol: first("protocol"), Flags: first("response_flags"),
		Details: first("response_code_details"), Termination: first("connection_termination_details"), ForwardedFor: first("x_forwarded_for"),
		UserAgent: known(o.text("user_agent")), RequestID: first("request_id"), ServerName: first("requested_server_name"),
		NotForwarded: o.has("x_forwarded_for") && first("x_forwarded_for") == "", Upstream: first("upstream_host"),
		Local: addrPort(first("downstream_local_address")), Remote: addrPort(first("downstream_remote_address")),
	}
	if l.Status, err = strconv.Atoi(first("response_code")); err != nil {
		return nil, &NotALogLineError{"it has no response_code"}
	}
	l.Time, _ = time.Parse(time.RFC3339, first("start_time")) // zero where it is not there
	return l, nil
}

var (
	rbacDetails = lazyregexp.New(`^rbac_access_denied_matched_policy\[(.*)\]$`)
	jwtDetails  = lazyregexp.New(`^jwt_authn_access_denied\{(.*)\}$`)
)

// Denies reports whether the line is that of a request which this proxy's policies
// refused, or may have: a status without details of a request that was not sent on.
func (l *LogLine) Denies() bool {
	if _, ok := l.Decided(); ok {
		return !l.Shadow
	}
	return (l.Status == 401 || l.Status == 403) && l.Details == "" && l.Upstream == ""
}

// Decided reads the details; false where they name nobody.
func (l *LogLine) Decided() (Decided, bool) {
	for _, details := range []string{l.Details, l.Termination} {
		if m := rbacDetails.FindStringSubmatch(details); m != nil {
			if m[1] == "none" {
				return Decided{NoneAllowed: true}, true
			}
			return Decided{By: policyOrigin(m[1])}, true
		}
		if m := jwtDetails.FindStringSubmatch(details); m != nil {
			return Decided{Token: strings.ReplaceAll(m[1], "_", " ")}, true
		}
	}
	return Decided{}, false
}
