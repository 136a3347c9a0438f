package keycheck

import (
	"bytes"
	"strconv"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// seenSet is a key set with where it was seen.
type seenSet struct {
	doc  []byte
	set  *jwks.Set
	from string
	// unchecked says that nobody looked at the server's certificate.
	unchecked bool
}

// keysOf is a document as a proxy reads it. The set is nil where it can use none of it.
func keysOf(doc []byte) (*Keys, *jwks.Set) {
	set, status := jwks.Parse(doc)
	out := &Keys{Usable: len(set.Keys)}
	for _, k := range set.Keys {
		out.Names = append(out.Names, k.Kid)
	}
	for _, d := range set.Dropped {
		out.Dropped = append(out.Dropped, Dropped{Kid: d.Kid, Reason: d.Reason.String()})
	}
	for _, c := range jwks.Certificates(doc) {
		if ends := c.Ends.UTC(); out.Ends == nil || ends.Before(*out.Ends) {
			out.Ends = &ends
		}
	}
	if status != jwt.OK {
		out.Usable, out.Problem = 0, unusableWords(doc, set, status)
		return out, nil
	}
	return out, set
}

// unusableWords say why a proxy can use nothing of a document: what it is, where it is
// something else than a key set.
func unusableWords(doc []byte, set *jwks.Set, status jwt.Status) string {
	text := bytes.TrimSpace(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")))
	switch {
	case len(text) == 0:
		return "it is empty"
	case bytes.HasPrefix(doc, []byte{0x1f, 0x8b}):
		return "it is compressed (gzip), which proxies do not unpack"
	case text[0] == '<':
		return "it is a page (HTML or XML), such as one for logging in"
	case status == jwt.JwksParse:
		return "it is no JSON, or is cut off"
	case status == jwt.JwksNoKeys:
		return `it is JSON without "keys": another document`
	case status == jwt.JwksNoValidKeys && len(set.Dropped) == 0:
		return "it is a set without any key"
	case len(set.Dropped) > 1:
		return "no proxy can use any of its " + strconv.Itoa(len(set.Dropped)) + " keys: " + status.String()
	}
	return "no proxy can use it: " + status.String()
}

// countKeys is "1 key", "3 keys".
func countKeys(n int) string {
	if n == 1 {
		return "1 key"
	}
	return strconv.Itoa(n) + " keys"
}

// date is a day, for people.
func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }
