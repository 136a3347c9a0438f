package gen

import (
	"reflect"
	"testing"
)

func TestGen_ThatASeedAlwaysGivesTheSame(t *testing.T) {
	a, b, other := New(7), New(7), New(8)
	differ := false
	for range 50 {
		ma, mb, mo := a.Mesh(), b.Mesh(), other.Mesh()
		if !reflect.DeepEqual(ma, mb) {
			t.Fatalf("two meshes of one seed differ: %s", ma.Name)
		}
		if !reflect.DeepEqual(a.Requests(ma, 5), b.Requests(mb, 5)) {
			t.Fatalf("two rounds of requests of one seed differ: %s", ma.Name)
		}
		differ = differ || ma.YAML != mo.YAML
	}
	if !differ {
		t.Error("two seeds give the same meshes")
	}
	if !reflect.DeepEqual(a.Counts(), b.Counts()) {
		t.Error("the counts differ")
	}
}

func TestGen_ThatRequestsDependOnTheMeshAndNotOnWhatCameBefore(t *testing.T) {
	g := New(3)
	first := g.Mesh()
	want := g.Requests(first, 4)
	g.Requests(g.Mesh(), 9)
	if got := g.Requests(first, 4); !reflect.DeepEqual(got, want) {
		t.Error("a second round of requests to a mesh differs from the first")
	}
}
