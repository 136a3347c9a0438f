package observe

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

const hint = "write what was seen as '403 RBAC: access denied', or give the output of curl -i or curl -v on standard input: --observed -"

var (
	statusLine  = lazyregexp.New(`^HTTP/[0-9.]+ (\d{3})(?:\s|$)`)
	requestLine = lazyregexp.New(`^([A-Z][A-Z0-9_-]*) (\S+) HTTP/[0-9.]+$`)
	curlFailure = lazyregexp.New(`(?m)^curl: \((\d+)\)`)
	// meter is curl's progress meter.
	meter = lazyregexp.New(`^\s*(% Total|Dload|\d+ +[0-9.]+[kMG]? +\d+ .*(--:--:--|\d+:\d\d:\d\d))`)
	words = lazyregexp.New(`(?s)^(?:HTTP )?(\d{3})\b[\s:,-]*(.*)$`)
	// atEnd is what curl -w '%{http_code}' leaves behind a body.
	atEnd = lazyregexp.New(`(?s)^(.*?)\s*(\d{3})$`)
	// accessLog is Istio's default text format (istio.io, Envoy Access Logs), and Envoy's.
	accessLog = lazyregexp.New(`\[\d{4}-\d\d-\d\dT[0-9:.]+Z?\] "(\S+) (\S+) [^"]*" (\d+) (\S+)(?: (\S+))?`)
	grpcCode  = lazyregexp.New(`(?m)^\s*Code: ([A-Za-z]+)\s*$`)
	grpcText  = lazyregexp.New(`(?m)^\s*Message: (.*)$`)
	grpcShort = lazyregexp.New(`^grpc(?:-status)?[: ]+(\d{1,2})\b[\s:,-]*(.*)$`)
)

// reasonPhrases are words behind a status that are not its body.
var reasonPhrases = map[string]bool{
	"ok": true, "created": true, "accepted": true, "no content": true, "moved permanently": true, "found": true, "not modified": true,
	"bad request": true, "unauthorized": true, "forbidden": true, "not found": true, "method not allowed": true, "upgrade required": true,
	"request header fields too large": true, "internal server error": true, "bad gateway": true, "service unavailable": true, "gateway timeout": true,
	"allowed": true, "denied": true,
}

// grpcCodes are the names that grpcurl prints.
var grpcCodes = map[string]int{"OK": 0, "Unknown": 2, "PermissionDenied": 7, "Internal": 13, "Unavailable": 14, "Unauthenticated": 16, "Unimplemented": 12}

// Parse finds the answer in a text. Errors are *Error.
func Parse(text string) (Answer, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return Answer{}, &Error{"there is nothing in it", hint}
	}
	lines := strings.Split(text, "\n")
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "< "); ok && statusLine.MatchString(rest) {
			return verbose(lines), nil
		}
	}
	if i := firstStatus(lines); i >= 0 {
		return included(lines[i:]), nil
	}
	if m := curlFailure.FindStringSubmatch(text); m != nil {
		return failed(m[1], lines), nil
	}
	if strings.HasPrefix(trimmed, "{") {
		if a, ok := jsonLog(trimmed); ok {
			return a, nil
		}
	}
	if m := accessLog.FindStringSubmatch(text); m != nil {
		return logged(m)
	}
	return spoken(trimmed)
}

func firstStatus(lines []string) int {
	for i, line := range lines {
		if statusLine.MatchString(line) {
			return i
		}
	}
	return -1
}

// verbose reads the output of curl -v: the last request and answer of it.
func verbose(lines []string) Answer {
	var a Answer
	var body []string
	var sent *Sent
	inBody := false
	for _, line := range lines {
		switch rest := strings.TrimRight(line, " "); {
		case strings.HasPrefix(line, "> "):
			rest = line[2:]
			if m := requestLine.FindStringSubmatch(strings.TrimSpace(rest)); m != nil {
				sent = &Sent{Method: m[1], Path: m[2]}
			} else if name, value, ok := strings.Cut(rest, ":"); ok && sent != nil {
				sent.add(name, strings.TrimSpace(value))
			}
		case strings.HasPrefix(line, "< "):
			if rest = strings.TrimSpace(line[2:]); rest == "" {
				inBody = a.Status >= 200
			} else if m := statusLine.FindStringSubmatch(rest); m != nil {
				status, _ := strconv.Atoi(m[1])
				a = Answer{Status: status, HeadersKnown: true, Request: sent}
				body, inBody = nil, false
			} else if name, value, ok := strings.Cut(rest, ":"); ok {
				a.Headers = append(a.Headers, envoy.Header{Name: name, Value: strings.TrimSpace(value)})
			}
		case rest == "<":
			inBody = a.Status >= 200
		case rest == ">", strings.HasPrefix(line, "* "), strings.HasPrefix(line, "{ ["), strings.HasPrefix(line, "} ["), meter.MatchString(line):
		case inBody:
			body = append(body, line)
		}
	}
	a.HeadersKnown = len(a.Headers) > 0
	a.setBody(strings.Join(body, "\n"))
	return a
}

func (s *Sent) add(name, value string) {
	if strings.EqualFold(name, "host") || name == ":authority" {
		s.Host = value
		return
	}
	s.Headers = append(s.Headers, envoy.Header{Name: name, Value: value})
}

