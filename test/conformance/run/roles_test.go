package run

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

const apiMesh = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: foo, labels: {team: a}}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
  - {name: a, port: 8443, protocol: HTTPS, hostname: a.example.com, tls: {mode: Terminate, certificateRefs: [{name: a}]}}
  - {name: b, port: 8443, protocol: HTTPS, hostname: b.example.com,
     tls: {mode: Terminate, certificateRefs: [{name: b}], options: {gateway.istio.io/tls-terminate-mode: MUTUAL}}}
  - {name: c, port: 8443, protocol: TLS, hostname: c.example.com, tls: {mode: Passthrough}}
  - {name: tcp, port: 9000, protocol: TCP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: c, namespace: foo}
spec: {parentRefs: [{name: edge, sectionName: c}], hostnames: [c.example.com], rules: [{backendRefs: [{name: httpbin, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: tcp, namespace: foo}
spec: {parentRefs: [{name: edge, sectionName: tcp}], rules: [{backendRefs: [{name: httpbin, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {clusterIP: 10.96.0.9, selector: {app: httpbin}, ports: [{name: http, port: 80}]}
`

const waypointMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: foo}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: foo}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo, labels: {istio.io/use-waypoint: wp}}
spec:
  clusterIP: 10.96.7.1
  selector: {app: httpbin}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}, {name: auto, port: 9001}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: foo, labels: {istio.io/use-waypoint: wp}}
spec: {hosts: [api.example.com], addresses: [240.0.0.7], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, location: MESH_EXTERNAL, endpoints: [{address: 10.1.1.1}]}
`

const denyAdmin = "{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]%s}"

// rule is an AuthorizationPolicy of namespace foo named by its number.
func rule(namespace, name, spec string) string {
	return "\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: " + spec + "\n"
}

type roleCase struct {
	name   string
	mesh   string
	target string
	port   int
	req    judge.Request
	want   judge.Answer
}

func mtls(req judge.Request) judge.Request {
	req.Client.Transport = "mtls"
	if req.Client.URISANs == nil {
		req.Client.URISANs = []string{"spiffe://cluster.local/ns/bar/sa/client"}
	}
	return req
}

func get(path string) judge.Request {
	return judge.Request{Method: "GET", Host: "httpbin.foo.svc.cluster.local", Path: path}
}

// layered is an istiod that has waypoints heed policies with a selector.
const layered = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec: {containers: [{name: discovery, env: [{name: ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES, value: 'true'}]}]}
`

const deniedBy = "rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[0]]"

func TestRoles_ThatGatewaysAndWaypointsAnswer(t *testing.T) {
	allowed, denied := judge.Answer{Status: 200, Details: "via_upstream"}, judge.Answer{Status: 403, Details: deniedBy}
	deny := func(rest string) string {
		return "---" + rule("foo", "p", strings.Replace(denyAdmin, "%s", rest, 1))
	}
	identity := func(rest string) string {
		return "---" + rule("foo", "p", "{action: DENY, rules: [{from: [{source: {namespaces: [bar]}}]}]"+rest+"}")
	}
	const toGateway = ", targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]"
	const toService = ", targetRefs: [{kind: Service, group: '', name: httpbin}]"
	second := mtls(get("/admin"))
	second.HTTP2 = true
	for _, c := range []roleCase{
		{"a gateway lets pass", apiMesh, "gateway/edge", 8080, get("/"), allowed},
		{"a gateway denies by a targetRef", apiMesh + deny(toGateway), "gateway/edge", 8080, get("/admin"), denied},
		{"a gateway denies by a label of the Gateway", apiMesh + deny(", selector: {matchLabels: {team: a}}"), "gateway/edge", 8080, get("/admin"), denied},
		{"a gateway with TLS", apiMesh + deny(""), "gateway/edge", 8443, judge.Request{Method: "GET", Host: "a", Path: "/admin", Client: judge.Client{Transport: "tls", SNI: "a.example.com"}}, denied},
		{"bytes of a gateway", apiMesh + deny(""), "gateway/edge", 9000, get("/admin"), judge.Answer{Closed: true, Details: deniedBy}},
		{"a waypoint lets pass", waypointMesh, "svc/httpbin", 80, mtls(get("/")), allowed},
		{"a waypoint denies by a targetRef", waypointMesh + deny(toService), "svc/httpbin", 80, mtls(get("/admin")), denied},
		{"a waypoint denies over HTTP/2", waypointMesh + deny(toService), "svc/httpbin", 80, second, denied},
		{"a waypoint heeds no selector", waypointMesh + deny(""), "svc/httpbin", 80, mtls(get("/admin")), allowed},
		{"a waypoint knows who calls", waypointMesh + identity(toService), "svc/httpbin", 80, mtls(get("/")), denied},
		{"a waypoint with bytes", waypointMesh + identity(toService), "svc/httpbin", 9000, mtls(get("/")), judge.Answer{Closed: true, Details: deniedBy}},
		{"a waypoint that sniffs", waypointMesh + deny(toService), "svc/httpbin", 9001, mtls(get("/admin")), denied},
		{"a waypoint has no address of the client", waypointMesh + "---" + rule("foo", "p", "{action: DENY, rules: [{from: [{source: {ipBlocks: [127.0.0.0/8]}}]}]"+toService+"}"), "svc/httpbin", 80, mtls(get("/")), allowed},
		{"a waypoint sees the port of the Service", waypointMesh + "---" + rule("foo", "p", "{action: DENY, rules: [{to: [{operation: {ports: ['80']}}], when: [{key: destination.ip, values: [10.96.7.1]}]}]"+toService+"}"), "svc/httpbin", 80, mtls(get("/")), denied},
		{"layered policies", waypointMesh + layered + identity(""), "svc/httpbin", 80, mtls(get("/")), judge.Answer{Closed: true, Details: deniedBy}},
		{"layered policies know no HTTP", waypointMesh + layered + "---" + rule("foo", "p", "{rules: [{to: [{operation: {paths: [/]}}]}]}"), "svc/httpbin", 80, mtls(get("/")), judge.Answer{Closed: true, Details: "rbac_access_denied_matched_policy[none]"}},
		{"a policy for the Gateway of a waypoint", waypointMesh + deny(", targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: wp}]"), "svc/httpbin", 80, mtls(get("/admin")), denied},
		{"a policy for the class of a waypoint", waypointMesh + "---" + rule("istio-system", "p", strings.Replace(denyAdmin, "%s", ", targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]", 1)), "svc/httpbin", 80, mtls(get("/admin")), judge.Answer{Status: 403, Details: strings.Replace(deniedBy, "foo", "istio-system", 1)}},
		{"a policy for a ServiceEntry", waypointMesh + deny(", targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}]"), "gateway/wp", 80, mtls(judge.Request{Method: "GET", Host: "api.example.com", Path: "/admin"}), denied},
		{"selectors switched off for gateways", apiMesh + strings.Replace(layered, "ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES, value: 'true'", "ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY, value: 'false'", 1) + deny(""), "gateway/edge", 8080, get("/admin"), allowed},
		{"a waypoint takes no plaintext", waypointMesh, "svc/httpbin", 80, get("/"), judge.Answer{Closed: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := judge.Case{Name: c.name, Mesh: c.mesh, Target: c.target, Namespace: "foo", Port: c.port, Request: c.req}
			answers, minted := ask(t, []judge.Case{asked}, Options{})
			got := judge.Answer{Closed: answers[0].Closed, Status: answers[0].Status, Details: answers[0].Details}
			if got != c.want || answers[0].Refused != "" {
				t.Errorf("got %+v, refused %q, want %+v", got, answers[0].Refused, c.want)
			}
			if asked.Target == "svc/httpbin" && c.req.Client.Transport == "" {
				asked.Target = "gateway/wp" // such a client of the Service goes past the waypoint
			}
			if p, err := judge.Predict(asked, minted[0]); err != nil {
				t.Error(err)
			} else if diff := judge.Compare(p, answers[0]); len(diff) > 0 {
				t.Errorf("the evaluator differs: %s", strings.Join(diff, "; "))
			}
			if c.target == "svc/httpbin" && !strings.HasPrefix(minted[0].Destination, "10.96.7.1:") {
				t.Errorf("the request went to %s", minted[0].Destination)
			}
		})
	}
}
