package fix_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fix"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const now = 1_800_000_000

// base is httpbin with a sidecar.
const base = `apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec:
      containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}, {name: httpbin, image: httpbin}]
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
`

// authn is a RequestAuthentication with one rule for issuer "iss", and more fields.
func authn(fields string) string {
	keys, _ := json.Marshal(string(mint.JWKS(mint.RSA())))
	if !strings.Contains(fields, "issuer:") {
		fields = "issuer: iss" + fields
	}
	return "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: foo}\nspec:\n  selector: {matchLabels: {app: httpbin}}\n  jwtRules: [{" +
		fields + ", jwks: " + string(keys) + "}]\n"
}

// policy is an AuthorizationPolicy p with a spec in flow style.
func policy(spec string) string {
	return "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: foo}\nspec: " + spec + "\n"
}

func bearer(payload string) envoy.Header {
	return envoy.Header{Name: "Authorization", Value: "Bearer " + token(payload)}
}

func token(payload string) string {
	return mint.Token(mint.RSA(), `{"alg":"RS256","kid":"`+mint.RSA().Kid+`"}`, "{"+payload+"}")
}

// question is GET /x of the given client to httpbin.
func question(headers ...envoy.Header) diagnose.Intent {
	return diagnose.Intent{
		Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, Namespace: "foo",
		Method: "GET", Path: "/x", Host: "httpbin.foo", Time: now, Headers: headers, Caller: diagnose.Caller{Principal: "cluster.local/ns/foo/sa/sleep"},
	}
}

