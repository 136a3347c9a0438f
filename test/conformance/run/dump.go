package run

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	jwtauthn "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// Dump is what a proxy of the case's mesh would say of itself: a config_dump with
// istiod's own listener, unchanged, and the names of its clusters. It is empty where
// there is no listener. Nothing is run.
func Dump(c judge.Case) ([]byte, error) {
	prepareIstiod()
	docs, err := sharedJWKS()
	if err != nil {
		return nil, err
	}
	g, err := generate(&c, docs)
	if err != nil || g.listener == nil {
		return nil, err
	}
	if g.tunnel != nil {
		return nil, fmt.Errorf("the dump of a waypoint")
	}
	if err := g.markPresence(); err != nil {
		return nil, err
	}
	listener, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(g.listener)
	if err != nil {
		return nil, err
	}
	return dumpOf(g, listener)
}

func dumpOf(g *generated, listener json.RawMessage) ([]byte, error) {
	role := "router"
	if g.listener.GetName() == "virtualInbound" || g.listener.GetTrafficDirection().String() == "INBOUND" {
		role = "sidecar"
	}
	certs, err := newAuthority("dump")
	if err != nil {
		return nil, err
	}
	own, err := certs.issue(subject{uris: []string{g.identity}})
	if err != nil {
		return nil, err
	}
	var clusters []any
	for name := range g.clusters {
		clusters = append(clusters, map[string]any{"cluster": map[string]any{"name": name, "type": "EDS"}})
	}
	type m = map[string]any
	return json.Marshal(m{"configs": []any{
		m{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": m{
			"node":            m{"id": role + "~10.0.0.1~pod.ns~ns.svc.cluster.local", "metadata": m{"NAMESPACE": "ns"}},
			"layered_runtime": m{"layers": []any{m{"name": "static", "static_layer": m{"envoy.reloadable_features.http_reject_path_with_fragment": false}}}},
		}},
		m{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": clusters},
		m{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": []any{
			m{"name": g.listener.GetName(), "active_state": m{"version_info": "1", "listener": listener}}}},
		m{"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets": []any{
			m{"name": "default", "secret": m{"name": "default", "tls_certificate": m{"certificate_chain": m{
				"inline_bytes": base64.StdEncoding.EncodeToString([]byte(own.certPEM))}}}}}},
	}})
}

// markPresence gives REQUIRED rules their requirement, as changes.go does.
func (g *generated) markPresence() error {
	a := &adaptation{}
	for _, chain := range allChains(g.listener) {
		for _, f := range chain.Filters {
			err := a.inside(f.GetTypedConfig(), func(m proto.Message) error {
				manager, ok := m.(*hcm.HttpConnectionManager)
				if !ok {
					return nil
				}
				for _, hf := range manager.HttpFilters {
					err := a.inside(hf.GetTypedConfig(), func(config proto.Message) error {
						jf, ok := config.(*jwtauthn.JwtAuthentication)
						if !ok {
							return nil
						}
						changed, err := requirePresence(jf)
						if changed {
							a.note(whyPresence, "dump")
						}
						return err
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func allChains(l *listenerv3.Listener) []*listenerv3.FilterChain {
	if d := l.GetDefaultFilterChain(); d != nil {
		return append([]*listenerv3.FilterChain{d}, l.GetFilterChains()...)
	}
	return l.GetFilterChains()
}
