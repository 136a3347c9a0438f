package run

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	lineA = `{"listener":"m0","peer":"127.0.0.1:1","details":"rbac","termination":null}` + "\n"
	lineB = `{"listener":"m0","peer":"127.0.0.1:2","details":"-","termination":"closed"}` + "\n"
)

var keyA, keyB = logKey{"m0", "127.0.0.1:1"}, logKey{"m0", "127.0.0.1:2"}

func TestReadLog_ThatLinesAreWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(lineA[:20]), 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(30 * time.Millisecond)
		_ = os.WriteFile(path, []byte(lineA+lineB), 0o600)
	}()
	lines, err := readLog(context.Background(), path, []logKey{keyA}, []logKey{keyB})
	if err != nil {
		t.Fatal(err)
	}
	if lines[keyA].text() != "rbac" || lines[keyB].text() != "closed" {
		t.Errorf("got %v", lines)
	}
}

func TestReadLog_ThatALineOfAClosedConnectionMayBeMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(lineA), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := readLog(context.Background(), path, []logKey{keyA}, []logKey{keyB})
	if err != nil || len(lines) != 1 || lines[keyB].text() != "" {
		t.Errorf("got %v, %v", lines, err)
	}
}

func TestReadLog_ThatALogWithoutTheLineIsAnError(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "no-json": "{\n"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if _, err := readLog(ctx, path, []logKey{keyA}, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
		cancel()
	}
	if _, err := readLog(context.Background(), filepath.Join(dir, "none"), []logKey{keyA}, nil); err == nil {
		t.Error("no error without a log")
	}
}
