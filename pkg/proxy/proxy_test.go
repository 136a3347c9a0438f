package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

func open(t *testing.T, name string) *proxy.Dump {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := proxy.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t *testing.T, text string) *proxy.Dump {
	t.Helper()
	d, err := proxy.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func proxyOf(t *testing.T, d *proxy.Dump, port uint16) *envoy.Proxy {
	t.Helper()
	p, _, err := d.Proxy(port)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestADumpTellsWhoItIsOfAndWhichPortsItHas(t *testing.T) {
	for _, c := range []struct {
		file, pod, namespace string
		role                 envoy.Role
		ports                string
		identity             string
	}{
		{"gateway.json", "istio-ingressgateway", "istio-system", envoy.RoleGateway, "[8080]", "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"},
		{"sidecar-remote.json", "httpbin", "foo", envoy.RoleSidecar, "[18006]", ""},
		{"sidecar-mtls.json", "httpbin", "foo", envoy.RoleSidecar, "[8080]", "spiffe://cluster.local/ns/foo/sa/httpbin"},
		{"istiod.json", "", "", envoy.RoleSidecar, "[8080]", ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			d := open(t, c.file)
			var ports []uint16
			for _, p := range d.Ports() {
				ports = append(ports, p.Number)
			}
			if got := fmt.Sprint(ports); d.Node.Pod() != c.pod || d.Node.Namespace != c.namespace || d.Role() != c.role || got != c.ports {
				t.Errorf("got pod %q of %q, %s, ports %s", d.Node.Pod(), d.Node.Namespace, d.Role(), got)
			}
			if got := strings.Join(d.Identities, " "); got != c.identity {
				t.Errorf("got identity %q", got)
			}
		})
	}
}

func TestAProviderHasTheKeysThatWerePushed(t *testing.T) {
	real := proxyOf(t, open(t, "gateway.json"), 8080).JWTFilters()
	if len(real) != 1 || len(real[0].Providers) != 1 {
		t.Fatalf("got %v", real)
	}
	p := real[0].Providers[0]
	set, status := jwks.Parse([]byte(p.Keys.Inline))
	if _, _, is := jwks.Placeholder(set); is || p.Issuer != "testing@secure.istio.io" || p.Keys.Fetcher != envoy.Inline || len(set.Keys) == 0 {
		t.Errorf("got %+v, %v", p, status)
	}
	placeholder := proxyOf(t, open(t, "gateway-placeholder.json"), 8080).JWTFilters()[0].Providers[0]
	set, _ = jwks.Parse([]byte(placeholder.Keys.Inline))
	if kind, _, is := jwks.Placeholder(set); !is || kind != jwks.PlaceholderPublicOnly {
		t.Errorf("got placeholder %v %s", is, kind)
	}
}

func TestKeysThatTheProxyFetchesNeedACluster(t *testing.T) {
	d := open(t, "sidecar-remote.json")
	k := proxyOf(t, d, 18006).JWTFilters()[0].Providers[0].Keys
	if k.Fetcher != envoy.ProxyFetch || k.URI != "http://jwks.example.com:80/get_jwks" || k.NoCluster {
		t.Errorf("got %+v", k)
	}
	text, err := os.ReadFile("testdata/sidecar-remote.json")
	if err != nil {
		t.Fatal(err)
	}
	without := strings.ReplaceAll(string(text), `"name":"outbound|80||jwks.example.com"`, `"name":"outbound|80||other"`)
	if k := proxyOf(t, read(t, without), 18006).JWTFilters()[0].Providers[0].Keys; !k.NoCluster {
		t.Errorf("got %+v, without the cluster", k)
	}
}

// listenerDump is a dump with one listener of a sidecar.
func listenerDump(state string) string {
	return `{"configs": [{"@type": "x.BootstrapConfigDump", "bootstrap": {"node": {"id": "sidecar~10.0.0.1~a.foo~foo.svc.cluster.local",
"metadata": {"NAMESPACE": "foo", "ISTIO_VERSION": "1.30.1"}}}}, {"@type": "x.ListenersConfigDump", "dynamic_listeners": [` + state + `]}]}`
}

func chain(filters string) string {
	return `{"name": "virtualInbound", "active_state": {"version_info": "7", "last_updated": "2026-03-11T09:30:00Z", "listener": {"name": "virtualInbound",
"traffic_direction": "INBOUND", "address": {"socket_address": {"port_value": 15006}}, "filter_chains": [{"name": "0.0.0.0_8080",
"filter_chain_match": {"destination_port": 8080, "transport_protocol": "raw_buffer"}, "filters": [{"name": "envoy.filters.network.http_connection_manager",
"typed_config": {"@type": "x.HttpConnectionManager", "http_filters": [` + filters + `]}}]}]}}}`
}

func TestARefusedUpdateIsTold(t *testing.T) {
	refused := `"error_state": {"failed_configuration": {"name": "virtualInbound"}, "last_update_attempt": "2026-03-11T09:31:00Z",
"details": "Provider 'origins-0' in jwt_authn config has invalid local jwks: Jwks is an invalid JSON"}`
	for name, state := range map[string]string{
		"beside the active one":      strings.TrimSuffix(chain(""), "}") + "," + refused + "}",
		"in an entry without a name": chain("") + ", {" + refused + "}",
		"before the active one":      `{` + refused + `}, ` + chain(""),
		"without an active one":      `{"name": "virtualInbound", ` + refused + "}",
	} {
		t.Run(name, func(t *testing.T) {
			d := read(t, listenerDump(state))
			r := d.Refused()
			if len(r) != 1 || r[0].Name != "virtualInbound" || !strings.Contains(r[0].Refused.Details, "invalid JSON") || r[0].Refused.At == "" {
				t.Fatalf("got %+v", r)
			}
			if has := len(r[0].Chains) > 0; has != (name != "without an active one") {
				t.Errorf("got %d chains", len(r[0].Chains))
			}
		})
	}
	if r := read(t, listenerDump(chain(""))).Refused(); len(r) != 0 {
		t.Errorf("got %+v", r)
	}
}

func rbac(policy string) string {
	return `{"name": "envoy.filters.http.rbac", "typed_config": {"@type": "x.RBAC", "rules": {"action": "DENY", "policies": {"ns[foo]-policy[p]-rule[0]": ` + policy + `}}}}`
}

func TestWhatIsNotModelledIsNotGuessed(t *testing.T) {
	anyone := `"principals": [{"any": true}]`
	for name, c := range map[string]struct {
		filter string
		opaque bool // else a policy in doubt
	}{
		"a filter of a Wasm plugin": {`{"name": "foo.auth", "config_discovery": {}}`, true},
		"a Lua filter":              {`{"name": "envoy.filters.http.lua", "typed_config": {"@type": "x.Lua"}}`, true},
		"an RBAC matcher tree":      {`{"name": "envoy.filters.http.rbac", "typed_config": {"@type": "x.RBAC", "matcher": {}}}`, true},
		"a condition in CEL":        {rbac(`{"permissions": [{"any": true}], ` + anyone + `, "condition": {}}`), false},
		"a permission that is new":  {rbac(`{"permissions": [{"matcher": {}}], ` + anyone + `}`), false},
		"a range of a header":       {rbac(`{"permissions": [{"header": {"name": "x", "range_match": {}}}], ` + anyone + `}`), false},
		"claims of an old proxy": {rbac(`{"permissions": [{"any": true}], "principals": [{"metadata": {"filter": "istio_authn", "path": [{"key": "request.auth.principal"}],
"value": {"string_match": {"exact": "a"}}}}]}`), false},
		"clocks of a provider": {`{"name": "envoy.filters.http.jwt_authn", "typed_config": {"@type": "x.JwtAuthentication", "providers": {"origins-0": {"issuer": "a",
"clock_skew_seconds": 5, "local_jwks": {"inline_string": "{}"}}}, "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "origins-0"}}]}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxyOf(t, read(t, listenerDump(chain(c.filter))), 8080)
			fs := p.Chains[0].HTTP.Filters
			if len(fs) != 1 {
				t.Fatalf("got %d filters", len(fs))
			}
			if o, ok := fs[0].(*envoy.Opaque); ok != c.opaque || ok && o.Missing.Why == "" {
				t.Fatalf("got %T", fs[0])
			}
			if r, ok := fs[0].(*envoy.RBAC); ok && (!r.Rules.Policies[0].DoubtAll || r.Rules.Policies[0].Doubt == nil) {
				t.Error("the policy is not in doubt")
			}
			v := envoy.Evaluate(p, &envoy.Request{Method: "GET", Authority: "a", Path: "/", Connection: envoy.Connection{
				Transport: envoy.Known(envoy.Plaintext), Peer: envoy.Known(envoy.Peer{}),
			}}, nil).Verdict
			if v.Decision != envoy.Undetermined {
				t.Errorf("got %s %d", v.Decision, v.Status)
			}
		})
	}
}

func TestAPolicyWithoutRulesNeverMatches(t *testing.T) {
	p := proxyOf(t, read(t, listenerDump(chain(rbac(`{"permissions": [{"not_rule": {"any": true}}], "principals": [{"not_id": {"any": true}}]}`)))), 8080)
	if r := p.Chains[0].HTTP.Filters[0].(*envoy.RBAC); !r.Rules.Policies[0].Never || r.Rules.Policies[0].Origin.Name != "p" {
		t.Errorf("got %+v", r.Rules.Policies[0])
	}
}

func TestWhatIsNoDumpIsRefusedWithAHint(t *testing.T) {
	good, err := os.ReadFile("testdata/gateway.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "a list": "[]", "no JSON": "error: no such pod\n", "an object of something else": `{"kind": "Pod"}`,
		"a dump that ends in the middle": string(good[:len(good)/2]), "configs that are none": `{"configs": 3}`, "a string among configs": `{"configs": ["a"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := proxy.Read(strings.NewReader(text))
			var wrong *proxy.NotADumpError
			if !errors.As(err, &wrong) || wrong.HintLine() == "" {
				t.Errorf("got %v", err)
			}
		})
	}
	failing := errors.New("cut off")
	if _, err := proxy.Read(io.MultiReader(strings.NewReader(`{"configs": [`), errorReader{failing})); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

func TestAPortThatTheProxyDoesNotHaveIsNamed(t *testing.T) {
	_, _, err := open(t, "gateway.json").Proxy(81)
	var none *proxy.NoPortError
	if !errors.As(err, &none) || none.HintLine() != "choose one with --port: 8080" {
		t.Errorf("got %v", err)
	}
}

// repeated is a large dump: many listeners of which none is for the workload.
type repeated struct {
	times int
	parts []string
	buf   string
}

func (r *repeated) Read(p []byte) (int, error) {
	for r.buf == "" {
		switch {
		case len(r.parts) == 3:
			r.buf, r.parts = r.parts[0], r.parts[1:]
		case r.times > 0:
			r.buf, r.times = r.parts[0], r.times-1
		case len(r.parts) == 2:
			r.buf, r.parts = r.parts[1], nil
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func TestALargeDumpIsReadInLittleMemory(t *testing.T) {
	outbound := strings.ReplaceAll(strings.ReplaceAll(chain(strings.TrimSuffix(strings.Repeat(rbac(`{"permissions": [{"any": true}], "principals": [{"any": true}]}`)+",", 50), ",")),
		"INBOUND", "OUTBOUND"), "virtualInbound", "0.0.0.0_80") + ","
	whole := listenerDump("LIST" + chain(""))
	before, after, _ := strings.Cut(whole, "LIST")
	const size = 100 << 20
	in := &repeated{times: size / len(outbound), parts: []string{before, outbound, after}}
	var start, end runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&start)
	d, err := proxy.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&end)
	if len(d.Listeners) != 1 {
		t.Errorf("got %d listeners", len(d.Listeners))
	}
	if grown := int64(end.Sys) - int64(start.Sys); grown > 100<<20 {
		t.Errorf("reading %d MB took %d MB of memory", size>>20, grown>>20)
	}
}

func TestTheSameFiltersInEachChainAreReadOnce(t *testing.T) {
	one := rbac(`{"permissions": [{"any": true}], "principals": [{"any": true}]}`)
	text := chain(one)
	from, to := strings.Index(text, `{"name": "0.0.0.0_8080"`), strings.LastIndex(text, "]}}}")
	second := strings.ReplaceAll(text[from:to], "8080", "9090")
	p := read(t, listenerDump(text[:to]+","+second+text[to:]))
	a, b := proxyOf(t, p, 8080), proxyOf(t, p, 9090)
	if a.Chains[0].HTTP.Filters[0] != b.Chains[0].HTTP.Filters[0] {
		t.Error("equal lists of filters are kept twice")
	}
}
