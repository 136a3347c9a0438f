// Command bench measures the program against its peers as whole processes, in one run:
// each pair of commands in turn, A B A B …, after a warm-up, and prints the medians with
// their spread and the ratio of each pair. Absolute times are the machine's; ratios are
// what counts.
//
//	go run ./internal/bench -plugin bin/kubectl-asmjwt -peers DIR -kubectl FILE [-runs 9]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/bigmesh"
)

func main() {
	var s settings
	flag.StringVar(&s.plugin, "plugin", "bin/kubectl-asmjwt", "the program to measure")
	flag.StringVar(&s.peers, "peers", ".cache/e2e/bin", "the folder with istioctl")
	flag.StringVar(&s.kubectl, "kubectl", ".cache/bench/kubectl", "kubectl, built as the program is")
	flag.StringVar(&s.only, "only", "", "make only the comparisons of programs in whose names this is; by default all there are")
	flag.IntVar(&s.runs, "runs", 9, "counted runs of each command")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Stdout, s); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// settings are where the programs are, and what is asked of them.
type settings struct {
	plugin, peers, kubectl string
	only                   string
	runs                   int
}

// comparison is one pair of commands with what the ratio of their times may be.
type comparison struct {
	name string
	a, b []string
	most float64 // unbounded: the ratio is shown only
	// mostMemory bounds the peak memory of a in bytes; 0: no bound.
	mostMemory int64
}

const (
	unbounded  = -1
	namespaces = 1000
	megabyte   = 1 << 20
)

func bench(ctx context.Context, out io.Writer, s settings) error {
	plugin, kubectl, runs := s.plugin, s.kubectl, s.runs
	dir, err := os.MkdirTemp("", "asmjwt-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	documents, list := filepath.Join(dir, "documents.yaml"), filepath.Join(dir, "list.yaml")
	if err := errors.Join(
		os.WriteFile(documents, bigmesh.Manifests(namespaces, false, false), 0o600),
		os.WriteFile(list, bigmesh.Manifests(namespaces, true, true), 0o600),
	); err != nil {
		return err
	}
	istioctl := filepath.Join(s.peers, "istioctl")
	why := func(file string) []string {
		return []string{plugin, "why", "deploy/app-1", "-n", "ns-0500", "-f", file, "--path", "/healthz", "--plaintext"}
	}
	analyze := func(file string) []string { return []string{istioctl, "analyze", "--use-kube=false", file} }
	_, _ = fmt.Fprintf(out, "%s/%s, %d processors, %s; medians of %d runs [least, most]\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), runs)
	missed := 0
	if ok, err := compareSizes(out, plugin, kubectl); err != nil {
		return fmt.Errorf("compare sizes: %w", err)
	} else if !ok {
		missed++
	}
	for _, c := range []comparison{
		{"why -f on 27,000 objects in documents, against istioctl analyze", why(documents), analyze(documents), 0.1, 150 * megabyte},
		{"why -f on 27,000 objects in one List, against istioctl analyze", why(list), analyze(list), 0.1, 150 * megabyte},
		{"--help, against kubectl version --client", []string{plugin, "--help"}, []string{kubectl, "version", "--client"}, 1.0 / 3, 0},
	} {
		if !strings.Contains(c.name, s.only) {
			continue
		}
		ok, err := compare(ctx, out, c, runs)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if !ok {
			missed++
		}
	}
	if s.only == "" {
		live, err := benchCluster(ctx, out, plugin, s.peers, runs)
		if err != nil {
			return fmt.Errorf("on a live server: %w", err)
		}
		missed += live
	}
	if missed > 0 {
		return fmt.Errorf("%d of the ratios are not kept", missed)
	}
	return nil
}

// sample is what one process took.
type sample struct {
	wall, cpu time.Duration
	memory    int64 // bytes, the largest resident set
}

func compare(ctx context.Context, out io.Writer, c comparison, runs int) (bool, error) {
	var as, bs []sample
	for i := -1; i < runs; i++ { // the first is to warm up
		a, err := measure(ctx, c.a)
		if err != nil {
			return false, err
		}
		b, err := measure(ctx, c.b)
		if err != nil {
			return false, err
		}
		if i >= 0 {
			as, bs = append(as, a), append(bs, b)
		}
	}
	ratios := make([]float64, runs)
	for i := range ratios {
		ratios[i] = as[i].wall.Seconds() / bs[i].wall.Seconds()
	}
	ratio := median(ratios)
	memory := median(each(as, func(s sample) float64 { return float64(s.memory) }))
	ok := (c.most == unbounded || ratio <= c.most) && (c.mostMemory == 0 || memory <= float64(c.mostMemory))
	_, _ = fmt.Fprintf(out, "\n%s\n", c.name)
	for _, p := range []struct {
		who string
		of  []sample
	}{{"asmjwt", as}, {"peer", bs}} {
		_, _ = fmt.Fprintf(out, "  %-7s wall %s s   cpu %s s   memory %s MB\n", p.who,
			spread(each(p.of, func(s sample) float64 { return s.wall.Seconds() }), "%.3f"),
			spread(each(p.of, func(s sample) float64 { return s.cpu.Seconds() }), "%.3f"),
			spread(each(p.of, func(s sample) float64 { return float64(s.memory) / megabyte }), "%.0f"))
	}
	verdict := "kept"
	if !ok {
		verdict = "NOT KEPT"
	}
	_, _ = fmt.Fprintf(out, "  ratio   wall %s", spread(ratios, "%.4f"))
	if c.most == unbounded {
		_, _ = fmt.Fprintln(out)
		return ok, nil
	}
	_, _ = fmt.Fprintf(out, ", wanted at most %.3f", c.most)
	if c.mostMemory > 0 {
		_, _ = fmt.Fprintf(out, ", and at most %d MB", c.mostMemory/megabyte)
	}
	_, _ = fmt.Fprintf(out, ": %s\n", verdict)
	return ok, nil
}

// measure runs a command once. That it says no is an answer; that it cannot be run, or
// cannot read its input, is not.
func measure(ctx context.Context, argv []string) (sample, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0) {
		return sample{}, fmt.Errorf("run %s: %w", filepath.Base(argv[0]), err)
	}
	if exit != nil && filepath.Base(argv[0]) != "istioctl" && exit.ExitCode() > 1 {
		return sample{}, fmt.Errorf("run %s: exit code %d", filepath.Base(argv[0]), exit.ExitCode())
	}
	s := sample{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.memory = usage.Maxrss << 10 // Linux counts in KiB
	}
	return s, nil
}

func each(in []sample, f func(sample) float64) []float64 {
	out := make([]float64, len(in))
	for i, s := range in {
		out[i] = f(s)
	}
	return out
}

func median(in []float64) float64 {
	s := slices.Sorted(slices.Values(in))
	return s[len(s)/2]
}

func spread(in []float64, format string) string {
	return fmt.Sprintf(format+" ["+format+", "+format+"]", median(in), slices.Min(in), slices.Max(in))
}
