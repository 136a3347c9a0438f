package keycheck

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	netapi "istio.io/api/networking/v1alpha3"
	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// touched is the annotation that makes istiod push: it heeds annotations that have
// istio.io in them, and no others (Istio pilot/pkg/bootstrap/server.go:needsPush).
const touched = "asmjwt.dev/touched-for-istio.io"

// makers make the fixes of findings, in the order in which they are offered.
var makers = []struct {
	code diag.Code
	make func(*rule, diagnose.Finding)
}{
	{diag.KeyHostShort, (*rule).fullName},
	{diag.KeyServiceMissing, (*rule).otherService},
	{diag.KeyServerStrict, (*rule).permissive},
	{diag.KeyServerDenies, (*rule).letIn},
	{diag.KeyNoCluster, (*rule).knownToProxies},
	{diag.KeyTransport, (*rule).originate},
	{diag.KeyAnswer, (*rule).follow},
	{diag.KeyServerNotReady, (*rule).lookAtPods},
	{diag.KeysPending, (*rule).touch},
	{diag.KeysStale, (*rule).fetchAgain},
	{diag.KeysForgeable, (*rule).upgrade},
}

// propose offers what to do about the errors of a rule.
func (r *rule) propose() {
	for _, m := range makers {
		for _, f := range r.out.Findings {
			if f.Code == m.code && f.Severity == diag.Error {
				m.make(r, f)
			}
		}
	}
	switch {
	case r.out.Verdict != Refused:
	case r.out.Fetcher == ByNobody:
		r.replaceKeys()
	default:
		r.putInline()
	}
}

// offer adds a fix; one that changes an object says so where another object keeps it.
func (r *rule) offer(f Fix, o *mesh.Object) {
	if o != nil {
		if m, managed := mesh.ManagedBy(o); managed {
			f.Summary += " (" + o.Ref().String() + " is kept by " + m.String() + ": change that)"
		}
	}
	r.fixes = append(r.fixes, f)
}

// edit offers an object with a change.
func (r *rule) edit(code diag.Code, o *mesh.Object, summary string, change func(*mesh.Editor) error) {
	edited, err := o.Edit(change)
	if err != nil {
		return
	}
	r.offer(Fix{Code: code, Summary: summary, Manifest: edited.Manifest()}, o)
}

func (r *rule) editRule(code diag.Code, summary string, change func(e *mesh.Editor, at string) error) {
	r.edit(code, r.object, summary, func(e *mesh.Editor) error { return change(e, r.origin.Field) })
}

func (r *rule) setURI(code diag.Code, summary, uri string) {
	r.editRule(code, summary, func(e *mesh.Editor, at string) error { return e.Set(at+".jwksUri", uri) })
}

func (r *rule) fullName(diagnose.Finding) {
	if r.out.URI == "" {
		return
	}
	full := r.addr.WithHost(r.addr.Full())
	r.setURI(diag.KeyHostShort, "write the full name: "+full, full)
}

// otherService looks for the Service that was meant: of that name in another namespace,
// or with another port.
func (r *rule) otherService(diagnose.Finding) {
	if r.out.URI == "" {
		return
	}
	for _, k := range r.known {
		if k.IsService() && len(k.Ports) == 1 {
			port := sortedInts(k.Ports)[0]
			uri := r.addr.withPort(port)
			r.setURI(diag.KeyServiceMissing, "write the port that the Service has: "+uri, uri)
			return
		}
	}
	for _, o := range r.ev.Snapshot.Kind(mesh.GroupCore, "Service") {
		if o.Name == r.addr.Service && o.Namespace != r.addr.Namespace {
			uri := r.addr.WithHost(o.Name + "." + o.Namespace + clusterSuffix)
			r.setURI(diag.KeyServiceMissing, "there is a Service of that name in "+o.Namespace+": write "+uri, uri)
		}
	}
}

// withPort is the URI with another port.
func (a Address) withPort(port int) string {
	u, err := url.Parse(a.URI)
	if err != nil {
		return a.URI
	}
	u.Host = a.Host + ":" + strconv.Itoa(port)
	return u.String()
}

