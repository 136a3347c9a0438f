package run

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/tcases"
)

// some are rows that between them need every part of the run: a plain request and
// one with a token, duplicate headers, a preflight, paths that must go out as
// written, a gateway, mTLS, a connection that is cut, gRPC, a refused listener, an
// authorizer and both ways to fetch keys.
var some = []string{"T001", "T002", "T016", "T038", "T043", "T044", "T049", "T059", "T073", "T076", "T096",
	"T100", "T110", "T121", "T123", "T129", "T131", "T136"}

func TestEnvoyAnswers_ThatAHandfulOfKnownCases(t *testing.T) {
	var (
		rows  []tcases.Case
		cases []judge.Case
	)
	for _, c := range tcases.All() {
		if slices.Contains(some, c.Row) {
			rows, cases = append(rows, c), append(cases, c.Case)
		}
	}
	if len(rows) < len(some) {
		t.Fatalf("%d cases for %d rows", len(rows), len(some))
	}
	answers, minted := ask(t, cases, Options{MeshesPerEnvoy: 9})
	for i, row := range rows {
		t.Run(row.Name, func(t *testing.T) {
			if diff := row.Expect.Check(answers[i]); len(diff) > 0 {
				t.Error(strings.Join(diff, "; "))
			}
			if answers[i].Time != minted[i].Time {
				t.Errorf("answered at %d to what was minted at %d", answers[i].Time, minted[i].Time)
			}
		})
	}
}

// ask runs the cases, which all must be judged.
func ask(t *testing.T, cases []judge.Case, opts Options) ([]judge.Answer, []judge.Minted) {
	t.Helper()
	answers, minted, err := Run(context.Background(), cases, opts)
	if err != nil {
		t.Fatal(err)
	}
	return answers, minted
}

