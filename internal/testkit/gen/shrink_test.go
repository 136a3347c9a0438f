package gen

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

const twoPolicies = `apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {ports: [{port: 80}, {port: 81}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: other, namespace: foo}
spec: {rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guilty, namespace: foo, annotations: {a: b}}
spec:
  action: DENY
  rules:
  - to: [{operation: {paths: [/a, /bad, /c], methods: [GET]}}]
    when: [{key: x, values: ["y"]}]
  - {}
`

func largeCase() judge.Case {
	return judge.Case{
		Name: "x", Mesh: twoPolicies, Target: "deploy/httpbin", Namespace: "foo", Port: 8080, RemoteJWKS: "envoy",
		JWKS: map[string]string{"https://a": "{}", "https://b": "{}"},
		Request: judge.Request{
			HTTP2: true, Method: "POST", Host: "httpbin", Path: "/one/two/three?a=1&b=2#f",
			Headers: []judge.Header{{Name: "x", Value: "1"}, {Name: "guilty", Value: "{token:0}"}, {Name: "z", Value: "2"}},
			Tokens: []judge.Token{
				{Key: "rsa-a", Alg: "RS256", Header: `{"alg":"RS256","kid":"a"}`, Payload: `{"iss":"i","sub":"u","exp":{now+5},"o":{"a":[1,2]}}`, Form: "{h}..{p}.{s}", FlipSignature: true},
				{Raw: "second"},
			},
			Client: judge.Client{Transport: "mtls", URISANs: []string{"spiffe://a", "spiffe://b"}, SNI: "s", Source: "127.0.0.9"},
		},
	}
}

func TestShrink_ThatOnlyWhatFailsIsLeft(t *testing.T) {
	tries := 0
	got := Shrink(largeCase(), func(c judge.Case) bool {
		tries++
		guilty := false
		for _, h := range c.Request.Headers {
			guilty = guilty || h.Name == "guilty"
		}
		return guilty && strings.Contains(c.Mesh, "/bad") && strings.Contains(c.Mesh, "kind: Service") && len(c.Request.Tokens) > 0 &&
			strings.Contains(c.Request.Tokens[0].Payload, `"sub"`) && strings.Contains(c.Request.Path, "two")
	})
	if tries > maxTries {
		t.Errorf("asked %d times, more than %d", tries, maxTries)
	}
	for _, gone := range []string{"other", "methods", "/a\n", "when", "annotations", "DENY", "- {}"} {
		if strings.Contains(got.Mesh, gone) {
			t.Errorf("%q is still in the mesh:\n%s", gone, got.Mesh)
		}
	}
	r := got.Request
	if len(r.Headers) != 1 || len(r.Tokens) != 1 || r.HTTP2 || r.Client.Transport != "" || got.RemoteJWKS != "" || len(got.JWKS) != 0 {
		t.Errorf("the request is not plain: %+v", r)
	}
	if r.Path != "/two" && r.Path != "/one/two" {
		t.Errorf("the path is %q", r.Path)
	}
	if tok := r.Tokens[0]; tok.Payload != `{"sub":"u"}` || tok.Form != "" || tok.FlipSignature {
		t.Errorf("the token is not plain: payload %s, form %s", tok.Payload, tok.Form)
	}
	if strings.Contains(got.Mesh, "port: 81") != true {
		t.Errorf("the workload's own objects must stay as they are:\n%s", got.Mesh)
	}
}

func TestShrink_ThatWhatCannotBeSmallerStays(t *testing.T) {
	c := largeCase()
	want := describe(func(*judge.Case) {}, c)
	got := Shrink(c, func(judge.Case) bool { return false })
	if describe(func(*judge.Case) {}, got) != want {
		t.Error("the case was changed")
	}
}

func TestShrink_ThatTheCaseGivenIsNotChanged(t *testing.T) {
	c := largeCase()
	Shrink(c, func(judge.Case) bool { return true })
	if describe(func(*judge.Case) {}, c) != describe(func(*judge.Case) {}, largeCase()) {
		t.Error("the case that was given has changed")
	}
}
