package mesh

import (
	"errors"
	"strings"
	"testing"
)

const edited = `# head
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: p # the name
  uid: x
  creationTimestamp: "2024-01-01T00:00:00Z"
  managedFields: []
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: "{}"
spec:
  action: DENY
  rules:
    # first
    - from:
        - source:
            notRequestPrincipals: ["*"]
      to:
        - operation:
            notPaths:
              - "/productpage" # keep
status: {}
`

func TestEdit_KeepsCommentsOrderAndStyleAndDropsWhatTheServerWrites(t *testing.T) {
	o, err := Parse([]byte(edited), ParseOptions{Namespace: "foo"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := o[0].Edit(func(e *Editor) error {
		return errors.Join(
			e.Append("spec.rules[0].to[0].operation.notPaths", "/x"),
			e.Append("spec.rules[0].from[0].source.notRequestPrincipals", "yes"),
			e.Append("spec.rules[0].when", []Entry{{"key", "request.auth.claims[x]"}, {"values", []string{"true"}}}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `# head
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: p # the name
  namespace: foo
spec:
  action: DENY
  rules:
    # first
    - from:
        - source:
            notRequestPrincipals: ["*", "yes"]
      to:
        - operation:
            notPaths:
              - "/productpage" # keep
              - "/x"
      when:
        - key: request.auth.claims[x]
          values:
            - "true"
`
	if got.Manifest() != want {
		t.Errorf("got\n%s", got.Manifest())
	}
	if got.Created != 1704067200 || got.UID != "x" {
		t.Errorf("the server's time and uid are lost: %d %q", got.Created, got.UID)
	}
	if o[0].Manifest() != edited {
		t.Error("the original was changed")
	}
}

func TestEdit_WritesJSONAsYAMLWithTextsThatStayTexts(t *testing.T) {
	o, err := Parse([]byte(`{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p","namespace":"a"},
 "spec":{"rules":[{"to":[{"operation":{"paths":["/x","010","yes","null"]}}]}]}}`), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := o[0].Edit(func(e *Editor) error { return e.Append("spec.rules[0].to[0].operation.paths", "no") })
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- /x\n", `- "010"`, `- "yes"`, `- "null"`, `- "no"`} {
		if !strings.Contains(got.Manifest(), want) {
			t.Errorf("%s is missing in\n%s", want, got.Manifest())
		}
	}
	if json, err := got.JSON(); err != nil || !strings.Contains(string(json), `["/x","010","yes","null","no"]`) {
		t.Errorf("%s %v", json, err)
	}
}

func TestEdit_TakesAnItemOfAListOutOfIt(t *testing.T) {
	text := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: security.istio.io/v1\n  kind: AuthorizationPolicy\n  metadata:\n    name: p\n    namespace: a\n  spec:\n    rules:\n    - to:\n      - operation:\n          paths: &p\n          - /x\n    - to:\n      - operation:\n          paths: *p\n"
	o, err := Parse([]byte(text), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := o[0].Edit(func(e *Editor) error { return e.Append("spec.rules[1].to[0].operation.paths", "/y") })
	if err != nil {
		t.Fatal(err)
	}
	if m := got.Manifest(); !strings.HasPrefix(m, "apiVersion: security") || strings.Count(m, "/x") != 2 || strings.Count(m, "/y") != 1 {
		t.Errorf("got\n%s", m)
	}
}

func TestEdit_SetsCopiesAndRemoves(t *testing.T) {
	o, err := Parse([]byte(edited), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := o[0].Edit(func(e *Editor) error {
		copied, err := e.Copy("spec.rules[0]")
		return errors.Join(err, e.Remove(copied+".from"), e.Set("spec.action", "ALLOW"), e.Set("spec.selector.matchLabels.app", "web"),
			e.Remove("spec.rules[0].to[0].operation.notPaths[0]"))
	})
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Action   string `json:"action"`
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Rules []struct {
			From []any `json:"from"`
			To   []struct {
				Operation map[string][]string `json:"operation"`
			} `json:"to"`
		} `json:"rules"`
	}
	if err := got.DecodeSpec(&spec); err != nil {
		t.Fatal(err)
	}
	if spec.Action != "ALLOW" || spec.Selector.MatchLabels["app"] != "web" || len(spec.Rules) != 2 || spec.Rules[1].From != nil ||
		len(spec.Rules[0].To[0].Operation["notPaths"]) != 0 || spec.Rules[1].To[0].Operation["notPaths"][0] != "/productpage" {
		t.Errorf("%+v", spec)
	}
	if _, err := o[0].Edit(func(e *Editor) error { return e.Set("spec.rules[7].to", "x") }); err == nil {
		t.Error("a rule that is not there was changed")
	}
	if _, err := o[0].Edit(func(e *Editor) error { return e.Append("spec.action", "x") }); err == nil {
		t.Error("a text was taken for a list")
	}
}

func TestWith_KeepsWhatTheServerKeepsAndTakesAway(t *testing.T) {
	s := load(t, edited+"---\n"+policy("v1", "b", "q", ""))
	changed := one(t, "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: default}\nspec: {action: ALLOW}\n")
	after, err := s.With([]*Object{changed})
	if err != nil {
		t.Fatal(err)
	}
	got := after.Find(GroupSecurity, "AuthorizationPolicy", "default", "p")
	if got.Created != 1704067200 || got.UID != "x" || after.Len() != 2 || len(after.InNamespace(GroupSecurity, "AuthorizationPolicy", "default")) != 1 {
		t.Errorf("%+v of %d", got, after.Len())
	}
	gone := one(t, "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: default, deletionTimestamp: \"2024-01-01T00:00:00Z\"}\n")
	without, err := after.With([]*Object{gone})
	if err != nil {
		t.Fatal(err)
	}
	if without.Find(GroupSecurity, "AuthorizationPolicy", "default", "p") != nil || without.Len() != 1 || len(without.Kind(GroupSecurity, "AuthorizationPolicy")) != 1 || len(without.Objects()) != 1 {
		t.Errorf("it is still there: %d", without.Len())
	}
	if _, err := without.With([]*Object{gone}); err == nil {
		t.Error("what is not there was taken away")
	}
	if s.Len() != 2 || s.Find(GroupSecurity, "AuthorizationPolicy", "default", "p").Manifest() == got.Manifest() {
		t.Error("the snapshot below was changed")
	}
}
