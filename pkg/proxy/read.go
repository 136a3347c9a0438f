package proxy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Dump is what a config_dump says of how requests are judged.
type Dump struct {
	Node Node
	// Listeners are those that take requests for the workload: of a sidecar the inbound
	// ones, of a gateway all of them.
	Listeners []*Listener
	// Clusters are by name, those that hold keys or could.
	Clusters map[string]Cluster
	// Identities are the URI SANs of the proxy's own certificates.
	Identities []string

	remote []remoteKeys
	// fragment is what the bootstrap says of paths with a fragment; nil: nothing.
	fragment *bool
	hasBoot  bool
}

// Node is who the proxy says that it is.
type Node struct {
	// ID is as Istio makes it: ROLE~IP~POD.NAMESPACE~DOMAIN.
	ID string
	// Version is Istio's, empty where it is not known; Envoy is Envoy's own, such as 1.40.
	Version, Envoy string
	// Namespace, ServiceAccount and Labels are the workload's.
	Namespace, ServiceAccount string
	Labels                    map[string]string
}

// Pod is the pod's name, or empty.
func (n Node) Pod() string {
	parts := strings.Split(n.ID, "~")
	if len(parts) != 4 {
		return ""
	}
	return strings.TrimSuffix(parts[2], "."+n.Namespace)
}

// Role is what the proxy is for; RoleNone where the dump does not tell.
func (d *Dump) Role() envoy.Role {
	switch kind, _, _ := strings.Cut(d.Node.ID, "~"); kind {
	case "sidecar":
		return envoy.RoleSidecar
	case "router":
		return envoy.RoleGateway
	case "waypoint":
		return envoy.RoleWaypoint
	}
	for _, l := range d.Listeners {
		if l.Name == "virtualInbound" {
			return envoy.RoleSidecar
		}
	}
	if len(d.Listeners) > 0 {
		return envoy.RoleGateway
	}
	return envoy.RoleNone
}

// Cluster is where a proxy sends requests, as far as fetching keys goes.
type Cluster struct {
	Name string
	// Type is STATIC, STRICT_DNS, EDS, ORIGINAL_DST and so on.
	Type string
	// TLS says that the proxy speaks TLS to it, with SNI as the server name.
	TLS bool
	SNI string
}

// remoteKeys are keys that the proxy fetches.
type remoteKeys struct{ uri, cluster string }

// KeyCluster is the cluster through which the proxy fetches the keys at a URI; false
// where it does not have one of that name, so that every fetch fails.
func (d *Dump) KeyCluster(uri string) (Cluster, bool) {
	for _, k := range d.remote {
		if k.uri == uri {
			c, ok := d.Clusters[k.cluster]
			return c, ok
		}
	}
	return Cluster{}, false
}

// JWTProviders are the JWT providers of all the listeners that take requests, each once.
func (d *Dump) JWTProviders() []envoy.Provider {
	var out []envoy.Provider
	seen := map[*envoy.JWTAuthn]bool{}
	for _, l := range d.Listeners {
		for _, c := range l.Chains {
			if c.HTTP == nil {
				continue
			}
			for _, f := range c.HTTP.Filters {
				if jf, ok := f.(*envoy.JWTAuthn); ok && !seen[jf] {
					seen[jf] = true
					out = append(out, jf.Providers...)
				}
			}
		}
	}
	return out
}

// NotADumpError says that the input is no config_dump.
type NotADumpError struct{ Reason string }

// Error says what is wrong with the input.
func (e *NotADumpError) Error() string { return "not a config_dump of a proxy: " + e.Reason }

// HintLine says how to get one.
func (e *NotADumpError) HintLine() string {
	return "get one with: kubectl exec POD -c istio-proxy -- pilot-agent request GET config_dump"
}

// Read reads a config_dump as Envoy's admin page or istiod's debug page gives it. It
// keeps what it needs only, one resource in memory at a time. Errors are a
// *NotADumpError, or the reader's.
func Read(in io.Reader) (*Dump, error) {
	d := &Dump{Clusters: map[string]Cluster{}}
	r := &reading{filters: map[[sha256.Size]byte][]envoy.Filter{}, dump: d}
	dec := json.NewDecoder(in)
	if err := members(dec, func(name string) error {
		if name != "configs" {
			return skip(dec)
		}
		return elements(dec, func() error { return r.config(dec) })
	}); err != nil {
		return nil, readError(err)
	}
	if !d.hasBoot && len(d.Listeners) == 0 {
		return nil, &NotADumpError{Reason: "it has neither a bootstrap nor listeners"}
	}
	r.missingClusters()
	for _, cm := range r.managers {
		cm.LocalURISANs = d.Identities // which stand behind the listeners in a dump
	}
	return d, nil
}

func readError(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF):
		return &NotADumpError{Reason: err.Error()}
	case errors.Is(err, io.EOF):
		return &NotADumpError{Reason: "it is empty"}
	}
	return err
}

// members walks an object; each calls for the value that follows a name.
func members(dec *json.Decoder, each func(name string) error) error {
	if err := delim(dec, '{'); err != nil {
		return err
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if err := each(snake(name)); err != nil {
			return err
		}
	}
	return delim(dec, '}')
}

func elements(dec *json.Decoder, each func() error) error {
	t, err := dec.Token()
	if err != nil || t == nil { // null
		return err
	}
	if t != json.Delim('[') {
		return &NotADumpError{Reason: "a list is missing"}
	}
	for dec.More() {
		if err := each(); err != nil {
			return err
		}
	}
	return delim(dec, ']')
}

func delim(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	if t != want {
		return &NotADumpError{Reason: fmt.Sprintf("%q is missing", want.String())}
	}
	return nil
}

// skip passes over a value without keeping it.
func skip(dec *json.Decoder) error {
	var raw json.RawMessage
	return dec.Decode(&raw)
}

