package istio

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// authzPolicy is one AuthorizationPolicy that reaches the workload.
type authzPolicy struct {
	object *mesh.Object
	spec   *securityapi.AuthorizationPolicy
	dryRun bool
	// dropped are parts of the object that istiod does not know, newer the fields that
	// this tool does not.
	dropped []envoy.Dropped
	newer   []string
}

const dryRunAnnotation = "istio.io/dry-run"

// authzFilters makes the RBAC filters: one for each action that has a policy
// (Istio pilot/pkg/security/authz/builder/builder.go:Builder.BuildHTTP).
func (t *translation) authzFilters(policies []authzPolicy, forTCP bool) []*envoy.RBAC {
	by := map[securityapi.AuthorizationPolicy_Action][]authzPolicy{}
	for _, p := range policies {
		by[p.spec.GetAction()] = append(by[p.spec.GetAction()], p)
	}
	var out []*envoy.RBAC
	for _, a := range []struct {
		api    securityapi.AuthorizationPolicy_Action
		action envoy.Action
		prefix string
	}{
		{securityapi.AuthorizationPolicy_AUDIT, envoy.Log, ""},
		{securityapi.AuthorizationPolicy_DENY, envoy.Deny, "istio_dry_run_deny_"},
		{securityapi.AuthorizationPolicy_ALLOW, envoy.Allow, "istio_dry_run_allow_"},
	} {
		if len(by[a.api]) == 0 {
			continue
		}
		f := &envoy.RBAC{Action: a.action, ShadowPrefix: a.prefix}
		for _, p := range by[a.api] {
			set := &f.Rules
			if p.dryRun {
				set = &f.Shadow
			}
			if *set == nil {
				*set = &envoy.RuleSet{}
			}
			(*set).Policies = append((*set).Policies, t.policies(p, "", a.api, forTCP)...)
		}
		sortPolicies(f.Rules)
		sortPolicies(f.Shadow)
		out = append(out, f)
	}
	return out
}

// sortPolicies puts policies into the order of Envoy's map: by ID in byte order.
func sortPolicies(s *envoy.RuleSet) {
	if s != nil {
		sort.SliceStable(s.Policies, func(i, j int) bool { return s.Policies[i].ID < s.Policies[j].ID })
	}
}

// policies makes the entries of one AuthorizationPolicy, one for each rule that
// reaches the proxy. idPrefix is that of CUSTOM policies.
func (t *translation) policies(p authzPolicy, idPrefix string, action securityapi.AuthorizationPolicy_Action, forTCP bool) []envoy.Policy {
	at := origin.Origin{Ref: p.object.Ref()}
	id := func(i int) string {
		return fmt.Sprintf("%sns[%s]-policy[%s]-rule[%d]", idPrefix, p.object.Namespace, p.object.Name, i)
	}
	within, outside := ruleGaps(p.newer)
	if len(p.spec.GetRules()) == 0 {
		never := envoy.Policy{ID: id(0), Origin: at, Never: true, Dropped: p.dropped}
		never.Doubt, never.DoubtAll = newerMissing(at.Ref, outside), len(outside) > 0
		return []envoy.Policy{never}
	}
	var out []envoy.Policy
	for i, r := range p.spec.GetRules() {
		o := at.At("spec.rules[" + strconv.Itoa(i) + "]")
		if r == nil {
			t.drop(forTCP, o, "an empty entry of rules: istiod leaves it out")
			continue
		}
		c := ruleCompiler{action: action, namespace: p.object.Namespace, bundle: t.mesh.trustDomains(), forTCP: forTCP, planes: t.planes}
		permissions, principals, err := c.compile(r, o)
		var dropped *droppedRule
		if errors.As(err, &dropped) {
			t.drop(forTCP, dropped.origin, dropped.reason)
			continue
		}
		if c.refused != nil && !forTCP && t.proxy.Refused == nil {
			t.proxy.Refused = c.refused
		}
		pol := envoy.Policy{ID: id(i), Origin: o, Permissions: permissions, Principals: principals, Dropped: slices.Concat(p.dropped, c.dropped)}
		if len(outside) > 0 {
			pol.Doubt, pol.DoubtAll = newerMissing(at.Ref, outside), true
		} else if len(within[i]) > 0 {
			pol.Doubt = newerMissing(at.Ref, within[i])
		}
		out = append(out, pol)
	}
	return out
}

