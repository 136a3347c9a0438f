package diagnose_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func TestDeciderAndEvaluateGiveTheSameVerdict(t *testing.T) {
	const meshes, at = 150, 1774000000
	g := gen.New(11)
	sources := []func() gen.MeshCase{g.Mesh}
	for _, r := range gen.Roles() {
		sources = append(sources, func() gen.MeshCase { return g.MeshOf(r) })
	}
	decisions := map[envoy.Decision]int{}
	for i := range meshes {
		var decider *envoy.Decider
		for _, c := range g.Requests(sources[i%len(sources)](), 10) {
			snap, err := judge.ParseMesh(c.Mesh)
			if err != nil {
				t.Fatal(err)
			}
			req, err := c.Request.Mint(at, mint.Sign)
			if err != nil {
				t.Fatal(err)
			}
			in, err := judge.Intent(c, judge.Minted{Time: at, Request: req, Source: "10.0.0.9:40000", Destination: fmt.Sprintf("10.0.0.8:%d", c.Port)})
			if err != nil {
				t.Fatal(err)
			}
			qs, err := diagnose.Questions(in, snap)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range qs {
				if decider == nil {
					decider = envoy.NewDecider(q.Proxy, q.Keys)
				}
				decisions[q.Verdict.Decision]++
				// Once for itself, and once after whatever came before.
				for _, d := range []*envoy.Decider{envoy.NewDecider(q.Proxy, q.Keys), decider} {
					if got := d.Decide(q.Request); !reflect.DeepEqual(got, q.Verdict) && !(got.Decision == envoy.Undetermined && q.Verdict.Decision == got.Decision) {
						t.Fatalf("%s: Decide says %+v, Evaluate %+v\n%s", c.Name, got, q.Verdict, c.Mesh)
					}
				}
			}
		}
	}
	for _, d := range []envoy.Decision{envoy.Allowed, envoy.Denied} {
		if decisions[d] < meshes {
			t.Errorf("%d requests were %s", decisions[d], d)
		}
	}
}
