package cmd

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

func TestTheURLSaysWhereToConnectWhateverTheHostHeaderIs(t *testing.T) {
	for url, want := range map[string]string{
		"http://httpbin/x": "httpbin:80", "https://api.example.com": "api.example.com:443", "http://httpbin.foo:8000": "httpbin.foo:8000",
		"http://[2001:db8::1]:8080/": "[2001:db8::1]:8080", "http://[2001:db8::1]/": "[2001:db8::1]:80", "http://10.0.0.1": "10.0.0.1:80",
	} {
		s := &scene{o: &probeOptions{flags: probeFlags{request: requestFlags{url: url}}}}
		if err := s.takeURL(); err != nil || s.url != want {
			t.Errorf("%s: %q, %v", url, s.url, err)
		}
	}
	for _, url := range []string{"http://h:0", "http://h:70000", "http://h:http", "ftp://h"} {
		s := &scene{o: &probeOptions{flags: probeFlags{request: requestFlags{url: url}}}}
		if err := s.takeURL(); err == nil {
			t.Errorf("%s is taken for %q", url, s.url)
		}
	}
}

func TestTheContainerIsTheOneNamedOrThePodsDefault(t *testing.T) {
	pod := func(annotation string, names ...string) mesh.Workload {
		w := mesh.Workload{Annotations: map[string]string{defaultContainer: annotation}, Containers: []mesh.Container{{Name: "init", Init: true}}}
		for _, n := range names {
			w.Containers = append(w.Containers, mesh.Container{Name: n, Init: strings.HasPrefix(n, "native-")})
		}
		return w
	}
	for _, c := range []struct {
		given string
		w     mesh.Workload
		want  string
	}{
		{"", pod("", "istio-proxy", "sleep", "other"), "sleep"},
		{"", pod("other", "istio-proxy", "sleep", "other"), "other"},
		{"", pod("gone", "sleep"), "sleep"},
		{"", pod("", "istio-proxy"), "istio-proxy"},
		{"istio-proxy", pod("", "sleep", "istio-proxy"), "istio-proxy"},
	} {
		o := &probeOptions{flags: probeFlags{container: c.given}}
		if got, err := o.containerOf(c.w); err != nil || got != c.want {
			t.Errorf("%q of %v: %q, %v", c.given, c.w.Containers, got, err)
		}
	}
	for _, given := range []string{"init", "nobody"} {
		o := &probeOptions{flags: probeFlags{container: given}}
		var hint hinter
		if _, err := o.containerOf(pod("", "sleep")); err == nil || !asHint(err, &hint) || hint.HintLine() != "the containers are sleep" {
			t.Errorf("%s: %v", given, err)
		}
	}
}

func asHint(err error, to *hinter) bool {
	h, ok := err.(hinter) //nolint:errorlint // it is made right there
	*to = h
	return ok
}

