package istio

import (
	"strings"
	"testing"
)

func TestSidecarsAndServiceEntriesSayWhatAPortCarries(t *testing.T) {
	sidecar := func(namespace, name, spec string) string {
		return object("networking.istio.io/v1", "Sidecar", namespace, name, spec)
	}
	entry := func(spec string) string {
		return object("networking.istio.io/v1", "ServiceEntry", "foo", "e", "{hosts: [e.test], resolution: STATIC, "+spec+"}")
	}
	const listener = "ingress: [{port: {number: 8080, protocol: TCP, name: a}}]"
	const own = "workloadSelector: {labels: {app: httpbin}}"
	for _, c := range []struct {
		name string
		docs []string
		want Protocol
	}{
		{"a Service", nil, ProtocolHTTP},
		{"a Sidecar that selects", []string{sidecar("foo", "s", "{"+own+", "+listener+"}")}, ProtocolTCP},
		{"a Sidecar of the namespace", []string{sidecar("foo", "s", "{"+listener+"}")}, ProtocolTCP},
		{"a Sidecar of the root namespace", []string{sidecar("istio-system", "s", "{"+listener+"}")}, ProtocolTCP},
		{"a Sidecar of somebody else", []string{sidecar("foo", "s", "{workloadSelector: {labels: {app: x}}, "+listener+"}")}, ProtocolHTTP},
		{"one that selects wins", []string{sidecar("foo", "a", "{"+listener+"}"), sidecar("foo", "b", "{"+own+"}")}, ProtocolHTTP},
		{"a Sidecar for another port", []string{sidecar("foo", "s", "{ingress: [{port: {number: 9090, protocol: HTTP, name: a}}]}")}, ProtocolAuto},
		{"the same where istiod merges", []string{sidecar("foo", "s", "{ingress: [{port: {number: 9090, protocol: HTTP, name: a}}]}"), istiod(envIngressMerge, "true")}, ProtocolHTTP},
		{"an older ServiceEntry", []string{strings.Replace(entry(own+", ports: [{number: 80, targetPort: 8080, name: a, protocol: TCP}]"), "namespace: foo}", `namespace: foo, creationTimestamp: "2020-01-01T00:00:00Z"}`, 1)}, ProtocolTCP},
		{"a ServiceEntry for another port", []string{entry(own + ", ports: [{number: 9090, name: a, protocol: TCP}]")}, ProtocolHTTP},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := translated(t, c.docs...).Protocol; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestWithoutRedirectionOnlyPortsOfASidecarAreTheProxys(t *testing.T) {
	annotated := strings.Replace(httpbin, "labels: {app: httpbin, version: v1}}", "labels: {app: httpbin, version: v1}, annotations: {sidecar.istio.io/interceptionMode: NONE}}", 1)
	sidecar := object("networking.istio.io/v1", "Sidecar", "foo", "s", "{ingress: [{port: {number: 8080, protocol: HTTP, name: a}}]}")
	deny := policy("{rules: [{to: [{operation: {methods: [POST]}}]}]}")
	for _, c := range []struct {
		name, want, bypassed string
		docs                 []string
	}{
		{"by annotation", "allowed", annotationInterceptor, []string{annotated, deny}},
		{"by the mesh configuration", "allowed", BypassedBySetting, []string{httpbin, deny, meshConfig("defaultConfig: {interceptionMode: NONE}")}},
		{"with a Sidecar", "[none]", "", []string{annotated, deny, sidecar}},
	} {
		s := snapshot(t, c.docs...)
		res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080})
		if got := answer(res.Proxy, get(), nil); got != c.want || res.Bypassed != c.bypassed {
			t.Errorf("%s: %s, bypassed by %q", c.name, got, res.Bypassed)
		}
	}
}

func TestPortsAreThoseOfServicesAndOfTheSidecar(t *testing.T) {
	s := snapshot(t, httpbin, object("networking.istio.io/v1", "Sidecar", "foo", "s", "{ingress: [{port: {number: 9090, protocol: HTTP, name: a}}]}"),
		object("v1", "Service", "foo", "dns", "{selector: {app: httpbin}, ports: [{name: dns, port: 53, protocol: UDP}]}"))
	ports, err := Ports(s, workload(t, s, "deploy/httpbin", "foo"))
	if err != nil {
		t.Fatal(err)
	}
	if len(ports) != 2 || ports[0].Number != 8080 || ports[0].Protocol != ProtocolAuto || len(ports[0].Services) != 1 || ports[1].Number != 9090 || ports[1].Protocol != ProtocolHTTP {
		t.Errorf("got %+v", ports)
	}
}
