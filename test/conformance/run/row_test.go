package run

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

const rowMesh = sidecarMesh + `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: edge}
spec: {template: {metadata: {labels: {app: gw}}, spec: {serviceAccountName: gw, containers: [{name: c}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: edge}
spec: {selector: {app: gw}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  selector: {app: gw}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: edge}
spec: {gateways: [gw], hosts: ["*"], http: [{route: [{destination: {host: httpbin.foo.svc.cluster.local, port: {number: 8000}}}]}]}
`

// What differs between istiod's own and what the first of two Envoys in a row runs is
// addresses, names, clusters, secrets, what Istio's own Envoy would do itself, and that
// each request has a connection of its own.
func TestChanges_ThatTheFirstOfTwoHopsGetsTheseAndNoOthers(t *testing.T) {
	prepareIstiod()
	docs, err := sharedJWKS()
	if err != nil {
		t.Fatal(err)
	}
	certs, err := newPKI()
	if err != nil {
		t.Fatal(err)
	}
	asked := frontOf(&judge.Case{Mesh: strings.Replace(rowMesh, "PRESENCE", "", 1), Target: "deploy/httpbin", Namespace: "foo", Port: 8080,
		Via: judge.Hop{Target: "deploy/gw", Namespace: "edge", Port: 8080}})
	var made []*generated
	for range 2 {
		g, err := generate(asked, docs)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, g)
	}
	before, after := made[0], made[1]
	cert, err := certs.server(after.identity)
	if err != nil {
		t.Fatal(err)
	}
	log, err := accessLog(t.TempDir(), "m0", directPeer)
	if err != nil {
		t.Fatal(err)
	}
	a := &adaptation{name: "m0", bind: netip.MustParseAddrPort("127.64.0.1:8080"), log: log, certificate: cert, root: certs.mesh.pem,
		next: "next-m0", nextRoutes: after.next.routes}
	if _, err := after.next.adapt(a, a.next, netip.MustParseAddrPort("127.64.1.1:8080")); err != nil {
		t.Fatal(err)
	}
	if err := a.listener(after.listener); err != nil {
		t.Fatal(err)
	}
	t.Run("the listener", func(t *testing.T) {
		expectChanges(t, before.listener, after.listener, a.changes, []string{
			"access_log: access log", "address: address", "name: name", manager + "access_log: access log", manager + "http_filters[]: filter of Istio's Envoy",
			manager + "rds: route", manager + "route_config: route",
		})
	})
	t.Run("the cluster", func(t *testing.T) {
		tls := "transport_socket_matches[].transport_socket.typed_config.common_tls_context."
		want := []string{
			"connect_timeout: a shorter wait for an application that does not speak TLS", "eds_cluster_config: address", "load_assignment.cluster_name: name", "load_assignment.endpoints[].lb_endpoints[].endpoint.address: address",
			"name: name", "type: address", "typed_extension_protocol_options: one request a connection, to find it in the log",
			tls + "alpn_protocols: protocols that a filter of Istio's Envoy would choose", tls + "combined_validation_context: secret",
			tls + "tls_certificate_sds_secret_configs: secret", tls + "tls_certificates: secret", tls + "validation_context: secret",
		}
		slices.Sort(want)
		if got := summary(after.next.changes); !slices.Equal(got, want) {
			t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		checkDifferences(t, differences("", before.next.cluster.ProtoReflect(), after.next.cluster.ProtoReflect()), after.next.changes)
		checkEndpoint(t, before.next.cluster, after.next.cluster)
	})
	t.Run("the routes", func(t *testing.T) {
		for name, rc := range before.next.routes {
			changed := after.next.routes[name]
			for _, d := range differences("", rc.ProtoReflect(), changed.ProtoReflect()) {
				if !strings.HasSuffix(d, ".route.cluster") {
					t.Errorf("%s differs", d)
				}
			}
		}
	})
}

// checkEndpoint holds the endpoint to istiod's: that it takes mTLS is not said by us.
func checkEndpoint(t *testing.T, before, after *clusterv3.Cluster) {
	t.Helper()
	want := before.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetMetadata()
	got := after.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetMetadata()
	if !proto.Equal(want, got) || !strings.Contains(got.String(), "tlsMode") {
		t.Errorf("the endpoint's metadata is %v, istiod's %v", got, want)
	}
}
