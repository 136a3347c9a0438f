package cmd

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"reflect"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// redacted stands where a secret stood.
const redacted = "<redacted>"

// pieceLength is how many bytes of a secret in a row are too many.
const pieceLength = 16

// secrets knows the credentials of this process's input, so that nothing that it
// prints has a piece of them. The zero value knows tokens by their shape only.
type secrets struct {
	pieces map[string]bool
	// short are the secrets that are shorter than a piece.
	short []string
}

// add takes in a secret in the forms in which it could come out again.
func (s *secrets) add(secret string) {
	secret = strings.TrimSpace(secret)
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	if plain, err := url.PathUnescape(secret); err == nil {
		forms = append(forms, plain)
	}
	for i := range 3 {
		if len(secret) > i {
			forms = append(forms, base64.RawStdEncoding.EncodeToString([]byte(secret[i:])), base64.RawURLEncoding.EncodeToString([]byte(secret[i:])))
		}
	}
	for _, form := range forms {
		s.addForm(form)
	}
}

func (s *secrets) addForm(form string) {
	if len(form) < pieceLength {
		if len(form) >= 6 { // what is shorter is no secret, and would blot out words
			s.short = append(s.short, form)
		}
		return
	}
	if s.pieces == nil {
		s.pieces = map[string]bool{}
	}
	for i := 0; i+pieceLength <= len(form); i++ {
		s.pieces[form[i:i+pieceLength]] = true
	}
}

// addShapes takes in all that looks like a JSON Web Token, or a piece of one.
func (s *secrets) addShapes(text string) {
	for _, at := range tokenShapes(text) {
		s.add(text[at[0]:at[1]])
	}
}

// addHeader takes in the credentials of a header line.
func (s *secrets) addHeader(name, value string) {
	s.addShapes(value)
	switch strings.ToLower(name) {
	case "authorization", "proxy-authorization":
		scheme, credentials, found := strings.Cut(strings.TrimSpace(value), " ")
		switch {
		case found:
			s.add(credentials)
		case !strings.EqualFold(scheme, "bearer") && !strings.EqualFold(scheme, "basic"):
			s.add(scheme) // credentials without a scheme
		}
	case "cookie":
		for _, c := range strings.Split(value, ";") {
			if _, v, found := strings.Cut(c, "="); found {
				s.add(strings.Trim(v, `" `))
			}
		}
	}
}

// addPath takes in the credentials of a path with its query.
func (s *secrets) addPath(path string) {
	s.addShapes(path)
	_, query, _ := strings.Cut(path, "?")
	for _, param := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == '#' }) {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(name, "access_token") {
			s.add(value)
		}
	}
}

// redact returns the text without secrets and without what looks like one.
func (s *secrets) redact(text string) string {
	hide := make([]bool, len(text))
	mark := func(from, to int) {
		for i := from; i < to; i++ {
			hide[i] = true
		}
	}
	for _, at := range tokenShapes(text) {
		mark(at[0], at[1])
	}
	for i := 0; i+pieceLength <= len(text); i++ {
		if s.pieces[text[i:i+pieceLength]] {
			mark(i, i+pieceLength)
		}
	}
	for _, short := range s.short {
		for from := 0; ; {
			i := strings.Index(text[from:], short)
			if i < 0 {
				break
			}
			mark(from+i, from+i+len(short))
			from += i + len(short)
		}
	}
	var out strings.Builder
	for i := range len(text) {
		switch {
		case !hide[i]:
			out.WriteByte(text[i])
		case i == 0 || !hide[i-1]:
			out.WriteString(redacted)
		}
	}
	return out.String()
}

// redactValue redacts every string that v, a pointer, leads to.
func (s *secrets) redactValue(v any) { s.walk(reflect.ValueOf(v)) }

func (s *secrets) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			s.walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			s.walk(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			s.walk(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if value := v.MapIndex(key); value.Kind() == reflect.String {
				v.SetMapIndex(key, reflect.ValueOf(s.redact(value.String())).Convert(value.Type()))
			} else {
				s.walk(value)
			}
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(s.redact(v.String()))
		}
	default:
	}
}

// tokenRun is text that a token could be part of.
var tokenRun = lazyregexp.New(`e[w-z][A-Za-z0-9+/_-]{10,}(?:(?:\.|%2[eE]|=|%3[dD])[A-Za-z0-9+/_-]*)*`)

// tokenShapes finds what looks like a JSON Web Token, whole or cut: base64url of
// a JSON object, and all that follows without a gap.
func tokenShapes(text string) [][]int {
	var out [][]int
	for from := 0; from < len(text); {
		at := tokenRun.FindStringIndex(text[from:])
		if at == nil {
			break
		}
		start, end := from+at[0], from+at[1]
		if opensObject(text[start:end]) {
			out = append(out, []int{start, end})
			from = end
		} else {
			from = start + 1
		}
	}
	return out
}

// opensObject reports whether base64 text begins with a brace and a quote.
func opensObject(text string) bool {
	head := strings.NewReplacer("+", "-", "/", "_").Replace(text[:8])
	plain, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || plain[0] != '{' {
		return false
	}
	rest := bytes.TrimLeft(plain[1:], " \t\r\n")
	return len(rest) == 0 || rest[0] == '"' || rest[0] == '}'
}

// redactingWriter is the way to standard error for all that is not ours to check:
// messages of libraries, log lines at any verbosity.
type redactingWriter struct {
	w       io.Writer
	secrets *secrets
}

// Write redacts each write by itself: writers write whole lines.
func (r *redactingWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(r.w, r.secrets.redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
