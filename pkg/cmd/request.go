package cmd

import (
	"net"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// requestFlags are the flags that say what the client sends.
type requestFlags struct {
	url, method, host, path string
	curl                    string
	headers                 []string
	http                    *enum
}

// sent is a request as the flags describe it, before the target fills in the rest.
type sent struct {
	envoy.Request
	// urlPort is the port of the URL, empty without one.
	urlPort string
	// https says that the URL has that scheme.
	https bool
}

const requestHint = "give --url, or --host and --path"

// parse turns the flags into a request. given tells which flags were set.
func (f *requestFlags) parse(given func(string) bool) (sent, error) {
	out := sent{Request: envoy.Request{Method: "GET", Path: "/"}}
	if given("method") {
		out.Method = f.method
	}
	switch {
	case given("url") && (given("host") || given("path")):
		return sent{}, usage(requestHint, "--url already has a host and a path")
	case given("url"):
		if err := out.takeURL(f.url); err != nil {
			return sent{}, err
		}
	}
	if given("path") {
		out.Path = f.path
	}
	if given("host") {
		out.Authority = f.host
	}
	if err := out.takeHeaders(f.headers, given("host")); err != nil {
		return sent{}, err
	}
	out.Protocol = f.protocol(out.Headers)
	return out, out.check()
}

// protocol is the HTTP version: gRPC needs 2.
func (f *requestFlags) protocol(headers []envoy.Header) envoy.Protocol {
	switch f.http.value {
	case "1.1":
		return envoy.HTTP11
	case "2":
		return envoy.HTTP2
	}
	for _, h := range headers {
		if strings.EqualFold(h.Name, "content-type") && strings.HasPrefix(strings.TrimSpace(h.Value), "application/grpc") {
			return envoy.HTTP2
		}
	}
	return envoy.HTTP11
}

// takeURL takes a URL apart without decoding anything: what matters is what
// arrives. A client keeps the fragment to itself.
func (s *sent) takeURL(url string) error {
	const hint = "write http://HOST[:PORT]/PATH"
	scheme, rest, found := strings.Cut(url, "://")
	switch {
	case !found:
		return usage(hint, "--url has no scheme")
	case strings.EqualFold(scheme, "https"):
		s.https = true
	case !strings.EqualFold(scheme, "http"):
		return usage(hint, "--url has a scheme that is neither http nor https")
	}
	rest, _, _ = strings.Cut(rest, "#")
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
		if path[0] == '?' {
			path = "/" + path
		}
	}
	if strings.Contains(authority, "@") {
		return usage("give credentials as -H 'Authorization: …'", "--url has a user in front of the host")
	}
	if authority == "" {
		return usage(hint, "--url has no host")
	}
	if _, port, err := net.SplitHostPort(authority); err == nil {
		s.urlPort = port
	}
	s.Authority, s.Path = authority, path
	return nil
}

// takeHeaders parses -H lines in their order. Errors name the position of a
// line, not what it says: it may be a token.
func (s *sent) takeHeaders(lines []string, hostFlag bool) error {
	hosts := 0
	for i, line := range lines {
		name, value, found := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, ":"):
			return usage("--method, --host and --path say what pseudo headers do", "-H number %d has no name before the colon", i+1)
		case !found:
			return usage("write -H 'Name: value'; -H 'Name:' is an empty value", "-H number %d has no colon", i+1)
		case !isToken(name):
			return usage("write -H 'Name: value'", "-H number %d has a name that HTTP does not allow", i+1)
		case strings.ContainsAny(value, "\r\n\x00"):
			return usage("give each line its own -H", "-H number %d has a line break in it", i+1)
		}
		value = strings.TrimPrefix(value, " ")
		if !strings.EqualFold(name, "host") {
			s.Headers = append(s.Headers, envoy.Header{Name: name, Value: value})
			continue
		}
		if hosts++; hosts > 1 || hostFlag {
			return usage("give the host once", "the host is given twice")
		}
		s.Authority = strings.TrimSpace(value)
	}
	return nil
}

// check refuses what no client could send in the first line of a request.
func (s *sent) check() error {
	switch {
	case !isToken(s.Method):
		return usage("write it as HTTP does: --method POST", "--method is not an HTTP method")
	case s.Path == "":
		return usage("the shortest path is /", "--path is empty")
	case strings.ContainsAny(s.Path, " \t\r\n\x00"):
		return usage("write a blank as %20", "the path has a blank or a line break in it")
	case strings.ContainsAny(s.Authority, " \t\r\n\x00/"):
		return usage("write --host HOST or HOST:PORT", "the host is not a host")
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
