package mesh

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// ProxyContainerName is what the injector calls the proxy's container.
const ProxyContainerName = "istio-proxy"

// Workload is a group of pods of one target that are alike in what decides about a
// request, or the pod template of a target that has no pods.
type Workload struct {
	// Ref is the object that the pods belong to; of a Service, the workload that it selects.
	Ref       origin.Ref
	Namespace string
	// Labels and Annotations are those of the pods (without the labels that differ from
	// one revision of a template to the next), or of the template.
	Labels         map[string]string
	Annotations    map[string]string
	ServiceAccount string // "default" where none is named
	Containers     []Container
	Pods           []string // names, sorted
	PodIPs         []string // of Pods, in the same order; empty where not known
	FromTemplate   bool     // there are no pods: this is the template
	HostNetwork    bool
	Created        int64 // of the owner, seconds since the epoch
}

// Container is a container of a pod, in the order of the pod; init containers first.
type Container struct {
	Name          string
	Image         string
	Init          bool
	RestartPolicy string // "Always" makes an init container a native sidecar
	Ports         []ContainerPort
	Args          []string
	Env           map[string]string // only the variables with a literal value
	Probes        []Probe
}

// ContainerPort is a port that a container declares.
type ContainerPort struct {
	Name     string
	Number   int
	Protocol string // TCP where none is written
}

// ProxyContainer returns the proxy's container: one named istio-proxy, which is not an
// init container unless it is a native sidecar.
func (w Workload) ProxyContainer() (Container, bool) {
	for _, c := range w.Containers {
		if c.Name == ProxyContainerName && (!c.Init || c.native()) {
			return c, true
		}
	}
	return Container{}, false
}

// HasSidecar reports whether a proxy's container is there, in the pods or already in
// the template. A template that is injected later has none: see InjectionEnabled.
func (w Workload) HasSidecar() bool {
	_, found := w.ProxyContainer()
	return found
}

// PortByName returns the number of a container's port of that name and protocol: of the
// containers in their order, then of native sidecars
// (Istio pilot/pkg/serviceregistry/kube/controller/util.go:FindPort).
func (w Workload) PortByName(name, protocol string) (int, bool) {
	for _, init := range []bool{false, true} {
		for _, c := range w.Containers {
			if c.Init != init || init && !c.native() {
				continue
			}
			for _, p := range c.Ports {
				if p.Name == name && p.Protocol == protocol {
					return p.Number, true
				}
			}
		}
	}
	return 0, false
}

// native reports whether an init container runs on beside the others.
func (c Container) native() bool {
	return c.RestartPolicy == string(corev1.ContainerRestartPolicyAlways)
}

// SelectorMatches reports whether every pair of the selector is among the labels. An
// empty selector matches everything; what that means is the caller's to know: a
// policy without selector takes every workload, a Service without one none.
func SelectorMatches(selector, labels map[string]string) bool {
	for key, want := range selector {
		if got, found := labels[key]; !found || got != want {
			return false
		}
	}
	return true
}

// LabelSelector is Kubernetes' selector with labels and expressions.
type LabelSelector = metav1.LabelSelector

// LabelSelectorMatches reports whether the selector takes the labels; one that cannot be
// read takes none.
func LabelSelectorMatches(selector *LabelSelector, have map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(have))
}

// ValidLabelSelector reports whether a selector can be read.
func ValidLabelSelector(selector *LabelSelector) bool {
	_, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil
}

// LabelRequirement is an expression of a selector.
func LabelRequirement(key, operator string, values []string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: values}
}
