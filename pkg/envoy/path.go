package envoy

import "strings"

// normalizePath does to :path what the connection manager does before any filter
// sees it (Envoy source/common/http/conn_manager_utility.cc:maybeNormalizePath):
// the fragment goes, then slashes are unescaped, the path canonicalized and runs
// of slashes merged, as configured. ok is false when the request is refused with
// 400; redirect is true when the answer is a 307 to the new path.
func normalizePath(path string, cm *ConnectionManager, b Behavior, br *BranchSet) (out string, redirect, ok bool) {
	if i := strings.IndexByte(path, '#'); i >= 0 {
		br.add(BranchPathFragment)
		path = path[:i]
	}
	p, query := path, ""
	before := path
	if i := strings.IndexByte(path, '?'); i >= 0 {
		p, query = path[:i], path[i:]
	}
	if cm.EscapedSlashes != KeepEscapedSlashes {
		unescaped := unescapeSlashes(p)
		if unescaped != p {
			br.add(BranchPathUnescaped)
			switch cm.EscapedSlashes {
			case RejectEscapedSlashes:
				return "", false, false
			case UnescapeAndRedirect:
				redirect = true
			}
			p = unescaped
		}
	}
	if cm.NormalizePath {
		if b.DotSegmentParameters {
			p = dropDotSegmentParameters(p, br)
		}
		canonical, valid := canonicalizePath(p)
		if !valid {
			br.add(BranchPathInvalid)
			return "", false, false
		}
		if canonical != p {
			br.add(BranchPathCanonicalized)
		}
		p = canonical
	}
	if cm.MergeSlashes && strings.Contains(p, "//") {
		br.add(BranchPathMerged)
		p = mergeSlashes(p)
	}
	if len(p)+len(query) == len(before) && p == before[:len(p)] {
		return before, redirect, true
	}
	return p + query, redirect, true
}

var slashEscapes = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", `\`, "%5c", `\`)

// unescapeSlashes decodes escaped slashes and backslashes once
// (Envoy source/common/http/path_utility.cc:PathUtil::unescapeSlashes).
func unescapeSlashes(p string) string { return slashEscapes.Replace(p) }

// mergeSlashes collapses runs of slashes and keeps one at either end, so that a
// path of slashes alone becomes "//" (PathUtil::mergeSlashes).
func mergeSlashes(p string) string {
	var parts []string
	for _, s := range strings.Split(p, "/") {
		if s != "" {
			parts = append(parts, s)
		}
	}
	out := strings.Join(parts, "/")
	if strings.HasPrefix(p, "/") {
		out = "/" + out
	}
	if strings.HasSuffix(p, "/") {
		out += "/"
	}
	return out
}

// dropDotSegmentParameters makes "..;x" a dot segment by cutting the parameters
// off (the fix of CVE-2026-73551). Only literal dots and slashes count.
func dropDotSegmentParameters(p string, br *BranchSet) string {
	if !strings.Contains(p, ".;") {
		return p
	}
	segments := strings.Split(p, "/")
	for i, s := range segments {
		switch {
		case strings.HasPrefix(s, "..;"):
			segments[i] = ".."
			br.add(BranchPathDotParameter)
		case strings.HasPrefix(s, ".;"):
			segments[i] = "."
			br.add(BranchPathDotParameter)
		}
	}
	return strings.Join(segments, "/")
}

// What the canonicalizer does with a character of a path
// (googleurl url/url_canon_path.cc, kPathCharLookup).
const (
	pathPass     = iota // kept as it is, and an escape of it stays an escape
	pathUnescape        // kept, and an escape of it is decoded
	pathEscape          // becomes an upper-case escape
	pathInvalid         // makes the path invalid
)

var pathChars = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c == 0:
			t[c] = pathInvalid
		case c <= ' ', c >= 0x7f, strings.IndexByte("\"#<>?^`{|}", byte(c)) >= 0:
			t[c] = pathEscape
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			t[c] = pathUnescape
		}
	}
	return t
}()

const upperHex = "0123456789ABCDEF"

