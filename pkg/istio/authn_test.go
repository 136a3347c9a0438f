package istio

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// write renders a requirement tree: any(P0, missing).
func write(r envoy.Requirement) string {
	var parts []string
	for _, c := range r.Children {
		parts = append(parts, write(c))
	}
	inner := "(" + strings.Join(parts, " ") + ")"
	switch r.Kind {
	case envoy.RequireAny:
		return "any" + inner
	case envoy.RequireAll:
		return "all" + inner
	case envoy.AllowMissing:
		return "missing"
	default:
		return fmt.Sprintf("P%d", r.Provider)
	}
}

func TestTheRequirementFollowsFromTheRules(t *testing.T) {
	for _, c := range []struct{ name, rules, want string }{
		{"one rule", "{issuer: a}", "any(P0 missing)"},
		{"two rules", "{issuer: a}, {issuer: b}", "any(P0 P1 all(any(P0 missing) any(P1 missing)))"},
		{"three rules", "{issuer: a}, {issuer: b}, {issuer: c}", "any(P0 P1 P2 all(any(P0 missing) any(P1 missing) any(P2 missing)))"},
		{"one that is required", "{issuer: a, presence: REQUIRED}", "all(P0)"},
		{"one of two that is required", "{issuer: a}, {issuer: b, presence: REQUIRED}", "all(any(P0 missing) P1)"},
		{"both", "{issuer: a, presence: REQUIRED}, {issuer: b, presence: REQUIRED}", "all(P0 P1)"},
		{"in the order of issuers", "{issuer: b, presence: REQUIRED}, {issuer: a}", "all(any(P0 missing) P1)"},
		{"OPTIONAL is nothing", "{issuer: a, presence: OPTIONAL}", "any(P0 missing)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := write(jwtAuthn(translated(t, requestAuthn("r", c.rules)).Proxy).Requirement); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRulesOfAllPoliciesAreSortedByIssuer(t *testing.T) {
	f := jwtAuthn(translated(t,
		requestAuthn("z", "{issuer: b, audiences: [1st]}, {issuer: a}"),
		requestAuthn("x", "{issuer: b, audiences: [2nd]}"),
		object("security.istio.io/v1", "RequestAuthentication", "istio-system", "root", "{jwtRules: [{issuer: aa}]}"),
		object("security.istio.io/v1", "RequestAuthentication", "foo", "other", "{selector: {matchLabels: {app: other}}, jwtRules: [{issuer: '0'}]}"),
		object("security.istio.io/v1", "RequestAuthentication", "bar", "elsewhere", "{jwtRules: [{issuer: '0'}]}"),
	).Proxy)
	var got []string
	for _, p := range f.Providers {
		got = append(got, fmt.Sprintf("%s %s%v %s %s", p.Name, p.Issuer, p.Audiences, p.Origin.Name, p.Origin.Field))
	}
	want := []string{"origins-0 a[] z spec.jwtRules[1]", "origins-1 aa[] root spec.jwtRules[0]", "origins-2 b[2nd] x spec.jwtRules[0]", "origins-3 b[1st] z spec.jwtRules[0]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if !f.BypassCORSPreflight {
		t.Error("preflights are looked at")
	}
}

func TestWithoutRulesThereIsNoFilter(t *testing.T) {
	for name, docs := range map[string][]string{
		"no policy": nil, "a policy without rules": {requestAuthn("r", "")},
		"a policy of another workload": {object("security.istio.io/v1", "RequestAuthentication", "foo", "r", "{selector: {matchLabels: {app: x}}, jwtRules: [{issuer: a}]}")},
	} {
		if f := jwtAuthn(translated(t, docs...).Proxy); f != nil {
			t.Errorf("%s: there is one", name)
		}
	}
}

func TestARuleBecomesAProvider(t *testing.T) {
	p := jwtAuthn(translated(t, requestAuthn("r", `{issuer: i, audiences: [a, b], forwardOriginalToken: true, outputPayloadToHeader: X-P,
    fromHeaders: [{name: X-A, prefix: "P "}, {name: x-b}], fromParams: [t, u], fromCookies: [c],
    outputClaimToHeaders: [{header: X-C, claim: a.b}], spaceDelimitedClaims: [roles, scope]}`)).Proxy).Providers[0]
	var places []string
	for _, l := range p.Locations {
		places = append(places, fmt.Sprintf("%d %s %q %s", l.Kind, l.Name, l.Prefix, strings.TrimPrefix(l.Origin.Field, "spec.jwtRules[0].")))
	}
	want := []string{`0 X-A "P " fromHeaders[0]`, `0 x-b "" fromHeaders[1]`, `1 t "" fromParams[0]`, `1 u "" fromParams[1]`, `2 c "" fromCookies[0]`}
	if !slices.Equal(places, want) {
		t.Errorf("places are %q", places)
	}
	if p.Issuer != "i" || !slices.Equal(p.Audiences, []string{"a", "b"}) || !p.Forward || p.PayloadHeader != "X-P" ||
		!slices.Equal(p.ClaimHeaders, []envoy.ClaimHeader{{Header: "X-C", Claim: "a.b"}}) || !slices.Equal(p.SpaceDelimited, []string{"permission", "roles", "scope"}) {
		t.Errorf("got %+v", p)
	}
	bare := jwtAuthn(translated(t, requestAuthn("r", "{issuer: i}")).Proxy).Providers[0]
	if len(bare.Locations) != 0 || bare.Forward || !slices.Equal(bare.SpaceDelimited, []string{"permission", "scope"}) {
		t.Errorf("got %+v", bare)
	}
}

func TestWhoFetchesTheKeysDependsOnTheMode(t *testing.T) {
	const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: idp, namespace: foo}
spec: {hosts: [idp.test], ports: [{number: 443, name: https, protocol: HTTPS}]}`
	const service = `apiVersion: v1
kind: Service
metadata: {name: idp, namespace: bar}
spec: {ports: [{port: 80}]}`
	inline := envoy.KeySource{Fetcher: envoy.Inline, Inline: "{}"}
	by := func(f envoy.Fetcher, uri string) envoy.KeySource {
		return envoy.KeySource{Fetcher: f, URI: uri, Issuer: "i"}
	}
	nowhere := func(uri string) envoy.KeySource {
		return envoy.KeySource{Fetcher: envoy.ProxyFetch, URI: uri, Issuer: "i", NoCluster: true}
	}
	const idp, inMesh, unknown = "https://idp.test/keys", "http://idp.bar.svc.cluster.local/keys", "https://nobody.test/keys"
	for _, c := range []struct {
		name string
		mode JWKSMode
		rule string
		want envoy.KeySource
	}{
		{"inline", JWKSByIstiod, "{issuer: i, jwks: '{}'}", inline},
		{"a URI", JWKSByIstiod, "{issuer: i, jwksUri: '" + idp + "'}", by(envoy.ControlPlane, idp)},
		{"inline wins over a URI", JWKSByIstiod, "{issuer: i, jwks: '{}', jwksUri: '" + idp + "'}", inline},
		{"discovery", JWKSByIstiod, "{issuer: i}", by(envoy.ControlPlane, "")},
		{"hybrid, a ServiceEntry", JWKSHybrid, "{issuer: i, jwksUri: '" + idp + "'}", by(envoy.ProxyFetch, idp)},
		{"hybrid, a Service", JWKSHybrid, "{issuer: i, jwksUri: '" + inMesh + "'}", by(envoy.ProxyFetch, inMesh)},
		{"hybrid, another port of it", JWKSHybrid, "{issuer: i, jwksUri: 'http://idp.test/keys'}", nowhere("http://idp.test/keys")},
		{"hybrid, unknown", JWKSHybrid, "{issuer: i, jwksUri: '" + unknown + "'}", by(envoy.ControlPlane, unknown)},
		{"hybrid, a URI wins over inline", JWKSHybrid, "{issuer: i, jwks: '{}', jwksUri: '" + idp + "'}", by(envoy.ProxyFetch, idp)},
		{"hybrid, inline alone", JWKSHybrid, "{issuer: i, jwks: '{}'}", inline},
		{"envoy, unknown", JWKSByEnvoy, "{issuer: i, jwksUri: '" + unknown + "'}", nowhere(unknown)},
		{"envoy, discovery", JWKSByEnvoy, "{issuer: i}", by(envoy.ControlPlane, "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, httpbin, entry, service, requestAuthn("r", c.rule))
			res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080, RemoteJWKS: c.mode})
			if got := jwtAuthn(res.Proxy).Providers[0].Keys; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestIstiodsDeploymentTellsWhoFetchesTheKeys(t *testing.T) {
	istiod := func(name, labels, env string) string {
		return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + name + `, namespace: istio-system, labels: {app: istiod` + labels + `}}
spec: {template: {spec: {containers: [{name: discovery, image: pilot, env: [` + env + `]}]}}}`
	}
	byEnvoy, hybrid := "{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: envoy}", `{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: "true"}`
	const uri = "https://nobody.test/keys"
	for _, c := range []struct {
		name     string
		objects  []string
		complete bool
		fetcher  envoy.Fetcher
		assumed  Assumption
	}{
		{"no Deployment", nil, true, envoy.ControlPlane, Assumption{EnvRemoteJWKS, "istiod", "default"}},
		{"not set", []string{istiod("istiod", "", "{name: OTHER, value: x}")}, true, envoy.ControlPlane, Assumption{EnvRemoteJWKS, "istiod", "default"}},
		{"the proxies", []string{istiod("istiod", "", byEnvoy)}, true, envoy.ProxyFetch, Assumption{EnvRemoteJWKS, "envoy", "Deployment istio-system/istiod"}},
		{"what the mesh knows", []string{istiod("istiod", "", hybrid)}, true, envoy.ControlPlane, Assumption{EnvRemoteJWKS, "true", "Deployment istio-system/istiod"}},
		{
			"another revision's", []string{istiod("istiod", ", istio.io/rev: default", "{name: OTHER, value: x}"), istiod("istiod-canary", ", istio.io/rev: canary", byEnvoy)},
			true, envoy.ControlPlane, Assumption{EnvRemoteJWKS, "istiod", "default"},
		},
		// What a cluster was asked for does not have every Service: see Input.Complete.
		{"a part of the mesh", []string{istiod("istiod", "", byEnvoy)}, false, envoy.ControlPlane, Assumption{EnvRemoteJWKS, "istiod", "default"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, append(c.objects, httpbin, requestAuthn("r", "{issuer: i, jwksUri: '"+uri+"'}"))...)
			res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080, Complete: c.complete})
			if got := jwtAuthn(res.Proxy).Providers[0].Keys; got.Fetcher != c.fetcher || got.NoCluster != (c.fetcher == envoy.ProxyFetch) {
				t.Errorf("got %+v", got)
			}
			if !slices.Contains(res.Assumed, c.assumed) {
				t.Errorf("assumed %+v", res.Assumed)
			}
		})
	}
}

func TestTheControlPlaneResolvesShortNamesInItsOwnNamespaceAlone(t *testing.T) {
	service := func(namespace string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: idp, namespace: " + namespace + "}\nspec: {ports: [{port: 80}]}"
	}
	for _, c := range []struct {
		name, uri string
		services  []string
		short     bool
	}{
		{"a Service of the policy's namespace", "http://idp/keys", []string{service("foo")}, true},
		{"with a port", "http://idp:8080/keys", []string{service("foo")}, true},
		{"one of istiod's too", "http://idp/keys", []string{service("foo"), service("istio-system")}, false},
		{"in full", "http://idp.foo.svc.cluster.local/keys", []string{service("foo")}, false},
		{"with the namespace", "http://idp.foo/keys", []string{service("foo")}, false},
		{"a name that is no Service's", "http://idp/keys", []string{service("bar")}, false},
		{"an address", "http://[::1]/keys", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, append(c.services, httpbin, requestAuthn("r", "{issuer: i, jwksUri: '"+c.uri+"'}"))...)
			res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080})
			if got := jwtAuthn(res.Proxy).Providers[0].Keys; got.ShortName != c.short {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAnObjectThatCannotBeReadIsAGap(t *testing.T) {
	broken := "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: foo, uid: \"1\"}\nspec: {rules: 7}\n"
	s, err := trySnapshot(httpbin, broken)
	if err != nil {
		t.Skipf("the reader refuses it first: %v", err)
	}
	res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080})
	if len(res.Gaps) != 1 || !strings.Contains(res.Gaps[0].What, "foo/p") {
		t.Errorf("gaps are %+v", res.Gaps)
	}
}
