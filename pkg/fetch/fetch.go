// Package fetch gets key sets and OpenID Connect discovery documents over HTTP:
// with limits on time and size, without following redirects, and with an error
// that says what a person can do about it. Every result says from where it was
// seen, since what this machine can reach says little about the control plane or
// a proxy.
//
// Send is for requests of every kind, as pkg/probe/wire describes them.
//
// It is an edge: beside the standard library it imports pkg/probe/wire and pkg/envoy
// only, and pkg/cmd alone imports it.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Vantage is where a result was seen from.
type Vantage string

// ThisMachine is the machine on which this program runs.
const ThisMachine Vantage = "this machine"

// The limits, where Options name none.
const (
	DefaultTimeout = 10 * time.Second
	// DefaultMaxBytes is far more than any key set needs.
	DefaultMaxBytes = 1 << 20
)

// Options are the limits of a fetch.
type Options struct {
	// Timeout is for the whole exchange; 0 is DefaultTimeout.
	Timeout time.Duration
	// MaxBytes is how much of a body is read; 0 is DefaultMaxBytes.
	MaxBytes int64
	// Roots are the authorities that may sign the server's certificate; nil: those
	// of the system.
	Roots *x509.CertPool
	// AllowHTTP lets fetches go out without TLS.
	AllowHTTP bool
	// AsProxy asks as a proxy does, which takes no compressed answer.
	AsProxy bool
	// Dial opens connections, for fetches from another place than this machine; From
	// names that place. Without it the environment's HTTP proxy is used.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	From Vantage
}

// Result is a document as it was served.
type Result struct {
	URL         string
	ContentType string
	Body        []byte
	From        Vantage
	// CertificateEnds is when the server's certificate ends; zero without TLS.
	CertificateEnds time.Time
}

// Kind says what went wrong.
type Kind string

// The kinds of failures.
const (
	BadURL      Kind = "url"       // not an http or https URL
	NoTLS       Kind = "no-tls"    // http without AllowHTTP
	Name        Kind = "name"      // the host does not resolve
	Connect     Kind = "connect"   // refused, reset, no route
	Certificate Kind = "cert"      // the certificate was not accepted
	Timeout     Kind = "timeout"   // no whole answer in time
	Redirect    Kind = "redirect"  // an answer that names another place
	Status      Kind = "status"    // any other status than 200
	TooLarge    Kind = "too-large" // a body above the limit
	NotJSON     Kind = "not-json"  // HTML, or something else
	Mismatch    Kind = "mismatch"  // a discovery document of somebody else
)

// Error is a fetch that failed. What the server wrote is in it only where it is a
// URL, and quoted.
type Error struct {
	Kind    Kind
	URL     string
	Problem string
	Hint    string // what to do next; may be empty
	From    Vantage
	Err     error // what it comes from, if anything
	// Status is that of HTTP, where there was one; Location is where a redirect leads,
	// without its query.
	Status   int
	Location string
}

