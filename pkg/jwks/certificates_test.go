package jwks

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// The answers are Envoy 1.40.0's, but for sets with two bad certificates, where
// Envoy may name either.
func TestCertificatesByKidAreASetToo(t *testing.T) {
	rsa, ec := mint.RSA().Certificate(), mint.P256().Certificate()
	const begin, end = "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"
	bad := begin + "AAAA" + end
	oneLine := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(rsa, begin), end), "\n", "")
	for _, c := range []struct {
		name string
		doc  map[string]any
		want jwt.Status
	}{
		{"one", map[string]any{"a": rsa}, jwt.OK},
		{"two", map[string]any{"a": rsa, "b": rsa}, jwt.OK},
		{"a short key", map[string]any{"a": mint.RSA1024().Certificate()}, jwt.OK},
		{"of an EC key", map[string]any{"a": ec}, jwt.JwksX509PublicKey},
		{"of an Ed25519 key", map[string]any{"a": mint.Ed25519().Certificate()}, jwt.JwksX509PublicKey},
		{"a good one and one of an EC key", map[string]any{"a": rsa, "b": ec}, jwt.JwksX509PublicKey},
		{"not DER", map[string]any{"a": bad}, jwt.JwksX509Parse},
		{"nothing between the lines", map[string]any{"a": begin + end}, jwt.JwksX509Parse},
		{"several in one, of which the first counts", map[string]any{"a": rsa + ec}, jwt.OK},
		{"a bad one before a good one", map[string]any{"a": bad + rsa}, jwt.JwksX509Parse},
		{"a block that begins twice", map[string]any{"a": begin + "x\n" + rsa}, jwt.JwksX509Parse},
		{"text before it", map[string]any{"a": " " + rsa}, jwt.JwksNoKeys},
		{"text after it", map[string]any{"a": rsa + "x"}, jwt.JwksNoKeys},
		{"no line end", map[string]any{"a": strings.TrimSuffix(rsa, "\n")}, jwt.JwksNoKeys},
		{"line ends of another system", map[string]any{"a": strings.ReplaceAll(rsa, "\n", "\r\n")}, jwt.JwksNoKeys},
		{"an empty kid", map[string]any{"": rsa}, jwt.JwksNoKeys},
		{"an empty line at its end", map[string]any{"a": strings.Replace(rsa, end, "\n"+end, 1)}, jwt.JwksX509Parse},
		{"an empty line at its beginning", map[string]any{"a": strings.Replace(rsa, begin, begin+" \n", 1)}, jwt.OK},
		{"a header", map[string]any{"a": strings.Replace(rsa, begin, begin+"Comment: x\n\n", 1)}, jwt.JwksX509Parse},
		{"in one line", map[string]any{"a": begin + oneLine + end}, jwt.OK},
		{"with lines that just fill a buffer", map[string]any{"a": begin + oneLine[:253] + "\n" + oneLine[253:] + end}, jwt.JwksX509Parse},
		{"without padding", map[string]any{"a": begin + strings.TrimRight(oneLine, "=") + "A" + end}, jwt.JwksX509Parse},
		{"something else beside it", map[string]any{"a": rsa, "b": 1}, jwt.JwksNoKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := json.Marshal(c.doc)
			if err != nil {
				t.Fatal(err)
			}
			if _, got := Parse(doc); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestACertificateVerifiesUnderItsKid(t *testing.T) {
	doc, _ := json.Marshal(map[string]any{"a": mint.RSA().Certificate(), "b": mint.OtherRSA().Certificate()})
	set, status := Parse(doc)
	if status != jwt.OK || len(set.Keys) != 2 || set.Keys[1].Kid != "b" || set.Keys[1].Kty != "RSA" {
		t.Fatalf("%v: %v", status, set)
	}
	for kid, want := range map[string]jwt.Status{"a": jwt.OK, "b": jwt.VerificationFails, "c": jwt.JwksNoMatchingKey} {
		if got := set.Verify(token(t, mint.RSA(), `{"alg":"PS384","kid":"`+kid+`"}`)); got != want {
			t.Errorf("kid %s: %v, want %v", kid, got, want)
		}
	}
}

func TestABadCertificateIsNamed(t *testing.T) {
	doc, _ := json.Marshal(map[string]any{"a": mint.RSA().Certificate(), "b": mint.P256().Certificate()})
	set, _ := Parse(doc)
	if len(set.Dropped) != 1 || set.Dropped[0] != (Dropped{1, "b", jwt.JwksX509PublicKey}) {
		t.Errorf("dropped %v", set.Dropped)
	}
}
