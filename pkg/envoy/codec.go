package envoy

import (
	"strings"
)

// rejection is a reply that the codec or the connection manager gives before any
// filter runs.
type rejection struct {
	status  int
	body    string
	details string
	// reset means that there is no reply: the stream or the connection ends.
	reset bool
	note  string
}

const codecError = "http1.codec_error"

// Methods that are not like the others.
const (
	methodConnect = "CONNECT"
	methodQuery   = "QUERY"
)

// decode does what the codec does: it refuses what is not HTTP, trims and merges
// header lines and finds the pseudo headers
// (Envoy source/common/http/http1/{balsa_parser,codec_impl}.cc, http2/codec_impl.cc).
func (s *state) decode(cm *ConnectionManager) *rejection {
	r := s.req
	s.method, s.authority, s.path, s.hasPath = r.Method, r.Authority, r.Path, true
	decode := s.decodeHTTP1
	if r.Protocol == HTTP2 {
		if s.scheme = r.Scheme; s.scheme == "" {
			s.scheme = s.connectionScheme() // as its clients say it, who know of no other
		}
		decode = s.decodeHTTP2
	}
	rej := decode(cm)
	for _, u := range r.Unknown {
		s.headers.setUnknown(lower(u.Name), u.Missing)
	}
	if m := r.unseenHeader("x-forwarded-for"); m != nil {
		s.headers.setUnknown("x-forwarded-for", m)
	}
	return rej
}

// methodsHTTP1 are the only methods that the HTTP/1 parser takes
// (balsa_parser.cc:isMethodValid).
var methodsHTTP1 = wordSet(`ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR
	MKCOL MOVE MSEARCH NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE
	SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE`)

