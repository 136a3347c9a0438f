package run

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// echoHeader carries the request as the application received it back to the
// client: base64 of the JSON of wire.
const echoHeader = "x-judge-echo"

// maxEchoHeader is what an Envoy takes in a header of an answer, with some room; what
// is longer comes in the body, and the header says inBody.
const (
	maxEchoHeader = 32 << 10
	inBody        = "in-body"
)

// maxHead is more than an Envoy forwards.
const maxHead = 256 << 10

// echo is the application behind the proxies. It speaks HTTP/1.1 by hand: a
// library would sort the headers and mend the request line.
type echo struct{ l net.Listener }

func startEcho() (*echo, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &echo{l: l}
	go e.accept()
	return e, nil
}

func (e *echo) address() string { return e.l.Addr().String() }

func (e *echo) stop() error { return e.l.Close() }

func (e *echo) accept() {
	for {
		conn, err := e.l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			in := bufio.NewReaderSize(conn, 64<<10)
			for serveEcho(in, conn) == nil {
			}
		}()
	}
}

// serveEcho answers one request.
func serveEcho(in *bufio.Reader, out io.Writer) error {
	got, err := readRequest(in)
	if err != nil {
		return err
	}
	told, err := json.Marshal(wireOf(got))
	if err != nil {
		return err
	}
	body, echoed := "ok", base64.StdEncoding.EncodeToString(told)
	if len(echoed) > maxEchoHeader && got.Method != "HEAD" {
		body, echoed = echoed, inBody
	}
	length := len(body)
	if got.Method == "HEAD" {
		body = ""
	}
	_, err = fmt.Fprintf(out, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n%s: %s\r\ncontent-length: %d\r\n\r\n%s",
		echoHeader, echoed, length, body)
	return err
}

// readRequest reads a request's head as it stands on the wire, and past its body.
func readRequest(in *bufio.Reader) (*judge.Upstream, error) {
	line, err := readLine(in)
	if err != nil {
		return nil, err
	}
	// A path may come with blanks: the query is decoded when a token is removed.
	method, rest, ok := strings.Cut(line, " ")
	end := strings.LastIndex(rest, " HTTP/1.")
	if !ok || end < 0 {
		return nil, errors.New("no HTTP/1 request line")
	}
	got := &judge.Upstream{Method: method, Path: rest[:end]}
	length, chunked := int64(0), false
	for size := 0; ; {
		if line, err = readLine(in); err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		if size += len(line); size > maxHead {
			return nil, errors.New("head too long")
		}
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.ToLower(name), strings.Trim(value, " \t")
		switch name {
		case "host":
			got.Host = value
			continue
		case "content-length":
			length, _ = strconv.ParseInt(value, 10, 64)
		case "transfer-encoding":
			chunked = value == "chunked"
		}
		got.Headers = append(got.Headers, judge.Header{Name: name, Value: value})
	}
	return got, skipBody(in, length, chunked)
}

func skipBody(in *bufio.Reader, length int64, chunked bool) error {
	if !chunked {
		_, err := io.CopyN(io.Discard, in, length)
		return err
	}
	if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(in)); err != nil {
		return err
	}
	_, err := readLine(in)
	return err
}

// readLine reads up to a line's end, which it leaves out.
func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// readEcho takes the application's account out of a response header.
func readEcho(value string) (*judge.Upstream, error) {
	if value == "" {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", echoHeader, err)
	}
	var told wire
	if err := json.Unmarshal(raw, &told); err != nil {
		return nil, fmt.Errorf("header %s: %w", echoHeader, err)
	}
	return told.upstream(), nil
}

// wire is a judge.Upstream in bytes: text in JSON would lose what is no UTF-8.
type wire struct {
	Method, Host, Path []byte
	Headers            [][2][]byte
}

func wireOf(u *judge.Upstream) wire {
	out := wire{Method: []byte(u.Method), Host: []byte(u.Host), Path: []byte(u.Path)}
	for _, h := range u.Headers {
		out.Headers = append(out.Headers, [2][]byte{[]byte(h.Name), []byte(h.Value)})
	}
	return out
}

func (w wire) upstream() *judge.Upstream {
	out := &judge.Upstream{Method: string(w.Method), Host: string(w.Host), Path: string(w.Path)}
	for _, h := range w.Headers {
		out.Headers = append(out.Headers, judge.Header{Name: string(h[0]), Value: string(h[1])})
	}
	return out
}
