package run

import (
	"bufio"
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

func TestEcho_ThatARequestIsToldAsItStands(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("get /A%2f?x#y HTTP/1.1\r\nHost: H:1\r\nX-B: 1\r\nx-a:\r\nX-B:  2 \r\ncontent-length: 3\r\n\r\nabc" +
		"HEAD / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" +
		"PRI * HTTP/2.0\r\n\r\n"))
	want := []judge.Upstream{
		{Method: "get", Host: "H:1", Path: "/A%2f?x#y", Headers: []judge.Header{
			{Name: "x-b", Value: "1"}, {Name: "x-a", Value: ""}, {Name: "x-b", Value: "2"}, {Name: "content-length", Value: "3"}}},
		{Method: "HEAD", Host: "h", Path: "/", Headers: []judge.Header{{Name: "transfer-encoding", Value: "chunked"}}},
	}
	for _, w := range want {
		var out bytes.Buffer
		if err := serveEcho(in, &out); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(&out), &http.Request{Method: w.Method})
		if err != nil {
			t.Fatal(err)
		}
		got, err := readEcho(resp.Header.Get(echoHeader))
		if err != nil || got == nil || !reflect.DeepEqual(*got, w) {
			t.Errorf("got %+v (%v), want %+v", got, err, w)
		}
	}
	if err := serveEcho(in, &bytes.Buffer{}); err == nil {
		t.Error("took what is not HTTP/1")
	}
}

func TestEcho_ThatAHeadWithoutEndIsCutOff(t *testing.T) {
	long := "GET / HTTP/1.1\r\n" + strings.Repeat("a: "+strings.Repeat("x", 1000)+"\r\n", 1000)
	if _, err := readRequest(bufio.NewReader(strings.NewReader(long))); err == nil {
		t.Error("no error")
	}
}

func TestReadEcho_ThatNothingIsNothing(t *testing.T) {
	if got, err := readEcho(""); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
