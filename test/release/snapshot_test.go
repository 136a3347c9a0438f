package release

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// published are the files of dist that a release puts online.
func published(t *testing.T, s *snapshot) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, pattern := range []string{"*.tar.gz", "*.zip", "*.cdx.json", "checksums.txt"} {
		names, err := filepath.Glob(filepath.Join(s.dist, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(name)] = text
		}
	}
	return out
}

func TestTwoBuildsOfACommitAreTheSameBytes(t *testing.T) {
	a, b := published(t, of(t, first)), published(t, of(t, second))
	if len(a) != 3 || len(b) != len(a) {
		t.Fatalf("%d and %d files are published", len(a), len(b))
	}
	for name, text := range a {
		if string(b[name]) != string(text) {
			t.Errorf("%s differs: %d and %d bytes", name, len(text), len(b[name]))
		}
	}
}

func TestTheChecksumsAreThoseOfWhatIsPublished(t *testing.T) {
	files := published(t, of(t, first))
	sums := string(files["checksums.txt"])
	delete(files, "checksums.txt")
	for name, text := range files {
		sum := sha256.Sum256(text)
		if line := hex.EncodeToString(sum[:]) + "  " + name + "\n"; !strings.Contains(sums, line) {
			t.Errorf("checksums.txt lacks %s", line)
		}
	}
	if strings.Count(sums, "\n") != len(files) {
		t.Errorf("checksums.txt has other files too:\n%s", sums)
	}
}

func TestAnArchiveHasAllThatItsUsersNeedAndNothingOfTheBuilder(t *testing.T) {
	s := of(t, first)
	f, err := os.Open(filepath.Join(s.dist, s.archive))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	packed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	date, err := time.Parse(time.RFC3339, s.commitDate)
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]int64{}
	for archive := tar.NewReader(packed); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[h.Name] = h.Mode & 0o777
		if !h.ModTime.Equal(date) || h.Uname != "root" || h.Gname != "root" {
			t.Errorf("%s is of %s, owner %s:%s; the commit is of %s", h.Name, h.ModTime, h.Uname, h.Gname, date)
		}
	}
	want := map[string]int64{
		"kubectl-asmjwt": 0o755, "LICENSE": 0o644, "README.md": 0o644, "README.zh-CN.md": 0o644, "CHANGELOG.md": 0o644, "completions/kubectl_complete-asmjwt": 0o755,
		"completions/kubectl-asmjwt.bash": 0o644, "completions/_kubectl-asmjwt": 0o644, "completions/kubectl-asmjwt.fish": 0o644, "completions/kubectl-asmjwt.ps1": 0o644,
		"man/man1/kubectl-asmjwt.1": 0o644, "man/man1/kubectl-asmjwt-why.1": 0o644, "man/man1/kubectl-asmjwt-scaffold.1": 0o644,
	}
	for name, mode := range want {
		if modes[name] != mode {
			t.Errorf("%s has mode %o, want %o", name, modes[name], mode)
		}
	}
	for name := range modes {
		if _, ok := want[name]; !ok && !strings.HasPrefix(name, "man/man1/kubectl-asmjwt-") {
			t.Errorf("%s is in the archive too", name)
		}
	}
}

func TestVersionSaysWhatWasBuilt(t *testing.T) {
	s := of(t, first)
	program := filepath.Join(s.unpacked(t), "kubectl-asmjwt")
	var got struct{ Version, Commit, CommitDate, Go, Platform, Envoy string }
	if err := json.Unmarshal([]byte(command(t, "", nil, program, "version", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	date, err := time.Parse(time.RFC3339, got.CommitDate)
	if want, _ := time.Parse(time.RFC3339, s.commitDate); err != nil || !date.Equal(want) {
		t.Errorf("the commit is of %s, and it says %s", s.commitDate, got.CommitDate)
	}
	if got.Version != s.version || got.Commit != s.commit || got.Go != runtime.Version() || got.Platform != runtime.GOOS+"/"+runtime.GOARCH || got.Envoy == "" {
		t.Errorf("got %+v of %s, commit %s", got, s.version, s.commit)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{s.clone, scratch} {
		if strings.Contains(string(binary), place) {
			t.Errorf("the program names the folder in which it was built, %s", place)
		}
	}
}

// The bill of materials is that of the binary: the modules, the versions and the sums
// that the linker wrote into it.
func TestTheBillOfMaterialsIsWhatWasLinked(t *testing.T) {
	s := of(t, first)
	info, err := buildinfo.ReadFile(filepath.Join(s.unpacked(t), "kubectl-asmjwt"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BomFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, Purl string }
	}
	text := published(t, s)["kubectl-asmjwt_"+s.version+"_"+runtime.GOOS+"_"+runtime.GOARCH+".cdx.json"]
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BomFormat != "CycloneDX" || bom.Metadata.Component.Name != info.Main.Path || bom.Metadata.Component.Version != s.version {
		t.Errorf("it is of %+v", bom.Metadata.Component)
	}
	listed := map[string]string{}
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
		if !strings.HasPrefix(c.Purl, "pkg:golang/") {
			t.Errorf("%s has no package URL: %q", c.Name, c.Purl)
		}
	}
	for _, m := range info.Deps {
		if listed[m.Path] != m.Version {
			t.Errorf("%s %s is linked, and listed as %q", m.Path, m.Version, listed[m.Path])
		}
		delete(listed, m.Path)
	}
	delete(listed, "std")
	if len(listed) > 0 || len(info.Deps) < 20 {
		t.Errorf("%d modules are linked; listed, and not linked: %v", len(info.Deps), listed)
	}
}
