package conformance

import "fmt"

// templateEdges are path templates, most of which admission refuses and istiod passes
// on all the same: they have variables, suffixes, and operators where nobody expects
// them. Those that the proxy does not take end its process, so that they are not here.
func templateEdges() []edge {
	templates := []string{
		"/{*}", "/{*}x", "/{*}.html", "/{*}{*}", "/{**}{*}", "/{**}{**}", "/{*}{**}", "/{**}/b", "/{**}/", "/a/{*}/", "/{**}.html", "/{*}*", "/{*}**",
		"/a{*}", "/a{**}", "/a{*}b", "/a{**}b", "/a{*}b/{*}", "/{**}{*}x", "/{foo}/{*}", "/{foo=*}/{*}", "/{*}/{foo=**}", "/{foo=a/*}/{*}", "/{foo=a}/{*}",
		"/v{x}/{*}", "/{x}.json/{*}", "/a{x=*}b/{*}", "/{x}{*}", "/{a}/{b}/{c}/{d}/{e}/{*}", "/{x_y}/{*}", "/*/{*}", "/a/*/{*}", "/a*/{*}", "/a**/{*}",
		"/%2F/{*}", "/%2f/{*}", "/a.b+c(d)$/{*}", "/a+/{*}", "/a(/{*}", "/a-z/{*}", "/.*/{*}",
	}
	paths := []string{"/", "/a", "/a/b", "/a/b/", "/a/b/c", "/a/b/c/d/e/f", "/aab", "/x.html", "//a", "/v1/b", "/a.json/b", "/a*/b", "/%2F/b", "/a.b+c(d)$/b", "/xb"}
	var out []edge
	for _, t := range templates {
		mesh := web(denyPath(t))
		for _, p := range paths {
			out = append(out, edge{name: fmt.Sprintf("template %q, path %q", t, p), mesh: mesh, req: path(p)})
		}
	}
	return out
}
