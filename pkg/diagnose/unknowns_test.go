package diagnose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
)

// unknown is a question that nobody can answer, with what is left and what it
// depends on, and a twin that differs in one thing and has a plain answer.
type unknown struct {
	name     string
	q        askedOf
	want     []int  // the statuses that are left, the most severe first
	on       string // a part of what the verdict depends on
	twin     askedOf
	twinWant int
}

// with is a question about a mesh that has these documents.
func with(docs ...string) askedOf { return askedOf{docs: docs} }

func (q askedOf) sends(token string) askedOf {
	q.headers = bearerLine(token)
	return q
}

func (q askedOf) asks(path string) askedOf {
	q.path = path
	return q
}

func (q askedOf) lines(nameValues ...string) askedOf {
	q.headers = lines(nameValues...)
	return q
}

func (q askedOf) by(c *diagnose.Caller) askedOf {
	q.caller = c
	return q
}

func (q askedOf) annotated(a string) askedOf {
	q.annotations = a
	return q
}

func (q askedOf) atProxy(v string) askedOf {
	q.proxy, q.istiod = v, "1.32.0"
	return q
}

func (q askedOf) atIstiod(v string) askedOf {
	q.proxy, q.istiod = "1.32.0", v
	return q
}

func (q askedOf) withKeys(keys []diagnose.KeyFile) askedOf {
	q.keys = keys
	return q
}

func (q askedOf) atGateway() askedOf {
	q.gateway = true
	return q
}

var (
	nobodySaid  = &diagnose.Caller{LocalIP: netip.MustParseAddr("10.9.9.9")}
	plainClient = &diagnose.Caller{Plaintext: true}
	gatewayDoc  = doc("Gateway", "foo", "g", `{selector: {app: httpbin}, servers: [{port: {number: 8000, name: http, protocol: HTTP}, hosts: ["*"]}]}`)
	strict      = doc("PeerAuthentication", "foo", "s", "{mtls: {mode: STRICT}}")
	anyone      = allowPolicy("{}")
	noOne       = doc("AuthorizationPolicy", "foo", "none", "{}")
	custom      = doc("AuthorizationPolicy", "foo", "c", `{action: CUSTOM, provider: {name: ext}, rules: [{to: [{operation: {paths: ["/custom"]}}]}]}`)
	authorizer  = `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "extensionProviders: [{name: ext, envoyExtAuthzGrpc: {service: httpbin.foo.svc.cluster.local, port: 8000}}]"}`
	elsewhere = `{matchLabels: {app: other}}`
)

// filter is an EnvoyFilter with one patch.
func filter(applyTo, match string) string {
	return doc("EnvoyFilter", "foo", "lua", patches(applyTo, match))
}

func patches(applyTo, match string) string {
	return fmt.Sprintf("{configPatches: [{applyTo: %s, match: %s, patch: {operation: MERGE, value: {name: lua}}}]}", applyTo, match)
}

func plugin(fields string) string {
	return doc("WasmPlugin", "foo", "w", "{url: oci://x/y, "+fields+"}")
}

