package release

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The public manifest has no release in it yet, or the newest; either way krew takes it.
func TestKrewTakesTheCommittedManifest(t *testing.T) {
	out := command(t, "", nil, tool("validate-krew-manifest"), "-skip-install", "-manifest", filepath.Join(root, "krew/asmjwt.yaml"))
	if !strings.Contains(out, "structural validation OK") {
		t.Errorf("got %s", out)
	}
}

// krewUser is somebody with kubectl, krew and nothing else: an empty home, and an index
// whose plugins are on a server of this test.
type krewUser struct {
	home  string
	index string // a git repository, as krew-index is one
	env   []string
}

func newKrewUser(t *testing.T) *krewUser {
	t.Helper()
	u := &krewUser{home: t.TempDir()}
	u.index = filepath.Join(u.home, "index.git")
	bin := filepath.Join(u.home, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]string{"kubectl": os.Getenv("ASMJWT_KUBECTL"), "kubectl-krew": tool("krew")} {
		if err := os.Symlink(of, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	krew := filepath.Join(u.home, "krew")
	u.env = []string{
		"HOME=" + u.home, "KREW_ROOT=" + krew, "PATH=" + filepath.Join(krew, "bin") + ":" + bin + ":/usr/local/bin:/usr/bin:/bin",
		"KREW_DEFAULT_INDEX_URI=" + u.index, "KREW_NO_UPGRADE_CHECK=1", "TMPDIR=" + os.TempDir(),
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	if err := os.MkdirAll(filepath.Join(u.index, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, u.index, u.env, "git", "init", "--quiet")
	return u
}

// kubectl runs kubectl, which finds its plugins in PATH.
func (u *krewUser) kubectl(t *testing.T, args ...string) (string, int) {
	t.Helper()
	return exits(t, root, u.env, filepath.Join(u.home, "bin/kubectl"), args...)
}

// must runs kubectl, which has to succeed.
func (u *krewUser) must(t *testing.T, args ...string) string {
	t.Helper()
	out, code := u.kubectl(t, args...)
	if code != 0 {
		t.Fatalf("kubectl %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// publish puts the manifest of a release into the index.
func (u *krewUser) publish(t *testing.T, s *snapshot, server string) {
	t.Helper()
	manifest(t, s, server, filepath.Join(u.index, "plugins/asmjwt.yaml"))
	command(t, u.index, u.env, "git", "add", "-A")
	command(t, u.index, u.env, "git", "commit", "--quiet", "--allow-empty", "-m", s.version)
}

// manifest writes krew's manifest of a snapshot, as a release does it.
func manifest(t *testing.T, s *snapshot, server, file string) {
	t.Helper()
	command(t, root, nil, "go", "run", "./internal/krew", "-partial", "-dist", s.dist, "-url", server, "-o", file)
}

// serve puts archives on line as a release page does.
func serve(t *testing.T, snapshots ...*snapshot) string {
	t.Helper()
	mux := http.NewServeMux()
	for _, s := range snapshots {
		mux.Handle("/"+s.version+"/", http.StripPrefix("/"+s.version, http.FileServer(http.Dir(s.dist))))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// isVersion fails unless the plugin that kubectl finds is of a snapshot.
func (u *krewUser) isVersion(t *testing.T, s *snapshot) {
	t.Helper()
	if out := u.must(t, "asmjwt", "version", "-o", "json"); !strings.Contains(out, `"version": "`+s.version+`"`) {
		t.Errorf("want version %s, got %s", s.version, out)
	}
}

func TestKrewInstallsTheArchiveAndKubectlAnswersAsTheREADMESays(t *testing.T) {
	s, u := of(t, first), newKrewUser(t)
	file := filepath.Join(u.home, "asmjwt.yaml")
	manifest(t, s, "https://example.com", file)
	u.publish(t, s, "https://example.com")
	out := u.must(t, "krew", "install", "--manifest="+file, "--archive="+filepath.Join(s.dist, s.archive))
	if !strings.Contains(out, "Installed plugin: asmjwt") || !strings.Contains(out, "kubectl_complete-asmjwt") {
		t.Errorf("krew says %s", out)
	}
	u.isVersion(t, s)
	if out := u.must(t, "plugin", "list"); !strings.Contains(out, "kubectl-asmjwt") {
		t.Errorf("kubectl lists %s", out)
	}
	args, screen := example(t)
	out, code := u.kubectl(t, append([]string{"asmjwt"}, args...)...)
	if out != screen || code != 1 {
		t.Errorf("exit code %d; want 1, and what the README shows:\n%s\ngot\n%s", code, screen, out)
	}
	u.must(t, "krew", "update")
	if out := u.must(t, "krew", "uninstall", "asmjwt"); !strings.Contains(out, "Uninstalled plugin") {
		t.Errorf("krew says %s", out)
	}
	if out, code := u.kubectl(t, "asmjwt", "version"); code == 0 {
		t.Errorf("it is uninstalled, and answers %s", out)
	}
}

// example is the README's first command, and its screen.
func example(t *testing.T) (args []string, screen string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```console\n$ ")
	block, _, _ = strings.Cut(block, "```")
	line, screen, _ := strings.Cut(block, "\n")
	_, command, ok := strings.Cut(line, "asmjwt ")
	if !ok || !strings.HasPrefix(screen, "403 ") {
		t.Fatalf("the README begins with another example: %s", line)
	}
	return strings.Fields(command), screen
}

func TestKrewInstallsFromAnIndexUpgradesAndUninstalls(t *testing.T) {
	old, new, u := of(t, first), of(t, next), newKrewUser(t)
	server := serve(t, old, new)
	u.publish(t, old, server)
	u.must(t, "krew", "update")
	if out := u.must(t, "krew", "search", "asmjwt"); !strings.Contains(out, "Explain JWT verdicts (401, 403) of Istio and ASM") {
		t.Errorf("krew finds %s", out)
	}
	u.must(t, "krew", "install", "asmjwt")
	u.isVersion(t, old)

	u.publish(t, new, server)
	u.must(t, "krew", "update")
	u.must(t, "krew", "upgrade", "asmjwt")
	u.isVersion(t, new)

	u.must(t, "krew", "uninstall", "asmjwt")
	if out, code := u.kubectl(t, "asmjwt", "version"); code == 0 {
		t.Errorf("it is uninstalled, and answers %s", out)
	}
}

// What krew-index's own check does: each platform of the manifest is downloaded, its sum
// compared, unpacked, and its LICENSE found.
func TestTheIndexsOwnCheckInstallsWhatWasBuilt(t *testing.T) {
	s, u := of(t, first), newKrewUser(t)
	file := filepath.Join(u.home, "asmjwt.yaml")
	manifest(t, s, serve(t, s), file)
	if out := command(t, u.home, u.env, tool("validate-krew-manifest"), "-manifest", file); !strings.Contains(out, "spec.platforms installed fine") {
		t.Errorf("got %s", out)
	}
	// An archive that somebody changed is not installed.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := strings.Cut(string(text), "sha256: \"")
	wrong := strings.Replace(string(text), sum[:64], strings.Repeat("0", 64), 1)
	if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := exits(t, u.home, u.env, tool("validate-krew-manifest"), "-manifest", file); code == 0 || !strings.Contains(out, "checksum does not match") {
		t.Errorf("with a wrong sum: exit code %d, %s", code, out)
	}
}
