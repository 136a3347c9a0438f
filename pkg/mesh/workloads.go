package mesh

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Workloads lists all workloads of a namespace, as groups of pods like Resolve: those
// with pods or a pod template, pods that nobody owns, and the gateways of the Gateway
// API that Istio's controller would make.
func (s *Snapshot) Workloads(namespace string) ([]Workload, error) {
	r := &resolver{snap: s, namespace: namespace}
	if err := r.load(); err != nil {
		return nil, err
	}
	var out []Workload
	taken := map[*Object]bool{}
	for _, w := range r.topOwners() {
		pods := r.podsOf(w)
		for _, p := range pods {
			taken[p.object] = true
		}
		if len(pods) == 0 && w.template == nil {
			continue
		}
		groups, err := r.ownerWorkloads(w)
		if err != nil {
			return nil, err
		}
		out = append(out, groups...)
	}
	for _, p := range r.pods {
		if !taken[p.object] {
			out = append(out, r.group(p.object, []podView{p})...)
		}
	}
	for _, o := range s.InNamespace(GroupGateway, "Gateway", namespace) {
		if slices.ContainsFunc(out, func(w Workload) bool { return w.Labels[labelGatewayName] == o.Name }) {
			continue
		}
		w, ok, err := s.managedGateway(o)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, w)
		}
	}
	return out, nil
}

// Namespaces are those that have objects, sorted.
func (s *Snapshot) Namespaces() []string {
	var out []string
	for key := range s.byNamespace {
		if key.namespace != "" && !slices.Contains(out, key.namespace) {
			out = append(out, key.namespace)
		}
	}
	slices.Sort(out)
	return out
}

// TargetOf is how a user would name the object, such as deploy/httpbin; false where it
// is of no type that can be a target.
func TargetOf(kind, name string) (Target, bool) {
	for _, k := range targetKinds {
		if k.kind == kind {
			return Target{Type: k.plural, Name: name}, true
		}
	}
	return Target{}, false
}

// Probe is a health check of the kubelet that is a request of HTTP.
type Probe struct {
	Path string // as a policy sees it: without the query
	Port string // number, or name of the container's port
	GRPC bool
}

// grpcHealth is the method that gRPC probes call (the gRPC health checking protocol).
const grpcHealth = "/grpc.health.v1.Health/Check"

// probesOf are the probes of a container, each once.
func probesOf(c corev1.Container) []Probe {
	var out []Probe
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		var probe Probe
		switch {
		case p == nil:
			continue
		case p.HTTPGet != nil:
			path, _, _ := strings.Cut(p.HTTPGet.Path, "?")
			probe = Probe{Path: "/" + strings.TrimPrefix(path, "/"), Port: p.HTTPGet.Port.String()}
		case p.GRPC != nil:
			probe = Probe{Path: grpcHealth, Port: strconv.Itoa(int(p.GRPC.Port)), GRPC: true}
		default:
			continue
		}
		if !slices.Contains(out, probe) {
			out = append(out, probe)
		}
	}
	return out
}
