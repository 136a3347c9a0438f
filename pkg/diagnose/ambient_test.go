package diagnose

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// ambientMesh has httpbin and sleep, captured by ztunnel, in foo, and legacy, which
// is not, in bar.
const ambientMesh = `apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bar}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {serviceAccountName: httpbin, containers: [{name: httpbin, image: httpbin, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: sleep, namespace: foo, labels: {app: sleep}, annotations: {ambient.istio.io/redirection: enabled}}
spec: {serviceAccountName: sleep, containers: [{name: sleep, image: curl}]}
status: {podIP: 10.0.0.7, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: legacy, namespace: bar, labels: {app: legacy}}
spec: {containers: [{name: legacy, image: curl}]}
---
apiVersion: v1
kind: Pod
metadata: {name: sidecar, namespace: bar, labels: {app: sidecar}}
spec: {serviceAccountName: side, containers: [{name: c, image: i}, {name: istio-proxy, image: p}]}
`

func ambientPolicy(name, spec string) string {
	return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + name + ", namespace: foo}\nspec: " + spec + "\n"
}

const strictNamespace = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: foo}\nspec: {mtls: {mode: STRICT}}\n"

// askAmbient asks about GET / of a target, deploy/httpbin in foo where none is named.
func askAmbient(t *testing.T, c Caller, change func(*Intent), docs ...string) *Diagnosis {
	t.Helper()
	objects, err := mesh.Parse([]byte(strings.Join(append([]string{ambientMesh}, docs...), "---\n")), mesh.ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := Intent{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, Namespace: "foo", Method: "GET", Path: "/", Time: 1, Caller: c}
	if change != nil {
		change(&in)
	}
	d, err := Run(in, snap)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func callerPod(name, namespace string) Caller {
	return Caller{From: mesh.Target{Type: mesh.TypePod, Name: name}, FromNamespace: namespace}
}

func findings(d *Diagnosis, code diag.Code) []Finding {
	var out []Finding
	for _, f := range d.Findings {
		if f.Code == code {
			out = append(out, f)
		}
	}
	return out
}

func TestARefusedConnectionHasNoStatusAndNamesTheRule(t *testing.T) {
	d := askAmbient(t, Caller{Plaintext: true}, nil, ambientPolicy("p", "{action: DENY, rules: [{from: [{source: {notPrincipals: ['*']}}]}]}"))
	v := d.Verdict
	if v.Decision != envoy.Denied || v.Status != 0 || v.Body != "" || v.ResponseCodeDetails != "connection refused by L4 policy foo/p" {
		t.Errorf("%+v", v)
	}
	if v.DecidedBy == nil || v.DecidedBy.Name != "p" || v.DecidedBy.Field != "spec.rules[0]" {
		t.Errorf("decided by %+v", v.DecidedBy)
	}
	if d.Target.Role != "ztunnel" || d.Target.MTLS != "PERMISSIVE" || d.Because == "" {
		t.Errorf("%+v, because %q", d.Target, d.Because)
	}
}

func TestStrictMTLSRefusesWhoHasNoIdentity(t *testing.T) {
	for _, c := range []struct {
		name   string
		caller Caller
		want   envoy.Decision
	}{
		{"a captured client", callerPod("sleep", "foo"), envoy.Allowed},
		{"a client with a sidecar", callerPod("sidecar", "bar"), envoy.Allowed},
		{"a client without proxy", callerPod("legacy", "bar"), envoy.Denied},
		{"plaintext", Caller{Plaintext: true}, envoy.Denied},
		{"a principal", Caller{Principal: "cluster.local/ns/x/sa/y"}, envoy.Allowed},
		{"a principal of another trust domain", Caller{Principal: "td/ns/x/sa/y"}, envoy.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := askAmbient(t, c.caller, nil, strictNamespace)
			if d.Verdict.Decision != c.want || d.Target.MTLS != "STRICT" {
				t.Errorf("%+v %+v", d.Verdict, d.Target)
			}
			if c.want == envoy.Denied && d.Because == "" {
				t.Error("nothing says why")
			}
		})
	}
	d := askAmbient(t, Caller{Plaintext: true}, nil, strictNamespace)
	if by := d.Verdict.DecidedBy; by == nil || by.Kind != "PeerAuthentication" || by.Field != "spec.mtls.mode" || !strings.Contains(d.Because, "STRICT") {
		t.Errorf("decided by %+v, because %q", by, d.Because)
	}
}

func TestACapturedClientBringsItsIdentityAndAddress(t *testing.T) {
	d := askAmbient(t, callerPod("sleep", "foo"), nil,
		ambientPolicy("p", "{rules: [{from: [{source: {principals: [cluster.local/ns/foo/sa/sleep], ipBlocks: [10.0.0.7]}}]}]}"))
	if d.Verdict.Decision != envoy.Allowed || d.Verdict.Status != 200 || d.Request.Identity != "spiffe://cluster.local/ns/foo/sa/sleep" {
		t.Errorf("%+v %+v", d.Verdict, d.Request)
	}
}

// ztunnel has no mTLS for sidecars that do not take its tunnel.
func TestACapturedClientHasNoIdentityForASidecarWithoutTheTunnel(t *testing.T) {
	toSidecar := func(in *Intent) {
		in.Target, in.Namespace, in.Port = mesh.Target{Type: mesh.TypePod, Name: "sidecar"}, "bar", Port{Number: 8080}
	}
	if d := askAmbient(t, callerPod("sleep", "foo"), toSidecar); d.Request.Transport != "plaintext" || d.Request.Identity != "none" {
		t.Errorf("%+v", d.Request)
	}
	if d := askAmbient(t, callerPod("sidecar", "bar"), toSidecar); d.Request.Transport != "mTLS" {
		t.Errorf("%+v", d.Request)
	}
}

// Each question without an answer has a twin that has one.
func TestAnUnknownClientIsUndeterminedWithTheFlagsThatWouldTell(t *testing.T) {
	byAddress := "{rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]}"
	for _, c := range []struct {
		name   string
		caller Caller
		docs   []string
		hint   string // empty: the answer is known
	}{
		{"STRICT", Caller{}, []string{strictNamespace}, "--from"},
		{"twin: STRICT, and plaintext", Caller{Plaintext: true}, []string{strictNamespace}, ""},
		{"a policy about identities", Caller{}, []string{ambientPolicy("p", "{rules: [{from: [{source: {principals: ['*']}}]}]}")}, "--from"},
		{"twin: a policy that allows nothing", Caller{}, []string{ambientPolicy("p", "{}")}, ""},
		{"a policy about addresses", Caller{Principal: "cluster.local/ns/a/sa/b"}, []string{ambientPolicy("p", byAddress)}, "--from-ip"},
		{"twin: with an address", Caller{IP: netip.MustParseAddr("10.1.1.1")}, []string{ambientPolicy("p", byAddress)}, ""},
		{"twin: no policy", Caller{}, nil, ""},
		{"twin: only HTTP rules", Caller{}, []string{ambientPolicy("p", "{action: DENY, rules: [{from: [{source: {principals: ['*']}}], to: [{operation: {methods: [GET]}}]}]}")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := askAmbient(t, c.caller, nil, c.docs...)
			if (d.Verdict.Decision == envoy.Undetermined) != (c.hint != "") {
				t.Fatalf("%+v", d.Verdict)
			}
			if c.hint == "" {
				return
			}
			if len(d.DependsOn) == 0 || !strings.Contains(d.DependsOn[0].Hint, c.hint) {
				t.Errorf("depends on %+v", d.DependsOn)
			}
			if len(d.Verdict.Possible) != 2 || d.Verdict.Possible[0] != 0 || d.Verdict.Possible[1] != 200 {
				t.Errorf("possible %v", d.Verdict.Possible)
			}
		})
	}
}

func TestT134AndT135AreAnsweredAndExplained(t *testing.T) {
	d := askAmbient(t, Caller{Plaintext: true}, nil, ambientPolicy("p", "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"))
	if d.Verdict.Decision != envoy.Allowed || len(findings(d, diag.ValueDropped)) != 1 {
		t.Errorf("T134: %+v %+v", d.Verdict, d.Findings)
	}
	d = askAmbient(t, Caller{Plaintext: true}, nil, ambientPolicy("p", "{rules: [{to: [{operation: {paths: [/get]}}]}]}"))
	if d.Verdict.Decision != envoy.Denied || d.Verdict.Status != 0 || d.Verdict.DecidedBy != nil {
		t.Errorf("T135: %+v", d.Verdict)
	}
	if fs := findings(d, diag.RuleDropped); len(fs) != 1 || fs[0].Field != "spec.rules[0]" || len(findings(d, diag.ValueDropped)) != 0 {
		t.Errorf("T135: %+v", d.Findings)
	}
	if !strings.Contains(d.Because, "paths") {
		t.Errorf("T135: because %q", d.Because)
	}
}

func TestTheReasonCountsOnlyRulesThatReachedZtunnel(t *testing.T) {
	d := askAmbient(t, Caller{Principal: "cluster.local/ns/a/sa/b"}, nil,
		ambientPolicy("p", "{rules: [{to: [{operation: {paths: [/get]}}]}, {from: [{source: {namespaces: [foo]}}]}]}"))
	if !strings.Contains(d.Because, "the only ALLOW rule") || !strings.Contains(d.Because, `"foo"`) {
		t.Errorf("because %q", d.Because)
	}
}

func TestARequestAuthenticationWithoutAWaypointIsAFinding(t *testing.T) {
	ra := "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: foo}\nspec: {jwtRules: [{issuer: a, jwks: '{}'}]}\n"
	withToken := func(in *Intent) {
		in.Headers = []envoy.Header{{Name: "Authorization", Value: "Bearer not-a-token-at-all"}}
	}
	d := askAmbient(t, Caller{Plaintext: true}, withToken, ra)
	fs := findings(d, diag.NotEnforced)
	if d.Verdict.Decision != envoy.Allowed || len(fs) != 1 || fs[0].Object.Kind != "RequestAuthentication" {
		t.Errorf("%+v %+v", d.Verdict, d.Findings)
	}
	if len(d.Skipped) != 1 || d.Skipped[0].Object.Name != "r" {
		t.Errorf("the walk does not say it: %+v", d.Skipped)
	}
	if twin := askAmbient(t, Caller{Plaintext: true}, nil); len(twin.Findings) != 0 {
		t.Errorf("%+v", twin.Findings)
	}
}

func TestAWaypointInFrontIsSaidNotToBeLookedAt(t *testing.T) {
	in := func(in *Intent) { in.Namespace = "way" }
	const way = `apiVersion: v1
kind: Namespace
metadata: {name: way, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: wp}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: way}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: httpbin, image: httpbin}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: way}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 8080}]
`
	d := askAmbient(t, Caller{Plaintext: true}, in, way)
	fs := findings(d, diag.WaypointNotSeen)
	if len(fs) != 1 || !strings.Contains(fs[0].Message, "way/wp") || fs[0].Object.Kind != "Namespace" {
		t.Errorf("%+v", d.Findings)
	}
	assumed := ""
	for _, a := range d.Assumed {
		assumed += a.Setting + " "
	}
	if !strings.Contains(assumed, "waypoint way/wp") || !strings.Contains(assumed, "PILOT_AUTO_ALLOW_WAYPOINT_POLICY") {
		t.Errorf("assumed %s", assumed)
	}
	twin := askAmbient(t, Caller{Plaintext: true}, in, strings.Replace(way, "istio.io/use-waypoint: wp", "istio.io/use-waypoint: none", 1))
	if len(findings(twin, diag.WaypointNotSeen)) != 0 {
		t.Errorf("%+v", twin.Findings)
	}
}

func TestAnyPortOfACapturedPodMayBeAskedAbout(t *testing.T) {
	only := ambientPolicy("p", "{action: DENY, rules: [{to: [{operation: {ports: ['9999']}}]}]}")
	for port, want := range map[int]envoy.Decision{8080: envoy.Allowed, 9999: envoy.Denied} {
		d := askAmbient(t, Caller{Plaintext: true}, func(in *Intent) { in.Port.Number = port }, only)
		if d.Verdict.Decision != want || d.Target.Port != port {
			t.Errorf("port %d: %+v", port, d.Verdict)
		}
	}
}
