package diagnose

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// ingressUseWaypoint sends what comes in through a gateway to the waypoint too.
const ingressUseWaypoint = "istio.io/ingress-use-waypoint"

// resolve finds the workloads that answer for the target. For a Service behind a
// waypoint that is the waypoint: requests of clients in the mesh go there first.
func resolve(in Intent, snap *mesh.Snapshot) ([]mesh.Workload, error) {
	if in.Target.Type == mesh.TypeService {
		if o := snap.Find(mesh.GroupCore, "Service", in.Namespace, in.Target.Name); o != nil && !passesWaypoints(in, snap, o) {
			if gateway, _ := istio.WaypointOf(snap, o); gateway != nil {
				return snap.Resolve(mesh.Target{Type: mesh.TypeGateway, Name: gateway.Name}, gateway.Namespace)
			}
		}
	}
	return snap.Resolve(in.Target, in.Namespace)
}

// passesWaypoints reports whether the client goes to the pods of a Service without a
// look at its waypoint: one outside the mesh does, and a gateway that was not told
// otherwise (Istio pilot/pkg/networking/core/waypoint.go, label istio.io/ingress-use-waypoint).
func passesWaypoints(in Intent, snap *mesh.Snapshot, service *mesh.Object) bool {
	who := in.Caller
	if who.Plaintext {
		return true
	}
	if who.From == (mesh.Target{}) {
		return false
	}
	groups, err := snap.Resolve(who.From, fromNamespace(in))
	if err != nil {
		return false // said where the caller is looked at
	}
	switch istio.RoleOf(snap, groups[0]) {
	case envoy.RoleNone:
		return true
	case envoy.RoleGateway:
		value, own := service.Labels[ingressUseWaypoint]
		if ns := snap.Find(mesh.GroupCore, "Namespace", "", service.Namespace); !own && ns != nil {
			value = ns.Labels[ingressUseWaypoint]
		}
		return value != "true"
	default:
		return false
	}
}

func fromNamespace(in Intent) string {
	if in.Caller.FromNamespace != "" {
		return in.Caller.FromNamespace
	}
	return in.Namespace
}

// chooseFronted finds the Service behind the waypoint that the question is about, and
// its ports.
func chooseFronted(in Intent, all []istio.PortInfo) ([]istio.PortInfo, error) {
	ports, err := portsOfFronted(in, all)
	if err != nil {
		return nil, err
	}
	if in.Port.IsZero() {
		http := slices.DeleteFunc(slices.Clone(ports), func(p istio.PortInfo) bool { return p.Protocol == istio.ProtocolTCP })
		if len(http) > 0 {
			return http, nil
		}
		if len(ports) == 0 {
			return nil, &PortsError{Target: in.Target.String()}
		}
		return ports, nil
	}
	for _, p := range ports {
		if p.Number == in.Port.Number && in.Port.Number != 0 || in.Port.Name != "" && p.Services[0].Name == in.Port.Name {
			return []istio.PortInfo{p}, nil
		}
	}
	given := in.Port.Name
	if given == "" {
		given = strconv.Itoa(in.Port.Number)
	}
	return nil, &PortsError{Target: in.Target.String(), Candidates: ports, Given: given}
}

func portsOfFronted(in Intent, all []istio.PortInfo) ([]istio.PortInfo, error) {
	var hosts []string
	var named, asked []istio.PortInfo
	for _, p := range all {
		f := p.Fronted
		if !slices.Contains(hosts, f.Host) {
			hosts = append(hosts, f.Host)
		}
		if f.Ref.Kind == "Service" && f.Namespace == in.Namespace && f.Name == in.Target.Name {
			named = append(named, p)
		}
		if isHostOf(f, in.Host) {
			asked = append(asked, p)
		}
	}
	switch {
	case in.Target.Type == mesh.TypeService:
		return named, nil
	case len(asked) > 0:
		return asked, nil
	case len(hosts) > 1:
		return nil, &mesh.TargetError{Given: in.Target.String(), Problem: "is a waypoint in front of several Services", Hint: "say which with --host: " + strings.Join(hosts, ", ")}
	case len(hosts) == 0:
		return nil, &mesh.TargetError{
			Given: in.Target.String(), Problem: "is a waypoint in front of nothing that was read",
			Hint: "give the Services too, and the labels istio.io/use-waypoint on them or their Namespace",
		}
	default:
		return all, nil
	}
}

// isHostOf reports whether a host, with or without a port, is one of the names of
// what a waypoint fronts.
func isHostOf(f *istio.Fronted, host string) bool {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	if host == strings.ToLower(f.Host) {
		return true
	}
	return f.Ref.Kind == "Service" && (host == f.Name || host == f.Name+"."+f.Namespace || host == f.Name+"."+f.Namespace+".svc")
}

// frontedIP is the address of the Service that a waypoint is asked for, where it has one.
func frontedIP(f *istio.Fronted) envoy.Fact[netip.Addr] {
	if len(f.Addresses) == 1 {
		return envoy.Known(f.Addresses[0])
	}
	return envoy.NotKnown[netip.Addr](serviceMissing)
}

var serviceMissing = &envoy.Missing{What: "the address of the Service", Why: "it is not among the objects, or it has several"}
