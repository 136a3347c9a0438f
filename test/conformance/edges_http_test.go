package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// limitEdges are about how much a client may send.
func limitEdges() []edge {
	return []edge{
		{name: "a header of 61 KiB", mesh: web(), req: with("x-big", strings.Repeat("a", 61<<10))},
		{name: "a header of 61 KiB over HTTP/2", mesh: web(), req: h2(with("x-big", strings.Repeat("a", 61<<10)))},
		{name: "a path of 61 KiB", mesh: web(), req: path("/" + strings.Repeat("a", 61<<10))},
		{name: "a header of 59 KiB", mesh: web(), req: with("x-big", strings.Repeat("a", 59<<10))},
		{name: "headers of 60 KiB together", mesh: web(), req: with("x-a", strings.Repeat("a", 30<<10), "x-b", strings.Repeat("a", 30<<10))},
		{name: "99 headers", mesh: web(), req: withLines(97)},
		{name: "100 headers", mesh: web(), req: withLines(98)},
		{name: "101 headers", mesh: web(), req: withLines(99)},
		{name: "102 headers", mesh: web(), req: withLines(101)},
		{name: "101 headers and a method that is none", mesh: web(), req: get(func(r *judge.Request) { r.Method, r.Headers = "get", withLines(101).Headers })},
		{name: "61 KiB and a method that is none", mesh: web(), req: get(func(r *judge.Request) { r.Method, r.Headers = "get", with("x", strings.Repeat("a", 61<<10)).Headers })},
		{name: "61 KiB and a bad path", mesh: web(), req: get(func(r *judge.Request) { r.Path, r.Headers = "x", with("x", strings.Repeat("a", 61<<10)).Headers })},
		{name: "101 headers and a bad path", mesh: web(), req: get(func(r *judge.Request) { r.Path, r.Headers = "/\x01", withLines(101).Headers })},
		{name: "101 headers and a bad name", mesh: web(), req: get(func(r *judge.Request) {
			r.Headers = append(withLines(101).Headers, judge.Header{Name: "a b", Value: "c"})
		})},
		{name: "101 headers and a bad value", mesh: web(), req: get(func(r *judge.Request) {
			r.Headers = append(withLines(101).Headers, judge.Header{Name: "a", Value: "\x01"})
		})},
		{name: "a bad value and 101 headers", mesh: web(), req: get(func(r *judge.Request) { r.Headers = append(with("a", "\x01").Headers, withLines(101).Headers...) })},
		{name: "101 headers of which two are one", mesh: web(), req: get(func(r *judge.Request) {
			r.Headers = append(with("x-forwarded-for", "1.1.1.1", "x-forwarded-for", "2.2.2.2").Headers, withLines(96).Headers...)
		})},
		{name: "101 headers of which two are cookies", mesh: web(), req: get(func(r *judge.Request) {
			r.Headers = append(with("cookie", "a=b", "cookie", "c=d").Headers, withLines(97).Headers...)
		})},
		{name: "101 headers of which two are cookies, over HTTP/2", mesh: web(), req: h2(get(func(r *judge.Request) {
			r.Headers = append(with("cookie", "a=b", "cookie", "c=d").Headers, withLines(95).Headers...)
		}))},
		{name: "101 headers of which two are one, over HTTP/2", mesh: web(), req: h2(get(func(r *judge.Request) {
			r.Headers = append(with("x-forwarded-for", "1.1.1.1", "x-forwarded-for", "2.2.2.2").Headers, withLines(95).Headers...)
		}))},
		{name: "61 KiB and a bad value", mesh: web(), req: get(func(r *judge.Request) { r.Headers = with("x", strings.Repeat("a", 61<<10), "y", "\x01").Headers })},
		{name: "61 KiB and a bad name", mesh: web(), req: get(func(r *judge.Request) { r.Headers = with("x", strings.Repeat("a", 61<<10), "a b", "c").Headers })},
		{name: "61 KiB and a control character in the path", mesh: web(), req: get(func(r *judge.Request) { r.Path, r.Headers = "/\x01", with("x", strings.Repeat("a", 61<<10)).Headers })},
		{name: "101 headers and no host", mesh: web(), req: get(func(r *judge.Request) { r.Host, r.Headers = "", withLines(100).Headers })},
		{name: "102 headers over HTTP/2", mesh: web(), req: h2(withLines(101))},
	}
}

