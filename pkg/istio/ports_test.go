package istio

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

func TestTheProtocolOfAPortIsReadFromItsName(t *testing.T) {
	for _, c := range []struct {
		port mesh.ServicePort
		want Protocol
	}{
		{mesh.ServicePort{Name: "http"}, ProtocolHTTP},
		{mesh.ServicePort{Name: "http-web"}, ProtocolHTTP},
		{mesh.ServicePort{Name: "HTTP-web"}, ProtocolHTTP},
		{mesh.ServicePort{Name: "http2"}, ProtocolHTTP},
		{mesh.ServicePort{Name: "grpc-x"}, ProtocolHTTP},
		{mesh.ServicePort{Name: "grpc-web-x"}, ProtocolHTTP},
		{mesh.ServicePort{Name: "https"}, ProtocolTCP},
		{mesh.ServicePort{Name: "tls-x"}, ProtocolTCP},
		{mesh.ServicePort{Name: "tcp"}, ProtocolTCP},
		{mesh.ServicePort{Name: "mongo"}, ProtocolTCP},
		{mesh.ServicePort{Name: "redis-x"}, ProtocolTCP},
		{mesh.ServicePort{Name: "httpx"}, ProtocolAuto},
		{mesh.ServicePort{Name: "web"}, ProtocolAuto},
		{mesh.ServicePort{}, ProtocolAuto},
		{mesh.ServicePort{Port: 3306}, ProtocolTCP},
		{mesh.ServicePort{Name: "http", Port: 3306}, ProtocolHTTP},
		{mesh.ServicePort{Name: "tcp", AppProtocol: "http"}, ProtocolHTTP},
		{mesh.ServicePort{Name: "http", AppProtocol: "tcp"}, ProtocolTCP},
		{mesh.ServicePort{AppProtocol: "kubernetes.io/h2c"}, ProtocolHTTP},
		{mesh.ServicePort{AppProtocol: "kubernetes.io/ws"}, ProtocolHTTP},
		{mesh.ServicePort{AppProtocol: "kubernetes.io/wss"}, ProtocolTCP},
		{mesh.ServicePort{Name: "http", Protocol: "UDP"}, ProtocolTCP},
	} {
		if got := portProtocol(c.port); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.port, got, c.want)
		}
	}
}

const moreServices = `apiVersion: v1
kind: Service
metadata: {name: admin, namespace: foo, creationTimestamp: "2025-01-01T00:00:00Z"}
spec:
  selector: {app: httpbin}
  ports:
  - {name: tcp, port: 9000, targetPort: 8080}
  - {name: http-metrics, port: 9090, targetPort: 9090}
  - {name: dns, port: 53, targetPort: 5353, protocol: UDP}
  - {name: named, port: 81, targetPort: nowhere}
---
apiVersion: v1
kind: Service
metadata: {name: another, namespace: foo}
spec:
  selector: {app: other}
  ports: [{name: http, port: 70, targetPort: 7070}]
`

func TestTheOlderServiceDecidesOnAPort(t *testing.T) {
	old := strings.Replace(httpbin, "{name: httpbin, namespace: foo}\nspec:\n  selector: {app", "{name: httpbin, namespace: foo, creationTimestamp: \"2024-01-01T00:00:00Z\"}\nspec:\n  selector: {app", 1)
	s := snapshot(t, old, moreServices)
	w := workload(t, s, "deploy/httpbin", "foo")
	ports, err := Ports(s, w)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range ports {
		var names []string
		for _, sp := range p.Services {
			names = append(names, fmt.Sprintf("%s:%d/%s", sp.Service, sp.Port, sp.Name))
		}
		got = append(got, fmt.Sprintf("%d %s %s", p.Number, p.Protocol, strings.Join(names, " ")))
	}
	want := "8080 HTTP admin:9000/tcp httpbin:8000/http; 9090 HTTP admin:9090/http-metrics"
	if strings.Join(got, "; ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "; "), want)
	}
	if res := translate(t, Input{Snapshot: s, Workload: w, Port: 8080}); res.Protocol != ProtocolHTTP {
		t.Errorf("port 8080 is %s", res.Protocol)
	}
}

func TestAPortThatNoServiceNamesIsSniffed(t *testing.T) {
	s := snapshot(t, httpbin)
	res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 1234})
	if res.Protocol != ProtocolAuto || len(res.Proxy.Chains) != 5 {
		t.Errorf("%s with %d chains", res.Protocol, len(res.Proxy.Chains))
	}
	if got := answer(res.Proxy, get(), nil); got != "allowed" {
		t.Errorf("plaintext HTTP: %s", got)
	}
}

