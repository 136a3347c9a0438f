package istio

import (
	"strings"
	"testing"
)

func TestIstiodSeesItsOwnRevisionAndTheNamespacesThatItDiscovers(t *testing.T) {
	deny := policy("{action: DENY, rules: [{}]}")
	labelled := func(rev string) string {
		return strings.Replace(deny, "namespace: foo}", "namespace: foo, labels: {istio.io/rev: "+rev+"}}", 1)
	}
	const denied = "[ns[foo]-policy[p]-rule[0]]"
	selectors := func(text string) string { return meshConfig("discoverySelectors:", "- "+text) }
	canary := "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: foo, labels: {app: httpbin, istio.io/rev: canary}}\nspec: {containers: [{name: istio-proxy, image: x}]}\n"
	root := strings.Replace(deny, "namespace: foo", "namespace: istio-system", 1)
	rootLabels := "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system, labels: {a: b}}\n"
	for _, c := range []struct {
		name string
		docs []string
		want string
	}{
		{"no revision", []string{deny}, denied},
		{"the default one", []string{labelled("default")}, denied},
		{"one that may be meant", []string{labelled("canary")}, "undetermined"},
		{"the pods' own", []string{labelled("canary"), canary}, denied},
		{"not the pods' own", []string{labelled("stable"), canary}, "allowed"},
		{"a namespace that is discovered", []string{deny, selectors("matchLabels: {istio-injection: enabled}")}, denied},
		{"by its name", []string{deny, selectors("matchLabels: {kubernetes.io/metadata.name: foo}")}, denied},
		{"by an expression", []string{deny, selectors("matchExpressions: [{key: istio-injection, operator: In, values: [a, enabled]}, {key: x, operator: DoesNotExist}]")}, denied},
		{"the workload's namespace left out", []string{deny, selectors("matchLabels: {x: z}")}, "undetermined"},
		{"the root namespace left out", []string{root, rootLabels, selectors("matchLabels: {istio-injection: enabled}")}, "allowed"},
		{"the root namespace not read", []string{root, selectors("matchLabels: {istio-injection: enabled}")}, "undetermined"},
		{"an empty revision", []string{labelled("''")}, "allowed"},
		{"a selector that cannot be read", []string{deny, selectors("matchExpressions: [{key: x, operator: in, values: [a]}]")}, denied},
		{"a selector without values", []string{deny, selectors("matchExpressions: [{key: x, operator: In}]")}, denied},
		{"the root namespace by another selector", []string{root, rootLabels, meshConfig("discoverySelectors:", "- matchLabels: {istio-injection: enabled}", "- matchExpressions: [{key: a, operator: NotIn, values: [c]}]")}, strings.Replace(denied, "foo", "istio-system", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := answer(translated(t, c.docs...).Proxy, get(), nil); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
