package e2e

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// scaffold makes objects as a user would, who pipes them into kubectl apply.
func scaffold(t *testing.T, args ...string) string {
	t.Helper()
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "scaffold", "--issuer", harness.DemoIssuer}, args...)})
	if res.Code != 0 {
		t.Fatalf("scaffold %q: exit code %d\n%s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	t.Logf("%s%s", res.Stderr, res.Stdout)
	return res.Stdout
}

func TestScaffold_JWKSOfAServiceInTheCluster(t *testing.T) {
	apply(t, scaffold(t, "deploy/httpbin", "-n", "foo", "-f", dump(t), "--jwks-uri", harness.DemoKeys, "--skip-path", "/status/200"))
	ask := httpbinOf("foo")
	q := ask("/headers")
	wantSoon(t, q, `403 "RBAC: access denied"`)
	q.Token = token(harness.DemoKey(), unexpired)
	wantSoon(t, q, fromApp)
	hold(t, dump(t), []string{"/headers"}, ask, "deploy/httpbin", "-n", "foo", "--from", "deploy/sleep", "--jwks", harness.DemoKeys+"="+keysFile(t))
	wantSoon(t, ask("/status/200"), `200 ""`) // go-httpbin's answer, which is no JSON
}

func TestScaffold_JWKSOutsideOfTheCluster(t *testing.T) {
	ip := external(t)
	uri := "http://keys.example.com" + keyserver.PathKeys // a name that is in no DNS
	objects := scaffold(t, "deploy/httpbin", "-n", "ext", "-f", dump(t), "--jwks-uri", uri, "--fetcher", "envoy", "--jwks-address", ip, "--insecure")
	if !strings.Contains(objects, "kind: ServiceEntry") {
		t.Fatalf("no ServiceEntry, though the proxy fetches from outside:\n%s", objects)
	}
	apply(t, objects)
	ask := httpbinOf("ext")
	q := ask("/headers")
	wantSoon(t, q, `403 "RBAC: access denied"`)
	q.Token = token(harness.DemoKey(), unexpired)
	wantSoon(t, q, fromApp)
	wantConfig(t, "ext", "httpbin", `"remote_jwks"`)
	hold(t, dump(t), []string{"/headers"}, ask, "deploy/httpbin", "-n", "ext", "--from", "deploy/sleep", "--jwks", uri+"="+keysFile(t))
}

func TestScaffold_JWKSOverTLSOutsideOfTheCluster(t *testing.T) {
	ip := external(t)
	uri := "https://" + harness.OutsideName + keyserver.PathKeys
	apply(t, scaffold(t, "deploy/httpbin", "-n", "ext", "-f", dump(t), "--jwks-uri", uri, "--fetcher", "envoy", "--jwks-address", ip, "--ca", rig.Authority("elsewhere", "idp")))
	ask := httpbinOf("ext")
	q := ask("/headers")
	wantSoon(t, q, `403 "RBAC: access denied"`)
	q.Token = token(harness.DemoKey(), unexpired)
	wantSoon(t, q, fromApp)
	q.Token = forged
	wantSoon(t, q, badSignature)
}

func TestScaffold_SkippedPathsOnTheGateway(t *testing.T) {
	ask := func(path string) harness.Ask {
		return harness.Ask{URL: "http://istio-ingressgateway.istio-system" + path}
	}
	apply(t, scaffold(t, "--gateway", "istio-ingressgateway", "-f", dump(t), "--jwks-file", keysFile(t), "--skip-path", "/productpage"))
	wantSoon(t, ask("/api/v1/products/0"), `403 "RBAC: access denied"`)
	hold(t, dump(t), []string{"/productpage", "/api/v1/products/0"}, ask, "deploy/istio-ingressgateway", "-n", "istio-system", "--host", "istio-ingressgateway.istio-system")
}
