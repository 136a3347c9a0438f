package cmd

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// canaryMesh looks for tokens in every kind of place, and has conditions that show
// what a request brought for each.
const canaryMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: any, namespace: foo}
spec:
  jwtRules:
  - issuer: canary-issuer
    jwksUri: https://idp.example.com/keys
    fromHeaders: [{name: Authorization, prefix: "Bearer "}, {name: x-any}, {name: x-prefixed, prefix: "jwt "}]
    fromParams: [access_token, t]
    fromCookies: [session]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: shows, namespace: foo}
spec:
  rules:
  - to: [{operation: {paths: ["/none", "/{*}/none"]}}]
  - when: [{key: "request.headers[authorization]", values: ["none"]}]
  - when: [{key: "request.headers[x-any]", values: ["none"]}]
  - when: [{key: "request.headers[x-prefixed]", values: ["none"]}]
  - when: [{key: "request.headers[x-other]", values: ["none"]}]
  - when: [{key: "request.headers[cookie]", values: ["none"]}]
  - to: [{operation: {hosts: ["none"]}}]
  - to: [{operation: {methods: ["NONE"]}}]
`

// captured runs the program in this process and returns its exit code and all that it wrote.
func captured(t *testing.T, stdin string, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Main(t.Context(), Process{
		Name: "/usr/local/bin/kubectl-asmjwt", Args: args, In: strings.NewReader(stdin), Out: &out, Err: &err,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Environ: func() (out []string) {
			for name, value := range env {
				out = append(out, name+"="+value)
			}
			return out
		},
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) },
	})
	return code, out.String(), err.String()
}

// silent fails if any output has a piece of a secret. It does not print the output.
func silent(t *testing.T, secret, stdout, stderr string) {
	t.Helper()
	for name, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
		if got := leaks(text, secret); len(got) > 0 {
			t.Errorf("%s has %d pieces of the secret", name, len(got))
		}
	}
}

func TestNoSecretComesOutWhereverItWentIn(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	mesh := write("mesh.yaml", canaryMesh)

	for secretName, secret := range map[string]string{"a token": canary, "an opaque credential": opaque} {
		tokenFile := write("token-"+secretName, secret+"\n")
		env := map[string]string{"APP_JWT": secret}
		places := []struct {
			name  string
			stdin string
			args  []string
		}{
			{"Authorization", "", []string{"-H", "Authorization: Bearer " + secret}},
			{"Authorization, twice", "", []string{"-H", "Authorization: Bearer " + secret, "-H", "authorization: Bearer x" + secret}},
			{"a header that a rule names", "", []string{"-H", "X-Any: " + secret}},
			{"a header with a prefix", "", []string{"-H", "x-prefixed: jwt " + secret}},
			{"a cookie", "", []string{"-H", "Cookie: a=b; session=" + secret}},
			{"access_token", "", []string{"--path", "/x?access_token=" + secret}},
			{"a parameter that a rule names", "", []string{"--path", "/x?y=1&t=" + secret}},
			{"a URL", "", []string{"--url", "http://h/x?access_token=" + secret}},
			{"a file", "", []string{"--jwt-file", tokenFile}},
			{"standard input", secret + "\n", []string{"--jwt-file", "-"}},
			{"the environment", "", []string{"--jwt-env", "APP_JWT"}},
			{"a file, into a parameter", "", []string{"--jwt-file", tokenFile, "--jwt-in", "param:t"}},
			{"a file, into a parameter that no rule names", "", []string{"--jwt-file", tokenFile, "--jwt-in", "param:other"}},
			{"a file, into a cookie", "", []string{"--jwt-file", tokenFile, "--jwt-in", "cookie:session"}},
			{"a command of curl", "", []string{"--curl", "curl -v 'http://h/x' -H 'Authorization: Bearer " + secret + "'"}},
			{"a command of curl on standard input", "curl http://h/x -b 'session=" + secret + "'", []string{"--curl", "-"}},
			{"a bearer of curl's", "", []string{"--curl", "curl http://h/x --oauth2-bearer " + secret}},
			{"a password of curl's", "", []string{"--curl", "curl http://h/x -u 'u:" + secret + "'"}},
			{"a password in a URL of curl's", "", []string{"--curl", "curl http://u:" + url.PathEscape(secret) + "@h/x"}},
			{"the query of a URL of curl's", "", []string{"--curl", "curl -G http://h/x -d access_token=" + secret}},
			{"a variable in a command of curl", "", []string{"--curl", "T=" + secret + "; curl http://h/x -H \"x-any: $T\""}},
			{"a variable in a command of curl, from the environment", "", []string{"--curl", `curl http://h/x -H "X-Any: $APP_JWT"`, "--jwt-env", "APP_JWT"}},
			{"a variable in a command of curl, from a file", "", []string{"--curl", `curl http://h/x -H "Authorization: Bearer $T"`, "--jwt-file", tokenFile}},
			{"a body of curl's", "", []string{"--curl", "curl http://h/x -d token=" + secret}},
			{"kubectl's own token", "", []string{"--curl", "kubectl --token " + secret + " exec deploy/httpbin -- curl http://h/x"}},
			{"a command of curl in cmd", "", []string{"--curl", "curl ^\"http://h/x^\" -H ^\"Authorization: Bearer " + secret + "^\""}},
			{"what was seen of a request", "> GET / HTTP/1.1\n> Authorization: Bearer " + secret + "\n>\n< HTTP/1.1 200 OK\n<\nyou sent " + secret + "\n", []string{"--observed", "-"}},
			{"what was seen of a request with a token in its path", "> GET /?access_token=" + secret + " HTTP/1.1\n>\n< HTTP/1.1 200 OK\n<\n", []string{"--observed", "-"}},
			{"a file, into a header that no rule names", "", []string{"--jwt-file", tokenFile, "--jwt-in", "header:x-other:prefix-"}},
		}
		if secret == canary {
			places = append(places, []struct {
				name  string
				stdin string
				args  []string
			}{
				{"the path itself", "", []string{"--path", "/a/" + secret + "/b"}},
				{"a parameter that no rule names", "", []string{"--path", "/x?other=" + secret}},
				{"the host", "", []string{"--host", secret}},
				{"the method", "", []string{"--method", strings.ReplaceAll(secret, ".", "-")}},
				{"an answer that was seen", "", []string{"--observed", "403 " + secret}},
				{"headers that were seen", "HTTP/1.1 403 Forbidden\nserver: " + secret + "\ncontent-type: " + secret + "\n", []string{"--observed", "-"}},
				{"any header", "", []string{"-H", "x-other: " + secret}},
				{"a header's name", "", []string{"-H", secret + ": x"}},
				{"the server name", "", []string{"--sni", secret}},
				{"the principal", "", []string{"--from-principal", secret}},
			}...)
		}
		for _, place := range places {
			for _, form := range []string{"text", "wide", "json", "yaml", "quiet"} {
				t.Run(secretName+" in "+place.name+" as "+form, func(t *testing.T) {
					args := append([]string{"why", "deploy/httpbin", "-n", "foo", "-f", mesh, "-o", form, "-v=9"}, place.args...)
					if form == "quiet" {
						args[6], args[7] = "-q", "-q=true"
					}
					code, stdout, stderr := captured(t, place.stdin, env, args...)
					if code == exitUsage || len(stdout) == 0 {
						t.Fatalf("there was no answer to look at: exit code %d", code)
					}
					silent(t, secret, stdout, stderr)
				})
			}
		}
	}
}

