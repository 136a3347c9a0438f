package cmd

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func TestTheTokenOfAFileIsAllButItsLastLineBreak(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"as it is", "aaa.bbb.ccc", "aaa.bbb.ccc"},
		{"with LF", "aaa.bbb.ccc\n", "aaa.bbb.ccc"},
		{"with CRLF", "aaa.bbb.ccc\r\n", "aaa.bbb.ccc"},
		{"what is no token is still sent", "a=b+c/d", "a=b+c/d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cleanToken(tt.file, "--jwt-file")
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestATokenWithMoreAroundItIsRefusedWithAHint(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"empty file", "", "--jwt-file: it is empty"},
		{"a line break alone", "\n", "--jwt-file: it is empty"},
		{"quotes", `"aaa.bbb.ccc"`, "--jwt-file: the token has quotes in it"},
		{"Bearer", "Bearer aaa.bbb.ccc\n", `--jwt-file: it has more than the token: it begins with "Bearer"`},
		{"a header line", "authorization: bearer x", `--jwt-file: it has more than the token: it begins with "author"`},
		{"two line breaks", "aaa.bbb.ccc\n\n", "--jwt-file: the token has a blank or a line break in it"},
		{"CR without LF", "aaa.bbb.ccc\r", "--jwt-file: the token has a blank or a line break in it"},
		{"a leading blank", " aaa.bbb.ccc", "--jwt-file: the token has a blank or a line break in it"},
		{"a byte order mark", "\ufeffaaa.bbb.ccc", "--jwt-file: the token has bytes that no token has"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := cleanToken(tt.file, "--jwt-file")
			wantUsage(t, err, tt.want)
		})
	}
}

func TestTheTokenGoesWhereJwtInSays(t *testing.T) {
	const token = "a.b+c"
	tests := []struct {
		name, in, path string
		headers        []envoy.Header
		wantPath       string
	}{
		{"by default after Bearer", "", "/", []envoy.Header{{Name: "Authorization", Value: "Bearer a.b+c"}}, "/"},
		{"in a header of its own", "header:x-jwt", "/", []envoy.Header{{Name: "x-jwt", Value: "a.b+c"}}, "/"},
		{"behind a prefix that has a colon", "header:x-jwt:jwt: ", "/", []envoy.Header{{Name: "x-jwt", Value: "jwt: a.b+c"}}, "/"},
		{"in a cookie", "cookie:session", "/", []envoy.Header{{Name: "Cookie", Value: "session=a.b+c"}}, "/"},
		{"as the first parameter, in a form that Envoy decodes", "param:access_token", "/p", nil, "/p?access_token=a.b%2Bc"},
		{"as one more parameter", "param:t", "/p?x=1", nil, "/p?x=1&t=a.b%2Bc"},
		{"in front of a fragment", "param:t", "/p#f?g", nil, "/p?t=a.b%2Bc#f?g"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := (&tokenFlags{in: tt.in}).place()
			if err != nil {
				t.Fatal(err)
			}
			r := envoy.Request{Path: tt.path}
			p.putInto(&r, token)
			if r.Path != tt.wantPath || !reflect.DeepEqual(r.Headers, tt.headers) {
				t.Errorf("got %q %+v", r.Path, r.Headers)
			}
		})
	}
}

func TestTokenFlagsThatMakeNoSenseAreUsageErrorsWithAHint(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"file and variable", []string{"--jwt-file", "a", "--jwt-env", "B"}, "--jwt-file and --jwt-env together"},
		{"a place without a token", []string{"--jwt-in", "param:t"}, "--jwt-in says where a token goes, but there is none"},
		{"no file name", []string{"--jwt-file", ""}, "--jwt-file is empty"},
		{"an unknown place", []string{"--jwt-file", "a", "--jwt-in", "body:x"}, "--jwt-in is neither a header, a parameter nor a cookie"},
		{"a place without a name", []string{"--jwt-file", "a", "--jwt-in", "cookie:"}, "--jwt-in has no usable name"},
		{"a header that HTTP does not allow", []string{"--jwt-file", "a", "--jwt-in", "header:a b"}, "--jwt-in has no usable name"},
		{"a prefix with a line break", []string{"--jwt-file", "a", "--jwt-in", "header:a:b\n"}, "--jwt-in has a line break in its prefix"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, given, err := parseWhy(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			wantUsage(t, f.token.validate(given), tt.want)
		})
	}
}

func TestTheTokenIsReadFromFileStandardInputOrEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from.the.file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"file", []string{"--jwt-file", file}, "from.the.file"},
		{"standard input", []string{"--jwt-file", "-"}, "from.standard.input"},
		{"environment", []string{"--jwt-env", "APP_JWT"}, "from.the.environment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &app{secrets: &secrets{}, Process: Process{
				In:        strings.NewReader("from.standard.input\r\n"),
				LookupEnv: func(name string) (string, bool) { return "from.the.environment", name == "APP_JWT" },
			}}
			f, given, err := parseWhy(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			got, ok, err := f.token.read(a, given)
			if err != nil || !ok || got != tt.want {
				t.Errorf("got %q, %v, %v", got, ok, err)
			}
			if redacted := a.secrets.redact("x " + tt.want + " y"); strings.Contains(redacted, tt.want) {
				t.Errorf("the token is not kept secret: %q", redacted)
			}
		})
	}
}

func TestATokenThatCannotBeReadIsAnErrorThatDoesNotRepeatTheName(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxToken+1), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no such file", []string{"--jwt-file", filepath.Join(dir, "missing")}, "--jwt-file: open the file: no such file or directory"},
		{"a folder", []string{"--jwt-file", dir}, "--jwt-file: read the token: is a directory"},
		{"a large file", []string{"--jwt-file", big}, "--jwt-file: the file is larger than any token, 1 MiB"},
		{"no such variable", []string{"--jwt-env", "MISSING"}, "--jwt-env: there is no such variable in the environment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &app{secrets: &secrets{}, Process: Process{LookupEnv: func(string) (string, bool) { return "", false }}}
			f, given, err := parseWhy(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = f.token.read(a, given)
			wantUsage(t, err, tt.want)
		})
	}
}
