package cmd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// scene is where requests come from and go to, as it was read.
type scene struct {
	o      *probeOptions
	planes *kube.Planes
	// url is the HOST:PORT of the URL, host its host alone, port its port.
	url, host string
	port      int

	// in is what all rows ask for, and paths what those of a path do.
	in    diagnose.Intent
	paths map[string]diagnose.Intent
	snap  *mesh.Snapshot
	got   *kube.Collection
	// gaps are what could not be found out about the way.
	gaps []diagnose.Gap

	sender podOf
	// address is where requests go in the place of the URL's host, pin the public key
	// that is to be there; empty: the URL's, and any that is trusted.
	address, pin string
	// client is what sent them; image that of the ephemeral container.
	client string
	wget   wire.Wget
	image  string
}

// podOf is a pod that sends.
type podOf struct {
	workload             mesh.Workload
	namespace, name, ip  string
	container            string
	hasProxy, pastItself bool // pastItself: what the container sends goes past the pod's proxy
}

// setScene reads what the question needs, and finds who sends and where to.
func (o *probeOptions) setScene(ctx context.Context, shots []probe.Shot) (*scene, error) {
	s := &scene{o: o}
	if err := s.takeURL(); err != nil {
		return nil, err
	}
	var err error
	if s.planes, err = o.app.clusters.planes(ctx, o.app.clusters.names()[0]); err != nil {
		return nil, err
	}
	if o.namespace == "" {
		o.namespace = s.planes.Data.Namespace
	}
	if o.flags.fromNamespace == "" {
		o.flags.fromNamespace = o.namespace
	}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	return s, s.foresee(ctx, shots)
}

