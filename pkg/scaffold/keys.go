package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// mask is what documents put in the place of a part of a key or a token.
const mask = "****"

// keyRules say what a key set must be.
type keyRules struct {
	name string // of the document, for errors
	// rsaOnly is for ASM before 1.13.
	rsaOnly  bool
	insecure bool
}

// checkKeys refuses a document that must not, or cannot, become inline keys, and
// gives its text as it is written into the object: a line for each key. Nothing of
// the document is in an error but kids and the names of members.
func checkKeys(doc []byte, r keyRules) (string, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")))
	switch {
	case len(text) == 0:
		return "", refuse("save the answer of the issuer's jwks_uri there", "%s: it is empty", r.name)
	case bytes.Contains(text, []byte("-----BEGIN")) && bytes.Contains(text, []byte("PRIVATE KEY")):
		return "", refuse("give the public keys, as a JSON Web Key Set", "%s: it has a private key in it", r.name)
	case text[0] == '<':
		return "", refuse("the address of the keys is another one: look for jwks_uri in the issuer's discovery document",
			"%s: it is HTML or XML, not JSON: a page, such as one for logging in", r.name)
	case bytes.Contains(text, []byte(mask)):
		return "", refuse("documents mask their keys: fetch the real ones, or make a pair of your own", "%s: a part of it is masked with %s", r.name, mask)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return "", refuse("give a JSON Web Key Set, {\"keys\": […]}", "%s: it is not a JSON object", r.name)
	}
	var entries []json.RawMessage
	if _, single := top["kty"]; single && top["keys"] == nil {
		return "", refuse("put it into a set: {\"keys\": [ … ]}", "%s: it is one key, not a key set", r.name)
	}
	if err := json.Unmarshal(top["keys"], &entries); err != nil {
		return "", refuse("give a JSON Web Key Set, {\"keys\": […]}", "%s: it has no list of keys", r.name)
	}
	if err := noPrivateKeys(entries, r); err != nil {
		return "", err
	}
	set, status := jwks.Parse(text)
	if kind, _, ok := jwks.Placeholder(set); ok {
		return "", refuse("fetch the issuer's own keys", "%s: it is the placeholder of a control plane that could not fetch the keys (%s)", r.name, kind)
	}
	for _, d := range set.Dropped {
		return "", refuse("take that key out of the file; no token of it would ever be accepted", "%s: key %d (kid %q): the proxy drops it: %s", r.name, d.Index, d.Kid, d.Reason)
	}
	if len(set.Ignored) > 0 {
		return "", refuse("take it out of the file", "%s: key %d is no JSON object", r.name, set.Ignored[0])
	}
	if status != jwt.OK {
		return "", refuse("the proxy would refuse its whole listener: give a set with at least one usable key", "%s: the proxy cannot use it: %s", r.name, status)
	}
	if r.rsaOnly {
		for _, k := range set.Keys {
			if k.Kty != "RSA" {
				return "", refuse("upgrade, or sign with RSA", "%s: key %d (kid %q) is of the type %s, and ASM knows RSA only before 1.13", r.name, k.Index, k.Kid, k.Kty)
			}
		}
	}
	return keyLines(entries), nil
}

// privateMembers hold the private half of a key (RFC 7518, sections 6.2.2 and 6.3.2).
func privateMembers() []string { return []string{"d", "p", "q", "dp", "dq", "qi", "oth"} }

func noPrivateKeys(entries []json.RawMessage, r keyRules) error {
	for i, entry := range entries {
		var key map[string]json.RawMessage
		if json.Unmarshal(entry, &key) != nil {
			continue
		}
		var kty, kid string
		_, _ = json.Unmarshal(key["kty"], &kty), json.Unmarshal(key["kid"], &kid)
		for _, name := range sortedKeys(key) {
			switch {
			case kty != "oct" && slices.Contains(privateMembers(), name):
				return refuse("give the public half alone, and change that key: who reads policies could make tokens",
					"%s: key %d (kid %q) has a private half (%s)", r.name, i, kid, name)
			case name == "k" && !r.insecure:
				return refuse("use a pair of keys; or take it as it is with --insecure",
					"%s: key %d (kid %q) is a shared secret: who reads policies could make tokens", r.name, i, kid)
			}
		}
	}
	return nil
}

// keyLines writes a key set with one key a line. What is beside the keys is left out.
func keyLines(entries []json.RawMessage) string {
	lines := make([]string, len(entries))
	for i, entry := range entries {
		var out bytes.Buffer
		if json.Compact(&out, entry) != nil {
			out.Write(entry)
		}
		lines[i] = out.String()
	}
	return fmt.Sprintf("{\"keys\": [\n%s\n]}", strings.Join(lines, ",\n"))
}

// LookAtKeys judges a document that is served at a jwksUri: an error where no proxy
// could use it, else a line for each key that proxies drop, and one for those they use.
func LookAtKeys(name string, doc []byte) ([]string, error) {
	set, status := jwks.Parse(doc)
	if status != jwt.OK {
		hint := "no token of this issuer would ever be accepted"
		if text := bytes.TrimSpace(doc); len(text) > 0 && text[0] == '<' {
			return nil, refuse(hint, "%s: it is HTML or XML, not JSON: a page, such as one for logging in", name)
		}
		return nil, refuse(hint, "%s: no proxy can use it: %s", name, status)
	}
	out := []string{plural(len(set.Keys), "key") + " that proxies can use"}
	for _, d := range set.Dropped {
		out = append(out, fmt.Sprintf("key %d (kid %q) is dropped by proxies: %s", d.Index, d.Kid, d.Reason))
	}
	return out, nil
}

// PublicKeys is the text of a key set as it is written into spec.jwtRules[].jwks. A set
// that must not or cannot stand there is a *Refusal: one with a private half, or with a
// key that no proxy can use.
func PublicKeys(doc []byte) (string, error) { return checkKeys(doc, keyRules{name: "the key set"}) }
