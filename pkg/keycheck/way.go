package keycheck

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// What is on the way from the control plane to a key server: a policy, a gateway of the
// mesh itself, an HTTP proxy.

// denied asks whether policies in front of the key server let a request without a token
// and without an identity through.
func (r *rule) denied(w mesh.Workload, o *mesh.Object) {
	in := r.request()
	in.Target, in.Namespace, in.Port = mesh.Target{Type: mesh.TypeService, Name: o.Name}, o.Namespace, diagnose.Port{Number: r.addr.Port}
	r.refusal(in, nameOf(w))
}

// request is what the control plane asks: without a token, and without an identity of
// the mesh.
func (r *rule) request() diagnose.Intent {
	path, _, _ := strings.Cut(r.addr.Path, "#")
	return diagnose.Intent{
		Namespace: r.origin.Namespace, Method: "GET", Host: r.addr.Authority(), Path: path, Time: r.ev.Now.Unix(),
		Caller:       diagnose.Caller{Plaintext: r.addr.Scheme == "http", TLS: r.addr.Scheme == "https"},
		ProxyVersion: r.ev.ProxyVersion, IstiodVersion: r.ev.IstiodVersion,
	}
}

// throughGateway is for an issuer that is served by a gateway of the mesh, where the
// objects show that.
func (r *rule) throughGateway() {
	in := r.request()
	in.URLPort = r.addr.Port
	in, _, err := diagnose.Locate(in, r.ev.Snapshot)
	if err != nil {
		return // it is none of the mesh's
	}
	r.refusal(in, in.Target.String())
}

// refusal notes that a request for the keys would be refused, and by what.
func (r *rule) refusal(in diagnose.Intent, where string) {
	d, err := diagnose.Run(in, r.ev.Snapshot)
	if err != nil || d.Verdict.Decision != envoy.Denied || d.Verdict.Status == 0 {
		return
	}
	by := "no ALLOW policy of " + where + " lets it through"
	at := r.origin.At(r.uriField())
	if p := d.Verdict.DecidedBy; p != nil {
		at = origin.Origin{Ref: origin.Ref{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}, Field: p.Field}
		by = at.String() + " refuses it"
	}
	r.findAt(diag.KeyServerDenies, diag.Error, at, fmt.Sprintf(
		"the control plane asks for %s without a token and without an identity, and gets %d: %s", in.Path, d.Verdict.Status, by))
}

// httpProxy looks whether the control plane sends a fetch to an HTTP proxy that the host
// is not for (golang.org/x/net/http/httpproxy, by which Go programs go).
func (r *rule) httpProxy() {
	if r.out.Fetcher == ByProxy || r.out.Server == nil {
		return
	}
	name := "HTTP_PROXY"
	if r.addr.Scheme == "https" {
		name = "HTTPS_PROXY"
	}
	value := env(r.plane.Env, name)
	inside := r.out.Server.Service != "" || r.addr.IP.IsValid() && r.addr.IP.IsPrivate()
	if value == "" || !inside || exempted(env(r.plane.Env, "NO_PROXY"), r.addr) {
		return
	}
	r.find(diag.KeyUnreachable, diag.Warning, r.uriField(), fmt.Sprintf(
		"%s has %s set, and its NO_PROXY does not name %s: it asks an HTTP proxy for keys that are in the cluster", r.plane.Object, name, r.addr.Host))
}

// env finds a variable in either spelling.
func env(vars map[string]string, name string) string {
	if v := vars[name]; v != "" {
		return v
	}
	return vars[strings.ToLower(name)]
}

// exempted reports whether NO_PROXY names a host.
func exempted(list string, a Address) bool {
	for _, entry := range strings.Split(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if host, _, found := strings.Cut(entry, ":"); found && !strings.Contains(host, "/") {
			entry = host
		}
		suffix := strings.TrimPrefix(strings.TrimPrefix(entry, "*"), ".")
		switch {
		case entry == "":
		case entry == "*", a.Host == suffix, strings.HasSuffix(a.Host, "."+suffix):
			return true
		default:
			if block, err := netip.ParsePrefix(entry); err == nil && a.IP.IsValid() && block.Contains(a.IP) {
				return true
			}
		}
	}
	return false
}
