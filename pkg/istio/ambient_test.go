package istio

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/ztunnel"
)

const ambientNamespace = `apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio.io/dataplane-mode: ambient}}
`

var ambientHTTPBin = strings.Replace(httpbin, "istio-injection: enabled", "istio.io/dataplane-mode: ambient", 1)

// captured is what ztunnel is told for httpbin in a mesh with these objects, too.
func captured(t *testing.T, port int, docs ...string) *Result {
	t.Helper()
	s := snapshot(t, append([]string{ambientHTTPBin}, docs...)...)
	res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: port})
	if res.Ztunnel == nil || res.Proxy.Role != envoy.RoleZtunnel {
		t.Fatalf("the role is %s", res.Proxy.Role)
	}
	return res
}

const (
	byPolicy  = "connection refused by L4 policy foo/p"
	notListed = ztunnel.NotAllowed
	passes    = "allowed"
	sleepID   = "cluster.local/ns/foo/sa/sleep"
)

func l4Answer(res *Result, change ...func(*envoy.Request)) string {
	r := get(change...)
	r.Connection.LocalPort = res.Proxy.Port
	switch v := ztunnel.Evaluate(res.Ztunnel, r).Verdict; v.Decision {
	case envoy.Allowed:
		return passes
	case envoy.Denied:
		return v.Details
	default:
		return "undetermined"
	}
}

