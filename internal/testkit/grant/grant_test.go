package grant

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// How much is tried. GRANT_SEED and GRANT_PAIRS change the seed and the number; with
// another number and no seed, the seed is a new one.
const (
	pairsWanted     = 10_000
	defaultSeed     = 1
	requestsPerMesh = 24
	workers         = 2
	// impossibleShare is how many of a hundred conditions may be such that no request
	// can satisfy them. Every request to such a mesh is denied, so that more of the
	// pairs meet one.
	impossibleShare = 25
)

// seedOf reads the seed from the environment.
func seedOf(t *testing.T) uint64 {
	text := os.Getenv("GRANT_SEED")
	switch {
	case text == "" && os.Getenv("GRANT_PAIRS") == "":
		return defaultSeed
	case text == "":
		return rand.Uint64() >> 32
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("GRANT_SEED: %v", err)
	}
	return seed
}

func pairsOf(t *testing.T) int {
	text := os.Getenv("GRANT_PAIRS")
	if text == "" {
		return pairsWanted
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("GRANT_PAIRS: %v", err)
	}
	return n
}

// What is said of a failed condition of a trace is true: give it what it wanted, and
// it fails no more.
func TestGivingTheFirstFailedConditionWhatItWantedRemovesItFromTheNextTrace(t *testing.T) {
	seed, wanted := seedOf(t), pairsOf(t)
	t.Logf("seed %d (GRANT_SEED=%d gives the same pairs)", seed, seed)
	var tally tally
	var wg sync.WaitGroup
	for i := range workers {
		share := wanted / workers
		if i == 0 {
			share += wanted % workers
		}
		wg.Go(func() {
			run := &run{gen: gen.New(seed + uint64(i)), granter: New(), sign: rememberingSign(), fail: t.Errorf}
			run.until(share)
			tally.add(run.tally)
		})
	}
	wg.Wait()
	t.Log(tally.String())
	if tally.granted < wanted {
		t.Errorf("only %d pairs were granted, %d are wanted", tally.granted, wanted)
	}
	if never, all := len(tally.never), len(tally.never)+len(tally.once); never*100 > impossibleShare*all {
		t.Errorf("%d of %d conditions are said to be impossible: that is too many", never, all)
	}
}

// tally counts what became of the pairs.
type tally struct {
	sync.Mutex
	pairs, denied, granted, nothing int
	// impossible counts the reasons, fields the fields that were granted, after
	// what decides then.
	impossible, fields, after map[string]int
	// once are the conditions, of all meshes, that were granted; never those that
	// cannot be.
	once, never map[string]int
}

func (t *tally) seen(in *map[string]int, mesh string, at origin.Origin) {
	(*in)[mesh+at.String()]++
}

func (t *tally) add(o *tally) {
	t.Lock()
	defer t.Unlock()
	t.pairs += o.pairs
	t.denied += o.denied
	t.granted += o.granted
	t.nothing += o.nothing
	for _, m := range []struct {
		into *map[string]int
		from map[string]int
	}{{&t.impossible, o.impossible}, {&t.fields, o.fields}, {&t.after, o.after}, {&t.once, o.once}, {&t.never, o.never}} {
		for k, n := range m.from {
			if *m.into == nil {
				*m.into = map[string]int{}
			}
			(*m.into)[k] += n
		}
	}
}

func (t *tally) count(m map[string]int) int {
	sum := 0
	for _, n := range m {
		sum += n
	}
	return sum
}

func (t *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d pairs, %d denied with [none]: %d granted, %d cannot be, %d have no condition that failed\n"+
		"%d conditions were granted, %d cannot be\n", t.pairs, t.denied, t.granted, t.count(t.impossible), t.nothing, len(t.once), len(t.never))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, m := range []struct {
		title string
		of    map[string]int
	}{{"granted", t.fields}, {"impossible", t.impossible}, {"after the grant", t.after}} {
		var names []string
		for k := range m.of {
			names = append(names, k)
		}
		sort.Slice(names, func(i, j int) bool {
			return m.of[names[i]] > m.of[names[j]] || m.of[names[i]] == m.of[names[j]] && names[i] < names[j]
		})
		_, _ = fmt.Fprintf(w, "%s\t\t\n", m.title)
		for _, k := range names {
			_, _ = fmt.Fprintf(w, "\t%d\t %s\n", m.of[k], k)
		}
	}
	_ = w.Flush()
	return b.String()
}

// run goes through the meshes of one generator.
type run struct {
	tally   *tally
	gen     *gen.Gen
	granter *Granter
	sign    judge.Sign
	fail    func(format string, args ...any)
	failed  int
}

func (r *run) until(granted int) {
	r.tally = &tally{impossible: map[string]int{}, fields: map[string]int{}, after: map[string]int{},
		once: map[string]int{}, never: map[string]int{}}
	const enough = 10 // failures
	const perGrant, atLeast = 20, 10_000
	for r.tally.granted < granted && r.failed < enough && r.tally.pairs < perGrant*granted+atLeast {
		m := r.gen.Mesh()
		w, err := prepare(m)
		if err != nil {
			r.report(m.Name, "%v", err)
			continue
		}
		if !hasAllow(w.proxy) {
			continue
		}
		for _, c := range r.gen.Requests(m, requestsPerMesh) {
			r.pair(w, c)
		}
	}
}

func (r *run) report(name, format string, args ...any) {
	r.failed++
	r.fail("%s: %s", name, fmt.Sprintf(format, args...))
}

func hasAllow(p *envoy.Proxy) bool {
	for _, f := range rbacFilters(p, envoy.Allow) {
		if f.Rules != nil {
			return true
		}
	}
	return false
}

