package diagnose

import (
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// KeyFile is a key set that the user gives for a jwksUri, or for an issuer whose
// keys are discovered.
type KeyFile struct {
	// For is the URI or the issuer.
	For string
	// Document is the text of the set; nil stands for a fetch that fails.
	Document []byte
}

// keysFor are the keys of each provider: its own, or what stands in for all.
func keysFor(in Intent, p *envoy.Proxy, istiod version.Version) (envoy.Keys, []Finding) {
	if in.Verifies == nil {
		return resolveKeys(p, in.Keys, istiod)
	}
	every := envoy.KeySet{Vouched: true}
	if !*in.Verifies {
		every = envoy.KeySet{}
		every.Set, _ = jwks.Parse(jwks.PublicOnlyPlaceholder()) // a key that nobody signs with
	}
	keys := envoy.Keys{}
	for _, prov := range providers(p) {
		keys[prov.Keys] = every
	}
	return keys, nil
}

// resolveKeys finds the keys of each provider: inline, or from the files given.
// What a broken file does is what the proxy would do.
func resolveKeys(p *envoy.Proxy, files []KeyFile, istiod version.Version) (envoy.Keys, []Finding) {
	keys := envoy.Keys{}
	used := map[string]bool{}
	var findings []Finding
	for _, prov := range providers(p) {
		src := prov.Keys
		if _, ok := keys[src]; ok {
			continue
		}
		if src.Fetcher == envoy.Inline {
			set, status := jwks.Parse([]byte(src.Inline))
			keys[src] = envoy.KeySet{Set: set, Refused: status}
			findings = append(findings, keyFindings(prov, set, status)...)
			continue
		}
		if src.Fetcher == envoy.NotDocumented {
			keys[src] = undocumented(src)
			continue
		}
		if src.NoCluster {
			used[src.URI] = true
			keys[src] = envoy.KeySet{Failure: jwt.JwksFetchFailed}
			findings = append(findings, Finding{Code: diag.KeysNotFetched, Severity: diag.Error, Object: place(prov.Origin), Field: prov.Origin.Field + ".jwksUri",
				Message: "the proxy has no cluster for the host and port of " + src.URI + ", so that every fetch fails: a ServiceEntry or Service with that port is missing"})
			continue
		}
		file, ok := fileFor(files, src)
		if src.ShortName {
			used[src.URI] = true
			k, finding := unresolved(prov, src, istiod)
			keys[src] = k
			findings = append(findings, finding)
			continue
		}
		if src.NoTime {
			file, ok = KeyFile{For: keyName(src)}, true
		}
		if !ok {
			what := "the keys at " + src.URI
			if src.URI == "" {
				what = "the keys that the issuer " + fmt.Sprintf("%q", src.Issuer) + " publishes"
			}
			keys[src] = envoy.KeySet{Missing: &envoy.Missing{
				What: what, Why: "they are not part of the objects", Hint: "--jwks " + keyName(src) + "=FILE",
			}}
			continue
		}
		used[file.For] = true
		k, fs := fetched(prov, src, file, istiod)
		keys[src] = k
		findings = append(findings, fs...)
	}
	for _, f := range files {
		if !used[f.For] {
			findings = append(findings, Finding{Code: diag.KeysNotUsed, Severity: diag.Warning,
				Message: fmt.Sprintf("no rule that reaches the workload uses the keys given for %q", f.For)})
		}
	}
	return keys, findings
}

func keyName(src envoy.KeySource) string {
	if src.URI != "" {
		return src.URI
	}
	return src.Issuer
}

func fileFor(files []KeyFile, src envoy.KeySource) (KeyFile, bool) {
	for _, f := range files {
		if src.URI != "" && f.For == src.URI || src.URI == "" && f.For == src.Issuer {
			return f, true
		}
	}
	return KeyFile{}, false
}

// fetched is what a fetch that gave this document comes to. Where there is none,
// or an empty one, the control plane pushes its placeholder. A document that cannot be used it pushes
// as it is (Istio pilot/pkg/model/jwks_resolver.go, GetPublicKey), and the proxy
// refuses the listener; a proxy that fetches takes it for a fetch that failed.
func fetched(p *envoy.Provider, src envoy.KeySource, f KeyFile, istiod version.Version) (envoy.KeySet, []Finding) {
	var set *jwks.Set
	status := jwt.JwksFetchFailed
	if f.Document != nil {
		set, status = jwks.Parse(f.Document)
	}
	if status == jwt.OK {
		return envoy.KeySet{Set: set}, keyFindings(p, set, status)
	}
	why := "they could not be fetched"
	switch {
	case len(f.Document) > 0:
		why = "the document is no key set that the proxy can use: " + status.String()
	case f.Document != nil:
		why = "the document is empty"
	}
	finding := Finding{Code: diag.KeysNotFetched, Severity: diag.Error, Object: place(p.Origin), Field: p.Origin.Field + ".jwksUri"}
	if src.Fetcher == envoy.ProxyFetch {
		finding.Message = fmt.Sprintf("the proxy has no keys of %s: %s", keyName(src), why)
		return envoy.KeySet{Failure: jwt.JwksFetchFailed}, []Finding{finding}
	}
	if len(f.Document) > 0 {
		finding.Code = diag.KeysUnusable
		finding.Message = fmt.Sprintf("the control plane pushes what it gets from %s, and the proxy refuses the whole listener for it: %s; "+
			"with the configuration that it had before, even forged tokens may pass", keyName(src), status)
		return envoy.KeySet{Set: set, Refused: status}, []Finding{finding}
	}
	pushed, words := placeholder(istiod, src)
	finding.Message = fmt.Sprintf("the control plane has no keys of %s (%s) and pushes a placeholder key: %s", keyName(src), why, words)
	return pushed, []Finding{finding}
}

// unresolved is what comes of a host that the control plane cannot resolve, whatever is
// there: its placeholder.
func unresolved(p *envoy.Provider, src envoy.KeySource, istiod version.Version) (envoy.KeySet, Finding) {
	pushed, words := placeholder(istiod, src)
	return pushed, Finding{
		Code: diag.KeyHostShort, Severity: diag.Error, Object: place(p.Origin), Field: p.Origin.Field + ".jwksUri",
		Message: fmt.Sprintf("the control plane lives in another namespace and cannot resolve the short name in %s, so that it pushes a placeholder key: %s; write the name in full",
			src.URI, words),
	}
}

func keyFindings(p *envoy.Provider, set *jwks.Set, status jwt.Status) []Finding {
	var out []Finding
	if status != jwt.OK {
		out = append(out, Finding{Code: diag.KeysUnusable, Severity: diag.Error, Object: place(p.Origin), Field: p.Origin.Field + ".jwks",
			Message: "the proxy cannot use this key set and refuses the whole listener: " + status.String()})
		return out
	}
	for _, d := range set.Dropped {
		out = append(out, Finding{Code: diag.KeyDropped, Severity: diag.Warning, Object: place(p.Origin), Field: p.Origin.Field,
			Message: fmt.Sprintf("key %d (kid %q) is dropped: %s", d.Index, d.Kid, d.Reason)})
	}
	return out
}

// providers lists the JWT providers of a proxy, each once.
func providers(p *envoy.Proxy) []*envoy.Provider {
	var out []*envoy.Provider
	for _, f := range p.JWTFilters() {
		for i := range f.Providers {
			out = append(out, &f.Providers[i])
		}
	}
	return out
}
