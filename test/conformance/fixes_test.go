package conformance

import (
	"context"
	"fmt"
	"slices"
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
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

const (
	// defaultFixes is how many fixes are applied unless FIXES says another number.
	defaultFixes = 60
	// fixesPerBatch is how many go to the Envoys at once.
	fixesPerBatch = 100
	// strangers is how many random requests without a token are asked about for each fix
	// that is not said to widen; those that get through are sent, and some of the others.
	strangers    = 200
	strangersOut = 10
)

// applied is a fix with the mesh that it makes.
type applied struct {
	fix    diagnose.Fix
	before *mesh.Snapshot
	c      judge.Case // the denied request, to the changed mesh
	others []judge.Case
	asked  int // requests without a token
	opened []judge.Case
}

// Proved fixes of random denied pairs, applied, give in a real Envoy the status that they
// promise; and those that are not said to widen let no request in that has no token and
// was denied before.
func TestProvedFixesHoldInEnvoy(t *testing.T) {
	want, seed := int(setting(t, "ASMJWT_FIXES", defaultFixes)), setting(t, "ASMJWT_SEED", newSeed())
	g := gen.New(seed)
	held, narrow, asked, sent, opened := 0, 0, 0, 0, 0
	started := time.Now()
	for held < want {
		batch := fixesOf(t, g, min(fixesPerBatch, want-held))
		var cases []judge.Case
		for _, a := range batch {
			cases = append(cases, a.c)
			cases = append(cases, a.others...)
		}
		answers, minted, err := run.Run(context.Background(), cases, run.Options{Sign: mint.Sign})
		if err != nil {
			t.Fatalf("run Envoy (seed %d): %v", seed, err)
		}
		at := 0
		for _, a := range batch {
			held++
			p, err := judge.Predict(a.c, minted[at])
			if err != nil {
				t.Fatalf("%s: %v", a.c.Name, err)
			}
			if diff := judge.Compare(p, answers[at]); len(diff) > 0 || answers[at].Status != a.fix.StatusAfter || p.Status != a.fix.StatusAfter {
				t.Errorf("%s: %s\n  promised %d, predicted %d, Envoy %d %s; %v\n%s", a.c.Name, a.fix.Summary,
					a.fix.StatusAfter, p.Status, answers[at].Status, answers[at].Details, diff, a.fix.Manifest)
			}
			at++
			if !a.fix.Widens {
				narrow++
			}
			asked += a.asked
			for _, other := range a.opened {
				t.Errorf("%s: %s: is not said to widen, and by the evaluator lets %s %q in without a token, with %v; asked about was %s %q with %v\n%s", a.c.Name, a.fix.Summary,
					other.Request.Method, other.Request.Path, other.Request.Headers, a.c.Request.Method, a.c.Request.Path, a.c.Request.Headers, a.fix.Manifest)
			}
			for i, other := range a.others {
				sent++
				if answers[at].Upstream != nil && answers[at].Status == 200 && deniedBefore(t, a.before, other, minted[at]) {
					opened++
					t.Errorf("%s: %s: is not said to widen, and lets %s %q in without a token\n%s", a.c.Name, a.fix.Summary,
						a.others[i].Request.Method, a.others[i].Request.Path, a.fix.Manifest)
				}
				at++
			}
		}
	}
	report, err := openReport()
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	fmt.Fprintf(report, "fixes: seed %d, %d applied, %d of them not widening: %d requests without a token asked about, %d of them sent, %d let in; %v (repeat with: make conformance SEED=%d FIXES=%d)\n",
		seed, held, narrow, asked, sent, opened, time.Since(started).Round(time.Second), seed, want)
}

// fixesOf finds so many proved fixes of objects for random denied requests.
func fixesOf(t *testing.T, g *gen.Gen, n int) []applied {
	t.Helper()
	const requests, perMesh = 30, 4
	var out []applied
	for len(out) < n {
		m := g.Mesh()
		if strings.Contains(m.YAML, "destination.ip") {
			continue // which address the mesh gets is known when it runs
		}
		snap, err := judge.ParseMesh(m.YAML)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, c := range g.Requests(m, requests) {
			if slices.ContainsFunc(c.Request.Headers, isLarge) {
				continue
			}
			in, err := judge.Intent(c, guessed(t, c))
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
			fixes, err := fix.Find(in, snap, d, fix.Through())
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range fixes {
				if f.Manifest == "" || !f.Proved || f.StatusAfter != 200 || found == perMesh || len(out) == n {
					continue
				}
				found++
				out = append(out, apply(t, g, m, c, snap, f, i))
			}
		}
	}
	return out
}

// guessed is a request as it will most likely be sent.
func guessed(t *testing.T, c judge.Case) judge.Minted {
	t.Helper()
	m := judge.Minted{Time: time.Now().Unix(), Source: "127.0.0.1:40000", Destination: fmt.Sprintf("127.64.0.1:%d", c.Port)}
	if c.Request.Client.Source != "" {
		m.Source = c.Request.Client.Source + ":40000"
	}
	var err error
	if m.Request, err = c.Request.Mint(m.Time, mint.Sign); err != nil {
		t.Fatal(err)
	}
	return m
}

// apply puts a fix on top of a mesh, as the API server would.
func apply(t *testing.T, g *gen.Gen, m gen.MeshCase, c judge.Case, snap *mesh.Snapshot, f diagnose.Fix, number int) applied {
	t.Helper()
	objects, err := mesh.Parse([]byte(f.Manifest), mesh.ParseOptions{File: "fix.yaml", Namespace: "nowhere"})
	if err != nil {
		t.Fatalf("%s: %v\n%s", c.Name, err, f.Manifest)
	}
	after, err := snap.With(objects)
	if err != nil {
		t.Fatal(err)
	}
	var docs []string
	for _, o := range after.Objects() {
		docs = append(docs, stamped(o))
	}
	a := applied{fix: f, before: snap, c: c}
	a.c.Name, a.c.Mesh = fmt.Sprintf("%s/fix-%d", c.Name, number+1), strings.Join(docs, "---\n")
	if f.Widens {
		return a
	}
	shut := 0
	for i, other := range g.Requests(m, strangers) {
		other.Name, other.Mesh = fmt.Sprintf("%s/stranger-%d", a.c.Name, i), a.c.Mesh
		other.Request = withoutTokens(other.Request)
		in, err := judge.Intent(other, guessed(t, other))
		if err != nil {
			t.Fatal(err)
		}
		a.asked++
		now := decided(t, in, after)
		switch {
		case now == envoy.Allowed && decided(t, in, snap) == envoy.Denied:
			a.opened = append(a.opened, other)
		case now != envoy.Allowed:
			if shut++; shut > strangersOut {
				continue
			}
		}
		a.others = append(a.others, other)
	}
	return a
}

// decided is the evaluator's decision. The proxies of a mesh are made once.
func decided(t *testing.T, in diagnose.Intent, snap *mesh.Snapshot) envoy.Decision {
	t.Helper()
	if lastMade.snap != snap && lastMade.other != snap {
		lastMade.other, lastMade.others = lastMade.snap, lastMade.settings
		settings, err := diagnose.Settings(in, snap)
		if err != nil {
			t.Fatal(err)
		}
		lastMade.snap, lastMade.settings = snap, settings
	}
	settings := lastMade.settings
	if lastMade.snap != snap {
		settings = lastMade.others
	}
	for _, s := range settings {
		asked, err := s.Asked(in, snap)
		if err != nil {
			t.Fatal(err)
		}
		if v := asked.Decide(asked.Request, false); v.Decision != envoy.Allowed {
			return v.Decision
		}
	}
	return envoy.Allowed
}

// lastMade are the proxies of the two meshes that were asked about last.
var lastMade struct {
	snap, other      *mesh.Snapshot
	settings, others []*diagnose.Setting
}

// stamped is an object's text with the time of creation that the server keeps.
func stamped(o *mesh.Object) string {
	text := o.Manifest()
	if o.Created == 0 || strings.Contains(text, "creationTimestamp") {
		return text
	}
	at := time.Unix(o.Created, 0).UTC().Format(time.RFC3339)
	return strings.Replace(text, "metadata:\n", "metadata:\n  creationTimestamp: \""+at+"\"\n", 1)
}

// largeHeader is where headers begin that are about the limits of HTTP, which fixes are not.
const largeHeader = 4096

func isLarge(h judge.Header) bool { return len(h.Value) >= largeHeader }

// withoutTokens is a request without its tokens.
func withoutTokens(r judge.Request) judge.Request {
	out := r
	out.Headers, out.Tokens = nil, nil
	for _, h := range r.Headers {
		if !strings.Contains(h.Value, "{token:") && !isLarge(h) {
			out.Headers = append(out.Headers, h)
		}
	}
	if strings.Contains(r.Path, "{token:") {
		out.Path, _, _ = strings.Cut(r.Path, "{token:")
		out.Path, _, _ = strings.Cut(out.Path, "?")
	}
	return out
}

// deniedBefore reports whether a request was denied without the fix.
func deniedBefore(t *testing.T, before *mesh.Snapshot, c judge.Case, m judge.Minted) bool {
	t.Helper()
	p, err := judge.PredictIn(before, c, m)
	if err != nil {
		t.Fatal(err)
	}
	return p.Diagnosis.Verdict.Decision == envoy.Denied
}
