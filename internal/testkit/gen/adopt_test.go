package gen

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const somebodys = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: theirs, namespace: far, annotations: {istio.io/dry-run: "false"}}
spec:
  selector: {matchLabels: {app: theirs}}
  action: DENY
  rules:
  - from: [{source: {requestPrincipals: ["https://idp.theirs/*"], notNamespaces: [a]}}, {source: {ipBlocks: [10.0.0.0/8]}}]
    to: [{operation: {paths: [/x, "/y/*"], notMethods: [GET]}}]
    when: [{key: "request.headers[X-Team]", values: [a], notValues: [b]}, {key: "request.auth.claims[a][b]", values: [c]}, {key: source.ip, values: [192.0.2.1]}]
---
kind: AuthorizationPolicy
metadata: {name: ext}
spec: {action: CUSTOM, provider: {name: x}}
---
kind: Service
metadata: {name: other}
`

func TestAdopt_ThatEachFieldDecidesAloneInAMeshOfItsOwn(t *testing.T) {
	meshes, err := New(1).Adopt(somebodys)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 5 + 4; len(meshes) != want {
		t.Errorf("%d meshes, want %d", len(meshes), want)
	}
	for i, m := range meshes {
		if strings.Contains(m.YAML, "app: theirs") || strings.Contains(m.YAML, "CUSTOM") || !strings.Contains(m.YAML, "action: DENY") || !strings.Contains(m.YAML, "istio.io/dry-run") {
			t.Errorf("mesh %d:\n%s", i, m.YAML)
		}
	}
	whole := meshes[0].play.rules[0]
	if len(whole.from) != 2 || len(whole.to) != 1 || len(whole.when) != 3 || whole.when[0].name != "x-team" || !reflect.DeepEqual(whole.when[1].claim, []string{"a", "b"}) || whole.when[2].attr != attrSourceIP {
		t.Errorf("the conditions are %+v", whole)
	}
	if issuer := meshes[0].play.jwt[0].issuer; issuer != "https://idp.theirs" {
		t.Errorf("tokens are of %q", issuer)
	}
	again, err := New(1).Adopt(somebodys)
	if err != nil || !reflect.DeepEqual(meshes, again) {
		t.Error("the same seed makes other meshes")
	}
}

func TestAdopt_ThatWhatHasNoPolicyIsAnError(t *testing.T) {
	for text, want := range map[string]error{"": ErrNoPolicy, "kind: Service\nmetadata: {name: a}\n": ErrNoPolicy, "a: [": nil} {
		if _, err := New(1).Adopt(text); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