func snapshot(t *testing.T, text string) *mesh.Snapshot {
	t.Helper()
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// found asks, and holds every fix of objects to what it promises: its manifest, laid on
// top, gives the status.
func found(t *testing.T, in diagnose.Intent, text string, goal fix.Goal) []diagnose.Fix {
	t.Helper()
	snap := snapshot(t, text)
	d, err := diagnose.Run(in, snap)
	if err != nil {
		t.Fatal(err)
	}
	fixes, err := fix.Find(in, snap, d, goal)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fixes {
		if f.Manifest == "" {
			continue
		}
		objects, err := mesh.Parse([]byte(f.Manifest), mesh.ParseOptions{File: "fix.yaml", Namespace: "elsewhere"})
		if err != nil {
			t.Fatalf("%v in\n%s", err, f.Manifest)
		}
		after, err := snap.With(objects)
		if err != nil {
			t.Fatal(err)
		}
		again, err := diagnose.Run(in, after)
		if err != nil {
			t.Fatal(err)
		}
		if f.Proved && (again.Verdict.Status != f.StatusAfter || !goal.Met(again.Verdict)) {
			t.Errorf("%s: promised %d, got %+v", f.Summary, f.StatusAfter, again.Verdict)
		}
		if f.Neighbours == nil && f.Proved || f.Neighbours != nil && f.Neighbours.Checked < 200 {
			t.Errorf("%s: held to %+v neighbours", f.Summary, f.Neighbours)
		}
	}
	return fixes
}

const (
	wide   = true
	narrow = false
)

// Each kind of change, found where it is called for; the words are part of its summary
// or of its manifest.
func TestEachKindOfFixIsFoundWhereItIsCalledFor(t *testing.T) {
	good := bearer(`"iss":"iss","sub":"me"`)
	anyToken := `{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`
	for _, c := range []struct {
		name, mesh string
		headers    []envoy.Header
		change     func(*diagnose.Intent)
		summary    string
		manifest   string // empty: a change of the request
		widens     bool
	}{
		{"a path into an ALLOW rule", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {paths: ["/y"]}}]}]}`),
			[]envoy.Header{good}, nil, `add "/x" to rules[0].to[0].operation.paths`, `paths: ["/y", "/x"]`, narrow},
		{"a path out of a DENY rule, without a token", authn("") + policy(`{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}], to: [{operation: {notPaths: ["/y"]}}]}]}`),
			nil, nil, `let "/x" through without a token`, `notPaths: ["/y", "/x"]`, wide},
		{"a path out of a DENY rule that has none", authn("") + policy(`{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}]}]}`),
			nil, nil, `rules[0].to[0].operation.notPaths`, "to: [{operation: {notPaths: [/x]}}]", wide},
		{"the principal out of a DENY rule", authn("") + policy(`{action: DENY, rules: [{to: [{operation: {paths: ["/x*"]}}]}]}`),
			[]envoy.Header{good}, nil, `add "iss/me" to rules[0].from[0].source.notRequestPrincipals`, "iss/me", narrow},
		{"a token where one is wanted", authn("") + policy(anyToken), nil, nil, `send a token of issuer "iss"`, "", narrow},
		{"a token with the claim that is wanted", authn("") + policy(`{rules: [{when: [{key: "request.auth.claims[groups]", values: ["admin"]}]}]}`),
			[]envoy.Header{good}, nil, `send a token of issuer "iss" with groups "admin"`, "", narrow},
		{"a principal into a rule", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["iss/other"]}}]}]}`),
			[]envoy.Header{good}, nil, `add "iss/me" to rules[0].from[0].source.requestPrincipals`, `requestPrincipals: ["iss/other", "iss/me"]`, narrow},
		{"the issuer alone where a principal is wanted", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["iss"]}}]}]}`),
			[]envoy.Header{good}, nil, `write "iss/me" as ISSUER/SUBJECT`, `requestPrincipals: ["iss/me"]`, narrow},
		{"the subject alone where a principal is wanted", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["me"]}}]}]}`),
			[]envoy.Header{good}, nil, `write "iss/*" as ISSUER/SUBJECT`, `requestPrincipals: ["iss/*"]`, wide},
		{"a token without sub", authn("") + policy(anyToken), []envoy.Header{bearer(`"iss":"iss"`)}, nil, "has no principal", "request.auth.claims[iss]", narrow},
		{"an issuer with a slash at the end", authn("") + policy(anyToken), []envoy.Header{bearer(`"iss":"iss/","sub":"me"`)}, nil,
			`they differ in the slash at the end`, "issuer: iss/", narrow},
		{"an issuer beside another", authn("") + policy(anyToken), []envoy.Header{bearer(`"iss":"https://idp","sub":"me"`)}, nil,
			`take the issuer "https://idp" too`, "https://idp", narrow},
		{"an audience", authn(", audiences: [a]"), []envoy.Header{bearer(`"iss":"iss","sub":"me","aud":"b"`)}, nil, `add "b" to jwtRules[0].audiences`, "audiences: [a, b]", narrow},
		{"a token for the audience", authn(", audiences: [a]"), []envoy.Header{bearer(`"iss":"iss","sub":"me","aud":"b"`)}, nil, `for the audience "a"`, "", narrow},
		{"a fresh token", authn("") + policy(anyToken), []envoy.Header{bearer(`"iss":"iss","sub":"me","exp":1700000000`)}, nil, "this one expired at 2023-11-14T22:13:20Z", "", narrow},
		{"no token at all", authn(""), []envoy.Header{bearer(`"iss":"other"`)}, nil, "send no token", "", narrow},
		{"a nested claim", authn("") + policy(`{rules: [{when: [{key: "request.auth.claims[roles]", values: ["admin"]}]}]}`),
			[]envoy.Header{bearer(`"iss":"iss","sub":"me","realm_access":{"roles":["admin"]}`)}, nil, "where the token has it", "request.auth.claims[realm_access][roles]", narrow},
		{"a claim's value", authn("") + policy(`{rules: [{when: [{key: "request.auth.claims[groups]", values: ["admin"]}]}]}`),
			[]envoy.Header{bearer(`"iss":"iss","sub":"me","groups":["dev"]`)}, nil, `add "dev" to rules[0].when[0].values`, `values: ["admin", "dev"]`, narrow},
		{"words in one claim", authn("") + policy(`{rules: [{when: [{key: "request.auth.claims[groups]", values: ["admin"]}]}]}`),
			[]envoy.Header{bearer(`"iss":"iss","sub":"me","groups":"dev admin"`)}, nil, "its words count as values then", "spaceDelimitedClaims", narrow},
		{"another place for tokens", authn("") + policy(anyToken), []envoy.Header{{Name: "X-Jwt", Value: token(`"iss":"iss","sub":"me"`)}}, nil,
			"look for tokens in header x-jwt too", "prefix: 'Bearer '", narrow},
		{"the token in its place", authn("") + policy(anyToken), []envoy.Header{{Name: "Authorization", Value: "bearer " + token(`"iss":"iss","sub":"me"`)}}, nil,
			`send the token in header authorization "Bearer ", not in header authorization "bearer "`, "", narrow},
		{"a host with a port", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {hosts: ["httpbin.foo"]}}]}]}`),
			[]envoy.Header{good}, func(in *diagnose.Intent) { in.Host = "httpbin.foo:443" }, `add "httpbin.foo:443" to rules[0].to[0].operation.hosts`, "httpbin.foo:443", narrow},
		{"a host with any port", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {hosts: ["httpbin.foo"]}}]}]}`),
			[]envoy.Header{good}, func(in *diagnose.Intent) { in.Host = "httpbin.foo:443" }, `add "httpbin.foo:*" to rules[0].to[0].operation.hosts`, "httpbin.foo:*", wide},
		{"a method of the request", policy(`{rules: [{to: [{operation: {methods: ["POST"]}}]}]}`), nil, nil, "use POST", "", narrow},
		{"a header of the request", policy(`{rules: [{when: [{key: "request.headers[x-role]", values: ["admin"]}]}]}`), nil, nil, `send the header x-role: "admin"`, "", narrow},
		{"an identity of the client", policy(`{rules: [{from: [{source: {principals: ["cluster.local/ns/foo/sa/web"]}}]}]}`), nil, nil, `call as "cluster.local/ns/foo/sa/web"`, "", narrow},
		{"an identity into a rule", policy(`{rules: [{from: [{source: {principals: ["cluster.local/ns/foo/sa/web"]}}]}]}`), nil, nil,
			`add "cluster.local/ns/foo/sa/sleep" to rules[0].from[0].source.principals`, "sa/sleep", wide},
		{"mTLS where it is wanted", "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: m, namespace: foo}\nspec: {mtls: {mode: STRICT}}\n", nil,
			func(in *diagnose.Intent) { in.Caller = diagnose.Caller{Plaintext: true} }, "call from a client in the mesh, with mTLS", "", narrow},
		{"a pattern that shuts the request out", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {methods: [GET], notPaths: ["/x*", "/y"]}}]}]}`),
			[]envoy.Header{good}, nil, `take what shuts out "/x" from rules[0].to[0].operation.notPaths`, `notPaths: ["/y"]`, wide},
		{"a rule for the request alone", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["iss/other"]}}], to: [{operation: {paths: ["/y"]}}]}]}`),
			[]envoy.Header{good}, nil, `add a rule to AuthorizationPolicy foo/p: "iss/me" may GET "/x"`, "requestPrincipals: [iss/me]", narrow},
		{"a policy of its own where all is denied", authn("") + policy(`{}`), []envoy.Header{good}, nil, `add the AuthorizationPolicy foo/httpbin-allow: "iss/me" may GET "/x"`, "name: httpbin-allow", narrow},
		{"two conditions of one rule", authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {paths: ["/y"], methods: ["POST"]}}]}]}`),
			[]envoy.Header{good}, nil, `; and add "/x" to`, `methods: ["POST", "GET"]`, wide},
	} {
		in := question(c.headers...)
		if c.change != nil {
			c.change(&in)
		}
		fixes := found(t, in, base+c.mesh, fix.Through())
		hit := false
		var all []string
		for _, f := range fixes {
			all = append(all, f.Summary)
			if strings.Contains(f.Summary, c.summary) && (f.Manifest == "") == (c.manifest == "") && strings.Contains(f.Manifest, c.manifest) {
				hit = true
				if f.Widens != c.widens {
					t.Errorf("%s: widens is %v: %v", c.name, f.Widens, f.Opens)
				}
				if !f.Proved || f.StatusAfter != 200 {
					t.Errorf("%s: %+v", c.name, f)
				}
			}
		}
		if !hit {
			t.Errorf("%s: wanted %q with %q, found\n%s\n%+v", c.name, c.summary, c.manifest, strings.Join(all, "\n"), fixes)
		}
	}
}

// What would open too much is never offered.
func TestNoFixIsBetterThanAWideOne(t *testing.T) {
	for name, text := range map[string]string{
		"deny all":    policy(`{action: DENY, rules: [{}]}`),
		"allow other": authn("") + policy(`{rules: [{from: [{source: {requestPrincipals: ["iss/other"]}}]}]}`),
		"strict":      "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: m, namespace: foo}\nspec: {mtls: {mode: STRICT}}\n",
	} {
		in := question(bearer(`"iss":"iss","sub":"me"`))
		if name == "strict" {
			in.Caller = diagnose.Caller{Plaintext: true}
		}
		for _, f := range found(t, in, base+text, fix.Through()) {
			for _, never := range []string{"PERMISSIVE", "DISABLE", "rules: [{}]", "- {}\n", "rules: []", "deletionTimestamp"} {
				if strings.Contains(f.Manifest, never) {
					t.Errorf("%s: %s has %q:\n%s", name, f.Summary, never, f.Manifest)
				}
			}
		}
	}
}

// Not widening comes first; what widens says what it opens.
func TestWhatWidensComesLastAndSaysWhatItOpens(t *testing.T) {
	in := question()
	in.Caller = diagnose.Caller{Plaintext: true}
	fixes := found(t, in, base+authn("")+policy(`{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}], to: [{operation: {notPaths: ["/y"]}}]}]}`), fix.Through())
	if len(fixes) != 2 || fixes[0].Manifest != "" || fixes[0].Widens || !fixes[1].Widens {
		t.Fatalf("%+v", fixes)
	}
	if got := strings.Join(fixes[1].Opens, "; "); !strings.Contains(got, "this request, without a token") || !strings.Contains(got, "method POST, without a token") {
		t.Errorf("it opens %q", got)
	}
	if n := fixes[1].Neighbours; n.Checked < 200 || n.Opened == 0 || n.Closed != 0 {
		t.Errorf("%+v", n)
	}
}

// A request that gets through though it should be refused: a policy that wants a token,
// on the path alone before everywhere.
func TestARequestThatShouldBeRefused(t *testing.T) {
	refused := fix.Goal{Met: func(v diagnose.Verdict) bool { return v.Status == 403 }}
	fixes := found(t, question(), base+authn(""), refused)
	if len(fixes) != 2 || fixes[0].Widens || !strings.HasPrefix(fixes[0].Summary, `require a token on "/x": add the AuthorizationPolicy foo/jwt-require-token`) ||
		!strings.HasPrefix(fixes[1].Summary, "require a token wherever RequestAuthentication foo/jwt looks for one") {
		t.Fatalf("%+v", fixes)
	}
	for _, want := range []string{"action: DENY", "notRequestPrincipals:\n        - \"*\"", "app: httpbin", "namespace: foo"} {
		if !strings.Contains(fixes[1].Manifest, want) {
			t.Errorf("%q is missing in\n%s", want, fixes[1].Manifest)
		}
	}
	fixes = found(t, question(bearer(`"iss":"iss","sub":"me"`)), base+authn("")+policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`), refused)
	if len(fixes) == 0 || fixes[0].StatusAfter != 403 || !strings.Contains(fixes[0].Manifest, "iss/me") {
		t.Errorf("%+v", fixes)
	}
	fixes = found(t, question(), base+authn("")+policy(`{rules: [{to: [{operation: {paths: ["/x"]}}]}]}`), refused)
	if !strings.Contains(summaries(fixes), "ask for a token in rules[0] of AuthorizationPolicy foo/p") {
		t.Errorf("%s", summaries(fixes))
	}
}

