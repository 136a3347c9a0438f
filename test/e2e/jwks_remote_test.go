package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// The 11th: a control plane in the mode envoy leaves every fetch to the proxies. Without a
// ServiceEntry they are told of a cluster that they do not have.
func TestJWKS_WithoutAServiceEntryProxiesThatAlwaysFetchHaveNoWay(t *testing.T) {
	control := harness.Istiod{Revision: "envoy", Env: map[string]string{"PILOT_JWT_ENABLE_REMOTE_JWKS": "envoy"}}
	t.Cleanup(func() {
		if _, err := rig.Kubectl(context.Background(), "", "-n", "istio-system", "delete", "--ignore-not-found", "deployment/"+control.Name(), "service/"+control.Name()); err != nil {
			t.Error(err)
		}
	})
	if err := rig.StartIstiod(t.Context(), control); err != nil {
		t.Fatal(err)
	}
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: remote}\n")
	httpbin, sleep := rig.Httpbin("remote"), rig.Sleep("remote")
	httpbin.Revision, sleep.Revision = control.Revision, control.Revision
	if err := rig.Deploy(t.Context(), httpbin, sleep); err != nil {
		t.Fatal(err)
	}
	// A name that the mesh knows nothing of, and that the pods of this namespace can resolve:
	// to a pod's own address, since the rig takes all that goes to a Service's into the mesh.
	ip := strings.TrimSpace(kubectl(t, "-n", "elsewhere", "get", "pod", "-l", "app=idp", "-o", "jsonpath={.items[0].status.podIP}"))
	kubectl(t, "-n", "remote", "exec", "deploy/sleep", "-c", "sleep", "--", "sh", "-c", "echo "+ip+" "+harness.OutsideName+" >> /etc/hosts")
	cause{
		scenario: "11 no ServiceEntry", namespace: "remote", broken: ra("remote", "http://"+harness.OutsideName+"/keys"), args: []string{"--from", "deploy/sleep", "-c", "sleep"},
		causes: []string{"AJ0114"}, says: "no ServiceEntry of that name", fix: "AJ0114",
	}.run(t)
}
