package gen

import "strings"

// aim sets the path by a pattern of paths.
func (r *draft) aim(pattern string, inside bool) {
	var path string
	if strings.Contains(pattern, "{*}") || strings.Contains(pattern, "{**}") {
		path = r.expand(pattern, inside)
	} else {
		path = r.side(pattern, inside)
	}
	if !strings.HasPrefix(path, "/") && !r.oneIn(30) {
		path = "/" + path
	}
	r.path = r.disguise(strings.ReplaceAll(path, " ", "%20"))
}

// expand puts texts into the operators of a template: fitting ones, or not.
func (r *draft) expand(template string, inside bool) string {
	segment := []string{"1", "a.b", "a%20b", "~x", "a*b", "x;y=1", "A-_", "%2e%2e", "$&'()+,=:@!"}
	many := []string{"", "a", "a/b", "a/", "a//b", "x.html", "a*b/c"}
	if !inside {
		segment = append([]string{"", "a/b", "/", "a[b", "a]b", "a|b", `a"b`, "a<b", "{x}", "^", "`", "a\\b"}, segment[:2]...)
		many = append([]string{"[", "a/]", "a|b", "{x}"}, many...)
	}
	out := template
	for strings.Contains(out, "{**}") {
		out = strings.Replace(out, "{**}", pick(r.dice, many...), 1)
	}
	for strings.Contains(out, "{*}") {
		out = strings.Replace(out, "{*}", pick(r.dice, segment...), 1)
	}
	if !inside && r.oneIn(3) {
		out = pick(r.dice, strings.TrimSuffix(out, "/"), out+"/", out+"x", "/x"+out, swapCase(out), template)
	}
	return out
}

// disguises are ways to write a path that some normalization undoes, or none.
var disguises = []struct {
	name string
	do   func(d *dice, path string) string
}{
	{"query", func(_ *dice, p string) string { return p + "?x=1" }},
	{"query-dots", func(_ *dice, p string) string { return p + "?a=/../b&c=%2e" }},
	{"fragment", func(_ *dice, p string) string { return p + "#f" }},
	{"query-fragment", func(_ *dice, p string) string { return p + "?x#y?z" }},
	{"dot-dot", func(_ *dice, p string) string { return "/x/.." + p }},
	{"slashes-and-dots", func(d *dice, p string) string {
		return pick(d, "/x//..", "/x/.//..", "/x/%2f..", "/x\\..", "/x/..//") + p
	}},
	{"dot", func(_ *dice, p string) string { return "/." + p }},
	{"dot-dot-escaped", func(d *dice, p string) string { return pick(d, "/x/%2e%2e", "/x/%2E.", "/x/.%2e", "/x/%252e%252e") + p }},
	{"dot-dot-beyond", func(_ *dice, p string) string { return "/../.." + p }},
	{"trailing-dots", func(d *dice, p string) string { return p + pick(d, "/.", "/..", "/x/..", "/...", "/.x") }},
	{"escaped-letter", escapeLetter},
	{"escaped-slash", func(d *dice, p string) string { return replaceSlash(d, p, pick(d, "%2F", "%2f")) }},
	{"escaped-backslash", func(d *dice, p string) string { return replaceSlash(d, p, pick(d, "%5C", "%5c")) }},
	{"backslash", func(d *dice, p string) string { return replaceSlash(d, p, `\`) }},
	{"double-slash", func(d *dice, p string) string { return replaceSlash(d, p, pick(d, "//", "///", "/\\", "\\\\")) }},
	{"escaped-double", func(d *dice, p string) string { return replaceSlash(d, p, pick(d, "/%2f", "%2F%2F", "/%5c", "%5c/")) }},
	{"trailing-slash", func(_ *dice, p string) string { return p + "/" }},
	{"parameters", func(d *dice, p string) string { return p + pick(d, ";a=b", ";", ";a/", "/;x") }},
	{"dot-parameters", func(d *dice, p string) string { return pick(d, "/x/..;y", "/a/b/..;y=1", "/.;z") + p }},
	{"dot-parameters", func(d *dice, p string) string {
		return pick(d, "/x/..;y", "/x/..;y=1", "/.;z", "/x/%2e%2e;a", "/x/..%3b", "/..;") + p
	}},
	{"nul", func(d *dice, p string) string { return pick(d, p+"%00", "/%00"+p, p+"?x=%00") }},
	{"nul", func(d *dice, p string) string { return pick(d, p+"%00", "/%00"+p, p+"/%00/x", "/a%00b/.."+p) }},
	{"bad-escape", func(d *dice, p string) string { return p + pick(d, "%zz", "%", "%2", "%%41", "%u0041") }},
	{"escaped-other", func(d *dice, p string) string {
		return p + pick(d, "%20", "%3F", "%23", "%c3%a9", "%7E", "%2A", "%7f", "%41%62")
	}},
	{"raw", func(d *dice, p string) string {
		return p + pick(d, `"`, "<", ">", "^", "{", "|", "}", "`", "[", "]", "'", "*", "$", "~")
	}},
	{"star", func(_ *dice, p string) string { return p + "*" }},
	{"case", func(_ *dice, p string) string { return swapCase(p) }},
	{"slashes-alone", func(d *dice, _ string) string { return pick(d, "//", "///", "/", "/%2f", "/\\") }},
}

// rareDisguises are those that only some codecs let through.
var rareDisguises = []struct {
	name string
	do   func(d *dice, path string) string
}{
	{"control", func(d *dice, p string) string { return p + pick(d, "\x01", "\t", "\x7f") }},
	{"high-byte", func(d *dice, p string) string { return p + pick(d, "\xc3\xa9", "\xff", "é") }},
	{"long", func(d *dice, p string) string { return p + "?" + strings.Repeat("x", 200+d.IntN(100)) }},
	{"very-long", func(_ *dice, p string) string { return p + strings.Repeat("/seg", 200) }},
}

// disguise writes the path in another way, a third of the time.
func (r *draft) disguise(path string) string {
	if r.oneIn(40) {
		rare := pick(r.dice, rareDisguises...)
		r.tag("path/" + rare.name)
		if rare.name == "high-byte" && !r.oneIn(8) {
			r.req.HTTP2 = true // over HTTP/1 it is an error of the codec
		}
		return rare.do(r.dice, path)
	}
	if !r.percent(35) {
		return path
	}
	return r.rewritten(path)
}

// rewritten is the path in a way that some normalization undoes, or none; now and
// then in two of them, since their order matters.
func (r *draft) rewritten(path string) string {
	if r.oneIn(5) {
		path = r.rewritten(path)
	}
	c := pick(r.dice, disguises...)
	r.tag("path/" + c.name)
	return c.do(r.dice, path)
}

// escapeLetter writes one character in its percent-encoded form.
func escapeLetter(d *dice, path string) string {
	if len(path) < 2 {
		return path
	}
	i := 1 + d.IntN(len(path)-1)
	const digits = "0123456789abcdef"
	code := string([]byte{'%', digits[path[i]>>4], digits[path[i]&15]})
	if d.percent(30) {
		code = strings.ToUpper(code)
	}
	return path[:i] + code + path[i+1:]
}

// replaceSlash puts a text in the place of one of the slashes but the first, or of
// the first where it is the only one; it begins with a slash all the same.
func replaceSlash(d *dice, path, by string) string {
	last := strings.LastIndex(path, "/")
	if last > 0 && d.percent(70) {
		return path[:last] + by + path[last+1:]
	}
	if strings.HasPrefix(by, "/") || d.percent(5) {
		return by + strings.TrimPrefix(path, "/")
	}
	return "/" + by + strings.TrimPrefix(path, "/")
}
