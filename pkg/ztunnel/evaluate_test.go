package ztunnel

import (
	"net/netip"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

const sleep = "spiffe://cluster.local/ns/foo/sa/sleep"

var (
	whoMissing  = &envoy.Missing{What: "the client's identity", Hint: "--from"}
	addrMissing = &envoy.Missing{What: "the client's address", Hint: "--from-ip"}
)

func hbone(uris ...string) envoy.Connection {
	return envoy.Connection{
		Transport: envoy.Known(envoy.MutualTLS),
		Peer:      envoy.Known(envoy.Peer{Presented: true, Trusted: true, URISANs: uris}),
		Source:    envoy.Known(netip.MustParseAddr("10.0.0.1")), LocalIP: envoy.Known(netip.MustParseAddr("10.0.0.2")), LocalPort: 8080,
	}
}

func plaintext() envoy.Connection {
	c := hbone()
	c.Transport, c.Peer = envoy.Known(envoy.Plaintext), envoy.Known(envoy.Peer{})
	return c
}

// stranger is a client of whom nothing was said.
func stranger() envoy.Connection {
	c := hbone()
	c.Transport, c.Peer = envoy.NotKnown[envoy.Transport](whoMissing), envoy.NotKnown[envoy.Peer](whoMissing)
	c.Source = envoy.NotKnown[netip.Addr](addrMissing)
	return c
}

// someHBONE is a client with an identity that was not given.
func someHBONE() envoy.Connection {
	c := stranger()
	c.Transport = envoy.Known(envoy.MutualTLS)
	return c
}

func at(name, field string) origin.Origin {
	return origin.Origin{Ref: origin.Ref{Kind: "AuthorizationPolicy", Namespace: "foo", Name: name}, Field: field}
}

// rule is one rule whose clauses have one match of one condition each.
func rule(conds ...Condition) Rule {
	r := Rule{Origin: at("p", "spec.rules[0]")}
	for _, c := range conds {
		r.Clauses = append(r.Clauses, Clause{Matches: []Match{{Conditions: []Condition{c}}}})
	}
	return r
}

func policy(a Action, rules ...Rule) Policy {
	return Policy{ID: "foo/p", Action: a, Origin: at("p", ""), Rules: rules}
}

func is(ts ...Test) Condition  { return Condition{Tests: ts, Values: make([]string, len(ts))} }
func not(ts ...Test) Condition { c := is(ts...); c.Negated = true; return c }

func str(k StringKind, v string) StringMatch { return StringMatch{Kind: k, Value: v} }

func evaluate(c envoy.Connection, ps ...Policy) envoy.Trace {
	return Evaluate(&Proxy{TrustDomain: "cluster.local", Policies: ps}, &envoy.Request{Method: "GET", Path: "/", Connection: c})
}

// The semantics of one condition: ztunnel src/rbac.rs, Authorization.matches and
// the types below it.
func TestAConditionComparesAsZtunnelDoes(t *testing.T) {
	anybody := Principal{str(Presence, "")}
	slept := Principal{str(Exact, "cluster.local/ns/foo/sa/sleep")}
	unknown := "unknown"
	for _, c := range []struct {
		name string
		cond Condition
		conn envoy.Connection
		want string
	}{
		{"a principal is compared without the scheme", is(slept), hbone(sleep), "true"},
		{"a principal with the scheme is nobody's", is(Principal{str(Exact, sleep)}), hbone(sleep), "false"},
		{"a prefix", is(Principal{str(Prefix, "cluster.local/ns/foo/")}), hbone(sleep), "true"},
		{"a suffix", is(Principal{str(Suffix, "/sa/sleep")}), hbone(sleep), "true"},
		{"the case counts", is(Principal{str(Suffix, "/sa/Sleep")}), hbone(sleep), "false"},
		{"presence", is(anybody), hbone(sleep), "true"},
		{"plaintext has no principal", is(anybody), plaintext(), "false"},
		{"notPrincipals holds for an unauthenticated client", not(slept), plaintext(), "true"},
		{"notPrincipals of anybody holds for an unauthenticated client", not(anybody), plaintext(), "true"},
		{"a namespace", is(Namespace{str(Exact, "foo")}), hbone(sleep), "true"},
		{"another namespace", is(Namespace{str(Exact, "bar")}), hbone(sleep), "false"},
		{"notNamespaces holds for an unauthenticated client", not(Namespace{str(Exact, "foo")}), plaintext(), "true"},
		{"a service account of any trust domain", is(ServiceAccount{"foo", "sleep"}), hbone(sleep), "true"},
		{"a service account of another namespace", is(ServiceAccount{"bar", "sleep"}), hbone(sleep), "false"},
		{"notServiceAccounts holds for an unauthenticated client", not(ServiceAccount{"foo", "sleep"}), plaintext(), "true"},
		{"an address", is(SourceIP{netip.MustParsePrefix("10.0.0.0/24")}), plaintext(), "true"},
		{"another address", is(SourceIP{netip.MustParsePrefix("10.0.1.0/24")}), plaintext(), "false"},
		{"the pod's address", is(DestinationIP{netip.MustParsePrefix("10.0.0.2/32")}), plaintext(), "true"},
		{"IPv4 in IPv6's clothes is an IPv6 block", is(SourceIP{netip.MustParsePrefix("::ffff:10.0.0.0/120")}), plaintext(), "false"},
		{"a port", is(DestinationPort{8080}), plaintext(), "true"},
		{"one of two ports", is(DestinationPort{80}, DestinationPort{8080}), plaintext(), "true"},
		{"none of two ports", not(DestinationPort{80}, DestinationPort{8080}), plaintext(), "false"},

		{"who is not known may be the one", is(slept), someHBONE(), unknown},
		{"who is not known is not somebody of another trust domain", is(Principal{str(Exact, "td/ns/foo/sa/sleep")}), someHBONE(), "false"},
		{"who is not known has no name of another form", is(Principal{str(Exact, "cluster.local/foo")}), someHBONE(), "false"},
		{"who is not known begins with the trust domain", is(Principal{str(Prefix, "cluster.local/")}), someHBONE(), "true"},
		{"who is not known does not begin otherwise", is(Principal{str(Prefix, "td/")}), someHBONE(), "false"},
		{"who is not known may end so", is(Principal{str(Suffix, "/sleep")}), someHBONE(), unknown},
		{"who is not known is somebody", is(anybody), someHBONE(), "true"},
		{"who is not known is of some namespace", is(Namespace{str(Presence, "")}), someHBONE(), "true"},
		{"who is not known may be of this namespace", is(Namespace{str(Exact, "foo")}), someHBONE(), unknown},
		{"who is not known may have this service account", is(ServiceAccount{"foo", "sleep"}), someHBONE(), unknown},
		{"an unknown address", is(SourceIP{netip.MustParsePrefix("10.0.0.0/24")}), someHBONE(), unknown},
		{"unknown or true is true", is(slept, anybody), someHBONE(), "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Proxy{TrustDomain: "cluster.local"}
			e := newEvaluation(&p, &envoy.Request{Connection: c.conn})
			if len(e.clients) != 1 || e.clients[0].refused != "" {
				t.Fatalf("clients %+v", e.clients)
			}
			if got := c.cond.match(e.conn, e.clients[0].id); got.T.String() != c.want || (got.T == envoy.Unknown) != (len(got.On) > 0) {
				t.Errorf("%v (on %v), want %s", got.T, got.On, c.want)
			}
		})
	}
}

