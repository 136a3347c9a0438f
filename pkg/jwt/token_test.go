package jwt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

const (
	goodHeader  = `{"alg":"HS256","kid":"a"}`
	goodPayload = `{"iss":"iss-a","sub":"u1","exp":2000000000}`
)

func signed(header, payload string) string { return mint.Token(mint.Oct("canary"), header, payload) }

func TestTheHeaderIsCheckedFieldByField(t *testing.T) {
	for _, c := range []struct {
		name, header string
		want         Status
	}{
		{"a good header", goodHeader, OK},
		{"without kid", `{"alg":"HS256"}`, OK},
		{"an empty kid", `{"alg":"HS256","kid":""}`, OK},
		{"the dialect counts", `{alg:'HS256',}`, OK},
		{"an escaped algorithm", `{"alg":"\u0048S256"}`, OK},
		{"no JSON", `x`, HeaderParseJSON},
		{"a list", `[]`, HeaderParseJSON},
		{"a repeated name", `{"alg":"HS256","alg":"HS256"}`, HeaderParseJSON},
		{"null has no alg", `null`, HeaderBadAlg},
		{"no alg", `{"kid":"a"}`, HeaderBadAlg},
		{"alg is null", `{"alg":null}`, HeaderBadAlg},
		{"alg is a number", `{"alg":1}`, HeaderBadAlg},
		{"alg is empty", `{"alg":""}`, AlgNotImplemented},
		{"alg none", `{"alg":"none"}`, AlgNotImplemented},
		{"alg in the wrong case", `{"alg":"rs256"}`, AlgNotImplemented},
		{"alg with a blank", `{"alg":"HS256 "}`, AlgNotImplemented},
		{"alg of secp256k1", `{"alg":"ES256K"}`, AlgNotImplemented},
		{"alg comes before kid", `{"alg":"none","kid":1}`, AlgNotImplemented},
		{"kid is a number", `{"alg":"HS256","kid":1}`, HeaderBadKid},
		{"kid is null", `{"alg":"HS256","kid":null}`, HeaderBadKid},
		{"the header comes before the payload", `{"alg":"HS256","kid":1}`, HeaderBadKid},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := Parse(signed(c.header, goodPayload)); got != c.want {
				t.Errorf("%s: %v, want %v", c.header, got, c.want)
			}
		})
	}
}

func TestThePayloadIsCheckedClaimByClaim(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		want          Status
	}{
		{"a good payload", goodPayload, OK},
		{"an empty payload", `{}`, OK},
		{"null is an empty payload", `null`, OK},
		{"no JSON", ` `, PayloadParseJSON},
		{"a list", `[]`, PayloadParseJSON},
		{"a repeated claim", `{"sub":"a","sub":"b"}`, PayloadParseJSON},
		{"a repeated claim below", `{"a":{"x":1,"x":1}}`, PayloadParseJSON},
		{"iss is a number", `{"iss":7}`, IssNotString},
		{"iss is null", `{"iss":null}`, IssNotString},
		{"sub is a number", `{"sub":7}`, SubNotString},
		{"iss comes before sub", `{"sub":7,"iss":7}`, IssNotString},
		{"sub comes before iat", `{"sub":7,"iat":"x"}`, SubNotString},
		{"iat is a string", `{"iat":"x"}`, IatNotInteger},
		{"iat is null", `{"iat":null}`, IatNotInteger},
		{"iat is negative", `{"iat":-1}`, IatOutOfRange},
		{"iat comes before nbf", `{"nbf":"x","iat":-1}`, IatOutOfRange},
		{"nbf is an object", `{"nbf":{}}`, NbfNotInteger},
		{"nbf is negative", `{"nbf":-1}`, NbfOutOfRange},
		{"nbf comes before exp", `{"exp":"x","nbf":-1}`, NbfOutOfRange},
		{"exp is a string", `{"exp":"1999999999"}`, ExpNotInteger},
		{"exp is null", `{"exp":null}`, ExpNotInteger},
		{"exp is a boolean", `{"exp":true}`, ExpNotInteger},
		{"exp is negative", `{"exp":-5}`, ExpOutOfRange},
		{"exp is negative by a fraction", `{"exp":-0.5}`, ExpOutOfRange},
		{"exp is minus zero", `{"exp":-0}`, OK},
		{"exp is 2^64", `{"exp":18446744073709551616}`, ExpOutOfRange},
		{"exp rounds to 2^64", `{"exp":18446744073709551615}`, ExpOutOfRange},
		{"exp is the last double below 2^64", `{"exp":18446744073709549568}`, OK},
		{"exp comes before jti", `{"jti":1,"exp":"x"}`, ExpNotInteger},
		{"jti is a number", `{"jti":1}`, JtiNotString},
		{"jti comes before aud", `{"aud":1,"jti":1}`, JtiNotString},
		{"aud is a number", `{"aud":1}`, AudNotString},
		{"aud is null", `{"aud":null}`, AudNotString},
		{"aud is an object", `{"aud":{}}`, AudNotString},
		{"aud is a list with a number", `{"aud":["foo",1]}`, AudNotString},
		{"aud is a list of lists", `{"aud":[["foo"]]}`, AudNotString},
		{"aud is an empty list", `{"aud":[]}`, OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := Parse(signed(goodHeader, c.payload)); got != c.want {
				t.Errorf("%s: %v, want %v", c.payload, got, c.want)
			}
		})
	}
}

