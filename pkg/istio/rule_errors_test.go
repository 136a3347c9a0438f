package istio

import (
	"strings"
	"testing"
)

func TestAnErrorDropsTheRuleOfAnALLOWAndTheValueOfADENY(t *testing.T) {
	const denied = "[ns[foo]-policy[p]-rule[0]]"
	for _, c := range []struct {
		name, rule  string
		allow, deny string // the answers to GET / from 10.0.0.1
		at          string // the field that is at fault
	}{
		{"a block that is none", `from: [{source: {ipBlocks: [10.0.0.1, nonsense]}}]`, none, denied, "from[0].source.ipBlocks[1]"},
		{"only such a block leaves nothing", `from: [{source: {ipBlocks: [nonsense]}}]`, none, denied, "from[0].source.ipBlocks[0]"},
		{"a mask that is too long", `from: [{source: {remoteIpBlocks: [10.0.0.1/33]}}]`, none, denied, "from[0].source.remoteIpBlocks[0]"},
		{"a leading zero", `when: [{key: source.ip, values: [10.0.0.01]}]`, none, denied, "when[0].values[0]"},
		{"a port that is none", `to: [{operation: {ports: [http, "8080"]}}]`, none, denied, "to[0].operation.ports[0]"},
		{"a port that is too high", `to: [{operation: {ports: ["65536"]}}]`, none, denied, "to[0].operation.ports[0]"},
		{"a port with a sign", `when: [{key: destination.port, values: ["+8080"]}]`, none, denied, "when[0].values[0]"},
		{"a negated one", `to: [{operation: {notPorts: [x]}}]`, none, denied, "to[0].operation.notPorts[0]"},
		{"a claim without a name is the whole payload, which is no text", `when: [{key: request.auth.claims, values: [a]}]`, none, "allowed", ""},
		{"a claim with one bracket", `when: [{key: "request.auth.claims[a", values: [a, b]}]`, none, denied, "when[0].values"},
		{"a header without brackets", `when: [{key: request.headers, values: [a]}]`, none, denied, "when[0].values[0]"},
		{"metadata without a key", `when: [{key: experimental.envoy.filters.a, values: [a]}]`, none, denied, "when[0].values"},
		{"a key that nobody knows drops the rule", `when: [{key: request.unknown, values: [a]}]`, none, "allowed", "when[0].key"},
		{"keys have case", `when: [{key: Source.ip, values: [10.0.0.1]}]`, none, "allowed", "when[0].key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			allow := translated(t, policy("{rules: [{"+c.rule+"}]}"))
			if got := answer(allow.Proxy, get(), nil); got != c.allow {
				t.Errorf("ALLOW: %s, want %s", got, c.allow)
			}
			if c.at != "" && (len(allow.Dropped) != 1 || allow.Dropped[0].Origin.Field != "spec.rules[0]."+c.at || allow.Dropped[0].Reason == "") {
				t.Errorf("dropped are %+v", allow.Dropped)
			}
			deny := translated(t, policy("{action: DENY, rules: [{"+c.rule+"}]}"))
			if got := answer(deny.Proxy, get(), nil); got != c.deny {
				t.Errorf("DENY: %s, want %s", got, c.deny)
			}
			for _, p := range rbacs(deny.Proxy)[0].Rules.Policies {
				if c.at != "" && (len(p.Dropped) != 1 || p.Dropped[0].Origin.Field != "spec.rules[0]."+c.at || !strings.Contains(p.Dropped[0].Reason, "wider")) {
					t.Errorf("dropped of the rule are %+v", p.Dropped)
				}
			}
		})
	}
}

func TestTheOtherRulesStay(t *testing.T) {
	res := translated(t, policy(`{rules: [{when: [{key: nonsense, values: [a]}]}, {to: [{operation: {paths: [/x]}}]}]}`))
	if got := answer(res.Proxy, get(path("/x")), nil); got != "allowed" {
		t.Errorf("got %s", got)
	}
	deny := translated(t, policy(`{action: DENY, rules: [{when: [{key: nonsense, values: [a]}]}, {to: [{operation: {paths: [/x]}}]}]}`))
	if got := answer(deny.Proxy, get(path("/x")), nil); got != "[ns[foo]-policy[p]-rule[1]]" {
		t.Errorf("the index counts the rule that was left out: %s", got)
	}
}

