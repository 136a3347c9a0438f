package tcases

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// formats are T025 to T030: the form of the token and its header.
func formats(s *set) {
	m := mesh(raA())
	notSupported := j401("Jwt header [alg] is not supported")
	// 256 bytes of signature leave one over in base64, so two signs of padding are
	// right; so do the 25 bytes of this header.
	padded := formed("{h}==.{p}.{s}")
	padded.Header = `{"alg":"RS256","kid":"a"}`
	for _, c := range []struct {
		name  string
		token judge.Token
		want  Expect
	}{
		{"T025", raw("abc"), j401(badForm)},
		{"T026", formed("{h}..{p}.{s}"), passed()},
		{"T027/dot", formed("{h}.{p}.{s}."), passed()},
		{"T027/fourth-part", formed("{h}.{p}.{s}.x"), j401(badForm)},
		{"T028/signature-padded", formed("{h}.{p}.{s}=="), passed()},
		{"T028/header-padded", padded, j401(badSignature)},
		{"T029/none", signed("rsa-a", "RS256", `{"alg":"none","kid":"a"}`), notSupported},
		{"T029/missing", signed("rsa-a", "RS256", `{"kid":"a"}`), j401("Jwt header [alg] field is required and must be a string")},
		{"T029/lower-case", signed("rsa-a", "RS256", `{"alg":"rs256","kid":"a"}`), notSupported},
		{"T030", signed("rsa-a", "RS256", `{"alg":"RS256","kid":1}`), j401("Jwt header [kid] field is not a string")},
	} {
		s.add(c.name, m, bearer(c.token), c.want)
	}
}

// keys are T031 to T041: which key of a set is taken, and the algorithms.
func keys(s *set) {
	withSet := func(keys ...map[string]any) string { return mesh(ra("a", rule("iss-a", jwks(keys...)))) }
	only := func(name string, members ...any) string { return withSet(key(name, members...)) }
	kidZ := signed("rsa-a", "RS256", `{"alg":"RS256","kid":"zzz"}`)
	rs384 := signed("rsa-a", "RS384", `{"alg":"RS384","kid":"a"}`)
	changed := ga()
	changed.SignOver = "{h}.x{p}"
	short := signed("ed25519-a", "EdDSA", `{"alg":"EdDSA"}`)
	short.TrimSignature = 1
	alg := func(key, alg string) judge.Token { return signed(key, alg, `{"alg":"`+alg+`"}`) }
	badEC := map[string]any{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}
	for _, c := range []struct {
		name  string
		mesh  string
		token judge.Token
		want  Expect
	}{
		{"T031", only("rsa-a", "kid", "a"), kidZ, j401(noKey)},
		{"T032", only("rsa-a"), kidZ, passed()},
		{"T033", withSet(key("rsa-b", "kid", "x"), key("rsa-a", "kid", "a")), signed("rsa-a", "RS256", `{"alg":"RS256"}`), passed()},
		{"T034/key-alg", only("rsa-a", "kid", "a", "alg", "RS256"), rs384, j401(noKey)},
		{"T034/no-key-alg", only("rsa-a", "kid", "a"), rs384, passed()},
		{"T035/use", only("rsa-a", "kid", "a", "use", "enc"), ga(), passed()},
		{"T035/key-ops", only("rsa-a", "kid", "a", "key_ops", []string{}), ga(), passed()},
		{"T036", only("rsa-a", "kid", "a"), changed, j401(badSignature)},
		{"T037", only("rsa-a", "kid", "a"), raw(publicKeyAsSecret()), j401(badSignature)},
		{"T038", only("rsa-a", "kid", "a", "e", "EQ"), ga(), refused("Jwks RSA [n] or [e] field is missing or has a parse error")},
		{"T039", withSet(badEC, key("rsa-a", "kid", "a")), ga(), passed()},
		{"T040", only("ed25519-a"), short, j401("Jwt ED25519 signature is wrong length")},
		{"T041/ES384", only("p384-a"), alg("p384-a", "ES384"), passed()},
		{"T041/ES512", only("p521-a"), alg("p521-a", "ES512"), passed()},
		{"T041/PS512", only("rsa-a"), alg("rsa-a", "PS512"), passed()},
		{"T041/HS512", only("oct-a"), alg("oct-a", "HS512"), passed()},
		{"T042", withSet(map[string]any{"kty": "RSA", "kid": "a", "x5c": []string{"MIIB"}}), ga(), refused("[n] field is missing for a RSA key")},
	} {
		s.add(c.name, c.mesh, bearer(c.token), c.want)
	}
}

// publicKeyAsSecret is a token of iss-a whose HMAC has the text of the RSA public
// key as its secret: the old trick with the algorithm.
func publicKeyAsSecret() string {
	der, err := x509.MarshalPKIXPublicKey(lookup("rsa-a").Public())
	if err != nil {
		panic(err) // a fixed key
	}
	input := encode(`{"alg":"HS256","kid":"a"}`) + "." + encode(`{"iss":"iss-a","sub":"u1"}`)
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(input))
	return input + "." + encode(string(mac.Sum(nil)))
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// keySets are T043 and T044: sets that cannot be fetched.
func keySets(s *set) {
	remote := func(uri string) string {
		return mesh(ra("a", "{issuer: iss-a, jwksUri: '"+uri+"'}"))
	}
	late := gaOf(`"sub":"u1"`, `"exp":{now-3600}`)
	m := remote("https://keys.example.com/jwks.json")
	s.add("T043/good-token", m, bearer(ga()), j401(badSignature))
	s.add("T043/expired", m, bearer(late), j401(expired))
	s.add("T043/no-token", m, judge.Request{}, passed())
	for _, c := range []struct {
		name string
		req  judge.Request
		want Expect
	}{
		{"T044/good-token", bearer(ga()), j401(fetchFailed)},
		{"T044/expired", bearer(late), j401(expired)},
		{"T044/no-token", judge.Request{}, passed()},
	} {
		s.add(c.name, remote("https://unknown.example.com/jwks.json"), c.req, c.want).RemoteJWKS = "envoy"
	}
}
