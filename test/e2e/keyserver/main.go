// Command keyserver serves a JWKS document with every fault of package keyserver:
// in plaintext, and over TLS with a good certificate and with three bad ones.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/keyserver"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "keyserver:", err)
		os.Exit(1)
	}
}

func run() error {
	keys := flag.String("keys", "", "`file` of the document")
	hosts := flag.String("hosts", "", "names and addresses of the certificates, comma-separated")
	authority := flag.String("authority", "", "`file` to write the certificates' authority to")
	bind := flag.String("bind", "0.0.0.0", "`address` to listen at: port 80 in plaintext; over TLS 443, and with a certificate that is\nexpired 8443, of another name 8444, of an unknown authority 8445")
	flag.Parse()
	document, err := os.ReadFile(*keys)
	if err != nil {
		return err
	}
	certificates, err := keyserver.NewCertificates(time.Now(), strings.FieldsFunc(*hosts, func(r rune) bool { return r == ',' })...)
	if err != nil {
		return err
	}
	if *authority != "" {
		if err := os.WriteFile(*authority, certificates.Authority, 0o644); err != nil {
			return err
		}
	}
	handler := keyserver.Handler(document)
	ended := make(chan error)
	for port, certificate := range map[string]*tls.Certificate{
		"80": nil, "443": &certificates.Good, "8443": &certificates.Expired, "8444": &certificates.WrongName, "8445": &certificates.UnknownAuthority,
	} {
		l, err := net.Listen("tcp", net.JoinHostPort(*bind, port))
		if err != nil {
			return err
		}
		go func() { ended <- keyserver.Serve(l, handler, certificate) }()
	}
	return <-ended
}
