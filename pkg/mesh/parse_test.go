package mesh

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse_FindsTheObjectsOfAnyFormWithTheirPlaces(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"documents with comments, empty ones and a marker at the end", "# Source: a\n---\n# none\n---  # two\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n---\n\n---\n\n# three\nkind: ConfigMap\napiVersion: v1\nmetadata:\n  name: b\n---\n",
			"Namespace a:5 | ConfigMap default/b:14"},
		{"a byte order mark and CRLF", "\xef\xbb\xbfapiVersion: v1\r\nkind: ConfigMap\r\nmetadata:\r\n  name: a\r\n---\r\nkind: ConfigMap\r\napiVersion: v1\r\nmetadata: {name: b}\r\n",
			"ConfigMap default/a:1 | ConfigMap default/b:6"},
		{"the end marker and directives", "%YAML 1.1\n---\nkind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\n...\n%YAML 1.1\n---\nkind: ConfigMap\napiVersion: v1\nmetadata:\n  name: b\n",
			"ConfigMap default/a:3 | ConfigMap default/b:10"},
		{"a document that begins on the line of its marker", "--- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n--- # c\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}",
			"ConfigMap default/a:1 | ConfigMap default/b:3"},
		{"a marker within a literal text", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: |\n    ---\n    ...\n  y: z\n", "ConfigMap default/a:1"},
		{"JSON values one after the other", "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\n\"metadata\":{\"name\":\"a\"}}\n\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"}}",
			"Namespace a:1 | Node n:4"},
		{"a List in JSON", "{\n  \"kind\": \"List\",\n  \"apiVersion\": \"v1\",\n  \"items\": [\n    {\n      \"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}},\n    {\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"b\", \"namespace\": \"x\"}}\n  ]\n}",
			"Pod default/a:5 | Pod x/b:7"},
		{"a list of one kind, as the API server answers", `{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}`,
			"Pod default/a:1 | Pod default/b:1"},
		{"the same in YAML", "kind: PodList\napiVersion: v1\nitems:\n- metadata:\n    name: a\n- metadata: {name: b}\n", "Pod default/a:4 | Pod default/b:6"},
		{"a List in a List, and an empty one", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Pod\n    metadata:\n      name: a\n---\napiVersion: v1\nkind: List\nitems: []\n---\napiVersion: v1\nkind: List\nitems:\n",
			"Pod default/a:7"},
		{"a List with an item in braces between plain ones", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: c\n",
			"Pod default/a:4 | Pod default/b:8 | Pod default/c:9"},
		{"an unusual header within a plain List", "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    annotations:\n      note: |\n        two\n        lines\n    name: a\nkind: List\n", "Pod default/a:3"},
		{"an object that only ends in List, and a field items", "apiVersion: example.org/v1\nkind: AccessList\nmetadata:\n  name: a\nspec:\n  items: [1]\n---\napiVersion: example.org/v1\nkind: Menu\nmetadata:\n  name: m\nitems:\n- x\n", "AccessList default/a:1 | Menu default/m:8"},
		{"anchors and merged mappings", "apiVersion: v1\nkind: ConfigMap\nmetadata: &m\n  name: a\n  labels: &l\n    x: z\ndata:\n  <<: *l\n", "ConfigMap default/a:1"},
		{"a name that the server makes up", "apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: job-\n", "Job default/job-:1"},
		{"a kind that needs no name", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", "Kustomization default/:1"},
		{"a namespace on something that has none", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: r\n  namespace: x\n", "ClusterRole r:1"},
		{"nothing at all", "", ""},
		{"null", "null\n---\n~\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects, err := Parse([]byte(tc.text), ParseOptions{File: "f"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range objects {
				got = append(got, fmt.Sprintf("%s:%d", o.Ref(), o.Position.Line))
				if _, err := o.JSON(); err != nil {
					t.Error(err)
				}
			}
			if s := strings.Join(got, " | "); s != tc.want {
				t.Errorf("got  %s\nwant %s", s, tc.want)
			}
		})
	}
}

