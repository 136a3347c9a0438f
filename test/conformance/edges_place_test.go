package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// placeEdges are tokens in odd places, several of them, and in odd company.
func placeEdges() []edge {
	var out []edge
	good := token("")
	rules := []struct{ name, fields string }{
		{"default", ""}, {"default, forwarded", ", forwardOriginalToken: true"}, {"cookies", ", fromCookies: [tok, b]"}, {"all", ", fromCookies: [tok], fromParams: [t, access_token], fromHeaders: [{name: authorization, prefix: 'Bearer '}, {name: x-jwt}]"},
		{"all, forwarded", ", fromCookies: [tok], fromParams: [t], fromHeaders: [{name: authorization, prefix: 'Bearer '}, {name: x-jwt}], forwardOriginalToken: true"}, {"a blank prefix", ", fromHeaders: [{name: authorization, prefix: ' '}]"},
	}
	queries := []string{
		"?access_token={token:0}", "?access_token={token:0}&access_token={token:0}", "?access_token={token:0}&access_token=x", "?access_token=x&access_token={token:0}", "?access_token=&access_token={token:0}", "?&&access_token={token:0}&&", "?access_token={token:0}&", "??access_token={token:0}",
		"?a?access_token={token:0}", "?a=b?access_token={token:0}", "?a=%26x&access_token={token:0}", "?a=%23x&access_token={token:0}", "?a=%3f&access_token={token:0}", "?a=%3D&%3d=b&access_token={token:0}", "?a=%25&b=%2541&access_token={token:0}", "?a=%20b&access_token={token:0}", "?a=b%0d%0ax:%20y&access_token={token:0}",
		"?a=%0a&access_token={token:0}", "?a=%00&access_token={token:0}", "?a=%ff&access_token={token:0}", "?a=%c3%a9&access_token={token:0}", "?a=%7f&access_token={token:0}", "?a=+&access_token={token:0}", "?a=%zz%4&access_token={token:0}", "?z&y=&=x&=&access_token={token:0}&a", "?b=2&a=1&b=1&access_token={token:0}",
		"?access%5Ftoken={token:0}", "?%61ccess_token={token:0}", "?ACCESS_TOKEN={token:0}", "?access_token=%20{token:0}", "?access_token={token:0}%20", "?access_token={token:0}=", "?access_token={token:0}.", "?access_token=.{token:0}", "?access_token=Bearer%20{token:0}", "?access_token=%22{token:0}%22", "?access_token={token:0}#x", "#?access_token={token:0}",
		"?access_token={token:0};t=1", "?t=1;access_token={token:0}", "?access_token%00={token:0}", "?access_token[]={token:0}", "?access_token={token:0}&t={token:0}", "?t={token:0}&access_token=x", "/?access_token={token:0}", ";access_token={token:0}", "?access_token", "?access_token=%", "?access_token=%00{token:0}", "?access_token={token:0}%0a", "?%26=1&access_token={token:0}", "?a=1&%61=2&access_token={token:0}", "?A=1&b=2&_=3&access_token={token:0}",
	}
	for _, r := range rules {
		mesh := web(verified("r", "i", r.fields), policy("{rules: [{from: [{source: {requestPrincipals: ['i/s']}}], to: [{operation: {paths: ['/get*']}}]}]}"))
		for _, q := range queries {
			if !strings.HasPrefix(r.name, "default") && !strings.HasPrefix(r.name, "all") {
				continue
			}
			out = append(out, edge{name: r.name + ", query " + q, mesh: mesh, req: withToken(good, "/get"+q)}, edge{name: r.name + ", query " + q + " over HTTP/2", mesh: mesh, req: h2(withToken(good, "/get"+q))})
		}
		for _, lines := range [][]string{
			{"Authorization", "Bearer {token:0}", "Authorization", "Bearer {token:0}"}, {"Authorization", "Bearer {token:0}, Bearer {token:0}"}, {"Authorization", "Basic x, Bearer {token:0}"}, {"Authorization", "Bearer {token:0},"}, {"Authorization", "Bearer {token:0} x"}, {"Authorization", "Bearer  {token:0}"}, {"Authorization", "Bearer\t{token:0}"},
			{"Authorization", "bearer {token:0}"}, {"Authorization", "BEARER {token:0}"}, {"Authorization", "Bearer{token:0}"}, {"Authorization", "Bearer={token:0}"}, {"Authorization", `Bearer "{token:0}"`}, {"Authorization", "Bearer <{token:0}>"}, {"Authorization", "Bearer /{token:0}"}, {"Authorization", "Bearer ={token:0}"}, {"Authorization", "Bearer :{token:0}"}, {"Authorization", "Bearer é{token:0}"},
			{"Authorization", "xBearer {token:0}"}, {"Authorization", "Bearer Bearer {token:0}"}, {"Authorization", "Bearer .{token:0}."}, {"Authorization", "Bearer ...{token:0}"}, {"Authorization", "Bearer ~{token:0}~"}, {"Authorization", "Bearer {token:0}é"}, {"Authorization", "Bearer {token:0}\xff"}, {"Authorization", "Bearer"}, {"Authorization", ""}, {"Authorization", "Bearer !"}, {"Authorization", " Bearer {token:0}"},
			{"Authorization", "", "Authorization", "Bearer {token:0}"}, {"Authorization", "Bearer {token:0}", "Authorization", ""}, {"Authorization", "Bearer", "Authorization", "{token:0}"}, {"Authorization", "Bearer {token:0}", "X-Jwt", "x"}, {"Authorization", "Bearer {token:0}", "X-Jwt", "{token:0}"}, {"X-Jwt", "{token:0}", "X-Jwt", "{token:0}"}, {"X-Jwt", "{token:0}", "X-Jwt", ""}, {"X-Jwt", ""}, {"X-Jwt", " {token:0} "},
			{"Proxy-Authorization", "Bearer {token:0}"}, {"Connection", "authorization", "Authorization", "Bearer {token:0}"}, {"Connection", "x-jwt", "X-Jwt", "{token:0}"}, {"Connection", "cookie", "Cookie", "tok={token:0}"},
			{"Cookie", "tok={token:0}"}, {"Cookie", "tok={token:0}; tok=x"}, {"Cookie", "tok=x; tok={token:0}"}, {"Cookie", "tok={token:0}", "Cookie", "tok=x"}, {"Cookie", "tok=x", "Cookie", "tok={token:0}"}, {"Cookie", "a=1", "Cookie", "tok={token:0}"}, {"Cookie", `tok="{token:0}"`}, {"Cookie", `tok="{token:0}`}, {"Cookie", `tok={token:0}"`}, {"Cookie", `a="x; tok={token:0}"`}, {"Cookie", "tok= {token:0}"}, {"Cookie", "tok={token:0} "},
			{"Cookie", "tok={token:0} ; a=b"}, {"Cookie", "\ttok={token:0}"}, {"Cookie", "a=b;\ttok={token:0}"}, {"Cookie", "a=b;  tok={token:0}"}, {"Cookie", ";;tok={token:0};;"}, {"Cookie", "tok={token:0}=x"}, {"Cookie", "tok==x"}, {"Cookie", "=x; tok={token:0}"}, {"Cookie", "tok; tok={token:0}"}, {"Cookie", "tok=; tok={token:0}"}, {"Cookie", "TOK={token:0}"}, {"Cookie", "$Version=1; tok={token:0}; $Path=/"}, {"Cookie", "tok={token:0}, a=b"},
			{"Cookie", "b=x; tok={token:0}"}, {"Cookie", "b={token:0}; tok={token:0}"}, {"Cookie", `tok=""`}, {"Cookie", `tok="`}, {"Cookie", "tok=%65{token:0}"}, {"Cookie", "é=1; tok={token:0}"}, {"Cookie", "tok={token:0}", "Authorization", "Bearer x"}, {"Cookie", "tok={token:0}", "Authorization", "Bearer {token:0}"}, {"Cookie2", "tok={token:0}"}, {"Cookie", " tok={token:0}"}, {"Cookie", "tok\t={token:0}"},
		} {
			for _, v := range []func(judge.Request) judge.Request{func(r judge.Request) judge.Request { return r }, h2} {
				req := v(withToken(good, "", lines...))
				out = append(out, edge{name: fmt.Sprintf("%s, lines %q, HTTP/2 %v", r.name, lines, req.HTTP2), mesh: mesh, req: req})
			}
		}
		for _, m := range []string{"POST", "HEAD", "OPTIONS", "DELETE", "QUERY"} {
			req := withToken(good, "/get?access_token={token:0}&a=1", "Authorization", "Bearer {token:0}")
			req.Method = m
			out = append(out, edge{name: r.name + ", " + m, mesh: mesh, req: req})
			for _, lines := range [][]string{{"Origin", "a", "Access-Control-Request-Method", "GET"}, {"Origin", "a"}, {"Origin", " ", "Access-Control-Request-Method", "GET"}, {"Origin", "a", "Access-Control-Request-Method", ""}, {"Origin", "", "Origin", "a", "Access-Control-Request-Method", "", "Access-Control-Request-Method", "x"}} {
				bad := withToken(good, "", append([]string{"Authorization", "Bearer x"}, lines...)...)
				bad.Method = m
				out = append(out, edge{name: fmt.Sprintf("%s, %s %q and a bad token", r.name, m, lines), mesh: mesh, req: bad})
			}
		}
		req := withToken(good, "http://other.example/get?access_token={token:0}#x", "Authorization", "Bearer x")
		out = append(out, edge{name: r.name + ", an absolute target", mesh: mesh, req: req})
		large := token(`,"x":"` + strings.Repeat("x", 30<<10) + `"`)
		out = append(out, edge{name: r.name + ", a large token", mesh: mesh, req: withToken(large, "", "Authorization", "Bearer {token:0}", "Cookie", "tok=x")},
			edge{name: r.name + ", a large token in the path", mesh: mesh, req: withToken(large, "/get?access_token={token:0}")},
			edge{name: r.name + ", a large token over HTTP/2", mesh: mesh, req: h2(withToken(large, "", "Authorization", "Bearer {token:0}"))},
			edge{name: r.name + ", a large token twice", mesh: mesh, req: withToken(large, "/get?access_token={token:0}", "Authorization", "Bearer {token:0}")})
	}
	return out
}
