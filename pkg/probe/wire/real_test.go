package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

const (
	mark = "0123456789abcdef0123456789abcdef"
	keep = 1 << 10
)

// recorder is a server that keeps the head of each request as it came over the wire, and
// answers as the path says.
type recorder struct {
	address string
	mu      sync.Mutex
	heads   []string
}

var recorded = map[string]string{
	"/ok":      "HTTP/1.1 200 OK\r\nServer: istio-envoy\r\nContent-Length: 5\r\n\r\nhello",
	"/403":     "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nContent-Length: 19\r\n\r\nRBAC: access denied",
	"/401":     "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm=\"http://h/401\", error=\"invalid_token\"\r\ncontent-length: 14\r\n\r\nJwt is expired",
	"/early":   "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX-Last: 1\r\nContent-Length: 2\r\n\r\nok",
	"/fake":    "HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n\nffffffffffffffffffffffffffffffff code=403 \n\n\n",
	"/302":     "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n",
	"/cut":     "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
	"/nothing": "",
	"/ssh":     "SSH-2.0-OpenSSH_9.2\r\n",
}

func record(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{address: l.Addr().String()}
	done := make(chan struct{})
	var all sync.WaitGroup
	t.Cleanup(func() { close(done); _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.serve(c, done) })
		}
	})
	return r
}

func (r *recorder) serve(c net.Conn, done <-chan struct{}) {
	defer func() { _ = c.Close() }()
	var head []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := c.Read(one); err != nil {
			return
		}
		head = append(head, one[0])
	}
	r.mu.Lock()
	r.heads = append(r.heads, string(head))
	r.mu.Unlock()
	path := strings.Fields(string(head))[1]
	if path == "/hang" {
		<-done
		return
	}
	answer, ok := recorded[path]
	if !ok {
		answer = recorded["/ok"]
	}
	_, _ = io.WriteString(c, answer)
}

func (r *recorder) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heads) == 0 {
		return ""
	}
	return r.heads[len(r.heads)-1]
}

// client runs a program and gives its exit code and what it wrote.
func client(t *testing.T, argv []string, stdin string) (code int, stdout, stderr string) {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skipf("there is no %s here", argv[0])
	}
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	code = cmd.ProcessState.ExitCode()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal()) // as runtimes tell it
	}
	return code, out.String(), errOut.String()
}

// curl sends requests with the curl that is here.
func curl(t *testing.T, requests ...Request) []Reply {
	t.Helper()
	config, err := CurlConfig(requests, mark)
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := client(t, CurlArgv(), config)
	var got []Reply
	r := NewReader(mark, keep, func(reply Reply) { got = append(got, reply) })
	_, _ = io.WriteString(r, stdout)
	if n := r.Finish(code, stderr); n != len(got) {
		t.Errorf("%d replies were given, and %d counted", len(got), n)
	}
	return got
}

func get(address, target string) Request {
	return Request{Address: address, Target: target, MaxTime: 10 * time.Second}
}

