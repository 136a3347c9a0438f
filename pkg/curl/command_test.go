package curl

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the goldens anew")

// described is a command as a golden shows it.
func described(text string) string {
	known := func(name string) (string, bool) { return "filled-in", name == "FILLED" }
	c, err := Parse(text, Options{Expand: known})
	var refused *Error
	if errors.As(err, &refused) {
		return fmt.Sprintf("error: %s\nhint: %s\n", refused.Error(), refused.Hint)
	}
	var out strings.Builder
	r := c.Request
	fmt.Fprintf(&out, "%s to %s port %d", r.Scheme, r.Hostname, r.Port)
	if r.Protocol != 0 {
		out.WriteString(", HTTP/2")
	}
	if c.Exec != nil {
		fmt.Fprintf(&out, ", from %q in %q, container %q", c.Exec.Target, c.Exec.Namespace, c.Exec.Container)
	}
	out.WriteString("\n")
	out.WriteString(wire(r))
	for _, n := range c.Notes {
		out.WriteString("note: " + n + "\n")
	}
	return out.String()
}

func TestCommandLinesOfManyStylesAreTheRequestThatCurlSends(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/commands.txtar")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "requests.txtar")
	var out txtar.Archive
	for _, f := range archive.Files {
		out.Files = append(out.Files, txtar.File{Name: f.Name, Data: []byte(described(string(f.Data)))})
	}
	if *update {
		if err := os.WriteFile(golden, txtar.Format(&out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Files) != len(out.Files) {
		t.Fatalf("%d commands, %d requests", len(out.Files), len(want.Files))
	}
	for i, f := range out.Files {
		t.Run(f.Name, func(t *testing.T) {
			if want.Files[i].Name != f.Name {
				t.Fatalf("the golden has %q in its place", want.Files[i].Name)
			}
			if refused := strings.HasPrefix(f.Name, "R "); refused != strings.HasPrefix(string(f.Data), "error: ") {
				t.Errorf("refused: %v, want %v", !refused, refused)
			}
			if got := string(f.Data); got != string(want.Files[i].Data) {
				t.Errorf("got\n%s\nwant\n%s", got, want.Files[i].Data)
			}
		})
	}
}
