package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// The scenarios of failing keys that the rig can show: each is broken on purpose, found
// by jwks with its cause, mended by the fix that jwks offers, and then jwks is content, and
// probe sees what was wanted. The 11th has a test of its own.
//
// Not shown here, with the reason, and tested in pkg/keycheck from recorded evidence:
//   - 13 (an HTTP proxy for the control plane), 59 (blocked addresses): settings of the
//     control plane that this one does not have.
//   - 15 (starved refresh), and the placeholders of older releases: one istiod runs here.
//   - 22, 69, 70 are remarks, not failures; 61 needs a waypoint; 66 to 68 are of two planes,
//     of which TestTwoPlanesOnRealServers has 66, 67 and 69, without proxies.

// cause is a scenario of the list.
type cause struct {
	scenario  string
	namespace string           // of httpbin; foo: the control plane fetches, ext: proxies do where they can
	before    func(*testing.T) // what is done first
	broken    string
	then      func(*testing.T) // what is done before jwks is to find the cause
	args      []string         // beside the target
	causes    []string         // codes of errors that have to be there, the first one first
	says      string
	fix       string // code of the fix that is taken; where it asks for keys, it gets those of the issuer
	again     string // code of the one that is taken next, where that one alone is not enough
}

func TestJWKS_EachCauseIsFoundAndMendedByTheFixThatIsOffered(t *testing.T) {
	if err := deployKeyServers(t); err != nil {
		t.Fatal(err)
	}
	for _, c := range []cause{
		{scenario: "0.4 the FAQ's short name", namespace: "foo", broken: ra("foo", "http://nginx-proxy/keys"),
			causes: []string{"AJ0108", "AJ0101"}, says: `"nginx-proxy" is a short name`, fix: "AJ0108"},
		{scenario: "1 a name that does not resolve", namespace: "foo", broken: ra("foo", "http://idp.nowhere.example/keys"),
			args:   []string{"--from", "deploy/istiod", "--from-namespace", "istio-system"},
			causes: []string{"AJ0116", "AJ0101"}, says: "the name does not resolve", fix: "AJ0101"},
		{scenario: "1 a port that the Service does not have", namespace: "foo", broken: ra("foo", "http://nginx-proxy.foo.svc.cluster.local:8080/keys"),
			causes: []string{"AJ0110", "AJ0101"}, says: "has no port 8080, but 80", fix: "AJ0110"},
		{scenario: "8 an authority that nobody knows", namespace: "foo", broken: service("elsewhere", "idp", "idp", httpPort+", {name: https, port: 443, targetPort: 443}") + "---\n" + ra("foo", "https://idp.elsewhere.svc.cluster.local/keys"),
			causes: []string{"AJ0117", "AJ0101"}, says: "signed by an authority that is not known", fix: "AJ0101"},
		{scenario: "8 a certificate that has ended", namespace: "foo", broken: service("elsewhere", "idp", "idp", httpPort+", {name: https, port: 443, targetPort: 8443}") + "---\n" + ra("foo", "https://idp.elsewhere.svc.cluster.local/keys"),
			causes: []string{"AJ0117", "AJ0101"}, says: "its certificate has ended on", fix: "AJ0101"},
		{scenario: "9 STRICT mTLS in the way of the control plane", namespace: "foo",
			before: strictKeys, broken: ra("foo", "http://guarded.elsewhere.svc.cluster.local/keys"),
			causes: []string{"AJ0112", "AJ0101"}, says: "mTLS only (STRICT) on port 80", fix: "AJ0112"},
		{scenario: "10 plaintext to the TLS port", namespace: "ext", broken: service("elsewhere", "idp", "idp", httpPort+", {name: https, port: 443, targetPort: 443}") + "---\n" + ra("ext", "https://idp.elsewhere.svc.cluster.local/keys"),
			args:   []string{"--ca", rig.Authority("elsewhere", "idp")},
			causes: []string{"AJ0115"}, says: "plain HTTP to the TLS port 443", fix: "AJ0115"},
		{scenario: "12 a Sidecar that hides the key server", namespace: "ext",
			broken: "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: ext}, spec: {egress: [{hosts: [\"./*\", \"istio-system/*\"]}]}}\n---\n" + ra("ext", "http://idp.elsewhere.svc.cluster.local/keys"),
			causes: []string{"AJ0114"}, says: "Sidecar ext/default hides it", fix: "AJ0114"},
		{scenario: "14 keys were changed", namespace: "foo", before: rotating, broken: ra("foo", "http://rotating.foo.svc.cluster.local/keys"),
			then: func(t *testing.T) { change(t, service("foo", "rotating", "newkeys", httpPort)) }, causes: []string{"AJ0120"}, says: `signed with kid "new"`, fix: "AJ0120"},
		{scenario: "16 discovery that was away", namespace: "foo", before: block, broken: strings.Replace(requestAuthentication("foo", "httpbin", "forwardOriginalToken: true"), harness.DemoIssuer, discovered, 1),
			then: unblock, causes: []string{"AJ0119", "AJ0101"}, says: "by now the issuer says where its keys are", fix: "AJ0119"},
		{scenario: "17 HTML where keys should be", namespace: "foo", broken: ra("foo", at(keyserver.PathHTML)),
			causes: []string{"AJ0106", "AJ0102"}, says: "the proxy refuses the whole listener", fix: "AJ0101"},
		{scenario: "18 keys of a kind that no proxy knows", namespace: "foo", broken: ra("foo", at(keyserver.PathUnusable)),
			causes: []string{"AJ0106", "AJ0102"}, says: "the proxy refuses the whole listener", fix: "AJ0101"},
		{scenario: "48 a policy of our own in the way of the keys", namespace: "foo", before: deniedKeys, broken: ra("foo", fmt.Sprintf("http://guarded.elsewhere.svc.cluster.local/keys?denied=%d", time.Now().UnixNano())),
			then: giveUp, causes: []string{"AJ0113", "AJ0101"}, says: "AuthorizationPolicy elsewhere/tokens-only spec.rules[0] refuses it", fix: "AJ0113", again: "AJ0119"},
		{scenario: "58 an address that is none of keys", namespace: "foo", broken: ra("foo", at(keyserver.PathStatus+"403")),
			causes: []string{"AJ0118", "AJ0101"}, says: "it answers 403", fix: "AJ0101"},
		{scenario: "59 a redirect that proxies do not follow", namespace: "ext", broken: ra("ext", "http://idp.elsewhere.svc.cluster.local"+keyserver.PathRedirect), args: []string{"--from", "deploy/sleep", "-c", "sleep"},
			causes: []string{"AJ0118"}, says: "302, a redirect to \"http://idp.elsewhere.svc.cluster.local/keys\"", fix: "AJ0118"},
		{scenario: "60 a key server that came later", namespace: "foo", before: block, broken: ra("foo", at(fmt.Sprintf("/keys?later=%d", time.Now().UnixNano()))), // one that was never fetched before
			then: unblock, causes: []string{"AJ0119", "AJ0101"}, says: "by now the keys can be read", fix: "AJ0119"},
	} {
		t.Run(c.scenario, c.run)
	}
}

