package istio

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func peerAuthn(namespace, name, spec string, created ...string) string {
	out := object("security.istio.io/v1", "PeerAuthentication", namespace, name, spec)
	if len(created) > 0 {
		out = strings.Replace(out, "namespace: "+namespace+"}", "namespace: "+namespace+", creationTimestamp: \""+created[0]+"\"}", 1)
	}
	return out
}

func TestTheMostSpecificPeerAuthenticationDecides(t *testing.T) {
	const early, late = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
	strict, permissive, disable := "{mtls: {mode: STRICT}}", "{mtls: {mode: PERMISSIVE}}", "{mtls: {mode: DISABLE}}"
	selected := func(mode, more string) string {
		return "{selector: {matchLabels: {app: httpbin}}, mtls: {mode: " + mode + "}" + more + "}"
	}
	for _, c := range []struct {
		name string
		docs []string
		mode string
		by   string // name and field of what decides
	}{
		{"none", nil, "PERMISSIVE", ""},
		{"of the mesh", []string{peerAuthn("istio-system", "m", strict)}, "STRICT", "m spec.mtls.mode"},
		{"of the namespace over the mesh's", []string{peerAuthn("istio-system", "m", strict), peerAuthn("foo", "ns", disable)}, "DISABLE", "ns spec.mtls.mode"},
		{"of the workload over the namespace's", []string{peerAuthn("foo", "ns", strict), peerAuthn("foo", "w", selected("PERMISSIVE", ""))}, "PERMISSIVE", "w spec.mtls.mode"},
		{"an empty selector is the namespace's", []string{peerAuthn("foo", "ns", "{selector: {matchLabels: {}}, mtls: {mode: STRICT}}")}, "STRICT", "ns spec.mtls.mode"},
		{"UNSET inherits", []string{peerAuthn("istio-system", "m", strict), peerAuthn("foo", "ns", "{mtls: {mode: UNSET}}")}, "STRICT", "m spec.mtls.mode"},
		{"nothing inherits, too", []string{peerAuthn("istio-system", "m", strict), peerAuthn("foo", "ns", "{}")}, "STRICT", "m spec.mtls.mode"},
		{"of another workload does not count", []string{peerAuthn("foo", "w", "{selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}}")}, "PERMISSIVE", ""},
		{"a selector in the root namespace does not count", []string{peerAuthn("istio-system", "m", selected("STRICT", ""))}, "PERMISSIVE", ""},
		{"another namespace does not count", []string{peerAuthn("bar", "ns", strict)}, "PERMISSIVE", ""},
		{"a port of the workload", []string{peerAuthn("foo", "w", selected("STRICT", ", portLevelMtls: {8080: {mode: DISABLE}}"))}, "DISABLE", "w spec.portLevelMtls.8080.mode"},
		{"another port", []string{peerAuthn("foo", "w", selected("STRICT", ", portLevelMtls: {8000: {mode: DISABLE}}"))}, "STRICT", "w spec.mtls.mode"},
		{"a port that is UNSET", []string{peerAuthn("foo", "w", selected("STRICT", ", portLevelMtls: {8080: {mode: UNSET}}"))}, "STRICT", "w spec.mtls.mode"},
		{"a port of the namespace does not count", []string{peerAuthn("foo", "ns", "{mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}")}, "STRICT", "ns spec.mtls.mode"},
		{"the oldest of two", []string{peerAuthn("foo", "a", permissive, late), peerAuthn("foo", "b", strict, early)}, "STRICT", "b spec.mtls.mode"},
		{"of one age the first by name", []string{peerAuthn("foo", "b", permissive, early), peerAuthn("foo", "a", strict, early)}, "STRICT", "a spec.mtls.mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := translated(t, c.docs...)
			by := ""
			if !res.ModeOrigin.IsZero() {
				by = res.ModeOrigin.Name + " " + res.ModeOrigin.Field
			}
			if res.Mode != c.mode || by != c.by {
				t.Errorf("got %s by %q, want %s by %q", res.Mode, by, c.mode, c.by)
			}
		})
	}
}

func TestTheModeDecidesWhoGetsIn(t *testing.T) {
	otherTLS := func(r *envoy.Request) { r.Connection.Transport = envoy.Known(envoy.TLS) }
	member := as("cluster.local/ns/a/sa/b")
	const noChain = "no filter chain takes "
	for _, c := range []struct {
		mode, client string
		request      *envoy.Request
		want         string
	}{
		{"PERMISSIVE", "plaintext", get(), "allowed"},
		{"PERMISSIVE", "mTLS", get(member), "allowed"},
		{"PERMISSIVE", "other TLS", get(otherTLS), noChain + "TLS"},
		{"STRICT", "plaintext", get(), noChain + "plaintext"},
		{"STRICT", "mTLS", get(member), "allowed"},
		{"STRICT", "other TLS", get(otherTLS), "the client presents no certificate"},
		{"STRICT", "a stranger", get(as("other/ns/a/sa/b")), "the client's identity is not of a trust domain of this mesh"},
		{"DISABLE", "plaintext", get(), "allowed"},
		{"DISABLE", "mTLS", get(member), "the port does not terminate TLS"},
	} {
		t.Run(c.mode+" and "+c.client, func(t *testing.T) {
			res := translated(t, peerAuthn("foo", "ns", "{mtls: {mode: "+c.mode+"}}"))
			if got := answer(res.Proxy, c.request, nil); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTrustDomainsOfTheMeshGetIn(t *testing.T) {
	res := translated(t, meshConfig("trustDomain: td2", "trustDomainAliases: [td1]", "caCertificates:", "- {pem: x, trustDomains: [td3, td1]}"))
	for td, in := range map[string]bool{"td1": true, "td2": true, "td3": true, "cluster.local": false, "td": false} {
		if got := answer(res.Proxy, get(as(td+"/ns/a/sa/b")), nil); (got == "allowed") != in {
			t.Errorf("%s: %s", td, got)
		}
	}
	if got := res.Proxy.Chains[0].TLS.TrustPrefixes; len(got) != 3 {
		t.Errorf("prefixes are %v", got)
	}
}
