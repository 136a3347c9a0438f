package scaffold

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Plan are the objects to apply, with what is to be said about them.
type Plan struct {
	Place   Place
	Objects []*Object
	Notes   []Note
	// Version is the control plane's, from VersionFrom; the zero value is the newest.
	Version     version.Version
	VersionFrom string
	ASM         bool
	intent      Intent
	exempt      []string
	probes      []string
	root        string
	trustDomain string
}

// Note is something worth knowing about the objects.
type Note struct {
	// Warning is set where something will most likely not be as it was meant.
	Warning bool
	Text    string
}

// planner makes a plan.
type planner struct {
	in      *Intent
	snap    *mesh.Snapshot // nil where nothing was read
	root    string
	trust   string
	version version.Version
	from    string
	asm     bool
	place   Place
	name    string
	probes  []string
	// tcpPorts are ports of the workloads that carry no HTTP.
	tcpPorts []string
	// allowed is set where an ALLOW policy is in force already, so that what no rule
	// names is closed before anything new is applied.
	allowed bool
	entries []*Object
	rules   []*Object
	notes   []Note
}

func (p *planner) note(format string, args ...any) { p.say(false, format, args...) }
func (p *planner) warn(format string, args ...any) { p.say(true, format, args...) }

func (p *planner) say(warning bool, format string, args ...any) {
	n := Note{warning, fmt.Sprintf(format, args...)}
	if !slices.Contains(p.notes, n) {
		p.notes = append(p.notes, n)
	}
}

// Make makes the objects. The snapshot is what is there already, and nil where nothing
// was read. What must not be made is a *Refusal.
func Make(in Intent, snap *mesh.Snapshot) (*Plan, error) {
	p := &planner{in: &in, snap: snap, root: defaultRoot, trust: "cluster.local"}
	if snap != nil {
		scope, err := istio.ScopeOf(snap)
		if err != nil {
			return nil, err
		}
		p.root, p.trust = scope.RootNamespace, scope.TrustDomain
	}
	if len(in.Issuers) == 0 {
		return nil, refuse("add --issuer ISSUER, the iss of your tokens", "there is no issuer")
	}
	for i := range in.Issuers {
		if err := in.checkIssuer(&in.Issuers[i]); err != nil {
			return nil, err
		}
	}
	if err := in.checkAccess(); err != nil {
		return nil, err
	}
	if err := p.resolve(); err != nil {
		return nil, err
	}
	p.findVersion()
	if err := p.gates(); err != nil {
		return nil, err
	}
	if err := p.nameObjects(); err != nil {
		return nil, err
	}
	if err := p.lookAtWorkloads(); err != nil {
		return nil, err
	}
	return p.make()
}

func (p *planner) make() (*Plan, error) {
	var rules []any
	for i := range p.in.Issuers {
		rule, err := p.jwtRule(&p.in.Issuers[i])
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	auth := &Object{
		APIVersion: p.securityVersion(), Kind: "RequestAuthentication", Namespace: p.place.Namespace, Name: p.name,
		Why:  []string{"Applies to " + p.place.What + ".", "Checks tokens: a bad one is refused, with 401, on every path."},
		Spec: append(p.attachment(), Member{Key: "jwtRules", Value: rules}),
	}
	out := &Plan{Version: p.version, VersionFrom: p.from, ASM: p.asm, intent: *p.in, exempt: p.exempt(), probes: p.probes, root: p.root, trustDomain: p.trust}
	out.Objects = append(out.Objects, auth)
	if policy := p.policy(); policy != nil {
		out.Objects = append(out.Objects, policy)
	}
	out.Objects = append(append(out.Objects, p.entries...), p.rules...)
	if err := p.conflicts(out.Objects); err != nil {
		return nil, err
	}
	p.remarks()
	out.Place, out.Notes = p.place, p.notes
	return out, nil
}

// remarks say what one would not expect.
func (p *planner) remarks() {
	if p.snap != nil {
		for _, g := range p.snap.Gaps() {
			why := g.Why
			if g.Permission != "" {
				why += " (ask for: " + g.Permission + ")"
			}
			p.warn("could not read %s: %s", g.What, why)
		}
	}
	seen := map[string]bool{}
	for _, i := range p.in.Issuers {
		if seen[i.Issuer] {
			p.warn("two rules are for the issuer %q: one is enough, unless their places or audiences differ", i.Issuer)
		}
		seen[i.Issuer] = true
	}
	if p.in.Preflight {
		p.note("every OPTIONS request passes without a token, on every path")
	}
	for _, path := range p.exempt() {
		if whole, ok := strings.CutSuffix(path, "/*"); ok && whole != "" && !slices.Contains(p.exempt(), whole) {
			p.note("%s does not cover %s itself", path, whole)
		}
	}
	if len(p.exempt()) > 0 {
		p.note("a bad token is refused on every path: tokens are checked before any DENY or ALLOW policy sees the path")
	}
}

// findVersion is what the flags say, else the tag of the proxies' image.
func (p *planner) findVersion() {
	p.version, p.from, p.asm = p.in.Version, "flag", p.in.ASM
	if p.snap == nil {
		return
	}
	for _, w := range p.place.Workloads {
		c, ok := w.ProxyContainer()
		if !ok {
			continue
		}
		v, known := version.FromImage(c.Image)
		if strings.Contains(c.Image, "/acs/proxyv2") || v.IsASM() {
			p.asm = true
		}
		if p.version.IsZero() && known {
			p.version, p.from = v, "image of "+nameOf(w)
		}
	}
	p.asm = p.asm || len(p.snap.Kind(mesh.GroupASM, "IstioGateway"))+len(p.snap.Kind(mesh.GroupASM, "ASMMeshConfig")) > 0
}

var objectNames = lazyregexp.New(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// nameObjects finds the name of the pair.
func (p *planner) nameObjects() error {
	if p.name = p.in.Name; p.name == "" {
		base := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
				return r
			}
			return '-'
		}, strings.ToLower(p.place.base))
		p.name = strings.Trim(base, "-") + "-jwt"
		if p.name == "-jwt" {
			p.name = "jwt"
		}
	}
	if !objectNames.MatchString(p.place.Namespace) || len(p.place.Namespace) > 63 {
		return refuse("write it as kubectl get namespaces does", "-n %q is no name that a namespace can have", p.place.Namespace)
	}
	if !objectNames.MatchString(p.name) {
		return refuse("write it as httpbin-jwt", "--name %q is no name that an object can have", p.name)
	}
	return nil
}

