package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Environment variables that say where things are; `make e2e` sets them.
const (
	envBin    = "ASMJWT_E2E_BIN"   // folder of the built programs (default: .cache/e2e/bin of the repository)
	envIstio  = "ASMJWT_E2E_ISTIO" // source of istio.io/istio: its CRDs and its bootstrap template (default: BIN/../istio)
	envEnvoy  = "ASMJWT_ENVOY"     // the Envoy (default: .cache/envoy/envoy of the repository)
	envPlugin = "ASMJWT_PLUGIN"    // kubectl-asmjwt (default: bin/kubectl-asmjwt of the repository)
)

// Places are the programs and sources that a rig is made of.
type Places struct {
	Bin, Istio, Envoy, Plugin string
}

// FindPlaces reads the environment, fills in the defaults, and complains of what
// is not there.
func FindPlaces() (Places, error) {
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(file)))) // of the repository
	get := func(name string, otherwise ...string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return filepath.Join(append([]string{root}, otherwise...)...)
	}
	p := Places{
		Bin: get(envBin, ".cache", "e2e", "bin"), Istio: get(envIstio, ".cache", "e2e", "istio"),
		Envoy: get(envEnvoy, ".cache", "envoy", "envoy"), Plugin: get(envPlugin, "bin", "kubectl-asmjwt"),
	}
	wanted := []string{p.Envoy, p.Plugin, p.crds(), p.bootstrap()}
	for _, name := range []string{"rig", "kubectl", "pilot-discovery", "pilot-agent", "istioctl", "go-httpbin", "keyserver"} {
		wanted = append(wanted, filepath.Join(p.Bin, name))
	}
	var err error
	for _, name := range wanted {
		if _, e := os.Stat(name); e != nil {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return p, fmt.Errorf("%w\nhint: make e2e builds them", err)
	}
	return p, nil
}

func (p Places) crds() string {
	return filepath.Join(p.Istio, "manifests", "charts", "base", "files", "crd-all.gen.yaml")
}

func (p Places) bootstrap() string {
	return filepath.Join(p.Istio, "tools", "packaging", "common", "envoy_bootstrap.json")
}

// Rig is a running API server with its node. Its commands run as the admin,
// unless a kubeconfig is named.
type Rig struct {
	Places
	Dir        string // state, logs and audit.log
	Kubeconfig string // of the admin

	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	out  strings.Builder // what rig says on stderr
}

// Start starts a rig with its state in dir and waits until it is ready. It wants
// to be in namespaces of its own: see Enter.
func Start(ctx context.Context, p Places, dir string) (*Rig, error) {
	return start(ctx, p, dir, "-network")
}

// StartPlane starts one more API server, for those who want several, whose Pods have no
// network of their own.
func StartPlane(ctx context.Context, p Places, dir string) (*Rig, error) { return start(ctx, p, dir) }

func start(ctx context.Context, p Places, dir string, flags ...string) (*Rig, error) {
	r := &Rig{Places: p, Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), done: make(chan struct{})}
	r.cmd = exec.Command(filepath.Join(p.Bin, "rig"), append([]string{"up", "-dir", dir, "-audit"}, flags...)...)
	r.cmd.Stderr = (*stderr)(r)
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the rig: %w", err)
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the rig: %w", err)
	}
	ready := make(chan bool, 1)
	go func() {
		s := bufio.NewScanner(out)
		ready <- s.Scan() && strings.HasPrefix(s.Text(), "ready ")
		for s.Scan() {
		}
		_ = r.cmd.Wait()
		close(r.done)
	}()
	select {
	case ok := <-ready:
		if !ok {
			<-r.done
			return nil, fmt.Errorf("start the rig: it ended\n%s", r.Log())
		}
		return r, nil
	case <-ctx.Done():
		r.Stop()
		return nil, fmt.Errorf("start the rig: %w\n%s", ctx.Err(), r.Log())
	}
}

// Stop ends the rig, and everything that it has started ends with it.
func (r *Rig) Stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(10 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.done
	}
}

// Log is what the rig has said so far: errors of its Pods, mostly.
func (r *Rig) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

type stderr Rig

func (s *stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// Result is what came of a command.
type Result struct {
	Stdout, Stderr string
	Code           int // exit code; -1 where a signal ended it
}

// Command is a command to run against a rig.
type Command struct {
	Args       []string
	Stdin      string
	Kubeconfig string   // "": the admin's
	Env        []string // beside PATH, HOME and KUBECONFIG
}

// Run runs a program of the rig, of PATH or of a full name.
func (r *Rig) Run(ctx context.Context, c Command) (Result, error) {
	name := c.Args[0]
	if own := filepath.Join(r.Bin, name); !strings.Contains(name, "/") && isFile(own) {
		name = own
	}
	cmd := exec.CommandContext(ctx, name, c.Args[1:]...)
	kubeconfig := c.Kubeconfig
	if kubeconfig == "" {
		kubeconfig = r.Kubeconfig
	}
	// A path that the plugin is on, so that it is "kubectl asmjwt", too.
	path := strings.Join([]string{r.Bin, filepath.Dir(r.Plugin), os.Getenv("PATH")}, ":")
	cmd.Env = append([]string{"PATH=" + path, "HOME=" + r.Dir, "KUBECONFIG=" + kubeconfig}, c.Env...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	res := Result{Stdout: out.String(), Stderr: errOut.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return res, fmt.Errorf("run %s: %w\n%s", filepath.Base(name), errors.Join(err, ctx.Err()), res.Stderr)
	}
	return res, nil
}

// Kubectl runs kubectl as the admin; a failure is an error with what it said.
func (r *Rig) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	res, err := r.Run(ctx, Command{Args: append([]string{"kubectl"}, args...), Stdin: stdin})
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("kubectl %s: exit code %d: %s", strings.Join(args, " "), res.Code, strings.TrimSpace(res.Stderr))
	}
	return res.Stdout, err
}

func isFile(name string) bool {
	s, err := os.Stat(name)
	return err == nil && !s.IsDir()
}
