package istio

import (
	"strings"
	"testing"
)

// What nobody can tell from the objects is not settled: labels that istiod adds.
func TestAPolicyThatSelectsByPlaceMayReachTheProxy(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"the zone", "selector: {matchLabels: {app: httpbin, topology.kubernetes.io/zone: a}}, ", "undetermined"},
		{"the cluster", "selector: {matchLabels: {topology.istio.io/cluster: Kubernetes}}, ", "undetermined"},
		{"the zone of other pods", "selector: {matchLabels: {app: other, topology.kubernetes.io/zone: a}}, ", "allowed"},
		{"labels that the injector adds", "selector: {matchLabels: {service.istio.io/canonical-name: httpbin, security.istio.io/tlsMode: istio}}, ", "[ns[foo]-policy[p]-rule[0]]"},
		{"the revision that the injector reads off a label", "selector: {matchLabels: {service.istio.io/canonical-revision: v1}}, ", "[ns[foo]-policy[p]-rule[0]]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			deny := policy("{" + c.spec + "action: DENY, rules: [{}]}")
			if got := answer(translated(t, deny).Proxy, get(), nil); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	peers := "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: foo}\nspec: {selector: {matchLabels: {kubernetes.io/hostname: n}}, mtls: {mode: STRICT}}\n"
	if got := answer(translated(t, peers).Proxy, get(), nil); got != "undetermined" {
		t.Errorf("a PeerAuthentication by the node: %s", got)
	}
}

// The proxy's own ports are never redirected to it.
func TestPortsOfTheProxyItselfPassItBy(t *testing.T) {
	deny := policy("{action: DENY, rules: [{}]}")
	s := snapshot(t, httpbin, deny)
	w := workload(t, s, "deploy/httpbin", "foo")
	for _, c := range []struct {
		port        int
		annotations map[string]string
		want        string
	}{
		{15021, nil, BypassedByItself}, {15090, nil, BypassedByItself}, {15020, nil, BypassedByItself}, {15000, nil, ""}, {8080, nil, ""},
		{8080, map[string]string{annotationStatus: "8080"}, BypassedByItself}, {15020, map[string]string{annotationStatus: "8080"}, ""},
	} {
		w.Annotations = c.annotations
		res, err := Translate(Input{Snapshot: s, Workload: w, Port: c.port})
		if err != nil || res.Bypassed != c.want {
			t.Errorf("port %d with %v: %q %v", c.port, c.annotations, res.Bypassed, err)
		}
	}
}

// A part of the requests takes another waypoint, if there is one.
func TestACanaryWaypointLeavesItOpenWhoDecides(t *testing.T) {
	gateway := func(name string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: " + name + ", namespace: foo}\nspec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}"
	}
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: foo, labels: {istio.io/use-waypoint: wp, LABELS}, annotations: {istio.io/use-waypoint-canary-weight: 'WEIGHT'}}\nspec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}"
	for _, c := range []struct {
		labels, weight string
		open           bool
	}{
		{"istio.io/use-waypoint-canary: wp2", "10", true},
		{"istio.io/use-waypoint-canary: wp2", "0", false},
		{"istio.io/use-waypoint-canary: wp2", "101", false},
		{"istio.io/use-waypoint-canary: wp2", "x", false},
		{"istio.io/use-waypoint-canary: none", "10", false},
		{"istio.io/use-waypoint-canary: wp", "10", false},
		{"istio.io/use-waypoint-canary: wp3", "10", false},
		{"istio.io/use-waypoint-canary: wp2, istio.io/use-waypoint-canary-namespace: bar", "10", false},
	} {
		s := snapshot(t, gateway("wp"), gateway("wp2"), strings.NewReplacer("LABELS", c.labels, "WEIGHT", c.weight).Replace(service))
		fronted := FrontedBy(s, "foo", "wp")
		if len(fronted) != 1 {
			t.Fatalf("%d Services", len(fronted))
		}
		res, err := Translate(Input{Snapshot: s, Workload: workload(t, s, "gateway/wp", "foo"), Port: 80, Service: &fronted[0]})
		if err != nil || (len(res.Proxy.Changed) > 0) != c.open {
			t.Errorf("%v: %d doubts, %v", c, len(res.Proxy.Changed), err)
		}
	}
}

// Whether a class that was not read is one of Istio's is not known.
func TestAGatewayOfAClassThatWasNotReadIsNotSettled(t *testing.T) {
	const manual = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: istio-system}\nspec: {gatewayClassName: mine, addresses: [{type: Hostname, value: ingress}], listeners: [{name: a, port: 80, protocol: HTTP}]}"
	class := func(controller string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: mine}\nspec: {controllerName: " + controller + "}"
	}
	for _, c := range []struct {
		name   string
		docs   []string
		chains int
		doubts int
	}{
		{"not read", nil, 1, 1}, {"Istio's", []string{class("istio.io/gateway-controller")}, 1, 0}, {"somebody else's", []string{class("example.com/x")}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, append([]string{ingress, manual}, c.docs...)...)
			res, err := Translate(Input{Snapshot: s, Workload: workload(t, s, "deploy/ingress", "istio-system"), Port: 8080})
			if err != nil || len(res.Proxy.Chains) != c.chains || len(res.Proxy.Changed) != c.doubts {
				t.Errorf("%d chains, %d doubts, %v", len(res.Proxy.Chains), len(res.Proxy.Changed), err)
			}
		})
	}
}
