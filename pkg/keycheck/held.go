package keycheck

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
)

// reaches reports whether a pod is of a workload that the rule reaches, and how the
// provider is called there.
func (r *rule) reaches(p Proxy) (provider string, ok bool) {
	for _, w := range r.reached {
		if w.workload.Namespace == p.Namespace && slices.Contains(w.workload.Pods, p.Pod) {
			return w.provider, true
		}
	}
	return "", false
}

// heldBy is the provider that a proxy holds for the rule; nil: none. Names go by the
// order of issuers (Istio pilot/pkg/security/authn/policy_applier.go), so that a proxy
// with an older configuration may have the rule under another one.
func (r *rule) heldBy(p Proxy) *envoy.Provider {
	name, ok := r.reaches(p)
	if !ok {
		return nil
	}
	var other *envoy.Provider
	for i := range p.Providers {
		held := &p.Providers[i]
		if held.Issuer != r.out.Issuer || held.Keys.Fetcher == envoy.ProxyFetch && held.Keys.URI != r.out.URI {
			continue
		}
		if held.Name == name {
			return held
		}
		if other == nil {
			other = held
		}
	}
	return other
}

// heldCluster is the cluster through which the first proxy that has one fetches.
func (r *rule) heldCluster() (Cluster, bool) {
	for _, p := range r.ev.Proxies {
		if held := r.heldBy(p); held != nil && held.Keys.Fetcher == envoy.ProxyFetch {
			c, seen := p.Clusters[r.addr.URI]
			return c, seen && c.Exists
		}
	}
	return Cluster{}, false
}

// holders says of each pod that the rule reaches what its proxy holds.
func (r *rule) holders() {
	for _, p := range r.ev.Proxies {
		name, ok := r.reaches(p)
		if !ok {
			continue
		}
		h := r.holder(p)
		for _, refused := range p.Refused {
			r.listenerRefused(p, refused, name, &h)
		}
		r.out.Proxies = append(r.out.Proxies, h)
	}
	r.judgeHolders()
}

func (r *rule) holder(p Proxy) Holder {
	h := Holder{Pod: p.Namespace + "/" + p.Pod}
	held := r.heldBy(p)
	switch {
	case p.Unasked != "":
		h.State, h.Note = NotAsked, p.Unasked
		return h
	case held == nil:
		h.State = Absent
		return h
	case held.Keys.Fetcher == envoy.ProxyFetch:
		h.State = Fetches
		if held.Keys.NoCluster || !p.Clusters[held.Keys.URI].Exists {
			h.State = NoCluster
		}
		return h
	}
	keys, set := keysOf([]byte(held.Keys.Inline))
	h.Keys, h.State = keys, Holds
	parsed, _ := jwks.Parse([]byte(held.Keys.Inline))
	if kind, uri, ok := jwks.Placeholder(parsed); ok {
		h.State, h.Hidden = Placeholder, uri
		if kind == jwks.PlaceholderForgeable {
			h.State = Forgeable
		}
		return h
	}
	expected := r.expected()
	if set == nil || expected == nil {
		return h
	}
	h.State = Same
	if missing := expected.set.Missing(set); len(missing) > 0 {
		h.State, h.Note = Old, "lacks "+kidList(missing)
	} else if gone := set.Missing(expected.set); len(gone) > 0 {
		h.Note = "has " + kidList(gone) + " besides"
	}
	return h
}

// expected is what the proxies should hold, as far as it is known: the keys of the rule
// itself, or those that were seen at the URI.
func (r *rule) expected() *seenSet {
	if r.out.Fetcher == ByNobody {
		if _, set := keysOf([]byte(r.spec.GetJwks())); set != nil {
			return &seenSet{set: set, from: "the rule"}
		}
		return nil
	}
	if r.live == nil {
		return r.given
	}
	return r.live
}

// kidList names keys.
func kidList(keys []jwks.Key) string {
	const most = 3
	var out []string
	for i, k := range keys {
		switch {
		case i == most:
			return strings.Join(out, ", ") + fmt.Sprintf(" and %d more", len(keys)-most)
		case k.Kid == "":
			out = append(out, "a key without kid")
		default:
			out = append(out, fmt.Sprintf("kid %q", k.Kid))
		}
	}
	return strings.Join(out, ", ")
}

var providerInError = regexp.MustCompile(`Provider '([^']+)' in jwt_authn config has invalid local jwks: ?(.*)`)

// listenerRefused is the first of all findings: what is in force is not what was
// applied, and what would refuse a forged token may be missing.
func (r *rule) listenerRefused(p Proxy, refused diagnose.RefusedListener, provider string, h *Holder) {
	m := providerInError.FindStringSubmatch(refused.Reason)
	if m != nil && m[1] != provider {
		if h.State != Absent {
			return // it is another rule's fault, and this one is in force
		}
		h.State, h.Note = Broken, refused.Reason
		r.find(diag.ListenerRefused, diag.Error, "", "the proxy does not have this rule: it refuses the whole listener for the keys of another one, and goes on with the configuration that it had")
		return
	}
	h.State, h.Note = Broken, refused.Reason
	message := fmt.Sprintf("the proxy refuses its newest configuration and goes on with the one that it had, so that policies are not in force and forged tokens may pass: %s", refused.Reason)
	if m != nil {
		message = fmt.Sprintf("the control plane pushed what it got as keys, and the proxy refuses the whole listener for it (%s): it goes on with the configuration that it had, in which forged tokens may pass, and no later policy arrives", strings.TrimSpace(m[2]))
	}
	severity := diag.Error
	if !refused.Asked && m == nil {
		severity = diag.Warning
	}
	r.find(diag.ListenerRefused, severity, "", message)
}

