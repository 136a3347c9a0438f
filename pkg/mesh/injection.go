package mesh

import "strconv"

// Labels and annotations that the sidecar injector reads.
const (
	labelInject    = "sidecar.istio.io/inject"
	labelInjection = "istio-injection"
	labelRevision  = "istio.io/rev"
)

// InjectionEnabled reports whether the injector puts a sidecar into new pods of the
// workload, as far as labels tell: known is false where it hangs on the labels of a
// Namespace that was not read. The rules are those of the webhooks that Istio installs,
// manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml, and of
// pkg/kube/inject/inject.go:injectRequired with the default policy.
func (s *Snapshot) InjectionEnabled(w Workload) (enabled, known bool, why string) {
	if w.HostNetwork {
		return false, true, "pods with hostNetwork are not injected"
	}
	label, labelled := w.Labels[labelInject]
	if labelled && label == "false" {
		return false, true, "the pods have the label " + labelInject + "=false"
	}
	if value := w.Annotations[labelInject]; !labelled && value == "false" {
		return false, true, "the pods have the annotation " + labelInject + "=false"
	}
	ns := s.Find(GroupCore, "Namespace", "", w.Namespace)
	if ns == nil {
		return false, false, "Namespace " + w.Namespace + " is not among what was read, so its labels are not known"
	}
	if value, set := ns.Labels[labelInjection]; set {
		return value == "enabled", true, "Namespace " + w.Namespace + " has the label " + labelInjection + "=" + strconv.Quote(value)
	}
	if rev, set := ns.Labels[labelRevision]; set {
		return true, true, "Namespace " + w.Namespace + " has the label " + labelRevision + "=" + strconv.Quote(rev)
	}
	if rev, set := w.Labels[labelRevision]; set {
		return true, true, "the pods have the label " + labelRevision + "=" + strconv.Quote(rev)
	}
	if label == "true" {
		return true, true, "the pods have the label " + labelInject + "=true"
	}
	return false, true, "Namespace " + w.Namespace + " has neither the label " + labelInjection + " nor " + labelRevision
}
