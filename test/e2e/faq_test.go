package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// The recipes of the FAQ about JWT on ASM, applied as it writes them: what the mesh
// answers is what why says of a dump of it.

// bearer is a token that a client may come with.
type bearer struct{ name, token string }

func bearers() []bearer {
	k := harness.DemoKey()
	return []bearer{
		{"no token", ""},
		{"a good token", token(k, unexpired)},
		{"a token without exp", token(k, "")},
		{"an expired token", token(k, expired)},
		{"a forged token", token(mint.OtherRSA().WithKid(k.Kid), unexpired)},
		{"a token of an unknown key", token(mint.OtherRSA().WithKid("nobody's"), unexpired)},
		{"a token of another issuer", mint.Token(k, `{"alg":"RS256"}`, `{"iss":"`+harness.DemoIssuer+`/"`+unexpired+`}`)},
		{"a token without sub", mint.Token(k, `{"alg":"RS256"}`, `{"iss":"`+harness.DemoIssuer+`"`+unexpired+`}`)},
		{"no token at all", "garbage"},
	}
}

// hold asks each question of the mesh and of why, once of a dump of the objects and
// once of the live mesh, and wants the same answer.
func hold(t *testing.T, dump string, paths []string, ask func(path string) harness.Ask, why ...string) {
	t.Helper()
	for _, path := range paths {
		for _, b := range bearers() {
			q := ask(path)
			q.Token = b.token
			answer, err := rig.Ask(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range [][]string{{"-f", dump}, nil} {
				v, err := rig.Why(t.Context(), b.token, slices.Concat(from, []string{"--path", path}, why)...)
				if err != nil {
					t.Fatal(err)
				}
				if err := v.Agrees(answer); err != nil {
					t.Errorf("%s with %s, %q: %v", path, b.name, from, err)
				}
			}
			t.Logf("%-22s %-26s %s", path, b.name, answer)
		}
	}
}

func dump(t *testing.T) string {
	t.Helper()
	file, err := rig.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func keysFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, mint.JWKS(harness.DemoKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func requestAuthentication(namespace, app, rule string) string {
	return fmt.Sprintf(`apiVersion: security.istio.io/v1beta1
kind: RequestAuthentication
metadata: {name: jwt-example, namespace: %s}
spec:
  selector: {matchLabels: {app: %s}}
  jwtRules: [{issuer: %s, %s}]
`, namespace, app, harness.DemoIssuer, rule)
}

const requireToken = `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: require-jwt, namespace: %s}
spec:
  selector: {matchLabels: {app: httpbin}}
  rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]
`

func httpbinOf(namespace string) func(string) harness.Ask {
	return func(path string) harness.Ask {
		return harness.Ask{From: "sleep", Namespace: namespace, URL: "http://httpbin." + namespace + ":8000" + path}
	}
}

var forged = token(mint.OtherRSA().WithKid(harness.DemoKey().Kid), unexpired)

const badSignature = `401 "Jwt verification fails"`

func TestFAQ_JWKSOfAServiceInTheCluster(t *testing.T) {
	apply(t, requestAuthentication("foo", "httpbin", "jwksUri: '"+harness.DemoKeys+"'"))
	why := []string{"deploy/httpbin", "-n", "foo", "--from", "deploy/sleep", "--jwks", harness.DemoKeys + "=" + keysFile(t)}
	ask := httpbinOf("foo")
	q := ask("/headers")
	q.Token = forged
	wantSoon(t, q, badSignature)
	q.Token = token(harness.DemoKey(), unexpired)
	wantSoon(t, q, fromApp) // istiod had the keys, not the placeholder
	t.Run("authentication alone", func(t *testing.T) { hold(t, dump(t), []string{"/headers"}, ask, why...) })
	t.Run("with a policy that asks for a token", func(t *testing.T) {
		apply(t, fmt.Sprintf(requireToken, "foo"))
		wantSoon(t, ask("/headers"), `403 "RBAC: access denied"`)
		hold(t, dump(t), []string{"/headers", "/anything/a%2Fb?x=1"}, ask, why...)
	})
}

func TestFAQ_ShortNameOfAService(t *testing.T) {
	// The recipe as it stands. The control plane lives in another namespace, so it
	// cannot resolve the name, and pushes a placeholder that refuses every token.
	uri := "http://nginx-proxy/keys"
	if out := kubectl(t, "-n", "foo", "exec", "deploy/outside", "--", "curl", "-s", "nginx-proxy/keys"); !strings.Contains(out, `"keys"`) {
		t.Fatalf("the FAQ's curl from a Pod of the namespace: %q", out)
	}
	apply(t, requestAuthentication("foo", "httpbin", "jwksUri: '"+uri+"'"))
	q := httpbinOf("foo")("/headers")
	q.Token = token(harness.DemoKey(), unexpired)
	wantSoon(t, q, badSignature)
	v, err := rig.Why(t.Context(), q.Token, "deploy/httpbin", "-n", "foo", "-f", dump(t), "--path", "/headers", "--from", "deploy/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if v.Decision == "Allowed" {
		t.Errorf("why says Allowed, though no one has the keys: %s", v.Text)
	}
}

// external is the address of the key server outside of the mesh.
func external(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(kubectl(t, "-n", "elsewhere", "get", "pod", "-l", "app=idp", "-o", "jsonpath={.items[0].status.podIP}"))
}

func serviceEntry(ip string) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: external-svc-https, namespace: ext}
spec:
  addresses: [%[1]s]
  endpoints: [{address: %[1]s}]
  hosts: [%[1]s]
  location: MESH_EXTERNAL
  ports:
  - {name: http, number: 80, protocol: HTTP}
  - {name: https, number: 443, protocol: HTTPS}
  - {name: https-expired, number: 8443, protocol: HTTPS}
  - {name: https-name, number: 8444, protocol: HTTPS}
  - {name: https-stranger, number: 8445, protocol: HTTPS}
  resolution: STATIC
---
`, ip)
}

func TestFAQ_JWKSOutsideOfTheCluster(t *testing.T) {
	ip := external(t)
	uri := "http://" + ip + ":80" + keyserver.PathKeys
	apply(t, serviceEntry(ip)+requestAuthentication("ext", "httpbin", "jwksUri: '"+uri+"'")+fmt.Sprintf(requireToken, "ext"))
	ask := httpbinOf("ext")
	wantSoon(t, ask("/headers"), `403 "RBAC: access denied"`)
	q := ask("/headers")
	q.Token = token(harness.DemoKey(), unexpired)
	wantSoon(t, q, fromApp)
	config, err := rig.ConfigDump(t.Context(), "ext", "httpbin")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(config, `"remote_jwks"`) || !strings.Contains(config, "outbound|80||"+ip) {
		t.Error("the proxy does not fetch the keys itself, so this is not what the FAQ is about")
	}
	hold(t, dump(t), []string{"/headers"}, ask, "deploy/httpbin", "-n", "ext", "--from", "deploy/sleep", "--jwks", uri+"="+keysFile(t))
}

func TestFAQ_JWKSOverTLSOutsideOfTheCluster(t *testing.T) {
	ip := external(t)
	// "To use HTTPS, also create a DestinationRule": the proxy connects with TLS, and
	// checks the certificate against what the rule names.
	rule := fmt.Sprintf(`apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: external-svc-https, namespace: ext}
spec:
  host: %s
  trafficPolicy:
    portLevelSettings:
`, ip)
	for _, port := range []string{"443", "8443", "8444", "8445"} {
		rule += fmt.Sprintf("    - {port: {number: %s}, tls: {mode: SIMPLE, caCertificates: %s, sni: idp.elsewhere, subjectAltNames: [idp.elsewhere]}}\n", port, rig.Authority("elsewhere", "idp"))
	}
	apply(t, serviceEntry(ip)+rule)
	q := httpbinOf("ext")("/headers")
	q.Token = token(harness.DemoKey(), unexpired)
	const failed = `401 "Jwks remote fetch is failed"`
	for _, c := range []struct{ name, url, want string }{
		{"a good certificate", "https://" + ip + ":443/keys", fromApp},
		{"an expired certificate", "https://" + ip + ":8443/keys", failed},
		{"a certificate of another name", "https://" + ip + ":8444/keys", failed},
		{"a certificate of a stranger", "https://" + ip + ":8445/keys", failed},
		{"plaintext where TLS is wanted", "http://" + ip + ":80/keys", fromApp},
		{"a redirect", "http://" + ip + ":80/redirect", failed},
		{"HTML", "http://" + ip + ":80/html", failed},
		{"an empty set", "http://" + ip + ":80/empty-set", failed},
		{"a status of 503", "http://" + ip + ":80/status/503", failed},
		{"a reset", "http://" + ip + ":80/reset", failed},
		{"a wrong content type", "http://" + ip + ":80/wrong-type", fromApp},
	} {
		t.Run(c.name, func(t *testing.T) {
			apply(t, requestAuthentication("ext", "httpbin", "jwksUri: '"+c.url+"'"))
			wantConfig(t, "ext", "httpbin", `"uri": "`+c.url+`"`) // not the answer of the case before
			wantSoon(t, q, c.want)
			if c.want == fromApp { // by the keys, not for want of a policy
				bad := q
				bad.Token = forged
				wantSoon(t, bad, badSignature)
			}
		})
	}
}

func TestFAQ_SkippedPathsOnTheGateway(t *testing.T) {
	keys := string(mint.JWKS(harness.DemoKey()))
	ask := func(path string) harness.Ask {
		return harness.Ask{URL: "http://istio-ingressgateway.istio-system" + path}
	}
	paths := []string{"/productpage", "/api/v1/products/0", "/api/v1/products/1", "/productpage?u=normal", "/productpage/", "//productpage", "/Productpage"}
	for _, path := range paths {
		wantSoon(t, ask(path), fromApp)
	}
	apply(t, requestAuthentication("istio-system", "istio-ingressgateway", "jwks: '"+keys+"'")+`---
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: test-exclude, namespace: istio-system}
spec:
  action: DENY
  rules:
  - from: [{source: {notRequestPrincipals: ['*']}}]
    to: [{operation: {notPaths: [/productpage]}}]
  selector: {matchLabels: {app: istio-ingressgateway}}
