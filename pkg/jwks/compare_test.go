package jwks_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
)

func setOf(t *testing.T, keys ...mint.Key) *jwks.Set {
	t.Helper()
	set, _ := jwks.Parse(mint.JWKS(keys...))
	if len(set.Keys) != len(keys) {
		t.Fatalf("%d of %d keys", len(set.Keys), len(keys))
	}
	return set
}

func TestTwoSetsAreComparedByWhatTheirKeysVerify(t *testing.T) {
	all := []mint.Key{mint.RSA(), mint.OtherRSA(), mint.P256(), mint.OtherP256(), mint.P384(), mint.Ed25519(), mint.OtherEd25519(), mint.Oct("a"), mint.Oct("b")}
	for i, a := range all {
		for j, b := range all {
			missing := setOf(t, a).Missing(setOf(t, b))
			if (len(missing) == 0) != (i == j) {
				t.Errorf("key %d in a set of key %d: missing %d", i, j, len(missing))
			}
		}
	}
	// The order and what stands beside them do not matter; the name and the alg do.
	a, b := mint.RSA().WithKid("a"), mint.P256().WithKid("b")
	if m := setOf(t, a, b).Missing(setOf(t, b, mint.Ed25519(), a)); len(m) != 0 {
		t.Errorf("missing %v", m)
	}
	for _, other := range []mint.Key{a.WithKid("c"), a.WithAlg("RS256")} {
		if m := setOf(t, a).Missing(setOf(t, other)); len(m) != 1 || m[0].Kid != "a" {
			t.Errorf("missing %v", m)
		}
	}
}

func TestCertificatesAmongTheKeysTellWhenTheyEnd(t *testing.T) {
	pem := mint.RSA().Certificate()
	body := strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "", "\n", "").Replace(pem)
	for name, doc := range map[string]string{
		"x5c": fmt.Sprintf(`{"keys":[{"kty":"RSA"},{"kty":"RSA","kid":"c","x5c":[%q]}]}`, body),
		"PEM": fmt.Sprintf(`{"c":%q}`, pem),
	} {
		got := jwks.Certificates([]byte(doc))
		if len(got) != 1 || got[0].Kid != "c" || got[0].Ends.IsZero() {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, doc := range []string{"", "<html>", `{"keys":{}}`, `{"keys":[{"x5c":[]},{"x5c":["!"]},{"x5c":["AAAA"]},{"x5c":"x"},1]}`, `{"a":1}`} {
		if got := jwks.Certificates([]byte(doc)); got != nil {
			t.Errorf("%s: %+v", doc, got)
		}
	}
}
