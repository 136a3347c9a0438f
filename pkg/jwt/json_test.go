package jwt

import (
	"errors"
	"strings"
	"testing"
)

// The answers in this file were given by Envoy 1.40.0, for each text in a header,
// in a payload or in a key set.

func TestJSONBeyondTheStandardIsAccepted(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"null is an empty object", ` null `, `{}`},
		{"white space around the document", " \r\n\t{}\n", `{}`},
		{"names and strings in single quotes", `{'a':'b'}`, `{"a":"b"}`},
		{"a double quote in single quotes", `{"a":'it"s'}`, `{"a":"it\"s"}`},
		{"a single quote in double quotes", `{"a":"it's"}`, `{"a":"it's"}`},
		{"the escape of a single quote", `{"a":"\'"}`, `{"a":"'"}`},
		{"the escape of a double quote in single quotes", `{"a":'\"'}`, `{"a":"\""}`},
		{"a bare name", `{a_1:1,_b:2,B:3}`, `{"B":3,"_b":2,"a_1":1}`},
		{"a bare name that only begins like a literal", `{nullx:1,true1:2}`, `{"nullx":1,"true1":2}`},
		{"white space around a bare name", "{ a\t:1}", `{"a":1}`},
		{"one comma after the last member", `{"a":1,}`, `{"a":1}`},
		{"one comma after the last element", `{"a":[1,]}`, `{"a":[1]}`},
		{"control characters in a string", "{\"a\":\"\x00\n\x1f\"}", `{"a":"\u0000\n\u001f"}`},
		{"a capital U escapes like a small one", `{"a":"\U0041"}`, `{"a":"A"}`},
		{"a surrogate pair whose first half has a capital U", `{"a":"\Ud83d\ude00"}`, `{"a":"😀"}`},
		{"white space between the halves of a surrogate pair", "{\"a\":\"\\ud83d \n\\ude00\"}", `{"a":"😀"}`},
		{"the last code point", `{"a":"\udbff\udfff"}`, "{\"a\":\"\U0010ffff\"}"},
		{"an empty name", `{"":1}`, `{"":1}`},
		{"the same name in different objects", `{"a":{"a":{"a":1}}}`, `{"a":{"a":{"a":1}}}`},
		{"a minus zero", `{"a":-0}`, `{"a":-0}`},
		{"exponents of any form", `{"a":[1E5,1e+5,1e-1,0e5]}`, `{"a":[100000,100000,0.1,0]}`},
		{"a number too small for a double", `{"a":1e-400}`, `{"a":0}`},
		{"the largest double", `{"a":1.7976931348623157e308}`, `{"a":1.7976931348623157e+308}`},
		{"what the standard has", `{"a":[null,true,false,"\/\b\f\n\r\t\\\u00e9",{}]}`, `{"a":[null,true,false,"/\b\f\n\r\t\\é",{}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := ParseJSON([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := v.String(); got != c.want {
				t.Errorf("%q is %s, want %s", c.in, got, c.want)
			}
		})
	}
}

func TestJSONThatEnvoyRefuses(t *testing.T) {
	for name, all := range map[string][]string{
		"a top level that is no object":        {``, ` `, `[]`, `1`, `"x"`, `true`, `nul`, `nullx`, `null null`, `<html>`},
		"text after the document":              {`{}{}`, `{},`, `{}x`, "{}\x00", `{}// c`, `{}}`},
		"a byte order mark":                    {"\ufeff{}"},
		"white space of another kind":          {"\v{}", "{\"a\":\f1}", "{\"a\":\u00a01}"},
		"a repeated name":                      {`{"a":1,"a":1}`, `{"a":1,'a':1}`, `{"a":1,a:1}`, `{"a":1,"\u0061":1}`, `{"x":{"a":1,"b":2,"a":3}}`, `{"":1,"":2}`},
		"a bare name that begins with a digit": {`{1a:1}`},
		"a bare name with another character":   {`{a-b:1}`, `{$a:1}`, `{a.b:1}`, `{é:1}`},
		"a literal as a bare name":             {`{null:1}`, `{true:1}`, `{false:1}`},
		"a comma too many":                     {`{,}`, `[,]`, `{"a":[,]}`, `{"a":[1,,]}`, `{"a":1,,}`, `{,"a":1}`, `{"a":[,1]}`},
		"a comma too few":                      {`{"a":1 "b":2}`, `{"a":[1 2]}`, `{"a":"b""c"}`, `{"a":{}{}}`},
		"another separator":                    {`{"a"::1}`, `{"a" 1}`, `{"a"=1}`, `{"a":1;"b":2}`},
		"a missing value or name":              {`{"a":}`, `{"a"}`, `{:1}`, `{"a":,}`},
		"brackets that do not fit":             {`{`, `{"a":[1}`, `{"a":{"b":1]}`, `{"a":(1)}`, `{"a":1`, `{"a":[1`},
		"a comment":                            {`{/*c*/}`, "{//c\n}", `{"a":1#`},
		"a bare value":                         {`{"a":b}`, `{"a":True}`, `{"a":tru}`, `{"a":truefalse}`, `{"a":undefined}`},
		"a leading zero":                       {`{"a":01}`, `{"a":-01}`, `{"a":00}`},
		"another form of number":               {`{"a":+1}`, `{"a":.5}`, `{"a":5.}`, `{"a":-}`, `{"a":-.5}`, `{"a":--1}`, `{"a":0x10}`, `{"a":1e}`, `{"a":1e+}`, `{"a":1.e5}`, `{"a":1e5.5}`, `{"a":1_0}`, `{"a":1-2}`, `{"a":1a}`},
		"a number that is none":                {`{"a":NaN}`, `{"a":Infinity}`, `{"a":-Infinity}`},
		"a number beyond a double":             {`{"a":1e400}`, `{"a":-1e400}`, `{"a":1.7976931348623159e308}`, `{"a":` + strings.Repeat("9", 309) + `}`},
		"an unknown escape":                    {`{"a":"\a"}`, `{"a":"\v"}`, `{"a":"\0"}`, `{"a":"\x41"}`, "{\"a\":\"\\\n\"}"},
		"a bad code point escape":              {`{"a":"\u004"}`, `{"a":"\u00g1"}`, `{"a":"\u"}`, `{"a":"\u 041"}`},
		"half a surrogate pair":                {`{"a":"\ud83d"}`, `{"a":"\ude00"}`, `{"a":"\ud83dx"}`, `{"a":"\ud800\ud800"}`, `{"a":"\ud83d\u0041"}`, `{"a":"\ud83d\n"}`},
		"a second half with a capital U":       {`{"a":"\ud83d\Ude00"}`},
		"a string that does not end":           {`{"a":"b}`, `{"a":'b"}`, `{"a":"\`, `{"a":"\u`, `{"a":"\ud83d\`, `{"a":"\ud83d\u`, `{"a`},
		"a NUL outside a string":               {"{\"a\":1\x00}", "\x00{}"},
		"what is not UTF-8":                    {"{\"a\":\"\xff\"}", "{\"a\":\"\xc3\"}", "{\"\xff\":1}", "{\"a\":'\xff'}", "{\"a\":\"\\n\xff\"}"},
		"an overlong form":                     {"{\"a\":\"\xc0\x80\"}", "{\"a\":\"\\n\xc0\x80\"}"},
		"a surrogate in UTF-8":                 {"{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\\n\xed\xa0\x80\"}"},
		"a code point beyond the last":         {"{\"a\":\"\xf4\x90\x80\x80\"}"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, in := range all {
				if v, err := ParseJSON([]byte(in)); !errors.Is(err, ErrSyntax) {
					t.Errorf("%q is %v, error %v", in, v, err)
				}
			}
		})
	}
}

func TestAHundredLevelsAreTheMost(t *testing.T) {
	for _, c := range []struct {
		levels int
		ok     bool
	}{{1, true}, {100, true}, {101, false}, {100000, false}} {
		objects := strings.Repeat(`{"a":`, c.levels) + "1" + strings.Repeat("}", c.levels)
		lists := `{"a":` + strings.Repeat("[", c.levels-1) + strings.Repeat("]", c.levels-1) + "}"
		if c.levels == 1 {
			lists = "{}"
		}
		for _, in := range []string{objects, lists} {
			if _, err := ParseJSON([]byte(in)); (err == nil) != c.ok {
				t.Errorf("%d levels: %v", c.levels, err)
			}
		}
	}
	siblings := `{"a":[` + strings.Repeat("{},[],", 1000) + `]}`
	if _, err := ParseJSON([]byte(siblings)); err != nil {
		t.Errorf("levels that were closed still count: %v", err)
	}
}

func TestTheErrorTellsThePlaceAndNotTheText(t *testing.T) {
	_, err := ParseJSON([]byte(`{"secret":"canary" "x"}`))
	if err == nil || !strings.Contains(err.Error(), "byte 19") {
		t.Errorf("error %v", err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Error("the error has the text")
	}
}
