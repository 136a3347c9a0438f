package run

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

const sidecarMesh = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    defaultProviders: {metrics: [prometheus]}
    extensionProviders:
    - name: prometheus
      prometheus: {}
    - name: authz
      envoyExtAuthzHttp: {service: ext-authz.foo.svc.cluster.local, port: 8000}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports:
  - {name: http, port: 8000, targetPort: web}
  - {name: tcp, port: 9000}
  - {name: sniffed, port: 9001, protocol: TCP, appProtocol: ""}
---
apiVersion: v1
kind: Service
metadata: {name: ext-authz, namespace: foo}
spec: {selector: {app: ext-authz}, ports: [{name: http, port: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: keys, namespace: foo}
spec: {selector: {app: keys}, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: a, namespace: foo}
spec:
  jwtRules:
  - {issuer: iss-b, jwksUri: "http://keys.foo.svc.cluster.local/jwks", spaceDelimitedClaims: [roles]}
  - {issuer: iss-a, jwksUri: "http://unknown.example.com/jwks"PRESENCE}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: c, namespace: foo}
spec: {action: CUSTOM, provider: {name: authz}, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: d, namespace: foo}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [x]}}]}]}
`

const gatewayMesh = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    defaultProviders: {metrics: [prometheus]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: edge}
spec: {template: {metadata: {labels: {app: gw}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: edge}
spec: {selector: {app: gw}, ports: [{name: https, port: 443, targetPort: 8443}, {name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  selector: {app: gw}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: a}}
  - {port: {number: 443, name: b, protocol: HTTPS}, hosts: [b.example.com],
     tls: {mode: MUTUAL, credentialName: b, subjectAltNames: [spiffe://cluster.local/ns/foo/sa/bar]}}
  - {port: {number: 443, name: c, protocol: TLS}, hosts: [c.example.com], tls: {mode: SIMPLE, credentialName: c}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: c, namespace: edge}
spec:
  gateways: [gw]
  hosts: [c.example.com]
  tcp: [{match: [{port: 443}], route: [{destination: {host: x.example.com, port: {number: 1}}, weight: 40}, {destination: {host: y.example.com, port: {number: 1}}, weight: 60}]}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: a, namespace: edge}
spec: {jwtRules: [{issuer: iss-a, jwksUri: "http://unknown.example.com/jwks"}]}
`

