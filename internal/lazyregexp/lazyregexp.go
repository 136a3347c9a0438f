// Package lazyregexp has expressions that are compiled when they are first used, and not
// when the program starts: most command lines use few of them, and --help none.
//
// It imports the standard library only; everything may import it.
package lazyregexp

import (
	"regexp"
	"sync"
)

// Regexp is an expression of package regexp.
type Regexp struct{ compiled func() *regexp.Regexp }

// New takes an expression. One that is wrong panics at its first use.
func New(expression string) *Regexp {
	return &Regexp{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}
}

// MatchString is that of package regexp, as are the other methods.
func (r *Regexp) MatchString(s string) bool { return r.compiled().MatchString(s) }

// FindString is the leftmost match.
func (r *Regexp) FindString(s string) string { return r.compiled().FindString(s) }

// FindStringIndex is where the leftmost match is; nil if there is none.
func (r *Regexp) FindStringIndex(s string) []int { return r.compiled().FindStringIndex(s) }

// FindStringSubmatch is the leftmost match and its groups; nil if there is none.
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compiled().FindStringSubmatch(s) }

// ReplaceAllStringFunc replaces all matches by what f makes of them.
func (r *Regexp) ReplaceAllStringFunc(s string, f func(string) string) string {
	return r.compiled().ReplaceAllStringFunc(s, f)
}
