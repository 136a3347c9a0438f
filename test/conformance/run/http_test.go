package run

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// pair is a connection's two ends.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// against runs an exchange with the server on the other end.
func against(t *testing.T, req *judge.Request, server func(net.Conn)) (*judge.Answer, error) {
	t.Helper()
	client, other := pair(t)
	if err := client.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer other.Close()
		server(other)
	}()
	answer, err := exchange(client, req)
	_ = client.Close()
	<-done
	return answer, err
}

func TestExchangeHTTP1_ThatTheBytesAreThoseOfTheCase(t *testing.T) {
	req := &judge.Request{Method: "gEt", Host: "H", Path: "//a b?#%zz", Headers: []judge.Header{
		{Name: "X-a", Value: " padded "}, {Name: "x-A", Value: ""}, {Name: "Host", Value: "again"}}}
	var got []byte
	answer, err := against(t, req, func(c net.Conn) {
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		got = buf[:n]
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\nwww-authenticate: B\r\n\r\nno!")
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "gEt //a b?#%zz HTTP/1.1\r\nHost: H\r\nX-a:  padded \r\nx-A: \r\nHost: again\r\n\r\n"
	if string(got) != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	if answer.Status != 403 || answer.Body != "no!" || answer.WWWAuthenticate != "B" || answer.Upstream != nil {
		t.Errorf("got %+v", answer)
	}
}

func TestExchange_ThatAnEndWithoutAnAnswerIsNoError(t *testing.T) {
	for name, c := range map[string]struct {
		http2 bool
		reply string
	}{
		"HTTP/1.1, nothing":         {false, ""},
		"HTTP/1.1, half an answer":  {false, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"},
		"HTTP/1.1, something else":  {false, "\x15\x03\x01\x00"},
		"HTTP/2, nothing":           {true, ""},
		"HTTP/2, an HTTP/1.1 reply": {true, "HTTP/1.1 400 Bad Request\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := against(t, &judge.Request{Method: "GET", Path: "/", HTTP2: c.http2}, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, c.reply)
			})
			if !errors.As(err, new(closedError)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestExchange_ThatSilenceIsAnError(t *testing.T) {
	client, other := pair(t)
	defer other.Close()
	if err := client.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, other) }()
	_, err := exchange(client, &judge.Request{Method: "GET", Path: "/"})
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, new(closedError)) {
		t.Errorf("got %v", err)
	}
}

func TestExchange_ThatAnAnswerThatNoEnvoyGivesIsAnError(t *testing.T) {
	for name, header := range map[string]string{
		"gRPC's status is a word": "grpc-status: bad", "the echo is no base64": echoHeader + ": %%",
		"the echo is no JSON": echoHeader + ": e30x",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := against(t, &judge.Request{Method: "GET", Path: "/"}, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"+header+"\r\n\r\n")
			})
			if err == nil || errors.As(err, new(closedError)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// serve2 reads a client's request and hands its fields to reply.
func serve2(t *testing.T, reply func(f *http2.Framer, fields []hpack.HeaderField)) func(net.Conn) {
	return func(c net.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		in := bufio.NewReaderSize(c, 256<<10)
		if _, err := io.ReadFull(in, preface); err != nil || string(preface) != http2.ClientPreface {
			t.Errorf("preface %q: %v", preface, err)
			return
		}
		f := http2.NewFramer(c, in)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Errorf("read: %v", err)
				return
			}
			if h, ok := frame.(*http2.MetaHeadersFrame); ok {
				reply(f, slices.Clone(h.Fields))
				// What else the client says, such as acknowledgements.
				_, _ = io.Copy(io.Discard, in)
				return
			}
		}
	}
}

// block encodes fields, in pairs of name and value.
func block(pairs ...string) []byte {
	var out bytes.Buffer
	enc := hpack.NewEncoder(&out)
	for i := 0; i < len(pairs); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return out.Bytes()
}

func TestExchangeHTTP2_ThatFieldsGoOutInOrderAndLongOnesInSeveralFrames(t *testing.T) {
	long := strings.Repeat("x~", 30<<10)
	req := &judge.Request{HTTP2: true, Method: "get", Host: "H", Path: "/p", Headers: []judge.Header{
		{Name: "X-B", Value: "1"}, {Name: "x-a", Value: " 2 "}, {Name: "x-b", Value: long}}}
	var got []hpack.HeaderField
	answer, err := against(t, req, serve2(t, func(f *http2.Framer, fields []hpack.HeaderField) {
		got = fields
		_ = f.WriteSettings()
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "103")})
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200", "a", "1")})
		_ = f.WriteData(1, false, []byte("o"))
		_ = f.WriteData(1, false, []byte("k"))
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true,
			BlockFragment: block("grpc-status", "7", "grpc-message", "m")})
	}))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, f := range got {
		pairs = append(pairs, f.Name+"="+f.Value)
	}
	want := []string{":method=get", ":scheme=http", ":path=/p", ":authority=H", "x-b=1", "x-a= 2 ", "x-b=" + long}
	if !slices.Equal(pairs, want) {
		t.Errorf("sent %.300v", pairs)
	}
	if answer.Status != 200 || answer.Body != "ok" || answer.GRPCStatus == nil || *answer.GRPCStatus != 7 || answer.GRPCMessage != "m" {
		t.Errorf("got %+v", answer)
	}
}

