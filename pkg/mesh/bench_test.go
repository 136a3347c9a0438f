package mesh

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/bigmesh"
)

func BenchmarkLoad(b *testing.B) {
	for _, form := range []struct {
		name         string
		list, server bool
	}{{"documents", false, false}, {"list", true, true}} {
		data := bigmesh.Manifests(1000, form.list, form.server)
		b.Run(form.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				objects, err := Parse(data, ParseOptions{File: "mesh.yaml"})
				if err != nil {
					b.Fatal(err)
				}
				snap, err := NewSnapshot(objects, nil)
				if err != nil {
					b.Fatal(err)
				}
				if problems := snap.Check(); len(problems) > 0 || snap.Len() != 27000 {
					b.Fatal(snap.Len(), problems)
				}
			}
		})
	}
}
