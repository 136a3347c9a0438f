package run

import (
	"fmt"
	"slices"

	jwtauthn "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	"google.golang.org/protobuf/types/known/emptypb"
)

// requiredMark stands among a rule's spaceDelimitedClaims while istiod builds the
// listener, to find the provider of a REQUIRED rule after all rules were merged
// and sorted. It is taken out again by requirePresence.
const requiredMark = "\x00presence-required"

// requirePresence replaces the requirement of a filter that has REQUIRED rules by
// ALL of: each REQUIRED provider itself, each OPTIONAL one or a missing token, in
// the order of the issuers (istio/istio#60830).
func requirePresence(filter *jwtauthn.JwtAuthentication) (bool, error) {
	all := make([]*jwtauthn.JwtRequirement, len(filter.Providers))
	found := false
	for i := range all {
		name := fmt.Sprintf("origins-%d", i)
		provider := filter.Providers[name]
		if provider == nil {
			return false, fmt.Errorf("no provider %s among %d", name, len(filter.Providers))
		}
		all[i] = &jwtauthn.JwtRequirement{RequiresType: &jwtauthn.JwtRequirement_ProviderName{ProviderName: name}}
		claims := provider.GetNormalizePayloadInMetadata().GetSpaceDelimitedClaims()
		if at := slices.Index(claims, requiredMark); at >= 0 {
			provider.NormalizePayloadInMetadata.SpaceDelimitedClaims = slices.Delete(slices.Clone(claims), at, at+1)
			found = true
			continue
		}
		all[i] = orMissing(all[i])
	}
	if !found {
		return false, nil
	}
	if len(filter.Rules) != 1 {
		return false, fmt.Errorf("%d rules in jwt_authn, want 1", len(filter.Rules))
	}
	filter.Rules[0].RequirementType = &jwtauthn.RequirementRule_Requires{Requires: allOf(all)}
	return true, nil
}

func orMissing(one *jwtauthn.JwtRequirement) *jwtauthn.JwtRequirement {
	missing := &jwtauthn.JwtRequirement{RequiresType: &jwtauthn.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}}
	return &jwtauthn.JwtRequirement{RequiresType: &jwtauthn.JwtRequirement_RequiresAny{
		RequiresAny: &jwtauthn.JwtRequirementOrList{Requirements: []*jwtauthn.JwtRequirement{one, missing}}}}
}

// allOf gives the requirement itself where there is one only: Envoy wants two at
// least in a list.
func allOf(all []*jwtauthn.JwtRequirement) *jwtauthn.JwtRequirement {
	if len(all) == 1 {
		return all[0]
	}
	return &jwtauthn.JwtRequirement{RequiresType: &jwtauthn.JwtRequirement_RequiresAll{
		RequiresAll: &jwtauthn.JwtRequirementAndList{Requirements: all}}}
}
