package diagnose_test

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

const templatePolicy = `{to: [{operation: {paths: ["/u/{*}/p"]}}]}`

// mtlsAs is a client with an identity.
func mtlsAs(principal string) *diagnose.Caller { return &diagnose.Caller{Principal: principal} }

// Each row is a request whose verdict flips between two versions, and what the
// walk says of the older one.
func TestARequestIsJudgedAsItsVersionsDo(t *testing.T) {
	const newestProxy, newestIstiod = "1.32.0", "1.32.0"
	twoRoles := lines("x-role", "user", "x-role", "admin")
	for _, c := range []struct {
		name       string
		q          askedOf
		old, fixed string // versions of the proxy, or of istiod with inIstiod
		inIstiod   bool
		oldWant    []int
		want       []int
		note       string // of the old one
	}{
		// Security fixes of 10.3 and 4.4.3, on each branch that has one.
		{"CVE-2026-26308 on 1.27", askedOf{docs: []string{denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}]}`)}, headers: twoRoles},
			"1.27.7", "1.27.8", false, []int{200}, []int{403}, "joined with commas"},
		{"CVE-2026-26308 on 1.28", askedOf{docs: []string{denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}]}`)}, headers: twoRoles},
			"1.28.4", "1.28.5", false, []int{200}, []int{403}, "1.28.5"},
		{"CVE-2026-26308 on 1.29", askedOf{docs: []string{denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}]}`)}, headers: twoRoles},
			"1.29.0", "1.29.1", false, []int{200}, []int{403}, "1.29.1"},
		{"CVE-2026-26308 and 1.30", askedOf{docs: []string{denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}]}`)}, headers: twoRoles},
			"1.26.8", "1.30.0", false, []int{200}, []int{403}, "1.30.0"},
		{"T106 before the fix", askedOf{docs: []string{denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}]}`)}, headers: twoRoles},
			"1.27.7", "1.30.0", false, []int{200}, []int{403}, "joined"},
		{"T107 before the fix", askedOf{docs: []string{allowPolicy(`{when: [{key: "request.headers[x]", notValues: [bad]}]}`)}, headers: lines("x", "ok", "x", "bad")},
			"1.27.7", "1.30.0", false, []int{200}, []int{403}, "joined"},
		{"CVE-2025-46821 in an ALLOW", askedOf{docs: []string{allowPolicy(templatePolicy)}, path: "/u/a*b/p"}, "1.25.2", "1.25.3", false, []int{403}, []int{200}, "contains a star"},
		{"CVE-2025-46821 in a DENY", askedOf{docs: []string{denyPolicy(templatePolicy)}, path: "/u/*/p"}, "1.26.0", "1.26.1", false, []int{200}, []int{403}, "contains a star"},
		{"CVE-2025-46821 on 1.24", askedOf{docs: []string{denyPolicy(templatePolicy)}, path: "/u/*/p"}, "1.24.5", "1.24.6", false, []int{200}, []int{403}, "1.24.6"},
		{"CVE-2026-73551 on 1.29", askedOf{docs: []string{denyPolicy(`{to: [{operation: {paths: ["/admin"]}}]}`)}, path: "/x/..;y=1/admin"},
			"1.29.6", "1.29.7", false, []int{200}, []int{403}, "..;x"},
		{"CVE-2026-73551 on 1.30", askedOf{docs: []string{denyPolicy(`{to: [{operation: {paths: ["/admin"]}}]}`)}, path: "/x/..;y=1/admin"},
			"1.30.3", "1.30.4", false, []int{200}, []int{403}, "..;x"},
		{"CVE-2026-73551 in an ALLOW", askedOf{docs: []string{allowPolicy(`{to: [{operation: {paths: ["/a/*"]}}]}`)}, path: "/a/..;/b"},
			"1.30.3", "1.31.0", false, []int{200}, []int{403}, "..;x"},
		{"the encoded placeholder and the public one", askedOf{docs: []string{uriOnly}, keys: fetchFails, headers: bearerLine(tokenA(""))},
			"1.20.7", "1.27.8", true, undetermined(401), []int{401}, ""},

		// The proxy's other changes.
		{"T061 before 1.31 of Envoy", askedOf{docs: []string{issuerA(), issuerB}, headers: bearerLine(tokenA("")), path: "/?access_token=" + tokenB()},
			"1.22.8", "1.23.0", false, []int{401}, []int{200}, "stays in the query"},
		{"what follows a token, in 1.19", askedOf{docs: []string{issuerA()}, headers: lines("authorization", "Bearer "+tokenA("")+",Basic eHg=")},
			"1.19.10", "1.20.0", false, []int{200}, []int{401}, "ends at the first character"},
		{"two tokens in a header, before 1.28.2 of Envoy", askedOf{docs: []string{issuerA("fromHeaders: [{name: x-jwt}]")}, headers: lines("x-jwt", tokenA(""), "x-jwt", tokenA(""))},
			"1.21.0", "1.21.1", false, []int{401}, []int{200}, "joined with commas"},

		// What istiod generates.
		{"a path template is a text before 1.22", askedOf{docs: []string{denyPolicy(templatePolicy)}, path: "/u/1/p"}, "1.21.6", "1.22.0", true, []int{200}, []int{403}, "Istio 1.22.0"},
		{"and an ALLOW then allows nothing", askedOf{docs: []string{allowPolicy(templatePolicy)}, path: "/u/1/p"}, "1.20.8", "1.22.0", true, []int{403}, []int{200}, "Istio 1.22.0"},
		{"serviceAccounts before 1.25", askedOf{docs: []string{denyPolicy(`{from: [{source: {serviceAccounts: [foo/bar]}}]}`)}}, "1.24.9", "1.25.0", true, []int{403}, []int{200}, "Istio 1.25.0"},
		{"the key source.serviceAccount before 1.25", askedOf{docs: []string{denyPolicy(`{when: [{key: source.serviceAccount, notValues: [foo/bar]}]}`)}},
			"1.24.9", "1.25.0", true, []int{200}, []int{403}, ""},
		{"trustDomains before 1.30.2", askedOf{docs: []string{denyPolicy(`{from: [{source: {trustDomains: [other]}}]}`)}}, "1.30.1", "1.30.2", true, []int{403}, []int{200}, "Istio 1.30.2"},
		{"fromCookies before 1.21", askedOf{docs: []string{issuerA("fromCookies: [tok]"), allowPolicy(`{from: [{source: {requestPrincipals: ["*"]}}]}`)}, headers: lines("cookie", "tok="+tokenA(`"sub":"u"`))},
			"1.20.8", "1.21.0", true, []int{403}, []int{200}, "Istio 1.21.0"},
		{"and the default places count then", askedOf{docs: []string{issuerA("fromCookies: [tok]")}, headers: bearerLine("junk")}, "1.20.8", "1.21.0", true, []int{401}, []int{200}, "Istio 1.21.0"},
		{"spaceDelimitedClaims before 1.28", askedOf{docs: []string{issuerA("spaceDelimitedClaims: [groups]"), allowPolicy(`{when: [{key: "request.auth.claims[groups]", values: [admin]}]}`)}, headers: bearerLine(tokenA(`"groups":"dev admin"`))},
			"1.27.9", "1.28.0", true, []int{403}, []int{200}, "Istio 1.28.0"},
		{"outputClaimToHeaders before 1.17", askedOf{docs: []string{issuerA("outputClaimToHeaders: [{header: x-sub, claim: sub}]"), denyPolicy(`{when: [{key: "request.headers[x-sub]", values: [u]}]}`)}, headers: bearerLine(tokenA(`"sub":"u"`))},
			"1.16.7", "1.17.0", true, []int{200}, []int{403}, "Istio 1.17.0"},
		{"targetRefs before 1.22", askedOf{docs: []string{doc("AuthorizationPolicy", "foo", "p", `{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g}], rules: []}`)}},
			"1.21.0", "1.22.0", true, []int{403}, []int{200}, "Istio 1.22.0"},
		{"targetRef before 1.20", askedOf{docs: []string{doc("AuthorizationPolicy", "foo", "p", `{targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: g}, rules: []}`)}},
			"1.19.0", "1.20.0", true, []int{403}, []int{200}, "Istio 1.20.0"},
		{"a preflight before 1.14", askedOf{docs: []string{issuerA()}, method: "OPTIONS", headers: append(bearerLine("junk"), lines("origin", "http://a", "access-control-request-method", "GET")...)},
			"1.13.9", "1.14.0", true, []int{401}, []int{200}, "Istio 1.14.0"},
		{"hosts before 1.9.8", askedOf{docs: []string{denyPolicy(`{to: [{operation: {hosts: [HTTPBIN.foo]}}]}`)}}, "1.9.7", "1.9.8", true, []int{200}, []int{403}, "regard to case"},
		{"hosts before 1.11.1", askedOf{docs: []string{denyPolicy(`{to: [{operation: {hosts: [HTTPBIN.foo]}}]}`)}}, "1.11.0", "1.11.1", true, []int{200}, []int{403}, "regard to case"},
		{"a dry run before 1.10", askedOf{docs: []string{dryRunDeny}}, "1.9.9", "1.10.0", true, []int{403}, []int{200}, ""},
		{"a dot in serviceAccounts before CVE-2026-39350 was fixed", askedOf{docs: []string{denyPolicy(`{from: [{source: {serviceAccounts: ["foo/a.b"]}}]}`)}, caller: mtlsAs("cluster.local/ns/foo/sa/axb")},
			"1.28.5", "1.28.6", true, []int{403}, []int{200}, "regular expression"},
		{"a dot in namespaces before 1.29.3", askedOf{docs: []string{denyPolicy(`{from: [{source: {namespaces: ["a.b"]}}]}`)}, caller: mtlsAs("cluster.local/ns/axb/sa/c")},
			"1.29.2", "1.29.3", true, []int{403}, []int{200}, "regular expression"},
		{"a dot in a principal before 1.28.7", askedOf{docs: []string{denyPolicy(`{from: [{source: {principals: ["*/sa/a.b"]}}]}`)}, caller: mtlsAs("cluster.local/ns/foo/sa/axb")},
			"1.28.6", "1.28.7", true, []int{403}, []int{200}, "regular expression"},
		{"presence before it exists", askedOf{docs: []string{issuerA("presence: REQUIRED")}}, "1.31.4", "1.32.0", true, []int{200}, []int{401}, ""},
		{"ASM before 1.13 documents RSA only", askedOf{docs: []string{issuerP256}, headers: bearerLine(tokenP256())}, "1.12.4.50", "1.13.4.50", false, []int{401}, []int{200}, "RS256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, fixed := c.q, c.q
			old.proxy, fixed.proxy, old.istiod, fixed.istiod = c.old, c.fixed, newestIstiod, newestIstiod
			if c.inIstiod {
				old.proxy, fixed.proxy, old.istiod, fixed.istiod = newestProxy, newestProxy, c.old, c.fixed
			}
			d := old.ask(t)
			check(t, d, c.oldWant)
			if notes := walkNotes(d); c.note != "" && !strings.Contains(notes, c.note) {
				t.Errorf("the walk does not say %q:\n%s", c.note, notes)
			}
			check(t, fixed.ask(t), c.want)
		})
	}
}

func TestAPatternWithAStarSeesBytesSinceTheFix(t *testing.T) {
	// CVE-2026-73552: a value with bytes that are no UTF-8 did not match a star.
	q := askedOf{docs: []string{issuerA(), denyPolicy(`{from: [{source: {namespaces: ["a*"]}}]}`)},
		caller: mtlsAs("cluster.local/ns/a\xff/sa/b")}
	for v, want := range map[string]int{"1.29.6": 200, "1.29.7": 403, "1.30.3": 200, "1.30.4": 403, "1.31.0": 403} {
		q.proxy = v
		check(t, q.ask(t), []int{want})
	}
}

func TestAForgedTokenIsAQuestionOfThePlaceholder(t *testing.T) {
	// Which key stands in place of those that could not be fetched follows from
	// istiod's version; only one of them lets a stranger's signature through, and the
	// finding says so.
	for v, want := range map[string]string{
		"1.21.0": "public", "1.27.7": "public", "1.28.4": "public", "1.29.0": "public",
		"1.27.8": "every token", "1.28.5": "every token", "1.29.1": "every token", "1.30.0": "every token", "": "every token",
		"1.27.3.5-aliyun": "unless it is the older one",
	} {
		d := askedOf{docs: []string{uriOnly}, keys: fetchFails, headers: bearerLine(tokenA("")), istiod: v}.ask(t)
		check(t, d, []int{401})
		text := ""
		for _, f := range d.Findings {
			text += f.Message + "\n"
		}
		if !strings.Contains(text, want) {
			t.Errorf("istiod %q: %s", v, text)
		}
	}
}

func TestTheIDsOfCustomPoliciesNameTheProviderSince130(t *testing.T) {
	q := askedOf{docs: []string{doc("AuthorizationPolicy", "foo", "p", "{action: CUSTOM, provider: {name: ext}, rules: [{}]}")}}
	for v, want := range map[string]string{
		"1.29.3": "rbac_access_denied_matched_policy[istio-ext-authz-ns[foo]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]",
		"1.30.0": "rbac_access_denied_matched_policy[istio-ext-authz-ext-ns[foo]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]",
	} {
		q.istiod = v
		if d := q.ask(t); d.Verdict.ResponseCodeDetails != want {
			t.Errorf("%s: %s", v, d.Verdict.ResponseCodeDetails)
		}
	}
}

func TestVersionsSayWhereTheyComeFrom(t *testing.T) {
	for _, c := range []struct {
		name                   string
		q                      askedOf
		proxy, from, istiod    string
		istiodFrom, assumption string
	}{
		{"the image", askedOf{image: "docker.io/istio/proxyv2:1.27.3"}, "1.27.3", "image of the container istio-proxy", "1.27.3", "that of the proxy", "istiodVersion"},
		{"the image wins over the flag", askedOf{image: "p:1.27.3", proxy: "1.29.0"}, "1.27.3", "image of the container istio-proxy", "1.27.3", "that of the proxy", "istiodVersion"},
		{"ASM's image", askedOf{image: "r/acs/proxyv2:v1.14.3.47-ga31201346f-aliyun"}, "v1.14.3.47-ga31201346f-aliyun", "image of the container istio-proxy", "v1.14.3.47-ga31201346f-aliyun", "that of the proxy", "istiodVersion"},
		{"a template without a version", askedOf{image: "auto", proxy: "1.29.0"}, "1.29.0", "--proxy-version", "1.29.0", "that of the proxy", "istiodVersion"},
		{"a tag that is no version", askedOf{image: "p:latest", proxy: "1.29.0"}, "1.29.0", "--proxy-version", "1.29.0", "that of the proxy", "istiodVersion"},
		{"nothing", askedOf{image: "auto"}, "", "", "", "", "proxyVersion"},
		{"istiod's own flag", askedOf{proxy: "1.29.0", istiod: "1.30.1"}, "1.29.0", "--proxy-version", "1.30.1", "--istiod-version", "istiodVersion"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.q.ask(t)
			if g := d.Target; g.ProxyVersion != c.proxy || g.VersionFrom != c.from || g.IstiodVersion != c.istiod || g.IstiodVersionFrom != c.istiodFrom {
				t.Errorf("got %q from %q, istiod %q from %q", g.ProxyVersion, g.VersionFrom, g.IstiodVersion, g.IstiodVersionFrom)
			}
			found := false
			for _, a := range d.Assumed {
				found = found || a.Setting == c.assumption
			}
			if !found {
				t.Errorf("assumed are %v", d.Assumed)
			}
		})
	}
}

func TestTheNewestVersionsSayNothingOfVersions(t *testing.T) {
	d := askedOf{docs: []string{denyPolicy(`{when: [{key: "request.headers[x-role]", values: [admin]}]}`)}, headers: lines("x-role", "a", "x-role", "admin")}.ask(t)
	if notes := walkNotes(d); strings.Contains(notes, "Istio") || d.Verdict.Decision != envoy.Denied {
		t.Errorf("%s: %s", d.Verdict.Decision, notes)
	}
}
