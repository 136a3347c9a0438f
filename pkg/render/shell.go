package render

import "strings"

// shell writes a command that is to be copied, from the column on that the line is at:
// what does not fit goes on behind a backslash, as a shell takes it.
func (p *page) shell(column int, command string) {
	at := column
	for i, word := range shellWords(command) {
		switch {
		case i == 0:
		case at+1+runeLen(word)+2 > p.columns():
			p.WriteString(" \\\n" + strings.Repeat(" ", column+2))
			at = column + 2
		default:
			p.WriteByte(' ')
			at++
		}
		p.WriteString(word)
		at += runeLen(word)
	}
	p.line("")
}

// shellWords cuts a command where a line may end: not between single quotes.
func shellWords(command string) []string {
	var out []string
	open := false
	for _, part := range strings.Split(command, " ") {
		if open {
			out[len(out)-1] += " " + part
		} else {
			out = append(out, part)
		}
		if strings.Count(strings.ReplaceAll(part, `'\''`, ""), "'")%2 == 1 {
			open = !open
		}
	}
	return out
}
