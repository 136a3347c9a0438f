package conformance

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

const certificateBegin, certificateEnd = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"

// certificateOf is a certificate in DER that the key signs itself.
func certificateOf(name string, change func(*x509.Certificate)) []byte {
	key, ok := mint.Lookup(name)
	if !ok {
		panic("no key " + name)
	}
	signer := key.Signer()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0), Subject: pkix.Name{CommonName: "c"}}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		panic(err) // a fixed key
	}
	return der
}

func nothing(*x509.Certificate) {}

// wrapped is DER as PEM with lines of so many characters.
func wrapped(der []byte, width int, newline string) string {
	text := base64.StdEncoding.EncodeToString(der)
	var out strings.Builder
	out.WriteString(certificateBegin)
	for len(text) > width {
		out.WriteString(text[:width] + newline)
		text = text[width:]
	}
	return out.String() + text + "\n" + certificateEnd
}

// certificateEdges are key sets in the form of certificates by kid.
func certificateEdges() []edge {
	plain := certificateOf("rsa-a", nothing)
	good := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: plain}))
	other := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateOf("rsa-b", nothing)}))
	body := strings.TrimSuffix(strings.TrimPrefix(good, certificateBegin), certificateEnd)
	first, rest, _ := strings.Cut(body, "\n")
	elliptic := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateOf("p256-a", nothing)}))
	small := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateOf("rsa-1024", nothing)}))
	bare := strings.ReplaceAll(strings.TrimRight(body, "\n"), "\n", "")
	sets := map[string]map[string]any{
		"plain": {"a": good}, "two": {"a": good, "b": other}, "an empty kid": {"": good}, "one that is no text": {"a": good, "b": 1}, "one that is no certificate": {"a": good, "b": "x"}, "no newline at the end": {"a": strings.TrimSuffix(good, "\n")}, "two newlines at the end": {"a": good + "\n"},
		"CRLF": {"a": strings.ReplaceAll(good, "\n", "\r\n")}, "CRLF inside": {"a": certificateBegin + strings.ReplaceAll(body, "\n", "\r\n") + "\n" + certificateEnd}, "one line": {"a": wrapped(plain, 1<<20, "\n")}, "lines of 76": {"a": wrapped(plain, 76, "\n")}, "lines of 60": {"a": wrapped(plain, 60, "\n")}, "lines of 253": {"a": wrapped(plain, 253, "\n")}, "lines of 254": {"a": wrapped(plain, 254, "\n")}, "lines of 1": {"a": wrapped(plain, 1, "\n")},
		"lines with blanks": {"a": wrapped(plain, 64, " \n ")}, "a blank line first": {"a": certificateBegin + "\n" + body + certificateEnd}, "a blank line last": {"a": certificateBegin + body + "\n" + certificateEnd}, "a blank line inside": {"a": certificateBegin + first + "\n\n" + rest + certificateEnd}, "a line of blanks last": {"a": certificateBegin + body + "  \n" + certificateEnd},
		"a header": {"a": certificateBegin + "Comment: x\n\n" + body + certificateEnd}, "a header and no blank line": {"a": certificateBegin + "Comment: x\n" + body + certificateEnd}, "a Proc-Type": {"a": certificateBegin + "Proc-Type: 4,CLEAR\n\n" + body + certificateEnd}, "an encrypted one": {"a": certificateBegin + "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n" + body + certificateEnd},
		"a chain": {"a": good + other}, "a chain the other way round": {"a": other + good}, "a chain with text between": {"a": good + "x\n" + other}, "begun twice": {"a": certificateBegin + good}, "ended twice": {"a": good + certificateEnd}, "ended with blanks first": {"a": certificateBegin + body + "-----END CERTIFICATE-----  \nx\n" + certificateEnd}, "a wrong end first": {"a": certificateBegin + body + "-----END X-----\n" + certificateEnd},
		"nothing in it": {"a": certificateBegin + certificateEnd}, "a blank in it": {"a": certificateBegin + "\n" + certificateEnd}, "no base64": {"a": certificateBegin + "???\n" + certificateEnd}, "padding inside": {"a": certificateBegin + "AA==\n" + body + certificateEnd}, "more padding": {"a": certificateBegin + bare + "====\n" + certificateEnd}, "padding that is missing": {"a": certificateBegin + strings.TrimRight(bare, "=") + "\n" + certificateEnd},
		"bytes after it": {"a": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(plain[:len(plain):len(plain)], 0, 0)}))}, "a byte less": {"a": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: plain[:len(plain)-1]}))}, "a dash in it": {"a": certificateBegin + "-" + body + certificateEnd}, "base64url": {"a": certificateBegin + strings.NewReplacer("+", "-", "/", "_").Replace(body) + certificateEnd},
		"an EC key": {"a": elliptic}, "an EC key and an RSA key": {"a": good, "b": elliptic}, "a small key": {"a": small}, "a trusted one": {"a": strings.ReplaceAll(good, "CERTIFICATE", "TRUSTED CERTIFICATE")}, "an X509 one": {"a": strings.ReplaceAll(good, "CERTIFICATE", "X509 CERTIFICATE")}, "a public key": {"a": strings.ReplaceAll(good, "CERTIFICATE", "PUBLIC KEY")},
		"a name of keys": {"a": good, "keys": good},
	}
	for name, change := range map[string]func(*x509.Certificate){
		"a long serial number": func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 150) }, "names": func(c *x509.Certificate) { c.DNSNames = []string{"a.b"} },
		"a critical extension that nobody knows": func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{1}}}
		},
		"the far future": func(c *x509.Certificate) { c.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) },
		"broken names": func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 17}, Value: []byte{0x30, 3, 0x82, 1, 0xff}}}
		},
		"an extension that is no DER": func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 19}, Value: []byte{0xff, 0xff}}}
		},
		"an extension twice": func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: []byte{1}}, {Id: []int{1, 2, 3, 4}, Value: []byte{1}}}
		},
		"an empty subject": func(c *x509.Certificate) { c.Subject = pkix.Name{} },
	} {
		sets[name] = map[string]any{"a": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateOf("rsa-a", change)}))}
	}
	var out []edge
	for name, set := range sets {
		mesh := web(inlined(asJSON(set)), policy("{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}"))
		for i, t := range []judge.Token{signed("rsa-a", "RS256", ""), signed("rsa-a", "PS512", `,"kid":"a"`), signed("rsa-a", "RS256", `,"kid":"b"`), signed("rsa-b", "RS256", "")} {
			out = append(out, edge{name: fmt.Sprintf("certificates, %s, token %d", name, i), mesh: mesh, req: withToken(t, "", "Authorization", "Bearer {token:0}")})
		}
	}
	return out
}
