package keycheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// judge settles the verdict of a rule.
func (r *rule) judge() {
	held := r.heldReal()
	if held {
		r.soften()
	}
	switch {
	case r.out.Has(diag.ListenerRefused) && r.hasError():
		r.verdict(Refused, "policies are not in force in "+r.brokenPods()+": forged tokens may pass")
	case r.out.Has(diag.KeysForgeable):
		r.verdict(Refused, "anybody can make tokens"+r.of()+" that pass, and good ones are refused")
	case len(r.reached) == 0:
		r.verdict(Unused, "it reaches no workload that was asked about")
	case r.out.Has(diag.KeysStale):
		r.verdict(Refused, "tokens"+r.of()+" that are signed with new keys are refused")
	case r.tokenRefused() && !r.out.Has(diag.KeysNotFetched):
		r.verdict(Refused, "the token that was given is refused")
	case r.out.Has(diag.ProxyDiffers) && r.hasError():
		r.verdict(Refused, "proxies hold other keys than the rule has")
	case r.out.Fetcher == ByNobody && r.out.Has(diag.KeysUnusable):
		r.verdict(Refused, "proxies refuse the whole listener for this rule, and keep what they had before: forged tokens may pass")
	case r.hasError():
		r.verdict(Refused, "every token"+r.of()+" is refused")
	case !r.ev.Live:
		r.judgeFiles()
	case r.podless():
		r.verdict(Unknown, "no pod runs that could hold keys")
	case len(r.out.Proxies) == 0:
		r.verdict(Unknown, "no proxy was asked what it holds")
	case held:
		r.verdict(OK, r.okWords())
	case r.allFetch() && r.failedSoFar():
		r.verdict(Unknown, "proxies fetch, and have got no answer so far: send a request with a token, and look again")
	case r.allFetch() && r.seenByOthers() && !r.tlsSeen():
		r.verdict(Unknown, "proxies fetch, and nobody has seen whether they accept the certificate: send a request with a token, and look again")
	case r.allFetch() && r.seenByOthers():
		r.verdict(OK, "proxies fetch, and the keys can be read: "+countKeys(len(r.live.set.Keys)))
	case r.allFetch():
		r.verdict(Unknown, "proxies fetch, and nobody has seen whether they can: --from a pod with a sidecar")
	case slices.ContainsFunc(r.out.Proxies, func(h Holder) bool { return h.State == Absent }):
		r.verdict(Unknown, "the rule has not arrived at every proxy")
	default:
		r.verdict(Unknown, "not every proxy told what it holds")
	}
}

// podless reports whether none of the workloads has a pod.
func (r *rule) podless() bool {
	return !slices.ContainsFunc(r.reached, func(w reached) bool { return len(w.workload.Pods) > 0 })
}

// of names the issuer.
func (r *rule) of() string {
	if r.out.Issuer == "" {
		return ""
	}
	return fmt.Sprintf(" of %q", r.out.Issuer)
}

// brokenPods are the pods whose proxies refuse what was pushed.
func (r *rule) brokenPods() string {
	var pods []string
	for _, h := range r.out.Proxies {
		if h.State == Broken {
			pods = append(pods, h.Pod)
		}
	}
	const most = 3
	if len(pods) > most {
		return strings.Join(pods[:most], ", ") + fmt.Sprintf(" and %d more", len(pods)-most)
	}
	return strings.Join(pods, ", ")
}

func (r *rule) verdict(v Verdict, summary string) { r.out.Verdict, r.out.Summary = v, summary }

func (r *rule) hasError() bool {
	return slices.ContainsFunc(r.out.Findings, func(f diagnose.Finding) bool { return f.Severity == diag.Error })
}

func (r *rule) tokenRefused() bool { return r.tokenTrouble() != "" }

// tokenTrouble is why the token is refused; empty: it is not, or there is none.
func (r *rule) tokenTrouble() diag.Code {
	for _, f := range r.out.Findings {
		if f.Severity == diag.Error && (f.Code == diag.TokenNoKey || f.Code == diag.TokenSignature) {
			return f.Code
		}
	}
	return ""
}

