package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheMedianAndItsSpreadAreThoseOfTheRuns(t *testing.T) {
	in := []float64{5, 1, 3, 9, 2}
	if median(in) != 3 || spread(in, "%.0f") != "3 [1, 9]" {
		t.Errorf("got %v, %s", median(in), spread(in, "%.0f"))
	}
}

func TestARatioThatIsNotKeptIsSaid(t *testing.T) {
	sleep, none := []string{"sleep", "0.1"}, []string{"true"}
	for _, c := range []struct {
		a, b []string
		want bool
	}{{none, sleep, true}, {sleep, none, false}} {
		var out bytes.Buffer
		ok, err := compare(context.Background(), &out, comparison{name: "x", a: c.a, b: c.b, most: 0.9}, 3)
		if err != nil {
			t.Fatal(err)
		}
		if ok != c.want || strings.Contains(out.String(), "NOT KEPT") == c.want {
			t.Errorf("%v: got %v\n%s", c.a, ok, out.String())
		}
	}
}

func TestACommandThatCannotAnswerIsAnError(t *testing.T) {
	for _, argv := range [][]string{{"no-such-command"}, {"sh", "-c", "exit 2"}} {
		if _, err := measure(context.Background(), argv); err == nil {
			t.Errorf("%v: no error", argv)
		}
	}
	if s, err := measure(context.Background(), []string{"sh", "-c", "exit 1"}); err != nil || s.wall <= 0 || s.memory <= 0 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestSizesAreComparedOfWhatWasBuiltTheSameWay(t *testing.T) {
	dir := t.TempDir()
	build := func(name, source string, args ...string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".go", []byte("package main\n"+source), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", append(append([]string{"build", "-o", file}, args...), file+".go")...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return file
	}
	stripped := []string{"-trimpath", "-ldflags", "-s -w"}
	small := build("small", "func main() {}", stripped...)
	large := build("large", "import \"net/http\"\nfunc main() { _ = http.ListenAndServe(\"\", nil) }", stripped...)
	whole := build("whole", "func main() {}", "-trimpath")
	for _, c := range []struct {
		plugin, kubectl, want string
		ok                    bool
	}{{small, large, "kept", true}, {large, small, "NOT KEPT", false}} {
		var out bytes.Buffer
		if ok, err := compareSizes(&out, c.plugin, c.kubectl); err != nil || ok != c.ok || !strings.Contains(out.String(), ": "+c.want+"\n") {
			t.Errorf("got %v, %v\n%s", ok, err, out.String())
		}
	}
	if _, err := compareSizes(io.Discard, small, whole); err == nil || !strings.Contains(err.Error(), "symbols") {
		t.Errorf("one of them has symbols: %v", err)
	}
	if _, err := compareSizes(io.Discard, small, "no-such-file"); err == nil {
		t.Error("there is no such file, and no error")
	}
}