// run breaks the mesh, has jwks find the cause, and takes the fix that it offers.
func (c cause) run(t *testing.T) {
	if strings.Contains(c.broken, "namespace: elsewhere}, spec: {selector: {app: idp}") {
		restoreService(t)
	}
	if c.before != nil {
		c.before(t)
	}
	apply(t, c.broken)
	question := append([]string{"deploy/httpbin", "-n", c.namespace}, c.args...)
	if c.then != nil {
		settled := func(r keyReport) error {
			if r.code == 0 || len(r.Rules) > 0 && r.has("AJ0101") {
				return nil
			}
			return errors.New(r.text)
		}
		eventually(t, func() error { return settled(jwksAs(t, "", "", question...)) })
		c.then(t)
	}
	var r keyReport
	eventually(t, func() error {
		r = jwksAs(t, "", "", question...)
		if len(r.Rules) == 0 || r.code != 1 {
			return fmt.Errorf("exit code %d: %s", r.code, r.text)
		}
		if got := r.errors(); len(got) > 0 && got[0] == "AJ0114" && c.causes[0] != "AJ0114" {
			return fmt.Errorf("the proxy's cluster has not come yet: %s", r.text)
		}
		for _, code := range c.causes {
			if !r.has(code) {
				return fmt.Errorf("no %s: %s", code, r.text)
			}
		}
		return nil
	})
	if got := r.errors(); got[0] != c.causes[0] {
		t.Errorf("the first error is %s, want %s: %s", got[0], c.causes[0], r.text)
	}
	if first := r.Rules[0].Findings[0].Message; !strings.Contains(first, c.says) {
		t.Errorf("%q does not say %q", first, c.says)
	}
	screen(t, question)
	apply(t, keyFix(t, "kubectl asmjwt jwks "+strings.Join(question, " "), c.fix, mint.JWKS(harness.DemoKey())))
	if c.again != "" {
		eventually(t, func() error {
			if r := jwksAs(t, "", "", question...); !r.has(c.again) {
				return errors.New(r.text)
			}
			return nil
		})
		apply(t, keyFix(t, "kubectl asmjwt jwks "+strings.Join(question, " "), c.again, nil))
	}
	q := httpbinOf(c.namespace)("/headers")
	good := token(harness.DemoKey(), unexpired)
	if strings.HasPrefix(c.scenario, "16") {
		good = mint.Token(harness.DemoKey(), `{"alg":"RS256"}`, `{"iss":"`+discovered+`"}`)
	}
	q.Token = good
	wantSoon(t, q, fromApp) // which makes proxies that fetch do so
	eventually(t, func() error {
		if r := jwksAs(t, "", "", question...); r.code != 0 || r.Verdict != "ok" {
			return fmt.Errorf("after the fix: exit code %d: %s", r.code, r.text)
		}
		return nil
	})
	q.Token = good[:strings.LastIndexByte(good, '.')+1] + signature(token(mint.RSA1024(), unexpired))
	wantSoon(t, q, badSignature)
	// What was wanted all the time.
	eventually(t, func() error {
		r, code := probed(t, "--from", "deploy/sleep", "-n", c.namespace, "http://httpbin:8000/headers", "--jwt-file", tokenFile(t, good), "--expect", "given=200", "--expect", "broken=401")
		if code != 0 {
			return fmt.Errorf("probe: exit code %d:\n%s", code, told(r))
		}
		return nil
	})
}

