package fetch

import (
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// raw answers every connection with a text, and keeps what came.
func raw(t *testing.T, answer string) (address string, got func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var mu sync.Mutex
	var head strings.Builder
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			one := make([]byte, 1)
			mu.Lock()
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				if _, err := c.Read(one); err != nil {
					break
				}
				head.Write(one)
			}
			mu.Unlock()
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}()
	return l.Addr().String(), func() string { mu.Lock(); defer mu.Unlock(); return head.String() }
}

func TestThisMachineSendsARequestByteByByteAndReadsTheAnswer(t *testing.T) {
	address, got := raw(t, "HTTP/1.1 403 Forbidden\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 19\r\n\r\nRBAC: access denied")
	r := wire.Request{
		Method: "DELETE", Address: "api.example.com:80", ConnectTo: address, Target: "//a/../b?x={y}", MaxTime: 5 * time.Second,
		Headers: []envoy.Header{{Name: "b", Value: "1"}, {Name: "B", Value: "2"}, {Name: "empty"}},
	}
	reply := Send(t.Context(), r, nil, 4)
	if want := "DELETE //a/../b?x={y} HTTP/1.1\r\nHost: api.example.com\r\nb: 1\r\nB: 2\r\nempty: \r\nConnection: close\r\n\r\n"; got() != want {
		t.Errorf("sent %q, want %q", got(), want)
	}
	if reply.Status != 403 || reply.Failure != nil || reply.Body != "RBAC" || reply.Size != 19 || !reply.BodyKnown || len(reply.Headers) != 3 || reply.IP != "127.0.0.1" || reply.Took == 0 {
		t.Errorf("got %+v", reply)
	}
}

func TestWhatFailsIsToldByItsKind(t *testing.T) {
	closed, _ := raw(t, "")
	cut, _ := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	ssh, greeting := "", "SSH-2.0-OpenSSH_9.2\r\n\r\n"
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	} else {
		defer l.Close()
		ssh = l.Addr().String()
		go func() { // it speaks first, whoever calls
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_, _ = io.WriteString(c, greeting)
				defer c.Close()
			}
		}()
	}
	hang, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hang.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for name, c := range map[string]struct {
		r    wire.Request
		want wire.Kind
	}{
		"closed":           {wire.Request{Address: closed}, wire.Closed},
		"cut":              {wire.Request{Address: cut}, wire.Cut},
		"another protocol": {wire.Request{Address: ssh}, wire.Protocol},
		"hanging":          {wire.Request{Address: hang.Addr().String(), MaxTime: 200 * time.Millisecond}, wire.TimedOut},
		"refused":          {wire.Request{Address: gone.Addr().String()}, wire.Refused},
		"no such host":     {wire.Request{Address: "nobody.invalid:80"}, wire.NoSuchHost},
		"not trusted":      {wire.Request{Address: secure.Listener.Addr().String(), TLS: true}, wire.Untrusted},
		"no TLS":           {wire.Request{Address: ssh, TLS: true}, wire.TLSHandshake},
		"unsendable":       {wire.Request{Address: closed, Target: "/a b"}, wire.Unsent},
		"HTTP/2":           {wire.Request{Address: closed, HTTP2: true}, wire.Unsent},
	} {
		if c.r.MaxTime == 0 {
			c.r.MaxTime = 5 * time.Second
		}
		if reply := Send(t.Context(), c.r, nil, 100); reply.Failure == nil || reply.Failure.Kind != c.want {
			t.Errorf("%s: got %+v %v, want %s", name, reply, reply.Failure, c.want)
		}
	}
}

func TestTheServerNameIsThatOfTheURLWhereverItConnects(t *testing.T) {
	var names []string
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { names = append(names, r.TLS.ServerName+" "+r.Host) }))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate()) // which is for example.com
	r := wire.Request{TLS: true, Address: "example.com:443", ConnectTo: s.Listener.Addr().String(), Host: "other.example.com", MaxTime: 5 * time.Second}
	if reply := Send(t.Context(), r, roots, 100); reply.Status != 200 || len(names) != 1 || names[0] != "example.com other.example.com" {
		t.Errorf("got %+v %v, %q", reply, reply.Failure, names)
	}
	r.Address = "wrong.example.org:443"
	if reply := Send(t.Context(), r, roots, 100); reply.Failure == nil || reply.Failure.Kind != wire.Untrusted || len(names) != 1 {
		t.Errorf("got %+v", reply)
	}
}
