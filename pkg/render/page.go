package render

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// longest is how many characters of a stranger's text are shown where nothing else
	// limits them.
	longest = 4000
	// shortest is how many characters of a long value are shown at least.
	shortest = 24
	// unbroken is a blank at which no line is broken. What strangers wrote has none:
	// it is escaped.
	unbroken = "\u00a0"
)

// page collects lines.
type page struct {
	strings.Builder
	style *Style
	// whole says that no word is cut: somebody is to copy it. cut notes that one was.
	whole, cut bool
}

func (p *page) columns() int { return max(narrowest, p.style.Columns) }

func (p *page) line(s string) {
	p.WriteString(strings.TrimRight(s, " "))
	p.WriteByte('\n')
}

// labelled writes a word and a text beside it, broken at blanks so that the text
// stays in its column.
func (p *page) labelled(label, text string) {
	const width = 12
	p.WriteString(p.style.strong.Sprint(label))
	p.WriteString(strings.Repeat(" ", max(1, width-runeLen(label))))
	p.hanging(width, max(width, runeLen(label)+1), text)
}

// command is labelled for what somebody is to copy: nothing in it is cut.
func (p *page) command(label, text string) {
	p.whole = true
	p.labelled(label, text)
	p.whole = false
}

// indented writes a text behind so many blanks.
func (p *page) indented(indent int, text string) {
	p.WriteString(strings.Repeat(" ", indent))
	p.hanging(indent, indent, text)
}

// hanging writes a text from column `at` on, and what does not fit on further
// lines from column `indent` on. Words are never broken; one that is longer than a
// line is cut in the middle, unless it is to be copied or everything is to be seen.
func (p *page) hanging(indent, at int, text string) {
	for i, word := range words(text) {
		lead := word
		word = strings.TrimLeft(word, " ")
		lead = lead[:len(lead)-len(word)]
		if most := max(shortest, p.columns()-indent); !p.whole && !p.style.Wide && runeLen(word) > most {
			word, p.cut = middle(word, most), true
		}
		word = lead + word
		if i > 0 {
			if at+1+runeLen(word) > p.columns() {
				p.WriteByte('\n')
				p.WriteString(strings.Repeat(" ", indent))
				at, word = indent, strings.TrimLeft(word, " ")
			} else {
				p.WriteByte(' ')
				at++
			}
		}
		p.WriteString(strings.ReplaceAll(word, unbroken, " "))
		at += runeLen(word)
	}
	p.WriteByte('\n')
}

// middle is a text of n characters that keeps the beginning and the end of a longer one.
func middle(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	tail := (n - 1) / 2
	return string(runes[:n-1-tail]) + "…" + string(runes[len(runes)-tail:])
}

// words splits at blanks outside quotes. Of a wider gap the second blank begins
// the word behind it, and is dropped with the line break.
func words(text string) []string {
	var out []string
	var word strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quoted && i+1 < len(text):
			word.WriteByte(c)
			i++
			c = text[i]
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			out = append(out, word.String())
			word.Reset()
			if i+1 >= len(text) || text[i+1] != ' ' {
				continue
			}
			i++
		}
		word.WriteByte(c)
	}
	if quoted {
		return strings.Split(text, " ") // a quote that nobody closes says nothing
	}
	return append(out, word.String())
}

func runeLen(s string) int { return utf8.RuneCountInString(s) }

// clean is a stranger's text as it may be shown: printable, and not endless. What
// the packages below have quoted stays as it is.
func clean(s string) string { return middle(Printable(s), longest) }

// solid is a stranger's text without quotes that stands among our own words: it is
// one word, whatever blanks it has.
func solid(s string) string { return strings.ReplaceAll(clean(s), " ", unbroken) }

// Printable keeps everything off the terminal that is not a printable character:
// the rest is escaped as Go does.
func Printable(s string) string {
	var out strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&out, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			out.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return out.String()
}

// quote quotes a stranger's words.
func quote(s string) string { return strconv.Quote(middle(s, longest)) }
