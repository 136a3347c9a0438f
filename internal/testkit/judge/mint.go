package judge

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// DefaultForm is how a token's parts are put together where a Token says nothing.
const DefaultForm = "{h}.{p}.{s}"

// Sign signs input with the key of that name; package mint has it. The names of
// the algorithms are those of JOSE.
type Sign func(key, alg string, input []byte) ([]byte, error)

// Minted is a request as it was really sent: what the evaluator must be given to
// answer the same question as the Envoy.
type Minted struct {
	// Time is the second, since the epoch, for which the tokens were minted and in
	// which the exchange lay.
	Time int64 `json:"time"`
	// Request has the tokens in their places; its Tokens are the same as before.
	Request Request `json:"request"`
	// Source and Destination are the two ends of the connection, IP:port.
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Tunnel is where a waypoint takes HBONE; Destination is then what is asked through it.
	Tunnel string `json:"tunnel,omitempty"`
	// ClientHash is the SHA-256 of the client's certificate in lower-case hex, and
	// ServerURI the URI SAN of the proxy's own: the Hash and the By of an
	// x-forwarded-client-cert. Both are empty without a client certificate.
	ClientHash string `json:"clientHash,omitempty"`
	ServerURI  string `json:"serverUri,omitempty"`
	// Link is the connection from the Case's Via to its target.
	Link Link `json:"link,omitzero"`
	// ProxyIP is what the proxies write into x-forwarded-for for a client on a
	// loopback address.
	ProxyIP string `json:"proxyIp,omitempty"`
}

// Link is a connection between two hops.
type Link struct {
	// Source and Destination are its ends, IP:port; Certificate is the digest of the
	// first hop's certificate, as ClientHash is.
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Certificate string `json:"certificate,omitempty"`
}

var (
	nowPattern   = regexp.MustCompile(`\{now(?:([+-])([0-9]+))?\}`)
	tokenPattern = regexp.MustCompile(`\{token:([0-9]+)\}`)
)

// Mint gives the request with its tokens minted for the second now and put into
// the path and the header values; {token:0} is the first of Tokens. The request
// itself is left as it is.
func (r Request) Mint(now int64, sign Sign) (Request, error) {
	tokens := make([]string, len(r.Tokens))
	for i, t := range r.Tokens {
		text, err := t.Mint(now, sign)
		if err != nil {
			return Request{}, fmt.Errorf("token %d: %w", i, err)
		}
		tokens[i] = text
	}
	out := r
	var err error
	if out.Path, err = fill(r.Path, tokens); err != nil {
		return Request{}, fmt.Errorf("path: %w", err)
	}
	out.Headers = make([]Header, len(r.Headers))
	for i, h := range r.Headers {
		if h.Value, err = fill(h.Value, tokens); err != nil {
			return Request{}, fmt.Errorf("header %s: %w", h.Name, err)
		}
		out.Headers[i] = h
	}
	return out, nil
}

// Mint gives the token's text for the second now. An Alg of "" or "none" leaves
// the signature empty.
func (t Token) Mint(now int64, sign Sign) (string, error) {
	if t.Raw != "" {
		return t.Raw, nil
	}
	h := base64.RawURLEncoding.EncodeToString([]byte(fillNow(t.Header, now)))
	p := base64.RawURLEncoding.EncodeToString([]byte(fillNow(t.Payload, now)))
	over := t.SignOver
	if over == "" {
		over = "{h}.{p}"
	}
	over = strings.NewReplacer("{h}", h, "{p}", p).Replace(over)
	sig, err := t.signature([]byte(over), sign)
	if err != nil {
		return "", err
	}
	form := t.Form
	if form == "" {
		form = DefaultForm
	}
	s := base64.RawURLEncoding.EncodeToString(sig)
	return strings.NewReplacer("{h}", h, "{p}", p, "{s}", s).Replace(form), nil
}

// signature signs what is given and spoils the result as the Token says.
func (t Token) signature(over []byte, sign Sign) ([]byte, error) {
	if t.Alg == "" || t.Alg == "none" {
		return nil, nil
	}
	sig, err := sign(t.Key, t.Alg, over)
	if err != nil {
		return nil, fmt.Errorf("sign with %s as %s: %w", t.Key, t.Alg, err)
	}
	if t.TrimSignature > len(sig) {
		return nil, fmt.Errorf("a signature of %d bytes cannot lose %d", len(sig), t.TrimSignature)
	}
	sig = append([]byte(nil), sig[:len(sig)-t.TrimSignature]...)
	if t.FlipSignature && len(sig) > 0 {
		sig[len(sig)/2] ^= 0x10
	}
	return sig, nil
}

// fillNow puts seconds since the epoch into {now}, {now+N} and {now-N}.
func fillNow(text string, now int64) string {
	return nowPattern.ReplaceAllStringFunc(text, func(found string) string {
		m := nowPattern.FindStringSubmatch(found)
		off, err := strconv.ParseInt(m[1]+m[2], 10, 64)
		if m[2] == "" {
			return strconv.FormatInt(now, 10)
		}
		if err != nil {
			return found
		}
		return strconv.FormatInt(now+off, 10)
	})
}

// fill puts tokens into {token:N}.
func fill(text string, tokens []string) (string, error) {
	var bad error
	out := tokenPattern.ReplaceAllStringFunc(text, func(found string) string {
		n, err := strconv.Atoi(tokenPattern.FindStringSubmatch(found)[1])
		if err != nil || n >= len(tokens) {
			bad = fmt.Errorf("%s stands for none of the %d tokens", found, len(tokens))
			return found
		}
		return tokens[n]
	})
	return out, bad
}
