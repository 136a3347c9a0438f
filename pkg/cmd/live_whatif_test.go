package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// elsewhere is what liveMesh has besides, of which nothing counts as it is.
const elsewhere = `---
apiVersion: v1
kind: Namespace
metadata: {name: other-root}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: strict, namespace: other-root}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/health]}}]}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: authz}
---
apiVersion: v1
kind: Service
metadata: {name: opa, namespace: authz}
spec: {selector: {app: opa}, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: authz}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio-waypoint}
spec: {controllerName: istio.io/mesh-controller}
---
apiVersion: v1
kind: Pod
metadata: {name: wp-1, namespace: authz, labels: {gateway.networking.k8s.io/gateway-name: wp}}
spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, waypoint]}]}
status: {phase: Running, podIP: 10.0.0.9}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-wp, namespace: authz}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: wp}], action: DENY, rules: [{to: [{operation: {paths: [/health]}}]}]}
`

func TestWhatAChangeRefersToIsReadToo(t *testing.T) {
	manifests := liveMesh + elsewhere
	dir := t.TempDir()
	file := filepath.Join(dir, "mesh.yaml")
	if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	s, config := live(t, manifests, apiserver.Core, apiserver.Istio, apiserver.GatewayAPI)
	for _, tt := range []struct{ name, target, change, want string }{
		{"another root namespace", "deploy/httpbin", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'rootNamespace: other-root'}\n", "Denied"},
		{"an external authorizer", "deploy/httpbin", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'extensionProviders: [{name: opa, envoyExtAuthzHttp: {service: opa.authz.svc.cluster.local, port: 80}}]'}\n---\n" +
			"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ask, namespace: foo}\nspec: {action: CUSTOM, provider: {name: opa}, rules: [{}]}\n", "Undetermined"},
		{"the same policy in the root namespace", "deploy/httpbin", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: istio-system}\nspec: {action: DENY, rules: [{to: [{operation: {paths: [/health]}}]}]}\n", "Denied"},
		{"a waypoint of another namespace", "svc/httpbin", "apiVersion: v1\nkind: Service\nmetadata: {name: httpbin, namespace: foo, labels: {istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: authz}}\nspec: {clusterIP: 10.9.0.1, selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}\n", "Denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			change := filepath.Join(t.TempDir(), "change.yaml")
			if err := os.WriteFile(change, []byte(tt.change), 0o600); err != nil {
				t.Fatal(err)
			}
			after := func(args ...string) diagnose.WhatIf {
				args = append([]string{"why", tt.target, "-n", "foo", "--path", "/health", "--from", "pod/sleep", "--what-if", change, "-o", "json", "--evidence", "objects"}, args...)
				code, stdout, stderr := captured(t, "", nil, args...)
				var d diagnose.Diagnosis
				if err := json.Unmarshal([]byte(stdout), &d); err != nil || d.WhatIf == nil {
					t.Fatalf("exit %d: %v\n%s", code, err, stderr)
				}
				return *d.WhatIf
			}
			s.Heal()
			got, fromFile := after(config), after("-f", file)
			if string(got.Verdict.Decision) != tt.want || mustJSON(t, got.Verdict) != mustJSON(t, fromFile.Verdict) {
				t.Errorf("live\n%s\nfrom files\n%s\n%s", mustJSON(t, got.Verdict), mustJSON(t, fromFile.Verdict), strings.Join(s.Requests(), "\n"))
			}
		})
	}
}

func TestWhatAChangeRefersToAndMayNotBeReadIsAGap(t *testing.T) {
	s, config := live(t, liveMesh+elsewhere, apiserver.Core, apiserver.Istio)
	change := filepath.Join(t.TempDir(), "change.yaml")
	if err := os.WriteFile(change, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'rootNamespace: other-root'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Fail("authorizationpolicies.security.istio.io in other-root", apiserver.Forbidden)
	code, stdout, stderr := captured(t, "", nil, "why", "deploy/httpbin", config, "--path", "/health", "--plaintext", "--from-ip", "10.1.1.1", "--what-if", change, "--evidence", "objects")
	if code != exitUnknown || !strings.Contains(stdout, "authorizationpolicies.security.istio.io in namespace other-root") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