// A fix writes into a manifest what the request has brought: never what is secret.
func TestNoSecretComesOutOfAFix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mesh.yaml")
	// No provider looks at anything, so that every rule gets its turn.
	mesh := canaryMesh[:strings.Index(canaryMesh, "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication")] +
		canaryMesh[strings.Index(canaryMesh, "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy"):]
	if err := os.WriteFile(file, []byte(mesh), 0o600); err != nil {
		t.Fatal(err)
	}
	manifests := 0
	for _, secret := range []string{canary, opaque} {
		for _, place := range [][]string{
			{"-H", "Authorization: Bearer " + secret}, {"-H", "X-Any: " + canary}, {"-H", "x-other: " + canary}, {"-H", "Cookie: session=" + secret},
			{"--path", "/x?access_token=" + secret}, {"--path", "/a/" + canary + "/b"}, {"--host", canary}, {"--from-principal", canary},
		} {
			for n := 1; n <= 6; n++ {
				args := append([]string{"why", "deploy/httpbin", "-n", "foo", "-f", file, "-o", "fix=" + strconv.Itoa(n)}, place...)
				code, stdout, stderr := captured(t, "", nil, args...)
				if code == exitYes {
					manifests++
				}
				silent(t, secret, stdout, stderr)
				silent(t, canary, stdout, stderr)
			}
		}
	}
	if manifests == 0 {
		t.Error("there was no manifest to look at")
	}
}

