package conformance

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

const (
	defaultPairs    = 20000
	requestsPerMesh = 20
	meshesPerBatch  = 100
	// leastPairs is how many pairs must reach each branch of the evaluator in a run
	// of the default size.
	leastPairs = 30
	// leastShare is what part of the pairs each role has at least: a tenth.
	leastShare = 10
	// mostFailures bounds how many failing pairs are shrunk and written.
	mostFailures = 10
)

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
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

// newSeed is another one each time.
func newSeed() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err)
	}
	return binary.LittleEndian.Uint64(b[:]) >> 1
}

// Random meshes and requests get the same answer from the evaluator and from
// Envoy. What differs is shrunk and written as a folder.
func TestRandomPairsAgreeWithEnvoy(t *testing.T) {
	pairs, seed := int(setting(t, "ASMJWT_PAIRS", defaultPairs)), setting(t, "ASMJWT_SEED", newSeed())
	report, err := openReport()
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	fmt.Fprintf(report, "seed %d, %d pairs (repeat with: make conformance SEED=%d PAIRS=%d)\n", seed, pairs, seed, pairs)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log, err := openCorpus()
	if err != nil {
		t.Fatal(err)
	}
	tally := newTally()
	g := gen.New(seed)
	next, every, err := meshes(g, os.Getenv("ASMJWT_ROLES"))
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	planned := 0
	asking, stop := context.WithCancel(ctx)
	defer stop()
	batches := ahead(asking, run.Run, func() (cases []judge.Case) {
		for m := 0; m < meshesPerBatch && planned < pairs; m++ {
			more := g.Requests(next(), requestsPerMesh)
			cases, planned = append(cases, more...), planned+len(more)
		}
		return cases
	})
	for b := range batches {
		if b.err != nil {
			t.Fatalf("run Envoy (seed %d): %v", seed, b.err)
		}
		tally.batch(t, b.cases, b.answers, b.minted)
		if err := log.write(b.cases, b.answers, b.minted); err != nil {
			t.Fatal(err)
		}
		if len(tally.failures) >= mostFailures {
			stop() // shrinking has the machine for itself
			break
		}
	}
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	if tally.compared == 0 {
		t.Fatal("nothing was compared")
	}
	tally.report(report, seed, time.Since(started))
	for i, f := range tally.failures {
		dir := filepath.Join("failures", fmt.Sprintf("%d-%d", seed, i))
		t.Errorf("%s: %s %q\n  differs: %v\n  shrunk to the folder test/conformance/%s", f.c.Name, f.c.Request.Method, f.c.Request.Path, f.diff, dir)
		writeFailure(ctx, t, dir, f, run.Run)
	}
	if pairs >= defaultPairs && len(tally.failures) == 0 && every {
		for role, n := range tally.roles {
			if n*leastShare < tally.compared {
				t.Errorf("role %q: %d of %d pairs, wanted a tenth", role, n, tally.compared)
			}
		}
		for _, b := range tally.rare(leastPairs) {
			t.Errorf("branch %q: reached by %d pairs, wanted %d", b, tally.branches[b], leastPairs)
		}
	}
}

// asked is a batch of cases with what Envoy answered.
type asked struct {
	cases   []judge.Case
	answers []judge.Answer
	minted  []judge.Minted
	err     error
}

// atATime is how many batches are asked at a time, so that neither istiod's generator
// nor Envoy nor the evaluator waits for the others.
const atATime = 2

// ahead asks batches before they are wanted, until there are no more cases, and gives
// them in the order in which they were made: a seed gives the same run.
func ahead(ctx context.Context, ask asking, cases func() []judge.Case) iter.Seq[asked] {
	return func(yield func(asked) bool) {
		var under []chan asked
		more := true
		for {
			for more && len(under) < atATime && ctx.Err() == nil {
				b := asked{cases: cases()}
				if more = len(b.cases) > 0; !more {
					break
				}
				done := make(chan asked, 1)
				under = append(under, done)
				go func() {
					b.answers, b.minted, b.err = ask(ctx, b.cases, run.Options{Sign: mint.Sign})
					done <- b
				}()
			}
			if len(under) == 0 {
				return
			}
			first := <-under[0]
			under = under[1:]
			if !yield(first) {
				break
			}
		}
		for _, u := range under {
			<-u
		}
	}
}

// everyRole is how the roles take turns: half of the meshes are sidecars and classic
// gateways, which reach most branches; none of the others has less than a tenth.
var everyRole = []string{"default", string(gen.RoleGatewayAPI), "default", string(gen.RoleWaypoint), "default", string(gen.RoleBytes)}

// meshes says where meshes come from: all roles, unless some are named. Only a run
// over all of them reaches all branches.
func meshes(g *gen.Gen, names string) (next func() gen.MeshCase, all bool, err error) {
	known := map[string]func() gen.MeshCase{"default": g.Mesh}
	for _, r := range gen.Roles() {
		known[string(r)] = func() gen.MeshCase { return g.MeshOf(r) }
	}
	list := everyRole
	if names != "" && names != "all" {
		list = strings.Split(names, ",")
	}
	for _, name := range list {
		if known[name] == nil {
			return nil, false, fmt.Errorf("ASMJWT_ROLES: no role %q, but all, default and %v", name, gen.Roles())
		}
	}
	turn := -1
	return func() gen.MeshCase {
		turn++
		return known[list[turn%len(list)]]()
	}, names == "" || names == "all", nil
}

// asking is run.Run, or run.RunInARow.
type asking func(context.Context, []judge.Case, run.Options) ([]judge.Answer, []judge.Minted, error)

// writeFailure shrinks a failing pair with the real Envoy and writes it down.
func writeFailure(ctx context.Context, t *testing.T, dir string, f failure, ask asking) {
	t.Helper()
	// What is not known is another failure than a wrong answer.
	known := true
	fails := func(c judge.Case) bool {
		answers, minted, err := ask(ctx, []judge.Case{c}, run.Options{Sign: mint.Sign})
		if err != nil {
			return false
		}
		p, err := judge.Predict(c, minted[0])
		assumed := err == nil && slices.ContainsFunc(p.Diagnosis.Assumed, func(a diagnose.Assumption) bool { return strings.HasPrefix(a.Setting, "route of ") })
		return err == nil && !assumed && (len(p.Undetermined) == 0 || !known) && len(judge.Compare(p, answers[0])) > 0
	}
	c := f.c
	if !fails(c) {
		known = false
	}
	if fails(c) {
		c = gen.Shrink(c, fails)
	}
	answers, minted, err := ask(ctx, []judge.Case{c}, run.Options{Sign: mint.Sign})
	if err != nil {
		t.Errorf("run the shrunk pair: %v", err)
		return
	}
	p, err := judge.Predict(c, minted[0])
	if err != nil {
		t.Errorf("predict the shrunk pair: %v", err)
		return
	}
	if err := gen.WriteFolder(dir, c, answers[0], p.Answer); err != nil {
		t.Error(err)
	}
}
