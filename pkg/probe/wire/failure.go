package wire

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Kind is why there is no answer, or not all of one.
type Kind string

// The kinds.
const (
	NoSuchHost   Kind = "no such host"
	Refused      Kind = "connection refused"
	TimedOut     Kind = "no answer in time"
	Closed       Kind = "connection closed without an answer"
	Cut          Kind = "connection closed within the answer"
	TLSHandshake Kind = "no TLS handshake"
	Untrusted    Kind = "the certificate is not trusted"
	OtherKey     Kind = "another public key"
	Protocol     Kind = "not HTTP"
	Stopped      Kind = "stopped" // nobody read on
	Unsent       Kind = "not sent"
)

// Failure says why there is no answer, or not all of one.
type Failure struct {
	Kind Kind
	// Code is curl's exit code; 0 where another client was at work.
	Code int
	// Message is the client's, one line. It may repeat what strangers wrote.
	Message string
}

// Error is the kind and the client's own words.
func (f *Failure) Error() string {
	if f.Message == "" {
		return string(f.Kind)
	}
	return fmt.Sprintf("%s: %s", f.Kind, f.Message)
}

// kinds are curl's exit codes (curl man page, EXIT CODES; include/curl/curl.h:CURLcode).
var kinds = map[int]Kind{
	5: NoSuchHost, 6: NoSuchHost, 7: Refused, 28: TimedOut,
	52: Closed, 55: Closed, 56: Closed, 18: Cut, 92: Closed, 16: Protocol, 1: Protocol, 8: Protocol,
	35: TLSHandshake, 51: Untrusted, 53: TLSHandshake, 58: TLSHandshake, 59: TLSHandshake, 60: Untrusted, 77: Untrusted, 83: Untrusted,
	90: OtherKey, 91: Untrusted, 23: Stopped,
	2: Unsent, 3: Unsent, 4: Unsent, 26: Unsent, 27: Unsent, 43: Unsent, 48: Unsent,
}

// kindOf is the kind of an exit code of curl. answered says that the answer had begun.
func kindOf(code int, answered bool) Kind {
	k, ok := kinds[code]
	switch {
	case answered && (!ok || k == Closed):
		return Cut
	case !ok:
		return Closed
	}
	return k
}

var curlSays = regexp.MustCompile(`(?m)^curl: \((\d+)\) (.*)$`)

// failureIn is the last failure that curl tells on standard error; nil: none.
func failureIn(stderr string, answered bool) *Failure {
	all := curlSays.FindAllStringSubmatch(stderr, -1)
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	code, err := strconv.Atoi(last[1])
	if err != nil {
		return nil
	}
	return &Failure{Kind: kindOf(code, answered), Code: code, Message: strings.TrimSpace(last[2])}
}

// notInstalled is what a runtime says of a command that the image does not have.
var notInstalled = regexp.MustCompile(`executable file not found in|no such file or directory|: not found|No such file or directory`)

// NotInstalled reports whether a command did not start since the image does not have it,
// by its exit code (0: unknown) and what was said.
func NotInstalled(code int, said string) bool {
	switch code {
	case 127:
		return true
	case 0, 1, 126, 255:
		return notInstalled.MatchString(said)
	}
	return false
}
