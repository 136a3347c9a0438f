package keycheck

import (
	"slices"
	"strconv"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// rule is one jwtRule while it is judged.
type rule struct {
	out    Rule
	ev     *Evidence
	object *mesh.Object
	spec   *securityapi.JWTRule
	origin origin.Origin
	addr   Address
	// source is what the control plane makes of it, plane who that is.
	source  envoy.KeySource
	plane   istio.ControlPlane
	reached []reached
	// known are the objects that make the host known; service the one that it names.
	known   []istio.KnownHost
	fixes   []Fix
	fetches []Fetch
	// live is the newest set that was seen at the URI, from anywhere but this machine.
	live *seenSet
	// given is the set of a file; namedURI the jwks_uri of a discovery document.
	given    *seenSet
	namedURI string
}

// reached is a workload that a rule reaches, with the name of the provider there.
type reached struct {
	workload mesh.Workload
	provider string
	role     envoy.Role
}

// find adds a finding at a field of the rule; empty: the rule itself.
func (r *rule) find(code diag.Code, severity diag.Severity, field, message string) {
	at := r.origin.At(field)
	r.findAt(code, severity, at, message)
}

func (r *rule) findAt(code diag.Code, severity diag.Severity, at origin.Origin, message string) {
	for _, have := range r.out.Findings {
		if have.Code == code && have.Message == message {
			return
		}
	}
	p := placeOf(at)
	r.out.Findings = append(r.out.Findings, diagnose.Finding{Code: code, Severity: severity, Message: message, Object: &p, Field: at.Field})
}

func placeOf(o origin.Origin) diagnose.Place {
	return diagnose.Place{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Field: o.Field}
}

// collect lists the rules: those that reach the workloads, and the others of the
// namespaces that were asked about.
func collect(ev *Evidence) ([]*rule, error) {
	byOrigin := map[origin.Origin]*rule{}
	var out []*rule
	for _, w := range ev.Workloads {
		providers, role, plane, err := providersOf(ev, w)
		if err != nil {
			return nil, err
		}
		for _, p := range providers {
			r := byOrigin[p.Origin]
			if r == nil {
				r = newRule(ev, p.Origin)
				if r == nil {
					continue
				}
				r.source, r.plane = p.Keys, plane
				byOrigin[p.Origin] = r
				out = append(out, r)
			}
			r.reached = append(r.reached, reached{w, p.Name, role})
			r.out.Workloads = append(r.out.Workloads, nameOf(w))
		}
	}
	for _, o := range ev.Snapshot.Kind(mesh.GroupSecurity, "RequestAuthentication") {
		spec := &securityapi.RequestAuthentication{}
		if !slices.Contains(ev.Namespaces, o.Namespace) || o.DecodeSpec(spec) != nil {
			continue
		}
		for i := range spec.GetJwtRules() {
			at := origin.Origin{Ref: o.Ref(), Field: "spec.jwtRules[" + strconv.Itoa(i) + "]"}
			if byOrigin[at] != nil {
				continue
			}
			r := newRule(ev, at)
			if r == nil {
				continue
			}
			r.source = envoy.KeySource{Fetcher: envoy.ControlPlane, URI: r.spec.GetJwksUri(), Issuer: r.spec.GetIssuer()}
			if r.spec.GetJwks() != "" {
				r.source = envoy.KeySource{Fetcher: envoy.Inline, Inline: r.spec.GetJwks()}
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *rule) int { return compareOrigins(a.origin, b.origin) })
	return out, nil
}

func compareOrigins(a, b origin.Origin) int {
	for _, pair := range [][2]string{{a.Namespace, b.Namespace}, {a.Name, b.Name}, {a.Field, b.Field}} {
		if pair[0] != pair[1] {
			if pair[0] < pair[1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

func nameOf(w mesh.Workload) string {
	name := w.Ref.Name
	if t, ok := mesh.TargetOf(w.Ref.Kind, w.Ref.Name); ok {
		name = t.String()
	}
	return name + " in " + w.Namespace
}

// newRule is the rule at a place; nil where there is none.
func newRule(ev *Evidence, at origin.Origin) *rule {
	o := ev.Snapshot.Find(mesh.GroupSecurity, "RequestAuthentication", at.Namespace, at.Name)
	spec := &securityapi.RequestAuthentication{}
	if o == nil || o.DecodeSpec(spec) != nil {
		return nil
	}
	for i, s := range spec.GetJwtRules() {
		if at.Field != "spec.jwtRules["+strconv.Itoa(i)+"]" {
			continue
		}
		r := &rule{ev: ev, object: o, spec: s, origin: at}
		r.out = Rule{
			Object: placeOf(at), Issuer: s.GetIssuer(), URI: s.GetJwksUri(),
			Fetches: []Fetch{}, Workloads: []string{}, Proxies: []Holder{}, Findings: []diagnose.Finding{},
		}
		if uri, _ := source(s); uri != "" {
			r.addr = AddressOf(uri, o.Namespace)
		}
		return r
	}
	return nil
}

// providersOf are the JWT providers that the control plane gives the proxy of a workload.
func providersOf(ev *Evidence, w mesh.Workload) ([]envoy.Provider, envoy.Role, istio.ControlPlane, error) {
	role := istio.RoleOf(ev.Snapshot, w)
	plane, err := istio.ControlPlaneOf(ev.Snapshot, w)
	if err != nil || role == envoy.RoleNone || role == envoy.RoleZtunnel {
		return nil, role, plane, err
	}
	ports, err := istio.Ports(ev.Snapshot, w)
	if err != nil {
		return nil, role, plane, err
	}
	if role == envoy.RoleSidecar {
		// All ports have the same JWT filter, as far as they carry HTTP and pass the proxy;
		// one that nobody names is there for workloads without a Service.
		ports = append(ports, istio.PortInfo{Number: unnamedPort})
	}
	var out []envoy.Provider
	for _, port := range ports {
		if role == envoy.RoleSidecar && len(out) > 0 {
			break
		}
		proxyVersion, istiodVersion := versions(ev, w)
		res, err := istio.Translate(istio.Input{
			Snapshot: ev.Snapshot, Workload: w, Port: port.Number, Service: port.Fronted, RemoteJWKS: plane.JWKSMode(),
			IstiodVersion: istiodVersion, ProxyVersion: proxyVersion,
		})
		if err != nil {
			return nil, role, plane, err
		}
		for _, f := range res.Proxy.JWTFilters() {
			for _, p := range f.Providers {
				if !slices.ContainsFunc(out, func(have envoy.Provider) bool { return have.Origin == p.Origin }) {
					out = append(out, p)
				}
			}
		}
	}
	return out, role, plane, nil
}

// unnamedPort is one that no Service and no Sidecar names.
const unnamedPort = 1

// versions are those of the proxy, by its image, and of its control plane.
func versions(ev *Evidence, w mesh.Workload) (proxy, istiod version.Version) {
	if c, ok := w.ProxyContainer(); ok {
		proxy, _ = version.FromImage(c.Image)
	}
	if proxy.IsZero() {
		proxy, _ = version.Parse(ev.ProxyVersion)
	}
	istiod = proxy
	if v, ok := version.Parse(ev.IstiodVersion); ok {
		istiod = v
	}
	return proxy, istiod
}

// Wanted is what has to be looked at for an answer.
type Wanted struct {
	// Pods are those whose proxies hold keys, NAMESPACE and name, each once.
	Pods [][2]string
	// Addresses are those that keys are fetched from, each once.
	Addresses []Address
}

// Look says what has to be looked at.
func Look(ev Evidence) (Wanted, error) {
	var out Wanted
	rules, err := collect(&ev)
	if err != nil {
		return out, err
	}
	for _, r := range rules {
		for _, reached := range r.reached {
			for _, pod := range reached.workload.Pods {
				key := [2]string{reached.workload.Namespace, pod}
				if !slices.Contains(out.Pods, key) {
					out.Pods = append(out.Pods, key)
				}
			}
		}
		if r.addr.URI == "" || r.addr.Problem != "" || slices.ContainsFunc(out.Addresses, func(a Address) bool { return a.URI == r.addr.URI }) {
			continue
		}
		out.Addresses = append(out.Addresses, r.addr)
	}
	return out, nil
}
