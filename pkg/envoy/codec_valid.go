package envoy

import (
	"net/netip"
	"strconv"
	"strings"
)

// ValidURL says that the proxy takes a text for the URL of a server of keys
// (Envoy source/common/http/utility.cc:Utility::Url::initialize).
func ValidURL(text string) bool {
	scheme, rest, ok := strings.Cut(text, "://")
	for i := range len(scheme) {
		c := scheme[i] | 0x20
		ok = ok && 'a' <= c && c <= 'z'
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return ok && scheme != "" && validHostPort(rest[strings.LastIndexByte(rest, '@')+1:])
}

// validHostPort is what http_parser_parse_url takes for the host of a target.
func validHostPort(h string) bool {
	if end := strings.LastIndexByte(h, ']'); strings.HasPrefix(h, "[") && end > 0 {
		_, err := netip.ParseAddr(h[1:end])
		return err == nil && (h[end+1:] == "" || validPort(h[end+1:]))
	}
	if i := strings.IndexByte(h, ':'); i >= 0 {
		if !validPort(h[i:]) {
			return false
		}
		h = h[:i]
	}
	for i := 0; i < len(h); i++ {
		if !isAlnum(h[i]) && strings.IndexByte(".-_", h[i]) < 0 {
			return false
		}
	}
	return h != ""
}

func validPort(p string) bool {
	n, err := strconv.ParseUint(strings.TrimPrefix(p, ":"), 10, 16)
	return err == nil && strings.HasPrefix(p, ":") && n <= 65535
}

// validTargetHTTP1 is balsa_parser.cc:isUrlValid.
func validTargetHTTP1(t string, connect bool) bool {
	if t == "" {
		return false
	}
	host := ""
	if t[0] != '/' && t[0] != '*' {
		host = t
		if !connect {
			scheme, rest, ok := strings.Cut(t, "://")
			if !ok || !validScheme(scheme) {
				return false
			}
			host = rest
		}
		t = ""
		if i := strings.IndexAny(host, "/?"); i >= 0 {
			host, t = host[:i], host[i:]
		}
	}
	for i := 0; i < len(t); i++ {
		if c := t[i]; c != 9 && c != 12 && (c < '!' || c > 126) {
			return false
		}
	}
	for i := 0; i < len(host); i++ {
		if !isAlnum(host[i]) && strings.IndexByte("!$%&'()*+,-.:;=@[]_~", host[i]) < 0 {
			return false
		}
	}
	return !strings.Contains(host, "@@")
}

func validScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && strings.IndexByte("+-.", s[i]) < 0 {
			return false
		}
	}
	return s != "" && isAlpha(s[:1])
}

func validHeaderName(n string) bool {
	_, valid := headerName(n)
	return valid
}

// headerName is the name in lower case, and whether it is a token.
func headerName(n string) (string, bool) {
	kinds := byte(0)
	for i := 0; i < len(n); i++ {
		kinds |= tokenBytes[n[i]]
	}
	if kinds&upperByte != 0 {
		n = lower(n)
	}
	return n, kinds&noTokenByte == 0 && n != ""
}

// What a byte is in a token (RFC 9110 section 5.6.2).
const (
	upperByte   = 1 << iota // a capital letter
	noTokenByte             // one that may not stand there
)

var tokenBytes = func() (kinds [256]byte) {
	for i := range kinds {
		switch c := byte(i); {
		case 'A' <= c && c <= 'Z':
			kinds[i] = upperByte
		case !isAlnum(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0:
			kinds[i] = noTokenByte
		}
	}
	return kinds
}()

func byteSet(has func(byte) bool) (set [256]bool) {
	for i := range set {
		set[i] = has(byte(i))
	}
	return set
}

// hasControl reports control characters that a header value may not have.
func hasControl(v string) bool {
	for i := 0; i < len(v); i++ {
		if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
			return true
		}
	}
	return false
}

var authorityBytes = byteSet(func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte("\"#/<>?\\^`{|}", c) < 0 })

// validAuthority is Envoy source/common/http/header_utility.cc:HeaderUtility::authorityIsValid.
func validAuthority(a string) bool {
	for i := 0; i < len(a); i++ {
		if !authorityBytes[a[i]] {
			return false
		}
	}
	return true
}
