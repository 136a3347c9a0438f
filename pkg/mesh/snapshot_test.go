package mesh

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func policy(version, namespace, name, rest string) string {
	return "apiVersion: security.istio.io/" + version + "\nkind: AuthorizationPolicy\nmetadata:\n  name: " + name + "\n  namespace: " + namespace + "\n" + rest + "---\n"
}

func TestSnapshot_SortsAsIstiodDoes(t *testing.T) {
	at := func(s string) string { return "  creationTimestamp: " + s + "\n" }
	s := load(t, policy("v1", "a", "late", at("2026-01-02T03:04:05Z"))+policy("v1", "b", "same", at("2026-01-01T00:00:00Z"))+
		policy("v1", "a", "same", at("\"2026-01-01T00:00:00Z\""))+policy("v1", "z", "early", at("2025-12-31T23:59:59+00:00"))+
		policy("v1", "w", "no-time", "")+policy("v1", "x", "another", at("null")))
	var got []string
	for _, o := range s.Kind(GroupSecurity, "AuthorizationPolicy") {
		got = append(got, o.Namespace+"/"+o.Name)
	}
	if want := "z/early a/same b/same a/late x/another w/no-time"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if list := s.InNamespace(GroupSecurity, "AuthorizationPolicy", "a"); len(list) != 2 || list[0].Name != "same" {
		t.Errorf("in namespace a: %v", list)
	}
	if o := s.Find(GroupSecurity, "AuthorizationPolicy", "b", "same"); o == nil || o.Namespace != "b" {
		t.Errorf("found %v", o)
	}
	if o := s.Find(GroupSecurity, "AuthorizationPolicy", "c", "same"); o != nil {
		t.Errorf("found %v", o)
	}
}

func TestSnapshot_CountsEqualObjectsOnce(t *testing.T) {
	for name, text := range map[string]string{
		"letter by letter":         policy("v1", "a", "p", "spec:\n  action: DENY\n") + policy("v1", "a", "p", "spec:\n  action: DENY\n"),
		"another served version":   policy("v1", "a", "p", "spec:\n  action: DENY\n") + policy("v1beta1", "a", "p", "spec:\n  action: DENY\n"),
		"status and managedFields": policy("v1", "a", "p", "  managedFields:\n  - manager: x\n  resourceVersion: \"1\"\nspec: {}\nstatus:\n  x: y\n") + policy("v1", "a", "p", "  resourceVersion: \"2\"\nspec: {}\n"),
		"another way to write it":  policy("v1", "a", "p", "spec:\n  action: DENY # no\n") + `{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"namespace":"a","name":"p"},"spec":{"action":"DENY"}}`,
		"the namespace implied":    policy("v1", "default", "p", "") + "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: p\n",
	} {
		t.Run(name, func(t *testing.T) {
			if n := load(t, text).Len(); n != 1 {
				t.Errorf("%d objects", n)
			}
		})
	}
}

