package keycheck

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Check decides. Errors are for objects that istiod would not take at all.
func Check(ev Evidence) (*Report, error) {
	rules, err := collect(&ev)
	if err != nil {
		return nil, err
	}
	out := &Report{APIVersion: APIVersion, Kind: ReportKind, Live: ev.Live, Rules: []Rule{}, Fixes: []Fix{}, Gaps: append([]diagnose.Gap{}, ev.Gaps...)}
	for _, g := range ev.Snapshot.Gaps() {
		out.Gaps = append(out.Gaps, diagnose.Gap{What: g.What, Why: g.Why, Permission: g.Permission})
	}
	for _, r := range rules {
		r.fetcher()
		r.file()
		r.take()
		r.server()
		r.inline()
		r.holders()
		r.fetched()
		r.token()
	}
	for _, r := range rules {
		r.remarks(rules)
		r.starved(rules)
		r.judge()
	}
	for _, r := range rules {
		r.propose()
		for _, f := range r.fixes {
			f.Rule = r.out.Object
			out.Fixes = append(out.Fixes, f)
		}
		slices.SortStableFunc(r.out.Findings, func(a, b diagnose.Finding) int { return rank(a) - rank(b) })
		out.Rules = append(out.Rules, r.out)
	}
	if len(out.Fixes) > 0 { // the first one is no alternative
		out.Fixes[0].Summary = strings.TrimPrefix(out.Fixes[0].Summary, "or ")
	}
	slices.SortStableFunc(out.Rules, func(a, b Rule) int { return urgency(a) - urgency(b) })
	if len(out.Rules) == 0 {
		out.Elsewhere = ev.namespacesWithRules()
	}
	if out.Verdict = worst(out.Rules, ev.Live); out.Verdict == OK || len(out.Rules) == 0 {
		if out.Unread = ev.unread(); out.Unread != "" {
			out.Verdict = Unknown
		}
	}
	return out, nil
}

// namespacesWithRules are those with a RequestAuthentication among what was read.
func (ev *Evidence) namespacesWithRules() []string {
	var out []string
	for _, o := range ev.Snapshot.Kind(mesh.GroupSecurity, "RequestAuthentication") {
		if !slices.Contains(out, o.Namespace) {
			out = append(out, o.Namespace)
		}
	}
	slices.Sort(out)
	return out
}

// unread is what could not be read and may have other rules, or pods that they reach.
func (ev *Evidence) unread() string {
	places := slices.Clone(ev.Namespaces)
	for _, w := range ev.Workloads {
		places = append(places, w.Namespace)
	}
	if scope, err := istio.ScopeOf(ev.Snapshot); err == nil {
		places = append(places, scope.RootNamespace)
	}
	for _, ns := range places {
		if g := ev.Snapshot.Unread(mesh.GroupSecurity, "RequestAuthentication", ns, ""); g != nil {
			return g.What
		}
	}
	for _, ns := range ev.Namespaces {
		if g := ev.Snapshot.Unread(mesh.GroupCore, "Pod", ns, ""); g != nil {
			return g.What
		}
	}
	return ""
}

// first are the findings that come before all others, in this order: who is let in,
// then the causes, then what follows from them.
var first = []diag.Code{diag.ListenerRefused, diag.KeysForgeable}

// last are what the causes lead to.
var last = []diag.Code{diag.KeysNotFetched, diag.ProxyDiffers}

func rank(f diagnose.Finding) int {
	const step = 10
	out := severityOrder(f.Severity) * step
	if i := slices.Index(first, f.Code); i >= 0 {
		return out + i
	}
	if i := slices.Index(last, f.Code); i >= 0 {
		return out + 5 + i
	}
	return out + len(first)
}

// urgency puts what to act on first.
func urgency(r Rule) int {
	switch {
	case r.Has(diag.ListenerRefused) && r.Verdict == Refused:
		return 0
	case r.Has(diag.KeysForgeable):
		return 1
	}
	return 2 + slices.Index([]Verdict{Refused, Unknown, OK, Unused}, r.Verdict)
}

