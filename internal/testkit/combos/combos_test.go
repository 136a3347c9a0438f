package combos

import (
	"testing"
)

func TestEachTwoValuesOfEachTwoFlagsMeet(t *testing.T) {
	all := parts()
	names := order()
	factors := make([]factor, len(names))
	for i, n := range names {
		factors[i] = factor{n, len(all[n])}
	}
	ok := func(r row) bool { return sensible(all, names, r) }
	rows := pairwise(factors, 1, ok)
	met := map[[4]int]bool{}
	for _, r := range rows {
		if !ok(r) {
			t.Errorf("a row is forbidden: %v", r)
		}
		for a := range r {
			for b := a + 1; b < len(r); b++ {
				met[[4]int{a, r[a], b, r[b]}] = true
			}
		}
	}
	missing := 0
	for a := range factors {
		for b := a + 1; b < len(factors); b++ {
			for x := range factors[a].values {
				for y := range factors[b].values {
					if !met[[4]int{a, x, b, y}] {
						missing++
						if canMeet(factors, ok, a, x, b, y) {
							t.Errorf("%s %q and %s %q never meet", names[a], all[names[a]][x].name, names[b], all[names[b]][y].name)
						}
					}
				}
			}
		}
	}
	t.Logf("%d rows, %d pairs that exclude each other", len(rows), missing)
	if len(rows) < 50 {
		t.Errorf("only %d rows", len(rows))
	}
}

// canMeet looks for a row with two values, all else being as plain as can be.
func canMeet(factors []factor, ok func(row) bool, a, x, b, y int) bool {
	r := make(row, len(factors))
	r[a], r[b] = x, y
	return ok(r)
}
