package run

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	networkingclient "istio.io/client-go/pkg/apis/networking/v1"
	kubelib "istio.io/istio/pkg/kube"
)

// Names of the Gateway API (istio.io/api/label and pkg/config/constants).
const (
	gatewayGroup    = "gateway.networking.k8s.io"
	gatewayName     = gatewayGroup + "/gateway-name"
	gatewayClass    = gatewayGroup + "/gateway-class-name"
	gatewayManaged  = "gateway.istio.io/managed"
	classWaypoint   = "istio-waypoint"
	useWaypoint     = "istio.io/use-waypoint"
	useWaypointIn   = useWaypoint + "-namespace"
	controllerLabel = "istio.io-gateway-controller"
	meshLabel       = "istio.io-mesh-controller"
)

// kubeObjects are the objects that istiod reads through Kubernetes' clients rather
// than its own store: what the Gateway API's controller and the index of the ambient
// mesh look at.
func (m *manifest) kubeObjects() ([]runtime.Object, error) {
	decode := kubelib.IstioCodec.UniversalDeserializer().Decode
	var out []runtime.Object
	for i, raw := range m.kube {
		o, _, err := decode(raw, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("read an object as Kubernetes' clients do: %w", err)
		}
		object := o.(metav1.Object)
		if object.GetNamespace() == "" && !strings.HasPrefix(m.kubeKinds[i], "Namespace") && m.kubeKinds[i] != "GatewayClass" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		if created := object.GetCreationTimestamp(); created.IsZero() {
			object.SetCreationTimestamp(metav1.NewTime(youngest))
		}
		if gw, ok := o.(*gatewayv1.Gateway); ok {
			ready(gw)
		}
		out = append(out, o)
	}
	return out, nil
}

// isKube says whether istiod reads a kind through Kubernetes' clients.
func isKube(group, kind string) bool {
	switch group + "/" + kind {
	case "/Service", "/Namespace", "/Secret", "networking.istio.io/ServiceEntry":
		return true
	}
	return group == gatewayGroup
}

// inStoredVersion names the version that istiod asks for, as an API server answers
// in it whatever version an object was written in.
func inStoredVersion(gvk schema.GroupVersionKind, raw []byte) []byte {
	version := "v1"
	if gvk.Group != gatewayGroup || gvk.Version == version {
		return raw
	}
	if gvk.Kind == "ReferenceGrant" {
		version = "v1beta1"
	}
	object := map[string]any{}
	if json.Unmarshal(raw, &object) != nil {
		return raw
	}
	object["apiVersion"] = gatewayGroup + "/" + version
	out, err := json.Marshal(object)
	if err != nil {
		return raw
	}
	return out
}

// ready gives a Gateway the address that it has once its pods run.
func ready(gw *gatewayv1.Gateway) {
	if len(gw.Status.Addresses) > 0 {
		return
	}
	kind, name := gatewayv1.HostnameAddressType, deploymentOf(gw)
	gw.Status.Addresses = []gatewayv1.GatewayStatusAddress{{Type: &kind, Value: name + "." + gw.Namespace + ".svc." + domainSuffix}}
}

// deploymentOf is what the controller calls the Deployment and the Service of a
// Gateway (pilot/pkg/config/kube/gatewaycommon/deploymentcontroller.go).
func deploymentOf(gw *gatewayv1.Gateway) string {
	if name := gw.Annotations["gateway.istio.io/name-override"]; name != "" {
		return name
	}
	if gw.Spec.GatewayClassName == classWaypoint {
		return gw.Name
	}
	return gw.Name + "-" + string(gw.Spec.GatewayClassName)
}

// gatewayWorkload is the workload of a Gateway: that which carries its label, or the
// one that istiod's controller makes, with its Service (files kube-gateway.yaml and
// waypoint.yaml of Istio's chart istio-discovery).
func (m *manifest) gatewayWorkload(name, namespace string) (*workload, error) {
	objects, err := m.kubeObjects()
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(objects, func(o runtime.Object) bool {
		gw, ok := o.(*gatewayv1.Gateway)
		return ok && gw.Name == name && gw.Namespace == namespace
	})
	if at < 0 {
		return nil, fmt.Errorf("no gateway/%s in namespace %s of the mesh", name, namespace)
	}
	gw := objects[at].(*gatewayv1.Gateway)
	w := &workload{name: deploymentOf(gw), namespace: namespace, gateway: true, gatewayName: name}
	w.waypoint = gw.Spec.GatewayClassName == classWaypoint
	found := false
	for key, pod := range m.workloads {
		if key.namespace == namespace && pod.Labels[gatewayName] == name {
			w.name, w.pod, found = key.name, pod, true
		}
	}
	if !found {
		w.pod = gatewayPod(gw)
	}
	if !slices.ContainsFunc(m.services, func(s corev1.Service) bool { return s.Name == deploymentOf(gw) && s.Namespace == namespace }) {
		svc := gatewayService(gw)
		for _, o := range objects {
			if set, ok := o.(*gatewayv1.ListenerSet); ok && string(set.Spec.ParentRef.Name) == name {
				for _, l := range set.Spec.Listeners {
					withPort(&svc, string(l.Name), l.Port)
				}
			}
		}
		m.addService(svc)
	}
	return w, nil
}

