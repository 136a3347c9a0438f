package jwt

import (
	"encoding/json"
	"testing"
)

func TestAnObjectHasItsMembersByName(t *testing.T) {
	v, err := ParseJSON([]byte(`{"b":1,"a":[true,"x",null],"c":{"d":2.5}}`))
	if err != nil {
		t.Fatal(err)
	}
	if v.Kind() != Object || v.Len() != 3 || v.Members()[0].Name != "a" || v.Members()[2].Name != "c" {
		t.Fatalf("%s with members %v", v.Kind(), v.Members())
	}
	a, ok := v.Field("a")
	if !ok || a.Kind() != List || a.Len() != 3 {
		t.Fatalf("a is %v", a)
	}
	for i, want := range []Value{NewBool(true), NewString("x"), {}} {
		if !a.Elements()[i].Equal(want) {
			t.Errorf("element %d is %v, want %v", i, a.Elements()[i], want)
		}
	}
	c, _ := v.Field("c")
	if d, ok := c.Field("d"); !ok || d.Number() != 2.5 {
		t.Errorf("d is %v", d)
	}
}

func TestWhatIsNotThereIsNull(t *testing.T) {
	for _, v := range []Value{{}, NewString("x"), NewList(NewNumber(1)), NewObject()} {
		if f, ok := v.Field("a"); ok || f.Kind() != Null {
			t.Errorf("%v has a field: %v", v, f)
		}
	}
	if NewString("x").Number() != 0 || NewNumber(1).Text() != "" || NewString("true").Bool() {
		t.Error("a value has another kind's content")
	}
}

func TestTheLastOfARepeatedMemberCounts(t *testing.T) {
	v := NewObject(Member{"b", NewNumber(1)}, Member{"a", NewNumber(2)}, Member{"b", NewNumber(3)})
	if got := v.String(); got != `{"a":2,"b":3}` {
		t.Error(got)
	}
}

func TestEqualLooksAtKindAndContent(t *testing.T) {
	values := []Value{
		{}, NewBool(false), NewBool(true), NewNumber(0), NewNumber(1), NewString(""), NewString("1"), NewList(),
		NewList(NewNumber(1)), NewList(NewNumber(2)), NewObject(), NewObject(Member{"a", NewNumber(1)}),
		NewObject(Member{"b", NewNumber(1)}), NewObject(Member{"a", NewNumber(2)}),
	}
	for i, v := range values {
		for j, w := range values {
			if v.Equal(w) != (i == j) {
				t.Errorf("%v equals %v: %v", v, w, v.Equal(w))
			}
		}
	}
}

func TestAConstructorCopiesWhatItIsGiven(t *testing.T) {
	elements := []Value{NewNumber(1)}
	v := NewList(elements...)
	elements[0] = NewNumber(2)
	if got := v.String(); got != "[1]" {
		t.Error(got)
	}
}

func TestAValueMarshalsAsJSON(t *testing.T) {
	in := `{"a":[1,2.5,"x<é",null,true],"b":{}}`
	v, err := ParseJSON([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(map[string]Value{"v": v})
	if want := `{"v":{"a":[1,2.5,"x\u003cé",null,true],"b":{}}}`; err != nil || string(out) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}

func TestKindsAreNamedAsInJSON(t *testing.T) {
	for k, want := range []string{"null", "boolean", "number", "string", "list", "object"} {
		if got := Kind(k).String(); got != want {
			t.Errorf("kind %d is %s, want %s", k, got, want)
		}
	}
}
