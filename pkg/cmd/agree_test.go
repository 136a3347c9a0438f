package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/tcases"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

const agreeAt = 1_800_000_000

// A folder that a failing pair is written to asks the same question on the command
// line: flags and files lead to the verdict that the evaluator gives of the case.
func TestTheCommandLineAsksWhatACaseAsks(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the command lines are written for bash")
	}
	var cases []judge.Case
	for _, c := range tcases.All() {
		cases = append(cases, c.Case)
	}
	const meshes, requests = 40, 6
	g := gen.New(20261124)
	for range meshes {
		cases = append(cases, g.Requests(g.Mesh(), requests)...)
	}
	asked, remote := 0, 0
	for _, c := range cases {
		if cannotBeSaid(c) {
			continue
		}
		asked++
		if c.RemoteJWKS != "" {
			remote++
		}
		t.Run(c.Name, func(t *testing.T) { askBoth(t, c) })
	}
	if least := len(cases) / 2; asked < least {
		t.Errorf("only %d of %d cases can be asked on the command line", asked, len(cases))
	}
	if remote == 0 {
		t.Error("no case has proxies that fetch the keys")
	}
}

var keyURIs = regexp.MustCompile(`jwksUri: ["']?([^"'\s,}]+)`)

// cannotBeSaid is true of what no flag says: other names in the certificate, TLS
// that is not Istio's or names no server, whether a fetch fails, and what the flags refuse.
func cannotBeSaid(c judge.Case) bool {
	cl := c.Request.Client
	if cl.Transport == "tls" || cl.Untrusted || len(cl.URISANs) > 1 || len(cl.DNSSANs) > 0 || cl.CommonName != "" {
		return true
	}
	if cl.Transport == "mtls" && cl.SNI == "" && strings.Contains(c.Mesh, "connection.sni") {
		return true // clients of the mesh always name one
	}
	r, err := c.Request.Mint(agreeAt, mint.Sign)
	if err != nil || r.Path == "" || strings.ContainsAny(r.Path, " \t\r\n") || strings.ContainsAny(r.Host, " /") {
		return true
	}
	// Proxies that fetch find no host that the mesh does not know, which the objects tell.
	nowhere := c.RemoteJWKS == "envoy" && !strings.Contains(c.Mesh, "kind: ServiceEntry") && !strings.Contains(c.Mesh, "name: jwks")
	for _, uri := range keyURIs.FindAllStringSubmatch(c.Mesh, -1) {
		if _, given := c.JWKS[uri[1]]; !given && !nowhere {
			return true
		}
	}
	return c.Request.Host == "" || strings.ContainsRune(c.Request.Path, 0)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func askBoth(t *testing.T, c judge.Case) {
	t.Helper()
	dir := t.TempDir()
	if err := gen.WriteFolder(dir, c, judge.Answer{Time: agreeAt}, judge.Answer{}); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimPrefix(gen.Command(c, agreeAt), "kubectl asmjwt ")
	expand := exec.Command("bash", "-c", `words() { printf '%s\0' "$@"; }; words `+line)
	expand.Dir = dir
	words, err := expand.Output()
	if err != nil {
		t.Fatalf("expand %s: %v", line, err)
	}
	args := strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
	for i := range args {
		switch uri, file, keys := cutLast(args[i], "="); {
		case strings.HasSuffix(args[i], ".yaml") || strings.HasSuffix(args[i], ".jwt"):
			args[i] = dir + "/" + args[i]
		case keys && i > 0 && args[i-1] == "--jwks":
			args[i] = uri + "=" + dir + "/" + file
		}
	}
	var out, errs bytes.Buffer
	code := Main(context.Background(), Process{
		Name: "kubectl-asmjwt", Args: append(args, "-o", "json"), In: strings.NewReader(""), Out: &out, Err: &errs,
		LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now,
	})
	var said diagnose.Diagnosis
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, errs.String())
	}
	r, err := c.Request.Mint(agreeAt, mint.Sign)
	if err != nil {
		t.Fatal(err)
	}
	source := c.Request.Client.Source
	if source == "" {
		source = "127.0.0.1"
	}
	p, err := judge.Predict(c, judge.Minted{Time: agreeAt, Request: r, Source: source + ":40000", Destination: fmt.Sprintf("127.1.2.3:%d", c.Port)})
	if err != nil {
		t.Fatal(err)
	}
	want := p.Diagnosis.Verdict
	got := said.Verdict
	if got.Decision == "Undetermined" && want.Decision != "Undetermined" && dependsOnUnsaid(said) {
		return
	}
	if got.Decision != want.Decision || got.Status != want.Status || got.Body != want.Body || got.ResponseCodeDetails != want.ResponseCodeDetails {
		t.Errorf("the command line says %+v, the case is %+v\n%s", got, want, line)
	}
}

// dependsOnUnsaid reports facts that the judge knows and no flag tells: the pod's
// address, and whether an SNI was sent.
func dependsOnUnsaid(d diagnose.Diagnosis) bool {
	for _, dep := range d.DependsOn {
		switch dep.What {
		case "the address of the pod", "the server name of the TLS connection", "the client's certificate":
		default:
			return false
		}
	}
	return true
}
