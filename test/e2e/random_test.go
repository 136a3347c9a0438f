package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

const (
	randomMeshes    = 50
	requestsPerMesh = 20
	// mostFailures bounds what a broken evaluator prints.
	mostFailures = 10
)

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func newSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) >> 1
}

// Random policies, as far as the API server takes them, are put before httpbin. To
// random requests its proxy gives the answer that the evaluator predicts from the
// objects, read back from the API server; and the same from the proxy's config_dump
// alone. ASMJWT_E2E_MESHES and ASMJWT_SEED say how many, and which.
func TestRandomPoliciesAreAnsweredAsPredictedFromObjectsAndFromTheDump(t *testing.T) {
	meshes, seed := int(number(t, "ASMJWT_E2E_MESHES", randomMeshes)), number(t, "ASMJWT_SEED", newSeed())
	t.Logf("seed %d, %d meshes (repeat with: ASMJWT_SEED=%d ASMJWT_E2E_MESHES=%d)", seed, meshes, seed, meshes)
	pod := strings.Fields(kubectl(t, "-n", "foo", "get", "pod", "-l", "app=httpbin", "-o", "jsonpath={.items[0].metadata.name} {.items[0].status.podIP}"))
	g := gen.New(seed)
	tally := struct{ meshes, policies, refusedByAPI, refusedByProxy, requests, denied, undetermined int }{}
	failures := 0
	for i := 0; tally.meshes < meshes && failures < mostFailures; i++ {
		m := g.Mesh()
		policies := policiesOf(t, m)
		if policies == "" {
			continue
		}
		tally.meshes++
		w := putInForce(t, policies, fmt.Sprintf("marker-%d", i))
		tally.policies, tally.refusedByAPI = tally.policies+w.taken, tally.refusedByAPI+w.refused
		if w.refusedByProxy != "" {
			tally.refusedByProxy++
		}
		for _, c := range g.Requests(m, requestsPerMesh) {
			c = w.adapt(c)
			answer, minted, err := exchange(t.Context(), c, pod[1])
			if err != nil {
				t.Fatal(err)
			}
			answer.Refused = w.refusedByProxy
			objects, held := w.predict(t, c, minted)
			tally.requests++
			switch {
			case len(objects.Undetermined) > 0:
				tally.undetermined++
			case objects.Status >= 400:
				tally.denied++
			}
			diffs := compare(objects, held, answer)
			if len(diffs) == 0 {
				continue
			}
			failures++
			t.Errorf("%s: %s %q, headers %s\n  %s\npolicies:\n%s", m.Name, c.Request.Method, c.Request.Path, headerNames(c), strings.Join(diffs, "\n  "), policies)
			if failures >= mostFailures {
				break
			}
		}
	}
	t.Logf("%+v", tally)
	if tally.policies == 0 || tally.denied == 0 || tally.requests == tally.denied {
		t.Errorf("these meshes prove nothing: %+v", tally)
	}
}

// policiesOf are the policies of a random mesh that this one can have: those of a
// sidecar, with keys that need no fetch.
func policiesOf(t *testing.T, m gen.MeshCase) string {
	t.Helper()
	if m.Target != "deploy/httpbin" || m.Namespace != "foo" || m.Port != 8080 {
		return ""
	}
	var out []string
	for doc := range strings.SplitSeq(m.YAML, "\n---\n") {
		switch {
		case strings.Contains(doc, "kind: EnvoyFilter"), strings.Contains(doc, "jwksUri:"), strings.Contains(doc, "action: CUSTOM"):
			return ""
		case strings.Contains(doc, "kind: RequestAuthentication") && strings.Count(doc, "issuer: ") != strings.Count(doc, "jwks: "):
			return "" // discovery
		case strings.HasPrefix(doc, "apiVersion: security.istio.io/"):
			out = append(out, doc)
		}
	}
	return strings.Join(out, "\n---\n")
}

// inForce is a mesh as the API server and the proxy have it.
type inForce struct {
	taken, refused int
	snap           *mesh.Snapshot
	text           string // the policies as they were read back
	dump           *proxy.Dump
	refusedByProxy string
}

