package tcases

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"

const saBar = "spiffe://cluster.local/ns/foo/sa/bar"

// identities are T123 to T128: the client's certificate.
func identities(s *set) {
	none, hit := rbac403(noMatch), rbac403(policyP(0))
	td1 := meshConfig("trustDomainAliases: [td1]")
	td2 := meshConfig("trustDomain: td2\ntrustDomainAliases: [td1]")
	principal := func(p string) string { return allow(from("principals", p)) }
	noneDenied := mesh(deny(from("notPrincipals", "*")))
	ns := func(value string) string { return mesh(td1, allow(from("namespaces", value))) }
	account := mesh(allow(from("serviceAccounts", "bar")))
	for _, c := range []struct {
		name, mesh, client string
		want               Expect
	}{
		{"T123/plaintext", mesh(principal("cluster.local/ns/foo/sa/bar")), "", none},
		{"T123/mtls", mesh(principal("cluster.local/ns/foo/sa/bar")), saBar, passed()},
		{"T124", mesh(principal(saBar)), saBar, none},
		{"T125/plaintext", noneDenied, "", hit},
		{"T125/mtls", noneDenied, saBar, passed()},
		{"T126/suffix", mesh(td1, principal("*/sa/bar")), "spiffe://td1/ns/x/sa/bar", passed()},
		{"T126/namespace", ns("foo"), "spiffe://td1/ns/foo-2/sa/bar", none},
		{"T126/namespace-prefix", ns("foo*"), "spiffe://td1/ns/foo-2/sa/bar", passed()},
		{"T127/same", account, saBar, passed()},
		{"T127/other-namespace", account, "spiffe://cluster.local/ns/other/sa/bar", none},
		{"T127/longer", account, "spiffe://cluster.local/ns/foo/sa/bar-2", none},
		{"T128/alias", mesh(td2, principal("td2/ns/a/sa/b")), "spiffe://td1/ns/a/sa/b", passed()},
		{"T128/any-trust-domain", mesh(td2, principal("*/ns/a/sa/b")), "spiffe://td1/ns/a/sa/b", passed()},
	} {
		req := judge.Request{}
		if c.client != "" {
			req = as(req, c.client)
		}
		s.add(c.name, c.mesh, req, c.want)
	}
}

// pa is a PeerAuthentication of namespace foo, with the time of its creation.
func pa(name, created, spec string) string {
	return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: " + name +
		", namespace: foo, creationTimestamp: \"" + created + "\"}\nspec: " + spec + "\n"
}

// transport are T129, T130 and T136.
func transport(s *set) {
	strict := pa("old", "2024-01-01T00:00:00Z", "{mtls: {mode: STRICT}}")
	permissive := pa("new", "2024-01-02T00:00:00Z", "{mtls: {mode: PERMISSIVE}}")
	s.add("T129", mesh(strict), judge.Request{}, closed(""))
	s.add("T129/mtls", mesh(strict), as(judge.Request{}, saBar), passed())
	s.add("T130", mesh(permissive, strict), judge.Request{}, closed(""))
	s.add("T136", mesh(allow(to("paths", "/other"))), grpc(judge.Request{}), inGRPC(rbac403(noMatch), 7))
}

const tcpService = `apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports: [{name: tcp, port: 8000, targetPort: 8080}]
`

// tcp are T131 to T133: policies on a port that carries bytes.
func tcp(s *set) {
	td := func(id string) Expect { return closed("rbac_access_denied_matched_policy[" + id + "]") }
	byNamespace := deny("{from: [{source: {namespaces: [x]}}], to: [{operation: {methods: [GET]}}]}")
	post := judge.Request{Method: "POST"}
	for _, c := range []struct {
		name, policy string
		req          judge.Request
		want         Expect
	}{
		{"T131", allow(to("paths", "/get")), judge.Request{}, td(noMatch)},
		{"T132", deny(to("methods", "GET")), judge.Request{}, td(policyP(0))},
		{"T132/other-method", deny(to("methods", "GET")), post, td(policyP(0))},
		{"T133/from-x", byNamespace, as(post, "spiffe://cluster.local/ns/x/sa/s"), td(policyP(0))},
		{"T133/from-y", byNamespace, as(post, "spiffe://cluster.local/ns/y/sa/s"), passed()},
	} {
		s.add(c.name, join([]string{httpbinWorkload, tcpService, c.policy}), c.req, c.want).Needs = NeedsTCP
	}
}
