package istio

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const edge = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: foo, labels: {app: edge}}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}
`

const waypointed = `apiVersion: v1
kind: Namespace
metadata: {name: foo}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: foo, labels: {app: wp}}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo, labels: {istio.io/use-waypoint: wp}}
spec:
  clusterIP: 10.96.7.1
  selector: {app: httpbin}
  ports: [{name: http, port: 80}, {name: tcp, port: 9000}, {name: sniffed, port: 9001}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: foo, labels: {istio.io/use-waypoint: wp}}
spec: {hosts: [api.example.com], addresses: [240.0.0.7], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
`

// atEdge is the listener of a gateway of the Gateway API.
func atEdge(t *testing.T, gateway string, port int, docs ...string) *Result {
	t.Helper()
	s := snapshot(t, append([]string{gateway}, docs...)...)
	return translate(t, Input{Snapshot: s, Workload: workload(t, s, "gateway/edge", "foo"), Port: port})
}

// atWaypoint is the waypoint as it is for the Service or ServiceEntry of that name.
func atWaypoint(t *testing.T, name string, port int, docs ...string) *Result {
	t.Helper()
	s := snapshot(t, append([]string{waypointed}, docs...)...)
	w := workload(t, s, "gateway/wp", "foo")
	for _, f := range FrontedBy(s, "foo", "wp") {
		if f.Name == name {
			return translate(t, Input{Snapshot: s, Workload: w, Port: port, Service: &f})
		}
	}
	t.Fatalf("%s is not behind the waypoint", name)
	return nil
}

// istiod is a control plane with a variable in its environment.
func istiod(name, value string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}\nspec:\n" +
		"  template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: discovery, env: [{name: " + name + ", value: '" + value + "'}]}]}}\n"
}

// The table of section 1.2 of the semantics, a policy of each kind against each proxy.
func TestPoliciesReachProxiesByTheTableOfAttachment(t *testing.T) {
	const (
		gatewayRef  = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: %s}]"
		serviceRef  = "targetRefs: [{kind: Service, group: '', name: httpbin}]"
		coreRef     = "targetRef: {kind: Service, group: core, name: httpbin}"
		entryRef    = "targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: api}]"
		classRef    = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]"
		otherClass  = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio}]"
		nsRef       = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: %s, namespace: bar}]"
		ownNsRef    = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: %s, namespace: foo}]"
		twoRefs     = "targetRefs: [{kind: Service, group: '', name: x}, {group: gateway.networking.k8s.io, kind: Gateway, name: %s}]"
		noGroupRef  = "targetRefs: [{kind: Gateway, name: %s}]"
		refAndLabel = "selector: {matchLabels: {app: nobody}}, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: %s}]"
	)
	for _, c := range []struct {
		name, namespace, attach          string
		sidecar, gateway, service, entry bool
	}{
		{"nothing", "foo", "", true, true, false, false},
		{"nothing, in the root", "istio-system", "", true, true, false, false},
		{"its label", "foo", "selector: {matchLabels: {app: %s}}", true, true, false, false},
		{"another label", "foo", "selector: {matchLabels: {app: nobody}}", false, false, false, false},
		{"the Gateway", "foo", gatewayRef, false, true, true, true},
		{"the Gateway, from the root", "istio-system", gatewayRef, false, false, false, false},
		{"the Gateway, of another namespace", "foo", nsRef, false, false, false, false},
		{"the Gateway, with its namespace", "foo", ownNsRef, false, true, true, true},
		{"the Gateway, without its group", "foo", noGroupRef, false, false, false, false},
		{"one of two", "foo", twoRefs, false, true, true, true},
		{"a reference and a label that does not fit", "foo", refAndLabel, false, true, true, true},
		{"the Service", "foo", serviceRef, false, false, true, false},
		{"the Service of another namespace", "istio-system", serviceRef, false, false, false, false},
		{"the Service, spelled otherwise", "foo", coreRef, false, false, true, false},
		{"the ServiceEntry", "foo", entryRef, false, false, false, true},
		{"the class", "istio-system", classRef, false, false, true, true},
		{"the class, outside the root", "foo", classRef, false, false, false, false},
		{"another class", "istio-system", otherClass, false, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for proxy, want := range map[string]bool{"httpbin": c.sidecar, "edge": c.gateway, "wp": c.service, "api": c.entry} {
				name := proxy
				if proxy == "api" {
					name = "wp"
				}
				attach := strings.ReplaceAll(c.attach, "%s", name)
				if attach != "" {
					attach += ", "
				}
				p := authz(c.namespace, "p", "{"+attach+"action: DENY, rules: [{}]}")
				ra := object("security.istio.io/v1", "RequestAuthentication", c.namespace, "r", "{"+attach+"jwtRules: [{issuer: a, jwks: '{}'}]}")
				var res *Result
				switch proxy {
				case "httpbin":
					res = translated(t, p, ra)
				case "edge":
					res = atEdge(t, edge, 80, p, ra)
				case "wp":
					res = atWaypoint(t, "httpbin", 80, p, ra)
				default:
					res = atWaypoint(t, "api", 80, p, ra)
				}
				filters := res.Proxy.Chains[0].HTTP.Filters
				if got := len(filters) == 2; got != want || !got && len(filters) > 0 {
					t.Errorf("%s: %d filters, attached should be %t", proxy, len(filters), want)
				}
				for _, considered := range res.Considered {
					if considered.Attached != want || !want && considered.Why == "" {
						t.Errorf("%s: %+v", proxy, considered)
					}
				}
			}
		})
	}
}

func TestSelectorsAreNothingToGatewaysWhereIstiodIsToldSo(t *testing.T) {
	const flag = "ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY"
	for value, want := range map[string]string{"true": "[ns[foo]-policy[p]-rule[0]]", "false": "allowed", "bad": "[ns[foo]-policy[p]-rule[0]]"} {
		res := atEdge(t, edge, 80, policy(denyAll), istiod(flag, value))
		if got := answer(res.Proxy, get(), nil); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
		if i := assumed(res, flag); i == nil || (i.Source == "default") != (value == "bad") {
			t.Errorf("%s: assumed %+v", value, res.Assumed)
		}
	}
}

func assumed(res *Result, setting string) *Assumption {
	for i := range res.Assumed {
		if res.Assumed[i].Setting == setting {
			return &res.Assumed[i]
		}
	}
	return nil
}

func TestLayeredPoliciesDecideAtTheEndOfTheTunnel(t *testing.T) {
	client := as("cluster.local/ns/bar/sa/client")
	for _, c := range []struct{ name, layered, spec, want string }{
		{"they are off", "false", denyAll, "allowed"},
		{"unless istiod says nothing", "", denyAll, "allowed"},
		{"a policy of the namespace", "true", denyAll, "[ns[foo]-policy[p]-rule[0]]"},
		{"one that selects the waypoint", "true", "{selector: {matchLabels: {app: wp}}, action: DENY, rules: [{}]}", "[ns[foo]-policy[p]-rule[0]]"},
		{"one that selects the application", "true", "{selector: {matchLabels: {app: httpbin}}, action: DENY, rules: [{}]}", "allowed"},
		{"who calls", "true", "{action: DENY, rules: [{from: [{source: {namespaces: [bar]}}]}]}", "[ns[foo]-policy[p]-rule[0]]"},
		{"somebody else", "true", "{action: DENY, rules: [{from: [{source: {namespaces: [x]}}]}]}", "allowed"},
		{"HTTP in an ALLOW rule drops it", "true", "{rules: [{to: [{operation: {paths: [/]}}]}]}", none},
		{"HTTP in a DENY rule is cut out", "true", "{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}", "[ns[foo]-policy[p]-rule[0]]"},
		{"the port is HBONE's", "true", "{action: DENY, rules: [{to: [{operation: {ports: ['15008']}}]}]}", "[ns[foo]-policy[p]-rule[0]]"},
		{"not the Service's", "true", "{action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}", "allowed"},
		{"a policy for the Service stays behind", "true", "{targetRefs: [{kind: Service, group: '', name: httpbin}], action: DENY, rules: [{to: [{operation: {ports: ['15008']}}]}]}", "allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs := []string{policy(c.spec)}
			if c.layered != "" {
				docs = append(docs, istiod("ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES", c.layered))
			}
			r := get(client)
			r.Connection.LocalPort = 80
			if got := answer(atWaypoint(t, "httpbin", 80, docs...).Proxy, r, nil); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestALayeredPolicyIsToldOnceAndAsAttached(t *testing.T) {
	res := atWaypoint(t, "httpbin", 80, policy(denyAll), istiod("ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES", "true"))
	if len(res.Considered) != 1 || !res.Considered[0].Attached {
		t.Errorf("considered %+v", res.Considered)
	}
}

func TestAWaypointHasTheChainsOfThePortThatIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		port        int
		protocol    Protocol
		http, bytes int
	}{{80, ProtocolHTTP, 1, 0}, {9000, ProtocolTCP, 0, 1}, {9001, ProtocolAuto, 1, 1}, {53, ProtocolTCP, 0, 0}, {1, ProtocolTCP, 0, 0}} {
		res := atWaypoint(t, "httpbin", c.port)
		http, bytes := 0, 0
		for _, chain := range res.Proxy.Chains {
			if chain.HTTP != nil {
				http++
			} else {
				bytes++
			}
		}
		if http != c.http || bytes != c.bytes || res.Protocol != c.protocol || res.Proxy.Tunnel == nil || !res.TakesHBONE {
			t.Errorf("port %d: %d HTTP chains, %d of bytes, protocol %s", c.port, http, bytes, res.Protocol)
		}
	}
}

func TestABadKeySetOfOneServiceBreaksAllThatTheWaypointFronts(t *testing.T) {
	bad := object("security.istio.io/v1", "RequestAuthentication", "foo", "r", "{targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: api}], jwtRules: [{issuer: a, jwks: '{}'}]}")
	res := atWaypoint(t, "httpbin", 80, bad)
	if len(res.Proxy.JWTFilters()) != 1 || len(res.Considered) != 1 || res.Considered[0].Attached {
		t.Errorf("%d filters, considered %+v", len(res.Proxy.JWTFilters()), res.Considered)
	}
}

func TestAWaypointWithoutAServiceAndAnEastWestGatewayAreNotModelled(t *testing.T) {
	s := snapshot(t, waypointed)
	w := workload(t, s, "gateway/wp", "foo")
	eastWest := w
	eastWest.Labels = map[string]string{gatewayNameLabel: "wp", managedLabel: managedEastWest}
	for want, in := range map[string]Input{"a waypoint without": {Workload: w}, "east-west": {Workload: eastWest}} {
		in.Snapshot, in.Port = s, 80
		if _, err := Translate(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestAWaypointIsFoundByLabels(t *testing.T) {
	service := func(labels string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: bar, labels: {" + labels + "}}\nspec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}\n"
	}
	namespace := func(labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: bar, labels: {" + labels + "}}\n"
	}
	waypoint := func(namespace, labels, routes string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: " + namespace + ", labels: {" + labels + "}}\n" +
			"spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE" + routes + "}]}\n"
	}
	const use, useIn = "istio.io/use-waypoint: wp", "istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: infra"
	const all = ", allowedRoutes: {namespaces: {from: All}}"
	const some = ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: bar}}}}"
	const others = ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {x: z}}}}"
	for _, c := range []struct {
		name, service, namespace, waypoint string
		found                              bool
	}{
		{"on the Service", service(use), namespace(""), waypoint("bar", "", ""), true},
		{"on the Namespace", service(""), namespace(use), waypoint("bar", "", ""), true},
		{"nowhere", service(""), namespace(""), waypoint("bar", "", ""), false},
		{"none on the Service", service("istio.io/use-waypoint: none"), namespace(use), waypoint("bar", "", ""), false},
		{"another on the Service", service("istio.io/use-waypoint: x"), namespace(use), waypoint("bar", "", ""), false},
		{"for workloads", service(use), namespace(""), waypoint("bar", "istio.io/waypoint-for: workload", ""), false},
		{"for nothing", service(use), namespace(""), waypoint("bar", "istio.io/waypoint-for: none", ""), false},
		{"for all", service(use), namespace(""), waypoint("bar", "istio.io/waypoint-for: all", ""), true},
		{"in another namespace that does not let it", service(useIn), namespace(""), waypoint("infra", "", ""), false},
		{"in another namespace that lets all", service(useIn), namespace(""), waypoint("infra", "", all), true},
		{"in another namespace that lets this one", service(""), namespace(useIn), waypoint("infra", "", some), true},
		{"in another namespace that lets others", service(useIn), namespace(""), waypoint("infra", "", others), false},
		{"a waypoint's own Service", service(use + ", gateway.istio.io/managed: istio.io-mesh-controller"), namespace(""), waypoint("bar", "", ""), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, c.service, c.namespace, c.waypoint)
			gw, label := WaypointOf(s, s.Find(mesh.GroupCore, "Service", "bar", "web"))
			if (gw != nil) != c.found || c.found && label.Field == "" {
				t.Errorf("found %v, by %v", gw, label)
			}
		})
	}
}

func TestListenersOfTheGatewayAPIBecomeChains(t *testing.T) {
	gateway := func(listeners ...string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: foo}\nspec:\n  gatewayClassName: istio\n  listeners:\n  - {" +
			strings.Join(listeners, "}\n  - {") + "}\n"
	}
	route := func(kind, section, hosts string) string {
		return object("gateway.networking.k8s.io/v1", kind, "foo", strings.ToLower(kind)+section, "{parentRefs: [{name: edge, sectionName: "+section+"}]"+hosts+", rules: [{backendRefs: [{name: x, port: 1}]}]}")
	}
	const tls = ", tls: {mode: Terminate, certificateRefs: [{name: c}]}"
	for _, c := range []struct {
		name string
		docs []string
		port int
		want string // chains: server names, TLS, what they carry
	}{
		{"HTTP", []string{gateway("name: a, port: 80, protocol: HTTP")}, 80, "* plain HTTP"},
		{"HTTP for two hosts", []string{gateway("name: a, port: 80, protocol: HTTP, hostname: a.test", "name: b, port: 80, protocol: HTTP, hostname: b.test")}, 80, "* plain HTTP"},
		{"HTTPS", []string{gateway("name: a, port: 443, protocol: HTTPS" + tls)}, 443, "* TLS HTTP"},
		{"HTTPS for two hosts", []string{gateway("name: a, port: 443, protocol: HTTPS, hostname: a.test"+tls, "name: b, port: 443, protocol: HTTPS, hostname: '*.b.test'"+tls)}, 443, "a.test TLS HTTP; *.b.test TLS HTTP"},
		{"HTTPS with client certificates", []string{gateway("name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}], options: {gateway.istio.io/tls-terminate-mode: MUTUAL}}")}, 443, "* mTLS HTTP"},
		{"HTTPS twice for one host", []string{gateway("name: a, port: 443, protocol: HTTPS, hostname: a.test"+tls, "name: b, port: 443, protocol: TLS, hostname: a.test"+tls)}, 443, "a.test TLS HTTP"},
		{"HTTPS without certificates", []string{gateway("name: a, port: 443, protocol: HTTPS")}, 443, ""},
		{"an unknown protocol", []string{gateway("name: a, port: 443, protocol: SCTP")}, 443, ""},
		{"another port", []string{gateway("name: a, port: 80, protocol: HTTP")}, 81, ""},
		{"TCP without a route", []string{gateway("name: a, port: 90, protocol: TCP")}, 90, ""},
		{"TCP with a route", []string{gateway("name: a, port: 90, protocol: TCP"), route("TCPRoute", "a", "")}, 90, "* plain bytes"},
		{"TCP with a route for another listener", []string{gateway("name: a, port: 90, protocol: TCP"), route("TCPRoute", "b", "")}, 90, ""},
		{"passthrough", []string{gateway("name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}"), route("TLSRoute", "a", ", hostnames: [a.test, '*.b.test']")}, 443, "*.b.test plain bytes; a.test plain bytes"},
		{"passthrough for a narrower host", []string{gateway("name: a, port: 443, protocol: TLS, hostname: x.b.test, tls: {mode: Passthrough}"), route("TLSRoute", "a", ", hostnames: [a.test, '*.b.test']")}, 443, "x.b.test plain bytes"},
		{"passthrough without a route", []string{gateway("name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}")}, 443, ""},
		{"TLS that ends here", []string{gateway("name: a, port: 443, protocol: TLS, hostname: a.test" + tls), route("TLSRoute", "a", ", hostnames: [a.test]")}, 443, "a.test TLS bytes"},
		{"a route of another namespace", []string{gateway("name: a, port: 90, protocol: TCP"), strings.NewReplacer("namespace: foo", "namespace: bar", "{name: edge,", "{name: edge, namespace: foo,").Replace(route("TCPRoute", "a", ""))}, 90, ""},
		{"a route of another namespace that is let in", []string{gateway("name: a, port: 90, protocol: TCP, allowedRoutes: {namespaces: {from: All}}"), strings.NewReplacer("namespace: foo", "namespace: bar", "{name: edge,", "{name: edge, namespace: foo,").Replace(route("TCPRoute", "a", ""))}, 90, "* plain bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := atEdge(t, c.docs[0], c.port, c.docs[1:]...)
			var got []string
			for _, chain := range res.Proxy.Chains {
				got = append(got, chainInWords(chain))
			}
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
			if c.want != "" && strings.Contains(c.want, "TLS") != (res.Proxy.TLSInspector && strings.Contains(c.want, "TLS")) {
				t.Errorf("inspector %t", res.Proxy.TLSInspector)
			}
		})
	}
}

func chainInWords(c envoy.Chain) string {
	names, tls, carries := "*", "plain", "bytes"
	if len(c.Match.ServerNames) > 0 {
		names = strings.Join(c.Match.ServerNames, ",")
	}
	if c.TLS != nil {
		tls = "TLS"
		if c.TLS.RequireClientCertificate {
			tls = "mTLS"
		}
	}
	if c.HTTP != nil {
		carries = "HTTP"
		if !c.HTTP.UseRemoteAddress {
			carries = "HTTP of no gateway"
		}
	}
	return fmt.Sprintf("%s %s %s", names, tls, carries)
}

func TestAGatewaysServiceSaysWhichPortsLeadToItsListeners(t *testing.T) {
	service := func(name, ports string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: foo}\nspec: {selector: {gateway.networking.k8s.io/gateway-name: edge}, ports: [" + ports + "]}\n"
	}
	for _, c := range []struct {
		name, service string
		want          []int
	}{
		{"as istiod makes it", "", []int{80}},
		{"with another target port", service("edge-istio", "{name: a, port: 80, targetPort: 8080}"), []int{8080}},
		{"without the port", service("edge-istio", "{name: a, port: 81}"), nil},
		{"one that is not the gateway's", service("x", "{name: a, port: 80, targetPort: 8080}"), []int{80}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, edge, c.service)
			ports, err := Ports(s, workload(t, s, "gateway/edge", "foo"))
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, p := range ports {
				got = append(got, p.Number)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestRolesOfTheGatewayAPIAreToldByLabelsAndClasses(t *testing.T) {
	s := snapshot(t, edge, waypointed)
	for _, c := range []struct {
		labels string
		want   envoy.Role
	}{
		{"edge", envoy.RoleGateway}, {"wp", envoy.RoleWaypoint}, {"gone", envoy.RoleGateway},
		{"edge gateway.istio.io/managed=istio.io-mesh-controller", envoy.RoleWaypoint},
		{"wp gateway.istio.io/managed=istio.io-gateway-controller", envoy.RoleGateway},
		{"gone gateway.networking.k8s.io/gateway-class-name=istio-waypoint", envoy.RoleWaypoint},
	} {
		w := mesh.Workload{Namespace: "foo", Labels: map[string]string{}}
		for i, f := range strings.Fields(c.labels) {
			if i == 0 {
				w.Labels[gatewayNameLabel] = f
				continue
			}
			k, v, _ := strings.Cut(f, "=")
			w.Labels[k] = v
		}
		if got := RoleOf(s, w); got != c.want {
			t.Errorf("%s is a %s, want %s", c.labels, got, c.want)
		}
	}
}
