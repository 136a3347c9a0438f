package istio

import (
	"strings"
	"testing"
)

func peersOf(namespace, name, spec string) string {
	return object("security.istio.io/v1", "PeerAuthentication", namespace, name, spec)
}

func aged(text, created string) string {
	return strings.Replace(text, "metadata: {", "metadata: {creationTimestamp: '"+created+"', ", 1)
}

// PeerAuthentication as ztunnel sees it. The sources are Istio
// pilot/pkg/serviceregistry/ambient/authorization.go, the functions
// convertedSelectorPeerAuthentications (which policies a workload gets) and
// convertPeerAuthentication (what is in them).
func TestPeerAuthenticationBecomesDenials(t *testing.T) {
	const (
		selector = "selector: {matchLabels: {app: httpbin}}, "
		strict   = "{mtls: {mode: STRICT}}"
	)
	own := func(mode, ports string) string {
		spec := "{" + selector
		if mode != "" {
			spec += "mtls: {mode: " + mode + "}, "
		}
		return peersOf("foo", "own", spec+"portLevelMtls: {"+ports+"}}")
	}
	root, ns := peersOf("istio-system", "root", strict), peersOf("foo", "ns", strict)
	nsUnset := peersOf("foo", "ns", "{mtls: {mode: UNSET}}")
	for _, c := range []struct {
		name string
		docs []string
		// by is what refuses plaintext at port 8080 and at port 9090: the object's
		// name and the field; empty where nothing does.
		by, byOther string
	}{
		{"nothing", nil, "", ""},
		{"the mesh's STRICT", []string{root}, "root spec.mtls.mode", "root spec.mtls.mode"},
		{"the namespace's STRICT", []string{ns}, "ns spec.mtls.mode", "ns spec.mtls.mode"},
		{"the namespace's PERMISSIVE wins over the mesh", []string{root, peersOf("foo", "ns", "{mtls: {mode: PERMISSIVE}}")}, "", ""},
		{"the namespace's DISABLE counts as PERMISSIVE", []string{root, peersOf("foo", "ns", "{mtls: {mode: DISABLE}}")}, "", ""},
		{"UNSET inherits", []string{root, nsUnset}, "root spec.mtls.mode", "root spec.mtls.mode"},
		{"the workload's STRICT", []string{own("STRICT", "")}, "own spec.mtls.mode", "own spec.mtls.mode"},
		{"the workload's PERMISSIVE", []string{root, own("PERMISSIVE", "")}, "", ""},
		{"another workload's STRICT", []string{peersOf("foo", "x", "{selector: {matchLabels: {app: x}}, mtls: {mode: STRICT}}")}, "", ""},
		{"a selector in the root namespace", []string{peersOf("istio-system", "x", "{"+selector+"mtls: {mode: STRICT}}")}, "", ""},
		{"an empty selector in the root namespace", []string{peersOf("istio-system", "x", "{selector: {}, mtls: {mode: STRICT}}")}, "", ""},
		{"an empty selector in the namespace", []string{peersOf("foo", "x", "{selector: {}, mtls: {mode: STRICT}}")}, "x spec.mtls.mode", "x spec.mtls.mode"},
		{"the oldest wins", []string{
			aged(peersOf("foo", "new", strict), "2024-01-02T00:00:00Z"), aged(peersOf("foo", "old", "{mtls: {mode: PERMISSIVE}}"), "2024-01-01T00:00:00Z"),
		}, "", ""},

		{"STRICT but for a port", []string{own("STRICT", "8080: {mode: PERMISSIVE}")}, "", "own spec.mtls.mode"},
		{"STRICT but for a port with DISABLE", []string{own("STRICT", "8080: {mode: DISABLE}")}, "", "own spec.mtls.mode"},
		{"STRICT but for two ports", []string{own("STRICT", "8080: {mode: PERMISSIVE}, 9090: {mode: DISABLE}")}, "", ""},
		{"STRICT and a strict port", []string{own("STRICT", "8080: {mode: STRICT}")}, "own spec.mtls.mode", "own spec.mtls.mode"},
		{"PERMISSIVE but for a port", []string{own("PERMISSIVE", "8080: {mode: STRICT}")}, "own spec.portLevelMtls.8080.mode", ""},
		{"nothing said but a strict port", []string{own("", "8080: {mode: STRICT}")}, "own spec.portLevelMtls.8080.mode", ""},
		{"two strict ports", []string{own("", "8080: {mode: STRICT}, 9090: {mode: STRICT}")}, "own spec.portLevelMtls.8080.mode", "own spec.portLevelMtls.9090.mode"},
		{"a port that is UNSET", []string{own("", "8080: {mode: UNSET}")}, "", ""},
		{"inherited STRICT of the namespace but for a port", []string{ns, own("", "8080: {mode: PERMISSIVE}")}, "", "ns spec.mtls.mode"},
		{"inherited STRICT of the mesh but for a port", []string{root, own("", "8080: {mode: PERMISSIVE}")}, "", "root spec.mtls.mode"},
		{"inherited STRICT, one port PERMISSIVE and one STRICT", []string{root, own("", "8080: {mode: PERMISSIVE}, 9090: {mode: STRICT}")}, "", "root spec.mtls.mode"},

		// Where the two functions do not agree.
		{"inherited STRICT, a port with DISABLE: stays STRICT", []string{root, own("", "8080: {mode: DISABLE}")}, "root spec.mtls.mode", "root spec.mtls.mode"},
		{"STRICT of the mesh, PERMISSIVE with a strict port: nothing", []string{root, own("PERMISSIVE", "8080: {mode: STRICT}")}, "", ""},
		{"STRICT of the mesh, UNSET in the namespace, a port PERMISSIVE: nothing", []string{root, nsUnset, own("", "8080: {mode: PERMISSIVE}")}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for port, want := range map[int]string{8080: c.by, 9090: c.byOther} {
				res := captured(t, port, c.docs...)
				plain := l4Answer(res)
				if (plain == passes) != (want == "") {
					t.Errorf("port %d: plaintext: %s, want one refused by %q", port, plain, want)
				}
				if got := l4Answer(res, as(sleepID)); got != passes {
					t.Errorf("port %d: with identity: %s", port, got)
				}
				mode, field := "PERMISSIVE", ""
				if want != "" {
					mode = "STRICT"
				}
				if res.ModeOrigin.Name != "" {
					field = res.ModeOrigin.Name + " " + res.ModeOrigin.Field
				}
				if res.Mode != mode || field != want {
					t.Errorf("port %d: %s by %q, want %s by %q", port, res.Mode, field, mode, want)
				}
			}
		})
	}
}

func TestAPolicyThatIstiodNamesAndDoesNotMakeIsSaid(t *testing.T) {
	root := peersOf("istio-system", "root", "{mtls: {mode: STRICT}}")
	own := peersOf("foo", "own", "{selector: {matchLabels: {app: httpbin}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: STRICT}}}")
	res := captured(t, 8080, root, own)
	if len(res.Dropped) != 1 || res.Dropped[0].Origin.Name != "own" || res.Dropped[0].Origin.Field != "spec.portLevelMtls" {
		t.Errorf("%+v", res.Dropped)
	}
	if twin := captured(t, 8080, own); len(twin.Dropped) != 0 {
		t.Errorf("%+v", twin.Dropped)
	}
}

func TestGeneratedPoliciesHaveIstiodsNames(t *testing.T) {
	for id, doc := range map[string]string{
		"istio-system/istio_converted_static_strict": peersOf("foo", "ns", "{mtls: {mode: STRICT}}"),
		"foo/converted_peer_authentication_own":      peersOf("foo", "own", "{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8080: {mode: STRICT}}}"),
	} {
		if got := l4Answer(captured(t, 8080, doc)); got != "connection refused by L4 policy "+id {
			t.Error(got)
		}
	}
}