func envoyFilters() []unknown {
	const http = "HTTP_FILTER"
	inbound := filter(http, "{context: SIDECAR_INBOUND}")
	const doing = "EnvoyFilter foo/lua"
	return []unknown{
		{"an HTTP filter is put in", with(filter(http, "{}")), []int{403, 200}, doing, with(filter("CLUSTER", "{}")), 200},
		{"by the context of what comes in", with(inbound), []int{403, 200}, doing, with(filter(http, "{context: SIDECAR_OUTBOUND}")), 200},
		{"by any context", with(filter(http, "{context: ANY}")), []int{403, 200}, doing, with(filter(http, "{context: GATEWAY}")), 200},
		{"by one of the root namespace", with(doc("EnvoyFilter", "istio-system", "lua", patches(http, "{}"))), []int{403, 200}, "istio-system/lua",
			with(doc("EnvoyFilter", "bar", "lua", patches(http, "{}"))), 200},
		{"with a selector", with(doc("EnvoyFilter", "foo", "lua", "{workloadSelector: {labels: {app: httpbin}}, "+patches(http, "{}")[1:])), []int{403, 200}, doing,
			with(doc("EnvoyFilter", "foo", "lua", "{workloadSelector: {labels: {app: other}}, "+patches(http, "{}")[1:])), 200},
		{"for the proxy's version", with(filter(http, `{proxy: {proxyVersion: "^1\\.29.*"}}`)).atProxy("1.29.7"), []int{403, 200}, doing,
			with(filter(http, `{proxy: {proxyVersion: "^1\\.29.*"}}`)).atProxy("1.30.4"), 200},
		{"for versions, and the proxy's is not known", with(filter(http, `{proxy: {proxyVersion: "^1\\.29.*"}}`)), []int{403, 200}, doing,
			with(filter(http, `{proxy: {proxyVersion: "^1\\.29.*"}}`)).atProxy("1.31.2-distroless"), 200},
		{"for the port", with(filter(http, "{listener: {portNumber: 8080}}")), []int{403, 200}, doing, with(filter(http, "{listener: {portNumber: 9090}}")), 200},
		{"for the listener", with(filter(http, "{listener: {name: virtualInbound}}")), []int{403, 200}, doing, with(filter(http, "{listener: {name: virtualOutbound}}")), 200},
		{"a network filter", with(filter("NETWORK_FILTER", "{}")), []int{0, 403, 200}, doing, with(filter("HTTP_ROUTE", "{}")), 200},
		{"a filter chain", with(filter("FILTER_CHAIN", "{}")), []int{0, 403, 200}, doing, with(filter("EXTENSION_CONFIG", "{}")), 200},
		{"a listener filter", with(filter("LISTENER_FILTER", "{}")), []int{0, 403, 200}, doing, with(doc("EnvoyFilter", "foo", "lua", "{configPatches: []}")), 200},
		{"the bootstrap", with(filter("BOOTSTRAP", "{}")), []int{0, 403, 200}, doing, with(filter("ROUTE_CONFIGURATION", "{}")), 200},
		{"the listener itself", with(filter("LISTENER", "{}")), []int{0, 403, 200}, doing,
			with(doc("EnvoyFilter", "foo", "lua", "{configPatches: [{applyTo: LISTENER, patch: {operation: ADD, value: {name: x}}}]}")), 200},
		{"a virtual host that switches filters off",
			with(doc("EnvoyFilter", "foo", "lua", "{configPatches: [{applyTo: VIRTUAL_HOST, patch: {operation: MERGE, value: {typed_per_filter_config: {envoy.filters.http.rbac: {}}}}}]}")),
			[]int{403, 200}, doing, with(filter("VIRTUAL_HOST", "{}")), 200},
		{"in front of a denial", with(inbound, noOne), []int{403, 200}, doing, with(inbound, strict), 0},
		{"in front of a bad token", with(inbound, issuerA()).sends("junk"), []int{401, 403, 200}, doing, with(inbound, issuerA()).sends("junk").asks("/%00"), 400},
		{"one that sidecars heed", with(inbound), []int{403, 200}, doing,
			with(doc("EnvoyFilter", "foo", "lua", "{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g}], "+patches(http, "{}")[1:])), 200},
		{"at a gateway", with(gatewayDoc, filter(http, "{context: GATEWAY}")).atGateway(), []int{403, 200}, doing, with(gatewayDoc, inbound).atGateway(), 200},
		{"at a gateway's listener", with(gatewayDoc, filter(http, "{context: GATEWAY, listener: {portNumber: 8080}}")).atGateway(), []int{403, 200}, doing,
			with(gatewayDoc, filter(http, "{context: GATEWAY, listener: {portNumber: 8443}}")).atGateway(), 200},
	}
}

