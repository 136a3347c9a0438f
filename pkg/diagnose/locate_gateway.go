package diagnose

import (
	"errors"
	"slices"
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Through is the question for a request that is sent to a gateway: to what its routes
// lead to, with the gateway in front. Where they lead nowhere, or to several places, the
// gateway alone is asked about, and why says so. What is behind it need not have been
// read yet.
func Through(in Intent, gateway Via, snap *mesh.Snapshot) (out Intent, why string, err error) {
	groups, err := snap.Resolve(gateway.Target, gateway.Namespace)
	if err != nil {
		return in, "", err
	}
	g := gatewayAt{target: gateway.Target, namespace: gateway.Namespace, w: groups[0], port: gateway.Port.Number}
	alone := in
	alone.Target, alone.Namespace, alone.Port = g.target, g.namespace, gateway.Port
	found, err := g.behind(in, snap, true)
	var nowhere *mesh.TargetError
	switch {
	case errors.As(err, &nowhere):
		return alone, "its routes lead nowhere: " + nowhere.Problem, nil
	case err != nil:
		return in, "", err
	case len(found) == 1:
		return found[0].in, "", nil
	}
	return alone, "its routes lead to several places", nil
}

// Entry is where clients connect to a gateway.
type Entry struct {
	// Listener is the gateway's own port, Server one that a Gateway names for it.
	Listener, Server int
	// Service leads there by its port ServicePort; nil: none does.
	Service     *mesh.Service
	ServicePort int
}

// EntryOf finds the entry of a gateway for the port that a client connects to: a Service's,
// else a Gateway server's. Errors are *PortsError.
func EntryOf(w mesh.Workload, t mesh.Target, port int, snap *mesh.Snapshot) (Entry, error) {
	all, err := istio.Ports(snap, w)
	if err != nil {
		return Entry{}, err
	}
	services, err := snap.ServicesOf(w)
	if err != nil {
		return Entry{}, err
	}
	entry := func(p istio.PortInfo) Entry {
		e := Entry{Listener: p.Number, Server: p.Number}
		if len(p.ServerPorts) > 0 {
			e.Server = p.ServerPorts[0]
		}
		for i, s := range services {
			for _, sp := range s.Ports {
				if sp.TargetPort == p.Number && (e.Service == nil || sp.Port == port) {
					e.Service, e.ServicePort = &services[i], sp.Port
				}
			}
		}
		return e
	}
	for _, p := range all {
		if e := entry(p); e.Service != nil && e.ServicePort == port {
			return e, nil
		}
	}
	for _, p := range all {
		if p.Number == port || slices.Contains(p.ServerPorts, port) {
			return entry(p), nil
		}
	}
	return Entry{}, &PortsError{Target: t.String(), Candidates: all, Given: strconv.Itoa(port)}
}

// IsGateway reports whether a workload is a gateway.
func IsGateway(w mesh.Workload, snap *mesh.Snapshot) bool {
	return istio.RoleOf(snap, w) == envoy.RoleGateway
}
