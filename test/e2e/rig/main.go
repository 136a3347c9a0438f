// Command rig runs a Kubernetes control plane for tests: etcd, kube-apiserver,
// some controllers, and a node agent whose "containers" are plain processes of
// this machine, each Pod with a network of its own where -network says so.
//
//	rig up -dir DIR        start everything, write DIR/kubeconfig, print "ready";
//	                       what follows the flags goes to kube-apiserver
//	rig apiserver FLAGS    kube-apiserver
//	rig controllers FLAGS  kube-controller-manager
//
// It ends on SIGTERM, and everything that it started ends with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: rig up|apiserver|controllers")
		os.Exit(2)
	}
	sub := os.Args[1]
	os.Args = append([]string{"rig-" + sub}, os.Args[2:]...) // cobra reads them
	switch sub {
	case "apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "controllers":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "up":
		opts, err := parse(os.Args[1:])
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(0)
		}
		if err != nil {
			os.Exit(2) // the flag package has said it
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := up(ctx, opts); err != nil {
			fmt.Fprintln(os.Stderr, "rig:", err)
			os.Exit(1) //nolint:gocritic // nothing is to be undone: the state is thrown away
		}
	default:
		fmt.Fprintln(os.Stderr, "rig: no command", sub)
		os.Exit(2)
	}
}

// options are those of "rig up".
type options struct {
	dir         string
	port        int
	controllers bool
	audit       bool
	network     bool
	apiserver   []string // more flags for kube-apiserver
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("rig up", flag.ContinueOnError)
	f.StringVar(&o.dir, "dir", "", "state `directory`, made empty first")
	f.IntVar(&o.port, "port", 0, "API server `port` (0: a free one)")
	f.BoolVar(&o.controllers, "controllers", true, "run kube-controller-manager")
	f.BoolVar(&o.audit, "audit", false, "write every request, with its body but for CRDs, to DIR/audit.log")
	f.BoolVar(&o.network, "network", false, "give each Pod a network namespace and each Service its address and names; changes\nthis process's own network and /etc/hosts, so run it in namespaces of its own (test/e2e/harness does)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.dir == "" {
		fmt.Fprintln(f.Output(), "rig up: -dir is required")
		return o, errors.New("no -dir")
	}
	var err error
	o.dir, err = filepath.Abs(o.dir)
	o.apiserver = f.Args()
	return o, err
}

// up starts everything and returns when ctx ends, or with the reason why a part
// of the control plane did. Nothing is closed at the end: the state is thrown
// away, the children die with this process, and etcd's Close takes seconds.
func up(ctx context.Context, o options) error {
	began := time.Now()
	step := func(what string) {
		fmt.Fprintf(os.Stderr, "rig: %6.2fs %s\n", time.Since(began).Seconds(), what)
	}
	if err := os.RemoveAll(o.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	var nw *network
	if o.network {
		var err error
		if nw, err = newNetwork(ctx, filepath.Join(o.dir, "hosts")); err != nil {
			return fmt.Errorf("network: %w", err)
		}
		step("network")
	}
	etcd, err := startEtcd(ctx, filepath.Join(o.dir, "etcd"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	step("etcd " + etcd)

	p, err := newPlane(o)
	if err != nil {
		return err
	}
	if err := p.startAPIServer(ctx, etcd); err != nil {
		return err
	}
	step("apiserver " + p.server)
	if o.controllers {
		if err := p.startControllers(); err != nil {
			return err
		}
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", p.file("kubeconfig"))
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = -1, -1
	if err := runNode(ctx, cfg, "rig-node", o.dir, nw); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	step("node")
	fmt.Println("ready", p.file("kubeconfig"))
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.ended:
		return err
	}
}

// start starts cmd and calls ended with what its Wait says. Pdeathsig kills a
// child when the thread that started it ends, not the process, so the thread
// is kept for as long as the child runs.
func start(cmd *exec.Cmd, ended func(error)) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(cmd.Wait())
		}
	}()
	return <-started
}
