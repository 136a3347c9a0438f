package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// split cuts liveMesh into what is where the pods are, and what is on the mesh's own API server.
func split(t *testing.T) (data, own string) {
	t.Helper()
	var d, m []string
	for _, doc := range strings.Split(liveMesh, "---\n") {
		switch {
		case strings.Contains(doc, "kind: Namespace"):
			d, m = append(d, doc), append(m, doc)
		case strings.Contains(doc, "istio.io/v1\n"):
			m = append(m, doc)
		case !strings.Contains(doc, "kind: ConfigMap"):
			d = append(d, doc)
		}
	}
	return strings.Join(d, "---\n"), strings.Join(m, "---\n")
}

const asmObjects = `
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: ASMMeshConfig
metadata: {name: default}
spec: {pathNormalization: {normalization: MERGE_SLASHES}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: made
  namespace: foo
  ownerReferences: [{apiVersion: istio.alibabacloud.com/v1, kind: ASMSecurityPolicy, name: jwt-for-foo, uid: x}]
spec: {action: DENY, rules: [{to: [{operation: {paths: [/made]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: labelled, namespace: foo, labels: {security.istio.alibabacloud.com/owner: p}}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/labelled]}}]}]}
`

// planes starts a cluster without Istio's API and a mesh's own server.
func twoPlanes(t *testing.T) (data, own *apiserver.Server, config, ownFile string) {
	t.Helper()
	forData, forMesh := split(t)
	data, config = live(t, forData, apiserver.Core)
	own, err := apiserver.Start(forMesh+asmObjects, apiserver.Core, apiserver.Istio, apiserver.ASM)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	own.Token = "canary-credential-of-the-mesh"
	ownFile, err = own.Kubeconfig(t.TempDir(), "asm", "default")
	if err != nil {
		t.Fatal(err)
	}
	return data, own, config, ownFile
}

func TestPoliciesComeFromTheMeshsOwnServer(t *testing.T) {
	_, _, config, own := twoPlanes(t)
	for _, flags := range [][]string{{"--mesh-kubeconfig", own}, {"-m", own}, {"--asmconfig", own}, {"-m", own, "--mesh-context", "asm"}} {
		for path, want := range map[string]int{"/x": 1, "/health": 0, "//x": 1} {
			code, d, stderr := ask(t, append([]string{"deploy/httpbin", config, "--path", path, "--plaintext"}, flags...)...)
			if code != want || len(d.Gaps) > 0 || len(d.Target.Pods) != 1 {
				t.Errorf("%v %s: exit %d, want %d, gaps %v, pods %v\n%s", flags, path, code, want, d.Gaps, d.Target.Pods, stderr)
			}
		}
	}
}

