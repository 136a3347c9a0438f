package proxy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// object is one JSON object of a dump. Envoy writes the names of its fields as they
// stand in its API (snake_case), istiod's debug pages as protobuf's JSON does.
type object map[string]json.RawMessage

func parseObject(raw json.RawMessage) (object, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var o object
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	return o, nil
}

// raw finds a field by its name in the API.
func (o object) raw(name string) json.RawMessage {
	if v, ok := o[name]; ok {
		return v
	}
	return o[camel(name)]
}

func (o object) has(name string) bool { return o.raw(name) != nil }

// sub is a field that is an object; what is not, is none.
func (o object) sub(names ...string) object {
	for _, n := range names {
		next, err := parseObject(o.raw(n))
		if err != nil {
			return nil
		}
		o = next
	}
	return o
}

func (o object) list(name string) []json.RawMessage {
	var out []json.RawMessage
	if json.Unmarshal(o.raw(name), &out) != nil {
		return nil
	}
	return out
}

func (o object) objects(name string) []object {
	var out []object
	for _, raw := range o.list(name) {
		if e, err := parseObject(raw); err == nil {
			out = append(out, e)
		}
	}
	return out
}

func (o object) text(name string) string {
	var s string
	if json.Unmarshal(o.raw(name), &s) != nil {
		return ""
	}
	return s
}

func (o object) texts(name string) []string {
	var out []string
	if json.Unmarshal(o.raw(name), &out) != nil {
		return nil
	}
	return out
}

// flag is a boolean, also where the API has a wrapper for it.
func (o object) flag(name string) bool {
	var b bool
	return json.Unmarshal(o.raw(name), &b) == nil && b
}

// number is a number, which protobuf's JSON may write as a string.
func (o object) number(name string) uint64 {
	n, err := strconv.ParseUint(strings.Trim(string(o.raw(name)), `"`), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// only is the name of the single member besides "@type", of a field that is a choice.
func (o object) only() (string, error) {
	var names []string
	for n := range o {
		if n != "@type" {
			names = append(names, snake(n))
		}
	}
	if len(names) != 1 {
		return "", fmt.Errorf("a choice with %d members", len(names))
	}
	return names[0], nil
}

// typeName is the last word of "@type".
func (o object) typeName() string {
	t := o.text("@type")
	return t[strings.LastIndexByte(t, '.')+1:]
}

func camel(s string) string {
	var b strings.Builder
	up := false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '_':
			up = true
		case up && 'a' <= c && c <= 'z':
			b.WriteByte(c - 'a' + 'A')
			up = false
		default:
			b.WriteByte(c)
			up = false
		}
	}
	return b.String()
}

func snake(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b.WriteByte('_')
			b.WriteByte(c - 'A' + 'a')
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
