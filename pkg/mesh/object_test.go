package mesh

import (
	"errors"
	"testing"

	securityapi "istio.io/api/security/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

func TestObject_DecodesWhenAsked(t *testing.T) {
	o := one(t, policyText)
	var spec securityapi.AuthorizationPolicy
	if err := o.DecodeSpec(&spec); err != nil {
		t.Fatal(err)
	}
	if spec.Action != securityapi.AuthorizationPolicy_DENY || spec.Rules[0].To[0].Operation.Paths[1] != "/b*" {
		t.Errorf("decoded %v", &spec)
	}
	raw, err := o.RawSpec()
	if err != nil || raw["action"] != "DENY" {
		t.Errorf("raw %v %v", raw, err)
	}
	if o.Group() != GroupSecurity || o.Ref() != (origin.Ref{Kind: "AuthorizationPolicy", Namespace: "foo", Name: "p"}) || o.FromServer() {
		t.Errorf("header %+v", o.Ref())
	}
}

func TestObject_DecodesNothingFromNoSpec(t *testing.T) {
	for _, text := range []string{policyHead, policyHead + "spec:\n", policyHead + "spec: null\n"} {
		o := one(t, text)
		spec := securityapi.AuthorizationPolicy{Action: securityapi.AuthorizationPolicy_AUDIT}
		if err := o.DecodeSpec(&spec); err != nil || spec.Action != securityapi.AuthorizationPolicy_AUDIT {
			t.Errorf("%v", err)
		}
		if raw, err := o.RawSpec(); raw != nil || err != nil {
			t.Errorf("raw %v %v", raw, err)
		}
	}
}

func TestObject_FieldNamesFitInCaseAsForKubectl(t *testing.T) {
	var svc corev1.Service
	o := one(t, "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nSpec:\n  type: NodePort\n")
	if err := o.Decode(&svc); err != nil || svc.Spec.Type != "" {
		t.Errorf("%q %v", svc.Spec.Type, err)
	}
}

func TestObject_ADecodingErrorNamesThePlace(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		into       any
		want       string
	}{
		{"a field of Kubernetes", "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  ports:\n    name: http\n", &corev1.Service{},
			"mesh.yaml:6: Service default/s: spec.ports: is a mapping where a list is wanted\nhint: kubectl explain service shows the fields and their types\n"},
		{"a field of Istio's", policyHead + "spec:\n  rules:\n    to: []\n", &securityapi.AuthorizationPolicy{},
			"mesh.yaml:7: AuthorizationPolicy foo/p: spec.rules: is a mapping where a list is wanted\nhint: put a dash in front of it: every item of a list begins with one\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects, err := Parse([]byte(tc.text), ParseOptions{File: "mesh.yaml"})
			if err == nil {
				if _, spec := tc.into.(*securityapi.AuthorizationPolicy); spec {
					err = objects[0].DecodeSpec(tc.into)
				} else {
					err = objects[0].Decode(tc.into)
				}
			}
			var input *InputError
			if !errors.As(err, &input) {
				t.Fatalf("not an InputError: %v", err)
			}
			if got := messages(input); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestLine_IsThatOfTheFieldOrOfTheNearestAroundIt(t *testing.T) {
	text := "# c\n\n" + policyText + "---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    labels:\n      a.b/c: d\n    name: s\n  spec:\n    ports:\n    - port: 80\n" +
		"---\n{\"apiVersion\":\"v1\",\n\"kind\":\"List\",\"items\":[\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"metadata\":{\n\"name\":\"x\"}}]}\n" +
		"---\nkind: List\napiVersion: v1\nitems: [\n  {apiVersion: v1, kind: Pod,\n   metadata: {name: z}}]\n"
	s := load(t, text)
	for _, tc := range []struct {
		kind, name, field string
		want              int
	}{
		{"AuthorizationPolicy", "p", "", 3},
		{"AuthorizationPolicy", "p", "metadata.name", 6},
		{"AuthorizationPolicy", "p", "spec.rules[0].from[0].source.requestPrincipals[0]", 15},
		{"AuthorizationPolicy", "p", "spec.rules[0].to[0].operation.paths[1]", 18},
		{"AuthorizationPolicy", "p", "spec.rules[0].to[0].operation.hosts[7]", 17},
		{"AuthorizationPolicy", "p", "spec.rules[9].to", 12},
		{"AuthorizationPolicy", "p", "status.x", 3},
		{"Service", "s", "", 23},
		{"Service", "s", `metadata.labels["a.b/c"]`, 27},
		{"Service", "s", "spec.ports[0].port", 31},
		{"Pod", "x", "", 35},
		{"Pod", "x", "metadata.name", 37},
		{"Pod", "z", "", 42},
		{"Pod", "z", "metadata.name", 43},
	} {
		for _, o := range s.Objects() {
			if o.Kind == tc.kind && o.Name == tc.name {
				if got := o.Line(tc.field); got != tc.want {
					t.Errorf("%s %s is on line %d, want %d", tc.name, tc.field, got, tc.want)
				}
			}
		}
	}
}
