package mesh

import (
	"bytes"
	"unicode/utf8"
)

// This file reads the plain block style that people and kubectl write, line by line
// and without building anything. It gives up on whatever is unusual, and then a real
// YAML parser does the work; so it may be strict, but never wrong. A fuzz test holds
// it against that parser.

// valueStyle is how the value of an entry is written.
type valueStyle byte

const (
	styleNone   valueStyle = iota // nothing on the line: a block follows, or the value is null
	stylePlain                    // without quotes
	styleQuoted                   // in quotes, without an escape
	styleOpaque                   // in quotes with escapes or over several lines, or a block scalar: a string for sure
	styleFlow                     // [...] or {...} on the line
)

// entry is one key with its value, or one scalar item of a sequence.
type entry struct {
	line  int // within the text, from 1
	start int // offset of the line
	key   []byte
	style valueStyle
	value []byte // without quotes and comment; the first line only where opaque
	// item is true where a dash opens this entry's block, depth is the number of open
	// blocks with it, and dash the depth of the outermost sequence that goes on here.
	item  bool
	dash  int
	depth int
}

// block is an open mapping or sequence and the column that it is written at.
type block struct {
	column int
	seq    bool
}

// scanner walks over one YAML document.
type scanner struct {
	text    []byte
	at      int // offset of the next line
	line    int // number of the next line
	stack   []block
	pending bool // the last key has no value yet
	odd     bool // something unusual: what came before counts for nothing
	cur     cursor
	started bool
}

// cursor is the line under way.
type cursor struct {
	number, start int
}

// plainText reports whether a YAML reader takes the text as it is: valid UTF-8 without
// control characters, and with LF and CRLF as the only line breaks.
func plainText(text []byte) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= 0x20 && c < 0x7f || c == '\n' || c == '\t':
		case c == '\r':
			if i+1 >= len(text) || text[i+1] != '\n' {
				return false
			}
		case c < utf8.RuneSelf:
			return false
		default:
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError || r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r >= 0xfff0 && r <= 0xffff {
				return false
			}
			i += size - 1
		}
	}
	return true
}

func newScanner(text []byte) *scanner {
	return &scanner{text: text, line: 1}
}

// nextLine returns the next line without its break, its indentation and its content;
// ok is false at the end. Blank lines and comments are passed over.
func (s *scanner) nextLine() (content []byte, column int, ok bool) {
	for s.at < len(s.text) {
		s.cur = cursor{s.line, s.at}
		line := s.takeLine()
		column = indentOf(line)
		content = trimRight(line[column:])
		switch {
		case len(content) == 0 && column == len(line) || len(content) > 0 && content[0] == '#':
			continue
		case len(content) == 0 || content[0] == '\t':
			s.odd = true // a tab where there should be an indentation
			return nil, 0, false
		}
		return content, column, true
	}
	return nil, 0, false
}

// takeLine moves on by a line and returns it without its break.
func (s *scanner) takeLine() []byte {
	rest := s.text[s.at:]
	end := bytes.IndexByte(rest, '\n')
	s.line++
	if end < 0 {
		s.at = len(s.text)
		return rest
	}
	s.at += end + 1
	if end > 0 && rest[end-1] == '\r' {
		end--
	}
	return rest[:end]
}

func indentOf(line []byte) int {
	n := 0
	for n < len(line) && line[n] == ' ' {
		n++
	}
	return n
}