// screen shows what a person reads.
func screen(t *testing.T, question []string) {
	t.Helper()
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "jwks"}, question...)})
	t.Logf("$ kubectl asmjwt jwks %s\n%s%s", strings.Join(question, " "), res.Stderr, res.Stdout)
	if !strings.HasPrefix(res.Stdout, "NOT OK  ") {
		t.Errorf("the first line is none to act on: %.80q", res.Stdout)
	}
	for _, line := range strings.Split(res.Stdout, "\n") {
		if n := len([]rune(line)); n > 80 && !strings.Contains(line, "kubectl asmjwt") && !strings.Contains(line, "=FILE") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// restoreService gives the key server outside its Service back, which a scenario changes
// and its end deletes.
func restoreService(t *testing.T) {
	t.Cleanup(func() {
		if err := rig.Apply(context.Background(), service("elsewhere", "idp", "idp", httpPort)); err != nil {
			t.Error(err)
		}
	})
}

// discovered is the issuer whose keys are found by discovery.
const discovered = "http://nginx-proxy.foo.svc.cluster.local"

// change applies objects that something else takes away.
func change(t *testing.T, yaml string) {
	t.Helper()
	if err := rig.Apply(t.Context(), yaml); err != nil {
		t.Fatal(err)
	}
}

// block makes the key server of namespace foo refuse connections, without any object
// that would make the control plane push when it changes.
func block(t *testing.T) {
	t.Cleanup(func() { // where the test did not come to its end
		_, _ = rig.Kubectl(context.Background(), "", "-n", "foo", "exec", "deploy/nginx-proxy", "--", "iptables", "-F", "INPUT")
	})
	kubectl(t, "-n", "foo", "exec", "deploy/nginx-proxy", "--", "iptables", "-I", "INPUT", "-p", "tcp", "--dport", "80", "-j", "REJECT", "--reject-with", "tcp-reset")
}

// unblock lets connections in again, when the control plane has given up.
func unblock(t *testing.T) {
	giveUp(t)
	kubectl(t, "-n", "foo", "exec", "deploy/nginx-proxy", "--", "iptables", "-D", "INPUT", "-p", "tcp", "--dport", "80", "-j", "REJECT", "--reject-with", "tcp-reset")
}

// giveUp waits until the control plane has given up: it tries again for the rule's timeout,
// 5 seconds, and heeds no push until 7 tries have failed, with a second in between (Istio
// pilot/pkg/model/jwks_resolver.go:refresh).
func giveUp(t *testing.T) {
	const retries = 15 * time.Second
	select {
	case <-t.Context().Done():
	case <-time.After(retries):
	}
}

// strictKeys makes the guarded key server take mTLS only, and waits until it does.
func strictKeys(t *testing.T) {
	apply(t, "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: strict-keys, namespace: elsewhere}, spec: {mtls: {mode: STRICT}}}")
	eventually(t, func() error {
		a, err := rig.Ask(t.Context(), harness.Ask{URL: "http://guarded.elsewhere.svc.cluster.local/keys"})
		if err == nil && a.Status != 0 {
			err = fmt.Errorf("plaintext gets %s", a)
		}
		return err
	})
}

// deniedKeys has the guarded key server refuse who has no token, and waits until it does.
func deniedKeys(t *testing.T) {
	apply(t, `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: tokens-only, namespace: elsewhere}, spec: {selector: {matchLabels: {app: guarded}}, action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}]}]}}`)
	wantSoon(t, harness.Ask{URL: "http://guarded.elsewhere.svc.cluster.local/keys"}, denied)
}
