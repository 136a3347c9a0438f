package diagnose_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
)

const otherPorts = `{name: http, port: 8000, targetPort: 8080}, {name: tcp, port: 9000, targetPort: 9000}, {name: http-admin, port: 81, targetPort: 8081}`

func TestThePortIsTheOneThatIsMeant(t *testing.T) {
	several := []string{namespaceFoo, deployment, service("httpbin", otherPorts)}
	two := append(several, service("second", "{name: http-x, port: 8081, targetPort: 7000}"))
	at := func(target string, number int, name string) func(*testing.T) diagnose.Intent {
		return func(t *testing.T) diagnose.Intent {
			in := question(t, plaintext)
			parsed, err := parse(target)
			if err != nil {
				t.Fatal(err)
			}
			in.Target, in.Port = parsed, diagnose.Port{Number: number, Name: name}
			return in
		}
	}
	for _, c := range []struct {
		name   string
		docs   []string
		in     func(*testing.T) diagnose.Intent
		want   int // the container's port; 0: an error
		errors string
	}{
		{"the only one", httpbin(), at("deploy/httpbin", 0, ""), 8080, ""},
		{"the workload's own number", several, at("deploy/httpbin", 8081, ""), 8081, ""},
		{"one that no Service names", several, at("deploy/httpbin", 1234, ""), 1234, ""},
		{"a Service's number", several, at("svc/httpbin", 81, ""), 8081, ""},
		{"a Service's name", several, at("svc/httpbin", 0, "http-admin"), 8081, ""},
		{"a name, of a workload", several, at("deploy/httpbin", 0, "http-admin"), 8081, ""},
		{"a number of this Service, not of another", two, at("svc/second", 8081, ""), 7000, ""},
		{"a number that the Service has not", several, at("svc/httpbin", 8081, ""), 0, "has no port 8081"},
		{"a name that nobody has", several, at("svc/httpbin", 0, "nothing"), 0, "has no port nothing"},
		{"a Service's only port", two, at("svc/second", 0, ""), 7000, ""},
		{"a port of the pod where there is no Service", []string{namespaceFoo, deployment}, at("deploy/httpbin", 0, ""), 8080, ""},
		{"nothing at all", []string{namespaceFoo, strings.Replace(deployment, ", ports: [{containerPort: 8080}]", "", 1)}, at("deploy/httpbin", 0, ""), 0, "no port that a request could be sent to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := diagnose.Run(c.in(t), snapshot(t, c.docs...))
			if c.want == 0 {
				var pe *diagnose.PortsError
				if !errors.As(err, &pe) || !strings.Contains(err.Error(), c.errors) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Target.Port != c.want {
				t.Errorf("got %d, want %d", d.Target.Port, c.want)
			}
		})
	}
}

func TestPortsThatAgreeHaveOneAnswerAndOthersMustBeChosen(t *testing.T) {
	docs := []string{namespaceFoo, deployment, service("httpbin", otherPorts)}
	in := question(t, plaintext)
	if d := asked(t, in, docs...); d.Verdict.Decision != envoy.Allowed || d.Target.Port == 9000 {
		t.Errorf("got %s at port %d, want one of the HTTP ports", d.Verdict.Decision, d.Target.Port)
	}
	differ := append(docs, policy(`{action: DENY, rules: [{to: [{operation: {ports: ["8081"]}}]}]}`))
	_, err := diagnose.Run(in, snapshot(t, differ...))
	var pe *diagnose.PortsError
	if !errors.As(err, &pe) || len(pe.Candidates) != 2 || len(pe.Verdicts) != 2 || !strings.Contains(err.Error(), "several ports") {
		t.Fatalf("got %v", err)
	}
	for i, c := range pe.Candidates {
		if c.Protocol == istio.ProtocolTCP {
			t.Error("a TCP port is a candidate beside HTTP ones")
		}
		if want := map[int]int{8080: 200, 8081: 403}[c.Number]; pe.Verdicts[i].Status != want {
			t.Errorf("port %d: %d, want %d", c.Number, pe.Verdicts[i].Status, want)
		}
	}
}

func TestAGatewaysPortIsThatOfItsServer(t *testing.T) {
	docs := gatewayDocs(`{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}`)
	for number, want := range map[int]int{0: 8080, 80: 8080, 8080: 8080} {
		in := question(t, port(number), host("a.test"))
		in.Target, in.Namespace = target(t, "deploy/ingress"), "istio-system"
		if d := asked(t, in, docs...); d.Target.Port != want || d.Target.Role != "gateway" {
			t.Errorf("--port %d: %d of a %s", number, d.Target.Port, d.Target.Role)
		}
	}
	in := question(t, port(81))
	in.Target, in.Namespace = target(t, "deploy/ingress"), "istio-system"
	if _, err := diagnose.Run(in, snapshot(t, docs...)); err == nil {
		t.Error("a port that no server has is taken")
	}
}

func gatewayDocs(servers string, docs ...string) []string {
	return append([]string{`apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  template:
    metadata: {labels: {istio: ingressgateway}}
    spec:
      containers: [{name: istio-proxy, image: "istio/proxyv2:1.27.0", args: [proxy, router]}]`,
		`apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]}`,
		`apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [` + servers + `]}`}, docs...)
}
