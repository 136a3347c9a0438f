package istio

import (
	"slices"
	"strconv"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"
	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// What this file says is for whoever asks how keys get to a proxy: who fetches them, and
// what of the mesh is on the way.

// Variables of istiod's environment that decide about key sets (Istio pilot/pkg/features).
const (
	EnvRemoteJWKS   = "PILOT_JWT_ENABLE_REMOTE_JWKS"
	EnvBlockedCIDRs = "BLOCKED_CIDRS_IN_JWKS_URIS"
)

// ControlPlane is an istiod as its Deployment shows it.
type ControlPlane struct {
	// Object is the Deployment; zero: it is managed, elsewhere, or was not read.
	Object origin.Ref
	// Env are the variables with a literal value.
	Env map[string]string
	// Image is that of its container.
	Image string
}

// ControlPlaneOf is the istiod of a workload's revision, or the only one that there is.
func ControlPlaneOf(s *mesh.Snapshot, w mesh.Workload) (ControlPlane, error) {
	settings, _, err := readMeshConfig(s, revisionOf(s, w))
	if err != nil {
		return ControlPlane{}, err
	}
	revision := revisionOf(s, w)
	if revision == "" {
		revision = "default"
	}
	all := istiodsIn(s, settings.rootNamespace)
	if len(all) == 0 { // the root namespace need not be that of the control plane
		all = istiodsIn(s, defaultRootNamespace)
	}
	for _, o := range all {
		if own := o.Labels[labelRevision]; own == revision || own == "" && revision == "default" || len(all) == 1 {
			return controlPlane(s, o)
		}
	}
	return ControlPlane{}, nil
}

func istiodsIn(s *mesh.Snapshot, namespace string) []*mesh.Object {
	var out []*mesh.Object
	for _, o := range s.InNamespace(mesh.GroupApps, "Deployment", namespace) {
		if o.Labels["app"] == "istiod" {
			out = append(out, o)
		}
	}
	return out
}

func controlPlane(s *mesh.Snapshot, o *mesh.Object) (ControlPlane, error) {
	target, _ := mesh.TargetOf(o.Kind, o.Name)
	found, err := s.Resolve(target, o.Namespace)
	if err != nil {
		return ControlPlane{}, err
	}
	c := ControlPlane{Object: o.Ref(), Env: map[string]string{}}
	for _, container := range found[0].Containers {
		if len(container.Env) > len(c.Env) || c.Image == "" {
			c.Env, c.Image = container.Env, container.Image
		}
	}
	return c, nil
}

// Switch is a variable that is true or false; set is false where it is neither.
func (c ControlPlane) Switch(name string) (value, set bool) {
	value, err := strconv.ParseBool(c.Env[name])
	return value, err == nil
}

// JWKSMode is who fetches a jwksUri, as the control plane is set
// (Istio pilot/pkg/features/pilot.go:JwksFetchMode; booleans are the older form).
func (c ControlPlane) JWKSMode() JWKSMode {
	switch value := c.Env[EnvRemoteJWKS]; value {
	case "true", string(JWKSHybrid):
		return JWKSHybrid
	case string(JWKSByEnvoy):
		return JWKSByEnvoy
	}
	return JWKSByIstiod
}

// KnownHost is an object that makes a host known to the mesh.
type KnownHost struct {
	Object *mesh.Object // a Service or a ServiceEntry
	// Ports are its ports by number, with the protocol as it is written.
	Ports map[int]string
	// exportTo are the namespaces that see it.
	exportTo []string
}

// IsService tells a Service from a ServiceEntry.
func (k KnownHost) IsService() bool { return k.Object.Kind == "Service" }

// HostsNamed are the objects that make a host known, by its full name as istiod looks
// it up (Istio pilot/pkg/model/telemetry_logging.go:LookupCluster).
func HostsNamed(s *mesh.Snapshot, host string) []KnownHost {
	var out []KnownHost
	for _, o := range s.Kind(mesh.GroupCore, "Service") {
		if host != o.Name+"."+o.Namespace+clusterSuffix {
			continue
		}
		out = append(out, knownService(o))
	}
	for _, o := range s.Kind(mesh.GroupNetworking, "ServiceEntry") {
		se := &netapi.ServiceEntry{}
		if o.DecodeSpec(se) != nil || !slices.ContainsFunc(se.GetHosts(), func(h string) bool { return strings.EqualFold(h, host) }) {
			continue
		}
		k := KnownHost{Object: o, Ports: map[int]string{}, exportTo: se.GetExportTo()}
		for _, p := range se.GetPorts() {
			k.Ports[int(p.GetNumber())] = p.GetProtocol()
		}
		out = append(out, k)
	}
	return out
}

const annotationExportTo = "networking.istio.io/exportTo"

func knownService(o *mesh.Object) KnownHost {
	k := KnownHost{Object: o, Ports: map[int]string{}}
	var svc struct {
		Ports []struct {
			Port int    `json:"port"`
			Name string `json:"name"`
		} `json:"ports"`
	}
	if o.DecodeSpec(&svc) == nil {
		for _, p := range svc.Ports {
			k.Ports[p.Port] = p.Name
		}
	}
	var meta struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if o.Decode(&meta) == nil {
		for _, ns := range strings.Split(meta.Metadata.Annotations[annotationExportTo], ",") {
			if ns = strings.TrimSpace(ns); ns != "" {
				k.exportTo = append(k.exportTo, ns)
			}
		}
	}
	return k
}

// Hidden says why the proxy of a workload gets no cluster for a host that the mesh knows:
// the object does not export it, or the workload's Sidecar does not import it (Istio
// pilot/pkg/model/push_context.go:IsServiceVisible, sidecar.go:NewSidecarScope). The origin
// is the field that hides it; zero: nothing does.
func (k KnownHost) Hidden(s *mesh.Snapshot, w mesh.Workload, host string) (origin.Origin, error) {
	settings, _, err := readMeshConfig(s, revisionOf(s, w))
	if err != nil {
		return origin.Origin{}, err
	}
	if !exportedTo(k.exportTo, k.Object.Namespace, w.Namespace) {
		field := "spec.exportTo"
		if k.IsService() {
			field = `metadata.annotations["` + annotationExportTo + `"]`
		}
		return origin.Origin{Ref: k.Object.Ref(), Field: field}, nil
	}
	if role := RoleOf(s, w); role != envoy.RoleSidecar {
		return origin.Origin{}, nil // a Sidecar is for sidecars alone
	}
	o, sc := sidecarOf(s, w, settings.rootNamespace)
	if o == nil || len(sc.GetEgress()) == 0 {
		return origin.Origin{}, nil
	}
	for _, egress := range sc.GetEgress() {
		for _, h := range egress.GetHosts() {
			ns, name, _ := strings.Cut(h, "/")
			if importsNamespace(ns, k.Object.Namespace, w.Namespace) && hostFit(strings.ToLower(name), host) >= 0 {
				return origin.Origin{}, nil
			}
		}
	}
	return origin.Origin{Ref: o.Ref(), Field: "spec.egress[" + strconv.Itoa(len(sc.GetEgress())-1) + "].hosts"}, nil
}

func exportedTo(exportTo []string, own, namespace string) bool {
	return givenTo(exportTo, own, namespace) && !slices.Contains(exportTo, "~")
}

func importsNamespace(pattern, namespace, own string) bool {
	switch pattern {
	case "*":
		return true
	case ".":
		return namespace == own
	}
	return pattern == namespace
}

// PeerMode is the effective mTLS mode of a port of a workload, and the field that decides
// on it; zero where it is the default.
func PeerMode(s *mesh.Snapshot, w mesh.Workload, port int) (mode string, at origin.Origin, err error) {
	settings, _, err := readMeshConfig(s, revisionOf(s, w))
	if err != nil {
		return "", origin.Origin{}, err
	}
	t := &translation{
		in: Input{Snapshot: s, Workload: w, Port: port}, mesh: settings,
		proxy: &envoy.Proxy{Role: RoleOf(s, w)}, result: &Result{RootNamespace: settings.rootNamespace},
	}
	m := t.peerAuthentication(port)
	return m.mode.String(), m.origin, nil
}

// RegistryOnly reports whether the mesh lets proxies send only to hosts that it knows
// (outboundTrafficPolicy REGISTRY_ONLY). It is about applications: neither istiod nor the
// proxy's own fetches of keys are subject to it.
func RegistryOnly(s *mesh.Snapshot, w mesh.Workload) (bool, error) {
	settings, _, err := readMeshConfig(s, revisionOf(s, w))
	if err != nil {
		return false, err
	}
	policy := settings.config.GetOutboundTrafficPolicy() // without one, everything goes out
	return policy != nil && policy.GetMode() == meshapi.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY, nil
}
