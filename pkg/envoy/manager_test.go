package envoy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestTheConnectionManagerRefusesBeforeAnyFilter(t *testing.T) {
	for _, c := range []struct {
		name    string
		request *Request
		cm      *ConnectionManager
		status  int
		details string
	}{
		{"no host", with(authority("")), sidecar(), 400, "missing_host_header"},
		{"OPTIONS of everything", with(method("OPTIONS"), path("*")), sidecar(), 404, "absolute_path_rejected"},
		{"a path with NUL", with(path("/%00")), sidecar(), 400, "path_normalization_failed"},
		{"a redirect", with(path("/a%2fb")), &ConnectionManager{NormalizePath: true, EscapedSlashes: UnescapeAndRedirect}, 307, "path_normalization_failed"},
		{"gRPC is not redirected", with(path("/a%2fb"), header("content-type", "application/grpc")),
			&ConnectionManager{NormalizePath: true, EscapedSlashes: UnescapeAndRedirect}, 400, "path_normalization_failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, rej := decoded(c.request, c.cm)
			if rej != nil {
				t.Fatal(rej.details)
			}
			rej = s.prepare(c.cm)
			if rej == nil || rej.status != c.status || rej.details != c.details || rej.body != "" {
				t.Errorf("got %+v, want %d %s", rej, c.status, c.details)
			}
		})
	}
}

func TestTheRemoteAddressFollowsFromForwardingHeaders(t *testing.T) {
	const peer = "10.0.0.1"
	for _, c := range []struct {
		name string
		cm   *ConnectionManager
		xff  []string
		want string
	}{
		{"a sidecar without the header has the peer", sidecar(), nil, peer},
		{"a sidecar takes the last address", sidecar(), []string{"1.1.1.1, 2.2.2.2"}, "2.2.2.2"},
		{"of several lines the last", sidecar(), []string{"1.1.1.1", "2.2.2.2"}, "2.2.2.2"},
		{"a sidecar does not count hops", &ConnectionManager{TrustedHops: 3}, []string{"1.1.1.1,2.2.2.2"}, "2.2.2.2"},
		{"with a port it is no address", sidecar(), []string{"2.2.2.2:80"}, peer},
		{"other text is no address", sidecar(), []string{"unknown"}, peer},
		{"blanks around it are fine", sidecar(), []string{"1.1.1.1 ,  2.2.2.2  "}, "2.2.2.2"},
		{"IPv6 is fine", sidecar(), []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets is not", sidecar(), []string{"[2001:db8::1]"}, peer},
		{"a gateway without trusted hops has the peer", gateway(0), []string{"1.1.1.1"}, peer},
		{"with one hop the last address", gateway(1), []string{"1.1.1.1, 2.2.2.2"}, "2.2.2.2"},
		{"with two hops the last but one", gateway(2), []string{"1.1.1.1, 2.2.2.2"}, "1.1.1.1"},
		{"with too few addresses the peer", gateway(3), []string{"1.1.1.1, 2.2.2.2"}, peer},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := with(source(peer))
			for _, v := range c.xff {
				header("X-Forwarded-For", v)(r)
			}
			s := prepared(t, r, c.cm)
			if s.remote.Value.String() != c.want || s.direct.Value.String() != peer {
				t.Errorf("remote %v, direct %v; want %s", s.remote.Value, s.direct.Value, c.want)
			}
		})
	}
}

func TestTheRemoteAddressCanBeGiven(t *testing.T) {
	a := netip.MustParseAddr("9.9.9.9")
	s := prepared(t, with(header("x-forwarded-for", "1.1.1.1"), func(r *Request) { r.Connection.RemoteIP = &a }), sidecar())
	if s.remote.Value != a {
		t.Errorf("remote %v", s.remote.Value)
	}
}