func extensions() []unknown {
	const doing = "WasmPlugin foo/w"
	lua := func(fields string) string {
		return doc("TrafficExtension", "foo", "t", "{"+fields+"}")
	}
	return []unknown{
		{"a plugin before tokens are verified", with(plugin("phase: AUTHN")), []int{403, 200}, doing, with(doc("WasmPlugin", "foo", "w", "{phase: AUTHN}")), 200},
		{"a plugin before a bad token", with(plugin("phase: AUTHN"), issuerA()).sends("junk"), []int{401, 403, 200}, doing, with(plugin("phase: AUTHZ"), issuerA()).sends("junk"), 401},
		{"a plugin before the policies", with(plugin("phase: AUTHZ"), noOne), []int{403, 200}, doing, with(plugin("phase: STATS"), noOne), 403},
		{"a plugin behind the policies that let pass", with(plugin("priority: 1"), anyone), []int{403, 200}, doing, with(plugin("priority: 1"), noOne), 403},
		{"a plugin for what comes in", with(plugin("phase: AUTHN, match: [{mode: SERVER}]")), []int{403, 200}, doing, with(plugin("phase: AUTHN, match: [{mode: CLIENT}]")), 200},
		{"a plugin for the port", with(plugin("phase: AUTHN, match: [{ports: [{number: 8080}]}]")), []int{403, 200}, doing,
			with(plugin("phase: AUTHN, match: [{ports: [{number: 9090}]}]")), 200},
		{"a plugin for bytes", with(plugin("type: NETWORK")), []int{0, 200}, doing, with(plugin("type: NETWORK, selector: " + elsewhere)), 200},
		{"a plugin of the root namespace", with(doc("WasmPlugin", "istio-system", "w", "{url: oci://x/y, phase: AUTHZ}")), []int{403, 200}, "istio-system/w",
			with(doc("WasmPlugin", "bar", "w", "{url: oci://x/y, phase: AUTHZ}")), 200},
		{"a plugin at a gateway", with(gatewayDoc, plugin("phase: AUTHN, match: [{mode: CLIENT}]")).atGateway(), []int{403, 200}, doing,
			with(gatewayDoc, plugin("phase: AUTHN, match: [{mode: SERVER}]")).atGateway(), 200},
		{"a Lua extension", with(lua("phase: AUTHN, lua: {inlineCode: x}")), []int{403, 200}, "TrafficExtension foo/t", with(lua("phase: STATS, lua: {inlineCode: x}")), 200},
		{"a Wasm extension", with(lua("phase: AUTHZ, wasm: {url: oci://x}")), []int{403, 200}, "TrafficExtension foo/t", with(lua("phase: AUTHZ")), 200},
	}
}

func ownSettings() []unknown {
	const strip = "HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED"
	config := func(text string) string { return fmt.Sprintf(`{"proxy.istio.io/config": %q}`, text) }
	env := doc("ProxyConfig", "foo", "pc", `{environmentVariables: {`+strip+`: "false"}}`)
	return []unknown{
		{"a fragment where the variable is off", with(env).asks("/a#b"), []int{400, 200}, "fragment", with(env).asks("/a"), 200},
		{"a fragment where the annotation says so", with().annotated(config("proxyMetadata: {" + strip + ": \"false\"}")).asks("/#b"), []int{400, 200}, "fragment",
			with().annotated(config("proxyMetadata: {" + strip + ": \"true\"}")).asks("/#b"), 200},
		{"a fragment and another workload's ProxyConfig", with(env).asks("/#b"), []int{400, 200}, "fragment",
			with(doc("ProxyConfig", "foo", "pc", `{selector: `+elsewhere+`, environmentVariables: {`+strip+`: "false"}}`)).asks("/#b"), 200},
		{"another bootstrap", with().annotated(`{"sidecar.istio.io/bootstrapOverride": "mine"}`), []int{403, 200}, "bootstrap", with().annotated(`{"a": "mine"}`), 200},
		{"a runtime value that is not known", with().annotated(config("runtimeValues: {envoy.reloadable_features.x: \"false\"}")), []int{403, 200}, "runtime value",
			with().annotated(config("runtimeValues: {overload.global_downstream_max_connections: \"5\"}")), 200},
		{"a newer field of a ProxyConfig", with(served("ProxyConfig", "foo", "pc", "{policyMode: x}")), []int{403, 200}, "spec.policyMode",
			with(served("ProxyConfig", "foo", "pc", "{policyMode: x, selector: "+elsewhere+"}")), 200},
	}
}

