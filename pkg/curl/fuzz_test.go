package curl

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

func FuzzParseEndsInARequestOrInAnErrorWithAHint(f *testing.F) {
	data, err := os.ReadFile("testdata/commands.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range txtar.Parse(data).Files {
		f.Add(string(file.Data))
	}
	for _, line := range realLines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tm := time.AfterFunc(4*time.Second, func() { panic("HANG " + strconv.Quote(text)) })
		defer tm.Stop()
		c, err := Parse(text, Options{Expand: func(name string) (string, bool) { return name, len(name) == 1 }})
		var refused *Error
		switch {
		case errors.As(err, &refused):
			if refused.Problem == "" || refused.Hint == "" || strings.Contains(refused.Problem, "\n") {
				t.Errorf("an error without a problem or a hint: %q, %q", refused.Problem, refused.Hint)
			}
		case err != nil:
			t.Errorf("an error of another type: %v", err)
		case !isToken(c.Request.Method) || c.Request.Path == "" || c.Request.Port < 0:
			t.Errorf("no request: %+v", c.Request)
		default:
			for _, h := range c.Request.Headers {
				if !isToken(h.Name) || strings.ContainsAny(h.Value, "\r\n\x00") {
					t.Errorf("no header line: %q", h.Name)
				}
			}
		}
	})
}

func TestALongTokenIsReadInNoTime(t *testing.T) {
	token := strings.Repeat("a", 8<<20)
	for _, text := range []string{
		"curl http://h/ -H 'Authorization: Bearer " + token + "'",
		"curl http://h/ -H \"Authorization: Bearer " + token + "\"",
		"curl http://h/ ^\n -H \"Authorization: Bearer " + token + "\"",
		"curl http://h/ `\n -H \"Authorization: Bearer " + token + "\"",
		"T=" + token + "\ncurl http://h/ -H \"Authorization: Bearer $T\"",
	} {
		c, err := Parse(text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		lines := c.Request.Headers
		if last := lines[len(lines)-1]; last.Value != "Bearer "+token {
			t.Errorf("the token has %d bytes, want %d", len(last.Value)-len("Bearer "), len(token))
		}
	}
}
