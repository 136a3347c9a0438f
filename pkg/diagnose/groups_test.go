package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// replica is a pod of the Deployment with a label that tells it apart.
func replica(name, version string, containers ...string) string {
	return strings.Replace(pod(name, "httpbin", "10.2.2.2", containers...), "labels: {app: "+name+"}",
		"labels: {app: httpbin, version: "+version+"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: httpbin, uid: \"\"}]", 1)
}

func TestPodsThatDifferAreGroupsAndTheWorstSpeaksForAll(t *testing.T) {
	docs := httpbin(replica("a", "v1", "httpbin", "istio-proxy"), replica("b", "v2", "httpbin", "istio-proxy"), replica("c", "v2", "httpbin", "istio-proxy"),
		policy("{selector: {matchLabels: {version: v2}}, action: DENY, rules: [{}]}"))
	d := asked(t, question(t, plaintext), docs...)
	if d.Verdict.Status != 403 || !slices.Equal(d.Target.Pods, []string{"b", "c"}) || len(d.Groups) != 2 {
		t.Fatalf("got %d for %v, %d groups", d.Verdict.Status, d.Target.Pods, len(d.Groups))
	}
	for _, g := range d.Groups {
		want := 403
		if slices.Equal(g.Pods, []string{"a"}) {
			want = 200
		}
		if g.Verdict.Status != want {
			t.Errorf("%v: %d, want %d", g.Pods, g.Verdict.Status, want)
		}
	}
	same := asked(t, question(t, plaintext), httpbin(replica("a", "v1", "httpbin", "istio-proxy"), replica("b", "v1", "httpbin", "istio-proxy"))...)
	if len(same.Groups) != 0 || !slices.Equal(same.Target.Pods, []string{"a", "b"}) || same.Target.FromTemplate {
		t.Errorf("pods that are alike: %v in %d groups", same.Target.Pods, len(same.Groups))
	}
}

func TestWithoutAProxyNothingIsEnforced(t *testing.T) {
	plainNamespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo}\n"
	for name, docs := range map[string][]string{
		"a namespace without injection": {plainNamespace, deployment, service("httpbin", httpPort)},
		"a pod that is not injected":    httpbin(pod("x", "y-account", "10.3.3.3", "app")),
	} {
		t.Run(name, func(t *testing.T) {
			in := question(t, headers(bearer(`"iss":"iss","exp":1`)))
			if strings.Contains(name, "pod") {
				in.Target = target(t, "pod/x")
			}
			d := asked(t, in, append(docs, policy("{}"), authn(""))...)
			if d.Verdict.Decision != envoy.Allowed || d.Target.Role != "none" || !strings.Contains(d.Because, "no proxy") {
				t.Errorf("got %s of a %s because %s", d.Verdict.Decision, d.Target.Role, d.Because)
			}
			if f := code(d, "AJ0204"); f == nil || f.Object == nil {
				t.Error("nobody is told")
			}
			for _, h := range d.Request.Headers {
				if strings.Contains(h.Value, "ey") {
					t.Error("the token is shown")
				}
			}
		})
	}
	mixed := asked(t, question(t, plaintext), httpbin(replica("a", "v1", "httpbin", "istio-proxy"), replica("b", "v1", "httpbin"), policy("{}"))...)
	if mixed.Verdict.Status != 403 || len(mixed.Groups) != 2 {
		t.Errorf("a pod without proxy beside one with: %d, %d groups", mixed.Verdict.Status, len(mixed.Groups))
	}
}

func TestATargetThatIsNotThereIsAnError(t *testing.T) {
	in := question(t)
	in.Target = target(t, "deploy/nobody")
	if d, err := diagnose.Run(in, snapshot(t, httpbin()...)); err == nil {
		t.Errorf("got %s", d.Verdict.Decision)
	}
}
