package conformance

import (
	"fmt"
	"strconv"
	"strings"
)

// whenPolicy is a policy with one condition; key and value may have any character.
func whenPolicy(action, key, field, value string) string {
	return policy(fmt.Sprintf("{action: %s, rules: [{when: [{key: %s, %s: [%s]}]}]}", action, strconv.Quote(key), field, strconv.Quote(value)))
}

// keyEdges are keys of when whose names in brackets are odd.
func keyEdges() []edge {
	var out []edge
	good := token(`,"a":{"b":"v","":"v","b ":"v"},"":{"a":"v"},"a.b":"v","a][b":"v","[a":"v","a]":"v","[a][b]":"v","[a]":"v","é":"v","a\nb":"v","b":"v"," a":"v","a] [b":"v","A":"v","a][":"v","][a":"v"`)
	bearer := withToken(good, "", "Authorization", "Bearer {token:0}")
	for _, key := range []string{
		"[a][b]", "[a][]", "[][a]", "[]", "[a] [b]", "[a]b", "b[a]", "[a][b", "[a.b]", "[[a][b]]", "[[a]]", "[a]]", "[[a]", "[é]", "[a\nb]", "[ a]", "[a][b ]", "[a][b][c]", "[A]", "[a][", "][a]", "[", "]", "", " [a]", "[a][[b]]", "[a\x00b]", "[" + strings.Repeat("a", 3000) + "]",
	} {
		for _, field := range []string{"values", "notValues"} {
			for _, action := range []string{"ALLOW", "DENY"} {
				out = append(out, edge{name: fmt.Sprintf("%s, claims%q %s", action, key, field), req: bearer,
					mesh: web(verified("r", "i", ""), whenPolicy(action, "request.auth.claims"+key, field, "v"))})
			}
		}
	}
	headers := with("x-key", "v", "X-a][b", "v", "k", "v", "x", "v")
	for _, key := range []string{
		"[x-key]", "[X-KEY]", "[x-\u212aey]", "[\u212a]", "[x-Key ]", "[a\nb]", "[a\rb]", "[a\x00b]", "[é]", "[[x]]", "[x]y]", "[]]", "[[]", "[][x]", "[x][x]", "[:]", "[:foo]", "[:status]", "[:protocol]", "[Host]", "[:Authority]", "[:METHOD]",
		"[", "]", "", "x[x]", " [x]", "[x] ", "[" + strings.Repeat("x", 3000) + "]",
	} {
		for _, field := range []string{"values", "notValues"} {
			for _, action := range []string{"ALLOW", "DENY"} {
				out = append(out, edge{name: fmt.Sprintf("%s, headers%q %s", action, key, field), req: headers,
					mesh: web(whenPolicy(action, "request.headers"+key, field, "v"))})
			}
		}
	}
	for _, key := range []string{"http.jwt_authn[payload]", "http.jwt_authn[]", "[x]", "a[]", "", "[]", "a", "a]", "[", "]", "a[b][c]", "a[b]]", "a [b]", "http.jwt_authn[payload][sub]", "http.jwt_authn[payload", "a\nb[c]"} {
		for _, field := range []string{"values", "notValues"} {
			for _, action := range []string{"ALLOW", "DENY"} {
				out = append(out, edge{name: fmt.Sprintf("%s, filters.%q %s", action, key, field), req: bearer,
					mesh: web(verified("r", "i", ""), whenPolicy(action, "experimental.envoy.filters."+key, field, "v"))})
			}
		}
	}
	for _, value := range []string{"[]", "[", "]", "[[allowed]]", "[allowed", "allowed", "*", "[*]", "**", "", "allow*", "*owed"} {
		for _, field := range []string{"values", "notValues"} {
			out = append(out, edge{name: fmt.Sprintf("what a dry run wrote, %s %q", field, value), req: with(),
				mesh: web(policyNamed("dry", "istio.io/dry-run: 'true'", "{action: DENY, rules: [{to: [{operation: {paths: ['/x']}}]}]}"),
					whenPolicy("ALLOW", "experimental.envoy.filters.http.rbac[istio_dry_run_deny_shadow_engine_result]", field, value))})
		}
	}
	return out
}

