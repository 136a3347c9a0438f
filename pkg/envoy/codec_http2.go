package envoy

import "strings"

// tooMuchHTTP2 measures names and values, those of the pseudo headers too
// (http2/codec_impl.cc:ConnectionImpl::saveHeader).
func (s *state) tooMuchHTTP2() *rejection {
	size, entries := 0, len(s.headers)
	if s.headers.has("cookie") {
		entries-- // each line of it counts
	}
	for _, p := range [...][2]string{{":method", s.method}, {":scheme", "http"}, {":authority", s.authority}, {":path", s.path}} {
		size += len(p[0]) + len(p[1])
		entries++
	}
	for _, h := range s.req.Headers {
		switch lower(h.Name) {
		case "cookie":
			entries++ // they are put together at the end, when sizes have been looked at
		case "host":
			size += len(h.Name) + len(h.Value)
		}
	}
	for i := range s.headers { // lines that are merged have one name
		if h := &s.headers[i]; h.name != "cookie" {
			size += len(h.name) + len(h.value)
		}
	}
	switch {
	case size > maxHeaderBytes:
		return s.tooLarge("http2.header_list_size_too_large", "the headers have more than 60 KiB")
	case entries > maxHeaderLines:
		return s.tooLarge("http2.too_many_headers", "there are more than 100 headers")
	}
	return nil
}

func (s *state) decodeHTTP2(cm *ConnectionManager) *rejection {
	reset := &rejection{reset: true, details: "http2.invalid.header.field"}
	s.hasPath = s.path != "" || s.method != methodConnect
	switch {
	case s.path == "" && s.method != methodConnect:
		return reset
	case s.path != "" && s.method == methodConnect:
		return &rejection{reset: true, details: "http2.violation.of.messaging.rule", note: "CONNECT has no path"}
	case hasControl(s.path) || strings.ContainsAny(s.path, "\t "):
		s.br.add(BranchCodecPath)
		reset.note = "the path has a control character or a blank"
		return reset
	case s.path != "" && s.path[0] != '/' && (s.method != "OPTIONS" || s.path != "*"):
		s.br.add(BranchManagerNotRelative)
		return &rejection{reset: true, details: "http2.violation.of.messaging.rule", note: "the path does not begin with a slash"}
	}
	cookies, hasCookie := "", false
	for _, h := range s.req.Headers {
		// A client writes names in lower case before it sends them.
		name := lower(h.Name)
		if !validHeaderName(name) || hasControl(h.Value) {
			reset.note = "a header name or value is not one of HTTP/2"
			return reset
		}
		if cm.Underscores != AllowUnderscores && strings.Contains(name, "_") {
			if cm.Underscores == DropUnderscores {
				continue
			}
			return &rejection{reset: true, details: "http2.unexpected_underscore", note: "a header name has an underscore"}
		}
		switch name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			reset.note = "HTTP/2 does not allow connection headers"
			return reset
		case "cookie":
			if hasCookie && cookies != "" {
				cookies += "; "
			}
			cookies += h.Value
			hasCookie = true
		case "host":
			if s.authority == "" {
				s.authority = h.Value
			}
		default:
			s.headers.add(name, h.Value)
		}
	}
	if hasCookie && cookies != "" {
		s.headers.add("cookie", cookies)
	}
	if rej := s.tooMuchHTTP2(); rej != nil {
		return rej
	}
	switch {
	case !validAuthority(s.authority) || strings.Contains(s.authority, "@"):
		s.br.add(BranchCodecAuthority)
		reset.note = "the host has a character that it may not have"
		return reset
	case s.authority == "":
		return &rejection{reset: true, details: "http2.violation.of.messaging.rule", note: "there is no host"}
	}
	return nil
}
