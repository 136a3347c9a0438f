package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Discovery is what an issuer says of itself.
type Discovery struct {
	Issuer  string
	JWKSURI string
	// Keys is the document at JWKSURI, as it was served. What a proxy makes of it is
	// not judged here.
	Keys []byte
	From Vantage
}

// DiscoveryURL is where an issuer's discovery document is: one trailing slash of the
// issuer does not count (Istio pilot/pkg/model/jwks_resolver.go:resolveJwksURIUsingOpenID).
func DiscoveryURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// Discover asks an issuer where its keys are, and fetches them. The document must be
// the issuer's own: its issuer is compared byte by byte, as the proxy compares the iss
// of tokens (OpenID Connect Discovery 1.0, section 4.3). Failures are *Error.
func Discover(ctx context.Context, issuer string, opts Options) (*Discovery, error) {
	at := DiscoveryURL(issuer)
	doc, err := Get(ctx, at, opts)
	if err != nil {
		return nil, err
	}
	fail := func(kind Kind, hint, format string, args ...any) (*Discovery, error) {
		return nil, &Error{Kind: kind, URL: at, Problem: fmt.Sprintf(format, args...), Hint: hint, From: opts.from()}
	}
	var said struct {
		Issuer  *string `json:"issuer"`
		JWKSURI *string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(doc.Body, &said); err != nil {
		return fail(NotJSON, "is this the issuer's address?", "%s", NotJSONWords(doc.Body))
	}
	switch {
	case said.Issuer == nil || said.JWKSURI == nil || *said.JWKSURI == "":
		return fail(NotJSON, "is this the issuer's address?", "the document names no issuer or no jwks_uri")
	case *said.Issuer != issuer:
		return fail(Mismatch, "tokens have that issuer, and it is compared byte by byte: use it",
			"the document is of the issuer %q", shorten(*said.Issuer))
	}
	keys, err := Get(ctx, *said.JWKSURI, opts)
	if err != nil {
		return nil, err
	}
	return &Discovery{Issuer: issuer, JWKSURI: *said.JWKSURI, Keys: keys.Body, From: opts.from()}, nil
}

// NotJSONWords say what a body is that should have been JSON.
func NotJSONWords(body []byte) string {
	switch text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))); {
	case len(text) == 0:
		return "it is empty"
	case text[0] == '<':
		return "it is HTML or XML, not JSON: a page, such as one for logging in"
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		return "it is compressed (gzip), although nobody asked for that: proxies do not unpack it"
	default:
		return "it is not JSON"
	}
}

func shorten(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
