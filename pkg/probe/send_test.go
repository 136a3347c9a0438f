package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// processes runs commands on this machine, as a container runtime would in a pod.
type processes struct {
	path string // PATH; empty: this process's

	mu   sync.Mutex
	argv [][]string
	// fail is how often the way there fails first.
	fail int
	err  error
}

// exitError is what a command that fails ends with.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }
func (e exitError) ExitCode() int { return e.code }

func (p *processes) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	p.mu.Lock()
	p.argv = append(p.argv, argv)
	failing := p.fail > 0
	p.fail--
	p.mu.Unlock()
	if failing {
		return p.err
	}
	path := p.path
	if path == "" {
		path = os.Getenv("PATH")
	}
	program := ""
	for _, dir := range filepath.SplitList(path) {
		if _, err := os.Stat(filepath.Join(dir, argv[0])); err == nil {
			program = filepath.Join(dir, argv[0])
			break
		}
	}
	if program == "" { // a runtime's words
		return fmt.Errorf("exec: %q: executable file not found in $PATH", argv[0])
	}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = stdin, stdout, stderr, []string{"PATH=" + path}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit):
		return exitError{exit.ExitCode()}
	}
	return err
}

type sending struct {
	sender *Sender
	pod    *processes
	said   []string
	done   int
}

func newSending(t *testing.T) *sending {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl here")
	}
	s := &sending{pod: &processes{}}
	marks := 0
	s.sender = &Sender{
		Executor: s.pod, Keep: 100, Rate: 100, Now: func() int64 { return 1 },
		Mark: func() string { marks++; return fmt.Sprintf("mark%028d", marks) },
		Say:  func(line string) { s.said = append(s.said, line) }, Done: func(n int) { s.done += n },
	}
	return s
}

// counting answers with the path, and counts; /hang hangs, and /close closes.
func counting(t *testing.T) (address string, requests func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Method+" "+r.URL.Path)
		mu.Unlock()
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
		case "/close":
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, r.URL.Path)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(seen) }
}

func requestsTo(address string, paths ...string) []wire.Request {
	var out []wire.Request
	for _, p := range paths {
		out = append(out, wire.Request{Address: address, Target: p, MaxTime: 5 * time.Second})
	}
	return out
}

func TestManyRequestsGoInOneCommandAndGoOnBehindOneThatFails(t *testing.T) {
	s := newSending(t)
	address, seen := counting(t)
	paths := []string{"/0", "/1", "/close", "/3", "/4", "/close", "/6"}
	sent, err := s.sender.Send(t.Context(), requestsTo(address, paths...))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range sent.Results {
		switch {
		case r.Reply == nil:
			t.Errorf("%d: unsent: %s", i, r.Unsent)
		case paths[i] == "/close":
			if r.Reply.Status != 0 || r.Reply.Failure.Kind != wire.Closed {
				t.Errorf("%d: %+v", i, r.Reply)
			}
		case r.Reply.Status != 200 || r.Reply.Body != paths[i] || r.At != 1:
			t.Errorf("%d: %+v", i, r.Reply)
		}
	}
	if len(s.pod.argv) != 3 || s.done != len(paths) || sent.Client != "curl" {
		t.Errorf("%d commands, %d done: %v", len(s.pod.argv), s.done, s.pod.argv)
	}
	if got := len(seen()); got < len(paths) {
		t.Errorf("the server saw %v", seen())
	}
}

