package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// root is the repository.
const root = "../.."

// scratch is a folder for what the tests share.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	for _, name := range []string{"ASMJWT_TOOLS", "ASMJWT_KUBECTL"} {
		if os.Getenv(name) == "" {
			fmt.Fprintln(os.Stderr, "run this with make rehearse:", name, "is not set")
			return 1
		}
	}
	var err error
	if scratch, err = os.MkdirTemp("", "asmjwt-release"); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return m.Run()
}

// tool is a program that make rehearse has built.
func tool(name string) string { return filepath.Join(os.Getenv("ASMJWT_TOOLS"), name) }

// snapshot is a release that was built here.
type snapshot struct {
	clone, dist string
	version     string // with its v
	archive     string // its name in dist
	commit      string
	commitDate  string // RFC 3339
}

// The snapshots: twice the same commit, in two places and under two users' settings; and
// the same once more under the next version.
var (
	first  = sync.OnceValues(func() (*snapshot, error) { return build("first", "v1.0.0") })
	second = sync.OnceValues(func() (*snapshot, error) {
		return build("second/with a longer path", "v1.0.0", "TZ=Asia/Shanghai", "LC_ALL=C", "USER=somebody", "UMASK=027")
	})
	next = sync.OnceValues(func() (*snapshot, error) { return build("next", "v1.1.0") })
)

// of gives a snapshot, or ends the test.
func of(t *testing.T, s func() (*snapshot, error)) *snapshot {
	t.Helper()
	built, err := s()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// build clones the commit that is checked out, and builds a release of it for this
// platform alone.
func build(name, tag string, env ...string) (*snapshot, error) {
	s := &snapshot{clone: filepath.Join(scratch, name)}
	s.dist = filepath.Join(s.clone, "dist")
	for _, args := range [][]string{{"-c", "safe.directory=*", "clone", "--quiet", root, s.clone}, {"-C", s.clone, "tag", tag}} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	cmd := exec.Command("bash", "-c", `umask "${UMASK:-022}"; exec hack/snapshot.sh "$0"`, runtime.GOOS+"/"+runtime.GOARCH)
	cmd.Dir = s.clone
	cmd.Env = append(append(os.Environ(), "PATH="+os.Getenv("ASMJWT_TOOLS")+":"+os.Getenv("PATH")), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("hack/snapshot.sh: %w\n%s", err, out)
	}
	var metadata struct{ Version string }
	text, err := os.ReadFile(filepath.Join(s.dist, "metadata.json"))
	if err := errors.Join(err, json.Unmarshal(text, &metadata)); err != nil {
		return nil, err
	}
	s.version = "v" + metadata.Version
	s.archive = "kubectl-asmjwt_" + s.version + "_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
	out, err := exec.Command("git", "-C", s.clone, "log", "-1", "--format=%H %cI").Output()
	s.commit, s.commitDate, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return s, err
}

// unpacked is where an archive of dist was unpacked.
func (s *snapshot) unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, dir, nil, "tar", "xzf", filepath.Join(s.dist, s.archive))
	return dir
}

// command runs a program and gives what it prints; that it fails ends the test.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, code := exits(t, dir, env, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", filepath.Base(name), strings.Join(args, " "), code, out)
	}
	return out
}

// exits runs a program and gives what it prints on both streams, and its exit code.
func exits(t *testing.T, dir string, env []string, name string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", filepath.Base(name), err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
