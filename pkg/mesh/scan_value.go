package mesh

import "bytes"

// readValue reads what stands behind a key or a dash; parent is the column of the block
// that it stands in.
func (s *scanner) readValue(e *entry, value []byte, parent int) bool {
	if len(value) == 0 || value[0] == '#' {
		e.style, s.pending = styleNone, true
		return true
	}
	switch value[0] {
	case '|', '>':
		return s.blockScalar(e, value, parent)
	case '"', '\'':
		return s.quoted(e, value)
	case '[', '{':
		return s.flow(e, value)
	case '&', '*', '!', '%', '@', '`', ',', ']', '}', '\t':
		return s.giveUp()
	case '-', '?', ':':
		if len(value) == 1 || value[1] == ' ' {
			return s.giveUp()
		}
	}
	return s.plain(e, value, parent)
}

// plain reads a scalar without quotes, which may go on over lines that are further in.
func (s *scanner) plain(e *entry, value []byte, parent int) bool {
	value, comment, good := cutPlain(value)
	if !good {
		return s.giveUp()
	}
	e.style, e.value = stylePlain, value
	for {
		at, line, cur := s.at, s.line, s.cur
		content, column, ok := s.nextLine()
		if s.odd {
			return false
		}
		if !ok || column <= parent {
			s.at, s.line, s.cur = at, line, cur
			return true
		}
		// A comment, on the line or between the lines, ends the scalar, and then nothing
		// may be further in; where the lines are not blank, leave it to the parser.
		_, ended, good := cutPlain(content)
		if comment || ended || !good || !onlyBlank(s.text[at:s.cur.start]) {
			return s.giveUp()
		}
		e.style = styleOpaque
	}
}

// onlyBlank reports whether there is nothing but blanks and line breaks in the text.
func onlyBlank(text []byte) bool {
	return len(bytes.Trim(text, " \r\n")) == 0
}

// cutPlain cuts a comment off a plain scalar; good is false where it cannot be one.
func cutPlain(value []byte) (text []byte, comment, good bool) {
	for i, c := range value {
		switch c {
		case ':':
			if i+1 == len(value) || value[i+1] == ' ' || value[i+1] == '\t' {
				return nil, false, false
			}
		case '#':
			if i > 0 && value[i-1] == ' ' {
				return trimRight(value[:i]), true, true
			}
		case '\t':
			return nil, false, false
		}
	}
	return value, false, true
}

// quoted reads a scalar in quotes, which may go on over lines.
func (s *scanner) quoted(e *entry, value []byte) bool {
	quote := value[0]
	e.style = styleQuoted
	text := value[1:]
	for {
		end, escaped := closing(text, quote)
		if escaped {
			e.style = styleOpaque
		}
		if end >= 0 {
			if e.style == styleQuoted {
				e.value = text[:end]
			}
			return s.onlyComment(text[end+1:])
		}
		e.style = styleOpaque
		if s.at >= len(s.text) {
			return s.giveUp()
		}
		text = s.takeLine()
		if bytes.IndexByte(text[:len(text)-len(bytes.TrimLeft(text, " \t"))], '\t') >= 0 {
			return s.giveUp()
		}
	}
}

// closing finds the quote that ends a scalar, or -1; escaped tells whether there was an
// escape before it.
func closing(text []byte, quote byte) (end int, escaped bool) {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			escaped = true
			i++
		case text[i] == quote && quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			escaped = true
			i++
		case text[i] == quote:
			return i, escaped
		}
	}
	return -1, escaped
}

// onlyComment reports whether nothing but a comment follows a value.
func (s *scanner) onlyComment(after []byte) bool {
	rest := bytes.TrimLeft(after, " ")
	if len(rest) == 0 || rest[0] == '#' && len(rest) < len(after) {
		return true
	}
	return s.giveUp()
}

// flow reads {}, [] and lists of simple scalars that end on their line.
func (s *scanner) flow(e *entry, value []byte) bool {
	e.style = styleFlow
	if len(value) >= 2 && value[1] == value[0]+2 { // ASCII has ] two after [, and } two after {
		e.value = value[:2]
		return s.onlyComment(value[2:])
	}
	if value[0] != '[' {
		return s.giveUp()
	}
	for rest := value[1:]; ; {
		_, _, after, ok := flowItem(rest)
		if !ok || len(after) == 0 {
			return s.giveUp()
		}
		rest = after[1:]
		switch after[0] {
		case ']':
			e.value = value[:len(value)-len(rest)]
			return s.onlyComment(rest)
		case ',':
		default:
			return s.giveUp()
		}
	}
}

// flowItem reads a scalar of a list in brackets and the blanks around it.
func flowItem(text []byte) (style valueStyle, item, after []byte, ok bool) {
	text = bytes.TrimLeft(text, " ")
	if len(text) == 0 {
		return 0, nil, nil, false
	}
	if text[0] == '"' || text[0] == '\'' {
		end, escaped := closing(text[1:], text[0])
		if end < 0 || escaped {
			return 0, nil, nil, false
		}
		return styleQuoted, text[1 : end+1], bytes.TrimLeft(text[end+2:], " "), true
	}
	end := 0
	for end < len(text) && isSimple(text[end], end == 0) {
		end++
	}
	return stylePlain, text[:end], bytes.TrimLeft(text[end:], " "), end > 0
}

// isSimple reports whether a character means nothing in a scalar without quotes.
func isSimple(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '_':
		return true
	}
	return !first && (c == '-' || c == '.' || c == '*')
}

// blockScalar passes over the lines of a literal or folded scalar.
func (s *scanner) blockScalar(e *entry, value []byte, parent int) bool {
	head := value[1:]
	if len(head) > 0 && (head[0] == '-' || head[0] == '+') {
		head = head[1:]
	}
	if !s.onlyComment(head) {
		return false
	}
	e.style = styleOpaque
	content := -1 // the column of the text
	for s.at < len(s.text) {
		at, line := s.at, s.line
		text := s.takeLine()
		column := indentOf(text)
		switch {
		case column == len(text):
			if content < 0 && column > parent+1 {
				return s.giveUp() // blanks before the text may change its column
			}
		case text[column] == '\t' && (content < 0 || column < content):
			return s.giveUp()
		case column <= parent:
			s.at, s.line = at, line
			return true
		case content < 0:
			content = column
		case column < content:
			return s.giveUp()
		}
	}
	return true
}
