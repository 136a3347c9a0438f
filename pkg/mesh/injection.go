package mesh

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Labels and annotations that the sidecar injector reads.
const (
	labelInject    = "sidecar.istio.io/inject"
	labelInjection = "istio-injection"
	labelRevision  = "istio.io/rev"
)

// neverInjected are namespaces of Kubernetes' own (Istio pkg/kube/inject/initializer.go:IgnoredNamespaces).
// It is never written to.
var neverInjected = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// InjectionEnabled reports whether the injector puts a sidecar into new pods of the
// workload, as far as labels tell: known is false where it hangs on the labels of a
// Namespace that was not read. The rules are those of the webhooks that Istio installs,
// manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml, and of
// pkg/kube/inject/inject.go:injectRequired with the default policy.
func (s *Snapshot) InjectionEnabled(w Workload) (enabled, known bool, why string) {
	if w.HostNetwork {
		return false, true, "pods with hostNetwork are not injected"
	}
	if slices.Contains(neverInjected, w.Namespace) {
		return false, true, "pods of Namespace " + w.Namespace + " are never injected"
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

// injected gives a template the labels that the injector gives the pods made of it, where
// they do not have them already (manifests/charts/istio-control/istio-discovery/files/
// injection-template.yaml and gateway-injection-template.yaml): policies may select by them.
func (s *Snapshot) injected(w Workload) map[string]string {
	if enabled, known, _ := s.InjectionEnabled(w); known && !enabled || !known && w.HasSidecar() {
		return w.Labels
	}
	out := maps.Clone(w.Labels)
	if out == nil {
		out = map[string]string{}
	}
	first := func(otherwise string, keys ...string) string {
		for _, key := range keys {
			if v := w.Labels[key]; v != "" {
				return v
			}
		}
		return otherwise
	}
	const name, revision, tls = "service.istio.io/canonical-name", "service.istio.io/canonical-revision", "security.istio.io/tlsMode"
	out[name] = first(w.Ref.Name, name, "app.kubernetes.io/name", "app")
	out[revision] = first("latest", revision, "app.kubernetes.io/version", "version")
	if !strings.Contains(w.Annotations["inject.istio.io/templates"], "gateway") {
		out[tls] = first("istio", tls)
	}
	return out
}
