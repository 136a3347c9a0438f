package gen

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// defect spoils a good token, or changes it in a way that must not matter.
type defect struct {
	weight int
	name   string
	do     func(r *draft, t *judge.Token, j jwtRule)
}

// spoil puts one defect into the token.
func (r *draft) spoil(t *judge.Token, j jwtRule) {
	choices := make([]weighted[defect], len(defects))
	for i, d := range defects {
		choices[i] = weighted[defect]{d.weight, d}
	}
	chosen := pickWeighted(r.dice, choices)
	if t.Alg == "EdDSA" && r.oneIn(5) {
		t.TrimSignature = 1 // the one algorithm whose length has an error of its own
		r.tag("defect/signature/short")
		return
	}
	r.tag("defect/" + chosen.name)
	chosen.do(r, t, j)
}

var defects = slices.Concat(formDefects, headerDefects, payloadDefects, timeDefects, signatureDefects, dialectDefects)

// form puts the parts together in another way.
func form(forms ...string) func(r *draft, t *judge.Token, j jwtRule) {
	return func(r *draft, t *judge.Token, _ jwtRule) { t.Form = pick(r.dice, forms...) }
}

var formDefects = []defect{
	{3, "form/parts", form("{h}.{p}", "{h}", "{h}.{p}.{s}.x", "{h}.{p}.{s}.{s}", ".", "..", "{p}.{s}")},
	{3, "form/empty-parts", form("{h}..{p}.{s}", ".{h}.{p}.{s}", "{h}.{p}.{s}.", "{h}.{p}...{s}..")},
	{2, "form/no-signature", form("{h}.{p}.", "{h}.{p}..")},
	{2, "form/signature-padded", func(r *draft, t *judge.Token, _ jwtRule) {
		t.Form = "{h}.{p}.{s}" + pick(r.dice, "=", "==", "===", "=x", "A=", "A==")
	}},
	{2, "form/parts-padded", form("{h}=.{p}.{s}", "{h}==.{p}.{s}", "{h}.{p}=.{s}", "{h}.{p}==.{s}")},
	{2, "form/padded-and-signed", func(r *draft, t *judge.Token, _ jwtRule) {
		t.Form = pick(r.dice, "{h}=.{p}.{s}", "{h}==.{p}.{s}", "{h}.{p}=.{s}", "{h}.{p}==.{s}")
		t.SignOver = strings.TrimSuffix(t.Form, ".{s}")
	}},
	{4, "form/alphabet", form("+{h}.{p}.{s}", "{h}.{p}/.{s}", "{h}.{p}.{s}+", "{h}.{p}.{s}/", "{h}.{p}.{s}~", "{h}!.{p}.{s}", "{h}.%{p}.{s}")},
	{5, "form/payload-not-base64", form("{h}.!{p}.{s}", "{h}.{p}+.{s}", "{h}.{p}=.{s}", "{h}.A{p}===.{s}", "{h}.{p}%3D.{s}")},
	{4, "form/one-more", form("{h}A.{p}.{s}", "{h}.{p}A.{s}", "{h}.{p}.{s}A", "{h}.{p}.{s}AA", "{h}.{p}.{s}AAAA")},
	{2, "form/blanks", form("{h} .{p}.{s}", "{h}. {p}.{s}", "{h}.{p}. {s}", "{h}.{p}.{s} ", "{h}\t.{p}.{s}")},
	{2, "form/junk", func(r *draft, t *judge.Token, _ jwtRule) {
		*t = judge.Token{Raw: pick(r.dice, "abc", "a.b.c", "...", "e30.e30.e30", "bnVsbA.bnVsbA.AA", "W10.W10.AA", "eyJ.eyJ.eyJ")}
	}},
}

// member replaces a member of the header, or of the payload, or adds it.
func member(name string, values ...string) func(r *draft, t *judge.Token, j jwtRule) {
	return func(r *draft, t *judge.Token, _ jwtRule) {
		t.Payload = withMember(t.Payload, name, pick(r.dice, values...))
	}
}

func headerMember(name string, values ...string) func(r *draft, t *judge.Token, j jwtRule) {
	return func(r *draft, t *judge.Token, _ jwtRule) {
		t.Header = withMember(t.Header, name, pick(r.dice, values...))
	}
}

// withMember is the object with a member set; an empty value takes it away. The
// object is one that this package made, with a member a comma outside of values.
func withMember(object, name, value string) string {
	var out []string
	for _, m := range members(object) {
		if !strings.HasPrefix(m, quote(name)+":") {
			out = append(out, m)
		}
	}
	if value != "" {
		out = append(out, quote(name)+":"+value)
	}
	return "{" + strings.Join(out, ",") + "}"
}

// members are the members of an object as text.
func members(object string) []string {
	var out []string
	depth, begin, quoted := 0, 1, false
	for i := 1; i < len(object)-1; i++ {
		switch c := object[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			out, begin = append(out, object[begin:i]), i+1
		}
	}
	if begin < len(object)-1 {
		out = append(out, object[begin:len(object)-1])
	}
	return out
}

