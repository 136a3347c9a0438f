package fetch

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// faulty is a server of every fault, by path.
func faulty(t *testing.T, secure bool) *httptest.Server {
	t.Helper()
	stop := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"keys":[]}`) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-stop:
				return
			case <-r.Context().Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	mux.HandleFunc("/hanging", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login?code=canary-of-the-query", http.StatusFound)
	})
	mux.HandleFunc("/login", func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), 10<<20)) })
	mux.HandleFunc("/private", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("{"))
	})
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = nil
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		close(stop)
		s.Close()
	})
	return s
}

// kindOf is the kind of a failure; "" for success.
func kindOf(t *testing.T, err error) Kind {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	if e.From != ThisMachine || !strings.Contains(err.Error(), "from this machine") {
		t.Errorf("the error does not say from where: %v", err)
	}
	return e.Kind
}

func TestAFetchFailsForWhatTheServerDoes(t *testing.T) {
	s := faulty(t, false)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for _, c := range []struct {
		url  string
		want Kind
		says string
	}{
		{s.URL + "/keys", "", ""},
		{s.URL + "/slow", Timeout, "within 300ms"},
		{s.URL + "/hanging", Timeout, "within 300ms"},
		{s.URL + "/redirect", Redirect, `302, a redirect to "` + s.URL + `/login"`},
		{s.URL + "/large", TooLarge, "1024 KiB"},
		{s.URL + "/private", Status, "403"},
		{s.URL + "/nowhere", Status, "404"},
		{s.URL + "/cut", Connect, "unexpected EOF"},
		{"http://" + closed.Addr().String() + "/", Connect, "refused"},
		{"ftp://127.0.0.1/keys", BadURL, "not an http or https URL"},
		{"keys.json", BadURL, "not an http or https URL"},
		{"https:///keys", BadURL, "not an http or https URL"},
		{"http://user:canary-of-the-password@127.0.0.1/keys", BadURL, "credentials"},
	} {
		r, err := Get(t.Context(), c.url, Options{Timeout: 300 * time.Millisecond, AllowHTTP: true})
		if got := kindOf(t, err); got != c.want {
			t.Errorf("%s: %q, want %q: %v", c.url, got, c.want, err)
			continue
		}
		if c.want == "" {
			if string(r.Body) != `{"keys":[]}` || r.From != ThisMachine {
				t.Errorf("got %+v", r)
			}
			continue
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q does not say %q", c.url, err, c.says)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: a secret comes out: %v", c.url, err)
		}
	}
}

func TestAServerOfAnUnknownAuthorityIsNotBelieved(t *testing.T) {
	s := faulty(t, true)
	_, err := Get(t.Context(), s.URL+"/keys", Options{})
	if kindOf(t, err) != Certificate || !strings.Contains(err.Error(), "authority") {
		t.Errorf("got %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	if _, err := Get(t.Context(), s.URL+"/keys", Options{Roots: roots}); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	if _, err := Get(t.Context(), other+"/keys", Options{Roots: roots}); kindOf(t, err) != Certificate || !strings.Contains(err.Error(), "another name") {
		t.Errorf("for another name: %v", err)
	}
}

func TestWithoutTLSNothingIsFetchedUnlessItIsAllowed(t *testing.T) {
	s := faulty(t, false)
	if _, err := Get(t.Context(), s.URL+"/keys", Options{}); kindOf(t, err) != NoTLS {
		t.Errorf("got %v", err)
	}
}

func TestAnInterruptEndsAFetch(t *testing.T) {
	s := faulty(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Get(ctx, s.URL+"/hanging", Options{AllowHTTP: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// issuer serves a discovery document that says what it is told to.
func issuer(t *testing.T, document func(base string) string) string {
	t.Helper()
	var base string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/realm/.well-known/openid-configuration":
			_, _ = fmt.Fprint(w, document(base))
		case "/realm/keys":
			_, _ = fmt.Fprint(w, `{"keys":[{"kty":"RSA"}]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	base = s.URL
	return base + "/realm"
}

func TestDiscoveryFollowsTheIssuersOwnWords(t *testing.T) {
	sound := func(base string) string {
		out, _ := json.Marshal(map[string]string{"issuer": base + "/realm", "jwks_uri": base + "/realm/keys"})
		return string(out)
	}
	at := issuer(t, sound)
	d, err := Discover(t.Context(), at, Options{AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	if d.JWKSURI != at+"/keys" || d.Issuer != at || string(d.Keys) != `{"keys":[{"kty":"RSA"}]}` || d.From != ThisMachine {
		t.Errorf("got %+v", d)
	}
	// The slash leads to the same document, which is then of another issuer.
	if _, err := Discover(t.Context(), at+"/", Options{AllowHTTP: true}); kindOf(t, err) != Mismatch || !strings.Contains(err.Error(), at+`"`) {
		t.Errorf("with a slash: %v", err)
	}
	for name, c := range map[string]struct {
		document string
		want     Kind
		says     string
	}{
		"a page":           {"\n<html>canary-of-the-body</html>", NotJSON, "HTML"},
		"nothing":          {"", NotJSON, "empty"},
		"text":             {"hello", NotJSON, "not JSON"},
		"no keys":          {`{"issuer":"x"}`, NotJSON, "jwks_uri"},
		"somebody else's":  {`{"issuer":"https://other.example","jwks_uri":"https://other.example/keys"}`, Mismatch, "https://other.example"},
		"keys without TLS": {"", NoTLS, "without TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			opts, document := Options{AllowHTTP: true}, func(string) string { return c.document }
			if c.want == NoTLS {
				opts, document = Options{}, sound
			}
			_, err := Discover(t.Context(), issuer(t, document), opts)
			if kindOf(t, err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the body comes out: %v", err)
			}
		})
	}
}
