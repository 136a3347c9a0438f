package lazyregexp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestItFindsWhatPackageRegexpFinds(t *testing.T) {
	const expression = `(\d+)-(\w)`
	lazy, plain := New(expression), regexp.MustCompile(expression)
	for _, s := range []string{"", "a 12-x and 3-y", "none"} {
		if lazy.MatchString(s) != plain.MatchString(s) || lazy.FindString(s) != plain.FindString(s) ||
			len(lazy.FindStringIndex(s)) != len(plain.FindStringIndex(s)) ||
			strings.Join(lazy.FindStringSubmatch(s), "|") != strings.Join(plain.FindStringSubmatch(s), "|") ||
			lazy.ReplaceAllStringFunc(s, strings.ToUpper) != plain.ReplaceAllStringFunc(s, strings.ToUpper) {
			t.Errorf("%q: the two differ", s)
		}
	}
}

// A wrong expression would otherwise be found only by whoever comes to use it.
func TestEveryExpressionOfTheProgramIsOne(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../../pkg", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || function.Sel.Name != "New" {
				return true
			}
			if of, ok := function.X.(*ast.Ident); !ok || of.Name != "lazyregexp" {
				return true
			}
			literal, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				return true // put together of constants; its own tests use it
			}
			found++
			expression, err := strconv.Unquote(literal.Value)
			if err == nil {
				_, err = regexp.Compile(expression)
			}
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no expression was looked at")
	}
}
