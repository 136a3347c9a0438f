package tcases

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

const httpbinWorkload = `apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec:
      serviceAccountName: httpbin
      containers:
      - {name: httpbin, image: httpbin, ports: [{containerPort: 8080}]}
`

const httpbinService = `apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 8080}]
`

const gatewayWorkload = `apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  template:
    metadata:
      labels: {app: istio-ingressgateway, istio: ingressgateway}
      annotations: {inject.istio.io/templates: gateway}
    spec:
      serviceAccountName: istio-ingressgateway
      containers:
      - name: istio-proxy
        image: auto
        args: [proxy, router]
        ports: [{containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec:
  type: LoadBalancer
  selector: {istio: ingressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
`

// mesh puts the documents of a mesh together, httpbin and its Service first.
func mesh(docs ...string) string {
	return join(append([]string{httpbinWorkload, httpbinService}, docs...))
}

// gateway is the mesh of the classic gateway.
func gateway(docs ...string) string { return join(append([]string{gatewayWorkload}, docs...)) }

func join(docs []string) string { return strings.Join(docs, "---\n") }

// object is a document whose spec is written in YAML's flow style.
func object(api, kind, namespace, name, spec string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s}\nspec: %s\n", api, kind, name, namespace, spec)
}

// ra is a RequestAuthentication of namespace foo for all of its workloads.
func ra(name string, rules ...string) string {
	return object("security.istio.io/v1", "RequestAuthentication", "foo", name, "{jwtRules: ["+strings.Join(rules, ", ")+"]}")
}

// rule is a jwtRule: issuer, key set, further fields.
func rule(issuer, jwks string, fields ...string) string {
	return "{" + strings.Join(append([]string{"issuer: '" + issuer + "'", "jwks: '" + jwks + "'"}, fields...), ", ") + "}"
}

// ap is the AuthorizationPolicy p of namespace foo.
func ap(spec string) string { return apNamed("foo", "p", spec) }

func apNamed(namespace, name, spec string) string {
	return object("security.istio.io/v1", "AuthorizationPolicy", namespace, name, spec)
}

// allow and deny are the policy p with one rule.
func allow(rule string) string { return ap("{action: ALLOW, rules: [" + rule + "]}") }
func deny(rule string) string  { return ap("{action: DENY, rules: [" + rule + "]}") }

// when is a rule with one condition on values.
func when(key string, values ...string) string {
	return fmt.Sprintf("{when: [{key: %q, values: %s}]}", key, list(values))
}

// whenNot is a rule with one condition on notValues.
func whenNot(key string, values ...string) string {
	return fmt.Sprintf("{when: [{key: %q, notValues: %s}]}", key, list(values))
}

// from and to are rules with one field.
func from(field string, values ...string) string {
	return fmt.Sprintf("{from: [{source: {%s: %s}}]}", field, list(values))
}

func to(field string, values ...string) string {
	return fmt.Sprintf("{to: [{operation: {%s: %s}}]}", field, list(values))
}

func list(values []string) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return string(text)
}

// meshConfig is the ConfigMap of the mesh configuration.
func meshConfig(text string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    " +
		strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
}

// jwks is a key set in JSON.
func jwks(keys ...map[string]any) string {
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err) // the keys are strings throughout
	}
	return string(text)
}

// key is the public JWK of that name with members set, or taken away where nil.
func key(name string, members ...any) map[string]any {
	out := lookup(name).JWK()
	delete(out, "kid")
	delete(out, "alg")
	for i := 0; i+1 < len(members); i += 2 {
		if members[i+1] == nil {
			delete(out, members[i].(string))
			continue
		}
		out[members[i].(string)] = members[i+1]
	}
	return out
}

// setKA and setKB are the key sets of RA-A and RA-B: one RSA key with a kid and no alg.
func setKA() string { return jwks(key("rsa-a", "kid", "a")) }
func setKB() string { return jwks(key("rsa-b", "kid", "b")) }

// raA and raB are RA-A and RA-B with further fields of their rule.
func raA(fields ...string) string { return ra("a", rule("iss-a", setKA(), fields...)) }
func raB(fields ...string) string { return ra("b", rule("iss-b", setKB(), fields...)) }

const forward = "forwardOriginalToken: true"

const headerA = `{"alg":"RS256","kid":"a","typ":"JWT"}`

// ga is Ga with members of its payload put after the usual ones.
func ga(members ...string) judge.Token {
	return gaOf(append([]string{`"sub":"u1"`, `"exp":{now+3600}`}, members...)...)
}

// gaOf is a token of iss-a with just these members beside iss.
func gaOf(members ...string) judge.Token {
	return payloadA(append([]string{`"iss":"iss-a"`}, members...)...)
}

// payloadA is a token signed by KA with just these members.
func payloadA(members ...string) judge.Token {
	return judge.Token{Key: "rsa-a", Alg: "RS256", Header: headerA, Payload: "{" + strings.Join(members, ",") + "}"}
}

// gb is Gb with further members.
func gb(members ...string) judge.Token {
	return gbOf(append([]string{`"exp":{now+3600}`}, members...)...)
}

func gbOf(members ...string) judge.Token {
	t := payloadA(append([]string{`"iss":"iss-b"`, `"sub":"u1"`}, members...)...)
	t.Key, t.Header = "rsa-b", `{"alg":"RS256","kid":"b","typ":"JWT"}`
	return t
}

// signed is Ga with another key, algorithm and header.
func signed(key, alg, header string) judge.Token {
	t := ga()
	t.Key, t.Alg, t.Header = key, alg, header
	return t
}

// formed is Ga with its parts put together in another form.
func formed(form string) judge.Token {
	t := ga()
	t.Form = form
	return t
}

func raw(text string) judge.Token { return judge.Token{Raw: text} }

// bearer is the rows' H:, a request with that token; with further headers after it.
func bearer(t judge.Token, more ...judge.Header) judge.Request {
	return sent([]judge.Token{t}, append([]judge.Header{{Name: "Authorization", Value: "Bearer {token:0}"}}, more...)...)
}

// sent is a request with tokens and headers.
func sent(tokens []judge.Token, headers ...judge.Header) judge.Request {
	return judge.Request{Tokens: tokens, Headers: headers}
}

// plain is a request with headers and no token, in pairs of name and value.
func plain(namesAndValues ...string) judge.Request {
	var r judge.Request
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		r.Headers = append(r.Headers, judge.Header{Name: namesAndValues[i], Value: namesAndValues[i+1]})
	}
	return r
}

// at is a request for a path.
func at(path string) judge.Request { return judge.Request{Path: path} }

// as is the request over mTLS with that identity.
func as(r judge.Request, uri string) judge.Request {
	r.Client = judge.Client{Transport: "mtls", URISANs: []string{uri}}
	return r
}
