package envoy

import (
	"net/netip"
	"strconv"
	"strings"
)

// generatedRequestID is the value of x-request-id where Envoy makes one up.
var generatedRequestID = &Missing{
	What: "the x-request-id that the proxy generates",
	Why:  "it is random",
	Hint: "send an x-request-id yourself",
}

// prepare is what the connection manager does to a decoded request before the
// filters see it. It returns a reply where there is one.
func (s *state) prepare(cm *ConnectionManager) *rejection {
	if s.authority == "" {
		s.br.add(BranchManagerNoHost)
		return &rejection{status: 400, details: "missing_host_header", note: "there is no host"}
	}
	if s.method == methodQuery && s.contentType() == "" && s.trait(TraitQueryMethod) {
		s.br.add(BranchManagerQuery)
		return &rejection{status: 400, details: "query_missing_content_type", note: "QUERY needs a content-type"}
	}
	if s.hasPath && s.path == "" {
		return &rejection{status: 404, details: "missing_path_rejected", note: "there is no path"}
	}
	if s.hasPath && s.path[0] != '/' {
		s.br.add(BranchManagerNotRelative)
		return &rejection{status: 404, details: "absolute_path_rejected", note: "the path does not begin with a slash"}
	}
	if s.hasPath && cm.FragmentDoubt != nil && strings.Contains(s.path, "#") && !s.choose(cm.FragmentDoubt, cm.FragmentDoubt) {
		return &rejection{status: 400, details: "path_normalization_failed", note: "the path has a fragment"}
	}
	if s.hasPath {
		path, redirect, ok := normalizePath(s.path, cm, s.pathBehavior(cm), s.br)
		if !ok || redirect && s.grpc() {
			return &rejection{status: 400, details: "path_normalization_failed", note: "the path cannot be normalized"}
		}
		s.path = path
		if redirect {
			return &rejection{status: 307, details: "path_normalization_failed", note: "the client is sent to the normalized path"}
		}
	}
	s.mutateHeaders(cm)
	// Istio allows the upgrade to websocket (pilot/pkg/networking/core/listener.go:buildHTTPConnectionManager);
	// the route is looked at before the filters (conn_manager_impl.cc:ActiveStream::decodeHeaders).
	if v, ok := s.headers.first("upgrade"); ok && s.upgrade() && lower(v) != "websocket" {
		s.br.add(BranchManagerUpgrade)
		return &rejection{status: 403, details: "upgrade_failed", note: "the proxy allows no upgrade but that to websocket"}
	}
	return nil
}

// pathBehavior settles whether parameters of dot segments count, where that makes
// a difference to the path.
func (s *state) pathBehavior(cm *ConnectionManager) Behavior {
	b := s.b
	if !b.versioned() || !strings.Contains(s.path, ".;") {
		return b
	}
	type result struct {
		path         string
		redirect, ok bool
	}
	var tried [2]result
	for i := range tried {
		b.DotSegmentParameters = i == 0
		tried[i].path, tried[i].redirect, tried[i].ok = normalizePath(s.path, cm, b, new(BranchSet))
	}
	b.DotSegmentParameters = differs(s, TraitDotSegmentParameters, tried[0], tried[1]) == tried[0]
	return b
}

// headers that a request from outside may not bring
// (Envoy source/common/http/conn_manager_utility.cc:cleanInternalHeaders).
var (
	edgeHeaders = []string{
		"x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node",
		"x-envoy-original-path", "x-envoy-original-host",
	}
	internalHeaders = []string{
		"x-envoy-retriable-status-codes", "x-envoy-retriable-header-names", "x-envoy-retry-on", "x-envoy-retry-grpc-on",
		"x-envoy-max-retries", "x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-timeout-ms",
		"x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response",
		"x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace", "x-envoy-ip-tags", "x-envoy-original-url",
		"x-envoy-hedge-on-per-try-timeout",
	}
)

