package release

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// patience is how long a shell may take to print what is waited for. It is long: only
// that it comes is tested.
const patience = time.Minute

// terminal is an interactive shell on a pseudo-terminal.
type terminal struct {
	t    *testing.T
	file *os.File
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// open starts a shell, and ends it with the test.
func open(t *testing.T, dir string, env []string, name string, args ...string) *terminal {
	t.Helper()
	shell, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s here: completion in it is not tried", name)
	}
	cmd := exec.Command(shell, args...)
	cmd.Dir, cmd.Env = dir, env
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	s := &terminal{t: t, file: file, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		buf := make([]byte, 4096)
		for {
			n, err := file.Read(buf)
			s.mu.Lock()
			s.out.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = file.Close()
		<-s.done
	})
	return s
}

// escapes are what moves the cursor and sets colours.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x1b\\][^\a]*\a|[\a\x00]|.\b")

// text is what the shell has printed since the last call of clear.
func (s *terminal) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return escapes.ReplaceAllString(s.out.String(), "")
}

func (s *terminal) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Reset()
}

func (s *terminal) send(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.file, keys); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits until the shell has printed something.
func (s *terminal) wait(want string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(s.text(), want); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%q does not come; the terminal shows\n%s", want, s.text())
		}
	}
}

// run runs a line, and waits until it is done.
func (s *terminal) run(line string) {
	s.t.Helper()
	s.send(line + "; echo do''ne\n") // the line itself does not say done
	s.wait("done")
	s.clear()
}

// completes types keys, Tab among them, and waits for what they become.
func (s *terminal) completes(keys, want string) {
	s.t.Helper()
	s.clear()
	s.send(keys)
	s.wait(want)
	s.send("\x15") // forget the line
	s.run(":")
}

// newcomer has installed the archive as the README says, in an empty home.
func newcomer(t *testing.T) (env []string) {
	t.Helper()
	s := of(t, first)
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Symlink(os.Getenv("ASMJWT_KUBECTL"), filepath.Join(bin, "kubectl"))); err != nil {
		t.Fatal(err)
	}
	env = []string{
		"HOME=" + home, "PATH=" + filepath.Join(home, ".local/bin") + ":" + bin + ":/usr/local/bin:/usr/bin:/bin", "TERM=xterm", "LANG=C.UTF-8", "PS1=> ",
		"TMPDIR=" + os.TempDir(), "INPUTRC=/dev/null",
	}
	command(t, s.dist, env, "bash", "-euc", installation(t))
	if out := command(t, root, env, "kubectl", "asmjwt", "version"); !strings.Contains(out, s.version) {
		t.Fatalf("kubectl asmjwt version says %s", out)
	}
	return env
}

// installation are the README's commands for installing from an archive.
func installation(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "```") {
		if _, commands, ok := strings.Cut(block, "sh\n"); ok && strings.HasPrefix(block, "sh\n") && strings.Contains(block, "tar x") {
			return commands
		}
	}
	t.Fatal("the README does not say how to install from an archive")
	return ""
}

// words are lines that end in Tab, with what they become in any shell.
var words = []struct{ keys, want string }{
	{"asmjwt wh\t", "asmjwt why "},
	{"asmjwt why -f examples/bookinfo -n istio-system deploy/ist\t", "deploy/istio-ingressgateway"},
	{"asmjwt why -f examples/bookinfo svc/prod\t", "svc/productpage"},
	{"asmjwt why -f examples/bookinfo -n istio-s\t", "-n istio-system"},
	{"asmjwt why deploy/x --evidence obj\t", "--evidence objects"},
	{"asmjwt explain AJ041\t\t", "AJ0417"},
	{"asmjwt why --jwt-f\t", "--jwt-file"},
	{"asmjwt why --context prod-e\t", "--context prod-east"},
}

// kubeconfigOf has a context, and a server that nobody answers at.
func kubeconfigOf(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: prod-east\ncontexts: [{name: prod-east, context: {cluster: a, user: a}}]\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: a, user: {}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBashCompletesForKubectlAndForThePluginItself(t *testing.T) {
	if _, err := os.Stat("/usr/share/bash-completion/bash_completion"); err != nil {
		t.Skip("there is no bash-completion here, which completion in bash needs: it is not tried")
	}
	env := append(newcomer(t), "KUBECONFIG="+kubeconfigOf(t))
	s := open(t, root, env, "bash", "--norc", "--noprofile", "-i")
	s.run("source /usr/share/bash-completion/bash_completion")
	s.run("source <(kubectl completion bash)")
	s.run("source <(kubectl-asmjwt completion bash)")
	completesAlike(t, s)
}

func TestZshCompletesForKubectlAndForThePluginItself(t *testing.T) {
	env := append(newcomer(t), "KUBECONFIG="+kubeconfigOf(t))
	s := open(t, root, env, "zsh", "-f", "-i")
	s.run("PS1='> '; unsetopt zle_bracketed_paste 2>/dev/null; autoload -U compinit; compinit -u -D")
	s.run("source <(kubectl completion zsh)")
	s.run("source <(kubectl-asmjwt completion zsh)")
	completesAlike(t, s)
}

// completesAlike tries each line as "kubectl asmjwt", which asks the plugin's helper in
// PATH, and as "kubectl-asmjwt".
func completesAlike(t *testing.T, s *terminal) {
	t.Helper()
	for _, program := range []string{"kubectl ", "kubectl-"} {
		for _, w := range words {
			s.completes(program+w.keys, w.want)
		}
		// Nobody answers at the kubeconfig's server: nothing is offered, and nothing said.
		s.clear()
		s.send(program + "asmjwt why deploy/\t\t")
		s.run("\x15:")
		if strings.Contains(s.text(), "refused") {
			t.Errorf("%s: without access the terminal shows %s", program, s.text())
		}
	}
}

func TestFishCompletesWithTheShippedScript(t *testing.T) {
	fish, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("there is no fish here: completion in it is not tried")
	}
	env := newcomer(t)
	script := filepath.Join(of(t, first).unpacked(t), "completions/kubectl-asmjwt.fish")
	out := command(t, root, env, fish, "--no-config", "-c", "source "+script+"; complete -C 'kubectl-asmjwt why -f examples/bookinfo -n istio-system deploy/ist'")
	if strings.TrimSpace(out) != "deploy/istio-ingressgateway" {
		t.Errorf("got %q", out)
	}
}
