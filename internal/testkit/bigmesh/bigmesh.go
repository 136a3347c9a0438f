// Package bigmesh writes meshes that are large rather than interesting, for
// benchmarks and for tests of limits. It imports the standard library only.
package bigmesh

import (
	"bytes"
	"fmt"
)

// policySpec is what each AuthorizationPolicy says.
const policySpec = `spec:
  selector:
    matchLabels:
      app: app-1
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/foo/sa/sleep
        requestPrincipals: ["https://issuer.example/*"]
    to:
    - operation:
        methods: ["GET", "POST"]
        paths:
        - /api/v1/products/*
        - /healthz
    when:
    - key: request.auth.claims[groups]
      values:
      - admins
`

// Manifests writes n namespaces of 27 objects: ten AuthorizationPolicies, five
// Deployments with their Services and ServiceAccounts, a RequestAuthentication and the
// namespace; as documents, or as the one List that kubectl get -o yaml prints. With
// server, objects have what an API server adds.
func Manifests(n int, list, server bool) []byte {
	var out bytes.Buffer
	add := func(kind, apiVersion, namespace, name, rest string) {
		uid := ""
		if server {
			uid = fmt.Sprintf("  uid: 5f0c1b6e-0000-4000-8000-%012d\n  creationTimestamp: \"2026-01-02T03:04:05Z\"\n", out.Len())
		}
		ns := ""
		if namespace != "" {
			ns = "  namespace: " + namespace + "\n"
		}
		doc := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n%s  name: %s\n%s%s", apiVersion, kind, ns, name, uid, rest)
		if !list {
			out.WriteString("---\n" + doc)
			return
		}
		for i, line := range bytes.SplitAfter([]byte(doc), []byte("\n")) {
			switch {
			case len(line) == 0:
			case i == 0:
				out.WriteString("- " + string(line))
			default:
				out.WriteString("  " + string(line))
			}
		}
	}
	if list {
		out.WriteString("apiVersion: v1\nitems:\n")
	}
	for i := range n {
		ns := fmt.Sprintf("ns-%04d", i)
		add("Namespace", "v1", "", ns, "  labels:\n    istio-injection: enabled\n")
		for j := range 10 {
			add("AuthorizationPolicy", "security.istio.io/v1", ns, fmt.Sprintf("policy-%d", j), policySpec)
		}
		for j := range 5 {
			app := fmt.Sprintf("app-%d", j)
			add("Deployment", "apps/v1", ns, app, fmt.Sprintf(`spec:
  replicas: 1
  selector:
    matchLabels:
      app: %[1]s
  template:
    metadata:
      labels:
        app: %[1]s
    spec:
      serviceAccountName: %[1]s
      containers:
      - name: app
        image: registry.example/app:1
        ports:
        - containerPort: 8080
          name: http
`, app))
			add("Service", "v1", ns, app, fmt.Sprintf("spec:\n  selector:\n    app: %s\n  ports:\n  - name: http\n    port: 80\n    targetPort: http\n", app))
			add("ServiceAccount", "v1", ns, app, "")
		}
		add("RequestAuthentication", "security.istio.io/v1", ns, "jwt", "spec:\n  jwtRules:\n  - issuer: https://issuer.example\n    jwksUri: https://issuer.example/jwks\n    forwardOriginalToken: true\n")
	}
	if list {
		out.WriteString("kind: List\nmetadata:\n  resourceVersion: \"\"\n")
	}
	return out.Bytes()
}