// mutateHeaders is conn_manager_utility.cc:ConnectionManagerUtility::mutateRequestHeaders.
func (s *state) mutateHeaders(cm *ConnectionManager) {
	h := &s.headers
	if !s.upgrade() {
		h.remove("connection", "upgrade")
		if te, ok := h.first("te"); ok && te != "" {
			if hasTrailers(te) {
				h.set("te", "trailers")
			} else {
				h.remove("te")
			}
		}
	}
	h.remove("x-envoy-internal", "keep-alive", "proxy-connection", "transfer-encoding")
	if v, ok := h.first("referer"); ok && !validReferer(v) {
		s.br.add(BranchManagerReferer)
		h.remove("referer")
	}
	s.direct = s.req.Connection.Source
	edge := s.remoteAddress(cm)
	if !h.has("x-forwarded-proto") || cm.UseRemoteAddress && cm.TrustedHops == 0 {
		h.set("x-forwarded-proto", s.connectionScheme())
	}
	if cm.AppendForwardedPort && (!h.has("x-forwarded-port") || cm.UseRemoteAddress && cm.TrustedHops == 0) {
		h.set("x-forwarded-port", strconv.Itoa(int(s.req.Connection.LocalPort)))
	}
	if s.scheme == "" {
		switch proto, _ := h.first("x-forwarded-proto"); lower(proto) {
		case "http", "https":
			s.scheme = lower(proto)
		default:
			s.scheme = s.connectionScheme()
		}
	}
	if h.hasPrefix("x-envoy-") {
		if edge.T != False {
			h.remove(edgeHeaders...)
		}
		h.remove(internalHeaders...)
	}
	if edge.T == True {
		if s.remote.IsKnown() {
			h.set("x-envoy-external-address", s.remote.Value.String())
		} else {
			h.setUnknown("x-envoy-external-address", s.remote.Missing)
		}
	}
	id, ok := h.first("x-request-id")
	if cm.GenerateRequestID && (!ok || id == "" || edge.T == True && !cm.PreserveRequestID) {
		h.setUnknown("x-request-id", generatedRequestID)
	}
	s.forwardClientCert(cm)
}

func (s *state) connectionScheme() string {
	if s.tls {
		return "https"
	}
	return "http"
}

// remoteAddress finds the client's address and appends to x-forwarded-for. It
// reports whether this is an edge request: one from outside to a front proxy.
func (s *state) remoteAddress(cm *ConnectionManager) Tri {
	h := &s.headers
	xff, hasXFF := h.first("x-forwarded-for")
	var found netip.Addr
	ok := false
	if !cm.UseRemoteAddress {
		// The original_ip_detection of a sidecar: the last address, none skipped.
		if found, ok = lastAddress(xff, hasXFF, 0); ok {
			s.br.add(BranchRemoteFromXFF)
		}
	} else if cm.TrustedHops > 0 {
		if found, ok = lastAddress(xff, hasXFF, cm.TrustedHops-1); ok {
			s.br.add(BranchRemoteFromHops)
		}
	}
	s.remote = s.direct
	switch m := h.unknown("x-forwarded-for"); {
	case m != nil && (!cm.UseRemoteAddress || cm.TrustedHops > 0):
		s.remote = NotKnown[netip.Addr](m)
	case ok:
		s.remote = Known(found)
	}
	if s.req.Connection.RemoteIP != nil {
		s.remote = Known(*s.req.Connection.RemoteIP)
	}
	if !cm.UseRemoteAddress {
		return no
	}
	if !cm.SkipXFFAppend {
		s.appendXFF()
	}
	// No internal addresses are configured by Istio, so that no request is internal
	// (envoy.reloadable_features.explicit_internal_address_config).
	return yes
}

// appendXFF adds the peer's address. A loopback peer is written as the proxy's
// own address (conn_manager_utility.cc:appendXff), which nobody outside knows.
func (s *state) appendXFF() {
	h := &s.headers
	switch {
	case !s.direct.IsKnown():
		h.setUnknown("x-forwarded-for", s.direct.Missing)
	case isLoopback(s.direct.Value) && s.req.Connection.ProxyIP.IsValid():
		h.add("x-forwarded-for", s.req.Connection.ProxyIP.String())
	case isLoopback(s.direct.Value):
		h.setUnknown("x-forwarded-for", ownAddress)
	default:
		h.add("x-forwarded-for", s.direct.Value.String())
	}
}

