package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// badPolicy is the head of a policy; what follows goes below spec.
const badPolicy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: foo}\nspec:\n"

// bombs are aliases of aliases: nine to the eighth of them in all.
func bombs(indent string) string {
	var out strings.Builder
	out.WriteString(indent + "a: &a [x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c <= 'i'; c++ {
		fmt.Fprintf(&out, "%s%c: &%c [%s]\n", indent, c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), ", "))
	}
	return out.String()
}

func inUTF16(text string) string {
	var out bytes.Buffer
	for _, unit := range utf16.Encode([]rune(text)) {
		out.Write([]byte{byte(unit), byte(unit >> 8)})
	}
	return out.String()
}

func TestBadInputIsRefusedWithItsPlaceAndAHint(t *testing.T) {
	tests := []struct {
		name, file, text string // the text of one more file
		problem, hint    string // what standard error has; the hint may be a part of it
	}{
		{"YAML that is cut off in a bracket", "x.yaml", badPolicy + "  rules: [{to: [{operation: {paths: [\"/a\"", "x.yaml:5: cannot be read as YAML: a bracket", "is the file whole?"},
		{"YAML that is cut off in a quote", "x.yaml", badPolicy + "  rules:\n  - to:\n    - operation:\n        paths: [\"/a", "x.yaml:8: cannot be read as YAML: a quote", "is the file whole?"},
		{"JSON that is cut off", "x.json", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"security.istio.io/v1"`, "x.json:1: cannot be read as JSON: unexpected end of input", "is the file whole?"},
		{"a misspelt field", "x.yaml", badPolicy + "  rules:\n  - to:\n    - operation:\n        path: [/a]\n", "x.yaml:8: AuthorizationPolicy foo/p: spec.rules[0].to[0].operation.path: is no field of the API", "did you mean paths?"},
		{"a misspelt value", "x.yaml", badPolicy + "  action: DENI\n", "x.yaml:5: AuthorizationPolicy foo/p: spec.action: has the unknown value \"DENI\"", "did you mean DENY?"},
		{"a value of another type", "x.yaml", badPolicy + "  rules: {to: x}\n", "x.yaml:5: AuthorizationPolicy foo/p: spec.rules: is a mapping where a list is wanted", "dash"},
		{"a bomb of aliases in an object", "x.yaml", badPolicy + bombs("  "), "x.yaml:1: has aliases (*name) that blow it up", "write the values out"},
		{"a bomb of aliases at the top", "x.yaml", bombs(""), "x.yaml:1: has aliases (*name) that blow it up", "write the values out"},
		{"an alias of itself", "x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: &a {b: *a}\n", "x.yaml:1: has aliases (*name)", "write the values out"},
		{"two objects of one name", "x.yaml", badPolicy + "  rules: [{}]\n---\n" + badPolicy + "  action: DENY\n", "x.yaml:7: AuthorizationPolicy foo/p: spec.action: is defined twice and differently, first at x.yaml:1", "keep one of the two"},
		{"a key that is given twice", "x.yaml", badPolicy + "  action: DENY\n  action: ALLOW\n", "x.yaml:6: AuthorizationPolicy foo/p: spec.action: is given twice, first on line 5", "keep one"},
		{"a key that is given twice in JSON", "x.json", `{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p"},"spec":{"action":"DENY","action":"ALLOW"}}`, "spec.action: is given twice", "keep one"},
		{"a binary file", "x.yaml", "\x7fELF\x02\x01\x01\x00\x00\x00", "x.yaml:1: is a binary file", "as text"},
		{"a NUL", "x.yaml", badPolicy + "  a\x00b: x\n", "x.yaml:5: is a binary file", "as text"},
		{"UTF-16", "x.yaml", "\xff\xfe" + inUTF16(badPolicy), "x.yaml: is text in UTF-16", "UTF-8"},
		{"UTF-16 without a mark", "x.yaml", inUTF16(badPolicy), "x.yaml: is text in UTF-16", "UTF-8"},
		{"Latin-1", "x.yaml", badPolicy + "  # caf\xe9 \n  rules: [{}]\n", "x.yaml:5: cannot be read as YAML: the line is not text in UTF-8", "UTF-8"},
		{"a control character", "x.yaml", badPolicy + "  rules: []\n  # \x01\n", "control character", "take it out"},
		{"a tab", "x.yaml", badPolicy + "\trules: []\n", "x.yaml:5: cannot be read as YAML: the line is indented with a tab", "blanks"},
		{"brackets without end", "x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: " + strings.Repeat("[", 100_000), "cannot be read as YAML: it has more than 10000 brackets", "manifest?"},
		{"brackets without end in JSON", "x.json", `{"apiVersion":"v1","kind":"ConfigMap","data":` + strings.Repeat("[", 1_000_000), "x.json:1: cannot be read as JSON", "brackets"},
		{"Lists without end", "x.json", strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 3000) + strings.Repeat("]}", 3000), "has more than 16 Lists in one another", "one List"},
		{"Lists without end in YAML", "x.yaml", strings.Repeat("{apiVersion: v1, kind: List, items: [", 300) + strings.Repeat("]}", 300), "has more than 16 Lists in one another", "one List"},
		{"a List whose items are a mapping", "x.yaml", "apiVersion: v1\nkind: List\nitems: {a: b}\n", "x.yaml:3: List: items: is a mapping where a list is wanted", "dash"},
		{"a List whose items are a mapping, in JSON", "x.json", "{\"apiVersion\": \"v1\", \"kind\": \"List\",\n\"items\": {\"a\": \"b\"}}", "x.json:2: List: items: is a mapping where a list is wanted", "dash"},
		{"a List with a misspelt key", "x.yaml", "apiVersion: v1\nkind: List\nitem:\n- a: b\n", "x.yaml:3: List: item: is no field of a List", "did you mean items?"},
		{"a List with a misspelt key in JSON", "x.json", `{"apiVersion": "v1", "kind": "List", "itmes": []}`, "x.json:1: List: itmes: is no field of a List", "did you mean items?"},
		{"a List without items", "x.yaml", "apiVersion: v1\nkind: List\n", "x.yaml:1: List: items: is missing", "below items"},
		{"an item that is no object", "x.yaml", "apiVersion: v1\nkind: List\nitems: [null]\n", "x.yaml:3: items[0]: is null, not a Kubernetes object", "whole object"},
		{"a List in a List with bad items", "x.yaml", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: 5}\n", "x.yaml:4: List: items: is a number where a list is wanted", "dash"},
		{"a second document behind a strange line break", "x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n# \u2028---\u2028kind: x\n", "x.yaml:1: has a second document behind an unusual line break", "usual line breaks"},
		{"text", "x.yaml", "<html><body>404</body></html>\n", "x.yaml:1: is text, not a Kubernetes object", "apiVersion and kind"},
		{"a template", "x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n", "x.yaml:4: ConfigMap: metadata.name", "helm template"},
		{"a name with an escape of the terminal's", "x.yaml", strings.Replace(badPolicy, "name: p", `name: "p\e[31m"`, 1) + "  ruels: []\n", `AuthorizationPolicy foo/p\x1b[31m: spec.ruels`, "did you mean rules?"},
		{"no name", "x.yaml", strings.Replace(badPolicy, "name: p, ", "", 1) + "  rules: []\n", "x.yaml:1: AuthorizationPolicy: metadata.name: is missing", "name"},
		{"no kind", "x.yaml", "apiVersion: security.istio.io/v1\nmetadata: {name: p}\n", "x.yaml:1: is no Kubernetes object: it has no kind", "values file"},
	}
	mesh := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(mesh, []byte(canaryMesh), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile(tt.file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			code, stdout, stderr := captured(t, "", nil, "why", "deploy/httpbin", "-n", "foo", "-f", mesh, "-f", tt.file)
			runtime.ReadMemStats(&after)
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d, standard output %q", code, stdout)
			}
			problem, hint, _ := strings.Cut(stderr, "\nhint: ")
			if !strings.HasPrefix(problem, "error: ") || !strings.Contains(problem, tt.problem) || !strings.Contains(hint, tt.hint) || strings.Count(stderr, "\n") != 2 {
				t.Errorf("got\n%swant %q and %q", stderr, tt.problem, tt.hint)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(64<<20+200*len(tt.text)) {
				t.Errorf("%d MiB were used for %d bytes", used>>20, len(tt.text))
			}
		})
	}
}