func TestNoSecretComesOutOfAnError(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	mesh := write("mesh.yaml", canaryMesh)
	why := func(args ...string) []string {
		return append([]string{"why", "deploy/httpbin", "-n", "foo", "-f", mesh, "-v=9"}, args...)
	}
	tests := []struct {
		name string
		args []string
	}{
		{"as a command", []string{canary}},
		{"as a code", []string{"explain", canary}},
		{"as the target", []string{"why", canary, "-f", mesh}},
		{"as the target's name", []string{"why", "deploy/" + canary, "-f", mesh}},
		{"as a second target", why(canary)},
		{"as a flag", why("--" + canary)},
		{"as a short flag", why("-" + canary)},
		{"as the value of --token", why("--token", canary)},
		{"as the value of --token=", why("--token=" + canary)},
		{"as a file of tokens", why("--jwt-file", canary)},
		{"as a variable", why("--jwt-env", canary)},
		{"as a place for tokens", why("--jwt-file", mesh, "--jwt-in", canary)},
		{"as a port", why("--port", canary)},
		{"as a time", why("--at", canary)},
		{"as an expectation", why("--expect", canary)},
		{"as the name of a change", why("--what-if", canary)},
		{"as what a change is made of", why("--what-if", write("change.yaml", canary))},
		{"in a change", why("--what-if", write("part.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shows, namespace: foo}\nspec: {"+canary+": 1}\n"))},
		{"as the number of a fix", why("-o", "fix="+canary)},
		{"as a form of output", why("-o", canary)},
		{"as a version of HTTP", why("--http", canary)},
		{"as a version of Istio", why("--proxy-version", canary)},
		{"as a caller", why("--from", canary)},
		{"as a caller's name", why("--from", "deploy/"+canary)},
		{"as an address", why("--from-ip", canary)},
		{"as keys", why("--jwks", canary)},
		{"as a file of keys", why("--jwks", "https://idp.example.com/keys="+canary)},
		{"as a header without a colon", why("-H", "Authorization "+canary)},
		{"as a URL", why("--url", canary)},
		{"as a user in a URL", why("--url", "http://u:"+canary+"@h/")},
		{"as a boolean", why("--plaintext=" + canary)},
		{"as a verbosity", []string{"why", "deploy/x", "-v", canary}},
		{"as a namespace", []string{"why", "deploy/httpbin", "-n", canary, "-f", mesh}},
		{"as a manifest", []string{"why", "deploy/httpbin", "-f", canary}},
		{"as a kustomization", []string{"why", "deploy/httpbin", "-k", canary}},
		{"as what was seen", why("--observed", canary)},
		{"as a command of curl", why("--curl", canary)},
		{"as an option of curl", why("--curl", "curl --"+canary+" http://h/")},
		{"as short options of curl", why("--curl", "curl -="+canary+" http://h/")},
		{"as the host of a URL of curl's", why("--curl", "curl 'http://"+canary+";/'")},
		{"as the scheme of a URL of curl's", why("--curl", "curl "+canary+"://h/")},
		{"as the name of a header of curl's", why("--curl", "curl -H '"+canary+" x: y' http://h/")},
		{"as a header of curl's that is two words", why("--curl", "curl http://h/ -H Authorization: Bearer "+canary)},
		{"as a variable's name", why("--curl", "curl http://h/ -H \"a: $"+canary+"\"")},
		{"as a user of curl's", why("--curl", "curl -u "+canary+" http://h/")},
		{"as a file of cookies", why("--curl", "curl -b "+canary+" http://h/")},
		{"in a quote that is not closed", why("--curl", "curl -H 'a: "+canary+" http://h/")},
		{"in a substitution", why("--curl", "curl http://h/ -H \"a: $(echo "+canary+")\"")},
		{"in a file with quotes", why("--jwt-file", write("quoted", `"`+canary+`"`))},
		{"in a file with Bearer", why("--jwt-file", write("bearer", "Bearer "+canary))},
		{"in a file with two lines", why("--jwt-file", write("lines", canary+"\n"+canary+"\n"))},
		{"in a manifest that is none", []string{"why", "deploy/httpbin", "-f", write("none.yaml", canary)}},
		{"in a broken manifest", []string{"why", "deploy/httpbin", "-f", write("broken.yaml", "kind: ["+canary+"\n")}},
		{"in a manifest's unknown field", []string{"why", "deploy/httpbin", "-n", "foo", "-f", mesh, "-f", write("field.yaml",
			"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: foo}\nspec: {"+canary+": x}\n")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := captured(t, "", nil, tt.args...)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			if stdout != "" || !strings.HasPrefix(stderr, "error: ") {
				t.Errorf("no error on standard error")
			}
			silent(t, canary, stdout, stderr)
		})
	}
}

func TestAnInterruptEndsTheWaitForStandardInput(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	never, _, err := os.Pipe() // nobody ever writes to it
	if err != nil {
		t.Fatal(err)
	}
	defer never.Close()
	var stdout, stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, Process{
			Name: "kubectl-asmjwt", Args: []string{"why", "deploy/x", "-f", "-"}, In: never, Out: &stdout, Err: &stderr,
			LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now,
		})
	}()
	cancel()
	if code := <-done; code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	if stderr.String() != "error: interrupted\n" || stdout.Len() > 0 {
		t.Errorf("got %q on standard error, %q on standard output", stderr.String(), stdout.String())
	}
}
