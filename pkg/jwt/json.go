package jwt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how many objects and lists may be open at once (protobuf
// json/internal/lexer.h:ParseOptions::kDefaultDepth).
const maxDepth = 100

// ErrSyntax is wrapped by every error of ParseJSON.
var ErrSyntax = errors.New("invalid JSON")

// ParseJSON reads a document as protobuf's JSON parser reads it into a
// google.protobuf.Struct (json/internal/lexer.cc and parser.cc, with the legacy
// syntax that JsonStringToMessage allows). The top level is an object, or null,
// which stands for an empty object.
//
// Refused, unlike in most parsers: names that occur twice in an object, more
// than 100 open objects and lists, and numbers beyond the range of a double.
// Accepted beyond RFC 8259: strings and names in single quotes, bare names, one
// comma too many at the end, control characters in strings, \' and \U, and
// white space between the two halves of a surrogate pair.
//
// The error says where, not what.
func ParseJSON(b []byte) (Value, error) {
	p := parser{text: string(b)}
	v, err := p.document()
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// parser reads one document; pos is the next byte.
type parser struct {
	text  string
	pos   int
	depth int
}

func (p *parser) document() (Value, error) {
	v := Value{kind: Object}
	var err error
	switch p.peek() {
	case 'n':
		err = p.word("null")
	case '{':
		v, err = p.object()
	default:
		err = p.fail("an object is wanted")
	}
	if err != nil {
		return v, err
	}
	if p.peek(); p.pos < len(p.text) {
		return v, p.fail("text after the document")
	}
	return v, nil
}

func (p *parser) fail(why string) error {
	return fmt.Errorf("%w at byte %d: %s", ErrSyntax, p.pos, why)
}

// peek skips white space and returns the next byte, or 0 at the end. A byte 0
// of the text is never valid where peek is used.
func (p *parser) peek() byte {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return c
		}
	}
	return 0
}

// take skips white space and consumes c if it is next.
func (p *parser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.pos++
	return true
}

// word consumes a literal.
func (p *parser) word(w string) error {
	p.peek()
	if !strings.HasPrefix(p.text[p.pos:], w) {
		return p.fail("unexpected character")
	}
	p.pos += len(w)
	return nil
}

func (p *parser) value() (Value, error) {
	switch c := p.peek(); c {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"', '\'':
		s, err := p.quoted()
		return Value{kind: String, text: s}, err
	case 't':
		return Value{kind: Bool, boolean: true}, p.word("true")
	case 'f':
		return Value{kind: Bool}, p.word("false")
	case 'n':
		return Value{}, p.word("null")
	default:
		if c == '-' || isDigit(c) {
			f, err := p.number()
			return Value{kind: Number, number: f}, err
		}
		return Value{}, p.fail("unexpected character")
	}
}

// enter consumes the opening bracket and counts the level.
func (p *parser) enter() error {
	p.pos++
	if p.depth == maxDepth {
		return p.fail("nested too deeply")
	}
	p.depth++
	return nil
}

func (p *parser) array() (Value, error) {
	v := Value{kind: List}
	if err := p.enter(); err != nil {
		return v, err
	}
	for comma := true; !p.take(']'); comma = p.take(',') {
		if !comma {
			return v, p.fail("a comma is wanted")
		}
		e, err := p.value()
		if err != nil {
			return v, err
		}
		v.list = append(v.list, e)
	}
	p.depth--
	return v, nil
}