// The table of section 1.5 of the semantics, row by row. The source of each row is
// Istio pilot/pkg/serviceregistry/ambient/authorization.go and the function named.
func TestZtunnelEnforcesTheL4SubsetOfPolicies(t *testing.T) {
	plain := func(*envoy.Request) {}
	bySleep := as(sleepID)
	for _, c := range []struct {
		name, spec string
		client     func(*envoy.Request)
		want       string
		dropped    int // rules and parts that are left out
	}{
		// convertAuthorizationPolicy
		{"targetRefs: never sent", "{action: DENY, targetRefs: [{kind: Service, name: httpbin}], rules: [{}]}", plain, passes, 0},
		{"targetRef, the old field: never sent", "{action: DENY, targetRef: {kind: Service, name: httpbin}, rules: [{}]}", plain, passes, 0},
		{"CUSTOM: the whole policy is dropped", "{action: CUSTOM, provider: {name: x}, rules: [{}]}", plain, passes, 0},
		{"AUDIT: the whole policy is dropped", "{action: AUDIT, rules: [{}]}", plain, passes, 0},
		{"an ALLOW without rules denies", "{}", plain, notListed, 0},
		{"a DENY without rules denies nothing", "{action: DENY}", plain, passes, 0},
		// handleRule: ALLOW with HTTP
		{"T135: ALLOW, its only rule has paths", "{rules: [{to: [{operation: {paths: [/get]}}]}]}", plain, notListed, 1},
		{"ALLOW, a rule with HTTP goes, another stays", "{rules: [{to: [{operation: {methods: [GET]}}]}, {from: [{source: {principals: ['*']}}]}]}", bySleep, passes, 1},
		{"ALLOW, the rule that stays does not match", "{rules: [{to: [{operation: {hosts: [x]}}]}, {from: [{source: {principals: ['*']}}]}]}", plain, notListed, 1},
		{"ALLOW, HTTP in one of two entries takes the whole rule", "{rules: [{to: [{operation: {ports: ['8080']}}, {operation: {notPaths: [/x]}}]}]}", plain, notListed, 1},
		{"ALLOW, requestPrincipals", "{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}", plain, notListed, 1},
		{"ALLOW, remoteIpBlocks", "{rules: [{from: [{source: {remoteIpBlocks: [0.0.0.0/0]}}]}]}", plain, notListed, 1},
		{"ALLOW, a key of HTTP", "{rules: [{when: [{key: 'request.headers[x]', values: [v1]}]}]}", plain, notListed, 1},
		{"ALLOW, source.serviceAccount counts as HTTP", "{rules: [{when: [{key: source.serviceAccount, values: [foo/sleep]}]}]}", bySleep, notListed, 1},
		{"ALLOW, connection.sni counts as HTTP", "{rules: [{when: [{key: connection.sni, notValues: [x]}]}]}", bySleep, notListed, 1},
		{"ALLOW, source.trustDomain as a key counts as HTTP", "{rules: [{when: [{key: source.trustDomain, values: [cluster.local]}]}]}", bySleep, notListed, 1},
		// handleRule: DENY with HTTP
		{"T134: DENY, its only entry has methods: never matches", "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}", plain, passes, 1},
		{"DENY, what is left of the entry counts", "{action: DENY, rules: [{to: [{operation: {methods: [POST], ports: ['8080']}}]}]}", plain, byPolicy, 1},
		{"DENY, another entry counts", "{action: DENY, rules: [{to: [{operation: {paths: [/x]}}, {operation: {ports: ['8080']}}]}]}", plain, byPolicy, 1},
		{"DENY, an empty to spoils a from that matches", "{action: DENY, rules: [{from: [{source: {namespaces: [foo]}}], to: [{operation: {methods: [GET]}}]}]}", bySleep, passes, 1},
		{"DENY, a key of HTTP never matches", "{action: DENY, rules: [{when: [{key: 'request.headers[x]', notValues: [v1]}]}]}", plain, passes, 1},
		{"DENY, notRequestPrincipals never matches", "{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}", plain, passes, 1},
		{"the rule {} matches everything", "{action: DENY, rules: [{}]}", plain, byPolicy, 0},
		// l4WhenAttributes and whenMatch
		{"when source.ip", "{rules: [{when: [{key: source.ip, values: [10.0.0.0/8]}]}]}", plain, passes, 0},
		{"when source.ip, notValues", "{rules: [{when: [{key: source.ip, notValues: [10.0.0.1]}]}]}", plain, notListed, 0},
		{"when source.namespace", "{rules: [{when: [{key: source.namespace, values: [foo]}]}]}", bySleep, passes, 0},
		{"when source.principal", "{rules: [{when: [{key: source.principal, values: ['*/sa/sleep']}]}]}", bySleep, passes, 0},
		{"when destination.ip", "{rules: [{when: [{key: destination.ip, values: [10.0.0.9]}]}]}", plain, passes, 0},
		{"when destination.port", "{rules: [{when: [{key: destination.port, values: ['8080']}]}]}", plain, passes, 0},
		{"two keys must both hold", "{rules: [{when: [{key: destination.port, values: ['8080']}, {key: source.namespace, values: [bar]}]}]}", bySleep, notListed, 0},
		// handleRule: sources
		{"trustDomains are ignored: an ALLOW gets wider", "{rules: [{from: [{source: {trustDomains: [td], namespaces: [foo]}}]}]}", bySleep, passes, 1},
		{"trustDomains alone leave nothing", "{rules: [{from: [{source: {trustDomains: [cluster.local]}}]}]}", bySleep, notListed, 1},
		{"serviceAccounts of the policy's namespace", "{rules: [{from: [{source: {serviceAccounts: [sleep]}}]}]}", bySleep, passes, 0},
		{"serviceAccounts with a namespace", "{rules: [{from: [{source: {serviceAccounts: [bar/sleep]}}]}]}", bySleep, notListed, 0},
		{"serviceAccounts whatever the trust domain", "{rules: [{from: [{source: {serviceAccounts: [foo/sleep]}}]}]}", bySleep, passes, 0},
		{"notServiceAccounts and a client without identity", "{action: DENY, rules: [{from: [{source: {notServiceAccounts: [sleep]}}]}]}", plain, byPolicy, 0},
		{"principals", "{rules: [{from: [{source: {principals: ['" + sleepID + "']}}]}]}", bySleep, passes, 0},
		{"notPrincipals is true for an unauthenticated peer", "{action: DENY, rules: [{from: [{source: {notPrincipals: ['" + sleepID + "']}}]}]}", plain, byPolicy, 0},
		{"notPrincipals is false for the one", "{action: DENY, rules: [{from: [{source: {notPrincipals: ['" + sleepID + "']}}]}]}", bySleep, passes, 0},
		{"notNamespaces is true for an unauthenticated peer", "{action: DENY, rules: [{from: [{source: {notNamespaces: [foo]}}]}]}", plain, byPolicy, 0},
		{"ipBlocks", "{rules: [{from: [{source: {ipBlocks: ['10.0.0.0/24', junk]}}]}]}", plain, passes, 1},
		{"notIpBlocks", "{rules: [{from: [{source: {notIpBlocks: ['10.0.0.0/24']}}]}]}", plain, notListed, 0},
		{"ports", "{rules: [{to: [{operation: {ports: ['80', '8080']}}]}]}", plain, passes, 0},
		{"notPorts", "{rules: [{to: [{operation: {notPorts: ['8080']}}]}]}", plain, notListed, 0},
		// stringToPort: what cannot be read is left out, and what is left empty never matches
		{"a port that is none", "{rules: [{to: [{operation: {ports: ['70000']}}]}]}", plain, notListed, 1},
		{"a port that is none among others", "{rules: [{to: [{operation: {ports: [http, '8080']}}]}]}", plain, passes, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := captured(t, 8080, policy(c.spec))
			if got := l4Answer(res, c.client); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			n := 0
			for _, p := range res.Ztunnel.Policies {
				n += len(p.Dropped)
				for _, r := range p.Rules {
					n += len(r.Dropped)
				}
			}
			if n != c.dropped {
				t.Errorf("%d parts are said to be left out, want %d", n, c.dropped)
			}
		})
	}
}

