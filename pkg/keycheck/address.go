package keycheck

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const clusterSuffix = ".svc.cluster.local"

// Address is where a jwksUri, or the discovery document of an issuer, is.
type Address struct {
	// URI is what is fetched first.
	URI          string
	Scheme, Host string // Host is in small letters
	Port         int
	// Path is the path with the query, as it is asked for.
	Path string
	// Short says that the host has no dot: it means nothing outside its own namespace.
	Short bool
	// Service and Namespace name the Service that the host can only mean, or may mean
	// where it is NAME.NAMESPACE; empty for every other host.
	Service, Namespace string
	// Guessed says that the host may just as well be one outside.
	Guessed bool
	IP      netip.Addr // invalid where the host is a name
	// Problem is why nobody can fetch it; empty: somebody may.
	Problem string
}

// AddressOf reads a URI of a rule in a namespace.
func AddressOf(uri, namespace string) Address {
	a := Address{URI: uri}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		a.Problem = "it is no URL"
		return a
	case u.Scheme != "http" && u.Scheme != "https":
		a.Problem = "it is no http or https URL"
		return a
	case u.Hostname() == "":
		a.Problem = "it has no host"
		if strings.HasPrefix(u.Path, "/") && strings.Contains(uri, ":///") {
			a.Problem += fmt.Sprintf(": there is a slash too many after %s:", u.Scheme)
		}
		return a
	}
	a.Scheme, a.Host, a.Path = u.Scheme, strings.ToLower(u.Hostname()), u.RequestURI()
	a.Port = 80
	if u.Scheme == "https" {
		a.Port = 443
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			a.Problem = "its port is none"
			return a
		}
		a.Port = int(n)
	}
	if a.IP, err = netip.ParseAddr(a.Host); err == nil {
		return a
	}
	a.service(namespace)
	return a
}

// service finds the Service that a host means, by the names that the cluster's DNS
// has for it.
func (a *Address) service(namespace string) {
	labels := strings.Split(strings.TrimSuffix(a.Host, "."), ".")
	switch {
	case len(labels) == 1:
		a.Short, a.Service, a.Namespace = true, labels[0], namespace
	case len(labels) == 2:
		a.Service, a.Namespace, a.Guessed = labels[0], labels[1], true
	case labels[2] == "svc" && (len(labels) == 3 || strings.Join(labels[3:], ".") == "cluster.local"):
		a.Service, a.Namespace = labels[0], labels[1]
	}
}

// Full is the full name of the Service, or the host.
func (a Address) Full() string {
	if a.Service == "" {
		return a.Host
	}
	return a.Service + "." + a.Namespace + clusterSuffix
}

// Authority is the Host header of a request for it.
func (a Address) Authority() string {
	u, err := url.Parse(a.URI)
	if err != nil {
		return a.Host
	}
	return u.Host
}

// WithHost is the URI with another host.
func (a Address) WithHost(host string) string {
	u, err := url.Parse(a.URI)
	if err != nil {
		return a.URI
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	u.Host = host
	return u.String()
}

// discoveryPath is where an issuer's discovery document is: one trailing slash of the
// issuer does not count (Istio pilot/pkg/model/jwks_resolver.go:resolveJwksURIUsingOpenID).
const discoveryPath = "/.well-known/openid-configuration"

// source is what is fetched for a rule; empty where it has its keys in it.
func source(r *securityapi.JWTRule) (uri string, discovery bool) {
	switch {
	case r.GetJwksUri() != "":
		return r.GetJwksUri(), false
	case r.GetJwks() != "":
		return "", false
	}
	return strings.TrimSuffix(r.GetIssuer(), "/") + discoveryPath, true
}

// Addresses are the addresses of the rules of RequestAuthentications in the namespaces
// (nil: all), each once, with the namespace of the first rule that has it: what has to be
// read, and fetched.
func Addresses(s *mesh.Snapshot, namespaces []string) []Address {
	var out []Address
	seen := map[string]bool{}
	for _, o := range s.Kind(mesh.GroupSecurity, "RequestAuthentication") {
		if namespaces != nil && !contains(namespaces, o.Namespace) {
			continue
		}
		spec := &securityapi.RequestAuthentication{}
		if o.DecodeSpec(spec) != nil {
			continue
		}
		for _, r := range spec.GetJwtRules() {
			uri, _ := source(r)
			key := o.Namespace + " " + uri
			if a := AddressOf(uri, o.Namespace); uri != "" && !seen[key] {
				seen[key] = true
				out = append(out, a)
			}
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}
