package mesh

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Service is a Kubernetes Service that selects a workload.
type Service struct {
	Ref       origin.Ref
	Namespace string
	Name      string
	Selector  map[string]string
	Type      string // ClusterIP where none is written
	ClusterIP string // "None" for a headless Service; empty where not assigned yet
	Ports     []ServicePort
	Labels    map[string]string
	Created   int64
	// ExternalIPs, LoadBalancerIPs and LoadBalancerHosts are the addresses outside.
	ExternalIPs       []string
	LoadBalancerIPs   []string
	LoadBalancerHosts []string
	Annotations       map[string]string
}

// Age is when the Service was created, for putting Services in order: see Object.Age.
func (s *Service) Age() int64 { return age(s.Created) }

// ServicePort is a port of a Service, resolved for one workload.
type ServicePort struct {
	Name        string
	Port        int
	TargetPort  int // of the workload; 0: a named port that the workload does not have
	TargetName  string
	NodePort    int
	AppProtocol string
	Protocol    string // TCP where none is written
}

// ServicesOf returns the Services of the workload's namespace that select it, sorted by
// name, with their target ports as this workload has them.
func (s *Snapshot) ServicesOf(w Workload) ([]Service, error) {
	var out []Service
	for _, o := range s.InNamespace(GroupCore, "Service", w.Namespace) {
		var svc corev1.Service
		if err := o.Decode(&svc); err != nil {
			return nil, err
		}
		if len(svc.Spec.Selector) == 0 || !SelectorMatches(svc.Spec.Selector, w.Labels) {
			continue
		}
		out = append(out, serviceFor(o, &svc, w))
	}
	slices.SortFunc(out, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func serviceFor(o *Object, svc *corev1.Service, w Workload) Service {
	out := Service{
		Ref: o.Ref(), Namespace: o.Namespace, Name: o.Name, Selector: svc.Spec.Selector,
		Type: string(svc.Spec.Type), ClusterIP: svc.Spec.ClusterIP, Labels: o.Labels, Annotations: o.Annotations,
		Created: o.Created, ExternalIPs: svc.Spec.ExternalIPs,
	}
	if out.Type == "" {
		out.Type = string(corev1.ServiceTypeClusterIP)
	}
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			out.LoadBalancerIPs = append(out.LoadBalancerIPs, in.IP)
		}
		if in.Hostname != "" {
			out.LoadBalancerHosts = append(out.LoadBalancerHosts, in.Hostname)
		}
	}
	for _, p := range svc.Spec.Ports {
		port := ServicePort{
			Name: p.Name, Port: int(p.Port), NodePort: int(p.NodePort), Protocol: string(p.Protocol),
		}
		if port.Protocol == "" {
			port.Protocol = string(corev1.ProtocolTCP)
		}
		if p.AppProtocol != nil {
			port.AppProtocol = *p.AppProtocol
		}
		switch {
		case p.TargetPort.Type == intstr.String && p.TargetPort.StrVal != "":
			port.TargetName = p.TargetPort.StrVal
			port.TargetPort, _ = w.PortByName(port.TargetName, port.Protocol)
		case p.TargetPort.IntVal != 0:
			port.TargetPort = int(p.TargetPort.IntVal)
		default:
			port.TargetPort = port.Port
		}
		out.Ports = append(out.Ports, port)
	}
	return out
}
