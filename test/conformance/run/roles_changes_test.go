package run

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// expectChanges holds what was changed, and what differs, against a list.
func expectChanges(t *testing.T, before, after *listenerv3.Listener, changes []change, want []string) {
	t.Helper()
	if got := summary(changes); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	withoutIstio(t, before)
	checkDifferences(t, differences("", before.ProtoReflect(), after.ProtoReflect()), changes)
}

func TestChanges_ThatAGatewayOfTheGatewayAPIGetsThoseOfAGateway(t *testing.T) {
	everywhere := []string{"address: address", "name: name"}
	http := []string{manager + "access_log: access log", manager + "rds: route", manager + "route_config: route"}
	secrets := []string{
		tlsPart + "combined_validation_context: secret", tlsPart + "tls_certificate_sds_secret_configs: secret",
		tlsPart + "tls_certificates: secret", tlsPart + "validation_context: secret",
	}
	bytes := []string{manager + "access_log: access log", manager + "cluster: cluster"}
	for name, c := range map[string]struct {
		port int
		want []string
	}{
		"without TLS": {8080, http}, "with TLS": {8443, slices.Concat(http, secrets, []string{manager + "cluster: cluster"})}, "with bytes": {9000, bytes},
	} {
		t.Run(name, func(t *testing.T) {
			asked := judge.Case{Mesh: apiMesh, Target: "gateway/edge", Namespace: "foo", Port: c.port}
			before, after, changes := adapted(t, asked, asked)
			expectChanges(t, before, after, changes, append(c.want, everywhere...))
			checkNamesStay(t, before, after)
		})
	}
}

func TestChanges_ThatTheListenersOfAWaypointGetTheseAndNoOthers(t *testing.T) {
	prepareIstiod()
	docs, err := sharedJWKS()
	if err != nil {
		t.Fatal(err)
	}
	certs, err := newPKI()
	if err != nil {
		t.Fatal(err)
	}
	asked := judge.Case{Mesh: waypointMesh + layered, Target: "svc/httpbin", Namespace: "foo", Port: 80}
	var made []*generated
	for range 2 {
		g, err := generate(&asked, docs)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, g)
	}
	cert, err := certs.server(made[1].identity)
	if err != nil {
		t.Fatal(err)
	}
	before, after := made[0], made[1]
	a := &adaptation{name: "m0", bind: netip.MustParseAddrPort("127.64.0.1:15008"), certificate: cert, root: certs.mesh.pem, clusters: after.clusters, jwks: "jwks-m0"}
	if err := after.tunnel.adapt(a, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := a.listener(after.listener); err != nil {
		t.Fatal(err)
	}
	t.Run("the one that takes HBONE", func(t *testing.T) {
		expectChanges(t, before.listener, after.listener, a.changes, []string{
			"address: address", "name: name", manager + "access_log: access log",
			manager + "http_filters[]: filter of Istio's Envoy",
			manager + "route_config.virtual_hosts[].routes[].route.cluster: name of the internal listener",
			filter + "on_request_headers[].factory_key: object of Istio's Envoy",
			tlsPart + "combined_validation_context: secret", tlsPart + "tls_certificate_sds_secret_configs: secret",
			tlsPart + "tls_certificates: secret", tlsPart + "validation_context: secret",
		})
		checkNamesStay(t, before.listener, after.listener)
	})
	t.Run("the internal one", func(t *testing.T) {
		expectChanges(t, before.tunnel.listener, after.tunnel.listener, a.innerChanges, []string{
			"name: name", manager + "access_log: access log", manager + "cluster: cluster",
			manager + "http_filters[]: filter of Istio's Envoy",
			manager + "route_config.virtual_hosts[].routes[].route.cluster: cluster",
		})
	})
	cluster := after.tunnel.cluster
	if cluster["name"] != "m0-main" || !strings.Contains(strings.ToLower(toJSON(t, cluster)), "internal_upstream") {
		t.Errorf("the way there is %v", cluster)
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
