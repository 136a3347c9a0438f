package jwt

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		signed(goodHeader, goodPayload), signed(`{alg:'ES256'}`, `null`), signed(goodHeader, `{"aud":["x",1],"exp":-1}`),
		"a.b.c", "...", "", strings.Repeat(".", 100), mint.Encode("{") + ".x.y", "e30=.e30=.AA==",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		token, status := Parse(raw)
		if (token != nil) != (status == OK) || status.String() == "" {
			t.Fatal("a token goes with OK, and a status has a text")
		}
		if token == nil {
			return
		}
		if !Implemented(token.Alg) {
			t.Fatalf("algorithm %q", token.Alg)
		}
		again, status := Parse("." + string(token.SigningInput()) + ".." + mint.Encode(string(token.Signature())+"x"))
		if status != OK || !again.Payload.Equal(token.Payload) || !again.Header.Equal(token.Header) {
			t.Fatal("the parts do not parse again")
		}
		token.VerifyTime(math.MaxInt64)
		NormalizeSpaceDelimited(token.Payload, []string{"scope", "scope"})
		for _, m := range token.Payload.Members() {
			ClaimHeader(token.Payload, m.Name)
		}
	})
}

// FuzzParseJSON holds the dialect against encoding/json: a document of strict JSON
// that has none of what the dialect refuses parses to the same value.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"a":[1,2.5e3,"x\u00e9\ud83d\ude00",true,false,null,{"b":{}}]}`, `{'a':1,}`, `{a:1}`, `{"a":1,"a":2}`,
		"{\"a\":\"\x00\"}", `{"a":"\ud83d \ude00"}`, `{"a":1e400}`, `{"a":01}`, "{\"a\":\"\xff\"}", strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := ParseJSON(in)
		want, comparable := strict(in)
		if comparable {
			if err != nil {
				t.Fatalf("%q: %v", in, err)
			}
			if got := toAny(v); !same(got, want) {
				t.Fatalf("%q: %v, encoding/json has %v", in, got, want)
			}
		}
		if err != nil {
			return
		}
		for _, out := range [][]byte{[]byte(v.String()), appendProtoJSON(nil, v)} {
			again, err := ParseJSON(out)
			if err != nil || !again.Equal(v) {
				t.Fatalf("%q: %s does not parse to the same value: %v", in, out, err)
			}
		}
	})
}

// strict reads what both parsers must agree on; ok is false for anything else.
func strict(in []byte) (v any, ok bool) {
	if !utf8.Valid(in) || !json.Valid(in) || repeats(in) || surrogates(in) {
		return nil, false
	}
	if err := json.Unmarshal(in, &v); err != nil { // numbers out of range
		return nil, false
	}
	if v == nil {
		return map[string]any{}, true
	}
	_, isObject := v.(map[string]any)
	return v, isObject && depth(v) <= maxDepth
}

// repeats reports whether an object has a name twice.
func repeats(in []byte) bool {
	d := json.NewDecoder(bytes.NewReader(in))
	type level struct {
		names map[string]bool
		name  bool // the next string is a name
	}
	var open []*level
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		var top *level
		if len(open) > 0 {
			top = open[len(open)-1]
		}
		if name, isString := token.(string); isString && top != nil && top.names != nil && top.name {
			if top.names[name] {
				return true
			}
			top.names[name], top.name = true, false
			continue
		}
		if top != nil {
			top.name = true
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &level{names: map[string]bool{}, name: true})
		case json.Delim('['):
			open = append(open, &level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			if len(open) > 0 {
				open[len(open)-1].name = true
			}
		}
	}
}

// surrogates reports whether the text has an escape of half a surrogate pair, which
// encoding/json takes alone too.
func surrogates(in []byte) bool {
	return strings.Contains(strings.ToLower(string(in)), `\ud`)
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	case []any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	default:
		return 0
	}
	return deepest + 1
}

func toAny(v Value) any {
	switch v.Kind() {
	case Object:
		out := map[string]any{}
		for _, m := range v.Members() {
			out[m.Name] = toAny(m.Value)
		}
		return out
	case List:
		out := []any{}
		for _, e := range v.Elements() {
			out = append(out, toAny(e))
		}
		return out
	case String:
		return v.Text()
	case Number:
		return v.Number()
	case Bool:
		return v.Bool()
	}
	return nil
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func BenchmarkParse(b *testing.B) {
	raw := signed(goodHeader, `{"iss":"iss-a","sub":"u1","aud":["a","b"],"exp":2000000000,"groups":["x","y","z"],"realm":{"roles":["admin"]}}`)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, status := Parse(raw); status != OK {
			b.Fatal(status)
		}
	}
}

func BenchmarkParseJSONOfAMegabyte(b *testing.B) {
	text := []byte(`{"a":[` + strings.Repeat(`{"b":"c"},`, 100000) + `]}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := ParseJSON(text); err != nil {
			b.Fatal(err)
		}
	}
}
