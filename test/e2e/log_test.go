package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// logged is the part of a diagnosis that says what a log tells.
type logged struct {
	Verdict  harness.Verdict
	Evidence any
	Log      *struct {
		From, Outcome, Note string
		Status              int
		Details             string `json:"responseCodeDetails"`
		Rule                *struct{ Namespace, Name, Field string }
		Gone, Decides       bool
	}
	Request struct {
		Method, Path, Host string
		Unseen             []string
	}
	DependsOn []struct{ What, Hint string }
	Gaps      []struct{ What, Why, Permission string }
	Findings  []struct{ Code string }
	Observed  *struct{ Agrees bool }
}

// whyLogged asks about a log; stdin is the line, where one is given.
func whyLogged(t *testing.T, kubeconfig, stdin string, args ...string) (logged, int) {
	t.Helper()
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "why", "-o", "json"}, args...), Stdin: stdin, Kubeconfig: kubeconfig})
	var d logged
	if err := json.Unmarshal([]byte(res.Stdout), &d); err != nil {
		t.Fatalf("%v: exit %d: %s", args, res.Code, res.Stderr)
	}
	return d, res.Code
}

// lineOf waits for a line in the log of a workload's proxy that has all the texts. The
// proxy writes its log with a delay, and requests before a push are answered otherwise: so
// the texts name the answer too, where the line of a certain answer is wanted.
func lineOf(t *testing.T, namespace, app string, texts ...string) string {
	t.Helper()
	var line string
	err := harness.Eventually(t.Context(), soon, func() error {
		log, err := rig.Kubectl(t.Context(), "", "-n", namespace, "logs", "deploy/"+app, "-c", "istio-proxy", "--since=5m")
		if err != nil {
			return err
		}
		for l := range strings.Lines(log) {
			lacks := func(text string) bool { return !strings.Contains(l, text) }
			if !slices.ContainsFunc(texts, lacks) {
				line = strings.TrimSpace(l)
			}
		}
		if line == "" {
			return fmt.Errorf("the log of %s/%s has no line with %q", namespace, app, texts)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the line: %s", line)
	return line
}

func TestADenialInTheProxysLogIsExplained(t *testing.T) {
	apply(t, livePolicies)
	path := "/anything/" + strings.ToLower(t.Name())
	wantSoon(t, httpbin(path+"?a=b"), denied)
	line := lineOf(t, "foo", "httpbin", path, " 403 ")
	for name, args := range map[string][]string{
		"the line":   {"--from-log", "-"},
		"the log":    {"--logs", "--path", path},
		"each of it": {"--logs=each", "--path", path, "--since", "5m"},
	} {
		t.Run(name, func(t *testing.T) {
			stdin := ""
			if args[0] == "--from-log" {
				stdin = line
			}
			for _, evidence := range []string{"objects", "both"} {
				d, code := whyLogged(t, "", stdin, append([]string{"deploy/httpbin", "-n", "foo", "--evidence", evidence}, args...)...)
				by := d.Verdict.DecidedBy
				if code != 1 || d.Verdict.Status != 403 || by == nil || by.Name != "live" || by.Field != "spec.rules[0]" {
					t.Fatalf("exit %d, %+v by %+v", code, d.Verdict, by)
				}
				if l := d.Log; l == nil || l.Rule == nil || l.Rule.Name != "live" || !l.Decides || l.Gone || l.Status != 403 {
					t.Errorf("got %+v", d.Log)
				}
				if d.Request.Path != path+"?a=b" || d.Request.Method != "GET" || d.Request.Host != "httpbin.foo:8000" || d.Observed == nil || !d.Observed.Agrees {
					t.Errorf("got %+v, %+v", d.Request, d.Observed)
				}
			}
		})
	}
	// With the headers known to have no token, the objects decide by themselves.
	d, code := whyLogged(t, "", line, "deploy/httpbin", "-n", "foo", "--evidence", "objects", "--from-log", "-", "-H", "authorization:", "--from", "deploy/sleep")
	if code != 1 || d.Log.Decides || d.Log.Outcome != "Matched" {
		t.Errorf("without a token: exit %d, %+v", code, d.Log)
	}
}

func TestWhatTheLogSaysOfATokenIsTheAnswer(t *testing.T) {
	apply(t, livePolicies)
	q := httpbin("/anything/expired-token")
	q.Token = token(harness.DemoKey(), expired)
	wantSoon(t, q, `401 "Jwt is expired"`)
	line := lineOf(t, "foo", "httpbin", "/anything/expired-token", " 401 ")
	d, code := whyLogged(t, "", line, "deploy/httpbin", "-n", "foo", "--from-log", "-")
	if code != 1 || d.Verdict.Status != 401 || d.Verdict.Body != "Jwt is expired" || d.Verdict.DecidedBy == nil || d.Verdict.DecidedBy.Kind != "RequestAuthentication" {
		t.Errorf("exit %d, %+v", code, d.Verdict)
	}
	if strings.Contains(line, signature(q.Token)) {
		t.Error("the proxy logs tokens, so that this proves little")
	}
}

func TestARuleOfTheLogThatIsGoneIsSaid(t *testing.T) {
	const gone = `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: short-lived, namespace: foo}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/anything/short-lived]}}]}]}}`
	if err := rig.Apply(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	wantSoon(t, httpbin("/anything/short-lived"), denied)
	line := lineOf(t, "foo", "httpbin", "/anything/short-lived", " 403 ")
	if _, err := rig.Kubectl(t.Context(), gone, "delete", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	d, code := whyLogged(t, "", line, "deploy/httpbin", "-n", "foo", "--from-log", "-", "--evidence", "objects", "--plaintext")
	found := false
	for _, f := range d.Findings {
		found = found || f.Code == "AJ0213"
	}
	if code != 0 || d.Log == nil || !d.Log.Gone || !found || d.Observed.Agrees {
		t.Errorf("exit %d, %+v, findings %v", code, d.Log, d.Findings)
	}
}

func TestTheDebugLineOfTheFilterNamesTheRule(t *testing.T) {
	apply(t, livePolicies)
	level := func(level string) {
		t.Helper()
		kubectl(t, "-n", "foo", "exec", "deploy/httpbin", "-c", "istio-proxy", "--", "pilot-agent", "request", "POST", "logging?rbac="+level)
	}
	level("debug")
	defer level("warning")
	wantSoon(t, httpbin("/anything/debug"), denied)
	line := lineOf(t, "foo", "httpbin", "enforced denied, matched policy")
	d, code := whyLogged(t, "", line, "deploy/httpbin", "-n", "foo", "--from-log", "-", "--evidence", "objects")
	if code != 1 || d.Verdict.Status != 403 || d.Verdict.DecidedBy == nil || d.Verdict.DecidedBy.Name != "live" || !strings.Contains(fmt.Sprint(d.Request.Unseen), "path") {
		t.Errorf("exit %d, %+v, %+v", code, d.Verdict, d.Request)
	}
}

// logFormats are ways in which a proxy may write its access log besides, as Envoy's
// configuration has them: Istio's JSON (pilot/pkg/model/telemetry_logging.go:
// EnvoyJSONLogFormatIstio), and the text of versions that had no details.
var logFormats = map[string]string{
	"JSON": `json_format: {start_time: "%START_TIME%", route_name: "%ROUTE_NAME%", method: "%REQ(:METHOD)%", path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", protocol: "%PROTOCOL%",
                  response_code: "%RESPONSE_CODE%", response_flags: "%RESPONSE_FLAGS%", response_code_details: "%RESPONSE_CODE_DETAILS%", connection_termination_details: "%CONNECTION_TERMINATION_DETAILS%",
                  bytes_received: "%BYTES_RECEIVED%", bytes_sent: "%BYTES_SENT%", duration: "%DURATION%", upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
                  user_agent: "%REQ(USER-AGENT)%", request_id: "%REQ(X-REQUEST-ID)%", authority: "%REQ(:AUTHORITY)%", upstream_host: "%UPSTREAM_HOST%", upstream_cluster: "%UPSTREAM_CLUSTER_RAW%",
                  upstream_local_address: "%UPSTREAM_LOCAL_ADDRESS%", downstream_local_address: "%DOWNSTREAM_LOCAL_ADDRESS%", downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
                  requested_server_name: "%REQUESTED_SERVER_NAME%", upstream_transport_failure_reason: "%UPSTREAM_TRANSPORT_FAILURE_REASON%"}`,
	"text without details": `text_format_source: {inline_string: "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
		`\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ` +
		`\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ` +
		`%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"}`,
}

// logInFormat writes the log of httpbin's proxy in one more format.
const logInFormat = `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: log, namespace: foo}
spec:
  workloadSelector: {labels: {app: httpbin}}
  configPatches:
  - applyTo: NETWORK_FILTER
    match: {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: /dev/stdout
              log_format:
                FORMAT
`

func TestEachFormatOfTheLogIsRead(t *testing.T) {
	const byPath = `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: by-path, namespace: foo}, spec: {action: DENY, rules: [{to: [{operation: {paths: ["/anything/format/*"]}}]}]}}`
	apply(t, byPath)
	for name, format := range logFormats {
		path := "/anything/format/" + strings.ReplaceAll(strings.ToLower(name), " ", "-")
		line := loggedIn(t, format, path, func(line string) bool {
			return strings.HasPrefix(line, "{") == (name == "JSON") && strings.Contains(line, "rbac_access_denied") == (name == "JSON")
		})
		d, code := whyLogged(t, "", line, "deploy/httpbin", "-n", "foo", "--from-log", "-", "--evidence", "objects", "--from", "deploy/sleep")
		if code != 1 || d.Verdict.Status != 403 || d.Verdict.DecidedBy == nil || d.Verdict.DecidedBy.Name != "by-path" || d.Request.Path != path || d.Request.Host != "httpbin.foo:8000" {
			t.Errorf("%s: exit %d, %+v, %+v", name, code, d.Verdict, d.Request)
		}
	}
}

// loggedIn is the line of a denied request in another format.
func loggedIn(t *testing.T, format, path string, is func(string) bool) string {
	t.Helper()
	filter := strings.ReplaceAll(logInFormat, "FORMAT", format)
	if err := rig.Apply(t.Context(), filter); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := rig.Kubectl(t.Context(), filter, "delete", "-f", "-"); err != nil {
			t.Error(err)
		}
	}()
	var found string
	err := harness.Eventually(t.Context(), soon, func() error {
		if err := expect(t.Context(), httpbin(path), denied); err != nil {
			return err
		}
		log, err := rig.Kubectl(t.Context(), "", "-n", "foo", "logs", "deploy/httpbin", "-c", "istio-proxy", "--since=5m")
		for line := range strings.Lines(log) {
			if line = strings.TrimSpace(line); strings.Contains(line, path) && is(line) {
				found = line
				return nil
			}
		}
		return fmt.Errorf("no line in the format, %v", err)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the line: %s", found)
	return found
}

func TestWithoutARightToReadTheLogItIsNamed(t *testing.T) {
	apply(t, livePolicies)
	wantSoon(t, httpbin("/anything/rights"), denied)
	lineOf(t, "foo", "httpbin", "/anything/rights", " 403 ")
	read := []harness.Grant{
		{Verbs: []string{"get", "list"}, Resources: []string{"pods", "services", "configmaps", "namespaces"}},
		{Verbs: []string{"get", "list"}, Group: "apps", Resources: []string{"*"}},
		{Verbs: []string{"get", "list"}, Group: "security.istio.io", Resources: []string{"*"}},
		{Verbs: []string{"get", "list"}, Group: "networking.istio.io", Resources: []string{"*"}},
		{Verbs: []string{"get", "list"}, Group: "extensions.istio.io", Resources: []string{"*"}},
	}
	kubeconfig, err := rig.User(t.Context(), "nolog", read...)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"deploy/httpbin", "-n", "foo", "--logs", "--path", "/anything/rights", "--evidence", "objects"}
	d, code := whyLogged(t, kubeconfig, "", args...)
	if code != 3 || d.Verdict.Decision != "Undetermined" || len(d.Gaps) == 0 || d.Gaps[len(d.Gaps)-1].Permission != "get pods/log in foo" || d.DependsOn[0].Hint != "ask for: get pods/log in foo" {
		t.Errorf("exit %d, %+v, gaps %v", code, d.Verdict, d.Gaps)
	}
	kubeconfig, err = rig.User(t.Context(), "nolog", append(read, harness.Grant{Namespace: "foo", Verbs: []string{"get"}, Resources: []string{"pods/log"}})...)
	if err != nil {
		t.Fatal(err)
	}
	if d, code := whyLogged(t, kubeconfig, "", args...); code != 1 || d.Verdict.DecidedBy == nil || d.Verdict.DecidedBy.Name != "live" {
		t.Errorf("with the right: exit %d, %+v", code, d.Verdict)
	}
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "why"}, "deploy/httpbin", "-n", "foo", "--logs", "--path", "/nobody/asks/this"), Kubeconfig: kubeconfig})
	if res.Code != 3 || !strings.Contains(res.Stderr, "no request that was refused is among the") || !strings.Contains(res.Stderr, "\nhint: ") {
		t.Errorf("exit %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
}

func TestTheLogOfAGatewayTellsItsPeer(t *testing.T) {
	const atGateway = `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: at-gateway, namespace: istio-system}, spec: {selector: {matchLabels: {istio: ingressgateway}}, action: DENY, rules: [{from: [{source: {notIpBlocks: [192.0.2.0/24]}}], to: [{operation: {paths: [/gateway-log]}}]}]}}`
	apply(t, atGateway)
	q := harness.Ask{From: "outside", Namespace: "foo", URL: "http://istio-ingressgateway.istio-system/gateway-log", Headers: []string{"X-Forwarded-For: 192.0.2.1"}}
	var line string
	err := harness.Eventually(t.Context(), soon, func() error { // the sidecar behind may still refuse it, in the same words
		if err := expect(t.Context(), q, denied); err != nil {
			return err
		}
		line = lineOf(t, "istio-system", "istio-ingressgateway", "/gateway-log")
		if !strings.Contains(line, "policy[at-gateway]") {
			return fmt.Errorf("the gateway lets it through: %s", line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d, code := whyLogged(t, "", line, "deploy/istio-ingressgateway", "-n", "istio-system", "--from-log", "-", "--evidence", "objects")
	if code != 1 || d.Verdict.DecidedBy == nil || d.Verdict.DecidedBy.Name != "at-gateway" || d.Log.Decides || d.Log.Outcome != "Matched" {
		t.Errorf("exit %d, %+v, %+v", code, d.Verdict, d.Log)
	}
}
