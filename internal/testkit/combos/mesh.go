package combos

// Mesh is what is there before: a sidecar, a classic gateway, one of the Gateway API, a
// waypoint, and a policy of somebody else's.
const Mesh = `apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: amb, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin, version: v1}}
  template:
    metadata: {labels: {app: httpbin, version: v1}}
    spec:
      serviceAccountName: httpbin
      containers:
      - name: httpbin
        image: example.com/httpbin
        ports: [{containerPort: 8080}, {containerPort: 9000}]
        readinessProbe: {httpGet: {path: "/ready?full=1", port: 8080}}
        livenessProbe: {grpc: {port: 8080}}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 8080}, {name: tcp-db, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: keys, namespace: foo}
spec:
  selector: {app: keys}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {matchLabels: {app: istio-ingressgateway, istio: ingressgateway}}
  template:
    metadata: {labels: {app: istio-ingressgateway, istio: ingressgateway}}
    spec: {serviceAccountName: istio-ingressgateway, containers: [{name: istio-proxy, image: auto, args: [proxy, router], ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {selector: {app: istio-ingressgateway, istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: everything, namespace: foo}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: foo}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 8080, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: amb}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: amb, labels: {istio.io/use-waypoint: waypoint}}
spec: {clusterIP: 10.0.0.9, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-trace, namespace: foo}
spec: {action: DENY, rules: [{to: [{operation: {methods: [TRACE]}}]}]}
`
