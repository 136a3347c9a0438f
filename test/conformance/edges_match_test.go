package conformance

import (
	"fmt"
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// operation is a policy on one field of what is asked for.
func operation(action, field, value string) string {
	return policy(fmt.Sprintf("{action: %s, rules: [{to: [{operation: {%s: [%s]}}]}]}", action, field, strconv.Quote(value)))
}

// hostEdges are hosts, methods and ports, in policies and in requests.
func hostEdges() []edge {
	var out []edge
	hosts := []string{"httpbin.foo", "HTTPBIN.FOO", "httpbin.foo:8000", "httpbin.foo:", "httpbin.foo:80", "httpbin.foo.", "[::1]", "[::1]:8000", "10.0.0.1", "xn--bcher-kva.example", "a_b.example", "k.example", "*.example", "x", "httpbin.foo:08000", "a..b", "-", "httpbin%2efoo", "%68ttpbin.foo", "0", "[::1%25eth0]", "user@httpbin.foo", "httpbin.foo:8000:1"}
	for _, value := range []string{"httpbin.foo", "HttpBin.*", "*.FOO", "*", "httpbin.foo:*", "*:8000", "httpbin.foo:8000", "httpbin.foo.", "**", "*.*", "", "\u212a.example", "\u017f*", "*.example", "[::1]*", "[*", "xn--*", "bücher.example", "*_b*", "*\u0130", "httpbin?foo", "h*n.foo", " httpbin.foo"} {
		for _, field := range []string{"hosts", "notHosts"} {
			mesh := web(operation("ALLOW", field, value))
			for _, host := range hosts {
				for _, version := range []func(judge.Request) judge.Request{func(r judge.Request) judge.Request { return r }, h2} {
					req := version(get(func(r *judge.Request) { r.Host = host }))
					out = append(out, edge{name: fmt.Sprintf("%s %q, host %q, HTTP/2 %v", field, value, host, req.HTTP2), mesh: mesh, req: req})
				}
			}
		}
	}
	for _, value := range []string{"GET", "get", "G*", "*T", "*", "", "GET ", "**", "GET*", "*GET", "G\u0112T", "M-SEARCH"} {
		for _, field := range []string{"methods", "notMethods"} {
			mesh := web(operation("DENY", field, value))
			for _, m := range []string{"GET", "POST", "HEAD", "M-SEARCH", "get", "Get", "GETX"} {
				out = append(out, edge{name: fmt.Sprintf("%s %q, method %s", field, value, m), mesh: mesh, req: method(m)}, edge{name: fmt.Sprintf("%s %q, method %s over HTTP/2", field, value, m), mesh: mesh, req: h2(method(m))})
			}
		}
	}
	for _, value := range []string{"8080", "08080", "8080 ", "+8080", "8_080", "0x1f90", "8080.0", "*", "80*", "", "0", "65536", "4294975376", "18446744073709559696", "٨٠٨٠", "-8080"} {
		for _, field := range []string{"ports", "notPorts"} {
			for _, action := range []string{"ALLOW", "DENY"} {
				out = append(out, edge{name: fmt.Sprintf("%s %s %q", action, field, value), mesh: web(operation(action, field, value)), req: with()}, edge{name: fmt.Sprintf("%s %s %q, and a path", action, field, value), req: with(),
					mesh: web(policy(fmt.Sprintf("{action: %s, rules: [{to: [{operation: {%s: [%s], paths: ['/x']}}]}]}", action, field, strconv.Quote(value))))})
			}
		}
	}
	for _, value := range []string{"/get", "/GET", "/get/", "/ge*", "*et", "*", "**", "", "/*", "*/get*", "/g?t", "/get?x", "/get#x", "/%67et", "/é", "/\u00e9*", "/%C3%A9", "/%c3%a9", "/a b", "/a%20b", "/a+b", "/{x}", "/a;b", "/a\\b", "//get", "/.", "/get\n", ".*", "/get*\\"} {
		for _, field := range []string{"paths", "notPaths"} {
			mesh := web(operation("ALLOW", field, value))
			for _, p := range []string{"/get", "/get/", "/GET", "/get?x", "/get%3Fx", "/get%23x", "/%67et", "/%C3%A9", "/%c3%a9", "/a%20b", "/a+b", "/{x}", "/%7Bx%7D", "/a;b", "/a%5Cb", "/get%0a", "/get*", "/get%2a", "/get%2A"} {
				out = append(out, edge{name: fmt.Sprintf("%s %q, path %q", field, value, p), mesh: mesh, req: path(p)})
			}
		}
	}
	return out
}

// asClient is the request of a client with those names in its certificate.
func asClient(c judge.Client) judge.Request {
	c.Transport = "mtls"
	return get(func(r *judge.Request) { r.Client = c })
}

// identityEdges are identities of clients and the fields that compare them, and
// policies of several parts.
func identityEdges() []edge {
	var out []edge
	clients := []string{
		"spiffe://cluster.local/ns/foo/sa/bar", "spiffe://cluster.local/ns/foo/sa/bar/x", "spiffe://cluster.local/ns/foo/x/y/sa/bar", "spiffe://cluster.local/x/ns/foo/sa/bar", "spiffe://cluster.local/ns/foo/sa/bar-2", "spiffe://cluster.local/ns/foo/sa/sa/bar", "spiffe://cluster.local/ns/ns/foo/sa/bar", "spiffe://cluster.local/sa/bar/ns/foo",
		"spiffe://cluster.local/ns/foo/bar/sa/x/sa/bar", "spiffe://cluster.local/ns/foo", "spiffe://cluster.local/ns/foo/", "spiffe://cluster.local/", "spiffe://cluster.local", "spiffe://Cluster.Local/ns/foo/sa/bar", "spiffe://cluster.local/ns/Foo/sa/Bar", "spiffe://cluster.local/ns/foo/sa/", "spiffe://cluster.local/ns//sa/bar", "spiffe://cluster.local/ns/foo/sa/bar%2Fx", "spiffe://cluster.local//ns/foo/sa/bar",
		"spiffe://cluster.local/ns/istio-system/sa/bar", "spiffe://old/ns/foo/sa/bar",
	}
	fields := map[string][]string{
		"serviceAccounts":   {"bar", "foo/bar", "foo/", "/bar", "foo/bar/x", "", "b.r", "bar*", "*", "*/bar", "foo/*", "x/bar", "istio-system/bar", "foo/x/y/sa/bar", "foo/sa/bar", "Foo/Bar", "foo/ba[r]", "bar/x"},
		"namespaces":        {"foo", "f*", "*o", "*", "f*o", "", "foo/sa/bar", "foo/*/sa", "*/sa/*", "f.o", "FOO", "ns/foo", "foo/x/y", "istio-*", "**", "f**o", "foo/", "/foo"},
		"principals":        {"cluster.local/ns/foo/sa/bar", "*", "*/ns/foo/sa/bar", "cluster.local/*", "*bar", "spiffe://cluster.local/ns/foo/sa/bar", "", "cluster.local/ns/foo/sa/bar*", "*/sa/*", "*.local/ns/foo/sa/bar", "*local/ns/foo/sa/bar", "old/ns/foo/sa/bar", "c*/ns/foo/sa/bar", "**", "cluster.local/ns/*/sa/bar", "*foo/sa/bar", "Cluster.local/ns/foo/sa/bar", "/ns/foo/sa/bar", "new/ns/foo/sa/bar", "a/b/c/d/e", "cluster.local/ns/foo/sa/bar/x"},
		"trustDomains":      {"cluster.local", "*", "cluster.*", "*.local", "c*l", "cl*ster.l*l", "**", "*l*", "", "old", "new", "Cluster.Local", "cluster.local/ns", "spiffe://cluster.local", "cluster", "cluster.loca?", "cluster.local*", "*cluster.local", "cluster*local*"},
		"requestPrincipals": {"*"},
	}
	aliases := configured("trustDomain: new\ntrustDomainAliases: [old, cluster.local]")
	for field, values := range fields {
		for _, value := range values {
			for _, m := range []struct {
				name string
				mesh string
			}{
				{"ALLOW", web(source("ALLOW", field, value))}, {"not", web(source("ALLOW", "not"+string(field[0]-'a'+'A')+field[1:], value))}, {"aliases", web(aliases, source("ALLOW", field, value))},
			} {
				for _, uri := range clients {
					out = append(out, edge{name: fmt.Sprintf("%s %s %q, client %s", m.name, field, value, uri), mesh: m.mesh, req: asClient(judge.Client{URISANs: []string{uri}})})
				}
				out = append(out, edge{name: fmt.Sprintf("%s %s %q, plaintext", m.name, field, value), mesh: m.mesh, req: with()},
					edge{name: fmt.Sprintf("%s %s %q, two URIs", m.name, field, value), mesh: m.mesh, req: asClient(judge.Client{URISANs: []string{"spiffe://cluster.local/ns/x/sa/y", clients[0]}})},
					edge{name: fmt.Sprintf("%s %s %q, a URI and a name", m.name, field, value), mesh: m.mesh, req: asClient(judge.Client{URISANs: []string{"spiffe://cluster.local/ns/x/sa/y"}, DNSSANs: []string{"bar"}, CommonName: "cluster.local/ns/foo/sa/bar"})})
			}
		}
	}
	// Several parts of one rule, several rules, several policies.
	for name, spec := range map[string]string{
		"two entries of from": "{rules: [{from: [{source: {namespaces: [x]}}, {source: {ipBlocks: ['127.0.0.0/8']}}]}]}", "an entry that is empty": "{rules: [{from: [{source: {namespaces: [x]}}, {source: {}}]}]}", "an entry without source": "{rules: [{from: [{}]}]}", "an entry without operation": "{action: DENY, rules: [{to: [{}]}]}",
		"values and notValues of one": "{rules: [{to: [{operation: {paths: ['/*'], notPaths: ['/get']}}]}]}", "lists that are empty": "{rules: [{to: [{operation: {paths: [], methods: [GET]}}]}]}", "a condition twice": "{rules: [{when: [{key: 'request.headers[x]', values: [a]}, {key: 'request.headers[x]', values: [b]}]}]}",
		"a condition and its opposite": "{rules: [{when: [{key: 'request.headers[x]', values: [a], notValues: [b]}]}]}", "no values": "{rules: [{when: [{key: 'request.headers[x]'}]}]}", "no values, DENY": "{action: DENY, rules: [{when: [{key: 'request.headers[x]'}]}]}", "empty lists of values": "{rules: [{when: [{key: 'request.headers[x]', values: [], notValues: []}]}]}",
		"an empty key": "{rules: [{when: [{key: '', values: [a]}]}, {to: [{operation: {paths: ['/get']}}]}]}", "an unknown key, DENY": "{action: DENY, rules: [{when: [{key: 'source.name', values: [a]}]}]}", "an unknown key and no values": "{action: DENY, rules: [{when: [{key: 'source.name'}], to: [{operation: {methods: [GET]}}]}]}",
		"a bad value among good ones": "{rules: [{from: [{source: {ipBlocks: ['127.0.0.1', bad]}}]}]}", "a bad value among good ones, DENY": "{action: DENY, rules: [{from: [{source: {ipBlocks: ['1.2.3.4', bad]}}]}]}", "nothing but bad values, DENY": "{action: DENY, rules: [{from: [{source: {ipBlocks: [bad]}}], to: [{operation: {methods: [GET]}}]}]}",
		"a bad notValue, DENY": "{action: DENY, rules: [{from: [{source: {notIpBlocks: [bad]}}]}]}", "a bad notValue": "{rules: [{from: [{source: {notIpBlocks: [bad]}}]}]}", "a bad value in one entry": "{rules: [{from: [{source: {ipBlocks: [bad]}}, {source: {ipBlocks: ['127.0.0.1']}}]}]}",
		"a bad key and a good value, DENY": "{action: DENY, rules: [{when: [{key: 'request.headers[x', values: ['*']}], to: [{operation: {methods: [GET]}}]}]}", "a bad claim, DENY": "{action: DENY, rules: [{when: [{key: 'request.auth.claims', values: ['*']}]}]}", "a refused template in a rule that is left out": "{rules: [{to: [{operation: {paths: ['{*}']}}], from: [{source: {ipBlocks: [bad]}}]}]}",
		"a refused template in a rule with an unknown key": "{rules: [{to: [{operation: {paths: ['{*}']}}], when: [{key: x, values: [a]}]}]}", "a refused template after a bad port": "{rules: [{to: [{operation: {paths: ['{*}'], ports: [bad]}}]}]}", "a refused key among notValues": "{action: DENY, rules: [{when: [{key: 'request.headers[]', notValues: [a]}]}]}", "a refused key, AUDIT": "{action: AUDIT, rules: [{when: [{key: 'request.headers[]', values: [a]}]}]}", "a refused key without values": "{rules: [{when: [{key: 'request.headers[]'}]}]}", "a refused key, no such authorizer": "{action: CUSTOM, provider: {name: nobody}, rules: [{when: [{key: 'request.headers[]', values: [a]}]}]}",
		"ports in when and to": "{rules: [{to: [{operation: {ports: ['8080']}}], when: [{key: destination.port, notValues: ['8080']}]}]}", "an SNI": "{rules: [{when: [{key: connection.sni, values: ['*']}]}]}", "not any SNI": "{rules: [{when: [{key: connection.sni, notValues: ['*']}]}]}", "an empty SNI": "{rules: [{when: [{key: connection.sni, values: ['']}]}]}",
		"a zone": "{rules: [{from: [{source: {ipBlocks: ['127.0.0.1%lo']}}]}]}", "octal": "{action: DENY, rules: [{from: [{source: {ipBlocks: ['0177.0.0.1']}}]}]}", "a mask in dots": "{action: DENY, rules: [{from: [{source: {ipBlocks: ['127.0.0.1/255.0.0.0']}}]}]}", "a mask with a plus": "{rules: [{from: [{source: {ipBlocks: ['127.0.0.1/+8']}}]}]}", "a mask with a zero": "{rules: [{from: [{source: {ipBlocks: ['127.0.0.1/08']}}]}]}", "blanks around": "{rules: [{from: [{source: {ipBlocks: [' 127.0.0.1']}}]}]}",
		"mapped": "{rules: [{from: [{source: {ipBlocks: ['::ffff:127.0.0.1/128']}}]}]}", "mapped hex": "{rules: [{from: [{source: {ipBlocks: ['::ffff:7f00:1']}}]}]}", "mapped masked": "{rules: [{from: [{source: {ipBlocks: ['::ffff:127.0.0.1/96']}}]}]}", "a destination": "{rules: [{when: [{key: destination.ip, notValues: ['0.0.0.0/0']}]}]}",
		"a null action": "{action: null, rules: [{}]}", "rules: null": "{rules: null}", "an empty spec": "{}", "no rules, DENY": "{action: DENY}", "many values": "{rules: [{to: [{operation: {paths: [" + list(300) + "'/get']}}]}]}",
	} {
		mesh := web(policy(spec))
		for _, r := range []struct {
			name string
			req  judge.Request
		}{{"plain", with()}, {"with a header", with("x", "a")}, {"with two", with("x", "a", "x", "b")}, {"mTLS", mtls(with("x", "b"))}, {"another path", path("/x")}} {
			out = append(out, edge{name: "parts: " + name + ", " + r.name, mesh: mesh, req: r.req})
		}
	}
	return out
}

// list is so many paths and a comma after each.
func list(n int) string {
	out := ""
	for i := range n {
		out += fmt.Sprintf("'/p%d', ", i)
	}
	return out
}

// source is a policy on one field of who asks.
func source(action, field, value string) string {
	return policy(fmt.Sprintf("{action: %s, rules: [{from: [{source: {%s: [%s]}}]}]}", action, field, strconv.Quote(value)))
}
