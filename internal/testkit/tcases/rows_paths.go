package tcases

import (
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// pathCase is a path and whether the policy p denies it.
type pathCase struct {
	path string
	want Expect
}

// onPaths adds a case a path, numbered, as the paths themselves do not make names.
func (s *set) onPaths(name, mesh string, cases []pathCase) {
	for i, c := range cases {
		s.add(fmt.Sprintf("%s%s%02d", name, sep(name), i), mesh, at(c.path), c.want)
	}
}

func normalization(option string) string {
	return meshConfig("pathNormalization:\n  normalization: " + option)
}

// paths are T096 to T100: normalization and exact paths.
func paths(s *set) {
	admin := deny(to("paths", "/admin"))
	hit := rbac403(policyP(0))
	s.onPaths("T096", mesh(admin), []pathCase{
		{"/admin", hit},
		{"/admin?x=1", hit},
		{"/admin/", passed()},
		{"/Admin", passed()},
		{"/admin;a=b", passed()},
		{"/admin#f", hit},
	})
	dots := []pathCase{
		{"/x/../admin", hit},
		{"/x/%2e%2e/admin", hit},
		{"/%61dmin", hit},
		{`/x\..\admin`, hit},
		{"//admin", passed()},
		{"/admin%2F", passed()},
	}
	s.onPaths("T097/default", mesh(admin), dots)
	s.onPaths("T097/base", mesh(normalization("BASE"), admin), dots)
	s.onPaths("T098/merge", mesh(normalization("MERGE_SLASHES"), admin), []pathCase{{"//admin", hit}})
	s.onPaths("T098/decode", mesh(normalization("DECODE_AND_MERGE_SLASHES"), deny(to("paths", "/admin/*"))), []pathCase{
		{"/admin%2Fx", hit},
		{"/admin%5cx", hit},
	})
	s.onPaths("T099", mesh(normalization("NONE"), admin), []pathCase{
		{"/x/../admin", passed()},
		{"/admin#f", hit},
	})
	broken := Expect{Status: 400, Details: "path_normalization_failed"}
	for _, option := range []string{"BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"} {
		s.add("T100/"+option, mesh(normalization(option), admin), at("/admin%00"), broken)
	}
}

// pathForms are T101 to T103: wildcards, templates, slashes alone.
func pathForms(s *set) {
	none := rbac403(noMatch)
	s.onPaths("T101/prefix", mesh(allow(to("paths", "/api/*"))), []pathCase{{"/api", none}, {"/api/", passed()}})
	s.onPaths("T101/suffix", mesh(allow(to("paths", "*/info"))), []pathCase{{"/a/b/info?q", passed()}})
	both := mesh(apNamed("foo", "q", "{rules: ["+to("paths", "/allow*")+"]}"), deny(to("paths", "/allow/admin")))
	s.onPaths("T101/precedence", both, []pathCase{{"/allow/admin", rbac403(policyP(0))}})
	s.onPaths("T102/one", mesh(allow(to("paths", "/u/{*}/p"))), []pathCase{{"/u/1/p", passed()}, {"/u//p", none}, {"/u/1/2/p", none}})
	s.onPaths("T102/many", mesh(allow(to("paths", "/f/{**}"))), []pathCase{{"/f/", passed()}, {"/f/a/b", passed()}, {"/f", none}})
	s.onPaths("T103", mesh(normalization("MERGE_SLASHES"), allow(to("paths", "/"))), []pathCase{{"///", none}})
}

// hosts are T104 and T105.
func hosts(s *set) {
	none := rbac403(noMatch)
	get := mesh(allow(to("methods", "GET")))
	s.add("T104/GET", get, judge.Request{}, passed())
	s.add("T104/HEAD", get, judge.Request{Method: "HEAD"}, inHEAD(none))
	for _, c := range []struct {
		name, value, host string
		want              Expect
	}{
		{"T105/case", "Example.com", "example.COM", passed()},
		{"T105/port", "Example.com", "example.com:8080", none},
		{"T105/port-wildcard", "example.com:*", "example.com:8080", passed()},
		{"T105/suffix", "*.example.com", "example.com", none},
	} {
		s.add(c.name, mesh(allow(to("hosts", c.value))), judge.Request{Host: c.host}, c.want)
	}
}

// headers are T106 to T108.
func headers(s *set) {
	hit, none := rbac403(policyP(0)), rbac403(noMatch)
	role := mesh(deny(when("request.headers[x-role]", "admin")))
	s.add("T106/two-lines", role, plain("x-role", "user", "x-role", "admin"), hit)
	s.add("T106/one-line", role, plain("x-role", "user,admin"), passed())
	notBad := mesh(allow(whenNot("request.headers[x]", "bad")))
	s.add("T107/absent", notBad, judge.Request{}, passed())
	s.add("T107/two-lines", notBad, plain("x", "ok", "x", "bad"), none)
	any := mesh(allow(when("request.headers[x]", "*")))
	s.add("T108/empty", any, plain("x", ""), passed())
	s.add("T108/absent", any, judge.Request{}, none)
}

const portEighty = `apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 80, targetPort: 8080}]
`

// network are T109 and T110: ports, and addresses at a gateway.
func network(s *set) {
	on80 := func(policy string) string { return join([]string{httpbinWorkload, portEighty, policy}) }
	s.add("T109/service-port", on80(allow(to("ports", "80"))), judge.Request{}, rbac403(noMatch))
	s.add("T109/container-port", on80(allow(to("ports", "8080"))), judge.Request{}, passed())

	hops := meshConfig("defaultConfig:\n  gatewayTopology:\n    numTrustedProxies: 1")
	for _, c := range []struct {
		name, field string
		block       string
		want        Expect
	}{
		{"T110/remote-ip", "remoteIpBlocks", "172.17.72.46", rbac403("ns[istio-system]-policy[p]-rule[0]")},
		{"T110/ip", "ipBlocks", "172.17.72.46", passed()},
		{"T110/ip-of-peer", "ipBlocks", "127.0.0.0/8", rbac403("ns[istio-system]-policy[p]-rule[0]")},
	} {
		policy := apNamed("istio-system", "p", "{action: DENY, rules: ["+from(c.field, c.block)+"]}")
		s.atGateway(c.name, gateway(hops, policy), plain("X-Forwarded-For", "172.17.72.46"), c.want)
	}
}

// atGateway adds a case of the classic gateway.
func (s *set) atGateway(name, mesh string, req judge.Request, want Expect) {
	c := s.add(name, mesh, req, want)
	c.Target, c.Namespace = "deploy/istio-ingressgateway", "istio-system"
}
