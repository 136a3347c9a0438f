package diagnose

import (
	"encoding/base64"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

const redacted = "<redacted>"

// looksLikeToken finds whatever has the form of a JWT, wherever it stands.
var looksLikeToken = lazyregexp.New(`ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_=-]*`)

// redact takes every secret out of every text of the diagnosis, in all the forms
// in which it may have got there.
func redact(d *Diagnosis, secrets []string) {
	clean := redactor(secrets)
	walkStrings(reflect.ValueOf(d).Elem(), clean)
}

// redactor replaces secrets, and their parts, by a placeholder.
func redactor(secrets []string) func(string) string {
	forms := map[string]bool{}
	add := func(s string) {
		const shortest = 8
		if len(s) >= shortest {
			forms[s] = true
		}
	}
	for _, s := range secrets {
		for _, v := range variants(s) {
			add(v)
			add(url.QueryEscape(v))
			add(url.PathEscape(v))
			add(strings.Trim(strconv.Quote(v), `"`))
			add(base64.StdEncoding.EncodeToString([]byte(v)))
			add(base64.RawURLEncoding.EncodeToString([]byte(v)))
		}
	}
	ordered := make([]string, 0, len(forms))
	for f := range forms {
		ordered = append(ordered, f)
	}
	sort.Slice(ordered, func(i, j int) bool {
		return len(ordered[i]) > len(ordered[j]) || len(ordered[i]) == len(ordered[j]) && ordered[i] < ordered[j]
	})
	return func(s string) string {
		for _, f := range ordered {
			s = strings.ReplaceAll(s, f, redacted)
		}
		return looksLikeToken.ReplaceAllStringFunc(s, func(found string) string {
			head, _, _ := strings.Cut(found, ".")
			if raw, ok := jwt.DecodeBase64URL(head); ok && len(raw) > 0 && raw[0] == '{' {
				return redacted
			}
			return found
		})
	}
}

// variants are a secret, what is in it without a scheme, and its parts.
func variants(s string) []string {
	out := []string{s}
	for _, scheme := range []string{"Bearer ", "bearer ", "Basic "} {
		if i := strings.Index(s, scheme); i >= 0 {
			out = append(out, s[i+len(scheme):])
		}
	}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,;=.\"&", r) }) {
		const longEnough = 16
		if len(part) >= longEnough {
			out = append(out, part)
		}
	}
	return out
}

// walkStrings applies f to every string that a value holds.
func walkStrings(v reflect.Value, clean func(string) string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(clean(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			walkStrings(v.Elem(), clean)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && f.Tag.Get("json") != "-" {
				walkStrings(v.Field(i), clean)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walkStrings(v.Index(i), clean)
		}
	}
}
