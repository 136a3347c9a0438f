package diagnose_test

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// A proxy that refuses its newest configuration answers by an older one. Where that
// lets a request through, it is the first thing to say.
func TestAListenerThatWasRefusedIsTheReasonWhyARequestGetsThrough(t *testing.T) {
	const reason = "Provider 'origins-0' in jwt_authn config has invalid local jwks: Jwks is an invalid JSON"
	denyAll := policy("{}")
	for _, c := range []struct {
		name     string
		older    []string // what the proxy still has
		asked    bool
		decision envoy.Decision
		because  bool
	}{
		{"an older one without policies", httpbin(), true, envoy.Allowed, true},
		{"an older one that denies", httpbin(denyAll), true, envoy.Denied, false},
		{"of another listener", httpbin(), false, envoy.Allowed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := question(t, plaintext)
			in.Held = func(w mesh.Workload, port int) (*diagnose.Held, error) {
				res, err := istio.Translate(istio.Input{Snapshot: snapshot(t, c.older...), Workload: w, Port: port})
				if err != nil {
					return nil, err
				}
				return &diagnose.Held{Proxy: res.Proxy, Workload: w, From: "a dump",
					Refused: []diagnose.RefusedListener{{Name: "virtualInbound", Reason: reason, Asked: c.asked}}}, nil
			}
			d := asked(t, in, httpbin(denyAll)...)
			if d.Verdict.Decision != c.decision {
				t.Fatalf("got %+v", d.Verdict)
			}
			if got := strings.Contains(d.Because, reason); got != c.because {
				t.Errorf("because %q", d.Because)
			}
			if got := d.Evidence.Refused == reason; got != c.asked {
				t.Errorf("the evidence has %q", d.Evidence.Refused)
			}
			f := code(d, string(diag.ListenerRefused))
			if f == nil || (f.Severity == diag.Error) != c.asked {
				t.Errorf("the finding is %+v", f)
			}
		})
	}
}
