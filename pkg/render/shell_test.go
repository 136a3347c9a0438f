package render

import (
	"slices"
	"strings"
	"testing"
)

func TestACommandIsCutWhereAShellMayGoOn(t *testing.T) {
	for command, want := range map[string][]string{
		`kubectl asmjwt why`:                        {"kubectl", "asmjwt", "why"},
		`-H 'Origin: https://a b' --x`:              {"-H", "'Origin: https://a b'", "--x"},
		`--path '/it'\''s here' --jwt-file 'a b c'`: {"--path", `'/it'\''s here'`, "--jwt-file", "'a b c'"},
		`'a'\'' b' c`:                               {`'a'\'' b'`, "c"},
		`--jwks 'http://h/keys?a&b=FILE'`:           {"--jwks", "'http://h/keys?a&b=FILE'"},
	} {
		if got := shellWords(command); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	p := &page{style: NewStyle(false)}
	p.WriteString("next        ")
	p.shell(12, "kubectl asmjwt why deploy/httpbin -n foo -H 'Origin: https://shop.example.com' --jwt-file token.jwt")
	want := "next        kubectl asmjwt why deploy/httpbin -n foo -H \\\n              'Origin: https://shop.example.com' --jwt-file token.jwt\n"
	if p.String() != want {
		t.Errorf("got\n%s\nwant\n%s", p.String(), strings.TrimSuffix(want, "\n"))
	}
}
