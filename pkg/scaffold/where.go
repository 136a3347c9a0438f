package scaffold

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Place is where the policies go, and what they reach.
type Place struct {
	Namespace string
	Selector  map[string]string // nil: none
	Refs      []TargetRef
	// What is what they apply to, in words; Reach is how many workloads that are.
	What, Reach string
	// Workloads are those that are reached, of what was read.
	Workloads []mesh.Workload
	// Extra are workloads that are reached though they were not asked for.
	Extra []string
	base  string
}

const defaultRoot = "istio-system"

// resolve finds the place.
func (p *planner) resolve() error {
	w, err := p.in.Where, error(nil)
	switch {
	case w.Target != (mesh.Target{}):
		err = p.byTarget(w.Target)
	case w.Gateway != "":
		err = p.byGateway(w.Gateway)
	case len(w.TargetRefs) > 0:
		err = p.byRefs(w.TargetRefs)
	case w.Selector != nil:
		p.place = Place{Namespace: p.in.Namespace, Selector: w.Selector, What: "pods with " + selectorWords(w.Selector) + " in " + p.in.Namespace, base: firstValue(w.Selector)}
		if p.in.Namespace == p.root {
			p.place.What = "pods with " + selectorWords(w.Selector) + " in every namespace (" + p.root + " is the root namespace)"
		}
	case w.WholeMesh:
		p.place = Place{Namespace: p.root, What: "the whole mesh, gateways included (" + p.root + " is the root namespace)", base: "mesh"}
	case p.in.Namespace == p.root:
		err = refuse("say it with --whole-mesh, or select pods with -l", "%s is the root namespace: a policy there without a selector is for every workload of the mesh", p.root)
	default:
		p.place = Place{Namespace: p.in.Namespace, What: "every workload in the namespace " + p.in.Namespace, base: p.in.Namespace}
	}
	if err != nil {
		return err
	}
	for _, k := range sortedKeys(p.place.Selector) {
		if v := p.place.Selector[k]; !labelKey.MatchString(k) || !labelValue.MatchString(v) {
			return refuse("kubectl get pods --show-labels shows what labels look like", "%q is no label that a pod can have", k+"="+v)
		}
	}
	for _, r := range p.place.Refs {
		if !objectNames.MatchString(r.Name) {
			return refuse("write KIND/NAME, such as Gateway/public", "--target-ref: %q is no name that an object can have", r.Name)
		}
	}
	return p.reach()
}

