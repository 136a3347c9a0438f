package istio

import "testing"

// A client uses mTLS by itself unless the namespace's PeerAuthentication, else the mesh's,
// turns it off; a workload's own does not count.
func TestANamespaceThatDisablesMTLSMakesItsClientsSpeakPlaintext(t *testing.T) {
	peer := func(name, namespace, spec string) string {
		return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: " + spec
	}
	off, on := "{mtls: {mode: DISABLE}}", "{mtls: {mode: STRICT}}"
	own := "{selector: {matchLabels: {app: httpbin}}, mtls: {mode: "
	for name, c := range map[string]struct {
		docs []string
		auto bool
	}{
		"nothing":                         {nil, true},
		"the namespace":                   {[]string{peer("a", "foo", off)}, false},
		"the namespace, STRICT by itself": {[]string{peer("a", "foo", off), peer("b", "foo", own+"STRICT}}")}, false},
		"a workload alone":                {[]string{peer("a", "foo", own+"DISABLE}}")}, true},
		"the mesh":                        {[]string{peer("a", "istio-system", off)}, false},
		"the mesh, not the namespace":     {[]string{peer("a", "istio-system", off), peer("b", "foo", on)}, true},
		"another namespace":               {[]string{peer("a", "bar", off)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(t, append(c.docs, httpbin)...)
			out, err := OutboundTo(s, workload(t, s, "deploy/httpbin", "foo"), PortOf("httpbin", "foo", 8000), "")
			if err != nil || out.Auto != c.auto {
				t.Errorf("got %+v, %v", out, err)
			}
		})
	}
}
