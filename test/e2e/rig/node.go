package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/retry"
)

// What a Pod's annotations tell the node agent.
const (
	annIP    = "rig.test/ip"    // the Pod's IP address (default: the next of 10.88.0.0/16)
	annNetns = "rig.test/netns" // an existing network namespace for its processes (default: its own with -network, else the node's)
	annPath  = "rig.test/path"  // PATH of its processes (default: the node's)
	annPorts = "rig.test/ports" // "80=18080,...": port of a port-forward to port on 127.0.0.1 (default: the same port)
	annRun   = "rig.test/run"   // containers whose command is really started, comma-separated
)

// node is a kubelet without containers: a Pod's processes are plain processes
// of this machine. It knows init containers, environment, projected volumes,
// HTTP readiness probes (until they succeed once), logs, exec, port-forward and
// ephemeral containers; it knows no images, limits or restarts.
type node struct {
	name    string
	client  kubernetes.Interface
	pods    cache.Indexer
	dir     string   // DIR/logs and DIR/pods
	network *network // nil: all Pods share the node's

	mu     sync.Mutex
	nextIP int
	live   map[types.UID]*sandbox
}

// sandbox is a Pod that the node has taken on.
type sandbox struct {
	cancel context.CancelFunc
	ip     string
	netns  string // "": the node's
	ours   bool   // netns is to be removed with the Pod
	root   string // where its volumes are; the working directory of its processes
}

func runNode(ctx context.Context, cfg *rest.Config, name, dir string, nw *network) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	n := &node{name: name, client: client, dir: dir, network: nw, live: map[types.UID]*sandbox{}}
	port, err := n.serve()
	if err != nil {
		return err
	}
	if err := n.register(ctx, port); err != nil {
		return err
	}
	f := informers.NewSharedInformerFactory(client, 0)
	inf := f.Core().V1().Pods().Informer()
	n.pods = inf.GetIndexer()
	if nw != nil {
		if err := nw.follow(ctx, f); err != nil {
			return err
		}
	}
	_, err = inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { n.sync(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { n.sync(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			n.stop(ctx, o.(*corev1.Pod))
		},
	})
	if err != nil {
		return err
	}
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	return nil
}

// serve starts the kubelet's own server and returns its port.
func (n *node) serve() (int32, error) {
	crt, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return 0, err
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		return 0, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return 0, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{ns}/{pod}/{container}", n.serveExec)
	mux.HandleFunc("/exec/{ns}/{pod}/{uid}/{container}", n.serveExec)
	mux.HandleFunc("/portForward/{ns}/{pod}", n.servePortForward)
	mux.HandleFunc("/portForward/{ns}/{pod}/{uid}", n.servePortForward)
	mux.HandleFunc("/containerLogs/{ns}/{pod}/{container}", n.serveLogs)
	go func() { _ = (&http.Server{Handler: mux}).Serve(l) }()
	return int32(l.Addr().(*net.TCPAddr).Port), nil
}

func (n *node) register(ctx context.Context, port int32) error {
	plenty := corev1.ResourceList{"cpu": resource.MustParse("64"), "memory": resource.MustParse("256Gi"), "pods": resource.MustParse("1000")}
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{"kubernetes.io/hostname": n.name, "kubernetes.io/os": "linux"}}}
	obj, err := n.client.CoreV1().Nodes().Create(ctx, obj, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	obj.Status = corev1.NodeStatus{
		Capacity: plenty, Allocatable: plenty,
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeHostName, Address: n.name}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
		Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "RigReady", LastHeartbeatTime: now, LastTransitionTime: now}},
		NodeInfo:        corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: runtime.GOARCH, KubeletVersion: "v0.0.0-rig"},
	}
	_, err = n.client.CoreV1().Nodes().UpdateStatus(ctx, obj, metav1.UpdateOptions{})
	return err
}

// sync brings one Pod on: binds it, starts it, or removes it.
func (n *node) sync(ctx context.Context, pod *corev1.Pod) {
	api := n.client.CoreV1().Pods(pod.Namespace)
	var err error
	switch {
	case pod.DeletionTimestamp != nil:
		n.stop(ctx, pod)
		err = api.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	case pod.Spec.NodeName == "":
		err = api.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}, Target: corev1.ObjectReference{Kind: "Node", Name: n.name}}, metav1.CreateOptions{})
	case pod.Spec.NodeName == n.name && pod.Status.Phase == corev1.PodPending:
		n.admit(ctx, pod)
	case pod.Spec.NodeName == n.name && len(pod.Status.EphemeralContainerStatuses) != len(pod.Spec.EphemeralContainers):
		err = n.setStatus(ctx, pod, setEphemeral)
	}
	n.report(ctx, pod, err)
}

// report says an error that is not of a Pod which went away meanwhile.
func (n *node) report(ctx context.Context, pod *corev1.Pod, err error) {
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "rig: pod %s/%s: %v\n", pod.Namespace, pod.Name, err)
	}
}

// admit takes a Pod on, once, and starts it in the background.
func (n *node) admit(ctx context.Context, pod *corev1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live[pod.UID] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &sandbox{cancel: cancel, netns: pod.Annotations[annNetns], ip: pod.Annotations[annIP], root: filepath.Join(n.dir, "pods", string(pod.UID))}
	n.nextIP++
	switch {
	case n.network != nil && pod.Spec.HostNetwork:
		s.ip = gatewayIP
	case n.network != nil && s.netns == "":
		s.ours, s.netns = true, fmt.Sprintf("p%d", n.nextIP)
	}
	if s.ip == "" {
		s.ip = fmt.Sprintf("10.88.%d.%d", n.nextIP/250, n.nextIP%250+1)
	}
	n.live[pod.UID] = s
	go func() { n.report(ctx, pod, n.bringUp(ctx, pod.DeepCopy(), s)) }()
}

