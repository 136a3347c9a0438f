package istio

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	extensionsapi "istio.io/api/extensions/v1alpha1"
	meshapi "istio.io/api/mesh/v1alpha1"
	netbeta "istio.io/api/networking/v1beta1"
	typeapi "istio.io/api/type/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// What an object that cannot be read may lead to, besides the verdict without it.
var (
	mayClose = []envoy.Verdict{{Decision: envoy.Denied}, {Decision: envoy.Allowed, Status: 200}}
	mayDeny  = []envoy.Verdict{{Decision: envoy.Denied, Status: 403}, {Decision: envoy.Allowed, Status: 200}}
	may401   = []envoy.Verdict{{Decision: envoy.Denied, Status: 401}, {Decision: envoy.Allowed, Status: 200}}
)

// unmodelled finds what reaches the proxy and is not modelled: EnvoyFilters, Wasm
// plugins and other extensions, and settings of the proxy's own.
func (t *translation) unmodelled() {
	for _, ns := range t.namespaces(t.mesh.rootNamespace, t.in.Workload.Namespace) {
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupNetworking, "EnvoyFilter", ns) {
			t.envoyFilter(o)
		}
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupExtensions, "WasmPlugin", ns) {
			t.wasmPlugin(o)
		}
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupExtensions, "TrafficExtension", ns) {
			t.trafficExtension(o)
		}
		for _, o := range t.in.Snapshot.InNamespace(mesh.GroupNetworking, "ProxyConfig", ns) {
			t.proxyConfigObject(o)
		}
	}
	t.ownSettings()
	if t.proxy.Role == envoy.RoleGateway {
		for _, g := range gatewaysOf(t.in.Snapshot, t.in.Workload) {
			if fields := t.newerFields(g.object); len(fields) > 0 {
				t.changed(origin.Origin{Ref: g.object.Ref()}, newerMissing(g.object.Ref(), fields), mayClose)
			}
		}
	}
}

func opaqueFilters(out []envoy.Filter, more []*envoy.Opaque) []envoy.Filter {
	for _, o := range more {
		out = append(out, o)
	}
	return out
}

// changed notes a change of the listener that is not modelled.
func (t *translation) changed(o origin.Origin, m *envoy.Missing, may []envoy.Verdict) {
	t.proxy.Changed = append(t.proxy.Changed, &envoy.Opaque{Origin: o, Missing: m, May: may})
}

// skip notes an object that was looked at and that changes nothing.
func (t *translation) skip(o *mesh.Object, why string) {
	t.result.Unmodelled = append(t.result.Unmodelled, Considered{Ref: o.Ref(), Why: why})
}

func (t *translation) counts(o *mesh.Object) {
	t.result.Unmodelled = append(t.result.Unmodelled, Considered{Ref: o.Ref(), Attached: true})
}

// doing is the fact that is missing where an object does something that is not modelled.
func doing(o *mesh.Object, what string) *envoy.Missing {
	return &envoy.Missing{
		What: "what " + o.Kind + " " + o.Namespace + "/" + o.Name + " does to the request",
		Why:  what + ", which is not modelled",
		Hint: "send a request to the workload, with and without the object",
	}
}

// extension is what WasmPlugin and TrafficExtension have in common.
type extension struct {
	targetable
	phase   string
	network bool
	match   []selectorOfTraffic
}

// selectorOfTraffic is one entry of an extension's match.
type selectorOfTraffic interface {
	GetMode() typeapi.WorkloadMode
	GetPorts() []*typeapi.PortSelector
}

func (t *translation) wasmPlugin(o *mesh.Object) {
	spec := &extensionsapi.WasmPlugin{}
	if !t.decode(o, spec) {
		return
	}
	if spec.GetUrl() == "" {
		t.skip(o, "it has no url, so that istiod leaves it out")
		return
	}
	e := extension{targetable: spec, phase: spec.GetPhase().String(), network: spec.GetType() == extensionsapi.PluginType_NETWORK}
	for _, m := range spec.GetMatch() {
		e.match = append(e.match, m)
	}
	t.extension(o, e)
}

// withoutTargetRef makes a policy that has only targetRefs one that policies are
// compared with.
type withoutTargetRef struct {
	*extensionsapi.TrafficExtension
}

func (withoutTargetRef) GetTargetRef() *typeapi.PolicyTargetReference { return nil }

func (t *translation) trafficExtension(o *mesh.Object) {
	spec := &extensionsapi.TrafficExtension{}
	if !t.decode(o, spec) {
		return
	}
	if spec.GetLua() == nil && spec.GetWasm().GetUrl() == "" {
		t.skip(o, "it has neither a Lua nor a Wasm filter, so that istiod leaves it out")
		return
	}
	e := extension{targetable: withoutTargetRef{spec}, phase: spec.GetPhase().String(), network: spec.GetWasm().GetType() == extensionsapi.PluginType_NETWORK}
	for _, m := range spec.GetMatch() {
		e.match = append(e.match, m)
	}
	t.extension(o, e)
}

