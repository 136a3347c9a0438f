package scaffold

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	netapi "istio.io/api/networking/v1alpha3"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// systemCAs is the file of the authorities that everybody believes, in the proxy's image.
const systemCAs = "/etc/ssl/certs/ca-certificates.crt"

// external gives the jwksUri as it is to be written, and makes what a fetch of it needs.
func (p *planner) external(i *Issuer) (string, error) {
	k, err := p.in.parseURI(i)
	if err != nil {
		return "", err
	}
	fetcher := p.fetcher()
	service, err := p.service(k)
	if err != nil {
		return "", err
	}
	if p.behindWaypoint() {
		if fetcher == ByEnvoy {
			return "", refuse("attach to the waypoint, --target-ref Gateway/WAYPOINT, or give the keys with --jwks-file",
				"proxies fetch the keys, but a waypoint gets no cluster for the keys of policies that are attached to a Service")
		}
		p.warn("should the proxies fetch the keys, no token will pass: a waypoint gets no cluster for the keys of policies that are attached to a Service")
		fetcher = ByIstiod
	}
	if service != "" {
		return p.inMesh(i, k, service, fetcher)
	}
	if k.Scheme == "http" && !p.in.Insecure {
		return "", refuse("use https; or take it as it is with --insecure",
			"--jwks-uri %q is outside the mesh and without TLS: anybody on the way could put in other keys", i.JWKSURI)
	}
	if fetcher == ByIstiod {
		return k.text(), p.fetchedByIstiod(i, k)
	}
	if _, err := netip.ParseAddr(k.host); err == nil {
		return "", refuse("give it a name, which need not be in DNS: --jwks-uri "+k.Scheme+"://jwks.example.com"+k.EscapedPath()+" --jwks-address "+k.host,
			"--jwks-uri has the address %s in it, and admission takes no address for the host of a ServiceEntry", k.host)
	}
	if !isDomain(k.host) {
		return "", refuse("write the full name", "--jwks-uri: %q is no host that a ServiceEntry can have", k.host)
	}
	if err := p.serviceEntry(i, k); err != nil {
		return "", err
	}
	if k.Scheme == "https" {
		if err := p.destinationRule(i, k, k.host); err != nil {
			return "", err
		}
	} else if i.CA != "" {
		return "", refuse("leave it out", "--ca, but %s has no TLS", k.host)
	}
	return k.text(), nil
}

// text is the URI with its host in small letters, as ServiceEntries have it: istiod
// compares the two byte by byte.
func (k *keyURI) text() string {
	u := *k.URL
	u.Host = strings.ToLower(u.Host)
	return u.String()
}