func TestTheFormOfATokenIsJudgedPartByPart(t *testing.T) {
	parts := strings.Split(signed(goodHeader, goodPayload), ".")
	h, p, s := parts[0], parts[1], parts[2]
	for _, c := range []struct {
		name, raw string
		want      Status
	}{
		{"three parts", h + "." + p + "." + s, OK},
		{"nothing", "", BadFormat},
		{"one part", "abc", BadFormat},
		{"two parts", h + "." + p, BadFormat},
		{"an empty signature", h + "." + p + ".", BadFormat},
		{"four parts", h + "." + p + "." + s + ".x", BadFormat},
		{"dots alone", "...", BadFormat},
		{"a doubled first dot", h + ".." + p + "." + s, OK},
		{"dots everywhere", ".." + h + "..." + p + ".." + s + ".", OK},
		{"a padded signature", h + "." + p + "." + s + "=", OK},
		{"a signature with too much padding", h + "." + p + "." + s + "==", SignatureBase64},
		{"a signature of another alphabet", h + "." + p + "." + s[:4] + "+" + s[5:], SignatureBase64},
		{"two tokens joined by a comma", h + "." + p + "." + s + ",Basic", SignatureBase64},
		{"a blank in the signature", h + "." + p + "." + s[:4] + " " + s[4:], OK},
		{"a header of an impossible length", "A." + p + "." + s, HeaderParseBase64},
		{"a payload of an impossible length", h + ".A." + s, PayloadParseBase64},
		{"the signature comes last", h + "." + mint.Encode(`{"aud":1}`) + ".!", AudNotString},
		{"the header's base64 comes first", "!.!.!", HeaderParseBase64},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, got := Parse(c.raw)
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if (token != nil) != (got == OK) {
				t.Error("there is a token only with OK")
			}
		})
	}
}

func TestATokenHasWhatItsTextSays(t *testing.T) {
	payload := `{"iss":"iss-a","sub":"","aud":["x","y"],"iat":1.9,"nbf":2,"exp":1e3,"jti":"j","more":{"a":true}}`
	raw := signed(`{"alg":"HS384","kid":"k","typ":"JWT"}`, payload)
	token, status := Parse(strings.Replace(raw, ".", "...", 1))
	if status != OK {
		t.Fatal(status)
	}
	if token.Alg != "HS384" || token.Kid != "k" || token.Issuer != "iss-a" || token.Subject != "" || token.JTI != "j" {
		t.Errorf("strings: %v", token)
	}
	if !token.HasIssuer || !token.HasSubject || !token.HasJTI {
		t.Error("a claim that is there is not noticed")
	}
	if token.IssuedAt != 1 || token.NotBefore != 2 || token.Expires != 1000 {
		t.Errorf("times %d %d %d", token.IssuedAt, token.NotBefore, token.Expires)
	}
	if !slices.Equal(token.Audiences, []string{"x", "y"}) {
		t.Errorf("audiences %q", token.Audiences)
	}
	if typ, _ := token.Header.Field("typ"); typ.Text() != "JWT" {
		t.Errorf("typ %v", typ)
	}
	if more, _ := token.Payload.Field("more"); more.String() != `{"a":true}` {
		t.Errorf("more %v", more)
	}
	parts := strings.Split(raw, ".")
	if string(token.SigningInput()) != parts[0]+"."+parts[1] || token.RawPayload() != parts[1] {
		t.Error("the signing input is not the parts as they were sent, with one dot")
	}
	if got := mint.Encode(string(token.Signature())); got != parts[2] {
		t.Error("the signature is not the third part")
	}

	token, status = Parse(signed(goodHeader, `{"aud":"x"}`))
	if status != OK || token.HasIssuer || token.HasSubject || token.HasJTI || !slices.Equal(token.Audiences, []string{"x"}) {
		t.Errorf("%v: claims out of nothing, or audiences %q", status, token.Audiences)
	}
}

func TestPaddingInAPartIsPartOfWhatWasSigned(t *testing.T) {
	parts := strings.Split(signed(`{"alg":"HS256"}`+"  ", goodPayload), ".")
	padded := parts[0] + "="
	for _, header := range []string{parts[0], padded} {
		token, status := Parse(header + "." + parts[1] + "." + parts[2])
		if status == OK && string(token.SigningInput()) != header+"."+parts[1] {
			t.Error("the header was rewritten")
		}
	}
}

