package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// manifestOf is the part of a manifest that a release writes, and the name.
type manifestOf struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string `json:"version"`
		ShortDescription string `json:"shortDescription"`
		Caveats          string `json:"caveats"`
		Platforms        []struct {
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			URI    string `json:"uri"`
			Sha256 string `json:"sha256"`
			Bin    string `json:"bin"`
		} `json:"platforms"`
	} `json:"spec"`
}

func committed(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../krew/asmjwt.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, text string) manifestOf {
	t.Helper()
	var m manifestOf
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// dist is what goreleaser leaves of a version.
func dist(t *testing.T, version string, archives ...platform) string {
	t.Helper()
	dir := t.TempDir()
	var sums strings.Builder
	for i, p := range archives {
		sums.WriteString(strings.Repeat(string("0123456789abcdef"[i]), 64) + "  " + p.archive("v"+version) + "\n")
	}
	for name, text := range map[string]string{"metadata.json": `{"version":"` + version + `"}`, "checksums.txt": sums.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAReleaseIsWrittenIntoTheManifestAndNothingElseChanges(t *testing.T) {
	out := filepath.Join(t.TempDir(), "asmjwt.yaml")
	if err := run("../../krew/asmjwt.yaml", dist(t, "1.2.3", platforms...), releases, false, out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	m := parse(t, string(text))
	if m.Spec.Version != "v1.2.3" || len(m.Spec.Platforms) != len(platforms) {
		t.Fatalf("got version %s, %d platforms", m.Spec.Version, len(m.Spec.Platforms))
	}
	for i, p := range m.Spec.Platforms {
		want := platforms[i]
		if p.Selector.MatchLabels["os"] != want.os || p.Selector.MatchLabels["arch"] != want.arch ||
			p.URI != releases+"/v1.2.3/"+want.archive("v1.2.3") || p.Sha256 != strings.Repeat(string("0123456789abcdef"[i]), 64) || p.Bin != want.program() {
			t.Errorf("platform %d: %+v", i, p)
		}
	}
	// Written twice, it is the same: a release finds the manifest of the one before.
	again, err := fill(string(text), release{version: m.Spec.Version, url: releases, sums: mustRead(t, dist(t, "1.2.3", platforms...)).sums}, false)
	if err != nil || again != string(text) {
		t.Errorf("the second time it differs: %v", err)
	}
	before, _, _ := strings.Cut(committed(t), "  version:")
	if !strings.HasPrefix(string(text), before) {
		t.Error("what is written by hand has changed")
	}
}

func mustRead(t *testing.T, dir string) release {
	t.Helper()
	r, err := readRelease(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAPlatformThatWasNotBuiltIsAnErrorUnlessTheManifestMayBePartial(t *testing.T) {
	one := mustRead(t, dist(t, "1.2.3", platforms[2]))
	one.url = releases
	if _, err := fill(committed(t), one, false); err == nil || !strings.Contains(err.Error(), "darwin_amd64.tar.gz was not built") {
		t.Errorf("got %v", err)
	}
	text, err := fill(committed(t), one, true)
	if err != nil || len(parse(t, text).Spec.Platforms) != 1 {
		t.Errorf("got %v\n%s", err, text)
	}
	none := mustRead(t, dist(t, "1.2.3"))
	if _, err := fill(committed(t), none, true); err == nil {
		t.Error("a manifest without platforms was written")
	}
}

func TestWhatIsNoReleaseOrNoManifestIsRefused(t *testing.T) {
	good := dist(t, "1.2.3", platforms...)
	for _, c := range []struct{ name, manifest, dist string }{
		{"no manifest", "no-such-file", good},
		{"a manifest without platforms", "main.go", good},
		{"no folder", "../../krew/asmjwt.yaml", "no-such-folder"},
		{"no version", "../../krew/asmjwt.yaml", dist(t, "")},
	} {
		out := filepath.Join(t.TempDir(), "out.yaml")
		if err := run(c.manifest, c.dist, releases, false, out); err == nil {
			t.Errorf("%s: no error", c.name)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file was written", c.name)
		}
	}
}

// krew-index asks for a short description of at most 50 characters, and all of the
// platforms are those that goreleaser builds.
func TestTheCommittedManifestIsInTheIndexsStyle(t *testing.T) {
	m := parse(t, committed(t))
	if m.Metadata.Name != "asmjwt" || len(m.Spec.ShortDescription) > 50 || strings.HasSuffix(m.Spec.ShortDescription, ".") || !strings.Contains(m.Spec.Caveats, "kubectl_complete-asmjwt") {
		t.Errorf("got %+v", m)
	}
	text, err := os.ReadFile("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Builds []struct{ Goos, Goarch []string } `json:"builds"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	built := map[platform]bool{}
	for _, b := range config.Builds {
		for _, goos := range b.Goos {
			for _, goarch := range b.Goarch {
				built[platform{goos, goarch}] = true
			}
		}
	}
	for _, p := range platforms {
		if !built[p] {
			t.Errorf("%v is not built", p)
		}
		delete(built, p)
	}
	if len(built) > 0 || len(m.Spec.Platforms) != len(platforms) {
		t.Errorf("built, but not in the manifest: %v", built)
	}
}
