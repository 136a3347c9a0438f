package gen

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// WriteFolder writes a case for which want (Envoy's answer) and got (the
// evaluator's) differ: mesh.yaml, the tokens and key sets as files, README.txt with
// both answers and the command line that asks the same, and case.json, which
// ReadCase reads. Tokens are minted for the second of Envoy's answer.
func WriteFolder(dir string, c judge.Case, want, got judge.Answer) error {
	at := want.Time
	if at == 0 {
		at = got.Time
	}
	files := map[string]string{"mesh.yaml": c.Mesh}
	for i, t := range c.Request.Tokens {
		text, err := t.Mint(at, mint.Sign)
		if err != nil {
			return fmt.Errorf("mint token %d: %w", i, err)
		}
		files[tokenFile(i)] = text
	}
	for i, uri := range slices.Sorted(maps.Keys(c.JWKS)) {
		files[keysFile(i)] = c.JWKS[uri]
	}
	if c.RemoteJWKS != "" {
		files[istiodFile] = fmt.Sprintf(istiod, c.RemoteJWKS)
	}
	text, err := json.MarshalIndent(escaped(c), "", " ")
	if err != nil {
		return fmt.Errorf("write the case: %w", err)
	}
	files["case.json"] = string(text) + "\n"
	files["README.txt"] = readme(c, at, want, got)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ReadCase reads the case.json of a folder.
func ReadCase(dir string) (judge.Case, error) {
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		return judge.Case{}, err
	}
	var c judge.Case
	if err := json.Unmarshal(text, &c); err != nil {
		return judge.Case{}, fmt.Errorf("read %s: %w", dir, err)
	}
	if c.Target == "" {
		return judge.Case{}, errors.New(dir + ": the case has no target")
	}
	return eachText(c, unescapeBytes), nil
}

// istiod is the control plane, of which a mesh has nothing but its settings.
const (
	istiodFile = "istiod.yaml"
	istiod     = `apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec: {containers: [{name: discovery, image: pilot, env: [{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: %q}]}]}
`
)

func tokenFile(i int) string { return fmt.Sprintf("token-%d.jwt", i) }
func keysFile(i int) string  { return fmt.Sprintf("jwks-%d.json", i) }

// byteBase is where bytes that are not UTF-8 go in case.json, which JSON could not
// carry otherwise: into a private range.
const byteBase = 0xf700

func escaped(c judge.Case) judge.Case { return eachText(c, escapeBytes) }

func escapeBytes(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			r = byteBase + rune(s[i])
		}
		out.WriteRune(r)
		i += size
	}
	return out.String()
}

