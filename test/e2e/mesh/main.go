// Command mesh starts the mesh of the end-to-end tests and runs a command in it,
// by default a shell: KUBECONFIG and PATH are set, Services answer by name.
// Everything ends with the command.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

func main() {
	code, done, err := harness.Enter()
	if err == nil && !done {
		code, err = run(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 3
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	if len(args) == 0 {
		args = []string{"bash"}
	}
	places, err := harness.FindPlaces()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "asmjwt-mesh-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	r, err := harness.Start(ctx, places, filepath.Join(dir, "rig"))
	if err != nil {
		return 0, err
	}
	defer r.Stop()
	if err := r.StartDemo(ctx); err != nil {
		return 0, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+r.Kubeconfig, "PATH="+r.Bin+":"+filepath.Dir(r.Plugin)+":"+os.Getenv("PATH"))
	err = cmd.Run()
	return max(cmd.ProcessState.ExitCode(), 0), ignoreExit(err)
}

// ignoreExit leaves errors of starting; how the command ended is in its exit code.
func ignoreExit(err error) error {
	if _, ok := err.(*exec.ExitError); ok { //nolint:errorlint // os/exec returns it unwrapped
		return nil
	}
	return err
}