// permissive lets plaintext in on the port of the keys alone.
func (r *rule) permissive(diagnose.Finding) {
	a, snap := &r.addr, r.ev.Snapshot
	service := snap.Find(mesh.GroupCore, "Service", a.Namespace, a.Service)
	if service == nil {
		return
	}
	found, err := snap.Resolve(mesh.Target{Type: mesh.TypeService, Name: service.Name}, service.Namespace)
	if err != nil {
		return
	}
	for _, w := range found {
		port := TargetPort(snap, w, service.Name, a.Port)
		mode, at, err := istio.PeerMode(snap, w, port)
		if err != nil || port == 0 || mode != "STRICT" {
			continue
		}
		summary := fmt.Sprintf("let port %d of %s take plaintext too (portLevelMtls): the keys are public", port, nameOf(w))
		if own := selecting(snap, w); own != nil {
			r.edit(diag.KeyServerStrict, own, summary, func(e *mesh.Editor) error {
				return e.Set("spec.portLevelMtls."+strconv.Itoa(port)+".mode", "PERMISSIVE")
			})
			return
		}
		selector := selectorOf(service)
		if len(selector) == 0 {
			return
		}
		labels := scaffold.Map{}
		for _, k := range sortedTexts(selector) {
			labels = append(labels, scaffold.Member{Key: k, Value: selector[k]})
		}
		version := "security.istio.io/v1"
		if o := snap.Find(mesh.GroupSecurity, at.Kind, at.Namespace, at.Name); o != nil {
			version = o.APIVersion
		}
		r.offer(Fix{Code: diag.KeyServerStrict, Summary: summary, Objects: []*scaffold.Object{{
			APIVersion: version, Kind: "PeerAuthentication", Namespace: service.Namespace, Name: service.Name + "-keys",
			Why: []string{"The control plane, which has no certificate of the mesh, fetches keys here."},
			Spec: scaffold.Map{
				{Key: "selector", Value: scaffold.Map{{Key: "matchLabels", Value: labels}}},
				{Key: "portLevelMtls", Value: scaffold.Map{{Key: strconv.Itoa(port), Value: scaffold.Map{{Key: "mode", Value: "PERMISSIVE"}}}}},
			},
		}}}, nil)
		return
	}
}

// selecting is the PeerAuthentication of a workload's own: the oldest with a selector.
func selecting(s *mesh.Snapshot, w mesh.Workload) *mesh.Object {
	for _, o := range s.InNamespace(mesh.GroupSecurity, "PeerAuthentication", w.Namespace) {
		spec := &securityapi.PeerAuthentication{}
		labels := spec.GetSelector().GetMatchLabels()
		if o.DecodeSpec(spec) == nil {
			labels = spec.GetSelector().GetMatchLabels()
		}
		if len(labels) > 0 && mesh.SelectorMatches(labels, w.Labels) {
			return o
		}
	}
	return nil
}

func selectorOf(service *mesh.Object) map[string]string {
	var spec struct {
		Selector map[string]string `json:"selector"`
	}
	if service.DecodeSpec(&spec) != nil {
		return nil
	}
	return spec.Selector
}

