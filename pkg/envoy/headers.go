package envoy

import (
	"slices"
	"strings"
)

// headerLine is one entry of a request's header map. Names are lower-case.
// missing is set where the line exists but its value is not known.
type headerLine struct {
	name, value string
	missing     *Missing
}

// headerMap holds a request's headers as Envoy's HeaderMapImpl does: lines in
// order, where the lines of an "inline" header are merged into the first
// (Envoy source/common/http/header_map_impl.cc:HeaderMapImpl::insertByKey).
// The pseudo headers are kept apart, in state.
type headerMap []headerLine

// inlineHeaders are those whose lines are merged with a comma: the defaults of
// Envoy envoy/http/header_map.h and those that the filters of the stock build
// register. istio-proxy may lack a few of the latter.
var inlineHeaders = func() map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(`
		x-client-trace-id x-envoy-downstream-service-cluster x-envoy-downstream-service-node
		x-envoy-external-address x-envoy-force-trace x-envoy-hedge-on-per-try-timeout x-envoy-internal
		x-envoy-ip-tags x-envoy-retry-on x-envoy-retry-grpc-on x-envoy-retriable-status-codes
		x-envoy-retriable-header-names x-envoy-is-timeout-retry x-envoy-original-path x-envoy-original-host
		x-envoy-original-url x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-timeout-alt-response expect
		x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-proto grpc-timeout te user-agent
		x-envoy-expected-rq-timeout-ms x-envoy-max-retries x-envoy-upstream-rq-timeout-ms
		x-envoy-upstream-rq-per-try-timeout-ms x-envoy-upstream-stream-duration-ms x-forwarded-port
		connection content-type x-envoy-decorator-operation keep-alive proxy-connection proxy-status
		x-request-id transfer-encoding upgrade via content-length x-envoy-attempt-count
		accept accept-encoding access-control-request-headers access-control-request-method authentication
		authorization cache-control cdn-loop content-encoding if-modified-since if-none-match origin pragma
		referer`) {
		m[n] = true
	}
	return m
}()

// LowerName is a header's name as the proxy keeps it; letters beyond ASCII stay.
func LowerName(name string) string { return lower(name) }

// lower maps ASCII letters to lower case, as absl::AsciiStrToLower does.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// add appends a line, merging inline headers: an empty line adds nothing, not
// even the comma, and a first value that is empty is replaced.
func (h *headerMap) add(name, value string) {
	for i := range *h {
		l := &(*h)[i]
		if l.name != name {
			continue
		}
		if !inlineHeaders[name] {
			break
		}
		if value != "" {
			if l.value != "" {
				l.value += ","
			}
			l.value += value
		}
		return
	}
	*h = append(*h, headerLine{name: name, value: value})
}

// set makes a header have one line with this value.
func (h *headerMap) set(name, value string) {
	for i := range *h {
		if (*h)[i].name == name {
			(*h)[i].value, (*h)[i].missing = value, nil
			return
		}
	}
	*h = append(*h, headerLine{name: name, value: value})
}

// setUnknown makes a header exist with a value that is not known.
func (h *headerMap) setUnknown(name string, m *Missing) {
	h.set(name, "")
	for i := range *h {
		if (*h)[i].name == name {
			(*h)[i].missing = m
		}
	}
}

// remove deletes all lines of a header.
func (h *headerMap) remove(names ...string) {
	all := *h
	kept := 0
	for i := range all {
		if slices.Contains(names, all[i].name) {
			continue
		}
		if kept != i {
			all[kept] = all[i]
		}
		kept++
	}
	*h = all[:kept]
}

// hasPrefix reports whether a header's name begins so.
func (h headerMap) hasPrefix(prefix string) bool {
	for i := range h {
		if strings.HasPrefix(h[i].name, prefix) {
			return true
		}
	}
	return false
}

// first returns the value of the first line, and whether there is one.
func (h headerMap) first(name string) (string, bool) {
	for i := range h {
		if h[i].name == name {
			return h[i].value, true
		}
	}
	return "", false
}

// unknown is why the value of a header that is there is not known; nil if it is known.
func (h headerMap) unknown(name string) *Missing {
	for _, l := range h {
		if l.name == name && l.missing != nil {
			return l.missing
		}
	}
	return nil
}

// has reports whether there is a line of that name.
func (h headerMap) has(name string) bool {
	_, ok := h.first(name)
	return ok
}

// clone copies the map so that one evaluation may change it.
func (h headerMap) clone() headerMap { return append(headerMap(nil), h...) }