// file takes the keys that were given for the rule.
func (r *rule) file() {
	inline := r.out.Fetcher == ByNobody
	for _, f := range r.ev.Files {
		if f.For != r.out.URI && (r.out.URI != "" || f.For != r.out.Issuer) {
			continue
		}
		keys, set := keysOf(f.Document)
		r.out.Keys = keys
		switch {
		case set == nil && inline: // the rule does not depend on them
			r.find(diag.KeyDropped, diag.Warning, r.keysField(), "of the keys that were given for it: "+keys.Problem)
			continue
		case set == nil:
			r.find(diag.KeysUnusable, diag.Error, r.keysField(), "of the keys that were given for it: "+keys.Problem)
			continue
		}
		r.given = &seenSet{doc: f.Document, set: set, from: "the file that was given"}
		r.keyRemarks(keys, r.given.from)
		if !r.ev.Live && !inline {
			r.live = r.given
		}
	}
}

// inline judges the keys of a rule that has them in itself.
func (r *rule) inline() {
	if r.out.Fetcher != ByNobody {
		return
	}
	keys, set := keysOf([]byte(r.spec.GetJwks()))
	r.out.Keys = keys
	if set == nil {
		r.find(diag.KeysUnusable, diag.Error, "jwks", "no proxy can use the keys of the rule, and each refuses the whole listener for it: "+strings.TrimPrefix(keys.Problem, "no proxy can use it: "))
		return
	}
	r.keyRemarks(keys, "the rule")
}

// soon is how long before its end a certificate is worth a word.
const soon = 14 * 24 * time.Hour

// keyRemarks are about single keys of a set.
func (r *rule) keyRemarks(keys *Keys, where string) {
	for _, d := range keys.Dropped {
		r.find(diag.KeyDropped, diag.Warning, r.keysField(), fmt.Sprintf("of the keys in %s, kid %q is dropped by proxies: %s", where, d.Kid, d.Reason))
	}
	r.ends(keys.Ends, "a certificate among the keys in "+where)
}

func (r *rule) ends(end *time.Time, what string) {
	switch now := r.ev.Now; {
	case end == nil:
	case now.After(*end):
		r.find(diag.CertificateEnds, diag.Warning, r.keysField(), fmt.Sprintf("%s has ended on %s; proxies do not look at that, but issuers change keys then", what, date(*end)))
	case now.Add(soon).After(*end):
		r.find(diag.CertificateEnds, diag.Info, r.keysField(), fmt.Sprintf("%s ends on %s: new keys will come before that", what, date(*end)))
	}
}

// starved is of istiods in which one failing fetch keeps the others from being refreshed
// (istio/istio#51636; fixed in 1.23 and in later releases of 1.20 to 1.22).
func (r *rule) starved(all []*rule) {
	if len(r.reached) == 0 || r.out.Fetcher != ByControlPlane {
		return
	}
	_, istiod := versions(r.ev, r.reached[0].workload)
	if version.RefreshStarved.Has(istiod) != version.No {
		return
	}
	for _, other := range all {
		if other != r && other.out.Has(diag.KeysNotFetched) {
			r.find(diag.KeyRefreshStarved, diag.Warning, r.uriField(), fmt.Sprintf(
				"before Istio 1.23 (and some patch releases of 1.20 to 1.22) a fetch that fails holds up the refresh of all others, and that of %s fails: new keys may never arrive at istiod %s", other.origin, istiod))
			return
		}
	}
}

// fetched makes findings of what was seen at the URI.
func (r *rule) fetched() {
	for i := range r.fetches {
		f := &r.fetches[i]
		if f.Way == ByMachine {
			continue // it shows nothing of who fetches
		}
		r.fetchFinding(f)
	}
	if !r.pendingPush() {
		return
	}
	if r.out.Fetcher == ByDiscovery {
		r.find(diag.KeysPending, diag.Error, r.uriField(), fmt.Sprintf(
			"by now the issuer says where its keys are, %q: the control plane gave up when it did not, and asks again only when something makes it push", r.namedURI))
		return
	}
	r.find(diag.KeysPending, diag.Error, r.uriField(), fmt.Sprintf(
		"by now the keys can be read (%s, seen from %s): the control plane gave up when they could not, and fetches again only when something makes it push"+r.orElsewhere(), countKeys(len(r.live.set.Keys)), r.live.from))
}

