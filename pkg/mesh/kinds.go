package mesh

import "strings"

// Groups of the API that the code speaks of.
const (
	GroupCore       = ""
	GroupApps       = "apps"
	GroupBatch      = "batch"
	GroupSecurity   = "security.istio.io"
	GroupNetworking = "networking.istio.io"
	GroupExtensions = "extensions.istio.io"
	GroupTelemetry  = "telemetry.istio.io"
	GroupGateway    = "gateway.networking.k8s.io"
	GroupASM        = "istio.alibabacloud.com"
)

// scope says whether objects of a kind live in a namespace.
type scope bool

const (
	namespaced scope = true
	cluster    scope = false
)

// knownKinds are the kinds whose meaning, or lack of one, for a request is known.
// It is never written to.
var knownKinds = map[string]map[string]scope{
	GroupCore: {
		"Pod": namespaced, "Service": namespaced, "ConfigMap": namespaced, "Secret": namespaced,
		"ServiceAccount": namespaced, "Endpoints": namespaced, "ReplicationController": namespaced,
		"PersistentVolumeClaim": namespaced, "LimitRange": namespaced, "ResourceQuota": namespaced,
		"Event": namespaced, "PodTemplate": namespaced,
		"Namespace": cluster, "Node": cluster, "PersistentVolume": cluster,
	},
	GroupApps: {
		"Deployment": namespaced, "StatefulSet": namespaced, "DaemonSet": namespaced,
		"ReplicaSet": namespaced, "ControllerRevision": namespaced,
	},
	GroupBatch:            {"Job": namespaced, "CronJob": namespaced},
	"autoscaling":         {"HorizontalPodAutoscaler": namespaced},
	"policy":              {"PodDisruptionBudget": namespaced, "PodSecurityPolicy": cluster},
	"discovery.k8s.io":    {"EndpointSlice": namespaced},
	"coordination.k8s.io": {"Lease": namespaced},
	"events.k8s.io":       {"Event": namespaced},
	"networking.k8s.io":   {"NetworkPolicy": namespaced, "Ingress": namespaced, "IngressClass": cluster},
	"rbac.authorization.k8s.io": {
		"Role": namespaced, "RoleBinding": namespaced, "ClusterRole": cluster, "ClusterRoleBinding": cluster,
	},
	"apiextensions.k8s.io":   {"CustomResourceDefinition": cluster},
	"apiregistration.k8s.io": {"APIService": cluster},
	"admissionregistration.k8s.io": {
		"ValidatingWebhookConfiguration": cluster, "MutatingWebhookConfiguration": cluster,
		"ValidatingAdmissionPolicy": cluster, "ValidatingAdmissionPolicyBinding": cluster,
		"MutatingAdmissionPolicy": cluster, "MutatingAdmissionPolicyBinding": cluster,
	},
	"scheduling.k8s.io":   {"PriorityClass": cluster},
	"storage.k8s.io":      {"StorageClass": cluster, "CSIDriver": cluster},
	"node.k8s.io":         {"RuntimeClass": cluster},
	"certificates.k8s.io": {"CertificateSigningRequest": cluster},
	GroupSecurity: {
		"AuthorizationPolicy": namespaced, "RequestAuthentication": namespaced, "PeerAuthentication": namespaced,
	},
	GroupNetworking: {
		"Gateway": namespaced, "VirtualService": namespaced, "ServiceEntry": namespaced, "DestinationRule": namespaced,
		"Sidecar": namespaced, "EnvoyFilter": namespaced, "WorkloadEntry": namespaced, "WorkloadGroup": namespaced,
		"ProxyConfig": namespaced,
	},
	GroupExtensions: {"WasmPlugin": namespaced},
	GroupTelemetry:  {"Telemetry": namespaced},
	GroupGateway: {
		"Gateway": namespaced, "HTTPRoute": namespaced, "GRPCRoute": namespaced, "TCPRoute": namespaced,
		"TLSRoute": namespaced, "UDPRoute": namespaced, "ReferenceGrant": namespaced, "BackendTLSPolicy": namespaced,
		"ListenerSet": namespaced, "GatewayClass": cluster,
	},
	GroupASM: {"IstioGateway": namespaced, "ASMMeshConfig": cluster},
}

// isNamespaced reports whether objects of the kind live in a namespace. Kinds
// that are not known do, as most custom resources do.
func isNamespaced(group, kind string) bool {
	s, known := knownKinds[group][kind]
	return !known || s == namespaced
}

// isKnown reports whether the kind is one of those that the tool knows.
func isKnown(group, kind string) bool {
	_, known := knownKinds[group][kind]
	return known
}

// isMeshGroup reports whether objects of the group configure the mesh itself.
func isMeshGroup(group string) bool {
	return strings.HasSuffix(group, ".istio.io") || group == GroupASM
}
