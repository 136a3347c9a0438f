package run

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// exchange sends the request on the connection and reads the answer. An end of the
// connection without an answer is a closedError.
func exchange(conn net.Conn, req *judge.Request) (*judge.Answer, error) {
	do := exchangeHTTP1
	if req.HTTP2 {
		do = exchangeHTTP2
	}
	answer, err := do(conn, req)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, new(wrongAnswer)) {
		return nil, closedError{err}
	}
	return answer, err
}

// wrongAnswer is an answer that this client cannot read, which no Envoy sends.
type wrongAnswer struct{ error }

// exchangeHTTP1 writes the request as it stands, byte for byte.
func exchangeHTTP1(conn net.Conn, req *judge.Request) (*judge.Answer, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\n", req.Method, req.Path)
	if req.Host != "" {
		fmt.Fprintf(&out, "Host: %s\r\n", req.Host)
	}
	for _, h := range req.Headers {
		fmt.Fprintf(&out, "%s: %s\r\n", h.Name, h.Value)
	}
	out.WriteString("\r\n")
	if _, err := conn.Write(out.Bytes()); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: req.Method})
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
		if resp.StatusCode < 200 {
			continue
		}
		return readAnswer(resp.StatusCode, resp.Header.Get, body)
	}
}

// readAnswer fills in what both versions of HTTP tell alike.
func readAnswer(status int, header func(string) string, body []byte) (*judge.Answer, error) {
	echoed := header(echoHeader)
	if echoed == inBody {
		echoed, body = string(body), []byte("ok")
	}
	upstream, err := readEcho(echoed)
	if err != nil {
		return nil, wrongAnswer{err}
	}
	a := &judge.Answer{Status: status, Body: string(body), Upstream: upstream,
		GRPCMessage: header("grpc-message"), WWWAuthenticate: header("www-authenticate")}
	if text := header("grpc-status"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, wrongAnswer{fmt.Errorf("grpc-status %q", text)}
		}
		a.GRPCStatus = &n
	}
	return a, nil
}

// window is how many bytes of an answer may be under way.
const window = 1 << 20

// streamID is the one stream that a client opens.
const streamID = 1

// exchangeHTTP2 speaks HTTP/2 with prior knowledge, frame by frame.
func exchangeHTTP2(conn net.Conn, req *judge.Request) (*judge.Answer, error) {
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	// An answer that repeats a large request is larger than the window of the beginning.
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		return nil, err
	}
	if err := framer.WriteWindowUpdate(0, window); err != nil {
		return nil, err
	}
	if err := writeHeaders(framer, req, schemeOn(conn, req)); err != nil {
		return nil, err
	}
	r := &http2Reader{head: map[string]string{}}
	for {
		if _, err := conn.Write(out.Bytes()); err != nil {
			return nil, err
		}
		out.Reset()
		frame, err := framer.ReadFrame()
		if err != nil {
			return nil, err
		}
		done, err := r.frame(framer, frame)
		if err != nil {
			return nil, err
		}
		if done {
			return readAnswer(r.status, func(name string) string { return r.head[name] }, r.body)
		}
	}
}

// schemeOn is the scheme that a client names: what comes through a tunnel is plain HTTP.
func schemeOn(conn net.Conn, req *judge.Request) string {
	if c, ok := conn.(*connection); ok {
		if _, tunnelled := c.Conn.(*tunnelConn); tunnelled {
			return "http"
		}
	}
	if req.Client.Transport == "" {
		return "http"
	}
	return "https"
}

// writeHeaders writes the request's head; names in lower case, as HTTP/2 wants them.
func writeHeaders(framer *http2.Framer, req *judge.Request, scheme string) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	field := func(name, value string) error { return enc.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	head := []judge.Header{{Name: ":method", Value: req.Method}}
	if req.Method != http.MethodConnect || req.Path != "" {
		head = append(head, judge.Header{Name: ":scheme", Value: scheme}, judge.Header{Name: ":path", Value: req.Path})
	}
	if req.Host != "" {
		head = append(head, judge.Header{Name: ":authority", Value: req.Host})
	}
	for _, h := range append(head, req.Headers...) {
		if err := field(strings.ToLower(h.Name), h.Value); err != nil {
			return err
		}
	}
	const frameSize = 16 << 10
	first := block.Next(frameSize)
	err := framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: streamID, BlockFragment: first, EndStream: true, EndHeaders: block.Len() == 0})
	for err == nil && block.Len() > 0 {
		err = framer.WriteContinuation(streamID, block.Len() <= frameSize, block.Next(frameSize))
	}
	return err
}

// http2Reader gathers the answer out of frames.
type http2Reader struct {
	status int
	head   map[string]string
	body   []byte
}

// frame takes one frame in, and says whether the answer is whole.
func (r *http2Reader) frame(framer *http2.Framer, frame http2.Frame) (bool, error) {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return false, nil
		}
		return false, framer.WriteSettingsAck()
	case *http2.PingFrame:
		if f.IsAck() {
			return false, nil
		}
		return false, framer.WritePing(true, f.Data)
	case *http2.MetaHeadersFrame:
		return f.StreamEnded(), r.headers(f)
	case *http2.DataFrame:
		r.body = append(r.body, f.Data()...)
		return f.StreamEnded(), nil
	case *http2.RSTStreamFrame:
		if r.status == 0 {
			return false, fmt.Errorf("stream reset: %s", f.ErrCode)
		}
		return true, nil
	case *http2.GoAwayFrame:
		// A graceful one is followed by the answer.
		if f.ErrCode != http2.ErrCodeNo {
			return false, fmt.Errorf("go away: %s", f.ErrCode)
		}
	}
	return false, nil
}

// headers takes the head, or the trailers; of a repeated name the first.
func (r *http2Reader) headers(f *http2.MetaHeadersFrame) error {
	if text := f.PseudoValue("status"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return wrongAnswer{fmt.Errorf("status %q", text)}
		}
		if n < 200 {
			return nil
		}
		r.status = n
	}
	for _, h := range f.RegularFields() {
		if _, there := r.head[h.Name]; !there {
			r.head[h.Name] = h.Value
		}
	}
	return nil
}