func TestWhatIsCutIsNamed(t *testing.T) {
	res := captured(t, 8080, policy("{action: DENY, rules: [{from: [{source: {trustDomains: [a], requestPrincipals: [b]}}], to: [{operation: {paths: [/x]}}], when: [{key: 'request.headers[x]', values: [v1]}]}]}"))
	var got []string
	for _, d := range res.Ztunnel.Policies[0].Rules[0].Dropped {
		got = append(got, d.Origin.Field)
	}
	want := "spec.rules[0].to[0].operation.paths spec.rules[0].from[0].source.requestPrincipals spec.rules[0].from[0].source.trustDomains spec.rules[0].when[0]"
	if strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
	res = captured(t, 8080, policy("{rules: [{to: [{operation: {paths: [/x], methods: [GET]}}], when: [{key: 'request.headers[x]', values: [v1]}]}]}"))
	if d := res.Ztunnel.Policies[0].Dropped; len(d) != 1 || d[0].Origin.Field != "spec.rules[0]" || !strings.HasSuffix(d[0].Reason, "methods, paths, the key request.headers[x]") {
		t.Errorf("%+v", d)
	}
}

// Trust domain aliases: authorization.go never looks at them.
func TestAliasesOfTheTrustDomainDoNotApply(t *testing.T) {
	aliases := meshConfig("trustDomain: new", "trustDomainAliases: [old]")
	spec := "{rules: [{from: [{source: {principals: ['old/ns/foo/sa/sleep']}}]}]}"
	if got := l4Answer(captured(t, 8080, policy(spec), aliases), as("new/ns/foo/sa/sleep")); got != notListed {
		t.Error(got)
	}
	if got := l4Answer(captured(t, 8080, aliases), as("old/ns/foo/sa/sleep")); !strings.Contains(got, "trust domain new") {
		t.Errorf("a client of an alias gets through the handshake: %s", got)
	}
}

func TestADryRunIsNotSent(t *testing.T) {
	dry := func(v string) string {
		return strings.Replace(policy("{action: DENY, rules: [{}]}"), "name: p,", "name: p, annotations: {istio.io/dry-run: '"+v+"'},", 1)
	}
	for v, want := range map[string]string{"true": passes, "1": passes, "false": byPolicy, "yes": byPolicy} {
		res := captured(t, 8080, dry(v))
		if got := l4Answer(res); got != want {
			t.Errorf("%s: %s", v, got)
		}
		said := false
		for _, a := range res.Assumed {
			said = said || a.Setting == "AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY"
		}
		if said != (want == passes) {
			t.Errorf("%s: assumed %v", v, res.Assumed)
		}
	}
}