func newerFields() []unknown {
	deny := func(spec string) string { return served("AuthorizationPolicy", "foo", "newer", spec) }
	onAdmin := `to: [{operation: {paths: ["/admin"], weekdays: [mon]}}]`
	return []unknown{
		{"a newer field of a DENY rule", with(deny("{action: DENY, rules: [{" + onAdmin + "}]}")).asks("/admin"), []int{403, 200}, "weekdays",
			with(deny("{action: DENY, rules: [{" + onAdmin + "}]}")).asks("/other"), 200},
		{"a newer field of the only ALLOW rule", with(deny("{rules: [{" + onAdmin + "}]}")).asks("/admin"), []int{403, 200}, "weekdays",
			with(deny("{rules: [{"+onAdmin+"}]}"), anyone).asks("/admin"), 200},
		{"a newer field of an ALLOW rule that fails elsewhere", with(deny("{rules: [{" + onAdmin + "}]}")).asks("/admin"), []int{403, 200}, "weekdays",
			with(deny("{rules: [{" + onAdmin + "}]}")).asks("/other"), 403},
		{"a newer field of the policy", with(deny("{mode: x, action: DENY, rules: [{to: [{operation: {paths: [\"/a\"]}}]}]}")), []int{403, 200}, "spec.mode",
			with(deny("{mode: x, selector: " + elsewhere + ", action: DENY, rules: [{}]}")), 200},
		{"a newer field of a policy without rules", with(deny("{mode: x}")), []int{403, 200}, "spec.mode", with(deny("{}")), 403},
		{"a newer field where ALLOW denies nothing", with(deny("{mode: x, action: DENY, rules: [{}]}")), []int{403, 200}, "spec.mode",
			with(deny("{mode: x, action: DENY, rules: [{}]}"), noOne), 403},
		{"a newer field of a rule for tokens", with(served("RequestAuthentication", "foo", "a", "{jwtRules: [{issuer: iss-a, "+inlineKeys()+", nonce: x}]}")), []int{401, 200}, "nonce",
			with(served("RequestAuthentication", "bar", "a", "{jwtRules: [{issuer: iss-a, "+inlineKeys()+", nonce: x}]}")), 200},
		{"and CUSTOM refuses before", with(served("RequestAuthentication", "foo", "a", "{other: 1}"), custom).asks("/"), []int{401, 200}, "spec.other",
			with(served("RequestAuthentication", "foo", "a", "{other: 1}"), custom).asks("/custom"), 403},
		{"a newer field of a PeerAuthentication", with(served("PeerAuthentication", "foo", "newer", "{mtls: {mode: PERMISSIVE, rotate: x}}")), []int{0, 200}, "rotate",
			with(served("PeerAuthentication", "foo", "newer", "{mtls: {mode: PERMISSIVE, rotate: x}, selector: "+elsewhere+"}")), 200},
		{"a newer field of a Gateway", with(served("Gateway", "foo", "newer", `{selector: {app: httpbin}, servers: [{port: {number: 8000, name: http, protocol: HTTP, x: 1}, hosts: ["*"]}]}`)).atGateway(),
			[]int{0, 200}, "spec.servers", with(gatewayDoc, served("Gateway", "foo", "newer", `{selector: {app: other}, servers: [{x: 1}]}`)).atGateway(), 200},
		{"a policy with an action that is not known", with(deny("{action: LIMIT, rules: [{}]}")), []int{403, 200}, "AuthorizationPolicy foo/newer",
			with(deny("{action: LIMIT, selector: " + elsewhere + "}")), 200},
		{"rules for tokens that do not fit", with(served("RequestAuthentication", "foo", "a", "{jwtRules: [{issuer: [x]}]}")), []int{401, 200}, "RequestAuthentication foo/a",
			with(served("RequestAuthentication", "foo", "a", "{selector: "+elsewhere+", jwtRules: [{issuer: [x]}]}")), 200},
		{"a mode that is not known", with(served("PeerAuthentication", "foo", "newer", "{mtls: {mode: QUANTUM}}")), []int{0, 200}, "PeerAuthentication foo/newer",
			with(served("PeerAuthentication", "bar", "newer", "{mtls: {mode: QUANTUM}}")), 200},
		{"an EnvoyFilter that does not fit", with(served("EnvoyFilter", "foo", "newer", "{configPatches: [{applyTo: NEWER}]}")), []int{403, 200}, "EnvoyFilter foo/newer",
			with(served("EnvoyFilter", "foo", "newer", "{workloadSelector: {labels: {app: other}}, configPatches: [{applyTo: NEWER}]}")), 200},
	}
}

