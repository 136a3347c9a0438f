package ztunnel

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

const scheme = "spiffe://"

// identity is what ztunnel knows of the client: nothing, for a connection that is
// not HBONE, or the names in its certificate.
type identity struct {
	present                                bool
	trustDomain, namespace, serviceAccount string
	// missing is set where there is an identity and nobody said which; then only
	// present and trustDomain hold.
	missing *envoy.Missing
}

// parseIdentity reads a SPIFFE name as ztunnel does, which takes no other form
// (ztunnel src/identity/manager.rs:Identity.from_str).
func parseIdentity(uri string) (identity, bool) {
	const fields = 5 // trust domain, "ns", namespace, "sa", service account
	rest, ok := strings.CutPrefix(uri, scheme)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != fields || parts[1] != "ns" || parts[3] != "sa" {
		return identity{}, false
	}
	return identity{present: true, trustDomain: parts[0], namespace: parts[2], serviceAccount: parts[4]}, true
}

// principal is the name without the scheme, as policies write it; empty without identity.
func (id identity) principal() string {
	if !id.present || id.missing != nil {
		return ""
	}
	return id.trustDomain + "/ns/" + id.namespace + "/sa/" + id.serviceAccount
}

// admit runs the handshake of HBONE: the certificate is demanded, must chain to a
// trusted root and have a name in the workload's own trust domain; the first name
// that can be read is the client's (ztunnel src/tls/workload.rs:TrustDomainVerifier,
// src/tls/certificate.rs:identity). why is set where it fails.
func admit(p *envoy.Peer, trustDomain string) (id identity, why string) {
	switch {
	case !p.Presented:
		return identity{}, "the client has no certificate, which ztunnel asks for"
	case !p.Trusted:
		return identity{}, "the client's certificate is of no authority that ztunnel trusts"
	}
	fits := false
	for _, uri := range p.URISANs {
		name, ok := parseIdentity(uri)
		if !ok {
			continue
		}
		if !id.present {
			id = name
		}
		fits = fits || name.trustDomain == trustDomain
	}
	if !fits {
		return identity{}, "the client's certificate has no name in the trust domain " + trustDomain + ": ztunnel knows no aliases"
	}
	return id, ""
}
