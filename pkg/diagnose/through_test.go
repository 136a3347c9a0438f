package diagnose_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

var edgeGateway = diagnose.Via{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "gw"}, Namespace: "istio-system", Port: diagnose.Port{Number: 80}}

func TestARequestToAGatewayIsFollowedToWhatItsRoutesLeadTo(t *testing.T) {
	snap := snapshot(t, behind()...)
	in := diagnose.Intent{Namespace: "foo", Method: "GET", Path: "/", Time: fixedNow, Host: "api.example.com", HostGiven: true, Caller: diagnose.Caller{Plaintext: true}}
	out, why, err := diagnose.Through(in, edgeGateway, snap)
	if err != nil || why != "" || out.Target.String() != "svc/httpbin" || out.Namespace != "foo" || len(out.Via) != 1 || out.Via[0].String() != "deploy/gw.istio-system" || out.Port.Number != 8000 {
		t.Errorf("%v, %q, %+v", err, why, out)
	}
	in.Host = "nobody.example.com"
	out, why, err = diagnose.Through(in, edgeGateway, snap)
	if err != nil || !strings.Contains(why, "lead nowhere") || out.Target != edgeGateway.Target || len(out.Via) != 0 || out.Port.Number != 80 {
		t.Errorf("a host without a route: %v, %q, %+v", err, why, out)
	}
	gone := edgeGateway
	gone.Target.Name = "gone"
	if _, _, err := diagnose.Through(in, gone, snap); err == nil {
		t.Error("a gateway that is not there has routes")
	}
}

func TestTheEntryOfAGatewayIsAServicesPortOrAGatewaysOwn(t *testing.T) {
	const service = `{apiVersion: v1, kind: Service, metadata: {name: front, namespace: istio-system}, spec: {clusterIP: 10.96.0.9, selector: {istio: ingressgateway}, ports: [{name: http2, port: 8888, targetPort: 8080}]}}`
	without := snapshot(t, behind()...)
	with := snapshot(t, behind(service)...)
	groups, err := with.Resolve(edgeGateway.Target, edgeGateway.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	w := groups[0]
	if !diagnose.IsGateway(w, with) {
		t.Fatal("the gateway is none")
	}
	for name, c := range map[string]struct {
		snap *mesh.Snapshot
		port int
		ok   bool
	}{
		"the Service's port":     {with, 8888, true},
		"the port of no Service": {with, 4711, false},
		"a server's port":        {without, 80, true},
	} {
		e, err := diagnose.EntryOf(w, edgeGateway.Target, c.port, c.snap)
		var ports *diagnose.PortsError
		switch {
		case c.ok && err != nil, !c.ok && !errors.As(err, &ports):
			t.Errorf("%s: %+v, %v", name, e, err)
		case c.ok && c.snap == with && (e.Service == nil || e.Service.ClusterIP != "10.96.0.9" || e.ServicePort != 8888):
			t.Errorf("%s: %+v", name, e)
		}
	}
}