// putInForce applies policies in place of the former ones, and waits until httpbin's proxy
// has them.
func putInForce(t *testing.T, policies, marker string) *inForce {
	t.Helper()
	return putInForceAt(t, policies, marker, way{namespace: "foo", app: "httpbin"})
}

// putInForceAt does so for the proxy that a way leads to: until it has a marker that was
// applied after them.
func putInForceAt(t *testing.T, policies, marker string, at way) *inForce {
	t.Helper()
	const kinds = "requestauthentications,authorizationpolicies,peerauthentications"
	clear := func() {
		for _, ns := range []string{"foo", "istio-system"} {
			if _, err := rig.Kubectl(context.Background(), "", "-n", ns, "delete", kinds, "--all", "--wait=false"); err != nil {
				t.Error(err)
			}
		}
	}
	clear()
	t.Cleanup(clear)
	res := run(t, harness.Command{Args: []string{"kubectl", "apply", "-f", "-"}, Stdin: policies})
	w := &inForce{taken: strings.Count(res.Stdout, " created\n")}
	w.refused = strings.Count(policies, "\napiVersion: ") + 1 - w.taken
	if err := rig.Apply(t.Context(), fmt.Sprintf(`apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: %s, namespace: %s}
spec: {selector: {matchLabels: {app: %s}}, action: DENY, rules: [{to: [{operation: {paths: [/%[1]s]}}]}]}
`, marker, at.namespace, at.app)); err != nil {
		t.Fatal(err)
	}
	wantConfig(t, at.namespace, at.app, "ns["+at.namespace+"]-policy["+marker+"]")
	config, err := rig.ConfigDump(t.Context(), at.namespace, at.app)
	if err != nil {
		t.Fatal(err)
	}
	if w.dump, err = proxy.Read(strings.NewReader(config)); err != nil {
		t.Fatal(err)
	}
	for _, l := range w.dump.Refused() {
		w.refusedByProxy = l.Refused.Details
	}
	text, err := os.ReadFile(dump(t))
	if err != nil {
		t.Fatal(err)
	}
	w.text = string(text)
	if w.snap, err = judge.ParseMesh(w.text); err != nil {
		t.Fatal(err)
	}
	return w
}

// adapt makes a request of a random mesh one to httpbin of this one: in plaintext,
// over HTTP/1.1, from the node.
func (w *inForce) adapt(c judge.Case) judge.Case {
	c.Mesh, c.JWKS, c.RemoteJWKS = "", nil, ""
	c.Request.HTTP2, c.Request.Client = false, judge.Client{}
	return c
}

// exchange sends a request as it stands, and says what came of it. The whole of it
// lies in one second, so that the tokens mean what they were minted for.
func exchange(ctx context.Context, c judge.Case, ip string) (judge.Answer, judge.Minted, error) {
	for range 5 {
		now := time.Now().Unix()
		minted := judge.Minted{Time: now}
		var err error
		if minted.Request, err = c.Request.Mint(now, mint.Sign); err != nil {
			return judge.Answer{}, minted, err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(c.Port)))
		if err != nil {
			return judge.Answer{}, minted, fmt.Errorf("connect to httpbin: %w", err)
		}
		minted.Source, minted.Destination = conn.LocalAddr().String(), conn.RemoteAddr().String()
		answer := speak(conn, minted.Request)
		_ = conn.Close()
		if answer.Time = now; time.Now().Unix() == now {
			return answer, minted, nil
		}
	}
	return judge.Answer{}, judge.Minted{}, fmt.Errorf("no exchange in five lay within a second")
}

func speak(conn net.Conn, r judge.Request) judge.Answer {
	_ = conn.SetDeadline(time.Now().Add(soon))
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\n", r.Method, r.Path)
	if r.Host != "" { // an empty one is a request without it
		fmt.Fprintf(&out, "Host: %s\r\n", r.Host)
	}
	for _, h := range r.Headers {
		fmt.Fprintf(&out, "%s: %s\r\n", h.Name, h.Value)
	}
	if _, err := io.WriteString(conn, out.String()+"\r\n"); err != nil {
		return judge.Answer{Closed: true}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.Method})
	if err != nil {
		return judge.Answer{Closed: true}
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	if fromHTTPBin(res.Header) {
		return judge.Answer{Status: http.StatusOK, Upstream: &judge.Upstream{}}
	}
	a := judge.Answer{Status: res.StatusCode, Body: string(body), WWWAuthenticate: res.Header.Get("WWW-Authenticate")}
	if code, err := strconv.Atoi(res.Header.Get("Grpc-Status")); err == nil {
		a.GRPCStatus, a.Body = &code, ""
		a.GRPCMessage, _ = url.PathUnescape(res.Header.Get("Grpc-Message"))
	}
	return a
}