func sortedTexts(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// letIn says which request a policy must let pass.
func (r *rule) letIn(f diagnose.Finding) {
	path, _, _ := strings.Cut(r.addr.Path, "?")
	r.offer(Fix{
		Code:    diag.KeyServerDenies,
		Summary: fmt.Sprintf("let GET %s through without a token in %s/%s", path, f.Object.Namespace, f.Object.Name),
		Why:     []string{"svc/" + r.addr.Service, "-n", r.addr.Namespace, "--path", path, "--plaintext"},
	}, nil)
}

// knownToProxies makes the host known to the proxies that fetch: by a ServiceEntry, or by
// what hides it.
func (r *rule) knownToProxies(f diagnose.Finding) {
	switch f.Object.Kind {
	case "Sidecar":
		r.importHost(f)
	case "ServiceEntry":
		r.exportEntry(f)
	default:
		r.external(diag.KeyNoCluster, "make the host known to the proxies, with TLS where it needs it")
	}
}

// importHost adds the host to the egress of a Sidecar.
func (r *rule) importHost(f diagnose.Finding) {
	o := r.ev.Snapshot.Find(mesh.GroupNetworking, "Sidecar", f.Object.Namespace, f.Object.Name)
	entry := r.exactly()
	if o == nil || entry == nil {
		return
	}
	ns := entry.Object.Namespace
	if ns == o.Namespace {
		ns = "."
	}
	host := ns + "/" + r.addr.Host
	r.edit(diag.KeyNoCluster, o, "let the Sidecar import the host: "+host, func(e *mesh.Editor) error { return e.Append(f.Object.Field, host) })
}

// exportEntry gives a ServiceEntry to the namespace of the workload, or the port that it
// lacks.
func (r *rule) exportEntry(f diagnose.Finding) {
	o := r.ev.Snapshot.Find(mesh.GroupNetworking, "ServiceEntry", f.Object.Namespace, f.Object.Name)
	if o == nil {
		return
	}
	if f.Object.Field == "spec.ports" {
		protocol := strings.ToUpper(r.addr.Scheme)
		r.edit(diag.KeyNoCluster, o, fmt.Sprintf("give it port %d with the protocol %s", r.addr.Port, protocol), func(e *mesh.Editor) error {
			return e.Append("spec.ports", []mesh.Entry{{Key: "number", Value: r.addr.Port}, {Key: "name", Value: r.addr.Scheme + "-" + strconv.Itoa(r.addr.Port)}, {Key: "protocol", Value: protocol}})
		})
		return
	}
	for _, w := range r.reached {
		if ns := w.workload.Namespace; ns != o.Namespace {
			r.edit(diag.KeyNoCluster, o, "let it be seen in "+ns, func(e *mesh.Editor) error { return e.Append("spec.exportTo", ns) })
			return
		}
	}
}

// originate makes proxies speak TLS to the host.
func (r *rule) originate(diagnose.Finding) {
	if r.out.Server.DestinationRule == "" {
		r.external(diag.KeyTransport, "let the proxies speak TLS to it, with its name")
		return
	}
	ns, name, _ := strings.Cut(r.out.Server.DestinationRule, "/")
	o := r.ev.Snapshot.Find(mesh.GroupNetworking, "DestinationRule", ns, name)
	if o == nil {
		return
	}
	spec := &netapi.DestinationRule{}
	if o.DecodeSpec(spec) != nil {
		return
	}
	field := "spec.trafficPolicy.tls"
	for i, p := range spec.GetTrafficPolicy().GetPortLevelSettings() {
		if int(p.GetPort().GetNumber()) == r.addr.Port {
			field = "spec.trafficPolicy.portLevelSettings[" + strconv.Itoa(i) + "].tls"
		}
	}
	if r.addr.Scheme == "http" {
		mode := istio.TLSDisable
		if r.out.Server.MTLS == "STRICT" {
			mode = istio.TLSIstioMutual
		}
		r.edit(diag.KeyTransport, o, "let the DestinationRule ask for what the server takes: mode "+mode, func(e *mesh.Editor) error { return e.Set(field+".mode", mode) })
		return
	}
	r.edit(diag.KeyTransport, o, "let the DestinationRule speak TLS: mode SIMPLE, sni "+r.addr.Host, func(e *mesh.Editor) error {
		if err := e.Set(field+".mode", "SIMPLE"); err != nil {
			return err
		}
		if r.ev.CA != "" {
			if err := e.Set(field+".caCertificates", r.ev.CA); err != nil {
				return err
			}
		}
		return e.Set(field+".sni", r.addr.Host)
	})
}

// external are the ServiceEntry and the DestinationRule that scaffold makes for a host.
func (r *rule) external(code diag.Code, summary string) {
	in := scaffold.Intent{
		Namespace: r.origin.Namespace, Where: scaffold.Where{WholeNamespace: true}, Fetcher: scaffold.ByEnvoy, Insecure: true, Open: true,
		Issuers: []scaffold.Issuer{{Issuer: r.spec.GetIssuer(), JWKSURI: r.addr.URI, CA: r.ev.CA}}, Name: "keys-of-" + r.object.Name,
	}
	if scope, err := istio.ScopeOf(r.ev.Snapshot); err == nil && scope.RootNamespace == r.origin.Namespace {
		in.Where = scaffold.Where{WholeMesh: true}
	}
	if len(r.reached) > 0 {
		_, in.Version = versions(r.ev, r.reached[0].workload)
	}
	plan, err := scaffold.Make(in, r.ev.Snapshot)
	if err != nil {
		return
	}
	f := Fix{Code: code, Summary: summary}
	for _, o := range plan.Objects {
		if o.Kind == "ServiceEntry" || o.Kind == "DestinationRule" {
			f.Objects = append(f.Objects, o)
		}
	}
	if len(f.Objects) > 0 {
		r.offer(f, nil)
	}
}

// follow writes the address at the end of a redirect, where it is one that keys may be at.
func (r *rule) follow(diagnose.Finding) {
	for _, f := range r.fetches {
		to := AddressOf(f.Location, r.origin.Namespace)
		if f.Kind != Redirect || f.Location == "" || to.Problem != "" || r.out.URI == "" || strings.Contains(strings.ToLower(to.Path), "login") || f.Location == r.out.URI {
			continue
		}
		r.setURI(diag.KeyAnswer, "write the address at its end: "+f.Location, f.Location)
		return
	}
}

func (r *rule) lookAtPods(diagnose.Finding) {
	service := r.ev.Snapshot.Find(mesh.GroupCore, "Service", r.addr.Namespace, r.addr.Service)
	if service == nil {
		return
	}
	var pairs []string
	selector := selectorOf(service)
	for _, k := range sortedTexts(selector) {
		pairs = append(pairs, k+"="+selector[k])
	}
	r.offer(Fix{Code: diag.KeyServerNotReady, Summary: "look why no pod is ready behind Service " + r.out.Server.Service,
		Command: fmt.Sprintf("kubectl get pods -n %s -l %s", r.addr.Namespace, strings.Join(pairs, ","))}, nil)
}

// touch makes the control plane push, and so fetch again. For as long as it repeats a
// fetch that failed, 7 times with a second in between, it takes a push for no reason to
// (Istio pilot/pkg/model/jwks_resolver.go:GetPublicKey, refresh).
func (r *rule) touch(diagnose.Finding) {
	if r.namedURI != "" {
		r.setURI(diag.KeysPending, "write what the issuer says into the rule, jwksUri: "+r.namedURI+"; then nothing has to be asked again", r.namedURI)
		return
	}
	r.edit(diag.KeysPending, r.object, "touch the policy, so that the control plane fetches again; where it began to fail less than 15 seconds ago, wait that long first", func(e *mesh.Editor) error {
		return e.Set(`metadata.annotations["`+touched+`"]`, r.ev.Now.UTC().Format(time.RFC3339))
	})
}

// fetchAgain makes the control plane take another address for a new one, which it fetches
// at once; where it can be seen, it can be started again instead.
func (r *rule) fetchAgain(diagnose.Finding) {
	if r.out.Fetcher != ByControlPlane {
		return
	}
	u, err := url.Parse(r.out.URI)
	if err != nil {
		return
	}
	q := u.Query()
	q.Set("fetch", strconv.FormatInt(r.ev.Now.Unix(), 10))
	u.RawQuery = q.Encode()
	r.setURI(diag.KeysStale, "add a query to the address: the control plane takes it for a new one, and fetches at once", u.String())
	if !r.plane.Object.IsZero() {
		r.offer(Fix{Code: diag.KeysStale, Summary: "or start the control plane again, which then fetches all keys",
			Command: fmt.Sprintf("kubectl rollout restart deployment/%s -n %s", r.plane.Object.Name, r.plane.Object.Namespace)}, nil)
	}
}

func (r *rule) upgrade(diagnose.Finding) {
	r.offer(Fix{Code: diag.KeysForgeable, Summary: "upgrade the control plane to 1.27.8, 1.28.5, 1.29.1, 1.30 or newer; until then put the keys into the rule, or take the rule away"}, nil)
}