// Labels as the API server takes them (k8s.io/apimachinery pkg/util/validation).
var (
	labelKey   = lazyregexp.New(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValue = lazyregexp.New(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
)

// byTarget takes the labels of a workload, or the reference to a Gateway.
func (p *planner) byTarget(t mesh.Target) error {
	if p.snap == nil {
		return refuse("give its manifest with -f, or its labels with -l app="+t.Name, "the labels of %s are not known", t)
	}
	found, err := p.snap.Resolve(t, p.in.Namespace)
	if err != nil {
		return err
	}
	what := t.String() + " in " + p.in.Namespace
	if role := istio.RoleOf(p.snap, found[0]); role == envoy.RoleZtunnel {
		return refuse("put a waypoint in front of its Service, and use --target-ref Service/NAME",
			"%s has no sidecar but is captured by ztunnel, which reads no tokens", what)
	}
	if t.Type == mesh.TypeGateway {
		p.place = Place{Namespace: p.in.Namespace, Refs: []TargetRef{{"Gateway", t.Name}}, What: "the Gateway " + t.Name + " in " + p.in.Namespace, base: t.Name}
		return nil
	}
	return p.selecting(what, t.Name, found)
}

// selecting finds the labels that select just these workloads.
func (p *planner) selecting(what, base string, found []mesh.Workload) error {
	all, err := p.candidates(found[0].Namespace)
	if err != nil {
		return err
	}
	common := maps.Clone(found[0].Labels)
	for _, w := range found[1:] {
		maps.DeleteFunc(common, func(k, v string) bool { return w.Labels[k] != v })
	}
	maps.DeleteFunc(common, func(k, _ string) bool { return p.passing(k) })
	if len(common) == 0 {
		return refuse("label the pods first, for example app: "+base, "the pods of %s have no label that policies could select them by", what)
	}
	selector, exact := narrow(common, found, all)
	p.place = Place{Namespace: found[0].Namespace, Selector: selector, What: what, base: base}
	if !exact {
		for _, w := range all {
			if mesh.SelectorMatches(selector, w.Labels) && !among(w, found) {
				p.place.Extra = append(p.place.Extra, nameOf(w))
			}
		}
	}
	return nil
}

// passing reports labels that come and go with a revision, or that say which version
// of a thing a pod is: a policy by them would not hold for the next one.
func (p *planner) passing(key string) bool {
	switch key {
	case "version", "app.kubernetes.io/version", "helm.sh/chart", "pod-template-hash", "controller-revision-hash", "istio.io/rev",
		"app.kubernetes.io/managed-by", "service.istio.io/canonical-name", "service.istio.io/canonical-revision", "chart", "heritage", "sidecar.istio.io/inject":
		return true
	}
	return strings.HasPrefix(key, "security.istio.io/") || strings.HasPrefix(key, "topology.")
}

// preferred are the labels by which people tell workloads apart.
func preferred() []string {
	return []string{"app", "app.kubernetes.io/name", "k8s-app", "name", "istio", "app.kubernetes.io/instance", "app.kubernetes.io/component", "component"}
}

// narrow is the shortest of the usual selectors that takes the workloads and no other;
// all common labels where there is none, which is then not exact.
func narrow(common map[string]string, found, all []mesh.Workload) (map[string]string, bool) {
	keys := sortedKeys(common)
	rank := func(k string) int {
		if i := slices.Index(preferred(), k); i >= 0 {
			return i
		}
		return len(preferred())
	}
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	exact := func(selector map[string]string) bool {
		for _, w := range all {
			if mesh.SelectorMatches(selector, w.Labels) && !among(w, found) {
				return false
			}
		}
		return true
	}
	for _, k := range keys {
		if s := map[string]string{k: common[k]}; exact(s) {
			return s, true
		}
	}
	for i, k := range keys {
		for _, l := range keys[i+1:] {
			if s := map[string]string{k: common[k], l: common[l]}; exact(s) {
				return s, true
			}
		}
	}
	return common, exact(common)
}

func among(w mesh.Workload, list []mesh.Workload) bool {
	return slices.ContainsFunc(list, func(o mesh.Workload) bool {
		return o.Ref == w.Ref && slices.Equal(o.Pods, w.Pods) || o.Ref.Kind == "Pod" && slices.Contains(w.Pods, o.Ref.Name)
	})
}

// candidates are the workloads that a policy of the namespace can reach.
func (p *planner) candidates(namespace string) ([]mesh.Workload, error) {
	if p.snap == nil {
		return nil, nil
	}
	namespaces := []string{namespace}
	if namespace == p.root {
		namespaces = p.snap.Namespaces()
	}
	var out []mesh.Workload
	for _, ns := range namespaces {
		list, err := p.snap.Workloads(ns)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// byGateway finds a classic gateway by one of the names that people have for it.
func (p *planner) byGateway(name string) error {
	if p.snap == nil {
		label := strings.TrimPrefix(name, "istio-")
		p.place = Place{Namespace: p.root, Selector: map[string]string{"istio": label}, base: name,
			What: "the gateway " + name + " in " + p.root + ", by the label that Istio and ASM give it"}
		return nil
	}
	for _, ns := range slices.Compact([]string{p.in.Namespace, p.root}) {
		if o := p.snap.Find(mesh.GroupNetworking, "Gateway", ns, name); o != nil {
			return p.byGatewayObject(o)
		}
		for _, typ := range []string{mesh.TypeDeployment, mesh.TypeService, mesh.TypeDaemonSet, mesh.TypeIstioGateway} {
			for _, n := range []string{name, "istio-" + name} {
				found, err := p.snap.Resolve(mesh.Target{Type: typ, Name: n}, ns)
				if err != nil || istio.RoleOf(p.snap, found[0]) != envoy.RoleGateway {
					continue
				}
				return p.selecting("the gateway "+mesh.Target{Type: typ, Name: n}.String()+" in "+ns, name, found)
			}
		}
		if p.snap.Find(mesh.GroupGateway, "Gateway", ns, name) != nil {
			return refuse("name it as gateway/"+name, "--gateway is for classic gateways, and %s is one of the Gateway API", name)
		}
	}
	return refuse("name its Deployment, Service, IstioGateway or Gateway, and give its manifest with -f", "there is no gateway %q in %s or %s", name, p.in.Namespace, p.root)
}

// byGatewayObject takes the selector of a Gateway of Istio's.
func (p *planner) byGatewayObject(o *mesh.Object) error {
	var spec struct {
		Selector map[string]string `json:"selector"`
	}
	if err := o.DecodeSpec(&spec); err != nil {
		return err
	}
	namespaces := map[string]bool{}
	for _, ns := range p.snap.Namespaces() {
		list, err := p.snap.Workloads(ns)
		if err != nil {
			return err
		}
		for _, w := range list {
			if mesh.SelectorMatches(spec.Selector, w.Labels) {
				namespaces[ns] = true
			}
		}
	}
	if len(namespaces) != 1 || len(spec.Selector) == 0 {
		return refuse("name the gateway's Deployment instead, such as deploy/istio-ingressgateway -n "+p.root,
			"the Gateway %s/%s selects pods in %d namespaces of what was read, and a policy is for one", o.Namespace, o.Name, len(namespaces))
	}
	ns := sortedKeys(namespaces)[0]
	p.place = Place{Namespace: ns, Selector: spec.Selector, base: o.Name,
		What: fmt.Sprintf("the pods that the Gateway %s/%s selects, %s in %s", o.Namespace, o.Name, selectorWords(spec.Selector), ns)}
	return nil
}

// byRefs checks references as admission does (Istio pkg/config/validation/validation.go:validatePolicyTargetReference).
func (p *planner) byRefs(refs []TargetRef) error {
	p.place = Place{Namespace: p.in.Namespace, Refs: refs, base: refs[0].Name}
	var words []string
	for _, r := range refs {
		words = append(words, "the "+r.Kind+" "+r.Name)
		switch r.Kind {
		case "Gateway", "Service", "ServiceEntry":
		case "GatewayClass":
			if r.Name != "istio-waypoint" {
				return refuse("write --target-ref GatewayClass/istio-waypoint", "policies attach to no GatewayClass but istio-waypoint")
			}
			if p.in.Namespace != p.root {
				return refuse("add -n "+p.root, "a policy for a GatewayClass counts in the root namespace %s only", p.root)
			}
		default:
			return refuse("choose one of Gateway, Service, ServiceEntry, GatewayClass", "--target-ref: policies attach to no %s", r.Kind)
		}
	}
	p.place.What = strings.Join(words, " and ") + " in " + p.in.Namespace
	return nil
}

// reach finds the workloads, and says how many they are.
func (p *planner) reach() error {
	pl := &p.place
	if p.snap == nil {
		pl.Reach = "no manifests were given, so how many that are is not known"
		return nil
	}
	all, err := p.candidates(pl.Namespace)
	if err != nil {
		return err
	}
	for _, w := range all {
		if p.reaches(w) {
			pl.Workloads = append(pl.Workloads, w)
		}
	}
	pods, templates := 0, 0
	names := map[string]bool{}
	for _, w := range pl.Workloads {
		names[w.Ref.String()] = true
		pods += len(w.Pods)
		templates += b2i(w.FromTemplate)
	}
	pl.Reach = plural(len(names), "workload") + ", " + plural(pods, "pod")
	if pods == 0 && templates > 0 {
		pl.Reach = plural(len(names), "workload") + ", no pods among what was read"
	}
	if len(names) == 0 {
		pl.Reach = "nothing of what was read"
		p.warn("nothing of what was read is reached: is the name or the label right?")
	}
	if len(pl.Extra) > 0 {
		p.warn("the labels also select %s: there is no label that tells them apart", strings.Join(pl.Extra, ", "))
	} else if p.in.Where.Target != (mesh.Target{}) && len(names) > 0 {
		pl.Reach += ", and nothing else"
		if p.in.Partial && pl.Namespace == p.root {
			pl.Reach += " here"
			p.note("%s is the root namespace: pods with the same labels in other namespaces, where nothing was read, are reached too", p.root)
		}
	}
	return nil
}

// reaches reports whether the policies will be in force at a workload, as
// istio.Translate decides it, from what is known before there are objects.
func (p *planner) reaches(w mesh.Workload) bool {
	pl := p.place
	if len(pl.Refs) == 0 {
		return mesh.SelectorMatches(pl.Selector, w.Labels)
	}
	gateway := w.Labels["gateway.networking.k8s.io/gateway-name"]
	for _, r := range pl.Refs {
		switch {
		case gateway == "":
		case r.Kind == "Gateway" && gateway == r.Name && w.Namespace == pl.Namespace:
			return true
		case r.Kind == "GatewayClass" && istio.RoleOf(p.snap, w) == envoy.RoleWaypoint:
			return true
		case r.Kind == "Service" || r.Kind == "ServiceEntry":
			for _, f := range istio.FrontedBy(p.snap, w.Namespace, gateway) {
				if f.Ref.Kind == r.Kind && f.Name == r.Name && f.Namespace == pl.Namespace {
					return true
				}
			}
		}
	}
	return false
}

// attachment is the selector or the references of a policy.
func (p *planner) attachment() Map {
	pl := p.place
	switch {
	case len(pl.Refs) > 0:
		var list []any
		for _, r := range pl.Refs {
			group := map[string]string{"Gateway": mesh.GroupGateway, "GatewayClass": mesh.GroupGateway, "ServiceEntry": mesh.GroupNetworking}[r.Kind]
			list = append(list, Map{{Key: "group", Value: group}, {Key: "kind", Value: r.Kind}, {Key: "name", Value: r.Name}})
		}
		if p.oneRef() {
			return Map{{Key: "targetRef", Value: list[0]}}
		}
		return Map{{Key: "targetRefs", Value: list}}
	case pl.Selector != nil:
		return Map{{Key: "selector", Value: Map{{Key: "matchLabels", Value: labels(pl.Selector)}}}}
	}
	return nil
}

func selectorWords(s map[string]string) string {
	var out []string
	for _, k := range sortedKeys(s) {
		out = append(out, k+"="+s[k])
	}
	return strings.Join(out, ",")
}

func firstValue(s map[string]string) string {
	for _, k := range append(preferred(), sortedKeys(s)...) {
		if s[k] != "" {
			return s[k]
		}
	}
	return ""
}

func nameOf(w mesh.Workload) string {
	name := strings.ToLower(w.Ref.Kind) + "/" + w.Ref.Name
	if t, ok := mesh.TargetOf(w.Ref.Kind, w.Ref.Name); ok {
		name = t.String()
	}
	return name + " in " + w.Namespace
}

func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return itoa(n) + " " + word
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
