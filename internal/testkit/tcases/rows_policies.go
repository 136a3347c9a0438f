package tcases

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// actions are T111, T112 and T115: what the actions do.
func actions(s *set) {
	hit, none := rbac403(policyP(0)), rbac403(noMatch)
	s.add("T111/empty-spec", mesh(ap("{}")), judge.Request{}, none)
	s.add("T111/allow-all", mesh(allow("{}")), judge.Request{}, passed())
	s.add("T111/deny-all", mesh(deny("{}")), judge.Request{}, hit)
	both := mesh(deny("{}"), apNamed("foo", "q", "{action: ALLOW, rules: [{}]}"))
	s.add("T112", both, judge.Request{}, hit)
	s.add("T115", mesh(ap("{action: AUDIT, rules: [{}]}")), judge.Request{}, passed())
}

// reports are T113, T114 and T116: which rule is told, dry run, unknown keys.
func reports(s *set) {
	rules := make([]string, 11)
	for i := range rules {
		rules[i] = to("paths", "/other")
	}
	rules[2], rules[10] = to("paths", "/get"), to("paths", "/get")
	s.add("T113", mesh(deny(strings.Join(rules, ", "))), judge.Request{}, rbac403(policyP(10)))

	s.add("T114/allow", mesh(dryRun(allow(to("paths", "/other")))), judge.Request{}, passed())
	s.add("T114/deny", mesh(dryRun(deny(to("paths", "/get")))), judge.Request{}, passed())

	unknown := when("request.unknown", "x")
	s.add("T116/allow", mesh(allow(unknown)), judge.Request{}, rbac403(noMatch))
	s.add("T116/deny", mesh(deny(unknown)), judge.Request{}, passed())
}

// dryRun is the policy with the annotation.
func dryRun(policy string) string {
	return strings.Replace(policy, "namespace: foo}", `namespace: foo, annotations: {istio.io/dry-run: "true"}}`, 1)
}

// attachment are T117 and T118.
func attachment(s *set) {
	root := apNamed("istio-system", "root", "{rules: ["+to("paths", "/get")+"]}")
	s.add("T117", mesh(root, allow(to("paths", "/other"))), judge.Request{}, passed())

	ref := "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x}]"
	s.add("T118/sidecar", mesh(ap("{"+ref+", action: DENY, rules: [{}]}")), judge.Request{}, passed())
	s.add("T118/allow", mesh(ap("{"+ref+", action: ALLOW}")), judge.Request{}, passed())
	atGateway := apNamed("istio-system", "p", "{"+ref+", action: DENY, rules: [{}]}")
	s.atGateway("T118/gateway", gateway(atGateway), judge.Request{}, passed())
}

const extAuthz = `apiVersion: v1
kind: Service
metadata: {name: ext-authz, namespace: foo}
spec:
  selector: {app: ext-authz}
  ports: [{name: http, port: 8000, targetPort: 8000}]
`

// custom are T120 to T122.
func custom(s *set) {
	policy := ap("{action: CUSTOM, provider: {name: authz}, rules: [{}]}")
	s.add("T120", mesh(policy), judge.Request{},
		rbac403("istio-ext-authz-authz-"+policyP(0)+"-deny-due-to-bad-CUSTOM-action"))

	provider := meshConfig(`extensionProviders:
- name: authz
  envoyExtAuthzHttp:
    service: ext-authz.foo.svc.cluster.local
    port: 8000
    includeRequestHeadersInCheck: [x-ext-authz]`)
	m := mesh(extAuthz, provider, raA(), policy)
	redirected := Expect{Status: 302, Details: "ext_authz_denied"}
	badToken := bearer(raw("abc"), judge.Header{Name: "x-ext-authz", Value: "redirect"})
	s.add("T121", m, badToken, redirected).Needs = NeedsExtAuthz
	s.add("T122", m, bearer(gaOf(`"exp":{now-3600}`)), j401(expired)).Needs = NeedsExtAuthz
}