func TestAGatewayIsReachedWhereTheSenderCan(t *testing.T) {
	service := mesh.Service{ClusterIP: "10.96.0.7"}
	outside := service
	outside.LoadBalancerIPs, outside.ExternalIPs = []string{"203.0.113.7"}, []string{"198.51.100.7"}
	headless := mesh.Service{ClusterIP: "None"}
	pods := mesh.Workload{PodIPs: []string{"10.88.0.9"}}
	for name, c := range map[string]struct {
		local bool
		w     mesh.Workload
		s     *mesh.Service
		want  string
	}{
		"a pod, by the Service":                {false, pods, &outside, "10.96.0.7:443"},
		"a pod, by a headless Service":         {false, pods, &headless, "10.88.0.9:8443"},
		"a pod, without a Service":             {false, pods, nil, "10.88.0.9:8443"},
		"this machine, by the load balancer":   {true, pods, &outside, "203.0.113.7:443"},
		"this machine, and no address outside": {true, pods, &service, ""},
		"this machine, and no Service":         {true, pods, nil, ""},
	} {
		s := &scene{o: &probeOptions{local: c.local}}
		got, err := s.addressOf(c.w, diagnose.Entry{Listener: 8443, Server: 443, Service: c.s, ServicePort: 443})
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestTheWayIsTheProxiesOnIt(t *testing.T) {
	target := func(name, role string) diagnose.Target { return diagnose.Target{Name: name, Role: role} }
	s := &scene{o: &probeOptions{}}
	s.sender.workload.Ref.Name = "sleep"
	w := s.wayOf(&diagnose.Diagnosis{Target: target("httpbin", "sidecar")})
	if w.Client != "" || strings.Join(w.Hops, ",") != "httpbin's proxy" || w.App != "httpbin" {
		t.Errorf("got %+v", w)
	}
	s.sender.hasProxy = true
	w = s.wayOf(&diagnose.Diagnosis{
		Target: target("ingress", "gateway"), Hops: []diagnose.Hop{{Target: target("ingress", "gateway")}}, NotReached: []diagnose.Target{target("httpbin", "sidecar")},
	})
	if w.Client != "sleep's own proxy" || strings.Join(w.Hops, ",") != "ingress,httpbin's proxy" || w.App != "httpbin" {
		t.Errorf("got %+v", w)
	}
	s.sender.pastItself = true
	if w := s.wayOf(&diagnose.Diagnosis{Target: target("bare", "none")}); w.Client != "" || len(w.Hops) != 0 || w.App != "bare" {
		t.Errorf("got %+v", w)
	}
}

func TestTheNextStepIsAboutTheRowThatMattersMost(t *testing.T) {
	no, yes := false, true
	allowed, refused := diagnose.Verdict{Decision: envoy.Allowed}, diagnose.Verdict{Decision: envoy.Denied, Status: 401}
	none := probe.Row{Token: probe.None, Outcome: probe.Agrees, Predicted: refused}
	given := probe.Row{Token: probe.Given, Outcome: probe.Agrees, Predicted: allowed}
	with := func(r probe.Row, change func(*probe.Row)) probe.Row { change(&r); return r }
	for name, c := range map[string]struct {
		rows []probe.Row
		want int
	}{
		"nothing to do":            {[]probe.Row{none, given}, -1},
		"not as expected":          {[]probe.Row{with(none, func(r *probe.Row) { r.Outcome = probe.Differs }), with(given, func(r *probe.Row) { r.Met = &no })}, 1},
		"as expected":              {[]probe.Row{with(none, func(r *probe.Row) { r.Met = &yes }), given}, -1},
		"a difference":             {[]probe.Row{none, with(given, func(r *probe.Row) { r.Outcome = probe.Differs })}, 1},
		"a token that is refused":  {[]probe.Row{none, with(given, func(r *probe.Row) { r.Predicted = refused })}, 1},
		"no token is needed":       {[]probe.Row{with(none, func(r *probe.Row) { r.Predicted = allowed }), given}, 0},
		"a broken one, as always":  {[]probe.Row{none, given, {Token: probe.Broken, Outcome: probe.Agrees, Predicted: refused}}, -1},
		"what could not be seen":   {[]probe.Row{none, with(given, func(r *probe.Row) { r.Outcome = probe.NotSeen })}, 1},
		"an answer that is a wish": {[]probe.Row{with(none, func(r *probe.Row) { r.Predicted, r.Expected, r.Met = allowed, "200", &yes }), given}, -1},
	} {
		if got := worst(c.rows); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestTheNextStepIsACommandThatAShellTakes(t *testing.T) {
	o := &probeOptions{app: &app{Process: Process{Name: "/usr/local/bin/kubectl-asmjwt"}}, given: func(f string) bool { return f == "jwt-file" }}
	o.flags.token.file = "my token.jwt"
	in := diagnose.Intent{
		Target: mesh.Target{Type: mesh.TypeService, Name: "httpbin"}, Namespace: "foo", Port: diagnose.Port{Number: 8000}, Host: "httpbin:8000", Method: "GET",
		Caller: diagnose.Caller{From: mesh.Target{Type: mesh.TypeDeployment, Name: "sleep"}, FromNamespace: "foo"},
	}
	no := false
	r := &probe.Report{Rows: []probe.Row{{Token: probe.Given, Path: "/a?b='c'", Outcome: probe.Agrees, Expected: "200", Met: &no}}}
	o.next(r, []probe.Trial{{Question: observe.Question{Intent: in}}})
	want := `kubectl asmjwt why svc/httpbin -n foo --port 8000 --from deploy/sleep --host httpbin:8000 --path '/a?b='\''c'\''' --jwt-file 'my token.jwt' --expect 200`
	if len(r.Next) != 1 || r.Next[0] != want {
		t.Errorf("got  %q\nwant %q", r.Next, want)
	}
	r.Next, r.Rows[0].Expected = nil, "404" // which why cannot be asked for
	o.next(r, []probe.Trial{{Question: observe.Question{Intent: in}}})
	if len(r.Next) != 1 || strings.Contains(r.Next[0], "--expect") {
		t.Errorf("got %q", r.Next)
	}
	r.Next, o.base.Headers = nil, []envoy.Header{{Name: "Origin", Value: "https://it's.example.com"}}
	o.next(r, []probe.Trial{{Question: observe.Question{Intent: in}}})
	if len(r.Next) != 1 || !strings.HasSuffix(r.Next[0], ` -H 'Origin: https://it'\''s.example.com' --jwt-file 'my token.jwt'`) {
		t.Errorf("got %q", r.Next)
	}
	r.Next, o.base.Headers = nil, []envoy.Header{{Name: "x", Value: "secret"}}
	if o.next(r, []probe.Trial{{Question: observe.Question{Intent: in}}}); len(r.Next) != 0 {
		t.Errorf("header lines may be secret, and would be left out: %q", r.Next)
	}
}

// What lies in keys is for jwks to find out, at the proxy that decided; which mesh was asked
// is said again.
func TestTheNextStepIsAboutKeysWhereTheReasonLiesInThem(t *testing.T) {
	kubeconfig := "my config"
	c := &clusters{given: func(f string) bool { return f == "kubeconfig" }, config: genericclioptions.NewConfigFlags(false), contexts: []string{"prod"}, meshContext: "asm"}
	c.config.KubeConfig = &kubeconfig
	o := &probeOptions{app: &app{Process: Process{Name: "/bin/kubectl-asmjwt"}, clusters: c}, given: func(f string) bool { return f == "jwt-env" }}
	o.flags.token.env = "TOKEN"
	service := func(name string) mesh.Target { return mesh.Target{Type: mesh.TypeService, Name: name} }
	in := diagnose.Intent{Target: service("orders"), Namespace: "shop", Method: "GET", Via: []diagnose.Via{{Target: service("gw"), Namespace: "edge"}}, Caller: diagnose.Caller{Plaintext: true}}
	denied, allowed := diagnose.Verdict{Decision: envoy.Denied}, diagnose.Verdict{Decision: envoy.Allowed}
	no := false
	const flags = "--kubeconfig 'my config' --context prod --mesh-context asm"
	refused := []diagnose.Finding{{Code: diag.ListenerRefused, Severity: diag.Error}}
	for name, c := range map[string]struct {
		row      probe.Row
		findings []diagnose.Finding
		hops     []diagnose.Hop
		want     string
		then     bool // with why
	}{
		"a key that is not there":   {probe.Row{Token: probe.Given, Code: diag.TokenNoKey, Met: &no}, nil, nil, "kubectl asmjwt jwks svc/orders -n shop " + flags + " --jwt-env TOKEN", true},
		"keys of the gateway's":     {probe.Row{Token: probe.Given, Code: diag.TokenNoKey, Met: &no}, nil, []diagnose.Hop{{Verdict: denied}}, "kubectl asmjwt jwks svc/gw -n edge " + flags + " --jwt-env TOKEN", true},
		"keys of the one behind":    {probe.Row{Token: probe.Given, Code: diag.TokenNoKey, Met: &no}, nil, []diagnose.Hop{{Verdict: allowed}, {Verdict: denied}}, "kubectl asmjwt jwks svc/orders -n shop " + flags + " --jwt-env TOKEN", true},
		"other keys than predicted": {probe.Row{Token: probe.Given, Outcome: probe.Differs, Reasons: []diagnose.Reason{{Cause: "keys"}}}, nil, nil, "kubectl asmjwt jwks svc/orders -n shop " + flags + " --jwt-env TOKEN", true},
		"a door left open":          {probe.Row{Token: probe.Broken, Met: &no}, refused, nil, "kubectl asmjwt jwks svc/orders -n shop " + flags, false},
		"keys of another rule":      {probe.Row{Token: probe.None, Code: diag.NoPolicyAllowed, Met: &no}, []diagnose.Finding{{Code: diag.KeysNotFetched, Severity: diag.Error}}, nil, "kubectl asmjwt why svc/orders -n shop " + flags + " --via svc/gw.edge:0 --path ''", false},
		"something else":            {probe.Row{Token: probe.None, Code: diag.NoPolicyAllowed, Met: &no}, nil, nil, "kubectl asmjwt why svc/orders -n shop " + flags + " --via svc/gw.edge:0 --path ''", false},
		"a broken token":            {probe.Row{Token: probe.Broken, Code: diag.NoPolicyAllowed, Met: &no}, nil, nil, "", false},
	} {
		r := &probe.Report{Rows: []probe.Row{c.row}, Findings: c.findings}
		again := &probe.Trial{Diagnosis: &diagnose.Diagnosis{Hops: c.hops}, Question: observe.Question{Intent: in}}
		o.next(r, []probe.Trial{{Again: again}})
		if c.want == "" && len(r.Next) == 0 {
			continue
		}
		if len(r.Next) == 0 || r.Next[0] != c.want || (len(r.Next) == 2) != c.then {
			t.Errorf("%s: got %q, want %q", name, r.Next, c.want)
		}
	}
}

func TestTheMeterIsForTerminalsAndLeavesNothingBehind(t *testing.T) {
	for terminal, want := range map[bool]string{true: "\rsent 1 of 2\rsent 2 of 2\r\x1b[K", false: ""} {
		var out bytes.Buffer
		m := (&app{Process: Process{Err: &out, ErrIsTerminal: terminal}}).newMeter(2)
		m.add(1)
		m.add(1)
		m.end()
		m.end()
		if out.String() != want {
			t.Errorf("terminal %v: %q", terminal, out.String())
		}
	}
}
