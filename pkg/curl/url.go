package curl

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// location is a URL as curl takes it apart (curl lib/urlapi.c).
type location struct {
	scheme         string
	user, password string
	hasUser        bool
	host           string // as it stands in the Host header, without brackets
	ipv6           bool
	port           int
	portGiven      bool
	path           string
	query          string
	hasQuery       bool
}

const urlHint = "write the URL as http://HOST[:PORT]/PATH"

// parseURL takes a URL apart without decoding its path.
func (c *config) parseURL(raw string) (*location, error) {
	for i := range len(raw) {
		switch b := raw[i]; {
		case b == ' ':
			return nil, refuse("write a blank as %20", "curl refuses the URL: it has a blank in it")
		case b < ' ' || b == 0x7f:
			return nil, refuse("percent-encode it", "curl refuses the URL: it has a control character in it")
		}
	}
	l := &location{scheme: "http"}
	rest, err := l.takeScheme(raw, c.scheme)
	if err != nil {
		return nil, err
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	rest, _, _ = strings.Cut(rest[len(authority):], "#")
	l.path, l.query, l.hasQuery = strings.Cut(rest, "?")
	if err := l.takeAuthority(authority); err != nil {
		return nil, err
	}
	return l, c.takePath(l)
}

// takeScheme cuts the scheme off, or guesses it as curl does.
func (l *location) takeScheme(raw, byDefault string) (rest string, err error) {
	at := strings.Index(raw, ":/")
	if at > 0 && isScheme(raw[:at]) {
		l.scheme, rest = strings.ToLower(raw[:at]), raw[at+1:]
		slashes := len(rest) - len(strings.TrimLeft(rest, "/"))
		if slashes > 3 {
			return "", refuse(urlHint, "curl refuses the URL: it has too many slashes behind the scheme")
		}
		rest = rest[slashes:]
	} else {
		rest = raw
		if byDefault != "" {
			l.scheme = strings.ToLower(byDefault)
		} else {
			for _, other := range []string{"ftp", "dict", "ldap", "imap", "smtp", "pop3"} {
				if strings.HasPrefix(strings.ToLower(raw), other+".") {
					l.scheme = other // curl guesses by the name of the host
				}
			}
		}
	}
	switch l.scheme {
	case "http":
		l.port = 80
	case "https":
		l.port = 443
	default:
		return "", refuse(urlHint, "the URL's scheme is %q, and only http and https are judged", l.scheme)
	}
	return rest, nil
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if !('a' <= c && c <= 'z' || i > 0 && ('0' <= s[i] && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0)) {
			return false
		}
	}
	return s != ""
}

// takeAuthority takes user, host and port.
func (l *location) takeAuthority(authority string) error {
	if login, rest, found := strings.Cut(authority, "@"); found {
		user, password, _ := strings.Cut(login, ":")
		l.hasUser, l.user, l.password, authority = true, decoded(user), decoded(password), rest
	}
	host, port := authority, ""
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return refuse(urlHint, "curl refuses the URL: a [ is not closed")
		}
		host, port = authority[1:end], strings.TrimPrefix(authority[end+1:], ":")
		host, _, _ = strings.Cut(host, "%")
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is6() {
			return refuse(urlHint, "curl refuses the URL: what is in brackets is no IPv6 address")
		}
		host, l.ipv6 = addr.String(), true
	} else {
		host, port, _ = strings.Cut(authority, ":")
		if err := l.checkHost(&host); err != nil {
			return err
		}
	}
	l.host = host
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return refuse("ports are 1 to 65535", "curl refuses the URL: its port is no number, or out of range")
	}
	l.port, l.portGiven = int(n), true
	return nil
}

// checkHost refuses what curl does, and writes addresses in their usual form.
func (l *location) checkHost(host *string) error {
	if strings.Contains(*host, "%") {
		*host = decoded(*host)
	}
	switch {
	case *host == "":
		return refuse(urlHint, "the URL has no host")
	case strings.ContainsAny(*host, "<>"):
		return refuse("write the real host in the place of <…>", "the URL's host is a placeholder")
	case strings.ContainsAny(*host, " \r\n\t/:#?!@{}[]\\$'\"^`*<>=;,&()+%") || strings.ContainsFunc(*host, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return refuse(urlHint, "curl refuses the URL: its host has a character that no host has")
	case strings.ContainsFunc(*host, func(r rune) bool { return r > 0x7f }):
		return refuse("write the host in its ASCII form, which begins with xn--", "the URL's host is not in ASCII")
	}
	if addr, ok := ipv4(*host); ok {
		*host = addr
	}
	return nil
}

// ipv4 writes the forms that inet_aton takes as curl does: 127.1 is 127.0.0.1.
func ipv4(host string) (string, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return "", false
	}
	var value uint64
	for i, part := range parts {
		if part == "" || part[0] < '0' || part[0] > '9' || strings.Contains(part, "_") {
			return "", false
		}
		base := 10
		if digits, ok := strings.CutPrefix(strings.ToLower(part), "0x"); ok {
			part, base = digits, 16
		} else if len(part) > 1 && part[0] == '0' {
			base = 8
		}
		n, err := strconv.ParseUint(part, base, 32)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<bits {
			return "", false
		}
		value = value<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}).String(), true
}

func decoded(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// takePath makes the path what curl sends.
func (c *config) takePath(l *location) error {
	written := l.path
	if l.path == "" {
		l.path = "/"
	}
	if !c.pathAsIs {
		if l.path = withoutDots(l.path); l.path != written && written != "" && !c.opts.PathGiven {
			c.note("curl takes /../ and /./ out of the path before it sends it; --path-as-is in the command keeps them")
		}
		if encodedDots(l.path) && !c.opts.PathGiven && !c.targetSet {
			return refuse("add --path-as-is to the command if the path arrives as it stands, or give what arrives with --path",
				"the path has %%2e in the place of dots, which curl takes out of it since 8.13, and older ones send")
		}
	}
	var out strings.Builder
	for i := range len(l.path) {
		if b := l.path[i]; b >= 0x80 {
			const hex = "0123456789ABCDEF"
			out.WriteByte('%')
			out.WriteByte(hex[b>>4])
			out.WriteByte(hex[b&15])
		} else {
			out.WriteByte(b)
		}
	}
	l.path = out.String()
	return nil
}

// withoutDots removes dot segments as RFC 3986, section 5.2.4, and curl do.
func withoutDots(path string) string {
	var out []string
	segments := strings.Split(path, "/")
	for i, s := range segments[1:] {
		last := i == len(segments)-2
		switch s {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

// encodedDots reports whether a segment is dots of which one is percent-encoded.
func encodedDots(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if !strings.Contains(s, "%") {
			continue
		}
		if plain := strings.ReplaceAll(strings.ToLower(s), "%2e", "."); plain == "." || plain == ".." {
			return true
		}
	}
	return false
}
