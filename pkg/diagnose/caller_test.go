package diagnose_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

func parse(text string) (mesh.Target, error) { return mesh.ParseTarget(text) }

// pod is a running pod, with a proxy or without.
func pod(name, account, ip string, containers ...string) string {
	list := ""
	for _, c := range containers {
		list += "  - {name: " + c + ", image: \"istio/proxyv2:1.27.0\", ports: [{containerPort: 8080}]}\n"
	}
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: foo, labels: {app: " + name + "}}\nspec:\n  serviceAccountName: " + account +
		"\n  containers:\n" + list + "status: {phase: Running, podIP: " + ip + ", podIPs: [{ip: " + ip + "}]}\n"
}

func TestWhatIsKnownOfTheCallerFollowsFromWhatWasSaid(t *testing.T) {
	docs := httpbin(pod("client", "sleep", "10.1.1.1", "app", "istio-proxy"), strings.Replace(pod("outsider", "legacy", "10.1.1.2", "app"), "app: outsider", "app: outsider, sidecar.istio.io/inject: \"false\"", 1))
	from := func(text string) func(*diagnose.Intent) {
		return func(in *diagnose.Intent) { in.Caller.From, _ = parse(text) }
	}
	for _, c := range []struct {
		name                          string
		change                        []func(*diagnose.Intent)
		docs                          []string
		transport, identity, sourceIP string
	}{
		{"nothing", nil, nil, "unknown", "unknown", ""},
		{"a pod of the mesh", []func(*diagnose.Intent){from("pod/client")}, nil, "mTLS", "spiffe://cluster.local/ns/foo/sa/sleep", "10.1.1.1"},
		{"a pod outside of it", []func(*diagnose.Intent){from("pod/outsider")}, nil, "plaintext", "none", "10.1.1.2"},
		{"a template", []func(*diagnose.Intent){from("deploy/httpbin")}, nil, "mTLS", "spiffe://cluster.local/ns/foo/sa/httpbin", ""},
		{"where mTLS is off", []func(*diagnose.Intent){from("pod/client")}, []string{object("PeerAuthentication", "pa", "{mtls: {mode: DISABLE}}")}, "plaintext", "none", "10.1.1.1"},
		{"a principal", []func(*diagnose.Intent){func(in *diagnose.Intent) { in.Caller.Principal = "td/ns/a/sa/b" }}, nil, "mTLS", "spiffe://td/ns/a/sa/b", ""},
		{"with its scheme", []func(*diagnose.Intent){func(in *diagnose.Intent) { in.Caller.Principal = "spiffe://td/ns/a/sa/b" }}, nil, "mTLS", "spiffe://td/ns/a/sa/b", ""},
		{"a principal over a pod's", []func(*diagnose.Intent){from("pod/client"), func(in *diagnose.Intent) { in.Caller.Principal = "x/y" }}, nil, "mTLS", "spiffe://x/y", "10.1.1.1"},
		{"plaintext over a pod's", []func(*diagnose.Intent){from("pod/client"), plaintext}, nil, "plaintext", "none", "10.1.1.1"},
		{"an address over a pod's", []func(*diagnose.Intent){from("pod/client"), func(in *diagnose.Intent) { in.Caller.IP = netip.MustParseAddr("9.9.9.9") }}, nil,
			"mTLS", "spiffe://cluster.local/ns/foo/sa/sleep", "9.9.9.9"},
		{"other TLS", []func(*diagnose.Intent){func(in *diagnose.Intent) { in.Caller.TLS = true }}, nil, "TLS", "none", ""},
		{"a certificate", []func(*diagnose.Intent){func(in *diagnose.Intent) {
			in.Caller.Peer = &envoy.Peer{Presented: true, Trusted: true, URISANs: []string{"a", "b"}}
		}}, nil, "mTLS", "a, b", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := asked(t, question(t, c.change...), append(docs, c.docs...)...).Request
			if r.Transport != c.transport || r.Identity != c.identity || r.SourceIP != c.sourceIP {
				t.Errorf("got %s, %s, %s", r.Transport, r.Identity, r.SourceIP)
			}
		})
	}
	if _, err := diagnose.Run(question(t, from("pod/nobody")), snapshot(t, docs...)); err == nil || !strings.Contains(err.Error(), "find the caller") {
		t.Errorf("a caller that is not there: %v", err)
	}
}

func TestACallerOfAnotherNamespaceIsFoundThere(t *testing.T) {
	other := strings.ReplaceAll(pod("client", "sleep", "10.1.1.1", "istio-proxy", "app"), "namespace: foo", "namespace: bar")
	in := question(t)
	in.Caller.From, in.Caller.FromNamespace = target(t, "pod/client"), "bar"
	if got := asked(t, in, httpbin(other)...).Request.Identity; got != "spiffe://cluster.local/ns/bar/sa/sleep" {
		t.Errorf("got %s", got)
	}
}