// foresee asks the question of each path once, so that what makes no sense, such as a port
// that is not there, is told before anything is sent.
func (s *scene) foresee(ctx context.Context, shots []probe.Shot) error {
	seen := map[string]bool{}
	for _, shot := range shots {
		if seen[shot.Path] {
			continue
		}
		seen[shot.Path] = true
		if _, err := s.trial(shot, probe.Result{}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// takeURL takes the address of the URL apart, whatever the Host header is.
func (s *scene) takeURL() error {
	var u sent
	if err := u.takeURL(s.o.flags.request.url); err != nil {
		return err
	}
	s.host, s.port = u.Authority, portHTTP
	if u.https {
		s.port = portHTTPS
	}
	if u.urlPort != "" {
		n, err := strconv.ParseUint(u.urlPort, 10, 16)
		if err != nil || n == 0 {
			return usage("ports are 1 to 65535", "the port of the URL is no port")
		}
		s.port = int(n)
		s.host = strings.TrimSuffix(u.Authority, ":"+u.urlPort)
	}
	s.host = strings.Trim(s.host, "[]")
	s.url = net.JoinHostPort(s.host, strconv.Itoa(s.port))
	return nil
}

// read reads the objects, and asks the proxies anew.
func (s *scene) read(ctx context.Context) error {
	o := s.o
	s.paths, s.gaps = nil, nil
	s.in = diagnose.Intent{
		Namespace: o.namespace, Method: o.base.Method, Host: s.url, HostGiven: true, Path: o.base.Path, Headers: o.base.Headers,
		Protocol: o.base.Protocol, URLPort: s.port, Clock: "the clock of this machine", ProxyOnly: o.flags.evidence.value == evidenceProxy,
	}
	if !o.local {
		s.in.Caller.From, s.in.Caller.FromNamespace = o.from, o.flags.fromNamespace
	}
	var err error
	if o.gateway != nil {
		err = s.readGateway(ctx)
	} else {
		err = s.readService(ctx)
	}
	if err != nil {
		return err
	}
	if wrong := s.snap.Check(); len(wrong) > 0 {
		return newErrorList(wrong)
	}
	s.in.Host = o.base.Authority
	for path, in := range s.paths {
		in.Host = o.base.Authority
		s.paths[path] = in
	}
	if o.local {
		s.localCaller()
		return nil
	}
	if s.image == "" { // else the sender is known, and has an ephemeral container
		if err := s.findPod(); err != nil {
			return err
		}
	}
	s.podCaller()
	return nil
}

func (s *scene) collect(ctx context.Context, q kube.Question) error {
	got, err := kube.Collect(ctx, s.planes, q)
	if err != nil {
		return err
	}
	s.got, s.snap = got, got.Snapshot
	return nil
}

// each changes what is asked for, for all paths.
func (s *scene) each(change func(*diagnose.Intent)) {
	change(&s.in)
	for path, in := range s.paths {
		change(&in)
		s.paths[path] = in
	}
}

// held lets the proxies of the targets speak, as why does.
func (s *scene) held(ctx context.Context) {
	if s.o.flags.evidence.value != evidenceObjects {
		held := heldByProxies(ctx, s.planes.Data)
		s.each(func(in *diagnose.Intent) { in.Held = held })
	}
}

// readService reads what a request to a Service of the mesh needs.
func (s *scene) readService(ctx context.Context) error {
	absent := func(service diagnose.Via) bool {
		return s.planes.LacksService(ctx, service.Namespace, service.Target.Name)
	}
	if !diagnose.LocateService(&s.in, absent) {
		return usage("the URL's host is a Service, as the pod would write it: http://httpbin.foo:8000; for a gateway's host add --to-gateway TYPE/NAME.NAMESPACE",
			"%q is not the name of a Service", s.host)
	}
	if err := s.collect(ctx, questionOf(s.in)); err != nil {
		return err
	}
	s.held(ctx)
	return nil
}

// findPod chooses the pod and the container that send.
func (s *scene) findPod() error {
	o := s.o
	groups, err := s.snap.Resolve(o.from, o.flags.fromNamespace)
	if err != nil {
		return notThere(fmt.Errorf("--from: %w", err), s.planes)
	}
	at := slices.IndexFunc(groups, func(w mesh.Workload) bool { return len(w.Pods) > 0 })
	if at < 0 {
		return &unavailableError{
			problem: fmt.Sprintf("--from: %s in namespace %s has no running pod", o.from, o.flags.fromNamespace),
			hint:    fmt.Sprintf("kubectl get pods -n %s shows those that there are", o.flags.fromNamespace),
		}
	}
	w := groups[at]
	p := podOf{workload: w, namespace: w.Namespace, name: w.Pods[0], hasProxy: w.HasSidecar()}
	if len(w.PodIPs) > 0 {
		p.ip = w.PodIPs[0]
	}
	if p.container, err = o.containerOf(w); err != nil {
		return err
	}
	// The proxy's own user is not captured (istio-iptables: --uid-owner 1337 RETURN).
	p.pastItself = p.container == mesh.ProxyContainerName
	s.sender = p
	return nil
}

// defaultContainer is the annotation that kubectl heeds, too.
const defaultContainer = "kubectl.kubernetes.io/default-container"

func (o *probeOptions) containerOf(w mesh.Workload) (string, error) {
	var names []string
	for _, c := range w.Containers {
		if !c.Init || c.Name == mesh.ProxyContainerName {
			names = append(names, c.Name)
		}
	}
	switch {
	case o.flags.container != "" && slices.Contains(names, o.flags.container):
		return o.flags.container, nil
	case o.flags.container != "":
		return "", usage("the containers are "+strings.Join(names, ", "), "-c: the pod has no container %q", o.flags.container)
	case slices.Contains(names, w.Annotations[defaultContainer]):
		return w.Annotations[defaultContainer], nil
	}
	for _, name := range names {
		if name != mesh.ProxyContainerName {
			return name, nil
		}
	}
	return mesh.ProxyContainerName, nil
}

// podCaller says of the client what is known of the pod.
func (s *scene) podCaller() {
	p := s.sender
	s.each(func(in *diagnose.Intent) {
		if ip, err := netip.ParseAddr(p.ip); err == nil {
			in.Caller.IP = ip
		}
		switch {
		case s.o.base.https:
			in.Caller.TLS, in.Caller.SNI, in.Caller.SNIGiven = true, s.host, true
		case p.pastItself || s.o.gateway != nil:
			in.Caller.Plaintext = true
		}
	})
}

// localCaller says of the client what is known of this machine.
func (s *scene) localCaller() {
	s.each(func(in *diagnose.Intent) {
		if s.o.base.https {
			in.Caller.TLS, in.Caller.SNI, in.Caller.SNIGiven = true, s.host, true
		} else {
			in.Caller.Plaintext = true
		}
	})
}

// wayOf is what a request passes, by its diagnosis.
func (s *scene) wayOf(d *diagnose.Diagnosis) observe.Way {
	var w observe.Way
	if p := s.sender; p.hasProxy && !p.pastItself {
		w.Client = p.workload.Ref.Name + "'s own proxy"
	}
	targets := []diagnose.Target{d.Target}
	if len(d.Hops) > 0 {
		targets = nil
		for _, h := range d.Hops {
			targets = append(targets, h.Target)
		}
		targets = append(targets, d.NotReached...)
	}
	for i, t := range targets {
		switch {
		case t.Role == "none" && t.ProxyVersion == "": // else it was not judged, and has one
		case t.Role == "ztunnel":
			w.Tunnel = true
		case t.Role == "gateway":
			w.Hops = append(w.Hops, t.Name)
		default:
			w.Hops = append(w.Hops, t.Name+"'s proxy")
		}
		if i == len(targets)-1 && t.Role != "gateway" {
			w.App = t.Name
		}
	}
	return w
}
