package tcases

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"

const waypointService = `apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo, labels: {istio.io/use-waypoint: waypoint}}
spec:
  clusterIP: 10.96.7.1
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 8080}]
`

const waypointGateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: foo, labels: {app: waypoint}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
`

// waypoint is the mesh in which requests to httpbin go through a waypoint.
func waypoint(docs ...string) string {
	return join(append([]string{httpbinWorkload, waypointService, waypointGateway}, docs...))
}

// atWaypoint is T119: what selects by labels is nothing to a waypoint, what refers to
// the Service is.
func atWaypoint(s *set) {
	bar := judge.Request{Client: judge.Client{Transport: "mtls", URISANs: []string{"spiffe://cluster.local/ns/foo/sa/bar"}}}
	add := func(name, mesh string, want Expect) {
		c := s.add(name, mesh, bar, want)
		c.Target, c.Port = "svc/httpbin", 8000
	}
	add("T119/selector", waypoint(ap("{selector: {matchLabels: {app: waypoint}}, action: DENY, rules: [{}]}")), passed())
	add("T119/namespace", waypoint(ap("{action: DENY, rules: [{}]}")), passed())
	add("T119/allow", waypoint(ap("{selector: {matchLabels: {app: httpbin}}, action: ALLOW}")), passed())
	add("T119/targetRef", waypoint(ap("{targetRefs: [{kind: Service, group: '', name: httpbin}], action: DENY, rules: [{}]}")), rbac403(policyP(0)))
}