func TestUnusualButLegalInputIsReadAsItIs(t *testing.T) {
	deny := badPolicy + "  action: DENY\n  rules: [{}]\n"
	inList := "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSuffix(deny, "\n"), "\n", "\n  ") + "\n"
	for name, text := range map[string]string{
		"Windows' line ends":            strings.ReplaceAll(deny, "\n", "\r\n"),
		"old Macs' line ends":           strings.ReplaceAll("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n"+deny, "\n", "\r"),
		"a byte order mark":             "\ufeff" + deny,
		"a List in a List":              "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSuffix(inList, "\n"), "\n", "\n  ") + "\n",
		"an empty document in front":    "---\n---\n# nothing\n---\nnull\n---\n" + deny,
		"an alias that is used as such": badPolicy + "  action: &a DENY\n  rules: [{to: [{operation: {paths: [\"/*\"]}}]}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: &b x, b: *b}\n",
		"JSON in a .yaml":               `{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p","namespace":"foo"},"spec":{"action":"DENY","rules":[{}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for file, text := range map[string]string{"mesh.yaml": canaryMesh, "x.yaml": text} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, stdout, stderr := captured(t, "", nil, "why", "deploy/httpbin", "-n", "foo", "-f", "mesh.yaml", "-f", "x.yaml")
			if !strings.HasPrefix(stdout, "403 RBAC: access denied") || !strings.Contains(stdout, "foo/p (DENY)") || stderr != "" {
				t.Errorf("got %s%s", stdout, stderr)
			}
		})
	}
}

func TestFoldersAndFilesOfEveryKind(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"empty", "loop", "only", "policies"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	workload, _, _ := strings.Cut(canaryMesh, "---\napiVersion: security")
	for file, text := range map[string]string{
		"mesh.yaml": canaryMesh, "loop/mesh.yaml": canaryMesh, "only/mesh.yaml": workload, "policies/p.yaml": badPolicy + "  rules: [{}]\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"loop/again": "../loop", "self.yaml": "self.yaml"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"an empty folder", []string{"-f", "empty"}, exitUsage, "error: empty: is a folder without any .yaml, .yml or .json file\nhint: name a folder that has manifests\n"},
		{"a folder without the target", []string{"-f", "policies"}, exitUsage, "error: find deploy/httpbin: there is no Deployment at all among what was read\nhint: add its manifest, or name one of another type\n"},
		{"a folder without Istio's objects", []string{"-f", "only", "--plaintext"}, exitYes, "note: there is no object of Istio's among what was read, and so no policy to judge by\n"},
		{"a loop of folders", []string{"-f", "loop", "-R", "--plaintext", "--path", "/none"}, exitYes, ""},
		{"a link to itself", []string{"-f", "self.yaml"}, exitUsage, "error: self.yaml: is a link that leads back to itself\nhint: remove the link, or name the file that is meant\n"},
		{"a file that is not there", []string{"-f", "nope.yaml"}, exitUsage, "error: nope.yaml: does not exist\nhint: look at the spelling; relative names count from the folder that you are in\n"},
		{"a folder as a token", []string{"-f", "mesh.yaml", "--jwt-file", "only"}, exitUsage, "error: --jwt-file: read the token: is a directory\nhint: give the name of a file that can be read\n"},
		{"a token without end", []string{"-f", "mesh.yaml", "--jwt-file", "/dev/zero"}, exitUsage, "error: --jwt-file: the file is larger than any token, 1 MiB\nhint: give a file with nothing but the token\n"},
		{"keys without end", []string{"-f", "mesh.yaml", "--jwks", "x=/dev/zero"}, exitUsage, "error: --jwks: /dev/zero is larger than any key set, 16 MiB\nhint: give a file with a key set\n"},
		{"a target in another namespace", []string{"-f", "mesh.yaml", "-n", "bar"}, exitUsage, "error: find deploy/httpbin: no such Deployment in namespace bar\nhint: it exists in namespace foo: add -n foo\n"},
		{"a path with a control character", []string{"-f", "mesh.yaml", "--plaintext", "--path", "/a\x01b"}, exitNo, ""},
		{"a path with a line break", []string{"-f", "mesh.yaml", "--plaintext", "--path", "/a\nb"}, exitUsage, "error: the path has a blank or a line break in it\nhint: write a blank as %20\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"why", "deploy/httpbin", "-n", "foo"}, tt.args...)
			code, _, stderr := captured(t, "", nil, args...)
			if code != tt.code || stderr != tt.stderr {
				t.Errorf("exit code %d, standard error\n%swant %d and\n%s", code, stderr, tt.code, tt.stderr)
			}
		})
	}
	code, _, stderr := captured(t, "", nil, "why", "deploy/htpbin", "-n", "foo", "-f", "mesh.yaml")
	if code != exitUsage || !strings.HasSuffix(stderr, "\nhint: did you mean httpbin?\n") {
		t.Errorf("a misspelt target: %d %s", code, stderr)
	}
}

func TestHugeInputIsJudgedAsTheProxyWould(t *testing.T) {
	t.Chdir(t.TempDir())
	var keys []mint.Key
	for i := range 10_000 {
		keys = append(keys, mint.P256().WithKid(fmt.Sprint(i)))
	}
	token := mint.Token(mint.P256(), `{"alg":"ES256","kid":"9999"}`, `{"iss":"canary-issuer","sub":"me"}`)
	explodes := badPolicy + "  rules:\n  - when: [{key: \"request.headers[x-bad]\", values: [\"*a*a*a*a*a*a*a*a*a*a*a*a*b\"]}]\n" +
		"  - to: [{operation: {paths: [\"" + strings.Repeat("/{*}", 200) + "/{**}\"]}}]\n"
	for file, text := range map[string]string{
		"mesh.yaml": canaryMesh, "keys.json": string(mint.JWKS(keys...)), "token": token, "big": strings.Repeat("e", 1<<20), "bigger": strings.Repeat("e", 1<<20+1),
		"empty": "", "quoted": `"` + token + `"`, "explodes.yaml": explodes,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name        string
		args        []string
		code        int
		first, hint string // the first line of either stream, and the hint
	}{
		{"10,000 keys", []string{"--jwt-file", "token", "--jwks", "https://idp.example.com/keys=keys.json", "--path", "/none"}, exitYes, "200 allowed", ""},
		{"a token of 1 MiB", []string{"--jwt-file", "big"}, exitNo, "431 Request Header Fields Too Large", ""},
		{"a larger one", []string{"--jwt-file", "bigger"}, exitUsage, "error: --jwt-file: the file is larger than any token, 1 MiB", "nothing but the token"},
		{"an empty token", []string{"--jwt-file", "empty"}, exitUsage, "error: --jwt-file: it is empty", "needs no flag"},
		{"a token in quotes", []string{"--jwt-file", "quoted"}, exitUsage, "error: --jwt-file: the token has quotes in it", "jq -r"},
		{"patterns that explode elsewhere", []string{"-f", "explodes.yaml", "--path", strings.Repeat("/a", 5000), "-H", "x-bad: " + strings.Repeat("a", 40_000)}, exitYes, "200 allowed", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"why", "deploy/httpbin", "-n", "foo", "--plaintext", "-f", "mesh.yaml"}, tt.args...)
			code, stdout, stderr := captured(t, "", nil, args...)
			first, _, _ := strings.Cut(stdout+stderr, "\n")
			if code != tt.code || !strings.HasPrefix(first, tt.first) || !strings.Contains(stderr, tt.hint) {
				t.Errorf("exit code %d, %q, want %d, %q\n%s", code, first, tt.code, tt.first, stderr)
			}
		})
	}
}

func TestAnInterruptEndsTheWaitForAPipe(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := syscall.Mkfifo("pipe.yaml", 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	if err := os.WriteFile("mesh.yaml", []byte(canaryMesh), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a manifest": {"-f", "pipe.yaml"}, "a token": {"-f", "mesh.yaml", "--jwt-file", "pipe.yaml"}, "keys": {"-f", "mesh.yaml", "--jwks", "x=pipe.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var stdout, stderr bytes.Buffer
			done := make(chan int, 1)
			go func() {
				done <- Main(ctx, Process{
					Name: "kubectl-asmjwt", Args: append([]string{"why", "deploy/httpbin", "-n", "foo"}, args...), In: strings.NewReader(""), Out: &stdout, Err: &stderr,
					LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now,
				})
			}()
			cancel()
			if code := <-done; code != exitInterrupted || stderr.String() != "error: interrupted\n" || stdout.Len() > 0 {
				t.Errorf("exit code %d, %q on standard error, %q on standard output", code, stderr.String(), stdout.String())
			}
		})
	}
}