// policyNamed is a policy with an annotation.
func policyNamed(name, annotation, spec string) string {
	return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + name + ", namespace: foo, annotations: {" + annotation + "}}\nspec: " + spec
}

// textEdges are values with letters that are not ASCII, and with control characters, on
// either side of a comparison.
func textEdges() []edge {
	var out []edge
	values := []string{"v", "*", "v*", "*v", "v\nw", "é", "É", "é*", "*é", "e\u0301", "\u212a", "k", "K", "\U0001f600", "\U0001f600*", "v\x00", "v\x00*", "\ufeffv", " ", "\u00a0", "v.w", ".+", "v|w", "\\*", "*\\", "v\u2028"}
	claims := []string{`"v"`, `"v\nw"`, `"\n"`, `"é"`, `"É"`, `"e\u0301"`, `"\u00e9"`, `"\u212a"`, `"k"`, `"\ud83d\ude00"`, `"\ud83d\ude00x"`, `"v\u0000"`, `"v\u0000w"`, `"\ufeffv"`, `"\u00a0"`, `" "`, `"vxw"`, `["\n","v"]`, `["\n"]`, `"*"`, `"\\"`, `"v\r"`, `"v\u2028"`}
	for _, key := range []string{"request.auth.claims[c]", "request.auth.presenter", "request.auth.claims[scope]"} {
		for _, value := range values {
			mesh := web(verified("r", "i", ""), whenPolicy("ALLOW", key, "values", value))
			for _, claim := range claims {
				name := map[string]string{"request.auth.presenter": "azp", "request.auth.claims[scope]": "scope"}[key]
				if name == "" {
					name = "c"
				}
				out = append(out, edge{name: fmt.Sprintf("%s %q, claim %s", key, value, claim), mesh: mesh, req: withToken(token(`,"`+name+`":`+claim), "", "Authorization", "Bearer {token:0}")})
			}
		}
	}
	for _, value := range []string{"*", "i/*", "i/é", "*/s\nt", "*t", "i/s*", "\u212a/*", "i/\U0001f600", "i/ ", "i/s\u0000", "é/*"} {
		mesh := web(verified("r", "", ""), policy("{rules: [{from: [{source: {requestPrincipals: ["+strconv.Quote(value)+"]}}]}]}"))
		for _, payload := range []string{`"iss":"i","sub":"s"`, `"iss":"i","sub":"s\nt"`, `"iss":"i\n","sub":"s"`, `"iss":"i","sub":"é"`, `"iss":"i","sub":"\ud83d\ude00"`, `"iss":"i","sub":" "`, `"iss":"k","sub":"s"`, `"iss":"\u212a","sub":"s"`, `"iss":"i","sub":"s\u0000"`, `"iss":"é","sub":"s"`, `"iss":"","sub":"s"`, `"sub":"s"`} {
			t := token("")
			t.Payload = "{" + payload + "}"
			out = append(out, edge{name: fmt.Sprintf("requestPrincipals %q, %s", value, payload), mesh: mesh, req: withToken(t, "", "Authorization", "Bearer {token:0}")})
		}
	}
	for _, value := range []string{"é", "*", "é*", "*é", "\u00c3*", "v*", "*\u00a9"} {
		mesh := web(denyHeader("x-text", value))
		for _, sent := range []string{"é", "\xe9", "\xc3", "vé", "v\xe9", "\xa9", "É", "v\tw", ""} {
			out = append(out, edge{name: fmt.Sprintf("header value %q, sent %q", value, sent), mesh: mesh, req: with("x-text", sent)},
				edge{name: fmt.Sprintf("header value %q, sent %q over HTTP/2", value, sent), mesh: mesh, req: h2(with("x-text", sent))})
		}
	}
	return out
}
