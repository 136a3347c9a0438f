package mesh

import (
	"strings"
	"testing"
)

func apiGateway(class, rest string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: foo, labels: {team: a}}\nspec: {gatewayClassName: " +
		class + ", listeners: [{name: http, port: 80, protocol: HTTP}]" + rest + "}\n"
}

func TestResolve_MakesTheWorkloadOfAGatewayThatIstioWouldDeploy(t *testing.T) {
	const common = "gateway.networking.k8s.io/gateway-name:edge service.istio.io/canonical-revision:latest sidecar.istio.io/inject:false"
	for _, c := range []struct{ name, text, account, labels string }{
		{"of its own class", apiGateway("istio", ""), "edge-istio", common + " gateway.istio.io/managed:istio.io-gateway-controller team:a"},
		{"a waypoint", apiGateway("istio-waypoint", ""), "edge", common + " gateway.istio.io/managed:istio.io-mesh-controller istio.io/dataplane-mode:none team:a"},
		{"with an address of its own", apiGateway("istio", ", addresses: [{value: 1.2.3.4}]"), "edge-istio", common + " team:a"},
		{"with labels for its pods", apiGateway("istio", ", infrastructure: {labels: {tier: b, gateway.networking.k8s.io/x: z}}"), "edge-istio", common + " tier:b"},
		{"with another name", strings.Replace(apiGateway("istio", ""), "labels: {team: a}", "annotations: {gateway.istio.io/name-override: other, gateway.istio.io/service-account: sa}", 1),
			"sa", common + " service.istio.io/canonical-name:other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ws, err := load(t, c.text).Resolve(Target{Type: TypeGateway, Name: "edge"}, "foo")
			if err != nil {
				t.Fatal(err)
			}
			w := ws[0]
			if len(ws) != 1 || !w.FromTemplate || w.ServiceAccount != c.account || w.Namespace != "foo" || w.Ref.Kind != "Gateway" {
				t.Errorf("got %+v", w)
			}
			for _, want := range strings.Fields(c.labels) {
				i := strings.LastIndexByte(want, ':')
				if w.Labels[want[:i]] != want[i+1:] {
					t.Errorf("label %s is %q, want %q", want[:i], w.Labels[want[:i]], want[i+1:])
				}
			}
			if w.Labels["gateway.networking.k8s.io/x"] != "" || c.name == "with labels for its pods" && w.Labels["team"] != "" {
				t.Errorf("labels %v", w.Labels)
			}
		})
	}
}

func TestResolve_KnowsNothingOfGatewaysThatSomebodyElseDeploys(t *testing.T) {
	for name, text := range map[string]string{
		"another class":     apiGateway("nginx", ""),
		"a Service by name": apiGateway("istio", ", addresses: [{type: Hostname, value: ingress}]"),
		"two addresses":     apiGateway("istio", ", addresses: [{value: 1.2.3.4}, {value: 1.2.3.5}]"),
	} {
		t.Run(name, func(t *testing.T) {
			ws, err := load(t, text).Resolve(Target{Type: TypeGateway, Name: "edge"}, "foo")
			if err == nil || !strings.Contains(messages(err), "selects no pod") {
				t.Errorf("got %v, %v", ws, err)
			}
		})
	}
}

func TestResolve_PrefersThePodsOfAGatewayToWhatIstioWouldDeploy(t *testing.T) {
	pod := "---\napiVersion: v1\nkind: Pod\nmetadata: {name: edge-1, namespace: foo, labels: {gateway.networking.k8s.io/gateway-name: edge}}\nspec: {containers: [{name: istio-proxy, image: 'proxyv2:1.27.0'}]}\n"
	ws, err := load(t, apiGateway("istio", "")+pod).Resolve(Target{Type: TypeGateway, Name: "edge"}, "foo")
	if err != nil || len(ws) != 1 || ws[0].FromTemplate || len(ws[0].Pods) != 1 {
		t.Errorf("got %+v, %v", ws, err)
	}
}
