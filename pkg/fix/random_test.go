package fix_test

import (
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fix"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// minted is a case's request as it would have been sent at a fixed second.
func minted(t *testing.T, c judge.Case) judge.Minted {
	t.Helper()
	const now = 1_800_000_000
	m := judge.Minted{Time: now, Source: "127.0.0.1:40000", Destination: "127.64.0.1:8080"}
	var err error
	if m.Request, err = c.Request.Mint(now, mint.Sign); err != nil {
		t.Fatal(err)
	}
	return m
}

// Random denied pairs: a fix that says it is proved, or what comes of it as far as it
// goes, gives what it says once its manifest is read and laid on top, and one that is not said to widen lets no request without a
// token in that was denied before. The judge asks the same of a real Envoy.
func TestFixesOfRandomDeniedPairsDoWhatTheySay(t *testing.T) {
	const meshes = 40
	g := gen.New(11)
	denied, fixed, objects, narrow, slowest := 0, 0, 0, 0, time.Duration(0)
	for range meshes {
		m := g.Mesh()
		snap, err := judge.ParseMesh(m.YAML)
		if err != nil {
			t.Fatal(err)
		}
		others := g.Requests(m, 60)
		asked := 0
		for _, c := range others {
			in, err := judge.Intent(c, minted(t, c))
			if err != nil {
				t.Fatal(err)
			}
			d, err := diagnose.Run(in, snap)
			if err != nil {
				t.Fatal(err)
			}
			if d.Verdict.Decision != envoy.Denied {
				continue
			}
			if asked++; asked > 3 {
				break
			}
			denied++
			start := time.Now()
			fixes, err := fix.Find(in, snap, d, fix.Through())
			if err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, time.Since(start))
			if len(fixes) > 0 {
				fixed++
			}
			for i, f := range fixes {
				if f.Manifest == "" {
					continue
				}
				if f.Proved {
					objects++
				}
				changed, err := mesh.Parse([]byte(f.Manifest), mesh.ParseOptions{File: "fix.yaml", Namespace: "no-such-namespace"})
				if err != nil {
					t.Fatalf("%s: fix %d: %v\n%s", c.Name, i+1, err, f.Manifest)
				}
				after, err := snap.With(changed)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := diagnose.Run(in, after); err != nil || (f.Proved || f.Partial) && again.Verdict.Status != f.StatusAfter {
					t.Errorf("%s: fix %d (%s): %+v %v", c.Name, i+1, f.Summary, again.Verdict, err)
				}
				if f.Widens {
					continue
				}
				if f.Proved {
					narrow++
				}
				opened(t, c.Name+": "+f.Summary, snap, after, others)
			}
		}
	}
	t.Logf("%d denied, %d with a fix, %d object fixes, %d narrow, slowest %v", denied, fixed, objects, narrow, slowest)
	if fixed < denied/2 || objects < denied/2 || narrow < 8 {
		t.Errorf("of %d denied requests %d have a fix, %d fixes of objects, %d of them not widening", denied, fixed, objects, narrow)
	}
}

// opened fails for each request without a token that gets in after a change only.
func opened(t *testing.T, name string, before, after *mesh.Snapshot, requests []judge.Case) {
	t.Helper()
	for _, c := range requests {
		c.Request = tokenless(c.Request)
		in, err := judge.Intent(c, minted(t, c))
		if err != nil {
			t.Fatal(err)
		}
		now, err := diagnose.Run(in, after)
		if err != nil {
			t.Fatal(err)
		}
		if now.Verdict.Decision != envoy.Allowed {
			continue
		}
		was, err := diagnose.Run(in, before)
		if err != nil {
			t.Fatal(err)
		}
		if was.Verdict.Decision == envoy.Denied {
			t.Errorf("%s: lets %s %q in, without a token", name, c.Request.Method, c.Request.Path)
		}
	}
}

// tokenless is a request without its tokens.
func tokenless(r judge.Request) judge.Request {
	out := r
	out.Headers = nil
	for _, h := range r.Headers {
		if !strings.Contains(h.Value, "{token:") {
			out.Headers = append(out.Headers, h)
		}
	}
	if strings.Contains(r.Path, "{token:") {
		out.Path, _, _ = strings.Cut(r.Path, "{token:")
		out.Path, _, _ = strings.Cut(out.Path, "?")
	}
	out.Tokens = nil
	return out
}