const noneMatched = "rbac_access_denied_matched_policy[none]"

// pair denies, grants and looks again.
func (r *run) pair(w *world, c judge.Case) {
	r.tally.pairs++
	if c.Request.Method == "CONNECT" {
		return // it has no path, and so no place for most that could be given
	}
	if !couldBeDenied(w, c) {
		return
	}
	req, err := w.request(c, r.sign)
	if err != nil {
		r.report(c.Name, "%v", err)
		return
	}
	before := envoy.Evaluate(w.proxy, req, w.keys)
	if before.Verdict.Details != noneMatched {
		return
	}
	r.tally.denied++
	failed := failedConditions(before)
	if len(failed) == 0 {
		r.tally.nothing++
		return
	}
	changed, why := r.granter.Grant(w.proxy, w.keys, req, failed[0])
	if why != "" {
		r.tally.impossible[string(why)]++
		r.tally.seen(&r.tally.never, c.Mesh, failed[0])
		return
	}
	if details := envoy.Evaluate(w.proxy, changed, w.keys).Verdict.Details; len(changed.Headers) > len(req.Headers) && strings.Contains(details, "headers") && strings.HasPrefix(details, "http") {
		r.tally.impossible["the request has as many headers as it may have"]++
		return
	}
	if problem := holds(w, changed, failed[0]); problem != "" {
		r.report(c.Name, "%s, of which the trace said that it failed, was given what it wanted: %s", failed[0], problem)
		return
	}
	r.tally.granted++
	r.tally.seen(&r.tally.once, c.Mesh, failed[0])
	r.tally.fields[fieldOf(failed[0], w.proxy)]++
	r.tally.after[answerOf(envoy.Evaluate(w.proxy, changed, w.keys).Verdict)]++
}

// couldBeDenied looks at the request before its tokens are signed, which takes long.
func couldBeDenied(w *world, c judge.Case) bool {
	unsigned := func(_, _ string, _ []byte) ([]byte, error) { return make([]byte, 512), nil }
	req, err := w.request(c, unsigned)
	if err != nil {
		return true
	}
	v := envoy.Evaluate(w.proxy, req, nil).Verdict
	for _, p := range append(v.Possible, v) {
		if p.Details == noneMatched {
			return true
		}
	}
	return false
}

// failedConditions are the conditions that a trace names: of each rule of the
// enforced ALLOW policies, the first of each entry that does not hold.
func failedConditions(t envoy.Trace) []origin.Origin {
	var out []origin.Origin
	for _, s := range t.Steps {
		if s.Stage != envoy.StageAllow {
			continue
		}
		for _, policy := range s.Steps {
			for _, c := range policy.Steps {
				if !policy.Shadow && policy.Outcome != envoy.Matched && c.Outcome != envoy.Skipped && c.Outcome != envoy.Matched {
					out = append(out, c.Origin)
				}
			}
		}
	}
	return out
}

// holds says what is wrong with a request in which the condition ought to hold;
// empty if nothing is.
func holds(w *world, r *envoy.Request, at origin.Origin) string {
	for _, o := range failedConditions(envoy.Evaluate(w.proxy, r, w.keys)) {
		if o == at {
			return "the next trace names it again"
		}
	}
	// A DENY policy in front may keep the next trace from getting that far.
	noDeny := With(w.proxy, func(f envoy.Filter) bool {
		rbac, ok := f.(*envoy.RBAC)
		_, custom := f.(*envoy.ExtAuthz)
		return !custom && (!ok || rbac.Action != envoy.Deny)
	})
	trace := envoy.Evaluate(noDeny, r, w.keys)
	for _, o := range failedConditions(trace) {
		if o == at {
			return "the next trace, without DENY policies, names it again"
		}
	}
	if !reaches(trace) {
		return "the request does not get to the ALLOW policies: " + answerOf(trace.Verdict)
	}
	// And the condition holds where nothing else is asked.
	alone := With(w.proxy, func(f envoy.Filter) bool { _, ok := f.(*envoy.JWTAuthn); return ok }, only(Find(w.proxy, at)))
	trace = envoy.Evaluate(alone, r, w.keys)
	if !reaches(trace) || len(failedConditions(trace)) > 0 {
		return "alone it does not hold: " + answerOf(trace.Verdict)
	}
	return ""
}

// reaches says whether the ALLOW policies were asked.
func reaches(t envoy.Trace) bool {
	return slices.ContainsFunc(t.Steps, func(s envoy.Step) bool { return s.Stage == envoy.StageAllow })
}

// only is an ALLOW filter with nothing but this condition.
func only(c *envoy.Condition) envoy.Filter {
	return &envoy.RBAC{Action: envoy.Allow, Rules: &envoy.RuleSet{Policies: []envoy.Policy{{
		ID: "only", Permissions: []envoy.Clause{{}}, Principals: []envoy.Clause{{Conditions: []envoy.Condition{*c}}},
	}}}}
}

func answerOf(v envoy.Verdict) string {
	if v.Decision != envoy.Denied {
		return string(v.Decision)
	}
	details, _, _ := strings.Cut(v.Details, "[")
	if v.Details == noneMatched {
		details = v.Details
	}
	return fmt.Sprintf("%d %s", v.Status, details)
}

// fieldOf is the kind of a condition, for the table.
func fieldOf(at origin.Origin, p *envoy.Proxy) string {
	c := Find(p, at)
	name := strings.TrimPrefix(fmt.Sprintf("%T", c.Matchers[0]), "*envoy.")
	if i := strings.LastIndexByte(at.Field, '.'); i >= 0 {
		name += " " + at.Field[i+1:]
	}
	return name
}
