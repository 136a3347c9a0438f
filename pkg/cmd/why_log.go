package cmd

import (
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

// aboutLine is one question about a line of a proxy's log.
type aboutLine struct {
	intent   diagnose.Intent
	line     diagnose.LogLine
	observed observe.Answer
}

// validateLog checks what --from-log and --logs say together with other flags.
func (o *whyOptions) validateLog() error {
	f := &o.flags
	flag := "--from-log"
	if f.logs.value != "" {
		flag = "--logs"
	}
	switch {
	case !o.given("from-log") && f.logs.value == "" && o.given("since"):
		return usage("add --logs", "--since says how much of a log is read, and none is")
	case !o.given("from-log") && f.logs.value == "":
		return nil
	case o.given("from-log") && f.logs.value != "":
		return usage("leave one of the two out", "--from-log and --logs together")
	case o.given("from-log") && o.given("since"):
		return usage("leave it out, or read the log itself with --logs", "--since with one line of a log")
	case f.logs.value != "" && !o.live():
		return usage("give a line of the log: --from-log 'LINE'", "--logs reads a pod's log, and no cluster is asked")
	case o.given("observed"):
		return usage("leave one of the two out: the line says what was seen", "%s and --observed together", flag)
	case len(o.intent.Via) > 0:
		return usage("ask about the proxy of which the line is: name it as the target", "%s and --via together: a line is of one proxy", flag)
	case f.fixWanted() > 0 && f.logs.value == logsEach:
		return usage("give the line: --from-log 'LINE'", "a fix is for one request, and --logs=%s may find many", logsEach)
	}
	return nil
}

// readLine reads the line of --from-log.
func (o *whyOptions) readLine() error {
	if !o.given("from-log") {
		return nil
	}
	text, err := o.app.readPasted("--from-log", o.flags.fromLog)
	if err != nil {
		return err
	}
	o.app.secrets.addShapes(text)
	line, err := lastLine(text)
	if err != nil {
		return err
	}
	q := o.about(o.intent, line, "the line that was given")
	o.intent, o.line = q.intent, &q
	return nil
}

// lastLine is the last line of a text that is one of a proxy's log.
func lastLine(text string) (*proxy.LogLine, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var first error
	for i := len(lines) - 1; i >= 0; i-- {
		line, err := proxy.ParseLogLine(lines[i])
		if err == nil {
			return line, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// about is the question about the request of a line: what flags say wins, and what
// neither tells is not known.
func (o *whyOptions) about(in diagnose.Intent, l *proxy.LogLine, from string) aboutLine {
	asked := func(flag string) bool {
		if o.flags.logs.value != "" {
			return false // what flags say has chosen the line
		}
		return o.given(flag) || flag != "method" && o.given("url") || o.given("curl")
	}
	o.app.secrets.addPath(l.Path)
	http := l.Method != "" && l.Method != "-"
	if http && !asked("method") {
		in.Method = l.Method
	}
	if http && !asked("path") {
		in.Path = l.Path
	}
	in.Unseen = diagnose.UnseenIn(http || asked("method"), http || asked("path"))
	if l.Host != "" && !asked("host") && (in.Host == "" || o.flags.logs.value != "") {
		in.Host = l.Host
	}
	if l.Protocol == "HTTP/2" && !o.given("http") {
		in.Protocol = envoy.HTTP2
	}
	answer := answerOf(l)
	in.Headers = append(in.Headers[:len(in.Headers):len(in.Headers)], headersOf(l, answer.GRPCStatus != nil, in.Headers)...)
	if !l.Time.IsZero() && !o.given("at") {
		in.Time, in.Clock = l.Time.Unix(), "the log"
	}
	if port := int(l.Local.Port()); port != 0 && !o.given("port") && in.Target.Type != mesh.TypeService && in.Target != (mesh.Target{}) {
		in.Port, in.URLPort = diagnose.Port{Number: port}, 0
	}
	o.aboutCaller(&in.Caller, l)
	return aboutLine{intent: in, line: lineOf(l, from), observed: answer}
}

// aboutCaller is what a line tells of the client. The address in it is the client's own
// where x-forwarded-for names one (Envoy DOWNSTREAM_REMOTE_ADDRESS).
func (o *whyOptions) aboutCaller(who *diagnose.Caller, l *proxy.LogLine) {
	if remote := l.Remote.Addr(); remote.IsValid() {
		if !who.RemoteIP.IsValid() {
			who.RemoteIP = remote
		}
		if l.NotForwarded && !who.IP.IsValid() {
			who.IP = remote
		}
	}
	who.Forwarded = l.ForwardedFor
	if l.ServerName != "" && !who.SNIGiven {
		who.SNI, who.SNIGiven = l.ServerName, true
	}
}

// unlikeItsLine is the question once more where the answer is not that of the line, and
// the path in the line may not be the one that the proxy saw; nil elsewhere.
func (o *whyOptions) unlikeItsLine(in diagnose.Intent, d *diagnose.Diagnosis, line *aboutLine) *diagnose.Intent {
	if line == nil || d.Observed == nil || d.Observed.Agrees || d.Target.Role != string(envoy.RoleSidecar) || in.Unseen.Path != nil ||
		o.given("path") || o.given("url") || o.given("curl") || !d.HangsOnPath(line.line) {
		return nil
	}
	in.Unseen = diagnose.BeforeRewrite(*in.Unseen)
	return &in
}

// headersOf are the header lines that a line tells, but for those that flags give.
func headersOf(l *proxy.LogLine, grpc bool, given []envoy.Header) []envoy.Header {
	var out []envoy.Header
	add := func(name, value string) {
		for _, h := range given {
			if strings.EqualFold(h.Name, name) {
				return
			}
		}
		out = append(out, envoy.Header{Name: name, Value: value})
	}
	if l.UserAgent != "" {
		add("user-agent", l.UserAgent)
	}
	if grpc {
		add("content-type", "application/grpc")
	}
	return out
}

// answerOf is what the client got. A denial that has status 200 is one of gRPC.
func answerOf(l *proxy.LogLine) observe.Answer {
	a := observe.Answer{Status: l.Status, Details: l.Details, Flags: l.Flags}
	if l.Method != "" && l.Method != "-" {
		a.Request = &observe.Sent{Method: l.Method, Path: l.Path, Host: l.Host}
	}
	decided, ok := l.Decided()
	if ok && l.Details != "" && l.Status == 200 {
		code := 7
		if decided.Token != "" {
			code = 16
		}
		a.GRPCStatus = &code
	}
	return a
}

func lineOf(l *proxy.LogLine, from string) diagnose.LogLine {
	out := diagnose.LogLine{From: from, Status: l.Status, Details: l.Details, DryRun: l.Shadow}
	if out.Details == "" {
		out.Details = l.Termination
	}
	if !l.Time.IsZero() {
		out.Time = l.Time.UTC().Format(time.RFC3339)
	}
	if d, ok := l.Decided(); ok {
		out.Rule, out.NoneAllowed, out.BadToken = d.By, d.NoneAllowed, d.Token != ""
		out.GRPC = l.Details != "" && l.Status == 200
	}
	return out
}
