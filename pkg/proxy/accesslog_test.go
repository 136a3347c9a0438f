package proxy_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

func TestLinesOfTheAccessLogAreRead(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"Istio's text format",
			`[2026-03-11T09:30:00.123Z] "GET /headers?a=b HTTP/1.1" 403 - rbac_access_denied_matched_policy[ns[foo]-policy[deny]-rule[1]] - "-" 0 19 1 - "10.0.0.9,10.1.1.1" "curl/8.0 (x y)" "0d7f" "httpbin.foo:8000" "-" inbound|8080|| - 10.88.0.2:8080 10.88.0.3:40512 outbound_.8000_._.httpbin.foo.svc.cluster.local -`,
			`GET "/headers?a=b" HTTP/1.1 403 host "httpbin.foo:8000" xff "10.0.0.9,10.1.1.1" 10.88.0.2:8080 10.88.0.3:40512 sni "outbound_.8000_._.httpbin.foo.svc.cluster.local" by AuthorizationPolicy foo/deny spec.rules[1]`},
		{"what kubectl logs puts in front",
			`istio-proxy [2026-03-11T09:30:00Z] "GET / HTTP/2" 401 - jwt_authn_access_denied{Jwt_is_expired} - "-" 0 14 0 - "-" "-" "-" "a" "-" - - 1.2.3.4:80 5.6.7.8:9 - -`,
			`GET "/" HTTP/2 401 host "a" xff "" 1.2.3.4:80 5.6.7.8:9 sni "" token Jwt is expired`},
		{"a format without details",
			`[2026-03-11T09:30:00Z] "POST /a HTTP/1.1" 403 - "-" 0 19 1 - "-" "ua" "id" "b" "-" - - 1.2.3.4:80 5.6.7.8:9 - -`,
			`POST "/a" HTTP/1.1 403 host "b" xff "" 1.2.3.4:80 5.6.7.8:9 sni ""`},
		{"no ALLOW policy matched",
			`[2026-03-11T09:30:00Z] "GET / HTTP/1.1" 403 - rbac_access_denied_matched_policy[none] - "-" 0 19 1 - "-" "ua" "id" "b" "-" - - 1.2.3.4:80 5.6.7.8:9 - -`,
			`GET "/" HTTP/1.1 403 host "b" xff "" 1.2.3.4:80 5.6.7.8:9 sni "" nobody allowed`},
		{"bytes that were denied",
			`[2026-03-11T09:30:00Z] "- - -" 0 - - rbac_access_denied_matched_policy[none] "-" 5 0 1 - "-" "-" "-" "-" "-" inbound|9000|| - 1.2.3.4:9000 5.6.7.8:9 - -`,
			`- "-" - 0 host "" xff "" 1.2.3.4:9000 5.6.7.8:9 sni "" nobody allowed`},
		{"JSON",
			`{"start_time":"2026-03-11T09:30:00.1Z","method":"GET","path":"/a?b","protocol":"HTTP/1.1","response_code":403,"response_flags":"-","response_code_details":"rbac_access_denied_matched_policy[none]","authority":"h","x_forwarded_for":"-","downstream_local_address":"1.2.3.4:80","downstream_remote_address":"5.6.7.8:9","requested_server_name":null}`,
			`GET "/a?b" HTTP/1.1 403 host "h" xff "" 1.2.3.4:80 5.6.7.8:9 sni "" nobody allowed`},
		// As the rig's Envoys have written them.
		{"a real denial",
			`[2026-11-26T11:13:10.463Z] "GET /anything/x?a=b HTTP/1.1" 403 - rbac_access_denied_matched_policy[ns[foo]-policy[live]-rule[0]] - "-" 0 19 0 - "-" "curl/7.88.1" "8453e9c9-1836-4e51-9fd2-9e1aa7ec4ae5" "httpbin.foo:8000" "-" inbound|8080|| - 10.88.0.3:8080 10.88.0.4:34064 outbound_.8000_._.httpbin.foo.svc.cluster.local default`,
			`GET "/anything/x?a=b" HTTP/1.1 403 host "httpbin.foo:8000" xff "" 10.88.0.3:8080 10.88.0.4:34064 sni "outbound_.8000_._.httpbin.foo.svc.cluster.local" by AuthorizationPolicy foo/live spec.rules[0]`},
		{"a real denial at a gateway",
			`[2026-11-26T11:14:19.373Z] "GET /gateway-log HTTP/1.1" 403 - rbac_access_denied_matched_policy[ns[istio-system]-policy[at-gateway]-rule[0]] - "-" 0 19 0 - "192.0.2.1,10.88.0.5" "curl/7.88.1" "89a5787c-0140-4729-afc9-147084c78db9" "istio-ingressgateway.istio-system" "-" outbound|8000||httpbin.foo.svc.cluster.local - 10.88.0.7:8080 10.88.0.5:41928 - -`,
			`GET "/gateway-log" HTTP/1.1 403 host "istio-ingressgateway.istio-system" xff "192.0.2.1,10.88.0.5" 10.88.0.7:8080 10.88.0.5:41928 sni "" by AuthorizationPolicy istio-system/at-gateway spec.rules[0]`},
		{"a real answer of the application",
			`[2026-11-26T11:22:41.690Z] "GET /anything/rights HTTP/1.1" 200 - via_upstream - "-" 0 712 0 0 "-" "curl/7.88.1" "29898f81-5ca5-4038-9217-d47ffca6abe4" "httpbin.foo:8000" "10.88.0.3:8080" inbound|8080|| 127.0.0.6:54400 10.88.0.3:8080 10.88.0.4:52528 outbound_.8000_._.httpbin.foo.svc.cluster.local default`,
			`GET "/anything/rights" HTTP/1.1 200 host "httpbin.foo:8000" xff "" 10.88.0.3:8080 10.88.0.4:52528 sni "outbound_.8000_._.httpbin.foo.svc.cluster.local"`},
		{"a real denial in JSON",
			`{"authority":"httpbin.foo:8000","bytes_received":0,"bytes_sent":19,"connection_termination_details":null,"downstream_local_address":"10.88.0.3:8080","downstream_remote_address":"10.88.0.4:52510","duration":0,"method":"GET","path":"/anything/format/json","protocol":"HTTP/1.1","request_id":"111cd762-5ab6-4d57-aafd-43b3a9f640b8","requested_server_name":"outbound_.8000_._.httpbin.foo.svc.cluster.local","response_code":403,"response_code_details":"rbac_access_denied_matched_policy[ns[foo]-policy[by-path]-rule[0]]","response_flags":"-","route_name":"default","start_time":"2026-11-26T11:22:39.088Z","upstream_cluster":"inbound|8080||","upstream_host":null,"upstream_local_address":null,"upstream_service_time":null,"upstream_transport_failure_reason":null,"user_agent":"curl/7.88.1","x_forwarded_for":null}`,
			`GET "/anything/format/json" HTTP/1.1 403 host "httpbin.foo:8000" xff "" 10.88.0.3:8080 10.88.0.4:52510 sni "outbound_.8000_._.httpbin.foo.svc.cluster.local" by AuthorizationPolicy foo/by-path spec.rules[0]`},
		{"a real debug line",
			"2026-11-26T11:22:38.035155Z\tdebug\tenvoy rbac source/extensions/filters/http/rbac/rbac_filter.cc:233\tenforced denied, matched policy ns[foo]-policy[live]-rule[0]\tthread=435",
			` "" 403 host "" xff "" invalid AddrPort invalid AddrPort sni "" by AuthorizationPolicy foo/live spec.rules[0]`},
		{"the debug line of an RBAC filter",
			`2026-03-11T09:30:00.1Z	debug	envoy rbac external/envoy/source/extensions/filters/http/rbac/rbac_filter.cc:211	enforced denied, matched policy ns[foo]-policy[deny]-rule[0]	thread=20`,
			` "" 403 host "" xff "" invalid AddrPort invalid AddrPort sni "" by AuthorizationPolicy foo/deny spec.rules[0]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := proxy.ParseLogLine(c.line)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %q %s %d host %q xff %q %s %s sni %q", l.Method, l.Path, l.Protocol, l.Status, l.Host, l.ForwardedFor, l.Local, l.Remote, l.ServerName)
			if l.Protocol == "" {
				got = fmt.Sprintf("%s %q %d host %q xff %q %s %s sni %q", l.Method, l.Path, l.Status, l.Host, l.ForwardedFor, l.Local, l.Remote, l.ServerName)
			}
			if d, ok := l.Decided(); ok {
				switch {
				case d.NoneAllowed:
					got += " nobody allowed"
				case d.Token != "":
					got += " token " + d.Token
				default:
					got += " by " + d.By.String()
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWhatIsNoLineOfALogIsRefused(t *testing.T) {
	for _, line := range []string{"", "hello", "[yesterday] \"GET / HTTP/1.1\" 200 - -", `[2026-03-11T09:30:00Z] "GET / HTTP/1.1" abc - -`, "[2026", `{"a": 1}`} {
		_, err := proxy.ParseLogLine(line)
		var wrong *proxy.NotALogLineError
		if !errors.As(err, &wrong) {
			t.Errorf("%q: got %v", line, err)
		}
	}
}

func TestOnlyWhatThisProxyRefusedIsADenial(t *testing.T) {
	const format = `[2026-03-11T09:30:00Z] "GET / HTTP/1.1" %s - "-" 0 19 1 - "-" "ua" "id" "b" %s - 1.2.3.4:80 5.6.7.8:9 - -`
	for line, want := range map[string]bool{
		fmt.Sprintf(format, `403 -`, `"-" inbound|8080||`):                                   true,
		fmt.Sprintf(format, `401 -`, `"-" outbound|80||h`):                                   true,
		fmt.Sprintf(format, `403 -`, `"9.9.9.9:80" outbound|80||h`):                          false,
		fmt.Sprintf(format, `404 -`, `"-" -`):                                                false,
		fmt.Sprintf(format, `403 - via_upstream -`, `"9.9.9.9:80" inbound|80||`):             false,
		fmt.Sprintf(format, `403 UAEX ext_authz_denied -`, `"-" inbound|80||`):               false,
		fmt.Sprintf(format, `401 - jwt_authn_access_denied{Jwt_is_missing} -`, `"-" -`):      true,
		"x\tdebug\trbac\tshadow denied, matched policy ns[a]-policy[b]-rule[0]\tthread=1":    false,
		"x\tdebug\trbac\tenforced denied, matched policy none\tthread=1":                     true,
		"x\tdebug\trbac\tenforced allowed, matched policy ns[a]-policy[b]-rule[0]\tthread=1": false,
	} {
		l, err := proxy.ParseLogLine(line)
		if err != nil || l.Denies() != want {
			t.Errorf("%s: %v, %v", line, l, err)
		}
	}
}
