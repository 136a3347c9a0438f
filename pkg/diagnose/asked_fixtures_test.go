package diagnose_test

import (
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

const keysURI = "https://idp.example/keys"

var (
	// uriOnly has its keys at a jwksUri; fetchFails says that they cannot be fetched.
	uriOnly    = doc("RequestAuthentication", "foo", "a", "{jwtRules: [{issuer: iss-a, jwksUri: "+keysURI+"}]}")
	fetchFails = []diagnose.KeyFile{{For: keysURI}}
	goodKeys   = []diagnose.KeyFile{{For: keysURI, Document: mint.JWKS(mint.RSA().WithKid("a"))}}

	issuerB    = doc("RequestAuthentication", "foo", "b", fmt.Sprintf("{jwtRules: [{issuer: iss-b, jwks: %q}]}", string(mint.JWKS(mint.OtherRSA().WithKid("b")))))
	issuerP256 = doc("RequestAuthentication", "foo", "e", fmt.Sprintf("{jwtRules: [{issuer: iss-e, jwks: %q}]}", string(mint.JWKS(mint.P256().WithKid("e"), mint.RSA().WithKid("a")))))
	dryRunDeny = docWith("AuthorizationPolicy", "foo", "d", `, annotations: {"istio.io/dry-run": "true"}`, "{action: DENY, rules: [{}]}")
)

func tokenB() string {
	return mint.Token(mint.OtherRSA(), `{"alg":"RS256","kid":"b"}`, `{"iss":"iss-b","sub":"u"}`)
}

func tokenP256() string {
	return mint.Token(mint.P256(), `{"alg":"ES256","kid":"e"}`, `{"iss":"iss-e","sub":"u"}`)
}
