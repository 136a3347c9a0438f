package gen

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

func TestWriteFolder_ThatTheCaseIsReadAgainAsItWas(t *testing.T) {
	g := New(11)
	for range 60 {
		for _, c := range g.Requests(g.Mesh(), 3) {
			c.Request.Headers = append(c.Request.Headers, judge.Header{Name: "raw", Value: "a\xffé\xc3"})
			dir := t.TempDir()
			if err := WriteFolder(dir, c, judge.Answer{Time: 1800000000, Status: 200}, judge.Answer{Status: 403}); err != nil {
				t.Fatal(err)
			}
			got, err := ReadCase(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.JWKS) == 0 {
				c.JWKS = nil
			}
			if len(c.Request.Tokens) == 0 {
				c.Request.Tokens = nil
			}
			if len(got.Request.Tokens) == 0 {
				got.Request.Tokens = nil
			}
			if !reflect.DeepEqual(got, c) {
				t.Fatalf("%s came back changed", c.Name)
			}
		}
	}
}

func TestWriteFolder_ThatTheFilesOfTheCommandLineAreThere(t *testing.T) {
	dir := t.TempDir()
	c := largeCase()
	if err := WriteFolder(dir, c, judge.Answer{Time: 1800000000, Status: 403, Details: "d"}, judge.Answer{Closed: true}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mesh.yaml", "token-0.jwt", "token-1.jwt", "jwks-0.json", "jwks-1.json", "README.txt", "case.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`details "d"`, "closed", "spiffe://b"} {
		if !strings.Contains(string(readme), want) {
			t.Errorf("README.txt does not say %q", want)
		}
	}
}

func TestCommand_ThatItAsksWhatTheCaseAsks(t *testing.T) {
	base := judge.Case{Target: "deploy/httpbin", Namespace: "foo", Port: 8080, Request: judge.Request{Method: "GET", Host: "h", Path: "/"}}
	head := "kubectl asmjwt why deploy/httpbin -n foo -f mesh.yaml --port 8080 --method GET --host h --path / --http 1.1"
	tail := " --plaintext --from-ip 127.0.0.1 --at 2027-01-15T08:00:00Z"
	with := func(change func(c *judge.Case)) judge.Case { c := base; change(&c); return c }
	token := []judge.Token{{Raw: "x"}}
	for name, c := range map[string]struct {
		c    judge.Case
		want string
	}{
		"a plain request": {base, head + tail},
		"a token in its usual place": {with(func(c *judge.Case) {
			c.Request.Tokens = token
			c.Request.Headers = []judge.Header{{Name: "x", Value: "it's"}, {Name: "Authorization", Value: "Bearer {token:0}"}}
		}), head + ` -H 'x: it'\''s' --jwt-file token-0.jwt` + tail},
		"a token in another place": {with(func(c *judge.Case) {
			c.Request.Tokens = token
			c.Request.Headers = []judge.Header{{Name: "x", Value: "$a {token:0}"}}
		}), head + ` -H "x: \$a $(cat token-0.jwt)"` + tail},
		"bytes that no terminal shows": {with(func(c *judge.Case) { c.Request.Headers = []judge.Header{{Name: "x", Value: "\xff'"}} }),
			head + ` -H $'x: \xff\''` + tail},
		"an identity": {with(func(c *judge.Case) {
			c.Request.Client = judge.Client{Transport: "mtls", URISANs: []string{"spiffe://a/b"}, SNI: "s", Source: "127.0.0.2"}
		}), head + " --from-principal spiffe://a/b --from-ip 127.0.0.2 --sni s --at 2027-01-15T08:00:00Z"},
		"keys behind a URI": {with(func(c *judge.Case) { c.JWKS = map[string]string{"https://k": "{}"}; c.RemoteJWKS = "hybrid" }),
			strings.Replace(head, " --port", " -f istiod.yaml --port", 1) + " --plaintext --from-ip 127.0.0.1 --jwks https://k=jwks-0.json --at 2027-01-15T08:00:00Z"},
		"HTTP/2": {with(func(c *judge.Case) { c.Request.HTTP2 = true }), strings.Replace(head, "1.1", "2", 1) + tail},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Command(c.c, 1800000000); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestReadCase_ThatWhatIsNoCaseIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadCase(dir); err == nil {
		t.Error("an empty folder is read without an error")
	}
	for _, text := range []string{"{", "{}"} {
		if err := os.WriteFile(filepath.Join(dir, "case.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCase(dir); err == nil {
			t.Errorf("%q is read without an error", text)
		}
	}
}
