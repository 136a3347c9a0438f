package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// YAML writes the diagnosis as a YAML document: the same members as the JSON, in
// the same order.
func YAML(w io.Writer, answer any) error {
	asJSON, err := marshal(answer)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.UseNumber()
	root, err := node(dec)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	var plain strings.Builder
	enc := yaml.NewEncoder(&plain)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(root), enc.Close()); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	var out bytes.Buffer
	for _, r := range plain.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r) // it stands in double quotes: see scalar
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return nil
}

// node reads one JSON value, keeping the order of its members.
func node(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return scalar(token), nil
	}
	out := &yaml.Node{Kind: yaml.SequenceNode}
	if delim == '{' {
		out.Kind = yaml.MappingNode
	}
	for dec.More() {
		child, err := node(dec) // the key of a member, then its value
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, child)
	}
	_, err = dec.Token() // the closing bracket
	return out, err
}

// plainText is text that means itself in YAML, of whatever version, without quotes.
var plainText = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_./()\[\] -]*[A-Za-z0-9)\]]$`)

// otherWords are words that some YAML reads as something else than text.
var otherWords = lazyregexp.New(`(?i)^(true|false|yes|no|on|off|null|y|n)$`)

func scalar(token json.Token) *yaml.Node {
	out := &yaml.Node{Kind: yaml.ScalarNode}
	switch v := token.(type) {
	case string:
		out.Tag, out.Value = "!!str", v
		if !plainText.MatchString(v) || otherWords.MatchString(v) {
			out.Style = yaml.DoubleQuotedStyle
		}
	case json.Number:
		out.Tag, out.Value = "!!int", v.String()
	case bool:
		out.Tag, out.Value = "!!bool", fmt.Sprint(v)
	default:
		out.Tag, out.Value = "!!null", "null"
	}
	return out
}
