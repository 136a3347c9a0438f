package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
)

// searchedMesh has a classic gateway and one of the Gateway API, each in front of a
// Service in a namespace of its own, and policies at both ends.
const searchedMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: routes}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: cluster.local"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: istio-system, uid: g}
spec:
  selector: {matchLabels: {app: gw}}
  template:
    metadata: {labels: {app: gw, istio: ingressgateway}}
    spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, router]}]}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec: {selector: {app: gw, istio: ingressgateway}, ports: [{name: http, port: 80, targetPort: 8080}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.7}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: routes}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com", "shop.example"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: routes}
spec:
  hosts: [api.example.com, shop.example]
  gateways: [web]
  http: [{route: [{destination: {host: orders.shop.svc.cluster.local, port: {number: 8000}}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {clusterIP: 10.9.0.1, selector: {app: orders}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop, uid: o}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec: {containers: [{name: orders, image: example.com/orders, ports: [{containerPort: 8080}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-gateway, namespace: istio-system}
spec: {selector: {matchLabels: {istio: ingressgateway}}, action: DENY, rules: [{to: [{operation: {paths: [/gateway]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-orders, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/orders]}}]}]}
`

// Whatever the host is, a cluster gives the answer of its manifests.
func TestTheHostFindsTheGatewayOnALiveClusterToo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(file, []byte(searchedMesh), 0o600); err != nil {
		t.Fatal(err)
	}
	s, config := live(t, searchedMesh, apiserver.Core, apiserver.Istio, apiserver.GatewayAPI)
	for _, tt := range []struct {
		url  string
		code int
	}{
		{"http://api.example.com/gateway", 1},
		{"http://api.example.com/orders", 1},
		{"http://api.example.com/", 0},
		{"http://shop.example/orders", 1}, // which could be a Service of the namespace "example"
		{"http://orders.shop:8000/orders", 1},
		{"http://orders.shop.svc.cluster.local:8000/", 0},
		{"http://10.9.0.1:8000/orders", 1},
		{"http://203.0.113.7/gateway", 2}, // no route for that host, as from files
		{"http://nobody.example.org/", 2},
	} {
		t.Run(tt.url, func(t *testing.T) {
			s.Heal()
			code, got, stderr := ask(t, config, "--url", tt.url, "--plaintext")
			fileCode, fromFile, fileErr := ask(t, "-f", file, "-n", "foo", "--url", tt.url, "--plaintext")
			if code != tt.code || fileCode != tt.code {
				t.Fatalf("exit %d live, %d from files, want %d\n%s\n%s", code, fileCode, tt.code, stderr, fileErr)
			}
			got.Target.Context, got.Fixes, fromFile.Fixes = "", nil, nil
			if a, b := mustJSON(t, got), mustJSON(t, fromFile); a != b {
				t.Errorf("live\n%s\nfrom files\n%s\n%s", a, b, strings.Join(s.Requests(), "\n"))
			}
			if code == 2 && stderr != fileErr {
				t.Errorf("live\n%s\nfrom files\n%s", stderr, fileErr)
			}
		})
	}
}

func TestASearchThatMayNotLookSaysWhichRightIsLacking(t *testing.T) {
	s, config := live(t, searchedMesh, apiserver.Core, apiserver.Istio, apiserver.GatewayAPI)
	s.Fail("gateways.networking.istio.io", apiserver.Forbidden)
	code, stdout, stderr := captured(t, "", nil, "why", config, "--url", "http://api.example.com/", "--evidence", "objects")
	if code != exitUnknown || stdout != "" || !strings.Contains(stderr, "hint: ask for: list gateways.networking.istio.io in all namespaces") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestNothingIsAskedTwiceWhereAListHasAnswered(t *testing.T) {
	s, config := live(t, searchedMesh, apiserver.Core, apiserver.Istio, apiserver.GatewayAPI)
	if code, _, stderr := ask(t, config, "--url", "http://api.example.com/", "--plaintext"); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	seen := map[string]bool{}
	for _, r := range s.Requests() {
		if seen[r] || strings.Contains(r, "deployments/") || strings.HasSuffix(strings.Split(r, "?")[0], "/services") && strings.Contains(r, "namespaces") {
			t.Errorf("asked once more: %s", r)
		}
		seen[r] = true
	}
}

// The Service of a gateway may select its pods by other labels than the Gateway does.
func TestAGatewayIsFoundByItsPodsWhereItsServiceDoesNotTell(t *testing.T) {
	pod := `---
apiVersion: v1
kind: Pod
metadata: {name: gw-1, namespace: istio-system, labels: {app: gw, istio: ingressgateway}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: gw-1a, uid: gr}]}
spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, router]}]}
status: {phase: Running, podIP: 10.0.0.9}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: gw-1a, namespace: istio-system, uid: gr, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: gw, uid: g}]}
spec: {selector: {matchLabels: {app: gw}}}
`
	manifests := strings.Replace(searchedMesh, "selector: {app: gw, istio: ingressgateway}", "selector: {app: gw}", 1) + pod
	_, config := live(t, manifests, apiserver.Core, apiserver.Istio, apiserver.GatewayAPI)
	for path, want := range map[string]int{"/gateway": 1, "/orders": 1, "/": 0} {
		if code, d, stderr := ask(t, config, "--url", "http://api.example.com"+path, "--plaintext"); code != want || len(d.Hops)+len(d.NotReached) != 2 {
			t.Errorf("%s: exit %d, %d hops\n%s", path, code, len(d.Hops), stderr)
		}
	}
}