// orElsewhere is the other reason that there may be.
func (r *rule) orElsewhere() string {
	if !r.plane.Object.IsZero() {
		return ""
	}
	return "; or it runs elsewhere, and cannot reach them"
}

// pendingPush reports whether nothing is in the way any more of keys that the control
// plane could not fetch.
func (r *rule) pendingPush() bool {
	seen := r.out.Fetcher == ByControlPlane && r.live != nil || r.out.Fetcher == ByDiscovery && r.namedURI != ""
	if !seen || !r.out.Has(diag.KeysNotFetched) {
		return false
	}
	for _, f := range r.out.Findings {
		if f.Severity == diag.Error && f.Code != diag.KeysNotFetched && f.Code != diag.KeysForgeable {
			return false
		}
	}
	return true
}

// fetchFinding is what one fetch shows.
func (r *rule) fetchFinding(f *Fetch) {
	seen, host := " (seen from "+f.From+")", r.addr.Host+": "
	if f.CertificateEnds != nil && r.ev.Now.Add(soon).After(*f.CertificateEnds) {
		r.find(diag.CertificateEnds, diag.Warning, r.uriField(), "the server's certificate ends on "+date(*f.CertificateEnds)+seen)
	}
	switch f.Kind {
	case Redirect:
		if r.out.Fetcher == ByProxy {
			r.find(diag.KeyAnswer, diag.Error, r.uriField(), host+f.Problem+", which proxies do not follow"+seen)
			return
		}
		r.find(diag.KeyAnswer, diag.Warning, r.uriField(), host+f.Problem+", which the control plane follows, and a proxy would not"+seen)
	case Status, TooLarge:
		r.find(diag.KeyAnswer, r.serious(f), r.uriField(), host+"there are no keys at the address, "+f.Problem+seen)
	case Certificate:
		if f.Way == ByServiceProxy {
			return // the API server does not check certificates
		}
		r.find(diag.KeyCertificate, r.serious(f), r.uriField(), host+f.Problem+seen)
	case Name, Connect, Timeout:
		if r.out.Has(diag.KeyServerStrict) || r.out.Has(diag.KeyServerNotReady) || r.out.Has(diag.KeyHostShort) || r.out.Has(diag.KeyServiceMissing) {
			return // whose consequence it is
		}
		r.find(diag.KeyUnreachable, r.serious(f), r.uriField(), host+f.Problem+seen)
	case Fetched:
		switch {
		case f.Keys == nil:
		case f.Keys.Problem != "":
			r.find(diag.KeysUnusable, diag.Error, r.uriField(), host+"what is at the address is of no use to proxies, "+f.Keys.Problem+seen)
		default:
			r.keyRemarks(f.Keys, "what is at the address")
		}
	}
}

// serious says whether a fetch that failed from a place shows that the one who fetches
// fails, too: what a server answers it answers to all, as far as no policy of the mesh
// is in between; what happens on the way is another matter. An application behind a
// sidecar asks DNS, which a proxy need not, and speaks TLS itself, which a proxy does as
// its DestinationRule says.
func (r *rule) serious(f *Fetch) diag.Severity {
	switch {
	case r.out.Fetcher == ByProxy && f.Sidecar && r.addr.Scheme == "http" && f.Kind != Name, r.out.Fetcher != ByProxy && !f.Sidecar:
		return diag.Error
	case f.Kind == TooLarge, f.Kind == Status && f.Status != 401 && f.Status != 403:
		return diag.Error
	}
	return diag.Warning
}

func (r *rule) keyName() string {
	if r.out.URI != "" {
		return r.out.URI
	}
	return r.out.Issuer
}
