package mesh

import (
	"strings"
	"testing"
)

// load parses manifests that are fine.
func load(t *testing.T, text string) *Snapshot {
	t.Helper()
	objects, err := Parse([]byte(text), ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// one parses a single object.
func one(t *testing.T, text string) *Object {
	t.Helper()
	objects, err := Parse([]byte(text), ParseOptions{File: "mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 {
		t.Fatalf("%d objects", len(objects))
	}
	return objects[0]
}

// messages renders errors with their hints, each on its own line.
func messages[E error](errs ...E) string {
	var b strings.Builder
	for _, err := range errs {
		b.WriteString(err.Error() + "\n")
		if h, ok := any(err).(interface{ HintLine() string }); ok && h.HintLine() != "" {
			b.WriteString("hint: " + h.HintLine() + "\n")
		}
	}
	return b.String()
}
