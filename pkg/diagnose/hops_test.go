package diagnose_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

const edge = `apiVersion: apps/v1
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
spec:
  selector: {app: gw}
  ports: [{name: http, port: 80, targetPort: 8080}]
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

// behind is httpbin behind a gateway.
func behind(docs ...string) []string { return append(httpbin(edge), docs...) }

func viaGateway(t *testing.T) func(*diagnose.Intent) {
	return func(in *diagnose.Intent) {
		in.Via = []diagnose.Via{{Target: target(t, "deploy/gw"), Namespace: "istio-system"}}
		in.Host = "api.example.com"
		in.Caller.IP = netip.MustParseAddr("203.0.113.7")
	}
}

func at(namespace, doc string) string {
	return strings.ReplaceAll(doc, "namespace: foo", "namespace: "+namespace)
}

func TestTheFirstHopThatDeniesDecides(t *testing.T) {
	deny := policy(`{action: DENY, rules: [{to: [{operation: {paths: ["/admin"]}}]}]}`)
	for _, c := range []struct {
		name, path string
		docs       []string
		status     int
		decides    string
		hops       int
	}{
		{"nothing denies", "/", nil, 200, "httpbin", 2},
		{"the gateway denies", "/admin", []string{at("istio-system", deny)}, 403, "gw", 1},
		{"the sidecar denies", "/admin", []string{deny}, 403, "httpbin", 2},
		{"both deny", "/admin", []string{deny, at("istio-system", deny)}, 403, "gw", 1},
	} {
		d := asked(t, question(t, viaGateway(t), path(c.path)), behind(c.docs...)...)
		if d.Verdict.Status != c.status || d.Target.Name != c.decides || len(d.Hops) != c.hops {
			t.Errorf("%s: %+v by %s, %d hops", c.name, d.Verdict, d.Target.Name, len(d.Hops))
		}
		if len(d.Hops)+len(d.NotReached) != 2 {
			t.Errorf("%s: %d hops, %d not reached", c.name, len(d.Hops), len(d.NotReached))
		}
	}
}

func TestATokenThatTheGatewayTakesOffIsMissedBehindIt(t *testing.T) {
	want := policy(`{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`)
	gatewayJWT := at("istio-system", authn(""))
	d := asked(t, question(t, viaGateway(t), headers(bearer(`"iss":"iss","sub":"me"`))), behind(want, authn(""), gatewayJWT)...)
	if d.Verdict.Status != 403 || d.Target.Name != "httpbin" {
		t.Fatalf("%+v by %s", d.Verdict, d.Target.Name)
	}
	f := code(d, "AJ0313")
	if f == nil || f.Severity != "error" || f.Object.Namespace != "istio-system" || f.Field != "spec.jwtRules[0].forwardOriginalToken" {
		t.Errorf("the finding is %+v", f)
	}
	gatewayJWT = at("istio-system", authn(", forwardOriginalToken: true"))
	d = asked(t, question(t, viaGateway(t), headers(bearer(`"iss":"iss","sub":"me"`))), behind(want, authn(""), gatewayJWT)...)
	if d.Verdict.Status != 200 || code(d, "AJ0313") != nil || d.Upstream == nil {
		t.Errorf("with the token forwarded: %+v, %+v", d.Verdict, d.Findings)
	}
}

func TestWhatAGatewayTellsTheNextHop(t *testing.T) {
	mtls := object("PeerAuthentication", "m", "{mtls: {mode: DISABLE}}")
	off := "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: foo}\nspec: {host: httpbin, trafficPolicy: {tls: {mode: DISABLE}}}\n"
	for _, c := range []struct {
		name, when string
		docs       []string
		headers    []envoy.Header
		status     int
	}{
		{"its identity", `{from: [{source: {principals: ["cluster.local/ns/istio-system/sa/gw"]}}]}`, nil, nil, 200},
		{"none without mTLS", `{from: [{source: {principals: ["*"]}}]}`, []string{mtls}, nil, 403},
		{"none where a DestinationRule turns mTLS off", `{from: [{source: {principals: ["*"]}}]}`, []string{off}, nil, 403},
		{"the client's address", `{from: [{source: {remoteIpBlocks: ["203.0.113.7"]}}]}`, nil, nil, 200},
		{"the client's address behind what it says itself", `{from: [{source: {remoteIpBlocks: ["203.0.113.7"]}}]}`, nil, []envoy.Header{{Name: "X-Forwarded-For", Value: "1.1.1.1"}}, 200},
		{"nothing that it strips", `{when: [{key: "request.headers[x-envoy-original-path]", values: ["*"]}]}`, nil, []envoy.Header{{Name: "x-envoy-original-path", Value: "/"}}, 403},
		{"the host", `{to: [{operation: {hosts: ["api.example.com"]}}]}`, nil, nil, 200},
		{"Istio's server name", `{when: [{key: connection.sni, values: ["outbound_.8000_._.httpbin.foo.svc.cluster.local"]}]}`, nil, nil, 200},
		{"the number of attempts", `{when: [{key: "request.headers[x-envoy-attempt-count]", values: ["1"]}]}`, nil, nil, 200},
		{"http", `{when: [{key: "request.headers[x-forwarded-proto]", values: ["http"]}]}`, nil, []envoy.Header{{Name: "x-forwarded-proto", Value: "https"}}, 200},
	} {
		docs := append([]string{policy("{rules: [" + c.when + "]}")}, c.docs...)
		d := asked(t, question(t, viaGateway(t), headers(c.headers...)), behind(docs...)...)
		if d.Verdict.Status != c.status || d.Target.Name != "httpbin" {
			t.Errorf("%s: %+v by %s %+v", c.name, d.Verdict, d.Target.Name, d.DependsOn)
		}
	}
}

func TestAConnectionThatTheSecondHopClosesIsThe503OfTheFirst(t *testing.T) {
	strict := object("PeerAuthentication", "m", "{mtls: {mode: STRICT}}")
	off := "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: foo}\nspec: {host: httpbin, trafficPolicy: {tls: {mode: DISABLE}}}\n"
	d := asked(t, question(t, viaGateway(t)), behind(strict, off)...)
	if d.Verdict.Status != 503 || d.Verdict.Decision != envoy.Denied || d.Target.Name != "httpbin" || d.Verdict.DecidedBy == nil {
		t.Errorf("%+v by %s", d.Verdict, d.Target.Name)
	}
	if h := d.Hops[1].Verdict; h.Status != 0 {
		t.Errorf("the hop itself: %+v", h)
	}
}

func TestWhatIsNotKnownAtTheFirstHopMakesTheSecondConditional(t *testing.T) {
	custom := at("istio-system", policy(`{action: CUSTOM, provider: {name: x}, rules: [{}]}`))
	config := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: \"extensionProviders: [{name: x, envoyExtAuthzGrpc: {service: httpbin.foo.svc.cluster.local, port: 8000}}]\"}\n"
	d := asked(t, question(t, viaGateway(t)), behind(custom, config)...)
	if d.Verdict.Decision != envoy.Undetermined || d.Target.Name != "gw" || len(d.Hops) != 2 {
		t.Errorf("%+v by %s", d.Verdict, d.Target.Name)
	}
	// Refused at either hop, with the same words: no fact changes that.
	deny := policy(`{action: DENY, rules: [{to: [{operation: {hosts: ["a.test"]}}]}]}`)
	denyAll := policy(`{action: DENY, rules: [{}]}`)
	in := question(t, viaGateway(t))
	in.Host = ""
	d = asked(t, in, behind(denyAll, at("istio-system", deny))...)
	if d.Verdict.Decision != envoy.Denied || d.Verdict.Status != 403 {
		t.Errorf("%+v %+v", d.Verdict, d.DependsOn)
	}
	d = asked(t, in, behind(at("istio-system", deny))...)
	if d.Verdict.Decision != envoy.Undetermined || d.DependsOn[0].What != "the host that is asked for" {
		t.Errorf("%+v %+v", d.Verdict, d.DependsOn)
	}
}

func TestAnAddressThatIsNotKnownIsNotKnownBehindTheGatewayEither(t *testing.T) {
	in := question(t, viaGateway(t))
	in.Caller.IP = netip.Addr{}
	d := asked(t, in, behind(policy(`{rules: [{from: [{source: {remoteIpBlocks: ["203.0.113.7"]}}]}]}`))...)
	if d.Verdict.Decision != envoy.Undetermined || len(d.DependsOn) != 1 || d.DependsOn[0].Hint == "" {
		t.Errorf("%+v %+v", d.Verdict, d.DependsOn)
	}
}
