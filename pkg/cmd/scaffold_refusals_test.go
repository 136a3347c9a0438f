package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
)

// scaffoldMesh is a namespace with a bit of everything.
const scaffoldMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: ambient, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: captured, namespace: ambient}
spec:
  selector: {matchLabels: {app: captured}}
  template:
    metadata: {labels: {app: captured}}
    spec: {containers: [{name: app, image: example.com/app}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin, version: v1}}
  template:
    metadata: {labels: {app: httpbin, version: v1}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare, namespace: foo}
spec:
  selector: {matchLabels: {version: v1}}
  template:
    metadata: {labels: {version: v1}}
    spec: {containers: [{name: httpbin, image: example.com/httpbin, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: keys, namespace: foo}
spec:
  selector: {app: keys}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: theirs, namespace: foo}
spec:
  hosts: [half.example.com, plain.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: theirs, namespace: foo}
spec: {host: untls.example.com, trafficPolicy: {connectionPool: {http: {maxRetries: 1}}}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: taken, namespace: foo}
spec: {jwtRules: [{issuer: somebody, jwksUri: "https://else.example.com/keys"}]}
`

// inFolder writes files and goes where they are.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// keyFixtures are key sets with one thing wrong each.
func keyFixtures() map[string]string {
	good := string(mint.JWKS(mint.RSA().WithKid("good")))
	return map[string]string{
		"mesh.yaml":        scaffoldMesh,
		"good.json":        good,
		"ec.json":          string(mint.JWKS(mint.P256().WithKid("ec"))),
		"masked.json":      strings.Replace(good, `"n":"`, `"n":"xAE7****`, 1),
		"private.json":     strings.Replace(good, `"kty":"RSA"`, `"kty":"RSA","d":"Zm9vYmFyYmF6cXV4"`, 1),
		"secret.json":      `{"keys":[{"kty":"oct","kid":"s","k":"c2VjcmV0LW9mLXRoZS1jYW5hcnk"}]}`,
		"private.pem":      "-----BEGIN PRIVATE KEY-----\nZm9v\n-----END PRIVATE KEY-----\n",
		"page.json":        "\n<!DOCTYPE html><title>Sign in</title>",
		"text.json":        "hello",
		"empty.json":       " \n",
		"one.json":         `{"kty":"RSA","n":"x","e":"AQAB"}`,
		"list.json":        `[1]`,
		"nokeys.json":      `{"keys":{}}`,
		"none.json":        `{"keys":[]}`,
		"ignored.json":     strings.Replace(good, `"keys":[`, `"keys":["x",`, 1),
		"dropped.json":     strings.Replace(good, `"keys":[`, `"keys":[{"kty":"RSA","kid":"enc","alg":"RSA-OAEP","n":"AQAB","e":"AQAB"},`, 1),
		"placeholder.json": string(jwks.PublicOnlyPlaceholder()),
		"token.json":       canary,
		"large.json":       strings.Repeat(" ", 1<<20+1),
		"unknown.yaml":     "issuers:\n- issuer: x\n  jwksURL: y\n",
		"none.yaml":        "issuers: []\n",
		"both.yaml":        "issuers:\n- issuer: x\n  discover: true\n  jwksUri: https://x.example.com/\n",
		"token.yaml":       "issuers:\n- issuer: " + canary + "\n",
	}
}

const (
	uriFlags   = "--issuer https://idp.example.com --jwks-uri https://idp.example.com/keys"
	goodFlags  = "-l app=httpbin -n foo --issuer me --jwks-file good.json"
	whereFlags = "-l app=httpbin -n foo"
)

func TestEveryRefusalSaysWhyAndExitsWithTwo(t *testing.T) {
	inFolder(t, keyFixtures())
	for _, c := range []struct{ args, problem string }{
		// Keys and tokens.
		{whereFlags + " --issuer me --jwks-file masked.json", "a part of it is masked with ****"},
		{whereFlags + " --issuer me --jwks-file private.json", `key 0 (kid "good") has a private half (d)`},
		{whereFlags + " --issuer me --jwks-file private.pem", "it has a private key in it"},
		{whereFlags + " --issuer me --jwks-file secret.json", `key 0 (kid "s") is a shared secret`},
		{whereFlags + " --issuer me --jwks-file page.json", "it is HTML or XML, not JSON"},
		{whereFlags + " --issuer me --jwks-file text.json", "it is not a JSON object"},
		{whereFlags + " --issuer me --jwks-file token.json", "it is not a JSON object"},
		{whereFlags + " --issuer me --jwks-file list.json", "it is not a JSON object"},
		{whereFlags + " --issuer me --jwks-file empty.json", "it is empty"},
		{whereFlags + " --issuer me --jwks-file one.json", "it is one key, not a key set"},
		{whereFlags + " --issuer me --jwks-file nokeys.json", "it has no list of keys"},
		{whereFlags + " --issuer me --jwks-file none.json", "the proxy cannot use it"},
		{whereFlags + " --issuer me --jwks-file ignored.json", "key 0 is no JSON object"},
		{whereFlags + " --issuer me --jwks-file dropped.json", `key 0 (kid "enc"): the proxy drops it`},
		{whereFlags + " --issuer me --jwks-file placeholder.json", "it is the placeholder of a control plane"},
		{whereFlags + " --issuer me --jwks-file large.json", "larger than 1 MiB"},
		{whereFlags + " --issuer me --jwks-file missing.json", "open missing.json: no such file or directory"},
		{whereFlags + " --asm-version 1.12.4 --issuer me --jwks-file ec.json", "ASM knows RSA only before 1.13"},
		{whereFlags + " --issuer me", `there are no keys for the issuer "me"`},
		{whereFlags + " --issuer me --jwks-uri https://idp.example.com/ --jwks-file good.json", "there are both a jwksUri and keys"},
		{whereFlags + " --issuer me --discover --jwks-file good.json", "--discover, but the keys"},
		{whereFlags, "there is no issuer"},
		// Issuers and places of tokens.
		{whereFlags + " --jwks-file good.json --issuer tes****@secure.istio.io", "is masked with ****"},
		{whereFlags + " --jwks-file good.json --issuer 'two words'", "has a blank in it"},
		{whereFlags + " --jwks-file good.json --issuer ''", "--issuer is empty"},
		{whereFlags + " --jwks-file good.json --issuer https://<your-idp>/", `which stands for something that you know`},
		{whereFlags + " --jwks-file good.json --issuer me\x01", "a character that does not print"},
		{whereFlags + " --jwks-file good.json --issuer " + canary, "there is a token on the command line"},
		{goodFlags + " --audience 'a b'", `--audience "a b" has a blank in it`},
		{goodFlags + " --from-header 'no name'", "is no name of a header"},
		{goodFlags + " --from-cookie 'a=b'", "is no name of a cookie"},
		{goodFlags + " --from-param 'a b'", "--from-param"},
		{goodFlags + " --output-claim x-sub", "--output-claim"},
		{goodFlags + " --jwks-address 203.0.113.7", "are inline"},
		{goodFlags + " --ca /etc/ca.pem", "are inline"},
		{goodFlags + " --jwks-file good.json", "it is given twice for one issuer"},
		{whereFlags + " --jwks-file good.json", "but no --issuer"},
		{whereFlags + " --audience x --issuer a --jwks-file good.json --issuer b --jwks-file good.json", "a flag about one stands before the first"},
		{goodFlags + " --config none.yaml", "together"},
		{whereFlags + " --config unknown.yaml", "field jwksURL not found"},
		{whereFlags + " --config none.yaml", "there is no issuer in it"},
		{whereFlags + " --config both.yaml", "discover, but the keys"},
		{whereFlags + " --config token.yaml", "there is a token in it"},
		// Addresses of keys.
		{whereFlags + " --issuer me --jwks-uri http://idp.example.com/keys", "outside the mesh and without TLS"},
		{whereFlags + " --issuer me --jwks-uri <your-jwks-uri>", "which stands for something that you know"},
		{whereFlags + " --issuer me --jwks-uri http://11.11.XX.XX/keys", "which stands for something that you know"},
		{whereFlags + " --issuer me --jwks-uri idp.example.com/keys", "not an http or https URL"},
		{whereFlags + " --issuer me --jwks-uri https://u:p@idp.example.com/keys", "credentials"},
		{whereFlags + " --issuer me --jwks-uri https://idp.example.com/keys#x", "fragment"},
		{whereFlags + " --issuer me --jwks-uri https://idp.example.com:99999/keys", "no usable port"},
		{whereFlags + " --issuer me --jwks-uri https://127.0.0.1/keys", "on the machine of whoever fetches it"},
		{whereFlags + " --issuer me --jwks-uri https://localhost/keys", "on the machine of whoever fetches it"},
		{whereFlags + " --issuer me --jwks-uri http://169.254.169.254/keys", "link-local"},
		{whereFlags + " --issuer me --jwks-uri https://203.0.113.7/keys", "admission takes no address for the host of a ServiceEntry"},
		{whereFlags + " --issuer me --jwks-uri https://under_score.example.com/keys", "no host that a ServiceEntry can have"},
		{whereFlags + " --jwks-address x " + uriFlags, "not an IP address"},
		{whereFlags + " " + uriFlags + " --fetcher istiod --jwks-address 203.0.113.7", "it asks DNS"},
		{whereFlags + " " + uriFlags + " --fetcher istiod --ca /etc/ca.pem", "its authorities from its own configuration"},
		{whereFlags + " " + uriFlags + " --ca relative.pem", "neither a path nor a Secret"},
		{whereFlags + " " + uriFlags + " --ca secret:NO", "no name of a Secret"},
		{"--whole-namespace -n foo " + uriFlags + " --ca secret:ca", "not looked at by sidecars"},
		{whereFlags + " --insecure --issuer me --jwks-uri http://idp.example.com/keys --ca /etc/ca.pem", "has no TLS"},
		{whereFlags + " --issuer me --jwks-uri http://keys/ --ca /etc/ca.pem", "has no TLS"},
		{whereFlags + " --issuer me --jwks-uri http://keys/ --jwks-address 203.0.113.7", "is a Service of the mesh"},
		{whereFlags + " -f mesh.yaml --issuer me --jwks-uri http://keys/jwks", "has no port 80"},
		{whereFlags + " -f mesh.yaml --issuer me --jwks-uri https://half.example.com/keys", "but not its port 443"},
		{whereFlags + " -f mesh.yaml --issuer me --jwks-uri https://untls.example.com/keys", "has no TLS for port 443"},
		{whereFlags + " " + uriFlags + " --issuer b --jwks-uri https://idp.example.com:8443/keys", "at two ports"},
		{"--target-ref Service/x -n foo --fetcher envoy " + uriFlags, "a waypoint gets no cluster"},
		// Who needs a token.
		{goodFlags + " --require none --skip-path /x", "--require none says that nobody needs a token"},
		{goodFlags + " --skip-path /x --allow-path /y", "two ways for one thing"},
		{goodFlags + " --skip-path '/admin*'", "also /admin-and-more"},
		{goodFlags + " --allow-path '/admin*'", "also /admin-and-more"},
		{goodFlags + " --skip-path '*'", "every path"},
		{goodFlags + " --skip-path '/*'", "every path"},
		{goodFlags + " --skip-path '/{**}'", "every path"},
		{goodFlags + " --skip-path ''", "--skip-path is empty"},
		{goodFlags + " --skip-path health", "is no path"},
		{goodFlags + " --skip-path /a?b", "has a query"},
		{goodFlags + " --skip-path '/a b'", "no path has on the wire"},
		{goodFlags + " --skip-path /ä", "no path has on the wire"},
		{goodFlags + " --skip-path '*.css'", "whatever ends like that"},
		{goodFlags + " --skip-path '*a*'", "a star in the middle"},
		{goodFlags + " --skip-path '/a/*/b'", "a star in the middle"},
		{goodFlags + " --skip-path '/a*/*'", "a star in the middle"},
		{goodFlags + " --skip-path '/a/{**}/{*}'", "behind {**}"},
		{goodFlags + " --skip-path '/a{*}'", "not a whole segment"},
		{goodFlags + " --skip-path '/a/{x}'", "not a whole segment"},
		{goodFlags + " --skip-path /a/../b", "a dot segment"},
		{goodFlags + ` --skip-path '/a\b'`, "a backslash"},
		{goodFlags + " --skip-path /a//b", "two slashes"},
		{goodFlags + " --skip-path /%61", "has %61, which the proxy decodes"},
		{goodFlags + ` --skip-path '/a"b'`, `no request ever has the path "/a\"b"`},
		{goodFlags + " --claim groups", "not CLAIM=VALUE"},
		{goodFlags + " --claim =x", "no name of a claim"},
		{goodFlags + " --claim groups=", "an empty value"},
		{goodFlags + " --claim '[a][b'", "not [OUTER][INNER]=VALUE"},
		{goodFlags + " --claim a[b]=x", "a bracket in its name"},
		{goodFlags + " --claim groups=a*b", "a star that is a star"},
		{goodFlags + " --claim 'scope=read write'", "never matches"},
		{goodFlags + " --claim iss=other", "a token's issuer is what its rule is for"},
		{goodFlags + " --claim aud=x", "it has a flag of its own"},
		{goodFlags + " --claim exp=1", "it is a number"},
		{goodFlags + " --claim a=x --claim [a][b]=y", "a cannot be a text and hold a.b"},
		{goodFlags + " --no-sub --claim sub=x", "--no-sub, and --claim sub"},
		{goodFlags + " --allow-probes", "the health checks are not known"},
		// Where.
		{"-n foo --issuer me --jwks-file good.json", "what the policies should apply to is missing"},
		{goodFlags + " --whole-namespace", "two things at once"},
		{"deploy/nothere -n foo -f mesh.yaml --issuer me --jwks-file good.json", "no such Deployment"},
		{"deploy/bare -n foo -f mesh.yaml --issuer me --jwks-file good.json", "have no label that policies could select them by"},
		{"deploy/captured -n ambient -f mesh.yaml --issuer me --jwks-file good.json", "captured by ztunnel"},
		{"deploy/a deploy/b --issuer me --jwks-file good.json", "takes one TYPE/NAME"},
		{"httpbin --issuer me --jwks-file good.json", "has no type"},
		{"-l app -n foo --issuer me --jwks-file good.json", "no list of labels"},
		{"-l 'app in (a)' -n foo --issuer me --jwks-file good.json", "no list of labels"},
		{"-l app=a,app=b -n foo --issuer me --jwks-file good.json", `the label "app" twice`},
		{"-l app=a/b -n foo --issuer me --jwks-file good.json", `"app=a/b" is no label that a pod can have`},
		{"--gateway 'x y' --issuer me --jwks-file good.json", "is no label that a pod can have"},
		{"--target-ref Service/X_y -n foo --issuer me --jwks-file good.json", "no name that an object can have"},
		{"--whole-namespace -n istio-system --issuer me --jwks-file good.json", "is the root namespace"},
		{"--gateway nothere -n foo -f mesh.yaml --issuer me --jwks-file good.json", `there is no gateway "nothere"`},
		{"--target-ref Gateway -n foo --issuer me --jwks-file good.json", "not KIND/NAME"},
		{"--target-ref Pod/x -n foo --issuer me --jwks-file good.json", "policies attach to no Pod"},
		{"--target-ref GatewayClass/x -n istio-system --issuer me --jwks-file good.json", "no GatewayClass but istio-waypoint"},
		{"--target-ref GatewayClass/istio-waypoint -n foo --issuer me --jwks-file good.json", "counts in the root namespace"},
		// Versions.
		{whereFlags + " --asm-version 1.12.4 " + uriFlags, "a jwksUri needs ASM 1.13; the control plane is ASM 1.12.4"},
		{goodFlags + " --istio-version 1.20.3 --from-cookie t", "--from-cookie needs Istio 1.21.0; the control plane is Istio 1.20.3"},
		{goodFlags + " --istio-version 1.16.0 --output-claim x-sub=sub", "--output-claim needs Istio 1.17.0"},
		{goodFlags + " --istio-version 1.21.9 --skip-path '/a/{*}'", "a path with {*} or {**} needs Istio 1.22.0"},
		{"--target-ref Gateway/x -n foo --istio-version 1.19.0 --issuer me --jwks-file good.json", "needs Istio 1.20.0"},
		{"--target-ref Service/x -n foo --istio-version 1.21.0 --issuer me --jwks-file good.json", "needs Istio 1.22.0"},
		{"--target-ref ServiceEntry/x -n foo --istio-version 1.23.0 --issuer me --jwks-file good.json", "needs Istio 1.24.0"},
		{"--target-ref GatewayClass/istio-waypoint -n istio-system --istio-version 1.24.0 --issuer me --jwks-file good.json", "needs Istio 1.25.0"},
		{"--target-ref Gateway/x --target-ref Gateway/y -n foo --istio-version 1.21.0 --issuer me --jwks-file good.json", "more than one --target-ref needs Istio 1.22.0"},
		{whereFlags + " --istio-version 1.9.0 --fetcher envoy " + uriFlags, "--fetcher envoy needs Istio 1.10.0"},
		{goodFlags + " --istio-version 1.4.0", "RequestAuthentication needs Istio 1.5.0"},
		{goodFlags + " --istio-version 1.21-alpha.1 --from-cookie t", "is not known"},
		{goodFlags + " --istio-version latest", "not a version"},
		{goodFlags + " --istio-version 1.22.0 --asm-version 1.22.6", "together"},
		// Names and output.
		{"-l app=x -n No --issuer me --jwks-file good.json", "no name that a namespace can have"},
		{goodFlags + " --name No", "no name that an object can have"},
		{goodFlags + " --name ''", "--name is empty"},
		{goodFlags + " -f mesh.yaml --name taken", "RequestAuthentication foo/taken exists already, with other content (mesh.yaml:"},
		{goodFlags + " --dry-run=server", "--dry-run says how to apply, but nothing is applied"},
		{goodFlags + " --dry-run=maybe", "choose one of none, client, server"},
		{goodFlags + " --force-conflicts", "but nothing is applied"},
		{goodFlags + " --apply --output-dir out", "--apply and --output-dir together"},
		{goodFlags + " --apply -o json", "--apply prints what it applied"},
		{goodFlags + " --apply --field-manager ''", "--field-manager is empty"},
		{"deploy/httpbin -n foo --issuer me --jwks-file good.json --context a --context b", "takes one --context"},
		{"deploy/httpbin -n foo --issuer me --jwks-file good.json --kubeconfig missing", "missing"},
		{goodFlags + " --kustomization", "needs a folder"},
		{goodFlags + " --output-dir out -o json", "--output-dir writes YAML"},
		{goodFlags + " -o text", "choose one of yaml, json"},
		{goodFlags + " -f mesh.yaml -k dir", "-f and -k together"},
		{goodFlags + " -R", "-R says how to read -f"},
		{goodFlags + " -f missing.yaml", "missing.yaml"},
		{goodFlags + " --at yesterday", "not a time of RFC 3339"},
		{whereFlags + " --issuer me --jwks-file - -f -", "standard input can be read once only"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := captured(t, "", nil, append([]string{"scaffold"}, words(t, c.args)...)...)
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d, standard output %q", code, stdout)
			}
			first, rest, _ := strings.Cut(stderr, "\n")
			if !strings.HasPrefix(first, "error: ") || !strings.Contains(first, c.problem) {
				t.Errorf("got %q, want %q in it", first, c.problem)
			}
			if !strings.HasPrefix(rest, "hint: ") {
				t.Errorf("there is no hint: %q", stderr)
			}
			for _, secret := range []string{"Zm9vYmFyYmF6cXV4", "c2VjcmV0LW9mLXRoZS1jYW5hcnk", ":p@"} {
				if strings.Contains(stderr, secret) {
					t.Errorf("a secret comes out")
				}
			}
			silent(t, canary, stdout, stderr)
		})
	}
}

// words splits a command line at blanks outside of single quotes.
func words(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	var word strings.Builder
	inWord, quoted := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, inWord = !quoted, true
		case r == ' ' && !quoted:
			if inWord {
				out = append(out, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		out = append(out, word.String())
	}
	return out
}