// config reads one member of configs; which one its own lists tell.
func (r *reading) config(dec *json.Decoder) error {
	return members(dec, func(name string) error {
		switch name {
		case "bootstrap":
			return each(dec, r.bootstrap)
		case "dynamic_listeners":
			return elements(dec, func() error { return each(dec, r.dynamicListener) })
		case "dynamic_active_clusters", "static_clusters":
			return elements(dec, func() error { return each(dec, r.cluster) })
		case "dynamic_active_secrets":
			return elements(dec, func() error { return each(dec, r.secret) })
		default:
			return skip(dec)
		}
	})
}

func each(dec *json.Decoder, read func(object) error) error {
	var o object
	if err := dec.Decode(&o); err != nil {
		return err
	}
	return read(o)
}

func (r *reading) bootstrap(o object) error {
	r.dump.hasBoot = true
	node := o.sub("node")
	meta := node.sub("metadata")
	n := &r.dump.Node
	n.ID, n.Namespace, n.ServiceAccount = node.text("id"), meta.text("NAMESPACE"), meta.text("SERVICE_ACCOUNT")
	if v := meta.text("ISTIO_VERSION"); v != "unknown" {
		n.Version = v
	}
	if v := node.sub("user_agent_build_version", "version"); v != nil {
		n.Envoy = fmt.Sprintf("%d.%d", v.number("major_number"), v.number("minor_number"))
	}
	if err := json.Unmarshal(meta.raw("LABELS"), &n.Labels); err != nil {
		n.Labels = nil
	}
	for _, layer := range o.sub("layered_runtime").objects("layers") {
		static := layer.sub("static_layer")
		if raw, ok := static["envoy.reloadable_features.http_reject_path_with_fragment"]; ok {
			reject := strings.Trim(string(raw), `"`) == "true"
			r.dump.fragment = &reject
		}
	}
	return nil
}

// fragments is what is not known of paths with a fragment
// (Istio pkg/bootstrap/config.go sets the proxy's guard to false).
func (d *Dump) fragments() *envoy.Missing {
	if !d.hasBoot || d.fragment != nil && !*d.fragment {
		return nil
	}
	return &envoy.Missing{
		What: "what the proxy does with a fragment in a path",
		Why:  "its bootstrap does not switch off the guard http_reject_path_with_fragment, as Istio's does",
	}
}

func (r *reading) dynamicListener(o object) error {
	state := o.sub("active_state")
	name := o.text("name")
	refusal := o.sub("error_state")
	if state == nil && refusal == nil {
		return nil // on its way in or out
	}
	l := &Listener{Name: name}
	if state != nil {
		raw := state.raw("listener")
		head, err := parseObject(raw)
		if err != nil {
			return &NotADumpError{Reason: err.Error()}
		}
		sidecar := strings.HasPrefix(r.dump.Node.ID, "sidecar~") || r.dump.Node.ID == "" && head.text("name") != ""
		if sidecar && head.text("traffic_direction") != "INBOUND" && head.text("name") != "virtualInbound" && !r.gatewayLike(head) {
			return nil
		}
		if l, err = r.listener(raw); err != nil {
			return &NotADumpError{Reason: err.Error()}
		}
	}
	if l.Name == "" {
		l.Name = refusal.sub("failed_configuration").text("name")
	}
	l.Version, l.LastUpdated = state.text("version_info"), state.text("last_updated")
	if refusal != nil && refusal.text("details") != "" {
		l.Refused = &RefusedUpdate{Details: refusal.text("details"), At: refusal.text("last_update_attempt")}
	}
	r.keep(l)
	return nil
}

// gatewayLike is a listener of a dump without a bootstrap, as istiod's page gives it,
// that could be a gateway's.
func (r *reading) gatewayLike(head object) bool {
	return r.dump.Node.ID == "" && head.text("traffic_direction") == ""
}

// keep adds a listener; Envoy shows a refused update once more in an entry of its own.
func (r *reading) keep(l *Listener) {
	for _, have := range r.dump.Listeners {
		if have.Name == l.Name {
			if have.Refused == nil {
				have.Refused = l.Refused
			}
			if len(have.Chains) == 0 {
				have.Chains, have.Port, have.Direction, have.inspector, have.odd = l.Chains, l.Port, l.Direction, l.inspector, l.odd
			}
			return
		}
	}
	r.dump.Listeners = append(r.dump.Listeners, l)
}

func (r *reading) cluster(o object) error {
	c := o.sub("cluster")
	out := Cluster{Name: c.text("name"), Type: c.text("type")}
	sockets := []object{c.sub("transport_socket")}
	for _, m := range c.objects("transport_socket_matches") {
		sockets = append(sockets, m.sub("transport_socket"))
	}
	for _, s := range sockets {
		if s.text("name") == "envoy.transport_sockets.tls" || s.sub("typed_config").typeName() == "UpstreamTlsContext" {
			out.TLS, out.SNI = true, s.sub("typed_config").text("sni")
		}
	}
	r.dump.Clusters[out.Name] = out
	return nil
}

// missingClusters marks the keys that the proxy fetches through a cluster that it does
// not have: every fetch fails.
func (r *reading) missingClusters() {
	missing := map[string]bool{}
	for _, k := range r.dump.remote {
		if _, ok := r.dump.Clusters[k.cluster]; !ok {
			missing[k.uri] = true
		}
	}
	for _, fs := range r.filters {
		for _, f := range fs {
			jf, ok := f.(*envoy.JWTAuthn)
			if !ok {
				continue
			}
			for i := range jf.Providers {
				k := &jf.Providers[i].Keys
				k.NoCluster = k.Fetcher == envoy.ProxyFetch && missing[k.URI]
			}
		}
	}
}