// fromHTTPBin says that the application answered: it puts the one on all that its
// handlers say, the proxy the other on all that is no upgrade.
func fromHTTPBin(h http.Header) bool {
	return h.Get("Access-Control-Allow-Credentials") == "true" || h.Get("X-Envoy-Upstream-Service-Time") != ""
}

// predict asks the evaluator twice: what the objects say, and what the dump says.
func (w *inForce) predict(t *testing.T, c judge.Case, m judge.Minted) (objects, held judge.Prediction) {
	t.Helper()
	objects, err := judge.PredictIn(w.snap, c, m)
	if err != nil {
		t.Fatal(err)
	}
	in, err := judge.Intent(c, m)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := w.dump.Proxy(uint16(c.Port))
	if err != nil {
		t.Fatal(err)
	}
	h := diagnose.Held{Proxy: p, From: "config_dump", Workload: mesh.Workload{
		Ref: origin.Ref{Kind: "Pod", Namespace: w.dump.Node.Namespace, Name: w.dump.Node.Pod()}, Namespace: w.dump.Node.Namespace,
		ServiceAccount: w.dump.Node.ServiceAccount, Labels: w.dump.Node.Labels,
	}}
	for _, id := range w.dump.Identities {
		if td := diagnose.TrustDomainOf(id); td != "" {
			h.TrustDomain = td
		}
	}
	in.ProxyVersion = w.dump.Node.Version
	nothing, err := mesh.NewSnapshot(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := diagnose.RunHeld(in, h, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return objects, judge.Prediction{Diagnosis: d}
}

// compare lists where the three differ.
func compare(objects, held judge.Prediction, a judge.Answer) []string {
	o, h := objects.Diagnosis.Verdict, held.Diagnosis.Verdict
	if a.Refused != "" || objects.Refused != "" {
		// The proxy has what it had before: the objects must say that it refuses, the
		// dump what it answers.
		out := judge.Compare(objects, a)
		if got := a.Upstream != nil; got != (h.Decision == envoy.Allowed) || !got && h.Status != a.Status {
			out = append(out, fmt.Sprintf("from the dump %s %d %q, the answer is %d %q", h.Decision, h.Status, h.Body, a.Status, a.Body))
		}
		return out
	}
	if a.Upstream != nil {
		a.Upstream = objects.Upstream // what exactly arrives is the judge's matter
		if a.Upstream == nil && o.Decision != envoy.Allowed {
			return []string{fmt.Sprintf("the application answered, predicted %s %d %q %q", o.Decision, o.Status, o.Body, o.ResponseCodeDetails)}
		}
	}
	a.Details = objects.Details // not seen from here
	var out []string
	for _, d := range judge.Compare(objects, a) {
		if !strings.HasPrefix(d, "undetermined") {
			out = append(out, "from the objects: "+d)
		}
	}
	if o.Decision != h.Decision || o.Status != h.Status || o.Body != h.Body || o.ResponseCodeDetails != h.ResponseCodeDetails {
		out = append(out, fmt.Sprintf("from the objects %s %d %q %q, from the dump %s %d %q %q",
			o.Decision, o.Status, o.Body, o.ResponseCodeDetails, h.Decision, h.Status, h.Body, h.ResponseCodeDetails))
	}
	return out
}

// headerNames are the header lines of a request, without tokens.
func headerNames(c judge.Case) string {
	var out []string
	for _, h := range c.Request.Headers {
		out = append(out, fmt.Sprintf("%s: %q", h.Name, h.Value)) // {token:N} stands for a token
	}
	return strings.Join(out, ", ")
}
