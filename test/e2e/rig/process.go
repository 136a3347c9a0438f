package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// isNativeSidecar says whether an init container runs beside the others.
func isNativeSidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func trimSlash(path string) string { return strings.TrimPrefix(path, "/") }

// runContainers runs the init containers that annRun names to their end, and
// starts the others that it names.
func (n *node) runContainers(ctx context.Context, pod *corev1.Pod, s *sandbox) error {
	names := strings.Split(pod.Annotations[annRun], ",")
	for i, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if !slices.Contains(names, c.Name) {
			continue
		}
		f, err := n.logFile(pod.Namespace, pod.Name, c.Name)
		if err != nil {
			return err
		}
		cmd, err := n.command(ctx, pod, s, c.Name, append(slices.Clone(c.Command), c.Args...))
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = f, f
		done := make(chan error, 1)
		if err := start(cmd, func(err error) { done <- err }); err != nil {
			return err
		}
		if i < len(pod.Spec.InitContainers) && !isNativeSidecar(c) {
			if err := errors.Join(<-done, f.Close()); err != nil {
				return fmt.Errorf("init container %s: %w (see %s)", c.Name, err, f.Name())
			}
			continue
		}
		go func() {
			err := <-done
			_ = f.Close()
			if ctx.Err() == nil {
				n.report(ctx, pod, fmt.Errorf("container %s ended: %v (see %s)", c.Name, err, f.Name()))
				n.report(ctx, pod, n.setStatus(ctx, pod, func(p *corev1.Pod) { setEnded(p, c.Name, err) }))
			}
		}()
	}
	return nil
}

// setEnded says that a container's process is no more. Nothing restarts it.
func setEnded(pod *corev1.Pod, container string, err error) {
	code := int32(0)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = int32(exitCode(exit))
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == container {
				list[i].Ready = false
				list[i].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", FinishedAt: metav1.Now()}}
			}
		}
	}
	setCondition(pod, corev1.ConditionFalse, corev1.ContainersReady, corev1.PodReady)
}

// exitCode is a process's, as a shell has it: 128+n where signal n ended it.
func exitCode(exit *exec.ExitError) int {
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return exit.ExitCode()
}

// command prepares argv to run as a process of the Pod: in its network, with its
// hosts file and its container's environment, in the folder of its volumes.
func (n *node) command(ctx context.Context, pod *corev1.Pod, s *sandbox, container string, argv []string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("container %s has no command, and images are unknown here", container)
	}
	path := pod.Annotations[annPath]
	if path == "" {
		path = os.Getenv("PATH")
	}
	bin, err := lookPath(argv[0], path)
	if err != nil {
		return nil, err
	}
	argv = append([]string{bin}, argv[1:]...)
	if s.ours {
		argv = append([]string{"unshare", "--mount", "--", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, n.network.hostsFile(pod.Namespace)}, argv...)
	}
	if s.netns != "" {
		argv = append([]string{"nsenter", "--net=" + filepath.Join(netnsDir, s.netns), "--"}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = s.root
	cmd.Env = append([]string{"PATH=" + path, "HOSTNAME=" + pod.Name, "HOME=/tmp", "RIG_POD=" + pod.Namespace + "/" + pod.Name, "RIG_CONTAINER=" + container},
		environment(pod, container, s.ip)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with its children
	cmd.WaitDelay = 5 * time.Second
	return cmd, nil
}

func lookPath(bin, path string) (string, error) {
	if strings.Contains(bin, "/") {
		return bin, nil
	}
	for _, d := range filepath.SplitList(path) {
		name := filepath.Join(d, bin)
		if s, err := os.Stat(name); err == nil && !s.IsDir() && s.Mode()&0o111 != 0 {
			return name, nil
		}
	}
	return "", fmt.Errorf("failed to exec in container: exec: %q: executable file not found in $PATH: unknown", bin)
}

// environment is what the container's spec says: values and the downward API's fields.
func environment(pod *corev1.Pod, container, ip string) []string {
	var out []string
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name != container {
			continue
		}
		for _, e := range c.Env {
			value := e.Value
			if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
				value = map[string]string{
					"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "metadata.uid": string(pod.UID),
					"spec.nodeName": pod.Spec.NodeName, "spec.serviceAccountName": pod.Spec.ServiceAccountName,
					"status.podIP": ip, "status.hostIP": gatewayIP,
				}[e.ValueFrom.FieldRef.FieldPath]
			}
			out = append(out, e.Name+"="+value)
		}
	}
	return out
}

// mountAll writes what the Pod's volumes hold below its root, each where the
// first container that mounts it has it. It waits for ConfigMaps and Secrets
// that are not there yet, as a kubelet does.
func (n *node) mountAll(ctx context.Context, pod *corev1.Pod, s *sandbox) error {
	if err := os.MkdirAll(s.root, 0o755); err != nil {
		return err
	}
	mounted := map[string]bool{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, m := range c.VolumeMounts {
			i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
			if i < 0 || mounted[m.Name] {
				continue
			}
			mounted[m.Name] = true
			if err := n.mount(ctx, pod, pod.Spec.Volumes[i], filepath.Join(s.root, m.MountPath)); err != nil {
				return fmt.Errorf("volume %s: %w", m.Name, err)
			}
		}
	}
	return nil
}

func (n *node) mount(ctx context.Context, pod *corev1.Pod, v corev1.Volume, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var sources []corev1.VolumeProjection
	switch {
	case v.Projected != nil:
		sources = v.Projected.Sources
	case v.ConfigMap != nil:
		sources = []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: v.ConfigMap.LocalObjectReference, Items: v.ConfigMap.Items}}}
	}
	for _, src := range sources {
		files, err := n.project(ctx, pod, src)
		for err != nil { // not there yet
			select {
			case <-ctx.Done():
				return err
			case <-time.After(50 * time.Millisecond):
			}
			files, err = n.project(ctx, pod, src)
		}
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// project returns the files of one source of a projected volume, by name.
func (n *node) project(ctx context.Context, pod *corev1.Pod, src corev1.VolumeProjection) (map[string][]byte, error) {
	files := map[string][]byte{}
	switch {
	case src.ConfigMap != nil:
		cm, err := n.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, src.ConfigMap.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		for k, v := range cm.Data {
			files[k] = []byte(v)
		}
	case src.ServiceAccountToken != nil:
		req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		}}
		if src.ServiceAccountToken.Audience != "" {
			req.Spec.Audiences = []string{src.ServiceAccountToken.Audience}
		}
		res, err := n.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, req, metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		files[src.ServiceAccountToken.Path] = []byte(res.Status.Token)
	}
	return files, nil
}
