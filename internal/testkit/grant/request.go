package grant

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// header makes a header, or what stands for one, have a value that is wanted.
func (w *work) header(m *envoy.HeaderMatch) Impossible {
	wanted := samples(m.String)
	if m.Present {
		wanted = []string{"x"}
	}
	set := w.setHeader
	switch m.Name {
	case ":authority", "host":
		set = w.setHost
	case ":method":
		set, wanted = w.setMethod, append(methodsFor(m.String), wanted...)
	case ":path":
		set = w.setTarget
	case "referer":
		wanted = append(wanted, "http://x/"+m.String.Value)
	}
	why := NoSuchValue
	before := w.req
	for _, v := range wanted {
		w.req = clone(before)
		if why = set(m.Name, v); why == "" {
			return ""
		}
	}
	if p, claim := w.writtenBy(m.Name); p >= 0 && why != "" {
		w.req = clone(before)
		return w.claimHeader(m.Name, p, claim, m.String)
	}
	return why
}

func (w *work) setHeader(name, value string) Impossible {
	setHeader(w.req, name, value)
	if w.arrives(false) == nil {
		return NoSuchValue
	}
	if !arrivedAs(w.arrives(false), name, value) {
		return HeaderChanged
	}
	switch up := w.arrives(true); {
	case up == nil:
		return HeaderIsToken
	case !arrivedAs(up, name, value):
		return HeaderChanged
	}
	return ""
}

// arrivedAs says whether the header has one line, with this value.
func arrivedAs(up *envoy.Upstream, name, value string) bool {
	var lines []string
	for _, h := range up.Headers {
		if h.Name == name {
			lines = append(lines, h.Value)
		}
	}
	return len(lines) == 1 && lines[0] == value && !slices.Contains(up.Unknown, name)
}

func (w *work) setHost(_, value string) Impossible {
	dropHeaders(w.req, "host")
	w.req.Authority = value
	w.req.Path = relative(w.req.Path)
	if up := w.arrives(false); up == nil || up.Authority != value {
		return NoSuchValue
	}
	return ""
}

