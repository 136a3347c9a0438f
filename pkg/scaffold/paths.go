package scaffold

import "strings"

// checkPath refuses a path that would not do what it seems to do
// (Istio pilot/pkg/security/authz/matcher/string.go:StringMatcher: a star counts at
// the end or at the beginning only; the query is never part of what is compared).
func checkPath(flag, path string, insecure bool) error {
	bare := strings.NewReplacer("{*}", "", "{**}", "").Replace(path)
	switch {
	case path == "":
		return refuse("the shortest path is /", "%s is empty", flag)
	case everything(path):
		return refuse("leave it out, and say so: --require none", "%s %q is every path: nobody would need a token", flag, path)
	case strings.ContainsAny(path, "?#"):
		return refuse("leave the query out: a path is compared without it", "%s %q has a query, which is cut off before paths are compared", flag, path)
	case unprintable(path):
		return refuse("write what is not ASCII as %XX", "%s %q has a blank, or a byte that no path has on the wire", flag, path)
	case strings.HasPrefix(path, "*"):
		if strings.Contains(path[1:], "*") {
			return refuse("write a star in the middle as {*}, a whole segment", "%s %q has a star in the middle, which is a star and nothing else", flag, path)
		}
		if !insecure {
			return refuse("name the paths, or take it as it is with --insecure", "%s %q is whatever ends like that, also /admin/%s", flag, path, strings.TrimPrefix(path[1:], "/"))
		}
		return nil
	case !strings.HasPrefix(path, "/"):
		return refuse("begin it with a slash: /"+path, "%s %q is no path", flag, path)
	case strings.ContainsAny(bare, "{}"):
		return checkTemplate(flag, path)
	case bare != path:
		return checkTemplate(flag, path)
	}
	if literal, prefix := strings.CutSuffix(path, "*"); prefix {
		if strings.Contains(literal, "*") {
			return refuse("write a star in the middle as {*}, a whole segment", "%s %q has a star in the middle, which is a star and nothing else", flag, path)
		}
		if !strings.HasSuffix(literal, "/") {
			return refuse("give "+literal+" and "+literal+"/* instead, each with its own "+flag,
				"%s %q is also %s-and-more, and all that begins like that", flag, path, literal)
		}
		return checkSegments(flag, path, literal)
	}
	if strings.Contains(path, "*") {
		return refuse("write a star in the middle as {*}, a whole segment", "%s %q has a star in the middle, which is a star and nothing else", flag, path)
	}
	return checkSegments(flag, path, path)
}

func everything(path string) bool {
	switch path {
	case "*", "/*", "{**}", "/{**}", "**":
		return true
	}
	return false
}

// unprintable reports bytes that are never in a path on the wire.
func unprintable(path string) bool {
	for i := range len(path) {
		if path[i] <= ' ' || path[i] > '~' {
			return true
		}
	}
	return false
}

// checkTemplate holds a template to what admission takes: an operator is a whole
// segment, and behind {**} there is nothing but text
// (Istio pkg/config/security/security.go:CheckValidPathTemplate).
func checkTemplate(flag, path string) error {
	const hint = "{*} stands for one whole segment, {**} for any number of them, as in /files/{*}/meta or /files/{**}"
	rest := false
	for _, segment := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		switch {
		case segment == "{*}" || segment == "{**}":
			if rest {
				return refuse(hint, "%s %q has an operator behind {**}, which takes all that is left", flag, path)
			}
			rest = segment == "{**}"
		case strings.ContainsAny(segment, "{}*"):
			return refuse(hint, "%s %q has a star or a brace that is not a whole segment", flag, path)
		}
	}
	return checkSegments(flag, path, strings.NewReplacer("{*}", "x", "{**}", "x").Replace(path))
}

// checkSegments refuses paths that no request has once the proxy has normalized it
// (Envoy source/common/http/path_utility.cc:canonicalPath).
func checkSegments(flag, path, literal string) error {
	for _, segment := range strings.Split(literal, "/") {
		if segment == "." || segment == ".." {
			return refuse("write the path that is left", "%s %q has a dot segment, which the proxy takes out before it compares", flag, path)
		}
	}
	switch {
	case strings.Contains(literal, `\`):
		return refuse("write a slash", "%s %q has a backslash, which the proxy makes a slash before it compares", flag, path)
	case strings.Contains(literal, "//"):
		return refuse("write one slash", "%s %q has two slashes in a row, which meshes may merge before they compare", flag, path)
	}
	for i := 0; i+2 < len(literal); i++ {
		if literal[i] != '%' {
			continue
		}
		if c, ok := unhex(literal[i+1], literal[i+2]); ok && unreserved(c) {
			return refuse("write "+string(c)+" in its place", "%s %q has %s, which the proxy decodes before it compares", flag, path, literal[i:i+3])
		}
	}
	return nil
}

func unhex(a, b byte) (byte, bool) {
	digit := func(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }
	x, y := digit(a), digit(b)
	if x < 0 || y < 0 {
		return 0, false
	}
	return byte(x<<4 | y), true
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// isTemplate reports whether a path needs the feature version.PathTemplates.
func isTemplate(path string) bool {
	return strings.Contains(path, "{*}") || strings.Contains(path, "{**}")
}

// sample is a path that a pattern takes.
func sample(pattern string) string {
	s := strings.NewReplacer("{**}", "any/any", "{*}", "any").Replace(pattern)
	switch {
	case strings.HasPrefix(s, "*"):
		s = "/any" + s[1:]
		if strings.HasPrefix(pattern, "*/") {
			s = "/any" + pattern[1:]
		}
	case strings.HasSuffix(s, "*"):
		s = s[:len(s)-1] + "any"
	}
	return s
}

// takes reports whether a plain pattern takes a path that has no operator's characters.
func takes(pattern, path string) bool {
	switch {
	case isTemplate(pattern):
		head, _, _ := strings.Cut(pattern, "{")
		return strings.HasPrefix(path, head)
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(path, pattern[1:])
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(path, pattern[:len(pattern)-1])
	}
	return pattern == path
}

// otherPath is a path that no pattern takes.
func otherPath(patterns []string) string {
	for _, path := range []string{"/any-other-path", "/another/path", "/nothing/of/the/kind", "/q/w/e/r/t/y"} {
		free := true
		for _, p := range patterns {
			if takes(p, path) {
				free = false
			}
		}
		if free {
			return path
		}
	}
	return ""
}
