package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
)

const waypointMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: wp}}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: foo}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio-waypoint}
spec: {controllerName: istio.io/mesh-controller}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: wp, namespace: foo, uid: w, labels: {gateway.networking.k8s.io/gateway-name: wp}}
spec:
  selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: wp}}
  template:
    metadata: {labels: {gateway.networking.k8s.io/gateway-name: wp, gateway.istio.io/managed: istio.io-mesh-controller}}
    spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, waypoint]}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: wp-1-a
  namespace: foo
  labels: {gateway.networking.k8s.io/gateway-name: wp, gateway.istio.io/managed: istio.io-mesh-controller, pod-template-hash: "1"}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: wp-1, uid: wr}]
spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, waypoint]}]}
status: {phase: Running, podIP: 10.0.0.9}
---
apiVersion: v1
kind: Pod
metadata: {name: httpbin, namespace: foo, labels: {app: httpbin}, annotations: {ambient.istio.io/redirection: enabled}}
spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {clusterIP: 10.9.0.1, selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-waypoint, namespace: foo}
spec: {targetRefs: [{kind: Service, group: "", name: httpbin}], action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: foo}
spec: {mtls: {mode: STRICT}}
`

const gatewayMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: web}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "rootNamespace: istio-config\nextensionProviders: [{name: oauth2, envoyExtAuthzHttp: {service: oauth2.web.svc.cluster.local, port: 80}}]"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: istio-system, uid: g}
spec:
  selector: {matchLabels: {app: gw}}
  template:
    metadata: {labels: {app: gw}}
    spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}]}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec: {selector: {app: gw}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: oauth2, namespace: web}
spec: {selector: {app: oauth2}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: web}
spec: {selector: {app: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: root, namespace: istio-config}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/root]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: oauth2}, rules: [{to: [{operation: {paths: [/ask]}}]}]}
`

// What is read of a cluster is enough for every role: the answer is that of all the
// manifests, and nothing is said to be missing.
func TestWhatIsReadIsEnoughForEachRole(t *testing.T) {
	for _, tt := range []struct {
		name, mesh string
		resources  [][]apiserver.Resource
		args       []string
		paths      map[string]int
	}{
		{"waypoint of a Service", waypointMesh, [][]apiserver.Resource{apiserver.Core, apiserver.Istio, apiserver.GatewayAPI},
			[]string{"svc/httpbin", "-n", "foo", "--from-principal", "cluster.local/ns/foo/sa/sleep"}, map[string]int{"/x": 1, "/": 0}},
		{"waypoint by its Gateway", waypointMesh, [][]apiserver.Resource{apiserver.Core, apiserver.Istio, apiserver.GatewayAPI},
			[]string{"gateway/wp", "-n", "foo", "--from-principal", "cluster.local/ns/foo/sa/sleep"}, map[string]int{"/x": 1, "/": 0}},
		{"ztunnel", waypointMesh, [][]apiserver.Resource{apiserver.Core, apiserver.Istio, apiserver.GatewayAPI},
			[]string{"pod/httpbin", "-n", "foo", "--plaintext"}, map[string]int{"/x": 1}},
		{"gateway that only a Gateway tells, another root namespace, an authorizer", gatewayMesh, [][]apiserver.Resource{apiserver.Core, apiserver.Istio},
			[]string{"deploy/gw", "-n", "istio-system"}, map[string]int{"/root": 1, "/": 0, "/ask": 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mesh.yaml")
			if err := os.WriteFile(file, []byte(tt.mesh), 0o600); err != nil {
				t.Fatal(err)
			}
			s, config := live(t, tt.mesh, tt.resources...)
			for path, want := range tt.paths {
				s.Heal()
				args := append(tt.args[:len(tt.args):len(tt.args)], "--path", path)
				code, got, stderr := ask(t, append(args, config)...)
				_, fromFile, _ := ask(t, append(args, "-f", file)...)
				got.Target.Context, got.Fixes, fromFile.Fixes = "", nil, nil // a manifest from a server has its order
				if a, b := mustJSON(t, got), mustJSON(t, fromFile); a != b || code != want {
					t.Errorf("%s: exit %d, want %d\n%s\nlive\n%s\nfrom files\n%s\nrequests\n%s", path, code, want, stderr, a, b, strings.Join(s.Requests(), "\n"))
				}
				if n := len(s.Requests()); n > 24 {
					t.Errorf("%s: %d requests", path, n)
				}
			}
		})
	}
}
