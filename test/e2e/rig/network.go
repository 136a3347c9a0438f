package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	gatewayIP    = "10.88.0.1"    // this node, as Pods see it
	serviceRange = "10.96.0.0/16" // of Services
	netnsDir     = "/run/netns"
)

// network gives Pods networks of their own, and stands for kube-proxy and the
// cluster's DNS. Every packet between Pods goes through this process's own
// network namespace, so one set of DNAT rules there serves all.
type network struct {
	dir string // one hosts file a namespace

	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister

	mu    sync.Mutex
	rules string              // those in force
	hosts map[string]struct{} // namespaces that have a hosts file
}

// newNetwork changes the network namespace that this process is in.
func newNetwork(ctx context.Context, dir string) (*network, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return nil, err
	}
	// This node calls Services, too, by way of its loopback.
	err := batch(ctx, "", "link set lo up\naddr add "+gatewayIP+"/32 dev lo\nroute add "+serviceRange+" dev lo src "+gatewayIP+"\n")
	if err != nil {
		return nil, err
	}
	n := &network{dir: dir, hosts: map[string]struct{}{}}
	if err := rewrite(n.hostsFile(""), hosts("", nil)); err != nil {
		return nil, err
	}
	if err := unix.Mount(n.hostsFile(""), "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("mount over /etc/hosts: %w", err)
	}
	if err := restore(ctx, "*nat\n:RIG-SERVICES -\n-A PREROUTING -j RIG-SERVICES\n-A OUTPUT -j RIG-SERVICES\nCOMMIT\n"); err != nil {
		return nil, err
	}
	return n, nil
}

// follow keeps the rules and the hosts files as the Services and EndpointSlices say.
func (n *network) follow(ctx context.Context, f informers.SharedInformerFactory) error {
	n.services, n.slices = f.Core().V1().Services().Lister(), f.Discovery().V1().EndpointSlices().Lister()
	changed := make(chan struct{}, 1)
	touch := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	h := cache.ResourceEventHandlerFuncs{AddFunc: touch, DeleteFunc: touch, UpdateFunc: func(_, o any) { touch(o) }}
	for _, inf := range []cache.SharedIndexInformer{f.Core().V1().Services().Informer(), f.Core().V1().Namespaces().Informer(), f.Discovery().V1().EndpointSlices().Informer()} {
		if _, err := inf.AddEventHandler(h); err != nil {
			return err
		}
	}
	namespaces := f.Core().V1().Namespaces().Lister()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			all, err := namespaces.List(labels.Everything())
			if err == nil {
				err = n.update(ctx, all)
			}
			if err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "rig: network:", err)
			}
		}
	}()
	return nil
}

// update puts the rules and names of all Services into force.
func (n *network) update(ctx context.Context, namespaces []*corev1.Namespace) error {
	services, err := n.services.List(labels.Everything())
	if err != nil {
		return err
	}
	slices.SortFunc(services, func(a, b *corev1.Service) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	rules := "*nat\n:RIG-SERVICES -\n-F RIG-SERVICES\n"
	for _, s := range services {
		endpoints, err := n.slices.EndpointSlices(s.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: s.Name}))
		if err != nil {
			return err
		}
		rules += serviceRules(s, endpoints)
	}
	rules += "COMMIT\n"
	n.mu.Lock()
	defer n.mu.Unlock()
	if rules != n.rules {
		if err := restore(ctx, rules); err != nil {
			return err
		}
		n.rules = rules
	}
	for _, ns := range namespaces {
		n.hosts[ns.Name] = struct{}{}
	}
	n.hosts[""] = struct{}{} // this node's: full names only
	for ns := range n.hosts {
		if err := rewrite(n.hostsFile(ns), hosts(ns, services)); err != nil {
			return err
		}
	}
	return nil
}