// extension puts an extension at its place among the filters
// (Istio pilot/pkg/model/extensions.go, pilot/pkg/networking/core/listener_builder.go).
func (t *translation) extension(o *mesh.Object, e extension) {
	if ok, why := t.attached(o, e); !ok {
		t.skip(o, why)
		return
	}
	if !t.matchesTraffic(e.match) {
		t.skip(o, "its match names other traffic than what comes in at this port")
		return
	}
	f := &envoy.Opaque{Origin: origin.Origin{Ref: o.Ref()}, Missing: doing(o, "it runs code of its own in the proxy"), May: mayDeny}
	switch {
	case e.network:
		t.counts(o)
		t.changed(f.Origin, f.Missing, mayClose)
	case strings.HasSuffix(e.phase, "AUTHN"):
		t.counts(o)
		t.beforeJWT = append(t.beforeJWT, f)
	case strings.HasSuffix(e.phase, "AUTHZ"):
		t.counts(o)
		t.beforeRBAC = append(t.beforeRBAC, f)
	case strings.HasSuffix(e.phase, "STATS"):
		t.skip(o, "its phase is STATS: it runs behind all policies and is there to count")
	default:
		// It runs behind all policies: what they refuse stays refused.
		t.counts(o)
		t.last = append(t.last, f)
	}
}

// matchesTraffic reports whether one of the entries takes what comes in at the port.
func (t *translation) matchesTraffic(match []selectorOfTraffic) bool {
	if len(match) == 0 {
		return true
	}
	own := typeapi.WorkloadMode_SERVER
	if t.proxy.Role == envoy.RoleGateway {
		own = typeapi.WorkloadMode_CLIENT
	}
	for _, m := range match {
		mode := m.GetMode()
		if mode != typeapi.WorkloadMode_UNDEFINED && mode != typeapi.WorkloadMode_CLIENT_AND_SERVER && mode != own {
			continue
		}
		if len(m.GetPorts()) == 0 || slices.ContainsFunc(m.GetPorts(), func(p *typeapi.PortSelector) bool { return int(p.GetNumber()) == t.in.Port }) {
			return true
		}
	}
	return false
}

// stripFragment is the variable with which istiod's answer to fragments is undone.
const stripFragment = "HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED"

func (t *translation) proxyConfigObject(o *mesh.Object) {
	spec := &netbeta.ProxyConfig{}
	if !t.decode(o, spec) {
		return
	}
	if ok, why := t.selected(spec.GetSelector()); !ok {
		t.skip(o, why)
		return
	}
	if fields := t.newerFields(o); len(fields) > 0 {
		t.counts(o)
		t.changed(origin.Origin{Ref: o.Ref()}, newerMissing(o.Ref(), fields), mayDeny)
		return
	}
	if isFalse(spec.GetEnvironmentVariables()[stripFragment]) {
		t.counts(o)
		t.fragmentDoubt(o.Ref().String())
		return
	}
	t.skip(o, "nothing that it sets has to do with the decision")
}

func (t *translation) fragmentDoubt(where string) {
	t.fragments = &envoy.Missing{
		What: "whether the proxy refuses a path with a fragment",
		Why:  where + " sets " + stripFragment + " to false, after which the proxy's own default holds",
		Hint: "leave the fragment out: a client does not send it",
	}
}

func isFalse(v string) bool {
	b, err := strconv.ParseBool(v)
	return err == nil && !b
}

// guards are the settings of the proxy's runtime whose effect is known.
var guards = map[string]envoy.Trait{
	"envoy.reloadable_features.rbac_match_headers_individually":        envoy.TraitHeadersIndividually,
	"envoy.reloadable_features.uri_template_match_on_asterisk":         envoy.TraitTemplateStar,
	"envoy.reloadable_features.jwt_authn_remove_jwt_from_query_params": envoy.TraitRemoveQueryToken,
	"envoy.reloadable_features.token_passed_entirely":                  envoy.TraitWholeTokenLine,
}

// ownSettings are what annotations and variables of the pod change.
func (t *translation) ownSettings() {
	for _, key := range sortedKeys(t.config.GetRuntimeValues()) {
		t.runtimeValue(key, t.config.GetRuntimeValues()[key])
	}
	if isFalse(t.config.GetProxyMetadata()[stripFragment]) {
		t.fragmentDoubt("the proxy's configuration")
	}
	if c, ok := t.in.Workload.ProxyContainer(); ok && isFalse(c.Env[stripFragment]) {
		t.fragmentDoubt("the container " + c.Name)
	}
	if name := t.in.Workload.Annotations["sidecar.istio.io/bootstrapOverride"]; name != "" {
		t.changed(origin.Origin{Ref: t.in.Workload.Ref, Field: `metadata.annotations["sidecar.istio.io/bootstrapOverride"]`}, &envoy.Missing{
			What: "what the bootstrap configuration " + strconv.Quote(name) + " changes",
			Why:  "the annotation sidecar.istio.io/bootstrapOverride puts it over the proxy's own",
			Hint: "look at the proxy's config_dump",
		}, mayDeny)
	}
}

