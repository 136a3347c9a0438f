package diagnose

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// differ says how two texts differ that a tired person takes for the same, beginning
// with what is wrong with the first, which is `one` (the token); the other is that of
// `two` (the rule). It is empty where they are not alike.
func differ(got, want, one, two string) string {
	switch {
	case got == want || got == "" || want == "":
		return ""
	case got == want+"/":
		return one + " has a slash at the end that " + two + " has not"
	case got+"/" == want:
		return one + " has no slash at the end, and " + two + " has one"
	case strings.TrimSpace(got) == strings.TrimSpace(want):
		return "they differ by blanks"
	case strings.EqualFold(got, want):
		return "they differ by upper and lower case"
	case strings.EqualFold(strings.TrimSuffix(got, "/"), strings.TrimSuffix(want, "/")):
		return "they differ by a slash at the end and by upper and lower case"
	}
	g, w := splitURL(got), splitURL(want)
	switch {
	case g.rest == w.rest && g.scheme == "" && w.scheme != "":
		return one + " has no " + w.scheme + "://, and " + two + " has it"
	case g.rest == w.rest && w.scheme == "" && g.scheme != "":
		return one + " has " + g.scheme + "://, and " + two + " has not"
	case g.rest == w.rest:
		return one + " has " + g.scheme + ", and " + two + " " + w.scheme
	case g.host != "" && g.host == w.host && strings.HasPrefix(g.path, w.path) && w.path != "":
		return one + " goes on where " + two + " ends"
	case g.host != "" && g.host == w.host && strings.HasPrefix(w.path, g.path) && g.path != "":
		return two + " goes on where " + one + " ends"
	case g.host != "" && g.host == w.host:
		return "the host is the same, and the path is not"
	case g.host != "" && w.host != "" && g.path == w.path && sameName(g.host, w.host):
		return "they differ by the port"
	case g.host != "" && w.host != "" && g.path == w.path && len(g.path) > 1:
		return "the path is the same, and the host is not: another name of the same server, perhaps"
	case g.host != "" && w.host != "" && g.host != w.host && g.path != w.path:
		return ""
	case edits(got, want, 2) <= 2 && utf8.RuneCountInString(want) > 4:
		return "they look alike: a typing error, perhaps"
	}
	return ""
}

type parts struct{ scheme, host, path, rest string }

func splitURL(s string) parts {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	p := parts{scheme: scheme, rest: strings.TrimSuffix(rest, "/")}
	if !ok {
		return p
	}
	host, path, _ := strings.Cut(rest, "/")
	p.host, p.path = host, strings.TrimSuffix(path, "/")
	return p
}

func sameName(a, b string) bool {
	a, _, _ = strings.Cut(a, ":")
	b, _, _ = strings.Cut(b, ":")
	return a == b
}

// edits counts the insertions, deletions and changes that make one text of the
// other, up to a limit; beyond it, it is one more than the limit.
func edits(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		best := i
		for j := 1; j <= len(b); j++ {
			change := prev[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(prev[j]+1, row[j-1]+1, change)
			best = min(best, row[j])
		}
		if best > limit {
			return limit + 1
		}
		prev = row
	}
	return prev[len(b)]
}

// pathNear says why a path misses a pattern that looks as if it took it; empty where
// it does not look so. Both are without a query.
func pathNear(pattern, path string) string {
	star := strings.HasSuffix(pattern, "*") && !strings.Contains(pattern, "{*")
	stem := strings.TrimSuffix(pattern, "*")
	inside := strings.TrimPrefix(stem, "*")
	switch {
	case pattern == "" || path == "":
		return ""
	case star && path+"/" == stem:
		return "the pattern is for what is below, and not for " + quote(path) + " itself"
	case !star && path == pattern+"/":
		return "the path has a slash at the end that the pattern has not"
	case !star && path+"/" == pattern:
		return "the path has no slash at the end, and the pattern has one"
	case strings.EqualFold(path, pattern) || star && len(path) >= len(stem) && strings.EqualFold(path[:len(stem)], stem):
		return "they differ by upper and lower case, which counts"
	case strings.Contains(inside, "*") && !strings.Contains(pattern, "{*") && starred(inside, path):
		return "a * counts at the beginning or the end alone; in the middle it is a star: {*} is one part of the path"
	case strings.ContainsAny(pattern, "?#"):
		return "paths are compared without the query: the pattern can never match"
	case strings.HasPrefix(pattern, "^") || strings.Contains(pattern, ".*") || strings.Contains(pattern, "(") && strings.Contains(pattern, "|"):
		return "a path is no regular expression"
	}
	if plain, err := url.PathUnescape(path); err == nil && plain != path && matchesPlain(pattern, plain) {
		return "escaped characters are compared as they stand: they are not decoded"
	}
	if merged := mergeSlashes(path); merged != path && matchesPlain(pattern, merged) {
		return "slashes are compared as they stand: pathNormalization MERGE_SLASHES would make one of several"
	}
	if bare, _, ok := strings.Cut(path, ";"); ok && matchesPlain(pattern, bare) {
		return "what stands behind a semicolon is part of the path"
	}
	if !star && strings.HasPrefix(path, strings.TrimSuffix(pattern, "/")+"/") && len(pattern) > 1 {
		return "the pattern is for that path alone: " + quote(strings.TrimSuffix(pattern, "/")+"/*") + " is what is below it"
	}
	if edits(path, pattern, 2) <= 2 && len(pattern) > 5 {
		return "they look alike: a typing error, perhaps"
	}
	return ""
}

// matchesPlain compares as policies do, without templates.
func matchesPlain(pattern, v string) bool {
	switch {
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(v, pattern[1:])
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(v, pattern[:len(pattern)-1])
	default:
		return v == pattern
	}
}

// starred reports whether a path would match if each * stood for anything.
func starred(pattern, path string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(path, parts[0]) {
		return false
	}
	rest := path[len(parts[0]):]
	for _, p := range parts[1:] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return true
}

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
