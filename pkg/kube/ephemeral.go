package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Ephemeral is a container that is added to a running pod. It cannot be taken away again:
// it stays in the pod's list when its command has ended.
type Ephemeral struct {
	Name, Image string
	Command     []string
}

// pollEphemeral is how often a pod is asked whether a container runs.
const pollEphemeral = 250 * time.Millisecond

// AddEphemeral adds a container to a pod and waits until it runs, or the context ends.
func (c *Cluster) AddEphemeral(ctx context.Context, namespace, pod string, e Ephemeral) error {
	no := false
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: e.Name, Image: e.Image, Command: e.Command, ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		},
	}}}})
	if err != nil {
		return fmt.Errorf("add an ephemeral container: %w", err)
	}
	path := []string{"api", "v1", "namespaces", namespace, "pods", pod}
	headers := http.Header{"Content-Type": {"application/strategic-merge-patch+json"}, "Accept": {"application/json"}}
	_, _, err = c.send(ctx, http.MethodPatch, append(path, "ephemeralcontainers"), nil, headers, bytes.NewReader(patch))
	if err != nil {
		return ephemeralError(namespace, pod, err)
	}
	for {
		data, _, err := c.get(ctx, path, nil, "application/json")
		if err != nil {
			return ephemeralError(namespace, pod, err)
		}
		running, err := ephemeralState(data, e)
		if running || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return &UnavailableError{
				Problem: fmt.Sprintf("the ephemeral container %s in pod %s/%s does not run yet", e.Name, namespace, pod),
				Hint:    "kubectl describe pod " + pod + " -n " + namespace + " says why", Err: ctx.Err(),
			}
		case <-time.After(pollEphemeral):
		}
	}
}

// ephemeralState reports whether the container runs; an error says that it will not.
func ephemeralState(data []byte, e Ephemeral) (running bool, err error) {
	var pod corev1.Pod
	if err := json.Unmarshal(data, &pod); err != nil {
		return false, fmt.Errorf("read the pod: %w", err)
	}
	for _, s := range pod.Status.EphemeralContainerStatuses {
		if s.Name != e.Name {
			continue
		}
		switch w, t := s.State.Waiting, s.State.Terminated; {
		case s.State.Running != nil:
			return true, nil
		case t != nil:
			return false, &UnavailableError{
				Problem: fmt.Sprintf("the ephemeral container ended at once, with exit code %d: %s", t.ExitCode, t.Message), Hint: "take an image with sleep and curl in it",
			}
		case w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff" || w.Reason == "InvalidImageName"):
			return false, &UnavailableError{Problem: fmt.Sprintf("the image %q cannot be pulled: %s", e.Image, w.Reason), Hint: "take one that the node can pull, with --image"}
		}
	}
	return false, nil
}

func ephemeralError(namespace, pod string, err error) error {
	var status *statusError
	switch {
	case isStatus(err, http.StatusForbidden):
		return &RefusedError{Permission: "patch pods/ephemeralcontainers in " + namespace, Err: err}
	case errors.As(err, &status) && status.message != "":
		return &UnavailableError{Problem: fmt.Sprintf("add an ephemeral container to pod %s/%s: %s", namespace, pod, status.message), Err: err}
	}
	return &UnavailableError{Problem: fmt.Sprintf("add an ephemeral container to pod %s/%s: %s", namespace, pod, oneLine(err)), Err: err}
}