func TestExchangeHTTP2_ThatAConnectHasNoPathAndTLSIsHTTPS(t *testing.T) {
	for _, c := range []struct {
		req  judge.Request
		want []string
	}{
		{judge.Request{Method: "CONNECT", Host: "h:1"}, []string{":method", ":authority"}},
		{judge.Request{Method: "GET", Path: "/", Client: judge.Client{Transport: "mtls"}}, []string{":method", ":scheme=https", ":path"}},
	} {
		c.req.HTTP2 = true
		var got []string
		_, err := against(t, &c.req, serve2(t, func(f *http2.Framer, fields []hpack.HeaderField) {
			for _, field := range fields {
				name := field.Name
				if name == ":scheme" {
					name += "=" + field.Value
				}
				got = append(got, name)
			}
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: block(":status", "404")})
		}))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("sent %v (%v), want %v", got, err, c.want)
		}
	}
}

func TestExchangeHTTP2_ThatResetsAndGoodbyesCloseUnlessAnAnswerWasThere(t *testing.T) {
	head := http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "401")}
	for name, c := range map[string]struct {
		reply  func(*http2.Framer)
		status int
	}{
		"reset":            {func(f *http2.Framer) { _ = f.WriteRSTStream(1, http2.ErrCodeProtocol) }, 0},
		"gone in anger":    {func(f *http2.Framer) { _ = f.WriteGoAway(0, http2.ErrCodeProtocol, nil) }, 0},
		"answer and reset": {func(f *http2.Framer) { _ = f.WriteHeaders(head); _ = f.WriteRSTStream(1, http2.ErrCodeNo) }, 401},
		"gone, with grace": {func(f *http2.Framer) {
			_ = f.WriteGoAway(1, http2.ErrCodeNo, nil)
			_ = f.WritePing(false, [8]byte{1})
			_ = f.WriteHeaders(head)
			_ = f.WriteData(1, true, nil)
		}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := against(t, &judge.Request{HTTP2: true, Method: "GET", Path: "/"},
				serve2(t, func(f *http2.Framer, _ []hpack.HeaderField) { c.reply(f) }))
			switch {
			case c.status == 0 && !errors.As(err, new(closedError)):
				t.Errorf("got %v", err)
			case c.status != 0 && (err != nil || a.Status != c.status):
				t.Errorf("got %+v (%v), want %d", a, err, c.status)
			}
		})
	}
}

// Records of TLS would otherwise be read one by one where the machine is busy.
func TestWhatIsWrittenOnceIsSentOnce(t *testing.T) {
	var sent [][]byte
	under := &inOnePiece{Conn: countingConn{nil, &sent}, holding: true}
	for _, piece := range []string{"a", "bc"} {
		if n, err := under.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	under.holding = false
	if _, err := under.Write(nil); err != nil || len(sent) != 1 || string(sent[0]) != "abc" {
		t.Errorf("sent %q, %v", sent, err)
	}
}

type countingConn struct {
	net.Conn
	sent *[][]byte
}

func (c countingConn) Write(p []byte) (int, error) {
	*c.sent = append(*c.sent, p)
	return len(p), nil
}
