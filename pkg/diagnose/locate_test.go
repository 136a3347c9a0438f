package diagnose_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

func located(t *testing.T, host string, urlPort int, change ...func(*diagnose.Intent)) (diagnose.Intent, error) {
	t.Helper()
	in := diagnose.Intent{Namespace: "foo", Method: "GET", Path: "/", Time: fixedNow, Host: host, URLPort: urlPort}
	for _, f := range change {
		f(&in)
	}
	out, _, err := diagnose.Locate(in, snapshot(t, behind()...))
	return out, err
}

func TestTheHostOfARequestFindsItsTarget(t *testing.T) {
	for _, c := range []struct {
		host              string
		port              int
		target, via, back string
		change            func(*diagnose.Intent)
	}{
		{host: "httpbin:8000", port: 8000, target: "svc/httpbin"},
		{host: "httpbin.foo", port: 80, target: "svc/httpbin"},
		{host: "HTTPBIN.foo.svc", port: 80, target: "svc/httpbin"},
		{host: "httpbin.foo.svc.cluster.local:8000", port: 8000, target: "svc/httpbin"},
		{host: "httpbin", port: 80, target: "svc/httpbin", change: func(in *diagnose.Intent) { in.Namespace = "bar"; in.Caller.FromNamespace = "foo" }},
		{host: "api.example.com", port: 80, target: "svc/httpbin", via: "deploy/gw.istio-system"},
		{host: "API.example.com:80", port: 80, target: "svc/httpbin", via: "deploy/gw.istio-system"},
	} {
		in, err := located(t, c.host, c.port, func(in *diagnose.Intent) {
			if c.change != nil {
				c.change(in)
			}
		})
		if err != nil {
			t.Errorf("%s: %v", c.host, err)
			continue
		}
		via := ""
		if len(in.Via) > 0 {
			via = in.Via[0].String()
		}
		if in.Target.String() != c.target || in.Namespace != "foo" || via != c.via {
			t.Errorf("%s: %s in %s via %q", c.host, in.Target, in.Namespace, via)
		}
		if via != "" && in.Port.Number != 8000 {
			t.Errorf("%s: port %+v, the route says 8000", c.host, in.Port)
		}
	}
}

func TestAHostThatFindsNothingIsToldWhatIsNear(t *testing.T) {
	for _, c := range []struct{ host, problem, hint string }{
		{"apj.example.com", "no Service and of no gateway", "api.example.com"},
		{"httpbim", "no Service and of no gateway", "httpbin"},
		{"api.example.com:81", "no gateway takes on port 81", "deploy/gw.istio-system takes it on port 80: try --url http://api.example.com/…"},
		{"", "no target", "--url"},
	} {
		port := 80
		if strings.HasSuffix(c.host, ":81") {
			port = 81
		}
		_, err := located(t, c.host, port)
		var wrong *mesh.TargetError
		if !errors.As(err, &wrong) || !strings.Contains(wrong.Problem, c.problem) || !strings.Contains(wrong.Hint, c.hint) {
			t.Errorf("%q: %+v", c.host, err)
		}
	}
}

func TestARouteThatAnswersItselfIsSaid(t *testing.T) {
	redirect := "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: moved, namespace: foo}\nspec: {hosts: [old.example.com], gateways: [istio-system/gw], http: [{redirect: {authority: new.example.com}}]}\n"
	in := diagnose.Intent{Namespace: "foo", Method: "GET", Path: "/", Time: fixedNow, Host: "old.example.com", URLPort: 80}
	_, _, err := diagnose.Locate(in, snapshot(t, behind(redirect)...))
	if err == nil || !strings.Contains(err.Error(), "answers 301 itself") {
		t.Errorf("%v", err)
	}
	in = question(t, viaGateway(t))
	in.Host = "old.example.com"
	if d := asked(t, in, behind(redirect)...); d.Verdict.Status != 301 || d.Target.Name != "gw" || len(d.NotReached) != 1 {
		t.Errorf("%+v", d.Verdict)
	}
}

func TestSeveralTargetsAreListed(t *testing.T) {
	second := strings.NewReplacer("name: gw", "name: other", "app: gw", "app: other").Replace(edge)
	second = second[:strings.Index(second, "---\napiVersion: networking.istio.io")] // its Gateway selects both
	in := diagnose.Intent{Namespace: "foo", Method: "GET", Path: "/", Time: fixedNow, Host: "api.example.com", URLPort: 80}
	_, _, err := diagnose.Locate(in, snapshot(t, behind(second)...))
	var wrong *mesh.TargetError
	if !errors.As(err, &wrong) || !strings.Contains(wrong.Problem, "fits 2 targets") ||
		!strings.Contains(wrong.Hint, "--via deploy/gw.istio-system:80") || !strings.Contains(wrong.Hint, "--via deploy/other.istio-system:80") {
		t.Errorf("%+v", err)
	}
}

