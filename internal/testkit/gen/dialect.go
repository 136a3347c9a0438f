package gen

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// spelled writes the header or the payload in another way; how gets the members
// without their braces.
func spelled(how func(d *dice, members string) string) func(r *draft, t *judge.Token, j jwtRule) {
	return func(r *draft, t *judge.Token, _ jwtRule) {
		if r.oneIn(3) {
			t.Header = how(r.dice, strings.TrimSuffix(strings.TrimPrefix(t.Header, "{"), "}"))
			return
		}
		t.Payload = how(r.dice, strings.TrimSuffix(strings.TrimPrefix(t.Payload, "{"), "}"))
	}
}

// also adds one of the members.
func also(choices ...string) func(r *draft, t *judge.Token, j jwtRule) {
	return spelled(func(d *dice, m string) string { return "{" + m + "," + pick(d, choices...) + "}" })
}

// dialectDefects are JSON as the proxy's parser takes it, and as it does not.
var dialectDefects = []defect{
	{2, "json/top-level", spelled(func(d *dice, m string) string {
		return pick(d, "null", "[]", "7", `"x"`, "", "true", "["+m+"]", "[{"+m+"}]", " null ")
	})},
	{2, "json/around", spelled(func(d *dice, m string) string {
		return pick(d, " {"+m+"} ", "\n{"+m+"}\r\n\t", "{ "+m+" }", "{"+m+"}x", "{"+m+"}{}", "x{"+m+"}", "\xef\xbb\xbf{"+m+"}", "{"+m, "{"+m+"}}", "\x00{"+m+"}", "\f{"+m+"}")
	})},
	{2, "json/duplicate", also(`"x":1,"x":1`, `"n":{"x":1,"x":2}`, `"x":1,"\u0078":2`, `"l":[{"x":1,"x":1}]`)},
	{2, "json/quotes", spelled(func(d *dice, m string) string {
		return pick(d, "{"+strings.ReplaceAll(m, `"`, `'`)+"}", "{"+m+`,'x':'it\'s'}`, "{"+m+`,'x':'a"b'}`, "{"+m+`,"x":"it\'s"}`, "{"+m+`,"x":'1"}`, "{"+m+",`x`:1}")
	})},
	{2, "json/bare-keys", also(`x:1`, `_x1:1`, `X_:1`, `1x:1`, `x-y:1`, `$x:1`, `null:1`, `true:1`, `x.y:1`, `é:1`, `nully:1`, `:1`, `"":1`)},
	{2, "json/commas", spelled(func(d *dice, m string) string {
		return pick(d, "{"+m+",}", "{"+m+",,}", "{,"+m+"}", "{"+m+`,"l":[1,]}`, "{"+m+`,"l":[1,,2]}`, "{"+m+`,"l":[,]}`, "{"+m+`,"o":{,}}`, "{"+m+` "x":1}`, "{,}")
	})},
	{2, "json/strings", also(`"x":"a`+"\n"+`b"`, `"x":"`+"\x00"+`"`, `"x":"`+"\x1f\t"+`"`, `"x":"\u0000"`, `"x":"\U0041"`, `"x":"\u00"`, `"x":"\x41"`, `"x":"\/\b\f\n\r\t\\"`,
		`"x":"\a"`, `"x":"\ud83d\ude00"`, `"x":"\ud83d"`, `"x":"\ude00\ud83d"`, `"x":"\ud83dx"`, `"x":"`+"\xff"+`"`, `"x":"`+"\xc3\xa9"+`"`, `"x":"`+"\xc0\x80"+`"`,
		`"x":"`+"\xed\xa0\x80"+`"`, `"x":"`+"\xf4\x90\x80\x80"+`"`, `"x":"`+"\x7f"+`"`, `"x":"open`, `"x":"\u00E9"`, `"x":"\8"`)},
	{2, "json/numbers", also(`"x":01`, `"x":+1`, `"x":.5`, `"x":5.`, `"x":0x10`, `"x":NaN`, `"x":Infinity`, `"x":-Infinity`, `"x":1e400`, `"x":-1e400`, `"x":1e-400`, `"x":-0`, `"x":1E5`,
		`"x":1e+5`, `"x":1e`, `"x":-`, `"x":1.5.5`, `"x":--1`, `"x":1_000`, `"x":00`, `"x":-01`, `"x":0.0`, `"x":123456789012345678901234567890`, `"x":1a`, `"x":0e0`)},
	{2, "json/literals", also(`"x":TRUE`, `"x":nul`, `"x":nulll`, `"x":True`, `"x":undefined`, `"x":text`, `"x":`, `"x"`, `"x":true`, `"x" : null`, `"x":truefalse`, `"x";1`, `x`)},
	{1, "json/comments", spelled(func(d *dice, m string) string {
		return pick(d, "{"+m+"/* x */}", "{"+m+"// x\n}", "# x\n{"+m+"}", "/**/{"+m+"}")
	})},
	{1, "json/depth", spelled(func(d *dice, m string) string {
		n := pick(d, 97, 98, 99, 100, 101)
		if d.percent(50) {
			return "{" + m + `,"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"
		}
		return "{" + m + `,"x":` + strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) + "}"
	})},
}
