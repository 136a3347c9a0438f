package keycheck

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// What the API server says of a Service behind it, as servers of 1.37 write it.
func TestTheAPIServersOwnAnswersAreToldFromTheServersBehindIt(t *testing.T) {
	own := func(reason, message string) []byte {
		return []byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"` + message + `","reason":"` + reason + `"}`)
	}
	const path = "/api/v1/namespaces/foo/services/idp:80/proxy"
	for name, c := range map[string]struct {
		answer     Answer
		kind       Kind
		says       string
		permission string
	}{
		"no right":                           {Answer{Status: 403, Body: own("Forbidden", `services \"idp:80\" is forbidden`)}, Unable, "forbidden", "get services/proxy in foo"},
		"no endpoints":                       {Answer{Status: 503, Body: own("ServiceUnavailable", `no endpoints available for service \"idp\"`)}, Connect, "no pod is ready behind Service foo/idp", ""},
		"reset":                              {Answer{Status: 503, Body: own("ServiceUnavailable", "error trying to reach service: read tcp 1.2.3.4:1->1.2.3.5:80: read: connection reset by peer")}, Connect, "cut without an answer", ""},
		"end of file":                        {Answer{Status: 503, Body: own("ServiceUnavailable", "error trying to reach service: EOF")}, Connect, "cut without an answer", ""},
		"refused":                            {Answer{Status: 503, Body: own("ServiceUnavailable", "error trying to reach service: dial tcp 1.2.3.5:80: connect: connection refused")}, Connect, "refused", ""},
		"a time-out":                         {Answer{Status: 503, Body: own("ServiceUnavailable", "error trying to reach service: dial tcp 1.2.3.5:80: i/o timeout")}, Timeout, "in time", ""},
		"HTTP, not TLS":                      {Answer{Status: 503, Body: own("ServiceUnavailable", "error trying to reach service: http: server gave HTTP response to HTTPS client")}, Connect, "plain HTTP", ""},
		"TLS, not HTTP":                      {Answer{Status: 503, Body: own("ServiceUnavailable", `error trying to reach service: net/http: HTTP/1.x transport connection broken: malformed HTTP response \"\"`)}, Connect, "something else than HTTP", ""},
		"something else of the API server's": {Answer{Status: 404, Body: own("NotFound", "services idp not found")}, Unable, "NotFound", ""},
		"403 of the server":                  {Answer{Status: 403, Body: []byte("RBAC: access denied")}, Status, `403 "RBAC: access denied"`, ""},
		"a redirect of the server":           {Answer{Status: 302, Location: path + "/there?code=canary"}, Redirect, `302, a redirect to "http://idp.foo/there"`, ""},
		"a redirect elsewhere":               {Answer{Status: 301, Location: "https://u:canary@login.example.com/x?y=canary"}, Redirect, `to "https://login.example.com/x"`, ""},
		"a redirect to nowhere":              {Answer{Status: 302}, Redirect, "302, a redirect", ""},
		"too large":                          {Answer{Status: 200, Body: []byte("{")}, TooLarge, "1024 KiB", ""},
		"a document":                         {Answer{Status: 200, Body: []byte("{}"), Whole: true}, Fetched, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, permission := FromServiceProxy(Fetch{URI: "http://idp.foo/keys"}, c.answer, "foo", "idp", 80, path)
			if f.Kind != c.kind || !strings.Contains(f.Problem, c.says) || permission != c.permission || strings.Contains(f.Problem+f.Location, "canary") {
				t.Errorf("got %+v, %q", f, permission)
			}
		})
	}
}