func unescapeBytes(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r >= byteBase+0x80 && r <= byteBase+0xff {
			out.WriteByte(byte(r - byteBase))
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// eachText is the case with the texts of its request changed; they alone can hold
// any byte.
func eachText(c judge.Case, change func(string) string) judge.Case {
	r := c.Request
	r.Path, r.Host, r.Method = change(r.Path), change(r.Host), change(r.Method)
	r.Headers, r.Tokens = slices.Clone(r.Headers), slices.Clone(r.Tokens)
	for i := range r.Headers {
		r.Headers[i].Value = change(r.Headers[i].Value)
	}
	for i := range r.Tokens {
		t := &r.Tokens[i]
		t.Header, t.Payload, t.Form, t.Raw = change(t.Header), change(t.Payload), change(t.Form), change(t.Raw)
	}
	c.Request = r
	return c
}

func readme(c judge.Case, at int64, want, got judge.Answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nIn this folder:\n\n  %s\n\n", c.Name, Command(c, at))
	if note := unsaid(c.Request.Client); note != "" {
		fmt.Fprintf(&b, "The command line cannot say: %s. case.json has it.\n\n", note)
	}
	fmt.Fprintf(&b, "Envoy answered:    %s\nThe evaluator says: %s\n", answerLine(want), answerLine(got))
	return b.String()
}

// answerLine is an answer in a line.
func answerLine(a judge.Answer) string {
	switch {
	case a.Refused != "":
		return fmt.Sprintf("listener refused: %q", a.Refused)
	case a.Closed:
		return fmt.Sprintf("closed, details %q", a.Details)
	case a.GRPCStatus != nil:
		return fmt.Sprintf("grpc-status %d %q, details %q", *a.GRPCStatus, a.GRPCMessage, a.Details)
	case a.Upstream != nil:
		return fmt.Sprintf("%d from the application, path %q", a.Status, a.Upstream.Path)
	}
	return fmt.Sprintf("%d %q, details %q", a.Status, a.Body, a.Details)
}

// Command is the command line that asks what the case asks, for a shell in the
// folder that WriteFolder wrote; at is in seconds since the epoch.
func Command(c judge.Case, at int64) string {
	r := c.Request
	args := []string{"kubectl", "asmjwt", "why", c.Target, "-n", c.Namespace, "-f", "mesh.yaml"}
	if c.RemoteJWKS != "" {
		args = append(args, "-f", istiodFile)
	}
	args = append(args, "--port", fmt.Sprint(c.Port))
	if c.Via.Target != "" {
		args = append(args, "--via", fmt.Sprintf("%s.%s:%d", c.Via.Target, c.Via.Namespace, c.Via.Port))
	}
	args = append(args, "--method", shell(r.Method), "--host", shell(r.Host), "--path", shell(r.Path))
	if r.HTTP2 {
		args = append(args, "--http", "2")
	} else {
		args = append(args, "--http", "1.1")
	}
	headers := r.Headers
	jwt := len(headers) > 0 && len(r.Tokens) == 1 && headers[len(headers)-1] == judge.Header{Name: "Authorization", Value: "Bearer {token:0}"}
	if jwt {
		headers = headers[:len(headers)-1]
	}
	for _, h := range headers {
		args = append(args, "-H", shell(h.Name+": "+h.Value))
	}
	if jwt {
		args = append(args, "--jwt-file", tokenFile(0))
	}
	args = append(args, callerFlags(r.Client)...)
	for i, uri := range slices.Sorted(maps.Keys(c.JWKS)) {
		args = append(args, "--jwks", shell(uri+"="+keysFile(i)))
	}
	return strings.Join(append(args, "--at", time.Unix(at, 0).UTC().Format(time.RFC3339)), " ")
}

func callerFlags(c judge.Client) []string {
	var args []string
	if c.Transport == "mtls" && len(c.URISANs) > 0 {
		args = append(args, "--from-principal", shell(c.URISANs[0]))
	} else {
		args = append(args, "--plaintext")
	}
	source := c.Source
	if source == "" {
		source = "127.0.0.1"
	}
	args = append(args, "--from-ip", source)
	if c.SNI != "" {
		args = append(args, "--sni", shell(c.SNI))
	}
	return args
}

// unsaid is what of the client no flag tells.
func unsaid(c judge.Client) string {
	var out []string
	if c.Transport == "tls" {
		out = append(out, "TLS that is not Istio's")
	}
	if len(c.URISANs) > 1 || len(c.DNSSANs) > 0 || c.CommonName != "" {
		out = append(out, fmt.Sprintf("the certificate's other names (URIs %q, DNS %q, common name %q)", c.URISANs, c.DNSSANs, c.CommonName))
	}
	if c.Untrusted {
		out = append(out, "that the certificate is a stranger's")
	}
	return strings.Join(out, ", ")
}

// shell quotes a text for a shell, with tokens taken from their files.
func shell(text string) string {
	if strings.Contains(text, "{token:") {
		var b strings.Builder
		b.WriteString(`"`)
		for _, c := range []byte(text) {
			if strings.IndexByte("\"\\$`", c) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		out := b.String() + `"`
		for i := strings.Count(out, "{token:") + 8; i >= 0; i-- {
			out = strings.ReplaceAll(out, fmt.Sprintf("{token:%d}", i), "$(cat "+tokenFile(i)+")")
		}
		return out
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/.:-_=,@%+", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	for i := 0; i < len(text); i++ {
		if text[i] < 0x20 || text[i] >= 0x7f {
			return "$" + ansi(text)
		}
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// ansi is a text in the $'...' form of bash, without the dollar.
func ansi(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