// adapted gives istiod's listener, the one that runs and the list of changes.
func adapted(t *testing.T, original, changed judge.Case) (before, after *listenerv3.Listener, changes []change) {
	t.Helper()
	prepareIstiod()
	docs, err := sharedJWKS()
	if err != nil {
		t.Fatal(err)
	}
	certs, err := newPKI()
	if err != nil {
		t.Fatal(err)
	}
	var made []*generated
	for _, c := range []judge.Case{original, changed} {
		g, err := generate(&c, docs)
		if err != nil {
			t.Fatal(err)
		}
		if g.listener == nil {
			t.Fatal("istiod makes no listener")
		}
		made = append(made, g)
	}
	cert, err := certs.server(made[1].identity)
	if err != nil {
		t.Fatal(err)
	}
	log, err := accessLog(t.TempDir(), "m0", directPeer)
	if err != nil {
		t.Fatal(err)
	}
	a := &adaptation{name: "m0", bind: netip.MustParseAddrPort("127.64.0.1:8080"), log: log, certificate: cert,
		root: certs.mesh.pem, clusters: made[1].clusters, jwks: "jwks-m0"}
	after = made[1].listener
	if err := a.listener(after); err != nil {
		t.Fatal(err)
	}
	return made[0].listener, after, a.changes
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

// summary is the changes without the numbers in their paths, once each.
func summary(changes []change) []string {
	set := map[string]bool{}
	for _, c := range changes {
		set[index.ReplaceAllString(c.path, "[]")+": "+c.why] = true
	}
	return slices.Sorted(maps.Keys(set))
}

const (
	manager = "filter_chains[].filters[].typed_config."
	filter  = manager + "http_filters[].typed_config."
	tlsPart = "filter_chains[].transport_socket.typed_config.common_tls_context."
)

func TestChanges_ThatTheseAndNoOthersAreMade(t *testing.T) {
	sidecar := func(presence string) judge.Case {
		return judge.Case{Mesh: strings.Replace(sidecarMesh, "PRESENCE", presence, 1), Target: "deploy/httpbin",
			Namespace: "foo", Port: 8080, RemoteJWKS: "envoy"}
	}
	gateway := func(port int) judge.Case {
		return judge.Case{Mesh: gatewayMesh, Target: "deploy/gw", Namespace: "edge", Port: port}
	}
	everywhere := []string{"address: address", "name: name", manager + "access_log: access log"}
	for name, c := range map[string]struct {
		original, changed judge.Case
		more              []string
	}{
		"of a sidecar": {sidecar(""), sidecar(", presence: REQUIRED"), []string{
			"access_log: access log",
			"filter_chains[].filters[]: filter of Istio's Envoy",
			manager + "cluster: cluster",
			manager + "http_filters[]: filter of Istio's Envoy",
			manager + "route_config.virtual_hosts[].routes[].route.cluster: cluster",
			filter + "http_service.server_uri.cluster: cluster",
			filter + "providers[].remote_jwks.http_uri.cluster: cluster",
			filter + "rules[].requires: presence",
			tlsPart + "combined_validation_context: secret",
			tlsPart + "tls_certificate_sds_secret_configs: secret",
			tlsPart + "tls_certificates: secret",
			tlsPart + "validation_context: secret",
		}},
		"of a gateway": {gateway(8080), gateway(8080), []string{
			"access_log: access log",
			manager + "http_filters[]: filter of Istio's Envoy",
			manager + "rds: route",
			manager + "route_config: route",
		}},
		"of a gateway with TLS": {gateway(8443), gateway(8443), []string{
			"access_log: access log",
			"filter_chains[].filters[]: filter of Istio's Envoy",
			manager + "http_filters[]: filter of Istio's Envoy",
			manager + "cluster: cluster",
			manager + "weighted_clusters: cluster",
			manager + "rds: route",
			manager + "route_config: route",
			tlsPart + "combined_validation_context: secret",
			tlsPart + "tls_certificate_sds_secret_configs: secret",
			tlsPart + "tls_certificates: secret",
			tlsPart + "validation_context: secret",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after, changes := adapted(t, c.original, c.changed)
			want := slices.Sorted(slices.Values(append(c.more, everywhere...)))
			if got := summary(changes); !slices.Equal(got, want) {
				t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			withoutIstio(t, before)
			checkDifferences(t, differences("", before.ProtoReflect(), after.ProtoReflect()), changes)
			checkNamesStay(t, before, after)
		})
	}
}

// checkDifferences holds what differs against what was said to be changed.
func checkDifferences(t *testing.T, differ []string, changes []change) {
	t.Helper()
	for _, d := range differ {
		if !slices.ContainsFunc(changes, func(c change) bool {
			return c.why != whyIstio && (d == c.path || strings.HasPrefix(d, c.path+".") || strings.HasPrefix(d, c.path+"["))
		}) {
			t.Errorf("%s differs, and nobody says so", d)
		}
	}
	for _, c := range changes {
		if c.why != whyIstio && !slices.ContainsFunc(differ, func(d string) bool { return strings.HasPrefix(d, c.path) }) {
			t.Errorf("%s does not differ, though it was said to be changed", c.path)
		}
	}
}

// withoutIstio takes the filters of Istio's Envoy out of a listener.
func withoutIstio(t *testing.T, l *listenerv3.Listener) {
	t.Helper()
	for _, chain := range l.FilterChains {
		chain.Filters = slices.DeleteFunc(chain.Filters, func(f *listenerv3.Filter) bool { return istioOnly(f.GetTypedConfig()) })
		for _, f := range chain.Filters {
			m := &hcm.HttpConnectionManager{}
			if f.GetTypedConfig().UnmarshalTo(m) != nil {
				continue
			}
			m.HttpFilters = slices.DeleteFunc(m.HttpFilters, func(f *hcm.HttpFilter) bool { return istioOnly(f.GetTypedConfig()) })
			if err := anypb.MarshalFrom(f.GetTypedConfig(), m, proto.MarshalOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkNamesStay holds what a combined validation context says besides the secret
// against what took its place.
func checkNamesStay(t *testing.T, before, after *listenerv3.Listener) {
	t.Helper()
	read := func(c *listenerv3.FilterChain) *tlsv3.CommonTlsContext {
		m := &tlsv3.DownstreamTlsContext{}
		if c.GetTransportSocket() != nil {
			if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(m); err != nil {
				t.Fatal(err)
			}
		}
		return m.GetCommonTlsContext()
	}
	for i, chain := range before.FilterChains {
		want := read(chain).GetCombinedValidationContext().GetDefaultValidationContext()
		got := read(after.FilterChains[i]).GetValidationContext()
		if got == nil {
			continue
		}
		if got.GetTrustedCa().GetInlineString() == "" {
			t.Errorf("chain %d trusts nobody", i)
		}
		got = proto.Clone(got).(*tlsv3.CertificateValidationContext)
		got.TrustedCa = nil
		if want == nil {
			want = &tlsv3.CertificateValidationContext{}
		}
		if !proto.Equal(want, got) {
			t.Errorf("chain %d validates by %v, want %v", i, got, want)
		}
	}
}

// differences lists the paths in which two messages differ, through typed_config.
func differences(path string, a, b protoreflect.Message) []string {
	if packed, ok := a.Interface().(*anypb.Any); ok {
		return packedDifferences(path, packed, b.Interface().(*anypb.Any))
	}
	var out []string
	fields := a.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		at := strings.TrimPrefix(path+"."+f.TextName(), ".")
		switch {
		case !a.Has(f) && !b.Has(f):
		case a.Has(f) != b.Has(f):
			out = append(out, at)
		case f.IsList():
			out = append(out, listDifferences(at, f, a.Get(f).List(), b.Get(f).List())...)
		case f.IsMap():
			out = append(out, mapDifferences(at, f, a.Get(f).Map(), b.Get(f).Map())...)
		case f.Message() != nil:
			out = append(out, differences(at, a.Get(f).Message(), b.Get(f).Message())...)
		case !a.Get(f).Equal(b.Get(f)):
			out = append(out, at)
		}
	}
	return out
}

func packedDifferences(path string, a, b *anypb.Any) []string {
	if a.GetTypeUrl() != b.GetTypeUrl() {
		return []string{path}
	}
	x, err := a.UnmarshalNew()
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", path, err)}
	}
	y, err := b.UnmarshalNew()
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", path, err)}
	}
	return differences(path, x.ProtoReflect(), y.ProtoReflect())
}

func listDifferences(path string, f protoreflect.FieldDescriptor, a, b protoreflect.List) []string {
	if a.Len() != b.Len() {
		return []string{path}
	}
	var out []string
	for i := range a.Len() {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case f.Message() != nil:
			out = append(out, differences(at, a.Get(i).Message(), b.Get(i).Message())...)
		case !a.Get(i).Equal(b.Get(i)):
			out = append(out, at)
		}
	}
	return out
}

func mapDifferences(path string, f protoreflect.FieldDescriptor, a, b protoreflect.Map) []string {
	if a.Len() != b.Len() {
		return []string{path}
	}
	var out []string
	a.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		at := fmt.Sprintf("%s[%s]", path, k)
		switch {
		case !b.Has(k):
			out = append(out, at)
		case f.MapValue().Message() != nil:
			out = append(out, differences(at, v.Message(), b.Get(k).Message())...)
		case !v.Equal(b.Get(k)):
			out = append(out, at)
		}
		return true
	})
	return out
}

func TestDifferences_ThatAChangeDeepInAFilterIsFound(t *testing.T) {
	pack := func(prefix string) *listenerv3.Listener {
		config, err := anypb.New(&hcm.HttpConnectionManager{StatPrefix: prefix, XffNumTrustedHops: 1})
		if err != nil {
			t.Fatal(err)
		}
		return &listenerv3.Listener{Name: "l", FilterChains: []*listenerv3.FilterChain{{}, {Filters: []*listenerv3.Filter{{
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config}}}}},
			Metadata: &corev3.Metadata{}}
	}
	got := differences("", pack("a").ProtoReflect(), pack("b").ProtoReflect())
	if want := []string{"filter_chains[1].filters[0].typed_config.stat_prefix"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := differences("", pack("a").ProtoReflect(), pack("a").ProtoReflect()); len(got) > 0 {
		t.Errorf("got %v for the same", got)
	}
}
