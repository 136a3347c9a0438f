package wire

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func TestNoHeaderLineIsInAnArgv(t *testing.T) {
	r := Request{Address: "h:80", Target: "/x?access_token=secret", Headers: []envoy.Header{{Name: "Authorization", Value: "Bearer secret"}}, MaxTime: time.Second}
	config, err := CurlConfig([]Request{r}, mark)
	if err != nil || strings.Count(config, "secret") != 2 || strings.Contains(strings.Join(CurlArgv(), " "), "secret") {
		t.Errorf("%v\n%s", err, config)
	}
	for _, w := range []Wget{GNUWget, BusyBoxWget} {
		if argv, _, err := w.Argv(r); err == nil {
			t.Errorf("%s would be started with %q", w, argv)
		}
	}
}

func TestWhatNoClientMayBeGivenIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"a line break in a value":  func(r *Request) { r.Headers = []envoy.Header{{Name: "a", Value: "b\nurl = http://elsewhere"}} },
		"a line break in a name":   func(r *Request) { r.Headers = []envoy.Header{{Name: "a\nurl = x", Value: "b"}} },
		"no name":                  func(r *Request) { r.Headers = []envoy.Header{{Value: "b"}} },
		"a blank in the target":    func(r *Request) { r.Target = "/a b" },
		"a line break in the host": func(r *Request) { r.Host = "a\r\nb" },
		"no port":                  func(r *Request) { r.Address = "h" },
		"a path in the address":    func(r *Request) { r.Address = "h/x:80" },
		"a quote in the address":   func(r *Request) { r.Address = `h":80` },
		"a user in the address":    func(r *Request) { r.Address = "u@h:80" },
		"an option for an address": func(r *Request) { r.Address = "-o:80" },
		"a quote in ConnectTo":     func(r *Request) { r.ConnectTo = `h":80` },
		"a tunnel":                 func(r *Request) { r.Method = "CONNECT" },
		"a blank in the method":    func(r *Request) { r.Method = "GET /x" },
	} {
		r := Request{Address: "h:80", MaxTime: time.Second}
		change(&r)
		var unsendable *UnsendableError
		if _, err := CurlConfig([]Request{{Address: "h:80"}, r}, mark); !errors.As(err, &unsendable) || unsendable.Client != "curl" {
			t.Errorf("%s: curl: %v", name, err)
		}
		if _, _, err := GNUWget.Argv(r); !errors.As(err, &unsendable) {
			t.Errorf("%s: wget: %v", name, err)
		}
	}
}

func TestAWgetIsNotGivenWhatItCannotSend(t *testing.T) {
	for name, c := range map[string]struct {
		change       func(*Request)
		gnu, busybox bool // can
	}{
		"a path":           {func(r *Request) { r.Target = "/a/b.c~d%20;x" }, true, true},
		"a query":          {func(r *Request) { r.Target = "/a?b=c" }, true, false},
		"dots":             {func(r *Request) { r.Target = "/a/../b" }, false, false},
		"dots at the end":  {func(r *Request) { r.Target = "/a/.." }, false, false},
		"what is escaped":  {func(r *Request) { r.Target = "/{a}" }, false, false},
		"POST":             {func(r *Request) { r.Method = "POST" }, true, false},
		"HEAD":             {func(r *Request) { r.Method = "HEAD" }, false, false},
		"another host":     {func(r *Request) { r.Host = "other" }, false, false},
		"its own host":     {func(r *Request) { r.Host = "h" }, true, true},
		"another address":  {func(r *Request) { r.ConnectTo = "g:80" }, false, false},
		"HTTP/2":           {func(r *Request) { r.HTTP2 = true }, false, false},
		"a public key":     {func(r *Request) { r.TLS, r.Pin = true, "x" }, false, false},
		"any certificate":  {func(r *Request) { r.TLS, r.Address, r.Insecure = true, "h:443", true }, true, true},
		"a header, as any": {func(r *Request) { r.Headers = []envoy.Header{{Name: "a", Value: "b"}} }, false, false},
	} {
		r := Request{Address: "h:80", MaxTime: time.Second}
		c.change(&r)
		for w, can := range map[Wget]bool{GNUWget: c.gnu, BusyBoxWget: c.busybox} {
			if _, _, err := w.Argv(r); (err == nil) != can {
				t.Errorf("%s with %s: %v", name, w, err)
			}
		}
	}
}

// What a curl before 7.75 says: neither exit code nor message on standard output.
func TestACurlThatDoesNotKnowAllVariablesIsReadToo(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\na: b\r\n\r\nhi\n" + mark + " code=200 head=25 body=2 version=1.1 ip=10.0.0.1 time=0.5 exit= err=\n"
	failed := "\n" + mark + " code=000 head=0 body=0 version=0 ip= time=0 exit= err=\n"
	read := func(text string, code int, stderr string) []Reply {
		var got []Reply
		r := NewReader(mark, keep, func(reply Reply) { got = append(got, reply) })
		for i := range text { // in the smallest pieces
			_, _ = r.Write([]byte{text[i]})
		}
		r.Finish(code, stderr)
		return got
	}
	got := read(ok+failed, 56, "curl: unknown --write-out variable: 'exitcode'\ncurl: (56) Recv failure: Connection reset by peer\n")
	if len(got) != 2 || got[0].Failure != nil || got[0].Body != "hi" || got[0].Took != 500*time.Millisecond ||
		got[1].Failure == nil || got[1].Failure.Kind != Closed || got[1].Failure.Message != "Recv failure: Connection reset by peer" || got[1].Version != "" {
		t.Errorf("got %+v", got)
	}
	if got := read(ok, 18, ""); len(got) != 1 || got[0].Failure == nil || got[0].Failure.Kind != Cut || got[0].Failure.Error() != "connection closed within the answer" {
		t.Errorf("got %+v", got)
	}
	if got := read(ok, 0, ""); len(got) != 1 || got[0].Failure != nil {
		t.Errorf("got %+v", got)
	}
	if got := read(ok[:30], 137, ""); len(got) != 0 {
		t.Errorf("half of an answer is one: %+v", got)
	}
}