var domain = lazyregexp.New(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// isDomain reports whether a host may stand in a ServiceEntry
// (Istio pkg/config/validation/agent/validation.go:ValidateFQDN).
func isDomain(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return len(host) <= 253 && domain.MatchString(host) && strings.Trim(last, "0123456789") != ""
}

// service is the full name of the Service that a URI names; empty for a host outside.
func (p *planner) service(k *keyURI) (string, error) {
	labels := strings.Split(k.host, ".")
	name, ns := labels[0], p.place.Namespace
	sure := len(labels) == 1
	if len(labels) > 1 {
		ns = labels[1]
	}
	if len(labels) > 2 {
		if labels[2] != "svc" {
			return "", nil
		}
		sure = true
	}
	full := name + "." + ns + ".svc.cluster.local"
	if len(labels) > 3 {
		full = k.host
	}
	if p.snap == nil {
		if !sure {
			return "", nil
		}
		return full, nil
	}
	o := p.snap.Find(mesh.GroupCore, "Service", ns, name)
	if o == nil {
		if !sure {
			return "", nil
		}
		p.warn("there is no Service %s in %s among what was read, and the keys are to come from it", name, ns)
		return full, nil
	}
	var svc struct {
		Ports []struct {
			Port int `json:"port"`
		} `json:"ports"`
	}
	if err := o.DecodeSpec(&svc); err != nil {
		return "", err
	}
	var ports []string
	for _, sp := range svc.Ports {
		if sp.Port == k.port {
			return full, nil
		}
		ports = append(ports, itoa(sp.Port))
	}
	return "", refuse("write one of its ports into the URI: "+strings.Join(ports, ", "), "--jwks-uri: the Service %s/%s has no port %d", ns, name, k.port)
}

// inMesh is a URI at a Service: it needs no ServiceEntry, and its full name, since the
// control plane lives in another namespace.
func (p *planner) inMesh(i *Issuer, k *keyURI, full string, fetcher Fetcher) (string, error) {
	if len(i.Addresses) > 0 {
		return "", refuse("leave it out: the Service knows its pods", "--jwks-address, but %s is a Service of the mesh", full)
	}
	switch {
	case k.Scheme == "https" && fetcher != ByIstiod:
		if err := p.destinationRule(i, k, full); err != nil {
			return "", err
		}
	case i.CA != "" && fetcher == ByIstiod:
		return "", istiodHasItsOwnCAs()
	case i.CA != "":
		return "", refuse("leave it out", "--ca, but %s has no TLS", full)
	}
	u := *k.URL
	u.Host = full
	if port := k.Port(); port != "" {
		u.Host += ":" + port
	}
	if k.host != full {
		p.note("%s is written as %s: the control plane resolves no short names", k.host, full)
	}
	return u.String(), nil
}

func istiodHasItsOwnCAs() error {
	return refuse("give it to istiod (helm value pilot.jwksResolverExtraRootCA), or let proxies fetch: --fetcher envoy",
		"--ca, but the control plane fetches the keys, and it takes its authorities from its own configuration")
}

// behindWaypoint reports whether the policies are attached to what a waypoint fronts.
// istiod then leaves the hosts of their jwksUris out of the waypoint's clusters
// (Istio pilot/pkg/model/push_context.go:extraServicesForProxy matches a proxy's own policies only).
func (p *planner) behindWaypoint() bool {
	return slices.ContainsFunc(p.place.Refs, func(r TargetRef) bool { return r.Kind == "Service" || r.Kind == "ServiceEntry" })
}

// fetchedByIstiod says what a fetch by the control plane needs, which is no object.
func (p *planner) fetchedByIstiod(i *Issuer, k *keyURI) error {
	switch {
	case i.CA != "":
		return istiodHasItsOwnCAs()
	case len(i.Addresses) > 0:
		return refuse("put the name into DNS, or let proxies fetch: --fetcher envoy", "--jwks-address, but the control plane fetches the keys, and it asks DNS")
	}
	p.note("the control plane fetches the keys: it must reach %s, and no ServiceEntry is made, since one could move the fetch to the proxies", k.host)
	if se := p.entryFor(k.host); se != nil {
		p.warn("ServiceEntry %s/%s has the host %s: with PILOT_JWT_ENABLE_REMOTE_JWKS=hybrid the proxies fetch, in plaintext unless a DestinationRule says TLS", se.Namespace, se.Name, k.host)
	}
	return nil
}

// fetcher is who fetches: what was said, or what the objects tell. Auto is left where
// they tell nothing; then what is made must do for both.
func (p *planner) fetcher() Fetcher {
	if p.in.Fetcher != "" && p.in.Fetcher != Auto {
		return p.in.Fetcher
	}
	if p.snap != nil {
		var w mesh.Workload
		if len(p.place.Workloads) > 0 {
			w = p.place.Workloads[0]
		}
		if plane, err := istio.ControlPlaneOf(p.snap, w); err == nil && !plane.Object.IsZero() {
			if plane.JWKSMode() == istio.JWKSByIstiod {
				return ByIstiod
			}
			return ByEnvoy
		}
	}
	switch {
	case p.asm:
		return ByEnvoy // the vendor's FAQ: outside endpoints need a ServiceEntry first
	case version.RemoteJWKS.Has(p.version) == version.No:
		return ByIstiod
	}
	return Auto
}

// entryFor is a ServiceEntry of somebody else's that has the host; nil: none.
func (p *planner) entryFor(host string) *mesh.Object {
	if p.snap == nil {
		return nil
	}
	for _, o := range p.snap.Kind(mesh.GroupNetworking, "ServiceEntry") {
		se := &netapi.ServiceEntry{}
		if o.DecodeSpec(se) != nil || !slices.Contains(se.GetHosts(), host) || o.Name == objectName(host) && o.Namespace == p.place.Namespace {
			continue
		}
		if o.Namespace == p.place.Namespace || len(se.GetExportTo()) == 0 || slices.Contains(se.GetExportTo(), "*") || slices.Contains(se.GetExportTo(), p.place.Namespace) {
			return o
		}
	}
	return nil
}

// serviceEntry makes the host known to the proxies, which fetch from nowhere else.
func (p *planner) serviceEntry(i *Issuer, k *keyURI) error {
	name, protocol := k.Scheme, strings.ToUpper(k.Scheme)
	if o := p.entryFor(k.host); o != nil {
		se := &netapi.ServiceEntry{}
		_ = o.DecodeSpec(se) // entryFor has read it
		for _, port := range se.GetPorts() {
			if int(port.GetNumber()) == k.port {
				p.note("ServiceEntry %s/%s has the host %s already: none is made", o.Namespace, o.Name, k.host)
				return nil
			}
		}
		return refuse(fmt.Sprintf("add port %d with the protocol %s to it", k.port, protocol), "ServiceEntry %s/%s has the host %s, but not its port %d", o.Namespace, o.Name, k.host, k.port)
	}
	for _, o := range p.entries {
		if o.Name == objectName(k.host) {
			return p.anotherPort(o, i, k)
		}
	}
	port := Map{{Key: "number", Value: k.port}, {Key: "name", Value: name}, {Key: "protocol", Value: protocol}}
	spec := Map{
		{Key: "hosts", Value: []any{k.host}},
		{Key: "location", Value: "MESH_EXTERNAL"},
		{Key: "ports", Value: []any{port}},
	}
	if len(i.Addresses) > 0 {
		var endpoints []any
		for _, a := range i.Addresses {
			endpoints = append(endpoints, Map{{Key: "address", Value: a}})
		}
		spec = append(spec, Member{Key: "resolution", Value: "STATIC"}, Member{Key: "endpoints", Value: endpoints})
	} else {
		spec = append(spec, Member{Key: "resolution", Value: "DNS"})
	}
	spec = append(spec, p.exportTo()...)
	p.entries = append(p.entries, &Object{
		APIVersion: p.networkingVersion(), Kind: "ServiceEntry", Namespace: p.place.Namespace, Name: objectName(k.host), Spec: spec,
		Why: []string{"Proxies fetch keys from hosts of the mesh's registry only: this adds " + k.host + "."},
	})
	return nil
}

// anotherPort is for two issuers at one host.
func (p *planner) anotherPort(o *Object, i *Issuer, k *keyURI) error {
	for at := range o.Spec {
		switch o.Spec[at].Key {
		case "ports":
			list := o.Spec[at].Value.([]any)
			for _, port := range list {
				if port.(Map)[0].Value == k.port {
					return nil
				}
			}
			o.Spec[at].Value = append(list, Map{{Key: "number", Value: k.port}, {Key: "name", Value: k.Scheme + "-" + itoa(k.port)}, {Key: "protocol", Value: strings.ToUpper(k.Scheme)}})
			return nil
		}
	}
	_ = i
	return nil
}

// exportTo keeps what is for one namespace in it.
func (p *planner) exportTo() Map {
	if !p.oneNamespace() {
		return nil
	}
	return Map{{Key: "exportTo", Value: []any{"."}, Why: "for this namespace only"}}
}

// oneNamespace reports whether all that the policies reach is in their own namespace.
func (p *planner) oneNamespace() bool {
	if p.place.Namespace != p.root || len(p.place.Refs) > 0 {
		return !slices.ContainsFunc(p.place.Refs, func(r TargetRef) bool { return r.Kind != "Gateway" })
	}
	if p.place.Selector == nil || p.snap == nil {
		return false
	}
	return !slices.ContainsFunc(p.place.Workloads, func(w mesh.Workload) bool { return w.Namespace != p.place.Namespace })
}

// destinationRule makes the proxies speak TLS to the host, with its name.
func (p *planner) destinationRule(i *Issuer, k *keyURI, host string) error {
	if done, err := p.ruleExists(host, k.port); done || err != nil {
		return err
	}
	tls := Map{{Key: "mode", Value: "SIMPLE"}, {Key: "sni", Value: host}, {Key: "subjectAltNames", Value: []any{host}, Why: "the certificate must be for this name"}}
	secret, isSecret := strings.CutPrefix(i.CA, "secret:")
	switch {
	case isSecret:
		if err := p.secretAllowed(secret); err != nil {
			return err
		}
		tls = append(tls, Member{Key: "credentialName", Value: secret, Why: "a Secret in the namespace of the proxy, with the authority under ca.crt"})
	case i.CA != "":
		if !strings.HasPrefix(i.CA, "/") || unprintable(i.CA) {
			return refuse("write the path of a file in the proxy's container, /etc/…, or secret:NAME", "--ca is neither a path nor a Secret")
		}
		tls = append(tls, Member{Key: "caCertificates", Value: i.CA, Why: "a file in the proxy's container: mount it there"})
	case version.VerifyServers.Has(p.version) != version.Yes:
		tls = append(tls, Member{Key: "caCertificates", Value: systemCAs, Why: "before Istio 1.22 a proxy without this believes any server"})
	}
	if i.CA != "" && p.fetcher() == Auto {
		p.warn("--ca is for fetches by the proxies; should the control plane fetch, it needs the authority in its own configuration")
	}
	spec, who := Map{{Key: "host", Value: host}}, "any workload of "+p.place.Namespace+" that calls"
	if p.place.Selector != nil && p.oneNamespace() && version.SidecarCredentials.Has(p.version) == version.Yes {
		spec = append(spec, Member{Key: "workloadSelector", Value: Map{{Key: "matchLabels", Value: labels(p.place.Selector)}}, Why: "for these pods only"})
		who = "should the application in these pods call"
	}
	p.note("the proxy adds TLS for %s: %s https://%s itself, it gets TLS twice; http://%s:%d is what it must call", host, who, host, host, k.port)
	spec = append(spec, Member{Key: "trafficPolicy", Value: Map{{Key: "portLevelSettings", Value: []any{
		Map{{Key: "port", Value: Map{{Key: "number", Value: k.port}}}, {Key: "tls", Value: tls}},
	}}}})
	spec = append(spec, p.exportTo()...)
	o := &Object{
		APIVersion: p.networkingVersion(), Kind: "DestinationRule", Namespace: p.place.Namespace, Name: objectName(host), Spec: spec,
		Why: []string{"Without this, a proxy would speak plain HTTP to the TLS port."},
	}
	for _, have := range p.rules {
		if have.Name != o.Name {
			continue
		}
		a, _ := plainJSON(have)
		b, _ := plainJSON(o)
		if string(a) != string(b) {
			return refuse("make the policies in two steps", "two issuers have their keys at %s, at two ports or with two authorities", host)
		}
		return nil
	}
	p.rules = append(p.rules, o)
	return nil
}

// secretAllowed reports whether a Secret with certificates would be looked at: by
// gateways always, by sidecars only if the DestinationRule selects them.
func (p *planner) secretAllowed(name string) error {
	if !domain.MatchString(name) {
		return refuse("write secret:NAME", "--ca: %q is no name of a Secret", name)
	}
	gateway := len(p.place.Refs) > 0 || p.in.Where.Gateway != ""
	if gateway || p.place.Selector != nil && p.oneNamespace() && version.SidecarCredentials.Has(p.version) == version.Yes {
		return nil
	}
	return refuse("select pods of one namespace, or give the path of a file in the proxy", "--ca secret:%s is not looked at by sidecars that no label selects", name)
}

// ruleExists reports whether somebody else's DestinationRule has TLS for the port.
func (p *planner) ruleExists(host string, port int) (bool, error) {
	if p.snap == nil {
		return false, nil
	}
	for _, o := range p.snap.Kind(mesh.GroupNetworking, "DestinationRule") {
		dr := &netapi.DestinationRule{}
		if o.DecodeSpec(dr) != nil || dr.GetHost() != host || o.Name == objectName(host) && o.Namespace == p.place.Namespace {
			continue
		}
		mode := dr.GetTrafficPolicy().GetTls().GetMode()
		for _, s := range dr.GetTrafficPolicy().GetPortLevelSettings() {
			if int(s.GetPort().GetNumber()) == port && s.GetTls() != nil {
				mode = s.GetTls().GetMode()
			}
		}
		if mode == netapi.ClientTLSSettings_DISABLE {
			return false, refuse("add tls to it: mode: SIMPLE, sni: "+host, "DestinationRule %s/%s is for the host %s, and has no TLS for port %d", o.Namespace, o.Name, host, port)
		}
		p.note("DestinationRule %s/%s has TLS for %s already: none is made", o.Namespace, o.Name, host)
		return true, nil
	}
	return false, nil
}

// objectName is what the objects for a host are called.
func objectName(host string) string {
	name := "jwks-" + strings.ReplaceAll(strings.TrimSuffix(host, ".svc.cluster.local"), ".", "-")
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-")
	}
	return name
}
