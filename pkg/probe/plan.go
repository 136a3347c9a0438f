package probe

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Kind is which token a request carries.
type Kind string

// The kinds, in the order of the rows.
const (
	None    Kind = "none"
	Given   Kind = "given"
	Broken  Kind = "broken"
	Expired Kind = "expired"
)

// Kinds lists the kinds in order.
func Kinds() []Kind { return []Kind{None, Given, Broken, Expired} }

// Token is a token to send. The zero Value of Kind None stands for no token.
type Token struct {
	Kind Kind
	// Name is how people know it: "no token", "token.jwt".
	Name  string
	Value string
}

// Matrix is what is to be tried: every token at every path.
type Matrix struct {
	// Base is the request without a token; its Path is not used.
	Base   envoy.Request
	Paths  []string
	Tokens []Token
	// Place puts a token into a request.
	Place func(r *envoy.Request, token string)
	// Most bounds the rows.
	Most int
}

// Shot is one request to send. It may hold a token: it is in no output.
type Shot struct {
	Kind Kind
	Name string
	// Path is what is asked for, without a token that may stand in Request.Path.
	Path    string
	Request envoy.Request
}

// LimitError says that there is more to send than is allowed.
type LimitError struct{ Rows, Paths, Tokens, Most int }

// Error says how many there are.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%d paths with %d tokens each make %d requests, and at most %d are sent", e.Paths, e.Tokens, e.Rows, e.Most)
}

// HintLine is what to do next.
func (e *LimitError) HintLine() string {
	return fmt.Sprintf("give fewer --path, or allow as many with --max-requests %d", e.Rows)
}

// Plan makes the rows: the paths in their order, and for each the tokens. A path that is
// given twice counts once.
func Plan(m Matrix) ([]Shot, error) {
	var paths []string
	seen := map[string]bool{}
	for _, p := range m.Paths {
		if !seen[p] {
			paths, seen[p] = append(paths, p), true
		}
	}
	if n := len(paths) * len(m.Tokens); n > m.Most {
		return nil, &LimitError{Rows: n, Paths: len(paths), Tokens: len(m.Tokens), Most: m.Most}
	}
	var out []Shot
	for _, path := range paths {
		for _, t := range m.Tokens {
			s := Shot{Kind: t.Kind, Name: t.Name, Path: path, Request: m.Base}
			s.Request.Path = path
			s.Request.Headers = append([]envoy.Header(nil), m.Base.Headers...)
			if t.Kind != None {
				m.Place(&s.Request, t.Value)
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// Break is a token with another signature of the same length. ok is false for what has
// none to break: no three parts, or an empty signature.
func Break(token string) (broken string, ok bool) {
	at := strings.LastIndexByte(token, '.')
	if strings.Count(token, ".") != 2 || at == len(token)-1 {
		return "", false
	}
	// The first character has six bits that all count; the last one may have some that
	// do not.
	flipped := byte('A')
	if token[at+1] == 'A' {
		flipped = 'B'
	}
	return token[:at+1] + string(flipped) + token[at+2:], true
}