// drop notes a rule that is left out, for the chains of one kind.
func (t *translation) drop(forTCP bool, o origin.Origin, reason string) {
	d := envoy.Dropped{Origin: o, Reason: reason}
	if forTCP {
		t.result.DroppedTCP = append(t.result.DroppedTCP, d)
		return
	}
	t.result.Dropped = append(t.result.Dropped, d)
}

// customFilters makes the pair of filters for each external authorizer, or the
// denials that istiod puts there when it does not know it
// (builder.go:Builder.buildHTTP).
func (t *translation) customFilters(policies []authzPolicy, forTCP bool) []envoy.Filter {
	by := map[string][]authzPolicy{}
	var providers []string
	for _, p := range policies {
		if p.spec.GetAction() != securityapi.AuthorizationPolicy_CUSTOM {
			continue
		}
		name := p.spec.GetProvider().GetName()
		if _, ok := by[name]; !ok {
			providers = append(providers, name)
		}
		by[name] = append(by[name], p)
	}
	sort.Strings(providers)
	var out []envoy.Filter
	if len(providers) > 1 && t.planes.lacks(version.CustomProviderInID) {
		// One filter for all of them, none of which counts as known.
		var all []authzPolicy
		for _, name := range providers {
			all = append(all, by[name]...)
		}
		return t.customProvider("", all, true, forTCP)
	}
	for _, name := range providers {
		out = append(out, t.customProvider(name, by[name], len(providers) > 1, forTCP)...)
	}
	return out
}

const badCustomSuffix = "-deny-due-to-bad-CUSTOM-action"

func (t *translation) customProvider(name string, policies []authzPolicy, several, forTCP bool) []envoy.Filter {
	prefix := "istio-ext-authz-"
	askedPrefix := prefix + name
	switch {
	case t.planes.lacks(version.CustomProviderInID):
		askedPrefix = prefix
	case name != "":
		prefix += name + "-"
	}
	enforced, dryRun := &envoy.RuleSet{}, &envoy.RuleSet{}
	for _, p := range policies {
		set := enforced
		if p.dryRun {
			set = dryRun
		}
		set.Policies = append(set.Policies, t.policies(p, prefix, securityapi.AuthorizationPolicy_CUSTOM, forTCP)...)
	}
	sortPolicies(enforced)
	sortPolicies(dryRun)
	provider := t.extAuthz(name)
	if m := t.authorizerUnread(); m != nil && provider == nil && !several {
		return []envoy.Filter{&envoy.Opaque{Origin: origin.Origin{Ref: policies[0].object.Ref(), Field: "spec.provider.name"}, Missing: m, May: mayRefuse}}
	}
	if several || provider == nil {
		t.unusable(name, policies, several)
		for i := range enforced.Policies {
			enforced.Policies[i].ID += badCustomSuffix
		}
		sortPolicies(enforced)
		return []envoy.Filter{&envoy.RBAC{Action: envoy.Deny, Rules: enforced, Custom: true}}
	}
	if forTCP && provider.GetEnvoyExtAuthzHttp() != nil {
		return nil // an authorizer that speaks HTTP is not asked about bytes
	}
	f := &envoy.RBAC{Action: envoy.Deny, Shadow: enforced, ShadowPrefix: "istio_ext_authz_", Custom: true}
	if len(dryRun.Policies) > 0 {
		f.Rules = dryRun
	}
	return []envoy.Filter{f, &envoy.ExtAuthz{
		Provider: name, Prefix: askedPrefix,
		Origin: origin.Origin{Ref: policies[0].object.Ref(), Field: "spec.provider.name"},
	}}
}

// isDryRun reads the annotation as Go reads a boolean; anything else is false.
func isDryRun(o *mesh.Object) bool {
	b, err := strconv.ParseBool(o.Annotations[dryRunAnnotation])
	return err == nil && b
}