// gatewayPod is the template of a Gateway's pods.
func gatewayPod(gw *gatewayv1.Gateway) corev1.PodTemplateSpec {
	name, managed := deploymentOf(gw), controllerLabel
	labels := map[string]string{
		"sidecar.istio.io/inject": "false", "service.istio.io/canonical-name": name, "service.istio.io/canonical-revision": "latest",
	}
	own, annotations := gw.Labels, gw.Annotations
	if i := gw.Spec.Infrastructure; i != nil && i.Labels != nil {
		own = map[string]string{}
		for k, v := range i.Labels {
			own[string(k)] = string(v)
		}
	}
	if i := gw.Spec.Infrastructure; i != nil && i.Annotations != nil {
		annotations = map[string]string{}
		for k, v := range i.Annotations {
			annotations[string(k)] = string(v)
		}
	}
	maps.Copy(labels, own)
	if gw.Spec.GatewayClassName == classWaypoint {
		managed = meshLabel
		labels["istio.io/dataplane-mode"] = "none"
	}
	maps.Copy(labels, map[string]string{gatewayName: gw.Name, gatewayClass: string(gw.Spec.GatewayClassName), gatewayManaged: managed})
	account := name
	if a := gw.Annotations["gateway.istio.io/service-account"]; a != "" {
		account = a
	} else if gw.Annotations["gateway.istio.io/name-override"] != "" && gw.Spec.GatewayClassName != classWaypoint {
		account = gw.Name + "-" + string(gw.Spec.GatewayClassName)
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: maps.Clone(annotations)},
		Spec:       corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{Name: "istio-proxy"}}},
	}
}

// gatewayService has a port for each listener's.
func gatewayService(gw *gatewayv1.Gateway) corev1.Service {
	svc := corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: deploymentOf(gw), Namespace: gw.Namespace, Labels: map[string]string{gatewayName: gw.Name}},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", Selector: map[string]string{gatewayName: gw.Name}},
	}
	svc.CreationTimestamp = metav1.NewTime(youngest)
	for _, l := range gw.Spec.Listeners {
		withPort(&svc, string(l.Name), l.Port)
	}
	return svc
}

// withPort gives a Service a port, unless it has it.
func withPort(svc *corev1.Service, name string, number int32) {
	if !slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == number }) {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: name, Port: number, Protocol: corev1.ProtocolTCP})
	}
}

// addService adds a Service that nobody wrote.
func (m *manifest) addService(svc corev1.Service) {
	m.services = append(m.services, svc)
	raw, err := json.Marshal(svc)
	if err != nil {
		panic(err) // a struct of Kubernetes' always has a JSON form
	}
	m.kube, m.kubeKinds = append(m.kube, raw), append(m.kubeKinds, "Service")
}

// fronted is the workload of the waypoint in front of a Service, nil where no label
// names one. Whether the waypoint takes the Service is istiod's to say.
func (m *manifest) fronted(name, namespace string) (*workload, error) {
	for _, svc := range m.services {
		if svc.Name != name || svc.Namespace != namespace {
			continue
		}
		labels := svc.Labels
		if labels[useWaypoint] == "" {
			labels = m.namespaces[namespace]
		}
		waypoint, in := labels[useWaypoint], namespace
		if waypoint == "" || waypoint == "none" {
			return nil, nil
		}
		if over := labels[useWaypointIn]; over != "" {
			in = over
		}
		w, err := m.gatewayWorkload(waypoint, in)
		if err != nil {
			return nil, err
		}
		w.address, err = addressOf(svc.Spec.ClusterIP)
		return w, err
	}
	return nil, fmt.Errorf("no svc/%s in namespace %s of the mesh", name, namespace)
}

func addressOf(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, fmt.Errorf("a Service behind a waypoint needs a clusterIP: %w", err)
	}
	return a, nil
}

// frontedHost finds the address of what the host names, for a question to a waypoint:
// a Service by its full name, or a ServiceEntry.
func (m *manifest) frontedHost(host string) (netip.Addr, error) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	for _, svc := range m.services {
		if host == svc.Name+"."+svc.Namespace+".svc."+domainSuffix {
			return addressOf(svc.Spec.ClusterIP)
		}
	}
	objects, err := m.kubeObjects()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, o := range objects {
		se, ok := o.(*networkingclient.ServiceEntry)
		if ok && slices.Contains(se.Spec.GetHosts(), strings.ToLower(host)) && len(se.Spec.GetAddresses()) > 0 {
			return addressOf(se.Spec.GetAddresses()[0])
		}
	}
	return netip.Addr{}, fmt.Errorf("no Service or ServiceEntry %s with an address", strconv.Quote(host))
}
