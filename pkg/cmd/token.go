package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// tokenFlags are the flags that give a token without writing it into argv.
type tokenFlags struct {
	file, env, in string
}

// maxToken is more than any proxy takes in a header.
const maxToken = 1 << 20

// place is where in the request the token goes.
type place struct {
	kind         string // header, param or cookie
	name, prefix string
}

// validate checks what can be checked without reading anything.
func (f *tokenFlags) validate(given func(string) bool) error {
	if given("jwt-file") && given("jwt-env") {
		return usage("give one of the two, or add the other with -H", "--jwt-file and --jwt-env together")
	}
	if given("jwt-in") && !given("jwt-file") && !given("jwt-env") {
		return usage("give the token with --jwt-file or --jwt-env", "--jwt-in says where a token goes, but there is none")
	}
	if given("jwt-file") && f.file == "" {
		return usage("give the name of a file, or - for standard input", "--jwt-file is empty")
	}
	_, err := f.place()
	return err
}

// place parses --jwt-in.
func (f *tokenFlags) place() (place, error) {
	const hint = "write header:NAME[:PREFIX], param:NAME or cookie:NAME"
	if f.in == "" {
		return place{"header", "Authorization", "Bearer "}, nil
	}
	kind, rest, _ := strings.Cut(f.in, ":")
	p := place{kind: kind, name: rest}
	switch kind {
	case "header":
		p.name, p.prefix, _ = strings.Cut(rest, ":")
	case "param", "cookie":
	default:
		return place{}, usage(hint, "--jwt-in is neither a header, a parameter nor a cookie")
	}
	if p.name == "" || kind != "param" && !isToken(p.name) {
		return place{}, usage(hint, "--jwt-in has no usable name")
	}
	if strings.ContainsAny(p.prefix, "\r\n\x00") {
		return place{}, usage(hint, "--jwt-in has a line break in its prefix")
	}
	return p, nil
}

// read returns the token; ok is false where none is asked for.
func (f *tokenFlags) read(a *app, given func(string) bool) (token string, ok bool, err error) {
	var raw, source string
	switch {
	case given("jwt-env"):
		value, found := a.LookupEnv(f.env)
		if !found {
			return "", false, usage("export it first: export NAME=…", "--jwt-env: there is no such variable in the environment")
		}
		raw, source = value, "--jwt-env"
	case given("jwt-file"):
		data, err := f.readFile(a.In)
		if err != nil {
			return "", false, err
		}
		raw, source = string(data), "--jwt-file"
	default:
		return "", false, nil
	}
	a.secrets.add(raw)
	token, err = cleanToken(raw, source)
	return token, err == nil, err
}

// readFile reads the token's file. The errors do not repeat the name: it has been
// the token itself before.
func (f *tokenFlags) readFile(stdin io.Reader) ([]byte, error) {
	in := stdin
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, usage("--jwt-file takes the name of a file, not a token", "--jwt-file: open the file: %v", pathless(err))
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxToken+1))
	switch {
	case errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		return nil, usage("give the name of a file that can be read", "--jwt-file: read the token: %v", pathless(err))
	case len(data) > maxToken:
		return nil, usage("give a file with nothing but the token", "--jwt-file: the file is larger than any token, 1 MiB")
	}
	return data, nil
}

// pathless is what happened to a file, without its name.
func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// cleanToken takes the final line break off, and refuses what shows that the text
// is more than a token: it would be sent, and refused, without anyone seeing why.
func cleanToken(raw, source string) (string, error) {
	token := strings.TrimSuffix(strings.TrimSuffix(raw, "\n"), "\r")
	if !strings.HasSuffix(raw, "\n") {
		token = raw
	}
	lower := strings.ToLower(token)
	switch {
	case token == "":
		return "", usage("a request without a token needs no flag", "%s: it is empty", source)
	case strings.HasPrefix(lower, "bearer ") || strings.HasPrefix(lower, "authorization:"):
		return "", usage("leave the token alone in it; \"Bearer \" is put in front of it anyway", "%s: it has more than the token: it begins with %q", source, token[:6])
	case strings.ContainsAny(token, "\"'`"):
		return "", usage("take the quotes off: jq -r prints without them", "%s: the token has quotes in it", source)
	case strings.ContainsAny(token, " \t\r\n\v\f"):
		return "", usage("give a file with nothing but the token, on one line", "%s: the token has a blank or a line break in it", source)
	}
	for i := range len(token) {
		if token[i] < 0x21 || token[i] > 0x7e {
			return "", usage("save it as plain ASCII, without a byte order mark", "%s: the token has bytes that no token has", source)
		}
	}
	return token, nil
}

// putInto adds the token to the request, after all that is there.
func (p place) putInto(r *envoy.Request, token string) {
	switch p.kind {
	case "header":
		r.Headers = append(r.Headers, envoy.Header{Name: p.name, Value: p.prefix + token})
	case "cookie":
		r.Headers = append(r.Headers, envoy.Header{Name: "Cookie", Value: p.name + "=" + token})
	case "param":
		path, fragment, hasFragment := strings.Cut(r.Path, "#")
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + escapeParam(p.name) + "=" + escapeParam(token)
		if hasFragment {
			path += "#" + fragment
		}
		r.Path = path
	}
}

// escapeParam percent-encodes what could not stand in a query as it is.
func escapeParam(s string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(hex[c>>4])
		out.WriteByte(hex[c&15])
	}
	return out.String()
}