// included reads the output of curl -i or -I.
func included(lines []string) Answer {
	var a Answer
	for len(lines) > 0 {
		m := statusLine.FindStringSubmatch(lines[0])
		if m == nil {
			break
		}
		status, _ := strconv.Atoi(m[1])
		a = Answer{Status: status, HeadersKnown: true}
		for lines = lines[1:]; len(lines) > 0 && strings.TrimSpace(lines[0]) != ""; lines = lines[1:] {
			if name, value, ok := strings.Cut(lines[0], ":"); ok {
				a.Headers = append(a.Headers, envoy.Header{Name: name, Value: strings.TrimSpace(value)})
			}
		}
		for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
			lines = lines[1:]
		}
	}
	a.HeadersKnown = len(a.Headers) > 0 // a status line alone shows none
	a.setBody(strings.Join(lines, "\n"))
	return a
}

// gluedMessages are what curl -v writes right behind a body that ends in no line break.
var gluedMessages = []string{"* Connection #", "* Closing connection", "* shutting down connection"}

// setBody takes a body without what curl writes around it. One that is not there is
// known by its length, if it is a proxy's: HEAD has none.
func (a *Answer) setBody(body string) {
	for _, glued := range gluedMessages {
		if i := strings.Index(body, glued); i >= 0 {
			body = body[:i]
		}
	}
	body = strings.TrimSpace(body)
	if cut := strings.TrimSpace(strings.TrimSuffix(body, strconv.Itoa(a.Status))); a.Status != 0 && author(cut) != byOthers {
		body = cut
	}
	a.Body, a.BodyKnown = body, body != ""
	if status, ok := a.header("grpc-status"); ok {
		if n, err := strconv.Atoi(status); err == nil {
			a.GRPCStatus = &n
			if text, ok := a.header("grpc-message"); ok && body == "" {
				a.Body, a.BodyKnown = unescape(text), true
			}
		}
	}
	if length, ok := a.header("content-length"); !a.BodyKnown && ok && length == "0" {
		a.BodyKnown = true
	}
}

// unescape undoes the percent-encoding of grpc-message.
func unescape(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// failed is what curl says when there is no answer.
func failed(code string, lines []string) Answer {
	a := Answer{}
	switch code {
	case "5", "6", "7", "28": // no such host, refused, timeout
		a.Unreachable = true
	}
	for _, line := range lines {
		if m := requestLine.FindStringSubmatch(strings.TrimSpace(strings.TrimPrefix(line, "> "))); m != nil {
			a.Request = &Sent{Method: m[1], Path: m[2]}
		}
	}
	return a
}

// jsonLog reads a line of an access log in JSON, with Istio's names.
func jsonLog(text string) (Answer, bool) {
	var line struct {
		Code    *int   `json:"response_code"`
		Details string `json:"response_code_details"`
		Flags   string `json:"response_flags"`
		Method  string `json:"method"`
		Path    string `json:"path"`
		Host    string `json:"authority"`
	}
	if json.NewDecoder(strings.NewReader(text)).Decode(&line) != nil || line.Code == nil {
		return Answer{}, false
	}
	a := Answer{Status: *line.Code, Details: line.Details, Flags: line.Flags}
	if line.Method != "" {
		a.Request = &Sent{Method: line.Method, Path: line.Path, Host: line.Host}
	}
	return a, true
}

// logged is a line of an access log, as its pattern cut it.
func logged(m []string) (Answer, error) {
	status, err := strconv.Atoi(m[3])
	if err != nil || status > 599 {
		return Answer{}, &Error{"the line of the access log has no status", hint}
	}
	a := Answer{Status: status, Flags: m[4], Details: m[5]}
	if m[1] != "-" {
		a.Request = &Sent{Method: m[1], Path: m[2]}
	}
	return a, nil
}

// spoken reads what a person writes: a status, a body, or both.
func spoken(text string) (Answer, error) {
	if m := grpcCode.FindStringSubmatch(text); m != nil {
		if code, ok := grpcCodes[m[1]]; ok {
			a := Answer{Status: 200, GRPCStatus: &code}
			if m := grpcText.FindStringSubmatch(text); m != nil {
				a.Body, a.BodyKnown = strings.TrimSpace(m[1]), true
			}
			return a, nil
		}
	}
	if m := grpcShort.FindStringSubmatch(strings.ToLower(text)); m != nil {
		code, _ := strconv.Atoi(m[1])
		body := strings.TrimSpace(text[len(text)-len(m[2]):])
		return Answer{Status: 200, GRPCStatus: &code, Body: body, BodyKnown: body != ""}, nil
	}
	switch lower := strings.ToLower(text); {
	case text == "000", lower == "closed", lower == "connection reset", lower == "empty reply from server", strings.Contains(lower, "connection reset by peer"):
		return Answer{}, nil
	case statusOf(text) != 0:
		return Answer{Status: statusOf(text), Body: text, BodyKnown: true}, nil
	}
	m := words.FindStringSubmatch(text)
	if m == nil {
		if m = atEnd.FindStringSubmatch(text); m == nil || m[1] == "" {
			return Answer{}, &Error{"there is no answer in it", hint}
		}
		m[1], m[2] = m[2], m[1]
	}
	status, _ := strconv.Atoi(m[1])
	if status < 100 || status > 599 {
		return Answer{}, &Error{"there is no HTTP status in it", hint}
	}
	a := Answer{Status: status}
	if !reasonPhrases[strings.ToLower(strings.TrimSpace(m[2]))] {
		a.setBody(m[2])
	}
	return a, nil
}