func TestTimesHaveAMinuteOfSkew(t *testing.T) {
	const now = 1700000000
	for _, c := range []struct {
		name, payload string
		want          Status
	}{
		{"no times", `{}`, OK},
		{"exp a minute ago", fmt.Sprintf(`{"exp":%d}`, now-60), OK},
		{"exp a minute and a second ago", fmt.Sprintf(`{"exp":%d}`, now-61), Expired},
		{"nbf in a minute", fmt.Sprintf(`{"nbf":%d}`, now+60), OK},
		{"nbf in a minute and a second", fmt.Sprintf(`{"nbf":%d}`, now+61), NotYetValid},
		{"exp is 0", `{"exp":0}`, OK},
		{"exp is below 1", `{"exp":0.999}`, OK},
		{"exp is 1", `{"exp":1}`, Expired},
		{"a fraction of exp is cut off", fmt.Sprintf(`{"exp":%d.9}`, now-61), Expired},
		{"a fraction of nbf is cut off", fmt.Sprintf(`{"nbf":%d.9}`, now+60), OK},
		{"nbf is told before exp", fmt.Sprintf(`{"nbf":%d,"exp":1}`, now+61), NotYetValid},
		{"exp at the end of the range", `{"exp":18446744073709549568}`, OK},
		{"nbf at the end of the range", `{"nbf":18446744073709549568}`, NotYetValid},
		{"iat does not count", `{"iat":18446744073709549568}`, OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, status := Parse(signed(goodHeader, c.payload))
			if status != OK {
				t.Fatal(status)
			}
			if got := token.VerifyTime(now); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestATimeBeforeTheEpochIsTheEpoch(t *testing.T) {
	token, _ := Parse(signed(goodHeader, `{"nbf":61}`))
	if got := token.VerifyTime(-5); got != NotYetValid {
		t.Error(got)
	}
	if got := token.VerifyTime(1); got != OK {
		t.Error(got)
	}
}

func TestATokenNeverPrintsItsText(t *testing.T) {
	raw := signed(goodHeader, goodPayload)
	token, status := Parse(raw)
	if status != OK {
		t.Fatal(status)
	}
	parts := strings.Split(raw, ".")
	signature := token.Signature()
	hidden := []string{
		parts[0], parts[1], parts[2], string(signature), fmt.Sprintf("%x", signature[:8]), fmt.Sprintf("%X", signature[:8]),
		strings.Trim(fmt.Sprintf("%d", signature[:8]), "[]"),
	}
	type holder struct {
		Exported   Token
		Pointer    *Token
		unexported Token
		pointer    *Token
	}
	h := holder{*token, token, *token, token}
	marshalled, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]string{"JSON": string(marshalled)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed[verb] = fmt.Sprintf(verb, token) + fmt.Sprintf(verb, *token) + fmt.Sprintf(verb, h) + fmt.Sprintf(verb, &h) + fmt.Sprintf(verb, []any{token, h})
	}
	printed["error"] = fmt.Errorf("with %v", token).Error()
	for how, out := range printed {
		for i, secret := range hidden {
			if strings.Contains(out, secret) {
				t.Errorf("%s shows secret %d", how, i)
			}
		}
	}
	if got := token.String(); got != `jwt(alg "HS256", kid "a", iss "iss-a", sub "u1")` {
		t.Error(got)
	}
	_, _ = h.unexported, h.pointer
}

func TestHugeTokensEndInTime(t *testing.T) {
	const size = 1 << 20
	header := mint.Encode(goodHeader)
	deep := mint.Encode(`{"a":` + strings.Repeat("[", size/2))
	wide := mint.Encode(`{"a":[` + strings.Repeat("0,", size/4) + `]}`)
	keys := strings.Builder{}
	for i := range 20000 {
		fmt.Fprintf(&keys, `"k%d":"\u0041",`, i)
	}
	for _, c := range []struct {
		name, raw string
		want      Status
	}{
		{"dots", strings.Repeat(".", size), BadFormat},
		{"parts", strings.Repeat("a.", size/2), BadFormat},
		{"one part", strings.Repeat("a", size), BadFormat},
		{"padding", header + "." + strings.Repeat("=", size) + ".AA", PayloadParseBase64},
		{"blanks", header + "." + strings.Repeat(" ", size) + ".AA", PayloadParseJSON},
		{"levels", header + "." + deep + ".AA", PayloadParseJSON},
		{"elements", header + "." + wide + ".AA", OK},
		{"names", header + "." + mint.Encode("{"+keys.String()+"}") + ".AA", OK},
		{"a string", header + "." + mint.Encode(`{"a":"`+strings.Repeat(`\n`, size/4)+`"}`) + ".AA", OK},
		{"digits", header + "." + mint.Encode(`{"a":0.`+strings.Repeat("1", size/2)+`}`) + ".AA", OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := Parse(c.raw); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
