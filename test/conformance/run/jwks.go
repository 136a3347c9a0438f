package run

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// jwksServer serves the documents behind jwksUris. To istiod's resolver it is an
// HTTP proxy: the resolver asks for the URI as it stands in the objects. To an
// Envoy it is the server itself, on a port of its own for each mesh.
type jwksServer struct {
	address     string
	certificate tls.Certificate

	mu   sync.Mutex
	docs map[string]string
}

// startJWKS starts the server, which stays as long as the process.
func startJWKS(certificate tls.Certificate) (*jwksServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &jwksServer{address: l.Addr().String(), certificate: certificate}
	server := &http.Server{Handler: http.HandlerFunc(s.proxy), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	return s, nil
}

// asProxy makes the server the proxy of this process, which is how istiod's
// resolver finds it. Go reads the environment once, so it fails where something
// has read it before.
func (s *jwksServer) asProxy() error {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, "http://"+s.address); err != nil {
			return err
		}
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	u, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "http", Host: "jwks.example"}})
	if err == nil && (u == nil || u.Host != s.address) {
		return fmt.Errorf("this process has read its proxy settings before: %v", u)
	}
	return err
}

// serve makes docs the documents that istiod gets until the given function is called.
func (s *jwksServer) serve(docs map[string]string) func() {
	set := func(d map[string]string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.docs = d
	}
	set(docs)
	return func() { set(nil) }
}

// proxy answers istiod: plain requests as they are, CONNECT by being the server
// behind the tunnel.
func (s *jwksServer) proxy(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	docs := s.docs
	s.mu.Unlock()
	if r.Method != http.MethodConnect {
		answerDocument(w, docs, r.URL.String())
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	inner := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.certificate}, MinVersion: tls.VersionTLS12})
	host := strings.TrimSuffix(r.Host, ":443")
	serveOne(inner, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerDocument(w, docs, "https://"+host+r.URL.RequestURI())
	}))
}

// serveOne serves HTTP on one connection and returns when it is over.
func serveOne(conn net.Conn, h http.Handler) {
	l := &oneListener{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conn <- conn
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			_ = l.Close()
		}
	}}
	_ = server.Serve(l)
}

// oneListener accepts one connection.
type oneListener struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// answerDocument gives the document behind the URI, if there is one.
func answerDocument(w http.ResponseWriter, docs map[string]string, uri string) {
	doc, ok := docs[uri]
	if !ok {
		http.Error(w, "no such document", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, doc)
}

// forEnvoy serves a mesh's documents to its Envoy on a port of its own. The URI is
// told by host and path: Envoy sends no more.
func forEnvoy(docs map[string]string) (*http.Server, string, error) {
	byPath := map[string]string{}
	for uri, doc := range docs {
		if u, err := url.Parse(uri); err == nil {
			byPath[u.Host+u.RequestURI()] = doc
		}
	}
	return serveHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerDocument(w, byPath, r.Host+r.URL.RequestURI())
	}))
}

// startAuthorizer starts the external authorizer: 302 where the check has the header
// x-ext-authz: redirect, else 200.
func startAuthorizer() (*http.Server, string, error) {
	return serveHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("x-ext-authz") == "redirect" {
			w.Header().Set("location", "https://login.example/")
			w.WriteHeader(http.StatusFound)
		}
	}))
}

func serveHTTP(h http.Handler) (*http.Server, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	return server, l.Addr().String(), nil
}
