package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// planes are two API servers as ASM has them: one with the pods, and one with the mesh's
// objects, which has the CRDs of Istio and of ASM and no pods.
type planes struct{ data, mesh *harness.Rig }

// dataObjects are where the pods are: a Deployment with a pod behind a sidecar, of which
// only the name of the image is real.
const dataObjects = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: lonely, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: NAMESPACE}
spec:
  replicas: 0
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec: {containers: [{name: orders, image: example.com/orders, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: NAMESPACE}
spec: {selector: {app: orders}, ports: [{name: http, port: 8000, targetPort: 8080}]}
`

// asmCRDs are those of ASM as far as its documents show them: their fields are not checked.
const asmCRDs = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: asmmeshconfigs.istio.alibabacloud.com}
spec:
  group: istio.alibabacloud.com
  scope: Cluster
  names: {kind: ASMMeshConfig, plural: asmmeshconfigs, singular: asmmeshconfig}
  versions: [{name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: asmsecuritypolicies.istio.alibabacloud.com}
spec:
  group: istio.alibabacloud.com
  scope: Namespaced
  names: {kind: ASMSecurityPolicy, plural: asmsecuritypolicies, singular: asmsecuritypolicy}
  versions: [{name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

// meshObjects are the mesh's own. NAMESPACE lonely is not there.
const meshObjects = `apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: ASMMeshConfig
metadata: {name: default}
spec: {pathNormalization: {normalization: MERGE_SLASHES}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: ASMSecurityPolicy
metadata: {name: jwt-for-orders, namespace: shop}
spec: {}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: by-hand, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/by-hand]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: everywhere, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/everywhere]}}]}]}
`

// made is kept by the ASMSecurityPolicy of the UID.
const made = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: made
  namespace: shop
  ownerReferences: [{apiVersion: istio.alibabacloud.com/v1beta1, kind: ASMSecurityPolicy, name: jwt-for-orders, uid: UID}]
spec: {action: DENY, rules: [{to: [{operation: {paths: [/made]}}]}]}
`

