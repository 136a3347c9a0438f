package run

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/serviceregistry/kube"
	kubecontroller "istio.io/istio/pilot/pkg/serviceregistry/kube/controller"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/labels"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/spiffe"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

const (
	// podAddress is the address that the workload's Pod has in istiod's eyes.
	podAddress   = "10.10.0.1"
	domainSuffix = "cluster.local"
	clusterID    = cluster.ID("Kubernetes")
	// istioVersion is what the proxy says of itself; no proxy of this istiod is older.
	istioVersion = "1.32.0"
)

// kinds are the short and plural forms of the target's type.
var kinds = map[string]string{
	"deploy": "deployment", "deployment": "deployment", "deployments": "deployment",
	"sts": "statefulset", "statefulset": "statefulset", "statefulsets": "statefulset",
	"ds": "daemonset", "daemonset": "daemonset", "daemonsets": "daemonset",
	"rs": "replicaset", "replicaset": "replicaset", "replicasets": "replicaset",
	"po": "pod", "pod": "pod", "pods": "pod", "job": "job", "jobs": "job",
}

// workload is the Case's target.
type workload struct {
	name, namespace string
	pod             corev1.PodTemplateSpec
	gateway         bool
	// gatewayName is that of the Gateway of the Gateway API that the workload is of.
	gatewayName string
	// waypoint says that it is one of a waypoint; address is then that of the Service
	// that is asked for.
	waypoint bool
	address  netip.Addr
}

// target finds the workload of a Case; of a Service, the waypoint in front of it.
func (m *manifest) target(c *judge.Case) (*workload, error) {
	target, namespace := c.Target, c.Namespace
	kind, name, ok := strings.Cut(target, "/")
	if !ok {
		kind, name = "pod", target
	}
	switch kind {
	case "gateway", "gateways", "gtw":
		w, err := m.gatewayWorkload(name, namespace)
		if err == nil && w.waypoint {
			w.address, err = m.frontedHost(c.Request.Host)
		}
		return w, err
	case "svc", "service", "services":
		w, err := m.fronted(name, namespace)
		if err == nil && w == nil {
			err = fmt.Errorf("%s has no waypoint in front of it", target)
		}
		return w, err
	}
	full := kinds[strings.TrimSuffix(strings.TrimSuffix(kind, ".apps"), ".batch")]
	pod, ok := m.workloads[workloadKey{full, namespace, name}]
	if !ok {
		return nil, fmt.Errorf("no %s in namespace %s of the mesh", target, namespace)
	}
	if gw := pod.Labels[gatewayName]; gw != "" {
		return m.gatewayWorkload(gw, namespace)
	}
	w := &workload{name: name, namespace: namespace, pod: pod}
	w.gateway = m.isGateway(pod)
	return w, nil
}

// isGateway says whether the Pod is a gateway: it runs a router, is labelled like
// one of Istio's own, or a Gateway object selects it.
func (m *manifest) isGateway(pod corev1.PodTemplateSpec) bool {
	for _, c := range pod.Spec.Containers {
		if len(c.Args) > 1 && c.Args[0] == "proxy" && c.Args[1] == "router" {
			return true
		}
	}
	if l := pod.Labels["istio"]; l == "ingressgateway" || l == "egressgateway" {
		return true
	}
	for _, cfg := range m.configs {
		if gw, ok := cfg.Spec.(*networking.Gateway); ok && cfg.GroupVersionKind == gvk.Gateway &&
			len(gw.Selector) > 0 && labels.Instance(gw.Selector).SubsetOf(pod.Labels) {
			return true
		}
	}
	return false
}

func (w *workload) serviceAccount() string {
	if w.pod.Spec.ServiceAccountName != "" {
		return w.pod.Spec.ServiceAccountName
	}
	return "default"
}

// identity is the URI SAN of the workload's certificate.
func (w *workload) identity(cfg *meshconfig.MeshConfig) string {
	return spiffe.MustGenSpiffeURI(cfg, w.namespace, w.serviceAccount())
}

