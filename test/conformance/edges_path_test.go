package conformance

import (
	"fmt"
)

// oddPaths are paths that mean /admin to somebody, or that no client should send.
var oddPaths = []string{
	"/admin", "/admin/", "//admin", "/./admin", "/x/../admin", "/x/..//admin", "/x//../admin", "/../admin", "/..", "/.", "/x/..", "/x/.",
	"/%61dmin", "/%41dmin", "/ADMIN", "/admin%20", "/admin%09", "/admin%00", "/admin%0a", "/%2e/admin", "/%2E%2e/admin", "/x/%2e%2e/admin",
	"/x/.%2e/admin", "/x/%2e./admin", "/x/%252e%252e/admin", "/%2fadmin", "/%2Fadmin", "/%5cadmin", "/%5Cadmin", `/\admin`, `\admin`, `/x\..\admin`,
	"/x%2f..%2fadmin", "/x%5c..%5cadmin", "/x/..%2fadmin", "/x/..%5cadmin", "/admin%2f", "/admin%2f..", "/admin%2f..%2fx", "/admin;a=b", "/admin;", "/;/admin",
	"/x/..;/admin", "/x/..;a=b/admin", "/.;/admin", "/x/%2e%2e;/admin", "/x/..%3b/admin", "/admin?", "/admin?a", "/admin#", "/admin#x", "/admin?a#b", "/admin#b?a",
	"/admin%23", "/admin%3f", "/admin%3Fx", "/admin%", "/admin%2", "/admin%zz", "/%%61dmin", "/%2561dmin", "/admin%7e", "/~admin", "/%7Eadmin", "/admin|", "/admin^",
	"/admin`", `/admin"`, "/<admin>", "/{admin}", "/[admin]", "/admin[", "/ad'min", "/ad*min", "/ad!min", "/ad$min", "/ad&min", "/ad+min", "/ad,min", "/ad=min",
	"/ad@min", "/ad:min", "/admin/.", "/admin/..", "/admin/./", "/admin/../", "/admin/../admin", "/admin/../../admin", "/...", "/.../admin", "/a/b/../../admin",
	"/ %61dmin", "/x/ ../admin", "/%c3%a9", "/%C3%A9", "/%ff", "/\u00e9", "/%u0061dmin", "/%6", "/%", "/%%", "/a%2fb%5cc", "///", "//", "/", "/?", "/#", "/%2f", "/%2e", "/%2e%2e",
	"/admin/%2e%2e/%2e%2e/admin", "/a/%2e%2e%2fadmin", "/a%2f%2e%2e/admin", "/a//b//../..//admin", "/\x7fadmin", "/admin\x01", "/ad%25min", "/%2525",
}

// pathEdges are odd paths under each normalization, with a policy that each of them
// may or may not meet.
func pathEdges() []edge {
	var out []edge
	for _, n := range []string{"NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"} {
		config := configured("pathNormalization: {normalization: " + n + "}")
		for _, kind := range []struct{ name, mesh string }{
			{"DENY /admin", web(config, denyPath("/admin"))},
			{"ALLOW templates", web(config, policy("{rules: [{to: [{operation: {paths: ['/{*}', '/x/{**}', '/{*}/admin']}}]}]}"))},
			{"ALLOW affixes", web(config, policy("{rules: [{to: [{operation: {paths: ['/admin*', '*min', '/*']}}]}, {to: [{operation: {paths: ['*'], methods: [POST]}}]}]}"))},
		} {
			for _, p := range oddPaths {
				out = append(out, edge{name: fmt.Sprintf("%s, %s, path %q", n, kind.name, p), mesh: kind.mesh, req: path(p)})
				out = append(out, edge{name: fmt.Sprintf("%s, %s, path %q over HTTP/2", n, kind.name, p), mesh: kind.mesh, req: h2(path(p))})
			}
		}
	}
	return out
}

// addressEdges are spellings of addresses, in policies and in x-forwarded-for.
func addressEdges() []edge {
	var out []edge
	blocks := []string{
		"127.0.0.1", "127.0.0.0/8", "127.0.0.1/8", "127.0.0.1/0", "0.0.0.0/0", "::/0", "::1", "::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "10.0.0.1/33", "127.1", "127.0.0.01",
		"1.2.3.4", "1.2.3.0/24", "::ffff:1.2.3.4", "::ffff:102:304", "2001:db8::/32", "2001:DB8::1", "2001:db8:0:0:0:0:0:1/128", "fe80::1%eth0", "127.0.0.1/32/32", "",
	}
	xffs := []string{
		"", "1.2.3.4", "9.9.9.9, 1.2.3.4", "9.9.9.9,1.2.3.4 ", "1.2.3.4,", ",1.2.3.4", "1.2.3.4:80", "::ffff:1.2.3.4", "[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:80",
		"01.2.3.4", "1.2.3", "fe80::1%eth0", "unknown", "1.2.3.4, unknown", "2001:DB8::1", "2001:db8::1.2.3.4", "16909060",
	}
	for _, field := range []string{"ipBlocks", "remoteIpBlocks", "notRemoteIpBlocks"} {
		for _, block := range blocks {
			for _, action := range []string{"ALLOW", "DENY"} {
				mesh := web(policy(fmt.Sprintf("{action: %s, rules: [{from: [{source: {%s: [%q]}}]}]}", action, field, block)))
				for _, xff := range xffs {
					r := with()
					if xff != "" {
						r = with("x-forwarded-for", xff)
					}
					if field == "ipBlocks" && xff != "" {
						continue
					}
					out = append(out, edge{name: fmt.Sprintf("%s %s %q, x-forwarded-for %q", action, field, block, xff), mesh: mesh, req: r})
				}
			}
		}
	}
	return out
}