// Scopes: authorization.go:convertAuthorizationPolicy, workloads.go:buildWorkloadPolicies.
func TestPoliciesReachZtunnelByScopeAndSelector(t *testing.T) {
	for _, c := range []struct {
		name, namespace, selector string
		scope                     ztunnel.Scope
		reaches                   bool
	}{
		{"the namespace's", "foo", "", ztunnel.ScopeNamespace, true},
		{"the mesh's", "istio-system", "", ztunnel.ScopeGlobal, true},
		{"another namespace's", "bar", "", 0, false},
		{"a selector that fits", "foo", "selector: {matchLabels: {app: httpbin}}, ", ztunnel.ScopeWorkload, true},
		{"a selector that does not", "foo", "selector: {matchLabels: {app: x}}, ", 0, false},
		{"a selector of the root namespace that fits", "istio-system", "selector: {matchLabels: {app: httpbin}}, ", ztunnel.ScopeWorkload, true},
		{"a selector without matchLabels finds nobody", "foo", "selector: {}, ", 0, false},
		{"a selector with empty matchLabels finds everybody", "foo", "selector: {matchLabels: {}}, ", ztunnel.ScopeWorkload, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := captured(t, 8080, object("security.istio.io/v1", "AuthorizationPolicy", c.namespace, "p", "{"+c.selector+"action: DENY, rules: [{}]}"))
			ps := res.Ztunnel.Policies
			if (len(ps) == 1) != c.reaches || c.reaches && (ps[0].Scope != c.scope || ps[0].ID != c.namespace+"/p") {
				t.Errorf("%+v", ps)
			}
			if c.namespace != "bar" && res.Considered[0].Attached != c.reaches {
				t.Errorf("%+v", res.Considered)
			}
		})
	}
}

// Istio pkg/kube/krt/filter.go:Matches, which takes labels that are nil for no filter.
func TestAPodWithoutLabelsGetsEveryPolicyWithASelector(t *testing.T) {
	s := snapshot(t, ambientNamespace, "apiVersion: v1\nkind: Pod\nmetadata: {name: bare, namespace: foo}\nspec: {containers: [{name: c, image: i}]}\n",
		policy("{selector: {matchLabels: {app: x}}, action: DENY, rules: [{}]}"))
	res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "pod/bare", "foo"), Port: 8080})
	if got := l4Answer(res); got != byPolicy || res.Ztunnel.Policies[0].Note == "" {
		t.Errorf("%s %+v", got, res.Ztunnel.Policies)
	}
}

func TestWhatOnlyReadersOfHTTPHeedIsSaid(t *testing.T) {
	ra := requestAuthn("r", "{issuer: a, jwks: '{}'}")
	wants := func(docs []string, names ...string) {
		t.Helper()
		var got []string
		for _, u := range captured(t, 8080, docs...).Unenforced {
			got = append(got, u.Origin.String())
		}
		if strings.Join(got, ",") != strings.Join(names, ",") {
			t.Errorf("not enforced: %v, want %v", got, names)
		}
	}
	refs := "{targetRefs: [{kind: Service, name: httpbin}], rules: [{}]}"
	waypoint := "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: wp}}\n"
	wants([]string{ra}, "RequestAuthentication foo/r")
	wants([]string{object("security.istio.io/v1", "RequestAuthentication", "foo", "r", "{selector: {matchLabels: {app: x}}}")})
	wants([]string{policy("{action: CUSTOM, provider: {name: x}, rules: [{}]}")}, "AuthorizationPolicy foo/p")
	wants([]string{policy("{action: CUSTOM, selector: {matchLabels: {app: x}}, provider: {name: x}, rules: [{}]}")})
	wants([]string{policy("{action: AUDIT, rules: [{}]}")})
	wants([]string{policy(refs)}, "AuthorizationPolicy foo/p")
	wants([]string{policy(strings.Replace(refs, "name: httpbin", "name: other", 1))})

	s := snapshot(t, strings.SplitN(ambientHTTPBin, "---\n", 2)[1], waypoint, policy(refs), ra)
	res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080})
	if len(res.Unenforced) != 1 || res.Unenforced[0].Origin.Kind != "RequestAuthentication" {
		t.Errorf("a waypoint heeds targetRefs, and no selector: %+v", res.Unenforced)
	}
	for _, c := range res.Considered {
		if c.Attached || c.Why == "" {
			t.Errorf("%+v", c)
		}
	}
}

