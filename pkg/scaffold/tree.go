package scaffold

import (
	"bytes"
	"encoding/json"
)

// Object is one object to apply. Its fields keep the order in which a person would
// write them.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	// Why are the lines that say what the object is there for.
	Why  []string
	Spec Map
}

// Map is a mapping in the order of its members.
type Map []Member

// Member is one field. Why, where there is one, says what it is there for.
type Member struct {
	Key   string
	Value any // string, Block, int, bool, Map, or []any of these
	Why   string
}

// Block is text that is written over several lines.
type Block string

// Item is an item of a list with a word on what it is there for.
type Item struct {
	Value any
	Why   string
}

// MarshalJSON writes the members in their order.
func (m Map) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, member := range m {
		if i > 0 {
			out.WriteByte(',')
		}
		key, err := plainJSON(member.Key)
		if err != nil {
			return nil, err
		}
		value, err := plainJSON(member.Value)
		if err != nil {
			return nil, err
		}
		out.Write(key)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// MarshalJSON writes the value alone.
func (i Item) MarshalJSON() ([]byte, error) { return plainJSON(i.Value) }

// MarshalJSON writes the object as the API takes it: without status, and without
// times that only a server sets.
func (o Object) MarshalJSON() ([]byte, error) { return plainJSON(o.Tree()) }

// Tree is the whole object.
func (o Object) Tree() Map {
	return Map{
		{Key: "apiVersion", Value: o.APIVersion},
		{Key: "kind", Value: o.Kind},
		{Key: "metadata", Value: Map{{Key: "name", Value: o.Name}, {Key: "namespace", Value: o.Namespace}}},
		{Key: "spec", Value: o.Spec},
	}
}

// plainJSON is JSON without escapes for HTML.
func plainJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// texts is a list of strings.
func texts(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// labels is a mapping of labels, sorted.
func labels(in map[string]string) Map {
	var out Map
	for _, k := range sortedKeys(in) {
		out = append(out, Member{Key: k, Value: in[k]})
	}
	return out
}
