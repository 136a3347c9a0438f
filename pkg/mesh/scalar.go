package mesh

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// surelyString reports whether a scalar without quotes is a string for kubectl's YAML
// 1.1 reader and for a YAML 1.2 one. It may say no to one that is.
func surelyString(v []byte) bool {
	if len(v) == 0 {
		return false
	}
	c := v[0]
	switch {
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return !isWord(string(v))
	case c == '/' || c == '_' || c == '$' || c == '(':
		return true
	case c >= '1' && c <= '9':
		// Not a number, since there is a letter that none has; not a time either.
		return bytes.IndexFunc(v, func(r rune) bool {
			return r >= 'a' && r <= 'z' && r != 'e' && r != 't' && r != 'z' || r >= 'A' && r <= 'Z' && r != 'E' && r != 'T' && r != 'Z'
		}) >= 0 || isUUID(v)
	case c == '0':
		return isUUID(v)
	}
	return false
}

// isWord reports whether a word stands for something else than itself in YAML 1.1, as
// go.yaml.in/yaml/v2 resolve.go knows it.
func isWord(s string) bool {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return true
	case "true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL":
		return true
	}
	return false
}

// isBoolWord reports whether kubectl's YAML reader takes the word for a truth value.
func isBoolWord(s string) bool {
	return isWord(s) && s != "null" && s != "Null" && s != "NULL"
}

// keyText is what kubectl makes of a key: one that is a truth value in YAML 1.1 becomes
// "true" or "false".
func keyText(k *yaml.Node) string {
	if kindOf(k) != isBool {
		return k.Value
	}
	switch k.Value[0] {
	case 't', 'T', 'y', 'Y':
		return "true"
	case 'o', 'O':
		if len(k.Value) == 2 {
			return "true"
		}
	}
	return "false"
}

func isUUID(v []byte) bool {
	return len(v) == 36 && v[8] == '-' && v[13] == '-' && v[18] == '-' && v[23] == '-'
}

// valueKind is what a value is to a reader of JSON.
type valueKind string

const (
	isString valueKind = "text"
	isBool   valueKind = "true or false"
	isNumber valueKind = "a number"
	isNull   valueKind = "null"
	isMap    valueKind = "a mapping"
	isList   valueKind = "a list"
)

// kindOf is what kubectl makes of a YAML node.
func kindOf(n *yaml.Node) valueKind {
	n = target(n)
	switch n.Kind {
	case yaml.MappingNode:
		return isMap
	case yaml.SequenceNode:
		return isList
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return isString
	}
	switch n.ShortTag() {
	case "!!bool":
		return isBool
	case "!!int", "!!float":
		return isNumber
	case "!!null":
		return isNull
	}
	if n.Style&yaml.TaggedStyle == 0 && isBoolWord(n.Value) {
		return isBool
	}
	return isString
}

// target follows an alias; nil stays nil.
func target(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