func TestCaptureFollowsLabelsAndTheAnnotation(t *testing.T) {
	pod := func(metadata, containers string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: foo" + metadata + "}\nspec: " + containers + "\n"
	}
	const app, sidecar = "{containers: [{name: c, image: i}]}", "{containers: [{name: c, image: i}, {name: istio-proxy, image: p}]}"
	plainNamespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo}\n"
	for _, c := range []struct {
		name, namespace, metadata, spec string
		want                            envoy.Role
	}{
		{"the namespace's label", ambientNamespace, "", app, envoy.RoleZtunnel},
		{"the pod's label", plainNamespace, ", labels: {istio.io/dataplane-mode: ambient}", app, envoy.RoleZtunnel},
		{"the pod opts out", ambientNamespace, ", labels: {istio.io/dataplane-mode: none}", app, envoy.RoleNone},
		{"another value opts nobody out", ambientNamespace, ", labels: {istio.io/dataplane-mode: x}", app, envoy.RoleZtunnel},
		{"a pod with a sidecar is left alone", ambientNamespace, "", sidecar, envoy.RoleSidecar},
		{"so is one on the host's network", ambientNamespace, "", "{hostNetwork: true, containers: [{name: c, image: i}]}", envoy.RoleNone},
		{"the annotation of the plugin", plainNamespace, ", annotations: {ambient.istio.io/redirection: enabled}", app, envoy.RoleZtunnel},
		{"redirection is still pending", plainNamespace, ", annotations: {ambient.istio.io/redirection: pending}", app, envoy.RoleNone},
		{"no label", plainNamespace, "", app, envoy.RoleNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, c.namespace, pod(c.metadata, c.spec))
			if got := RoleOf(s, workload(t, s, "pod/a", "foo")); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestATemplateThatIsInjectedIsNotCaptured(t *testing.T) {
	both := strings.Replace(httpbin, "istio-injection: enabled", "istio-injection: enabled, istio.io/dataplane-mode: ambient", 1)
	for text, want := range map[string]envoy.Role{both: envoy.RoleSidecar, ambientHTTPBin: envoy.RoleZtunnel} {
		s := snapshot(t, text)
		if got := RoleOf(s, workload(t, s, "deploy/httpbin", "foo")); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWhoTakesTheTunnel(t *testing.T) {
	s := snapshot(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo}\n")
	for label, want := range map[string]bool{"": false, "http": true, "x,http": true, "https": false} {
		if got := TakesHBONE(s, mesh.Workload{Namespace: "foo", Labels: map[string]string{"networking.istio.io/tunnel": label}}); got != want {
			t.Errorf("%q: %v", label, got)
		}
	}
}

// Istio pilot/pkg/serviceregistry/ambient/waypoints.go:fetchWaypointForTarget.
func TestWaypointsInFrontAreFound(t *testing.T) {
	labels := func(kind, s string) func(string) string {
		return func(text string) string {
			switch kind {
			case "Namespace":
				return strings.Replace(text, "istio.io/dataplane-mode: ambient", "istio.io/dataplane-mode: ambient, "+s, 1)
			case "Service":
				return strings.Replace(text, "kind: Service\nmetadata: {name: httpbin,", "kind: Service\nmetadata: {name: httpbin, labels: {"+s+"},", 1)
			default:
				return strings.Replace(text, "version: v1", "version: v1, "+s, 1)
			}
		}
	}
	gateway := func(of string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: foo, labels: {istio.io/waypoint-for: '" + of + "'}}\nspec: {gatewayClassName: istio-waypoint, listeners: []}\n"
	}
	for _, c := range []struct {
		name  string
		edits []func(string) string
		extra []string
		want  string
	}{
		{"none", nil, nil, ""},
		{"the namespace's, for its Services", []func(string) string{labels("Namespace", "istio.io/use-waypoint: wp")}, nil, "foo/wp httpbin"},
		{"the Service's", []func(string) string{labels("Service", "istio.io/use-waypoint: wp")}, nil, "foo/wp httpbin"},
		{"in another namespace", []func(string) string{labels("Service", "istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: x")}, nil, "x/wp httpbin"},
		{"the Service opts out", []func(string) string{labels("Namespace", "istio.io/use-waypoint: wp"), labels("Service", "istio.io/use-waypoint: none")}, nil, ""},
		{"the pods'", []func(string) string{labels("Pod", "istio.io/use-waypoint: wp")}, nil, "foo/wp "},
		{"the namespace's, for all traffic", []func(string) string{labels("Namespace", "istio.io/use-waypoint: wp")}, []string{gateway("all")}, "foo/wp httpbin,foo/wp "},
		{"the namespace's, for workloads", []func(string) string{labels("Namespace", "istio.io/use-waypoint: wp")}, []string{gateway("workload")}, "foo/wp "},
		{"the namespace's, for nothing", []func(string) string{labels("Namespace", "istio.io/use-waypoint: wp")}, []string{gateway("none")}, ""},
		{"the pods', for Services by default", []func(string) string{labels("Pod", "istio.io/use-waypoint: wp")}, []string{gateway("")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ambientHTTPBin
			for _, e := range c.edits {
				text = e(text)
			}
			s := snapshot(t, append([]string{text}, c.extra...)...)
			res := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080})
			var got []string
			for _, w := range res.Waypoints {
				got = append(got, w.Namespace+"/"+w.Name+" "+w.Service)
			}
			if strings.Join(got, ",") != c.want {
				t.Errorf("%q, want %q", strings.Join(got, ","), c.want)
			}
		})
	}
}

