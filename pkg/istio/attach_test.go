package istio

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

const denyAll = "{action: DENY, rules: [{}]}"

func authz(namespace, name, spec string) string {
	return object("security.istio.io/v1", "AuthorizationPolicy", namespace, name, spec)
}

func TestAPolicyReachesTheWorkloadByNamespaceAndSelector(t *testing.T) {
	for _, c := range []struct {
		name, namespace, spec string
		reaches               bool
		why                   string // part of the reason
	}{
		{"its own namespace", "foo", "{action: DENY, rules: [{}]}", true, ""},
		{"the root namespace", "istio-system", "{action: DENY, rules: [{}]}", true, ""},
		{"a label that fits", "foo", "{selector: {matchLabels: {app: httpbin}}, action: DENY, rules: [{}]}", true, ""},
		{"two labels that fit, from the root", "istio-system", "{selector: {matchLabels: {app: httpbin, version: v1}}, action: DENY, rules: [{}]}", true, ""},
		{"a selector without labels", "foo", "{selector: {matchLabels: {}}, action: DENY, rules: [{}]}", true, ""},
		{"a label that does not", "foo", "{selector: {matchLabels: {app: other}}, action: DENY, rules: [{}]}", false, "app=other, the pods have app=httpbin"},
		{"a label that is not there", "foo", "{selector: {matchLabels: {app: httpbin, x: z}}, action: DENY, rules: [{}]}", false, "x=z, which the pods do not have"},
		{"targetRefs", "foo", "{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g}], action: DENY, rules: [{}]}", false, "targetRefs"},
		{"targetRef", "foo", "{targetRef: {kind: Service, name: httpbin}, action: DENY, rules: [{}]}", false, "targetRefs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := translated(t, authz(c.namespace, "p", c.spec))
			want := "allowed"
			if c.reaches {
				want = "[ns[" + c.namespace + "]-policy[p]-rule[0]]"
			}
			if got := answer(res.Proxy, get(), nil); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if len(res.Considered) != 1 || res.Considered[0].Attached != c.reaches || !strings.Contains(res.Considered[0].Why, c.why) {
				t.Errorf("considered: %+v", res.Considered)
			}
		})
	}
}

func TestPoliciesOfOtherNamespacesAreCounted(t *testing.T) {
	res := translated(t, authz("bar", "p", denyAll), authz("bar", "q", denyAll), object("security.istio.io/v1", "RequestAuthentication", "baz", "r", "{}"))
	if got := answer(res.Proxy, get(), nil); got != "allowed" {
		t.Errorf("got %s", got)
	}
	counts := map[string]int{}
	for _, e := range res.Elsewhere {
		counts[e.Kind] = e.Count
	}
	if counts["AuthorizationPolicy"] != 2 || counts["RequestAuthentication"] != 1 || len(res.Considered) != 0 {
		t.Errorf("elsewhere %v, considered %v", counts, res.Considered)
	}
}