func wordSet(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

func badRequest(details, note string) *rejection {
	return &rejection{status: 400, body: "Bad Request", details: details, note: note}
}

// What a client may send of headers (Envoy source/common/http/http1/balsa_parser.cc,
// codec_impl.cc:completeCurrentHeader; the defaults of the connection manager).
const (
	maxHeaderBytes = 60 << 10
	maxHeaderLines = 100
)

func (s *state) tooLarge(details, note string) *rejection {
	s.br.add(BranchCodecTooLarge)
	if s.req.Protocol == HTTP2 {
		return &rejection{reset: true, details: details, note: note}
	}
	return &rejection{status: 431, body: "Request Header Fields Too Large", details: details, note: note}
}

// tlsSlice is how much of what comes over TLS is read and parsed at a time
// (Envoy source/common/tls/ssl_socket.cc:doRead fills slices of that size,
// http1/codec_impl.cc:dispatch parses each).
const tlsSlice = 16 << 10

// sizeHTTP1 is how much the client sends, from the method to the empty line.
func (s *state) sizeHTTP1() int {
	size := len(s.method) + len(" ") + len(s.path) + len(" HTTP/1.1\r\n") + len("\r\n")
	if s.authority != "" {
		size += len("host: ") + len(s.authority) + len("\r\n")
	}
	for _, h := range s.req.Headers {
		size += len(h.Name) + len(": ") + len(h.Value) + len("\r\n")
	}
	return size
}

// tooMuchHTTP1 refuses a head that is too large.
func (s *state) tooMuchHTTP1() *rejection {
	if s.sizeHTTP1() > maxHeaderBytes {
		return s.tooLarge("http1.headers_too_large", "the request line and the headers have more than 60 KiB")
	}
	return nil
}

func (s *state) decodeHTTP1(cm *ConnectionManager) *rejection {
	if hasControl(s.path) {
		if s.tls && s.sizeHTTP1() > tlsSlice {
			s.br.add(BranchCodecPath)
			return badRequest(codecError, "the path has a control character")
		}
		if rej := s.tooMuchHTTP1(); rej != nil {
			return rej
		}
		s.br.add(BranchCodecPath)
		return badRequest("http1.invalid_characters", "the path has a control character")
	}
	if known := s.method == "GET" || methodsHTTP1[s.method]; !known && (s.method != methodQuery || !s.trait(TraitQueryMethod)) {
		s.br.add(BranchCodecMethod)
		return badRequest(codecError, "the HTTP/1 parser does not know the method")
	}
	s.path = trimBlanks(s.path)
	if strings.IndexByte(s.path, ' ') >= 0 || strings.IndexByte(s.path, '\t') >= 0 {
		s.br.add(BranchCodecPath)
		return badRequest(codecError, "the path ends at a blank, and what follows is no version of HTTP")
	}
	if !validTargetHTTP1(s.path, s.method == methodConnect) {
		s.br.add(BranchCodecPath)
		return badRequest(codecError, "the path has a character that HTTP/1 does not allow")
	}
	if rej := s.tooMuchHTTP1(); rej != nil {
		return rej
	}
	if rej := s.headersHTTP1(cm); rej != nil {
		return rej
	}
	connection := ""
	s.dropH2C()
	if v, ok := s.headers.first("connection"); ok {
		connection = v
	}
	if connection != "" && !s.upgrade() {
		if rej := s.dropNominated(connection); rej != nil {
			return rej
		}
	}
	if rej := s.absoluteForm(cm); rej != nil {
		return rej
	}
	if !validAuthority(s.authority) {
		s.br.add(BranchCodecAuthority)
		return badRequest("http.invalid_authority", "the Host header has a character that it may not have")
	}
	return nil
}

// headersHTTP1 takes the header lines, which are trimmed, and merged where Envoy keeps
// one entry for a name; the entries are what is counted.
func (s *state) headersHTTP1(cm *ConnectionManager) *rejection {
	badValue, underscore := false, false
	for i := range s.req.Headers {
		h := &s.req.Headers[i]
		name, valid := headerName(h.Name)
		if !valid {
			return badRequest(codecError, "a header name is not a token") // wherever it stands
		}
		badValue = badValue || hasControl(h.Value)
		value := trimBlanks(h.Value)
		if name == "host" {
			if s.authority != "" && value != "" {
				s.authority += ","
			}
			s.authority += value
			continue
		}
		if cm.Underscores != AllowUnderscores && strings.Contains(name, "_") {
			underscore = true
			continue
		}
		s.headers.add(name, value)
	}
	if badValue {
		return badRequest("http1.invalid_characters", "a header value has a control character")
	}
	if underscore && cm.Underscores == RejectUnderscores {
		return badRequest("http1.unexpected_underscore", "a header name has an underscore")
	}
	if entries := len(s.headers); entries > maxHeaderLines || entries == maxHeaderLines && s.authority != "" {
		return s.tooLarge("http1.too_many_headers", "there are more than 100 headers")
	}
	return nil
}

// trimBlanks removes blanks and tabs from both ends.
func trimBlanks(v string) string {
	for v != "" && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for v != "" && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	return v
}

// dropH2C removes the upgrade to HTTP/2, which the codec does not do
// (codec_impl.cc:ConnectionImpl::onHeadersCompleteImpl).
func (s *state) dropH2C() {
	if v, ok := s.headers.first("upgrade"); !ok || !s.upgrade() || lower(v) != "h2c" {
		return
	}
	s.headers.remove("upgrade", "http2-settings")
	connection, _ := s.headers.first("connection")
	var keep []string
	for _, t := range strings.Split(connection, ",") {
		if t := strings.TrimSpace(t); t != "" && lower(t) != "upgrade" && lower(t) != "http2-settings" {
			keep = append(keep, t)
		}
	}
	if s.headers.remove("connection"); len(keep) > 0 {
		s.headers.set("connection", strings.Join(keep, ","))
	}
}

// absoluteForm takes host and path out of a target like http://host/path
// (codec_impl.cc:ServerConnectionImpl::handlePath).
func (s *state) absoluteForm(cm *ConnectionManager) *rejection {
	if s.path == "" || s.path[0] == '/' && s.method != methodConnect || s.method == "OPTIONS" && s.path[0] == '*' {
		return nil
	}
	if s.method == methodConnect {
		if !validHostPort(s.path) || !strings.Contains(s.path[strings.LastIndexByte(s.path, ']')+1:], ":") {
			return badRequest("http1.invalid_url", "the target of CONNECT is not a host with a port")
		}
		s.authority, s.path, s.hasPath = s.path, "", false
		return nil
	}
	scheme, rest, ok := strings.Cut(s.path, "://")
	if !ok {
		return badRequest("http1.invalid_url", "the request target is not a path")
	}
	host, path := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	if !validHostPort(host) {
		return badRequest("http1.invalid_url", "the request target has no valid host")
	}
	if sch := lower(scheme); sch != "http" && sch != "https" {
		return badRequest("http1.invalid_scheme", "the request target has a scheme that is not HTTP's")
	}
	if lower(scheme) == "https" && !s.tls && cm.UseRemoteAddress && cm.TrustedHops == 0 {
		return &rejection{status: 403, body: "Forbidden", details: "http1.https_url_on_plaintext_connection", note: "the target says https, the connection is not"}
	}
	s.br.add(BranchCodecAbsolute)
	s.scheme, s.authority, s.path = lower(scheme), host, path
	return nil
}

// dropNominated removes the headers that Connection names
// (Envoy source/common/http/utility.cc:Utility::sanitizeConnectionHeader).
func (s *state) dropNominated(connection string) *rejection {
	tokens := strings.Split(connection, ",")
	count := 0
	for _, t := range tokens {
		if t != "" {
			count++
		}
	}
	refused := badRequest("http1.connection_header_rejected", "the Connection header names a header that it may not name")
	if count >= 10 {
		return refused
	}
	var drop []string
	for _, t := range tokens {
		switch name := lower(strings.TrimSpace(t)); {
		case t == "" || name == "close" || name == "http2-settings" || name == "keep-alive" || name == "upgrade" || name == "connection":
		case name == "x-forwarded-for" || name == "x-forwarded-host" || name == "x-forwarded-proto" || strings.HasPrefix(name, ":"):
			return refused
		case name == "te":
			if v, ok := s.headers.first("te"); ok && !hasToken(v, "trailers") {
				drop = append(drop, "te")
			}
		default:
			drop = append(drop, name)
		}
	}
	if len(drop) > 0 {
		s.br.add(BranchCodecNominated)
		s.headers.remove(drop...)
	}
	return nil
}

func hasToken(list, token string) bool {
	for _, t := range strings.Split(list, ",") {
		if lower(strings.TrimSpace(t)) == token {
			return true
		}
	}
	return false
}

// upgrade reports whether the request asks for an upgrade, in which case the
// connection headers stay (Utility::isUpgrade).
func (s *state) upgrade() bool {
	if !s.headers.has("upgrade") {
		return false
	}
	c, _ := s.headers.first("connection")
	return hasToken(c, "upgrade")
}
