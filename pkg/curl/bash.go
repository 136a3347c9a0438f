package curl

import (
	"strings"
)

// bash cuts a text as bash does (and sh, zsh and ksh, as far as people paste it).
// Nothing is expanded but variables whose value is known.
type bash struct {
	text string
	at   int
	vars variables
	// hashes says that # begins no comment: it is root's prompt, or a flattened page.
	hashes bool
	// heredocs are the ends of the here-documents that begin on the next line.
	heredocs []string
}

const unclosed = "copy the whole of it; with quotes in it, give it on standard input: --curl -"

// next returns the next simple command.
func (b *bash) next() (simple, bool, error) {
	var out simple
	for {
		b.blanks()
		if b.at >= len(b.text) {
			return out, len(out.words) > 0, nil
		}
		if end := b.operator(); end != "" {
			b.at += len(end)
			if end == "\n" {
				b.skipHeredocs()
			}
			if len(out.words) == 0 && (end == "\n" || end == ";") {
				continue
			}
			out.end = end
			return out, true, nil
		}
		if w, ok, err := b.process(); ok || err != nil {
			out.words = append(out.words, w)
			if err != nil {
				return out, false, err
			}
			continue
		}
		if b.redirection() {
			if err := b.redirect(); err != nil {
				return out, false, err
			}
			continue
		}
		w, err := b.word()
		if err != nil {
			return out, false, err
		}
		out.words = append(out.words, w)
	}
}

// blanks passes over blanks, continued lines and comments.
func (b *bash) blanks() {
	for b.at < len(b.text) {
		rest := b.text[b.at:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t':
			b.at++
		case strings.HasPrefix(rest, "\u00a0"):
			b.at += len("\u00a0")
		case strings.HasPrefix(rest, "\\\n"):
			b.at += 2
		case rest[0] == '#' && !b.hashes:
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				b.at += end
			} else {
				b.at = len(b.text)
			}
		default:
			return
		}
	}
}

// operator is the operator that a command ends with, if the text goes on with one.
func (b *bash) operator() string {
	rest := b.text[b.at:]
	if strings.HasPrefix(rest, "&>") {
		return ""
	}
	for _, op := range []string{"\n", "&&", "||", ";", "|", "&", "(", ")"} {
		if strings.HasPrefix(rest, op) {
			return op
		}
	}
	return ""
}

// redirection reports whether a redirection follows.
func (b *bash) redirection() bool {
	rest := b.text[b.at:]
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	return strings.HasPrefix(rest, "&>") || digits < len(rest) && (rest[digits] == '>' || rest[digits] == '<')
}

// process passes over a process substitution, <(…).
func (b *bash) process() (w word, ok bool, err error) {
	rest := b.text[b.at:]
	if !strings.HasPrefix(rest, "<(") && !strings.HasPrefix(rest, ">(") {
		return w, false, nil
	}
	end := closing(rest[1:])
	if end < 0 {
		return w, false, refuse(unclosed, "a ( is opened and never closed")
	}
	b.at += end + 2
	w.runs = rest[2 : end+1]
	w.add("<(…)")
	return w, true, nil
}

// redirect passes over a redirection and what it leads to.
func (b *bash) redirect() error {
	for '0' <= b.text[b.at] && b.text[b.at] <= '9' {
		b.at++
	}
	rest := b.text[b.at:]
	for _, op := range []string{"<<<", "<<-", "<<", "<>", "<&", "&>>", "&>", ">>", ">&", ">|", "<", ">"} {
		if !strings.HasPrefix(rest, op) {
			continue
		}
		b.at += len(op)
		b.blanks()
		if b.at >= len(b.text) || b.operator() != "" {
			return nil
		}
		w, err := b.word()
		if op == "<<" || op == "<<-" {
			b.heredocs = append(b.heredocs, w.text())
		}
		return err
	}
	return nil
}

func (b *bash) skipHeredocs() {
	for _, end := range b.heredocs {
		for b.at < len(b.text) {
			line, _, _ := strings.Cut(b.text[b.at:], "\n")
			b.at = min(b.at+len(line)+1, len(b.text))
			if strings.TrimLeft(line, "\t") == end {
				break
			}
		}
	}
	b.heredocs = nil
}