func keysNotAtHand() []unknown {
	good := tokenA(`"sub":"u"`)
	discovered := doc("RequestAuthentication", "foo", "a", "{jwtRules: [{issuer: iss-a}]}")
	expired := mint.Token(mint.RSA(), `{"alg":"RS256","kid":"a"}`, `{"iss":"iss-a","exp":5}`)
	identified := allowPolicy(`{from: [{source: {requestPrincipals: ["iss-a/u"]}}]}`)
	fetchedBy := func(mode istio.JWKSMode) askedOf {
		q := with(uriOnly).sends(good)
		q.remote = mode
		return q
	}
	return []unknown{
		{"keys at a jwksUri", with(uriOnly).sends(good), []int{401, 200}, keysURI, with(uriOnly).sends(good).withKeys(goodKeys), 200},
		{"keys at a jwksUri, and a token", with(uriOnly).sends(good), []int{401, 200}, keysURI, with(uriOnly), 200},
		{"keys that the issuer publishes", with(discovered).sends(good), []int{401, 200}, "iss-a", with(discovered).sends(expired), 401},
		{"keys that istiod fetches as the mesh does not know the host", fetchedBy(istio.JWKSHybrid), []int{401, 200}, keysURI, fetchedBy(istio.JWKSByEnvoy), 401},
		{"keys of one of two issuers", with(uriOnly, issuerB).sends(good), []int{401, 200}, keysURI, with(uriOnly, issuerB).sends(tokenB()), 200},
		{"keys, and a policy that wants the identity", with(uriOnly, identified).sends(good), []int{401, 200}, keysURI, with(uriOnly, identified), 403},
		{"keys, and a policy that refuses either way", with(uriOnly, noOne).sends(good), []int{403, 401}, keysURI, with(uriOnly, noOne).sends(tokenB()), 401},
	}
}

func callerNotGiven() []unknown {
	at := netip.MustParseAddr("10.1.2.3")
	block := denyPolicy(`{from: [{source: {ipBlocks: ["10.1.0.0/16"]}}]}`)
	remote := denyPolicy(`{from: [{source: {remoteIpBlocks: ["192.0.2.0/24"]}}]}`)
	member := allowPolicy(`{from: [{source: {principals: ["cluster.local/ns/foo/sa/a"]}}]}`)
	sni := denyPolicy(`{when: [{key: connection.sni, values: [a.b]}]}`)
	host := denyPolicy(`{to: [{operation: {hosts: [a.b]}}]}`)
	stranger := &diagnose.Caller{}
	noHost := with(gatewayDoc, host).atGateway()
	noHost.noHost = true
	return []unknown{
		{"an identity that an ALLOW wants", with(member).by(nobodySaid), []int{403, 200}, "identity", with(member).by(plainClient), 403},
		{"an identity that a DENY wants not to be there", with(denyPolicy(`{from: [{source: {notPrincipals: ["*"]}}]}`)).by(nobodySaid), []int{403, 200}, "identity",
			with(denyPolicy(`{from: [{source: {notPrincipals: ["*"]}}]}`)).by(mtlsAs("cluster.local/ns/foo/sa/a")), 200},
		{"a namespace", with(denyPolicy(`{from: [{source: {namespaces: [foo]}}]}`)).by(nobodySaid), []int{403, 200}, "identity",
			with(denyPolicy(`{from: [{source: {namespaces: [foo]}}], to: [{operation: {paths: ["/x"]}}]}`)).by(nobodySaid), 200},
		{"an address", with(block).by(plainClient), []int{403, 200}, "address", with(block).by(&diagnose.Caller{Plaintext: true, IP: at}), 403},
		{"an address behind no proxy", with(remote).by(plainClient), []int{403, 200}, "address", with(remote).by(plainClient).lines("x-forwarded-for", "192.0.2.7"), 403},
		{"mTLS where it is a must", with(strict).by(nobodySaid), []int{0, 200}, "identity", with(strict).by(mtlsAs("cluster.local/ns/foo/sa/a")), 200},
		{"a server name", with(sni).by(nobodySaid), []int{403, 200}, "server name", with(sni).by(plainClient), 200},
		{"the pod's address", with(denyPolicy(`{when: [{key: destination.ip, values: ["10.9.9.9"]}]}`)).by(plainClient), []int{403, 200}, "address of the pod",
			with(denyPolicy(`{when: [{key: destination.ip, values: ["10.9.9.9"]}]}`)), 403},
		{"the host at a gateway", noHost.by(stranger), []int{403, 200}, "host", with(gatewayDoc, host).atGateway(), 200},
		{"an address at a gateway", with(gatewayDoc, block).atGateway().by(stranger), []int{403, 200}, "address",
			with(gatewayDoc, block).atGateway().by(&diagnose.Caller{IP: at}), 403},
		{"an authorizer", with(authorizer, custom).asks("/custom"), []int{403, 200}, "authorizer", with(authorizer, custom).asks("/"), 200},
		{"an authorizer before a bad token", with(authorizer, custom, issuerA()).asks("/custom").sends("junk"), []int{401, 403}, "authorizer",
			with(authorizer, custom, issuerA()).asks("/").sends("junk"), 401},
		{"what a proxy that refuses its listener still has", with(doc("RequestAuthentication", "foo", "a", "{jwtRules: [{issuer: iss-a, jwks: \"{}\"}]}")), nil, "still has", with(issuerA()), 200},
		{"a template that the proxy refuses", with(denyPolicy(`{to: [{operation: {paths: ["/a/{**}/{*}"]}}]}`)), nil, "still has",
			with(denyPolicy(`{to: [{operation: {paths: ["/a/{*}/{**}"]}}]}`)), 200},
	}
}

