package envoy

import (
	"slices"
	"strings"
	"testing"
)

// decoded runs the codec alone.
func decoded(r *Request, cm *ConnectionManager) (*state, *rejection) {
	s := &state{req: r, b: CurrentBehavior(), br: new(BranchSet), tls: r.Connection.Transport.Value != Plaintext}
	return s, s.decode(cm)
}

func TestHTTP1RefusesWhatIsNoRequest(t *testing.T) {
	many := strings.Repeat("x-a,", 10)
	for _, c := range []struct {
		name    string
		request *Request
		details string // "" is no refusal
	}{
		{"a plain request passes", plain(), ""},
		{"a method in lower case is unknown", with(method("get")), codecError},
		{"an invented method is unknown", with(method("FOO")), codecError},
		{"PROPFIND is known", with(method("PROPFIND")), ""},
		{"a byte above 0x7f in the path", with(path("/\xe9")), codecError},
		{"a path without slash", with(path("admin")), codecError},
		{"an empty path", with(path("")), codecError},
		{"OPTIONS of everything passes the codec", with(method("OPTIONS"), path("*")), ""},
		{"a blank in the path ends it", with(path("/a b")), codecError},
		{"a control character in the path", with(path("/a\x01")), "http1.invalid_characters"},
		{"a header name with a blank", with(header("x a", "1")), codecError},
		{"an empty header name", with(header("", "1")), codecError},
		{"a header value with a control character", with(header("x", "a\x01")), "http1.invalid_characters"},
		{"a header value with a line feed", with(header("x", "a\nb")), "http1.invalid_characters"},
		{"a header value with NUL", with(header("x", "a\x00")), "http1.invalid_characters"},
		{"a header value with a tab passes", with(header("x", "a\tb")), ""},
		{"a header value with bytes above 0x7f passes", with(header("x", "\xe9")), ""},
		{"a host with a slash", with(authority("a/b")), "http.invalid_authority"},
		{"a host with a blank", with(authority("a b")), "http.invalid_authority"},
		{"a host with a port passes", with(authority("a.test:80")), ""},
		{"a scheme that is not HTTP's", with(path("ftp://a.test/")), "http1.invalid_scheme"},
		{"Connection names x-forwarded-for", with(header("Connection", "x-forwarded-for")), "http1.connection_header_rejected"},
		{"Connection names a pseudo header", with(header("Connection", ":path")), "http1.connection_header_rejected"},
		{"Connection names ten headers", with(header("Connection", many)), "http1.connection_header_rejected"},
		{"Connection names nine headers", with(header("Connection", many[:4*9])), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, rej := decoded(c.request, sidecar())
			got := ""
			if rej != nil {
				got = rej.details
			}
			if got != c.details {
				t.Errorf("details %q, want %q", got, c.details)
			}
			if rej != nil && (rej.status != 400 || rej.body != "Bad Request" || rej.note == "") {
				t.Errorf("the reply is %d %q, note %q", rej.status, rej.body, rej.note)
			}
		})
	}
}

func TestHTTP1TrimsBlanksAroundValues(t *testing.T) {
	s, rej := decoded(with(header("Authorization", "Bearer \t"), header("X-A", "  v ")), sidecar())
	if rej != nil {
		t.Fatal(rej.details)
	}
	if v, _ := s.headers.first("authorization"); v != "Bearer" {
		t.Errorf("authorization is %q", v)
	}
	if v, _ := s.headers.first("x-a"); v != "v" {
		t.Errorf("x-a is %q", v)
	}
}

func TestAnAbsoluteTargetGivesHostAndPath(t *testing.T) {
	for _, c := range []struct{ name, target, authority, path, scheme string }{
		{"with a path", "http://b.test/a?x=1", "b.test", "/a?x=1", "http"},
		{"without a path", "http://b.test:81", "b.test:81", "/", "http"},
		{"with a query alone", "HTTP://b.test?x", "b.test", "?x", "http"},
		{"https at a sidecar", "https://b.test/", "b.test", "/", "https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, rej := decoded(with(path(c.target)), sidecar())
			if rej != nil {
				t.Fatal(rej.details)
			}
			if s.authority != c.authority || s.path != c.path || s.scheme != c.scheme {
				t.Errorf("got %q %q %q", s.authority, s.path, s.scheme)
			}
			if !s.br.Has(BranchCodecAbsolute) {
				t.Error("the branch is not noted")
			}
		})
	}
}

func TestAGatewayRefusesAnHTTPSTargetOverPlaintext(t *testing.T) {
	_, rej := decoded(with(path("https://b.test/")), gateway(0))
	if rej == nil || rej.status != 403 || rej.details != "http1.https_url_on_plaintext_connection" {
		t.Errorf("got %+v", rej)
	}
	if _, rej := decoded(with(path("https://b.test/")), gateway(1)); rej != nil {
		t.Errorf("behind a trusted proxy it passes, got %s", rej.details)
	}
}