// canonicalizePath is googleurl's CanonicalizePath for one-byte characters: it
// resolves dot segments, turns backslashes into slashes, decodes escapes of
// unreserved characters and escapes what may not stand in a path. It is false for
// a path that contains a NUL.
func canonicalizePath(p string) (string, bool) {
	if isCanonical(p) {
		return p, true
	}
	out := make([]byte, 0, len(p)+8)
	if p == "" || !isSlash(p[0]) {
		out = append(out, '/')
	}
	valid := true
	brokenAt := -3 // where the last percent sign stands that begins no escape
	for i := 0; i < len(p); i++ {
		c := p[i]
		if n := dotLen(p, i); n > 0 {
			if len(out) == 0 || out[len(out)-1] != '/' {
				out = append(out, '.')
				i += n - 1
				continue
			}
			switch kind, consumed := classifyAfterDot(p, i+n); kind {
			case notADirectory:
				out = append(out, '.')
				i += n - 1
			case currentDirectory:
				i += n + consumed - 1
			case parentDirectory:
				out = backUp(out)
				i += n + consumed - 1
			}
			continue
		}
		switch {
		case isSlash(c):
			out = append(out, '/')
		case c == '%':
			v, ok := unhex2(p, i+1)
			if !ok {
				brokenAt = len(out)
				out = append(out, '%')
				continue
			}
			switch pathChars[v] {
			case pathUnescape:
				out = append(out, v)
				if brokenAt >= len(out)-3 {
					out = guardNested(out, p, i+3, brokenAt)
				}
			case pathInvalid:
				valid = false
				fallthrough
			default:
				out = append(out, p[i:i+3]...)
			}
			i += 2
		case pathChars[c] == pathEscape:
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		case pathChars[c] == pathInvalid:
			valid = false
		default:
			out = append(out, c)
		}
	}
	return string(out), valid
}

// isCanonical recognises most paths that stay as they are.
func isCanonical(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := 1; i < len(p); i++ {
		switch c := p[i]; {
		case c == '%' || c == '\\' || c == '.' && p[i-1] == '/':
			return false
		case c != '/' && (pathChars[c] == pathEscape || pathChars[c] == pathInvalid):
			return false
		}
	}
	return true
}

// guardNested keeps a decoded character from completing an escape with a percent
// sign before it that began none: that sign becomes %25
// (url_canon_path.cc:CheckForNestedEscapes).
func guardNested(out []byte, p string, next, brokenAt int) []byte {
	last := out[len(out)-1]
	peek := brokenAt == len(out)-2
	seen := out
	if peek {
		if next >= len(p) || p[next] >= 0x80 {
			return out
		}
		seen = append(append([]byte(nil), out...), p[next])
	}
	if _, ok := unhex2(string(seen), brokenAt+1); !ok {
		return out
	}
	if !peek {
		out = append(out, out[brokenAt+1])
	} else {
		out = append(out, 0)
	}
	out[brokenAt+1], out[brokenAt+2] = '2', '5'
	return append(out, last)
}

const (
	notADirectory = iota
	currentDirectory
	parentDirectory
)

// classifyAfterDot says what a dot that follows a slash begins, and how many
// characters after it belong to that (url_canon_path.cc:ClassifyAfterDot).
func classifyAfterDot(p string, after int) (kind, consumed int) {
	if after == len(p) {
		return currentDirectory, 0
	}
	if isSlash(p[after]) {
		return currentDirectory, 1
	}
	second := dotLen(p, after)
	if second == 0 {
		return notADirectory, 0
	}
	switch after += second; {
	case after == len(p):
		return parentDirectory, second
	case isSlash(p[after]):
		return parentDirectory, second + 1
	default:
		return notADirectory, 0
	}
}

// backUp drops the last directory of a path that ends in a slash.
func backUp(out []byte) []byte {
	i := len(out) - 1
	if i == 0 {
		return out
	}
	for i--; i > 0 && out[i] != '/'; i-- {
	}
	return out[:i+1]
}

// dotLen is the length of the dot at i, escaped or not; 0 if there is none.
func dotLen(p string, i int) int {
	switch {
	case i >= len(p):
		return 0
	case p[i] == '.':
		return 1
	case p[i] == '%' && i+2 < len(p) && p[i+1] == '2' && (p[i+2] == 'e' || p[i+2] == 'E'):
		return 3
	default:
		return 0
	}
}

func isSlash(c byte) bool { return c == '/' || c == '\\' }

func unhex2(s string, i int) (byte, bool) {
	if i+1 >= len(s) {
		return 0, false
	}
	a, ok1 := unhex(s[i])
	b, ok2 := unhex(s[i+1])
	return a<<4 | b, ok1 && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}

// percentDecode decodes what is a valid escape and keeps everything else; a plus
// is a plus (Envoy source/common/http/utility.cc:Utility::PercentEncoding::decode).
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if v, ok := unhex2(s, i+1); ok {
				out = append(out, v)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// cutQuery returns the path without query and fragment
// (PathUtil::removeQueryAndFragment).
func cutQuery(p string) string {
	if i := strings.IndexByte(p, '?'); i >= 0 {
		p = p[:i]
	}
	if i := strings.IndexByte(p, '#'); i >= 0 {
		p = p[:i]
	}
	return p
}