// serviceRules leads each port of a Service to its ready endpoints, to each as
// often as to the others. Without endpoints there is no rule, and no answer.
func serviceRules(s *corev1.Service, endpoints []*discoveryv1.EndpointSlice) string {
	if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
		return ""
	}
	var out strings.Builder
	for _, p := range s.Spec.Ports {
		var to []string
		for _, slice := range endpoints {
			for _, sp := range slice.Ports {
				if sp.Name == nil || *sp.Name != p.Name || sp.Port == nil {
					continue
				}
				for _, e := range slice.Endpoints {
					if e.Conditions.Ready == nil || *e.Conditions.Ready {
						to = append(to, fmt.Sprintf("%s:%d", e.Addresses[0], *sp.Port))
					}
				}
			}
		}
		slices.Sort(to)
		proto := strings.ToLower(string(p.Protocol))
		for i, t := range to {
			chance := ""
			if left := len(to) - i; left > 1 {
				chance = fmt.Sprintf(" -m statistic --mode random --probability %.6f", 1/float64(left))
			}
			fmt.Fprintf(&out, "-A RIG-SERVICES -d %s/32 -p %s -m %s --dport %d%s -j DNAT --to-destination %s\n", s.Spec.ClusterIP, proto, proto, p.Port, chance, t)
		}
	}
	return out.String()
}

// hosts is the hosts file of a Pod of namespace: what the cluster's DNS and the
// Pod's search domains would answer.
func hosts(namespace string, services []*corev1.Service) string {
	out := "127.0.0.1 localhost\n"
	for _, s := range services {
		if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
			continue
		}
		full := s.Name + "." + s.Namespace
		out += fmt.Sprintf("%s %s.svc.cluster.local %s.svc %s", s.Spec.ClusterIP, full, full, full)
		if s.Namespace == namespace {
			out += " " + s.Name
		}
		out += "\n"
	}
	return out
}

func (n *network) hostsFile(namespace string) string {
	if namespace == "" {
		return filepath.Join(n.dir, "hosts") // no namespace has that name together with the next line's
	}
	return filepath.Join(n.dir, "hosts."+namespace)
}

// rewrite changes a file in place, since it is mounted by its inode. A reader in
// between sees lines of both states, never an empty file.
func rewrite(name, text string) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == text {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	return errors.Join(err, f.Truncate(int64(len(text))), f.Close())
}

// addPod makes the network namespace of a Pod: an address of its own, and this
// node as the way to everything else.
func (n *network) addPod(ctx context.Context, netns, ip, namespace string) error {
	n.mu.Lock()
	n.hosts[namespace] = struct{}{}
	file := n.hostsFile(namespace)
	if _, err := os.Stat(file); err != nil {
		if err := rewrite(file, hosts(namespace, nil)); err != nil {
			n.mu.Unlock()
			return err
		}
	}
	n.mu.Unlock()
	veth := "v" + netns
	err := batch(ctx, "", strings.NewReplacer("VETH", veth, "NETNS", netns, "IP", ip).Replace(
		"netns add NETNS\nlink add VETH type veth peer name eth0 netns NETNS\naddr add "+gatewayIP+"/32 dev VETH\nlink set VETH up\nroute add IP/32 dev VETH\n"))
	if err != nil {
		return err
	}
	return batch(ctx, netns, "link set lo up\naddr add "+ip+"/32 dev eth0\nlink set eth0 up\nroute add "+gatewayIP+" dev eth0\nroute add default via "+gatewayIP+"\n")
}

func (n *network) removePod(ctx context.Context, netns string) error {
	return batch(ctx, "", "link delete v"+netns+"\nnetns delete "+netns+"\n")
}

// batch runs lines of ip, in a namespace if one is named.
func batch(ctx context.Context, netns, lines string) error {
	for line := range strings.Lines(lines) {
		args := strings.Fields(line)
		if netns != "" {
			args = append([]string{"-n", netns}, args...)
		}
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// restore changes iptables in one step.
func restore(ctx context.Context, rules string) error {
	cmd := exec.CommandContext(ctx, "iptables-restore", "--noflush", "--wait")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// dialIn dials from inside a network namespace. The socket stays in it; the
// thread that entered it is thrown away.
func dialIn(ctx context.Context, netns, addr string) (net.Conn, error) {
	if netns == "" {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	f, err := os.Open(filepath.Join(netnsDir, netns))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	type result struct {
		conn net.Conn
		err  error
	}
	c := make(chan result)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			c <- result{nil, err}
			return
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		c <- result{conn, err}
	}()
	r := <-c
	return r.conn, r.err
}
