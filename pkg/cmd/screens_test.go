package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
)

// A screen is a real situation: objects that one could apply, a request, and what a
// person reads. testdata/screens has one a file; its comment says what the situation
// is, then the command, then the exit code. What the situations have in common is in
// testdata/screens/base; examples/bookinfo is there as bookinfo, the dumps of
// pkg/proxy as dumps.
//
// A file NAME.token describes a token, which is minted into NAME.jwt: a line with
// "key NAME" (p256 unless said), a line with the header, one with the payload; or one
// line "raw TEXT" or "long LENGTH".
type situation struct {
	file    string
	archive *txtar.Archive
	args    []string
	exit    int
}

const screensAt = "2026-03-11T09:30:00Z"

func situations(t *testing.T) []situation {
	t.Helper()
	files, err := filepath.Glob("testdata/screens/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no screens: %v", err)
	}
	var out []situation
	for _, f := range files {
		s := situation{file: f, exit: -1}
		if s.archive, err = txtar.ParseFile(f); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(s.archive.Comment), "\n") {
			if command, ok := strings.CutPrefix(line, "$ kubectl asmjwt "); ok {
				s.args = shellWords(t, command)
			}
			if code, ok := strings.CutPrefix(line, "exit "); ok {
				if s.exit, err = strconv.Atoi(code); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(s.args) == 0 || s.exit < 0 {
			t.Fatalf("%s has no command or no exit code", f)
		}
		out = append(out, s)
	}
	return out
}

// shellWords splits a command line at blanks outside single quotes.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	for _, w := range regexp.MustCompile(`(?:[^ ']|'[^']*')+`).FindAllString(line, -1) {
		out = append(out, strings.ReplaceAll(w, "'", ""))
	}
	return out
}

func (s *situation) name() string { return strings.TrimSuffix(filepath.Base(s.file), ".txtar") }

