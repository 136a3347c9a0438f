package harness

import (
	"context"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// The mesh of the FAQ: namespace foo with httpbin and sleep behind sidecars, the
// key server nginx-proxy and the client outside without, and the ingress gateway
// in istio-system, which leads to httpbin whatever the path is.
const (
	DemoNamespace = "foo"
	DemoIssuer    = "testing@secure.istio.io"
	DemoKeys      = "http://nginx-proxy.foo.svc.cluster.local:80/keys"
)

const demoRoutes = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: foo}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin, namespace: foo}
spec:
  hosts: ["*"]
  gateways: [ingress]
  http:
  - rewrite: {uriRegexRewrite: {match: ".*", rewrite: /anything/gateway}}
    route: [{destination: {host: httpbin, port: {number: 8000}}}]
`

// DemoKey is the key of the demo's tokens.
func DemoKey() mint.Key { return mint.RSA() }

// StartDemo starts a control plane and the mesh of the FAQ.
func (r *Rig) StartDemo(ctx context.Context) error {
	if err := r.StartIstiod(ctx, Istiod{}); err != nil {
		return err
	}
	file, err := r.WriteKeys("keys.json", mint.JWKS(DemoKey()))
	if err != nil {
		return err
	}
	if err := r.Apply(ctx, "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo}\n---"+demoRoutes); err != nil {
		return err
	}
	outside := r.Sleep("foo")
	outside.Name, outside.Sidecar = "outside", false
	return r.Deploy(ctx, r.Httpbin("foo"), r.Sleep("foo"), outside, r.Keys("foo", "nginx-proxy", file), r.Gateway())
}

// Gateway is Istio's ingress gateway, at port 80.
func (r *Rig) Gateway() Workload {
	return Workload{Name: "istio-ingressgateway", Namespace: "istio-system", Image: "docker.io/istio/proxyv2:1.32.0", Gateway: true, PortName: "http2", Port: 80, TargetPort: 8080}
}
