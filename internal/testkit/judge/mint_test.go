package judge

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// echoSign signs by naming what it was asked to do.
func echoSign(key, alg string, input []byte) ([]byte, error) {
	if key == "broken" {
		return nil, errors.New("no such key")
	}
	return []byte(key + "/" + alg + "/" + string(input)), nil
}

func decode(t *testing.T, part string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatalf("part is no base64url: %v", err)
	}
	return string(raw)
}

func TestTokenMint_ThatTheClockGoesIntoHeaderAndPayload(t *testing.T) {
	tok := Token{Key: "k", Alg: "RS256", Header: `{"alg":"RS256","t":{now}}`,
		Payload: `{"exp":{now+60},"nbf":{now-61},"o":{"a":{now}}}`}
	text, err := tok.Mint(1000, echoSign)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("got %d parts, want 3", len(parts))
	}
	if got, want := decode(t, parts[0]), `{"alg":"RS256","t":1000}`; got != want {
		t.Errorf("header: got %s, want %s", got, want)
	}
	if got, want := decode(t, parts[1]), `{"exp":1060,"nbf":939,"o":{"a":1000}}`; got != want {
		t.Errorf("payload: got %s, want %s", got, want)
	}
	if got, want := decode(t, parts[2]), "k/RS256/"+parts[0]+"."+parts[1]; got != want {
		t.Errorf("signature is over the wrong text: got %s, want %s", got, want)
	}
}

func TestTokenMint_ThatPartsAndSignatureCanBeSpoiled(t *testing.T) {
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	h, p := enc("H"), enc("P")
	sig := "k/A/" + h + "." + p
	flipped := []byte(sig)
	flipped[len(flipped)/2] ^= 0x10
	base := Token{Key: "k", Alg: "A", Header: "H", Payload: "P"}
	with := func(change func(*Token)) Token { t := base; change(&t); return t }
	for name, c := range map[string]struct {
		tok  Token
		want string
	}{
		"the usual form":         {base, h + "." + p + "." + enc(sig)},
		"a form of its own":      {with(func(t *Token) { t.Form = "{h}..{p}=.{s}.x" }), h + ".." + p + "=." + enc(sig) + ".x"},
		"signed over other text": {with(func(t *Token) { t.SignOver = "{h}=.{p}" }), h + "." + p + "." + enc("k/A/"+h+"=."+p)},
		"a signature cut short":  {with(func(t *Token) { t.TrimSignature = 2 }), h + "." + p + "." + enc(sig[:len(sig)-2])},
		"a bit flipped":          {with(func(t *Token) { t.FlipSignature = true }), h + "." + p + "." + enc(string(flipped))},
		"no algorithm":           {with(func(t *Token) { t.Alg = "none" }), h + "." + p + "."},
		"raw text":               {with(func(t *Token) { t.Raw = "abc" }), "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.tok.Mint(0, echoSign)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRequestMint_ThatTokensGoIntoPathAndHeaders(t *testing.T) {
	req := Request{Path: "/x?access_token={token:1}", Headers: []Header{{"A", "Bearer {token:0}"}, {"B", "{token:1},{token:1}"}},
		Tokens: []Token{{Raw: "one"}, {Raw: "two"}}}
	got, err := req.Mint(5, echoSign)
	if err != nil {
		t.Fatal(err)
	}
	if got.Path != "/x?access_token=two" || got.Headers[0].Value != "Bearer one" || got.Headers[1].Value != "two,two" {
		t.Errorf("got %s and %v", got.Path, got.Headers)
	}
	if req.Headers[0].Value != "Bearer {token:0}" {
		t.Errorf("the request itself was changed: %v", req.Headers)
	}
}

func TestRequestMint_ThatWhatCannotBeMintedIsAnError(t *testing.T) {
	for name, req := range map[string]Request{
		"a token that is not there, in the path":  {Path: "/{token:0}"},
		"a token that is not there, in a header":  {Headers: []Header{{"a", "{token:3}"}}, Tokens: []Token{{Raw: "x"}}},
		"a key that is not there":                 {Tokens: []Token{{Key: "broken", Alg: "RS256"}}},
		"a signature shorter than what it loses":  {Tokens: []Token{{Key: "k", Alg: "RS256", TrimSignature: 1000}}},
		"a token number beyond every machine int": {Path: "/{token:99999999999999999999}"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := req.Mint(0, echoSign); err == nil {
				t.Error("no error")
			}
		})
	}
}
