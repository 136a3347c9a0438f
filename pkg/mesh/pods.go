package mesh

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podView is a pod, or a pod template, with what deciding needs.
type podView struct {
	object   *Object
	template *corev1.PodTemplateSpec // metadata and spec, of a pod too
	ip       string
	owners   []metav1.OwnerReference
}

// pods returns the live pods of a namespace: completed and terminating ones answer no
// requests and do not count.
func (s *Snapshot) pods(namespace string) ([]podView, error) {
	var out []podView
	for _, o := range s.InNamespace(GroupCore, "Pod", namespace) {
		var pod corev1.Pod
		if err := o.Decode(&pod); err != nil {
			return nil, err
		}
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		out = append(out, podView{
			object:   o,
			template: &corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec},
			ip:       pod.Status.PodIP,
			owners:   pod.OwnerReferences,
		})
	}
	return out, nil
}

// workload turns a pod or template into a Workload of the owner.
func (p podView) workload(owner *Object) Workload {
	w := Workload{
		Ref: owner.Ref(), Namespace: owner.Namespace, Created: owner.Created,
		Labels: p.template.Labels, Annotations: p.template.Annotations,
		ServiceAccount: p.template.Spec.ServiceAccountName,
		HostNetwork:    p.template.Spec.HostNetwork,
	}
	if w.ServiceAccount == "" {
		w.ServiceAccount = p.template.Spec.DeprecatedServiceAccount
	}
	if w.ServiceAccount == "" {
		w.ServiceAccount = "default"
	}
	for _, c := range p.template.Spec.InitContainers {
		w.Containers = append(w.Containers, containerOf(c, true))
	}
	for _, c := range p.template.Spec.Containers {
		w.Containers = append(w.Containers, containerOf(c, false))
	}
	return w
}

func containerOf(c corev1.Container, init bool) Container {
	out := Container{Name: c.Name, Image: c.Image, Init: init, Args: c.Args, Probes: probesOf(c)}
	if c.RestartPolicy != nil {
		out.RestartPolicy = string(*c.RestartPolicy)
	}
	for _, p := range c.Ports {
		port := ContainerPort{Name: p.Name, Number: int(p.ContainerPort), Protocol: string(p.Protocol)}
		if port.Protocol == "" {
			port.Protocol = string(corev1.ProtocolTCP)
		}
		out.Ports = append(out.Ports, port)
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil {
			continue
		}
		if out.Env == nil {
			out.Env = map[string]string{}
		}
		out.Env[e.Name] = e.Value
	}
	return out
}
