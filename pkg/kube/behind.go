package kube

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// behind is what a target that was read leads to: its pods, and what stands between.
func (c *collector) behind(snap *mesh.Snapshot, p Place) []query {
	t, namespace := p.Target, p.Namespace
	switch t.Type {
	case mesh.TypePod, mesh.TypeGateway:
		return nil
	case mesh.TypeService:
		return ownersOf(snap, namespace, serviceSelector(snap.Find(mesh.GroupCore, "Service", namespace, t.Name)))
	case mesh.TypeIstioGateway:
		return istioGatewayPods(snap, namespace, t.Name)
	}
	group, kind := t.GroupKind()
	return ownedPods(snap.Find(group, kind, namespace, t.Name))
}

// ownedPods are the pods of an object that makes pods, and the ReplicaSets or Jobs in
// between.
func ownedPods(o *mesh.Object) []query {
	if o == nil {
		return nil
	}
	selector := podSelector(o)
	switch {
	case o.Kind == "CronJob":
		return []query{pods(o.Namespace, ""), {group: mesh.GroupBatch, kind: "Job", namespace: o.Namespace, optional: true}}
	case selector == "":
		return nil
	case o.Kind == "Deployment":
		// Pods name their ReplicaSet, which names the Deployment; without the right to read
		// ReplicaSets their names tell as much.
		return []query{pods(o.Namespace, selector), {group: mesh.GroupApps, kind: "ReplicaSet", namespace: o.Namespace, labels: selector, optional: true}}
	}
	return []query{pods(o.Namespace, selector)}
}

// podSelector is what selects an owner's pods, as a query.
func podSelector(o *mesh.Object) string {
	var d struct {
		Spec struct {
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"spec"`
	}
	if o.Decode(&d) != nil || d.Spec.Selector == nil {
		return ""
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return ""
	}
	return selector.String()
}

func serviceSelector(o *mesh.Object) map[string]string {
	if o == nil {
		return nil
	}
	var svc corev1.Service
	if o.Decode(&svc) != nil {
		return nil
	}
	return svc.Spec.Selector
}

// ownersOf are what makes the pods that a Service selects; where it selects none, all
// that could make some.
func ownersOf(snap *mesh.Snapshot, namespace string, selector map[string]string) []query {
	if len(selector) == 0 {
		return nil
	}
	var out []query
	found, sets := false, 0
	for _, pod := range snap.InNamespace(mesh.GroupCore, "Pod", namespace) {
		if !mesh.SelectorMatches(selector, pod.Labels) {
			continue
		}
		found = true
		for _, owner := range ownerReferences(pod) {
			r := query{kind: owner.Kind, namespace: namespace, name: owner.Name, optional: true}
			switch owner.Kind {
			case "ReplicaSet":
				r.group = mesh.GroupApps
				sets++
				if deployment, hash := cutLast(owner.Name, "-"); hash != "" && hash == pod.Labels["pod-template-hash"] {
					out = append(out, query{group: mesh.GroupApps, kind: "Deployment", namespace: namespace, name: deployment, optional: true})
				}
			case "StatefulSet", "DaemonSet":
				r.group = mesh.GroupApps
			case "Job":
				r.group = mesh.GroupBatch
			case "ReplicationController":
			default:
				continue
			}
			out = append(out, r)
		}
	}
	if !found {
		for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
			out = append(out, query{group: mesh.GroupApps, kind: kind, namespace: namespace})
		}
	}
	slices.SortFunc(out, func(a, b query) int { return strings.Compare(a.kind+"/"+a.name, b.kind+"/"+b.name) })
	out = slices.Compact(out)
	const most = 6
	if len(out) > most { // a Service of many workloads: one list of each kind is less to ask
		return []query{
			{group: mesh.GroupApps, kind: "Deployment", namespace: namespace, optional: true},
			{group: mesh.GroupApps, kind: "ReplicaSet", namespace: namespace, labels: labels.FormatLabels(selector), optional: true},
			{group: mesh.GroupApps, kind: "StatefulSet", namespace: namespace, optional: true},
			{group: mesh.GroupApps, kind: "DaemonSet", namespace: namespace, optional: true},
		}
	}
	return out
}

func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return s, ""
}

func ownerReferences(o *mesh.Object) []metav1.OwnerReference {
	var d struct {
		Metadata struct {
			OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
		} `json:"metadata"`
	}
	if o.Decode(&d) != nil {
		return nil
	}
	return d.Metadata.OwnerReferences
}

// istioGatewayPods are the pods of the Deployment that ASM makes of an IstioGateway, or
// those with the labels that it asks for.
func istioGatewayPods(snap *mesh.Snapshot, namespace, name string) []query {
	for _, deployment := range []string{name, "istio-" + name} {
		if o := snap.Find(mesh.GroupApps, "Deployment", namespace, deployment); o != nil {
			return ownedPods(o)
		}
	}
	o := snap.Find(mesh.GroupASM, "IstioGateway", namespace, name)
	if o == nil {
		return nil
	}
	var spec struct {
		PodLabels map[string]string `json:"podLabels"`
	}
	if o.DecodeSpec(&spec) != nil || len(spec.PodLabels) == 0 {
		return nil
	}
	return []query{pods(namespace, labels.FormatLabels(spec.PodLabels)), {group: mesh.GroupApps, kind: "Deployment", namespace: namespace}}
}

// neighbours are for the hint where the target does not exist: what else there is in the
// namespace, and where else its name.
func (c *collector) neighbours(snap *mesh.Snapshot, p Place) []query {
	group, kind := p.Target.GroupKind()
	if snap.Find(group, kind, p.Namespace, p.Target.Name) != nil {
		return nil
	}
	get := c.answers[query{group: group, kind: kind, namespace: p.Namespace, name: p.Target.Name}]
	if p.Target.Type != mesh.TypeService && (get == nil || !get.absent) {
		return nil
	}
	return []query{
		{group: group, kind: kind, namespace: p.Namespace, optional: true},
		{group: group, kind: kind, fields: "metadata.name=" + p.Target.Name, optional: true},
	}
}