func TestAGatewayAppendsThePeerToXForwardedFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		request *Request
		cm      *ConnectionManager
		want    []string
		missing bool
	}{
		{"behind what was there", with(header("x-forwarded-for", "1.1.1.1")), gateway(0), []string{"1.1.1.1,10.0.0.1"}, false},
		{"alone where there was nothing", plain(), gateway(0), []string{"10.0.0.1"}, false},
		{"not at a sidecar", with(header("x-forwarded-for", "1.1.1.1")), sidecar(), []string{"1.1.1.1"}, false},
		{"its own address, which nobody knows, for a loopback peer", with(source("127.0.0.1")), gateway(0), []string{""}, true},
		{"unknown where the peer is", with(func(r *Request) { r.Connection.Source = NotKnown[netip.Addr](ownAddress) }), gateway(0), []string{""}, true},
		{"not where it is told not to", with(), &ConnectionManager{UseRemoteAddress: true, SkipXFFAppend: true}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := prepared(t, c.request, c.cm)
			if got := s.headers.values("x-forwarded-for"); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for _, l := range s.headers {
				if l.name == "x-forwarded-for" && (l.missing != nil) != c.missing {
					t.Errorf("missing is %v", l.missing)
				}
			}
		})
	}
}

func TestHeadersThatAClientMayNotBringAreRemoved(t *testing.T) {
	for _, c := range []struct {
		name, value string
		cm          *ConnectionManager
		want        []string
	}{
		{"x-envoy-internal", "true", sidecar(), nil},
		{"x-envoy-retry-on", "5xx", sidecar(), nil},
		{"x-envoy-original-path", "/x", sidecar(), []string{"/x"}},
		{"x-envoy-original-path", "/x", gateway(0), nil},
		{"x-envoy-decorator-operation", "x", gateway(1), nil},
		{"x-envoy-max-retries", "3", gateway(0), nil},
		{"keep-alive", "1", sidecar(), nil},
		{"connection", "close", sidecar(), nil},
		{"te", "trailers", sidecar(), []string{"trailers"}},
		{"te", "gzip, trailers", sidecar(), []string{"trailers"}},
		{"te", "gzip", sidecar(), nil},
		{"referer", "http://a.test/x?y", sidecar(), []string{"http://a.test/x?y"}},
		{"referer", "http://u@a.test/", sidecar(), nil},
		{"referer", "http://a.test/#f", sidecar(), nil},
		{"referer", "/relative/path", sidecar(), []string{"/relative/path"}},
		{"referer", "a:b", sidecar(), nil},
		{"referer", "ad{min", sidecar(), nil},
		{"expect", "100-Continue", sidecar(), []string{"100-Continue"}},
		{"x-forwarded-proto", "https", sidecar(), []string{"https"}},
		{"x-forwarded-proto", "https", gateway(0), []string{"http"}},
		{"x-forwarded-proto", "https", gateway(1), []string{"https"}},
		{"x-envoy-external-address", "9.9.9.9", gateway(0), []string{"10.0.0.1"}},
		{"x-request-id", "mine", sidecar(), []string{"mine"}},
		{"x-request-id", "mine", gateway(0), []string{""}},
		{"x-request-id", "", sidecar(), []string{""}},
	} {
		where := map[bool]string{false: " at a sidecar", true: " at a gateway"}[c.cm.UseRemoteAddress]
		t.Run(c.name+" "+c.value+where, func(t *testing.T) {
			s := prepared(t, with(header(c.name, c.value)), c.cm)
			if got := s.headers.values(c.name); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAGeneratedRequestIDIsKnownByItsFormAlone(t *testing.T) {
	s := prepared(t, plain(), sidecar())
	for _, c := range []struct {
		name   string
		String StringMatch
		want   Truth
	}{
		{"another text never fits", exact("mine"), False},
		{"a UUID might", exact("00000000-0000-4000-8000-000000000000"), Unknown},
		{"one in upper case never", exact("AAAAAAAA-0000-4000-8000-000000000000"), False},
		{"a prefix of hex might", prefix("0a"), Unknown},
		{"a prefix with a blank never", prefix("0 "), False},
		{"a prefix with a dash in its place might", prefix("01234567-"), Unknown},
		{"a prefix with a dash elsewhere never", prefix("0-"), False},
		{"a suffix of hex might", StringMatch{Kind: StringSuffix, Value: "ff"}, Unknown},
		{"a suffix that is too long never", StringMatch{Kind: StringSuffix, Value: strings.Repeat("f", 37)}, False},
		{"anything might", StringMatch{Kind: StringNonEmpty}, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&HeaderMatch{Name: "x-request-id", String: c.String}).match(s); got.T != c.want {
				t.Errorf("got %v, want %v", got.T, c.want)
			}
		})
	}
	if got := (&HeaderMatch{Name: "x-request-id", Present: true}).match(s); got.T != True {
		t.Error("it is there")
	}
}

func TestTheClientCertificateIsForwardedAsConfigured(t *testing.T) {
	client := func(r *Request) {
		r.Connection.Transport = Known(MutualTLS)
		r.Connection.Peer = Known(Peer{Presented: true, Trusted: true, URISANs: []string{"spiffe://td/ns/a/sa/b"}, DNSSANs: []string{"x.test"}, Subject: "CN=c", Hash: "ff"})
	}
	const own = `By=spiffe://td/ns/foo/sa/me;Hash=ff;Subject="CN=c";URI=spiffe://td/ns/a/sa/b;DNS=x.test`
	old := header("X-Forwarded-Client-Cert", "By=old")
	mode := func(m ForwardClientCert, change ...func(*ConnectionManager)) *ConnectionManager {
		cm := sidecar()
		cm.ForwardClientCert = m
		for _, f := range change {
			f(cm)
		}
		return cm
	}
	for _, c := range []struct {
		name    string
		request *Request
		cm      *ConnectionManager
		want    []string
		missing *Missing
	}{
		{"appended", with(client, old), mode(AppendForwardXFCC), []string{"By=old," + own}, nil},
		{"set", with(client, old), mode(SanitizeSetXFCC), []string{own}, nil},
		{"only forwarded", with(client, old), mode(ForwardOnlyXFCC), []string{"By=old"}, nil},
		{"sanitized", with(client, old), mode(SanitizeXFCC), nil, nil},
		{"always forwarded, over plaintext too", with(old), mode(AlwaysForwardOnlyXFCC), []string{"By=old"}, nil},
		{"removed over plaintext", with(old), mode(AppendForwardXFCC), nil, nil},
		{"without subject and DNS", with(client), mode(SanitizeSetXFCC, func(cm *ConnectionManager) { cm.XFCCSubject, cm.XFCCDNS = false, false }),
			[]string{"By=spiffe://td/ns/foo/sa/me;Hash=ff;URI=spiffe://td/ns/a/sa/b"}, nil},
		{"with whole certificates it is not known", with(client), mode(SanitizeSetXFCC, func(cm *ConnectionManager) { cm.XFCCCert = true }), []string{""}, certificateHash},
		{"without the hash it is not known", with(mtls("spiffe://td/ns/a/sa/b")), mode(AppendForwardXFCC), []string{""}, certificateHash},
		{"of an unknown client it is not known", with(func(r *Request) { r.Connection.Peer = NotKnown[Peer](ownAddress) }), mode(AppendForwardXFCC), []string{""}, ownAddress},
		{"of an unknown client it is removed where it is sanitized", with(old, func(r *Request) { r.Connection.Peer = NotKnown[Peer](ownAddress) }), mode(SanitizeXFCC), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := prepared(t, c.request, c.cm)
			if got := s.headers.values("x-forwarded-client-cert"); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for _, l := range s.headers {
				if l.name == "x-forwarded-client-cert" && l.missing != c.missing {
					t.Errorf("missing is %v", l.missing)
				}
			}
		})
	}
}

func TestTheSchemeIsWhatTheProxyBelieves(t *testing.T) {
	tls := func(r *Request) { r.Connection.Transport = Known(TLS) }
	for _, c := range []struct {
		name    string
		request *Request
		cm      *ConnectionManager
		want    string
	}{
		{"plaintext is http", plain(), sidecar(), "http"},
		{"TLS is https", with(tls), sidecar(), "https"},
		{"a sidecar believes x-forwarded-proto", with(header("x-forwarded-proto", "HTTPS")), sidecar(), "https"},
		{"but no other scheme", with(header("x-forwarded-proto", "ws")), sidecar(), "http"},
		{"a gateway believes nobody", with(header("x-forwarded-proto", "https")), gateway(0), "http"},
		{"an absolute target says it", with(path("https://a.test/")), sidecar(), "https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if s := prepared(t, c.request, c.cm); s.scheme != c.want {
				t.Errorf("scheme %q, want %q", s.scheme, c.want)
			}
		})
	}
}

func TestGRPCIsToldByItsContentType(t *testing.T) {
	for ct, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc;x": false, "application/grpc-web": false,
		"Application/grpc": false, "": false,
	} {
		if s := prepared(t, with(header("content-type", ct)), sidecar()); s.grpc() != want {
			t.Errorf("%q: %v, want %v", ct, s.grpc(), want)
		}
	}
}