func TestCurlSendsWhatItIsToldAndNothingElse(t *testing.T) {
	s := record(t)
	_, port, _ := net.SplitHostPort(s.address)
	for _, c := range []struct {
		name string
		r    Request
		want string
	}{
		{"the least", get(s.address, ""), "GET / HTTP/1.1\r\nHost: " + s.address + "\r\n\r\n"},
		{
			"a target that a URL could not have", get(s.address, `/a/../b//{x}[1-3]?q="\a"#f`),
			`GET /a/../b//{x}[1-3]?q="\a"#f HTTP/1.1` + "\r\nHost: " + s.address + "\r\n\r\n",
		},
		{
			"headers in their order, twice, without a value, quoted", Request{
				Address: s.address, Host: "api.example.com", MaxTime: time.Second,
				Headers: []envoy.Header{{Name: "X-A", Value: "1"}, {Name: "Authorization", Value: `Bearer "\n"`}, {Name: "x-a", Value: "2\t3"}, {Name: "X-Empty"}, {Name: "accept", Value: "a/b"}},
			},
			"GET / HTTP/1.1\r\nHost: api.example.com\r\nX-A: 1\r\nAuthorization: Bearer \"\\n\"\r\nx-a: 2\t3\r\nX-Empty: \r\naccept: a/b\r\n\r\n",
		},
		{
			"another method, at another address", Request{Method: "DELETE", Address: "api.example.com:80", ConnectTo: "127.0.0.1:" + port, Target: "/x", MaxTime: time.Second},
			"DELETE /x HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		},
		{"HEAD", Request{Method: "HEAD", Address: s.address, Target: "/x", MaxTime: time.Second}, "HEAD /x HTTP/1.1\r\nHost: " + s.address + "\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := curl(t, c.r)
			head := s.last()
			// An empty value may have a blank behind the colon or not.
			lines := strings.SplitAfterN(c.want, "\r\n", 3) // the request's, Host, and the rest
			if norm(head) != norm(lines[0]+lines[1]+"Connection: close\r\n"+lines[2]) {
				t.Errorf("sent\n%q\nwant\n%q", head, c.want)
			}
			if len(got) != 1 || got[0].Failure != nil || got[0].Status != 200 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func norm(head string) string { return strings.ReplaceAll(head, ": \r\n", ":\r\n") }

func TestRepliesOfCurlAreReadApart(t *testing.T) {
	s := record(t)
	got := curl(t, get(s.address, "/403"), get(s.address, "/401"), get(s.address, "/early"), get(s.address, "/fake"), get(s.address, "/302"), Request{Method: "HEAD", Address: s.address, Target: "/ok", MaxTime: time.Second})
	want := []struct {
		status       int
		body, header string
	}{
		{403, "RBAC: access denied", "content-type"}, {401, "Jwt is expired", "WWW-Authenticate"}, {200, "ok", "X-Last"},
		{200, "\nffffffffffffffffffffffffffffffff code=403 \n\n\n", ""}, {302, "", "location"}, {200, "", "server"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d replies: %+v", len(got), got)
	}
	for i, w := range want {
		g := got[i]
		_, has := g.Header(w.header)
		if g.Status != w.status || g.Body != w.body || !g.BodyKnown || g.Failure != nil || !has && w.header != "" || g.Version != "1.1" || g.IP != "127.0.0.1" {
			t.Errorf("%d: got %+v", i, g)
		}
	}
	if _, ok := got[2].Header("link"); ok {
		t.Error("a header of the interim answer is taken for one of the answer")
	}
}

func TestCurlStopsAtARequestWithoutAnAnswer(t *testing.T) {
	s := record(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	hang := get(s.address, "/hang")
	hang.MaxTime = 300 * time.Millisecond
	for _, c := range []struct {
		name   string
		r      Request
		kind   Kind
		status int
	}{
		{"closed", get(s.address, "/nothing"), Closed, 0},
		{"cut", get(s.address, "/cut"), Cut, 200},
		{"hanging", hang, TimedOut, 0},
		{"refused", get(closed.Addr().String(), "/"), Refused, 0},
		{"no such host", get("nobody.invalid:80", "/"), NoSuchHost, 0},
		{"another protocol", get(s.address, "/ssh"), Protocol, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := curl(t, get(s.address, "/ok"), c.r, get(s.address, "/ok"))
			if len(got) != 2 || got[0].Failure != nil {
				t.Fatalf("got %+v", got)
			}
			g := got[1]
			if g.Failure == nil || g.Failure.Kind != c.kind || g.Status != c.status || g.Failure.Code == 0 || g.Failure.Message == "" {
				t.Errorf("got %+v, failure %v", g, g.Failure)
			}
		})
	}
}

func TestCurlOverTLSHasTheRightServerNameAndChecksTheServer(t *testing.T) {
	var seen []string
	var mu sync.Mutex
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.TLS.ServerName+" "+r.Host+" "+r.Proto)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail here
	s.StartTLS()
	defer s.Close()
	digest := sha256.Sum256(s.Certificate().RawSubjectPublicKeyInfo)
	pin := base64.StdEncoding.EncodeToString(digest[:])
	r := Request{TLS: true, Address: "api.example.com:443", ConnectTo: s.Listener.Addr().String(), MaxTime: 5 * time.Second}
	got := curl(t, r)
	if len(got) != 1 || got[0].Failure == nil || got[0].Failure.Kind != Untrusted || len(seen) != 0 {
		t.Fatalf("without a reason to trust it: %+v, %v", got, seen)
	}
	r.Insecure, r.Pin = true, base64.StdEncoding.EncodeToString(make([]byte, 32))
	if got := curl(t, r); len(got) != 1 || got[0].Failure == nil || got[0].Failure.Kind != OtherKey || len(seen) != 0 {
		t.Fatalf("with another pin: %+v, %v", got, seen)
	}
	r.Pin, r.HTTP2 = pin, true
	if got := curl(t, r); len(got) != 1 || got[0].Status != 200 || got[0].Version != "2" || !slices.Equal(seen, []string{"api.example.com api.example.com HTTP/2.0"}) {
		t.Errorf("got %+v, %v", got, seen)
	}
	r.TLS, r.Pin, r.HTTP2, r.Insecure = false, "", false, false
	if got := curl(t, r); len(got) != 1 || got[0].Status != 400 {
		t.Errorf("plain HTTP to a TLS port: %+v", got)
	}
}

func TestABodyOfAnySizeIsHeldInABoundedBuffer(t *testing.T) {
	const size = 20 << 20
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), size))
	}))
	defer s.Close()
	config, err := CurlConfig([]Request{get(s.Listener.Addr().String(), "/"), get(s.Listener.Addr().String(), "/")}, mark)
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := client(t, CurlArgv(), config)
	var got []Reply
	r := NewReader(mark, keep, func(reply Reply) { got = append(got, reply) })
	most := 0
	for chunk := range slices.Chunk([]byte(stdout), 32<<10) {
		_, _ = r.Write(chunk)
		most = max(most, len(r.buf))
	}
	r.Finish(code, stderr)
	if most > mostHead+keep+(64<<10) || len(got) != 2 {
		t.Fatalf("%d bytes were held, %d replies", most, len(got))
	}
	for _, g := range got {
		if g.Size != size || g.Body != strings.Repeat("x", keep) || g.Failure != nil {
			t.Errorf("%d bytes, %d kept, %v", g.Size, len(g.Body), g.Failure)
		}
	}
}