// Error renders the failure in a line.
func (e *Error) Error() string {
	return fmt.Sprintf("fetch %s from %s: %s", shown(e.URL), e.From, e.Problem)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// HintLine is what to do next; it may be empty.
func (e *Error) HintLine() string { return e.Hint }

// Get fetches a document. Anything but status 200 is an *Error, a redirect too:
// a proxy does not follow one either (Envoy
// source/extensions/filters/http/common/jwks_fetcher.cc:onSuccess takes 200 only).
func Get(ctx context.Context, rawURL string, opts Options) (*Result, error) {
	fail := func(kind Kind, hint string, err error, format string, args ...any) (*Result, error) {
		return nil, &Error{Kind: kind, URL: rawURL, Problem: fmt.Sprintf(format, args...), Hint: hint, From: opts.from(), Err: err}
	}
	u, err := url.Parse(rawURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fail(BadURL, "write https://HOST/PATH", nil, "it is not an http or https URL")
	case u.User != nil:
		return fail(BadURL, "leave the credentials out", nil, "it has credentials in it")
	case u.Scheme == "http" && !opts.AllowHTTP:
		return fail(NoTLS, "use https", nil, "without TLS anybody on the way could put in other keys")
	}
	ctx, cancel := context.WithTimeout(ctx, opts.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return fail(BadURL, "write https://HOST/PATH", nil, "it is not an http or https URL")
	}
	req.Header.Set("Accept", "application/json")
	client := opts.client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		kind, problem, hint := cause(err, opts)
		return fail(kind, hint, err, "%s", problem)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		to, words := target(u, resp.Header.Get("Location")), ""
		if to != "" {
			words = fmt.Sprintf(" to %q", to)
		}
		return nil, &Error{Kind: Redirect, URL: rawURL, From: opts.from(), Status: resp.StatusCode, Location: to,
			Problem: fmt.Sprintf("it answers %d, a redirect%s", resp.StatusCode, words), Hint: "a proxy does not follow it: give the address at its end"}
	case resp.StatusCode != http.StatusOK:
		return nil, &Error{Kind: Status, URL: rawURL, From: opts.from(), Status: resp.StatusCode,
			Problem: fmt.Sprintf("it answers %d", resp.StatusCode), Hint: "open it in a browser, and see that it needs no login"}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, opts.maxBytes()+1))
	if err != nil {
		kind, problem, hint := cause(err, opts)
		return fail(kind, hint, err, "%s", problem)
	}
	if int64(len(body)) > opts.maxBytes() {
		return fail(TooLarge, "a key set has a few KiB: is this the right address?", nil, "the answer is larger than %d KiB", opts.maxBytes()>>10)
	}
	r := &Result{URL: rawURL, ContentType: resp.Header.Get("Content-Type"), Body: body, From: opts.from()}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		r.CertificateEnds = resp.TLS.PeerCertificates[0].NotAfter
	}
	return r, nil
}

func (o Options) from() Vantage {
	if o.From != "" {
		return o.From
	}
	return ThisMachine
}

func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return DefaultTimeout
}

func (o Options) maxBytes() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return DefaultMaxBytes
}

// client is one of its own for each fetch: nothing is kept, and no redirect followed.
func (o Options) client() *http.Client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     o.AsProxy,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	if o.Dial != nil {
		transport.Proxy, transport.DialContext = nil, o.Dial
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// cause puts an error of the transport into words.
func cause(err error, opts Options) (kind Kind, problem, hint string) {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		hostname  x509.HostnameError
		verify    *tls.CertificateVerificationError
		timeout   net.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout() && !errors.As(err, &dns):
		return Timeout, fmt.Sprintf("no whole answer within %s", opts.timeout()), "is it reachable from here?"
	case errors.Is(err, context.Canceled):
		return Connect, "interrupted", ""
	case errors.As(err, &dns):
		return Name, fmt.Sprintf("the name %q does not resolve", dns.Name), "is it reachable from here? a name of the cluster is not"
	case errors.As(err, &authority):
		return Certificate, "its certificate is signed by an authority that is not known here", "fetch it by other means, and give it as a file"
	case errors.As(err, &hostname):
		return Certificate, "its certificate is for another name", "is the name the one that the server has?"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return Certificate, "its certificate has ended on " + invalid.Cert.NotAfter.UTC().Format(time.DateOnly) + ", or does not count yet", "renew it"
	case errors.As(err, &invalid), errors.As(err, &verify):
		return Certificate, "its certificate is not valid", "look at it: openssl s_client -connect HOST:PORT"
	default:
		return Connect, transport(err), "is it reachable from here?"
	}
}

// transport is what happened to the connection, without the URL, which is told anyway.
func transport(err error) string {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Op + ": " + op.Err.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

// target is where a redirect leads, without what follows the path: it may be a secret.
func target(from *url.URL, location string) string {
	to, err := from.Parse(location)
	if location == "" || err != nil {
		return ""
	}
	return to.Scheme + "://" + to.Host + to.EscapedPath()
}

// shown is a URL as it may be shown: without credentials, query and fragment.
func shown(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return "the address"
	}
	return fmt.Sprintf("%q", u.Scheme+"://"+u.Host+u.EscapedPath())
}