var headerDefects = []defect{
	{4, "header/alg-missing", headerMember("alg", "")},
	{2, "header/alg-type", headerMember("alg", "7", "null", `["RS256"]`, "true", "{}")},
	{7, "header/alg-unsupported", headerMember("alg", `"none"`, `"rs256"`, `"ES256K"`, `"RS1"`, `""`, `"RSA-OAEP"`, `"None"`, `"HS"`, `"RS256 "`, `"Ed25519"`)},
	{4, "header/alg-other", headerMember("alg", `"RS256"`, `"RS512"`, `"PS256"`, `"ES256"`, `"HS256"`, `"EdDSA"`, `"ES384"`)},
	{5, "header/kid-type", headerMember("kid", "1", "null", `["a"]`, "{}", "false")},
	{4, "header/kid-other", headerMember("kid", `"zzz"`, `""`, `"A"`, `"a "`, `"b"`, `"k1"`)},
	{2, "header/kid-missing", headerMember("kid", "")},
	{2, "header/extra", headerMember("crit", `["exp"]`, `"x"`)},
}

var payloadDefects = []defect{
	{4, "payload/iss-other", func(r *draft, t *judge.Token, j jwtRule) {
		t.Payload = withMember(t.Payload, "iss", quote(pick(r.dice, j.issuer+"/", j.issuer+"x", strings.ToUpper(j.issuer), "iss-z", "", strings.TrimSuffix(j.issuer, "/"), " "+j.issuer)))
	}},
	{3, "payload/iss-missing", member("iss", "")},
	{6, "payload/iss-type", member("iss", "7", "null", `["iss-a"]`, "true")},
	{2, "payload/sub-missing", member("sub", "")},
	{6, "payload/sub-type", member("sub", "7", "null", `["u1"]`, "{}")},
	{9, "payload/jti-type", member("jti", "7", "null", `"id"`)},
	{3, "payload/aud-type", member("aud", "7", "null", "{}", `["foo",1]`, `[null]`, "true", `[["foo"]]`, "[]")},
	{3, "payload/aud-other", member("aud", `"nobody"`, `["nobody"]`, `""`, `"FOO"`, `"foo "`, `"foo//"`, `"ftp://foo"`)},
	{2, "payload/aud-missing", member("aud", "")},
	{15, "payload/time-type", func(r *draft, t *judge.Token, _ jwtRule) {
		t.Payload = withMember(t.Payload, pick(r.dice, "exp", "nbf", "nbf", "iat", "iat"), pick(r.dice, `"{now}"`, "null", "true", "[]", "{}", `""`))
	}},
	{30, "payload/time-range", func(r *draft, t *judge.Token, _ jwtRule) {
		t.Payload = withMember(t.Payload, pick(r.dice, "exp", "exp", "nbf", "nbf", "iat", "iat"), pick(r.dice, "-5", "-1", "-0.5", "-1e-3", "-0", "18446744073709551615", "18446744073709551616",
			"18446744073709549568", "1.8446744073709550e19", "1e19", "1e20", "1e300", "9007199254740993", "0", "0.5", "1e3", "1E-3"))
	}},
	{2, "payload/two-defects", func(_ *draft, t *judge.Token, _ jwtRule) {
		t.Payload = withMember(withMember(t.Payload, "exp", "{now-3600}"), "aud", `"nobody"`)
	}},
	{2, "payload/wrong-and-unsigned", func(_ *draft, t *judge.Token, _ jwtRule) {
		t.Payload, t.FlipSignature = withMember(t.Payload, "aud", `"nobody"`), true
	}},
	{1, "payload/issuer-and-expired", func(_ *draft, t *judge.Token, _ jwtRule) {
		t.Payload = withMember(withMember(t.Payload, "exp", "{now-3600}"), "iss", `"iss-z"`)
	}},
}

var timeDefects = []defect{
	{9, "time/exp-edge", member("exp", "{now-59}", "{now-60}", "{now-61}", "{now-60}.9", "{now-61}.9", "{now}", "{now+1}")},
	{12, "time/nbf-edge", member("nbf", "{now+59}", "{now+60}", "{now+61}", "{now+60}.9", "{now+61}.9", "{now}", "{now+3600}")},
	{2, "time/expired", member("exp", "{now-3600}", "1")},
	{2, "time/no-exp", member("exp", "", "0", "0.5")},
	{2, "time/iat", member("iat", "{now+3600}", "{now-3600}", "0")},
}

var signatureDefects = []defect{
	{3, "signature/flipped", func(_ *draft, t *judge.Token, _ jwtRule) { t.FlipSignature = true }},
	{4, "signature/short", func(r *draft, t *judge.Token, _ jwtRule) { t.TrimSignature = pick(r.dice, 1, 1, 2, 31) }},
	{2, "signature/of-other-text", func(r *draft, t *judge.Token, _ jwtRule) {
		t.SignOver = pick(r.dice, "{h}.x{p}", "{h}", "{p}", "{h}.{p}.", "{h}..{p}", "{h}{p}")
	}},
	{4, "signature/other-key", func(r *draft, t *judge.Token, _ jwtRule) {
		for _, other := range []string{"rsa-a", "rsa-b", "p256-a", "p256-b", "ed25519-a", "ed25519-b", "oct-a", "oct-b"} {
			if family(other) == family(t.Key) && other != t.Key {
				t.Key = other
				return
			}
		}
		t.FlipSignature = true
	}},
	{3, "signature/other-hash", func(r *draft, t *judge.Token, _ jwtRule) {
		t.Alg = pick(r.dice, algorithms[family(t.Key)]...)
	}},
	{3, "signature/other-family", func(r *draft, t *judge.Token, _ jwtRule) {
		t.Key = pick(r.dice, allKeys...)
		t.Alg = pick(r.dice, algorithms[family(t.Key)]...)
		t.Header = withMember(t.Header, "alg", quote(t.Alg))
	}},
}
