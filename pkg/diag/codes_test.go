package diag

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var form = regexp.MustCompile(`^AJ0[1-6][0-9]{2}$`)

func TestCodesAreUniqueSortedAndHaveATitle(t *testing.T) {
	codes := Codes()
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) || len(codes) == 0 {
		t.Errorf("the codes are %v", codes)
	}
	titles := map[string]Code{}
	for _, c := range codes {
		title := c.Title()
		if other, ok := titles[title]; ok || title == "" {
			t.Errorf("%s and %s are both %q", other, c, title)
		}
		titles[title] = c
	}
	if Code("AJ9999").Title() != "" || Code("").Title() != "" {
		t.Error("what is no code has a title")
	}
}

// Every constant of type Code is listed, and no two have one value.
func TestEveryDeclaredCodeIsListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[Code]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		c, name := Code(text), spec.Names[0].Name
		if other, twice := declared[c]; twice {
			t.Errorf("%s and %s are both %s", other, name, c)
		}
		if !form.MatchString(text) {
			t.Errorf("%s is %q, which is no code", name, text)
		}
		declared[c] = name
		return true
	})
	for _, c := range Codes() {
		if _, ok := declared[c]; !ok {
			t.Errorf("%s is listed and not declared", c)
		}
	}
	if len(declared) != len(Codes()) {
		t.Errorf("%d are declared, %d listed", len(declared), len(Codes()))
	}
}

// Every code has a page that says what to do, in a terminal's width, of characters
// that every terminal has.
func TestEveryCodeHasAPageThatFitsIntoATerminal(t *testing.T) {
	for _, c := range Codes() {
		page := c.Page()
		lines := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
		if len(lines) < 5 || lines[0] != "# "+string(c)+": "+c.Title() || lines[1] != "" {
			t.Errorf("%s: the page begins with %q", c, lines[0])
		}
		if !strings.Contains(page, "What to do") {
			t.Errorf("%s: the page does not say what to do", c)
		}
		for i, line := range lines {
			if len(line) > 80 || strings.TrimRight(line, " ") != line {
				t.Errorf("%s: line %d does not fit, or ends in blanks: %q", c, i+1, line)
			}
		}
		for _, r := range page {
			if r != '\n' && (r < ' ' || r > '~') && r != '…' {
				t.Errorf("%s: the page has %U", c, r)
			}
		}
	}
	if Code("AJ9999").Page() != "" || Code("../codes").Page() != "" {
		t.Error("what is no code has a page")
	}
}
