package cmd

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// recorded are answers as real proxies and applications gave them, through the client's
// own sidecar; each has the date of the one that answers.
func recorded(status int, body string, ahead int64, headers ...string) *wire.Reply {
	r := &wire.Reply{Status: status, Version: "1.1", Body: body, BodyKnown: true, HeadersKnown: true, Took: 3 * time.Millisecond}
	add := func(name, value string) { r.Headers = append(r.Headers, envoy.Header{Name: name, Value: value}) }
	add("date", time.Unix(probeNow+ahead, 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	add("server", "envoy")
	add("x-envoy-upstream-service-time", "2")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		for i := range r.Headers {
			if r.Headers[i].Name == name {
				r.Headers[i].Value = value
				name = ""
			}
		}
		if name != "" {
			add(name, value)
		}
	}
	return r
}

// recording is an answer that somebody has published: of what curl said of a failure, or
// the head.
func recording(t *testing.T, name string) *wire.Reply {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "probe", "recorded", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			said += line
		}
	}
	var got *wire.Reply
	if what, ok := strings.CutPrefix(said, "curl: (56) "); ok {
		r := wire.NewReader("end", 1024, func(reply wire.Reply) { got = &reply })
		if _, err := fmt.Fprintf(r, "\nend code=000 exit=56 err=%s", what); err != nil || r.Finish(56, said) != 1 {
			t.Fatal(err)
		}
		return got
	}
	head, err := http.ReadResponse(bufio.NewReader(strings.NewReader(said+"\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer head.Body.Close()
	got = &wire.Reply{Status: head.StatusCode, Body: fromHttpbn, BodyKnown: true, HeadersKnown: true}
	for name, values := range head.Header {
		got.Headers = append(got.Headers, envoy.Header{Name: name, Value: values[0]})
	}
	return got
}

// noWay is the answer of the client's own proxy where it finds no endpoint.
func noWay() *wire.Reply {
	r := recorded(503, "no healthy upstream", 0)
	r.Headers = r.Headers[:2]
	return r
}

// past is an answer that no Envoy has touched.
func past(status int) *wire.Reply {
	return &wire.Reply{Status: status, Body: "hi", BodyKnown: true, HeadersKnown: true, Headers: []envoy.Header{{Name: "Server", Value: "gunicorn"}}}
}

func reset() *wire.Reply {
	return &wire.Reply{Failure: &wire.Failure{Kind: wire.Closed, Code: 56, Message: "Recv failure: Connection reset by peer"}}
}
