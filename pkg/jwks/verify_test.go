package jwks

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// The answers in this file are those of Envoy 1.40.0 to the same tokens and sets.

const payload = `{"iss":"iss-a","sub":"u1"}`

func token(t testing.TB, k mint.Key, header string) *jwt.Token {
	t.Helper()
	return parse(t, mint.Token(k, header, payload))
}

func parse(t testing.TB, raw string) *jwt.Token {
	t.Helper()
	parsed, status := jwt.Parse(raw)
	if status != jwt.OK {
		t.Fatal(status)
	}
	return parsed
}

func set(t testing.TB, keys ...mint.Key) *Set {
	t.Helper()
	s, status := Parse(mint.JWKS(keys...))
	if status != jwt.OK {
		t.Fatal(status)
	}
	return s
}

var algorithms = []string{
	"ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
}

// A key without alg takes any algorithm, whatever it was made for; RSA keys alone
// want RS or PS. The hash is the algorithm's only within the key's own family.
func TestEveryAlgorithmWithEveryKey(t *testing.T) {
	for name, c := range map[string]struct {
		key   mint.Key
		never []string // algorithms that do not fit the key's length
	}{
		"RSA": {mint.RSA(), nil}, "RSA of 1024 bits": {mint.RSA1024(), []string{"PS512"}},
		"RSA of 768 bits": {mint.RSA768(), []string{"PS384", "PS512"}},
		"RSA of 512 bits": {mint.RSA512(), []string{"PS256", "PS384", "PS512", "RS384", "RS512"}},
		"P-256":           {mint.P256(), nil}, "P-384": {mint.P384(), nil}, "P-521": {mint.P521(), nil},
		"Ed25519": {mint.Ed25519(), nil}, "oct": {mint.Oct("secret"), nil},
	} {
		usable := set(t, c.key)
		isRSA := usable.Keys[0].Kty == "RSA"
		for _, alg := range algorithms {
			if slices.Contains(c.never, alg) {
				continue
			}
			want := jwt.OK
			if isRSA && alg[1:2] != "S" || isRSA && !strings.ContainsAny(alg[:1], "RP") {
				want = jwt.VerificationFails
			}
			if got := usable.Verify(token(t, c.key, `{"alg":"`+alg+`"}`)); got != want {
				t.Errorf("%s with %s: %v, want %v", alg, name, got, want)
			}
		}
		for _, alg := range c.never {
			raw := mint.Encode(`{"alg":"`+alg+`"}`) + "." + mint.Encode(payload)
			fake := parse(t, raw+"."+mint.Encode(string(make([]byte, usable.Keys[0].Bits()/8))))
			if got := usable.Verify(fake); got != jwt.VerificationFails {
				t.Errorf("%s with %s: %v", alg, name, got)
			}
		}
	}
}

func TestAnAlgOfTheKeyMustBeTheTokens(t *testing.T) {
	k := mint.RSA()
	for _, c := range []struct {
		key, token string
		want       jwt.Status
	}{
		{"RS256", "RS256", jwt.OK},
		{"RS256", "RS384", jwt.JwksNoMatchingKey},
		{"RS256", "PS256", jwt.JwksNoMatchingKey},
		{"", "RS384", jwt.OK},
		{"RSX", "RS256", jwt.JwksNoMatchingKey},
	} {
		if got := set(t, k.WithAlg(c.key)).Verify(token(t, k, `{"alg":"`+c.token+`"}`)); got != c.want {
			t.Errorf("key for %q, token with %q: %v, want %v", c.key, c.token, got, c.want)
		}
	}
}