func TestTheKubeconfigOfAsmctlIsUsedWhereItIsNeededAndThatIsSaid(t *testing.T) {
	_, _, config, own := twoPlanes(t)
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".kube"), 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".kube", "asmconfig"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := captured(t, "", map[string]string{"HOME": home}, "why", "deploy/httpbin", config, "--path", "/x", "--plaintext")
	if code != 1 || !strings.Contains(stdout, `meshKubeconfig "~/.kube/asmconfig" (the cluster does`) {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	// Where the cluster serves Istio's API itself, nobody looks there.
	_, whole := live(t, liveMesh)
	code, stdout, stderr = captured(t, "", map[string]string{"HOME": home}, "why", "deploy/httpbin", whole, "--path", "/made", "--plaintext")
	if code != 0 || strings.Contains(stdout, "asmconfig") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestWithoutTheMeshsServerNothingIsKnownOfPolicies(t *testing.T) {
	_, _, config, _ := twoPlanes(t)
	code, d, stderr := ask(t, "deploy/httpbin", config, "--plaintext")
	if code != 3 || len(d.Gaps) != 3 || len(d.DependsOn) == 0 || !strings.Contains(d.DependsOn[0].Hint, "--mesh-kubeconfig") {
		t.Errorf("exit %d, gaps %v, depends on %v\n%s", code, d.Gaps, d.DependsOn, stderr)
	}
}

func TestTheMeshsOwnServerIsRecognised(t *testing.T) {
	_, own, _, ownFile := twoPlanes(t)
	code, stdout, stderr := captured(t, "", nil, "why", "deploy/httpbin", "-n", "foo", "--kubeconfig", ownFile)
	first, hint, _ := strings.Cut(stderr, "\n")
	if code != 2 || stdout != "" || first != "error: the context asm is the mesh's own API server: it has Istio's objects and no pods" || !strings.Contains(hint, "--mesh-context") {
		t.Errorf("exit %d, stdout %q\n%s", code, stdout, stderr)
	}
	// One that serves no pods at all is one too.
	own.Resources = append(apiserver.Istio[:len(apiserver.Istio):len(apiserver.Istio)], apiserver.Core[4])
	if code, _, stderr := captured(t, "", nil, "why", "svc/httpbin", "-n", "foo", "--kubeconfig", ownFile); code != 2 || !strings.Contains(stderr, "is the mesh's own API server") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	// A cluster that has pods is none, though the target is not there.
	_, config := live(t, liveMesh)
	if code, _, stderr := captured(t, "", nil, "why", "deploy/other", config); code != 2 || !strings.Contains(stderr, "no such Deployment in namespace foo") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

func TestWhatAnASMSecurityPolicyMadeIsMarked(t *testing.T) {
	_, _, config, own := twoPlanes(t)
	for path, want := range map[string]string{
		"/made":     "AuthorizationPolicy foo/made is kept by ASMSecurityPolicy jwt-for-foo: change that, since edits of the object itself may be reverted",
		"/labelled": "AuthorizationPolicy foo/labelled is kept by ASM (label security.istio.alibabacloud.com/owner=p): change that, since edits of the object itself may be reverted",
	} {
		code, d, stderr := ask(t, "deploy/httpbin", config, "-m", own, "--path", path, "--plaintext")
		found := false
		for _, f := range d.Findings {
			found = found || f.Code == diag.ObjectManaged && f.Message == want
		}
		if code != 1 || !found {
			t.Errorf("%s: exit %d, findings %v\n%s", path, code, d.Findings, stderr)
		}
		for _, f := range d.Fixes {
			if f.Manifest != "" && !strings.Contains(f.Summary, "may be reverted") {
				t.Errorf("%s: the fix says nothing of it: %s", path, f.Summary)
			}
		}
		if len(d.Fixes) == 0 {
			t.Errorf("%s: no fix", path)
		}
	}
	_, d, _ := ask(t, "deploy/httpbin", config, "-m", own, "--path", "/x", "--plaintext")
	if d.Verdict.DecidedBy == nil || d.Verdict.DecidedBy.Name != "a" {
		t.Fatalf("%v", d.Verdict)
	}
}

func TestANamespaceThatTheMeshsServerDoesNotHaveIsSaid(t *testing.T) {
	_, own, config, ownFile := twoPlanes(t)
	own.Fail("namespaces/foo", apiserver.NotFound)
	_, d, stderr := ask(t, "deploy/httpbin", config, "-m", ownFile, "--path", "/x", "--plaintext")
	if len(d.Findings) == 0 || d.Findings[len(d.Findings)-1].Code != diag.NamespaceOneSided {
		t.Errorf("findings %v\n%s", d.Findings, stderr)
	}
}

func TestEachContextGetsItsOwnAnswer(t *testing.T) {
	one, _ := live(t, liveMesh)
	two, _ := live(t, strings.Replace(liveMesh, "paths: [/x]", "paths: [/w]", 1))
	dir := t.TempDir()
	var files []string
	for name, s := range map[string]*apiserver.Server{"one": one, "two": two} {
		file, err := s.Kubeconfig(dir, name, "foo")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// Names of clusters and users must differ when files are merged.
		out := strings.NewReplacer("name: c,", "name: c-"+name+",", "cluster: c,", "cluster: c-"+name+",", "name: u,", "name: u-"+name+",", "user: u,", "user: u-"+name+",").Replace(string(text))
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	t.Setenv("KUBECONFIG", strings.Join(files, string(os.PathListSeparator)))
	args := []string{"why", "deploy/httpbin", "--path", "/x", "--plaintext", "--context", "one", "--context", "two"}
	code, stdout, stderr := captured(t, "", nil, args...)
	if code != 1 || !strings.HasPrefix(stdout, "context one\n403 RBAC: access denied: ") || !strings.Contains(stdout, "\n\ncontext two\n200 allowed") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = captured(t, "", nil, append(args, "-o", "json")...)
	if code != 1 || !strings.Contains(stdout, `"kind": "DiagnosisList"`) || strings.Count(stdout, `"verdict"`) != 2 || !strings.Contains(stdout, `"context": "two"`) {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

func TestAnIstioGatewayIsFoundThroughBothServers(t *testing.T) {
	const gateway = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  template:
    metadata: {labels: {istio: ingressgateway}}
    spec: {containers: [{name: istio-proxy, image: "registry.example.com/acs/proxyv2:v1.22.6.109-g1234567-aliyun", args: [proxy, router]}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: http, port: 80, targetPort: 8080}]}
`
	const own = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: IstioGateway
metadata: {name: ingressgateway, namespace: istio-system}
spec: {gatewayType: ingress}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: istio-system}
spec: {selector: {matchLabels: {istio: ingressgateway}}, action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}
`
	_, config := live(t, gateway, apiserver.Core)
	mesh, err := apiserver.Start(own, apiserver.Core, apiserver.Istio, apiserver.ASM)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mesh.Close)
	ownFile, err := mesh.Kubeconfig(t.TempDir(), "asm", "default")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/admin": 1, "/": 0} {
		code, d, stderr := ask(t, "istiogateway/ingressgateway", "-n", "istio-system", config, "-m", ownFile, "--path", path)
		if code != want || d.Target.Role != "gateway" || len(d.Gaps) > 0 {
			t.Errorf("%s: exit %d, %v, gaps %v\n%s", path, code, d.Target, d.Gaps, stderr)
		}
	}
}

func TestFixesAreForTheServerThatHasThePolicies(t *testing.T) {
	for want, c := range map[string]struct {
		flags clusters
		from  string
	}{
		"kubectl --kubeconfig mesh.yaml":               {clusters{meshKubeconfig: "mesh.yaml"}, ""},
		"kubectl --kubeconfig mesh.yaml --context asm": {clusters{meshKubeconfig: "mesh.yaml", meshContext: "asm"}, ""},
		"kubectl --context asm":                        {clusters{meshContext: "asm"}, ""},
		"kubectl --kubeconfig ~/.kube/asmconfig":       {clusters{}, "~/.kube/asmconfig"},
	} {
		if got := c.flags.meshKubectl(&kube.Planes{MeshFrom: c.from}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	style := render.NewStyle(false)
	style.Kubectl = "kubectl --context asm"
	var out strings.Builder
	d := &diagnose.Diagnosis{Fixes: []diagnose.Fix{{Summary: "s", Manifest: "m", Proved: true}}}
	if err := render.Text(&out, d, style); err != nil || !strings.Contains(out.String(), "-o fix=1 | kubectl --context asm apply -f -") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
