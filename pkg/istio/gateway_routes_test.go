package istio

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func TestAServerThatCarriesBytesNeedsARoute(t *testing.T) {
	const (
		tcp  = `{port: {number: 9000, name: t, protocol: TCP}, hosts: ["*"]}`
		pass = `{port: {number: 9000, name: t, protocol: TLS}, hosts: ["*.test"], tls: {mode: PASSTHROUGH}}`
		auto = `{port: {number: 9000, name: t, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}`
		to   = `route: [{destination: {host: x}}]`
	)
	virtual := func(namespace, spec string) string {
		return object("networking.istio.io/v1", "VirtualService", namespace, "v", spec)
	}
	sni := func(name string) *envoy.Request { return get(outside(name)) }
	for _, c := range []struct {
		name, server, route string
		request             *envoy.Request
		want                bool
	}{
		{"none", tcp, "", get(), false},
		{"one of TCP", tcp, virtual("istio-system", `{hosts: ["*"], gateways: [g], tcp: [{`+to+`}]}`), get(), true},
		{"one without a destination", tcp, virtual("istio-system", `{hosts: ["*"], gateways: [g], tcp: [{}]}`), get(), false},
		{"one of HTTP", tcp, virtual("istio-system", `{hosts: ["*"], gateways: [g], http: [{`+to+`}]}`), get(), false},
		{"one for another port", tcp, virtual("istio-system", `{hosts: ["*"], gateways: [g], tcp: [{match: [{port: 1}], `+to+`}]}`), get(), false},
		{"one for this port", tcp, virtual("istio-system", `{hosts: ["*"], gateways: [g], tcp: [{match: [{port: 9000}], `+to+`}]}`), get(), true},
		{"one of another namespace by a short name", tcp, virtual("foo", `{hosts: ["*"], gateways: [g], tcp: [{`+to+`}]}`), get(), false},
		{"one of another namespace by the full name", tcp, virtual("foo", `{hosts: ["*"], gateways: [istio-system/g], tcp: [{`+to+`}]}`), get(), true},
		{"one that is kept to its namespace", tcp, virtual("foo", `{hosts: ["*"], gateways: [istio-system/g], exportTo: ["."], tcp: [{`+to+`}]}`), get(), false},
		{"one of TLS", pass, virtual("istio-system", `{hosts: ["a.test"], gateways: [g], tls: [{match: [{sniHosts: [a.test]}], `+to+`}]}`), sni("a.test"), true},
		{"one of TLS for another name", pass, virtual("istio-system", `{hosts: ["a.test"], gateways: [g], tls: [{match: [{sniHosts: [a.test]}], `+to+`}]}`), sni("b.test"), false},
		{"one of TLS with another host", pass, virtual("istio-system", `{hosts: ["a.other"], gateways: [g], tls: [{match: [{sniHosts: [a.test]}], `+to+`}]}`), sni("a.test"), false},
		{"no route of TLS for plaintext", pass, virtual("istio-system", `{hosts: ["a.test"], gateways: [g], tls: [{match: [{sniHosts: [a.test]}], `+to+`}]}`), get(), false},
		{"AUTO_PASSTHROUGH of a name that is no cluster's", auto, "", sni("httpbin.foo.svc.cluster.local"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs := []string{gateway("istio-system", "g", c.server)}
			if c.route != "" {
				docs = append(docs, c.route)
			}
			got := answer(gatewayed(t, 9000, docs...).Proxy, c.request, nil)
			if (got == "allowed") != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestNoPolicyIsEnforcedOnWhatPassesThroughByItself(t *testing.T) {
	r := get(outside("outbound_.8000_._.httpbin.foo.svc.cluster.local"))
	r.Connection.ALPN = []string{"istio"}
	docs := []string{httpbin, authz("istio-system", "p", "{}"),
		gateway("istio-system", "g", `{port: {number: 9000, name: t, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}`)}
	if got := answer(gatewayed(t, 9000, docs...).Proxy, r, nil); got != "allowed" {
		t.Errorf("got %q", got)
	}
}

func TestServersThatConflictAreLeftOut(t *testing.T) {
	https := func(name, host, mode string) string {
		return `{port: {number: 443, name: ` + name + `, protocol: HTTPS}, hosts: [` + host + `], tls: {mode: ` + mode + `, credentialName: c}}`
	}
	for _, c := range []struct {
		name, servers string
		request       *envoy.Request
		want          string
	}{
		{"another name of the port", https("a", "a.test", "SIMPLE") + ", " + https("b", "b.test", "MUTUAL"), get(outside("b.test")), "the client presents no certificate"},
		{"the same name of the port", https("a", "a.test", "SIMPLE") + ", " + https("a", "b.test", "MUTUAL"), get(outside("b.test")), "no filter chain takes TLS"},
		{"a host that is taken", https("a", "a.test", "SIMPLE") + ", " + https("b", "a.test, b.test", "MUTUAL"), get(outside("b.test")), "no filter chain takes TLS"},
		{"plain HTTP behind TLS", https("a", "a.test", "SIMPLE") + `, {port: {number: 443, name: h, protocol: HTTP}, hosts: ["*"]}`, get(), "allowed"},
		{"TLS behind plain HTTP", `{port: {number: 443, name: h, protocol: HTTP}, hosts: ["*"]}, ` + https("a", "a.test", "SIMPLE"), get(outside("a.test")), "the port does not terminate TLS"},
		{"names that a server wants", `{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.test], tls: {mode: MUTUAL, credentialName: c, subjectAltNames: [x]}}`,
			get(outside("a.test", "spiffe://x/y")), "the client's certificate has none of the names that the server wants"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := answer(gatewayed(t, 8443, gateway("istio-system", "g", c.servers)).Proxy, c.request, nil); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	res := gatewayed(t, 8443, gateway("istio-system", "g", https("a", `"*"`, "SIMPLE")+`, {port: {number: 443, name: h, protocol: HTTP}, hosts: ["*"]}`))
	if res.Proxy.Refused == nil {
		t.Error("two servers for everything are not refused")
	}
}

// A pair of requests through two Envoys found the third of these.
func TestAHostIsLookedUpWithoutWhateverFollowsItsLastColon(t *testing.T) {
	for host, want := range map[string]string{
		"example.com": "example.com", "example.com:443": "example.com", "example.com:8080x": "example.com", "example.com:": "example.com",
		":443": "", "a:b:c": "a:b", "[fc00::1]": "[fc00::1]", "[fc00::1]:443": "[fc00::1]", "fc00::1": "fc00:", "]:": "]", "": "",
	} {
		if got := hostWithoutPort(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

// A pair of requests through two Envoys found that ignoreUriCase is not for regular
// expressions.
func TestOnlyTextsThatAreNoPatternsIgnoreCase(t *testing.T) {
	for _, c := range []struct {
		kind matchKind
		want envoy.Truth
	}{{matchExact, envoy.True}, {matchPrefix, envoy.True}, {matchRegex, envoy.False}} {
		m := textMatch{kind: c.kind, value: "/get", ignoreCase: true}
		if got := m.matches("/GET").T; got != c.want {
			t.Errorf("kind %d: %v, want %v", c.kind, got, c.want)
		}
	}
}
