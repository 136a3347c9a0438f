package diagnose

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// waypointMesh has the waypoint wp in front of httpbin and api in foo, which sleep
// of foo calls, with legacy outside the mesh.
const waypointMesh = `apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: wp}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bar}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: foo}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {serviceAccountName: httpbin, containers: [{name: httpbin, image: httpbin, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {clusterIP: 10.96.7.1, selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}, {name: tcp-db, port: 9000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: sleep, namespace: foo, labels: {app: sleep}}
spec: {serviceAccountName: sleep, containers: [{name: sleep, image: curl}]}
status: {podIP: 10.0.0.7, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: legacy, namespace: bar, labels: {app: legacy}}
spec: {containers: [{name: legacy, image: curl}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ingress, namespace: bar, labels: {istio: ingressgateway}}
spec: {serviceAccountName: ingress, containers: [{name: istio-proxy, image: proxyv2, args: [proxy, router]}]}
`

const waypointEntry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: foo}
spec: {hosts: [api.example.com], addresses: [240.0.0.7], ports: [{number: 443, name: http, protocol: HTTP}], resolution: DNS}
`

// denySleep is a policy for the Service httpbin.
const denySleep = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: foo}
spec: {targetRefs: [{kind: Service, group: "", name: httpbin}], action: DENY, rules: [{from: [{source: {principals: ["cluster.local/ns/foo/sa/sleep"]}}]}]}
`

func askWaypoint(t *testing.T, in Intent, docs ...string) (*Diagnosis, error) {
	t.Helper()
	objects, err := mesh.Parse([]byte(strings.Join(append([]string{waypointMesh}, docs...), "---\n")), mesh.ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	in.Namespace, in.Method, in.Path, in.Time = "foo", "GET", "/", 1
	return Run(in, snap)
}

func TestAQuestionAboutAServiceIsOneToTheWaypointForClientsInTheMesh(t *testing.T) {
	service := mesh.Target{Type: mesh.TypeService, Name: "httpbin"}
	ingressUse := strings.Replace(waypointMesh, "istio.io/use-waypoint: wp}", "istio.io/use-waypoint: wp, istio.io/ingress-use-waypoint: 'true'}", 1)
	for _, c := range []struct {
		name   string
		caller Caller
		mesh   string
		role   envoy.Role
		status int // -1: undetermined
	}{
		{"who is refused", callerPod("sleep", "foo"), "", envoy.RoleWaypoint, 403},
		{"somebody else", Caller{Principal: "cluster.local/ns/x/sa/y"}, "", envoy.RoleWaypoint, 200},
		{"nobody named", Caller{}, "", envoy.RoleWaypoint, -1},
		{"one outside the mesh", callerPod("legacy", "bar"), "", envoy.RoleZtunnel, 200},
		{"plaintext", Caller{Plaintext: true}, "", envoy.RoleZtunnel, 200},
		{"a gateway", callerPod("ingress", "bar"), "", envoy.RoleZtunnel, 200},
		{"a gateway that is told to", callerPod("ingress", "bar"), ingressUse, envoy.RoleWaypoint, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs := []string{denySleep}
			text := waypointMesh
			if c.mesh != "" {
				text = c.mesh
			}
			objects, err := mesh.Parse([]byte(text+"---\n"+docs[0]), mesh.ParseOptions{File: "mesh.yaml"})
			if err != nil {
				t.Fatal(err)
			}
			snap, err := mesh.NewSnapshot(objects, nil)
			if err != nil {
				t.Fatal(err)
			}
			d, err := Run(Intent{Target: service, Namespace: "foo", Method: "GET", Path: "/", Time: 1, Port: Port{Number: 8000}, Caller: c.caller}, snap)
			if err != nil {
				t.Fatal(err)
			}
			got := d.Verdict.Status
			if d.Verdict.Decision == envoy.Undetermined {
				got = -1
			}
			if d.Target.Role != string(c.role) || got != c.status {
				t.Errorf("role %s, verdict %+v", d.Target.Role, d.Verdict)
			}
		})
	}
}

func TestAWaypointIsAskedByTheHostOfWhatItFronts(t *testing.T) {
	gateway := mesh.Target{Type: mesh.TypeGateway, Name: "wp"}
	known := Caller{Principal: "cluster.local/ns/x/sa/y"}
	for _, c := range []struct {
		name, host string
		port       Port
		docs       []string
		asked      int // the port; 0: an error
		problem    string
	}{
		{"the only Service", "", Port{}, nil, 8000, ""},
		{"its full name", "httpbin.foo.svc.cluster.local:8000", Port{}, []string{waypointEntry}, 8000, ""},
		{"its short name", "httpbin", Port{}, []string{waypointEntry}, 8000, ""},
		{"its name with the namespace", "httpbin.foo", Port{Name: "tcp-db"}, []string{waypointEntry}, 9000, ""},
		{"a ServiceEntry", "API.example.com", Port{}, []string{waypointEntry}, 443, ""},
		{"any host where there is one", "x.test", Port{Number: 9000}, nil, 9000, ""},
		{"none of two", "", Port{}, []string{waypointEntry}, 0, "in front of several Services"},
		{"neither of two", "x.test", Port{}, []string{waypointEntry}, 0, "in front of several Services"},
		{"no such port", "httpbin", Port{Number: 1}, nil, 0, "no port 1"},
		{"no port of that name", "httpbin", Port{Name: "web"}, nil, 0, "no port web"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := askWaypoint(t, Intent{Target: gateway, Host: c.host, Port: c.port, Caller: known}, c.docs...)
			if c.asked == 0 {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Target.Port != c.asked || d.Target.Role != string(envoy.RoleWaypoint) || d.Verdict.Decision != envoy.Allowed {
				t.Errorf("port %d, role %s, verdict %+v", d.Target.Port, d.Target.Role, d.Verdict)
			}
		})
	}
}

func TestTheHostAndTheAddressAreThoseOfTheService(t *testing.T) {
	service := mesh.Target{Type: mesh.TypeService, Name: "httpbin"}
	const byAddress = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: foo}
spec:
  targetRefs: [{kind: Service, group: "", name: httpbin}]
  action: DENY
  rules: [{to: [{operation: {hosts: [httpbin.foo.svc.cluster.local], ports: ["8000"]}}], when: [{key: destination.ip, values: [10.96.7.1]}]}]
`
	d, err := askWaypoint(t, Intent{Target: service, Port: Port{Number: 8000}}, byAddress)
	if err != nil || d.Verdict.Status != 403 {
		t.Errorf("got %+v, %v", d.Verdict, err)
	}
}