func TestTheSkipRulesDecideWhichKeysAreTried(t *testing.T) {
	a, b := mint.RSA().WithKid("a"), mint.OtherRSA().WithKid("b")
	ed := mint.Ed25519()
	const none, kidA, kidB, kidZ = ``, `,"kid":"a"`, `,"kid":"b"`, `,"kid":"zzz"`
	for _, c := range []struct {
		name string
		kid  string
		keys []mint.Key
		want jwt.Status
	}{
		{"the kid is there", kidA, []mint.Key{a, b}, jwt.OK},
		{"the kid is there second", kidA, []mint.Key{b, a}, jwt.OK},
		{"the kid is another key's", kidB, []mint.Key{a, b}, jwt.VerificationFails},
		{"the kid is nowhere", kidZ, []mint.Key{a}, jwt.JwksNoMatchingKey},
		{"the kid is nowhere, but a key has none", kidZ, []mint.Key{b, a.WithKid("")}, jwt.OK},
		{"the kid is nowhere, and the key without one is another's", kidZ, []mint.Key{a, b.WithKid("")}, jwt.VerificationFails},
		{"no kid means all", none, []mint.Key{b, a}, jwt.OK},
		{"an empty kid is none", `,"kid":""`, []mint.Key{b, a}, jwt.OK},
		{"no kid and no key that fits", none, []mint.Key{b}, jwt.VerificationFails},
		{"two keys of one kid", kidA, []mint.Key{b.WithKid("a"), a}, jwt.OK},
		{"the kid fits and alg does not", kidA, []mint.Key{a.WithAlg("RS384")}, jwt.JwksNoMatchingKey},
		{"a key of another type is tried", none, []mint.Key{mint.P256(), mint.Oct("x"), a}, jwt.OK},
		{"an Ed25519 key before ends the search", none, []mint.Key{ed, a}, jwt.Ed25519WrongLength},
		{"an Ed25519 key after comes too late", none, []mint.Key{a, ed}, jwt.OK},
		{"an Ed25519 key of another kid is skipped", kidA, []mint.Key{ed.WithKid("e"), a}, jwt.OK},
		{"an Ed25519 key that says its alg is skipped", none, []mint.Key{ed.WithAlg("EdDSA"), a}, jwt.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := set(t, c.keys...).Verify(token(t, a, `{"alg":"RS256"`+c.kid+`}`)); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestTheReportHasEveryKeyWithItsOutcome(t *testing.T) {
	a, b := mint.RSA().WithKid("a"), mint.OtherRSA()
	keys := set(t, b.WithKid("b"), b.WithAlg("RS512"), b, mint.P256(), a, mint.Ed25519())
	var got []Outcome
	for i, r := range keys.VerifyReport(token(t, a, `{"alg":"RS256","kid":"a"}`)) {
		if r.Key.Index != i {
			t.Errorf("key %d is at place %d", r.Key.Index, i)
		}
		got = append(got, r.Outcome)
	}
	if want := []Outcome{KidDiffers, AlgDiffers, SignatureDiffers, SignatureDiffers, Verified, NotTried}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	report := set(t, a, mint.Ed25519(), a).VerifyReport(token(t, mint.Oct("x"), `{"alg":"HS256"}`))
	got = []Outcome{report[0].Outcome, report[1].Outcome, report[2].Outcome}
	if want := []Outcome{WrongFamily, WrongLength, NotTried}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if text := fmt.Sprintf("%v", got); text != "[key type does not fit alg signature has the wrong length not tried]" {
		t.Error(text)
	}
}

func TestTheSaltIsAsLongAsTheHash(t *testing.T) {
	input := mint.Encode(`{"alg":"PS256"}`) + "." + mint.Encode(payload)
	for _, c := range []struct {
		length int
		want   jwt.Status
	}{
		{0, jwt.VerificationFails}, {20, jwt.VerificationFails}, {31, jwt.VerificationFails}, {32, jwt.OK},
		{33, jwt.VerificationFails}, {222, jwt.VerificationFails},
	} {
		signature := mint.RSA().SignPSS(crypto.SHA256, make([]byte, c.length), []byte(input))
		if got := set(t, mint.RSA()).Verify(parse(t, input+"."+mint.Encode(string(signature)))); got != c.want {
			t.Errorf("salt of %d bytes: %v, want %v", c.length, got, c.want)
		}
	}
	short := mint.RSA768()
	for length, want := range map[int]jwt.Status{0: jwt.VerificationFails, 31: jwt.VerificationFails, 32: jwt.OK, 33: jwt.VerificationFails} {
		signature := short.SignPSS(crypto.SHA256, make([]byte, length), []byte(input))
		if got := set(t, short).Verify(parse(t, input+"."+mint.Encode(string(signature)))); got != want {
			t.Errorf("salt of %d bytes with 768 bits: %v, want %v", length, got, want)
		}
	}
}

func TestASignatureThatWasTouched(t *testing.T) {
	cut := func(s []byte) []byte { return s[:len(s)-1] }
	extra := func(s []byte) []byte { return append(s, 7) }
	two := func(s []byte) []byte { return append(s, 0, 0) }
	before := func(s []byte) []byte { return append([]byte{0}, s...) }
	wide := func(s []byte) []byte { // both halves with a zero before
		out := append([]byte{0}, s[:len(s)/2]...)
		return append(append(out, 0), s[len(s)/2:]...)
	}
	flip := func(s []byte) []byte { s[5] ^= 1; return s }
	zero := func(s []byte) []byte { return make([]byte, len(s)) }
	one := func(s []byte) []byte { return s[:1] }
	const fails, length = jwt.VerificationFails, jwt.Ed25519WrongLength
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   [5]jwt.Status // RSA, short RSA, EC, Ed25519, HMAC
	}{
		{"one byte less", cut, [5]jwt.Status{fails, fails, fails, length, fails}},
		{"one byte more", extra, [5]jwt.Status{fails, fails, jwt.OK, length, fails}},
		{"two bytes more", two, [5]jwt.Status{fails, fails, fails, length, fails}},
		{"a zero before", before, [5]jwt.Status{fails, fails, fails, length, fails}},
		{"a zero before each half", wide, [5]jwt.Status{fails, fails, jwt.OK, length, fails}},
		{"one bit", flip, [5]jwt.Status{fails, fails, fails, fails, fails}},
		{"zeros", zero, [5]jwt.Status{fails, fails, fails, fails, fails}},
		{"one byte", one, [5]jwt.Status{fails, fails, fails, length, fails}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, k := range []mint.Key{mint.RSA(), mint.RSA768(), mint.P256(), mint.Ed25519(), mint.Oct("secret")} {
				alg := k.Algorithms()[0]
				input := mint.Encode(`{"alg":"`+alg+`"}`) + "." + mint.Encode(payload)
				signature := c.change(k.Sign(alg, []byte(input)))
				if got := set(t, k).Verify(parse(t, input+"."+mint.Encode(string(signature)))); got != c.want[i] {
					t.Errorf("%s: %v, want %v", alg, got, c.want[i])
				}
			}
		})
	}
}

func TestWhatWasSignedIsTheTextAsItWasSent(t *testing.T) {
	keys := set(t, mint.RSA())
	raw := mint.Token(mint.RSA(), `{"alg":"RS256"} `, payload)
	parts := strings.Split(raw, ".")
	changed := mint.Encode(strings.Replace(payload, "u1", "u2", 1))
	for _, c := range []struct {
		name, raw string
		want      jwt.Status
	}{
		{"as it was", raw, jwt.OK},
		{"with more dots", "." + parts[0] + ".." + parts[1] + "..." + parts[2] + ".", jwt.OK},
		{"with a padded signature", raw + strings.Repeat("=", (4-len(parts[2])%4)%4), jwt.OK},
		{"with a padded payload", parts[0] + "." + parts[1] + strings.Repeat("=", (4-len(parts[1])%4)%4) + "." + parts[2], jwt.VerificationFails},
		{"with another payload", parts[0] + "." + changed + "." + parts[2], jwt.VerificationFails},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := keys.Verify(parse(t, c.raw)); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestThePublicKeyIsNoSecret(t *testing.T) {
	forged := mint.Oct(mint.RSA().JWK()["n"].(string))
	if got := set(t, mint.RSA()).Verify(token(t, forged, `{"alg":"HS256"}`)); got != jwt.VerificationFails {
		t.Error(got)
	}
}

func TestASetWithoutKeysMatchesNothing(t *testing.T) {
	if got := (&Set{}).Verify(token(t, mint.RSA(), `{"alg":"RS256"}`)); got != jwt.JwksNoMatchingKey {
		t.Error(got)
	}
	if got := (&Set{Keys: []Key{{}}}).Verify(token(t, mint.RSA(), `{"alg":"RS256"}`)); got != jwt.VerificationFails {
		t.Error(got)
	}
}

func FuzzJWKS(f *testing.F) {
	raw := token(f, mint.RSA(), `{"alg":"RS256","kid":"a"}`)
	for _, seed := range [][]byte{
		mint.JWKS(mint.RSA().WithKid("a")), mint.JWKS(mint.P256(), mint.P384(), mint.P521()), mint.JWKS(mint.Ed25519(), mint.Oct("x")),
		PublicOnlyPlaceholder(), PlaceholderDocument(PlaceholderPlain, "https://x"), PlaceholderDocument(PlaceholderEncoded, "https://x"),
		[]byte(`{"a":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}`), []byte(`{"keys":[1,{}]}`), []byte(`x`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, status := Parse(doc)
		if status.String() == "" || status == jwt.OK && len(s.Keys) == 0 {
			t.Fatalf("status %d with %d keys", status, len(s.Keys))
		}
		for _, d := range s.Dropped {
			if d.Reason == jwt.OK {
				t.Fatal("dropped without a reason")
			}
		}
		for _, k := range s.Keys {
			if k.Bits() == 0 {
				t.Fatal("a key without a size")
			}
		}
		Placeholder(s)
		if answer := s.Verify(raw); answer == jwt.OK && !strings.Contains(string(doc), "RSA") && !strings.Contains(string(doc), `\`) {
			t.Fatal("verified without the key")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, k := range []mint.Key{mint.RSA(), mint.P256(), mint.Ed25519(), mint.Oct("secret")} {
		alg := k.Algorithms()[0]
		b.Run(alg, func(b *testing.B) {
			keys, signed := set(b, k), token(b, k, `{"alg":"`+alg+`"}`)
			for b.Loop() {
				if status := keys.Verify(signed); status != jwt.OK {
					b.Fatal(status)
				}
			}
		})
	}
}