// httpEdges are about what the connection manager does with a request.
func httpEdges() []edge {
	return []edge{
		{name: "an upgrade to websocket", mesh: web(), req: with("Connection", "Upgrade", "Upgrade", "websocket")},
		{
			name: "an upgrade to websocket, denied", req: with("Connection", "Upgrade", "Upgrade", "WebSocket"),
			mesh: web(denyHeader("upgrade", "*")),
		},
		{name: "an upgrade to something else", mesh: web(), req: with("Connection", "Upgrade", "Upgrade", "foo")},
		{name: "an upgrade to something else, denied", mesh: web(denyHeader("upgrade", "*")), req: with("Connection", "Upgrade", "Upgrade", "foo")},
		{
			name: "an upgrade to h2c", req: with("Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABkAAQAAP__"),
			mesh: web(denyHeader("upgrade", "*")),
		},
		{name: "Upgrade without Connection", mesh: web(denyHeader("upgrade", "*")), req: with("Upgrade", "websocket")},
		{name: "two Host lines", mesh: web(), req: with("Host", "other")},
		{name: "Connection: close", mesh: web(denyHeader("connection", "*")), req: with("Connection", "close")},
		{name: "Connection names a header", mesh: web(denyHeader("x-a", "*")), req: with("Connection", "X-A", "x-a", "1")},
		{name: "Connection names x-forwarded-for", mesh: web(), req: with("Connection", "x-forwarded-for")},
		{name: "Connection names ten", mesh: web(), req: with("Connection", "a,b,c,d,e,f,g,h,i,j")},
		{name: "TE: trailers", mesh: web(denyHeader("te", "*")), req: with("TE", "gzip, trailers")},
		{name: "TE: gzip", mesh: web(denyHeader("te", "*")), req: with("TE", "gzip")},
		{name: "Expect: 100-continue", mesh: web(denyHeader("expect", "*")), req: with("Expect", "100-continue")},
		{
			name: "Keep-Alive and Proxy-Connection", req: with("Keep-Alive", "5", "Proxy-Connection", "close"),
			mesh: web(denyHeader("keep-alive", "*")),
		},
		{name: "x-request-id is made", mesh: web(denyHeader("x-request-id", "*")), req: with()},
		{
			name: "x-request-id is not made", req: with(),
			mesh: web(denyHeader("x-request-id", "*"), proxyHeaders("requestId: {disabled: true}")),
		},
		{
			name: "x-forwarded-port is set", req: with(),
			mesh: web(denyHeader("x-forwarded-port", "8080"), proxyHeaders("xForwardedPort: {enabled: true}")),
		},
		{
			name: "x-forwarded-port is kept", req: with("x-forwarded-port", "1"),
			mesh: web(denyHeader("x-forwarded-port", "8080"), proxyHeaders("xForwardedPort: {enabled: true}")),
		},
		{
			name: "x-forwarded-client-cert sanitized", req: mtls(with("x-forwarded-client-cert", "a")),
			mesh: web(denyHeader("x-forwarded-client-cert", "*"), proxyHeaders("forwardedClientCert: SANITIZE")),
		},
		{
			name: "x-forwarded-client-cert always forwarded", req: with("x-forwarded-client-cert", "a"),
			mesh: web(denyHeader("x-forwarded-client-cert", "*"), proxyHeaders("forwardedClientCert: ALWAYS_FORWARD_ONLY")),
		},
		{
			name: "x-forwarded-client-cert in plaintext", req: with("x-forwarded-client-cert", "a"),
			mesh: web(denyHeader("x-forwarded-client-cert", "*")),
		},
		{
			name: "a setting in the pod's annotation", req: with(),
			mesh: annotated(`proxy.istio.io/config: "proxyHeaders: {requestId: {disabled: true}}"`,
				service("httpbin", httpPort), denyHeader("x-request-id", "*")),
		},
		{name: "Content-Length: 0", mesh: web(), req: with("Content-Length", "0")},
		{
			name: "a method that is only a token, over HTTP/2", req: h2(method("BREW")),
			mesh: web(policy("{rules: [{to: [{operation: {methods: [BREW]}}]}]}")),
		},
	}
}

