package wire

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Wget is which wget a container has.
type Wget string

// The wgets. Their options differ.
const (
	GNUWget     Wget = "GNU wget"
	BusyBoxWget Wget = "BusyBox wget"
)

// WgetVersionArgv asks a wget which one it is; BusyBox's does not know the option.
func WgetVersionArgv() []string { return []string{"wget", "--version"} }

// WhichWget tells the two apart by what WgetVersionArgv prints on both streams.
func WhichWget(said string) (Wget, bool) {
	switch {
	case strings.Contains(said, "GNU Wget"):
		return GNUWget, true
	case strings.Contains(said, "BusyBox"):
		return BusyBoxWget, true
	}
	return "", false
}

// Cannot says what a wget cannot do, for people.
func (w Wget) Cannot() string {
	if w == GNUWget {
		return "sends no header lines, and so no token, except one in the query"
	}
	return "sends no header lines, and so no token, and no method but GET; what it shows of a refusal is the status alone"
}

// plainTarget is what a wget asks for as it stands; it tidies up everything else.
var plainTarget = regexp.MustCompile(`^/[A-Za-z0-9/_~%=&?+,:;@.-]*$`)

// Argv starts the wget for one request, and says what to write to its standard input:
// the URL, for GNU wget; BusyBox's has it in the argv, so that nothing may be secret in
// it. timeout, of coreutils and of BusyBox, ends it: -T is for a part of the exchange, and
// not every BusyBox has it. Errors are *UnsendableError.
func (w Wget) Argv(r Request) (argv []string, stdin string, err error) {
	refuse := func(format string, args ...any) ([]string, string, error) {
		return nil, "", &UnsendableError{Client: string(w), Why: fmt.Sprintf(format, args...)}
	}
	if err := r.check(string(w)); err != nil {
		return nil, "", err
	}
	target := r.target()
	path, query, _ := strings.Cut(target, "?")
	switch {
	case len(r.Headers) > 0:
		return refuse("it takes header lines in its argv only, where others can read them")
	case r.Host != "" && r.Host != r.authority():
		return refuse("it takes a Host header in its argv only")
	case r.HTTP2:
		return refuse("it speaks HTTP/1.1 only")
	case r.ConnectTo != "":
		return refuse("it connects to the host of the URL only")
	case r.Pin != "":
		return refuse("it checks no public key")
	case !plainTarget.MatchString(target) || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../"):
		return refuse("it would send another path than this one")
	case w == BusyBoxWget && r.method() != "GET":
		return refuse("it sends GET only")
	case w == BusyBoxWget && query != "":
		return refuse("it takes the query in its argv only, where others can read it")
	case r.method() == "HEAD":
		return refuse("it sends no HEAD")
	}
	limit := max(1, int(math.Ceil(r.MaxTime.Seconds())))
	argv = []string{"timeout", strconv.Itoa(limit), "wget", "-q", "-S", "-O", "-"}
	if r.Insecure {
		argv = append(argv, "--no-check-certificate")
	}
	url := r.scheme() + "://" + r.Address + target
	if w == BusyBoxWget {
		return append(argv, "-Y", "off", url), "", nil
	}
	argv = append(argv, "--no-config", "--no-proxy", "--tries=1", "--max-redirect=0", "--content-on-error", "--user-agent=", "--input-file=-")
	if r.method() != "GET" {
		argv = append(argv, "--method="+r.method())
	}
	return argv, url + "\n", nil
}

// Adds are the header lines that a wget puts into a request by itself.
func (w Wget) Adds() []envoy.Header {
	if w == GNUWget {
		return []envoy.Header{{Name: "Accept", Value: "*/*"}, {Name: "Accept-Encoding", Value: "identity"}, {Name: "Connection", Value: "Keep-Alive"}}
	}
	return []envoy.Header{{Name: "User-Agent", Value: "Wget"}, {Name: "Connection", Value: "close"}}
}

// timedOut are the exit codes of timeout: of coreutils, and of BusyBox, which gives that
// of the signal.
var timedOut = map[int]bool{124: true, 143: true, 137: true}

var wgetStatus = regexp.MustCompile(`(?m)^\s*HTTP/(\d(?:\.\d)?) (\d{3})`)

// Read is what a wget says: the head of the answer on standard error, its body on
// standard output. keep bounds the body. What BusyBox's wget got after redirects, which it
// follows whoever asks, is the last answer.
func (w Wget) Read(code int, stdout, stderr string, keep int) Reply {
	var out Reply
	if all := wgetStatus.FindAllStringSubmatch(stderr, -1); len(all) > 0 {
		last := all[len(all)-1]
		out.Version = last[1]
		out.Status, _ = strconv.Atoi(last[2])
	}
	if out.Status == 0 {
		out.Failure = w.failure(code, stderr)
		return out
	}
	var lines []string
	for line := range strings.SplitSeq(stderr, "\n") {
		if strings.HasPrefix(line, "  ") { // how both show the server's lines
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	out.Headers = parseHead(strings.Join(lines, "\n"))
	out.HeadersKnown = len(out.Headers) > 0
	if w == GNUWget || code == 0 {
		out.Size, out.BodyKnown = int64(len(stdout)), true
		out.Body = stdout[:min(len(stdout), keep)]
	}
	if timedOut[code] {
		out.Failure = &Failure{Kind: TimedOut}
	}
	return out
}

// wgetSays are what the wgets print where there is no answer, the first that fits.
var wgetSays = []struct {
	text string
	kind Kind
}{
	{"unable to resolve host address", NoSuchHost}, {"bad address", NoSuchHost}, {"Name or service not known", NoSuchHost},
	{"Connection refused", Refused}, {"can't connect to remote host", Refused}, {"timed out", TimedOut},
	{"certificate", Untrusted}, {"SSL", TLSHandshake}, {"TLS", TLSHandshake},
}

func (w Wget) failure(code int, stderr string) *Failure {
	message := strings.Join(strings.Fields(stderr), " ")
	if timedOut[code] {
		return &Failure{Kind: TimedOut, Message: message}
	}
	for _, s := range wgetSays {
		if strings.Contains(stderr, s.text) {
			return &Failure{Kind: s.kind, Message: message}
		}
	}
	// GNU wget says nothing of a connection that is closed when it is quiet.
	return &Failure{Kind: Closed, Message: message}
}
