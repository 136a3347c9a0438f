package conformance

import (
	"bufio"
	"encoding/gob"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/tcases"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// failure is a pair on which evaluator and Envoy differ.
type failure struct {
	c    judge.Case
	diff []string
}

// tally counts what a run has seen.
type tally struct {
	compared int
	statuses map[int]int
	denied   int
	branches map[envoy.Branch]int
	// roles counts the pairs of each role, and those of ports that carry bytes,
	// whatever the role.
	roles    map[string]int
	rows     []row
	failures []failure
}

// The roles as they are counted, each with a tenth of the pairs at least.
const (
	roleTCP     = "ports that carry bytes"
	roleClassic = "classic gateways"
)

// count notes a pair under its role, and under that of bytes.
func (t *tally) count(c judge.Case, d *diagnose.Diagnosis) {
	role := "sidecars"
	switch {
	case strings.Contains(c.Name, "/"+string(gen.RoleGatewayAPI)):
		role = "Gateway API gateways"
	case strings.Contains(c.Name, "/"+string(gen.RoleWaypoint)):
		role = "waypoints"
	case d.Target.Role == string(envoy.RoleGateway):
		role = roleClassic
	}
	t.roles[role]++
	if d.Branches.Has(envoy.BranchTCP) {
		t.roles[roleTCP]++
	}
}

// row is a row of the specification, with the branches that its cases take. A
// pair reaches the row when it takes them too and ends with the same status.
type row struct {
	name    string
	takes   []taken
	reached int
}

type taken struct {
	branches envoy.BranchSet
	status   int
}

func newTally() *tally {
	t := &tally{statuses: map[int]int{}, branches: map[envoy.Branch]int{}, roles: map[string]int{}}
	now := time.Now().Unix()
	for _, c := range tcases.All() {
		if len(t.rows) == 0 || t.rows[len(t.rows)-1].name != c.Row {
			t.rows = append(t.rows, row{name: c.Row})
		}
		r, err := c.Request.Mint(now, mint.Sign)
		if err != nil {
			continue
		}
		m := judge.Minted{Time: now, Request: r, Source: "127.0.0.1:40000", Destination: fmt.Sprintf("127.1.2.3:%d", c.Port)}
		p, err := judge.Predict(c.Case, m)
		if err != nil {
			continue
		}
		last := &t.rows[len(t.rows)-1]
		last.takes = append(last.takes, taken{p.Diagnosis.Branches, p.Status})
	}
	return t
}

// verdictOf is what became of one pair.
type verdictOf struct {
	p    judge.Prediction
	diff []string
	err  error
}

// batch predicts and compares all pairs of a batch, on all processors.
func (t *tally) batch(tb testing.TB, cases []judge.Case, answers []judge.Answer, minted []judge.Minted) {
	tb.Helper()
	out := make([]verdictOf, len(cases))
	forEachMesh(cases, func(snap *mesh.Snapshot, err error, i int) {
		out[i] = judgePair(snap, err, cases[i], answers[i], minted[i])
	})
	for i, v := range out {
		t.add(cases[i], answers[i], v)
	}
}

// forEachMesh calls f with each case's index, on all processors; cases of one mesh that
// stand together share what was parsed.
func forEachMesh(cases []judge.Case, f func(snap *mesh.Snapshot, err error, i int)) {
	var wg sync.WaitGroup
	next := make(chan [2]int)
	for range runtime.NumCPU() {
		wg.Go(func() {
			for span := range next {
				snap, err := judge.ParseMesh(cases[span[0]].Mesh)
				for i := span[0]; i < span[1]; i++ {
					f(snap, err, i)
				}
			}
		})
	}
	for from := 0; from < len(cases); {
		to := from + 1
		for to < len(cases) && cases[to].Mesh == cases[from].Mesh {
			to++
		}
		next <- [2]int{from, to}
		from = to
	}
	close(next)
	wg.Wait()
}

func judgePair(snap *mesh.Snapshot, err error, c judge.Case, a judge.Answer, m judge.Minted) verdictOf {
	if err != nil {
		return verdictOf{err: err}
	}
	p, err := judge.PredictIn(snap, c, m)
	if err != nil {
		return verdictOf{err: err}
	}
	return verdictOf{p: p, diff: judge.Compare(p, a)}
}

func (t *tally) add(c judge.Case, a judge.Answer, v verdictOf) {
	t.compared++
	if v.err != nil {
		v.diff = []string{v.err.Error()}
	}
	if len(v.diff) > 0 {
		if len(t.failures) < mostFailures {
			t.failures = append(t.failures, failure{c, v.diff})
		}
		return
	}
	t.statuses[a.Status]++
	if a.Status != 200 || a.GRPCStatus != nil {
		t.denied++
	}
	t.count(c, v.p.Diagnosis)
	bs := v.p.Diagnosis.Branches
	for _, b := range envoy.Branches() {
		if bs.Has(b) {
			t.branches[b]++
		}
	}
	for i := range t.rows {
		for _, k := range t.rows[i].takes {
			if k.status == v.p.Status && contains(bs, k.branches) {
				t.rows[i].reached++
				break
			}
		}
	}
}

func contains(all, some envoy.BranchSet) bool {
	for i := range some {
		if some[i]&^all[i] != 0 {
			return false
		}
	}
	return true
}

// rare lists the branches that fewer than least pairs have reached.
func (t *tally) rare(least int) []envoy.Branch {
	var out []envoy.Branch
	for _, b := range envoy.Branches() {
		if t.branches[b] < least {
			out = append(out, b)
		}
	}
	return out
}

func (t *tally) report(w io.Writer, seed uint64, took time.Duration) {
	fmt.Fprintf(w, "%d pairs compared in %.0f s (%.0f a second), %d denied, %d differ; seed %d\n",
		t.compared, took.Seconds(), float64(t.compared)/took.Seconds(), t.denied, len(t.failures), seed)
	statuses := make([]int, 0, len(t.statuses))
	for s := range t.statuses {
		statuses = append(statuses, s)
	}
	sort.Ints(statuses)
	for _, s := range statuses {
		fmt.Fprintf(w, "  status %3d: %d pairs\n", s, t.statuses[s])
	}
	fmt.Fprintln(w, "pairs of each role:")
	for _, r := range slices.Sorted(maps.Keys(t.roles)) {
		fmt.Fprintf(w, "  %6d %s\n", t.roles[r], r)
	}
	fmt.Fprintln(w, "pairs that reach each branch of the evaluator:")
	for _, b := range envoy.Branches() {
		fmt.Fprintf(w, "  %6d %s\n", t.branches[b], b)
	}
	fmt.Fprintln(w, "pairs that take the branches of each row:")
	for i, r := range t.rows {
		fmt.Fprintf(w, "  %s %d", r.name, r.reached)
		if i%10 == 9 {
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
}

// corpus is the log of a run, for the mutants: pairs as gob, which keeps bytes
// that are no UTF-8.
type corpus struct {
	f   *os.File
	w   *bufio.Writer
	enc *gob.Encoder
}

// reportFile is where the last run says what it has seen; make shows it.
func reportFile() string {
	return filepath.Join("..", "..", ".cache", "conformance", "report.txt")
}

func openReport() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(reportFile()), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(reportFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// corpusFile is where the last run's pairs are.
func corpusFile() string {
	return filepath.Join("..", "..", ".cache", "conformance", "corpus.gob")
}

func openCorpus() (*corpus, error) {
	if err := os.MkdirAll(filepath.Dir(corpusFile()), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(corpusFile())
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	return &corpus{f, w, gob.NewEncoder(w)}, nil
}

func (c *corpus) write(cases []judge.Case, answers []judge.Answer, minted []judge.Minted) error {
	for i := range cases {
		if err := c.enc.Encode(judge.Pair{Case: cases[i], Minted: minted[i], Answer: answers[i]}); err != nil {
			return err
		}
	}
	return nil
}

func (c *corpus) close() error {
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.f.Close()
}