func TestTheWayThereIsTriedAgainAndNothingElseIs(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  int
		err   error
		tries int
		ok    bool
	}{
		{"it breaks once", 1, errors.New("stream closed"), 2, true},
		{"it breaks each time", 9, errors.New("stream closed"), 3, false},
		{"a right is lacking", 9, hinted{}, 1, false},
		{"the command fails", 9, exitError{2}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSending(t)
			s.pod.fail, s.pod.err = c.fail, c.err
			address, _ := counting(t)
			_, err := s.sender.Send(t.Context(), requestsTo(address, "/0"))
			if (err == nil) != c.ok || len(s.pod.argv) != c.tries || len(s.said) != c.tries-1 {
				t.Errorf("%v after %d tries, said %q", err, len(s.pod.argv), s.said)
			}
			if c.err != nil && err != nil && !errors.Is(err, c.err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

type hinted struct{}

func (hinted) Error() string    { return "forbidden" }
func (hinted) HintLine() string { return "ask for: create pods/exec in foo" }

// broken writes half of what a command says, and then breaks.
type broken struct{ *processes }

func (b broken) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var out strings.Builder
	if err := b.processes.Exec(ctx, argv, stdin, &out, stderr); err != nil || len(b.argv) > 1 {
		_, _ = io.WriteString(stdout, out.String())
		return err
	}
	half := out.String()
	_, _ = io.WriteString(stdout, half[:len(half)*3/4])
	return errors.New("stream closed")
}

func TestARequestThatChangesSomethingIsNotSentTwice(t *testing.T) {
	for method, twice := range map[string]bool{"GET": true, "POST": false} {
		s := newSending(t)
		s.sender.Executor = broken{s.pod}
		address, seen := counting(t)
		requests := requestsTo(address, "/0", "/1")
		for i := range requests {
			requests[i].Method = method
		}
		sent, err := s.sender.Send(t.Context(), requests)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, r := range seen() {
			if r == method+" /1" {
				count++
			}
		}
		if got := sent.Results[1]; (got.Reply != nil) != twice || (count == 2) != twice || !twice && !strings.Contains(got.Unsent, "may have been sent") {
			t.Errorf("%s: sent %d times, %+v", method, count, got)
		}
	}
}

func TestWhatCurlCannotSendKeepsNothingElseBack(t *testing.T) {
	s := newSending(t)
	address, _ := counting(t)
	requests := requestsTo(address, "/0", "/a b", "/2")
	sent, err := s.sender.Send(t.Context(), requests)
	if err != nil || sent.Results[0].Reply == nil || sent.Results[2].Reply == nil || !strings.Contains(sent.Results[1].Unsent, "curl cannot send it") {
		t.Errorf("%v, %+v", err, sent.Results)
	}
}

func TestTheTimeForAllEndsItAndSaysWhatWasNotSent(t *testing.T) {
	s := newSending(t)
	address, _ := counting(t)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	sent, err := s.sender.Send(ctx, requestsTo(address, "/0", "/1", "/hang"))
	if err != nil || sent.Results[0].Reply == nil || sent.Results[2].Unsent != OutOfTime {
		t.Errorf("%v, %+v", err, sent)
	}
}

func TestAnInterruptIsObeyedAtOnce(t *testing.T) {
	s := newSending(t)
	address, seen := counting(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(seen()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := s.sender.Send(ctx, requestsTo(address, "/hang", "/1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNoMoreThanTheRateIsSentInASecond(t *testing.T) {
	s := newSending(t)
	s.sender.Rate = 2
	address, seen := counting(t)
	start := time.Now()
	if _, err := s.sender.Send(t.Context(), requestsTo(address, "/0", "/1", "/2", "/3", "/4")); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 2*time.Second || len(seen()) != 5 || len(s.pod.argv) != 3 {
		t.Errorf("%d requests in %d commands took %v", len(seen()), len(s.pod.argv), took)
	}
}

// A refusal may end a connection of HTTP/2, and curl would send the next request on it.
func TestEachRequestOfHTTP2HasACommandOfItsOwn(t *testing.T) {
	s := newSending(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.Config.Protocols = protocols
	server.Start()
	t.Cleanup(server.Close)
	requests := requestsTo(server.Listener.Addr().String(), "/0", "/1")
	for i := range requests {
		requests[i].HTTP2 = true
	}
	sent, err := s.sender.Send(t.Context(), requests)
	if err != nil || len(s.pod.argv) != 2 || sent.Results[1].Reply == nil || sent.Results[1].Reply.Body != "HTTP/2.0" {
		t.Errorf("%v, %d commands, %+v", err, len(s.pod.argv), sent)
	}
}

// only makes a PATH with links to these programs alone.
func only(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, program := range programs {
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s here", name)
	}
	return path
}

func TestAContainerWithWgetAloneSendsWhatItCanAndSaysWhatNot(t *testing.T) {
	s := newSending(t)
	s.pod.path = only(t, map[string]string{"wget": program(t, "wget"), "timeout": program(t, "timeout")})
	address, seen := counting(t)
	requests := requestsTo(address, "/0", "/1")
	requests[1].Headers = []envoy.Header{{Name: "Authorization", Value: "Bearer secret"}}
	sent, err := s.sender.Send(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	if sent.Client != "GNU wget" || sent.Results[0].Reply == nil || sent.Results[0].Reply.Status != 200 || !strings.Contains(sent.Results[1].Unsent, "GNU wget cannot send it") {
		t.Errorf("%+v", sent)
	}
	if len(s.said) != 2 || !strings.Contains(s.said[0], "curl is not in the container") || !strings.Contains(s.said[1], "sends no header lines") {
		t.Errorf("said %q", s.said)
	}
	for _, argv := range s.pod.argv {
		if strings.Contains(strings.Join(argv, " "), "secret") {
			t.Errorf("a header line is in the argv %q", argv)
		}
	}
	if got := seen(); !slices.Equal(got, []string{"GET /0"}) {
		t.Errorf("the server saw %q", got)
	}
}

func TestAContainerWithNothingToSendWithIsToldSo(t *testing.T) {
	s := newSending(t)
	s.pod.path = t.TempDir()
	var none *NoClientError
	if _, err := s.sender.Send(t.Context(), requestsTo("127.0.0.1:1", "/")); !errors.As(err, &none) || len(none.Tried) != 2 || !strings.Contains(none.HintLine(), "--image") {
		t.Errorf("got %v", err)
	}
	s.sender.CurlOnly = true
	if _, err := s.sender.Send(t.Context(), requestsTo("127.0.0.1:1", "/")); !errors.As(err, &none) || len(none.Tried) != 1 {
		t.Errorf("got %v", err)
	}
}

// A command that ends well and says nothing proves nothing.
func TestSuccessWithoutAWordIsNoAnswer(t *testing.T) {
	s := newSending(t)
	s.pod.path = only(t, map[string]string{"curl": program(t, "true")})
	if _, err := s.sender.Send(t.Context(), requestsTo("127.0.0.1:1", "/")); err == nil || !strings.Contains(err.Error(), "said nothing") || len(s.pod.argv) != 3 {
		t.Errorf("%v after %d tries", err, len(s.pod.argv))
	}
}
