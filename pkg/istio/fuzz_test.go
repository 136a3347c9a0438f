package istio

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func FuzzClaimPath(f *testing.F) {
	for _, s := range []string{"[a]", "[a][b]", "[[a]]", "[a[b]]", "[a] [b]", "", "a", "[", "]", "][", "[]", "[][]", "[a]b[c]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := claimPath(s)
		if err != nil {
			if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
				t.Errorf("%q has its brackets, and is refused: %v", s, err)
			}
			return
		}
		// What was read can be written again as it stood.
		back := ""
		for _, name := range got {
			back += "[" + name + "]"
		}
		if back != s {
			t.Errorf("%q reads as %q", s, got)
		}
	})
}

func FuzzRequestPrincipal(f *testing.F) {
	for _, s := range []string{"*", "i/s", "i/*", "*/s", "*/*", "i*", "*s", "", "/", "**", "*/", "/*", "https://idp//s", "a/b/c*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		m, err := requestPrincipalMatcher("", v)
		if err != nil {
			t.Fatal(err)
		}
		p := m.(*envoy.PrincipalMatch)
		exact := p.Issuer.Kind == envoy.StringExact && p.Subject.Kind == envoy.StringExact
		iss, sub := p.Issuer.Value, p.Subject.Value
		switch {
		case !strings.Contains(v, "*") && !exact:
			t.Errorf("%q has no star, and is no equality", v)
		case exact && strings.Contains(v, "/") && iss+"/"+sub != v:
			t.Errorf("%q is split into %q and %q", v, iss, sub)
		case strings.Contains(sub, "/") && strings.Contains(v, "/"):
			t.Errorf("%q leaves a slash in %q", v, sub)
		case len(iss)+len(sub) > len(v):
			t.Errorf("%q grows to %q and %q", v, iss, sub)
		}
	})
}
