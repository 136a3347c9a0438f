package curl

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// cmdExe cuts a text as Windows' cmd does, and then its arguments as the C runtime
// of a program does. Browsers write such commands, "Copy as cURL (cmd)".
type cmdExe struct {
	text string
	at   int
	vars variables
}

// percentName is a variable of cmd. What is written in capitals but only has
// hexadecimal digits is taken for percent-encoding.
var percentName = lazyregexp.New(`^%[A-Z_][A-Z0-9_]*%`)

// next returns the next command.
func (c *cmdExe) next() (simple, bool, error) {
	var line []byte
	var unknown []string
	quoted := false
	end := ""
scan:
	for c.at < len(c.text) {
		rest := c.text[c.at:]
		switch ch := rest[0]; {
		case ch == '^' && !quoted:
			c.at++
			c.at += len(c.text[c.at:]) - len(strings.TrimPrefix(c.text[c.at:], "\n"))
			if c.at < len(c.text) {
				line = append(line, c.text[c.at])
				c.at++
			}
			continue
		case ch == '"':
			quoted = !quoted
		case ch == '%' && percentName.MatchString(rest):
			written := percentName.FindString(rest)
			if name := strings.Trim(written, "%"); strings.Trim(name, "0123456789ABCDEF") != "" {
				var w word
				c.vars.of(&w, name, written)
				line, unknown = append(line, w.raw...), append(unknown, w.unknown...)
				c.at += len(written)
				continue
			}
		case ch == '\n' || !quoted && strings.IndexByte("&|", ch) >= 0:
			end = rest[:1]
			c.at++
			break scan
		case !quoted && (ch == '>' || ch == '<'):
			if n := len(line); n > 1 && line[n-2] == ' ' && '0' <= line[n-1] && line[n-1] <= '9' {
				line = line[:n-1] // the number of a stream
			}
			c.redirect()
			continue
		}
		line = append(line, c.text[c.at])
		c.at++
	}
	words := arguments(string(line))
	slices.Sort(unknown)
	for i := range words {
		for _, name := range slices.Compact(unknown) {
			if strings.Contains(words[i].text(), "%"+name+"%") {
				words[i].unknown = append(words[i].unknown, name)
			}
		}
	}
	return simple{words: words, end: end}, len(words) > 0 || c.at < len(c.text), nil
}

// redirect passes over a redirection.
func (c *cmdExe) redirect() {
	for c.at < len(c.text) && strings.IndexByte("<>& ", c.text[c.at]) >= 0 {
		c.at++
	}
	for c.at < len(c.text) && strings.IndexByte(" \n&|", c.text[c.at]) < 0 {
		c.at++
	}
}

// arguments cuts a command line as the Microsoft C runtime does: backslashes count
// before a quote only, and two quotes within quotes are one.
func arguments(line string) []word {
	var out []word
	for i := 0; i < len(line); {
		if strings.IndexByte(" \t\n", line[i]) >= 0 {
			i++
			continue
		}
		var w word
		quoted := false
		for i < len(line) && (quoted || strings.IndexByte(" \t\n", line[i]) < 0) {
			slashes := 0
			for i < len(line) && line[i] == '\\' {
				slashes++
				i++
			}
			switch {
			case i < len(line) && line[i] == '"':
				w.add(strings.Repeat(`\`, slashes/2))
				i++
				switch {
				case slashes%2 == 1:
					w.add(`"`)
				case quoted && i < len(line) && line[i] == '"':
					w.add(`"`)
					i++
				default:
					quoted, w.quoted = !quoted, true
				}
			case slashes > 0:
				w.add(strings.Repeat(`\`, slashes))
			default:
				w.add(line[i : i+1])
				i++
			}
		}
		out = append(out, w)
	}
	return out
}

// assign takes set NAME=value.
func (c *cmdExe) assign(words []word) bool {
	if len(words) != 2 || !strings.EqualFold(words[0].text(), "set") {
		return false
	}
	name, value, ok := assignment(words[1])
	if ok {
		c.vars.set[name] = value
	}
	return ok
}

// powerShell cuts a text as PowerShell does.
type powerShell struct {
	text string
	at   int
	vars variables
}

// next returns the next command.
func (p *powerShell) next() (simple, bool, error) {
	var out simple
	for p.at < len(p.text) {
		rest := p.text[p.at:]
		switch {
		case strings.HasPrefix(rest, "`\n"):
			p.at += 2
		case rest[0] == ' ' || rest[0] == '\t':
			p.at++
		case rest[0] == '\n' || strings.IndexByte(";|", rest[0]) >= 0:
			p.at++
			if len(out.words) == 0 {
				continue
			}
			out.end = rest[:1]
			return out, true, nil
		default:
			w, err := p.word()
			if err != nil {
				return out, false, err
			}
			out.words = append(out.words, w)
		}
	}
	return out, len(out.words) > 0, nil
}

func (p *powerShell) word() (word, error) {
	var w word
	quote := byte(0)
	for p.at < len(p.text) {
		c := p.text[p.at]
		doubled := p.at+1 < len(p.text) && p.text[p.at+1] == c
		switch {
		case quote == 0 && strings.IndexByte(" \t\n;|", c) >= 0:
			return w, nil
		case quote == 0 && (c == '"' || c == '\''):
			quote, w.quoted = c, true
			p.at++
		case c == quote && quote != 0 && doubled:
			w.add(p.text[p.at : p.at+1])
			p.at += 2
		case c == quote && quote != 0:
			quote = 0
			p.at++
		case quote != '\'' && c == '`' && p.at+1 < len(p.text):
			p.escape(&w)
		case quote != '\'' && c == '$':
			if err := p.dollar(&w); err != nil {
				return w, err
			}
		default:
			w.add(p.text[p.at : p.at+1])
			p.at++
		}
	}
	if quote != 0 {
		return w, refuse(unclosed, "a %c is opened and never closed", quote)
	}
	return w, nil
}

// escape reads a backtick and what it stands before.
func (p *powerShell) escape(w *word) {
	c := p.text[p.at+1]
	p.at += 2
	switch c {
	case '\n':
	case 'n':
		w.add("\n")
	case 'r':
		w.add("\r")
	case 't':
		w.add("\t")
	case '0':
		w.add("\x00")
	default:
		w.add(string([]byte{c}))
	}
}

func (p *powerShell) dollar(w *word) error {
	rest := p.text[p.at+1:]
	if strings.HasPrefix(rest, "(") {
		end := closing(rest)
		if end < 0 {
			return refuse(unclosed, "a $( is opened and never closed")
		}
		w.runs = rest[1:end]
		w.add("$(…)")
		p.at += end + 2
		return nil
	}
	braced := strings.HasPrefix(rest, "{")
	inner := strings.TrimPrefix(rest, "{")
	scope := ""
	if len(inner) > 4 && strings.EqualFold(inner[:4], "env:") {
		scope, inner = inner[:4], inner[4:]
	}
	name := leadingName(inner)
	if name == "" {
		w.add("$")
		p.at++
		return nil
	}
	length := 1 + len(scope) + len(name)
	if braced {
		length += 2
	}
	p.at = min(p.at+length, len(p.text))
	p.vars.of(w, name, "$"+scope+name)
	return nil
}

// assign takes $NAME = value.
func (p *powerShell) assign(words []word) bool {
	if len(words) != 3 || words[1].text() != "=" || len(words[0].unknown) != 1 {
		return false
	}
	p.vars.set[words[0].unknown[0]] = words[2]
	return true
}
