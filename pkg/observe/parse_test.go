package observe

import (
	"errors"
	"testing"
)

func code(n int) *int { return &n }

func TestAnAnswerIsFoundInWhateverWasSeen(t *testing.T) {
	const headers = "content-length: 19\r\ncontent-type: text/plain\r\nserver: istio-envoy\r\n"
	tests := []struct {
		name, text string
		want       Answer // without headers and request
		headers    int
		sent       string // "METHOD PATH HOST", of the request that was seen
	}{
		{"a status", "403", Answer{Status: 403}, 0, ""},
		{"a status and a body", "403 RBAC: access denied", Answer{Status: 403, Body: rbacBody, BodyKnown: true}, 0, ""},
		{"with a colon", "401: Jwt is expired\n", Answer{Status: 401, Body: "Jwt is expired", BodyKnown: true}, 0, ""},
		{"with HTTP in front", "HTTP 403", Answer{Status: 403}, 0, ""},
		{"a reason phrase is no body", "403 Forbidden", Answer{Status: 403}, 0, ""},
		{"a body alone, by policy", "RBAC: access denied", Answer{Status: 403, Body: rbacBody, BodyKnown: true}, 0, ""},
		{"a body alone, by token", "Jwt is missing", Answer{Status: 401, Body: "Jwt is missing", BodyKnown: true}, 0, ""},
		{"a body alone, by audience", "Audiences in Jwt are not allowed", Answer{Status: 403, Body: "Audiences in Jwt are not allowed", BodyKnown: true}, 0, ""},
		{"a body with what -w writes behind it", "RBAC: access denied403", Answer{Status: 403, Body: rbacBody, BodyKnown: true}, 0, ""},
		{"a body with what -w writes on the next line", "{\"a\": 1}\n200\n", Answer{Status: 200, Body: "{\"a\": 1}", BodyKnown: true}, 0, ""},
		{"an application's body", "403 {\"error\": \"no\"}", Answer{Status: 403, Body: "{\"error\": \"no\"}", BodyKnown: true}, 0, ""},
		{"closed", "closed", Answer{}, 0, ""},
		{"what -w writes without an answer", "000", Answer{}, 0, ""},
		{"a reset", "curl: (56) Recv failure: Connection reset by peer", Answer{}, 0, ""},
		{"an empty reply", "* Empty reply\ncurl: (52) Empty reply from server", Answer{}, 0, ""},
		{"no connection", "curl: (7) Failed to connect to h port 80", Answer{Unreachable: true}, 0, ""},
		{"gRPC in short", "grpc:7 RBAC: access denied", Answer{Status: 200, GRPCStatus: code(7), Body: rbacBody, BodyKnown: true}, 0, ""},
		{"gRPC by grpcurl", "ERROR:\n  Code: Unauthenticated\n  Message: Jwt is missing\n", Answer{Status: 200, GRPCStatus: code(16), Body: "Jwt is missing", BodyKnown: true}, 0, ""},
		{"curl -i", "HTTP/1.1 403 Forbidden\r\n" + headers + "\r\nRBAC: access denied", Answer{Status: 403, Body: rbacBody, BodyKnown: true, HeadersKnown: true}, 3, ""},
		{"curl -i with HTTP/2", "HTTP/2 403 \r\n" + headers + "\r\nRBAC: access denied\n", Answer{Status: 403, Body: rbacBody, BodyKnown: true, HeadersKnown: true}, 3, ""},
		{"curl -I has no body", "HTTP/1.1 403 Forbidden\r\n" + headers + "\r\n", Answer{Status: 403, HeadersKnown: true}, 3, ""},
		{"an empty body is known", "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", Answer{Status: 403, BodyKnown: true, HeadersKnown: true}, 1, ""},
		{"a status line alone", "HTTP/1.1 301 Moved Permanently", Answer{Status: 301}, 0, ""},
		{"after 100 Continue", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\na: b\r\n\r\nok", Answer{Status: 200, Body: "ok", BodyKnown: true, HeadersKnown: true}, 1, ""},
		{"after a prompt line", "$ curl -i http://h\nHTTP/1.1 404 Not Found\r\na: b\r\n\r\n", Answer{Status: 404, HeadersKnown: true}, 1, ""},
		{"gRPC in headers", "HTTP/2 200 \r\ngrpc-status: 7\r\ngrpc-message: RBAC%3A access denied\r\n\r\n", Answer{Status: 200, GRPCStatus: code(7), Body: rbacBody, BodyKnown: true, HeadersKnown: true}, 2, ""},
		{
			"curl -v", "*   Trying 10.0.0.1:80...\n* Connected to h (10.0.0.1) port 80 (#0)\n> GET /x?y=1 HTTP/1.1\n> Host: h:8000\n> Authorization: Bearer z\n> \n" +
				"< HTTP/1.1 403 Forbidden\n< content-length: 19\n< server: envoy\n< \n{ [19 bytes data]\nRBAC: access denied* Connection #0 to host h left intact\n",
			Answer{Status: 403, Body: rbacBody, BodyKnown: true, HeadersKnown: true}, 2, "GET /x?y=1 h:8000",
		},
		{
			"curl -v with the progress meter and a redirect", "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n" +
				"\n  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0\n> GET /a HTTP/1.1\n> Host: h\n>\n< HTTP/1.1 302 Found\n< location: /b\n<\n" +
				"* Issue another request to this URL\n> GET /b HTTP/1.1\n> Host: h\n>\n< HTTP/1.1 401 Unauthorized\n< a: b\n<\nJwt is expired\n100    14  100    14    0     0   1234      0 --:--:-- --:--:-- --:--:--  1400\n",
			Answer{Status: 401, Body: "Jwt is expired", BodyKnown: true, HeadersKnown: true}, 1, "GET /b h",
		},
		{
			"Istio's access log", `2026-01-01T00:00:00Z [2026-01-01T10:00:00.123Z] "GET /x HTTP/1.1" 403 - rbac_access_denied_matched_policy[none] - "-" 0 19 0 - "-" "curl/8" "id" "h" "-" inbound|8080|| - 10.0.0.1:8080 10.0.0.2:1 - -`,
			Answer{Status: 403, Flags: "-", Details: "rbac_access_denied_matched_policy[none]"}, 0, "GET /x ",
		},
		{
			"an access log in JSON", `{"response_code":401,"response_code_details":"jwt_authn_access_denied{Jwt_is_expired}","response_flags":"-","method":"GET","path":"/x","authority":"h"}`,
			Answer{Status: 401, Flags: "-", Details: "jwt_authn_access_denied{Jwt_is_expired}"}, 0, "GET /x h",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Headers) != tt.headers {
				t.Errorf("%d headers, want %d", len(got.Headers), tt.headers)
			}
			sent := ""
			if got.Request != nil {
				sent = got.Request.Method + " " + got.Request.Path + " " + got.Request.Host
			}
			if sent != tt.sent {
				t.Errorf("the request is %q, want %q", sent, tt.sent)
			}
			if (got.GRPCStatus == nil) != (tt.want.GRPCStatus == nil) || got.GRPCStatus != nil && *got.GRPCStatus != *tt.want.GRPCStatus {
				t.Errorf("grpc-status %v", got.GRPCStatus)
			}
			got.Headers, got.Request, got.GRPCStatus, tt.want.GRPCStatus = nil, nil, nil, nil
			if got.String() != tt.want.String() || got.BodyKnown != tt.want.BodyKnown || got.Body != tt.want.Body || got.Flags != tt.want.Flags ||
				got.HeadersKnown != tt.want.HeadersKnown || got.Unreachable != tt.want.Unreachable {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	for _, text := range []string{"", " \n", "it does not work", "999", "600 x", "{}", "[1, 2]", "\x00\x01"} {
		_, err := Parse(text)
		var refused *Error
		if !errors.As(err, &refused) || refused.HintLine() == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add("HTTP/1.1 403 Forbidden\r\ncontent-length: 19\r\n\r\nRBAC: access denied")
	f.Add("> GET / HTTP/1.1\n< HTTP/1.1 200 OK\n<\nx")
	f.Add("grpc:7 x")
	f.Add("curl: (56) x")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err == nil && (a.Status < 0 || a.Status > 999 || a.String() == "") {
			t.Errorf("%+v", a)
		}
	})
}
