package conformance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

const (
	// defaultRows is how many pairs go through two Envoys in a row.
	defaultRows     = 2400
	requestsPerPair = 20
	meshesPerRow    = 100
)

// Requests through two Envoys in a row get the answer that is predicted, from the hop
// that is predicted, and the application behind them gets the predicted request.
func TestRandomPairsAgreeWithTwoEnvoysInARow(t *testing.T) {
	pairs, seed := int(setting(t, "ASMJWT_ROWS", defaultRows)), setting(t, "ASMJWT_SEED", newSeed())
	report, err := os.OpenFile(reportFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	ctx, g, started := context.Background(), gen.New(seed), time.Now()
	row := &rowTally{seen: map[string]int{}}
	planned := 0
	asking, stop := context.WithCancel(ctx)
	defer stop()
	batches := ahead(asking, run.RunInARow, func() (cases []judge.Case) {
		for m := 0; m < meshesPerRow && planned-row.unknown < pairs; m++ {
			more := g.Requests(g.Pair(), requestsPerPair)
			cases, planned = append(cases, more...), planned+len(more)
		}
		return cases
	})
	for b := range batches {
		if b.err != nil {
			t.Fatalf("run two Envoys (seed %d): %v", seed, b.err)
		}
		if row.count(t, b.cases, b.answers, b.minted) == 0 {
			t.Fatal("nothing was compared")
		}
		if len(row.failures) >= mostFailures {
			stop() // shrinking has the machine for itself
			break
		}
	}
	fmt.Fprintf(report, "two Envoys in a row: seed %d, %d pairs compared in %s, %d not known, %d differ\n",
		seed, row.compared, time.Since(started).Round(time.Second), row.unknown, len(row.failures))
	for _, what := range slices.Sorted(maps.Keys(row.seen)) {
		fmt.Fprintf(report, "  %6d %s\n", row.seen[what], what)
	}
	for i, f := range row.failures {
		dir := filepath.Join("failures", fmt.Sprintf("row-%d-%d", seed, i))
		t.Errorf("%s: %s %q\n  differs: %v\n  shrunk to the folder test/conformance/%s", f.c.Name, f.c.Request.Method, f.c.Request.Path, f.diff, dir)
		writeFailure(ctx, t, dir, f, run.RunInARow)
	}
	if pairs >= defaultRows && len(row.failures) == 0 {
		row.enough(t)
	}
}

// rowTally is what a run has seen.
type rowTally struct {
	compared, unknown int
	seen              map[string]int
	failures          []failure
}

// count compares the answers with the predictions and says how many it could compare.
func (r *rowTally) count(t *testing.T, cases []judge.Case, answers []judge.Answer, minted []judge.Minted) int {
	t.Helper()
	before := r.compared
	predictions, errs := make([]judge.Prediction, len(cases)), make([]error, len(cases))
	forEachMesh(cases, func(snap *mesh.Snapshot, err error, i int) {
		if errs[i] = err; err == nil {
			predictions[i], errs[i] = judge.PredictIn(snap, cases[i], minted[i])
		}
	})
	for i, c := range cases {
		p := predictions[i]
		if errs[i] != nil {
			t.Fatalf("%s: %v", c.Name, errs[i])
		}
		if p.Refused != "" && len(p.Diagnosis.Hops) == 2 {
			p.Undetermined = []string{"what the second proxy has, which refuses its listener"}
		}
		if len(p.Undetermined) > 0 {
			r.unknown++
			r.seen["not known: "+strings.Join(p.Undetermined, ", ")]++
			continue
		}
		r.compared++
		r.seen[fmt.Sprintf("answered by hop %d with %d", len(p.Diagnosis.Hops), p.Status)]++
		if diff := judge.Compare(p, answers[i]); len(diff) > 0 && len(r.failures) < mostFailures {
			r.failures = append(r.failures, failure{c, diff})
		}
	}
	return r.compared - before
}

// enough holds the run to what it must have seen: both hops decide often, and the
// second one in each way.
func (r *rowTally) enough(t *testing.T) {
	t.Helper()
	for what, least := range map[string]int{
		"answered by hop 2 with 200": 250, "answered by hop 2 with 401": 20, "answered by hop 2 with 403": 60, "answered by hop 2 with 503": 3,
		"answered by hop 1 with 401": 100, "answered by hop 1 with 403": 100,
	} {
		if r.seen[what] < least {
			t.Errorf("%s: %d pairs, wanted %d", what, r.seen[what], least)
		}
	}
	if most := r.compared / 20; r.unknown > most {
		t.Errorf("%d pairs are not known, more than %d", r.unknown, most)
	}
}
