package mesh

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Resolve finds the workloads behind a target in a namespace, as groups of pods that
// differ in labels, service account, proxy image or presence of the proxy. A workload
// without pods is judged by its pod template, a Service by the workloads that it
// selects. What is not there is a *NotFoundError.
func (s *Snapshot) Resolve(t Target, namespace string) ([]Workload, error) {
	kind := targetKindOf(t.Type)
	if kind == nil {
		return nil, &TargetError{Given: t.String(), Problem: "has an unknown type", Hint: typesHint()}
	}
	o := s.Find(kind.group, kind.kind, namespace, t.Name)
	if o == nil {
		return nil, s.notFound(t, kind, namespace)
	}
	r := &resolver{snap: s, namespace: namespace}
	if err := r.load(); err != nil {
		return nil, err
	}
	switch kind.plural {
	case TypePod:
		return r.pod(o)
	case TypeService:
		return r.service(o)
	case TypeGateway:
		return r.gateway(o)
	case TypeIstioGateway:
		return r.istioGateway(o)
	}
	return r.owner(o)
}

// labelGatewayName is on the pods of a Gateway of the Gateway API.
const labelGatewayName = "gateway.networking.k8s.io/gateway-name"

// resolver works in one namespace.
type resolver struct {
	snap      *Snapshot
	namespace string
	pods      []podView
	owners    []*ownerView
}

// ownerView is an object that makes pods: its template and how it selects them.
type ownerView struct {
	object   *Object
	template *corev1.PodTemplateSpec
	selector *metav1.LabelSelector
	parents  []metav1.OwnerReference
}

// ownerKinds make pods. It is never written to.
var ownerKinds = []groupKind{
	{GroupApps, "Deployment"},
	{GroupApps, "ReplicaSet"},
	{GroupApps, "StatefulSet"},
	{GroupApps, "DaemonSet"},
	{GroupBatch, "CronJob"},
	{GroupBatch, "Job"},
	{GroupCore, "ReplicationController"},
}

func (r *resolver) load() error {
	pods, err := r.snap.pods(r.namespace)
	if err != nil {
		return err
	}
	r.pods = pods
	for _, k := range ownerKinds {
		for _, o := range r.snap.InNamespace(k.group, k.kind, r.namespace) {
			owner, err := decodeOwner(o)
			if err != nil {
				return err
			}
			r.owners = append(r.owners, owner)
		}
	}
	return nil
}

func decodeOwner(o *Object) (*ownerView, error) {
	var d struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Selector    *metav1.LabelSelector    `json:"selector"`
			Template    *corev1.PodTemplateSpec  `json:"template"`
			JobTemplate *batchv1.JobTemplateSpec `json:"jobTemplate"`
		} `json:"spec"`
	}
	if o.Kind == "ReplicationController" {
		return decodeReplicationController(o)
	}
	if err := o.Decode(&d); err != nil {
		return nil, err
	}
	owner := &ownerView{object: o, template: d.Spec.Template, selector: d.Spec.Selector, parents: d.OwnerReferences}
	if d.Spec.JobTemplate != nil {
		owner.template = &d.Spec.JobTemplate.Spec.Template
	}
	return owner, nil
}

func decodeReplicationController(o *Object) (*ownerView, error) {
	var rc corev1.ReplicationController
	if err := o.Decode(&rc); err != nil {
		return nil, err
	}
	owner := &ownerView{object: o, template: rc.Spec.Template, parents: rc.OwnerReferences}
	if len(rc.Spec.Selector) > 0 {
		owner.selector = &metav1.LabelSelector{MatchLabels: rc.Spec.Selector}
	}
	return owner, nil
}