// heldReal reports whether all proxies hold real keys.
func (r *rule) heldReal() bool {
	for _, h := range r.out.Proxies {
		if h.State != Holds && h.State != Same && h.State != Old {
			return false
		}
	}
	return len(r.out.Proxies) > 0
}

// soften makes of what is in the way a warning, where the proxies have keys from before:
// the control plane keeps them while it cannot fetch others.
func (r *rule) soften() {
	if r.out.Fetcher != ByControlPlane && r.out.Fetcher != ByDiscovery {
		return
	}
	for i := range r.out.Findings {
		f := &r.out.Findings[i]
		switch f.Code {
		case diag.KeyHostShort, diag.KeyAddress, diag.KeyAddressBlocked, diag.KeyServiceMissing, diag.KeyServerNotReady, diag.KeyServerStrict,
			diag.KeyServerDenies, diag.KeyUnreachable, diag.KeyCertificate, diag.KeyAnswer, diag.KeysUnusable:
			if f.Severity == diag.Error {
				f.Severity = diag.Warning
				f.Message += "; the keys from before go on being used until the control plane restarts"
			}
		}
	}
}

func (r *rule) allFetch() bool {
	for _, h := range r.out.Proxies {
		if h.State != Fetches {
			return false
		}
	}
	return len(r.out.Proxies) > 0
}

// seenByOthers reports whether the keys were read in a way that shows something of the
// proxies' own: through a sidecar, or, of a Service, by the API server.
func (r *rule) seenByOthers() bool {
	if r.live == nil {
		return false
	}
	for _, f := range r.fetches {
		ok := f.Kind == Fetched && f.Keys != nil && f.Keys.Problem == ""
		if ok && (f.Sidecar || f.Way == ByServiceProxy && r.out.Server != nil && r.out.Server.Service != "") {
			return true
		}
	}
	return false
}

// failedSoFar reports whether some proxy tried to fetch, and never got an answer.
func (r *rule) failedSoFar() bool {
	for _, p := range r.ev.Proxies {
		if held := r.heldBy(p); held != nil {
			if t := p.Clusters[held.Keys.URI].Traffic; t != nil && t.Answers == 0 && t.Failures > 0 {
				return true
			}
		}
	}
	return false
}

// tlsSeen reports whether it was seen that the server's certificate is accepted: by the
// proxies themselves, which have had answers, or by a client that checks certificates.
// The API server does not.
func (r *rule) tlsSeen() bool {
	if r.addr.Scheme != "https" {
		return true
	}
	for _, f := range r.fetches {
		if f.Kind == Fetched && f.Way != ByMachine && !f.TLSUnchecked {
			return true
		}
	}
	for _, p := range r.ev.Proxies {
		if held := r.heldBy(p); held != nil {
			if t := p.Clusters[held.Keys.URI].Traffic; t == nil || t.Answers == 0 {
				return false
			}
		}
	}
	return true
}

func (r *rule) okWords() string {
	n := 0
	for _, h := range r.out.Proxies {
		n = max(n, h.Keys.Usable)
	}
	words := countKeys(n) + " in every proxy"
	if len(r.out.Proxies) == 1 {
		words = countKeys(n) + " in the proxy"
	}
	switch {
	case r.out.Fetcher == ByNobody:
	case r.live != nil && r.live != r.given:
		words += ", as at the URI"
	default:
		words += "; what is at the URI now was not seen"
	}
	return words
}

// judgeFiles is what manifests and given keys can tell.
func (r *rule) judgeFiles() {
	switch {
	case r.out.Fetcher == Undocumented:
		r.verdict(Unknown, r.out.FetcherBy)
	case r.out.Keys == nil:
		r.verdict(Unknown, "the keys are not part of the objects: --jwks "+r.keyName()+"=FILE")
	default:
		r.verdict(OK, countKeys(r.out.Keys.Usable)+" that proxies can use, and nothing in the manifests is in the way")
	}
}
