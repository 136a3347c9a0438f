package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// tokenEdges are headers and payloads that are odd JSON, or that say odd things.
func tokenEdges() []edge {
	var out []edge
	mesh := web(verified("r", "i", ", audiences: [a, 'https://b/']"), policy("{rules: [{from: [{source: {requestPrincipals: ['i/*', 'i/']}}]}, {when: [{key: 'request.auth.claims[x]', values: ['*']}]}]}"))
	add := func(name string, t judge.Token) {
		out = append(out, edge{name: "token " + name, mesh: mesh, req: withToken(t, "", "Authorization", "Bearer {token:0}")})
	}
	for _, header := range []string{
		`"crit":["b64"],"b64":false`, `"b64":false`, `"crit":[]`, `"zip":"DEF"`, `"jwk":{"kty":"oct","k":"YQ"}`, `"jku":"https://x"`, `"x5c":["AA"]`, `"enc":"A128GCM"`, `"typ":1`, `"cty":"JWT"`, `"kid":"a\u0000"`, `"kid":"\u0061"`, `"kid":"a","kid":"a"`, `"kid":""`, `"kid":" a"`, `"KID":"b"`, `"a":{"alg":"none"}`, `"alg.x":1`, `"alg":"RS256"`,
	} {
		t := token(`,"aud":"a"`)
		t.Header = `{"alg":"RS256",` + header + `}`
		add("header "+header, t)
	}
	for _, alg := range []string{`"RS256\u0000"`, `"\u0052S256"`, `"RS256\n"`, `" RS256"`, `"PS384"`, `"HS256"`, `"ES256"`, `"EdDSA"`, `"eddsa"`, `"RS1"`, `"none"`, `["RS256"]`, `{"RS256":1}`, `null`} {
		t := token(`,"aud":"a"`)
		t.Header = `{"alg":` + alg + `}`
		add("alg "+alg, t)
	}
	for _, members := range []string{
		`"aud":"a"`, `"aud":["a"]`, `"aud":["x","a"]`, `"aud":[]`, `"aud":""`, `"aud":[""]`, `"aud":"A"`, `"aud":"a/"`, `"aud":"a//"`, `"aud":"http://a"`, `"aud":"https://a/"`, `"aud":"https://https://a"`, `"aud":"b"`, `"aud":"http://b"`, `"aud":"a "`, `"aud":["a",1]`, `"aud":["a",null]`, `"aud":["a",["a"]]`, `"aud":{"a":1}`, `"aud":1`, `"aud":null`, `"aud":true`, `"aud":"a,b"`, `"aud":"a b"`, `"aud":["a","a"]`, `"aud":"\u0061"`, `"aud":"a\u0000"`, `"aud":"/a"`, `"aud":"http:/a"`, `"aud":"ftp://a"`, `"aud":"http://"`,
	} {
		t := token("")
		t.Payload = `{"iss":"i","sub":"s",` + members + `}`
		add(members, t)
	}
	for _, value := range []string{
		"{now-61}", "{now-60}", "{now-59}", "{now}", "{now+60}", "{now+61}", "{now-60}.999", "{now-61}.999", "{now+60}.001", "{now+60}.999", "{now+61}.0", "{now-60}e0", "{now}000", "0", "-0", "0.9", "0.0", "-0.0", "1e-400", "-1e-400", "1", "1e9", "1e10", "1E+18", "9007199254740992", "9223372036854775807", "9223372036854775808", "18446744073709551614", "18446744073709551615", "18446744073709550591", "18446744073709549568", "1e19", "1.8e19", "1.9e19", "1e308", "1e309", "-1", "-1e-9", "\"{now}\"", "[{now}]", "true", "{}", "null", "99999999999999999999999999999999",
	} {
		for _, name := range []string{"exp", "nbf", "iat"} {
			t := token("")
			t.Payload = `{"iss":"i","sub":"s","aud":"a","` + name + `":` + value + `}`
			add(name+" "+value, t)
		}
	}
	for _, payload := range []string{
		`{"iss":"i","aud":"a"}`, `{"iss":"i","aud":"a","sub":""}`, `{"iss":"i","aud":"a","sub":"a/b"}`, `{"iss":"\u0069","aud":"a","sub":"s"}`, `{"\u0069ss":"i","aud":"a","sub":"s"}`, `{"iss":"i","iss":"i","aud":"a"}`, `{"iss":"i","aud":"a","x":{"y":1,"y":1}}`, `{"iss":"i","aud":"a","x":"v","X":"w"}`, `{"iss":"i ","aud":"a"}`, `{"iss":"i\u0000","aud":"a"}`, `{"ISS":"i","aud":"a"}`, `{"aud":"a"}`, `{"iss":"","aud":"a"}`, `{"iss":["i"],"aud":"a"}`, `{"iss":{"i":1},"aud":"a"}`, `{"iss":null,"aud":"a"}`,
		`{"iss":"i","aud":"a","sub":1}`, `{"iss":"i","aud":"a","sub":null}`, `{"iss":"i","aud":"a","jti":1}`, `{"iss":"i","aud":"a","jti":""}`, `{"iss":"i","aud":"a","jti":null,"exp":1}`, `{"iss":"i","aud":"a","nbf":"x","exp":"x","iat":"x"}`, `{"iss":1,"sub":1,"aud":1}`, `{"iss":"i","aud":"a","x":["a",1,null,{"b":"c"},[1]]}`, `{"iss":"i","aud":"a","x":[[["v"]]]}`, `{"iss":"i","aud":"a","x":"` + strings.Repeat("v", 4000) + `"}`, `{"iss":"i","aud":"a","":"","x":" "}`, "{}", "[]", `""`, "null", " { \"iss\" : \"i\" ,\t\"aud\"\r\n:\"a\" , \"sub\":\"s\"} ",
		`{"iss":"i","aud":"a","x":1e2}`, `{"iss":"i","aud":"a","x":"a` + "\u2028" + `b"}`, `{"iss":"i","aud":"a","x":"a` + "\n" + `b"}`, `{"iss":"i","aud":"a","x":"` + "\xff" + `"}`, `{"iss":"i","aud":"a","x":"\ud800"}`, `{"iss":"i","aud":"a","x":"\ud83d \ude00"}`, `{"iss":"i","aud":"a","x":"\ud83d\ude00"}`, `{"iss":"i","aud":"a","\ud83d\ude00":"x"}`, `{"iss":"i","aud":"a","fields":{"x":"y"}}`, `{"fields":{"iss":"i","aud":"a"}}`, `{"iss":"i","aud":"a","@type":"type.googleapis.com/google.protobuf.Struct"}`, `{"@type":"x","iss":"i","aud":"a","sub":"s"}`,
		`{"iss":"i","aud":"a","sub":"s","exp":{now-61},"nbf":{now+61}}`, `{"iss":"j","aud":"z","exp":1}`, `{"iss":"i","aud":"z","exp":1}`, `{"iss":"i","aud":"z","nbf":{now+99}}`, `{"iss":"i","aud":"a","sub":"s","realm_access":{"roles":["x"]},"resource.access":{"a.b":["x"]}}`,
	} {
		t := token("")
		t.Payload = payload
		add(fmt.Sprintf("payload %.90q", payload), t)
	}
	for _, f := range []string{"{h}.{p}.{s}.", ".{h}.{p}.{s}", "{h}..{p}..{s}", "{h}.{p}.{s}..", "{h}.{p}.{s}=", "{h}.{p}.{s}==", "{h}.{p}.{s}===", "{h}=.{p}.{s}", "{h}.{p}==.{s}", "{h}.{p}.{s}%3D", "{h}.{p}.{s}\t", "{h}.{p}.{s}\tx", "{h}.{p}. {s}", "{h} .{p}.{s}", "{h}.{p}.{s}\x0b", "{h}.{p}.{s}\xc2\xa0", "{h}.{p}.{s}\xc2\x85", "{h}.{p}.{s},{h}.{p}.{s}", "{h}.{p}.{s};", "{h}.{p}.{s}~x.y.z", "{h}.{p}.{s}~", "{h}.{p}.", "{h}.{p}", "{h}.{h}.{s}", "{p}.{h}.{s}", "{h}.{p}.{p}", "{h}.{p}.{s}\"", "{h}.{p}.-", "{h}.{p}._-", "{h}.{p}.A", "{h}.{p}.AA", "{h}.{p}.AAA", "{h}.{p}.AAAA", "{h}.{p}.{s}{s}"} {
		t := token(`,"aud":"a"`)
		t.Form = f
		add(fmt.Sprintf("form %q", f), t)
		bare := web(verified("r", "i", ", fromHeaders: [{name: x-jwt}]"), policy("{rules: [{from: [{source: {requestPrincipals: ['i/*']}}]}]}"))
		out = append(out, edge{name: fmt.Sprintf("a bare form %q", f), mesh: bare, req: withToken(t, "", "x-jwt", "{token:0}")}, edge{name: fmt.Sprintf("a bare form %q over HTTP/2", f), mesh: bare, req: h2(withToken(t, "", "x-jwt", "{token:0}"))})
	}
	return out
}
