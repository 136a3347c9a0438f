package proxy

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Listener is one listener of the dump.
type Listener struct {
	Name string
	// Direction is INBOUND, OUTBOUND or empty.
	Direction string
	// Port is the port that it listens on.
	Port uint16
	// LastUpdated is when the proxy took it, RFC 3339; Version is the control plane's word.
	LastUpdated, Version string
	// Refused is what the proxy says of a newer one that it did not take.
	Refused *RefusedUpdate
	// Chains are its filter chains.
	Chains []ListenerChain
	// inspector has the ports for which the TLS inspector is switched off.
	inspector *inspector
	// odd are parts of the listener that are not modelled.
	odd []*envoy.Opaque
}

// RefusedUpdate is an error_state.
type RefusedUpdate struct {
	// Details is the proxy's reason, At the time of the attempt, RFC 3339.
	Details, At string
}

// ListenerChain is a filter chain with the port that it is for.
type ListenerChain struct {
	// DestinationPort is 0 where the chain is for any.
	DestinationPort uint16
	envoy.Chain
}

// inspector is the listener filter that looks for TLS.
type inspector struct {
	disabled func(port uint16) bool
}

// listener reads one listener's configuration.
func (r *reading) listener(raw json.RawMessage) (*Listener, error) {
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	l := &Listener{Name: o.text("name"), Direction: o.text("traffic_direction"), Port: uint16(o.sub("address", "socket_address").number("port_value"))}
	for _, f := range o.objects("listener_filters") {
		l.listenerFilter(f)
	}
	for _, e := range o.list("filter_chains") {
		c, err := r.chain(e)
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", l.Name, err)
		}
		l.Chains = append(l.Chains, c)
	}
	if o.has("default_filter_chain") {
		c, err := r.chain(o.raw("default_filter_chain"))
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", l.Name, err)
		}
		if len(l.Chains) == 0 {
			l.Chains = append(l.Chains, c)
		} else {
			l.odd = append(l.odd, opaque("the default filter chain of the listener "+l.Name, "Istio writes none"))
		}
	}
	if o.has("filter_chain_matcher") {
		l.odd = append(l.odd, opaque("the matcher of filter chains of the listener "+l.Name, "waypoints are judged from their objects"))
	}
	return l, nil
}

func (l *Listener) listenerFilter(f object) {
	switch f.text("name") {
	case "envoy.filters.listener.tls_inspector":
		off := f.sub("filter_disabled")
		l.inspector = &inspector{disabled: func(port uint16) bool { return len(off) > 0 && portMatches(off, port) }}
	case "envoy.filters.listener.original_dst", "envoy.filters.listener.http_inspector", "envoy.filters.listener.proxy_protocol",
		"envoy.filters.listener.original_src", "envoy.filters.listener.set_dst_address", "envoy.filters.listener.metadata_to_peer_node":
		if f.text("name") == "envoy.filters.listener.proxy_protocol" {
			l.odd = append(l.odd, opaque("the PROXY protocol", "the client's address comes with it"))
		}
	default:
		l.odd = append(l.odd, opaque("the listener filter "+f.text("name"), "it is not one of those that Istio's APIs put there"))
	}
}

// portMatches evaluates a ListenerFilterChainMatchPredicate
// (Envoy source/extensions/filters/listener, config/listener/v3/listener_components.proto).
func portMatches(o object, port uint16) bool {
	switch {
	case o.has("destination_port_range"):
		r := o.sub("destination_port_range")
		return uint64(port) >= r.number("start") && uint64(port) < r.number("end")
	case o.has("or_match"):
		return slices.ContainsFunc(o.sub("or_match").objects("rules"), func(e object) bool { return portMatches(e, port) })
	case o.has("and_match"):
		return !slices.ContainsFunc(o.sub("and_match").objects("rules"), func(e object) bool { return !portMatches(e, port) })
	case o.has("not_match"):
		return !portMatches(o.sub("not_match"), port)
	default:
		return o.flag("any_match")
	}
}

// chain reads one filter chain.
func (r *reading) chain(raw json.RawMessage) (ListenerChain, error) {
	o, err := parseObject(raw)
	if err != nil {
		return ListenerChain{}, err
	}
	match := o.sub("filter_chain_match")
	c := ListenerChain{DestinationPort: uint16(match.number("destination_port")), Chain: envoy.Chain{
		Name: o.text("name"),
		Match: envoy.ChainMatch{
			Transport: match.text("transport_protocol"), ALPN: match.texts("application_protocols"), ServerNames: match.texts("server_names"),
		},
	}}
	for _, odd := range []string{"prefix_ranges", "source_prefix_ranges", "source_type", "source_ports", "direct_source_prefix_ranges", "address_suffix"} {
		if match.has(odd) {
			c.TCP = append(c.TCP, opaque("the "+odd+" of the filter chain "+c.Name, "Istio writes them only for Sidecar listeners and gateways with an address"))
		}
	}
	if o.has("transport_socket") {
		c.TLS = downstreamTLS(o.sub("transport_socket", "typed_config"))
	}
	var network []json.RawMessage
	for _, f := range o.list("filters") {
		fo, err := parseObject(f)
		if err != nil {
			return c, err
		}
		if filterKind(fo.text("name"), fo.sub("typed_config")) == "http_connection_manager" {
			c.HTTP = r.manager(fo.sub("typed_config"))
			continue
		}
		network = append(network, f)
	}
	list, err := json.Marshal(network)
	if err != nil {
		return c, err
	}
	filters := r.chainFilters(list, harmlessNetwork)
	if c.HTTP == nil {
		c.TCP = append(c.TCP, filters...)
		return c, nil
	}
	r.managers = append(r.managers, c.HTTP)
	// What stands before the connection manager decides before it.
	c.HTTP.Filters = slices.Concat(c.TCP, filters, c.HTTP.Filters)
	c.TCP = nil
	return c, nil
}

// downstreamTLS reads a DownstreamTlsContext as far as clients' certificates go.
func downstreamTLS(o object) *envoy.DownstreamTLS {
	t := &envoy.DownstreamTLS{RequireClientCertificate: o.flag("require_client_certificate")}
	common := o.sub("common_tls_context")
	t.RequestClientCertificate = t.RequireClientCertificate || common.has("combined_validation_context") ||
		common.has("validation_context") || common.has("validation_context_sds_secret_config")
	context := common.sub("combined_validation_context", "default_validation_context")
	if context == nil {
		context = common.sub("validation_context")
	}
	add := func(names []object) {
		for _, n := range names {
			if p := n.text("prefix"); p != "" {
				t.TrustPrefixes = append(t.TrustPrefixes, p)
			}
		}
	}
	add(context.objects("match_subject_alt_names"))
	for _, n := range context.objects("match_typed_subject_alt_names") {
		add([]object{n.sub("matcher")})
		t.URIOnly = t.URIOnly || n.text("san_type") == "URI"
	}
	return t
}