// relative takes host and scheme off an absolute target.
func relative(target string) string {
	_, rest, ok := strings.Cut(target, "://")
	if strings.HasPrefix(target, "/") || !ok {
		return target
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// methods are those that HTTP/1 takes, without CONNECT, which has no path.
var methods = strings.Fields("GET POST PUT DELETE HEAD OPTIONS PATCH TRACE ACL BIND CHECKOUT COPY LINK LOCK MERGE " +
	"MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE " +
	"UNBIND UNLINK UNLOCK UNSUBSCRIBE")

func methodsFor(m envoy.StringMatch) []string {
	var out []string
	for _, name := range methods {
		if accepts(m, name) {
			out = append(out, name)
		}
	}
	return out
}

// setMethod sets the method; HTTP/1 knows only some, HTTP/2 takes any.
func (w *work) setMethod(_, value string) Impossible {
	if value == "" || value == "CONNECT" {
		return NoSuchValue
	}
	w.req.Method = value
	if !slices.Contains(methods, value) {
		w.req.Protocol = envoy.HTTP2
		dropConnection(w.req)
		dropHeaders(w.req, "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
	}
	if up := w.arrives(false); up == nil || up.Method != value {
		return NoSuchValue
	}
	if w.arrives(true) == nil {
		return w.dropTokens() // of a preflight, or with blanks at their end: nobody minded them before
	}
	return ""
}

// setTarget sets the whole :path, with the query.
func (w *work) setTarget(_, value string) Impossible {
	w.req.Path = value
	if up := w.arrives(true); up == nil || up.Path != value {
		return PathChanged
	}
	return ""
}

// anyPath sets the path to the first of the wanted ones that gets through.
func (w *work) anyPath(wanted []string) Impossible {
	query := ""
	if i := strings.IndexByte(w.req.Path, '?'); i >= 0 {
		query, _, _ = strings.Cut(w.req.Path[i:], "#")
	}
	for _, v := range wanted {
		w.req.Path = v + query
		if up := w.arrives(false); up != nil && !strings.ContainsAny(v, "?#") && up.Path == v+query {
			return ""
		}
	}
	return PathChanged
}

func (w *work) otherPath(ms []envoy.Matcher) Impossible {
	candidates := []string{"/other", "/o", "/other/one", "/other/one/", "/", "/other.x", "/[x]", "/other/[x]/"}
	var free []string
next:
	for _, c := range candidates {
		for _, m := range ms {
			switch m := m.(type) {
			case *envoy.PathMatch:
				if accepts(m.String, c) {
					continue next
				}
			case *envoy.TemplateMatch:
				if templateTakes(m.Template, c) {
					continue next
				}
			}
		}
		free = append(free, c)
	}
	if len(free) == 0 {
		return EveryValue
	}
	return w.anyPath(free)
}

// withoutHeader takes a header away, or gives one that is always there another value.
func (w *work) withoutHeader(name string, ms []envoy.Matcher) Impossible {
	switch name {
	case ":authority", "host":
		return w.other(ms, w.setHost, "other.test", "host.invalid", "o", "x.y:1")
	case ":method":
		return w.other(ms, w.setMethod, methods...)
	case ":path":
		return w.other(ms, w.setTarget, "/other", "/o", "/other/one", "/?o", "/o?x")
	}
	if p, _ := w.writtenBy(name); p >= 0 {
		if why := w.dropTokens(); why != "" {
			return why
		}
	}
	dropConnection(w.req)
	dropHeaders(w.req, name)
	up := w.arrives(true)
	if up == nil || slices.Contains(up.Unknown, name) ||
		slices.ContainsFunc(up.Headers, func(h envoy.Header) bool { return h.Name == name }) {
		return AlwaysPresent
	}
	return ""
}

func (w *work) other(ms []envoy.Matcher, set func(name, value string) Impossible, candidates ...string) Impossible {
	why := EveryValue
	before := w.req
next:
	for _, c := range candidates {
		for _, m := range ms {
			h := m.(*envoy.HeaderMatch)
			if h.Present {
				return AlwaysPresent
			}
			if accepts(h.String, c) {
				continue next
			}
		}
		w.req = clone(before)
		if why = set("", c); why == "" {
			return ""
		}
	}
	return why
}

// filler stands in x-forwarded-for to the right of the address that counts.
const filler = "10.255.255.254"

// address makes the client's, the forwarded or the reached address this one.
func (w *work) address(side envoy.IPSide, a netip.Addr) Impossible {
	cm := manager(w.p)
	forwarded := side == envoy.RemoteIP && (!cm.UseRemoteAddress || cm.TrustedHops > 0)
	if !forwarded && a.Is4In6() {
		return NoSuchValue // an IPv4 peer is an IPv4 peer, also on an IPv6 socket
	}
	switch {
	case side == envoy.DestinationIP:
		w.req.Connection.LocalIP = envoy.Known(a)
	case forwarded:
		w.req.Connection.RemoteIP = nil
		value := a.String()
		for range max(int(cm.TrustedHops), 1) - 1 {
			if cm.UseRemoteAddress {
				value += ", " + filler
			}
		}
		setHeader(w.req, "x-forwarded-for", value)
	default:
		w.req.Connection.RemoteIP = nil
		w.req.Connection.Source = envoy.Known(a)
	}
	return ""
}

func (w *work) otherAddress(ms []envoy.Matcher) Impossible {
next:
	for _, c := range []string{"192.0.2.7", "127.0.0.9", "10.9.8.7", "172.31.255.1", "224.0.0.1", "240.9.9.9", "2001:db8:ffff::7", "fe80::7", "64:ff9b::1"} {
		a := netip.MustParseAddr(c)
		for _, m := range ms {
			if m.(*envoy.IPMatch).Block.Contains(a) {
				continue next
			}
		}
		return w.address(ms[0].(*envoy.IPMatch).Side, a)
	}
	return EveryValue
}
