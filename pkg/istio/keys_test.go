package istio_test

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

func keysSnapshot(t *testing.T, text string) *mesh.Snapshot {
	t.Helper()
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{Namespace: "foo"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const keysPods = `
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: foo, labels: {app: app}}
spec: {containers: [{name: app, image: x}, {name: istio-proxy, image: p}]}
---
apiVersion: v1
kind: Pod
metadata: {name: canary, namespace: foo, labels: {app: canary, istio.io/rev: canary}}
spec: {containers: [{name: app, image: x}, {name: istio-proxy, image: p}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec: {selector: {matchLabels: {app: istiod}}, template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: discovery, image: pilot}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod-canary, namespace: istio-system, labels: {app: istiod, istio.io/rev: canary}}
spec: {selector: {matchLabels: {app: istiod}}, template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: discovery, image: pilot, env: [{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: "true"}]}]}}}
`

func podNamed(t *testing.T, s *mesh.Snapshot, name string) mesh.Workload {
	t.Helper()
	ws, err := s.Resolve(mesh.Target{Type: mesh.TypePod, Name: name}, "foo")
	if err != nil {
		t.Fatal(err)
	}
	return ws[0]
}

func TestEachRevisionHasItsOwnModeOfFetchingKeys(t *testing.T) {
	s := keysSnapshot(t, keysPods)
	for pod, want := range map[string]istio.JWKSMode{"app": istio.JWKSByIstiod, "canary": istio.JWKSHybrid} {
		plane, err := istio.ControlPlaneOf(s, podNamed(t, s, pod))
		if err != nil || plane.JWKSMode() != want || plane.Object.IsZero() {
			t.Errorf("%s: %+v, %v", pod, plane, err)
		}
	}
	none := keysSnapshot(t, "{apiVersion: v1, kind: Pod, metadata: {name: app, namespace: foo}, spec: {containers: [{name: app, image: x}]}}")
	if plane, err := istio.ControlPlaneOf(none, podNamed(t, none, "app")); err != nil || !plane.Object.IsZero() || plane.JWKSMode() != istio.JWKSByIstiod {
		t.Errorf("without any: %+v, %v", plane, err)
	}
	for value, want := range map[string]istio.JWKSMode{"false": istio.JWKSByIstiod, "istiod": istio.JWKSByIstiod, "": istio.JWKSByIstiod, "hybrid": istio.JWKSHybrid, "envoy": istio.JWKSByEnvoy} {
		if got := (istio.ControlPlane{Env: map[string]string{istio.EnvRemoteJWKS: value}}).JWKSMode(); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
}

func TestAHostIsHiddenByWhoDoesNotExportAndWhoDoesNotImportIt(t *testing.T) {
	entry := func(exportTo string) string {
		return "\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: bar}\nspec: {hosts: [Keys.example.com], ports: [{number: 443, name: https, protocol: HTTPS}], resolution: DNS" + exportTo + "}\n"
	}
	sidecar := func(hosts string) string {
		return "\n---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: foo}\nspec: {egress: [{hosts: [" + hosts + "]}]}\n"
	}
	for name, c := range map[string]struct{ more, by, field string }{
		"nothing":                       {entry(""), "", ""},
		"exported to all":               {entry(`, exportTo: ["*"]`), "", ""},
		"exported to it":                {entry(", exportTo: [foo]"), "", ""},
		"exported to itself":            {entry(", exportTo: [.]"), "ServiceEntry", "spec.exportTo"},
		"exported to nobody":            {entry(`, exportTo: ["~"]`), "ServiceEntry", "spec.exportTo"},
		"a Sidecar with all":            {entry("") + sidecar(`"*/*"`), "", ""},
		"a Sidecar with the namespace":  {entry("") + sidecar(`"./*", "bar/*"`), "", ""},
		"a Sidecar with a wildcard":     {entry("") + sidecar(`"*/*.example.com"`), "", ""},
		"a Sidecar with the host":       {entry("") + sidecar(`"bar/keys.example.com"`), "", ""},
		"a Sidecar with its own":        {entry("") + sidecar(`"./*"`), "Sidecar", "spec.egress[0].hosts"},
		"a Sidecar with other hosts":    {entry("") + sidecar(`"bar/other.example.com"`), "Sidecar", "spec.egress[0].hosts"},
		"a Sidecar that imports nobody": {entry("") + sidecar(`"~/*"`), "Sidecar", "spec.egress[0].hosts"},
	} {
		s := keysSnapshot(t, keysPods+c.more)
		known := istio.HostsNamed(s, "keys.example.com")
		if len(known) != 1 || known[0].IsService() || known[0].Ports[443] != "HTTPS" {
			t.Fatalf("%s: %+v", name, known)
		}
		at, err := known[0].Hidden(s, podNamed(t, s, "app"), "keys.example.com")
		if err != nil || at.Kind != c.by || at.Field != c.field {
			t.Errorf("%s: hidden by %s, %v", name, at, err)
		}
	}
}

func TestAServiceIsKnownByItsFullNameAlone(t *testing.T) {
	s := keysSnapshot(t, keysPods+"\n---\n{apiVersion: v1, kind: Service, metadata: {name: idp, namespace: bar, annotations: {networking.istio.io/exportTo: \".\"}}, spec: {ports: [{name: http, port: 80}]}}\n")
	for host, want := range map[string]int{"idp.bar.svc.cluster.local": 1, "idp.bar": 0, "idp": 0, "idp.bar.svc": 0} {
		if got := istio.HostsNamed(s, host); len(got) != want {
			t.Errorf("%s: %+v", host, got)
		}
	}
	at, err := istio.HostsNamed(s, "idp.bar.svc.cluster.local")[0].Hidden(s, podNamed(t, s, "app"), "idp.bar.svc.cluster.local")
	if err != nil || at.Kind != "Service" {
		t.Errorf("hidden by %s, %v", at, err)
	}
}

func TestTheEffectiveModeOfAPortNamesTheFieldThatDecides(t *testing.T) {
	s := keysSnapshot(t, keysPods+`
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: foo}, spec: {mtls: {mode: STRICT}}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: own, namespace: foo}, spec: {selector: {matchLabels: {app: app}}, portLevelMtls: {"80": {mode: PERMISSIVE}}}}
`)
	for port, want := range map[int][2]string{80: {"PERMISSIVE", "spec.portLevelMtls.80.mode"}, 81: {"STRICT", "spec.mtls.mode"}} {
		mode, at, err := istio.PeerMode(s, podNamed(t, s, "app"), port)
		if err != nil || mode != want[0] || at.Field != want[1] {
			t.Errorf("port %d: %s by %s, %v", port, mode, at, err)
		}
	}
}

func TestOnlyASettingKeepsProxiesToTheRegistry(t *testing.T) {
	for config, want := range map[string]bool{"": false, "outboundTrafficPolicy: {mode: ALLOW_ANY}": false, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}": true} {
		s := keysSnapshot(t, keysPods+"\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: \""+config+"\"}}\n")
		if got, err := istio.RegistryOnly(s, podNamed(t, s, "app")); err != nil || got != want {
			t.Errorf("%q: %v, %v", config, got, err)
		}
	}
}