// proxy is the workload's proxy as istiod knows it after it has connected.
func (w *workload) proxy(cfg *meshconfig.MeshConfig) (*model.Proxy, error) {
	pc := proto.Clone(cfg.GetDefaultConfig()).(*meshconfig.ProxyConfig)
	if text := w.pod.Annotations["proxy.istio.io/config"]; text != "" {
		var err error
		if pc, err = mesh.MergeProxyConfig(text, pc); err != nil {
			return nil, fmt.Errorf("annotation proxy.istio.io/config: %w", err)
		}
	}
	mode := model.InterceptionRedirect
	if pc.GetInterceptionMode() == meshconfig.ProxyConfig_NONE || w.pod.Annotations["sidecar.istio.io/interceptionMode"] == "NONE" {
		mode = model.InterceptionNone
	}
	p := &model.Proxy{
		Type:            model.SidecarProxy,
		ID:              w.name + "." + w.namespace,
		IPAddresses:     []string{podAddress},
		DNSDomain:       w.namespace + ".svc." + domainSuffix,
		ConfigNamespace: w.namespace,
		Labels:          maps.Clone(w.pod.Labels),
		VerifiedIdentity: &spiffe.Identity{
			TrustDomain: cfg.GetTrustDomain(), Namespace: w.namespace, ServiceAccount: w.serviceAccount(),
		},
		Metadata: &model.NodeMetadata{
			IstioVersion:     istioVersion,
			Namespace:        w.namespace,
			ServiceAccount:   w.serviceAccount(),
			WorkloadName:     w.name,
			Labels:           maps.Clone(w.pod.Labels),
			Annotations:      maps.Clone(w.pod.Annotations),
			ClusterID:        clusterID,
			InterceptionMode: mode,
			ProxyConfig:      (*model.NodeMetaProxyConfig)(pc),
			InstanceIPs:      []string{podAddress},
		},
	}
	for _, c := range w.pod.Spec.Containers {
		for _, e := range c.Env {
			if e.Name == "ISTIO_META_UNPRIVILEGED_POD" {
				p.Metadata.UnprivilegedPod = e.Value
			}
		}
	}
	if w.gateway {
		p.Type = model.Router
	}
	if w.waypoint {
		p.Type = model.Waypoint
	}
	return p, nil
}

// registry gives the Services as istiod's registry has them, and the workload's
// instances of those that select it.
func (m *manifest) registry(w *workload, cfg *meshconfig.MeshConfig) ([]*model.Service, []*model.ServiceInstance) {
	var (
		services  []*model.Service
		instances []*model.ServiceInstance
	)
	for _, svc := range m.services {
		if svc.CreationTimestamp.IsZero() {
			svc.CreationTimestamp = metav1.NewTime(youngest)
		}
		converted := kube.ConvertService(svc, nil, domainSuffix, clusterID, cfg.GetTrustDomain())
		services = append(services, converted)
		if svc.Namespace != w.namespace || len(svc.Spec.Selector) == 0 ||
			!labels.Instance(svc.Spec.Selector).SubsetOf(w.pod.Labels) {
			continue
		}
		for i, port := range svc.Spec.Ports {
			number, ok := targetPort(port, w.pod.Spec)
			if !ok {
				continue
			}
			instances = append(instances, &model.ServiceInstance{
				Service:     converted,
				ServicePort: converted.Ports[i],
				Endpoint: &model.IstioEndpoint{
					Labels:          w.pod.Labels,
					Addresses:       []string{podAddress},
					ServicePortName: port.Name,
					EndpointPort:    number,
					ServiceAccount:  w.identity(cfg),
					Namespace:       w.namespace,
					WorkloadName:    w.name,
				},
			})
		}
	}
	return services, instances
}

// asEntry is the workload as a WorkloadEntry: how the generator's registry, which
// knows no Pods, learns that ServiceEntries select them. It is only there where one
// has a selector.
func (m *manifest) asEntry(w *workload) []config.Config {
	if !slices.ContainsFunc(m.configs, func(c config.Config) bool {
		se, ok := c.Spec.(*networking.ServiceEntry)
		return ok && c.Namespace == w.namespace && se.GetWorkloadSelector() != nil
	}) {
		return nil
	}
	ports := map[string]uint32{}
	for _, c := range w.pod.Spec.Containers {
		for _, p := range c.Ports {
			if _, had := ports[p.Name]; p.Name != "" && !had {
				ports[p.Name] = uint32(p.ContainerPort)
			}
		}
	}
	return []config.Config{{
		Meta: config.Meta{GroupVersionKind: gvk.WorkloadEntry, Name: "the-pod", Namespace: w.namespace, CreationTimestamp: youngest},
		Spec: &networking.WorkloadEntry{Address: podAddress, Labels: w.pod.Labels, Ports: ports, ServiceAccount: w.serviceAccount()},
	}}
}

// targetPort has istiod resolve a Service's port to that of the Pod, after what an API
// server would have filled in.
func targetPort(port corev1.ServicePort, pod corev1.PodSpec) (uint32, bool) {
	if port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal == 0 {
		return uint32(port.Port), true
	}
	if port.Protocol == "" {
		port.Protocol = corev1.ProtocolTCP
	}
	pod = *pod.DeepCopy()
	for _, containers := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for _, c := range containers {
			for i := range c.Ports {
				if c.Ports[i].Protocol == "" {
					c.Ports[i].Protocol = corev1.ProtocolTCP
				}
			}
		}
	}
	number, err := kubecontroller.FindPort(&corev1.Pod{Spec: pod}, &port)
	return uint32(number), err == nil
}