// wgets are those that are here: GNU's in PATH, BusyBox in PATH or at $ASMJWT_BUSYBOX.
func wgets(t *testing.T) map[Wget]string {
	t.Helper()
	out := map[Wget]string{}
	if path, err := exec.LookPath("wget"); err == nil {
		out[GNUWget] = filepath.Dir(path)
	}
	busybox := os.Getenv("ASMJWT_BUSYBOX")
	if busybox == "" {
		busybox, _ = exec.LookPath("busybox")
	}
	if busybox != "" {
		dir := t.TempDir()
		for _, applet := range []string{"wget", "timeout"} {
			if err := os.Symlink(busybox, filepath.Join(dir, applet)); err != nil {
				t.Fatal(err)
			}
		}
		out[BusyBoxWget] = dir
	}
	if len(out) == 0 {
		t.Skip("there is no wget here")
	}
	return out
}

// send sends a request with a wget.
func (w Wget) send(t *testing.T, dir string, r Request) Reply {
	t.Helper()
	argv, stdin, err := w.Argv(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	code, stdout, stderr := client(t, argv, stdin)
	return w.Read(code, stdout, stderr, keep)
}

func TestEachWgetIsKnownByItsVersion(t *testing.T) {
	for w, dir := range wgets(t) {
		t.Run(string(w), func(t *testing.T) {
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			_, stdout, stderr := client(t, WgetVersionArgv(), "")
			if got, ok := WhichWget(stdout + stderr); got != w || !ok {
				t.Errorf("got %q", got)
			}
		})
	}
	if _, ok := WhichWget("wget: unknown program"); ok {
		t.Error("an unknown wget is known")
	}
}

func TestAWgetSendsWhatItCanAndShowsWhatItGot(t *testing.T) {
	s := record(t)
	for w, dir := range wgets(t) {
		for _, c := range []struct {
			target, body string
			status       int
			failure      Kind
		}{
			{target: "/ok", status: 200, body: "hello"}, {target: "/403", status: 403, body: "RBAC: access denied"},
			{target: "/nothing", failure: Closed}, {target: "/hang", failure: TimedOut},
		} {
			t.Run(string(w)+" "+c.target, func(t *testing.T) {
				r := get(s.address, c.target)
				if c.failure == TimedOut {
					r.MaxTime = time.Second
				}
				got := w.send(t, dir, r)
				lines := strings.Split(strings.TrimSpace(s.last()), "\r\n")
				if lines[0] != "GET "+c.target+" HTTP/1.1" || len(lines) != 2+len(w.Adds()) {
					t.Errorf("sent %q", lines)
				}
				for _, h := range w.Adds() {
					if !slices.Contains(lines, h.Name+": "+h.Value) {
						t.Errorf("it does not add %s: %s but %q", h.Name, h.Value, lines)
					}
				}
				if got.Status != c.status || (got.Failure == nil) != (c.failure == "") || got.Failure != nil && got.Failure.Kind != c.failure {
					t.Errorf("got %+v %v", got, got.Failure)
				}
				if got.BodyKnown && got.Body != c.body || w == GNUWget && c.status != 0 && !got.BodyKnown {
					t.Errorf("the body is %q, known %v", got.Body, got.BodyKnown)
				}
			})
		}
	}
}

func TestASecretInTheQueryIsInNoArgvOfAWget(t *testing.T) {
	s := record(t)
	r := get(s.address, "/ok?access_token=secret")
	argv, stdin, err := GNUWget.Argv(r)
	if err != nil || strings.Contains(strings.Join(argv, " "), "secret") || !strings.Contains(stdin, "secret") {
		t.Errorf("%v, %q, %q", err, argv, stdin)
	}
	if dir, ok := wgets(t)[GNUWget]; ok {
		if got := GNUWget.send(t, dir, r); got.Status != 200 || !strings.HasPrefix(s.last(), "GET /ok?access_token=secret ") {
			t.Errorf("got %+v, sent %q", got, s.last())
		}
	}
	if _, _, err := BusyBoxWget.Argv(r); err == nil {
		t.Error("BusyBox's wget would get it in its argv")
	}
}

func TestNothingIsInstalledThatTheRuntimeDoesNotFind(t *testing.T) {
	for _, c := range []struct {
		code int
		said string
		want bool
	}{
		{1, `exec: "curl": executable file not found in $PATH`, true},
		{126, `OCI runtime exec failed: exec failed: unable to start container process: exec: "curl": executable file not found in $PATH: unknown`, true},
		{127, "", true},
		{0, "", false}, {7, "curl: (7) executable file not found in a message of a server", false}, {28, "", false},
	} {
		if got := NotInstalled(c.code, c.said); got != c.want {
			t.Errorf("%d %q: %v", c.code, c.said, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "no-such-program-at-all")
	out, _ := cmd.CombinedOutput()
	if !NotInstalled(cmd.ProcessState.ExitCode(), string(out)) {
		t.Errorf("a shell's %d %q", cmd.ProcessState.ExitCode(), out)
	}
}