// controls reports whether the owner controls something with these owner references
// and labels: by uid where both have one, else by kind and name; where there is no
// reference at all, by the selector.
func (w *ownerView) controls(refs []metav1.OwnerReference, podLabels map[string]string) bool {
	if len(refs) == 0 {
		return w.selects(podLabels)
	}
	for _, ref := range refs {
		group, _, found := strings.Cut(ref.APIVersion, "/")
		if !found {
			group = GroupCore
		}
		switch {
		case w.object.UID != "" && ref.UID != "":
			if string(ref.UID) == w.object.UID {
				return true
			}
		case ref.Kind == w.object.Kind && ref.Name == w.object.Name && group == w.object.Group():
			return true
		}
	}
	return false
}

// selects reports whether the owner's selector, or where it has none the labels of its
// template, take the labels. Jobs get theirs from the server.
func (w *ownerView) selects(podLabels map[string]string) bool {
	switch {
	case w.selector != nil:
		selector, err := metav1.LabelSelectorAsSelector(w.selector)
		return err == nil && !selector.Empty() && selector.Matches(labels.Set(podLabels))
	case w.template != nil && len(w.template.Labels) > 0:
		return SelectorMatches(w.template.Labels, podLabels)
	}
	return false
}

// podsOf returns the pods of an owner, through the ReplicaSets and Jobs in between.
func (r *resolver) podsOf(w *ownerView) []podView {
	direct := []*ownerView{w}
	for _, child := range r.owners {
		if child != w && len(child.parents) > 0 && w.controls(child.parents, nil) {
			direct = append(direct, child)
		}
	}
	var out []podView
	for _, p := range r.pods {
		for _, owner := range direct {
			if owner.controls(p.owners, p.template.Labels) || owner == w && r.controlsByName(w, p) {
				out = append(out, p)
				break
			}
		}
	}
	return out
}

// controlsByName is for a pod whose owner, a ReplicaSet of this Deployment or a Job of
// this CronJob, was not read itself: kubectl get pods,deployments gives that.
func (r *resolver) controlsByName(w *ownerView, p podView) bool {
	between, group := "ReplicaSet", GroupApps
	switch w.object.Kind {
	case "CronJob":
		between, group = "Job", GroupBatch
	case "Deployment":
	default:
		return false
	}
	for _, ref := range p.owners {
		hash, cut := strings.CutPrefix(ref.Name, w.object.Name+"-")
		if ref.Kind == between && cut && !strings.Contains(hash, "-") &&
			r.snap.Find(group, between, r.namespace, ref.Name) == nil && (w.selector == nil || w.selects(p.template.Labels)) {
			return true
		}
	}
	return false
}

// owner resolves what makes pods: its pods in groups, or its template.
func (r *resolver) owner(o *Object) ([]Workload, error) {
	for _, w := range r.owners {
		if w.object == o {
			return r.ownerWorkloads(w)
		}
	}
	return nil, &InputError{
		File: o.Position.File, Line: o.Position.Line, Object: o.Ref().String(), Problem: "makes no pods",
		Hint: typesHint(),
	}
}

func (r *resolver) ownerWorkloads(w *ownerView) ([]Workload, error) {
	if pods := r.podsOf(w); len(pods) > 0 {
		return r.group(w.object, pods), nil
	}
	if w.template == nil {
		return nil, &InputError{
			File: w.object.Position.File, Line: w.object.Position.Line, Object: w.object.Ref().String(),
			Field: "spec.template", Problem: "has no pods and no pod template, so nothing is known of its pods",
			Hint: "add the pod template, or name a pod",
		}
	}
	out := podView{template: w.template}.workload(w.object)
	out.FromTemplate = true
	out.Labels = r.snap.injected(out)
	return []Workload{out}, nil
}

// pod resolves a pod, which may be one that answers no more requests.
func (r *resolver) pod(o *Object) ([]Workload, error) {
	for _, p := range r.pods {
		if p.object == o {
			return r.group(o, []podView{p}), nil
		}
	}
	return nil, &InputError{
		File: o.Position.File, Line: o.Position.Line, Object: o.Ref().String(),
		Problem: "has completed or is being deleted, so it answers no requests",
		Hint:    "name a pod that runs, or the workload that it belongs to",
	}
}