// startPlanes starts both servers, at once.
func startPlanes(t *testing.T) planes {
	t.Helper()
	var p planes
	var wait sync.WaitGroup
	errs := make([]error, 2)
	start := func(i int, to **harness.Rig) {
		wait.Go(func() { *to, errs[i] = harness.StartPlane(t.Context(), rig.Places, filepath.Join(t.TempDir(), "rig")) })
	}
	start(0, &p.data)
	start(1, &p.mesh)
	wait.Wait()
	for i, r := range []*harness.Rig{p.data, p.mesh} {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		t.Cleanup(r.Stop)
	}
	applyTo := func(r *harness.Rig, yaml string) {
		t.Helper()
		if err := r.Apply(t.Context(), yaml); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.mesh.InstallCRDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	applyTo(p.mesh, asmCRDs)
	if _, err := p.mesh.Kubectl(t.Context(), "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
	applyTo(p.mesh, meshObjects)
	uid, err := p.mesh.Kubectl(t.Context(), "", "-n", "shop", "get", "asmsecuritypolicy", "jwt-for-orders", "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		t.Fatal(err)
	}
	applyTo(p.mesh, strings.ReplaceAll(made, "UID", uid))
	applyTo(p.data, strings.ReplaceAll(dataObjects, "NAMESPACE", "shop"))
	applyTo(p.data, strings.ReplaceAll(dataObjects, "NAMESPACE", "lonely"))
	return p
}

// planesAnswer is the part of a diagnosis that tells of the planes.
type planesAnswer struct {
	Verdict  harness.Verdict
	Target   struct{ Context string }
	Findings []struct{ Code, Message string }
	Fixes    []struct{ Summary, Manifest string }
	Assumed  []struct{ Setting, Value string }
	Gaps     []struct{ What, Why string }
	Items    []planesAnswer
}

func (a planesAnswer) finds(code string) bool {
	return slices.ContainsFunc(a.Findings, func(f struct{ Code, Message string }) bool { return f.Code == code })
}

// askPlanes asks the server with the pods about shop/orders, unless more says otherwise.
func (p planes) askPlanes(t *testing.T, env []string, args ...string) (planesAnswer, harness.Result) {
	t.Helper()
	args = append([]string{p.data.Plugin, "why", "deploy/orders", "-o", "json", "--plaintext", "--from-ip", "192.0.2.1"}, args...)
	res, err := p.data.Run(t.Context(), harness.Command{Args: args, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	var a planesAnswer
	if res.Stdout != "" {
		if err := json.Unmarshal([]byte(res.Stdout), &a); err != nil {
			t.Fatalf("%v: %s%s", err, res.Stdout, res.Stderr)
		}
	}
	return a, res
}

// keyGaps is what jwks could not see of namespace lonely.
func (p planes) keyGaps(t *testing.T, mesh []string) string {
	t.Helper()
	res, err := p.data.Run(t.Context(), harness.Command{Args: append([]string{p.data.Plugin, "jwks", "-n", "lonely", "-o", "json"}, mesh...)})
	if err != nil {
		t.Fatal(err)
	}
	var r keyReport
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		t.Fatalf("exit %d: %v\n%s", res.Code, err, res.Stderr)
	}
	var all []string
	for _, g := range r.Gaps {
		all = append(all, g.What+": "+g.Why)
	}
	return strings.Join(all, "\n")
}

func TestTwoPlanesOnRealServers(t *testing.T) {
	p := startPlanes(t)
	mesh := []string{"--mesh-kubeconfig", p.mesh.Kubeconfig}
	shop := func(path string, more ...string) []string {
		return append([]string{"-n", "shop", "--path", path}, more...)
	}

	t.Run("policies are the mesh's, pods the cluster's", func(t *testing.T) {
		for path, by := range map[string]string{"/by-hand": "by-hand", "/everywhere": "everywhere", "/made": "made", "//by-hand": "by-hand", "/": ""} {
			a, res := p.askPlanes(t, nil, shop(path, mesh...)...)
			got := ""
			if a.Verdict.DecidedBy != nil {
				got = a.Verdict.DecidedBy.Name
			}
			if got != by || res.Code != map[bool]int{true: 0, false: 1}[by == ""] || len(a.Gaps) > 0 {
				t.Errorf("%s: exit %d, decided by %q, want %q, gaps %v\n%s", path, res.Code, got, by, a.Gaps, res.Stderr)
			}
		}
	})
	t.Run("what an ASMSecurityPolicy owns is marked, and so is the fix", func(t *testing.T) {
		a, _ := p.askPlanes(t, nil, shop("/made", mesh...)...)
		if !a.finds("AJ0207") || len(a.Fixes) == 0 || !strings.Contains(a.Fixes[0].Summary, "may be reverted") {
			t.Errorf("findings %v, fixes %v", a.Findings, a.Fixes)
		}
		for _, f := range a.Findings {
			if f.Code == "AJ0207" && !strings.Contains(f.Message, "shop/made") {
				t.Errorf("what is written by hand is marked too: %s", f.Message)
			}
		}
	})
	t.Run("a namespace on one side only is said", func(t *testing.T) {
		a, res := p.askPlanes(t, nil, append([]string{"-n", "lonely"}, mesh...)...)
		if res.Code != 0 || !a.finds("AJ0206") {
			t.Errorf("exit %d, %v\n%s", res.Code, a.Findings, res.Stderr)
		}
		if gaps := p.keyGaps(t, mesh); !strings.Contains(gaps, "no such namespace, so it can have none: create it there too") {
			t.Errorf("jwks does not say what to do: %q", gaps)
		}
		if _, err := p.mesh.Kubectl(t.Context(), "", "create", "namespace", "lonely"); err != nil {
			t.Fatal(err)
		}
		if a, _ := p.askPlanes(t, nil, append([]string{"-n", "lonely"}, mesh...)...); a.finds("AJ0206") {
			t.Errorf("it is there now: %v", a.Findings)
		}
		if gaps := p.keyGaps(t, mesh); strings.Contains(gaps, "no such namespace") {
			t.Errorf("it is there now: %q", gaps)
		}
	})
	t.Run("asmctl's kubeconfig is used where it is needed, and that is said", func(t *testing.T) {
		home := t.TempDir()
		text, err := os.ReadFile(p.mesh.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(home, ".kube"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, ".kube", "asmconfig"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		a, res := p.askPlanes(t, []string{"HOME=" + home}, shop("/by-hand")...)
		said := slices.ContainsFunc(a.Assumed, func(s struct{ Setting, Value string }) bool {
			return s.Setting == "meshKubeconfig" && s.Value == "~/.kube/asmconfig"
		})
		if res.Code != 1 || !said {
			t.Errorf("exit %d, assumed %v\n%s", res.Code, a.Assumed, res.Stderr)
		}
		a, res = p.askPlanes(t, nil, shop("/by-hand")...)
		if res.Code != 3 || len(a.Gaps) == 0 {
			t.Errorf("without it: exit %d, gaps %v", res.Code, a.Gaps)
		}
	})
	t.Run("the mesh's own server is recognised", func(t *testing.T) {
		res, err := p.mesh.Run(t.Context(), harness.Command{Args: []string{p.mesh.Plugin, "why", "deploy/orders", "-n", "shop"}})
		first, _, _ := strings.Cut(res.Stderr, "\n")
		if err != nil || res.Code != 2 || !strings.Contains(first, "is the mesh's own API server") || !strings.Contains(res.Stderr, "--mesh-context") {
			t.Errorf("exit %d, %v\n%s", res.Code, err, res.Stderr)
		}
	})
	t.Run("planes that disagree", func(t *testing.T) { p.disagree(t, shop, mesh) })
	t.Run("a context each", func(t *testing.T) { p.contexts(t, shop, mesh) })
}

// disagree is for a cluster that has Istio's CRDs and policies of its own, besides the
// mesh's: those of the mesh count, and where no mesh is named the cluster's own.
func (p planes) disagree(t *testing.T, shop func(string, ...string) []string, mesh []string) {
	own, err := harness.StartPlane(t.Context(), rig.Places, filepath.Join(t.TempDir(), "rig"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	if err := own.InstallCRDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	const stale = `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: stale, namespace: shop}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/stale]}}]}]}}`
	if err := own.Apply(t.Context(), strings.ReplaceAll(dataObjects, "NAMESPACE", "shop")+"---\n"+stale); err != nil {
		t.Fatal(err)
	}
	other := planes{data: own, mesh: p.mesh}
	for _, tt := range []struct {
		path  string
		flags []string
		want  int
	}{{"/stale", nil, 1}, {"/by-hand", nil, 0}, {"/stale", mesh, 0}, {"/by-hand", mesh, 1}} {
		if _, res := other.askPlanes(t, nil, shop(tt.path, tt.flags...)...); res.Code != tt.want {
			t.Errorf("%s %v: exit %d, want %d\n%s%s", tt.path, tt.flags, res.Code, tt.want, res.Stdout, res.Stderr)
		}
	}
}

// contexts is for a mesh of two clusters: a verdict each.
func (p planes) contexts(t *testing.T, shop func(string, ...string) []string, mesh []string) {
	dir := t.TempDir()
	merged := filepath.Join(dir, "merged")
	rename := func(r *harness.Rig, name string) string {
		text, err := os.ReadFile(r.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		out := strings.NewReplacer("rig-admin", "admin-"+name, "name: rig\n", "name: "+name+"\n", "cluster: rig\n", "cluster: "+name+"\n", "current-context: rig\n", "current-context: "+name+"\n").Replace(string(text))
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	res, err := p.data.Run(t.Context(), harness.Command{
		Args: []string{"kubectl", "config", "view", "--raw", "--flatten"}, Kubeconfig: rename(p.data, "pods") + ":" + rename(rig, "whole"),
	})
	if err != nil || res.Code != 0 {
		t.Fatalf("%v: %s", err, res.Stderr)
	}
	if err := os.WriteFile(merged, []byte(res.Stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	// The other cluster has the same workload, and a mesh of its own, which is not asked.
	orders := strings.ReplaceAll(dataObjects, "NAMESPACE", "shop")
	if err := rig.Apply(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := rig.Kubectl(context.Background(), orders, "delete", "--ignore-not-found", "-f", "-"); err != nil {
			t.Error(err)
		}
	})
	args := shop("/by-hand", append([]string{"--kubeconfig", merged, "--context", "pods", "--context", "whole"}, mesh...)...)
	a, res := p.askPlanes(t, nil, args...)
	if res.Code != 1 || len(a.Items) != 2 || a.Items[0].Target.Context != "pods" || a.Items[1].Target.Context != "whole" {
		t.Fatalf("exit %d, %d answers\n%s", res.Code, len(a.Items), res.Stderr)
	}
	for _, item := range a.Items {
		if item.Verdict.Status != 403 || item.Verdict.DecidedBy == nil || item.Verdict.DecidedBy.Name != "by-hand" {
			t.Errorf("%s: %+v", item.Target.Context, item.Verdict)
		}
	}
}
