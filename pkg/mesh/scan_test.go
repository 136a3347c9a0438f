package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// plainCases are documents that the line scanner has to read by itself.
var plainCases = map[string]string{
	"a policy": policyText,
	"a list as kubectl prints it": `apiVersion: v1
items:
- apiVersion: v1
  kind: Namespace
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"v1","kind":"Namespace","metadata":{"annotations":{},"name":"foo"}}
    creationTimestamp: "2026-01-02T03:04:05Z"
    labels:
      istio-injection: enabled
      kubernetes.io/metadata.name: foo
    name: foo
    resourceVersion: "123"
    uid: 5f0c1b6e-1c4b-4e0e-9b0a-0123456789ab
  spec:
    finalizers:
    - kubernetes
- apiVersion: v1
  data: {}
  kind: ConfigMap
  metadata:
    name: long
    namespace: foo
    uid: 12345678-1c4b-4e0e-9b0a-0123456789ab
  other: "a text in quotes that
    goes on here \" and ends here"
kind: List
metadata:
  resourceVersion: ""
`,
	"comments, blank lines and values over several lines": `# Source: chart/templates/x.yaml
apiVersion: v1

kind: ConfigMap   # the kind
metadata:
  # within
  name: x
  labels:
    "quoted.io/key": 'value'
data:
  text: plain that goes
    on here

    and here
  folded: >-
    one
      two

    three
  literal: |
    - not an item
    key: not a key
  list:
    - a
    - - b
      - c
    -   k: v
        w: x
  same:
  - k: v
  - k: w
  brackets: [a, "b", 'c' ]
`,
	"an object with managed fields": `apiVersion: v1
kind: Service
metadata:
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:labels:
          .: {}
          f:app: {}
      f:spec:
        f:ports:
          .: {}
          k:{"port":80,"protocol":"TCP"}:
            .: {}
            f:name: {}
    manager: kubectl
  name: s
`,
}

const policyText = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: p
  namespace: foo
spec:
  selector:
    matchLabels: {}
  action: DENY
  rules:
  - from:
    - source:
        requestPrincipals: ["*"]
    to:
    - operation:
        paths: ["/a", /b*]
`

// oddCases are read by the parser, since the scanner does not know them.
var oddCases = []string{
	"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
	"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata: &m\n  name: x\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  labels:\n    a: *m\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: 12\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yes\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"a\\tb\"\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: x\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n   more: y\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n    name: x\n  more: y\n",
	"apiVersion: v1\nkind: ConfigMap\nkind: Secret\nmetadata:\n  name: x\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  name: y\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n? a\n: b\n",
	"apiVersion: v1\nkind: !!str ConfigMap\nmetadata:\n  name: x\n",
	"- apiVersion: v1\n  kind: ConfigMap\n",
	"kind: \"cut off\n",
	"kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: x\ndata:\n  a: |2\n      b\n",
	"kind: ConfigMap\rapiVersion: v1",
	"kind: ConfigMap\u2028apiVersion: v1",
	"kind: Conf\x01igMap\napiVersion: v1",
	"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Namespace\n    metadata:\n      name: a\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x # one\n    # two\n    three\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: b: c\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: [b, [c]]\n",
}

// fast reads a document with the scanner alone.
func fast(text string) ([]*Object, error) {
	p := &parser{opts: ParseOptions{File: "f", Namespace: "default"}, interned: map[string]string{}}
	if !plainText([]byte(text)) {
		return nil, errOdd
	}
	err := p.block(document{[]byte(text), 1})
	return p.objects, err
}

// slow reads a document with the YAML parser alone.
func slow(text string) ([]*Object, error) {
	p := &parser{opts: ParseOptions{File: "f", Namespace: "default"}, interned: map[string]string{}}
	err := p.tree(document{[]byte(text), 1})
	return p.objects, err
}

func TestScanner_ReadsPlainDocumentsAsTheParserDoes(t *testing.T) {
	for name, text := range plainCases {
		t.Run(name, func(t *testing.T) {
			for form, text := range map[string]string{"LF": text, "CRLF": strings.ReplaceAll(text, "\n", "\r\n")} {
				got, err := fast(text)
				if err != nil {
					t.Fatalf("%s: the scanner gives up: %v", form, err)
				}
				if len(got) == 0 {
					t.Fatal("no objects")
				}
				sameAsParser(t, text, got)
			}
		})
	}
}

func TestScanner_LeavesWhatIsUnusualToTheParser(t *testing.T) {
	for _, text := range oddCases {
		if _, err := fast(text); !errors.Is(err, errOdd) {
			t.Errorf("the scanner takes %q: %v", text, err)
		}
	}
}

// sameAsParser fails unless the parser reads the same objects.
func sameAsParser(t *testing.T, text string, got []*Object) {
	t.Helper()
	want, err := slow(text)
	if err != nil {
		t.Fatalf("the parser refuses what the scanner takes: %v\n%q", err, text)
	}
	if len(got) != len(want) {
		t.Fatalf("%d objects, the parser finds %d in\n%q", len(got), len(want), text)
	}
	for i, o := range got {
		if a, b := headerOf(o), headerOf(want[i]); a != b {
			t.Fatalf("the scanner reads\n%s\nthe parser\n%s\nin %q", a, b, text)
		}
		a, errA := jsonOf(o)
		b, errB := jsonOf(want[i])
		if fmt.Sprint(errA) != fmt.Sprint(errB) || !reflect.DeepEqual(a, b) { // that it cannot be read is an answer too
			t.Fatalf("object %d is %v (%v), for the parser %v (%v), in %q", i, a, errA, b, errB, text)
		}
	}
}

func headerOf(o *Object) string {
	return fmt.Sprint(o.APIVersion, o.Kind, o.Namespace, o.Name, o.UID, o.Created, o.Labels, o.Annotations, o.Position, o.Line("spec.rules[0].to[0]"))
}

func jsonOf(o *Object) (any, error) {
	data, err := o.JSON()
	if err != nil {
		return nil, err
	}
	var v any
	return v, json.Unmarshal(data, &v)
}

func FuzzScanner(f *testing.F) {
	for _, text := range plainCases {
		f.Add(text)
	}
	for _, text := range oddCases {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains("\n"+text, "\n---") || strings.Contains("\n"+text, "\n...") {
			t.Skip("markers are the splitter's")
		}
		objects, err := fast(text)
		if err != nil || len(objects) == 0 {
			return
		}
		sameAsParser(t, text, objects)
		for _, o := range objects {
			quickAndThorough(t, text, o)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: b\n---\n{}\n...\n%YAML 1.2\n---\n"))
	for _, text := range plainCases {
		f.Add([]byte(text + "---\n" + text))
	}
	for _, text := range oddCases {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Parse(data, ParseOptions{File: "f"})
		if err != nil {
			var input *InputError
			if !errors.As(err, &input) || input.File != "f" || strings.Contains(err.Error(), "\n") {
				t.Fatalf("not an error for people: %v", err)
			}
			return
		}
		for _, o := range objects {
			if o.Position.Line < 1 || o.Kind == "" {
				t.Fatalf("object without a place or a kind: %+v", o.Position)
			}
			CheckFields(o)
			o.Line("spec.rules[0]")
		}
	})
}