func TestATemplateThatEnvoyRefusesRefusesTheListener(t *testing.T) {
	res := translated(t, policy(`{rules: [{to: [{operation: {paths: ["/ok", "/{**}/{*}"]}}]}]}`))
	if got := answer(res.Proxy, get(), nil); got != "undetermined" {
		t.Errorf("got %s", got)
	}
	if r := res.Proxy.Refused; r == nil || r.Origin.Field != "spec.rules[0].to[0].operation.paths[1]" {
		t.Errorf("refused: %+v", r)
	}
}

func TestWhatAdmissionLetsPassAndTheProxyRefusesRefusesTheListener(t *testing.T) {
	when := func(key string) string {
		return policy(`{rules: [{when: [{key: "` + key + `", values: [a]}]}]}`)
	}
	rule := func(fields string) string {
		return `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: r, namespace: foo}, spec: {jwtRules: [{issuer: i, jwks: '{"keys":[{"kty":"oct","k":"YQ"}]}', ` + fields + `}]}}`
	}
	for _, c := range []struct{ name, object, field string }{
		{"a line break in a header's name", when(`request.headers[a\nb]`), "spec.rules[0].when[0].values[0]"},
		{"a metadata key without a name", when("experimental.envoy.filters.a[]"), "spec.rules[0].when[0].values"},
		{"a line break in a location", rule(`fromHeaders: [{name: "a\nb"}]`), "spec.jwtRules[0].fromHeaders[0].name"},
		{"a location without a name", rule(`fromHeaders: [{name: a}, {name: ""}]`), "spec.jwtRules[0].fromHeaders[1].name"},
		{"a line break in a prefix", rule(`fromHeaders: [{name: a, prefix: "\r"}]`), "spec.jwtRules[0].fromHeaders[0].prefix"},
		{"a line break in an output", rule(`outputPayloadToHeader: "a\0"`), "spec.jwtRules[0].outputPayloadToHeader"},
		{"an output without a name", rule(`outputClaimToHeaders: [{header: "", claim: a}]`), "spec.jwtRules[0].outputClaimToHeaders[0].header"},
		{"a line break in an output's name", rule(`outputClaimToHeaders: [{header: "a\n", claim: a}]`), "spec.jwtRules[0].outputClaimToHeaders[0].header"},
		{"a claim without a name", rule(`outputClaimToHeaders: [{header: a, claim: ""}]`), "spec.jwtRules[0].outputClaimToHeaders[0].claim"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := translated(t, c.object).Proxy.Refused; r == nil || r.Origin.Field != c.field {
				t.Errorf("refused: %+v", r)
			}
		})
	}
	if r := translated(t, rule(`outputPayloadToHeader: "a b", fromHeaders: [{name: ":path", prefix: "="}]`)).Proxy.Refused; r != nil {
		t.Errorf("refused: %+v", r)
	}
}

func TestAProxyThatFetchesRefusesWhatIsNoURLAndTimeoutsOutOfRange(t *testing.T) {
	for _, c := range []struct{ fields, field string }{
		{"jwksUri: 'http://keys.example:99999/'", "spec.jwtRules[0].jwksUri"}, {"jwksUri: 'http://keys.example/', timeout: -1s", "spec.jwtRules[0].timeout"},
		{"jwksUri: 'http://keys.example/', timeout: 4294967296s", "spec.jwtRules[0].timeout"}, {"jwksUri: 'http://keys.example/', timeout: 0s", ""},
	} {
		s := snapshot(t, httpbin, `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: r, namespace: foo}, spec: {jwtRules: [{issuer: i, `+c.fields+`}]}}`)
		p := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080, RemoteJWKS: JWKSByEnvoy}).Proxy
		field := ""
		if p.Refused != nil {
			field = p.Refused.Origin.Field
		}
		if field != c.field {
			t.Errorf("%s: refused for %q", c.fields, field)
		}
	}
}

