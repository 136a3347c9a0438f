package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// startLimit is how long a mesh may take to start on a busy machine.
const startLimit = 5 * time.Minute

// Main is what a TestMain is for: it starts a rig in namespaces of its own, sets it
// up, runs the tests and ends everything. It returns the exit code of the tests; 1
// where there is no rig, since tests that do not run prove nothing.
func Main(m *testing.M, to **Rig, setUp func(context.Context, *Rig) error) int {
	code, done, err := Enter()
	if done && err == nil {
		return code
	}
	if err == nil {
		code, err = mainInside(m, to, setUp)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return code
}

func mainInside(m *testing.M, to **Rig, setUp func(context.Context, *Rig) error) (int, error) {
	places, err := FindPlaces()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "asmjwt-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	began := time.Now()
	r, err := Start(ctx, places, filepath.Join(dir, "rig"))
	if err != nil {
		return 0, err
	}
	defer r.Stop()
	if err := setUp(ctx, r); err != nil {
		return 0, fmt.Errorf("set the mesh up: %w", err)
	}
	fmt.Fprintf(os.Stderr, "e2e: the mesh took %.1f s to start\n", time.Since(began).Seconds())
	*to = r
	code := m.Run()
	if code != 0 {
		fmt.Fprintf(os.Stderr, "the rig said:\n%s", r.Log())
	}
	return code, nil
}