func TestSnapshot_RefusesTwoDifferentObjectsOfOneName(t *testing.T) {
	text := policy("v1", "a", "p", "spec:\n  rules:\n  - to:\n    - operation:\n        paths: [/a]\n") + policy("v1beta1", "a", "p", "spec:\n  rules:\n  - to:\n    - operation:\n        paths: [/b]\n")
	objects, err := Parse([]byte(text), ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewSnapshot(objects, nil)
	want := "mesh.yaml:12: AuthorizationPolicy a/p: spec.rules[0].to[0].operation.paths[0]: is defined twice and differently, first at mesh.yaml:1\n" +
		"hint: keep one of the two; to judge a change of an object that exists, give the new one with --what-if\n"
	if got := messages(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	same, err := NewSnapshot(append(objects[:1:1], one(t, policy("v1", "b", "p", ""))), nil)
	if err != nil || same.Len() != 2 {
		t.Errorf("one name in two namespaces: %v", err)
	}
}

func TestSnapshot_CountsWhatItDoesNotKnow(t *testing.T) {
	s := load(t, "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata:\n  name: a\n---\napiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata:\n  name: b\n---\napiVersion: v1\nkind: Frobnicator\nmetadata:\n  name: a\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n---\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n---\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a]\n")
	want := map[string]int{"Certificate.cert-manager.io": 2, "Frobnicator": 1, "Kustomization.kustomize.config.k8s.io": 2}
	if got := s.Unknown(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if s.MeshObjects() != 0 || s.Len() != 6 {
		t.Errorf("%d of the mesh, %d in all", s.MeshObjects(), s.Len())
	}
	if s := load(t, policyText); s.MeshObjects() != 1 || len(s.Unknown()) != 0 {
		t.Errorf("%d of the mesh, unknown %v", s.MeshObjects(), s.Unknown())
	}
}

func TestSnapshot_KeepsGapsAndHandsOutCopies(t *testing.T) {
	given := []Gap{{What: "policies", Why: "forbidden", Permission: "list authorizationpolicies"}}
	s, err := NewSnapshot(nil, given)
	if err != nil {
		t.Fatal(err)
	}
	given[0].What = "changed"
	s.Gaps()[0].What = "changed"
	s.Unknown()["x"] = 1
	if s.Gaps()[0].What != "policies" || len(s.Unknown()) != 0 {
		t.Error("a snapshot was changed from outside")
	}
}

func TestWith_PutsObjectsOnTop(t *testing.T) {
	s := load(t, policy("v1", "a", "p", "spec:\n  action: DENY\n")+policy("v1", "a", "q", ""))
	changed := one(t, policy("v1beta1", "a", "p", "spec:\n  action: ALLOW\n"))
	added := one(t, policy("v1", "b", "r", ""))
	after, err := s.With([]*Object{changed, added})
	if err != nil {
		t.Fatal(err)
	}
	if after.Len() != 3 || after.Find(GroupSecurity, "AuthorizationPolicy", "a", "p") != changed {
		t.Errorf("%d objects", after.Len())
	}
	if s.Len() != 2 || s.Find(GroupSecurity, "AuthorizationPolicy", "a", "p") == changed {
		t.Error("the snapshot before was changed")
	}
	if _, err := s.With([]*Object{changed, one(t, policy("v1", "a", "p", "spec:\n  action: AUDIT\n"))}); err == nil {
		t.Error("two changes of one object are taken")
	}
}

func TestSelectorMatches_WantsEveryPair(t *testing.T) {
	labels := map[string]string{"app": "web", "empty": ""}
	for _, tc := range []struct {
		selector map[string]string
		want     bool
	}{
		{nil, true}, {map[string]string{}, true}, {map[string]string{"app": "web"}, true}, {map[string]string{"app": "api"}, false},
		{map[string]string{"app": "web", "tier": ""}, false}, {map[string]string{"empty": ""}, true}, {map[string]string{"App": "web"}, false},
	} {
		if got := SelectorMatches(tc.selector, labels); got != tc.want {
			t.Errorf("%v: %v", tc.selector, got)
		}
	}
}

func TestEditDistance_CountsSwapsOnce(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"rules", "ruels", 1}, {"paths", "path", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"from", "form", 1}} {
		if got := editDistance(tc.a, tc.b); got != tc.want {
			t.Errorf("%s %s: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := editDistance(tc.b, tc.a); got != tc.want {
			t.Errorf("%s %s: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
}

func TestSplitField_ReadsBackWhatJoinFieldWrites(t *testing.T) {
	for _, keys := range [][]string{{"spec", "rules", "0", "to"}, {"metadata", "labels", "a.b/c"}, {"x", `odd]key`}} {
		field := ""
		for _, key := range keys {
			if key == "0" {
				field = joinIndex(field, 0)
			} else {
				field = joinField(field, key)
			}
		}
		if got := splitField(field); fmt.Sprint(got) != fmt.Sprint(keys) {
			t.Errorf("%s reads as %q", field, got)
		}
	}
}
