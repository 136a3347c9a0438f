package istio

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func gateway(namespace, name, servers string) string {
	return object("networking.istio.io/v1", "Gateway", namespace, name, "{selector: {istio: ingressgateway}, servers: ["+servers+"]}")
}

const httpServer = `{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}`

func tlsServer(mode, hosts string) string {
	name := "https-" + strings.NewReplacer("*", "any", ".", "-", "/", "-", `"`, "", ",", "-", " ", "").Replace(hosts)
	return `{port: {number: 443, name: ` + name + `, protocol: HTTPS}, hosts: [` + hosts + `], tls: {mode: ` + mode + `, credentialName: c}}`
}

// outside is a client that uses TLS with that server name, and maybe a certificate.
func outside(name string, uris ...string) func(*envoy.Request) {
	return func(r *envoy.Request) {
		r.Connection.Transport, r.Connection.SNI = envoy.Known(envoy.TLS), envoy.Known(name)
		r.Connection.Peer = envoy.Known(envoy.Peer{Presented: len(uris) > 0, Trusted: true, URISANs: uris})
	}
}

func TestAServersPortLeadsThroughTheServiceToTheListener(t *testing.T) {
	s := snapshot(t, ingress, gateway("istio-system", "g", httpServer+", "+tlsServer("SIMPLE", "a.test")+`, {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}`),
		gateway("bar", "h", `{port: {number: 8080, name: http, protocol: HTTP}, hosts: [b.test]}`), gateway("bar", "nobody", `{hosts: [x]}`),
		object("networking.istio.io/v1", "Gateway", "istio-system", "other", "{selector: {istio: other}, servers: ["+strings.Replace(httpServer, "80", "7777", 1)+"]}"))
	ports, err := Ports(s, workload(t, s, "deploy/ingress", "istio-system"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range ports {
		got = append(got, fmt.Sprintf("%d %s %v %v", p.Number, p.Protocol, p.ServerPorts, p.TLS))
	}
	want := "8080 HTTP [80 8080] false; 8443 HTTP [443] true; 9000 TCP [9000] false"
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("got %q, want %q", text, want)
	}
}

func TestAGatewaysListenersAnswerByProtocolAndTLS(t *testing.T) {
	const noChain = "no filter chain takes "
	many := tlsServer("SIMPLE", "a.test") + ", " + tlsServer("MUTUAL", "b.test") + ", " + tlsServer("OPTIONAL_MUTUAL", "c.test") + ", " + tlsServer("PASSTHROUGH", "p.test")
	for _, c := range []struct {
		name    string
		port    int
		servers string
		request *envoy.Request
		want    string
	}{
		{"HTTP", 8080, httpServer, get(), "allowed"},
		{"TLS to HTTP", 8080, httpServer, get(outside("a.test")), "the port does not terminate TLS"},
		{"SIMPLE", 8443, many, get(outside("a.test")), "allowed"},
		{"SIMPLE asks for no certificate", 8443, many, get(outside("a.test", "spiffe://x/y")), "allowed"},
		{"plaintext to TLS", 8443, many, get(), noChain + "plaintext"},
		{"a name that no server has", 8443, many, get(outside("z.test")), noChain + "TLS"},
		{"MUTUAL without a certificate", 8443, many, get(outside("b.test")), "the client presents no certificate"},
		{"MUTUAL with any name", 8443, many, get(outside("b.test", "spiffe://x/y")), "allowed"},
		{"OPTIONAL_MUTUAL without", 8443, many, get(outside("c.test")), "allowed"},
		{"PASSTHROUGH without a route", 8443, many, get(outside("p.test")), noChain + "TLS"},
		{"a port without server", 8081, httpServer, get(), noChain + "plaintext"},
		{"a star takes every name", 8443, tlsServer("SIMPLE", `"*"`), get(outside("")), "allowed"},
		{"a namespace before the host", 8443, tlsServer("SIMPLE", `"foo/*.a.test"`), get(outside("x.a.test")), "allowed"},
		{"the star is one name or more", 8443, tlsServer("SIMPLE", `"foo/*.a.test"`), get(outside("a.test")), noChain + "TLS"},
		{"a redirect is HTTP", 8080, `{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"], tls: {httpsRedirect: true}}`, get(), "allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := answer(gatewayed(t, c.port, gateway("istio-system", "g", c.servers)).Proxy, c.request, nil); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCertificatesOfMutualServersAreIdentities(t *testing.T) {
	res := gatewayed(t, 8443, gateway("istio-system", "g", tlsServer("MUTUAL", "b.test")+", "+tlsServer("SIMPLE", "a.test")),
		authz("istio-system", "p", `{rules: [{from: [{source: {principals: [x/y]}}]}]}`))
	for name, c := range map[string]struct {
		request *envoy.Request
		want    string
	}{
		"its own":      {get(outside("b.test", "spiffe://x/y")), "allowed"},
		"another":      {get(outside("b.test", "spiffe://x/z")), none},
		"not asked of": {get(outside("a.test", "spiffe://x/y")), none},
	} {
		if got := answer(res.Proxy, c.request, nil); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestTheOlderServerKeepsAPortOrAHost(t *testing.T) {
	created := func(doc, when string) string {
		return strings.Replace(doc, "namespace: istio-system}", `namespace: istio-system, creationTimestamp: "`+when+`"}`, 1)
	}
	http := created(gateway("istio-system", "old", httpServer), "2024-01-01T00:00:00Z")
	tcp := created(gateway("istio-system", "new", `{port: {number: 80, name: tcp, protocol: TCP}, hosts: ["*"]}`), "2025-01-01T00:00:00Z")
	if res := gatewayed(t, 8080, tcp, http); res.Protocol != ProtocolHTTP {
		t.Errorf("the port is %s", res.Protocol)
	}
	simple := created(gateway("istio-system", "old", tlsServer("SIMPLE", "a.test")), "2024-01-01T00:00:00Z")
	mutual := created(gateway("istio-system", "new", tlsServer("MUTUAL", "a.test")), "2025-01-01T00:00:00Z")
	if res := gatewayed(t, 8443, mutual, simple); len(res.Proxy.Chains) != 1 || res.Proxy.Chains[0].Origin.Name != "old" {
		t.Errorf("the chains are %+v", res.Proxy.Chains)
	}
}

func TestAGatewayTrustsTheProxiesInFrontOfIt(t *testing.T) {
	policy := authz("istio-system", "p", `{action: DENY, rules: [{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}]}`)
	hops := meshConfig("defaultConfig:", "  gatewayTopology: {numTrustedProxies: 2, forwardClientCertDetails: FORWARD_ONLY}")
	xff := header("x-forwarded-for", "1.2.3.4, 5.6.7.8")
	const denied = "[ns[istio-system]-policy[p]-rule[0]]"
	for _, c := range []struct {
		name    string
		docs    []string
		request *envoy.Request
		want    string
	}{
		{"none: the header is not believed", []string{policy}, get(xff), "allowed"},
		{"none: the peer counts", []string{policy}, get(from("1.2.3.4")), denied},
		{"two: the second from the right", []string{policy, hops}, get(xff), denied},
		{"two: too few addresses", []string{policy, hops}, get(header("x-forwarded-for", "1.2.3.4")), "allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := gatewayed(t, 8080, append(c.docs, gateway("istio-system", "g", httpServer))...)
			if got := answer(res.Proxy, c.request, nil); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	cm := gatewayed(t, 8080, hops, gateway("istio-system", "g", httpServer)).Proxy.Chains[0].HTTP
	if cm.TrustedHops != 2 || !cm.UseRemoteAddress || cm.ForwardClientCert != envoy.ForwardOnlyXFCC {
		t.Errorf("got %+v", cm)
	}
}

func TestAGatewayIgnoresPeerAuthentication(t *testing.T) {
	res := gatewayed(t, 8080, gateway("istio-system", "g", httpServer), peerAuthn("istio-system", "m", "{mtls: {mode: STRICT}}"))
	if got := answer(res.Proxy, get(), nil); got != "allowed" || res.Mode != "" {
		t.Errorf("got %s, mode %q", got, res.Mode)
	}
}

func TestServerNamesAreHostsWithoutNamespace(t *testing.T) {
	for _, c := range []struct {
		hosts []string
		want  string
	}{
		{[]string{"b.test", "a.test"}, "a.test b.test"}, {[]string{"x/a.test", "a.test"}, "a.test"}, {[]string{"a.test", "*"}, ""}, {[]string{"./*"}, ""}, {nil, ""},
	} {
		if got := strings.Join(sniHosts(c.hosts), " "); got != c.want {
			t.Errorf("%v: got %q, want %q", c.hosts, got, c.want)
		}
	}
}
