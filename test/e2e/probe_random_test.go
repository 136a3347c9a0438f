package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// randomProbes is how many random requests probe has to send in all, at least.
const randomProbes = 500

// way is how random requests get to the policies. A client behind a proxy of its own is
// left to the scenarios: with some random policies (seed 5972855653170825119, mesh 7) the
// Envoy of the rig's client opens sockets until it has no more files, and ends. The likely
// reason is the rig's: its rules lead what that proxy passes through to a Service's address
// back to the proxy, where in a real Pod the proxy's user is exempt.
type way struct {
	name, namespace, app string
	args                 []string
	// hosts says that the way takes any Host header.
	hosts bool
}

func ways() []way {
	gateway := []string{"--to-gateway", "deploy/istio-ingressgateway.istio-system"}
	return []way{
		{"sidecar", "foo", "httpbin", []string{"--from", "deploy/outside", "-n", "foo", "http://httpbin.foo:8000/"}, true},
		{"gateway", "istio-system", "istio-ingressgateway", append([]string{"--from", "deploy/outside", "-n", "foo", "http://api.example.com/"}, gateway...), false},
	}
}

// Prediction and observation agree on random requests to random policies, through the
// sidecar and the gateway, all through probe. ASMJWT_SEED says which.
func TestProbe_PredictionAndObservationAgreeOnRandomRequests(t *testing.T) {
	seed := number(t, "ASMJWT_SEED", newSeed())
	t.Logf("seed %d (repeat with: ASMJWT_SEED=%d)", seed, seed)
	apply(t, plainRoute)
	g := gen.New(seed)
	tally, byWay := map[probe.Outcome]int{}, map[string]int{}
	statuses := map[int]int{}
	failures, meshes := 0, 0
	for i := 0; tally[probe.Agrees] < randomProbes && failures < mostFailures && meshes < randomMeshes; i++ {
		m := g.Mesh()
		policies := policiesOf(t, m)
		if policies == "" {
			continue
		}
		meshes++
		w := ways()[meshes%len(ways())]
		marker := fmt.Sprintf("probe-marker-%d", i)
		moved := strings.NewReplacer("namespace: foo", "namespace: "+w.namespace, "app: httpbin", "app: "+w.app).Replace(policies)
		held := putInForceAt(t, moved, marker, w)
		if held.refusedByProxy != "" {
			continue // what is in force is then an older mesh
		}
		for _, c := range sendable(g.Requests(m, requestsPerMesh)) {
			r := w.probe(t, c)
			for _, row := range r.Rows {
				tally[row.Outcome]++
				byWay[w.name]++
				if row.Observed != nil {
					statuses[row.Observed.Status]++
				}
			}
			if r.Summary.Differ > 0 || r.Summary.NotSeen > 0 {
				failures++
				t.Errorf("%s, %s: %s, headers %s\n%s\npolicies:\n%s", m.Name, w.name, c.Request.Method, headerNames(c.Case), told(r), moved)
				break
			}
		}
	}
	t.Logf("%d meshes, %v, statuses %v, %v", meshes, tally, statuses, byWay)
	if failures == 0 && (tally[probe.Agrees] < randomProbes || statuses[403] == 0 || statuses[401] == 0 || statuses[200] == 0) {
		t.Errorf("this proves too little: %d meshes, %v, statuses %v", meshes, tally, statuses)
	}
}

// plainRoute leads a host of the gateway to httpbin, the path as it is: the demo's own
// route rewrites it by a pattern, which is not followed.
const plainRoute = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: foo}
spec:
  hosts: [api.example.com]
  gateways: [ingress]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
---
`

// sendableCase is a request of which everything but the path is sent with many paths.
type sendableCase struct {
	judge.Case
	headers []judge.Header
	paths   []string
}

var (
	aTime = regexp.MustCompile(`\{now([+-]\d+)?\}`)
	// hopByHop are header lines that a client makes itself, or that end a connection.
	hopByHop = []string{
		"connection", "upgrade", "transfer-encoding", "content-length", "expect", "te", "proxy-connection", "keep-alive", "host", "http2-settings", "trailer",
	}
)

// sendable chooses of the requests those that a curl can send, a few, with the paths of
// all; a token whose time is at an edge is left out, since the seconds between cannot be
// known.
func sendable(cases []judge.Case) []sendableCase {
	var paths []string
	for _, c := range cases {
		if p := c.Request.Path; strings.HasPrefix(p, "/") && !strings.ContainsAny(p, " \t\r\n\x00{") && !slices.Contains(paths, p) && len(p) < 1000 {
			paths = append(paths, p)
		}
	}
	var out []sendableCase
	for _, c := range cases {
		s := sendableCase{Case: c, paths: paths}
		ok := len(paths) > 0 && !strings.Contains(c.Request.Path, "{token:") && isPlain(c.Request.Method)
		for _, token := range c.Request.Tokens {
			for _, at := range aTime.FindAllStringSubmatch(token.Payload, -1) {
				n, _ := strconv.Atoi(at[1])
				const edge = 300
				ok = ok && (at[1] == "" || n > edge || n < -edge)
			}
		}
		for _, h := range c.Request.Headers {
			ok = ok && isPlain(h.Name) && !slices.Contains(hopByHop, strings.ToLower(h.Name)) && !strings.HasPrefix(strings.ToLower(h.Name), "x-envoy-") &&
				!strings.HasPrefix(strings.ToLower(h.Name), "x-forwarded-")
		}
		if ok {
			out = append(out, s)
		}
		const most = 8
		if len(out) == most {
			break
		}
	}
	return out
}

// isPlain reports whether a word is a method or a name that no client changes.
func isPlain(s string) bool {
	return s != "" && s != "CONNECT" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// probe sends a case on its way. The tokens of these tests go in as header lines.
func (w way) probe(t *testing.T, c sendableCase) probe.Report {
	t.Helper()
	minted, err := c.Request.Mint(time.Now().Unix(), mint.Sign)
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(w.args), "--method", minted.Method, "--rate", "1000", "--max-requests", "1000", "--max-time", "20s")
	if w.hosts && isHost(minted.Host) {
		args = append(args, "--host", minted.Host)
	}
	for _, h := range minted.Headers {
		if strings.ContainsAny(h.Value, "\r\n\x00") {
			continue
		}
		args = append(args, "-H", h.Name+": "+h.Value)
	}
	for _, p := range c.paths {
		args = append(args, "--path", p)
	}
	res := run(t, harness.Command{Args: append([]string{rig.Plugin, "probe", "-o", "json"}, args...)})
	var r probe.Report
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		t.Fatalf("exit code %d: %s%s\n%q", res.Code, res.Stdout, res.Stderr, args)
	}
	if r.Summary.Undetermined == 0 && (res.Code == 0) != (r.Summary.Differ == 0 && r.Summary.NotSeen == 0) {
		t.Errorf("exit code %d, %+v", res.Code, r.Summary)
	}
	return r
}

func isHost(host string) bool {
	return host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:") == ""
}