func TestAFactThatNobodyGaveIsNamedWithItsFlag(t *testing.T) {
	deny := func(rule string) []string { return httpbin(policy("{action: DENY, rules: [" + rule + "]}")) }
	for _, c := range []struct {
		name   string
		docs   []string
		change []func(*diagnose.Intent)
		hint   string // "" is a plain answer
	}{
		{"who calls", deny(`{from: [{source: {principals: ["*"]}}]}`), nil, "--from"},
		{"not where it makes no difference", httpbin(policy("{action: DENY, rules: [{}]}")), nil, ""},
		{"the address", deny(`{from: [{source: {ipBlocks: [1.2.3.4]}}]}`), []func(*diagnose.Intent){plaintext}, "--from-ip"},
		{"the address, through forwarding", deny(`{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}`), []func(*diagnose.Intent){plaintext}, "--from-ip"},
		{"not where a header says it", deny(`{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}`), []func(*diagnose.Intent){plaintext, headers(envoy.Header{Name: "x-forwarded-for", Value: "9.9.9.9"})}, ""},
		{"not where it is given", deny(`{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}`), []func(*diagnose.Intent){plaintext, func(in *diagnose.Intent) { in.Caller.RemoteIP = netip.MustParseAddr("1.2.3.4") }}, ""},
		{"the server name", deny(`{when: [{key: connection.sni, values: [x]}]}`), []func(*diagnose.Intent){func(in *diagnose.Intent) { in.Caller.Principal = "cluster.local/ns/a/sa/b" }, port(1234)}, "--sni"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := asked(t, question(t, c.change...), c.docs...)
			hints := ""
			for _, dep := range d.DependsOn {
				hints += dep.Hint + " "
			}
			if (d.Verdict.Decision == envoy.Undetermined) != (c.hint != "") || !strings.Contains(hints, c.hint) {
				t.Errorf("%s, hints %q", d.Verdict.Decision, hints)
			}
			if c.hint != "" && len(d.Verdict.Possible) < 2 {
				t.Errorf("possible are %v", d.Verdict.Possible)
			}
		})
	}
}

func TestTheHostIsTheServicesUnlessItIsGiven(t *testing.T) {
	two := []string{namespaceFoo, deployment, service("httpbin", httpPort), service("second", httpPort)}
	byHost := policy(`{rules: [{to: [{operation: {hosts: ["httpbin.foo.svc.cluster.local"]}}]}]}`)
	for _, c := range []struct {
		name, target, host string
		docs               []string
		want               envoy.Decision
		shown              string
	}{
		{"of the only Service", "deploy/httpbin", "", httpbin(byHost), envoy.Allowed, "httpbin.foo.svc.cluster.local"},
		{"of the Service that is the target", "svc/httpbin", "", append(two, byHost), envoy.Allowed, "httpbin.foo.svc.cluster.local"},
		{"of another one", "svc/second", "", append(two, byHost), envoy.Denied, "second.foo.svc.cluster.local"},
		{"one of two", "deploy/httpbin", "", append(two, byHost), envoy.Undetermined, ""},
		{"given", "deploy/httpbin", "x.test", httpbin(byHost), envoy.Denied, "x.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := question(t, plaintext, host(c.host))
			in.Target = target(t, c.target)
			d := asked(t, in, c.docs...)
			if d.Verdict.Decision != c.want || d.Request.Host != c.shown {
				t.Errorf("%s for %q", d.Verdict.Decision, d.Request.Host)
			}
		})
	}
	empty := question(t, plaintext)
	empty.HostGiven = true
	if d := asked(t, empty, httpbin()...); d.Verdict.Status != 400 {
		t.Errorf("an empty host that is given: %d", d.Verdict.Status)
	}
}

func TestAClientOfAGatewayIsOutsideTheMesh(t *testing.T) {
	in := question(t, host("a.test"), port(443))
	in.Target, in.Namespace = target(t, "deploy/ingress"), "istio-system"
	tls := gatewayDocs(`{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.test], tls: {mode: SIMPLE, credentialName: c}}`)
	if d := asked(t, in, tls...); d.Request.Transport != "TLS" || d.Request.Identity != "none" || d.Verdict.Decision != envoy.Allowed {
		t.Errorf("got %s, %s, %s", d.Request.Transport, d.Request.Identity, d.Verdict.Decision)
	}
	if d := asked(t, in, tls...); d.Target.ProxyVersion != "1.27.0" || !strings.Contains(d.Target.VersionFrom, "istio-proxy") {
		t.Errorf("the version is %q from %q", d.Target.ProxyVersion, d.Target.VersionFrom)
	}
}