func TestWhatCurlSaysInAPodIsPutIntoTheSameWords(t *testing.T) {
	for name, c := range map[string]struct {
		reply wire.Reply
		kind  Kind
		says  string
	}{
		"a document":       {wire.Reply{Status: 200, Body: "{}", BodyKnown: true, Size: 2}, Fetched, ""},
		"a redirect":       {wire.Reply{Status: 302, Headers: []envoy.Header{{Name: "Location", Value: "/x"}}}, Redirect, `to "http://idp.foo/x"`},
		"no such host":     {wire.Reply{Failure: &wire.Failure{Kind: wire.NoSuchHost, Code: 6}}, Name, "does not resolve"},
		"refused":          {wire.Reply{Failure: &wire.Failure{Kind: wire.Refused, Code: 7}}, Connect, "refused"},
		"no answer":        {wire.Reply{Failure: &wire.Failure{Kind: wire.TimedOut, Code: 28}}, Timeout, "in time"},
		"reset":            {wire.Reply{Failure: &wire.Failure{Kind: wire.Closed, Code: 56}}, Connect, "cut without"},
		"cut within":       {wire.Reply{Status: 200, Failure: &wire.Failure{Kind: wire.Cut, Code: 18}}, Connect, "cut within"},
		"expired":          {wire.Reply{Failure: &wire.Failure{Kind: wire.Untrusted, Code: 60, Message: "SSL certificate problem: certificate has expired"}}, Certificate, "expired"},
		"another name":     {wire.Reply{Failure: &wire.Failure{Kind: wire.Untrusted, Code: 60, Message: "SSL: no alternative certificate subject name matches target host name 'idp'"}}, Certificate, "another name"},
		"unknown CA":       {wire.Reply{Failure: &wire.Failure{Kind: wire.Untrusted, Code: 60, Message: "SSL certificate problem: unable to get local issuer certificate"}}, Certificate, "authority"},
		"no TLS":           {wire.Reply{Failure: &wire.Failure{Kind: wire.TLSHandshake, Code: 35}}, Certificate, "no TLS handshake"},
		"stopped":          {wire.Reply{Status: 200, Failure: &wire.Failure{Kind: wire.Stopped, Code: 23}}, TooLarge, "1024 KiB"},
		"too large":        {wire.Reply{Status: 200, Body: "{", BodyKnown: true, Size: 10 << 20}, TooLarge, "1024 KiB"},
		"a body unseen":    {wire.Reply{Status: 200}, Unable, "not seen"},
		"a status of wget": {wire.Reply{Status: 503}, Status, "503"},
	} {
		if f := FromReply(Fetch{URI: "http://idp.foo/keys"}, c.reply); f.Kind != c.kind || !strings.Contains(f.Problem, c.says) {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

func TestAddressesAreReadAsTheControlPlaneReadsThem(t *testing.T) {
	for uri, want := range map[string]Address{
		"http://idp/keys":                   {Scheme: "http", Host: "idp", Port: 80, Path: "/keys", Short: true, Service: "idp", Namespace: "foo"},
		"http://IDP.bar:81/k?x=1":           {Scheme: "http", Host: "idp.bar", Port: 81, Path: "/k?x=1", Service: "idp", Namespace: "bar", Guessed: true},
		"https://idp.bar.svc/":              {Scheme: "https", Host: "idp.bar.svc", Port: 443, Path: "/", Service: "idp", Namespace: "bar"},
		"https://idp.bar.svc.cluster.local": {Scheme: "https", Host: "idp.bar.svc.cluster.local", Port: 443, Path: "/", Service: "idp", Namespace: "bar"},
		"https://idp.example.com/keys":      {Scheme: "https", Host: "idp.example.com", Port: 443, Path: "/keys"},
		"https://a.b.svc.example.com/keys":  {Scheme: "https", Host: "a.b.svc.example.com", Port: 443, Path: "/keys"},
		"http:///idp.bar/keys":              {Problem: "it has no host: there is a slash too many after http:"},
		"ftp://idp/keys":                    {Problem: "it is no http or https URL"},
		"idp.example.com/keys":              {Problem: "it is no http or https URL"},
		"http://idp:70000/":                 {Problem: "its port is none"},
		"://":                               {Problem: "it is no URL"},
	} {
		got := AddressOf(uri, "foo")
		if got.Problem != want.Problem {
			t.Errorf("%s: problem %q, want %q", uri, got.Problem, want.Problem)
		}
		if want.URI = uri; want.Problem == "" && got != want {
			t.Errorf("%s: got %+v, want %+v", uri, got, want)
		}
	}
	if a := AddressOf("http://10.1.2.3:80/", "foo"); !a.IP.IsValid() || a.Service != "" {
		t.Errorf("an address: %+v", a)
	}
}