func TestOnATCPPortFieldsOfHTTPAreErrors(t *testing.T) {
	tcp := strings.Replace(httpbin, "name: http, port", "name: tcp, port", 1)
	at := func(docs ...string) *Result {
		s := snapshot(t, append([]string{tcp}, docs...)...)
		return translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080})
	}
	for _, c := range []struct{ name, spec, want string }{
		{"an ALLOW rule with paths vanishes", `{rules: [{to: [{operation: {paths: [/]}}]}]}`, none},
		{"another one stays", `{rules: [{to: [{operation: {paths: [/]}}]}, {from: [{source: {ipBlocks: [10.0.0.1]}}]}]}`, "allowed"},
		{"a DENY rule with methods denies all", `{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}`, "[ns[foo]-policy[p]-rule[0]]"},
		{"and keeps its other fields", `{action: DENY, rules: [{from: [{source: {ipBlocks: [1.1.1.1]}}], to: [{operation: {methods: [POST]}}]}]}`, "allowed"},
		{"claims are HTTP's", `{rules: [{when: [{key: "request.auth.claims[a]", values: [b]}]}]}`, none},
		{"the peer is not", `{rules: [{from: [{source: {notPrincipals: ["*"]}}]}]}`, "allowed"},
		{"metadata is not", `{action: DENY, rules: [{when: [{key: "experimental.envoy.filters.a[b]", values: [c]}]}]}`, "allowed"},
		{"a broken template refuses the listener of all ports", `{action: DENY, rules: [{to: [{operation: {paths: ["/{**}/{*}"]}}]}]}`, "undetermined"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := answer(at(policy(c.spec)).Proxy, get(), nil); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	res := at(policy(`{rules: [{to: [{operation: {paths: [/]}}]}]}`))
	if len(res.DroppedTCP) != 1 || len(res.Dropped) != 0 || res.Protocol != ProtocolTCP {
		t.Errorf("dropped %v, for TCP %v", res.Dropped, res.DroppedTCP)
	}
}

func TestTrustDomainsHaveAliases(t *testing.T) {
	mesh := meshConfig("trustDomain: td2", "trustDomainAliases: [td1, x-td]")
	for _, c := range []struct {
		name, source, id string
		want             bool
	}{
		{"the alias of a principal", "principals: [td2/ns/a/sa/b]", "td1/ns/a/sa/b", true},
		{"the mesh's own for an alias", "principals: [td1/ns/a/sa/b]", "td2/ns/a/sa/b", true},
		{"cluster.local stands for the mesh's", "principals: [cluster.local/ns/a/sa/b]", "td1/ns/a/sa/b", true},
		{"another domain stays", "principals: [other/ns/a/sa/b]", "td1/ns/a/sa/b", false},
		{"a star stands for all", `principals: ["*/ns/a/sa/b"]`, "td1/ns/a/sa/b", true},
		{"a domain with a star is matched as a suffix", `principals: ["*td/ns/a/sa/b"]`, "x-td/ns/a/sa/b", true},
		{"and replaced by the others", `principals: ["*td/ns/a/sa/b"]`, "td1/ns/a/sa/b", true},
		{"a prefix has four slashes, too", `principals: ["td1/ns/a/sa/*"]`, "td2/ns/a/sa/b", true},
		{"other shapes stay", `principals: ["td1/ns/a/*"]`, "td2/ns/a/sa/b", false},
		{"trust domains are expanded", "trustDomains: [td1]", "td2/ns/a/sa/b", true},
		{"where they are equal to one", `trustDomains: ["td1*"]`, "td2/ns/a/sa/b", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			allow := translated(t, mesh, policy("{rules: [{from: [{source: {"+c.source+"}}]}]}"))
			want := none
			if c.want {
				want = "allowed"
			}
			if got := answer(allow.Proxy, get(as(c.id)), nil); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			negated := "not" + strings.ToUpper(c.source[:1]) + c.source[1:]
			deny := translated(t, mesh, policy("{action: DENY, rules: [{from: [{source: {"+negated+"}}]}]}"))
			if got := answer(deny.Proxy, get(as(c.id)), nil); (got == "allowed") != c.want {
				t.Errorf("negated: got %s", got)
			}
		})
	}
}