func (r *rule) keysField() string {
	if r.out.Fetcher == ByNobody {
		return "jwks"
	}
	return r.uriField()
}

// judgeHolders makes findings of what the proxies hold.
func (r *rule) judgeHolders() {
	count := func(s State) (n int, first Holder) {
		for _, h := range r.out.Proxies {
			if h.State == s {
				if n++; n == 1 {
					first = h
				}
			}
		}
		return n, first
	}
	if n, h := count(Forgeable); n > 0 {
		r.find(diag.KeysForgeable, diag.Error, "", fmt.Sprintf(
			"%s a placeholder key whose private half is public (Istio 1.21 to 1.29.0): whoever has it can make tokens that pass", holdWords(n, h)))
	}
	n, h := count(Placeholder)
	if forgeable, first := count(Forgeable); forgeable > 0 {
		n, h = n+forgeable, first
	}
	if n > 0 {
		at := "the keys of " + fmt.Sprintf("%q", r.out.Issuer)
		if uri := r.hidden(h); uri != "" {
			at = fmt.Sprintf("%q", uri)
			if problem := AddressOf(uri, r.origin.Namespace).Problem; problem != "" {
				at += " (" + problem + ")"
			}
			if uri != r.out.URI {
				at += ", which is not what the rule says by now"
			}
		}
		r.find(diag.KeysNotFetched, diag.Error, r.uriField(), fmt.Sprintf("%s a placeholder key: the control plane could not fetch %s, and no token fits%s", holdWords(n, h), at, r.elsewhere()))
	}
	if n, h := count(NoCluster); n > 0 && !r.out.Has(diag.KeyNoCluster) {
		r.find(diag.KeyNoCluster, diag.Error, r.uriField(), fmt.Sprintf("%s no cluster for %s, through which they are to fetch: every fetch fails", haveWords(n, h), r.addr.Host))
	}
	if n, h := count(Absent); n > 0 {
		r.find(diag.ProxyDiffers, diag.Warning, "", fmt.Sprintf("%s not have this rule: it has not arrived, or the proxy holds an older configuration", doWords(n, h)))
	}
	r.stale(count(Old))
	r.traffic()
}

// traffic is what proxies that fetch have seen of the key server. That nothing worked so
// far does not mean that nothing works now, and that there is no endpoint does.
func (r *rule) traffic() {
	for _, p := range r.ev.Proxies {
		held := r.heldBy(p)
		if held == nil || held.Keys.Fetcher != envoy.ProxyFetch {
			continue
		}
		t := p.Clusters[held.Keys.URI].Traffic
		switch {
		case t == nil:
		case t.Hosts == 0:
			r.find(diag.KeyServerNotReady, diag.Error, r.uriField(), fmt.Sprintf("the proxy of pod %s/%s knows no endpoint of %s: every fetch fails", p.Namespace, p.Pod, r.addr.Host))
		case t.Answers == 0 && t.Failures > 0:
			r.find(diag.KeyUnreachable, diag.Warning, r.uriField(), fmt.Sprintf("the proxy of pod %s/%s got no answer from %s so far, and tried %d times", p.Namespace, p.Pod, r.addr.Host, t.Failures))
		}
	}
}

// elsewhere says of a control plane that is not in the cluster what that means.
func (r *rule) elsewhere() string {
	if !r.plane.Object.IsZero() {
		return ""
	}
	return "; it runs elsewhere (managed, perhaps) or was not read: what is reachable in this cluster need not be reachable from there"
}

// hidden is the URI that was tried: the placeholder's own, or the rule's.
func (r *rule) hidden(h Holder) string {
	if h.Hidden != "" {
		return h.Hidden
	}
	return r.out.URI
}

func holdWords(n int, first Holder) string {
	if n == 1 {
		return "the proxy of pod " + first.Pod + " holds"
	}
	return fmt.Sprintf("%d proxies (%s and %d more) hold", n, first.Pod, n-1)
}

func haveWords(n int, first Holder) string {
	return strings.Replace(strings.Replace(holdWords(n, first), " holds", " has", 1), " hold", " have", 1)
}

func doWords(n int, first Holder) string {
	return strings.Replace(strings.Replace(holdWords(n, first), " holds", " does", 1), " hold", " do", 1)
}

// stale says which proxies still hold an old set, and whether tokens are refused for it.
func (r *rule) stale(n int, first Holder) {
	if n == 0 {
		return
	}
	if r.out.Fetcher == ByNobody {
		r.findAt(diag.ProxyDiffers, diag.Error, r.origin.At("jwks"), fmt.Sprintf("%s other keys than the rule has: %s", holdWords(n, first), first.Note))
		return
	}
	wait := "the control plane fetches again every 20 minutes, later after a failure"
	if v := r.plane.Env["PILOT_JWT_PUB_KEY_REFRESH_INTERVAL"]; v != "" {
		wait = "the control plane fetches again every " + v
	}
	r.find(diag.KeysStale, diag.Error, r.uriField(), fmt.Sprintf(
		"%s the keys from before: tokens that are signed with %s, which is at the URI by now (seen from %s), are refused; %s",
		holdWords(n, first), strings.TrimPrefix(first.Note, "lacks "), r.expected().from, wait))
}
