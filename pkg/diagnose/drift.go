package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Drift is one difference between what the proxy holds and what the objects say.
type Drift struct {
	// Kind is missing (the proxy does not have it), extra (only the proxy has it) or
	// stale (both have it, and not the same).
	Kind    string `json:"kind"`
	Object  *Place `json:"object,omitempty"`
	Message string `json:"message"`
}

// The kinds of Drift.
const (
	DriftMissing = "missing"
	DriftExtra   = "extra"
	DriftStale   = "stale"
)

// adopt compares what the proxy holds with what istiod would make of the objects, and
// gives the parts that are the same the places that the objects know.
func adopt(held, read *envoy.Proxy) []Drift {
	var out []Drift
	for i := range held.Chains {
		h := &held.Chains[i]
		r := sameChain(read.Chains, h)
		if r == nil {
			continue
		}
		h.Origin = r.Origin
		if h.HTTP != nil && r.HTTP != nil {
			if samePaths(h.HTTP, r.HTTP) {
				h.HTTP.PathOrigin = r.HTTP.PathOrigin
			}
			out = append(out, adoptFilters(h.HTTP.Filters, r.HTTP.Filters)...)
			continue
		}
		out = append(out, adoptFilters(h.TCP, r.TCP)...)
	}
	return unique(out)
}

func unique(in []Drift) []Drift {
	var out []Drift
	for _, d := range in {
		if !slices.ContainsFunc(out, func(o Drift) bool { return o.Message == d.Message }) {
			out = append(out, d)
		}
	}
	return out
}

func sameChain(chains []envoy.Chain, h *envoy.Chain) *envoy.Chain {
	for i := range chains {
		r := &chains[i]
		if r.Match.Transport == h.Match.Transport && slices.Equal(r.Match.ALPN, h.Match.ALPN) && slices.Equal(r.Match.ServerNames, h.Match.ServerNames) &&
			(r.HTTP == nil) == (h.HTTP == nil) && (r.TLS == nil) == (h.TLS == nil) {
			return r
		}
	}
	return nil
}

func samePaths(a, b *envoy.ConnectionManager) bool {
	return a.NormalizePath == b.NormalizePath && a.MergeSlashes == b.MergeSlashes && a.EscapedSlashes == b.EscapedSlashes
}

func adoptFilters(held, read []envoy.Filter) []Drift {
	var out []Drift
	out = append(out, adoptProviders(jwtOf(held), jwtOf(read))...)
	return append(out, adoptPolicies(policiesOf(held), policiesOf(read))...)
}

func jwtOf(fs []envoy.Filter) []envoy.Provider {
	for _, f := range fs {
		if jf, ok := f.(*envoy.JWTAuthn); ok {
			return jf.Providers
		}
	}
	return nil
}

func adoptProviders(held, read []envoy.Provider) []Drift {
	var out []Drift
	used := make([]bool, len(read))
	for i := range held {
		h, at := &held[i], -1
		for j := range read {
			if !used[j] && read[j].Issuer == h.Issuer && (at < 0 || h.Same(&read[j])) {
				at = j
			}
		}
		if at < 0 {
			out = append(out, Drift{Kind: DriftExtra, Message: fmt.Sprintf("the proxy checks tokens of the issuer %q, and no RequestAuthentication that was read says so", h.Issuer)})
			continue
		}
		r := &read[at]
		used[at] = true
		same := h.Same(r)
		h.Origin = r.Origin
		if len(h.Locations) == len(r.Locations) {
			for k := range h.Locations {
				h.Locations[k].Origin = r.Locations[k].Origin
			}
		}
		switch {
		case !same:
			out = append(out, Drift{Kind: DriftStale, Object: place(r.Origin), Message: fmt.Sprintf("the proxy holds another version of %s than was read", r.Origin)})
		case r.Keys.Fetcher == envoy.Inline && h.Keys.Fetcher == envoy.Inline && h.Keys.Inline != r.Keys.Inline:
			out = append(out, Drift{Kind: DriftStale, Object: place(r.Origin), Message: fmt.Sprintf("the proxy holds other keys than %s has in jwks", r.Origin)})
		}
	}
	for j := range read {
		if !used[j] {
			out = append(out, Drift{Kind: DriftMissing, Object: place(read[j].Origin), Message: fmt.Sprintf("the proxy does not have %s", read[j].Origin)})
		}
	}
	return out
}

// policyKey tells an enforced policy of an action from one that is only recorded.
type policyKey struct {
	action envoy.Action
	shadow bool
	id     string
}

func policiesOf(fs []envoy.Filter) map[policyKey]*envoy.Policy {
	out := map[policyKey]*envoy.Policy{}
	for _, f := range fs {
		rf, ok := f.(*envoy.RBAC)
		if !ok {
			continue
		}
		for _, s := range []struct {
			set    *envoy.RuleSet
			shadow bool
		}{{rf.Rules, false}, {rf.Shadow, true}} {
			if s.set == nil {
				continue
			}
			for i := range s.set.Policies {
				p := &s.set.Policies[i]
				out[policyKey{rf.Action, s.shadow, p.ID}] = p
			}
		}
	}
	return out
}

func adoptPolicies(held, read map[policyKey]*envoy.Policy) []Drift {
	var out []Drift
	for k, h := range held {
		r, ok := read[k]
		switch {
		case !ok:
			out = append(out, Drift{Kind: DriftExtra, Object: place(h.Origin), Message: fmt.Sprintf("the proxy enforces %s (%s), and it is not among what was read", h.Origin, k.action)})
		case h.Same(r):
			*h = *r // it says the same, in the object's own words
		default:
			h.Origin = r.Origin
			out = append(out, Drift{Kind: DriftStale, Object: place(r.Origin), Message: fmt.Sprintf("the proxy holds another version of %s than was read", r.Origin)})
		}
	}
	for k, r := range read {
		if _, ok := held[k]; !ok {
			out = append(out, Drift{Kind: DriftMissing, Object: place(r.Origin), Message: fmt.Sprintf("the proxy does not have %s (%s)", r.Origin, k.action)})
		}
	}
	slices.SortFunc(out, func(a, b Drift) int { return strings.Compare(a.Message, b.Message) })
	return out
}
