package run

import (
	"net/netip"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

func TestReserve_ThatTwoRunsNeverShareAnAddress(t *testing.T) {
	var all []*batch
	seen := map[netip.AddrPort]bool{}
	for range 20 {
		b := &batch{}
		if err := b.reserve(); err != nil {
			t.Fatal(err)
		}
		defer b.guard.Close()
		for range blockSize {
			b.meshes = append(b.meshes, &prepared{Mesh: &Mesh{first: &judge.Case{Port: 80}}, generated: &generated{}})
		}
		all = append(all, b)
	}
	for _, b := range all {
		for _, i := range []int{0, blockSize - 1} {
			a := b.address(i)
			if seen[a] {
				t.Errorf("%s twice", a)
			}
			seen[a] = true
			if !netip.MustParsePrefix(Addresses).Contains(a.Addr()) || a.Port() != 80 || b.guard.Addr().String() == a.String() {
				t.Errorf("address %s", a)
			}
		}
	}
}

func TestReserve_ThatABlockInUseIsPassedOver(t *testing.T) {
	first := &batch{}
	if err := first.reserve(); err != nil {
		t.Fatal(err)
	}
	defer first.guard.Close()
	second := &batch{}
	if err := second.hold(first.block); err == nil {
		second.guard.Close()
		t.Error("the block was given twice")
	}
}
