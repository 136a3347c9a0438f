package curl

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// ansiEscapes are the escapes of one letter in bash's $'…'.
var ansiEscapes = map[byte]byte{
	'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11,
	'\\': '\\', '\'': '\'', '"': '"', '?': '?',
}

// ansiQuoted reads $'…' on from behind the opening quote: the bash manual, section
// ANSI-C Quoting.
func (b *bash) ansiQuoted(w *word) error {
	for b.at < len(b.text) {
		c := b.text[b.at]
		switch {
		case c == '\'':
			b.at++
			return nil
		case c == '\\' && b.at+1 < len(b.text):
			b.at++
			b.ansiEscape(w)
		default:
			w.add(b.text[b.at : b.at+1])
			b.at++
		}
	}
	return refuse(unclosed, "a $' is opened and never closed")
}

// ansiEscape reads what follows a backslash.
func (b *bash) ansiEscape(w *word) {
	c := b.text[b.at]
	if plain, ok := ansiEscapes[c]; ok {
		w.add(string([]byte{plain}))
		b.at++
		return
	}
	digits, base, from := 0, 16, b.at+1
	switch c {
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	case 'c':
		if from < len(b.text) {
			w.add(string([]byte{b.text[from] & 0x1f}))
			b.at = from + 1
			return
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		digits, base, from = 3, 8, b.at
	}
	n := 0
	for n < digits && from+n < len(b.text) && isDigit(b.text[from+n], base) {
		n++
	}
	if n == 0 {
		w.add(`\` + string([]byte{c}))
		b.at++
		return
	}
	value, err := strconv.ParseUint(b.text[from:from+n], base, 32)
	b.at = from + n
	switch {
	case err != nil:
	case c == 'u' || c == 'U':
		r := rune(utf8.RuneError)
		if value <= utf8.MaxRune {
			r = rune(value)
		}
		w.add(string(r))
	default:
		w.add(string([]byte{byte(value)}))
	}
}

func isDigit(c byte, base int) bool {
	if base == 8 {
		return '0' <= c && c <= '7'
	}
	return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0
}