// proxyHeaders is a mesh configuration with one of the proxy's settings for headers.
func proxyHeaders(setting string) string {
	return configured("defaultConfig:\n  proxyHeaders:\n    " + setting)
}

// methodEdges are about requests that are not of the plain kind.
func methodEdges() []edge {
	var out []edge
	add := func(name string, r judge.Request) {
		for _, with := range []struct {
			name    string
			objects []string
		}{
			{"no policy", nil}, {"DENY of a path", []string{denyPath("/get")}}, {"DENY of a star", []string{denyPath("*")}},
			{"ALLOW of the method", []string{policy("{rules: [{to: [{operation: {methods: ['" + r.Method + "']}}]}]}")}},
			{"an optional token", []string{requestAuthentication("forwardOriginalToken: true")}},
		} {
			out = append(out, edge{name: name + ", " + with.name, mesh: web(with.objects...), req: r})
			out = append(out, edge{name: name + ", sniffed, " + with.name, mesh: sniffed(with.objects...), req: r})
		}
	}
	for _, m := range []string{"HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "QUERY", "PRI", "get", "G-T", "GET2"} {
		add(m, method(m))
		add(m+" over HTTP/2", h2(method(m)))
	}
	connect := func(target string) judge.Request {
		return get(func(r *judge.Request) { r.Method, r.Path, r.Host = "CONNECT", target, "httpbin.foo:8000" })
	}
	for _, p := range []string{"/\x01", "/%\x01", "/a\x01b", "/\x7f", "/\x1f?a", "/?\x01", "\x01/get", "/get\x01", "\x01"} {
		add(fmt.Sprintf("the path %q", p), path(p))
	}
	add("CONNECT", connect("httpbin.foo:8000"))
	add("CONNECT of another port", connect("other:1"))
	add("CONNECT with a path", connect("/get"))
	add("CONNECT over HTTP/2", h2(connect("")))
	add("CONNECT with a path over HTTP/2", h2(connect("/get")))
	for _, target := range []string{"http://a\\b", "http://a#b/c", "http://a@@b/", "http://u@a/get", "http://[::1]/get", "http://a:b/get", "1http://a/", "h+t://a/get", "http:///get", "http://", "http://a:/get", "http://é/", "HTTP://a?b", "ftp://x*", "ftp://x", "https://x*/"} {
		add("GET "+target, path(target))
	}
	for _, target := range []string{"httpbin.foo", "[::1]:80", "[::1]", "http://a/b", "a:99999", "a:b", ":80", "u@a:80"} {
		add("CONNECT "+target, connect(target))
	}
	query := func(path, host string, headers ...string) judge.Request {
		return get(func(r *judge.Request) {
			r.Method, r.Path, r.Host, r.Headers = "QUERY", path, host, with(headers...).Headers
		})
	}
	for _, r := range []judge.Request{
		query("/get", "httpbin.foo", "content-type", "a/b"), query("/get", "httpbin.foo", "content-type", ""), query("/get", ""), query("/%00", "httpbin.foo"),
		query("/get", "httpbin.foo", "Connection", "Upgrade", "Upgrade", "foo"), query("*", "httpbin.foo"),
	} {
		add(fmt.Sprintf("QUERY %s %q %v", r.Path, r.Host, r.Headers), r)
	}
	add("OPTIONS *", get(func(r *judge.Request) { r.Method, r.Path = "OPTIONS", "*" }))
	add("OPTIONS * over HTTP/2", h2(get(func(r *judge.Request) { r.Method, r.Path = "OPTIONS", "*" })))
	add("an absolute target", path("http://other.example/get"))
	add("an absolute target without path", path("http://other.example"))
	add("an absolute target with a query alone", path("http://other.example?x=/get"))
	add("an empty host", get(func(r *judge.Request) { r.Host = "" }))
	add("gRPC", get(func(r *judge.Request) { r.Method, r.Headers = "POST", with("content-type", "application/grpc").Headers }))
	add("gRPC with HEAD", get(func(r *judge.Request) { r.Method, r.Headers = "HEAD", with("content-type", "application/grpc").Headers }))
	return out
}