func (p *parser) object() (Value, error) {
	v := Value{kind: Object}
	if err := p.enter(); err != nil {
		return v, err
	}
	for comma := true; !p.take('}'); comma = p.take(',') {
		if !comma {
			return v, p.fail("a comma is wanted")
		}
		m, err := p.member()
		if err != nil {
			return v, err
		}
		v.members = append(v.members, m)
	}
	p.depth--
	slices.SortFunc(v.members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(v.members); i++ {
		if v.members[i].Name == v.members[i-1].Name {
			return v, p.fail("a name is repeated in the object that ends here")
		}
	}
	return v, nil
}

func (p *parser) member() (m Member, err error) {
	if c := p.peek(); c == '"' || c == '\'' {
		m.Name, err = p.quoted()
	} else {
		m.Name, err = p.bareName()
	}
	if err != nil {
		return m, err
	}
	if !p.take(':') {
		return m, p.fail("a colon is wanted")
	}
	m.Value, err = p.value()
	return m, err
}

// bareName reads a name without quotes (lexer.cc:JsonLexer::ParseBareWord).
func (p *parser) bareName() (string, error) {
	start := p.pos
	for p.pos < len(p.text) && isNameByte(p.text[p.pos]) {
		p.pos++
	}
	name := p.text[start:p.pos]
	if name == "" || isDigit(name[0]) || name == "null" || name == "true" || name == "false" {
		return "", p.fail("a name is wanted")
	}
	return name, nil
}

// number reads a number (lexer.cc:JsonLexer::ParseRawNumber). What may follow is
// left to the caller, who wants a comma or a closing bracket.
func (p *parser) number() (float64, error) {
	start := p.pos
	if p.text[p.pos] == '-' {
		p.pos++
	}
	if lead := p.pos; p.digits() == 0 || p.text[lead] == '0' && p.pos > lead+1 {
		return 0, p.fail("not a number")
	}
	if p.pos < len(p.text) && p.text[p.pos] == '.' {
		p.pos++
		if p.digits() == 0 {
			return 0, p.fail("not a number")
		}
	}
	if p.pos < len(p.text) && (p.text[p.pos] == 'e' || p.text[p.pos] == 'E') {
		p.pos++
		if p.pos < len(p.text) && (p.text[p.pos] == '-' || p.text[p.pos] == '+') {
			p.pos++
		}
		if p.digits() == 0 {
			return 0, p.fail("not a number")
		}
	}
	f, _ := strconv.ParseFloat(p.text[start:p.pos], 64)
	if math.IsInf(f, 0) {
		return 0, p.fail("number out of range")
	}
	return f, nil
}

// digits consumes decimal digits and returns how many there were.
func (p *parser) digits() int {
	start := p.pos
	for p.pos < len(p.text) && isDigit(p.text[p.pos]) {
		p.pos++
	}
	return p.pos - start
}

// quoted reads a string in single or double quotes (lexer.cc:JsonLexer::ParseUtf8).
func (p *parser) quoted() (string, error) {
	quote := p.text[p.pos]
	p.pos++
	start := p.pos
	var unescaped []byte // nil until the first escape
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		switch {
		case c == quote:
			s := p.text[start : p.pos-1]
			if unescaped != nil {
				s = string(unescaped)
			}
			if !utf8.ValidString(s) {
				return "", p.fail("the string that ends here is not UTF-8")
			}
			return s, nil
		case c == '\\':
			if unescaped == nil {
				unescaped = append(make([]byte, 0, 2*(p.pos-start)+16), p.text[start:p.pos-1]...)
			}
			var err error
			if unescaped, err = p.escape(unescaped); err != nil {
				return "", err
			}
		case unescaped != nil:
			unescaped = append(unescaped, c)
		}
	}
	return "", p.fail("the string does not end")
}

// simpleEscapes are the escapes of one character and what they stand for
// (lexer.cc:ParseSimpleEscape).
const simpleEscapes = "\"\"\\\\//b\bf\fn\nr\rt\t''"

func (p *parser) escape(out []byte) ([]byte, error) {
	if p.pos == len(p.text) {
		return out, p.fail("the string does not end")
	}
	c := p.text[p.pos]
	p.pos++
	if c == 'u' || c == 'U' {
		r, err := p.unicodeEscape()
		return utf8.AppendRune(out, r), err
	}
	for i := 0; i < len(simpleEscapes); i += 2 {
		if simpleEscapes[i] == c {
			return append(out, simpleEscapes[i+1]), nil
		}
	}
	return out, p.fail("unknown escape")
}

// unicodeEscape reads what follows \u. White space in front of the second half
// of a surrogate pair is skipped, since the lexer expects it like any token
// (lexer.cc:JsonLexer::ParseUnicodeEscape); that half is not written with \U.
func (p *parser) unicodeEscape() (rune, error) {
	high, err := p.hex4()
	if err != nil || high < 0xd800 || high > 0xdfff {
		return high, err
	}
	if high >= 0xdc00 {
		return 0, p.fail("second half of a surrogate pair alone")
	}
	if err := p.word(`\u`); err != nil {
		return 0, err
	}
	low, err := p.hex4()
	if err != nil {
		return 0, err
	}
	if low < 0xdc00 || low > 0xdfff {
		return 0, p.fail("first half of a surrogate pair alone")
	}
	return (high&0x3ff)<<10 + low&0x3ff + 0x10000, nil
}

func (p *parser) hex4() (rune, error) {
	if len(p.text)-p.pos < 4 {
		return 0, p.fail("the string does not end")
	}
	var r rune
	for _, c := range []byte(p.text[p.pos : p.pos+4]) {
		switch {
		case isDigit(c):
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, p.fail("four hexadecimal digits are wanted")
		}
		r = r<<4 | rune(c)
	}
	p.pos += 4
	return r, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameByte(c byte) bool {
	return c == '_' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