// isLoopback is Envoy source/common/network/utility.cc:Utility::isLoopbackAddress: one
// address of each family, not the whole of 127.0.0.0/8.
func isLoopback(a netip.Addr) bool {
	return a == netip.IPv6Loopback() || a == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

var ownAddress = &Missing{
	What: "the proxy's own address",
	Why:  "a client on the loopback address is written into x-forwarded-for as the proxy's own address",
	Hint: "give the client's address with --from-ip",
}

// lastAddress is the address in x-forwarded-for that has skip others to its right
// (Envoy source/common/http/utility.cc:Utility::getLastAddressFromXFF).
func lastAddress(xff string, has bool, skip uint32) (netip.Addr, bool) {
	if !has {
		return netip.Addr{}, false
	}
	for range skip {
		i := strings.LastIndexByte(xff, ',')
		if i < 0 {
			return netip.Addr{}, false
		}
		xff = xff[:i]
	}
	if i := strings.LastIndexByte(xff, ','); i >= 0 && i+1 < len(xff) {
		xff = xff[i+1:]
	}
	a, err := netip.ParseAddr(strings.Trim(xff, " \t\f\v\n\r"))
	return a, err == nil
}

// hasTrailers is conn_manager_utility.cc:sanitizeTEHeader's test.
func hasTrailers(te string) bool {
	for _, t := range strings.Split(te, ",") {
		if strings.TrimSpace(t) == "trailers" {
			return true
		}
	}
	return false
}

// forwardClientCert is conn_manager_utility.cc:applyForwardClientCertConfig.
func (s *state) forwardClientCert(cm *ConnectionManager) {
	const xfcc = "x-forwarded-client-cert"
	h := &s.headers
	if cm.ForwardClientCert == AlwaysForwardOnlyXFCC {
		return
	}
	if !s.peer.IsKnown() {
		if cm.ForwardClientCert == SanitizeXFCC {
			h.remove(xfcc)
			return
		}
		h.setUnknown(xfcc, s.peer.Missing)
		return
	}
	if cm.ForwardClientCert == SanitizeXFCC || !s.tls || !s.peer.Value.Presented {
		h.remove(xfcc)
		return
	}
	if cm.ForwardClientCert == ForwardOnlyXFCC {
		return
	}
	p := &s.peer.Value
	if p.Hash == "" || cm.XFCCCert || cm.XFCCChain {
		h.setUnknown(xfcc, certificateHash)
		return
	}
	var parts []string
	for _, u := range cm.LocalURISANs {
		parts = append(parts, "By="+u)
	}
	parts = append(parts, "Hash="+p.Hash)
	if cm.XFCCSubject {
		parts = append(parts, `Subject="`+p.Subject+`"`)
	}
	if cm.XFCCURI {
		parts = append(parts, prefixed("URI=", p.URISANs, true)...)
	}
	if cm.XFCCDNS {
		parts = append(parts, prefixed("DNS=", p.DNSSANs, false)...)
	}
	value := strings.Join(parts, ";")
	s.wrote = true
	if cm.ForwardClientCert == SanitizeSetXFCC {
		h.set(xfcc, value)
		return
	}
	s.br.add(BranchXFCCAppended)
	h.add(xfcc, value)
}

func prefixed(prefix string, names []string, always bool) []string {
	if len(names) == 0 && always {
		return []string{prefix}
	}
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, prefix+n)
	}
	return out
}

var certificateHash = &Missing{
	What: "the client's certificate",
	Why:  "only the client's proxy has the certificate",
}

// validReferer is Envoy source/common/http/utility.cc:Utility::isValidRefererValue:
// an absolute URL without fragment and user, or a relative reference.
func validReferer(v string) bool {
	if scheme, rest, ok := strings.Cut(v, "://"); ok && isAlpha(scheme) {
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		if end > 0 && validTargetHTTP1("/"+rest, false) {
			return !strings.Contains(rest, "#") && !strings.Contains(rest[:end], "@")
		}
	}
	slash := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == ':' && !slash:
			return false
		case c == '/':
			slash = true
		case !isAlnum(c) && strings.IndexByte("/?:@-._~%!$&'()*+,;=", c) < 0:
			return false
		}
	}
	return true
}

func isAlpha(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func (s *state) contentType() string {
	ct, _ := s.headers.first("content-type")
	return ct
}

// grpc reports whether replies take gRPC's form (Envoy source/common/grpc/common.cc:hasGrpcContentType).
func (s *state) grpc() bool {
	ct := s.contentType()
	return ct == "application/grpc" || strings.HasPrefix(ct, "application/grpc+")
}