// oneRef reports whether the reference must be written as targetRef, the older form.
func (p *planner) oneRef() bool {
	return len(p.place.Refs) == 1 && p.place.Refs[0].Kind == "Gateway" && version.TargetRefs.Has(p.version) == version.No
}

// lookAtWorkloads finds health checks, and ports that carry no HTTP.
func (p *planner) lookAtWorkloads() error {
	if p.in.Probes && p.snap == nil {
		return refuse("give the manifests with -f, or name the paths with --skip-path", "--allow-probes, but the health checks are not known")
	}
	http := map[int]bool{}
	tcp := map[int]string{}
	for _, w := range p.place.Workloads {
		if p.in.Probes {
			p.takeProbes(w)
		}
		ports, err := istio.Ports(p.snap, w)
		if err != nil {
			return err
		}
		for _, port := range ports {
			if port.Protocol == istio.ProtocolTCP {
				tcp[port.Number] = nameOf(w)
			} else {
				http[port.Number] = true
			}
		}
	}
	if p.in.Open {
		return nil
	}
	if len(tcp) > 0 && len(p.in.AllowPaths) > 0 {
		if err := p.findAllowed(); err != nil {
			return err
		}
	}
	for _, n := range slices.Sorted(maps.Keys(tcp)) {
		if http[n] {
			p.warn("port %d carries HTTP at one workload and bytes at %s, where every connection will be closed: select fewer pods", n, tcp[n])
			continue
		}
		p.tcpPorts = append(p.tcpPorts, strconv.Itoa(n))
		p.note("port %d of %s carries no HTTP: there are no tokens there, and it stays as it is", n, tcp[n])
	}
	if p.in.Probes && len(p.probes) == 0 {
		p.note("--allow-probes: no container has a health check over HTTP, so nothing is opened for one")
	}
	return nil
}

// findAllowed looks for ALLOW policies that reach the workloads already.
func (p *planner) findAllowed() error {
	for _, w := range p.place.Workloads {
		ports, err := istio.Ports(p.snap, w)
		if err != nil || len(ports) == 0 {
			return err
		}
		res, err := istio.Translate(istio.Input{Snapshot: p.snap, Workload: w, Port: ports[0].Number, Service: ports[0].Fronted})
		if err != nil || res == nil {
			continue // the table says so
		}
		for _, c := range res.Considered {
			o := p.snap.Find(mesh.GroupSecurity, c.Kind, c.Namespace, c.Name)
			spec := &securityapi.AuthorizationPolicy{}
			if !c.Attached || c.Kind != "AuthorizationPolicy" || c.Namespace == p.place.Namespace && c.Name == p.name || o == nil || o.DecodeSpec(spec) != nil {
				continue
			}
			p.allowed = p.allowed || spec.GetAction() == securityapi.AuthorizationPolicy_ALLOW
		}
	}
	return nil
}

func (p *planner) takeProbes(w mesh.Workload) {
	for _, c := range w.Containers {
		if c.Name == mesh.ProxyContainerName {
			continue // its own port takes no policies
		}
		for _, probe := range c.Probes {
			if !slices.Contains(p.probes, probe.Path) && probe.Path != "/" && checkPath("", probe.Path, false) == nil {
				p.probes = append(p.probes, probe.Path)
			}
			if probe.Path == "/" {
				p.warn("a health check of %s asks for /, which is left closed: name another path for it", nameOf(w))
			}
		}
	}
}

// conflicts refuses names that are taken by something else.
func (p *planner) conflicts(objects []*Object) error {
	if p.snap == nil {
		return nil
	}
	for _, o := range objects {
		group, _, _ := strings.Cut(o.APIVersion, "/")
		have := p.snap.Find(group, o.Kind, o.Namespace, o.Name)
		if have == nil {
			continue
		}
		was, err := have.RawSpec()
		if err != nil {
			return err
		}
		is, err := o.plain()
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(was, is) {
			return refuse("choose another name with --name, or take that object away", "%s %s/%s exists already, with other content (%s)", o.Kind, o.Namespace, o.Name, have.Position)
		}
		p.note("%s %s/%s exists already, as it would be made", o.Kind, o.Namespace, o.Name)
	}
	return nil
}