func TestChainsFollowFromProtocolAndMode(t *testing.T) {
	for _, c := range []struct {
		protocol Protocol
		mode     mtlsMode
		want     string
	}{
		{ProtocolHTTP, mtlsPermissive, "tls+alpn http mtls, raw http"},
		{ProtocolHTTP, mtlsStrict, "tls http mtls"},
		{ProtocolHTTP, mtlsDisable, "raw http"},
		{ProtocolTCP, mtlsPermissive, "tls+alpn tcp mtls, tls tcp, raw tcp"},
		{ProtocolTCP, mtlsStrict, "tls tcp mtls"},
		{ProtocolTCP, mtlsDisable, "raw tcp"},
		{ProtocolAuto, mtlsPermissive, "tls+alpn http mtls, raw+alpn http, tls+alpn tcp mtls, raw tcp, tls tcp"},
		{ProtocolAuto, mtlsStrict, "tls+alpn http mtls, tls tcp mtls"},
		{ProtocolAuto, mtlsDisable, "raw+alpn http, raw tcp"},
	} {
		var got []string
		for _, k := range chainKinds(c.protocol, c.mode) {
			text := map[string]string{transportTLS: "tls", transportRaw: "raw"}[k.transport]
			if k.alpn != nil {
				text += "+alpn"
			}
			text += map[bool]string{true: " http", false: " tcp"}[k.http]
			if k.tls {
				text += " mtls"
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s %v: got %q, want %q", c.protocol, c.mode, strings.Join(got, ", "), c.want)
		}
	}
}

func TestTheRoleIsReadFromThePods(t *testing.T) {
	pod := func(labels, annotations, spec string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: foo}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n" +
			"    metadata: {labels: {a: b" + labels + "}, annotations: {" + annotations + "}}\n    spec: {" + spec + "}\n"
	}
	ns := func(labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo, labels: {" + labels + "}}\n"
	}
	const app, sidecar = "containers: [{name: app, image: x}]", "containers: [{name: app, image: x}, {name: istio-proxy, image: proxy}]"
	injected := ns("istio-injection: enabled")
	for _, c := range []struct {
		name string
		docs []string
		want envoy.Role
	}{
		{"a template that will be injected", []string{injected, pod("", "", app)}, envoy.RoleSidecar},
		{"a template of a namespace that nobody read", []string{pod("", "", app)}, envoy.RoleSidecar},
		{"one that will not be", []string{ns("x: z"), pod("", "", app)}, envoy.RoleNone},
		{"one that does not want to be", []string{injected, pod(", sidecar.istio.io/inject: \"false\"", "", app)}, envoy.RoleNone},
		{"one with hostNetwork", []string{injected, pod("", "", "hostNetwork: true, "+app)}, envoy.RoleNone},
		{"one with a proxy", []string{ns("x: z"), pod("", "", sidecar)}, envoy.RoleSidecar},
		{"a proxy that is a router", []string{ns("x: z"), pod("", "", "containers: [{name: istio-proxy, image: proxy, args: [proxy, router]}]")}, envoy.RoleGateway},
		{"a gateway by its template", []string{injected, pod("", "inject.istio.io/templates: gateway", "containers: [{name: istio-proxy, image: auto}]")}, envoy.RoleGateway},
		{"a gateway by its label", []string{injected, pod(", istio: egressgateway", "", sidecar)}, envoy.RoleGateway},
		{"a proxy alone that a Gateway selects", []string{ns("x: z"), pod("", "", "containers: [{name: istio-proxy, image: proxy}]"),
			object("networking.istio.io/v1", "Gateway", "bar", "g", "{selector: {a: b}, servers: []}")}, envoy.RoleGateway},
		{"a proxy beside an application that a Gateway selects", []string{ns("x: z"), pod("", "", sidecar),
			object("networking.istio.io/v1", "Gateway", "bar", "g", "{selector: {a: b}, servers: []}")}, envoy.RoleSidecar},
		{"a gateway of the Gateway API", []string{injected, pod(", gateway.networking.k8s.io/gateway-name: g", "", app)}, envoy.RoleGateway},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, c.docs...)
			if got := RoleOf(s, workload(t, s, "deploy/d", "foo")); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
