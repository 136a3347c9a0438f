package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// configurations are mesh configurations that a mesh may have besides the default one,
// as far as they decide about requests. The names are those of nobody.
var configurations = []string{
	"pathNormalization: {normalization: NONE}",
	"pathNormalization: {normalization: MERGE_SLASHES}",
	"pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}",
	"trustDomain: not-known.invalid",
	"defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}",
	"defaultConfig: {proxyHeaders: {forwardedClientCert: SANITIZE}}",
}

// doubtConfiguration judges with other mesh configurations too where the real one could
// not be read, and makes the verdict undetermined if they disagree. The root namespace
// alone is taken to be the default one, which is said among what is assumed.
func doubtConfiguration(d *Diagnosis, in Intent, snap *mesh.Snapshot) error {
	missing := configurationUnread(snap)
	if len(missing) == 0 || d.Target.Role == string(envoy.RoleNone) || d.Evidence != nil {
		return nil // what the proxy holds was made of the real one
	}
	for i := range d.Assumed {
		if d.Assumed[i].Source == "default" {
			d.Assumed[i].Source = "default, not read"
		}
	}
	var possible []Verdict
	texts := append(slices.Clone(configurations), authorizers(snap)...)
	for _, text := range texts {
		other, err := withConfiguration(snap, text)
		if err != nil {
			return err
		}
		o, err := run(in, other)
		if err != nil {
			return err
		}
		if !sameVerdict(o.Verdict, d.Verdict) && !slices.ContainsFunc(possible, func(v Verdict) bool { return sameVerdict(v, o.Verdict) }) {
			possible = append(possible, o.Verdict)
		}
	}
	if len(possible) > 0 {
		d.unsettle(missing, possible)
	}
	return nil
}

func configurationUnread(snap *mesh.Snapshot) envoy.Deps {
	var out envoy.Deps
	for _, u := range []mesh.Unread{{Group: mesh.GroupCore, Kind: "ConfigMap", Namespace: "istio-system"}, {Group: mesh.GroupASM, Kind: "ASMMeshConfig"}} {
		if g := snap.Unread(u.Group, u.Kind, u.Namespace, u.Name); g != nil {
			out = append(out, istio.Unread(g))
		}
	}
	return out
}

// authorizers are configurations in which the external authorizers that policies name
// exist.
func authorizers(snap *mesh.Snapshot) []string {
	var providers []string
	for _, o := range snap.Kind(mesh.GroupSecurity, "AuthorizationPolicy") {
		if !o.Mentions("CUSTOM") {
			continue
		}
		spec, err := o.RawSpec()
		if err != nil || spec["action"] != "CUSTOM" {
			continue
		}
		provider, _ := spec["provider"].(map[string]any)
		if name, ok := provider["name"].(string); ok {
			providers = append(providers, fmt.Sprintf("{name: %q, envoyExtAuthzGrpc: {service: %s, port: 9000}}", name, nobody))
		}
	}
	if len(providers) == 0 {
		return nil
	}
	slices.Sort(providers)
	return []string{"extensionProviders: [" + strings.Join(slices.Compact(providers), ", ") + "]"}
}

// nobody is the host of an authorizer that stands for one that is not known.
const nobody = "not-known.invalid"

// withConfiguration puts a mesh configuration in the place of the one that was not read.
func withConfiguration(snap *mesh.Snapshot, text string) (*mesh.Snapshot, error) {
	manifest := fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: %q}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: not-known, namespace: istio-system}
spec: {hosts: [%s], ports: [{number: 9000, name: grpc, protocol: GRPC}], resolution: DNS}
`, text, nobody)
	objects, err := mesh.Parse([]byte(manifest), mesh.ParseOptions{})
	if err != nil {
		return nil, fmt.Errorf("judge with another mesh configuration: %w", err)
	}
	return snap.With(objects)
}

// unsettle makes a verdict undetermined between itself and others.
func (d *Diagnosis) unsettle(on envoy.Deps, others []Verdict) {
	all := append([]Verdict{d.Verdict}, others...)
	var flat []Verdict
	for _, v := range all {
		if v.Decision != envoy.Undetermined {
			flat = append(flat, v)
			continue
		}
		for _, p := range d.Possibilities {
			flat = append(flat, Verdict{Decision: p.Decision, Status: p.Status, Body: p.Body, ResponseCodeDetails: p.Details})
		}
		for _, status := range v.Possible {
			flat = append(flat, Verdict{Decision: decisionOf(status), Status: status})
		}
	}
	slices.SortStableFunc(flat, func(a, b Verdict) int { return severity(a) - severity(b) })
	d.Verdict = Verdict{Decision: envoy.Undetermined}
	d.Possibilities, d.Because = nil, ""
	for _, v := range flat {
		if !slices.Contains(d.Verdict.Possible, v.Status) {
			d.Verdict.Possible = append(d.Verdict.Possible, v.Status)
			p := Possibility{Decision: v.Decision, Status: v.Status, Body: v.Body, Details: v.ResponseCodeDetails}
			for _, m := range on {
				p.DependsOn = append(p.DependsOn, m.What)
			}
			d.Possibilities = append(d.Possibilities, p)
		}
	}
	for _, m := range on {
		d.DependsOn = append(d.DependsOn, Dependency{What: m.What, Why: m.Why, Hint: m.Hint})
	}
}

func decisionOf(status int) envoy.Decision {
	if status == 200 {
		return envoy.Allowed
	}
	return envoy.Denied
}
