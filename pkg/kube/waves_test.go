package kube_test

import (
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const smallMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: istio-system, uid: g}
spec:
  selector: {matchLabels: {app: gw}}
  template:
    metadata: {labels: {app: gw}}
    spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, router]}]}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec: {selector: {app: gw}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec: {selector: {app: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: shop}
spec: {hosts: [api.example.com], gateways: [web], http: [{route: [{destination: {host: orders}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop, uid: o}
spec:
  selector: {matchLabels: {app: orders}}
  template: {metadata: {labels: {app: orders}}, spec: {containers: [{name: orders, image: example.com/orders}]}}
`

func connected(t *testing.T, manifests string) (*apiserver.Server, *kube.Planes) {
	t.Helper()
	s, err := apiserver.Start(manifests, apiserver.Core, apiserver.Istio, apiserver.GatewayAPI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	file, err := s.Kubeconfig(t.TempDir(), "here", "shop")
	if err != nil {
		t.Fatal(err)
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: file}
	cluster, err := kube.Connect(clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}), kube.DefaultTimeout, "here")
	if err != nil {
		t.Fatal(err)
	}
	planes, err := kube.Open(t.Context(), cluster, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, planes
}

func TestAQuestionTakesTwoWavesWhetherItNamesATargetOrAHost(t *testing.T) {
	_, planes := connected(t, smallMesh)
	orders := kube.Place{Target: mesh.Target{Type: mesh.TypeService, Name: "orders"}, Namespace: "shop"}
	gateway := kube.Place{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "gw"}, Namespace: "istio-system"}
	for name, q := range map[string]kube.Question{
		"a Deployment":             {Hops: []kube.Place{gateway}},
		"a Service":                {Hops: []kube.Place{orders}},
		"a Service behind another": {Hops: []kube.Place{gateway, orders}},
	} {
		got, err := kube.Collect(t.Context(), planes, q)
		if err != nil || got.Waves > 2 {
			t.Errorf("%s: %d waves, %v", name, got.Waves, err)
		}
	}
	got, err := kube.Find(t.Context(), planes, "api.example.com", false, func(snap *mesh.Snapshot) (kube.Question, error) {
		return kube.Question{Hops: []kube.Place{gateway, orders}}, nil
	})
	if err != nil || got.Waves > 2 {
		t.Errorf("a host: %d waves, %v", got.Waves, err)
	}
	if got.Snapshot.Find(mesh.GroupApps, "Deployment", "shop", "orders") == nil {
		t.Error("what is behind the gateway was not read")
	}
}
