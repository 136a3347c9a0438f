package cmd

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// parseWhy runs the flags of why through pflag, as the command does.
func parseWhy(t *testing.T, args ...string) (*whyFlags, func(string) bool, error) {
	t.Helper()
	f := &whyFlags{}
	cmd := &cobra.Command{Use: "why"}
	f.add(cmd)
	err := cmd.ParseFlags(args)
	return f, cmd.Flags().Changed, err
}

func TestRequestFlagsMakeTheRequestThatIsSent(t *testing.T) {
	get := func(change func(*sent)) sent {
		s := sent{Request: envoy.Request{Method: "GET", Path: "/"}}
		change(&s)
		return s
	}
	tests := []struct {
		name string
		args []string
		want sent
	}{
		{"without flags it is GET /", nil, get(func(*sent) {})},
		{"the path is raw", []string{"--path", "/a/%2e%2E/b//c?x=1#frag"},
			get(func(s *sent) { s.Path = "/a/%2e%2E/b//c?x=1#frag" })},
		{"a path need not begin with a slash: Envoy has an answer to that", []string{"--path", "a"},
			get(func(s *sent) { s.Path = "a" })},
		{"the host is taken with its port", []string{"--host", "httpbin.foo:8000"},
			get(func(s *sent) { s.Authority = "httpbin.foo:8000" })},
		{"a URL is taken apart without decoding", []string{"--url", "http://httpbin.foo:8000/a%2Fb/../c?q=%41#frag"},
			get(func(s *sent) {
				s.Authority, s.urlPort, s.Path = "httpbin.foo:8000", "8000", "/a%2Fb/../c?q=%41"
			})},
		{"a URL without a path asks for /", []string{"--url", "https://h?x"},
			get(func(s *sent) { s.Authority, s.Path, s.https = "h", "/?x", true })},
		{"an IPv6 host has a port behind the bracket", []string{"--url", "HTTP://[::1]:80"},
			get(func(s *sent) { s.Authority, s.urlPort = "[::1]:80", "80" })},
		{"the method goes with a URL", []string{"--url", "http://h/", "--method", "PATCH"},
			get(func(s *sent) { s.Authority, s.Method = "h", "PATCH" })},
		{"headers keep order, case and repetition", []string{"-H", "B: 1", "-H", "a:2", "-H", "B:  3 "},
			get(func(s *sent) {
				s.Headers = []envoy.Header{{Name: "B", Value: "1"}, {Name: "a", Value: "2"}, {Name: "B", Value: " 3 "}}
			})},
		{"a colon alone is an empty value", []string{"-H", "x:"},
			get(func(s *sent) { s.Headers = []envoy.Header{{Name: "x"}} })},
		{"a value may have colons and commas", []string{"-H", "x: a:b, c"},
			get(func(s *sent) { s.Headers = []envoy.Header{{Name: "x", Value: "a:b, c"}} })},
		{"-H Host is the host", []string{"-H", "hOsT: h"},
			get(func(s *sent) { s.Authority = "h" })},
		{"-H Host stands above the URL's", []string{"--url", "http://a/", "-H", "Host: b"},
			get(func(s *sent) { s.Authority = "b" })},
		{"a gRPC content type means HTTP/2", []string{"-H", "Content-Type: application/grpc+proto"},
			get(func(s *sent) {
				s.Headers = []envoy.Header{{Name: "Content-Type", Value: "application/grpc+proto"}}
				s.Protocol = envoy.HTTP2
			})},
		{"--http stands above the content type", []string{"-H", "content-type: application/grpc", "--http", "1.1"},
			get(func(s *sent) {
				s.Headers = []envoy.Header{{Name: "content-type", Value: "application/grpc"}}
			})},
		{"--http 2", []string{"--http", "2"}, get(func(s *sent) { s.Protocol = envoy.HTTP2 })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, given, err := parseWhy(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.request.parse(given)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestRequestFlagsThatMakeNoSenseAreUsageErrorsWithAHint(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"two hosts", []string{"--host", "a", "-H", "Host: b"}, "the host is given twice"},
		{"two Host lines", []string{"-H", "Host: a", "-H", "host: b"}, "the host is given twice"},
		{"URL and host", []string{"--url", "http://a/", "--host", "b"}, "--url already has a host and a path"},
		{"URL and path", []string{"--url", "http://a/", "--path", "/"}, "--url already has a host and a path"},
		{"URL without scheme", []string{"--url", "httpbin/headers"}, "--url has no scheme"},
		{"URL of another scheme", []string{"--url", "ftp://a/"}, "--url has a scheme that is neither http nor https"},
		{"URL without host", []string{"--url", "http:///x"}, "--url has no host"},
		{"URL with a user", []string{"--url", "http://u:p@h/"}, "--url has a user in front of the host"},
		{"header without colon", []string{"-H", "x: 1", "-H", "Authorization Bearer"}, "-H number 2 has no colon"},
		{"header with a blank in its name", []string{"-H", "a b: c"}, "-H number 1 has a name that HTTP does not allow"},
		{"pseudo header", []string{"-H", ":path: /"}, "-H number 1 has no name before the colon"},
		{"header with a line break", []string{"-H", "a: b\r\nc: d"}, "-H number 1 has a line break in it"},
		{"empty path", []string{"--path", ""}, "--path is empty"},
		{"path with a blank", []string{"--path", "/a b"}, "the path has a blank or a line break in it"},
		{"method that is none", []string{"--method", "GE T"}, "--method is not an HTTP method"},
		{"host with a slash", []string{"--host", "a/b"}, "the host is not a host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, given, err := parseWhy(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.request.parse(given)
			wantUsage(t, err, tt.want)
		})
	}
}

// wantUsage checks a usage error: its text, and that it has a hint of one line.
func wantUsage(t *testing.T, err error, want string) {
	t.Helper()
	var u *usageError
	if !errors.As(err, &u) {
		t.Fatalf("got %v, want a usage error", err)
	}
	if u.Error() != want {
		t.Errorf("got  %q\nwant %q", u.Error(), want)
	}
	if u.hint == "" || strings.Contains(u.hint, "\n") {
		t.Errorf("the hint is %q", u.hint)
	}
}
