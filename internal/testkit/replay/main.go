// Command replay holds the evaluator that it was built with against a corpus of
// pairs that a real Envoy has answered: gob on standard input. It
// exits with 1 at the first pair on which they differ. The conformance test
// builds it with mutants of the evaluator, each of which must end that way.
package main

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

func main() {
	n, differs, err := replay(os.Stdin)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	case differs != "":
		fmt.Printf("pair %d differs: %s\n", n, differs)
		os.Exit(1)
	}
	fmt.Printf("%d pairs agree\n", n)
}

// replay compares until the input ends or a pair differs, and says at which it
// stopped.
func replay(in io.Reader) (n int, differs string, err error) {
	dec := gob.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	var (
		text string
		snap *mesh.Snapshot
	)
	for {
		var p judge.Pair
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return n, "", fmt.Errorf("read pair %d: %w", n, err)
		}
		if snap == nil || p.Case.Mesh != text {
			if snap, err = judge.ParseMesh(p.Case.Mesh); err != nil {
				return n, "", err
			}
			text = p.Case.Mesh
		}
		prediction, err := judge.PredictIn(snap, p.Case, p.Minted)
		if err != nil {
			return n, err.Error(), nil
		}
		if diff := judge.Compare(prediction, p.Answer); len(diff) > 0 {
			return n, p.Case.Name + ": " + strings.Join(diff, "; "), nil
		}
		n++
	}
	if n == 0 {
		return 0, "", errors.New("there is nothing to compare")
	}
	return n, "", nil
}