func TestRoutesChangeWhatTheNextHopReads(t *testing.T) {
	route := func(entry string) string {
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: foo}\nspec: {hosts: [r.test], gateways: [istio-system/gw], http: [" + entry + "]}\n"
	}
	const to = "route: [{destination: {host: httpbin, port: {number: 8000}}}]"
	for _, c := range []struct {
		name, entry, path, rule string
		status                  int
	}{
		{"a prefix", "{match: [{uri: {prefix: /v1/}}], rewrite: {uri: /}, " + to + "}", "/v1/get", `{to: [{operation: {paths: ["/get"]}}]}`, 200},
		{"an exact path", "{match: [{uri: {exact: /v1}}], rewrite: {uri: /get}, " + to + "}", "/v1?a=b", `{to: [{operation: {paths: ["/get"]}}]}`, 200},
		{"a pattern", `{rewrite: {uriRegexRewrite: {match: "^/v[0-9]+/(.*)$", rewrite: '/\1'}}, ` + to + "}", "/v12/get", `{to: [{operation: {paths: ["/get"]}}]}`, 200},
		{"the host", "{rewrite: {authority: inner.test}, " + to + "}", "/", `{to: [{operation: {hosts: ["inner.test"]}}]}`, 200},
		{"a header", "{headers: {request: {set: {x-role: admin}}}, " + to + "}", "/", `{when: [{key: "request.headers[x-role]", values: [admin]}]}`, 200},
		{"a header taken off", "{headers: {request: {remove: [x-env]}}, " + to + "}", "/", `{when: [{key: "request.headers[x-env]", values: ["*"]}]}`, 403},
		{"the path that was", "{match: [{uri: {prefix: /v1}}], rewrite: {uri: /get}, " + to + "}", "/v1", `{when: [{key: "request.headers[x-envoy-original-path]", values: ["/v1"]}]}`, 200},
	} {
		d := asked(t, question(t, viaGateway(t), host("r.test"), path(c.path), headers(envoy.Header{Name: "x-env", Value: "prod"})), behind(route(c.entry), policy("{rules: ["+c.rule+"]}"))...)
		if d.Verdict.Status != c.status || d.Target.Name != "httpbin" {
			t.Errorf("%s: %+v by %s, %+v", c.name, d.Verdict, d.Target.Name, d.DependsOn)
		}
	}
	for _, c := range []struct{ name, entry, what string }{
		{"a value with variables", `{headers: {request: {set: {x-role: "%REQ(x-env)%"}}}, ` + to + "}", `the header "x-role" that the route sets`},
		{"claims", `{match: [{headers: {"@request.auth.claims.group": {exact: a}}}], ` + to + "}, {" + to + "}", "whether VirtualService foo/r spec.http[0] takes the request"},
		{"another Service", "{route: [{destination: {host: elsewhere, port: {number: 80}}}]}", "what the request gets at Deployment foo/httpbin port 8080"},
	} {
		rule := policy(`{rules: [{when: [{key: "request.headers[x-role]", values: [admin]}]}]}`)
		d := asked(t, question(t, viaGateway(t), host("r.test")), behind(route(c.entry), rule)...)
		if d.Verdict.Decision != envoy.Undetermined || len(d.DependsOn) == 0 || d.DependsOn[0].What != c.what {
			t.Errorf("%s: %+v %+v", c.name, d.Verdict, d.DependsOn)
		}
	}
}

func TestAHostThatAGatewayTakesWithTLSOnlyIsSaidSo(t *testing.T) {
	docs := behind()
	for i := range docs {
		docs[i] = strings.ReplaceAll(docs[i], "port: {number: 80, name: http, protocol: HTTP}", "port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}")
	}
	in := diagnose.Intent{Namespace: "foo", Method: "GET", Path: "/", Time: fixedNow, Host: "api.example.com", URLPort: 80}
	_, _, err := diagnose.Locate(in, snapshot(t, docs...))
	var wrong *mesh.TargetError
	if !errors.As(err, &wrong) || !strings.Contains(wrong.Problem, "no gateway takes on port 80") || !strings.Contains(wrong.Hint, "try --url https://api.example.com/…") {
		t.Errorf("%v", err)
	}
	in.URLPort, in.Unseen = 0, diagnose.UnseenIn(true, true)
	_, _, err = diagnose.Locate(in, snapshot(t, docs...))
	if !errors.As(err, &wrong) || !strings.Contains(wrong.Hint, "name the workload of whose proxy the line is") || strings.Contains(wrong.Hint, "--url") {
		t.Errorf("for a line of a log: %v", err)
	}
}

func TestTheServerNameInALogFindsTheTarget(t *testing.T) {
	snap := snapshot(t, behind()...)
	for sni, want := range map[string]string{
		"outbound_.8000_._.httpbin.foo.svc.cluster.local":   "svc/httpbin in foo, port 8000, ",
		"outbound_.8000_.v1_.httpbin.foo.svc.cluster.local": "svc/httpbin in foo, port 8000, v1",
		"outbound_.8000_._.nothing.foo.svc.cluster.local":   "",
		"outbound_.x_._.httpbin.foo.svc.cluster.local":      "",
		"outbound_.8000_._.httpbin.foo.svc.other.local":     "",
		"httpbin.foo.svc.cluster.local":                     "",
		"":                                                  "",
	} {
		in := diagnose.Intent{Namespace: "bar", Method: "GET", Path: "/", Time: fixedNow, Host: "elsewhere.example.com", Unseen: diagnose.UnseenIn(true, true)}
		in.Caller.SNI, in.Caller.SNIGiven = sni, true
		out, _, err := diagnose.Locate(in, snap)
		got := ""
		if err == nil {
			got = fmt.Sprintf("%s in %s, port %d, %s", out.Target, out.Namespace, out.Port.Number, out.Subset)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q (%v)", sni, got, want, err)
		}
		if by := diagnose.LocatedBy(out); want != "" && by != "the server name in the log" {
			t.Errorf("%s: found by %s", sni, by)
		}
	}
}
