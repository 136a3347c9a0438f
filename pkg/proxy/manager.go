package proxy

import (
	"crypto/sha256"
	"encoding/json"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// The filters that decide nothing about who may pass, by name. What istiod puts there
// besides those that decide (Istio pilot/pkg/networking/core/listener_builder.go,
// pilot/pkg/xds/filters/filters.go).
var harmlessHTTP = map[string]bool{
	"istio.metadata_exchange": true, "istio.stats": true, "istio.alpn": true, "envoy.filters.http.grpc_stats": true, "envoy.filters.http.fault": true,
	"envoy.filters.http.cors": true, "envoy.filters.http.router": true, "envoy.filters.http.set_filter_state": true, "connect_authority": true,
	"envoy.filters.http.grpc_web": true, "envoy.filters.http.peer_metadata": true, "waypoint_downstream_peer_metadata": true,
	"waypoint_upstream_peer_metadata": true, "upstream_peer_metadata": true, "downstream_peer_metadata": true, "envoy.filters.http.istio_stats": true,
	"envoy.filters.http.upstream_codec": true,
}

var harmlessNetwork = map[string]bool{
	"istio.metadata_exchange": true, "istio.stats": true, "envoy.filters.network.tcp_proxy": true, "envoy.filters.network.sni_cluster": true,
	"envoy.filters.network.metadata_exchange": true, "connect_authority": true, "envoy.filters.network.istio_authn": true, "istio_authn": true,
	"envoy.filters.network.set_filter_state": true, "set_dst_address": true, "envoy.filters.network.mongo_proxy": true,
	"envoy.filters.network.tcp_cluster_rewrite": true, "envoy.filters.network.sni_dynamic_forward_proxy": true,
}

// filterNames are how filters are found: the type of the configuration says what runs,
// the name is free.
func filterKind(name string, config object) string {
	switch config.typeName() {
	case "JwtAuthentication":
		return "jwt"
	case "RBAC":
		return "rbac"
	case "ExtAuthz":
		return "ext_authz"
	case "HttpConnectionManager":
		return "http_connection_manager"
	}
	switch name {
	case "envoy.filters.http.jwt_authn":
		return "jwt"
	case "envoy.filters.http.rbac", "envoy.filters.network.rbac":
		return "rbac"
	case "envoy.filters.http.ext_authz", "envoy.filters.network.ext_authz":
		return "ext_authz"
	case "envoy.filters.network.http_connection_manager":
		return "http_connection_manager"
	}
	return ""
}

// reading keeps what chains have in common: istiod writes the same filters into each.
type reading struct {
	filters  map[[sha256.Size]byte][]envoy.Filter
	managers []*envoy.ConnectionManager
	dump     *Dump
}

// chainFilters reads a list of filters, HTTP or network ones; equal lists are read once.
func (r *reading) chainFilters(raw json.RawMessage, harmless map[string]bool) []envoy.Filter {
	sum := sha256.Sum256(raw)
	if fs, ok := r.filters[sum]; ok {
		return fs
	}
	var out []envoy.Filter
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = nil
	}
	for _, e := range list {
		f, err := parseObject(e)
		if err != nil {
			out = append(out, opaque("a filter that cannot be read", ""))
			continue
		}
		if m := r.filter(f, harmless); m != nil {
			out = append(out, m)
		}
	}
	r.filters[sum] = out
	return out
}

func (r *reading) filter(f object, harmless map[string]bool) envoy.Filter {
	name, config := f.text("name"), f.sub("typed_config")
	if f.flag("disabled") {
		return nil
	}
	var (
		out envoy.Filter
		err error
	)
	switch filterKind(name, config) {
	case "jwt":
		out, err = r.jwtFilter(config)
	case "rbac":
		out, err = rbacFilter(config)
	case "ext_authz":
		return extAuthz(config)
	default:
		if harmless[name] || strings.HasPrefix(name, "istio.stats") {
			return nil
		}
		why := "it is not one of those that Istio's APIs put there"
		if f.has("config_discovery") {
			why = "it comes from a WasmPlugin or an EnvoyFilter"
		}
		return opaque("the filter "+name, why)
	}
	if err != nil {
		return opaque("the filter "+name, "it has "+err.Error()+", which is not modelled")
	}
	return out
}

