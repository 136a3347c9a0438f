package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const nameProxy = "name the workload of whose proxy the line is: TYPE/NAME -n NAMESPACE"

// sniPrefix begins the server name by which a proxy of the mesh says to which Service it
// connects: outbound_.PORT_.SUBSET_.HOST (Istio
// pilot/pkg/model/service.go:BuildDNSSrvSubsetKey).
const sniPrefix = "outbound_."

// sniParts are the port, the subset and the host in such a name.
func sniParts(sni string) (port int, subset, host string, ok bool) {
	rest, ok := strings.CutPrefix(sni, sniPrefix)
	parts := strings.SplitN(rest, "_.", 3)
	if !ok || len(parts) != 3 {
		return 0, "", "", false
	}
	port, err := strconv.Atoi(parts[0])
	return port, parts[1], parts[2], err == nil
}

// serviceOfSNI is the Service that the client's proxy names, as a line of a log shows it.
func serviceOfSNI(in Intent) (Via, bool) {
	_, _, host, ok := sniParts(in.Caller.SNI)
	if !ok || !strings.HasSuffix(host, inCluster) {
		return Via{}, false
	}
	return ServiceNamed(host, "")
}

// behindSNI is the question for the Service that the server name tells.
func (in Intent) behindSNI(service Via) Intent {
	port, subset, _, _ := sniParts(in.Caller.SNI)
	if in.Port.IsZero() {
		in.Port.Number = port
	}
	if in.Subset == "" {
		in.Subset = subset
	}
	return in.forService(service)
}

// LocatedBy says what told the target of a question that names none.
func LocatedBy(in Intent) string {
	if service, ok := serviceOfSNI(in); ok && service.Target == in.Target && service.Namespace == in.Namespace {
		return "the server name in the log"
	}
	return "the host of the request"
}

// otherEntry says of a host that a gateway takes on another port where that is.
func otherEntry(in Intent, host string, t Via, h istio.GatewayHost) *mesh.TargetError {
	where := "without TLS"
	switch {
	case in.URLPort != 0:
		where = fmt.Sprintf("on port %d", in.URLPort)
	case in.Caller.TLS:
		where = "with TLS"
	}
	url, usual := "http://"+host, 80
	if h.TLS {
		url, usual = "https://"+host, 443
	}
	if h.Port != usual {
		url += ":" + strconv.Itoa(h.Port)
	}
	hint := fmt.Sprintf("%s.%s takes it on port %d: try --url %s/…", t.Target, t.Namespace, h.Port, url)
	if in.Unseen != nil { // the line is of one proxy, wherever its host leads
		hint = fmt.Sprintf("%s; %s -n %s is the gateway for that host", nameProxy, t.Target, t.Namespace)
	}
	return &mesh.TargetError{Given: in.Host, Problem: "is a host that no gateway takes " + where, Hint: hint}
}

// nothingAt says that no target fits a host, with the names that are near.
func nothingAt(snap *mesh.Snapshot, in Intent, host string) error {
	var names, near []string
	add := func(name string) {
		if name != "*" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, o := range snap.Kind(mesh.GroupCore, "Service") {
		switch {
		case !strings.Contains(host, ".") && o.Namespace == fromNamespace(in):
			add(o.Name)
		case o.Name == host:
			near = append(near, o.Name+"."+o.Namespace)
		case strings.HasSuffix(host, inCluster):
			add(o.Name + "." + o.Namespace + inCluster)
		default:
			add(o.Name + "." + o.Namespace)
		}
	}
	var elsewhere *mesh.TargetError
	for _, t := range gatewayTargets(snap) {
		groups, err := snap.Resolve(t.Target, t.Namespace)
		if err != nil {
			continue
		}
		hosts, err := istio.HostsOf(snap, groups[0])
		if err != nil {
			continue
		}
		for _, h := range hosts {
			add(h.Host)
			if istio.HostFit(h.Host, host) >= 0 && h.Port != in.URLPort {
				elsewhere = otherEntry(in, host, t, h)
			}
		}
	}
	err := &mesh.TargetError{Given: in.Host, Problem: "is the host of no Service and of no gateway among what was read"}
	near = append(near, mesh.Nearest(host, names, 3)...)
	switch {
	case elsewhere != nil:
		return elsewhere
	case in.Unseen != nil && len(near) == 0:
		err.Hint = nameProxy
	case len(near) > 0:
		err.Hint = "did you mean " + strings.Join(near, " or ") + "?"
	default:
		err.Hint = "name the target: TYPE/NAME, such as deploy/productpage, and --via for a gateway in front"
	}
	return err
}
