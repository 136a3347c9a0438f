// Package combos makes command lines of scaffold such that each two values of each two
// flags meet in one of them. Tests of pkg/cmd run them; test/conformance asks Istio's
// validation and a real Envoy about what they print.
package combos

import "slices"

// factor is one thing that a command line can say, in one of several ways.
type factor struct {
	name   string
	values int
}

// row is the value of each factor.
type row []int

// pairwise gives rows in which each pair of values of each two factors meets, unless ok
// forbids it. It is greedy, and deterministic: the dice begin where the seed says.
func pairwise(factors []factor, seed uint64, ok func(row) bool) []row {
	type pair struct{ a, x, b, y int }
	open := map[pair]bool{}
	for a := range factors {
		for b := a + 1; b < len(factors); b++ {
			for x := range factors[a].values {
				for y := range factors[b].values {
					open[pair{a, x, b, y}] = true
				}
			}
		}
	}
	dice := seed*2862933555777941757 + 3037000493
	roll := func(n int) int {
		dice ^= dice << 13
		dice ^= dice >> 7
		dice ^= dice << 17
		return int(dice % uint64(n))
	}
	covers := func(r row) int {
		n := 0
		for a := range r {
			for b := a + 1; b < len(r); b++ {
				if open[pair{a, r[a], b, r[b]}] {
					n++
				}
			}
		}
		return n
	}
	var out []row
	const tries = 60
	for len(open) > 0 {
		var best row
		most := 0
		for range tries {
			r := make(row, len(factors))
			for i, f := range factors {
				r[i] = roll(f.values)
			}
			for i := range factors { // climb: the best value of each factor in turn
				was, top := r[i], -1
				keep := was
				for v := range factors[i].values {
					r[i] = v
					if n := covers(r); ok(r) && n > top {
						top, keep = n, v
					}
				}
				r[i] = keep
			}
			if n := covers(r); ok(r) && n > most {
				most, best = n, append(row(nil), r...)
			}
		}
		if best == nil {
			// What is left excludes each other, or needs all else to be as plain as can be.
			for p := range open {
				r := make(row, len(factors))
				r[p.a], r[p.b] = p.x, p.y
				if ok(r) && (best == nil || slices.Compare(r, best) < 0) {
					best = r
				}
			}
		}
		if best == nil {
			break
		}
		for a := range best {
			for b := a + 1; b < len(best); b++ {
				delete(open, pair{a, best[a], b, best[b]})
			}
		}
		out = append(out, best)
	}
	return out
}
