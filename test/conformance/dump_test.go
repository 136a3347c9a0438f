package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

// defaultDumps is how many meshes are judged both ways in a run of the default size;
// ASMJWT_DUMPS says how many otherwise.
const defaultDumps = 300

// dumpTime is when the requests are made; no clock matters where nothing is sent.
const dumpTime = 1774000000

// What the proxy holds and what the objects say lead to the same verdict: istiod's own
// listener, read from a config_dump, against our translation of the objects.
func TestADumpAndItsObjectsGiveTheSameVerdict(t *testing.T) {
	meshes, seed := int(setting(t, "ASMJWT_DUMPS", defaultDumps)), setting(t, "ASMJWT_SEED", newSeed())
	t.Logf("seed %d, %d meshes", seed, meshes)
	g := gen.New(seed)
	sources := []func() gen.MeshCase{g.Mesh, g.Mesh, func() gen.MeshCase { return g.MeshOf(gen.RoleGatewayAPI) }, func() gen.MeshCase { return g.MeshOf(gen.RoleBytes) }}
	compared, failures := 0, 0
	for i := 0; i < meshes && failures < mostFailures; i++ {
		cases := g.Requests(sources[i%len(sources)](), 10)
		n, diffs := bothWays(t, cases)
		compared += n
		for _, d := range diffs {
			failures++
			t.Errorf("seed %d: %s", seed, d)
		}
	}
	if compared < meshes {
		t.Errorf("%d requests were compared, for %d meshes", compared, meshes)
	}
	t.Logf("%d requests compared, %d differ", compared, failures)
}

// bothWays judges the cases of one mesh from its objects and from the dump.
func bothWays(t *testing.T, cases []judge.Case) (compared int, diffs []string) {
	t.Helper()
	raw, err := run.Dump(cases[0])
	if err != nil {
		t.Fatalf("make the dump: %v\n%s", err, cases[0].Mesh)
	}
	if raw == nil {
		return 1, nil // no listener: there is nothing to read
	}
	dump, err := proxy.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("read the dump: %v", err)
	}
	snap, err := judge.ParseMesh(cases[0].Mesh)
	if err != nil {
		t.Fatal(err)
	}
	held, _, err := dump.Proxy(uint16(cases[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		req, err := c.Request.Mint(dumpTime, mint.Sign)
		if err != nil {
			t.Fatal(err)
		}
		m := judge.Minted{Time: dumpTime, Request: req, Source: "127.0.0.9:40000", Destination: fmt.Sprintf("127.0.0.8:%d", c.Port)}
		in, err := judge.Intent(c, m)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := diagnose.Run(in, snap)
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Mesh)
		}
		empty, err := mesh.NewSnapshot(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		dumped, err := diagnose.RunHeld(in, diagnose.Held{
			Proxy: held, Workload: mesh.Workload{Namespace: c.Namespace}, TrustDomain: diagnose.TrustDomainOf(strings.Join(dump.Identities, "")),
		}, empty)
		if err != nil {
			t.Fatal(err)
		}
		compared++
		if d := differ(objects, dumped); d != "" {
			diffs = append(diffs, fmt.Sprintf("%s: %s %q: %s\n%s", c.Name, c.Request.Method, c.Request.Path, d, c.Mesh))
		}
	}
	return compared, diffs
}

// differ says how two verdicts differ; empty if they do not.
func differ(objects, dumped *diagnose.Diagnosis) string {
	a, b := words(objects), words(dumped)
	if a == b {
		return ""
	}
	return fmt.Sprintf("objects %s, dump %s", a, b)
}

func words(d *diagnose.Diagnosis) string {
	v := d.Verdict
	out := fmt.Sprintf("%s %d %q %q %v", v.Decision, v.Status, v.Body, v.ResponseCodeDetails, v.Possible)
	if v.Decision == envoy.Denied && v.Status == 0 && !strings.HasPrefix(v.ResponseCodeDetails, "rbac_") {
		out = "closed"
	}
	if v.Decision == envoy.Undetermined {
		out = fmt.Sprintf("%s %v", v.Decision, v.Possible)
	}
	if u := d.Upstream; u != nil {
		out += fmt.Sprintf(" upstream %s %s %s %v", u.Method, u.Authority, u.Path, u.Headers)
	}
	return out
}