const plainMesh = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec:
  template:
    metadata: {labels: {app: httpbin}}
    spec: {serviceAccountName: httpbin, containers: [{name: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: keys, namespace: foo}
spec: {selector: {app: keys}, ports: [{name: http, port: 80}]}
`

// toHTTPBin is a request to the plain mesh with further documents.
func toHTTPBin(req judge.Request, docs ...string) judge.Case {
	if req.Method == "" {
		req.Method = "GET"
	}
	return judge.Case{Name: "httpbin", Mesh: strings.Join(append([]string{plainMesh}, docs...), "---"),
		Target: "deploy/httpbin", Namespace: "foo", Port: 8080, Request: req}
}

// policy is an object of namespace foo.
func policy(kind, spec string) string {
	return fmt.Sprintf("\napiVersion: security.istio.io/v1\nkind: %s\nmetadata: {name: p, namespace: foo}\nspec: %s\n", kind, spec)
}

func TestRun_ThatRequestsArriveAsTheyWereWritten(t *testing.T) {
	headers := []judge.Header{{Name: "X-One", Value: "1"}, {Name: "x-two", Value: "a  b"}, {Name: "X-ONE", Value: "2"}}
	for _, c := range []struct {
		name string
		req  judge.Request
	}{
		{"HTTP/1.1", judge.Request{Method: "PURGE", Host: "h.example:81", Path: "/A/%7e?x=%20#f", Headers: headers}},
		{"HTTP/2", judge.Request{HTTP2: true, Method: "PURGE", Host: "h.example:81", Path: "/A/%7e?x=%20#f", Headers: headers}},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers, _ := ask(t, []judge.Case{toHTTPBin(c.req)}, Options{})
			got := answers[0].Upstream
			if answers[0].Status != 200 || answers[0].Body != "ok" || answers[0].Details != "via_upstream" || got == nil {
				t.Fatalf("got %+v", answers[0])
			}
			if got.Method != "PURGE" || got.Host != "h.example:81" || got.Path != "/A/~?x=%20" {
				t.Errorf("the application got %s %s %s", got.Method, got.Host, got.Path)
			}
			var mine []judge.Header
			for _, h := range got.Headers {
				if h.Name == "x-one" || h.Name == "x-two" {
					mine = append(mine, h)
				}
				if h.Name == "connection" {
					t.Errorf("a header that nobody wrote: %v", h)
				}
			}
			slices.SortStableFunc(mine, func(a, b judge.Header) int { return strings.Compare(a.Name, b.Name) })
			want := []judge.Header{{Name: "x-one", Value: "1"}, {Name: "x-one", Value: "2"}, {Name: "x-two", Value: "a  b"}}
			if !slices.Equal(mine, want) {
				t.Errorf("the application got %v, want %v", mine, want)
			}
		})
	}
}

func TestRun_ThatTheEndsOfTheConnectionAreTold(t *testing.T) {
	const client = "spiffe://cluster.local/ns/foo/sa/bar"
	req := judge.Request{Host: "h", Path: "/", Client: judge.Client{
		Transport: "mtls", URISANs: []string{client}, DNSSANs: []string{"bar.example"}, Source: "127.9.8.7"}}
	both := []judge.Case{toHTTPBin(req), toHTTPBin(req)}
	both[1].Request.HTTP2 = true
	answers, minted := ask(t, both, Options{})
	for i, m := range minted {
		source, err := netip.ParseAddrPort(m.Source)
		if err != nil || source.Addr().String() != "127.9.8.7" {
			t.Errorf("source %s", m.Source)
		}
		to, err := netip.ParseAddrPort(m.Destination)
		if err != nil || !netip.MustParsePrefix(Addresses).Contains(to.Addr()) || to.Port() != 8080 {
			t.Errorf("destination %s", m.Destination)
		}
		var xfcc string
		if answers[i].Upstream == nil {
			t.Fatalf("got %+v", answers[i])
		}
		for _, h := range answers[i].Upstream.Headers {
			if h.Name == "x-forwarded-client-cert" {
				xfcc = h.Value
			}
		}
		want := fmt.Sprintf(`By=%s;Hash=%s;Subject="";URI=%s;DNS=bar.example`, m.ServerURI, m.ClientHash, client)
		if xfcc != want || m.ServerURI != "spiffe://cluster.local/ns/foo/sa/httpbin" {
			t.Errorf("got %s, want %s", xfcc, want)
		}
	}
}

func TestRun_ThatAStrangersCertificateIsNotTaken(t *testing.T) {
	req := judge.Request{Host: "h", Path: "/", Client: judge.Client{
		Transport: "mtls", URISANs: []string{"spiffe://cluster.local/ns/foo/sa/bar"}, Untrusted: true}}
	without := req
	without.Client = judge.Client{Transport: "mtls"}
	answers, _ := ask(t, []judge.Case{toHTTPBin(req), toHTTPBin(without)}, Options{})
	for _, a := range answers {
		if !a.Closed || a.Status != 0 || a.Upstream != nil {
			t.Errorf("got %+v", a)
		}
	}
}

// token is a good token of iss-a, in the usual place.
func token() judge.Request {
	return judge.Request{Host: "h", Path: "/", Headers: []judge.Header{{Name: "Authorization", Value: "Bearer {token:0}"}},
		Tokens: []judge.Token{{Key: "rsa-a", Alg: "RS256", Header: `{"alg":"RS256"}`, Payload: `{"iss":"iss-a","sub":"u","exp":{now+60}}`}}}
}

func TestRun_ThatKeySetsAreFetched(t *testing.T) {
	const (
		plain   = "http://keys.foo.svc.cluster.local/jwks"
		secure  = "https://keys.example.com/jwks?a=b"
		missing = "http://nowhere.example.com/jwks"
	)
	keys := string(mint.JWKS(mint.RSA()))
	for name, c := range map[string]struct {
		rule, mode, doc string
		want            string
	}{
		"by istiod":                              {"jwksUri: '" + plain + "'", "", plain, ""},
		"by istiod over TLS":                     {"jwksUri: '" + secure + "'", "", secure, ""},
		"by istiod, in vain":                     {"jwksUri: '" + missing + "'", "", plain, "Jwt verification fails"},
		"by Envoy":                               {"jwksUri: '" + plain + "'", "envoy", plain, ""},
		"by Envoy, in vain":                      {"jwksUri: '" + plain + "'", "envoy", secure, "Jwks remote fetch is failed"},
		"by Envoy, from a host it has not":       {"jwksUri: '" + missing + "'", "envoy", missing, "Jwks remote fetch is failed"},
		"by istiod where Envoy has not the host": {"jwksUri: '" + secure + "'", "hybrid", secure, ""},
	} {
		t.Run(name, func(t *testing.T) {
			one := toHTTPBin(token(), policy("RequestAuthentication", "{jwtRules: [{issuer: iss-a, "+c.rule+"}]}"))
			one.RemoteJWKS, one.JWKS = c.mode, map[string]string{c.doc: keys}
			answers, _ := ask(t, []judge.Case{one}, Options{})
			switch {
			case c.want == "" && answers[0].Upstream == nil:
				t.Errorf("got %+v", answers[0])
			case c.want != "" && (answers[0].Status != 401 || answers[0].Body != c.want):
				t.Errorf("got %+v, want %s", answers[0], c.want)
			}
		})
	}
}

func TestRun_ThatMeshesWithOneURIHaveKeysOfTheirOwn(t *testing.T) {
	const uri = "http://keys.example.com/jwks"
	var cases []judge.Case
	for i := range 6 {
		c := toHTTPBin(token(), policy("RequestAuthentication", "{jwtRules: [{issuer: iss-a, jwksUri: '"+uri+"'}]}"))
		c.JWKS = map[string]string{uri: string(mint.JWKS([]mint.Key{mint.RSA(), mint.OtherRSA()}[i%2].WithKid(fmt.Sprint(i))))}
		cases = append(cases, c)
	}
	answers, _ := ask(t, cases, Options{})
	for i, a := range answers {
		if want := []int{200, 401}[i%2]; a.Status != want {
			t.Errorf("mesh %d: got %d, want %d", i, a.Status, want)
		}
	}
}

func TestRun_ThatARequiredTokenIsMissed(t *testing.T) {
	rules := func(a, b string) string {
		keys := string(mint.JWKS(mint.RSA()))
		return policy("RequestAuthentication", fmt.Sprintf(
			"{jwtRules: [{issuer: iss-b, jwks: '%s', fromHeaders: [{name: x-b}]%s}, {issuer: iss-a, jwks: '%s'%s}]}", keys, b, keys, a))
	}
	const required, optional = ", presence: REQUIRED", ", presence: OPTIONAL"
	none := judge.Request{Host: "h", Path: "/"}
	for name, c := range map[string]struct {
		mesh   string
		req    judge.Request
		status int
	}{
		"there, and the other is optional":     {rules(required, optional), token(), 200},
		"missing, and the other is optional":   {rules(required, ""), none, 401},
		"missing, though another one is there": {rules(optional, required), token(), 401},
		"none is required":                     {rules("", optional), none, 200},
	} {
		t.Run(name, func(t *testing.T) {
			answers, _ := ask(t, []judge.Case{toHTTPBin(c.req, c.mesh)}, Options{})
			a := answers[0]
			if a.Status != c.status {
				t.Errorf("got %+v, want %d", a, c.status)
			}
			if a.Status == 401 && (a.Body != "Jwt is missing" || strings.Contains(a.WWWAuthenticate, "error=")) {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestRun_ThatAnExchangeLiesWithinOneSecond(t *testing.T) {
	var calls atomic.Int32
	slow := func(key, alg string, input []byte) ([]byte, error) {
		if calls.Add(1) <= 2 {
			for before := now(); now() == before; {
				time.Sleep(5 * time.Millisecond)
			}
		}
		return mint.Sign(key, alg, input)
	}
	one := toHTTPBin(token(), policy("RequestAuthentication", "{jwtRules: [{issuer: iss-a, jwks: '"+string(mint.JWKS(mint.RSA()))+"'}]}"))
	answers, minted := ask(t, []judge.Case{one}, Options{Sign: slow})
	if calls.Load() < 3 {
		t.Errorf("minted %d times, though the second changed twice", calls.Load())
	}
	if answers[0].Status != 200 || answers[0].Time != minted[0].Time || answers[0].Details != "via_upstream" {
		t.Errorf("got %+v", answers[0])
	}
	if strings.Contains(minted[0].Request.Headers[0].Value, "{token") {
		t.Error("what is told to have been sent has no token in it")
	}
}

func TestRun_ThatOneBadCaseLeavesTheOthersTheirAnswers(t *testing.T) {
	good := toHTTPBin(judge.Request{Host: "h", Path: "/"})
	change := func(name string, f func(*judge.Case)) judge.Case {
		c := good
		c.Name = name
		f(&c)
		return c
	}
	bad := []judge.Case{
		change("no-target", func(c *judge.Case) { c.Target = "deploy/other" }),
		change("no-yaml", func(c *judge.Case) { c.Mesh = "a: [" }),
		change("no-port", func(c *judge.Case) { c.Port = 0 }),
		change("no-key", func(c *judge.Case) { c.Request.Tokens = []judge.Token{{Key: "none", Alg: "RS256"}} }),
		change("no-transport", func(c *judge.Case) { c.Request.Client.Transport = "smoke" }),
		change("no-source", func(c *judge.Case) { c.Request.Client.Source = "here" }),
	}
	answers, _, err := Run(context.Background(), append(slices.Clone(bad), good), Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, c := range bad {
		if !strings.Contains(err.Error(), c.Name) {
			t.Errorf("nothing of %s in: %v", c.Name, err)
		}
	}
	if last := answers[len(bad)]; last.Status != 200 {
		t.Errorf("got %+v", last)
	}
}

func TestRun_ThatAnEndedContextIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Run(ctx, []judge.Case{toHTTPBin(judge.Request{Host: "h", Path: "/"})}, Options{}); err == nil {
		t.Error("no error")
	}
}

func TestRun_ThatAnEnvoyThatDoesNotStartIsAnError(t *testing.T) {
	for _, program := range []string{"/nonexistent/envoy", "/bin/false"} {
		_, _, err := Run(context.Background(), []judge.Case{toHTTPBin(judge.Request{Host: "h", Path: "/"})}, Options{Envoy: program})
		if err == nil {
			t.Errorf("no error with %s", program)
		}
	}
}

func TestGroup_ThatCasesOfOneMeshShareAListener(t *testing.T) {
	a := judge.Case{Mesh: "a", Target: "deploy/x", Port: 1, JWKS: map[string]string{"u": "1", "v": "2"}}
	other := func(f func(*judge.Case)) judge.Case { c := a; f(&c); return c }
	cases := []judge.Case{a,
		other(func(c *judge.Case) { c.Request.Path = "/other" }),
		other(func(c *judge.Case) { c.Port = 2 }),
		other(func(c *judge.Case) { c.JWKS = map[string]string{"v": "2", "u": "1"} }),
		other(func(c *judge.Case) { c.JWKS = map[string]string{"u": "1"} }),
		other(func(c *judge.Case) { c.RemoteJWKS = "envoy" }),
		other(func(c *judge.Case) { c.Mesh = "b" }),
		other(func(c *judge.Case) { c.Namespace = "n" }),
	}
	var got [][]int
	for _, m := range group(cases) {
		got = append(got, m.cases)
	}
	want := [][]int{{0, 1, 3}, {2}, {4}, {5}, {6}, {7}}
	a1, err1 := json.Marshal(got)
	b1, err2 := json.Marshal(want)
	if err1 != nil || err2 != nil || string(a1) != string(b1) {
		t.Errorf("got %s, want %s", a1, b1)
	}
}

func TestVersion_ThatEnvoyTellsItsVersion(t *testing.T) {
	v, err := Version(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(v, ".") != 2 {
		t.Errorf("got %q", v)
	}
	if _, err := Version(context.Background(), "/bin/true"); err == nil {
		t.Error("no error from a program without a version")
	}
}

func TestEnvoy_ThatOneThatEndedIsNotAlive(t *testing.T) {
	e, err := startEnvoy(context.Background(), mustFind(t), t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.alive(); err != nil {
		t.Errorf("just started: %v", err)
	}
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	if err := e.alive(); err == nil {
		t.Error("alive after its end")
	}
}

func mustFind(t *testing.T) string {
	t.Helper()
	path, err := findEnvoy()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