func TestAnAddressInIPv6ClothesIsIPv4(t *testing.T) {
	c := plaintext()
	c.Source = envoy.Known(netip.MustParseAddr("::ffff:10.0.0.1"))
	v := evaluate(c, policy(Deny, rule(is(SourceIP{netip.MustParsePrefix("10.0.0.0/24")})))).Verdict
	if v.Decision != envoy.Denied {
		t.Errorf("%+v", v)
	}
}

// How matches, clauses and rules combine: ztunnel src/rbac.rs, Authorization.matches.
func TestRulesAreDisjunctionsOfConjunctionsOfDisjunctions(t *testing.T) {
	hit, miss := is(DestinationPort{8080}), is(DestinationPort{80})
	match := func(cs ...Condition) Match { return Match{Conditions: cs} }
	clause := func(ms ...Match) Clause { return Clause{Matches: ms} }
	for _, c := range []struct {
		name    string
		rules   []Rule
		matches bool
	}{
		{"no rules match nothing", nil, false},
		{"a rule without clauses matches everything", []Rule{{}}, true},
		{"a clause without matches holds", []Rule{{Clauses: []Clause{{}}}}, true},
		{"a match without conditions never holds", []Rule{{Clauses: []Clause{clause(match())}}}, false},
		{"a match without conditions does not spoil the next", []Rule{{Clauses: []Clause{clause(match(), match(hit))}}}, true},
		{"all conditions of a match", []Rule{{Clauses: []Clause{clause(match(hit, miss))}}}, false},
		{"one match of a clause", []Rule{{Clauses: []Clause{clause(match(miss), match(hit))}}}, true},
		{"all clauses of a rule", []Rule{{Clauses: []Clause{clause(match(hit)), clause(match(miss))}}}, false},
		{"one rule of a policy", []Rule{rule(miss), rule(hit)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := envoy.Allowed
			if c.matches {
				want = envoy.Denied
			}
			if v := evaluate(plaintext(), policy(Deny, c.rules...)).Verdict; v.Decision != want {
				t.Errorf("DENY: %+v", v)
			}
			want = envoy.Denied
			if c.matches {
				want = envoy.Allowed
			}
			if v := evaluate(plaintext(), policy(Allow, c.rules...)).Verdict; v.Decision != want {
				t.Errorf("ALLOW: %+v", v)
			}
		})
	}
}

