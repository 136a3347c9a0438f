package envoy

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

func TestRepliesHaveTheFormThatTheClientReads(t *testing.T) {
	grpc, headRequest := header("Content-Type", "application/grpc"), method("HEAD")
	noHost := authority("")
	jwtFilter, denyAll := jwtAuthn(provider("i")), deny(always)
	junk := header("Authorization", "Bearer junk")
	for _, c := range []struct {
		name    string
		filters []Filter
		request *Request
		status  int
		grpc    int // -1: not gRPC
		body    string
	}{
		{"RBAC", []Filter{denyAll}, plain(), 403, -1, rbacBody},
		{"RBAC for gRPC", []Filter{denyAll}, with(grpc), 200, 7, rbacBody},
		{"RBAC for HEAD", []Filter{denyAll}, with(headRequest), 403, -1, ""},
		{"RBAC for gRPC with HEAD", []Filter{denyAll}, with(headRequest, grpc), 200, 7, ""},
		{"JWT", []Filter{jwtFilter}, with(junk), 401, -1, jwt.BadFormat.String()},
		{"JWT for gRPC", []Filter{jwtFilter}, with(junk, grpc), 200, 16, jwt.BadFormat.String()},
		{"JWT for HEAD", []Filter{jwtFilter}, with(junk, headRequest), 401, -1, ""},
		{"no host", nil, with(noHost), 400, -1, ""},
		{"no host for gRPC", nil, with(noHost, grpc), 200, 13, ""},
		{"no path for gRPC", nil, with(method("OPTIONS"), path("*"), grpc), 200, 12, ""},
		{"the codec does not know gRPC", nil, with(method("get"), grpc), 400, -1, "Bad Request"},
		{"nor a body for HEAD", nil, with(headRequest, path("/\xff")), 400, -1, ""},
		{"a reset has no status", nil, with(http2, header("connection", "x")), 0, -1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Evaluate(permissive(c.filters...), c.request, testKeys(t)).Verdict
			code := -1
			if v.GRPCStatus != nil {
				code = *v.GRPCStatus
			}
			if v.Decision != Denied || v.Status != c.status || code != c.grpc || v.Body != c.body {
				t.Errorf("got %d, grpc %d, %q", v.Status, code, v.Body)
			}
		})
	}
}

func TestHTTPStatusesBecomeThoseOfGRPC(t *testing.T) {
	for http, want := range map[int]int{400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 307: 2, 500: 2} {
		if got := grpcStatus(http); got != want {
			t.Errorf("%d: got %d, want %d", http, got, want)
		}
	}
}

func TestFiltersRunInTheirOrderAndTheFirstReplyCounts(t *testing.T) {
	junk := header("Authorization", "Bearer junk")
	for _, c := range []struct {
		name    string
		filters []Filter
		request *Request
		details string
	}{
		{"JWT before RBAC", []Filter{jwtAuthn(provider("i")), deny(always)}, with(junk), "jwt_authn_access_denied{" + underscored(jwt.BadFormat.String()) + "}"},
		{"DENY before ALLOW", []Filter{deny(named("d", always)), allow()}, plain(), "rbac_access_denied_matched_policy[d]"},
		{"a CUSTOM policy without authorizer before JWT", []Filter{&RBAC{Action: Deny, Custom: true, Rules: &RuleSet{Policies: []Policy{named("c", always)}}}, jwtAuthn(provider("i"))},
			with(junk), "rbac_access_denied_matched_policy[c]"},
		{"nothing in the way", []Filter{jwtAuthn(provider("i")), deny(), allow(always)}, plain(), "via_upstream"},
		{"no filter at all", nil, plain(), "via_upstream"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if v := Evaluate(permissive(c.filters...), c.request, testKeys(t)).Verdict; v.Details != c.details {
				t.Errorf("got %s, want %s", v.Details, c.details)
			}
		})
	}
}

func TestTheApplicationGetsWhatTheFiltersLeave(t *testing.T) {
	p := permissive(jwtAuthn(provider("i", outputs(ClaimHeader{"x-sub", "sub"}))))
	tr := Evaluate(p, with(path("/a/../b?x=1"), header("X-A", "1"), bearer(`"iss":"i","sub":"s"`)), testKeys(t))
	if tr.Upstream == nil {
		t.Fatal("it gets nothing")
	}
	got := map[string]string{}
	for _, h := range tr.Upstream.Headers {
		got[h.Name] = h.Value
	}
	if tr.Upstream.Path != "/b?x=1" || tr.Upstream.Method != "GET" || tr.Upstream.Authority != "a.test" || got["x-a"] != "1" || got["x-sub"] != "s" {
		t.Errorf("it gets %s %s%s", tr.Upstream.Method, tr.Upstream.Authority, tr.Upstream.Path)
	}
	if _, there := got["authorization"]; there {
		t.Error("the token is there")
	}
	if len(tr.Upstream.Unknown) != 1 || tr.Upstream.Unknown[0] != "x-request-id" {
		t.Errorf("unknown are %v", tr.Upstream.Unknown)
	}
}

func TestAControlCharacterFromAClaimCannotBeSentOn(t *testing.T) {
	p := permissive(jwtAuthn(provider("i", outputs(ClaimHeader{"x-sub", "sub"}))))
	v := Evaluate(p, with(bearer(`"iss":"i","sub":"a\nb"`)), testKeys(t)).Verdict
	if v.Status != 503 || v.Details != "filter_removed_required_request_headers{invalid_header_value_for:_x-sub}" {
		t.Errorf("got %d %s", v.Status, v.Details)
	}
}

func TestEvaluatingChangesNeitherRequestNorProxy(t *testing.T) {
	r := with(header("Authorization", "Bearer "+token(`"iss":"i"`)), header("X-A", "1"), header("x-a", "2"), path("/x/../y?access_token"))
	before := *r
	headers := append([]Header(nil), r.Headers...)
	p := permissive(jwtAuthn(provider("i")), deny(onAdmin), allow(always))
	first, second := Evaluate(p, r, testKeys(t)), Evaluate(p, r, testKeys(t))
	if r.Path != before.Path || r.Method != before.Method || len(r.Headers) != len(headers) {
		t.Error("the request changed")
	}
	for i := range headers {
		if r.Headers[i] != headers[i] {
			t.Error("a header changed")
		}
	}
	if first.Verdict.Details != second.Verdict.Details || first.Branches != second.Branches || len(first.Steps) != len(second.Steps) {
		t.Error("the second answer differs")
	}
}