// Each object that cannot be read whole has a twin where that does not matter.
func TestWhatCannotBeReadIsNotGuessed(t *testing.T) {
	server := func(text string) string { return strings.Replace(text, "metadata: {", "metadata: {uid: u, ", 1) }
	plain, bySleep := func(*envoy.Request) {}, as(sleepID)
	broken := policy("{action: DENY, rules: [{to: [{operation: {ports: {a: b}}}]}]}")
	newer := server(policy("{action: DENY, rules: [{}], whatever: 1}"))
	newerPeer := server(peersOf("foo", "pa", "{mtls: {mode: STRICT}, whatever: 1}"))
	deny := object("security.istio.io/v1", "AuthorizationPolicy", "foo", "sure", "{action: DENY, rules: [{}]}")
	for _, c := range []struct {
		name   string
		docs   []string
		client func(*envoy.Request)
		want   string
	}{
		{"a policy that does not fit the API", []string{broken}, plain, "undetermined"},
		{"twin: and one that refuses all", []string{broken, deny}, plain, "connection refused by L4 policy foo/sure"},
		{"twin: of another workload", []string{policy("{selector: {matchLabels: {app: x}}, rules: [{to: [{operation: {ports: {a: b}}}]}]}")}, plain, passes},
		{"it may be an ALLOW", []string{broken, object("security.istio.io/v1", "AuthorizationPolicy", "foo", "none", "{}")}, plain, "undetermined"},
		{"a policy with a newer field", []string{newer}, plain, "undetermined"},
		{"twin: and one that refuses all", []string{newer, deny}, plain, "connection refused by L4 policy foo/sure"},
		{"mTLS with a newer field", []string{newerPeer}, plain, "undetermined"},
		{"twin: a client with an identity", []string{newerPeer}, bySleep, passes},
		{"mTLS that does not fit the API", []string{peersOf("foo", "pa", "{mtls: [1]}")}, plain, "undetermined"},
		{"twin: a RequestAuthentication that does not fit", []string{object("security.istio.io/v1", "RequestAuthentication", "foo", "r", "{jwtRules: {a: b}}")}, plain, passes},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := captured(t, 8080, c.docs...)
			if got := l4Answer(res, c.client); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if strings.Contains(c.name, "mTLS") && res.Mode != "" {
				t.Errorf("mode %s", res.Mode)
			}
		})
	}
}