func versionsNotKnown() []unknown {
	role := denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}]}`)
	two := func(v string) askedOf { return with(role).lines("x-role", "user", "x-role", "admin").atProxy(v) }
	admin := denyPolicy(`{to: [{operation: {paths: ["/admin"]}}]}`)
	template := denyPolicy(templatePolicy)
	groups := allowPolicy(`{when: [{key: "request.auth.claims[groups]", values: [admin]}]}`)
	nested := allowPolicy(`{when: [{key: "request.auth.claims[a][b]", values: [v]}]}`)
	principal := allowPolicy(`{from: [{source: {requestPrincipals: ["iss-a/u/1"]}}]}`)
	audience := allowPolicy(`{when: [{key: request.auth.audiences, values: [x]}]}`)
	account := denyPolicy(`{from: [{source: {serviceAccounts: [foo/bar]}}]}`)
	dotted := denyPolicy(`{from: [{source: {serviceAccounts: ["foo/a.b"]}}]}`)
	twice := mint.Token(mint.RSA(), `{"alg":"RS256","kid":"a"}`, `{"iss":"iss-a","sub":"a","sub":"b"}`)
	anyIssuer := doc("RequestAuthentication", "foo", "a", "{jwtRules: [{"+inlineKeys()+"}]}")
	spoof := func(v string) askedOf {
		q := with(issuerA("outputClaimToHeaders: [{header: x-sub, claim: sub}]"), denyPolicy(`{when: [{key: "request.headers[x-sub]", values: [admin]}]}`)).
			lines("x-sub", "admin", "origin", "http://a", "access-control-request-method", "GET").atProxy(v)
		q.method = "OPTIONS"
		return q
	}
	failed := func(v string) askedOf { return with(uriOnly).withKeys(fetchFails).sends(tokenA("")).atIstiod(v) }
	asm := func(v string) askedOf { return with(uriOnly).withKeys(goodKeys).sends(tokenA("")).atIstiod(v) }
	return []unknown{
		{"a build of ASM that may have the fix", two("1.27.3.50-aliyun"), []int{403, 200}, "whether in this proxy each line", two("1.27.8.50-aliyun"), 403},
		{"the same, and one line", two("v1.22.6.109"), []int{403, 200}, "each line", with(role).lines("x-role", "user").atProxy("v1.22.6.109"), 200},
		{"a tag that moves", two("1.28"), []int{403, 200}, "each line", two("1.28.5"), 403},
		{"a build before the release", two("1.30-alpha.abc"), []int{403, 200}, "each line", two("1.31-alpha.abc"), 403},
		{"ASM and a star in a template's segment", with(template).asks("/u/*/p").atProxy("1.25.2.9"), []int{403, 200}, "star", with(template).asks("/u/a/p").atProxy("1.25.2.9"), 403},
		{"ASM and a dot segment with parameters", with(admin).asks("/x/..;a/admin").atProxy("v1.29.6.1-gda24841c-aliyun"), []int{403, 200}, "..;x",
			with(admin).asks("/x/../admin").atProxy("v1.29.6.1-gda24841c-aliyun"), 403},
		{"headers of rules in a preflight before 1.32", spoof("1.30.4"), []int{403, 200}, "removed from every request", spoof("1.32.0"), 200},
		{"words of a claim before 1.21", with(issuerA(), groups).sends(tokenA(`"groups":"dev admin"`)).atIstiod("1.20.8"), []int{403, 200}, "istio_authn",
			with(issuerA(), groups).sends(tokenA(`"groups":["dev","admin"]`)).atIstiod("1.20.8"), 200},
		{"a nested claim before 1.21", with(issuerA(), nested).sends(tokenA(`"a":{"b":"v"}`)).atIstiod("1.20.8"), []int{403, 200}, "istio_authn",
			with(issuerA(), nested).sends(tokenA(`"a":{"b":"v"}`)).atIstiod("1.21.1"), 200},
		{"a principal with a slash before 1.21", with(issuerA(), principal).sends(tokenA(`"sub":"u/1"`)).atIstiod("1.20.8"), []int{403, 200}, "istio_authn",
			with(issuerA(), principal).atIstiod("1.20.8"), 403},
		{"a proxy before 1.21 of an istiod before 1.24", askedOf{docs: []string{issuerA(), principal}, headers: bearerLine(tokenA(`"sub":"u/1"`)), proxy: "1.20.8", istiod: "1.23.0"}, []int{403, 200}, "istio_authn",
			askedOf{docs: []string{issuerA(), principal}, headers: bearerLine(tokenA(`"sub":"u/1"`)), proxy: "1.21.6", istiod: "1.23.0"}, 403},
		{"aud in 1.21.0", with(issuerA(), audience).sends(tokenA(`"aud":"x"`)).atIstiod("1.21.0"), []int{403, 200}, "audiences",
			with(issuerA(), audience).sends(tokenA(`"aud":"x"`)).atIstiod("1.21.1"), 200},
		{"serviceAccounts in a build before 1.25", with(account).atIstiod("1.25-alpha.1"), []int{403, 200}, "serviceAccounts", with(account).atIstiod("1.25.0"), 200},
		{"a dot in serviceAccounts of ASM", with(dotted).by(mtlsAs("cluster.local/ns/foo/sa/axb")).atIstiod("1.28.5.7"), []int{403, 200}, "serviceAccounts",
			with(dotted).by(mtlsAs("cluster.local/ns/foo/sa/a.b")).atIstiod("1.28.5.7"), 403},
		{"the case of a host in an old ASM", with(denyPolicy(`{to: [{operation: {hosts: [HTTPBIN.foo]}}]}`)).atIstiod("v1.8.6.49-gda24841c-aliyun"), []int{403, 200}, "without case",
			with(denyPolicy(`{to: [{operation: {hosts: [httpbin.foo]}}]}`)).atIstiod("v1.8.6.49-gda24841c-aliyun"), 403},
		{"a placeholder with a text for a modulus", failed("1.20.8"), []int{401}, "placeholder", failed("1.21.0"), 401},
		{"the same, without a token", with(uriOnly).withKeys(fetchFails).atIstiod("1.14.6"), []int{200}, "placeholder", with(uriOnly).withKeys(fetchFails).atIstiod("1.30.0"), 200},
		{"a claim that stands twice, for an older parser", with(issuerA()).sends(twice).atProxy("1.25.0"), []int{401}, "JSON", with(issuerA()).sends(twice).atProxy("1.30.0"), 401},
		{"a rule without issuer before 1.27", with(anyIssuer).sends(tokenA("")).atIstiod("1.26.8"), []int{401, 200}, "without issuer", with(anyIssuer).sends(tokenA("")).atIstiod("1.27.0"), 200},
		{"a jwksUri in ASM before 1.13", asm("v1.12.4-6-g1a1d912366-pro-aliyun"), []int{401, 200}, keysURI, asm("1.13.4.50"), 200},
	}
}

func allUnknowns() []unknown {
	return slices.Concat(envoyFilters(), extensions(), ownSettings(), newerFields(), keysNotAtHand(), callerNotGiven(), versionsNotKnown())
}

func TestAVerdictThatNobodyCanKnowIsUndeterminedAndItsTwinIsNot(t *testing.T) {
	cases := allUnknowns()
	if len(cases) < 60 {
		t.Fatalf("there are %d cases", len(cases))
	}
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			d := c.q.ask(t)
			check(t, d, undetermined(c.want...))
			named := false
			for _, on := range d.DependsOn {
				named = named || strings.Contains(on.What, c.on)
			}
			if !named {
				t.Errorf("it depends on %v, which does not name %q", d.DependsOn, c.on)
			}
			twin := c.twin.ask(t)
			if twin.Verdict.Decision == envoy.Undetermined || twin.Verdict.Status != c.twinWant || len(twin.Possibilities) > 0 {
				t.Errorf("the twin: %v on %v, want %d", answer(twin), twin.DependsOn, c.twinWant)
			}
		})
	}
}

func TestEachPossibilityNamesWhatItDependsOn(t *testing.T) {
	d := with(filter("HTTP_FILTER", "{}"), uriOnly).sends(tokenA("")).ask(t)
	if len(d.Possibilities) < 3 {
		t.Fatalf("the possibilities are %+v", d.Possibilities)
	}
	for _, p := range d.Possibilities {
		if len(p.DependsOn) == 0 {
			t.Errorf("%s %d depends on nothing", p.Decision, p.Status)
		}
		if p.Status == 401 && !slices.Contains(p.DependsOn, "the keys at "+keysURI) {
			t.Errorf("a 401 depends on %v", p.DependsOn)
		}
	}
}

func TestAFactThatChangesNothingIsNotNamed(t *testing.T) {
	// Nobody knows the keys, and whoever it is, the authorizer may refuse: that the
	// proxy is old changes nothing.
	role := denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}], to: [{operation: {paths: ["/admin"]}}]}`)
	d := with(role, uriOnly).asks("/x").lines("x-role", "user", "x-role", "admin", "authorization", "Bearer "+tokenA("")).atProxy("1.27.3.50-aliyun").ask(t)
	check(t, d, undetermined(401, 200))
	if len(d.DependsOn) != 1 || !strings.Contains(d.DependsOn[0].What, keysURI) {
		t.Errorf("it depends on %v", d.DependsOn)
	}
}

