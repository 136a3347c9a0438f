package fetch_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fetch"
)

const place = fetch.Vantage("the place of the test")

// keyServer is a real server of keys with every fault.
func keyServer(t *testing.T, certificate *tls.Certificate) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = keyserver.Serve(l, keyserver.Handler(mint.JWKS(mint.RSA())), certificate) }()
	return l.Addr().String()
}

// via dials an address in the place of the one in the URL, as a tunnel does.
func via(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

func TestEachFaultOfAKeyServerEndsInTimeWithItsOwnMessage(t *testing.T) {
	t.Parallel()
	server := keyServer(t, nil)
	said := map[string]string{}
	for path, want := range map[string]struct {
		kind fetch.Kind
		says string
	}{
		keyserver.PathKeys:               {"", ""},
		keyserver.PathWrongType:          {"", ""},
		keyserver.PathEmptySet:           {"", ""}, // what is in it is not for this package to judge
		keyserver.PathSlow + "?after=1h": {fetch.Timeout, "no whole answer within 300ms"},
		keyserver.PathHang:               {fetch.Timeout, "no whole answer within 300ms"},
		keyserver.PathHangBody:           {fetch.Timeout, "no whole answer within 300ms"},
		keyserver.PathRedirect:           {fetch.Redirect, `302, a redirect to "http://keys.example/keys"`},
		keyserver.PathLoop:               {fetch.Redirect, `302, a redirect to "http://keys.example/loop"`},
		keyserver.PathBig:                {fetch.TooLarge, "larger than 1024 KiB"},
		keyserver.PathReset:              {fetch.Connect, ""},
		keyserver.PathResetBody:          {fetch.Connect, ""},
		keyserver.PathStatus + "503":     {fetch.Status, "it answers 503"},
	} {
		began := time.Now()
		r, err := fetch.Get(t.Context(), "http://keys.example"+path, fetch.Options{Timeout: 300 * time.Millisecond, AllowHTTP: true, AsProxy: true, Dial: via(server), From: place})
		const busy = 20 * time.Second // for a machine with much else to do
		if took := time.Since(began); took > busy {
			t.Errorf("%s took %s", path, took)
		}
		var failed *fetch.Error
		switch {
		case want.kind == "" && (err != nil || r.From != place):
			t.Errorf("%s: %+v, %v", path, r, err)
		case want.kind != "" && (!errors.As(err, &failed) || failed.Kind != want.kind || failed.From != place || !strings.Contains(failed.Problem, want.says)):
			t.Errorf("%s: %v, want %s", path, err, want.kind)
		case want.kind != "":
			said[path] = failed.Problem
			if failed.Kind == fetch.Redirect && (failed.Status != 302 || !strings.HasPrefix(failed.Location, "http://keys.example/")) {
				t.Errorf("%s leads to %q", path, failed.Location)
			}
		}
	}
	t.Log(said)
}

func TestAProxyIsShownWhatIsCompressedAsItIs(t *testing.T) {
	t.Parallel()
	server := keyServer(t, nil)
	for asProxy, packed := range map[bool]bool{true: true, false: false} {
		r, err := fetch.Get(t.Context(), "http://keys.example"+keyserver.PathGzip, fetch.Options{AllowHTTP: true, AsProxy: asProxy, Dial: via(server)})
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(r.Body), "\x1f\x8b") != packed {
			t.Errorf("as a proxy %v: %.20q", asProxy, r.Body)
		}
		if packed && !strings.Contains(fetch.NotJSONWords(r.Body), "gzip") {
			t.Errorf("the words are %q", fetch.NotJSONWords(r.Body))
		}
	}
}

func TestEachBadCertificateHasItsOwnMessage(t *testing.T) {
	t.Parallel()
	now := time.Now()
	certificates, err := keyserver.NewCertificates(now, "keys.example")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificates.Authority) {
		t.Fatal("the authority is no certificate")
	}
	get := func(c tls.Certificate) (*fetch.Result, error) {
		return fetch.Get(t.Context(), "https://keys.example"+keyserver.PathKeys, fetch.Options{Roots: roots, Dial: via(keyServer(t, &c)), From: place})
	}
	for says, c := range map[string]tls.Certificate{
		"has ended on " + now.AddDate(0, 0, -1).UTC().Format(time.DateOnly): certificates.Expired,
		"is for another name":                           certificates.WrongName,
		"signed by an authority that is not known here": certificates.UnknownAuthority,
	} {
		_, err := get(c)
		var failed *fetch.Error
		if !errors.As(err, &failed) || failed.Kind != fetch.Certificate || !strings.Contains(failed.Problem, says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	r, err := get(certificates.Good)
	if err != nil || r.CertificateEnds.Before(now.AddDate(0, 11, 0)) {
		t.Errorf("a good one: %+v, %v", r, err)
	}
}
