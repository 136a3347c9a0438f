// Package mint makes keys, key sets and tokens for tests, good ones and ones with
// any defect. Its keys are fixed, and so is every signature, so that what a test
// recorded stays true. The private keys are published with the source: they are
// for tests alone.
//
// It imports the standard library only; only tests and test tools may import it.
package mint

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
)

// JWKS is the document with the given keys.
func JWKS(keys ...Key) []byte {
	entries := make([]map[string]any, len(keys))
	for i, k := range keys {
		entries[i] = k.JWK()
	}
	return Document(entries...)
}

// Document is a key set with the given entries, for entries with a defect.
func Document(entries ...map[string]any) []byte {
	if entries == nil {
		entries = []map[string]any{}
	}
	return mustJSON(map[string]any{"keys": entries})
}

// Token signs the two texts, which need not be JSON, with the algorithm that the
// header names, or the key's own where it names none that the key can do.
func Token(k Key, header, payload string) string {
	return TokenAlg(k, headerAlg(header), header, payload)
}

// TokenAlg is Token with an algorithm that the header need not name.
func TokenAlg(k Key, alg, header, payload string) string {
	input := Encode(header) + "." + Encode(payload)
	return input + "." + Encode(string(k.Sign(alg, []byte(input))))
}

// Encode is base64url without padding.
func Encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// headerAlg finds the algorithm in a header that may be broken.
func headerAlg(header string) string {
	found := regexp.MustCompile(`['"]?alg['"]?\s*:\s*['"](\w+)['"]`).FindStringSubmatch(header)
	if found == nil {
		return ""
	}
	return found[1]
}

func mustJSON(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // a test's own value
	}
	return out
}
