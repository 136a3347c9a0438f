package mesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

var yamlLine = lazyregexp.New(`line (\d+): `)

// yamlError dresses an error of a YAML parser: pos is where the text begins.
func yamlError(pos Position, object string, text []byte, err error) *InputError {
	message, reported := yamlMessage(err)
	at := locate(text, message, reported)
	out := &InputError{File: pos.File, Line: pos.Line + at - 1, Object: object, Err: err}
	out.Problem, out.Hint = yamlProblem(message, lineAt(text, at))
	if bytes.Contains(text, []byte("{{")) {
		out.Hint = templateHint
	}
	out.Problem = "cannot be read as YAML: " + out.Problem
	return out
}

// yamlMessage is what a YAML parser says, and the line that it says, from 1.
func yamlMessage(err error) (message string, line int) {
	message = strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: ")
	message = strings.TrimPrefix(message, "unmarshal errors:")
	line = 1
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = strings.Replace(message, m[0], "", 1)
	}
	return oneLine(message), max(1, line)
}

// maxLocate is the size of a text up to which the line of an error is looked for.
const maxLocate = 1 << 20

// locate finds the first line that makes a text fail with the message. The parser
// itself often names the line at which the block around it begins, or one too few.
func locate(text []byte, message string, reported int) int {
	if len(text) > maxLocate {
		return reported
	}
	var ends []int
	end := 0
	for line := range bytes.Lines(text) {
		end += len(line)
		ends = append(ends, end)
	}
	at := sort.Search(len(ends), func(i int) bool {
		_, err := parseTree(text[:ends[i]])
		if err == nil {
			return false
		}
		got, _ := yamlMessage(err)
		return got == message
	})
	if at == len(ends) {
		return reported
	}
	return at + 1
}

// yamlProblem puts a parser's message into words for the line that causes it.
func yamlProblem(message string, line []byte) (problem, hint string) {
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	switch {
	case bytes.IndexByte(indent, '\t') >= 0:
		return "the line is indented with a tab", "indent with blanks: YAML takes no tabs"
	case strings.HasSuffix(message, "UTF-8 octet") || strings.Contains(message, "incomplete UTF-8"):
		return "the line is not text in UTF-8", "save the file as UTF-8"
	case strings.HasPrefix(message, "exceeded max depth"):
		return "it has more than 10000 brackets or blocks in one another", "is it a manifest?"
	case message == "control characters are not allowed":
		return "the line has a control character in it", "take it out, or write it as an escape in double quotes"
	case message == "found unexpected end of stream":
		return "a quote that is opened here is never closed", "close it; is the file whole?"
	case message == "did not find expected ',' or '}'" || message == "did not find expected ',' or ']'":
		return "a bracket that is opened here or before is not closed, or a comma is missing", "close it; is the file whole?"
	case message == "did not find expected key", message == "did not find expected '-' indicator":
		return "the line does not fit the indentation of those before it", "indent it as its neighbours are"
	case message == "mapping values are not allowed in this context":
		return "there is a colon where none is expected", "look at the indentation; put text with a colon and a blank in it into quotes"
	}
	return message, "look at the indentation, the quotes and the colons of this line and the one before"
}

// lineAt is the n-th line of a text, from 1.
func lineAt(text []byte, n int) []byte {
	for line := range bytes.Lines(text) {
		if n--; n == 0 {
			return line
		}
	}
	return nil
}

// jsonError dresses an error of the JSON decoder: start is the offset within text at
// which the decoder began.
func jsonError(pos Position, text []byte, start int64, err error) *InputError {
	offset := int64(len(text))
	hint := "close what is open; is the file whole?"
	var syntax *json.SyntaxError
	if strings.Contains(err.Error(), "exceeded max depth") {
		hint = "it has more than 10000 brackets in one another: is it a manifest?"
	} else if errors.As(err, &syntax) && !strings.Contains(err.Error(), "unexpected end") {
		offset = min(offset, start+syntax.Offset)
		hint = "look at the commas, the quotes and the brackets before it"
	}
	if bytes.Contains(text, []byte("{{")) {
		hint = templateHint
	}
	line := pos.Line + bytes.Count(text[:offset], []byte("\n"))
	return &InputError{File: pos.File, Line: line, Problem: "cannot be read as JSON: " + oneLine(err.Error()), Hint: hint, Err: err}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// quoted puts a short text in quotes, control characters escaped.
func quoted(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		s = string(r[:most/2]) + "…" + string(r[len(r)-most/4:])
	}
	return strconv.Quote(s)
}