func TestParse_SaysWhatIsWrongWhereAndWhatToDo(t *testing.T) {
	head := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\n"
	for _, tc := range []struct{ name, text, want string }{
		{"a text that is cut off", head + "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"b",
			"f:9: cannot be read as YAML: a quote that is opened here is never closed\nhint: close it; is the file whole?\n"},
		{"a tab", head + "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: b\nspec: {}\n",
			"f:9: cannot be read as YAML: the line is indented with a tab\nhint: indent with blanks: YAML takes no tabs\n"},
		{"a template of Helm", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Values.name }}\nspec:\n  {{- if .x }}\n  a: b\n  {{- end }}\n",
			"f:6: cannot be read as YAML: did not find expected node content\nhint: " + templateHint + "\n"},
		{"a template in quotes", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"{{ .Values.name }}\"\n",
			"f:1: Pod {{ .Values.name }}: is a template, not a manifest\nhint: " + templateHint + "\n"},
		{"a list", head + "# c\n- a\n", "f:7: is a list, not a Kubernetes object\nhint: a manifest begins with apiVersion and kind\n"},
		{"text", "hello\n", "f:1: is text, not a Kubernetes object\nhint: a manifest begins with apiVersion and kind\n"},
		{"a number in JSON", "[1]", "f:1: is a list, not a Kubernetes object\nhint: a manifest begins with apiVersion and kind\n"},
		{"a values file", "replicas: 1\nimage: x\n", "f:1: is no Kubernetes object: it has no apiVersion and kind\nhint: leave the file out if it is no manifest (a values file of a chart, say)\n"},
		{"a misspelt kind", "apiVersion: v1\nknd: Pod\nmetadata:\n  name: a\n", "f:2: knd: is no Kubernetes object: it has no kind\nhint: did you mean kind?\n"},
		{"a misspelt apiVersion in JSON", "{\"apiversion\": \"v1\",\n \"kind\": \"Pod\"}", "f:1: apiversion: is no Kubernetes object: it has no apiVersion\nhint: did you mean apiVersion?\n"},
		{"no name", head + "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}\n", "f:6: Pod: metadata.name: is missing\nhint: give the object a name\n"},
		{"a number for a name", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: 12\n", "f:4: Pod: metadata.name: is a number where text is wanted\nhint: put it in quotes: \"12\"\n"},
		{"yes for a label", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    on: off\n    b/c: yes\n", "f:6: Pod default/a: metadata.labels.on: is true or false where text is wanted\nhint: put it in quotes: \"off\"\n"},
		{"a mapping for a label in JSON", "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"metadata\":{\"name\":\"a\",\n\"labels\":{\"x\":{}}}}", "f:3: Pod default/a: metadata.labels.x: is a mapping where text is wanted\nhint: write one value there\n"},
		{"labels as a list", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: [x]\n", "f:5: Pod default/a: metadata.labels: is a list where a mapping is wanted\nhint: write it as name: value\n"},
		{"metadata as text", "apiVersion: v1\nkind: Pod\nmetadata: a\n", "f:3: Pod: metadata: is text where a mapping is wanted\nhint: write name and namespace below metadata, further in\n"},
		{"a key that is given twice", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec: {}\nspec: {}\n", "f:6: Pod default/a: spec: is given twice, first on line 5\nhint: keep one of the two: only the last would count\n"},
		{"a label that is given twice", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    x.y/z: a\n    x.y/z: b\n", "f:7: Pod default/a: metadata.labels[\"x.y/z\"]: is given twice, first on line 6\nhint: keep one of the two: only the last would count\n"},
		{"JSON that is cut off", "{\"apiVersion\": \"v1\",\n\"kind\": \"Pod\",", "f:2: cannot be read as JSON: unexpected end of input\nhint: close what is open; is the file whole?\n"},
		{"JSON with a comma too many", "{\"apiVersion\": \"v1\",\n\"kind\": \"Pod\",}", "f:2: cannot be read as JSON: invalid character '}' looking for beginning of object key string\nhint: look at the commas, the quotes and the brackets before it\n"},
		{"an item that is no object", "apiVersion: v1\nkind: List\nitems:\n- a\n", "f:4: items[0]: is text, not a Kubernetes object\nhint: every item of a List is a whole object, with apiVersion and kind\n"},
		{"a binary file", "abc\n\x7fELF\x00\x01", "f:2: is a binary file, not YAML or JSON\nhint: give manifests as text; an archive has to be unpacked first\n"},
		{"UTF-16", "\xff\xfea\x00", "f: is text in UTF-16\nhint: save it as UTF-8\n"},
		{"a line that is too far out", head + "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n    containers: []\n  volumes: []\n  x: y\n", "f:11: cannot be read as YAML: the line does not fit the indentation of those before it\nhint: indent it as its neighbours are\n"},
		{"a colon in text", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\ndata: a: b\n", "f:5: cannot be read as YAML: there is a colon where none is expected\nhint: look at the indentation; put text with a colon and a blank in it into quotes\n"},
		{"a bracket that stays open", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nx: [a,\n  b\ny: z\n", "f:6: cannot be read as YAML: a bracket that is opened here or before is not closed, or a comma is missing\nhint: close it; is the file whole?\n"},
		{"an alias of nothing", "apiVersion: v1\nkind: Pod\nmetadata: *x\n", "f:3: cannot be read as YAML: unknown anchor 'x' referenced\nhint: look at the indentation, the quotes and the colons of this line and the one before\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse([]byte(tc.text), ParseOptions{File: "f"})
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

func TestParse_RefusesAliasesThatBlowUp(t *testing.T) {
	nodes := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		nodes += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9)+fmt.Sprintf("*a%d", i-1))
	}
	long := "a0: &a0 " + strings.Repeat("x", 1<<20) + "\na1: [" + strings.Repeat("*a0,", 100) + "*a0]\n"
	for name, text := range map[string]string{
		"many small":            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n" + nodes,
		"few that are long":     "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n" + long,
		"one that holds itself": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\nx: &x\n  y: *x\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(text), ParseOptions{File: "f"})
			if err == nil || !strings.HasPrefix(err.Error(), "f:1: ") || !strings.Contains(err.Error(), "alias") && !strings.Contains(err.Error(), "contains itself") {
				t.Fatalf("got %v", err)
			}
		})
	}
	fine := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: &x abc\n  z: *x\n"
	data, err := one(t, fine).JSON()
	if err != nil || !strings.Contains(string(data), `"z":"abc"`) {
		t.Fatalf("a modest alias: %s %v", data, err)
	}
}

func TestParse_GivesTheDefaultNamespaceToWhatLivesInOne(t *testing.T) {
	text := "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: a\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns\n---\napiVersion: example.org/v1\nkind: Thing\nmetadata:\n  name: t\n"
	objects, err := Parse([]byte(text), ParseOptions{File: "f", Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"shop", "", "shop"} {
		if objects[i].Namespace != want {
			t.Errorf("%s is in %q, want %q", objects[i].Kind, objects[i].Namespace, want)
		}
	}
}

func TestATextThatMayBeInAnObjectIsNeverMissed(t *testing.T) {
	for text, want := range map[string]bool{
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"CUSTOM"}}`:         true,
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"\u0043USTOM"}}`:    true,
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"\\x43USTOM\"}\n":            true,
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"something else"}}`: false,
	} {
		objects, err := Parse([]byte(text), ParseOptions{})
		if err != nil || len(objects) != 1 || objects[0].Mentions("CUSTOM") != want {
			t.Errorf("%s: %v, %v", text, objects, err)
		}
	}
}

func TestASelectorAloneIsPlain(t *testing.T) {
	for spec, want := range map[string]string{
		`{"selector":{"matchLabels":{"app":"x"}},"rules":[{}]}`: "x",
		`{"rules":[{}]}`:                  "",
		`{"selector":{"matchLabels":{}}}`: "",
		`{"selector":{"matchLabels":{"app":"x"}},"targetRefs":[{"kind":"Gateway"}]}`: "",
		`{"selector":{"matchLabels":{"app":1}}}`:                                     "",
		`null`:                                                                       "",
	} {
		objects, err := Parse([]byte(`{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"a"},"spec":`+spec+`}`), ParseOptions{Server: true})
		if err != nil {
			t.Fatal(err)
		}
		labels, plain := objects[0].PlainSelector()
		if plain != (want != "") || plain && labels["app"] != want {
			t.Errorf("%s: %v, %t", spec, labels, plain)
		}
	}
}
