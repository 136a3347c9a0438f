package jwt

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of google.protobuf.Value.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// String names the kind as JSON does.
func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "list", "object"}[k]
}

// Member is one field of an object.
type Member struct {
	Name  string
	Value Value
}

// Value is a JSON value as google.protobuf.Value holds it: numbers are doubles,
// and an object has each name once. The members of an object are sorted by name
// (by bytes), since protobuf's map keeps no order. A Value does not change; the
// zero Value is null.
type Value struct {
	kind    Kind
	boolean bool
	number  float64
	text    string
	list    []Value
	members []Member
}

// NewBool returns a boolean.
func NewBool(b bool) Value { return Value{kind: Bool, boolean: b} }

// NewNumber returns a number.
func NewNumber(f float64) Value { return Value{kind: Number, number: f} }

// NewString returns a string.
func NewString(s string) Value { return Value{kind: String, text: s} }

// NewList returns a list of the elements, which it copies.
func NewList(elements ...Value) Value { return Value{kind: List, list: slices.Clone(elements)} }

// NewObject returns an object of the members, which it copies. Of a repeated
// name the last member counts.
func NewObject(members ...Member) Value {
	sorted := make([]Member, 0, len(members))
	for _, m := range members {
		i, found := findMember(sorted, m.Name)
		if found {
			sorted[i] = m
			continue
		}
		sorted = slices.Insert(sorted, i, m)
	}
	return Value{kind: Object, members: sorted}
}

// Kind is the type of the value.
func (v Value) Kind() Kind { return v.kind }

// Bool is the value of a boolean, false for every other kind.
func (v Value) Bool() bool { return v.boolean }

// Number is the value of a number, 0 for every other kind.
func (v Value) Number() float64 { return v.number }

// Text is the value of a string, "" for every other kind.
func (v Value) Text() string { return v.text }

// Len is the number of elements of a list or of members of an object.
func (v Value) Len() int { return len(v.list) + len(v.members) }

// Elements are the elements of a list; the caller must not change them.
func (v Value) Elements() []Value { return v.list }

// Members are the members of an object, sorted by name; the caller must not
// change them.
func (v Value) Members() []Member { return v.members }

// Field looks up a member of an object by its literal name.
func (v Value) Field(name string) (Value, bool) {
	if i, found := findMember(v.members, name); found {
		return v.members[i].Value, true
	}
	return Value{}, false
}

func findMember(members []Member, name string) (int, bool) {
	return slices.BinarySearchFunc(members, name, func(m Member, name string) int {
		return strings.Compare(m.Name, name)
	})
}

// Equal reports whether both values are the same. Numbers compare as doubles.
func (v Value) Equal(w Value) bool {
	return v.kind == w.kind && v.boolean == w.boolean && v.number == w.number && v.text == w.text &&
		slices.EqualFunc(v.list, w.list, Value.Equal) &&
		slices.EqualFunc(v.members, w.members, func(a, b Member) bool {
			return a.Name == b.Name && a.Value.Equal(b.Value)
		})
}

// String renders the value as compact JSON.
func (v Value) String() string {
	out, _ := v.MarshalJSON()
	return string(out)
}

// MarshalJSON renders the value as compact JSON with the members by name.
func (v Value) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := v.encode(&b)
	return b.Bytes(), err
}

func (v Value) encode(b *bytes.Buffer) error {
	switch v.kind {
	case List:
		return encodeAll(b, '[', ']', v.list, func(e Value) error { return e.encode(b) })
	case Object:
		return encodeAll(b, '{', '}', v.members, func(m Member) error {
			if err := encodeScalar(b, m.Name); err != nil {
				return err
			}
			b.WriteByte(':')
			return m.Value.encode(b)
		})
	case Bool:
		return encodeScalar(b, v.boolean)
	case Number:
		return encodeScalar(b, v.number)
	case String:
		return encodeScalar(b, v.text)
	}
	b.WriteString("null")
	return nil
}

func encodeAll[T any](b *bytes.Buffer, open, end byte, all []T, one func(T) error) error {
	b.WriteByte(open)
	for i, e := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := one(e); err != nil {
			return err
		}
	}
	b.WriteByte(end)
	return nil
}

func encodeScalar(b *bytes.Buffer, scalar any) error {
	out, err := json.Marshal(scalar)
	b.Write(out)
	return err
}
