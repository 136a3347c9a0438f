package keyserver_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// serve starts a server and returns its address.
func serve(t *testing.T, certificate *tls.Certificate) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = keyserver.Serve(l, keyserver.Handler(mint.JWKS(mint.RSA())), certificate) }()
	return l.Addr().String()
}

func isKeySet(body []byte) bool {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	return json.Unmarshal(body, &set) == nil && len(set.Keys) == 1
}

func TestEachPathHasItsFault(t *testing.T) {
	t.Parallel()
	base := "http://" + serve(t, nil)
	for _, c := range []struct {
		path, contentType string
		status            int
		keys              bool
		follow            bool
		body              string
	}{
		{path: keyserver.PathKeys, status: 200, contentType: "application/json", keys: true},
		{path: keyserver.PathSlow + "?after=1ms", status: 200, contentType: "application/json", keys: true},
		{path: keyserver.PathRedirect, status: 302},
		{path: keyserver.PathRedirect, status: 200, follow: true, contentType: "application/json", keys: true},
		{path: keyserver.PathLoop, status: 302},
		{path: keyserver.PathHTML, status: 200, contentType: "text/html; charset=utf-8", body: "<!DOCTYPE html>"},
		{path: keyserver.PathEmpty, status: 200, contentType: "application/json"},
		{path: keyserver.PathEmptySet, status: 200, contentType: "application/json", body: `{"keys":[]}`},
		{path: keyserver.PathEmptyObject, status: 200, contentType: "application/json", body: "{}"},
		{path: keyserver.PathUnusable, status: 200, contentType: "application/json", body: "secp256k1"},
		{path: keyserver.PathWrongType, status: 200, contentType: "text/html; charset=utf-8", keys: true},
		{path: keyserver.PathBig, status: 200, contentType: "application/json", keys: true},
		{path: keyserver.PathTruncated, status: 200, contentType: "application/json", body: `{"keys":[`},
		{path: keyserver.PathStatus + "503", status: 503, contentType: "text/plain; charset=utf-8", body: "Service Unavailable"},
		{path: keyserver.PathStatus + "x", status: 404},
		{path: keyserver.PathDiscovery, status: 200, contentType: "application/json", body: `"jwks_uri":"` + base + keyserver.PathKeys + `"`},
		{path: "/other", status: 404},
	} {
		t.Run(c.path, func(t *testing.T) {
			client := &http.Client{}
			if !c.follow {
				client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			}
			res, err := client.Get(base + c.path)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			if got := res.Header.Get("Content-Type"); c.contentType != "" && got != c.contentType {
				t.Errorf("content type %q, want %q", got, c.contentType)
			}
			if isKeySet(body) != c.keys {
				t.Errorf("is a set of one key: %v, want %v: %.80q", !c.keys, c.keys, body)
			}
			if !strings.Contains(string(body), c.body) {
				t.Errorf("body %.200q has no %q", body, c.body)
			}
			if big := len(body) > keyserver.BigSize; big != (c.path == keyserver.PathBig) {
				t.Errorf("%d bytes", len(body))
			}
		})
	}
}

func TestGzipComesUnasked(t *testing.T) {
	t.Parallel()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	res, err := client.Get("http://" + serve(t, nil) + keyserver.PathGzip)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	z, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	if err != nil || !isKeySet(body) {
		t.Errorf("%v, %.80q", err, body)
	}
}

func TestResetsAreResets(t *testing.T) {
	t.Parallel()
	base := "http://" + serve(t, nil)
	if _, err := http.Get(base + keyserver.PathReset); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("reset before the answer: %v", err)
	}
	res, err := http.Get(base + keyserver.PathResetBody)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("a body that was cut could be read to its end")
	}
}

func TestHangingEndsOnlyWithTheClient(t *testing.T) {
	t.Parallel()
	base := "http://" + serve(t, nil)
	for _, path := range []string{keyserver.PathHang, keyserver.PathHangBody, keyserver.PathSlow + "?after=1h"} {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestEachCertificateFailsInItsOwnWay(t *testing.T) {
	t.Parallel()
	certs, err := keyserver.NewCertificates(time.Now(), "127.0.0.1", "keys.example")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certs.Authority) {
		t.Fatal("the authority is no certificate")
	}
	get := func(c tls.Certificate) error {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		res, err := client.Get("https://" + serve(t, &c) + keyserver.PathKeys)
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	if err := get(certs.Good); err != nil {
		t.Errorf("good: %v", err)
	}
	var invalid x509.CertificateInvalidError
	if err := get(certs.Expired); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("expired: %v", err)
	}
	var name x509.HostnameError
	if err := get(certs.WrongName); !errors.As(err, &name) {
		t.Errorf("wrong name: %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if err := get(certs.UnknownAuthority); !errors.As(err, &unknown) {
		t.Errorf("unknown authority: %v", err)
	}
}