// throughGateway is a question by way of a gateway that takes the token off, and its mesh.
func throughGateway(policies string) (diagnose.Intent, string) {
	gateway := `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {matchLabels: {app: gw}}
  template:
    metadata: {labels: {app: gw, istio: ingressgateway}}
    spec:
      serviceAccountName: gw
      containers: [{name: istio-proxy, image: "proxyv2:1.31.2", args: [proxy, router]}]
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec: {selector: {app: gw}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin, namespace: foo}
spec:
  hosts: [api.example.com]
  gateways: [istio-system/gw]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
`
	atGateway := strings.NewReplacer("namespace: foo", "namespace: istio-system", "app: httpbin", "app: gw").Replace(authn(""))
	in := question(bearer(`"iss":"iss","sub":"me"`))
	in.Caller, in.Host = diagnose.Caller{}, "api.example.com"
	in.Via = []diagnose.Via{{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "gw"}, Namespace: "istio-system"}}
	return in, base + gateway + atGateway + authn("") + policies
}

// A gateway that takes the token off which the sidecar behind it wants.
func TestATokenIsPassedOnWhereTheNextHopMissesIt(t *testing.T) {
	in, text := throughGateway(policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`))
	fixes := found(t, in, text, fix.Through())
	if len(fixes) == 0 || fixes[0].Widens || !strings.Contains(fixes[0].Summary, "let the next hop have the token: set jwtRules[0].forwardOriginalToken of RequestAuthentication istio-system/jwt") ||
		!strings.Contains(fixes[0].Manifest, "forwardOriginalToken: true") || fixes[0].StatusAfter != 200 || fixes[0].Neighbours.Opened == 0 {
		t.Errorf("%+v", fixes)
	}
}

func summaries(fixes []diagnose.Fix) string {
	out := make([]string, len(fixes))
	for i, f := range fixes {
		out[i] = f.Summary
	}
	return strings.Join(out, "\n")
}

// Keys that are not at hand: what hangs on them is offered, and not as proved.
func TestAFixThatHangsOnKeysIsNotCalledProved(t *testing.T) {
	text := base + "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: foo}\nspec:\n  jwtRules: [{issuer: \"https://idp/\", jwksUri: \"https://idp/keys\"}]\n"
	fixes := found(t, question(bearer(`"iss":"https://idp","sub":"me"`)), text, fix.Through())
	first := fixes[0]
	if first.Proved || first.Partial || first.Widens || !strings.Contains(first.Summary, "slash at the end") || !strings.Contains(first.Note, "--jwks https://idp/keys=FILE") {
		t.Errorf("%+v", first)
	}
}

// An object that a controller owns says so.
func TestAnObjectThatAControllerOwnsIsNamedWithItsOwner(t *testing.T) {
	owned := strings.Replace(policy(`{rules: [{to: [{operation: {paths: ["/y"]}}]}]}`), "name: p,",
		"name: p, ownerReferences: [{apiVersion: istio.alibabacloud.com/v1beta1, kind: ASMSecurityPolicy, name: jwt-on-gateway, uid: u}],", 1)
	labelled := strings.Replace(policy(`{rules: [{to: [{operation: {paths: ["/y"]}}]}]}`), "name: p,", "name: p, labels: {security.alibabacloud.com/owner: jwt-on-gateway},", 1)
	for _, text := range []string{owned, labelled} {
		fixes := found(t, question(), base+text, fix.Through())
		if len(fixes) == 0 || !strings.Contains(fixes[0].Note, "jwt-on-gateway") || !strings.Contains(fixes[0].Note, "may undo the change") {
			t.Errorf("%+v", fixes)
		}
	}
}

// What the request has in secret goes into no manifest and no summary.
func TestNoSecretGoesIntoAFix(t *testing.T) {
	secret := token(`"iss":"iss","sub":"me"`)
	text := base + policy(`{rules: [{when: [{key: "request.headers[authorization]", values: ["x"]}]}, {when: [{key: "request.headers[x-key]", values: ["x"]}]}, {to: [{operation: {paths: ["/none"]}}]}]}`)
	in := question(envoy.Header{Name: "Authorization", Value: "Bearer " + secret}, envoy.Header{Name: "x-key", Value: secret}, envoy.Header{Name: "Cookie", Value: "a=" + secret})
	in.Path = "/a/" + secret + "?access_token=" + secret
	for _, f := range found(t, in, text, fix.Through()) {
		all, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(secret, ".") {
			if strings.Contains(string(all), part) {
				t.Errorf("a part of the token is in the fix %.60s…", f.Summary)
			}
		}
	}
}

// Undetermined, or as wanted: there is nothing to propose.
func TestNothingIsProposedWithoutAVerdictThatIsNotWanted(t *testing.T) {
	if fixes := found(t, question(), base, fix.Through()); fixes != nil {
		t.Errorf("%+v", fixes)
	}
	in := question()
	in.Caller = diagnose.Caller{}
	if fixes := found(t, in, base+policy(`{rules: [{from: [{source: {principals: ["*"]}}]}]}`), fix.Through()); fixes != nil {
		t.Errorf("%+v", fixes)
	}
}