// runtimeValue is one of the proxy's runtimeValues.
func (t *translation) runtimeValue(key, value string) {
	trait, known := guards[key]
	switch {
	case known && isFalse(value):
		t.proxy.Behavior.Set(trait, version.No)
	case known:
		t.proxy.Behavior.Set(trait, version.Yes)
	case strings.HasPrefix(key, "envoy.reloadable_features.") || strings.HasPrefix(key, "envoy.restart_features."):
		t.changed(origin.Origin{Ref: t.in.Workload.Ref, Field: "runtimeValues"}, &envoy.Missing{
			What: "what the runtime value " + key + " changes", Why: "the proxy's configuration sets it, and it is not modelled",
			Hint: "send a request to the workload",
		}, mayDeny)
	}
}

// BypassedBySetting stands in Result.Bypassed for the proxy's configuration.
const BypassedBySetting = "interceptionMode"

// BypassedByItself stands there for the ports of the proxy's own, for its status and its
// metrics: istio-init leaves them alone
// (manifests/charts/istio-control/istio-discovery/files/injection-template.yaml).
const BypassedByItself = "15090,15021"

// annotationStatus moves the port of pilot-agent's own status.
const annotationStatus = "status.sidecar.istio.io/port"

func ownPorts(w mesh.Workload) []string {
	status := w.Annotations[annotationStatus]
	if status == "" {
		status = "15020"
	}
	return append(portList(BypassedByItself), status)
}

// bypassed reports whether connections to the port do not pass the sidecar, by the
// pod's annotations (Istio's traffic.sidecar.istio.io/excludeInboundPorts and
// includeInboundPorts), and by which.
func (t *translation) bypassed() (string, bool) {
	const exclude, include = "traffic.sidecar.istio.io/excludeInboundPorts", "traffic.sidecar.istio.io/includeInboundPorts"
	port := strconv.Itoa(t.in.Port)
	if t.interceptionMode() == meshapi.ProxyConfig_NONE {
		if _, annotated := t.in.Workload.Annotations[annotationInterceptor]; annotated {
			return annotationInterceptor, true
		}
		return BypassedBySetting, true
	}
	if slices.Contains(ownPorts(t.in.Workload), port) {
		return BypassedByItself, true
	}
	if slices.Contains(portList(t.in.Workload.Annotations[exclude]), port) {
		return exclude, true
	}
	ports, ok := t.in.Workload.Annotations[include]
	if ok && !slices.Contains(portList(ports), "*") && !slices.Contains(portList(ports), port) {
		return include, true
	}
	return "", false
}

func portList(v string) []string {
	var out []string
	for _, p := range strings.Split(v, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// newerFields are the fields of a server's object that the API does not have.
func (t *translation) newerFields(o *mesh.Object) []string {
	var out []string
	for _, g := range mesh.FieldGaps(o) {
		t.result.Gaps = append(t.result.Gaps, g)
		field, _, _ := strings.Cut(g.What, " of ")
		out = append(out, field)
	}
	return out
}

// newerMissing is the fact that is missing where an object has newer fields; nil
// without any.
func newerMissing(ref origin.Ref, fields []string) *envoy.Missing {
	if len(fields) == 0 {
		return nil
	}
	return &envoy.Missing{
		What: fmt.Sprintf("what %s of %s means", strings.Join(fields, ", "), ref),
		Why:  "the field is newer than the API that this tool knows",
		Hint: "use a newer release of this tool",
	}
}

func (t *translation) newerRequestAuthentication(o *mesh.Object) {
	if fields := t.newerFields(o); len(fields) > 0 {
		t.doubtJWT(origin.Origin{Ref: o.Ref(), Field: fields[0]}, newerMissing(o.Ref(), fields))
	}
}

func (t *translation) newerPeerAuthentication(o *mesh.Object) {
	if fields := t.newerFields(o); len(fields) > 0 {
		t.changed(origin.Origin{Ref: o.Ref(), Field: fields[0]}, newerMissing(o.Ref(), fields), mayClose)
	}
}

// unreadable notes an object that does not fit the API. If it reaches the proxy,
// it may do anything that its kind can.
func (t *translation) unreadable(o *mesh.Object, err error) {
	if !t.rawSelected(o) {
		return
	}
	may := mayDeny
	switch o.Kind {
	case "PeerAuthentication":
		may = mayClose
	case "RequestAuthentication":
		may = may401
	}
	t.changed(origin.Origin{Ref: o.Ref()}, &envoy.Missing{
		What: "what " + o.Ref().String() + " says", Why: "it does not fit the API that this tool knows: " + err.Error(),
		Hint: "correct the object, or use a newer release of this tool",
	}, may)
}

// rawSelected reports whether the selector of an object that does not fit the API
// may match the workload.
func (t *translation) rawSelected(o *mesh.Object) bool {
	spec, err := o.RawSpec()
	if err != nil {
		return true
	}
	selector, _ := spec["selector"].(map[string]any)
	labels, _ := selector["matchLabels"].(map[string]any)
	if s, ok := spec["workloadSelector"].(map[string]any); ok {
		labels, _ = s["labels"].(map[string]any)
	}
	for k, v := range labels {
		if want, ok := v.(string); ok && t.in.Workload.Labels[k] != want {
			return false
		}
	}
	return true
}