func TestCONNECTHasAHostAndNoPath(t *testing.T) {
	s, rej := decoded(with(method("CONNECT"), path("b.test:443")), sidecar())
	if rej != nil {
		t.Fatal(rej.details)
	}
	if s.hasPath || s.authority != "b.test:443" {
		t.Errorf("host %q, path %v", s.authority, s.hasPath)
	}
}

func TestHeadersThatConnectionNamesAreDropped(t *testing.T) {
	for _, c := range []struct {
		name       string
		connection string
		other      []func(*Request)
		left       []string
	}{
		{"a header of one's own goes", "x-role", nil, []string{"connection", "x-keep"}},
		{"in any case and with blanks", "close , X-Role", nil, []string{"connection", "x-keep"}},
		{"keep-alive names nothing", "keep-alive", nil, []string{"connection", "x-keep", "x-role"}},
		{"empty names are nothing", ",,", nil, []string{"connection", "x-keep", "x-role"}},
		{"te with trailers stays", "te", []func(*Request){header("te", "trailers")}, []string{"connection", "te", "x-keep", "x-role"}},
		{"te with anything else goes", "te", []func(*Request){header("te", "gzip")}, []string{"connection", "x-keep", "x-role"}},
		{"an upgrade keeps all", "Upgrade, x-role", []func(*Request){header("upgrade", "websocket")}, []string{"connection", "upgrade", "x-keep", "x-role"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := with(append(c.other, header("x-role", "a"), header("x-keep", "b"), header("Connection", c.connection))...)
			s, rej := decoded(r, sidecar())
			if rej != nil {
				t.Fatal(rej.details)
			}
			var got []string
			for _, h := range s.headers {
				got = append(got, h.name)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.left) {
				t.Errorf("left are %v, want %v", got, c.left)
			}
		})
	}
}

func TestAHostHeaderIsTheAuthority(t *testing.T) {
	s, rej := decoded(with(authority(""), header("Host", "b.test")), sidecar())
	if rej != nil || s.authority != "b.test" || s.headers.has("host") {
		t.Errorf("authority %q, rejection %v", s.authority, rej)
	}
}

func TestHTTP2EndsTheStreamOfWhatIsNoRequest(t *testing.T) {
	for _, c := range []struct {
		name    string
		request *Request
		reset   bool
	}{
		{"a plain request passes", with(http2), false},
		{"any method passes", with(http2, method("get")), false},
		{"a byte above 0x7f in the path passes", with(http2, path("/\xe9")), false},
		{"an empty path", with(http2, path("")), true},
		{"a path without slash", with(http2, path("admin")), true},
		{"OPTIONS of everything passes", with(http2, method("OPTIONS"), path("*")), false},
		{"a blank in the path", with(http2, path("/a b")), true},
		{"a connection header", with(http2, header("connection", "close")), true},
		{"an upgrade", with(http2, header("upgrade", "websocket")), true},
		{"a transfer encoding", with(http2, header("transfer-encoding", "chunked")), true},
		{"a control character in a value", with(http2, header("x", "\x01")), true},
		{"a bad header name", with(http2, header("x a", "1")), true},
		{"a bad host", with(http2, authority("a/b")), true},
		{"a host with user information", with(http2, authority("u@a.test")), true},
		{"no host", with(http2, authority("")), true},
		{"a host header in its place", with(http2, authority(""), header("host", "b.test")), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, rej := decoded(c.request, sidecar())
			if (rej != nil) != c.reset || rej != nil && !rej.reset {
				t.Errorf("got %+v, want reset %v", rej, c.reset)
			}
		})
	}
}

func TestHTTP2KeepsBlanksAndJoinsCookies(t *testing.T) {
	s, rej := decoded(with(http2, header("Authorization", "Bearer "), header("cookie", "a=1"), header("cookie", ""), header("cookie", "b=2")), sidecar())
	if rej != nil {
		t.Fatal(rej.details)
	}
	if v, _ := s.headers.first("authorization"); v != "Bearer " {
		t.Errorf("authorization is %q", v)
	}
	if got := s.headers.values("cookie"); len(got) != 1 || !strings.HasPrefix(got[0], "a=1; ") || !strings.HasSuffix(got[0], "b=2") {
		t.Errorf("cookie is %q", got)
	}
}

func TestHTTP2IgnoresAHostHeaderBesideTheAuthority(t *testing.T) {
	s, rej := decoded(with(http2, header("host", "b.test")), sidecar())
	if rej != nil || s.authority != "a.test" {
		t.Errorf("authority %q, rejection %v", s.authority, rej)
	}
}
