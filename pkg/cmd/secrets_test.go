package cmd

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

// canary is a token of which no piece may come out: header, payload, signature.
const canary = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNhbmFyeSJ9.eyJpc3MiOiJjYW5hcnktaXNzdWVyIiwic3ViIjoiY2FuYXJ5In0.c2lnbmF0dXJlLW9mLXRoZS1jYW5hcnktdG9rZW4tLS0tLS0tLS0tLS0"

// opaque is a credential that does not look like a token.
const opaque = "0paque/Canary+Credential-of-48-bytes~no-JWT==end"

// leaks returns the forms and pieces of a secret that the text has: as it is,
// base64 in each alignment, percent-encoded, and 32 bytes in a row of any.
func leaks(text, secret string) []string {
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	for i := range 3 {
		forms = append(forms, base64.RawStdEncoding.EncodeToString([]byte(secret[i:])), base64.RawURLEncoding.EncodeToString([]byte(secret[i:])))
	}
	var out []string
	for _, form := range forms {
		for i := 0; i+32 <= len(form); i += 4 {
			if strings.Contains(text, form[i:i+32]) {
				out = append(out, "bytes "+form[i:i+4]+"…")
			}
		}
	}
	return out
}

func TestLeaksFindsASecretInEveryForm(t *testing.T) {
	for name, text := range map[string]string{
		"as it is":        "x" + canary + "y",
		"base64":          base64.StdEncoding.EncodeToString([]byte("Bearer " + canary)),
		"percent-encoded": url.QueryEscape(opaque),
		"a piece":         "x" + canary[50:90] + "y",
	} {
		if len(leaks(text, canary))+len(leaks(text, opaque)) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	if got := leaks("403 RBAC: access denied <redacted>", canary); got != nil {
		t.Errorf("found in a clean text: %v", got)
	}
}

func TestRedactHidesEveryFormOfAKnownSecret(t *testing.T) {
	for _, secret := range []string{canary, opaque} {
		s := &secrets{}
		s.add(secret)
		for name, text := range map[string]string{
			"as it is":          "got " + secret + " here",
			"quoted":            `"Bearer ` + secret + `"`,
			"percent-encoded":   "/x?t=" + url.QueryEscape(secret) + "&y=1",
			"base64":            base64.StdEncoding.EncodeToString([]byte("a" + secret)),
			"base64url, cut":    base64.RawURLEncoding.EncodeToString([]byte("abc" + secret))[:60],
			"the last 32 bytes": secret[len(secret)-32:],
			"the middle":        "x" + secret[8:46] + "y",
		} {
			if got := s.redact(text); len(leaks(got, secret)) > 0 || !strings.Contains(got, redacted) {
				t.Errorf("%s: got a text with pieces %v", name, leaks(got, secret))
			}
		}
		if got := s.redact("got " + secret + " here"); got != "got <redacted> here" {
			t.Errorf("the text around the secret is not what it was: %d bytes", len(got))
		}
	}
}

func TestRedactHidesUnknownTokensByTheirShape(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a token", "x " + canary + " y", "x <redacted> y"},
		{"a token in a path", "/a/" + canary + "?b", "/a/<redacted>?b"},
		{"a header with a blank in its JSON", "ewogICJhbGciOiAiUlMyNTYiIH0.e30.c2ln", "<redacted>"},
		{"a token with encoded dots", "eyJhbGciOiJub25lIn0%2EeyJpc3MiOiJ4In0%2E", "<redacted>"},
		{"half a token", "eyJhbGciOiJub25lIn0", "<redacted>"},
		{"a host name", "example.com and ewok-village.example.com", "example.com and ewok-village.example.com"},
		{"a long word", "external-authorization.istio-system.svc.cluster.local", "external-authorization.istio-system.svc.cluster.local"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (&secrets{}).redact(tt.text); got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestCredentialsOfHeadersAndPathsAreSecret(t *testing.T) {
	tests := []struct {
		name   string
		add    func(*secrets)
		hidden string
	}{
		{"Authorization with a scheme", func(s *secrets) { s.addHeader("authorization", "Basic "+opaque) }, opaque},
		{"Authorization without a scheme", func(s *secrets) { s.addHeader("Authorization", opaque) }, opaque},
		{"Proxy-Authorization", func(s *secrets) { s.addHeader("Proxy-Authorization", "Bearer "+opaque) }, opaque},
		{"a cookie", func(s *secrets) { s.addHeader("Cookie", `a=b; s="`+opaque+`"`) }, opaque},
		{"a token in any header", func(s *secrets) { s.addHeader("x-any", canary) }, canary},
		{"access_token", func(s *secrets) { s.addPath("/x?a=1&access_token=" + url.QueryEscape(opaque)) }, opaque},
		{"a short one", func(s *secrets) { s.addHeader("Authorization", "Bearer s3cr3t!") }, "s3cr3t!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &secrets{}
			tt.add(s)
			if got := s.redact("<" + tt.hidden + ">"); got != "<<redacted>>" {
				t.Errorf("got %d bytes that are not redacted", len(got))
			}
		})
	}
}

func TestASchemeAloneIsNoSecret(t *testing.T) {
	s := &secrets{}
	s.addHeader("Authorization", "Bearer")
	s.addHeader("Authorization", "basic ")
	const text = `no token in header authorization "Bearer "; Basic is another scheme`
	if got := s.redact(text); got != text {
		t.Errorf("got %q", got)
	}
}

func TestRedactValueReachesEveryString(t *testing.T) {
	type inner struct {
		S    string
		Many []string
	}
	type outer struct {
		P   *inner
		Any any
		Map map[string]string
		Sub []inner
	}
	s := &secrets{}
	s.add(opaque)
	v := &outer{
		P: &inner{S: opaque, Many: []string{"a", opaque}}, Any: &inner{S: opaque},
		Map: map[string]string{"k": opaque}, Sub: []inner{{S: "x" + opaque}},
	}
	s.redactValue(v)
	for name, got := range map[string]string{
		"pointer": v.P.S, "slice": v.P.Many[1], "interface": v.Any.(*inner).S, "map": v.Map["k"], "slice of structs": v.Sub[0].S,
	} {
		if !strings.HasSuffix(got, redacted) {
			t.Errorf("%s: not redacted", name)
		}
	}
	if v.P.Many[0] != "a" {
		t.Errorf("other text was changed to %q", v.P.Many[0])
	}
}

func TestTheRedactingWriterSaysThatItWroteAll(t *testing.T) {
	var out bytes.Buffer
	w := &redactingWriter{w: &out, secrets: &secrets{}}
	line := "log " + canary + "\n"
	if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if out.String() != "log <redacted>\n" {
		t.Errorf("wrote %d bytes that are not redacted", out.Len())
	}
}