// The order: ztunnel src/state.rs, DemandProxyState.assert_rbac.
func TestADenyWinsAndAllowPoliciesMakeADefault(t *testing.T) {
	all, none := rule(), rule(is(DestinationPort{1}))
	for _, c := range []struct {
		name    string
		ps      []Policy
		want    envoy.Decision
		details string
	}{
		{"no policy", nil, envoy.Allowed, ""},
		{"a DENY that does not match", []Policy{policy(Deny, none)}, envoy.Allowed, ""},
		{"an ALLOW that matches", []Policy{policy(Allow, none), policy(Allow, all)}, envoy.Allowed, ""},
		{"an ALLOW that does not match", []Policy{policy(Allow, none)}, envoy.Denied, NotAllowed},
		{"an ALLOW without rules", []Policy{policy(Allow)}, envoy.Denied, NotAllowed},
		{"a DENY without rules", []Policy{policy(Deny)}, envoy.Allowed, ""},
		{"a DENY beats an ALLOW", []Policy{policy(Allow, all), policy(Deny, all)}, envoy.Denied, refusedBy + " foo/p"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := evaluate(hbone(sleep), c.ps...).Verdict
			if v.Decision != c.want || v.Details != c.details || v.Body != "" || (v.Status == 200) != (c.want == envoy.Allowed) {
				t.Errorf("%+v", v)
			}
			if byRule := c.details == refusedBy+" foo/p"; byRule != (v.DecidedBy != nil) {
				t.Errorf("decided by %v", v.DecidedBy)
			}
		})
	}
}

func TestPoliciesAreGatheredByScope(t *testing.T) {
	named := func(name string, s Scope) Policy {
		return Policy{ID: "foo/" + name, Scope: s, Action: Deny, Origin: at(name, ""), Rules: []Rule{{Origin: at(name, "spec.rules[0]")}}}
	}
	v := evaluate(hbone(sleep), named("w", ScopeWorkload), named("g", ScopeGlobal), named("n", ScopeNamespace)).Verdict
	if v.Details != refusedBy+" foo/n" || *v.DecidedBy != at("n", "spec.rules[0]") {
		t.Errorf("%+v", v)
	}
}

// The handshake: ztunnel src/tls/workload.rs, TrustDomainVerifier, and
// src/tls/certificate.rs, identities.
func TestTheHandshakeWantsANameOfTheTrustDomain(t *testing.T) {
	peer := func(p envoy.Peer) envoy.Connection {
		c := hbone()
		c.Peer = envoy.Known(p)
		return c
	}
	tls := plaintext()
	tls.Transport = envoy.Known(envoy.TLS)
	for _, c := range []struct {
		name    string
		conn    envoy.Connection
		closed  bool
		refused bool // by a policy that wants the identity
	}{
		{"a name of the trust domain", hbone(sleep), false, false},
		{"a second name of the trust domain", hbone("https://x", sleep), false, false},
		{"another trust domain", hbone("spiffe://td/ns/foo/sa/sleep"), true, false},
		{"a name of another form", hbone("spiffe://cluster.local/sleep"), true, false},
		{"the first name that can be read is the client", hbone("spiffe://td/ns/foo/sa/other", sleep), false, true},
		{"no certificate", peer(envoy.Peer{}), true, false},
		{"a strange authority", peer(envoy.Peer{Presented: true, URISANs: []string{sleep}}), true, false},
		{"plaintext has no handshake", plaintext(), false, true},
		{"TLS of others is bytes", tls, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			only := policy(Allow, rule(is(Principal{str(Exact, "cluster.local/ns/foo/sa/sleep")})))
			v := evaluate(c.conn, only).Verdict
			steps := evaluate(c.conn, only).Steps
			if got := steps[0].Outcome == envoy.Matched; got != c.closed {
				t.Errorf("handshake failed: %v, %+v", got, v)
			}
			if (v.Decision == envoy.Denied) != (c.closed || c.refused) || v.Decision == envoy.Denied && v.Status != 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}

// Each undetermined case has a twin in which the very same lack of knowledge
// changes nothing.
func TestWhatIsNotKnownCountsOnlyWhereItMatters(t *testing.T) {
	anybody := Principal{str(Presence, "")}
	slept := Principal{str(Exact, "cluster.local/ns/foo/sa/sleep")}
	net := SourceIP{netip.MustParsePrefix("10.0.0.0/24")}
	for _, c := range []struct {
		name string
		conn envoy.Connection
		ps   []Policy
		want envoy.Decision
		on   []string
	}{
		{"STRICT and nobody said who", stranger(), []Policy{policy(Deny, rule(not(anybody)))}, envoy.Undetermined, []string{"the client's identity"}},
		{"twin: STRICT and some identity", someHBONE(), []Policy{policy(Deny, rule(not(anybody)))}, envoy.Allowed, nil},
		{"an ALLOW for one and nobody said who", stranger(), []Policy{policy(Allow, rule(is(slept)))}, envoy.Undetermined, []string{"the client's identity"}},
		{"twin: an ALLOW for one of another trust domain", stranger(), []Policy{policy(Allow, rule(is(Principal{str(Exact, "td/ns/a/sa/b")})))}, envoy.Denied, nil},
		{"an ALLOW for addresses and none given", someHBONE(), []Policy{policy(Allow, rule(is(net)))}, envoy.Undetermined, []string{"the client's address"}},
		{"twin: an ALLOW for addresses or all", someHBONE(), []Policy{policy(Allow, rule(is(net))), policy(Allow, rule())}, envoy.Allowed, nil},
		{"a DENY for addresses and none given", someHBONE(), []Policy{policy(Deny, rule(is(net)))}, envoy.Undetermined, []string{"the client's address"}},
		{"twin: a DENY for addresses of another port", someHBONE(), []Policy{policy(Deny, rule(is(net), is(DestinationPort{1})))}, envoy.Allowed, nil},
		{"twin: a DENY for addresses, and nothing is allowed anyhow", someHBONE(), []Policy{policy(Deny, rule(is(net))), policy(Allow)}, envoy.Denied, nil},
		{"both unknown", stranger(), []Policy{policy(Deny, rule(not(anybody))), policy(Deny, rule(is(net)))}, envoy.Undetermined,
			[]string{"the client's address", "the client's identity"}},
		{"twin: nobody and everybody are refused", stranger(), []Policy{policy(Deny, rule(not(anybody))), policy(Deny, rule(is(anybody)))}, envoy.Denied, nil},
		{"an ALLOW for those without identity", stranger(), []Policy{policy(Allow, rule(not(anybody)))}, envoy.Undetermined, []string{"the client's identity"}},
		{"twin: no policy at all", stranger(), nil, envoy.Allowed, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := evaluate(c.conn, c.ps...).Verdict
			var on []string
			for _, m := range v.On {
				on = append(on, m.What)
			}
			if v.Decision != c.want || len(on) != len(c.on) {
				t.Fatalf("%s on %v, want %s on %v", v.Decision, on, c.want, c.on)
			}
			for i := range on {
				if on[i] != c.on[i] {
					t.Errorf("depends on %v", on)
				}
			}
			if v.Decision == envoy.Undetermined &&
				(len(v.Possible) != 2 || v.Possible[0].Decision != envoy.Denied || v.Possible[1].Decision != envoy.Allowed) {
				t.Errorf("possible %+v", v.Possible)
			}
		})
	}
}
