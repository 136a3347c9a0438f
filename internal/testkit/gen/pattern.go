package gen

import (
	"strings"
)

// Forms of a string pattern, as they are tallied.
const (
	formExact    = "exact"
	formPrefix   = "prefix"
	formSuffix   = "suffix"
	formAny      = "any"
	formInner    = "inner-star"
	formDouble   = "double-star"
	formEmpty    = "empty"
	formTemplate = "template"
)

// pattern makes a pattern that the text fits, or looks as if it did, and says of
// which form.
func (d *dice) pattern(text string) (value, form string) {
	form = pickWeighted(d, []weighted[string]{
		{8, formExact}, {5, formPrefix}, {5, formSuffix}, {2, formAny}, {1, formInner}, {1, formDouble}, {1, formEmpty},
	})
	cut := 0
	if len(text) > 0 {
		cut = d.IntN(len(text))
	}
	switch form {
	case formPrefix:
		return text[:max(cut, min(1, len(text)))] + "*", form
	case formSuffix:
		return "*" + text[min(cut, max(0, len(text)-1)):], form
	case formAny:
		return "*", form
	case formInner:
		return text[:cut] + "*" + text[cut:] + "z", form
	case formDouble:
		return pick(d, "**", "*"+text+"*", "**"+text), form
	case formEmpty:
		return "", form
	}
	return text, form
}

// fit is a text that the pattern matches: the shortest one half the time.
func (d *dice) fit(pattern string) string {
	more := ""
	if d.percent(50) {
		more = pick(d, "x", "-1", "Z", "ab", ".", "*")
	}
	switch {
	case pattern == "*":
		return "any" + more
	case strings.HasPrefix(pattern, "*"):
		return more + pattern[1:]
	case strings.HasSuffix(pattern, "*"):
		return pattern[:len(pattern)-1] + more
	}
	return pattern
}

// near is a text at the edge of the pattern, mostly just outside: one character
// more or less, another case, the star itself.
func (d *dice) near(pattern string) string {
	core := strings.TrimSuffix(strings.TrimPrefix(pattern, "*"), "*")
	if core == "" {
		return pick(d, "", "*", "x", "**")
	}
	last := len(core) - 1
	choices := []string{
		core, pattern, core[:last], core[1:], core + "x", "x" + core, "x" + core + "x", core[:last] + "~", "~" + core[1:],
		swapCase(core), core + "*", core + "/", core + ",", strings.ReplaceAll(core, "*", "star"), core + core,
	}
	return pick(d, choices...)
}

// swapCase turns the case of the first letter, or of all of them.
func swapCase(s string) string {
	if upper := strings.ToUpper(s); upper != s {
		return upper
	}
	return strings.ToLower(s)
}
