package wire

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Request is one HTTP request as it is to be sent: no client adds a header line to it,
// other than Host, unless that cannot be helped.
type Request struct {
	// Method is the method; empty: GET.
	Method string
	// TLS says that the scheme is https.
	TLS bool
	// Address is the HOST:PORT of the URL: what is looked up and connected to, and what
	// the server's certificate has to name. The server name of TLS is its host.
	Address string
	// ConnectTo is the HOST:PORT to connect to in the place of Address; empty: Address.
	ConnectTo string
	// Host is the Host header; empty: the one that goes with Address.
	Host string
	// Target is what is asked for, raw, query included; empty: "/".
	Target string
	// Headers are the header lines beside Host, in their order.
	Headers []envoy.Header
	// HTTP2 asks for HTTP/2, without TLS with prior knowledge.
	HTTP2 bool
	// Insecure takes any certificate of the server, unless Pin says which.
	Insecure bool
	// Pin is the SHA-256 digest of the server's public key in base64, as RFC 7469 has
	// it; empty: any.
	Pin string
	// MaxTime bounds the whole exchange; it is rounded up to whole seconds for clients
	// that know no parts of one.
	MaxTime time.Duration
}

// UnsendableError says that a client cannot send a request as it is.
type UnsendableError struct {
	Client string // "curl", "wget"
	Why    string
}

// Error says which client cannot do what.
func (e *UnsendableError) Error() string { return e.Client + " cannot send it: " + e.Why }

func (r Request) method() string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}

func (r Request) target() string {
	if r.Target == "" {
		return "/"
	}
	return r.Target
}

func (r Request) scheme() string {
	if r.TLS {
		return "https"
	}
	return "http"
}

// authority is the Host header that a client makes of the address by itself.
func (r Request) authority() string {
	host, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		return r.Address
	}
	if port == map[string]string{"http": "80", "https": "443"}[r.scheme()] {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return r.Address
}

// has reports whether a header line of that name is among those to send.
func (r Request) has(name string) bool {
	return slices.ContainsFunc(r.Headers, func(h envoy.Header) bool { return strings.EqualFold(h.Name, name) })
}

// check refuses what no client may be given: bytes that end a line, and an address that
// a client would take for something else.
func (r Request) check(client string) error {
	refuse := func(why string) error { return &UnsendableError{Client: client, Why: why} }
	host, port, err := net.SplitHostPort(r.Address)
	switch {
	case err != nil || host == "" || port == "" || strings.ContainsAny(r.Address, "/?#@ \t\r\n\x00\"\\"):
		return refuse(fmt.Sprintf("%q is not HOST:PORT", r.Address))
	case strings.ContainsAny(r.ConnectTo, "/?#@ \t\r\n\x00\"\\"):
		return refuse(fmt.Sprintf("%q is not HOST:PORT", r.ConnectTo))
	case strings.EqualFold(r.Method, "CONNECT"):
		return refuse("CONNECT asks for a tunnel")
	case strings.ContainsAny(r.Method+r.Host+r.Target, " \t\r\n\x00"):
		return refuse("there is a blank or a line break in its first lines")
	case strings.HasPrefix(host, "-"):
		return refuse("its host begins with a dash")
	}
	for _, h := range r.Headers {
		if h.Name == "" || strings.ContainsAny(h.Name, ": \t\r\n\x00") || strings.ContainsAny(h.Value, "\r\n\x00") {
			return refuse("a header line has a line break in it, or no name")
		}
	}
	return nil
}

// Raw is the request as HTTP/1.1 has it on the wire, for a connection that ends with the
// answer. Errors are *UnsendableError.
func (r Request) Raw() (string, error) {
	const client = "this machine"
	if err := r.check(client); err != nil {
		return "", err
	}
	if r.HTTP2 {
		return "", &UnsendableError{Client: client, Why: "it speaks HTTP/1.1 only"}
	}
	host := r.Host
	if host == "" {
		host = r.authority()
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method(), r.target(), host)
	for _, h := range r.Headers {
		fmt.Fprintf(&out, "%s: %s\r\n", h.Name, h.Value)
	}
	if !r.has("Connection") {
		out.WriteString("Connection: close\r\n") // no proxy's policy sees it
	}
	out.WriteString("\r\n")
	return out.String(), nil
}