func opaque(what, why string) *envoy.Opaque {
	return &envoy.Opaque{
		Origin:  origin.Origin{Ref: origin.Ref{Kind: "Proxy", Name: what}},
		Missing: &envoy.Missing{What: "what " + what + " of the proxy does", Why: why},
	}
}

// extAuthz reads the filter that asks an external authorizer if a CUSTOM policy matched
// (Istio pilot/pkg/security/authz/builder/extauthz.go:generateFilterMatcher).
func extAuthz(config object) envoy.Filter {
	when := config.sub("filter_enabled_metadata", "value", "string_match")
	provider := config.sub("http_service", "server_uri").text("cluster")
	if provider == "" {
		provider = config.sub("grpc_service", "envoy_grpc").text("cluster_name")
	}
	if !when.has("prefix") {
		return opaque("the external authorizer "+provider, "it is asked about every request")
	}
	f := &envoy.ExtAuthz{Provider: provider, Prefix: when.text("prefix")}
	if name := strings.TrimPrefix(f.Prefix, "istio-ext-authz-"); name != f.Prefix && name != "" {
		f.Provider = name
	}
	return f
}

// manager reads an HttpConnectionManager.
func (r *reading) manager(o object) *envoy.ConnectionManager {
	cm := &envoy.ConnectionManager{
		NormalizePath: o.flag("normalize_path"), MergeSlashes: o.flag("merge_slashes"),
		UseRemoteAddress: o.flag("use_remote_address"), TrustedHops: uint32(o.number("xff_num_trusted_hops")), SkipXFFAppend: o.flag("skip_xff_append"),
		GenerateRequestID: !o.has("generate_request_id") || o.flag("generate_request_id"),
		PreserveRequestID: o.flag("preserve_external_request_id"),
		FragmentDoubt:     r.dump.fragments(),
	}
	switch o.text("path_with_escaped_slashes_action") {
	case "UNESCAPE_AND_FORWARD":
		cm.EscapedSlashes = envoy.UnescapeAndForward
	case "UNESCAPE_AND_REDIRECT":
		cm.EscapedSlashes = envoy.UnescapeAndRedirect
	case "REJECT_REQUEST":
		cm.EscapedSlashes = envoy.RejectEscapedSlashes
	}
	switch o.sub("common_http_protocol_options").text("headers_with_underscores_action") {
	case "REJECT_REQUEST":
		cm.Underscores = envoy.RejectUnderscores
	case "DROP_HEADER":
		cm.Underscores = envoy.DropUnderscores
	}
	switch o.text("forward_client_cert_details") {
	case "FORWARD_ONLY":
		cm.ForwardClientCert = envoy.ForwardOnlyXFCC
	case "APPEND_FORWARD":
		cm.ForwardClientCert = envoy.AppendForwardXFCC
	case "SANITIZE_SET":
		cm.ForwardClientCert = envoy.SanitizeSetXFCC
	case "ALWAYS_FORWARD_ONLY":
		cm.ForwardClientCert = envoy.AlwaysForwardOnlyXFCC
	}
	xfcc := o.sub("set_current_client_cert_details")
	cm.XFCCSubject, cm.XFCCURI, cm.XFCCDNS = xfcc.flag("subject"), xfcc.flag("uri"), xfcc.flag("dns")
	cm.XFCCCert, cm.XFCCChain = xfcc.flag("cert"), xfcc.flag("chain")
	cm.Filters = r.chainFilters(o.raw("http_filters"), harmlessHTTP)
	return cm
}
