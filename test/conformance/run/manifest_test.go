package run

import (
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/config/mesh"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

const everything = `
# nothing
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: td"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: other}
data: {mesh: "trustDomain: wrong"}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}, annotations: {proxy.istio.io/config: "gatewayTopology: {numTrustedProxies: 2}"}}
spec:
  containers: [{name: a, ports: [{name: admin, containerPort: 9}, {name: web, containerPort: 8080}]}]
  initContainers: [{name: b, restartPolicy: Always, ports: [{name: side, containerPort: 7070}]}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: foo}
spec: {template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: sa, containers: [{name: a}]}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: router, namespace: foo}
spec: {template: {spec: {containers: [{name: a, args: [proxy, router, --log]}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: labelled, namespace: foo}
spec: {template: {metadata: {labels: {istio: ingressgateway}}, spec: {containers: [{name: a}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: selected, namespace: foo}
spec: {template: {metadata: {labels: {gw: one, more: than}}, spec: {containers: [{name: a}]}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec: {selector: {gw: one}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
  - {name: http-web, port: 80, targetPort: web}
  - {name: tcp-side, port: 81, targetPort: side}
  - {name: grpc-same, port: 82}
  - {name: http-none, port: 83, targetPort: nothing}
  - {name: http-number, port: 84, targetPort: 8084}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: foo}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: example.com/v1
kind: Unknown
metadata: {name: u}
`

func read(t *testing.T, text string) *manifest {
	t.Helper()
	m, err := parseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTarget_ThatWorkloadsAreFoundAndGatewaysKnown(t *testing.T) {
	m := read(t, everything)
	for _, c := range []struct {
		target, namespace string
		gateway           bool
		account           string
	}{
		{"pod/web", "default", false, "default"},
		{"po/web", "default", false, "default"},
		{"web", "default", false, "default"},
		{"sts/web", "foo", false, "sa"},
		{"statefulset.apps/web", "foo", false, "sa"},
		{"daemonset/router", "foo", true, "default"},
		{"rs/labelled", "foo", true, "default"},
		{"job/selected", "foo", true, "default"},
	} {
		w, err := m.target(&judge.Case{Target: c.target, Namespace: c.namespace})
		if err != nil {
			t.Errorf("%s: %v", c.target, err)
			continue
		}
		if w.gateway != c.gateway || w.serviceAccount() != c.account {
			t.Errorf("%s: gateway %t, account %s", c.target, w.gateway, w.serviceAccount())
		}
	}
	for _, none := range []string{"deploy/web", "thing/web", "pod/other", ""} {
		if _, err := m.target(&judge.Case{Target: none, Namespace: "default"}); err == nil {
			t.Errorf("found %q", none)
		}
	}
}

func TestRegistry_ThatPortsAreThoseOfThePod(t *testing.T) {
	m := read(t, everything)
	w, err := m.target(&judge.Case{Target: "pod/web", Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	services, instances := m.registry(w, mesh.DefaultMeshConfig())
	if len(services) != 3 {
		t.Errorf("%d Services, want 3", len(services))
	}
	got := map[string]uint32{}
	for _, i := range instances {
		if i.Service.Hostname != "web.default.svc.cluster.local" {
			t.Errorf("an instance of %s", i.Service.Hostname)
		}
		got[string(i.ServicePort.Protocol)+" "+i.Endpoint.ServicePortName] = i.Endpoint.EndpointPort
	}
	want := map[string]uint32{"HTTP http-web": 8080, "TCP tcp-side": 7070, "GRPC grpc-same": 82, "HTTP http-number": 8084}
	for name, port := range want {
		if got[name] != port {
			t.Errorf("%s: port %d, want %d", name, got[name], port)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestProxy_ThatItIsWhatIstiodKnowsOfThePod(t *testing.T) {
	m := read(t, everything)
	cfg, err := mesh.ApplyMeshConfig(m.meshYAML, mesh.DefaultMeshConfig())
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.target(&judge.Case{Target: "pod/web", Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.proxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p.Type != model.SidecarProxy || p.ConfigNamespace != "default" || p.Labels["app"] != "web" {
		t.Errorf("got %s in %s with %v", p.Type, p.ConfigNamespace, p.Labels)
	}
	if n := p.Metadata.ProxyConfig.GatewayTopology.GetNumTrustedProxies(); n != 2 {
		t.Errorf("%d trusted proxies, want the annotation's 2", n)
	}
	if cfg.DefaultConfig.GetGatewayTopology() != nil {
		t.Error("the annotation went into the mesh configuration")
	}
	if got := w.identity(cfg); got != "spiffe://td/ns/default/sa/default" {
		t.Errorf("identity %s", got)
	}
	w.pod.Annotations["proxy.istio.io/config"] = "a: ["
	if _, err := w.proxy(cfg); err == nil {
		t.Error("no error for a broken annotation")
	}
	w.gateway = true
	delete(w.pod.Annotations, "proxy.istio.io/config")
	if p, err = w.proxy(cfg); err != nil || p.Type != model.Router {
		t.Errorf("a gateway is a %s (%v)", p.Type, err)
	}
}

func TestParseManifest_ThatIstiodReadsItsObjectsUnchecked(t *testing.T) {
	m := read(t, everything)
	if len(m.configs) != 1 || m.configs[0].Namespace != "default" {
		t.Fatalf("got %v", m.configs)
	}
	if _, ok := m.configs[0].Spec.(*networking.Gateway); !ok {
		t.Errorf("got %T", m.configs[0].Spec)
	}
	if m.meshYAML != "trustDomain: td" {
		t.Errorf("mesh configuration %q", m.meshYAML)
	}
	// The webhook would refuse the key.
	odd := read(t, policy("AuthorizationPolicy", "{rules: [{when: [{key: unknown, values: [x]}]}], unknownField: 1}"))
	if len(odd.configs) != 1 || odd.fetches || odd.required {
		t.Errorf("got %+v", odd)
	}
}

func TestParseManifest_ThatItNotesWhoFetchesAndWhatIsRequired(t *testing.T) {
	for name, c := range map[string]struct {
		rules             string
		fetches, required bool
	}{
		"keys in the object":    {"[{issuer: a, jwks: '{}'}]", false, false},
		"keys at a URI":         {"[{issuer: a, jwks: '{}'}, {issuer: b, jwksUri: 'http://u'}]", true, false},
		"keys to be found":      {"[{issuer: a}]", true, false},
		"required":              {"[{issuer: a, jwks: '{}', presence: REQUIRED}]", false, true},
		"optional, by its name": {"[{issuer: a, jwks: '{}', presence: OPTIONAL}]", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := read(t, policy("RequestAuthentication", "{jwtRules: "+c.rules+"}"))
			if m.fetches != c.fetches || m.required != c.required {
				t.Errorf("fetches %t, required %t", m.fetches, m.required)
			}
		})
	}
}

func TestParseManifest_ThatWhatCannotBeReadIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":                 "a: [",
		"no object":               "[1, 2]",
		"a Service of strings":    "apiVersion: v1\nkind: Service\nspec: x",
		"a Pod of strings":        "apiVersion: v1\nkind: Pod\nspec: x",
		"a Deployment of strings": "apiVersion: apps/v1\nkind: Deployment\nspec: x",
		"a ConfigMap of lists":    "apiVersion: v1\nkind: ConfigMap\ndata: [x]",
		"a policy of lists":       strings.Replace(policy("AuthorizationPolicy", "{rules: 7}"), "---", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseManifest(text); err == nil {
				t.Error("no error")
			}
		})
	}
}