func TestPoliciesOfAllScopesAreAdded(t *testing.T) {
	one := func(p string) string { return `{rules: [{to: [{operation: {paths: ["` + p + `"]}}]}]}` }
	res := translated(t, authz("istio-system", "root", one("/root")), authz("foo", "ns", one("/ns")), authz("foo", "zz", "{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}"))
	for p, want := range map[string]string{"/root": "allowed", "/ns": "allowed", "/": none} {
		if got := answer(res.Proxy, get(path(p)), nil); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
	if got := answer(res.Proxy, get(path("/ns"), method("POST")), nil); got != "[ns[foo]-policy[zz]-rule[0]]" {
		t.Errorf("DENY comes first: %s", got)
	}
}

func TestTheRootNamespaceIsConfigurable(t *testing.T) {
	res := translated(t, meshConfig("rootNamespace: mesh-root"), authz("mesh-root", "p", denyAll), authz("istio-system", "q", "{}"))
	if got := answer(res.Proxy, get(), nil); got != "[ns[mesh-root]-policy[p]-rule[0]]" || res.RootNamespace != "mesh-root" {
		t.Errorf("got %s, root %s", got, res.RootNamespace)
	}
}

func TestOfSeveralPoliciesThatMatchTheFirstByNameIsReported(t *testing.T) {
	eleven := "{action: DENY, rules: [" + strings.Repeat(`{to: [{operation: {paths: ["/x"]}}]},`, 2) + "{}," + strings.Repeat(`{to: [{operation: {paths: ["/x"]}}]},`, 7) + "{}]}"
	res := translated(t, policy(eleven))
	if got := answer(res.Proxy, get(), nil); got != "[ns[foo]-policy[p]-rule[10]]" {
		t.Errorf("got %s, want rule 10 before rule 2", got)
	}
}

func TestADryRunDecidesNothing(t *testing.T) {
	annotated := func(value, spec string) string {
		return strings.Replace(policy(spec), "namespace: foo}", `namespace: foo, annotations: {istio.io/dry-run: "`+value+`"}}`, 1)
	}
	for value, dry := range map[string]bool{"true": true, "True": true, "t": true, "1": true, "TRUE": true, "false": false, "yes": false, "": false, "tRue": false} {
		res := translated(t, annotated(value, denyAll))
		want := "[ns[foo]-policy[p]-rule[0]]"
		if dry {
			want = "allowed"
		}
		if got := answer(res.Proxy, get(), nil); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
		if f := rbacs(res.Proxy)[0]; (f.Shadow != nil) != dry || (f.Rules != nil) == dry || f.ShadowPrefix != "istio_dry_run_deny_" {
			t.Errorf("%q: the filter is %+v", value, f)
		}
	}
	if got := answer(translated(t, annotated("true", "{}")).Proxy, get(), nil); got != "allowed" {
		t.Errorf("a dry run of ALLOW makes no default: %s", got)
	}
}

func TestPoliciesWithoutRules(t *testing.T) {
	for spec, want := range map[string]string{
		"{}": none, "{rules: []}": none, "{action: DENY}": "allowed", "{action: AUDIT}": "allowed", "{rules: [{}]}": "allowed",
		"{action: AUDIT, rules: [{}]}": "allowed",
	} {
		if got := answer(translated(t, policy(spec)).Proxy, get(), nil); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
}

// authorizer is the Service of an external authorizer.
const authorizer = "apiVersion: v1\nkind: Service\nmetadata: {name: ext, namespace: foo}\nspec: {ports: [{port: 80}]}"

func TestFiltersStandInIstiodsOrder(t *testing.T) {
	res, _ := withJWT(t, authz("foo", "c", "{action: CUSTOM, provider: {name: ext}, rules: [{}]}"), authz("foo", "a", "{rules: [{}]}"),
		authz("foo", "d", "{action: DENY, rules: [{}]}"), authz("foo", "l", "{action: AUDIT, rules: [{}]}"),
		authorizer, meshConfig("extensionProviders:", "- {name: ext, envoyExtAuthzHttp: {service: ext.foo.svc.cluster.local, port: 80}}"))
	var got []string
	for _, f := range res.Proxy.Chains[0].HTTP.Filters {
		switch f := f.(type) {
		case *envoy.JWTAuthn:
			got = append(got, "JWT")
		case *envoy.ExtAuthz:
			got = append(got, "ext_authz "+f.Provider)
		case *envoy.RBAC:
			name := f.Action.String()
			if f.Custom {
				name = "CUSTOM"
			}
			got = append(got, name)
		}
	}
	if want := "CUSTOM, ext_authz ext, JWT, AUDIT, DENY, ALLOW"; strings.Join(got, ", ") != want {
		t.Errorf("got %v", got)
	}
}

func TestCustomPoliciesNeedTheirAuthorizer(t *testing.T) {
	ext := meshConfig("extensionProviders:", "- {name: ext, envoyExtAuthzGrpc: {service: ext.foo.svc.cluster.local, port: 80}}", "- {name: lb, envoyOtelAls: {service: ext.foo.svc.cluster.local, port: 80}}")
	custom := func(name, provider, path string) string {
		return authz("foo", name, `{action: CUSTOM, provider: {name: `+provider+`}, rules: [{to: [{operation: {paths: ["`+path+`"]}}]}]}`)
	}
	for _, c := range []struct {
		name string
		docs []string
		path string
		want string
	}{
		{"asked where it matches", []string{authorizer, ext, custom("p", "ext", "/x")}, "/x", "undetermined"},
		{"one whose Service is not there", []string{ext, custom("p", "ext", "/x")}, "/x", "[istio-ext-authz-ext-ns[foo]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]"},
		{"not asked elsewhere", []string{authorizer, ext, custom("p", "ext", "/x")}, "/y", "allowed"},
		{"one that nobody configured", []string{custom("p", "nobody", "/x")}, "/x", "[istio-ext-authz-nobody-ns[foo]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]"},
		{"denies where it matches only", []string{custom("p", "nobody", "/x")}, "/y", "allowed"},
		{"one that is no authorizer", []string{ext, custom("p", "lb", "/x")}, "/x", "[istio-ext-authz-lb-ns[foo]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]"},
		{"two at once", []string{ext, custom("p", "ext", "/x"), custom("q", "other", "/y")}, "/x", "[istio-ext-authz-ext-ns[foo]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := answer(translated(t, c.docs...).Proxy, get(path(c.path)), nil); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	dry := strings.Replace(custom("p", "ext", "/x"), "namespace: foo}", `namespace: foo, annotations: {istio.io/dry-run: "true"}}`, 1)
	if got := answer(translated(t, authorizer, ext, dry).Proxy, get(path("/x")), nil); got != "[istio-ext-authz-ext-ns[foo]-policy[p]-rule[0]]" {
		t.Errorf("a dry run of CUSTOM denies by itself: %s", got)
	}
}