// bringUp starts a Pod and returns when it is ready, or will never be.
func (n *node) bringUp(ctx context.Context, pod *corev1.Pod, s *sandbox) error {
	if s.ours {
		if err := n.network.addPod(ctx, s.netns, s.ip, pod.Namespace); err != nil {
			return err
		}
	}
	pod.Status.PodIP, pod.Status.HostIP = s.ip, "127.0.0.1"
	if err := n.mountAll(ctx, pod, s); err != nil {
		return err
	}
	if err := n.runContainers(ctx, pod, s); err != nil {
		return err
	}
	if err := n.setStatus(ctx, pod, func(p *corev1.Pod) { setRunning(p, s.ip) }); err != nil {
		return err
	}
	if err := awaitProbes(ctx, pod, s); err != nil {
		return err
	}
	return n.setStatus(ctx, pod, setReady)
}

// setStatus changes the status of a Pod, whoever else changes the Pod.
func (n *node) setStatus(ctx context.Context, pod *corev1.Pod, change func(*corev1.Pod)) error {
	api := n.client.CoreV1().Pods(pod.Namespace)
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		p, err := api.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.UID != pod.UID || p.DeletionTimestamp != nil {
			return nil
		}
		change(p)
		_, err = api.UpdateStatus(ctx, p, metav1.UpdateOptions{})
		return err
	})
}

// stop ends a Pod's processes and removes its network.
func (n *node) stop(ctx context.Context, pod *corev1.Pod) {
	n.mu.Lock()
	s := n.live[pod.UID]
	delete(n.live, pod.UID)
	n.mu.Unlock()
	if s == nil {
		return
	}
	s.cancel()
	if s.ours {
		n.report(ctx, pod, n.network.removePod(ctx, s.netns))
	}
}

// find returns a Pod and what the node has made of it.
func (n *node) find(namespace, name string) (*corev1.Pod, *sandbox, error) {
	key := namespace + "/" + name
	o, ok, err := n.pods.GetByKey(key)
	if err != nil || !ok {
		return nil, nil, errors.Join(err, fmt.Errorf("pod %q does not exist", key))
	}
	pod := o.(*corev1.Pod)
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.live[pod.UID]
	if s == nil {
		return nil, nil, fmt.Errorf("pod %q is not running", key)
	}
	return pod, s, nil
}

func containerStatus(pod *corev1.Pod, name, image string, ready bool, state corev1.ContainerState) corev1.ContainerStatus {
	yes := true
	return corev1.ContainerStatus{Name: name, Image: image, ImageID: image, ContainerID: "rig://" + string(pod.UID) + "/" + name, Ready: ready, Started: &yes, State: state}
}

func setCondition(pod *corev1.Pod, status corev1.ConditionStatus, kinds ...corev1.PodConditionType) {
	for _, t := range kinds {
		pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == t })
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: t, Status: status, LastTransitionTime: metav1.Now()})
	}
}

// setRunning says that the containers run, and that those with a readiness probe
// are not ready yet.
func setRunning(pod *corev1.Pod, ip string) {
	now := metav1.Now()
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	done := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}}
	s := &pod.Status
	s.Phase, s.StartTime = corev1.PodRunning, &now
	s.HostIP, s.HostIPs = "127.0.0.1", []corev1.HostIP{{IP: "127.0.0.1"}}
	s.PodIP, s.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	setCondition(pod, corev1.ConditionTrue, corev1.PodScheduled, corev1.PodInitialized)
	setCondition(pod, corev1.ConditionFalse, corev1.ContainersReady, corev1.PodReady)
	s.ContainerStatuses, s.InitContainerStatuses = nil, nil
	for _, c := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, containerStatus(pod, c.Name, c.Image, c.ReadinessProbe == nil, running))
	}
	for _, c := range pod.Spec.InitContainers {
		if isNativeSidecar(c) {
			s.InitContainerStatuses = append(s.InitContainerStatuses, containerStatus(pod, c.Name, c.Image, c.ReadinessProbe == nil, running))
			continue
		}
		s.InitContainerStatuses = append(s.InitContainerStatuses, containerStatus(pod, c.Name, c.Image, true, done))
	}
	setEphemeral(pod)
}

func setReady(pod *corev1.Pod) {
	for i := range pod.Status.ContainerStatuses {
		pod.Status.ContainerStatuses[i].Ready = true
	}
	for i := range pod.Status.InitContainerStatuses {
		pod.Status.InitContainerStatuses[i].Ready = true
	}
	setCondition(pod, corev1.ConditionTrue, corev1.ContainersReady, corev1.PodReady)
}

func setEphemeral(pod *corev1.Pod) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	pod.Status.EphemeralContainerStatuses = nil
	for _, c := range pod.Spec.EphemeralContainers {
		pod.Status.EphemeralContainerStatuses = append(pod.Status.EphemeralContainerStatuses, containerStatus(pod, c.Name, c.Image, false, running))
	}
}

// awaitProbes waits until each HTTP readiness probe of the Pod has succeeded.
func awaitProbes(ctx context.Context, pod *corev1.Pod, s *sandbox) error {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet == nil {
			continue
		}
		get := c.ReadinessProbe.HTTPGet
		client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialIn(ctx, s.netns, "127.0.0.1:"+get.Port.String())
			},
		}}
		for {
			res, err := client.Get("http://" + s.ip + "/" + trimSlash(get.Path))
			if err == nil {
				_ = res.Body.Close()
				if res.StatusCode < http.StatusBadRequest {
					break
				}
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}