`)
	wantSoon(t, ask("/api/v1/products/0"), `403 "RBAC: access denied"`)
	hold(t, dump(t), paths, ask, "deploy/istio-ingressgateway", "-n", "istio-system", "--host", "istio-ingressgateway.istio-system")
}

func TestAnUnusableKeySetLeavesTheDoorOpen(t *testing.T) {
	uri := strings.TrimSuffix(harness.DemoKeys, keyserver.PathKeys) + keyserver.PathHTML
	ask := httpbinOf("foo")("/headers")
	ask.Token = forged
	wantSoon(t, ask, fromApp) // no policy yet
	apply(t, requestAuthentication("foo", "httpbin", "jwksUri: '"+uri+"'"))
	wantConfig(t, "foo", "httpbin", "Jwks is an invalid JSON")
	wantConfig(t, "foo", "httpbin", `"error_state"`)
	// What follows is what makes it the worst of all: no later policy comes into force.
	apply(t, "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: deny-all, namespace: foo}, spec: {}}")
	wantConfig(t, "foo", "httpbin", "ns[foo]-policy[deny-all]") // in what it refuses
	if a, err := rig.Ask(t.Context(), ask); err != nil || a.String() != fromApp {
		t.Fatalf("a forged token: %v, %v", a, err)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(page, []byte("<!DOCTYPE html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	v, err := rig.Why(t.Context(), forged, "deploy/httpbin", "-n", "foo", "-f", dump(t), "--path", "/headers", "--from", "deploy/sleep", "--jwks", uri+"="+page)
	if err != nil {
		t.Fatal(err)
	}
	if v.Decision != "Undetermined" || !strings.Contains(v.Text, "refuses the whole listener") {
		t.Errorf("from the objects alone why cannot know what the proxy still has, but it says %s", v.Text)
	}
	// The proxy tells, and why says it first.
	config, err := rig.ConfigDump(t.Context(), "foo", "httpbin")
	if err != nil {
		t.Fatal(err)
	}
	held := filepath.Join(t.TempDir(), "config_dump.json")
	if err := os.WriteFile(held, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, objects := range [][]string{
		{"why", "--dump", held, "--port", "8080"}, {"why", "deploy/httpbin", "-n", "foo", "-f", dump(t), "--dump", held}, {"why", "deploy/httpbin", "-n", "foo"},
	} {
		res := run(t, harness.Command{Args: append(append([]string{rig.Plugin}, objects...), "--path", "/headers", "--plaintext", "--jwt-file", "-"), Stdin: forged})
		first, rest, _ := strings.Cut(res.Stdout, "\n")
		if res.Code != 0 || !strings.HasPrefix(first, "200 allowed: policies are not in force") || !strings.Contains(rest, "invalid local") {
			t.Errorf("exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	}
}