// lay writes the files of the situation into a folder, and mints its tokens.
func (s *situation) lay(t *testing.T) (dir string, tokens []string) {
	t.Helper()
	dir = t.TempDir()
	for name, from := range map[string]string{"base": "testdata/screens/base", "bookinfo": "../../examples/bookinfo", "dumps": "../proxy/testdata"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range s.archive.Files {
		data := f.Data
		name := f.Name
		if base, ok := strings.CutSuffix(name, ".token"); ok {
			name, data = base+".jwt", []byte(minted(t, string(f.Data)))
			tokens = append(tokens, string(data))
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, tokens
}

// minted makes the token that a description asks for.
func minted(t *testing.T, text string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if raw, ok := strings.CutPrefix(lines[0], "raw "); ok {
		return raw
	}
	if length, ok := strings.CutPrefix(lines[0], "long "); ok {
		n, err := strconv.Atoi(length)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Repeat("a", n)
	}
	keys := map[string]mint.Key{
		"p256": mint.P256(), "p256-other": mint.OtherP256(), "rsa": mint.RSA(), "rsa-other": mint.OtherRSA(), "ed25519": mint.Ed25519(),
	}
	name := "p256"
	if n, ok := strings.CutPrefix(lines[0], "key "); ok {
		name, lines = n, lines[1:]
	}
	key, ok := keys[name]
	if !ok || len(lines) != 2 {
		t.Fatalf("no token can be made of %q", text)
	}
	var header struct {
		Alg string `json:"alg"`
	}
	_ = json.Unmarshal([]byte(lines[0]), &header) // some are no JSON: that is the point
	if !slices.Contains(key.Algorithms(), header.Alg) {
		return mint.TokenAlg(key, key.Algorithms()[0], lines[0], lines[1])
	}
	return mint.Token(key, lines[0], lines[1])
}

// run is what a person sees in the situation.
func (s *situation) run(t *testing.T, dir string, env map[string]string, terminal bool, more ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(dir)
	args := slices.Clone(s.args)
	if args[0] == "why" && !slices.Contains(args, "--at") {
		args = append(args, "--at", screensAt)
	}
	var out, err bytes.Buffer
	code = Main(context.Background(), Process{
		Name: "/usr/local/bin/kubectl-asmjwt", Args: append(args, more...), In: strings.NewReader(""), Out: &out, Err: &err,
		LookupEnv:     func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Now:           func() time.Time { return time.Unix(1_800_000_000, 0) },
		OutIsTerminal: terminal,
	})
	return code, out.String(), err.String()
}

func (s *situation) golden() []byte {
	for _, f := range s.archive.Files {
		if f.Name == "screen" {
			return f.Data
		}
	}
	return nil
}

func TestScreensAreAsTheirSituationsShow(t *testing.T) {
	for _, s := range situations(t) {
		t.Run(s.name(), func(t *testing.T) {
			wd, _ := os.Getwd()
			dir, _ := s.lay(t)
			code, stdout, stderr := s.run(t, dir, nil, false)
			t.Chdir(wd)
			if code != s.exit {
				t.Errorf("exit code %d, want %d", code, s.exit)
			}
			got := stderr + stdout
			if *update {
				s.archive.Files = append(slices.DeleteFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == "screen" }),
					txtar.File{Name: "screen", Data: []byte(got)})
				if err := os.WriteFile(s.file, txtar.Format(s.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(s.golden()); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

var colourCodes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Whoever reads a screen in a narrow window, without colours, through a pipe, reads
// the same.
func TestScreensSayTheSameHoweverTheyAreRead(t *testing.T) {
	for _, s := range situations(t) {
		if s.args[0] != "why" || s.exit == exitUsage {
			continue
		}
		t.Run(s.name(), func(t *testing.T) {
			dir, tokens := s.lay(t)
			_, plain, _ := s.run(t, dir, nil, false)
			_, coloured, _ := s.run(t, dir, nil, true)
			if plain != colourCodes.ReplaceAllString(coloured, "") || !strings.Contains(coloured, "\x1b[") {
				t.Error("with colours it says something else, or there are none")
			}
			_, narrow, _ := s.run(t, dir, map[string]string{"COLUMNS": "40"}, false)
			fits(t, plain, 80)
			fits(t, narrow, 40)
			code, line, _ := s.run(t, dir, nil, false, "-q")
			if code != s.exit || strings.Count(line, "\n") != 1 {
				t.Errorf("-q exits %d and says %q", code, line)
			}
			first := strings.Fields(strings.Split(plain, "decided by  ")[0])
			for i, w := range strings.Fields(line) {
				if i < len(first) && !strings.Contains(w+first[i], "…") && w != first[i] && strings.Fields(plain)[i] != w {
					t.Errorf("-q says %q, the screen %q", line, plain)
					break
				}
			}
			code, wide, stderr := s.run(t, dir, nil, false, "-o", "wide")
			if code != s.exit || strings.Contains(strings.ReplaceAll(wide, "why …", ""), "…") || stderr != "" {
				t.Errorf("-o wide exits %d, and cuts, or complains: %s", code, stderr)
			}
			for _, token := range tokens {
				for _, text := range []string{plain, narrow, line, wide} {
					if len(leaks(text, token)) > 0 {
						t.Error("a piece of a token is on the screen")
					}
				}
			}
		})
	}
}

// fits fails if a line is wider than the terminal, unless it has a single word that is
// to be copied.
func fits(t *testing.T, screen string, columns int) {
	t.Helper()
	for i, line := range strings.Split(screen, "\n") {
		words := len(strings.Fields(line))
		if utf8.RuneCountInString(line) > columns && words > 2 && !strings.HasPrefix(line, "more") && !strings.Contains(line, `"`) {
			t.Errorf("line %d has %d columns: %s", i+1, utf8.RuneCountInString(line), line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("line %d ends in blanks", i+1)
		}
	}
}

// A code is worth its page only if somebody can meet it.
func TestEveryCodeIsOnAScreen(t *testing.T) {
	var all strings.Builder
	err := filepath.WalkDir("testdata", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".txtar") && !strings.HasSuffix(path, ".golden") {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// What only a live mesh with two planes can show is on no screen from files.
	live := []diag.Code{diag.NamespaceOneSided, diag.ObjectManaged}
	for _, c := range diag.Codes() {
		if !slices.Contains(live, c) && !strings.Contains(all.String(), string(c)) {
			t.Errorf("%s (%s) is on no screen under testdata", c, c.Title())
		}
	}
}
