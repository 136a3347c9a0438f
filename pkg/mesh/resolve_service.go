package mesh

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// service resolves a Service through its selector.
func (r *resolver) service(o *Object) ([]Workload, error) {
	var svc corev1.Service
	if err := o.Decode(&svc); err != nil {
		return nil, err
	}
	if len(svc.Spec.Selector) == 0 {
		return nil, &InputError{
			File: o.Position.File, Line: o.Line("spec.selector"), Object: o.Ref().String(), Field: "spec.selector",
			Problem: "is empty: the Service selects no pods, so its endpoints are somebody else's",
			Hint:    "name the workload itself, such as deploy/NAME",
		}
	}
	return r.selected(o, svc.Spec.Selector)
}

// istioGateway resolves ASM's gateway object, whose Deployment has the same name or the
// name with the prefix istio-, or carries the pod labels that it asks for.
func (r *resolver) istioGateway(o *Object) ([]Workload, error) {
	for _, name := range []string{o.Name, "istio-" + o.Name} {
		for _, w := range r.owners {
			if w.object.Kind == "Deployment" && w.object.Name == name {
				return r.ownerWorkloads(w)
			}
		}
	}
	var gw struct {
		Spec struct {
			PodLabels map[string]string `json:"podLabels"`
		} `json:"spec"`
	}
	if err := o.Decode(&gw); err != nil {
		return nil, err
	}
	if len(gw.Spec.PodLabels) > 0 {
		return r.selected(o, gw.Spec.PodLabels)
	}
	return nil, r.noWorkload(o, "no Deployment of its name was read")
}

// selected resolves a selector to the workloads whose pods it takes; workloads without
// pods count by their template.
func (r *resolver) selected(o *Object, selector map[string]string) ([]Workload, error) {
	var out []Workload
	taken := map[*Object]bool{}
	for _, w := range r.topOwners() {
		all := r.podsOf(w)
		for _, p := range all {
			taken[p.object] = true
		}
		pods := slices.DeleteFunc(slices.Clone(all), func(p podView) bool {
			return !SelectorMatches(selector, p.template.Labels)
		})
		switch {
		case len(pods) > 0:
			out = append(out, r.group(w.object, pods)...)
		case len(all) == 0 && w.template != nil && SelectorMatches(selector, w.template.Labels):
			templated, err := r.ownerWorkloads(w)
			if err != nil {
				return nil, err
			}
			out = append(out, templated...)
		}
	}
	for _, p := range r.pods {
		if !taken[p.object] && SelectorMatches(selector, p.template.Labels) {
			out = append(out, r.group(p.object, []podView{p})...)
		}
	}
	if len(out) == 0 {
		return nil, r.noWorkload(o, "selects no pod and no pod template of what was read")
	}
	return out, nil
}

func (r *resolver) noWorkload(o *Object, problem string) error {
	return &InputError{
		File: o.Position.File, Line: o.Position.Line, Object: o.Ref().String(), Problem: problem,
		Hint: "give the manifest of its Deployment or pods too, or name the workload itself, such as deploy/NAME",
	}
}

// topOwners are the owners that nobody else who was read owns.
func (r *resolver) topOwners() []*ownerView {
	var out []*ownerView
	for _, w := range r.owners {
		owned := slices.ContainsFunc(r.owners, func(parent *ownerView) bool {
			return parent != w && len(w.parents) > 0 && parent.controls(w.parents, nil)
		})
		if !owned {
			out = append(out, w)
		}
	}
	return out
}

// group puts pods together that are alike in what decides.
func (r *resolver) group(owner *Object, pods []podView) []Workload {
	slices.SortFunc(pods, func(a, b podView) int { return strings.Compare(a.object.Name, b.object.Name) })
	var out []Workload
	for _, p := range pods {
		w := p.workload(owner)
		w.Labels = r.stableLabels(w.Labels)
		at := slices.IndexFunc(out, func(have Workload) bool { return alike(have, w) })
		if at < 0 {
			out = append(out, w)
			at = len(out) - 1
		}
		out[at].Pods = append(out[at].Pods, p.object.Name)
		out[at].PodIPs = append(out[at].PodIPs, p.ip)
	}
	slices.SortStableFunc(out, func(a, b Workload) int { return cmp.Compare(len(b.Pods), len(a.Pods)) })
	return out
}

// volatileLabels differ from pod to pod, or from one revision of a template to the
// next. It is never written to.
var volatileLabels = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation",
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
	"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name",
	"batch.kubernetes.io/job-completion-index",
}

// stableLabels drops the labels that controllers give each revision or pod, but for
// those that an object of the mesh speaks of: a policy may select a single pod.
func (r *resolver) stableLabels(in map[string]string) map[string]string {
	out := maps.Clone(in)
	for _, key := range volatileLabels {
		if _, set := out[key]; set && !r.snap.meshMentions(key) {
			delete(out, key)
		}
	}
	return out
}

// alike reports whether two pods answer requests alike as far as their objects tell.
func alike(a, b Workload) bool {
	proxyA, hasA := a.ProxyContainer()
	proxyB, hasB := b.ProxyContainer()
	return hasA == hasB && proxyA.Image == proxyB.Image && a.ServiceAccount == b.ServiceAccount &&
		a.HostNetwork == b.HostNetwork && maps.Equal(a.Labels, b.Labels)
}
