package cmd

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/combos"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// What the command line prints is what the core makes of the same intent, so that what
// test/conformance shows of the core holds for the program; and it is sound.
func TestEachCombinationOfFlagsPrintsWhatTheCoreMakes(t *testing.T) {
	inFolder(t, combos.Files())
	var all []combos.Combo
	for i, c := range combos.All(1) {
		if i%3 == 0 { // test/conformance has all of these, and of other seeds
			all = append(all, c)
		}
	}
	for _, c := range all {
		code, stdout, stderr := captured(t, "", nil, append([]string{"scaffold"}, c.Args...)...)
		if code != exitYes {
			t.Fatalf("%v: exit code %d\n%s", c.Args, code, stderr)
		}
		checkManifests(t, c.Args, stdout)
		if want := reportOf(t, c); stderr != want {
			t.Fatalf("%v: the command line means something else\n%s\nwant\n%s", c.Args, stderr, want)
		}
		if strings.Contains(stderr, "? ") && c.Newest {
			t.Errorf("%v: the table does not know something\n%s", c.Args, stderr)
		}
	}
	if len(all) < 40 {
		t.Errorf("only %d command lines", len(all))
	}
}

// reportOf is what the core says of a combination.
func reportOf(t *testing.T, c combos.Combo) string {
	t.Helper()
	var before *mesh.Snapshot
	if c.Mesh != "" {
		objects, err := mesh.Parse([]byte(c.Mesh), mesh.ParseOptions{File: "mesh.yaml", Namespace: c.Intent.Namespace})
		if err != nil {
			t.Fatal(err)
		}
		if before, err = mesh.NewSnapshot(objects, nil); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := scaffold.Make(c.Intent, before)
	if err != nil {
		t.Fatalf("%v: %v", c.Args, err)
	}
	text, err := render.ManifestYAML(plan.Objects...)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := mesh.Parse(text, mesh.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := scaffold.Judge(scaffold.Judgement{Plan: plan, Objects: objects, Before: before, Time: 1_800_000_000})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := render.ScaffoldReport(&out, plan, outcome, render.NewStyle(false)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// checkManifests holds objects to what kubectl apply takes without a word: known
// fields only, nothing that a server sets.
func checkManifests(t *testing.T, args []string, text string) {
	t.Helper()
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{File: "stdout"})
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	for _, o := range objects {
		for _, wrong := range mesh.CheckFields(o) {
			t.Errorf("%v: %v", args, wrong)
		}
		data, err := o.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]any
		if err := json.Unmarshal(data, &all); err != nil {
			t.Fatal(err)
		}
		metadata, _ := all["metadata"].(map[string]any)
		if len(all) != 4 || all["spec"] == nil || len(metadata) != 2 {
			t.Errorf("%v: %s has more, or less, than apiVersion, kind, metadata (name, namespace) and spec", args, o.Ref())
		}
	}
	for n, line := range strings.Split(text, "\n") {
		if len(line) > 92 && !strings.Contains(line, `"kty"`) {
			t.Errorf("%v: line %d is %d characters long: %s", args, n+1, len(line), line)
		}
	}
}

func TestTheObjectsAreTheSameAsYAMLAsJSONAndAsFiles(t *testing.T) {
	inFolder(t, combos.Files())
	args := []string{"scaffold", "deploy/httpbin", "-n", "foo", "-f", "mesh.yaml", "--issuer", "https://a.example.com", "--jwks-uri", "https://idp.example.com/keys", "--skip-path", "/health"}
	_, asYAML, report := captured(t, "", nil, args...)
	code, asJSON, sameReport := captured(t, "", nil, append(args, "-o", "json")...)
	if code != exitYes || report != sameReport {
		t.Errorf("exit code %d, and the reports differ by the form of output", code)
	}
	var list struct {
		APIVersion, Kind string
		Items            []map[string]any
	}
	if err := json.Unmarshal([]byte(asJSON), &list); err != nil || list.Kind != "List" || list.APIVersion != "v1" {
		t.Fatalf("%v: %s", err, asJSON)
	}
	var fromYAML []map[string]any
	for _, doc := range strings.Split(asYAML, "\n---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		fromYAML = append(fromYAML, o)
	}
	if len(fromYAML) != 4 || !reflect.DeepEqual(list.Items, fromYAML) {
		t.Errorf("the JSON differs from the YAML:\n%s\n%s", asJSON, asYAML)
	}
	code, names, _ := captured(t, "", nil, append(args, "--output-dir", "out", "--kustomization")...)
	if code != exitYes || strings.Count(names, "\n") != 5 {
		t.Fatalf("exit code %d: %s", code, names)
	}
	// The folder reads back as what it was made from: now everything exists already.
	_, again, note := captured(t, "", nil, append(args, "-f", "out/requestauthentication-httpbin-jwt.yaml", "-f", "out/authorizationpolicy-httpbin-jwt.yaml",
		"-f", "out/serviceentry-jwks-idp-example-com.yaml", "-f", "out/destinationrule-jwks-idp-example-com.yaml")...)
	if again != asYAML || strings.Count(strings.Join(strings.Fields(note), " "), "exists already, as it would be made") != 4 {
		t.Errorf("made again, the objects differ:\n%s", note)
	}
	// A kustomization that kustomize takes.
	code, _, errors := captured(t, "", nil, "why", "deploy/httpbin", "-n", "foo", "-k", "out")
	if code != exitUsage || !strings.Contains(errors, "there is no Deployment at all") {
		t.Errorf("why -k: exit code %d: %s", code, errors)
	}
	// Written again, nothing changes; what somebody else wrote is left alone.
	if code, _, stderr := captured(t, "", nil, append(args, "--output-dir", "out", "--kustomization")...); code != exitYes {
		t.Errorf("written again: exit code %d: %s", code, stderr)
	}
	if code, stdout, stderr := captured(t, "", nil, append(args, "--output-dir", "out", "--audience", "x")...); code != exitUsage || stdout != "" || !strings.Contains(stderr, "is there already, with other content") {
		t.Errorf("over other content: exit code %d: %s", code, stderr)
	}
}
