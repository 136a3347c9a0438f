package envoy

import (
	"strings"
	"testing"
)

func pathSeeds(f *testing.F) {
	for _, cases := range oracle {
		for _, c := range cases {
			f.Add(c[0])
		}
	}
	for _, s := range []string{"", "%", "/%%32%65", "/..;a/b", "/a/%2e%2e", "/\x00", "/\xff", `\..\`, "/%2", "//", "/./..//"} {
		f.Add(s)
	}
}

func FuzzCanonicalizePath(f *testing.F) {
	pathSeeds(f)
	f.Fuzz(func(t *testing.T, p string) {
		out, ok := canonicalizePath(p)
		if !strings.HasPrefix(out, "/") {
			t.Fatalf("%q becomes %q, which does not begin with a slash", p, out)
		}
		if strings.ContainsAny(out, "\\\x00\"<>^`{|} ") {
			t.Fatalf("%q becomes %q, which has characters that may not stand in a path", p, out)
		}
		if !ok {
			return
		}
		// Canonicalizing again changes nothing: no dot segment is left, and no escape
		// that could be decoded.
		if again, ok := canonicalizePath(out); !ok || again != out {
			t.Fatalf("%q becomes %q, and that becomes %q", p, out, again)
		}
	})
}

func FuzzNormalizePath(f *testing.F) {
	pathSeeds(f)
	f.Fuzz(func(t *testing.T, p string) {
		for name, cm := range normalizations {
			out, _, ok := normalizePath(p, cm, CurrentBehavior(), new(BranchSet))
			switch {
			case ok && strings.Contains(out, "#"):
				t.Errorf("%s: a fragment is left in %q", name, out)
			case ok && cm.MergeSlashes && strings.Contains(cutQuery(out), "//") && cutQuery(out) != "//":
				t.Errorf("%s: two slashes are left in %q", name, out)
			}
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"/u/{*}/p", "/{**}", "/a.b/{*}", "/{*}x", "/{**}/end", "//{*}", "/a(b)/{*}", "/a$/{*}", "/*/{*}", "{*}", "/{**}{*}", "/a/{*}.html"} {
		f.Add(s, "/u/1/p")
		f.Add(s, "/")
	}
	f.Fuzz(func(t *testing.T, template, path string) {
		if len(template)+len(path) > 500 {
			return // long templates take long to compile, and show nothing more
		}
		m, err := NewTemplate(template)
		if err != nil {
			return
		}
		s := &state{b: CurrentBehavior(), br: new(BranchSet), path: path, hasPath: true}
		now := m.match(s).T
		s.b.TemplateMatchesStar = false
		if before := m.match(s).T; before == True && now != True {
			t.Errorf("%q matched %q before '*' could stand in a segment, and does not now", template, path)
		}
		if !strings.HasPrefix(cutQuery(path), "/") && now == True {
			t.Errorf("%q matches %q, which does not begin with a slash", template, path)
		}
	})
}

func FuzzQueryAndCookies(f *testing.F) {
	for _, s := range []string{"/?a=1&b", "/?", "/?&&", "/?a=%41&a=2", "/?%", "/?a=b=c#d", "a=1; b=2", `a="x"`, "; =; a", "a"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		for _, p := range queryParams("/?" + text) {
			if _, ok := firstParam("/?"+text, p.name); !ok {
				t.Errorf("the parameter %q is lost", p.name)
			}
		}
		if out := removeParam("/?"+text, name); !strings.HasPrefix(out, "/") || strings.Count(out, "&") > strings.Count(text, "&")+strings.Count(text, "%26") {
			t.Errorf("without %q, %q becomes %q", name, text, out)
		}
		s := &state{headers: headerMap{{name: "cookie", value: text}}}
		if v, ok := s.cookie(name); ok && !strings.Contains(text, v) {
			t.Errorf("the cookie %q of %q is %q", name, text, v)
		}
	})
}
