package curl

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// word is an argument as the shell hands it over.
type word struct {
	raw []byte
	// quoted says that some of it stood in quotes or behind an escape.
	quoted bool
	// unknown are the variables in it whose value is not known; the text has their
	// names in the place.
	unknown []string
	// runs is a command in it whose output is not known: $(…) or `…`.
	runs string
	// braces says that bash makes several words of it: {a,b}.
	braces bool
}

// text is the word's text.
func (w word) text() string { return string(w.raw) }

func (w *word) add(s string) { w.raw = append(w.raw, s...) }

// plain reports whether all of the word is known.
func (w word) plain() bool { return len(w.unknown) == 0 && w.runs == "" && !w.braces }

// known fails for a word of which something is not known; what names its place.
func (w word) known(what string) error {
	return w.knownOr(what, "write its value in its place", "run it yourself, and put the result in its place")
}

// knownSecret is known for a place where tokens stand.
func (w word) knownSecret(what string) error {
	name := ""
	if len(w.unknown) > 0 {
		name = w.unknown[0]
	}
	err := w.knownOr(what,
		"if it is the token, add --jwt-env "+name+" (after export "+name+") or --jwt-file FILE, and it is filled in; else write the value in its place",
		"leave it out of the command, and give the token with --jwt-file FILE or --jwt-env NAME")
	var refused *Error
	if errors.As(err, &refused) {
		refused.Secret = true
	}
	return err
}

func (w word) knownOr(what, variable, runs string) error {
	switch {
	case w.runs != "":
		return refuse(runs, "%s has a command substitution in it, and nothing is run", what)
	case len(w.unknown) > 0:
		return &Error{Problem: what + " has the shell variable $" + w.unknown[0] + ", whose value is not known", Hint: variable, Variable: w.unknown[0]}
	case w.braces:
		return refuse("put it into quotes, or write the one that is meant", "%s has {…,…} in it, of which the shell makes several words", what)
	}
	return nil
}

// simple is one simple command of a shell's text, and what stood behind it.
type simple struct {
	words []word
	end   string // "", newline, ";", "&", "&&", "|", "||", "(" or ")"
}

// shell cuts a text into simple commands, one at a time.
type shell interface {
	// next returns the next command; ok is false at the end of the text.
	next() (c simple, ok bool, err error)
	// assignments takes the variables that a command sets.
	assign(words []word) bool
}

// checkText refuses what is no command for sure, before anything is read into it.
func checkText(text string) error {
	const paste = "paste one curl command; with quotes in it, give it on standard input: --curl -"
	switch {
	case strings.TrimSpace(text) == "":
		return refuse(paste, "there is nothing in it")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return refuse("paste it as plain text in UTF-8", "it is not text")
	case strings.ContainsAny(text, "“”‘’„"):
		return refuse("write \" and ' in their place", "it has typographic quotes, which no shell knows: “ or ’")
	}
	return nil
}

// dialect chooses the shell that a text was written for.
func dialect(text string, expand func(string) (string, bool)) shell {
	vars := newVariables(expand)
	switch {
	case strings.Contains(text, "^\n") || strings.Contains(text, `^"`) || strings.HasSuffix(strings.TrimSpace(text), " ^"):
		return &cmdExe{text: text, vars: vars}
	case strings.Contains(text, "`\n") || strings.HasPrefix(text, "PS ") || strings.Contains(text, "$env:") ||
		strings.HasPrefix(text, "curl.exe") && !strings.Contains(text, "\\\n"):
		return &powerShell{text: text, vars: vars}
	default:
		return &bash{text: text, vars: vars}
	}
}

// variables are what is known of a shell's variables.
type variables struct {
	given func(string) (string, bool)
	set   map[string]word
	// left is how many bytes may still be filled in: variables that hold each other
	// would grow without end.
	left *int
}

func newVariables(given func(string) (string, bool)) variables {
	const most = 64 << 20
	left := most
	return variables{given: given, set: map[string]word{}, left: &left}
}

// of adds the value of a variable to a word.
func (v variables) of(w *word, name, written string) {
	value, ok := "", false
	if v.given != nil {
		value, ok = v.given(name)
	}
	if set, found := v.set[name]; !ok && found && set.plain() {
		value, ok = set.text(), true
	}
	if *v.left -= len(value); ok && *v.left > 0 {
		w.add(value)
		return
	}
	w.add(written)
	w.unknown = append(w.unknown, name)
}

// assignment cuts NAME=value.
func assignment(w word) (name string, value word, ok bool) {
	name, text, found := strings.Cut(w.text(), "=")
	if !found || !isName(name) {
		return "", word{}, false
	}
	value = w
	value.raw = []byte(text)
	return name, value, true
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i], i > 0) {
			return false
		}
	}
	return s != ""
}

func isNameByte(c byte, digits bool) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || digits && '0' <= c && c <= '9'
}