// word reads one word.
func (b *bash) word() (word, error) {
	var w word
	open := 0 // unquoted braces
	for b.at < len(b.text) {
		c := b.text[b.at]
		switch {
		case strings.IndexByte(" \t\n;|&()<>", c) >= 0 || strings.HasPrefix(b.text[b.at:], "\u00a0"):
			return w, nil
		case c == '\\':
			b.escaped(&w)
		case c == '\'':
			end := strings.IndexByte(b.text[b.at+1:], '\'')
			if end < 0 {
				return w, refuse(unclosed, "a ' is opened and never closed")
			}
			w.add(b.text[b.at+1 : b.at+1+end])
			w.quoted = true
			b.at += end + 2
		case c == '"':
			b.at++
			if err := b.doubleQuoted(&w); err != nil {
				return w, err
			}
		case c == '$':
			if err := b.dollar(&w, false); err != nil {
				return w, err
			}
		case c == '`':
			if err := b.backticks(&w); err != nil {
				return w, err
			}
		default:
			switch {
			case c == '{':
				open++
			case c == '}' && open > 0:
				open--
			case open > 0 && (c == ',' || strings.HasPrefix(b.text[b.at:], "..")):
				w.braces = true
			}
			w.add(b.text[b.at : b.at+1])
			b.at++
		}
	}
	return w, nil
}

// escaped takes a backslash outside of quotes.
func (b *bash) escaped(w *word) {
	rest := b.text[b.at+1:]
	switch {
	case rest == "":
		b.at++
	case rest[0] == '\n':
		b.at += 2
	default:
		w.add(rest[:1])
		w.quoted = true
		b.at += 2
	}
}

// doubleQuoted reads on to the closing quote.
func (b *bash) doubleQuoted(w *word) error {
	w.quoted = true
	for b.at < len(b.text) {
		c := b.text[b.at]
		switch c {
		case '"':
			b.at++
			return nil
		case '\\':
			next := byte(0)
			if b.at+1 < len(b.text) {
				next = b.text[b.at+1]
			}
			switch {
			case next == '\n':
			case next != 0 && strings.IndexByte("\"\\$`", next) >= 0:
				w.add(b.text[b.at+1 : b.at+2])
			case next == 0:
				b.at++
				continue
			default:
				w.add(b.text[b.at : b.at+2])
			}
			b.at += 2
		case '$':
			if err := b.dollar(w, true); err != nil {
				return err
			}
		case '`':
			if err := b.backticks(w); err != nil {
				return err
			}
		default:
			w.add(b.text[b.at : b.at+1])
			b.at++
		}
	}
	return refuse(unclosed, "a \" is opened and never closed")
}

// dollar reads what begins with a dollar sign.
func (b *bash) dollar(w *word, quoted bool) error {
	rest := b.text[b.at+1:]
	switch {
	case !quoted && strings.HasPrefix(rest, "'"):
		b.at += 2
		w.quoted = true
		return b.ansiQuoted(w)
	case !quoted && strings.HasPrefix(rest, `"`):
		b.at += 2
		return b.doubleQuoted(w)
	case strings.HasPrefix(rest, "("):
		end := closing(rest)
		if end < 0 {
			return refuse(unclosed, "a $( is opened and never closed")
		}
		w.runs = rest[1:end]
		w.add("$(…)")
		b.at += end + 2
		return nil
	case strings.HasPrefix(rest, "{"):
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return refuse(unclosed, "a ${ is opened and never closed")
		}
		name := rest[1:end]
		b.at += end + 2
		if isName(name) {
			b.vars.of(w, name, "${"+name+"}")
			return nil
		}
		w.add("${…}")
		w.unknown = append(w.unknown, leadingName(strings.TrimLeft(name, "!#")))
		return nil
	}
	name := leadingName(rest)
	if name == "" {
		if rest != "" && strings.IndexByte("0123456789@*#?$!-", rest[0]) >= 0 && (quoted || rest[0] != '\'') {
			w.add(b.text[b.at : b.at+2])
			w.unknown = append(w.unknown, rest[:1])
			b.at += 2
			return nil
		}
		w.add("$")
		b.at++
		return nil
	}
	b.at += 1 + len(name)
	b.vars.of(w, name, "$"+name)
	return nil
}

func leadingName(s string) string {
	n := 0
	for n < len(s) && isNameByte(s[n], n > 0) {
		n++
	}
	return s[:n]
}

// closing is the offset of the bracket that closes the one a text begins with, -1
// without one.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\'', '"':
			end := strings.IndexByte(s[i+1:], s[i])
			if end < 0 {
				return -1
			}
			i += end + 1
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// backticks passes over the old form of a substitution.
func (b *bash) backticks(w *word) error {
	rest := b.text[b.at+1:]
	end := strings.IndexByte(rest, '`')
	if end < 0 {
		return refuse(unclosed, "a ` is opened and never closed")
	}
	w.runs = rest[:end]
	if w.runs == "" {
		w.runs = "``"
	}
	w.add("`…`")
	b.at += end + 2
	return nil
}

// assign takes the variables of a command that only sets some, exported or not.
func (b *bash) assign(words []word) bool {
	if len(words) > 1 {
		switch words[0].text() {
		case "export", "declare", "local", "readonly":
			words = words[1:]
		}
	}
	for _, w := range words {
		if _, _, ok := assignment(w); !ok {
			return false
		}
	}
	for _, w := range words {
		name, value, _ := assignment(w)
		b.vars.set[name] = value
	}
	return true
}