func TestWhatWasSkippedIsSaidWithTheReason(t *testing.T) {
	for _, c := range []struct{ doc, why string }{
		{filter("CLUSTER", "{}"), "clusters"},
		{filter("HTTP_FILTER", "{context: SIDECAR_OUTBOUND}"), "SIDECAR_OUTBOUND"},
		{filter("HTTP_FILTER", "{listener: {portNumber: 1}}"), "port is 1"},
		{filter("HTTP_ROUTE", "{}"), "routes"},
		{plugin("phase: STATS"), "STATS"},
		{plugin("phase: AUTHN, match: [{mode: CLIENT}]"), "other traffic"},
		{doc("ProxyConfig", "foo", "pc", "{concurrency: 2}"), "nothing that it sets"},
		{plugin("selector: " + elsewhere), "app=other"},
	} {
		d := with(c.doc).ask(t)
		check(t, d, []int{200})
		if !slices.ContainsFunc(d.Skipped, func(s diagnose.Skipped) bool { return strings.Contains(s.Why, c.why) }) {
			t.Errorf("%q is not among the reasons %v", c.why, d.Skipped)
		}
	}
}

func TestAPortThatIsNotCapturedIsNotProtected(t *testing.T) {
	for annotations, want := range map[string]int{
		`{"traffic.sidecar.istio.io/excludeInboundPorts": "80, 8080"}`: 200,
		`{"traffic.sidecar.istio.io/excludeInboundPorts": "80"}`:       403,
		`{"traffic.sidecar.istio.io/includeInboundPorts": "9090"}`:     200,
		`{"traffic.sidecar.istio.io/includeInboundPorts": ""}`:         200,
		`{"traffic.sidecar.istio.io/includeInboundPorts": "*"}`:        403,
		`{"traffic.sidecar.istio.io/includeInboundPorts": "8080"}`:     403,
	} {
		d := with(noOne).annotated(annotations).ask(t)
		check(t, d, []int{want})
		if said := strings.Contains(d.Because, "nothing is enforced"); said != (want == 200) {
			t.Errorf("%s: %s", annotations, d.Because)
		}
	}
}