func trimRight(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// next fills the entry with what comes next. It returns false at the end and where
// something is unusual, which odd tells apart.
func (s *scanner) next(e *entry) bool {
	content, column, ok := s.nextLine()
	if !ok || s.odd {
		return false
	}
	*e = entry{line: s.cur.number, start: s.cur.start}
	for isDash(content) {
		if !s.openSequence(column, e) {
			return s.giveUp()
		}
		skip := 1
		for skip < len(content) && content[skip] == ' ' {
			skip++
		}
		content, column = content[skip:], column+skip
		if len(content) == 0 || content[0] == '#' || content[0] == '\t' {
			return s.giveUp() // an item on the lines below, or null
		}
	}
	key, value, isKey, good := splitKey(content)
	switch {
	case !good:
		return s.giveUp()
	case isKey:
		e.key = key
		if !s.openMapping(column, e) {
			return s.giveUp()
		}
	case !e.item:
		return s.giveUp() // a scalar that belongs to nothing
	default:
		value = content
		column = s.stack[len(s.stack)-1].column
	}
	e.depth = len(s.stack)
	return s.readValue(e, value, column)
}

func (s *scanner) giveUp() bool {
	s.odd = true
	return false
}

// isDash reports whether the content opens an item of a sequence.
func isDash(content []byte) bool {
	return content[0] == '-' && (len(content) == 1 || content[1] == ' ')
}

// openSequence goes to the sequence that has a dash in the column.
func (s *scanner) openSequence(column int, e *entry) bool {
	fresh := e.item // a sequence right within an item of another one
	for len(s.stack) > 0 && s.stack[len(s.stack)-1].column > column {
		s.stack, s.pending = s.stack[:len(s.stack)-1], false
	}
	top := block{column: -1}
	if len(s.stack) > 0 {
		top = s.stack[len(s.stack)-1]
	}
	switch {
	case !fresh && top.seq && top.column == column:
	case fresh || s.pending || len(s.stack) == 0 && !s.started:
		if top.column > column || top.seq && top.column == column {
			return false
		}
		s.stack = append(s.stack, block{column, true})
	default:
		return false
	}
	if !e.item {
		e.dash = len(s.stack)
	}
	e.item, s.pending, s.started = true, false, true
	return true
}

// openMapping goes to the mapping that has a key in the column.
func (s *scanner) openMapping(column int, e *entry) bool {
	if e.item {
		s.stack = append(s.stack, block{column, false})
		return true
	}
	for len(s.stack) > 0 {
		top := s.stack[len(s.stack)-1]
		if top.column < column || top.column == column && !top.seq {
			break
		}
		s.stack, s.pending = s.stack[:len(s.stack)-1], false
	}
	if len(s.stack) > 0 && s.stack[len(s.stack)-1] == (block{column, false}) {
		s.pending = false
		return true
	}
	if !s.pending && (s.started || len(s.stack) > 0) {
		return false
	}
	s.stack = append(s.stack, block{column, false})
	s.pending, s.started = false, true
	return true
}

// splitKey cuts "key: value". good is false where the key is written in an unusual way.
func splitKey(content []byte) (key, value []byte, isKey, good bool) {
	switch c := content[0]; c {
	case '"', '\'':
		end := bytes.IndexByte(content[1:], c) + 1
		if end == 0 || bytes.IndexByte(content[1:end], '\\') >= 0 {
			return nil, nil, false, true // a scalar: readValue looks closer
		}
		after := content[end+1:]
		if len(after) == 0 || after[0] != ':' {
			return nil, nil, false, true
		}
		if len(after) > 1 && after[1] != ' ' {
			return nil, nil, false, false
		}
		return content[1:end], bytes.TrimLeft(after[1:], " "), true, end > 1
	case '[', '{', '|', '>':
		return nil, nil, false, true
	case '&', '*', '!', '%', '@', '`', ',', ']', '}', '?', ':', '=', '<':
		return nil, nil, false, false
	}
	for i := 0; i < len(content); i++ {
		switch content[i] {
		case ':':
			if i+1 == len(content) {
				return content[:i], nil, true, i <= maxKey && content[i-1] != ' '
			}
			if content[i+1] == ' ' {
				return content[:i], bytes.TrimLeft(content[i+2:], " "), true, i <= maxKey && content[i-1] != ' '
			}
			if content[i+1] == '\t' {
				return nil, nil, false, false
			}
		case '#':
			if content[i-1] == ' ' || content[i-1] == '\t' {
				return nil, nil, false, true
			}
		case '\t':
			return nil, nil, false, false
		}
	}
	return nil, nil, false, true
}

// maxKey is well below the 1024 bytes within which YAML wants the colon of a key.
const maxKey = 256
